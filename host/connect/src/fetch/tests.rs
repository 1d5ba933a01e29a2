use super::*;
use crate::connection::Counters;
use crate::testing::{Fault, Rig, ToyAdapter};
use casbah_model::adapter::HttpRequest;
use casbah_store::Store as _;
use insta::assert_snapshot;
use serde_json::json;
use std::sync::atomic::Ordering;

async fn rig(items: usize) -> Rig {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.toy.add_items(0..items);
    rig.toy.world().users = (0..5)
        .map(|n| json!({"id": format!("u{n}"), "email": format!("U{n}@acme.example"), "status": "active", "external": false}))
        .collect();
    rig
}

async fn run(rig: &Rig) -> Fetched {
    run_with(rig, rig.fetch()).await
}

async fn run_with(rig: &Rig, fetch: Fetch) -> Fetched {
    let (_handle, never) = stop();
    let fetched = rig.connections.fetch(fetch, never);
    tokio::time::timeout(Duration::from_secs(20), fetched).await.expect("it ends").unwrap()
}

fn counters(fetched: &Fetched) -> Counters {
    fetched.report.status.counters
}

#[tokio::test]
async fn everything_is_fetched_once_joined_and_counted() {
    let rig = rig(350).await;
    let (sender, log_end) = watch::channel(0);
    let mut fetch = rig.fetch();
    fetch.log_end = Some(sender);
    let fetched = run_with(&rig, fetch).await;
    assert_eq!(fetched.ended, Ended::CaughtUp);
    rig.expect_all_once(350);
    assert_eq!(*log_end.borrow(), 351);
    assert_eq!(
        counters(&fetched),
        Counters {
            calls: 7,
            activities: 350,
            bytes: counters(&fetched).bytes,
            ..Counters::default()
        }
    );
    let report = &fetched.report;
    assert_eq!(report.state, State::Ok);
    assert_eq!(report.status.accounts, 5);
    assert_eq!(report.status.last_activity, Some(1_349_000));
    assert!(report.status.lag.unwrap() > 0);
    // Accounts came first, so even the first activity is joined.
    let block = rig.store.read(&rig.tenant, 1).unwrap().unwrap();
    assert_eq!(block.batch.text("actor", 0), "u0@acme.example");
    assert_eq!(block.batch.text("actor.email", 0), "U0@acme.example");
    assert_eq!(block.batch.integer("actor.external", 0), Some(0));
    assert_eq!(block.batch.text("app", 0), "toy");
    assert_eq!(block.batch.text("connection", 0), "acme");
    let raw = rig.store.raw(&rig.tenant, &block.info).unwrap();
    let first: serde_json::Value = serde_json::from_slice(raw.get(0).unwrap()).unwrap();
    assert_eq!(first["text"], "what the app said");
    // A second run starts where the first ended.
    rig.toy.add_items(350..360);
    let again = run(&rig).await;
    rig.expect_all_once(360);
    assert_eq!(counters(&again).duplicates, 0);
    assert_eq!(counters(&again).calls, 8, "one page of activities, accounts are not due");
}

