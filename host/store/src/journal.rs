//! The journal: every commit, in order, durable before it is acknowledged.
//!
//! A file `journal-<first>` holds frames with the numbers `first`, `first + 1` and so on. A frame is
//! what was synced together, so a bad frame can only be the last thing in the last file:
//!
//! ```text
//! magic 4 | payload length 4 | number 8 | checksum 4 over length, number and payload | payload
//! ```
//!
//! The payload is a count of operations ([`Op`]) and these. What an operation means is decided
//! elsewhere: this module writes and reads them.

use std::io;
use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Entry, File, Files, TEMPORARY, read_exact_at, write_whole};
use crate::wire::{
    Damage, HEADER_LEN, Header, HeaderError, Input, checksum, put_bytes, put_number,
};

const MAGIC: &[u8; 8] = b"casbahJ\n";
const VERSION: u32 = 1;
const FRAME_MAGIC: [u8; 4] = *b"FRM1";
const FRAME_HEADER_LEN: usize = 20;

/// The largest payload; more is refused before anything is written.
pub(crate) const MOST_PAYLOAD: usize = 1 << 30;

const COMMIT: u8 = 1;
const SEAL: u8 = 2;
const RETAIN: u8 = 3;

/// A change of the view within a journal: table, key, new value.
pub(crate) type Change<'a> = (u8, &'a [u8], Option<&'a [u8]>);

/// What a journal says was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    /// Changes of the view, and blocks appended to the log from sequence number `first` on.
    Commit { tenant: &'a str, changes: Vec<Change<'a>>, first: u64, blocks: Vec<&'a [u8]> },
    /// The first `blocks` blocks of the tail, from `first` on, are in a segment file now.
    Seal { tenant: &'a str, first: u64, blocks: u64, bytes: u64 },
    /// Segments that went, by first sequence number, and so many first blocks of the tail.
    Retain { tenant: &'a str, segments: Vec<u64>, tail_blocks: u64 },
}

impl<'a> Op<'a> {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Commit { tenant, changes, first, blocks } => {
                out.push(COMMIT);
                put_bytes(out, tenant.as_bytes());
                put_number(out, changes.len() as u64);
                for (table, key, value) in changes {
                    out.push(*table);
                    put_bytes(out, key);
                    match value {
                        None => put_number(out, 0),
                        Some(value) => {
                            put_number(out, value.len() as u64 + 1);
                            out.extend_from_slice(value);
                        }
                    }
                }
                put_number(out, *first);
                put_number(out, blocks.len() as u64);
                blocks.iter().for_each(|block| put_bytes(out, block));
            }
            Self::Seal { tenant, first, blocks, bytes } => {
                out.push(SEAL);
                put_bytes(out, tenant.as_bytes());
                [*first, *blocks, *bytes].iter().for_each(|number| put_number(out, *number));
            }
            Self::Retain { tenant, segments, tail_blocks } => {
                out.push(RETAIN);
                put_bytes(out, tenant.as_bytes());
                put_number(out, segments.len() as u64);
                segments.iter().for_each(|first| put_number(out, *first));
                put_number(out, *tail_blocks);
            }
        }
    }

    fn read(input: &mut Input<'a>) -> Result<Self, Damage> {
        let kind = input.u8()?;
        let tenant = std::str::from_utf8(input.bytes()?)
            .map_err(|_| Damage::new("a tenant's name is not text"))?;
        match kind {
            COMMIT => {
                let mut changes = Vec::new();
                for _ in 0..input.count()? {
                    let table = input.u8()?;
                    let key = input.bytes()?;
                    let value = match input.count()?.checked_sub(1) {
                        None => None,
                        Some(length) => Some(input.take(length)?),
                    };
                    changes.push((table, key, value));
                }
                let first = input.number()?;
                let mut blocks = Vec::new();
                for _ in 0..input.count()? {
                    blocks.push(input.bytes()?);
                }
                Ok(Self::Commit { tenant, changes, first, blocks })
            }
            SEAL => Ok(Self::Seal {
                tenant,
                first: input.number()?,
                blocks: input.number()?,
                bytes: input.number()?,
            }),
            RETAIN => {
                let mut segments = Vec::new();
                for _ in 0..input.count()? {
                    segments.push(input.number()?);
                }
                Ok(Self::Retain { tenant, segments, tail_blocks: input.number()? })
            }
            other => Err(Damage::new(format!("an operation is of unknown kind {other}"))),
        }
    }
}

