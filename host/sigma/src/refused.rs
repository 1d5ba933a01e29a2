//! Why a rule is not used.

use std::fmt;

use casbah_yaml::{Problem, Span, Wrong};

/// What kind of thing stands in the way of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RefusedKind {
    /// The file is not YAML, or not YAML of the plain kind that is read here.
    Syntax,
    /// A part that every rule has is missing or of the wrong type, or two rules share an id.
    Document,
    /// The rule says itself that it is not to be used.
    Status,
    /// No activity is known to come from its log source.
    LogSource,
    /// A field has no counterpart in the activities of the log source.
    Field,
    /// A modifier is unknown, or does not go with the others or with the field.
    Modifier,
    /// A value does not fit its field or modifier.
    Value,
    /// A placeholder is not resolved.
    Placeholder,
    /// The condition can't be read, or names what is not there.
    Condition,
    /// A correlation that can't be exact in event time, or names what is not there.
    Correlation,
    /// A filter that applies to nothing, or that can't be applied.
    Filter,
    /// The rule is too large for a policy.
    Limit,
}

impl RefusedKind {
    /// The name in lists and counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Document => "document",
            Self::Status => "status",
            Self::LogSource => "logsource",
            Self::Field => "field",
            Self::Modifier => "modifier",
            Self::Value => "value",
            Self::Placeholder => "placeholder",
            Self::Condition => "condition",
            Self::Correlation => "correlation",
            Self::Filter => "filter",
            Self::Limit => "limit",
        }
    }
}

/// A rule, correlation or filter that is not used, and why. Shown as people read it, it says the
/// line, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file.
    pub file: String,
    /// Title of the rule; empty where it could not be read.
    pub rule: String,
    /// What kind of thing stands in the way.
    pub kind: RefusedKind,
    /// What stands in the way, in one sentence.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Line and column in the file, both from 1; `None` when it is about the file as a whole.
    pub place: Option<(usize, usize)>,
    problem: Problem<RefusedKind>,
}

impl Refused {
    /// A rule of a file with this text.
    pub(crate) fn new(file: &str, text: &str, rule: &str, no: No) -> Self {
        let No { kind, wrong } = no;
        let problem = Problem::at(kind, file, text, wrong);
        Self {
            file: file.to_owned(),
            rule: rule.to_owned(),
            kind,
            reason: problem.message.clone(),
            hint: problem.hint.clone(),
            place: problem.place,
            problem,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

/// What stands in the way, and where; the file is added by who knows it.
#[derive(Clone, Debug)]
pub(crate) struct No {
    pub(crate) kind: RefusedKind,
    pub(crate) wrong: Wrong,
}

impl No {
    /// Something at a place; an empty hint is none.
    pub(crate) fn at(
        kind: RefusedKind,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        Self { kind, wrong: Wrong { span, message: message.into(), hint } }
    }
}

/// A result, or what stands in the way of it.
pub(crate) type Result<T> = std::result::Result<T, No>;
