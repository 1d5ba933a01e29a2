//! Explanations of alerts whose reasons are known.

use super::*;
use crate::policy::{PolicySet, PolicySource};
use crate::support::NativeDetectors;
use crate::testing::{Act, MemoryStore, batch, tenant};

const MASS: &str = "\
policy: mass
title: Mass export
severity: high
when:
  - {field: app, is: smartsheet}
  - any:
      - {field: kind, is: export}
      - {field: kind, is: download}
  - not: {field: object, is: sheet-9}
    missing: match
repeat: {count: 3, within: 5m, by: actor}
alert: {group: [actor], quiet: 20m}
";

/// The alert of the policy about ana, explained.
fn explained(text: &str, acts: &[Act]) -> (Alert, Explanation) {
    let store = MemoryStore::new();
    acts.chunks(3).for_each(|acts| store.append(batch(acts)));
    let source = PolicySource { file: "mass.yaml".to_owned(), bytes: text.as_bytes().to_vec() };
    let set = PolicySet::read(&[source], &NativeDetectors).unwrap();
    let mut offline = Offline::new(tenant(), set.groups(&NativeDetectors).unwrap());
    for info in store.blocks(&tenant()) {
        let block = store.read(&tenant(), info.first_sequence).unwrap().unwrap();
        offline.feed_at(&block.batch, info.first_sequence).unwrap();
    }
    let alerts = offline.alerts();
    let alert = alerts.iter().find(|alert| alert.group[0].1 == "ana").unwrap().clone();
    let policy = set.get(&alert.policy).unwrap();
    let explanation = explain(store.as_ref(), &tenant(), policy, &alert, &NativeDetectors).unwrap();
    (alert, explanation)
}

fn shown(explanation: &Explanation) -> String {
    let mut text = String::new();
    for condition in &explanation.conditions {
        let values: Vec<String> =
            condition.values.iter().map(|(value, count)| format!("{value} x{count}")).collect();
        let held = condition.held.map_or(String::new(), |held| format!(" held {held}"));
        text.push_str(&format!(
            "{}: {}{}{held} [{}]\n",
            condition.line,
            "  ".repeat(condition.depth),
            condition.text,
            values.join(", ")
        ));
    }
    for sentence in &explanation.different {
        text.push_str(&format!("- {sentence}\n"));
    }
    text
}

fn exports(count: i64, every: i64) -> Vec<Act> {
    (0..count).map(|n| Act::new(n * every, "ana", "export", n as u8)).collect()
}

