//! Results on stdout, as a table or as JSON lines; talk on stderr; questions where somebody answers.
//!
//! A command does not know whether it runs at the terminal or inside a running casbah on behalf of a
//! client (see `control`): it speaks to a [`Console`].

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result};
use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use serde::Serialize;

use crate::cli::Format;

/// Somebody who reads results and answers questions.
pub(crate) trait Console: Send {
    /// Results.
    ///
    /// # Errors
    /// When nobody takes them any more.
    fn out(&mut self, text: &str) -> io::Result<()>;

    /// Talk, progress and errors; a failure to say something is nobody's business.
    fn talk(&mut self, text: &str);

    /// Asks for a line; a secret one is not echoed.
    ///
    /// # Errors
    /// When nobody answers.
    fn ask(&mut self, question: &str, secret: bool) -> io::Result<String>;
}

/// The terminal, or whatever the standard streams are.
pub(crate) struct Terminal;

impl Console for Terminal {
    fn out(&mut self, text: &str) -> io::Result<()> {
        io::stdout().lock().write_all(text.as_bytes())
    }

    fn talk(&mut self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    fn ask(&mut self, question: &str, secret: bool) -> io::Result<String> {
        if secret && io::stdin().is_terminal() {
            return rpassword::prompt_password(format!("{question}: "));
        }
        self.talk(&format!("{question}: "));
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nobody answered"));
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// Where a command's results, talk and questions go.
pub(crate) struct Output {
    console: Box<dyn Console>,
    /// How lists are printed.
    pub(crate) format: Format,
    /// Columns of the terminal; `None` when the results don't go to one.
    pub(crate) width: Option<u16>,
}

impl Output {
    /// Output to a console.
    pub(crate) fn new(console: Box<dyn Console>, format: Format, width: Option<u16>) -> Self {
        Self { console, format, width }
    }

    /// Prints a list: as a table with these headings, or every item as a JSON object on a line.
    ///
    /// # Errors
    /// When the output can't be written.
    pub(crate) fn list<T: Serialize>(
        &mut self,
        headings: &[&str],
        items: &[T],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<()> {
        match self.format {
            Format::Json => {
                for item in items {
                    self.json(item)?;
                }
            }
            Format::Table if items.is_empty() => {}
            Format::Table => {
                let mut table = Table::new();
                table.load_style(NOTHING).set_header(headings.to_vec());
                match self.width {
                    Some(width) => {
                        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width)
                    }
                    None => table.set_content_arrangement(ContentArrangement::Disabled),
                };
                for item in items {
                    table.add_row(row(item).iter().map(|cell| printable(cell)));
                }
                keep_short_columns_whole(&mut table);
                for line in table.lines() {
                    self.line(line.trim_end())?;
                }
            }
        }
        Ok(())
    }

    /// Prints one JSON object on a line.
    ///
    /// # Errors
    /// When the output can't be written.
    pub(crate) fn json(&mut self, item: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string(item)?;
        text.push('\n');
        self.console.out(&text)?;
        Ok(())
    }

    /// Prints a line of results.
    ///
    /// # Errors
    /// When the output can't be written.
    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        self.console.out(&format!("{text}\n"))?;
        Ok(())
    }

    /// Whoever is in front of it.
    pub(crate) fn console(&mut self) -> &mut dyn Console {
        self.console.as_mut()
    }

    /// Says a line to the person in front of it.
    pub(crate) fn say(&mut self, text: &str) {
        self.console.talk(&format!("{text}\n"));
    }

    /// Asks the person in front of it.
    ///
    /// # Errors
    /// When nobody answers.
    pub(crate) fn ask(&mut self, question: &str, secret: bool) -> Result<String> {
        self.console.ask(question, secret).with_context(|| format!("asking for the {question}"))
    }
}

/// An id, a time or a number that is broken in the middle is of no use: only long columns give way.
fn keep_short_columns_whole(table: &mut Table) {
    const SHORT: u16 = 20;
    let widths = table.column_max_content_widths();
    for (column, width) in table.column_iter_mut().zip(widths) {
        if width <= SHORT {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}

/// What comes from apps is shown without anything that could steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => c,
            c if c.is_control()
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                '\u{fffd}'
            }
            c => c,
        })
        .collect()
}

/// Width of the terminal that stdout is, if it is one.
pub(crate) fn terminal_width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.width()
}

/// A number of things: `1 alert`, `2 alerts`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A number of milliseconds as the two largest units, e.g. `3 h 20 min`.
pub(crate) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}c");
    }

    #[test]
    fn spans_read_well() {
        let spans: Vec<_> = [-5, 999, 61_000, 3_600_000, 90_061_000].map(span).into();
        assert_eq!(spans, ["0 s", "0 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }
}
