//! The evaluation loop against an uninterrupted run in memory, under disorder, crashes and faults.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use casbah_model::detector::{Detector, DetectorDescription, DetectorError, Outcome};
use casbah_model::{Alert, Batch, StateKey};
use casbah_store::Table;
use proptest::prelude::*;

use super::worker::{Turn, Worker};
use super::*;
use crate::alerts::{self, AlertQuery};
use crate::offline::Offline;
use crate::testing::{Act, DAY, MASS, MemoryStore, PUBLISHED, batch, group, tenant};

const EVERY: &str = "\
policy: every
title: Every export
severity: low
when: [{field: kind, is: export}]
repeat: {count: 2, within: 30m, by: actor}
alert: {group: [actor], quiet: 30m}
";

/// A detector that fails on activities of kind `poison`, and on every so-manieth call for once.
struct Fragile {
    inner: Arc<dyn Detector>,
    calls: AtomicU32,
    /// Every n-th call fails, 0 for none.
    hiccup: u32,
    /// Everything fails.
    broken: Arc<AtomicBool>,
}

impl Detector for Fragile {
    fn description(&self) -> &DetectorDescription {
        self.inner.description()
    }

    fn evaluate(
        &self,
        batch: &Batch,
        load: &mut dyn FnMut(&[StateKey]) -> Vec<Vec<u8>>,
    ) -> Result<(Vec<StateKey>, Outcome), DetectorError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let hiccup = self.hiccup > 0 && call % self.hiccup == self.hiccup - 1;
        let poison = (0..batch.len()).any(|row| batch.text("kind", row) == "poison");
        if hiccup || poison || self.broken.load(Ordering::Relaxed) {
            let message = if poison { "poisoned" } else { "out of order" }.to_owned();
            return Err(DetectorError { plugin: "fragile".to_owned(), message });
        }
        self.inner.evaluate(batch, load)
    }
}

fn fragile(group: &Group, hiccup: u32) -> (Group, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    let detector = Fragile {
        inner: Arc::clone(group.detector()),
        calls: AtomicU32::new(0),
        hiccup,
        broken: Arc::clone(&broken),
    };
    (Group::new(group.name(), Arc::new(detector), group.policies().to_vec()), broken)
}

/// An alert with the numbers of the activities it rests on instead of their places in the log.
fn plain(alert: &Alert, numbers: &[usize]) -> (String, i64, i64, u64, Vec<usize>) {
    let mut evidence: Vec<usize> =
        alert.evidence.iter().map(|evidence| numbers[evidence.sequence as usize - 1]).collect();
    evidence.sort_unstable();
    (alert.id.clone(), alert.first, alert.last, alert.count, evidence)
}

type Plain = BTreeMap<String, (String, i64, i64, u64, Vec<usize>)>;

/// The alerts of all activities in the order of time, in one batch, in memory.
fn expected(group: &Group, acts: &[Act]) -> Plain {
    let mut acts: Vec<Act> = acts.iter().filter(|act| act.kind != "poison").cloned().collect();
    acts.sort_by_key(|act| (act.second, act.number));
    let mut offline = Offline::new(tenant(), vec![group.clone()]);
    offline.feed(&batch(&acts)).unwrap();
    let numbers: Vec<usize> = acts.iter().map(|act| act.number).collect();
    offline.alerts().iter().map(|alert| (alert.id.clone(), plain(alert, &numbers))).collect()
}

fn stored(store: &MemoryStore, numbers: &[usize]) -> Plain {
    let page = alerts::list(store, &tenant(), &AlertQuery::default()).unwrap();
    let alerts: Plain = page
        .alerts
        .iter()
        .map(|listed| (listed.alert.id.clone(), plain(&listed.alert, numbers)))
        .collect();
    assert_eq!(alerts.len(), page.alerts.len(), "an alert is listed twice");
    alerts
}

fn acts(poison: bool) -> impl Strategy<Value = Vec<Act>> {
    let kinds = if poison {
        prop_oneof![4 => Just("export"), 1 => Just("publish"), 1 => Just("poison")].boxed()
    } else {
        prop_oneof![5 => Just("export"), 1 => Just("publish"), 1 => Just("view")].boxed()
    };
    let act = (0..3600_i64, prop::sample::select(vec!["ana", "bo"]), kinds, 0..5_u8);
    prop::collection::vec(act, 1..60).prop_map(|acts| {
        acts.into_iter()
            .enumerate()
            .map(|(number, (second, actor, kind, object))| Act {
                number,
                ..Act::new(second, actor, kind, object)
            })
            .collect()
    })
}

