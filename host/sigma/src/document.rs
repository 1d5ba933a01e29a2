//! Takes a file apart into its documents, and says what each of them is.
//!
//! What is read here is common to rules, correlations and filters: who they are and what they say of
//! themselves. What they detect is read elsewhere.

use std::sync::Arc;

use casbah_yaml::suggest::{self, shown};
use casbah_yaml::{Entry, Node, Span, Value, Wording};

use crate::refused::{No, Refused, RefusedKind, Result};

const WORDING: Wording = Wording {
    one: "a Sigma rule",
    many: "Sigma rules",
    begin: "begin with `title: …`",
    second: "separate documents by a line `---`",
    long: "put the rules into files of their own",
};

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rule,
    Correlation,
    Filter,
}

/// A rule, correlation or filter.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) file: String,
    /// Text of the whole file.
    pub(crate) text: Arc<str>,
    pub(crate) node: Node,
    pub(crate) kind: Kind,
    pub(crate) title: String,
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
}

impl Document {
    /// Whether a reference of a correlation or filter means it.
    pub(crate) fn is(&self, reference: &str) -> bool {
        self.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(reference))
            || self.name.as_deref() == Some(reference)
    }

    /// Says why it is not used.
    pub(crate) fn refuse(&self, no: No) -> Refused {
        Refused::new(&self.file, &self.text, &self.title, no)
    }

    /// The texts of a list, or one text; anything else counts as none.
    pub(crate) fn texts(&self, key: &str) -> Vec<&str> {
        let Some(entry) = self.node.get(key) else { return Vec::new() };
        match &entry.value.value {
            Value::Text(text) => vec![text],
            Value::List(items) => items
                .iter()
                .filter_map(|item| match &item.value {
                    Value::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The text of a key; anything else counts as none.
    pub(crate) fn word(&self, key: &str) -> Option<&str> {
        match &self.node.get(key)?.value.value {
            Value::Text(text) if !text.trim().is_empty() => Some(text.trim()),
            _ => None,
        }
    }
}

/// Reads all documents of a file.
pub(crate) fn read(file: &str, text: &str) -> (Vec<Document>, Vec<Refused>) {
    let shared: Arc<str> = text.into();
    let (mut documents, mut refused) = (Vec::new(), Vec::new());
    let (mut global, mut previous): (Option<Node>, Option<Node>) = (None, None);
    for part in split(text) {
        let node = match casbah_yaml::parse(part.as_bytes(), WORDING) {
            Ok((_, node)) => node,
            Err((_, wrong)) => {
                let no = No { kind: RefusedKind::Syntax, wrong };
                refused.push(Refused::new(file, text, "", no));
                continue;
            }
        };
        let node = match collect(node, &mut global, &mut previous) {
            Ok(Some(node)) => node,
            Ok(None) => continue,
            Err(no) => {
                refused.push(Refused::new(file, text, "", no));
                continue;
            }
        };
        let title = title(&node);
        match identify(file, &shared, node) {
            Ok(document) => documents.push(document),
            Err(no) => refused.push(Refused::new(file, text, &title, no)),
        }
    }
    (documents, refused)
}

/// The documents of a stream, each with the lines before it empty, so that places stay right.
///
/// A line that begins with `---` can be nothing else: within a document every text is indented, and
/// quoted texts that break lines may not begin one so.
fn split(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut parts, mut part, mut lines) = (Vec::new(), String::new(), 0);
    for line in text.lines() {
        let marks = |mark: &str| {
            line.strip_prefix(mark).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(' ') || rest.starts_with('\t')
            })
        };
        if marks("---") || marks("...") {
            parts.push(std::mem::replace(&mut part, "\n".repeat(lines)));
            let rest = line.get(3..).unwrap_or_default();
            part.push_str(&format!("   {rest}\n"));
        } else {
            part.push_str(line);
            part.push('\n');
        }
        lines += 1;
    }
    parts.push(part);
    parts.retain(|part| {
        part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    });
    if parts.is_empty() {
        parts.push(String::new());
    }
    parts
}

/// Carries out the actions of rule collections; `None` where the document is only a template.
fn collect(
    node: Node,
    global: &mut Option<Node>,
    previous: &mut Option<Node>,
) -> Result<Option<Node>> {
    let action = node.get("action").map(|entry| (entry.value.span, entry.value.value.clone()));
    let Some((span, action)) = action else {
        let node = merged(global.clone(), node);
        *previous = Some(node.clone());
        return Ok(Some(node));
    };
    let node = without(node, "action");
    match &action {
        Value::Text(action) if action == "global" => {
            *global = Some(node);
            Ok(None)
        }
        Value::Text(action) if action == "reset" => {
            *global = None;
            Ok(None)
        }
        Value::Text(action) if action == "repeat" => {
            if previous.is_none() {
                return Err(No::at(
                    RefusedKind::Document,
                    span,
                    "`action: repeat` has no document before it",
                    "put the document that it repeats before it",
                ));
            }
            let node = merged(previous.take(), node);
            *previous = Some(node.clone());
            Ok(Some(node))
        }
        other => {
            let typed = match other {
                Value::Text(text) => format!("`{}`", shown(text)),
                other => other.what().to_owned(),
            };
            Err(No::at(
                RefusedKind::Document,
                span,
                format!("{typed} is no action of a collection of rules"),
                "use `global`, `reset` or `repeat`",
            ))
        }
    }
}

