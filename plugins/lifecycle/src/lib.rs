//! The `lifecycle` detector: activity of people who should not be active any more.
//!
//! The directory's news of accounts are activities in the log (kind `account-state`), and every
//! activity carries what the host knew of its person when it was stored (`actor.status`,
//! `actor.since`). Both are believed: an activity is a finding when its person was deleted, disabled
//! or had left at its time, by either word. News that come late are held against the activities that
//! are remembered. `README.md` beside this crate is the reference of its settings.
//!
//! It is not a directory, and nothing here is learned or guessed.

mod memory;
mod report;
mod settings;
mod standing;

use std::collections::BTreeMap;
use std::ops::Range;

use casbah_model::detector::{DetectorDescription, Outcome, Problem};
use casbah_model::table::ABSENT_INTEGER;
use casbah_model::{Batch, Evidence, Finding, StateKey};
use casbah_plugin::{Detector, export_detector, state};
use casbah_when::settings::window;
use casbah_when::{Cell, Cells, Evaluation, Places, Plan, Rows, description, keys};

use crate::memory::{Mark, Memory, Said, ends};
use crate::settings::{Policy, Rule};
use crate::standing::{Gone, News, Standing, gone, reopened};

/// JSON Schema of this detector's own settings.
const SCHEMA: &str = include_str!("settings.schema.json");
/// What it reads in any case, besides what every detector does.
const READ: &[&str] = &["person", "app", "actor.status", "actor.since"];

/// The detector, configured with the policies of a group.
#[derive(Debug, Default)]
pub struct Lifecycle {
    plan: Plan,
    /// The policies, in the order given.
    policies: Vec<Policy>,
    batch: Batch,
    /// People, in the order in which their state was asked for.
    parts: Vec<Part>,
    /// Rows of all people.
    rows: Vec<u32>,
    /// Rows that are news, by policy.
    news: Vec<Rows>,
}

/// Rows of one person for one policy.
#[derive(Clone, Debug)]
struct Part {
    /// Index of the policy.
    policy: usize,
    /// Where the rows stand in the list of rows, in order.
    rows: Range<usize>,
}

/// An activity of somebody who was gone.
#[derive(Clone, Debug)]
struct Found {
    time: i64,
    sequence: u64,
    /// Its row, where it is in the batch at hand.
    row: Option<u32>,
    gone: Gone,
    /// Whether it came before the news.
    late: bool,
}

export_detector!(Lifecycle);

impl Detector for Lifecycle {
    fn describe() -> DetectorDescription {
        let title = "Activity of people whose accounts are deleted or disabled, or who have left";
        description("lifecycle", env!("CARGO_PKG_VERSION"), title, 1, READ, SCHEMA)
    }

    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let (plan, policies) = settings::compile(policies)?;
        Ok(Self { plan, policies, ..Self::default() })
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        self.parts.clear();
        self.rows.clear();
        self.news.clear();
        let mut state = Vec::new();
        let mut evaluation = Evaluation::new(&self.plan, &batch);
        let places = Places::of(&batch);
        let people = [Cells::column(&batch, "person")];
        for (index, policy) in self.policies.iter().enumerate() {
            let news = evaluation.rows(&policy.news);
            let mut rows = evaluation.rows(&policy.when);
            rows.and(&evaluation.rows(&policy.done));
            rows.or(&news);
            let credible = |row: usize| places.has_credible_time(row);
            for range in keys::part(&batch, &rows, &people, credible, &mut self.rows) {
                let first = self.rows.get(range.start).copied().unwrap_or(0) as usize;
                state.push(StateKey {
                    policy: index as u32,
                    key: keys::key(&batch, &people, first),
                });
                self.parts.push(Part { policy: index, rows: range });
            }
            self.news.push(news);
        }
        self.batch = batch;
        Ok(state)
    }

    fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String> {
        state::all_came(self.parts.len(), states)?;
        let mut outcome = Outcome::default();
        let columns = Columns::of(&self.batch);
        for (place, (part, bytes)) in self.parts.iter().zip(states).enumerate() {
            let Some(policy) = self.policies.get(part.policy) else { continue };
            let Some(news) = self.news.get(part.policy) else { continue };
            let rows = self.rows.get(part.rows.clone()).unwrap_or_default();
            let mut memory = Memory::read(bytes).ok_or_else(|| unreadable(part, bytes))?;
            let found = columns
                .walk(rows, news, &mut memory, &policy.rule)
                .ok_or_else(|| unreadable(part, bytes))?;
            self.report(part, rows, found, &mut outcome.findings);
            let after = memory.write();
            if after != *bytes {
                outcome.changes.push((place as u32, after));
            }
        }
        Ok(outcome)
    }
}

impl Lifecycle {
    /// Reports what was found of one person: one finding a quiet window.
    fn report(&self, part: &Part, rows: &[u32], found: Vec<Found>, findings: &mut Vec<Finding>) {
        let Some(policy) = self.policies.get(part.policy) else { return };
        let row = rows.first().copied().unwrap_or(0) as usize;
        let mut windows: BTreeMap<i64, Vec<Found>> = BTreeMap::new();
        for one in found {
            windows.entry(window(one.time, policy.quiet)).or_default().push(one);
        }
        for (start, mut found) in windows {
            found.sort_unstable_by_key(|one| (one.time, one.sequence));
            let evidence: Vec<Evidence> = found
                .iter()
                .map(|one| Evidence { time: one.time, sequence: one.sequence })
                .collect();
            let (Some(first), Some(last)) = (evidence.first(), evidence.last()) else { continue };
            findings.push(Finding {
                policy: part.policy as u32,
                group: self.plan.group(&policy.group, &self.batch, row),
                start,
                first: first.time,
                last: last.time,
                summary: report::summary(self.batch.text("person", row), &self.batch, &found),
                details: report::details(&policy.rule, &self.batch, &found),
                severity: None,
                behavior: false,
                evidence,
            });
        }
    }
}

