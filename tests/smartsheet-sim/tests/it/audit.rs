//! `GET /events`, rule by rule.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use smartsheet_sim::{Config, Live, Plan, Sim, WindowEnd, World};

use crate::support::{
    ADMIN, Client, EVENTS_ONLY, EVER, MEMBER, USERS_ONLY, WORLD, all_events, all_ids, config,
    config_of, id, start, time,
};

const HOUR: i64 = 3_600_000;

fn text(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap().to_string()
}

#[tokio::test]
async fn parameters_are_checked_as_documented() {
    let sim = start();
    let client = Client::new(&sim);
    let position = client.page(&format!("since={EVER}&maxCount=1")).await.position.unwrap();
    let own = sim.world().company().account_id;
    let cases = [
        (String::new(), (400, 1228)),
        ("maxCount=5".to_owned(), (400, 1228)),
        (format!("to={EVER}"), (400, 1228)),
        (format!("since={EVER}&streamPosition={position}"), (400, 1227)),
        (format!("streamPosition={position}&to={EVER}"), (400, 1227)),
        (format!("since={EVER}&maxCount=0"), (400, 1229)),
        (format!("since={EVER}&maxCount=-1"), (400, 1229)),
        (format!("since={EVER}&maxCount=10001"), (400, 1229)),
        (format!("since={EVER}&maxCount=many"), (400, 1018)),
        (format!("since={EVER}&maxCount=10000"), (200, 0)),
        (format!("since={EVER}&maxCount=1"), (200, 0)),
        ("since=yesterday".to_owned(), (400, 1018)),
        (format!("since={EVER}&to=tomorrow"), (400, 1018)),
        (format!("since={EVER}&numericDates=perhaps"), (400, 1018)),
        (format!("since={EVER}&numericDates=true"), (400, 1018)),
        ("since=1262304000000".to_owned(), (400, 1018)),
        ("since=1262304000000&numericDates=true".to_owned(), (200, 0)),
        (format!("since=2026-11-19T12:00:00Z&to={EVER}"), (400, 1018)),
        ("streamPosition=XyzAb1234cdefghijklmnofpq".to_owned(), (400, 1018)),
        (format!("streamPosition={position}"), (200, 0)),
        (format!("since={EVER}&managedPlanId=1"), (403, 1004)),
        (format!("since={EVER}&managedPlanId={own}"), (200, 0)),
    ];
    for (query, error) in cases {
        assert_eq!(client.events(&query).await.error(), error, "{query}");
    }
}

#[tokio::test]
async fn only_an_administrator_with_the_scope_and_the_add_on_may_read() {
    let sim = start();
    let client = Client::new(&sim);
    let path = format!("/2.0/events?since={EVER}&maxCount=1");
    for (token, error) in [
        (ADMIN, (200, 0)),
        (EVENTS_ONLY, (200, 0)),
        (MEMBER, (403, 1004)),
        (USERS_ONLY, (403, 1004)),
        ("unknown", (401, 1002)),
    ] {
        assert_eq!(client.get(&path, token).await.error(), error, "{token}");
    }
    let reply = client.send(client.request("GET", &path)).await.unwrap();
    assert_eq!(reply.error(), (401, 1001));
    assert!(reply.json()["refId"].is_string());
    let sim = Sim::start(Config { add_on: false, ..config() }).unwrap();
    assert_eq!(Client::new(&sim).get(&path, ADMIN).await.error(), (403, 1013));
}

#[tokio::test]
async fn a_walk_by_positions_gives_every_event_once() {
    let sim = start();
    let client = Client::new(&sim);
    for max in [333, 1_000, 7_000, 10_000] {
        let pages = client.walk(&format!("since={EVER}"), max).await;
        let ids = all_ids(&pages);
        assert_eq!(ids.len(), WORLD.len(), "in pages of {max}");
        assert_eq!(ids.iter().cloned().collect::<HashSet<_>>(), WORLD.ids(usize::MAX));
        assert!(pages.iter().all(|page| page.events.len() <= max && page.position.is_some()));
        // Caught up: the same position stays good and gives nothing.
        let last = pages.last().unwrap().position.clone().unwrap();
        let again = client.page(&format!("streamPosition={last}")).await;
        assert!(again.events.is_empty() && !again.more);
    }
    let default = client.page(&format!("since={EVER}")).await;
    assert_eq!(default.events.len(), 1_000, "maxCount when none is given");
}

