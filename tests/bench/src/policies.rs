//! What many policies cost: ten and a thousand of them, in the sandboxed `activity` detector, on
//! activities that are read already, and what their windows take to remember.
//!
//! The policies are such as a large tenant writes: a tenth is broad, the others are about some people,
//! a folder, a project or a client; nine of ten count, add up, or look for what follows what.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, Result};
use casbah_activity::Activity;
use casbah_model::detector::Detector;
use casbah_model::{Batch, StateKey};
use casbah_plugin::Native;
use casbah_plugin_bundle as bundle;
use casbah_runtime::{DetectorPlugin, Engine, Limits};
use serde_json::{Value, json};

use crate::{Company, Figures, boundary, cpu, per, ratio};

/// As many as the evaluation loop takes at once.
const ROWS: usize = 16_384;
/// What the host puts before every key of state: the marks of detector, policy and settings.
const PREFIX: usize = 14;
/// The longest key that stands for itself; a hash of as many bytes stands for a longer one.
const KEY: usize = 12;

pub(crate) fn measure(engine: &Engine, company: &Company, figures: &mut Figures) -> Result<()> {
    let batch = boundary::batch(engine, company)?;
    let thousand = policies(&batch);
    // Every kind of policy in its share.
    let ten: Vec<String> = thousand.iter().step_by(101).cloned().collect();
    let plugin = bundle::find("activity").context("no detector in the bundle")?;
    let plugin = DetectorPlugin::load(engine, plugin.name, plugin.bytes, Limits::detector())?;
    let mut took = Vec::new();
    for policies in [&ten, &thousand] {
        let sandboxed =
            plugin.configure(policies.clone()).map_err(|error| anyhow::anyhow!("{error}"))?;
        let cuts = cut(&batch, &sandboxed);
        let mut best = Duration::MAX;
        for _ in 0..5 {
            best = best.min(run(&sandboxed, &cuts)?.0);
        }
        took.push((best, cuts.iter().map(Batch::len).sum::<usize>(), cuts));
    }
    let [(ten_took, rows, _), (thousand_took, _, cuts)] = took.as_slice() else { return Ok(()) };
    // Every batch has a fresh instance, which reads the settings of all policies.
    let configure = least_cpu(5, || {
        plugin.configure(thousand.clone()).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(())
    })?;
    figures.insert("policies_1000_configure_ms", configure.as_secs_f64() * 1e3);
    figures.insert("policies_10_ns", per(*ten_took, *rows));
    figures.insert("policies_1000_ns", per(*thousand_took, *rows));
    figures.insert("policies_1000_per_second_core", *rows as f64 / thousand_took.as_secs_f64());
    figures.insert("policies_1000_over_10", ratio(*thousand_took, *ten_took));
    let noisy = mix(&batch, true);
    let noisy = plugin.configure(noisy).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut least = Duration::MAX;
    for _ in 0..3 {
        least = least.min(run(&noisy, cuts)?.0);
    }
    figures.insert("policies_1000_noisy_per_second_core", *rows as f64 / least.as_secs_f64());
    let native = Native::<Activity>::configure(&thousand)
        .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let mut best = Duration::MAX;
    let mut seen = None;
    for _ in 0..3 {
        let (took, run) = run(&native, cuts)?;
        best = best.min(took);
        seen = Some(run);
    }
    figures.insert("policies_1000_native_ns", per(best, *rows));
    let seen = seen.context("nothing was run")?;
    anyhow::ensure!(seen.findings > 0, "a thousand policies found nothing");
    figures.insert("policies_1000_findings", seen.findings as f64);
    figures.insert("policies_1000_keys_a_batch", seen.asked as f64 / cuts.len() as f64);
    figures.insert("policies_1000_keys", seen.states.len() as f64);
    let bytes: usize =
        seen.states.iter().map(|(key, value)| PREFIX + key.key.len().min(KEY) + value.len()).sum();
    figures.insert("window_bytes_per_key", bytes as f64 / seen.states.len().max(1) as f64);
    Ok(())
}

/// The least computing of some runs.
fn least_cpu(runs: u32, mut run: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut least = Duration::MAX;
    for _ in 0..runs {
        let start = cpu();
        run()?;
        least = least.min(cpu().saturating_sub(start));
    }
    Ok(least)
}

/// What the evaluation loop hands over: the columns that these policies need, and their texts.
fn cut(batch: &Batch, detector: &dyn Detector) -> Vec<Batch> {
    let reads = detector.description();
    let batch = batch.project(&reads.columns, &reads.nested);
    (0..batch.len() / ROWS)
        .map(|cut| batch.select(&(cut * ROWS..(cut + 1) * ROWS).collect::<Vec<_>>()))
        .collect()
}

