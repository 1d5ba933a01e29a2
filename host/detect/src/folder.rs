//! The folder of a tenant's policies: what is read from it, and how a change is noticed.
//!
//! ```text
//! DIR/*.yaml            policies (also .yml)
//! DIR/lists/*.txt|csv   named lists
//! DIR/sigma/**/*.yml    Sigma rules, unchanged (also .yaml)
//! DIR/shadow/*.yaml     candidates that run in shadow (also .yml)
//! ```
//!
//! It is not where any of these are understood: policies are read by [`crate::PolicySet`], Sigma
//! rules elsewhere. Nothing is ever written here.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::lists::{self, Lists};
use crate::policy::{PolicyErrors, PolicyProblem, PolicyProblemKind, PolicySource};
use crate::yaml;

/// How deep folders of Sigma rules may be nested.
const DEEPEST: usize = 16;

/// What a folder of policies holds.
#[derive(Clone, Debug, Default)]
pub struct FolderContent {
    /// The policies, by file.
    pub policies: Vec<PolicySource>,
    /// The named lists.
    pub lists: Lists,
    /// Sigma rules, by file.
    pub sigma: Vec<PolicySource>,
    /// Policies that run in shadow, by file.
    pub shadow: Vec<PolicySource>,
    /// Digest of all names and bytes, 12 hex digits: the same as long as nothing has changed.
    pub digest: String,
}

/// Reads a folder of policies with everything that belongs to it.
///
/// # Errors
/// Every file that can't be read, and everything that is wrong with lists; policies are not looked
/// into.
pub fn read(folder: &Path) -> Result<FolderContent, PolicyErrors> {
    let mut problems = Vec::new();
    let found = Found::of(folder, &mut problems);
    let mut hasher = blake3::Hasher::new();
    let mut take = |paths: &[PathBuf], most: usize| {
        let sources = read_all(paths, most, &mut problems);
        for source in &sources {
            hasher.update(&(source.file.len() as u64).to_le_bytes());
            hasher.update(source.file.as_bytes());
            hasher.update(&(source.bytes.len() as u64).to_le_bytes());
            hasher.update(&source.bytes);
        }
        // What follows is of another kind.
        hasher.update(&u64::MAX.to_le_bytes());
        sources
    };
    let policies = take(&found.policies, yaml::MAX_BYTES);
    let lists = take(&found.lists, lists::MAX_BYTES);
    let sigma = take(&found.sigma, yaml::MAX_BYTES);
    let shadow = take(&found.shadow, yaml::MAX_BYTES);
    let mut digest = hasher.finalize().to_hex().to_string();
    digest.truncate(12);
    let lists = Lists::read(&lists).unwrap_or_else(|wrong| {
        problems.extend(wrong);
        Lists::default()
    });
    PolicyErrors::none_of(problems)?;
    Ok(FolderContent { policies, lists, sigma, shadow, digest })
}

/// Names, sizes and times of everything that [`read`] would read, as a digest: made without
/// opening a file, it tells whether reading again may bring something new.
///
/// What can't be looked at leaves its mark in the digest, so that it is noticed as well.
pub fn stamp(folder: &Path) -> String {
    let mut problems = Vec::new();
    let found = Found::of(folder, &mut problems);
    let mut hasher = blake3::Hasher::new();
    for problem in &problems {
        hasher.update(problem.message.as_bytes());
    }
    for path in [&found.policies, &found.lists, &found.sigma, &found.shadow].into_iter().flatten() {
        hasher.update(path.as_os_str().as_encoded_bytes());
        let Ok(data) = std::fs::metadata(path) else { continue };
        let changed = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        hasher.update(&data.len().to_le_bytes());
        hasher.update(&changed.map_or(0, |time| time.as_nanos()).to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The policy files of a folder itself, by name.
///
/// # Errors
/// When the folder or one of the files can't be read.
pub fn read_policies(folder: &Path) -> Result<Vec<PolicySource>, PolicyErrors> {
    let mut problems = Vec::new();
    let paths = files(folder, &["yaml", "yml"], 0, &mut problems);
    let sources = read_all(&paths, yaml::MAX_BYTES, &mut problems);
    PolicyErrors::none_of(problems)?;
    Ok(sources)
}

/// The lists that belong to a folder of policies.
///
/// # Errors
/// When one of them can't be read, and everything that is wrong with any.
pub fn read_lists(folder: &Path) -> Result<Lists, PolicyErrors> {
    let mut problems = Vec::new();
    let folder = folder.join("lists");
    let paths = if folder.is_dir() {
        files(&folder, &["txt", "csv"], 0, &mut problems)
    } else {
        Vec::new()
    };
    let sources = read_all(&paths, lists::MAX_BYTES, &mut problems);
    let lists = Lists::read(&sources).unwrap_or_else(|wrong| {
        problems.extend(wrong);
        Lists::default()
    });
    PolicyErrors::none_of(problems)?;
    Ok(lists)
}

/// Paths of what belongs to a folder, each kind in order.
struct Found {
    policies: Vec<PathBuf>,
    lists: Vec<PathBuf>,
    sigma: Vec<PathBuf>,
    shadow: Vec<PathBuf>,
}

impl Found {
    fn of(folder: &Path, problems: &mut Vec<PolicyProblem>) -> Self {
        let mut below = |name: &str, endings: &[&str], deepest| {
            let folder = folder.join(name);
            if folder.is_dir() { files(&folder, endings, deepest, problems) } else { Vec::new() }
        };
        Self {
            lists: below("lists", &["txt", "csv"], 0),
            sigma: below("sigma", &["yml", "yaml"], DEEPEST),
            shadow: below("shadow", &["yaml", "yml"], 0),
            policies: files(folder, &["yaml", "yml"], 0, problems),
        }
    }
}

/// The files of a folder with one of these endings, and those of its folders so deep. Names that
/// begin with a dot are passed over: editors and git keep their own things there.
fn files(
    folder: &Path,
    endings: &[&str],
    deepest: usize,
    problems: &mut Vec<PolicyProblem>,
) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(unreadable(folder, &error));
            return found;
        }
    };
    for path in entries.iter().map(std::fs::DirEntry::path) {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let fits = path.extension().is_some_and(|extension| {
            endings.iter().any(|ending| extension.eq_ignore_ascii_case(ending))
        });
        if hidden {
            continue;
        } else if path.is_dir() {
            if deepest > 0 {
                found.extend(files(&path, endings, deepest - 1, problems));
            }
        } else if fits {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read_all(
    paths: &[PathBuf],
    most: usize,
    problems: &mut Vec<PolicyProblem>,
) -> Vec<PolicySource> {
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        match read_bounded(path, most) {
            Ok(bytes) => sources.push(PolicySource { file: path.display().to_string(), bytes }),
            Err(error) => problems.push(unreadable(path, &error)),
        }
    }
    sources
}

/// One byte more than is allowed is enough to refuse a file.
fn read_bounded(path: &Path, most: usize) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> PolicyProblem {
    PolicyProblem::whole(
        PolicyProblemKind::Read,
        &path.display().to_string(),
        format!("cannot read `{}`: {error}", path.display()),
        "policies are files ending in `.yaml` in one folder",
    )
}

#[cfg(test)]
mod tests;
