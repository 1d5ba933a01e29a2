//! A plain and slow reading of the language: one activity, one tree of rows, no plan and no sets.
//!
//! It is written from the reference in `plugins/activity/README.md` and shares no code with the crate.

use casbah_model::vocabulary::{ColumnType, column};
use casbah_model::{Batch, BatchBuilder};
use serde_json::Value;

/// An activity: columns, nested fields in order, objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity {
    pub(crate) columns: Vec<(String, Value)>,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) objects: Vec<Vec<(String, String)>>,
}

/// The activities as a batch.
pub(crate) fn batch(activities: &[Activity]) -> Batch {
    let mut builder = BatchBuilder::new();
    for activity in activities {
        builder.begin_row();
        for (name, value) in &activity.columns {
            match value {
                Value::String(text) => builder.text(name, text),
                Value::Bool(flag) => builder.flag(name, *flag),
                Value::Number(number) => match number.as_i64() {
                    Some(value) => builder.integer(name, value),
                    None => builder.number(name, number.as_f64().unwrap()),
                },
                other => panic!("{other}"),
            }
        }
        for (key, value) in &activity.fields {
            builder.begin_nested("fields");
            builder.nested_text("fields", "key", key);
            builder.nested_text("fields", "value", value);
        }
        for object in &activity.objects {
            builder.begin_nested("objects");
            for (name, value) in object {
                builder.nested_text("objects", name, value);
            }
        }
    }
    builder.finish()
}

