//! Reads the value of a row's operator: what the field is compared with.

use std::borrow::Cow;

use casbah_model::time;
use casbah_model::vocabulary::{ColumnType, KINDS, OBJECT_KINDS};
use regex_lite::RegexBuilder;

use super::Reader;
use super::row::quoted;
use crate::address::{Network, Networks};
use crate::duration::{self, DAY};
use crate::fields::Field;
use crate::glob::{Glob, Plain};
use crate::json::{Json, Place, shown};
use crate::part::PartEntry;
use crate::predicate::{Globs, Limit, Pattern, Relation, RelationKind, Test};
use crate::wanted::{Wanted, lower};

/// How many values a row may list.
const MOST_VALUES: usize = 200_000;
/// Length of a pattern, bytes.
const LONGEST_PATTERN: usize = 1000;
/// How deep a pattern may nest: both its reading and its compiling need stack, of which a guest has
/// little.
const DEEPEST_PATTERN: u32 = 20;
/// Memory that a compiled pattern may take, bytes.
const LARGEST_PATTERN: usize = 256 * 1024;
/// The longest age, ms.
const OLDEST: i64 = 3650 * DAY;
/// Lists longer than this are not looked through for misspelt kinds.
const MANY_KINDS: usize = 100;

/// What a row compares its field with.
#[derive(Clone, Copy)]
pub(super) struct Operand<'o> {
    /// Place of the value.
    pub(super) at: Place<'o>,
    /// The field.
    pub(super) field: &'o Field,
    /// The operator.
    pub(super) operator: &'o str,
    /// The value.
    pub(super) value: &'o Json<'o>,
    /// Whether case makes no difference.
    pub(super) ignore_case: bool,
    /// Whether the row speaks of one object.
    pub(super) of_object: bool,
    /// The part of a time that is compared, and the distance from UTC, ms.
    pub(super) part: Option<(&'static PartEntry, i64)>,
}

impl<'o> Operand<'o> {
    /// The values of a list, or the one value in its place, and whether it is a list.
    fn listed(&self) -> (&'o [Json<'o>], bool) {
        match self.value {
            Json::List(list) => (list.as_slice(), true),
            one => (std::slice::from_ref(one), false),
        }
    }

    /// Whether what the app itself said is asked: it is kept as text, whatever it was.
    fn is_of_app(&self) -> bool {
        matches!(self.field, Field::OfApp { .. })
    }
}

impl Reader {
    /// Reads the value of an operator.
    pub(super) fn test(&mut self, operand: Operand<'_>) -> Option<Test> {
        let Operand { at, field, operator, value, .. } = operand;
        if let Some((part, zone)) = operand.part {
            return self.part_test(operand, part, zone);
        }
        if matches!(field, Field::Anything) && matches!(operator, "not" | "not-in" | "exists") {
            let instead = match operator {
                "exists" => "every activity has some text".to_owned(),
                "not-in" => "`not: {field: \"*\", in: […]}`".to_owned(),
                _ => "`not: {field: \"*\", is: …}`".to_owned(),
            };
            return self.problem(
                at,
                format!("`{operator}` does not fit `*`, which is any text\nhint: {instead}"),
            );
        }
        match operator {
            "exists" => match value {
                Json::Flag(_) => Some(Test::Present),
                other => {
                    self.problem(at, format!("`exists` must be `true` or `false`, not `{other}`"))
                }
            },
            "same-as" | "contains-field" | "starts-field" | "ends-field" => {
                self.other_field(operand)
            }
            "newer-than" | "older-than" => self.age(operand),
            _ => match field.column_type() {
                ColumnType::Text => self.text_test(operand),
                ColumnType::Integer => self.integer_test(operand),
                ColumnType::Time => self.time_test(operand),
                ColumnType::Flag => self.flag_test(operand),
                ColumnType::Number => self.number_test(operand),
            },
        }
    }

