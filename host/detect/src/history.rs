//! What was in force when: every revision of a policy that ever ran, who put it there, and why.
//!
//! It is written by the evaluation, in the commit that says from which activity on a revision
//! evaluates; so it can neither miss one nor tell of one that never ran. Whoever changes a policy may
//! leave a note before, which the revision then carries.
//!
//! It is not the policies' folder, and not a replacement for its git: files that were never in force
//! are not here.

use std::collections::BTreeMap;
use std::sync::Arc;

use casbah_model::TenantName;
use casbah_store::{Commit, Store, Table};
use serde::{Deserialize, Serialize};

use crate::error::{DetectError, DetectErrorKind};
use crate::evaluate::Generation;
use crate::group::is_shadow;
use crate::policy::PolicyFile;
use crate::stored::{decode, each, encode};
use crate::suggest::shown;

#[cfg(test)]
mod tests;

const FORMAT: u32 = 1;

/// Who did something to a policy, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Who; empty when nobody knows.
    pub who: String,
    /// Why; may be empty.
    pub why: String,
}

/// Who did something, by the name of the policy.
pub type Origins = BTreeMap<String, Origin>;

/// What happened to a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happened {
    /// A revision came in force.
    Began,
    /// The revision is the same; what its lists or groups hold is not.
    Changed,
    /// The policy was taken out of force.
    Ended,
}

impl Happened {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Changed => "changed",
            Self::Ended => "ended",
        }
    }
}

/// Something that happened to a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEvent {
    /// When, ms since 1970.
    pub at: i64,
    /// The first activity of the log that is evaluated after it.
    pub from: u64,
    /// Name of the policy.
    pub policy: String,
    /// The revision that is meant, 12 hex digits.
    pub revision: String,
    /// What happened to it.
    pub happened: Happened,
    /// Whether it runs in shadow.
    pub shadow: bool,
    /// The file that it came from.
    pub file: String,
    /// Digest of its settings with everything filled in, 12 hex digits.
    pub settings: String,
    /// Who did it; empty when nobody knows.
    pub who: String,
    /// Why; may be empty.
    pub why: String,
    /// The group that evaluates it.
    pub group: String,
}

/// A revision of a policy while it was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reign {
    /// How it came in force.
    #[serde(flatten)]
    pub began: PolicyEvent,
    /// Until when, ms since 1970; `None` while it is.
    pub until: Option<i64>,
    /// Who ended it and why, when nothing came after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Origin>,
}

/// Everything that one turnover did, in one record: a thousand policies are no reason to pause.
#[derive(Serialize, Deserialize)]
struct Recorded {
    format: u32,
    events: Vec<PolicyEvent>,
}

const EVENTS: &[u8] = b"event/";

/// In the order in which things happened.
fn events_key(now: &Generation, group: &str) -> Vec<u8> {
    let mut key = EVENTS.to_vec();
    key.extend_from_slice(&now.at.max(0).to_be_bytes());
    key.extend_from_slice(&now.from.to_be_bytes());
    key.extend_from_slice(group.as_bytes());
    key
}

fn text_key(policy: &str, revision: &str) -> Vec<u8> {
    format!("text/{policy}/{revision}").into_bytes()
}

fn note_key(policy: &str, revision: &str) -> Vec<u8> {
    format!("note/{policy}/{revision}").into_bytes()
}

/// Keeps the texts of policies that come in force in a moment: whoever evaluates should not have to
/// stop for that.
///
/// # Errors
/// When the store can't be read or written.
pub(crate) fn keep_texts<'a>(
    store: &dyn Store,
    tenant: &TenantName,
    policies: impl IntoIterator<Item = &'a Arc<PolicyFile>>,
) -> Result<(), DetectError> {
    let mut commit = Commit::new();
    for policy in policies {
        commit = with_text(store, tenant, commit, policy)?;
    }
    if !commit.writes.is_empty() {
        store.commit(tenant, commit)?;
    }
    Ok(())
}

