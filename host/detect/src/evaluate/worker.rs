//! One group at work: reads the log from its offset, gathers what comes of it, and checkpoints.
//!
//! It is not a thread and knows no clock but for the age of what it has gathered: who calls
//! [`Worker::turn`] and [`Worker::checkpoint`] decides when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use casbah_model::{Alert, Batch, TenantName};
use casbah_store::{Commit, ScanRange, Store, StoreError, Table};

use super::EvaluatorOptions;
use super::cache::Cache;
use super::records::{
    DeadLetter, Generation, Offset, last_generation, moment_after, offset_key, stored_offset,
};
use crate::alerts::{self, New};
use crate::behavior;
use crate::error::DetectError;
use crate::group::{Group, Prefix};
use crate::history::Turnover;
use crate::offline::join;
use crate::slice::slice;
use crate::step::{StepError, step};

/// Keys of state that are deleted in one commit.
const SWEPT_AT_ONCE: usize = 4096;

/// What a turn came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There was nothing to read.
    Idle,
    /// So many activities were evaluated or put aside.
    Evaluated(u64),
    /// The detector fails on one activity after the other; nothing of that has moved the offset.
    Failing(String),
}

/// Evaluates one group.
pub(super) struct Worker {
    store: Arc<dyn Store>,
    tenant: TenantName,
    group: Group,
    options: EvaluatorOptions,
    /// The offset as it is in the store, to notice another evaluator at work.
    kept: Option<Vec<u8>>,
    /// The offset as of now.
    offset: Offset,
    states: Cache,
    /// What was gathered since the last checkpoint.
    gathered: Gathered,
    /// Activities in a row that the detector failed on.
    failures: u32,
    /// What the state of policies begins with that are no more.
    leaving: Vec<Prefix>,
    /// What the state of policies begins with that was taken over from candidates.
    adopted: HashSet<Prefix>,
}

#[derive(Default)]
struct Gathered {
    alerts: BTreeMap<String, Alert>,
    dead: Vec<DeadLetter>,
    rows: u64,
    since: Option<Instant>,
}

/// How far a batch was evaluated that failed as a whole.
struct Halving<'a> {
    batch: &'a Batch,
    first_sequence: u64,
    /// The failures in a row that end at the place reached, each to be put aside.
    run: Vec<DeadLetter>,
    /// Row of the block before which everything is done; `run` begins there.
    reached: usize,
}

/// Why evaluating in halves came to an end early.
enum Stop {
    /// Too many activities in a row failed.
    Failing(String),
    Store(StoreError),
}

impl Worker {
    /// Goes on where the group stopped, or at the beginning of the log when it never ran.
    pub(super) fn open(
        store: Arc<dyn Store>,
        tenant: TenantName,
        group: Group,
        options: EvaluatorOptions,
    ) -> Result<Self, DetectError> {
        let kept = store.get(&tenant, Table::Offset, &offset_key(group.name()))?;
        let offset = match &kept {
            Some(bytes) => Offset::decode(bytes)?,
            None => {
                let beside = match group.beside() {
                    Some(beside) => stored_offset(store.as_ref(), &tenant, beside)?,
                    None => None,
                };
                Offset::new(beside.unwrap_or(store.log_range(&tenant).start))
            }
        };
        let states = Cache::new(options.state_cache_bytes);
        let worker = Self {
            store,
            tenant,
            group,
            options,
            kept,
            offset,
            states,
            gathered: Gathered::default(),
            failures: 0,
            leaving: Vec::new(),
            adopted: HashSet::new(),
        };
        Ok(worker)
    }

    pub(super) fn offset(&self) -> &Offset {
        &self.offset
    }

    /// Sequence number up to which everything is in the store.
    pub(super) fn kept_offset(&self) -> u64 {
        if self.is_clean() { self.offset.next } else { 0 }
    }

    /// Whether nothing waits for a checkpoint.
    pub(super) fn is_clean(&self) -> bool {
        self.gathered.since.is_none()
    }

