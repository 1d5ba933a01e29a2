//! Puts a finding into words.
//!
//! What it says of the activities is drawn from the rows of the batch at hand; the alert's identity
//! and evidence do not depend on it.

use casbah_model::{Batch, time};
use casbah_when::duration::{about, spoken};
use casbah_when::words::{cut, particulars, seen, sentence};

use crate::Found;
use crate::settings::Rule;
use crate::standing::{Gone, Standing};

/// Rows of a finding that are in the batch at hand.
fn rows(found: &[Found]) -> Vec<u32> {
    found.iter().filter_map(|one| one.row).collect()
}

/// `the account was deleted`, and so on.
fn event(state: Standing) -> &'static str {
    match state {
        Standing::Left => "the person had left",
        Standing::Leaving => "the person was known to leave",
        Standing::Disabled => "the account was disabled",
        _ => "the account was deleted",
    }
}

/// Who says so; the host does where the activity only carries its word.
fn source(gone: &Gone) -> &str {
    if gone.source.is_empty() { "the directory" } else { &gone.source }
}

/// The sentence: who, what, how long after which event, and who says so.
pub(crate) fn summary(person: &str, batch: &Batch, found: &[Found]) -> String {
    let Some(last) = found.last() else { return String::new() };
    let what = match (found, last.row) {
        ([_], Some(row)) => sentence(batch, row as usize),
        ([_], None) => format!("{} was active", cut(person)),
        _ => format!("{} was active {} times", cut(person), found.len()),
    };
    let up_to = if found.len() > 1 { "up to " } else { "" };
    let after = about(last.time.saturating_sub(last.gone.since));
    let since = time::format(last.gone.since);
    let late = if found.iter().any(|one| one.late) { "; the news came later" } else { "" };
    format!(
        "{what} {up_to}{after} after {} ({since}, says {}){late}",
        event(last.gone.state),
        source(&last.gone)
    )
}

/// Numbers and texts behind the sentence.
pub(crate) fn details(rule: &Rule, batch: &Batch, found: &[Found]) -> Vec<(String, String)> {
    let Some(last) = found.last() else { return Vec::new() };
    let rows = rows(found);
    let mut details = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            details.push((name.to_owned(), value));
        }
    };
    add("count", found.len().to_string());
    add("cause", last.gone.state.name().to_owned());
    add("since", time::format(last.gone.since));
    add("source", source(&last.gone).to_owned());
    add("after", about(last.time.saturating_sub(last.gone.since)));
    add("grace", spoken(rule.grace));
    let late = found.iter().filter(|one| one.late).count();
    if late > 0 {
        add("before-the-news", late.to_string());
    }
    add("apps", casbah_when::words::listed(&seen(batch, "app", &rows)));
    details.extend(particulars(batch, &rows));
    details
}
