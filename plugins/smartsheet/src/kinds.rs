//! Decides what kind of activity an event type is: by the administrator's own table, by the
//! catalogue, and for what neither knows by its name.

use crate::settings::Settings;
use crate::types::{ObjectType, TYPES};

/// What an event type means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meaning<'a> {
    /// From the list of kinds, or the administrator's own word.
    pub(crate) kind: &'a str,
    /// From the list of object kinds.
    pub(crate) object_kind: &'static str,
    /// Whether it is an act of administration; `None` when that is not known.
    pub(crate) administrative: Option<bool>,
    /// Whether it says that something failed.
    pub(crate) failed: bool,
}

/// Where an event type stands in the catalogue: places in [`TYPES`] and in its actions.
#[inline]
pub(crate) fn find(object_type: &str, action: &str) -> Option<(usize, usize)> {
    let place = TYPES.iter().position(|entry| entry.name == object_type)?;
    let actions = TYPES.get(place)?.actions;
    let action = actions.iter().position(|entry| entry.name == action)?;
    Some((place, action))
}

/// What an event type means.
pub(crate) fn meaning<'a>(object_type: &str, action: &str, settings: &'a Settings) -> Meaning<'a> {
    let mut meaning =
        by_catalogue(object_type, action).unwrap_or_else(|| by_name(object_type, action));
    if let Some(kind) = settings.kind(object_type, action) {
        meaning.kind = kind;
    }
    meaning.failed |= settings.is_failure(object_type, action);
    meaning
}

fn by_catalogue(object_type: &str, action: &str) -> Option<Meaning<'static>> {
    let (place, action) = find(object_type, action)?;
    let entry = TYPES.get(place)?;
    let action = entry.actions.get(action)?;
    Some(Meaning {
        kind: action.kind,
        object_kind: entry.object_kind,
        administrative: Some(action.administrative),
        failed: false,
    })
}

/// A type that the catalogue does not list.
fn by_name(object_type: &str, action: &str) -> Meaning<'static> {
    let family: Option<&ObjectType> = TYPES.iter().find(|entry| entry.name == object_type);
    let security = object_type == "AUTHENTICATION" || object_type.starts_with("POLICY");
    let sign_in = sign_in(object_type, action);
    let kind = match sign_in {
        Some(kind) => kind,
        None if security => "policy",
        None => by_verb(action),
    };
    let object_kind = match family {
        // Somebody signs in to an account, not to a policy.
        _ if sign_in.is_some() => "user",
        Some(entry) => entry.object_kind,
        None if security => "policy",
        None => "other",
    };
    let administrative = match sign_in {
        Some(_) => Some(false),
        None if security => Some(true),
        None => family.and_then(always_administrative),
    };
    Meaning { kind, object_kind, administrative, failed: sign_in.is_some() && has(action, "FAIL") }
}

/// What all known actions of a family agree on.
fn always_administrative(family: &ObjectType) -> Option<bool> {
    let first = family.actions.first()?.administrative;
    family.actions.iter().all(|action| action.administrative == first).then_some(first)
}

/// Signing in and out: the vendor has such events since June 2026, their names are not known.
fn sign_in(object_type: &str, action: &str) -> Option<&'static str> {
    // Elsewhere LOGIN must be the verb: DOWNLOAD_LOGIN_HISTORY is none.
    let names = |words: &[&str]| {
        words.iter().any(|word| {
            action.starts_with(word) || (object_type == "AUTHENTICATION" && has(action, word))
        })
    };
    if names(&["LOGOUT", "LOG_OUT", "SIGN_OUT", "SIGNOUT", "LOGOFF"]) {
        Some("logout")
    } else if names(&["LOGIN", "LOG_IN", "SIGN_IN", "SIGNIN", "LOGON"]) {
        Some("login")
    } else {
        None
    }
}

/// Whether a word occurs in a name at the start of one of its parts: `FAIL` in `LOGIN_FAILED`.
fn has(name: &str, word: &str) -> bool {
    name.match_indices(word).any(|(at, _)| at == 0 || name.as_bytes().get(at - 1) == Some(&b'_'))
}

