//! Opening a store: from the files of a data folder to where it stood.

use std::sync::Arc;

use crate::check::compare;
use crate::error::StoreError;
use crate::files::{Files, TEMPORARY};
use crate::identity::{Identity, missing_store_file};
use crate::journal::{
    Journal, JournalEnd, journal_files, journal_name, journal_number, read_journal, read_ops,
};
use crate::log::{Log, TenantLog};
use crate::segment::{
    LOG_FOLDER, Place, read_marks, read_places, segment_folder, segment_name, segment_number,
};
use crate::snapshot::{Reader, Truth, snapshot_name, snapshot_numbers};
use crate::types::{Options, Progress, Task};
use crate::view::{Changes, Existing, View, Views};
use crate::wire::HEADER_LEN;

/// What a store begins with.
pub(crate) struct Opened {
    pub(crate) identity: Identity,
    pub(crate) log: Log,
    pub(crate) journal: Journal,
    pub(crate) view: Arc<dyn View>,
    pub(crate) snapshot: u64,
    pub(crate) snapshot_bytes: u64,
    /// Why the view was rebuilt, if it was.
    pub(crate) rebuilt: Option<String>,
}

/// What snapshot and journal say.
pub(crate) struct Loaded {
    pub(crate) log: Log,
    pub(crate) snapshot: u64,
    pub(crate) snapshot_bytes: u64,
    /// First number and end of each journal file, oldest first.
    pub(crate) journals: Vec<(u64, JournalEnd)>,
    /// Number of the last frame.
    pub(crate) last: u64,
    /// Files that are no longer needed.
    pub(crate) obsolete: Vec<String>,
}

pub(crate) fn open(
    files: &Arc<dyn Files>,
    views: &dyn Views,
    options: &Options,
    progress: &dyn Fn(Progress),
) -> Result<Opened, StoreError> {
    let identity = match Identity::read(&**files)? {
        Some(identity) => identity,
        None => create(files)?,
    };
    let salt = identity.salt;
    let loaded = load(&**files, salt, options.seen_rows)?;
    let mut log = loaded.log;
    for (tenant, log) in &mut log.tenants {
        read_segments(&**files, salt, tenant.as_str(), log, options.seen_rows)?;
    }
    let journal = resume(files, salt, &loaded.journals)?;
    let truth = Truth {
        salt,
        snapshot: loaded.snapshot,
        journals: journal.files().into_iter().map(|(first, len)| (first, Some(len))).collect(),
    };
    let trusted = trust(views, loaded.snapshot, loaded.last)
        .and_then(|(existing, applied)| catch_up(&**files, &truth, existing, applied));
    let (view, rebuilt) = match trusted {
        Ok(view) => (view, None),
        Err(why) => {
            if loaded.last > 0 {
                tracing::info!("building the view from snapshot and journal: {why}");
            }
            (rebuild(&**files, views, &truth, progress)?, (loaded.last > 0).then_some(why))
        }
    };
    sweep(&**files, &log, loaded.obsolete);
    let (snapshot, snapshot_bytes) = (loaded.snapshot, loaded.snapshot_bytes);
    Ok(Opened { identity, log, journal, view, snapshot, snapshot_bytes, rebuilt })
}

/// Makes a new store. The store file comes last: before it, nothing can have been committed.
fn create(files: &Arc<dyn Files>) -> Result<Identity, StoreError> {
    let entries =
        files.list("").map_err(|error| StoreError::io("read", &files.shown(""), error))?;
    let written =
        journal_files(&entries).iter().any(|&(first, len)| first != 1 || len != HEADER_LEN as u64);
    if let Some(error) = missing_store_file(&**files, &entries, written) {
        return Err(error);
    }
    let identity = Identity::random();
    Journal::create(files, identity.salt, 1, Vec::new())
        .map_err(|error| StoreError::io("make", &files.shown(&journal_name(1)), error))?;
    identity.write(&**files)?;
    Ok(identity)
}

