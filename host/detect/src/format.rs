//! Lays policy files out in one way: the order of top-level keys, with the comments that stand above
//! them, and blanks. What a file says stays the same, and a file laid out once is not changed again.
//!
//! It works on lines and is no printer of YAML: how values are written, indented and wrapped is the
//! author's business.

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::policy::{PolicyProblem, PolicyProblemKind};
use crate::yaml::{self, Entry, Node, Value};

/// The order of keys before the detector's settings, which keep theirs.
const FIRST: &[&str] = &[
    "policy",
    "title",
    "description",
    "severity",
    "enabled",
    "category",
    "detector",
    "mitre",
    "references",
    "when",
    "unless",
];
/// The order of keys after them.
const LAST: &[&str] = &["alert", "respond", "tests"];

/// The text of a policy file, laid out. `file` is its name in the message.
///
/// # Errors
/// When it is not the YAML that policies are written in.
pub fn format(file: &str, bytes: &[u8]) -> Result<String, Box<PolicyProblem>> {
    let (text, document) = yaml::parse(bytes).map_err(|(text, wrong)| {
        Box::new(PolicyProblem::at(PolicyProblemKind::Syntax, file, &text, wrong))
    })?;
    let laid_out = lay_out(&text, &document);
    // Nothing is worth a policy that says something else than its author wrote.
    match yaml::parse(laid_out.as_bytes()) {
        Ok((_, after)) if after.to_json() == document.to_json() => Ok(laid_out),
        _ => Ok(text),
    }
}

fn lay_out(text: &str, document: &Node) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let kept = Kept::of(text, &lines);
    let lines: Vec<&str> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| if kept.end(at) { line } else { line.trim_end() })
        .collect();
    let pieces = pieces(&lines, &kept, document);
    let mut out = Vec::new();
    for at in pieces.into_iter().flatten() {
        let line = lines.get(at).copied().unwrap_or_default();
        let blank_before = out.last().is_none_or(|last: &&str| last.is_empty());
        if line.is_empty() && blank_before && !kept.blank(at) {
            continue;
        }
        out.push(line);
    }
    let ends_inside = kept.blank(lines.len().saturating_sub(1));
    while !ends_inside && out.last().is_some_and(|last| last.is_empty()) {
        out.pop();
    }
    let mut laid_out = out.join("\n");
    laid_out.push('\n');
    laid_out
}

/// The lines of a file, by number from 0, in pieces and in the order in which they are to stand.
fn pieces(lines: &[&str], kept: &Kept, document: &Node) -> Vec<Vec<usize>> {
    let whole = || vec![(0..lines.len()).collect()];
    let Value::Map(entries) = &document.value else { return whole() };
    // A mapping in braces has several keys in a line; there is nothing to put in order.
    let mut starts = Vec::with_capacity(entries.len());
    for Entry { span, .. } in entries {
        let (Some(line), column) = (span.line.checked_sub(1), span.column) else { return whole() };
        let indent = lines
            .get(line)
            .is_some_and(|text| text.chars().take(column.saturating_sub(1)).all(|c| c == ' '));
        if !indent || starts.last().is_some_and(|&last| last >= line) {
            return whole();
        }
        starts.push(line);
    }
    let root = entries.first().map_or(0, |entry| entry.span.column.saturating_sub(1));
    let above = |start: usize, end: usize| -> usize {
        // Blank lines and comments right above a key belong to it, comments further in do not.
        (end..start)
            .rev()
            .take_while(|&at| {
                let line = lines.get(at).copied().unwrap_or_default();
                let indent = line.chars().take_while(|&c| c == ' ').count();
                let comment = line.trim_start().starts_with('#') && indent <= root;
                !kept.inside(at) && !kept.blank(at) && (line.is_empty() || comment)
            })
            .last()
            .unwrap_or(start)
    };
    let Some(&first) = starts.first() else { return whole() };
    let head = head(lines, above(first, 0), first);
    let mut begin = head;
    let mut keyed = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let end = match (starts.get(index), starts.get(index + 1)) {
            (Some(&start), Some(&next)) => above(next, start + 1),
            _ => lines.len(),
        };
        keyed.push((entry.key.as_str(), (begin..end).collect::<Vec<_>>()));
        begin = end;
    }
    // What stands below the last key in the file stays at the end.
    let foot = match (keyed.last_mut(), starts.last()) {
        (Some((_, piece)), Some(&last)) => {
            let marker = (last + 1..lines.len()).find(|&at| {
                !kept.inside(at) && lines.get(at).is_some_and(|line| line.starts_with("..."))
            });
            let foot = above(marker.unwrap_or(lines.len()), last + 1);
            piece.retain(|&at| at < foot);
            (foot..lines.len()).collect()
        }
        _ => Vec::new(),
    };
    let place = |key: &str| {
        let first = FIRST.iter().position(|known| *known == key);
        let last = LAST.iter().position(|known| *known == key);
        match (first, last) {
            (Some(place), _) => (0, place),
            (_, Some(place)) => (2, place),
            _ => (1, 0),
        }
    };
    keyed.sort_by_key(|(key, _)| place(key));
    let mut pieces = vec![(0..head).collect()];
    pieces.extend(keyed.into_iter().map(|(_, piece)| piece));
    pieces.push(foot);
    pieces
}

