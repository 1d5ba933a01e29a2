//! `casbah policy new`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use casbah_detect::{Detectors, Lists, PolicySet, PolicySource, Sources};
use casbah_plugin_bundle as bundle;
use serde_json::json;

use super::layout::replace;
use crate::command::Misunderstood;
use crate::config::Config;
use crate::output::Output;

/// What a policy of the detector `activity` begins with.
const STARTER: &str = include_str!("starters/activity.yaml");

/// For the other detectors, a built-in policy shows how it is done.
const MODELS: [(&str, &str); 5] = [
    ("lifecycle", "terminated-user"),
    ("novelty", "infrequent-country"),
    ("reputation", "suspicious-address"),
    ("travel", "impossible-travel"),
    ("volume", "mass-download"),
];

/// What is asked for.
pub(super) struct New<'a> {
    pub(super) name: &'a str,
    pub(super) template: Option<&'a str>,
    pub(super) detector: Option<&'a str>,
    pub(super) output: Option<&'a Path>,
}

/// Lists what a policy can begin with.
pub(super) fn list(detectors: &dyn Detectors, output: &mut Output) -> Result<()> {
    let templates = templates(detectors)?;
    let rows: Vec<_> = templates
        .policies()
        .iter()
        .map(|policy| {
            json!({
                "template": policy.name,
                "detector": policy.detector,
                "category": policy.category,
                "severity": policy.severity,
                "lists": policy.lists.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                "title": policy.title,
            })
        })
        .collect();
    output.list(&["TEMPLATE", "DETECTOR", "CATEGORY", "SEVERITY", "LISTS", "TITLE"], &rows, |row| {
        let cell = |name: &str| match row.get(name) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Array(items)) => {
                items.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(" ")
            }
            _ => String::new(),
        };
        ["template", "detector", "category", "severity", "lists", "title"].map(cell).to_vec()
    })
}

/// Writes a new policy.
pub(super) fn run(
    new: &New<'_>,
    config: &Config,
    detectors: &dyn Detectors,
    output: &mut Output,
) -> Result<()> {
    check_name(new.name)?;
    let folder = match (new.output, &config.policies) {
        (Some(folder), _) => folder.to_owned(),
        (None, Some(folder)) => folder.clone(),
        (None, None) => PathBuf::from("."),
    };
    let file = folder.join(format!("{}.yaml", new.name));
    if file.exists() {
        bail!(
            "there is a file `{}` already\nhint: take another name, or another folder with --output",
            file.display()
        );
    }
    let model = model(new, detectors)?;
    let text = renamed(&model.text, new.name);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("the folder `{}` can't be made", folder.display()))?;
    let mut examples = false;
    for list in &model.lists {
        examples |= add_list(&folder, list, output)?;
    }
    replace(&file, &text)?;
    output.line(&file.display().to_string())?;
    if examples {
        output.say("the lists hold examples: put your own values into them, and into the tests");
    }
    output.say(&format!(
        "say in it what you mean, and then:\n  casbah policy check {0}\n  casbah policy test --coverage {0}\n  casbah policy backtest {0}",
        file.display()
    ));
    Ok(())
}

/// What a new policy is made of.
struct Model {
    text: String,
    /// Names of lists that it needs.
    lists: Vec<String>,
}

fn model(new: &New<'_>, detectors: &dyn Detectors) -> Result<Model> {
    let Some(name) = new.template else {
        let detector = new.detector.unwrap_or("activity");
        if detectors.describe(detector).is_none() {
            let names = detectors.names();
            bail!(Misunderstood(format!(
                "there is no detector `{detector}`\nhint: there are {}",
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )));
        }
        return Ok(match MODELS.iter().find(|(known, _)| *known == detector) {
            Some((_, policy)) => Model { text: built_in(policy)?.to_owned(), lists: Vec::new() },
            None if detector == "activity" => Model { text: STARTER.to_owned(), lists: Vec::new() },
            None => Model { text: outline(detector, detectors), lists: Vec::new() },
        });
    };
    let templates = templates(detectors)?;
    match templates.get(name) {
        Some(policy) => Ok(Model {
            text: policy.source.clone(),
            lists: policy.lists.iter().map(|(name, _)| name.clone()).collect(),
        }),
        None => match built_in(name) {
            Ok(text) => Ok(Model { text: text.to_owned(), lists: Vec::new() }),
            Err(_) => bail!(Misunderstood(format!(
                "there is no template `{name}`\nhint: `casbah policy new --list` lists them; any built-in policy can be one, too"
            ))),
        },
    }
}

fn built_in(name: &str) -> Result<&'static str> {
    let file = format!("{name}.yaml");
    bundle::POLICIES
        .iter()
        .find(|policy| policy.file == file)
        .map(|policy| policy.text)
        .with_context(|| format!("there is no built-in policy `{name}`"))
}

/// The templates, read with the lists that come with them.
fn templates(detectors: &dyn Detectors) -> Result<PolicySet> {
    let sources = |files: &[bundle::BuiltInPolicy]| -> Vec<PolicySource> {
        files
            .iter()
            .map(|file| PolicySource { file: file.file.to_owned(), bytes: file.text.into() })
            .collect()
    };
    let lists = Lists::read(&sources(bundle::LISTS)).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", problems.join("\n\n"))
    })?;
    let policies = sources(bundle::TEMPLATES);
    let sources = Sources { policies: &policies, lists: &lists, groups: None };
    Ok(PolicySet::read_with(&sources, detectors)?)
}

/// Writes a list that a template names, unless there is one of that name; returns whether it did.
fn add_list(folder: &Path, name: &str, output: &mut Output) -> Result<bool> {
    let folder = folder.join("lists");
    let exists = ["txt", "csv"].iter().any(|end| folder.join(format!("{name}.{end}")).exists());
    let known = bundle::LISTS
        .iter()
        .find(|list| list.file.rsplit_once('.').is_some_and(|(stem, _)| stem == name));
    let Some(list) = known.filter(|_| !exists) else { return Ok(false) };
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("the folder `{}` can't be made", folder.display()))?;
    let file = folder.join(list.file);
    replace(&file, list.text)?;
    output.line(&file.display().to_string())?;
    Ok(true)
}

/// The text of a policy under another name.
fn renamed(text: &str, name: &str) -> String {
    let mut done = false;
    text.lines()
        .map(|line| {
            if !done && line.starts_with("policy:") {
                done = true;
                format!("policy: {name}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect()
}

/// The outline of a policy for a detector of which nothing is known but what it says of itself.
fn outline(detector: &str, detectors: &dyn Detectors) -> String {
    let mut text = format!(
        "policy: {detector}\ntitle: What its alerts are called\nseverity: medium\ndetector: {detector}\n\n# Settings of the detector:\n"
    );
    let settings = detectors.describe(detector).map(|description| description.settings);
    let properties = settings.as_ref().and_then(|schema| schema.get("properties")?.as_object());
    for (key, property) in properties.into_iter().flatten() {
        let host_made = ["policy", "group", "quiet", "severities"].contains(&key.as_str());
        if !host_made {
            let about = property.get("description").and_then(|text| text.as_str()).unwrap_or("…");
            text.push_str(&format!("# {key}: {about}\n"));
        }
    }
    text.push_str("when:\n  - {field: kind, is: export}\n\nalert: {quiet: 24h}\n");
    text
}

fn check_name(name: &str) -> Result<()> {
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-');
    if !fits {
        bail!(Misunderstood(format!(
            "`{name}` is not a name of a policy\nhint: use 1 to 63 of a-z, 0-9 and `-`, starting with a letter or digit"
        )));
    }
    Ok(())
}
