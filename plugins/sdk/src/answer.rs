//! What every adapter reads in the head of an answer: headers, dates, and how long to wait; and what it
//! says of one that it can't read.
//!
//! It is no HTTP: the host has spoken that already. What a status means is the adapter's to say.

use casbah_model::adapter::{Failure, Response, class};

/// No app is waited for longer than a day.
const LONGEST: u64 = 24 * 3_600_000;

/// A failure of class `malformed`, with nothing to be done about it.
pub fn malformed(message: &str) -> Failure {
    Failure {
        class: class::MALFORMED.to_owned(),
        message: message.to_owned(),
        ..Failure::default()
    }
}

/// The first value of a header; its name is given in lower case.
pub fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// A time as HTTP writes it, ms since 1970.
pub fn http_date(text: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(parsed.as_millisecond())
}

/// How long the app asks to wait, milliseconds, a day at most: `Retry-After` in seconds, whole or not
/// and rounded up, or as a date, counted from the time of the request.
pub fn retry_after(response: &Response) -> Option<u64> {
    let value = header(response, "retry-after")?.trim();
    let ms = match value.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => (seconds * 1000.0).ceil() as u64,
        Ok(_) => return None,
        Err(_) => http_date(value)?.saturating_sub(response.request.now).max(0).unsigned_abs(),
    };
    Some(ms.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_model::adapter::PlanRequest;

    #[test]
    fn waits_are_read_in_every_form() {
        // 2026-01-15T12:00:00Z
        let request = PlanRequest { now: 1_768_478_400_000, ..PlanRequest::default() };
        for (value, expected) in [
            ("7", Some(7_000)),
            (" 0.0015 ", Some(2)),
            ("0", Some(0)),
            ("Thu, 15 Jan 2026 12:00:30 GMT", Some(30_000)),
            ("Thu, 15 Jan 2026 11:00:00 GMT", Some(0)),
            ("Thu, 15 Jan 2099 11:00:00 GMT", Some(86_400_000)),
            ("1e30", Some(86_400_000)),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = vec![("retry-after".to_owned(), value.to_owned())];
            let response = Response { request: request.clone(), headers, ..Response::default() };
            assert_eq!(retry_after(&response), expected, "{value}");
        }
        assert_eq!(retry_after(&Response { request, ..Response::default() }), None);
    }
}
