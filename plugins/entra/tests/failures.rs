//! Why an answer is no page: the class for the host, the remedy for the administrator.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod answer;

use answer::{adapter, read, request, response, sample};
use casbah_model::adapter::{Adapter, Failure, Next, PlanRequest};
use casbah_plugin::native::logged;

const LINK: &str = r#"{"link":"/v1.0/users/delta?$deltatoken=x","at":1,"until":2}"#;

fn failure(request: PlanRequest, status: u16, body: &str) -> Failure {
    let mut response = response(request, body);
    response.status = status;
    adapter().read(&response).unwrap_err()
}

#[test]
fn the_status_decides_the_class() {
    for (status, first, following) in [
        (302, "refused", "refused"),
        (400, "refused", "stale-cursor"),
        (401, "token-expired", "token-expired"),
        (403, "forbidden", "forbidden"),
        (404, "refused", "refused"),
        (409, "transient", "transient"),
        (410, "stale-cursor", "stale-cursor"),
        (423, "transient", "transient"),
        (429, "rate-limited", "rate-limited"),
        (500, "transient", "transient"),
        (501, "refused", "refused"),
        (503, "transient", "transient"),
        (504, "too-large", "transient"),
        (509, "rate-limited", "rate-limited"),
        (999, "malformed", "malformed"),
    ] {
        for body in ["", "<html>no</html>", "{\"error\":\"x\"}", "{\"error\":{}}", "[1]", "\u{0}"] {
            for stream in ["users", "deleted-users", "leavers", "sign-ins"] {
                assert_eq!(failure(request(stream), status, body).class, first, "{status} {body}");
                let mut link = request(stream);
                link.cursor = Some(LINK.to_owned());
                assert_eq!(failure(link, status, body).class, following, "{status} {body}");
            }
        }
    }
}

/// Whatever the status: the service has said that the link is of no use any more.
#[test]
fn codes_of_a_stale_link_are_found_in_every_spelling() {
    for body in [
        r#"{"error":{"code":"resyncRequired","message":"Resync required."}}"#,
        r#"{"error":{"code":"ResyncRequired"}}"#,
        r#"{"error":{"code":"x","innerError":{"code":"syncStateNotFound"}}}"#,
        r#"{"error":{"code":"x","innererror":{"innerError":{"code":"syncStateNotFound"}}}}"#,
    ] {
        for status in [400, 404, 409, 410] {
            assert_eq!(failure(request("users"), status, body).class, "stale-cursor", "{body}");
        }
    }
}

#[test]
fn published_errors_are_told_in_words() {
    let told = [
        ("users", "error-401-token-expired"),
        ("users", "error-403-request-denied"),
        ("members", "error-403-request-denied"),
        ("sign-ins", "error-403-request-denied"),
        ("users", "error-404-resource-not-found"),
        ("users", "error-429-throttled"),
        ("users", "error-501-unsupported-select"),
        ("users", "error-delta-not-supported-b2c"),
        ("users", "error-envelope-generic"),
    ]
    .map(|(stream, name)| {
        let failure = read(&sample(request(stream), name)).unwrap_err();
        let wait = failure.retry_after.map_or(String::new(), |ms| format!(" wait {ms} ms"));
        format!("{stream} {name}: {}{wait}\n  {failure}\n  {}", failure.class, failure.remedy)
    });
    insta::assert_snapshot!(told.join("\n"));
}

/// Users are worth having without sign-ins: nothing is broken, and the host is not told so.
#[test]
fn a_missing_licence_is_a_limitation() {
    for status in [400, 401, 403] {
        let mut response = sample(request("sign-ins"), "error-signins-no-premium-licence");
        response.status = status;
        let page = read(&response).unwrap();
        assert_eq!((page.next, page.batch.len()), (Next::CaughtUp, 0));
        let mut asked = response.request.clone();
        asked.cursor = Some(page.cursor);
        assert_eq!(
            adapter().plan(&asked).unwrap().path,
            "/v1.0/auditLogs/signIns",
            "it asks again"
        );
        assert_eq!(logged().len(), 1, "it says so");
        response.request = asked;
        read(&response).unwrap();
        assert_eq!(logged().len(), 0, "but once");
        // As printed on the page of the vendor, with the escape of its text format.
        let escaped =
            br#"{"error":{"code":"Authentication\\_RequestFromNonPremiumTenantOrB2CTenant"}}"#;
        response.body = escaped.to_vec();
        assert!(read(&response).is_ok());
    }
}

