//! The detector against a plain look at all pairs, in every order of arrival within the lateness and
//! every split into batches.

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

/// A made-up log: hours of stays of three people, among others who use the same block of addresses.
fn world() -> impl Strategy<Value = Vec<(Row, i64)>> {
    let sighting = (
        0..14 * 24_i64,
        prop_oneof![Just(0), 0..3_600_000_i64, (0..60_i64).prop_map(|minutes| minutes * 60_000)],
        0..3_usize,
        prop_oneof![3 => Just(0_usize), 2 => 0..SPOTS.len()],
        0..3_u8,
        prop_oneof![6 => Just(""), 1 => Just("corporate"), 1 => Just("vpn")],
        0..DAY,
    );
    prop::collection::vec(sighting, 1..60).prop_map(|sightings| {
        let one = |(hour, ms, person, spot, block, category, delay): (
            i64,
            i64,
            usize,
            usize,
            u8,
            &'static str,
            i64,
        )| {
            let mut row = row(MONDAY + hour * HOUR + ms, ["ana", "bo", "cy"][person], SPOTS[spot]);
            row.ip = format!("203.0.{block}.{person}");
            row.owner = ["Net 0", "Net 1", ""][usize::from(block)].to_owned();
            row.category = category;
            (row, delay)
        };
        sightings.into_iter().map(one).collect()
    })
}

const LATENESS: i64 = DAY;
const LEARN: i64 = 2 * DAY;
const SETTINGS: &str = r#""lateness": "24h", "learn": "2d", "common-days": 2, "common-people": 2, "common-share": 0.5"#;

fn haversine(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (la, lb) = (a.0.to_radians(), b.0.to_radians());
    let h = ((lb - la) / 2.0).sin().powi(2)
        + la.cos() * lb.cos() * ((b.1 - a.1).to_radians() / 2.0).sin().powi(2);
    2.0 * 6371.0088 * h.sqrt().asin()
}

/// All pairs, one by one. What is told here is told by the README, not by the code.
fn alerts(rows: &[Row], sensitivity: &str, together: i64) -> BTreeSet<(String, i64)> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.category != "vpn").collect();
    let near = [("DE", "FR")];
    let mut alerts = BTreeSet::new();
    for a in &rows {
        for b in &rows {
            let (from, to) = (a.spot.country, b.spot.country);
            if a.person != b.person || a.time > b.time || from == to {
                continue;
            }
            if near.contains(&(from, to)) || near.contains(&(to, from)) {
                continue;
            }
            let km = haversine(a.spot.at.unwrap(), b.spot.at.unwrap())
                - a.spot.accuracy
                - b.spot.accuracy;
            let ms = b.time - a.time;
            if km < 500.0 || ms > DAY || km * 3_600_000.0 <= 900.0 * ms as f64 {
                continue;
            }
            let begin = b.time.div_euclid(HOUR) * HOUR;
            let first = rows.iter().filter(|row| row.person == a.person).map(|row| row.time).min();
            if first.unwrap() > begin - LEARN {
                continue;
            }
            let known = |end: &Row| {
                end.category == "corporate"
                    || is_shared(&rows, end, sensitivity)
                    || is_used_to(&rows, end, begin)
            };
            if sensitivity != "high" && known(a) && known(b) {
                continue;
            }
            // The end that is new for all and strange to the person, the later one if both are.
            let mut ends = [a, b];
            ends.sort_by_key(|end| (end.time.div_euclid(HOUR), end.spot.country));
            let new = ends.iter().rev().find(|end| {
                let shared = sensitivity != "high" && is_shared(&rows, end, sensitivity);
                let known = end.category == "corporate" || shared || is_used_to(&rows, end, begin);
                together > 0 && !known && is_new_to_all(&rows, end, together)
            });
            let about = match new {
                Some(end) if end.owner.is_empty() => end.spot.country.to_owned(),
                Some(end) => format!("{} {}", end.owner, end.spot.country),
                None => a.person.clone(),
            };
            alerts.insert((about, begin.div_euclid(DAY) * DAY));
        }
    }
    alerts
}

