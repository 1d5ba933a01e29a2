//! What makes a key fire, and how its activities are taken in and forgotten.
//!
//! A rule fires at *instants*, which are times of activities. Some rules can only gain instants and
//! evidence by one more activity: these fire at once. The others (averages, percentiles, sequences
//! with a `not`) are decided when nothing can come any more that would change them. In both cases
//! alerts do not depend on the order of arrival, as long as nothing comes later than `lateness`.
//!
//! It knows nothing of batches, columns or policies' filters.

use crate::entry::{Entry, FRESH, Fired, Held, Instant, NEXT, OWN};
use crate::sequence::Sequence;
use crate::window::{self, Hit};

/// How activities are counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// What makes an instant fire.
    pub(crate) measure: Measure,
    /// Length of the window, ms.
    pub(crate) within: i64,
    /// How late an activity may come, ms.
    pub(crate) lateness: i64,
    /// Length of a bucket, ms; 0 where every instant is a bucket of its own.
    pub(crate) quiet: i64,
    /// Activities differ in severity.
    pub(crate) graded: bool,
    /// A planted mistake, to see that the tests would notice.
    #[cfg(test)]
    pub(crate) planted: Planted,
}

/// Mistakes that tests plant.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// None.
    Nothing,
    /// Takes the window as closed at both ends.
    Closed,
    /// Takes the order of arrival for the order of things that happen at the same time.
    Arrival,
    /// Decides as soon as the time is there, without waiting for what comes late.
    Hasty,
}

/// What is measured in the window of an instant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measure {
    /// At least so many activities.
    Count(usize),
    /// At least so many distinct values.
    Distinct(usize),
    /// At least so many activities whose quantities add up to what the limit says.
    Sum(usize, Limit),
    /// At least so many activities whose quantities are on average what the limit says.
    Average(usize, Limit),
    /// At least so many activities, and the quantity that so many percent of them do not exceed is
    /// what the limit says.
    Percentile(usize, u8, Limit),
    /// Activities for all of so many steps, in any order.
    Together(u8),
    /// Activities for all steps in their order.
    Sequence(Sequence),
}

/// What a measured quantity is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// How.
    pub(crate) side: Side,
    /// With what, in thousandths.
    pub(crate) value: i64,
}

/// How a quantity is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// More.
    Above,
    /// As much or more.
    AtLeast,
    /// Less.
    Below,
    /// As much or less.
    AtMost,
}

impl Limit {
    /// Whether a sum of `number` quantities is, divided by it, on the right side.
    pub(crate) fn holds(&self, sum: i128, number: usize) -> bool {
        let limit = i128::from(self.value) * number as i128;
        match self.side {
            Side::Above => sum > limit,
            Side::AtLeast => sum >= limit,
            Side::Below => sum < limit,
            Side::AtMost => sum <= limit,
        }
    }
}

/// What an entry's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// Nothing.
    None,
    /// 64 bits of a hash.
    Hashes,
    /// A number, small as a rule.
    Quantities,
}

impl Rule {
    /// How many activities of a key are remembered at most.
    pub(crate) fn limit(&self) -> usize {
        (4 * self.least()).max(4096)
    }

    /// No window fires with fewer activities.
    pub(crate) fn least(&self) -> usize {
        match &self.measure {
            Measure::Count(least)
            | Measure::Distinct(least)
            | Measure::Sum(least, _)
            | Measure::Average(least, _)
            | Measure::Percentile(least, ..) => *least,
            Measure::Together(steps) => usize::from(*steps),
            Measure::Sequence(sequence) => usize::from(sequence.steps),
        }
    }

    /// What entries hold as their value.
    pub(crate) fn values(&self) -> Values {
        match self.measure {
            Measure::Distinct(_) => Values::Hashes,
            Measure::Sum(..) | Measure::Average(..) | Measure::Percentile(..) => Values::Quantities,
            Measure::Count(_) | Measure::Together(_) | Measure::Sequence(_) => Values::None,
        }
    }

    /// Whether entries stand for something beside being there.
    pub(crate) fn has_roles(&self) -> bool {
        self.graded || matches!(self.measure, Measure::Together(_) | Measure::Sequence(_))
    }

    /// Whether one more activity can take instants away, so that they are decided afterwards.
    pub(crate) fn is_deferred(&self) -> bool {
        match &self.measure {
            Measure::Average(..) | Measure::Percentile(..) => true,
            Measure::Sequence(sequence) => sequence.nots != 0,
            _ => false,
        }
    }

