//! Reads what is said beside `when`: activities that are not meant after all, and how severe which
//! ones are.

use casbah_model::{Severity, time};

use super::row::get;
use super::{Map, Reader};
use crate::json::{Json, Place};
use crate::plan::{Node, NodeId, When};
use crate::predicate::{Predicate, Test};
use crate::severities::Severities;

/// How many exemptions, and how many severities by rows, a policy may have.
const MOST: usize = 500;

impl Reader {
    /// Reads `unless`: a list of exemptions. The node holds where one of them does.
    pub(super) fn unless(&mut self, place: Place<'_>, value: &Json<'_>) -> Option<NodeId> {
        let example = "unless: [{when: [{field: actor, is: svc-backup@example.com}], reason: nightly backup, owner: it@example.com}]";
        let parts = self.tables(place, value, "unless", example, Self::exemption)?;
        Some(self.plan.any(parts, false))
    }

    fn exemption(&mut self, place: Place<'_>, map: &Map<'_>) -> Option<NodeId> {
        self.check_keys(place, map, "key of `unless`", &["when", "reason", "owner", "until"]);
        let rows = match get(map, "when") {
            Some(rows) => self.parts(Place::Key(&place, "when"), rows, "when"),
            None => self.problem(place, "`when` is missing: it says which activities are left out"),
        };
        for (key, what) in [("reason", "why they are left out"), ("owner", "who answers for it")] {
            match get(map, key) {
                Some(Json::Text(text)) if !text.trim().is_empty() => {}
                Some(other) => {
                    self.problem::<()>(
                        Place::Key(&place, key),
                        format!("`{key}` must be a text that is not empty, not `{other}`"),
                    );
                }
                None => {
                    self.problem::<()>(place, format!("`{key}` is missing: it says {what}"));
                }
            }
        }
        let until = match get(map, "until") {
            None => Some(None),
            Some(value) => self.until(Place::Key(&place, "until"), value).map(Some),
        };
        let (mut rows, until) = (rows?, until?);
        if let Some(until) = until {
            let source = self.field(place, "time")?;
            let test = Test::Below(until);
            rows.push(self.plan.row(Predicate { source, test, negated: false, missing: false }));
        }
        Some(self.plan.all(rows, false))
    }

    /// Reads an instant or a day, which stands for its beginning in UTC.
    fn until(&mut self, at: Place<'_>, value: &Json<'_>) -> Option<i64> {
        let until = match value {
            Json::Text(text) if text.len() == 10 => time::parse(&format!("{text}T00:00:00Z")),
            Json::Text(text) => time::parse(text),
            _ => None,
        };
        match until {
            Some(until) => Some(until),
            None => self.problem(
                at,
                format!(
                    "`{value}` is not a time\nhint: write a day such as `2027-01-31`, or a time such as `2027-01-31T12:00:00Z`"
                ),
            ),
        }
    }

    /// Reads `severities`: a list of severities with the rows that they are meant for.
    pub(super) fn severities(&mut self, place: Place<'_>, value: &Json<'_>) -> Option<Severities> {
        let example = "severities: [{severity: high, when: [{field: actor.admin, is: true}]}]";
        let mut graded =
            self.tables(place, value, "severities", example, |reader, place, map| {
                let known = &["severity", "when"];
                reader.check_keys(place, map, "key of `severities`", known);
                let words: Vec<_> = Severity::ALL.iter().map(|word| (word.name(), *word)).collect();
                let severity = match get(map, "severity") {
                    Some(value) => {
                        reader.word(Place::Key(&place, "severity"), "severity", value, &words)
                    }
                    None => reader.problem(place, "`severity` is missing"),
                };
                let when = match get(map, "when") {
                    Some(rows) => reader.when(Place::Key(&place, "when"), rows, "when"),
                    None => reader.problem(
                        place,
                        "`when` is missing: it says which activities are of this severity",
                    ),
                };
                Some((severity?, when?))
            })?;
        graded.sort_by_key(|(severity, _): &(Severity, When)| std::cmp::Reverse(*severity));
        Some(Severities(graded))
    }

    /// Reads a list of tables.
    fn tables<T>(
        &mut self,
        place: Place<'_>,
        value: &Json<'_>,
        name: &str,
        example: &str,
        mut read: impl FnMut(&mut Self, Place<'_>, &Map<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Json::List(list) = value else {
            let kind = value.kind();
            let message = format!("`{name}` must be a list, not {kind}\nhint: `{example}`");
            return self.problem(place, message);
        };
        if list.len() > MOST {
            return self.problem(place, format!("`{name}` has more than {MOST} entries"));
        }
        let before = self.problems.len();
        let mut tables = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let at = Place::Index(&place, index);
            let Json::Map(map) = value else {
                let kind = value.kind();
                let message =
                    format!("`{name}` holds tables of keys, not {kind}\nhint: `{example}`");
                self.problem::<()>(at, message);
                continue;
            };
            tables.extend(read(self, at, map));
        }
        (self.problems.len() == before).then_some(tables)
    }

    /// The activities that `when` means and no exemption leaves out.
    pub(super) fn meant(&mut self, mut parts: Vec<NodeId>, unless: Option<NodeId>) -> When {
        if let Some(unless) = unless {
            parts.push(self.plan.node(Node::Not(unless)));
        }
        let all = self.plan.all(parts, false);
        self.plan.when(all)
    }
}
