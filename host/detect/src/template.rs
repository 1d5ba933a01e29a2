//! Titles and descriptions of alerts with places to fill in: `{actor} downloaded {count} files`.
//!
//! A template is read with its policy and rendered from an alert's own facts whenever the alert is
//! shown, so that an alert that has grown says its newest numbers. It is no programming language:
//! there is nothing but names in braces.

use std::fmt::Write;

use casbah_model::vocabulary::{self, NESTED};
use casbah_model::{Alert, time};

use crate::suggest::{self, shown};

/// What every alert can say of itself, apart from its group and its details.
pub const FACTS: &[&str] = &["count", "first", "last", "summary", "policy", "severity"];

/// The longest value that is filled in, in characters.
const LONGEST: usize = 200;
/// What stands for what an alert does not know.
const UNKNOWN: &str = "?";

/// A text with places to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// One of [`FACTS`].
    Fact(String),
    /// A column of the group.
    Group(String),
    /// One of the details.
    Detail(String),
}

/// Something wrong with a template: where it begins, in characters, its length, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateError {
    pub(crate) at: usize,
    pub(crate) length: usize,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Template {
    /// Reads a template. `group` are the columns that alerts are told apart by, where they are
    /// known; otherwise any published column may be named.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub(crate) fn parse(text: &str, group: Option<&[String]>) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        let fail = |rest: &str, length: usize, message: String, hint: String| {
            let at = text.chars().count() - rest.chars().count();
            Err(TemplateError { at, length, message, hint })
        };
        while let Some(brace) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(brace);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some(after) = from.strip_prefix('{') {
                let Some((name, after)) = after.split_once('}') else {
                    return fail(
                        from,
                        1,
                        "a brace is opened here and never closed".to_owned(),
                        "write `{actor}` to fill in the actor, and `{{` for a brace".to_owned(),
                    );
                };
                match part(name.trim(), group) {
                    Ok(part) => {
                        if !plain.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut plain)));
                        }
                        parts.push(part);
                    }
                    Err((message, hint)) => {
                        return fail(from, name.chars().count() + 2, message, hint);
                    }
                }
                rest = after;
            } else {
                return fail(
                    from,
                    1,
                    "a brace is closed here that was never opened".to_owned(),
                    "write `}}` for a brace".to_owned(),
                );
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The text for an alert. What the alert does not know becomes `?`; long values are cut.
    pub fn render(&self, alert: &Alert) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Fact(name) => fact(&mut text, alert, name),
                Part::Group(name) => fill(&mut text, find(&alert.group, name)),
                Part::Detail(name) => fill(&mut text, find(&alert.details, name)),
            }
        }
        text
    }
}

fn fact(text: &mut String, alert: &Alert, name: &str) {
    // Writing into a text does not fail.
    let _ = match name {
        "count" => write!(text, "{}", alert.count),
        "first" => write!(text, "{}", time::format(alert.first)),
        "last" => write!(text, "{}", time::format(alert.last)),
        "severity" => write!(text, "{}", alert.severity),
        "policy" => write!(text, "{}", alert.policy),
        _ => {
            // A finding's sentence may be long, and is never worth less than the values in it.
            text.push_str(&alert.summary);
            Ok(())
        }
    };
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

fn fill(text: &mut String, value: Option<&str>) {
    let Some(value) = value else { return text.push_str(UNKNOWN) };
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => {
            text.push_str(value.get(..end).unwrap_or(value));
            text.push('…');
        }
        None => text.push_str(value),
    }
}

fn part(name: &str, group: Option<&[String]>) -> Result<Part, (String, String)> {
    if let Some(detail) = name.strip_prefix("details.")
        && !detail.is_empty()
    {
        return Ok(Part::Detail(detail.to_owned()));
    }
    if FACTS.contains(&name) {
        return Ok(Part::Fact(name.to_owned()));
    }
    if let Some(group) = group {
        if group.iter().any(|column| column == name) {
            return Ok(Part::Group(name.to_owned()));
        }
        let known = || group.iter().map(String::as_str).chain(FACTS.iter().copied());
        let hint = if is_column(name) {
            format!("alerts are told apart by {}; add `{name}` to `alert.group`", listed(group))
        } else {
            suggest::hint(name, known(), "what an alert knows")
        };
        return Err((format!("an alert of this policy knows no `{}`", shown(name)), hint));
    }
    if is_column(name) {
        return Ok(Part::Group(name.to_owned()));
    }
    let columns = vocabulary::COLUMNS.iter().map(|column| column.name);
    let hint = match suggest::nearest(name, columns.chain(FACTS.iter().copied())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "a template knows the columns of the alert's group, {}, and `details.NAME`",
            FACTS.iter().map(|fact| format!("`{fact}`")).collect::<Vec<_>>().join(", ")
        ),
    };
    Err((format!("an alert knows no `{}`", shown(name)), hint))
}

fn listed(columns: &[String]) -> String {
    columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ")
}

fn is_column(name: &str) -> bool {
    vocabulary::column(name).is_some()
        || name.strip_prefix("fields.").is_some_and(|key| !key.is_empty())
        || name.split_once('.').is_some_and(|(table, column)| {
            NESTED.iter().any(|nested| {
                nested.name == table && nested.columns.iter().any(|known| known.name == column)
            })
        })
}

#[cfg(test)]
mod tests;
