//! Activities of a day that may become evidence: times and places in the log, the earliest of them.
//!
//! They are kept in the form in which they are stored, from the last one backwards, since nearly always
//! one that comes later is added, and nothing is ever asked of them.

use casbah_model::Evidence;
use casbah_plugin::state::{Reader, Writer};

/// How many are kept. An alert names as many, so its evidence is the same in every order of arrival.
pub(super) const MOST: usize = 100;

/// Up to [`MOST`] activities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pending {
    count: usize,
    /// The last one, when there is any.
    last: Mark,
    /// From each one, the last one first, to the one before it: time and sequence number.
    steps: Vec<u8>,
}

/// Time of an activity and its place in the log.
type Mark = (i64, u64);

impl Pending {
    /// Takes one in; the last one goes if there are too many.
    pub(super) fn insert(&mut self, evidence: Evidence) {
        let new = (evidence.time, evidence.sequence);
        if self.count == 0 || new > self.last {
            if self.count < MOST {
                self.push(new);
            }
            return;
        }
        let mut all = self.all();
        if let Err(place) = all.binary_search(&new) {
            all.insert(place, new);
            all.truncate(MOST);
            *self = Self::default();
            all.into_iter().for_each(|one| self.push(one));
        }
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self, taken: &mut Vec<Evidence>) {
        if self.count > 0 {
            let all = std::mem::take(self).all().into_iter();
            taken.extend(all.map(|(time, sequence)| Evidence { time, sequence }));
        }
    }

    /// Adds one that is later than all.
    fn push(&mut self, new: Mark) {
        if self.count > 0 {
            let mut writer = Writer::new();
            writer.number(new.0.abs_diff(self.last.0));
            writer.signed(new.1.wrapping_sub(self.last.1) as i64);
            self.steps.splice(0..0, writer.finish());
        }
        self.last = new;
        self.count += 1;
    }

    /// All of them in order. Of what can't be read, which no version wrote, what comes after.
    fn all(&self) -> Vec<Mark> {
        let mut all = Vec::with_capacity(self.count);
        let mut reader = Reader::new(&self.steps);
        let mut one = self.last;
        for _ in 0..self.count {
            all.push(one);
            let (Some(time), Some(sequence)) = (reader.number(), reader.signed()) else { break };
            let Some(time) = one.0.checked_sub_unsigned(time) else { break };
            one = (time, one.1.wrapping_sub(sequence as u64));
        }
        all.reverse();
        all
    }

    /// Adds the bytes that stand for it, and for a flag; `start` is when its day begins.
    pub(super) fn write(&self, writer: &mut Writer, start: i64, flag: bool) {
        writer.number((self.count as u64) << 1 | u64::from(flag));
        if self.count > 0 {
            writer.number(self.last.0.abs_diff(start));
            writer.number(self.last.1);
            if self.count > 1 {
                writer.bytes(&self.steps);
            }
        }
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(super) fn read(reader: &mut Reader<'_>, start: i64) -> Option<(Self, bool)> {
        let number = reader.number()?;
        let (count, flag) = (usize::try_from(number >> 1).ok()?, number & 1 == 1);
        if count > MOST {
            return None;
        }
        if count == 0 {
            return Some((Self::default(), flag));
        }
        let last = (start.checked_add_unsigned(reader.number()?)?, reader.number()?);
        let steps = if count > 1 { reader.bytes()?.to_vec() } else { Vec::new() };
        Some((Self { count, last, steps }, flag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A sorted list of all is the oracle, whatever the order.
        #[test]
        fn the_earliest_are_kept(times in proptest::collection::vec(0i64..400, 0..250), flag: bool) {
            let mut pending = Pending::default();
            let mut all = Vec::new();
            for (time, sequence) in times.into_iter().zip(1u64..) {
                pending.insert(Evidence { time, sequence });
                pending.insert(Evidence { time, sequence });
                all.push((time, sequence));
                all.sort_unstable();
                all.truncate(MOST);
                prop_assert_eq!(pending.all(), &*all);
            }
            let mut writer = Writer::new();
            pending.write(&mut writer, -7, flag);
            let bytes = writer.finish();
            prop_assert_eq!(Pending::read(&mut Reader::new(&bytes), -7), Some((pending.clone(), flag)));
            let mut taken = Vec::new();
            pending.take(&mut taken);
            prop_assert_eq!(taken.len(), all.len());
            prop_assert_eq!(pending, Pending::default());
        }

        #[test]
        fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40), time: i64) {
            if let Some((mut pending, _)) = Pending::read(&mut Reader::new(&bytes), 0) {
                pending.insert(Evidence { time, sequence: 1 });
                pending.take(&mut Vec::new());
            }
        }
    }
}
