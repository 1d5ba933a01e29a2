//! Puts a finding into words.
//!
//! What it says is drawn from the rows of the batch at hand; the alert's identity and evidence do
//! not depend on it.

use casbah_model::Batch;

use casbah_when::duration::spoken;
use casbah_when::words::{capital, cut, particulars, sentence, verbs};
use casbah_when::{Field, Plan};

use crate::settings::Repeat;

/// The sentence about a window that fired.
pub(crate) fn repeated(
    plan: &Plan,
    batch: &Batch,
    repeat: &Repeat,
    peak: usize,
    rows: &[u32],
) -> String {
    let verbs = verbs(batch, rows);
    let rest = format!("within {} (threshold {})", spoken(repeat.within), repeat.count);
    let distinct = repeat.distinct.and_then(|source| plan.field(source)).map(Field::name);
    let noun = match distinct {
        None => return format!("{} {peak} times {rest}", capital(&verbs)),
        Some("object" | "object.name") => {
            return format!("{peak} different objects {verbs} {rest}");
        }
        Some("recipient" | "recipient.id") => "recipients".to_owned(),
        Some("recipient.domain") => "domains of recipients".to_owned(),
        Some("ip") => "addresses".to_owned(),
        Some("country") => "countries".to_owned(),
        Some("actor" | "actor.id" | "actor.email") => "actors".to_owned(),
        Some(other) => format!("values of {}", cut(other)),
    };
    format!("{} with {peak} different {noun} {rest}", capital(&verbs))
}

/// The sentence about activities that are findings by themselves.
pub(crate) fn single(batch: &Batch, rows: &[u32]) -> String {
    match rows {
        [row] => sentence(batch, *row as usize),
        _ => format!("{} {} times", capital(&verbs(batch, rows)), rows.len()),
    }
}

/// Numbers and texts behind a sentence; `counted` is given for windows.
pub(crate) fn details(
    plan: &Plan,
    batch: &Batch,
    counted: Option<(&Repeat, usize, bool)>,
    rows: &[u32],
) -> Vec<(String, String)> {
    let mut details = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            details.push((name.to_owned(), value));
        }
    };
    match counted {
        None => add("count", rows.len().to_string()),
        Some((repeat, peak, overflowed)) => {
            add("count", peak.to_string());
            add("threshold", repeat.count.to_string());
            add("within", spoken(repeat.within));
            if let Some(field) = repeat.distinct.and_then(|source| plan.field(source)) {
                add("distinct", cut(field.name()));
            }
            if overflowed {
                add(
                    "dropped",
                    "more activities than are remembered; the earliest were dropped".to_owned(),
                );
            }
        }
    }
    details.extend(particulars(batch, rows));
    details
}
