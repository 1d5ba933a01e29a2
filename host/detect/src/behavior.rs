//! Behaviors as activities of the log, so that other policies can build on them.
//!
//! A behavior enters the log once, when it is first noticed, in the commit that keeps it. What is
//! above the line at once enters it as well: in smaller batches it would have been a behavior first,
//! and the log must not depend on that. What rests on behaviors only is not entered again, so that no
//! policy can feed on itself.
//!
//! It is not where behaviors are kept or listed: see [`crate::alerts`].

use std::sync::Arc;

use casbah_model::{Alert, Batch, BatchBuilder, TenantName};
use casbah_store::{NewBlock, Records, Store, StoreError};

#[cfg(test)]
mod tests;

/// The kind of these activities.
const KIND: &str = "behavior";

/// Whether an alert is of a policy with a line: of what has none, nothing is ever below it.
pub(crate) fn has_line(alert: &Alert) -> bool {
    alert.details.iter().any(|(name, _)| name == "line")
}

/// The block of the log that holds these behaviors; `None` when none of them is to be entered.
pub(crate) fn block(
    store: &dyn Store,
    tenant: &TenantName,
    noticed: &[&Alert],
) -> Result<Option<NewBlock>, StoreError> {
    let mut builder = BatchBuilder::new();
    let mut times = Vec::new();
    for alert in noticed {
        let Some((app, received)) = origin(store, tenant, alert)? else { continue };
        times.push(alert.first);
        enter(&mut builder, alert, &app, received);
    }
    let (Some(&min_time), Some(&max_time)) = (times.iter().min(), times.iter().max()) else {
        return Ok(None);
    };
    let batch = Arc::new(builder.finish());
    Ok(Some(NewBlock { batch, raw: Records::new(), marks: Vec::new(), min_time, max_time }))
}

/// The app of what it rests on, and when the last of that was received. `None` when it rests on
/// nothing but behaviors.
fn origin(
    store: &dyn Store,
    tenant: &TenantName,
    alert: &Alert,
) -> Result<Option<(String, i64)>, StoreError> {
    for evidence in alert.evidence.iter().rev() {
        let Some(block) = store.read(tenant, evidence.sequence)? else { continue };
        let row = evidence.sequence.saturating_sub(block.info.first_sequence) as usize;
        let batch: &Batch = &block.batch;
        if batch.text("kind", row) != KIND {
            let received = batch.integer("received", row).unwrap_or(alert.last);
            return Ok(Some((batch.text("app", row).to_owned(), received)));
        }
    }
    Ok(None)
}

fn enter(builder: &mut BatchBuilder, alert: &Alert, app: &str, received: i64) {
    builder.begin_row();
    builder.text("id", &alert.id);
    builder.integer("time", alert.first);
    builder.integer("received", received);
    builder.text("app", app);
    builder.text("source", "casbah");
    builder.text("kind", KIND);
    builder.text("action", &alert.policy);
    builder.text("object", &alert.id);
    let about = |column: &str| {
        alert.group.iter().find(|(name, _)| name == column).map_or("", |(_, value)| value.as_str())
    };
    let (actor, person) = (about("actor"), about("person"));
    builder.text("actor", if actor.is_empty() { person } else { actor });
    builder.text("person", if person.is_empty() { actor } else { person });
    for (name, value) in &alert.group {
        if !matches!(name.as_str(), "actor" | "person" | "app") {
            field(builder, name, value);
        }
    }
    for (key, value) in [("severity", alert.severity.name()), ("summary", &alert.summary)] {
        if !value.is_empty() {
            field(builder, key, value);
        }
    }
}

fn field(builder: &mut BatchBuilder, key: &str, value: &str) {
    builder.begin_nested("fields");
    builder.nested_text("fields", "key", key);
    builder.nested_text("fields", "value", value);
}
