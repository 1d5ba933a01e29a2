//! From a page to the log: drop what is there already, join with accounts and directory, commit.

use std::hash::Hasher as _;
use std::sync::{Arc, PoisonError};

use casbah_model::adapter::Next;
use casbah_model::table::{ABSENT_INTEGER, Batch, Values};
use casbah_store::{Commit, NewBlock, Records};
use hashbrown::HashSet;
use siphasher::sip::SipHasher13;

use super::request::Arrived;
use super::{Shared, note_loss};
use crate::connection::{Position, StreamStatus, write_position};
use crate::error::{ConnectError, ConnectErrorKind};

/// What came of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) activities: u64,
    pub(super) duplicates: u64,
    pub(super) late: u64,
}

/// Stores a page with the position it leads to. Blocks for the disk.
pub(super) fn take(
    shared: &Shared,
    stream: &str,
    arrived: Arrived,
    before: &Position,
    after: &Position,
) -> Result<Taken, ConnectError> {
    let Arrived { page, body, received } = rewritten(arrived);
    let books = &shared.books;
    let connection = books.name();
    let marks = marks(&page.batch, &page.raw, &body, connection.as_str(), books.store().mark_key());
    let seen = books.store().seen(books.tenant(), &marks);
    let fresh = fresh(&marks, &seen);
    let rows = page.batch.len();
    let mut taken =
        Taken { activities: fresh.len() as u64, duplicates: (rows - fresh.len()) as u64, late: 0 };
    let mut commit = Commit::new();
    commit.writes.push(write_position(connection, stream, after)?);
    if !fresh.is_empty() {
        let raw = records(&fresh, &page.raw, &body)?;
        drop(body);
        let marks = fresh.iter().filter_map(|&row| marks.get(row)).copied().collect();
        let mut batch = if fresh.len() == rows { page.batch } else { page.batch.select(&fresh) };
        let (min_time, max_time) = span(&batch, received);
        taken.late = late(&times(&batch), before.newest, shared.fetch.lateness);
        let accounts = shared.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let app = &shared.kept.connection.app;
        accounts.join(&mut batch, app, connection, received);
        drop(accounts);
        shared.directory.join(&mut batch, app, connection);
        shared.fetch.enricher.enrich(&mut batch);
        commit = commit.append(NewBlock { batch: Arc::new(batch), raw, marks, min_time, max_time });
    }
    let caught_up = page.next == Next::CaughtUp;
    // More was promised, and this led nowhere: no sign that what is wrong is over.
    let stands = !caught_up && fresh.is_empty() && before.cursor == after.cursor;
    books.commit(commit, |status| {
        status.counters.activities += taken.activities;
        status.counters.duplicates += taken.duplicates;
        status.counters.late += taken.late;
        status.last_success = Some(received);
        status.last_activity = status.last_activity.max(after.newest);
        if caught_up {
            status.lag = after.newest.map(|newest| received.saturating_sub(newest).max(0));
        }
        if !stands && status.streams.get(stream).is_some_and(|known| was_silent(known, received)) {
            note_loss(status, connection, stream, before, received);
        }
        let stream = status.streams.entry(stream.to_owned()).or_default();
        stream.last_success = Some(received);
        stream.newest = after.newest;
        stream.caught_up = caught_up;
        if caught_up {
            stream.complete = Some(received);
        }
        if !stands {
            stream.trouble = None;
        }
    })?;
    Ok(taken)
}

/// A stream that got a page within this time brings what comes in time, ms.
const IN_TIME: i64 = 86_400_000;

/// Whether a stream comes back from a setback, or from a machine that slept: only then something may
/// be lost since it was last looked at. A backfill that works its way through old pages loses nothing.
fn was_silent(stream: &StreamStatus, now: i64) -> bool {
    let last = stream.last_success;
    stream.trouble.is_some() || last.is_some_and(|last| now.saturating_sub(last) > IN_TIME)
}

/// The column in which an adapter hands over raw records that it had to write anew, because the
/// settings of the connection want something hashed or dropped. It is never stored as a column.
const REWRITTEN: &str = "raw";