    fn text_test(&mut self, operand: Operand<'_>) -> Option<Test> {
        let Operand { at, operator, value, .. } = operand;
        match operator {
            "is" | "not" => {
                if matches!(value, Json::List(_)) {
                    let instead = if operator == "is" { "in" } else { "not-in" };
                    return self.problem(
                        at,
                        format!("`{operator}` takes one value\nhint: use `{instead}` for a list"),
                    );
                }
                self.wanted(operand, true).map(Test::AnyOf)
            }
            "in" | "not-in" => {
                self.check_list(at, operator, value)?;
                self.wanted(operand, true).map(Test::AnyOf)
            }
            "has" => self.elements(operand).map(Test::Has),
            "contains" => self.wanted(operand, false).map(Test::Contains),
            "contains-all" => self.wanted(operand, false).map(Test::ContainsAll),
            "starts" => self.wanted(operand, false).map(Test::Starts),
            "ends" => self.wanted(operand, false).map(Test::Ends),
            "like" => self.like(operand),
            "matches" => self.pattern(operand),
            "cidr" => self.networks(operand),
            "above" | "below" | "at-least" | "at-most" if operand.is_of_app() => {
                self.number_test(operand)
            }
            _ => self.does_not_fit(operand),
        }
    }

    fn integer_test(&mut self, operand: Operand<'_>) -> Option<Test> {
        let Operand { at, operator, value, .. } = operand;
        match (operator, value) {
            ("above" | "below" | "at-least" | "at-most", Json::Integer(limit)) => {
                Some(bound(operator, *limit))
            }
            ("is" | "not", Json::Integer(value)) => Some(Test::Integers(vec![*value])),
            ("in" | "not-in", value) => {
                let list = self.check_list(at, operator, value)?;
                let before = self.problems.len();
                let mut wanted = Vec::with_capacity(list.len());
                for (index, value) in list.iter().enumerate() {
                    match value {
                        Json::Integer(value) => wanted.push(*value),
                        other => {
                            self.wrong_type::<()>(Place::Index(&at, index), operand, other);
                        }
                    }
                }
                wanted.sort_unstable();
                wanted.dedup();
                (self.problems.len() == before).then_some(Test::Integers(wanted))
            }
            ("above" | "below" | "at-least" | "at-most" | "is" | "not", other) => {
                self.wrong_type(at, operand, other)
            }
            _ => self.does_not_fit(operand),
        }
    }

    fn time_test(&mut self, operand: Operand<'_>) -> Option<Test> {
        let Operand { at, field, operator, value, .. } = operand;
        let limit = match (operator, value) {
            ("above" | "below" | "at-least" | "at-most", Json::Integer(limit)) => Some(*limit),
            ("above" | "below" | "at-least" | "at-most", Json::Text(text)) => time::parse(text),
            ("above" | "below" | "at-least" | "at-most", _) => None,
            ("is" | "not" | "in" | "not-in", _) => {
                return self.problem(
                    at,
                    format!(
                        "`{operator}` does not fit `{}`, whose type is time, without `part`\n\
                         hint: `{{field: {}, part: hour, in: [22, 23]}}`, or `at-least` and `below`",
                        field.name(),
                        field.name()
                    ),
                );
            }
            _ => return self.does_not_fit(operand),
        };
        match limit {
            Some(limit) => Some(bound(operator, limit)),
            None => self.wrong_type(at, operand, value),
        }
    }

    fn flag_test(&mut self, operand: Operand<'_>) -> Option<Test> {
        match (operand.operator, operand.value) {
            ("is" | "not", Json::Flag(value)) => Some(Test::Integers(vec![i64::from(*value)])),
            ("is" | "not", other) => self.wrong_type(operand.at, operand, other),
            _ => self.does_not_fit(operand),
        }
    }

