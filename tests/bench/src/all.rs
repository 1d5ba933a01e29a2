//! The whole road with everything that is built in: three sandboxed adapters, accounts, directory and
//! enrichment, the durable log, and all policies in all sandboxed detectors.
//!
//! Also what of that is whose: every detector by itself, sandboxed and natively, and what the state
//! of all of them takes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use casbah_connect::accounts::Accounts;
use casbah_connect::directory::{Directory, DirectoryFile};
use casbah_detect::{
    ConfigureError, Detectors, Evaluator, EvaluatorOptions, Group, PolicySet, PolicySource,
};
use casbah_enrich::{EnrichSettings, Enricher, ListSettings};
use casbah_model::adapter::Adapter;
use casbah_model::detector::{Detector, DetectorDescription};
use casbah_model::{Batch, ConnectionName, StateKey, TenantName, Values};
use casbah_plugin::NativeAdapter;
use casbah_plugin_bundle as bundle;
use casbah_runtime::{AdapterPlugin, DetectorPlugin, Engine, Limits};
use casbah_store::{Options, ScanRange, Store, Table};

use crate::company::{Answer, Apps};
use crate::natively::NativeDetectors;
use crate::road::take;
use crate::{Figures, cpu, geo, per, thread_cpu};

/// Figures of every detector: sandboxed, natively, bytes of state a user.
const FIGURES: &[(&str, [&str; 3])] = &[
    ("activity", ["activity_ns", "activity_native_ns", "activity_state_bytes"]),
    ("lifecycle", ["lifecycle_ns", "lifecycle_native_ns", "lifecycle_state_bytes"]),
    ("novelty", ["novelty_ns", "novelty_native_ns", "novelty_state_bytes"]),
    ("reputation", ["reputation_ns", "reputation_native_ns", "reputation_state_bytes"]),
    ("travel", ["travel_ns", "travel_native_ns", "travel_state_bytes"]),
    ("volume", ["volume_ns", "volume_native_ns", "volume_state_bytes"]),
];

/// Figures of every adapter: sandboxed, and natively.
const ADAPTERS: &[(&str, [&str; 2])] = &[
    ("entra", ["read_entra_ns", "read_entra_native_ns"]),
    ("netdocuments", ["read_netdocuments_ns", "read_netdocuments_native_ns"]),
    ("smartsheet", ["read_smartsheet_ns", "read_smartsheet_native_ns"]),
];

/// The detectors of the bundle in the sandbox.
pub(crate) struct Sandboxed(BTreeMap<String, DetectorPlugin>);

impl Sandboxed {
    pub(crate) fn load(engine: &Engine) -> Result<Self> {
        let mut all = BTreeMap::new();
        for plugin in bundle::DETECTORS {
            let loaded =
                DetectorPlugin::load(engine, plugin.name, plugin.bytes, Limits::detector())?;
            all.insert(plugin.name.to_owned(), loaded);
        }
        Ok(Self(all))
    }
}

impl Detectors for Sandboxed {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn describe(&self, name: &str) -> Option<DetectorDescription> {
        self.0.get(name).map(|plugin| plugin.description().clone())
    }

    fn configure(
        &self,
        name: &str,
        policies: &[String],
    ) -> Result<Arc<dyn Detector>, ConfigureError> {
        let failed = |error: String| ConfigureError::Failed(error);
        let plugin = self.0.get(name).ok_or_else(|| failed(format!("no detector `{name}`")))?;
        let configured =
            plugin.configure(policies.to_vec()).map_err(|error| failed(error.to_string()))?;
        Ok(Arc::new(configured))
    }
}

/// The built-in policies.
pub(crate) fn policies() -> Result<PolicySet> {
    let sources: Vec<PolicySource> = bundle::POLICIES
        .iter()
        .map(|one| PolicySource { file: one.file.to_owned(), bytes: one.text.as_bytes().to_vec() })
        .collect();
    Ok(PolicySet::read(&sources, &NativeDetectors)?)
}

/// What the road needs.
struct Parts {
    apps: Apps,
    adapters: BTreeMap<&'static str, AdapterPlugin>,
    detectors: Sandboxed,
    policies: PolicySet,
    enricher: Enricher,
}

/// What came of the road.
struct Driven {
    wall: Duration,
    cpu: Duration,
    alerts: u64,
    /// Bytes handed to the system to be written.
    written: u64,
    /// Computing of the thread that fetches: reading, joining and enriching, committing.
    stages: [Duration; 3],
}

