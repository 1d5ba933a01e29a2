//! The sign-in log: windows against a server in memory, and what a sign-in becomes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod answer;

use std::collections::BTreeSet;

use answer::{NOW, adapter, lines, read, request, response, sample};
use casbah_model::Batch;
use casbah_model::adapter::{Adapter, Next, PlanRequest};
use casbah_plugin::{Row, time};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn normalized(body: &str) -> Batch {
    let raw = adapter().split(body.as_bytes()).unwrap();
    let batch = adapter().normalize("", body.as_bytes(), &raw).unwrap();
    batch.check().unwrap();
    assert_eq!(raw.len(), 2 * batch.len());
    batch
}

#[test]
fn the_published_sign_in() {
    let page = read(&sample(request("sign-ins"), "signin-list")).unwrap();
    assert_eq!(page.next, Next::More);
    insta::assert_snapshot!(lines(&page.batch, 0).join("\n"));
}

/// Outcomes, people, addresses and clients that occur, as columns.
#[test]
fn what_sign_ins_become() {
    let told = [
        json!({"status": {"errorCode": 50126, "failureReason": "Invalid username or password."}, "isInteractive": true}),
        json!({"status": {"errorCode": 50053, "failureReason": "Other."}}),
        json!({"status": {"errorCode": 50140, "failureReason": "Keep me signed in"}}),
        json!({"status": {}}),
        json!({"userPrincipalName": "Ana_Fabrikam.example#EXT#@contoso.example", "userId": "u"}),
        json!({"userPrincipalName": "", "userId": "u", "userDisplayName": "Ana"}),
        json!({"servicePrincipalId": "s", "servicePrincipalName": "etl", "signInEventTypes": ["servicePrincipal"]}),
        json!({"signInEventTypes": ["nonInteractiveUser"], "ipAddress": "2001:DB8::1", "userAgent": "curl/8"}),
        json!({"signInEventTypes": ["interactiveUser", "x"], "ipAddress": "192.0.2.1:4711"}),
        json!({"ipAddress": "somewhere", "clientAppUsed": "Mobile Apps and Desktop clients", "deviceDetail": {"operatingSystem": "Ios 17"}}),
        json!({"clientAppUsed": "IMAP4", "isInteractive": "perhaps"}),
        json!({"appliedConditionalAccessPolicies": [
            {"displayName": "Require MFA", "result": "success"}, {"displayName": "Block", "result": "failure"},
            {"displayName": "Off", "result": "notEnabled"}], "conditionalAccessStatus": "failure"}),
        json!({"createdDateTime": "yesterday"}),
    ]
    .map(|mut record| {
        record["id"] = json!("1");
        record["appId"] = json!("app");
        let batch = normalized(&json!([record]).to_string());
        let told = lines(&batch, 0);
        let dull = ["id: 1", "kind: login", "object: app", "object.kind: other", "fields.appId: app"];
        told.into_iter().filter(|line| !dull.contains(&line.as_str())).collect::<Vec<_>>().join(", ")
    });
    insta::assert_snapshot!(told.join("\n"));
}

/// Saved exports: an array, an answer, lines, an answer with its status around it, a byte-order mark.
#[test]
fn exports_in_every_wrapping_are_the_same() {
    let record = json!({"id": "1", "createdDateTime": "2026-01-15T10:00:00Z", "userPrincipalName": "a@b.example"});
    let expected = lines(&normalized(&json!([record]).to_string()), 0);
    for body in [
        json!({"value": [record]}).to_string(),
        json!({"@odata.context": "x", "other": [], "value": [record]}).to_string(),
        json!({"status": 200, "body": {"value": [record]}}).to_string(),
        format!("{record}\n"),
        format!("\u{feff}[{record}]"),
    ] {
        assert_eq!(lines(&normalized(&body), 0), expected, "{body}");
    }
    assert_eq!(normalized(&format!("{record}\n\n{record}\n")).len(), 2);
    assert_eq!(normalized("[]").len(), 0);
    for body in ["{}", "1", "{\"a\":{}}", "[", "\"x\"", "<html>"] {
        assert_eq!(adapter().split(body.as_bytes()).unwrap_err().class, "malformed", "{body}");
    }
}

