//! A file on its way to a policy: everything that can be said of it without asking its detector.

use std::collections::BTreeMap;

use casbah_model::Severity;

use super::alerting::{self, Alerting};
use super::fields::{Fields, fields};
use super::settings::{self, Filler};
use super::{
    CATEGORIES, DEFAULT_DETECTOR, PolicyFile, PolicyProblem, PolicyProblemKind, PolicySource,
    Sources, keys, severity,
};
use crate::group::Detectors;
use crate::policy_test::PolicyTest;
use crate::suggest::{self, shown};
use crate::yaml::{self, Node};

/// What policies are read against.
pub(super) struct Context<'a> {
    sources: &'a Sources<'a>,
    /// JSON Schemas of the settings of all detectors there are.
    detectors: BTreeMap<String, serde_json::Value>,
}

impl<'a> Context<'a> {
    pub(super) fn new(sources: &'a Sources<'a>, detectors: &dyn Detectors) -> Self {
        let detectors = detectors
            .names()
            .into_iter()
            .filter_map(|name| {
                let settings = detectors.describe(&name)?.settings;
                Some((name, settings))
            })
            .collect();
        Self { sources, detectors }
    }
}

/// A file on its way to a policy.
pub(super) struct Draft {
    pub(super) file: String,
    pub(super) text: String,
    pub(super) document: Option<Node>,
    /// There is one as soon as there is a name: the rest has stand-ins where it is wrong.
    pub(super) policy: Option<PolicyFile>,
    pub(super) problems: Vec<PolicyProblem>,
    /// JSON pointers into the settings that lists were filled in at, with the lists' names.
    pub(super) filled: Vec<(String, String)>,
    pub(super) unchecked_groups: Vec<String>,
}

impl Draft {
    pub(super) fn read(source: &PolicySource, context: &Context<'_>) -> Self {
        let mut draft = Self {
            file: source.file.clone(),
            text: String::new(),
            document: None,
            policy: None,
            problems: Vec::new(),
            filled: Vec::new(),
            unchecked_groups: Vec::new(),
        };
        match yaml::parse(&source.bytes) {
            Ok((text, document)) => {
                draft.text = text;
                let mut fields = fields();
                draft.policy = draft.read_policy(&document, &mut fields, context);
                for (kind, wrong) in fields.wrongs {
                    draft.problems.push(PolicyProblem::at(kind, &draft.file, &draft.text, wrong));
                }
                draft.document = Some(document);
            }
            Err((text, wrong)) => draft.problems.push(PolicyProblem::at(
                PolicyProblemKind::Syntax,
                &source.file,
                &text,
                wrong,
            )),
        }
        draft
    }

    /// Adds what the detector found, unless it is a key that is known to be wrong.
    pub(super) fn add_setting_problem(&mut self, new: PolicyProblem) {
        let known = |old: &PolicyProblem| {
            old.place == new.place
                && (old.kind == PolicyProblemKind::Key || old.kind == PolicyProblemKind::List)
        };
        if !self.problems.iter().any(known) {
            self.problems.push(new);
        }
    }

    fn read_policy(
        &mut self,
        document: &Node,
        fields: &mut Fields,
        context: &Context<'_>,
    ) -> Option<PolicyFile> {
        let name = fields.required_text(document, "policy");
        let title = fields.required_text(document, "title");
        let severity = severity::read(document, fields);
        let detector = detector(document, fields, context);
        // Others may tell of something larger than what they are told to group by.
        let whole = detector.as_deref() == Some(DEFAULT_DETECTOR);
        let alert = Alerting::read(document, whole, fields);
        match detector.as_ref().and_then(|name| Some((name, context.detectors.get(name)?))) {
            Some((detector, schema)) => keys::check(document, fields, detector, schema),
            None => keys::check_slips(document, fields),
        }
        let category = category(document, fields);
        let mitre = fields.texts(document, "mitre", |id| {
            (!is_technique(id))
                .then(|| "a technique is written as `T1567` or `T1567.002`".to_owned())
        });
        let references = fields.texts(document, "references", |address| {
            let web = address.starts_with("https://") || address.starts_with("http://");
            (!web).then(|| "a reference is an address that begins with `https://`".to_owned())
        });
        let description = fields.text(document, "description").unwrap_or_default();
        let enabled = fields.flag(document, "enabled").unwrap_or(true);
        let respond = alerting::respond(document, fields);
        let name = checked_name(document, name, fields);
        let mut filler = Filler::new(context.sources, fields);
        let settings =
            settings::make(document, name.as_deref().unwrap_or_default(), &alert, &mut filler);
        let Filler { filled, lists, unchecked, .. } = filler;
        self.filled = filled;
        self.unchecked_groups.extend(unchecked);
        let tests = PolicyTest::read_all(document, fields);
        // Everything has been looked at; without these two there is nothing to go on with.
        let (name, detector) = (name?, detector?);
        Some(PolicyFile {
            title: title.unwrap_or_default(),
            description: description.trim().to_owned(),
            severity: severity.unwrap_or(Severity::Medium),
            detector,
            category,
            mitre,
            references,
            enabled,
            group: alert.group.unwrap_or_default(),
            quiet: alert.quiet,
            templates: alert.templates,
            daily_limit: alert.daily_limit,
            respond,
            settings_digest: digest(&settings.identity),
            settings_json: settings.json,
            lists: lists.into_iter().collect(),
            tests,
            revision: digest(&self.text),
            file: self.file.clone(),
            source: self.text.clone(),
            name,
        })
    }
}

fn category(document: &Node, fields: &mut Fields) -> String {
    let category = fields.text(document, "category").unwrap_or_default();
    if let Some(entry) = document.get("category")
        && !category.is_empty()
        && !CATEGORIES.contains(&category.as_str())
    {
        fields.wrong(
            entry.value.span,
            format!("`{}` is not a category", shown(&category)),
            suggest::hint(&category, CATEGORIES.iter().copied(), "categories"),
        );
    }
    category
}

fn checked_name(document: &Node, name: Option<String>, fields: &mut Fields) -> Option<String> {
    let name = name?;
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-');
    if fits {
        return Some(name);
    }
    fields.wrong(
        document.get("policy").map(|entry| entry.value.span).unwrap_or_default(),
        format!("`{}` is not a name of a policy", shown(&name)),
        "use 1 to 63 of a-z, 0-9 and `-`, starting with a letter or digit".to_owned(),
    );
    None
}

fn detector(document: &Node, fields: &mut Fields, context: &Context<'_>) -> Option<String> {
    let span = document.get("detector").map(|entry| entry.value.span).unwrap_or(document.span);
    let name = match document.get("detector") {
        Some(_) => fields.text(document, "detector")?,
        None => DEFAULT_DETECTOR.to_owned(),
    };
    if context.detectors.contains_key(&name) {
        return Some(name);
    }
    fields.wrong_kind(
        PolicyProblemKind::Detector,
        span,
        format!("there is no detector `{}`", shown(&name)),
        suggest::hint(&name, context.detectors.keys().map(String::as_str), "the detectors"),
    );
    None
}

fn is_technique(id: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let Some(rest) = id.strip_prefix('T') else { return false };
    match rest.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(rest, 4),
    }
}

fn digest(text: &str) -> String {
    let mut hex = blake3::hash(text.as_bytes()).to_hex().to_string();
    hex.truncate(12);
    hex
}
