//! `casbah policy import`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use casbah_detect::{Detectors, PolicySet, PolicySource, Sources, folder};
use serde_json::json;

use super::layout::replace;
use super::paths::not_used;
use crate::cli::Format;
use crate::command::{Found, Misunderstood};
use crate::config::Config;
use crate::output::{Output, counted};

/// How deep folders of rules may be nested.
const DEEPEST: usize = 16;

/// Checks rules and policies, and copies what is good, or only shows what rules become.
pub(super) fn run(
    paths: &[PathBuf],
    into: Option<&Path>,
    show: bool,
    config: &Config,
    detectors: &dyn Detectors,
    output: &mut Output,
) -> Result<Found> {
    let files = files(paths)?;
    if files.is_empty() {
        bail!(Misunderstood(
            "there is nothing to import\nhint: Sigma rules are files ending in `.yml` or `.yaml`, policies in `.yaml`".to_owned()
        ));
    }
    let (policies, rules): (Vec<_>, Vec<_>) = files.into_iter().partition(File::is_policy);
    let compiled = compile(&rules);
    if show {
        return shown(&compiled, output);
    }
    let folder = match (into, &config.policies) {
        (Some(folder), _) => folder,
        (None, Some(folder)) => folder,
        (None, None) => bail!(Misunderstood(
            "there is no folder to import into\nhint: name one with --output, or in the settings file: `policies = \"policies\"`".to_owned()
        )),
    };
    check(&policies, &compiled, folder, detectors)?;
    let mut copies: Vec<(&File, PathBuf)> = Vec::new();
    copies.extend(policies.iter().map(|policy| (policy, folder.join(&policy.relative))));
    // A file may hold several rules; it is of use when one of them is.
    let used = rules.iter().filter(|rule| compiled.used.contains(rule.name().as_str()));
    copies.extend(used.map(|rule| (rule, folder.join("sigma").join(&rule.relative))));
    let new = new_ones(copies)?;
    for (file, to) in &new {
        copy(file, to, output)?;
    }
    for refused in &compiled.refused {
        if output.format == Format::Json {
            output.json(&json!({
                "file": refused.file,
                "line": refused.place.map(|(line, _)| line),
                "column": refused.place.map(|(_, column)| column),
                "rule": refused.rule,
                "kind": refused.kind.name(),
                "message": refused.reason,
                "hint": refused.hint,
            }))?;
        } else {
            output.say(&format!("{}\n", not_used(refused)));
        }
    }
    output.say(&format!(
        "{} copied to `{}`; {} of Sigma rules, {} not used",
        counted(new.len() as u64, "file", "files"),
        folder.display(),
        counted(compiled.policies.len() as u64, "policy", "policies"),
        counted(compiled.refused.len() as u64, "rule", "rules"),
    ));
    Ok(Found(!compiled.refused.is_empty()))
}

/// A file to import.
struct File {
    path: PathBuf,
    /// Where it goes, from the folder that was named.
    relative: PathBuf,
    bytes: Vec<u8>,
}

impl File {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether it is one of casbah's own: these have a name, Sigma rules an id.
    fn is_policy(&self) -> bool {
        let text = String::from_utf8_lossy(&self.bytes);
        text.lines().any(|line| line.starts_with("policy:"))
    }

    fn source(&self) -> PolicySource {
        PolicySource { file: self.name(), bytes: self.bytes.clone() }
    }
}

/// The Sigma rules among some files, and in some folders with all below them: names and texts.
///
/// # Errors
/// When one of them can't be read.
pub(crate) fn rules(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let rules = files(paths)?.into_iter().filter(|file| !file.is_policy());
    Ok(rules.map(|rule| (rule.name(), String::from_utf8_lossy(&rule.bytes).into_owned())).collect())
}

fn files(paths: &[PathBuf]) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, path, DEEPEST, &mut files)?;
        } else {
            let name = path.file_name().map(PathBuf::from).unwrap_or_default();
            files.push(read(path, name)?);
        }
    }
    Ok(files)
}

