//! The detector against plain sets of days, in every order of arrival within the lateness and every
//! split into batches.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "what helps a test may fail loudly"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use support::*;

const FORGET: i64 = 8;
const LEARN: i64 = 3;
const TOGETHER: i64 = 5;
/// Scores from which on it is an alert.
const LINE: f64 = 2.1;

type Alerts = BTreeMap<(Vec<String>, i64), (String, Vec<i64>)>;

/// A made-up log of a month: who was active when and where, and how late it came.
fn world() -> impl Strategy<Value = Vec<(Row, i64)>> {
    let activity = (
        0..30 * 24_i64,
        0..5_usize,
        prop_oneof![4 => Just(0_usize), 1 => 0..5_usize],
        0..2_usize,
        0..DAY,
    );
    prop::collection::vec(activity, 1..120).prop_map(|activities| {
        let one = |(hour, person, country, app, delay): (i64, usize, usize, usize, i64)| {
            let countries = ["DE", "FR", "BR", "Some Network", "Other Network"];
            let person = ["ana", "bo", "cy", "di", "ed"][person];
            let mut row = row(MONDAY + hour * 3_600_000, person, countries[country]);
            row.app = ["smartsheet", "netdocuments"][app];
            (row, delay)
        };
        activities.into_iter().map(one).collect()
    })
}

/// The last day before a horizon, among the days of some rows.
fn last(rows: &[Row], horizon: i64, mine: &dyn Fn(&Row) -> bool) -> Option<i64> {
    days(rows.iter().filter(|row| mine(row))).range(..horizon).next_back().copied()
}

fn first_day(rows: &[Row], mine: &dyn Fn(&Row) -> bool) -> Option<i64> {
    days(rows.iter().filter(|row| mine(row))).first().copied()
}

/// People, each with their first day, before a day.
fn people(rows: &[Row], before: i64, mine: &dyn Fn(&Row) -> bool) -> BTreeSet<String> {
    let names: BTreeSet<&String> = rows.iter().map(|row| &row.person).collect();
    let first = |name: &String| first_day(rows, &|row| row.person == *name && mine(row));
    names.into_iter().filter(|name| first(name).is_some_and(|day| day < before)).cloned().collect()
}

/// Score of what is new for somebody and rare among all.
fn first_seen(rows: &[Row], row: &Row) -> Option<f64> {
    let day = row.time.div_euclid(DAY);
    let horizon = day - 1;
    let (who, what) = (&row.person, &row.country);
    let used = |value: &str| last(rows, horizon, &|row| row.person == *who && row.country == value);
    if used(what).is_some_and(|last| last >= day - FORGET)
        || first_day(rows, &|row| row.person == *who)? > day - LEARN
        || first_day(rows, &|_| true)? > day - LEARN
        || rows
            .iter()
            .filter(|row| row.person == *who && row.time.div_euclid(DAY) < horizon)
            .count()
            < 4
    {
        return None;
    }
    let all = people(rows, horizon, &|_| true);
    let mut others = people(rows, horizon, &|row| row.country == *what);
    others.remove(who);
    if others.len() as f64 >= (0.5 * all.len() as f64).max(2.0) {
        return None;
    }
    let values: BTreeSet<&String> = rows.iter().map(|row| &row.country).collect();
    let days_of = |mine: &dyn Fn(&Row) -> bool| {
        days(rows.iter().filter(|row| row.person == *who && mine(row))).range(..horizon).count()
    };
    let in_use =
        values.into_iter().filter(|value| used(value).is_some_and(|last| last >= day - FORGET));
    let own = in_use.count().max(1) as f64 / (days_of(&|_| true).min(FORGET as usize) as f64 + 2.0);
    let share = (others.len() as f64 + 1.0) / (all.len().max(100) as f64 + 2.0);
    Some(-own.min(1.0).log10() - share.clamp(0.003, 1.0).log10())
}

/// Score of somebody's first time in an app.
fn first_time(rows: &[Row], row: &Row) -> Option<f64> {
    let day = row.time.div_euclid(DAY);
    let horizon = day - 1;
    let here = |other: &Row| other.app == row.app;
    if last(rows, horizon, &|other| here(other) && other.person == row.person)
        .is_some_and(|last| last >= day - FORGET)
    {
        return None;
    }
    let learned = first_day(rows, &here)? + LEARN;
    if learned > day {
        return None;
    }
    let began =
        people(rows, horizon, &here).len() - people(rows, learned.min(horizon), &here).len();
    let rate = (began as f64 + 1.0) / ((horizon - learned).max(0) as f64 + 20.0);
    Some(-rate.min(1.0).log10())
}

/// Score of activity after silence.
fn after_silence(rows: &[Row], row: &Row) -> Option<f64> {
    let day = row.time.div_euclid(DAY);
    let mine = rows.iter().filter(|other| other.person == row.person && other.app == row.app);
    let before: Vec<i64> = days(mine).range(..day - 1).copied().collect();
    let (first, last) = (before.first()?, before.last()?);
    let usual = match before.len() {
        0..=2 => 0.0,
        number => (last - first) as f64 / (number - 1) as f64,
    };
    let silent = (day - last) as f64;
    Some(silent / 6.0 * (silent / (usual * 6.0).max(1.0)).min(1.0))
}

