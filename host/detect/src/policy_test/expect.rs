//! What a test expects: how many alerts, or which, in part or in full.

use std::fmt;

use casbah_model::{Alert, Severity, time};

use super::given::entries;
use crate::policy::{Fields, PolicyProblemKind};
use crate::suggest::{self, shown};
use crate::yaml::{Node, Value};

/// The keys of `expect`.
const EXPECT_KEYS: &[&str] = &["alerts", "more"];
/// The keys of an expected alert.
const ALERT_KEYS: &[&str] = &[
    "group",
    "severity",
    "count",
    "title",
    "description",
    "summary",
    "first",
    "last",
    "details",
    "respond",
    "exactly",
];

/// The alerts that are expected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    Count(usize),
    Alerts {
        wanted: Vec<ExpectedAlert>,
        /// There may be others.
        more: bool,
    },
}

/// An alert that is expected, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ExpectedAlert {
    group: Option<Vec<(String, String)>>,
    severity: Option<Severity>,
    count: Option<u64>,
    title: Option<String>,
    description: Option<String>,
    summary: Option<String>,
    first: Option<i64>,
    last: Option<i64>,
    details: Option<Vec<(String, String)>>,
    respond: Option<Vec<String>>,
    /// Texts, and what is in `group`, `details` and `respond`, are all there is, rather than a part.
    exactly: bool,
}

impl Expected {
    /// Reads `expect` or `silent` of a test; `None` when something is wrong with it.
    pub(super) fn read(test: &Node, fields: &mut Fields) -> Option<Self> {
        if let Some(silent) = test.get("silent") {
            if test.get("expect").is_some() {
                fields.wrong(
                    silent.span,
                    "`expect` and `silent` exclude each other".to_owned(),
                    "keep one of them".to_owned(),
                );
                return None;
            }
            if fields.flag(test, "silent")? {
                return Some(Self::Count(0));
            }
        }
        let Some(entry) = test.get("expect") else {
            fields.wrong_kind(
                PolicyProblemKind::Key,
                test.span,
                "`expect` is missing".to_owned(),
                "add `expect: {alerts: 1}`, or `silent: true` where nothing must happen".to_owned(),
            );
            return None;
        };
        let expect = &entry.value;
        if !fields.is_map(expect, "`expect`") {
            return None;
        }
        fields.only(expect, EXPECT_KEYS, "`expect`");
        let more = fields.flag(expect, "more").unwrap_or(false);
        let Some(alerts) = expect.get("alerts") else {
            fields.wrong(
                entry.span,
                "`expect` says nothing".to_owned(),
                "write `expect: {alerts: 1}`, or a list of alerts".to_owned(),
            );
            return None;
        };
        match &alerts.value.value {
            Value::List(items) => {
                let wanted: Vec<Option<ExpectedAlert>> =
                    items.iter().map(|item| ExpectedAlert::read(item, fields)).collect();
                let wanted = wanted.into_iter().collect::<Option<_>>()?;
                Some(Self::Alerts { wanted, more })
            }
            Value::Integer(count) if *count >= 0 => {
                if let (true, Some(more)) = (more, expect.get("more")) {
                    fields.wrong(
                        more.span,
                        "`more` goes with a list of alerts, not with a number".to_owned(),
                        "write `alerts: [{count: 30}]`, or take `more` out".to_owned(),
                    );
                }
                Some(Self::Count(*count as usize))
            }
            other => {
                fields.wrong(
                    alerts.value.span,
                    format!(
                        "`alerts` must be a number or a list of alerts, this is {}",
                        other.what()
                    ),
                    "write `alerts: 1` or `alerts: [{group: {actor: ana@example.com}, count: 30}]`"
                        .to_owned(),
                );
                None
            }
        }
    }