    /// When the first thing was gathered that waits for a checkpoint.
    pub(super) fn gathering_since(&self) -> Option<Instant> {
        self.gathered.since
    }

    /// Whether an alert waits for a checkpoint.
    pub(super) fn has_alerts(&self) -> bool {
        !self.gathered.alerts.is_empty()
    }

    /// Whether so much was gathered that it is time for a checkpoint.
    pub(super) fn is_full(&self) -> bool {
        self.gathered.rows >= self.options.checkpoint_rows
            || self.gathered.alerts.len() >= self.options.checkpoint_alerts
            || self.states.changed_keys() >= self.options.checkpoint_keys
    }

    /// Says in the store that this group evaluates from its offset on, unless it is said already:
    /// before it evaluates anything. A policy that was not there before begins without state.
    pub(super) fn announce(&mut self) -> Result<(), DetectError> {
        if self.kept.is_some() && self.offset.generation == self.group.digest() {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        let name = self.group.name();
        let before = last_generation(store.as_ref(), &self.tenant, name)?;
        let at = moment_after(before.as_ref());
        let generation = Generation::of(&self.group, self.offset.next, at);
        if let Some(before) = &before {
            let known: HashSet<&String> = before.marks.iter().collect();
            let marks = self.group.prefixes().iter().zip(&generation.marks);
            for (prefix, mark) in marks.filter(|(prefix, _)| !self.adopted.contains(*prefix)) {
                if !known.contains(mark) && !before.is_old() {
                    while self.delete_state(prefix)? > 0 {}
                }
            }
        }
        let mut next = self.offset.clone();
        next.generation.clone_from(&generation.digest);
        let bytes = next.encode()?;
        let key = offset_key(name);
        let commit = Commit::new()
            .expect(Table::Offset, key.clone(), self.kept.clone())
            .put(Table::Offset, generation.key(name), generation.encode()?)
            .put(Table::Offset, key, bytes.clone());
        let turnover = Turnover {
            group: name,
            before: before.as_ref(),
            now: &generation,
            policies: self.group.policies(),
            origins: self.group.origins(),
        };
        let commit = turnover.write(store.as_ref(), &self.tenant, commit)?;
        self.store.commit(&self.tenant, commit)?;
        self.offset = next;
        self.kept = Some(bytes);
        self.adopted.clear();
        Ok(())
    }

    /// The group that it evaluates.
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// Copies what a candidate has counted to where the group keeps it that this one is to become,
    /// as long as both are at the same activity. Nobody else may write there.
    pub(super) fn adopt(&mut self, candidate: &Group, group: &Group) -> Result<(), DetectError> {
        let theirs = stored_offset(self.store.as_ref(), &self.tenant, candidate.name())?;
        if theirs != Some(self.offset.next) {
            return Ok(());
        }
        for from in candidate.prefixes() {
            let Some(to) = group.twin(from) else { continue };
            if self.group.prefixes().contains(&to) {
                continue;
            }
            while self.delete_state(&to)? > 0 {}
            let mut after: Option<Vec<u8>> = None;
            while let Some(last) = self.copy_state(from, &to, after.as_deref())? {
                after = Some(last);
            }
            self.adopted.insert(to);
        }
        Ok(())
    }

    /// Copies some keys of state, those after `after`. Returns the last of them.
    fn copy_state(
        &self,
        from: &Prefix,
        to: &Prefix,
        after: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let mut range = ScanRange::prefix(from.as_slice());
        if let Some(after) = after {
            range = range.from([after, &[0]].concat());
        }
        let mut commit = Commit::new();
        let mut last = None;
        self.store.scan(&self.tenant, Table::State, &range, false, &mut |key, value| {
            let rest = key.get(from.len()..).unwrap_or_default();
            let taken = std::mem::take(&mut commit);
            commit = taken.put(Table::State, [to.as_slice(), rest].concat(), value);
            last = Some(key.to_vec());
            commit.writes.len() < SWEPT_AT_ONCE
        })?;
        if last.is_some() {
            self.store.commit(&self.tenant, commit)?;
        }
        Ok(last)
    }

    /// Goes on with another configuration of the group. Everything gathered must have been written.
    pub(super) fn replace(&mut self, group: Group) {
        let stays: HashSet<Prefix> = group.prefixes().iter().copied().collect();
        let leaving: HashSet<Prefix> =
            self.group.prefixes().iter().filter(|old| !stays.contains(*old)).copied().collect();
        self.states.forget(&leaving);
        // What comes back before it is swept begins without state, see `announce`.
        self.leaving.retain(|prefix| !stays.contains(prefix));
        self.leaving.extend(leaving);
        self.failures = 0;
        self.group = group;
    }

    /// Deletes some of the state of policies that are no more. Says whether there may be more.
    pub(super) fn sweep_leaving(&mut self) -> Result<bool, StoreError> {
        let Some(prefix) = self.leaving.last().copied() else { return Ok(false) };
        if self.delete_state(&prefix)? == 0 {
            self.leaving.pop();
        }
        Ok(!self.leaving.is_empty())
    }

    /// Deletes some keys of state, and says how many.
    fn delete_state(&self, prefix: &[u8]) -> Result<usize, StoreError> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let range = ScanRange::prefix(prefix);
        self.store.scan(&self.tenant, Table::State, &range, false, &mut |key, _| {
            keys.push(key.to_vec());
            keys.len() < SWEPT_AT_ONCE
        })?;
        let count = keys.len();
        if count > 0 {
            let commit = keys
                .into_iter()
                .fold(Commit::new(), |commit, key| commit.delete(Table::State, key));
            self.store.commit(&self.tenant, commit)?;
        }
        Ok(count)
    }

