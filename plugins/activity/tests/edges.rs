//! The edges of sequences, absence and quantities: equal times, boundaries, activities that are several
//! things, what is missing, and clocks that are wrong. Random streams are tried beside the code.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};

use casbah_activity::Activity;
use casbah_model::detector::Detector as _;
use casbah_model::{Batch, BatchBuilder, Finding, StateKey};
use casbah_plugin::Native;
use serde_json::{Value, json};

/// An activity: seconds, what it can be, who.
type Made<'a> = (i64, &'a str, &'a str);
/// A name, what the policy says, activities, and which of them are evidence.
type Case<'a, S, M> = (&'a str, S, &'a [M], &'a [u64]);

fn batch(first: usize, activities: &[Made<'_>], received: impl Fn(i64) -> Option<i64>) -> Batch {
    let mut builder = BatchBuilder::new();
    for (index, (second, roles, actor)) in activities.iter().enumerate() {
        builder.begin_row();
        builder.integer("sequence", (first + index) as i64);
        builder.integer("time", second * 1000);
        if let Some(received) = received(second * 1000) {
            builder.integer("received", received);
        }
        builder.text("action", roles);
        builder.text("actor", actor);
        builder.text("recipient", actor);
    }
    builder.finish()
}

/// Feeds batches, keeping state, and returns what was found by each.
fn feed(settings: &Value, batches: &[Batch]) -> Vec<Vec<Finding>> {
    let detector = Native::<Activity>::configure(&[settings.to_string()]).unwrap();
    let mut states: BTreeMap<StateKey, Vec<u8>> = BTreeMap::new();
    let mut found = Vec::new();
    for batch in batches {
        let (keys, outcome) = detector
            .evaluate(batch, &mut |keys| {
                keys.iter().map(|key| states.get(key).cloned().unwrap_or_default()).collect()
            })
            .unwrap();
        for (place, value) in outcome.changes {
            states.insert(keys[place as usize].clone(), value);
        }
        found.push(outcome.findings);
    }
    found
}

/// Places of all activities that are evidence of anything, everything decided.
fn evidence(settings: &Value, activities: &[Made<'_>]) -> BTreeSet<u64> {
    let late: Made<'_> = (100_000_000, "", "nobody");
    let batches = [batch(0, activities, |_| None), batch(activities.len(), &[late], |_| None)];
    let findings = feed(settings, &batches).concat();
    findings.iter().flat_map(|finding| &finding.evidence).map(|one| one.sequence).collect()
}

fn has(role: &str) -> Value {
    json!([{"field": "action", "has": role}])
}

fn steps(list: &[&str]) -> Value {
    let step = |step: &&str| match step.strip_prefix('-') {
        Some(not) => json!({"not": has(not)}),
        None => json!({"when": has(step)}),
    };
    let steps: Vec<_> = list.iter().map(step).collect();
    json!({"sequence": {"within": "10s", "lateness": "1m", "steps": steps}})
}

#[test]
fn sequences_at_their_edges() {
    // Steps, activities of one person as (second, what it can be), and which of them are evidence.
    let cases: &[Case<'_, &[&str], (i64, &str)>] = &[
        ("in order", &["A", "B"], &[(0, "A"), (5, "B")], &[0, 1]),
        ("in the wrong order", &["A", "B"], &[(0, "B"), (5, "A")], &[]),
        ("a moment before the end", &["A", "B"], &[(0, "A"), (9, "B")], &[0, 1]),
        ("exactly the time apart", &["A", "B"], &[(0, "A"), (10, "B")], &[]),
        ("at the same time", &["A", "B"], &[(3, "B"), (3, "A")], &[0, 1]),
        ("one that is both", &["A", "B"], &[(3, "A,B")], &[]),
        ("one that is both, and another", &["A", "B"], &[(3, "A,B"), (4, "B")], &[0, 1]),
        (
            "one that is both, and one of the same time",
            &["A", "B"],
            &[(3, "A,B"), (3, "A")],
            &[0, 1],
        ),
        ("the same step twice", &["A", "A"], &[(1, "A")], &[]),
        ("the same step twice, two of them", &["A", "A"], &[(1, "A"), (1, "A")], &[0, 1]),
        ("three at the same time", &["A", "B", "A"], &[(1, "A,B"), (1, "A")], &[]),
        (
            "three of three at the same time",
            &["A", "B", "A"],
            &[(1, "A,B"), (1, "A"), (1, "A")],
            &[0, 1, 2],
        ),
        ("a beginning that is too old", &["A", "B"], &[(0, "A"), (4, "A"), (12, "B")], &[1, 2]),
        ("broken off", &["A", "-X", "B"], &[(0, "A"), (2, "X"), (5, "B")], &[]),
        (
            "begun again behind the break",
            &["A", "-X", "B"],
            &[(0, "A"), (2, "X"), (3, "A"), (5, "B")],
            &[2, 3],
        ),
        (
            "something else before and behind",
            &["A", "-X", "B"],
            &[(0, "X"), (1, "A"), (5, "B"), (6, "X")],
            &[1, 2],
        ),
        (
            "broken off at the time of a step",
            &["A", "-X", "B"],
            &[(0, "A"), (5, "X"), (5, "B")],
            &[],
        ),
        ("a step that could break it", &["A", "-X", "B"], &[(0, "A"), (5, "B,X")], &[0, 1]),
        (
            "a step that breaks what goes on",
            &["A", "-X", "B"],
            &[(0, "A"), (5, "B,X"), (6, "B")],
            &[0, 1],
        ),
        ("nothing behind", &["A", "B", "-X"], &[(0, "A"), (5, "B")], &[0, 1]),
        ("something behind", &["A", "B", "-X"], &[(0, "A"), (5, "B"), (9, "X")], &[]),
        ("something behind the span", &["A", "B", "-X"], &[(0, "A"), (5, "B"), (10, "X")], &[0, 1]),
        (
            "the later beginning waits longer",
            &["A", "B", "-X"],
            &[(0, "A"), (3, "A"), (5, "B"), (11, "X")],
            &[],
        ),
        ("one step, nothing behind", &["A", "-X"], &[(0, "A"), (10, "X")], &[0]),
        (
            "repeated activities",
            &["A", "B"],
            &[(0, "A"), (0, "A"), (1, "B"), (1, "B")],
            &[0, 1, 2, 3],
        ),
    ];
    for (name, list, made, expected) in cases {
        let made: Vec<Made<'_>> =
            made.iter().map(|(second, roles)| (*second, *roles, "ana")).collect();
        let found: Vec<u64> = evidence(&steps(list), &made).into_iter().collect();
        assert_eq!(found, *expected, "{name}");
    }
}

/// People are told apart, and those nobody knows are left out.
#[test]
fn sequences_are_of_one_key() {
    let made = [(0, "A", "ana"), (1, "B", "bob"), (2, "A", ""), (3, "B", ""), (4, "B", "ana")];
    assert_eq!(evidence(&steps(&["A", "B"]), &made), BTreeSet::from([0, 4]));
    // By a field of its own, the second step belongs to whom it happens.
    let mut settings = steps(&["A", "B"]);
    settings["sequence"]["steps"][1]["by"] = json!("recipient");
    assert_eq!(evidence(&settings, &made), BTreeSet::from([0, 4]));
}

#[test]
fn absence_at_its_edges() {
    let absence = |expect: Option<&str>| {
        let mut absence = json!({"within": "10s", "lateness": "1m"});
        if let Some(expect) = expect {
            absence["expect"] = has(expect);
        }
        json!({"when": has("A"), "absence": absence})
    };
    let cases: &[Case<'_, Option<&str>, Made<'_>>] = &[
        ("nothing follows", Some("X"), &[(0, "A", "ana")], &[0]),
        ("it follows", Some("X"), &[(0, "A", "ana"), (9, "X", "ana")], &[]),
        ("it comes too late", Some("X"), &[(0, "A", "ana"), (10, "X", "ana")], &[0]),
        ("it came before", Some("X"), &[(0, "X", "ana"), (1, "A", "ana")], &[1]),
        ("at the same time", Some("X"), &[(0, "X", "ana"), (0, "A", "ana")], &[]),
        ("it is itself what is expected", Some("X"), &[(0, "A,X", "ana")], &[0]),
        ("somebody else", Some("X"), &[(0, "A", "ana"), (1, "X", "bob")], &[0]),
        ("it goes on", None, &[(0, "A", "ana"), (9, "A", "ana"), (18, "A", "ana")], &[2]),
        ("twice at the same time", None, &[(0, "A", "ana"), (0, "A", "ana")], &[0, 1]),
    ];
    for (name, expect, made, expected) in cases {
        let found: Vec<u64> = evidence(&absence(*expect), made).into_iter().collect();
        assert_eq!(found, *expected, "{name}");
    }
}

/// What is missing is found when time has passed it by the lateness, by whatever activity says so.
#[test]
fn what_is_missing_is_found_in_time() {
    let settings = json!({"when": has("A"), "absence": {"within": "10s", "lateness": "5s"}});
    let one = |second, roles, place| batch(place, &[(second, roles, "ana")], |_| None);
    let found = feed(&settings, &[one(0, "A", 0), one(14, "", 1), one(15, "", 2), one(99, "", 3)]);
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1, 0]);
    // What comes later than that is counted nowhere; what comes just in time is.
    for (second, number) in [(4, 1), (5, 0)] {
        let late = [one(0, "A", 0), one(10, "", 1), one(second, "A", 2), one(15, "", 3)];
        assert_eq!(feed(&settings, &late).concat().len(), number, "{second}");
    }
}

