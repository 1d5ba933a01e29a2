//! The `novelty` detector: first-seen and rare values, first times, and returns after silence.
//!
//! It remembers on which days each person used which values (countries, networks, clients, actions),
//! and who was first with each value, and finds what is new for somebody and rare among all others. A
//! day is judged by what is older than it by more than the lateness, so that the order of arrival
//! makes no difference. `README.md` beside this crate tells the rules.
//!
//! It counts no activities (that is `volume`) and knows no distances (that is `travel`).

mod calendar;
mod judge;
mod numbering;
mod report;
mod settings;
mod state;

use std::collections::BTreeMap;
use std::ops::Range;

use casbah_model::detector::{DetectorDescription, Outcome, Problem};
use casbah_model::{Batch, Finding, StateKey};
use casbah_plugin::crowd::{self, Census, Crowd, Person};
use casbah_plugin::state::{all_came, read_each, unreadable, write_each};
use casbah_plugin::{Detector, export_detector};
use casbah_when::duration::DAY;
use casbah_when::settings::window;
use casbah_when::{Cell, Cells, Evaluation, Places, Plan, description, keys};

use crate::judge::{Others, Verdict};
use crate::numbering::Numbering;
use crate::report::{Among, Told};
use crate::settings::{Mode, Policy};
use crate::state::{Habits, VERSION};

/// JSON Schema of this detector's own settings.
const SCHEMA: &str = include_str!("settings.schema.json");
/// The place of a population or value that a policy does not ask about.
const NOBODYS: u32 = u32::MAX;
/// Longest text of a value within a key of state, bytes; longer ones are hashed.
const LONGEST_VALUE: usize = 200;
/// No score comes near this.
const OUT_OF_REACH: f64 = 1e6;

/// The detector, configured with the policies of a group.
#[derive(Debug, Default)]
pub struct Novelty {
    plan: Plan,
    policies: Vec<Policy>,
    batch: Batch,
    /// Rows of all parts.
    rows: Vec<u32>,
    /// For each of these, which population and which value it belongs to.
    marks: Vec<(u32, u32)>,
    parts: Vec<Part>,
    /// Populations and values whose state was asked for, after that of the parts.
    populations: u32,
    values: Vec<Value>,
}

export_detector!(Novelty);

/// Rows of one key of one policy.
#[derive(Clone, Debug)]
struct Part {
    policy: usize,
    rows: Range<usize>,
    /// Who it is, among the people of a population.
    person: Person,
}

/// A value of a batch.
#[derive(Clone, Debug)]
struct Value {
    /// Its name in the state of those who use it.
    id: u32,
    /// A row that has it.
    row: u32,
}

