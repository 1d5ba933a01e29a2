//! Times as people type them.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use casbah_model::time;

/// The clock of this machine, ms since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Reads an RFC 3339 time, a date, or a span back from now such as `90m`, `24h` or `7d`.
///
/// # Errors
/// When it is none of them.
pub(crate) fn parse(text: &str) -> Result<i64> {
    parse_at(text, now())
}

fn parse_at(text: &str, now: i64) -> Result<i64> {
    let exact = time::parse(text).or_else(|| time::parse(&format!("{text}T00:00:00Z")));
    if let Some(time) = exact {
        return Ok(time);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("s") => 1000,
        Some("m") => 60_000,
        Some("h") => 3_600_000,
        Some("d") => 86_400_000,
        Some("w") => 7 * 86_400_000,
        _ => 0_i64,
    };
    match digits.parse::<i64>() {
        Ok(number) if unit > 0 && number >= 0 => {
            Ok(now.saturating_sub(number.saturating_mul(unit)))
        }
        _ => bail!(
            "`{text}` is not a time\nhint: write 2026-11-20T10:00:00Z, 2026-11-20, or a span back from now such as 24h or 7d"
        ),
    }
}

/// For the command line: a text that [`parse`] understands, as it is, since a span back from now is
/// meant from when the command is carried out.
///
/// # Errors
/// When it is no time.
pub(crate) fn checked(text: &str) -> Result<String, String> {
    match parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("no time: write 2026-11-20T10:00:00Z, 2026-11-20, or a span back from now \
                       such as 24h or 7d"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        let now = 1_000_000_000_000;
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-02", 86_400_000),
            ("90m", now - 5_400_000),
            ("24h", now - 86_400_000),
            ("7d", now - 7 * 86_400_000),
            ("2w", now - 14 * 86_400_000),
        ] {
            assert_eq!(parse_at(text, now).unwrap(), expected, "{text}");
        }
        insta::assert_snapshot!(parse_at("yesterday", now).unwrap_err(), @r"
        `yesterday` is not a time
        hint: write 2026-11-20T10:00:00Z, 2026-11-20, or a span back from now such as 24h or 7d
        ");
        for text in ["", "h", "-5h", "5x", "5"] {
            assert!(parse_at(text, now).is_err(), "{text}");
        }
    }
}