/// The verb of an unknown action, if it is one of those the catalogue uses.
fn by_verb(action: &str) -> &'static str {
    // The longer beginnings come first.
    const VERBS: &[(&str, &str)] = &[
        ("LOAD", "view"),
        ("VIEW", "view"),
        ("OPEN", "view"),
        ("DOWNLOAD", "download"),
        ("EXPORT", "export"),
        ("REQUEST_BACKUP", "export"),
        ("PRINT", "print"),
        ("UPLOAD", "upload"),
        ("IMPORT", "upload"),
        ("COPY", "copy"),
        ("SAVE_AS", "copy"),
        ("MOVE", "move"),
        ("RENAME", "rename"),
        ("DELETE", "delete"),
        ("PURGE", "purge"),
        ("RESTORE", "restore"),
        ("ADD_PUBLISH", "publish"),
        ("PUBLISH", "publish"),
        ("REMOVE_PUBLISH", "unpublish"),
        ("UNPUBLISH", "unpublish"),
        ("ADD_SHARE", "share"),
        ("ADD_WORKSPACE_SHARE", "share"),
        ("SHARE", "share"),
        ("REMOVE_SHARE", "unshare"),
        ("REMOVE_WORKSPACE_SHARE", "unshare"),
        ("UNSHARE", "unshare"),
        ("SEND_PASSWORD", "password"),
        ("RESET_PASSWORD", "password"),
        ("SEND_INVITE", "user-add"),
        ("SEND", "send"),
        ("ADD_MEMBER", "group-change"),
        ("REMOVE_MEMBER", "group-change"),
        ("TRANSFER_OWN", "ownership"),
        ("CREATE", "create"),
        ("UPDATE", "edit"),
        ("BULK_UPDATE", "edit"),
    ];
    // A verb must end where a part of the name ends, or be a deliberate beginning of one.
    VERBS
        .iter()
        .find(|(verb, _)| {
            action.strip_prefix(verb).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('_') || *verb == "TRANSFER_OWN"
            })
        })
        .map_or("other", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_plugin::vocabulary;

    fn kind_of(object_type: &str, action: &str) -> Meaning<'static> {
        by_catalogue(object_type, action).unwrap_or_else(|| by_name(object_type, action))
    }

    #[test]
    fn every_word_used_is_in_the_vocabulary() {
        for entry in TYPES {
            assert!(vocabulary::OBJECT_KINDS.iter().any(|word| word.name == entry.object_kind));
            for action in entry.actions {
                assert!(
                    vocabulary::KINDS.iter().any(|word| word.name == action.kind),
                    "{} {}",
                    entry.name,
                    action.name
                );
            }
        }
    }

    #[test]
    fn no_type_is_listed_twice() {
        let mut names: Vec<_> = TYPES
            .iter()
            .flat_map(|entry| entry.actions.iter().map(|action| (entry.name, action.name)))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!(all, 130);
    }

    /// Types that no catalogue lists are read by their names.
    #[test]
    fn unknown_types_are_read_by_their_names() {
        for (object_type, action, kind, object_kind, administrative, failed) in [
            ("AUTHENTICATION", "LOGIN", "login", "user", Some(false), false),
            ("AUTHENTICATION", "USER_LOGIN_FAILED", "login", "user", Some(false), true),
            ("AUTHENTICATION", "FAILED_SIGN_IN", "login", "user", Some(false), true),
            ("AUTHENTICATION", "LOGOUT", "logout", "user", Some(false), false),
            ("AUTHENTICATION", "DEACTIVATE_SAML", "policy", "policy", Some(true), false),
            ("USER", "LOGIN", "login", "user", Some(false), false),
            ("POLICY_DOWNLOAD", "UPDATE", "policy", "policy", Some(true), false),
            ("SHEET", "LOAD_GRID", "view", "sheet", Some(false), false),
            ("SHEET", "LOADED", "other", "sheet", Some(false), false),
            ("GROUP", "FREEZE", "other", "group", Some(true), false),
            ("USER", "CREATE", "create", "user", None, false),
            ("COLLECTION", "ADD_SHARE", "share", "other", None, false),
            ("COLLECTION", "DOWNLOAD_LOGIN_HISTORY", "download", "other", None, false),
            ("COLLECTION", "EXPORT_FAILED", "export", "other", None, false),
            ("", "", "other", "other", None, false),
            ("é", "é", "other", "other", None, false),
        ] {
            let expected = Meaning { kind, object_kind, administrative, failed };
            assert_eq!(kind_of(object_type, action), expected, "{object_type} {action}");
        }
    }

    #[test]
    fn the_administrators_table_wins() {
        let settings: Settings = serde_json::from_str(
            r#"{"kinds": {"AUTHENTICATION.SSO": "login", "SHEET.LOAD": "download", "POLICY_X.*": "admin"},
                "failures": ["AUTHENTICATION.SSO"]}"#,
        )
        .unwrap();
        let sso = meaning("AUTHENTICATION", "SSO", &settings);
        assert_eq!((sso.kind, sso.failed), ("login", true));
        assert_eq!(meaning("SHEET", "LOAD", &settings).kind, "download");
        assert_eq!(meaning("POLICY_X", "ANY", &settings).kind, "admin");
        assert_eq!(meaning("POLICY_Y", "ANY", &settings).kind, "policy");
    }
}
