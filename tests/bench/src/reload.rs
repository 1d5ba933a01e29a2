//! A thousand policies, every one of them changed, taken over while the log is evaluated: how long
//! that takes from reading the folder to evaluating, and how long no batch was evaluated meanwhile.
//!
//! The detector is the sandboxed one, the store a real one on disk. Two cores are used, as in life:
//! the folder is read and configured beside the evaluation.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use casbah_detect::{
    ConfigureError, Detectors, Evaluator, EvaluatorOptions, PolicySet, Sources, folder,
};
use casbah_model::detector::{Detector, DetectorDescription, DetectorError, Outcome};
use casbah_model::{Batch, StateKey, TenantName};
use casbah_runtime::Engine;
use casbah_store::{Commit, NewBlock, Options, Records, Store};
use serde_json::{Value, json};

use crate::all::Sandboxed;
use crate::{Company, Figures, boundary, policies};

/// Rows of a block of the log.
const ROWS: usize = 4096;
/// So often the same activities are stored: there must be something to evaluate all the time.
const TIMES: usize = 12;
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn measure(
    engine: &Engine,
    company: &Company,
    folder: &Path,
    figures: &mut Figures,
) -> Result<()> {
    all_cores();
    let batch = boundary::batch(engine, company)?;
    let texts = files(&policies::policies(&batch))?;
    let files = folder.join("reload-policies");
    write(&files, &texts, "")?;
    let detectors = Timed { inner: Sandboxed::load(engine)?, gaps: Arc::default() };
    let tenant: TenantName = "bench".parse()?;
    let data = folder.join("reload");
    let store: Arc<dyn Store> = Arc::new(casbah_store::open(&data, Options::default(), &|_| {})?);
    fill(store.as_ref(), &tenant, &batch)?;

    let groups = read(&files, &detectors)?.groups(&detectors)?;
    let options = EvaluatorOptions::default();
    let evaluator = Evaluator::start(Arc::clone(&store), tenant.clone(), groups, options)?;
    // Once the first instances are warm, undisturbed for a while.
    wait(&detectors, 8)?;
    detectors.gaps.forget();
    wait(&detectors, 8)?;
    let quiet = detectors.gaps.longest();

    let mut best = Duration::MAX;
    let mut longest = Duration::ZERO;
    for round in 0..3 {
        write(&files, &texts, &format!(" (round {round})"))?;
        detectors.gaps.forget();
        let start = Instant::now();
        let set = read(&files, &detectors)?;
        let groups = set.groups(&detectors)?;
        let configured = start.elapsed();
        evaluator.replace(groups, &Arc::default())?;
        anyhow::ensure!(evaluator.wait_replaced(PATIENCE), "the policies were not taken over");
        let took = start.elapsed();
        if took < best {
            best = took;
            figures.insert("reload_1000_configure_ms", ms(configured));
        }
        // The first batch of the new configuration ends the gap.
        wait(&detectors, 2)?;
        longest = longest.max(detectors.gaps.longest());
    }
    let behind = evaluator.status().iter().map(|group| group.lag_rows).sum::<u64>();
    anyhow::ensure!(behind > 0, "there was nothing left to evaluate, so nothing was measured");
    drop(evaluator);
    store.close()?;
    figures.insert("reload_1000_ms", ms(best));
    figures.insert("reload_1000_longest_gap_ms", ms(longest));
    figures.insert("reload_1000_gap_without_ms", ms(quiet));
    crate::pin();
    Ok(())
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

/// What `casbah run` does with a folder that has changed.
fn read(files: &Path, detectors: &dyn Detectors) -> Result<PolicySet> {
    let content = folder::read(files)?;
    let sources = Sources { policies: &content.policies, lists: &content.lists, groups: None };
    Ok(PolicySet::read_with(&sources, detectors)?)
}

/// Policy files with these settings, by name.
fn files(settings: &[String]) -> Result<BTreeMap<String, String>> {
    settings
        .iter()
        .map(|text| {
            let mut policy: Value = serde_json::from_str(text)?;
            let keys = policy.as_object_mut().context("settings are an object")?;
            let name = keys.get("policy").and_then(Value::as_str).context("no name")?.to_owned();
            keys.remove("quiet");
            let rows =
                keys.remove("severities").and_then(|all| Some(all.get(0)?.get("when")?.clone()));
            let severity = match rows {
                Some(rows) => json!({"default": "medium", "high": rows}),
                None => json!("medium"),
            };
            keys.insert("title".to_owned(), json!(format!("Policy {name}TITLE")));
            keys.insert("severity".to_owned(), severity);
            keys.insert("alert".to_owned(), json!({"quiet": "1d"}));
            Ok((name, policy.to_string()))
        })
        .collect()
}

fn write(folder: &Path, texts: &BTreeMap<String, String>, title: &str) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, text) in texts {
        std::fs::write(folder.join(format!("{name}.yaml")), text.replace("TITLE", title))?;
    }
    Ok(())
}

