//! What crossing into the sandbox costs: `cargo run --release -p casbah-runtime --example boundary`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement"
)]

#[path = "../../../plugins/activity/examples/evaluate-speed/made.rs"]
mod made;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use casbah_activity::Activity;
use casbah_model::detector::Detector;
use casbah_model::{Batch, BatchBuilder, StateKey};
use casbah_plugin::Native;
use casbah_runtime::{
    CacheOptions, ConfiguredDetector, DetectorPlugin, Engine, EngineOptions, Limits,
};

/// A batch as adapters make them: 16 columns of text and numbers, an object and six fields a row.
fn batch(rows: usize) -> Batch {
    let texts = [
        "activity.id",
        "app",
        "kind",
        "action",
        "actor.id",
        "actor.email",
        "actor.name",
        "ip",
        "country",
        "city",
        "agent",
        "client",
    ];
    let mut builder = BatchBuilder::new();
    for row in 0..rows {
        builder.begin_row();
        builder.integer("sequence", row as i64 + 1);
        builder.integer("time", 1_763_600_000_000 + row as i64 * 1000);
        builder.integer("received", 1_763_600_000_000 + row as i64 * 1000);
        for (place, name) in texts.iter().enumerate() {
            let distinct = if place == 0 { row } else { (row * 31 + place) % 97 };
            builder.text(name, &format!("{name} {distinct} example"));
        }
        builder.number("latitude", row as f64);
        builder.begin_nested("objects");
        builder.nested_text("objects", "kind", "sheet");
        builder.nested_text("objects", "id", &format!("{:016}", row % 311));
        builder.nested_text("objects", "name", &format!("Plan {}", row % 311));
        for field in 0..6 {
            builder.begin_nested("fields");
            builder.nested_text("fields", "key", &format!("field{field}"));
            builder.nested_text("fields", "value", &format!("{}", (row * 7 + field) % 53));
        }
    }
    builder.finish()
}

fn median(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

fn time(times: usize, mut each: impl FnMut()) -> (Duration, Duration) {
    for _ in 0..times / 10 + 3 {
        each();
    }
    median(
        (0..times)
            .map(|_| {
                let start = Instant::now();
                each();
                start.elapsed()
            })
            .collect(),
    )
}

fn guest(name: &str) -> &'static [u8] {
    let hostile = casbah_plugin_bundle::HOSTILE.iter().find(|guest| guest.name == name);
    hostile.or_else(|| casbah_plugin_bundle::find(name)).unwrap().bytes
}

/// Evaluates a stream of batches, carrying the state; the time of all of them.
fn stream(detector: &dyn Detector, batches: &[Batch]) -> Duration {
    let mut states: HashMap<StateKey, Vec<u8>> = HashMap::new();
    let start = Instant::now();
    for batch in batches {
        let mut load = |keys: &[StateKey]| {
            keys.iter().map(|key| states.get(key).cloned().unwrap_or_default()).collect()
        };
        let (keys, outcome) = detector.evaluate(batch, &mut load).unwrap();
        for (place, state) in outcome.changes {
            states.insert(keys[place as usize].clone(), state);
        }
    }
    start.elapsed()
}

/// The `activity` detector with 20 policies, native and in the sandbox, in the same run.
fn compare(engine: &Engine) {
    let policies: Vec<String> = (0..20).map(made::policy).collect();
    let plugin = load(engine, "activity");
    println!(
        "activity: load       {:>9.2?}  ({} bytes)",
        plugin.info().load_time,
        plugin.info().size
    );
    let (typical, _) = time(50, || assert!(load(engine, "activity").info().cached));
    println!("activity: from cache {typical:>9.2?}");
    let (typical, worst) = time(300, || {
        plugin.configure(policies.clone()).unwrap();
    });
    println!("activity: configure 20 policies, instance included {typical:.2?}  max {worst:.2?}");
    let sandboxed = plugin.configure(policies.clone()).unwrap();
    let native = Native::<Activity>::configure(&policies).unwrap();
    for rows in [256, 1024, 4096] {
        let (mut numbers, mut sequence, mut time) = (made::Numbers::new(), 0, 1_790_000_000_000);
        let batches: Vec<Batch> = (0..131_072 / rows)
            .map(|_| made::batch(&mut numbers, rows, &mut sequence, &mut time))
            .collect();
        let mut best = [Duration::MAX; 2];
        for _ in 0..5 {
            best[0] = best[0].min(stream(&native, &batches));
            best[1] = best[1].min(stream(&sandboxed, &batches));
        }
        let [native, sandboxed] = best.map(|best| best.as_secs_f64() * 1e9 / 131_072.0);
        println!(
            "activity: {rows:>5} rows, 20 policies: native {native:.0} ns, sandbox {sandboxed:.0} ns an activity, {:.2} times",
            sandboxed / native
        );
    }
}

fn load(engine: &Engine, name: &str) -> DetectorPlugin {
    DetectorPlugin::load(engine, name, guest(name), Limits::detector()).unwrap()
}

fn evaluate(detector: &ConfiguredDetector, batch: &Batch) {
    detector.evaluate_batch(batch, &mut |keys| vec![Vec::new(); keys.len()]).unwrap();
}

fn main() {
    let folder = std::env::temp_dir().join(format!("casbah-boundary-{}", std::process::id()));
    let options =
        || EngineOptions::with_cache(CacheOptions { folder: folder.clone(), key: [7; 32] });
    let engine = Engine::new(options()).unwrap();
    let empty = load(&engine, "empty");
    println!(
        "compile              {:>9.2?}  ({} bytes)",
        empty.info().load_time,
        empty.info().size
    );
    let (typical, worst) = time(50, || assert!(load(&engine, "empty").info().cached));
    println!("load from cache      {typical:>9.2?}  max {worst:.2?}");

    let detector = empty.configure(vec!["{}".to_owned()]).unwrap();
    let nothing = Batch::default();
    let (typical, worst) = time(2000, || evaluate(&detector, &nothing));
    println!("empty batch          {typical:>9.2?}  max {worst:.2?}");
    for rows in [1, 64, 256, 1024, 4096] {
        let batch = batch(rows);
        let (typical, worst) = time(1_000_000 / (rows + 1000), || evaluate(&detector, &batch));
        println!(
            "{rows:>5} rows           {typical:>9.2?}  max {worst:.2?}  {:.1} ns an activity",
            typical.as_secs_f64() * 1e9 / rows as f64
        );
    }

    let hostile = load(&engine, "detector");
    let settings = r#"{"in": "finish", "attack": "panic"}"#.to_owned();
    let hostile = hostile.configure(vec![settings]).unwrap();
    let batch = batch(256);
    let (typical, worst) = time(300, || {
        assert!(hostile.evaluate_batch(&batch, &mut |keys| vec![Vec::new(); keys.len()]).is_err());
    });
    println!("panic, 256 rows      {typical:>9.2?}  max {worst:.2?}");
    let (typical, worst) = time(300, || {
        assert!(hostile.evaluate_batch(&batch, &mut |keys| vec![Vec::new(); keys.len()]).is_err());
        evaluate(&detector, &batch);
    });
    println!("panic and next batch {typical:>9.2?}  max {worst:.2?}");
    compare(&engine);
    std::fs::remove_dir_all(&folder).unwrap();
}
