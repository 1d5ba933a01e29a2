//! The evaluation loop: every group of a tenant reads the log from its own offset, and commits
//! *(state, alerts, dead letters, offset, generation)* in one atomic write.
//!
//! A crash loses at most what was gathered since the last checkpoint (a second's worth); it is
//! computed again from the same activities and the same state, and gives the same alerts.
//!
//! - The first time, a group begins at the beginning of the log: what was backfilled counts.
//! - A policy whose settings change, or that is added, begins without state at its group's offset;
//!   older activities are not looked at again. Title, description, severity and tests may change
//!   without losing state.
//! - A batch that the detector fails on is tried once more, then halved down to the activities that
//!   fail alone. These go to the dead letters, and the offset moves on. When too many in a row fail
//!   it is the detector that is broken: the group is *quarantined*, its offset stays, and it tries
//!   again with growing pauses. Other groups notice nothing.
//!
//! What evaluates can be replaced while it runs ([`Evaluator::replace`]): every group that changes
//! does so between two batches, in one commit with its offset, and the others notice nothing.
//!
//! It is not a scheduler for the network: every group has a plain thread, and nothing here waits on
//! an async runtime. Of the groups of a tenant one evaluator may run at a time; another one is
//! noticed by its offset, and the later one begins anew from what the other has written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use casbah_model::TenantName;
use casbah_store::{Store, StoreErrorKind};
use serde::Serialize;

use crate::error::{DetectError, DetectErrorKind};
use crate::group::Group;
use crate::history::{self, Origins};

mod cache;
mod records;
mod worker;

#[cfg(test)]
mod tests;

pub use records::{DeadLetter, Generation, dead_letters, generations};
pub(crate) use records::{begin_at, forget, group_names, stored_offset};
use worker::{Turn, Worker};

/// How long a group is waited for that writes what it has and ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings of an evaluator.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EvaluatorOptions {
    /// Activities evaluated at once: 16,384. A fresh instance is configured for every batch, so large
    /// batches cost less an activity; a batch of a live log is as small as what arrived.
    pub batch_rows: usize,
    /// Longest time that results wait to be written: a second.
    pub checkpoint: Duration,
    /// Results are written at the latest after so many activities: 200,000.
    pub checkpoint_rows: u64,
    /// Results are written at the latest after so many alerts: 1,000.
    pub checkpoint_alerts: usize,
    /// Results are written at the latest after so many changed keys of state: 50,000.
    pub checkpoint_keys: usize,
    /// Bytes of state kept in memory by each group: 32 MiB.
    pub state_cache_bytes: usize,
    /// How often to look for new activities without being woken: every second.
    pub poll: Duration,
    /// So many failures in a row put a group into quarantine: 5.
    pub failures_in_a_row: u32,
    /// First pause of a group in quarantine, doubled with every attempt: a second.
    pub pause: Duration,
    /// Longest pause: five minutes.
    pub longest_pause: Duration,
}

impl Default for EvaluatorOptions {
    fn default() -> Self {
        Self {
            batch_rows: 16_384,
            checkpoint: Duration::from_secs(1),
            checkpoint_rows: 200_000,
            checkpoint_alerts: 1000,
            checkpoint_keys: 50_000,
            state_cache_bytes: 32 << 20,
            poll: Duration::from_secs(1),
            failures_in_a_row: 5,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(300),
        }
    }
}

/// How a group is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EvaluatorStatus {
    /// Name of the group.
    pub group: String,
    /// Names of its policies.
    pub policies: Vec<String>,
    /// Whether it runs in shadow.
    pub shadow: bool,
    /// Sequence number of the activity to be read next.
    pub offset: u64,
    /// Activities in the log that it has not read.
    pub lag_rows: u64,
    /// Age of the oldest of them since it was received, in milliseconds; 0 when there is none.
    pub lag_ms: u64,
    /// Activities evaluated so far, over all runs.
    pub activities: u64,
    /// Alerts made so far, over all runs; those gathered since the last checkpoint not included.
    pub alerts: u64,
    /// Activities not evaluated so far, over all runs: put aside, or deleted before it got to them.
    pub errors: u64,
    /// Since when it is in quarantine, ms since 1970.
    pub quarantined_since: Option<i64>,
    /// Why it is in quarantine, or why it can't write or read.
    pub trouble: Option<String>,
}