    /// Start of the bucket of a time.
    pub(crate) fn bucket(&self, time: i64) -> i64 {
        match self.quiet {
            0 => time,
            quiet => time.div_euclid(quiet).saturating_mul(quiet),
        }
    }

    /// The latest time that is *not* in the window of an instant.
    pub(crate) fn before(&self, instant: i64) -> i64 {
        #[cfg(test)]
        if self.planted == Planted::Closed {
            return instant.saturating_sub(self.within).saturating_sub(1);
        }
        instant.saturating_sub(self.within)
    }

    /// Takes in activities in the order of their arrival, and returns what is new by bucket. For
    /// rules that fire at once.
    pub(crate) fn advance(
        &self,
        held: &mut Held,
        arrivals: impl Iterator<Item = Entry>,
    ) -> Vec<Fired> {
        let newest = held.entries.last().map(|entry| entry.time);
        let mut newest = newest.unwrap_or(i64::MIN);
        let admitted = self.admit(held, arrivals, |entry| {
            let oldest = newest.saturating_sub(self.lateness);
            newest = newest.max(entry.time);
            oldest
        });
        let Some((span, _)) = admitted else { return Vec::new() };
        let mut fired = match &self.measure {
            Measure::Sequence(sequence) => self.new_steps(sequence, &mut held.entries, span),
            _ => self.new_hits(&mut held.entries, span),
        };
        let Some(newest) = held.entries.last().map(|entry| entry.time) else { return fired };
        self.forget(held, self.before(newest.saturating_sub(self.lateness)));
        for fired in &mut fired {
            fired.dropped = held.overflowed;
        }
        fired
    }

    /// Takes in activities in the order of their arrival, each with the time before which nothing
    /// may come any more. Returns all instants later than some time as they are now; at that time
    /// and before nothing has changed. `None` when all of them came too late, and nothing has
    /// changed at all. For rules that are decided afterwards.
    pub(crate) fn consider(
        &self,
        held: &mut Held,
        arrivals: &[(Entry, i64)],
    ) -> Option<(i64, Vec<Instant>)> {
        let mut limits = arrivals.iter().map(|(_, oldest)| *oldest);
        let ((first, _), oldest) =
            self.admit(held, arrivals.iter().map(|(entry, _)| *entry), |_| {
                limits.next().unwrap_or(i64::MIN)
            })?;
        let changed = first.saturating_sub(self.within);
        // Their windows, and those of earlier instants that may have the same evidence. Forgetting
        // comes later: what is decided by this batch may be forgotten by it.
        let reach = changed.saturating_sub(self.within).saturating_sub(self.within);
        let start = held.entries.partition_point(|entry| entry.time <= reach);
        let entries = held.entries.get(start..).unwrap_or_default();
        let mut instants = match &self.measure {
            Measure::Sequence(sequence) => sequence.instants(self, entries),
            _ => self.instants(entries),
        };
        instants.retain(|instant| instant.time > changed);
        let back = self.within.saturating_mul(self.lookback());
        self.forget(held, oldest.saturating_sub(back));
        for instant in &mut instants {
            instant.fired.dropped = held.overflowed;
        }
        Some((changed, instants))
    }

    /// How many windows before the last decision an activity can still be of use.
    fn lookback(&self) -> i64 {
        match &self.measure {
            // What is undecided is as old as a window.
            Measure::Sequence(sequence) if sequence.steps == 1 => 1,
            // Undecided instants that are as old as a window, whose evidence is another one older, and
            // may have been that of instants that reach back a third one.
            Measure::Sequence(sequence) if sequence.waits() => 3,
            // As above, but instants are decided at their time.
            _ => 2,
        }
    }

