//! Whole policies over whole batches: findings as the host gets them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};

use casbah_model::{Batch, BatchBuilder, Finding, StateKey};
use casbah_plugin::{Trial, trial};
use casbah_volume::Volume;
use proptest::prelude::*;
use serde_json::json;

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
/// Monday, 5 January 2026.
const MONDAY: i64 = 1_767_571_200_000;

#[derive(Clone, Debug, PartialEq)]
struct Made {
    time: i64,
    person: String,
    app: &'static str,
    kind: &'static str,
    object: String,
}

fn made(time: i64, person: &str, object: impl Into<String>) -> Made {
    Made { time, person: person.to_owned(), app: "drive", kind: "download", object: object.into() }
}

fn batch(activities: &[(u64, Made)]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (sequence, made) in activities {
        builder.begin_row();
        builder.integer("sequence", *sequence as i64);
        builder.integer("time", made.time);
        builder.text("person", &made.person);
        builder.text("app", made.app);
        builder.text("kind", made.kind);
        builder.text("object", &made.object);
    }
    builder.finish()
}

type States = BTreeMap<StateKey, Vec<u8>>;

/// Numbers activities as the log does, by arrival.
fn logged(activities: &[Made]) -> Vec<(u64, Made)> {
    (1..).zip(activities.iter().cloned()).collect()
}

/// Runs batches through a detector as the host does, keeping its state.
fn run<'a>(
    settings: &[String],
    batches: impl Iterator<Item = &'a [(u64, Made)]>,
) -> (Vec<Finding>, States) {
    let mut trial =
        Trial::<Volume>::configure(settings).unwrap_or_else(|problems| panic!("{problems:?}"));
    for activities in batches {
        trial.feed(&batch(activities)).unwrap();
    }
    (trial.findings, trial.states)
}

/// What the host makes of findings: whether it is only a behavior, the highest score, the evidence.
#[derive(Clone, Debug, Default, PartialEq)]
struct Alert {
    alert: bool,
    score: f64,
    evidence: BTreeSet<i64>,
}

type Alerts = BTreeMap<(u32, Vec<(String, String)>, i64), Alert>;

fn detail<'a>(finding: &'a Finding, name: &str) -> &'a str {
    finding.details.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

fn joined(findings: &[Finding]) -> Alerts {
    let score = |finding: &Finding| detail(finding, "score").parse().unwrap_or(f64::NAN);
    let mut alerts = Alerts::new();
    for (key, alert) in trial::alerts(findings).unwrap() {
        let is = |of: &&Finding| (of.policy, &of.group, of.start) == (key.0, &key.1, key.2);
        let score = findings.iter().filter(is).map(score).max_by(f64::total_cmp).unwrap();
        let evidence = alert.evidence.into_iter().map(|(time, _)| time).collect();
        alerts.insert(key, Alert { alert: !alert.behavior, score, evidence });
    }
    alerts
}

fn downloads() -> serde_json::Value {
    json!([{"field": "kind", "is": "download"}])
}

/// One of each way to count.
fn policies() -> Vec<String> {
    [
        json!({"when": downloads(), "quiet": DAY}),
        json!({"when": downloads(), "quiet": DAY, "per": ["day", "session"], "count": {"distinct": "object"}}),
        json!({"when": downloads(), "quiet": 7 * DAY, "per": ["session", "hour"], "lateness": "6h", "floor": 5, "line": 3.5}),
        json!({"when": downloads(), "quiet": DAY, "by": "app", "population": [], "learn": "2d", "behaviors-from": 0.5}),
    ]
    .map(|settings| settings.to_string())
    .to_vec()
}

/// Numbers that look random and are the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) % limit
    }
}

/// A company at work: people download a few things on working days, in the order of time. Everybody
/// has dice of his own, so that nobody's luck depends on another.
fn company(people: u64, days: i64, seed: u64) -> Vec<Made> {
    let mut activities = Vec::new();
    for person in 0..people {
        let mut dice = Dice(seed * 1_000 + person);
        let most = 2 + person % 9;
        for day in (0..days).filter(|day| day % 7 < 5) {
            let start = MONDAY + day * DAY + 8 * HOUR;
            for n in 0..dice.below(most) + dice.below(most) {
                let time = start + dice.below(36_000_000) as i64;
                let object = format!("file-{person}-{day}-{}", n / 2);
                activities.push(made(time, &format!("person-{person}"), object));
            }
        }
    }
    activities.sort_by_key(|made| made.time);
    activities
}

