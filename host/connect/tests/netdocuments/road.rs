//! The whole way against the simulated NetDocuments: whatever goes wrong, the log in the end is what
//! happened, to the multiset; and what is to be concealed is nowhere.

use std::sync::Arc;
use std::time::Duration;

use casbah_connect::connection::State;
use casbah_connect::fetch::Ended;
use casbah_connect::stop;
use netdocuments_sim::{Config, Form, Live, Log, Shape, World};
use serde_json::json;

use crate::kit::{Kit, config, plan};

const MINUTE: i64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_fetched_once() {
    let kit = Kit::new(config(4_000));
    kit.connect().await;
    let fetched = kit.fetch().await;
    assert_eq!((fetched.ended, fetched.report.state), (Ended::CaughtUp, State::Ok));
    kit.compare("once");
    let expected = kit.expected();
    let repeats = expected.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(repeats > 100, "{repeats} true repeats");
    // Again: what is asked for twice is stored once.
    kit.fetch().await;
    kit.compare("twice");
    let company = kit.sim.world().company();
    let guests = company.users.iter().filter(|user| !user.internal());
    let guests: Vec<String> = guests.map(|user| user.email.to_lowercase()).collect();
    kit.each_block(|batch, _| {
        for row in 0..batch.len() {
            let outside = guests.contains(&batch.text("actor", row).to_owned());
            assert_eq!(batch.integer("actor.external", row), Some(i64::from(outside)));
        }
    });
}

/// Every fault that passes, one after the other and then all together.
#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_and_double_nothing() {
    let faults = [
        "rate-limited=0.1",
        "rate-limited-retry-after=0.1:30",
        "unavailable=0.2",
        "internal=0.2",
        "token-expired=0.2",
        "busy-504=1:150",
        "disorder=0.7",
        "wide=0.5:45",
        "window-ignored=0.1",
        "wrappings=0.6",
        "xml=0.5",
        "no-content=0.5",
        "slow-body=0.1:30",
        "cut-body=0.2",
        "reset=0.1",
        "html-200=0.1",
        "token-busy=0.3",
        "token-html=0.2",
        "token-rotated=0.3",
    ];
    // Tokens outlive such a fetch: without refusals none is refreshed, and nothing can go wrong with it.
    let alone = |fault: &'static str| match fault.split_once('=') {
        Some(("token-busy" | "token-html" | "token-rotated", _)) => {
            vec![fault, "token-expired=0.5"]
        }
        _ => vec![fault],
    };
    let mut rounds: Vec<Vec<&str>> = faults.iter().map(|fault| alone(fault)).collect();
    rounds.push(faults.to_vec());
    let world = config(1_500).world;
    for round in rounds {
        let kit = Kit::new(Config::new(world.clone()));
        kit.connect().await;
        for fault in &round {
            kit.sim.set_fault(fault).unwrap();
        }
        let total = world.len();
        // With everything at once, an answer comes through only now and then, and a window that
        // became small enough is forgotten with a fetch that ends: it takes 100 to 800 of them.
        for _ in 0..3_000 {
            let fetched = kit.fetch().await;
            if fetched.ended == Ended::CaughtUp && kit.logged().len() == total {
                break;
            }
            // A minute has to pass between forced refreshes; here it need not.
            kit.connections.forget(&kit.tenant, &"acme".parse().unwrap()).await;
        }
        // Three setbacks in a row, and activities no longer wait for accounts.
        kit.compare_acts(&format!("{round:?}"));
        let happened = kit.sim.counters().faults;
        let name = round[0].split('=').next().unwrap();
        assert!(happened.contains_key(name), "{name} of {round:?} never happened");
        println!("{round:?}: {happened:?}");
    }
}

/// Activities appear while casbah looks, some of them minutes late; tokens go idle in between.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_not_missed() {
    let mut plan = plan(4_000, 5 * 60 * MINUTE);
    plan.company.late = 0.3;
    let world = Arc::new(World::new(&plan));
    let kit = Kit::new(Config { live: Live::Clock, ..Config::new(world) });
    kit.connect().await;
    let mut before = 0;
    for (number, minutes) in
        [0, 5, 5, 17, 3, 50, 11, 60, 5, 29, 70, 45, 5, 5].into_iter().enumerate()
    {
        kit.advance(minutes * MINUTE);
        let fetched = kit.fetch().await;
        assert_eq!(fetched.ended, Ended::CaughtUp, "round {number}");
        let now = kit.logged().len();
        assert!(now >= before);
        before = now;
    }
    kit.compare("late");
}

/// Killed again and again, at any moment, under faults.
#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_and_double_nothing() {
    let mut kit = Kit::new(config(4_000));
    kit.connect().await;
    for fault in ["busy-504=1:60", "cut-body=0.1", "disorder=0.5"] {
        kit.sim.set_fault(fault).unwrap();
    }
    let mut partial = 0;
    for round in 0..12_u64 {
        let (handle, _) = stop();
        let killer = handle.clone();
        let kill = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(15 + 23 * round)).await;
            killer.stop();
        });
        kit.fetch_until(&handle).await;
        kill.await.unwrap();
        let count = kit.logged().len();
        partial += usize::from(count > 0 && count < kit.sim.world().len());
        kit = kit.reopened();
    }
    kit.sim.clear_faults();
    kit.fetch().await;
    kit.compare("after kills");
    println!("{partial} kills in the middle");
    assert!(partial > 0, "no kill fell into the fetch");
}

/// The app answers about something else: that is told, and nothing is taken for whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_another_window_is_refused() {
    let kit = Kit::new(config(3_000));
    kit.connect().await;
    kit.sim.set_fault("window-ignored=1").unwrap();
    let fetched = kit.fetch().await;
    assert_ne!(fetched.report.state, State::Ok, "{fetched:?}");
    assert!(fetched.report.reason.contains("was asked for"), "{}", fetched.report.reason);
    kit.sim.clear_faults();
    kit.fetch().await;
    kit.compare("afterwards");
}

/// With names and profile hashed, neither an activity nor a raw record says them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_concealed_is_stored_nowhere() {
    let kit = Kit::new(config(3_000));
    let mut settings = kit.settings();
    settings["names"] = json!("hash");
    settings["profile"] = json!("drop");
    let grant = kit.person().await;
    let report = kit.establish(grant, settings).await.report;
    assert_eq!(report.connection.settings["hash-key"], json!({"sealed": true}), "made by itself");
    kit.fetch().await;
    kit.compare("hashed");
    let mut texts = String::new();
    let mut raw = 0;
    kit.each_block(|batch, records| {
        assert!(batch.column("raw").is_none());
        texts.push_str(batch.texts.bytes());
        assert_eq!(records.len(), batch.len());
        for row in 0..batch.len() {
            let record = std::str::from_utf8(records.get(row).unwrap()).unwrap();
            assert!(record.starts_with("{\"activity\":{"), "{record}");
            texts.push_str(record);
            raw += 1;
        }
    });
    assert_eq!(raw, kit.sim.world().len());
    let (mut all, world) = (String::new(), kit.sim.world());
    for place in world.all(Log::Consolidated) {
        world.write(&mut all, place, Form::Json, Shape::Array);
    }
    for secret in ["Engagement letter", "Term sheet", "Harbour", "Rechnung", "Advisory", "PLEAD"] {
        assert!(all.contains(secret), "the app says `{secret}`");
        assert!(!texts.contains(secret), "`{secret}` is stored");
    }
}