/// Every kind of failure, one row each: what is fetched in the end is the same, and the counters and
/// the end say what happened.
#[tokio::test]
async fn failures_that_pass_cost_nothing() {
    let nonsense = || Fault::Answer(200, Vec::new(), "<html>".to_owned());
    for (name, faults, failures, throttles) in [
        ("transient", vec![Fault::status(500), Fault::status(503)], 2, 0),
        ("throttled", vec![Fault::status(429); 3], 3, 3),
        ("malformed", vec![nonsense(); 2], 2, 0),
        ("forbidden for a while", vec![Fault::status(204)], 1, 0),
        ("duplicates", vec![Fault::Back(0), Fault::Back(30), Fault::Back(99)], 0, 0),
        ("empty pages", vec![Fault::Empty, Fault::Empty], 0, 0),
        ("stuck", vec![Fault::Stuck, Fault::Stuck, Fault::Stuck], 0, 0),
        ("token refused", vec![Fault::status(401)], 1, 0),
        ("stale", vec![Fault::Back(0), Fault::Back(0), Fault::status(410)], 1, 0),
        (
            "stale twice",
            vec![Fault::Back(0), Fault::Back(0), Fault::status(410), Fault::status(410)],
            2,
            0,
        ),
        ("too large", vec![Fault::status(413), Fault::status(413)], 2, 0),
    ] {
        let rig = rig(450).await;
        rig.toy.world().users.clear();
        rig.toy.world().faults.extend(faults);
        let fetched = run(&rig).await;
        assert_eq!(fetched.ended, Ended::CaughtUp, "{name}");
        rig.expect_all_once(450);
        assert_eq!(counters(&fetched).failures, failures, "{name}");
        assert_eq!(counters(&fetched).throttles, throttles, "{name}");
        assert_eq!(fetched.report.state, State::Ok, "{name}: trouble that is over is over");
    }
}

#[tokio::test]
async fn duplicates_are_dropped_and_counted() {
    let rig = rig(300).await;
    rig.toy.world().items[7].id = "e6".to_owned();
    rig.toy.world().faults.extend([Fault::Back(0), Fault::Back(25)]);
    let fetched = run(&rig).await;
    let mut logged = rig.logged();
    logged.sort();
    logged.dedup();
    assert_eq!(logged.len(), 299);
    assert_eq!(counters(&fetched).activities, 299);
    assert_eq!(counters(&fetched).duplicates, 26, "25 of the page before, one on its own page");
}

#[tokio::test]
async fn late_activities_are_counted_once_they_are_late() {
    let rig = rig(100).await;
    run(&rig).await;
    let late = |rig: &Rig, ids: std::ops::Range<usize>, time: i64| {
        for n in ids {
            rig.toy.world().items.push(crate::testing::Item {
                id: format!("e{n}"),
                time,
                actor: String::new(),
            });
        }
    };
    late(&rig, 100..103, 1_050_000);
    late(&rig, 103..105, 1_099_000 - 3_600_001);
    let fetched = run(&rig).await;
    rig.expect_all_once(105);
    assert_eq!(counters(&fetched).late, 2);
    assert_eq!(fetched.report.status.last_activity, Some(1_099_000));
}

#[tokio::test]
async fn a_page_size_that_is_too_large_is_halved_and_grows_back() {
    let rig = rig(1200).await;
    rig.toy.world().largest_page = 30;
    let fetched = run(&rig).await;
    rig.expect_all_once(1200);
    assert_eq!(
        counters(&fetched).failures,
        4,
        "100, 50, and up again to 50 after ten and after twenty pages"
    );
    let sizes: Vec<u32> = rig
        .events
        .lock()
        .unwrap()
        .iter()
        .filter_map(|event| match event {
            Event::PageSize { size, .. } => Some(*size),
            _ => None,
        })
        .collect();
    assert_eq!(sizes.first(), Some(&50));
    assert!(
        sizes.contains(&25) && sizes.iter().filter(|&&size| size == 50).count() >= 2,
        "{sizes:?}"
    );
}

/// A position that never moves again must not be asked for ever at full speed.
#[tokio::test]
async fn a_stuck_position_is_noticed_and_reported() {
    let rig = rig(250).await;
    rig.toy.world().faults.push_back(Fault::Back(0));
    rig.toy.world().faults.extend(vec![Fault::Stuck; 60]);
    let fetched = run(&rig).await;
    rig.expect_all_once(250);
    assert!(counters(&fetched).recoveries >= 1);
    assert_eq!(fetched.ended, Ended::CaughtUp);
    assert_eq!(fetched.report.state, State::Faulty);
    assert_snapshot!(fetched.report.reason, @"the app promises more, but its position does not move");
    assert!(counters(&fetched).calls < 40, "it ended before the faults did");
    let events = rig.events.lock().unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::Repositioned { reason, .. } if reason.contains("does not move"))));
    assert!(
        events.iter().any(|event| matches!(event, Event::Waiting { why: Waiting::Failure, .. }))
    );
}