/// One person takes `many` things on a day, from 18:30 on.
fn attack(activities: &mut Vec<Made>, person: &str, day: i64, many: i64) {
    let start = MONDAY + day * DAY + 18 * HOUR + HOUR / 2;
    activities.extend((0..many).map(|n| made(start + n * 7_001, person, format!("loot-{n}"))));
    activities.sort_by_key(|made| made.time);
}

fn in_batches(activities: &[(u64, Made)], of: usize) -> impl Iterator<Item = &[(u64, Made)]> {
    activities.chunks(of)
}

#[test]
fn an_attack_is_found_and_explained() {
    let mut activities = company(40, 30, 7);
    attack(&mut activities, "person-4", 28, 60);
    let settings = &policies()[1..2];
    let (findings, _) = run(settings, in_batches(&logged(&activities), 500));
    let alerts: Vec<_> = findings.iter().filter(|finding| !finding.behavior).collect();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    insta::assert_snapshot!(alerts[0].summary, @"Downloaded 60 different objects in a session of 7 min on Monday, 2026-02-02, usually 1.2; 99.9 % of such sessions on working days have at most 10; median of the organization 1; learned from 27 days");
    let details: Vec<_> =
        alerts[0].details.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    insta::assert_snapshot!(details.join("\n"), @r"
    observed: 60
    expected: 1.2
    quantile: 10
    score: 5.63
    line: 5
    median: 1
    per: session
    day: 2026-02-02
    learned-days: 27
    learned-since: 2026-01-05T00:00:00Z
    kinds: download
    objects: loot-0, loot-1, loot-2, loot-3, loot-4 and 55 more
    ");
    assert_eq!(alerts[0].group, [("person".to_owned(), "person-4".to_owned())]);
    assert_eq!(alerts[0].start, MONDAY + 28 * DAY);
}

/// What is learned is the time of the activities, not since the program was installed.
#[test]
fn what_was_fetched_counts_as_learning() {
    let mut activities = company(40, 8, 3);
    attack(&mut activities, "person-4", 7, 150);
    let (findings, _) = run(&policies()[..1], in_batches(&logged(&activities), usize::MAX));
    assert_eq!(joined(&findings).values().filter(|alert| alert.alert).count(), 1);
    let mut activities = company(40, 8, 3);
    attack(&mut activities, "person-4", 4, 150);
    let (findings, _) = run(&policies()[..1], in_batches(&logged(&activities), usize::MAX));
    assert_eq!(findings, [], "in the first week nothing is said");
}

/// Learning is about the app: in one that is known, something that nobody ever did needs no week.
#[test]
fn what_nobody_ever_did_is_found_at_once() {
    let mut activities = company(10, 20, 4);
    for made in &mut activities {
        made.kind = "view";
    }
    attack(&mut activities, "person-4", 18, 100);
    for of in [1, 30, usize::MAX] {
        let (findings, states) = run(&policies()[..1], in_batches(&logged(&activities), of));
        let alerts = joined(&findings);
        assert_eq!(alerts.values().filter(|alert| alert.alert).count(), 1, "batches of {of}");
        assert_eq!(states.len(), 2, "people who never did it need no state");
    }
    activities.retain(|made| made.time > MONDAY + 18 * DAY);
    let (findings, _) = run(&policies()[..1], in_batches(&logged(&activities), 30));
    assert_eq!(findings, [], "an app that was never heard of before");
}

/// A company in which nothing happens: weekends, holidays of one's own, and people who join.
#[test]
fn honest_work_is_calm() {
    let (mut alerts, mut scored) = (0, 0);
    for seed in 0..5 {
        let mut activities = company(60, 42, seed);
        activities.retain(|made| {
            let number: i64 = made.person.trim_start_matches("person-").parse().unwrap();
            let day = (made.time - MONDAY) / DAY;
            // Every third joins later, every fifth is away for two weeks.
            (number % 3 != 0 || day >= number % 30) && (number % 5 != 0 || !(14..28).contains(&day))
        });
        // Somebody works on a Saturday.
        for n in 0..12 {
            let time = MONDAY + 33 * DAY + 9 * HOUR + n * 20 * 60_000;
            activities.push(made(time, "person-8", format!("saturday-{n}")));
        }
        activities.sort_by_key(|made| made.time);
        let (findings, _) = run(&policies()[..2], in_batches(&logged(&activities), 300));
        alerts += joined(&findings).values().filter(|alert| alert.alert).count();
        scored += 60 * 42;
    }
    assert_eq!(alerts, 0, "in {scored} days of users");
}

/// However the stream is cut, state and alerts are the same, byte by byte.
#[test]
fn batches_do_not_matter() {
    let mut activities = company(12, 25, 11);
    attack(&mut activities, "person-3", 18, 400);
    attack(&mut activities, "person-5", 23, 30);
    let activities = logged(&activities);
    let (whole, states) = run(&policies(), in_batches(&activities, usize::MAX));
    let whole = joined(&whole);
    assert!(whole.values().filter(|alert| alert.alert).count() >= 4, "{whole:?}");
    assert!(whole.values().any(|alert| !alert.alert));
    for of in [1, 7, 100, 1009] {
        let (findings, same) = run(&policies(), in_batches(&activities, of));
        assert_eq!(joined(&findings), whole, "batches of {of}");
        assert!(states == same, "batches of {of}");
    }
}

/// One person's noise, and be it a thousand times more, does not move another's score.
#[test]
fn noise_of_one_moves_no_score_of_another() {
    let mut quiet = company(60, 28, 5);
    attack(&mut quiet, "person-7", 26, 45);
    let settings = [json!({"when": downloads(), "quiet": DAY, "per": ["day", "session"], "behaviors-from": 0, "floor": 5}).to_string()];
    let alerts = |activities: &[Made]| {
        let mut alerts = joined(&run(&settings, in_batches(&logged(activities), 400)).0);
        alerts.retain(|(_, group, _), _| group[0].1 != "person-17");
        alerts
    };
    let before = alerts(&quiet);
    assert!(before.len() > 100);
    let mut loud = quiet.clone();
    for (index, activity) in quiet.iter().filter(|made| made.person == "person-17").enumerate() {
        for n in 0..60 {
            loud.push(made(activity.time + n, "person-17", format!("noise-{index}-{n}")));
        }
    }
    loud.sort_by_key(|made| made.time);
    assert!(loud.len() > quiet.len() + 1000);
    assert_eq!(alerts(&loud), before);
}

/// An hour of downloads by a service that does so every hour is no news; the same by a person is.
#[test]
fn what_is_usual_for_the_user_counts() {
    let mut activities = company(30, 35, 2);
    for day in 0..35 {
        for n in 0..300 {
            activities.push(made(MONDAY + day * DAY + n * 280_000, "sync", format!("{day}-{n}")));
        }
    }
    attack(&mut activities, "person-6", 32, 300);
    let (findings, _) = run(&policies()[..1], in_batches(&logged(&activities), 500));
    let late: Vec<_> = joined(&findings)
        .into_iter()
        .filter(|((_, _, start), alert)| alert.alert && *start > MONDAY + 21 * DAY)
        .map(|((_, group, _), _)| group[0].1.clone())
        .collect();
    assert_eq!(late, ["person-6"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any order of arrival within the lateness gives the same alerts, with the same scores and the
    /// same evidence.
    #[test]
    fn order_does_not_matter(seed in 0u64..1000, size in 15i64..90) {
        let mut activities = company(10, 22, seed);
        attack(&mut activities, "person-3", 16, size);
        attack(&mut activities, "person-5", 20, 2 * size);
        let settings = policies();
        let alerts = |activities: &[Made], of| {
            joined(&run(&settings, in_batches(&logged(activities), of)).0)
        };
        let mut dice = Dice(seed);
        let mut late: Vec<_> = activities
            .iter()
            .map(|made| (made.time + dice.below(6 * HOUR as u64) as i64, made.clone()))
            .collect();
        late.sort_by_key(|(arrives, _)| *arrives);
        let late: Vec<_> = late.into_iter().map(|(_, made)| made).collect();
        let (expected, got) = (alerts(&activities, 200), alerts(&late, 90));
        prop_assert_eq!(expected.keys().collect::<Vec<_>>(), got.keys().collect::<Vec<_>>());
        for (key, expected) in &expected {
            let got = &got[key];
            prop_assert_eq!(expected.alert, got.alert, "{:?}", key);
            prop_assert_eq!(expected.score, got.score, "{:?}", key);
            if expected.evidence.len() <= 100 {
                prop_assert_eq!(&expected.evidence, &got.evidence, "{:?}", key);
            }
        }
    }

    /// A state that this version did not write is an error, or is survived.
    #[test]
    fn hostile_states_are_survived(place: usize, byte: u8, garbage in proptest::collection::vec(any::<u8>(), 1..40)) {
        let activities = logged(&company(4, 6, 1));
        let (before, after) = activities.split_at(activities.len() / 2);
        let (_, states) = run(&policies(), in_batches(before, 1000));
        for mutate in [true, false] {
            let mut trial = Trial::<Volume>::configure(&policies()).ok().unwrap();
            trial.states = states.clone();
            for bytes in trial.states.values_mut() {
                let length = bytes.len().max(1);
                if !mutate {
                    bytes.clone_from(&garbage);
                } else if let Some(at) = bytes.get_mut(place % length) {
                    *at = byte;
                }
            }
            let _ = trial.feed(&batch(after));
        }
    }
}

/// What has no time, or one that can't be, or lacks who or what, counts nowhere.
#[test]
fn what_can_not_be_placed_is_passed_over() {
    let mut builder = BatchBuilder::new();
    for (time, received, person, object) in [
        (None, Some(MONDAY), "ana", "x"),
        (Some(MONDAY + 3 * DAY), Some(MONDAY), "ana", "x"),
        (Some(MONDAY), Some(MONDAY), "", "x"),
        (Some(MONDAY), Some(MONDAY), "ana", ""),
    ] {
        builder.begin_row();
        if let Some(time) = time {
            builder.integer("time", time);
        }
        if let Some(received) = received {
            builder.integer("received", received);
        }
        builder.text("person", person);
        builder.text("app", "drive");
        builder.text("kind", "download");
        builder.text("object", object);
    }
    let mut trial = Trial::<Volume>::configure(&policies()[1..2]).ok().unwrap();
    trial.feed(&builder.finish()).unwrap();
    let keys: Vec<_> = trial.states.keys().map(|key| key.key.as_str()).collect();
    assert_eq!(keys, ["\u{1f}org\u{1f}drive"], "only that the app was heard of");
}

/// Everything that is wrong is said at once, each with its place and what would be right.
#[test]
fn settings_are_read_strictly() {
    let problems = |settings: serde_json::Value| {
        let problems = Trial::<Volume>::configure(&[settings.to_string()]).err().unwrap();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(problems(json!({
        "when": downloads(),
        "pre": "day",
        "per": ["day", "week"],
        "gap": "5s",
        "count": "objects",
        "floor": 0,
        "learn": "soon",
        "lateness": "30d",
        "sensitivity": "medium",
        "budget": 3,
        "line": -1,
        "half-life": "1h",
        "weekend": ["sun"],
        "group": ["ip"],
    })), @r"
    /pre: `pre` is not a setting of this detector
    hint: did you mean `per`?
    /per/1: `week` is not a value of `per`
    hint: use one of `day`, `hour`, `session`
    /gap: `gap` must be at least 1 minute
    /count: `objects` is nothing that can be counted
    hint: `count: activities`, or `count: {distinct: object}`
    /floor: `floor` must be an integer from 1 to 1000000, not `0`
    /learn: `soon` is not a length of time
    hint: write a whole number with a unit: `90s`, `5m`, `24h` or `7d`
    /lateness: `30d` is too long; at most `14d`
    /half-life: `half-life` must be at least 1 day
    /weekend/0: `sun` is not a value of `weekend`
    hint: use one of `monday`, `tuesday`, `wednesday`, `thursday`, `friday`, `saturday`, `sunday`
    /line: `line` must be a number from 0 to 1000000000, not `-1`
    /budget: `sensitivity` and `budget` say the same in two ways
    hint: leave one of them out
    /group/0: alerts can't be grouped by `ip`: activities are counted by `person`, `app`
    hint: add `ip` to `by`, or group by what is counted by
    ");
    insta::assert_snapshot!(problems(json!({"when": downloads(), "gap": "10m", "line": 2, "behaviors-from": 3})), @r"
    /gap: `gap` is the pause that ends a session, but nothing is counted by session
    hint: `per: [day, session]`
    /behaviors-from: behaviors begin below the alerting line, which is 2.00, not above it
    ");
    insta::assert_snapshot!(problems(json!({"count": {}, "by": []})), @r"
    : `when` is missing: it says which activities are meant
    hint: `when: [{field: kind, is: export}]`
    /by: `by` names no field
    hint: `by: person`; `by: app` takes all of an app together
    /count: `count` says nothing
    hint: `count: activities`, or `count: {distinct: object}`
    ");
}

/// Every setting has a description, and the schema knows the settings that are read.
#[test]
fn every_setting_is_described() {
    use casbah_plugin::Detector as _;
    let schema = Volume::describe().settings;
    let properties = schema["properties"].as_object().unwrap();
    assert!(properties.len() >= 17, "{properties:?}");
    for (name, property) in properties {
        assert!(property["description"].as_str().is_some_and(|text| text.len() > 20), "{name}");
    }
}
