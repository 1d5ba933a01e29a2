//! Twenty policies over a million stored activities, on all cores: what `casbah policy backtest`
//! does.
//!
//! The log is the made-up company's week several times over, each a week later; reading it back from
//! the files is part of the measurement.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use casbah_connect::accounts::Accounts;
use casbah_detect::Group;
use casbah_detect::backtest::backtest;
use casbah_model::adapter::Adapter;
use casbah_model::{Batch, ConnectionName, TenantName, Values};
use casbah_plugin_bundle as bundle;
use casbah_runtime::{DetectorPlugin, Engine, Limits};
use casbah_store::{Commit, NewBlock, Options, Records, Store};

use crate::boundary::road_policies;
use crate::{Company, Figures, adapter, cpu};

const WEEK: i64 = 7 * 86_400_000;
const ACTIVITIES: usize = 1_000_000;

pub(crate) fn measure(
    engine: &Engine,
    company: &Company,
    folder: &Path,
    figures: &mut Figures,
) -> Result<()> {
    let tenant: TenantName = "bench".parse()?;
    let data = folder.join("backtest");
    fill(&data, &tenant, engine, company)?;
    let _all = Cores::all();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut best = f64::INFINITY;
    let mut computed = f64::INFINITY;
    for _ in 0..3 {
        // Opened anew each time: nothing is in memory but what the system keeps of the files.
        let store: Arc<dyn Store> =
            Arc::new(casbah_store::open(&data, Options::default(), &|_| {})?);
        let rows = store.log_range(&tenant).count();
        let groups = vec![group(engine)?];
        let (start, before) = (Instant::now(), cpu());
        let found = backtest(store.as_ref(), &tenant, vec![groups], threads, &|_, _| true)?;
        best = best.min(start.elapsed().as_secs_f64() / rows as f64);
        computed = computed.min((cpu() - before).as_secs_f64() / rows as f64);
        let alerts = found.first().map_or(0, |found| found.alerts.len());
        anyhow::ensure!(rows >= ACTIVITIES && alerts > 0, "{alerts} alerts in {rows} activities");
        store.close()?;
    }
    figures.insert("backtest_per_second", 1.0 / best);
    figures.insert("backtest_cpu_ns", computed * 1e9);
    figures.insert("backtest_threads", threads as f64);
    Ok(())
}

fn group(engine: &Engine) -> Result<Group> {
    let policies = road_policies()?;
    let plugin = bundle::find("activity").context("no detector in the bundle")?;
    let detector = DetectorPlugin::load(engine, plugin.name, plugin.bytes, Limits::detector())?;
    let settings = policies.iter().map(|policy| policy.settings_json.clone()).collect();
    let configured = detector.configure(settings).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(Group::new("activity", Arc::new(configured), policies))
}

/// Stores the company's week until there are enough activities.
fn fill(data: &Path, tenant: &TenantName, engine: &Engine, company: &Company) -> Result<()> {
    let adapter = adapter(engine)?;
    let accounts = Accounts::new(&["northwind.example".to_owned()]);
    let connection: ConnectionName = "bench".parse()?;
    let store = casbah_store::open(data, Options::default(), &|_| {})?;
    let pages: Vec<Batch> = (0..company.pages.len())
        .map(|page| Ok(adapter.read(&company.response(page))?.batch))
        .collect::<Result<_>>()?;
    for week in 0.. {
        for page in &pages {
            if store.log_range(tenant).count() >= ACTIVITIES {
                store.close()?;
                return Ok(());
            }
            let mut batch = page.clone();
            let times: Vec<i64> = batch
                .integers("time")
                .context("no times")?
                .iter()
                .map(|time| time + week * WEEK)
                .collect();
            let (min_time, max_time) = (
                times.iter().min().copied().unwrap_or(0),
                times.iter().max().copied().unwrap_or(0),
            );
            batch.set_column("time", Values::Integer(times));
            let received = company.end + week * WEEK;
            accounts.join(&mut batch, "smartsheet", &connection, received);
            let block = NewBlock {
                batch: Arc::new(batch),
                raw: Records::new(),
                marks: Vec::new(),
                min_time,
                max_time,
            };
            store.commit(tenant, Commit::new().append(block))?;
        }
    }
    Ok(())
}

/// The cores that this process may use, given back when dropped: all else is measured on one.
struct Cores(Option<rustix::thread::CpuSet>);

impl Cores {
    fn all() -> Self {
        let before = rustix::thread::sched_getaffinity(None).ok();
        let mut all = rustix::thread::CpuSet::new();
        (0..rustix::thread::CpuSet::MAX_CPU).for_each(|core| all.set(core));
        let set = rustix::thread::sched_setaffinity(None, &all).is_ok();
        Self(before.filter(|_| set))
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = rustix::thread::sched_setaffinity(None, before);
        }
    }
}
