//! Whole policies over whole batches: findings as the host gets them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};

use casbah_activity::Activity;
use casbah_model::detector::Detector as _;
use casbah_model::{Batch, BatchBuilder, Finding, StateKey};
use casbah_plugin::Native;
use proptest::prelude::*;
use serde_json::json;

/// A made-up activity.
#[derive(Clone, Debug)]
struct Made {
    time: i64,
    sequence: u64,
    actor: String,
    app: String,
    kind: &'static str,
    object: String,
}

fn batch(activities: &[Made]) -> Batch {
    let mut builder = BatchBuilder::new();
    for made in activities {
        builder.begin_row();
        builder.integer("sequence", made.sequence as i64);
        builder.integer("time", made.time);
        builder.text("actor", &made.actor);
        builder.text("app", &made.app);
        builder.text("kind", made.kind);
        builder.text("object", &made.object);
    }
    builder.finish()
}

/// Runs batches through a detector as the host does, keeping its state.
fn run(settings: &[String], batches: &[Vec<Made>]) -> Vec<Finding> {
    let detector = Native::<Activity>::configure(settings).unwrap();
    let mut states: BTreeMap<StateKey, Vec<u8>> = BTreeMap::new();
    let mut findings = Vec::new();
    for activities in batches {
        let (keys, outcome) = detector
            .evaluate(&batch(activities), &mut |keys| {
                let distinct: BTreeSet<_> = keys.iter().collect();
                assert_eq!(distinct.len(), keys.len(), "a key is asked for twice");
                keys.iter().map(|key| states.get(key).cloned().unwrap_or_default()).collect()
            })
            .unwrap();
        for (place, value) in outcome.changes {
            states.insert(keys[place as usize].clone(), value);
        }
        findings.extend(outcome.findings);
    }
    findings
}

/// Evidence by (policy, group, start).
type Alerts = BTreeMap<(u32, Vec<(String, String)>, i64), BTreeSet<(i64, u64)>>;

fn joined(findings: &[Finding]) -> Alerts {
    let mut alerts = Alerts::new();
    for finding in findings {
        let evidence =
            alerts.entry((finding.policy, finding.group.clone(), finding.start)).or_default();
        for one in &finding.evidence {
            assert!(evidence.insert((one.time, one.sequence)), "{one:?} comes twice");
            assert!(finding.first <= one.time && one.time <= finding.last);
        }
    }
    alerts
}

const WITHIN: i64 = 60_000;
const QUIET: i64 = 300_000;

fn policies() -> Vec<String> {
    let exports = json!([{"field": "kind", "in": ["export", "download"]}]);
    [
        json!({"when": exports, "quiet": QUIET, "repeat": {"count": 3, "within": "1m", "lateness": "10m"}}),
        json!({"when": exports, "quiet": QUIET, "group": ["actor"], "repeat": {"count": 2, "within": "1m", "by": ["actor", "app"], "distinct": "object", "lateness": "10m"}}),
        json!({"when": [{"field": "kind", "is": "purge"}], "quiet": QUIET, "group": ["actor"]}),
    ]
    .map(|settings| settings.to_string())
    .to_vec()
}

