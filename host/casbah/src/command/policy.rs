//! `casbah policy`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use casbah_detect::schema::schema;
use casbah_detect::{Detectors, PolicySet};
use serde_json::json;

use crate::cli::PolicyCommand;
use crate::command::in_force::Place;
use crate::command::{Found, Misunderstood};
use crate::config::Config;
use crate::output::Output;
use crate::plugins::Plugins;

mod check;
mod create;
pub(crate) mod import;
mod layout;
pub(crate) mod paths;
mod test;
#[cfg(test)]
mod tests;

use paths::Named;

/// The policies in force: those of the settings, otherwise the built-in ones.
///
/// # Errors
/// Everything that is wrong with any of them.
pub(crate) fn load(place: &Place, detectors: &dyn Detectors) -> Result<PolicySet> {
    Ok(place.read(None, detectors)?.policies)
}

/// The policies of the files and folders that were named, or those in force.
fn named(paths: &[PathBuf], config: &Config, detectors: &dyn Detectors) -> Result<Named> {
    if paths.is_empty() {
        let wanted = config.place().read(None, detectors)?;
        return Ok(Named {
            policies: wanted.policies,
            shadow: wanted.shadow,
            refused: wanted.refused,
        });
    }
    paths::read(paths, detectors)
}

/// The policies of files and folders.
pub(crate) fn read_paths(paths: &[PathBuf], detectors: &dyn Detectors) -> Result<PolicySet> {
    Ok(paths::read(paths, detectors)?.policies)
}

pub(crate) fn run(
    command: &PolicyCommand,
    config: &Config,
    plugins: &Plugins,
    output: &mut Output,
) -> Result<Found> {
    match command {
        PolicyCommand::List => list(&load(&config.place(), plugins)?, output)?,
        PolicyCommand::Check { paths } => return check::run(paths, config, plugins, output),
        PolicyCommand::Test { paths, coverage } => {
            return test::run(&named(paths, config, plugins)?, *coverage, plugins, output);
        }
        PolicyCommand::Format { paths, check } => return layout::run(paths, *check, output),
        PolicyCommand::Schema { detector } => print_schema(detector.as_deref(), plugins, output)?,
        PolicyCommand::New { list: true, .. } => create::list(plugins, output)?,
        PolicyCommand::New { name, template, detector, output: folder, .. } => {
            let Some(name) = name else {
                bail!(Misunderstood(
                    "a new policy needs a name\nhint: `casbah policy new mass-export`".to_owned()
                ));
            };
            let new = create::New {
                name,
                template: template.as_deref(),
                detector: detector.as_deref(),
                output: folder.as_deref(),
            };
            create::run(&new, config, plugins, output)?;
        }
        PolicyCommand::Import { paths, output: folder, show } => {
            return import::run(paths, folder.as_deref(), *show, config, plugins, output);
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

fn print_schema(
    detector: Option<&str>,
    detectors: &dyn Detectors,
    output: &mut Output,
) -> Result<()> {
    let Some(schema) = schema(detectors, detector) else {
        let names: Vec<_> = detectors.names().iter().map(|name| format!("`{name}`")).collect();
        bail!(Misunderstood(format!(
            "there is no detector `{}`\nhint: there are {}",
            detector.unwrap_or_default(),
            names.join(", ")
        )));
    };
    output.line(&serde_json::to_string_pretty(&schema)?)
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
