//! A group: the policies that one configured detector evaluates together.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use casbah_model::detector::{Detector, DetectorDescription, Problem};

use crate::history::Origins;
use crate::policy::PolicyFile;

/// Where detectors come from. The program implements it over its plugins, tests over native code.
pub trait Detectors: Sync {
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
    prefixes: Vec<Prefix>,
    known: HashSet<Prefix>,
    digest: String,
    /// The group at whose offset this one begins when it never ran.
    beside: Option<String>,
    origins: Arc<Origins>,
}

/// What the keys of a policy's state begin with.
pub(crate) type Prefix = [u8; 14];

/// What the names of groups in shadow begin with. No detector and no policy is named like that.
const SHADOW: &str = "shadow/";

/// Whether the group of that name runs in shadow.
pub(crate) fn is_shadow(group: &str) -> bool {
    group.starts_with(SHADOW)
}

impl Group {
    /// The policies must be those the detector was configured with, in the same order.
    pub fn new(
        name: impl Into<String>,
        detector: Arc<dyn Detector>,
        policies: Vec<Arc<PolicyFile>>,
    ) -> Self {
        let name = name.into();
        let prefixes: Vec<Prefix> = policies
            .iter()
            .map(|policy| {
                let mut prefix = [0; 14];
                let marks = group_mark(&name)
                    .into_iter()
                    .chain(policy_mark(detector.description(), policy));
                for (byte, mark) in prefix.iter_mut().zip(marks) {
                    *byte = mark;
                }
                prefix
            })
            .collect();
        let digest = digest(detector.description(), &policies);
        let known = prefixes.iter().copied().collect();
        Self {
            name,
            detector,
            policies,
            prefixes,
            known,
            digest,
            beside: None,
            origins: Arc::default(),
        }
    }

    /// The group of one candidate that runs in shadow, with an offset and a state of its own. It
    /// begins where the policies in force of the same detector are.
    pub fn shadow(detector: Arc<dyn Detector>, policy: Arc<PolicyFile>) -> Self {
        let beside = detector.description().name.clone();
        let name = Self::shadow_name(&policy.name);
        Self { beside: Some(beside), ..Self::new(name, detector, vec![policy]) }
    }

    /// The name of the group in which a candidate runs in shadow.
    pub fn shadow_name(policy: &str) -> String {
        format!("{SHADOW}{policy}")
    }

    /// The same group, told who changed its policies, and why.
    #[must_use]
    pub fn with_origins(self, origins: Arc<Origins>) -> Self {
        Self { origins, ..self }
    }

    /// Whether it runs in shadow.
    pub fn is_shadow(&self) -> bool {
        is_shadow(&self.name)
    }

    /// The group at whose offset it begins when it never ran.
    pub(crate) fn beside(&self) -> Option<&str> {
        self.beside.as_deref()
    }

    /// Who changed which of its policies, and why.
    pub(crate) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Stands for the detector and everything that its policies say: 12 hex digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether what another group has counted for a policy of this group is what this group would
    /// have counted, and the configuration before has not counted it.
    pub(crate) fn adopts(&self, other: &Self, before: Option<&Self>) -> bool {
        let new = |prefix: &Prefix| before.is_none_or(|before| !before.known.contains(prefix));
        other.is_shadow()
            && other.prefixes.iter().any(|theirs| self.twin(theirs).is_some_and(|own| new(&own)))
    }

    /// What keys of state begin with here that begin like this in another group.
    pub(crate) fn twin(&self, prefix: &Prefix) -> Option<Prefix> {
        let (_, mark) = prefix.split_last_chunk::<8>()?;
        self.prefixes.iter().find(|own| own.ends_with(mark)).copied()
    }

    /// What the keys of each policy's state begin with, in the order of the policies.
    pub(crate) fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
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

    /// Where state is kept: (mark of the group, mark of the version of its state and of the policy
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

    /// Whether a key of state belongs to this group, and to no policy it has now.
    pub(crate) fn is_left_over(&self, key: &[u8]) -> bool {
        key.first_chunk().is_none_or(|prefix: &Prefix| !self.known.contains(prefix))
    }

    /// What all keys of state of this group begin with, whatever the version of its detector.
    pub fn state_prefix(&self) -> Vec<u8> {
        Self::state_prefix_of(&self.name)
    }

    /// The same, of the group of that name.
    pub(crate) fn state_prefix_of(name: &str) -> Vec<u8> {
        group_mark(name).to_vec()
    }
}

// There are millions of keys of state, and most of their bytes would be names: marks and hashes stand
// for these, long enough that no two are ever the same.

/// Bytes of a hash that stands for a longer key.
const HASH: usize = 12;

/// Stands for a group.
fn group_mark(name: &str) -> [u8; 6] {
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

fn digest(detector: &DetectorDescription, policies: &[Arc<PolicyFile>]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(&detector.name);
    text(&detector.version);
    for policy in policies {
        text(&policy.name);
        text(&policy.revision);
        // What was filled in from lists is in no file of the policy's own.
        text(&policy.settings_json);
    }
    let mut digest = hasher.finalize().to_hex().to_string();
    digest.truncate(12);
    digest
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("policies", &self.policies.iter().map(|p| &p.name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
