//! The `travel` detector: one person in two places that nobody can travel between in that time.
//!
//! It remembers where a person was in the last day or so, in all apps together, and compares every
//! new place with all of them: distance less the accuracy of both, over the time between. Neighbouring
//! countries, addresses that say nothing of a place, and places that are common to the person or in the
//! organization are left out. `README.md` beside this crate tells the rules.
//!
//! It looks nothing up: places and networks of addresses are said by enrichment. And it knows no single
//! strange places (that is `novelty`).

mod geo;
mod judge;
mod place;
mod report;
mod settings;
mod state;
mod together;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use casbah_model::detector::{DetectorDescription, Outcome, Problem};
use casbah_model::{Batch, Evidence, Finding, StateKey};
use casbah_plugin::crowd::{self, Census, Crowd, Person};
use casbah_plugin::state::{all_came, read_each, unreadable, write_each};
use casbah_plugin::{Detector, export_detector};
use casbah_when::duration::HOUR;
use casbah_when::{Cells, Evaluation, Places, Plan, Rows, description, keys};

use crate::judge::Pair;
use crate::place::{Found, Place, PlaceCells, Said};
use crate::report::Told;
use crate::settings::{Policy, Sensitivity};
use crate::state::{Traveller, VERSION};
use crate::together::{Alert, NEW, Together};

/// JSON Schema of this detector's own settings.
const SCHEMA: &str = include_str!("settings.schema.json");
/// What is read without being named by a policy.
const READ: &[&str] = &[
    "person",
    "latitude",
    "longitude",
    "accuracy",
    "city",
    "network.number",
    "network.owner",
    "ip.category",
    "ip.tags",
];

/// The detector, configured with the policies of a group.
#[derive(Debug, Default)]
pub struct Travel {
    plan: Plan,
    policies: Vec<Policy>,
    batch: Batch,
    /// Rows of all parts,
    rows: Vec<u32>,
    /// and the place of each.
    places: Vec<u32>,
    found: Vec<Sighted>,
    parts: Vec<Part>,
    /// How many censuses and crowds were asked for, after the state of the parts.
    censuses: usize,
    crowds: usize,
}

export_detector!(Travel);

/// Rows of one person of one policy.
#[derive(Clone, Debug)]
struct Part {
    policy: usize,
    rows: Range<usize>,
    /// Who it is, among the people of the organization.
    person: Person,
}

/// A place of a batch, with who else uses it: indexes of censuses and crowds.
#[derive(Clone, Debug)]
struct Sighted {
    found: Found,
    census: Option<u32>,
    /// Who uses the network in this city,
    exit: Option<u32>,
    /// and everything that makes the place common if many use it.
    crowds: Vec<u32>,
}

/// No place.
const NOWHERE: u32 = u32::MAX;

