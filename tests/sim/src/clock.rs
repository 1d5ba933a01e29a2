//! Times: the simulator's clock, and times on the command line.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;

/// When what happens in an app can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Live {
    /// All of it from the start.
    #[value(help = None)]
    All,
    /// As its time comes, by the simulator's clock.
    #[value(help = None)]
    Clock,
}

/// Now by the system's clock, milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}

/// A clock that can be set forward, and nothing else.
#[derive(Debug, Default)]
pub struct Clock {
    /// By how much it is ahead of the system's, ms.
    ahead: AtomicI64,
}

impl Clock {
    /// Now by this clock, milliseconds since 1970.
    pub fn now(&self) -> i64 {
        now_ms().saturating_add(self.ahead.load(Ordering::SeqCst))
    }

    /// Sets it forward by so many milliseconds.
    pub fn advance(&self, ms: i64) {
        self.ahead.fetch_add(ms, Ordering::SeqCst);
    }
}

/// Reads a time: one such as 2026-11-20T12:00:00Z, `now`, `now-2h` or `now+30m`; milliseconds since
/// 1970.
///
/// # Errors
/// A message for the command line.
pub fn read_time(text: &str) -> Result<i64, String> {
    read(text, true, "2026-11-20T12:00:00Z, now, now-2h or now+30m")
}

/// Reads the time when a history ends: as [`read_time`], but no span back from now.
///
/// # Errors
/// A message for the command line.
pub fn read_end(text: &str) -> Result<i64, String> {
    read(text, false, "2026-11-20T12:00:00Z, now, now+30m or now+2h")
}

fn read(text: &str, back: bool, hint: &str) -> Result<i64, String> {
    let time = match text.strip_prefix("now") {
        Some(span) => {
            // Whole seconds: a history does not begin in the middle of one.
            let now = now_ms() / 1000 * 1000;
            read_span(span).filter(|span| back || *span >= 0).map(|span| now + span)
        }
        None => text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond()),
    };
    time.ok_or_else(|| format!("`{text}` is not a time\nhint: {hint}"))
}

/// Nothing, or a sign, a number, and `m` or `h`; milliseconds.
fn read_span(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix('-')?),
    };
    let (number, unit) = match rest.strip_suffix('m') {
        Some(number) => (number, 60_000),
        None => (rest.strip_suffix('h')?, 3_600_000),
    };
    Some(sign * i64::from(number.parse::<u32>().ok()?) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_written() {
        assert_eq!(read_end("2026-11-20T12:00:00Z"), Ok(1_795_176_000_000));
        for (text, span) in [("now", 0), ("now+30m", 1_800_000), ("now+2h", 7_200_000)] {
            for read in [read_end, read_time] {
                let before = now_ms() / 1000 * 1000;
                let time = read(text).unwrap();
                assert!((before + span..=now_ms() + span).contains(&time), "{text}");
            }
        }
        assert!(read_time("now-2h").unwrap() < now_ms() - 7_000_000);
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_text_and_a_hint() {
        for text in ["soon", "now+", "now+5", "now+5d", "now+-5m", "now 5m", "2026-11-20", ""] {
            for read in [read_end, read_time] {
                let message = read(text).unwrap_err();
                assert!(message.starts_with(&format!("`{text}` is not a time\nhint: ")));
            }
        }
        // The end of a history lies ahead, or is given in full.
        assert!(read_end("now-2h").is_err());
    }

    #[test]
    fn a_clock_goes_on_from_where_it_was_set() {
        let clock = Clock::default();
        clock.advance(5_000);
        clock.advance(60_000);
        let before = now_ms();
        assert!((before + 65_000..=before + 66_000).contains(&clock.now()));
    }
}