#[test]
fn conditions_numbers_and_what_would_have_been_different() {
    let mut acts = exports(4, 60);
    acts.push(Act::new(70, "ana", "download", 1));
    acts.push(Act::new(80, "ana", "export", 9));
    acts.push(Act::new(90, "ana", "view", 1));
    acts.push(Act::new(91, "ana", "view", 2));
    acts.push(Act::new(92, "bo", "view", 2));
    acts.sort_by_key(|act| act.second);
    let (alert, explanation) = explained(MASS, &acts);
    assert_eq!(alert.count, 5);
    assert!(explanation.reproduced);
    insta::assert_snapshot!(shown(&explanation), @r#"
    5: {field: app, is: smartsheet} held 5 [smartsheet x5]
    6: any []
    7:   {field: kind, is: export} held 4 [export x4, download x1]
    8:   {field: kind, is: download} held 1 [export x4, download x1]
    9: not []
    9:   {field: object, is: sheet-9} held 0 [sheet-1 x2, sheet-0 x1, sheet-2 x1, sheet-3 x1]
    - with `count: 6` it would not have fired: the fullest window held 5, and 3 were enough
    - with `within: 1m` or less it would not have fired
    - without `{any: [{field: kind, is: export}, {field: kind, is: download}]}` 2 more activities of that time would have counted, beside 5
    - without `{not: {field: object, is: sheet-9}, missing: match}` 1 more activity of that time would have counted, beside 5
    "#);
}

#[test]
fn the_count_and_time_that_are_told_are_the_bounds() {
    let acts = exports(7, 20);
    let (_, explanation) = explained(MASS, &acts);
    let fires = |text: String| {
        let store = MemoryStore::new();
        store.append(batch(&acts));
        let source = PolicySource { file: "mass.yaml".to_owned(), bytes: text.into_bytes() };
        let set = PolicySet::read(&[source], &NativeDetectors).unwrap();
        let mut offline = Offline::new(tenant(), set.groups(&NativeDetectors).unwrap());
        let block = store.read(&tenant(), 1).unwrap().unwrap();
        offline.feed(&block.batch).unwrap();
        !offline.alerts().is_empty()
    };
    // Seven of twenty seconds: three lie within more than forty.
    assert!(explanation.different[0].contains("with `count: 8`"), "{explanation:?}");
    assert!(
        !fires(MASS.replace("count: 3", "count: 8")) && fires(MASS.replace("count: 3", "count: 7"))
    );
    assert!(explanation.different[1].contains("with `within: 40s` or less"), "{explanation:?}");
    assert!(!fires(MASS.replace("5m", "40s")) && fires(MASS.replace("5m", "41s")));
}

#[test]
fn what_is_gone_is_not_reproduced() {
    let acts = exports(4, 60);
    let (alert, _) = explained(MASS, &acts);
    let source = PolicySource { file: "mass.yaml".to_owned(), bytes: MASS.as_bytes().to_vec() };
    let set = PolicySet::read(&[source], &NativeDetectors).unwrap();
    let store = MemoryStore::new();
    let explanation =
        explain(store.as_ref(), &tenant(), set.get("mass").unwrap(), &alert, &NativeDetectors)
            .unwrap();
    assert!(!explanation.reproduced);
    assert!(
        explanation.conditions.iter().all(|condition| condition.held.is_none_or(|held| held == 0))
    );
}

#[test]
fn a_single_activity_needs_no_window() {
    let text = "\
policy: published
title: Published
severity: low
when: [{field: kind, is: publish}, {field: fields.accessibleBy, is: ALL}, {field: objects.role, is: object}, {field: ip, not: 192.0.2.1, missing: match}]
alert: {group: [actor], quiet: 1h}
";
    let acts = [Act::new(5, "ana", "publish", 4), Act::new(6, "ana", "publish", 1)];
    let (_, explanation) = explained(text, &acts);
    insta::assert_snapshot!(shown(&explanation), @r#"
    4: {field: kind, is: publish} held 1 [publish x1]
    4: {field: fields.accessibleBy, is: ALL} held 1 [ALL x1]
    4: {field: objects.role, is: object} held 1 [object x1]
    4: {field: ip, not: 192.0.2.1, missing: match} held 1 [(absent) x1]
    "#);
}

#[test]
fn what_did_not_come_is_found_again() {
    let text = "\
policy: unreturned
title: Exported and never looked at
severity: low
sequence:
  within: 10m
  by: actor
  lateness: 1h
  steps:
    - {name: taken, when: [{field: kind, is: export}]}
    - {not: [{field: kind, is: view}]}
alert: {group: [actor], quiet: 1h}
";
    let mut acts = vec![Act::new(5, "ana", "export", 4), Act::new(7, "bo", "export", 4)];
    acts.push(Act::new(60, "bo", "view", 4));
    acts.push(Act::new(9_000, "bo", "view", 4));
    let (alert, explanation) = explained(text, &acts);
    assert_eq!(alert.group[0].1, "ana");
    assert!(explanation.reproduced);
    insta::assert_snapshot!(shown(&explanation), @r#"
    9: step taken []
    9:   {field: kind, is: export} held 1 [export x1]
    10: none of these []
    10:   {field: kind, is: view} held 0 [export x1]
    "#);
}
