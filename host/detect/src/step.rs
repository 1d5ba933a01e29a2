//! One step of evaluation: a batch and the state before it, in; alerts and the state after it, out.
//!
//! It is not a loop and knows no store: who calls it decides what happens to the result.

use std::collections::HashMap;

use casbah_model::detector::DetectorError;
use casbah_model::{Alert, AlertState, Batch, Finding, StateKey, TenantName};
use casbah_store::StoreError;

use crate::alerts;
use crate::group::Group;

/// The keyed state of a group.
pub(crate) trait States {
    /// The value of a key, empty when there is none.
    fn get(&mut self, key: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// Sets the value of a key; an empty one deletes it.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);
}

/// State in memory.
#[derive(Default)]
pub(crate) struct Memory(HashMap<Vec<u8>, Vec<u8>>);

impl States for Memory {
    fn get(&mut self, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(self.0.get(key).cloned().unwrap_or_default())
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        if value.is_empty() {
            self.0.remove(&key);
        } else {
            self.0.insert(key, value);
        }
    }
}

/// Why a step came to nothing. No state has changed then.
#[derive(Debug)]
pub(crate) enum StepError {
    Detector(DetectorError),
    Store(StoreError),
}

/// Evaluates a batch, which must have its sequence numbers, and applies the changes of state.
///
/// Returns parts of alerts, each to be joined with what is known of the same id.
pub(crate) fn step(
    group: &Group,
    tenant: &TenantName,
    batch: &Batch,
    states: &mut dyn States,
) -> Result<Vec<Alert>, StepError> {
    let mut failed = None;
    let evaluated = group.detector().evaluate(batch, &mut |keys| {
        keys.iter()
            .map(|key| match load(group, states, key) {
                Ok(value) => value,
                Err(error) => {
                    failed = Some(error);
                    Vec::new()
                }
            })
            .collect()
    });
    // What a detector makes of state that could not be read means nothing.
    if let Some(error) = failed {
        return Err(StepError::Store(error));
    }
    let (keys, outcome) = evaluated.map_err(StepError::Detector)?;
    let refuse = |message: String| {
        StepError::Detector(DetectorError {
            plugin: group.detector().description().name.clone(),
            message,
        })
    };
    let mut changes = Vec::with_capacity(outcome.changes.len());
    for (place, value) in outcome.changes {
        let key = keys
            .get(place as usize)
            .and_then(|key| group.state_key(key.policy, &key.key))
            .ok_or_else(|| refuse(format!("changed state {place}, which it never asked for")))?;
        changes.push((key, value));
    }
    let parts = outcome
        .findings
        .into_iter()
        .map(|finding| {
            let policy = finding.policy;
            alert(group, tenant, finding)
                .ok_or_else(|| refuse(format!("named policy {policy}, which it was never given")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    for (key, value) in changes {
        states.put(key, value);
    }
    Ok(parts)
}

fn load(group: &Group, states: &mut dyn States, key: &StateKey) -> Result<Vec<u8>, StoreError> {
    match group.state_key(key.policy, &key.key) {
        Some(key) => states.get(&key),
        None => Ok(Vec::new()),
    }
}

fn alert(group: &Group, tenant: &TenantName, finding: Finding) -> Option<Alert> {
    let policy = group.policies().get(finding.policy as usize)?;
    // A candidate must never be taken for the policy in force of the same name.
    let of = if group.is_shadow() { group.name() } else { policy.name.as_str() };
    let mut evidence = finding.evidence;
    let count = evidence.len() as u64;
    evidence.sort_unstable();
    evidence.truncate(Alert::EVIDENCE_KEPT);
    Some(Alert {
        id: alerts::id(tenant, of, &finding.group, finding.start),
        policy: policy.name.clone(),
        revision: policy.revision.clone(),
        title: policy.title.clone(),
        severity: finding.severity.unwrap_or(policy.severity),
        group: finding.group,
        start: finding.start,
        first: finding.first,
        last: finding.last,
        count,
        evidence,
        summary: finding.summary,
        details: finding.details,
        state: AlertState::Open,
        behavior: finding.behavior,
        description: String::new(),
        respond: policy.respond.clone(),
        shadow: group.is_shadow(),
        held_back: false,
    })
}
