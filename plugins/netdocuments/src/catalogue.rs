//! What the names of activities mean: the table of `data/activities.json` in casbah's words.
//!
//! A test holds this table to that file. Names that are in neither are read by their verb or by the
//! shape of the record, never refused: the vendor says that there may be more.

use crate::settings::Settings;

/// How a name is recognized; names are compared in lower case.
pub(crate) enum Match {
    /// The whole name.
    Exact(&'static str),
    /// Its beginning.
    Starts(&'static [&'static str]),
    /// Any of these within it.
    Contains(&'static [&'static str]),
    /// The first within it, and the second somewhere after it.
    Then(&'static str, &'static str),
    /// The first at its beginning, and the second somewhere after it.
    StartsThen(&'static str, &'static str),
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// An entry of the catalogue.
pub(crate) struct Entry {
    /// The catalogue's own id.
    pub(crate) id: &'static str,
    /// How sure the catalogue is of the name.
    pub(crate) confidence: &'static str,
    /// How it is recognized.
    pub(crate) name: Match,
    /// The kind in casbah's vocabulary.
    pub(crate) kind: &'static str,
    /// The kind of object where the record does not say it.
    pub(crate) object_kind: &'static str,
}

impl Entry {
    /// Whether it belongs to the administration log.
    pub(crate) fn administrative(&self) -> bool {
        self.id.starts_with("admin.")
    }
}

macro_rules! catalogue {
    ($($id:literal $confidence:literal $form:ident($($argument:expr),*) $kind:literal $object:literal;)*) => {
        &[$(Entry {
            id: $id,
            confidence: $confidence,
            name: Match::$form($($argument),*),
            kind: $kind,
            object_kind: $object,
        }),*]
    };
}

/// The catalogue, in its own order.
pub(crate) const CATALOGUE: &[Entry] = catalogue! {
    "doc.view" "label_documented" Starts(&["view", "review"]) "view" "document";
    "doc.open" "wire_pattern_observed" Contains(&["open"]) "view" "document";
    "doc.download" "label_documented" Contains(&["download"]) "download" "document";
    "doc.print" "label_documented" Contains(&["print"]) "print" "document";
    "doc.email_copy" "label_documented" Then("mail", "cop") "send" "document";
    // What goes out is a way to the document, not a copy of it.
    "doc.email_link" "label_documented" Then("mail", "link") "share" "document";
    // It lets people in who have no account.
    "doc.secure_link" "label_documented" Contains(&["deliver", "secure link", "secured link"]) "share" "document";
    "doc.upload" "wire_name_observed" Exact("upload") "upload" "document";
    "doc.create" "wire_name_observed" Exact("create") "create" "document";
    "doc.edit" "label_documented" OneOf(&["edit", "edited", "edit content", "edited content"]) "edit" "document";
    "doc.check_in" "label_documented" Contains(&["checkin", "check in", "check-in", "checkedin", "checked in", "checked-in"]) "edit" "document";
    "doc.check_out" "inferred" Contains(&["checkout", "check out", "check-out", "checkedout", "checked out", "checked-out"]) "edit" "document";
    "doc.new_version" "label_documented" Contains(&["new version"]) "edit" "document";
    "doc.official_version" "label_documented" Contains(&["official"]) "edit" "document";
    "doc.edit_profile" "wire_pattern_observed" Contains(&["profile"]) "edit" "document";
    "doc.rename" "wire_pattern_observed" Contains(&["rename"]) "rename" "document";
    "doc.move" "label_documented" Starts(&["move"]) "move" "document";
    "doc.copy" "label_documented" Starts(&["copy", "copied"]) "copy" "document";
    "doc.delete_version" "label_documented" Then("delet", "version") "delete" "document";
    "doc.delete" "label_documented" Starts(&["delet"]) "delete" "document";
    // The log does not say whether access was given or taken.
    "doc.acl_change" "label_documented" Contains(&["access"]) "permission" "document";
    "doc.approve" "label_documented" Contains(&["approv"]) "other" "document";
    "doc.sign" "label_documented" Starts(&["sign"]) "other" "document";
    "admin.user_add" "wire_name_documented" Exact("repository add users") "user-add" "user";
    "admin.user_remove" "wire_name_documented" Exact("repository remove users") "user-remove" "user";
    "admin.user_membership_type" "label_documented" Contains(&["membership"]) "user-change" "user";
    "admin.allow_external_members" "wire_name_documented" Exact("add external users") "policy" "policy";
    "admin.ndthread_external" "wire_name_documented" Exact("ndthread external expose") "policy" "policy";
    "admin.group_add" "wire_name_documented" Exact("repository add groups") "group-change" "group";
    "admin.group_remove" "wire_name_documented" Exact("repository remove groups") "group-change" "group";
    "admin.cabinet_admin_add" "label_documented" StartsThen("cabinet", "admin") "permission" "container";
    "admin.cabinet_delete" "label_documented" Then("cabinet", "delet") "delete" "container";
    "admin.permanent_delete_option" "label_documented" Contains(&["permanent"]) "policy" "policy";
    "admin.multidoc_download_group" "label_documented" Contains(&["multi", "download"]) "policy" "policy";
};

