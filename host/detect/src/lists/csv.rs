//! Lists as tables: values separated by commas, quoted where they need to be (RFC 4180).

use super::Column;
use crate::suggest::shown;
use crate::yaml::{Span, Wrong};

/// The columns of a table whose first line names them. Lines that begin with `#` are comments.
pub(super) fn columns(text: &str) -> Result<Vec<Column>, Wrong> {
    let mut rows = Rows { rest: text, line: 1 };
    let Some((line, names)) = rows.next_row()? else {
        return Err(at(
            1,
            "the file is empty",
            "its first line names the columns, e.g. `email,team`",
        ));
    };
    let mut columns: Vec<Column> = Vec::new();
    for name in &names {
        if name.is_empty() {
            return Err(at(line, "a column has no name", "the first line names all columns"));
        }
        if columns.iter().any(|column| column.name == *name) {
            return Err(at(
                line,
                &format!("two columns have the name `{}`", shown(name)),
                "rename one of them",
            ));
        }
        columns.push(Column::new(name));
    }
    while let Some((line, cells)) = rows.next_row()? {
        if cells.len() != columns.len() {
            return Err(at(
                line,
                &format!("there are {} columns and {} values here", columns.len(), cells.len()),
                "a value with a comma in it is put in double quotes",
            ));
        }
        for (column, cell) in columns.iter_mut().zip(&cells) {
            column.add(cell, line)?;
        }
    }
    Ok(columns)
}

fn at(line: usize, message: &str, hint: &str) -> Wrong {
    Wrong {
        span: Span { line, column: 1, length: 1 },
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
    }
}

struct Rows<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Rows<'a> {
    /// The next row that is neither empty nor a comment, with the line that it begins in.
    fn next_row(&mut self) -> Result<Option<(usize, Vec<String>)>, Wrong> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let line = self.line;
            let first = self.rest.lines().next().unwrap_or_default();
            if first.trim().is_empty() || first.starts_with('#') {
                self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
                self.line += 1;
                continue;
            }
            return self.row().map(|cells| Some((line, cells)));
        }
    }

    fn row(&mut self) -> Result<Vec<String>, Wrong> {
        let mut cells = Vec::new();
        loop {
            let start = self.rest.trim_start_matches([' ', '\t']);
            let cell = match start.strip_prefix('"') {
                Some(quoted) => self.quoted(quoted)?,
                None => {
                    let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
                    let (cell, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    cell.trim().to_owned()
                }
            };
            cells.push(cell);
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
                continue;
            }
            self.rest = self
                .rest
                .strip_prefix("\r\n")
                .or_else(|| self.rest.strip_prefix('\n'))
                .unwrap_or(self.rest);
            self.line += 1;
            return Ok(cells);
        }
    }

    /// A cell in quotes, of which the first is gone already.
    fn quoted(&mut self, text: &'a str) -> Result<String, Wrong> {
        let begin = self.line;
        let mut cell = String::new();
        let mut rest = text;
        loop {
            let Some((before, after)) = rest.split_once('"') else {
                return Err(at(
                    begin,
                    "a quote is opened here and never closed",
                    "write a quote in a value as two",
                ));
            };
            cell.push_str(before);
            rest = after;
            let Some(after) = rest.strip_prefix('"') else { break };
            cell.push('"');
            rest = after;
        }
        self.line += cell.matches('\n').count();
        self.rest = rest.trim_start_matches([' ', '\t']);
        if self.rest.is_empty()
            || self.rest.starts_with([',', '\n'])
            || self.rest.starts_with("\r\n")
        {
            return Ok(cell);
        }
        Err(at(
            self.line,
            "there is something after the closing quote",
            "write a quote in a value as two",
        ))
    }
}
