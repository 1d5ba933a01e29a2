//! A snapshot: the whole view in the order of its keys, and where every log stands.
//!
//! `snapshot-<number>` holds what the frames up to that number add up to. It is made of the snapshot
//! before and the journal since, never of the view: a view that went wrong cannot spoil it.
//!
//! ```text
//! header | sections: kind 1, length 4, checksum 4 over kind, place in the file and payload, payload
//! ```
//!
//! Kind 1 is one tenant's log with its tail, kind 2 a packed run of keys and values, kind 3 the end
//! with the counts of both. Everything is streamed: memory does not grow with the view.

use std::collections::BTreeMap;
use std::io;
use std::iter::Peekable;
use std::sync::Arc;

use crate::block::{squeeze, unsqueeze};
use crate::error::StoreError;
use crate::files::{Entry, File, Files, TEMPORARY, read_exact_at, write_whole};
use crate::journal::{Op, header_error, read_journal, read_ops};
use crate::log::{Log, Segment, TailBlock, TenantLog, name};
use crate::view::view_key;
use crate::wire::{Damage, HEADER_LEN, Header, Input, checksum, put_bytes, put_number};

const MAGIC: &[u8; 8] = b"casbahV\n";
const VERSION: u32 = 1;
const SECTION_HEADER_LEN: usize = 9;
const LOG: u8 = 1;
const ENTRIES: u8 = 2;
const END: u8 = 3;

/// Unpacked bytes of a run of entries.
const RUN: usize = 256 << 10;

/// Name of the snapshot that holds the frames up to this number.
pub(crate) fn snapshot_name(number: u64) -> String {
    format!("snapshot-{number:016}")
}

