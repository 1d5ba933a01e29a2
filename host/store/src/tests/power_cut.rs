//! Power cuts at random points of random histories, on the simulated disk, against a model.
//!
//! What it protects: nothing acknowledged is lost, nothing half-done is seen, whatever the disk and
//! the view do. A failure prints the seed of its history; `CASBAH_POWER_SEED=<seed>` runs only that.

use std::collections::BTreeMap;
use std::sync::Arc;

use casbah_model::TenantName;

use super::{block, row_id, row_mark, row_raw};
use crate::engine::Engine;
use crate::error::{StoreError, StoreErrorKind};
use crate::sim::{Cut, FOLDERS, Faults, Random, SimFiles, SimViews, ViewFate};
use crate::types::{Commit, Options, ScanRange, Table};
use crate::{Files, Store};

const TENANTS: [&str; 3] = ["a", "a-b", "zeta"];
const TABLES: [Table; 3] = [Table::Cursor, Table::State, Table::Meta];

/// What a tenant should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TenantModel {
    view: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// Number of each row by its sequence number.
    rows: BTreeMap<u64, u64>,
    next: u64,
}

impl Default for TenantModel {
    fn default() -> Self {
        Self { view: BTreeMap::new(), rows: BTreeMap::new(), next: 1 }
    }
}

type Model = BTreeMap<&'static str, TenantModel>;

/// What all tenants do hold. Panics at any inconsistency within the store.
fn observe(store: &Engine) -> Model {
    let mut model = Model::new();
    for name in TENANTS {
        let tenant: TenantName = name.parse().unwrap();
        let mut found = TenantModel::default();
        for table in TABLES {
            store
                .scan(&tenant, table, &ScanRange::all(), false, &mut |key, value| {
                    found.view.insert((table, key.to_vec()), value.to_vec());
                    true
                })
                .unwrap();
        }
        let range = store.log_range(&tenant);
        let mut at = range.start;
        while let Some(block) = store.read(&tenant, at).unwrap() {
            let raw = store.raw(&tenant, &block.info).unwrap();
            assert_eq!(raw.len(), block.batch.len());
            assert!(block.info.first_sequence >= at);
            for row in 0..block.batch.len() {
                let sequence = block.info.first_sequence + row as u64;
                let id = block.batch.text("id", row);
                let number: u64 = id.strip_prefix("row-").unwrap().parse().unwrap();
                assert_eq!(raw.get(row).unwrap(), row_raw(number).as_bytes());
                assert_eq!(id, row_id(number));
                found.rows.insert(sequence, number);
            }
            at = block.info.end_sequence();
        }
        found.next = range.end;
        let newest: Vec<u64> =
            found.rows.values().rev().take(50).map(|&number| row_mark(number)).collect();
        assert!(store.seen(&tenant, &newest).iter().all(|&seen| seen), "a mark is forgotten");
        assert!(!store.seen(&tenant, &[u64::MAX - 3])[0]);
        model.insert(name, found);
    }
    model
}

/// Panics with the first few differences: whole models do not fit on a screen.
fn assert_same(found: &Model, model: &Model) {
    let mut differences = Vec::new();
    for (name, model) in model {
        let found = &found[name];
        let keys = found.view.keys().chain(model.view.keys());
        for key in keys.filter(|key| found.view.get(*key) != model.view.get(*key)) {
            let length = |view: &BTreeMap<_, Vec<u8>>| view.get(key).map(Vec::len);
            let lengths = (length(&found.view), length(&model.view));
            differences.push(format!("{name} {key:?}: {lengths:?}"));
        }
        let rows = found.rows.keys().chain(model.rows.keys());
        for row in rows.filter(|row| found.rows.get(*row) != model.rows.get(*row)) {
            let numbers = (found.rows.get(row), model.rows.get(row));
            differences.push(format!("{name} row {row}: {numbers:?}"));
        }
        if found.next != model.next {
            differences.push(format!("{name} next: {:?}", (found.next, model.next)));
        }
    }
    differences.truncate(8);
    assert!(differences.is_empty(), "(found, should be): {differences:#?}");
}

/// Counts of what a run did, so that the test can tell whether it tested anything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    cuts: u64,
    acknowledged: u64,
    uncertain_kept: u64,
    uncertain_lost: u64,
    cut_while_opening: u64,
    full: u64,
    failed: u64,
    poisoned: u64,
    conflicts: u64,
    rebuilt: u64,
    segments: u64,
    snapshots: u64,
}

