//! Policy files: one YAML file a policy, read strictly.
//!
//! Every mistake in every file is found at once, each with its line, a caret and a hint. Keys that
//! the host knows are read here; all others are settings of the policy's detector, and must be named
//! in the JSON Schema that it describes itself with. Mistakes that the detector finds in them are
//! led back to the line they stand in.
//!
//! It is not where policies are evaluated, and a detector's settings mean nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use casbah_model::detector::Problem;
use casbah_model::{Alert, Severity};

use crate::cores;
use crate::folder;
use crate::group::{ConfigureError, Detectors, Group};
use crate::lists::Lists;
use crate::policy_test::PolicyTest;
use crate::yaml::{self, Node, Span, Wrong};

mod alerting;
mod draft;
mod fields;
mod keys;
mod settings;
mod severity;

use draft::{Context, Draft};
pub(crate) use fields::Fields;
pub(crate) use keys::HOST_MADE;

pub use crate::folder::read_policies as read_folder;
pub use alerting::Templates;

/// The detector of a policy that names none.
pub const DEFAULT_DETECTOR: &str = "activity";

/// Quiet time of a policy that names none: a day.
pub const DEFAULT_QUIET: i64 = 24 * 3_600_000;

/// The keys of a policy that the host knows; all others are settings of the detector.
pub const HOST_KEYS: &[&str] = &[
    "policy",
    "title",
    "description",
    "severity",
    "detector",
    "category",
    "mitre",
    "references",
    "enabled",
    "alert",
    "respond",
    "tests",
];

/// How many policies one core reads, or gives to a detector, at a time.
const DRAFTS_AT_ONCE: usize = 16;
const SETTINGS_AT_ONCE: usize = 128;

/// What a policy can be about.
pub const CATEGORIES: &[&str] = &[
    "access-control",
    "compliance",
    "configuration-control",
    "data-loss",
    "privileged-accounts",
    "sharing-control",
    "threat-detection",
];

/// A file, or what stands for one.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// Its name in messages.
    pub file: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A policy, read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyFile {
    /// Name: a-z, 0-9 and `-`.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// What it notices and why that matters; may be empty.
    pub description: String,
    /// Severity of its alerts; where rows decide, that of alerts that none of them fits.
    pub severity: Severity,
    /// Name of its detector.
    pub detector: String,
    /// One of [`CATEGORIES`]; may be empty.
    pub category: String,
    /// Techniques of MITRE ATT&CK, e.g. `T1567`.
    pub mitre: Vec<String>,
    /// Addresses to read on.
    pub references: Vec<String>,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// Columns that tell one alert from another; empty when the file leaves it to the detector.
    pub group: Vec<String>,
    /// Length of the window that one alert stands for, ms.
    pub quiet: i64,
    /// How an alert is told, where the file says it.
    pub templates: Templates,
    /// So many alerts a day are shown at most; `None` when the file does not say.
    pub daily_limit: Option<u64>,
    /// Names of the responses to its alerts.
    pub respond: Vec<String>,
    /// What the detector is configured with: a JSON object of the detector's keys with lists filled
    /// in, and `policy`, `group` (when given), `quiet` in ms and `severities` (where rows decide).
    pub settings_json: String,
    /// Digest of what is counted, 12 hex digits: of the settings before lists are filled in, without
    /// severities. As long as it stays, so does the policy's state.
    pub settings_digest: String,
    /// The lists that are filled in, each with its digest.
    pub lists: Vec<(String, String)>,
    /// Its tests.
    pub tests: Vec<PolicyTest>,
    /// Digest of the file's text, 12 hex digits.
    pub revision: String,
    /// Where it came from.
    pub file: String,
    /// The file's text.
    pub source: String,
}

impl PolicyFile {
    /// What an alert of it is called: by its template, otherwise its title.
    pub fn title_of(&self, alert: &Alert) -> String {
        self.templates.title.as_ref().map_or_else(|| self.title.clone(), |t| t.render(alert))
    }

