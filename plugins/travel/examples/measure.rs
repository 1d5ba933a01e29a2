//! Prints what an activity and a person cost: `cargo run --release -p casbah-travel --example measure`.
//!
//! A made-up company of 1,000 people in twenty places, twenty activities a day each, for thirty days, in
//! batches of 1,000; natively, with the state in a map in memory.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use casbah_model::detector::Detector as _;
use casbah_model::{Batch, BatchBuilder, StateKey};
use casbah_plugin::Native;
use casbah_travel::Travel;

const PEOPLE: u64 = 1000;
const DAYS: i64 = 30;
const A_DAY: i64 = 20;
/// Monday, 5 January 2026, 00:00 UTC.
const MONDAY: i64 = 1_767_571_200_000;
const PLACES: [(&str, f64, f64); 5] = [
    ("DE", 52.5, 13.4),
    ("US", 40.7, -74.0),
    ("GB", 51.5, -0.1),
    ("IN", 13.0, 77.6),
    ("BR", -23.5, -46.6),
];

/// Names and settings.
const POLICIES: &[(&str, &str)] = &[(
    "impossible-travel",
    r#"{"when": [{"field": "kind", "not-in": ["account-state", "behavior"], "missing": "match"}, {"field": "result", "not": "failure", "missing": "match"}, {"field": "interactive", "not": false, "missing": "match"}, {"field": "actor.type", "not-in": ["system", "service", "anonymous"], "missing": "match"}], "sensitivity": "medium"}"#,
)];

/// A number that looks random, the same for ever.
fn mixed(number: u64) -> u64 {
    let x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
}

/// The activities of a day, as they arrive: everybody at once, hour by hour.
fn day(day: i64) -> Vec<Batch> {
    let mut rows: Vec<(i64, u64)> = Vec::new();
    for person in 0..PEOPLE {
        for number in 0..A_DAY {
            let seconds = mixed(person << 32 | (day * A_DAY + number) as u64) % 36_000;
            rows.push((MONDAY + day * 86_400_000 + 28_800_000 + seconds as i64 * 1000, person));
        }
    }
    rows.sort_unstable();
    rows.chunks(1000).map(batch).collect()
}

fn batch(rows: &[(i64, u64)]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (index, &(time, person)) in rows.iter().enumerate() {
        let home = mixed(person) as usize;
        let (country, latitude, longitude) =
            PLACES.get(home % PLACES.len()).copied().unwrap_or_default();
        let mobile = mixed(person ^ time as u64).is_multiple_of(10);
        builder.begin_row();
        builder.integer("time", time);
        builder.integer("received", time + 60_000);
        builder.integer("sequence", (time - MONDAY) / 4320 + index as i64);
        builder.text("app", "smartsheet");
        builder.text("kind", "view");
        builder.text("action", "SHEET.LOAD");
        builder.text("result", "success");
        builder.text("actor", &format!("person-{person}@example.com"));
        builder.text("person", &format!("person-{person}@example.com"));
        builder.text("object", &format!("sheet-{}", mixed(time as u64) % 5000));
        builder.text(
            "ip",
            &format!("10.{}.{}.7", home % 4 + if mobile { 100 } else { 0 }, person % 200),
        );
        builder.text("country", country);
        builder.text("city", "Some City");
        builder.number("latitude", latitude);
        builder.number("longitude", longitude);
        builder.number("accuracy", 50.0);
        builder.text("network.owner", if mobile { "Some Mobile" } else { "Some Broadband" });
        builder.text("user-agent.family", "Chrome");
    }
    builder.finish()
}

fn main() -> Result<(), String> {
    let mut out = std::io::stdout();
    for (name, settings) in POLICIES {
        let detector = Native::<Travel>::configure(&[(*settings).to_owned()])
            .map_err(|problems| format!("{problems:?}"))?;
        let mut states: HashMap<StateKey, Vec<u8>> = HashMap::new();
        let (mut spent, mut rows, mut findings) = (Duration::ZERO, 0, 0);
        for number in 0..DAYS {
            for batch in day(number) {
                let mut load = |keys: &[StateKey]| {
                    keys.iter().map(|key| states.get(key).cloned().unwrap_or_default()).collect()
                };
                let start = Instant::now();
                let (keys, outcome) =
                    detector.evaluate(&batch, &mut load).map_err(|error| error.to_string())?;
                spent += start.elapsed();
                rows += batch.len();
                findings += outcome.findings.len();
                for (place, bytes) in outcome.changes {
                    if let Some(key) = keys.get(place as usize) {
                        states.insert(key.clone(), bytes);
                    }
                }
            }
        }
        let own = |key: &StateKey| !key.key.starts_with('\u{1f}');
        let bytes = |mine: bool| -> (usize, usize) {
            let sizes =
                states.iter().filter(|(key, _)| own(key) == mine).map(|(_, bytes)| bytes.len());
            (sizes.clone().sum(), sizes.count())
        };
        let ((people, number), (others, of_others)) = (bytes(true), bytes(false));
        writeln!(
            out,
            "{name}: {:.0} ns an activity, {} bytes a person, {of_others} states of {others} bytes for all, {findings} findings",
            spent.as_nanos() as f64 / rows.max(1) as f64,
            people / number.max(1),
        )
        .map_err(|error| error.to_string())?;
    }
    Ok(())
}