    fn number_test(&mut self, operand: Operand<'_>) -> Option<Test> {
        let Operand { at, field, operator, value, .. } = operand;
        let number = match (operator, value) {
            ("above" | "below" | "at-least" | "at-most", Json::Integer(limit)) => *limit as f64,
            ("above" | "below" | "at-least" | "at-most", Json::Number(limit)) => *limit,
            ("above" | "below" | "at-least" | "at-most", other) => {
                let message = format!(
                    "`{operator}` on `{}` takes a number, but `{other}` is {}",
                    field.name(),
                    other.kind()
                );
                return self.problem(at, message);
            }
            _ => return self.does_not_fit(operand),
        };
        let limit = Limit { number, inclusive: operator.starts_with("at-") };
        Some(match operator {
            "above" | "at-least" => Test::AboveNumber(limit),
            _ => Test::BelowNumber(limit),
        })
    }

    /// Reads what a part of a time is compared with.
    fn part_test(
        &mut self,
        operand: Operand<'_>,
        part: &'static PartEntry,
        zone: i64,
    ) -> Option<Test> {
        let Operand { at, field, operator, value, .. } = operand;
        let times = field.column_type() == ColumnType::Time || operand.is_of_app();
        if !times || field.name() == crate::fields::ANYTHING {
            return self.problem(
                at,
                format!(
                    "`{}` is no time, so it has no {}\nhint: `part` stands beside a time such as `time`, or beside `fields.NAME`",
                    field.name(),
                    part.name
                ),
            );
        }
        let test = match (operator, value) {
            ("is" | "not", value) => Test::Integers(vec![self.in_part(at, part, value)?]),
            ("in" | "not-in", value) => {
                let list = self.check_list(at, operator, value)?;
                let read = list
                    .iter()
                    .enumerate()
                    .map(|(index, value)| self.in_part(Place::Index(&at, index), part, value));
                // All of them are read, so that all problems are named.
                let read: Vec<Option<i64>> = read.collect();
                let mut wanted = read.into_iter().collect::<Option<Vec<i64>>>()?;
                wanted.sort_unstable();
                wanted.dedup();
                Test::Integers(wanted)
            }
            ("above" | "below" | "at-least" | "at-most", value) => {
                bound(operator, self.in_part(at, part, value)?)
            }
            _ => {
                return self.problem(
                    at,
                    format!(
                        "`{operator}` can't be asked of the {} of a time\nhint: use one of {}",
                        part.name,
                        quoted(&[
                            "is", "not", "in", "not-in", "above", "below", "at-least", "at-most"
                        ])
                    ),
                );
            }
        };
        Some(Test::OfTime { part: part.part, zone, test: Box::new(test) })
    }

    fn in_part(&mut self, at: Place<'_>, part: &PartEntry, value: &Json<'_>) -> Option<i64> {
        match value {
            Json::Integer(number) if (part.least..=part.most).contains(number) => Some(*number),
            other => {
                let hint =
                    if part.name == "weekday" { "\nhint: 1 is Monday, 7 is Sunday" } else { "" };
                self.problem(
                    at,
                    format!(
                        "`{other}` is no {}: it is an integer from {} to {}{hint}",
                        part.name, part.least, part.most
                    ),
                )
            }
        }
    }

    /// Reads how far before the activity a time may lie.
    fn age(&mut self, operand: Operand<'_>) -> Option<Test> {
        let Operand { at, field, operator, value, .. } = operand;
        if field.name() == "time" {
            return self.problem(
                at,
                format!("`{operator}` compares with the activity's own time, which is `time`"),
            );
        }
        if field.column_type() != ColumnType::Time && !operand.is_of_app() {
            return self.does_not_fit(operand);
        }
        let length = match value {
            Json::Text(text) => duration::parse(text, OLDEST),
            other => Err(format!(
                "`{other}` is not a length of time\nhint: write a whole number with a unit: `90s`, `5m`, `24h` or `7d`"
            )),
        };
        match length {
            Ok(length) if operator == "newer-than" => Some(Test::Newer(length)),
            Ok(length) => Some(Test::Older(length)),
            Err(message) => self.problem(at, message),
        }
    }

