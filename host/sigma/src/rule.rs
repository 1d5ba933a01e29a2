//! Detection rules, with the filters that apply to them.

use casbah_yaml::suggest::shown;
use casbah_yaml::{Node, Span, Value};

use crate::detection;
use crate::document::{Document, Kind};
use crate::item::Reading;
use crate::placeholder::Placeholders;
use crate::refused::{No, RefusedKind, Result};
use crate::route::{LogSource, Routes, Target};
use crate::rows::Rows;

/// A rule that was read.
#[derive(Clone, Debug)]
pub(crate) struct Rule<'d> {
    pub(crate) document: &'d Document,
    pub(crate) source: LogSource,
    /// What it asks of activities, by where they come from: at least one place.
    pub(crate) places: Vec<Place>,
}

/// A rule for the activities of one place.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) target: Target,
    pub(crate) rows: Rows,
}

/// A filter, and the rules that it is meant for.
#[derive(Clone, Debug)]
pub(crate) struct Filter<'d> {
    document: &'d Document,
    source: LogSource,
    /// References to rules; empty for all of the log source.
    rules: Vec<(String, Span)>,
    detection: &'d Node,
    span: Span,
}

/// The key of a detection rule's parts.
const DETECTION: &str = "detection";

impl<'d> Rule<'d> {
    /// Reads a rule for every place where its activities come from. A place that lacks one of its
    /// fields is left out, unless it is the only one.
    pub(crate) fn read(
        document: &'d Document,
        filters: &[Filter<'d>],
        routes: &Routes,
        placeholders: &Placeholders,
    ) -> Result<Self> {
        let source = LogSource::read(&document.node)?;
        let Some(detection) = document.node.get(DETECTION) else {
            let span = Span { length: 1, ..document.node.span };
            let message = "`detection` is missing: it says what the rule notices";
            let hint = "`detection: {selection: …, condition: selection}`";
            return Err(No::at(RefusedKind::Document, span, message, hint));
        };
        let mut places = Vec::new();
        let mut first = None;
        for target in routes.find(&source)? {
            let reading = Reading { target: &target, placeholders };
            let read =
                detection::read(&detection.value, detection.span, &[], reading).and_then(|rows| {
                    let mut all = vec![target.rows.clone(), rows];
                    for filter in filters.iter().filter(|filter| filter.means(document, &source)) {
                        all.push(filter.rows(reading, detection.span)?);
                    }
                    let rows = Rows::all(all);
                    // What would not fit a policy is noticed here, where the place is known.
                    rows.when(detection.span).map(|_| rows)
                });
            match read {
                Ok(rows) => places.push(Place { target, rows }),
                Err(no) => {
                    first.get_or_insert(no);
                }
            }
        }
        match (places.is_empty(), first) {
            (true, Some(no)) => Err(no),
            // A mistake in the rule itself shows everywhere; only fields differ from place to place.
            (false, Some(no)) if no.kind != RefusedKind::Field && no.kind != RefusedKind::Value => {
                Err(no)
            }
            _ => Ok(Self { document, source, places }),
        }
    }
}

impl<'d> Filter<'d> {
    /// Reads a filter. What it asks is read together with each rule, whose fields it uses.
    pub(crate) fn read(document: &'d Document) -> Result<Self> {
        let source = LogSource::read(&document.node)?;
        let no = |span, message: String, hint: &str| {
            Err(No::at(RefusedKind::Filter, span, message, hint))
        };
        let Some(filter) = document.node.get("filter") else {
            return no(document.node.span, "`filter` is missing".to_owned(), "");
        };
        let Some(rules) = filter.value.get("rules") else {
            let hint = "name them by id or name, or write `any` for all of the log source";
            return no(
                filter.span,
                "`rules` is missing: it says what is filtered".to_owned(),
                hint,
            );
        };
        let text = |node: &Node| match &node.value {
            Value::Text(text) => Ok((text.trim().to_owned(), node.span)),
            other => {
                let message = format!("a rule is named by a text, not by {}", other.what());
                Err(No::at(RefusedKind::Filter, node.span, message, ""))
            }
        };
        let rules = match &rules.value.value {
            Value::Text(any) if any.eq_ignore_ascii_case("any") => Vec::new(),
            Value::Text(_) => vec![text(&rules.value)?],
            Value::List(items) if !items.is_empty() => {
                items.iter().map(text).collect::<Result<_>>()?
            }
            _ => {
                return no(
                    rules.span,
                    "`rules` must be `any` or name rules".to_owned(),
                    "name them by id or name",
                );
            }
        };
        Ok(Self { document, source, rules, detection: &filter.value, span: filter.span })
    }

    /// Whether the filter applies to a rule.
    fn means(&self, rule: &Document, source: &LogSource) -> bool {
        let named = self.rules.is_empty() || self.rules.iter().any(|(name, _)| rule.is(name));
        named && self.source.covers(source)
    }

    /// Says so where the filter applies to none of the rules.
    pub(crate) fn check(&self, documents: &[Document]) -> Result<()> {
        let no = |span, message: String, hint: &str| {
            Err(No::at(RefusedKind::Filter, span, message, hint))
        };
        let rules: Vec<_> = documents.iter().filter(|other| other.kind == Kind::Rule).collect();
        let sourced = |rule: &&Document| {
            LogSource::read(&rule.node).is_ok_and(|source| self.means(rule, &source))
        };
        if rules.iter().copied().any(|rule| sourced(&rule)) {
            return Ok(());
        }
        let known = |name: &str| rules.iter().any(|rule| rule.is(name));
        match self.rules.first() {
            Some((name, span)) if !self.rules.iter().any(|(name, _)| known(name)) => no(
                *span,
                format!("there is no rule `{}` to filter", shown(name)),
                "a rule is named by its `id` or `name`",
            ),
            _ => no(
                self.source.span,
                format!("no rule that it names is about `{}`", self.source),
                "a filter applies to rules whose log source has all that its own names",
            ),
        }
    }

    /// What the filter asks of the activities of a rule, which stands at `span` of its file.
    fn rows(&self, reading: Reading<'_>, span: Span) -> Result<Rows> {
        detection::read(self.detection, self.span, &["rules"], reading).map_err(|no| {
            let title = shown(&self.document.title);
            let file = &self.document.file;
            let line = no.wrong.span.line;
            let message = format!(
                "its filter `{title}` can't be applied ({file}, line {line}): {}",
                no.wrong.message
            );
            No::at(RefusedKind::Filter, span, message, no.wrong.hint.unwrap_or_default())
        })
    }
}