    /// Takes in what is not older than `oldest` says, and returns the times of the first and last
    /// admitted, and what was said about the last one.
    fn admit(
        &self,
        held: &mut Held,
        arrivals: impl Iterator<Item = Entry>,
        mut oldest: impl FnMut(&Entry) -> i64,
    ) -> Option<((i64, i64), i64)> {
        let entries = &mut held.entries;
        let (mut admitted, mut sorted) = (None::<((i64, i64), i64)>, true);
        let mut last = entries.last().map(|entry| (entry.time, entry.sequence));
        for entry in arrivals {
            let oldest = oldest(&entry);
            if entry.time < oldest {
                continue;
            }
            sorted &= last < Some((entry.time, entry.sequence));
            last = Some((entry.time, entry.sequence));
            let span = match admitted {
                None => (entry.time, entry.time),
                Some(((first, last), _)) => (first.min(entry.time), last.max(entry.time)),
            };
            admitted = Some((span, oldest));
            entries.push(Entry { marks: FRESH, ..entry });
        }
        if !sorted {
            // A known activity comes before its repetition, which goes.
            // Stable, since that makes use of what is in order already, which is nearly all.
            entries.sort_by_key(|entry| (entry.time, entry.sequence, entry.marks & FRESH));
            entries.dedup_by_key(|entry| (entry.time, entry.sequence));
        }
        admitted
    }

    /// Looks at all instants whose window can hold a new activity.
    fn new_hits(&self, entries: &mut [Entry], span: (i64, i64)) -> Vec<Fired> {
        let mut fired: Vec<Fired> = Vec::new();
        // Everything below this index has been marked for the bucket that fired last.
        let mut marked = 0;
        for Hit { time, window, peak } in window::hits(self, entries, Some(span)) {
            let start = self.bucket(time);
            if fired.last().is_none_or(|fired| fired.start != start) {
                fired.push(Fired { start, facts: vec![peak], ..Fired::default() });
                marked = 0;
            }
            let Some(current) = fired.last_mut() else { continue };
            if let Some(most) = current.facts.first_mut() {
                *most = (*most).max(peak);
            }
            let end = window.end;
            for entry in entries.get_mut(window.start.max(marked)..end).unwrap_or_default() {
                let mark = if self.bucket(entry.time) == start { OWN } else { NEXT };
                if entry.marks & mark == 0 {
                    entry.marks |= mark;
                    current.take(entry);
                }
            }
            marked = end;
        }
        fired.retain(|fired| !fired.evidence.is_empty());
        fired
    }

    /// Looks at all steps, and marks what has become part of a sequence.
    fn new_steps(
        &self,
        sequence: &Sequence,
        entries: &mut [Entry],
        (first, last): (i64, i64),
    ) -> Vec<Fired> {
        let mut fired: Vec<Fired> = Vec::new();
        // A sequence with something new in it lies around that.
        let start = entries.partition_point(|entry| entry.time <= self.before(first));
        let beyond = last.saturating_add(self.within);
        let end = entries.partition_point(|entry| entry.time < beyond);
        let entries = entries.get_mut(start..end).unwrap_or_default();
        for instant in sequence.instants(self, entries) {
            let start = instant.fired.start;
            let mut left = Fired { evidence: Vec::new(), severity: 0, ..instant.fired.clone() };
            for evidence in &instant.fired.evidence {
                let place = (evidence.time, evidence.sequence);
                let found = entries.binary_search_by_key(&place, |e| (e.time, e.sequence));
                let Some(entry) = found.ok().and_then(|found| entries.get_mut(found)) else {
                    continue;
                };
                let mark = if self.bucket(entry.time) == start { OWN } else { NEXT };
                if entry.marks & mark == 0 {
                    entry.marks |= mark;
                    left.take(entry);
                }
            }
            if left.evidence.is_empty() {
                continue;
            }
            match fired.last_mut() {
                Some(last) if last.start == start => last.join(left),
                _ => fired.push(left),
            }
        }
        fired
    }

    /// All instants whose windows fire, with what each adds to its bucket.
    fn instants(&self, entries: &[Entry]) -> Vec<Instant> {
        let mut instants: Vec<Instant> = Vec::new();
        let (mut bucket, mut marked) = (None, 0);
        for Hit { time, window, peak } in window::hits(self, entries, None) {
            let start = self.bucket(time);
            if bucket != Some(start) {
                (bucket, marked) = (Some(start), 0);
            }
            let mut fired = Fired { start, facts: vec![peak], ..Fired::default() };
            let end = window.end;
            let new = entries.get(window.start.max(marked)..end).unwrap_or_default();
            new.iter().for_each(|entry| fired.take(entry));
            marked = end;
            instants.push(Instant { time, due: time.saturating_add(1), fired });
        }
        instants
    }

    /// Forgets what no activity to come can count with, and what is too much.
    fn forget(&self, held: &mut Held, horizon: i64) {
        let entries = &mut held.entries;
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
