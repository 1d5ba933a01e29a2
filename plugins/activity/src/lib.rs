//! The `activity` detector: filter rows, repeat windows, sequences and absence.
//!
//! A policy says which activities it means by rows of *field, operator, value*, and, where a single
//! one is nothing to speak of, what makes a finding of several: how many, how much, what after what,
//! or what not. `README.md` beside this crate is the reference of that language.
//!
//! It has no baselines: it does not learn what is usual.

mod entry;
mod parts;
mod report;
mod rule;
mod sequence;
mod settings;
mod state;
mod steps;
mod waiting;
mod window;
mod work;

use std::collections::btree_map::{self, BTreeMap};

use casbah_model::detector::{DetectorDescription, Outcome, Problem};
use casbah_model::{Batch, Evidence, Finding, StateKey};
use casbah_plugin::state::{all_came, unreadable};
use casbah_plugin::{Detector, export_detector, json};
use casbah_when::{Cell, Cells, Places, Plan, description, keys};

use crate::entry::{Entry, Fired};
use crate::parts::{Item, Lists};
use crate::report::Told;
use crate::settings::{Policy, Window};
use crate::waiting::{Due, Waiting};
use crate::work::{Found, Part, Single, Work};

/// JSON Schema of this detector's own settings.
const SCHEMA: &str = include_str!("settings.schema.json");
/// How long a value of a group may be that waits, bytes; a longer one is cut and marked by a hash.
const LONGEST_VALUE: usize = 1000;

/// The detector, configured with the policies of a group.
#[derive(Debug, Default)]
pub struct Activity {
    plan: Plan,
    /// Lists of fields that policies count by.
    lists: Lists,
    /// The policies, in the order given.
    policies: Vec<Policy>,
    batch: Batch,
    /// What there is to do in the batch.
    found: Found,
}

export_detector!(Activity);

impl Detector for Activity {
    fn describe() -> DetectorDescription {
        let title = "Activities that match filter rows: one by one, many or much within a time, \
            one after the other, or missing";
        let mut description =
            description("activity", env!("CARGO_PKG_VERSION"), title, 1, &[], SCHEMA);
        // A sequence says by its steps which activities are meant.
        if let Some(settings) = description.settings.as_object_mut() {
            settings.remove("required");
            let either = ["when", "sequence"].map(|key| json!({"required": [key]}));
            settings.insert("anyOf".to_owned(), json!(either));
        }
        description
    }

    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let (plan, lists, policies) = settings::compile(policies)?;
        Ok(Self { plan, lists, policies, ..Self::default() })
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        self.found = work::find(&self.plan, &self.lists, &self.policies, &batch);
        self.batch = batch;
        Ok(std::mem::take(&mut self.found.keys))
    }

    fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String> {
        let waiting =
            |work: &&Work| self.window(work.policy).is_some_and(|(_, w)| w.rule.is_deferred());
        let asked = self.found.parts.len() + self.found.works.iter().filter(waiting).count();
        all_came(asked, states)?;
        let mut batch = Finish {
            of: self,
            places: Places::of(&self.batch),
            place: 0,
            states,
            outcome: Outcome::default(),
        };
        batch.outcome.changes.reserve(asked);
        for single in &self.found.singles {
            batch.single(single);
        }
        for work in &self.found.works {
            let Some((policy, window)) = self.window(work.policy) else { continue };
            if window.rule.is_deferred() {
                batch.decide(work, window)?;
            } else {
                batch.count(work, policy, window)?;
            }
        }
        Ok(batch.outcome)
    }
}

impl Activity {
    fn window(&self, policy: usize) -> Option<(&Policy, &Window)> {
        let policy = self.policies.get(policy)?;
        policy.window.as_ref().map(|window| (policy, window))
    }
}

/// The second half of a batch.
struct Finish<'a> {
    of: &'a Activity,
    places: Places<'a>,
    /// The next state.
    place: usize,
    states: &'a [Vec<u8>],
    outcome: Outcome,
}

impl<'a> Finish<'a> {
    fn next_state(&mut self) -> (usize, &'a [u8]) {
        let place = self.place;
        self.place += 1;
        (place, self.states.get(place).map(Vec::as_slice).unwrap_or_default())
    }

    fn change(&mut self, place: usize, before: &[u8], after: Vec<u8>) {
        if after != before {
            self.outcome.changes.push((place as u32, after));
        }
    }

