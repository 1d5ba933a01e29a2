//! Writes the text of a policy: what a rule says of itself, beside what it detects.

use std::collections::HashSet;

use casbah_yaml::suggest::{self, shown};
use casbah_yaml::{Span, Value};
use serde_json::{Map, Value as Json};

use crate::document::{Document, one_line};
use crate::refused::{No, RefusedKind, Result};

/// How long the name of a policy may be.
const LONGEST_NAME: usize = 63;
/// Begins the name of every policy, so that none takes the place of one that is no Sigma rule.
const PREFIX: &str = "sigma";

/// What a rule says of itself, in the keys of a policy.
pub(crate) fn about(document: &Document) -> Result<Map<String, Json>> {
    let mut map = Map::new();
    map.insert("title".to_owned(), document.title.as_str().into());
    map.insert("severity".to_owned(), severity(document)?.into());
    map.insert("detector".to_owned(), "activity".into());
    map.insert("category".to_owned(), "threat-detection".into());
    map.insert("description".to_owned(), description(document).into());
    let techniques: Vec<Json> = techniques(document).into_iter().map(Json::from).collect();
    if !techniques.is_empty() {
        map.insert("mitre".to_owned(), techniques.into());
    }
    let references: Vec<Json> = document
        .texts("references")
        .into_iter()
        .map(str::trim)
        .filter(|text| text.starts_with("https://") || text.starts_with("http://"))
        .filter(|text| !text.contains(char::is_whitespace) && !text.contains(char::is_control))
        .map(Json::from)
        .collect();
    if !references.is_empty() {
        map.insert("references".to_owned(), references.into());
    }
    Ok(map)
}

fn severity(document: &Document) -> Result<&'static str> {
    let Some(entry) = document.node.get("level") else { return Ok("medium") };
    let no = |span: Span, message: String, hint: String| {
        Err(No::at(RefusedKind::Document, span, message, hint))
    };
    const LEVELS: [(&str, &str); 5] = [
        ("informational", "info"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("critical", "critical"),
    ];
    match &entry.value.value {
        Value::Text(level) => match LEVELS.iter().find(|(name, _)| name == level) {
            Some((_, severity)) => Ok(severity),
            None => no(
                entry.value.span,
                format!("`{}` is not a level", shown(level)),
                suggest::hint(level, LEVELS.map(|(name, _)| name), "levels"),
            ),
        },
        other => no(
            entry.value.span,
            format!("`level` must be a text, not {}", other.what()),
            String::new(),
        ),
    }
}

/// The description of the rule, when it is wrong, and who wrote it: its licence asks for the latter.
fn description(document: &Document) -> String {
    let mut lines = Vec::new();
    if let Some(text) = document.word("description") {
        lines.extend(text.lines().map(one_line).filter(|line| !line.is_empty()));
    }
    let wrong: Vec<String> = document.texts("falsepositives").into_iter().map(one_line).collect();
    if !wrong.is_empty() {
        lines.push(format!("False positives: {}", wrong.join("; ")));
    }
    let id = document.id.as_deref().map(|id| format!(" {}", one_line(id))).unwrap_or_default();
    let author = document.word("author").map(|author| format!(" by {}", one_line(author)));
    lines.push(format!("Sigma rule{id}{}", author.unwrap_or_default()));
    lines.join("\n")
}

/// Techniques of MITRE ATT&CK among the tags.
fn techniques(document: &Document) -> Vec<String> {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let mut found: Vec<String> = Vec::new();
    for tag in document.texts("tags") {
        let Some(id) = tag.to_ascii_lowercase().strip_prefix("attack.t").map(str::to_owned) else {
            continue;
        };
        let fits = match id.split_once('.') {
            Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
            None => digits(&id, 4),
        };
        let id = format!("T{id}");
        if fits && !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// Gives every policy a name of its own.
#[derive(Debug, Default)]
pub(crate) struct Names(HashSet<String>);

impl Names {
    /// A name for the policy of a rule: from its title, and where another rule has that already, with
    /// the beginning of its id.
    pub(crate) fn give(&mut self, document: &Document, suffix: &str) -> String {
        let slug = slug(&document.title);
        let id: String = document
            .id
            .as_deref()
            .unwrap_or_default()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(8)
            .collect::<String>()
            .to_ascii_lowercase();
        let mut name = named(&slug, "", suffix);
        if self.0.contains(&name) && !id.is_empty() {
            name = named(&slug, &id, suffix);
        }
        let mut number = 2;
        while self.0.contains(&name) {
            name = named(&slug, &number.to_string(), suffix);
            number += 1;
        }
        self.0.insert(name.clone());
        name
    }
}

fn named(slug: &str, tail: &str, suffix: &str) -> String {
    let behind: String = [tail, suffix]
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| format!("-{part}"))
        .collect();
    let room = LONGEST_NAME.saturating_sub(PREFIX.len() + 1 + behind.len());
    let slug: String = slug.chars().take(room).collect();
    format!("{PREFIX}-{}{behind}", slug.trim_end_matches('-'))
}

fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    match slug.trim_end_matches('-') {
        "" => "rule".to_owned(),
        slug => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        crate::document::read("r.yml", text).0.remove(0)
    }

    #[test]
    fn names_are_short_plain_and_different() {
        let mut names = Names::default();
        let long =
            "A very long title of a rule that goes on and on about what it is that it detects";
        let titles = [
            ("AWS: Root Login (Console)", "9b4e7c2a-3f6d", ""),
            ("AWS Root Login - Console", "11111111-2222", ""),
            ("AWS root login console", "", ""),
            (long, "", ""),
            (long, "abcdef0123", "entra"),
            ("规则", "", ""),
        ];
        let given: Vec<_> = titles
            .iter()
            .map(|(title, id, suffix)| {
                let id = if id.is_empty() { String::new() } else { format!("id: {id}\n") };
                names.give(&document(&format!("title: \"{title}\"\n{id}")), suffix)
            })
            .collect();
        assert!(given.iter().all(|name| name.len() <= 63), "{given:?}");
        insta::assert_snapshot!(given.join("\n"), @"
        sigma-aws-root-login-console
        sigma-aws-root-login-console-11111111
        sigma-aws-root-login-console-2
        sigma-a-very-long-title-of-a-rule-that-goes-on-and-on-about-wha
        sigma-a-very-long-title-of-a-rule-that-goes-on-and-on-abo-entra
        sigma-rule
        ");
    }

    #[test]
    fn a_rule_says_who_it_is() {
        let document = document(
            "title: T\nid: 9b4e7c2a\nauthor: Ana\nlevel: informational\n\
             description: |\n    One.\n\n    Two\there.\n\
             falsepositives: [Unlikely, Tests]\n\
             tags: [attack.t1078.004, attack.impact, attack.T1485, attack.t99, cve.2020-1]\n\
             references: [https://a.example/b, not an address, 'http://c.example']\n",
        );
        let about = Json::Object(about(&document).unwrap());
        insta::assert_snapshot!(serde_json::to_string_pretty(&about).unwrap(), @r#"
        {
          "category": "threat-detection",
          "description": "One.\nTwo here.\nFalse positives: Unlikely; Tests\nSigma rule 9b4e7c2a by Ana",
          "detector": "activity",
          "mitre": [
            "T1078.004",
            "T1485"
          ],
          "references": [
            "https://a.example/b",
            "http://c.example"
          ],
          "severity": "info",
          "title": "T"
        }
        "#);
    }
}
