//! The JSON Schema (2020-12) of a policy file: the host's keys, the tests, and the settings of every
//! detector as it describes itself.
//!
//! It is for editors, which complete and check while somebody writes. It is not what files are read
//! by: reading is stricter, and its messages are better.

use std::collections::{BTreeMap, BTreeSet};

use casbah_model::vocabulary::{COLUMNS, ColumnEntry, ColumnType, NESTED};
use serde_json::{Map, Value, json};

use crate::group::Detectors;
use crate::policy::{CATEGORIES, DEFAULT_DETECTOR, HOST_MADE};
use crate::policy_test::{ADDRESS_SHORT, address_columns};

/// The host's part, to which columns and detectors are added.
const HOST: &str = include_str!("schema/policy.schema.json");

/// The schema of policies of one detector, or of all there are; `None` when there is no such
/// detector.
pub fn schema(detectors: &dyn Detectors, detector: Option<&str>) -> Option<Value> {
    let names = match detector {
        Some(name) => vec![name.to_owned()],
        None => detectors.names(),
    };
    let mut settings = BTreeMap::new();
    for name in &names {
        let mut schema = detectors.describe(name)?.settings;
        if schema.pointer("/$defs/named").is_some() {
            take_lists(&mut schema);
        }
        settings.insert(name.clone(), schema);
    }
    let mut host: Value = serde_json::from_str(HOST).unwrap_or_default();
    complete(&mut host, &names);
    let mut defs = part(&host, "$defs");
    let shared = shared(&settings);
    for (name, schema) in &settings {
        for (def, schema) in part(schema, "$defs") {
            let schema = renamed(&schema, name, &shared);
            defs.insert(own(&def, name, &shared), schema);
        }
    }
    let policy = |name: &str| {
        let schema = settings.get(name).cloned().unwrap_or_default();
        of_detector(&host, &renamed(&schema, name, &shared), name)
    };
    let mut whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A policy of casbah",
        "type": "object",
    });
    if let [only] = names.as_slice() {
        merge(&mut whole, policy(only));
    } else {
        let choices = names.iter().map(|name| {
            defs.insert(format!("policy-with-{name}"), policy(name));
            let named =
                json!({"properties": {"detector": {"const": name}}, "required": ["detector"]});
            let chosen = match name == DEFAULT_DETECTOR {
                true => json!({"anyOf": [{"not": {"required": ["detector"]}}, named]}),
                false => named,
            };
            json!({"if": chosen, "then": {"$ref": format!("#/$defs/policy-with-{name}")}})
        });
        let choices: Vec<Value> = choices.collect();
        merge(
            &mut whole,
            json!({
                "required": ["policy", "title", "severity"],
                "properties": {"detector": {"enum": names}},
                "allOf": choices,
            }),
        );
    }
    merge(&mut whole, json!({"$defs": defs}));
    Some(whole)
}

