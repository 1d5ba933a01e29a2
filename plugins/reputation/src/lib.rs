//! The `reputation` detector: activity from addresses that lists or the organization itself warn of.
//!
//! The host tags addresses (`ip.tags`, `ip.lists`, `ip.category`) when it stores an activity. This
//! detector says which tags matter, and holds back where an address is common to the organization:
//! lists are wrong about the ways out of companies all the time. `README.md` beside this crate is the
//! reference of its settings.
//!
//! It has no lists of its own, and keeps nothing about people: every activity is judged for itself,
//! by what was known of its address before.

mod address;
mod report;
mod settings;

use std::collections::BTreeMap;
use std::ops::Range;

use casbah_model::detector::{DetectorDescription, Outcome, Problem};
use casbah_model::{Batch, Finding, StateKey};
use casbah_plugin::state::{self, Reader, Writer};
use casbah_plugin::{Detector, export_detector};
use casbah_when::duration::DAY;
use casbah_when::settings::window;
use casbah_when::{Cell, Cells, Evaluation, Places, Plan, Rows, description, keys};

use crate::address::{Address, Use};
use crate::settings::Policy;

/// JSON Schema of this detector's own settings.
const SCHEMA: &str = include_str!("settings.schema.json");
/// What it reads in any case, besides what every detector does.
const READ: &[&str] = &[
    "person",
    "app",
    "result",
    "interactive",
    "ip.tags",
    "ip.lists",
    "ip.category",
    "network.owner",
];

/// The detector, configured with the policies of a group.
#[derive(Debug, Default)]
pub struct Reputation {
    plan: Plan,
    /// The policies, in the order given.
    policies: Vec<Policy>,
    batch: Batch,
    /// What state was asked for, in that order.
    asked: Vec<Asked>,
    /// Rows of all addresses.
    rows: Vec<u32>,
    /// Rows from such addresses, with the time of the first activity of the batch up to each.
    firsts: Vec<(u32, i64)>,
}

/// A piece of state that was asked for.
#[derive(Clone, Debug)]
struct Asked {
    /// Index of the policy.
    policy: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// When the organization's first activity was; with that of the batch, and the place of what is
    /// needed to say it of each row.
    Clock(i64, Range<usize>),
    /// An address; with the place of its activities in the list of rows.
    Address(Range<usize>),
}

export_detector!(Reputation);

impl Detector for Reputation {
    fn describe() -> DetectorDescription {
        let title = "Activity from addresses that lists warn of and that are not common";
        description("reputation", env!("CARGO_PKG_VERSION"), title, 1, READ, SCHEMA)
    }

    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let (plan, policies) = settings::compile(policies)?;
        Ok(Self { plan, policies, ..Self::default() })
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        self.asked.clear();
        self.rows.clear();
        self.firsts.clear();
        let mut state = Vec::new();
        let mut evaluation = Evaluation::new(&self.plan, &batch);
        let places = Places::of(&batch);
        let ips = [Cells::column(&batch, "ip")];
        for (index, policy) in self.policies.iter().enumerate() {
            let mut flagged = evaluation.rows(&policy.tagged);
            if flagged.is_empty() && policy.learn == 0 {
                continue;
            }
            let mut meant = evaluation.rows(&policy.when);
            // News of accounts are as old as what they tell: they must not set the clock.
            meant.and(&evaluation.rows(&policy.done));
            let mut ask = |key: String, what: What| {
                state.push(StateKey { policy: index as u32, key });
                self.asked.push(Asked { policy: index, what });
            };
            flagged.and(&meant);
            if !flagged.is_empty() {
                flagged.and(&evaluation.rows(&policy.counted));
            }
            if policy.learn > 0 {
                let start = self.firsts.len();
                if let Some(first) = first(&places, &meant, &flagged, &mut self.firsts) {
                    let what = What::Clock(first, start..self.firsts.len());
                    ask(keys::own("clock", ""), what);
                }
            }
            if flagged.is_empty() {
                continue;
            }
            let by: Vec<Cells<'_>> = policy.by.iter().map(|&by| evaluation.cells(by)).collect();
            let counts = |row: usize| {
                places.has_credible_time(row)
                    && by.iter().all(|cells| cells.cell(&batch, row) != Cell::Absent)
            };
            for range in keys::part(&batch, &flagged, &ips, counts, &mut self.rows) {
                let first = self.rows.get(range.start).copied().unwrap_or(0) as usize;
                let key = keys::own("ip", &keys::key(&batch, &ips, first));
                ask(key, What::Address(range));
            }
        }
        self.batch = batch;
        Ok(state)
    }

    fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String> {
        state::all_came(self.asked.len(), states)?;
        let mut outcome = Outcome::default();
        let places = Places::of(&self.batch);
        let people = Cells::column(&self.batch, "person");
        let (mut kept, mut firsts) = (0, &[] as &[(u32, i64)]);
        let mut found: Vec<Found> = Vec::new();
        for (place, (asked, bytes)) in self.asked.iter().zip(states).enumerate() {
            let Some(policy) = self.policies.get(asked.policy) else { continue };
            let after = match &asked.what {
                What::Clock(first, range) => {
                    kept = clock(bytes).ok_or_else(|| unreadable(asked, bytes))?;
                    firsts = self.firsts.get(range.clone()).unwrap_or_default();
                    write_clock(kept.min(*first))
                }
                What::Address(range) => {
                    let mut address =
                        Address::read(bytes).ok_or_else(|| unreadable(asked, bytes))?;
                    let rows = self.rows.get(range.clone()).unwrap_or_default();
                    for &row in rows {
                        let time = places.time(row as usize);
                        let person = people.cell(&self.batch, row as usize);
                        let person = keys::fingerprint(&self.batch, person);
                        let day = time.div_euclid(DAY);
                        address.add(day, person as u32, policy.common);
                        // Each is judged by what came before it in the log, so that nothing depends
                        // on where batches end.
                        let used = address.before(known_before(time, policy), policy.common);
                        if used.is_common(policy.common) {
                            continue;
                        }
                        let first = firsts.binary_search_by_key(&row, |(row, _)| *row).ok();
                        let first = first.and_then(|place| firsts.get(place));
                        let since = first.map_or(kept, |(_, first)| kept.min(*first));
                        let learning =
                            policy.learn > 0 && since > time.saturating_sub(policy.learn);
                        found.push(Found { policy: asked.policy, row, used, learning, since });
                    }
                    address.write()
                }
            };
            if after != *bytes {
                outcome.changes.push((place as u32, after));
            }
        }
        outcome.findings = self.findings(&places, found);
        Ok(outcome)
    }
}

