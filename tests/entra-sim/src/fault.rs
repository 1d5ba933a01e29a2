//! Faults that can be switched on: what the app, or what stands between, does wrong.

casbah_sim::faults! {
    /// 429 with Retry-After; value: milliseconds, written as seconds with a fraction
    Throttled "throttled" 2128;
    /// 429 without Retry-After
    ThrottledSilent "throttled-silent" 0;
    /// 503 with Retry-After; value: seconds
    Unavailable "unavailable" 1;
    /// 500 with an error object in another spelling
    Internal "internal" 0;
    /// 401, and the token is dead
    TokenExpired "token-expired" 0;
    /// 403 with a claims challenge, and the token is dead
    Claims "claims" 0;
    /// 403: the permission is missing
    Denied "denied" 0;
    /// a page of HTML with status 200
    Html200 "html-200" 0;
    /// 403 with the text of a page of HTML as its message
    Html403 "html-403" 0;
    /// a page of HTML with status 502
    Html502 "html-502" 0;
    /// the body comes in ten pieces; value: milliseconds for all of them
    SlowBody "slow-body" 200;
    /// the connection closes in the middle of the body
    CutBody "cut-body" 0;
    /// the connection is reset instead of an answer
    Reset "reset" 0;
    /// 410 with a Location instead of what a link leads to
    Resync "resync" 0;
    /// 400 with syncStateNotFound instead of what a link leads to
    StateLost "state-lost" 0;
    /// no records, with a link to more
    EmptyPage "empty-page" 0;
    /// users of the page before again; value: how many at most
    Repeats "repeats" 5;
    /// a link to another host
    EvilLink "evil-link" 0;
    /// accountEnabled is null for all of a page
    NullState "null-state" 0;
    /// token end point: 503 and temporarily_unavailable
    TokenBusy "token-busy" 0;
    /// token end point: 200 with HTML
    TokenHtml "token-html" 0;
    /// token end point: a late answer; value: milliseconds
    TokenSlow "token-slow" 200;
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
            ("throttled=1:500", Fault::Throttled, When::Chance(1.0), 500),
            ("repeats=3x", Fault::Repeats, When::Next(3), 5),
        ];
        for (text, fault, when, value) in cases {
            assert_eq!(text.parse::<Setting>().unwrap(), Setting { fault, when, value }, "{text}");
        }
        for text in ["reset", "reset=", "reset=2", "nothing=1", "reset=1:x", "reset=-1"] {
            assert!(text.parse::<Setting>().is_err(), "{text} was read");
        }
    }
}