/// The definition, by brute force and without any of the detector's parts.
fn expected(all: &[Made]) -> Alerts {
    let mut alerts = Alerts::new();
    let actor = |made: &Made| vec![("actor".to_owned(), made.actor.clone())];
    let bucket = |time: i64| time.div_euclid(QUIET) * QUIET;
    let counted: Vec<_> = all
        .iter()
        .filter(|made| matches!(made.kind, "export" | "download") && !made.actor.is_empty())
        .collect();
    for instant in &counted {
        let near = |other: &&&Made| {
            instant.time - WITHIN < other.time
                && other.time <= instant.time
                && other.actor == instant.actor
        };
        let by_actor: Vec<_> = counted.iter().filter(near).collect();
        if by_actor.len() >= 3 {
            let evidence = alerts.entry((0, actor(instant), bucket(instant.time))).or_default();
            evidence.extend(by_actor.iter().map(|made| (made.time, made.sequence)));
        }
        if !instant.app.is_empty() && !instant.object.is_empty() {
            let by_app: Vec<_> = by_actor
                .iter()
                .filter(|made| made.app == instant.app && !made.object.is_empty())
                .collect();
            let objects: BTreeSet<_> = by_app.iter().map(|made| &made.object).collect();
            if objects.len() >= 2 {
                let evidence = alerts.entry((1, actor(instant), bucket(instant.time))).or_default();
                evidence.extend(by_app.iter().map(|made| (made.time, made.sequence)));
            }
        }
    }
    for made in all.iter().filter(|made| made.kind == "purge") {
        let evidence = alerts.entry((2, actor(made), bucket(made.time))).or_default();
        evidence.insert((made.time, made.sequence));
    }
    alerts
}

