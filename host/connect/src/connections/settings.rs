//! Checks a connection's settings against the adapter's JSON Schema, before anybody signs in.
//!
//! It knows the words of JSON Schema that adapters use: `type`, `enum`, `properties`, `required`,
//! `additionalProperties`, `items`, `minLength`, `minimum`, `maximum` and `writeOnly`, which marks a
//! secret. It is not a validator of
//! JSON Schema: what it does not know it passes over, and the adapter has the last word.

use casbah_model::adapter::AdapterDescription;
use serde_json::{Map, Value};

use super::secrets::{PLAIN, is_sealed, is_secret};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::text;

/// Deeper than this nothing is looked at.
const DEEPEST: usize = 16;
/// Mistakes that are told at once.
const MOST: usize = 10;

/// Says what is wrong with the settings for an app, if anything is.
///
/// # Errors
/// `Configuration`, with every mistake by its JSON pointer.
pub fn check_settings(
    description: &AdapterDescription,
    settings: &Value,
) -> Result<(), ConnectError> {
    let mut mistakes = Vec::new();
    let schema = &description.settings;
    match settings {
        Value::Object(_) => value(schema, settings, "", DEEPEST, &mut mistakes),
        Value::Null => value(schema, &Value::Object(Map::new()), "", DEEPEST, &mut mistakes),
        _ => mistakes.push("they are not a JSON object".to_owned()),
    }
    if mistakes.is_empty() {
        return Ok(());
    }
    let more = mistakes.len().saturating_sub(MOST);
    mistakes.truncate(MOST);
    if more > 0 {
        mistakes.push(format!("{more} more mistakes"));
    }
    let known: Vec<&str> = properties(schema).map(|(name, _)| name.as_str()).collect();
    let hint = if known.is_empty() {
        format!("{} has no settings: leave out --settings", description.title)
    } else {
        format!(
            "{} has the settings {}; give them like `--settings '{{\"NAME\": \"VALUE\"}}'`",
            description.title,
            text::names(known)
        )
    };
    Err(ConnectError::new(
        ConnectErrorKind::Configuration,
        format!("the settings for {} can't be used: {}", description.title, mistakes.join("; ")),
    )
    .hint(hint))
}

pub(super) fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn value(schema: &Value, value: &Value, at: &str, depth: usize, mistakes: &mut Vec<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    if is_secret(schema) {
        if !is_sealed(value) {
            mistakes.push(format!("`{}` {PLAIN}", text::shown(at, 80)));
        }
        return;
    }
    let place =
        if at.is_empty() { "the whole".to_owned() } else { format!("`{}`", text::shown(at, 80)) };
    let mut wrong = |what: String| mistakes.push(format!("{place} {what}"));
    if !has_type(schema, value) {
        wrong(format!("is {}, not {}", name_of(value), wanted(schema)));
        return;
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.contains(value)
    {
        let choices: Vec<String> = choices.iter().map(plain).collect();
        let given = text::shown(&plain(value), 40);
        let close = text::closest(&given, choices.iter().map(String::as_str));
        let close = close.map(|close| format!(" (did you mean `{close}`?)")).unwrap_or_default();
        let choices = text::names(choices.iter().map(String::as_str));
        wrong(format!("is `{given}`, and can be {choices}{close}"));
    }
    if let (Some(least), Some(value)) =
        (schema.get("minLength").and_then(Value::as_u64), value.as_str())
        && (value.chars().count() as u64) < least
    {
        wrong(if least == 1 { "is empty".to_owned() } else { format!("is shorter than {least}") });
    }
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            wrong(format!("is less than {least}"));
        }
        if let Some(most) = bound("maximum").filter(|most| number > *most) {
            wrong(format!("is more than {most}"));
        }
    }
    match value {
        Value::Object(members) => object(schema, members, at, depth, mistakes),
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (index, item) in items.iter().enumerate() {
                self::value(schema, item, &format!("{at}/{index}"), depth, mistakes);
            }
        }
        _ => {}
    }
}

fn object(
    schema: &Value,
    members: &Map<String, Value>,
    at: &str,
    depth: usize,
    mistakes: &mut Vec<String>,
) {
    let known = schema.get("properties").and_then(Value::as_object);
    for (name, member) in members {
        let here = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        if let Some(schema) = known.and_then(|known| known.get(name)) {
            value(schema, member, &here, depth, mistakes);
            continue;
        }
        match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => {
                let names = known.into_iter().flatten().map(|(name, _)| name.as_str());
                let close = text::closest(name, names)
                    .map(|close| format!(" (did you mean `{close}`?)"))
                    .unwrap_or_default();
                mistakes.push(format!("`{}` is unknown{close}", text::shown(&here, 80)));
            }
            Some(schema @ Value::Object(_)) => value(schema, member, &here, depth, mistakes),
            _ => {}
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str).filter(|name| !members.contains_key(*name)) {
        mistakes.push(format!("`{}/{name}` is missing", text::shown(at, 80)));
    }
}

