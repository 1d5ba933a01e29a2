//! Times are milliseconds since 1970 in UTC everywhere; this is their way from and to text.

use jiff::Timestamp;
use jiff::fmt::temporal::{DateTimeParser, DateTimePrinter};

static PARSER: DateTimeParser = DateTimeParser::new();
static PRINTER: DateTimePrinter = DateTimePrinter::new();

/// Reads an RFC 3339 time; fractions of any length, `Z`, `+00:00` and `+0000` are understood.
///
/// Returns milliseconds since 1970, rounded down; `None` when it is not a time.
pub fn parse(text: &str) -> Option<i64> {
    parse_plain(text.as_bytes()).or_else(|| {
        let timestamp = PARSER.parse_timestamp(text).ok()?;
        Some(timestamp.as_nanosecond().div_euclid(1_000_000) as i64)
    })
}

/// Reads a time as [`parse`] does; one without a zone is UTC.
pub fn parse_or_utc(text: &str) -> Option<i64> {
    let mut marked = [b'Z'; 20];
    // To the second and without a zone: what logs without zones write nearly always.
    if let [_, _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':', _, _] =
        text.as_bytes()
    {
        marked.iter_mut().zip(text.as_bytes()).for_each(|(to, from)| *to = *from);
        if let Some(time) = parse_plain(&marked) {
            return Some(time);
        }
    }
    parse(text).or_else(|| parse(&format!("{text}Z")))
}

/// The one form that audit logs use nearly always, `2026-11-20T10:00:00Z`, without a detour.
fn parse_plain(text: &[u8]) -> Option<i64> {
    let &[a, b, c, d, b'-', e, f, b'-', g, h, b'T', i, j, b':', k, l, b':', m, n, b'Z'] = text
    else {
        return None;
    };
    let two = |a: u8, b: u8| -> Option<i64> {
        (a.is_ascii_digit() && b.is_ascii_digit())
            .then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'))
    };
    let year = two(a, b)? * 100 + two(c, d)?;
    let (month, day) = (two(e, f)?, two(g, h)?);
    let (hour, minute, second) = (two(i, j)?, two(k, l)?, two(m, n)?);
    if year < 1 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // The calendar's own checks (30 February) are left to the full parser.
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) {
        return None;
    }
    // Days since 1970 by counting years from March, as in Howard Hinnant's days_from_civil.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

/// Writes a time as RFC 3339 in UTC, with milliseconds only where there are any.
///
/// A time outside the years -9999 to 9999 is written as its number.
pub fn format(ms: i64) -> String {
    let Ok(timestamp) = Timestamp::from_millisecond(ms) else { return ms.to_string() };
    let mut text = String::with_capacity(24);
    match PRINTER.print_timestamp(&timestamp, &mut text) {
        Ok(()) => text,
        Err(_) => ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Times with and without a zone, and texts that are none, are read as by trying one after the other.
    #[test]
    fn times_without_a_zone_are_utc() {
        for text in [
            "2026-01-15T08:00:00",
            "2026-01-15T08:00:00Z",
            "2026-01-15T08:00:00.250",
            "2026-01-15T08:00+01",
            "20260115T0800+01:00",
            "2026-02-30T08:00:00",
            "2026-01-31T08:00:00",
            "2026-01-15T25:00:00",
            "2026-01-15 08:00:00",
            "2026-01-15",
            "",
            "soon",
        ] {
            let slowly = parse(text).or_else(|| parse(&format!("{text}Z")));
            assert_eq!(parse_or_utc(text), slowly, "{text}");
        }
        assert_eq!(parse_or_utc("2026-01-15T08:00:00"), Some(1_768_464_000_000));
    }

    #[test]
    fn reads_every_form_the_apps_send() {
        let expected = Some(1_715_000_445_000);
        for text in
            ["2024-05-06T13:00:45Z", "2024-05-06T13:00:45+00:00", "2024-05-06T13:00:45+0000"]
        {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("2025-01-01T00:00:00.123456789Z"), Some(1_735_689_600_123));
        assert_eq!(parse("2026-12-13T12:17:52.525696Z"), Some(1_797_164_272_525));
        for text in ["", "yesterday", "2024-05-06", "2024-13-06T13:00:45Z", "2024-02-30T13:00:45Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        /// The short cut agrees with the library on every second of four thousand years.
        #[test]
        fn the_plain_form_agrees_with_the_full_parser(second in -62_135_596_800_i64..64_000_000_000) {
            let text = format(second * 1000);
            prop_assert_eq!(parse(&text), Some(second * 1000));
            let full = PARSER.parse_timestamp(&text).unwrap().as_millisecond();
            prop_assert_eq!(full, second * 1000);
        }
    }
}
