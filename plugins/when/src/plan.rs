//! What all policies ask, compiled once: fields and predicates that several policies share are
//! held once, and the cheap and common questions of a policy come first.
//!
//! It is not where settings are checked: `settings` fills it.

use casbah_model::Batch;

use crate::fields::{Cells, Field};
use crate::predicate::Predicate;

/// What the policies of a detector ask and name: see [`settings::compile`](crate::settings::compile).
#[derive(Debug, Default)]
pub struct Plan {
    /// Fields that any policy names.
    pub(crate) sources: Vec<Field>,
    /// Predicates that any policy asks.
    pub(crate) predicates: Vec<Predicate>,
    /// How many times each predicate is asked.
    pub(crate) uses: Vec<u32>,
}

/// A field that a policy names, by its place in the [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(pub(crate) usize);

/// Which activities a policy means, compiled into a [`Plan`].
#[derive(Clone, Debug, PartialEq)]
pub struct When(pub(crate) Expression);

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
    /// The field of that name; its values are at hand in every [`Evaluation`](crate::Evaluation).
    ///
    /// # Errors
    /// A sentence with a hint, where there is no such field.
    pub fn source(&mut self, name: &str) -> Result<Source, String> {
        if let Some(index) = self.sources.iter().position(|field| field.name() == name) {
            return Ok(Source(index));
        }
        self.sources.push(Field::find(name)?);
        Ok(Source(self.sources.len() - 1))
    }

    /// A field, as named.
    pub fn field(&self, source: Source) -> Option<&Field> {
        self.sources.get(source.0)
    }

    /// The name of a field.
    pub fn name(&self, source: Source) -> &str {
        self.field(source).map(Field::name).unwrap_or_default()
    }

    /// The values of a field in a batch.
    pub fn cells<'a>(&'a self, source: Source, batch: &'a Batch) -> Cells<'a> {
        self.field(source).map_or(Cells::Absent, |field| Cells::of(field, batch))
    }

    /// Fields with their values in the row of a batch: the group of a finding.
    pub fn group(&self, sources: &[Source], batch: &Batch, row: usize) -> Vec<(String, String)> {
        let value = |&source: &Source| {
            let cell = self.cells(source, batch).cell(batch, row);
            (self.name(source).to_owned(), cell.text(batch))
        };
        sources.iter().map(value).collect()
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
                let field = self.field(predicate.source).map_or(0, Field::rank);
                field + predicate.test.rank()
            }),
            Expression::Not(inner) => self.rank(inner).saturating_add(1),
            Expression::All(parts) | Expression::Any(parts) => parts
                .iter()
                .fold(1, |sum: u32, part| sum.saturating_add(self.rank(part)).saturating_add(1)),
        }
    }
}