#[test]
fn a_claims_challenge_wants_another_token() {
    let mut response = response(request("users"), "{}");
    response.status = 403;
    response.headers = vec![(
        "www-authenticate".to_owned(),
        "Bearer error=\"insufficient_claims\", claims=\"e30\"".to_owned(),
    )];
    assert_eq!(adapter().read(&response).unwrap_err().class, "token-expired");
}

#[test]
fn a_page_of_the_web_is_never_shown() {
    let told = [
        (200, "<!DOCTYPE html><html><body>sign in</body></html>".to_owned()),
        (502, "<html></html>".to_owned()),
        (
            403,
            r#"{"error":{"code":"UnknownError","message":"<html><script>x</script></html>"}}"#
                .to_owned(),
        ),
        (200, r#"{"error":{"code":"generalException","message":"no\u0007pe"}}"#.to_owned()),
        (200, String::new()),
        (200, r#"{"value": 1}"#.to_owned()),
        (200, "[]".to_owned()),
        (
            200,
            r#"{"value": [], "@odata.nextLink": "https://evil.example/v1.0/users/delta"}"#
                .to_owned(),
        ),
        (200, r#"{"value": []}"#.to_owned()),
    ]
    .map(|(status, body)| {
        let failure = failure(request("users"), status, &body);
        format!("{status} {body}\n  {}: {failure}\n  {}", failure.class, failure.remedy)
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn retry_after_is_read_in_every_form_and_rounded_up() {
    for (value, expected) in [
        ("7", Some(7_000)),
        ("2.128", Some(2_128)),
        ("0", Some(0)),
        ("Thu, 15 Jan 2026 12:00:30 GMT", Some(30_000)),
        ("Thu, 15 Jan 2026 11:00:00 GMT", Some(0)),
        ("1e30", Some(86_400_000)),
        ("-1", None),
        ("NaN", None),
        ("soon", None),
    ] {
        for status in [429, 503] {
            let mut response = response(request("users"), "");
            response.status = status;
            response.headers = vec![("retry-after".to_owned(), value.to_owned())];
            assert_eq!(adapter().read(&response).unwrap_err().retry_after, expected, "{value}");
        }
    }
}

/// The test of a connection asks for every permission that the settings need, and says which is
/// missing.
#[test]
fn the_test_of_a_connection_names_the_missing_permission() {
    let denied = r#"{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges to complete the operation."}}"#;
    let settings = r#"{"tenant":"contoso.example","groups":["It's"]}"#;
    let organization = r#"{"value":[{"id":"T-1","displayName":"Contoso"}]}"#;
    let user = r#"{"value":[{"id":"1"}]}"#;
    let group = r#"{"value":[{"id":"0d5a2b6f-7f1c-4c3a-9d7a-2f2b6c1e9a10","displayName":"It's"}]}"#;
    let answers = [(200, organization), (200, user), (200, group), (200, user)];
    let mut told = Vec::new();
    for broken in 0..=answers.len() {
        let mut asked = request("facts");
        asked.settings = settings.to_owned();
        let mut facts = Vec::new();
        for (at, &(status, body)) in answers.iter().enumerate() {
            let planned = adapter().plan(&asked).unwrap();
            let (status, body) = if at == broken { (403, denied) } else { (status, body) };
            let mut response = response(asked.clone(), body);
            response.status = status;
            match read(&response) {
                Ok(page) => {
                    facts.extend(page.facts);
                    assert_eq!(page.next == Next::CaughtUp, at + 1 == answers.len());
                    asked.cursor = Some(page.cursor);
                }
                Err(failure) => {
                    told.push(format!("{} {}: {}", planned.path, failure.class, failure.remedy));
                    break;
                }
            }
        }
        told.push(format!("{facts:?}"));
    }
    insta::assert_snapshot!(told.join("\n"));
}
