//! What can be wrong with what enrichment is fed from.

use std::fmt;

/// Kind of an [`EnrichProblem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnrichProblemKind {
    /// A file can't be read, or is too large.
    Read,
    /// A file is not of the form it should have, or damaged.
    Format,
    /// A key of `ip-ranges.yaml` that nobody knows, or one that is missing.
    Key,
    /// A value that its key can't have.
    Value,
    /// Two ranges hold the same addresses, or two things have one name.
    Overlap,
}

/// One thing wrong with one file.
pub type EnrichProblem = casbah_yaml::Problem<EnrichProblemKind>;

/// Everything that is wrong with what enrichment is fed from; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrichErrors {
    problems: Vec<EnrichProblem>,
}

impl EnrichErrors {
    /// `None` when there are none.
    pub(crate) fn of(problems: Vec<EnrichProblem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// The problems, in the order of the settings and of the lines.
    pub fn problems(&self) -> &[EnrichProblem] {
        &self.problems
    }
}

impl From<EnrichProblem> for EnrichErrors {
    fn from(problem: EnrichProblem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for EnrichErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        casbah_yaml::show_all(f, &self.problems)
    }
}

impl std::error::Error for EnrichErrors {}
