//! Reads filter rows and groups of them.

use std::mem;

use casbah_model::vocabulary::ColumnType;

use super::operand::Operand;
use super::{Map, Reader};
use crate::fields::Field;
use crate::json::{Json, Place};
use crate::part;
use crate::plan::{Node, NodeId, Source, When};
use crate::predicate::{Predicate, Test};

/// Operators of a row.
const OPERATORS: [&str; 23] = [
    "is",
    "not",
    "in",
    "not-in",
    "has",
    "contains",
    "contains-all",
    "starts",
    "ends",
    "like",
    "matches",
    "cidr",
    "exists",
    "above",
    "below",
    "at-least",
    "at-most",
    "newer-than",
    "older-than",
    "same-as",
    "contains-field",
    "starts-field",
    "ends-field",
];
/// Operators that take a text, an integer or a flag and say that it is not the field's.
const NEGATIONS: [&str; 2] = ["not", "not-in"];
/// What else a row can hold.
const OTHER_KEYS: [&str; 5] = ["field", "missing", "ignore-case", "part", "zone"];
/// Groups of rows.
const GROUPS: [&str; 4] = ["any", "all", "not", "object"];
/// How deep groups may nest.
const DEEPEST: usize = 16;
/// How many rows a policy may have.
const MOST_ROWS: usize = 2000;

/// Where a row stands.
#[derive(Clone, Copy, Default)]
struct Within {
    /// How many groups are around it.
    depth: usize,
    /// Whether it speaks of one object.
    object: bool,
}

