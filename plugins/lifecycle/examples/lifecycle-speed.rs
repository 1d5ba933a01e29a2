//! How long the detector takes for an activity, and how much it remembers of a person:
//! `cargo run --release -p casbah-lifecycle --example lifecycle-speed`.
//!
//! Made up: 2,000 people with twelve activities each on ten of fourteen days, all known to a
//! directory, one in a thousand activities stamped as after the end. State is carried from batch to
//! batch. Figures are native.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use casbah_lifecycle::Lifecycle;
use casbah_model::{Batch, BatchBuilder, StateKey};
use casbah_plugin::Detector as _;

const PEOPLE: i64 = 2000;
const DAY: i64 = 86_400_000;
const START: i64 = 1_790_000_000_000;
const POLICY: &str = r#"{
    "when": [
        {"field": "result", "not": "failure", "missing": "match"},
        {"field": "kind", "not-in": ["logout", "account-state", "behavior"], "missing": "match"},
        {"field": "actor.type", "not-in": ["system", "anonymous"], "missing": "match"}
    ],
    "quiet": 86400000
}"#;

fn row(builder: &mut BatchBuilder, sequence: i64, time: i64, person: i64, news: bool) {
    builder.begin_row();
    builder.integer("sequence", sequence);
    builder.integer("time", time);
    builder.integer("received", time + 60_000);
    builder.text("person", &format!("person-{person}@example.com"));
    builder.text("actor.status", if sequence % 1000 == 999 { "disabled" } else { "active" });
    builder.text("kind", if news { "account-state" } else { "view" });
    builder.text("app", if news { "entra" } else { "smartsheet" });
    builder.text("result", if news { "" } else { "success" });
    builder.text("actor.type", if news { "system" } else { "user" });
    if news {
        builder.text("object", &format!("account-{person}"));
    } else {
        builder.text("object", &format!("sheet-{}", sequence % 5000));
        if sequence % 1000 == 999 {
            builder.integer("actor.since", time - DAY);
        }
    }
}

fn batches(rows: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::new();
    let mut sequence = 0;
    let mut add = |builder: &mut BatchBuilder, time, person, news| {
        sequence += 1;
        row(builder, sequence, time, person, news);
        if builder.rows() >= rows {
            batches.push(std::mem::take(builder).finish());
        }
    };
    for person in 0..PEOPLE {
        add(&mut builder, START, person, true);
    }
    for day in (0..14).filter(|day| day % 7 < 5) {
        for turn in 0..12 {
            for person in 0..PEOPLE {
                let person = person * 7919 % PEOPLE;
                add(
                    &mut builder,
                    START + day * DAY + turn * 2_400_000 + person * 97,
                    person,
                    false,
                );
            }
        }
    }
    batches.push(builder.finish());
    batches
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let policies = [POLICY.to_owned()];
    writeln!(out, "rows/batch  configure µs  ns/activity  state B/person  findings")?;
    for rows in [256, 1024, 4096] {
        let batches = batches(rows);
        let all: usize = batches.iter().map(Batch::len).sum();
        let start = Instant::now();
        for _ in 0..1000 {
            assert!(Lifecycle::configure(&policies).is_ok());
        }
        let configure = start.elapsed();
        let Ok(mut detector) = Lifecycle::configure(&policies) else { return Ok(()) };
        let mut states: HashMap<StateKey, Vec<u8>> = HashMap::new();
        let (mut spent, mut findings) = (Duration::ZERO, 0);
        for batch in batches {
            let start = Instant::now();
            let keys = detector.begin(batch).unwrap_or_default();
            spent += start.elapsed();
            let held: Vec<Vec<u8>> =
                keys.iter().map(|key| states.get(key).cloned().unwrap_or_default()).collect();
            let start = Instant::now();
            let outcome = detector.finish(&held).unwrap_or_default();
            spent += start.elapsed();
            findings += outcome.findings.len();
            for (place, value) in outcome.changes {
                if let Some(key) = keys.get(place as usize) {
                    states.insert(key.clone(), value);
                }
            }
        }
        let bytes: usize = states.values().map(Vec::len).sum();
        writeln!(
            out,
            "{rows:10}  {:12.1}  {:11.1}  {:14.1}  {findings:8}",
            configure.as_secs_f64() * 1000.0,
            spent.as_secs_f64() * 1e9 / all as f64,
            bytes as f64 / states.len() as f64,
        )?;
    }
    Ok(())
}
