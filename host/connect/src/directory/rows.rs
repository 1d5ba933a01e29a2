//! News of the directory as activities: kind `account-state`, for the log.
//!
//! They are what detections of people who are gone live on: an activity that came before the news is
//! judged when the news come. It is not what somebody did: the actor is empty.

use std::hash::Hasher as _;

use casbah_model::{BatchBuilder, time};
use casbah_store::{NewBlock, Records};
use siphasher::sip::SipHasher13;

use super::history::Spell;
use super::record::{Record, Source};

/// A spell of an account that the log is to be told of.
pub(super) struct Row {
    /// The app's id of the account.
    id: String,
    name: String,
    address: String,
    groups: String,
    leaves: Option<i64>,
    spell: Spell,
}

impl Row {
    pub(super) fn new(record: &Record, address: &str, spell: Spell) -> Self {
        Self {
            id: record.account.id.clone(),
            name: record.account.name.clone(),
            address: address.to_owned(),
            groups: list(record.account.groups.iter()),
            leaves: record.account.leaves,
            spell,
        }
    }

    /// The same state of the same account from the same time on is the same activity.
    fn activity_id(&self, source: &Source) -> String {
        let mut hasher = blake3::Hasher::new();
        let from = self.spell.from.map(|from| from.to_string()).unwrap_or_default();
        for part in [source.key(), &self.id, &self.address, self.spell.state.word(), &from] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize().to_hex();
        format!("state-{}", digest.get(..32).unwrap_or_default())
    }

    /// What tells the store that it has the activity already.
    pub(super) fn mark(&self, source: &Source, key: [u8; 16]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&key);
        hasher.write(source.key().as_bytes());
        hasher.write_u8(0);
        hasher.write_u8(2);
        hasher.write(self.activity_id(source).as_bytes());
        hasher.finish()
    }
}

/// Names in one text, separated by commas; a comma within a name becomes a blank.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.replace(',', " ")).collect();
    names.join(",")
}

/// The rows as a block of the log, with these marks.
pub(super) fn block(
    rows: &[&Row],
    marks: Vec<u64>,
    source: &Source,
    app: &str,
    now: i64,
) -> NewBlock {
    let mut builder = BatchBuilder::new();
    let (mut min_time, mut max_time) = (now, now);
    for row in rows {
        let from = row.spell.from.unwrap_or(now).min(now);
        min_time = min_time.min(from);
        max_time = max_time.max(from);
        builder.begin_row();
        builder.text("id", &row.activity_id(source));
        builder.integer("time", from);
        builder.integer("received", now);
        builder.text("app", app);
        builder.text("connection", source.name());
        builder.text("kind", "account-state");
        builder.text("action", row.spell.state.word());
        builder.text("actor.type", "system");
        builder.text("person", if row.address.is_empty() { &row.id } else { &row.address });
        builder.text("object.kind", "user");
        builder.text("object", &row.id);
        builder.text("object.name", &row.address);
        builder.text("actor.status", row.spell.state.word());
        if let Some(since) = row.spell.from {
            builder.integer("actor.since", since);
        }
        builder.text("actor.groups", &row.groups);
        let name = [("name", row.name.clone())].into_iter().filter(|(_, name)| !name.is_empty());
        let leaves = row.leaves.map(|leaves| ("leaves", time::format(leaves)));
        let seen = (!row.spell.said && row.spell.from.is_some())
            .then(|| ("since", "when it was seen".to_owned()));
        for (key, value) in name.chain(leaves).chain(seen) {
            builder.begin_nested("fields");
            builder.nested_text("fields", "key", key);
            builder.nested_text("fields", "value", &value);
        }
    }
    NewBlock {
        batch: std::sync::Arc::new(builder.finish()),
        raw: Records::new(),
        marks,
        min_time,
        max_time,
    }
}