pub(crate) fn measure(
    engine: &Engine,
    folder: &Path,
    wanted: &dyn Fn(&str) -> bool,
    figures: &mut Figures,
) -> Result<()> {
    let mut adapters = BTreeMap::new();
    for plugin in bundle::ADAPTERS {
        let loaded = AdapterPlugin::load(engine, plugin.name, plugin.bytes, Limits::adapter())?;
        adapters.insert(plugin.name, loaded);
    }
    let parts = Parts {
        apps: Apps::new()?,
        adapters,
        detectors: Sandboxed::load(engine)?,
        policies: policies()?,
        enricher: enricher(folder)?,
    };
    if wanted("all") {
        whole(&parts, folder, figures)?;
    }
    if wanted("adapters") {
        adapters_alone(&parts, figures)?;
    }
    if wanted("detectors") {
        detectors(&parts, folder, figures)?;
    }
    // By its name only: it takes a while, and says where to look when the road is slow.
    if std::env::args().any(|name| name == "without") {
        without(&parts, folder)?;
    }
    Ok(())
}

/// The demo's places, its ranges and lists, and MaxMind's made-up anonymizers.
fn enricher(folder: &Path) -> Result<Enricher> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map(|()| path)
    };
    let maxmind =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/enrich/tests/data/maxmind");
    let list = |name: &str, tag: &str, text: &str| -> Result<ListSettings> {
        let file = write(&format!("{name}.txt"), text.as_bytes())?;
        Ok(ListSettings { name: name.to_owned(), file, tags: vec![tag.to_owned()] })
    };
    Ok(Enricher::open(&EnrichSettings {
        geo: vec![
            write("places.mmdb", &geo::database(1_795_000_000)?)?,
            maxmind.join("GeoIP2-Anonymous-IP-Test.mmdb"),
        ],
        ranges: Some(write(
            "ranges.yaml",
            include_bytes!("../../demo/data/ip-ranges.yaml").as_slice(),
        )?),
        lists: vec![
            list("tor-exits", "tor", include_str!("../../demo/data/tor-exits.txt"))?,
            list("brute-force", "brute-force", include_str!("../../demo/data/brute-force.txt"))?,
        ],
    })?)
}

fn whole(parts: &Parts, folder: &Path, figures: &mut Figures) -> Result<()> {
    let groups = parts.policies.groups(&parts.detectors)?;
    let (mut wall, mut cpu) = (Duration::MAX, Duration::MAX);
    for run in 0..3 {
        let data = folder.join(format!("all-{run}"));
        let (driven, store) = drive(parts, groups.clone(), &data)?;
        anyhow::ensure!(driven.alerts > 0, "the made-up company raised no alert");
        wall = wall.min(driven.wall);
        cpu = cpu.min(driven.cpu);
        if run == 0 {
            let each = |count: u64| count as f64 / parts.apps.events as f64;
            figures.insert("road_all_policies_alerts", driven.alerts as f64);
            figures.insert("road_all_policies_written_bytes", each(driven.written));
            state(store.as_ref(), &groups, &data, figures)?;
        }
        if cpu == driven.cpu {
            let names = ["road_all_read_ns", "road_all_join_ns", "road_all_commit_ns"];
            for (name, stage) in names.into_iter().zip(driven.stages) {
                figures.insert(name, per(stage, parts.apps.events));
            }
        }
        store.close()?;
    }
    figures
        .insert("road_all_policies_per_second_core", parts.apps.events as f64 / wall.as_secs_f64());
    figures.insert("road_all_policies_ns", per(wall, parts.apps.events));
    figures.insert("road_all_policies_cpu_ns", per(cpu, parts.apps.events));
    let per_cpu_second = parts.apps.events as f64 / cpu.as_secs_f64();
    figures.insert("road_all_policies_per_cpu_second", per_cpu_second);
    Ok(())
}

/// The road without one detector at a time, to stdout: what each costs the host and the sandbox.
#[expect(clippy::print_stdout, reason = "a measurement")]
fn without(parts: &Parts, folder: &Path) -> Result<()> {
    let groups = parts.policies.groups(&parts.detectors)?;
    let names: Vec<String> = groups.iter().map(|group| group.name().to_owned()).collect();
    let print = |what: &str, driven: &Driven| {
        println!(
            "{what:<24} {:>8.0} ns {:>8.1} bytes written, an activity",
            per(driven.cpu, parts.apps.events),
            driven.written as f64 / parts.apps.events as f64,
        );
    };
    for (number, left_out) in names.iter().enumerate() {
        let kept: Vec<Group> =
            groups.iter().filter(|group| group.name() != left_out).cloned().collect();
        let (driven, store) = drive(parts, kept, &folder.join(format!("without-{number}")))?;
        store.close()?;
        print(&format!("without {left_out}"), &driven);
    }
    let (driven, store) = drive(parts, Vec::new(), &folder.join("none"))?;
    store.close()?;
    print("without any", &driven);
    let (driven, store) = drive(parts, groups, &folder.join("every"))?;
    store.close()?;
    print("with all", &driven);
    Ok(())
}

