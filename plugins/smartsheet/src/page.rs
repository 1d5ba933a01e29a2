//! Reads pages of the audit stream, and finds the raw records in saved answers.

use casbah_plugin::answer::malformed;
use casbah_plugin::body::{records, text};
use casbah_plugin::scan::{Broken, Scanner, Value};
use casbah_plugin::{Batch, Failure, class};

use crate::event::Event;
use crate::normalize::Normalizer;
use crate::settings::Settings;

/// A page of the audit stream.
pub(crate) struct EventPage {
    pub(crate) batch: Batch,
    /// Start and end of every event.
    pub(crate) raw: Vec<u32>,
    /// Whether there is more to be had at once.
    pub(crate) more: bool,
    /// Where the next page starts; a last page may come without it.
    pub(crate) position: Option<String>,
}

/// What a body with status 200 can hold.
pub(crate) enum Body<T> {
    Page(T),
    /// The app's envelope of an error.
    Error,
}

/// Reads a page of events.
///
/// # Errors
/// `malformed` when it is no page.
pub(crate) fn read(body: &[u8], settings: &Settings) -> Result<Body<EventPage>, Failure> {
    let text = text(body)?;
    read_page(text, settings)
        .map_err(|broken| malformed(&format!("the answer is not a page of events: {broken}")))
}

fn read_page(text: &str, settings: &Settings) -> Result<Body<EventPage>, Broken> {
    let mut scanner = Scanner::new(text);
    let mut normalizer = Normalizer::new(settings);
    let mut raw = Vec::new();
    let mut more = false;
    let mut position = None;
    let mut seen = false;
    let mut first = true;
    scanner.enter_object()?;
    while let Some(key) = scanner.key(&mut first)? {
        match key.plain().unwrap_or_default() {
            "data" if scanner.peek() == b'[' => {
                seen = true;
                read_events(&mut scanner, &mut normalizer, &mut raw)?;
            }
            "moreAvailable" => {
                // An old example of the vendor has the text "false" here.
                more = match scanner.value()? {
                    Value::Flag(flag) => flag,
                    Value::Text(text) => {
                        text.plain().is_some_and(|word| word.eq_ignore_ascii_case("true"))
                    }
                    _ => false,
                };
            }
            "nextStreamPosition" => {
                position = match scanner.value()? {
                    Value::Text(text) => Some(text.get(&mut String::new()).to_owned()),
                    Value::Number(digits) => Some(digits.to_owned()),
                    _ => None,
                };
            }
            "errorCode" => return Ok(Body::Error),
            _ => {
                scanner.value()?;
            }
        }
    }
    if !scanner.is_done() {
        return Err(Broken { at: scanner.at(), expected: "the end" });
    }
    if !seen {
        return Err(Broken { at: scanner.at(), expected: "an array `data` before this" });
    }
    let position = position.filter(|position| !position.is_empty());
    Ok(Body::Page(EventPage { batch: normalizer.finish(), raw, more, position }))
}

fn read_events<'a>(
    scanner: &mut Scanner<'a>,
    normalizer: &mut Normalizer<'_>,
    raw: &mut Vec<u32>,
) -> Result<(), Broken> {
    let mut event = Event::default();
    scanner.items(raw, |scanner| normalizer.read(scanner, &mut event))
}

/// Makes activities of raw records again.
///
/// # Errors
/// `malformed` when a record is not JSON, or does not lie within the body.
pub(crate) fn normalize(body: &[u8], raw: &[u32], settings: &Settings) -> Result<Batch, Failure> {
    let mut normalizer = Normalizer::new(settings);
    let mut event = Event::default();
    records(body, raw, |record| {
        let mut scanner = Scanner::new(record);
        scanner.peek();
        let read = normalizer.read(&mut scanner, &mut event).and_then(|()| {
            if scanner.is_done() {
                Ok(())
            } else {
                Err(Broken { at: scanner.at(), expected: "the end" })
            }
        });
        read.map_err(|broken| format!("is not JSON: {broken}"))
    })?;
    Ok(normalizer.finish())
}

/// Finds the raw records in a saved answer.
///
/// That is a page, an array, a single event, or any number of these one after the other, with or
/// without line breaks between them: JSON lines, and files that were simply joined.
///
/// # Errors
/// `malformed`, with the line, when the body is none of these.
pub(crate) fn split(body: &[u8]) -> Result<Vec<u32>, Failure> {
    let text = text(body)?;
    let mut scanner = Scanner::new(text);
    let mut raw = Vec::new();
    while !scanner.is_done() {
        split_value(&mut scanner, &mut raw).map_err(|broken| {
            let line = 1 + text.as_bytes().iter().take(broken.at).filter(|&&b| b == b'\n').count();
            Failure {
                class: class::MALFORMED.to_owned(),
                message: format!(
                    "this is neither a page of events, nor an array, nor JSON lines: in line {line}, \
                     {broken}"
                ),
                remedy: "Save the answers of `GET /events` as they came, or one event a line."
                    .to_owned(),
                ..Failure::default()
            }
        })?;
    }
    Ok(raw)
}

fn split_value(scanner: &mut Scanner<'_>, raw: &mut Vec<u32>) -> Result<(), Broken> {
    match scanner.peek() {
        b'[' => split_array(scanner, raw),
        b'{' => split_object(scanner, raw),
        _ => Err(Broken { at: scanner.at(), expected: "an object or an array" }),
    }
}

fn split_array(scanner: &mut Scanner<'_>, raw: &mut Vec<u32>) -> Result<(), Broken> {
    scanner.items(raw, |scanner| scanner.value().map(drop))
}

/// An object is a page when it has an array `data` and nothing that only events have.
fn split_object(scanner: &mut Scanner<'_>, raw: &mut Vec<u32>) -> Result<(), Broken> {
    let start = scanner.at();
    let before = raw.len();
    let mut page = false;
    let mut event = false;
    let mut first = true;
    scanner.enter_object()?;
    while let Some(key) = scanner.key(&mut first)? {
        match key.plain().unwrap_or_default() {
            "data" if scanner.peek() == b'[' => {
                page = true;
                split_array(scanner, raw)?;
                continue;
            }
            "eventId" | "objectType" | "action" => event = true,
            _ => {}
        }
        scanner.value()?;
    }
    if event || !page {
        raw.truncate(before);
        raw.extend([start as u32, scanner.at() as u32]);
    }
    Ok(())
}
