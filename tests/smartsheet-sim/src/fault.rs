//! Faults that can be switched on: what the app, or what stands between, does wrong.

casbah_sim::faults! {
    /// 429 with code 4003, without `Retry-After`.
    RateLimited "rate-limited" 0;
    /// 429 with code 4003 and `Retry-After`; value: seconds.
    RateLimitedRetryAfter "rate-limited-retry-after" 1;
    /// 500 with code 4002 when `maxCount` is above the value.
    PageTooBig "page-too-big" 1000;
    /// 503 with code 4001: maintenance.
    Maintenance "maintenance" 0;
    /// 500 with code 4004: unexpected.
    Unexpected "unexpected" 0;
    /// 500 with code 4000: internal error, without `refId`.
    Internal "internal" 0;
    /// 401 with code 1003, and the access token stays expired; a refresh helps.
    TokenExpired "token-expired" 0;
    /// 401 with code 1002, and the access token is dead; a refresh helps.
    TokenDead "token-dead" 0;
    /// `invalid_grant` at a refresh, and the grant is dead for good.
    GrantDead "grant-dead" 0;
    /// 403 with code 1013 at the audit log: the add-on is missing.
    AddOnMissing "add-on-missing" 0;
    /// 403 with code 1004 at the audit log: no administrator any more.
    AdminLost "admin-lost" 0;
    /// 400 with code 1018: the stream position is refused.
    PositionRefused "position-refused" 0;
    /// Events of earlier places again on a page; value: how many at most.
    Duplicates "duplicates" 20;
    /// The events of a page in random order.
    Disorder "disorder" 0;
    /// No events, with `moreAvailable` true and a new position.
    EmptyPage "empty-page" 0;
    /// A last page without `nextStreamPosition`.
    NoPosition "no-position" 0;
    /// A page with more to come, but without `nextStreamPosition`.
    NoPositionMore "no-position-more" 0;
    /// A page whose position is the one that was asked for, with `moreAvailable` true.
    StuckPosition "stuck-position" 0;
    /// `moreAvailable` as a text.
    MoreAsText "more-as-text" 0;
    /// The body comes in ten pieces; value: milliseconds for all of them.
    SlowBody "slow-body" 1000;
    /// The connection closes in the middle of the body.
    CutBody "cut-body" 0;
    /// The connection is reset instead of an answer.
    Reset "reset" 0;
    /// A page of HTML with status 200.
    Html200 "html-200" 0;
    /// A page of HTML with status 502, as a proxy gives it.
    Html502 "html-502" 0;
    /// At the token endpoint: the pair is changed, but the answer is lost.
    TokenLost "token-lost" 0;
    /// At the token endpoint: 503 without JSON.
    TokenBusy "token-busy" 0;
    /// At the token endpoint: 307 to another path, which takes the secrets there.
    TokenRedirect "token-redirect" 0;
    /// At the token endpoint: HTML with status 200; nothing is changed.
    TokenHtml "token-html" 0;
    /// At the token endpoint: status 200 and an empty body; nothing is changed.
    TokenEmpty "token-empty" 0;
    /// At the token endpoint: the answer comes late; value: milliseconds.
    TokenSlow "token-slow" 200;
    /// At a refresh: no new refresh token in the answer, the old one stays good.
    TokenNoRefresh "token-no-refresh" 0;
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
            ("page-too-big=1:500", Fault::PageTooBig, When::Chance(1.0), 500),
            ("duplicates=3x", Fault::Duplicates, When::Next(3), 20),
            ("slow-body=2x:40", Fault::SlowBody, When::Next(2), 40),
        ];
        for (text, fault, when, value) in cases {
            assert_eq!(text.parse::<Setting>().unwrap(), Setting { fault, when, value }, "{text}");
        }
        for text in ["reset", "reset=", "reset=2", "nothing=1", "reset=1:x", "reset=-1", "reset=x"]
        {
            assert!(text.parse::<Setting>().is_err(), "{text} was read");
        }
    }
}
