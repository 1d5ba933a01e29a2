//! Which keys a policy may have: the host's, and its detector's settings.

use super::{Fields, HOST_KEYS, PolicyProblemKind};
use crate::suggest::{self, shown};
use crate::yaml::{Node, Value};

/// Settings that the host makes of keys of its own, and where these stand.
pub(crate) const HOST_MADE: [(&str, &str); 4] = [
    ("policy", "policy: …"),
    ("group", "alert: {group: …}"),
    ("quiet", "alert: {quiet: …}"),
    ("severities", "severity: {default: medium, critical: […]}"),
];

/// Every key must be the host's or one of the detector's settings, of which the schema tells.
pub(super) fn check(
    document: &Node,
    fields: &mut Fields,
    detector: &str,
    schema: &serde_json::Value,
) {
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    // A detector without a schema says itself what it does not know.
    let Some(properties) = properties else { return };
    let Value::Map(entries) = &document.value else { return };
    let host_made = |key: &str| HOST_MADE.iter().find(|(made, _)| *made == key);
    if let Some(severity) = document.get("severity")
        && matches!(severity.value.value, Value::Map(_))
        && !properties.contains_key("severities")
    {
        fields.wrong(
            severity.span,
            format!("with detector `{detector}` rows can't decide on the severity"),
            "write one: `severity: high`".to_owned(),
        );
    }
    for entry in entries {
        let key = entry.key.as_str();
        let setting = properties.contains_key(key) && host_made(key).is_none();
        if HOST_KEYS.contains(&key) || setting {
            continue;
        }
        let settings = properties.keys().map(String::as_str).filter(|key| host_made(key).is_none());
        let hint = match host_made(key) {
            Some((_, instead)) => format!("write `{instead}`"),
            None => suggest::hint(
                key,
                HOST_KEYS.iter().copied().chain(settings),
                &format!("the keys of a policy with detector `{detector}`"),
            ),
        };
        fields.wrong_kind(
            PolicyProblemKind::Key,
            entry.span,
            format!("`{}` is not a key of a policy", shown(key)),
            hint,
        );
    }
}

/// Without a detector its keys are not known; those that are nearly the host's are slips even so.
pub(super) fn check_slips(document: &Node, fields: &mut Fields) {
    let Value::Map(entries) = &document.value else { return };
    for entry in entries.iter().filter(|entry| !HOST_KEYS.contains(&entry.key.as_str())) {
        if let Some(near) = suggest::nearest(&entry.key, HOST_KEYS.iter().copied()) {
            fields.wrong_kind(
                PolicyProblemKind::Key,
                entry.span,
                format!("`{}` is not a key of a policy", shown(&entry.key)),
                format!("did you mean `{near}`?"),
            );
        }
    }
}
