//! Whole policies over whole logs: what is found, what clears it, and what must not matter.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};

use casbah_lifecycle::Lifecycle;
use casbah_model::detector::Detector as _;
use casbah_model::{Batch, BatchBuilder, Finding, StateKey};
use casbah_plugin::{Native, Trial, trial};
use proptest::prelude::*;
use serde_json::json;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Monday, 5 January 2026.
const START: i64 = 1_767_571_200_000;

/// A made-up row of the log; times are ms after [`START`].
#[derive(Clone, Debug, PartialEq)]
struct Made {
    sequence: i64,
    time: i64,
    person: &'static str,
    /// The account, for news.
    news: Option<&'static str>,
    app: &'static str,
    status: &'static str,
    since: Option<i64>,
}

/// An activity, with what the host said of its person.
fn done(time: i64, status: &'static str, since: Option<i64>) -> Made {
    let app = "netdocuments";
    Made { sequence: time, time, person: "ana@example.com", news: None, app, status, since }
}

/// News of an account.
fn news(time: i64, account: &'static str, status: &'static str, since: Option<i64>) -> Made {
    Made { sequence: time + 1, news: Some(account), app: "entra", ..done(time, status, since) }
}

fn batch(rows: &[Made]) -> Batch {
    let mut builder = BatchBuilder::new();
    for made in rows {
        builder.begin_row();
        builder.integer("sequence", made.sequence);
        builder.integer("time", START + made.time);
        builder.text("person", made.person);
        builder.text("app", made.app);
        builder.text("actor.status", made.status);
        if let Some(since) = made.since {
            builder.integer("actor.since", START + since);
        }
        match made.news {
            Some(account) => {
                builder.text("kind", "account-state");
                builder.text("actor.type", "system");
                builder.text("object", account);
            }
            None => {
                builder.text("kind", "download");
                builder.text("actor", made.person);
                builder.text("object.kind", "document");
                builder.text("object.name", "Prices");
            }
        }
    }
    builder.finish()
}

type States = BTreeMap<StateKey, Vec<u8>>;

/// Runs batches through the detector as the host does, keeping its state.
fn run(settings: &serde_json::Value, batches: &[&[Made]]) -> (Vec<Finding>, States) {
    let mut trial = Trial::<Lifecycle>::configure(&[settings.to_string()]).unwrap();
    for rows in batches {
        trial.feed(&batch(rows)).unwrap();
    }
    (trial.findings, trial.states)
}

fn settings() -> serde_json::Value {
    json!({"when": [{"field": "app", "exists": true}]})
}

/// Evidence by (group, start).
type Alerts = BTreeMap<(Vec<(String, String)>, i64), BTreeSet<(i64, u64)>>;

fn joined(findings: &[Finding]) -> Alerts {
    let alerts = trial::alerts(findings).unwrap().into_iter();
    alerts.map(|((_, group, start), alert)| ((group, start), alert.evidence)).collect()
}

/// Times of the activities that are found, in hours after the start.
fn hours(rows: &[Made]) -> Vec<i64> {
    let whole = joined(&run(&settings(), &[rows]).0);
    let single: Vec<&[Made]> = rows.iter().map(std::slice::from_ref).collect();
    assert_eq!(whole, joined(&run(&settings(), &single).0), "cut into single rows");
    whole.values().flatten().map(|(time, _)| (time - START) / HOUR).collect()
}

