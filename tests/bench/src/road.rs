//! The whole road on one core: page bytes, the sandboxed adapter, the durable log, the evaluation
//! loop with twenty policies in the sandboxed detector, alerts committed.
//!
//! What is left out is the network: the pages are in memory.

use std::hash::Hasher as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use casbah_connect::accounts::Accounts;
use casbah_detect::{Evaluator, EvaluatorOptions, Group};
use casbah_model::adapter::{Adapter, Page};
use casbah_model::{Batch, ConnectionName, TenantName};
use casbah_plugin_bundle as bundle;
use casbah_runtime::{DetectorPlugin, Engine, Limits};
use casbah_store::{Commit, NewBlock, Options, Records, Store, Table};
use siphasher::sip::SipHasher13;

use crate::boundary::road_policies;
use crate::{Company, Figures, adapter, per};

pub(crate) fn measure(
    engine: &Engine,
    company: &Company,
    folder: &Path,
    figures: &mut Figures,
) -> Result<()> {
    let mut best = f64::INFINITY;
    for run in 0..3 {
        let data = folder.join(format!("road-{run}"));
        let (took, alerts) = road(engine, company, &data)?;
        anyhow::ensure!(alerts > 0, "the made-up company raised no alert");
        best = best.min(took.as_secs_f64());
        if run == 0 {
            figures.insert("disk_bytes", size(&data)? as f64 / company.events as f64);
        }
    }
    figures.insert("road_per_second_core", company.events as f64 / best);
    figures.insert("road_ns", per(Duration::from_secs_f64(best), company.events));
    Ok(())
}

fn road(engine: &Engine, company: &Company, data: &Path) -> Result<(Duration, u64)> {
    let adapter = adapter(engine)?;
    let tenant: TenantName = "bench".parse()?;
    let connection: ConnectionName = "bench".parse()?;
    let store: Arc<dyn Store> = Arc::new(casbah_store::open(data, Options::default(), &|_| {})?);
    let policies = road_policies()?;
    let detector = bundle::find("activity").context("no detector in the bundle")?;
    let detector = DetectorPlugin::load(engine, detector.name, detector.bytes, Limits::detector())?;
    let settings = policies.iter().map(|policy| policy.settings_json.clone()).collect();
    let configured = detector.configure(settings).map_err(|error| anyhow::anyhow!("{error}"))?;
    let group = Group::new("activity", Arc::new(configured), policies);
    let accounts = Accounts::new(&["northwind.example".to_owned()]);
    let responses: Vec<_> = (0..company.pages.len()).map(|page| company.response(page)).collect();

    let start = Instant::now();
    let evaluator = Evaluator::start(
        Arc::clone(&store),
        tenant.clone(),
        vec![group],
        EvaluatorOptions::default(),
    )?;
    for (number, response) in responses.iter().enumerate() {
        let page = adapter.read(response)?;
        let received = company.end;
        let commit = take(store.as_ref(), &tenant, &connection, page, &response.body, |batch| {
            accounts.join(batch, "smartsheet", &connection, received);
        })?
        .put(Table::Cursor, "bench", number.to_string());
        store.commit(&tenant, commit)?;
        evaluator.wake();
    }
    anyhow::ensure!(evaluator.wait_caught_up(Duration::from_secs(600)), "evaluation did not end");
    let status = evaluator.stop();
    let took = start.elapsed();
    store.close()?;
    Ok((took, status.iter().map(|group| group.alerts).sum()))
}

/// What the fetch loop does with a page before it commits it.
pub(crate) fn take(
    store: &dyn Store,
    tenant: &TenantName,
    connection: &ConnectionName,
    page: Page,
    body: &[u8],
    join: impl FnOnce(&mut Batch),
) -> Result<Commit> {
    let mut batch = page.batch;
    let ids = batch.text_ids("id").context("no ids")?;
    let marks: Vec<u64> = ids
        .iter()
        .map(|&id| {
            let mut hasher = SipHasher13::new_with_key(&store.mark_key());
            hasher.write(connection.as_str().as_bytes());
            hasher.write(batch.texts.get(id).as_bytes());
            hasher.finish()
        })
        .collect();
    let seen = store.seen(tenant, &marks);
    anyhow::ensure!(seen.iter().all(|seen| !seen), "an event came twice");
    let mut raw = Records::new();
    for span in page.raw.chunks_exact(2) {
        if let [start, end] = span {
            raw.push(body.get(*start as usize..*end as usize).unwrap_or_default());
        }
    }
    join(&mut batch);
    let times = batch.integers("time").context("no times")?;
    let (min_time, max_time) =
        (times.iter().min().copied().unwrap_or(0), times.iter().max().copied().unwrap_or(0));
    Ok(Commit::new().append(NewBlock { batch: Arc::new(batch), raw, marks, min_time, max_time }))
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    if !folder.is_dir() {
        return Ok(0);
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            size(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}