/// Whether nobody was known to come from a network in a city, or somebody for the first time only a
/// short time ago, after the organization had been learned.
fn is_new_to_all(rows: &[&Row], end: &Row, together: i64) -> bool {
    let hour = |time: i64| time.div_euclid(HOUR);
    let same = |row: &&&Row| (row.spot.city, &row.owner) == (end.spot.city, &end.owner);
    let first = hour(rows.iter().filter(same).map(|row| row.time).min().unwrap());
    let learned = hour(rows.iter().map(|row| row.time).min().unwrap()) + LEARN / HOUR;
    let begin = hour(end.time);
    first >= begin - LATENESS / HOUR || (first >= learned && first >= begin - together / HOUR)
}

fn is_used_to(rows: &[&Row], end: &Row, begin: i64) -> bool {
    let before = (begin - LATENESS).div_euclid(DAY);
    let region = |row: &Row| {
        let (lat, lon) = row.spot.at.unwrap();
        (row.spot.country, lat.floor() as i64, lon.floor() as i64)
    };
    let days = |same: &dyn Fn(&Row) -> bool| {
        let own = rows.iter().filter(|row| row.person == end.person && same(row));
        let days: BTreeSet<i64> = own.map(|row| row.time.div_euclid(DAY)).collect();
        days.range(..before).count()
    };
    let network = |row: &Row| (row.spot.country, row.owner.clone());
    (!end.owner.is_empty() && days(&|row| network(row) == network(end)) >= 2)
        || days(&|row| region(row) == region(end)) >= 2
}

fn is_shared(rows: &[&Row], end: &Row, sensitivity: &str) -> bool {
    let begin = end.time.div_euclid(HOUR) * HOUR;
    let hour = (begin - LATENESS).div_euclid(HOUR);
    let people = |same: &dyn Fn(&Row) -> bool| {
        let mut firsts: BTreeMap<&str, i64> = BTreeMap::new();
        for row in rows.iter().filter(|row| same(row)) {
            let first = firsts.entry(&row.person).or_insert(row.time);
            *first = row.time.min(*first);
        }
        firsts.values().filter(|first| first.div_euclid(HOUR) < hour).count()
    };
    let exit = |row: &Row| (row.spot.city, row.owner.clone());
    let many = |count: usize| count >= 2 && count as f64 >= 0.5 * people(&|_| true) as f64;
    let known = !end.owner.is_empty();
    (known && many(people(&|row| exit(row) == exit(end))))
        || sensitivity == "low"
            && (many(people(&|row| row.spot.country == end.spot.country))
                || (known && many(people(&|row| row.owner == end.owner))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The alerts are those of all pairs, whatever the order of arrival and the split into batches; and
    /// the split leaves no trace in the state.
    #[test]
    fn alerts_are_those_of_all_pairs(
        world in world(),
        sizes in prop::collection::vec(1..20_usize, 1..8),
        sensitivity in prop_oneof![Just("low"), Just("medium"), Just("high")],
        together in prop_oneof![Just(0), Just(1), Just(5)],
    ) {
        let settings =
            format!(r#"{SETTINGS}, "sensitivity": "{sensitivity}", "together-for": "{together}d""#);
        let mut in_order: Vec<Row> = world.iter().map(|(row, _)| row.clone()).collect();
        in_order.sort_by_key(|row| row.time);
        let expected = alerts(&in_order, sensitivity, together * DAY);

        let mut late = world.clone();
        late.sort_by_key(|(row, delay)| row.time + delay);
        let late: Vec<Row> = late.into_iter().map(|(row, _)| row).collect();
        for rows in [arrived(in_order), arrived(late)] {
            let mut whole = Run::new(&settings);
            whole.feed(&rows);
            prop_assert_eq!(&whole.alerts(), &expected);

            let mut split = Run::new(&settings);
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
            // No activity is named twice in one alert.
            let mut named = BTreeSet::new();
            for finding in &split.findings {
                for evidence in &finding.evidence {
                    let name = (finding.group.clone(), finding.start, evidence.sequence);
                    prop_assert!(named.insert(name), "{:?}", finding);
                }
            }
        }
    }
}
