//! What a test says that is known beside the activities: people of the directory and addresses. It
//! fills the columns that the host would fill from them, unless an activity says them itself.

use std::collections::BTreeMap;

use casbah_model::vocabulary::{self, ColumnType};

use super::given::{Activity, Cell, cell, entries};
use crate::policy::{Fields, PolicyProblemKind};
use crate::suggest::{self, shown};
use crate::yaml::{Entry, Node, Span, Value};

/// The keys of a person.
const PERSON_KEYS: &[&str] =
    &["person", "aliases", "name", "status", "since", "groups", "admin", "external"];
/// States of an account, as the directory knows them.
const STATES: [&str; 7] =
    ["active", "pending", "declined", "disabled", "leaving", "left", "deleted"];
/// What may be said of an address by a shorter name than its column's.
pub(crate) const ADDRESS_SHORT: [(&str, &str); 4] = [
    ("category", "ip.category"),
    ("tags", "ip.tags"),
    ("lists", "ip.lists"),
    ("network", "network.owner"),
];

/// The columns that are known from an address.
pub(crate) fn address_columns() -> impl Iterator<Item = &'static str> {
    const OTHERS: [&str; 8] = [
        "country",
        "region",
        "city",
        "latitude",
        "longitude",
        "accuracy",
        "network.number",
        "network.owner",
    ];
    let known = |name: &&str| name.starts_with("ip.") || OTHERS.contains(name);
    vocabulary::COLUMNS.iter().map(|column| column.name).filter(known)
}

/// What is known beside the activities.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// In the order of the file; a person may stand there several times, in another state each.
    people: Vec<Person>,
    addresses: BTreeMap<String, Vec<(&'static str, Cell)>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Person {
    /// In lower case, as all addresses here.
    person: String,
    aliases: Vec<String>,
    name: Option<String>,
    status: Option<String>,
    since: Option<i64>,
    groups: Option<String>,
    admin: Option<bool>,
    external: Option<bool>,
}

impl Facts {
    /// Reads `directory` and `addresses` of a test.
    pub(super) fn read(test: &Node, fields: &mut Fields) -> Self {
        Self { people: people(test, fields), addresses: addresses(test, fields) }
    }

    /// Fills the columns of an activity that nothing is said of.
    pub(super) fn fill(&self, activity: &mut Activity) {
        let ip = activity.text("ip").and_then(|ip| self.addresses.get(ip));
        for (column, cell) in ip.into_iter().flatten() {
            activity.fill(column, || cell.clone());
        }
        let Some(actor) = activity.text("actor").map(str::to_lowercase) else { return };
        let who = |person: &&Person| person.person == actor || person.aliases.contains(&actor);
        let Some(person) = self.people.iter().find(who).map(|person| person.person.as_str()) else {
            return;
        };
        activity.fill("person", || Cell::Text(person.into()));
        let time = activity.time().unwrap_or(i64::MAX);
        let entries = || self.people.iter().filter(|entry| entry.person == person);
        // The state that began last; one that began nobody knows when was there before.
        let begun = |entry: &&Person| entry.since.is_none_or(|since| since <= time);
        let held = entries()
            .filter(|entry| entry.status.is_some())
            .filter(begun)
            .max_by_key(|entry| entry.since);
        if let Some(Person { status: Some(status), since, .. }) = held {
            activity.fill("actor.status", || Cell::Text(status.as_str().into()));
            activity.fill("actor.since", || since.map_or(Cell::Absent, Cell::Integer));
        }
        let last = |pick: fn(&Person) -> Option<Cell>| {
            entries().filter(begun).filter_map(pick).next_back()
        };
        for (column, cell) in [
            (
                "actor.groups",
                last(|entry| entry.groups.as_deref().map(|text| Cell::Text(text.into()))),
            ),
            ("actor.name", last(|entry| entry.name.as_deref().map(|text| Cell::Text(text.into())))),
            ("actor.admin", last(|entry| entry.admin.map(|is| Cell::Integer(i64::from(is))))),
            ("actor.external", last(|entry| entry.external.map(|is| Cell::Integer(i64::from(is))))),
        ] {
            if let Some(cell) = cell {
                activity.fill(column, || cell);
            }
        }
    }
}

