//! `casbah activity`.

use anyhow::{Result, bail};
use casbah_detect::activities::{self, ActivityQuery, Filter};
use serde_json::{Map, Value};

use crate::cli::ActivityCommand;
use crate::command::{Opened, when};
use crate::output::Output;

pub(crate) fn run(command: &ActivityCommand, opened: &Opened, output: &mut Output) -> Result<()> {
    match command {
        ActivityCommand::List { since, until, limit, before, filters } => {
            let query = ActivityQuery {
                from: since.as_deref().map(when::parse).transpose()?,
                to: until.as_deref().map(when::parse).transpose()?,
                filters: filters
                    .iter()
                    .map(|text| Filter::parse(text))
                    .collect::<Result<_, _>>()?,
                limit: *limit,
                before: *before,
            };
            let page = activities::list(opened.store.as_ref(), &opened.tenant, &query)?;
            table(&page.activities, output)?;
            if page.activities.is_empty() {
                output.say("no activities");
            }
            if let Some(next) = page.next {
                output.say(&format!("next: --before {next}"));
            }
        }
        ActivityCommand::Show { sequence } => {
            let query =
                ActivityQuery { before: Some(sequence + 1), limit: 1, ..ActivityQuery::default() };
            let page = activities::list(opened.store.as_ref(), &opened.tenant, &query)?;
            let found = page
                .activities
                .first()
                .filter(|found| found.get("sequence").and_then(Value::as_u64) == Some(*sequence));
            let Some(found) = found else {
                bail!(
                    "there is no activity `{sequence}`\nhint: `casbah activity list --format json` shows sequence numbers"
                );
            };
            let mut found = found.clone();
            if let Some(raw) = raw(opened, *sequence)? {
                found.insert("raw".to_owned(), raw);
            }
            output.line(&serde_json::to_string_pretty(&found)?)?;
        }
    }
    Ok(())
}

/// What the app sent, as JSON where it is JSON.
fn raw(opened: &Opened, sequence: u64) -> Result<Option<Value>> {
    let Some(block) = opened.store.read(&opened.tenant, sequence)? else { return Ok(None) };
    let records = opened.store.raw(&opened.tenant, &block.info)?;
    let Some(row) = sequence.checked_sub(block.info.first_sequence) else { return Ok(None) };
    Ok(records.get(row as usize).map(|bytes| {
        serde_json::from_slice(bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
    }))
}

/// Prints activities for people, or as they are.
///
/// # Errors
/// When the output can't be written.
pub(crate) fn table(activities: &[Map<String, Value>], output: &mut Output) -> Result<()> {
    output.list(
        &["SEQUENCE", "TIME", "ACTOR", "KIND", "OBJECT", "ACTION", "RECIPIENT", "IP"],
        activities,
        |activity| {
            let cell = |name: &str| match activity.get(name) {
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None => String::new(),
            };
            let object = [cell("object.kind"), cell("object.name"), cell("object")];
            let object: Vec<_> =
                object.into_iter().filter(|part| !part.is_empty()).take(2).collect();
            vec![
                cell("sequence"),
                cell("time"),
                cell("actor"),
                cell("kind"),
                object.join(" "),
                cell("action"),
                cell("recipient"),
                cell("ip"),
            ]
        },
    )
}
