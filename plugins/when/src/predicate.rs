//! One question about one value, and how it is answered.
//!
//! It knows no batches: `evaluate` walks the rows and asks each distinct text once.

use std::hash::{Hash, Hasher};

use casbah_model::time;
use regex_lite::Regex;

use crate::address::Networks;
use crate::glob::Glob;
use crate::part::Part;
use crate::plan::Source;
use crate::wanted::{Wanted, lower_into};

/// A filter row in the form in which it is evaluated. Equal rows of different policies are equal
/// here, however they were written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Test {
    /// Nothing: being there is enough.
    Present,
    /// Equals one of these texts.
    AnyOf(Wanted),
    /// Is a list separated by commas that has one of these elements.
    Has(Wanted),
    /// Contains one of these texts.
    Contains(Wanted),
    /// Contains all of these texts.
    ContainsAll(Wanted),
    /// Starts with one of these texts.
    Starts(Wanted),
    /// Ends with one of these texts.
    Ends(Wanted),
    /// Is matched as a whole by one of these patterns with wildcards.
    Like(Globs),
    /// A part of it matches.
    Matches(Pattern),
    /// Lies in one of these ranges of addresses.
    Within(Networks),
    /// Equals one of these integers, sorted.
    Integers(Vec<i64>),
    /// Integer above (exclusive).
    Above(i64),
    /// Integer below (exclusive).
    Below(i64),
    /// Number above; a text is read as a number.
    AboveNumber(Limit),
    /// Number below; a text is read as a number.
    BelowNumber(Limit),
    /// This part of a time passes a test; a text is read as a time.
    OfTime {
        /// Which part.
        part: Part,
        /// Distance from UTC, ms.
        zone: i64,
        /// What the part is asked, as an integer.
        test: Box<Test>,
    },
    /// A time less than so many ms before the activity; a text is read as a time.
    Newer(i64),
    /// A time more than so many ms before the activity; a text is read as a time.
    Older(i64),
    /// Stands in a relation to another field of the same activity, or of the same object.
    Other(Relation, Source),
}

/// How one field is compared with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Relation {
    /// How.
    pub(crate) kind: RelationKind,
    /// Whether case makes no difference.
    pub(crate) ignore_case: bool,
}

/// How one field is compared with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RelationKind {
    /// They are equal.
    Same,
    /// The first contains the second.
    Contains,
    /// The first starts with the second.
    Starts,
    /// The first ends with the second.
    Ends,
}

/// A bound of a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// The number; never a NaN.
    pub(crate) number: f64,
    /// Whether it is within the bound itself.
    pub(crate) inclusive: bool,
}

impl PartialEq for Limit {
    fn eq(&self, other: &Self) -> bool {
        self.number.to_bits() == other.number.to_bits() && self.inclusive == other.inclusive
    }
}

impl Eq for Limit {}

impl Hash for Limit {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.to_bits().hash(state);
        self.inclusive.hash(state);
    }
}

/// Patterns with wildcards, in lower case already where case is ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Globs {
    pub(crate) globs: Vec<Glob>,
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

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Relation {
    /// Asks two texts. `buffers` is room to work in.
    pub(crate) fn holds(
        self,
        text: &str,
        other: &str,
        (first, second): (&mut String, &mut String),
    ) -> bool {
        let (text, other) = if self.ignore_case {
            lower_into(text, first);
            lower_into(other, second);
            (first.as_str(), second.as_str())
        } else {
            (text, other)
        };
        match self.kind {
            RelationKind::Same => text == other,
            // An empty text is in every text, which says nothing.
            _ if other.is_empty() => false,
            RelationKind::Contains => text.contains(other),
            RelationKind::Starts => text.starts_with(other),
            RelationKind::Ends => text.ends_with(other),
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
            Self::Contains(wanted) => wanted.within(text, buffer),
            Self::ContainsAll(wanted) => wanted.all_within(text, buffer),
            Self::Starts(wanted) => wanted.starts(text, buffer),
            Self::Ends(wanted) => wanted.ends(text, buffer),
            Self::Like(Globs { globs, ignore_case: false }) => {
                globs.iter().any(|glob| glob.matches(text))
            }
            Self::Like(Globs { globs, ignore_case: true }) => {
                lower_into(text, buffer);
                globs.iter().any(|glob| glob.matches(buffer))
            }
            Self::Matches(pattern) => pattern.regex.is_match(text),
            Self::Within(networks) => networks.hold(text),
            Self::AboveNumber(_) | Self::BelowNumber(_) => {
                text.parse::<f64>().is_ok_and(|value| self.number(value))
            }
            Self::OfTime { .. } => time::parse(text).is_some_and(|value| self.integer(value)),
            Self::Integers(_)
            | Self::Above(_)
            | Self::Below(_)
            | Self::Newer(_)
            | Self::Older(_)
            | Self::Other(..) => false,
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
            Self::OfTime { part, zone, test } => test.integer(part.of(value, *zone)),
            _ => false,
        }
    }

    /// Asks a float.
    pub(crate) fn number(&self, value: f64) -> bool {
        match self {
            Self::Present => true,
            Self::AboveNumber(limit) => {
                value > limit.number || (limit.inclusive && value == limit.number)
            }
            Self::BelowNumber(limit) => {
                value < limit.number || (limit.inclusive && value == limit.number)
            }
            _ => false,
        }
    }

    /// Asks how far a time lies before the activity, ms; negative behind it.
    pub(crate) fn age(&self, age: i64) -> bool {
        match self {
            Self::Newer(length) => age < *length,
            Self::Older(length) => age > *length,
            _ => false,
        }
    }

    /// Whether more than the value is looked at, so that the answer differs from row to row.
    pub(crate) fn is_of_row(&self) -> bool {
        matches!(self, Self::Newer(_) | Self::Older(_) | Self::Other(..))
    }

    /// How much work it is, beside other tests.
    pub(crate) fn rank(&self) -> u32 {
        match self {
            Self::Present | Self::AnyOf(_) => 0,
            Self::Integers(_) | Self::Above(_) | Self::Below(_) => 0,
            Self::Newer(_) | Self::Older(_) | Self::OfTime { .. } => 1,
            Self::AboveNumber(_) | Self::BelowNumber(_) => 1,
            Self::Has(_) | Self::Starts(_) | Self::Ends(_) => 2,
            Self::Contains(_) | Self::ContainsAll(_) => 3,
            Self::Within(_) => 4,
            Self::Like(_) => 5,
            Self::Other(..) => 6,
            Self::Matches(_) => 100,
        }
    }
}