    /// Reads and evaluates the next batch, of at most `rows` activities.
    pub(super) fn turn(&mut self, rows: usize) -> Result<Turn, DetectError> {
        self.turn_until(rows, u64::MAX)
    }

    /// The same, with nothing from the activity `until` on.
    pub(super) fn turn_until(&mut self, rows: usize, until: u64) -> Result<Turn, DetectError> {
        self.announce()?;
        let range = self.store.log_range(&self.tenant);
        if self.offset.next >= range.end {
            return Ok(Turn::Idle);
        }
        let Some(block) = self.store.read(&self.tenant, self.offset.next)? else {
            // Of what there was when the range was taken, retention has left nothing.
            self.pass_over(range.end);
            return Ok(Turn::Idle);
        };
        let first = block.info.first_sequence;
        self.pass_over(first);
        let start = self.offset.next.max(first) - first;
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let most = usize::try_from(until.saturating_sub(first)).unwrap_or(usize::MAX);
        let most = most.min(block.batch.len());
        let end = start.saturating_add(rows.max(1)).min(most);
        if start >= end {
            return Ok(Turn::Idle);
        }
        // A last piece that is small is taken along; it costs less than a batch of its own.
        let end = if most - end < rows / 4 { most } else { end };
        let (reached, stop) = match self.evaluate_twice(&block.batch, first, start..end) {
            Ok(()) => {
                self.failures = 0;
                (end, Ok(()))
            }
            Err(StepError::Store(error)) => return Err(error.into()),
            Err(StepError::Detector(_)) => self.halve(&block.batch, first, start..end),
        };
        // What was done is done, whatever ended it: it must not be evaluated again.
        let before = self.offset.next;
        self.advance(before, first + reached as u64);
        match stop {
            Ok(()) => Ok(Turn::Evaluated(self.offset.next - before)),
            Err(Stop::Failing(why)) => Ok(Turn::Failing(why)),
            Err(Stop::Store(error)) => Err(error.into()),
        }
    }