#[test]
fn what_is_asked() {
    let told = [
        json!({}),
        json!({"apps": ["00000003-0000-0000-c000-000000000000", "10000003-0000-0000-c000-000000000000"]}),
        json!({"non-interactive": true}),
        json!({"sign-ins": false}),
    ]
    .map(|mut settings| {
        settings["tenant"] = json!("contoso.example");
        let mut asked = request("sign-ins");
        asked.settings = settings.to_string();
        let planned = adapter().plan(&asked).unwrap();
        format!("{} {} {:?}", planned.host, planned.path, planned.query)
    });
    insta::assert_snapshot!(told.join("\n"));
}

/// Something that happened: when, and how long until the log has it.
#[derive(Clone, Copy, Debug)]
struct Happened {
    time: i64,
    delay: i64,
}

/// A server that pages by what it had when the first page of a query was asked for.
struct Server {
    log: Vec<Happened>,
    page: usize,
    empty_pages: bool,
    newest_first: bool,
}

impl Server {
    fn answer(&self, path: &str, query: &[(String, String)], now: i64) -> Value {
        let get =
            |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let (filter, asked, skip) = match get("$skiptoken") {
            Some(token) => {
                let parts: Vec<&str> = token.split('|').collect();
                (parts[0].to_owned(), parts[1].parse().unwrap(), parts[2].parse::<usize>().unwrap())
            }
            None => (get("$filter").unwrap().to_owned(), now, 0),
        };
        let bound = |word: &str| {
            let rest = filter.split(&format!("createdDateTime {word} ")).nth(1).unwrap();
            time::parse(rest.split(' ').next().unwrap()).unwrap()
        };
        let (from, to) = (bound("ge"), bound("le"));
        assert!(from < to, "a window of no length");
        assert!(from >= asked - 30 * 24 * HOUR, "beyond the retention");
        let mut found: Vec<(usize, &Happened)> = self
            .log
            .iter()
            .enumerate()
            .filter(|(_, one)| one.time + one.delay <= asked && (from..=to).contains(&one.time))
            .collect();
        found.sort_by_key(|(_, one)| if self.newest_first { -one.time } else { one.time });
        // Every second page is empty, with more to come.
        let (empty, step) =
            if self.empty_pages { (skip % 2 == 1, skip / 2) } else { (false, skip) };
        let page: Vec<Value> = found
            .iter()
            .skip(step * self.page)
            .take(if empty { 0 } else { self.page })
            .map(|(id, one)| json!({"id": id.to_string(), "createdDateTime": time::format(one.time)}))
            .collect();
        let more = empty || (step + 1) * self.page < found.len();
        let mut answer = json!({"value": page});
        if more {
            let token =
                format!("{filter}|{asked}|{}", skip + 1).replace(' ', "%20").replace(':', "%3A");
            answer["@odata.nextLink"] =
                json!(format!("https://graph.microsoft.com{path}?$skiptoken={token}"));
        }
        answer
    }
}

