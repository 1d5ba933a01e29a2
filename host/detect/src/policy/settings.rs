//! What a policy's detector is configured with: the keys that are its own, with lists filled in, and
//! those that the host makes of its own keys.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::alerting::Alerting;
use super::{Fields, HOST_KEYS, PolicyProblemKind, Sources, severity};
use crate::lists::NoValues;
use crate::suggest::{self, shown};
use crate::yaml::{Entry, Node, Value};

/// The settings of a detector.
pub(super) struct Settings {
    /// As the detector gets them.
    pub(super) json: String,
    /// What tells whether the same is counted as before.
    pub(super) identity: String,
}

/// Makes the settings of a policy; what is wrong with lists and groups goes to the filler.
pub(super) fn make(
    document: &Node,
    name: &str,
    alert: &Alerting,
    filler: &mut Filler<'_>,
) -> Settings {
    let mut plain = Map::new();
    let mut filled = Map::new();
    if let Value::Map(entries) = &document.value {
        for entry in entries.iter().filter(|entry| !HOST_KEYS.contains(&entry.key.as_str())) {
            plain.insert(entry.key.clone(), entry.value.to_json());
            let pointer = format!("/{}", entry.key.replace('~', "~0").replace('/', "~1"));
            filled.insert(entry.key.clone(), filler.fill(&entry.value, &pointer));
        }
    }
    if let Some(Json::Array(exceptions)) = plain.get_mut("unless") {
        // Who answers for an exception, and why it was made, changes nothing of what is counted.
        for exception in exceptions.iter_mut().filter_map(Json::as_object_mut) {
            exception.retain(|key, _| !["reason", "owner"].contains(&key.as_str()));
        }
    }
    if let Some(severities) = severity::setting(document, filler) {
        filled.insert("severities".to_owned(), severities);
    }
    for map in [&mut plain, &mut filled] {
        map.insert("policy".to_owned(), name.into());
        if let Some(group) = &alert.group {
            map.insert("group".to_owned(), group.clone().into());
        }
        map.insert("quiet".to_owned(), alert.quiet.into());
    }
    Settings { json: Json::Object(filled).to_string(), identity: Json::Object(plain).to_string() }
}

/// Fills lists and groups in where a value is `{list: NAME}`, `{list: NAME, column: C}` or
/// `{group: NAME}`.
pub(super) struct Filler<'a> {
    sources: &'a Sources<'a>,
    fields: &'a mut Fields,
    /// JSON pointers into the settings, each with the list that was filled in there.
    pub(super) filled: Vec<(String, String)>,
    /// The lists that were filled in, each with its digest.
    pub(super) lists: BTreeSet<(String, String)>,
    /// Groups that there was no directory to check with.
    pub(super) unchecked: BTreeSet<String>,
}

impl<'a> Filler<'a> {
    pub(super) fn new(sources: &'a Sources<'a>, fields: &'a mut Fields) -> Self {
        Self {
            sources,
            fields,
            filled: Vec::new(),
            lists: BTreeSet::new(),
            unchecked: BTreeSet::new(),
        }
    }

    /// A value that stands at this pointer, filled in.
    pub(super) fn fill(&mut self, node: &Node, pointer: &str) -> Json {
        match &node.value {
            Value::Map(entries) => match self.reference(node, entries, pointer) {
                Some(values) => Json::Array(values),
                None => entries
                    .iter()
                    .map(|entry| {
                        let key = entry.key.replace('~', "~0").replace('/', "~1");
                        let at = format!("{pointer}/{key}");
                        (entry.key.clone(), self.fill(&entry.value, &at))
                    })
                    .collect::<Map<_, _>>()
                    .into(),
            },
            Value::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let reference = match &item.value {
                        Value::Map(entries) => self.reference(item, entries, ""),
                        _ => None,
                    };
                    match reference {
                        Some(more) => values.extend(more),
                        None => values.push(self.fill(item, &format!("{pointer}/{index}"))),
                    }
                }
                Json::Array(values)
            }
            _ => node.to_json(),
        }
    }

    /// The values that are meant, when this refers to a list or a group. The pointer is empty when
    /// they are put among others.
    fn reference(&mut self, node: &Node, entries: &[Entry], pointer: &str) -> Option<Vec<Json>> {
        if let Some(list) = text(node, "list") {
            self.fields.only(node, &["list", "column"], "a reference to a list");
            return Some(self.list(node, list, pointer));
        }
        match (entries, text(node, "group")) {
            ([_], Some(group)) => Some(self.group(node, group)),
            _ => None,
        }
    }

    fn list(&mut self, node: &Node, name: &str, pointer: &str) -> Vec<Json> {
        match self.sources.lists.values(name, text(node, "column")) {
            Ok((list, values)) => {
                self.lists.insert((list.name.clone(), list.digest.clone()));
                if !pointer.is_empty() {
                    self.filled.push((pointer.to_owned(), list.name.clone()));
                }
                values.iter().map(|value| value.as_str().into()).collect()
            }
            Err(NoValues { column, message, hint }) => {
                let key = if column { "column" } else { "list" };
                self.wrong(node, key, PolicyProblemKind::List, message, hint);
                // Something stands here, so that the detector does not speak of it as well.
                vec![name.into()]
            }
        }
    }

    fn group(&mut self, node: &Node, name: &str) -> Vec<Json> {
        match self.sources.groups {
            None => {
                self.unchecked.insert(name.to_owned());
            }
            Some(groups) if groups.iter().any(|known| known.eq_ignore_ascii_case(name)) => {}
            Some(groups) => {
                let near = suggest::nearest(name, groups.iter().map(String::as_str));
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "`casbah directory list` shows people with their groups".to_owned(),
                };
                let message = format!("the directory knows no group `{}`", shown(name));
                self.wrong(node, "group", PolicyProblemKind::Group, message, hint);
            }
        }
        vec![name.into()]
    }

    fn wrong(
        &mut self,
        node: &Node,
        key: &str,
        kind: PolicyProblemKind,
        message: String,
        hint: String,
    ) {
        let span = node.get(key).map_or(node.span, |entry| entry.value.span);
        self.fields.wrong_kind(kind, span, message, hint);
    }
}

fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    match &node.get(key)?.value.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
