//! The settings of a connection, as its administrator writes them.

use std::collections::{BTreeMap, BTreeSet};

use casbah_plugin::{Failure, class};
use serde::Deserialize;
use serde_json::{Value, json};

/// The settings of a connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Kind by event type, `OBJECT.ACTION` or `OBJECT.*`; wins over what the adapter knows.
    kinds: BTreeMap<String, String>,
    /// Event types that mean that something failed, such as a refused sign-in.
    failures: BTreeSet<String>,
    /// Another plan of an Enterprise Plan Manager tree.
    #[serde(deserialize_with = "digits")]
    pub(crate) managed_plan: Option<String>,
    /// How long to leave Smartsheet alone when it says that it is being maintained, seconds.
    pub(crate) maintenance_wait: Option<u32>,
}

impl Settings {
    /// Reads the settings; an empty text stands for none.
    ///
    /// # Errors
    /// `refused`, with what is wrong.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        // A struct could also be read from an array, by order of its members.
        let read = if text.trim_start().starts_with('[') {
            Err("they must be an object, not an array".to_owned())
        } else {
            serde_json::from_str(text).map_err(|error| error.to_string())
        };
        read.map_err(|error| Failure {
            class: class::REFUSED.to_owned(),
            message: format!("the connection's settings can't be read: {error}"),
            remedy: "Correct the settings of the connection; `plugins/smartsheet/README.md` lists \
                     them."
                .to_owned(),
            ..Failure::default()
        })
    }

    pub(crate) fn kind(&self, object_type: &str, action: &str) -> Option<&str> {
        if self.kinds.is_empty() {
            return None;
        }
        [format!("{object_type}.{action}"), format!("{object_type}.*")]
            .iter()
            .find_map(|name| self.kinds.get(name))
            .map(String::as_str)
            .filter(|kind| !kind.is_empty())
    }

    pub(crate) fn is_failure(&self, object_type: &str, action: &str) -> bool {
        !self.failures.is_empty() && self.failures.contains(&format!("{object_type}.{action}"))
    }
}

/// An id, written as a number or as a text of digits. Never through a float.
fn digits<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(u64),
        Text(String),
    }
    let id = match Option::<Id>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Id::Number(number)) => number.to_string(),
        Some(Id::Text(text)) => text,
    };
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(serde::de::Error::custom("`managed-plan` must be the plan's id, digits only"));
    }
    Ok(Some(id))
}

/// The JSON Schema of [`Settings`].
pub(crate) fn schema() -> Value {
    let event_type = "^[A-Z0-9_]+\\.([A-Z0-9_]+|\\*)$";
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "kinds": {
                "type": "object",
                "description": "Kind of activity by event type, as `OBJECT.ACTION` or `OBJECT.*`: \
                    for event types that this adapter does not know, or to see them otherwise.",
                "propertyNames": {"pattern": event_type},
                "additionalProperties": {"type": "string", "minLength": 1},
                "examples": [{"AUTHENTICATION.LOGIN": "login"}]
            },
            "failures": {
                "type": "array",
                "description": "Event types, as `OBJECT.ACTION`, that mean that something failed.",
                "items": {"type": "string", "pattern": event_type}
            },
            "managed-plan": {
                "type": ["string", "integer"],
                "description": "Id of another plan of an Enterprise Plan Manager tree whose events \
                    are read."
            },
            "maintenance-wait": {
                "type": "integer",
                "minimum": 0,
                "default": DEFAULT_MAINTENANCE_WAIT,
                "description": "Seconds to leave Smartsheet alone when it says that it is being \
                    maintained."
            }
        }
    })
}

/// Maintenance takes minutes at least: asking sooner is only noise.
pub(crate) const DEFAULT_MAINTENANCE_WAIT: u32 = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_without_a_float() {
        for text in [
            r#"{"managed-plan": 9223372036854775807}"#,
            r#"{"managed-plan": "9223372036854775807"}"#,
        ] {
            let settings = Settings::read(text).unwrap();
            assert_eq!(settings.managed_plan.as_deref(), Some("9223372036854775807"));
        }
        assert_eq!(Settings::read(r#"{"managed-plan": null}"#).unwrap().managed_plan, None);
    }

    #[test]
    fn what_is_not_understood_is_refused_in_words() {
        insta::assert_snapshot!(
            ["{\"kind\": {}}", "{\"managed-plan\": \"x\"}", "[]", "{"]
                .map(|text| {
                    let failure = Settings::read(text).unwrap_err();
                    assert_eq!(failure.class, class::REFUSED);
                    failure.message
                })
                .join("\n"),
            @r#"
        the connection's settings can't be read: unknown field `kind`, expected one of `kinds`, `failures`, `managed-plan`, `maintenance-wait` at line 1 column 7
        the connection's settings can't be read: `managed-plan` must be the plan's id, digits only at line 1 column 21
        the connection's settings can't be read: they must be an object, not an array
        the connection's settings can't be read: EOF while parsing an object at line 1 column 1
        "#
        );
    }
}
