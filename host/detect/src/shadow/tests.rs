//! Candidates beside the policies in force.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::evaluate::{Evaluator, EvaluatorOptions};
use crate::testing::{Act, MemoryStore, batch, group, tenant};

const LIVE: &str = "\
policy: mass
title: Mass export
severity: high
when: [{field: kind, is: export}]
repeat: {count: 3, within: 5m, by: actor}
alert: {group: [actor], quiet: 20m}
";
const LONG: Duration = Duration::from_secs(60);

fn candidate(text: &str) -> Group {
    let group = group(&[text]);
    Group::shadow(Arc::clone(group.detector()), Arc::clone(&group.policies()[0]))
}

/// So many exports of somebody, a second apart.
fn exports(from: usize, second: i64, actor: &'static str, count: usize) -> Vec<Act> {
    (0..count)
        .map(|n| Act { number: from + n, ..Act::new(second + n as i64, actor, "export", n as u8) })
        .collect()
}

fn start(store: &Arc<MemoryStore>, groups: Vec<Group>) -> Evaluator {
    Evaluator::start(Arc::clone(store) as _, tenant(), groups, EvaluatorOptions::default()).unwrap()
}

fn replaced(evaluator: &Evaluator, groups: Vec<Group>) {
    evaluator.replace(groups, &Arc::default()).unwrap();
    assert!(evaluator.wait_replaced(LONG));
    assert!(evaluator.wait_caught_up(LONG));
}

fn actors(alerts: &[Alert]) -> Vec<&str> {
    alerts.iter().map(|alert| alert.group[0].1.as_str()).collect()
}

/// A candidate sees the same activities from where it began, is never listed, and what differs is
/// told by person and window.
#[test]
fn a_candidate_is_compared_and_never_listed() {
    let store = MemoryStore::new();
    let stricter = LIVE.replace("count: 3", "count: 5").replace("severity: high", "severity: low");
    store.append(batch(&exports(0, 0, "before", 9)));
    let evaluator = start(&store, vec![group(&[LIVE])]);
    assert!(evaluator.wait_caught_up(LONG));
    replaced(&evaluator, vec![group(&[LIVE]), candidate(&stricter)]);
    store.append(batch(&exports(9, 3600, "few", 3)));
    store.append(batch(&exports(12, 7200, "many", 6)));
    assert!(evaluator.wait_caught_up(LONG));
    evaluator.stop();

    let listed = alerts::list(store.as_ref(), &tenant(), &AlertQuery::default()).unwrap().alerts;
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|listed| !listed.alert.shadow && listed.alert.policy == "mass"));

    let compared = compare(store.as_ref(), &tenant(), "mass").unwrap();
    assert_eq!((compared.from, compared.to), (10, 19), "from where both have seen all");
    assert_eq!(actors(&compared.only_old), ["few"]);
    assert!(compared.only_new.is_empty());
    let pairs: Vec<_> = compared
        .both
        .iter()
        .map(|pair| (pair.new.group[0].1.as_str(), &pair.differs[..]))
        .collect();
    assert_eq!(pairs, [("many", &["severity"][..])]);
    assert_eq!(compared.left_out, 0);

    // The same file in force and in shadow differs in nothing, and is told from it by its id.
    let known = candidates(store.as_ref(), &tenant()).unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(
        (known[0].from, known[0].offset, known[0].alerts, known[0].lag_rows),
        (10, 19, 1, 0)
    );
    let unknown = compare(store.as_ref(), &tenant(), "none").unwrap_err();
    insta::assert_snapshot!(unknown, @"
    no candidate `none` has run in shadow
    hint: `casbah policy shadow list` shows those that have, `casbah policy shadow add FILE` begins one
    ");

    forget(store.as_ref(), &tenant(), "mass").unwrap();
    assert!(candidates(store.as_ref(), &tenant()).unwrap().is_empty());
    assert_eq!(store.keys(Table::ShadowIndex), 0);
    assert_eq!(store.keys(Table::Alert), 3, "nothing of it is left");
}

/// A candidate may begin further back in the log than the policies in force are.
#[test]
fn a_candidate_may_begin_in_the_past() {
    let store = MemoryStore::new();
    store.append(batch(&exports(0, 0, "first", 3)));
    store.append(batch(&exports(3, 90_000, "second", 3)));
    let evaluator = start(&store, vec![group(&[LIVE])]);
    assert!(evaluator.wait_caught_up(LONG));
    let from = sequence_at(store.as_ref(), &tenant(), crate::testing::DAY + 80_000_000);
    assert_eq!(from, 4);
    assert!(begin(store.as_ref(), &tenant(), "mass", from).unwrap());
    replaced(&evaluator, vec![group(&[LIVE]), candidate(LIVE)]);
    assert!(!begin(store.as_ref(), &tenant(), "mass", 1).unwrap(), "it has run");
    evaluator.stop();
    let compared = compare(store.as_ref(), &tenant(), "mass").unwrap();
    assert_eq!((compared.from, compared.to), (4, 7));
    assert_eq!(compared.both.len(), 1);
    assert!(compared.both[0].differs.is_empty());
    assert_ne!(compared.both[0].old.id, compared.both[0].new.id);
    assert!(compared.only_old.is_empty() && compared.only_new.is_empty());
}

/// A candidate that comes in force goes on with what it has counted in shadow; one whose settings
/// are others begins anew.
#[test]
fn what_a_candidate_has_learned_is_taken_over() {
    for (settings, alerts) in [("count: 4", 1), ("count: 2", 0)] {
        let store = MemoryStore::new();
        let tried = LIVE.replace("count: 3", "count: 4");
        let promoted = LIVE.replace("count: 3", settings);
        store.append(batch(&exports(0, 0, "before", 1)));
        let evaluator = start(&store, vec![group(&[LIVE]), candidate(&tried)]);
        assert!(evaluator.wait_caught_up(LONG));
        store.append(batch(&exports(1, 60, "ana", 3)));
        assert!(evaluator.wait_caught_up(LONG));
        replaced(&evaluator, vec![group(&[&promoted])]);
        // The fourth export: only whoever remembers three of them notices it.
        store.append(batch(&exports(4, 70, "ana", 1)));
        assert!(evaluator.wait_caught_up(LONG));
        evaluator.stop();
        let query = AlertQuery::default();
        let listed = alerts::list(store.as_ref(), &tenant(), &query).unwrap().alerts;
        let revision = group(&[&promoted]).policies()[0].revision.clone();
        let made = listed.iter().filter(|listed| listed.alert.revision == revision).count();
        assert_eq!(made, alerts, "with `{settings}`");
        assert!(!candidates(store.as_ref(), &tenant()).unwrap()[0].running);
    }
}