/// Reads the operations of a payload.
pub(crate) fn read_ops(payload: &[u8]) -> Result<Vec<Op<'_>>, Damage> {
    let mut input = Input::new(payload);
    let count = input.count()?;
    let mut ops = Vec::with_capacity(count);
    for _ in 0..count {
        ops.push(Op::read(&mut input)?);
    }
    if input.rest().is_empty() { Ok(ops) } else { Err(Damage::new("a frame is too long")) }
}

/// Name of the journal file whose first frame has this number.
pub(crate) fn journal_name(first: u64) -> String {
    format!("journal-{first:016}")
}

/// The number in the name of a journal file.
pub(crate) fn journal_number(name: &str) -> Option<u64> {
    name.strip_prefix("journal-").and_then(|number| number.parse().ok())
}

/// Names and sizes of the journal files among the entries of the data folder, oldest first.
pub(crate) fn journal_files(entries: &[Entry]) -> Vec<(u64, u64)> {
    let mut files: Vec<(u64, u64)> = entries
        .iter()
        .filter(|entry| !entry.folder && !entry.name.ends_with(TEMPORARY))
        .filter_map(|entry| Some((journal_number(&entry.name)?, entry.len)))
        .collect();
    files.sort_unstable();
    files
}

/// How an append failed.
pub(crate) enum AppendError {
    /// Nothing was written.
    Refused(StoreError),
    /// It is open what is on disk.
    Unknown(StoreError),
}

/// The end of the journal, for appending.
pub(crate) struct Journal {
    files: Arc<dyn Files>,
    salt: u32,
    first: u64,
    file: Arc<dyn File>,
    len: u64,
    next: u64,
    /// First numbers and lengths of the files before this one, oldest first.
    older: Vec<(u64, u64)>,
}

impl Journal {
    /// Starts a new file whose first frame will have number `first`.
    pub(crate) fn create(
        files: &Arc<dyn Files>,
        salt: u32,
        first: u64,
        older: Vec<(u64, u64)>,
    ) -> io::Result<Self> {
        let name = journal_name(first);
        let header = Header::write(MAGIC, VERSION, first, salt);
        write_whole(&**files, "", &name, &mut |file| file.write_at(0, &header))?;
        Ok(Self {
            files: Arc::clone(files),
            salt,
            first,
            file: files.open(&name)?,
            len: header.len() as u64,
            next: first,
            older,
        })
    }

    /// Goes on after the last good frame of a file.
    pub(crate) fn resume(
        files: &Arc<dyn Files>,
        salt: u32,
        first: u64,
        end: JournalEnd,
        older: Vec<(u64, u64)>,
    ) -> io::Result<Self> {
        let file = files.open(&journal_name(first))?;
        if file.len()? != end.len {
            file.truncate(end.len)?;
        }
        // The last frame may be one whose sync failed before the process was killed: then it is in
        // the system's memory, looks written, and is not. Writing it once more makes it so.
        let last = read_exact_at(&*file, end.last, (end.len - end.last) as usize)?;
        file.write_at(end.last, &last)?;
        file.sync()?;
        files.sync_folder("")?;
        let files = Arc::clone(files);
        Ok(Self { files, salt, first, file, len: end.len, next: end.next, older })
    }

    /// Number the next frame gets.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// First numbers and lengths of all files that hold what no snapshot holds yet.
    pub(crate) fn files(&self) -> Vec<(u64, u64)> {
        let mut files = self.older.clone();
        files.push((self.first, self.len));
        files
    }

    /// Bytes of all these files.
    pub(crate) fn bytes(&self) -> u64 {
        self.older.iter().map(|(_, len)| len).sum::<u64>() + self.len
    }

