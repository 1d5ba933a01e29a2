//! Why an answer is no page: the class for the host, the remedy for the administrator.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod activity;

use activity::{NOW, adapter, request, response};
use casbah_model::adapter::{Adapter, Failure, Next};

fn failure(stream: &str, status: u16, body: &str) -> Failure {
    let mut response = response(stream, body);
    response.status = status;
    adapter().read(&response).unwrap_err()
}

/// More than can be handed over at once is told before the sandbox runs out of memory: the host then
/// asks for a shorter window.
#[test]
fn a_window_may_hold_too_much() {
    let records = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    let failure = failure("activities", 200, &records(60_001));
    assert_eq!(failure.class, "too-large");
    insta::assert_snapshot!(
        failure.message,
        @"the answer holds 60001 activities, more than can be taken at once"
    );
}

#[test]
fn the_status_decides_the_class() {
    for (status, log, other) in [
        (302, "refused", "refused"),
        (400, "refused", "refused"),
        (401, "token-expired", "token-expired"),
        (403, "forbidden", "forbidden"),
        (404, "refused", "refused"),
        (408, "too-large", "transient"),
        (413, "too-large", "too-large"),
        (429, "rate-limited", "rate-limited"),
        (500, "transient", "transient"),
        (503, "transient", "transient"),
        (504, "too-large", "transient"),
        (999, "malformed", "malformed"),
    ] {
        for body in ["", "<html>no</html>", "{\"error\":\"x\"}", "[1]", "\u{0}"] {
            for stream in ["activities", "administration"] {
                assert_eq!(failure(stream, status, body).class, log, "{status} {body}");
            }
            assert_eq!(failure("accounts", status, body).class, other, "{status} {body}");
        }
    }
}

#[test]
fn messages_and_remedies() {
    let answers = [
        (403, include_str!("../data/samples/error-errordata-403.json")),
        (404, "<!DOCTYPE html><html></html>"),
        (400, ""),
        (200, "<html><body>sign in</body></html>"),
        (200, "{\"error\":\"Forbidden\",\"message\":\"no\\u0007 log\"}"),
        (200, ""),
        (200, "{\"a\":1}"),
        (200, "[{\"date\":\"2025-12-20T00:00:00\",\"name\":\"open\"}]"),
    ];
    let said = answers.map(|(status, body)| {
        let failure = failure("activities", status, body);
        format!("{} ({}) {}\n  {}", failure.class, failure.code, failure.message, failure.remedy)
    });
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn retry_after_is_read_in_every_form() {
    for (value, expected) in [
        ("7", Some(7_000)),
        ("0.5", Some(500)),
        ("Thu, 15 Jan 2026 12:00:30 GMT", Some(30_000)),
        ("Thu, 15 Jan 2026 11:00:00 GMT", Some(0)),
        ("1e30", Some(86_400_000)),
        ("-1", None),
        ("NaN", None),
        ("soon", None),
    ] {
        let mut response = response("activities", "");
        response.status = 429;
        response.headers = vec![("retry-after".to_owned(), value.to_owned())];
        assert_eq!(adapter().read(&response).unwrap_err().retry_after, expected, "{value}");
    }
}

/// Signing in worked, and nothing is there: a fault of the set-up, not a quiet day.
#[test]
fn connected_but_empty_is_a_fault() {
    let users = failure("accounts", 200, "[]");
    assert_eq!((users.class.as_str(), users.code.as_str()), ("forbidden", "empty"));
    let mut silent =
        response("activities", include_str!("../data/samples/consolidated-empty.json"));
    let cursor = |days: i64| {
        Some(format!(r#"{{"at":{},"silent_since":{}}}"#, NOW - 60_000, NOW - days * 86_400_000))
    };
    silent.request.cursor = cursor(6);
    assert_eq!(adapter().read(&silent).unwrap().next, Next::CaughtUp);
    silent.request.cursor = cursor(8);
    let failure = adapter().read(&silent).unwrap_err();
    insta::assert_snapshot!(format!("{} {}\n{}", failure.class, failure.message, failure.remedy));
    // Administrators may be quiet for long.
    silent.request.stream = "administration".to_owned();
    assert!(adapter().read(&silent).is_ok());
}

/// The test of a connection: who, users, and the log of a day, a week, a month.
#[test]
fn the_test_asks_on_until_it_finds_something() {
    let ask = |cursor: Option<String>, body: &str| {
        let mut response = response("facts", body);
        response.request.cursor = cursor;
        let planned = adapter().plan(&response.request).unwrap();
        let read = adapter().read(&response);
        (planned, read)
    };
    let (asked, me) = ask(None, r#"{"id":"VAULT-1","email":"a@b.test","organization":"Firm"}"#);
    assert_eq!(asked.path, "/v1/User/info");
    let me = me.unwrap();
    assert_eq!(me.facts.len(), 4);
    let (asked, users) = ask(Some(me.cursor), r#"[{"id":"VAULT-1"}]"#);
    assert_eq!(asked.path, "/v1/Repository/CA-EXAMPLE1/users");
    let (asked, day) = ask(Some(users.unwrap().cursor), "[]");
    assert_eq!(asked.path, "/v1/Repository/CA-EXAMPLE1/log");
    assert_eq!(asked.query[2].1, "2026-01-14T12:00:00Z");
    let day = day.unwrap();
    assert_eq!(day.next, Next::More);
    let (_, found) =
        ask(Some(day.cursor.clone()), include_str!("../data/samples/consolidated.json"));
    assert_eq!(found.unwrap().facts, [("may-read-activities".to_owned(), "true".to_owned())]);
    let (_, week) = ask(Some(day.cursor), "[]");
    let (asked, month) = ask(Some(week.unwrap().cursor), "[]");
    assert_eq!(asked.query[2].1, "2025-12-16T12:00:00Z");
    assert_eq!(month.unwrap_err().code, "empty");
}

/// Nothing is asked without a repository, and nothing but an id gets into a path.
#[test]
fn requests_need_a_repository() {
    let mut plan = request("administration");
    let planned = adapter().plan(&plan).unwrap();
    insta::assert_snapshot!(format!("{} {} {:?}", planned.method, planned.path, planned.query));
    for settings in ["", "{}", r#"{"repository":"CA-1/../x"}"#, r#"{"repository":"CA-"}"#] {
        plan.settings = settings.to_owned();
        assert_eq!(adapter().plan(&plan).unwrap_err().class, "refused", "{settings}");
    }
}
