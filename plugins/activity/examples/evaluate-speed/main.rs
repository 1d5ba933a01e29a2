//! How long the detector takes for an activity: `cargo run --release -p casbah-activity --example evaluate-speed`.
//!
//! The activities are made up in the manner of a Smartsheet account: 400 users, of whom some are
//! busy; views are common, exports rare; a third of the rows has an address. State is carried from
//! batch to batch. Figures are native; the sandbox is measured in the bench of the whole.

mod made;

use std::collections::HashMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use casbah_activity::Activity;
use casbah_model::{Batch, StateKey};
use casbah_plugin::Detector as _;
use made::{Numbers, batch, policy};

/// The shortest of several runs of the same work, which is the least disturbed one.
fn shortest(runs: &[Duration]) -> f64 {
    runs.iter().min().map_or(0.0, Duration::as_secs_f64)
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "policies  rows/batch  configure µs  begin ns  finish ns  all ns/activity  keys/batch  state B/key  findings"
    )?;
    for rows in [256, 1024, 4096] {
        for number in [1, 20, 100] {
            let policies: Vec<String> = (0..number).map(policy).collect();
            let configure: Vec<Duration> = (0..20)
                .map(|_| {
                    let start = Instant::now();
                    let detector = Activity::configure(&policies);
                    assert!(detector.is_ok());
                    start.elapsed()
                })
                .collect();
            let Ok(mut detector) = Activity::configure(&policies) else { return Ok(()) };
            let (mut numbers, mut sequence, mut time) = (Numbers::new(), 0, 1_790_000_000_000);
            let batches: Vec<Batch> = (0..65_536 / rows)
                .map(|_| batch(&mut numbers, rows, &mut sequence, &mut time))
                .collect();
            let (mut begin, mut finish) = (vec![Duration::MAX; 3], vec![Duration::MAX; 3]);
            let (mut keys_seen, mut findings, mut bytes) = (0, 0, 0.0);
            for run in 0..3 {
                let mut states: HashMap<StateKey, Vec<u8>> = HashMap::new();
                let (mut begun, mut finished) = (Duration::ZERO, Duration::ZERO);
                (keys_seen, findings) = (0, 0);
                for batch in &batches {
                    let batch = batch.clone();
                    let start = Instant::now();
                    let keys = detector.begin(batch).unwrap_or_default();
                    begun += start.elapsed();
                    let held: Vec<Vec<u8>> = keys
                        .iter()
                        .map(|key| states.get(key).cloned().unwrap_or_default())
                        .collect();
                    let start = Instant::now();
                    let outcome = detector.finish(&held).unwrap_or_default();
                    finished += start.elapsed();
                    keys_seen += keys.len();
                    findings += outcome.findings.len();
                    for (place, value) in outcome.changes {
                        if let Some(key) = keys.get(place as usize) {
                            states.insert(key.clone(), value);
                        }
                    }
                }
                if let (Some(b), Some(f)) = (begin.get_mut(run), finish.get_mut(run)) {
                    (*b, *f) = (begun, finished);
                }
                let all: usize = states.values().map(Vec::len).sum();
                bytes = all as f64 / states.len().max(1) as f64;
            }
            let each = |runs: &[Duration]| shortest(runs) * 1e9 / 65_536.0;
            writeln!(
                out,
                "{number:8}  {rows:10}  {:12.1}  {:8.1}  {:9.1}  {:15.1}  {:10}  {bytes:11.0}  {findings:8}",
                shortest(&configure) * 1e6,
                each(&begin),
                each(&finish),
                each(&begin) + each(&finish),
                keys_seen / batches.len(),
            )?;
        }
    }
    Ok(())
}
