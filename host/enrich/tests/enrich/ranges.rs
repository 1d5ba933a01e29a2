//! `ip-ranges.yaml`: what it does, and everything that can be wrong with it.

use casbah_enrich::{EnrichSettings, Enricher, ListSettings, check_ranges};

use crate::kit::{data, in_folder};

fn check(text: &str) -> Result<(usize, usize), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ip-ranges.yaml");
    std::fs::write(&path, text).unwrap();
    check_ranges(&path).map_err(|error| in_folder(error, folder.path()))
}

fn refused(text: &str) -> String {
    check(text).unwrap_err()
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let message = refused(
        "\
ranges:
  - name: Zurich
    category: coporate
    subnets: [192.0.2.0/24, 192.0.2.300, 7]
    tag: [office]
  - name: Zurich
    subnets: []
    tags: [a, 'b,c', '']
    place: {country: Switzerland, latitude: 91, town: Zurich}
  - category: vpn
    subnets: 10.0.0.0/8
  - just text
",
    );
    insta::assert_snapshot!(message, @r"
    error: `coporate` is not a category
     --> ip-ranges.yaml:3:15
      |
    3 |     category: coporate
      |               ^^^^^^^^
    hint: did you mean `corporate`?

    error: `192.0.2.300` is not a subnet
     --> ip-ranges.yaml:4:29
      |
    4 |     subnets: [192.0.2.0/24, 192.0.2.300, 7]
      |                             ^^^^^^^^^^^
    hint: write it as `192.0.2.0/24` or `2001:db8::/32`; a single address needs no length

    error: a subnet is a text, this is a whole number
     --> ip-ranges.yaml:4:42
      |
    4 |     subnets: [192.0.2.0/24, 192.0.2.300, 7]
      |                                          ^
    hint: write it as `192.0.2.0/24` or `2001:db8::/32`

    error: `tag` is not a key of a range
     --> ip-ranges.yaml:5:5
      |
    5 |     tag: [office]
      |     ^^^
    hint: did you mean `tags`?

    error: `category` is missing
     --> ip-ranges.yaml:6:5
      |
    6 |   - name: Zurich
      |     ^
    hint: add a line `category: …`

    error: `Zurich` is the name of the range in line 2 as well
     --> ip-ranges.yaml:6:11
      |
    6 |   - name: Zurich
      |           ^^^^^^
    hint: give each range a name of its own

    error: `subnets` is empty
     --> ip-ranges.yaml:7:5
      |
    7 |     subnets: []
      |     ^^^^^^^
    hint: name at least one, e.g. `subnets: [192.0.2.0/24]`

    error: `b,c` does not belong into `tags`
     --> ip-ranges.yaml:8:15
      |
    8 |     tags: [a, 'b,c', '']
      |               ^^^^^
    hint: a tag is a text without commas

    error: `` does not belong into `tags`
     --> ip-ranges.yaml:8:22
      |
    8 |     tags: [a, 'b,c', '']
      |                      ^^
    hint: a tag is a text without commas

    error: `Switzerland` is not a country
     --> ip-ranges.yaml:9:22
      |
    9 |     place: {country: Switzerland, latitude: 91, town: Zurich}
      |                      ^^^^^^^^^^^
    hint: write its two letters, e.g. `CH`

    error: there is a `latitude` but no `longitude`
     --> ip-ranges.yaml:9:35
      |
    9 |     place: {country: Switzerland, latitude: 91, town: Zurich}
      |                                   ^^^^^^^^
    hint: give both, or none

    error: `latitude` must be a number from -90 to 90
     --> ip-ranges.yaml:9:45
      |
    9 |     place: {country: Switzerland, latitude: 91, town: Zurich}
      |                                             ^^

    error: `town` is not a key of a place
     --> ip-ranges.yaml:9:49
      |
    9 |     place: {country: Switzerland, latitude: 91, town: Zurich}
      |                                                 ^^^^
    hint: the keys of a place are `name`, `country`, `region`, `latitude`, `longitude`, `accuracy`

    error: `name` is missing
      --> ip-ranges.yaml:10:5
       |
    10 |   - category: vpn
       |     ^
    hint: add a line `name: …`

    error: a range must be a mapping, this is a text
      --> ip-ranges.yaml:12:5
       |
    12 |   - just text
       |     ^^^^^^^^^
    ");
}

#[test]
fn overlaps_name_both_lines() {
    let message = refused(
        "\
ranges:
  - {name: all, category: corporate, subnets: [10.0.0.0/8, '2001:db8::/32']}
  - name: lab
    category: risky
    subnets:
      - 10.1.0.0/16
      - 10.2.0.0/16
  - {name: twice, category: other, subnets: [192.0.2.1, 192.0.2.1/32]}
  - {name: six, category: vpn, subnets: ['2001:db8:1::/48', '::ffff:10.0.0.0/104']}
",
    );
    insta::assert_snapshot!(message, @r"
    error: `10.1.0.0/16` of `lab` overlaps with `10.0.0.0/8` of `all` in line 2
     --> ip-ranges.yaml:6:9
      |
    6 |       - 10.1.0.0/16
      |         ^^^^^^^^^^^
    hint: an address can only be in one range: cut one of them down, or take it out

    error: `10.2.0.0/16` of `lab` overlaps with `10.0.0.0/8` of `all` in line 2
     --> ip-ranges.yaml:7:9
      |
    7 |       - 10.2.0.0/16
      |         ^^^^^^^^^^^
    hint: an address can only be in one range: cut one of them down, or take it out

    error: `192.0.2.1/32` of `twice` overlaps with `192.0.2.1` of `twice` in line 8
     --> ip-ranges.yaml:8:57
      |
    8 |   - {name: twice, category: other, subnets: [192.0.2.1, 192.0.2.1/32]}
      |                                                         ^^^^^^^^^^^^
    hint: an address can only be in one range: cut one of them down, or take it out

    error: `2001:db8:1::/48` of `six` overlaps with `2001:db8::/32` of `all` in line 2
     --> ip-ranges.yaml:9:42
      |
    9 |   - {name: six, category: vpn, subnets: ['2001:db8:1::/48', '::ffff:10.0.0.0/104']}
      |                                          ^^^^^^^^^^^^^^^^^
    hint: an address can only be in one range: cut one of them down, or take it out

    error: `::ffff:10.0.0.0/104` of `six` overlaps with `10.0.0.0/8` of `all` in line 2
     --> ip-ranges.yaml:9:61
      |
    9 |   - {name: six, category: vpn, subnets: ['2001:db8:1::/48', '::ffff:10.0.0.0/104']}
      |                                                             ^^^^^^^^^^^^^^^^^^^^^
    hint: an address can only be in one range: cut one of them down, or take it out
    ");
}

#[test]
fn other_files_are_refused() {
    insta::assert_snapshot!(refused(""), @r"
    error: the file is empty
     --> ip-ranges.yaml:1:1
    hint: begin with `ranges:` and a list
    ");
    insta::assert_snapshot!(refused("- name: x\n"), @r"
    error: a file of ranges is a mapping, this is a list
     --> ip-ranges.yaml:1:1
      |
    1 | - name: x
      | ^
    hint: begin with `ranges:` and a list
    ");
    insta::assert_snapshot!(refused("range: []\n"), @r"
    error: `ranges` is missing
     --> ip-ranges.yaml:1:1
      |
    1 | range: []
      | ^
    hint: add `ranges:` and a list of them

    error: `range` is not a key of a file of ranges
     --> ip-ranges.yaml:1:1
      |
    1 | range: []
      | ^^^^^
    hint: did you mean `ranges`?
    ");
    insta::assert_snapshot!(refused("ranges: &all []\n"), @r"
    error: anchors (`&`) and aliases (`*`) are not used in files of ranges
     --> ip-ranges.yaml:1:9
      |
    1 | ranges: &all []
      |         ^^^^^^
    hint: write the value out; a text that begins with `*` or `&` is put in quotes
    ");
    insta::assert_snapshot!(refused("ranges: all\n"), @r"
    error: `ranges` must be a list, this is a text
     --> ip-ranges.yaml:1:9
      |
    1 | ranges: all
      |         ^^^
    hint: begin every range with `- name: …`
    ");
}

#[test]
fn a_file_without_ranges_is_fine() {
    assert_eq!(check("ranges: []\n"), Ok((0, 0)));
    assert_eq!(check("ranges:\n"), Ok((0, 0)));
    assert_eq!(
        check("ranges: [{name: a, category: other, subnets: [10.0.0.0/8, 192.0.2.1-192.0.2.9]}]"),
        Ok((1, 2))
    );
}

/// What the organization says beats databases and lists; what it does not say is left to them.
#[test]
fn ranges_win_over_databases_and_lists() {
    let folder = tempfile::tempdir().unwrap();
    let ranges = folder.path().join("ip-ranges.yaml");
    std::fs::write(
        &ranges,
        "\
ranges:
  - name: Zurich office
    category: corporate
    subnets: [81.2.69.142, '2001:db8:1::/48']
    tags: [zurich, office]
    owner: Acme AG
    place: {name: Zurich, country: ch, latitude: 47.37, longitude: 8.54, accuracy: 2}
  - {name: clean, category: vpn, subnets: [81.2.69.144/28], tags: []}
  - {name: just a category, category: risky, subnets: [81.2.69.160/27]}
",
    )
    .unwrap();
    let list = folder.path().join("list.txt");
    std::fs::write(&list, "81.2.69.0/24\n").unwrap();
    let settings = EnrichSettings {
        geo: ["GeoIP2-City-Test.mmdb", "GeoIP2-Anonymous-IP-Test.mmdb"]
            .map(|name| data("maxmind").join(name))
            .into(),
        ranges: Some(ranges),
        lists: vec![ListSettings {
            name: "brutes".to_owned(),
            file: list,
            tags: vec!["brute-force".to_owned()],
        }],
    };
    let enricher = Enricher::open(&settings).unwrap();
    let told = |address: &str| {
        let facts = enricher.look_up(address).unwrap().facts;
        let told: Vec<_> = facts
            .iter()
            .map(|f| in_folder(format!("{} {} ({})", f.fact, f.value, f.from), folder.path()))
            .map(|line| in_folder(line, &data("maxmind")))
            .collect();
        told.join("\n")
    };
    insta::assert_snapshot!(told("81.2.69.142"), @r#"
    range "Zurich office" (ip-ranges.yaml@a5250103d5c4, 81.2.69.142/32 of `Zurich office` in line 2)
    ip.category "corporate" (ip-ranges.yaml@a5250103d5c4, 81.2.69.142/32 of `Zurich office` in line 2)
    ip.tags "zurich" (ip-ranges.yaml@a5250103d5c4, 81.2.69.142/32 of `Zurich office` in line 2)
    ip.tags "office" (ip-ranges.yaml@a5250103d5c4, 81.2.69.142/32 of `Zurich office` in line 2)
    country "CH" (ip-ranges.yaml@a5250103d5c4, 81.2.69.142/32 of `Zurich office` in line 2)
    city "Zurich" (ip-ranges.yaml@a5250103d5c4, 81.2.69.142/32 of `Zurich office` in line 2)
    latitude 47.37 (ip-ranges.yaml@a5250103d5c4, 81.2.69.142/32 of `Zurich office` in line 2)
    longitude 8.54 (ip-ranges.yaml@a5250103d5c4, 81.2.69.142/32 of `Zurich office` in line 2)
    accuracy 2.0 (ip-ranges.yaml@a5250103d5c4, 81.2.69.142/32 of `Zurich office` in line 2)
    network.owner "Acme AG" (ip-ranges.yaml@a5250103d5c4, 81.2.69.142/32 of `Zurich office` in line 2)
    "#);
    insta::assert_snapshot!(told("81.2.69.145"), @r#"
    range "clean" (ip-ranges.yaml@a5250103d5c4, 81.2.69.144/28 of `clean` in line 8)
    ip.category "vpn" (ip-ranges.yaml@a5250103d5c4, 81.2.69.144/28 of `clean` in line 8)
    country "GB" (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.144/28)
    region "England" (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.144/28)
    city "London" (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.144/28)
    latitude 51.5142 (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.144/28)
    longitude -0.0931 (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.144/28)
    accuracy 3.0 (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.144/28)
    "#);
    insta::assert_snapshot!(told("81.2.69.160"), @r#"
    range "just a category" (ip-ranges.yaml@a5250103d5c4, 81.2.69.160/27 of `just a category` in line 9)
    ip.category "risky" (ip-ranges.yaml@a5250103d5c4, 81.2.69.160/27 of `just a category` in line 9)
    ip.tags "anonymous-proxy" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.tags "brute-force" (list.txt@85b77fe7bcc4, 81.2.69.0/24)
    ip.tags "hosting" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.tags "residential-proxy" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.tags "tor" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.tags "vpn" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.lists "GeoIP2-Anonymous-IP-Test@914e22356d65" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.lists "brutes@85b77fe7bcc4" (list.txt@85b77fe7bcc4, 81.2.69.0/24)
    country "GB" (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.160/27)
    region "England" (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.160/27)
    city "London" (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.160/27)
    latitude 51.5142 (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.160/27)
    longitude -0.0931 (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.160/27)
    accuracy 100.0 (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.160/27)
    "#);
    insta::assert_snapshot!(told("2001:db8:1::7"), @r#"
    range "Zurich office" (ip-ranges.yaml@a5250103d5c4, 2001:db8:1::/48 of `Zurich office` in line 2)
    ip.category "corporate" (ip-ranges.yaml@a5250103d5c4, 2001:db8:1::/48 of `Zurich office` in line 2)
    ip.tags "zurich" (ip-ranges.yaml@a5250103d5c4, 2001:db8:1::/48 of `Zurich office` in line 2)
    ip.tags "office" (ip-ranges.yaml@a5250103d5c4, 2001:db8:1::/48 of `Zurich office` in line 2)
    country "CH" (ip-ranges.yaml@a5250103d5c4, 2001:db8:1::/48 of `Zurich office` in line 2)
    city "Zurich" (ip-ranges.yaml@a5250103d5c4, 2001:db8:1::/48 of `Zurich office` in line 2)
    latitude 47.37 (ip-ranges.yaml@a5250103d5c4, 2001:db8:1::/48 of `Zurich office` in line 2)
    longitude 8.54 (ip-ranges.yaml@a5250103d5c4, 2001:db8:1::/48 of `Zurich office` in line 2)
    accuracy 2.0 (ip-ranges.yaml@a5250103d5c4, 2001:db8:1::/48 of `Zurich office` in line 2)
    network.owner "Acme AG" (ip-ranges.yaml@a5250103d5c4, 2001:db8:1::/48 of `Zurich office` in line 2)
    "#);
}