/// The line behind the head of a file: directives, a marker of the document, lines for editors, and
/// comments that a blank line sets apart from the first key, whose own comments begin at `above`.
fn head(lines: &[&str], above: usize, first: usize) -> usize {
    (above..first)
        .filter(|&at| {
            lines
                .get(at)
                .is_some_and(|line| line.is_empty() || line.starts_with("# yaml-language-server:"))
        })
        .next_back()
        .map_or(above, |last| last + 1)
}

/// Which lines belong to values of several lines, where blanks mean something.
struct Kept {
    /// Lines from 0 that begin inside of a value, as first and last.
    insides: Vec<(usize, usize)>,
    /// Lines from 0 that are blank at the end of a value that keeps them, as first and last.
    blanks: Vec<(usize, usize)>,
}

impl Kept {
    fn of(text: &str, lines: &[&str]) -> Self {
        let mut kept = Self { insides: Vec::new(), blanks: Vec::new() };
        for event in Parser::new_from_str(text) {
            let Ok((Event::Scalar(value, style, ..), span)) = event else { continue };
            let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
            let (start, end) =
                (span.start.line().saturating_sub(1), span.end.line().saturating_sub(1));
            if block {
                kept.block(lines, value.chars().all(|c| c == '\n'), start, end);
            } else if end > start {
                kept.insides.push((start + 1, end));
            }
        }
        kept
    }

    /// A block of lines, which the parser lets begin at its first line that is not blank, or at its
    /// header when all are, and end where the next thing begins.
    fn block(&mut self, lines: &[&str], empty: bool, start: usize, end: usize) {
        let blank = |at: &usize| lines.get(*at).is_none_or(|line| line.trim().is_empty());
        let above = if empty { start + 1 } else { start };
        let header = (0..above).rev().find(|at| !blank(at)).unwrap_or(start);
        let last = (header + 1..end.max(start + 1)).rev().find(|at| !blank(at));
        if let Some(last) = last.filter(|_| !empty) {
            self.insides.push((header + 1, last));
        }
        self.keep_blanks(lines, header, last.filter(|_| !empty).unwrap_or(header) + 1);
    }

    fn keep_blanks(&mut self, lines: &[&str], header: usize, from: usize) {
        let last = lines
            .iter()
            .enumerate()
            .skip(from)
            .take_while(|(_, line)| line.trim().is_empty())
            .last();
        // The header's `+` keeps them; one elsewhere in the line costs nothing but blank lines.
        if let (Some((last, _)), Some(text)) = (last, lines.get(header))
            && text.contains('+')
        {
            self.blanks.push((from, last));
        }
    }

    /// Whether a line begins inside of a value.
    fn inside(&self, at: usize) -> bool {
        self.insides.iter().any(|&(first, last)| (first..=last).contains(&at))
    }

    /// Whether what a line ends in belongs to a value.
    fn end(&self, at: usize) -> bool {
        self.inside(at) || self.inside(at + 1) || self.blank(at)
    }

    /// Whether a line that is blank means something.
    fn blank(&self, at: usize) -> bool {
        let kept = self.blanks.iter().any(|&(first, last)| (first..=last).contains(&at));
        kept || self.inside(at)
    }
}

#[cfg(test)]
mod tests;
