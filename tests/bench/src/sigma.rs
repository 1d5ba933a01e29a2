//! Sigma rules on the events of AWS CloudTrail, against another engine in plain native code.
//!
//! The events are the 2,900 of the tests, taken again and again under new ids, so that no text is met
//! more often than in a log of that size. Both engines must have the same hits, or nothing is said.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use casbah_detect::{PolicySet, PolicySource};
use casbah_model::Batch;
use casbah_model::adapter::Adapter;
use casbah_model::detector::Detector;
use casbah_plugin_bundle as bundle;
use casbah_runtime::{AdapterPlugin, DetectorPlugin, Engine, Limits};
use rsigma_eval::event::JsonEvent;
use rsigma_parser::{LogSource, SigmaCollection, parse_sigma_yaml};
use serde_json::Value;

use crate::natively::NativeDetectors;
use crate::{Figures, cpu, ratio};

/// How often the events are taken.
const TIMES: usize = 24;
/// As many as the evaluation loop takes at once: what matching alone is measured on.
const ROWS: usize = 16_384;
/// Bytes that are read at once, as `scan` does.
const PIECE: usize = 8 << 20;

const MAPPING: &str = r#"{"mapping": "cloudtrail"}"#;

pub(crate) fn measure(engine: &Engine, figures: &mut Figures) -> Result<()> {
    let lines = events()?;
    let whole = pieces(&lines, ROWS, usize::MAX);
    let pieces = pieces(&lines, usize::MAX, PIECE);
    let files = rules()?;
    let aws: Vec<_> = files.iter().filter(|(name, _)| name.contains("/aws/")).cloned().collect();
    let plugin = bundle::find("json").context("no adapter in the bundle")?;
    let adapter = AdapterPlugin::load(engine, plugin.name, plugin.bytes, Limits::adapter())?;
    let batches: Vec<Batch> =
        whole.iter().map(|piece| normalize(&adapter, piece)).collect::<Result<_>>()?;
    let values: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
    let read = least(|| {
        for piece in &pieces {
            normalize(&adapter, piece)?;
        }
        Ok(0)
    })?;
    let count = lines.len();
    let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    figures.insert("sigma_events", count as f64);
    figures.insert("json_read_ns", crate::per(read.0, count));
    figures.insert("json_read_mb_per_second", bytes as f64 / 1e6 / read.0.as_secs_f64());
    let parse = least(|| {
        for line in &lines {
            std::hint::black_box(serde_json::from_str::<Value>(line)?);
        }
        Ok(0)
    })?;
    figures.insert("json_serde_ns", crate::per(parse.0, count));
    for (rules, names) in [
        (
            &aws,
            [
                "sigma_match_ns",
                "sigma_rsigma_match_ns",
                "sigma_over_rsigma_match",
                "sigma_over_rsigma_with_parse",
            ],
        ),
        (
            &files,
            [
                "sigma_all_match_ns",
                "sigma_all_rsigma_match_ns",
                "sigma_all_over_rsigma_match",
                "sigma_all_over_rsigma_with_parse",
            ],
        ),
    ] {
        let ours = detector(engine, rules)?;
        let theirs = theirs(rules)?;
        let source = LogSource {
            product: Some("aws".to_owned()),
            service: Some("cloudtrail".to_owned()),
            ..LogSource::default()
        };
        // Whichever way it is faster: rules of other products left out, or not asked for.
        let pruned =
            |value: &Value| theirs.evaluate_pruned(&JsonEvent::borrow(value), &source).len();
        let plain = |value: &Value| theirs.evaluate(&JsonEvent::borrow(value)).len();
        let match_ours = least(|| hits(ours.as_ref(), &batches))?;
        let match_plain = least(|| Ok(values.iter().map(plain).sum()))?;
        let match_pruned = least(|| Ok(values.iter().map(pruned).sum()))?;
        ensure!(
            match_ours.1 == match_pruned.1,
            "{} hits here, {} hits there",
            match_ours.1,
            match_pruned.1
        );
        ensure!(match_ours.1 > 0, "nothing was found");
        let match_theirs = match_plain.0.min(match_pruned.0);
        let whole_ours = least(|| {
            let mut found = 0;
            for piece in &pieces {
                found += hits(ours.as_ref(), std::slice::from_ref(&normalize(&adapter, piece)?))?;
            }
            Ok(found)
        })?;
        let whole_theirs = least(|| {
            let mut found = 0;
            for line in &lines {
                found += pruned(&serde_json::from_str(line)?);
            }
            Ok(found)
        })?;
        let [ns, theirs_ns, matching, whole] = names;
        figures.insert(ns, crate::per(match_ours.0, count));
        figures.insert(theirs_ns, crate::per(match_theirs, count));
        figures.insert(matching, ratio(match_theirs, match_ours.0));
        figures.insert(whole, ratio(whole_theirs.0, whole_ours.0));
        figures.insert("sigma_hits", match_ours.1 as f64);
    }
    Ok(())
}