#[derive(Clone, Debug)]
enum Event {
    /// So many activities arrive.
    Arrive(usize),
    /// A batch of so many is evaluated.
    Turn(usize),
    Checkpoint,
    Crash,
    /// The next commits fail.
    DiskFull(u32),
    /// The next reads of state fail.
    DiskFails(u32),
    /// Another configuration takes over.
    Reload(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1..12_usize).prop_map(Event::Arrive),
        6 => (1..9_usize).prop_map(Event::Turn),
        2 => Just(Event::Checkpoint),
        1 => Just(Event::Crash),
        1 => (1..3_u32).prop_map(Event::DiskFull),
        1 => (1..3_u32).prop_map(Event::DiskFails),
        2 => (0..4_usize).prop_map(Event::Reload),
    ];
    prop::collection::vec(event, 0..60)
}

/// Lives through a history of arrivals, batches, checkpoints, crashes and a full disk, then catches
/// up with what is left.
fn live(groups: &[&Group], store: &Arc<MemoryStore>, acts: &[Act], events: &[Event]) -> Worker {
    let open = |group: &Group| {
        let shared: Arc<dyn Store> = Arc::clone(store) as _;
        // So little that state is forgotten and read again all the time.
        let options = EvaluatorOptions { state_cache_bytes: 600, ..EvaluatorOptions::default() };
        Worker::open(shared, tenant(), group.clone(), options).unwrap()
    };
    let mut worker = open(groups[0]);
    let mut rest = acts;
    let mut arrive = |count: usize| {
        let (now, later) = rest.split_at(count.min(rest.len()));
        if !now.is_empty() {
            store.append(batch(now));
        }
        rest = later;
    };
    for event in events {
        match event {
            Event::Arrive(count) => arrive(*count),
            Event::Turn(rows) => {
                // A disk that can't be read is tried again later.
                let _ = worker.turn(*rows);
            }
            Event::Checkpoint => {
                // A disk that is full is tried again later.
                let _ = worker.checkpoint();
            }
            Event::Crash => {
                store.fail_reads(0);
                let group = worker.group().clone();
                worker = open(&group);
            }
            Event::DiskFails(count) => store.fail_reads(*count),
            Event::DiskFull(count) => store.fail_commits(*count),
            Event::Reload(number) => {
                // As the thread does it: what can't be written now keeps the old one in force.
                if worker.checkpoint().is_ok() {
                    worker.replace(groups[number % groups.len()].clone());
                }
            }
        }
    }
    arrive(usize::MAX);
    store.fail_reads(0);
    store.fail_commits(0);
    while worker.turn(7).unwrap() != Turn::Idle {}
    worker.checkpoint().unwrap();
    worker
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever the order of arrival, the cut into batches, the crashes and the failed writes: the
    /// alerts are those of an uninterrupted run, each once, with all their evidence.
    #[test]
    fn alerts_do_not_depend_on_how_it_went(acts in acts(false).prop_shuffle(), events in events()) {
        let group = group(&[MASS, PUBLISHED]);
        let store = MemoryStore::new();
        let worker = live(&[&group], &store, &acts, &events);
        let numbers: Vec<usize> = acts.iter().map(|act| act.number).collect();
        prop_assert_eq!(stored(&store, &numbers), expected(&group, &acts));
        prop_assert_eq!(worker.offset().activities, acts.len() as u64);
        prop_assert_eq!(worker.offset().alerts, expected(&group, &acts).len() as u64);
    }

    /// Policies that come and go, and titles that change, take nothing from those that stay and add
    /// nothing to them: reloaded in any moment, crashed in any other.
    #[test]
    fn alerts_do_not_depend_on_reloads(acts in acts(false).prop_shuffle(), events in events()) {
        let stays = group(&[MASS, PUBLISHED]);
        let retitled = MASS.replace("title: Mass export", "title: Many exports");
        let groups = [
            stays.clone(),
            group(&[EVERY, MASS, PUBLISHED]),
            group(&[&retitled, PUBLISHED]),
            group(&[PUBLISHED, EVERY, &retitled]),
        ];
        let store = MemoryStore::new();
        live(&groups.iter().collect::<Vec<_>>(), &store, &acts, &events);
        let numbers: Vec<usize> = acts.iter().map(|act| act.number).collect();
        let mut found = stored(&store, &numbers);
        let expected = expected(&stays, &acts);
        // What else there is was made by the policy that came and went.
        let query = AlertQuery { policy: Some("every".into()), ..AlertQuery::default() };
        for listed in alerts::list(store.as_ref(), &tenant(), &query).unwrap().alerts {
            found.remove(&listed.alert.id);
        }
        prop_assert_eq!(found, expected);
    }

    /// Activities that a detector can't digest are put aside, each once; a failure that does not
    /// come back is no reason to. All others are evaluated as if these had never been.
    #[test]
    fn poison_is_put_aside(acts in acts(true), events in events()) {
        let sound = group(&[MASS, PUBLISHED]);
        let (group, _) = fragile(&sound, 5);
        // More in a row would mean that the detector is broken.
        let in_a_row = acts.chunk_by(|a, b| a.kind == b.kind)
            .filter(|run| run[0].kind == "poison").map(<[Act]>::len).max().unwrap_or(0);
        prop_assume!(in_a_row < 3);
        let store = MemoryStore::new();
        let worker = live(&[&group], &store, &acts, &events);
        let numbers: Vec<usize> = acts.iter().map(|act| act.number).collect();
        prop_assert_eq!(stored(&store, &numbers), expected(&sound, &acts));
        let dead: Vec<usize> = dead_letters(store.as_ref(), &tenant(), 1000).unwrap()
            .iter().map(|letter| numbers[letter.sequence as usize - 1]).collect();
        let poison: Vec<usize> =
            acts.iter().filter(|act| act.kind == "poison").map(|act| act.number).collect();
        prop_assert_eq!(worker.offset().errors, poison.len() as u64);
        prop_assert_eq!(dead, poison);
    }
}

