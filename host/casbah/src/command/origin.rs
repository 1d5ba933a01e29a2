//! Who changed a policy file, and why: from the commit of a git checkout that did, otherwise from
//! the owner of the file.
//!
//! It never fails: what can't be found out stays empty. Nothing is asked of git but its log, and
//! not for longer than a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use casbah_detect::history::Origin;

/// How long git may take for one question.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many commits are looked at.
const COMMITS: &str = "2000";

/// What git knows of the files of a folder.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    /// The last commit of each file, by its path.
    by_file: BTreeMap<PathBuf, Origin>,
}

impl Commits {
    /// Asks git, when the folder is in a checkout.
    pub(crate) fn of(folder: &Path) -> Self {
        let in_checkout = folder
            .canonicalize()
            .is_ok_and(|folder| folder.ancestors().any(|above| above.join(".git").exists()));
        if !in_checkout {
            return Self::default();
        }
        let log = ["log", "-n", COMMITS, "--no-color", "--no-renames", "--relative"];
        let format = ["--format=%x01%an%x02%s", "--name-only", "-z", "--", "."];
        let Some(log) = git(folder, &[&log[..], &format[..]].concat()) else {
            return Self::default();
        };
        let changed = git(folder, &["ls-files", "-z", "--modified", "--deleted", "--", "."]);
        let changed: BTreeSet<&str> =
            changed.as_deref().unwrap_or_default().split('\0').filter(|s| !s.is_empty()).collect();
        Self { by_file: last_commits(&log, &changed, folder) }
    }
}

/// Takes the log apart: `\x01author\x02subject`, then names, each ended by a zero byte.
fn last_commits(log: &str, changed: &BTreeSet<&str>, folder: &Path) -> BTreeMap<PathBuf, Origin> {
    let mut by_file = BTreeMap::new();
    for commit in log.split('\u{1}').filter(|commit| !commit.is_empty()) {
        let Some((head, names)) = commit.split_once('\0') else { continue };
        let (who, why) = head.split_once('\u{2}').unwrap_or((head, ""));
        let names = names.split('\0').map(|name| name.trim_start_matches('\n'));
        for name in names.filter(|name| !name.is_empty() && !changed.contains(name)) {
            by_file
                .entry(folder.join(name))
                .or_insert_with(|| Origin { who: who.to_owned(), why: why.to_owned() });
        }
    }
    by_file
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new("git")
        // A checkout may bring programs of its own that git would start.
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-pager"])
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let said = read(&mut child);
    if said.is_none() {
        let _ = child.kill();
    }
    let ended = child.wait().ok()?;
    said.filter(|_| ended.success())
}

/// What it says, if it has said everything in time.
fn read(child: &mut Child) -> Option<String> {
    let mut out = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if out.read_to_end(&mut bytes).is_ok() {
            let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
        }
    });
    receive.recv_timeout(PATIENCE).ok()
}

/// Who is to be named for a file: whoever committed it last, otherwise its owner.
pub(crate) fn of_file(file: &Path, commits: &Commits) -> Origin {
    if let Some(origin) = commits.by_file.get(file) {
        return origin.clone();
    }
    Origin { who: owner(file).unwrap_or_default(), why: String::new() }
}

fn owner(path: &Path) -> Option<String> {
    user(std::fs::metadata(path).ok()?.uid())
}

/// The user that this process belongs to.
pub(crate) fn this_user() -> String {
    owner(Path::new("/proc/self")).unwrap_or_default()
}

/// The name of a user; its number when it has none.
fn user(id: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    Some(known.unwrap_or_else(|| format!("user {id}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_commit_of_each_file_is_taken_from_the_log() {
        let log =
            "\u{1}Ana\u{2}raise the line\0\na.yaml\0\u{1}Bo\u{2}first\0\na.yaml\0b.yaml\0c.yaml\0";
        let found = last_commits(log, &BTreeSet::from(["c.yaml"]), Path::new("/p"));
        let told: Vec<_> = found
            .iter()
            .map(|(file, origin)| format!("{} {}: {}", file.display(), origin.who, origin.why))
            .collect();
        assert_eq!(told, ["/p/a.yaml Ana: raise the line", "/p/b.yaml Bo: first"]);
    }

    /// With the real git, if there is one: a committed file names its author, a changed one its
    /// owner, a folder outside of any checkout asks nobody.
    #[test]
    fn a_checkout_names_authors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(Commits::of(path).by_file.is_empty());
        let run = |arguments: &[&str]| {
            Command::new("git")
                .arg("-C")
                .arg(path)
                .args(["-c", "user.name=Ana", "-c", "user.email=ana@example.com"])
                .args(arguments)
                .output()
                .is_ok_and(|done| done.status.success())
        };
        if !run(&["init", "-q"]) {
            return;
        }
        for name in ["a.yaml", "b.yaml"] {
            std::fs::write(path.join(name), "policy: x\n").unwrap();
        }
        assert!(run(&["add", "."]) && run(&["commit", "-q", "-m", "quieter: fewer alerts"]));
        std::fs::write(path.join("b.yaml"), "policy: y\n").unwrap();
        let commits = Commits::of(path);
        let of = |name: &str| of_file(&path.join(name), &commits);
        assert_eq!(of("a.yaml"), Origin { who: "Ana".into(), why: "quieter: fewer alerts".into() });
        assert_eq!(of("b.yaml"), Origin { who: this_user(), why: String::new() });
        assert_eq!(of("none.yaml"), Origin::default());
    }
}