impl Match {
    /// Whether a name, in lower case, is meant.
    pub(crate) fn is(&self, name: &str) -> bool {
        let after = |text: &str, first: &str, second: &str| {
            text.split_once(first).is_some_and(|(_, rest)| rest.contains(second))
        };
        match self {
            Self::Exact(text) => name == *text,
            Self::OneOf(texts) => texts.contains(&name),
            Self::Starts(texts) => texts.iter().any(|text| name.starts_with(text)),
            Self::Contains(texts) => texts.iter().any(|text| name.contains(text)),
            Self::Then(first, second) => after(name, first, second),
            Self::StartsThen(first, second) => {
                name.strip_prefix(first).is_some_and(|rest| rest.contains(second))
            }
        }
    }
}

/// What an activity means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meaning<'a> {
    pub(crate) kind: &'a str,
    pub(crate) object_kind: &'static str,
    pub(crate) administrative: bool,
    /// The catalogue's confidence, or `guess` or `unknown` for what it does not have.
    pub(crate) confidence: &'static str,
    /// The catalogue's id; empty for what it does not have.
    pub(crate) entry: &'static str,
}

/// What the activity of that name means. `on_document` tells whether the record names a document:
/// the patterns of both logs overlap, and only the shape tells them apart.
pub(crate) fn meaning<'a>(name: &str, on_document: bool, settings: &'a Settings) -> Meaning<'a> {
    let name = name.trim().to_lowercase();
    let mut meaning = match find(&name, on_document) {
        Some(entry) => Meaning {
            kind: entry.kind,
            object_kind: entry.object_kind,
            administrative: entry.administrative(),
            confidence: entry.confidence,
            entry: entry.id,
        },
        None => guess(&name, on_document),
    };
    if let Some(kind) = settings.kind(&name) {
        meaning.kind = kind;
        meaning.confidence = "setting";
    }
    meaning
}

fn find(name: &str, on_document: bool) -> Option<&'static Entry> {
    if name.is_empty() {
        return None;
    }
    let exact = |entry: &&Entry| matches!(entry.name, Match::Exact(_)) && entry.name.is(name);
    let pattern = |entry: &&Entry| {
        !matches!(entry.name, Match::Exact(_))
            && entry.administrative() != on_document
            && entry.name.is(name)
    };
    CATALOGUE.iter().find(exact).or_else(|| CATALOGUE.iter().find(pattern))
}

