//! What all policies ask, compiled once: fields and predicates that several policies share are
//! held once, and the cheap and common questions of a policy come first.
//!
//! It is not where settings are checked: `settings` fills it.

use crate::fields::Field;
use crate::predicate::Predicate;

/// All policies of a group.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Fields that any policy names.
    pub(crate) sources: Vec<Field>,
    /// Predicates that any policy asks.
    pub(crate) predicates: Vec<Predicate>,
    /// How many times each predicate is asked.
    pub(crate) uses: Vec<u32>,
    /// The policies, in the order given.
    pub(crate) policies: Vec<Policy>,
}

/// A policy's settings in the form in which they are evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Which activities are meant.
    pub(crate) when: Expression,
    /// Fields that name what an alert is about.
    pub(crate) group: Vec<usize>,
    /// Length of the quiet window, ms; 0 for none.
    pub(crate) quiet: i64,
    /// Whether and how activities are counted.
    pub(crate) repeat: Option<Repeat>,
}

/// How many activities make a finding.
#[derive(Clone, Debug)]
pub(crate) struct Repeat {
    /// At least so many.
    pub(crate) count: u32,
    /// Within so many ms.
    pub(crate) within: i64,
    /// How late an activity may come, ms.
    pub(crate) lateness: i64,
    /// Fields whose values are counted apart.
    pub(crate) by: Vec<usize>,
    /// Field whose distinct values are counted, instead of the activities.
    pub(crate) distinct: Option<usize>,
}

/// Predicates, joined.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    /// Index of a predicate.
    Row(usize),
    /// All hold; the cheapest come first.
    All(Vec<Expression>),
    /// At least one holds.
    Any(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
}

impl Plan {
    /// Index of the field of that name.
    pub(crate) fn source(&mut self, name: &str) -> Result<usize, String> {
        if let Some(index) = self.sources.iter().position(|field| field.name() == name) {
            return Ok(index);
        }
        self.sources.push(Field::find(name)?);
        Ok(self.sources.len() - 1)
    }

    /// Index of a predicate, shared with its equals.
    pub(crate) fn predicate(&mut self, predicate: Predicate) -> usize {
        match self.predicates.iter().position(|other| *other == predicate) {
            Some(index) => {
                if let Some(uses) = self.uses.get_mut(index) {
                    *uses += 1;
                }
                index
            }
            None => {
                self.predicates.push(predicate);
                self.uses.push(1);
                self.predicates.len() - 1
            }
        }
    }

    /// Joins with *and*, the cheapest first: the answer is the same, since predicates only look.
    pub(crate) fn all(&self, mut parts: Vec<Expression>) -> Expression {
        parts.sort_by_cached_key(|part| self.rank(part));
        if parts.len() == 1
            && let Some(part) = parts.pop()
        {
            return part;
        }
        Expression::All(parts)
    }

    fn rank(&self, expression: &Expression) -> u32 {
        match expression {
            Expression::Row(index) => self.predicates.get(*index).map_or(0, |predicate| {
                let field = self.sources.get(predicate.source).map_or(0, Field::rank);
                field + predicate.test.rank()
            }),
            Expression::Not(inner) => self.rank(inner).saturating_add(1),
            Expression::All(parts) | Expression::Any(parts) => parts
                .iter()
                .fold(1, |sum: u32, part| sum.saturating_add(self.rank(part)).saturating_add(1)),
        }
    }
}