    /// The files before the current one are no longer needed; gives back their first numbers.
    pub(crate) fn forget_older(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.older).into_iter().map(|(first, _)| first).collect()
    }

    /// Appends operations as one frame and makes it durable; gives back its number.
    pub(crate) fn append(&mut self, count: usize, ops: &[u8]) -> Result<u64, AppendError> {
        let mut frame = Vec::with_capacity(FRAME_HEADER_LEN + 10 + ops.len());
        frame.resize(FRAME_HEADER_LEN, 0);
        put_number(&mut frame, count as u64);
        frame.extend_from_slice(ops);
        let (header, payload) = frame.split_at_mut(FRAME_HEADER_LEN);
        header.copy_from_slice(&frame_header(self.salt, self.next, payload));
        let name = journal_name(self.first);
        let shown = self.files.shown(&name);
        if let Err(error) = self.file.write_at(self.len, &frame) {
            let undone = self.file.truncate(self.len).and_then(|()| self.file.sync());
            let error = StoreError::io("write to", &shown, error);
            return Err(match undone {
                Ok(()) => AppendError::Refused(error),
                Err(_) => AppendError::Unknown(error),
            });
        }
        // After a failed sync nobody knows what is on disk, and a second try may lie.
        if let Err(error) = self.file.sync() {
            return Err(AppendError::Unknown(StoreError::io("sync", &shown, error)));
        }
        self.len += frame.len() as u64;
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Goes over to a new file, or stays with the old one.
    pub(crate) fn rotate(&mut self) -> Result<(), AppendError> {
        if self.next == self.first {
            // It is new: a snapshot failed after it had been made.
            return Ok(());
        }
        match Self::create(&self.files, self.salt, self.next, self.files()) {
            Ok(journal) => {
                *self = journal;
                Ok(())
            }
            Err(error) => {
                let name = journal_name(self.next);
                let error = StoreError::io("make", &self.files.shown(&name), error);
                let gone = match self.files.remove(&name) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => self.files.sync_folder(""),
                };
                Err(match gone {
                    Ok(()) => AppendError::Refused(error),
                    Err(_) => AppendError::Unknown(error),
                })
            }
        }
    }
}

fn frame_header(salt: u32, number: u64, payload: &[u8]) -> [u8; FRAME_HEADER_LEN] {
    let mut header = [0; FRAME_HEADER_LEN];
    let length = (payload.len() as u32).to_le_bytes();
    let number = number.to_le_bytes();
    let sum = checksum(salt, &[&length, &number, payload]).to_le_bytes();
    let parts: [&[u8]; 4] = [&FRAME_MAGIC, &length, &number, &sum];
    for (to, from) in header.iter_mut().zip(parts.iter().flat_map(|part| part.iter())) {
        *to = *from;
    }
    header
}

/// Where the good frames of a file end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalEnd {
    /// Bytes up to the end of the last good frame.
    pub(crate) len: u64,
    /// Where that frame begins.
    pub(crate) last: u64,
    /// Number after that frame's.
    pub(crate) next: u64,
    /// Whether something that is no good frame follows: a write that the power cut off.
    pub(crate) torn: bool,
}

/// Called with a frame's number, its payload, and the byte at which it begins.
pub(crate) type EachFrame<'a> = &'a mut dyn FnMut(u64, &[u8], u64) -> Result<(), StoreError>;

/// Reads the frames of a journal file in order.
///
/// `until` is the length to read, for a file that is being appended to.
///
/// # Errors
/// When the header is wrong, a bad frame has a good one after it, or `each` fails.
pub(crate) fn read_journal(
    files: &dyn Files,
    salt: u32,
    first: u64,
    until: Option<u64>,
    each: EachFrame<'_>,
) -> Result<JournalEnd, StoreError> {
    let name = journal_name(first);
    let shown = files.shown(&name);
    let failed = |error| StoreError::io("read", &shown, error);
    let file = files.open(&name).map_err(failed)?;
    let len = match until {
        Some(len) => len,
        None => file.len().map_err(failed)?,
    };
    let mut window = Window { file: &*file, at: 0, len, start: 0, bytes: Vec::new() };
    let header = window.get(HEADER_LEN).map_err(failed)?.unwrap_or_default();
    match Header::read(header, MAGIC, VERSION, salt) {
        Ok(number) if number == first => {}
        Ok(_) => return Err(StoreError::damaged(&shown, 0, "it is another journal file, renamed")),
        Err(error) => return Err(header_error(&shown, error)),
    }
    window.at = HEADER_LEN as u64;
    let mut number = first;
    let mut last = 0;
    while window.at < len {
        let at = window.at;
        let Some(length) = good_frame(&mut window, salt, number).map_err(failed)? else {
            if let Some(good) = find_frame(&mut window, salt, number).map_err(failed)? {
                return Err(StoreError::damaged(
                    &shown,
                    at,
                    format!("commit {number} is unreadable, but a good one follows at byte {good}"),
                ));
            }
            return Ok(JournalEnd { len: at, last, next: number, torn: true });
        };
        let frame = window.get(length).map_err(failed)?.unwrap_or_default();
        each(number, frame.get(FRAME_HEADER_LEN..).unwrap_or_default(), at)?;
        window.at = at + length as u64;
        last = at;
        number += 1;
    }
    Ok(JournalEnd { len, last, next: number, torn: false })
}