/// Evaluates the log of one tenant with several groups, each on a thread of its own.
///
/// Dropped without [`Evaluator::stop`] it ends like a crash: without a last checkpoint, and with
/// nothing lost by it.
pub struct Evaluator {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    tenant: TenantName,
    options: EvaluatorOptions,
    threads: Mutex<BTreeMap<String, JoinHandle<()>>>,
}

/// Wakes an [`Evaluator`] when the log has grown; cheap, and may outlive it.
#[derive(Clone)]
pub struct Waker(Arc<Shared>);

impl Waker {
    /// The log has grown.
    pub fn wake(&self) {
        let mut state = self.0.lock();
        state.woken += 1;
        drop(state);
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Set when threads are to end without a last checkpoint.
    abandoned: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Counts calls to wake.
    woken: u64,
    stopping: bool,
    /// How many wait for everything to be written.
    waiting: usize,
    groups: BTreeMap<String, GroupState>,
}

#[derive(Default)]
struct GroupState {
    status: EvaluatorStatus,
    /// Everything before this is evaluated and written.
    kept: u64,
    /// What it was told to be last.
    group: Option<Group>,
    /// What its thread has to do before the next batch.
    change: Option<Change>,
    /// It has taken the change to end, and can't be told anything any more.
    ending: bool,
    ended: bool,
}

/// What a group's thread is told between two batches.
#[derive(Clone)]
enum Change {
    /// Go on with another configuration, and with the state of these candidates.
    Become(Box<Group>, Vec<Group>),
    /// Write what there is and end; who did it, and why.
    End(Arc<Origins>),
    /// Write what there is and leave it to another group.
    Leave,
}

impl GroupState {
    fn new(group: &Group) -> Self {
        Self {
            status: EvaluatorStatus {
                group: group.name().to_owned(),
                policies: group.policies().iter().map(|p| p.name.clone()).collect(),
                shadow: group.is_shadow(),
                ..EvaluatorStatus::default()
            },
            group: Some(group.clone()),
            ..Self::default()
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a group to be woken, stopped or changed.
    fn wait(&self, group: &str, woken: u64, timeout: Duration) {
        self.wait_while(timeout, |state| state.woken == woken && state.goes_on(group));
    }

    /// Pauses a group, unless it is time to stop or to change.
    fn pause(&self, group: &str, pause: Duration) {
        self.wait_while(pause, |state| state.goes_on(group));
    }

    /// Waits while something holds; false when the time was up.
    fn wait_while(&self, timeout: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, timeout, |state| holds(state))
            .unwrap_or_else(PoisonError::into_inner);
        !holds(&state)
    }

    fn stopping(&self) -> bool {
        self.lock().stopping
    }
}

impl GroupState {
    /// Whether it was told to be just this.
    fn is(&self, group: &Group) -> bool {
        self.group.as_ref().is_some_and(|known| known.digest() == group.digest())
    }
}

impl State {
    /// Whether a group is neither to stop nor to change.
    fn goes_on(&self, group: &str) -> bool {
        let changes = self.groups.get(group).is_some_and(|group| group.change.is_some());
        !self.stopping && !changes
    }
}

impl Evaluator {
    /// Starts a thread for every group.
    ///
    /// # Errors
    /// When the store can't be read or a thread can't be started.
    pub fn start(
        store: Arc<dyn Store>,
        tenant: TenantName,
        groups: Vec<Group>,
        options: EvaluatorOptions,
    ) -> Result<Self, DetectError> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            abandoned: AtomicBool::new(false),
        });
        // What evaluated before and does not any more was taken out of force while nobody looked.
        for name in records::group_names(store.as_ref(), &tenant)? {
            if !groups.iter().any(|group| group.name() == name) {
                records::end(store.as_ref(), &tenant, &name, &Origins::new())?;
            }
        }
        let evaluator = Self { shared, store, tenant, options, threads: Mutex::default() };
        let mut threads = evaluator.threads();
        let opened =
            groups.into_iter().map(|group| evaluator.open(group)).collect::<Result<Vec<_>, _>>()?;
        for thread in opened {
            evaluator.spawn(thread, &mut threads)?;
        }
        drop(threads);
        Ok(evaluator)
    }

    fn threads(&self) -> MutexGuard<'_, BTreeMap<String, JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, group: Group) -> Result<GroupThread, DetectError> {
        let (store, tenant) = (Arc::clone(&self.store), self.tenant.clone());
        Ok(GroupThread {
            name: group.name().to_owned(),
            shared: Arc::clone(&self.shared),
            store: Arc::clone(&self.store),
            tenant: self.tenant.clone(),
            options: self.options.clone(),
            worker: Worker::open(store, tenant, group, self.options.clone())?,
            pause: self.options.pause,
        })
    }

    fn spawn(
        &self,
        mut thread: GroupThread,
        threads: &mut BTreeMap<String, JoinHandle<()>>,
    ) -> Result<(), DetectError> {
        let name = thread.name.clone();
        let state = GroupState::new(thread.worker.group());
        self.shared.lock().groups.insert(name.clone(), state);
        thread.publish(None);
        let handle = std::thread::Builder::new()
            .name(format!("evaluate {name}"))
            .spawn(move || thread.run())
            .map_err(|error| {
                DetectError::new(
                    DetectErrorKind::Thread,
                    format!("cannot start a thread for evaluation: {error}"),
                )
            })?;
        threads.insert(name, handle);
        Ok(())
    }

    /// Evaluates with these groups from now on: each changes between two batches of its own. A group
    /// of a name that is there goes on at its offset, one that is new begins as at a start, one that
    /// is not among them writes what it has and ends. Groups in which nothing changes notice nothing.
    ///
    /// Returns as soon as everybody is told; [`Evaluator::wait_replaced`] waits until it is done.
    /// `origins` says who took policies out of force whose group ends, and why.
    ///
    /// A candidate in shadow that ends while a policy of its name and settings comes in force is taken
    /// over: the policy goes on with what the candidate has learned.
    ///
    /// # Errors
    /// When the store can't be read or a thread can't be started. What could be told before is.
    pub fn replace(&self, groups: Vec<Group>, origins: &Arc<Origins>) -> Result<(), DetectError> {
        // One after the other.
        let mut threads = self.threads();
        let named: BTreeMap<&str, &Group> =
            groups.iter().map(|group| (group.name(), group)).collect();
        // Whoever is about to end can't be told to go on, but is done in a moment.
        self.shared.wait_while(PATIENCE, |state| {
            let ending = |name: &&str| state.groups.get(*name).is_some_and(|group| group.ending);
            named.keys().any(ending)
        });
        let (mut fresh, mut told) = (Vec::new(), Vec::new());
        let mut vanished = Vec::new();
        {
            let mut state = self.shared.lock();
            for group in &groups {
                match state.groups.get(group.name()) {
                    Some(known) if !known.ended && known.is(group) => {}
                    Some(known) if !known.ended => told.push((group.clone(), known.group.clone())),
                    _ => fresh.push(group.clone()),
                }
            }
            state.groups.retain(|name, known| named.contains_key(name.as_str()) || !known.ended);
            for (name, known) in &mut state.groups {
                if !named.contains_key(name.as_str()) {
                    vanished.extend(known.group.take());
                }
            }
        }
        let told: Vec<_> = told
            .into_iter()
            .map(|(group, before)| {
                let (group, before) = (group, before.as_ref());
                let adopted: Vec<Group> =
                    vanished.iter().filter(|old| group.adopts(old, before)).cloned().collect();
                (group, adopted)
            })
            .collect();
        let policies = told.iter().flat_map(|(group, _)| group.policies());
        history::keep_texts(self.store.as_ref(), &self.tenant, policies)?;
        let fresh: Vec<GroupThread> =
            fresh.into_iter().map(|group| self.open(group)).collect::<Result<_, _>>()?;
        let adopted: Vec<&str> =
            told.iter().flat_map(|(_, adopted)| adopted).map(Group::name).collect();
        for group in &vanished {
            let leaves = adopted.contains(&group.name());
            let change = if leaves { Change::Leave } else { Change::End(Arc::clone(origins)) };
            if let Some(known) = self.shared.lock().groups.get_mut(group.name()) {
                known.change = Some(change);
            }
        }
        self.shared.changed.notify_all();
        // What is taken over must have been written.
        let written = self.shared.wait_while(PATIENCE, |state| {
            adopted.iter().any(|name| state.groups.get(*name).is_some_and(|group| !group.ended))
        });
        let mut late = Vec::new();
        {
            let mut state = self.shared.lock();
            for (group, adopted) in told {
                match state.groups.get_mut(group.name()) {
                    Some(known) if !known.ending && !known.ended => {
                        known.group = Some(group.clone());
                        let adopted = if written { adopted } else { Vec::new() };
                        known.change = Some(Change::Become(Box::new(group), adopted));
                    }
                    // It was told to end before, and has heard that meanwhile.
                    _ => late.push(group),
                }
            }
        }
        self.shared.changed.notify_all();
        for thread in fresh {
            self.spawn(thread, &mut threads)?;
        }
        for group in late {
            self.shared.wait_while(PATIENCE, |state| {
                state.groups.get(group.name()).is_some_and(|group| !group.ended)
            });
            let thread = self.open(group)?;
            self.spawn(thread, &mut threads)?;
        }
        threads.retain(|_, thread| !thread.is_finished());
        Ok(())
    }

    /// Waits until all that [`Evaluator::replace`] asked for is done. False when the time was up.
    pub fn wait_replaced(&self, timeout: Duration) -> bool {
        self.shared.wait_while(timeout, |state| {
            state.groups.values().any(|group| group.change.is_some() && !group.ended)
        })
    }

    /// Tells that the log has grown.
    pub fn wake(&self) {
        self.waker().wake();
    }

    /// Something to wake it with from elsewhere.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.shared))
    }

    /// How every group is doing.
    pub fn status(&self) -> Vec<EvaluatorStatus> {
        let end = self.store.log_range(&self.tenant).end;
        let mut all: Vec<EvaluatorStatus> =
            self.shared.lock().groups.values().map(|group| group.status.clone()).collect();
        for status in &mut all {
            status.lag_rows = end.saturating_sub(status.offset);
            status.lag_ms = if status.lag_rows == 0 { 0 } else { self.age(status.offset) };
        }
        all
    }

    /// How long ago an activity was received.
    fn age(&self, sequence: u64) -> u64 {
        let Ok(Some(block)) = self.store.read(&self.tenant, sequence) else { return 0 };
        let row = sequence.saturating_sub(block.info.first_sequence) as usize;
        let received = block.batch.integer("received", row).unwrap_or(block.info.max_time);
        u64::try_from(now().saturating_sub(received)).unwrap_or(0)
    }

    /// Waits until every group has evaluated and written all of the log as it is at the call.
    /// Groups in quarantine, or that have ended, are not waited for. False when the time was up.
    pub fn wait_caught_up(&self, timeout: Duration) -> bool {
        let end = self.store.log_range(&self.tenant).end;
        self.shared.lock().waiting += 1;
        self.wake();
        let behind = |state: &mut State| {
            state.groups.values().any(|group| {
                group.kept < end && group.status.quarantined_since.is_none() && !group.ended
            })
        };
        let state = self.shared.lock();
        let (mut state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, timeout, |state| behind(state))
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        !behind(&mut state)
    }

    /// Ends all threads after a last checkpoint of each, and tells how the groups were doing.
    ///
    /// What could not be written is computed again at the next start; its status says why.
    pub fn stop(mut self) -> Vec<EvaluatorStatus> {
        self.end();
        self.status()
    }

    fn end(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        for (_, thread) in std::mem::take(&mut *self.threads()) {
            // A thread that panicked has nothing to say any more; its panic was printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        if !self.threads().is_empty() {
            self.shared.abandoned.store(true, Ordering::Relaxed);
            self.end();
        }
    }
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

