//! `casbah policy check`.

use std::path::PathBuf;

use anyhow::Result;
use casbah_detect::{Detectors, PolicyErrors, PolicySet};
use serde_json::json;

use super::paths::{Named, not_used};
use crate::cli::Format;
use crate::command::Found;
use crate::config::Config;
use crate::output::{Output, counted};

/// Says everything that is wrong, as problems or as JSON.
pub(super) fn run(
    paths: &[PathBuf],
    config: &Config,
    detectors: &dyn Detectors,
    output: &mut Output,
) -> Result<Found> {
    match checked(paths, config, detectors) {
        Ok(named) => {
            said(&named, output)?;
            Ok(Found(false))
        }
        Err(error) if output.format == Format::Json => match error.downcast::<PolicyErrors>() {
            Ok(errors) => {
                problems(&errors, output)?;
                Ok(Found(true))
            }
            Err(error) => Err(error),
        },
        Err(error) => {
            if let Some(errors) = error.downcast_ref::<PolicyErrors>() {
                output.say(&format!("{errors}\n"));
                let number = errors.problems().len() as u64;
                output.say(&format!("{} found", counted(number, "problem", "problems")));
                return Ok(Found(true));
            }
            Err(error)
        }
    }
}

fn checked(paths: &[PathBuf], config: &Config, detectors: &dyn Detectors) -> Result<Named> {
    let named = super::named(paths, config, detectors)?;
    // What is well-formed one by one may still be too much together.
    for set in [&named.policies, &named.shadow] {
        set.groups(detectors)?;
    }
    Ok(named)
}

fn problems(errors: &PolicyErrors, output: &mut Output) -> Result<()> {
    for problem in errors.problems() {
        output.json(&json!({
            "file": problem.file,
            "line": problem.place.map(|(line, _)| line),
            "column": problem.place.map(|(_, column)| column),
            "kind": problem.kind.name(),
            "message": problem.message,
            "hint": problem.hint,
        }))?;
    }
    Ok(())
}

fn said(named: &Named, output: &mut Output) -> Result<()> {
    for refused in &named.refused {
        if output.format == Format::Json {
            output.json(&json!({
                "file": refused.file,
                "line": refused.place.map(|(line, _)| line),
                "column": refused.place.map(|(_, column)| column),
                "kind": "not-used",
                "message": refused.reason,
                "hint": refused.hint,
                "rule": refused.rule,
            }))?;
        } else {
            output.say(&format!("{}\n", not_used(refused)));
        }
    }
    unchecked(&[&named.policies, &named.shadow], output);
    let policies = named.policies.policies().len() + named.shadow.policies().len();
    let is = if policies == 1 { "is" } else { "are" };
    let mut text = format!("{} {is} well-formed", counted(policies as u64, "policy", "policies"));
    if !named.refused.is_empty() {
        let rules = counted(named.refused.len() as u64, "Sigma rule", "Sigma rules");
        let is = if named.refused.len() == 1 { "is" } else { "are" };
        text.push_str(&format!("; {rules} {is} not used"));
    }
    output.say(&text);
    Ok(())
}

/// Names the groups that could not be looked up.
pub(super) fn unchecked(sets: &[&PolicySet], output: &mut Output) {
    let mut groups: Vec<_> = sets.iter().flat_map(|set| set.unchecked_groups()).collect();
    groups.sort();
    groups.dedup();
    if !groups.is_empty() {
        let groups: Vec<_> = groups.iter().map(|group| format!("`{group}`")).collect();
        output.say(&format!(
            "whether the directory knows these groups is looked up when casbah runs: {}",
            groups.join(", ")
        ));
    }
}