/// The types that a schema allows; none means any.
fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.iter().any(|name| match *name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "number" => value.is_number(),
            "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            "null" => value.is_null(),
            _ => true,
        })
}

fn wanted(schema: &Value) -> String {
    let named = types(schema).into_iter().map(|name| match name {
        "object" => "an object",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        other => other,
    });
    named.collect::<Vec<_>>().join(" or ")
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value as it is shown: texts without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    fn with(schema: Value) -> AdapterDescription {
        AdapterDescription { settings: schema, ..crate::testing::description() }
    }

    fn schema() -> Value {
        json!({
            "type": "object", "additionalProperties": false, "required": ["repository"],
            "properties": {
                "repository": {"type": "string", "minLength": 1},
                "profile": {"type": "string", "enum": ["keep", "hash", "drop"]},
                "groups": {"type": "array", "items": {"type": "string"}},
                "days": {"type": "integer", "minimum": 1, "maximum": 30},
                "deep": {"type": ["boolean", "null"]},
                "kinds": {"type": "object", "additionalProperties": {"type": "string"}}
            }
        })
    }

    #[test]
    fn good_settings_pass() {
        for settings in [
            json!({"repository": "CA-1"}),
            json!({"repository": "CA-1", "profile": "hash", "groups": ["a"], "days": 30, "deep": null}),
            json!({"repository": "CA-1", "kinds": {"a/b": "share"}}),
        ] {
            check_settings(&with(schema()), &settings).unwrap();
        }
        // An adapter that says nothing about its settings gets whatever it is given.
        check_settings(&with(Value::Null), &json!({"anything": [1]})).unwrap();
        check_settings(&with(Value::Null), &Value::Null).unwrap();
    }

    #[test]
    fn every_mistake_is_told_by_its_place() {
        let said = [
            json!({}),
            Value::Null,
            json!([1]),
            json!({"repository": 7, "profil": "hash"}),
            json!({"repository": "", "profile": "hush", "groups": ["a", 1], "days": 31}),
            json!({"repository": "CA-1", "days": 1.5, "deep": "no", "kinds": {"a/b": {}}}),
        ]
        .map(|settings| check_settings(&with(schema()), &settings).unwrap_err().to_string());
        assert_snapshot!(said.join("\n"), @r#"
        the settings for Toy can't be used: `/repository` is missing
        hint: Toy has the settings `days`, `deep`, `groups`, `kinds`, `profile`, `repository`; give them like `--settings '{"NAME": "VALUE"}'`
        the settings for Toy can't be used: `/repository` is missing
        hint: Toy has the settings `days`, `deep`, `groups`, `kinds`, `profile`, `repository`; give them like `--settings '{"NAME": "VALUE"}'`
        the settings for Toy can't be used: they are not a JSON object
        hint: Toy has the settings `days`, `deep`, `groups`, `kinds`, `profile`, `repository`; give them like `--settings '{"NAME": "VALUE"}'`
        the settings for Toy can't be used: `/profil` is unknown (did you mean `profile`?); `/repository` is a number, not a text
        hint: Toy has the settings `days`, `deep`, `groups`, `kinds`, `profile`, `repository`; give them like `--settings '{"NAME": "VALUE"}'`
        the settings for Toy can't be used: `/days` is more than 30; `/groups/1` is a number, not a text; `/profile` is `hush`, and can be `keep`, `hash`, `drop` (did you mean `hash`?); `/repository` is empty
        hint: Toy has the settings `days`, `deep`, `groups`, `kinds`, `profile`, `repository`; give them like `--settings '{"NAME": "VALUE"}'`
        the settings for Toy can't be used: `/days` is a number, not a whole number; `/deep` is a text, not `true` or `false` or null; `/kinds/a~1b` is an object, not a text
        hint: Toy has the settings `days`, `deep`, `groups`, `kinds`, `profile`, `repository`; give them like `--settings '{"NAME": "VALUE"}'`
        "#);
        let none = with(json!({"type": "object", "additionalProperties": false}));
        assert_snapshot!(check_settings(&none, &json!({"x": 1})).unwrap_err(), @r"
        the settings for Toy can't be used: `/x` is unknown
        hint: Toy has no settings: leave out --settings
        ");
    }
}