/// Reads the newest snapshot's logs and the journal since.
pub(crate) fn load(files: &dyn Files, salt: u32, seen_rows: usize) -> Result<Loaded, StoreError> {
    let entries =
        files.list("").map_err(|error| StoreError::io("read", &files.shown(""), error))?;
    let mut obsolete: Vec<String> = entries
        .iter()
        .filter(|entry| !entry.folder && entry.name.ends_with(TEMPORARY))
        .map(|entry| entry.name.clone())
        .collect();
    let mut snapshots = snapshot_numbers(&entries);
    let snapshot = snapshots.pop().unwrap_or(0);
    obsolete.extend(snapshots.into_iter().map(snapshot_name));
    let mut log = Log::new(seen_rows);
    let mut snapshot_bytes = 0;
    if snapshot != 0 {
        let mut reader = Reader::open(files, salt, snapshot)?;
        reader.read_logs(&mut log)?;
        snapshot_bytes = reader.len();
    }
    let firsts: Vec<u64> = journal_files(&entries).into_iter().map(|(first, _)| first).collect();
    let (old, needed) = needed_journals(&firsts, snapshot);
    obsolete.extend(old.iter().map(|&first| journal_name(first)));
    let (journals, last) = read_journals(files, salt, snapshot, needed, &mut log)?;
    Ok(Loaded { log, snapshot, snapshot_bytes, journals, last, obsolete })
}

/// Splits journal files into those that end at or before the snapshot, and the others.
fn needed_journals(firsts: &[u64], snapshot: u64) -> (&[u64], &[u64]) {
    let later = firsts.iter().rposition(|&first| first <= snapshot + 1).unwrap_or(0);
    firsts.split_at_checked(later).unwrap_or((&[], firsts))
}

/// Reads journal files into the log; gives back where they end, and the number of the last frame.
fn read_journals(
    files: &dyn Files,
    salt: u32,
    snapshot: u64,
    firsts: &[u64],
    log: &mut Log,
) -> Result<(Vec<(u64, JournalEnd)>, u64), StoreError> {
    let missing = |number: u64| {
        let shown = files.shown(&journal_name(number));
        StoreError::missing(&shown, format!("nothing else holds the commits from {number} on"))
    };
    let mut next = match firsts.first() {
        Some(&first) if first <= snapshot + 1 => first,
        Some(&first) => {
            let shown = files.shown(&snapshot_name(first - 1));
            let what = format!("nothing else holds the commits before {first}");
            return Err(StoreError::missing(&shown, what));
        }
        None => return Err(missing(snapshot + 1)),
    };
    let mut journals: Vec<(u64, JournalEnd)> = Vec::with_capacity(firsts.len());
    for &first in firsts {
        // What follows the last good frame is no harm when the next file goes on right after it.
        if let Some((before, end)) = journals.last()
            && end.torn
            && first != next
        {
            let shown = files.shown(&journal_name(*before));
            let what = format!("commit {} is unreadable, but a later file follows", end.next);
            return Err(StoreError::damaged(&shown, end.len, what));
        }
        if first != next {
            return Err(missing(next));
        }
        let shown = files.shown(&journal_name(first));
        let end = read_journal(files, salt, first, None, &mut |number, payload, at| {
            if number <= snapshot {
                return Ok(());
            }
            read_ops(payload)
                .and_then(|ops| ops.iter().try_for_each(|op| log.replay(op)))
                .map_err(|damage| StoreError::damaged(&shown, at, damage))
        })?;
        next = end.next;
        journals.push((first, end));
    }
    if next <= snapshot {
        return Err(missing(snapshot + 1));
    }
    Ok((journals, next - 1))
}

fn resume(
    files: &Arc<dyn Files>,
    salt: u32,
    journals: &[(u64, JournalEnd)],
) -> Result<Journal, StoreError> {
    let (first, end, older) = match journals.split_last() {
        Some((&(first, end), older)) => (first, end, older),
        None => (1, JournalEnd { len: 0, last: 0, next: 1, torn: false }, &[] as &[_]),
    };
    let older = older.iter().map(|(first, end)| (*first, end.len)).collect();
    Journal::resume(files, salt, first, end, older)
        .map_err(|error| StoreError::io("open", &files.shown(&journal_name(first)), error))
}

/// Reads the indexes of a tenant's segments, and the marks of the newest rows.
fn read_segments(
    files: &dyn Files,
    salt: u32,
    tenant: &str,
    log: &mut TenantLog,
    seen_rows: usize,
) -> Result<(), StoreError> {
    for segment in &mut log.segments {
        segment.places = read_places(files, salt, tenant, segment.first, segment.bytes)?.into();
        let end = segment.places.last().map_or(segment.first, |place| place.info.end_sequence());
        if end != segment.end {
            let shown = files.shown(&segment_name(tenant, segment.first));
            let what = format!("it ends at {end} instead of {}", segment.end);
            return Err(StoreError::damaged(&shown, 0, what));
        }
    }
    let mut rows: usize = log.tail.iter().map(|block| block.info.rows as usize).sum();
    let mut wanted: Vec<(u64, Vec<Place>)> = Vec::new();
    for segment in log.segments.iter().rev() {
        if rows >= seen_rows {
            break;
        }
        rows += segment.places.iter().map(|place| place.info.rows as usize).sum::<usize>();
        wanted.push((segment.first, segment.places.to_vec()));
    }
    for (first, places) in wanted.into_iter().rev() {
        let shown = files.shown(&segment_name(tenant, first));
        let lists = read_marks(files, tenant, first, &places)
            .map_err(|error| StoreError::io("read", &shown, error))?;
        lists.iter().for_each(|list| log.seen.insert(&crate::block::marks(list)));
    }
    for block in &log.tail {
        log.seen.insert(&block.mark_list());
    }
    Ok(())
}

