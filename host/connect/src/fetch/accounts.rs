//! A stream of accounts: whole rounds, one an interval.
//!
//! A round always starts at the beginning, also after a restart: only a whole one tells which
//! accounts are gone.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use casbah_model::adapter::{Next, PlanRequest, Stream, class};
use casbah_store::Commit;

use super::request::{Arrived, Go, Setback, Worker};
use super::{Event, Shared, StreamEnd, Waiting, blocking};
use crate::accounts::Account;
use crate::connection::{Position, read_position, write_position};
use crate::error::ConnectError;

/// Setbacks in a row after which activities are no longer kept waiting for the first round.
const PATIENCE: u32 = 3;
/// Pages in a row that named nobody new and did not move, after which a round counts as broken.
const STUCK: u32 = 5;

/// The task of a stream of accounts.
pub(super) struct Rounds {
    worker: Worker,
    position: Position,
    /// Whether activities still wait for this stream.
    awaited: bool,
    setbacks: u32,
}

/// A round under way.
#[derive(Default)]
struct Round {
    cursor: Option<String>,
    named: HashSet<String>,
    still: u32,
}

impl Rounds {
    pub(super) fn new(shared: Arc<Shared>, stream: Stream) -> Result<Self, ConnectError> {
        let books = &shared.books;
        let position =
            read_position(books.store().as_ref(), books.tenant(), books.name(), &stream.name)?;
        let awaited = position.round.is_none();
        Ok(Self { worker: Worker::new(shared, stream), position, awaited, setbacks: 0 })
    }

    pub(super) async fn run(mut self) -> Result<StreamEnd, ConnectError> {
        let end = self.rounds().await;
        self.release();
        end
    }

    async fn rounds(&mut self) -> Result<StreamEnd, ConnectError> {
        loop {
            let pause = self.due();
            if !pause.is_zero() {
                if self.worker.shared.fetch.until_caught_up {
                    return Ok(StreamEnd::CaughtUp);
                }
                let shared = Arc::clone(&self.worker.shared);
                let name = self.worker.stream.name.clone();
                if !shared.wait(&name, pause, Waiting::News, &mut self.worker.halt).await {
                    return Ok(StreamEnd::Stopped);
                }
            }
            if let Some(end) = self.round().await? {
                return Ok(end);
            }
        }
    }

    /// How long until the next round.
    fn due(&self) -> Duration {
        let shared = &self.worker.shared;
        let Some(last) = self.position.round else { return Duration::ZERO };
        let interval = shared
            .fetch
            .pace
            .interval
            .unwrap_or(Duration::from_secs(self.worker.stream.interval_seconds.max(1)));
        // A clock that was set back must not keep a round from coming.
        let past = u64::try_from(shared.now().saturating_sub(last)).unwrap_or(u64::MAX);
        interval.saturating_sub(Duration::from_millis(past))
    }

    /// One round, started again as often as it takes.
    async fn round(&mut self) -> Result<Option<StreamEnd>, ConnectError> {
        let mut round = Round::default();
        loop {
            if self.worker.halt.is_wanted() {
                return Ok(Some(StreamEnd::Stopped));
            }
            let plan = self.plan(&round);
            let go = match self.worker.request(plan).await {
                Ok(arrived) => match self.arrived(&mut round, arrived).await {
                    Ok(true) => return Ok(None),
                    Ok(false) => Go::On,
                    Err(error) => {
                        round = Round::default();
                        self.worker.not_stored(error).await?
                    }
                },
                Err(setback) => {
                    self.setbacks += 1;
                    // What an administrator has to put right may take days.
                    if self.setbacks >= PATIENCE || is_lasting(&setback) {
                        self.release();
                    }
                    self.worker.overcome(setback, round.cursor.is_some()).await?
                }
            };
            match go {
                Go::On => {}
                Go::Recover => round = Round::default(),
                Go::End(end) => return Ok(Some(end)),
            }
        }
    }

