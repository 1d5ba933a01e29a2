//! A backtest against what a running evaluation has stored, and sets of policies against each other.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::alerts::{self, AlertQuery};
use crate::evaluate::{Evaluator, EvaluatorOptions};
use crate::testing::{Act, MASS, MemoryStore, PUBLISHED, batch, group, tenant};

fn store(acts: &[Act], cut: usize) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    acts.chunks(cut.max(1)).for_each(|acts| store.append(batch(acts)));
    store
}

fn run(store: &MemoryStore, sets: Vec<Vec<Group>>, threads: usize) -> Vec<Backtest> {
    backtest(store, &tenant(), sets, threads, &|_, _| true).unwrap()
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let kinds = prop::sample::select(vec!["export", "download", "publish", "view"]);
    let act = (0_i64..5000, prop::sample::select(vec!["ana", "bo"]), kinds, 0_u8..5);
    prop::collection::vec(act, 1..120).prop_map(|mut acts| {
        acts.sort();
        let numbered = acts.into_iter().enumerate();
        numbered
            .map(|(number, (second, actor, kind, object))| Act {
                number,
                ..Act::new(second, actor, kind, object)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The policies that were in force all the time give again what is stored, whole, on any number
    /// of threads and with the log cut anywhere.
    #[test]
    fn policies_in_force_give_the_stored_alerts(acts in acts(), cut in 1_usize..40, threads in 1_usize..4) {
        let groups = || vec![group(&[MASS]), Group::new("second", group(&[PUBLISHED]).detector().clone(), group(&[PUBLISHED]).policies().to_vec())];
        let store = store(&acts, cut);
        let evaluator = Evaluator::start(
            Arc::clone(&store) as Arc<dyn Store>, tenant(), groups(), EvaluatorOptions::default(),
        ).unwrap();
        prop_assert!(evaluator.wait_caught_up(Duration::from_secs(60)));
        evaluator.stop();
        let stored = alerts::list(store.as_ref(), &tenant(), &AlertQuery::default()).unwrap();
        let mut stored: Vec<Alert> = stored.alerts.into_iter().map(|listed| listed.alert).collect();
        sort(&mut stored);
        let found = run(&store, vec![groups()], threads).remove(0);
        prop_assert_eq!(found.alerts, stored);
    }
}

#[test]
fn several_sets_know_nothing_of_each_other() {
    let acts: Vec<Act> =
        (0..9).map(|n| Act::new(i64::from(n) * 20, "ana", "export", n as u8)).collect();
    let store = store(&acts, 2);
    let stricter = MASS.replace("count: 3", "count: 8");
    let never = MASS.replace("count: 3", "count: 80");
    let sets = vec![vec![group(&[MASS])], vec![group(&[&stricter])], vec![group(&[&never])]];
    let counts: Vec<Vec<u64>> = run(&store, sets, 2)
        .into_iter()
        .map(|found| found.alerts.iter().map(|alert| alert.count).collect())
        .collect();
    assert_eq!(counts, [vec![9], vec![9], vec![]]);
}

#[test]
fn it_ends_early_when_told_to() {
    let acts: Vec<Act> =
        (0..100).map(|n| Act::new(i64::from(n) * 20, "ana", "export", n as u8)).collect();
    let store = store(&acts, 1);
    let sets = vec![vec![group(&[MASS])], vec![group(&[PUBLISHED])]];
    let found = backtest(store.as_ref(), &tenant(), sets, 2, &|done, total| {
        assert_eq!(total, 100);
        done < 10
    })
    .unwrap();
    // Three exports are there after the first three blocks, the last ones were never looked at.
    assert!(found[0].alerts.iter().map(|alert| alert.count).sum::<u64>() < 50);
}

#[test]
fn an_empty_log_and_no_policies_are_no_trouble() {
    assert!(run(&MemoryStore::new(), vec![vec![group(&[MASS])]], 2)[0].alerts.is_empty());
    assert!(
        run(&store(&[Act::new(0, "ana", "export", 1)], 1), vec![vec![]], 2)[0].alerts.is_empty()
    );
    assert!(run(&store(&[Act::new(0, "ana", "export", 1)], 1), vec![], 2).is_empty());
}

#[test]
fn differences_are_told_by_what_alerts_are_about() {
    let acts: Vec<Act> = (0..4)
        .map(|n| Act::new(i64::from(n) * 20, "ana", "export", n as u8))
        .chain((0..3).map(|n| Act::new(i64::from(n) * 20, "bo", "export", n as u8)))
        .chain((0..3).map(|n| Act::new(4000 + i64::from(n) * 20, "eve", "download", n as u8)))
        .chain((0..3).map(|n| Act::new(4000 + i64::from(n) * 20, "joe", "view", n as u8)))
        .collect();
    let store = store(&acts, 5);
    // Without `distinct`, with views and without downloads, under another name.
    let other = MASS
        .replace("policy: mass", "policy: mass-2")
        .replace("[export, download]", "[export, view]")
        .replace("severity: high", "severity: low");
    let mut found = run(&store, vec![vec![group(&[MASS])], vec![group(&[&other])]], 2).into_iter();
    let (old, new) = (found.next().unwrap().alerts, found.next().unwrap().alerts);
    let people = |alerts: &[Alert]| -> Vec<String> {
        alerts.iter().map(|alert| alert.group[0].1.clone()).collect()
    };
    let renamed = BTreeMap::from([("mass".to_owned(), "mass-2".to_owned())]);
    let apart = difference(&tenant(), old.clone(), new.clone(), &BTreeMap::new());
    assert_eq!((apart.only_old.len(), apart.only_new.len(), apart.same), (3, 3, 0));
    let told = difference(&tenant(), old, new, &renamed);
    assert_eq!(people(&told.only_old), ["eve"]);
    assert_eq!(people(&told.only_new), ["joe"]);
    let changed: Vec<_> =
        told.changed.iter().map(|(old, new)| (old.severity, new.severity)).collect();
    assert_eq!(changed.len(), 2, "ana and bo are there in both, with another severity");
    assert_eq!(told.same, 0);
}
