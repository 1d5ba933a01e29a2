//! What a detector answers with: findings, and the state it wants kept.

use serde::{Deserialize, Serialize};

use crate::alert::{Evidence, Severity};

/// Names one piece of a detector's keyed state within its policy group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StateKey {
    /// Index of the policy in the list the detector was configured with.
    pub policy: u32,
    /// The key, e.g. the actor; any text of at most 512 bytes.
    pub key: String,
}

/// One new thing a detector noticed about one group.
///
/// Findings are *deltas*: an activity is named as evidence of one (policy, group, start) once. The
/// host joins findings of the same (policy, group, start) into one alert; since joining is
/// commutative, the alerts do not depend on how the activities were split into batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Index of the policy in the list the detector was configured with.
    pub policy: u32,
    /// What the finding is about: columns and their values, e.g. `("actor", "ana@example.com")`.
    pub group: Vec<(String, String)>,
    /// Start of the window that the alert stands for, ms since 1970; part of the alert's identity.
    pub start: i64,
    /// Time of the first activity or instant that made it, ms since 1970.
    pub first: i64,
    /// Time of the last one, ms since 1970.
    pub last: i64,
    /// The activities that are newly counted.
    pub evidence: Vec<Evidence>,
    /// One sentence for people; may be empty.
    pub summary: String,
    /// Numbers and texts behind the sentence, e.g. `("count", "31")`.
    pub details: Vec<(String, String)>,
    /// Overrides the policy's severity.
    pub severity: Option<Severity>,
    /// Whether it stays below the alerting line: then it is kept as a behavior, and is no alert
    /// until a finding of the same (policy, group, start) crosses the line.
    #[serde(default)]
    pub behavior: bool,
}