/// The view as it was left, if all it misses is in the journal.
fn trust(views: &dyn Views, snapshot: u64, last: u64) -> Result<(Existing, u64), String> {
    let existing = views.existing()?;
    let applied = existing.view.applied().map_err(|error| error.0)?;
    match applied {
        None => Err("it was never complete".to_owned()),
        Some(applied) if applied < snapshot => {
            Err(format!("it is at commit {applied}, the journal begins after {snapshot}"))
        }
        Some(applied) if applied > last => {
            Err(format!("it is at commit {applied}, the journal ends at {last}"))
        }
        Some(applied) => Ok((existing, applied)),
    }
}

/// Applies what the view has not seen, and compares it with the truth unless it is proven.
fn catch_up(
    files: &dyn Files,
    truth: &Truth,
    existing: Existing,
    applied: u64,
) -> Result<Arc<dyn View>, String> {
    let Existing { view, proven } = existing;
    let words = |error: StoreError| error.to_string();
    truth
        .changes(files, applied, &mut |number, changes, _| Ok(view.apply(changes, Some(number))?))
        .map_err(words)?;
    if !proven {
        let compared = compare(files, truth, &*view).map_err(words)?;
        if let Some(first) = compared.first {
            return Err(format!("{} of its entries are wrong, first: {first}", compared.wrong));
        }
    }
    Ok(view)
}

/// Entries that are put into a fresh view at a time.
const LOAD_ENTRIES: usize = 2_000;
const LOAD_BYTES: usize = 1 << 20;

/// Builds a fresh view from snapshot and journal and puts it in the place of any other.
pub(crate) fn rebuild(
    files: &dyn Files,
    views: &dyn Views,
    truth: &Truth,
    progress: &dyn Fn(Progress),
) -> Result<Arc<dyn View>, StoreError> {
    let view = views.fresh()?;
    let mut entries = truth.snapshot_entries(files)?;
    let journal: u64 = truth.journals.iter().filter_map(|(_, len)| *len).sum();
    let total = entries.total() + journal;
    let report = |done| progress(Progress { task: Task::Rebuild, done, total });
    report(0);
    let mut changes: Changes = Vec::new();
    let mut bytes = 0;
    while let Some(entry) = entries.next() {
        let (key, value) = entry?;
        bytes += key.len() + value.len();
        changes.push((key, Some(value)));
        if changes.len() >= LOAD_ENTRIES || bytes >= LOAD_BYTES {
            view.apply(std::mem::take(&mut changes), None)?;
            bytes = 0;
            report(entries.read());
        }
    }
    // With the number, the view is complete up to the snapshot.
    view.apply(changes, Some(truth.snapshot))?;
    let before = total - journal;
    truth.changes(files, truth.snapshot, &mut |number, changes, done| {
        view.apply(changes, Some(number))?;
        report((before + done).min(total));
        Ok(())
    })?;
    views.adopt()?;
    report(total);
    Ok(view)
}

/// Deletes what nothing needs or names. Best effort: what stays is swept the next time.
fn sweep(files: &dyn Files, log: &Log, obsolete: Vec<String>) {
    let mut gone = obsolete;
    for entry in files.list(LOG_FOLDER).unwrap_or_default() {
        let tenant = entry.name.as_str();
        let held = log.tenants.iter().find(|(name, _)| name.as_str() == tenant);
        for file in files.list(&segment_folder(tenant)).unwrap_or_default() {
            let named = segment_number(&file.name).is_some_and(|first| {
                held.is_some_and(|(_, log)| log.segments.iter().any(|s| s.first == first))
            });
            let ours = file.name.ends_with(TEMPORARY) || segment_number(&file.name).is_some();
            if ours && !named {
                gone.push(format!("{}/{}", segment_folder(tenant), file.name));
            }
        }
    }
    for name in gone {
        debug_assert!(journal_number(&name).is_none_or(|first| first > 0));
        let _ = files.remove(&name);
    }
}
