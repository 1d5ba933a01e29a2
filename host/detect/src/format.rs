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
    if kept.open_end {
        return text.to_owned();
    }
    // The end of a line belongs to a value when the next line does.
    let kept_end = |at: usize| kept.inside(at) || kept.inside(at + 1);
    let lines: Vec<&str> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| if kept_end(at) { line } else { line.trim_end() })
        .collect();
    let mut out: Vec<(usize, &str)> = Vec::new();
    for at in pieces(&lines, &kept, document).into_iter().flatten() {
        let line = lines.get(at).copied().unwrap_or_default();
        let blank_before = out.last().is_none_or(|(_, last)| last.is_empty());
        if !line.is_empty() || !blank_before || kept.inside(at) {
            out.push((at, line));
        }
    }
    while out.pop_if(|(at, last)| last.is_empty() && !kept.inside(*at)).is_some() {}
    let mut laid_out = String::with_capacity(text.len());
    for (_, line) in out {
        laid_out.push_str(line);
        laid_out.push('\n');
    }
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
                !kept.inside(at) && (line.is_empty() || comment)
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
        .rfind(|&at| {
            lines
                .get(at)
                .is_some_and(|line| line.is_empty() || line.starts_with("# yaml-language-server:"))
        })
        .map_or(above, |last| last + 1)
}

/// Which lines belong to values of several lines, where blanks mean something.
struct Kept {
    /// Lines from 0 that begin inside of a value, as first and last.
    insides: Vec<(usize, usize)>,
    /// Whether a value keeps the blank lines at its end, however many follow.
    open_end: bool,
}

impl Kept {
    fn of(text: &str, lines: &[&str]) -> Self {
        let mut kept = Self { insides: Vec::new(), open_end: false };
        for event in Parser::new_from_str(text) {
            let Ok((Event::Scalar(value, style, ..), span)) = event else { continue };
            let (start, end) =
                (span.start.line().saturating_sub(1), span.end.line().saturating_sub(1));
            if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                kept.open_end |= lines.iter().any(|line| keeps_end(line));
                if value.chars().any(|c| c != '\n') {
                    kept.block(lines, start, if span.end.col() > 0 { end + 1 } else { end });
                }
            } else if end > start {
                kept.insides.push((start + 1, end));
            }
        }
        kept
    }

    /// A block of lines, which the parser lets begin at its first line that is not empty, and end
    /// where the next thing begins.
    fn block(&mut self, lines: &[&str], start: usize, end: usize) {
        let line = |at: usize| lines.get(at).copied().unwrap_or_default();
        let header = (0..start).rev().find(|&at| !line(at).trim().is_empty()).unwrap_or(start);
        // A line of blanks may be a part of the value.
        if let Some(last) = (header + 1..end).rev().find(|&at| !line(at).is_empty()) {
            self.insides.push((header + 1, last));
        }
    }

    /// Whether a line begins inside of a value.
    fn inside(&self, at: usize) -> bool {
        self.insides.iter().any(|&(first, last)| (first..=last).contains(&at))
    }
}

/// Whether a block of lines begins at the end of this line that keeps blank lines at its end, such
/// as `|+` or `>2+`.
fn keeps_end(line: &str) -> bool {
    let text = line.split(" #").next().unwrap_or(line).trim_end();
    let before = text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '+');
    before.ends_with(['|', '>']) && text.get(before.len()..).is_some_and(|end| end.contains('+'))
}

#[cfg(test)]
mod tests;