/// A clock that is ahead by hours decides nothing before the time at which it was read.
#[test]
fn a_clock_that_is_ahead_decides_nothing_early() {
    const NOW: i64 = 1_800_000_000;
    let settings = json!({"when": has("A"), "absence": {"within": "10s", "lateness": "5s"}});
    let made = [(NOW, "A", "ana"), (NOW + 36_000, "", "bob"), (NOW + 9, "A", "ana")];
    let batches = [batch(0, &made, |_| Some((NOW + 12) * 1000))];
    assert_eq!(feed(&settings, &batches).concat(), []);
    let more = [batches[0].clone(), batch(3, &[(NOW + 24, "", "bob")], Some)];
    let found = feed(&settings, &more);
    let evidence: Vec<_> =
        found[1].iter().flat_map(|one| &one.evidence).map(|e| e.sequence).collect();
    assert_eq!(evidence, [2]);
}

/// A flood of things to wait for is decided early, and says so.
#[test]
fn too_much_to_wait_for_is_decided_early() {
    let settings = json!({"when": has("A"), "quiet": 0, "absence": {"within": "1h"}});
    let names: Vec<String> = (0..5000).map(|number| format!("user{number}")).collect();
    let made: Vec<Made<'_>> = names
        .iter()
        .enumerate()
        .map(|(number, name)| (number as i64, "A", name.as_str()))
        .collect();
    let found = feed(
        &settings,
        &[batch(0, &made, |_| None), batch(5000, &[(10_000_000, "", "x")], |_| None)],
    );
    assert_eq!([found[0].len(), found[1].len()], [5000 - 4096, 4096]);
    let early = |finding: &Finding| finding.details.iter().any(|(name, _)| name == "early");
    assert!(found[0].iter().all(early) && !found[1].iter().any(early));
}

