//! The settings of a connection, as its administrator writes them.

use std::collections::BTreeMap;

use casbah_plugin::{Failure, class};
use serde::Deserialize;
use serde_json::{Value, json};

/// What becomes of a confidential value; the later, the stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Treatment {
    /// Kept as it is.
    #[default]
    Keep,
    /// Replaced by a hash, so that equal values can still be told.
    Hash,
    /// Left out.
    Drop,
}

/// The settings of a connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Id of the repository, e.g. `CA-1A2B3C4D`.
    repository: String,
    /// What becomes of the firm's own profile attributes.
    pub(crate) profile: Treatment,
    /// What becomes of document names, and of descriptions that may hold them.
    pub(crate) names: Treatment,
    /// Mixed into every hash, so that it can't be found by trying values.
    pub(crate) hash_key: String,
    /// Kind by activity name, in lower case; wins over what the adapter knows.
    kinds: BTreeMap<String, String>,
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
        if text.trim_start().starts_with('[') {
            return Err(refused("they must be an object, not an array"));
        }
        let mut settings: Self =
            serde_json::from_str(text).map_err(|error| refused(&error.to_string()))?;
        settings.kinds =
            settings.kinds.into_iter().map(|(name, kind)| (name.to_lowercase(), kind)).collect();
        Ok(settings)
    }

    /// The repository, as it stands in addresses.
    ///
    /// # Errors
    /// `refused` when it is not set, or is no id.
    pub(crate) fn repository(&self) -> Result<&str, Failure> {
        let id = self.repository.trim();
        // It becomes part of a path, so nothing else may pass.
        let sound = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match id.split_once('-') {
            Some((_, number)) if sound && !number.is_empty() => Ok(id),
            _ if id.is_empty() => Err(refused("`repository` is missing")),
            _ => Err(refused("`repository` is not an id such as `CA-1A2B3C4D`")),
        }
    }

    /// Whether anything is hashed or dropped.
    pub(crate) fn conceals(&self) -> bool {
        self.profile != Treatment::Keep || self.names != Treatment::Keep
    }

    /// What becomes of a value that may be anything.
    pub(crate) fn strictest(&self) -> Treatment {
        self.profile.max(self.names)
    }

    /// The administrator's own word for an activity; the name is in lower case.
    pub(crate) fn kind(&self, name: &str) -> Option<&str> {
        self.kinds.get(name).map(String::as_str).filter(|kind| !kind.is_empty())
    }
}

fn refused(what: &str) -> Failure {
    Failure {
        class: class::REFUSED.to_owned(),
        message: format!("the connection's settings can't be used: {what}"),
        remedy:
            "Correct the settings of the connection. `repository` is the repository's id, which \
                 NetDocuments shows to its administrators; `plugins/netdocuments/README.md` lists \
                 the settings."
                .to_owned(),
        ..Failure::default()
    }
}

/// The JSON Schema of [`Settings`].
pub(crate) fn schema() -> Value {
    let treatment = |what: &str| {
        json!({
            "type": "string",
            "enum": ["keep", "hash", "drop"],
            "default": "keep",
            "description": format!(
                "What becomes of {what}: kept, replaced by a hash, or left out. It holds for the raw \
                 record as well; what was stored before stays as it is."
            )
        })
    };
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["repository"],
        "properties": {
            "repository": {
                "type": "string",
                "pattern": "^[A-Za-z0-9]+-[A-Za-z0-9-]+$",
                "description": "Id of the repository, e.g. `CA-1A2B3C4D`."
            },
            "profile": treatment("the firm's own profile attributes, such as client and matter"),
            "names": treatment("names of documents, and descriptions that may hold them"),
            "hash-key": {
                "type": "string",
                "writeOnly": true,
                "x-random": true,
                "description": "Any long text of your own, mixed into every hash so that none can be \
                    undone by trying values. Made at random where you give none."
            },
            "kinds": {
                "type": "object",
                "description": "Kind of activity by its name in the log, for names that this \
                    adapter does not know, or to see them otherwise.",
                "additionalProperties": {"type": "string", "minLength": 1},
                "examples": [{"access changed": "share"}]
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_refused_in_words() {
        let said = [
            "{\"kind\": {}}",
            "{\"names\": \"x\"}",
            "[]",
            "{",
            "{}",
            "{\"repository\": \"a/../b-c\"}",
        ]
        .map(|text| {
            let read = Settings::read(text);
            let failure = match &read {
                Err(failure) => failure.clone(),
                Ok(settings) => settings.repository().unwrap_err(),
            };
            assert_eq!(failure.class, class::REFUSED);
            failure.message
        })
        .join("\n");
        insta::assert_snapshot!(said);
    }
}