fn without(mut node: Node, key: &str) -> Node {
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| entry.key != key);
    }
    node
}

/// One mapping laid over another, deeply.
fn merged(below: Option<Node>, above: Node) -> Node {
    let Some(below) = below else { return above };
    match (below.value, above.value) {
        (Value::Map(mut entries), Value::Map(over)) => {
            for Entry { key, span, value } in over {
                match entries.iter_mut().find(|entry| entry.key == key) {
                    Some(entry) => {
                        entry.span = span;
                        entry.value = merged(Some(entry.value.clone()), value);
                    }
                    None => entries.push(Entry { key, span, value }),
                }
            }
            Node { span: above.span, value: Value::Map(entries) }
        }
        (_, value) => Node { span: above.span, value },
    }
}

fn title(node: &Node) -> String {
    match node.get("title").map(|entry| &entry.value.value) {
        Some(Value::Text(title)) => one_line(title),
        _ => String::new(),
    }
}

/// A text in one line, without what would not print.
pub(crate) fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn identify(file: &str, text: &Arc<str>, node: Node) -> Result<Document> {
    let begin = Span { line: node.span.line, column: node.span.column, length: 1 };
    let title = title(&node);
    if title.is_empty() {
        let span = node.get("title").map_or(begin, |entry| entry.span);
        return Err(No::at(
            RefusedKind::Document,
            span,
            "a rule needs a `title`, which is a text",
            "add a line `title: …`",
        ));
    }
    status(&node)?;
    let kind = if node.get("correlation").is_some() {
        Kind::Correlation
    } else if node.get("filter").is_some() {
        Kind::Filter
    } else {
        Kind::Rule
    };
    let document = Document {
        file: file.to_owned(),
        text: Arc::clone(text),
        kind,
        title,
        id: None,
        name: None,
        node,
    };
    let id = document.word("id").map(str::to_owned);
    let name = document.word("name").map(str::to_owned);
    Ok(Document { id, name, ..document })
}

/// A rule that says of itself that it is not to be used is not used.
fn status(node: &Node) -> Result<()> {
    const ALL: [&str; 5] = ["stable", "test", "experimental", "deprecated", "unsupported"];
    let Some(entry) = node.get("status") else { return Ok(()) };
    let span = entry.value.span;
    match &entry.value.value {
        Value::Text(status) if status == "deprecated" => Err(No::at(
            RefusedKind::Status,
            span,
            "the rule is deprecated",
            "its `related` names what replaces it",
        )),
        Value::Text(status) if status == "unsupported" => Err(No::at(
            RefusedKind::Status,
            span,
            "the rule says that it can't be used as it is",
            "",
        )),
        Value::Text(status) if ALL.contains(&status.as_str()) => Ok(()),
        Value::Text(status) => Err(No::at(
            RefusedKind::Document,
            span,
            format!("`{}` is not a status", shown(status)),
            suggest::hint(status, ALL, "statuses"),
        )),
        other => Err(No::at(
            RefusedKind::Document,
            span,
            format!("`status` must be a text, not {}", other.what()),
            "",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places must lead to the line in the file, not to that in the document.
    #[test]
    fn documents_of_one_file_keep_their_lines() {
        let text = "title: One\n---\n# only a comment\n--- # two\ntitle: Two\nstatus: test\n...\n---\nstatus: [\n";
        let (documents, refused) = read("two.yml", text);
        let titles: Vec<_> = documents
            .iter()
            .map(|d| (d.title.as_str(), d.node.get("title").map(|e| e.span.line)))
            .collect();
        assert_eq!(titles, [("One", Some(1)), ("Two", Some(5))]);
        let [refused] = refused.as_slice() else { panic!("{refused:?}") };
        assert_eq!(refused.kind, RefusedKind::Syntax);
        assert!(refused.place.is_some_and(|(line, _)| line >= 9), "{refused}");
    }

    /// Collections of the first versions of Sigma are still around.
    #[test]
    fn actions_of_collections_are_carried_out() {
        let text = "\
action: global
title: Base
detection: {condition: a}
---
detection: {a: {x: 1}}
---
action: repeat
title: Again
detection: {a: {x: 2}}
---
action: reset
---
title: Alone
---
action: repeet
";
        let (documents, refused) = read("c.yml", text);
        let seen: Vec<_> = documents.iter().map(|d| d.node.to_json().to_string()).collect();
        insta::assert_snapshot!(seen.join("\n"), @r#"
        {"detection":{"a":{"x":1},"condition":"a"},"title":"Base"}
        {"detection":{"a":{"x":2},"condition":"a"},"title":"Again"}
        {"title":"Alone"}
        "#);
        insta::assert_snapshot!(refused[0], @"
        error: `repeet` is no action of a collection of rules
          --> c.yml:15:9
           |
        15 | action: repeet
           |         ^^^^^^
        hint: use `global`, `reset` or `repeat`
        ");
    }
}
