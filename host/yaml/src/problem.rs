//! What is wrong with a file, as people are told.

use std::fmt;

use crate::place::{Excerpt, show};
use crate::tree::Wrong;

/// One thing wrong with one file; `K` is the kinds of things that can be wrong with such files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem<K> {
    /// What kind of thing.
    pub kind: K,
    /// The file.
    pub file: String,
    /// Line and column, both from 1; `None` when it is about the whole file.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line and what to underline in it.
    excerpt: Option<Excerpt>,
}

impl<K> Problem<K> {
    /// Something about the whole file; an empty hint is none.
    pub fn whole(kind: K, file: &str, message: impl Into<String>, hint: &str) -> Self {
        Self {
            kind,
            file: file.to_owned(),
            place: None,
            message: message.into(),
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
            excerpt: None,
        }
    }

    /// Something at a place of the file, which has this text.
    pub fn at(kind: K, file: &str, text: &str, wrong: Wrong) -> Self {
        let Wrong { span, message, hint } = wrong;
        let span = span.within(text);
        Self {
            kind,
            file: file.to_owned(),
            place: Some((span.line, span.column)),
            message,
            hint,
            excerpt: Excerpt::of(text, span),
        }
    }
}

impl<K> fmt::Display for Problem<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.map(|place| (place, self.excerpt.as_ref()));
        show(f, &self.message, &self.file, place, self.hint.as_deref())
    }
}

/// Writes problems one below the other, with an empty line in between.
///
/// # Errors
/// Those of the formatter.
pub fn show_all<K>(f: &mut fmt::Formatter<'_>, problems: &[Problem<K>]) -> fmt::Result {
    for (index, problem) in problems.iter().enumerate() {
        if index > 0 {
            f.write_str("\n\n")?;
        }
        write!(f, "{problem}")?;
    }
    Ok(())
}
