//! A made-up log, and a detector that is run over it natively.

#![allow(dead_code, clippy::allow_attributes, reason = "every test file uses its own part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

use casbah_model::Finding;
use casbah_novelty::Novelty;
use casbah_plugin::{Batch, BatchBuilder, Trial};

pub(crate) const DAY: i64 = 86_400_000;
/// Monday, 5 January 2026, 00:00 UTC.
pub(crate) const MONDAY: i64 = 1_767_571_200_000;

/// One activity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) sequence: u64,
    pub(crate) person: String,
    pub(crate) country: String,
    pub(crate) app: &'static str,
}

pub(crate) fn row(time: i64, person: &str, country: &str) -> Row {
    Row {
        time,
        sequence: 0,
        person: person.to_owned(),
        country: country.to_owned(),
        app: "smartsheet",
    }
}

pub(crate) fn batch(rows: &[Row]) -> Batch {
    let mut builder = BatchBuilder::new();
    for row in rows {
        builder.begin_row();
        builder.integer("time", row.time);
        builder.integer("sequence", row.sequence as i64);
        builder.text("kind", "view");
        builder.text("app", row.app);
        builder.text("person", &row.person);
        if !row.country.is_empty() {
            builder.text("country", &row.country);
        }
    }
    builder.finish()
}

/// A detector with its state.
pub(crate) struct Run(Trial<Novelty>);

impl Deref for Run {
    type Target = Trial<Novelty>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Run {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

pub(crate) fn settings(more: &str) -> String {
    format!(r#"{{"when": [{{"field": "kind", "is": "view"}}], "quiet": 86400000, {more}}}"#)
}

impl Run {
    pub(crate) fn new(more: &str) -> Self {
        let trial = Trial::configure(&[settings(more)]);
        Self(trial.unwrap_or_else(|problems| panic!("{problems:?}")))
    }

    pub(crate) fn feed(&mut self, rows: &[Row]) {
        self.try_feed(rows).unwrap_or_else(|error| panic!("{error}"));
    }

    pub(crate) fn try_feed(&mut self, rows: &[Row]) -> Result<(), String> {
        self.try_feed_batch(&batch(rows))
    }

    pub(crate) fn try_feed_batch(&mut self, batch: &Batch) -> Result<(), String> {
        self.0.feed(batch).map_err(|error| error.to_string())
    }

    /// What alerts there are: group, start, score, behavior, and the times of their activities.
    pub(crate) fn alerts(&self) -> BTreeMap<(Vec<String>, i64), (String, Vec<i64>)> {
        let mut alerts: BTreeMap<_, (String, Vec<i64>)> = BTreeMap::new();
        for finding in &self.findings {
            let group = finding.group.iter().map(|(_, value)| value.clone()).collect();
            let (score, times) = alerts.entry((group, finding.start)).or_default();
            // Where several people make one alert, the strangest of them counts.
            *score = std::mem::take(score).max(detail(finding, "score").to_owned());
            times.extend(finding.evidence.iter().map(|evidence| evidence.time));
            times.sort_unstable();
        }
        alerts
    }
}

pub(crate) fn detail<'a>(finding: &'a Finding, name: &str) -> &'a str {
    finding.details.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

/// Numbers rows in the order in which they arrive.
pub(crate) fn arrived(mut rows: Vec<Row>) -> Vec<Row> {
    for (place, row) in rows.iter_mut().enumerate() {
        row.sequence = place as u64 + 1;
    }
    rows
}

/// The days on which rows happened.
pub(crate) fn days<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeSet<i64> {
    rows.map(|row| row.time.div_euclid(DAY)).collect()
}
