//! The policy file beyond rows: severities, alerting, responses, lists and groups.

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
    assert_snapshot!(errors(&format!("{HEAD}{rows}")), @r"");
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
"#)), @r"");
}

#[test]
fn what_is_wrong_with_severities() {
    let errors = |severity: &str| {
        errors(&format!(
            "policy: p\ntitle: P\nwhen: [{{field: kind, is: export}}]\nseverity: {severity}\n"
        ))
    };
    assert_snapshot!(errors("{default: low, hihg: [{field: app, is: x}], critical: yes}"), @r"");
    assert_snapshot!(errors("{high: [{field: app, is: x}]}"), @r"");
    assert_snapshot!(errors("{default: lo}"), @r"");
    assert_snapshot!(errors("7"), @r"");
    assert_snapshot!(errors("{default: low, high: [{field: app, is: x}, {field: knd, is: x}]}"), @r"");
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