fn fill(store: &dyn Store, tenant: &TenantName, batch: &Batch) -> Result<()> {
    let times = batch.integers("time").context("no times")?;
    let min_time = times.iter().min().copied().unwrap_or(0);
    let max_time = times.iter().max().copied().unwrap_or(0);
    let blocks: Vec<Arc<Batch>> = (0..batch.len() / ROWS)
        .map(|cut| Arc::new(batch.select(&(cut * ROWS..(cut + 1) * ROWS).collect::<Vec<_>>())))
        .collect();
    for block in blocks.iter().cycle().take(blocks.len() * TIMES) {
        let block = NewBlock {
            batch: Arc::clone(block),
            raw: Records::new(),
            marks: Vec::new(),
            min_time,
            max_time,
        };
        store.commit(tenant, Commit::new().append(block))?;
    }
    Ok(())
}

/// Waits until so many batches more were evaluated.
fn wait(detectors: &Timed, batches: u64) -> Result<()> {
    let until = detectors.gaps.batches.load(Ordering::Relaxed) + batches;
    let start = Instant::now();
    while detectors.gaps.batches.load(Ordering::Relaxed) < until {
        anyhow::ensure!(start.elapsed() < PATIENCE, "nothing is evaluated any more");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Detectors that note when they evaluate.
struct Timed {
    inner: Sandboxed,
    gaps: Arc<Gaps>,
}

/// The times between two batches.
#[derive(Default)]
struct Gaps {
    batches: AtomicU64,
    /// End of the last batch, and the longest time from an end to the next beginning.
    seen: Mutex<(Option<Instant>, Duration)>,
}

impl Gaps {
    fn begin(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gap) = seen.0.map(|end| end.elapsed()) {
            seen.1 = seen.1.max(gap);
        }
    }

    fn end(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(Instant::now());
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    fn forget(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).1 = Duration::ZERO;
    }

    fn longest(&self) -> Duration {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Detectors for Timed {
    fn names(&self) -> Vec<String> {
        self.inner.names()
    }

    fn describe(&self, name: &str) -> Option<DetectorDescription> {
        self.inner.describe(name)
    }

    fn configure(
        &self,
        name: &str,
        policies: &[String],
    ) -> Result<Arc<dyn Detector>, ConfigureError> {
        let inner = self.inner.configure(name, policies)?;
        Ok(Arc::new(TimedDetector { inner, gaps: Arc::clone(&self.gaps) }))
    }
}

struct TimedDetector {
    inner: Arc<dyn Detector>,
    gaps: Arc<Gaps>,
}

impl Detector for TimedDetector {
    fn description(&self) -> &DetectorDescription {
        self.inner.description()
    }

    fn evaluate(
        &self,
        batch: &Batch,
        load: &mut dyn FnMut(&[StateKey]) -> Vec<Vec<u8>>,
    ) -> Result<(Vec<StateKey>, Outcome), DetectorError> {
        self.gaps.begin();
        let result = self.inner.evaluate(batch, load);
        self.gaps.end();
        result
    }
}

/// Undoes what [`crate::pin`] did.
fn all_cores() {
    let mut cores = rustix::thread::CpuSet::new();
    for core in 0..rustix::thread::CpuSet::MAX_CPU {
        cores.set(core);
    }
    // Where that is not allowed, the figures are those of one core.
    let _ = rustix::thread::sched_setaffinity(None, &cores);
}
