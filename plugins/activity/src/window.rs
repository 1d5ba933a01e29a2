//! Counts one key's activities in windows of event time.
//!
//! The instants at which a key fires are the times `t` of its activities for which the half-open
//! window `(t - within, t]` holds at least `count` of them. Adding an activity can only add
//! instants and evidence, never take any away: that is why alerts do not depend on the order of
//! arrival, as long as no activity comes later than `lateness`.
//!
//! It knows nothing of batches, columns or policies' filters.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use casbah_model::Evidence;

/// How activities are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// How many make an instant fire; at least 2.
    pub(crate) count: usize,
    /// Length of the window, ms.
    pub(crate) within: i64,
    /// How much older than the newest activity of its key an activity may be, ms.
    pub(crate) lateness: i64,
    /// Length of a bucket, ms; at least `within`.
    pub(crate) quiet: i64,
    /// Count distinct values instead of activities.
    pub(crate) distinct: bool,
    /// A planted mistake: takes the window as closed, to see that the tests would notice.
    #[cfg(test)]
    pub(crate) closed: bool,
}

/// An activity that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When it happened, ms since 1970.
    pub(crate) time: i64,
    /// Its place in the log.
    pub(crate) sequence: u64,
    /// Hash of its distinct value; 0 when activities are counted.
    pub(crate) value: u64,
    /// Where it has been reported: [`OWN`], [`NEXT`], and [`FRESH`] while it is new.
    pub(crate) marks: u8,
}

/// Reported in the bucket of its own time.
pub(crate) const OWN: u8 = 1;
/// Reported in the bucket after that.
pub(crate) const NEXT: u8 = 2;
/// Came with this batch; never kept.
const FRESH: u8 = 4;

/// What is remembered about a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Activities by (time, sequence).
    pub(crate) entries: Vec<Entry>,
    /// Activities have been dropped because there were too many.
    pub(crate) overflowed: bool,
}

/// New evidence of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fired {
    /// Start of the bucket.
    pub(crate) start: i64,
    /// Activities not reported in this bucket before, by time.
    pub(crate) evidence: Vec<Evidence>,
    /// The most that was counted in one window.
    pub(crate) peak: usize,
}

impl Rule {
    /// How many activities of a key are remembered at most.
    pub(crate) fn limit(&self) -> usize {
        (4 * self.count).max(4096)
    }

    /// Start of the bucket of a time.
    pub(crate) fn bucket(&self, time: i64) -> i64 {
        time.div_euclid(self.quiet).saturating_mul(self.quiet)
    }

    /// The latest time that is *not* in the window of an instant.
    fn before(&self, instant: i64) -> i64 {
        #[cfg(test)]
        if self.closed {
            return instant.saturating_sub(self.within).saturating_sub(1);
        }
        instant.saturating_sub(self.within)
    }

    /// Takes in activities in the order of their arrival, and returns what is new by bucket.
    pub(crate) fn advance(
        &self,
        held: &mut Held,
        arrivals: impl Iterator<Item = Entry>,
    ) -> Vec<Fired> {
        let Some(span) = self.admit(held, arrivals) else { return Vec::new() };
        let fired = self.fire(&mut held.entries, span);
        self.forget(held);
        fired
    }

    /// Takes in what is not too late, and returns the times of the first and last admitted.
    fn admit(&self, held: &mut Held, arrivals: impl Iterator<Item = Entry>) -> Option<(i64, i64)> {
        let entries = &mut held.entries;
        let (mut span, mut sorted) = (None::<(i64, i64)>, true);
        let mut last = entries.last().map(|entry| (entry.time, entry.sequence));
        let mut newest = last.map(|(time, _)| time);
        for entry in arrivals {
            if newest.is_some_and(|newest| entry.time < newest.saturating_sub(self.lateness)) {
                continue;
            }
            newest = newest.max(Some(entry.time));
            sorted &= last < Some((entry.time, entry.sequence));
            last = Some((entry.time, entry.sequence));
            span = Some(match span {
                None => (entry.time, entry.time),
                Some((first, last)) => (first.min(entry.time), last.max(entry.time)),
            });
            entries.push(Entry { marks: FRESH, ..entry });
        }
        if !sorted {
            // A known activity comes before its repetition, which goes.
            entries.sort_unstable_by_key(|entry| (entry.time, entry.sequence, entry.marks & FRESH));
            entries.dedup_by_key(|entry| (entry.time, entry.sequence));
        }
        span
    }