/// Takes everything that the apps say down the road.
fn drive(parts: &Parts, groups: Vec<Group>, data: &Path) -> Result<(Driven, Arc<dyn Store>)> {
    let tenant: TenantName = "bench".parse()?;
    let store: Arc<dyn Store> = Arc::new(casbah_store::open(data, Options::default(), &|_| {})?);
    let (written, cpu_before, start) = (written()?, cpu(), Instant::now());
    let joiner = Joiner::open(parts, &store, &tenant)?;
    let evaluator =
        Evaluator::start(Arc::clone(&store), tenant.clone(), groups, EvaluatorOptions::default())?;
    let mut stages = [Duration::ZERO; 3];
    for (number, answer) in parts.apps.answers.iter().enumerate() {
        let adapter = parts.adapters.get(answer.app).context("no adapter")?;
        let began = thread_cpu();
        let page = adapter.read(&answer.response)?;
        let read = thread_cpu();
        let mut joined = Duration::ZERO;
        let connection: ConnectionName = answer.app.parse()?;
        let commit =
            take(store.as_ref(), &tenant, &connection, page, &answer.response.body, |batch| {
                let before = thread_cpu();
                joiner.join(batch, answer, &connection);
                joined = thread_cpu().saturating_sub(before);
            })?
            .put(Table::Cursor, answer.app, number.to_string());
        store.commit(&tenant, commit)?;
        let rest = thread_cpu().saturating_sub(read).saturating_sub(joined);
        for (sum, part) in stages.iter_mut().zip([read.saturating_sub(began), joined, rest]) {
            *sum += part;
        }
        evaluator.wake();
    }
    anyhow::ensure!(evaluator.wait_caught_up(Duration::from_secs(600)), "evaluation did not end");
    let status = evaluator.stop();
    for group in &status {
        let trouble = group.trouble.as_deref().unwrap_or("errors");
        anyhow::ensure!(group.errors == 0, "`{}` failed: {trouble}", group.group);
    }
    let driven = Driven {
        wall: start.elapsed(),
        cpu: cpu().saturating_sub(cpu_before),
        alerts: status.iter().map(|group| group.alerts).sum(),
        written: self::written()? - written,
        stages,
    };
    Ok((driven, store))
}

/// What is joined to a batch before it is stored.
struct Joiner<'a> {
    parts: &'a Parts,
    accounts: Accounts,
    directory: Directory,
}

impl<'a> Joiner<'a> {
    fn open(parts: &'a Parts, store: &Arc<dyn Store>, tenant: &TenantName) -> Result<Self> {
        let directory = Directory::open(Arc::clone(store), tenant.clone())?;
        let file = DirectoryFile::parse("people.csv", parts.apps.people.as_bytes())?;
        directory.apply(&file, parts.apps.end)?;
        let accounts = Accounts::new(&["northwind.example".to_owned()]);
        Ok(Self { parts, accounts, directory })
    }

    fn join(&self, batch: &mut Batch, answer: &Answer, connection: &ConnectionName) {
        // As if it had been fetched at once.
        self.accounts.join(batch, answer.app, connection, answer.until + 60_000);
        self.directory.join(batch, answer.app, connection);
        self.parts.enricher.enrich(batch);
    }
}

/// Bytes that this process has handed to the system to be written.
fn written() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(line.map_or(Ok(0), str::parse)?)
}