/// A running fetch keeps the report of a stuck position until something moves.
#[tokio::test]
async fn a_stuck_position_is_trouble_until_it_moves() {
    let rig = rig(10).await;
    run(&rig).await;
    rig.toy.world().faults.extend(vec![Fault::Stuck; 25]);
    let (handle, wish) = stop();
    let mut fetch = rig.fetch();
    fetch.until_caught_up = false;
    let heard = Arc::clone(&rig.events);
    fetch.observer = Arc::new(move |_, event| {
        let mut heard = heard.lock().unwrap();
        heard.push(event.clone());
        let troubled = heard.iter().any(|event| matches!(event, Event::Trouble { .. }));
        if troubled && matches!(event, Event::Page { caught_up: true, .. }) {
            handle.stop();
        }
    });
    let fetched = rig.connections.fetch(fetch, wish);
    let fetched =
        tokio::time::timeout(Duration::from_secs(20), fetched).await.expect("it ends").unwrap();
    assert_eq!(fetched.report.state, State::Ok);
    let events = rig.events.lock().unwrap();
    let troubles = events.iter().filter(|event| matches!(event, Event::Trouble { .. })).count();
    let recovered = events.iter().filter(|event| matches!(event, Event::Recovered { .. })).count();
    assert_eq!((troubles, recovered), (1, 1), "told once, over once");
    assert_eq!(counters(&fetched).recoveries, 1);
    rig.expect_all_once(10);
}

/// Who waits for the end must not wait for ever, whatever goes on failing.
#[tokio::test]
async fn what_goes_on_failing_ends_a_fetch_with_an_end() {
    let nonsense = Fault::Answer(200, Vec::new(), "<html>".to_owned());
    for (name, fault, calls) in [
        ("transient", Fault::status(500), 5),
        ("throttled", Fault::status(429), 5),
        ("malformed", nonsense, 3),
    ] {
        let rig = rig(10).await;
        run(&rig).await;
        rig.toy.world().seen.clear();
        rig.toy.world().faults.extend(vec![fault; 500]);
        let fetched = run(&rig).await;
        assert_eq!(fetched.ended, Ended::CaughtUp, "{name}");
        assert_eq!(fetched.report.state, State::Faulty, "{name}");
        assert_eq!(rig.toy.count("/api/events"), calls, "{name}");
        rig.toy.world().faults.clear();
        assert_eq!(run(&rig).await.report.state, State::Ok, "{name}: it is over");
    }
    // A plan that is never allowed, for all streams.
    let rig = rig(10).await;
    *rig.adapter.planned.lock().unwrap() =
        Some(HttpRequest { host: "https://evil.example".to_owned(), ..HttpRequest::default() });
    let fetched = run(&rig).await;
    assert_eq!((fetched.ended, fetched.report.state), (Ended::CaughtUp, State::Faulty));
}

/// Pages come, but the store refuses them: that is told at the end, too.
#[tokio::test]
async fn a_store_that_refuses_ends_a_fetch_with_an_end() {
    let rig = rig(600).await;
    run_partly(&rig, 2).await;
    // Five pages, and the note that it is so.
    rig.store.failing.store(6, Ordering::SeqCst);
    let fetched = run(&rig).await;
    assert_eq!((fetched.ended, fetched.report.state), (Ended::CaughtUp, State::Faulty));
    assert_eq!(rig.store.failing.load(Ordering::SeqCst), 0);
    rig.store.failing.store(u32::MAX, Ordering::SeqCst);
    let (_handle, never) = stop();
    let fetched = rig.connections.fetch(rig.fetch(), never);
    let fetched = tokio::time::timeout(Duration::from_secs(20), fetched).await.expect("it ends");
    assert_eq!(fetched.unwrap_err().kind(), ConnectErrorKind::Store);
    rig.store.failing.store(0, Ordering::SeqCst);
    assert_eq!(run(&rig).await.report.state, State::Ok);
    rig.expect_all_once(600);
}

