//! The `activity` detector: filter rows and repeat windows.
//!
//! A policy says which activities it means by rows of *field, operator, value*, and, where a single
//! one is nothing to speak of, how many within what time make a finding. `README.md` beside this
//! crate is the reference of that language.
//!
//! It has no baselines, no sequences of different activities, and no arithmetic: those are other
//! detectors' work.

mod report;
mod settings;
mod state;
mod window;

use std::collections::BTreeMap;
use std::ops::Range;

use casbah_model::detector::{DetectorDescription, Outcome, Problem};
use casbah_model::{Batch, Evidence, Finding, StateKey};
use casbah_plugin::state::{all_came, unreadable};
use casbah_plugin::{Detector, export_detector};
use casbah_when::{Cell, Cells, Evaluation, Places, Plan, Rows, description, keys};

use crate::settings::{Policy, Repeat};
use crate::window::{Entry, Rule};

/// JSON Schema of this detector's own settings.
const SCHEMA: &str = include_str!("settings.schema.json");

/// The detector, configured with the policies of a group.
#[derive(Debug, Default)]
pub struct Activity {
    plan: Plan,
    /// The policies, in the order given.
    policies: Vec<Policy>,
    batch: Batch,
    /// Keys that are counted, in the order in which their state was asked for.
    parts: Vec<Part>,
    /// Rows of all keys.
    rows: Vec<u32>,
    /// Policies whose every activity is a finding, with their rows.
    singles: Vec<(usize, Rows)>,
}

export_detector!(Activity);

/// Rows of one key of one policy.
#[derive(Clone, Debug)]
struct Part {
    /// Index of the policy.
    policy: usize,
    /// Where its rows stand in the list of rows, in order.
    rows: Range<usize>,
}

impl Detector for Activity {
    fn describe() -> DetectorDescription {
        let title = "Activities that match filter rows, one by one or many within a time";
        description("activity", env!("CARGO_PKG_VERSION"), title, 1, &[], SCHEMA)
    }

    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let (plan, policies) = settings::compile(policies)?;
        Ok(Self { plan, policies, ..Self::default() })
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        self.parts.clear();
        self.rows.clear();
        self.singles.clear();
        let mut state = Vec::new();
        let mut evaluation = Evaluation::new(&self.plan, &batch);
        let places = Places::of(&batch);
        for (index, policy) in self.policies.iter().enumerate() {
            let rows = evaluation.rows(&policy.when);
            if rows.is_empty() {
                continue;
            }
            let Some(repeat) = &policy.repeat else {
                self.singles.push((index, rows));
                continue;
            };
            let by: Vec<Cells<'_>> = repeat.by.iter().map(|&by| evaluation.cells(by)).collect();
            let distinct = repeat.distinct.map(|distinct| evaluation.cells(distinct));
            let counts = |row: usize| {
                places.has_credible_time(row)
                    && distinct.is_none_or(|cells| cells.cell(&batch, row) != Cell::Absent)
            };
            for range in keys::part(&batch, &rows, &by, counts, &mut self.rows) {
                let first = self.rows.get(range.start).copied().unwrap_or(0) as usize;
                state.push(StateKey { policy: index as u32, key: keys::key(&batch, &by, first) });
                self.parts.push(Part { policy: index, rows: range });
            }
        }
        self.batch = batch;
        Ok(state)
    }

    fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String> {
        all_came(self.parts.len(), states)?;
        let mut outcome = Outcome::default();
        let places = Places::of(&self.batch);
        for (index, rows) in &self.singles {
            if let Some(policy) = self.policies.get(*index) {
                self.report_single(*index, policy, &places, rows, &mut outcome.findings);
            }
        }
        let mut arrivals = Vec::new();
        for (place, (part, bytes)) in self.parts.iter().zip(states).enumerate() {
            let Some(policy) = self.policies.get(part.policy) else { continue };
            let Some(repeat) = &policy.repeat else { continue };
            let rows = self.rows.get(part.rows.clone()).unwrap_or_default();
            let distinct = repeat.distinct.map(|source| self.plan.cells(source, &self.batch));
            self.arrivals(&places, distinct, rows, &mut arrivals);
            let rule = rule(policy, repeat);
            if let Some(after) = state::append(bytes, &rule, &arrivals) {
                outcome.changes.push((place as u32, after));
                continue;
            }
            let mut held = state::read(bytes, &rule)
                .ok_or_else(|| unreadable(&format!("state of policy {}", part.policy), bytes))?;
            for fired in rule.advance(&mut held, arrivals.iter().copied()) {
                let (Some(first), Some(last)) = (fired.evidence.first(), fired.evidence.last())
                else {
                    continue;
                };
                outcome.findings.push(Finding {
                    policy: part.policy as u32,
                    group: self.group(policy, rows),
                    start: fired.start,
                    first: first.time,
                    last: last.time,
                    summary: report::repeated(&self.plan, &self.batch, repeat, fired.peak, rows),
                    details: report::details(
                        &self.plan,
                        &self.batch,
                        Some((repeat, fired.peak, held.overflowed)),
                        rows,
                    ),
                    severity: None,
                    behavior: false,
                    evidence: fired.evidence,
                });
            }
            let after = state::write(&held, &rule);
            if after != *bytes {
                outcome.changes.push((place as u32, after));
            }
        }
        Ok(outcome)
    }
}

