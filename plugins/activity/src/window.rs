//! Measures the activities of one key in windows of event time.
//!
//! The window of an instant `t`, which is the time of an activity, is `(t - within, t]`.
//!
//! It does not say what becomes of the windows that fire: that is `rule`'s work.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use crate::entry::Entry;
use crate::rule::{Measure, Rule};
use crate::steps::{self, Class, MOST};

#[cfg(test)]
mod tests;

/// A window that fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The instant.
    pub(crate) time: i64,
    /// Where its activities stand.
    pub(crate) window: Range<usize>,
    /// What was measured: a number, or a quantity in thousandths.
    pub(crate) peak: i64,
}

/// The windows that fire, by time: all, or those that can hold an activity between the two times.
pub(crate) fn hits(rule: &Rule, entries: &[Entry], span: Option<(i64, i64)>) -> Vec<Hit> {
    let mut hits = Vec::new();
    if entries.len() < rule.least() {
        return hits;
    }
    let (first, beyond) = match span {
        None => (i64::MIN, None),
        Some((first, last)) => (first, Some(last.saturating_add(rule.within))),
    };
    let mut next = entries.partition_point(|entry| entry.time < first);
    let mut low = entries
        .get(next)
        .map_or(0, |entry| entries.partition_point(|other| other.time <= rule.before(entry.time)));
    let mut inside = Inside::new(&rule.measure);
    inside.add(entries.get(low..next).unwrap_or_default());
    while let Some(instant) = entries.get(next).map(|entry| entry.time) {
        if beyond.is_some_and(|beyond| is_beyond(rule, instant, beyond)) {
            break;
        }
        let start = next;
        let behind = entries.get(start..).unwrap_or_default();
        next += behind.iter().take_while(|entry| entry.time == instant).count();
        let before = rule.before(instant);
        let leaving = entries.get(low..next).unwrap_or_default();
        let left = leaving.iter().take_while(|entry| entry.time <= before).count();
        inside.add(entries.get(start..next).unwrap_or_default());
        inside.remove(entries.get(low..low + left).unwrap_or_default());
        low += left;
        if let Some(peak) = inside.measured(&rule.measure, next - low) {
            hits.push(Hit { time: instant, window: low..next, peak });
        }
    }
    hits
}

/// Whether the window of an instant lies behind all that is new.
fn is_beyond(rule: &Rule, instant: i64, beyond: i64) -> bool {
    #[cfg(test)]
    if rule.planted == crate::rule::Planted::Closed {
        return instant > beyond;
    }
    let _ = rule;
    instant >= beyond
}

/// What lies in the window, as far as the measure asks.
enum Inside {
    /// Their number is enough.
    Number,
    /// How many times each value.
    Values(Times<u64>),
    /// The sum of the quantities.
    Sum(i128),
    /// The quantities in order.
    Sorted(Vec<i64>),
    /// How many can be which steps.
    Steps(Times<u8>),
}

/// How many times each is there.
type Times<T> = HashMap<T, u32, BuildHasherDefault<Same>>;

impl Inside {
    fn new(measure: &Measure) -> Self {
        match measure {
            Measure::Count(_) | Measure::Sequence(_) => Self::Number,
            Measure::Distinct(_) => Self::Values(Times::default()),
            Measure::Sum(..) | Measure::Average(..) => Self::Sum(0),
            Measure::Percentile(..) => Self::Sorted(Vec::new()),
            Measure::Together(_) => Self::Steps(Times::default()),
        }
    }

    fn add(&mut self, entries: &[Entry]) {
        match self {
            Self::Number => {}
            Self::Values(times) => {
                entries.iter().for_each(|entry| *times.entry(entry.value).or_insert(0) += 1);
            }
            Self::Sum(sum) => entries.iter().for_each(|entry| *sum += i128::from(entry.quantity())),
            Self::Sorted(sorted) => {
                for entry in entries {
                    let place = sorted.partition_point(|other| *other < entry.quantity());
                    sorted.insert(place, entry.quantity());
                }
            }
            Self::Steps(times) => {
                entries.iter().for_each(|entry| *times.entry(entry.role.steps).or_insert(0) += 1);
            }
        }
    }

    fn remove(&mut self, entries: &[Entry]) {
        match self {
            Self::Number => {}
            Self::Values(times) => entries.iter().for_each(|entry| less(times, entry.value)),
            Self::Sum(sum) => entries.iter().for_each(|entry| *sum -= i128::from(entry.quantity())),
            Self::Sorted(sorted) => {
                for entry in entries {
                    if let Ok(place) = sorted.binary_search(&entry.quantity()) {
                        sorted.remove(place);
                    }
                }
            }
            Self::Steps(times) => entries.iter().for_each(|entry| less(times, entry.role.steps)),
        }
    }

    /// What is measured, if it makes the window fire.
    fn measured(&self, measure: &Measure, number: usize) -> Option<i64> {
        match (measure, self) {
            (Measure::Count(least), _) => (number >= *least).then_some(number as i64),
            (Measure::Distinct(least), Self::Values(times)) => {
                (times.len() >= *least).then_some(times.len() as i64)
            }
            (Measure::Sum(least, limit), Self::Sum(sum)) => {
                (number >= *least && limit.holds(*sum, 1)).then(|| fit(*sum))
            }
            (Measure::Average(least, limit), Self::Sum(sum)) => {
                let held = number >= (*least).max(1) && limit.holds(*sum, number);
                held.then(|| fit(sum.div_euclid(number as i128)))
            }
            (Measure::Percentile(least, of, limit), Self::Sorted(sorted)) => {
                let place = (number * usize::from(*of)).div_ceil(100).max(1) - 1;
                let quantity = *sorted.get(place)?;
                (number >= *least && limit.holds(quantity.into(), 1)).then_some(quantity)
            }
            (Measure::Together(wanted), Self::Steps(times)) => {
                let classes: Vec<Class> = times
                    .iter()
                    .map(|(&mask, &number)| (mask, number.min(MOST as u32) as u8))
                    .collect();
                let all = u8::MAX >> (MOST - usize::from(*wanted).clamp(1, MOST));
                steps::covers(&classes, all).then_some(number as i64)
            }
            _ => None,
        }
    }
}

fn fit(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

fn less<T: Eq + std::hash::Hash>(times: &mut Times<T>, value: T) {
    if let Some(number) = times.get_mut(&value) {
        *number -= 1;
        if *number == 0 {
            times.remove(&value);
        }
    }
}

/// The values are hashes already, or few.
#[derive(Clone, Copy, Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