/// The property above can fail: a part of an alert that is joined twice is noticed.
#[test]
fn a_part_joined_twice_would_be_noticed() {
    let group = group(&[MASS]);
    let store = MemoryStore::new();
    let acts: Vec<Act> =
        (0..6).map(|n| Act { number: n, ..Act::new(n as i64, "ana", "export", n as u8) }).collect();
    store.append(batch(&acts));
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let mut worker =
        Worker::open(shared, tenant(), group.clone(), EvaluatorOptions::default()).unwrap();
    worker.turn(100).unwrap();
    worker.checkpoint().unwrap();
    let numbers: Vec<usize> = (0..6).collect();
    assert_eq!(stored(&store, &numbers), expected(&group, &acts));
    // As if the offset had not been in the same commit as the alerts.
    let commit = casbah_store::Commit::new().delete(Table::Offset, b"offset/activity");
    store.commit(&tenant(), commit).unwrap();
    let commit = all_state(&store);
    store.commit(&tenant(), commit).unwrap();
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let mut worker =
        Worker::open(shared, tenant(), group.clone(), EvaluatorOptions::default()).unwrap();
    worker.turn(100).unwrap();
    worker.checkpoint().unwrap();
    assert_ne!(stored(&store, &numbers), expected(&group, &acts));
}

/// A commit that deletes all state.
fn all_state(store: &MemoryStore) -> casbah_store::Commit {
    let mut commit = casbah_store::Commit::new();
    store
        .scan(&tenant(), Table::State, &casbah_store::ScanRange::all(), false, &mut |key, _| {
            let taken = std::mem::take(&mut commit);
            commit = taken.delete(Table::State, key);
            true
        })
        .unwrap();
    commit
}

fn quick() -> EvaluatorOptions {
    EvaluatorOptions {
        checkpoint: Duration::from_millis(20),
        poll: Duration::from_secs(60),
        pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(5),
        ..EvaluatorOptions::default()
    }
}

const LONG: Duration = Duration::from_secs(60);

