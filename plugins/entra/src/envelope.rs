//! Takes an answer of Graph apart: its records and its links; and finds the records of a saved file.

use casbah_plugin::{Failure, Response};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::failure::{malformed, unreadable};
use crate::link;
use crate::record::members;

/// How deep a list of records may be wrapped in a saved file.
const WRAPPINGS: usize = 4;

/// An answer that is a list.
pub(crate) struct List<'a> {
    /// The records as they stand in the body.
    pub(crate) items: Vec<&'a RawValue>,
    /// Start and end of every record in the body.
    pub(crate) spans: Vec<u32>,
    /// Path and query of the next page.
    pub(crate) next: Option<String>,
    /// Path and query of the next round, at the end of a delta.
    pub(crate) delta: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    value: Option<Vec<&'a RawValue>>,
    #[serde(rename = "@odata.nextLink", default)]
    next: Option<String>,
    #[serde(rename = "@odata.deltaLink", default)]
    delta: Option<String>,
    #[serde(rename = "@odata.context", default)]
    context: Option<String>,
}

/// Reads a list.
///
/// # Errors
/// `malformed` when the answer is none, or when a link of it leads elsewhere.
pub(crate) fn list(response: &Response) -> Result<List<'_>, Failure> {
    let wrong = || unreadable(response, malformed("the answer is not a list of Microsoft Graph"));
    let (text, skipped) = unmarked(text(&response.body)?);
    // A struct could also be read from an array.
    if !text.trim_start().starts_with('{') {
        return Err(wrong());
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|_| wrong())?;
    let items = envelope.value.ok_or_else(wrong)?;
    let context = envelope.context.as_deref();
    let follow = |link: Option<String>| {
        link.filter(|link| !link.is_empty()).map(|link| link::target(&link, context)).transpose()
    };
    let mut spans = Vec::with_capacity(items.len() * 2);
    for item in &items {
        push(text, skipped, item, &mut spans);
    }
    Ok(List { items, spans, next: follow(envelope.next)?, delta: follow(envelope.delta)? })
}

/// Text of a body.
///
/// # Errors
/// `malformed` when it is not UTF-8 or too long for its records to be pointed at.
pub(crate) fn text(body: &[u8]) -> Result<&str, Failure> {
    if u32::try_from(body.len()).is_err() {
        return Err(malformed("the answer is longer than 4 GiB"));
    }
    std::str::from_utf8(body)
        .map_err(|error| malformed(&format!("the answer is not UTF-8: {error}")))
}

/// The text behind a byte-order mark, and the length of that mark.
pub(crate) fn unmarked(text: &str) -> (&str, usize) {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => (rest, text.len() - rest.len()),
        None => (text, 0),
    }
}

/// Start and end of every record of a saved file: an array, an answer with `value`, JSON lines.
///
/// # Errors
/// `malformed` when it holds no sign-ins.
pub(crate) fn split(body: &[u8]) -> Result<Vec<u32>, Failure> {
    let (text, skipped) = unmarked(text(body)?);
    let wrong = |error: String| malformed(&format!("this is no sign-in log of Entra ID: {error}"));
    let mut spans = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(|error| wrong(error.to_string()))?;
        descend(text, skipped, value, WRAPPINGS, &mut spans).map_err(wrong)?;
    }
    Ok(spans)
}

fn descend(
    text: &str,
    skipped: usize,
    value: &RawValue,
    wrappings: usize,
    spans: &mut Vec<u32>,
) -> Result<(), String> {
    if value.get().starts_with('[') {
        let items: Vec<&RawValue> =
            serde_json::from_str(value.get()).map_err(|error| error.to_string())?;
        spans.reserve(items.len() * 2);
        for item in items {
            push(text, skipped, item, spans);
        }
        return Ok(());
    }
    let members =
        members(value).ok_or_else(|| "there is neither an object nor an array".to_owned())?;
    let has = |name: &str| members.iter().any(|(key, _)| key == name);
    if has("createdDateTime") || has("userPrincipalName") || has("appId") {
        push(text, skipped, value, spans);
        return Ok(());
    }
    let lists = |(key, inner): &&(String, &RawValue)| {
        inner.get().starts_with('[') || key == "body" && inner.get().starts_with('{')
    };
    let named = members.iter().find(|(key, inner)| key == "value" && inner.get().starts_with('['));
    match named.or_else(|| members.iter().find(lists)) {
        Some((_, inner)) if wrappings > 0 => descend(text, skipped, inner, wrappings - 1, spans),
        _ => Err("an object holds no sign-ins".to_owned()),
    }
}

/// Notes where in the body a part of its text stands.
fn push(text: &str, skipped: usize, part: &RawValue, spans: &mut Vec<u32>) {
    let start = part.get().as_ptr().addr() - text.as_ptr().addr() + skipped;
    spans.extend([start as u32, (start + part.get().len()) as u32]);
}
