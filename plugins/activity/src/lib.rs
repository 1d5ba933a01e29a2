//! The `activity` detector: filter rows and repeat windows.
//!
//! A policy says which activities it means by rows of *field, operator, value*, and, where a single
//! one is nothing to speak of, how many within what time make a finding. `README.md` beside this
//! crate is the reference of that language.
//!
//! It has no baselines, no sequences of different activities, and no arithmetic: those are other
//! detectors' work.

mod address;
mod duration;
mod evaluate;
mod fields;
mod json;
mod keys;
mod plan;
mod predicate;
mod report;
mod rows;
mod settings;
mod state;
mod window;

use std::collections::BTreeMap;

use casbah_model::detector::{DetectorDescription, Outcome, Problem};
use casbah_model::table::ABSENT_INTEGER;
use casbah_model::vocabulary::{COLUMNS, NESTED};
use casbah_model::{Batch, Evidence, Finding, StateKey};
use casbah_plugin::{Detector, export_detector};

use crate::evaluate::Evaluation;
use crate::fields::{Cell, Cells, Field};
use crate::keys::Part;
use crate::plan::{Plan, Policy, Repeat};
use crate::rows::Rows;
use crate::window::{Entry, Rule};

/// JSON Schema of a policy's settings.
const SCHEMA: &str = include_str!("settings.schema.json");

/// The detector, configured with the policies of a group.
#[derive(Debug, Default)]
pub struct Activity {
    plan: Plan,
    batch: Batch,
    /// Keys that are counted, in the order in which their state was asked for.
    parts: Vec<Part>,
    /// Rows of all keys.
    rows: Vec<u32>,
    /// Policies whose every activity is a finding, with their rows.
    singles: Vec<(usize, Rows)>,
}

export_detector!(Activity);

/// What is read whatever the policies say: for time and identity, and for what findings tell.
const ALWAYS: &[&str] = &[
    "sequence",
    "time",
    "received",
    "kind",
    "actor",
    "object",
    "object.kind",
    "object.name",
    "recipient",
    "ip",
    "country",
    "client",
];

/// What is read only when a policy names it.
fn optional() -> impl Iterator<Item = &'static str> {
    let columns = COLUMNS.iter().map(|column| column.name);
    columns.chain(NESTED.iter().map(|nested| nested.name)).filter(|name| !ALWAYS.contains(name))
}

impl Detector for Activity {
    fn describe() -> DetectorDescription {
        DetectorDescription {
            name: "activity".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            title: "Activities that match filter rows, one by one or many within a time".to_owned(),
            columns: COLUMNS.iter().map(|column| column.name.to_owned()).collect(),
            nested: NESTED.iter().map(|nested| nested.name.to_owned()).collect(),
            optional: optional().map(str::to_owned).collect(),
            state_version: 1,
            settings: serde_json::from_str(SCHEMA).unwrap_or_default(),
        }
    }

    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        Ok(Self { plan: settings::compile(policies)?, ..Self::default() })
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        self.parts.clear();
        self.rows.clear();
        self.singles.clear();
        let mut state = Vec::new();
        let mut evaluation = Evaluation::new(&self.plan, &batch);
        let places = Places::of(&batch);
        for (index, policy) in self.plan.policies.iter().enumerate() {
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
        if states.len() != self.parts.len() {
            return Err(format!(
                "{} states were asked for, but {} came",
                self.parts.len(),
                states.len()
            ));
        }
        let mut outcome = Outcome::default();
        let places = Places::of(&self.batch);
        for (index, rows) in &self.singles {
            if let Some(policy) = self.plan.policies.get(*index) {
                self.report_single(*index, policy, &places, rows, &mut outcome.findings);
            }
        }
        let mut arrivals = Vec::new();
        for (place, (part, bytes)) in self.parts.iter().zip(states).enumerate() {
            let Some(policy) = self.plan.policies.get(part.policy) else { continue };
            let Some(repeat) = &policy.repeat else { continue };
            let rows = self.rows.get(part.rows.clone()).unwrap_or_default();
            let distinct = repeat.distinct.map(|source| self.cells(source));
            self.arrivals(&places, distinct, rows, &mut arrivals);
            let rule = rule(policy, repeat);
            if let Some(after) = state::append(bytes, &rule, &arrivals) {
                outcome.changes.push((place as u32, after));
                continue;
            }
            let mut held = state::read(bytes, &rule).ok_or_else(|| {
                format!(
                    "state of policy {} can't be read: {} bytes that this version did not write\n\
                     hint: rebuild the state by replaying the log",
                    part.policy,
                    bytes.len()
                )
            })?;
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

/// How much later than it was fetched an activity may say it happened: clocks differ, and zones are
/// mistaken. A day, in ms.
const AHEAD: i64 = 24 * 60 * 60 * 1000;

/// Where activities stand in time and in the log.
struct Places<'a> {
    times: &'a [i64],
    received: &'a [i64],
    sequences: &'a [i64],
}

impl<'a> Places<'a> {
    fn of(batch: &'a Batch) -> Self {
        let column = |name: &str| batch.integers(name).unwrap_or_default();
        Self { times: column("time"), received: column("received"), sequences: column("sequence") }
    }

    /// When an activity happened; when it was fetched, for one that does not say.
    fn time(&self, row: usize) -> i64 {
        let of = |column: &[i64]| column.get(row).copied().filter(|&time| time != ABSENT_INTEGER);
        of(self.times).or_else(|| of(self.received)).unwrap_or(0)
    }

    /// Whether it says when it happened, and not that this is yet to come.
    ///
    /// One such time would be the newest of its key, and make all that happens until then too late.
    fn has_credible_time(&self, row: usize) -> bool {
        let Some(&time) = self.times.get(row).filter(|&&time| time != ABSENT_INTEGER) else {
            return false;
        };
        let received = self.received.get(row).filter(|&&received| received != ABSENT_INTEGER);
        received.is_none_or(|received| time <= received.saturating_add(AHEAD))
    }

    /// Its place in the log; its place in the batch where the host gave none.
    fn sequence(&self, row: usize) -> u64 {
        let given = self.sequences.get(row).and_then(|&value| u64::try_from(value).ok());
        given.unwrap_or(row as u64)
    }
}

impl Activity {
    fn cells(&self, source: usize) -> Cells<'_> {
        self.plan.sources.get(source).map_or(Cells::Absent, |field| Cells::of(field, &self.batch))
    }

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
        let value = |source: &usize| {
            let name = self.plan.sources.get(*source).map(Field::name).unwrap_or_default();
            (name.to_owned(), self.cells(*source).cell(&self.batch, row).text(&self.batch))
        };
        policy.group.iter().map(value).collect()
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
        let cells: Vec<Cells<'_>> = policy.group.iter().map(|&source| self.cells(source)).collect();
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
            let mut evidence: Vec<Evidence> = rows
                .iter()
                .map(|&row| Evidence {
                    time: places.time(row as usize),
                    sequence: places.sequence(row as usize),
                })
                .collect();
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