/// An adapter that asks to wait is obeyed, but not for ever when somebody waits for the end.
#[tokio::test]
async fn waits_come_to_an_end() {
    let rig = rig(10).await;
    rig.toy.world().wait = true;
    let fetched = run(&rig).await;
    assert_eq!((fetched.ended, fetched.report.state), (Ended::CaughtUp, State::Faulty));
    assert_snapshot!(fetched.report.reason, @"there is more to fetch, but casbah is asked to wait again and again");
    rig.expect_all_once(10);
    rig.toy.world().wait = false;
    assert_eq!(run(&rig).await.report.state, State::Ok);
}

/// No time that an app makes up may break anything, or keep the rest from retention.
#[tokio::test]
async fn times_that_can_not_be_do_no_harm() {
    let rig = rig(2).await;
    rig.toy.world().items[1].time = i64::MAX;
    run(&rig).await;
    rig.expect_all_once(2);
    let now = rig.clock.now();
    let retained = rig.store.retain(&rig.tenant, now + 1000).unwrap();
    assert_eq!(retained.activities, 2);
    let rig = self::rig(1).await;
    rig.toy.world().items[0].time = i64::MIN + 1;
    let fetched = run(&rig).await;
    rig.expect_all_once(1);
    assert_eq!(fetched.report.status.lag, Some(i64::MAX));
}