    /// Reads the name of another field of the same activity, or of the same object.
    fn other_field(&mut self, operand: Operand<'_>) -> Option<Test> {
        let Operand { at, field, operator, value, ignore_case, of_object, .. } = operand;
        let Json::Text(name) = value else {
            return self.problem(
                at,
                format!("`{operator}` takes the name of a field, not {}", value.kind()),
            );
        };
        let kind = match operator {
            "same-as" => RelationKind::Same,
            "contains-field" => RelationKind::Contains,
            "starts-field" => RelationKind::Starts,
            _ => RelationKind::Ends,
        };
        let source = self.field_within(at, name, of_object)?;
        let other = self.plan.held(source)?;
        let (this, that) = (field.column_type(), other.column_type());
        let anything = [field, &*other].iter().any(|field| matches!(field, Field::Anything));
        let comparable = !anything
            && this == that
            && this != ColumnType::Number
            && (kind == RelationKind::Same || this == ColumnType::Text);
        if !comparable {
            return self.problem(
                at,
                format!(
                    "`{operator}` can't compare `{}`, whose type is {}, with `{}`, whose type is {}\n\
                     hint: {}",
                    field.name(),
                    this.name(),
                    other.name(),
                    that.name(),
                    match kind {
                        RelationKind::Same =>
                            "both must be text, or both integers, both times or both flags",
                        _ => "both must be text",
                    }
                ),
            );
        }
        if field.name() == other.name() {
            return self.problem(at, format!("`{operator}` compares `{name}` with itself"));
        }
        Some(Test::Other(Relation { kind, ignore_case }, source))
    }

    /// Reads one text or a list of them; `empty` allows the empty text where that is a value.
    fn wanted(&mut self, operand: Operand<'_>, empty: bool) -> Option<Wanted> {
        let texts = self.texts_of(operand, empty)?;
        self.check_kinds(operand, &texts);
        Some(Wanted::new(texts.into_iter().map(Cow::into_owned), operand.ignore_case))
    }

