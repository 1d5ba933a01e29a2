//! The sign-in log: windows of time, page by page within.
//!
//! The log fills up with a delay, and Graph may give its pages in any order: so every window is read
//! whole, and once the present is reached, reading steps back by an hour. What comes twice has the
//! same id.

use casbah_plugin::record::Record;
use casbah_plugin::{Batch, Failure, HttpRequest, Next, Page, PlanRequest, Response, time};
use serde::{Deserialize, Serialize};

use crate::describe::RETENTION_DAYS;
use crate::envelope;
use crate::normalize::{self, Normalizer};
use crate::requests::{cursor, follow, get, probe, write};
use crate::settings::Settings;

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// How long a window is.
const WINDOW: i64 = DAY;
/// How far reading steps back from the present, for what comes late into the log.
const OVERLAP: i64 = HOUR;
/// Distance kept from the end of retention, which the app measures by its own clock.
const MARGIN: i64 = HOUR;

/// Where the log stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Cursor {
    /// Start of the window, ms since 1970.
    at: Option<i64>,
    /// End of the window that is being read, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    /// Path and query of the next page of that window.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// Whether that window reaches up to the present.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last: bool,
    /// Whether it was told that the licence does not cover the log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unlicensed: bool,
}

/// The window of the request at hand. The same for planning it and for reading its answer.
fn window(request: &PlanRequest) -> Cursor {
    let kept: Cursor = cursor(request);
    if !request.recover && kept.link.is_some() && kept.at.is_some() && kept.until.is_some() {
        return kept;
    }
    let newest = request.newest.map(|newest| newest.saturating_sub(OVERLAP));
    let wanted = kept.at.or(newest).unwrap_or(request.since);
    let earliest = request.now.saturating_sub(i64::from(RETENTION_DAYS) * DAY - MARGIN);
    let now = whole(request.now);
    // A window of no length would be an error, and none may lie in the future.
    let start = whole(wanted.max(earliest)).min(now.saturating_sub(SECOND));
    let end = start.saturating_add(WINDOW);
    Cursor { at: Some(start), until: Some(end.min(now)), last: end >= now, ..Cursor::default() }
}

/// Times have no fractions on the wire.
fn whole(ms: i64) -> i64 {
    ms - ms.rem_euclid(SECOND)
}

/// The next request.
///
/// # Errors
/// `malformed` when the cursor holds no link of ours.
pub(crate) fn plan(request: &PlanRequest, settings: &Settings) -> Result<HttpRequest, Failure> {
    if !settings.sign_ins {
        return Ok(probe());
    }
    let window = window(request);
    if let Some(link) = &window.link {
        return follow(link);
    }
    let times = (window.at.unwrap_or_default(), window.until.unwrap_or_default());
    Ok(ask(settings, Some(times), request.page_size.clamp(1, 1000)))
}

/// Asks for sign-ins, of a window or the newest ones.
pub(crate) fn ask(settings: &Settings, times: Option<(i64, i64)>, count: u32) -> HttpRequest {
    let mut filter = Vec::new();
    if let Some((start, end)) = times {
        filter.push(format!("createdDateTime ge {}", time::format(start)));
        filter.push(format!("createdDateTime le {}", time::format(end)));
    }
    if !settings.apps.is_empty() {
        let apps: Vec<String> =
            settings.apps.iter().map(|app| format!("appId eq '{app}'")).collect();
        filter.push(format!("({})", apps.join(" or ")));
    }
    // Without this filter, and in version 1.0 in any case, only interactive ones are given.
    let version = if settings.non_interactive { "beta" } else { "v1.0" };
    if settings.non_interactive {
        filter.push(
            "signInEventTypes/any(t: t eq 'interactiveUser' or t eq 'nonInteractiveUser')"
                .to_owned(),
        );
    }
    let mut query = vec![("$top", count.to_string())];
    if !filter.is_empty() {
        query.push(("$filter", filter.join(" and ")));
    }
    if times.is_some() {
        query.push(("$orderby", "createdDateTime".to_owned()));
    }
    get(format!("/{version}/auditLogs/signIns"), &query)
}

/// Makes a page of sign-ins of an answer.
///
/// # Errors
/// `malformed` when the answer is no list of sign-ins.
pub(crate) fn read(response: &Response, settings: &Settings) -> Result<Page, Failure> {
    let request = &response.request;
    if !settings.sign_ins {
        envelope::list(response)?;
        return Ok(nothing(request));
    }
    let (batch, raw, link) = records(response)?;
    let window = window(request);
    let (next, after) = match link {
        Some(link) => (Next::More, Cursor { link: Some(link), ..window }),
        None => {
            let until = window.until.unwrap_or_default();
            let (next, back) =
                if window.last { (Next::CaughtUp, OVERLAP) } else { (Next::More, 0) };
            let at = until.saturating_sub(back);
            (next, Cursor { at: Some(at), ..Cursor::default() })
        }
    };
    Ok(Page { next, cursor: write(&after), batch, raw, facts: Vec::new() })
}

