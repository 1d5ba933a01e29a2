//! `make evaluate`: how well the built-in detections find what they should, and how often they cry
//! wolf, in made-up companies with labelled attacks.
//!
//! Two worlds (see [`world`]) make what people do; neither is what the detectors assume. Numbers from
//! made-up worlds rank methods and show what breaks; they promise nothing about any real company.
//!
//! Tables go to stdout; `report.json` and plots to `target/evaluate`. It is not a test: nothing fails
//! here when a number is bad.

mod attack;
mod company;
#[path = "../../../host/detect/tests/support/mod.rs"]
mod detectors;
mod event;
mod judge;
mod oracle;
mod place;
mod plot;
mod report;
mod volume;
mod world;

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use casbah_detect::{Group, PolicyFile, PolicySet, PolicySource, policy};
use casbah_plugin_bundle as bundle;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;
use serde_json::json;

use crate::company::Company;
use crate::detectors::NativeDetectors;
use crate::judge::Verdict;
use crate::volume::{BASELINES, Days};
use crate::world::World;

/// Measures the built-in detections in made-up companies.
#[derive(Parser)]
struct Arguments {
    /// The same seed gives the same companies
    #[arg(long, default_value_t = 20_261_120)]
    seed: u64,
    /// People in each company; repeat or separate by commas
    #[arg(long, value_delimiter = ',', default_values_t = [50, 100, 200, 400, 800, 800, 2000, 2000, 5000])]
    sizes: Vec<usize>,
    /// Days of each company's life
    #[arg(long, default_value_t = 75)]
    days: i64,
    /// Only these policies
    #[arg(long, value_delimiter = ',')]
    policies: Vec<String>,
    /// People in the comparison of volume with plain baselines; 0 leaves it out
    #[arg(long, default_value_t = 9000)]
    volume_people: usize,
    /// Only that comparison
    #[arg(long)]
    volume_only: bool,
    /// Where the report and the plots go
    #[arg(long, default_value = "target/evaluate")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.out)
        .with_context(|| format!("`{}` can't be made", arguments.out.display()))?;
    let set = policies()?;
    let mut out = std::io::stdout().lock();
    let mut worlds = Vec::new();
    for world in World::ALL.into_iter().filter(|_| !arguments.volume_only) {
        let verdict = companies(&arguments, world, &set)?;
        writeln!(out, "{} world, as shipped\n{}\n", world.name(), report::detections(&verdict))?;
        writeln!(out, "{}\n", report::cohorts(&verdict))?;
        worlds.push(json!({"world": world.name(), "verdict": verdict}));
    }
    let found = compare_volume(&arguments, &set)?;
    if !found.is_empty() {
        let at_one: Vec<_> = found.iter().filter(|one| one.budget == 1.0).cloned().collect();
        writeln!(out, "daily downloads, equal false alerts\n{}\n", report::volume(&at_one))?;
    }
    writeln!(out, "These companies are made up: the numbers rank methods and promise nothing.")?;
    let file = arguments.out.join("report.json");
    let report = json!({"seed": arguments.seed, "worlds": worlds, "volume": found});
    fs::write(&file, serde_json::to_vec_pretty(&report)?)
        .with_context(|| format!("`{}` can't be written", file.display()))
}

/// The built-in policies.
fn policies() -> Result<PolicySet> {
    let sources: Vec<PolicySource> = bundle::POLICIES
        .iter()
        .map(|one| PolicySource { file: one.file.to_owned(), bytes: one.text.as_bytes().to_vec() })
        .collect();
    PolicySet::read(&sources, &NativeDetectors).map_err(|error| anyhow!("{error}"))
}

/// The policies that are judged; those that count by fixed numbers have tests of their own.
fn groups(set: &PolicySet, only: &[String]) -> Result<Vec<Group>> {
    let mut by_detector: std::collections::BTreeMap<&str, Vec<Arc<PolicyFile>>> =
        Default::default();
    for one in set.policies().iter().filter(|one| one.detector != "activity") {
        if only.is_empty() || only.contains(&one.name) {
            by_detector.entry(&one.detector).or_default().push(Arc::clone(one));
        }
    }
    by_detector
        .into_iter()
        .map(|(name, members)| {
            policy::group(name, members, &NativeDetectors).map_err(|error| anyhow!("{error}"))
        })
        .collect()
}

/// Judges the policies in companies of every size.
fn companies(arguments: &Arguments, world: World, set: &PolicySet) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (number, &size) in arguments.sizes.iter().enumerate() {
        let mut random = Pcg64Mcg::seed_from_u64(arguments.seed ^ (number as u64 + 1) << 8);
        let company = Company::new(world, size, arguments.days, number, &mut random);
        let mut events = company.life(&mut random);
        let labels = attack::plant(&company, &mut events, &mut random);
        company::deliver(&mut events, &mut random);
        let bar = bar(&company.name, events.len() as u64);
        let groups = groups(set, &arguments.policies)?;
        verdict.add(judge::judge(&company, &events, &labels, groups, |rows| bar.inc(rows))?);
        bar.finish_and_clear();
    }
    Ok(verdict)
}

/// Compares the volume detector with plain baselines at equal numbers of false alerts.
fn compare_volume(arguments: &Arguments, set: &PolicySet) -> Result<Vec<volume::Found>> {
    /// False alerts for every 1,000 days of a person.
    const BUDGETS: [f64; 9] = [0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0];
    let mut found = Vec::new();
    let Some(shipped) = set.get("mass-download").filter(|_| arguments.volume_people > 0) else {
        return Ok(found);
    };
    for world in World::ALL {
        let days =
            Days::new(world, arguments.volume_people, arguments.days as usize, arguments.seed);
        let bar = bar(&format!("downloads, {}", world.name()), days.rows());
        let group = by_day(shipped)?;
        let mut scored = vec![("volume", volume::detector(&days, group, |rows| bar.inc(rows))?)];
        scored.extend(BASELINES.map(|(name, score)| (name, volume::baseline(&days, score))));
        bar.finish_and_clear();
        let told = oracle::tell(&days);
        scored.push(("knowing the world", told.world));
        scored.push(("knowing the attacks too", told.attacks));
        let first = found.len();
        for (name, scores) in &scored {
            found.extend(BUDGETS.map(|budget| volume::judge(&days, name, scores, budget)));
        }
        found.extend(BUDGETS.map(|budget| volume::most(&days, &told.sizes, budget)));
        let path = arguments.out.join(format!("volume-{}.svg", world.name()));
        let title = format!("Unusual downloads a day, {} world (made up)", world.name());
        plot::draw(&path, &title, found.get(first..).unwrap_or_default())?;
    }
    Ok(found)
}

/// The shipped policy by the day, with its line out of reach, so that every day has a score.
fn by_day(shipped: &PolicyFile) -> Result<Group> {
    let mut settings: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&shipped.settings_json)?;
    for name in ["sensitivity", "budget", "floor"] {
        settings.remove(name);
    }
    settings.extend([
        ("per".to_owned(), json!("day")),
        ("line".to_owned(), json!(1e9)),
        ("behaviors-from".to_owned(), json!(0.0)),
    ]);
    let settings_json = serde_json::to_string(&settings)?;
    let policy = Arc::new(PolicyFile { settings_json, ..shipped.clone() });
    policy::group(&shipped.detector, vec![policy], &NativeDetectors)
        .map_err(|error| anyhow!("{error}"))
}

fn bar(what: &str, total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    if let Ok(style) =
        ProgressStyle::with_template("{msg:28} {wide_bar} {human_pos}/{human_len} {eta}")
    {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
