//! `casbah enrich`: what is known of one value and from where, and the sources of it.

use std::path::Path;

use anyhow::{Result, bail};
use casbah_enrich::{EnrichSettings, Enricher, Facts, check_ranges};
use serde_json::json;

use crate::cli::{EnrichArgs, EnrichCommand};
use crate::command::when;
use crate::config::Config;
use crate::output::Output;

pub(crate) fn run(args: &EnrichArgs, config: &Config, output: &mut Output) -> Result<()> {
    match (&args.command, &args.value) {
        (Some(EnrichCommand::Check { file: Some(file) }), _) => check_file(file, output),
        (Some(EnrichCommand::Check { file: None }), _) => check_all(config, output),
        (None, Some(value)) => show(&look_up(value, &config.enrich)?, output),
        (None, None) => bail!("name an address, or what a client says of itself"),
    }
}

fn look_up(value: &str, settings: &EnrichSettings) -> Result<Facts> {
    let enricher = Enricher::open(settings)?;
    if let Some(facts) = enricher.look_up(value) {
        return Ok(facts);
    }
    // A client names a version, or is a whole sentence.
    if value.contains(['/', ' ']) {
        return Ok(enricher.look_up_agent(value, when::now()));
    }
    bail!(
        "`{value}` is neither an IP address nor a client\nhint: a client looks like `curl/8.5.0`; quote it"
    )
}

/// Prints facts, and says what can't be known.
fn show(facts: &Facts, output: &mut Output) -> Result<()> {
    let rows: Vec<_> = facts
        .facts
        .iter()
        .map(|fact| {
            json!({"of": facts.value, "fact": fact.fact, "value": fact.value, "from": fact.from})
        })
        .collect();
    output.list(&["FACT", "VALUE", "FROM"], &rows, |row| {
        ["fact", "value", "from"].map(|name| cell(row.get(name))).into()
    })?;
    if facts.facts.is_empty() {
        output.say(&format!("nothing is known of {}", facts.value));
    }
    for note in &facts.notes {
        output.say(&format!("note: {note}"));
    }
    Ok(())
}

fn cell(value: Option<&serde_json::Value>) -> String {
    match value {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

fn check_file(file: &Path, output: &mut Output) -> Result<()> {
    let (ranges, subnets) = check_ranges(file)?;
    output.say(&format!("{}: {ranges} ranges, {subnets} subnets, no overlaps", file.display()));
    Ok(())
}

/// Reads everything that the settings name.
fn check_all(config: &Config, output: &mut Output) -> Result<()> {
    let enricher = Enricher::open(&config.enrich)?;
    let now = when::now();
    let status = enricher.status(now);
    output.list(
        &["SOURCE", "NAME", "ENTRIES", "AGE", "GIVES", "SNAPSHOT", "FILE"],
        &status.sources,
        |source| {
            let age = source.age_days(now).map_or_else(String::new, |days| format!("{days} d"));
            vec![
                source.source.to_owned(),
                source.name.clone(),
                source.entries.to_string(),
                age,
                source.gives.join(" "),
                source.snapshot.clone(),
                source.file.clone(),
            ]
        },
    )?;
    warn(&enricher, output);
    for note in &status.notes {
        output.say(&format!("note: {note}"));
    }
    Ok(())
}

/// Says what is doubtful about the sources.
pub(crate) fn warn(enricher: &Enricher, output: &mut Output) {
    for warning in enricher.status(when::now()).warnings() {
        output.say(&format!("warning: {warning}"));
    }
}