/// Numbers of the snapshots among the entries of the data folder, oldest first.
pub(crate) fn snapshot_numbers(entries: &[Entry]) -> Vec<u64> {
    let mut numbers: Vec<u64> = entries
        .iter()
        .filter(|entry| !entry.folder && !entry.name.ends_with(TEMPORARY))
        .filter_map(|entry| entry.name.strip_prefix("snapshot-")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Where a log stands at the moment a snapshot holds.
#[derive(Clone, Debug)]
pub(crate) struct LogState {
    pub(crate) tenant: String,
    pub(crate) next: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) tail: Vec<TailBlock>,
}

impl LogState {
    pub(crate) fn of(tenant: &str, log: &TenantLog) -> Self {
        Self {
            tenant: tenant.to_owned(),
            next: log.next,
            segments: log.segments.clone(),
            tail: log.tail.clone(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.tenant.as_bytes());
        put_number(out, self.next);
        put_number(out, self.segments.len() as u64);
        for segment in &self.segments {
            [segment.first, segment.end, segment.bytes].iter().for_each(|n| put_number(out, *n));
        }
        put_number(out, self.tail.len() as u64);
        for block in &self.tail {
            put_number(out, block.info.first_sequence);
            put_bytes(out, &block.bytes);
        }
    }

    fn read(bytes: &[u8], log: &mut Log) -> Result<(), Damage> {
        let mut input = Input::new(bytes);
        let tenant = std::str::from_utf8(input.bytes()?)
            .map_err(|_| Damage::new("a tenant's name is not text"))?;
        let log = log.tenant(&name(tenant)?);
        log.next = input.number()?;
        for _ in 0..input.count()? {
            let segment = Segment {
                first: input.number()?,
                end: input.number()?,
                bytes: input.number()?,
                places: Arc::from([]),
            };
            log.segments.push(segment);
        }
        for _ in 0..input.count()? {
            let first = input.number()?;
            let block = TailBlock::new(first, Arc::from(input.bytes()?))?;
            log.tail_bytes += block.info.bytes;
            log.tail.push(block);
        }
        Ok(())
    }
}

/// Snapshot and journal, which together are the truth. A snapshot of number 0 is none.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) salt: u32,
    pub(crate) snapshot: u64,
    /// First numbers of the journal files, oldest first, and how much to read of each.
    pub(crate) journals: Vec<(u64, Option<u64>)>,
}

/// A change of the view by its full key, with the number of the frame it came from.
pub(crate) type EachChange<'a> =
    &'a mut dyn FnMut(u64, Vec<(Vec<u8>, Option<Vec<u8>>)>, u64) -> Result<(), StoreError>;

impl Truth {
    /// Changes of the view in the frames after `after`, frame by frame; the last argument is the
    /// number of bytes read of the journal so far.
    pub(crate) fn changes(
        &self,
        files: &dyn Files,
        after: u64,
        each: EachChange<'_>,
    ) -> Result<(), StoreError> {
        let mut done = 0;
        for &(first, until) in &self.journals {
            let shown = files.shown(&crate::journal::journal_name(first));
            let end = read_journal(files, self.salt, first, until, &mut |number, payload, at| {
                if number <= after {
                    return Ok(());
                }
                let ops = read_ops(payload).map_err(|d| StoreError::damaged(&shown, at, d))?;
                let mut changes = Vec::new();
                for op in ops {
                    if let Op::Commit { tenant, changes: made, .. } = op {
                        changes.extend(made.into_iter().map(|(table, key, value)| {
                            (view_key(tenant, table, key), value.map(<[u8]>::to_vec))
                        }));
                    }
                }
                each(number, changes, done + at)
            })?;
            done += end.len;
        }
        Ok(())
    }

    /// What the journal changes of the snapshot's entries.
    pub(crate) fn overlay(
        &self,
        files: &dyn Files,
    ) -> Result<BTreeMap<Vec<u8>, Option<Vec<u8>>>, StoreError> {
        let mut overlay = BTreeMap::new();
        self.changes(files, self.snapshot, &mut |_, changes, _| {
            overlay.extend(changes);
            Ok(())
        })?;
        Ok(overlay)
    }

    /// The entries of the snapshot, in the order of their keys.
    pub(crate) fn snapshot_entries<'a>(
        &self,
        files: &'a dyn Files,
    ) -> Result<Entries<'a>, StoreError> {
        match self.snapshot {
            0 => Ok(Entries { reader: None, run: Vec::new().into_iter() }),
            number => {
                let mut reader = Reader::open(files, self.salt, number)?;
                reader.logs(&mut |_| Ok(()))?;
                Ok(Entries { reader: Some(reader), run: Vec::new().into_iter() })
            }
        }
    }

    /// All entries as they should be in the view, in the order of their keys.
    pub(crate) fn entries<'a>(&self, files: &'a dyn Files) -> Result<Merged<'a>, StoreError> {
        let overlay = self.overlay(files)?;
        let entries = self.snapshot_entries(files)?;
        Ok(Merged { base: entries.peekable(), over: overlay.into_iter().peekable() })
    }
}

type Pair = (Vec<u8>, Vec<u8>);

/// Snapshot entries with the journal's changes laid over them.
pub(crate) struct Merged<'a> {
    base: Peekable<Entries<'a>>,
    over: Peekable<std::collections::btree_map::IntoIter<Vec<u8>, Option<Vec<u8>>>>,
}

impl Iterator for Merged<'_> {
    type Item = Result<Pair, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let base_first = match (self.base.peek(), self.over.peek()) {
                (Some(Ok((base, _))), Some((over, _))) if base == over => {
                    self.base.next();
                    continue;
                }
                (Some(Ok((base, _))), Some((over, _))) => base < over,
                (Some(_), _) => true,
                (None, _) => false,
            };
            if base_first {
                return self.base.next();
            }
            if let (key, Some(value)) = self.over.next()? {
                return Some(Ok((key, value)));
            }
        }
    }
}