/// Whether a country is new for all: nobody was in it, or somebody for the first time a few days ago,
/// after everybody had been learned.
fn is_new_to_all(rows: &[Row], row: &Row) -> bool {
    let day = row.time.div_euclid(DAY);
    let learned = first_day(rows, &|_| true).unwrap() + LEARN;
    match first_day(rows, &|other| other.country == row.country).unwrap() {
        first if first >= day - 1 => true,
        first => first >= learned && first >= day - TOGETHER,
    }
}

fn expected(
    rows: &[Row],
    least: f64,
    score: fn(&[Row], &Row) -> Option<f64>,
    group: fn(&[Row], &Row, f64) -> Vec<String>,
) -> Alerts {
    let mut alerts = Alerts::new();
    for row in rows {
        if let Some(score) = score(rows, row).filter(|score| *score >= least) {
            let start = row.time.div_euclid(DAY) * DAY;
            let (text, times) = alerts.entry((group(rows, row, score), start)).or_default();
            *text = (*text).clone().max(format!("{score:.2}"));
            times.push(row.time);
            times.sort_unstable();
        }
    }
    alerts
}

/// Settings, the score of an activity, and what an alert is about.
type Case =
    (&'static str, f64, fn(&[Row], &Row) -> Option<f64>, fn(&[Row], &Row, f64) -> Vec<String>);

const CASES: [Case; 4] = [
    (
        r#""value": "country", "group": ["person", "country"], "forget": "8d", "learn": "3d", "events": 4, "rare-below": 0.5, "line": 2.1, "behaviors-from": 0, "together-for": "0s""#,
        0.0,
        first_seen,
        |_, row, _| vec![row.person.clone(), row.country.clone()],
    ),
    (
        r#""value": "country", "group": ["person", "country"], "forget": "8d", "learn": "3d", "events": 4, "rare-below": 0.5, "line": 2.1, "behaviors-from": 0, "together-for": "5d""#,
        0.0,
        first_seen,
        |rows, row, score| match score >= LINE && is_new_to_all(rows, row) {
            true => vec![row.country.clone()],
            false => vec![row.person.clone(), row.country.clone()],
        },
    ),
    (
        r#""mode": "first-time", "by": ["person", "app"], "population": "app", "forget": "8d", "learn": "3d", "line": 1, "behaviors-from": 0"#,
        0.0,
        first_time,
        |_, row, _| vec![row.person.clone(), row.app.to_owned()],
    ),
    (r#""after-silence": "6d", "by": ["person", "app"]"#, 0.5, after_silence, |_, row, _| {
        vec![row.person.clone(), row.app.to_owned()]
    }),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Alerts, scores and evidence are those of plain sets of days, whatever the order of arrival and the
    /// split into batches; and the split leaves no trace in the state.
    #[test]
    fn alerts_are_those_of_plain_sets(
        world in world(),
        sizes in prop::collection::vec(1..20_usize, 1..8),
        case in 0..CASES.len(),
    ) {
        let (settings, least, score, group) = CASES[case];
        let mut in_order: Vec<Row> = world.iter().map(|(row, _)| row.clone()).collect();
        in_order.sort_by_key(|row| row.time);
        let expected = expected(&in_order, least, score, group);

        let mut late = world.clone();
        late.sort_by_key(|(row, delay)| row.time + delay);
        let late: Vec<Row> = late.into_iter().map(|(row, _)| row).collect();
        for rows in [arrived(in_order), arrived(late)] {
            let mut whole = Run::new(settings);
            whole.feed(&rows);
            prop_assert_eq!(&whole.alerts(), &expected);

            let mut split = Run::new(settings);
            let mut rest = rows.as_slice();
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (batch, after) = rest.split_at((*size).min(rest.len()));
                split.feed(batch);
                rest = after;
            }
            prop_assert_eq!(&split.states, &whole.states);
            prop_assert_eq!(&split.alerts(), &expected);
        }
    }

    /// However much somebody else does of what they do anyway, nobody's score moves by it.
    #[test]
    fn noise_of_one_moves_no_score_of_another(
        world in world(),
        noise in prop::collection::vec(any::<prop::sample::Index>(), 1..60),
    ) {
        let (settings, ..) = CASES[0];
        let mut rows: Vec<Row> = world.iter().map(|(row, _)| row.clone()).collect();
        rows.sort_by_key(|row| row.time);
        let of_one: Vec<Row> = rows.iter().filter(|row| row.person == "ana").cloned().collect();
        let mut noisy = rows.clone();
        if !of_one.is_empty() {
            noisy.extend(noise.iter().map(|index| of_one[index.index(of_one.len())].clone()));
        }
        noisy.sort_by_key(|row| row.time);
        let alerts = |rows: Vec<Row>| {
            let mut run = Run::new(settings);
            run.feed(&arrived(rows));
            let mut alerts = run.alerts();
            alerts.retain(|(group, _), _| group[0] != "ana");
            alerts
        };
        prop_assert_eq!(alerts(rows), alerts(noisy));
    }
}