impl Detector for Novelty {
    fn describe() -> DetectorDescription {
        let title = "Values that are new for somebody and rare among all, first times, and returns after silence";
        description("novelty", env!("CARGO_PKG_VERSION"), title, 1, &["person"], SCHEMA)
    }

    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let (plan, policies) = settings::compile(policies)?;
        Ok(Self { plan, policies, ..Self::default() })
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        self.rows.clear();
        self.marks.clear();
        self.parts.clear();
        self.values.clear();
        self.populations = 0;
        // The state of parts comes first, then that of populations, then that of values.
        let (mut habits, mut populations, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let mut evaluation = Evaluation::new(&self.plan, &batch);
        let places = Places::of(&batch);
        for (index, policy) in self.policies.iter().enumerate() {
            let rows = evaluation.rows(&policy.when);
            if rows.is_empty() {
                continue;
            }
            let cells = |sources: &[casbah_when::Source]| -> Vec<Cells<'_>> {
                sources.iter().map(|&source| evaluation.cells(source)).collect()
            };
            let by = cells(&policy.keys);
            let of_population = cells(&policy.population);
            let value = match &policy.mode {
                Mode::FirstSeen { value, .. } => cells(value),
                _ => Vec::new(),
            };
            let has = |cells: &[Cells<'_>], row| {
                cells.iter().all(|cells| cells.cell(&batch, row) != Cell::Absent)
            };
            let counts = |row: usize| {
                places.has_credible_time(row) && has(&of_population, row) && has(&value, row)
            };
            let mut numbers = Numbering::new(&batch, of_population.len());
            let mut value_columns = of_population.clone();
            value_columns.extend(&value);
            let mut value_numbers = Numbering::new(&batch, value_columns.len());
            let (first_population, first_value) = (populations.len() as u32, values.len() as u32);
            for range in keys::part(&batch, &rows, &by, counts, &mut self.rows) {
                let part = self.rows.get(range.clone()).unwrap_or_default();
                let first = part.first().copied().unwrap_or(0) as usize;
                let key = keys::key(&batch, &by, first);
                let person = crowd::person(keys::fingerprint_of(&key));
                for &row in part {
                    let row = row as usize;
                    // What a mode does not ask about is nobody's: the next policy's come after it.
                    let population = match policy.mode {
                        Mode::AfterSilence(_) => None,
                        _ => numbers.number(&batch, &of_population, row),
                    };
                    let value = match value.is_empty() {
                        true => None,
                        false => value_numbers.number(&batch, &value_columns, row),
                    };
                    self.marks.push((
                        population.map_or(NOBODYS, |number| first_population + number),
                        value.map_or(NOBODYS, |number| first_value + number),
                    ));
                }
                habits.push(StateKey { policy: index as u32, key });
                self.parts.push(Part { policy: index, rows: range, person });
            }
            if matches!(policy.mode, Mode::AfterSilence(_)) {
                continue;
            }
            for &row in numbers.firsts() {
                let key = keys::key(&batch, &of_population, row as usize);
                populations.push(StateKey { policy: index as u32, key: own_key('p', &key) });
            }
            for &row in value_numbers.firsts() {
                let key = keys::key(&batch, &value_columns, row as usize);
                values.push(StateKey { policy: index as u32, key: own_key('v', &key) });
                let text = report::value(&batch, &value, row as usize);
                let id = state::value_id(&text, keys::fingerprint_of(&text));
                self.values.push(Value { id, row });
            }
        }
        self.populations = populations.len() as u32;
        habits.extend(populations);
        habits.extend(values);
        self.batch = batch;
        Ok(habits)
    }

    fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String> {
        let (parts, populations) = (self.parts.len(), self.populations as usize);
        all_came(parts + populations + self.values.len(), states)?;
        let (habits, rest) = states.split_at(parts);
        let (populations, values) = rest.split_at(populations);
        let mut others = Organization {
            populations: read_each(populations, VERSION, Census::read)?,
            values: read_each(values, VERSION, Crowd::read)?,
        };
        self.learn_of_all(&mut others);
        let mut outcome = Outcome::default();
        let places = Places::of(&self.batch);
        let mut together = Together::new();
        for (place, (part, bytes)) in self.parts.iter().zip(habits).enumerate() {
            let mut held = Habits::read(bytes).ok_or_else(|| unreadable("a state", bytes))?;
            let findings = (&mut outcome.findings, &mut together);
            self.walk(part, &mut held, &others, &places, findings);
            let after = held.write();
            if after != *bytes {
                outcome.changes.push((place as u32, after));
            }
        }
        for (of, found) in together {
            outcome.findings.extend(self.finding_together(of, &found, &others));
        }
        let (mut place, changes) = (parts as u32, &mut outcome.changes);
        write_each(&others.populations, VERSION, Census::write, &mut place, changes);
        write_each(&others.values, VERSION, Crowd::write, &mut place, changes);
        Ok(outcome)
    }
}

/// A key of the detector's own, which no value can make.
fn own_key(kind: char, key: &str) -> String {
    if key.len() > LONGEST_VALUE {
        return format!("\u{1f}{kind}#{:016x}", keys::fingerprint_of(key));
    }
    format!("\u{1f}{kind}{key}")
}

