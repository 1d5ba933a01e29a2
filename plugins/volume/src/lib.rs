//! The `volume` detector: unusual numbers of activities, by user, against what is usual for the user
//! and in the organization.
//!
//! For every user it keeps discounted sums of daily (hourly, per session) counts, and for every
//! population, such as all users of an app, what is usual there. A count is scored by how unlikely so
//! many or more are: 3 is one day in a thousand. `README.md` beside this crate is the reference of
//! the settings and of the rules.
//!
//! It does not look at what was touched, from where, or in what order: those are other detectors'
//! work.

mod baseline;
mod calendar;
mod distinct;
mod judge;
mod person;
mod policy;
mod population;
mod report;
mod tail;

use std::ops::Range;

use casbah_model::detector::{DetectorDescription, Outcome, Problem};
use casbah_model::{Batch, Evidence, Finding, StateKey};
use casbah_plugin::{Detector, export_detector, state};
use casbah_when::{Cell, Cells, Evaluation, Places, Plan, Source, description, keys, settings};

use crate::judge::{Asked, Judge};
use crate::person::{Arrival, Person};
use crate::policy::Policy;
use crate::population::{Change, Population};
use crate::report::{Fullest, Strange};

/// JSON Schema of a policy's own settings.
const SCHEMA: &str = include_str!("settings.schema.json");
/// Begins the keys of populations; no key of a user begins so.
const POPULATION: &str = "\u{1f}org\u{1f}";
/// Kinds that casbah writes itself, of what did not happen in the app at that time.
const OWN_KINDS: [&str; 2] = ["account-state", "behavior"];
/// Length of the name of a population in a key, bytes.
const LONGEST: usize = 480;

/// The detector, configured with the policies of a group.
#[derive(Default)]
pub struct Volume {
    plan: Plan,
    policies: Vec<Policy>,
    batch: Batch,
    /// What the batch holds of each policy that it holds anything of.
    parts: Vec<Part>,
    /// How many states were asked for.
    asked: usize,
}

export_detector!(Volume);

/// What a batch holds of one policy.
struct Part {
    policy: usize,
    /// Place of the state of its first population; those of its users follow those of its populations.
    states: usize,
    /// Time of the first activity of each population in the batch, ms since 1970.
    populations: Vec<i64>,
    users: Vec<User>,
    /// Rows of all users, by user.
    rows: Vec<u32>,
    /// Rows with the place of their user, in the order of the log.
    order: Vec<(u32, u32)>,
}

/// A user with activities in the batch.
struct User {
    population: usize,
    /// Where its rows stand.
    rows: Range<usize>,
}

impl Detector for Volume {
    fn describe() -> DetectorDescription {
        description(
            "volume",
            env!("CARGO_PKG_VERSION"),
            "Unusual numbers of activities, by user, against what is usual for the user and in the organization",
            1,
            &["person", "app"],
            SCHEMA,
        )
    }

    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let (plan, policies) = settings::compile(policies, &policy::KEYS, policy::read)?;
        Ok(Self { plan, policies, ..Self::default() })
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        self.parts.clear();
        let mut asked = Vec::new();
        let mut evaluation = Evaluation::new(&self.plan, &batch);
        let places = Places::of(&batch);
        // Nearly all policies tell populations apart by the same.
        let mut known: Vec<(&[Source], Vec<Seen>)> = Vec::new();
        for (index, policy) in self.policies.iter().enumerate() {
            let cells = |sources: &[Source]| -> Vec<Cells<'_>> {
                sources.iter().map(|&source| evaluation.cells(source)).collect()
            };
            let (by, population) = (cells(&policy.by), cells(&policy.population));
            let distinct = policy.distinct.map(|distinct| evaluation.cells(distinct));
            let counts = |row: usize| {
                places.has_credible_time(row)
                    && distinct.is_none_or(|cells| cells.cell(&batch, row) != Cell::Absent)
            };
            let seen = match known.iter().find(|(sources, _)| *sources == policy.population) {
                Some((_, seen)) => seen.clone(),
                None => {
                    let seen = seen(&batch, &places, &population);
                    known.push((&policy.population, seen.clone()));
                    seen
                }
            };
            let rows = evaluation.rows(&policy.when);
            let mut list = Vec::new();
            let ranges = keys::part(&batch, &rows, &by, counts, &mut list);
            if seen.is_empty() && ranges.is_empty() {
                continue;
            }
            let rows = (list, ranges);
            self.parts.push(part(&batch, index, (&by, &population), seen, rows, &mut asked));
        }
        self.batch = batch;
        self.asked = asked.len();
        Ok(asked)
    }

    fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String> {
        state::all_came(self.asked, states)?;
        let mut outcome = Outcome::default();
        for part in &self.parts {
            let Some(policy) = self.policies.get(part.policy) else { continue };
            Evaluated::read(self, policy, part, states)?.finish(states, &mut outcome);
        }
        Ok(outcome)
    }
}

