//! Faults that can be switched on: what the app, or what stands between, does wrong.

casbah_sim::faults! {
    /// 429 without `Retry-After`.
    RateLimited "rate-limited" 0;
    /// 429 with `Retry-After`; value: milliseconds, written as seconds with a fraction.
    RateLimitedRetryAfter "rate-limited-retry-after" 500;
    /// 503 with a page of HTML.
    Unavailable "unavailable" 0;
    /// 500 with the error object.
    Internal "internal" 0;
    /// 401 with a page of HTML, and the access token is dead; a refresh helps.
    TokenExpired "token-expired" 0;
    /// 403 at a log: no administrator any more.
    AdminLost "admin-lost" 0;
    /// 504 when a window has more records than the value.
    Busy "busy-504" 5000;
    /// No answer at all when a window has more records than the value.
    BusyHang "busy-hang" 5000;
    /// The records of an answer in random order.
    Disorder "disorder" 0;
    /// Records around the window too; value: minutes before and behind.
    Wide "wide" 30;
    /// `start` and `end` are not heeded: the last thirty days come.
    WindowIgnored "window-ignored" 0;
    /// JSON as bare objects in an array, or as an array within an object.
    Wrappings "wrappings" 0;
    /// XML, although JSON was asked for.
    Xml "xml" 0;
    /// 204 for an empty log instead of an empty array.
    NoContent "no-content" 0;
    /// The body comes in ten pieces; value: milliseconds for all of them.
    SlowBody "slow-body" 200;
    /// The connection closes in the middle of the body.
    CutBody "cut-body" 0;
    /// The connection is reset instead of an answer.
    Reset "reset" 0;
    /// A page of HTML with status 200.
    Html200 "html-200" 0;
    /// At the token endpoint: 503 with a page of HTML.
    TokenBusy "token-busy" 0;
    /// At the token endpoint: HTML with status 200; nothing is changed.
    TokenHtml "token-html" 0;
    /// At a refresh: a new refresh token, and the old one is dead.
    TokenRotated "token-rotated" 0;
    /// At a refresh: the grant is dead for good.
    GrantDead "grant-dead" 0;
}

/// A fault that is switched on.
pub type Setting = casbah_sim::Setting<Fault>;

/// The faults that are switched on, and how often each happened.
pub(crate) type Faults = casbah_sim::Faults<Fault>;

#[cfg(test)]
mod tests {
    use super::*;

    use casbah_sim::When;

    #[test]
    fn settings_are_read_as_written() {
        let cases = [
            ("reset=0.25", Fault::Reset, When::Chance(0.25), 0),
            ("busy-504=1:500", Fault::Busy, When::Chance(1.0), 500),
            ("wide=3x", Fault::Wide, When::Next(3), 30),
        ];
        for (text, fault, when, value) in cases {
            assert_eq!(text.parse::<Setting>().unwrap(), Setting { fault, when, value }, "{text}");
        }
        for text in ["reset", "reset=", "reset=2", "nothing=1", "reset=1:x", "reset=-1"] {
            assert!(text.parse::<Setting>().is_err(), "{text} was read");
        }
    }
}
