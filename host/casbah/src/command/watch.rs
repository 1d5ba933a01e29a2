//! Changes of a tenant's policies while casbah runs: noticed, read and checked beside the running
//! evaluation, and put in force all or none.
//!
//! It is not where evaluation goes over to them: that is [`Evaluator::replace`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::Result;
use casbah_connect::directory::Directory;
use casbah_detect::history::{self, Origin, Origins};
use casbah_detect::{Evaluator, PolicyFile};
use casbah_model::TenantName;
use casbah_store::Store;

use crate::command::in_force::{self, Place, Wanted};
use crate::command::{origin, when};
use crate::plugins::Plugins;

/// Files are taken for complete when they stay as they are for so long.
const STILL: Duration = Duration::from_millis(100);
/// What is refused is looked at again after a while: a group may have come into the directory.
const AGAIN: Duration = Duration::from_secs(60);
/// How long the evaluation is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps the policies of a running casbah as its folder says.
pub(crate) struct Watch {
    pub(crate) tenant: TenantName,
    place: Place,
    plugins: Arc<Plugins>,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    /// The evaluation, as long as it runs.
    evaluator: Weak<Evaluator>,
    /// Held by whoever looks.
    looking: Mutex<Seen>,
    state: Mutex<Reloads>,
}

/// What was looked at last.
struct Seen {
    stamp: String,
    digest: String,
    refused: Option<Instant>,
    /// Nobody looks any more.
    closed: bool,
    /// Every policy that was taken, with what tells whether it has changed.
    policies: BTreeMap<String, Version>,
}

/// Revision, digests of lists, whether it is switched on, file.
pub(crate) type Version = (String, String, bool, String);

/// How reloading has gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reloads {
    /// When policies were last put in force, ms since 1970.
    pub(crate) at: i64,
    /// How long that took, from noticing to evaluating, in milliseconds; 0 for the start.
    pub(crate) took: u64,
    /// Sigma rules of the folder that can't be used, each with why.
    pub(crate) unusable: Vec<String>,
    /// Policies that are switched off.
    pub(crate) off: Vec<String>,
    /// Since when the folder is refused, ms since 1970, and everything that is wrong with it.
    pub(crate) refused: Option<(i64, String)>,
}

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Everything is as it was.
    Same,
    /// What is there now is in force.
    Taken,
    /// What is there now is refused: what was in force stays so.
    Refused(String),
}

impl Watch {
    /// Watches from now on. `wanted` is in force already, and was read after the stamp was taken.
    #[expect(clippy::too_many_arguments, reason = "everything that a running casbah is made of")]
    pub(crate) fn new(
        tenant: TenantName,
        place: Place,
        stamp: String,
        wanted: &Wanted,
        plugins: Arc<Plugins>,
        store: Arc<dyn Store>,
        directory: Arc<Directory>,
        evaluator: &Arc<Evaluator>,
    ) -> Self {
        let seen = Seen {
            stamp,
            digest: wanted.digest.clone(),
            refused: None,
            closed: false,
            policies: versions(wanted),
        };
        Self {
            tenant,
            place,
            plugins,
            store,
            directory,
            evaluator: Arc::downgrade(evaluator),
            looking: Mutex::new(seen),
            state: Mutex::new(Reloads {
                at: when::now(),
                unusable: unusable(wanted),
                off: switched_off(wanted),
                ..Reloads::default()
            }),
        }
    }

    /// Waits until nobody looks, and lets nobody look any more.
    pub(crate) fn close(&self) {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }

    /// How reloading has gone.
    pub(crate) fn reloads(&self) -> Reloads {
        self.state().clone()
    }

    /// The evaluation, as long as it runs.
    pub(crate) fn evaluator(&self) -> Option<Arc<Evaluator>> {
        self.evaluator.upgrade()
    }

    fn state(&self) -> MutexGuard<'_, Reloads> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether anything has changed; when told so, even if no file seems to have.
    pub(crate) fn look(&self, anyway: bool) -> Looked {
        let mut seen = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.place.stamp();
        let again = seen.refused.is_some_and(|at| at.elapsed() >= AGAIN);
        if seen.closed || (stamp == seen.stamp && !again && !anyway) {
            return Looked::Same;
        }
        let began = Instant::now();
        seen.stamp = if anyway { stamp } else { self.still(stamp) };
        match self.take(&mut seen) {
            Ok(false) => {
                seen.refused = None;
                self.state().refused = None;
                Looked::Same
            }
            Ok(true) => {
                seen.refused = None;
                let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let mut state = self.state();
                state.at = when::now();
                state.took = took;
                state.refused = None;
                tracing::info!(took, "new policies are in force");
                Looked::Taken
            }
            Err(error) => {
                seen.refused = Some(Instant::now());
                let text = format!("{error:#}");
                let mut state = self.state();
                let known = state.refused.as_ref().is_some_and(|(_, known)| *known == text);
                if !known {
                    tracing::warn!(
                        "the policies stay as they were, the folder is refused:\n{text}"
                    );
                    state.refused = Some((when::now(), text.clone()));
                }
                Looked::Refused(text)
            }
        }
    }

    /// Waits until nobody is writing any more.
    fn still(&self, mut stamp: String) -> String {
        for _ in 0..20 {
            std::thread::sleep(STILL);
            let next = self.place.stamp();
            if next == stamp {
                break;
            }
            stamp = next;
        }
        stamp
    }