pub(super) fn get<'m, 'j>(map: &'m Map<'j>, name: &str) -> Option<&'m Json<'j>> {
    map.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

impl Reader {
    /// Reads `when`, or rows of that kind.
    pub(super) fn when(&mut self, place: Place<'_>, value: &Json<'_>, what: &str) -> Option<When> {
        let parts = self.parts(place, value, what)?;
        let all = self.plan.all(parts, false);
        Some(self.plan.when(all))
    }

    /// Reads the rows of `when`, of which there must be some.
    pub(super) fn parts(
        &mut self,
        place: Place<'_>,
        value: &Json<'_>,
        what: &str,
    ) -> Option<Vec<NodeId>> {
        self.asked.clear();
        if matches!(value, Json::List(rows) if rows.is_empty()) {
            return self.problem(
                place,
                format!("`{what}` is empty\nhint: to mean every activity, write `{{field: app, exists: true}}`"),
            );
        }
        self.list(place, value, what, Within::default())
    }

    fn list(
        &mut self,
        place: Place<'_>,
        value: &Json<'_>,
        what: &str,
        within: Within,
    ) -> Option<Vec<NodeId>> {
        let Json::List(rows) = value else {
            let field = if within.object { "role, is: recipient" } else { "kind, is: export" };
            return self.problem(
                place,
                format!(
                    "`{what}` must be a list of rows, not {}\nhint: `{what}: [{{field: {field}}}]`",
                    value.kind()
                ),
            );
        };
        let before = self.problems.len();
        let mut parts = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            parts.extend(self.part(Place::Index(&place, index), row, within));
        }
        (self.problems.len() == before).then_some(parts)
    }

    /// Reads a row or a group.
    fn part(&mut self, place: Place<'_>, value: &Json<'_>, within: Within) -> Option<NodeId> {
        let Json::Map(map) = value else {
            return self.problem(
                place,
                format!(
                    "a row must be a table of keys, not {}\nhint: `{{field: kind, is: export}}`",
                    value.kind()
                ),
            );
        };
        if get(map, "field").is_some() {
            return self.row(place, map, within);
        }
        let mut groups = map.iter().filter(|(key, _)| GROUPS.contains(&key.as_ref()));
        let (Some((name, inner)), None) = (groups.next(), groups.next()) else {
            return self.problem(
                place,
                "a row needs a `field` and an operator, or exactly one of `any`, `all`, `not` and `object`\n\
                 hint: `{field: kind, is: export}`",
            );
        };
        let negated = name == "not";
        let known: &[&str] = if negated { &["not", "missing"] } else { &["any", "all", "object"] };
        self.check_keys(place, map, "key of a group", known);
        if within.depth >= DEEPEST {
            return self.problem(place, format!("groups nest deeper than {DEEPEST}"));
        }
        let deeper = Within { depth: within.depth + 1, ..within };
        let at = Place::Key(&place, name);
        match name.as_ref() {
            "any" => {
                let parts = self.list(at, inner, "any", deeper)?;
                Some(self.plan.any(parts, within.object))
            }
            "all" => {
                let parts = self.list(at, inner, "all", deeper)?;
                Some(self.plan.all(parts, within.object))
            }
            "object" => self.object(at, inner, deeper),
            _ => self.negation(place, at, inner, get(map, "missing"), deeper),
        }
    }

    /// Reads `{object: [rows]}`.
    fn object(&mut self, at: Place<'_>, inner: &Json<'_>, within: Within) -> Option<NodeId> {
        if within.object {
            return self.problem(
                at,
                "an `object` can't stand in another\nhint: all rows of `object` speak of the same one",
            );
        }
        let around = mem::take(&mut self.asked);
        let parts = self.list(at, inner, "object", Within { object: true, ..within });
        let asked = mem::replace(&mut self.asked, around);
        // Around this group, what it asks for is what any object has.
        for source in asked {
            let name = format!("objects.{}", self.plan.name(source));
            if let Some(source) = self.field(at, &name) {
                self.ask(source);
            }
        }
        let parts = parts?;
        if parts.is_empty() {
            return self.problem(
                at,
                "`object` is empty\nhint: `object: [{field: role, is: recipient}, {field: kind, is: address}]`",
            );
        }
        let inner = self.plan.all(parts, true);
        Some(self.plan.node(Node::Object(inner)))
    }

    /// Notes that a row asks for a value.
    fn ask(&mut self, source: Source) {
        // Every activity has some text.
        let anything = matches!(self.plan.field(source), Some(Field::Anything));
        if !anything && !self.asked.contains(&source) {
            self.asked.push(source);
        }
    }

    /// Reads `{not: {…}, missing: …}`.
    fn negation(
        &mut self,
        place: Place<'_>,
        at: Place<'_>,
        inner: &Json<'_>,
        missing: Option<&Json<'_>>,
        within: Within,
    ) -> Option<NodeId> {
        // Fields are collected below this group, and then given back to the groups around it.
        let around = mem::take(&mut self.asked);
        let part = self.part(at, inner, within);
        let asked = mem::replace(&mut self.asked, around);
        for source in &asked {
            self.ask(*source);
        }
        let missing = match missing {
            Some(missing) => self.missing(Place::Key(&place, "missing"), missing)?,
            None if asked.is_empty() => true,
            None => {
                let names: Vec<_> =
                    asked.iter().map(|source| format!("`{}`", self.plan.name(*source))).collect();
                return self.problem(
                    place,
                    format!(
                        "`missing` must say whether activities without {} match this `not`\n\
                         hint: `missing: no-match` leaves them out, `missing: match` takes them in",
                        names.join(" or ")
                    ),
                );
            }
        };
        let part = part?;
        let not = self.plan.node(Node::Not(part));
        if missing {
            return Some(not);
        }
        let mut parts: Vec<_> = asked.into_iter().map(|source| self.plan.present(source)).collect();
        parts.push(not);
        Some(self.plan.all(parts, within.object))
    }

    /// Reads `match` or `no-match`.
    fn missing(&mut self, place: Place<'_>, value: &Json<'_>) -> Option<bool> {
        match value {
            Json::Text(text) if text == "match" => Some(true),
            Json::Text(text) if text == "no-match" => Some(false),
            other => self
                .problem(place, format!("`missing` must be `match` or `no-match`, not `{other}`")),
        }
    }

    fn row(&mut self, place: Place<'_>, map: &Map<'_>, within: Within) -> Option<NodeId> {
        self.rows += 1;
        if self.rows > MOST_ROWS {
            if self.rows == MOST_ROWS + 1 {
                return self.problem(place, format!("a policy can have at most {MOST_ROWS} rows"));
            }
            return None;
        }
        let before = self.problems.len();
        self.check_row_keys(place, map);
        let source = match get(map, "field") {
            Some(Json::Text(name)) => {
                self.field_within(Place::Key(&place, "field"), name, within.object)
            }
            _ => self.problem(Place::Key(&place, "field"), "`field` must be the name of a field"),
        };
        let mut operators = map.iter().filter(|(key, _)| OPERATORS.contains(&key.as_ref()));
        let operator = match (operators.next(), operators.next()) {
            (Some(operator), None) => Some(operator),
            // A misspelt operator has been named already.
            (None, _) if self.problems.len() > before => None,
            (None, _) => self.problem(
                place,
                format!("the row has no operator\nhint: use one of {}", quoted(&OPERATORS)),
            ),
            (Some((first, _)), Some((second, _))) => self.problem(
                place,
                format!(
                    "a row has exactly one operator, but here are `{first}` and `{second}`\n\
                     hint: make two rows of it; all rows must hold"
                ),
            ),
        };
        let (source, (operator, value)) = (source?, operator?);
        let missing = self.row_missing(place, source, operator, get(map, "missing"));
        let ignore_case = self.ignore_case(place, source, operator, get(map, "ignore-case"));
        let part = self.part_of_time(place, map);
        let field = self.plan.held(source)?;
        let operand = Operand {
            at: Place::Key(&place, operator),
            field: &field,
            operator,
            value,
            ignore_case: ignore_case?,
            of_object: within.object,
            part: part?,
        };
        let test = self.test(operand);
        if operator != "exists" {
            self.ask(source);
        }
        let test = test?;
        if let Test::Other(_, other) = &test {
            self.ask(*other);
        }
        let (negated, missing) = if operator == "exists" {
            let wants_absent = matches!(value, Json::Flag(false));
            (wants_absent, wants_absent)
        } else {
            (NEGATIONS.contains(&operator.as_ref()), missing?)
        };
        Some(self.plan.row(Predicate { source, test, negated, missing }))
    }

    /// Names the keys that no row has.
    fn check_row_keys(&mut self, place: Place<'_>, map: &Map<'_>) {
        // Nearly always there is nothing to say: the list of known keys is put together only then.
        let known = |key: &str| OPERATORS.contains(&key) || OTHER_KEYS.contains(&key);
        let twice = |(index, (key, _)): (usize, &(std::borrow::Cow<'_, str>, Json<'_>))| {
            map.iter().take(index).any(|(other, _)| other == key)
        };
        if map.iter().all(|(key, _)| known(key)) && !map.iter().enumerate().any(twice) {
            return;
        }
        let known: Vec<&str> = OTHER_KEYS
            .iter()
            .take(1)
            .chain(&OPERATORS)
            .chain(OTHER_KEYS.iter().skip(1))
            .copied()
            .collect();
        self.check_keys(place, map, "key of a row", &known);
    }

    /// A field of the activity, or of one of its objects.
    pub(super) fn field_within(
        &mut self,
        place: Place<'_>,
        name: &str,
        of_object: bool,
    ) -> Option<Source> {
        if !of_object {
            return self.field(place, name);
        }
        match self.plan.source_in_object(name) {
            Ok(source) => Some(source),
            Err(message) => self.problem(place, message),
        }
    }

    /// Reads `part` and `zone`: the part of a time and the distance from UTC; the outer `None` has
    /// been noted.
    fn part_of_time(
        &mut self,
        place: Place<'_>,
        map: &Map<'_>,
    ) -> Option<Option<(&'static part::PartEntry, i64)>> {
        let zone = match get(map, "zone") {
            None => Some(0),
            Some(value) => {
                let zone = match value {
                    Json::Text(text) => part::zone(text),
                    _ => None,
                };
                match zone {
                    Some(zone) => Some(zone),
                    None => self.problem(
                        Place::Key(&place, "zone"),
                        format!(
                            "`{value}` is not a distance from UTC\n\
                             hint: write it like `\"+01:00\"`; zones by name, with summer time, are not known here"
                        ),
                    ),
                }
            }
        };
        let Some(value) = get(map, "part") else {
            if get(map, "zone").is_some() {
                return self.problem(
                    Place::Key(&place, "zone"),
                    "`zone` belongs to `part`: times are the same everywhere, but hours are not",
                );
            }
            return Some(None);
        };
        let words: Vec<_> = part::PARTS.iter().map(|entry| (entry.name, entry)).collect();
        let part = self.word(Place::Key(&place, "part"), "part", value, &words)?;
        Some(Some((part, zone?)))
    }

    /// The answer where the field is missing: to be said for negations, and *no* for all else.
    fn row_missing(
        &mut self,
        place: Place<'_>,
        source: Source,
        operator: &str,
        value: Option<&Json<'_>>,
    ) -> Option<bool> {
        let at = Place::Key(&place, "missing");
        let negated = NEGATIONS.contains(&operator);
        match value {
            Some(value) if negated => self.missing(at, value),
            Some(_) => self.problem(
                at,
                format!(
                    "`missing` belongs to `not` and `not-in`; a row with `{operator}` never matches an activity without the field\n\
                     hint: to take those in as well, use `any` with a row `exists: false`"
                ),
            ),
            None if negated => {
                let name = self.plan.name(source).to_owned();
                self.problem(
                    place,
                    format!(
                        "`missing` must say whether activities without `{name}` match\n\
                         hint: `missing: no-match` leaves them out, `missing: match` takes them in"
                    ),
                )
            }
            None => Some(false),
        }
    }

    fn ignore_case(
        &mut self,
        place: Place<'_>,
        source: Source,
        operator: &str,
        value: Option<&Json<'_>>,
    ) -> Option<bool> {
        let at = Place::Key(&place, "ignore-case");
        let text = self.plan.field(source).map(Field::column_type) == Some(ColumnType::Text);
        let compares = text
            && matches!(
                operator,
                "is" | "not"
                    | "in"
                    | "not-in"
                    | "has"
                    | "contains"
                    | "contains-all"
                    | "starts"
                    | "ends"
                    | "like"
                    | "matches"
                    | "same-as"
                    | "contains-field"
                    | "starts-field"
                    | "ends-field"
            );
        match value {
            None => Some(operator != "matches"),
            Some(Json::Flag(value)) if compares => Some(*value),
            Some(Json::Flag(_)) => self.problem(
                at,
                format!(
                    "`ignore-case` has no meaning for `{operator}` on `{}`",
                    self.plan.name(source).to_owned()
                ),
            ),
            Some(other) => {
                self.problem(at, format!("`ignore-case` must be `true` or `false`, not `{other}`"))
            }
        }
    }
}

pub(super) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
