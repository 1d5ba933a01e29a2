//! Faults that can be switched on: what the app, or what stands between, does wrong.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::random::Random;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $value:literal;)*) => {
        /// Something that goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does, for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)* }
            }

            /// The value that it has when none is given.
            pub fn default_value(self) -> u64 {
                match self { $(Self::$variant => $value,)* }
            }
        }
    };
}

faults! {
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

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// With this probability.
    Chance(f64),
    /// The next so many times that it could happen.
    Next(u64),
}

/// A fault that is switched on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// What goes wrong.
    pub fault: Fault,
    /// When.
    pub when: When,
    /// How much of it; what that means depends on the fault.
    pub value: u64,
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|fault| fault.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|fault| fault.name()).collect();
            let message = format!("there is no fault `{text}`\nhint: one of {}", names.join(", "));
            Error::new(ErrorKind::Setting, message)
        })
    }
}

impl FromStr for Setting {
    type Err = Error;

    /// Reads `name=0.05` (probability), `name=3x` (the next three), each with `:value` behind.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let message = format!(
                "`{text}` is not a fault\nhint: NAME=PROBABILITY or NAME=TIMESx, with :VALUE \
                 behind where the fault takes one, e.g. `slow-body=0.1:500`"
            );
            Error::new(ErrorKind::Setting, message)
        };
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let fault: Fault = name.parse()?;
        let (when, value) = match rest.split_once(':') {
            Some((when, value)) => (when, value.parse().map_err(|_| wrong())?),
            None => (rest, fault.default_value()),
        };
        let when = match when.strip_suffix('x') {
            Some(times) => When::Next(times.parse().map_err(|_| wrong())?),
            None => When::Chance(when.parse().map_err(|_| wrong())?),
        };
        if let When::Chance(chance) = when
            && !(0.0..=1.0).contains(&chance)
        {
            return Err(wrong());
        }
        Ok(Self { fault, when, value })
    }
}

/// The faults that are switched on, and how often each happened.
#[derive(Debug)]
pub(crate) struct Faults {
    random: Random,
    settings: BTreeMap<Fault, Setting>,
    pub(crate) happened: BTreeMap<Fault, u64>,
}

impl Faults {
    pub(crate) fn new(seed: u64, settings: &[Setting]) -> Self {
        let settings = settings.iter().map(|setting| (setting.fault, *setting)).collect();
        Self { random: Random::new(seed), settings, happened: BTreeMap::new() }
    }

    pub(crate) fn set(&mut self, setting: Setting) {
        self.settings.insert(setting.fault, setting);
    }

    pub(crate) fn clear(&mut self) {
        self.settings.clear();
    }

    pub(crate) fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.settings.values()
    }

    /// Whether a fault happens now, and with which value.
    pub(crate) fn draw(&mut self, fault: Fault) -> Option<u64> {
        self.draw_if(fault, |_| true)
    }

    /// The same where the value decides whether it can happen at all.
    pub(crate) fn draw_if(&mut self, fault: Fault, can: impl Fn(u64) -> bool) -> Option<u64> {
        let setting = self.settings.get_mut(&fault)?;
        if !can(setting.value) {
            return None;
        }
        match &mut setting.when {
            When::Chance(chance) => {
                let chance = *chance;
                if !self.random.chance(chance) {
                    return None;
                }
            }
            When::Next(0) => return None,
            When::Next(left) => *left -= 1,
        }
        *self.happened.entry(fault).or_default() += 1;
        Some(setting.value)
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_count_is_used_up_and_a_chance_is_about_right() {
        let settings = ["reset=2x".parse().unwrap(), "disorder=0.3".parse().unwrap()];
        let mut faults = Faults::new(1, &settings);
        let resets = (0..10).filter(|_| faults.draw(Fault::Reset).is_some()).count();
        assert_eq!(resets, 2);
        let shuffles = (0..10_000).filter(|_| faults.draw(Fault::Disorder).is_some()).count();
        assert!((2_700..3_300).contains(&shuffles), "{shuffles}");
        assert_eq!(faults.happened.get(&Fault::Reset), Some(&2));
    }
}
