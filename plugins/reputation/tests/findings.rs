//! Whole policies over whole logs: what is found, what is held back, and what must not matter.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};

use casbah_model::detector::Detector as _;
use casbah_model::{Batch, BatchBuilder, Finding, Severity, StateKey};
use casbah_plugin::{Native, Trial, trial};
use casbah_reputation::Reputation;
use proptest::prelude::*;
use serde_json::json;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Monday, 5 January 2026.
const START: i64 = 1_767_571_200_000;

/// A made-up activity.
#[derive(Clone, Debug)]
struct Made {
    sequence: i64,
    time: i64,
    received: Option<i64>,
    person: String,
    ip: String,
    tags: &'static str,
    category: &'static str,
    kind: &'static str,
    result: &'static str,
    interactive: Option<bool>,
}

fn made(time: i64, person: &str, ip: &str, tags: &'static str) -> Made {
    Made {
        sequence: time,
        time: START + time,
        received: None,
        person: person.to_owned(),
        ip: ip.to_owned(),
        tags,
        category: "",
        kind: "view",
        result: "success",
        interactive: None,
    }
}

fn batch(activities: &[Made]) -> Batch {
    let mut builder = BatchBuilder::new();
    for made in activities {
        builder.begin_row();
        builder.integer("sequence", made.sequence);
        builder.integer("time", made.time);
        if let Some(received) = made.received {
            builder.integer("received", received);
        }
        builder.text("person", &made.person);
        builder.text("actor", &made.person);
        builder.text("app", "netdocuments");
        builder.text("ip", &made.ip);
        builder.text("ip.tags", made.tags);
        builder.text("ip.lists", if made.tags.is_empty() { "" } else { "exits@0123456789ab" });
        builder.text("ip.category", made.category);
        builder.text("kind", made.kind);
        builder.text("result", made.result);
        if let Some(interactive) = made.interactive {
            builder.flag("interactive", interactive);
        }
    }
    builder.finish()
}

type States = BTreeMap<StateKey, Vec<u8>>;

/// Runs batches through the detector as the host does, keeping its state.
fn run(settings: &serde_json::Value, batches: &[&[Made]]) -> (Vec<Finding>, States) {
    let mut trial = Trial::<Reputation>::configure(&[settings.to_string()]).unwrap();
    for activities in batches {
        trial.feed(&batch(activities)).unwrap();
    }
    (trial.findings, trial.states)
}

fn settings() -> serde_json::Value {
    json!({
        "when": [{"field": "app", "exists": true}],
        "tags": {"tor": "high", "anonymous-proxy": "medium", "scanner": "low"},
        "categories": {"risky": "medium"},
        "common": {"users": 3, "days": 4},
        "learn": "0s",
    })
}

/// Evidence by (group, start), and whether all of it is a behavior.
type Alerts = BTreeMap<(Vec<(String, String)>, i64), (BTreeSet<(i64, u64)>, bool)>;

fn joined(findings: &[Finding]) -> Alerts {
    let alerts = trial::alerts(findings).unwrap().into_iter();
    let told = |alert: trial::Alert| (alert.evidence, alert.behavior);
    alerts.map(|((_, group, start), alert)| ((group, start), told(alert))).collect()
}

fn count(activities: &[Made]) -> usize {
    joined(&run(&settings(), &[activities]).0).len()
}

#[test]
fn activities_that_are_found_and_activities_that_never_are() {
    let tor = made(0, "ana@x", "192.0.2.1", "tor");
    assert_eq!(count(std::slice::from_ref(&tor)), 1);
    let with = |change: fn(&mut Made)| {
        let mut made = tor.clone();
        change(&mut made);
        count(&[made])
    };
    assert_eq!(with(|made| made.tags = "hosting,Tor"), 1);
    assert_eq!(with(|made| made.tags = "hosting"), 0);
    assert_eq!(with(|made| made.tags = "tor,relay"), 0, "a relay is trusted");
    assert_eq!(with(|made| made.category = "corporate"), 0, "lists are wrong about our own ranges");
    assert_eq!(with(|made| made.category = "vpn"), 0);
    assert_eq!(with(|made| made.category = "other"), 1);
    assert_eq!(with(|made| (made.tags, made.category) = ("", "risky")), 1);
    assert_eq!(with(|made| made.result = "failure"), 0);
    assert_eq!(with(|made| (made.kind, made.interactive) = ("login", Some(false))), 0);
    assert_eq!(with(|made| (made.kind, made.interactive) = ("login", Some(true))), 1);
    assert_eq!(with(|made| (made.kind, made.interactive) = ("login", None)), 1);
    assert_eq!(with(|made| made.kind = "account-state"), 0, "nobody did it");
    assert_eq!(with(|made| made.person.clear()), 0);
    assert_eq!(with(|made| made.ip.clear()), 0);
    assert_eq!(with(|made| made.received = Some(made.time - 2 * DAY)), 0, "yet to come");
}