/// Each row: what came, in that order, and the hours of the activities that are found.
#[test]
fn what_is_found_and_what_is_not() {
    let h = |hour: i64| hour * HOUR;
    let some = |hour: i64| Some(hour * HOUR);
    let rows: Vec<(&str, Vec<Made>, Vec<i64>)> = vec![
        ("nobody is gone", vec![news(0, "a", "active", None), done(h(5), "active", None)], vec![]),
        ("the host's word is enough", vec![done(h(5), "disabled", some(2))], vec![5]),
        ("not within the grace", vec![done(h(5), "disabled", some(4))], vec![]),
        ("just behind it", vec![done(h(5), "disabled", Some(4 * HOUR - 1))], vec![5]),
        ("a state without a time says nothing of when", vec![done(h(5), "disabled", None)], vec![]),
        (
            "other states are no cause",
            vec![done(h(5), "leaving", some(2)), done(h(6), "pending", some(2))],
            vec![],
        ),
        (
            "the news are enough",
            vec![
                news(0, "a", "active", None),
                news(h(2), "a", "deleted", some(2)),
                done(h(5), "", None),
            ],
            vec![5],
        ),
        ("before the end", vec![done(h(1), "", None), news(h(2), "a", "deleted", some(2))], vec![]),
        (
            "news that come late",
            vec![
                done(h(1), "active", None),
                done(h(5), "active", None),
                done(h(8), "active", None),
                news(h(2), "a", "deleted", some(2)),
            ],
            vec![5, 8],
        ),
        (
            "each is found once",
            vec![
                done(h(5), "active", None),
                news(h(2), "a", "deleted", some(2)),
                news(h(3), "a", "disabled", some(1)),
                done(h(6), "deleted", some(2)),
            ],
            vec![5, 6],
        ),
        (
            "restored",
            vec![
                news(h(2), "a", "deleted", some(2)),
                done(h(5), "deleted", some(2)),
                news(h(7), "a", "active", some(7)),
                done(h(9), "active", some(7)),
            ],
            vec![5],
        ),
        (
            "the host knows that it is restored",
            vec![news(h(2), "a", "deleted", some(2)), done(h(9), "active", some(7))],
            vec![],
        ),
        (
            "restored, and gone again, which comes late",
            vec![done(h(9), "active", some(7)), news(h(8), "a", "disabled", some(7))],
            vec![],
        ),
        (
            "restored before the late end",
            vec![done(h(12), "active", some(7)), news(h(10), "a", "disabled", some(10))],
            vec![12],
        ),
        (
            "made anew",
            vec![
                news(h(2), "a", "deleted", some(2)),
                news(h(4), "b", "active", some(4)),
                done(h(5), "active", some(4)),
                done(h(6), "deleted", some(2)),
            ],
            vec![],
        ),
        (
            "left, but still enabled",
            vec![
                news(0, "a", "active", None),
                news(h(2), "f", "left", some(2)),
                done(h(5), "left", some(2)),
            ],
            vec![5],
        ),
        (
            "one account of two",
            vec![
                news(0, "a", "active", None),
                news(h(2), "b", "disabled", some(2)),
                done(h(5), "active", None),
            ],
            vec![],
        ),
        (
            "a state that nobody knows",
            vec![news(h(2), "a", "vanished", some(2)), done(h(5), "", None)],
            vec![],
        ),
        (
            "longer ago than is remembered",
            vec![
                done(h(5), "active", None),
                done(h(5) + 15 * DAY, "active", None),
                news(h(2), "a", "deleted", some(2)),
            ],
            vec![5 + 15 * 24],
        ),
    ];
    for (name, rows, expected) in rows {
        assert_eq!(hours(&rows), expected, "{name}");
    }
}

#[test]
fn only_what_is_meant_and_done_by_somebody() {
    let mut settings = settings();
    settings["when"] = json!([{"field": "kind", "is": "export"}]);
    let rows = [news(0, "a", "deleted", Some(0)), done(5 * HOUR, "deleted", Some(0))];
    assert_eq!(run(&settings, &[&rows]).0.len(), 0);
    // News are read even where they are not meant, and are no activity where they are.
    settings["when"] = json!([{"field": "kind", "in": ["account-state", "download"]}]);
    assert_eq!(run(&settings, &[&rows]).0.len(), 1);
}

#[test]
fn causes_and_grace_are_settings() {
    let mut settings = settings();
    settings["causes"] = json!("leaving");
    settings["grace"] = json!("0s");
    let rows = [
        done(HOUR, "leaving", Some(HOUR)),
        done(HOUR + 1, "leaving", Some(HOUR)),
        done(2 * HOUR, "deleted", Some(HOUR)),
    ];
    let found = joined(&run(&settings, &[&rows]).0);
    assert_eq!(found.values().flatten().count(), 1);
}

