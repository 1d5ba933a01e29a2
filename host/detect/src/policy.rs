//! Policy files: one YAML file a policy, read strictly.
//!
//! Every mistake in every file is found at once, each with its line, a caret and a hint. Keys that
//! the host knows are read here; all others are settings of the policy's detector, and must be named
//! in the JSON Schema that it describes itself with. Mistakes that the detector finds in them are
//! led back to the line they stand in.
//!
//! It is not where policies are evaluated, and a detector's settings mean nothing here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use casbah_model::Severity;
use casbah_model::detector::Problem;

use crate::group::{ConfigureError, Detectors, Group};
use crate::policy_test::PolicyTest;
use crate::suggest::{self, shown};
use crate::yaml::{self, Entry, Node, Value, Wrong};

mod fields;

pub(crate) use fields::Fields;
use fields::fields;

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
    "tests",
];

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
    /// Severity of its alerts.
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
    /// What the detector is configured with: a JSON object of the detector's keys, and `policy`,
    /// `group` (when given) and `quiet` in ms.
    pub settings_json: String,
    /// Digest of `settings_json`, 12 hex digits: as long as it stays, so does the policy's state.
    pub settings_digest: String,
    /// Its tests.
    pub tests: Vec<PolicyTest>,
    /// Digest of the file's text, 12 hex digits.
    pub revision: String,
    /// Where it came from.
    pub file: String,
    /// The file's text.
    pub source: String,
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
}

/// One thing wrong with one policy file.
pub type PolicyProblem = casbah_yaml::Problem<PolicyProblemKind>;

/// Everything that is wrong with a set of policy files; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors {
    problems: Vec<PolicyProblem>,
}

impl PolicyErrors {
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

/// Policies that were read and checked together: no two have one name.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    policies: Vec<Arc<PolicyFile>>,
}

impl PolicySet {
    /// Reads policies, and checks their settings with their detectors.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn read(sources: &[PolicySource], detectors: &dyn Detectors) -> Result<Self, PolicyErrors> {
        let mut problems = Vec::new();
        let mut drafts: Vec<Draft> =
            sources.iter().map(|source| Draft::read(source, detectors)).collect();
        check_names(&drafts, &mut problems);
        check_settings(&mut drafts, detectors);
        let mut policies = Vec::new();
        for draft in drafts {
            if draft.problems.is_empty()
                && let Some(policy) = draft.policy
            {
                policies.push(Arc::new(policy));
            }
            problems.extend(draft.problems);
        }
        if problems.is_empty() {
            policies.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(Self { policies });
        }
        problems.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
        Err(PolicyErrors { problems })
    }

    /// Reads every `.yaml` and `.yml` file of a folder, its subfolders not included.
    ///
    /// # Errors
    /// When the folder or a file can't be read, and everything that is wrong with any policy.
    pub fn load(folder: &Path, detectors: &dyn Detectors) -> Result<Self, PolicyErrors> {
        let sources = read_folder(folder)?;
        Self::read(&sources, detectors)
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
                    Some(setting_problem(&policy.file, &policy.source, &document, &problem))
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

/// The policy files of a folder, by name.
///
/// # Errors
/// When the folder or one of the files can't be read.
pub fn read_folder(folder: &Path) -> Result<Vec<PolicySource>, PolicyErrors> {
    let failed = |path: &Path, error: &std::io::Error| PolicyErrors {
        problems: vec![PolicyProblem::whole(
            PolicyProblemKind::Read,
            &path.display().to_string(),
            format!("cannot read `{}`: {error}", path.display()),
            "policies are files ending in `.yaml` in one folder",
        )],
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        let yaml = path.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml")
        });
        if yaml && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match read_bounded(&path) {
            Ok(bytes) => sources.push(PolicySource { file: path.display().to_string(), bytes }),
            Err(error) => problems.extend(failed(&path, &error).problems),
        }
    }
    if problems.is_empty() { Ok(sources) } else { Err(PolicyErrors { problems }) }
}

/// One byte more than is allowed is enough to refuse a file.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file on its way to a policy.
struct Draft {
    file: String,
    text: String,
    document: Option<Node>,
    /// There is one as soon as there is a name: the rest has stand-ins where it is wrong.
    policy: Option<PolicyFile>,
    problems: Vec<PolicyProblem>,
}