#[test]
fn only_logins_where_that_is_asked() {
    let mut settings = settings();
    settings["activities"] = json!("logins");
    let view = made(0, "ana@x", "192.0.2.1", "tor");
    let login = Made { kind: "login", ..made(1, "ana@x", "192.0.2.1", "tor") };
    assert_eq!(run(&settings, &[&[view]]).0.len(), 0);
    assert_eq!(run(&settings, &[&[login]]).0.len(), 1);
}

/// Three people on four days make the address common; what is judged sees only whole days that lie
/// the lateness back.
#[test]
fn what_the_organization_commonly_uses_is_held_back() {
    let mut log = Vec::new();
    for day in 0..10 {
        for person in ["ana@x", "bob@x", "cyd@x"] {
            let second = log.len() as i64;
            log.push(made(
                day * DAY + 9 * HOUR + second * 1000,
                person,
                "192.0.2.1",
                "anonymous-proxy",
            ));
        }
    }
    let days: BTreeSet<i64> =
        run(&settings(), &[&log]).0.iter().map(|f| (f.start - START) / DAY).collect();
    // Days 0 to 3 are complete as of day 5: lateness takes one day more.
    assert_eq!(days, (0..5).collect());

    // Two people are not enough, however long.
    let two: Vec<Made> = log.iter().filter(|made| made.person != "cyd@x").cloned().collect();
    assert_eq!(
        run(&settings(), &[&two]).0.iter().map(|f| f.start).collect::<BTreeSet<_>>().len(),
        10
    );
    // Nor are many people on one day.
    let mut crowd: Vec<Made> =
        (0..20).map(|n| made(n * 1000, &format!("p{n}@x"), "192.0.2.1", "tor")).collect();
    crowd.push(made(6 * DAY, "eve@x", "192.0.2.1", "tor"));
    assert_eq!(joined(&run(&settings(), &[&crowd]).0).len(), 21);
}

#[test]
fn learning_makes_behaviors() {
    let mut settings = settings();
    settings["learn"] = json!("7d");
    let log = [
        made(0, "ana@x", "10.0.0.1", ""),
        made(7 * DAY - HOUR, "ana@x", "192.0.2.1", "tor"),
        made(8 * DAY, "bob@x", "192.0.2.2", "tor"),
    ];
    for batches in [vec![&log[..]], vec![&log[..1], &log[1..2], &log[2..]]] {
        let (findings, _) = run(&settings, &batches);
        assert_eq!(findings.iter().map(|f| f.behavior).collect::<Vec<_>>(), [true, false]);
    }
}

/// News of an account are as old as what they tell of, and end no learning.
#[test]
fn what_casbah_notes_itself_does_not_start_the_clock() {
    let mut settings = settings();
    settings["learn"] = json!("7d");
    let mut news = made(-400 * DAY, "ana@x", "", "");
    news.kind = "account-state";
    let log = [news, made(0, "ana@x", "10.0.0.1", ""), made(DAY, "ana@x", "192.0.2.1", "tor")];
    let (findings, _) = run(&settings, &[&log]);
    assert_eq!(findings.iter().map(|f| f.behavior).collect::<Vec<_>>(), [true]);
}

#[test]
fn findings_explain_themselves() {
    let mut log: Vec<Made> = (0..3)
        .map(|n| {
            made(
                n * HOUR,
                "ana@x",
                ["192.0.2.1", "192.0.2.2"][n as usize % 2],
                ["tor,hosting", "scanner"][n as usize % 2],
            )
        })
        .collect();
    log.push(made(5 * DAY, "bob@x", "192.0.2.1", "tor"));
    let (findings, _) = run(&settings(), &[&log]);
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[0].severity, Some(Severity::High), "the worst of its tags");
    insta::assert_snapshot!(
        findings[0].summary,
        @"Viewed 3 times from 2 addresses, marked as tor, scanner by exits@0123456789ab; nobody was known to use any of them before"
    );
    insta::assert_snapshot!(findings[1].summary, @"bob@x viewed from 192.0.2.1, marked as tor by exits@0123456789ab; 1 person was known to use it before, on 1 day");
    let details: String =
        findings[1].details.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    insta::assert_snapshot!(details);
}

