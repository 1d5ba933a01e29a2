//! Sigma rules, used unchanged: each becomes the text of a casbah policy, or is refused with a reason.
//!
//! [`compile`] takes the files of a folder and gives back policies for the detector `activity`, as JSON
//! (which is YAML), and [`Refused`] for everything that is not used, with file, line and what to do.
//! Rules of the specification 2.1 are understood with all modifiers and conditions, correlations, and
//! filters; `README.md` lists what is and what is not.
//!
//! It does not match anything itself, reads no files, and knows no apps but by the table
//! `logsources.yaml`, which says where the log sources of rules are found.

mod condition;
mod correlation;
mod detection;
mod document;
mod encode;
mod field;
mod item;
mod modifier;
mod pattern;
mod placeholder;
mod policy;
mod refused;
mod route;
mod rows;
mod rule;

use std::collections::BTreeMap;

use casbah_yaml::Span;
use serde_json::{Map, Value as Json};

use correlation::Correlation;
use document::{Document, Kind};
use policy::Names;
use refused::No;
pub use refused::{Refused, RefusedKind};
use route::Routes;
use rule::{Filter, Rule};

/// A policy made of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The file that the rule stands in.
    pub file: String,
    /// Title of the rule.
    pub rule: String,
    /// Its id, where it has one.
    pub id: Option<String>,
    /// Name of the policy: `sigma-` and the title.
    pub name: String,
    /// The policy: a JSON object, in one line.
    pub text: String,
}

/// A rule that raises no alerts of its own, because correlations are about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The file that the rule stands in.
    pub file: String,
    /// Title of the rule.
    pub rule: String,
    /// Titles of the correlations.
    pub of: Vec<String>,
}

/// What became of some files of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// Policies, in the order of the rules. A rule whose activities come from two places has two.
    pub policies: Vec<Policy>,
    /// What is not used, in the order of files and lines.
    pub refused: Vec<Refused>,
    /// Rules that only stand for what correlations are about.
    pub parts: Vec<Part>,
}

/// Makes policies of Sigma rules.
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    placeholders: BTreeMap<String, Vec<String>>,
}

/// Makes policies of the rules in some files, each with its name and text. No placeholder is resolved.
pub fn compile<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Compiled {
    Compiler::default().compile(files)
}

impl Compiler {
    /// Values for a placeholder, such as `Administrators` for `%Administrators%`. Wildcards in them are
    /// wildcards. A placeholder without values stays unresolved.
    #[must_use]
    pub fn placeholder(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.placeholders.insert(name.into(), values.into_iter().map(Into::into).collect());
        self
    }

    /// Makes policies of the rules in some files, each with its name and text.
    ///
    /// Correlations and filters find the rules they name in all of the files. The same files give the
    /// same policies with the same names; where two rules have one title, the first keeps the name.
    pub fn compile<N: AsRef<str>, T: AsRef<str>>(&self, files: &[(N, T)]) -> Compiled {
        let mut documents = Vec::new();
        let mut compiled = Compiled::default();
        for (name, text) in files {
            let (read, refused) = document::read(name.as_ref(), text.as_ref());
            documents.extend(read);
            compiled.refused.extend(refused);
        }
        let documents = without_twins(documents, &mut compiled.refused);
        self.all(&documents, &mut compiled);
        let order: BTreeMap<&str, usize> = files
            .iter()
            .enumerate()
            .rev()
            .map(|(index, (name, _))| (name.as_ref(), index))
            .collect();
        compiled
            .refused
            .sort_by_key(|refused| (order.get(refused.file.as_str()).copied(), refused.place));
        compiled
    }

