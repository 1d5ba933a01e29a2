//! Every fault, seen to happen.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smartsheet_sim::{Fault, Plan, Sim, World};

use crate::support::{
    ADMIN, Client, EVER, Page, WORLD, all_ids, code, config_of, exchange, pair, refresh, sign_in,
    start, time,
};

fn with(faults: &[&str]) -> (Sim, Client) {
    let sim = start();
    for fault in faults {
        sim.set_fault(fault).unwrap();
    }
    let client = Client::new(&sim);
    (sim, client)
}

#[tokio::test]
async fn errors_in_place_of_an_answer_come_as_documented() {
    for (name, status, code, media) in [
        ("rate-limited", 429, 4003, "application/json;charset=UTF-8"),
        ("maintenance", 503, 4001, "application/json;charset=UTF-8"),
        ("unexpected", 500, 4004, "application/json;charset=UTF-8"),
        ("internal", 500, 4000, "application/json;charset=UTF-8"),
        ("html-200", 200, 0, "text/html; charset=utf-8"),
        ("html-502", 502, 0, "text/html; charset=utf-8"),
        ("add-on-missing", 403, 1013, "application/json;charset=UTF-8"),
        ("admin-lost", 403, 1004, "application/json;charset=UTF-8"),
    ] {
        let (sim, client) = with(&[&format!("{name}=2x")]);
        for n in 0..3 {
            let reply = client.events(&format!("since={EVER}&maxCount=1")).await;
            if n == 2 {
                assert_eq!(reply.error(), (200, 0), "{name} did not end");
                assert!(reply.json()["data"].is_array());
                continue;
            }
            assert_eq!(reply.error(), (status, code), "{name}");
            assert_eq!(reply.header("content-type"), Some(media), "{name}");
            assert_eq!(reply.header("retry-after"), None, "{name}");
        }
        assert_eq!(sim.counters().faults.get(name), Some(&2));
    }
}

#[tokio::test]
async fn a_rate_limit_can_say_when_to_come_again() {
    let (_sim, client) = with(&["rate-limited-retry-after=1x:7"]);
    let reply = client.get("/2.0/users/me", ADMIN).await;
    assert_eq!((reply.error(), reply.header("retry-after")), ((429, 4003), Some("7")));
}

#[tokio::test]
async fn large_pages_time_out() {
    let (_sim, client) = with(&["page-too-big=1:500"]);
    for (max, error) in [(501, (500, 4002)), (10_000, (500, 4002)), (500, (200, 0))] {
        let reply = client.events(&format!("since={EVER}&maxCount={max}")).await;
        assert_eq!(reply.error(), error, "{max}");
    }
}

