//! Says why an answer is no page, and what the administrator can do about it.
//!
//! The HTTP status decides; codes are looked at only where the vendor says what they mean. What the
//! answer says in words is shown, never acted on.

pub(crate) use casbah_plugin::answer::malformed;
use casbah_plugin::answer::{header, retry_after};
use casbah_plugin::{Failure, Response, class};
use serde_json::Value;

use crate::requests::{follows, stream};

const CONSENT: &str = "Register the application in this tenant and let an administrator consent to \
    its permissions; a secret of an application that the tenant does not know signs in all the same. \
    Then test the connection.";
const B2C: &str = "Tenants of Azure AD B2C can't be asked for changes of users. Use a directory file \
    instead.";
const LICENCE: &str = "Reading sign-ins by program needs Entra ID P1 or P2. Buy it, or set `sign-ins` \
    to false; users and groups are read in either case.";
const PAGE: &str = "A web page instead of data often means that something between casbah and \
    Microsoft takes it for a robot, or a wrong region. Check proxies, and the region and the \
    addresses of the connection.";
const REGION: &str = "Check `tenant`, the region of the connection (tokens of one cloud are not \
    accepted by another), and its settings.";

/// The code of a tenant without a premium licence.
const UNLICENSED: &str = "Authentication_RequestFromNonPremiumTenantOrB2CTenant";

/// A failure of class `refused`.
pub(crate) fn refused(message: String, remedy: &str) -> Failure {
    Failure {
        class: class::REFUSED.to_owned(),
        message,
        remedy: remedy.to_owned(),
        ..Failure::default()
    }
}

pub(crate) fn no_stream(name: &str) -> Failure {
    refused(
        format!(
            "there is no stream `{}`; this adapter has users, deleted-users, leavers, members, \
             sign-ins and facts",
            printable(name, 64)
        ),
        "",
    )
}

/// Whether what is missing is the licence for sign-ins.
pub(crate) fn is_unlicensed(failure: &Failure) -> bool {
    failure.code == UNLICENSED
}

/// An answer of status 200 that can't be read.
pub(crate) fn unreadable(response: &Response, failure: Failure) -> Failure {
    if is_page(&response.body) {
        return Failure { remedy: PAGE.to_owned(), ..malformed("a web page came instead of data") };
    }
    match Said::of(&response.body) {
        Some(said) if !said.code.is_empty() || !said.message.is_empty() => Failure {
            code: said.code,
            ..malformed(&format!("Microsoft Graph answered: {}", said.message))
        },
        _ => failure,
    }
}

/// The failure that a status other than 2xx stands for.
pub(crate) fn classify(response: &Response) -> Failure {
    let said = Said::of(&response.body).unwrap_or_default();
    let (class, remedy) = meaning(response, &said);
    let mut message = format!("Microsoft Graph answered {}", response.status);
    // The text of a gateway's page has been seen in the place of a message.
    if is_page(&response.body) || is_page(said.message.as_bytes()) {
        message.push_str(" with a web page");
    } else if !said.message.is_empty() {
        message.push_str(": ");
        message.push_str(&said.message);
    }
    let code = if said.code.is_empty() { response.status.to_string() } else { said.code };
    Failure { class: class.to_owned(), code, message, remedy, retry_after: retry_after(response) }
}

