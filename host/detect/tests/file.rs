//! The policy file beyond rows: severities, alerting, responses, lists and groups.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what helps tests fails with them"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use casbah_detect::{Lists, PolicyErrors, PolicyFile, PolicySet, PolicySource, Sources};
use insta::assert_snapshot;

mod support;
use support::NativeDetectors;

fn source(file: &str, text: &str) -> PolicySource {
    PolicySource { file: file.to_owned(), bytes: text.as_bytes().to_vec() }
}

const LISTS: &[(&str, &str)] = &[
    ("lists/vip.txt", "ana@example.com\nbea@example.com\n"),
    ("lists/staff.csv", "email,team\nana@example.com,sales\ncas@example.com,legal\n"),
    ("lists/none.txt", "# nobody yet\n"),
    ("lists/networks.txt", "203.0.113.0/24\nhere\n"),
];

fn read_with(
    text: &str,
    lists: &[(&str, &str)],
    groups: Option<&[&str]>,
) -> Result<PolicySet, PolicyErrors> {
    let files: Vec<_> = lists.iter().map(|(file, text)| source(file, text)).collect();
    let lists = Lists::read(&files).unwrap();
    let groups: Option<BTreeSet<String>> =
        groups.map(|groups| groups.iter().map(|group| (*group).to_owned()).collect());
    let policies = [source("p.yaml", text)];
    let sources = Sources { policies: &policies, lists: &lists, groups: groups.as_ref() };
    PolicySet::read_with(&sources, &NativeDetectors)
}

fn policy(text: &str, lists: &[(&str, &str)]) -> Arc<PolicyFile> {
    Arc::clone(&read_with(text, lists, None).unwrap().policies()[0])
}

fn errors(text: &str) -> String {
    let groups = ["Finance", "Legal"];
    read_with(text, LISTS, Some(&groups)).err().map(|errors| errors.to_string()).unwrap_or_default()
}

const HEAD: &str = "policy: p\ntitle: P\nseverity: low\n";