fn made() -> impl Strategy<Value = Vec<Made>> {
    let one = (
        0i64..600_000,
        prop_oneof![Just(""), Just("ana"), Just("bob"), Just("eve")],
        prop_oneof![Just("smartsheet"), Just("entra"), Just("")],
        prop_oneof![Just("export"), Just("download"), Just("view"), Just("purge")],
        prop_oneof![Just("o1"), Just("o2"), Just("")],
    );
    proptest::collection::vec(one, 0..60).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(sequence, (time, actor, app, kind, object))| Made {
                // Coarse times, so that many are the same.
                time: time / 5_000 * 5_000,
                sequence: sequence as u64,
                actor: actor.to_owned(),
                app: app.to_owned(),
                kind,
                object: object.to_owned(),
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Alerts and their evidence are what the definition says, for every order of arrival within
    /// the lateness and every split into batches.
    #[test]
    fn alerts_do_not_depend_on_order_or_batches(
        all in made(),
        shuffled in any::<prop::sample::Selector>(),
        size in 1usize..70,
    ) {
        let mut order: Vec<Made> = Vec::new();
        let mut left = all.clone();
        while !left.is_empty() {
            let place = shuffled.select(0..left.len());
            order.push(left.swap_remove(place));
        }
        let expected = expected(&all);
        for stream in [&all, &order] {
            let batches: Vec<Vec<Made>> = stream.chunks(size).map(<[Made]>::to_vec).collect();
            prop_assert_eq!(joined(&run(&policies(), &batches)), expected.clone());
        }
    }
}

fn export(time: i64, object: &str) -> Made {
    Made {
        time,
        sequence: time as u64,
        actor: "ana@example.com".to_owned(),
        app: "smartsheet".to_owned(),
        kind: if time % 2 == 0 { "export" } else { "download" },
        object: object.to_owned(),
    }
}

/// What a person reads of a window that fired.
#[test]
fn a_repeat_in_words() {
    let settings = json!({
        "when": [{"field": "kind", "in": ["export", "download"]}],
        "repeat": {"count": 3, "within": "5m", "distinct": "object"},
    });
    let made: Vec<Made> = (0..7).map(|n| export(n * 1001, &format!("sheet-{n}"))).collect();
    let findings = run(&[settings.to_string()], &[made]);
    insta::assert_json_snapshot!(findings);
}

/// What a person reads of activities that are findings by themselves.
#[test]
fn single_activities_in_words() {
    let policy = |quiet: i64| {
        json!({"when": [{"field": "kind", "in": ["export", "download"]}], "quiet": quiet})
            .to_string()
    };
    let made = vec![export(1000, "a"), export(2001, "b")];
    let findings = run(&[policy(0), policy(86_400_000)], &[made]);
    insta::assert_json_snapshot!(findings);
}

/// Without a quiet time every activity is an alert of its own, at the same instant too.
#[test]
fn without_quiet_time_every_activity_is_its_own_alert() {
    let settings = json!({"when": [{"field": "kind", "is": "export"}], "quiet": 0}).to_string();
    let mut twin = export(1000, "b");
    twin.sequence = 7;
    let alerts = joined(&run(&[settings], &[vec![export(1000, "a"), twin]]));
    assert_eq!(alerts.len(), 2);
    assert!(alerts.values().all(|evidence| evidence.len() == 1));
}

/// An activity without a time can't stand in a window, but it can match.
#[test]
fn activities_without_a_time() {
    let mut builder = BatchBuilder::new();
    for received in [5000, 6000] {
        builder.begin_row();
        builder.integer("received", received);
        builder.text("actor", "ana");
        builder.text("kind", "export");
    }
    let when = json!([{"field": "kind", "is": "export"}]);
    let settings = [
        json!({"when": when, "repeat": {"count": 2, "within": "1m"}}),
        json!({"when": when, "quiet": 0}),
    ]
    .map(|settings| settings.to_string());
    let detector = Native::<Activity>::configure(&settings).unwrap();
    let (keys, outcome) = detector.evaluate(&builder.finish(), &mut |_| Vec::new()).unwrap();
    assert_eq!(keys, []);
    let starts: Vec<_> =
        outcome.findings.iter().map(|finding| (finding.policy, finding.start)).collect();
    assert_eq!(starts, [(1, 5000), (1, 6000)]);
}

/// One clock that is years ahead does not make everything else of its key too late. One that is a day
/// ahead, and one of which nobody knows when it was fetched, is believed.
#[test]
fn a_time_that_is_yet_to_come_is_not_counted() {
    const DAY: i64 = 86_400_000;
    let now = 20_000 * DAY;
    let exports = |ahead: i64, received: Option<i64>| {
        let mut builder = BatchBuilder::new();
        for time in [now + ahead, now, now + 1000] {
            builder.begin_row();
            builder.integer("sequence", builder.rows() as i64);
            builder.integer("time", time);
            if let Some(received) = received {
                builder.integer("received", received);
            }
            builder.text("actor", "ana");
            builder.text("kind", "export");
        }
        builder.finish()
    };
    let when = json!([{"field": "kind", "is": "export"}]);
    let repeat = json!({"count": 2, "within": "1m", "lateness": "1h"});
    let settings = json!({"when": when, "quiet": 300_000, "repeat": repeat}).to_string();
    let detector = Native::<Activity>::configure(&[settings]).unwrap();
    let evidence = |batch: &Batch| -> Vec<u64> {
        let (_, outcome) =
            detector.evaluate(batch, &mut |keys| vec![Vec::new(); keys.len()]).unwrap();
        let all = outcome.findings.iter().flat_map(|finding| &finding.evidence);
        all.map(|evidence| evidence.sequence).collect()
    };
    assert_eq!(evidence(&exports(365 * DAY, Some(now + 2000))), [2, 3]);
    assert_eq!(evidence(&exports(DAY + 2001, Some(now + 2000))), [2, 3]);
    assert_eq!(evidence(&exports(DAY + 2000, Some(now + 2000))), [0; 0]);
    assert_eq!(evidence(&exports(365 * DAY, None)), [0; 0]);
    assert_eq!(evidence(&exports(2000, Some(now + 2000))), [2, 3, 1]);
}

/// Garbage for a state is refused in words; the batch fails, the host decides.
#[test]
fn a_state_that_can_not_be_read_is_an_error() {
    let settings = json!({"when": [{"field": "kind", "in": ["export", "download"]}], "repeat": {"count": 2, "within": "1m"}}).to_string();
    let detector = Native::<Activity>::configure(&[settings]).unwrap();
    let batch = batch(&[export(1000, "a")]);
    let error = detector.evaluate(&batch, &mut |_| vec![b"garbage".to_vec()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin `activity`: state of policy 0 can't be read: 7 bytes that this version did not write\n\
         hint: rebuild the state by replaying the log"
    );
    let error = detector.evaluate(&batch, &mut |_| Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "plugin `activity`: 1 states were asked for, but 0 came");
}

/// An instance may be used again: what an earlier batch left behind is not seen.
#[test]
fn begin_starts_anew() {
    let settings =
        json!({"when": [{"field": "kind", "in": ["export", "download"]}], "quiet": 0}).to_string();
    let detector = Native::<Activity>::configure(&[settings]).unwrap();
    let first = batch(&[export(1000, "a"), export(2000, "b")]);
    let second = batch(&[export(3000, "c")]);
    let number =
        |batch: &Batch| detector.evaluate(batch, &mut |_| Vec::new()).unwrap().1.findings.len();
    assert_eq!([number(&first), number(&second), number(&first)], [2, 1, 2]);
}

/// Everything but plain counts, in one stream: what a person reads of each.
#[test]
fn windows_in_words() {
    const HOUR: i64 = 3_600_000;
    let is = |kind: &str| json!([{"field": "kind", "is": kind}]);
    let windows = [
        json!({"when": is("download"), "repeat": {"sum": "fields.size", "above": 2000, "within": "1h"}}),
        json!({"when": is("download"), "repeat": {"average": "fields.size", "at-least": 999.5, "count": 2, "within": "1h"}}),
        json!({"when": is("download"), "repeat": {"percentile": {"field": "fields.size", "of": 90}, "above": 1000, "within": "1h"}}),
        json!({"sequence": {"within": "1h", "steps": [{"when": is("share")}, {"name": "a download", "when": is("download")}]}}),
        json!({"sequence": {"within": "1h", "ordered": false, "steps": [{"when": is("download")}, {"when": is("share")}]}}),
        json!({"when": [{"field": "app", "is": "smartsheet"}], "sequence": {"within": "1h", "steps": [
            {"when": is("share")}, {"not": is("unshare")}, {"when": is("download")}, {"name": "a review", "not": [{"field": "action", "contains": "REVIEW"}, {"field": "app", "in": ["a", "b"]}]}]}}),
        json!({"when": is("share"), "absence": {"within": "1h", "expect": is("unshare")}, "severities": [{"severity": "critical", "when": [{"field": "object", "is": "payroll"}]}]}),
        json!({"when": is("share"), "absence": {"within": "1h"}}),
    ]
    .map(|settings| settings.to_string());
    let batch = |activities: &[(i64, &str, &str, Option<&str>)]| {
        let mut builder = BatchBuilder::new();
        for (index, (time, kind, object, size)) in activities.iter().enumerate() {
            builder.begin_row();
            builder.integer("sequence", index as i64);
            builder.integer("time", 1_790_000_000_000 + time);
            builder.text("app", "smartsheet");
            builder.text("actor", "ana");
            builder.text("kind", kind);
            builder.text("object", object);
            if let Some(size) = size {
                builder.begin_nested("fields");
                builder.nested_text("fields", "key", "size");
                builder.nested_text("fields", "value", size);
            }
        }
        builder.finish()
    };
    let batch = batch(&[
        (0, "share", "payroll", None),
        (60_000, "download", "payroll", Some("1500.25")),
        (120_000, "download", "plan", Some("499.7504")),
        (180_000, "download", "plan", Some("much")),
        (240_000, "download", "plan", Some("3")),
        (60 * HOUR, "view", "plan", None),
    ]);
    let detector = Native::<Activity>::configure(&windows).unwrap();
    let (_, outcome) = detector.evaluate(&batch, &mut |keys| vec![Vec::new(); keys.len()]).unwrap();
    let mut told = String::new();
    for finding in &outcome.findings {
        let evidence: Vec<_> = finding.evidence.iter().map(|one| one.sequence).collect();
        told.push_str(&format!("{}: {}\n", finding.policy, finding.summary));
        told.push_str(&format!("    {:?} evidence {evidence:?}\n", finding.severity));
        for (name, value) in &finding.details {
            told.push_str(&format!("    {name}: {value}\n"));
        }
    }
    insta::assert_snapshot!(told);
}