#[tokio::test]
async fn since_and_to_are_taken_to_the_nearest_hour() {
    let sim = start();
    let client = Client::new(&sim);
    let all = all_events(&client.walk(&format!("since={EVER}"), 10_000).await);
    let noon = (WORLD.company().start() / HOUR + 20) * HOUR;
    for (since, to, from, until) in [
        (0, 2 * HOUR, 0, 2 * HOUR),
        (29 * 60_000, 2 * HOUR, 0, 2 * HOUR),
        (30 * 60_000, 2 * HOUR, HOUR, 2 * HOUR),
        (59 * 60_000, 3 * HOUR + 29 * 60_000, HOUR, 3 * HOUR),
        (0, 2 * HOUR + 31 * 60_000, 0, 3 * HOUR),
        (5 * 60_000, 5 * 60_000, 0, 0),
        (0, 0, 0, 0),
    ] {
        let query = format!("since={}&to={}&maxCount=10000", text(noon + since), text(noon + to));
        let found: HashSet<String> = client.page(&query).await.ids().into_iter().collect();
        let expected: HashSet<String> = all
            .iter()
            .filter(|event| (noon + from..noon + until).contains(&time(event)))
            .map(id)
            .collect();
        assert_eq!(found, expected, "{since} to {to}");
        assert_eq!(found.is_empty(), from == until, "{since} to {to}: the test sees nothing");
    }
}

#[tokio::test]
async fn a_window_runs_on_or_stops_as_it_is_set() {
    let from = (WORLD.company().start() / HOUR + 10) * HOUR;
    let until = from + 12 * HOUR;
    let query = format!("since={}&to={}", text(from), text(until));
    let (runs_on, stops) = (WindowEnd::RunsOn, WindowEnd::Stops);
    // On one page too: then late events of the window come before newer ones that are left out.
    for (window_end, max) in [(runs_on, 77), (runs_on, 10_000), (stops, 77), (stops, 10_000)] {
        let sim = Sim::start(Config { window_end, ..config() }).unwrap();
        let client = Client::new(&sim);
        let all = all_events(&client.walk(&format!("since={EVER}"), 10_000).await);
        let inside = |event: &&Value| (from..until).contains(&time(event));
        let expected: HashSet<String> = all.iter().filter(inside).map(id).collect();
        let later: HashSet<String> =
            all.iter().filter(|event| time(event) >= from).map(id).collect();
        let pages = client.walk(&query, max).await;
        let ids = all_ids(&pages);
        let found: HashSet<String> = ids.iter().cloned().collect();
        let last = pages.last().unwrap().position.clone().unwrap();
        let behind = client.walk(&format!("streamPosition={last}"), 10_000).await;
        match window_end {
            WindowEnd::Stops => {
                assert_eq!(found, expected);
                assert_eq!(ids.len(), found.len());
                assert!(all_ids(&behind).is_empty(), "it did not stop");
            }
            WindowEnd::RunsOn => {
                let found: HashSet<String> = found.into_iter().chain(all_ids(&behind)).collect();
                assert!(found.is_superset(&later), "running on lost something");
            }
        }
    }
}

#[tokio::test]
async fn a_to_in_the_future_counts_as_now() {
    let sim = start();
    let client = Client::new(&sim);
    let page = client.page(&format!("since={EVER}&to=2999-01-01T00:00:00Z&maxCount=10000")).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!(page.events.iter().all(|event| time(event) <= now));
    let none = client.page("since=2990-01-01T00:00:00Z&to=2999-01-01T00:00:00Z").await;
    assert!(none.events.is_empty() && !none.more);
}

