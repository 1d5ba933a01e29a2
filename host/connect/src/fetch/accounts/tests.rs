use super::super::Fetched;
use crate::State;
use crate::directory::{Directory, Standing};
use crate::stop::stop;
use crate::testing::{Fault, Rig, directory};
use casbah_store::Store as _;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const DAY: i64 = 86_400_000;

/// A rig whose app is a directory of five people.
async fn rig() -> Rig {
    let rig = Rig::with(directory()).await;
    rig.connect().await;
    rig.toy.world().users = (0..5)
        .map(|n| json!({"id": format!("u{n}"), "email": format!("U{n}@acme.example"), "status": "active", "external": false}))
        .collect();
    rig
}

/// Fetches until everything is caught up; some minutes later than before, so that rounds are due.
async fn run(rig: &Rig) -> Fetched {
    rig.clock.advance(120_000);
    let (_handle, never) = stop();
    let fetched = rig.connections.fetch(rig.fetch(), never);
    tokio::time::timeout(Duration::from_secs(20), fetched).await.expect("it ends").unwrap()
}

/// The news of the directory in the log: person, state, and since when.
fn news(rig: &Rig) -> Vec<(String, String, Option<i64>)> {
    let mut news = Vec::new();
    let mut next = 1;
    while let Some(block) = rig.store.read(&rig.tenant, next).unwrap() {
        let batch = &block.batch;
        batch.check().unwrap();
        for row in (0..batch.len()).filter(|&row| batch.text("kind", row) == "account-state") {
            assert_eq!(batch.text("app", row), "toy");
            assert_eq!(batch.text("connection", row), "acme");
            assert_eq!(batch.text("actor", row), "");
            assert_eq!(batch.text("actor.type", row), "system");
            news.push((
                batch.text("person", row).to_owned(),
                batch.text("actor.status", row).to_owned(),
                batch.integer("actor.since", row),
            ));
        }
        next = block.info.end_sequence();
    }
    news
}

fn words(news: &[(String, String, Option<i64>)]) -> Vec<String> {
    news.iter().map(|(person, state, _)| format!("{person} {state}")).collect()
}

fn state(rig: &Rig, address: &str) -> Option<Standing> {
    let directory = rig.connections.directory(&rig.tenant).unwrap();
    directory.state_at(address, rig.clock.now()).map(|held| held.state)
}

/// What the store says, read anew.
fn stored(rig: &Rig) -> Vec<crate::directory::ListedPerson> {
    let store: Arc<dyn casbah_store::Store> = rig.store.clone();
    Directory::open(store, rig.tenant.clone()).unwrap().list(rig.clock.now())
}

#[tokio::test]
async fn the_first_round_is_whole_and_later_ones_name_what_has_changed() {
    let rig = rig().await;
    let fetched = run(&rig).await;
    assert_eq!(fetched.report.status.accounts, 5);
    assert_eq!(rig.toy.count("/api/people"), 3, "two a page");
    assert_eq!(words(&news(&rig)).len(), 5);
    // Nothing new: one request, from where the last round ended, and nothing for the log.
    run(&rig).await;
    assert_eq!(rig.toy.count("/api/people"), 4);
    assert_eq!(
        rig.toy.world().seen.iter().rfind(|seen| seen.path == "/api/people").unwrap().query["page"],
        "changes-0"
    );
    assert_eq!(news(&rig).len(), 5);
    // Who is not named in a later round is not gone; what is left out is as it was.
    rig.toy.world().changes = vec![
        json!({"id": "u1", "status": "deleted", "since": 5000}),
        json!({"id": "u2", "name": "Cy"}),
        json!({"id": "u2", "name": "Cy"}),
        json!({"id": "u9", "email": "new@acme.example", "aliases": "n@acme.example,new@old.example", "status": "active"}),
        json!({"id": "u3", "status": "disabled"}),
    ];
    let fetched = run(&rig).await;
    assert_eq!(fetched.report.status.accounts, 5, "one went, one came");
    assert_eq!(
        words(&news(&rig)[5..]),
        ["u1@acme.example deleted", "new@acme.example active", "u3@acme.example disabled"]
    );
    assert_eq!(news(&rig)[5].2, Some(5000));
    assert_eq!(state(&rig, "U2@ACME.example"), Some(Standing::Active));
    assert_eq!(state(&rig, "n@acme.example"), Some(Standing::Active));
    let directory = rig.connections.directory(&rig.tenant).unwrap();
    assert_eq!(directory.state_at("u1@acme.example", 4999).unwrap().state, Standing::Active);
    assert_eq!(directory.state_at("u1@acme.example", 5000).unwrap().state, Standing::Deleted);
    // Restored.
    rig.toy.world().changes.push(json!({"id": "u1", "status": "active"}));
    run(&rig).await;
    assert_eq!(words(&news(&rig)[8..]), ["u1@acme.example active"]);
    assert_eq!(state(&rig, "u1@acme.example"), Some(Standing::Active));
    assert_eq!(directory.list(rig.clock.now()), stored(&rig), "memory and store agree");
}