/// Where a row looks.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Activity(&'a Activity),
    Object(&'a [(String, String)]),
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
enum Datum {
    Text(String),
    Integer(i64),
    Number(f64),
}

fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Whether all rows of a list hold for the activity.
pub(crate) fn holds(when: &Value, activity: &Activity) -> bool {
    all(when, Scope::Activity(activity))
}

fn all(rows: &Value, scope: Scope<'_>) -> bool {
    rows.as_array().unwrap().iter().all(|row| part(row, scope))
}

fn part(row: &Value, scope: Scope<'_>) -> bool {
    if row.get("field").is_some() {
        return one(row, scope);
    }
    if let Some(rows) = row.get("any") {
        return rows.as_array().unwrap().iter().any(|row| part(row, scope));
    }
    if let Some(rows) = row.get("all") {
        return all(rows, scope);
    }
    if let (Some(rows), Scope::Activity(activity)) = (row.get("object"), scope) {
        return activity.objects.iter().any(|object| all(rows, Scope::Object(object)));
    }
    let inner = row.get("not").unwrap();
    let mut asked = Vec::new();
    asks(inner, "", &mut asked);
    let complete = asked.iter().all(|field| !values(field, scope).is_empty());
    (row.get("missing") != Some(&"no-match".into()) || complete) && !part(inner, scope)
}

/// The fields that are asked for a value.
fn asks(row: &Value, prefix: &str, asked: &mut Vec<String>) {
    for group in ["any", "all"] {
        for row in row.get(group).and_then(Value::as_array).into_iter().flatten() {
            asks(row, prefix, asked);
        }
    }
    for row in row.get("object").and_then(Value::as_array).into_iter().flatten() {
        asks(row, "objects.", asked);
    }
    if let Some(inner) = row.get("not").filter(|_| row.get("field").is_none()) {
        asks(inner, prefix, asked);
    }
    let Some(field) = row.get("field").and_then(Value::as_str) else { return };
    if field != "*" && row.get("exists").is_none() {
        asked.push(format!("{prefix}{field}"));
    }
    for other in ["same-as", "contains-field", "starts-field", "ends-field"] {
        if let Some(other) = row.get(other).and_then(Value::as_str) {
            asked.push(format!("{prefix}{other}"));
        }
    }
}

fn values(field: &str, scope: Scope<'_>) -> Vec<Datum> {
    let text = |text: &String| Datum::Text(text.clone());
    let of = |object: &[(String, String)], name: &str| -> Vec<Datum> {
        let there = object.iter().filter(|(key, value)| key == name && !value.is_empty());
        there.map(|(_, value)| text(value)).collect()
    };
    let activity = match scope {
        Scope::Object(object) => return of(object, field),
        Scope::Activity(activity) => activity,
    };
    if let Some(name) = field.strip_prefix("fields.") {
        let there = activity.fields.iter().filter(|(key, _)| key == name);
        return there.map(|(_, value)| text(value)).collect();
    }
    if let Some(name) = field.strip_prefix("objects.") {
        return activity.objects.iter().flat_map(|object| of(object, name)).collect();
    }
    if field == "*" {
        let columns = activity.columns.iter().filter_map(|(_, value)| value.as_str());
        let fields = activity.fields.iter().map(|(_, value)| value.as_str());
        let objects = activity.objects.iter().flatten().map(|(_, value)| value.as_str());
        let texts = columns.chain(fields).chain(objects).filter(|text| !text.is_empty());
        return texts.map(|text| Datum::Text(text.to_owned())).collect();
    }
    let there = activity.columns.iter().filter(|(name, _)| name == field);
    there
        .filter_map(|(_, value)| match value {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(Datum::Text(text.clone())),
            Value::Bool(flag) => Some(Datum::Integer(i64::from(*flag))),
            Value::Number(number) => Some(match number.as_i64() {
                Some(value) => Datum::Integer(value),
                None => Datum::Number(number.as_f64().unwrap()),
            }),
            _ => None,
        })
        .collect()
}

fn one(row: &Value, scope: Scope<'_>) -> bool {
    let field = row["field"].as_str().unwrap();
    let there = values(field, scope);
    if let Some(wanted) = row.get("exists") {
        return there.is_empty() != wanted.as_bool().unwrap();
    }
    for (operator, positive) in [("not", "is"), ("not-in", "in")] {
        if let Some(value) = row.get(operator) {
            return match there.is_empty() {
                true => row["missing"] == "match",
                false => !there.iter().any(|datum| test(row, positive, value, datum, scope)),
            };
        }
    }
    let operators = [
        "is",
        "in",
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
        "contains-field",
        "starts-field",
        "ends-field",
    ];
    let operator = operators.into_iter().find(|operator| row.get(operator).is_some()).unwrap();
    there.iter().any(|datum| test(row, operator, &row[operator], datum, scope))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether one value passes the test of a row.
fn test(row: &Value, operator: &str, value: &Value, datum: &Datum, scope: Scope<'_>) -> bool {
    let fold = |text: &str| match row.get("ignore-case") {
        Some(Value::Bool(false)) => text.to_owned(),
        _ => lower(text),
    };
    if let Some(part) = row.get("part").and_then(Value::as_str) {
        let Some(time) = time_of(datum) else { return false };
        let got = part_of(time, part, row.get("zone").and_then(Value::as_str));
        return number_test(operator, value, got as f64);
    }
    match operator {
        "newer-than" | "older-than" => {
            let own = values("time", scope).first().and_then(time_of);
            let (Some(time), Some(own)) = (time_of(datum), own) else { return false };
            let days: i64 = value.as_str().unwrap().strip_suffix('d').unwrap().parse().unwrap();
            let age = own - time;
            return if operator == "newer-than" {
                age < days * 86_400_000
            } else {
                age > days * 86_400_000
            };
        }
        "same-as" | "contains-field" | "starts-field" | "ends-field" => {
            return values(value.as_str().unwrap(), scope).iter().any(|other| {
                match (datum, other) {
                    (Datum::Integer(a), Datum::Integer(b)) => a == b,
                    (Datum::Text(a), Datum::Text(b)) => {
                        let (a, b) = (fold(a), fold(b));
                        match operator {
                            "same-as" => a == b,
                            _ if b.is_empty() => false,
                            "contains-field" => a.contains(&b),
                            "starts-field" => a.starts_with(&b),
                            _ => a.ends_with(&b),
                        }
                    }
                    _ => false,
                }
            });
        }
        _ => {}
    }
    let text = match datum {
        Datum::Integer(number) => return number_test(operator, value, *number as f64),
        Datum::Number(number) => return number_test(operator, value, *number),
        Datum::Text(text) => text,
    };
    let wanted: Vec<String> = list(value).iter().map(|value| fold(&written(value))).collect();
    let folded = fold(text);
    match operator {
        "is" | "in" => wanted.contains(&folded),
        "has" => folded
            .split(',')
            .any(|element| wanted.iter().any(|wanted| wanted.trim() == element.trim())),
        "contains" => wanted.iter().any(|wanted| folded.contains(wanted)),
        "contains-all" => wanted.iter().all(|wanted| folded.contains(wanted)),
        "starts" => wanted.iter().any(|wanted| folded.starts_with(wanted)),
        "ends" => wanted.iter().any(|wanted| folded.ends_with(wanted)),
        "like" => {
            let chars: Vec<char> = folded.chars().collect();
            wanted.iter().any(|wanted| like(&wanted.chars().collect::<Vec<_>>(), &chars))
        }
        // Patterns are made of a literal between anchors, see the generator.
        "matches" => {
            let pattern = value.as_str().unwrap();
            match (pattern.strip_prefix('^'), pattern.strip_suffix('$')) {
                (Some(start), None) => text.starts_with(start),
                (None, Some(end)) => text.ends_with(end),
                _ => text.contains(pattern),
            }
        }
        // Ranges are /8 and /32 of IPv4, see the generator.
        "cidr" => text.parse::<std::net::Ipv4Addr>().is_ok_and(|address| {
            list(value).iter().any(|range| match range.as_str().unwrap().split_once("/8") {
                Some((net, _)) => {
                    net.parse::<std::net::Ipv4Addr>().unwrap().octets()[0] == address.octets()[0]
                }
                None => range.as_str().unwrap().parse::<std::net::Ipv4Addr>().unwrap() == address,
            })
        }),
        _ => text.parse::<f64>().is_ok_and(|number| number_test(operator, value, number)),
    }
}

fn number_test(operator: &str, value: &Value, number: f64) -> bool {
    let as_number = |value: &Value| match value {
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::String(time) => time_of(&Datum::Text(time.clone())).unwrap() as f64,
        value => value.as_f64().unwrap(),
    };
    match operator {
        "in" => list(value).iter().any(|value| as_number(value) == number),
        "is" => as_number(value) == number,
        "above" => number > as_number(value),
        "below" => number < as_number(value),
        "at-least" => number >= as_number(value),
        "at-most" => number <= as_number(value),
        other => panic!("{other}"),
    }
}

fn like(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=text.len()).any(|skip| like(rest, &text[skip..])),
        (['?', rest @ ..], [_, more @ ..]) => like(rest, more),
        (['\\', c @ ('*' | '?' | '\\'), rest @ ..], [t, more @ ..]) => c == t && like(rest, more),
        (['\\', '*' | '?' | '\\', ..], []) => false,
        ([c, rest @ ..], [t, more @ ..]) => c == t && like(rest, more),
        _ => false,
    }
}

fn time_of(datum: &Datum) -> Option<i64> {
    match datum {
        Datum::Integer(time) => Some(*time),
        Datum::Text(text) => Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()),
        Datum::Number(_) => None,
    }
}

fn part_of(time: i64, part: &str, zone: Option<&str>) -> i64 {
    let hours = zone.map_or(0, |zone| zone.get(..3).unwrap().parse::<i8>().unwrap());
    let there = jiff::tz::Offset::constant(hours)
        .to_datetime(jiff::Timestamp::from_millisecond(time).unwrap());
    match part {
        "minute" => i64::from(there.minute()),
        "hour" => i64::from(there.hour()),
        "day" => i64::from(there.day()),
        "weekday" => i64::from(there.weekday().to_monday_one_offset()),
        "week" => i64::from(there.date().iso_week_date().week()),
        "month" => i64::from(there.month()),
        _ => i64::from(there.year()),
    }
}

/// The type of a column, for the generator.
pub(crate) fn column_type(field: &str) -> ColumnType {
    column(field).map_or(ColumnType::Text, |entry| entry.column_type)
}
