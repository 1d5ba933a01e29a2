//! One question about one value, and how it is answered.
//!
//! It knows no batches: `evaluate` walks the rows and asks each distinct text once.

use regex_lite::Regex;

use crate::address::Network;
use crate::plan::Source;

/// A filter row in the form in which it is evaluated. Equal rows of different policies are equal
/// here, however they were written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Predicate {
    /// Index of the field in the plan.
    pub(crate) source: Source,
    /// What a value is asked.
    pub(crate) test: Test,
    /// Holds when no value passes the test.
    pub(crate) negated: bool,
    /// The answer where there is no value.
    pub(crate) missing: bool,
}

/// What a value is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// Nothing: being there is enough.
    Present,
    /// Equals one of these texts, sorted.
    AnyOf(Wanted),
    /// Is a list separated by commas that has one of these elements, sorted.
    Has(Wanted),
    /// Contains one of these texts.
    Contains(Wanted),
    /// Starts with one of these texts.
    Starts(Wanted),
    /// Ends with one of these texts.
    Ends(Wanted),
    /// A part of it matches.
    Matches(Pattern),
    /// Lies in one of these ranges of addresses.
    Within(Vec<Network>),
    /// Equals one of these integers, sorted.
    Integers(Vec<i64>),
    /// Integer above (exclusive).
    Above(i64),
    /// Integer below (exclusive).
    Below(i64),
    /// Number above (exclusive); a text is read as a number.
    AboveNumber(f64),
    /// Number below (exclusive); a text is read as a number.
    BelowNumber(f64),
}

/// Texts to compare with, in lower case already where case is ignored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) texts: Vec<String>,
    pub(crate) ignore_case: bool,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Writes the lower case of a text into a buffer, character by character: no locale, no
/// normalization, and no special case for a sigma at the end of a word.
pub(crate) fn lower_into(text: &str, buffer: &mut String) {
    buffer.clear();
    if text.is_ascii() {
        buffer.push_str(text);
        buffer.make_ascii_lowercase();
    } else {
        buffer.extend(text.chars().flat_map(char::to_lowercase));
    }
}

/// The lower case of a text.
pub(crate) fn lower(text: &str) -> String {
    let mut buffer = String::with_capacity(text.len());
    lower_into(text, &mut buffer);
    buffer
}

impl Wanted {
    fn any(&self, text: &str, buffer: &mut String, holds: impl Fn(&str, &str) -> bool) -> bool {
        let text = if self.ignore_case {
            lower_into(text, buffer);
            buffer.as_str()
        } else {
            text
        };
        self.texts.iter().any(|wanted| holds(text, wanted))
    }

    /// Whether an element of a list separated by commas is wanted.
    fn element(&self, text: &str, buffer: &mut String) -> bool {
        text.split(',').any(|element| self.equals(element.trim(), buffer))
    }

    fn equals(&self, text: &str, buffer: &mut String) -> bool {
        match self.texts.as_slice() {
            // Other characters may have an ASCII lower case, but an ASCII text is its own.
            [wanted] if self.ignore_case && text.is_ascii() => text.eq_ignore_ascii_case(wanted),
            [wanted] if !self.ignore_case => text == wanted,
            wanted => {
                let text = if self.ignore_case {
                    lower_into(text, buffer);
                    buffer.as_str()
                } else {
                    text
                };
                wanted.binary_search_by(|wanted| wanted.as_str().cmp(text)).is_ok()
            }
        }
    }
}

impl Test {
    /// Asks a text. `buffer` is room to work in.
    pub(crate) fn text(&self, text: &str, buffer: &mut String) -> bool {
        match self {
            Self::Present => true,
            Self::AnyOf(wanted) => wanted.equals(text, buffer),
            Self::Has(wanted) => wanted.element(text, buffer),
            Self::Contains(wanted) => {
                wanted.any(text, buffer, |text, wanted| text.contains(wanted))
            }
            Self::Starts(wanted) => {
                wanted.any(text, buffer, |text, wanted| text.starts_with(wanted))
            }
            Self::Ends(wanted) => wanted.any(text, buffer, |text, wanted| text.ends_with(wanted)),
            Self::Matches(pattern) => pattern.regex.is_match(text),
            Self::Within(networks) => Network::any_holds(networks, text),
            Self::AboveNumber(limit) => text.parse::<f64>().is_ok_and(|value| value > *limit),
            Self::BelowNumber(limit) => text.parse::<f64>().is_ok_and(|value| value < *limit),
            Self::Integers(_) | Self::Above(_) | Self::Below(_) => false,
        }
    }

    /// Asks an integer.
    pub(crate) fn integer(&self, value: i64) -> bool {
        match self {
            Self::Present => true,
            Self::Integers(wanted) => match wanted.as_slice() {
                [wanted] => *wanted == value,
                wanted => wanted.binary_search(&value).is_ok(),
            },
            Self::Above(limit) => value > *limit,
            Self::Below(limit) => value < *limit,
            _ => false,
        }
    }

    /// Asks a float.
    pub(crate) fn number(&self, value: f64) -> bool {
        match self {
            Self::Present => true,
            Self::AboveNumber(limit) => value > *limit,
            Self::BelowNumber(limit) => value < *limit,
            _ => false,
        }
    }

    /// How much work it is, beside other tests.
    pub(crate) fn rank(&self) -> u32 {
        match self {
            Self::Present | Self::AnyOf(_) => 0,
            Self::Integers(_) | Self::Above(_) | Self::Below(_) => 0,
            Self::AboveNumber(_) | Self::BelowNumber(_) => 1,
            Self::Has(_) | Self::Starts(_) | Self::Ends(_) | Self::Contains(_) => 2,
            Self::Within(_) => 4,
            Self::Matches(_) => 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The short cuts for ASCII and for single values say what lowering both sides says.
        #[test]
        fn short_cuts_agree_with_the_rule(text in "[a-zA-ZßÄäİKſσςΣ1]{0,6}", wanted in "[a-zA-ZßÄäİKſσςΣ1]{1,6}") {
            let plain: String = text.chars().flat_map(char::to_lowercase).collect();
            let want: String = wanted.chars().flat_map(char::to_lowercase).collect();
            let wanted = Wanted { texts: vec![lower(&wanted)], ignore_case: true };
            let mut buffer = String::new();
            prop_assert_eq!(Test::AnyOf(wanted.clone()).text(&text, &mut buffer), plain == want);
            prop_assert_eq!(Test::Contains(wanted.clone()).text(&text, &mut buffer), plain.contains(&want));
            prop_assert_eq!(Test::Starts(wanted.clone()).text(&text, &mut buffer), plain.starts_with(&want));
            prop_assert_eq!(Test::Ends(wanted.clone()).text(&text, &mut buffer), plain.ends_with(&want));
            let list = format!("x y, {text},{text}z");
            prop_assert_eq!(Test::Has(wanted).text(&list, &mut buffer), plain == want || format!("{plain}z") == want);
        }
    }
}