#[tokio::test]
async fn tokens_expire_and_die_until_a_refresh() {
    for (name, code) in [("token-expired", 1003), ("token-dead", 1002)] {
        let (_sim, client) = with(&[]);
        let (access, old) = sign_in(&client).await;
        _sim.set_fault(&format!("{name}=1x")).unwrap();
        for _ in 0..2 {
            assert_eq!(client.get("/2.0/users/me", &access).await.error(), (401, code), "{name}");
        }
        let (access, _) = pair(&client.token(&refresh(&old)).await.json());
        assert_eq!(client.get("/2.0/users/me", &access).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn a_dead_grant_stays_dead() {
    let (sim, client) = with(&[]);
    let (_, old) = sign_in(&client).await;
    sim.set_fault("grant-dead=1x").unwrap();
    for _ in 0..2 {
        let reply = client.token(&refresh(&old)).await;
        assert_eq!((reply.error(), &reply.json()["error"]), ((400, 1071), &"invalid_grant".into()));
    }
}

#[tokio::test]
async fn a_position_is_refused() {
    let (_sim, client) = with(&["position-refused=1x"]);
    let page = client.page(&format!("since={EVER}&maxCount=5")).await;
    let query = format!("streamPosition={}", page.position.unwrap());
    assert_eq!(client.events(&query).await.error(), (400, 1018));
    assert_eq!(client.events(&query).await.error(), (200, 0));
}

#[tokio::test]
async fn duplicates_come_on_later_pages_and_nothing_is_lost() {
    let (_sim, client) = with(&["duplicates=0.5:10"]);
    let pages = client.walk(&format!("since={EVER}"), 200).await;
    assert!(pages.iter().all(|page| page.events.len() <= 200));
    let ids = all_ids(&pages);
    let found: HashSet<String> = ids.iter().cloned().collect();
    assert_eq!(found, WORLD.ids(usize::MAX));
    assert!(ids.len() > found.len() + 20, "{} of {}", ids.len(), found.len());
    let mut seen = HashSet::new();
    let again = pages.iter().filter(|page| {
        let repeats = page.ids().iter().any(|id| seen.contains(id));
        seen.extend(page.ids());
        repeats
    });
    assert!(again.count() > 3, "repeats come from earlier pages");
}

#[tokio::test]
async fn disorder_within_pages_keeps_their_events() {
    let (sim, client) = with(&[]);
    let query = format!("since={EVER}&maxCount=300");
    let plain = client.page(&query).await;
    sim.set_fault("disorder=1").unwrap();
    let mixed = client.page(&query).await;
    assert_ne!(plain.ids(), mixed.ids());
    let set = |page: &Page| page.ids().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(&plain), set(&mixed));
}

#[tokio::test]
async fn disorder_across_pages_is_a_world_of_its_own() {
    let plan = Plan { users: 60, days: 1, events: 4_000, disorder: 1_000, ..Plan::default() };
    let world = Arc::new(World::new(&plan));
    let sim = Sim::start(config_of(Arc::clone(&world))).unwrap();
    let client = Client::new(&sim);
    let pages = client.walk(&format!("since={EVER}"), 200).await;
    let ids = all_ids(&pages);
    assert_eq!(ids.len(), world.len());
    assert_eq!(ids.into_iter().collect::<HashSet<_>>(), world.ids(usize::MAX));
    let span = |page: &Page| {
        let times: Vec<i64> = page.events.iter().map(time).collect();
        (*times.iter().min().unwrap(), *times.iter().max().unwrap())
    };
    let spans: Vec<(i64, i64)> = pages.iter().map(span).collect();
    let overlapping = spans.windows(2).filter(|pair| pair[1].0 < pair[0].1).count();
    assert!(overlapping * 2 > spans.len(), "{overlapping} of {}", spans.len());
}

#[tokio::test]
async fn empty_pages_go_on_with_a_new_position() {
    let (_sim, client) = with(&["empty-page=0.5"]);
    let pages = client.walk(&format!("since={EVER}"), 500).await;
    assert!(pages.iter().filter(|page| page.events.is_empty() && page.more).count() > 2);
    let positions: HashSet<&String> =
        pages.iter().filter_map(|page| page.position.as_ref()).collect();
    assert_eq!(positions.len(), pages.len(), "a position stood still");
    assert_eq!(all_ids(&pages).len(), WORLD.len());
}

#[tokio::test]
async fn pages_come_without_a_position() {
    let (sim, client) = with(&["no-position=1"]);
    let pages = client.walk(&format!("since={EVER}"), 3_000).await;
    let last = pages.last().unwrap();
    assert!(last.position.is_none() && !last.events.is_empty());
    assert!(pages.iter().rev().skip(1).all(|page| page.position.is_some()));
    sim.set_fault("no-position-more=1x").unwrap();
    let page = client.page(&format!("since={EVER}&maxCount=5")).await;
    assert!(page.more && page.position.is_none());
}

#[tokio::test]
async fn a_position_stands_still() {
    let (sim, client) = with(&[]);
    let position = client.page(&format!("since={EVER}&maxCount=5")).await.position.unwrap();
    sim.set_fault("stuck-position=1x").unwrap();
    let query = format!("streamPosition={position}&maxCount=5");
    let stuck = client.page(&query).await;
    assert_eq!((stuck.position.as_deref(), stuck.more), (Some(position.as_str()), true));
    let moving = client.page(&query).await;
    assert_ne!(moving.position.as_deref(), Some(position.as_str()));
    assert_eq!(stuck.ids(), moving.ids());
}

#[tokio::test]
async fn more_available_can_be_a_text() {
    let (_sim, client) = with(&["more-as-text=1"]);
    let reply = client.events(&format!("since={EVER}&maxCount=5")).await;
    assert_eq!(reply.json()["moreAvailable"], "true");
    let reply = client.events("since=2990-01-01T00:00:00Z").await;
    assert_eq!(reply.json()["moreAvailable"], "false");
}

#[tokio::test]
async fn bodies_are_slow_and_whole() {
    let (_sim, client) = with(&["slow-body=1x:400"]);
    let path = format!("since={EVER}&maxCount=500");
    let began = Instant::now();
    let slow = client.page(&path).await;
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(slow.ids(), client.page(&path).await.ids());
}

#[tokio::test]
async fn bodies_are_cut_in_the_middle() {
    for max in [5, 5_000] {
        let (_sim, client) = with(&["cut-body=1x"]);
        let path = format!("/2.0/events?since={EVER}&maxCount={max}");
        let response = client.request("GET", &path).bearer_auth(ADMIN).send().await.unwrap();
        assert_eq!(response.status(), 200, "the head comes whole");
        assert!(response.bytes().await.is_err(), "{max}: the body came whole");
        assert_eq!(client.get(&path, ADMIN).await.status, 200, "the next connection is good");
    }
}

#[tokio::test]
async fn connections_are_reset() {
    let (sim, client) = with(&["reset=1x"]);
    assert!(client.try_get("/2.0/users/me", ADMIN).await.is_err());
    assert_eq!(client.get("/2.0/users/me", ADMIN).await.status, 200);
    assert_eq!(sim.counters().faults.get("reset"), Some(&1));
}

#[tokio::test]
async fn the_token_endpoint_has_faults_of_its_own() {
    for (name, status, location) in [
        ("token-busy", 503, None),
        ("token-redirect", 307, Some("/elsewhere")),
        ("token-html", 200, None),
        ("token-empty", 200, None),
    ] {
        let (sim, client) = with(&[]);
        let (_, old) = sign_in(&client).await;
        sim.set_fault(&format!("{name}=1x")).unwrap();
        let reply = client.token(&refresh(&old)).await;
        assert_eq!((reply.status, reply.header("location")), (status, location), "{name}");
        assert!(!reply.text.contains("access_token"), "{name}: {}", reply.text);
        assert_eq!(client.token(&refresh(&old)).await.status, 200, "{name} used the token up");
    }
}

#[tokio::test]
async fn an_answer_with_the_new_pair_is_lost() {
    let (sim, client) = with(&[]);
    let (_, old) = sign_in(&client).await;
    sim.set_fault("token-lost=1x").unwrap();
    let lost = client.send(client.request("POST", "/2.0/token").form(&refresh(&old))).await;
    assert!(lost.is_err(), "the answer came");
    assert_eq!(client.token(&refresh(&old)).await.error(), (400, 1071), "the old pair is dead");
    assert_eq!(sim.counters().refreshes, 1);
}

#[tokio::test]
async fn a_refresh_can_keep_the_refresh_token() {
    let (sim, client) = with(&["token-no-refresh=1x"]);
    let given = code(&client, "").await;
    let (_, old) = pair(&client.token(&exchange(&given)).await.json());
    let value = client.token(&refresh(&old)).await.json();
    assert!(value["access_token"].is_string() && value["refresh_token"].is_null(), "{value}");
    assert_eq!(client.token(&refresh(&old)).await.status, 200, "the old one stays good");
    assert_eq!(sim.counters().refreshes, 2);
}

#[tokio::test]
async fn an_answer_of_the_token_endpoint_is_late() {
    let (_sim, client) = with(&["token-slow=1:120"]);
    let began = Instant::now();
    sign_in(&client).await;
    assert!(began.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let outcome = async || {
        let (_sim, client) = with(&["unexpected=0.3"]);
        let mut statuses = Vec::new();
        for _ in 0..40 {
            statuses.push(client.get("/2.0/users/me", ADMIN).await.status);
        }
        statuses
    };
    let first = outcome().await;
    assert_eq!(first, outcome().await);
    assert!(first.contains(&200) && first.contains(&500));
}

#[tokio::test]
async fn faults_are_set_listed_and_cleared_from_another_process() {
    let (sim, client) = with(&[]);
    let set = client.request("POST", "/control/faults").body("reset=0.5\nslow-body=2x:40\n");
    assert_eq!(client.send(set).await.unwrap().status, 200);
    let state = client.send(client.request("GET", "/control/state")).await.unwrap().json();
    assert_eq!(state["faults"].as_array().unwrap().len(), 2, "{state}");
    assert_eq!(state["total"], sim.world().len());
    let wrong = client.request("POST", "/control/faults").body("nothing=1");
    assert_eq!(client.send(wrong).await.unwrap().status, 400);
    client.send(client.request("DELETE", "/control/faults")).await.unwrap();
    let state = client.send(client.request("GET", "/control/state")).await.unwrap().json();
    assert!(state["faults"].as_array().unwrap().is_empty());
    assert!(sim.counters().requests.keys().all(|path| !path.contains("control")));
}

#[test]
fn every_fault_is_named_in_the_tests_and_in_the_readme() {
    let tests = include_str!("faults.rs");
    let readme = include_str!("../../README.md");
    for fault in Fault::ALL {
        assert!(tests.contains(fault.name()), "no test switches `{}` on", fault.name());
        assert!(readme.contains(&format!("`{}`", fault.name())), "README: `{}`", fault.name());
    }
}