    /// What an alert of it is described as; empty when the file has no template for that.
    pub fn description_of(&self, alert: &Alert) -> String {
        self.templates.description.as_ref().map(|t| t.render(alert)).unwrap_or_default()
    }
}

/// Kind of a [`PolicyProblem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyProblemKind {
    /// The file can't be read.
    Read,
    /// It is not the YAML that policies are written in.
    Syntax,
    /// A key that nobody knows, or one that is missing.
    Key,
    /// A value that its key can't have.
    Value,
    /// Two policies have one name.
    Name,
    /// There is no such detector, or it failed.
    Detector,
    /// The detector does not accept a setting.
    Setting,
    /// A test is not well formed.
    Test,
    /// A list is wrong, or there is none of that name.
    List,
    /// The directory knows no such group.
    Group,
    /// A template can't be filled in.
    Template,
}

impl PolicyProblemKind {
    /// The word for it in output that is read by programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Syntax => "syntax",
            Self::Key => "key",
            Self::Value => "value",
            Self::Name => "name",
            Self::Detector => "detector",
            Self::Setting => "setting",
            Self::Test => "test",
            Self::List => "list",
            Self::Group => "group",
            Self::Template => "template",
        }
    }
}

/// One thing wrong with one policy file.
pub type PolicyProblem = casbah_yaml::Problem<PolicyProblemKind>;

/// Everything that is wrong with a set of policy files; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors {
    problems: Vec<PolicyProblem>,
}

impl PolicyErrors {
    /// # Errors
    /// These problems, when there are any.
    pub(crate) fn none_of(mut problems: Vec<PolicyProblem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
        Err(Self { problems })
    }

    /// All of several; `None` when there are none.
    pub fn join(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        let problems = all.into_iter().flat_map(|errors| errors.problems).collect();
        Self::none_of(problems).err()
    }

    /// The problems, by file and place.
    pub fn problems(&self) -> &[PolicyProblem] {
        &self.problems
    }
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        casbah_yaml::show_all(f, &self.problems)
    }
}

impl std::error::Error for PolicyErrors {}

/// What policies are read from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The files.
    pub policies: &'a [PolicySource],
    /// The lists that they may name.
    pub lists: &'a Lists,
    /// The groups that the directory knows; `None` when there is no directory at hand, and groups are
    /// taken as they are.
    pub groups: Option<&'a BTreeSet<String>>,
}

/// Policies that were read and checked together: no two have one name.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<PolicyFile>>,
    unchecked_groups: BTreeSet<String>,
}

