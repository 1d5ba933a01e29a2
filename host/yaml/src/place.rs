//! Shows a line of a file with what is wrong in it underlined.

use std::fmt;

use crate::tree::Span;

/// A line of a file, cut to a width that fits a terminal and fit for one, and what is meant in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    text: String,
    /// Column from 1, in characters.
    at: usize,
    /// Length in characters.
    length: usize,
}

impl Excerpt {
    /// The line of a place; `None` when the text has no such line.
    pub(crate) fn of(text: &str, span: Span) -> Option<Self> {
        const WIDTH: usize = 120;
        let line = text.lines().nth(span.line.checked_sub(1)?)?;
        let length = line.chars().count();
        let column = span.column.min(length + 1);
        let skip = if length > WIDTH && column > WIDTH * 3 / 4 { column - WIDTH / 2 } else { 0 };
        let mut shown: String = line
            .chars()
            .skip(skip)
            .take(WIDTH)
            // A tab would put the caret in the wrong place.
            .map(|c| {
                if c == '\t' {
                    ' '
                } else if c.is_control() {
                    '?'
                } else {
                    c
                }
            })
            .collect();
        let mut at = column - skip;
        if skip > 0 {
            shown.insert(0, '…');
            at += 1;
        }
        if length > skip + WIDTH {
            shown.push('…');
        }
        let room = (shown.chars().count() + 1).saturating_sub(at).max(1);
        let text = shown.trim_end().to_owned();
        Some(Self { text, at, length: span.length.clamp(1, room) })
    }
}

impl Span {
    /// The same place, or the end of the last line when it lies beyond the text: what is missing at
    /// the end of a file is shown there.
    #[must_use]
    pub fn within(self, text: &str) -> Self {
        let lines = text.lines().count();
        if self.line <= lines || lines == 0 {
            return self;
        }
        let end = text.lines().last().map_or(0, |line| line.chars().count());
        Self { line: lines, column: end + 1, length: 1 }
    }
}

/// Writes a message with the file, the place (line and column from 1) with its line where there is
/// one, and the hint.
pub(crate) fn show(
    f: &mut fmt::Formatter<'_>,
    message: &str,
    file: &str,
    place: Option<((usize, usize), Option<&Excerpt>)>,
    hint: Option<&str>,
) -> fmt::Result {
    write!(f, "error: {message}")?;
    match place {
        Some(((line, column), Some(Excerpt { text, at, length }))) => {
            let number = line.to_string();
            let space = " ".repeat(number.len());
            writeln!(f, "\n{space}--> {file}:{line}:{column}")?;
            writeln!(f, "{space} |")?;
            writeln!(f, "{number} | {text}")?;
            write!(f, "{space} | {}{}", " ".repeat(at.saturating_sub(1)), "^".repeat(*length))?;
        }
        Some(((line, column), None)) => write!(f, "\n --> {file}:{line}:{column}")?,
        None => write!(f, "\n --> {file}")?,
    }
    if let Some(hint) = hint {
        write!(f, "\nhint: {hint}")?;
    }
    Ok(())
}
