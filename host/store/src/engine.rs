//! The store itself: commits, reads, and the upkeep of the files.
//!
//! One thread at a time *leads*: it takes all commits that wait, writes them as one frame of the
//! journal, syncs, applies them to log and view, and answers. Upkeep (sealing, snapshots, retention,
//! compacting) is done by whoever's commit made it necessary, one at a time, while others commit.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use casbah_model::{Batch, TenantName};

use crate::Store;
use crate::block::{self, Packed};
use crate::cache::BlockCache;
use crate::check;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::Files;
use crate::identity::{Identity, Lock};
use crate::journal::{AppendError, Journal, MOST_PAYLOAD, Op, journal_name};
use crate::log::{Located, Log, TailBlock};
use crate::merge::merge;
use crate::opening::{self, Opened};
use crate::segment::{Place, read_block, segment_folder, segment_name, write_segment};
use crate::snapshot::{LogState, Truth, snapshot_name, write_snapshot};
use crate::types::{
    BlockInfo, CheckReport, Commit, Committed, Compacted, Expect, LogBlock, Options, Progress,
    Records, Retained, ScanRange, Stats, Table, Write,
};
use crate::view::{Changes, View, Views, describe_key, scan_bounds, view_key, view_key_prefix_len};
use crate::wire::Damage;

/// A group of commits that share a sync is closed when it has this many bytes.
const GROUP_BYTES: usize = 8 << 20;

/// The journal must be this long for a snapshot to be worth it when the store is closed.
const CLOSING_JOURNAL_BYTES: u64 = 64 << 10;

/// After upkeep has failed, it is tried again when the journal has grown by this many bytes.
const UPKEEP_PAUSE_BYTES: u64 = 1 << 20;

/// The store over the files of a folder and a view of them.
pub struct Engine {
    files: Arc<dyn Files>,
    views: Box<dyn Views>,
    options: Options,
    identity: Identity,
    /// `None` once closed.
    view: RwLock<Option<Arc<dyn View>>>,
    log: RwLock<Log>,
    cache: Mutex<BlockCache>,
    queue: Mutex<Queue>,
    turn: Condvar,
    journal: Mutex<Journal>,
    upkeep: Mutex<Upkeep>,
    commits: AtomicU64,
    snapshot_bytes: AtomicU64,
    syncs: AtomicU64,
    rebuilt: Option<String>,
    lock: Mutex<Option<Lock>>,
}

/// What waits to be written.
#[derive(Default)]
struct Queue {
    waiting: Vec<Pending>,
    leading: bool,
    /// Why nothing may be written any more.
    failure: Option<StoreError>,
}

struct Pending {
    tenant: TenantName,
    request: Request,
    size: usize,
    answer: Arc<Mutex<Option<Result<Committed, StoreError>>>>,
}

enum Request {
    Commit { expect: Vec<Expect>, writes: Vec<Write>, blocks: Vec<(Arc<[u8]>, Arc<Batch>)> },
    Seal { first: u64, blocks: usize, bytes: u64, places: Arc<[Place]> },
    Retain { segments: Vec<u64>, tail_blocks: usize },
}

impl Request {
    fn is_commit(&self) -> bool {
        matches!(self, Self::Commit { .. })
    }

    /// Whether there is nothing to be written: only an expectation, at most.
    fn is_empty(&self) -> bool {
        match self {
            Self::Commit { writes, blocks, .. } => writes.is_empty() && blocks.is_empty(),
            _ => false,
        }
    }
}

/// A request that is in the group being written.
struct Accepted {
    pending: Pending,
    first: u64,
}

struct Upkeep {
    /// Number of the last snapshot, 0 for none.
    snapshot: u64,
    /// Length of the journal before which nothing is tried again.
    pause: u64,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store was closed")
}

/// The right to write. Whoever waits is woken when it ends.
struct Leadership<'a>(&'a Engine);

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        if std::thread::panicking() && queue.failure.is_none() {
            let what = "the store takes no more writes, since one of them ended in a panic";
            queue.failure = Some(StoreError::new(StoreErrorKind::Poisoned, what));
        }
        queue.leading = false;
        self.0.turn.notify_all();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a store in `{}`", self.files.shown(""))
    }
}

