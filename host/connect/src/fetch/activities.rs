//! A stream of activities: fetches the next page while the one before is stored.

use std::sync::Arc;
use std::time::Duration;

use casbah_model::adapter::{Failure, Next, PlanRequest, Stream, class};
use tokio::task::JoinHandle;

use super::intake::{Taken, brings_news, newest, rewritten, take};
use super::request::{Arrived, Go, Setback, Worker};
use super::step::{Member, parts};
use super::{Event, Shared, StreamEnd, Waiting, blocking};
use crate::connection::{Position, State, read_position};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::stop::Stop;

/// Pages in a row that brought nothing new and no new position, after which the position counts as
/// stuck.
const STUCK: u32 = 5;
/// How long the first round of a directory is waited for.
const DIRECTORIES: Duration = Duration::from_secs(900);
/// How often a stream that has not begun yet says that it will.
const ALIVE: Duration = Duration::from_secs(10);
/// Times that an adapter may ask to wait without anything new, when somebody waits for the end. More
/// than it takes to notice a stuck position, so that a new one is looked for first.
const WAITS: u32 = STUCK + 1;

/// A page on its way into the store.
struct Storing {
    /// Nothing when it was time to stop before all of it was stored.
    task: JoinHandle<Result<Option<Taken>, ConnectError>>,
    after: Position,
    /// Whether the page said that there is more at the very position it was asked at.
    still: bool,
    caught_up: bool,
}

/// The task of a stream of activities.
pub(super) struct Activities {
    worker: Worker,
    /// Where the store is.
    stored: Position,
    /// Where the next page is asked from: at most one page ahead of the store.
    ahead: Position,
    storing: Option<Storing>,
    /// Its place among the streams that are behind.
    member: Arc<Member>,
    /// Whether the next plan looks for a new position.
    recover: bool,
    /// Pages in a row without anything new.
    still: u32,
    /// Times that the adapter asked to wait since something new came.
    waits: u32,
    /// Whether a new position was looked for since something new came.
    recovered: bool,
}

impl Activities {
    pub(super) fn new(shared: Arc<Shared>, stream: Stream) -> Result<Self, ConnectError> {
        let books = &shared.books;
        let mut stored =
            read_position(books.store().as_ref(), books.tenant(), books.name(), &stream.name)?;
        stored.since.get_or_insert(shared.fetch.since);
        let member = Arc::new(shared.in_step.join(stored.newest));
        Ok(Self {
            worker: Worker::new(shared, stream),
            ahead: stored.clone(),
            stored,
            storing: None,
            member,
            recover: false,
            still: 0,
            waits: 0,
            recovered: false,
        })
    }

    pub(super) async fn run(mut self) -> Result<StreamEnd, ConnectError> {
        if !self.accounts_first().await {
            return Ok(StreamEnd::Stopped);
        }
        loop {
            let result = if self.worker.halt.is_wanted() {
                Err(Setback::Stopped)
            } else {
                let plan = self.plan();
                self.worker.request(plan).await
            };
            // The page before must be in, before anything else is decided.
            match self.settle().await {
                Ok(true) => {}
                Ok(false) => return Ok(StreamEnd::Stopped),
                Err(error) => {
                    self.back_to_stored();
                    match self.worker.not_stored(error).await? {
                        Go::End(end) => return Ok(end),
                        Go::On | Go::Recover => continue,
                    }
                }
            }
            let go = match result {
                Ok(arrived) => self.arrived(arrived).await?,
                Err(setback) => {
                    let can_recover = !self.recover && self.ahead.cursor.is_some();
                    self.worker.overcome(setback, can_recover).await?
                }
            };
            match go {
                Go::On => {}
                Go::Recover => self.recover = true,
                Go::End(end) => return Ok(end),
            }
        }
    }

    /// Waits until the accounts were fetched once, and for a while also those of directories, so that
    /// the first activities can be joined.
    async fn accounts_first(&mut self) -> bool {
        let shared = Arc::clone(&self.worker.shared);
        let mut outstanding = shared.outstanding.subscribe();
        let both = async {
            let _ = outstanding.wait_for(|streams| *streams == 0).await;
            let _ = tokio::time::timeout(DIRECTORIES, shared.directory.settled()).await;
        };
        let mut both = std::pin::pin!(both);
        loop {
            tokio::select! {
                () = &mut both => return !self.worker.halt.is_wanted(),
                () = self.worker.halt.wanted() => return false,
                // Others are to wait until it is known where this one begins.
                () = tokio::time::sleep(ALIVE) => self.member.touch(),
            }
        }
    }

    fn plan(&self) -> PlanRequest {
        let shared = &self.worker.shared;
        PlanRequest {
            stream: self.worker.stream.name.clone(),
            cursor: self.ahead.cursor.clone(),
            settings: shared.kept.settings.clone(),
            now: shared.now(),
            since: self.ahead.since.unwrap_or(shared.fetch.since),
            newest: self.ahead.newest,
            page_size: self.worker.pacer.page_size(),
            recover: self.recover,
        }
    }

    fn back_to_stored(&mut self) {
        self.ahead = self.stored.clone();
        self.recover = false;
    }

