//! Alerts about a network that is new to the organization, rather than about each person who came from it.
//!
//! One batch makes one finding of each of them, which names the people of the batch. What an alert is
//! about is decided elsewhere.

use std::collections::BTreeSet;

use casbah_model::Finding;
use casbah_plugin::crowd::Crowd;
use casbah_plugin::time;
use casbah_when::duration::HOUR;

/// The detail that says what is new to the organization.
pub(crate) const NEW: &str = "new-for-all";
/// How many people are named in the sentence,
const TOLD: usize = 5;
/// and in the details.
const NAMED: usize = 50;

/// Policy, start of the window, and what it is about.
pub(crate) type Alert = (usize, i64, u64);

/// The findings of an alert within a batch, joined.
#[derive(Debug, Default)]
pub(crate) struct Together {
    people: BTreeSet<String>,
    /// With the words of the last of them.
    finding: Option<Finding>,
    /// The hour in which anybody came from there for the first time, and how many people have.
    used: Option<(i64, usize)>,
}

impl Together {
    /// Joins what was found about somebody.
    pub(crate) fn add(&mut self, who: String, finding: Finding) {
        self.people.insert(who);
        let Some(known) = &mut self.finding else {
            self.finding = Some(finding);
            return;
        };
        if (finding.last, &finding.summary) >= (known.last, &known.summary) {
            known.summary = finding.summary;
            known.details = finding.details;
        }
        known.first = known.first.min(finding.first);
        known.last = known.last.max(finding.last);
        known.evidence.extend(finding.evidence);
        known.evidence.sort_unstable();
    }

    /// Notes who uses what is new.
    pub(crate) fn used(&mut self, crowd: &Crowd) {
        self.used = crowd.first().map(|first| (first, crowd.before(i64::MAX)));
    }

    /// The finding of all of them.
    pub(crate) fn finding(self) -> Option<Finding> {
        let named = |most: usize| {
            let named: Vec<&str> = self.people.iter().take(most).map(String::as_str).collect();
            match self.people.len().saturating_sub(most) {
                0 => named.join(", "),
                more => format!("{} and {more} more", named.join(", ")),
            }
        };
        let mut finding = self.finding?;
        let new = finding.details.iter().find(|(name, _)| name == NEW);
        let mut words = format!(
            "; {} is new for the whole organization",
            new.map_or("the network", |(_, network)| network)
        );
        if let Some((hour, users)) = self.used {
            let users = users.max(self.people.len());
            let least = if users >= Crowd::KEPT { "at least " } else { "" };
            let since = time::format(hour.saturating_mul(HOUR));
            let date = since.get(..10).unwrap_or(&since);
            let people = if users == 1 { "person uses" } else { "people use" };
            words.push_str(&format!(": {least}{users} {people} it since {date}"));
            finding.details.push(("used-by".to_owned(), format!("{least}{users}")));
            finding.details.push(("new-since".to_owned(), date.to_owned()));
        }
        if self.people.len() > 1 {
            words.push_str(&format!("; in two places were {}", named(TOLD)));
        }
        finding.summary.push_str(&words);
        finding.details.push(("people".to_owned(), named(NAMED)));
        Some(finding)
    }
}
