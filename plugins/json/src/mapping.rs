//! Which paths of a record hold what: the mapping among the settings, and the ready-made ones.
//!
//! It reads no records.

use std::collections::BTreeMap;

use casbah_plugin::{Failure, class, json, vocabulary};
use serde::Deserialize;

/// The ready-made mappings, by name.
pub(crate) const READY: &[(&str, &str)] = &[
    ("azure", include_str!("../mappings/azure.json")),
    ("cloudtrail", include_str!("../mappings/cloudtrail.json")),
    ("github", include_str!("../mappings/github.json")),
    ("google-workspace", include_str!("../mappings/google-workspace.json")),
    ("m365", include_str!("../mappings/m365.json")),
    ("okta", include_str!("../mappings/okta.json")),
];

/// Where things stand in a record.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Mapping {
    /// What `source` says: the product and service that the records come from.
    pub(crate) source: Option<Source>,
    /// Columns by name, each with the paths that it may be found at, the best first.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, Paths>,
    /// What was done.
    pub(crate) kind: Option<Lookup>,
    /// How it ended.
    pub(crate) result: Option<Outcome>,
}

/// One path or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Paths {
    /// One.
    One(String),
    /// Several, the best first.
    Several(Vec<String>),
}

impl Paths {
    pub(crate) fn list(&self) -> &[String] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }
}

/// Where records come from: always the same, or told by the record.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Source {
    /// Always the same.
    Fixed(String),
    /// By a value of the record.
    Told(Lookup),
}

/// A text by the value at a path; values are compared without regard to case.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Lookup {
    /// The paths, the best first.
    pub(crate) from: Paths,
    /// By the whole value.
    #[serde(default)]
    pub(crate) is: BTreeMap<String, String>,
    /// By its beginning; the longest beginning that fits.
    #[serde(default)]
    pub(crate) starts: BTreeMap<String, String>,
    /// By its end; the longest end that fits.
    #[serde(default)]
    pub(crate) ends: BTreeMap<String, String>,
    /// What else.
    pub(crate) otherwise: Option<String>,
}

impl Lookup {
    /// The text for a value; `None` when nothing is said of it.
    pub(crate) fn find(&self, value: &str) -> Option<&str> {
        fn longest(map: &BTreeMap<String, String>, fits: impl Fn(&str) -> bool) -> Option<&String> {
            let fitting = map.iter().filter(|(key, _)| fits(&key.to_lowercase()));
            fitting.max_by_key(|(key, _)| key.len()).map(|(_, text)| text)
        }
        let value = value.to_lowercase();
        longest(&self.is, |key| key == value)
            .or_else(|| longest(&self.starts, |key| value.starts_with(key)))
            .or_else(|| longest(&self.ends, |key| value.ends_with(key)))
            .or(self.otherwise.as_ref())
            .map(String::as_str)
    }

    fn texts(&self) -> impl Iterator<Item = &String> {
        self.is
            .values()
            .chain(self.starts.values())
            .chain(self.ends.values())
            .chain(&self.otherwise)
    }
}

/// How something ended.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Outcome {
    /// The paths, the best first.
    pub(crate) from: Paths,
    /// Values that mean success.
    #[serde(default)]
    pub(crate) success: Vec<String>,
    /// Values that mean failure.
    #[serde(default)]
    pub(crate) failure: Vec<String>,
    /// What any other value means: `success` or `failure`.
    pub(crate) present: Option<String>,
    /// What it means that there is none.
    pub(crate) absent: Option<String>,
}

impl Outcome {
    /// What a value means.
    pub(crate) fn find(&self, value: &str) -> Option<&str> {
        let among = |list: &[String]| list.iter().any(|known| known.eq_ignore_ascii_case(value));
        if among(&self.success) {
            Some("success")
        } else if among(&self.failure) {
            Some("failure")
        } else {
            self.present.as_deref()
        }
    }
}

/// The columns that a mapping may fill, besides `source`, `kind` and `result`.
pub(crate) const COLUMNS: &[&str] = &[
    "id",
    "time",
    "instance",
    "action",
    "actor",
    "actor.id",
    "actor.name",
    "actor.type",
    "ip",
    "user-agent",
    "object",
    "object.kind",
    "object.name",
    "recipient",
    "reason",
    "token",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    mapping: Option<serde_json::Value>,
}

/// Reads the settings; without a mapping, records have nothing but their fields.
///
/// # Errors
/// `refused`, with what is wrong.
pub(crate) fn read(settings: &str) -> Result<Mapping, Failure> {
    let settings = if settings.trim().is_empty() { "{}" } else { settings };
    let settings: Settings = serde_json::from_str(settings)
        .map_err(|error| refused(&format!("the settings: {error}")))?;
    let mapping = match settings.mapping {
        None => Mapping::default(),
        Some(serde_json::Value::String(name)) => {
            let ready = READY.iter().find(|(ready, _)| *ready == name);
            let Some((_, text)) = ready else {
                let names: Vec<_> = READY.iter().map(|(name, _)| format!("`{name}`")).collect();
                return Err(refused(&format!(
                    "there is no mapping `{name}`; the ready-made ones are {}",
                    names.join(", ")
                )));
            };
            serde_json::from_str(text)
                .map_err(|error| refused(&format!("mapping `{name}`: {error}")))?
        }
        Some(value) => serde_json::from_value(value)
            .map_err(|error| refused(&format!("the mapping: {error}")))?,
    };
    check(&mapping)?;
    Ok(mapping)
}

