//! The secret settings of a connection: those that the adapter's schema marks `"writeOnly": true`.
//!
//! They are given by reference, sealed in the vault beside the client's secret, and put among the
//! settings only when these are handed to the adapter. Wherever settings are kept or shown,
//! `{"sealed": true}` stands in their place. One that is also marked `"x-random": true` is made at
//! random when nobody gives it.
//!
//! It reads no file and no environment: a reference is resolved by who was given it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use casbah_model::adapter::AdapterDescription;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::settings::properties;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::text;

/// Name of the place in the vault.
pub(super) const SETTINGS: &str = "settings";

/// Where a secret setting is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretReference {
    /// Somebody is to be asked for it.
    Asked,
    /// From this environment variable.
    Environment(String),
    /// From this file.
    File(PathBuf),
}

/// Takes the references of secret settings out of settings as they were given, by the settings'
/// names; `{"sealed": true}` takes their place. What is not an object is left to
/// [`super::check_settings`].
///
/// # Errors
/// `Configuration` when a secret is given in plain words, which are not repeated.
pub fn secret_references(
    description: &AdapterDescription,
    settings: &mut Value,
) -> Result<BTreeMap<String, SecretReference>, ConnectError> {
    let mut found = BTreeMap::new();
    let Value::Object(members) = settings else { return Ok(found) };
    for name in names(description) {
        let Some(value) = members.get_mut(name).filter(|value| !is_sealed(value)) else { continue };
        let reference = reference(value).ok_or_else(|| {
            ConnectError::new(
                ConnectErrorKind::Configuration,
                format!(
                    "the settings for {} can't be used: `/{}` {PLAIN}",
                    description.title,
                    text::shown(name, 80)
                ),
            )
            .hint(format!(
                "give it as `{{\"{0}\": {{\"env\": \"NAME\"}}}}` or `{{\"{0}\": {{\"file\": \"PATH\"}}}}`, or as \
                 `{{\"{0}\": \"\"}}` to be asked for it",
                text::shown(name, 80)
            ))
        })?;
        *value = sealed();
        found.insert(name.to_owned(), reference);
    }
    Ok(found)
}

/// What is wrong with a secret in plain words.
pub(super) const PLAIN: &str = "is a secret, and is not taken in plain words";

fn reference(value: &Value) -> Option<SecretReference> {
    if value.as_str() == Some("") {
        return Some(SecretReference::Asked);
    }
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let (way, place) = members.iter().next()?;
    let place = place.as_str().filter(|place| !place.is_empty())?.to_owned();
    match way.as_str() {
        "env" => Some(SecretReference::Environment(place)),
        "file" => Some(SecretReference::File(place.into())),
        _ => None,
    }
}

/// What stands for a secret that is in the vault.
fn sealed() -> Value {
    json!({"sealed": true})
}

pub(super) fn is_sealed(value: &Value) -> bool {
    *value == sealed()
}

pub(super) fn is_secret(schema: &Value) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
}

/// Names of the secret settings. Only those at the top count.
fn names(description: &AdapterDescription) -> impl Iterator<Item = &str> {
    properties(&description.settings)
        .filter(|(_, schema)| is_secret(schema))
        .map(|(name, _)| name.as_str())
}

/// Secret settings by name.
#[derive(Debug, Default)]
pub(super) struct Secrets(BTreeMap<String, SecretString>);

