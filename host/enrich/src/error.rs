//! What can be wrong with what enrichment is fed from.

use std::fmt;

use casbah_yaml::{Excerpt, Wrong};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrichProblem {
    /// What kind of thing.
    pub kind: EnrichProblemKind,
    /// The file.
    pub file: String,
    /// Line and column, both from 1; `None` when it is about the whole file.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    excerpt: Option<Excerpt>,
}

impl EnrichProblem {
    pub(crate) fn whole(
        kind: EnrichProblemKind,
        file: &str,
        message: impl Into<String>,
        hint: &str,
    ) -> Self {
        Self {
            kind,
            file: file.to_owned(),
            place: None,
            message: message.into(),
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
            excerpt: None,
        }
    }

    pub(crate) fn at(kind: EnrichProblemKind, file: &str, text: &str, wrong: Wrong) -> Self {
        let span = wrong.span.within(text);
        Self {
            kind,
            file: file.to_owned(),
            place: Some((span.line, span.column)),
            message: wrong.message,
            hint: wrong.hint,
            excerpt: Excerpt::of(text, span),
        }
    }
}

impl fmt::Display for EnrichProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.map(|place| (place, self.excerpt.as_ref()));
        casbah_yaml::show(f, &self.message, &self.file, place, self.hint.as_deref())
    }
}

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
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for EnrichErrors {}
