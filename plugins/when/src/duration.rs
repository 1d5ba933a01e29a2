//! Lengths of time as policies write them.
//!
//! It is not a calendar: a day is 24 hours.

use crate::json::shown;

/// A second, ms.
pub const SECOND: i64 = 1000;
/// A minute, ms.
pub const MINUTE: i64 = 60 * SECOND;
/// An hour, ms.
pub const HOUR: i64 = 60 * MINUTE;
/// A day, ms.
pub const DAY: i64 = 24 * HOUR;

/// Units, longest first.
const UNITS: [(&str, i64, &str); 4] =
    [("d", DAY, "day"), ("h", HOUR, "hour"), ("m", MINUTE, "minute"), ("s", SECOND, "second")];

/// Reads `90s`, `5m`, `24h`, `7d`, at most `longest` ms; returns milliseconds.
///
/// # Errors
/// What is wrong, with a hint, where it is no such length or too long.
pub fn parse(text: &str, longest: i64) -> Result<i64, String> {
    let wrong = || {
        format!(
            "`{}` is not a length of time\nhint: write a whole number with a unit: `90s`, `5m`, `24h` or `7d`",
            shown(text)
        )
    };
    let (unit, length, _) =
        UNITS.iter().find(|(unit, ..)| text.ends_with(unit)).ok_or_else(wrong)?;
    let number = text.strip_suffix(unit).unwrap_or(text);
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    number
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(*length))
        .filter(|length| *length <= longest)
        .ok_or_else(|| format!("`{}` is too long; at most `{}`", shown(text), short(longest)))
}

/// Writes milliseconds as policies do, in the longest unit that fits.
fn short(length: i64) -> String {
    let unit = UNITS.iter().find(|(_, unit, _)| length % unit == 0);
    unit.map_or(format!("{length}ms"), |(name, unit, _)| format!("{}{name}", length / unit))
}

/// Writes milliseconds as a person would say it: `5 minutes`, `1 hour`, `90 seconds`.
pub fn spoken(length: i64) -> String {
    for (_, unit, name) in UNITS {
        if length >= unit && length % unit == 0 {
            let number = length / unit;
            return format!("{number} {name}{}", if number == 1 { "" } else { "s" });
        }
    }
    format!("{length} ms")
}

/// Writes milliseconds as a person would say them roughly: `3 days`, `5 hours`, `90 minutes`.
///
/// Rounded down to whole days from two days on, to hours from two hours on, to minutes from two
/// minutes on, and to seconds below that.
pub fn about(length: i64) -> String {
    for (_, unit, name) in UNITS {
        if length >= 2 * unit {
            return format!("{} {name}s", length / unit);
        }
    }
    if length >= SECOND { "1 second".to_owned() } else { "less than a second".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<i64, String> {
        super::parse(text, 90 * DAY)
    }

    #[test]
    fn reads_whole_numbers_with_a_unit() {
        assert_eq!(parse("90s"), Ok(90_000));
        assert_eq!(parse("5m"), Ok(300_000));
        assert_eq!(parse("24h"), Ok(86_400_000));
        assert_eq!(parse("7d"), Ok(604_800_000));
        assert_eq!(parse("0s"), Ok(0));
        for text in [
            "",
            "5",
            "m",
            "-5m",
            "1.5h",
            "5 m",
            "5min",
            "1h30m",
            "91d",
            "99999999999999999999s",
            "5µ",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn speaks_roughly() {
        for (length, said) in [
            (0, "less than a second"),
            (1500, "1 second"),
            (119_999, "119 seconds"),
            (2 * HOUR - 1, "119 minutes"),
            (47 * HOUR, "47 hours"),
            (50 * HOUR, "2 days"),
        ] {
            assert_eq!(about(length), said);
        }
    }

    #[test]
    fn speaks_in_the_longest_unit_that_fits() {
        for (text, said) in
            [("60s", "1 minute"), ("90s", "90 seconds"), ("24h", "1 day"), ("7d", "7 days")]
        {
            assert_eq!(spoken(parse(text).unwrap()), said);
        }
    }
}