#[tokio::test]
async fn what_only_an_administrator_can_mend_is_reported_in_words() {
    let mut shown = Vec::new();
    for (status, expected) in
        [(403, State::Forbidden), (400, State::Faulty), (409, State::ReconnectNeeded)]
    {
        let rig = rig(10).await;
        rig.toy.world().faults.push_back(Fault::status(status));
        let fetched = run(&rig).await;
        assert_eq!(fetched.report.state, expected);
        shown.push(format!(
            "{}: {}\nhint: {}",
            fetched.report.state, fetched.report.reason, fetched.report.remedy
        ));
        let ended = if status == 409 { Ended::ReconnectNeeded } else { Ended::CaughtUp };
        assert_eq!(fetched.ended, ended);
        // Once it is mended, the trouble goes away by itself.
        let fetched = run(&rig).await;
        assert_eq!(fetched.report.state, State::Ok);
        rig.expect_all_once(10);
    }
    assert_snapshot!(shown.join("\n"), @r"
    forbidden: the app said forbidden (code 7)
    hint: ask the app
    faulty: the app said refused (code 7)
    hint: ask the app
    reconnect-needed: the app said reconnect (code 7)
    hint: ask the app
    ");
}

/// A running fetch tries again slowly, without being told.
#[tokio::test]
async fn a_missing_right_is_tried_again_slowly() {
    let rig = rig(10).await;
    rig.toy.world().faults.extend(vec![Fault::status(403); 2]);
    let mut fetch = rig.fetch();
    fetch.until_caught_up = false;
    let (handle, wish) = stop();
    let heard = Arc::clone(&rig.events);
    fetch.observer = Arc::new(move |_, event| {
        heard.lock().unwrap().push(event.clone());
        if matches!(event, Event::Page { caught_up: true, .. }) {
            handle.stop();
        }
    });
    let started = Instant::now();
    let fetched = rig.connections.fetch(fetch, wish).await.unwrap();
    assert_eq!(fetched.ended, Ended::Stopped);
    assert!(started.elapsed() >= Duration::from_millis(160), "twice the slow wait");
    rig.expect_all_once(10);
    let events = rig.events.lock().unwrap();
    let troubles = events.iter().filter(|event| matches!(event, Event::Trouble { .. })).count();
    let recovered = events.iter().filter(|event| matches!(event, Event::Recovered { .. })).count();
    assert_eq!((troubles, recovered), (1, 1), "told once, not with every try");
}

/// A 401 on every call: one refresh, one more try, and then not a storm but a report.
#[tokio::test]
async fn a_token_that_is_always_refused_is_refreshed_once() {
    let rig = rig(10).await;
    rig.toy.world().refuse_all = true;
    let fetched = run(&rig).await;
    assert_eq!(fetched.report.state, State::ReconnectNeeded);
    assert_eq!(rig.toy.count("/api/token"), 1);
    assert_eq!(
        rig.toy.count("/api/events") + rig.toy.count("/api/users"),
        counters(&fetched).calls as usize
    );
    assert!(counters(&fetched).calls <= 4, "{}", counters(&fetched).calls);
    assert_snapshot!(fetched.report.reason, @"the app refuses even a fresh token: the app said token-expired (code 7)");
}

#[tokio::test]
async fn a_dead_grant_stops_the_connection_and_says_so() {
    let rig = rig(10).await;
    rig.toy.world().access.clear();
    rig.toy.world().refresh = None;
    let fetched = run(&rig).await;
    assert_eq!(fetched.ended, Ended::ReconnectNeeded);
    assert_eq!(rig.toy.count("/api/token"), 1, "no loop of refreshes");
    assert_snapshot!(format!("{}\n{}", fetched.report.reason, fetched.report.remedy), @r"
    Toy ended the consent for connection `acme`: expired (invalid_grant), code 1071
    connect again with `casbah connect toy --name acme --replace`
    ");
}

/// Whatever a hostile plan asks for: nothing is sent, and it is reported as the plugin's fault.
#[tokio::test]
async fn a_plan_that_leads_elsewhere_is_never_sent() {
    let rig = rig(10).await;
    let evil = HttpRequest {
        method: "GET".to_owned(),
        host: "https://evil.example".to_owned(),
        path: "/steal".to_owned(),
        ..HttpRequest::default()
    };
    *rig.adapter.planned.lock().unwrap() = Some(evil);
    let (handle, wish) = stop();
    let mut fetch = rig.fetch();
    fetch.observer = Arc::new(move |_, event| {
        if matches!(event, Event::Trouble { .. }) {
            handle.stop();
        }
    });
    let fetched = rig.connections.fetch(fetch, wish).await.unwrap();
    assert_eq!(rig.toy.world().seen.len(), 0);
    assert_eq!(fetched.report.state, State::Faulty);
    assert_snapshot!(fetched.report.reason, @"the adapter planned a request to `/steal` of host `https://evil.example`, which it did not declare");
}

/// What a plugin gets to see never holds the token, not even when the app repeats it.
#[tokio::test]
async fn a_plugin_never_sees_the_token() {
    let rig = rig(10).await;
    let echo = Fault::Answer(
        500,
        vec![("x-echo", "Bearer access-0001".to_owned())],
        "bad access-0001".to_owned(),
    );
    rig.toy.world().faults.push_back(echo);
    run(&rig).await;
    let bodies = rig.adapter.bodies.lock().unwrap();
    assert!(bodies.iter().any(|body| body == "bad ***********"));
    assert!(bodies.iter().all(|body| !body.contains("access-0001")));
}

/// A page that the store does not take is fetched again; counters and position stay with the store.
#[tokio::test]
async fn a_page_that_is_not_stored_is_fetched_again() {
    let rig = rig(600).await;
    run_partly(&rig, 2).await;
    rig.store.failing.store(2, Ordering::SeqCst);
    let fetched = run(&rig).await;
    assert_eq!(fetched.ended, Ended::CaughtUp);
    rig.expect_all_once(600);
    assert_eq!(counters(&fetched).activities, 600);
    assert_eq!(counters(&fetched).duplicates, 0, "what was not stored is not known");
}

/// Fetches until so many pages are stored.
async fn run_partly(rig: &Rig, pages: usize) {
    let (handle, wish) = stop();
    let mut fetch = rig.fetch();
    let left = std::sync::atomic::AtomicUsize::new(pages);
    fetch.observer = Arc::new(move |_, event| {
        if matches!(event, Event::Page { .. }) && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            handle.stop();
        }
    });
    rig.connections.fetch(fetch, wish).await.unwrap();
}

/// Stopped at arbitrary moments and started again, a fetch ends with everything once, and the
/// counters agree with the log.
#[tokio::test]
async fn stops_at_any_moment_lose_and_double_nothing() {
    let rig = rig(1500).await;
    rig.toy.world().faults.extend([
        Fault::Back(0),
        Fault::status(500),
        Fault::Back(70),
        Fault::Stuck,
        Fault::status(410),
        Fault::Back(0),
        Fault::status(429),
    ]);
    let mut stops = 0;
    for micros in (0..200).map(|n: u64| (n * 7919) % 9000) {
        let (handle, wish) = stop();
        let mut fetch = rig.fetch();
        fetch.page_size = Some(20);
        let stopper = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(micros)).await;
            handle.stop();
        });
        let fetched = rig.connections.fetch(fetch, wish).await.unwrap();
        stopper.abort();
        stops += usize::from(fetched.ended == Ended::Stopped);
        if fetched.ended == Ended::CaughtUp && rig.logged().len() == 1500 {
            break;
        }
    }
    let fetched = run(&rig).await;
    rig.expect_all_once(1500);
    assert_eq!(counters(&fetched).activities, 1500);
    assert!(stops > 5, "{stops} stops hit it in the middle");
}