/// What is read of rows.
struct Columns<'a> {
    batch: &'a Batch,
    places: Places<'a>,
    status: Cells<'a>,
    since: Cells<'a>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a Batch) -> Self {
        Self {
            batch,
            places: Places::of(batch),
            status: Cells::column(batch, "actor.status"),
            since: Cells::column(batch, "actor.since"),
        }
    }

    /// Goes through the rows of a person in the order in which they came, one by one, so that nothing
    /// depends on where batches end.
    /// `None` when the state can't be read.
    fn walk(
        &self,
        rows: &[u32],
        news: &Rows,
        memory: &mut Memory<'_>,
        rule: &Rule,
    ) -> Option<Vec<Found>> {
        let mut found = Vec::new();
        for &row in rows {
            if news.holds(row as usize) {
                self.hear(row, memory, rule, rows, &mut found)?;
            } else if let Some(one) = self.judge(row, memory, rule) {
                found.push(one);
            } else {
                memory.remember(self.mark(row), rule)?;
            }
        }
        Some(found)
    }

    /// Takes news in, and judges anew what is remembered.
    fn hear(
        &self,
        row: u32,
        memory: &mut Memory<'_>,
        rule: &Rule,
        rows: &[u32],
        found: &mut Vec<Found>,
    ) -> Option<()> {
        let state = self.state(row as usize);
        if state == Standing::Other {
            return Some(());
        }
        let since = match self.since(row as usize) {
            Some(since) => Some(since),
            // Who is in use when first seen has always been; who is gone is so from then on.
            None => ends(state).then(|| self.places.time(row as usize)),
        };
        let text = |column: &str| self.batch.text(column, row as usize);
        let account = keys::fingerprint_of(text("object")) as u32;
        let source = if ends(state) { text("app").to_owned() } else { String::new() };
        if !memory.learn(News { since, state, account, source }) || !rule.causes.contains(&state) {
            return Some(());
        }
        for (mark, gone) in memory.take(rule, |news, mark| late(news, mark, rule))? {
            let same = |&&row: &&u32| self.places.sequence(row as usize) == mark.sequence;
            found.push(Found {
                time: mark.time,
                sequence: mark.sequence,
                row: rows.iter().find(same).copied(),
                gone,
                late: true,
            });
        }
        Some(())
    }

    /// Whether an activity is one of somebody who was gone, by what is known when it comes.
    fn judge(&self, row: u32, memory: &Memory<'_>, rule: &Rule) -> Option<Found> {
        let mark = self.mark(row);
        let (state, since) = (self.state(row as usize), self.since(row as usize));
        let by_host = since
            .filter(|_| rule.causes.contains(&state))
            .filter(|&since| counts(mark.time, since, rule))
            .filter(|&since| !reopened(memory.news(), mark.time, since, rule))
            .map(|since| self.host_says(state, since, mark.time, memory, rule));
        let gone = by_host.or_else(|| late(memory.news(), &mark, rule))?;
        let (time, sequence) = (mark.time, mark.sequence);
        Some(Found { time, sequence, row: Some(row), gone, late: false })
    }

    /// What the host says, with the source where the news name it.
    fn host_says(
        &self,
        state: Standing,
        since: i64,
        time: i64,
        memory: &Memory<'_>,
        rule: &Rule,
    ) -> Gone {
        match gone(memory.news(), time, rule) {
            Some(known) if known.since <= since => known,
            _ => Gone { since, state, source: String::new() },
        }
    }

    fn mark(&self, row: u32) -> Mark {
        let row = row as usize;
        let said = match self.state(row) {
            Standing::Active | Standing::Pending | Standing::Declined => {
                Said::Live(self.since(row))
            }
            _ => Said::Nothing,
        };
        Mark { time: self.places.time(row), sequence: self.places.sequence(row), said }
    }

    fn state(&self, row: usize) -> Standing {
        match self.status.cell(self.batch, row) {
            Cell::Text(id) => Standing::of(self.batch.texts.get(id)),
            _ => Standing::Other,
        }
    }

    fn since(&self, row: usize) -> Option<i64> {
        match self.since.cell(self.batch, row) {
            Cell::Integer(since) if since != ABSENT_INTEGER => Some(since),
            _ => None,
        }
    }
}

/// Whether an activity lies far enough behind the end.
fn counts(time: i64, since: i64, rule: &Rule) -> bool {
    time > since.saturating_add(rule.grace)
}

/// Why the person was gone at the time of an activity, by the news.
///
/// What the host said then excuses it, if that was newer: the person had been restored.
fn late(news: &[News], mark: &Mark, rule: &Rule) -> Option<Gone> {
    let gone = gone(news, mark.time, rule)?;
    let excused = matches!(mark.said, Said::Live(Some(since)) if since >= gone.since);
    (counts(mark.time, gone.since, rule) && !excused).then_some(gone)
}

fn unreadable(part: &Part, bytes: &[u8]) -> String {
    state::unreadable(&format!("state of policy {}", part.policy), bytes)
}
