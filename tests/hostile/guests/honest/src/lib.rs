//! A detector that behaves: it counts activities by actor and names them all. The other policies'
//! detector in the tests, which must lose nothing when its neighbour misbehaves.

use std::collections::BTreeMap;

use casbah_plugin::model::detector::{DetectorDescription, Outcome, Problem};
use casbah_plugin::{Batch, Detector, Evidence, Finding, StateKey};

struct Honest {
    policies: u32,
    seen: BTreeMap<String, Vec<Evidence>>,
}

impl Detector for Honest {
    fn describe() -> DetectorDescription {
        DetectorDescription {
            name: "honest".to_owned(),
            version: "1.2.3".to_owned(),
            title: "Counts activities by actor".to_owned(),
            columns: ["sequence", "time", "actor.email"].map(str::to_owned).to_vec(),
            state_version: 1,
            ..DetectorDescription::default()
        }
    }

    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let problems: Vec<_> = policies
            .iter()
            .enumerate()
            .filter(|(_, policy)| *policy != "{}")
            .map(|(index, _)| Problem {
                policy: index as u32,
                pointer: "/count".to_owned(),
                message: "there is nothing to set".to_owned(),
            })
            .collect();
        if problems.is_empty() {
            Ok(Self { policies: policies.len() as u32, seen: BTreeMap::new() })
        } else {
            Err(problems)
        }
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        casbah_plugin::log("an honest line");
        for row in 0..batch.len() {
            self.seen.entry(batch.text("actor.email", row).to_owned()).or_default().push(
                Evidence {
                    time: batch.integer("time", row).unwrap_or_default(),
                    sequence: batch.integer("sequence", row).unwrap_or_default() as u64,
                },
            );
        }
        let keys =
            |policy| self.seen.keys().map(move |actor| StateKey { policy, key: actor.clone() });
        Ok((0..self.policies).flat_map(keys).collect())
    }

    fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String> {
        let mut outcome = Outcome::default();
        let keys =
            (0..self.policies).flat_map(|policy| self.seen.iter().map(move |seen| (policy, seen)));
        for (place, ((policy, (actor, evidence)), state)) in keys.zip(states).enumerate() {
            let before = match state.as_slice() {
                [] => 0,
                bytes => u64::from_le_bytes(bytes.try_into().map_err(|_| "a broken counter")?),
            };
            let count = before + evidence.len() as u64;
            outcome.changes.push((place as u32, count.to_le_bytes().to_vec()));
            outcome.findings.push(Finding {
                policy,
                group: vec![("actor.email".to_owned(), actor.clone())],
                start: 0,
                first: evidence.iter().map(|e| e.time).min().unwrap_or_default(),
                last: evidence.iter().map(|e| e.time).max().unwrap_or_default(),
                evidence: evidence.clone(),
                summary: format!("{actor} did {count} things"),
                details: vec![("count".to_owned(), count.to_string())],
                severity: None,
                behavior: false,
            });
        }
        Ok(outcome)
    }
}

casbah_plugin::export_detector!(Honest);
