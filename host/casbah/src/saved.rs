//! Saved answers of an app, read for `scan` and `normalize`: a page, an array, or JSON lines, plain
//! or compressed, from a file or stdin.
//!
//! Lines and arrays may be of any length: they are read in pieces. A cut never goes through a second
//! of the log: where an app gives no ids, the adapter tells true repeats by counting them, and it sees
//! only what it is given at once.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use casbah_model::adapter::Adapter;
use casbah_model::table::Column;
use casbah_model::{Batch, Values};

use crate::output::{Output, counted};

/// A page must be held whole; so much of it at most.
const WHOLE: usize = 512 << 20;

/// How much is taken at once.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Activities that are normalized at once.
    rows: usize,
    /// The same where they are all of one second; then even that second is cut.
    most: usize,
    /// Bytes of a piece.
    piece: usize,
}

const SIZES: Sizes = Sizes { rows: 16_384, most: 65_536, piece: 8 << 20 };

/// Records that could not be read, and were passed over.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    count: u64,
    /// The first of them: file, line and what is wrong.
    first: Vec<String>,
}

impl Unread {
    /// So many are named.
    const NAMED: usize = 20;

    /// Names them, if there are any.
    pub(crate) fn say(&self, output: &mut Output) {
        for line in &self.first {
            output.say(line);
        }
        if self.count > 0 {
            let more = match self.count - self.first.len() as u64 {
                0 => String::new(),
                more => format!(", {more} more than are named here"),
            };
            output.say(&format!(
                "{} could not be read{more}",
                counted(self.count, "record", "records")
            ));
        }
    }

    /// Takes the rows of such records out of a batch: all but those have no `broken`.
    fn take(&mut self, batch: Batch, place: impl Fn(usize) -> String) -> Batch {
        let Some(broken) = batch.text_ids("broken") else { return batch };
        let (mut kept, mut count) = (Vec::with_capacity(batch.len()), 0);
        for (row, &wrong) in broken.iter().enumerate() {
            if wrong == 0 {
                kept.push(row);
                continue;
            }
            count += 1;
            if self.first.len() < Self::NAMED {
                self.first.push(format!("{}: {}", place(row), batch.texts.get(wrong)));
            }
        }
        self.count += count;
        if count == 0 { batch } else { batch.select(&kept) }
    }
}