fn with_text(
    store: &dyn Store,
    tenant: &TenantName,
    commit: Commit,
    policy: &PolicyFile,
) -> Result<Commit, DetectError> {
    let key = text_key(&policy.name, &policy.revision);
    match store.get(tenant, Table::PolicyHistory, &key)? {
        Some(_) => Ok(commit),
        None => Ok(commit.put(Table::PolicyHistory, key, policy.source.as_bytes())),
    }
}

/// A group of which one generation follows another.
pub(crate) struct Turnover<'a> {
    /// Name of the group.
    pub(crate) group: &'a str,
    /// What evaluated until now.
    pub(crate) before: Option<&'a Generation>,
    /// What evaluates from now on.
    pub(crate) now: &'a Generation,
    /// The policies of `now`.
    pub(crate) policies: &'a [Arc<PolicyFile>],
    /// Who did it, and why.
    pub(crate) origins: &'a Origins,
}

impl Turnover<'_> {
    /// Adds to a commit what happens to policies by it.
    pub(crate) fn write(
        &self,
        store: &dyn Store,
        tenant: &TenantName,
        mut commit: Commit,
    ) -> Result<Commit, DetectError> {
        let mut events = Vec::new();
        let before = self.before.map(Generation::by_policy).unwrap_or_default();
        let now = self.now.by_policy();
        for policy in self.policies {
            let (_, settings) = now.get(policy.name.as_str()).copied().unwrap_or_default();
            let happened = match before.get(policy.name.as_str()) {
                Some((revision, old)) if *revision == policy.revision => {
                    if *old == settings || old.is_empty() {
                        continue;
                    }
                    Happened::Changed
                }
                _ => Happened::Began,
            };
            commit = with_text(store, tenant, commit, policy)?;
            let mut event = self.event(&policy.name, &policy.revision, happened);
            event.file.clone_from(&policy.file);
            settings.clone_into(&mut event.settings);
            events.push(event);
        }
        let gone = self.before.map_or(&[][..], |before| &before.policies);
        for (policy, revision) in gone {
            if !now.contains_key(policy.as_str()) {
                events.push(self.event(policy, revision, Happened::Ended));
            }
        }
        if !events.is_empty() {
            let key = events_key(self.now, self.group);
            let recorded = encode(&Recorded { format: FORMAT, events })?;
            commit = commit.put(Table::PolicyHistory, key, recorded);
        }
        Ok(commit)
    }

    fn event(&self, policy: &str, revision: &str, happened: Happened) -> PolicyEvent {
        let Origin { who, why } = self.origins.get(policy).cloned().unwrap_or_default();
        PolicyEvent {
            at: self.now.at,
            from: self.now.from,
            policy: policy.to_owned(),
            revision: revision.to_owned(),
            happened,
            shadow: is_shadow(self.group),
            file: String::new(),
            settings: String::new(),
            who,
            why,
            group: self.group.to_owned(),
        }
    }
}

/// Everything that happened to one policy, or to all, the oldest first.
///
/// # Errors
/// When it can't be read.
pub fn events(
    store: &dyn Store,
    tenant: &TenantName,
    policy: Option<&str>,
) -> Result<Vec<PolicyEvent>, DetectError> {
    let mut all: Vec<PolicyEvent> = Vec::new();
    each(store, tenant, Table::PolicyHistory, EVENTS.to_vec(), |bytes| {
        let recorded = decode("history of policies", bytes, |r: &Recorded| r.format, FORMAT)?;
        let wanted = |event: &PolicyEvent| policy.is_none_or(|policy| event.policy == policy);
        all.extend(recorded.events.into_iter().filter(wanted));
        Ok(true)
    })?;
    // A policy that moves from one detector to another ends in one group and begins in another, at
    // about the same time.
    all.sort_by(|a, b| {
        let order = |e: &PolicyEvent| (e.at, e.happened != Happened::Ended);
        (order(a), &a.policy).cmp(&(order(b), &b.policy))
    });
    Ok(all)
}

