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
//! It is not a scheduler for the network: every group has a plain thread, and nothing here waits on
//! an async runtime. Of the groups of a tenant one evaluator may run at a time; another one is
//! noticed by its offset, and the later one begins anew from what the other has written.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use casbah_model::TenantName;
use casbah_store::{Store, StoreErrorKind};
use serde::Serialize;

use crate::error::{DetectError, DetectErrorKind};
use crate::group::Group;

mod cache;
mod records;
mod worker;

#[cfg(test)]
mod tests;

pub use records::{DeadLetter, Generation, dead_letters, generations};
use worker::{Turn, Worker};

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
    threads: Vec<JoinHandle<()>>,
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
    groups: Vec<GroupState>,
}

#[derive(Default)]
struct GroupState {
    status: EvaluatorStatus,
    /// Everything before this is evaluated and written.
    kept: u64,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits to be woken or stopped.
    fn wait(&self, woken: u64, timeout: Duration) {
        let state = self.lock();
        drop(
            self.changed
                .wait_timeout_while(state, timeout, |state| state.woken == woken && !state.stopping)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Pauses, unless it is time to stop.
    fn pause(&self, pause: Duration) {
        let state = self.lock();
        drop(
            self.changed
                .wait_timeout_while(state, pause, |state| !state.stopping)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn stopping(&self) -> bool {
        self.lock().stopping
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
        let state = State {
            groups: groups
                .iter()
                .map(|group| GroupState {
                    status: EvaluatorStatus {
                        group: group.name().to_owned(),
                        policies: group.policies().iter().map(|p| p.name.clone()).collect(),
                        ..EvaluatorStatus::default()
                    },
                    ..GroupState::default()
                })
                .collect(),
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            abandoned: AtomicBool::new(false),
        });
        let mut evaluator = Self {
            shared: Arc::clone(&shared),
            store: Arc::clone(&store),
            tenant: tenant.clone(),
            threads: Vec::new(),
        };
        for (index, group) in groups.into_iter().enumerate() {
            let name = format!("evaluate {}", group.name());
            let mut thread = GroupThread {
                index,
                shared: Arc::clone(&shared),
                store: Arc::clone(&store),
                tenant: tenant.clone(),
                group: group.clone(),
                options: options.clone(),
                worker: Worker::open(Arc::clone(&store), tenant.clone(), group, options.clone())?,
                pause: options.pause,
            };
            thread.publish(None);
            let handle = std::thread::Builder::new()
                .name(name)
                .spawn(move || thread.run())
                .map_err(|error| {
                    DetectError::new(
                        DetectErrorKind::Thread,
                        format!("cannot start a thread for evaluation: {error}"),
                    )
                })?;
            evaluator.threads.push(handle);
        }
        Ok(evaluator)
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
            self.shared.lock().groups.iter().map(|group| group.status.clone()).collect();
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
            state.groups.iter().any(|group| {
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
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing to say any more; its panic was printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
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
    index: usize,
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    tenant: TenantName,
    group: Group,
    options: EvaluatorOptions,
    worker: Worker,
    pause: Duration,
}

impl GroupThread {
    fn run(mut self) {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.work()));
        let mut state = self.shared.lock();
        if let Some(group) = state.groups.get_mut(self.index) {
            group.ended = true;
            if ended.is_err() {
                let why = "evaluation of this group panicked; restart casbah, and report it";
                group.status.trouble = Some(why.to_owned());
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    fn work(&mut self) {
        match self.worker.sweep() {
            Ok(0) => {}
            Ok(swept) => tracing::info!(group = self.group.name(), swept, "old state deleted"),
            Err(error) => tracing::warn!(group = self.group.name(), %error, "cannot sweep state"),
        }
        while !self.shared.stopping() {
            match self.round() {
                Ok(()) => {}
                Err(error) if self.is_over(&error) => {
                    self.publish(Some(error.to_string()));
                    break;
                }
                Err(error) => {
                    tracing::warn!(group = self.group.name(), %error, "evaluation waits");
                    self.publish(Some(error.to_string()));
                    self.shared.pause(self.pause);
                    self.pause = (self.pause * 2).min(self.options.longest_pause);
                }
            }
        }
        if !self.shared.abandoned.load(Ordering::Relaxed) {
            self.last_checkpoint();
        }
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
            let status = state.groups.get(self.index).map(|group| &group.status);
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
                    self.group.clone(),
                    self.options.clone(),
                ) {
                    self.worker = worker;
                }
                false
            }
            _ => false,
        }
    }

    /// A batch, a checkpoint, or a rest.
    fn round(&mut self) -> Result<(), DetectError> {
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
                self.shared.wait(woken, self.rest());
            }
        }
        Ok(())
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
        tracing::error!(group = self.group.name(), why, "quarantined");
        loop {
            self.publish_quarantine(Some(since), Some(why.clone()));
            self.shared.pause(pause);
            if self.shared.stopping() {
                return;
            }
            pause = (pause * 2).min(self.options.longest_pause);
            match self.worker.turn(PROBE_ROWS) {
                Ok(Turn::Failing(again)) => why = again,
                Ok(_) => break,
                Err(error) => why = error.to_string(),
            }
        }
        tracing::info!(group = self.group.name(), "out of quarantine");
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
        if let Some(group) = state.groups.get_mut(self.index) {
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