/// A population with activities in the batch, whether they count or not.
#[derive(Clone)]
struct Seen {
    cells: Vec<Cell>,
    /// A row of it.
    row: usize,
    /// Time of its first activity, ms since 1970.
    first: i64,
}

/// The populations of a batch. When an app was first heard of is what learning is measured from, not
/// when somebody first did what a policy is about: that may be the attack.
fn seen(batch: &Batch, places: &Places<'_>, population: &[Cells<'_>]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    let kinds = Cells::column(batch, "kind");
    // The last kind looked at, and whether it is something that happened.
    let mut happened = (Cell::Absent, true);
    let mut last = 0;
    for row in (0..batch.len()).filter(|&row| places.has_credible_time(row)) {
        let kind = kinds.cell(batch, row);
        if kind != happened.0 {
            happened = (kind, !OWN_KINDS.contains(&batch.text("kind", row)));
        }
        if !happened.1 {
            continue;
        }
        let cells = population.iter().map(|cells| cells.cell(batch, row));
        let time = places.time(row);
        let is = |seen: &Seen| seen.cells.iter().copied().eq(cells.clone());
        if !seen.get(last).is_some_and(is) {
            if cells.clone().any(|cell| cell == Cell::Absent) {
                continue;
            }
            last = seen.iter().position(is).unwrap_or_else(|| {
                seen.push(Seen { cells: cells.clone().collect(), row, first: time });
                seen.len() - 1
            });
        }
        if let Some(seen) = seen.get_mut(last) {
            seen.first = seen.first.min(time);
        }
    }
    seen
}

/// What the batch holds of a policy; asks for the state of populations and users.
fn part(
    batch: &Batch,
    policy: usize,
    (by, population): (&[Cells<'_>], &[Cells<'_>]),
    mut seen: Vec<Seen>,
    (rows, ranges): (Vec<u32>, Vec<Range<usize>>),
    asked: &mut Vec<StateKey>,
) -> Part {
    let states = asked.len();
    let mut users = Vec::with_capacity(ranges.len());
    let mut names = Vec::with_capacity(ranges.len());
    let mut order = Vec::with_capacity(rows.len());
    for (place, range) in ranges.into_iter().enumerate() {
        let its = rows.get(range.clone()).unwrap_or_default();
        let first = its.first().copied().unwrap_or(0) as usize;
        order.extend(its.iter().map(|&row| (row, place as u32)));
        let cells = population.iter().map(|cells| cells.cell(batch, first));
        let is = |seen: &Seen| seen.cells.iter().copied().eq(cells.clone());
        let population = seen.iter().position(is).unwrap_or_else(|| {
            seen.push(Seen { cells: cells.clone().collect(), row: first, first: i64::MAX });
            seen.len() - 1
        });
        names.push(keys::key(batch, by, first));
        users.push(User { population, rows: range });
    }
    order.sort_unstable();
    let named = seen.iter().map(|seen| population_key(&keys::key(batch, population, seen.row)));
    asked.extend(named.chain(names).map(|key| StateKey { policy: policy as u32, key }));
    Part {
        policy,
        states,
        populations: seen.iter().map(|seen| seen.first).collect(),
        users,
        rows,
        order,
    }
}

