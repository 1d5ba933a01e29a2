//! On which days something happened, in a few bytes that do not depend on the order of arrival.
//!
//! The newest 16 days are known one by one, which is where late news may still fall; of older ones,
//! how many there were, which was the first, and which was the last. It does not count activities.

use casbah_plugin::state::{Reader, Writer};

/// How many days are known one by one.
pub(crate) const RECENT: i64 = 16;

/// Days that a time in milliseconds can be on, and some beyond.
const POSSIBLE: std::ops::Range<i64> = -1 << 40..1 << 40;

/// The days (since 1970) on which something happened; there is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calendar {
    first: i64,
    last: i64,
    /// Bit `n` stands for the day `last - n`; bit 0 is set.
    recent: u16,
    /// The newest day before the recent ones.
    before: Option<i64>,
    /// How many days there were before the recent ones.
    settled: u64,
}

impl Calendar {
    /// One day.
    pub(crate) fn of(day: i64) -> Self {
        Self { first: day, last: day, recent: 1, before: None, settled: 0 }
    }

    /// The first day.
    pub(crate) fn first(&self) -> i64 {
        self.first
    }

    /// The newest day.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Something happened on a day. A day before the recent ones is not counted, since it can't be
    /// known whether it was before.
    pub(crate) fn see(&mut self, day: i64) {
        self.first = self.first.min(day);
        let ago = self.last.saturating_sub(day);
        if ago >= RECENT {
            self.before = self.before.max(Some(day));
        } else if ago >= 0 {
            self.recent |= 1 << ago;
        } else {
            let steps = ago.unsigned_abs();
            let leaving = match u32::try_from(steps) {
                Ok(steps) if steps < RECENT as u32 => self.recent & !(u16::MAX >> steps),
                _ => self.recent,
            };
            if leaving != 0 {
                self.settled += u64::from(leaving.count_ones());
                // The newest of those that leave is the lowest bit.
                self.before = Some(self.last - i64::from(leaving.trailing_zeros()));
            }
            self.recent =
                u32::try_from(steps).ok().and_then(|n| self.recent.checked_shl(n)).unwrap_or(0) | 1;
            self.last = day;
        }
    }

    /// The newest day before a day.
    pub(crate) fn last_before(&self, day: i64) -> Option<i64> {
        if self.last < day {
            return Some(self.last);
        }
        let older = self.recent & older_than(self.last, day);
        if older != 0 {
            return Some(self.last - i64::from(older.trailing_zeros()));
        }
        [self.before, Some(self.first)].into_iter().flatten().find(|&known| known < day)
    }

    /// On how many days before a day it happened.
    pub(crate) fn days_before(&self, day: i64) -> u64 {
        if self.first >= day {
            return 0;
        }
        self.settled + u64::from((self.recent & older_than(self.last, day)).count_ones())
    }

    /// Adds it to a state; `near` is a day that shortens what is written.
    pub(crate) fn write(&self, writer: &mut Writer, near: i64) {
        writer.signed(near.wrapping_sub(self.last));
        writer.number(self.last.abs_diff(self.first));
        writer.number(u64::from(self.recent >> 1));
        if self.last.abs_diff(self.first) >= RECENT as u64 {
            writer.number(self.before.map_or(0, |before| self.last.abs_diff(before)));
            writer.number(self.settled);
        }
    }

    /// Reads what [`write`](Self::write) wrote; `None` for anything else.
    pub(crate) fn read(reader: &mut Reader<'_>, near: i64) -> Option<Self> {
        let last = near.checked_sub(reader.signed()?)?;
        let first = last.checked_sub(i64::try_from(reader.number()?).ok()?)?;
        if !POSSIBLE.contains(&first) || !POSSIBLE.contains(&last) {
            return None;
        }
        let recent = u16::try_from(reader.number()?).ok()?.checked_mul(2)? | 1;
        let mut calendar = Self { first, last, recent, before: None, settled: 0 };
        if last.checked_sub(first)? >= RECENT {
            calendar.before = match i64::try_from(reader.number()?).ok()? {
                0 => None,
                ago => Some(last.checked_sub(ago).filter(|&day| ago >= RECENT && day >= first)?),
            };
            calendar.settled = reader.number().filter(|&settled| settled < 1 << 40)?;
        }
        Some(calendar)
    }
}

/// The bits of the days before `day`, where bit 0 is `last`.
fn older_than(last: i64, day: i64) -> u16 {
    match last.saturating_sub(day).saturating_add(1) {
        ago if ago <= 0 => u16::MAX,
        ago if ago < RECENT => u16::MAX << ago,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn calendar(days: &[i64]) -> Calendar {
        let mut calendar = Calendar::of(days[0]);
        days.iter().for_each(|&day| calendar.see(day));
        calendar
    }

    proptest! {
        /// What is asked of recent days is what a plain set of days says.
        #[test]
        fn agrees_with_a_set_of_days(days in prop::collection::vec(-40..40_i64, 1..40), ago in -30..8_i64) {
            let mut days = days;
            days.sort_unstable();
            let set: BTreeSet<i64> = days.iter().copied().collect();
            let calendar = calendar(&days);
            let asked = calendar.last() - ago;
            prop_assert_eq!(calendar.first(), *set.first().unwrap());
            prop_assert_eq!(calendar.last(), *set.last().unwrap());
            prop_assert_eq!(calendar.days_before(asked), set.range(..asked).count() as u64);
            prop_assert_eq!(calendar.last_before(asked), set.range(..asked).next_back().copied());
        }

        /// Days that come late within the lateness change nothing, nor does coming twice.
        #[test]
        fn late_days_change_nothing(days in prop::collection::vec((0..200_i64, 0..15_i64), 1..60)) {
            let mut ordered = days.clone();
            ordered.sort_unstable();
            let mut late = days.clone();
            late.sort_unstable_by_key(|&(day, late)| (day + late, day));
            let plain = |days: &[(i64, i64)]| days.iter().map(|&(day, _)| day).collect::<Vec<_>>();
            let again: Vec<_> = plain(&late).into_iter().flat_map(|day| [day, day]).collect();
            prop_assert_eq!(calendar(&plain(&ordered)), calendar(&again));
        }

        #[test]
        fn what_was_written_is_read(days in prop::collection::vec(-400..400_i64, 1..40), near in -9..9_i64) {
            let calendar = calendar(&days);
            let mut writer = Writer::new();
            calendar.write(&mut writer, near);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Calendar::read(&mut reader, near), Some(calendar));
            prop_assert!(reader.is_empty());
        }
    }
}
