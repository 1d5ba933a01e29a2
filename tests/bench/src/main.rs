//! `make bench`: what the hot path costs, in one run on one core.
//!
//! Prints every figure with its target and writes `target/bench.json`, one flat object. Figures in
//! nanoseconds and activities a second are those of this machine; ratios hold elsewhere, too.
//! The data is a made-up company's week: real logs differ.
//!
//! It is not a test: nothing fails here when a target is missed.

#![expect(clippy::print_stdout, reason = "a measurement")]

mod all;
mod backtest;
mod boundary;
mod company;
mod enrich;
#[path = "../../demo/src/geo.rs"]
mod geo;
#[path = "../../../host/detect/tests/support/mod.rs"]
mod natively;
mod policies;
mod reload;
mod road;
mod sigma;
mod start;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use casbah_model::adapter::{Adapter, Next, PlanRequest, Response};
use casbah_runtime::{AdapterPlugin, CacheOptions, Engine, EngineOptions, Limits};
use smartsheet_sim::{Plan, World};

/// What was measured, by name.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

fn main() -> Result<()> {
    pin();
    let folder = tempfile::tempdir()?;
    let engine = Engine::new(EngineOptions::with_cache(CacheOptions {
        folder: folder.path().join("cache"),
        key: [7; 32],
    }))?;
    let mut figures = Figures::new();
    let company = Company::new(200_000);
    // `casbah-bench enrich road` measures only these parts; `without` only when it is named.
    let only: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| only.is_empty() || only.iter().any(|name| name == part);
    if wanted("boundary") {
        boundary::measure(&engine, &company, &mut figures)?;
    }
    if wanted("policies") {
        policies::measure(&engine, &company, &mut figures)?;
    }
    if wanted("sigma") {
        sigma::measure(&engine, &mut figures)?;
    }
    if wanted("reload") {
        reload::measure(&engine, &company, folder.path(), &mut figures)?;
    }
    if wanted("backtest") {
        backtest::measure(&engine, &company, folder.path(), &mut figures)?;
    }
    if wanted("normalize") {
        normalize(&engine, &company, &mut figures)?;
    }
    if wanted("enrich") {
        enrich::measure(&engine, &company, folder.path(), &mut figures)?;
    }
    if wanted("road") {
        road::measure(&engine, &company, folder.path(), &mut figures)?;
    }
    if ["all", "adapters", "detectors", "without"].into_iter().any(&wanted) {
        all::measure(&engine, folder.path(), &wanted, &mut figures)?;
    }
    if wanted("start") {
        start::measure(folder.path(), &mut figures)?;
    }
    report(&figures)
}

/// One core for everything, threads included: they inherit it.
fn pin() {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(0);
    if rustix::thread::sched_setaffinity(None, &cores).is_err() {
        println!("this run is not pinned to one core: the road's figure is too good");
    }
}

/// Pages as the simulated Smartsheet answers them.
pub(crate) struct Company {
    /// Bodies of 10,000 events each.
    pub(crate) pages: Vec<Vec<u8>>,
    /// Events in all of them.
    pub(crate) events: usize,
    /// When the week ends, ms since 1970.
    pub(crate) end: i64,
}

impl Company {
    fn new(events: usize) -> Self {
        const PAGE: usize = 10_000;
        let plan = Plan { events, ..Plan::default() };
        let end = plan.end;
        let world = World::new(&plan);
        let mut pages = Vec::new();
        for start in (0..world.len()).step_by(PAGE) {
            let page_end = (start + PAGE).min(world.len());
            let mut body = String::from("{\"data\":[");
            for at in start..page_end {
                if at > start {
                    body.push(',');
                }
                world.write_event(&mut body, at, false);
            }
            let more = page_end < world.len();
            body.push_str(&format!(
                "],\"moreAvailable\":{more},\"nextStreamPosition\":\"p{page_end}\"}}"
            ));
            pages.push(body.into_bytes());
        }
        Self { pages, events: world.len(), end }
    }

    /// The answer with a page.
    pub(crate) fn response(&self, page: usize) -> Response {
        Response {
            request: PlanRequest {
                stream: "activities".to_owned(),
                cursor: Some("{\"position\":\"p0\"}".to_owned()),
                settings: "{}".to_owned(),
                page_size: 10_000,
                ..PlanRequest::default()
            },
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: self.pages.get(page).cloned().unwrap_or_default(),
        }
    }
}

/// The Smartsheet adapter in the sandbox.
pub(crate) fn adapter(engine: &Engine) -> Result<AdapterPlugin> {
    let plugin = casbah_plugin_bundle::find("smartsheet").context("no adapter in the bundle")?;
    Ok(AdapterPlugin::load(engine, plugin.name, plugin.bytes, Limits::adapter())?)
}

