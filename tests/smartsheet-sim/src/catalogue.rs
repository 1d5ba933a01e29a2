//! The event types that the simulator knows, with their details and how often they occur.
//!
//! The list is data (`data/event-types.tsv`). It is not the adapter's catalogue: that one is kept
//! with the adapter, so that a mistake in one of them shows.

use std::sync::LazyLock;

use casbah_sim::random::Weighted;

/// What an event was done to, by the first half of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Token,
    Account,
    Attachment,
    Dashboard,
    Discussion,
    Folder,
    Form,
    Group,
    Report,
    Sheet,
    UpdateRequest,
    User,
    Workspace,
    /// Things whose ids are not numbers.
    Text,
}

/// A detail of an event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Detail {
    /// Its name; for `a|b` the first, and the second in `other`.
    pub(crate) name: &'static str,
    pub(crate) other: Option<&'static str>,
    /// The closed set of values, where the vendor gives one.
    pub(crate) values: Vec<&'static str>,
}

/// An event type.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) object_type: &'static str,
    pub(crate) action: &'static str,
    pub(crate) class: Class,
    pub(crate) people: f64,
    pub(crate) services: f64,
    pub(crate) rank: u8,
    pub(crate) details: Vec<Detail>,
    /// Whether it is in the vendor's catalogue; the others exist to be unknown.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask for it"))]
    pub(crate) known: bool,
}

/// Types that no catalogue lists, as an audit log that grows will have them.
const UNKNOWN: &[(&str, &str, f64)] = &[
    ("AUTHENTICATION", "LOGIN_SUCCESS", 120.0),
    ("AUTHENTICATION", "LOGOUT", 60.0),
    ("POLICY_DOMAIN_SHARING", "UPDATE", 0.0),
    ("COLLECTION", "LOAD", 40.0),
    ("SHEET", "SUMMARIZE_WITH_AI", 30.0),
    ("AUTHENTICATION", "LOGIN_FAILURE", 0.0),
    ("AUTHENTICATION", "DEACTIVATE_DOMAIN_STRICT", 0.0),
];

/// The types and how to draw from them.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) kinds: Vec<Kind>,
    /// By rank: what a person of that rank does.
    people: Vec<Weighted>,
    services: Weighted,
}

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::read(include_str!("../data/event-types.tsv")));

/// The catalogue that is built in.
pub(crate) fn catalogue() -> &'static Catalogue {
    &CATALOGUE
}

impl Catalogue {
    fn read(text: &'static str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let mut kinds: Vec<Kind> = lines.filter_map(read_kind).collect();
        kinds.extend(UNKNOWN.iter().map(|&(object_type, action, people)| Kind {
            object_type,
            action,
            class: class(object_type),
            people,
            services: 0.0,
            rank: 0,
            details: Vec::new(),
            known: false,
        }));
        let people = (0..4)
            .map(|rank| {
                Weighted::new(kinds.iter().map(|k| if k.rank <= rank { k.people } else { 0.0 }))
            })
            .collect();
        let services = Weighted::new(kinds.iter().map(|kind| kind.services));
        Self { kinds, people, services }
    }

    /// The number of a type, by its two names.
    pub(crate) fn find(&self, object_type: &str, action: &str) -> Option<u16> {
        self.kinds
            .iter()
            .position(|kind| kind.object_type == object_type && kind.action == action)
            .and_then(|at| u16::try_from(at).ok())
    }

    pub(crate) fn get(&self, kind: u16) -> Option<&Kind> {
        self.kinds.get(usize::from(kind))
    }

    pub(crate) fn people(&self, rank: u8) -> Option<&Weighted> {
        self.people.get(usize::from(rank))
    }

    pub(crate) fn services(&self) -> &Weighted {
        &self.services
    }
}

fn read_kind(line: &'static str) -> Option<Kind> {
    let mut fields = line.split('\t');
    let (object_type, action) = (fields.next()?, fields.next()?);
    let (people, services) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let rank = fields.next()?.parse().ok()?;
    let details = fields.next()?.split(' ').filter(|name| *name != "-").map(read_detail).collect();
    let class = class(object_type);
    Some(Kind { object_type, action, class, people, services, rank, details, known: true })
}

fn read_detail(text: &'static str) -> Detail {
    let (names, values) = text.split_once('=').unwrap_or((text, ""));
    let (name, other) = match names.split_once('|') {
        Some((name, other)) => (name, Some(other)),
        None => (names, None),
    };
    let values = values.split('/').filter(|value| !value.is_empty()).collect();
    Detail { name, other, values }
}

fn class(object_type: &str) -> Class {
    match object_type {
        "ACCESS_TOKEN" => Class::Token,
        "ACCOUNT" => Class::Account,
        "ATTACHMENT" => Class::Attachment,
        "DASHBOARD" => Class::Dashboard,
        "DISCUSSION" => Class::Discussion,
        "FOLDER" => Class::Folder,
        "FORM" => Class::Form,
        "GROUP" => Class::Group,
        "REPORT" => Class::Report,
        "SHEET" => Class::Sheet,
        "UPDATE_REQUEST" => Class::UpdateRequest,
        "USER" => Class::User,
        "WORKSPACE" => Class::Workspace,
        _ => Class::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_a_type() {
        let known = catalogue().kinds.iter().filter(|kind| kind.known).count();
        assert_eq!(known, 130, "a line that cannot be read is left out silently");
    }

    #[test]
    fn alternatives_and_closed_sets_are_read() {
        let kind = catalogue().find("SHEET", "ADD_SHARE").and_then(|k| catalogue().get(k)).unwrap();
        assert_eq!(kind.details[0].values, ["VIEWER", "EDITOR", "EDITOR_SHARE", "ADMIN"]);
        assert_eq!((kind.details[1].name, kind.details[1].other), ("userId", Some("groupId")));
    }
}