/// What the state of all policies takes, divided by the people in the log.
fn state(store: &dyn Store, groups: &[Group], data: &Path, figures: &mut Figures) -> Result<()> {
    let tenant: TenantName = "bench".parse()?;
    let mut people = BTreeSet::new();
    let mut next = store.log_range(&tenant).start;
    while let Some(block) = store.read(&tenant, next)? {
        if let Some(ids) = block.batch.text_ids("person") {
            let ids: BTreeSet<u32> = ids.iter().copied().filter(|&id| id != 0).collect();
            people.extend(ids.into_iter().map(|id| block.batch.texts.get(id).to_owned()));
        }
        next = block.info.first_sequence + block.batch.len() as u64;
    }
    let users = people.len().max(1) as f64;
    let (mut keys, mut values, mut count) = (0_usize, 0_usize, 0_usize);
    for (detector, [_, _, name]) in FIGURES {
        let Some(group) = groups.iter().find(|group| group.name() == *detector) else { continue };
        let mut bytes = 0;
        let range = ScanRange::prefix(group.state_prefix());
        store.scan(&tenant, Table::State, &range, false, &mut |key, value| {
            keys += key.len();
            values += value.len();
            count += 1;
            bytes += key.len() + value.len();
            true
        })?;
        anyhow::ensure!(bytes > 0, "`{detector}` has kept no state");
        figures.insert(name, bytes as f64 / users);
    }
    // What it takes on disk, once the journal was folded up; accounts, alerts and all else included.
    store.checkpoint()?;
    let mut snapshot = 0;
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snapshot") {
            snapshot += entry.metadata()?.len();
        }
    }
    figures.insert("snapshot_bytes_per_user", snapshot as f64 / users);
    figures.insert("state_users", users);
    figures.insert("state_bytes_per_user", (keys + values) as f64 / users);
    figures.insert("state_value_bytes_per_user", values as f64 / users);
    figures.insert("state_keys_per_user", count as f64 / users);
    Ok(())
}

/// Every adapter by itself, ns an activity of its app.
fn adapters_alone(parts: &Parts, figures: &mut Figures) -> Result<()> {
    for (app, [in_sandbox, natively]) in ADAPTERS {
        let sandboxed = parts.adapters.get(app).context("no adapter")?;
        let native: Box<dyn Adapter> = match *app {
            "entra" => Box::new(NativeAdapter::<casbah_entra::Entra>::new()),
            "netdocuments" => Box::new(NativeAdapter::<casbah_netdocuments::NetDocuments>::new()),
            _ => Box::new(NativeAdapter::<casbah_smartsheet::Smartsheet>::new()),
        };
        for (name, adapter) in [(in_sandbox, sandboxed as &dyn Adapter), (natively, &*native)] {
            let mut best = Duration::MAX;
            let (mut rows, mut bytes) = (0, 0);
            for _ in 0..3 {
                let start = cpu();
                (rows, bytes) = (0, 0);
                for answer in parts.apps.answers.iter().filter(|answer| answer.app == *app) {
                    rows += adapter.read(&answer.response)?.batch.len();
                    bytes += answer.response.body.len();
                }
                best = best.min(cpu().saturating_sub(start));
            }
            figures.insert(name, per(best, rows));
            if *app == "entra" {
                figures.insert("read_entra_bytes", bytes as f64 / rows as f64);
            }
        }
    }
    Ok(())
}

/// Every detector by itself with its policies, over the whole log.
fn detectors(parts: &Parts, folder: &Path, figures: &mut Figures) -> Result<()> {
    let tenant: TenantName = "bench".parse()?;
    let (_, store) = drive(parts, Vec::new(), &folder.join("detectors"))?;
    let mut batches = Vec::new();
    let mut next = store.log_range(&tenant).start;
    while let Some(block) = store.read(&tenant, next)? {
        let first = block.info.first_sequence;
        next = first + block.batch.len() as u64;
        let mut batch = (*block.batch).clone();
        batch.set_column("sequence", Values::Integer((first as i64..next as i64).collect()));
        batches.push(batch);
    }
    store.close()?;
    let rows: usize = batches.iter().map(Batch::len).sum();
    let sandboxed = parts.policies.groups(&parts.detectors)?;
    let native = parts.policies.groups(&NativeDetectors)?;
    for (sandboxed, native) in sandboxed.iter().zip(&native) {
        let reads = sandboxed.detector().description();
        // As the evaluation loop cuts them: only the columns wanted, and only their texts.
        let cuts: Vec<Batch> = batches
            .iter()
            .map(|batch| {
                let all: Vec<usize> = (0..batch.len()).collect();
                batch.project(&reads.columns, &reads.nested).select(&all)
            })
            .collect();
        let mut best = [Duration::MAX; 2];
        for _ in 0..3 {
            for (best, group) in best.iter_mut().zip([sandboxed, native]) {
                *best = (*best).min(run(group.detector().as_ref(), &cuts)?);
            }
        }
        let names = FIGURES.iter().find(|(name, _)| *name == sandboxed.name());
        if let Some((_, [in_sandbox, natively, _])) = names {
            figures.insert(in_sandbox, per(best[0], rows));
            figures.insert(natively, per(best[1], rows));
        }
    }
    Ok(())
}

/// A detector over all batches, with state in memory.
fn run(detector: &dyn Detector, cuts: &[Batch]) -> Result<Duration> {
    let mut states: HashMap<StateKey, Vec<u8>> = HashMap::new();
    let start = cpu();
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
    Ok(cpu().saturating_sub(start))
}