/// A name that the catalogue does not have.
fn guess(name: &str, on_document: bool) -> Meaning<'static> {
    const VERBS: &[(&str, &str)] = &[
        ("restor", "restore"),
        ("undelet", "restore"),
        ("unshar", "unshare"),
        ("share", "share"),
        ("export", "export"),
        ("upload", "upload"),
        ("import", "upload"),
        ("download", "download"),
        ("remov", "delete"),
        ("delet", "delete"),
        ("purg", "purge"),
        ("creat", "create"),
        ("mail", "send"),
        ("edit", "edit"),
        ("change", "edit"),
        ("update", "edit"),
    ];
    if !on_document {
        // Only rows of the administration log come without a document.
        let known = !name.is_empty();
        let kind = if known { "admin" } else { "other" };
        return Meaning {
            kind,
            object_kind: "other",
            administrative: known,
            confidence: if known { "guess" } else { "unknown" },
            entry: "",
        };
    }
    let verb = VERBS.iter().find(|(verb, _)| name.contains(verb));
    Meaning {
        kind: verb.map_or("other", |(_, kind)| kind),
        object_kind: "document",
        administrative: false,
        confidence: if verb.is_some() { "guess" } else { "unknown" },
        entry: "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_plugin::vocabulary::{KINDS, OBJECT_KINDS};
    use regex_lite::Regex;
    use serde_json::Value;

    fn published() -> Vec<Value> {
        let file: Value = serde_json::from_str(include_str!("../data/activities.json")).unwrap();
        file["activities"].as_array().unwrap().clone()
    }

    /// Every entry of the file is in the table, in its order and with its confidence.
    #[test]
    fn the_catalogue_is_complete() {
        let published = published();
        let expected: Vec<_> = published
            .iter()
            .map(|entry| (entry["id"].as_str().unwrap(), entry["confidence"].as_str().unwrap()))
            .collect();
        let ours: Vec<_> = CATALOGUE.iter().map(|entry| (entry.id, entry.confidence)).collect();
        assert_eq!(ours, expected);
    }

    #[test]
    fn kinds_are_words_of_the_vocabulary() {
        for entry in CATALOGUE {
            assert!(KINDS.iter().any(|word| word.name == entry.kind), "{}", entry.id);
            assert!(OBJECT_KINDS.iter().any(|word| word.name == entry.object_kind), "{}", entry.id);
        }
    }

    /// The file's regular expressions are the oracle for names made of its own words.
    #[test]
    fn names_are_recognized_as_the_file_says() {
        const WORDS: &[&str] = &[
            "",
            "View",
            "review",
            "re-open",
            "Opened",
            "Download",
            "print",
            "email",
            "e-mail",
            "a",
            "copy",
            "copied",
            "link",
            "deliver",
            "secure link",
            "secured link",
            "upload",
            "create",
            "edit",
            "edited",
            "content",
            "check in",
            "checked-in",
            "checkin",
            "check-out",
            "new",
            "version",
            "official",
            "profile",
            "rename",
            "move",
            "deleted",
            "access",
            "approved",
            "sign",
            "Cabinet",
            "administrator",
            "membership",
            "permanent",
            "multi",
        ];
        let published = published();
        let oracles: Vec<Regex> = published
            .iter()
            .map(|entry| match (entry["wire_name"].as_str(), entry["match"].as_str()) {
                (Some(name), _) => Regex::new(&format!("(?i)^{name}$")).unwrap(),
                (_, Some(pattern)) => Regex::new(&format!("(?i){pattern}")).unwrap(),
                _ => panic!("{entry} has neither name nor pattern"),
            })
            .collect();
        for first in WORDS {
            for second in WORDS {
                let name = format!("{first} {second}").trim().to_owned();
                for (entry, oracle) in CATALOGUE.iter().zip(&oracles) {
                    let ours = entry.name.is(&name.to_lowercase());
                    assert_eq!(ours, oracle.is_match(&name), "{} on `{name}`", entry.id);
                }
            }
        }
    }

    /// What the catalogue calls a share is one, and what changes rights is not.
    #[test]
    fn shares_are_shares() {
        for entry in published() {
            let ours = CATALOGUE.iter().find(|one| one.id == entry["id"]).unwrap();
            let shares = entry["action"].as_str().unwrap().starts_with("share_link")
                || entry["action"] == "share_external";
            assert_eq!(ours.kind == "share", shares, "{}", ours.id);
        }
    }

    #[test]
    fn the_shape_tells_the_two_logs_apart() {
        let settings = Settings::default();
        let admin = meaning("Multi-document download group", false, &settings);
        assert_eq!((admin.entry, admin.kind), ("admin.multidoc_download_group", "policy"));
        let document = meaning("Multi-document download", true, &settings);
        assert_eq!((document.entry, document.kind), ("doc.download", "download"));
        let unknown = meaning("Frobnicate", false, &settings);
        assert_eq!((unknown.kind, unknown.administrative), ("admin", true));
        let unknown = meaning("Frobnicate", true, &settings);
        assert_eq!((unknown.kind, unknown.confidence), ("other", "unknown"));
    }

    #[test]
    fn the_administrators_word_wins() {
        let settings = Settings::read(r#"{"kinds": {"Access Changed": "share"}}"#).unwrap();
        assert_eq!(meaning("access changed", true, &settings).kind, "share");
    }
}
