//! What policies would have raised on the activities that are in the log.
//!
//! The whole log is evaluated from its beginning, with state in memory, by the same step as in a
//! running casbah; so policies that were in force all the time give again exactly the alerts that
//! are stored. Blocks are read by several threads, and evaluated in the order of the log by several
//! others, each of which has some of the groups to itself.
//!
//! It writes nothing. Behaviors that other policies feed on are those that stand in the log: what
//! the policies under test would have added to it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use casbah_model::detector::DetectorError;
use casbah_model::{Alert, TenantName};
use casbah_store::{BlockInfo, LogBlock, Store, StoreError};

use crate::group::Group;
use crate::offline::Offline;

#[cfg(test)]
mod tests;

/// What a set of policies would have raised.
#[derive(Debug, Default)]
pub struct Backtest {
    /// The alerts, the oldest first.
    pub alerts: Vec<Alert>,
    /// What stayed below a policy's alerting line, the oldest first.
    pub behaviors: Vec<Alert>,
    /// Activities that a detector failed on, counted once for every group.
    pub put_aside: u64,
    /// The first failure of a detector.
    pub failed: Option<DetectorError>,
}

/// How many of how many activities were evaluated; returns false to end it.
pub type Progress<'a> = dyn Fn(u64, u64) -> bool + Sync + 'a;

/// Blocks that are read ahead of the slowest evaluation.
const AHEAD: usize = 8;

/// Evaluates the log with sets of policies at once, on so many threads for each of reading and
/// evaluating. One result a set, in the same order; after an early end, what was found until then.
///
/// # Errors
/// When the log can't be read.
pub fn backtest(
    store: &dyn Store,
    tenant: &TenantName,
    sets: Vec<Vec<Group>>,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Vec<Backtest>, StoreError> {
    let mut results: Vec<Backtest> = sets.iter().map(|_| Backtest::default()).collect();
    let shares = share(sets, threads);
    let reading = Reading::new(store, tenant, shares.len());
    let done = AtomicUsize::new(0);
    let total: u64 = reading.blocks.iter().map(|block| u64::from(block.rows)).sum();
    let (reading, done) = (&reading, &done);
    let evaluated: Vec<Vec<Part>> = std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| reading.read());
        }
        let evaluations: Vec<_> = shares
            .into_iter()
            .enumerate()
            .map(|(place, share)| {
                scope.spawn(move || {
                    let tell = |rows: u32| {
                        let rows = rows as usize;
                        // The last share to be done with a block is not known; the first one tells.
                        let done = match place {
                            0 => done.fetch_add(rows, Ordering::Relaxed) + rows,
                            _ => done.load(Ordering::Relaxed),
                        };
                        progress(done as u64, total)
                    };
                    evaluate(reading, place, share, tenant, &tell)
                })
            })
            .collect();
        evaluations.into_iter().filter_map(|evaluation| evaluation.join().ok()).collect()
    });
    if let Some(error) = reading.lock().failed.take() {
        return Err(error);
    }
    for part in evaluated.into_iter().flatten() {
        if let Some(result) = results.get_mut(part.set) {
            result.alerts.extend(part.offline.alerts());
            result.behaviors.extend(part.offline.behaviors());
            result.put_aside += part.offline.put_aside();
            result.failed = result.failed.take().or(part.failed);
        }
    }
    for result in &mut results {
        sort(&mut result.alerts);
        sort(&mut result.behaviors);
    }
    Ok(results)
}

fn sort(alerts: &mut [Alert]) {
    alerts.sort_by(|a, b| (a.first, &a.policy, &a.id).cmp(&(b.first, &b.policy, &b.id)));
}

/// Parts the groups of all sets among threads, the largest groups first, to whom has least so far.
fn share(sets: Vec<Vec<Group>>, threads: usize) -> Vec<Vec<(usize, Group)>> {
    let mut groups: Vec<(usize, Group)> = sets
        .into_iter()
        .enumerate()
        .flat_map(|(set, groups)| groups.into_iter().map(move |group| (set, group)))
        .collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.policies().len()));
    let mut shares: Vec<Vec<(usize, Group)>> = Vec::new();
    shares.resize_with(threads.max(1).min(groups.len().max(1)), Vec::new);
    let weight = |share: &Vec<(usize, Group)>| -> usize {
        share.iter().map(|(_, group)| 1 + group.policies().len()).sum()
    };
    for group in groups {
        if let Some(least) = shares.iter_mut().min_by_key(|share| weight(share)) {
            least.push(group);
        }
    }
    shares
}

/// What a thread has found for one set.
struct Part {
    set: usize,
    offline: Offline,
    failed: Option<DetectorError>,
}

fn evaluate(
    reading: &Reading<'_>,
    place: usize,
    share: Vec<(usize, Group)>,
    tenant: &TenantName,
    tell: &dyn Fn(u32) -> bool,
) -> Vec<Part> {
    let mut groups: BTreeMap<usize, Vec<Group>> = BTreeMap::new();
    for (set, group) in share {
        groups.entry(set).or_default().push(group);
    }
    let mut parts: Vec<Part> = groups
        .into_iter()
        .map(|(set, groups)| Part {
            set,
            offline: Offline::new(tenant.clone(), groups),
            failed: None,
        })
        .collect();
    let taking = Taking { reading, place };
    for index in 0..reading.blocks.len() {
        let Some(block) = reading.take(index) else { break };
        if let Some(block) = &block {
            for part in &mut parts {
                let first = block.info.first_sequence;
                if let Err(error) = part.offline.feed_at(&block.batch, first) {
                    part.failed.get_or_insert(error);
                }
            }
        }
        taking.next(index + 1);
        if !tell(block.map_or(0, |block| block.info.rows)) {
            break;
        }
    }
    parts
}