fn check(mapping: &Mapping) -> Result<(), Failure> {
    if let Some(name) = mapping.columns.keys().find(|name| !COLUMNS.contains(&name.as_str())) {
        return Err(refused(&format!(
            "a mapping can't fill column `{name}`; it fills {}",
            COLUMNS.join(", ")
        )));
    }
    let kinds = mapping.kind.iter().flat_map(Lookup::texts);
    if let Some(kind) = kinds.into_iter().find(|kind| !is_kind(kind)) {
        return Err(refused(&format!("`{kind}` is not a published kind of activity")));
    }
    let ends = mapping.result.iter().flat_map(|result| result.present.iter().chain(&result.absent));
    if let Some(end) = ends.into_iter().find(|end| !matches!(end.as_str(), "success" | "failure")) {
        return Err(refused(&format!("a result is `success` or `failure`, not `{end}`")));
    }
    Ok(())
}

/// Whether a kind is among the published ones.
fn is_kind(kind: &str) -> bool {
    vocabulary::KINDS.iter().any(|known| known.name == kind)
}

fn refused(message: &str) -> Failure {
    Failure {
        class: class::REFUSED.to_owned(),
        message: message.to_owned(),
        remedy: "plugins/json/README.md tells what a mapping is made of.".to_owned(),
        ..Failure::default()
    }
}

/// JSON Schema of the settings.
pub(crate) fn schema() -> serde_json::Value {
    let names: Vec<_> = READY.iter().map(|(name, _)| *name).collect();
    let paths = json!({
        "description": "Dotted path in the record, or several, the best first.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    });
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let lookup = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["from"],
        "properties": {"from": paths, "is": texts, "starts": texts, "ends": texts, "otherwise": {"type": "string"}},
    });
    let columns: serde_json::Map<_, _> =
        COLUMNS.iter().map(|name| ((*name).to_owned(), paths.clone())).collect();
    let values = json!({"type": "array", "items": {"type": "string"}});
    let end = json!({"enum": ["success", "failure"]});
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "mapping": {
                "description": "Name of a ready-made mapping, or which paths hold time, actor, address and object.",
                "anyOf": [
                    {"enum": names},
                    {
                        "type": "object",
                        "additionalProperties": false,
                        "properties": {
                            "source": {
                                "description": "Product and service as Sigma's log sources name them, e.g. aws.cloudtrail.",
                                "anyOf": [{"type": "string"}, lookup],
                            },
                            "columns": {"type": "object", "additionalProperties": false, "properties": columns},
                            "kind": lookup,
                            "result": {
                                "type": "object",
                                "additionalProperties": false,
                                "required": ["from"],
                                "properties": {"from": paths, "success": values, "failure": values, "present": end, "absent": end},
                            },
                        },
                    },
                ],
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ready_made_mappings_are_right() {
        for (name, _) in READY {
            let mapping = read(&format!(r#"{{"mapping": "{name}"}}"#)).unwrap();
            assert!(mapping.source.is_some(), "{name}");
            assert!(mapping.columns.contains_key("time"), "{name}");
            assert!(mapping.columns.contains_key("actor"), "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |settings: &str| read(settings).unwrap_err().message;
        insta::assert_snapshot!(wrong(r#"{"mapping": "cloudtrial"}"#), @"there is no mapping `cloudtrial`; the ready-made ones are `azure`, `cloudtrail`, `github`, `google-workspace`, `m365`, `okta`");
        insta::assert_snapshot!(wrong(r#"{"mapping": {"columns": {"country": "c"}}}"#), @"a mapping can't fill column `country`; it fills id, time, instance, action, actor, actor.id, actor.name, actor.type, ip, user-agent, object, object.kind, object.name, recipient, reason, token");
        insta::assert_snapshot!(wrong(r#"{"mapping": {"kind": {"from": "a", "is": {"x": "exprot"}}}}"#), @"`exprot` is not a published kind of activity");
        insta::assert_snapshot!(wrong(r#"{"mapping": {"result": {"from": "a", "absent": "maybe"}}}"#), @"a result is `success` or `failure`, not `maybe`");
        insta::assert_snapshot!(wrong(r#"{"mappings": {}}"#), @"the settings: unknown field `mappings`, expected `mapping` at line 1 column 11");
    }

    #[test]
    fn the_best_of_several_fits() {
        let lookup: Lookup = serde_json::from_value(json!({
            "from": "a",
            "is": {"GetObject": "download"},
            "starts": {"Get": "view", "Delete": "delete", "DeleteUser": "user-remove"},
            "ends": {"Policy": "permission"},
            "otherwise": "other",
        }))
        .unwrap();
        for (value, kind) in [
            ("getobject", "download"),
            ("GetThings", "view"),
            ("DeleteUserProfile", "user-remove"),
            ("DeleteBucket", "delete"),
            ("PutPolicy", "permission"),
            ("Frobnicate", "other"),
        ] {
            assert_eq!(lookup.find(value), Some(kind), "{value}");
        }
    }
}
