//! `casbah policy test`.

use std::collections::BTreeSet;

use anyhow::Result;
use casbah_detect::coverage::{self, Coverage, RowCoverage};
use casbah_detect::{Detectors, PolicyErrors, PolicySet, TestResult, run_all};
use serde_json::json;

use super::paths::Named;
use crate::cli::Format;
use crate::command::Found;
use crate::output::{Output, counted};

/// Runs the tests of all policies, and says which rows they turn when that is asked for.
pub(super) fn run(
    named: &Named,
    covered: bool,
    detectors: &dyn Detectors,
    output: &mut Output,
) -> Result<Found> {
    let mut tally = Tally::default();
    let mut missed = false;
    for set in [&named.policies, &named.shadow] {
        tests(set, detectors, &mut tally, output)?;
    }
    tally.say(output);
    if covered {
        let mut rows = Rows::default();
        for set in [&named.policies, &named.shadow] {
            let wanted =
                |file: &str| !tally.failing.contains(file) && !tally.untested.contains(file);
            for coverage in coverage::of_all(set, detectors, |policy| wanted(&policy.file)) {
                rows.add(&coverage, output)?;
            }
        }
        rows.say(output)?;
        missed = rows.missed > 0;
    }
    Ok(Found(tally.failed > 0 || missed))
}

/// What came of tests so far.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    /// Names of policies without tests, for people.
    nameless: Vec<String>,
    /// Files of policies without tests, and of those whose tests fail.
    untested: BTreeSet<String>,
    failing: BTreeSet<String>,
}

impl Tally {
    fn say(&self, output: &mut Output) {
        // Sigma rules bring none, and come in hundreds.
        const NAMED: usize = 20;
        if let Some(first) = self.nameless.get(..self.nameless.len().min(NAMED))
            && !first.is_empty()
        {
            let more = match self.nameless.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            output.say(&format!("without tests: {}{more}", first.join(", ")));
        }
        output.say(&format!(
            "{} passed, {} failed",
            counted(self.passed, "test", "tests"),
            self.failed
        ));
    }
}

fn tests(
    set: &PolicySet,
    detectors: &dyn Detectors,
    tally: &mut Tally,
    output: &mut Output,
) -> Result<()> {
    let mut errors: Vec<PolicyErrors> = Vec::new();
    for (policy, results) in run_all(set, detectors) {
        if policy.tests.is_empty() {
            tally.nameless.push(format!("`{}`", policy.name));
            tally.untested.insert(policy.file.clone());
        }
        match results {
            Ok(results) => {
                for result in results {
                    if result.passed() {
                        tally.passed += 1;
                    } else {
                        tally.failed += 1;
                        tally.failing.insert(policy.file.clone());
                    }
                    tell(&result, output)?;
                }
            }
            Err(error) => errors.push(error),
        }
    }
    match PolicyErrors::join(errors) {
        Some(errors) => Err(errors.into()),
        None => Ok(()),
    }
}

fn tell(result: &TestResult, output: &mut Output) -> Result<()> {
    if output.format == Format::Json {
        return output.json(&json!({
            "policy": result.policy,
            "test": result.name,
            "file": result.file,
            "line": result.line,
            "passed": result.passed(),
            "failure": result.failure,
        }));
    }
    match &result.failure {
        Some(failure) => output.line(&format!(
            "{}:{}: `{}` of `{}` failed\n{failure}\n",
            result.file, result.line, result.name, result.policy
        )),
        None => Ok(()),
    }
}

/// What came of rows so far.
#[derive(Default)]
struct Rows {
    turned: u64,
    half: u64,
    missed: u64,
    untried: u64,
}

impl Rows {
    fn add(&mut self, coverage: &Coverage, output: &mut Output) -> Result<()> {
        for row in &coverage.rows {
            if row.is_missed() {
                self.missed += 1;
            } else if row.is_turned() {
                self.turned += 1;
            } else if row.always.is_none() && row.never.is_none() {
                self.untried += 1;
            } else {
                self.half += 1;
            }
            if output.format == Format::Json {
                output.json(&json!({
                    "policy": coverage.policy,
                    "row": row.text,
                    "file": coverage.file,
                    "line": row.line,
                    "column": row.column,
                    "always": row.always,
                    "never": row.never,
                }))?;
            } else if row.is_missed() {
                output.line(&missing(coverage, row))?;
            }
        }
        Ok(())
    }

    fn say(&self, output: &mut Output) -> Result<()> {
        let all = self.turned + self.half + self.missed;
        let share = (self.turned * 100).checked_div(all).unwrap_or(100);
        if output.format == Format::Json {
            return output.json(&json!({
                "rows": all, "turned": self.turned, "half": self.half, "missed": self.missed,
                "untried": self.untried, "percent": share,
            }));
        }
        if all + self.untried == 0 {
            output.say("no rows were tried: it is done for policies whose tests pass");
            return Ok(());
        }
        let mut text = format!(
            "{}: {} turned by tests ({share}%), {} noticed only one way, {} not at all",
            counted(all, "row", "rows"),
            self.turned,
            self.half,
            self.missed
        );
        if self.untried > 0 {
            text.push_str(&format!("; {} can't be tried", self.untried));
        }
        output.say(&text);
        Ok(())
    }
}

fn missing(coverage: &Coverage, row: &RowCoverage) -> String {
    const LONGEST: usize = 80;
    let mut text: String = row.text.chars().take(LONGEST).collect();
    if text.len() < row.text.len() {
        text.push('…');
    }
    format!(
        "{}:{}:{}: no test of `{}` notices whether this row holds: {text}",
        coverage.file, row.line, row.column, coverage.policy
    )
}