impl Draft {
    fn read(source: &PolicySource, detectors: &dyn Detectors) -> Self {
        let mut draft = Self {
            file: source.file.clone(),
            text: String::new(),
            document: None,
            policy: None,
            problems: Vec::new(),
        };
        match yaml::parse(&source.bytes) {
            Ok((text, document)) => {
                draft.text = text;
                let mut fields = fields();
                draft.policy = read_policy(&document, &draft, &mut fields, detectors);
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
}

fn read_policy(
    document: &Node,
    draft: &Draft,
    fields: &mut Fields,
    detectors: &dyn Detectors,
) -> Option<PolicyFile> {
    let name = fields.required_text(document, "policy");
    let title = fields.required_text(document, "title");
    let severity = severity(document, fields);
    let detector = detector(document, fields, detectors);
    let alert = Alerting::read(document, fields);
    match &detector {
        Some(detector) => {
            let description = detectors.describe(detector);
            check_keys(document, fields, detector, description.map(|d| d.settings));
        }
        None => check_slips(document, fields),
    }
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
    let mitre = fields.texts(document, "mitre", |id| {
        (!is_technique(id)).then(|| "a technique is written as `T1567` or `T1567.002`".to_owned())
    });
    let references = fields.texts(document, "references", |address| {
        let web = address.starts_with("https://") || address.starts_with("http://");
        (!web).then(|| "a reference is an address that begins with `https://`".to_owned())
    });
    let description = fields.text(document, "description").unwrap_or_default();
    let enabled = fields.flag(document, "enabled").unwrap_or(true);
    let name = checked_name(document, name, fields);
    let tests = PolicyTest::read_all(document, fields);
    // Everything has been looked at; without these two there is nothing to go on with.
    let (name, detector) = (name?, detector?);
    let settings_json = settings(document, &name, &alert);
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
        settings_digest: digest(&settings_json),
        settings_json,
        tests,
        revision: digest(&draft.text),
        file: draft.file.clone(),
        source: draft.text.clone(),
        name,
    })
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

fn severity(document: &Node, fields: &mut Fields) -> Option<Severity> {
    let text = fields.required_text(document, "severity")?;
    match text.parse() {
        Ok(severity) => Some(severity),
        Err(_) => {
            let names = Severity::ALL.map(Severity::name);
            fields.wrong(
                document.get("severity").map(|entry| entry.value.span).unwrap_or_default(),
                format!("`{}` is not a severity", shown(&text)),
                suggest::hint(&text, names, "severities"),
            );
            None
        }
    }
}

fn detector(document: &Node, fields: &mut Fields, detectors: &dyn Detectors) -> Option<String> {
    let span = document.get("detector").map(|entry| entry.value.span).unwrap_or(document.span);
    let name = match document.get("detector") {
        Some(_) => fields.text(document, "detector")?,
        None => DEFAULT_DETECTOR.to_owned(),
    };
    if detectors.describe(&name).is_some() {
        return Some(name);
    }
    let names = detectors.names();
    fields.wrong_kind(
        PolicyProblemKind::Detector,
        span,
        format!("there is no detector `{}`", shown(&name)),
        suggest::hint(&name, names.iter().map(String::as_str), "the detectors"),
    );
    None
}

/// Every key must be the host's or one of the detector's settings.
fn check_keys(
    document: &Node,
    fields: &mut Fields,
    detector: &str,
    schema: Option<serde_json::Value>,
) {
    let properties = schema
        .as_ref()
        .and_then(|schema| schema.get("properties"))
        .and_then(serde_json::Value::as_object);
    // A detector without a schema says itself what it does not know.
    let Some(properties) = properties else { return };
    let Value::Map(entries) = &document.value else { return };
    // The host hands these over itself, from `policy` and `alert`.
    let host_made = ["policy", "group", "quiet"];
    let settings: Vec<&str> =
        properties.keys().map(String::as_str).filter(|key| !host_made.contains(key)).collect();
    for entry in entries {
        let key = entry.key.as_str();
        if HOST_KEYS.contains(&key) || settings.contains(&key) {
            continue;
        }
        let known = HOST_KEYS.iter().copied().chain(settings.iter().copied());
        let hint = if host_made.contains(&key) {
            format!("write `alert: {{{key}: …}}`")
        } else {
            suggest::hint(key, known, &format!("the keys of a policy with detector `{detector}`"))
        };
        fields.wrong_kind(
            PolicyProblemKind::Key,
            entry.span,
            format!("`{}` is not a key of a policy", shown(key)),
            hint,
        );
    }
}

/// Without a detector its keys are not known; those that are nearly the host's are slips even so.
fn check_slips(document: &Node, fields: &mut Fields) {
    let Value::Map(entries) = &document.value else { return };
    for entry in entries.iter().filter(|entry| !HOST_KEYS.contains(&entry.key.as_str())) {
        if let Some(near) = suggest::nearest(&entry.key, HOST_KEYS.iter().copied()) {
            fields.wrong_kind(
                PolicyProblemKind::Key,
                entry.span,
                format!("`{}` is not a key of a policy", shown(&entry.key)),
                format!("did you mean `{near}`?"),
            );
        }
    }
}

/// The `alert` part of a policy.
struct Alerting {
    group: Option<Vec<String>>,
    quiet: i64,
}

impl Alerting {
    fn read(document: &Node, fields: &mut Fields) -> Self {
        let mut alerting = Self { group: None, quiet: DEFAULT_QUIET };
        let Some(Entry { value: alert, .. }) = document.get("alert") else { return alerting };
        if !fields.is_map(alert, "`alert`") {
            return alerting;
        }
        fields.only(alert, &["group", "quiet"], "`alert`");
        if alert.get("group").is_some() {
            alerting.group = Some(fields.texts(alert, "group", |_| None));
        }
        if let Some(quiet) = fields.duration(alert, "quiet") {
            alerting.quiet = quiet;
        }
        alerting
    }
}

/// What the detector gets: its own keys, and those that the host makes of its own.
fn settings(document: &Node, name: &str, alert: &Alerting) -> String {
    let mut map = serde_json::Map::new();
    if let Value::Map(entries) = &document.value {
        for entry in entries.iter().filter(|entry| !HOST_KEYS.contains(&entry.key.as_str())) {
            map.insert(entry.key.clone(), entry.value.to_json());
        }
    }
    map.insert("policy".to_owned(), name.into());
    if let Some(group) = &alert.group {
        map.insert("group".to_owned(), group.clone().into());
    }
    map.insert("quiet".to_owned(), alert.quiet.into());
    serde_json::Value::Object(map).to_string()
}

fn digest(text: &str) -> String {
    let mut hex = blake3::hash(text.as_bytes()).to_hex().to_string();
    hex.truncate(12);
    hex
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
        problems.push(PolicyProblem::at(
            PolicyProblemKind::Name,
            &draft.file,
            &draft.text,
            Wrong {
                span,
                message: format!("`{}` and `{}` have one name", other.file, draft.file),
                hint: Some(format!(
                    "rename one of them: alerts of policy `{}` would be mixed up",
                    policy.name
                )),
            },
        ));
    }
}

/// Lets every detector look at the settings of all its policies, those with other mistakes included.
fn check_settings(drafts: &mut [Draft], detectors: &dyn Detectors) {
    let mut by_detector: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        if let Some(policy) = &draft.policy {
            by_detector.entry(policy.detector.clone()).or_default().push(index);
        }
    }
    for (detector, members) in by_detector {
        let settings: Vec<String> = members
            .iter()
            .filter_map(|&index| drafts.get(index)?.policy.as_ref())
            .map(|policy| policy.settings_json.clone())
            .collect();
        match detectors.configure(&detector, &settings) {
            Ok(_) => {}
            Err(ConfigureError::Problems(found)) => {
                for problem in found {
                    let member = members.get(problem.policy as usize).copied();
                    if let Some(draft) = member.and_then(|index| drafts.get_mut(index)) {
                        add_setting_problem(draft, &problem);
                    }
                }
            }
            Err(ConfigureError::Failed(message)) => {
                if let Some(draft) = members.first().and_then(|&index| drafts.get_mut(index)) {
                    let problem = detector_failed(&draft.file, &detector, &message);
                    draft.problems.push(problem);
                }
            }
        }
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

fn add_setting_problem(draft: &mut Draft, problem: &Problem) {
    let Some(document) = &draft.document else { return };
    // A key that is not known was found already.
    let known = |problem: &PolicyProblem| problem.kind == PolicyProblemKind::Key;
    let new = setting_problem(&draft.file, &draft.text, document, problem);
    if !draft.problems.iter().any(|old| known(old) && old.place == new.place) {
        draft.problems.push(new);
    }
}

/// Leads a detector's problem back to where it stands in the file.
fn setting_problem(file: &str, text: &str, document: &Node, problem: &Problem) -> PolicyProblem {
    let pointer = match problem.pointer.split('/').nth(1) {
        Some("group" | "quiet") => format!("/alert{}", problem.pointer),
        _ => problem.pointer.clone(),
    };
    let (message, hint) = match problem.message.split_once("\nhint: ") {
        Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
        None => (problem.message.clone(), None),
    };
    let span = document.find(&pointer);
    PolicyProblem::at(PolicyProblemKind::Setting, file, text, Wrong { span, message, hint })
}
