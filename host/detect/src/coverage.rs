//! Which filter rows the tests of a policy turn: a row that can be taken for always true and for
//! always false, and no test notices either, is not tested.
//!
//! Every row is forced in turn, the detector is configured with the policy as it is then, and the
//! tests run. It is not a measure of good tests: a row that a test turns may still say the wrong thing.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cores;
use crate::group::Detectors;
use crate::policy::{PolicyFile, PolicySet, place_of_setting};

/// A filter row of a policy, and whether its tests notice when it is forced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowCoverage {
    /// JSON pointer into the settings, e.g. `/when/1`.
    pub pointer: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in the line, from 1.
    pub column: usize,
    /// The row as it begins in the file.
    pub text: String,
    /// Whether a test notices that the row is always true; `None` when it can't be forced.
    pub always: Option<bool>,
    /// Whether a test notices that the row is never true; `None` when it can't be forced.
    pub never: Option<bool>,
}

impl RowCoverage {
    /// Whether no test notices the row, although it could be forced.
    pub fn is_missed(&self) -> bool {
        let noticed = self.always == Some(true) || self.never == Some(true);
        !noticed && (self.always.is_some() || self.never.is_some())
    }

    /// Whether tests notice it both ways.
    pub fn is_turned(&self) -> bool {
        self.always == Some(true) && self.never == Some(true)
    }
}

/// The rows of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The policy.
    pub policy: String,
    /// Its file.
    pub file: String,
    /// Its rows, in the order of the file.
    pub rows: Vec<RowCoverage>,
}

/// The coverage of every policy of a set that `wanted` takes: those whose tests pass, as without
/// that nothing can be said.
pub fn of_all(
    set: &PolicySet,
    detectors: &dyn Detectors,
    wanted: impl Fn(&PolicyFile) -> bool + Sync,
) -> Vec<Coverage> {
    let policies: Vec<_> = set.policies().iter().filter(|policy| wanted(policy)).collect();
    cores::map(&policies, 1, |policy| of(policy, detectors))
}

/// The coverage of a policy whose tests pass.
pub fn of(policy: &Arc<PolicyFile>, detectors: &dyn Detectors) -> Coverage {
    let mut rows = Vec::new();
    if let Ok(settings) = serde_json::from_str::<Value>(&policy.settings_json) {
        let mut pointers = Vec::new();
        find(&settings, "", &mut pointers);
        for pointer in pointers {
            rows.push(forced(policy, &settings, pointer, detectors));
        }
    }
    rows.sort_by_key(|row| (row.line, row.column));
    Coverage { policy: policy.name.clone(), file: policy.file.clone(), rows }
}

fn forced(
    policy: &Arc<PolicyFile>,
    settings: &Value,
    pointer: String,
    detectors: &dyn Detectors,
) -> RowCoverage {
    let noticed = |group: &str| {
        let mut forced = settings.clone();
        *forced.pointer_mut(&pointer)? = json!({group: []});
        // What the detector does not take in this place, such as a negation of nothing, can't be
        // tried.
        let detector = detectors.configure(&policy.detector, &[forced.to_string()]).ok()?;
        Some(policy.tests.iter().any(|test| test.notices(policy, &detector)))
    };
    let (always, never) = (noticed("all"), noticed("any"));
    let span = place_of_setting(policy, &pointer);
    let line = policy.source.lines().nth(span.line.saturating_sub(1)).unwrap_or_default();
    let text: String = line.chars().skip(span.column.saturating_sub(1)).collect();
    RowCoverage {
        pointer,
        line: span.line,
        column: span.column,
        text: text.trim().to_owned(),
        always,
        never,
    }
}

/// Adds the pointers of all rows in a value: of the elements of lists that look like rows.
fn find(value: &Value, pointer: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let key = key.replace('~', "~0").replace('/', "~1");
                find(value, &format!("{pointer}/{key}"), out);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let at = format!("{pointer}/{index}");
                if is_row(item) { row(item, &at, out) } else { find(item, &at, out) }
            }
        }
        _ => {}
    }
}

/// A row by itself, or a group of rows.
fn is_row(value: &Value) -> bool {
    ["field", "cel", "any", "all", "object"].iter().any(|key| value.get(key).is_some())
        || value.get("not").is_some_and(Value::is_object)
}

/// A row itself, or the rows in a group: a group is turned by its rows.
fn row(value: &Value, pointer: &str, out: &mut Vec<String>) {
    for group in ["any", "all"] {
        if let Some(Value::Array(items)) = value.get(group) {
            for (index, item) in items.iter().enumerate() {
                row(item, &format!("{pointer}/{group}/{index}"), out);
            }
            return;
        }
    }
    match value.get("not") {
        Some(inner) if inner.get("any").or_else(|| inner.get("all")).is_some() => {
            row(inner, &format!("{pointer}/not"), out);
        }
        _ => out.push(pointer.to_owned()),
    }
}

#[cfg(test)]
mod tests;
