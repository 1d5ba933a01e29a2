//! Tests that stand in a policy's own file: activities that are given, alerts that are expected.
//!
//! A test runs through the policy's real detector, once as a single batch and once in pieces, the
//! first ones of a single activity, and with `shuffle: true` in several shuffled orders of arrival as well. All runs must
//! give what is expected.
//!
//! It is not a test of adapters: what is given are normalized activities.

use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

use casbah_model::detector::Detector;
use casbah_model::{Alert, Batch, TenantName, time};

use crate::cores;
use crate::group::{Detectors, Group};
use crate::offline::Offline;
use crate::policy::{self, Fields, PolicyErrors, PolicyFile, PolicyProblemKind, PolicySet};
use crate::suggest::shown;
use crate::yaml::{Node, Value};

mod expect;
mod facts;
mod given;

use expect::{Expected, group_text};
use given::{Activity, Given};

pub(crate) use facts::{ADDRESS_SHORT, address_columns};

/// The keys of a test.
const TEST_KEYS: &[&str] =
    &["name", "directory", "addresses", "given", "shuffle", "expect", "silent"];

/// How many shuffled orders of arrival a test with `shuffle: true` runs through.
const SHUFFLES: u64 = 5;

/// A test of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyTest {
    /// Its name.
    pub name: String,
    /// The line it begins in.
    pub line: usize,
    /// Whether activities also arrive in other orders than they are given in.
    pub shuffle: bool,
    given: Given,
    expect: Expected,
}

/// How a test of a policy went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// The policy.
    pub policy: String,
    /// The test.
    pub name: String,
    /// The policy's file.
    pub file: String,
    /// The line the test begins in.
    pub line: usize,
    /// What was expected and what came instead; `None` when it passed.
    pub failure: Option<String>,
}

impl TestResult {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, name, file, line, failure } = self;
        match failure {
            None => write!(f, "pass {policy}: {name}"),
            Some(failure) => {
                write!(f, "FAIL {policy}: {name}\n --> {file}:{line}\n{}", indented(failure))
            }
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Runs the tests of a policy. The detector must be configured with this policy alone.
pub fn run_tests(policy: &Arc<PolicyFile>, detector: &Arc<dyn Detector>) -> Vec<TestResult> {
    policy
        .tests
        .iter()
        .map(|test| TestResult {
            policy: policy.name.clone(),
            name: test.name.clone(),
            file: policy.file.clone(),
            line: test.line,
            failure: test.run(policy, detector).err(),
        })
        .collect()
}

/// A policy with the results of its tests, or why its detector could not be configured for it.
pub type Tested = (Arc<PolicyFile>, Result<Vec<TestResult>, PolicyErrors>);

/// Runs the tests of all policies on all cores, each policy with a detector of its own.
pub fn run_all(set: &PolicySet, detectors: &dyn Detectors) -> Vec<Tested> {
    cores::map(set.policies(), 1, |policy| {
        let results = match policy.tests.is_empty() {
            true => Ok(Vec::new()),
            false => policy::group(&policy.detector, vec![Arc::clone(policy)], detectors)
                .map(|alone| run_tests(policy, alone.detector())),
        };
        (Arc::clone(policy), results)
    })
}

impl PolicyTest {
    /// Whether it notices that this detector, configured otherwise than the policy says, is not the
    /// right one. Activities arrive as one batch.
    pub(crate) fn notices(&self, policy: &Arc<PolicyFile>, detector: &Arc<dyn Detector>) -> bool {
        let given = self.given.activities();
        let whole = [given.iter().collect()];
        self.run_once(policy, detector, &whole, "as one batch").is_err()
    }

    fn run(&self, policy: &Arc<PolicyFile>, detector: &Arc<dyn Detector>) -> Result<(), String> {
        let given = self.given.activities();
        let all: Vec<&Activity> = given.iter().collect();
        let whole = std::slice::from_ref(&all);
        self.run_once(policy, detector, whole, "as one batch")?;
        self.run_once(policy, detector, &pieces(&all), "piece by piece")?;
        if self.shuffle {
            for seed in 1..=SHUFFLES {
                let batches = shuffled(&all, seed);
                self.run_once(policy, detector, &batches, &format!("shuffled, order {seed}"))?;
            }
        }
        Ok(())
    }

    fn run_once(
        &self,
        policy: &Arc<PolicyFile>,
        detector: &Arc<dyn Detector>,
        batches: &[Vec<&Activity>],
        how: &str,
    ) -> Result<(), String> {
        let tenant: TenantName = "test".parse().map_err(|error| format!("{error}"))?;
        let group = Group::new("test", Arc::clone(detector), vec![Arc::clone(policy)]);
        let mut offline = Offline::new(tenant, vec![group]);
        for batch in batches {
            let batch: Batch = given::batch(batch);
            offline.feed(&batch).map_err(|error| error.to_string())?;
        }
        let mut alerts = offline.alerts();
        for alert in &mut alerts {
            alert.title = policy.title_of(alert);
            alert.description = policy.description_of(alert);
            alert.respond.clone_from(&policy.respond);
        }
        self.expect.compare(&alerts).map_err(|difference| {
            format!("{difference}\nactivities arrived {how}; alerts:\n{}", listing(&alerts))
        })
    }

    /// The tests of a policy file; what is wrong with them goes to `fields`.
    pub(crate) fn read_all(document: &Node, fields: &mut Fields) -> Vec<Self> {
        fields.set_kind(PolicyProblemKind::Test);
        let Some(entry) = document.get("tests") else { return Vec::new() };
        let Value::List(items) = &entry.value.value else {
            fields.wrong(
                entry.value.span,
                format!("`tests` must be a list, this is {}", entry.value.value.what()),
                "begin every test with `- name: …`".to_owned(),
            );
            return Vec::new();
        };
        let app = app(document);
        let mut names = BTreeSet::new();
        items
            .iter()
            .filter_map(|item| {
                let test = Self::read(item, app.as_deref(), fields)?;
                if !names.insert(test.name.clone()) {
                    fields.wrong(
                        item.get("name").map(|entry| entry.value.span).unwrap_or(item.span),
                        format!("two tests have the name `{}`", shown(&test.name)),
                        "give every test a name of its own".to_owned(),
                    );
                }
                Some(test)
            })
            .collect()
    }

    fn read(item: &Node, app: Option<&str>, fields: &mut Fields) -> Option<Self> {
        if !fields.is_map(item, "a test") {
            return None;
        }
        fields.only(item, TEST_KEYS, "a test");
        let name = fields.required_text(item, "name");
        let shuffle = fields.flag(item, "shuffle").unwrap_or(false);
        let given = given::read(item, app, fields);
        let expect = Expected::read(item, fields);
        Some(Self { name: name?, line: item.span.line, shuffle, given: given?, expect: expect? })
    }
}

/// The app that a policy is about, for activities in its tests that name none.
fn app(document: &Node) -> Option<String> {
    let Value::List(rows) = &document.get("when")?.value.value else { return None };
    rows.iter()
        .filter(|row| {
            row.get("field").is_some_and(|f| f.value.value == Value::Text("app".to_owned()))
        })
        .find_map(|row| match &row.get("is").or_else(|| row.get("in"))?.value.value {
            Value::Text(app) => Some(app.clone()),
            Value::List(apps) => apps.iter().find_map(|app| match &app.value {
                Value::Text(app) => Some(app.clone()),
                _ => None,
            }),
            _ => None,
        })
}

fn listing(alerts: &[Alert]) -> String {
    const SHOWN: usize = 10;
    if alerts.is_empty() {
        return "  none".to_owned();
    }
    let mut text = String::new();
    for alert in alerts.iter().take(SHOWN) {
        // Writing into a text does not fail.
        let _ = writeln!(
            text,
            "  {}, severity {}, count {}, {} to {}: {}",
            group_text(&alert.group),
            alert.severity,
            alert.count,
            time::format(alert.first),
            time::format(alert.last),
            shown(&alert.summary),
        );
    }
    if alerts.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", alerts.len() - SHOWN);
    }
    text.trim_end().to_owned()
}