/// Fetches as the host does, from `since` for `polls` times of catching up.
fn fetch(server: &Server, since: i64, mut now: i64, polls: usize, lose: usize) -> BTreeSet<usize> {
    let mut ids = BTreeSet::new();
    let mut asked = PlanRequest { since, ..request("sign-ins") };
    let (mut requests, mut caught) = (0, 0);
    while caught < polls {
        asked.now = now;
        let planned = adapter().plan(&asked).unwrap();
        requests += 1;
        assert!(requests < 5_000, "it never catches up");
        now += SECOND;
        // Now and then a link has grown too old.
        let stale = planned.query.iter().any(|(name, _)| name == "$skiptoken")
            && lose > 0
            && requests < 60
            && requests % lose == 0;
        if stale {
            asked.recover = true;
            continue;
        }
        let body = server.answer(&planned.path, &planned.query, now);
        let page = read(&response(asked.clone(), body.to_string())).unwrap();
        ids.extend(Row::all(&page.batch).map(|row| row.text("id").parse::<usize>().unwrap()));
        asked.recover = false;
        asked.cursor = Some(page.cursor);
        if page.next == Next::CaughtUp {
            caught += 1;
            now += 5 * MINUTE;
        }
    }
    ids
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order of pages, empty ones, late entries and lost links: nothing is missed that
    /// was in the log within the overlap.
    #[test]
    fn no_sign_in_is_missed(
        times in proptest::collection::vec((0i64..4 * 24 * 60, 0i64..50), 0..120),
        page in 1usize..20,
        empty_pages: bool,
        newest_first: bool,
        lose in prop_oneof![Just(0usize), 5usize..9],
    ) {
        let since = NOW - 3 * 24 * HOUR;
        let log = times
            .iter()
            .map(|(at, delay)| Happened { time: NOW - at * MINUTE, delay: delay * MINUTE })
            .collect();
        let server = Server { log, page, empty_pages, newest_first };
        // Long enough for the latest to come in.
        let got = fetch(&server, since, NOW, 14, lose);
        let expected: BTreeSet<usize> = server
            .log
            .iter()
            .enumerate()
            .filter(|(_, one)| one.time >= since)
            .map(|(id, _)| id)
            .collect();
        prop_assert!(expected.is_subset(&got), "missed {:?}", expected.difference(&got).collect::<Vec<_>>());
    }

    /// Nothing that a sign-in says is lost but for what is said to be: every text ends in a cell.
    #[test]
    fn nothing_is_lost(record in json_object()) {
        let body = json!([record]).to_string();
        let batch = normalized(&body);
        let cells: Vec<String> = batch.texts.iter().map(|(_, text)| text.to_owned()).collect();
        let mut missing = Vec::new();
        texts(&record, &mut |text| {
            if !text.is_empty() && !cells.iter().any(|cell| cell.contains(text)) {
                missing.push(text.to_owned());
            }
        });
        prop_assert!(missing.is_empty(), "{missing:?} of {body}");
    }

    /// Any bytes at all give an answer, never a panic.
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200), stream in 0usize..6, status in 100u16..600) {
        let stream = ["users", "deleted-users", "leavers", "members", "sign-ins", "facts"][stream];
        let mut response = response(request(stream), body.clone());
        response.status = status;
        let _ = adapter().read(&response);
        let _ = adapter().split(&body);
        let _ = adapter().normalize("", &body, &[0, body.len() as u32]);
    }
}

fn json_object() -> impl Strategy<Value = Value> {
    let text = "[a-z]{3,8}";
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        Just(Value::Null),
        proptest::collection::vec(text, 0..3).prop_map(Value::from),
    ];
    let key = prop_oneof![
        proptest::sample::select(vec![
            "id",
            "userPrincipalName",
            "userId",
            "userDisplayName",
            "appId",
            "appDisplayName",
            "ipAddress",
            "clientAppUsed",
            "isInteractive",
            "signInEventTypes",
            "status",
            "deviceDetail",
            "userAgent",
            "servicePrincipalId",
            "servicePrincipalName",
            "resourceTenantId",
            "createdDateTime",
            "location",
        ])
        .prop_map(str::to_owned),
        "[a-z]{2,5}",
    ];
    let inner = prop_oneof![
        proptest::sample::select(vec![
            "errorCode",
            "failureReason",
            "operatingSystem",
            "additionalDetails"
        ])
        .prop_map(str::to_owned),
        "[a-z]{2,5}",
    ];
    let nested = proptest::collection::btree_map(inner, leaf.clone(), 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()));
    proptest::collection::btree_map(key, prop_oneof![3 => leaf, 1 => nested], 0..10)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn texts(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, see)),
        Value::Object(members) => members.values().for_each(|member| texts(member, see)),
        _ => {}
    }
}
