//! Keeps backfills in step, so that what happened at the same time comes into the log at about the
//! same time, whichever app it happened in.
//!
//! Detections look at a person across apps and take activities that are some hours late, not weeks.
//! If every stream were stored as fast as its app answers, the app that answers fastest would be at
//! today while another is still at last month, and everything of the slower one would be too late to
//! be noticed. So as long as several streams are behind, each stores its pages in parts of a few
//! hours, and waits when it is too far ahead of the slowest.
//!
//! It is no lock: a stream that has caught up once takes no part any more, one that does not move
//! is not waited for, and nobody waits for long. Alone, a stream is stored as it comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use casbah_model::adapter::{Next, Page};
use casbah_model::table::ABSENT_INTEGER;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::intake::record;
use super::request::Arrived;
use crate::connection::Position;
use crate::stop::Stop;

const HOUR: i64 = 3_600_000;
/// How much time a part of a page spans. With it, streams are at most twice as far apart: half of
/// the day that detections wait for late activities.
const STRIDE: i64 = 6 * HOUR;
/// A stream that has not moved for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// A stream waits for so long in all, and then goes its own way: news of today must not wait for
/// months of somebody else's past.
const LONGEST: Duration = Duration::from_secs(600);

/// The streams of a tenant that are behind.
#[derive(Debug, Default)]
pub(crate) struct InStep {
    streams: Mutex<Streams>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Streams {
    /// By number.
    fronts: HashMap<u64, Front>,
    next: u64,
}

/// How far a stream is.
#[derive(Clone, Copy, Debug)]
struct Front {
    /// The oldest time that it may still bring, ms since 1970; the beginning until that is known.
    at: i64,
    moved: Instant,
}

impl InStep {
    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream begins; `at` is the newest that it brought before.
    pub(crate) fn join(self: &Arc<Self>, at: Option<i64>) -> Member {
        let mut streams = self.lock();
        streams.next += 1;
        let number = streams.next;
        let front = Front { at: at.unwrap_or(i64::MIN), moved: Instant::now() };
        streams.fronts.insert(number, front);
        Member { of: Arc::clone(self), number, waited: Mutex::default() }
    }

    /// What keeps a stream that wants to store what begins at `time`: until when to wait at most, or
    /// `None` when nothing does.
    fn kept_until(&self, number: u64, time: i64) -> Option<Instant> {
        let now = Instant::now();
        let streams = self.lock();
        let others = streams.fronts.iter().filter(|(other, _)| **other != number);
        others
            .filter(|(_, front)| front.at.saturating_add(STRIDE) < time)
            .map(|(_, front)| front.moved + PATIENCE)
            .filter(|until| *until > now)
            .min()
    }
}

/// A stream among those that are behind.
#[derive(Debug)]
pub(crate) struct Member {
    of: Arc<InStep>,
    number: u64,
    waited: Mutex<Duration>,
}

impl Member {
    /// Whether nobody else is behind, or this stream is not.
    pub(crate) fn is_alone(&self) -> bool {
        let streams = self.of.lock();
        !streams.fronts.contains_key(&self.number) || streams.fronts.len() < 2
    }

    /// The stream is not stuck, though it brings nothing yet.
    pub(crate) fn touch(&self) {
        if let Some(front) = self.of.lock().fronts.get_mut(&self.number) {
            front.moved = Instant::now();
        }
    }

    /// The stream has caught up, or ends.
    pub(crate) fn done(&self) {
        self.of.lock().fronts.remove(&self.number);
        self.of.changed.send_replace(());
    }

    /// Waits until what begins at `time` may be stored; false when it is time to stop.
    pub(crate) async fn reach(&self, time: i64, halt: &mut Stop) -> bool {
        // Subscribed before looking, so that no change is missed in between.
        let mut changed = self.of.changed.subscribe();
        if let Some(front) = self.of.lock().fronts.get_mut(&self.number) {
            *front = Front { at: front.at.max(time), moved: Instant::now() };
        } else {
            return !halt.is_wanted();
        }
        self.of.changed.send_replace(());
        let began = Instant::now();
        let waited = *self.waited();
        let latest = began + LONGEST.saturating_sub(waited);
        while let Some(until) = self.of.kept_until(self.number, time) {
            if Instant::now() >= latest {
                tracing::warn!(
                    "backfills are not kept in step any more: one of them takes too long"
                );
                self.done();
                break;
            }
            tokio::select! {
                () = halt.wanted() => return false,
                () = sleep_until(until.min(latest)) => {}
                _ = changed.changed() => {}
            }
            // Who waits does move as soon as it may.
            self.touch();
        }
        *self.waited() = waited + began.elapsed();
        !halt.is_wanted()
    }

