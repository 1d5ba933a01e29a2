//! Results on stdout, as a table or as JSON lines; talk on stderr.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::cli::Format;

/// Where a command's results and talk go: the terminal, or the client of a running casbah.
pub struct Output<'a> {
    /// Results.
    pub out: &'a mut (dyn Write + Send),
    /// Talk, progress and errors.
    pub talk: &'a mut (dyn Write + Send),
    /// How lists are printed.
    pub format: Format,
    /// Columns of the terminal; `None` when the results don't go to one.
    pub width: Option<u16>,
}

impl Output<'_> {
    /// Prints a list: as a table with these headings, or every item as a JSON object on a line.
    ///
    /// # Errors
    /// When the output can't be written.
    pub fn list<T: Serialize>(
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
            Format::Table => {
                if items.is_empty() {
                    return Ok(());
                }
                let mut table = Table::new();
                table.load_preset(NOTHING).set_header(headings.to_vec());
                match self.width {
                    Some(width) => {
                        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width)
                    }
                    None => table.set_content_arrangement(ContentArrangement::Disabled),
                };
                for item in items {
                    table.add_row(row(item).iter().map(|cell| printable(cell)));
                }
                for line in table.lines() {
                    writeln!(self.out, "{}", line.trim_end())?;
                }
            }
        }
        Ok(())
    }

    /// Prints one JSON object on a line.
    ///
    /// # Errors
    /// When the output can't be written.
    pub fn json(&mut self, item: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut *self.out, item)?;
        writeln!(self.out)?;
        Ok(())
    }

    /// Prints a line of results.
    ///
    /// # Errors
    /// When the output can't be written.
    pub fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    /// Says something to the person in front of it; a failure to do so is nobody's business.
    pub fn say(&mut self, text: &str) {
        let _ = writeln!(self.talk, "{text}");
    }
}

/// What comes from apps is shown without anything that could steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => c,
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                '\u{fffd}'
            }
            c => c,
        })
        .collect()
}

/// Width of the terminal that stdout is, if it is one.
pub fn terminal_width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    Table::new().set_content_arrangement(ContentArrangement::Dynamic).width()
}

/// A number of milliseconds as the two largest units, e.g. `3 h 20 min`.
pub fn span(ms: i64) -> String {
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