fn walk(root: &Path, folder: &Path, deepest: usize, files: &mut Vec<File>) -> Result<()> {
    let entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("the folder `{}` can't be read", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = path.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("yml") || extension.eq_ignore_ascii_case("yaml")
        });
        if hidden {
            continue;
        } else if path.is_dir() {
            if deepest > 0 {
                walk(root, &path, deepest - 1, files)?;
            }
        } else if yaml {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
            files.push(read(&path, relative)?);
        }
    }
    Ok(())
}

fn read(path: &Path, relative: PathBuf) -> Result<File> {
    let bytes =
        std::fs::read(path).with_context(|| format!("`{}` can't be read", path.display()))?;
    Ok(File { path: path.to_owned(), relative, bytes })
}

/// What became of rules.
struct Compiled {
    policies: Vec<casbah_sigma::Policy>,
    refused: Vec<casbah_sigma::Refused>,
    /// Files with something in them that is used.
    used: BTreeSet<String>,
}

fn compile(rules: &[File]) -> Compiled {
    let texts: Vec<(String, String)> = rules
        .iter()
        .map(|rule| (rule.name(), String::from_utf8_lossy(&rule.bytes).into_owned()))
        .collect();
    let compiled = casbah_sigma::compile(&texts);
    let files = compiled.policies.iter().map(|policy| &policy.file);
    // Rules that correlations are about raise nothing by themselves, and are needed.
    let parts = compiled.parts.iter().map(|part| &part.file);
    let mut used: BTreeSet<String> = files.chain(parts).cloned().collect();
    // What is neither used nor refused works on others, as filters do.
    let refused = |name: &String| compiled.refused.iter().any(|refused| refused.file == *name);
    used.extend(rules.iter().map(File::name).filter(|name| !refused(name)));
    Compiled { policies: compiled.policies, refused: compiled.refused, used }
}

/// Prints the policies that rules become.
fn shown(compiled: &Compiled, output: &mut Output) -> Result<Found> {
    for policy in &compiled.policies {
        if output.format == Format::Json {
            output.line(&policy.text)?;
            continue;
        }
        let value: serde_json::Value =
            serde_json::from_str(&policy.text).context("reading what became of a rule")?;
        output.line(&format!("# {}: {}", policy.file, policy.rule))?;
        output.line(&serde_json::to_string_pretty(&value)?)?;
    }
    for refused in &compiled.refused {
        output.say(&format!("{}\n", not_used(refused)));
    }
    Ok(Found(!compiled.refused.is_empty()))
}

/// Everything must be right before anything is copied, beside what is in the folder already.
fn check(
    policies: &[File],
    compiled: &Compiled,
    folder: &Path,
    detectors: &dyn Detectors,
) -> Result<()> {
    let mut sources: Vec<PolicySource> = policies.iter().map(File::source).collect();
    for policy in &compiled.policies {
        sources.push(PolicySource {
            file: policy.file.clone(),
            bytes: policy.text.clone().into_bytes(),
        });
    }
    let lists = match folder.is_dir() {
        true => folder::read_lists(folder)?,
        false => casbah_detect::Lists::default(),
    };
    PolicySet::read_with(&Sources { policies: &sources, lists: &lists, groups: None }, detectors)?;
    Ok(())
}

/// Those that are not there yet.
///
/// # Errors
/// When another file stands where one of them goes: nothing is written then.
fn new_ones(copies: Vec<(&File, PathBuf)>) -> Result<Vec<(&File, PathBuf)>> {
    let mut new: Vec<(&File, PathBuf)> = Vec::new();
    for (file, to) in copies {
        let there = match new.iter().find(|(_, other)| *other == to) {
            Some((other, _)) => Some(other.bytes.clone()),
            None => std::fs::read(&to).ok(),
        };
        match there {
            None => new.push((file, to)),
            Some(there) if there == file.bytes => {}
            Some(_) => bail!(
                "there is another file `{}` already\nhint: take it away first, or import into another folder with --output",
                to.display()
            ),
        }
    }
    Ok(new)
}

/// Copies a file as it is.
fn copy(file: &File, to: &Path, output: &mut Output) -> Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the folder `{}` can't be made", folder.display()))?;
    }
    let text = std::str::from_utf8(&file.bytes)
        .with_context(|| format!("`{}` is not UTF-8", file.path.display()))?;
    replace(to, text)?;
    output.line(&to.display().to_string())
}