    fn waited(&self) -> MutexGuard<'_, Duration> {
        self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.done();
    }
}

/// A part of a page, with the time at which it begins and the position that it leads to.
pub(super) struct Part {
    pub(super) begins: i64,
    pub(super) arrived: Arrived,
    pub(super) before: Position,
    pub(super) after: Position,
}

/// Cuts a page into parts of a few hours, oldest first. Only the last one leads on: when it is not
/// stored, the whole page is fetched again, and what is in the log already is dropped.
pub(super) fn parts(arrived: Arrived, before: Position, after: Position) -> Vec<Part> {
    let received = arrived.received;
    let times = arrived.page.batch.integers("time").unwrap_or_default();
    let time = |row: usize| {
        times
            .get(row)
            .copied()
            .filter(|&time| time != ABSENT_INTEGER)
            .map(|time| time.min(received))
    };
    let rows = arrived.page.batch.len();
    let Some(first) = (0..rows).filter_map(time).min() else {
        let begins = after.newest.unwrap_or(i64::MIN);
        return vec![Part { begins, arrived, before, after }];
    };
    // What has no time goes with the oldest.
    let stretch = |row: usize| (time(row).unwrap_or(first) - first).div_euclid(STRIDE);
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by_key(|&row| stretch(row));
    let cut: Vec<&[usize]> = order.chunk_by(|&a, &b| stretch(a) == stretch(b)).collect();
    let begins = |part: &[usize]| part.iter().filter_map(|&row| time(row)).min().unwrap_or(first);
    if cut.len() < 2 {
        return vec![Part { begins: first, arrived, before, after }];
    }
    let mut parts = Vec::with_capacity(cut.len());
    let mut reached = before;
    for (place, part) in (1..).zip(&cut) {
        let newest = part.iter().filter_map(|&row| time(row)).max();
        let next = match place == cut.len() {
            true => after.clone(),
            // Without a cursor an adapter begins at the newest, and would pass over what is older but
            // only on a later page.
            false if reached.cursor.is_none() => reached.clone(),
            false => Position { newest: reached.newest.max(newest), ..reached.clone() },
        };
        parts.push(Part {
            begins: begins(part),
            arrived: select(&arrived, part, place == cut.len()),
            before: std::mem::replace(&mut reached, next.clone()),
            after: next,
        });
    }
    parts
}

