//! Every message about a policy file that a person can see.

use casbah_detect::policy::read_folder;
use casbah_detect::{Detectors, PolicySet, PolicySource, run_tests};
use insta::assert_snapshot;
use proptest::prelude::*;

mod support;
use support::NativeDetectors;

fn source(file: &str, bytes: &[u8]) -> PolicySource {
    PolicySource { file: file.to_owned(), bytes: bytes.to_vec() }
}

/// All messages about one file.
fn errors(text: &str) -> String {
    errors_of(&[source("p.yaml", text.as_bytes())])
}

fn errors_of(sources: &[PolicySource]) -> String {
    PolicySet::read(sources, &NativeDetectors)
        .err()
        .map(|errors| errors.to_string())
        .unwrap_or_default()
}

const GOOD: &str = "\
policy: good
title: Good
severity: low
when: [{field: kind, is: export}]
";

#[test]
fn everything_at_once() {
    assert_snapshot!(errors("\
policy: Mass Export
titel: Mass export
severity: hihg
detector: activty
category: data-los
mitre: [T1567, X1]
references: [example.com]
enabled: perhaps
description: 7
alert: {group: [actor], quite: 24h, quiet: long}
"), @r#"
    error: `title` is missing
     --> p.yaml:1:1
      |
    1 | policy: Mass Export
      | ^
    hint: add a line `title: …`

    error: `Mass Export` is not a name of a policy
     --> p.yaml:1:9
      |
    1 | policy: Mass Export
      |         ^^^^^^^^^^^
    hint: use 1 to 63 of a-z, 0-9 and `-`, starting with a letter or digit

    error: `titel` is not a key of a policy
     --> p.yaml:2:1
      |
    2 | titel: Mass export
      | ^^^^^
    hint: did you mean `title`?

    error: `hihg` is not a severity
     --> p.yaml:3:11
      |
    3 | severity: hihg
      |           ^^^^
    hint: did you mean `high`?

    error: there is no detector `activty`
     --> p.yaml:4:11
      |
    4 | detector: activty
      |           ^^^^^^^
    hint: did you mean `activity`?

    error: `data-los` is not a category
     --> p.yaml:5:11
      |
    5 | category: data-los
      |           ^^^^^^^^
    hint: did you mean `data-loss`?

    error: `X1` does not belong into `mitre`
     --> p.yaml:6:16
      |
    6 | mitre: [T1567, X1]
      |                ^^
    hint: a technique is written as `T1567` or `T1567.002`

    error: `example.com` does not belong into `references`
     --> p.yaml:7:14
      |
    7 | references: [example.com]
      |              ^^^^^^^^^^^
    hint: a reference is an address that begins with `https://`

    error: `enabled` must be true or false, this is a text
     --> p.yaml:8:10
      |
    8 | enabled: perhaps
      |          ^^^^^^^

    error: `description` must be a text, this is a whole number
     --> p.yaml:9:14
      |
    9 | description: 7
      |              ^
    hint: put it in quotes

    error: `quite` is not a key of `alert`
      --> p.yaml:10:25
       |
    10 | alert: {group: [actor], quite: 24h, quiet: long}
       |                         ^^^^^
    hint: did you mean `quiet`?

    error: `quiet` must be a duration
      --> p.yaml:10:44
       |
    10 | alert: {group: [actor], quite: 24h, quiet: long}
       |                                            ^^^^
    hint: write a whole number and a unit, such as `90s`, `5m`, `24h` or `7d`
    "#);
}

#[test]
fn what_the_detector_finds_is_led_back_to_its_line() {
    assert_snapshot!(errors("\
policy: counts
title: Counts
severity: low
when:
  - {field: app, is: smartsheet}
  - {field: knid, is: export}
  - any:
      - {field: ip.category, not: corporate}
repeat:
  count: 1
  within: 5 minutes
  by: actor
alert:
  group: [object]
  quiet: 1m
"), @r#"
    error: `knid` is not a field
     --> p.yaml:6:13
      |
    6 |   - {field: knid, is: export}
      |             ^^^^
    hint: did you mean `kind`?

    error: `missing` must say whether activities without `ip.category` match
     --> p.yaml:8:9
      |
    8 |       - {field: ip.category, not: corporate}
      |         ^
    hint: `missing: no-match` leaves them out, `missing: match` takes them in

    error: `count` must be at least 2
      --> p.yaml:10:10
       |
    10 |   count: 1
       |          ^
    hint: without `repeat`, every activity is a finding

    error: `5 minutes` is not a length of time
      --> p.yaml:11:11
       |
    11 |   within: 5 minutes
       |           ^^^^^^^^^
    hint: write a whole number with a unit: `90s`, `5m`, `24h` or `7d`
    "#);
}

/// What the host hands to the detector under other keys is shown where the author wrote it.
#[test]
fn problems_of_group_and_quiet_stand_under_alert() {
    assert_snapshot!(errors("\
policy: counts
title: \"Counts\\e[0m\"
severity: low
when: [{field: kind, is: export}]
repeat: {count: 10, within: 5m, by: actor}
alert:
  group: [actor, object]
  quiet: 1m
"), @r#"
    error: `title` has control characters in it
     --> p.yaml:2:8
      |
    2 | title: "Counts\e[0m"
      |        ^^^^^^^^^^^^^
    hint: take them out; they would reach the terminals of those who read it

    error: alerts can't be grouped by `object`: activities are counted by `actor`
     --> p.yaml:7:18
      |
    7 |   group: [actor, object]
      |                  ^^^^^^
    hint: add `object` to `repeat.by`, or group by what is counted by

    error: the quiet time must be at least as long as `repeat.within`, which is 5 minutes
     --> p.yaml:8:10
      |
    8 |   quiet: 1m
      |          ^^
    hint: one alert stands for all that happens within a quiet time
    "#);
}

#[test]
fn keys_of_the_detector_and_of_the_host() {
    assert_snapshot!(errors("\
policy: keys
title: Keys
severity: low
when: [{field: kind, is: export}]
repaet: {count: 3, within: 5m}
group: [actor]
frobnicate: [notify]
"), @r"
    error: `repaet` is not a key of a policy
     --> p.yaml:5:1
      |
    5 | repaet: {count: 3, within: 5m}
      | ^^^^^^
    hint: did you mean `repeat`?

    error: `group` is not a key of a policy
     --> p.yaml:6:1
      |
    6 | group: [actor]
      | ^^^^^
    hint: write `alert: {group: …}`

    error: `frobnicate` is not a key of a policy
     --> p.yaml:7:1
      |
    7 | frobnicate: [notify]
      | ^^^^^^^^^^
    hint: the keys of a policy with detector `activity` are `policy`, `title`, `description`, `severity`, `detector`, `category`, `mitre`, `references`, `enabled`, `alert`, `respond`, `tests`, `absence`, `repeat`, `sequence`, `unless`, `when`
    ");
}

#[test]
fn tests_that_are_not_well_formed() {
    assert_snapshot!(errors(&format!("{GOOD}tests:
  - name: one
    given:
      - {{knd: export, actr: ana, time: noon, anonymous: 1, amount: many, fields: [a], objects: {{}}}}
      - {{repeat: 0, every: soon, at: today, after: 5m, object: 7, frob: 1}}
      - {{objects: [{{rloe: object}}], fields: {{a: [[1]]}}}}
    expect: {{alerts: [{{cuont: 1, severity: bad, group: ana}}], finding: 1}}
  - name: one
    given: []
    expect: {{alerts: 0}}
  - name: two
    expect: 3
    shufle: true
  - given: export
    expect: {{}}
  - five
")), @r#"
    error: there is no column `knd`
     --> p.yaml:8:10
      |
    8 |       - {knd: export, actr: ana, time: noon, anonymous: 1, amount: many, fields: [a], objects: {}}
      |          ^^^
    hint: did you mean `kind`?

    error: there is no column `actr`
     --> p.yaml:8:23
      |
    8 |       - {knd: export, actr: ana, time: noon, anonymous: 1, amount: many, fields: [a], objects: {}}
      |                       ^^^^
    hint: did you mean `actor`?

    error: column `time` is a time such as 2026-01-05T10:00:00Z, this is a text
     --> p.yaml:8:40
      |
    8 |       - {knd: export, actr: ana, time: noon, anonymous: 1, amount: many, fields: [a], objects: {}}
      |                                        ^^^^

    error: column `anonymous` is a flag: true or false, this is a whole number
     --> p.yaml:8:57
      |
    8 |       - {knd: export, actr: ana, time: noon, anonymous: 1, amount: many, fields: [a], objects: {}}
      |                                                         ^

    error: column `amount` is a whole number, this is a text
     --> p.yaml:8:68
      |
    8 |       - {knd: export, actr: ana, time: noon, anonymous: 1, amount: many, fields: [a], objects: {}}
      |                                                                    ^^^^

    error: `fields` must be a mapping, this is a list
     --> p.yaml:8:82
      |
    8 |       - {knd: export, actr: ana, time: noon, anonymous: 1, amount: many, fields: [a], objects: {}}
      |                                                                                  ^

    error: `objects` must be a list, this is a mapping
     --> p.yaml:8:96
      |
    8 |       - {knd: export, actr: ana, time: noon, anonymous: 1, amount: many, fields: [a], objects: {}}
      |                                                                                                ^
    hint: write `objects: [{role: object, kind: sheet, id: "1"}]`

    error: `repeat` must be a whole number from 1 to 100000
     --> p.yaml:9:18
      |
    9 |       - {repeat: 0, every: soon, at: today, after: 5m, object: 7, frob: 1}
      |                  ^

    error: `every` must be a duration
     --> p.yaml:9:28
      |
    9 |       - {repeat: 0, every: soon, at: today, after: 5m, object: 7, frob: 1}
      |                            ^^^^
    hint: write a whole number and a unit, such as `90s`, `5m`, `24h` or `7d`

    error: `at` must be a time
     --> p.yaml:9:38
      |
    9 |       - {repeat: 0, every: soon, at: today, after: 5m, object: 7, frob: 1}
      |                                      ^^^^^
    hint: write it as `2026-01-05T10:00:00Z`

    error: `at` and `after` exclude each other
     --> p.yaml:9:45
      |
    9 |       - {repeat: 0, every: soon, at: today, after: 5m, object: 7, frob: 1}
      |                                             ^^^^^
    hint: keep one of them

    error: column `object` is a text, this is a whole number
     --> p.yaml:9:64
      |
    9 |       - {repeat: 0, every: soon, at: today, after: 5m, object: 7, frob: 1}
      |                                                                ^
    hint: put it in quotes

    error: there is no column `frob`
     --> p.yaml:9:67
      |
    9 |       - {repeat: 0, every: soon, at: today, after: 5m, object: 7, frob: 1}
      |                                                                   ^^^^
    hint: columns are those of the published vocabulary; what the app says beyond them goes into `fields: {name: value}`

    error: `rloe` is not a key of an object
      --> p.yaml:10:21
       |
    10 |       - {objects: [{rloe: object}], fields: {a: [[1]]}}
       |                     ^^^^
    hint: did you mean `role`?

    error: field `a` must be a text
      --> p.yaml:10:50
       |
    10 |       - {objects: [{rloe: object}], fields: {a: [[1]]}}
       |                                                  ^
    hint: write it as the adapter does: what is not a text is JSON in quotes

    error: `cuont` is not a key of an expected alert
      --> p.yaml:11:24
       |
    11 |     expect: {alerts: [{cuont: 1, severity: bad, group: ana}], finding: 1}
       |                        ^^^^^
    hint: did you mean `count`?

    error: `bad` is not a severity
      --> p.yaml:11:44
       |
    11 |     expect: {alerts: [{cuont: 1, severity: bad, group: ana}], finding: 1}
       |                                            ^^^
    hint: severities are `info`, `low`, `medium`, `high`, `critical`

    error: `group` must be a mapping, this is a text
      --> p.yaml:11:56
       |
    11 |     expect: {alerts: [{cuont: 1, severity: bad, group: ana}], finding: 1}
       |                                                        ^^^

    error: `finding` is not a key of `expect`
      --> p.yaml:11:63
       |
    11 |     expect: {alerts: [{cuont: 1, severity: bad, group: ana}], finding: 1}
       |                                                               ^^^^^^^
    hint: the keys of `expect` are `alerts`, `more`

    error: `given` is missing
      --> p.yaml:15:5
       |
    15 |   - name: two
       |     ^
    hint: add `given:` with a list of activities, such as `- {kind: export}`

    error: `expect` must be a mapping, this is a whole number
      --> p.yaml:16:13
       |
    16 |     expect: 3
       |             ^

    error: `shufle` is not a key of a test
      --> p.yaml:17:5
       |
    17 |     shufle: true
       |     ^^^^^^
    hint: did you mean `shuffle`?

    error: `name` is missing
      --> p.yaml:18:5
       |
    18 |   - given: export
       |     ^
    hint: add a line `name: …`

    error: `given` must be a list of activities, this is a text
      --> p.yaml:18:12
       |
    18 |   - given: export
       |            ^^^^^^
    hint: write `given: [{kind: export}]`

    error: `expect` says nothing
      --> p.yaml:19:5
       |
    19 |     expect: {}
       |     ^^^^^^
    hint: write `expect: {alerts: 1}`, or a list of alerts

    error: a test must be a mapping, this is a text
      --> p.yaml:20:5
       |
    20 |   - five
       |     ^^^^
    "#);
}

#[test]
fn two_files_with_one_name() {
    let sources = [source("a.yaml", GOOD.as_bytes()), source("b/a.yaml", GOOD.as_bytes())];
    assert_snapshot!(errors_of(&sources), @r#"
    error: `a.yaml` and `b/a.yaml` have one name
     --> b/a.yaml:1:9
      |
    1 | policy: good
      |         ^^^^
    hint: rename one of them: alerts of policy `good` would be mixed up
    "#);
}

#[test]
fn files_that_are_not_yaml() {
    let mut all = String::new();
    for (what, bytes) in [
        ("empty", &b""[..]),
        ("a list", b"- policy: a\n"),
        ("a tab", b"policy: a\nalert:\n\tgroup: [actor]\n"),
        ("an open bracket", b"policy: a\nwhen: [{field: kind\n"),
        ("bad indentation", b"policy: a\n  title: b\n"),
        ("a key twice", b"policy: a\ntitle: b\npolicy: c\n"),
        ("an alias", b"policy: &a a\ntitle: *a\n"),
        ("a tag", b"policy: !!str a\n"),
        ("two documents", b"policy: a\n---\npolicy: b\n"),
        ("not UTF-8", b"policy: a\ntitle: caf\xe9\n"),
        ("a control character", b"policy: a\ntitle: a\x1b[31mb\n"),
        ("a key that is no text", b"[a, b]: c\n"),
    ] {
        all.push_str(&format!("{what}\n{}\n\n", errors_of(&[source("p.yaml", bytes)])));
    }
    assert_snapshot!(all, @r#"
    empty
    error: the file is empty
     --> p.yaml:1:1
    hint: begin with `policy: name-of-the-policy`

    a list
    error: a policy is a mapping, this is a list
     --> p.yaml:1:1
      |
    1 | - policy: a
      | ^
    hint: begin with `policy: name-of-the-policy`

    a tab
    error: this is not YAML: tabs disallowed within this context (block indentation)
     --> p.yaml:3:2
      |
    3 |  group: [actor]
      |  ^
    hint: indent with spaces; YAML does not allow tabs there

    an open bracket
    error: this is not YAML: while parsing a flow mapping, did not find expected ',' or '}'
     --> p.yaml:2:20
      |
    2 | when: [{field: kind
      |                    ^
    hint: check indentation, quotes and brackets here and in the line before

    bad indentation
    error: this is not YAML: mapping values are not allowed in this context
     --> p.yaml:2:8
      |
    2 |   title: b
      |        ^
    hint: check indentation, quotes and brackets here and in the line before

    a key twice
    error: `policy` is given twice, first in line 1
     --> p.yaml:3:1
      |
    3 | policy: c
      | ^^^^^^
    hint: keep one of them

    an alias
    error: anchors (`&`) and aliases (`*`) are not used in policies
     --> p.yaml:1:9
      |
    1 | policy: &a a
      |         ^^^^
    hint: write the value out; a text that begins with `*` or `&` is put in quotes

    a tag
    error: tags such as `!name` are not used in policies
     --> p.yaml:1:9
      |
    1 | policy: !!str a
      |         ^^^^^^^
    hint: take it out; a text is put in quotes

    two documents
    error: a second document begins here
     --> p.yaml:2:1
      |
    2 | ---
      | ^^^
    hint: write one file a policy

    not UTF-8
    error: byte 20 is not UTF-8
     --> p.yaml:2:11
      |
    2 | title: caf�
      |           ^
    hint: save the file as UTF-8

    a control character
    error: there is a control character here (U+001B)
     --> p.yaml:2:9
      |
    2 | title: a?[31mb
      |         ^
    hint: take it out, or write it as an escape in double quotes

    a key that is no text
    error: a key must be a text
     --> p.yaml:1:1
      |
    1 | [a, b]: c
      | ^
    "#);
}

/// Whatever is in a file, reading it is bounded and ends in a message.
#[test]
fn files_meant_to_do_harm() {
    let mut aliases = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for letter in 'b'..'j' {
        let before = char::from_u32(letter as u32 - 1).unwrap();
        aliases.push_str(&format!("{letter}: &{letter} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}]\n"));
    }
    let deep_flow = format!("policy: {}\n", "[".repeat(100_000));
    let deep_block: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    let huge = "# nothing\n".repeat(120_000);
    let many = format!("policy: a\nwhen: [{}]\n", "a,".repeat(100_000));
    let keys: String = (0..60_000).map(|n| format!("k{n}: 1\n")).collect();
    let long_line = format!(
        "policy: a\ntitle: {}\nseverity: low\nwhen: [{{field: {}}}]\n",
        "x".repeat(10_000),
        "é".repeat(10_000)
    );
    let mut all = String::new();
    for (what, text) in [
        ("aliases that grow", aliases),
        ("deep flow", deep_flow),
        ("deep blocks", deep_block),
        ("huge", huge),
        ("many values", many),
        ("many keys", keys),
        ("long lines", long_line),
    ] {
        let message = errors(&text);
        assert!(message.len() < 5000, "{what}: {} bytes of message", message.len());
        all.push_str(&format!("{what}\n{message}\n\n"));
    }
    assert_snapshot!(all, @r#"
    aliases that grow
    error: anchors (`&`) and aliases (`*`) are not used in policies
     --> p.yaml:1:4
      |
    1 | a: &a [x, x, x, x, x, x, x, x, x]
      |    ^^^^
    hint: write the value out; a text that begins with `*` or `&` is put in quotes

    deep flow
    error: this is not YAML: recursion limit exceeded
     --> p.yaml:1:264
      |
    1 | …[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[…
      |                                                             ^
    hint: check indentation, quotes and brackets here and in the line before

    deep blocks
    error: this is nested more than 32 deep
      --> p.yaml:34:34
       |
    34 |                                  a:
       |                                  ^

    huge
    error: the file has 1200000 bytes; a policy may have 1048576
     --> p.yaml:1:1
    hint: put lists as long as that into several policies

    many values
    error: there are more than 50000 values
     --> p.yaml:2:100002
      |
    2 | …,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a…
      |                                                             ^

    many keys
    error: there are more than 50000 values
         --> p.yaml:50000:9
          |
    50000 | k49999: 1
          |         ^

    long lines
    error: `éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé…` is not a field
     --> p.yaml:4:16
      |
    4 | when: [{field: ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé…
      |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    hint: the app's own fields are written `fields.NAME`; the columns are listed in the vocabulary
    "#);
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("policies");
    let errors = PolicySet::load(&missing, &NativeDetectors).unwrap_err().to_string();
    let errors = errors.replace(&missing.display().to_string(), "DIR");
    assert_snapshot!(errors, @r#"
    error: cannot read `DIR`: No such file or directory (os error 2)
     --> DIR
    hint: policies are files ending in `.yaml` in one folder
    "#);
}

/// Other files in the folder are left alone, and so are subfolders.
#[test]
fn a_folder_with_other_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.yaml"), GOOD).unwrap();
    std::fs::write(folder.path().join("README.md"), "# no policy").unwrap();
    std::fs::create_dir(folder.path().join("old.yaml")).unwrap();
    let set = PolicySet::load(folder.path(), &NativeDetectors).unwrap();
    assert_eq!(set.policies().len(), 1);
    let policy = &set.policies()[0];
    assert_eq!((policy.name.as_str(), policy.quiet, policy.enabled), ("good", 86_400_000, true));
    assert_snapshot!(policy.settings_json, @r#"{"policy":"good","quiet":86400000,"when":[{"field":"kind","is":"export"}]}"#);
    assert_eq!(policy.revision.len(), 12);
}

/// What a test that fails tells: what was expected, what came, and how the activities arrived.
#[test]
fn tests_that_fail() {
    let text = "\
policy: failing
title: Failing
severity: low
when: [{field: kind, is: export}]
repeat: {count: 2, within: 5m, by: actor}
tests:
  - name: none at all
    given: [{kind: view}]
    expect: {alerts: 1}
  - name: too many
    given:
      - {repeat: 2, kind: export, actor: \"ana\\e[31m@example.com\"}
      - {repeat: 2, kind: export, actor: bo@example.com}
    expect: {alerts: 1}
  - name: another group
    given: [{repeat: 3, kind: export}]
    expect: {alerts: [{group: {actor: bo@example.com}, count: 3, severity: high, summary: printed}]}
  - name: passes
    shuffle: true
    given: [{repeat: 2, kind: export}]
    expect: {alerts: [{group: {actor: ana@example.com}, count: 2, severity: low}]}
";
    let set = PolicySet::read(&[source("p.yaml", text.as_bytes())], &NativeDetectors).unwrap();
    let policy = &set.policies()[0];
    let detector =
        NativeDetectors.configure("activity", std::slice::from_ref(&policy.settings_json)).unwrap();
    let results: Vec<String> =
        run_tests(policy, &detector).iter().map(ToString::to_string).collect();
    assert_snapshot!(results.join("\n\n"), @r"
    FAIL failing: none at all
     --> p.yaml:7
      expected 1 alert, got 0
      activities arrived as one batch; alerts:
        none

    FAIL failing: too many
     --> p.yaml:10
      expected 1 alert, got 2
      activities arrived as one batch; alerts:
        actor ana?[31m@example.com, severity low, count 2, 2026-01-05T10:00:00Z to 2026-01-05T10:00:01Z: Exported 2 times within 5 minutes (threshold 2)
        actor bo@example.com, severity low, count 2, 2026-01-05T10:00:02Z to 2026-01-05T10:00:03Z: Exported 2 times within 5 minutes (threshold 2)

    FAIL failing: another group
     --> p.yaml:15
      no alert fits expected alert 1: actor bo@example.com, severity high, count 3, summary with `printed`: its group is actor ana@example.com
      activities arrived as one batch; alerts:
        actor ana@example.com, severity low, count 3, 2026-01-05T10:00:00Z to 2026-01-05T10:00:02Z: Exported 3 times within 5 minutes (threshold 2)

    pass failing: passes
    ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens to a policy file, it is read or refused with a message that fits a terminal.
    #[test]
    fn damaged_files_are_read_or_refused(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(DAMAGE.to_vec()), any::<bool>()), 1..4),
    ) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies");
        let sources = read_folder(std::path::Path::new(folder)).unwrap();
        let mut bytes = sources[which.index(sources.len())].bytes.clone();
        for (at, with, replace) in damage {
            let at = at.index(bytes.len());
            let end = if replace { (at + with.len()).min(bytes.len()) } else { at };
            bytes.splice(at..end, with.bytes());
        }
        if let Err(errors) = PolicySet::read(&[source("p.yaml", &bytes)], &NativeDetectors) {
            let text = errors.to_string();
            prop_assert!(!text.is_empty());
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
            prop_assert!(text.lines().all(|line| line.chars().count() < 400), "{text}");
        }
    }
}

const DAMAGE: &[&str] = &[
    "\n",
    " ",
    "\t",
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    ",",
    "-",
    "- ",
    "\"",
    "'",
    "#",
    "&a ",
    "*a",
    "!x ",
    "|",
    ">",
    "\0",
    "\u{1b}[31m",
    "é",
    "\u{202e}",
    "---\n",
    "...\n",
    "? ",
    "%",
    "9223372036854775808",
    "null",
    "true",
    "~",
    "\"\\x1b[31m\"",
    "\r",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
];

/// Types of plain scalars are those of YAML 1.2: a country code is no flag, an id no float.
#[test]
fn scalars_are_what_they_look_like() {
    let text = "\
policy: scalars
title: Scalars
severity: low
when:
  - {field: country, in: [no, NO, on, yes]}
  - {field: object, is: 99999999999999999999999}
  - {field: fields.version, is: 1.10.0}
  - {field: actor.name, is: nan}
  - {field: token, is: .inf}
  - {field: time, above: 0x10}
";
    let set = PolicySet::read(&[source("p.yaml", text.as_bytes())], &NativeDetectors).unwrap();
    assert_snapshot!(set.policies()[0].settings_json, @r#"{"policy":"scalars","quiet":86400000,"when":[{"field":"country","in":["no","NO","on","yes"]},{"field":"object","is":"99999999999999999999999"},{"field":"fields.version","is":"1.10.0"},{"field":"actor.name","is":"nan"},{"field":"token","is":".inf"},{"above":16,"field":"time"}]}"#);
}