fn population_key(name: &str) -> String {
    if name.len() <= LONGEST {
        format!("{POPULATION}{name}")
    } else {
        format!("{POPULATION}#{:016x}", keys::fingerprint_of(name))
    }
}

/// A policy while a batch is evaluated.
struct Evaluated<'a> {
    detector: &'a Volume,
    policy: &'a Policy,
    part: &'a Part,
    populations: Vec<(Option<Population>, Asked)>,
    users: Vec<Judged>,
}

/// A user while a batch is evaluated.
#[derive(Default)]
struct Judged {
    person: Option<Person>,
    judge: Judge,
    /// How many of its rows are still to come.
    left: u64,
    /// What is to be reported, by day.
    found: Vec<Found>,
}

/// What has become evidence on one day of a user.
struct Found {
    day: i64,
    evidence: Vec<Evidence>,
    /// The fullest bucket of each kind: what is fullest is strangest.
    fullest: Vec<Fullest>,
}

impl<'a> Evaluated<'a> {
    fn read(
        detector: &'a Volume,
        policy: &'a Policy,
        part: &'a Part,
        states: &[Vec<u8>],
    ) -> Result<Self, String> {
        let rule = &policy.rule;
        let unreadable = |what: &str, bytes: &[u8]| {
            state::unreadable(&format!("state of a {what} of policy {}", part.policy), bytes)
        };
        let mut states = states.iter().skip(part.states);
        let mut populations = Vec::with_capacity(part.populations.len());
        for (place, first) in part.populations.iter().enumerate() {
            let bytes = states.next().map(Vec::as_slice).unwrap_or_default();
            let unreadable = || unreadable("population", bytes);
            let counts = part.users.iter().any(|user| user.population == place);
            let population = if bytes.is_empty() {
                Some(Population::new(rule.kinds.len(), *first))
            } else if counts || Population::first(bytes).ok_or_else(unreadable)? > *first {
                let read = Population::read(bytes, rule.kinds.len());
                let mut population = read.ok_or_else(unreadable)?;
                population.first = population.first.min(*first);
                Some(population)
            } else {
                None
            };
            populations.push((population, Asked::default()));
        }
        let mut users = Vec::with_capacity(part.users.len());
        for (user, bytes) in part.users.iter().zip(states) {
            let person = match bytes.as_slice() {
                [] => None,
                bytes => Some(Person::read(bytes, rule).ok_or_else(|| unreadable("user", bytes))?),
            };
            users.push(Judged { person, left: user.rows.len() as u64, ..Judged::default() });
        }
        Ok(Self { detector, policy, part, populations, users })
    }

    /// Takes in all rows, in the order of the log, and says what came of it.
    fn finish(mut self, states: &[Vec<u8>], outcome: &mut Outcome) {
        let places = Places::of(&self.detector.batch);
        let distinct = self
            .policy
            .distinct
            .map(|source| self.detector.plan.cells(source, &self.detector.batch));
        let mut changes = Vec::new();
        for &(row, user) in &self.part.order {
            let row = row as usize;
            let hash = distinct.map_or(0, |cells| {
                let cell = cells.cell(&self.detector.batch, row);
                distinct::hash(keys::fingerprint(&self.detector.batch, cell))
            });
            let arrival = Arrival { evidence: places.evidence(row), hash };
            self.take(user as usize, &arrival, &mut changes);
        }
        let rule = &self.policy.rule;
        let place = |index: usize| self.part.states + index;
        let mut change = |index: usize, bytes: Vec<u8>| {
            if states.get(place(index)) != Some(&bytes) {
                outcome.changes.push((place(index) as u32, bytes));
            }
        };
        for (index, (population, _)) in self.populations.iter().enumerate() {
            if let Some(population) = population {
                change(index, population.write());
            }
        }
        for (index, user) in self.users.iter().enumerate() {
            if let Some(person) = &user.person {
                change(self.part.populations.len() + index, person.write(rule));
            }
        }
        for (user, judged) in self.part.users.iter().zip(&self.users) {
            self.report(user, judged, &mut outcome.findings);
        }
    }