    /// The values of a row, and whether they stand in a list.
    fn listed<'o>(&mut self, operand: Operand<'o>) -> Option<(&'o [Json<'o>], bool)> {
        let (list, listed) = operand.listed();
        Some((self.bounded(operand.at, list)?, listed))
    }

    /// The values of a list, when there is at least one, and not too many.
    fn bounded<'j>(&mut self, at: Place<'_>, list: &'j [Json<'j>]) -> Option<&'j [Json<'j>]> {
        match list.len() {
            0 => self.problem(at, "the list is empty, so nothing could match"),
            1..=MOST_VALUES => Some(list),
            _ => self.problem(at, format!("the list has more than {MOST_VALUES} values")),
        }
    }

    fn texts_of<'o>(&mut self, operand: Operand<'o>, empty: bool) -> Option<Vec<Cow<'o, str>>> {
        let (place, (list, listed)) = (operand.at, self.listed(operand)?);
        let before = self.problems.len();
        let mut texts = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let at = if listed { Place::Index(&place, index) } else { place };
            let text: Cow<'_, str> = match value {
                Json::Text(text) => Cow::Borrowed(text.as_ref()),
                Json::Integer(value) if operand.is_of_app() => value.to_string().into(),
                Json::Flag(value) if operand.is_of_app() => value.to_string().into(),
                other => {
                    self.wrong_type::<()>(at, operand, other);
                    continue;
                }
            };
            if text.is_empty() && !operand.is_of_app() {
                self.problem::<()>(
                    at,
                    "the empty text stands for an absent value, so nothing could match\nhint: use `exists: false`",
                );
            } else if text.is_empty() && !empty {
                let hint = "hint: `is: ''` asks for an empty value, `exists: true` for any";
                self.problem::<()>(at, format!("the empty text is part of every text\n{hint}"));
            }
            texts.push(text);
        }
        (self.problems.len() == before).then_some(texts)
    }

    /// Reads elements of a list separated by commas.
    fn elements(&mut self, operand: Operand<'_>) -> Option<Wanted> {
        let texts = self.texts_of(operand, false)?;
        if let Some(text) = texts.iter().find(|text| text.contains(',')) {
            let message = format!(
                "`{}` holds a comma, which no element of a list does\n\
                 hint: write several as a list: `has: [tor, vpn]`",
                shown(text)
            );
            return self.problem(operand.at, message);
        }
        if texts.iter().any(|text| text.trim().is_empty()) {
            return self.problem(operand.at, "a blank is no element, so nothing could match");
        }
        let elements = texts.iter().map(|text| text.trim().to_owned());
        Some(Wanted::new(elements, operand.ignore_case))
    }

    /// Reads patterns with wildcards. What needs none is asked in the plain way, which is faster and
    /// can be shared.
    fn like(&mut self, operand: Operand<'_>) -> Option<Test> {
        let texts = self.texts_of(operand, true)?;
        let mut globs: Vec<Glob> = texts.iter().map(|text| Glob::parse(text)).collect();
        if operand.ignore_case {
            globs = globs.into_iter().map(|glob| glob.lowered(lower)).collect();
        }
        globs.sort_unstable();
        globs.dedup();
        let plain: Option<Vec<Plain>> = globs.iter().map(Glob::plain).collect();
        let test = plain.as_deref().and_then(|plain| all_plain(plain, operand.ignore_case));
        Some(test.unwrap_or(Test::Like(Globs { globs, ignore_case: operand.ignore_case })))
    }

    fn check_list<'j>(
        &mut self,
        at: Place<'_>,
        operator: &str,
        value: &'j Json<'j>,
    ) -> Option<&'j [Json<'j>]> {
        match value {
            Json::List(list) => self.bounded(at, list),
            Json::Map(_) => self.problem(at, NAMED),
            _ => self.problem(
                at,
                format!(
                    "`{operator}` takes a list\nhint: use `{}` for one value",
                    if operator == "in" { "is" } else { "not" }
                ),
            ),
        }
    }

    fn pattern(&mut self, operand: Operand<'_>) -> Option<Test> {
        let Operand { at, value, ignore_case, .. } = operand;
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

    fn networks(&mut self, operand: Operand<'_>) -> Option<Test> {
        let (place, (list, listed)) = (operand.at, self.listed(operand)?);
        let before = self.problems.len();
        let mut networks = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let at = if listed { Place::Index(&place, index) } else { place };
            match value {
                Json::Text(text) => match Network::parse(text) {
                    Ok(network) => networks.push(network),
                    Err(message) => {
                        self.problem::<()>(at, message);
                    }
                },
                Json::Map(_) => {
                    self.problem::<()>(at, NAMED);
                }
                other => {
                    let message =
                        format!("`cidr` takes ranges such as `10.0.0.0/8`, not {}", other.kind());
                    self.problem::<()>(at, message);
                }
            }
        }
        (self.problems.len() == before).then(|| Test::Within(Networks::new(&networks)))
    }

    /// Catches misspelt kinds. Kinds are an open set, so only what is one slip of the finger away
    /// from a published word is refused.
    fn check_kinds(&mut self, operand: Operand<'_>, texts: &[Cow<'_, str>]) {
        if !matches!(operand.operator, "is" | "not" | "in" | "not-in") || texts.len() > MANY_KINDS {
            return;
        }
        let words = match (operand.field.name(), operand.of_object) {
            ("kind", false) => KINDS,
            ("object.kind" | "objects.kind", false) | ("kind", true) => OBJECT_KINDS,
            _ => return,
        };
        for (index, text) in texts.iter().enumerate() {
            let lowered = lower(text);
            if words.iter().any(|word| word.name == lowered) {
                continue;
            }
            let near = words.iter().find(|word| strsim::osa_distance(word.name, &lowered) == 1);
            if let Some(near) = near {
                let at = match operand.value {
                    Json::List(_) => Place::Index(&operand.at, index),
                    _ => operand.at,
                };
                let message = format!(
                    "`{}` is not a published kind\nhint: did you mean `{}`?",
                    shown(text),
                    near.name
                );
                self.problem::<()>(at, message);
            }
        }
    }

    fn wrong_type<T>(
        &mut self,
        at: Place<'_>,
        operand: Operand<'_>,
        value: &Json<'_>,
    ) -> Option<T> {
        let field = operand.field;
        if matches!(value, Json::Map(_)) {
            return self.problem(at, NAMED);
        }
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
        let hint = match value {
            Json::Integer(_) | Json::Number(_) | Json::Flag(_) | Json::Text(_) => {
                format!("\nhint: {hint}")
            }
            Json::Null if operand.is_of_app() => {
                "\nhint: the app's own `null` is kept as a text: `\"null\"`".to_owned()
            }
            _ => String::new(),
        };
        self.problem(
            at,
            format!("`{}` holds {takes}, but `{value}` is {}{hint}", field.name(), value.kind()),
        )
    }

    fn does_not_fit<T>(&mut self, operand: Operand<'_>) -> Option<T> {
        let Operand { at, field, operator, .. } = operand;
        let column_type = field.column_type();
        let fitting: &[&str] = match column_type {
            ColumnType::Text if operand.is_of_app() => &[
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
                "above",
                "below",
                "at-least",
                "at-most",
                "newer-than",
                "older-than",
                "same-as",
                "exists",
            ],
            ColumnType::Text => &[
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
                "same-as",
                "exists",
            ],
            ColumnType::Integer => &[
                "is", "not", "in", "not-in", "above", "below", "at-least", "at-most", "same-as",
                "exists",
            ],
            ColumnType::Flag => &["is", "not", "same-as", "exists"],
            ColumnType::Time => &[
                "above",
                "below",
                "at-least",
                "at-most",
                "newer-than",
                "older-than",
                "same-as",
                "exists",
            ],
            ColumnType::Number => &["above", "below", "at-least", "at-most", "exists"],
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

/// Said where a list or group by name has not been filled in.
const NAMED: &str = "a value can't be a table of keys\n\
    hint: `{list: NAME}` and `{group: NAME}` are filled in where policies are read from a folder";

/// The test for an integer beyond a limit.
fn bound(operator: &str, limit: i64) -> Test {
    match operator {
        "above" => Test::Above(limit),
        "below" => Test::Below(limit),
        // Beyond the end of numbers there is nothing to leave out.
        "at-least" => limit.checked_sub(1).map_or(Test::Present, Test::Above),
        _ => limit.checked_add(1).map_or(Test::Present, Test::Below),
    }
}

/// The test that patterns come down to if all are of one plain kind.
fn all_plain(plain: &[Plain], ignore_case: bool) -> Option<Test> {
    if plain.iter().any(|plain| matches!(plain, Plain::All)) {
        return Some(Test::Present);
    }
    let of = |pick: fn(&Plain) -> Option<&String>| -> Option<Wanted> {
        let texts: Option<Vec<String>> = plain.iter().map(|plain| pick(plain).cloned()).collect();
        Some(Wanted::new(texts?, ignore_case))
    };
    let is = of(|plain| if let Plain::Is(text) = plain { Some(text) } else { None });
    let starts = || of(|plain| if let Plain::Starts(text) = plain { Some(text) } else { None });
    let ends = || of(|plain| if let Plain::Ends(text) = plain { Some(text) } else { None });
    let contains = || of(|plain| if let Plain::Contains(text) = plain { Some(text) } else { None });
    is.map(Test::AnyOf)
        .or_else(|| starts().map(Test::Starts))
        .or_else(|| ends().map(Test::Ends))
        .or_else(|| contains().map(Test::Contains))
}