/// The revisions of one policy, or of all, with from when to when they were in force, the oldest
/// first. A change of lists alone begins a reign of its own.
///
/// # Errors
/// When they can't be read.
pub fn reigns(
    store: &dyn Store,
    tenant: &TenantName,
    policy: Option<&str>,
) -> Result<Vec<Reign>, DetectError> {
    let mut reigns: Vec<Reign> = Vec::new();
    let mut current: BTreeMap<(String, bool, String), usize> = BTreeMap::new();
    for event in events(store, tenant, policy)? {
        let key = (event.policy.clone(), event.shadow, event.group.clone());
        if let Some(reign) = current.remove(&key).and_then(|index| reigns.get_mut(index)) {
            reign.until = Some(event.at);
            if event.happened == Happened::Ended {
                reign.ended = Some(Origin { who: event.who.clone(), why: event.why.clone() });
            }
        }
        if event.happened != Happened::Ended {
            current.insert(key, reigns.len());
            reigns.push(Reign { began: event, until: None, ended: None });
        }
    }
    Ok(reigns)
}

/// The whole revision, by its beginning, and the text it had.
///
/// # Errors
/// `NotFound` and `Ambiguous` for the revision; when it can't be read.
pub fn text(
    store: &dyn Store,
    tenant: &TenantName,
    policy: &str,
    revision: &str,
) -> Result<(String, String), DetectError> {
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    let prefix = text_key(policy, "");
    let range = casbah_store::ScanRange::prefix(text_key(policy, revision));
    store.scan(tenant, Table::PolicyHistory, &range, false, &mut |key, bytes| {
        let name = key.get(prefix.len()..).unwrap_or_default();
        found.push((String::from_utf8_lossy(name).into_owned(), bytes.to_vec()));
        found.len() < 6
    })?;
    match found.as_slice() {
        [(name, bytes)] => Ok((name.clone(), String::from_utf8_lossy(bytes).into_owned())),
        [] => Err(DetectError::new(
            DetectErrorKind::NotFound,
            format!(
                "no revision `{}` of policy `{}` was ever in force\nhint: `casbah policy history {}` shows those that were",
                shown(revision),
                shown(policy),
                shown(policy)
            ),
        )),
        several => {
            let names: Vec<_> = several.iter().map(|(name, _)| format!("`{name}`")).collect();
            Err(DetectError::new(
                DetectErrorKind::Ambiguous,
                format!(
                    "more than one revision of policy `{}` begins with `{}`: {}\nhint: give more of it",
                    shown(policy),
                    shown(revision),
                    names.join(", ")
                ),
            ))
        }
    }
}

/// The text of a revision that is given whole; `None` when it was never in force.
pub(crate) fn whole_text(
    store: &dyn Store,
    tenant: &TenantName,
    policy: &str,
    revision: &str,
) -> Result<Option<String>, DetectError> {
    let bytes = store.get(tenant, Table::PolicyHistory, &text_key(policy, revision))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Notes who made a revision and why, before it comes in force.
///
/// # Errors
/// When the store can't write.
pub fn note(
    store: &dyn Store,
    tenant: &TenantName,
    policy: &str,
    revision: &str,
    origin: &Origin,
) -> Result<(), DetectError> {
    let commit =
        Commit::new().put(Table::PolicyHistory, note_key(policy, revision), encode(origin)?);
    store.commit(tenant, commit)?;
    Ok(())
}

/// The note about a revision.
///
/// # Errors
/// When it can't be read.
pub fn noted(
    store: &dyn Store,
    tenant: &TenantName,
    policy: &str,
    revision: &str,
) -> Result<Option<Origin>, DetectError> {
    match store.get(tenant, Table::PolicyHistory, &note_key(policy, revision))? {
        Some(bytes) => {
            decode("a note about a policy", &bytes, |_: &Origin| FORMAT, FORMAT).map(Some)
        }
        None => Ok(None),
    }
}