/// The members of a part of a schema.
fn part(schema: &Value, key: &str) -> Map<String, Value> {
    schema.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn merge(whole: &mut Value, more: Value) {
    if let (Value::Object(whole), Value::Object(more)) = (whole, more) {
        whole.extend(more);
    }
}

/// Among texts in a list may stand `{list: NAME}` or `{group: NAME}`, which the host fills in.
fn take_lists(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members.iter_mut() {
                let kind = value.get("type");
                let text = value.get("$ref").is_some_and(|to| to == "#/$defs/scalar")
                    || kind.is_some_and(|kind| kind == "string")
                    || kind
                        .and_then(Value::as_array)
                        .is_some_and(|kinds| kinds.contains(&"string".into()));
                if key == "items" && text {
                    *value = json!({"anyOf": [value.take(), {"$ref": "#/$defs/named"}]});
                } else {
                    take_lists(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(take_lists),
        _ => {}
    }
}

/// A whole policy of one detector.
fn of_detector(host: &Value, settings: &Value, name: &str) -> Value {
    let mut properties = part(host, "properties");
    let made = |key: &str| HOST_MADE.iter().any(|(made, _)| *made == key);
    let mut own = part(settings, "properties");
    if let Some(rows) = own.get("when").cloned()
        && own.contains_key("severities")
    {
        properties.insert("severity".to_owned(), severity(&rows));
    }
    own.retain(|key, _| !made(key));
    for (key, setting) in own {
        properties.entry(key).or_insert(setting);
    }
    let mut required: Vec<Value> = ["policy", "title", "severity"].map(Value::from).to_vec();
    if name != DEFAULT_DETECTOR {
        required.push("detector".into());
    }
    let needed = settings.get("required").and_then(Value::as_array).into_iter().flatten();
    required.extend(needed.filter(|key| key.as_str().is_some_and(|key| !made(key))).cloned());
    let mut policy = json!({
        "type": "object",
        "required": required,
        "properties": properties,
        // Without a description of its settings nothing can be said of them.
        "additionalProperties": settings.get("properties").is_none(),
    });
    for (key, rest) in settings.as_object().into_iter().flatten() {
        // What binds several settings together, such as `oneOf`.
        let known = ["$schema", "$id", "$defs", "type", "title", "description", "properties"];
        if !known.contains(&key.as_str())
            && !["required", "additionalProperties"].contains(&key.as_str())
        {
            merge(&mut policy, json!({key.as_str(): rest}));
        }
    }
    policy
}

/// A severity, or rows that say which.
fn severity(rows: &Value) -> Value {
    let level = json!({"$ref": "#/$defs/policy-level"});
    let mut rows = rows.clone();
    merge(
        &mut rows,
        json!({"description": "Alerts of which an activity fits these rows have this severity."}),
    );
    json!({
        "description": "How bad it is: one severity, or rows that say which, and a default.",
        "anyOf": [
            level,
            {
                "type": "object",
                "required": ["default"],
                "additionalProperties": false,
                "properties": {
                    "default": level, "info": rows, "low": rows, "medium": rows, "high": rows, "critical": rows
                }
            }
        ]
    })
}

/// Adds columns, categories and detectors to the host's part.
fn complete(host: &mut Value, detectors: &[String]) {
    if let Some(category) = host.pointer_mut("/properties/category") {
        merge(category, json!({"enum": CATEGORIES}));
    }
    if let Some(detector) = host.pointer_mut("/properties/detector") {
        merge(detector, json!({"enum": detectors}));
    }
    if let Some(Value::Object(step)) = host.pointer_mut("/$defs/policy-step/properties") {
        for column in COLUMNS.iter().filter(|column| column.name != "sequence") {
            step.insert(column.name.to_owned(), cell(column));
        }
    }
    if let Some(Value::Object(object)) =
        host.pointer_mut("/$defs/policy-step/properties/objects/items/properties")
    {
        for column in NESTED.iter().filter(|table| table.name == "objects").flat_map(|t| t.columns)
        {
            object.insert(
                column.name.to_owned(),
                json!({"$ref": "#/$defs/policy-plain", "description": column.meaning}),
            );
        }
    }
    if let Some(Value::Object(address)) = host.pointer_mut("/$defs/policy-address/properties") {
        for name in address_columns() {
            let Some(column) = COLUMNS.iter().find(|column| column.name == name) else { continue };
            let cell = known(column);
            for (short, _) in ADDRESS_SHORT.iter().filter(|(_, long)| *long == name) {
                address.insert((*short).to_owned(), cell.clone());
            }
            address.insert(name.to_owned(), cell);
        }
    }
}

/// A value of a column; `null` says that it is absent.
fn cell(column: &ColumnEntry) -> Value {
    let kind = match column.column_type {
        ColumnType::Text | ColumnType::Time => "string",
        ColumnType::Flag => "boolean",
        ColumnType::Integer => "integer",
        ColumnType::Number => "number",
    };
    json!({"type": [kind, "null"], "description": column.meaning})
}

/// The same, or a list of texts that are joined by commas.
fn known(column: &ColumnEntry) -> Value {
    let mut cell = cell(column);
    if column.column_type == ColumnType::Text {
        merge(&mut cell, json!({"type": ["string", "array", "null"], "items": {"type": "string"}}));
    }
    cell
}

/// Names of definitions that all detectors that have them have in common, with all they refer to.
fn shared(settings: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let mut shared: BTreeMap<String, Value> = BTreeMap::new();
    let mut differing = BTreeSet::new();
    for schema in settings.values() {
        for (name, def) in part(schema, "$defs") {
            match shared.get(&name) {
                Some(other) if *other != def => {
                    differing.insert(name);
                }
                Some(_) => {}
                None => {
                    shared.insert(name, def);
                }
            }
        }
    }
    // What refers to something that differs, differs too.
    loop {
        shared.retain(|name, _| !differing.contains(name));
        let more: Vec<String> = shared
            .iter()
            .filter(|(_, def)| references(def).iter().any(|name| differing.contains(name)))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return shared.into_keys().collect();
        }
        differing.extend(more);
    }
}

fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value.as_str()) {
                ("$ref", Some(to)) => {
                    to.strip_prefix("#/$defs/").map(str::to_owned).into_iter().collect()
                }
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The name of a detector's definition in the whole schema.
fn own(def: &str, detector: &str, shared: &BTreeSet<String>) -> String {
    if shared.contains(def) { def.to_owned() } else { format!("{detector}-{def}") }
}

/// The schema with references to where the detector's definitions stand in the whole one.
fn renamed(schema: &Value, detector: &str, shared: &BTreeSet<String>) -> Value {
    match schema {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| {
                let to = value.as_str().filter(|_| key == "$ref");
                let value = match to.and_then(|to| to.strip_prefix("#/$defs/")) {
                    Some(def) => format!("#/$defs/{}", own(def, detector, shared)).into(),
                    None => renamed(value, detector, shared),
                };
                (key.clone(), value)
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => {
            items.iter().map(|item| renamed(item, detector, shared)).collect::<Vec<_>>().into()
        }
        other => other.clone(),
    }
}
