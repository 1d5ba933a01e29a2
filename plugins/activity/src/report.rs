//! Puts a finding into words.
//!
//! What is said of activities at hand is drawn from the rows of the batch; the alert's identity and
//! evidence do not depend on it. What is decided afterwards has no activities at hand any more.

use casbah_model::{Batch, time};
use casbah_when::duration::spoken;
use casbah_when::words::{capital, cut, listed, particulars, sentence, verbs};
use casbah_when::{Field, Plan};

use crate::rule::{Limit, Measure, Rule, Side};
use crate::settings::{Window, Words};

/// What there is to say about a window that fired.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) window: &'a Window,
    /// What was counted, or the times of the steps.
    pub(crate) facts: &'a [i64],
    /// Rows of the batch at hand that belong to it; none of what is decided afterwards.
    pub(crate) at_hand: Option<(&'a Batch, &'a [u32])>,
}

impl Told<'_> {
    /// The sentence about it.
    pub(crate) fn summary(&self) -> String {
        match &self.window.words {
            Words::Repeat => self.repeated(),
            Words::Steps { steps, nots, ordered } => self.steps(steps, nots, *ordered),
            Words::Absence { when, expected } => {
                let within = spoken(self.window.rule.within);
                match expected {
                    Some(expected) => {
                        format!("{}: {expected} did not follow within {within}", capital(when))
                    }
                    None => format!("{}: nothing more of it within {within}", capital(when)),
                }
            }
        }
    }

    fn repeated(&self) -> String {
        let Rule { measure, within, .. } = &self.window.rule;
        let within = spoken(*within);
        let peak = self.facts.first().copied().unwrap_or(0);
        let field = self.window.value.and_then(|source| self.plan.field(source)).map(Field::name);
        let verbs = self.at_hand.map(|(batch, rows)| verbs(batch, rows)).unwrap_or_default();
        match measure {
            Measure::Sum(_, limit) => format!(
                "{}: {} adds up to {} within {within} (threshold: {})",
                capital(&verbs),
                cut(field.unwrap_or_default()),
                quantity(peak),
                compared(limit)
            ),
            Measure::Average(_, limit) => format!(
                "The average of {} is {} within {within} (threshold: {})",
                cut(field.unwrap_or_default()),
                quantity(peak),
                compared(limit)
            ),
            Measure::Percentile(_, of, limit) => format!(
                "{of} percent of {} are at most {} within {within} (threshold: {})",
                cut(field.unwrap_or_default()),
                quantity(peak),
                compared(limit)
            ),
            _ => counted(&verbs, field, peak, &within, self.window.rule.least()),
        }
    }

    fn steps(&self, steps: &[String], nots: &[(usize, String)], ordered: bool) -> String {
        let within = spoken(self.window.rule.within);
        if !ordered {
            let all: Vec<&str> = steps.iter().map(String::as_str).collect();
            return format!("{} within {within}", capital(&all.join(" and ")));
        }
        let mut sentence = String::new();
        for (index, step) in steps.iter().enumerate() {
            if index > 0 {
                sentence.push_str(", then ");
            }
            sentence.push_str(step);
            let done = index + 1;
            for (_, not) in nots.iter().filter(|(after, _)| *after == done) {
                let last = done == steps.len();
                sentence.push_str(if last { ", not followed by " } else { " without " });
                sentence.push_str(not);
            }
        }
        let waits = nots.iter().any(|(after, _)| *after == steps.len());
        let comma = if waits { "," } else { "" };
        format!("{}{comma} within {within}", capital(&sentence))
    }

    /// Numbers and texts behind the sentence.
    pub(crate) fn details(&self, dropped: bool, early: bool) -> Vec<(String, String)> {
        let mut details = Details::default();
        let rule = &self.window.rule;
        let peak = self.facts.first().copied().unwrap_or(0);
        let field = self.window.value.and_then(|source| self.plan.field(source)).map(Field::name);
        match &rule.measure {
            Measure::Count(least) | Measure::Distinct(least) => {
                details.add("count", peak.to_string());
                details.add("threshold", least.to_string());
            }
            Measure::Sum(_, limit)
            | Measure::Average(_, limit)
            | Measure::Percentile(_, _, limit) => {
                let name = match rule.measure {
                    Measure::Sum(..) => "sum",
                    Measure::Average(..) => "average",
                    _ => "percentile",
                };
                details.add(name, quantity(peak));
                details.add("threshold", compared(limit));
                details.add("of", cut(field.unwrap_or_default()));
            }
            Measure::Together(_) => details.add("count", peak.to_string()),
            Measure::Sequence(_) => self.times(&mut details),
        }
        details.add("within", spoken(rule.within));
        if let (Measure::Distinct(_), Some(field)) = (&rule.measure, field) {
            details.add("distinct", cut(field));
        }
        if dropped {
            let why = "more activities than are remembered; the earliest were dropped";
            details.add("dropped", why.to_owned());
        }
        if early {
            let why = "more than can be waited for; it was decided before its time";
            details.add("early", why.to_owned());
        }
        if let Some((batch, rows)) = self.at_hand {
            details.0.extend(particulars(batch, rows));
        }
        details.0
    }

    /// When the steps were done, and what did not come until when.
    fn times(&self, details: &mut Details) {
        let first = self.facts.first().copied().unwrap_or(0);
        let until = || time::format(first.saturating_add(self.window.rule.within));
        match &self.window.words {
            Words::Steps { steps, nots, .. } => {
                let told: Vec<String> = steps
                    .iter()
                    .zip(self.facts)
                    .map(|(step, &at)| format!("{step} at {}", time::format(at)))
                    .collect();
                details.add("steps", told.join("; "));
                let last: Vec<&str> = nots
                    .iter()
                    .filter(|(after, _)| *after == steps.len())
                    .map(|(_, not)| not.as_str())
                    .collect();
                if !last.is_empty() {
                    details.add("missing", format!("{} until {}", listed(&last), until()));
                }
            }
            Words::Absence { when, expected } => {
                details.add("since", time::format(first));
                let what = expected.as_deref().unwrap_or(when);
                details.add("missing", format!("{what} until {}", until()));
            }
            Words::Repeat => {}
        }
    }
}