/// What came of a run.
struct Seen {
    states: HashMap<StateKey, Vec<u8>>,
    asked: usize,
    findings: usize,
}

fn run(detector: &dyn Detector, cuts: &[Batch]) -> Result<(Duration, Seen)> {
    let mut seen = Seen { states: HashMap::new(), asked: 0, findings: 0 };
    let start = cpu();
    for cut in cuts {
        let states = &seen.states;
        let (keys, outcome) = detector.evaluate(cut, &mut |keys| {
            keys.iter().map(|key| states.get(key).cloned().unwrap_or_default()).collect()
        })?;
        seen.asked += keys.len();
        seen.findings += outcome.findings.len();
        for (place, value) in outcome.changes {
            let Some(key) = keys.get(place as usize) else { continue };
            match seen.states.get_mut(key) {
                Some(there) => *there = value,
                None => _ = seen.states.insert(key.clone(), value),
            }
        }
    }
    Ok((cpu().saturating_sub(start), seen))
}

/// The values of a column, the most frequent first.
fn frequent(batch: &Batch, column: &str) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in 0..batch.len() {
        *counts.entry(batch.text(column, row)).or_default() += 1;
    }
    counts.remove("");
    let mut values: Vec<_> = counts.into_iter().collect();
    values.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
    values.into_iter().map(|(value, _)| value.to_owned()).collect()
}

/// A thousand different policies about what is in the batch.
pub(crate) fn policies(batch: &Batch) -> Vec<String> {
    mix(batch, false)
}

/// What everybody does all day is counted, but is no finding, step or expectation by itself, unless
/// the policies are to be `noisy`: then every ninth activity makes a finding.
fn mix(batch: &Batch, noisy: bool) -> Vec<String> {
    let [kinds, actors, objects] =
        ["kind", "actor", "object"].map(|column| frequent(batch, column));
    let some = |of: &[String], from: usize, number: usize| -> Vec<String> {
        (0..number)
            .filter_map(|place| of.get((from + place * 7) % of.len().max(1)).cloned())
            .collect()
    };
    (0..1000)
        .map(|number| {
            let rare = !noisy && matches!(number % 10, 0 | 8 | 9);
            let from = if rare { kinds.len() / 3 } else { 0 };
            let kind = |offset: usize| {
                let place = from + (number / 10 + offset) % (kinds.len() - from).max(1);
                json!({"field": "kind", "is": kinds.get(place)})
            };
            let about = match number / 10 % 10 {
                0 => json!({"field": "app", "is": "smartsheet"}),
                1 | 2 => json!({"field": "actor", "in": some(&actors, number, 5)}),
                3 | 4 => json!({"field": "object", "in": some(&objects, number, 20)}),
                5 => json!({"field": "object.name", "contains": [format!("{} plan", number % 97), "salar"]}),
                6 => json!({"field": "recipient.external", "is": true}),
                7 => json!({"field": "actor.type", "in": ["service", "system"]}),
                8 => json!({"field": "time", "part": "hour", "in": [number % 24, 23], "zone": "+01:00"}),
                _ => json!({"field": "actor.admin", "is": true}),
            };
            settings(number, [kind(0), kind(3)], &about)
        })
        .collect()
}

fn settings(number: usize, [kind, other]: [Value; 2], about: &Value) -> String {
    let more = number % 13;
    let mut settings = match number % 10 {
        0 => json!({"when": [kind, about]}),
        1..=3 => json!({"when": [kind, about], "repeat": {"count": 20 + more, "within": "5m"}}),
        4 => {
            json!({"when": [kind, about], "repeat": {"count": 50 + more, "within": "1h", "by": ["actor", "app"]}})
        }
        5 | 6 => {
            json!({"when": [kind, about], "repeat": {"count": 15 + more, "within": "1h", "distinct": "object"}})
        }
        7 => {
            json!({"when": [kind, about], "repeat": {"sum": "amount", "above": 500 + more, "within": "1h"}})
        }
        8 => {
            json!({"when": [about], "sequence": {"within": "10m", "steps": [{"when": [kind]}, {"when": [other]}]}})
        }
        _ => json!({"when": [kind, about], "absence": {"within": "1h", "expect": [other]}}),
    };
    let graver = match number.is_multiple_of(5) {
        true => json!([{"severity": "high", "when": [{"field": "actor.admin", "is": true}]}]),
        false => json!([]),
    };
    let common =
        json!({"policy": format!("policy-{number}"), "quiet": 86_400_000, "severities": graver});
    if let (Value::Object(settings), Value::Object(common)) = (&mut settings, common) {
        settings.extend(common);
    }
    settings.to_string()
}