impl Detector for Travel {
    fn describe() -> DetectorDescription {
        let title = "One person in two places that nobody can travel between in that time";
        description("travel", env!("CARGO_PKG_VERSION"), title, 2, READ, SCHEMA)
    }

    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let (plan, policies) = settings::compile(policies)?;
        Ok(Self { plan, policies, ..Self::default() })
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        self.rows.clear();
        self.places.clear();
        self.found.clear();
        self.parts.clear();
        let (mut people, mut censuses, mut crowds) = (Vec::new(), Vec::new(), Vec::new());
        let mut evaluation = Evaluation::new(&self.plan, &batch);
        let times = Places::of(&batch);
        let cells = PlaceCells::of(&batch);
        for (index, policy) in self.policies.iter().enumerate() {
            let rows = evaluation.rows(&policy.when);
            if rows.is_empty() {
                continue;
            }
            let by: Vec<Cells<'_>> = policy.by.iter().map(|&by| evaluation.cells(by)).collect();
            let first_found = self.found.len();
            let of_rows = locate(policy, &batch, &rows, &cells, &mut self.found);
            let place = |row: usize| of_rows.get(row).copied().unwrap_or(NOWHERE);
            let counts = |row: usize| place(row) != NOWHERE && times.has_credible_time(row);
            for range in keys::part(&batch, &rows, &by, counts, &mut self.rows) {
                let part = self.rows.get(range.clone()).unwrap_or_default();
                self.places.extend(part.iter().map(|&row| place(row as usize)));
                let first = part.first().copied().unwrap_or(0) as usize;
                let key = keys::key(&batch, &by, first);
                let person = crowd::person(keys::fingerprint_of(&key));
                people.push(StateKey { policy: index as u32, key });
                self.parts.push(Part { policy: index, rows: range, person });
            }
            let found = self.found.get_mut(first_found..).unwrap_or_default();
            ask(index as u32, policy, found, &mut censuses, &mut crowds);
        }
        (self.censuses, self.crowds) = (censuses.len(), crowds.len());
        people.extend(censuses);
        people.extend(crowds);
        self.batch = batch;
        Ok(people)
    }

    fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String> {
        let parts = self.parts.len();
        all_came(parts + self.censuses + self.crowds, states)?;
        let (people, rest) = states.split_at(parts);
        let (censuses, crowds) = rest.split_at(self.censuses);
        let mut all = Organization {
            censuses: read_each(censuses, VERSION, Census::read)?,
            crowds: read_each(crowds, VERSION, Crowd::read)?,
            asked: vec![None; self.found.len()],
        };
        self.learn_of_all(&mut all);
        let mut outcome = Outcome::default();
        let (times, cells) = (Places::of(&self.batch), PlaceCells::of(&self.batch));
        let columns = (&times, &cells);
        let mut together = BTreeMap::new();
        for (at, (part, bytes)) in self.parts.iter().zip(people).enumerate() {
            let Some(policy) = self.policies.get(part.policy) else { continue };
            let mut person =
                Traveller::read(bytes, policy.span).ok_or_else(|| unreadable("a state", bytes))?;
            let findings = (&mut outcome.findings, &mut together);
            self.walk(part, policy, &mut person, &mut all, columns, findings);
            judge::forget(policy, &mut person);
            let after = person.write(policy.span);
            if after != *bytes {
                outcome.changes.push((at as u32, after));
            }
        }
        outcome.findings.extend(together.into_values().filter_map(Together::finding));
        let (mut at, changes) = (parts as u32, &mut outcome.changes);
        write_each(&all.censuses, VERSION, Census::write, &mut at, changes);
        write_each(&all.crowds, VERSION, Crowd::write, &mut at, changes);
        Ok(outcome)
    }
}

/// Finds the place of every row, by the index of the row, adding places not seen before to `found`.
fn locate(
    policy: &Policy,
    batch: &Batch,
    rows: &Rows,
    cells: &PlaceCells<'_>,
    found: &mut Vec<Sighted>,
) -> Vec<u32> {
    let mut places = vec![NOWHERE; batch.len()];
    let mut known: HashMap<Said, u32> = HashMap::new();
    let mut of_addresses: Vec<Option<(Said, u32)>> = vec![None; batch.texts.len()];
    for row in rows.iter() {
        let said = cells.said(row);
        // One address is in one place, unless a database was exchanged within the batch.
        let memo = of_addresses.get_mut(cells.address(row));
        let place = match &memo {
            Some(Some((same, place))) if *same == said => *place,
            _ => *known.entry(said).or_insert_with(|| {
                cells.find(row, &policy.marks).map_or(NOWHERE, |place| {
                    found.push(Sighted {
                        found: place,
                        census: None,
                        exit: None,
                        crowds: Vec::new(),
                    });
                    found.len() as u32 - 1
                })
            }),
        };
        if let Some(memo) = memo {
            *memo = Some((said, place));
        }
        if let Some(slot) = places.get_mut(row) {
            *slot = place;
        }
    }
    places
}

