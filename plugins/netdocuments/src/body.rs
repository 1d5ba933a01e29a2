//! Finds the records in an answer or a saved file: JSON, wrapped in any way or bare, or XML.

use casbah_plugin::body::{records, span, text, unmarked};
use casbah_plugin::record::{Record, members};
use casbah_plugin::scan::{Broken, Scanner};
use casbah_plugin::{Batch, Failure};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::value::RawValue;

use crate::failure::malformed;
use crate::normalize::Normalizer;
use crate::settings::Settings;

/// How deep an array of records may be wrapped.
const WRAPPINGS: usize = 4;

/// Start and end of every record.
///
/// # Errors
/// `malformed` when the body is no log.
pub(crate) fn split(body: &[u8]) -> Result<Vec<u32>, Failure> {
    let (text, skipped) = unmarked(text(body)?);
    let mut spans = Vec::new();
    let found = if text.trim_start().starts_with('<') {
        xml(text, &mut spans)
    } else {
        json(text, &mut spans)
    };
    found.map_err(|error| malformed(&format!("this is no log of NetDocuments: {error}")))?;
    for place in &mut spans {
        *place += skipped as u32;
    }
    Ok(spans)
}

/// Makes activities of raw records.
///
/// # Errors
/// `malformed` when a record is neither JSON nor XML, or does not lie within the body.
pub(crate) fn normalize(body: &[u8], raw: &[u32], settings: &Settings) -> Result<Batch, Failure> {
    fill(Normalizer::new(settings), body, raw)
}

/// The same for an answer of the app. Where the settings want something hashed or dropped, the column
/// `raw` has what the host is to keep instead of the raw records.
///
/// # Errors
/// Like [`normalize`].
pub(crate) fn read(body: &[u8], raw: &[u32], settings: &Settings) -> Result<Batch, Failure> {
    fill(Normalizer::rewriting(settings), body, raw)
}

fn fill(mut normalizer: Normalizer<'_>, body: &[u8], raw: &[u32]) -> Result<Batch, Failure> {
    let mut record = Record::default();
    records(body, raw, |text| {
        normalizer
            .read_text(text, &mut record)
            .map_err(|error| format!("is neither JSON nor XML: {error}"))
    })?;
    Ok(normalizer.finish())
}

/// Reads an answer of the app in one pass, as [`split`] and [`read`] do in two: what the app answers is
/// an array. At most `most` records.
///
/// `None` for everything that is not quite usual, good or bad: that is for those two to judge.
pub(crate) fn pass(body: &[u8], settings: &Settings, most: usize) -> Option<(Batch, Vec<u32>)> {
    let text = text(body).ok()?;
    let (_, skipped) = unmarked(text);
    let mut scanner = Scanner::starting_at(text, skipped);
    let mut normalizer = Normalizer::rewriting(settings);
    let (mut record, mut spans) = (Record::default(), Vec::new());
    let mut left = most;
    let read = scanner.items(&mut spans, |scanner| {
        let full = Broken { at: scanner.at(), expected: "no more records" };
        left = left.checked_sub(1).ok_or(full)?;
        normalizer.read(scanner, &mut record)
    });
    read.ok()?;
    scanner.is_done().then(|| (normalizer.finish(), spans))
}

/// A single value, or any number of them one after the other, as in JSON lines.
fn json(text: &str, spans: &mut Vec<u32>) -> Result<(), String> {
    // What the app answers is an array, and need not be looked at twice.
    if text.trim_start().starts_with('[')
        && let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text)
    {
        spans.extend(items.into_iter().flat_map(|item| span(text, item.get())));
        return Ok(());
    }
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(|error| error.to_string())?;
        descend(text, value, WRAPPINGS, spans)?;
    }
    Ok(())
}

fn descend(
    text: &str,
    value: &RawValue,
    wrappings: usize,
    spans: &mut Vec<u32>,
) -> Result<(), String> {
    if let Some(items) = items(value) {
        spans.extend(items.into_iter().flat_map(|item| span(text, item.get())));
        return Ok(());
    }
    let members =
        members(value).ok_or_else(|| "there is neither an object nor an array".to_owned())?;
    let has = |name: &str| members.iter().any(|(key, _)| key == name);
    let wrapped =
        members.iter().any(|(key, inner)| key == "activity" && inner.get().starts_with('{'));
    if wrapped || has("storageObject") || has("date") || (has("name") && has("user")) {
        spans.extend(span(text, value.get()));
        return Ok(());
    }
    let starts = |bracket: char| {
        members.iter().find(|(_, inner)| inner.get().starts_with(bracket)).map(|&(_, inner)| inner)
    };
    match starts('[').or_else(|| starts('{')) {
        Some(inner) if wrappings > 0 => descend(text, inner, wrappings - 1, spans),
        _ => Err("an object holds no activities".to_owned()),
    }
}

/// The items of an array; `None` when it is none.
pub(crate) fn items(value: &RawValue) -> Option<Vec<&RawValue>> {
    if !value.get().starts_with('[') {
        return None;
    }
    serde_json::from_str(value.get()).ok()
}

/// Every element `activity`, whatever its parents are called.
fn xml(text: &str, spans: &mut Vec<u32>) -> Result<(), String> {
    let mut reader = Reader::from_str(text);
    let mut root = String::new();
    let mut depth = 0_usize;
    // Start and depth of the record that is open.
    let mut record: Option<(u32, usize)> = None;
    loop {
        let start = reader.buffer_position() as u32;
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(element) => {
                let name = element.name().local_name().into_inner();
                if depth == 0 && root.is_empty() {
                    name.clone_into(&mut root);
                }
                if record.is_none() && name.eq_ignore_ascii_case("activity") {
                    record = Some((start, depth));
                }
                depth += 1;
            }
            Event::Empty(element) => {
                let name = element.name().local_name().into_inner();
                if depth == 0 && root.is_empty() {
                    name.clone_into(&mut root);
                }
                if record.is_none() && name.eq_ignore_ascii_case("activity") {
                    spans.extend([start, reader.buffer_position() as u32]);
                }
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                if let Some((start, outside)) = record
                    && outside == depth
                {
                    spans.extend([start, reader.buffer_position() as u32]);
                    record = None;
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if depth > 0 {
        return Err("the XML ends too early".to_owned());
    }
    let root = root.to_ascii_lowercase();
    // An empty log has no record to be known by.
    if spans.is_empty() && !(root.contains("activit") || root.contains("log")) {
        return Err("the XML holds no activities".to_owned());
    }
    Ok(())
}