#[tokio::test]
async fn accounts_that_are_gone_are_marked_after_a_whole_round() {
    let rig = rig(3).await;
    run(&rig).await;
    assert_eq!(rig.connections.accounts(&rig.tenant, &rig.name).unwrap().present(), 5);
    rig.toy.world().users.remove(1);
    rig.clock.advance(61_000);
    // The round is broken off first: nobody may be marked on the word of half a round.
    rig.toy.world().user_faults.extend([Fault::Back(0), Fault::status(409)]);
    let broken = run(&rig).await;
    assert_eq!(broken.report.status.accounts, 5);
    let whole = run(&rig).await;
    assert_eq!(whole.report.status.accounts, 4);
    let accounts = rig.connections.accounts(&rig.tenant, &rig.name).unwrap();
    assert_eq!(accounts.get("u1").unwrap().status, "deleted");
    // An app that names nobody at all is not believed.
    rig.toy.world().users.clear();
    rig.clock.advance(61_000);
    assert_eq!(run(&rig).await.report.status.accounts, 4);
}

/// Activities do not wait for ever for accounts that can't be had.
#[tokio::test]
async fn activities_go_on_without_accounts() {
    let rig = rig(20).await;
    rig.toy.world().user_faults.push_back(Fault::status(403));
    let fetched = run(&rig).await;
    rig.expect_all_once(20);
    assert_eq!(fetched.report.state, State::Forbidden);
}

/// What only an administrator can mend on the accounts keeps no activity waiting for two slow tries.
#[tokio::test]
async fn activities_do_not_wait_for_an_administrator() {
    for status in [403, 400] {
        let rig = rig(20).await;
        rig.toy.world().user_faults.push_back(Fault::status(status));
        let (handle, wish) = stop();
        let mut fetch = rig.fetch();
        fetch.until_caught_up = false;
        fetch.pace.slow = Duration::from_secs(600);
        fetch.observer = Arc::new(move |_, event| {
            if matches!(event, Event::Page { caught_up: true, .. }) {
                handle.stop();
            }
        });
        let fetched = rig.connections.fetch(fetch, wish);
        let fetched = tokio::time::timeout(Duration::from_secs(10), fetched).await;
        fetched.expect("activities come at once").unwrap();
        rig.expect_all_once(20);
    }
}

