//! Where the log sources of rules are found: the table `logsources.yaml`.

use std::collections::BTreeMap;

use casbah_yaml::suggest::{self, shown};
use casbah_yaml::{Node, Span, Value, Wording};

use crate::field::Field;
use crate::refused::{No, RefusedKind, Result};
use crate::rows::Rows;

const TABLE: &str = include_str!("../logsources.yaml");
const WORDING: Wording = Wording {
    one: "a table of log sources",
    many: "tables of log sources",
    begin: "begin with `routes:`",
    second: "put everything into one document",
    long: "leave out what is not used",
};

/// The log source of a rule or filter; what it does not name is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogSource {
    pub(crate) product: String,
    pub(crate) service: String,
    pub(crate) category: String,
    pub(crate) span: Span,
}

impl LogSource {
    /// Reads the `logsource` of a document, which must be there and name something.
    pub(crate) fn read(document: &Node) -> Result<Self> {
        let no = |span, message: String| {
            let hint = "`logsource: {product: aws, service: cloudtrail}`";
            Err(No::at(RefusedKind::LogSource, span, message, hint))
        };
        let Some(entry) = document.get("logsource") else {
            let span = Span { length: 1, ..document.span };
            return no(span, "`logsource` is missing: it says what the rule is about".to_owned());
        };
        let Value::Map(entries) = &entry.value.value else {
            let what = entry.value.value.what();
            return no(entry.span, format!("`logsource` must be a mapping, not {what}"));
        };
        let mut source = Self { span: entry.span, ..Self::default() };
        for entry in entries {
            let slot = match entry.key.as_str() {
                "product" => &mut source.product,
                "service" => &mut source.service,
                "category" => &mut source.category,
                _ => continue,
            };
            match &entry.value.value {
                Value::Text(text) => *slot = text.trim().to_ascii_lowercase(),
                Value::Null => {}
                other => {
                    let message = format!("`{}` must be a text, not {}", entry.key, other.what());
                    return no(entry.value.span, message);
                }
            }
        }
        if source.parts().iter().all(|(_, part)| part.is_empty()) {
            return no(
                entry.span,
                "`logsource` names neither `product` nor `service` nor `category`".to_owned(),
            );
        }
        Ok(source)
    }

    fn parts(&self) -> [(&'static str, &str); 3] {
        [("product", &self.product), ("service", &self.service), ("category", &self.category)]
    }

    /// Whether a rule of the other log source is among those that this one of a filter means.
    pub(crate) fn covers(&self, rule: &Self) -> bool {
        self.parts()
            .iter()
            .zip(rule.parts())
            .all(|((_, mine), (_, theirs))| mine.is_empty() || *mine == theirs)
    }
}

/// The log source as a rule names it.
impl std::fmt::Display for LogSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = self.parts().into_iter().filter(|(_, part)| !part.is_empty());
        let parts: Vec<_> = named.map(|(name, part)| format!("{name}: {part}")).collect();
        f.write_str(&shown(&parts.join(", ")))
    }
}

/// Where activities of a log source come from, and what their fields are called.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Put behind the name of a policy; empty for the first.
    pub(crate) suffix: String,
    /// Which activities.
    pub(crate) rows: Rows,
    fields: Names,
}

#[derive(Clone, Debug)]
enum Names {
    /// The app's own field of the same name.
    Same,
    /// By a table, or a column of casbah.
    Table(BTreeMap<String, String>),
}

