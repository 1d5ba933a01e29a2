//! Days as a policy counts them, and which days may judge which.
//!
//! It knows no time zones: days are those of UTC.

use casbah_when::duration::{DAY, HOUR};

/// How a policy cuts time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calendar {
    /// Days of the week that are the weekend; bit 0 is Monday.
    pub(crate) weekend: u8,
    /// How much older than the newest activity of its key an activity may be when it arrives, ms.
    pub(crate) lateness: i64,
}

/// Names of the days of the week, Monday first.
pub(crate) const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Calendar {
    /// Number of the day that a time falls into.
    pub(crate) fn day(&self, time: i64) -> i64 {
        time.div_euclid(DAY)
    }

    /// When a day begins, ms since 1970.
    pub(crate) fn start(&self, day: i64) -> i64 {
        day.saturating_mul(DAY)
    }

    /// Hour of its day that a time falls into.
    pub(crate) fn hour(&self, time: i64) -> i64 {
        time.rem_euclid(DAY) / HOUR
    }

    /// Place of a day in [`WEEKDAYS`].
    pub(crate) fn weekday(&self, day: i64) -> usize {
        // 1 January 1970 was a Thursday.
        day.saturating_add(3).rem_euclid(7) as usize
    }

    /// Class of a day: 0 for working days, 1 for the weekend.
    pub(crate) fn class(&self, day: i64) -> usize {
        usize::from(self.weekend >> self.weekday(day) & 1)
    }

    /// Lateness in whole days, rounded up.
    pub(crate) fn lag(&self) -> i64 {
        self.lateness.saturating_add(DAY - 1).div_euclid(DAY)
    }

    /// The last day that may judge this one: nothing can be added to it any more when this one
    /// begins.
    pub(crate) fn known(&self, day: i64) -> i64 {
        day.saturating_sub(1).saturating_sub(self.lag())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_cut_where_they_begin() {
        // 2026-11-20 is a Friday.
        let friday = 1_795_132_800_000;
        let calendar = Calendar { weekend: 0b110_0000, lateness: DAY };
        let day = calendar.day(friday);
        assert_eq!(WEEKDAYS[calendar.weekday(day)], "Friday");
        assert_eq!(
            (0..7).map(|n| calendar.class(day + n)).collect::<Vec<_>>(),
            [0, 1, 1, 0, 0, 0, 0]
        );
        assert_eq!((calendar.start(day), calendar.day(friday - 1)), (friday, day - 1));
        assert_eq!(calendar.known(day), day - 2);
        assert_eq!(Calendar { lateness: DAY + 1, ..calendar }.known(day), day - 3);
        assert_eq!(Calendar { lateness: 0, ..calendar }.known(day), day - 1);
    }
}
