//! Faults that can be switched on: what the app, or what stands between, does wrong.

use std::collections::BTreeMap;
use std::str::FromStr;

use smartsheet_sim::When;
use smartsheet_sim::random::Random;

use crate::error::Error;

/// Something that goes wrong: its name, the value that it has when none is given, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its name on the command line.
    pub name: &'static str,
    /// The value that it has when none is given.
    pub value: u64,
    /// What it does, for people.
    pub meaning: &'static str,
}

macro_rules! faults {
    ($($constant:ident $name:literal $value:literal $meaning:literal;)*) => {
        $(pub(crate) const $constant: &str = $name;)*

        /// All faults.
        pub const FAULTS: &[Fault] =
            &[$(Fault { name: $name, value: $value, meaning: $meaning }),*];
    };
}

faults! {
    THROTTLED "throttled" 2128 "429 with Retry-After; value: milliseconds, written as seconds with a fraction";
    THROTTLED_SILENT "throttled-silent" 0 "429 without Retry-After";
    UNAVAILABLE "unavailable" 1 "503 with Retry-After; value: seconds";
    INTERNAL "internal" 0 "500 with an error object in another spelling";
    TOKEN_EXPIRED "token-expired" 0 "401, and the token is dead";
    CLAIMS "claims" 0 "403 with a claims challenge, and the token is dead";
    DENIED "denied" 0 "403: the permission is missing";
    HTML_200 "html-200" 0 "a page of HTML with status 200";
    HTML_403 "html-403" 0 "403 with the text of a page of HTML as its message";
    HTML_502 "html-502" 0 "a page of HTML with status 502";
    SLOW_BODY "slow-body" 200 "the body comes in ten pieces; value: milliseconds for all of them";
    CUT_BODY "cut-body" 0 "the connection closes in the middle of the body";
    RESET "reset" 0 "the connection is reset instead of an answer";
    RESYNC "resync" 0 "410 with a Location instead of what a link leads to";
    STATE_LOST "state-lost" 0 "400 with syncStateNotFound instead of what a link leads to";
    EMPTY_PAGE "empty-page" 0 "no records, with a link to more";
    REPEATS "repeats" 5 "users of the page before again; value: how many at most";
    EVIL_LINK "evil-link" 0 "a link to another host";
    NULL_STATE "null-state" 0 "accountEnabled is null for all of a page";
    TOKEN_BUSY "token-busy" 0 "token end point: 503 and temporarily_unavailable";
    TOKEN_HTML "token-html" 0 "token end point: 200 with HTML";
    TOKEN_SLOW "token-slow" 200 "token end point: a late answer; value: milliseconds";
}

/// A fault that is switched on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// What goes wrong.
    pub fault: &'static str,
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
                 where the fault takes one, e.g. `throttled=0.1:500`"
            ))
        };
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let fault = FAULTS.iter().find(|fault| fault.name == name).ok_or_else(|| {
            let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
            Error::new(format!("there is no fault `{name}`\nhint: one of {}", names.join(", ")))
        })?;
        let (when, value) = match rest.split_once(':') {
            Some((when, value)) => (when, value.parse().map_err(|_| wrong())?),
            None => (rest, fault.value),
        };
        let when = match when.strip_suffix('x') {
            Some(times) => When::Next(times.parse().map_err(|_| wrong())?),
            None => match when.parse() {
                Ok(chance) if (0.0..=1.0).contains(&chance) => When::Chance(chance),
                _ => return Err(wrong()),
            },
        };
        Ok(Self { fault: fault.name, when, value })
    }
}

/// The faults that are switched on, and how often each happened.
#[derive(Debug)]
pub(crate) struct Faults {
    random: Random,
    settings: BTreeMap<&'static str, Setting>,
    pub(crate) happened: BTreeMap<&'static str, u64>,
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
    pub(crate) fn draw(&mut self, fault: &'static str) -> Option<u64> {
        let setting = self.settings.get_mut(fault)?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_written() {
        let cases = [
            ("reset=0.25", "reset", When::Chance(0.25), 0),
            ("throttled=1:500", "throttled", When::Chance(1.0), 500),
            ("repeats=3x", "repeats", When::Next(3), 5),
        ];
        for (text, fault, when, value) in cases {
            assert_eq!(text.parse::<Setting>().unwrap(), Setting { fault, when, value }, "{text}");
        }
        for text in ["reset", "reset=", "reset=2", "nothing=1", "reset=1:x", "reset=-1"] {
            assert!(text.parse::<Setting>().is_err(), "{text} was read");
        }
    }
}