    /// Waits for the page that is being stored, if there is one. Says no when it was time to stop before
    /// that was done: then nothing may be stored behind it.
    async fn settle(&mut self) -> Result<bool, ConnectError> {
        let Some(Storing { task, after, still, caught_up }) = self.storing.take() else {
            return Ok(true);
        };
        let stored = task.await.map_err(|_| {
            ConnectError::new(ConnectErrorKind::Store, "the store panicked while a page was stored")
        })??;
        let Some(taken) = stored else { return Ok(false) };
        if still && taken.activities == 0 {
            self.still = self.still.saturating_add(1);
        } else {
            self.still = 0;
            self.worker.stored();
        }
        if taken.activities > 0 {
            self.recovered = false;
            self.waits = 0;
        }
        self.worker.shared.tell(&Event::Page {
            stream: self.worker.stream.name.clone(),
            activities: taken.activities,
            duplicates: taken.duplicates,
            late: taken.late,
            newest: after.newest,
            caught_up,
        });
        self.stored = after;
        Ok(true)
    }

    /// Starts storing a page, and says when to fetch the next.
    async fn arrived(&mut self, mut arrived: Arrived) -> Result<Go, ConnectError> {
        if self.still >= STUCK && self.stands(&arrived) {
            let shared = Arc::clone(&self.worker.shared);
            let (news, again) = blocking(move || (brings_news(&shared, &arrived), arrived)).await?;
            if !news {
                // What came is the same page once more.
                return self.stuck().await;
            }
            arrived = again;
        }
        self.worker.succeeded();
        let next = arrived.page.next;
        let after = Position {
            cursor: Some(arrived.page.cursor.clone()),
            newest: self.ahead.newest.max(newest(&arrived.page.batch, arrived.received)),
            ..self.ahead.clone()
        };
        let caught_up = next == Next::CaughtUp;
        let still = self.stands(&arrived);
        let before = std::mem::replace(&mut self.ahead, after.clone());
        self.recover = false;
        let shared = Arc::clone(&self.worker.shared);
        let (stream, ahead) = (self.worker.stream.name.clone(), after.clone());
        let (member, halt) = (Arc::clone(&self.member), self.worker.halt.clone());
        let task = tokio::spawn(store(shared, stream, arrived, (before, ahead), member, halt));
        self.storing = Some(Storing { task, after, still, caught_up });
        if next == Next::More {
            return Ok(Go::On);
        }
        match self.settle().await {
            Ok(true) => {}
            Ok(false) => return Ok(Go::End(StreamEnd::Stopped)),
            Err(error) => {
                self.back_to_stored();
                return self.worker.not_stored(error).await;
            }
        }
        if caught_up {
            self.member.done();
        }
        self.idle(next).await
    }

    /// Whether a page says that there is more, at the very position it was asked at.
    fn stands(&self, arrived: &Arrived) -> bool {
        arrived.page.next != Next::CaughtUp
            && self.ahead.cursor.as_ref() == Some(&arrived.page.cursor)
    }

    /// Waits for news.
    async fn idle(&mut self, next: Next) -> Result<Go, ConnectError> {
        if matches!(next, Next::Wait(_)) && self.worker.shared.fetch.until_caught_up {
            self.waits = self.waits.saturating_add(1);
            if self.waits >= WAITS {
                let reason = "there is more to fetch, but casbah is asked to wait again and again";
                let remedy = "fetch again later; if it goes on, ask the app's support";
                self.worker.report(State::Faulty, reason, remedy).await?;
                return Ok(Go::End(StreamEnd::CaughtUp));
            }
        }
        let fetch = &self.worker.shared.fetch;
        let pause = match next {
            Next::Wait(ms) => std::time::Duration::from_millis(ms).min(fetch.pace.longest),
            _ if fetch.until_caught_up => return Ok(Go::End(StreamEnd::CaughtUp)),
            _ => fetch.pace.interval.unwrap_or(std::time::Duration::from_secs(
                self.worker.stream.interval_seconds.max(1),
            )),
        };
        let shared = Arc::clone(&self.worker.shared);
        let name = &self.worker.stream.name;
        if shared.wait(name, pause, Waiting::News, &mut self.worker.halt).await {
            Ok(Go::On)
        } else {
            Ok(Go::End(StreamEnd::Stopped))
        }
    }

    /// The app promises more, but sends the same page again and again.
    async fn stuck(&mut self) -> Result<Go, ConnectError> {
        let can_recover = !std::mem::replace(&mut self.recovered, true);
        if can_recover {
            // The new position gets its own chance. Otherwise it is counted on until it moves.
            self.still = 0;
        }
        let failure = Failure {
            class: if can_recover { class::STALE_CURSOR } else { class::MALFORMED }.to_owned(),
            message: "the app promises more, but its position does not move".to_owned(),
            remedy: "casbah starts again with an overlap; if it goes on, ask the app's support"
                .to_owned(),
            ..Failure::default()
        };
        self.worker.overcome(Setback::Failure(failure, None), can_recover).await
    }
}

/// Stores a page: at once, or while others are behind, too, in parts that keep in step with them.
/// Nothing is returned when it was time to stop in between.
async fn store(
    shared: Arc<Shared>,
    stream: String,
    arrived: Arrived,
    (before, after): (Position, Position),
    member: Arc<Member>,
    mut halt: Stop,
) -> Result<Option<Taken>, ConnectError> {
    if member.is_alone() {
        let work = move || take(&shared, &stream, arrived, &before, &after);
        return blocking(work).await?.map(Some);
    }
    let mut all = Taken::default();
    for part in blocking(move || parts(rewritten(arrived), before, after)).await? {
        if !part.arrived.page.batch.is_empty() && !member.reach(part.begins, &mut halt).await {
            return Ok(None);
        }
        let (shared, stream) = (Arc::clone(&shared), stream.clone());
        let work = move || take(&shared, &stream, part.arrived, &part.before, &part.after);
        let taken = blocking(work).await??;
        all.activities += taken.activities;
        all.duplicates += taken.duplicates;
        all.late += taken.late;
    }
    Ok(Some(all))
}
