//! The logs over HTTP: windows, limits, forms, and what goes wrong with them.

use netdocuments_sim::{Config, Log, Sees, SignIn};
use serde_json::{Value, json};

use crate::support::*;

const DAY: i64 = 24 * HOUR;

fn stamp(ms: i64) -> String {
    smartsheet_sim::text::time(ms / 1000 * 1000)
}

fn dates(log: &Value) -> Vec<String> {
    let rows = log.as_array().unwrap();
    rows.iter().map(|row| row["activity"]["date"].as_str().unwrap().to_owned()).collect()
}

/// Both logs, all of it, in one window and in many: what the world has, to the record.
#[tokio::test]
async fn windows_cover_the_world() {
    let client = Client::new(config());
    let (token, _) = client.tokens().await;
    let world = client.sim.world().clone();
    let (start, end) = (world.company().start(), world.company().plan.end);
    for (log, kind) in [("consolidated", Log::Consolidated), ("admin", Log::Admin)] {
        let mut expected: Vec<(i64, &str)> = world
            .records()
            .filter(|record| record.log == kind)
            .map(|record| (record.time, record.name))
            .collect();
        expected.sort_unstable();
        let mut found = Vec::new();
        let step = 5 * HOUR;
        let mut from = start;
        while from < end {
            // Both ends count.
            let to = (from + step).min(end) - 1000;
            let query =
                format!("Logtype={log}&format=json&start={}&end={}", stamp(from), stamp(to));
            let reply = client.log(&token, &query).await;
            assert!(reply.text.starts_with('\u{feff}'), "a byte-order mark");
            let dates = dates(&reply.json());
            assert!(dates.is_sorted());
            let (first, last) = (stamp(from)[..19].to_owned(), stamp(to)[..19].to_owned());
            let inside = |date: &String| *date >= first && *date <= last;
            assert!(dates.iter().all(inside));
            found.extend(dates);
            from += step;
        }
        let times: Vec<String> =
            expected.iter().map(|(time, _)| stamp(*time)[..19].to_owned()).collect();
        assert_eq!(found, times, "{log}");
    }
}

#[tokio::test]
async fn limits_are_kept() {
    let client = Client::new(config());
    let (token, _) = client.tokens().await;
    let at = client.sim.now();
    let ask = async |start: i64, end: i64| {
        client.log(&token, &format!("start={}&end={}", stamp(start), stamp(end))).await.status
    };
    assert_eq!(ask(at - 90 * DAY + HOUR, at).await, 200);
    assert_eq!(ask(at - 91 * DAY, at).await, 400, "older than 90 days");
    assert_eq!(ask(at - DAY, at + 2 * DAY).await, 400, "after today");
    assert_eq!(ask(at, at - DAY).await, 400, "backwards");
    // Days without a time, and the default: 30 days.
    let day = &stamp(at - DAY)[..10];
    assert_eq!(client.log(&token, &format!("start={day}")).await.status, 200);
    let default = dates(&client.log(&token, "").await.json());
    assert_eq!(default.len(), client.sim.world().all(Log::Consolidated).len());
    // A misspelt name is not heeded.
    let misspelt = client.log(&token, &format!("start_date={}", stamp(at - HOUR))).await;
    assert_eq!(dates(&misspelt.json()).len(), default.len());
    assert_eq!(client.log(&token, "Logtype=other").await.status, 400);
    let xml = client.log(&token, "format=xml&start=never").await;
    assert!(xml.status == 400 && xml.text.starts_with("<error>"), "{}", xml.text);
    let other = client.get(&token, "/v1/Repository/CA-OTHER/log").await;
    assert_eq!(other.status, 404);
}

#[tokio::test]
async fn only_administrators_read_logs() {
    let world = config().world;
    let nobody =
        world.company().users.iter().rfind(|user| user.internal() && !user.admin()).unwrap();
    let sign_in = SignIn { user: Some(nobody.email.clone()), ..SignIn::default() };
    let client = Client::new(Config { sign_in, ..Config::new(world.clone()) });
    let (token, _) = client.tokens().await;
    let reply = client.log(&token, "").await;
    assert_eq!((reply.status, &reply.json()["error"]), (403, &json!("Forbidden")));
}

#[tokio::test]
async fn the_second_version_wants_both_dates() {
    let client = Client::new(config());
    let (token, _) = client.tokens().await;
    let path = format!("/v2/repository/{}/log/admin", client.sim.world().repository());
    assert_eq!(client.get(&token, &path).await.status, 400);
    let at = client.sim.now();
    let query = format!("{path}?startDate={}&endDate={}", stamp(at - 7 * DAY), stamp(at));
    let found = dates(&client.get(&token, &query).await.json());
    assert_eq!(found.len(), client.sim.world().all(Log::Admin).len());
}