/// A log of some people and addresses within a few weeks.
fn log() -> impl Strategy<Value = Vec<Made>> {
    let one = (0i64..40 * 24, 0usize..5, 0usize..3, 0usize..4);
    proptest::collection::vec(one, 1..60).prop_map(|rows| {
        let mut log: Vec<Made> = rows
            .into_iter()
            .map(|(hour, person, ip, tags)| {
                made(
                    hour * HOUR,
                    ["ana@x", "bob@x", "cyd@x", "dan@x", "eve@x"][person],
                    ["192.0.2.1", "192.0.2.2", "2001:db8::1"][ip],
                    ["tor", "tor", "scanner", ""][tags],
                )
            })
            .collect();
        log.sort_by_key(|made| made.time);
        for (place, made) in log.iter_mut().enumerate() {
            made.sequence = place as i64 + 1;
        }
        log
    })
}

/// The log in another order of arrival, in which nothing is more than `lateness` older than what
/// came before it.
fn shuffled(log: &[Made], delays: &[i64], lateness: i64) -> Vec<Made> {
    let mut order: Vec<(i64, &Made)> = log
        .iter()
        .enumerate()
        .map(|(place, made)| (made.time + delays[place % delays.len()] % lateness, made))
        .collect();
    order.sort_by_key(|(arrival, _)| *arrival);
    order.into_iter().map(|(_, made)| made.clone()).collect()
}

proptest! {
    /// Neither the order of arrival within the lateness nor the cuts between batches change an
    /// alert; cuts don't change a byte of state.
    #[test]
    fn order_and_cuts_do_not_matter(
        log in log(),
        delays in proptest::collection::vec(0i64..DAY, 7),
        cuts in proptest::collection::vec(1usize..9, 1..20),
        learn in proptest::bool::ANY,
    ) {
        let mut settings = settings();
        settings["learn"] = json!(if learn { "7d" } else { "0s" });
        let (findings, states) = run(&settings, &[&log]);
        let other = shuffled(&log, &delays, DAY);
        let (in_other_order, _) = run(&settings, &[&other]);
        prop_assert_eq!(joined(&findings), joined(&in_other_order));
        let mut batches: Vec<&[Made]> = Vec::new();
        let mut rest = &log[..];
        let mut next = cuts.iter().cycle();
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at((*next.next().unwrap()).min(rest.len()));
            batches.push(batch);
            rest = behind;
        }
        let (cut, cut_states) = run(&settings, &batches);
        prop_assert_eq!(joined(&findings), joined(&cut));
        prop_assert_eq!(states, cut_states);
    }

    /// One person alone, whatever the noise, changes nothing for others.
    #[test]
    fn one_person_does_not_hide_another(log in log(), noise in log()) {
        let others: Vec<Made> = log
            .iter()
            .filter(|made| made.person != "eve@x")
            // Two people come to an address at most; with the noise there are three.
            .map(|made| {
                let ip = match made.person.as_str() {
                    "ana@x" | "dan@x" => "192.0.2.1",
                    "bob@x" => "192.0.2.2",
                    _ => "2001:db8::1",
                };
                Made { ip: ip.to_owned(), ..made.clone() }
            })
            .collect();
        let mut settings = settings();
        settings["common"]["users"] = json!(4);
        let mut noisy = others.clone();
        noisy.extend(noise.into_iter().map(|made| Made { person: "eve@x".to_owned(), sequence: made.sequence + 1000, ..made }));
        noisy.sort_by_key(|made| made.time);
        let quiet = joined(&run(&settings, &[&others]).0);
        let mut with_noise = joined(&run(&settings, &[&noisy]).0);
        with_noise.retain(|(group, _), _| group[0].1 != "eve@x");
        prop_assert_eq!(quiet, with_noise);
    }
}

#[test]
fn foreign_state_is_an_error_and_no_panic() {
    let detector = Native::<Reputation>::configure(&[settings().to_string()]).unwrap();
    let error = detector
        .evaluate(&batch(&[made(0, "ana@x", "192.0.2.1", "tor")]), &mut |keys| {
            keys.iter().map(|_| vec![9, 9, 9]).collect()
        })
        .unwrap_err();
    assert!(error.message.contains("hint: rebuild the state"), "{}", error.message);
}
