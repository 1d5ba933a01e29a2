//! Alerts: findings after the policy's grouping, in the form that people look at.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How bad it is. Closed for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look when there is time.
    Low,
    /// Worth a look today.
    Medium,
    /// Worth a look now.
    High,
    /// Get up at night.
    Critical,
}

impl Severity {
    /// All severities, mildest first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name in files and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|severity| severity.name() == text).ok_or_else(|| {
            format!("`{text}` is not a severity; use info, low, medium, high or critical")
        })
    }
}

/// One activity that an alert rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// When it happened, ms since 1970. First, so that evidence sorts by time.
    pub time: i64,
    /// Its place in the tenant's log.
    pub sequence: u64,
}

/// An alert as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Hash of (tenant, policy, group, start); the same findings always give the same id.
    pub id: String,
    /// Name of the policy.
    pub policy: String,
    /// Digest of the policy file that made it, the first 12 hex digits.
    pub revision: String,
    /// The policy's title.
    pub title: String,
    /// The highest severity of the findings joined.
    pub severity: Severity,
    /// What it is about: columns and their values.
    pub group: Vec<(String, String)>,
    /// Start of the quiet window it stands for, ms since 1970.
    pub start: i64,
    /// Time of the first activity or instant that made it, ms since 1970.
    pub first: i64,
    /// Time of the last one, ms since 1970.
    pub last: i64,
    /// Number of activities it rests on, those left out of `evidence` included.
    pub count: u64,
    /// The earliest activities it rests on, at most [`Alert::EVIDENCE_KEPT`], by time.
    pub evidence: Vec<Evidence>,
    /// The sentence of the finding that was joined last.
    pub summary: String,
    /// Numbers and texts behind the sentence.
    pub details: Vec<(String, String)>,
    /// What people made of it.
    pub state: AlertState,
    /// Whether nothing of it has crossed the alerting line: a behavior is kept and listed apart, and
    /// never shown as an alert.
    #[serde(default)]
    pub behavior: bool,
    /// What it means and what to do, for people; may be empty.
    #[serde(default)]
    pub description: String,
    /// Names of the responses that its policy wants.
    #[serde(default)]
    pub respond: Vec<String>,
    /// Whether a candidate made it that runs beside the policies in force: it is compared with theirs,
    /// and never shown as an alert.
    #[serde(default)]
    pub shadow: bool,
    /// Whether it came after its policy's limit for the day: it is kept and counted, and listed only
    /// where it is asked for.
    #[serde(default)]
    pub held_back: bool,
}

/// What people made of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Nobody has looked at it yet.
    #[default]
    Open,
    /// Looked at and done with.
    Closed,
}

impl Alert {
    /// How many activities are named in [`Alert::evidence`].
    pub const EVIDENCE_KEPT: usize = 100;

    /// Joins another part of the same alert into this one.
    ///
    /// Commutative and associative as long as no activity is given twice, up to `summary` and
    /// `details`, which are those of the part that reaches furthest in time.
    pub fn join(&mut self, other: Self) {
        if (other.last, &other.summary) >= (self.last, &self.summary) {
            self.summary = other.summary;
            self.details = other.details;
        }
        self.severity = self.severity.max(other.severity);
        self.behavior &= other.behavior;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count += other.count;
        self.evidence.extend(other.evidence);
        self.evidence.sort_unstable();
        self.evidence.dedup();
        self.evidence.truncate(Self::EVIDENCE_KEPT);
    }
}