    /// Takes in an activity of a user.
    fn take(&mut self, user: usize, arrival: &Arrival, changes: &mut Vec<Change>) {
        let (policy, rule) = (self.policy, &self.policy.rule);
        let time = arrival.evidence.time;
        let Some(part) = self.part.users.get(user) else { return };
        let Some((population, asked)) = self.populations.get_mut(part.population) else { return };
        let Some(judged) = self.users.get_mut(user) else { return };
        judged.left = judged.left.saturating_sub(1);

        let (day, lag) = (rule.calendar.day(time), rule.calendar.lag());
        let Some(population) = population else { return };
        population.first = population.first.min(time);
        let person = judged.person.get_or_insert_with(|| Person::new(rule, time));
        if !person.admit(rule, time) {
            return;
        }
        population.reach(day, lag, rule.fade);
        let counted = person.count(rule, arrival, changes);
        if counted.new_day {
            let class = rule.calendar.class(day);
            for (kind, model) in judged.judge.models(policy, person, day).iter().enumerate() {
                let slope = model.get(class).and_then(baseline::Sums::slope);
                changes.extend(slope.map(|slope| Change::Slope {
                    day,
                    kind,
                    bin: population::slope_bin(slope),
                }));
            }
        }
        changes.drain(..).for_each(|change| population.apply(change));

        judged.judge.prepare(policy, (&*population, &mut *asked), person, day);
        let known = person.is_strange(day);
        if !known && !judged.judge.is_strange(policy, person, day, judged.left) {
            person.keep(day, arrival.evidence);
            return;
        }
        let mut evidence = vec![arrival.evidence];
        if !known {
            person.find_strange(day, &mut evidence);
        }
        let fullest = rule.kinds.iter().enumerate().filter_map(|(kind, &per)| {
            let bucket = person.fullest(day, kind)?;
            Some(Fullest { kind, per, count: bucket.count(), span: bucket.span() })
        });
        let fullest = fullest.collect();
        match judged.found.iter_mut().find(|known| known.day == day) {
            Some(known) => {
                known.evidence.append(&mut evidence);
                known.fullest = fullest;
            }
            None => judged.found.push(Found { day, evidence, fullest }),
        }
    }

    /// Reports what has become evidence, by day: one finding for all kinds of bucket, told by the
    /// strangest.
    fn report(&self, user: &User, judged: &Judged, findings: &mut Vec<Finding>) {
        let (policy, batch) = (self.policy, &self.detector.batch);
        let Some(person) = &judged.person else { return };
        let all = self.part.rows.get(user.rows.clone()).unwrap_or_default();
        let Some(&row) = all.first() else { return };
        let places = Places::of(batch);
        for Found { day, evidence, fullest } in &judged.found {
            let mut evidence = evidence.clone();
            evidence.sort_unstable();
            let (Some(first), Some(last)) = (evidence.first(), evidence.last()) else { continue };
            let basis = |fullest: &Fullest| judged.judge.known(*day, fullest.kind);
            let whole = fullest.first().filter(|_| policy.rule.parted());
            let whole = whole.and_then(|whole| Some(basis(whole)?.score(whole.count, None)));
            let strange = fullest.iter().filter_map(|fullest| {
                let basis = basis(fullest)?;
                let score = basis.score(fullest.count, whole.filter(|_| fullest.kind > 0));
                Some(Strange { day: *day, fullest: *fullest, basis, score, since: person.since })
            });
            let Some(strange) = strange.max_by(|a, b| a.score.total_cmp(&b.score)) else {
                continue;
            };
            let rows: Vec<u32> = all
                .iter()
                .copied()
                .filter(|&row| policy.rule.calendar.day(places.time(row as usize)) == *day)
                .collect();
            let (summary, details) =
                report::report(&self.detector.plan, policy, &strange, batch, &rows);
            findings.push(Finding {
                policy: self.part.policy as u32,
                group: self.detector.plan.group(&policy.group, batch, row as usize),
                start: settings::window(policy.rule.calendar.start(*day), policy.quiet),
                first: first.time,
                last: last.time,
                summary,
                details,
                severity: None,
                behavior: strange.score < policy.line,
                evidence,
            });
        }
    }
}