struct History {
    random: Random,
    files: SimFiles,
    ignored_syncs: Option<&'static str>,
    /// What must be there.
    model: Model,
    /// What may be there instead: the model after the operation whose end is open.
    perhaps: Option<Model>,
    number: u64,
    clock: i64,
    tally: Tally,
}

fn options() -> Options {
    Options {
        seal_bytes: 2_500,
        snapshot_journal_bytes: 6_000,
        seen_rows: 60,
        block_cache_bytes: 4_000,
        ..Options::default()
    }
}

enum Next {
    GoOn,
    Stop,
}

impl History {
    fn new(seed: u64, ignored_syncs: Option<&'static str>) -> Self {
        let mut random = Random::new(seed);
        let files = SimFiles::new(random.next());
        Self {
            random,
            files,
            ignored_syncs,
            model: TENANTS.iter().map(|&name| (name, TenantModel::default())).collect(),
            perhaps: None,
            number: 0,
            clock: 1_000,
            tally: Tally::default(),
        }
    }

    /// Runs the history through so many cuts.
    fn run(&mut self, cuts: u64) {
        let mut views = SimViews::default();
        for _ in 0..cuts {
            let handle = views.handle();
            self.set_up_trouble();
            let opened = Engine::open(
                Arc::new(self.files.clone()),
                Box::new(views),
                options(),
                None,
                &|_| {},
            );
            match opened {
                Ok(store) => {
                    if self.verify(&store) {
                        self.work(&store);
                    }
                    self.tally.segments += store.stats().segments;
                    drop(store);
                }
                Err(error) => {
                    self.tally.cut_while_opening += 1;
                    let excused = self.files.is_dead()
                        || matches!(error.kind(), StoreErrorKind::Full | StoreErrorKind::Io)
                        || error.kind() == StoreErrorKind::Poisoned;
                    assert!(excused, "opening failed: {error}");
                }
            }
            let cut = match self.random.below(8) {
                0 => Cut::Kill,
                1 | 2 => Cut::Strict,
                3..=5 => Cut::Torn,
                _ => Cut::Reordered,
            };
            self.files = self.files.after(cut, &mut self.random);
            let fate = match self.random.below(7) {
                0 => ViewFate::Lost,
                1 => ViewFate::Garbled,
                2 => ViewFate::Wrong,
                3 | 4 => ViewFate::Stale,
                _ => ViewFate::Kept,
            };
            let fails = if self.random.once_in(10) { 30 } else { 0 };
            views = handle.next(fate, fails, &mut self.random);
            self.tally.cuts += 1;
        }
        // The last word: a healthy disk, and everything is there.
        let store = Engine::open(
            Arc::new(self.files.clone()),
            Box::new(SimViews::default()),
            options(),
            None,
            &|_| {},
        )
        .unwrap();
        self.verify(&store);
        let report = store.check(&|_| {}).unwrap();
        assert_eq!(report.findings, []);
    }

    fn set_up_trouble(&mut self) {
        let mut faults = Faults { ignored_syncs: self.ignored_syncs, ..Faults::default() };
        match self.random.below(6) {
            0 => faults.capacity = self.files.used() + self.random.below(12_000),
            1 => faults.writes = 30,
            2 => faults.syncs = 30,
            _ => {}
        }
        self.files.set_faults(faults);
        let most = if self.random.once_in(3) { 15 } else { 120 };
        self.files.cut_after(1 + self.random.below(most));
    }

    /// The store must hold what was acknowledged, and the open operation wholly or not at all.
    /// False when the power went before anything could be looked at.
    fn verify(&mut self, store: &Engine) -> bool {
        if self.files.is_dead() {
            return false;
        }
        let found = observe(store);
        if let Some(perhaps) = self.perhaps.take() {
            if found == perhaps {
                self.tally.uncertain_kept += 1;
                self.model = perhaps;
            } else {
                self.tally.uncertain_lost += 1;
            }
        }
        assert_same(&found, &self.model);
        self.tally.rebuilt += u64::from(store.stats().view_rebuilt.is_some());
        true
    }

    /// Does things until the power goes, or until it has done enough.
    fn work(&mut self, store: &Engine) {
        for _ in 0..self.random.below(40) {
            if let Next::Stop = self.step(store) {
                return;
            }
        }
    }