/// Reads files and hands over their activities, batch by batch, in order. Records that the adapter
/// calls broken are passed over.
///
/// # Errors
/// When a file can't be read, or does not hold what the app answers.
pub(crate) fn read(
    adapter: &dyn Adapter,
    settings: &str,
    files: &[PathBuf],
    each: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<Unread> {
    let mut unread = Unread::default();
    for path in files {
        let name =
            if path.as_os_str() == "-" { "stdin".into() } else { path.display().to_string() };
        let pieces = Pieces::new(open(path)?, SIZES.piece);
        read_one(adapter, settings, &name, pieces, SIZES, &mut unread, each)?;
    }
    Ok(unread)
}

fn read_one(
    adapter: &dyn Adapter,
    settings: &str,
    name: &str,
    mut pieces: Pieces,
    sizes: Sizes,
    unread: &mut Unread,
    each: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<()> {
    let (mut at, mut lines) = (0_u64, 0_usize);
    while let Some(piece) = pieces.next().with_context(|| format!("`{name}` can't be read"))? {
        let told = |failure| anyhow::anyhow!("`{name}`, from byte {at}: {failure}");
        let spans = adapter.split(&piece).map_err(told)?;
        let (mut rest, _) = spans.as_chunks::<2>();
        let mut rows = sizes.rows;
        while !rest.is_empty() {
            let chunk = rest.get(..rows).unwrap_or(rest);
            let mut batch = normalize(adapter, settings, &piece, chunk).map_err(told)?;
            let end = chunk.len() == rest.len();
            let mut done = before_last_second(&batch);
            if done == 0 && !end && rows < sizes.most {
                // Nothing but one second: it is looked at with what follows.
                rows = rows.saturating_mul(2);
                continue;
            }
            let tail = chunk.get(done).and_then(|&[start, _]| piece.get(start as usize..));
            let goes_on = !end || pieces.can_take_back(tail.unwrap_or_default());
            if (done == 0 && chunk.len() >= sizes.most) || !goes_on {
                done = chunk.len();
            }
            truncate(&mut batch, done);
            let batch = unread.take(batch, |row| {
                let start = chunk.get(row).map_or(0, |&[start, _]| start as usize);
                let before = piece.get(..start).unwrap_or_default();
                format!("`{name}`, line {}", 1 + lines + line_breaks(before))
            });
            if !batch.is_empty() {
                each(batch)?;
            }
            rest = rest.get(done..).unwrap_or_default();
            rows = sizes.rows;
            if end {
                break;
            }
        }
        let left = rest.first().map_or(piece.len(), |&[start, _]| start as usize);
        at += left as u64;
        lines += line_breaks(piece.get(..left).unwrap_or_default());
        pieces.take_back(piece.get(left..).unwrap_or_default());
    }
    Ok(())
}

fn line_breaks(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}

/// Normalizes records that stand one behind the other in a piece. Only their part of it is handed
/// over: the piece may be far larger.
fn normalize(
    adapter: &dyn Adapter,
    settings: &str,
    piece: &[u8],
    chunk: &[[u32; 2]],
) -> Result<Batch, casbah_model::adapter::Failure> {
    let start = chunk.iter().map(|[start, _]| *start).min().unwrap_or(0);
    let end = chunk.iter().map(|[_, end]| *end).max().unwrap_or(0);
    let spans: Vec<u32> = chunk.iter().flatten().map(|place| place.saturating_sub(start)).collect();
    adapter.normalize(settings, piece.get(start as usize..end as usize).unwrap_or_default(), &spans)
}

/// How many rows there are before those at the end that all have the same time; all where nothing has
/// a time.
fn before_last_second(batch: &Batch) -> usize {
    let Some(times) = batch.integers("time") else { return batch.len() };
    let last = times.last();
    times.iter().rposition(|time| Some(time) != last).map_or(0, |at| at + 1)
}

/// Leaves the first rows. Texts that only the others used stay: the batch does not live long.
fn truncate(batch: &mut Batch, rows: usize) {
    fn columns(columns: &mut [Column], rows: usize) {
        for column in columns {
            match &mut column.values {
                Values::Text(values) => values.truncate(rows),
                Values::Integer(values) => values.truncate(rows),
                Values::Number(values) => values.truncate(rows),
            }
        }
    }
    if rows >= batch.len() {
        return;
    }
    batch.rows = rows as u32;
    columns(&mut batch.columns, rows);
    for nested in &mut batch.nested {
        nested.ends.truncate(rows);
        let inner = nested.ends.last().copied().unwrap_or(0) as usize;
        columns(&mut nested.columns, inner);
    }
}

fn open(path: &Path) -> Result<Box<dyn Read>> {
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("`{}` can't be opened", path.display()))?)
    };
    // Told by the first bytes rather than by the name, so that stdin works too.
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut head = [0; 4];
    let mut read = 0;
    while let Some(free) = head.get_mut(read..).filter(|free| !free.is_empty()) {
        match input.read(free)? {
            0 => break,
            n => read += n,
        }
    }
    let head = head.get(..read).unwrap_or_default().to_vec();
    let whole = io::Cursor::new(head.clone()).chain(input);
    Ok(match head.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

/// A file in pieces that each hold whole records.
struct Pieces {
    input: Box<dyn Read>,
    size: usize,
    rest: Vec<u8>,
    form: Form,
    /// Whether the piece that was handed out last is the last one.
    done: bool,
}

/// What a file is; known once its beginning was seen.
enum Form {
    Unknown,
    /// One record a line.
    Lines,
    /// One array; what is left of it stands in the rest without its first bracket.
    Array(Scan),
    /// Anything else: it is taken whole.
    Whole,
}

/// Where a search for the end of an element of an array stands.
#[derive(Default)]
struct Scan {
    /// So many bytes of the rest were looked at.
    at: usize,
    /// Open brackets within the array.
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// Place of the last comma between two elements.
    comma: Option<usize>,
}

impl Scan {
    fn go_on(&mut self, rest: &[u8]) {
        for (at, &byte) in rest.iter().enumerate().skip(self.at) {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                b',' if self.depth == 0 => self.comma = Some(at),
                _ => {}
            }
        }
        self.at = rest.len();
    }
}

