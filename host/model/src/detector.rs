//! What host and detector say to each other.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, StateKey};
use crate::table::Batch;

/// What a detector is. Crosses the boundary as JSON, so that it can grow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DetectorDescription {
    /// Name that policies use, e.g. `activity`.
    pub name: String,
    /// Version of the detector.
    pub version: String,
    /// What it notices, in a sentence.
    pub title: String,
    /// Columns it reads; others are not handed to it. `*` stands for all.
    pub columns: Vec<String>,
    /// Nested tables it reads.
    #[serde(default)]
    pub nested: Vec<String>,
    /// Version of the form of its keyed state.
    pub state_version: u32,
    /// JSON Schema of a policy's settings.
    #[serde(default)]
    pub settings: serde_json::Value,
}

/// One thing wrong with one policy's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Index in the list of policies.
    pub policy: u32,
    /// JSON pointer into its settings, e.g. `/when/0/field`.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.message)
    }
}

/// What a detector answers about a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Something new about groups.
    pub findings: Vec<Finding>,
    /// Changed state: the place of the key in the list asked for, and its new value; an empty value
    /// deletes the key.
    pub changes: Vec<(u32, Vec<u8>)>,
}

/// A detector that has been configured and waits for batches, in a sandbox or not.
///
/// Every batch is evaluated as if by a fresh copy: nothing is remembered but the keyed state.
pub trait Detector: Send + Sync {
    /// What it is.
    fn description(&self) -> &DetectorDescription;

    /// Evaluates a batch. `load` is called once with the keys of the state that is needed and
    /// returns their values in the same order, empty where there is none.
    ///
    /// Returns the keys asked for, and the outcome that refers to them.
    ///
    /// # Errors
    /// When the detector failed; nothing has happened then.
    fn evaluate(
        &self,
        batch: &Batch,
        load: &mut dyn FnMut(&[StateKey]) -> Vec<Vec<u8>>,
    ) -> Result<(Vec<StateKey>, Outcome), DetectorError>;
}

/// How a detector failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectorError {
    /// Name of the plugin.
    pub plugin: String,
    /// What happened, for people: what, where, and what to do.
    pub message: String,
}

impl fmt::Display for DetectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin `{}`: {}", self.plugin, self.message)
    }
}

impl std::error::Error for DetectorError {}