/// Threads, wakings and a last checkpoint: what is appended while it runs is evaluated, by both
/// groups, and nothing is left over when it stops.
#[test]
fn threads_follow_the_log() {
    let store = MemoryStore::new();
    let mass = group(&[MASS]);
    let published = group(&[PUBLISHED]);
    let groups = vec![
        Group::new("mass", Arc::clone(mass.detector()), mass.policies().to_vec()),
        Group::new("published", Arc::clone(published.detector()), published.policies().to_vec()),
    ];
    let acts: Vec<Act> = (0..200)
        .map(|n| Act {
            number: n,
            ..Act::new(
                n as i64 * 30,
                "ana",
                if n % 7 == 0 { "publish" } else { "export" },
                n as u8 % 5,
            )
        })
        .collect();
    let evaluator =
        Evaluator::start(Arc::clone(&store) as _, tenant(), groups.clone(), quick()).unwrap();
    let waker = evaluator.waker();
    for part in acts.chunks(9) {
        store.append(batch(part));
        waker.wake();
    }
    assert!(evaluator.wait_caught_up(LONG));
    let status = evaluator.status();
    assert_eq!(
        status.iter().map(|s| (s.group.as_str(), s.offset)).collect::<Vec<_>>(),
        [("mass", 201), ("published", 201)]
    );
    assert!(status.iter().all(|s| s.lag_rows == 0 && s.lag_ms == 0 && s.activities == 200));
    assert!(status.iter().all(|s| s.trouble.is_none() && s.quarantined_since.is_none()));
    let status = evaluator.stop();
    assert_eq!(
        status.iter().map(|s| s.alerts).sum::<u64>(),
        alerts::count(store.as_ref(), &tenant()).unwrap()
    );
    let numbers: Vec<usize> = (0..200).collect();
    let mut all = expected(&groups[0], &acts);
    all.extend(expected(&groups[1], &acts));
    assert_eq!(stored(&store, &numbers), all);
    assert!(!all.is_empty());
}

