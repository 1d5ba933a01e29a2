//! Tells people what was found: both ends, the distance, and the speed it would take.

use casbah_model::{Batch, Evidence};
use casbah_plugin::time;
use casbah_when::duration::{DAY, HOUR, MINUTE};
use casbah_when::words;

use crate::judge::{self, Pair};
use crate::place::Place;
use crate::settings::Policy;

/// One end of a pair.
struct End<'a> {
    place: &'a Place,
    words: [&'a str; 3],
    mark: Evidence,
}

/// What a finding is told from.
pub(crate) struct Told<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) batch: &'a Batch,
    pub(crate) row: usize,
    pub(crate) who: String,
    pub(crate) place: &'a Place,
    pub(crate) words: [&'a str; 3],
    pub(crate) mark: Evidence,
    pub(crate) pair: &'a Pair,
}

impl End<'_> {
    /// `Berlin, DE (Deutsche Telekom, 203.0.113.7) at 2026-01-05T10:00:00Z`
    fn told(&self) -> String {
        let [_, owner, ip] = self.words.map(words::cut);
        let from: Vec<String> = [owner, ip]
            .into_iter()
            .filter(|text| !text.is_empty())
            .filter(|text| !text.is_empty())
            .collect();
        let from = if from.is_empty() { String::new() } else { format!(" ({})", from.join(", ")) };
        format!("{}{from} at {}", self.place(), time::format(self.mark.time))
    }

    fn country(&self) -> String {
        self.place.country()
    }

    fn place(&self) -> String {
        match self.words {
            ["", ..] => self.country(),
            [city, ..] => format!("{}, {}", words::cut(city), self.country()),
        }
    }
}

/// A whole number with commas.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `25 minutes`, `3.5 hours`.
fn spoken(ms: i64) -> String {
    if ms < 2 * HOUR {
        return format!("{} minutes", ms / MINUTE);
    }
    format!("{:.1} hours", ms as f64 / HOUR as f64)
}

impl<'a> Told<'a> {
    /// Both ends, the earlier first.
    fn ends(&self) -> [End<'a>; 2] {
        let here = End { place: self.place, words: self.words, mark: self.mark };
        let words = self.pair.words.each_ref().map(String::as_str);
        let there = End { place: &self.pair.other, words, mark: self.pair.mark };
        if there.mark.time <= here.mark.time { [there, here] } else { [here, there] }
    }

    /// What an alert is about that is about one end: its network and country.
    pub(crate) fn group(&self, about: &Place) -> Vec<(String, String)> {
        let ends = self.ends();
        let owner = ends.iter().find(|end| end.place == about).map_or("", |end| end.words[1]);
        let network = match about.network.number() {
            Some(number) => Some(("network.number", number.to_string())),
            // As it is remembered, whichever end came last.
            None if about.network.is_known() => Some(("network.owner", judge::shortened(owner))),
            None => None,
        };
        let network = network.map(|(column, value)| (column.to_owned(), value));
        network.into_iter().chain([("country".to_owned(), about.country())]).collect()
    }

    /// The network of an end in words: `Lagoon Net (Lagos, NG)`.
    pub(crate) fn network(&self, about: &Place) -> String {
        let ends = self.ends();
        match ends.iter().find(|end| end.place == about) {
            Some(end) if end.words[1].is_empty() => end.place(),
            Some(end) => format!("{} ({})", words::cut(end.words[1]), end.place()),
            None => about.country(),
        }
    }

    fn learned(&self) -> i64 {
        self.mark.time.max(self.pair.mark.time).saturating_sub(self.pair.since).div_euclid(DAY)
    }

    /// `1,200 km/h`
    fn needed(&self) -> String {
        if self.pair.ms < MINUTE {
            return "being in both at once".to_owned();
        }
        format!("{} km/h", grouped(self.pair.speed()))
    }

    /// One sentence.
    pub(crate) fn summary(&self) -> String {
        let [from, to] = self.ends();
        format!(
            "{} was in {} and in {}: at least {} km in {} takes {}, usually at most {}; accuracy {} and {} km; learned from {} days",
            self.who,
            from.told(),
            to.told(),
            grouped(self.pair.km),
            spoken(self.pair.ms),
            self.needed(),
            grouped(self.policy.speed),
            from.place.accuracy,
            to.place.accuracy,
            self.learned(),
        )
    }

    /// Numbers and texts behind the sentence.
    pub(crate) fn details(&self) -> Vec<(String, String)> {
        let ends = self.ends();
        let [from, to] = &ends;
        let mut details: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| {
            if !value.is_empty() {
                details.push((name.to_owned(), value));
            }
        };
        add("observed", self.needed());
        add("expected", format!("at most {} km/h", grouped(self.policy.speed)));
        add("distance-km", format!("{:.0}", self.pair.km));
        add("minutes", format!("{:.0}", self.pair.ms as f64 / MINUTE as f64));
        for (name, end) in [("from", from), ("to", to)] {
            let [_, owner, ip] = end.words.map(words::cut);
            add(name, end.place());
            add(&format!("{name}-time"), time::format(end.mark.time));
            add(&format!("{name}-network"), owner);
            add(&format!("{name}-ip"), ip);
            add(&format!("{name}-accuracy-km"), end.place.accuracy.to_string());
        }
        add("countries", ends.each_ref().map(End::country).join(", "));
        add("kinds", words::listed(&words::seen(self.batch, "kind", &[self.row as u32])));
        add("learned-days", self.learned().to_string());
        add("learned-since", time::format(self.pair.since));
        details
    }
}
