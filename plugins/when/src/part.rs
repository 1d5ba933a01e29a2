//! Parts of a time: the hour of the day, the day of the week.
//!
//! It knows no time zones by name and no daylight saving: a zone is a fixed distance from UTC.

use crate::duration::{DAY, HOUR, MINUTE};

/// A part of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// Day of the month, 1 to 31.
    Day,
    /// 1 is Monday, 7 Sunday.
    Weekday,
    /// Week of ISO 8601, 1 to 53.
    Week,
    /// 1 to 12.
    Month,
    /// The year.
    Year,
}

/// A part as policies name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartEntry {
    /// The name.
    pub(crate) name: &'static str,
    /// The part.
    pub(crate) part: Part,
    /// The least it can be.
    pub(crate) least: i64,
    /// The most it can be.
    pub(crate) most: i64,
}

const fn entry(name: &'static str, part: Part, least: i64, most: i64) -> PartEntry {
    PartEntry { name, part, least, most }
}

/// All parts.
pub(crate) const PARTS: &[PartEntry] = &[
    entry("minute", Part::Minute, 0, 59),
    entry("hour", Part::Hour, 0, 23),
    entry("day", Part::Day, 1, 31),
    entry("weekday", Part::Weekday, 1, 7),
    entry("week", Part::Week, 1, 53),
    entry("month", Part::Month, 1, 12),
    entry("year", Part::Year, 1, 9999),
];

impl Part {
    /// This part of a time, ms since 1970, at a place `offset` ms ahead of UTC.
    pub(crate) fn of(self, time: i64, offset: i64) -> i64 {
        let time = time.saturating_add(offset);
        let (days, rest) = (time.div_euclid(DAY), time.rem_euclid(DAY));
        match self {
            Self::Minute => rest / MINUTE % 60,
            Self::Hour => rest / HOUR,
            Self::Weekday => weekday(days),
            Self::Day => civil(days).2,
            Self::Month => civil(days).1,
            Self::Year => civil(days).0,
            Self::Week => {
                // A week belongs to the year that its Thursday lies in.
                let thursday = days - weekday(days) + 4;
                let (year, ..) = civil(thursday);
                (thursday - days_before(year)) / 7 + 1
            }
        }
    }
}

/// 1 January 1970 was a Thursday.
fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// Year, month and day of a number of days since 1970, by counting years from March: then the leap
/// day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970 to 1 January of a year.
fn days_before(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

/// Reads `Z`, `UTC` or a distance such as `+01:00`, in ms.
pub(crate) fn zone(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "UTC") {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes() {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let &[a, b, b':', c, d] = rest else { return None };
    let two = |a: u8, b: u8| {
        (a.is_ascii_digit() && b.is_ascii_digit())
            .then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'))
    };
    let (hours, minutes) = (two(a, b)?, two(c, d)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * HOUR + minutes * MINUTE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// An independent calendar says the same of every day of eight thousand years.
        #[test]
        fn agrees_with_another_calendar(second in -62_135_596_800_i64..190_000_000_000, offset in -23i64..=23) {
            let there = jiff::Timestamp::from_second(second).unwrap();
            let there = jiff::tz::Offset::constant(offset as i8).to_datetime(there);
            if there.year() < 1 {
                return Ok(());
            }
            let of = |part: Part| part.of(second * 1000, offset * HOUR);
            prop_assert_eq!(of(Part::Minute), i64::from(there.minute()));
            prop_assert_eq!(of(Part::Hour), i64::from(there.hour()));
            prop_assert_eq!(of(Part::Day), i64::from(there.day()));
            prop_assert_eq!(of(Part::Month), i64::from(there.month()));
            prop_assert_eq!(of(Part::Year), i64::from(there.year()));
            prop_assert_eq!(of(Part::Weekday), i64::from(there.weekday().to_monday_one_offset()));
            prop_assert_eq!(of(Part::Week), i64::from(there.date().iso_week_date().week()));
        }
    }

    #[test]
    fn zones_are_fixed_distances() {
        assert_eq!(zone("Z"), Some(0));
        assert_eq!(zone("+01:00"), Some(HOUR));
        assert_eq!(zone("-05:30"), Some(-5 * HOUR - 30 * MINUTE));
        for text in ["", "+1", "01:00", "+24:00", "+01:60", "Europe/Berlin", "+0100"] {
            assert_eq!(zone(text), None, "{text}");
        }
    }
}
