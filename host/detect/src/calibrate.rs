//! What a scoring policy would have said of the stored log, at every place of its alerting line.
//!
//! A policy of a detector with baselines has a *line*: findings whose score reaches it are alerts.
//! Where the line should be depends on the tenant, so it is chosen by a budget: about so many alerts
//! for every 1,000 users a week. [`calibrate`] evaluates the stored log with the line out of reach,
//! so that everything stays a behavior, and gathers the scores.
//!
//! It writes nothing, and knows no detector: it sets `line` and `behaviors-from`, and reads the
//! detail `score`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use casbah_model::table::ABSENT_INTEGER;
use casbah_model::{Alert, Batch, TenantName};
use casbah_store::{Store, StoreError};
use serde::Serialize;

use crate::error::{DetectError, DetectErrorKind};
use crate::group::Detectors;
use crate::policy::{self, PolicyErrors, PolicyFile};
use crate::slice::slice;
use crate::step::{self, Memory, StepError};

#[cfg(test)]
mod tests;

/// A line that no score reaches.
const OUT_OF_REACH: f64 = 1e9;
/// Rows evaluated at once.
const ROWS: usize = 16_384;
const WEEK: f64 = 7.0 * 86_400_000.0;

/// What was found out about one policy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Calibration {
    /// Name of the policy.
    pub policy: String,
    /// People who did anything.
    pub users: u64,
    /// Time of the first activity, ms since 1970.
    pub from: i64,
    /// Time of the last activity, ms since 1970.
    pub to: i64,
    /// Alerts that the policy gives on this log as it is.
    pub alerts: u64,
    /// Its line as it is, where any finding told it.
    pub line: Option<f64>,
    /// The highest score of everything that would be one alert if the line were low enough, the
    /// highest first.
    pub scores: Vec<f64>,
}

/// A place for the line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    /// Budget it was chosen for: alerts for every 1,000 users a week.
    pub budget: f64,
    /// The line.
    pub line: f64,
    /// How many alerts it would have given on this log.
    pub alerts: u64,
    /// The same for every 1,000 users a week.
    pub rate: f64,
}

impl Calibration {
    /// Alerts for every 1,000 users a week, when there are so many on this log.
    fn rate(&self, alerts: usize) -> f64 {
        // A log of less than a week is taken for a week: a rate drawn from hours means nothing.
        let weeks = ((self.to - self.from) as f64 / WEEK).max(1.0);
        alerts as f64 / (self.users.max(1) as f64 / 1000.0) / weeks
    }

    /// The lowest line that stays within a budget, in hundredths.
    pub fn line_for(&self, budget: f64) -> Line {
        let within = (0..=self.scores.len()).rev().find(|&count| self.rate(count) <= budget);
        let mut count = within.unwrap_or(0);
        // Equal scores are on the same side of any line. What is a hundredth but for the way floats
        // are kept counts as one.
        let up = |score: f64| ((score * 100.0 + 1e-6).floor() + 1.0) / 100.0;
        let line = match self.scores.get(count) {
            Some(&first_out) => up(first_out),
            // Everything is within the budget: the line is just below the lowest.
            None => self.scores.last().map_or(0.0, |&lowest| (lowest * 100.0).floor() / 100.0),
        };
        while count > 0 && self.scores.get(count - 1).is_some_and(|&score| score < line) {
            count -= 1;
        }
        Line { budget, line, alerts: count as u64, rate: self.rate(count) }
    }

    /// How many alerts for every 1,000 users a week the policy gives as it is.
    pub fn rate_now(&self) -> f64 {
        self.rate(usize::try_from(self.alerts).unwrap_or(usize::MAX))
    }
}

/// Whether a policy has a line that can be calibrated.
pub fn has_line(policy: &PolicyFile, detectors: &dyn Detectors) -> bool {
    detectors
        .describe(&policy.detector)
        .is_some_and(|description| description.settings.pointer("/properties/line").is_some())
}

/// Why there is no calibration.
#[derive(Debug)]
pub enum CalibrateError {
    /// The detector does not take the policy's settings with another line.
    Policy(PolicyErrors),
    /// The log can't be read, or the detector failed.
    Detect(DetectError),
}