/// The sign-ins of an answer, where each stands in it, and the link to the next page.
fn records(response: &Response) -> Result<(Batch, Vec<u32>, Option<String>), Failure> {
    let mut normalizer = Normalizer::default();
    let mut record = Record::default();
    if let Some(rest) = envelope::pass(response, |scanner| normalizer.read(scanner, &mut record)) {
        return Ok((normalizer.finish(), rest.spans, rest.next));
    }
    let list = envelope::list(response)?;
    Ok((normalize::spans(&response.body, &list.spans)?, list.spans, list.next))
}

/// The page of a tenant whose licence does not cover the log: there is nothing, and nothing is wrong.
pub(crate) fn unlicensed(response: &Response) -> Page {
    let kept: Cursor = cursor(&response.request);
    if !kept.unlicensed {
        casbah_plugin::log(
            "sign-ins are not fetched: reading them needs Entra ID P1 or P2, which this tenant lacks",
        );
    }
    let after = Cursor { at: kept.at, unlicensed: true, ..Cursor::default() };
    Page { cursor: write(&after), ..nothing(&response.request) }
}

fn nothing(request: &PlanRequest) -> Page {
    Page {
        next: Next::CaughtUp,
        cursor: request.cursor.clone().unwrap_or_else(|| "{}".to_owned()),
        batch: Batch::default(),
        raw: Vec::new(),
        facts: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_170_600_500;

    fn request(cursor: Option<&str>) -> PlanRequest {
        PlanRequest {
            cursor: cursor.map(str::to_owned),
            now: NOW,
            since: NOW - 200 * DAY,
            page_size: 1000,
            ..PlanRequest::default()
        }
    }

    /// What is read in one pass is what the careful way reads, and the odd is left to that.
    #[test]
    fn one_pass_reads_what_the_careful_way_reads() {
        const NEXT: &str = "https://graph.microsoft.com/v1.0/auditLogs/signIns?$skiptoken=x";
        let record =
            r#"{"id":"1","userPrincipalName":"A@b.test","status":{"errorCode":0},"x":[ ]}"#;
        let usual = [
            format!(r#"{{"value":[{record}, {record} ]}}"#),
            format!("\u{feff} {{\"value\" : [ ],\n\"@odata.nextLink\":\"{NEXT}\"}} "),
            format!(r#"{{"@odata.nextLink":"{NEXT}","x":{{"value":1}},"value":[{record}]}}"#),
            r#"{"@odata.nextLink":"","value":[1,null,"x",[{}],{"createdDateTime":"soon"}]}"#
                .to_owned(),
        ];
        let odd = [
            r#"{"value":[],"value":[]}"#.to_owned(),
            r#"{"value":null}"#.to_owned(),
            r#"{"value":[{]}"#.to_owned(),
            r#"{"value":[]} x"#.to_owned(),
            r#"{"valu\u0065":[{}]}"#.to_owned(),
            r#"{"value":[],"@odata.nextLink":7}"#.to_owned(),
            r#"{"value":[],"@odata.nextLink":"https://elsewhere.example/x"}"#.to_owned(),
            r#"{"value":[],"@odata.deltaLink":""}"#.to_owned(),
            r#"[{"value":[]}]"#.to_owned(),
            "{}".to_owned(),
        ];
        let answer = |body: &String| Response { body: body.clone().into(), ..Response::default() };
        for body in &usual {
            let response = answer(body);
            let list = envelope::list(&response).unwrap();
            let batch = normalize::spans(&response.body, &list.spans).unwrap();
            assert_eq!(records(&response).unwrap(), (batch, list.spans, list.next), "{body}");
            assert!(envelope::pass(&response, |scanner| scanner.value().map(drop)).is_some());
        }
        for body in &odd {
            let passed = envelope::pass(&answer(body), |scanner| scanner.value().map(drop));
            assert!(passed.is_none(), "{body}");
        }
    }

    #[test]
    fn what_is_older_than_the_retention_is_not_asked_for() {
        let window = window(&request(None));
        assert_eq!(window.at, Some(whole(NOW - 30 * DAY + MARGIN)));
        assert_eq!(window.until, window.at.map(|at| at + DAY));
        assert!(!window.last);
    }

    #[test]
    fn a_future_position_is_brought_back() {
        let window = window(&request(Some(r#"{"at": 99999999999999}"#)));
        assert_eq!((window.at, window.until), (Some(whole(NOW) - SECOND), Some(whole(NOW))));
        assert!(window.last);
    }

    #[test]
    fn a_recovery_reads_the_window_anew() {
        let mut request =
            request(Some(r#"{"at":1795100000000,"until":1795170000000,"link":"/v1.0/x?y"}"#));
        assert!(window(&request).link.is_some());
        request.recover = true;
        let window = window(&request);
        assert_eq!((window.at, window.link), (Some(1_795_100_000_000), None));
    }
}