impl Secrets {
    /// Those of a connection that is made or signed in anew: what is given, else what it has already,
    /// else a random one where the schema says so. All are marked in the settings.
    pub(super) fn establish(
        description: &AdapterDescription,
        mut given: BTreeMap<String, SecretString>,
        mut before: Self,
        settings: &mut Value,
    ) -> Result<Self, ConnectError> {
        let mut secrets = BTreeMap::new();
        for name in names(description) {
            let random = || {
                let schema = description.settings.pointer("/properties")?.get(name)?;
                (schema.get("x-random") == Some(&Value::Bool(true))).then(make)
            };
            let secret = given.remove(name).or_else(|| before.0.remove(name)).or_else(random);
            if let Some(secret) = secret.filter(|secret| !secret.expose_secret().is_empty()) {
                if settings.is_null() {
                    *settings = Value::Object(Map::new());
                }
                if let Value::Object(members) = settings {
                    members.insert(name.to_owned(), sealed());
                }
                secrets.insert(name.to_owned(), secret);
            } else if settings.get(name).is_some() {
                return Err(ConnectError::new(
                    ConnectErrorKind::Configuration,
                    format!("the secret setting `{}` is empty", text::shown(name, 80)),
                )
                .hint("give it anew, or leave it out"));
            }
        }
        Ok(Self(secrets))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings with the secrets in their places, as the adapter gets them.
    pub(super) fn merged(&self, settings: &Value) -> String {
        if settings.is_null() {
            return "{}".to_owned();
        }
        let mut settings = settings.clone();
        if let Value::Object(members) = &mut settings {
            for (name, secret) in &self.0 {
                members.insert(name.clone(), Value::from(secret.expose_secret()));
            }
        }
        settings.to_string()
    }

    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
        let plain: BTreeMap<&str, &str> =
            self.0.iter().map(|(name, secret)| (name.as_str(), secret.expose_secret())).collect();
        serde_json::to_vec(&plain).map(Zeroizing::new).map_err(|_| {
            ConnectError::new(ConnectErrorKind::Secret, "the secret settings can't be written")
        })
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, ConnectError> {
        let plain: BTreeMap<String, Zeroizing<String>> =
            serde_json::from_slice(bytes).map_err(|_| {
                ConnectError::new(ConnectErrorKind::Secret, "the secret settings can't be read")
                    .hint("connect again with `casbah connect`")
            })?;
        let secrets =
            plain.into_iter().map(|(name, secret)| (name, SecretString::from(secret.as_str())));
        Ok(Self(secrets.collect()))
    }
}

/// A random secret: 256 bits as hexadecimal digits.
fn make() -> SecretString {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::fill(bytes.as_mut_slice());
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    SecretString::from(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> AdapterDescription {
        let mut description = crate::testing::ToyAdapter::new().description;
        description.settings = json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "pin": {"type": "string", "writeOnly": true},
                "salt": {"type": "string", "writeOnly": true, "x-random": true},
                "place": {"type": "string"},
            }
        });
        description
    }

    /// A secret stands in shell histories and lists of processes when it is given in plain words.
    #[test]
    fn plain_words_are_refused_and_not_repeated() {
        for value in [
            json!("s3cret"),
            json!(["s3cret"]),
            json!({"env": ""}),
            json!({"s3cret": "s3cret"}),
            json!({"env": "A", "file": "s3cret"}),
            json!(5),
            json!(null),
        ] {
            let mut settings = json!({"pin": value});
            let refused = secret_references(&description(), &mut settings).unwrap_err();
            let said = format!("{refused}\n{}", refused.remedy().unwrap_or_default());
            assert!(!said.contains("s3cret"), "{said}");
            assert!(said.contains("`/pin` is a secret") && said.contains("\"env\""), "{said}");
            let refused = super::super::check_settings(&description(), &settings).unwrap_err();
            assert!(refused.message().contains("`/pin` is a secret"), "{refused}");
            assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
        }
    }

    #[test]
    fn references_are_taken_out() {
        let mut settings = json!({"pin": {"env": "PIN"}, "salt": "", "place": "here"});
        let found = secret_references(&description(), &mut settings).unwrap();
        assert_eq!(found["pin"], SecretReference::Environment("PIN".to_owned()));
        assert_eq!(found["salt"], SecretReference::Asked);
        let marked = json!({"pin": {"sealed": true}, "salt": {"sealed": true}, "place": "here"});
        assert_eq!(settings, marked);
        assert!(super::super::check_settings(&description(), &settings).is_ok());
        assert!(secret_references(&description(), &mut settings).unwrap().is_empty());
        let mut settings = json!({"pin": {"file": "a/b"}});
        let found = secret_references(&description(), &mut settings).unwrap();
        assert_eq!(found["pin"], SecretReference::File("a/b".into()));
    }

    /// Hashes must stay the same when a connection is signed in anew.
    #[test]
    fn what_is_not_given_anew_is_kept_or_made() {
        let mut settings = json!({"place": "here"});
        let first =
            Secrets::establish(&description(), BTreeMap::new(), Secrets::default(), &mut settings);
        let first = first.unwrap();
        assert_eq!(settings, json!({"place": "here", "salt": {"sealed": true}}));
        let salt = first.0["salt"].expose_secret().to_owned();
        assert_eq!(salt.len(), 64);
        let merged: Value = serde_json::from_str(&first.merged(&settings)).unwrap();
        assert_eq!(merged, json!({"place": "here", "salt": salt}));
        let kept = Secrets::decode(&first.encode().unwrap()).unwrap();
        let given = BTreeMap::from([("pin".to_owned(), SecretString::from("1234"))]);
        let again = Secrets::establish(&description(), given, kept, &mut settings).unwrap();
        assert_eq!(again.0["salt"].expose_secret(), salt);
        assert_eq!(again.0["pin"].expose_secret(), "1234");
        assert!(!format!("{again:?}").contains("1234"));
        let other =
            Secrets::establish(&description(), BTreeMap::new(), Secrets::default(), &mut json!({}));
        assert_ne!(other.unwrap().0["salt"].expose_secret(), salt, "random");
        let mut marked = json!({"pin": {"sealed": true}});
        let lacks =
            Secrets::establish(&description(), BTreeMap::new(), Secrets::default(), &mut marked);
        assert!(lacks.unwrap_err().message().contains("`pin` is empty"));
    }
}
