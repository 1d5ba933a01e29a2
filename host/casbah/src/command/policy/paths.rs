//! The policies of files and folders that somebody named, with the lists and Sigma rules that belong
//! to them. For those in force see `in_force`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use casbah_detect::folder::{self, FolderContent};
use casbah_detect::{Detectors, Lists, PolicyErrors, PolicySet, PolicySource, Sources};
use casbah_sigma::Refused;

use crate::command::in_force::sigma;

/// What was named, read and checked.
pub(crate) struct Named {
    /// The policies, those of Sigma rules included.
    pub(crate) policies: PolicySet,
    /// Candidates in the folders that were named; they have the names of policies.
    pub(crate) shadow: PolicySet,
    /// Sigma rules that can't be used.
    pub(crate) refused: Vec<Refused>,
}

/// Reads files and folders. A folder is read with its candidates and its Sigma rules; the lists are
/// those of the folder that a file stands in.
///
/// # Errors
/// Everything that is wrong with any of them.
pub(crate) fn read(paths: &[PathBuf], detectors: &dyn Detectors) -> Result<Named> {
    let mut homes: BTreeMap<PathBuf, Home> = BTreeMap::new();
    for path in paths {
        if path.is_dir() {
            homes.entry(path.clone()).or_default().whole = true;
        } else {
            let bytes = std::fs::read(path).map_err(|error| {
                anyhow!(
                    "the policy `{}` can't be read: {error}\nhint: name files, or folders with files that end in `.yaml`",
                    path.display()
                )
            })?;
            let source = PolicySource { file: path.display().to_string(), bytes };
            homes.entry(home(path)).or_default().files.push(source);
        }
    }
    let (mut sets, mut shadows, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let mut refused = Vec::new();
    for (folder, home) in homes {
        let content = match home.content(&folder) {
            Ok(content) => content,
            Err(wrong) => {
                errors.push(wrong);
                continue;
            }
        };
        let compiled = compile(&content.sigma, &content.lists);
        refused.extend(compiled.refused);
        let mut policies = content.policies;
        policies.extend(compiled.policies);
        for (sources, sets) in [(&policies, &mut sets), (&content.shadow, &mut shadows)] {
            let sources = Sources { policies: sources, lists: &content.lists, groups: None };
            match PolicySet::read_with(&sources, detectors) {
                Ok(set) => sets.push(set),
                Err(wrong) => errors.push(wrong),
            }
        }
    }
    if let Some(errors) = PolicyErrors::join(errors) {
        return Err(errors.into());
    }
    Ok(Named { policies: PolicySet::join(sets)?, shadow: PolicySet::join(shadows)?, refused })
}

/// What is wanted of a folder: all of it, or some files.
#[derive(Default)]
struct Home {
    whole: bool,
    files: Vec<PolicySource>,
}

impl Home {
    fn content(self, folder: &Path) -> Result<FolderContent, PolicyErrors> {
        if !folder.is_dir() {
            return Ok(FolderContent { policies: self.files, ..FolderContent::default() });
        }
        if self.whole {
            let mut content = folder::read(folder)?;
            let known = |file: &PolicySource| {
                content.policies.iter().chain(&content.shadow).any(|other| other.file == file.file)
            };
            let others: Vec<_> = self.files.into_iter().filter(|file| !known(file)).collect();
            content.policies.extend(others);
            return Ok(content);
        }
        let lists = folder::read_lists(folder)?;
        Ok(FolderContent { policies: self.files, lists, ..FolderContent::default() })
    }
}

/// The folder whose lists a file means: candidates stand in a folder of their own below it.
pub(crate) fn home(file: &Path) -> PathBuf {
    let parent = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    match parent.parent() {
        Some(above) if parent.file_name() == Some(OsStr::new("shadow")) => match above {
            above if above == Path::new("") => PathBuf::from("."),
            above => above.to_owned(),
        },
        _ => parent.to_owned(),
    }
}

/// What became of Sigma rules.
pub(crate) struct Compiled {
    /// Policies, under the names of the rules' files.
    pub(crate) policies: Vec<PolicySource>,
    /// What is not used, and why.
    pub(crate) refused: Vec<Refused>,
}

/// Makes policies of Sigma rules.
pub(crate) fn compile(rules: &[PolicySource], lists: &Lists) -> Compiled {
    let files: Vec<(&str, String)> = rules
        .iter()
        .map(|rule| (rule.file.as_str(), String::from_utf8_lossy(&rule.bytes).into_owned()))
        .collect();
    let compiled = sigma(lists).compile(&files);
    let policies = compiled
        .policies
        .into_iter()
        .map(|policy| PolicySource { file: policy.file, bytes: policy.text.into_bytes() })
        .collect();
    Compiled { policies, refused: compiled.refused }
}

/// A refusal as people are told: it is not a mistake in what they wrote.
pub(crate) fn not_used(refused: &Refused) -> String {
    let text = refused.to_string();
    match text.strip_prefix("error: ") {
        Some(rest) => format!("not used: {rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_those_of_the_folder() {
        for (file, folder) in [
            ("p.yaml", "."),
            ("mine/p.yaml", "mine"),
            ("mine/shadow/p.yaml", "mine"),
            ("shadow/p.yaml", "."),
            ("/etc/casbah/p.yaml", "/etc/casbah"),
        ] {
            assert_eq!(home(Path::new(file)), Path::new(folder), "{file}");
        }
    }
}
