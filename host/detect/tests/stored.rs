//! The evaluation loop on the real store, on real files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use casbah_detect::alerts::{self, AlertQuery};
use casbah_detect::{Evaluator, EvaluatorOptions, Group, Offline, PolicySet, PolicySource};
use casbah_model::{Alert, Batch, BatchBuilder, TenantName};
use casbah_store::{Commit, NewBlock, Options, Records, Store};

mod support;
use support::NativeDetectors;

const POLICIES: [&str; 2] = [
    "\
policy: mass
title: Mass export
severity: high
when: [{field: kind, is: export}]
repeat: {count: 5, within: 5m, by: actor, distinct: object}
alert: {quiet: 30m}
",
    "\
policy: published
title: Published
severity: low
when: [{field: kind, is: publish}]
alert: {group: [actor, object], quiet: 1h}
",
];

fn group() -> Group {
    let sources = POLICIES
        .map(|text| PolicySource { file: "p.yaml".to_owned(), bytes: text.as_bytes().to_vec() });
    PolicySet::read(&sources, &NativeDetectors)
        .and_then(|set| set.groups(&NativeDetectors))
        .map(|mut groups| groups.remove(0))
        .unwrap_or_else(|errors| unreachable!("{errors}"))
}

/// Two hundred activities out of order, different ones for every number.
fn batch(number: i64) -> Batch {
    let mut builder = BatchBuilder::new();
    for row in 0..200_i64 {
        let n = (row * 37 + number * 11) % 211;
        builder.begin_row();
        builder.text("id", &format!("{number}-{row}"));
        builder.integer("time", 1_767_571_200_000 + (number * 200 + n) * 7000);
        builder.text("kind", if n % 23 == 0 { "publish" } else { "export" });
        builder.text("actor", &format!("user-{}@example.com", n * n % 19));
        builder.text("object", &format!("sheet-{}", n % 13));
    }
    builder.finish()
}

fn block(batch: Batch) -> NewBlock {
    let times = batch.integers("time").unwrap_or_default();
    NewBlock {
        min_time: times.iter().copied().min().unwrap_or(0),
        max_time: times.iter().copied().max().unwrap_or(0),
        raw: Records::new(),
        marks: Vec::new(),
        batch: Arc::new(batch),
    }
}

/// What must be the same in every run.
fn plain(alerts: impl Iterator<Item = Alert>) -> BTreeMap<String, (String, i64, i64, u64, usize)> {
    alerts
        .map(|alert| {
            let about = format!("{} {:?} {}", alert.policy, alert.group, alert.start);
            (alert.id, (about, alert.first, alert.last, alert.count, alert.evidence.len()))
        })
        .collect()
}

/// The evaluator and the store go down without a word again and again, in the middle of work. What is
/// stored in the end are the alerts of one run in memory.
#[test]
fn alerts_survive_being_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let tenant: TenantName = "test".parse().unwrap();
    let group = group();
    let mut offline = Offline::new(tenant.clone(), vec![group.clone()]);
    for number in 0..30 {
        let batch = batch(number);
        offline.feed(&batch).unwrap();
        let store: Arc<dyn Store> =
            Arc::new(casbah_store::open(folder.path(), Options::default(), &|_| ()).unwrap());
        let mut options = EvaluatorOptions::default();
        options.batch_rows = 50;
        options.checkpoint_rows = 100;
        let evaluator =
            Evaluator::start(Arc::clone(&store), tenant.clone(), vec![group.clone()], options)
                .unwrap();
        store.commit(&tenant, Commit::new().append(block(batch))).unwrap();
        evaluator.wake();
        if number % 3 == 0 {
            // Some of the time it gets somewhere.
            assert!(evaluator.wait_caught_up(Duration::from_secs(60)));
        }
        drop(evaluator);
    }
    let store: Arc<dyn Store> =
        Arc::new(casbah_store::open(folder.path(), Options::default(), &|_| ()).unwrap());
    let evaluator = Evaluator::start(
        Arc::clone(&store),
        tenant.clone(),
        vec![group],
        EvaluatorOptions::default(),
    )
    .unwrap();
    assert!(evaluator.wait_caught_up(Duration::from_secs(60)));
    let status = evaluator.stop();
    assert_eq!((status[0].offset, status[0].activities, status[0].errors), (6001, 6000, 0));
    let page = alerts::list(store.as_ref(), &tenant, &AlertQuery::default()).unwrap();
    assert_eq!(page.alerts.len() as u64, status[0].alerts);
    let stored = plain(page.alerts.iter().map(|listed| listed.alert.clone()));
    let expected = plain(offline.alerts().into_iter());
    assert!(expected.len() > 50, "{} alerts prove little", expected.len());
    assert_eq!(stored, expected);
    // The evidence leads back to activities of the alert's actor.
    let shown = alerts::show(store.as_ref(), &tenant, &page.alerts[0].alert.id).unwrap();
    assert_eq!(shown.activities.len(), shown.listed.alert.evidence.len());
    for activity in &shown.activities {
        assert_eq!(activity["actor"], shown.listed.alert.group[0].1.as_str());
    }
    store.close().unwrap();
}