#[test]
fn lists_and_groups_are_filled_in() {
    let text = format!(
        "{HEAD}when:\n\
         - {{field: actor, in: {{list: vip}}}}\n\
         - any:\n\
         \x20   - {{field: recipient, in: [zoe@example.com, {{list: staff, column: email}}]}}\n\
         \x20   - {{field: actor.groups, has: {{group: Finance}}}}\n"
    );
    let policy = policy(&text, LISTS);
    assert_snapshot!(policy.settings_json, @r#"{"policy":"p","quiet":86400000,"when":[{"field":"actor","in":["ana@example.com","bea@example.com"]},{"any":[{"field":"recipient","in":["zoe@example.com","ana@example.com","cas@example.com"]},{"field":"actor.groups","has":["Finance"]}]}]}"#);
    let used: Vec<_> = policy.lists.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(used, ["staff", "vip"]);
    let unchecked = read_with(&text, LISTS, None).unwrap();
    assert_eq!(unchecked.unchecked_groups().iter().collect::<Vec<_>>(), ["Finance"]);
    let checked = read_with(&text, LISTS, Some(&["finance"])).unwrap();
    assert!(checked.unchecked_groups().is_empty());
}

/// What a policy has counted does not depend on what is in its lists, on severities, nor on who
/// answers for an exception; what is meant does.
#[test]
fn state_is_kept_where_counting_stays_the_same() {
    let text = |severity: &str, list: &str| {
        format!(
            "policy: p\ntitle: P\nseverity: {severity}\nwhen: [{{field: actor, in: {{list: {list}}}}}]\n"
        )
    };
    let digest = |text: &str, vip: &str| {
        let lists = [("lists/vip.txt", vip), ("lists/other.txt", "ana")];
        policy(text, &lists).settings_digest.clone()
    };
    let plain = digest(&text("low", "vip"), "ana");
    assert_eq!(plain, digest(&text("low", "vip"), "ana\nbea"));
    assert_eq!(plain, digest(&text("high", "vip"), "ana"));
    assert_ne!(plain, digest(&text("low", "other"), "ana"));
    let changed = policy(&text("low", "vip"), &[("lists/vip.txt", "bea")]);
    assert!(changed.settings_json.contains("bea"));
}

#[test]
fn what_is_wrong_with_lists_and_groups() {
    let rows = "\
when:
  - {field: actor, in: {list: vips}}
  - {field: recipient, in: {list: staff}}
  - {field: actor.email, in: {list: staff, column: mail}}
  - {field: actor.groups, has: {group: Fincance}}
  - {field: ip, cidr: {list: networks}}
  - {field: token, in: {list: none}}
  - {field: token, in: {list: vip, colum: x}}
";
    assert_snapshot!(errors(&format!("{HEAD}{rows}")), @r"
    error: there is no list `vips`
     --> p.yaml:5:31
      |
    5 |   - {field: actor, in: {list: vips}}
      |                               ^^^^
    hint: did you mean `vip`?

    error: the list `staff` has several columns
     --> p.yaml:6:35
      |
    6 |   - {field: recipient, in: {list: staff}}
      |                                   ^^^^^
    hint: say which: `{list: staff, column: email}`; there are `email`, `team`

    error: the list `staff` has no column `mail`
     --> p.yaml:7:52
      |
    7 |   - {field: actor.email, in: {list: staff, column: mail}}
      |                                                    ^^^^
    hint: did you mean `email`?

    error: the directory knows no group `Fincance`
     --> p.yaml:8:40
      |
    8 |   - {field: actor.groups, has: {group: Fincance}}
      |                                        ^^^^^^^^
    hint: did you mean `Finance`?

    error: `here` is not a range of addresses: what stands before the `/` is no IP address (filled in from the list `networks`)
     --> p.yaml:9:17
      |
    9 |   - {field: ip, cidr: {list: networks}}
      |                 ^^^^
    hint: write it like `10.0.0.0/8` or `2001:db8::/32`

    error: the list `none` has no values
      --> p.yaml:10:31
       |
    10 |   - {field: token, in: {list: none}}
       |                               ^^^^
    hint: write one into `lists/none.txt`; as it is, the row would be meant for nothing

    error: `colum` is not a key of a reference to a list
      --> p.yaml:11:36
       |
    11 |   - {field: token, in: {list: vip, colum: x}}
       |                                    ^^^^^
    hint: did you mean `column`?
    ");
}

#[test]
fn what_is_wrong_with_alerting() {
    assert_snapshot!(errors(&format!("{HEAD}{}", r#"when: [{field: kind, is: export}]
alert:
  group: [actor]
  title: "{actr} exports"
  description: '{ip} was used'
  daily-limit: 0
respond: [suspend, Call Bob]
"#)), @r#"
    error: an alert of this policy knows no `actr`
     --> p.yaml:7:11
      |
    7 |   title: "{actr} exports"
      |           ^^^^^^
    hint: did you mean `actor`?

    error: an alert of this policy knows no `ip`
     --> p.yaml:8:17
      |
    8 |   description: '{ip} was used'
      |                 ^^^^
    hint: alerts are told apart by `actor`; add `ip` to `alert.group`

    error: `daily-limit` must be a whole number from 1 to 1000000
     --> p.yaml:9:16
      |
    9 |   daily-limit: 0
      |                ^

    error: `Call Bob` does not belong into `respond`
      --> p.yaml:10:20
       |
    10 | respond: [suspend, Call Bob]
       |                    ^^^^^^^^
    hint: a response has a name of 1 to 63 of a-z, 0-9 and `-`
    "#);
}

#[test]
fn what_is_wrong_with_severities() {
    let errors = |severity: &str| {
        errors(&format!(
            "policy: p\ntitle: P\nwhen: [{{field: kind, is: export}}]\nseverity: {severity}\n"
        ))
    };
    assert_snapshot!(errors("{default: low, hihg: [{field: app, is: x}], critical: yes}"), @r"
    error: `hihg` is not a severity
     --> p.yaml:4:26
      |
    4 | severity: {default: low, hihg: [{field: app, is: x}], critical: yes}
      |                          ^^^^
    hint: did you mean `high`?

    error: `critical` must be a list of rows, this is a text
     --> p.yaml:4:65
      |
    4 | severity: {default: low, hihg: [{field: app, is: x}], critical: yes}
      |                                                                 ^^^
    hint: write `critical: [{field: actor.admin, is: true}]`
    ");
    assert_snapshot!(errors("{high: [{field: app, is: x}]}"), @r"
    error: `severity` has rows and no `default`
     --> p.yaml:4:1
      |
    4 | severity: {high: [{field: app, is: x}]}
      | ^^^^^^^^
    hint: say what alerts have that no rows fit: `severity: {default: medium, …}`
    ");
    assert_snapshot!(errors("{default: lo}"), @r"
    error: `lo` is not a severity
     --> p.yaml:4:21
      |
    4 | severity: {default: lo}
      |                     ^^
    hint: did you mean `low`?
    ");
    assert_snapshot!(errors("7"), @r"
    error: `severity` must be a severity, this is a whole number
     --> p.yaml:4:11
      |
    4 | severity: 7
      |           ^
    hint: write `severity: high`, or `severity: {default: medium, high: [rows]}`
    ");
    assert_snapshot!(errors("{default: low, high: [{field: app, is: x}, {field: knd, is: x}]}"), @r"
    error: `knd` is not a field
     --> p.yaml:4:62
      |
    4 | severity: {default: low, high: [{field: app, is: x}, {field: knd, is: x}]}
      |                                                              ^^^
    hint: did you mean `kind`?
    ");
}

#[test]
fn alerting_is_read() {
    let policy = policy(
        &format!(
            "{HEAD}{}",
            r#"when: [{field: kind, is: export}]
alert: {group: [actor], title: "{actor}: {count}", description: "Ask them.", daily-limit: 5}
respond: [suspend, notify-owner]
"#
        ),
        &[],
    );
    assert_eq!(policy.daily_limit, Some(5));
    assert_eq!(policy.respond, ["suspend", "notify-owner"]);
    assert!(policy.templates.title.is_some() && policy.templates.description.is_some());
    assert_eq!(policy.templates, casbah_detect::policy::Templates::of(&policy.source));
}

/// What a test says is known fills the columns that casbah would fill, and nothing that it says itself.
#[test]
fn facts_are_known_in_tests() {
    let text = format!(
        "{HEAD}{}",
        r#"when: [{field: kind, is: export}]
alert: {group: [actor, person, actor.status, actor.since, actor.groups, actor.admin, ip.tags, country]}
tests:
  - name: facts
    directory:
      - {person: Ana@example.com, aliases: [ana-2], status: active, groups: [Sales, Board], admin: true}
      - {person: ana@example.com, status: leaving, since: "2026-01-05T11:00:00Z"}
    addresses:
      203.0.113.7: {country: NL, tags: [tor, hosting], category: outside}
    given:
      - {kind: export, actor: ANA-2, ip: 203.0.113.7}
      - {kind: export, actor: ana@example.com, after: 2h, country: DE, ip: 203.0.113.7}
      - {kind: export, actor: bea@example.com, after: -2h, ip: 203.0.113.8}
    expect:
      alerts:
        - {exactly: true, group: {actor: ANA-2, person: ana@example.com, actor.status: active, actor.groups: "Sales,Board", actor.admin: "true", ip.tags: "tor,hosting", country: NL}}
        - {group: {actor: ana@example.com, actor.status: leaving, actor.since: "2026-01-05T11:00:00Z", actor.groups: "Sales,Board", country: DE}, first: "2026-01-05T12:00:00Z"}
        - {group: {actor: bea@example.com, person: bea@example.com}, first: "2026-01-05T10:00:00Z", last: "2026-01-05T10:00:00Z"}
"#
    );
    assert_snapshot!(tested(&text), @r"
    FAIL p: facts
     --> p.yaml:7
      no alert fits expected alert 1: actor ANA-2, person ana@example.com, actor.status active, actor.groups Sales,Board, actor.admin true, ip.tags tor,hosting, country NL
      activities arrived as one batch; alerts:
        actor bea@example.com, person bea@example.com, actor.status , actor.since , actor.groups , actor.admin , ip.tags , country , severity low, count 1, 2026-01-05T10:00:00Z to 2026-01-05T10:00:00Z: bea@example.com exported
        actor ANA-2, person ana@example.com, actor.status active, actor.since , actor.groups Sales,Board, actor.admin 1, ip.tags tor,hosting, country NL, severity low, count 1, 2026-01-05T10:00:00Z to 2026-01-05T10:00:00Z: ANA-2 exported
        actor ana@example.com, person ana@example.com, actor.status leaving, actor.since 1767610800000, actor.groups Sales,Board, actor.admin 1, ip.tags tor,hosting, country DE, severity low, count 1, 2026-01-05T12:00:00Z to 2026-01-05T12:00:00Z: ana@example.com exported
    ");
}

fn tested(text: &str) -> String {
    let set = read_with(text, LISTS, None).unwrap_or_else(|errors| panic!("{errors}"));
    let mut said = Vec::new();
    for (_, results) in casbah_detect::run_all(&set, &NativeDetectors) {
        said.extend(results.unwrap().iter().map(ToString::to_string));
    }
    said.join("\n\n")
}

/// Everything that an alert can be expected to be, right and wrong.
#[test]
fn alerts_are_expected_in_part_or_in_full() {
    let text = format!(
        "{HEAD}{}",
        r#"when: [{field: kind, is: export}]
repeat: {count: 2, within: 1h}
alert: {group: [actor], title: "{actor}: {count}", description: "Since {first}."}
respond: [suspend, notify]
tests:
  - name: silence
    given: [{kind: export}]
    silent: true
  - name: no silence
    given: [{kind: export, repeat: 2}]
    silent: true
  - name: in part
    given: [{kind: export, repeat: 2}, {kind: export, repeat: 2, actor: bea@example.com}]
    expect: {alerts: [{title: "example.com: 2", description: Since, respond: [notify]}], more: true}
  - name: in full
    given: [{kind: export, repeat: 2}]
    expect: {alerts: [{exactly: true, group: {actor: ana@example.com}, title: "ana@example.com: 2", description: "Since 2026-01-05T10:00:00Z.", respond: [suspend, notify], first: "2026-01-05T10:00:00Z", last: "2026-01-05T10:00:01Z", count: 2, severity: low}]}
  - name: not in full
    given: [{kind: export, repeat: 2}]
    expect: {alerts: [{exactly: true, title: ana@example.com}]}
  - name: not all responses
    given: [{kind: export, repeat: 2}]
    expect: {alerts: [{exactly: true, respond: [suspend]}]}
  - name: other times
    given: [{kind: export, repeat: 2}]
    expect: {alerts: [{last: "2026-01-05T10:00:00Z"}]}
  - name: other details
    given: [{kind: export, repeat: 2}]
    expect: {alerts: [{details: {threshold: 3}}]}
  - name: too few
    given: [{kind: export, repeat: 2}]
    expect: {alerts: [{count: 2}, {count: 2}], more: true}
  - name: whoever is asked first finds another
    given: [{kind: export, repeat: 2}, {kind: export, repeat: 2, actor: bea@example.com}]
    expect: {alerts: [{count: 2}, {group: {actor: ana@example.com}}]}
"#
    );
    assert_snapshot!(tested(&text), @r"
    pass p: silence

    FAIL p: no silence
     --> p.yaml:12
      expected 0 alerts, got 1
      activities arrived as one batch; alerts:
        actor ana@example.com, severity low, count 2, 2026-01-05T10:00:00Z to 2026-01-05T10:00:01Z: Exported 2 times within 1 hour (threshold 2)

    pass p: in part

    pass p: in full

    FAIL p: not in full
     --> p.yaml:21
      no alert fits expected alert 1: title `ana@example.com`: its title is `ana@example.com: 2`
      activities arrived as one batch; alerts:
        actor ana@example.com, severity low, count 2, 2026-01-05T10:00:00Z to 2026-01-05T10:00:01Z: Exported 2 times within 1 hour (threshold 2)

    FAIL p: not all responses
     --> p.yaml:24
      no alert fits expected alert 1: responses suspend: its responses are `suspend, notify`
      activities arrived as one batch; alerts:
        actor ana@example.com, severity low, count 2, 2026-01-05T10:00:00Z to 2026-01-05T10:00:01Z: Exported 2 times within 1 hour (threshold 2)

    FAIL p: other times
     --> p.yaml:27
      no alert fits expected alert 1: last 2026-01-05T10:00:00Z: its last is 2026-01-05T10:00:01Z
      activities arrived as one batch; alerts:
        actor ana@example.com, severity low, count 2, 2026-01-05T10:00:00Z to 2026-01-05T10:00:01Z: Exported 2 times within 1 hour (threshold 2)

    FAIL p: other details
     --> p.yaml:30
      no alert fits expected alert 1: threshold 3: its details are count 2, threshold 2, within 1 hour, kinds export
      activities arrived as one batch; alerts:
        actor ana@example.com, severity low, count 2, 2026-01-05T10:00:00Z to 2026-01-05T10:00:01Z: Exported 2 times within 1 hour (threshold 2)

    FAIL p: too few
     --> p.yaml:33
      expected at least 2 alerts, got 1
      activities arrived as one batch; alerts:
        actor ana@example.com, severity low, count 2, 2026-01-05T10:00:00Z to 2026-01-05T10:00:01Z: Exported 2 times within 1 hour (threshold 2)

    pass p: whoever is asked first finds another
    ");
}

#[test]
fn what_is_wrong_with_facts_and_expectations() {
    assert_snapshot!(errors(&format!("{HEAD}{}", r#"when: [{field: kind, is: export}]
tests:
  - name: people
    directory: [{persn: ana}, {person: ana, status: gone, since: noon, groups: ["a,b"], admin: 1}, bea]
    addresses: {here: {contry: NL}, 203.0.113.7: {country: 7, tags: [1]}, 203.0.113.8: NL}
    given: [{after: -5}]
    expect: {alerts: 1, more: true}
  - name: both
    given: []
    silent: true
    expect: {alerts: 1}
  - name: neither
    directory: ana
    addresses: NL
    given: []
    silent: false
  - name: times
    given: []
    expect: {alerts: [{first: noon, title: 7, details: [a], exactly: 1}]}
"#)), @r#"
    error: `person` is missing
     --> p.yaml:7:17
      |
    7 |     directory: [{persn: ana}, {person: ana, status: gone, since: noon, groups: ["a,b"], admin: 1}, bea]
      |                 ^
    hint: add a line `person: …`

    error: `persn` is not a key of a person
     --> p.yaml:7:18
      |
    7 |     directory: [{persn: ana}, {person: ana, status: gone, since: noon, groups: ["a,b"], admin: 1}, bea]
      |                  ^^^^^
    hint: did you mean `person`?

    error: `gone` is not a state of an account
     --> p.yaml:7:53
      |
    7 |     directory: [{persn: ana}, {person: ana, status: gone, since: noon, groups: ["a,b"], admin: 1}, bea]
      |                                                     ^^^^
    hint: states are `active`, `pending`, `declined`, `disabled`, `leaving`, `left`, `deleted`

    error: `since` must be a time
     --> p.yaml:7:66
      |
    7 |     directory: [{persn: ana}, {person: ana, status: gone, since: noon, groups: ["a,b"], admin: 1}, bea]
      |                                                                  ^^^^
    hint: write it as `2026-01-05T10:00:00Z`

    error: `a,b` does not belong into `groups`
     --> p.yaml:7:81
      |
    7 |     directory: [{persn: ana}, {person: ana, status: gone, since: noon, groups: ["a,b"], admin: 1}, bea]
      |                                                                                 ^^^^^
    hint: names with commas can't be told apart in `actor.groups`

    error: `admin` must be true or false, this is a whole number
     --> p.yaml:7:96
      |
    7 |     directory: [{persn: ana}, {person: ana, status: gone, since: noon, groups: ["a,b"], admin: 1}, bea]
      |                                                                                                ^

    error: a person must be a mapping, this is a text
     --> p.yaml:7:100
      |
    7 |     directory: [{persn: ana}, {person: ana, status: gone, since: noon, groups: ["a,b"], admin: 1}, bea]
      |                                                                                                    ^^^

    error: `here` is not an address
     --> p.yaml:8:17
      |
    8 |     addresses: {here: {contry: NL}, 203.0.113.7: {country: 7, tags: [1]}, 203.0.113.8: NL}
      |                 ^^^^
    hint: write `addresses: {203.0.113.7: {country: NL, tags: [tor]}}`

    error: `contry` is not known of an address
     --> p.yaml:8:24
      |
    8 |     addresses: {here: {contry: NL}, 203.0.113.7: {country: 7, tags: [1]}, 203.0.113.8: NL}
      |                        ^^^^^^
    hint: did you mean `country`?

    error: `country` is a text, this is a whole number
     --> p.yaml:8:60
      |
    8 |     addresses: {here: {contry: NL}, 203.0.113.7: {country: 7, tags: [1]}, 203.0.113.8: NL}
      |                                                            ^

    error: `tags` is a list of texts, this is a list
     --> p.yaml:8:70
      |
    8 |     addresses: {here: {contry: NL}, 203.0.113.7: {country: 7, tags: [1]}, 203.0.113.8: NL}
      |                                                                      ^

    error: what is known of an address must be a mapping, this is a text
     --> p.yaml:8:88
      |
    8 |     addresses: {here: {contry: NL}, 203.0.113.7: {country: 7, tags: [1]}, 203.0.113.8: NL}
      |                                                                                        ^^

    error: `after` must be a duration
     --> p.yaml:9:21
      |
    9 |     given: [{after: -5}]
      |                     ^^
    hint: write a whole number and a unit, such as `90s`, `5m`, `24h` or `7d`

    error: `more` goes with a list of alerts, not with a number
      --> p.yaml:10:25
       |
    10 |     expect: {alerts: 1, more: true}
       |                         ^^^^
    hint: write `alerts: [{count: 30}]`, or take `more` out

    error: `expect` and `silent` exclude each other
      --> p.yaml:13:5
       |
    13 |     silent: true
       |     ^^^^^^
    hint: keep one of them

    error: `expect` is missing
      --> p.yaml:15:5
       |
    15 |   - name: neither
       |     ^
    hint: add `expect: {alerts: 1}`, or `silent: true` where nothing must happen

    error: `directory` must be a list of people, this is a text
      --> p.yaml:16:16
       |
    16 |     directory: ana
       |                ^^^
    hint: write `directory: [{person: ana@example.com, status: disabled}]`

    error: `addresses` must be a mapping, this is a text
      --> p.yaml:17:16
       |
    17 |     addresses: NL
       |                ^^

    error: `first` must be a time
      --> p.yaml:22:31
       |
    22 |     expect: {alerts: [{first: noon, title: 7, details: [a], exactly: 1}]}
       |                               ^^^^
    hint: write it as `2026-01-05T10:00:00Z`

    error: `title` must be a text, this is a whole number
      --> p.yaml:22:44
       |
    22 |     expect: {alerts: [{first: noon, title: 7, details: [a], exactly: 1}]}
       |                                            ^
    hint: put it in quotes

    error: `details` must be a mapping, this is a list
      --> p.yaml:22:56
       |
    22 |     expect: {alerts: [{first: noon, title: 7, details: [a], exactly: 1}]}
       |                                                        ^

    error: `exactly` must be true or false, this is a whole number
      --> p.yaml:22:70
       |
    22 |     expect: {alerts: [{first: noon, title: 7, details: [a], exactly: 1}]}
       |                                                                      ^
    "#);
}