impl PolicySet {
    /// Reads policies that name no lists, and checks their settings with their detectors.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn read(sources: &[PolicySource], detectors: &dyn Detectors) -> Result<Self, PolicyErrors> {
        let lists = Lists::default();
        Self::read_with(&Sources { policies: sources, lists: &lists, groups: None }, detectors)
    }

    /// Reads policies, fills in lists, and checks their settings with their detectors, on all cores.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn read_with(
        sources: &Sources<'_>,
        detectors: &dyn Detectors,
    ) -> Result<Self, PolicyErrors> {
        let context = Context::new(sources, detectors);
        let mut problems = Vec::new();
        let mut drafts =
            cores::map(sources.policies, DRAFTS_AT_ONCE, |source| Draft::read(source, &context));
        check_names(&drafts, &mut problems);
        check_settings(&mut drafts, detectors);
        let mut policies = Vec::new();
        let mut unchecked_groups = BTreeSet::new();
        for draft in drafts {
            if draft.problems.is_empty()
                && let Some(policy) = draft.policy
            {
                policies.push(Arc::new(policy));
            }
            problems.extend(draft.problems);
            unchecked_groups.extend(draft.unchecked_groups);
        }
        PolicyErrors::none_of(problems)?;
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { policies, unchecked_groups })
    }

    /// Reads every `.yaml` and `.yml` file of a folder with the lists in `lists/`; its other
    /// subfolders are not included.
    ///
    /// # Errors
    /// When the folder or a file can't be read, and everything that is wrong with any policy.
    pub fn load(folder: &Path, detectors: &dyn Detectors) -> Result<Self, PolicyErrors> {
        let content = folder::read(folder)?;
        let sources = Sources { policies: &content.policies, lists: &content.lists, groups: None };
        Self::read_with(&sources, detectors)
    }

    /// Sets that were read apart, as one.
    ///
    /// # Errors
    /// When two policies have one name.
    pub fn join(sets: impl IntoIterator<Item = Self>) -> Result<Self, PolicyErrors> {
        let mut joined = Self::default();
        for set in sets {
            joined.policies.extend(set.policies);
            joined.unchecked_groups.extend(set.unchecked_groups);
        }
        joined.policies.sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
        let mut problems = Vec::new();
        for pair in joined.policies.windows(2) {
            if let [first, second] = pair
                && first.name == second.name
            {
                problems.push(same_name(&first.file, second, place_of_setting(second, "/policy")));
            }
        }
        PolicyErrors::none_of(problems)?;
        Ok(joined)
    }

    /// Groups that policies name and that no directory was at hand to check.
    pub fn unchecked_groups(&self) -> &BTreeSet<String> {
        &self.unchecked_groups
    }

    /// The policies, by name.
    pub fn policies(&self) -> &[Arc<PolicyFile>] {
        &self.policies
    }

    /// The policy of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<PolicyFile>> {
        self.policies.iter().find(|policy| policy.name == name)
    }

    /// The groups of the enabled policies: one a detector, by its name.
    ///
    /// # Errors
    /// When a detector does not accept together what it accepted one by one, or fails.
    pub fn groups(&self, detectors: &dyn Detectors) -> Result<Vec<Group>, PolicyErrors> {
        let mut by_detector: BTreeMap<&str, Vec<Arc<PolicyFile>>> = BTreeMap::new();
        for policy in self.policies.iter().filter(|policy| policy.enabled) {
            by_detector.entry(&policy.detector).or_default().push(Arc::clone(policy));
        }
        by_detector.into_iter().map(|(name, policies)| group(name, policies, detectors)).collect()
    }
}

/// Makes the group of some policies of one detector.
///
/// # Errors
/// When the detector does not accept their settings, or fails.
pub fn group(
    detector: &str,
    policies: Vec<Arc<PolicyFile>>,
    detectors: &dyn Detectors,
) -> Result<Group, PolicyErrors> {
    let settings: Vec<String> = policies.iter().map(|p| p.settings_json.clone()).collect();
    match detectors.configure(detector, &settings) {
        Ok(configured) => Ok(Group::new(detector, configured, policies)),
        Err(ConfigureError::Problems(found)) => {
            let problems = found
                .into_iter()
                .filter_map(|problem| {
                    let policy = policies.get(problem.policy as usize)?;
                    let document = yaml::parse(policy.source.as_bytes()).ok()?.1;
                    Some(setting_problem(&policy.file, &policy.source, &document, &[], &problem))
                })
                .collect();
            Err(PolicyErrors { problems })
        }
        Err(ConfigureError::Failed(message)) => Err(PolicyErrors {
            problems: policies
                .iter()
                .take(1)
                .map(|policy| detector_failed(&policy.file, detector, &message))
                .collect(),
        }),
    }
}

fn check_names(drafts: &[Draft], problems: &mut Vec<PolicyProblem>) {
    let mut first: BTreeMap<&str, &Draft> = BTreeMap::new();
    for draft in drafts {
        let Some(policy) = &draft.policy else { continue };
        let Some(other) = first.get(policy.name.as_str()) else {
            first.insert(&policy.name, draft);
            continue;
        };
        let span = draft
            .document
            .as_ref()
            .and_then(|document| document.get("policy"))
            .map(|entry| entry.value.span)
            .unwrap_or_default();
        problems.push(same_name(&other.file, policy, span));
    }
}

fn same_name(first: &str, second: &PolicyFile, span: Span) -> PolicyProblem {
    PolicyProblem::at(
        PolicyProblemKind::Name,
        &second.file,
        &second.source,
        Wrong {
            span,
            message: format!("`{first}` and `{}` have one name", second.file),
            hint: Some(format!(
                "rename one of them: alerts of policy `{}` would be mixed up",
                second.name
            )),
        },
    )
}

