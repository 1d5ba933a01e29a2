//! What stays below the line: kept apart from alerts, fed back once, and an alert when it crosses.

use std::sync::Arc;
use std::time::Duration;

use casbah_model::StateKey;
use casbah_model::detector::{Detector, DetectorDescription, DetectorError, Outcome};

use super::*;
use crate::alerts::{self, AlertQuery};
use crate::evaluate::{Evaluator, EvaluatorOptions};
use crate::group::Group;
use crate::offline::Offline;
use crate::testing::{Act, DAY, MemoryStore, batch, group, tenant};

/// One alert an actor and day, for exports and for what others noticed of them.
const EXPORTS: &str = "\
policy: exports
title: Exports
severity: medium
when: [{field: kind, in: [export, behavior]}]
alert: {group: [actor], quiet: 24h}
";

/// Another detector whose findings stay below the line until an hour has passed.
struct Timid(Arc<dyn Detector>);

impl Detector for Timid {
    fn description(&self) -> &DetectorDescription {
        self.0.description()
    }

    fn evaluate(
        &self,
        batch: &Batch,
        load: &mut dyn FnMut(&[StateKey]) -> Vec<Vec<u8>>,
    ) -> Result<(Vec<StateKey>, Outcome), DetectorError> {
        let (keys, mut outcome) = self.0.evaluate(batch, load)?;
        for finding in &mut outcome.findings {
            finding.details.push(("line".to_owned(), "1".to_owned()));
            finding.behavior = finding.last < DAY + 3_600_000;
        }
        Ok((keys, outcome))
    }
}

fn timid() -> Group {
    let group = group(&[EXPORTS]);
    Group::new("timid", Arc::new(Timid(Arc::clone(group.detector()))), group.policies().to_vec())
}

fn export(second: i64) -> Batch {
    batch(&[Act::new(second, "ana@example.com", "export", 1)])
}

/// Evaluates all there is, what evaluation adds included.
fn evaluate(store: &Arc<MemoryStore>) {
    let options = EvaluatorOptions::default();
    let evaluator =
        Evaluator::start(Arc::clone(store) as _, tenant(), vec![timid()], options).unwrap();
    while !evaluator.status().iter().all(|group| group.lag_rows == 0) {
        assert!(evaluator.wait_caught_up(Duration::from_secs(60)));
    }
    evaluator.stop();
}

fn listed(store: &MemoryStore, behaviors: bool) -> Vec<(String, u64)> {
    let query = AlertQuery { behaviors, ..AlertQuery::default() };
    let page = alerts::list(store, &tenant(), &query).unwrap();
    page.alerts.into_iter().map(|one| (one.alert.id, one.alert.count)).collect()
}

/// The activities of the log that casbah wrote itself.
fn entered(store: &MemoryStore) -> Vec<(String, String, String, String)> {
    let mut found = Vec::new();
    for info in store.blocks(&tenant()) {
        let block = store.read(&tenant(), info.first_sequence).unwrap().unwrap();
        let batch = &block.batch;
        for row in (0..batch.len()).filter(|&row| batch.text("kind", row) == KIND) {
            let text = |column| batch.text(column, row).to_owned();
            found.push((text("id"), text("action"), text("actor"), text("app")));
        }
    }
    found
}

#[test]
fn a_behavior_is_no_alert_and_enters_the_log_once() {
    let store = MemoryStore::new();
    store.append(export(0));
    evaluate(&store);
    assert_eq!(listed(&store, false), []);
    let behaviors = listed(&store, true);
    let [(id, count)] = behaviors.as_slice() else { panic!("{behaviors:?}") };
    // The export, and the behavior itself, which this policy asks for as well.
    assert_eq!(*count, 2);
    let one = (id.clone(), "exports".to_owned(), "ana@example.com".to_owned());
    assert_eq!(entered(&store), [(one.0, one.1, one.2, "smartsheet".to_owned())]);
    assert_eq!(alerts::count(store.as_ref(), &tenant()).unwrap(), 0);

    store.append(export(60));
    evaluate(&store);
    assert_eq!(listed(&store, true), [(id.clone(), 3)], "it has grown");
    assert_eq!(entered(&store).len(), 1, "it is known already");
    assert!(alerts::show(store.as_ref(), &tenant(), id).unwrap().listed.alert.behavior);
}

#[test]
fn a_behavior_that_crosses_the_line_is_an_alert() {
    let store = MemoryStore::new();
    store.append(export(0));
    evaluate(&store);
    let (id, _) = listed(&store, true).remove(0);
    store.append(export(4000));
    evaluate(&store);
    assert_eq!(listed(&store, true), []);
    assert_eq!(listed(&store, false), [(id.clone(), 3)]);
    assert_eq!(alerts::count(store.as_ref(), &tenant()).unwrap(), 1);
    // What comes late and stays below the line does not make it a behavior again.
    store.append(export(30));
    evaluate(&store);
    assert_eq!((listed(&store, true), listed(&store, false)), (vec![], vec![(id, 4)]));
}

#[test]
fn what_rests_on_behaviors_only_is_not_entered() {
    let store = MemoryStore::new();
    store.append(batch(&[Act::new(0, "ana@example.com", "behavior", 1)]));
    evaluate(&store);
    assert_eq!(listed(&store, true).len(), 1);
    // The one that was put there by hand, and no other.
    assert_eq!(entered(&store).len(), 1);
}

#[test]
fn saved_logs_tell_behaviors_from_alerts() {
    let mut offline = Offline::new(tenant(), vec![timid()]);
    offline.feed(&export(0)).unwrap();
    assert_eq!((offline.alerts().len(), offline.behaviors().len()), (0, 1));
    offline.feed(&export(4000)).unwrap();
    assert_eq!((offline.alerts().len(), offline.behaviors().len()), (1, 0));
}

/// In one batch or in several, the log comes to hold the same.
#[test]
fn what_is_above_the_line_at_once_enters_the_log_too() {
    let (at_once, bit_by_bit) = (MemoryStore::new(), MemoryStore::new());
    at_once.append(batch(&[
        Act::new(0, "ana@example.com", "export", 1),
        Act::new(4000, "ana@example.com", "export", 1),
    ]));
    evaluate(&at_once);
    for second in [0, 4000] {
        bit_by_bit.append(export(second));
        evaluate(&bit_by_bit);
    }
    assert_eq!(entered(&at_once), entered(&bit_by_bit));
    assert_eq!(entered(&at_once).len(), 1);
    assert_eq!(listed(&at_once, false), listed(&bit_by_bit, false));
}
