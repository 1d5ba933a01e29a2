//! How long the detector takes for an activity, and how much it remembers of an address:
//! `cargo run --release -p casbah-reputation --example reputation-speed`.
//!
//! Made up: 2,000 people from 3,000 addresses over a month; none of the addresses, one in a hundred,
//! or all of them are tagged. State is carried from batch to batch. Figures are native.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use casbah_model::{Batch, BatchBuilder, StateKey};
use casbah_plugin::Detector as _;
use casbah_reputation::Reputation;

const ROWS: i64 = 262_144;
const START: i64 = 1_790_000_000_000;
const POLICY: &str = r#"{
    "when": [
        {"field": "kind", "not-in": ["account-state", "behavior"], "missing": "match"},
        {"field": "actor.type", "not-in": ["system", "anonymous"], "missing": "match"}
    ],
    "tags": {"tor": "high", "anonymous-proxy": "medium", "residential-proxy": "medium"},
    "quiet": 86400000
}"#;

/// Batches of a log in which one address of so many is tagged; 0 for none.
fn batches(rows: usize, tagged: i64) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::new();
    for sequence in 0..ROWS {
        let address = sequence * 7919 % 3000;
        builder.begin_row();
        builder.integer("sequence", sequence);
        let time = START + sequence * 10_000;
        builder.integer("time", time);
        builder.integer("received", time + 60_000);
        builder.text("person", &format!("person-{}@example.com", sequence * 104_729 % 2000));
        builder
            .text("kind", ["view", "login", "download"].get(sequence as usize % 3).unwrap_or(&""));
        builder.text("result", "success");
        builder.text("actor.type", "user");
        builder.text("ip", &format!("203.0.{}.{}", address / 250, address % 250));
        if tagged > 0 && address % tagged == 0 {
            builder.text("ip.tags", "hosting,tor");
            builder.text("ip.lists", "exits@0123456789ab");
        } else {
            builder
                .text("ip.tags", ["", "hosting", "vpn"].get(address as usize % 3).unwrap_or(&""));
        }
        if builder.rows() >= rows {
            batches.push(std::mem::take(&mut builder).finish());
        }
    }
    batches.push(builder.finish());
    batches
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let policies = [POLICY.to_owned()];
    writeln!(out, "tagged  rows/batch  configure µs  ns/activity  state B/address  findings")?;
    for (name, tagged) in [("none", 0), ("1 %", 100), ("all", 1)] {
        for rows in [256, 4096] {
            let start = Instant::now();
            for _ in 0..1000 {
                assert!(Reputation::configure(&policies).is_ok());
            }
            let configure = start.elapsed();
            let Ok(mut detector) = Reputation::configure(&policies) else { return Ok(()) };
            let mut states: HashMap<StateKey, Vec<u8>> = HashMap::new();
            let (mut spent, mut findings) = (Duration::ZERO, 0);
            for batch in batches(rows, tagged) {
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
                "{name:6}  {rows:10}  {:12.1}  {:11.1}  {:15.1}  {findings:8}",
                configure.as_secs_f64() * 1000.0,
                spent.as_secs_f64() * 1e9 / ROWS as f64,
                bytes as f64 / states.len().max(1) as f64,
            )?;
        }
    }
    Ok(())
}