fn meaning(response: &Response, said: &Said) -> (&'static str, String) {
    let stream = response.request.stream.as_str();
    let stale = said.any(&["syncStateNotFound", "resyncRequired"]);
    let page = is_page(&response.body) || is_page(said.message.as_bytes());
    match response.status {
        400..=499 if stale => (class::STALE_CURSOR, String::new()),
        410 => (class::STALE_CURSOR, String::new()),
        // Links are the service's own, so it is the link that has grown too old.
        400 if follows(&response.request) => (class::STALE_CURSOR, String::new()),
        400 if said.any(&["Request_UnsupportedQuery"]) && stream == stream::USERS => {
            (class::REFUSED, B2C.to_owned())
        }
        400..=403 if said.any(&["Authorization_IdentityNotFound"]) => {
            (class::FORBIDDEN, CONSENT.to_owned())
        }
        400..=403 if said.any(&[UNLICENSED]) => (class::FORBIDDEN, LICENCE.to_owned()),
        401 => (class::TOKEN_EXPIRED, String::new()),
        // A claims challenge: a new token, once.
        403 if challenged(response) => (class::TOKEN_EXPIRED, String::new()),
        403 if page => (class::FORBIDDEN, PAGE.to_owned()),
        402 | 403 | 407 => (class::FORBIDDEN, missing(permission(stream))),
        429 | 509 => (class::RATE_LIMITED, String::new()),
        413 | 504 if !follows(&response.request) => (class::TOO_LARGE, String::new()),
        408 | 409 | 412 | 423 | 425 => (class::TRANSIENT, String::new()),
        501 => (class::REFUSED, REGION.to_owned()),
        500..=599 => (class::TRANSIENT, String::new()),
        300..=499 => (class::REFUSED, REGION.to_owned()),
        _ => (class::MALFORMED, String::new()),
    }
}

/// The permission that reading a stream needs.
pub(crate) fn permission(stream: &str) -> &'static str {
    match stream {
        stream::MEMBERS => "`GroupMember.Read.All` and `User.Read.All`",
        stream::SIGN_INS => "`AuditLog.Read.All` and `Directory.Read.All`",
        _ => "`User.Read.All`",
    }
}

/// What to do about a missing permission.
pub(crate) fn missing(permission: &str) -> String {
    format!(
        "Give the registered application the application permission (not the delegated one) \
         {permission} of Microsoft Graph, and let an administrator consent to it. A token is issued \
         to an application without any permission, too, so signing in proves nothing. It may take \
         some minutes until a new token has it."
    )
}

/// Whether Graph wants a token with other claims.
fn challenged(response: &Response) -> bool {
    header(response, "www-authenticate")
        .is_some_and(|value| value.contains("claims=") || value.contains("insufficient_claims"))
}

/// What the envelope of an error says.
#[derive(Default)]
struct Said {
    code: String,
    /// Codes further inside.
    inner: Vec<String>,
    message: String,
}

impl Said {
    /// Reads `{"error": {"code", "message", "innerError": {…}}}` in any of its spellings, and the
    /// flat form of the token end point.
    fn of(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
        let mut said = Self::default();
        match value.get("error")? {
            Value::String(code) => {
                said.code = printable(code, 80);
                let description = value.get("error_description").and_then(Value::as_str);
                said.message = printable(description.unwrap_or_default(), 300);
            }
            error => {
                said.code = text_of(error, "code", 80);
                said.message = text_of(error, "message", 300);
                let mut inside = inner(error);
                // As deep as it has ever been seen, and then some.
                for _ in 0..4 {
                    let Some(error) = inside else { break };
                    let code = text_of(error, "code", 80);
                    if !code.is_empty() {
                        said.inner.push(code);
                    }
                    if said.message.is_empty() {
                        said.message = text_of(error, "message", 300);
                    }
                    inside = inner(error);
                }
            }
        }
        Some(said)
    }

    fn any(&self, codes: &[&str]) -> bool {
        std::iter::once(&self.code)
            .chain(&self.inner)
            .any(|said| codes.iter().any(|code| said.eq_ignore_ascii_case(code)))
    }
}

fn inner(error: &Value) -> Option<&Value> {
    error.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case("innererror")).map(|it| it.1)
}

fn text_of(error: &Value, name: &str, longest: usize) -> String {
    match error.get(name) {
        // A code has been printed with the escape of a text format in it.
        Some(Value::String(text)) if name == "code" => printable(&text.replace('\\', ""), longest),
        Some(Value::String(text)) => printable(text, longest),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

pub(crate) fn is_page(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let start = start.get(..64.min(start.len())).unwrap_or_default().to_ascii_lowercase();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}

pub(crate) fn printable(text: &str, longest: usize) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(longest)
        .collect::<String>()
        .trim()
        .to_owned()
}
