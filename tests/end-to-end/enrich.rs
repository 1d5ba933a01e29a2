//! Enrichment through the program: settings in, columns in the log and facts on the terminal out.

use std::path::Path;

use serde_json::Value;
use smartsheet_sim::Live;

use crate::support::{Casbah, simulator, texts};

/// A program with MaxMind's made-up databases, own ranges and a list.
fn casbah(ranges: &str) -> Casbah {
    let casbah = Casbah::new();
    let folder = casbah.folder.path();
    let maxmind = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../enrich/tests/data/maxmind/GeoIP2-City-Test.mmdb");
    std::fs::copy(maxmind, folder.join("city.mmdb")).unwrap();
    std::fs::write(folder.join("ip-ranges.yaml"), ranges).unwrap();
    std::fs::write(folder.join("tor.txt"), "81.2.69.0/24\n").unwrap();
    std::fs::write(
        folder.join("casbah.toml"),
        "\
[enrich]
geo = [\"city.mmdb\"]
ranges = \"ip-ranges.yaml\"
lists = [{name = \"tor-exits\", file = \"tor.txt\", tags = [\"tor\"]}]
",
    )
    .unwrap();
    casbah
}

const OFFICE: &str =
    "ranges: [{name: office, category: corporate, subnets: [10.0.0.0/8], place: {country: CH}}]\n";

#[test]
fn what_is_known_of_a_value_is_shown_with_where_it_is_from() {
    let casbah = casbah(OFFICE);
    let table = |value: &str| {
        let lines: Vec<String> = casbah
            .list(&["enrich", value])
            .iter()
            .map(|fact| {
                format!(
                    "{}={} ({})",
                    fact["fact"].as_str().unwrap(),
                    fact["value"],
                    fact["from"].as_str().unwrap()
                )
            })
            .collect();
        lines.join("\n")
    };
    insta::assert_snapshot!(table("curl/8.5.0"), @r#"
    user-agent.family="curl" (what the client says)
    user-agent.kind="library" (what the client says)
    "#);
    insta::assert_snapshot!(table("::ffff:10.1.2.3"), @r#"
    range="office" (ip-ranges.yaml@258eb1723e90, 10.0.0.0/8 of `office` in line 1)
    ip.category="corporate" (ip-ranges.yaml@258eb1723e90, 10.0.0.0/8 of `office` in line 1)
    country="CH" (ip-ranges.yaml@258eb1723e90, 10.0.0.0/8 of `office` in line 1)
    "#);
    insta::assert_snapshot!(table("81.2.69.142"), @r#"
    ip.tags="tor" (tor.txt@85b77fe7bcc4, 81.2.69.0/24)
    ip.lists="tor-exits@85b77fe7bcc4" (tor.txt@85b77fe7bcc4, 81.2.69.0/24)
    country="GB" (city.mmdb@e8156afcbac3, 81.2.69.142/31)
    region="England" (city.mmdb@e8156afcbac3, 81.2.69.142/31)
    city="London" (city.mmdb@e8156afcbac3, 81.2.69.142/31)
    latitude=51.5142 (city.mmdb@e8156afcbac3, 81.2.69.142/31)
    longitude=-0.0931 (city.mmdb@e8156afcbac3, 81.2.69.142/31)
    accuracy=10.0 (city.mmdb@e8156afcbac3, 81.2.69.142/31)
    "#);
    assert!(casbah.ok(&["enrich", "81.2.69.142"]).contains("London"));
    let (_, talk) = texts(&casbah.run(&["enrich", "nonsense"]));
    insta::assert_snapshot!(talk, @r"
    error: `nonsense` is neither an IP address nor a client
    hint: a client looks like `curl/8.5.0`; quote it
    ");
    let checked = casbah.list(&["enrich", "check"]);
    let sources: Vec<_> = checked.iter().map(|source| source["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["geo", "ranges", "list", "user-agents"]);
    let settings = casbah.ok(&["config", "check"]);
    for name in ["enrich.geo", "enrich.ranges", "tor-exits (tor.txt)"] {
        assert!(settings.contains(name), "{name} is missing:\n{settings}");
    }
}

#[test]
fn a_saved_log_is_enriched() {
    let casbah = casbah(OFFICE);
    let event = "{\"eventId\":\"1\",\"objectType\":\"SHEET\",\"action\":\"LOAD\",\"objectId\":7,\"eventTimestamp\":\"2026-11-20T10:00:00Z\",\
\"userId\":9,\"requestUserId\":9,\"source\":\"WEB_APP\",\"additionalDetails\":{\"sourceIpAddress\":\"81.2.69.142\"}}\n";
    std::fs::write(casbah.folder.path().join("log.json"), event).unwrap();
    let printed = casbah.ok(&["normalize", "--app", "smartsheet", "log.json"]);
    let activity: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(activity["country"], "GB", "{printed}");
    assert_eq!(activity["city"], "London");
    assert_eq!(activity["ip.tags"], "tor");
    let policies = casbah.folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(
        policies.join("tor.yaml"),
        "policy: tor\ntitle: From Tor\nseverity: low\nwhen:\n  - {field: ip.tags, contains: tor}\n",
    )
    .unwrap();
    let output = casbah.run(&["scan", "--app", "smartsheet", "--policies", "policies", "log.json"]);
    let (out, talk) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "an alert: {out}{talk}");
    assert!(out.contains("tor"), "{out}");
}

#[test]
fn what_is_fetched_is_stored_enriched() {
    let everywhere = "ranges: [{name: all, category: other, tags: [seen], subnets: [0.0.0.0/0, '::/0'], place: {country: CH}}]\n";
    let casbah = casbah(everywhere);
    let sim = simulator(20, 300, Live::All);
    casbah.connect(&sim, "acme");
    casbah.ok(&["run", "--once"]);
    let activities = casbah.list(&["activity", "list", "--limit", "1000"]);
    let placed = activities.iter().filter(|activity| !activity["ip"].is_null()).count();
    assert!(placed > 0, "the simulated company has addresses");
    for activity in &activities {
        let known = !activity["ip"].is_null();
        for (column, value) in [("ip.category", "other"), ("ip.tags", "seen"), ("country", "CH")] {
            assert_eq!(activity[column] == value, known, "{column} of {activity}");
        }
    }
}

#[test]
fn a_broken_source_stops_the_start_and_everything_wrong_is_told() {
    let casbah = casbah("ranges: [{name: x, category: home, subnets: [10.0.0.0/33]}]\n");
    std::fs::write(casbah.folder.path().join("city.mmdb"), "no database").unwrap();
    let output = casbah.run(&["run", "--once"]);
    let (_, talk) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(talk, @r"
    error: this is not a sound database in MaxMind's format: invalid database: could not find MaxMind DB metadata in file
     --> city.mmdb
    hint: download it again, and put it in place by renaming

    error: `home` is not a category
     --> ip-ranges.yaml:1:30
      |
    1 | ranges: [{name: x, category: home, subnets: [10.0.0.0/33]}]
      |                              ^^^^
    hint: the categories are `administrative`, `cloud-provider`, `corporate`, `other`, `risky`, `vpn`

    error: `10.0.0.0/33` is not a subnet
     --> ip-ranges.yaml:1:46
      |
    1 | ranges: [{name: x, category: home, subnets: [10.0.0.0/33]}]
      |                                              ^^^^^^^^^^^
    hint: write it as `192.0.2.0/24` or `2001:db8::/32`; a single address needs no length
    ");
    let output = casbah.run(&["enrich", "check", "ip-ranges.yaml"]);
    assert_eq!(output.status.code(), Some(1));
}