    fn all(&self, documents: &[Document], compiled: &mut Compiled) {
        let routes = Routes::read();
        let of = |kind| documents.iter().filter(move |document| document.kind == kind);
        let mut filters = Vec::new();
        for document in of(Kind::Filter) {
            match Filter::read(document).and_then(|filter| filter.check(documents).map(|()| filter))
            {
                Ok(filter) => filters.push(filter),
                Err(no) => compiled.refused.push(document.refuse(no)),
            }
        }
        let mut rules = Vec::new();
        for document in of(Kind::Rule) {
            match Rule::read(document, &filters, &routes, &self.placeholders) {
                Ok(rule) => rules.push(rule),
                Err(no) => compiled.refused.push(document.refuse(no)),
            }
        }
        let mut correlations = Vec::new();
        for document in of(Kind::Correlation) {
            match Correlation::read(document) {
                Ok(correlation) => correlations.push(correlation),
                Err(no) => compiled.refused.push(document.refuse(no)),
            }
        }
        let mut names = Names::default();
        // Both are in the order of the documents.
        let (mut rule, mut correlation) = (rules.iter().peekable(), correlations.iter().peekable());
        for document in documents {
            let this = |other: &Document| std::ptr::eq(other, document);
            let made = if let Some(rule) = rule.next_if(|rule| this(rule.document)) {
                alone(rule, &correlations, compiled)
            } else if let Some(one) = correlation.next_if(|one| this(one.document)) {
                one.settings(documents, &rules)
            } else {
                continue;
            };
            let made = made.and_then(|settings| finish(document, settings, &mut names));
            match made {
                Ok(policies) => compiled.policies.extend(policies),
                Err(no) => compiled.refused.push(document.refuse(no)),
            }
        }
    }
}

/// The settings of a rule that stands for itself; none where it is a part of correlations only.
fn alone(
    rule: &Rule<'_>,
    correlations: &[Correlation<'_>],
    compiled: &mut Compiled,
) -> refused::Result<Vec<(String, Map<String, Json>)>> {
    let about: Vec<&Correlation<'_>> = correlations
        .iter()
        .filter(|correlation| correlation.rules.iter().any(|(name, _)| rule.document.is(name)))
        .collect();
    if !about.is_empty() && about.iter().all(|correlation| !correlation.generate) {
        compiled.parts.push(Part {
            file: rule.document.file.clone(),
            rule: rule.document.title.clone(),
            of: about.iter().map(|correlation| correlation.document.title.clone()).collect(),
        });
        return Ok(Vec::new());
    }
    let places = rule.places.iter().map(|place| {
        let when = place.rows.when(Span::default())?;
        Ok((place.target.suffix.clone(), Map::from_iter([("when".to_owned(), when)])))
    });
    places.collect()
}

/// Puts what a rule says of itself beside the settings.
fn finish(
    document: &Document,
    settings: Vec<(String, Map<String, Json>)>,
    names: &mut Names,
) -> refused::Result<Vec<Policy>> {
    let about = policy::about(document)?;
    let policies = settings.into_iter().map(|(suffix, settings)| {
        let name = names.give(document, &suffix);
        let mut map = about.clone();
        map.extend(settings);
        map.insert("policy".to_owned(), name.as_str().into());
        Policy {
            file: document.file.clone(),
            rule: document.title.clone(),
            id: document.id.clone(),
            name,
            text: Json::Object(map).to_string(),
        }
    });
    Ok(policies.collect())
}

/// Leaves out what has the id or name of a document before it: references would mean either.
fn without_twins(documents: Vec<Document>, refused: &mut Vec<Refused>) -> Vec<Document> {
    let mut kept: Vec<Document> = Vec::with_capacity(documents.len());
    let mut known: BTreeMap<(&'static str, String), usize> = BTreeMap::new();
    for document in documents {
        let id = document.id.as_ref().map(|id| ("id", id.to_ascii_lowercase()));
        let name = document.name.as_ref().map(|name| ("name", name.clone()));
        let keys: Vec<_> = id.into_iter().chain(name).collect();
        let twin = keys.iter().find_map(|key| Some((key, kept.get(*known.get(key)?)?)));
        if let Some(((key, value), twin)) = twin {
            let span = document.node.get(key).map(|entry| entry.value.span).unwrap_or_default();
            let shown = casbah_yaml::suggest::shown(value);
            let message = format!("the {key} `{shown}` is that of another rule, in {}", twin.file);
            let hint = "leave out one of them, or give it an id of its own";
            let no = No::at(RefusedKind::Document, span, message, hint);
            refused.push(document.refuse(no));
            continue;
        }
        known.extend(keys.into_iter().map(|key| (key, kept.len())));
        kept.push(document);
    }
    kept
}