#[tokio::test]
async fn a_connection_that_is_switched_off_is_not_fetched() {
    let rig = rig(5).await;
    let report = rig.connections.set_enabled(&rig.tenant, &rig.name, false).unwrap();
    assert_eq!(report.state, State::Disabled);
    let fetched = run(&rig).await;
    assert_eq!(fetched.ended, Ended::Disabled);
    assert_eq!(rig.toy.world().seen.len(), 0);
    rig.connections.set_enabled(&rig.tenant, &rig.name, true).unwrap();
    run(&rig).await;
    rig.expect_all_once(5);
}

/// Names that would print their contents.
#[tokio::test]
async fn unknown_connections_and_wrong_adapters_are_told() {
    let rig = rig(0).await;
    let unknown = |name: &str| {
        rig.connections.get(&rig.tenant, &name.parse().unwrap()).unwrap_err().to_string()
    };
    let mut other = ToyAdapter::new();
    other.description.name = "tidy".to_owned();
    let mut fetch = rig.fetch();
    fetch.adapter = Arc::new(other);
    let (_handle, never) = stop();
    let wrong = rig.connections.fetch(fetch, never).await.unwrap_err().to_string();
    let none = rig.connections.get(&"empty".parse().unwrap(), &rig.name).unwrap_err().to_string();
    assert_snapshot!([unknown("acne"), unknown("zzz"), wrong, none].join("\n--\n"), @r"
    there is no connection `acne`
    hint: did you mean `acme`?
    --
    there is no connection `zzz`
    hint: there are `acme`
    --
    connection `acme` is for `toy`, and the adapter for `tidy`
    --
    there is no connection `acme`
    hint: make one with `casbah connect`
    ");
}

/// An answer that is too large to be read is asked for in smaller pieces, and nothing is lost.
#[tokio::test]
async fn an_answer_beyond_the_bound_is_fetched_in_smaller_pieces() {
    // An adapter may ask for less than it is allowed to: halving what it is allowed must not send the
    // very same request again and again.
    for (own_limit, requests) in [(u32::MAX, 2), (40, 1)] {
        let mut adapter = ToyAdapter::new();
        adapter.own_limit = own_limit;
        let mut rig = Rig::with(adapter).await;
        rig.connections = Connections::new(
            rig.store.clone(),
            rig.vault.clone(),
            crate::Http::new("1").unwrap().with_largest_answer(2500),
            rig.clock.clone(),
        );
        rig.connect().await;
        rig.toy.add_items(0..100);
        let fetched = run(&rig).await;
        assert_eq!((fetched.ended, fetched.report.state), (Ended::CaughtUp, State::Ok));
        rig.expect_all_once(100);
        assert_eq!(counters(&fetched).failures, requests, "{own_limit}");
        assert!(rig.adapter.bodies.lock().unwrap().iter().all(|body| body.len() <= 2500));
    }
    // What can't be made smaller is told, with the setting that helps.
    let mut rig = rig(10).await;
    rig.connections = Connections::new(
        rig.store.clone(),
        rig.vault.clone(),
        crate::Http::new("1").unwrap().with_largest_answer(300),
        rig.clock.clone(),
    );
    rig.toy.world().users.clear();
    let fetched = run(&rig).await;
    assert_eq!(fetched.report.state, State::Faulty);
    assert_snapshot!(format!("{}\n{}", fetched.report.reason, fetched.report.remedy), @r"
    the answer of `127.0.0.1` is larger than 300 bytes
    smaller pieces are asked for by themselves; if even the smallest is too large, raise `largest-answer-mib` in the settings file
    ");
}

/// After an outage that was longer than the app's memory, the gap is known for good.
#[tokio::test]
async fn what_the_app_forgot_is_told_when_the_fetch_goes_on() {
    const DAY: i64 = 86_400_000;
    let mut adapter = ToyAdapter::new();
    adapter.description.retention_days = 90;
    let rig = Rig::with(adapter).await;
    rig.connect().await;
    rig.toy.add_items(0..10);
    rig.toy.world().items[9].time = rig.clock.now() - DAY;
    let report = run(&rig).await.report;
    assert_eq!((report.state, report.warnings.len()), (State::Ok, 0));
    rig.clock.advance(70 * DAY);
    let kind = |report: &ConnectionReport| report.warnings.first().map(|warning| warning.kind);
    let report = rig.connections.get(&rig.tenant, &rig.name).unwrap();
    assert_eq!((report.state, kind(&report)), (State::Check, Some(crate::WarningKind::Retention)));
    rig.clock.advance(30 * DAY);
    rig.toy.add_items(10..20);
    let report = run(&rig).await.report;
    assert_eq!((report.state, kind(&report)), (State::Check, Some(crate::WarningKind::Lost)));
    assert!(report.reason.starts_with("10 days of stream `events` are lost"), "{}", report.reason);
    rig.expect_all_once(20);
    assert_eq!(run(&rig).await.report.reason, report.reason, "another fetch does not forget it");
    rig.clock.advance(31 * DAY);
    assert_eq!(run(&rig).await.report.state, State::Ok, "told for a month");
}

/// The same when the process never ended, but could fetch nothing for longer than the app's memory.
#[tokio::test]
async fn what_the_app_forgot_is_told_when_a_running_fetch_recovers() {
    const DAY: i64 = 86_400_000;
    let mut adapter = ToyAdapter::new();
    adapter.description.retention_days = 90;
    let rig = Rig::with(adapter).await;
    rig.connect().await;
    rig.toy.add_items(0..10);
    rig.toy.world().items[9].time = rig.clock.now() - DAY;
    assert_eq!(run(&rig).await.report.state, State::Ok);
    // The fetch starts in time, and its first answer comes a hundred days later.
    rig.clock.advance(DAY);
    rig.toy.world().faults.push_back(Fault::Answer(503, Vec::new(), String::new()));
    rig.toy.add_items(10..20);
    let clock = rig.clock.clone();
    let slept = std::sync::atomic::AtomicBool::new(false);
    let mut fetch = rig.fetch();
    fetch.observer = Arc::new(move |_, event: &Event| {
        if matches!(event, Event::Waiting { .. })
            && !slept.swap(true, std::sync::atomic::Ordering::SeqCst)
        {
            clock.advance(99 * DAY);
        }
    });
    let report = run_with(&rig, fetch).await.report;
    rig.expect_all_once(20);
    let kind = report.warnings.first().map(|warning| warning.kind);
    assert_eq!((report.state, kind), (State::Check, Some(crate::WarningKind::Lost)));
    assert!(report.reason.starts_with("10 days of stream `events` are lost"), "{}", report.reason);
}

/// Connected, every answer good, and nothing in it: the test says what the app needs.
#[tokio::test]
async fn connected_but_empty_is_a_fault_of_the_set_up() {
    const DAY: i64 = 86_400_000;
    let mut adapter = ToyAdapter::new();
    adapter.description.limitations = vec!["Toy's log has to be switched on.".to_owned()];
    let rig = Rig::with(adapter).await;
    rig.connect().await;
    let fetch = |days: i64| Fetch { since: rig.clock.now() - days * DAY, ..rig.fetch() };
    assert_eq!(run_with(&rig, fetch(3)).await.report.state, State::Ok, "three days may be quiet");
    rig.clock.advance(4 * DAY);
    assert_eq!(run_with(&rig, fetch(0)).await.report.state, State::Check);
    let test = rig.connections.check(&rig.tenant, &rig.name, rig.adapter.clone()).await.unwrap();
    assert!(test.passed(), "nothing failed");
    let silence = test.checks.iter().find(|check| check.name == "silence").unwrap();
    assert_snapshot!(silence.remedy, @"see in the app that its log is switched on and holds something, and that the account or application of this connection may read it. Toy's log has to be switched on.");
    rig.toy.add_items(0..1);
    assert_eq!(run(&rig).await.report.state, State::Ok);
}