fn rule(policy: &Policy, repeat: &Repeat) -> Rule {
    Rule {
        count: repeat.count as usize,
        within: repeat.within,
        lateness: repeat.lateness,
        quiet: policy.quiet,
        distinct: repeat.distinct.is_some(),
        #[cfg(test)]
        closed: false,
    }
}

impl Activity {
    /// The activities of a key, in the order of their arrival.
    fn arrivals(
        &self,
        places: &Places<'_>,
        distinct: Option<Cells<'_>>,
        rows: &[u32],
        arrivals: &mut Vec<Entry>,
    ) {
        arrivals.clear();
        arrivals.extend(rows.iter().map(|&row| {
            let row = row as usize;
            let value = distinct.map(|cells| cells.cell(&self.batch, row));
            Entry {
                time: places.time(row),
                sequence: places.sequence(row),
                value: value.map_or(0, |value| keys::fingerprint(&self.batch, value)),
                marks: 0,
            }
        }));
    }

    /// The group that the first of the rows belongs to.
    fn group(&self, policy: &Policy, rows: &[u32]) -> Vec<(String, String)> {
        let row = rows.first().copied().unwrap_or(0) as usize;
        self.plan.group(&policy.group, &self.batch, row)
    }

    /// Reports activities that are findings by themselves: one finding a group and quiet window.
    fn report_single(
        &self,
        index: usize,
        policy: &Policy,
        places: &Places<'_>,
        rows: &Rows,
        findings: &mut Vec<Finding>,
    ) {
        let cells: Vec<Cells<'_>> =
            policy.group.iter().map(|&source| self.plan.cells(source, &self.batch)).collect();
        let mut parts: BTreeMap<(i64, Vec<Cell>, Option<usize>), Vec<u32>> = BTreeMap::new();
        for row in rows.iter() {
            let time = places.time(row);
            let (start, alone) = match policy.quiet {
                0 => (time, Some(row)),
                quiet => (time.div_euclid(quiet).saturating_mul(quiet), None),
            };
            let group = cells.iter().map(|cells| cells.cell(&self.batch, row)).collect();
            parts.entry((start, group, alone)).or_default().push(row as u32);
        }
        for ((start, _, alone), rows) in parts {
            let mut group = self.group(policy, &rows);
            if let Some(row) = alone {
                group.push(("id".to_owned(), self.identity(places, row)));
            }
            let mut evidence: Vec<Evidence> =
                rows.iter().map(|&row| places.evidence(row as usize)).collect();
            evidence.sort_unstable();
            let (Some(first), Some(last)) = (evidence.first(), evidence.last()) else { continue };
            findings.push(Finding {
                policy: index as u32,
                group,
                start,
                first: first.time,
                last: last.time,
                summary: report::single(&self.batch, &rows),
                details: report::details(&self.plan, &self.batch, None, &rows),
                severity: None,
                behavior: false,
                evidence,
            });
        }
    }

    /// What tells an activity apart from all others.
    fn identity(&self, places: &Places<'_>, row: usize) -> String {
        match self.batch.text("id", row) {
            "" => places.sequence(row).to_string(),
            id => id.to_owned(),
        }
    }
}
