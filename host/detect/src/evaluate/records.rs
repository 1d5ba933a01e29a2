//! What the evaluation keeps in the store beside state and alerts: offsets, generations, and the
//! activities that a detector could not digest.

use casbah_model::TenantName;
use casbah_store::{ScanRange, Store, Table};
use serde::{Deserialize, Serialize};

use crate::error::{DetectError, DetectErrorKind};
use crate::group::Group;

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
        decode("an offset", bytes, |offset: &Self| offset.format)
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
}

impl Generation {
    pub(super) fn of(group: &Group, from: u64) -> Self {
        let description = group.detector().description();
        let policies: Vec<(String, String)> =
            group.policies().iter().map(|p| (p.name.clone(), p.revision.clone())).collect();
        let mut hasher = blake3::Hasher::new();
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(&description.name);
        text(&description.version);
        for (name, revision) in &policies {
            text(name);
            text(revision);
        }
        let mut digest = hasher.finalize().to_hex().to_string();
        digest.truncate(12);
        Self {
            format: FORMAT,
            from,
            digest,
            detector: description.name.clone(),
            version: description.version.clone(),
            policies,
        }
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
        all.push(decode("a generation", bytes, |generation: &Generation| generation.format)?);
        Ok(true)
    })?;
    Ok(all)
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
            all.push(decode("a dead letter", bytes, |letter: &DeadLetter| letter.format)?);
        }
        Ok(all.len() < limit)
    })?;
    Ok(all)
}

fn each(
    store: &dyn Store,
    tenant: &TenantName,
    table: Table,
    prefix: Vec<u8>,
    mut visit: impl FnMut(&[u8]) -> Result<bool, DetectError>,
) -> Result<(), DetectError> {
    let mut failed = None;
    store.scan(tenant, table, &ScanRange::prefix(prefix), false, &mut |_, bytes| {
        visit(bytes).unwrap_or_else(|error| {
            failed = Some(error);
            false
        })
    })?;
    failed.map_or(Ok(()), Err)
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, DetectError> {
    serde_json::to_vec(value)
        .map_err(|error| DetectError::new(DetectErrorKind::Stored, error.to_string()))
}

fn decode<T: for<'de> Deserialize<'de>>(
    what: &str,
    bytes: &[u8],
    format: impl Fn(&T) -> u32,
) -> Result<T, DetectError> {
    let stored = |message: String| DetectError::new(DetectErrorKind::Stored, message);
    let value: T = serde_json::from_slice(bytes).map_err(|error| {
        stored(format!(
            "{what} in the store can't be read: {error}\nhint: a newer casbah may have written it"
        ))
    })?;
    match format(&value) {
        found if found > FORMAT => Err(stored(format!(
            "{what} in the store is in form {found}, this program reads forms up to {FORMAT}\nhint: use the newer casbah that wrote it"
        ))),
        _ => Ok(value),
    }
}