/// Lets every detector look at the settings of all its policies, those with other mistakes included.
fn check_settings(drafts: &mut [Draft], detectors: &dyn Detectors) {
    let mut by_detector: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        if let Some(policy) = &draft.policy {
            by_detector.entry(&policy.detector).or_default().push(index);
        }
    }
    let chunks: Vec<(&str, &[usize])> = by_detector
        .iter()
        .flat_map(|(&detector, members)| {
            members.chunks(SETTINGS_AT_ONCE).map(move |chunk| (detector, chunk))
        })
        .collect();
    let read: &[Draft] = drafts;
    let found: Vec<(usize, PolicyProblem)> =
        cores::map(&chunks, 1, |(detector, members)| ask(detector, members, read, detectors))
            .into_iter()
            .flatten()
            .collect();
    for (index, problem) in found {
        if let Some(draft) = drafts.get_mut(index) {
            draft.add_setting_problem(problem);
        }
    }
}

/// What a detector finds wrong with some of its policies, each with the index of the draft.
fn ask(
    detector: &str,
    members: &[usize],
    drafts: &[Draft],
    detectors: &dyn Detectors,
) -> Vec<(usize, PolicyProblem)> {
    let settings: Vec<String> = members
        .iter()
        .filter_map(|&index| drafts.get(index)?.policy.as_ref())
        .map(|policy| policy.settings_json.clone())
        .collect();
    match detectors.configure(detector, &settings) {
        Ok(_) => Vec::new(),
        Err(ConfigureError::Problems(found)) => found
            .iter()
            .filter_map(|problem| {
                let index = members.get(problem.policy as usize).copied()?;
                let Draft { file, text, document, filled, .. } = drafts.get(index)?;
                let problem = setting_problem(file, text, document.as_ref()?, filled, problem);
                Some((index, problem))
            })
            .collect(),
        Err(ConfigureError::Failed(message)) => members
            .first()
            .and_then(|&index| {
                let problem = detector_failed(&drafts.get(index)?.file, detector, &message);
                Some((index, problem))
            })
            .into_iter()
            .collect(),
    }
}

fn detector_failed(file: &str, detector: &str, message: &str) -> PolicyProblem {
    PolicyProblem::whole(
        PolicyProblemKind::Detector,
        file,
        format!("detector `{detector}` could not be configured: {message}"),
        "this is a fault of the plugin, not of the policy; tell whoever makes it",
    )
}

/// Leads a detector's problem back to where it stands in the file. `filled` are the pointers that
/// lists were filled in at, with the lists' names.
fn setting_problem(
    file: &str,
    text: &str,
    document: &Node,
    filled: &[(String, String)],
    problem: &Problem,
) -> PolicyProblem {
    let (mut message, hint) = match problem.message.split_once("\nhint: ") {
        Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
        None => (problem.message.clone(), None),
    };
    let inside = |at: &str| {
        problem
            .pointer
            .strip_prefix(at)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if let Some((_, list)) = filled.iter().find(|(at, _)| inside(at)) {
        message.push_str(&format!(" (filled in from the list `{list}`)"));
    }
    let span = place(document, &problem.pointer);
    PolicyProblem::at(PolicyProblemKind::Setting, file, text, Wrong { span, message, hint })
}

/// The place in a file of what a JSON pointer into the detector's settings leads to.
fn place(document: &Node, pointer: &str) -> Span {
    match pointer.split('/').nth(1) {
        Some("group" | "quiet") => document.find(&format!("/alert{pointer}")),
        Some("severities") => document.find(&severity::pointer(document, pointer)),
        _ => document.find(pointer),
    }
}

/// The place in a policy's file of what a JSON pointer into its settings leads to.
pub(crate) fn place_of_setting(policy: &PolicyFile, pointer: &str) -> Span {
    match yaml::parse(policy.source.as_bytes()) {
        Ok((_, document)) => place(&document, pointer),
        Err(_) => Span::default(),
    }
}
