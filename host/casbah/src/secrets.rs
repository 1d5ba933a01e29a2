//! Secret settings of an adapter: where they are taken from.
//!
//! Which settings are secret, and how references to them are written, is known by
//! [`casbah_connect::secret_references`]; here they are resolved.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use casbah_connect::{SecretReference, secret_references};
use casbah_model::adapter::AdapterDescription;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::output::Output;

/// The environment variables that settings may refer to.
pub(crate) fn named(settings: &str) -> Vec<String> {
    let Ok(Value::Object(members)) = serde_json::from_str(settings) else { return Vec::new() };
    members.values().filter_map(|value| Some(value.get("env")?.as_str()?.to_owned())).collect()
}

/// Reads the secrets; paths of files are meant from `folder`.
///
/// # Errors
/// When one is not there, or is empty.
pub(crate) fn read(
    references: BTreeMap<String, SecretReference>,
    folder: Option<&Path>,
    environment: &BTreeMap<String, String>,
    output: &mut Output,
) -> Result<BTreeMap<String, SecretString>> {
    let mut secrets = BTreeMap::new();
    for (name, reference) in references {
        let secret = match reference {
            SecretReference::Asked => output.ask(&name, true)?,
            SecretReference::Environment(variable) => match environment.get(&variable) {
                Some(value) => value.clone(),
                None => bail!(
                    "the setting `{name}` is to be taken from the environment, but `{variable}` is not set"
                ),
            },
            SecretReference::File(path) => {
                let path = folder.map(|folder| folder.join(&path)).unwrap_or(path);
                std::fs::read_to_string(&path).with_context(|| {
                    format!("the file `{}` of the setting `{name}` can't be read", path.display())
                })?
            }
        };
        let secret = secret.trim();
        if secret.is_empty() {
            bail!("the secret setting `{name}` is empty");
        }
        secrets.insert(name, SecretString::from(secret.to_owned()));
    }
    Ok(secrets)
}

/// Settings for the adapter of saved logs, with the secrets in their places.
///
/// # Errors
/// When a secret is given in plain words, or is not there.
pub(crate) fn merged(
    description: &AdapterDescription,
    settings: &str,
    output: &mut Output,
) -> Result<String> {
    // What is not JSON is the adapter's to refuse.
    let Ok(mut value) = serde_json::from_str(settings) else { return Ok(settings.to_owned()) };
    let references = secret_references(description, &mut value)?;
    if references.is_empty() {
        return Ok(settings.to_owned());
    }
    let environment = crate::control::environment(named(settings));
    for (name, secret) in read(references, None, &environment, output)? {
        if let Value::Object(members) = &mut value {
            members.insert(name, Value::from(secret.expose_secret()));
        }
    }
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A running casbah has another environment than who asks it.
    #[test]
    fn variables_are_found_in_settings() {
        assert_eq!(named(r#"{"a": {"env": "X"}, "b": "Y", "c": {"file": "Z"}}"#), ["X"]);
        assert!(named("[").is_empty() && named("[]").is_empty());
    }
}
