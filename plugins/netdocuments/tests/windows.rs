//! Windows cover time without gaps, against a server in memory that knows nothing of the adapter.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod activity;

use std::collections::HashMap;

use activity::{NOW, SETTINGS, adapter};
use casbah_model::adapter::{Adapter, Next, PlanRequest, Response, class};
use casbah_plugin::{Row, time};
use proptest::prelude::*;
use serde_json::json;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Something that happened: when, how long until the log has it, and what.
#[derive(Clone, Copy, Debug)]
struct Happened {
    time: i64,
    delay: i64,
    what: u8,
}

/// The log of the app.
#[derive(Debug)]
struct Server {
    log: Vec<Happened>,
    /// Whether the second that is asked for first is in the answer.
    start_counts: bool,
    /// Whether the second that is asked for last is in the answer.
    end_counts: bool,
    /// More activities than this can't be made in time.
    most: usize,
    newest_first: bool,
    xml: bool,
}

impl Server {
    fn answer(&self, query: &[(String, String)], now: i64) -> Result<String, u16> {
        let get = |name: &str| {
            let value = &query.iter().find(|(key, _)| key == name).unwrap().1;
            time::parse(value).unwrap()
        };
        let (start, end) = (get("start"), get("end"));
        // The app refuses what lies before its retention or after now.
        if start < now - 90 * 24 * HOUR || end > now || end < start {
            return Err(400);
        }
        let mut found: Vec<_> = self
            .log
            .iter()
            .filter(|one| one.time + one.delay <= now)
            .filter(|one| {
                (one.time > start || self.start_counts && one.time == start)
                    && (one.time < end || self.end_counts && one.time == end)
            })
            .collect();
        if found.len() > self.most {
            return Err(504);
        }
        found.sort_by_key(|one| if self.newest_first { -one.time } else { one.time });
        if self.xml {
            let rows = found.iter().map(|one| {
                let date = &time::format(one.time)[..19];
                format!(
                    "<activity date='{date}' name='open'><storageObject docId='{}'/></activity>",
                    one.what
                )
            });
            return Ok(format!("<activities>{}</activities>", rows.collect::<String>()));
        }
        let rows: Vec<_> = found
            .iter()
            .map(|one| {
                let date = &time::format(one.time)[..19];
                json!({"activity": {"date": date, "name": "open", "storageObject": {"docId": one.what.to_string()}}})
            })
            .collect();
        Ok(format!("\u{feff}{}", json!(rows)))
    }
}

/// Fetches as the host does, from `since` for `polls` times of catching up. Returns ids with their
/// documents, and the number of requests.
fn fetch(
    server: &Server,
    since: i64,
    mut now: i64,
    polls: usize,
) -> (HashMap<String, String>, usize) {
    let adapter = adapter();
    let mut kept = HashMap::new();
    let mut cursor = None;
    let mut page_size = 604_800;
    let mut requests = 0;
    let mut caught = 0;
    while caught < polls {
        let plan = PlanRequest {
            stream: "activities".to_owned(),
            cursor: cursor.clone(),
            settings: SETTINGS.to_owned(),
            now,
            since,
            newest: None,
            page_size,
            recover: false,
        };
        let request = adapter.plan(&plan).unwrap();
        requests += 1;
        assert!(requests < 5_000, "it never catches up");
        now += 2 * SECOND;
        let (status, body) = match server.answer(&request.query, now) {
            Ok(body) => (200, body),
            Err(status) => (status, String::new()),
        };
        let response =
            Response { request: plan, status, headers: Vec::new(), body: body.into_bytes() };
        match adapter.read(&response) {
            Ok(page) => {
                for row in Row::all(&page.batch) {
                    kept.insert(row.text("id").to_owned(), row.text("object").to_owned());
                }
                cursor = Some(page.cursor);
                if page.next == Next::CaughtUp {
                    caught += 1;
                    now += 5 * MINUTE;
                }
                page_size = (page_size * 2).min(604_800);
            }
            Err(failure) => {
                assert_eq!(failure.class, class::TOO_LARGE, "{failure}");
                assert!(page_size > 60, "not even a minute can be had");
                page_size = (page_size / 2).max(60);
            }
        }
    }
    (kept, requests)
}

