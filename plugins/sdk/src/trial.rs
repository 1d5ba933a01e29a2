//! A detector with its memory, in native code: what it finds in a whole log, batch by batch, as under a
//! host. For tests and measurements of detectors.
//!
//! It is not how a host evaluates: nothing is limited, kept or said to anybody.

use std::collections::{BTreeMap, BTreeSet};

use casbah_model::detector::{Detector as _, DetectorError, Problem};
use casbah_model::{Batch, Finding, StateKey};

use crate::{Detector, Native};

/// A configured detector, what it remembers, and what it has found.
pub struct Trial<D> {
    detector: Native<D>,
    /// The state of each key.
    pub states: BTreeMap<StateKey, Vec<u8>>,
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
}

/// What the findings of one policy, group and start come to: an alert, as a host makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Time and sequence of each activity that it rests on.
    pub evidence: BTreeSet<(i64, u64)>,
    /// Whether all that was found is a behavior.
    pub behavior: bool,
}

/// Alerts by policy, group and start.
pub type Alerts = BTreeMap<(u32, Vec<(String, String)>, i64), Alert>;

impl<D: Detector + Send> Trial<D> {
    /// Configures the detector with the settings of every policy, each a JSON text.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let detector = Native::configure(policies)?;
        Ok(Self { detector, states: BTreeMap::new(), findings: Vec::new() })
    }

    /// Evaluates a batch with the state that the batches before have left.
    ///
    /// # Errors
    /// What the detector says, and whatever it does that a host does not put up with: a key that is asked
    /// for twice, a change of a state that was not asked for.
    pub fn feed(&mut self, batch: &Batch) -> Result<(), DetectorError> {
        let states = &self.states;
        let (keys, outcome) = self.detector.evaluate(batch, &mut |keys| {
            keys.iter().map(|key| states.get(key).cloned().unwrap_or_default()).collect()
        })?;
        let wrong = |message: String| {
            let plugin = self.detector.description().name.clone();
            Err(DetectorError { plugin, message })
        };
        let mut asked = BTreeSet::new();
        if let Some(twice) = keys.iter().find(|key| !asked.insert(*key)) {
            return wrong(format!("the key {twice:?} is asked for twice"));
        }
        for (place, bytes) in outcome.changes {
            let Some(key) = keys.get(place as usize) else {
                return wrong(format!("state number {place} changes, but was not asked for"));
            };
            self.states.insert(key.clone(), bytes);
        }
        self.findings.extend(outcome.findings);
        Ok(())
    }
}

/// The alerts that findings come to.
///
/// # Errors
/// When an activity comes twice in one alert, or lies outside of what its finding says.
pub fn alerts(findings: &[Finding]) -> Result<Alerts, String> {
    let mut alerts = Alerts::new();
    for finding in findings {
        let key = (finding.policy, finding.group.clone(), finding.start);
        let none = Alert { evidence: BTreeSet::new(), behavior: true };
        let alert = alerts.entry(key).or_insert(none);
        alert.behavior &= finding.behavior;
        for one in &finding.evidence {
            if !alert.evidence.insert((one.time, one.sequence)) {
                return Err(format!("{one:?} comes twice"));
            }
            if !(finding.first..=finding.last).contains(&one.time) {
                return Err(format!("{one:?} is outside of {} to {}", finding.first, finding.last));
            }
        }
    }
    Ok(alerts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DetectorDescription, Outcome};
    use casbah_model::Evidence;

    /// Asks for the keys that its settings name, and changes the state of the place that they name.
    #[derive(Default)]
    struct Asking(Vec<u32>);

    impl Detector for Asking {
        fn describe() -> DetectorDescription {
            DetectorDescription { name: "asking".to_owned(), ..DetectorDescription::default() }
        }

        fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
            Ok(Self(policies.iter().filter_map(|one| one.parse().ok()).collect()))
        }

        fn begin(&mut self, _: Batch) -> Result<Vec<StateKey>, String> {
            let key = |number: &u32| StateKey { policy: 0, key: number.to_string() };
            Ok(self.0.iter().skip(1).map(key).collect())
        }

        fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String> {
            let place = self.0[0];
            let before = states.get(place as usize).cloned().unwrap_or_default();
            let changes = vec![(place, [before, vec![7]].concat())];
            Ok(Outcome { changes, ..Outcome::default() })
        }
    }

    fn fed(numbers: &[u32]) -> Result<Vec<Vec<u8>>, String> {
        let settings: Vec<String> = numbers.iter().map(u32::to_string).collect();
        let mut trial = Trial::<Asking>::configure(&settings).unwrap();
        for _ in 0..2 {
            trial.feed(&Batch::default()).map_err(|error| error.to_string())?;
        }
        Ok(trial.states.into_values().collect())
    }

    #[test]
    fn state_is_kept_and_misuse_is_refused() {
        assert_eq!(fed(&[1, 5, 6]), Ok(vec![vec![7, 7]]));
        assert!(fed(&[0, 5, 5]).unwrap_err().contains("twice"));
        assert!(fed(&[2, 5, 6]).unwrap_err().contains("not asked for"));
    }

    #[test]
    fn evidence_comes_once_and_in_time() {
        let finding = |time: i64, sequence, behavior| Finding {
            first: 10,
            last: 20,
            behavior,
            evidence: vec![Evidence { time, sequence }],
            policy: 0,
            group: Vec::new(),
            start: 0,
            summary: String::new(),
            details: Vec::new(),
            severity: None,
        };
        let joined = alerts(&[finding(10, 1, true), finding(20, 2, false)]).unwrap();
        let alert = Alert { evidence: [(10, 1), (20, 2)].into(), behavior: false };
        assert_eq!(joined.into_values().collect::<Vec<_>>(), [alert]);
        assert!(alerts(&[finding(10, 1, true), finding(10, 1, true)]).is_err());
        assert!(alerts(&[finding(21, 1, true)]).is_err());
    }
}
