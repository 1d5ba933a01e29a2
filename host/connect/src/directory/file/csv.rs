//! CSV with a header (RFC 4180), with the place of every cell.
//!
//! The separator is a comma, a semicolon or a tab, whichever the header has. It is not a general
//! reader: the columns must be known.

use casbah_yaml::Span;

use super::{Cell, FileErrorKind, Given, Row, Wrong, column, wrong};

/// A cell as it stands there.
struct Raw {
    text: String,
    span: Span,
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
    separator: char,
}

impl Reader<'_> {
    fn here(&self) -> Span {
        Span { line: self.line, column: self.column, length: 1 }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    /// The next line with something in it; `None` at the end.
    fn record(&mut self, wrongs: &mut Vec<Wrong>) -> Option<(Span, Vec<Raw>)> {
        loop {
            self.rest.peek()?;
            let span = self.here();
            let mut cells = Vec::new();
            while self.cell(&mut cells, wrongs) {}
            if cells.iter().any(|cell| !cell.text.trim().is_empty()) {
                return Some((span, cells));
            }
        }
    }

    /// Reads a cell; returns whether another one follows on the same line.
    fn cell(&mut self, cells: &mut Vec<Raw>, wrongs: &mut Vec<Wrong>) -> bool {
        let mut span = self.here();
        let mut text = String::new();
        if self.rest.peek() == Some(&'"') {
            self.next();
            self.quoted(&mut text, span, wrongs);
        }
        let quoted = self.column != span.column || self.line != span.line;
        let more = loop {
            match self.rest.peek() {
                None => break false,
                Some('\n') => {
                    self.next();
                    break false;
                }
                Some('\r') => {
                    self.next();
                }
                Some(&c) if c == self.separator => {
                    self.next();
                    break true;
                }
                Some(&c) => {
                    if quoted && !c.is_whitespace() {
                        wrongs.push(wrong(
                            FileErrorKind::Syntax,
                            self.here(),
                            "there is something after the closing quote",
                            "write a quote within quotes twice",
                        ));
                        // Once is enough for this line.
                        while self.rest.peek().is_some_and(|&c| c != '\n') {
                            self.next();
                        }
                        continue;
                    }
                    if !quoted {
                        text.push(c);
                    }
                    self.next();
                }
            }
        };
        span.length = text.chars().count().max(1) + if quoted { 2 } else { 0 };
        cells.push(Raw { text, span });
        more
    }

    fn quoted(&mut self, text: &mut String, span: Span, wrongs: &mut Vec<Wrong>) {
        while let Some(c) = self.next() {
            if c != '"' {
                text.push(c);
            } else if self.rest.peek() == Some(&'"') {
                self.next();
                text.push('"');
            } else {
                return;
            }
        }
        wrongs.push(wrong(
            FileErrorKind::Syntax,
            span,
            "this quote is never closed",
            "close it, or write a quote within quotes twice",
        ));
    }
}

/// The rows below the header. `key` is the column that must be there.
pub(super) fn rows(
    text: &str,
    columns: &'static [&'static str],
    key: &str,
    wrongs: &mut Vec<Wrong>,
) -> Vec<Row> {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |separator: char| header.matches(separator).count();
    let separator = [',', ';', '\t'].into_iter().rev().max_by_key(|&c| count(c)).unwrap_or(',');
    let mut reader = Reader { rest: text.chars().peekable(), line: 1, column: 1, separator };
    let Some((span, header)) = reader.record(wrongs) else {
        let start = Span { line: 1, column: 1, length: 1 };
        let hint = format!("begin with a header such as `{}`", columns.join(","));
        wrongs.push(wrong(FileErrorKind::Syntax, start, "the file is empty", hint));
        return Vec::new();
    };
    let mut names: Vec<Option<&'static str>> = Vec::new();
    for cell in &header {
        let name = cell.text.trim().to_lowercase();
        match column(&name, columns, cell.span) {
            Ok(name) if names.contains(&Some(name)) => {
                let message = format!("the column `{name}` occurs twice");
                wrongs.push(wrong(FileErrorKind::Key, cell.span, message, "keep one of them"));
                names.push(None);
            }
            Ok(name) => names.push(Some(name)),
            Err(wrong) => {
                wrongs.push(wrong);
                names.push(None);
            }
        }
    }
    if !names.contains(&Some(key_of(columns, key))) {
        wrongs.push(wrong(
            FileErrorKind::Key,
            span,
            format!("there is no column `{key}`"),
            format!("the first line names the columns, e.g. `{}`", columns.join(",")),
        ));
        return Vec::new();
    }
    let mut rows = Vec::new();
    while let Some((span, cells)) = reader.record(wrongs) {
        if let Some(extra) = cells.get(names.len()) {
            wrongs.push(wrong(
                FileErrorKind::Syntax,
                extra.span,
                format!("this line has {} cells, and the header {}", cells.len(), names.len()),
                "put cells with a separator in them into quotes",
            ));
            continue;
        }
        let cells = names
            .iter()
            .zip(cells)
            .filter(|(_, cell)| !cell.text.trim().is_empty())
            .filter_map(|(name, cell)| {
                Some(((*name)?, Cell { given: Given::Text(cell.text), span: cell.span }))
            })
            .collect();
        rows.push(Row { span, cells });
    }
    rows
}

fn key_of(columns: &'static [&'static str], key: &str) -> &'static str {
    columns.iter().copied().find(|column| *column == key).unwrap_or_default()
}
