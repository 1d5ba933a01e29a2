//! What the evaluation keeps in the store beside state and alerts: offsets, generations, and the
//! activities that a detector could not digest.

use std::collections::HashMap;

use casbah_model::TenantName;
use casbah_store::{Commit, ScanRange, Store, Table};
use serde::{Deserialize, Serialize};

use super::now;
use crate::error::DetectError;
use crate::group::Group;
use crate::history::{Origins, Turnover};
use crate::stored::{decode, each, encode};

const FORMAT: u32 = 1;

/// How far a group has read the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offset {
    format: u32,
    /// Sequence number of the activity to be read next.
    pub(super) next: u64,
    /// Digest of what evaluates from there on, see [`Generation`].
    pub(super) generation: String,
    /// Activities evaluated so far.
    pub(super) activities: u64,
    /// Alerts made so far.
    pub(super) alerts: u64,
    /// Activities put aside so far.
    pub(super) errors: u64,
}

impl Offset {
    pub(super) fn new(next: u64) -> Self {
        Self {
            format: FORMAT,
            next,
            generation: String::new(),
            activities: 0,
            alerts: 0,
            errors: 0,
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DetectError> {
        decode("an offset", bytes, |offset: &Self| offset.format, FORMAT)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, DetectError> {
        encode(self)
    }
}

pub(super) fn offset_key(group: &str) -> Vec<u8> {
    format!("offset/{group}").into_bytes()
}

/// From which activity on which detector and policies evaluate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    format: u32,
    /// First activity that it evaluates.
    pub from: u64,
    /// Digest of the rest, 12 hex digits.
    pub digest: String,
    /// Name of the detector.
    pub detector: String,
    /// Version of the detector.
    pub version: String,
    /// Names and revisions of the policies.
    pub policies: Vec<(String, String)>,
    /// When it came in force, ms since 1970; 0 when that was not noted.
    #[serde(default)]
    pub at: i64,
    /// What stands for each policy's state, in the order of `policies`; none in older records.
    #[serde(default)]
    pub marks: Vec<String>,
    /// Digests of the policies' settings as resolved, in the same order; none in older records.
    #[serde(default)]
    pub settings: Vec<String>,
}

impl Generation {
    pub(crate) fn of(group: &Group, from: u64, at: i64) -> Self {
        let description = group.detector().description();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let settings = |text: &str| {
            let mut digest = blake3::hash(text.as_bytes()).to_hex().to_string();
            digest.truncate(12);
            digest
        };
        Self {
            format: FORMAT,
            from,
            digest: group.digest().to_owned(),
            detector: description.name.clone(),
            version: description.version.clone(),
            policies: group
                .policies()
                .iter()
                .map(|p| (p.name.clone(), p.revision.clone()))
                .collect(),
            at,
            marks: group.prefixes().iter().map(|prefix| hex(prefix)).collect(),
            settings: group.policies().iter().map(|p| settings(&p.settings_json)).collect(),
        }
    }

    /// Nobody evaluates from there on.
    pub(super) fn none(from: u64, at: i64) -> Self {
        Self {
            format: FORMAT,
            from,
            digest: String::new(),
            detector: String::new(),
            version: String::new(),
            policies: Vec::new(),
            at,
            marks: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// Revision and settings of a policy in it.
    pub(crate) fn of_policy(&self, name: &str) -> Option<(&str, &str)> {
        let index = self.policies.iter().position(|(policy, _)| policy == name)?;
        let (_, revision) = self.policies.get(index)?;
        Some((revision, self.settings.get(index).map_or("", String::as_str)))
    }

    /// Revision and settings of every policy in it.
    pub(crate) fn by_policy(&self) -> HashMap<&str, (&str, &str)> {
        let settings = self.settings.iter().map(String::as_str).chain(std::iter::repeat(""));
        let policies = self.policies.iter().zip(settings);
        policies
            .map(|((name, revision), digest)| (name.as_str(), (revision.as_str(), digest)))
            .collect()
    }

    /// Whether it is of the time before marks were noted: all state that it left is its own, because
    /// everything else was swept.
    pub(super) fn is_old(&self) -> bool {
        self.marks.is_empty() && !self.policies.is_empty()
    }

    /// What stands for a policy's state.
    pub(crate) fn mark_of(&self, name: &str) -> Option<&str> {
        let index = self.policies.iter().position(|(policy, _)| policy == name)?;
        self.marks.get(index).map(String::as_str)
    }

    pub(super) fn key(&self, group: &str) -> Vec<u8> {
        let mut key = generation_prefix(group);
        key.extend_from_slice(&self.from.to_be_bytes());
        key
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, DetectError> {
        encode(self)
    }
}

fn generation_prefix(group: &str) -> Vec<u8> {
    format!("generation/{group}/").into_bytes()
}

/// What has evaluated a group's log, the oldest first. Of two that began at the same activity only
/// the later is kept: the earlier has evaluated nothing.
///
/// # Errors
/// When it can't be read.
pub fn generations(
    store: &dyn Store,
    tenant: &TenantName,
    group: &str,
) -> Result<Vec<Generation>, DetectError> {
    let mut all = Vec::new();
    each(store, tenant, Table::Offset, generation_prefix(group), |bytes| {
        all.push(decode("a generation", bytes, |g: &Generation| g.format, FORMAT)?);
        Ok(true)
    })?;
    Ok(all)
}

/// What evaluates a group's log now, or did last.
pub(crate) fn last_generation(
    store: &dyn Store,
    tenant: &TenantName,
    group: &str,
) -> Result<Option<Generation>, DetectError> {
    let mut last = None;
    let range = ScanRange::prefix(generation_prefix(group));
    store.scan(tenant, Table::Offset, &range, true, &mut |_, bytes| {
        last = Some(bytes.to_vec());
        false
    })?;
    last.map(|bytes| decode("a generation", &bytes, |g: &Generation| g.format, FORMAT)).transpose()
}

/// Names of all groups that ever ran and were not forgotten.
pub(crate) fn group_names(
    store: &dyn Store,
    tenant: &TenantName,
) -> Result<Vec<String>, DetectError> {
    let mut names = Vec::new();
    store.scan(tenant, Table::Offset, &ScanRange::prefix("offset/"), false, &mut |key, _| {
        let name = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix("offset/"));
        names.extend(name.map(str::to_owned));
        true
    })?;
    Ok(names)
}

/// Now, and in any case after what was before: the order of what happened must not depend on how
/// quickly it did.
pub(super) fn moment_after(before: Option<&Generation>) -> i64 {
    before.map_or_else(now, |before| now().max(before.at + 1))
}

/// Says in the store that nobody evaluates a group any more. Nothing happens when that is said, or
/// when it never ran.
pub(super) fn end(
    store: &dyn Store,
    tenant: &TenantName,
    group: &str,
    origins: &Origins,
) -> Result<(), DetectError> {
    let key = offset_key(group);
    let Some(kept) = store.get(tenant, Table::Offset, &key)? else { return Ok(()) };
    let mut next = Offset::decode(&kept)?;
    let Some(before) = last_generation(store, tenant, group)? else { return Ok(()) };
    if before.policies.is_empty() {
        return Ok(());
    }
    next.generation = String::new();
    let now = Generation::none(next.next, moment_after(Some(&before)));
    let turnover = Turnover { group, before: Some(&before), now: &now, policies: &[], origins };
    let commit = Commit::new()
        .expect(Table::Offset, key.clone(), Some(kept))
        .put(Table::Offset, now.key(group), now.encode()?)
        .put(Table::Offset, key, next.encode()?);
    store.commit(tenant, turnover.write(store, tenant, commit)?)?;
    Ok(())
}

/// Where a group is in the log; `None` when it never ran.
pub(crate) fn stored_offset(
    store: &dyn Store,
    tenant: &TenantName,
    group: &str,
) -> Result<Option<u64>, DetectError> {
    match store.get(tenant, Table::Offset, &offset_key(group))? {
        Some(bytes) => Ok(Some(Offset::decode(&bytes)?.next)),
        None => Ok(None),
    }
}

/// Lets a group that never ran begin there.
pub(crate) fn begin_at(commit: Commit, group: &str, next: u64) -> Result<Commit, DetectError> {
    Ok(commit.put(Table::Offset, offset_key(group), Offset::new(next).encode()?))
}

/// Deletes what is known of where a group was and what evaluated it.
pub(crate) fn forget(
    store: &dyn Store,
    tenant: &TenantName,
    mut commit: Commit,
    group: &str,
) -> Result<Commit, DetectError> {
    let mut keys = Vec::new();
    let range = ScanRange::prefix(generation_prefix(group));
    store.scan(tenant, Table::Offset, &range, false, &mut |key, _| {
        keys.push(key.to_vec());
        true
    })?;
    for key in keys {
        commit = commit.delete(Table::Offset, key);
    }
    Ok(commit.delete(Table::Offset, offset_key(group)))
}

/// An activity that a detector could not digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    format: u32,
    /// The group that failed on it.
    pub group: String,
    /// Its place in the log.
    pub sequence: u64,
    /// What the detector failed with.
    pub error: String,
}

impl DeadLetter {
    pub(super) fn new(group: &str, sequence: u64, error: String) -> Self {
        Self { format: FORMAT, group: group.to_owned(), sequence, error }
    }

    pub(super) fn key(&self) -> Vec<u8> {
        let mut key = format!("{}/", self.group).into_bytes();
        key.extend_from_slice(&self.sequence.to_be_bytes());
        key
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, DetectError> {
        encode(self)
    }
}

/// The activities that were put aside, by group and sequence; at most `limit`.
///
/// # Errors
/// When they can't be read.
pub fn dead_letters(
    store: &dyn Store,
    tenant: &TenantName,
    limit: usize,
) -> Result<Vec<DeadLetter>, DetectError> {
    let mut all = Vec::new();
    each(store, tenant, Table::DeadLetter, Vec::new(), |bytes| {
        if all.len() < limit {
            all.push(decode("a dead letter", bytes, |letter: &DeadLetter| letter.format, FORMAT)?);
        }
        Ok(all.len() < limit)
    })?;
    Ok(all)
}
