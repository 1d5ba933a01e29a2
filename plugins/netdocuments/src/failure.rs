//! Says why an answer is no page, and what the administrator can do about it.
//!
//! The vendor documents no codes: the HTTP status decides, never the wording.

pub(crate) use casbah_plugin::answer::malformed;
use casbah_plugin::answer::retry_after;
use casbah_plugin::body;
use casbah_plugin::{Failure, Response, class};
use serde::Deserialize;

use crate::requests::is_log;

const ADMINISTRATOR: &str = "The account that connected casbah must be a full administrator of the \
    repository, with the scopes `read` and `admin`, and the consolidated log must be switched on \
    (ask your NetDocuments representative if its menu is missing). Then test the connection.";
const EMPTY: &str = "NetDocuments lets accounts in that may see nothing. Check that `repository` is \
    the right one, that the account is a full administrator of it, that the consolidated log is \
    switched on, and, where the application signs in by itself, that an administrator mapped its \
    client id to an account of the repository.";
const ADDRESS: &str = "Check `repository` and the region of the connection: a repository exists in \
    one region only, and so do the credentials.";
const RANGE: &str = "NetDocuments gives at most 90 days, all within the last 90. Check this \
    machine's clock and `repository`; if they are right, report this.";
const PAGE: &str = "A web page instead of data often means a wrong region or a sign-in page in \
    between. Check the region and the hosts of the connection.";

/// The window holds more than can be handed over at once.
pub(crate) fn too_many(records: usize) -> Failure {
    Failure {
        class: class::TOO_LARGE.to_owned(),
        message: format!("the answer holds {records} activities, more than can be taken at once"),
        ..Failure::default()
    }
}

/// The connection works, but what must hold something is empty.
pub(crate) fn empty(what: &str) -> Failure {
    Failure {
        class: class::FORBIDDEN.to_owned(),
        code: "empty".to_owned(),
        message: format!("NetDocuments let casbah in, but {what}"),
        remedy: EMPTY.to_owned(),
        retry_after: None,
    }
}

/// The answer is not about the window that was asked for.
pub(crate) fn elsewhere(message: String) -> Failure {
    Failure {
        code: "window".to_owned(),
        remedy:
            "NetDocuments did not keep to the times it was asked for, so nothing tells whether \
                 the answer is whole. Check this machine's clock; if it is right, report this."
                .to_owned(),
        ..malformed(&message)
    }
}

/// An answer of status 200 that can't be read.
pub(crate) fn unreadable(response: &Response, failure: Failure) -> Failure {
    if is_page(response) {
        return Failure { remedy: PAGE.to_owned(), ..malformed("a web page came instead of data") };
    }
    match said(&response.body) {
        Some(said) => Failure {
            remedy: ADMINISTRATOR.to_owned(),
            ..malformed(&format!("NetDocuments answered: {said}"))
        },
        None => failure,
    }
}

/// The failure that a status other than 2xx stands for.
pub(crate) fn classify(response: &Response) -> Failure {
    let log = is_log(&response.request.stream);
    let (class, remedy) = match response.status {
        400 if log => (class::REFUSED, RANGE),
        401 => (class::TOKEN_EXPIRED, ""),
        402 | 403 | 407 => (class::FORBIDDEN, ADMINISTRATOR),
        404 => (class::REFUSED, ADDRESS),
        // A window was too long to be made in time; anything else is simply late.
        408 | 504 if log => (class::TOO_LARGE, ""),
        413 => (class::TOO_LARGE, ""),
        429 => (class::RATE_LIMITED, ""),
        408 | 425 | 500..=599 => (class::TRANSIENT, ""),
        300..=499 => (class::REFUSED, ADDRESS),
        _ => (class::MALFORMED, ""),
    };
    let mut message = format!("NetDocuments answered {}", response.status);
    if let Some(said) = said(&response.body) {
        message.push_str(": ");
        message.push_str(&said);
    } else if is_page(response) {
        message.push_str(" with a web page");
    }
    Failure {
        class: class.to_owned(),
        code: response.status.to_string(),
        message,
        remedy: remedy.to_owned(),
        retry_after: retry_after(response),
    }
}

/// What the vendor's envelope of an error says.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    error: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: String,
}

fn said(body: &[u8]) -> Option<String> {
    let (text, _) = body::unmarked(std::str::from_utf8(body).ok()?);
    // A struct could also be read from an array.
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let envelope: Envelope = serde_json::from_str(text).ok()?;
    let parts = [envelope.error, envelope.message, envelope.details];
    let parts: Vec<String> =
        parts.iter().map(|part| printable(part)).filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

fn is_page(response: &Response) -> bool {
    let start = response.body.trim_ascii_start();
    let start = start.get(..64.min(start.len())).unwrap_or_default().to_ascii_lowercase();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}

fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(300).collect()
}