/// Writes a snapshot; durable when this returns. Gives back its size.
pub(crate) fn write_snapshot(
    files: &dyn Files,
    salt: u32,
    number: u64,
    logs: &[LogState],
    entries: &mut dyn Iterator<Item = Result<Pair, StoreError>>,
) -> Result<u64, StoreError> {
    let name = snapshot_name(number);
    let mut failed = None;
    let mut size = 0;
    let written = write_whole(files, "", &name, &mut |file| {
        let mut writer = Writer { file, salt, at: 0, buffer: Vec::new(), sections: 0 };
        writer.buffer = Header::write(MAGIC, VERSION, number, salt);
        for log in logs {
            let mut payload = Vec::new();
            log.write(&mut payload);
            writer.section(LOG, &payload)?;
        }
        let mut count = 0_u64;
        let mut run = Vec::new();
        for entry in &mut *entries {
            match entry {
                Ok((key, value)) => {
                    put_bytes(&mut run, &key);
                    put_bytes(&mut run, &value);
                    count += 1;
                }
                Err(error) => {
                    failed = Some(error);
                    return Err(io::Error::other("the entries could not be read"));
                }
            }
            if run.len() >= RUN {
                writer.entries(&mut run)?;
            }
        }
        if !run.is_empty() {
            writer.entries(&mut run)?;
        }
        let mut payload = Vec::new();
        put_number(&mut payload, logs.len() as u64);
        put_number(&mut payload, count);
        writer.section(END, &payload)?;
        writer.flush()?;
        size = writer.at;
        Ok(())
    });
    match (written, failed) {
        (Ok(()), _) => Ok(size),
        (Err(_), Some(error)) => Err(error),
        (Err(error), None) => Err(StoreError::io("write", &files.shown(&name), error)),
    }
}

struct Writer<'a> {
    file: &'a dyn File,
    salt: u32,
    at: u64,
    buffer: Vec<u8>,
    sections: u64,
}

impl Writer<'_> {
    fn section(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len())
            .map_err(|_| io::Error::other("a section is larger than 4 GiB"))?;
        let sum = section_sum(self.salt, kind, self.sections, payload);
        self.buffer.push(kind);
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(&sum.to_le_bytes());
        self.buffer.extend_from_slice(payload);
        self.sections += 1;
        if self.buffer.len() >= RUN { self.flush() } else { Ok(()) }
    }

    fn entries(&mut self, run: &mut Vec<u8>) -> io::Result<()> {
        let mut payload = Vec::new();
        put_number(&mut payload, run.len() as u64);
        payload.extend_from_slice(&squeeze(run).map_err(io::Error::other)?);
        run.clear();
        self.section(ENTRIES, &payload)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(self.at, &self.buffer)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn section_sum(salt: u32, kind: u8, place: u64, payload: &[u8]) -> u32 {
    checksum(salt, &[&[kind], &place.to_le_bytes(), payload])
}

/// Reads a snapshot section by section.
pub(crate) struct Reader<'a> {
    shown: String,
    salt: u32,
    file: Arc<dyn File>,
    at: u64,
    len: u64,
    sections: u64,
    logs: u64,
    entries: u64,
    done: bool,
    _files: &'a dyn Files,
}