impl std::fmt::Display for CalibrateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Policy(error) => error.fmt(f),
            Self::Detect(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CalibrateError {}

impl From<StoreError> for CalibrateError {
    fn from(error: StoreError) -> Self {
        Self::Detect(error.into())
    }
}

/// Evaluates the stored log with every policy's line out of reach. `progress` hears how many of how
/// many activities are done, and ends it by returning false.
///
/// # Errors
/// When the log can't be read or a detector fails.
pub fn calibrate(
    store: &dyn Store,
    tenant: &TenantName,
    policies: &[Arc<PolicyFile>],
    detectors: &dyn Detectors,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Vec<Calibration>, CalibrateError> {
    let mut by_detector: BTreeMap<&str, Vec<Arc<PolicyFile>>> = BTreeMap::new();
    for policy in policies {
        let without = Arc::new(without_line(policy).map_err(CalibrateError::Detect)?);
        let members = by_detector.entry(&policy.detector).or_default();
        members.extend([Arc::clone(policy), without]);
    }
    let mut groups = Vec::new();
    for (name, members) in by_detector {
        let group = policy::group(name, members, detectors).map_err(CalibrateError::Policy)?;
        groups.push((group, Memory::default()));
    }
    let mut people = HashSet::new();
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    let mut scores: HashMap<String, HashMap<String, f64>> = HashMap::new();
    let mut alerts: HashMap<String, HashSet<String>> = HashMap::new();
    let mut lines: HashMap<String, f64> = HashMap::new();
    let blocks = store.blocks(tenant);
    let total: u64 = blocks.iter().map(|block| u64::from(block.rows)).sum();
    let mut done = 0;
    for info in blocks {
        let Some(block) = store.read(tenant, info.first_sequence)? else { continue };
        look(&block.batch, &mut people, &mut from, &mut to);
        for start in (0..block.batch.len()).step_by(ROWS) {
            let rows = start..(start + ROWS).min(block.batch.len());
            for (group, states) in &mut groups {
                let reads = group.detector().description();
                let cut = slice(&block.batch, rows.clone(), info.first_sequence, reads);
                let parts = match step::step(group, tenant, &cut, states) {
                    Ok(parts) => parts,
                    Err(StepError::Store(error)) => return Err(error.into()),
                    Err(StepError::Detector(error)) => {
                        return Err(CalibrateError::Detect(error.into()));
                    }
                };
                for part in parts {
                    if !part.policy.ends_with(SUFFIX) {
                        lines.extend(detail(&part, "line").map(|line| (part.policy.clone(), line)));
                        if !part.behavior {
                            alerts.entry(part.policy).or_default().insert(part.id);
                        }
                    } else if let Some(score) = detail(&part, "score") {
                        let of = scores.entry(part.policy).or_default();
                        let best = of.entry(part.id).or_default();
                        *best = best.max(score);
                    }
                }
            }
        }
        done += u64::from(info.rows);
        if !progress(done, total) {
            break;
        }
    }
    let (from, to) = if from > to { (0, 0) } else { (from, to) };
    let calibration = |policy: &Arc<PolicyFile>| {
        let found = scores.remove(&without_line_name(&policy.name)).unwrap_or_default();
        let mut scores: Vec<f64> = found.into_values().collect();
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        Calibration {
            policy: policy.name.clone(),
            users: people.len() as u64,
            from,
            to,
            alerts: alerts.get(&policy.name).map_or(0, |ids| ids.len() as u64),
            line: lines.get(&policy.name).copied(),
            scores,
        }
    };
    Ok(policies.iter().map(calibration).collect())
}

/// The same policy with its line out of reach and everything above nothing a behavior.
fn without_line(policy: &PolicyFile) -> Result<PolicyFile, DetectError> {
    let unreadable = |error: serde_json::Error| {
        DetectError::new(
            DetectErrorKind::Stored,
            format!("the settings of policy `{}` are no JSON: {error}", policy.name),
        )
    };
    let mut settings: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&policy.settings_json).map_err(unreadable)?;
    for other in ["sensitivity", "budget"] {
        settings.remove(other);
    }
    settings.insert("line".to_owned(), OUT_OF_REACH.into());
    settings.insert("behaviors-from".to_owned(), 0.0.into());
    let settings_json = serde_json::to_string(&settings).map_err(unreadable)?;
    Ok(PolicyFile { name: without_line_name(&policy.name), settings_json, ..policy.clone() })
}

/// No policy's name can hold this.
const SUFFIX: &str = "#";

fn without_line_name(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

fn detail(part: &Alert, name: &str) -> Option<f64> {
    let (_, text) = part.details.iter().find(|(other, _)| other == name)?;
    text.parse().ok().filter(|score: &f64| score.is_finite())
}

/// Notes who did something, and when. What casbah writes itself is left out: news of the directory
/// tell of states that may be much older than the log.
fn look(batch: &Batch, people: &mut HashSet<u64>, from: &mut i64, to: &mut i64) {
    let kinds = batch.text_ids("kind").unwrap_or_default();
    let own = |row: usize| {
        let kind = kinds.get(row).map_or("", |&kind| batch.texts.get(kind));
        matches!(kind, "account-state" | "behavior")
    };
    for (row, &time) in batch.integers("time").unwrap_or_default().iter().enumerate() {
        if time != ABSENT_INTEGER && !own(row) {
            (*from, *to) = ((*from).min(time), (*to).max(time));
        }
    }
    let column = if batch.text_ids("person").is_some() { "person" } else { "actor" };
    let mut before = 0;
    for (row, &id) in batch.text_ids(column).unwrap_or_default().iter().enumerate() {
        if id == 0 || id == before || own(row) {
            continue;
        }
        before = id;
        let hash = blake3::hash(batch.texts.get(id).as_bytes());
        let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
        people.insert(u64::from_le_bytes(first));
    }
}
