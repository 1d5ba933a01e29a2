//! The policies that a tenant wants in force: its folder, the built-in ones, or both, with lists and
//! Sigma rules, and the candidates that run in shadow.
//!
//! It is not where they are evaluated or where changes are noticed: see `watch`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use casbah_detect::folder::{self, FolderContent};
use casbah_detect::history::Origins;
use casbah_detect::policy;
use casbah_detect::{Detectors, Group, Lists, PolicyErrors, PolicySet, PolicySource, Sources};
use casbah_plugin_bundle as bundle;
use casbah_sigma::Refused;

/// Where a tenant's policies come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// Folder of policy files, if there is one.
    pub(crate) folder: Option<PathBuf>,
    /// Whether the built-in policies are in force, too.
    pub(crate) built_in: bool,
}

/// What is wanted, read and checked.
pub(crate) struct Wanted {
    /// The policies, those that are switched off included.
    pub(crate) policies: PolicySet,
    /// The candidates.
    pub(crate) shadow: PolicySet,
    /// Sigma rules that can't be used, and why. They are told, and are nothing to stop for: whoever
    /// takes over a collection of rules should not have to weed it.
    pub(crate) refused: Vec<Refused>,
    /// Digest of everything it was read from.
    pub(crate) digest: String,
}

impl Place {
    /// Reads and checks everything. `groups` are those that the directory knows.
    ///
    /// # Errors
    /// Everything that is wrong with any file, or that there is nothing.
    pub(crate) fn read(
        &self,
        groups: Option<&BTreeSet<String>>,
        detectors: &dyn Detectors,
    ) -> Result<Wanted> {
        let content = match &self.folder {
            Some(folder) => folder::read(folder)?,
            None => FolderContent::default(),
        };
        let mut sources = content.policies;
        if self.built_in {
            let named: BTreeSet<String> = sources.iter().filter_map(name_of).collect();
            let others = built_in().into_iter();
            sources.extend(others.filter(|one| name_of(one).is_none_or(|n| !named.contains(&n))));
        }
        let rules: Vec<(&str, String)> = content
            .sigma
            .iter()
            .map(|rule| (rule.file.as_str(), String::from_utf8_lossy(&rule.bytes).into_owned()))
            .collect();
        let compiled = sigma(&content.lists).compile(&rules);
        sources.extend(
            compiled
                .policies
                .into_iter()
                .map(|policy| PolicySource { file: policy.file, bytes: policy.text.into_bytes() }),
        );
        let read = |sources: &[PolicySource], lists: &Lists| {
            PolicySet::read_with(&Sources { policies: sources, lists, groups }, detectors)
        };
        let policies = read(&sources, &content.lists);
        // Candidates have the names of those in force: they are a set of their own.
        let shadow = read(&content.shadow, &content.lists);
        let (policies, shadow) = match (policies, shadow) {
            (Ok(policies), Ok(shadow)) => (policies, shadow),
            (policies, shadow) => {
                let errors = [policies.err(), shadow.err()].into_iter().flatten();
                match PolicyErrors::join(errors) {
                    Some(errors) => return Err(errors.into()),
                    None => bail!("the policies can't be read"),
                }
            }
        };
        if policies.policies().is_empty() {
            let folder = self.folder.as_deref().unwrap_or(Path::new(""));
            bail!(
                "there are no policies in `{}`\nhint: policies are files ending in `.yaml`; nothing would be noticed without any",
                folder.display()
            );
        }
        Ok(Wanted { policies, shadow, refused: compiled.refused, digest: content.digest })
    }

    /// What changes when a file does, made without opening any.
    pub(crate) fn stamp(&self) -> String {
        self.folder.as_deref().map(folder::stamp).unwrap_or_default()
    }
}

/// What makes policies of Sigma rules: a list of the tenant resolves the placeholder of its name.
pub(crate) fn sigma(lists: &Lists) -> casbah_sigma::Compiler {
    lists.iter().fold(casbah_sigma::Compiler::default(), |compiler, list| match list.values() {
        Some(values) => compiler.placeholder(&list.name, values),
        None => compiler,
    })
}

impl Wanted {
    /// The groups of all policies and candidates that are switched on, each with who changed them.
    ///
    /// # Errors
    /// When a detector does not accept together what it accepted one by one, or fails.
    pub(crate) fn groups(
        &self,
        detectors: &dyn Detectors,
        origins: &Arc<Origins>,
    ) -> Result<Vec<Group>> {
        let mut groups = self.policies.groups(detectors)?;
        for candidate in self.shadow.policies().iter().filter(|policy| policy.enabled) {
            let group = policy::group(&candidate.detector, vec![Arc::clone(candidate)], detectors)?;
            groups.push(Group::shadow(Arc::clone(group.detector()), Arc::clone(candidate)));
        }
        Ok(groups.into_iter().map(|group| group.with_origins(Arc::clone(origins))).collect())
    }
}

/// The policies that come with casbah.
pub(crate) fn built_in() -> Vec<PolicySource> {
    bundle::POLICIES
        .iter()
        .map(|policy| PolicySource {
            file: policy.file.to_owned(),
            bytes: policy.text.as_bytes().to_vec(),
        })
        .collect()
}

/// Whether a policy came with casbah.
pub(crate) fn is_built_in(file: &str) -> bool {
    bundle::POLICIES.iter().any(|policy| policy.file == file)
}

/// The name that a file gives its policy. What it says otherwise is not looked at: a file that is
/// wrong is refused later, with everything else that is wrong.
fn name_of(source: &PolicySource) -> Option<String> {
    let text = std::str::from_utf8(&source.bytes).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("policy:"))?;
    let name = line.split(" #").next().unwrap_or(line).trim().trim_matches(['"', '\'']);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_the_name_it_gives() {
        let name = |text: &str| {
            name_of(&PolicySource { file: "x.yaml".to_owned(), bytes: text.as_bytes().to_vec() })
        };
        assert_eq!(
            name("# mine\npolicy: mass-export # as ever\ntitle: x\n").unwrap(),
            "mass-export"
        );
        assert_eq!(name("policy: 'quoted'\n").unwrap(), "quoted");
        assert_eq!(name("title: x\n  policy: nested\n"), None);
        // Every built-in one must be known, or a file could not take its place.
        for policy in built_in() {
            assert!(name_of(&policy).is_some(), "{}", policy.file);
        }
    }
}