impl<'a> Reader<'a> {
    pub(crate) fn open(files: &'a dyn Files, salt: u32, number: u64) -> Result<Self, StoreError> {
        let name = snapshot_name(number);
        let shown = files.shown(&name);
        let failed = |error| StoreError::io("read", &shown, error);
        let file = files.open(&name).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        let header = read_exact_at(&*file, 0, HEADER_LEN.min(len as usize)).map_err(failed)?;
        match Header::read(&header, MAGIC, VERSION, salt) {
            Ok(found) if found == number => {}
            Ok(_) => {
                return Err(StoreError::damaged(&shown, 0, "it is another snapshot, renamed"));
            }
            Err(error) => return Err(header_error(&shown, error)),
        }
        Ok(Self {
            shown,
            salt,
            file,
            at: HEADER_LEN as u64,
            len,
            sections: 0,
            logs: 0,
            entries: 0,
            done: false,
            _files: files,
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn damaged(&self, damage: impl std::fmt::Display) -> StoreError {
        StoreError::damaged(&self.shown, self.at, damage)
    }

    /// Kind of the next section.
    fn peek(&self) -> Result<u8, StoreError> {
        let failed = |error| StoreError::io("read", &self.shown, error);
        if self.at >= self.len {
            return Err(self.damaged("it is cut off"));
        }
        let kind = read_exact_at(&*self.file, self.at, 1).map_err(failed)?;
        Ok(kind.first().copied().unwrap_or(0))
    }

    fn section(&mut self) -> Result<(u8, Vec<u8>), StoreError> {
        let failed = |error| StoreError::io("read", &self.shown, error);
        if self.at + SECTION_HEADER_LEN as u64 > self.len {
            return Err(self.damaged("it is cut off"));
        }
        let header = read_exact_at(&*self.file, self.at, SECTION_HEADER_LEN).map_err(failed)?;
        let mut input = Input::new(&header);
        let (kind, length, sum) = (|| Ok((input.u8()?, input.u32()?, input.u32()?)))()
            .map_err(|damage: Damage| self.damaged(damage))?;
        let from = self.at + SECTION_HEADER_LEN as u64;
        if from + u64::from(length) > self.len {
            return Err(self.damaged("a section is cut off"));
        }
        let payload = read_exact_at(&*self.file, from, length as usize).map_err(failed)?;
        if sum != section_sum(self.salt, kind, self.sections, &payload) {
            return Err(self.damaged("the checksum of a section is wrong"));
        }
        self.at = from + u64::from(length);
        self.sections += 1;
        Ok((kind, payload))
    }

    /// Reads where the logs stand: the sections before all others.
    fn logs(
        &mut self,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Damage>,
    ) -> Result<(), StoreError> {
        while self.peek()? == LOG {
            let at = self.at;
            let (_, payload) = self.section()?;
            each(&payload).map_err(|damage| StoreError::damaged(&self.shown, at, damage))?;
            self.logs += 1;
        }
        Ok(())
    }

    /// Reads where the logs stand into `log`.
    pub(crate) fn read_logs(&mut self, log: &mut Log) -> Result<(), StoreError> {
        self.logs(&mut |payload| LogState::read(payload, log))
    }

    /// The next run of entries; `None` at the end.
    fn run(&mut self) -> Result<Option<Vec<Pair>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let at = self.at;
        let (kind, payload) = self.section()?;
        let parsed = match kind {
            ENTRIES => parse_run(&payload).map(Some),
            END => self.parse_end(&payload).map(|()| None),
            other => Err(Damage::new(format!("a section is of unknown kind {other}"))),
        };
        let run = parsed.map_err(|damage| StoreError::damaged(&self.shown, at, damage))?;
        match &run {
            Some(run) => self.entries += run.len() as u64,
            None => self.done = true,
        }
        Ok(run)
    }

    fn parse_end(&self, payload: &[u8]) -> Result<(), Damage> {
        let mut input = Input::new(payload);
        if (input.number()?, input.number()?) != (self.logs, self.entries) || self.at != self.len {
            return Err(Damage::new("something is missing, or follows the end"));
        }
        Ok(())
    }
}

fn parse_run(payload: &[u8]) -> Result<Vec<Pair>, Damage> {
    let mut input = Input::new(payload);
    let length = usize::try_from(input.number()?).unwrap_or(usize::MAX);
    let bytes = unsqueeze(input.rest(), length)?;
    let mut input = Input::new(&bytes);
    let mut run = Vec::new();
    while !input.rest().is_empty() {
        let key = input.bytes()?.to_vec();
        run.push((key, input.bytes()?.to_vec()));
    }
    Ok(run)
}

/// The entries of a snapshot one by one.
pub(crate) struct Entries<'a> {
    reader: Option<Reader<'a>>,
    run: std::vec::IntoIter<Pair>,
}

impl Entries<'_> {
    /// Bytes of the snapshot.
    pub(crate) fn total(&self) -> u64 {
        self.reader.as_ref().map_or(0, |reader| reader.len)
    }

    /// Bytes of it read so far; 0 at the end.
    pub(crate) fn read(&self) -> u64 {
        self.reader.as_ref().map_or(0, |reader| reader.at)
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Pair, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.run.next() {
                return Some(Ok(entry));
            }
            match self.reader.as_mut()?.run() {
                Ok(Some(run)) => self.run = run.into_iter(),
                Ok(None) => self.reader = None,
                Err(error) => {
                    self.reader = None;
                    return Some(Err(error));
                }
            }
        }
    }
}