/// Extreme times and quantities neither overflow nor loop, and a key that is busy beyond measure takes
/// a bounded place and time.
#[test]
fn extremes_are_survived() {
    let quantity =
        json!({"when": has("A"), "repeat": {"sum": "fields.n", "above": 9e15, "within": "90d"}});
    let all = [
        steps(&["A", "B"]),
        steps(&["A", "-X", "B", "-X"]),
        steps(&["A", "-X"]),
        json!({"when": has("A"), "absence": {"within": "1d", "lateness": "90d"}}),
        json!({"when": has("A"), "quiet": 7_776_000_000_i64, "repeat": {"average": "amount", "at-least": -9e15, "within": "90d", "lateness": "90d"}}),
        quantity,
    ];
    for settings in &all {
        let mut settings = settings.clone();
        settings["quiet"] = json!(7_776_000_000_i64);
        let mut batches = Vec::new();
        for (place, time) in [0, i64::MAX, i64::MIN + 1, -1, i64::MAX - 1].into_iter().enumerate() {
            let mut builder = BatchBuilder::new();
            for roles in ["A", "B", "X"] {
                builder.begin_row();
                builder.integer("sequence", (place * 3 + builder.rows()) as i64);
                builder.integer("time", time);
                builder.integer("amount", if place % 2 == 0 { i64::MAX } else { i64::MIN + 1 });
                builder.text("action", roles);
                builder.text("actor", "ana");
                builder.begin_nested("fields");
                builder.nested_text("fields", "key", "n");
                builder.nested_text("fields", "value", "1e300");
            }
            batches.push(builder.finish());
        }
        feed(&settings, &batches);
    }
    let busy = steps(&["A", "B", "A", "C", "B", "-X"]);
    let roles = ["A", "B", "C", "A,B", "B,C", "A,B,C", "X", "A,X"];
    let made: Vec<Made<'_>> =
        (0..10_000).map(|n| (n / 40, roles[(n * 7 % 8) as usize], "ana")).collect();
    let batches: Vec<Batch> =
        made.chunks(2500).enumerate().map(|(n, made)| batch(n * 2500, made, |_| None)).collect();
    feed(&busy, &batches);
}