impl Target {
    /// Name of the app that the activities are of.
    pub(crate) fn app(&self) -> String {
        let rows = match &self.rows {
            Rows::All(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        let app = rows.iter().find_map(|row| match row {
            Rows::Row(row) if row.get("field")? == "app" => row.get("is")?.as_str(),
            _ => None,
        });
        app.unwrap_or("json").to_owned()
    }

    /// The field that a rule names so.
    pub(crate) fn field(&self, name: &str, span: Span) -> Result<Field> {
        let no =
            |message: String, hint: String| Err(No::at(RefusedKind::Field, span, message, hint));
        match &self.fields {
            _ if name.is_empty() => no("a field has no name".to_owned(), String::new()),
            Names::Same => Ok(Field::said(name)),
            Names::Table(table) => {
                let own = table.get(name).map_or(name, String::as_str);
                if let Some(field) = Field::find(own) {
                    return Ok(field);
                }
                let known = table.keys().map(String::as_str).chain(Field::columns());
                let hint = match suggest::nearest(name, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "the app's own fields are written `fields.NAME`".to_owned(),
                };
                no(format!("activities of this log source have no field `{}`", shown(name)), hint)
            }
        }
    }
}

/// All log sources that are known.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    routes: Vec<Node>,
}

impl Routes {
    /// Reads the table.
    pub(crate) fn read() -> Self {
        let routes = match casbah_yaml::parse(TABLE.as_bytes(), WORDING) {
            Ok((_, node)) => match node.get("routes").map(|entry| &entry.value.value) {
                Some(Value::List(routes)) => routes.clone(),
                _ => Vec::new(),
            },
            Err(_) => Vec::new(),
        };
        Self { routes }
    }

