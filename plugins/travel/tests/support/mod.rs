//! A log of made-up sign-ins, and a detector that is run over it natively.

#![allow(dead_code, clippy::allow_attributes, reason = "every test file uses its own part of it")]

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};

use casbah_model::Finding;
use casbah_plugin::{Batch, BatchBuilder, Trial};
use casbah_travel::Travel;

pub(crate) const HOUR: i64 = 3_600_000;
pub(crate) const DAY: i64 = 24 * HOUR;
/// Monday, 5 January 2026, 00:00 UTC.
pub(crate) const MONDAY: i64 = 1_767_571_200_000;

/// Where somebody may be: country, coordinates, accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spot {
    pub(crate) country: &'static str,
    pub(crate) city: &'static str,
    pub(crate) at: Option<(f64, f64)>,
    pub(crate) accuracy: f64,
}

pub(crate) const BERLIN: Spot =
    Spot { country: "DE", city: "Berlin", at: Some((52.5, 13.4)), accuracy: 20.0 };
pub(crate) const MUNICH: Spot =
    Spot { country: "DE", city: "Munich", at: Some((48.1, 11.6)), accuracy: 20.0 };
pub(crate) const PARIS: Spot =
    Spot { country: "FR", city: "Paris", at: Some((48.9, 2.4)), accuracy: 10.0 };
pub(crate) const LISBON: Spot =
    Spot { country: "PT", city: "Lisbon", at: Some((38.7, -9.1)), accuracy: 50.0 };
pub(crate) const NEW_YORK: Spot =
    Spot { country: "US", city: "New York", at: Some((40.7, -74.0)), accuracy: 50.0 };
pub(crate) const TOKYO: Spot =
    Spot { country: "JP", city: "Tokyo", at: Some((35.7, 139.7)), accuracy: 100.0 };
pub(crate) const OSLO: Spot =
    Spot { country: "NO", city: "Oslo", at: Some((59.9, 10.8)), accuracy: 200.0 };
pub(crate) const SPOTS: [Spot; 7] = [BERLIN, MUNICH, PARIS, LISBON, NEW_YORK, TOKYO, OSLO];

/// One sign-in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) sequence: u64,
    pub(crate) person: String,
    pub(crate) spot: Spot,
    pub(crate) owner: String,
    pub(crate) ip: String,
    pub(crate) category: &'static str,
    pub(crate) tags: &'static str,
}

pub(crate) fn row(time: i64, person: &str, spot: Spot) -> Row {
    Row {
        time,
        sequence: 0,
        person: person.to_owned(),
        spot,
        owner: format!("{} Telecom", spot.country),
        ip: format!("198.51.{}.7", SPOTS.iter().position(|known| *known == spot).unwrap_or(99)),
        category: "",
        tags: "",
    }
}

pub(crate) fn batch(rows: &[Row]) -> Batch {
    let mut builder = BatchBuilder::new();
    for row in rows {
        builder.begin_row();
        builder.integer("time", row.time);
        builder.integer("sequence", row.sequence as i64);
        builder.text("kind", "login");
        builder.text("person", &row.person);
        builder.text("country", row.spot.country);
        builder.text("city", row.spot.city);
        if let Some((latitude, longitude)) = row.spot.at {
            builder.number("latitude", latitude);
            builder.number("longitude", longitude);
            builder.number("accuracy", row.spot.accuracy);
        }
        for (name, value) in [
            ("network.owner", row.owner.as_str()),
            ("ip", &row.ip),
            ("ip.category", row.category),
            ("ip.tags", row.tags),
        ] {
            if !value.is_empty() {
                builder.text(name, value);
            }
        }
    }
    builder.finish()
}

/// A detector with its state.
pub(crate) struct Run(Trial<Travel>);

impl Deref for Run {
    type Target = Trial<Travel>;

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
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!(r#"{{"when": [{{"field": "kind", "is": "login"}}], "quiet": 86400000{more}}}"#)
}

impl Run {
    pub(crate) fn new(more: &str) -> Self {
        let trial = Trial::configure(&[settings(more)]);
        Self(trial.unwrap_or_else(|problems| panic!("{problems:?}")))
    }

    pub(crate) fn feed(&mut self, rows: &[Row]) {
        self.try_feed(&batch(rows)).unwrap_or_else(|error| panic!("{error}"));
    }

    pub(crate) fn try_feed(&mut self, batch: &Batch) -> Result<(), String> {
        self.0.feed(batch).map_err(|error| error.to_string())
    }

    /// What alerts there are: whom they are about, and the start of their window.
    pub(crate) fn alerts(&self) -> BTreeSet<(String, i64)> {
        let alert = |finding: &Finding| {
            let group: Vec<&str> = finding.group.iter().map(|(_, value)| value.as_str()).collect();
            (group.join(" "), finding.start)
        };
        self.findings.iter().map(alert).collect()
    }
}

/// Numbers rows in the order in which they arrive.
pub(crate) fn arrived(mut rows: Vec<Row>) -> Vec<Row> {
    for (place, row) in rows.iter_mut().enumerate() {
        row.sequence = place as u64 + 1;
    }
    rows
}