fn happened() -> impl Strategy<Value = Happened> {
    // Near the start, in a crowd, and at the very present; a few kinds, so that repeats occur.
    let when =
        prop_oneof![0..48 * 3600_i64, 10_000..10_030_i64, 48 * 3600 - 900..48 * 3600 + 1800_i64];
    (when, 0..10 * 60_i64, 0..3_u8).prop_map(|(second, delay, what)| Happened {
        time: NOW - 48 * HOUR + second * SECOND,
        delay: delay * SECOND,
        what,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Every activity comes exactly once, however the app understands ends, orders its answers, is
    /// late by minutes, or fails on busy hours.
    #[test]
    fn everything_comes_exactly_once(
        log in proptest::collection::vec(happened(), 0..120),
        start_counts in any::<bool>(),
        end_counts in any::<bool>(),
        most in 60_usize..200,
        newest_first in any::<bool>(),
        xml in any::<bool>(),
    ) {
        // A server that can't make the busiest quarter of an hour can't be read by anybody.
        let busiest = log.iter().map(|one| {
            log.iter().filter(|other| (0..=2 * MINUTE).contains(&(other.time - one.time))).count()
        }).max().unwrap_or(0);
        let server = Server { log, start_counts, end_counts, most: most.max(busiest), newest_first, xml };
        // An hour of polls after the last thing happened.
        let (kept, _) = fetch(&server, NOW - 48 * HOUR - HOUR, NOW, 20);
        let mut expected = [0; 3];
        for one in &server.log {
            expected[usize::from(one.what)] += 1;
        }
        let mut found = [0; 3];
        for document in kept.values() {
            found[document.parse::<usize>().unwrap()] += 1;
        }
        prop_assert_eq!(found, expected);
    }
}

/// Where windows meet nothing falls through: something happens in every single second.
#[test]
fn no_second_is_missed_where_windows_meet() {
    let log: Vec<_> = (0..3 * 3600)
        .map(|second| Happened { time: NOW - 4 * HOUR + second * SECOND, delay: 0, what: 1 })
        .collect();
    for (start_counts, end_counts) in [(true, true), (true, false), (false, true), (false, false)] {
        let log = log.clone();
        let server =
            Server { log, start_counts, end_counts, most: 700, newest_first: false, xml: false };
        let (kept, requests) = fetch(&server, NOW - 5 * HOUR, NOW, 1);
        assert_eq!(kept.len(), server.log.len(), "{start_counts} {end_counts}");
        assert!(requests > 15, "the busy hours were read in {requests} requests");
    }
}

/// A quiet quarter is read in few requests: windows grow.
#[test]
fn windows_grow_when_little_comes() {
    let log = vec![Happened { time: NOW - 80 * 24 * HOUR, delay: 0, what: 1 }];
    let server = Server {
        log,
        start_counts: true,
        end_counts: true,
        most: 10,
        newest_first: false,
        xml: false,
    };
    let (kept, requests) = fetch(&server, NOW - 89 * 24 * HOUR, NOW, 1);
    assert_eq!(kept.len(), 1);
    assert!(requests <= 22, "{requests} requests");
}

/// When the app's clock is behind ours, reading resumes by the app's.
#[test]
fn the_apps_clock_counts() {
    let mut response = activity::response("activities", "[]");
    response.request.cursor = Some(format!(r#"{{"at":{},"seen":true}}"#, NOW - 20 * MINUTE));
    let next = |response: &Response| {
        let page = adapter().read(response).unwrap();
        serde_json::from_str::<serde_json::Value>(&page.cursor).unwrap()["at"].as_i64().unwrap()
    };
    assert_eq!(next(&response), NOW - 15 * MINUTE);
    response.headers = vec![("date".to_owned(), "Thu, 15 Jan 2026 11:00:00 GMT".to_owned())];
    assert_eq!(next(&response), NOW - HOUR - 15 * MINUTE);
}

/// What was too much is asked for by halves at once, and a calm log makes windows grow again.
#[test]
fn a_halved_page_halves_the_window() {
    let length = |cursor: Option<String>, page_size: u32| {
        let mut plan = activity::request("activities");
        plan.cursor = cursor;
        plan.page_size = page_size;
        let query = adapter().plan(&plan).unwrap().query;
        let get = |name: &str| {
            time::parse(&query.iter().find(|(key, _)| key == name).unwrap().1).unwrap()
        };
        (get("end") - get("start")) / SECOND
    };
    let at = |window: u32| Some(format!(r#"{{"at":{},"window":{window}}}"#, NOW - 40 * 24 * HOUR));
    for (window, page_size, expected) in [
        (604_800, 604_800, 604_800),
        (604_800, 302_400, 302_400),
        (86_400, 604_800, 86_400),
        (86_400, 302_400, 43_200),
        (86_400, 151_200, 21_600),
        (3_600, 60, 60),
        (60, 604_800, 60),
        (u32::MAX, 604_800, 604_800),
    ] {
        assert_eq!(length(at(window), page_size), expected, "{window} {page_size}");
    }
    // The host's page size stays halved for some pages: what is kept takes account of it.
    let mut response = activity::response("activities", "[]");
    response.request.cursor = at(86_400);
    response.request.page_size = 302_400;
    let calm = adapter().read(&response).unwrap();
    assert_eq!(length(Some(calm.cursor), 302_400), 86_400);
}

/// More than the host can take at once is refused as too large, before it is normalized.
#[test]
fn an_answer_of_too_many_is_asked_for_again_in_parts() {
    let record = r#"{"date":"2026-01-15T08:00:00","name":"open"}"#;
    let body = |count: usize| format!("[{}]", vec![record; count].join(","));
    let read = |count| adapter().read(&activity::response("activities", body(count)));
    assert_eq!(read(60_001).unwrap_err().class, class::TOO_LARGE);
    assert_eq!(read(2).unwrap().batch.len(), 2);
}