    /// Passes over what retention took before it was evaluated, and tells so.
    fn pass_over(&mut self, next: u64) {
        let lost = next.saturating_sub(self.offset.next);
        if lost == 0 {
            return;
        }
        tracing::warn!(
            group = self.group.name(),
            activities = lost,
            from = self.offset.next,
            "activities were deleted before they were evaluated; keep them longer, or find out why \
             evaluation is late"
        );
        self.offset.next = next;
        self.offset.errors += lost;
        self.gathered.since.get_or_insert_with(Instant::now);
    }

    fn advance(&mut self, from: u64, next: u64) {
        if next <= from {
            return;
        }
        self.offset.next = next;
        self.offset.activities += next - from;
        self.gathered.rows += next - from;
        self.gathered.since.get_or_insert_with(Instant::now);
    }

    /// Evaluates some rows of a block; on failure nothing has happened.
    fn evaluate(
        &mut self,
        batch: &Batch,
        first_sequence: u64,
        rows: Range<usize>,
    ) -> Result<(), StepError> {
        let cut = slice(batch, rows, first_sequence, self.group.detector().description());
        let mut states = self.states.over(self.store.as_ref(), &self.tenant);
        let result = step(&self.group, &self.tenant, &cut, &mut states);
        join(&mut self.gathered.alerts, result?);
        Ok(())
    }

    /// Tries once more when the detector fails: a sandbox may have had no room for once.
    fn evaluate_twice(
        &mut self,
        batch: &Batch,
        first_sequence: u64,
        rows: Range<usize>,
    ) -> Result<(), StepError> {
        match self.evaluate(batch, first_sequence, rows.clone()) {
            Err(StepError::Detector(_)) => self.evaluate(batch, first_sequence, rows),
            result => result,
        }
    }

    /// Evaluates rows that fail as a whole in halves, down to the activities that fail alone. These
    /// are put aside, unless too many in a row fail: then the first of them is where it stops.
    ///
    /// Returns the row before which everything is done.
    fn halve(
        &mut self,
        batch: &Batch,
        first_sequence: u64,
        rows: Range<usize>,
    ) -> (usize, Result<(), Stop>) {
        let mut halving = Halving { batch, first_sequence, run: Vec::new(), reached: rows.start };
        let end = rows.end;
        // The stack of parts still to do, the next one on top: recursion without the recursion.
        let mut parts = vec![rows];
        while let Some(part) = parts.pop() {
            if let Err(stop) = self.part(&mut halving, part, &mut parts) {
                if matches!(stop, Stop::Store(_)) {
                    // Those that failed so far are tried, and counted, again.
                    let again = u32::try_from(halving.run.len()).unwrap_or(u32::MAX);
                    self.failures = self.failures.saturating_sub(again);
                }
                return (halving.reached, Err(stop));
            }
        }
        self.put_aside(halving.run);
        (end, Ok(()))
    }

    fn part(
        &mut self,
        halving: &mut Halving<'_>,
        part: Range<usize>,
        parts: &mut Vec<Range<usize>>,
    ) -> Result<(), Stop> {
        let (batch, first) = (halving.batch, halving.first_sequence);
        // Parts that fail are halved anyway; an activity is put aside only after a second failure.
        let result = match part.len() {
            1 => self.evaluate_twice(batch, first, part.clone()),
            _ => self.evaluate(batch, first, part.clone()),
        };
        let error = match result {
            Ok(()) => {
                self.failures = 0;
                halving.reached = part.end;
                let run = std::mem::take(&mut halving.run);
                self.put_aside(run);
                return Ok(());
            }
            Err(StepError::Store(error)) => return Err(Stop::Store(error)),
            Err(StepError::Detector(error)) => error,
        };
        if part.len() > 1 {
            let middle = part.start + part.len() / 2;
            parts.push(middle..part.end);
            parts.push(part.start..middle);
            return Ok(());
        }
        let sequence = first + part.start as u64;
        halving.run.push(DeadLetter::new(self.group.name(), sequence, error.to_string()));
        self.failures += 1;
        if self.failures >= self.options.failures_in_a_row {
            return Err(Stop::Failing(error.to_string()));
        }
        Ok(())
    }

