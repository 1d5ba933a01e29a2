//! Why an answer is no page: the class for the host, the remedy for the administrator.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod event;

use casbah_model::adapter::{Adapter, Failure};
use event::{adapter, response};

const POSITION: &str = r#"{"position":"p"}"#;

/// What an answer to a request of a stream is taken for.
fn failure(stream: &str, cursor: Option<&str>, status: u16, body: &str) -> Failure {
    with_headers(stream, cursor, status, body, &[])
}

fn with_headers(
    stream: &str,
    cursor: Option<&str>,
    status: u16,
    body: &str,
    headers: &[(&str, &str)],
) -> Failure {
    let mut response = response(body, "");
    response.request.stream = stream.to_owned();
    response.request.cursor = cursor.map(str::to_owned);
    response.status = status;
    response.headers =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    adapter().read(&response).unwrap_err()
}

fn envelope(code: u32) -> String {
    format!(r#"{{"errorCode":{code},"message":"m","refId":"r"}}"#)
}

/// Status and code decide, the wording never.
#[test]
fn status_and_code_decide_the_class() {
    let table = [
        (401, 1001, "refused"),
        (401, 1002, "token-expired"),
        (401, 1003, "token-expired"),
        (401, 1005, "reconnect"),
        (401, 1030, "refused"),
        (401, 9999, "token-expired"),
        (403, 1004, "forbidden"),
        (403, 1013, "forbidden"),
        (403, 1361, "forbidden"),
        (403, 1362, "forbidden"),
        (403, 1363, "forbidden"),
        (403, 9999, "forbidden"),
        (404, 1006, "refused"),
        (400, 1008, "refused"),
        (400, 1227, "refused"),
        (400, 1228, "refused"),
        (400, 5012, "forbidden"),
        (410, 4005, "refused"),
        (429, 4003, "rate-limited"),
        (400, 4003, "rate-limited"),
        (503, 4001, "transient"),
        (500, 4002, "too-large"),
        (500, 4004, "transient"),
        (500, 4000, "transient"),
        (500, 9999, "transient"),
        (418, 9999, "refused"),
    ];
    for (status, code, class) in table {
        for stream in ["activities", "accounts", "facts"] {
            let failure = failure(stream, None, status, &envelope(code));
            assert_eq!(
                (failure.class.as_str(), failure.code),
                (class, code.to_string()),
                "{status} {stream}"
            );
        }
    }
}

/// A bad request with a position means that the position has gone stale; without one it is a bug.
#[test]
fn a_refused_position_is_stale() {
    for code in [1008, 1009, 1018, 1224, 1229, 9999] {
        assert_eq!(
            failure("activities", Some(POSITION), 400, &envelope(code)).class,
            "stale-cursor"
        );
        assert_eq!(failure("activities", None, 400, &envelope(code)).class, "refused");
        assert_eq!(failure("accounts", Some(POSITION), 400, &envelope(code)).class, "refused");
    }
    for code in [1227, 1228] {
        assert_eq!(failure("activities", Some(POSITION), 400, &envelope(code)).class, "refused");
    }
}

/// A proxy in between answers without the app's envelope.
#[test]
fn without_an_envelope_the_status_decides() {
    for (status, body, class) in [
        (200, "<html>sign in</html>", "malformed"),
        (200, "", "malformed"),
        (302, "", "refused"),
        (401, "", "token-expired"),
        (403, "<html>", "forbidden"),
        (404, "<html>", "refused"),
        (407, "", "forbidden"),
        (408, "", "transient"),
        (413, "", "too-large"),
        (429, "slow down", "rate-limited"),
        (500, "<html>", "transient"),
        (502, "{\"no\":1}", "transient"),
        (503, "\u{0}\u{1}", "transient"),
        (504, "", "transient"),
        (418, "", "refused"),
        (999, "", "malformed"),
    ] {
        assert_eq!(
            failure("activities", Some(POSITION), status, body).class,
            class,
            "{status} {body}"
        );
    }
}

/// The app's own samples, with the words that people will read.
#[test]
fn messages_and_remedies() {
    let samples = [
        (401, include_str!("../data/samples/errors/401-1001.json")),
        (401, include_str!("../data/samples/errors/401-1002-invalid.json")),
        (401, include_str!("../data/samples/errors/401-1003-expired.json")),
        (403, include_str!("../data/samples/errors/403-1004.json")),
        (403, "{\"errorCode\":1013,\"message\":\"Your plan does not include this.\"}"),
        (403, "{\"errorCode\":1361,\"message\":\"SSO\"}"),
        (401, "{\"errorCode\":1005,\"message\":\"SSO\"}"),
        (400, "{\"errorCode\":5012,\"message\":\"Konto gesperrt\\u0007\\n\"}"),
        (410, include_str!("../data/samples/errors/410-4005.json")),
        (429, include_str!("../data/samples/errors/429-4003.json")),
        (500, include_str!("../data/samples/errors/500-4000.json")),
        (503, include_str!("../data/samples/errors/503-4001.json")),
        (401, include_str!("../data/samples/token/error-invalid-client.json")),
        (502, "<html><body>Bad gateway</body></html>"),
        (404, ""),
        (403, "<html>"),
    ];
    let shown: Vec<String> = samples
        .iter()
        .map(|(status, body)| {
            let failure = failure("activities", None, *status, body);
            let wait = failure.retry_after.map_or_else(String::new, |ms| format!(" wait {ms} ms"));
            format!("{}: {failure}{wait}\n  {}", failure.class, failure.remedy)
                .trim_end()
                .to_owned()
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    refused: Smartsheet answered 401: An Access Token is required [refId exlxshtxlpl8] (code 1001)
      This is a mistake in the adapter or in the settings of the connection. Check the settings; if they are right, report this with the code and the refId.
    token-expired: Smartsheet answered 401: Your Access Token is invalid. [refId exlxshtxlpl8] (code 1002)
    token-expired: Smartsheet answered 401: Your Access Token has expired [refId exlxshtxlpl8] (code 1003)
    forbidden: Smartsheet answered 403: You are not authorized to perform this action. [refId exlxshtxlpl8] (code 1004)
      The account that connected casbah must be a System Admin of the Smartsheet plan and stay one, and the connection needs the scopes READ_EVENTS and READ_USERS. Give the account that role again, or connect with another account.
    forbidden: Smartsheet answered 403: Your plan does not include this. (code 1013)
      Event Reporting is a paid add-on for Enterprise and Advanced Work Management plans. Ask your Smartsheet representative to add it to the plan, then test the connection.
    forbidden: Smartsheet answered 403: SSO (code 1361)
      A security policy of the organization forbids it. In the Smartsheet Admin Center, let the account and the address that casbah uses pass that policy.
    reconnect: Smartsheet answered 401: SSO (code 1005)
      The organization requires single sign-on, and the token was made without it. Sign in to Smartsheet through single sign-on and connect again.
    forbidden: Smartsheet answered 400: Konto gesperrt (code 5012)
      Smartsheet says this of the account itself: sign in to Smartsheet with the account that connected casbah, and settle what it asks for.
    refused: Smartsheet answered 410: API Version Retired. [refId exlxshtxlpl8] (code 4005)
      Smartsheet has ended this version of its API. Install a newer casbah.
    rate-limited: Smartsheet answered 429: Rate limit exceeded. [refId exlxshtxlpl8] (code 4003)
    transient: Smartsheet answered 500: Internal Server Error (code 4000)
    transient: Smartsheet answered 503: Smartsheet.com is currently offline for system maintenance. Please check back again shortly. [refId exlxshtxlpl8] (code 4001) wait 120000 ms
    token-expired: Smartsheet answered 401: Invalid client_id [refId someRefId] (code 1067)
    transient: Smartsheet answered 502 without saying why: a web page came instead of data (code 502)
    refused: Smartsheet answered 404 without saying why: the answer is empty (code 404)
      Check the region of the connection, and the addresses of the API and of the sign-in page if they were set by hand.
    forbidden: Smartsheet answered 403 without saying why: a web page came instead of data (code 403)
      Something between casbah and Smartsheet forbids the request, or the account has lost its rights. Check proxies and address restrictions, then test the connection.
    "#);
}

/// A long message is cut, and what comes from outside can't take over a terminal.
#[test]
fn messages_are_short_and_printable() {
    let body = format!(r#"{{"errorCode":4000,"message":"\u001b[31m{}"}}"#, "é".repeat(1000));
    let failure = failure("activities", None, 500, &body);
    assert!(failure.message.chars().count() < 350 && failure.message.ends_with('…'));
    assert!(!failure.message.contains('\u{1b}'));
}

/// Seconds, whole or not, or a date; what makes no sense is passed over.
#[test]
fn retry_after_is_read_in_every_form() {
    // The request was planned at 2026-11-20T10:30:00Z.
    for (value, expected) in [
        ("7", Some(7_000)),
        (" 1.5 ", Some(1_500)),
        ("0", Some(0)),
        ("Fri, 20 Nov 2026 10:30:30 GMT", Some(30_000)),
        ("Fri, 20 Nov 2026 10:00:00 GMT", Some(0)),
        ("999999999999", Some(86_400_000)),
        ("Fri, 20 Nov 2099 10:00:00 GMT", Some(86_400_000)),
        ("-5", None),
        ("inf", None),
        ("NaN", None),
        ("soon", None),
        ("", None),
    ] {
        let failure =
            with_headers("activities", None, 429, &envelope(4003), &[("retry-after", value)]);
        assert_eq!(failure.retry_after, expected, "{value:?}");
    }
}

/// Maintenance takes minutes, unless the app or the administrator says otherwise.
#[test]
fn maintenance_is_waited_for() {
    assert_eq!(failure("activities", None, 503, &envelope(4001)).retry_after, Some(120_000));
    let told = with_headers("activities", None, 503, &envelope(4001), &[("retry-after", "5")]);
    assert_eq!(told.retry_after, Some(5_000));
    let mut response = response(envelope(4001), r#"{"maintenance-wait": 1}"#);
    response.status = 503;
    assert_eq!(adapter().read(&response).unwrap_err().retry_after, Some(1_000));
}
