//! Measures how long it takes to make activities of records, natively.
//!
//! `cargo run --release -p casbah-netdocuments --example netdocuments-speed` prints nanoseconds a record
//! of a made-up consolidated log of 10,000 records, kept as they are and concealed.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use casbah_netdocuments::NetDocuments;
use casbah_plugin::Adapter;
use netdocuments_sim::{Form, Log, Plan, Shape, World};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let world = World::new(&Plan::small(10_000));
    let mut body = "[".to_owned();
    for (number, place) in world.all(Log::Consolidated).into_iter().enumerate() {
        if number > 0 {
            body.push(',');
        }
        world.write(&mut body, place, Form::Json, Shape::Array);
    }
    body.push(']');
    let raw = NetDocuments::split(body.as_bytes())?;
    let records = (raw.len() / 2).max(1);
    println!("{records} records of {} bytes", body.len() / records);
    report("split", records, || NetDocuments::split(body.as_bytes()).map(|raw| raw.len()));
    for (what, settings) in [
        ("normalize", ""),
        ("normalize, hashed", r#"{"repository":"CA-1","names":"hash","profile":"hash"}"#),
        ("normalize, dropped", r#"{"repository":"CA-1","names":"drop","profile":"drop"}"#),
    ] {
        report(what, records, || {
            NetDocuments::normalize(settings, body.as_bytes(), &raw).map(|batch| batch.len())
        });
    }
    Ok(())
}

/// The fastest of many runs: what the code needs when nothing else runs beside it.
fn report<T, E>(what: &str, records: usize, run: impl Fn() -> Result<T, E>) {
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let start = Instant::now();
        let _ = black_box(run());
        best = best.min(start.elapsed());
    }
    println!("{what}: {} ns a record", best.as_nanos() / records as u128);
}
