//! A detection: named parts and the condition that puts them together, as filter rows.

use std::collections::BTreeMap;

use casbah_yaml::suggest::shown;
use casbah_yaml::{Node, Span, Value};

use crate::condition::{self, Condition, Count};
use crate::item::Reading;
use crate::refused::{No, RefusedKind, Result};
use crate::rows::Rows;

/// Reads a mapping of parts with a `condition`; `skip` names keys that are no parts.
pub(crate) fn read(node: &Node, span: Span, skip: &[&str], reading: Reading<'_>) -> Result<Rows> {
    let Value::Map(entries) = &node.value else {
        let message = format!("a detection must be a mapping, not {}", node.value.what());
        return Err(No::at(RefusedKind::Document, span, message, "`detection: {selection: …}`"));
    };
    if let Some(timeframe) = node.get("timeframe") {
        return Err(No::at(
            RefusedKind::Condition,
            timeframe.span,
            "`timeframe` belongs to a form of Sigma that was given up",
            "write a correlation instead: `correlation: {type: event_count, timespan: …}`",
        ));
    }
    let Some(condition) = node.get("condition") else {
        return Err(No::at(
            RefusedKind::Condition,
            span,
            "`condition` is missing: it says what has to hold",
            "`condition: selection`",
        ));
    };
    let written = condition::read(&condition.value)?;
    let mut parts = BTreeMap::new();
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.key.as_str();
        if name == "condition" || skip.contains(&name) {
            continue;
        }
        // Every part is read, also those that the condition does not name: what is wrong is said.
        parts.insert(name, part(&entry.value, entry.span, reading)?);
        names.push(name);
    }
    Parts { parts, names, span: condition.value.span }.rows(&written)
}

/// One part: a mapping of which all has to hold, a list of which one has to, or a text.
fn part(node: &Node, span: Span, reading: Reading<'_>) -> Result<Rows> {
    let empty = || No::at(RefusedKind::Document, span, "the part is empty", "");
    match &node.value {
        Value::Map(entries) if entries.is_empty() => Err(empty()),
        Value::Map(entries) => {
            let items =
                entries.iter().map(|entry| reading.item(&entry.key, entry.span, &entry.value));
            Ok(Rows::all(items.collect::<Result<Vec<_>>>()?))
        }
        Value::List(items) if items.is_empty() => Err(empty()),
        Value::List(items) => {
            let (parts, keywords): (Vec<_>, Vec<_>) = items
                .iter()
                .cloned()
                .partition(|item| matches!(item.value, Value::Map(_) | Value::List(_)));
            let mut any = Vec::new();
            if !keywords.is_empty() {
                any.push(reading.keywords(&keywords)?);
            }
            for item in &parts {
                any.push(part(item, item.span, reading)?);
            }
            Ok(Rows::any(any))
        }
        _ => reading.keywords(std::slice::from_ref(node)),
    }
}

struct Parts<'a> {
    parts: BTreeMap<&'a str, Rows>,
    names: Vec<&'a str>,
    span: Span,
}

impl Parts<'_> {
    fn rows(&self, condition: &Condition) -> Result<Rows> {
        let all = |parts: &[Condition]| {
            parts.iter().map(|part| self.rows(part)).collect::<Result<Vec<_>>>()
        };
        match condition {
            Condition::Part(name) => match self.parts.get(name.as_str()) {
                Some(rows) => Ok(rows.clone()),
                None => Err(condition::unknown(name, &self.names, self.span)),
            },
            Condition::And(parts) => Ok(Rows::all(all(parts)?)),
            Condition::Or(parts) => Ok(Rows::any(all(parts)?)),
            Condition::Not(inner) => Ok(self.rows(inner)?.negated()),
            Condition::Of(count, pattern) => self.of(*count, pattern),
        }
    }

    fn of(&self, count: Count, pattern: &str) -> Result<Rows> {
        let no = |message: String, hint: &str| {
            Err(No::at(RefusedKind::Condition, self.span, message, hint))
        };
        let named = condition::named(pattern, &self.names);
        let rows: Vec<Rows> =
            named.iter().filter_map(|name| self.parts.get(name).cloned()).collect();
        let shown = shown(pattern);
        match count {
            _ if rows.is_empty() => no(
                format!("no part of the detection is named like `{shown}`"),
                "parts whose names begin with `_` are not among `them`",
            ),
            Count::All => Ok(Rows::all(rows)),
            Count::AtLeast(count) if count > rows.len() => {
                no(format!("there are only {} parts named like `{shown}`", rows.len()), "")
            }
            Count::AtLeast(count) => match Rows::at_least(count, &rows) {
                Some(rows) => Ok(rows),
                None => no(
                    format!("there are too many ways to choose {count} of {} parts", rows.len()),
                    "split the rule",
                ),
            },
        }
    }
}
