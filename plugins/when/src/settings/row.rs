//! Reads filter rows and groups of them.

use std::mem;

use casbah_model::time;
use casbah_model::vocabulary::{ColumnType, KINDS, OBJECT_KINDS};
use regex_lite::RegexBuilder;

use super::{Map, Reader};
use crate::address::Network;
use crate::fields::Field;
use crate::json::{Json, Place, shown};
use crate::plan::{Expression, Source, When};
use crate::predicate::{Pattern, Predicate, Test, Wanted, lower};

/// Operators of a row.
const OPERATORS: [&str; 13] = [
    "is", "not", "in", "not-in", "has", "contains", "starts", "ends", "matches", "cidr", "exists",
    "above", "below",
];
/// Everything a row can hold.
const ROW_KEYS: [&str; 16] = [
    "field",
    "is",
    "not",
    "in",
    "not-in",
    "has",
    "contains",
    "starts",
    "ends",
    "matches",
    "cidr",
    "exists",
    "above",
    "below",
    "missing",
    "ignore-case",
];
/// Groups of rows.
const GROUPS: [&str; 3] = ["any", "all", "not"];
/// How deep groups may nest.
const DEEPEST: usize = 8;
/// How many rows a policy may have.
const MOST_ROWS: usize = 500;
/// How many values a row may list.
const MOST_VALUES: usize = 10_000;
/// Length of a pattern, bytes.
const LONGEST_PATTERN: usize = 1000;
/// How deep a pattern may nest: both its reading and its compiling need stack, of which a guest has
/// little.
const DEEPEST_PATTERN: u32 = 20;
/// Memory that a compiled pattern may take, bytes.
const LARGEST_PATTERN: usize = 256 * 1024;