/// JSON and XML say the same.
#[tokio::test]
async fn xml_has_the_same_records() {
    let client = Client::new(config());
    let (token, _) = client.tokens().await;
    let json = client.log(&token, "format=json").await.json();
    let xml = client.log(&token, "format=xml").await.text;
    let mut reader = quick_xml::Reader::from_str(&xml);
    let mut names = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(element)
                if element.name().into_inner() == "activity" =>
            {
                let date = element.try_get_attribute("date").unwrap().unwrap();
                names.push(date.value.into_owned());
            }
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(names, dates(&json));
}

#[tokio::test]
async fn empty_is_what_is_asked_for() {
    let client = Client::new(Config { sees: Sees::NoLogs, ..config() });
    let (token, _) = client.tokens().await;
    assert_eq!(client.log(&token, "").await.json(), json!([]));
    let users = format!("/v1/Repository/{}/users", client.sim.world().repository());
    let list = client.get(&token, &users).await.json();
    assert_eq!(list.as_array().unwrap().len(), client.sim.world().company().users.len());
    let external = |wanted: bool| {
        list.as_array().unwrap().iter().filter(|user| user["external"] == json!(wanted)).count()
    };
    assert!(external(true) > 0 && external(false) > external(true));
}

/// Every fault happens and is what its name says.
#[tokio::test]
async fn faults_are_what_they_say() {
    let client = Client::new(Config { gzip: false, ..config() });
    let (token, refresh) = client.tokens().await;
    let at = client.sim.now();
    let query = format!("start={}&end={}", stamp(at - 24 * HOUR), stamp(at));
    let calm = client.log(&token, &query).await;
    for (fault, status) in [
        ("rate-limited=1x", 429),
        ("rate-limited-retry-after=1x:1500", 429),
        ("unavailable=1x", 503),
        ("internal=1x", 500),
        ("admin-lost=1x", 403),
        ("busy-504=1x:10", 504),
        ("html-200=1x", 200),
        ("slow-body=1x:20", 200),
        ("disorder=1x", 200),
        ("wide=1x:60", 200),
        ("window-ignored=1x", 200),
        ("wrappings=1x", 200),
        ("xml=1x", 200),
    ] {
        client.sim.set_fault(fault).unwrap();
        let reply = client.log(&token, &query).await;
        assert_eq!(reply.status, status, "{fault}");
        let after =
            |name: &str| reply.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        match fault.split('=').next().unwrap() {
            "rate-limited-retry-after" => assert_eq!(after("retry-after").unwrap(), "1.500"),
            "html-200" => assert!(reply.text.starts_with("<!DOCTYPE html>")),
            "slow-body" => assert_eq!(reply.text, calm.text),
            "disorder" => {
                let (mut there, mut here) = (dates(&reply.json()), dates(&calm.json()));
                assert!(!there.is_sorted());
                there.sort();
                here.sort();
                assert_eq!(there, here);
            }
            "wide" | "window-ignored" => {
                assert!(dates(&reply.json()).len() > dates(&calm.json()).len(), "{fault}");
            }
            "wrappings" => assert!(!reply.text.starts_with("\u{feff}[{\"activity\"")),
            "xml" => assert!(reply.text.starts_with("<?xml")),
            _ => {}
        }
        assert_eq!(client.log(&token, &query).await.text, calm.text, "{fault} is over");
    }
    client.sim.set_fault("cut-body=1x").unwrap();
    let cut = client.http.get(
        client.url(&format!("/v1/Repository/{}/log?{query}", client.sim.world().repository())),
    );
    let response = cut.bearer_auth(&token).send().await.unwrap();
    assert!(response.text().await.is_err(), "the body is cut");
    client.sim.set_fault("busy-hang=1x:10").unwrap();
    let path = client.url(&format!("/v1/Repository/{}/log", client.sim.world().repository()));
    let waiting = client.http.get(path).bearer_auth(&token);
    let patience = std::time::Duration::from_millis(300);
    assert!(waiting.timeout(patience).send().await.unwrap_err().is_timeout(), "no answer comes");
    client.sim.set_fault("token-expired=1x").unwrap();
    assert_eq!(client.log(&token, &query).await.status, 401);
    assert_eq!(client.log(&token, &query).await.status, 401, "it stays dead");
    client.sim.set_fault("grant-dead=1x").unwrap();
    assert_eq!(client.refresh(&refresh).await.status, 400);
    assert_eq!(client.refresh(&refresh).await.status, 400, "for good");
    assert_eq!(client.sim.counters().faults.len(), 17);
}

/// Compressed or not, it is the same log; and it is sent piece by piece.
#[tokio::test]
async fn compressed_logs_are_the_same() {
    let packed = Client::new(config());
    let plain = Client::new(Config { gzip: false, ..Config::new(packed.sim.world().clone()) });
    let gzip = reqwest::Client::builder().gzip(true).no_proxy().build().unwrap();
    let path = format!("/v1/Repository/{}/log", packed.sim.world().repository());
    let (token, _) = packed.tokens().await;
    let response = gzip.get(packed.url(&path)).bearer_auth(&token).send().await.unwrap();
    assert_eq!(response.content_length(), None);
    let text = response.text().await.unwrap();
    let (token, _) = plain.tokens().await;
    assert_eq!(text, plain.get(&token, &path).await.text);
}