/// Asks for what is known of all others, as far as the sensitivity regards it.
fn ask(
    policy: u32,
    settings: &Policy,
    found: &mut [Sighted],
    censuses: &mut Vec<StateKey>,
    crowds: &mut Vec<StateKey>,
) {
    let sensitivity = settings.sensitivity;
    if found.is_empty() || (sensitivity == Sensitivity::High && settings.together == 0) {
        return;
    }
    let census = censuses.len() as u32;
    // No value can make a key that begins so.
    censuses.push(StateKey { policy, key: "\u{1f}p".to_owned() });
    let mut asked: HashMap<String, u32> = HashMap::new();
    let mut crowd = |key: String| {
        let next = crowds.len() as u32;
        let crowd = *asked.entry(key.clone()).or_insert(next);
        if crowd == next {
            crowds.push(StateKey { policy, key });
        }
        crowd
    };
    for sighted in found {
        sighted.census = Some(census);
        let Found { country: [a, b], network, .. } = sighted.found;
        let exit = crowd(sighted.found.exit());
        sighted.exit = Some(exit);
        if network.is_known() && sensitivity != Sensitivity::High {
            sighted.crowds.push(exit);
        }
        if sensitivity == Sensitivity::Low {
            sighted.crowds.push(crowd(format!("\u{1f}c{}{}", char::from(a), char::from(b))));
            if network.is_known() {
                sighted.crowds.push(crowd(format!("\u{1f}n{:x}", network.bits())));
            }
        }
    }
}

/// What is known of everybody, as far as a batch needs it; each with whether it has changed. First
/// times are in hours.
struct Organization {
    censuses: Vec<(Census, bool)>,
    crowds: Vec<(Crowd, bool)>,
    /// By place: in which span it was asked for last, and whether it was shared, and new to all.
    asked: Vec<Option<(i64, (bool, bool))>>,
}

impl Organization {
    /// Whether many of the organization use a place, as of a time before `begin`.
    fn is_shared(&self, policy: &Policy, sighted: &Sighted, begin: i64) -> bool {
        let census = sighted.census.and_then(|at| self.censuses.get(at as usize));
        let Some((census, _)) = census else { return false };
        let hour = begin.saturating_sub(policy.lateness).div_euclid(HOUR);
        let mut crowds = sighted.crowds.iter().filter_map(|&at| self.crowds.get(at as usize));
        // The share is asked last: it takes longest.
        crowds.any(|(crowd, _)| {
            let count = crowd.before(hour) as f64;
            count >= policy.common_people
                && count
                    >= (policy.common_share * census.before(hour) as f64).min(Crowd::KEPT as f64)
        })
    }

    /// Who uses the network of a place in its city.
    fn users(&self, sighted: &Sighted) -> Option<&Crowd> {
        sighted.exit.and_then(|at| self.crowds.get(at as usize)).map(|(crowd, _)| crowd)
    }

    /// Whether nobody had used a place, as of a time before `begin`, or somebody for the first time only
    /// a short time ago. What was used while the organization was being learned was there before, as far
    /// as is known.
    fn is_new_to_all(&self, policy: &Policy, sighted: &Sighted, begin: i64) -> bool {
        let census = sighted.census.and_then(|at| self.censuses.get(at as usize));
        let Some((since, crowd)) =
            census.and_then(|(census, _)| census.first()).zip(self.users(sighted))
        else {
            return false;
        };
        let hours = |ms: i64| ms.div_euclid(HOUR);
        let known = hours(begin.saturating_sub(policy.lateness));
        let least = since.saturating_add(hours(policy.learn));
        let least = least.max(hours(begin.saturating_sub(policy.together)));
        let first = crowd.first().filter(|&first| first < known);
        policy.together > 0 && first.is_none_or(|first| first >= least)
    }
}

impl Travel {
    /// The rows of a part with their places.
    fn rows(&self, part: &Part) -> impl Iterator<Item = (usize, u32)> {
        let rows = self.rows.get(part.rows.clone()).unwrap_or_default();
        let places = self.places.get(part.rows.clone()).unwrap_or_default();
        rows.iter().zip(places).map(|(&row, &place)| (row as usize, place))
    }