/// The least computing of some runs, and what came of them.
fn least(mut run: impl FnMut() -> Result<usize>) -> Result<(Duration, usize)> {
    let (mut least, mut found) = (Duration::MAX, 0);
    for _ in 0..3 {
        let start = cpu();
        found = run()?;
        least = least.min(cpu().saturating_sub(start));
    }
    Ok((least, found))
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/sigma/tests/data")
}

/// The events, one a line, each with ids of its own.
fn events() -> Result<Vec<String>> {
    let file = fs::File::open(data().join("cloudtrail/events.ndjson.gz"))?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text)?;
    let mut lines = Vec::new();
    for time in 0..TIMES {
        for line in text.lines() {
            let mut event: serde_json::Map<String, Value> = serde_json::from_str(line)?;
            for id in ["eventID", "requestID"] {
                if let Some(Value::String(id)) = event.get_mut(id) {
                    id.push_str(&format!("{time:03}"));
                }
            }
            lines.push(Value::Object(event).to_string());
        }
    }
    Ok(lines)
}

/// Files of so many lines and bytes at most.
fn pieces(lines: &[String], rows: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mut pieces = vec![Vec::new()];
    let mut count = 0;
    for line in lines {
        count += 1;
        if count > rows
            || pieces.last().is_some_and(|piece: &Vec<u8>| piece.len() + line.len() > bytes)
        {
            pieces.push(Vec::new());
            count = 1;
        }
        if let Some(piece) = pieces.last_mut() {
            piece.extend_from_slice(line.as_bytes());
            piece.push(b'\n');
        }
    }
    pieces
}

fn rules() -> Result<Vec<(String, String)>> {
    fn walk(folder: &Path, found: &mut BTreeMap<String, String>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(&path, found)?;
            } else {
                found.insert(path.display().to_string(), fs::read_to_string(&path)?);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    walk(&data().join("rules"), &mut found)?;
    Ok(found.into_iter().collect())
}

fn normalize(adapter: &AdapterPlugin, piece: &[u8]) -> Result<Batch> {
    let raw = adapter.split(piece)?;
    let mut batch = adapter.normalize(MAPPING, piece, &raw)?;
    // What the host adds to every activity before detectors see it.
    let rows = i64::from(batch.rows);
    batch.set_column("sequence", casbah_model::Values::Integer((1..=rows).collect()));
    ensure!(batch.column("broken").is_none(), "an event was not read");
    Ok(batch)
}

/// The sandboxed detector with the policies that the rules become.
fn detector(engine: &Engine, rules: &[(String, String)]) -> Result<Arc<dyn Detector>> {
    let compiled = casbah_sigma::compile(rules);
    ensure!(compiled.refused.is_empty(), "a rule was refused");
    let sources: Vec<PolicySource> = compiled
        .policies
        .into_iter()
        .map(|policy| PolicySource { file: policy.file, bytes: policy.text.into_bytes() })
        .collect();
    let set = PolicySet::read(&sources, &NativeDetectors)?;
    let settings = set.policies().iter().map(|policy| policy.settings_json.clone()).collect();
    let plugin = bundle::find("activity").context("no detector in the bundle")?;
    let plugin = DetectorPlugin::load(engine, plugin.name, plugin.bytes, Limits::detector())?;
    let configured = plugin.configure(settings).map_err(|error| anyhow!("{error}"))?;
    Ok(Arc::new(configured))
}

/// The other engine with the same rules, added at once.
fn theirs(rules: &[(String, String)]) -> Result<rsigma_eval::Engine> {
    let mut all = SigmaCollection::new();
    for (name, text) in rules {
        let read = parse_sigma_yaml(text).map_err(|error| anyhow!("{name}: {error}"))?;
        all.rules.extend(read.rules);
    }
    let mut engine = rsigma_eval::Engine::new();
    engine.add_collection(&all).map_err(|error| anyhow!("{error}"))?;
    ensure!(engine.rule_count() == rules.len(), "a rule was refused there");
    Ok(engine)
}

/// How many times a rule fired.
fn hits(detector: &dyn Detector, batches: &[Batch]) -> Result<usize> {
    let mut found = 0;
    for batch in batches {
        let (_, outcome) = detector.evaluate(batch, &mut |keys| vec![Vec::new(); keys.len()])?;
        found += outcome.findings.iter().map(|finding| finding.evidence.len()).sum::<usize>();
    }
    Ok(found)
}
