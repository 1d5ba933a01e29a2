//! `casbah policy`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use casbah_detect::policy::{self, read_folder};
use casbah_detect::{Detectors, PolicySet, PolicySource, run_tests};
use serde_json::json;

use crate::cli::{Format, PolicyCommand};
use crate::command::Found;
use crate::command::in_force::Place;
use crate::config::Config;
use crate::output::{Output, counted};
use crate::plugins::Plugins;

/// The policies in force: those of the settings, otherwise the built-in ones.
///
/// # Errors
/// Everything that is wrong with any of them.
pub(crate) fn load(place: &Place, detectors: &dyn Detectors) -> Result<PolicySet> {
    Ok(place.read(None, detectors)?.policies)
}

/// The policies of the files and folders that were named, or those in force.
fn named(paths: &[PathBuf], config: &Config, detectors: &dyn Detectors) -> Result<PolicySet> {
    if paths.is_empty() {
        return load(&config.place(), detectors);
    }
    read_paths(paths, detectors)
}

/// The policies of files and folders.
pub(crate) fn read_paths(paths: &[PathBuf], detectors: &dyn Detectors) -> Result<PolicySet> {
    let mut sources = Vec::new();
    for path in paths {
        if path.is_dir() {
            sources.extend(read_folder(path)?);
        } else {
            let bytes = std::fs::read(path)
                .with_context(|| format!("the policy `{}` can't be read", path.display()))?;
            sources.push(PolicySource { file: path.display().to_string(), bytes });
        }
    }
    Ok(PolicySet::read(&sources, detectors)?)
}

pub(crate) fn run(
    command: &PolicyCommand,
    config: &Config,
    plugins: &Plugins,
    output: &mut Output,
) -> Result<Found> {
    match command {
        PolicyCommand::List => list(&load(&config.place(), plugins)?, output)?,
        PolicyCommand::Check { paths } => {
            let set = named(paths, config, plugins)?;
            set.groups(plugins)?;
            output.say(&match set.policies().len() {
                1 => "1 policy is well-formed".to_owned(),
                number => format!("{number} policies are well-formed"),
            });
        }
        PolicyCommand::Test { paths } => {
            return test(&named(paths, config, plugins)?, plugins, output);
        }
        PolicyCommand::Show { name, .. } => {
            let set = load(&config.place(), plugins)?;
            let Some(found) = set.get(name) else {
                bail!(
                    "there is no policy `{name}`\nhint: `casbah policy list` shows those there are"
                );
            };
            output.line(found.source.trim_end())?;
        }
        _ => bail!("this needs the data folder"),
    }
    Ok(Found(false))
}

fn list(set: &PolicySet, output: &mut Output) -> Result<()> {
    let policies: Vec<_> = set
        .policies()
        .iter()
        .map(|policy| {
            json!({
                "policy": policy.name,
                "title": policy.title,
                "severity": policy.severity,
                "detector": policy.detector,
                "enabled": policy.enabled,
                "revision": policy.revision,
                "tests": policy.tests.len(),
                "file": policy.file,
                "mitre": policy.mitre,
            })
        })
        .collect();
    output.list(
        &["POLICY", "SEVERITY", "DETECTOR", "ENABLED", "TESTS", "REVISION", "TITLE"],
        &policies,
        |policy| {
            let cell = |name: &str| match policy.get(name) {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(serde_json::Value::Bool(flag)) => if *flag { "yes" } else { "no" }.to_owned(),
                Some(value) => value.to_string(),
                None => String::new(),
            };
            ["policy", "severity", "detector", "enabled", "tests", "revision", "title"]
                .map(cell)
                .to_vec()
        },
    )
}

fn test(set: &PolicySet, plugins: &Plugins, output: &mut Output) -> Result<Found> {
    let mut failed = 0;
    let mut passed = 0;
    let mut untested = Vec::new();
    for file in set.policies() {
        if file.tests.is_empty() {
            untested.push(format!("`{}`", file.name));
            continue;
        }
        let alone = policy::group(&file.detector, vec![file.clone()], plugins)?;
        for result in run_tests(file, alone.detector()) {
            if result.passed() {
                passed += 1;
            } else {
                failed += 1;
            }
            if output.format == Format::Json {
                output.json(&json!({
                    "policy": result.policy,
                    "test": result.name,
                    "file": result.file,
                    "line": result.line,
                    "passed": result.passed(),
                    "failure": result.failure,
                }))?;
            } else if let Some(failure) = &result.failure {
                output.line(&format!(
                    "{}:{}: `{}` of `{}` failed\n{failure}\n",
                    result.file, result.line, result.name, result.policy
                ))?;
            }
        }
    }
    if !untested.is_empty() {
        output.say(&format!("without tests: {}", untested.join(", ")));
    }
    output.say(&format!("{} passed, {failed} failed", counted(passed as u64, "test", "tests")));
    Ok(Found(failed > 0))
}