    /// Windows that fire at once.
    fn count(&mut self, work: &Work, policy: &Policy, window: &'a Window) -> Result<(), String> {
        let mut arrivals = Vec::new();
        for part in self.of.found.parts.get(work.parts.clone()).unwrap_or_default() {
            let (place, bytes) = self.next_state();
            self.arrivals(part, &mut arrivals);
            if let Some(after) = state::append(bytes, &window.rule, &arrivals) {
                self.outcome.changes.push((place as u32, after));
                continue;
            }
            let mut held = state::read(bytes, &window.rule)
                .ok_or_else(|| unreadable(&format!("state of policy {}", work.policy), bytes))?;
            let fired = window.rule.advance(&mut held, arrivals.iter().copied());
            if !fired.is_empty() {
                self.report(work, policy, window, part, fired);
            }
            self.change(place, bytes, state::write(&held, &window.rule));
        }
        Ok(())
    }

    fn report(
        &mut self,
        work: &Work,
        policy: &Policy,
        window: &'a Window,
        part: &Part,
        fired: Vec<Fired>,
    ) {
        let items = self.items(part);
        let rows: Vec<u32> = items.iter().map(|item| item.row).collect();
        let texts = self.group(window, part);
        let names = policy.group.iter().map(|&source| self.of.plan.name(source).to_owned());
        let group: Vec<_> = names.zip(texts).collect();
        for fired in fired {
            let (Some(first), Some(last)) = (fired.evidence.first(), fired.evidence.last()) else {
                continue;
            };
            let told = Told {
                plan: &self.of.plan,
                window,
                facts: &fired.facts,
                at_hand: Some((&self.of.batch, &rows)),
            };
            self.outcome.findings.push(Finding {
                policy: work.policy as u32,
                group: group.clone(),
                start: fired.start,
                first: first.time,
                last: last.time,
                summary: told.summary(),
                details: told.details(fired.dropped, false),
                severity: work::severity(fired.severity),
                behavior: false,
                evidence: fired.evidence,
            });
        }
    }

    /// Windows that are decided when nothing can change them any more.
    fn decide(&mut self, work: &Work, window: &'a Window) -> Result<(), String> {
        let (lateness, of) = (window.rule.lateness, self.of);
        let clock = of.found.clocks.last().copied().unwrap_or(i64::MIN);
        let (place, bytes) = self.next_state();
        if work.parts.is_empty()
            && let Some(after) = Waiting::tick(bytes, clock, lateness)
        {
            self.change(place, bytes, after);
            return Ok(());
        }
        let wrong = |bytes| unreadable(&format!("state of policy {}", work.policy), bytes);
        let mut waiting = Waiting::read(bytes).ok_or_else(|| wrong(bytes))?;
        let (mut touched, mut new) = (Vec::new(), Vec::new());
        let mut arrivals = Vec::new();
        let mut limited = Vec::new();
        for part in of.found.parts.get(work.parts.clone()).unwrap_or_default() {
            let (place, bytes) = self.next_state();
            self.arrivals(part, &mut arrivals);
            limited.clear();
            limited.extend(arrivals.iter().zip(self.items(part)).map(|(entry, item)| {
                let clock = of.found.clocks.get(item.row as usize).copied().unwrap_or(i64::MIN);
                (*entry, clock.max(waiting.clock).saturating_sub(lateness))
            }));
            let mut held = state::read(bytes, &window.rule).ok_or_else(|| wrong(bytes))?;
            let Some((changed, instants)) = window.rule.consider(&mut held, &limited) else {
                continue;
            };
            touched.push((part.key.as_str(), changed));
            if !instants.is_empty() {
                let group: Vec<String> =
                    self.group(window, part).into_iter().map(bounded).collect();
                new.extend(instants.into_iter().map(|instant| Due {
                    key: part.key.clone(),
                    group: group.clone(),
                    instant,
                }));
            }
            self.change(place, bytes, state::write(&held, &window.rule));
        }
        touched.sort_unstable();
        waiting.replace(&touched, new.into_iter());
        let (fired, forced) = waiting.settle(clock, lateness);
        let in_time = fired.len() - forced;
        let mut joined: BTreeMap<(String, i64), (Due, bool)> = BTreeMap::new();
        for (index, due) in fired.into_iter().enumerate() {
            let early = index >= in_time;
            match joined.entry((due.key.clone(), due.instant.fired.start)) {
                btree_map::Entry::Vacant(place) => _ = place.insert((due, early)),
                btree_map::Entry::Occupied(mut there) => {
                    let (first, first_early) = there.get_mut();
                    first.instant.fired.join(due.instant.fired);
                    *first_early |= early;
                }
            }
        }
        for (due, early) in joined.into_values() {
            self.decided(work, window, due, early);
        }
        self.change(place, bytes, waiting.write());
        Ok(())
    }