impl Pieces {
    fn new(input: Box<dyn Read>, size: usize) -> Self {
        Self { input, size, rest: Vec::new(), form: Form::Unknown, done: false }
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.done {
            return Ok(None);
        }
        loop {
            let before = self.rest.len();
            let read = self.input.by_ref().take(self.size as u64).read_to_end(&mut self.rest)?;
            if matches!(self.form, Form::Unknown) {
                self.find_form();
            }
            if read < self.size {
                self.done = true;
                let rest = std::mem::take(&mut self.rest);
                if before == 0 && rest.iter().all(u8::is_ascii_whitespace) {
                    return Ok(None);
                }
                return Ok(Some(match self.form {
                    Form::Array(_) => [b"[", rest.as_slice()].concat(),
                    _ => rest,
                }));
            }
            if let Some(piece) = self.cut() {
                return Ok(Some(piece));
            }
            if self.rest.len() > WHOLE {
                bail!(
                    "it is one page or record of more than {} MiB\nhint: save it as JSON lines",
                    WHOLE >> 20
                );
            }
        }
    }

    fn find_form(&mut self) {
        let marked = self.rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.rest);
        let start = marked.trim_ascii_start();
        self.form = if is_lines(marked) {
            Form::Lines
        } else if start.first() == Some(&b'[') {
            let inside = self.rest.len() - start.len() + 1;
            self.rest.drain(..inside);
            Form::Array(Scan::default())
        } else {
            Form::Whole
        };
    }

    /// Takes the records that are whole from the rest.
    fn cut(&mut self) -> Option<Vec<u8>> {
        match &mut self.form {
            Form::Lines => {
                let end = self.rest.iter().rposition(|&byte| byte == b'\n')?;
                let rest = self.rest.split_off(end + 1);
                Some(std::mem::replace(&mut self.rest, rest))
            }
            Form::Array(scan) => {
                scan.go_on(&self.rest);
                let comma = scan.comma.take()?;
                let rest = self.rest.split_off(comma + 1);
                scan.at = rest.len();
                let elements = std::mem::replace(&mut self.rest, rest);
                let elements = elements.get(..comma).unwrap_or_default();
                Some([b"[", elements, b"]"].concat())
            }
            Form::Unknown | Form::Whole => None,
        }
    }

    /// Whether the end of the piece that was handed out last, from the start of a record on, can be
    /// read again with what follows: not at the end of the file, and not from within something larger.
    fn can_take_back(&self, end: &[u8]) -> bool {
        let end = match self.form {
            Form::Lines => end,
            Form::Array(_) => end.strip_suffix(b"]").unwrap_or(end),
            Form::Unknown | Form::Whole => return false,
        };
        !self.done && is_balanced(end)
    }

    /// Takes that end back.
    fn take_back(&mut self, end: &[u8]) {
        if end.is_empty() {
            return;
        }
        let mut whole = Vec::with_capacity(end.len() + self.rest.len() + self.size);
        match &mut self.form {
            Form::Array(scan) => {
                whole.extend_from_slice(end.strip_suffix(b"]").unwrap_or(end));
                whole.push(b',');
                scan.at += whole.len();
            }
            _ => whole.extend_from_slice(end),
        }
        whole.extend_from_slice(&self.rest);
        self.rest = whole;
    }
}

/// Whether everything that is opened in a text is closed in it, and nothing else is.
fn is_balanced(text: &[u8]) -> bool {
    let mut scan = Scan::default();
    text.chunk_by(|_, byte| !matches!(byte, b']' | b'}')).all(|part| {
        let closes = matches!(part.first(), Some(b']' | b'}')) && !scan.in_text;
        let open = !closes || scan.depth > 0;
        scan.at = 0;
        scan.go_on(part);
        open
    }) && scan.depth == 0
        && !scan.in_text
}

/// Whether the first line is a whole JSON object: then the file holds one record a line.
fn is_lines(start: &[u8]) -> bool {
    let line = start.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    line.is_some_and(|line| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok())
}

#[cfg(test)]
mod tests;