    /// Where a log source is found: one place or several, the first of which is the usual one.
    pub(crate) fn find(&self, source: &LogSource) -> Result<Vec<Target>> {
        let mut best: Option<((usize, usize), &Node)> = None;
        for route in &self.routes {
            if let Some(fit) = fit(route, source)
                && best.is_none_or(|(known, _)| fit > known)
            {
                best = Some((fit, route));
            }
        }
        let targets = best.map(|(_, route)| targets(route, source)).unwrap_or_default();
        if targets.is_empty() {
            return Err(No::at(
                RefusedKind::LogSource,
                source.span,
                format!("no activities are known to come from the log source `{source}`"),
                "the log sources that are known stand in casbah's `host/sigma/logsources.yaml`",
            ));
        }
        Ok(targets)
    }
}

/// How exactly a route names a log source: names that are equal, then those that may be any.
fn fit(route: &Node, source: &LogSource) -> Option<(usize, usize)> {
    let (mut equal, mut any) = (0, 0);
    for (name, part) in source.parts() {
        match text(route, name) {
            None => {}
            Some("*") if !part.is_empty() => any += 1,
            Some(wanted) if wanted == part => equal += 1,
            Some(_) => return None,
        }
    }
    Some((equal, any))
}

fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    match &node.get(key)?.value.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn targets(route: &Node, source: &LogSource) -> Vec<Target> {
    let Some(Value::List(to)) = route.get("to").map(|entry| &entry.value.value) else {
        return Vec::new();
    };
    to.iter().filter_map(|target| one(target, source)).collect()
}

fn one(target: &Node, source: &LogSource) -> Option<Target> {
    let Value::List(when) = &target.get("when")?.value.value else { return None };
    let rows = when.iter().map(|row| Rows::Row(filled(row.to_json(), source)));
    let fields = match &target.get("fields")?.value.value {
        Value::Text(same) if same == "same" => Names::Same,
        Value::Map(entries) => Names::Table(
            entries
                .iter()
                .filter_map(|entry| match &entry.value.value {
                    Value::Text(own) => Some((entry.key.clone(), own.clone())),
                    _ => None,
                })
                .collect(),
        ),
        _ => return None,
    };
    let suffix = text(target, "suffix").unwrap_or_default().to_owned();
    Some(Target { suffix, rows: Rows::all(rows), fields })
}

/// A row of the table with what the rule names put in.
fn filled(value: serde_json::Value, source: &LogSource) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => Json::String(
            text.replace("{service}", &source.service).replace("{category}", &source.category),
        ),
        Json::Array(items) => items.into_iter().map(|item| filled(item, source)).collect(),
        Json::Object(map) => {
            map.into_iter().map(|(key, value)| (key, filled(value, source))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn source(product: &str, service: &str, category: &str) -> LogSource {
        let [product, service, category] = [product, service, category].map(str::to_owned);
        LogSource { product, service, category, span: Span::default() }
    }

    /// Everything in the table is understood, and every column that it names exists.
    #[test]
    fn the_table_is_sound() {
        let (_, node) = casbah_yaml::parse(TABLE.as_bytes(), WORDING).unwrap();
        let Value::List(routes) = &node.get("routes").unwrap().value.value else { panic!() };
        let mut seen = BTreeSet::new();
        for route in routes {
            let Value::Map(entries) = &route.value else { panic!("{route:?}") };
            let line = route.span.line;
            for entry in entries {
                let known = ["product", "service", "category", "to"];
                assert!(known.contains(&entry.key.as_str()), "line {line}: {}", entry.key);
            }
            let names = ["product", "service", "category"].map(|name| text(route, name));
            assert!(seen.insert(names), "line {line}: twice");
            let Value::List(to) = &route.get("to").unwrap().value.value else { panic!() };
            let found = targets(route, &source("p", "s", "c"));
            assert_eq!(found.len(), to.len(), "line {line}: a target is not understood");
            let suffixes: BTreeSet<_> = found.iter().map(|target| &target.suffix).collect();
            assert_eq!(suffixes.len(), to.len(), "line {line}: targets without a suffix");
            for (target, node) in found.iter().zip(to) {
                let Value::Map(entries) = &node.value else { panic!() };
                for entry in entries {
                    let known = ["suffix", "when", "fields"];
                    assert!(known.contains(&entry.key.as_str()), "line {}", entry.span.line);
                }
                if let Names::Table(table) = &target.fields {
                    for own in table.values() {
                        assert!(Field::find(own).is_some(), "line {line}: no column `{own}`");
                    }
                }
                let Value::List(when) = &node.get("when").unwrap().value.value else { panic!() };
                for row in when {
                    let field = text(row, "field").unwrap();
                    assert!(Field::find(field).is_some(), "line {line}: no column `{field}`");
                }
            }
        }
    }

    #[test]
    fn the_most_exact_route_wins() {
        let routes = Routes::read();
        let found =
            |product, service, category| match routes.find(&source(product, service, category)) {
                Ok(targets) => targets
                    .iter()
                    .map(|target| target.rows.when(Span::default()).unwrap().to_string())
                    .collect::<Vec<_>>()
                    .join(" | "),
                Err(no) => no.wrong.message,
            };
        let seen = [
            found("aws", "cloudtrail", ""),
            found("azure", "signinlogs", ""),
            found("azure", "auditlogs", ""),
            found("m365", "exchange", ""),
            found("windows", "", "process_creation"),
            found("windows", "sysmon", "process_creation"),
            found("smartsheet", "", ""),
            found("smartsheet", "audit", "application"),
            found("aws", "", ""),
            found("zeek", "rdp", ""),
            found("", "", "webserver"),
        ];
        insta::assert_snapshot!(seen.join("\n"), @r#"
        [{"field":"source","is":"aws.cloudtrail"}]
        [{"field":"source","is":"azure.signinlogs"}] | [{"field":"app","is":"entra"},{"field":"kind","is":"login"}]
        [{"field":"source","is":"azure.auditlogs"}]
        [{"field":"source","in":["m365.audit","m365.exchange"]}]
        [{"field":"source","is":"windows.process_creation"}]
        [{"field":"source","is":"windows.process_creation"}]
        [{"field":"app","is":"smartsheet"}]
        [{"field":"app","is":"smartsheet"}]
        no activities are known to come from the log source `product: aws`
        no activities are known to come from the log source `product: zeek, service: rdp`
        no activities are known to come from the log source `category: webserver`
        "#);
    }

    #[test]
    fn own_apps_have_fields_by_three_names() {
        let targets = Routes::read().find(&source("smartsheet", "", "")).unwrap();
        let field = |name| match targets[0].field(name, Span::default()) {
            Ok(field) => format!("{} {:?}", field.name, field.holds),
            Err(no) => format!("{} ({})", no.wrong.message, no.wrong.hint.unwrap_or_default()),
        };
        let names = [
            "userEmail",
            "actor.external",
            "fields.sheetName",
            "amount",
            "objects.kind",
            "usrEmail",
            "nonsense",
        ];
        let seen: Vec<_> = names.into_iter().map(field).collect();
        insta::assert_snapshot!(seen.join("\n"), @"
        actor.email Text
        actor.external Flag
        fields.sheetName Said
        amount Integer
        objects.kind Text
        activities of this log source have no field `usrEmail` (did you mean `userEmail`?)
        activities of this log source have no field `nonsense` (the app's own fields are written `fields.NAME`)
        ");
    }
}