/// What is known of everybody, as far as a batch needs it; each with whether it has changed.
struct Organization {
    populations: Vec<(Census, bool)>,
    values: Vec<(Crowd, bool)>,
}

/// A row as it is found, on its way to a finding: day, start of the window, cells of the group, value.
type Place = (i64, i64, Vec<Cell>, u32);

/// What is new for the whole population, whoever used it: by policy, start of the window, cells of
/// the group and value, the rows of each person and day.
type Together = BTreeMap<(usize, i64, Vec<Cell>, u32), Vec<(Vec<u32>, Verdict)>>;

impl Novelty {
    /// The rows of a part with their populations and values.
    fn rows<'a>(&'a self, part: &Part) -> impl Iterator<Item = (usize, u32, u32)> + use<'a> {
        let rows = self.rows.get(part.rows.clone()).unwrap_or_default();
        let marks = self.marks.get(part.rows.clone()).unwrap_or_default();
        rows.iter().zip(marks).map(|(&row, &(population, value))| (row as usize, population, value))
    }

    /// Takes the whole batch into what is known of everybody. It may come before judging, since
    /// nothing that is judged looks at days that are not complete.
    fn learn_of_all(&self, all: &mut Organization) {
        let places = Places::of(&self.batch);
        for part in &self.parts {
            let mut before = None;
            for (row, population, value) in self.rows(part) {
                let day = places.time(row).div_euclid(DAY);
                if before == Some((day, population, value)) {
                    continue;
                }
                before = Some((day, population, value));
                if let Some((census, changed)) = all.populations.get_mut(population as usize) {
                    *changed |= census.see(part.person, day);
                }
                if let Some((crowd, changed)) = all.values.get_mut(value as usize) {
                    *changed |= crowd.see(part.person, day);
                }
            }
        }
    }

    /// Judges the activities of a key one after the other, and learns from each.
    fn walk(
        &self,
        part: &Part,
        habits: &mut Habits,
        all: &Organization,
        places: &Places<'_>,
        (findings, together): (&mut Vec<Finding>, &mut Together),
    ) {
        let Some(policy) = self.policies.get(part.policy) else { return };
        let needed = match policy.mode {
            Mode::FirstSeen { events, .. } => events,
            _ => 0,
        };
        let mut found: BTreeMap<Place, (Vec<u32>, Verdict)> = BTreeMap::new();
        let mut before: Option<(i64, u32, u32, Option<Verdict>)> = None;
        for (row, population, value) in self.rows(part) {
            let time = places.time(row);
            let day = time.div_euclid(DAY);
            let in_time = habits
                .seen
                .is_none_or(|(newest, _)| time >= newest.saturating_sub(policy.lateness));
            let id = self.values.get(value as usize).map_or(0, |value| value.id);
            // Activities of one day and value are judged by the same facts.
            let verdict = match before.take() {
                Some((known, p, v, verdict)) if (known, p, v) == (day, population, value) => {
                    verdict
                }
                _ => judge::judge(
                    policy,
                    habits,
                    day,
                    id,
                    &Others {
                        census: all.populations.get(population as usize).map(|(census, _)| census),
                        crowd: all.values.get(value as usize).map(|(crowd, _)| crowd),
                        person: part.person,
                    },
                ),
            };
            before = Some((day, population, value, verdict.clone()));
            habits.learn(time, day, policy.open_days(), needed);
            if matches!(policy.mode, Mode::FirstSeen { .. }) {
                habits.learn_value(id, day);
            }
            if let Some(verdict) = verdict
                && in_time
                && verdict.score >= policy.behaviors_from
            {
                let cell = |&source| self.plan.cells(source, &self.batch).cell(&self.batch, row);
                let group = match is_together(policy, &verdict) {
                    true => &policy.together,
                    false => &policy.group,
                };
                let cells = group.iter().map(cell).collect();
                let place = (day, window(time, policy.quiet), cells, value);
                found.entry(place).or_insert_with(|| (Vec::new(), verdict)).0.push(row as u32);
            }
        }
        for ((_, start, cells, value), (rows, verdict)) in found {
            if is_together(policy, &verdict) {
                let of = (part.policy, start, cells, value);
                together.entry(of).or_default().push((rows, verdict));
                continue;
            }
            let value = self.values.get(value as usize).map(|value| value.row);
            findings.extend(self.finding(part, policy, start, value, &rows, &verdict));
        }
    }

    fn finding(
        &self,
        part: &Part,
        policy: &Policy,
        start: i64,
        value: Option<u32>,
        rows: &[u32],
        verdict: &Verdict,
    ) -> Option<Finding> {
        let places = Places::of(&self.batch);
        let mut evidence: Vec<_> = rows.iter().map(|&row| places.evidence(row as usize)).collect();
        evidence.sort_unstable();
        let (first, last) = (evidence.first()?.time, evidence.last()?.time);
        let row = *rows.first()? as usize;
        let (plan, batch) = (&self.plan, &self.batch);
        let told = Told { plan, policy, batch, rows, value, verdict, together: None };
        Some(Finding {
            policy: part.policy as u32,
            group: self.plan.group(&policy.group, &self.batch, row),
            start,
            first,
            last,
            evidence,
            summary: told.summary(),
            details: told.details(),
            severity: None,
            behavior: verdict.score < policy.line,
        })
    }

    /// One finding for all people of the batch who did something that is new for all.
    fn finding_together(
        &self,
        (policy, start, _, value): (usize, i64, Vec<Cell>, u32),
        found: &[(Vec<u32>, Verdict)],
        all: &Organization,
    ) -> Option<Finding> {
        let (at, policy) = (policy as u32, self.policies.get(policy)?);
        let places = Places::of(&self.batch);
        let mut rows: Vec<u32> = found.iter().flat_map(|(rows, _)| rows).copied().collect();
        rows.sort_unstable_by_key(|&row| places.evidence(row as usize));
        let evidence: Vec<_> = rows.iter().map(|&row| places.evidence(row as usize)).collect();
        let (first, last) = (evidence.first()?.time, evidence.last()?.time);
        // The strangest is told of most.
        let (own, verdict) = found.iter().max_by(|(_, a), (_, b)| a.score.total_cmp(&b.score))?;
        let crowd = all.values.get(value as usize).map(|(crowd, _)| crowd)?;
        // Somebody may have been active on several days.
        let mut people = BTreeMap::new();
        let by: Vec<Cells<'_>> =
            policy.keys.iter().map(|&source| self.plan.cells(source, &self.batch)).collect();
        for &row in found.iter().filter_map(|(rows, _)| rows.first()) {
            let who: Vec<Cell> =
                by.iter().map(|cells| cells.cell(&self.batch, row as usize)).collect();
            people.entry(who).or_insert(row);
        }
        let mut people: Vec<u32> = people.into_values().collect();
        people.sort_unstable();
        let told = Told {
            plan: &self.plan,
            policy,
            batch: &self.batch,
            rows: own,
            value: self.values.get(value as usize).map(|value| value.row),
            verdict,
            together: Some(Among { rows: &rows, people: &people, crowd }),
        };
        Some(Finding {
            policy: at,
            group: self.plan.group(&policy.together, &self.batch, *own.first()? as usize),
            start,
            first,
            last,
            evidence,
            summary: told.summary(),
            details: told.details(),
            severity: None,
            behavior: verdict.score < policy.line,
        })
    }
}

/// Whether an alert is about the value rather than about the person. Behaviors are about somebody: they
/// cost nobody's attention, and what other policies make of them is about people. But where no score
/// reaches the line, they are there to be counted as the alerts that they would be.
fn is_together(policy: &Policy, verdict: &Verdict) -> bool {
    verdict.new_to_all && (verdict.score >= policy.line || policy.line >= OUT_OF_REACH)
}