struct GroupThread {
    name: String,
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    tenant: TenantName,
    options: EvaluatorOptions,
    worker: Worker,
    pause: Duration,
}

/// What a round came to.
enum Round {
    /// There may be more to do.
    Done,
    /// The group was told to end; who did it, and why; or to leave it to others to say that.
    End(Option<Arc<Origins>>),
}

impl GroupThread {
    fn run(mut self) {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.work()));
        let mut state = self.shared.lock();
        if matches!(ended, Ok(true)) {
            state.groups.remove(&self.name);
        } else if let Some(group) = state.groups.get_mut(&self.name) {
            group.ended = true;
            if ended.is_err() {
                let why = "evaluation of this group panicked; restart casbah, and report it";
                group.status.trouble = Some(why.to_owned());
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Works until it is time to stop; true when the group was told to end.
    fn work(&mut self) -> bool {
        match self.worker.sweep() {
            Ok(0) => {}
            Ok(swept) => tracing::info!(group = self.name, swept, "old state deleted"),
            Err(error) => tracing::warn!(group = self.name, %error, "cannot sweep state"),
        }
        while !self.shared.stopping() {
            match self.round() {
                Ok(Round::Done) => {}
                Ok(Round::End(origins)) => {
                    self.end(origins.as_deref());
                    return true;
                }
                Err(error) if self.is_over(&error) => {
                    self.publish(Some(error.to_string()));
                    break;
                }
                Err(error) => {
                    tracing::warn!(group = self.name, %error, "evaluation waits");
                    self.publish(Some(error.to_string()));
                    self.shared.pause(&self.name, self.pause);
                    self.pause = (self.pause * 2).min(self.options.longest_pause);
                }
            }
        }
        if !self.shared.abandoned.load(Ordering::Relaxed) {
            self.last_checkpoint();
        }
        false
    }

    /// Writes what there is, and that nobody evaluates the group any more. What can't be written is
    /// evaluated again, and told, by whoever begins with this group anew.
    fn end(&mut self, origins: Option<&Origins>) {
        let ended = self.checkpoint().and_then(|()| match origins {
            Some(origins) => records::end(self.store.as_ref(), &self.tenant, &self.name, origins),
            None => Ok(()),
        });
        match ended {
            Ok(()) => tracing::info!(group = self.name, "ended: it has no policies any more"),
            Err(error) => tracing::warn!(group = self.name, %error, "ended without a record"),
        }
    }

    /// What the thread has to do before the next batch. Once it has taken an end it ends.
    fn change(&self) -> Option<Change> {
        let mut state = self.shared.lock();
        let group = state.groups.get_mut(&self.name)?;
        let change = group.change.clone();
        group.ending = matches!(change, Some(Change::End(_) | Change::Leave));
        change
    }

    /// Evaluates, or lets a candidate evaluate, until both have read the log up to the same activity.
    fn meet(&mut self, candidate: &Group) -> Result<(), DetectError> {
        let (store, tenant) = (Arc::clone(&self.store), self.tenant.clone());
        let mut other = Worker::open(store, tenant, candidate.clone(), self.options.clone())?;
        loop {
            let (here, there) = (self.worker.offset().next, other.offset().next);
            let behind = if here < there { &mut self.worker } else { &mut other };
            if here == there || self.shared.stopping() {
                break;
            }
            match behind.turn_until(self.options.batch_rows, here.max(there))? {
                Turn::Evaluated(_) => {}
                // It can't be brought there: the policy begins without what the candidate learned.
                Turn::Failing(_) | Turn::Idle => break,
            }
        }
        other.checkpoint()?;
        Ok(())
    }

    /// Goes on with another configuration: everything gathered by the old one is written first.
    fn become_group(&mut self, group: Group, adopted: &[Group]) -> Result<(), DetectError> {
        let began = Instant::now();
        let digest = group.digest().to_owned();
        if self.worker.group().digest() != digest {
            for candidate in adopted {
                self.meet(candidate)?;
            }
            self.checkpoint()?;
            let policies = group.policies().iter().map(|p| p.name.clone()).collect();
            for candidate in adopted {
                // Of several, those that began elsewhere may have been left behind meanwhile.
                self.worker.adopt(candidate, &group)?;
            }
            self.worker.replace(group);
            if let Some(group) = self.shared.lock().groups.get_mut(&self.name) {
                group.status.policies = policies;
            }
        }
        self.worker.announce()?;
        for candidate in adopted {
            let (store, name) = (self.store.as_ref(), candidate.name());
            records::end(store, &self.tenant, name, self.worker.group().origins())?;
        }
        if let Some(group) = self.shared.lock().groups.get_mut(&self.name)
            && group.group.as_ref().is_some_and(|wanted| wanted.digest() == digest)
        {
            group.change = None;
        }
        tracing::info!(
            group = self.name,
            from = self.worker.offset().next,
            paused_ms = began.elapsed().as_millis() as u64,
            "policies replaced"
        );
        self.publish(None);
        Ok(())
    }

    /// Writes what there is, and wakes the other groups when that made the log longer.
    fn checkpoint(&mut self) -> Result<(), DetectError> {
        if self.worker.checkpoint()? {
            Waker(Arc::clone(&self.shared)).wake();
        }
        Ok(())
    }

    /// The last checkpoint. What was wrong until now still is, as long as there is more to evaluate:
    /// who stops it must learn that not everything was.
    fn last_checkpoint(&mut self) {
        let failed = self.checkpoint().err().map(|error| error.to_string());
        let (since, before) = {
            let state = self.shared.lock();
            let status = state.groups.get(&self.name).map(|group| &group.status);
            status.map_or((None, None), |s| (s.quarantined_since, s.trouble.clone()))
        };
        let behind = self.worker.offset().next < self.store.log_range(&self.tenant).end;
        let trouble = failed.or(before.filter(|_| behind));
        self.publish_quarantine(since.filter(|_| behind), trouble);
    }

    /// Whether there is no use in going on, or else goes on from what is stored after a conflict.
    fn is_over(&mut self, error: &DetectError) -> bool {
        let Some(source) = std::error::Error::source(error) else { return false };
        let kind = source.downcast_ref::<casbah_store::StoreError>().map(|error| error.kind());
        match kind {
            Some(StoreErrorKind::Poisoned | StoreErrorKind::Closed) => true,
            Some(StoreErrorKind::Conflict) => {
                // Somebody else evaluates this group: what they wrote holds.
                if let Ok(worker) = Worker::open(
                    Arc::clone(&self.store),
                    self.tenant.clone(),
                    self.worker.group().clone(),
                    self.options.clone(),
                ) {
                    self.worker = worker;
                }
                false
            }
            _ => false,
        }
    }

    /// A change, a batch, a checkpoint, or a rest.
    fn round(&mut self) -> Result<Round, DetectError> {
        match self.change() {
            Some(Change::End(origins)) => return Ok(Round::End(Some(origins))),
            Some(Change::Leave) => return Ok(Round::End(None)),
            Some(Change::Become(group, adopted)) => self.become_group(*group, &adopted)?,
            None => {}
        }
        // What was gathered before writing failed is written before anything is added to it.
        if self.is_due() {
            self.checkpoint()?;
            self.publish(None);
        }
        // Taken before the log is looked at, so that no waking in between is missed.
        let (woken, awaited) = {
            let state = self.shared.lock();
            (state.woken, state.waiting > 0)
        };
        match self.worker.turn(self.options.batch_rows)? {
            Turn::Evaluated(_) => self.publish(None),
            Turn::Failing(why) => {
                self.checkpoint()?;
                self.quarantine(why);
            }
            Turn::Idle => {
                // Nobody should wait for an alert that is there.
                if self.worker.has_alerts() || awaited {
                    self.checkpoint()?;
                }
                self.publish(None);
                if !self.worker.sweep_leaving()? {
                    self.shared.wait(&self.name, woken, self.rest());
                }
            }
        }
        Ok(Round::Done)
    }

    /// How long to wait for more: until the next checkpoint is due, or the next look.
    fn rest(&self) -> Duration {
        match self.worker.gathering_since() {
            Some(since) => self.options.checkpoint.saturating_sub(since.elapsed()),
            None => self.options.poll,
        }
    }

    fn is_due(&self) -> bool {
        self.worker.is_full()
            || self
                .worker
                .gathering_since()
                .is_some_and(|at| at.elapsed() >= self.options.checkpoint)
    }

    /// Waits, then tries a few activities; as long as these fail, waits longer.
    fn quarantine(&mut self, why: String) {
        const PROBE_ROWS: usize = 16;
        let since = now();
        let mut why = why;
        let mut pause = self.options.pause;
        tracing::error!(group = self.name, why, "quarantined");
        loop {
            self.publish_quarantine(Some(since), Some(why.clone()));
            self.shared.pause(&self.name, pause);
            // A change may be the repair.
            if !self.shared.lock().goes_on(&self.name) {
                return;
            }
            pause = (pause * 2).min(self.options.longest_pause);
            match self.worker.turn(PROBE_ROWS) {
                Ok(Turn::Failing(again)) => why = again,
                Ok(_) => break,
                Err(error) => why = error.to_string(),
            }
        }
        tracing::info!(group = self.name, "out of quarantine");
        self.publish(None);
    }

    fn publish(&mut self, trouble: Option<String>) {
        if trouble.is_none() {
            self.pause = self.options.pause;
        }
        self.publish_quarantine(None, trouble);
    }

    fn publish_quarantine(&self, since: Option<i64>, trouble: Option<String>) {
        let mut state = self.shared.lock();
        if let Some(group) = state.groups.get_mut(&self.name) {
            let offset = self.worker.offset();
            let status = &mut group.status;
            status.offset = offset.next;
            status.activities = offset.activities;
            status.alerts = offset.alerts;
            status.errors = offset.errors;
            status.quarantined_since = since;
            status.trouble = trouble;
            group.kept = group.kept.max(self.worker.kept_offset());
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

/// For status and for telling when; evaluation itself never reads a clock.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