#[derive(Default)]
struct Details(Vec<(String, String)>);

impl Details {
    fn add(&mut self, name: &str, value: String) {
        if !value.is_empty() {
            self.0.push((name.to_owned(), value));
        }
    }
}

/// The sentence about activities, or distinct values, that were counted.
fn counted(verbs: &str, distinct: Option<&str>, peak: i64, within: &str, least: usize) -> String {
    let rest = format!("within {within} (threshold {least})");
    let noun = match distinct {
        None => return format!("{} {peak} times {rest}", capital(verbs)),
        Some("object" | "object.name") => {
            return format!("{peak} different objects {verbs} {rest}");
        }
        Some("recipient" | "recipient.id") => "recipients".to_owned(),
        Some("recipient.domain") => "domains of recipients".to_owned(),
        Some("ip") => "addresses".to_owned(),
        Some("country") => "countries".to_owned(),
        Some("actor" | "actor.id" | "actor.email") => "actors".to_owned(),
        Some(other) => format!("values of {}", cut(other)),
    };
    format!("{} with {peak} different {noun} {rest}", capital(verbs))
}

/// The sentence about activities that are findings by themselves.
pub(crate) fn single(batch: &Batch, rows: &[u32]) -> String {
    match rows {
        [row] => sentence(batch, *row as usize),
        _ => format!("{} {} times", capital(&verbs(batch, rows)), rows.len()),
    }
}

/// Numbers and texts behind that sentence.
pub(crate) fn single_details(batch: &Batch, rows: &[u32]) -> Vec<(String, String)> {
    let mut details = vec![("count".to_owned(), rows.len().to_string())];
    details.extend(particulars(batch, rows));
    details
}

/// What a quantity is compared with: `above 1000`.
fn compared(limit: &Limit) -> String {
    let side = match limit.side {
        Side::Above => "above",
        Side::AtLeast => "at least",
        Side::Below => "below",
        Side::AtMost => "at most",
    };
    format!("{side} {}", quantity(limit.value))
}

/// Thousandths as a number, without zeros at its end.
fn quantity(thousandths: i64) -> String {
    let (whole, rest) = (thousandths.unsigned_abs() / 1000, thousandths.unsigned_abs() % 1000);
    let sign = if thousandths < 0 { "-" } else { "" };
    let text = format!("{sign}{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