fn normalize(engine: &Engine, company: &Company, figures: &mut Figures) -> Result<()> {
    let sandboxed = adapter(engine)?;
    let native = casbah_plugin::NativeAdapter::<casbah_smartsheet::Smartsheet>::new();
    let responses: Vec<_> = (0..company.pages.len()).map(|page| company.response(page)).collect();
    let read = |adapter: &dyn Adapter| -> Result<Duration> {
        let mut rows = 0;
        let took = best_of(3, || {
            rows = 0;
            for response in &responses {
                let page = adapter.read(response)?;
                anyhow::ensure!(matches!(page.next, Next::More | Next::CaughtUp));
                rows += page.batch.len();
            }
            Ok(())
        })?;
        anyhow::ensure!(rows == company.events, "{rows} of {} events were read", company.events);
        Ok(took)
    };
    let (sandboxed, native) = (read(&sandboxed)?, read(&native)?);
    figures.insert("normalize_ns", per(sandboxed, company.events));
    figures.insert("normalize_native_ns", per(native, company.events));
    figures.insert("normalize_sandbox_over_native", ratio(sandboxed, native));
    Ok(())
}

/// The shortest of some runs: what disturbs a run only makes it longer.
pub(crate) fn best_of(runs: u32, mut run: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

/// The time that this process has computed so far. On a busy machine it says more than a clock.
pub(crate) fn cpu() -> Duration {
    clock(rustix::time::ClockId::ProcessCPUTime)
}

/// The time that this thread has computed so far.
pub(crate) fn thread_cpu() -> Duration {
    clock(rustix::time::ClockId::ThreadCPUTime)
}

fn clock(id: rustix::time::ClockId) -> Duration {
    let spent = rustix::time::clock_gettime(id);
    Duration::new(spent.tv_sec.cast_unsigned(), spent.tv_nsec as u32)
}

/// Nanoseconds each.
pub(crate) fn per(took: Duration, count: usize) -> f64 {
    took.as_secs_f64() * 1e9 / count.max(1) as f64
}

/// One duration as a multiple of another.
pub(crate) fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-12)
}

/// Figures that have a target: name, whether less is better, target, what it is.
const TARGETS: &[(&str, bool, f64, &str)] = &[
    (
        "boundary_ns",
        true,
        100.0,
        "an empty detector, 256 activities, fresh instance, ns an activity",
    ),
    ("sandbox_over_native", true, 2.0, "`activity` with 20 policies, sandbox over native"),
    ("normalize_ns", true, f64::NAN, "a Smartsheet event into an activity, sandboxed, ns"),
    ("enrich_ns", true, 300.0, "enriching an activity whose address and client are known, ns"),
    ("road_per_second_core", false, 100_000.0, "page bytes to durable and evaluated, activities/s"),
    (
        "road_all_policies_per_second_core",
        false,
        80_000.0,
        "three apps, directory, enrichment, all policies: page bytes to evaluated, activities/s",
    ),
    (
        "road_all_policies_per_cpu_second",
        false,
        80_000.0,
        "the same a second of computing: without waiting for the disk or other programs",
    ),
    ("state_bytes_per_user", true, 1000.0, "state of all policies with its keys, bytes a person"),
    ("disk_bytes", true, 100.0, "bytes on disk an activity, raw record included"),
    (
        "policies_1000_per_second_core",
        false,
        150_000.0,
        "1,000 policies, 900 with windows, sandboxed, on read batches, activities/s",
    ),
    (
        "sigma_over_rsigma_match",
        false,
        10.0,
        "AWS rules on CloudTrail, matching alone: rsigma's time over ours, sandboxed",
    ),
    ("sigma_over_rsigma_with_parse", false, 3.0, "the same from bytes of JSON to hits"),
    ("sigma_all_over_rsigma_match", false, 10.0, "the same with all 278 rules"),
    ("sigma_all_over_rsigma_with_parse", false, 3.0, "the same from bytes of JSON to hits"),
    (
        "backtest_per_second",
        false,
        1_000_000.0,
        "20 policies over the stored log on all cores, activities/s",
    ),
    ("reload_1000_ms", true, 1000.0, "taking over 1,000 changed policies, ms"),
    ("policies_1000_over_10", true, 20.0, "1,000 policies over 10 of their kind"),
    ("window_bytes_per_key", true, 200.0, "a window's state with its key, bytes a policy and key"),
    ("start_ms", true, 150.0, "cold start with everything cached, ms"),
];

fn report(figures: &Figures) -> Result<()> {
    for (name, less, target, what) in TARGETS {
        let Some(value) = figures.get(name) else { continue };
        let verdict = match (target.is_nan(), if *less { value <= target } else { value >= target })
        {
            (true, _) => String::new(),
            (false, true) => format!("  reached ({target})"),
            (false, false) => format!("  MISSED ({target})"),
        };
        println!("{name:<34} {value:>12.2}{verdict}  {what}");
    }
    println!();
    for (name, value) in figures {
        if TARGETS.iter().all(|(target, ..)| target != name) {
            println!("{name:<34} {value:>12.2}");
        }
    }
    if std::env::args().len() > 1 {
        return Ok(());
    }
    let path = std::path::Path::new("target/bench.json");
    std::fs::create_dir_all("target")?;
    std::fs::write(path, serde_json::to_string_pretty(figures)? + "\n")?;
    Ok(())
}
