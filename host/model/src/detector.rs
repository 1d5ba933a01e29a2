//! What host and detector say to each other.

use std::collections::BTreeSet;
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
    /// Of these, the ones that are handed over only where a policy names them: where the name stands
    /// as a text anywhere in its settings, or is the part before the first dot of such a text. A
    /// policy without a quiet window names `id`, too: there every activity is an alert of its own.
    /// The text `*` names all of them; a list under the key `object` names `objects`.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Version of the form of its keyed state.
    pub state_version: u32,
    /// JSON Schema of a policy's settings.
    #[serde(default)]
    pub settings: serde_json::Value,
}

impl DetectorDescription {
    /// The same detector as far as these policies need it: without the optional columns and nested
    /// tables that none of their settings (JSON texts) names.
    #[must_use]
    pub fn narrowed(&self, settings: &[String]) -> Self {
        let mut named = BTreeSet::new();
        for text in settings {
            // Settings that can't be read name nothing; the detector itself refuses them.
            let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { continue };
            if value.get("quiet").is_none_or(|quiet| quiet == 0) {
                named.insert("id".to_owned());
            }
            texts(&value, &mut named);
        }
        let mut narrowed = self.clone();
        if named.contains("*") {
            return narrowed;
        }
        let unneeded = |name: &String| self.optional.contains(name) && !named.contains(name);
        narrowed.columns.retain(|name| !unneeded(name));
        narrowed.nested.retain(|name| !unneeded(name));
        narrowed
    }
}

/// Adds every text of a JSON value, and the part of it before the first dot.
fn texts(value: &serde_json::Value, named: &mut BTreeSet<String>) {
    use serde_json::Value;
    match value {
        Value::String(text) => {
            if let Some((first, _)) = text.split_once('.') {
                named.insert(first.to_owned());
            }
            named.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, named)),
        Value::Object(members) => {
            for (key, item) in members {
                if key == "object" && item.is_array() {
                    named.insert("objects".to_owned());
                }
                texts(item, named);
            }
        }
        _ => {}
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_policies_name_is_handed_over() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let description = DetectorDescription {
            columns: names(&["time", "id", "token", "access", "recipient.external"]),
            nested: names(&["objects", "fields"]),
            optional: names(&["id", "token", "access", "recipient.external", "objects", "fields"]),
            ..DetectorDescription::default()
        };
        let mut settings = [
            r#"{"quiet": 1000, "when": [{"field": "fields.userTypes", "is": "x"}], "group": ["access"]}"#
                .to_owned(),
            r#"{"quiet": 1000, "when": [{"any": [{"field": "recipient.external", "is": true}]}]}"#.to_owned(),
        ];
        let narrowed = description.narrowed(&settings);
        assert_eq!(narrowed.columns, ["time", "access", "recipient.external"]);
        assert_eq!(narrowed.nested, ["fields"]);
        settings[1] = r#"{"quiet": 0}"#.to_owned();
        assert_eq!(description.narrowed(&settings).columns, ["time", "id", "access"]);
        settings[0] =
            r#"{"quiet": 1, "when": [{"object": [{"field": "role", "is": "x"}]}]}"#.to_owned();
        settings[1] =
            r#"{"quiet": 1, "when": [{"field": "recipient.external", "is": true}]}"#.to_owned();
        let narrowed = description.narrowed(&settings);
        assert_eq!(narrowed.columns, ["time", "recipient.external"]);
        assert_eq!(narrowed.nested, ["objects"]);
        settings[1] = r#"{"quiet": 1, "when": [{"field": "*", "is": "x"}]}"#.to_owned();
        assert_eq!(description.narrowed(&settings), description);
    }
}