    /// Looks at all instants whose window can hold a new activity.
    fn fire(&self, entries: &mut [Entry], (first, last): (i64, i64)) -> Vec<Fired> {
        let mut fired: Vec<Fired> = Vec::new();
        if entries.len() < self.count {
            return fired;
        }
        let mut next = entries.partition_point(|entry| entry.time < first);
        let mut low = entries.get(next).map_or(0, |entry| {
            entries.partition_point(|other| other.time <= self.before(entry.time))
        });
        let mut values = Values::default();
        if self.distinct {
            values.add(entries.get(low..next).unwrap_or_default());
        }
        // Everything below this index has been marked for the bucket that fired last.
        let mut marked = 0;
        let beyond = last.saturating_add(self.within);
        while let Some(instant) = entries.get(next).map(|entry| entry.time).filter(|&time| {
            #[cfg(test)]
            if self.closed {
                return time <= beyond;
            }
            time < beyond
        }) {
            let start = next;
            let behind = entries.get(start..).unwrap_or_default();
            next += behind.iter().take_while(|entry| entry.time == instant).count();
            let before = self.before(instant);
            let leaving = entries.get(low..next).unwrap_or_default();
            let left = leaving.iter().take_while(|entry| entry.time <= before).count();
            let number = if self.distinct {
                values.add(entries.get(start..next).unwrap_or_default());
                values.remove(entries.get(low..low + left).unwrap_or_default());
                values.distinct()
            } else {
                next - low - left
            };
            low += left;
            if number < self.count {
                continue;
            }
            let bucket = self.bucket(instant);
            if fired.last().is_none_or(|fired| fired.start != bucket) {
                fired.push(Fired { start: bucket, evidence: Vec::new(), peak: 0 });
                marked = 0;
            }
            let Some(current) = fired.last_mut() else { continue };
            current.peak = current.peak.max(number);
            for entry in entries.get_mut(low.max(marked)..next).unwrap_or_default() {
                let mark = if self.bucket(entry.time) == bucket { OWN } else { NEXT };
                if entry.marks & mark == 0 {
                    entry.marks |= mark;
                    current.evidence.push(Evidence { time: entry.time, sequence: entry.sequence });
                }
            }
            marked = next;
        }
        fired.retain(|fired| !fired.evidence.is_empty());
        fired
    }

    /// Forgets what no activity to come can count with, and what is too much.
    fn forget(&self, held: &mut Held) {
        let entries = &mut held.entries;
        let Some(newest) = entries.last().map(|entry| entry.time) else { return };
        let horizon = self.before(newest.saturating_sub(self.lateness));
        let old = entries.partition_point(|entry| entry.time <= horizon);
        let surplus = entries.len().saturating_sub(self.limit());
        entries.drain(..old.max(surplus));
        // Said until the key has calmed down.
        let busy = entries.len() * 2 >= self.limit();
        held.overflowed = surplus > old || (held.overflowed && busy);
        for entry in entries {
            entry.marks &= !FRESH;
        }
    }
}

/// How many times each value lies in the window.
#[derive(Default)]
struct Values {
    counts: HashMap<u64, u32, BuildHasherDefault<Same>>,
}

impl Values {
    fn add(&mut self, entries: &[Entry]) {
        for entry in entries {
            *self.counts.entry(entry.value).or_insert(0) += 1;
        }
    }

    fn remove(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Some(count) = self.counts.get_mut(&entry.value) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&entry.value);
                }
            }
        }
    }

    fn distinct(&self) -> usize {
        self.counts.len()
    }
}

/// The values are hashes already.
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

#[cfg(test)]
mod tests;
