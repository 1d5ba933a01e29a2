//! What every detector with filter rows says of itself.

use casbah_model::detector::DetectorDescription;
use casbah_model::vocabulary::{COLUMNS, NESTED};
use serde_json::Value;

use crate::words;

/// The schema of what every detector takes: the host's keys, `when` and its kin, and definitions to refer to.
const COMMON: &str = include_str!("common.schema.json");

/// What is read whatever the policies say, for time and identity.
const ALWAYS: &[&str] = &["sequence", "time", "received"];

/// The description of a detector that takes filter rows.
///
/// Every column can be named by a policy, so every column is described; those that no policy names
/// are optional, except for time, identity, what [`words`] reads, and what is listed in `always`: name
/// there what the detector reads without being told to by the settings, defaults included. `own` is
/// the JSON schema of the detector's own settings; see [`schema`].
pub fn description(
    name: &str,
    version: &str,
    title: &str,
    state_version: u32,
    always: &[&str],
    own: &str,
) -> DetectorDescription {
    let needed = |name: &str| {
        ALWAYS.contains(&name) || words::READ.contains(&name) || always.contains(&name)
    };
    let columns = || COLUMNS.iter().map(|column| column.name);
    let nested = || NESTED.iter().map(|nested| nested.name);
    DetectorDescription {
        name: name.to_owned(),
        version: version.to_owned(),
        title: title.to_owned(),
        columns: columns().map(str::to_owned).collect(),
        nested: nested().map(str::to_owned).collect(),
        optional: columns()
            .chain(nested())
            .filter(|name| !needed(name))
            .map(str::to_owned)
            .collect(),
        state_version,
        settings: schema(own),
    }
}

/// Completes the JSON schema of a detector's own settings (`properties`, `required`, `$defs`) with
/// what every detector takes: the host's keys, `when`, `unless` and `severities`. Definitions to
/// refer to: `duration`, `field`, `fields`, `rows`, `texts`, `unless`, `severities`.
pub fn schema(own: &str) -> Value {
    let mut schema: Value = serde_json::from_str(COMMON).unwrap_or_default();
    let own: Value = serde_json::from_str(own).unwrap_or_default();
    let (Value::Object(whole), Value::Object(own)) = (&mut schema, own) else { return schema };
    for (key, value) in own {
        match (whole.get_mut(&key), value) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more),
            (Some(Value::Array(there)), Value::Array(more)) => there.extend(more),
            (_, value) => {
                whole.insert(key, value);
            }
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_settings_stand_beside_the_common_ones() {
        let own = r#"{"required": ["least"], "properties": {"least": {"type": "integer"}}, "$defs": {"x": {}}}"#;
        let schema = schema(own);
        let mut names: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["group", "least", "policy", "quiet", "severities", "unless", "when"]);
        assert_eq!(schema["required"], serde_json::json!(["when", "least"]));
        assert!(schema["$defs"]["rows"].is_object() && schema["$defs"]["x"].is_object());
    }

    /// A default that is not named in the settings must not be narrowed away.
    #[test]
    fn what_is_always_read_is_not_optional() {
        let description = description("x", "1", "X", 1, &["person"], "{}");
        assert!(!description.optional.iter().any(|name| name == "person" || name == "kind"));
        assert!(description.optional.iter().any(|name| name == "token"));
        assert!(description.optional.iter().any(|name| name == "fields"));
    }
}