/// The error for a file whose header is wrong.
pub(crate) fn header_error(shown: &str, error: HeaderError) -> StoreError {
    match error {
        HeaderError::Damage(damage) => StoreError::damaged(shown, 0, damage),
        HeaderError::Newer(version) => StoreError::new(
            StoreErrorKind::NewerFormat,
            format!(
                "`{shown}` is in format {version}, which this version of casbah does not know\nhint: use the newer casbah that wrote it; going back takes a backup from before"
            ),
        ),
    }
}

/// Length of the frame at the window's place if it is whole and has this number.
fn good_frame(window: &mut Window<'_>, salt: u32, number: u64) -> io::Result<Option<usize>> {
    let Some(header) = window.get(FRAME_HEADER_LEN)? else { return Ok(None) };
    let mut input = Input::new(header);
    let Ok(magic) = input.take(4) else { return Ok(None) };
    let Ok(payload) = input.u32() else { return Ok(None) };
    let found = input.u64();
    if magic != FRAME_MAGIC || found != Ok(number) {
        return Ok(None);
    }
    let length = FRAME_HEADER_LEN + payload as usize;
    let Some(frame) = window.get(length)? else { return Ok(None) };
    let (header, payload) = frame.split_at(FRAME_HEADER_LEN.min(frame.len()));
    Ok((header == frame_header(salt, number, payload)).then_some(length))
}

/// The next good frame after a bad one; one write is synced before the next is made, so there is
/// none unless something else than a power cut was at work.
fn find_frame(window: &mut Window<'_>, salt: u32, bad: u64) -> io::Result<Option<u64>> {
    let from = window.at;
    let mut at = from + 1;
    while at + FRAME_HEADER_LEN as u64 <= window.len {
        window.at = at;
        let chunk = (window.len - at).min(1 << 20) as usize;
        let bytes = window.get(chunk)?.unwrap_or_default();
        let hits: Vec<u64> = bytes
            .windows(4)
            .zip(at..)
            .filter(|(four, _)| *four == FRAME_MAGIC)
            .map(|(_, hit)| hit)
            .collect();
        for hit in hits {
            window.at = hit;
            let number = window.get(FRAME_HEADER_LEN)?.and_then(|header| {
                let mut input = Input::new(header);
                input.take(8).ok()?;
                input.u64().ok()
            });
            // Somebody may have put many such beginnings into a value: look at few of them closely.
            let near = number.filter(|&number| number > bad && number - bad < 1 << 20);
            if let Some(number) = near
                && good_frame(window, salt, number)?.is_some()
            {
                window.at = from;
                return Ok(Some(hit));
            }
        }
        // A beginning may lie across two chunks.
        at += chunk.saturating_sub(3).max(1) as u64;
    }
    window.at = from;
    Ok(None)
}

/// Part of a file in memory, moving forward.
struct Window<'a> {
    file: &'a dyn File,
    /// Where the reader is.
    at: u64,
    /// Where it must stop.
    len: u64,
    /// Where `bytes` begin.
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The next `length` bytes, or `None` when there are not so many.
    fn get(&mut self, length: usize) -> io::Result<Option<&[u8]>> {
        if self.at + length as u64 > self.len {
            return Ok(None);
        }
        let held = self.start + self.bytes.len() as u64;
        if self.at < self.start || self.at + length as u64 > held {
            let want = (length as u64).max(1 << 18).min(self.len - self.at) as usize;
            self.bytes = read_exact_at(self.file, self.at, want)?;
            self.start = self.at;
        }
        let from = (self.at - self.start) as usize;
        Ok(self.bytes.get(from..from + length))
    }
}