/// The blocks of the log, read ahead by some threads and taken in order by others.
struct Reading<'a> {
    store: &'a dyn Store,
    tenant: &'a TenantName,
    blocks: Vec<BlockInfo>,
    next: AtomicUsize,
    /// Nobody wants any more.
    over: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Blocks that were read and are not yet taken by everybody; `None` for what retention took.
    ready: BTreeMap<usize, Option<Arc<LogBlock>>>,
    /// By place of who takes, the block it wants next.
    wanted: Vec<usize>,
    failed: Option<StoreError>,
}

impl<'a> Reading<'a> {
    fn new(store: &'a dyn Store, tenant: &'a TenantName, takers: usize) -> Self {
        Self {
            store,
            tenant,
            blocks: store.blocks(tenant),
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            state: Mutex::new(State {
                ready: BTreeMap::new(),
                wanted: vec![0; takers],
                failed: None,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads blocks until there are no more.
    fn read(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(info) = self.blocks.get(index) else { return };
            let too_far = |state: &mut State| {
                let slowest = state.wanted.iter().min().copied().unwrap_or(0);
                index >= slowest.saturating_add(AHEAD) && !self.over.load(Ordering::Relaxed)
            };
            drop(self.changed.wait_while(self.lock(), too_far));
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let read = self.store.read(self.tenant, info.first_sequence);
            let mut state = self.lock();
            match read {
                // Retention may have taken it meanwhile: then the one after it comes instead.
                Ok(block) => {
                    let same = |block: &LogBlock| block.info.first_sequence == info.first_sequence;
                    state.ready.insert(index, block.filter(same).map(Arc::new));
                }
                Err(error) => {
                    state.failed.get_or_insert(error);
                    self.over.store(true, Ordering::Relaxed);
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The next block in order, `Some(None)` when it is gone, `None` when it is over.
    fn take(&self, index: usize) -> Option<Option<Arc<LogBlock>>> {
        let missing = |state: &mut State| {
            !state.ready.contains_key(&index) && !self.over.load(Ordering::Relaxed)
        };
        let state =
            self.changed.wait_while(self.lock(), missing).unwrap_or_else(PoisonError::into_inner);
        state.ready.get(&index).cloned()
    }

    /// Who takes at a place wants nothing before `index` any more.
    fn wants(&self, place: usize, index: usize) {
        let mut state = self.lock();
        if let Some(wanted) = state.wanted.get_mut(place) {
            *wanted = index;
        }
        let slowest = state.wanted.iter().min().copied().unwrap_or(0);
        state.ready = state.ready.split_off(&slowest);
        if slowest == usize::MAX {
            self.over.store(true, Ordering::Relaxed);
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// One who takes blocks. Nobody waits for it once it is dropped, however it ended.
struct Taking<'a> {
    reading: &'a Reading<'a>,
    place: usize,
}

impl Taking<'_> {
    fn next(&self, index: usize) {
        self.reading.wants(self.place, index);
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.reading.wants(self.place, usize::MAX);
    }
}

/// How two sets of policies differ in what they raise.
#[derive(Debug, Default)]
pub struct Difference {
    /// Alerts that only the first raises.
    pub only_old: Vec<Alert>,
    /// Alerts that only the second raises.
    pub only_new: Vec<Alert>,
    /// Alerts that both raise, but not with the same severity, number of activities or sentence.
    pub changed: Vec<(Alert, Alert)>,
    /// How many both raise alike.
    pub same: usize,
}

/// Compares alerts by what they are about: policies may be given other names by `renamed`, from the
/// name in the first set to that in the second.
pub fn difference(
    tenant: &TenantName,
    old: Vec<Alert>,
    new: Vec<Alert>,
    renamed: &BTreeMap<String, String>,
) -> Difference {
    let mut difference = Difference::default();
    let mut news: BTreeMap<String, Alert> =
        new.into_iter().map(|alert| (alert.id.clone(), alert)).collect();
    for alert in old {
        let id = match renamed.get(&alert.policy) {
            Some(name) => crate::alerts::id(tenant, name, &alert.group, alert.start),
            None => alert.id.clone(),
        };
        match news.remove(&id) {
            None => difference.only_old.push(alert),
            Some(now) if is_same(&alert, &now) => difference.same += 1,
            Some(now) => difference.changed.push((alert, now)),
        }
    }
    difference.only_new = news.into_values().collect();
    sort(&mut difference.only_new);
    difference
}

fn is_same(old: &Alert, new: &Alert) -> bool {
    let evidence = |alert: &Alert| -> BTreeSet<u64> {
        alert.evidence.iter().map(|evidence| evidence.sequence).collect()
    };
    (old.severity, old.count, &old.summary) == (new.severity, new.count, &new.summary)
        && evidence(old) == evidence(new)
}