#[tokio::test]
async fn a_refused_cursor_leads_to_a_whole_round_that_tells_who_is_missing() {
    let rig = rig().await;
    run(&rig).await;
    rig.toy.world().users.remove(2);
    rig.toy.world().user_faults.push_back(Fault::status(410));
    let before = rig.clock.now();
    let fetched = run(&rig).await;
    assert_eq!(fetched.report.status.accounts, 4);
    assert_eq!(words(&news(&rig)[5..]), ["u2@acme.example deleted"]);
    assert!(news(&rig)[5].2.unwrap() > before, "nobody knows more than when it was seen");
    let recovering = rig
        .toy
        .world()
        .seen
        .iter()
        .filter(|seen| seen.query.get("recover").is_some_and(|recover| recover == "true"))
        .count();
    assert_eq!(recovering, 1, "the first request after the refusal says so");
    assert_eq!(fetched.report.status.counters.recoveries, 1);
}

#[tokio::test]
async fn a_whole_round_that_is_broken_off_begins_anew_and_says_nothing_of_who_is_missing() {
    let rig = rig().await;
    rig.toy.world().user_faults.extend([Fault::Back(0), Fault::status(409)]);
    let broken = run(&rig).await;
    assert_eq!(broken.report.state, State::ReconnectNeeded);
    let fetched = run(&rig).await;
    assert_eq!(fetched.report.status.accounts, 5);
    assert_eq!(words(&news(&rig)).len(), 5, "each is told once");
}

#[tokio::test]
async fn memberships_end_when_a_whole_round_does_not_name_them() {
    let rig = rig().await;
    let member = |id: &str, group: &str| json!({"id": id, "group": group});
    rig.toy.world().members = vec![
        member("u0", "Sales, West"),
        member("u1", "Sales, West"),
        member("u0", "Admins"),
        member("ghost", "Admins"),
    ];
    run(&rig).await;
    let directory = rig.connections.directory(&rig.tenant).unwrap();
    let groups = |address: &str| directory.person(address).unwrap().groups;
    assert_eq!(groups("u0@acme.example"), ["Admins", "Sales, West"]);
    assert_eq!(groups("u1@acme.example"), ["Sales, West"]);
    rig.toy.world().members = vec![member("u0", "Admins"), member("u0", "Admins")];
    let fetched = run(&rig).await;
    assert_eq!(groups("u0@acme.example"), ["Admins"]);
    assert!(groups("u1@acme.example").is_empty());
    assert_eq!(fetched.report.status.accounts, 5, "who is only in a group is no account");
    // News of the person leave the groups alone.
    rig.toy.world().changes.push(json!({"id": "u0", "name": "Al"}));
    run(&rig).await;
    assert_eq!(groups("u0@acme.example"), ["Admins"]);
    assert_eq!(directory.list(rig.clock.now()), stored(&rig));
}

#[tokio::test]
async fn leave_dates_are_told_when_they_come_and_when_they_have_come() {
    let rig = rig().await;
    let leaves = rig.clock.now() + DAY;
    rig.toy.world().leavers = vec![json!({"id": "u4", "leaves": leaves})];
    run(&rig).await;
    let told = words(&news(&rig));
    assert!(told.contains(&"u4@acme.example leaving".to_owned()), "{told:?}");
    assert_eq!(state(&rig, "u4@acme.example"), Some(Standing::Leaving));
    let directory = rig.connections.directory(&rig.tenant).unwrap();
    assert_eq!(directory.pass(rig.clock.now()).unwrap().told, 0, "it has not come");
    rig.clock.advance(2 * DAY);
    let taken = directory.pass(rig.clock.now()).unwrap();
    assert_eq!(taken.told, 1);
    assert_eq!(taken.log_end, Some(rig.store.log_range(&rig.tenant).end));
    let last = news(&rig).pop().unwrap();
    assert_eq!((last.1.as_str(), last.2), ("left", Some(leaves)));
    assert_eq!(directory.pass(rig.clock.now()).unwrap().told, 0, "once");
    run(&rig).await;
    assert_eq!(news(&rig).len(), told.len() + 1, "and not when it is said again");
}

/// Sign-ins of the directory's own log, and the road of an activity through it.
#[tokio::test]
async fn activities_are_joined_with_the_state_of_their_time() {
    let rig = rig().await;
    rig.toy.world().users[1] = json!({"id": "u1", "email": "ana@acme.example", "aliases": "a.lopez@acme.example", "status": "disabled", "since": 1_002_000, "external": false, "admin": true});
    rig.toy.add_items(0..7);
    run(&rig).await;
    let mut rows = BTreeMap::new();
    let mut next = 1;
    while let Some(block) = rig.store.read(&rig.tenant, next).unwrap() {
        for row in 0..block.batch.len() {
            let cell = |name| block.batch.text(name, row).to_owned();
            if cell("kind") != "account-state" {
                let external = block.batch.integer("actor.external", row);
                let admin = block.batch.integer("actor.admin", row);
                rows.insert(cell("id"), (cell("person"), cell("actor.status"), external, admin));
            }
        }
        next = block.info.end_sequence();
    }
    let expect =
        |person: &str, status: &str, admin| (person.to_owned(), status.to_owned(), Some(0), admin);
    assert_eq!(rows["e0"], expect("u0@acme.example", "active", None));
    assert_eq!(
        rows["e1"],
        expect("ana@acme.example", "", Some(1)),
        "before it was disabled nobody knows"
    );
    assert_eq!(rows["e4"], expect("ana@acme.example", "disabled", Some(1)));
}