/// Puts what the adapter wrote anew in the place of the answer, so that nothing of the answer itself
/// is kept: neither as raw records nor in marks.
pub(super) fn rewritten(mut arrived: Arrived) -> Arrived {
    let batch = &mut arrived.page.batch;
    let Some(at) = batch.columns.iter().position(|column| column.name == REWRITTEN) else {
        return arrived;
    };
    let column = batch.columns.swap_remove(at);
    let all: Vec<usize> = (0..batch.len()).collect();
    // Without the column its texts are of no use: they must not be stored twice.
    let kept = batch.select(&all);
    let (bytes, ends) = std::mem::replace(batch, kept).texts.into_parts();
    let end = |id: u32| ends.get(id as usize).copied().unwrap_or(0);
    let ids = match column.values {
        Values::Text(ids) => ids,
        _ => vec![0; all.len()],
    };
    arrived.page.raw = ids.iter().flat_map(|&id| [end(id.saturating_sub(1)), end(id)]).collect();
    arrived.body = bytes.into_bytes();
    arrived
}

/// Whether a page holds an activity that is not in the log.
pub(super) fn brings_news(shared: &Shared, arrived: &Arrived) -> bool {
    let Arrived { page, body, .. } = arrived;
    let books = &shared.books;
    let store = books.store();
    let marks = marks(&page.batch, &page.raw, body, books.name().as_str(), store.mark_key());
    !fresh(&marks, &store.seen(books.tenant(), &marks)).is_empty()
}

/// What identifies each activity within a tenant: a keyed hash of connection and id, or of the whole
/// record where the adapter found no id.
fn marks(batch: &Batch, raw: &[u32], body: &[u8], connection: &str, key: [u8; 16]) -> Vec<u64> {
    let ids = batch.text_ids("id").unwrap_or_default();
    let mut base = SipHasher13::new_with_key(&key);
    base.write(connection.as_bytes());
    base.write_u8(0);
    (0..batch.len())
        .map(|row| {
            let mut hasher = base;
            match batch.texts.get(ids.get(row).copied().unwrap_or(0)) {
                "" => {
                    hasher.write_u8(1);
                    hasher.write(record(row, raw, body));
                }
                id => {
                    hasher.write_u8(0);
                    hasher.write(id.as_bytes());
                }
            }
            hasher.finish()
        })
        .collect()
}

/// The rows that are neither in the log nor earlier on the same page.
fn fresh(marks: &[u64], seen: &[bool]) -> Vec<usize> {
    let mut here = HashSet::with_capacity(marks.len());
    marks
        .iter()
        .enumerate()
        .filter(|(row, _)| !seen.get(*row).copied().unwrap_or(false))
        .filter(|(_, mark)| here.insert(**mark))
        .map(|(row, _)| row)
        .collect()
}

/// The raw record of a row.
pub(super) fn record<'a>(row: usize, raw: &[u32], body: &'a [u8]) -> &'a [u8] {
    match raw.get(row * 2..row * 2 + 2) {
        Some(&[start, end]) => body.get(start as usize..end as usize).unwrap_or_default(),
        _ => &[],
    }
}

fn records(rows: &[usize], raw: &[u32], body: &[u8]) -> Result<Records, ConnectError> {
    let mut records = Records::new();
    for &row in rows {
        if !records.push(record(row, raw, body)) {
            return Err(ConnectError::new(
                ConnectErrorKind::TooLarge,
                "the raw records of a page are larger than 4 GiB",
            ));
        }
    }
    Ok(records)
}

/// The times of the activities that have one.
fn times(batch: &Batch) -> Vec<i64> {
    let times = batch.integers("time").unwrap_or_default();
    times.iter().copied().filter(|&time| time != ABSENT_INTEGER).collect()
}

/// From when to when the activities of a block are, for retention. One of the future counts as now,
/// and so does one without a time: a wrong time must not keep the others for ever.
fn span(batch: &Batch, received: i64) -> (i64, i64) {
    let times = batch.integers("time").unwrap_or_default();
    let known = |row: usize| times.get(row).copied().filter(|&time| time != ABSENT_INTEGER);
    (0..batch.len())
        .map(|row| known(row).map_or(received, |time| time.min(received)))
        .map(|time| (time, time))
        .reduce(|(min, max), (time, _)| (min.min(time), max.max(time)))
        .unwrap_or((received, received))
}

fn late(times: &[i64], newest: Option<i64>, lateness: std::time::Duration) -> u64 {
    let Some(newest) = newest else { return 0 };
    let limit = newest.saturating_sub(i64::try_from(lateness.as_millis()).unwrap_or(i64::MAX));
    times.iter().filter(|&&time| time < limit).count() as u64
}

