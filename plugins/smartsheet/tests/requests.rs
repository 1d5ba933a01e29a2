//! What is asked for, and where it goes on after each kind of page.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod event;

use casbah_model::adapter::{Adapter, Next, Page, PlanRequest, facts};
use event::{adapter, request, response};
use serde_json::json;

fn query(request: &PlanRequest) -> String {
    let planned = adapter().plan(request).unwrap();
    assert_eq!((planned.method.as_str(), planned.host.as_str()), ("GET", "api"));
    let query: Vec<String> = planned.query.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("{}?{}", planned.path, query.join("&"))
}

/// The page that a body makes when it answers a request.
fn answer(request: &PlanRequest, body: serde_json::Value) -> Page {
    let mut response = response(body.to_string(), "");
    response.request = request.clone();
    adapter().read(&response).unwrap()
}

/// The request that follows a page.
fn then(request: &PlanRequest, page: &Page) -> PlanRequest {
    PlanRequest { cursor: Some(page.cursor.clone()), recover: false, ..request.clone() }
}

fn one(time: &str) -> serde_json::Value {
    json!({"eventId": time, "objectType": "SHEET", "action": "LOAD", "eventTimestamp": time})
}

/// A backfill starts an hour early, since times are resolved to the nearest hour, and then goes on
/// by position alone: never both.
#[test]
fn a_backfill_starts_early_and_goes_on_by_position() {
    let first = request("activities", None, "");
    assert_eq!(query(&first), "/events?since=2026-11-13T09:30:00Z&maxCount=10000");
    let page =
        answer(&first, json!({"data": [], "moreAvailable": true, "nextStreamPosition": "a b&c"}));
    assert_eq!(page.next, Next::More);
    let second = then(&first, &page);
    assert_eq!(query(&second), "/events?streamPosition=a b&c&maxCount=10000");
    let page =
        answer(&second, json!({"data": [], "moreAvailable": "false", "nextStreamPosition": "d"}));
    assert_eq!(page.next, Next::CaughtUp);
    assert_eq!(query(&then(&second, &page)), "/events?streamPosition=d&maxCount=10000");
}

/// A last page may come without a position: the one we have stays good.
#[test]
fn a_missing_position_keeps_the_old_one() {
    let first = request("activities", None, "");
    let page = answer(
        &first,
        json!({"data": [one("2026-11-20T08:00:00Z")], "moreAvailable": true, "nextStreamPosition": "p"}),
    );
    let second = then(&first, &page);
    let page =
        answer(&second, json!({"data": [one("2026-11-20T09:00:00Z")], "moreAvailable": false}));
    assert_eq!(page.next, Next::CaughtUp);
    assert_eq!(query(&then(&second, &page)), "/events?streamPosition=p&maxCount=10000");
    let page =
        answer(&second, json!({"data": [], "moreAvailable": false, "nextStreamPosition": null}));
    assert_eq!(query(&then(&second, &page)), "/events?streamPosition=p&maxCount=10000");
}

/// Without any position yet, the start follows the events with an overlap, and never goes back.
#[test]
fn without_any_position_the_start_follows_the_events() {
    let first = request("activities", None, "");
    let page = answer(&first, json!({"data": [], "moreAvailable": false}));
    assert_eq!(query(&then(&first, &page)), "/events?since=2026-11-13T09:30:00Z&maxCount=10000");
    let page = answer(
        &first,
        json!({"data": [one("2026-11-20T09:00:00Z"), one("2026-11-19T09:00:00Z")], "moreAvailable": false}),
    );
    assert_eq!(page.next, Next::CaughtUp);
    let second = then(&first, &page);
    assert_eq!(query(&second), "/events?since=2026-11-20T07:00:00Z&maxCount=10000");
    let page =
        answer(&second, json!({"data": [one("2026-11-19T00:00:00Z")], "moreAvailable": false}));
    assert_eq!(query(&then(&second, &page)), "/events?since=2026-11-20T07:00:00Z&maxCount=10000");
}

/// Times out of all measure neither overflow nor carry the start past the present.
#[test]
fn wild_times_do_no_harm() {
    let first = request("activities", None, "");
    for time in
        [json!(i64::MIN), json!(i64::MIN + 1), json!(i64::MAX), json!("9999-01-01T00:00:00Z")]
    {
        let event = json!({"eventId": "e", "eventTimestamp": time});
        let page = answer(&first, json!({"data": [event], "moreAvailable": false}));
        let next = query(&then(&first, &page));
        assert!(
            next.contains("since=2026-11-13T09:30") || next.contains("since=2026-11-20T08:30"),
            "{next}"
        );
    }
    for wild in [i64::MIN, i64::MAX] {
        for page_size in [100, 10_000] {
            let at = PlanRequest {
                now: wild,
                since: wild,
                newest: Some(wild),
                recover: true,
                page_size,
                ..first.clone()
            };
            query(&at);
            query(&PlanRequest { recover: false, ..at });
        }
    }
}

