//! Says why an answer is no page, and what the administrator can do about it.
//!
//! Both the HTTP status and the app's own code decide, never the wording: the vendor's own examples
//! have texts that belong to other codes. What the host then does is in the class.

pub(crate) use casbah_plugin::answer::malformed;
use casbah_plugin::answer::{header, retry_after};
use casbah_plugin::scan::{Broken, Scanner, Value};
use casbah_plugin::{Failure, PlanRequest, Response, class};

use crate::requests;
use crate::settings::{DEFAULT_MAINTENANCE_WAIT, Settings};

const SYSTEM_ADMIN: &str = "The account that connected casbah must be a System Admin of the \
    Smartsheet plan and stay one, and the connection needs the scopes READ_EVENTS and READ_USERS. \
    Give the account that role again, or connect with another account.";
const ADD_ON: &str = "Event Reporting is a paid add-on for Enterprise and Advanced Work Management \
    plans. Ask your Smartsheet representative to add it to the plan, then test the connection.";
const SSO: &str = "The organization requires single sign-on, and the token was made without it. \
    Sign in to Smartsheet through single sign-on and connect again.";
const POLICY: &str = "A security policy of the organization forbids it. In the Smartsheet Admin \
    Center, let the account and the address that casbah uses pass that policy.";
const BUG: &str = "This is a mistake in the adapter or in the settings of the connection. Check the \
    settings; if they are right, report this with the code and the refId.";
const RETIRED: &str = "Smartsheet has ended this version of its API. Install a newer casbah.";
const ADDRESS: &str = "Check the region of the connection, and the addresses of the API and of the \
    sign-in page if they were set by hand.";
const ACCOUNT_STATE: &str = "Smartsheet says this of the account itself: sign in to Smartsheet with \
    the account that connected casbah, and settle what it asks for.";

/// What the app's envelope of an error says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Envelope {
    code: Option<u32>,
    message: String,
    reference: String,
}

/// The failure that a response stands for.
pub(crate) fn classify(response: &Response, settings: &Settings) -> Failure {
    let envelope = Envelope::read(&response.body);
    let status = response.status;
    let code = envelope.as_ref().and_then(|envelope| envelope.code);
    let (class, remedy) = match code {
        Some(code) => by_code(status, code, &response.request),
        None => by_status(status),
    };
    let mut retry_after = retry_after(response);
    if code == Some(4001) && retry_after.is_none() {
        let seconds = settings.maintenance_wait.unwrap_or(DEFAULT_MAINTENANCE_WAIT);
        retry_after = Some(u64::from(seconds) * 1000);
    }
    Failure {
        class: class.to_owned(),
        code: code.map_or_else(|| status.to_string(), |code| code.to_string()),
        message: message(response, envelope.as_ref()),
        remedy: remedy.to_owned(),
        retry_after,
    }
}

/// Class and remedy of an error that the app itself explains.
fn by_code(status: u16, code: u32, request: &PlanRequest) -> (&'static str, &'static str) {
    match (status, code) {
        (_, 1002 | 1003) => (class::TOKEN_EXPIRED, ""),
        (_, 1005) => (class::RECONNECT, SSO),
        (_, 1001 | 1030 | 1227 | 1228) => (class::REFUSED, BUG),
        (_, 1004) => (class::FORBIDDEN, SYSTEM_ADMIN),
        (_, 1013) => (class::FORBIDDEN, ADD_ON),
        (_, 1361..=1363) => (class::FORBIDDEN, POLICY),
        (429, _) | (_, 4003) => (class::RATE_LIMITED, ""),
        (_, 4002) => (class::TOO_LARGE, ""),
        (_, 4000 | 4001 | 4004) => (class::TRANSIENT, ""),
        (410, _) | (_, 4005) => (class::REFUSED, RETIRED),
        // The grant itself was refused, whatever the code says.
        (_, 1132) => (class::RECONNECT, ""),
        (_, 5000..=5999) => (class::FORBIDDEN, ACCOUNT_STATE),
        (401, _) => (class::TOKEN_EXPIRED, ""),
        (403, _) => (class::FORBIDDEN, SYSTEM_ADMIN),
        // A position is the only thing in our requests that can go bad by itself.
        (400, _) if requests::has_position(request) => (class::STALE_CURSOR, ""),
        (404, _) => (class::REFUSED, ADDRESS),
        (400..=499, _) => (class::REFUSED, BUG),
        (500..=599, _) => (class::TRANSIENT, ""),
        _ => (class::MALFORMED, ""),
    }
}

/// Class and remedy when all there is to go by is the status, as from a proxy in between.
fn by_status(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => (class::TOKEN_EXPIRED, ""),
        403 => (
            class::FORBIDDEN,
            "Something between casbah and Smartsheet forbids the request, or the account has lost \
             its rights. Check proxies and address restrictions, then test the connection.",
        ),
        407 | 511 => {
            (class::FORBIDDEN, "A proxy asks for credentials. Check the proxy's settings.")
        }
        408 | 425 | 500..=599 => (class::TRANSIENT, ""),
        429 => (class::RATE_LIMITED, ""),
        413 => (class::TOO_LARGE, ""),
        410 => (class::REFUSED, RETIRED),
        300..=399 | 404 | 405 => (class::REFUSED, ADDRESS),
        400..=499 => (class::REFUSED, BUG),
        _ => (class::MALFORMED, ADDRESS),
    }
}

/// What happened, for people. What the app says is shortened and stripped of control characters.
fn message(response: &Response, envelope: Option<&Envelope>) -> String {
    let status = response.status;
    let Some(envelope) = envelope else {
        return format!("Smartsheet answered {status} without saying why: {}", what(response));
    };
    let mut message = format!("Smartsheet answered {status}");
    if !envelope.message.is_empty() {
        message.push_str(": ");
        message.push_str(&envelope.message);
    }
    if !envelope.reference.is_empty() {
        message.push_str(&format!(" [refId {}]", envelope.reference));
    }
    message
}

/// What came instead of JSON. Its text is not shown: it may be anything, and of any length.
fn what(response: &Response) -> &'static str {
    let content = header(response, "content-type").unwrap_or_default();
    let start = response.body.trim_ascii_start();
    if start.is_empty() {
        "the answer is empty"
    } else if content.contains("html") || start.starts_with(b"<") {
        "a web page came instead of data"
    } else {
        "the answer is not the JSON it should be"
    }
}

impl Envelope {
    fn read(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        Self::scan(text).ok().flatten()
    }

    fn scan(text: &str) -> Result<Option<Self>, Broken> {
        let mut scanner = Scanner::new(text);
        let mut envelope = Self::default();
        let mut first = true;
        let mut known = false;
        scanner.enter_object()?;
        while let Some(key) = scanner.key(&mut first)? {
            let value = scanner.value()?;
            let mut scratch = String::new();
            let said = match value {
                Value::Text(text) => text.get(&mut scratch),
                Value::Number(digits) => digits,
                _ => continue,
            };
            match key.plain().unwrap_or_default() {
                // A text at the token end point, a number elsewhere.
                "errorCode" => envelope.code = said.trim().parse().ok(),
                "message" => envelope.message = printable(said, 300),
                "refId" => envelope.reference = printable(said, 64),
                _ => continue,
            }
            known = true;
        }
        Ok(known.then_some(envelope))
    }
}

fn printable(text: &str, length: usize) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(length).collect();
    if text.chars().count() > length {
        short.push('…');
    }
    short
}
