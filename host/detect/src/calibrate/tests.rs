//! The line that a budget asks for, on logs whose scores are known.

use std::sync::Mutex;

use casbah_model::StateKey;
use casbah_model::detector::{Detector, DetectorDescription, DetectorError, Outcome};
use casbah_model::{Evidence, Finding};
use proptest::prelude::*;

use super::*;
use crate::group::ConfigureError;
use crate::policy::{PolicySet, PolicySource};
use crate::testing::{Act, MemoryStore, batch, tenant};

/// Scores every activity with the number of its object, and remembers what it was configured with.
#[derive(Default)]
struct Scoring {
    settings: Mutex<Vec<String>>,
}

/// With the line of every policy.
struct Configured(DetectorDescription, Vec<f64>);

impl Detector for Configured {
    fn description(&self) -> &DetectorDescription {
        &self.0
    }

    fn evaluate(
        &self,
        batch: &Batch,
        load: &mut dyn FnMut(&[StateKey]) -> Vec<Vec<u8>>,
    ) -> Result<(Vec<StateKey>, Outcome), DetectorError> {
        load(&[]);
        let finding = |(policy, line): (u32, f64), row: usize| {
            let (time, sequence) =
                (batch.integer("time", row).unwrap(), batch.integer("sequence", row).unwrap());
            let score = batch.text("object", row).trim_start_matches("sheet-").to_owned();
            let behavior = score.parse::<f64>().unwrap() < line;
            Finding {
                policy,
                group: vec![("actor".to_owned(), batch.text("actor", row).to_owned())],
                start: time / 86_400_000,
                first: time,
                last: time,
                evidence: vec![Evidence { time, sequence: sequence as u64 }],
                summary: String::new(),
                details: vec![("score".to_owned(), score), ("line".to_owned(), line.to_string())],
                severity: None,
                behavior,
            }
        };
        let policies = (0..).zip(self.1.iter().copied());
        let findings = policies
            .flat_map(|policy| (0..batch.len()).map(move |row| finding(policy, row)))
            .collect();
        Ok((Vec::new(), Outcome { findings, changes: Vec::new() }))
    }
}

fn description() -> DetectorDescription {
    DetectorDescription {
        name: "scoring".to_owned(),
        columns: vec!["*".to_owned()],
        settings: serde_json::json!({"properties": {"line": {}, "sensitivity": {}, "behaviors-from": {}}}),
        ..DetectorDescription::default()
    }
}

impl Detectors for Scoring {
    fn names(&self) -> Vec<String> {
        vec!["scoring".to_owned()]
    }

    fn describe(&self, _: &str) -> Option<DetectorDescription> {
        Some(description())
    }

    fn configure(&self, _: &str, policies: &[String]) -> Result<Arc<dyn Detector>, ConfigureError> {
        self.settings.lock().unwrap().extend(policies.iter().cloned());
        let line = |text: &String| {
            let settings: serde_json::Value = serde_json::from_str(text).unwrap();
            settings.get("line").map_or(5.0, |line| line.as_f64().unwrap())
        };
        Ok(Arc::new(Configured(description(), policies.iter().map(line).collect())))
    }
}

const POLICY: &str = "\
policy: strange
title: Strange
severity: low
detector: scoring
sensitivity: low
alert: {group: [actor], quiet: 24h}
";

#[test]
fn the_highest_score_of_every_alert_is_gathered() {
    let store = MemoryStore::new();
    let day = 86_400;
    store.append(batch(&[
        Act::new(0, "ana", "export", 3),
        Act::new(60, "ana", "export", 7),
        Act::new(120, "ana", "export", 5),
        Act::new(180, "bo", "export", 2),
    ]));
    store.append(batch(&[Act::new(14 * day, "ana", "export", 4)]));
    let detectors = Scoring::default();
    let source = PolicySource { file: "p.yaml".to_owned(), bytes: POLICY.as_bytes().to_vec() };
    let set = PolicySet::read(&[source], &detectors).unwrap();
    assert!(has_line(&set.policies()[0], &detectors));
    let mut heard = Vec::new();
    let found =
        calibrate(store.as_ref(), &tenant(), set.policies(), &detectors, &mut |done, of| {
            heard.push((done, of));
            true
        })
        .unwrap();
    assert_eq!(found[0].scores, [7.0, 4.0, 2.0]);
    assert_eq!((found[0].users, (found[0].to - found[0].from) / 1000), (2, 14 * day));
    assert_eq!(heard, [(4, 5), (5, 5)]);
    let last = detectors.settings.lock().unwrap().pop().unwrap();
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last.get("line"), Some(&serde_json::json!(1e9)));
    assert_eq!(last.get("sensitivity"), None, "it would stand in the way of the line");
    // Three alerts of two people in two weeks are 750 a week for every 1,000 people.
    assert_eq!(found[0].line_for(750.0).alerts, 3);
    assert_eq!(
        found[0].line_for(749.0),
        Line { budget: 749.0, line: 2.01, alerts: 2, rate: 500.0 }
    );
    // As it is, everything below 5 stays a behavior.
    assert_eq!((found[0].alerts, found[0].line, found[0].rate_now()), (1, Some(5.0), 250.0));
}

/// A rate drawn over the years since an account was closed would be far too low.
#[test]
fn news_of_the_directory_make_the_log_no_longer() {
    let mut builder = casbah_model::BatchBuilder::new();
    for (kind, time, person) in
        [("account-state", 1, "gone"), ("view", 500, "ana"), ("behavior", 900, "ana")]
    {
        builder.begin_row();
        builder.text("kind", kind);
        builder.integer("time", time);
        builder.text("person", person);
    }
    let (mut people, mut from, mut to) = (HashSet::new(), i64::MAX, i64::MIN);
    look(&builder.finish(), &mut people, &mut from, &mut to);
    assert_eq!((people.len(), from, to), (1, 500, 500));
}

#[test]
fn an_empty_log_has_a_line_too() {
    let detectors = Scoring::default();
    let source = PolicySource { file: "p.yaml".to_owned(), bytes: POLICY.as_bytes().to_vec() };
    let set = PolicySet::read(&[source], &detectors).unwrap();
    let found = calibrate(
        MemoryStore::new().as_ref(),
        &tenant(),
        set.policies(),
        &detectors,
        &mut |_, _| true,
    )
    .unwrap();
    assert_eq!(found[0].line_for(5.0), Line { budget: 5.0, line: 0.0, alerts: 0, rate: 0.0 });
}

proptest! {
    /// The line keeps what it promises, and a lower one by a hundredth or more would not.
    #[test]
    fn a_line_is_the_lowest_within_its_budget(
        hundredths in prop::collection::vec(0u32..2000, 0..60),
        budget in 0.0..200.0f64,
        users in 1u64..3000,
        days in 1i64..60,
    ) {
        let mut scores: Vec<f64> = hundredths.iter().map(|&score| f64::from(score) / 100.0).collect();
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        let to = days * 86_400_000;
        let calibration =
            Calibration { policy: String::new(), users, from: 0, to, alerts: 0, line: None, scores: scores.clone() };
        let chosen = calibration.line_for(budget);
        let above = |line: f64| scores.iter().filter(|&&score| score >= line).count() as u64;
        prop_assert_eq!(chosen.alerts, above(chosen.line));
        prop_assert!(chosen.rate <= budget);
        if chosen.alerts < scores.len() as u64 {
            let next = scores[chosen.alerts as usize];
            let rate = calibration.rate(above(next) as usize);
            prop_assert!(rate > budget, "{chosen:?} leaves out {next}");
        }
    }
}