/// More is promised, but the position does not move: asking at once would go on for ever.
#[test]
fn a_position_that_does_not_move_is_not_hurried() {
    let at = PlanRequest {
        cursor: Some(r#"{"position":"p"}"#.to_owned()),
        ..request("activities", None, "")
    };
    for body in [
        json!({"data": [], "moreAvailable": true, "nextStreamPosition": "p"}),
        json!({"data": [], "moreAvailable": true}),
    ] {
        let page = answer(&at, body);
        assert!(matches!(page.next, Next::Wait(_)), "{:?}", page.next);
        assert_eq!(query(&then(&at, &page)), "/events?streamPosition=p&maxCount=10000");
    }
}

/// A refused position is left behind, with two hours of overlap; a clock that runs ahead does not
/// make a gap.
#[test]
fn recovery_starts_before_the_newest() {
    let mut at = PlanRequest {
        cursor: Some(r#"{"position":"p"}"#.to_owned()),
        ..request("activities", None, "")
    };
    at.recover = true;
    assert_eq!(query(&at), "/events?since=2026-11-13T09:30:00Z&maxCount=10000");
    at.newest = Some(at.now - 60_000);
    assert_eq!(query(&at), "/events?since=2026-11-20T08:29:00Z&maxCount=10000");
    at.newest = Some(at.now + 86_400_000);
    assert_eq!(query(&at), "/events?since=2026-11-20T08:30:00Z&maxCount=10000");
    let page = answer(&at, json!({"data": [], "moreAvailable": true, "nextStreamPosition": "q"}));
    assert_eq!(query(&then(&at, &page)), "/events?streamPosition=q&maxCount=10000");
}

/// A server in trouble gets small windows; all of the time is covered, whatever `to` means for pages
/// that follow by position.
#[test]
fn in_trouble_the_backfill_goes_by_windows() {
    let mut at = PlanRequest { page_size: 625, ..request("activities", None, "") };
    let mut asked = Vec::new();
    for _ in 0..60 {
        let query = query(&at);
        let open = !query.contains("to=") && query.contains("since=");
        asked.push(query);
        let page = answer(&at, json!({"data": [], "moreAvailable": false}));
        assert_eq!(page.next, if open { Next::CaughtUp } else { Next::More });
        if open {
            break;
        }
        at = then(&at, &page);
    }
    assert_eq!(asked[0], "/events?since=2026-11-13T09:30:00Z&to=2026-11-13T15:30:00Z&maxCount=625");
    // Each begins an hour before the end of the one before: ends are rounded like starts.
    assert_eq!(asked[1], "/events?since=2026-11-13T14:30:00Z&to=2026-11-13T20:30:00Z&maxCount=625");
    assert_eq!(asked.last().unwrap(), "/events?since=2026-11-20T06:30:00Z&maxCount=625");

    // Within a window it goes on by position, and the window is still known at its end.
    let at = PlanRequest { page_size: 625, ..request("activities", None, "") };
    let page = answer(
        &at,
        json!({"data": [one("2026-11-13T10:00:00Z")], "moreAvailable": true, "nextStreamPosition": "w"}),
    );
    let inside = then(&at, &page);
    assert_eq!(query(&inside), "/events?streamPosition=w&maxCount=625");
    let page = answer(
        &inside,
        json!({"data": [one("2026-11-13T15:00:00Z")], "moreAvailable": false, "nextStreamPosition": "x"}),
    );
    assert_eq!(
        (page.next, query(&then(&inside, &page)).contains("since=2026-11-13T14:30:00Z")),
        (Next::More, true)
    );
    // Events far beyond the end show that it does not hold: then the position leads to now.
    let page = answer(
        &inside,
        json!({"data": [one("2026-11-20T10:00:00Z")], "moreAvailable": false, "nextStreamPosition": "x"}),
    );
    assert_eq!(
        (page.next, query(&then(&inside, &page))),
        (Next::CaughtUp, "/events?streamPosition=x&maxCount=625".to_owned())
    );
}

#[test]
fn sizes_stay_within_what_the_app_takes() {
    for (size, asked) in [(0, 1), (50_000, 10_000)] {
        let at = PlanRequest {
            page_size: size,
            cursor: Some(r#"{"position":"p"}"#.to_owned()),
            ..request("activities", None, "")
        };
        assert_eq!(query(&at), format!("/events?streamPosition=p&maxCount={asked}"));
    }
    let at = request("activities", Some("not ours"), r#"{"managed-plan": 7}"#);
    assert_eq!(query(&at), "/events?since=2026-11-13T09:30:00Z&maxCount=10000&managedPlanId=7");
    assert_eq!(adapter().plan(&request("nonsense", None, "")).unwrap_err().class, "refused");
}

#[test]
fn users_are_paged_to_the_last_page() {
    let first = PlanRequest { page_size: 100, ..request("accounts", None, "") };
    assert_eq!(query(&first), "/users?include=lastLogin&page=1&pageSize=100");
    let user = |id: u64| json!({"id": id, "email": format!("u{id}@example.com")});
    let page = answer(
        &first,
        json!({"pageNumber": 1, "totalPages": 3, "totalCount": 250, "data": [user(1)]}),
    );
    assert_eq!(page.next, Next::More);
    let second = then(&first, &page);
    assert_eq!(query(&second), "/users?include=lastLogin&page=2&pageSize=100");
    // A halved page size goes on at the same user, and reads some again rather than miss one.
    let half = PlanRequest { page_size: 50, ..second.clone() };
    assert_eq!(query(&half), "/users?include=lastLogin&page=3&pageSize=50");
    let odd = PlanRequest { page_size: 30, ..second.clone() };
    assert_eq!(query(&odd), "/users?include=lastLogin&page=4&pageSize=30");
    let page = answer(
        &second,
        json!({"pageNumber": 2, "totalPages": 3, "totalCount": 250, "data": [user(2)]}),
    );
    let third = then(&second, &page);
    let page = answer(
        &third,
        json!({"pageNumber": 3, "totalPages": 3, "totalCount": 250, "data": [user(3)]}),
    );
    assert_eq!(page.next, Next::CaughtUp);
    assert_eq!(query(&then(&third, &page)), "/users?include=lastLogin&page=1&pageSize=100");
}

/// Past the end the app repeats its last page; without totals an empty page ends the round.
#[test]
fn a_round_of_users_ends() {
    let at = PlanRequest { page_size: 100, ..request("accounts", Some(r#"{"offset":500}"#), "") };
    assert_eq!(query(&at), "/users?include=lastLogin&page=6&pageSize=100");
    for body in [
        json!({"pageNumber": 3, "totalPages": 3, "data": [{"id": 1}]}),
        json!({"pageNumber": 3, "data": [{"id": 1}]}),
        json!({"pageNumber": 6, "totalPages": -1, "totalCount": -1, "data": []}),
    ] {
        assert_eq!(answer(&at, body).next, Next::CaughtUp);
    }
    let more = answer(&at, json!({"totalPages": -1, "totalCount": -1, "data": [{"id": 1}]}));
    assert_eq!(more.next, Next::More);
}

/// When the number of users changes while they are read, the round begins anew: a user who slipped
/// past between two pages would be taken for gone. But not for ever.
#[test]
fn a_round_of_users_that_changed_begins_anew() {
    let mut at = PlanRequest {
        page_size: 100,
        ..request("accounts", Some(r#"{"offset":100,"total":250}"#), "")
    };
    let changed = json!({"pageNumber": 2, "totalPages": 9, "totalCount": 249, "data": [{"id": 1}]});
    let page = answer(&at, changed.clone());
    assert_eq!(page.next, Next::More);
    assert_eq!(query(&then(&at, &page)), "/users?include=lastLogin&page=1&pageSize=100");
    at.cursor = Some(r#"{"offset":100,"total":250,"restarts":3}"#.to_owned());
    let page = answer(&at, changed);
    assert_eq!(query(&then(&at, &page)), "/users?include=lastLogin&page=3&pageSize=100");
}

#[test]
fn users_become_accounts() {
    let at = request("accounts", None, "");
    let body = json!({"data": [
        {"id": 9_007_199_254_740_993_u64, "email": "Ana@Example.com", "name": "Ana", "status": "ACTIVE",
         "admin": true, "isInternal": true, "seatType": "MEMBER", "lastLogin": "2026-11-20T10:00:00.525696Z"},
        {"id": "7", "email": "g@elsewhere.org", "firstName": "G", "lastName": "Uest", "status": "DEACTIVATED",
         "admin": false, "seatType": "GUEST", "lastLogin": 1_795_168_800_000_u64, "profileImage": {"height": 1}},
        {"id": 8, "status": "PENDING", "isInternal": false, "seatType": "VIEWER"},
        {"id": 9, "status": "DECLINED"},
        {"id": 10, "status": "FROZEN", "name": null, "lastLogin": null},
        {"email": "nobody@example.com"},
        "odd",
    ]});
    let page = answer(&at, body);
    page.batch.check().unwrap();
    assert_eq!((page.batch.len(), page.raw.len()), (5, 10));
    let column = |name: &str| -> Vec<String> {
        (0..5).map(|row| page.batch.text(name, row).to_owned()).collect()
    };
    assert_eq!(column("id"), ["9007199254740993", "7", "8", "9", "10"]);
    assert_eq!(column("email"), ["Ana@Example.com", "g@elsewhere.org", "", "", ""]);
    assert_eq!(column("name"), ["Ana", "G Uest", "", "", ""]);
    assert_eq!(column("type"), ["user"; 5]);
    assert_eq!(column("status"), ["active", "disabled", "pending", "declined", "FROZEN"]);
    let integers = |name: &str| -> Vec<Option<i64>> {
        (0..5).map(|row| page.batch.integer(name, row)).collect()
    };
    assert_eq!(integers("admin"), [Some(1), Some(0), None, None, None]);
    assert_eq!(integers("external"), [Some(0), Some(1), Some(1), None, None]);
    assert_eq!(
        integers("seen"),
        [Some(1_795_168_800_525), Some(1_795_168_800_000), None, None, None]
    );
    for sample in [
        include_str!("../data/samples/users/list-users-2026.json"),
        include_str!("../data/samples/users/list-users-2021.json"),
    ] {
        let page = answer(&at, serde_json::from_str(sample).unwrap());
        assert_eq!(page.next, Next::CaughtUp);
        assert!(!page.batch.is_empty());
    }
}

/// Testing a connection: who am I, am I an administrator, may I read events.
#[test]
fn facts_are_asked_for_one_after_the_other() {
    let first = request("facts", None, "");
    assert_eq!(query(&first), "/users/me?");
    let page = answer(
        &first,
        serde_json::from_str(include_str!("../data/samples/users/me-all.json")).unwrap(),
    );
    let fact = |page: &Page, name: &str| {
        page.facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    };
    assert_eq!(page.next, Next::More);
    assert_eq!(fact(&page, facts::ACCOUNT_ID).as_deref(), Some("12345678"));
    assert_eq!(fact(&page, facts::ACCOUNT_EMAIL).as_deref(), Some("test.user@smartsheet.com"));
    assert_eq!(fact(&page, facts::ACCOUNT_ADMIN).as_deref(), Some("true"));
    assert_eq!(fact(&page, facts::ORGANIZATION_ID).as_deref(), Some("9876543210987654"));
    assert_eq!(fact(&page, facts::ORGANIZATION_NAME).as_deref(), Some("Test Account"));
    let second = then(&first, &page);
    assert_eq!(query(&second), "/events?since=2026-11-20T08:30:00Z&maxCount=1");
    let page =
        answer(&second, json!({"data": [one("2026-11-20T10:00:00Z")], "moreAvailable": true}));
    assert_eq!(page.next, Next::CaughtUp);
    assert!(page.batch.is_empty() && page.raw.is_empty());
    assert_eq!(fact(&page, facts::MAY_READ_ACTIVITIES).as_deref(), Some("true"));
    assert_eq!(query(&then(&second, &page)), "/users/me?");

    let page = answer(
        &first,
        serde_json::from_str(include_str!("../data/samples/users/me-groups-java.json")).unwrap(),
    );
    assert_eq!(fact(&page, facts::ACCOUNT_ADMIN).as_deref(), Some("false"));
}

/// What the host needs before the first request.
#[test]
fn the_description_is_complete() {
    let adapter = adapter();
    let description = adapter.description();
    let hosts: Vec<String> = description
        .regions
        .iter()
        .map(|region| {
            format!("{} {} {}", region.name, region.hosts["api"], region.hosts["sign-in"])
        })
        .collect();
    insta::assert_snapshot!(hosts.join("\n"), @r#"
    us https://api.smartsheet.com/2.0 https://app.smartsheet.com
    eu https://api.smartsheet.eu/2.0 https://app.smartsheet.eu
    au https://api.smartsheet.au/2.0 https://app.smartsheet.au
    gov https://api.smartsheetgov.com/2.0 https://app.smartsheetgov.com
    "#);
    let oauth = description.oauth.as_ref().unwrap();
    assert_eq!(oauth.scopes, ["READ_EVENTS", "READ_USERS"]);
    let names: Vec<&str> = description.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["accounts", "activities", "facts"]);
    for stream in &description.streams {
        assert!(stream.smallest_page_size <= stream.page_size);
        let at = PlanRequest { page_size: stream.page_size, ..request(&stream.name, None, "") };
        let host = adapter.plan(&at).unwrap().host;
        assert!(description.regions.iter().all(|region| region.hosts.contains_key(&host)));
    }
    let text = serde_json::to_string(description).unwrap();
    assert_eq!(
        &serde_json::from_str::<casbah_model::adapter::AdapterDescription>(&text).unwrap(),
        description
    );
}