    /// Whether these are the alerts.
    ///
    /// # Errors
    /// What is different.
    pub(super) fn compare(&self, alerts: &[Alert]) -> Result<(), String> {
        let (count, wanted, more): (usize, &[ExpectedAlert], bool) = match self {
            Self::Count(count) => (*count, &[], false),
            Self::Alerts { wanted, more } => (wanted.len(), wanted, *more),
        };
        if alerts.len() < count || (alerts.len() > count && !more) {
            let least = if more { "at least " } else { "" };
            return Err(format!("expected {least}{}, got {}", alerts_of(count), alerts.len()));
        }
        match unmatched(wanted, alerts) {
            None => Ok(()),
            Some((index, expected)) => {
                // With one on each side, it is worth saying what is different.
                let why = match (wanted, alerts) {
                    ([one], [alert]) => one.difference(alert),
                    _ => None,
                };
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                Err(format!("no alert fits expected alert {}: {expected}{why}", index + 1))
            }
        }
    }
}

/// An expected alert that no alert is left for, however they are paired.
fn unmatched<'e>(
    wanted: &'e [ExpectedAlert],
    alerts: &[Alert],
) -> Option<(usize, &'e ExpectedAlert)> {
    // Who has which alert; whoever comes later may make the others look for another one.
    let mut taken: Vec<Option<usize>> = vec![None; alerts.len()];
    for (index, expected) in wanted.iter().enumerate() {
        let mut visited = vec![false; alerts.len()];
        if !place(index, wanted, alerts, &mut taken, &mut visited) {
            return Some((index, expected));
        }
    }
    None
}

fn place(
    index: usize,
    wanted: &[ExpectedAlert],
    alerts: &[Alert],
    taken: &mut [Option<usize>],
    visited: &mut [bool],
) -> bool {
    let Some(expected) = wanted.get(index) else { return false };
    for (at, alert) in alerts.iter().enumerate() {
        match visited.get_mut(at) {
            Some(visited) if !*visited && expected.difference(alert).is_none() => *visited = true,
            _ => continue,
        }
        let free = match taken.get(at).copied().flatten() {
            None => true,
            Some(other) => place(other, wanted, alerts, taken, visited),
        };
        if free && let Some(taken) = taken.get_mut(at) {
            *taken = Some(index);
            return true;
        }
    }
    false
}

fn alerts_of(count: usize) -> String {
    format!("{count} {}", if count == 1 { "alert" } else { "alerts" })
}

impl ExpectedAlert {
    fn read(item: &Node, fields: &mut Fields) -> Option<Self> {
        if !fields.is_map(item, "an expected alert") {
            return None;
        }
        fields.only(item, ALERT_KEYS, "an expected alert");
        let mut expected = Self {
            group: pairs(item, "group", fields),
            count: fields.integer(item, "count", 0..=i64::MAX).map(|count| count as u64),
            title: fields.text(item, "title"),
            description: fields.text(item, "description"),
            summary: fields.text(item, "summary"),
            first: instant(item, "first", fields),
            last: instant(item, "last", fields),
            details: pairs(item, "details", fields),
            respond: item.get("respond").map(|_| fields.texts(item, "respond", |_| None)),
            exactly: fields.flag(item, "exactly").unwrap_or(false),
            severity: None,
        };
        if let Some(severity) = fields.text(item, "severity") {
            expected.severity = severity.parse().ok();
            if expected.severity.is_none() {
                fields.wrong(
                    item.get("severity").map(|e| e.value.span).unwrap_or_default(),
                    format!("`{}` is not a severity", shown(&severity)),
                    suggest::hint(&severity, Severity::ALL.map(Severity::name), "severities"),
                );
            }
        }
        Some(expected)
    }