#[tokio::test]
async fn dates_are_numbers_in_both_directions_when_asked_for() {
    let sim = start();
    let client = Client::new(&sim);
    let texts = client.page(&format!("since={EVER}&maxCount=500")).await;
    let numbers = client.page("since=0&numericDates=true&maxCount=500").await;
    assert_eq!(texts.ids(), numbers.ids());
    for (text, number) in texts.events.iter().zip(&numbers.events) {
        let member = |event: &Value| {
            let stamp = ["eventTimestamp", "eventTimeStamp"];
            stamp.iter().map(|name| event[*name].clone()).find(|value| !value.is_null()).unwrap()
        };
        assert!(member(text).is_string() && member(number).is_i64());
        assert_eq!(time(text), time(number));
    }
}

#[tokio::test]
async fn late_events_come_behind_newer_ones() {
    let sim = start();
    let client = Client::new(&sim);
    let events = all_events(&client.walk(&format!("since={EVER}"), 10_000).await);
    let mut newest = 0;
    let mut latest = 0;
    for event in &events {
        latest = latest.max(newest - time(event));
        newest = newest.max(time(event));
    }
    let limit = WORLD.company().plan.late_at_most;
    assert!(latest > HOUR / 2 && latest <= limit, "late by {latest} ms of at most {limit}");
}

#[tokio::test]
async fn events_appear_when_they_are_released() {
    let sim = Sim::start(Config { live: Live::Manual(100), ..config() }).unwrap();
    let client = Client::new(&sim);
    let pages = client.walk(&format!("since={EVER}"), 60).await;
    assert_eq!(all_ids(&pages).len(), 100);
    let position = pages.last().unwrap().position.clone().unwrap();
    let query = format!("streamPosition={position}");
    assert!(client.page(&query).await.events.is_empty());
    assert_eq!(sim.release(50), 150);
    let more = client.page(&query).await;
    assert_eq!((more.events.len(), more.more), (50, false));
    let reply = client.send(client.request("POST", "/control/release?count=all")).await.unwrap();
    assert_eq!(reply.json()["released"], WORLD.len());
    let rest = client.walk(&query, 10_000).await;
    let found: HashSet<String> = all_ids(&pages).into_iter().chain(all_ids(&rest)).collect();
    assert_eq!(found, WORLD.ids(usize::MAX));
}

#[tokio::test]
async fn events_appear_by_the_clock() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let plan =
        Plan { users: 130, days: 2, events: 4_000, end: now + 86_400_000, ..Plan::default() };
    let world = Arc::new(World::new(&plan));
    let live = Config { live: Live::Clock, ..config_of(Arc::clone(&world)) };
    let sim = Sim::start(live).unwrap();
    let client = Client::new(&sim);
    let pages = client.walk(&format!("since={EVER}"), 10_000).await;
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let seen = all_ids(&pages).len();
    assert!((world.delivered_by(now)..=world.delivered_by(after)).contains(&seen), "{seen}");
    assert!(seen > 0 && seen < world.len());
}

#[tokio::test]
async fn a_position_outlives_the_server_but_not_its_world() {
    let sim = start();
    let page = Client::new(&sim).page(&format!("since={EVER}&maxCount=10")).await;
    let position = page.position.unwrap();
    drop(sim);
    let sim = start();
    let next = Client::new(&sim).page(&format!("streamPosition={position}&maxCount=10")).await;
    assert_eq!(next.events.len(), 10);
    assert!(next.ids().iter().all(|id| !page.events.iter().any(|event| event["eventId"] == **id)));
    let plan = Plan { seed: 8, users: 40, days: 1, events: 500, ..Plan::default() };
    let other = Sim::start(config_of(Arc::new(World::new(&plan)))).unwrap();
    let reply = Client::new(&other).events(&format!("streamPosition={position}")).await;
    assert_eq!(reply.error(), (400, 1018));
}

#[tokio::test]
async fn pages_are_compressed_for_those_who_ask() {
    let sim = start();
    let client = Client::new(&sim);
    let path = format!("/2.0/events?since={EVER}&maxCount=50");
    let plain = client.get(&path, ADMIN).await;
    assert_eq!(plain.header("content-encoding"), None);
    let request = client.request("GET", &path).bearer_auth(ADMIN);
    let response = request.header("accept-encoding", "br;q=1, gzip").send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = response.bytes().await.unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text)
        .unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["data"], plain.json()["data"]);
    assert!(bytes.len() * 3 < text.len(), "{} of {}", bytes.len(), text.len());
}
