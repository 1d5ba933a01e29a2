//! Puts a finding into words.
//!
//! What it says is drawn from the rows of the batch at hand; the alert's identity and evidence do
//! not depend on it.

use casbah_model::Batch;

use crate::duration::spoken;
use crate::fields::Field;
use crate::plan::{Plan, Repeat};

/// How many values of a column are named.
const NAMED: usize = 5;
/// How long a value may be, characters.
const LONGEST: usize = 100;
/// How many rows are looked at.
const LOOKED_AT: usize = 256;

/// What kinds of activity are called when they have been done.
const VERBS: [(&str, &str); 35] = [
    ("login", "signed in"),
    ("logout", "signed out"),
    ("view", "viewed"),
    ("download", "downloaded"),
    ("export", "exported"),
    ("print", "printed"),
    ("upload", "uploaded"),
    ("create", "created"),
    ("edit", "edited"),
    ("rename", "renamed"),
    ("move", "moved"),
    ("copy", "copied"),
    ("delete", "deleted"),
    ("purge", "purged"),
    ("restore", "restored"),
    ("share", "shared"),
    ("unshare", "unshared"),
    ("publish", "published"),
    ("unpublish", "unpublished"),
    ("send", "sent"),
    ("request", "requested"),
    ("permission", "changed (permission)"),
    ("ownership", "handed over"),
    ("user-add", "added"),
    ("user-remove", "removed"),
    ("user-change", "changed"),
    ("group-change", "changed"),
    ("password", "changed (password)"),
    ("token", "changed (token)"),
    ("report", "reported on"),
    ("policy", "changed (policy)"),
    ("admin", "administered"),
    ("account-state", "changed (account)"),
    ("behavior", "noticed"),
    ("other", "touched"),
];

/// Distinct texts of a column in the rows, first seen first.
fn seen<'a>(batch: &'a Batch, column: &str, rows: &[u32]) -> Vec<&'a str> {
    let Some(ids) = batch.text_ids(column) else { return Vec::new() };
    let mut seen = Vec::new();
    for id in rows.iter().take(LOOKED_AT).filter_map(|&row| ids.get(row as usize)) {
        if *id != 0 && !seen.contains(id) {
            seen.push(*id);
        }
    }
    seen.into_iter().map(|id| batch.texts.get(id)).collect()
}

/// A value, cut short.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// The first few values, and how many more there are.
fn listed(values: &[&str]) -> String {
    let mut text = values.iter().take(NAMED).map(|value| cut(value)).collect::<Vec<_>>().join(", ");
    if values.len() > NAMED {
        text.push_str(&format!(" and {} more", values.len() - NAMED));
    }
    text
}

/// `exported or downloaded`, from the kinds of the rows.
fn verbs(batch: &Batch, rows: &[u32]) -> String {
    let mut verbs: Vec<String> = Vec::new();
    for kind in seen(batch, "kind", rows) {
        let verb = match VERBS.iter().find(|(name, _)| *name == kind) {
            Some((_, verb)) => (*verb).to_owned(),
            None => format!("touched ({})", cut(kind)),
        };
        if !verbs.contains(&verb) {
            verbs.push(verb);
        }
    }
    let last = verbs.pop();
    match (verbs.as_slice(), last) {
        (_, None) => "touched".to_owned(),
        ([], Some(last)) => last,
        (first @ ([_] | [_, _]), Some(last)) => format!("{} or {last}", first.join(", ")),
        ([first, second, ..], Some(_)) => format!("{first}, {second} or more"),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

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
    let distinct = repeat.distinct.and_then(|source| plan.sources.get(source)).map(Field::name);
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
    let verbs = verbs(batch, rows);
    let [row] = rows else { return format!("{} {} times", capital(&verbs), rows.len()) };
    let text = |column: &str| cut(batch.text(column, *row as usize));
    let who = match text("actor") {
        actor if actor.is_empty() => "Somebody".to_owned(),
        actor => actor,
    };
    let what = match text("object.name") {
        name if name.is_empty() => text("object"),
        name => name,
    };
    let mut sentence = format!("{who} {verbs}");
    for part in [text("object.kind"), what] {
        if !part.is_empty() {
            sentence.push(' ');
            sentence.push_str(&part);
        }
    }
    let recipient = text("recipient");
    if !recipient.is_empty() {
        sentence.push_str(" (");
        sentence.push_str(&recipient);
        sentence.push(')');
    }
    sentence
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
            if let Some(field) = repeat.distinct.and_then(|source| plan.sources.get(source)) {
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
    add("kinds", listed(&seen(batch, "kind", rows)));
    let mut objects = seen(batch, "object.name", rows);
    if objects.is_empty() {
        objects = seen(batch, "object", rows);
    }
    add("objects", listed(&objects));
    for (name, column) in [
        ("recipients", "recipient"),
        ("ips", "ip"),
        ("countries", "country"),
        ("clients", "client"),
    ] {
        add(name, listed(&seen(batch, column, rows)));
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_model::BatchBuilder;
    use casbah_model::vocabulary::KINDS;

    /// A kind that is added to the vocabulary must be given a verb.
    #[test]
    fn every_published_kind_has_a_verb() {
        let published: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(VERBS.map(|(kind, _)| kind).to_vec(), published);
    }

    #[test]
    fn lists_are_bounded() {
        let mut builder = BatchBuilder::new();
        for number in 0..300 {
            builder.begin_row();
            builder.text("kind", &format!("kind-{number}"));
            builder.text("object.name", &format!("{number}{}", "x".repeat(200)));
        }
        let batch = builder.finish();
        let rows: Vec<u32> = (0..300).collect();
        let details = details(&Plan::default(), &batch, None, &rows);
        let length: usize = details.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(length < 1000, "{details:?}");
        assert_eq!(verbs(&batch, &rows), "touched (kind-0), touched (kind-1) or more");
    }
}
