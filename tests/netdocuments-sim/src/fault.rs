//! Faults that can be switched on: what the app, or what stands between, does wrong.

use std::collections::BTreeMap;
use std::str::FromStr;

use smartsheet_sim::random::Random;

use crate::error::Error;

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

impl FromStr for Setting {
    type Err = Error;

    /// Reads `name=0.05` (probability), `name=3x` (the next three), each with `:value` behind.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::new(format!(
                "`{text}` is not a fault\nhint: NAME=PROBABILITY or NAME=TIMESx, with :VALUE behind \
                 where the fault takes one, e.g. `slow-body=0.1:500`"
            ))
        };
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let fault = Fault::ALL.iter().copied().find(|fault| fault.name() == name);
        let fault = fault.ok_or_else(|| {
            let names: Vec<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
            Error::new(format!("there is no fault `{name}`\nhint: one of {}", names.join(", ")))
        })?;
        let (when, value) = match rest.split_once(':') {
            Some((when, value)) => (when, value.parse().map_err(|_| wrong())?),
            None => (rest, fault.default_value()),
        };
        let when = match when.strip_suffix('x') {
            Some(times) => When::Next(times.parse().map_err(|_| wrong())?),
            None => match when.parse() {
                Ok(chance) if (0.0..=1.0).contains(&chance) => When::Chance(chance),
                _ => return Err(wrong()),
            },
        };
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

    #[test]
    fn a_count_is_used_up() {
        let mut faults = Faults::new(1, &["reset=2x".parse().unwrap()]);
        assert_eq!((0..10).filter(|_| faults.draw(Fault::Reset).is_some()).count(), 2);
        assert_eq!(faults.happened.get(&Fault::Reset), Some(&2));
    }
}
