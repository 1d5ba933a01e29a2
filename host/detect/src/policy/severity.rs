//! The `severity` of a policy: one, or rows that say which.

use casbah_model::Severity;
use serde_json::json;

use super::Fields;
use super::settings::Filler;
use crate::suggest::{self, shown};
use crate::yaml::{Entry, Node, Span, Value};

/// The key of the severity of alerts that no rows fit.
pub(crate) const DEFAULT: &str = "default";

/// Reads `severity: high`, or `severity: {default: medium, critical: [rows]}` as far as the host
/// knows it: rows are the detector's.
pub(super) fn read(document: &Node, fields: &mut Fields) -> Option<Severity> {
    let Some(Entry { value, .. }) = document.get("severity") else {
        fields.required_text(document, "severity");
        return None;
    };
    let Value::Map(entries) = &value.value else {
        if let Value::Text(_) = value.value {
            let text = fields.text(document, "severity")?;
            return one(&text, value.span, fields);
        }
        fields.wrong(
            value.span,
            format!("`severity` must be a severity, this is {}", value.value.what()),
            "write `severity: high`, or `severity: {default: medium, high: [rows]}`".to_owned(),
        );
        return None;
    };
    for entry in entries.iter().filter(|entry| entry.key != DEFAULT) {
        let known = one(&entry.key, entry.span, fields).is_some();
        if known && !matches!(&entry.value.value, Value::List(_)) {
            let (key, what) = (&entry.key, entry.value.value.what());
            fields.wrong(
                entry.value.span,
                format!("`{key}` must be a list of rows, this is {what}"),
                format!("write `{key}: [{{field: actor.admin, is: true}}]`"),
            );
        }
    }
    match value.get(DEFAULT) {
        Some(default) => {
            let text = fields.text(value, DEFAULT)?;
            one(&text, default.value.span, fields)
        }
        None => {
            fields.wrong(
                document.get("severity").map(|entry| entry.span).unwrap_or_default(),
                "`severity` has rows and no `default`".to_owned(),
                "say what alerts have that no rows fit: `severity: {default: medium, …}`"
                    .to_owned(),
            );
            None
        }
    }
}

fn one(text: &str, span: Span, fields: &mut Fields) -> Option<Severity> {
    let severity = text.parse().ok();
    if severity.is_none() {
        let names = Severity::ALL.map(Severity::name);
        fields.wrong(
            span,
            format!("`{}` is not a severity", shown(text)),
            suggest::hint(text, names, "severities"),
        );
    }
    severity
}

/// The entries of a `severity` with rows, the worst first: the order in which the detector gets them.
fn by_weight(document: &Node) -> Vec<(Severity, &Entry)> {
    let Some(Entry { value: Node { value: Value::Map(entries), .. }, .. }) =
        document.get("severity")
    else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .iter()
        .filter(|entry| matches!(entry.value.value, Value::List(_)))
        .filter_map(|entry| Some((entry.key.parse::<Severity>().ok()?, entry)))
        .collect();
    found.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    found
}

/// What the detector gets for it; `None` when rows do not decide.
pub(super) fn setting(document: &Node, filler: &mut Filler<'_>) -> Option<serde_json::Value> {
    let entries = by_weight(document);
    if entries.is_empty() {
        return None;
    }
    let settings = entries
        .into_iter()
        .enumerate()
        .map(|(index, (severity, entry))| {
            let rows = filler.fill(&entry.value, &format!("/severities/{index}/when"));
            json!({"severity": severity, "when": rows})
        })
        .collect();
    Some(serde_json::Value::Array(settings))
}

/// `/severities/0/when/1/field`, as the detector counts, is `/severity/critical/1/field` in the file.
pub(super) fn pointer(document: &Node, pointer: &str) -> String {
    let mut parts = pointer.splitn(5, '/').skip(2);
    let index = parts.next().and_then(|index| index.parse::<usize>().ok());
    let rest = match (parts.next(), parts.next()) {
        (Some("when"), Some(rest)) => format!("/{rest}"),
        _ => String::new(),
    };
    match index.and_then(|index| by_weight(document).get(index).map(|(severity, _)| *severity)) {
        Some(severity) => format!("/severity/{severity}{rest}"),
        None => "/severity".to_owned(),
    }
}