/// The first day that does not count yet for what is judged at a time: until `lateness` has passed,
/// activities of a day may still come.
fn known_before(time: i64, policy: &Policy) -> i64 {
    (time.div_euclid(DAY) * DAY).saturating_sub(policy.lateness).div_euclid(DAY)
}

/// An activity that is worth a finding.
struct Found {
    policy: usize,
    row: u32,
    /// How widely its address was used before.
    used: Use,
    /// Whether the organization's habits were not known yet.
    learning: bool,
    /// Since when they are learned, ms.
    since: i64,
}

impl Reputation {
    /// Puts activities together: one finding a group, quiet window and side of the learning.
    fn findings(&self, places: &Places<'_>, found: Vec<Found>) -> Vec<Finding> {
        type Key = (usize, i64, Vec<Cell>, bool);
        let mut parts: BTreeMap<Key, Vec<Found>> = BTreeMap::new();
        for one in found {
            let Some(policy) = self.policies.get(one.policy) else { continue };
            let row = one.row as usize;
            let cell = |&source| self.plan.cells(source, &self.batch).cell(&self.batch, row);
            let start = window(places.time(row), policy.quiet);
            let group = policy.group.iter().map(cell).collect();
            parts.entry((one.policy, start, group, one.learning)).or_default().push(one);
        }
        let mut findings = Vec::with_capacity(parts.len());
        for ((index, start, _, learning), mut found) in parts {
            let Some(policy) = self.policies.get(index) else { continue };
            found.sort_unstable_by_key(|one| places.evidence(one.row as usize));
            let evidence: Vec<_> =
                found.iter().map(|one| places.evidence(one.row as usize)).collect();
            let (Some(first), Some(last)) = (evidence.first(), evidence.last()) else { continue };
            let row = found.first().map_or(0, |one| one.row as usize);
            let report = report::Report::new(policy, &self.batch, &found);
            findings.push(Finding {
                policy: index as u32,
                group: self.plan.group(&policy.group, &self.batch, row),
                start,
                first: first.time,
                last: last.time,
                summary: report.summary(),
                details: report.details(),
                severity: report.severity(),
                behavior: learning,
                evidence,
            });
        }
        findings
    }
}

/// The time of the first activity among those meant, and, for every one that is flagged, of the
/// first up to it.
fn first(
    places: &Places<'_>,
    meant: &Rows,
    flagged: &Rows,
    firsts: &mut Vec<(u32, i64)>,
) -> Option<i64> {
    let mut flagged = flagged.iter().peekable();
    let mut first = None;
    for row in meant.iter() {
        if places.has_credible_time(row) {
            let time = places.time(row);
            first = Some(first.map_or(time, |first: i64| first.min(time)));
        }
        if flagged.next_if_eq(&row).is_some()
            && let Some(first) = first
        {
            firsts.push((row as u32, first));
        }
    }
    first
}

/// The time that is kept of the organization's first activity; the end of time for none.
fn clock(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() {
        return Some(i64::MAX);
    }
    let mut reader = Reader::new(bytes);
    if reader.number()? != 1 {
        return None;
    }
    let kept = reader.signed()?;
    reader.is_empty().then_some(kept)
}

fn write_clock(first: i64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.number(1);
    writer.signed(first);
    writer.finish()
}

fn unreadable(asked: &Asked, bytes: &[u8]) -> String {
    state::unreadable(&format!("state of policy {}", asked.policy), bytes)
}