fn people(test: &Node, fields: &mut Fields) -> Vec<Person> {
    let Some(Entry { value, .. }) = test.get("directory") else { return Vec::new() };
    let Value::List(items) = &value.value else {
        fields.wrong(
            value.span,
            format!("`directory` must be a list of people, this is {}", value.value.what()),
            "write `directory: [{person: ana@example.com, status: disabled}]`".to_owned(),
        );
        return Vec::new();
    };
    items.iter().filter_map(|item| person(item, fields)).collect()
}

fn person(item: &Node, fields: &mut Fields) -> Option<Person> {
    if !fields.is_map(item, "a person") {
        return None;
    }
    fields.only(item, PERSON_KEYS, "a person");
    let person = fields.required_text(item, "person");
    let status = fields.text(item, "status");
    if let (Some(status), Some(entry)) = (&status, item.get("status"))
        && !STATES.contains(&status.as_str())
    {
        fields.wrong(
            entry.value.span,
            format!("`{}` is not a state of an account", shown(status)),
            suggest::hint(status, STATES, "states"),
        );
    }
    let since =
        item.get("since").and_then(|entry| match cell(&entry.value.value, ColumnType::Time) {
            Ok(Cell::Integer(time)) => Some(time),
            _ => {
                fields.wrong(
                    entry.value.span,
                    "`since` must be a time".to_owned(),
                    "write it as `2026-01-05T10:00:00Z`".to_owned(),
                );
                None
            }
        });
    let comma = |text: &str| {
        text.contains(',')
            .then(|| "names with commas can't be told apart in `actor.groups`".to_owned())
    };
    let groups = item.get("groups").map(|_| fields.texts(item, "groups", comma).join(","));
    let aliases = fields.texts(item, "aliases", |_| None);
    Some(Person {
        person: person?.to_lowercase(),
        aliases: aliases.iter().map(|alias| alias.to_lowercase()).collect(),
        name: fields.text(item, "name"),
        status,
        since,
        groups,
        admin: fields.flag(item, "admin"),
        external: fields.flag(item, "external"),
    })
}

fn addresses(test: &Node, fields: &mut Fields) -> BTreeMap<String, Vec<(&'static str, Cell)>> {
    let Some(Entry { value, .. }) = test.get("addresses") else { return BTreeMap::new() };
    if !fields.is_map(value, "`addresses`") {
        return BTreeMap::new();
    }
    entries(value)
        .iter()
        .map(|entry| {
            if entry.key.parse::<std::net::IpAddr>().is_err() {
                fields.wrong(
                    entry.span,
                    format!("`{}` is not an address", shown(&entry.key)),
                    "write `addresses: {203.0.113.7: {country: NL, tags: [tor]}}`".to_owned(),
                );
            }
            (entry.key.clone(), known(&entry.value, fields))
        })
        .collect()
}

/// What is known of an address, as cells.
fn known(node: &Node, fields: &mut Fields) -> Vec<(&'static str, Cell)> {
    if !fields.is_map(node, "what is known of an address") {
        return Vec::new();
    }
    let mut cells = Vec::new();
    for entry in entries(node) {
        let short = ADDRESS_SHORT.iter().find(|(short, _)| *short == entry.key);
        let name = short.map_or(entry.key.as_str(), |(_, column)| *column);
        let column = address_columns().find(|column| *column == name).and_then(vocabulary::column);
        let Some(column) = column else {
            let names = || ADDRESS_SHORT.iter().map(|(short, _)| *short).chain(address_columns());
            fields.wrong_kind(
                PolicyProblemKind::Key,
                entry.span,
                format!("`{}` is not known of an address", shown(&entry.key)),
                suggest::hint(&entry.key, names().collect::<Vec<_>>(), "what can be"),
            );
            continue;
        };
        match value(&entry.value, column.column_type) {
            Ok(cell) => cells.push((column.name, cell)),
            Err((span, wanted)) => fields.wrong(
                span,
                format!("`{}` is {wanted}, this is {}", entry.key, entry.value.value.what()),
                String::new(),
            ),
        }
    }
    cells
}

/// A cell; a list of texts stands for the texts with commas in between.
fn value(node: &Node, column_type: ColumnType) -> Result<Cell, (Span, &'static str)> {
    let Value::List(items) = &node.value else {
        return cell(&node.value, column_type).map_err(|wanted| (node.span, wanted));
    };
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        match &item.value {
            Value::Text(text) if column_type == ColumnType::Text => texts.push(text.as_str()),
            _ => return Err((item.span, "a list of texts")),
        }
    }
    Ok(Cell::Text(texts.join(",").into()))
}