impl Engine {
    pub(crate) fn open(
        files: Arc<dyn Files>,
        views: Box<dyn Views>,
        options: Options,
        lock: Option<Lock>,
        progress: &dyn Fn(Progress),
    ) -> Result<Self, StoreError> {
        let Opened { identity, log, journal, view, snapshot, snapshot_bytes, rebuilt } =
            opening::open(&files, &*views, &options, progress)?;
        Ok(Self {
            files,
            views,
            identity,
            view: RwLock::new(Some(view)),
            log: RwLock::new(log),
            cache: Mutex::new(BlockCache::new(options.block_cache_bytes)),
            queue: Mutex::default(),
            turn: Condvar::new(),
            journal: Mutex::new(journal),
            upkeep: Mutex::new(Upkeep { snapshot, pause: 0 }),
            snapshot_bytes: AtomicU64::new(snapshot_bytes),
            commits: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            rebuilt,
            lock: Mutex::new(lock),
            options,
        })
    }

    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        read(&self.view).clone().ok_or_else(closed)
    }

    /// Waits for the right to write.
    fn lead(&self) -> Result<Leadership<'_>, StoreError> {
        let mut queue = lock(&self.queue);
        while queue.leading {
            queue = self.turn.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(failure) = &queue.failure {
            return Err(failure.clone());
        }
        queue.leading = true;
        Ok(Leadership(self))
    }

    /// Gives a request to whoever leads, or leads, and waits for the answer.
    fn submit(
        &self,
        tenant: &TenantName,
        request: Request,
        size: usize,
    ) -> Result<Committed, StoreError> {
        let answer = Arc::new(Mutex::new(None));
        let mut queue = lock(&self.queue);
        if let Some(failure) = &queue.failure {
            return Err(failure.clone());
        }
        let pending =
            Pending { tenant: tenant.clone(), request, size, answer: Arc::clone(&answer) };
        queue.waiting.push(pending);
        loop {
            if let Some(answer) = lock(&answer).take() {
                return answer;
            }
            if queue.leading {
                queue = self.turn.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if queue.waiting.is_empty() {
                // It was taken by a leader that came to grief.
                return Err(queue.failure.clone().unwrap_or_else(closed));
            }
            let group = take_group(&mut queue.waiting);
            queue.leading = true;
            drop(queue);
            let leadership = Leadership(self);
            self.write_group(group);
            drop(leadership);
            queue = lock(&self.queue);
        }
    }

    /// Writes a group of requests as one frame, and answers each.
    fn write_group(&self, group: Vec<Pending>) {
        let failure = lock(&self.queue).failure.clone();
        if let Some(failure) = failure {
            return answer_all(group, &failure);
        }
        let mut journal = lock(&self.journal);
        let mut ops = Vec::new();
        let mut accepted: Vec<Accepted> = Vec::with_capacity(group.len());
        let mut changed = HashMap::new();
        let mut next = HashMap::new();
        let several = group.len() > 1;
        for pending in group {
            match self.prepare(&pending, &changed, &mut next, &mut ops) {
                Ok(first) if pending.request.is_empty() => {
                    answer(&pending, Ok(committed(&pending.request, first)));
                }
                Ok(first) => {
                    if let (true, Request::Commit { writes, .. }) = (several, &pending.request) {
                        changed.extend(writes.iter().map(|write| {
                            let key =
                                view_key(pending.tenant.as_str(), write.table.tag(), &write.key);
                            (key, write.value.clone())
                        }));
                    }
                    accepted.push(Accepted { pending, first });
                }
                Err(error) => answer(&pending, Err(error)),
            }
        }
        if accepted.is_empty() {
            return;
        }
        let written = journal.append(accepted.len(), &ops);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        drop(journal);
        let applied = match written {
            Ok(number) => self.apply(&accepted, number),
            Err(AppendError::Refused(error)) => Err(error),
            Err(AppendError::Unknown(error)) => Err(self.poison(&error)),
        };
        let commits = accepted.iter().filter(|accepted| accepted.pending.request.is_commit());
        self.commits.fetch_add(commits.count() as u64, Ordering::Relaxed);
        for accepted in &accepted {
            let result =
                applied.clone().map(|()| committed(&accepted.pending.request, accepted.first));
            answer(&accepted.pending, result);
        }
    }

    /// Checks what a request expects and appends its operation; gives back its first sequence number.
    fn prepare(
        &self,
        pending: &Pending,
        changed: &HashMap<Vec<u8>, Option<Vec<u8>>>,
        next: &mut HashMap<TenantName, u64>,
        ops: &mut Vec<u8>,
    ) -> Result<u64, StoreError> {
        let tenant = pending.tenant.as_str();
        let op = match &pending.request {
            Request::Commit { expect, writes, blocks } => {
                self.check_expectations(tenant, expect, changed)?;
                let next = next.entry(pending.tenant.clone()).or_insert_with(|| {
                    read(&self.log).tenants.get(&pending.tenant).map_or(1, |log| log.next)
                });
                let first = *next;
                *next += blocks.iter().map(|(_, batch)| u64::from(batch.rows)).sum::<u64>();
                if pending.request.is_empty() {
                    return Ok(first);
                }
                let op = Op::Commit {
                    tenant,
                    changes: writes
                        .iter()
                        .map(|write| (write.table.tag(), &*write.key, write.value.as_deref()))
                        .collect(),
                    first,
                    blocks: blocks.iter().map(|(bytes, _)| &**bytes).collect(),
                };
                op.write(ops);
                return Ok(first);
            }
            Request::Seal { first, blocks, bytes, .. } => {
                Op::Seal { tenant, first: *first, blocks: *blocks as u64, bytes: *bytes }
            }
            Request::Retain { segments, tail_blocks } => {
                Op::Retain { tenant, segments: segments.clone(), tail_blocks: *tail_blocks as u64 }
            }
        };
        op.write(ops);
        Ok(0)
    }

    fn check_expectations(
        &self,
        tenant: &str,
        expect: &[Expect],
        changed: &HashMap<Vec<u8>, Option<Vec<u8>>>,
    ) -> Result<(), StoreError> {
        for expected in expect {
            let key = view_key(tenant, expected.table.tag(), &expected.key);
            let found = match changed.get(&key) {
                Some(value) => value.clone(),
                None => self.view()?.get(&key)?,
            };
            if found != expected.value {
                return Err(StoreError::new(
                    StoreErrorKind::Conflict,
                    format!(
                        "{} is not what it was expected to be: somebody else has changed it",
                        describe_key(&key)
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Carries out in memory what is durable now.
    fn apply(&self, accepted: &[Accepted], number: u64) -> Result<(), StoreError> {
        let mut changes: Changes = Vec::new();
        let mut log = write(&self.log);
        for Accepted { pending, first } in accepted {
            let tenant = log.tenant(&pending.tenant);
            let done = match &pending.request {
                Request::Commit { writes, blocks, .. } => {
                    changes.extend(writes.iter().map(|write| {
                        let key = view_key(pending.tenant.as_str(), write.table.tag(), &write.key);
                        (key, write.value.clone())
                    }));
                    let mut next = *first;
                    blocks.iter().try_for_each(|(bytes, batch)| {
                        let block = TailBlock::new(next, Arc::clone(bytes))?;
                        lock(&self.cache).put(&pending.tenant, next, batch);
                        next = block.info.end_sequence();
                        tenant.seen.insert(&block.mark_list());
                        tenant.append([block]);
                        Ok(())
                    })
                }
                Request::Seal { first, blocks, bytes, places } => {
                    tenant.seal(*first, *blocks, *bytes, Arc::clone(places))
                }
                Request::Retain { segments, tail_blocks } => tenant.retain(segments, *tail_blocks),
            };
            if let Err(damage) = done {
                let error = StoreError::new(StoreErrorKind::Damaged, damage.to_string());
                return Err(self.poison(&error));
            }
        }
        drop(log);
        let applied = self.view()?.apply(changes, Some(number));
        applied.map_err(|error| self.poison(&StoreError::from(error)))
    }

    /// From now on every write fails for this reason.
    fn poison(&self, cause: &StoreError) -> StoreError {
        let mut queue = lock(&self.queue);
        let failure = queue.failure.get_or_insert_with(|| {
            let cause = cause.to_string();
            let first = cause.lines().next().unwrap_or_default();
            StoreError::new(
                StoreErrorKind::Poisoned,
                format!(
                    "the store takes no more writes, since it is not known what is on disk: {first}\nhint: see to the disk, then start casbah again; what was acknowledged is safe"
                ),
            )
        });
        failure.clone()
    }

    /// Seals and snapshots when it is time. A failure here takes nothing from the commit before it.
    fn keep_up(&self, tenant: &TenantName) {
        let tail = read(&self.log).tenants.get(tenant).map_or(0, |log| log.tail_bytes);
        let journal = lock(&self.journal).bytes();
        let sealing = tail >= self.options.seal_bytes as u64;
        let snapshot = journal >= self.options.snapshot_journal_bytes;
        if !sealing && !snapshot {
            return;
        }
        let Ok(mut upkeep) = self.upkeep.try_lock() else { return };
        if journal < upkeep.pause {
            return;
        }
        let sealed = if sealing { self.seal(tenant) } else { Ok(()) };
        let done = sealed.and_then(|()| if snapshot { self.snapshot(&mut upkeep) } else { Ok(()) });
        upkeep.pause = 0;
        if let Err(error) = done {
            tracing::warn!("upkeep of the data folder failed, and is tried again: {error}");
            upkeep.pause =
                journal + UPKEEP_PAUSE_BYTES.min(self.options.snapshot_journal_bytes / 4);
        }
    }

    /// Moves a tenant's tail into a segment. The caller holds upkeep.
    fn seal(&self, tenant: &TenantName) -> Result<(), StoreError> {
        let tail = match read(&self.log).tenants.get(tenant) {
            Some(log) => log.tail.clone(),
            None => return Ok(()),
        };
        let Some(first) = tail.first().map(|block| block.info.first_sequence) else {
            return Ok(());
        };
        let name = segment_name(tenant.as_str(), first);
        let merged = merge(&tail, self.options.compression);
        let written = write_segment(&*self.files, self.identity.salt, tenant.as_str(), &merged);
        let (bytes, places) =
            written.map_err(|error| StoreError::io("write", &self.files.shown(&name), error))?;
        let request = Request::Seal { first, blocks: tail.len(), bytes, places: places.into() };
        let done = self.submit(tenant, request, 64);
        if let Err(error) = &done
            && error.kind() != StoreErrorKind::Poisoned
        {
            // Best effort: nothing names the file, so it is swept when the store is opened.
            let _ = self.files.remove(&name);
        }
        done.map(|_| ())
    }

    /// Writes a snapshot and lets go of the journal before it. The caller holds upkeep.
    fn snapshot(&self, upkeep: &mut Upkeep) -> Result<(), StoreError> {
        self.seal_large_tails()?;
        let leadership = self.lead()?;
        let mut journal = lock(&self.journal);
        let number = journal.next() - 1;
        if number == upkeep.snapshot {
            return Ok(());
        }
        let truth = self.truth(&journal, upkeep.snapshot);
        match journal.rotate() {
            Ok(()) => {}
            Err(AppendError::Refused(error)) => return Err(error),
            Err(AppendError::Unknown(error)) => return Err(self.poison(&error)),
        }
        drop(journal);
        let logs: Vec<LogState> = read(&self.log)
            .tenants
            .iter()
            .map(|(tenant, log)| LogState::of(tenant.as_str(), log))
            .collect();
        drop(leadership);
        // The view must not be behind what can be replayed, even after a kill.
        self.view()?.flush()?;
        let mut entries = truth.entries(&*self.files)?;
        let salt = self.identity.salt;
        let bytes = write_snapshot(&*self.files, salt, number, &logs, &mut entries)?;
        let before = std::mem::replace(&mut upkeep.snapshot, number);
        self.snapshot_bytes.store(bytes, Ordering::Relaxed);
        let mut gone: Vec<String> =
            lock(&self.journal).forget_older().into_iter().map(journal_name).collect();
        if before != 0 {
            gone.push(snapshot_name(before));
        }
        for name in gone {
            // Best effort: what stays is swept when the store is opened.
            let _ = self.files.remove(&name);
        }
        let _ = self.files.sync_folder("");
        Ok(())
    }

    /// A snapshot copies the tails: it should not copy much.
    fn seal_large_tails(&self) -> Result<(), StoreError> {
        let mut tails: Vec<(u64, TenantName)> = read(&self.log)
            .tenants
            .iter()
            .map(|(tenant, log)| (log.tail_bytes, tenant.clone()))
            .collect();
        tails.sort();
        let mut total: u64 = tails.iter().map(|(bytes, _)| bytes).sum();
        while total > self.options.snapshot_journal_bytes / 2
            && let Some((bytes, tenant)) = tails.pop()
        {
            self.seal(&tenant)?;
            total -= bytes;
        }
        Ok(())
    }

    fn truth(&self, journal: &Journal, snapshot: u64) -> Truth {
        Truth {
            salt: self.identity.salt,
            snapshot,
            journals: journal.files().into_iter().map(|(first, len)| (first, Some(len))).collect(),
        }
    }

    fn locate(&self, tenant: &TenantName, sequence: u64) -> Option<Located> {
        read(&self.log).tenants.get(tenant)?.locate(sequence)
    }

    /// Bytes of a located block; `None` when retention took it away meanwhile.
    fn load(
        &self,
        tenant: &TenantName,
        located: &Located,
    ) -> Result<Option<Arc<[u8]>>, StoreError> {
        match located {
            Located::Tail(block) => Ok(Some(Arc::clone(&block.bytes))),
            Located::Segment { first, place } => {
                match read_block(&*self.files, tenant.as_str(), *first, place) {
                    Ok(bytes) => Ok(Some(bytes.into())),
                    Err(error) => {
                        let held = self.locate(tenant, place.info.first_sequence);
                        if held.is_none_or(|held| held.info() != place.info) {
                            return Ok(None);
                        }
                        let name = segment_name(tenant.as_str(), *first);
                        Err(StoreError::io("read", &self.files.shown(&name), error))
                    }
                }
            }
        }
    }

    fn damaged(&self, tenant: &TenantName, located: &Located, damage: &Damage) -> StoreError {
        match located {
            Located::Tail(_) => StoreError::new(StoreErrorKind::Damaged, damage.to_string()),
            Located::Segment { first, place } => {
                let name = segment_name(tenant.as_str(), *first);
                StoreError::damaged(&self.files.shown(&name), place.offset, damage)
            }
        }
    }

    /// What retention would take: segments, first blocks of the tail, and what they come to.
    pub(crate) fn retained(&self, tenant: &TenantName, before: i64) -> (Vec<u64>, usize, Retained) {
        let log = read(&self.log);
        let Some(log) = log.tenants.get(tenant) else { return Default::default() };
        let mut retained = Retained::default();
        let old = log.segments.iter().filter(|segment| segment.newest() < before);
        let segments = old
            .map(|segment| {
                retained.activities += segment.end - segment.first;
                retained.segments += 1;
                retained.bytes += segment.bytes;
                segment.first
            })
            .collect();
        let old = log.tail.iter().take_while(|block| block.info.max_time < before);
        let tail_blocks = old
            .map(|block| {
                retained.activities += u64::from(block.info.rows);
                retained.bytes += block.info.bytes;
            })
            .count();
        (segments, tail_blocks, retained)
    }
}

#[cfg(test)]
impl Engine {
    /// Changes the view behind the store's back.
    pub(crate) fn spoil_view(&self, changes: Changes) {
        self.view().unwrap().apply(changes, None).unwrap();
    }

    /// The sequence numbers that go with these segments and blocks of the tail.
    pub(crate) fn ranges_to_go(
        &self,
        tenant: &TenantName,
        segments: &[u64],
        tail_blocks: usize,
    ) -> Vec<(u64, u64)> {
        let log = read(&self.log);
        let Some(log) = log.tenants.get(tenant) else { return Vec::new() };
        let tail = log.tail.iter().take(tail_blocks);
        let segments = log.segments.iter().filter(|segment| segments.contains(&segment.first));
        segments
            .map(|segment| (segment.first, segment.end))
            .chain(tail.map(|block| (block.info.first_sequence, block.info.end_sequence())))
            .collect()
    }
}

fn answer(pending: &Pending, result: Result<Committed, StoreError>) {
    *lock(&pending.answer) = Some(result);
}

fn answer_all(group: Vec<Pending>, failure: &StoreError) {
    group.iter().for_each(|pending| answer(pending, Err(failure.clone())));
}

fn committed(request: &Request, first: u64) -> Committed {
    let rows = match request {
        Request::Commit { blocks, .. } => {
            blocks.iter().map(|(_, batch)| u64::from(batch.rows)).sum()
        }
        _ => 0,
    };
    Committed { first_sequence: first, rows }
}

/// Takes what may share a sync: all that waits, up to a size.
fn take_group(waiting: &mut Vec<Pending>) -> Vec<Pending> {
    let mut size = 0;
    let fits = waiting
        .iter()
        .take_while(|pending| {
            size += pending.size;
            size <= GROUP_BYTES
        })
        .count();
    waiting.drain(..fits.max(1)).collect()
}

impl Store for Engine {
    fn commit(&self, tenant: &TenantName, commit: Commit) -> Result<Committed, StoreError> {
        let invalid = |what: String| StoreError::new(StoreErrorKind::Invalid, what);
        let Commit { expect, writes, append } = commit;
        let mut blocks = Vec::with_capacity(append.len());
        for block in append {
            let bytes = block::pack(&block, self.options.compression).map_err(invalid)?;
            blocks.push((bytes, block.batch));
        }
        let written: usize = writes
            .iter()
            .map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len) + 16)
            .sum();
        let size = written + blocks.iter().map(|(bytes, _)| bytes.len() + 16).sum::<usize>() + 128;
        if size > MOST_PAYLOAD {
            return Err(invalid("a commit is larger than 1 GiB".to_owned()));
        }
        let done = self.submit(tenant, Request::Commit { expect, writes, blocks }, size)?;
        self.keep_up(tenant);
        Ok(done)
    }

    fn get(
        &self,
        tenant: &TenantName,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.view()?.get(&view_key(tenant.as_str(), table.tag(), key))?)
    }

    fn scan(
        &self,
        tenant: &TenantName,
        table: Table,
        range: &ScanRange,
        reverse: bool,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let bounds = scan_bounds(tenant.as_str(), table, range);
        let skip = view_key_prefix_len(tenant.as_str());
        self.view()?.scan(&bounds, reverse, &mut |key, value| {
            each(key.get(skip..).unwrap_or_default(), value)
        })?;
        Ok(())
    }

    fn log_range(&self, tenant: &TenantName) -> Range<u64> {
        read(&self.log).tenants.get(tenant).map_or(1..1, |log| log.range())
    }

    fn read(&self, tenant: &TenantName, sequence: u64) -> Result<Option<LogBlock>, StoreError> {
        loop {
            let Some(located) = self.locate(tenant, sequence) else { return Ok(None) };
            let info = located.info();
            let cached = lock(&self.cache).get(tenant, info.first_sequence);
            // Under the same number, a smaller block may have been there before it was merged.
            if let Some(batch) = cached.filter(|batch| batch.rows == info.rows) {
                return Ok(Some(LogBlock { info, batch }));
            }
            let Some(bytes) = self.load(tenant, &located)? else { continue };
            let batch = Packed::read(&bytes)
                .and_then(|packed| packed.batch())
                .map_err(|damage| self.damaged(tenant, &located, &damage))?;
            let batch = Arc::new(batch);
            lock(&self.cache).put(tenant, info.first_sequence, &batch);
            return Ok(Some(LogBlock { info, batch }));
        }
    }

    fn blocks(&self, tenant: &TenantName) -> Vec<BlockInfo> {
        read(&self.log).tenants.get(tenant).map(|log| log.infos()).unwrap_or_default()
    }

    fn raw(&self, tenant: &TenantName, block: &BlockInfo) -> Result<Records, StoreError> {
        let gone = || {
            StoreError::new(
                StoreErrorKind::Invalid,
                format!("the log has no block at {} any more", block.first_sequence),
            )
        };
        loop {
            let located = self.locate(tenant, block.first_sequence).ok_or_else(gone)?;
            let info = located.info();
            let before = block.first_sequence.checked_sub(info.first_sequence);
            let before = before.filter(|_| block.end_sequence() <= info.end_sequence());
            let before = before.ok_or_else(gone)? as usize;
            let Some(bytes) = self.load(tenant, &located)? else { continue };
            let records = Packed::read(&bytes)
                .and_then(|packed| packed.raw())
                .map_err(|damage| self.damaged(tenant, &located, &damage))?;
            if info == *block || records.is_empty() {
                return Ok(records);
            }
            let mut part = Records::new();
            records.iter().skip(before).take(block.rows as usize).for_each(|record| {
                part.push(record);
            });
            return Ok(part);
        }
    }

    fn seen(&self, tenant: &TenantName, marks: &[u64]) -> Vec<bool> {
        match read(&self.log).tenants.get(tenant) {
            Some(log) => marks.iter().map(|&mark| log.seen.contains(mark)).collect(),
            None => vec![false; marks.len()],
        }
    }

    fn mark_key(&self) -> [u8; 16] {
        self.identity.mark_key
    }

    fn retain(&self, tenant: &TenantName, before: i64) -> Result<Retained, StoreError> {
        let _upkeep = lock(&self.upkeep);
        let (segments, tail_blocks, retained) = self.retained(tenant, before);
        if retained.activities == 0 {
            return Ok(retained);
        }
        let request = Request::Retain { segments: segments.clone(), tail_blocks };
        self.submit(tenant, request, 16 * segments.len() + 64)?;
        for first in &segments {
            // Best effort: nothing names them any more, so they are swept when the store is opened.
            let _ = self.files.remove(&segment_name(tenant.as_str(), *first));
        }
        if !segments.is_empty() {
            let _ = self.files.sync_folder(&segment_folder(tenant.as_str()));
        }
        Ok(retained)
    }

    fn tenants(&self) -> Vec<TenantName> {
        read(&self.log).tenants.keys().cloned().collect()
    }

    fn stats(&self) -> Stats {
        let log = read(&self.log);
        let mut stats = Stats { tenants: log.tenants.len() as u64, ..Stats::default() };
        for tenant in log.tenants.values() {
            stats.activities += tenant.infos().iter().map(|info| u64::from(info.rows)).sum::<u64>();
            stats.blocks += tenant.infos().len() as u64;
            stats.segments += tenant.segments.len() as u64;
            stats.segment_bytes += tenant.segments.iter().map(|s| s.bytes).sum::<u64>();
            stats.tail_bytes += tenant.tail_bytes;
            stats.seen_marks += tenant.seen.len() as u64;
            stats.seen_bytes += tenant.seen.bytes() as u64;
        }
        drop(log);
        stats.journal_bytes = lock(&self.journal).bytes();
        stats.snapshot_bytes = self.snapshot_bytes.load(Ordering::Relaxed);
        stats.view_bytes = self.views.bytes();
        stats.commits = self.commits.load(Ordering::Relaxed);
        stats.syncs = self.syncs.load(Ordering::Relaxed);
        stats.view_rebuilt.clone_from(&self.rebuilt);
        stats
    }

    fn check(&self, progress: &dyn Fn(Progress)) -> Result<CheckReport, StoreError> {
        let upkeep = lock(&self.upkeep);
        let _leadership = self.lead()?;
        let truth = self.truth(&lock(&self.journal), upkeep.snapshot);
        let view = self.view()?;
        Ok(check::check(&*self.files, &truth, Some(&*view), progress))
    }

    fn compact(&self, progress: &dyn Fn(Progress)) -> Result<Compacted, StoreError> {
        let mut upkeep = lock(&self.upkeep);
        self.snapshot(&mut upkeep)?;
        let _leadership = self.lead()?;
        self.view()?;
        let before = self.views.bytes();
        let truth = self.truth(&lock(&self.journal), upkeep.snapshot);
        let fresh = opening::rebuild(&*self.files, &*self.views, &truth, progress)?;
        *write(&self.view) = Some(fresh);
        Ok(Compacted { before, after: self.views.bytes() })
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.snapshot(&mut lock(&self.upkeep))
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut upkeep = lock(&self.upkeep);
        if read(&self.view).is_none() {
            return Ok(());
        }
        let journal = lock(&self.journal).bytes();
        let cheap = self.snapshot_bytes.load(Ordering::Relaxed) <= journal.saturating_mul(4);
        let done = if journal >= CLOSING_JOURNAL_BYTES && cheap {
            self.snapshot(&mut upkeep)
        } else {
            Ok(())
        };
        // Even when something failed, nothing may be written any more.
        let leadership = self.lead();
        let done = done.and(leadership.as_ref().map(|_| ()).map_err(Clone::clone));
        lock(&self.queue).failure.get_or_insert_with(closed);
        drop(leadership);
        let view = write(&self.view).take();
        let closed = match (view, done.is_ok()) {
            (Some(view), true) => self.views.close(view),
            _ => Ok(()),
        };
        *lock(&self.lock) = None;
        done.and(closed)
    }
}
