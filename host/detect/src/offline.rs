//! Evaluation without a store: for looking through saved logs, and for the tests of policies.
//!
//! It is not for a log that does not end: state and alerts are held in memory.

use std::collections::{BTreeMap, HashMap};

use casbah_model::detector::DetectorError;
use casbah_model::{Alert, Batch, TenantName};
use casbah_store::StoreError;

use crate::group::Group;
use crate::slice::slice;
use crate::step::{self, States, StepError};

/// Evaluates batches in memory.
pub struct Offline {
    tenant: TenantName,
    groups: Vec<(Group, Memory)>,
    alerts: BTreeMap<String, Alert>,
    next: u64,
}

impl Offline {
    /// Rows of a batch that are evaluated at once.
    const ROWS: usize = 16_384;

    /// Nothing fed yet. The tenant takes part in the ids of alerts.
    pub fn new(tenant: TenantName, groups: Vec<Group>) -> Self {
        Self {
            tenant,
            groups: groups.into_iter().map(|group| (group, Memory::default())).collect(),
            alerts: BTreeMap::new(),
            next: 1,
        }
    }

    /// Evaluates a batch of normalized activities; sequence numbers are given here, from 1 on.
    /// Returns the number of the first.
    ///
    /// # Errors
    /// When a detector failed; other groups have seen the whole batch, this one a part of it.
    pub fn feed(&mut self, batch: &Batch) -> Result<u64, DetectorError> {
        let first = self.next;
        self.next += u64::from(batch.rows);
        let mut failed = None;
        for (group, states) in &mut self.groups {
            let mut start = 0;
            while start < batch.len() {
                let end = (start + Self::ROWS).min(batch.len());
                let cut = slice(batch, start..end, first, group.detector().description());
                match step::step(group, &self.tenant, &cut, states) {
                    Ok(parts) => join(&mut self.alerts, parts),
                    Err(StepError::Detector(error)) => {
                        failed = Some(error);
                        break;
                    }
                    // The state is in memory, there is no store to fail.
                    Err(StepError::Store(_)) => {}
                }
                start = end;
            }
        }
        failed.map_or(Ok(first), Err)
    }

    /// All alerts so far, the oldest first.
    pub fn alerts(&self) -> Vec<Alert> {
        let mut alerts: Vec<Alert> = self.alerts.values().cloned().collect();
        alerts.sort_by(|a, b| (a.first, &a.policy, &a.id).cmp(&(b.first, &b.policy, &b.id)));
        alerts
    }
}

/// Joins parts into what is known.
pub(crate) fn join(alerts: &mut BTreeMap<String, Alert>, parts: Vec<Alert>) {
    for part in parts {
        match alerts.get_mut(&part.id) {
            Some(known) => known.join(part),
            None => {
                alerts.insert(part.id.clone(), part);
            }
        }
    }
}

/// State in memory.
#[derive(Default)]
struct Memory(HashMap<Vec<u8>, Vec<u8>>);

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