#[test]
fn findings_explain_themselves() {
    let say = |rows: &[Made]| {
        let findings = run(&settings(), &[rows]).0;
        let last = findings.last().unwrap();
        let details = last.details.iter().map(|(name, value)| format!("\n{name}: {value}"));
        format!("{}{}", last.summary, details.collect::<String>())
    };
    let gone = news(2 * HOUR, "a", "disabled", Some(2 * HOUR));
    let texts = [
        say(&[done(3 * DAY, "disabled", Some(2 * HOUR))]),
        say(&[
            gone.clone(),
            done(5 * HOUR, "disabled", Some(2 * HOUR)),
            done(9 * HOUR, "disabled", Some(2 * HOUR)),
        ]),
        say(&[done(5 * HOUR, "active", None), gone]),
        say(&[done(5 * HOUR, "left", Some(HOUR))]),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

/// A busy account under a policy with a short quiet time must not fill the state.
#[test]
fn short_quiet_windows_keep_the_state_small() {
    let mut settings = settings();
    settings["quiet"] = json!(1000);
    let rows: Vec<Made> = (0..3000).map(|minute| done(minute * 60_000, "active", None)).collect();
    let (_, states) = run(&settings, &[&rows]);
    let bytes: Vec<usize> = states.values().map(Vec::len).collect();
    assert!(bytes.len() == 1 && bytes[0] < 1000, "{bytes:?}");
}

/// Late news find activities of an earlier batch, which can only be named.
#[test]
fn activities_of_earlier_batches_are_named() {
    let rows = [done(5 * HOUR, "active", None), news(2 * HOUR, "a", "deleted", Some(2 * HOUR))];
    let (findings, states) = run(&settings(), &[&rows[..1], &rows[1..]]);
    insta::assert_snapshot!(
        findings[0].summary,
        @"ana@example.com was active 3 hours after the account was deleted (2026-01-05T02:00:00Z, says entra); the news came later"
    );
    assert_eq!(findings[0].group, [("person".to_owned(), "ana@example.com".to_owned())]);
    assert_eq!(states.len(), 1);
}

/// Logs of two people: activities with whatever the host said, and news of one account each.
fn log(restored: bool) -> impl Strategy<Value = Vec<Made>> {
    let states: &[&str] = if restored {
        &["active", "deleted", "disabled", "left"]
    } else {
        &["deleted", "disabled", "left"]
    };
    let person = proptest::sample::select(vec!["ana@example.com", "bob@example.com"]);
    let said = proptest::option::weighted(0.2, 0i64..20 * 24);
    let activity = (0i64..20 * 24 * 60, person.clone(), said).prop_map(|(minute, person, said)| {
        let since = said.map(|hour| hour * HOUR);
        let status = if since.is_some() { "deleted" } else { "active" };
        Made { person, ..done(minute * 60_000, status, since) }
    });
    let state = proptest::sample::select(states.to_vec());
    let spell = (0i64..20 * 24, person, state).prop_map(|(hour, person, state)| Made {
        person,
        ..news(hour * HOUR, person, state, Some(hour * HOUR))
    });
    let both = (proptest::collection::vec(activity, 1..40), proptest::collection::vec(spell, 0..6));
    both.prop_map(|(mut rows, news)| {
        rows.extend(news);
        rows.sort_by_key(|made| made.time);
        for (place, made) in rows.iter_mut().enumerate() {
            made.sequence = place as i64 + 1;
        }
        rows
    })
}

/// The log in another order of arrival, in which nothing is more than a day older than what came
/// before it; news of an account that is open come at once.
fn shuffled(log: &[Made], delays: &[i64]) -> Vec<Made> {
    let mut order: Vec<(i64, &Made)> = log
        .iter()
        .enumerate()
        .map(|(place, made)| {
            let at_once = made.news.is_some() && made.status == "active";
            let delay = if at_once { -DAY } else { delays[place % delays.len()] % DAY };
            (made.time + delay, made)
        })
        .collect();
    order.sort_by_key(|(arrival, _)| *arrival);
    order.into_iter().map(|(_, made)| made.clone()).collect()
}

/// Who is found, from everything at once.
fn oracle(log: &[Made]) -> BTreeSet<(i64, u64)> {
    let mut found = BTreeSet::new();
    for one in log.iter().filter(|made| made.news.is_none()) {
        let mut spells: Vec<(i64, bool, &str)> = log
            .iter()
            .filter(|made| {
                made.news.is_some() && made.person == one.person && made.time <= one.time
            })
            .map(|made| (made.time, made.status != "active", made.status))
            .collect();
        // At one time, the state that is further gone counts; active is the least.
        spells.sort_by_key(|(time, ends, _)| (*time, *ends));
        let open = spells.iter().rposition(|(_, ends, _)| !ends);
        let gone = spells.get(open.map_or(0, |open| open + 1)).map(|(time, ..)| *time);
        let opened = spells.iter().filter(|(_, ends, _)| !ends).map(|(time, ..)| *time).max();
        let by_host = one.since.is_some_and(|since| {
            one.time > since + HOUR && opened.is_none_or(|opened| opened <= since)
        });
        if by_host || gone.is_some_and(|gone| one.time > gone + HOUR) {
            found.insert((START + one.time, one.sequence as u64));
        }
    }
    found
}

proptest! {
    /// What is found is what a plain look at the whole log finds, however the rows came in.
    #[test]
    fn any_order_within_the_lateness_finds_the_same(
        log in log(true),
        delays in proptest::collection::vec(0i64..DAY, 7),
    ) {
        let found = joined(&run(&settings(), &[&shuffled(&log, &delays)]).0);
        prop_assert_eq!(found.values().flatten().copied().collect::<BTreeSet<_>>(), oracle(&log));
    }

    /// Without restoring, order does not matter at all.
    #[test]
    fn any_order_finds_the_same(
        log in log(false),
        delays in proptest::collection::vec(0i64..DAY, 7),
    ) {
        let found = joined(&run(&settings(), &[&log]).0);
        prop_assert_eq!(&found, &joined(&run(&settings(), &[&shuffled(&log, &delays)]).0));
        prop_assert_eq!(found.values().flatten().copied().collect::<BTreeSet<_>>(), oracle(&log));
    }

    /// Wherever batches end, alerts and state are the same to the byte, even where news come in an
    /// order that can't be helped.
    #[test]
    fn cuts_do_not_matter(
        log in log(true),
        seed in any::<u64>(),
        cuts in proptest::collection::vec(1usize..9, 1..20),
    ) {
        let mut mixed = log;
        mixed.sort_by_key(|made| (made.sequence as u64).wrapping_mul(seed | 1));
        let (findings, states) = run(&settings(), &[&mixed]);
        let mut batches: Vec<&[Made]> = Vec::new();
        let mut rest = &mixed[..];
        let mut next = cuts.iter().cycle();
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at((*next.next().unwrap()).min(rest.len()));
            batches.push(batch);
            rest = behind;
        }
        let (cut, cut_states) = run(&settings(), &batches);
        prop_assert_eq!(joined(&findings), joined(&cut));
        prop_assert_eq!(states, cut_states);
    }

    /// What one person does, and what becomes of it, is nothing to another.
    #[test]
    fn people_are_judged_apart(log in log(true)) {
        let ana: Vec<Made> = log.iter().filter(|made| made.person == "ana@example.com").cloned().collect();
        let mut all = joined(&run(&settings(), &[&log]).0);
        all.retain(|(group, _), _| group[0].1 == "ana@example.com");
        prop_assert_eq!(all, joined(&run(&settings(), &[&ana]).0));
    }
}

#[test]
fn foreign_state_is_an_error_and_no_panic() {
    let detector = Native::<Lifecycle>::configure(&[settings().to_string()]).unwrap();
    let error = detector
        .evaluate(&batch(&[done(0, "active", None)]), &mut |keys| {
            keys.iter().map(|_| vec![9, 9, 9]).collect()
        })
        .unwrap_err();
    assert!(error.message.contains("hint: rebuild the state"), "{}", error.message);
}