    /// Takes the whole batch into what is known of everybody. It may come before judging, since
    /// nothing that is judged looks at times that are not complete.
    fn learn_of_all(&self, all: &mut Organization) {
        let times = Places::of(&self.batch);
        for part in &self.parts {
            let mut before = None;
            for (row, place) in self.rows(part) {
                let hour = times.time(row).div_euclid(HOUR);
                if before.replace((place, hour)) == Some((place, hour)) {
                    continue;
                }
                let Some(sighted) = self.found.get(place as usize) else { continue };
                let census = sighted.census.and_then(|at| all.censuses.get_mut(at as usize));
                if let Some((census, changed)) = census {
                    *changed |= census.see(part.person, hour);
                }
                let exit = sighted.exit.filter(|exit| !sighted.crowds.contains(exit));
                for &at in sighted.crowds.iter().chain(&exit) {
                    if let Some((crowd, changed)) = all.crowds.get_mut(at as usize) {
                        *changed |= crowd.see(part.person, hour);
                    }
                }
            }
        }
    }

    /// Takes the activities of a person in, one after the other.
    fn walk(
        &self,
        part: &Part,
        policy: &Policy,
        person: &mut Traveller<'_>,
        all: &mut Organization,
        columns: (&Places<'_>, &PlaceCells<'_>),
        (findings, together): (&mut Vec<Finding>, &mut BTreeMap<Alert, Together>),
    ) {
        let (times, cells) = columns;
        for (row, at) in self.rows(part) {
            let mark = times.evidence(row);
            let span = mark.time.div_euclid(policy.span);
            let Some(sighted) = self.found.get(at as usize) else { continue };
            // Everybody's activities in one place and span are asked about once.
            let of_all = match all.asked.get(at as usize) {
                Some(&Some((same, of_all))) if same == span => of_all,
                _ => {
                    let begin = span.saturating_mul(policy.span);
                    let shared = all.is_shared(policy, sighted, begin);
                    (shared, all.is_new_to_all(policy, sighted, begin))
                }
            };
            if let Some(slot) = all.asked.get_mut(at as usize) {
                *slot = Some((span, of_all));
            }
            let place = sighted.found.place(of_all);
            for pair in judge::sight(policy, person, place, mark, cells.words(row)) {
                let here = (&place, cells.words(row), mark);
                let finding = self.finding(part, policy, row, here, &pair);
                let Some(about) = &pair.about else {
                    findings.push(finding);
                    continue;
                };
                let of = (part.policy, pair.start, about.about());
                let found = together.entry(of).or_insert_with(Together::default);
                found.add(self.who(policy, row), finding);
                if let Some(crowd) = all.users(sighted).filter(|_| *about == place) {
                    found.used(crowd);
                }
            }
        }
    }

    /// Who a row is about.
    fn who(&self, policy: &Policy, row: usize) -> String {
        let who = self.plan.group(&policy.by, &self.batch, row).into_iter();
        who.map(|(_, value)| casbah_when::words::cut(&value)).collect::<Vec<_>>().join(" ")
    }

    fn finding(
        &self,
        part: &Part,
        policy: &Policy,
        row: usize,
        (place, words, mark): (&Place, [&str; 3], Evidence),
        pair: &Pair,
    ) -> Finding {
        let batch = &self.batch;
        let who = self.who(policy, row);
        let told = Told { policy, batch, row, who, place, words, mark, pair };
        let mut evidence = vec![mark];
        if !pair.told {
            evidence.push(pair.mark);
        }
        evidence.sort_unstable();
        let mut details = told.details();
        details.extend(pair.about.map(|about| (NEW.to_owned(), told.network(&about))));
        Finding {
            policy: part.policy as u32,
            group: match &pair.about {
                None => self.plan.group(&policy.group, batch, row),
                Some(about) => told.group(about),
            },
            start: pair.start,
            first: mark.time.min(pair.mark.time),
            last: mark.time.max(pair.mark.time),
            evidence,
            summary: told.summary(),
            details,
            severity: None,
            behavior: false,
        }
    }
}