    fn decided(&mut self, work: &Work, window: &'a Window, due: Due, early: bool) {
        let Some(policy) = self.of.policies.get(work.policy) else { return };
        let fired = due.instant.fired;
        let (Some(first), Some(last)) = (fired.evidence.first(), fired.evidence.last()) else {
            return;
        };
        let told = Told { plan: &self.of.plan, window, facts: &fired.facts, at_hand: None };
        let names = policy.group.iter().map(|&source| self.of.plan.name(source).to_owned());
        self.outcome.findings.push(Finding {
            policy: work.policy as u32,
            group: names.zip(due.group).collect(),
            start: fired.start,
            first: first.time,
            last: last.time,
            summary: told.summary(),
            details: told.details(fired.dropped, early),
            severity: work::severity(fired.severity),
            behavior: false,
            evidence: fired.evidence,
        });
    }

    fn items(&self, part: &Part) -> &'a [Item] {
        self.of.found.items.get(part.items.clone()).unwrap_or_default()
    }

    /// The activities of a key, in the order of their arrival.
    fn arrivals(&self, part: &Part, arrivals: &mut Vec<Entry>) {
        arrivals.clear();
        arrivals.extend(self.items(part).iter().map(|item| Entry {
            time: self.places.time(item.row as usize),
            sequence: self.places.sequence(item.row as usize),
            value: item.value,
            role: item.role,
            marks: 0,
        }));
    }

    /// Values of the group that a part belongs to.
    fn group(&self, window: &Window, part: &Part) -> Vec<String> {
        let row = self.items(part).first().map_or(0, |item| item.row as usize);
        let Some(lane) = window.lanes.get(part.lane) else { return Vec::new() };
        let batch = &self.of.batch;
        let text = |place: &usize| {
            let source = lane.by.get(*place)?;
            Some(self.of.plan.cells(*source, batch).cell(batch, row).text(batch))
        };
        window.group.iter().map(|place| text(place).unwrap_or_default()).collect()
    }

    /// Reports activities that are findings by themselves: one finding a group and quiet window.
    fn single(&mut self, single: &Single) {
        let Some(policy) = self.of.policies.get(single.policy) else { return };
        let batch = &self.of.batch;
        let cells: Vec<Cells<'_>> =
            policy.group.iter().map(|&source| self.of.plan.cells(source, batch)).collect();
        let mut parts: BTreeMap<(i64, Vec<Cell>, Option<usize>), Vec<u32>> = BTreeMap::new();
        for row in single.rows.iter() {
            let time = self.places.time(row);
            let (start, alone) = match policy.quiet {
                0 => (time, Some(row)),
                quiet => (time.div_euclid(quiet).saturating_mul(quiet), None),
            };
            let group = cells.iter().map(|cells| cells.cell(batch, row)).collect();
            parts.entry((start, group, alone)).or_default().push(row as u32);
        }
        for ((start, _, alone), rows) in parts {
            let first = rows.first().copied().unwrap_or(0) as usize;
            let mut group = self.of.plan.group(&policy.group, batch, first);
            if let Some(row) = alone {
                group.push(("id".to_owned(), self.identity(row)));
            }
            let mut evidence: Vec<Evidence> =
                rows.iter().map(|&row| self.places.evidence(row as usize)).collect();
            evidence.sort_unstable();
            let (Some(first), Some(last)) = (evidence.first(), evidence.last()) else { continue };
            let grades = rows.iter().filter_map(|&row| single.severities.get(row as usize));
            self.outcome.findings.push(Finding {
                policy: single.policy as u32,
                group,
                start,
                first: first.time,
                last: last.time,
                summary: report::single(batch, &rows),
                details: report::single_details(batch, &rows),
                severity: work::severity(grades.copied().max().unwrap_or(0)),
                behavior: false,
                evidence,
            });
        }
    }

    /// What tells an activity apart from all others.
    fn identity(&self, row: usize) -> String {
        match self.of.batch.text("id", row) {
            "" => self.places.sequence(row).to_string(),
            id => id.to_owned(),
        }
    }
}

/// A value that is not too long to wait, and still tells what it told.
fn bounded(text: String) -> String {
    if text.len() <= LONGEST_VALUE {
        return text;
    }
    let end = text.floor_char_boundary(LONGEST_VALUE);
    let start = text.get(..end).unwrap_or_default();
    format!("{start}… {:016x}", keys::fingerprint_of(&text))
}

#[cfg(test)]
mod tests;