/// The rows of a page as a page of their own.
fn select(arrived: &Arrived, rows: &[usize], last: bool) -> Arrived {
    let Page { next, cursor, batch, raw, .. } = &arrived.page;
    let mut rows = rows.to_vec();
    // In the order in which the app gave them.
    rows.sort_unstable();
    let (mut body, mut spans) = (Vec::new(), Vec::new());
    if !raw.is_empty() {
        for &row in &rows {
            let start = body.len() as u32;
            body.extend_from_slice(record(row, raw, &arrived.body));
            spans.extend([start, body.len() as u32]);
        }
    }
    let page = Page {
        next: if last { *next } else { Next::More },
        cursor: cursor.clone(),
        batch: batch.select(&rows),
        raw: spans,
        facts: Vec::new(),
    };
    Arrived { page, body, received: arrived.received }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::stop;
    use casbah_model::BatchBuilder;
    use proptest::prelude::*;
    use tokio::time::timeout;

    /// Whether a stream may store what begins at a time, without any waiting.
    async fn may(member: &Member, time: i64) -> bool {
        let (_handle, mut halt) = stop();
        timeout(Duration::from_millis(1), member.reach(time, &mut halt)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_faster_one_waits_for_the_slower_one() {
        let all = Arc::new(InStep::default());
        let fast = all.join(None);
        assert!(fast.is_alone());
        let slow = all.join(None);
        assert!(!fast.is_alone());
        assert!(!may(&fast, 0).await, "nobody knows where the slower one begins");
        assert!(may(&slow, 0).await);
        assert!(may(&fast, STRIDE).await);
        assert!(!may(&fast, STRIDE + 1).await);
        assert!(may(&slow, HOUR).await);
        assert!(may(&fast, STRIDE + HOUR).await);
        slow.done();
        assert!(may(&fast, 100 * STRIDE).await, "who has caught up holds nobody");
        assert!(may(&slow, 200 * STRIDE).await, "and waits for nobody");
        drop(fast);
        assert!(all.lock().fronts.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_when_the_other_moves() {
        let all = Arc::new(InStep::default());
        let (fast, slow) = (all.join(Some(0)), all.join(Some(0)));
        let (_handle, mut halt) = stop();
        let waiting = tokio::spawn(async move { fast.reach(3 * STRIDE, &mut halt).await });
        let began = Instant::now();
        let (_other, mut halt) = stop();
        for hour in 1..=12 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            assert!(!waiting.is_finished(), "at hour {hour}");
            assert!(slow.reach(hour * HOUR, &mut halt).await);
        }
        assert!(waiting.await.unwrap());
        assert_eq!(began.elapsed().as_secs(), 600);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_move_is_not_waited_for() {
        let all = Arc::new(InStep::default());
        let (fast, _dead) = (all.join(None), all.join(None));
        let began = Instant::now();
        let (handle, mut halt) = stop();
        assert!(fast.reach(HOUR, &mut halt).await);
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(fast.reach(9 * STRIDE, &mut halt).await);
        assert_eq!(began.elapsed(), PATIENCE, "it is waited for once");
        handle.stop();
        assert!(!fast.reach(9 * STRIDE, &mut halt).await);
    }

    /// Fetching can end between two parts of the very first page, and later pages may hold what is
    /// older: so it begins where it began.
    #[test]
    fn parts_of_a_first_page_lead_nowhere() {
        let mut builder = BatchBuilder::new();
        for hour in [20, 1, 9] {
            builder.begin_row();
            builder.integer("time", hour * HOUR);
        }
        let page = Page {
            next: Next::More,
            cursor: "b".to_owned(),
            batch: builder.finish(),
            raw: Vec::new(),
            facts: Vec::new(),
        };
        let before = Position { since: Some(0), ..Position::default() };
        let after =
            Position { cursor: Some("b".to_owned()), newest: Some(20 * HOUR), ..before.clone() };
        let arrived = Arrived { page, body: Vec::new(), received: 30 * HOUR };
        let led: Vec<Position> = parts(arrived, before.clone(), after.clone())
            .into_iter()
            .map(|part| part.after)
            .collect();
        assert_eq!(led, [before.clone(), before, after]);
    }

    proptest! {
        /// All rows with their records, each once, oldest first and at most a stride in a part; only
        /// the last part leads on.
        #[test]
        fn parts_are_the_page(
            times in proptest::collection::vec(proptest::option::weighted(0.9, 0i64..200), 0..60),
            raw in any::<bool>(),
        ) {
            let mut builder = BatchBuilder::new();
            let (mut body, mut spans) = (Vec::new(), Vec::new());
            for (row, time) in times.iter().enumerate() {
                builder.begin_row();
                builder.text("id", &row.to_string());
                if let Some(time) = time {
                    builder.integer("time", time * HOUR);
                }
                let start = body.len() as u32;
                body.extend(format!("<{row}>").bytes());
                spans.extend([start, body.len() as u32]);
            }
            let page = Page {
                next: Next::CaughtUp,
                cursor: "b".to_owned(),
                batch: builder.finish(),
                raw: if raw { spans } else { Vec::new() },
                facts: Vec::new(),
            };
            let before = Position { cursor: Some("a".to_owned()), ..Position::default() };
            let after = Position { cursor: Some("b".to_owned()), ..Position::default() };
            let received = 150 * HOUR;
            let arrived = Arrived { page, body, received };
            let parts = parts(arrived, before.clone(), after.clone());
            let mut seen = Vec::new();
            let mut newest = None;
            for (n, part) in parts.iter().enumerate() {
                let last = n + 1 == parts.len();
                let Arrived { page, body, .. } = &part.arrived;
                prop_assert_eq!(page.next == Next::CaughtUp, last);
                prop_assert_eq!(part.after.cursor.as_deref(), Some(if last { "b" } else { "a" }));
                let own: Vec<i64> = page.batch.integers("time").unwrap_or_default().iter()
                    .filter(|time| **time != ABSENT_INTEGER).map(|time| (*time).min(received)).collect();
                let (low, high) = (own.iter().min(), own.iter().max());
                if let (Some(low), Some(high)) = (low, high) {
                    prop_assert!(high - low < STRIDE && *low == part.begins);
                    prop_assert!(newest < Some(*low));
                    newest = Some(*high);
                }
                for row in 0..page.batch.len() {
                    let id = page.batch.text("id", row).to_owned();
                    if raw {
                        let whole = format!("<{id}>");
                        prop_assert_eq!(record(row, &page.raw, body), whole.as_bytes());
                    }
                    seen.push(id.parse::<usize>().unwrap());
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..times.len()).collect::<Vec<_>>());
        }
    }
}
