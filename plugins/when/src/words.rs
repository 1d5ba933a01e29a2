//! Words for sentences and details of findings, drawn from the rows of the batch at hand.
//!
//! Identity and evidence of an alert must not depend on them: they can differ with the order of
//! arrival and the split into batches.

use casbah_model::Batch;

/// Columns that tell what an activity was about, in details: what [`particulars`] reads.
pub const READ: &[&str] = &[
    "kind",
    "result",
    "actor",
    "object",
    "object.kind",
    "object.name",
    "recipient",
    "ip",
    "country",
    "client",
];

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

/// Distinct texts of a column in the rows, first seen first; the first 256 rows are
/// looked at.
pub fn seen<'a>(batch: &'a Batch, column: &str, rows: &[u32]) -> Vec<&'a str> {
    let Some(ids) = batch.text_ids(column) else { return Vec::new() };
    let mut seen = Vec::new();
    for id in rows.iter().take(LOOKED_AT).filter_map(|&row| ids.get(row as usize)) {
        if *id != 0 && !seen.contains(id) {
            seen.push(*id);
        }
    }
    seen.into_iter().map(|id| batch.texts.get(id)).collect()
}

/// A value, cut to 100 characters.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// The first five values, and how many more there are.
pub fn listed(values: &[&str]) -> String {
    let mut text = values.iter().take(NAMED).map(|value| cut(value)).collect::<Vec<_>>().join(", ");
    if values.len() > NAMED {
        text.push_str(&format!(" and {} more", values.len() - NAMED));
    }
    text
}

/// `exported or downloaded`, from the kinds of the rows.
pub fn verbs(batch: &Batch, rows: &[u32]) -> String {
    let mut verbs: Vec<String> = Vec::new();
    for kind in seen(batch, "kind", rows) {
        let verb = match VERBS.iter().find(|(name, _)| *name == kind) {
            Some(("login", _)) => signed_in(batch, rows).to_owned(),
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

/// What became of the sign-ins among the rows: people who failed to sign in have not signed in.
fn signed_in(batch: &Batch, rows: &[u32]) -> &'static str {
    let (mut failed, mut other) = (false, false);
    for row in rows.iter().take(LOOKED_AT).map(|&row| row as usize) {
        if batch.text("kind", row) == "login" {
            let failure = batch.text("result", row) == "failure";
            failed |= failure;
            other |= !failure;
        }
    }
    match (failed, other) {
        (true, false) => "failed to sign in",
        (true, true) => "tried to sign in",
        _ => "signed in",
    }
}

/// The text with a capital letter first.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What the rows were about, for a finding's details: `kinds`, `objects`, `recipients`, `ips`,
/// `countries` and `clients`, each with its first values, those without any left out.
pub fn particulars(batch: &Batch, rows: &[u32]) -> Vec<(String, String)> {
    let mut objects = seen(batch, "object.name", rows);
    if objects.is_empty() {
        objects = seen(batch, "object", rows);
    }
    let mut details = Vec::new();
    let mut add = |name: &str, values: &[&str]| {
        if !values.is_empty() {
            details.push((name.to_owned(), listed(values)));
        }
    };
    add("kinds", &seen(batch, "kind", rows));
    add("objects", &objects);
    for (name, column) in [
        ("recipients", "recipient"),
        ("ips", "ip"),
        ("countries", "country"),
        ("clients", "client"),
    ] {
        add(name, &seen(batch, column, rows));
    }
    details
}

/// A sentence about one activity: `ana@example.com exported sheet Prices (joe@example.com)`.
pub fn sentence(batch: &Batch, row: usize) -> String {
    let verbs = verbs(batch, &[row as u32]);
    let text = |column: &str| cut(batch.text(column, row));
    let who = match text("actor") {
        actor if actor.is_empty() => "Somebody".to_owned(),
        actor => actor,
    };
    let what = match text("object.name") {
        name if name.is_empty() => text("object"),
        name => name,
    };
    let kind = text("object.kind");
    // `changed (policy) policy …` says the same word twice.
    let verbs = verbs.strip_suffix(&format!(" ({kind})")).unwrap_or(&verbs);
    let mut sentence = format!("{who} {verbs}");
    if verbs.ends_with(" in") && !(kind.is_empty() && what.is_empty()) {
        sentence.push_str(" to");
    }
    for part in [kind, what] {
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
    fn what_failed_has_not_been_done_and_no_word_is_said_twice() {
        let mut builder = BatchBuilder::new();
        for (kind, result, object) in [
            ("login", "failure", "account"),
            ("login", "success", "account"),
            ("policy", "success", "policy"),
            ("policy", "success", "domain"),
        ] {
            builder.begin_row();
            builder.text("actor", "ana");
            builder.text("kind", kind);
            builder.text("result", result);
            builder.text("object.kind", object);
        }
        let batch = builder.finish();
        let told: Vec<_> = (0..4).map(|row| sentence(&batch, row)).collect();
        assert_eq!(
            told,
            [
                "ana failed to sign in to account",
                "ana signed in to account",
                "ana changed policy",
                "ana changed (policy) domain",
            ]
        );
        assert_eq!(verbs(&batch, &[0]), "failed to sign in");
        assert_eq!(verbs(&batch, &[0, 1]), "tried to sign in");
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
        let details = particulars(&batch, &rows);
        let length: usize = details.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(length < 1000, "{details:?}");
        assert_eq!(verbs(&batch, &rows), "touched (kind-0), touched (kind-1) or more");
    }
}