    /// Puts in force what is there. False when nothing has changed.
    fn take(&self, seen: &mut Seen) -> Result<bool> {
        let Some(evaluator) = self.evaluator.upgrade() else { return Ok(false) };
        let known = self.directory.groups();
        let groups = (!known.is_empty()).then_some(&known);
        let wanted = self.place.read(groups, self.plugins.as_ref())?;
        if wanted.digest == seen.digest {
            return Ok(false);
        }
        let policies = versions(&wanted);
        let origins = Arc::new(self.origins(&wanted, &seen.policies));
        let groups = wanted.groups(self.plugins.as_ref(), &origins)?;
        let (unusable, off) = (unusable(&wanted), switched_off(&wanted));
        warn(&wanted);
        evaluator.replace(groups, &origins)?;
        if !evaluator.wait_replaced(PATIENCE) {
            tracing::warn!("some policies go over to their new form later: evaluation is busy");
        }
        let mut state = self.state();
        state.unusable = unusable;
        state.off = off;
        drop(state);
        seen.digest = wanted.digest;
        seen.policies = policies;
        Ok(true)
    }

    fn origins(&self, wanted: &Wanted, before: &BTreeMap<String, Version>) -> Origins {
        origins(self.store.as_ref(), &self.tenant, self.place.folder.as_deref(), wanted, before)
    }
}

/// The Sigma rules that can't be used, each in a line.
fn unusable(wanted: &Wanted) -> Vec<String> {
    let told = |rule: &casbah_sigma::Refused| format!("{}: {}", rule.file, rule.reason);
    wanted.refused.iter().map(told).collect()
}

/// The policies that are switched off.
fn switched_off(wanted: &Wanted) -> Vec<String> {
    let off = wanted.policies.policies().iter().filter(|policy| !policy.enabled);
    off.map(|policy| policy.name.clone()).collect()
}

/// Names of candidates are told from those in force.
fn versions(wanted: &Wanted) -> BTreeMap<String, Version> {
    let version = |policy: &PolicyFile| {
        let lists = policy.lists.iter().map(|(_, digest)| digest.as_str()).collect::<Vec<_>>();
        (policy.revision.clone(), lists.join(" "), policy.enabled, policy.file.clone())
    };
    let live = wanted.policies.policies().iter().map(|p| (p.name.clone(), version(p)));
    let shadow =
        wanted.shadow.policies().iter().map(|p| (format!("shadow/{}", p.name), version(p)));
    live.chain(shadow).collect()
}

/// What is in force by what the store says: what a start compares the folder with. What its lists
/// held is not known, and taken for the same.
pub(crate) fn stored_versions(
    store: &dyn Store,
    tenant: &TenantName,
    wanted: &Wanted,
) -> BTreeMap<String, Version> {
    let now = versions(wanted);
    let reigns = history::reigns(store, tenant, None).unwrap_or_default();
    let current = reigns.into_iter().filter(|reign| reign.until.is_none());
    current
        .map(|reign| {
            let began = reign.began;
            let shadow = if began.shadow { "shadow/" } else { "" };
            let key = format!("{shadow}{}", began.policy);
            let lists = now.get(&key).map(|(_, lists, ..)| lists.clone()).unwrap_or_default();
            (key, (began.revision, lists, true, began.file))
        })
        .collect()
}

/// Who changed each policy that is not as it was before, and why.
pub(crate) fn origins(
    store: &dyn Store,
    tenant: &TenantName,
    folder: Option<&Path>,
    wanted: &Wanted,
    before: &BTreeMap<String, Version>,
) -> Origins {
    let now = versions(wanted);
    let changed = now.iter().filter(|(name, version)| before.get(*name) != Some(version));
    let gone = before.iter().filter(|(name, _)| !now.contains_key(*name));
    let mut commits = None;
    let mut origins = Origins::new();
    for (key, (revision, _, enabled, file)) in changed.chain(gone) {
        let name = key.strip_prefix("shadow/").unwrap_or(key);
        let gone = !now.contains_key(key);
        let same =
            |(known, _, was_enabled, _): &Version| known == revision && was_enabled == enabled;
        let noted = history::noted(store, tenant, name, if gone { GONE } else { revision });
        let origin = if !gone && before.get(key).is_some_and(same) {
            Origin { who: String::new(), why: "its lists hold something else".to_owned() }
        } else if let Some(origin) = noted.ok().flatten() {
            origin
        } else if in_force::is_built_in(file) {
            let why = format!("built-in, casbah {}", env!("CARGO_PKG_VERSION"));
            Origin { who: "casbah".to_owned(), why }
        } else {
            let commits =
                commits.get_or_insert_with(|| folder.map(origin::Commits::of).unwrap_or_default());
            let mut origin = origin::of_file(Path::new(file), commits);
            if gone && origin.why.is_empty() {
                "its file is gone".clone_into(&mut origin.why);
            }
            origin
        };
        // What is said of the policy in force counts more than what is said of its candidate.
        if key == name || !origins.contains_key(name) {
            origins.insert(name.to_owned(), origin);
        }
    }
    origins
}

/// Tells what can't be used or checked, and is nothing to stop for.
pub(crate) fn warn(wanted: &Wanted) {
    for rule in unusable(wanted) {
        tracing::warn!("a Sigma rule can't be used: {rule}");
    }
    let unchecked = wanted.policies.unchecked_groups();
    if !unchecked.is_empty() {
        let names: Vec<_> = unchecked.iter().map(|name| format!("`{name}`")).collect();
        tracing::warn!(
            "nobody is in the directory, so groups are taken as they are: {}",
            names.join(", ")
        );
    }
}

/// Stands for a revision in notes about files that are taken away.
pub(crate) const GONE: &str = "gone";
