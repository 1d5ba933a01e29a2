//! Finds the records in a saved file: JSON lines, an array, objects one after the other, or what
//! services wrap their answers in.
//!
//! Lines are only looked at from their two ends: whether a record is JSON is seen when it is read.

use casbah_plugin::answer::malformed;
use casbah_plugin::body;
use casbah_plugin::scan::{Broken, Scanner};
use casbah_plugin::{Failure, class};

/// Members that hold the records of an answer.
const WRAPPED: &[&str] = &["Records", "records", "items", "value", "data", "events", "Events"];

/// Members that an answer has beside its records, in lower case: an object with any other is a record.
const PAGING: &[&str] = &[
    "_links",
    "count",
    "cursor",
    "etag",
    "has_more",
    "hasmore",
    "kind",
    "limit",
    "links",
    "meta",
    "metadata",
    "more",
    "moreavailable",
    "next",
    "nextcursor",
    "nextlink",
    "nextpagetoken",
    "nextstreamposition",
    "nexttoken",
    "object",
    "offset",
    "page",
    "pages",
    "pagination",
    "paging",
    "size",
    "status",
    "total",
    "totalcount",
    "total_count",
];

/// How many lines are looked at to find one that is a record, where the file as a whole is no JSON.
const TRIED: usize = 100;

/// Finds the raw records of a file.
///
/// # Errors
/// `malformed` when it holds no JSON.
pub(crate) fn split(body: &[u8]) -> Result<Vec<u32>, Failure> {
    if u32::try_from(body.len()).is_err() {
        return Err(malformed("the file is longer than 4 GiB"));
    }
    let start = if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let first = lines(body, start).next();
    if first.is_some_and(|(start, end)| is_record(body, start, end)) {
        return Ok(by_line(body, start));
    }
    let text = body::text(body)?;
    let wrong = match by_value(text) {
        Ok(raw) => return Ok(raw),
        Err(broken) => broken,
    };
    // One broken line at the beginning is no reason to give up the others.
    if lines(body, start).take(TRIED).any(|(start, end)| is_record(body, start, end)) {
        return Ok(by_line(body, start));
    }
    let line = 1 + body.iter().take(wrong.at).filter(|&&byte| byte == b'\n').count();
    Err(Failure {
        class: class::MALFORMED.to_owned(),
        message: format!("these are no JSON records: in line {line}, {wrong}"),
        remedy: "Save one object a line, an array of objects, or the answers as they came."
            .to_owned(),
        ..Failure::default()
    })
}

/// The lines from an offset on that are not blank: start and end of what is not blank in them.
fn lines(body: &[u8], from: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = from;
    std::iter::from_fn(move || {
        loop {
            let rest = body.get(at..).filter(|rest| !rest.is_empty())?;
            let length = line_length(rest);
            let start = at;
            at += length + 1;
            let line = rest.get(..length).unwrap_or_default();
            let front = line.len() - line.trim_ascii_start().len();
            let inside = line.trim_ascii();
            if !inside.is_empty() {
                return Some((start + front, start + front + inside.len()));
            }
        }
    })
}

/// Bytes before the next line break, eight a step.
fn line_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let (mut rest, mut passed) = (bytes, 0);
    while let Some((step, left)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*step) ^ (ONES * b'\n' as u64);
        let marks = word.wrapping_sub(ONES) & !word & HIGHS;
        if marks != 0 {
            // The lowest mark is exact, and only it is used.
            return passed + (marks.trailing_zeros() / 8) as usize;
        }
        passed += 8;
        rest = left;
    }
    passed + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
}

fn by_line(body: &[u8], from: usize) -> Vec<u32> {
    lines(body, from).flat_map(|(start, end)| [start as u32, end as u32]).collect()
}

/// Whether a line is one whole object, and a record itself.
fn is_record(body: &[u8], start: usize, end: usize) -> bool {
    let line = body.get(start..end).unwrap_or_default();
    if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
        return false;
    }
    let Ok(text) = std::str::from_utf8(line) else { return false };
    let mut scanner = Scanner::starting_at(text, 0);
    let mut raw = Vec::new();
    split_object(&mut scanner, &mut raw).is_ok()
        && scanner.is_done()
        && raw.as_slice() == [0, text.len() as u32]
}

fn by_value(text: &str) -> Result<Vec<u32>, Broken> {
    let mut scanner = Scanner::new(text);
    let mut raw = Vec::new();
    while !scanner.is_done() {
        match scanner.peek() {
            b'[' => split_list(&mut scanner, &mut raw).map(drop)?,
            b'{' => split_object(&mut scanner, &mut raw)?,
            _ => return Err(Broken { at: scanner.at(), expected: "an object or an array" }),
        }
    }
    Ok(raw)
}

/// Adds the items of a list; says whether all of them are objects.
fn split_list(scanner: &mut Scanner<'_>, raw: &mut Vec<u32>) -> Result<bool, Broken> {
    let mut objects = true;
    scanner.items(raw, |scanner| {
        objects &= scanner.peek() == b'{';
        scanner.value().map(drop)
    })?;
    Ok(objects)
}

/// Adds an object: the records in it when it is an answer, else itself.
fn split_object(scanner: &mut Scanner<'_>, raw: &mut Vec<u32>) -> Result<(), Broken> {
    scanner.peek();
    let (start, before) = (scanner.at(), raw.len());
    let (mut lists, mut paging, mut first) = (0, true, true);
    scanner.enter_object()?;
    while let Some(key) = scanner.key(&mut first)? {
        let key = key.plain().unwrap_or_default();
        if WRAPPED.contains(&key) && scanner.peek() == b'[' {
            lists += 1;
            paging &= split_list(scanner, raw)?;
            continue;
        }
        paging &= key.starts_with("@odata.") || PAGING.contains(&key.to_ascii_lowercase().as_str());
        scanner.value()?;
    }
    if lists != 1 || !paging {
        raw.truncate(before);
        raw.extend([start as u32, scanner.at() as u32]);
    }
    Ok(())
}