/// What the store refuses is said again, and told once.
#[tokio::test]
async fn what_is_not_stored_is_not_known() {
    let rig = rig().await;
    for failing in [1, 2, 3, 4] {
        rig.store.failing.store(failing, Ordering::SeqCst);
        run(&rig).await;
        rig.toy.world().changes.push(
            json!({"id": format!("u{failing}"), "status": "disabled", "since": 7000 + failing}),
        );
    }
    run(&rig).await;
    let mut told = words(&news(&rig));
    let all = told.len();
    told.sort();
    told.dedup();
    assert_eq!((told.len(), all), (9, 9), "{told:?}");
    let directory = rig.connections.directory(&rig.tenant).unwrap();
    assert_eq!(directory.list(rig.clock.now()), stored(&rig));
}

/// Stopped at arbitrary moments and started again from the store alone, everything is told once.
#[tokio::test]
async fn stops_at_any_moment_lose_and_double_no_news() {
    let rig = rig().await;
    let person = |n: u64| json!({"id": format!("u{n}"), "email": format!("u{n}@acme.example"), "status": "active"});
    rig.toy.world().users = (0..20).map(person).collect();
    let mut stops = 0;
    let mut disabled = BTreeSet::new();
    for n in 0..60_u64 {
        rig.clock.advance(120_000);
        let (handle, wish) = stop();
        let mut fetch = rig.fetch();
        let handle = Arc::new(handle);
        let stopper = if n % 2 == 0 {
            // At any moment, also while something is being stored.
            let handle = Arc::clone(&handle);
            Some(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(n * 7919 % 20_000)).await;
                handle.stop();
            }))
        } else {
            // After so many pages, however quick they are.
            let (handle, left) = (Arc::clone(&handle), std::sync::atomic::AtomicU64::new(n % 7));
            fetch.observer = Arc::new(move |_, event| {
                let stored = matches!(event, super::Event::Accounts { .. });
                if stored && left.fetch_sub(1, Ordering::SeqCst) == 0 {
                    handle.stop();
                }
            });
            None
        };
        let fetched = rig.connections.fetch(fetch, wish).await.unwrap();
        stopper.inspect(|stopper| stopper.abort());
        stops += usize::from(fetched.ended == super::super::Ended::Stopped);
        let who = n % 20;
        let mut change = person(who);
        change["status"] = json!("disabled");
        change["since"] = json!(1000);
        disabled.insert(format!("u{who}@acme.example disabled"));
        let mut world = rig.toy.world();
        world.users[who as usize] = change.clone();
        world.changes.push(change);
    }
    run(&rig).await;
    let told = words(&news(&rig));
    let once: BTreeSet<String> = told.iter().cloned().collect();
    assert_eq!(once.len(), told.len(), "nothing twice");
    let found: BTreeSet<String> =
        once.into_iter().filter(|word| word.ends_with("disabled")).collect();
    assert_eq!(found, disabled, "nothing is lost");
    assert!(stops > 0, "no stop hit it in the middle");
    assert_eq!(rig.connections.directory(&rig.tenant).unwrap().list(rig.clock.now()), stored(&rig));
}

/// Who fetches the directory at the same time is waited for, but not when its fetch has ended.
#[tokio::test]
async fn activities_wait_for_a_directory_that_is_awaited() {
    let rig = rig().await;
    rig.toy.add_items(0..1);
    let directory = rig.connections.directory(&rig.tenant).unwrap();
    let other = "entra".parse().unwrap();
    directory.expect(&other);
    directory.expect(&rig.name);
    rig.clock.advance(120_000);
    let (_handle, never) = stop();
    let fetched = rig.connections.fetch(rig.fetch(), never);
    let release = async {
        while !rig.events.lock().unwrap().iter().any(|event| matches!(event, super::Event::Accounts { stream, complete: true, .. } if stream == "leavers")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(rig.toy.count("/api/events"), 0);
        directory.arrived(&other);
    };
    let both = async { tokio::join!(fetched, release) };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("it ends").0.unwrap();
    assert_eq!(rig.toy.count("/api/events"), 1);
    tokio::time::timeout(Duration::from_secs(1), directory.settled())
        .await
        .expect("nobody waits any more");
}

#[tokio::test]
async fn a_directory_that_is_removed_is_forgotten() {
    let rig = rig().await;
    run(&rig).await;
    let directory = rig.connections.directory(&rig.tenant).unwrap();
    assert_eq!(directory.len(), 5);
    let description = &rig.adapter.description;
    let forget = crate::Unreachable::Forget;
    rig.connections.remove(&rig.tenant, &rig.name, description, forget).await.unwrap();
    assert!(directory.is_empty());
    assert!(stored(&rig).is_empty());
}
