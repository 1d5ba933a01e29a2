//! Puts a finding into words.
//!
//! What it says is drawn from the rows of the batch at hand; the alert's identity and evidence do
//! not depend on it.

use casbah_model::{Batch, Severity, time};
use casbah_when::duration::DAY;
use casbah_when::words::{capital, listed, particulars, seen, sentence, verbs};

use crate::Found;
use crate::settings::{Marks, Policy};

/// What there is to tell about activities of one finding.
pub(crate) struct Report<'a> {
    policy: &'a Policy,
    batch: &'a Batch,
    found: &'a [Found],
    rows: Vec<u32>,
    /// Tags and categories of their addresses that the policy names.
    marks: Vec<&'a str>,
    severity: Option<Severity>,
}

/// Elements of the lists in a column, each once.
fn elements<'a>(batch: &'a Batch, column: &str, rows: &[u32]) -> Vec<&'a str> {
    let mut elements = Vec::new();
    for text in seen(batch, column, rows).into_iter().flat_map(|text| text.split(',')) {
        let text = text.trim();
        if !text.is_empty() && !elements.contains(&text) {
            elements.push(text);
        }
    }
    elements
}

impl<'a> Report<'a> {
    pub(crate) fn new(policy: &'a Policy, batch: &'a Batch, found: &'a [Found]) -> Self {
        let rows: Vec<u32> = found.iter().map(|one| one.row).collect();
        let mut marks = Vec::new();
        let mut severity = None;
        let mut take = |texts: Vec<&'a str>, known: &Marks| {
            for text in texts {
                let Some((_, own)) = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(text))
                else {
                    continue;
                };
                marks.push(text);
                severity = severity.max(*own);
            }
        };
        take(elements(batch, "ip.tags", &rows), &policy.tags);
        take(seen(batch, "ip.category", &rows), &policy.categories);
        Self { policy, batch, found, rows, marks, severity }
    }

    /// The worst of the severities of its tags and categories.
    pub(crate) fn severity(&self) -> Option<Severity> {
        self.severity
    }

    /// One sentence: who did what, from where, and how unusual that is.
    pub(crate) fn summary(&self) -> String {
        let ips = seen(self.batch, "ip", &self.rows);
        let what = match self.rows.as_slice() {
            [row] => sentence(self.batch, *row as usize),
            rows => format!("{} {} times", capital(&verbs(self.batch, rows)), rows.len()),
        };
        let from = match ips.as_slice() {
            [ip] => (*ip).to_owned(),
            ips => format!("{} addresses", ips.len()),
        };
        let lists = elements(self.batch, "ip.lists", &self.rows);
        let by = if lists.is_empty() { String::new() } else { format!(" by {}", listed(&lists)) };
        format!("{what} from {from}, marked as {}{by}; {}", listed(&self.marks), self.usual())
    }

    /// How widely the most common of the addresses was used before.
    fn usual(&self) -> String {
        let most = self.found.iter().map(|one| (one.used.people, one.used.days)).max();
        let it = if seen(self.batch, "ip", &self.rows).len() == 1 { "it" } else { "any of them" };
        match most {
            None | Some((0, _)) => format!("nobody was known to use {it} before"),
            Some((people, days)) => {
                let s = |number: usize| if number == 1 { "" } else { "s" };
                let more = if people >= self.policy.common.users { " or more" } else { "" };
                let verb = if people == 1 && more.is_empty() { "was" } else { "were" };
                let who = if people == 1 { "person" } else { "people" };
                format!(
                    "{people}{more} {who} {verb} known to use {it} before, on {days} day{}",
                    s(days)
                )
            }
        }
    }

    /// Numbers and texts behind the sentence.
    pub(crate) fn details(&self) -> Vec<(String, String)> {
        let mut details = Vec::new();
        let mut add = |name: &str, value: String| {
            if !value.is_empty() {
                details.push((name.to_owned(), value));
            }
        };
        let most = |of: fn(&Found) -> usize| self.found.iter().map(of).max().unwrap_or(0);
        add("count", self.rows.len().to_string());
        add("marks", listed(&self.marks));
        add("tags", listed(&elements(self.batch, "ip.tags", &self.rows)));
        add("categories", listed(&seen(self.batch, "ip.category", &self.rows)));
        add("lists", listed(&elements(self.batch, "ip.lists", &self.rows)));
        add("networks", listed(&seen(self.batch, "network.owner", &self.rows)));
        add("people-before", most(|one| one.used.people).to_string());
        add("days-before", most(|one| one.used.days).to_string());
        add("common-people", self.policy.common.users.to_string());
        add("common-days", self.policy.common.days.to_string());
        if let Some(one) = self.found.last().filter(|_| self.policy.learn > 0) {
            let last = self.batch.integer("time", one.row as usize).unwrap_or(one.since);
            add("learned-since", time::format(one.since));
            add("learned-days", (last.saturating_sub(one.since) / DAY).max(0).to_string());
        }
        add("apps", listed(&seen(self.batch, "app", &self.rows)));
        details.extend(particulars(self.batch, &self.rows));
        details
    }
}
