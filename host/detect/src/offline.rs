//! Evaluation without a store: for looking through saved logs, and for the tests of policies.
//!
//! It is not for a log that does not end: state and alerts are held in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use casbah_model::detector::DetectorError;
use casbah_model::{Alert, Batch, TenantName};

use crate::group::Group;
use crate::policy::PolicyFile;
use crate::slice::slice;
use crate::step::{self, Memory, StepError};

/// Evaluates batches in memory.
pub struct Offline {
    tenant: TenantName,
    members: Vec<Member>,
    alerts: BTreeMap<String, Alert>,
    /// Alerts that were handed out as fresh.
    told: HashSet<String>,
    next: u64,
    put_aside: u64,
}

/// A group and what it has come to.
struct Member {
    group: Group,
    states: Memory,
    /// Activities in a row that its detector failed on.
    failures: u32,
}

impl Offline {
    /// A detector that fails on so many activities in a row is broken, and is not asked again.
    const FAILURES_IN_A_ROW: u32 = 5;
    /// Rows of a batch that are evaluated at once.
    const ROWS: usize = 16_384;

    /// Nothing fed yet. The tenant takes part in the ids of alerts.
    pub fn new(tenant: TenantName, groups: Vec<Group>) -> Self {
        Self {
            tenant,
            members: groups
                .into_iter()
                .map(|group| Member { group, states: Memory::default(), failures: 0 })
                .collect(),
            alerts: BTreeMap::new(),
            told: HashSet::new(),
            next: 1,
            put_aside: 0,
        }
    }

    /// Evaluates a batch of normalized activities; sequence numbers are given here, from 1 on.
    /// Returns the number of the first.
    ///
    /// # Errors
    /// The first failure of a detector. All groups have seen the whole batch even so, but for the
    /// activities that a detector fails on alone: these are put aside. After five of them in a row
    /// the detector is not asked again. It makes sense to go on with the next batch.
    pub fn feed(&mut self, batch: &Batch) -> Result<u64, DetectorError> {
        let first = self.next;
        self.feed_at(batch, first).map(|()| first)
    }

    /// As [`Offline::feed`], for a batch that has its place in a log: `first` is the sequence number
    /// of its first activity.
    ///
    /// # Errors
    /// As [`Offline::feed`].
    pub fn feed_at(&mut self, batch: &Batch, first: u64) -> Result<(), DetectorError> {
        self.next = first + u64::from(batch.rows);
        let mut failed = None;
        for member in &mut self.members {
            // The parts still to do, the next one on top.
            let mut parts: Vec<Range<usize>> = (0..batch.len())
                .step_by(Self::ROWS)
                .map(|start| start..(start + Self::ROWS).min(batch.len()))
                .rev()
                .collect();
            while let Some(part) = parts.pop() {
                if member.failures >= Self::FAILURES_IN_A_ROW {
                    self.put_aside += part.len() as u64;
                    continue;
                }
                match member.evaluate(&self.tenant, batch, first, part.clone()) {
                    Ok(alerts) => {
                        member.failures = 0;
                        join(&mut self.alerts, alerts);
                    }
                    Err(error) => {
                        failed.get_or_insert(error);
                        if part.len() > 1 {
                            let middle = part.start + part.len() / 2;
                            parts.extend([middle..part.end, part.start..middle]);
                        } else {
                            self.put_aside += 1;
                            member.failures += 1;
                        }
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// How many activities could not be evaluated, counted once for every group.
    pub fn put_aside(&self) -> u64 {
        self.put_aside
    }

    /// All alerts so far, the oldest first.
    pub fn alerts(&self) -> Vec<Alert> {
        self.listed(false)
    }

    /// The alerts that have come up since this was last asked, as they are now.
    pub fn fresh(&mut self) -> Vec<Alert> {
        let told = &self.told;
        let fresh = |alert: &&Alert| !alert.behavior && !told.contains(&alert.id);
        let fresh: Vec<Alert> = self.alerts.values().filter(fresh).cloned().collect();
        self.told.extend(fresh.iter().map(|alert| alert.id.clone()));
        self.called(fresh)
    }

    /// Gives alerts the titles and descriptions that their policies' templates make of them.
    fn called(&self, mut alerts: Vec<Alert>) -> Vec<Alert> {
        let policies: HashMap<&str, &Arc<PolicyFile>> = self
            .members
            .iter()
            .flat_map(|member| member.group.policies())
            .map(|policy| (policy.name.as_str(), policy))
            .collect();
        for alert in &mut alerts {
            if let Some(policy) = policies.get(alert.policy.as_str()) {
                alert.title = policy.title_of(alert);
                alert.description = policy.description_of(alert);
            }
        }
        alerts
    }

    /// All behaviors so far that have not become alerts, the oldest first. Unlike in a running
    /// casbah they are not fed back as activities.
    pub fn behaviors(&self) -> Vec<Alert> {
        self.listed(true)
    }

    fn listed(&self, behavior: bool) -> Vec<Alert> {
        let mut alerts: Vec<Alert> =
            self.alerts.values().filter(|alert| alert.behavior == behavior).cloned().collect();
        alerts.sort_by(|a, b| (a.first, &a.policy, &a.id).cmp(&(b.first, &b.policy, &b.id)));
        self.called(alerts)
    }
}

impl Member {
    /// Evaluates some rows; on failure nothing has happened.
    fn evaluate(
        &mut self,
        tenant: &TenantName,
        batch: &Batch,
        first: u64,
        rows: Range<usize>,
    ) -> Result<Vec<Alert>, DetectorError> {
        let cut = slice(batch, rows, first, self.group.detector().description());
        match step::step(&self.group, tenant, &cut, &mut self.states) {
            Ok(alerts) => Ok(alerts),
            Err(StepError::Detector(error)) => Err(error),
            // The state is in memory, there is no store to fail.
            Err(StepError::Store(_)) => Ok(Vec::new()),
        }
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