    fn step(&mut self, store: &Engine) -> Next {
        let name = TENANTS[self.random.below(3) as usize];
        let tenant: TenantName = name.parse().unwrap();
        match self.random.below(40) {
            0 => self.retain(store, name, &tenant),
            1 => {
                self.tally.snapshots += u64::from(store.checkpoint().is_ok());
                Next::GoOn
            }
            2 => {
                let done = store.compact(&|_| {});
                if done.is_ok() { Next::GoOn } else { self.stop_if_poisoned(store) }
            }
            3 => {
                if store.close().is_ok() {
                    let error = store.commit(&tenant, Commit::new().delete(Table::Meta, "x"));
                    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Closed);
                }
                Next::Stop
            }
            4 if !self.files.is_dead() => {
                let found = observe(store);
                assert_same(&found, &self.model);
                Next::GoOn
            }
            _ => self.commit(store, name, &tenant),
        }
    }

    fn stop_if_poisoned(&self, store: &Engine) -> Next {
        let tenant: TenantName = TENANTS[0].parse().unwrap();
        let tried = store.commit(&tenant, Commit::new().expect(Table::Meta, "never", None));
        if tried.is_err() { Next::Stop } else { Next::GoOn }
    }

    fn commit(&mut self, store: &Engine, name: &'static str, tenant: &TenantName) -> Next {
        let mut after = self.model.clone();
        let model = after.get_mut(name).unwrap();
        let mut commit = Commit::new();
        let mut holds = true;
        if self.random.once_in(5) {
            let (table, key) = self.key();
            let mut expected = model.view.get(&(table, key.clone())).cloned();
            if self.random.once_in(3) {
                holds = false;
                expected = match expected {
                    Some(_) if self.random.once_in(2) => None,
                    _ => Some(b"something else".to_vec()),
                };
            }
            commit = commit.expect(table, key, expected);
        }
        for _ in 0..self.random.below(4) {
            let (table, key) = self.key();
            if self.random.once_in(4) {
                model.view.remove(&(table, key.clone()));
                commit = commit.delete(table, key);
            } else {
                let length = if self.random.once_in(20) { 5_000 } else { 40 };
                let length = self.random.below(length) as usize;
                let value = self.random.bytes(length);
                model.view.insert((table, key.clone()), value.clone());
                commit = commit.put(table, key, value);
            }
        }
        for _ in 0..self.random.below(3) {
            let rows: Vec<(u64, i64)> = (0..1 + self.random.below(4))
                .map(|_| {
                    self.number += 1;
                    self.clock += self.random.below(20) as i64;
                    (self.number, self.clock - self.random.below(50) as i64)
                })
                .collect();
            for (number, _) in &rows {
                model.rows.insert(model.next, *number);
                model.next += 1;
            }
            commit = commit.append(block(&rows));
        }
        let first = self.model[name].next;
        match store.commit(tenant, commit) {
            Ok(done) => {
                assert!(holds, "a commit went through though it expected something else");
                assert_eq!(done.first_sequence, first);
                assert_eq!(done.first_sequence + done.rows, after[name].next);
                self.tally.acknowledged += 1;
                self.model = after;
                Next::GoOn
            }
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                assert!(!holds, "a commit was refused though all was as it expected: {error}");
                self.tally.conflicts += 1;
                Next::GoOn
            }
            Err(error) => self.failed(error, after),
        }
    }

    /// A write failed: either it was not made, or that is open until the next start.
    fn failed(&mut self, error: StoreError, after: Model) -> Next {
        match error.kind() {
            StoreErrorKind::Full => self.tally.full += 1,
            StoreErrorKind::Io => self.tally.failed += 1,
            StoreErrorKind::Poisoned => {
                self.tally.poisoned += 1;
                self.perhaps = Some(after);
                return Next::Stop;
            }
            other => panic!("a write failed with {other:?}: {error}"),
        }
        Next::GoOn
    }

    fn retain(&mut self, store: &Engine, name: &'static str, tenant: &TenantName) -> Next {
        let before = self.clock - 20 - self.random.below(200) as i64;
        let blocks = store.blocks(tenant);
        let (segments, tail, expected) = store.retained(tenant, before);
        let mut after = self.model.clone();
        let rows = &mut after.get_mut(name).unwrap().rows;
        for (first, end) in store.ranges_to_go(tenant, &segments, tail) {
            for block in blocks.iter().filter(|b| (first..end).contains(&b.first_sequence)) {
                assert!(block.max_time < before, "retention takes what is young");
            }
            rows.retain(|sequence, _| !(first..end).contains(sequence));
        }
        match store.retain(tenant, before) {
            Ok(retained) => {
                assert_eq!(retained, expected);
                self.model = after;
                Next::GoOn
            }
            Err(error) => self.failed(error, after),
        }
    }

    fn key(&mut self) -> (Table, Vec<u8>) {
        let table = TABLES[self.random.below(3) as usize];
        let number = self.random.below(12) as u8;
        (table, if number == 11 { Vec::new() } else { vec![b'k', 0xff, number] })
    }
}