/// How many activities at the beginning of a test arrive one by one.
const ONE_BY_ONE: usize = 4;

/// The activities in batches that grow: the first ones alone, and in the end as many as came before.
/// A test of thousands is through in a dozen batches.
fn pieces<'a>(all: &[&'a Activity]) -> Vec<Vec<&'a Activity>> {
    let (first, mut rest) = all.split_at(all.len().min(ONE_BY_ONE));
    let mut batches: Vec<_> = first.iter().map(|&activity| vec![activity]).collect();
    let mut done = first.len();
    while !rest.is_empty() {
        // The last one comes alone, too: what it completes stands in the state.
        let size = done.min(rest.len().saturating_sub(1).max(1));
        let (batch, after) = rest.split_at(size.min(rest.len()));
        batches.push(batch.to_vec());
        done += batch.len();
        rest = after;
    }
    batches
}

/// The activities in another order, cut into batches of other sizes; the same for the same seed.
fn shuffled<'a>(all: &[&'a Activity], seed: u64) -> Vec<Vec<&'a Activity>> {
    let mut random = Random(seed);
    let mut order: Vec<&Activity> = all.to_vec();
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    let mut batches = Vec::new();
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let size = 1 + random.below(rest.len().min(16) as u64) as usize;
        let (batch, after) = rest.split_at(size.min(rest.len()));
        batches.push(batch.to_vec());
        rest = after;
    }
    batches
}

/// SplitMix64: enough to shuffle, and the same on every machine for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is lost or moved, the ends come alone, and there are few pieces.
    #[test]
    fn pieces_are_the_whole() {
        let activity = given::Activity::default();
        for number in 0..200 {
            let all = vec![activity.clone(); number];
            let all: Vec<&Activity> = all.iter().collect();
            let pieces = pieces(&all);
            let joined: Vec<&Activity> = pieces.iter().flatten().copied().collect();
            assert_eq!(joined.len(), number);
            assert!(joined.iter().zip(&all).all(|(a, b)| std::ptr::eq(*a, *b)));
            assert!(pieces.iter().all(|piece| !piece.is_empty()));
            assert!(pieces.last().is_none_or(|last| last.len() == 1), "{number}");
            assert!(pieces.len() <= 12, "{number}: {}", pieces.len());
        }
    }
}