    fn put_aside(&mut self, run: Vec<DeadLetter>) {
        for letter in run {
            tracing::warn!(
                group = letter.group,
                sequence = letter.sequence,
                error = letter.error,
                "an activity was put aside"
            );
            self.offset.errors += 1;
            self.gathered.since.get_or_insert_with(Instant::now);
            self.gathered.dead.push(letter);
        }
    }

    /// Writes everything gathered and the offset, all or nothing. Says whether the log has grown by
    /// that: what is noticed below the alerting line becomes an activity, for other policies.
    pub(super) fn checkpoint(&mut self) -> Result<bool, DetectError> {
        if self.is_clean() {
            return Ok(false);
        }
        let mut next = self.offset.clone();
        let key = offset_key(self.group.name());
        let mut commit = Commit::new().expect(Table::Offset, key.clone(), self.kept.clone());
        commit = self.states.write(commit);
        let mut noticed = Vec::new();
        let mut writer = alerts::Writer::new(self.store.as_ref(), &self.tenant);
        let mut parts: Vec<&Alert> = self.gathered.alerts.values().collect();
        // The worst are the last to be held back.
        parts.sort_by_key(|part| (Reverse(part.severity), part.first));
        for alert in parts {
            let (quiet, limit) = self.rules(&alert.policy);
            match writer.write(&mut commit, alert, quiet, limit)? {
                Some(New::Behavior) => noticed.push(alert),
                Some(New::Crossed) => next.alerts += 1,
                Some(New::Alert) => {
                    next.alerts += 1;
                    // Whether it is seen on its way to the line depends on how the log is cut.
                    if behavior::has_line(alert) {
                        noticed.push(alert);
                    }
                }
                None => {}
            }
        }
        commit = writer.finish(commit)?;
        if self.group.is_shadow() {
            // The log is what was done, and what is in force made of it.
            noticed.clear();
        }
        noticed.sort_by(|a, b| a.id.cmp(&b.id));
        let behaviors = behavior::block(self.store.as_ref(), &self.tenant, &noticed)?;
        let grown = behaviors.is_some();
        commit.append.extend(behaviors);
        for letter in &self.gathered.dead {
            commit = commit.put(Table::DeadLetter, letter.key(), letter.encode()?);
        }
        let bytes = next.encode()?;
        commit = commit.put(Table::Offset, key, bytes.clone());
        self.store.commit(&self.tenant, commit)?;
        self.states.kept();
        self.gathered = Gathered::default();
        self.offset = next;
        self.kept = Some(bytes);
        Ok(grown)
    }

    /// Quiet time and daily limit of a policy.
    fn rules(&self, policy: &str) -> (i64, u64) {
        let policy = self.group.policies().iter().find(|p| p.name == policy);
        policy.map_or((0, alerts::DAILY_LIMIT), |policy| {
            (policy.quiet, policy.daily_limit.unwrap_or(alerts::DAILY_LIMIT))
        })
    }

    /// Deletes the state of policies and of versions of the detector that are no more.
    pub(super) fn sweep(&self) -> Result<u64, StoreError> {
        let mut swept = 0;
        loop {
            let mut keys: Vec<Vec<u8>> = Vec::new();
            let range = ScanRange::prefix(self.group.state_prefix());
            self.store.scan(&self.tenant, Table::State, &range, false, &mut |key, _| {
                if self.group.is_left_over(key) {
                    keys.push(key.to_vec());
                }
                keys.len() < SWEPT_AT_ONCE
            })?;
            if keys.is_empty() {
                return Ok(swept);
            }
            swept += keys.len() as u64;
            let commit = keys
                .into_iter()
                .fold(Commit::new(), |commit, key| commit.delete(Table::State, key));
            self.store.commit(&self.tenant, commit)?;
        }
    }
}
