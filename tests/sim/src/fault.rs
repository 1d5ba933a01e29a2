//! Faults that can be switched on: how they are written, and when they happen.
//!
//! Which there are is told by each simulator, with [`faults!`](crate::faults).

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::str::FromStr;

use crate::error::Error;
use crate::random::Random;

/// The faults of a simulator: an enumeration made by [`faults!`](crate::faults).
pub trait Fault: Copy + Ord + Debug + Send + Sync + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Its name on the command line.
    fn name(self) -> &'static str;

    /// What it does, for people.
    fn meaning(self) -> &'static str;

    /// The value that it has when none is given.
    fn default_value(self) -> u64;
}

/// Makes the enumeration `Fault` of a simulator. Each fault has its meaning as documentation, a name
/// for the command line, and the value that it has when none is given.
#[macro_export]
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
        }

        impl $crate::Fault for Fault {
            const ALL: &'static [Self] = Self::ALL;

            fn name(self) -> &'static str {
                self.name()
            }

            fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)* }
            }

            fn default_value(self) -> u64 {
                match self { $(Self::$variant => $value,)* }
            }
        }
    };
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
pub struct Setting<F> {
    /// What goes wrong.
    pub fault: F,
    /// When.
    pub when: When,
    /// How much of it; what that means depends on the fault.
    pub value: u64,
}

impl<F: Fault> FromStr for Setting<F> {
    type Err = Error;

    /// Reads `name=0.05` (probability), `name=3x` (the next three), each with `:value` behind.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::setting(format!(
                "`{text}` is not a fault\nhint: NAME=PROBABILITY or NAME=TIMESx, with :VALUE behind \
                 where the fault takes one, e.g. `slow-body=0.1:500`"
            ))
        };
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let fault = F::ALL.iter().copied().find(|fault| fault.name() == name).ok_or_else(|| {
            let names: Vec<&str> = F::ALL.iter().map(|fault| fault.name()).collect();
            Error::setting(format!("there is no fault `{name}`\nhint: one of {}", names.join(", ")))
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

/// Reads things as on the command line, one a line; empty lines are none.
///
/// # Errors
/// The first that can't be read.
pub fn lines<T: FromStr<Err = Error>>(body: &[u8]) -> Result<Vec<T>, Error> {
    let text = String::from_utf8_lossy(body);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::parse).collect()
}

/// The faults that are switched on, and how often each happened.
#[derive(Debug)]
pub struct Faults<F> {
    random: Random,
    settings: BTreeMap<F, Setting<F>>,
    happened: BTreeMap<F, u64>,
}

impl<F: Fault> Faults<F> {
    /// These, with a seed for when they happen.
    pub fn new(seed: u64, settings: &[Setting<F>]) -> Self {
        let settings = settings.iter().map(|setting| (setting.fault, *setting)).collect();
        Self { random: Random::new(seed), settings, happened: BTreeMap::new() }
    }

    /// Switches a fault on, or changes it.
    pub fn set(&mut self, setting: Setting<F>) {
        self.settings.insert(setting.fault, setting);
    }

    /// Switches faults on as on the command line, one a line: all of them, or none.
    ///
    /// # Errors
    /// The first that can't be read.
    pub fn set_lines(&mut self, body: &[u8]) -> Result<(), Error> {
        lines(body)?.into_iter().for_each(|setting| self.set(setting));
        Ok(())
    }

    /// Switches all faults off.
    pub fn clear(&mut self) {
        self.settings.clear();
    }

    /// Those that are switched on.
    pub fn settings(&self) -> impl Iterator<Item = &Setting<F>> {
        self.settings.values()
    }

    /// How often each happened, by name.
    pub fn happened(&self) -> BTreeMap<&'static str, u64> {
        self.happened.iter().map(|(fault, count)| (fault.name(), *count)).collect()
    }

    /// Whether a fault happens now, and with which value.
    pub fn draw(&mut self, fault: F) -> Option<u64> {
        self.draw_if(fault, |_| true)
    }

    /// The same where the value decides whether it can happen at all.
    pub fn draw_if(&mut self, fault: F, can: impl Fn(u64) -> bool) -> Option<u64> {
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

    /// The numbers that faults are made with.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro makes what simulators show to others")]
mod tests {
    use super::{Faults, Setting, When};

    crate::faults! {
        /// Everything breaks.
        Break "break" 0;
        /// It takes a while; value:
        /// milliseconds.
        Wait "wait" 40;
    }

    #[test]
    fn settings_are_read_as_written() {
        let cases = [
            ("break=0.25", Fault::Break, When::Chance(0.25), 0),
            ("wait=1:500", Fault::Wait, When::Chance(1.0), 500),
            ("wait=3x", Fault::Wait, When::Next(3), 40),
            ("break=2x:7", Fault::Break, When::Next(2), 7),
        ];
        for (text, fault, when, value) in cases {
            assert_eq!(
                text.parse::<Setting<_>>().unwrap(),
                Setting { fault, when, value },
                "{text}"
            );
        }
        let wrong = [
            "break",
            "break=",
            "break=2",
            "none=1",
            "break=1:x",
            "break=-1",
            "break=x",
            "break=nan",
        ];
        for text in wrong {
            assert!(text.parse::<Setting<Fault>>().is_err(), "{text} was read");
        }
        let message = "none=1".parse::<Setting<Fault>>().unwrap_err().to_string();
        assert_eq!(message, "there is no fault `none`\nhint: one of break, wait");
        assert_eq!(crate::Fault::meaning(Fault::Wait), "It takes a while; value: milliseconds.");
    }

    #[test]
    fn a_count_is_used_up_and_a_chance_is_about_right() {
        let mut faults = Faults::new(1, &["break=2x".parse().unwrap()]);
        faults.set_lines(b"wait=0.3\n\n").unwrap();
        assert_eq!((0..10).filter(|_| faults.draw(Fault::Break).is_some()).count(), 2);
        let waits = (0..10_000).filter(|_| faults.draw(Fault::Wait).is_some()).count();
        assert!((2_700..3_300).contains(&waits), "{waits}");
        assert_eq!(faults.happened().get("break"), Some(&2));
    }

    #[test]
    fn what_the_value_forbids_uses_nothing_up() {
        let mut faults = Faults::new(1, &["wait=1x:40".parse().unwrap()]);
        assert_eq!(faults.draw_if(Fault::Wait, |value| value > 40), None);
        assert_eq!(faults.draw_if(Fault::Wait, |value| value == 40), Some(40));
    }

    #[test]
    fn one_wrong_line_changes_nothing() {
        let mut faults = Faults::<Fault>::new(1, &[]);
        assert!(faults.set_lines(b"break=1\nnone=1\n").is_err());
        assert_eq!(faults.settings().count(), 0);
    }
}
