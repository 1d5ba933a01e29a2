//! The short way to a detector: a key for a row, and a step that folds rows into a state a key.

use std::collections::HashMap;
use std::marker::PhantomData;

use casbah_model::detector::{DetectorDescription, Outcome, Problem};
use casbah_model::{Batch, Finding, StateKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Detector, Row};

/// A detector that folds activities into a small state for every key.
///
/// The host calls [`key`](Fold::key) for every activity and policy; where it answers, the state of
/// that key is loaded, [`step`](Fold::step) is called in the order of arrival, and the state is kept.
pub trait Fold {
    /// A policy's settings, read from JSON.
    type Settings: DeserializeOwned;
    /// What is remembered for every key; the default is the state of a key never seen.
    type State: Default + Serialize + DeserializeOwned;

    /// What it is, what it reads, and the schema of its settings.
    fn describe() -> DetectorDescription;

    /// Checks what the type of the settings can't say. Returns sentences of what is wrong.
    fn check(_settings: &Self::Settings) -> Vec<String> {
        Vec::new()
    }

    /// The key under which this activity counts for this policy; `None` when it does not count.
    fn key(policy: &Policy<Self::Settings>, row: Row<'_>) -> Option<String>;

    /// Takes the activity into the state, and says when that is worth a finding.
    fn step(
        policy: &Policy<Self::Settings>,
        state: &mut Self::State,
        row: Row<'_>,
    ) -> Option<Found>;
}

/// A policy as a detector sees it.
#[derive(Clone, Debug)]
pub struct Policy<S> {
    /// Its place in the list.
    pub index: u32,
    /// Columns that name what an alert is about.
    pub group: Vec<String>,
    /// Length of the quiet window, ms; 0 for none.
    pub quiet: i64,
    /// Its settings.
    pub settings: S,
}

impl<S> Policy<S> {
    /// Start of the quiet window that a time falls into.
    pub fn window(&self, time: i64) -> i64 {
        if self.quiet > 0 { time.div_euclid(self.quiet) * self.quiet } else { time }
    }
}

/// What a step found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// One sentence for people.
    pub summary: String,
    /// Numbers and texts behind it.
    pub details: Vec<(String, String)>,
}

impl Found {
    /// A finding with its sentence.
    pub fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), details: Vec::new() }
    }

    /// Adds a number or text behind the sentence.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.details.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A [`Fold`] as a [`Detector`]; this is what `export_detector!` takes.
pub struct Folding<F: Fold> {
    policies: Vec<Policy<F::Settings>>,
    batch: Batch,
    keys: Vec<StateKey>,
    /// Rows by place of their key, in order.
    rows: Vec<Vec<usize>>,
    fold: PhantomData<F>,
}

/// What the host adds to the settings that a policy file gives.
#[derive(serde::Deserialize)]
struct Common {
    #[serde(default)]
    group: Vec<String>,
    #[serde(default)]
    quiet: i64,
}

impl<F: Fold> Detector for Folding<F> {
    fn describe() -> DetectorDescription {
        F::describe()
    }

    fn configure(settings: &[String]) -> Result<Self, Vec<Problem>> {
        let mut policies = Vec::with_capacity(settings.len());
        let mut problems = Vec::new();
        for (index, text) in settings.iter().enumerate() {
            let index = index as u32;
            let problem =
                |message: String| Problem { policy: index, pointer: String::new(), message };
            let read = serde_json::from_str::<Common>(text)
                .and_then(|common| Ok((common, serde_json::from_str::<F::Settings>(text)?)));
            match read {
                Err(error) => problems.push(problem(error.to_string())),
                Ok((common, settings)) => {
                    problems.extend(F::check(&settings).into_iter().map(problem));
                    policies.push(Policy {
                        index,
                        group: common.group,
                        quiet: common.quiet,
                        settings,
                    });
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            policies,
            batch: Batch::default(),
            keys: Vec::new(),
            rows: Vec::new(),
            fold: PhantomData,
        })
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        self.batch = batch;
        self.keys.clear();
        self.rows.clear();
        let mut places = HashMap::new();
        for policy in &self.policies {
            for row in Row::all(&self.batch) {
                let Some(key) = F::key(policy, row) else { continue };
                let key = StateKey { policy: policy.index, key };
                let place = match places.get(&key) {
                    Some(&place) => place,
                    None => {
                        places.insert(key.clone(), self.keys.len());
                        self.keys.push(key);
                        self.rows.push(Vec::new());
                        self.keys.len() - 1
                    }
                };
                if let Some(rows) = self.rows.get_mut(place) {
                    rows.push(row.index());
                }
            }
        }
        Ok(self.keys.clone())
    }

    fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String> {
        let mut outcome = Outcome::default();
        for (place, ((key, rows), bytes)) in
            self.keys.iter().zip(&self.rows).zip(states).enumerate()
        {
            let Some(policy) = self.policies.get(key.policy as usize) else { continue };
            let mut state = if bytes.is_empty() {
                F::State::default()
            } else {
                serde_json::from_slice(bytes)
                    .map_err(|error| format!("the state of `{}` can't be read: {error}", key.key))?
            };
            for &row in rows {
                let row = Row::new(&self.batch, row);
                let Some(found) = F::step(policy, &mut state, row) else { continue };
                let evidence = row.evidence();
                outcome.findings.push(Finding {
                    policy: policy.index,
                    group: policy
                        .group
                        .iter()
                        .map(|column| (column.clone(), row.text(column).to_owned()))
                        .collect(),
                    start: policy.window(evidence.time),
                    first: evidence.time,
                    last: evidence.time,
                    evidence: vec![evidence],
                    summary: found.summary,
                    details: found.details,
                    severity: None,
                    behavior: false,
                });
            }
            let after = serde_json::to_vec(&state)
                .map_err(|error| format!("the state of `{}` can't be kept: {error}", key.key))?;
            if after != *bytes {
                outcome.changes.push((place as u32, after));
            }
        }
        Ok(outcome)
    }
}