    fn plan(&self, round: &Round) -> PlanRequest {
        let shared = &self.worker.shared;
        PlanRequest {
            stream: self.worker.stream.name.clone(),
            cursor: round.cursor.clone(),
            settings: shared.kept.settings.clone(),
            now: shared.now(),
            since: shared.fetch.since,
            newest: None,
            page_size: self.worker.pacer.page_size(),
            recover: false,
        }
    }

    /// Stores a page of accounts. Returns whether the round is over.
    async fn arrived(&mut self, round: &mut Round, arrived: Arrived) -> Result<bool, ConnectError> {
        self.worker.succeeded();
        self.setbacks = 0;
        let Arrived { page, received, .. } = arrived;
        let accounts = Account::from_batch(&page.batch);
        let before = round.named.len();
        round.named.extend(accounts.iter().map(|account| account.id.clone()));
        let moved = round.cursor.as_deref() != Some(page.cursor.as_str());
        round.still = if moved || round.named.len() > before { 0 } else { round.still + 1 };
        round.cursor = Some(page.cursor);
        let stuck = round.still >= STUCK;
        let complete = page.next != Next::More || stuck;
        // Nobody at all is more likely a fault of the app than an organization without users.
        let whole = complete && !stuck && !round.named.is_empty();
        let named = round.named.len() as u64;
        let after = Position {
            round: if complete { Some(received) } else { self.position.round },
            ..self.position.clone()
        };
        let (shared, stream) = (Arc::clone(&self.worker.shared), self.worker.stream.name.clone());
        let (ids, position) =
            (if whole { round.named.clone() } else { HashSet::new() }, after.clone());
        let changed =
            blocking(move || store(&shared, &stream, accounts, &ids, &position, received))
                .await??;
        self.position = after;
        self.worker.stored();
        let shared = &self.worker.shared;
        shared.tell(&Event::Accounts {
            stream: self.worker.stream.name.clone(),
            named,
            changed,
            complete,
        });
        if complete {
            self.release();
        }
        Ok(complete)
    }

    /// Lets the activities go on.
    fn release(&mut self) {
        if std::mem::take(&mut self.awaited) {
            self.worker
                .shared
                .outstanding
                .send_modify(|streams| *streams = streams.saturating_sub(1));
        }
    }
}

/// Whether it won't pass by itself.
fn is_lasting(setback: &Setback) -> bool {
    matches!(setback, Setback::Failure(failure, _)
        if matches!(failure.class.as_str(), class::FORBIDDEN | class::REFUSED))
}

/// Stores what is new about accounts; with the ids of a whole round also who is gone. Returns how
/// many accounts changed. Blocks for the disk.
fn store(
    shared: &Shared,
    stream: &str,
    accounts: Vec<Account>,
    whole: &HashSet<String>,
    position: &Position,
    received: i64,
) -> Result<u64, ConnectError> {
    let books = &shared.books;
    let mut known = shared.accounts.write().unwrap_or_else(PoisonError::into_inner);
    let mut changed = known.changed(accounts);
    if !whole.is_empty() {
        changed.extend(known.gone(whole));
    }
    let mut commit = Commit::new();
    for account in &changed {
        commit.writes.push(account.write(books.name())?);
    }
    commit.writes.push(write_position(books.name(), stream, position)?);
    let before = known.present();
    let present = known.present_with(&changed) as u64;
    // The lock is held until it is durable: no activity is joined with what may yet get lost.
    books.commit(commit, |status| {
        status.accounts = present;
        status.last_success = Some(received);
        let stream = status.streams.entry(stream.to_owned()).or_default();
        stream.last_success = Some(received);
        stream.caught_up = position.round == Some(received);
        stream.trouble = None;
    })?;
    let count = changed.len() as u64;
    for account in changed {
        known.put(account);
    }
    tracing::debug!(before, after = known.present(), "accounts stored");
    Ok(count)
}
