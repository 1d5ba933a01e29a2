//! `casbah scan` as a scanner for Sigma rules: JSON logs of other apps, rules used unchanged.

use std::io::Read as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Casbah, texts};

/// Events and rules that are published, as the tests of host/sigma have them.
fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sigma/tests/data").join(name)
}

fn run(casbah: &Casbah, arguments: &[&str]) -> (i32, String, String) {
    let output = casbah.run(arguments);
    let (out, talk) = texts(&output);
    (output.status.code().unwrap(), out, talk)
}

fn events() -> String {
    let file = std::fs::File::open(data("cloudtrail/events.ndjson.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

/// Published rules on published events: as many alerts whatever form the file has, each with its rule.
#[test]
fn sigma_rules_are_used_unchanged() {
    let casbah = Casbah::new();
    let rules = data("rules");
    let rules = rules.to_str().unwrap();
    let text = events();
    let lines: Vec<&str> = text.lines().collect();
    let folder = casbah.folder.path();
    std::fs::write(folder.join("lines.ndjson"), &text).unwrap();
    std::fs::write(folder.join("answer.json"), format!("{{\"Records\": [{}]}}", lines.join(",")))
        .unwrap();
    let zipped = data("cloudtrail/events.ndjson.gz");
    let mut expected: Option<Vec<Value>> = None;
    for file in [zipped.to_str().unwrap(), "lines.ndjson", "answer.json"] {
        let arguments =
            ["scan", "--mapping", "cloudtrail", "--sigma", rules, "--format", "json", file];
        let (code, out, talk) = run(&casbah, &arguments);
        assert_eq!(code, 1, "{talk}");
        let alerts: Vec<Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // 109 activities that rules of AWS mean, as another engine finds (host/sigma's tests).
        let hits: u64 = alerts.iter().map(|alert| alert["count"].as_u64().unwrap()).sum();
        assert_eq!(hits, 109, "{file}");
        assert!(alerts.iter().all(|alert| alert["policy"].as_str().unwrap().starts_with("sigma-")));
        assert_eq!(*expected.get_or_insert(alerts.clone()), alerts, "{file}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(talk, @"2900 activities, 283 policies, 21 alerts");
        }
    }
}

/// A log with damage is looked through as far as possible, and what was left out is said.
#[test]
fn broken_lines_and_refused_rules_are_named() {
    let casbah = Casbah::new();
    let folder = casbah.folder.path();
    std::fs::create_dir(folder.join("rules")).unwrap();
    let rule = |title: &str, product: &str| {
        format!(
            "title: {title}\nstatus: test\nlogsource:\n  product: {product}\n  service: audit\ndetection:\n  selection:\n    event: took\n  condition: selection\nlevel: high\n"
        )
    };
    std::fs::write(folder.join("rules/took.yml"), rule("Took", "github")).unwrap();
    std::fs::write(folder.join("rules/other.yml"), rule("Other", "nobody-knows")).unwrap();
    std::fs::write(
        folder.join("mapping.json"),
        r#"{"source": "github.audit", "columns": {"time": "at", "actor": "who"}}"#,
    )
    .unwrap();
    std::fs::write(
        folder.join("log.ndjson"),
        "{\"event\":\"took\",\"at\":\"2026-01-15T08:00:00Z\",\"who\":\"Ana@x.example\"}\n\n{\"cut off\n{\"event\":\"gave\"}\nnothing\n",
    )
    .unwrap();
    let arguments =
        ["scan", "--mapping", "mapping.json", "--sigma", "rules", "--verbose", "log.ndjson"];
    let (code, out, talk) = run(&casbah, &arguments);
    assert_eq!(code, 1, "{talk}");
    assert!(out.contains("ana@x.example") && out.contains("sigma-took"), "{out}");
    insta::assert_snapshot!(talk, @r#"
    `log.ndjson`, line 3: at byte 9 there should be a `"` that ends the text
    `log.ndjson`, line 5: at byte 0 there should be an object
    2 records could not be read
    not used: no activities are known to come from the log source `product: nobody-knows, service: audit`
     --> rules/other.yml:3:1
      |
    3 | logsource:
      | ^^^^^^^^^
    hint: the log sources that are known stand in casbah's `host/sigma/logsources.yaml`

    1 Sigma rule is not used
    2 activities, 1 policy, 1 alert
    "#);
    let (code, _, talk) =
        run(&casbah, &["scan", "--mapping", "mapping.json", "--sigma", "rules", "log.ndjson"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(talk, @r#"
    `log.ndjson`, line 3: at byte 9 there should be a `"` that ends the text
    `log.ndjson`, line 5: at byte 0 there should be an object
    2 records could not be read
    1 Sigma rule is not used; --verbose says why
    2 activities, 1 policy, 1 alert
    "#);
    // Without rules of its own it is a log like any other.
    let (code, out, _) = run(&casbah, &["normalize", "--mapping", "mapping.json", "log.ndjson"]);
    assert_eq!((code, out.lines().count()), (0, 2), "{out}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let casbah = Casbah::new();
    std::fs::write(casbah.folder.path().join("x.json"), "{\"a\": 1}").unwrap();
    std::fs::write(casbah.folder.path().join("x.csv"), "a,b\n1,2\n").unwrap();
    std::fs::create_dir(casbah.folder.path().join("empty")).unwrap();
    let said = |arguments: &[&str]| {
        let (code, _, talk) = run(&casbah, arguments);
        format!("{code} {talk}")
    };
    insta::assert_snapshot!(said(&["connect", "json", "--name", "x"]), @r#"
    2 error: `json` is no app to connect: its adapter reads saved files
    hint: `casbah scan --app json FILE`
    "#);
    insta::assert_snapshot!(said(&["scan", "--mapping", "cloudtrial", "x.json"]), @"1 error: `x.json`, from byte 0: there is no mapping `cloudtrial`; the ready-made ones are `azure`, `cloudtrail`, `github`, `google-workspace`, `m365`, `okta`");
    insta::assert_snapshot!(said(&["scan", "--mapping", "okta", "--app", "smartsheet", "x.json"]), @r#"
    2 error: `smartsheet` needs no mapping
    hint: --mapping is for `--app json`
    "#);
    insta::assert_snapshot!(said(&["scan", "--mapping", "none.json", "x.json"]), @"1 error: the mapping `none.json` can't be read: No such file or directory (os error 2)");
    insta::assert_snapshot!(said(&["scan", "--mapping", "okta", "--sigma", "empty", "x.json"]), @r#"
    2 error: there are no Sigma rules there
    hint: rules are files ending in `.yml` or `.yaml`
    "#);
    insta::assert_snapshot!(said(&["scan", "--mapping", "okta", "x.csv"]), @"1 error: `x.csv`, from byte 0: these are no JSON records: in line 1, at byte 0 there should be an object or an array");
}