    /// What an alert has that is not as expected; `None` when it fits.
    fn difference(&self, alert: &Alert) -> Option<String> {
        let named = |key: &str, is: String| Some(format!("its {key} is {is}"));
        let text = |wanted: &Option<String>, is: &str| match wanted {
            Some(wanted) if self.exactly => wanted.trim() == is,
            Some(wanted) => is.contains(wanted.trim()),
            None => true,
        };
        if !self.pairs_fit(self.group.as_deref(), &alert.group) {
            return named("group", group_text(&alert.group));
        }
        if self.severity.is_some_and(|severity| severity != alert.severity) {
            return named("severity", alert.severity.to_string());
        }
        if self.count.is_some_and(|count| count != alert.count) {
            return named("count", alert.count.to_string());
        }
        for (key, wanted, is) in [
            ("title", &self.title, &alert.title),
            ("description", &self.description, &alert.description),
            ("summary", &self.summary, &alert.summary),
        ] {
            if !text(wanted, is) {
                return named(key, format!("`{}`", shown(is)));
            }
        }
        for (key, wanted, is) in
            [("first", self.first, alert.first), ("last", self.last, alert.last)]
        {
            if wanted.is_some_and(|wanted| wanted != is) {
                return named(key, time::format(is));
            }
        }
        if !self.pairs_fit(self.details.as_deref(), &alert.details) {
            return Some(format!("its details are {}", group_text(&alert.details)));
        }
        let respond = self.respond.as_ref().is_none_or(|wanted| {
            wanted.iter().all(|name| alert.respond.contains(name))
                && (!self.exactly || wanted.len() == alert.respond.len())
        });
        (!respond).then(|| format!("its responses are `{}`", shown(&alert.respond.join(", "))))
    }

    fn pairs_fit(&self, wanted: Option<&[(String, String)]>, are: &[(String, String)]) -> bool {
        wanted.is_none_or(|wanted| {
            wanted.iter().all(|pair| are.contains(pair))
                && (!self.exactly || wanted.len() == are.len())
        })
    }
}

/// A mapping of names and texts; numbers are written as they are.
fn pairs(item: &Node, key: &str, fields: &mut Fields) -> Option<Vec<(String, String)>> {
    let entry = item.get(key)?;
    if !fields.is_map(&entry.value, &format!("`{key}`")) {
        return None;
    }
    let mut pairs = Vec::new();
    for entry in entries(&entry.value) {
        let value = match &entry.value.value {
            // What an alert knows is text; a number need not be put in quotes to be compared.
            Value::Integer(number) => Some(number.to_string()),
            Value::Number(number) => Some(number.to_string()),
            _ => fields.text(&item.get(key)?.value, &entry.key),
        };
        pairs.extend(value.map(|value| (entry.key.clone(), value)));
    }
    Some(pairs)
}

fn instant(item: &Node, key: &str, fields: &mut Fields) -> Option<i64> {
    let entry = item.get(key)?;
    let instant = match &entry.value.value {
        Value::Text(text) => time::parse(text),
        _ => None,
    };
    if instant.is_none() {
        fields.wrong(
            entry.value.span,
            format!("`{key}` must be a time"),
            "write it as `2026-01-05T10:00:00Z`".to_owned(),
        );
    }
    instant
}

impl fmt::Display for ExpectedAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(group) = self.group.as_deref().filter(|group| !group.is_empty()) {
            parts.push(group_text(group));
        }
        let with = if self.exactly { "" } else { "with " };
        let text = |key: &str, text: &Option<String>| {
            text.as_ref().map(|text| format!("{key} {with}`{}`", shown(text)))
        };
        parts.extend(self.severity.map(|severity| format!("severity {severity}")));
        parts.extend(self.count.map(|count| format!("count {count}")));
        parts.extend(text("title", &self.title));
        parts.extend(text("description", &self.description));
        parts.extend(text("summary", &self.summary));
        parts.extend(self.first.map(|first| format!("first {}", time::format(first))));
        parts.extend(self.last.map(|last| format!("last {}", time::format(last))));
        parts.extend(self.details.as_ref().map(|details| group_text(details)));
        parts.extend(self.respond.as_ref().map(|names| format!("responses {}", names.join(", "))));
        f.write_str(&parts.join(", "))
    }
}

/// Pairs of names and values for people.
pub(super) fn group_text(group: &[(String, String)]) -> String {
    group
        .iter()
        .map(|(column, value)| format!("{} {}", shown(column), shown(value)))
        .collect::<Vec<_>>()
        .join(", ")
}
