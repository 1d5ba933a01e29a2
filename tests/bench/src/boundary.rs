//! What crossing into the sandbox costs, and what running there costs over running natively.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use casbah_activity::Activity;
use casbah_detect::PolicyFile;
use casbah_model::adapter::Adapter;
use casbah_model::detector::Detector;
use casbah_model::{Batch, StateKey, Values};
use casbah_plugin::Native;
use casbah_plugin_bundle as bundle;
use casbah_runtime::{DetectorPlugin, Engine, Limits};

use crate::{Company, Figures, adapter, per, ratio};

pub(crate) fn measure(engine: &Engine, company: &Company, figures: &mut Figures) -> Result<()> {
    let batch = batch(engine, company)?;
    let empty = bundle::HOSTILE
        .iter()
        .find(|plugin| plugin.name == "empty")
        .context("no empty detector in the bundle")?;
    let empty = DetectorPlugin::load(engine, "empty", empty.bytes, Limits::detector())?;
    let empty =
        empty.configure(vec!["{}".to_owned()]).map_err(|error| anyhow::anyhow!("{error}"))?;
    for (name, rows) in
        [("boundary_ns", 256), ("boundary_1024_ns", 1024), ("boundary_4096_ns", 4096)]
    {
        let cut = batch.select(&(0..rows).collect::<Vec<_>>());
        let calls = 400_000 / rows;
        let took = crate::best_of(10, || {
            for _ in 0..calls {
                empty.evaluate(&cut, &mut |keys| vec![Vec::new(); keys.len()])?;
            }
            Ok(())
        })?;
        figures.insert(name, per(took, calls * rows));
    }
    over_native(engine, &batch, figures)
}

/// The `activity` detector with twenty policies, by the same code in both worlds.
fn over_native(engine: &Engine, batch: &Batch, figures: &mut Figures) -> Result<()> {
    // As many as the evaluation loop takes at once.
    const ROWS: usize = 16_384;
    let policies = policies()?;
    let plugin = bundle::find("activity").context("no detector in the bundle")?;
    let plugin = DetectorPlugin::load(engine, plugin.name, plugin.bytes, Limits::detector())?;
    let sandboxed =
        plugin.configure(policies.clone()).map_err(|error| anyhow::anyhow!("{error}"))?;
    let native =
        Native::<Activity>::configure(&policies).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    // What the evaluation loop hands over: the columns that these policies need, and their texts.
    let reads = sandboxed.description();
    let batch = batch.project(&reads.columns, &reads.nested);
    let cuts: Vec<_> = (0..batch.len() / ROWS)
        .map(|cut| batch.select(&(cut * ROWS..(cut + 1) * ROWS).collect::<Vec<_>>()))
        .collect();
    let (mut best_sandboxed, mut best_native) = (Duration::MAX, Duration::MAX);
    for _ in 0..15 {
        // In turn, so that a machine that slows down slows both.
        best_sandboxed = best_sandboxed.min(run(&sandboxed, &cuts)?);
        best_native = best_native.min(run(&native, &cuts)?);
    }
    let rows = cuts.len() * ROWS;
    figures.insert("sandbox_over_native", ratio(best_sandboxed, best_native));
    figures.insert("evaluate_20_policies_ns", per(best_sandboxed, rows));
    figures.insert("evaluate_20_policies_native_ns", per(best_native, rows));
    Ok(())
}

fn run(detector: &dyn Detector, cuts: &[Batch]) -> Result<Duration> {
    let mut states: HashMap<StateKey, Vec<u8>> = HashMap::new();
    let start = Instant::now();
    for cut in cuts {
        let (keys, outcome) = detector.evaluate(cut, &mut |keys| {
            keys.iter().map(|key| states.get(key).cloned().unwrap_or_default()).collect()
        })?;
        for (place, value) in outcome.changes {
            if let Some(key) = keys.get(place as usize) {
                states.insert(key.clone(), value);
            }
        }
    }
    Ok(start.elapsed())
}

/// The settings of twenty built-in policies.
pub(crate) fn policies() -> Result<Vec<String>> {
    let set = road_policies()?;
    Ok(set.iter().map(|policy| policy.settings_json.clone()).collect())
}

/// Twenty built-in policies of the detector `activity`.
pub(crate) fn road_policies() -> Result<Vec<Arc<PolicyFile>>> {
    let set = crate::all::policies()?;
    let found = set.policies().iter().filter(|policy| policy.detector == "activity");
    let twenty: Vec<_> = found.take(20).cloned().collect();
    anyhow::ensure!(twenty.len() == 20, "there are only {} policies", twenty.len());
    Ok(twenty)
}

/// Activities as they lie in the log: with sequence numbers and the columns that the host fills.
pub(crate) fn batch(engine: &Engine, company: &Company) -> Result<Batch> {
    let adapter = adapter(engine)?;
    // Several pages in one table: what a page repeats of the page before it is held once.
    let mut body = Vec::new();
    for page in company.pages.iter().take(7) {
        let page = page.strip_prefix(b"{\"data\":[").context("a page begins otherwise")?;
        let end = page.windows(2).rposition(|pair| pair == b"],").context("a page has no end")?;
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(page.get(..end).unwrap_or_default());
    }
    body.push(b']');
    let spans = adapter.split(&body)?;
    let mut batch = adapter.normalize("{}", &body, &spans)?;
    let rows = batch.rows.into();
    casbah_connect::accounts::Accounts::default().join(
        &mut batch,
        "smartsheet",
        &"bench".parse()?,
        company.end,
    );
    batch.set_column("sequence", Values::Integer((1..=rows).collect()));
    Ok(batch)
}