fn get<'m, 'j>(map: &'m Map<'j>, name: &str) -> Option<&'m Json<'j>> {
    map.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

impl Reader {
    /// Reads `when`.
    pub(super) fn when(&mut self, place: Place<'_>, value: &Json<'_>) -> Option<When> {
        self.rows = 0;
        self.asked.clear();
        self.list(place, value, "when", 0).map(|parts| When(self.plan.all(parts)))
    }

    fn list(
        &mut self,
        place: Place<'_>,
        value: &Json<'_>,
        what: &str,
        depth: usize,
    ) -> Option<Vec<Expression>> {
        let Json::List(rows) = value else {
            return self.problem(
                place,
                format!("`{what}` must be a list of rows, not {}\nhint: `{what}: [{{field: kind, is: export}}]`", value.kind()),
            );
        };
        if rows.is_empty() {
            return self.problem(
                place,
                format!("`{what}` is empty\nhint: to mean every activity, write `{{field: app, exists: true}}`"),
            );
        }
        let before = self.problems.len();
        let mut parts = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            parts.extend(self.part(Place::Index(&place, index), row, depth));
        }
        (self.problems.len() == before).then_some(parts)
    }

    /// Reads a row or a group.
    fn part(&mut self, place: Place<'_>, value: &Json<'_>, depth: usize) -> Option<Expression> {
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
            return self.row(place, map);
        }
        let mut groups = map.iter().filter(|(key, _)| GROUPS.contains(&key.as_ref()));
        let (Some((name, inner)), None) = (groups.next(), groups.next()) else {
            return self.problem(
                place,
                "a row needs a `field` and an operator, or exactly one of `any`, `all` and `not`\n\
                 hint: `{field: kind, is: export}`",
            );
        };
        let negated = name == "not";
        let known: &[&str] = if negated { &["not", "missing"] } else { &["any", "all"] };
        self.check_keys(place, map, "key of a group", known);
        if depth >= DEEPEST {
            return self.problem(place, format!("groups nest deeper than {DEEPEST}"));
        }
        let at = Place::Key(&place, name);
        match name.as_ref() {
            "any" => {
                let mut parts = self.list(at, inner, "any", depth + 1)?;
                match (parts.len(), parts.pop()) {
                    (1, Some(part)) => Some(part),
                    (_, last) => {
                        parts.extend(last);
                        Some(Expression::Any(parts))
                    }
                }
            }
            "all" => self.list(at, inner, "all", depth + 1).map(|parts| self.plan.all(parts)),
            _ => self.negation(place, at, inner, get(map, "missing"), depth),
        }
    }

    /// Reads `{not: {…}, missing: …}`.
    fn negation(
        &mut self,
        place: Place<'_>,
        at: Place<'_>,
        inner: &Json<'_>,
        missing: Option<&Json<'_>>,
        depth: usize,
    ) -> Option<Expression> {
        // Fields are collected below this group, and then given back to the groups around it.
        let around = mem::take(&mut self.asked);
        let part = self.part(at, inner, depth + 1);
        let asked = mem::replace(&mut self.asked, around);
        for source in &asked {
            if !self.asked.contains(source) {
                self.asked.push(*source);
            }
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
        let not = Expression::Not(Box::new(part?));
        if missing {
            return Some(not);
        }
        let mut parts: Vec<_> = asked
            .into_iter()
            .map(|source| {
                Expression::Row(self.plan.predicate(Predicate {
                    source,
                    test: Test::Present,
                    negated: false,
                    missing: false,
                }))
            })
            .collect();
        parts.push(not);
        Some(self.plan.all(parts))
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

    fn row(&mut self, place: Place<'_>, map: &Map<'_>) -> Option<Expression> {
        self.rows += 1;
        if self.rows > MOST_ROWS {
            if self.rows == MOST_ROWS + 1 {
                return self.problem(place, format!("a policy can have at most {MOST_ROWS} rows"));
            }
            return None;
        }
        let before = self.problems.len();
        self.check_keys(place, map, "key of a row", &ROW_KEYS);
        let source = match get(map, "field") {
            Some(Json::Text(name)) => self.field(Place::Key(&place, "field"), name),
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
        let test = self.test(Place::Key(&place, operator), source, operator, value, ignore_case?);
        if operator != "exists" && !self.asked.contains(&source) {
            self.asked.push(source);
        }
        let (test, wants_absent) = test?;
        let predicate = if operator == "exists" {
            Predicate { source, test, negated: wants_absent, missing: wants_absent }
        } else {
            let negated = matches!(operator.as_ref(), "not" | "not-in");
            Predicate { source, test, negated, missing: missing? }
        };
        Some(Expression::Row(self.plan.predicate(predicate)))
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
        let negated = matches!(operator, "not" | "not-in");
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
                "is" | "not" | "in" | "not-in" | "has" | "contains" | "starts" | "ends" | "matches"
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

    /// Reads the value of an operator. The flag says whether `exists` was asked with `false`.
    fn test(
        &mut self,
        at: Place<'_>,
        source: Source,
        operator: &str,
        value: &Json<'_>,
        ignore_case: bool,
    ) -> Option<(Test, bool)> {
        if operator == "exists" {
            return match value {
                Json::Flag(value) => Some((Test::Present, !value)),
                other => {
                    self.problem(at, format!("`exists` must be `true` or `false`, not `{other}`"))
                }
            };
        }
        let field = self.plan.field(source)?.clone();
        let test = match field.column_type() {
            ColumnType::Text => self.text_test(at, &field, operator, value, ignore_case),
            ColumnType::Integer => self.integer_test(at, &field, operator, value),
            ColumnType::Time => self.time_test(at, &field, operator, value),
            ColumnType::Flag => self.flag_test(at, &field, operator, value),
            ColumnType::Number => self.number_test(at, &field, operator, value),
        };
        test.map(|test| (test, false))
    }

    fn text_test(
        &mut self,
        at: Place<'_>,
        field: &Field,
        operator: &str,
        value: &Json<'_>,
        ignore_case: bool,
    ) -> Option<Test> {
        match operator {
            "is" | "not" => {
                if matches!(value, Json::List(_)) {
                    return self.problem(
                        at,
                        format!(
                            "`{operator}` takes one value\nhint: use `{}` for a list",
                            if operator == "is" { "in" } else { "not-in" }
                        ),
                    );
                }
                let mut wanted = self.wanted(at, field, value, ignore_case)?;
                self.check_kinds(at, field, &wanted);
                wanted.texts.sort_unstable();
                Some(Test::AnyOf(wanted))
            }
            "in" | "not-in" => {
                self.check_list(at, operator, value)?;
                let mut wanted = self.wanted(at, field, value, ignore_case)?;
                self.check_kinds(at, field, &wanted);
                wanted.texts.sort_unstable();
                wanted.texts.dedup();
                Some(Test::AnyOf(wanted))
            }
            "has" => self.elements(at, field, value, ignore_case).map(Test::Has),
            "contains" => self.wanted(at, field, value, ignore_case).map(Test::Contains),
            "starts" => self.wanted(at, field, value, ignore_case).map(Test::Starts),
            "ends" => self.wanted(at, field, value, ignore_case).map(Test::Ends),
            "matches" => self.pattern(at, value, ignore_case),
            "cidr" => self.networks(at, value),
            "above" | "below" if matches!(field, Field::OfApp { .. }) => {
                self.number_test(at, field, operator, value)
            }
            _ => self.does_not_fit(at, field, operator),
        }
    }

    fn integer_test(
        &mut self,
        at: Place<'_>,
        field: &Field,
        operator: &str,
        value: &Json<'_>,
    ) -> Option<Test> {
        match (operator, value) {
            ("above", Json::Integer(limit)) => Some(Test::Above(*limit)),
            ("below", Json::Integer(limit)) => Some(Test::Below(*limit)),
            ("is" | "not", Json::Integer(value)) => Some(Test::Integers(vec![*value])),
            ("in" | "not-in", value) => {
                let list = self.check_list(at, operator, value)?;
                let before = self.problems.len();
                let mut wanted = Vec::with_capacity(list.len());
                for (index, value) in list.iter().enumerate() {
                    match value {
                        Json::Integer(value) => wanted.push(*value),
                        other => {
                            self.wrong_type::<()>(Place::Index(&at, index), field, other);
                        }
                    }
                }
                wanted.sort_unstable();
                wanted.dedup();
                (self.problems.len() == before).then_some(Test::Integers(wanted))
            }
            ("above" | "below" | "is" | "not", other) => self.wrong_type(at, field, other),
            _ => self.does_not_fit(at, field, operator),
        }
    }

    fn time_test(
        &mut self,
        at: Place<'_>,
        field: &Field,
        operator: &str,
        value: &Json<'_>,
    ) -> Option<Test> {
        let limit = match (operator, value) {
            ("above" | "below", Json::Integer(limit)) => Some(*limit),
            ("above" | "below", Json::Text(text)) => time::parse(text),
            ("above" | "below", _) => None,
            _ => return self.does_not_fit(at, field, operator),
        };
        match limit {
            Some(limit) if operator == "above" => Some(Test::Above(limit)),
            Some(limit) => Some(Test::Below(limit)),
            None => self.wrong_type(at, field, value),
        }
    }

    fn flag_test(
        &mut self,
        at: Place<'_>,
        field: &Field,
        operator: &str,
        value: &Json<'_>,
    ) -> Option<Test> {
        match (operator, value) {
            ("is" | "not", Json::Flag(value)) => Some(Test::Integers(vec![i64::from(*value)])),
            ("is" | "not", other) => self.wrong_type(at, field, other),
            _ => self.does_not_fit(at, field, operator),
        }
    }

    fn number_test(
        &mut self,
        at: Place<'_>,
        field: &Field,
        operator: &str,
        value: &Json<'_>,
    ) -> Option<Test> {
        let limit = match (operator, value) {
            ("above" | "below", Json::Integer(limit)) => *limit as f64,
            ("above" | "below", Json::Number(limit)) => *limit,
            ("above" | "below", other) => {
                let message = format!(
                    "`{operator}` on `{}` takes a number, but `{other}` is {}",
                    field.name(),
                    other.kind()
                );
                return self.problem(at, message);
            }
            _ => return self.does_not_fit(at, field, operator),
        };
        Some(if operator == "above" { Test::AboveNumber(limit) } else { Test::BelowNumber(limit) })
    }

    /// Reads one text or a list of them.
    fn wanted(
        &mut self,
        at: Place<'_>,
        field: &Field,
        value: &Json<'_>,
        ignore_case: bool,
    ) -> Option<Wanted> {
        let (list, listed) = match value {
            Json::List(list) => (list.as_slice(), true),
            one => (std::slice::from_ref(one), false),
        };
        if list.is_empty() {
            return self.problem(at, "the list is empty, so nothing could match");
        }
        if list.len() > MOST_VALUES {
            return self.problem(at, format!("the list has more than {MOST_VALUES} values"));
        }
        let before = self.problems.len();
        let mut texts = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let at = if listed { Place::Index(&at, index) } else { at };
            let text = match value {
                Json::Text(text) => text.clone(),
                // What the app said is kept as text, whatever it was.
                Json::Integer(value) if matches!(field, Field::OfApp { .. }) => {
                    value.to_string().into()
                }
                Json::Flag(value) if matches!(field, Field::OfApp { .. }) => {
                    value.to_string().into()
                }
                other => {
                    self.wrong_type::<()>(at, field, other);
                    continue;
                }
            };
            if text.is_empty() {
                self.problem::<()>(
                    at,
                    "the empty text stands for an absent value, so nothing could match\nhint: use `exists: false`",
                );
            }
            texts.push(if ignore_case { lower(&text) } else { text.into_owned() });
        }
        (self.problems.len() == before).then_some(Wanted { texts, ignore_case })
    }

    /// Reads elements of a list separated by commas.
    fn elements(
        &mut self,
        at: Place<'_>,
        field: &Field,
        value: &Json<'_>,
        ignore_case: bool,
    ) -> Option<Wanted> {
        let mut wanted = self.wanted(at, field, value, ignore_case)?;
        if let Some(text) = wanted.texts.iter().find(|text| text.contains(',')) {
            let message = format!(
                "`{}` holds a comma, which no element of a list does\n\
                 hint: write several as a list: `has: [tor, vpn]`",
                shown(text)
            );
            return self.problem(at, message);
        }
        for text in &mut wanted.texts {
            *text = text.trim().to_owned();
        }
        if wanted.texts.iter().any(String::is_empty) {
            return self.problem(at, "a blank is no element, so nothing could match");
        }
        wanted.texts.sort_unstable();
        wanted.texts.dedup();
        Some(wanted)
    }

    fn check_list<'j>(
        &mut self,
        at: Place<'_>,
        operator: &str,
        value: &'j Json<'j>,
    ) -> Option<&'j [Json<'j>]> {
        match value {
            Json::List(list) if list.is_empty() => {
                self.problem(at, "the list is empty, so nothing could match")
            }
            Json::List(list) => Some(list),
            _ => self.problem(
                at,
                format!(
                    "`{operator}` takes a list\nhint: use `{}` for one value",
                    if operator == "in" { "is" } else { "not" }
                ),
            ),
        }
    }

    fn pattern(&mut self, at: Place<'_>, value: &Json<'_>, ignore_case: bool) -> Option<Test> {
        let Json::Text(text) = value else {
            return self.problem(at, format!("`matches` takes one pattern, not {}", value.kind()));
        };
        if text.is_empty() {
            return self
                .problem(at, "the pattern is empty\nhint: use `exists: true` to match any value");
        }
        if text.len() > LONGEST_PATTERN {
            return self.problem(at, format!("the pattern is longer than {LONGEST_PATTERN} bytes"));
        }
        let text = if ignore_case { format!("(?i){text}") } else { text.clone().into_owned() };
        match RegexBuilder::new(&text).size_limit(LARGEST_PATTERN).nest_limit(DEEPEST_PATTERN).build() {
            Ok(regex) => Some(Test::Matches(Pattern { text, regex })),
            Err(error) => self.problem(
                at,
                format!(
                    "`{value}` is not a pattern: {error}\n\
                     hint: patterns are those of Rust's regex-lite: no look-around, no references back, no `\\p{{…}}`"
                ),
            ),
        }
    }

    fn networks(&mut self, at: Place<'_>, value: &Json<'_>) -> Option<Test> {
        let (list, listed) = match value {
            Json::List(list) => (list.as_slice(), true),
            one => (std::slice::from_ref(one), false),
        };
        if list.is_empty() {
            return self.problem(at, "the list is empty, so nothing could match");
        }
        let before = self.problems.len();
        let mut networks = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let at = if listed { Place::Index(&at, index) } else { at };
            match value {
                Json::Text(text) => match Network::parse(text) {
                    Ok(network) => networks.push(network),
                    Err(message) => {
                        self.problem::<()>(at, message);
                    }
                },
                other => {
                    let message =
                        format!("`cidr` takes ranges such as `10.0.0.0/8`, not {}", other.kind());
                    self.problem::<()>(at, message);
                }
            }
        }
        (self.problems.len() == before).then_some(Test::Within(networks))
    }

    /// Catches misspelt kinds. Kinds are an open set, so only what is one slip of the finger away
    /// from a published word is refused.
    fn check_kinds(&mut self, at: Place<'_>, field: &Field, wanted: &Wanted) {
        let words = match field.name() {
            "kind" => KINDS,
            "object.kind" | "objects.kind" => OBJECT_KINDS,
            _ => return,
        };
        for (index, text) in wanted.texts.iter().enumerate() {
            if words.iter().any(|word| word.name == text) {
                continue;
            }
            if let Some(near) = words.iter().find(|word| strsim::osa_distance(word.name, text) == 1)
            {
                let at = if wanted.texts.len() > 1 { Place::Index(&at, index) } else { at };
                let message = format!(
                    "`{}` is not a published kind\nhint: did you mean `{}`?",
                    shown(text),
                    near.name
                );
                self.problem::<()>(at, message);
            }
        }
    }

    fn wrong_type<T>(&mut self, at: Place<'_>, field: &Field, value: &Json<'_>) -> Option<T> {
        let (takes, hint) = match field.column_type() {
            ColumnType::Text => ("text", format!("write it in quotes: `\"{value}\"`")),
            ColumnType::Integer => ("integers", "write a whole number without quotes".to_owned()),
            ColumnType::Flag => ("`true` or `false`", "write it without quotes".to_owned()),
            ColumnType::Number => ("numbers", "write a number without quotes".to_owned()),
            ColumnType::Time => (
                "times",
                "write it like `2026-11-20T10:00:00Z`, or as milliseconds since 1970".to_owned(),
            ),
        };
        let hint = if matches!(
            value,
            Json::Integer(_) | Json::Number(_) | Json::Flag(_) | Json::Text(_)
        ) {
            format!("\nhint: {hint}")
        } else {
            String::new()
        };
        self.problem(
            at,
            format!("`{}` holds {takes}, but `{value}` is {}{hint}", field.name(), value.kind()),
        )
    }

    fn does_not_fit<T>(&mut self, at: Place<'_>, field: &Field, operator: &str) -> Option<T> {
        let column_type = field.column_type();
        let fitting: &[&str] = match column_type {
            ColumnType::Text => &[
                "is", "not", "in", "not-in", "has", "contains", "starts", "ends", "matches",
                "cidr", "exists",
            ],
            ColumnType::Integer => &["is", "not", "in", "not-in", "above", "below", "exists"],
            ColumnType::Flag => &["is", "not", "exists"],
            ColumnType::Time | ColumnType::Number => &["above", "below", "exists"],
        };
        self.problem(
            at,
            format!(
                "`{operator}` does not fit `{}`, whose type is {}\nhint: use one of {}",
                field.name(),
                column_type.name(),
                quoted(fitting)
            ),
        )
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