/// An evaluator that is dropped like in a crash and started again over and over makes the alerts of
/// one that was not.
#[test]
fn dropped_and_started_again() {
    let store = MemoryStore::new();
    let group = group(&[MASS, PUBLISHED]);
    let acts: Vec<Act> = (0..300)
        .map(|n| Act {
            number: n,
            ..Act::new(
                n as i64 * 20,
                if n % 3 == 0 { "ana" } else { "bo" },
                "export",
                (n / 2) as u8 % 5,
            )
        })
        .collect();
    for part in acts.chunks(11) {
        store.append(batch(part));
        let options = EvaluatorOptions { batch_rows: 5, ..quick() };
        let evaluator =
            Evaluator::start(Arc::clone(&store) as _, tenant(), vec![group.clone()], options)
                .unwrap();
        drop(evaluator);
    }
    let evaluator =
        Evaluator::start(Arc::clone(&store) as _, tenant(), vec![group.clone()], quick()).unwrap();
    assert!(evaluator.wait_caught_up(LONG));
    evaluator.stop();
    let numbers: Vec<usize> = (0..300).collect();
    assert_eq!(stored(&store, &numbers), expected(&group, &acts));
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// A broken detector stops its own group only, loses nothing, and catches up when it is whole again.
#[test]
fn a_broken_detector_is_quarantined() {
    let store = MemoryStore::new();
    let sound = group(&[MASS]);
    let (ailing, broken) = fragile(&group(&[PUBLISHED]), 0);
    let ailing = Group::new("ailing", Arc::clone(ailing.detector()), ailing.policies().to_vec());
    broken.store(true, Ordering::Relaxed);
    let acts: Vec<Act> = (0..50)
        .map(|n| Act {
            number: n,
            ..Act::new(n as i64, "ana", if n % 2 == 0 { "publish" } else { "export" }, n as u8 % 5)
        })
        .collect();
    store.append(batch(&acts));
    let evaluator = Evaluator::start(
        Arc::clone(&store) as _,
        tenant(),
        vec![sound.clone(), ailing.clone()],
        quick(),
    )
    .unwrap();
    wait_until("the group is in quarantine", || evaluator.status()[1].quarantined_since.is_some());
    assert!(evaluator.wait_caught_up(LONG), "a group in quarantine holds the others up");
    let status = evaluator.status();
    assert_eq!((status[0].offset, status[1].offset), (51, 1));
    assert_eq!((status[1].lag_rows, status[1].errors), (50, 0));
    assert_eq!(status[1].trouble.as_deref(), Some("plugin `fragile`: out of order"));
    assert!(status[1].lag_ms > 0);

    broken.store(false, Ordering::Relaxed);
    wait_until("the group is out of quarantine", || {
        evaluator.status()[1].quarantined_since.is_none()
    });
    assert!(evaluator.wait_caught_up(LONG));
    let status = evaluator.stop();
    assert_eq!((status[1].offset, status[1].errors, status[1].trouble.clone()), (51, 0, None));
    let numbers: Vec<usize> = (0..50).collect();
    let mut all = expected(&sound, &acts);
    all.extend(expected(&ailing, &acts));
    assert_eq!(stored(&store, &numbers), all);
}

/// Who stops a group in quarantine learns that it was, and why: not everything was evaluated.
#[test]
fn a_quarantine_outlives_the_stop() {
    let store = MemoryStore::new();
    let (ailing, broken) = fragile(&group(&[MASS]), 0);
    broken.store(true, Ordering::Relaxed);
    let acts: Vec<Act> =
        (0..9).map(|n| Act { number: n, ..Act::new(n as i64, "ana", "export", n as u8) }).collect();
    store.append(batch(&acts));
    let start =
        || Evaluator::start(Arc::clone(&store) as _, tenant(), vec![ailing.clone()], quick());
    let evaluator = start().unwrap();
    wait_until("the group is in quarantine", || evaluator.status()[0].quarantined_since.is_some());
    let status = evaluator.stop().remove(0);
    assert!(status.quarantined_since.is_some());
    assert_eq!(status.trouble.as_deref(), Some("plugin `fragile`: out of order"));
    assert_eq!(status.lag_rows, 9);

    broken.store(false, Ordering::Relaxed);
    let evaluator = start().unwrap();
    assert!(evaluator.wait_caught_up(LONG));
    let status = evaluator.stop().remove(0);
    assert_eq!((status.quarantined_since, status.trouble, status.lag_rows), (None, None, 0));
}

/// Looking through a saved log: what a detector fails on is put aside, and told; all else is
/// evaluated as if it had not been there. A detector that fails on everything is given up.
#[test]
fn a_saved_log_is_looked_through_to_its_end() {
    let sound = group(&[MASS]);
    let (group, broken) = fragile(&sound, 0);
    let acts: Vec<Act> = (0..60)
        .map(|n| {
            let kind = if matches!(n, 7 | 8 | 40) { "poison" } else { "export" };
            Act { number: n, ..Act::new(n as i64 * 60, "ana", kind, n as u8 % 5) }
        })
        .collect();
    let numbers: Vec<usize> = (0..60).collect();
    let mut offline = Offline::new(tenant(), vec![group]);
    assert_eq!(offline.feed(&batch(&acts[..30])).unwrap_err().message, "poisoned");
    assert_eq!(offline.feed(&batch(&acts[30..])).unwrap_err().message, "poisoned");
    assert_eq!(offline.put_aside(), 3);
    let found: Plain =
        offline.alerts().iter().map(|alert| (alert.id.clone(), plain(alert, &numbers))).collect();
    assert!(found.len() > 1);
    assert_eq!(found, expected(&sound, &acts));

    broken.store(true, Ordering::Relaxed);
    assert_eq!(offline.feed(&batch(&acts)).unwrap_err().message, "poisoned");
    assert_eq!(offline.put_aside(), 63);
    assert!(offline.feed(&batch(&acts)).is_ok(), "told once is enough");
    assert_eq!(offline.put_aside(), 123);
    assert_eq!(offline.alerts().len(), found.len());
}

/// A disk that is full for a while delays alerts and loses none.
#[test]
fn a_full_disk_is_waited_for() {
    let store = MemoryStore::new();
    let group = group(&[MASS]);
    let acts: Vec<Act> = (0..20)
        .map(|n| Act { number: n, ..Act::new(n as i64, "ana", "export", n as u8 % 5) })
        .collect();
    store.fail_commits(u32::MAX);
    store.append(batch(&acts));
    let evaluator =
        Evaluator::start(Arc::clone(&store) as _, tenant(), vec![group.clone()], quick()).unwrap();
    wait_until("the trouble is told", || {
        evaluator.status()[0].trouble.as_deref() == Some("the disk is full, says the test")
    });
    assert_eq!(store.commits(), 0);
    store.fail_commits(0);
    assert!(evaluator.wait_caught_up(LONG));
    evaluator.stop();
    let numbers: Vec<usize> = (0..20).collect();
    assert_eq!(stored(&store, &numbers), expected(&group, &acts));
}

/// A store that will never write again ends the thread, and its status says why.
#[test]
fn a_store_that_is_gone_ends_it() {
    for kind in [StoreErrorKind::Poisoned, StoreErrorKind::Closed] {
        let store = MemoryStore::new();
        store.break_down(kind);
        store.append(batch(&[Act::new(0, "ana", "export", 1)]));
        let groups = vec![group(&[MASS])];
        let evaluator =
            Evaluator::start(Arc::clone(&store) as _, tenant(), groups, quick()).unwrap();
        wait_until("the thread has ended", || {
            evaluator.threads().values().all(JoinHandle::is_finished)
        });
        assert!(evaluator.wait_caught_up(LONG), "it is not waited for");
        let status = evaluator.stop();
        assert_eq!(status[0].trouble.as_deref(), Some("the disk is full, says the test"));
    }
}

fn run(store: &Arc<MemoryStore>, group: &Group) {
    let evaluator =
        Evaluator::start(Arc::clone(store) as _, tenant(), vec![group.clone()], quick()).unwrap();
    assert!(evaluator.wait_caught_up(LONG));
    evaluator.stop();
}

/// Changing what a policy counts begins anew from where evaluation is; changing its title does not.
#[test]
fn a_changed_policy_begins_without_state() {
    let exports = |from: usize| -> Vec<Act> {
        (from..from + 2)
            .map(|n| Act { number: n, ..Act::new(n as i64, "ana", "export", n as u8) })
            .collect()
    };
    for (change, alerts) in [("title: Mass export", 1), ("within: 5m", 0)] {
        let store = MemoryStore::new();
        store.append(batch(&exports(0)));
        run(&store, &group(&[MASS]));
        store.append(batch(&exports(2)));
        let changed =
            MASS.replace(change, &change.replace("export", "exports").replace("5m", "6m"));
        assert_ne!(changed, MASS);
        let changed = group(&[&changed]);
        run(&store, &changed);
        let count = alerts::count(store.as_ref(), &tenant()).unwrap();
        assert_eq!(count, alerts, "after changing `{change}`");
        // What the policy had counted before is not kept for ever.
        assert_eq!(store.keys(Table::State), 1, "after changing `{change}`");
        let generations = generations(store.as_ref(), &tenant(), "activity").unwrap();
        assert_eq!(generations.iter().map(|g| g.from).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(generations[1].policies[0].1, changed.policies()[0].revision);
    }
}

/// What retention took away before it was read is passed over.
#[test]
fn a_log_that_lost_its_beginning() {
    let store = MemoryStore::new();
    let acts: Vec<Act> = (0..20)
        .map(|n| Act { number: n, ..Act::new(n as i64, "ana", "export", n as u8 % 5) })
        .collect();
    let group = group(&[MASS]);
    store.append(batch(&acts[..4]));
    run(&store, &group);
    store.append(batch(&acts[4..10]));
    store.append(batch(&acts[10..]));
    store.drop_oldest_block();
    store.drop_oldest_block();
    run(&store, &group);
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let worker = Worker::open(shared, tenant(), group, EvaluatorOptions::default()).unwrap();
    assert_eq!((worker.offset().next, worker.offset().activities), (21, 14));
    assert_eq!(worker.offset().errors, 6, "those never evaluated are counted");
}

/// When retention took all that was left to read, there is nothing to wait for: it has caught up.
#[test]
fn a_log_that_lost_its_end() {
    let store = MemoryStore::new();
    let acts: Vec<Act> = (0..20)
        .map(|n| Act { number: n, ..Act::new(n as i64, "ana", "export", n as u8 % 5) })
        .collect();
    let group = group(&[MASS]);
    store.append(batch(&acts[..4]));
    run(&store, &group);
    store.append(batch(&acts[4..10]));
    store.drop_oldest_block();
    store.drop_oldest_block();
    run(&store, &group);
    let open = || {
        let shared: Arc<dyn Store> = Arc::clone(&store) as _;
        Worker::open(shared, tenant(), group.clone(), EvaluatorOptions::default()).unwrap()
    };
    let offset = open().offset().clone();
    assert_eq!((offset.next, offset.activities, offset.errors), (11, 4, 6));
    // What comes after is evaluated as ever.
    store.append(batch(&acts[10..]));
    run(&store, &group);
    let offset = open().offset().clone();
    assert_eq!((offset.next, offset.activities, offset.errors), (21, 14, 6));
}

/// Two evaluators of one log are noticed by the offset; neither counts anything twice.
#[test]
fn a_second_evaluator_is_noticed() {
    let store = MemoryStore::new();
    let group = group(&[MASS]);
    let acts: Vec<Act> = (0..20)
        .map(|n| Act { number: n, ..Act::new(n as i64, "ana", "export", n as u8 % 5) })
        .collect();
    store.append(batch(&acts));
    let open = || {
        let shared: Arc<dyn Store> = Arc::clone(&store) as _;
        Worker::open(shared, tenant(), group.clone(), EvaluatorOptions::default()).unwrap()
    };
    open().announce().unwrap();
    let (mut one, mut two) = (open(), open());
    one.turn(100).unwrap();
    two.turn(100).unwrap();
    one.checkpoint().unwrap();
    let error = two.checkpoint().unwrap_err();
    assert_eq!(error.to_string(), "not as expected");
    let numbers: Vec<usize> = (0..20).collect();
    assert_eq!(stored(&store, &numbers), expected(&group, &acts));
}

/// Alerts in neighbouring windows are one story as long as no quiet time lies between them.
#[test]
fn an_alert_continues_the_one_before() {
    let store = MemoryStore::new();
    let group = group(&[MASS]);
    // Twenty-minute windows: exports on both sides of 00:20, then some at 00:41 only.
    let mut acts = Vec::new();
    for start in [1100, 1210, 2700] {
        for n in 0..4_u8 {
            acts.push(Act {
                number: acts.len(),
                ..Act::new(start + i64::from(n), "ana", "export", n)
            });
        }
    }
    acts.push(Act { number: acts.len(), ..Act::new(6000, "ana", "export", 0) });
    for n in 0..4_u8 {
        acts.push(Act { number: acts.len(), ..Act::new(7100 + i64::from(n), "ana", "export", n) });
    }
    store.append(batch(&acts));
    run(&store, &group);
    let page = alerts::list(store.as_ref(), &tenant(), &AlertQuery::default()).unwrap();
    let told: Vec<(i64, Option<i64>)> = page
        .alerts
        .iter()
        .map(|listed| {
            let before = listed.continues.as_ref().map(|id| {
                let before = page.alerts.iter().find(|other| other.alert.id == *id).unwrap();
                (before.alert.start - DAY) / 60_000
            });
            ((listed.alert.start - DAY) / 60_000, before)
        })
        .collect();
    // Minutes of the windows, newest first, and of the window each continues. The one of 00:40
    // continues that of 00:20, whose last activity was 20 minutes and some before: no.
    assert_eq!(told, [(100, None), (40, None), (20, Some(0)), (0, None)]);
}

/// Alerts by policy.
fn counted(store: &MemoryStore) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for listed in alerts::list(store, &tenant(), &AlertQuery::default()).unwrap().alerts {
        *counts.entry(listed.alert.policy).or_insert(0) += 1;
    }
    counts
}

fn exports(numbers: std::ops::Range<usize>) -> Vec<Act> {
    numbers
        .map(|n| Act { number: n, ..Act::new(n as i64 * 10, "ana", "export", n as u8 % 5) })
        .collect()
}

fn named(name: &str, texts: &[&str]) -> Group {
    let group = group(texts);
    Group::new(name, Arc::clone(group.detector()), group.policies().to_vec())
}

/// Groups are replaced over and over while the log grows: those that stay make the alerts of a run in
/// which nothing was replaced, and none is made twice.
#[test]
fn a_storm_of_reloads_loses_nothing() {
    let store = MemoryStore::new();
    let retitled = MASS.replace("title: Mass export", "title: Many exports");
    let configurations = [
        vec![named("mass", &[MASS]), named("published", &[PUBLISHED])],
        vec![named("mass", &[&retitled]), named("published", &[PUBLISHED])],
        vec![named("mass", &[MASS]), named("published", &[EVERY, PUBLISHED])],
        vec![named("mass", &[MASS]), named("other", &[EVERY]), named("published", &[PUBLISHED])],
    ];
    let acts: Vec<Act> = (0..400)
        .map(|n| {
            let kind = if n % 7 == 0 { "publish" } else { "export" };
            Act { number: n, ..Act::new(n as i64 * 30, "ana", kind, n as u8 % 5) }
        })
        .collect();
    let options = EvaluatorOptions { batch_rows: 3, ..quick() };
    let evaluator =
        Evaluator::start(Arc::clone(&store) as _, tenant(), configurations[0].clone(), options)
            .unwrap();
    for (turn, part) in acts.chunks(4).enumerate() {
        store.append(batch(part));
        evaluator.wake();
        let next = configurations[(turn * 7 + 1) % configurations.len()].clone();
        evaluator.replace(next, &Arc::default()).unwrap();
        // Some come faster than they can be taken over, some in the middle of what is counted.
        if turn % 3 == 0 {
            assert!(evaluator.wait_replaced(LONG));
            assert!(evaluator.wait_caught_up(LONG));
        }
    }
    evaluator.replace(configurations[0].clone(), &Arc::default()).unwrap();
    assert!(evaluator.wait_replaced(LONG));
    assert!(evaluator.wait_caught_up(LONG));
    let status = evaluator.stop();
    assert_eq!(status.iter().map(|s| s.group.as_str()).collect::<Vec<_>>(), ["mass", "published"]);
    assert!(status.iter().all(|s| s.trouble.is_none() && s.activities == 400), "{status:?}");
    let numbers: Vec<usize> = (0..400).collect();
    let mut all = expected(&configurations[0][0], &acts);
    all.extend(expected(&configurations[0][1], &acts));
    let query = AlertQuery { policy: Some("every".into()), ..AlertQuery::default() };
    let mut found = stored(&store, &numbers);
    for listed in alerts::list(store.as_ref(), &tenant(), &query).unwrap().alerts {
        found.remove(&listed.alert.id);
    }
    assert_eq!(found, all);
}

/// A policy that was taken out and comes back begins anew: what it had counted before says nothing
/// any more, whether it was swept by then or is still in memory.
#[test]
fn a_policy_that_comes_back_begins_without_state() {
    let store = MemoryStore::new();
    let both = vec![named("all", &[MASS, PUBLISHED])];
    let without = vec![named("all", &[PUBLISHED])];
    store.append(batch(&exports(0..2)));
    let evaluator =
        Evaluator::start(Arc::clone(&store) as _, tenant(), both.clone(), quick()).unwrap();
    assert!(evaluator.wait_caught_up(LONG));
    for groups in [without, both] {
        evaluator.replace(groups, &Arc::default()).unwrap();
        assert!(evaluator.wait_replaced(LONG));
    }
    store.append(batch(&exports(2..4)));
    assert!(evaluator.wait_caught_up(LONG));
    assert_eq!(counted(&store), BTreeMap::new(), "two before and two after are not three");
    store.append(batch(&exports(4..5)));
    assert!(evaluator.wait_caught_up(LONG));
    assert_eq!(counted(&store), BTreeMap::from([("mass".to_owned(), 1)]));
    evaluator.stop();
}

/// A broken detector may be mended by another configuration, at once.
#[test]
fn a_quarantine_ends_with_the_repair() {
    let store = MemoryStore::new();
    let sound = group(&[MASS]);
    let retitled = MASS.replace("title: Mass export", "title: Many exports");
    let (ailing, broken) = fragile(&group(&[&retitled]), 0);
    broken.store(true, Ordering::Relaxed);
    store.append(batch(&exports(0..9)));
    let options =
        EvaluatorOptions { pause: Duration::from_secs(600), longest_pause: LONG * 60, ..quick() };
    let evaluator =
        Evaluator::start(Arc::clone(&store) as _, tenant(), vec![ailing], options).unwrap();
    wait_until("the group is in quarantine", || evaluator.status()[0].quarantined_since.is_some());
    evaluator.replace(vec![sound], &Arc::default()).unwrap();
    assert!(evaluator.wait_replaced(LONG));
    assert!(evaluator.wait_caught_up(LONG));
    let status = evaluator.stop().remove(0);
    assert_eq!((status.trouble, status.activities), (None, 9));
    assert_eq!(counted(&store)["mass"], 1);
}