/// Runs one history; the seed is printed when it fails.
fn run(seed: u64, cuts: u64, ignored_syncs: Option<&'static str>) -> Tally {
    struct Announce(u64);
    impl Drop for Announce {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("to run it again: CASBAH_POWER_SEED={}", self.0);
            }
        }
    }
    let _announce = Announce(seed);
    let mut history = History::new(seed, ignored_syncs);
    history.run(cuts);
    history.tally
}

const CUTS: u64 = 25;

/// The seeds to run, and whether they are the usual ones.
fn seeds(from: u64, count: u64) -> (Vec<u64>, bool) {
    if let Ok(seed) = std::env::var("CASBAH_POWER_SEED") {
        return (vec![seed.parse().expect("CASBAH_POWER_SEED is a number")], false);
    }
    if let Ok(range) = std::env::var("CASBAH_POWER_SEEDS") {
        let (other, count) = range.split_once(',').expect("CASBAH_POWER_SEEDS is `from,count`");
        let other: u64 = other.parse().expect("CASBAH_POWER_SEEDS begins with a number");
        let count: u64 = count.parse().expect("CASBAH_POWER_SEEDS ends with a number");
        return ((from + other..from + other + count).collect(), false);
    }
    ((from..from + count).collect(), true)
}

fn run_all(from: u64, count: u64) {
    let mut total = Tally::default();
    let (seeds, usual) = seeds(from, count);
    for seed in seeds {
        let tally = run(seed, CUTS, None);
        total.cuts += tally.cuts;
        total.acknowledged += tally.acknowledged;
        total.uncertain_kept += tally.uncertain_kept;
        total.uncertain_lost += tally.uncertain_lost;
        total.cut_while_opening += tally.cut_while_opening;
        total.full += tally.full;
        total.failed += tally.failed;
        total.poisoned += tally.poisoned;
        total.conflicts += tally.conflicts;
        total.rebuilt += tally.rebuilt;
        total.segments += tally.segments;
        total.snapshots += tally.snapshots;
    }
    eprintln!("{total:?}");
    if usual {
        let all = [
            total.acknowledged,
            total.uncertain_kept,
            total.uncertain_lost,
            total.cut_while_opening,
            total.full,
            total.failed,
            total.poisoned,
            total.conflicts,
            total.rebuilt,
            total.segments,
            total.snapshots,
        ];
        assert!(all.iter().all(|&count| count > 0), "something was never tried: {total:?}");
        assert_eq!(total.cuts, count * CUTS);
    }
}

/// Together with the next: 10,000 cuts. In two halves, so that they run side by side.
#[test]
fn five_thousand_cuts_lose_nothing() {
    run_all(1, 200);
}

#[test]
fn five_thousand_other_cuts_lose_nothing() {
    run_all(100_001, 200);
}

/// The test above can fail: a store that does not sync its journal is found out, and so is one that
/// does not sync its snapshots, its segments, or the names of files.
#[test]
fn a_forgotten_sync_is_found() {
    for forgotten in ["journal", "snapshot", "log/", FOLDERS] {
        let found = (1..40)
            .any(|seed| std::panic::catch_unwind(|| run(seed, CUTS, Some(forgotten))).is_err());
        assert!(found, "nobody noticed that `{forgotten}` was not synced");
    }
}

/// Protects the power-cut test itself: one seed is one history.
#[test]
fn a_seed_is_a_history() {
    let tell = |seed| format!("{:?}", run(seed, 5, None));
    assert_eq!(tell(7), tell(7));
    let _: &dyn Files = &SimFiles::new(1);
}
