//! A group: the policies that one configured detector evaluates together.

use std::fmt;
use std::sync::Arc;

use casbah_model::detector::{Detector, DetectorDescription, Problem};

use crate::policy::PolicyFile;

/// Where detectors come from. The program implements it over its plugins, tests over native code.
pub trait Detectors {
    /// Names of all detectors there are.
    fn names(&self) -> Vec<String>;

    /// What a detector is; `None` when there is none of that name.
    fn describe(&self, name: &str) -> Option<DetectorDescription>;

    /// Configures a detector with the settings of every policy, each a JSON text.
    ///
    /// # Errors
    /// Everything that is wrong with any of the settings, or that the detector failed.
    fn configure(
        &self,
        name: &str,
        policies: &[String],
    ) -> Result<Arc<dyn Detector>, ConfigureError>;
}

/// Why a detector was not configured.
#[derive(Clone, Debug)]
pub enum ConfigureError {
    /// Settings are wrong.
    Problems(Vec<Problem>),
    /// The detector itself failed; a message for people.
    Failed(String),
}

/// The policies of one configured detector. They read the log together, from one offset.
///
/// A policy must be in one group only, and two groups of a tenant must not have the same name.
#[derive(Clone)]
pub struct Group {
    /// Name, under which the offset is kept; the name of the detector as a rule.
    name: String,
    detector: Arc<dyn Detector>,
    policies: Vec<Arc<PolicyFile>>,
    /// What the keys of each policy's state begin with.
    prefixes: Vec<Vec<u8>>,
}

impl Group {
    /// The policies must be those the detector was configured with, in the same order.
    pub fn new(
        name: impl Into<String>,
        detector: Arc<dyn Detector>,
        policies: Vec<Arc<PolicyFile>>,
    ) -> Self {
        let prefixes = policies
            .iter()
            .map(|policy| {
                let mut prefix = detector_mark(&detector.description().name).to_vec();
                prefix.extend_from_slice(&policy_mark(detector.description(), policy));
                prefix
            })
            .collect();
        Self { name: name.into(), detector, policies, prefixes }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The detector, configured.
    pub fn detector(&self) -> &Arc<dyn Detector> {
        &self.detector
    }

    /// Its policies, in the order that findings count them.
    pub fn policies(&self) -> &[Arc<PolicyFile>] {
        &self.policies
    }

    /// Where state is kept: (mark of the detector, mark of the version of its state and of the policy
    /// with its settings, key or a hash of it). So a policy that is changed starts with no state, and
    /// one whose title is changed keeps it.
    pub(crate) fn state_key(&self, policy: u32, key: &str) -> Option<Vec<u8>> {
        let prefix = self.prefixes.get(policy as usize)?;
        let mut bytes = Vec::with_capacity(prefix.len() + HASH);
        bytes.extend_from_slice(prefix);
        // Hashes are told from keys by their length.
        if key.len() < HASH {
            bytes.extend_from_slice(key.as_bytes());
        } else {
            let hash = blake3::hash(key.as_bytes());
            bytes.extend_from_slice(hash.as_bytes().get(..HASH).unwrap_or_default());
        }
        Some(bytes)
    }

    /// Whether a key of state belongs to this group's detector, and to no policy it has now.
    pub(crate) fn is_left_over(&self, key: &[u8]) -> bool {
        !self.prefixes.iter().any(|prefix| key.starts_with(prefix))
    }

    /// What all keys of state of this group's detector begin with, whatever the version.
    pub fn state_prefix(&self) -> Vec<u8> {
        detector_mark(&self.detector.description().name).to_vec()
    }
}

// There are millions of keys of state, and most of their bytes would be names: marks and hashes stand
// for these, long enough that no two are ever the same.

/// Bytes of a hash that stands for a longer key.
const HASH: usize = 12;

/// Stands for a detector.
fn detector_mark(name: &str) -> [u8; 6] {
    blake3::hash(name.as_bytes()).as_bytes().first_chunk().copied().unwrap_or_default()
}

/// Stands for the version of a detector's state, and a policy with its settings.
fn policy_mark(detector: &DetectorDescription, policy: &PolicyFile) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&detector.state_version.to_le_bytes());
    hasher.update(&(policy.name.len() as u64).to_le_bytes());
    hasher.update(policy.name.as_bytes());
    hasher.update(policy.settings_digest.as_bytes());
    hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("policies", &self.policies.iter().map(|p| &p.name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
