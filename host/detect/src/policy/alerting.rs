//! The `alert` part of a policy, and `respond`.

use super::{DEFAULT_QUIET, Fields, PolicyProblemKind};
use crate::template::Template;
use crate::yaml::{self, Entry, Node, Span, Value};

/// The most alerts a day that a policy can ask to be shown.
const MOST_A_DAY: i64 = 1_000_000;

/// Templates of what an alert is called and described as, where a policy has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Templates {
    /// Instead of the policy's title.
    pub title: Option<Template>,
    /// Beside the finding's summary.
    pub description: Option<Template>,
}

impl Templates {
    /// Those of the text of a policy file: of a revision that was kept, for example. A text that is
    /// not a policy, or a template that can't be read, has none.
    pub fn of(source: &str) -> Self {
        let Ok((_, document)) = yaml::parse(source.as_bytes()) else { return Self::default() };
        let template = |key: &str| {
            let alert = &document.get("alert")?.value;
            let Value::Text(text) = &alert.get(key)?.value.value else { return None };
            Template::parse(text.trim(), None).ok()
        };
        Self { title: template("title"), description: template("description") }
    }
}

/// The `alert` part of a policy.
pub(super) struct Alerting {
    pub(super) group: Option<Vec<String>>,
    pub(super) quiet: i64,
    pub(super) templates: Templates,
    pub(super) daily_limit: Option<u64>,
}

impl Alerting {
    /// The keys of `alert`.
    pub(crate) const KEYS: [&str; 5] = ["group", "quiet", "title", "description", "daily-limit"];

    /// `whole` tells whether the group that the file names is all that alerts are told apart by.
    pub(super) fn read(document: &Node, whole: bool, fields: &mut Fields) -> Self {
        let mut alerting = Self {
            group: None,
            quiet: DEFAULT_QUIET,
            templates: Templates::default(),
            daily_limit: None,
        };
        let Some(Entry { value: alert, .. }) = document.get("alert") else { return alerting };
        if !fields.is_map(alert, "`alert`") {
            return alerting;
        }
        fields.only(alert, &Self::KEYS, "`alert`");
        if alert.get("group").is_some() {
            alerting.group = Some(fields.texts(alert, "group", |_| None));
        }
        if let Some(quiet) = fields.duration(alert, "quiet") {
            alerting.quiet = quiet;
        }
        let limit = alert
            .get("daily-limit")
            .and_then(|_| fields.integer(alert, "daily-limit", 1..=MOST_A_DAY));
        alerting.daily_limit = limit.and_then(|limit| u64::try_from(limit).ok());
        let group = alerting.group.as_deref().filter(|_| whole);
        alerting.templates = Templates {
            title: template(alert, "title", group, fields),
            description: template(alert, "description", group, fields),
        };
        alerting
    }
}

fn template(
    alert: &Node,
    key: &str,
    group: Option<&[String]>,
    fields: &mut Fields,
) -> Option<Template> {
    let text = fields.text(alert, key)?;
    let value = &alert.get(key)?.value;
    match Template::parse(text.trim(), group) {
        Ok(template) => Some(template),
        Err(wrong) => {
            let span = within(value.span, &text, wrong.at, wrong.length);
            fields.wrong_kind(PolicyProblemKind::Template, span, wrong.message, wrong.hint);
            None
        }
    }
}

/// A part of a text in one line: its own place when the text is written as it is, with or without
/// quotes around it, otherwise that of the whole text.
fn within(span: Span, text: &str, at: usize, length: usize) -> Span {
    let quotes = match span.length.checked_sub(text.chars().count()) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return span,
    };
    Span { column: span.column + quotes + at, length, ..span }
}

/// The names of responses.
pub(super) fn respond(document: &Node, fields: &mut Fields) -> Vec<String> {
    fields.texts(document, "respond", |name| {
        let fits = (1..=63).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        (!fits).then(|| "a response has a name of 1 to 63 of a-z, 0-9 and `-`".to_owned())
    })
}