/// Time of the newest activity of a page. A time in the future counts as now: a wrong one must not
/// make a recovery start beyond what is missing.
pub(super) fn newest(batch: &Batch, now: i64) -> Option<i64> {
    times(batch).into_iter().max().map(|newest| newest.min(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_model::BatchBuilder;
    use casbah_model::adapter::Page;
    use proptest::prelude::*;
    use std::time::Duration;

    fn batch(ids: &[&str]) -> Batch {
        let mut builder = BatchBuilder::new();
        for id in ids {
            builder.begin_row();
            builder.text("id", id);
        }
        builder.finish()
    }

    #[test]
    fn marks_tell_connections_keys_and_records_apart() {
        let key = [7; 16];
        let of = |batch: &Batch, connection: &str, key| marks(batch, &[], &[], connection, key);
        let two = batch(&["a", "b"]);
        assert_eq!(of(&two, "x", key), of(&two, "x", key), "they are stable");
        assert_ne!(of(&two, "x", key), of(&two, "y", key), "each connection has its own");
        assert_ne!(of(&two, "x", key), of(&two, "x", [8; 16]), "they are keyed");
        // A connection's name can't be continued by an id to look like another's.
        assert_ne!(of(&batch(&["bc"]), "a", key), of(&batch(&["c"]), "ab", key));
        let nameless = batch(&["", ""]);
        let body = b"{1}{2}";
        let by_record = marks(&nameless, &[0, 3, 3, 6], body, "x", key);
        assert_ne!(by_record.first(), by_record.last(), "without an id the record counts");
    }

    proptest! {
        /// Of any page, exactly the first row of every id stays that the log does not have.
        #[test]
        fn fresh_rows_are_the_first_of_their_kind(
            ids in proptest::collection::vec(0u64..20, 0..60),
            stored in proptest::collection::hash_set(0u64..20, 0..10),
        ) {
            let seen: Vec<bool> = ids.iter().map(|id| stored.contains(id)).collect();
            let rows = fresh(&ids, &seen);
            let mut expected = Vec::new();
            for (row, id) in ids.iter().enumerate() {
                if !stored.contains(id) && !ids[..row].contains(id) {
                    expected.push(row);
                }
            }
            prop_assert_eq!(rows, expected);
        }
    }

    /// One wrong time must neither keep a block for ever nor take it too early.
    #[test]
    fn a_block_spans_the_times_that_can_be() {
        let of = |times: &[Option<i64>]| {
            let mut builder = BatchBuilder::new();
            for time in times {
                builder.begin_row();
                builder.text("id", "e");
                if let Some(time) = time {
                    builder.integer("time", *time);
                }
            }
            span(&builder.finish(), 1000)
        };
        assert_eq!(of(&[Some(10), Some(5)]), (5, 10));
        assert_eq!(of(&[Some(10), Some(i64::MAX)]), (10, 1000));
        assert_eq!(of(&[Some(i64::MAX)]), (1000, 1000));
        assert_eq!(of(&[Some(10), None]), (10, 1000));
        assert_eq!(of(&[None]), (1000, 1000));
    }

    /// What an adapter wrote anew takes the place of the answer altogether.
    #[test]
    fn raw_records_that_were_written_anew_are_kept_instead() {
        let mut builder = BatchBuilder::new();
        for (id, raw) in [("a", "{\"n\":1}"), ("b", ""), ("c", "{\"n\":1}")] {
            builder.begin_row();
            builder.text("id", id);
            builder.text("raw", raw);
        }
        let page = Page {
            next: Next::More,
            cursor: String::new(),
            batch: builder.finish(),
            raw: vec![0, 6, 0, 6, 0, 6],
            facts: Vec::new(),
        };
        let said = Arrived { page, body: b"secret".to_vec(), received: 0 };
        let Arrived { page, body, .. } = rewritten(said);
        page.batch.check().unwrap();
        let raw: Vec<_> = (0..3).map(|row| record(row, &page.raw, &body)).collect();
        assert_eq!(raw, [&b"{\"n\":1}"[..], b"", b"{\"n\":1}"]);
        assert!(page.batch.column("raw").is_none());
        assert!(!page.batch.texts.bytes().contains("{"), "they are not stored twice");
        assert_eq!(page.batch.text("id", 2), "c");
        assert!(!body.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn late_is_counted_from_the_newest_before() {
        let hour = Duration::from_secs(3600);
        let newest = Some(10_000_000);
        assert_eq!(late(&[10_000_000, 6_400_000, 6_399_999, 0], newest, hour), 2);
        assert_eq!(late(&[0], None, hour), 0, "nothing is late on the first page");
    }
}
