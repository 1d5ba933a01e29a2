//! A stream of accounts or memberships: rounds, one an interval.
//!
//! A whole round always starts at the beginning, also after a restart: only as a whole it tells which
//! accounts are gone. Of a stream of changes only the first round is whole, and the one after a
//! refused cursor; the others go on where the one before ended.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use casbah_model::adapter::{self, Next, Page, PlanRequest, Produces, Stream, class};
use casbah_store::Commit;

use super::request::{Arrived, Go, Setback, Worker};
use super::{Event, Shared, StreamEnd, Waiting, blocking};
use crate::accounts::{Account, Keep, Members, fingerprint};
use crate::connection::{Position, read_position, write_position};
use crate::directory::{News, Part, Source, Word};
use crate::error::ConnectError;

/// Setbacks in a row after which activities are no longer kept waiting for the first round.
const PATIENCE: u32 = 3;
/// Pages in a row that named nobody new and did not move, after which a round counts as broken.
const STUCK: u32 = 5;

/// The task of a stream of accounts or memberships.
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
    /// Whether it goes on from a cursor of the round before, and names only what has changed.
    changes: bool,
    /// Whether the cursor was refused, so that it begins anew.
    recover: bool,
    /// Fingerprints of all that it named.
    named: HashSet<u128>,
    /// Groups by account, of a stream of memberships.
    members: Members,
    still: u32,
}

impl Round {
    /// Notes what a page names, and where it leads. Returns its accounts.
    fn take(&mut self, stream: &Stream, page: &Page) -> Vec<Account> {
        let before = self.named.len();
        let mut accounts = Vec::new();
        if stream.produces == Produces::Memberships {
            self.named.extend(add_members(&mut self.members, &page.batch));
        } else {
            accounts = Account::from_batch(&page.batch);
            self.named.extend(accounts.iter().map(|account| fingerprint(&account.id)));
        }
        let moved = self.cursor.as_deref() != Some(page.cursor.as_str());
        self.still = if moved || self.named.len() > before { 0 } else { self.still + 1 };
        self.cursor = Some(page.cursor.clone());
        accounts
    }

    /// What is to be stored of a page, if anything is.
    fn said(
        &mut self,
        stream: &Stream,
        accounts: Vec<Account>,
        complete: bool,
        whole: bool,
    ) -> Option<Said> {
        if stream.produces == Produces::Memberships {
            // Who is in no group any more is known at the end only.
            let only = whole && stream.rounds == adapter::Rounds::Whole;
            return complete.then(|| Said::Members(std::mem::take(&mut self.members), only));
        }
        let keep = match stream.rounds {
            adapter::Rounds::Whole => Keep::Nothing,
            adapter::Rounds::Delta | adapter::Rounds::Some => Keep::WhatIsLeftOut,
        };
        // Nobody at all is more likely a fault of the app than an organization without users.
        let named = (whole && !self.named.is_empty()).then(|| std::mem::take(&mut self.named));
        Some(Said::Accounts(accounts, keep, named))
    }
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

    /// A round from where the stream stands.
    fn begin(&self) -> Round {
        let goes_on = self.worker.stream.rounds == adapter::Rounds::Delta
            && self.worker.stream.produces == Produces::Accounts
            && self.position.round.is_some();
        let cursor = self.position.cursor.clone().filter(|_| goes_on);
        Round { changes: cursor.is_some(), cursor, ..Round::default() }
    }

    /// One round, started again as often as it takes.
    async fn round(&mut self) -> Result<Option<StreamEnd>, ConnectError> {
        let mut round = self.begin();
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
                        round = self.begin();
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
                Go::Recover => round = Round { recover: true, ..Round::default() },
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
            recover: round.recover && round.cursor.is_none(),
        }
    }

    /// Stores a page. Returns whether the round is over.
    async fn arrived(&mut self, round: &mut Round, arrived: Arrived) -> Result<bool, ConnectError> {
        self.worker.succeeded();
        self.setbacks = 0;
        let Arrived { page, received, .. } = arrived;
        let stream = &self.worker.stream;
        let accounts = round.take(stream, &page);
        let stuck = round.still >= STUCK;
        let complete = page.next != Next::More || stuck;
        let whole = complete && !stuck && !round.changes && stream.rounds != adapter::Rounds::Some;
        let named = round.named.len() as u64;
        let said = round.said(stream, accounts, complete, whole);
        // Of a whole round that is broken off, no position is of any use.
        let goes_on = stream.rounds == adapter::Rounds::Delta && (complete || round.changes);
        let after = Position {
            round: if complete { Some(received) } else { self.position.round },
            cursor: if goes_on { Some(page.cursor) } else { self.position.cursor.clone() },
            ..self.position.clone()
        };
        let name = stream.name.clone();
        let mut changed = 0;
        if let Some(said) = said {
            let (shared, position) = (Arc::clone(&self.worker.shared), after.clone());
            let stored = blocking(move || store(&shared, &name, said, &position, received));
            changed = stored.await??;
            self.position = after;
        }
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
            let shared = &self.worker.shared;
            shared.outstanding.send_modify(|streams| *streams = streams.saturating_sub(1));
            if *shared.outstanding.borrow() == 0 {
                shared.directory.arrived(shared.books.name());
            }
        }
    }
}

/// Whether it won't pass by itself.
fn is_lasting(setback: &Setback) -> bool {
    matches!(setback, Setback::Failure(failure, _)
        if matches!(failure.class.as_str(), class::FORBIDDEN | class::REFUSED))
}

/// What a page said.
enum Said {
    /// Accounts; with a whole round the fingerprints of all it named.
    Accounts(Vec<Account>, Keep, Option<HashSet<u128>>),
    /// Who is in which groups, and whether in no others.
    Members(Members, bool),
}

/// Adds the memberships of a page. Returns the fingerprints of what it named.
fn add_members(members: &mut Members, batch: &casbah_model::Batch) -> Vec<u128> {
    let mut groups: HashSet<Arc<str>> = HashSet::new();
    let mut named = Vec::new();
    for row in 0..batch.len() {
        let (id, group) = (batch.text("id", row), batch.text("group", row));
        if id.is_empty() || group.is_empty() {
            continue;
        }
        named.push(fingerprint(&format!("{id}\0{group}")));
        let group = match groups.get(group) {
            Some(known) => Arc::clone(known),
            None => {
                let group: Arc<str> = Arc::from(group);
                groups.insert(Arc::clone(&group));
                group
            }
        };
        members.entry(id.to_owned()).or_default().insert(group);
    }
    named
}

/// Stores what is new, and after a whole round also who is gone. Returns how many accounts changed.
/// Blocks for the disk.
fn store(
    shared: &Shared,
    stream: &str,
    said: Said,
    position: &Position,
    received: i64,
) -> Result<u64, ConnectError> {
    if shared.fetch.adapter.description().directory {
        store_directory(shared, stream, &said, position, received)
    } else {
        store_accounts(shared, stream, said, position, received)
    }
}

/// Adds the position to a commit, and carries it out with the status as it is then.
fn commit(
    shared: &Shared,
    stream: &str,
    mut commit: Commit,
    position: Option<&Position>,
    present: u64,
    received: i64,
) -> Result<casbah_store::Committed, ConnectError> {
    let books = &shared.books;
    if let Some(position) = position {
        commit.writes.push(write_position(books.name(), stream, position)?);
    }
    books.commit(commit, |status| {
        status.accounts = present;
        status.last_success = Some(received);
        let stream = status.streams.entry(stream.to_owned()).or_default();
        stream.last_success = Some(received);
        stream.caught_up = position.is_some_and(|position| position.round == Some(received));
        stream.trouble = None;
    })
}

fn store_accounts(
    shared: &Shared,
    stream: &str,
    said: Said,
    position: &Position,
    received: i64,
) -> Result<u64, ConnectError> {
    let name = shared.books.name();
    let mut known = shared.accounts.write().unwrap_or_else(PoisonError::into_inner);
    let changed = match said {
        Said::Accounts(accounts, keep, whole) => {
            let mut changed = known.changed(accounts, keep);
            if let Some(named) = &whole {
                changed.extend(known.gone(named));
            }
            changed
        }
        Said::Members(members, whole) => known.regrouped(&members, whole),
    };
    let mut writes = Commit::new();
    for account in &changed {
        writes.writes.push(account.write(name)?);
    }
    let before = known.present();
    let present = known.present_with(&changed) as u64;
    // The lock is held until it is durable: no activity is joined with what may yet get lost.
    commit(shared, stream, writes, Some(position), present, received)?;
    let count = changed.len() as u64;
    for account in changed {
        known.put(account);
    }
    tracing::debug!(before, after = known.present(), "accounts stored");
    Ok(count)
}

/// The same for a connection whose app is the directory: what is new of somebody's state goes into
/// the log with it.
fn store_directory(
    shared: &Shared,
    stream: &str,
    said: &Said,
    position: &Position,
    received: i64,
) -> Result<u64, ConnectError> {
    let source = Source::Connection(shared.books.name().clone());
    let news = match said {
        Said::Accounts(accounts, _, whole) => {
            News::Accounts(accounts.clone(), Word::News, whole.as_ref())
        }
        Said::Members(members, whole) => News::Members(members, *whole),
    };
    let app = &shared.kept.connection.app;
    let taken = shared.directory.hear(&source, app, news, received, &mut |part| {
        let Part { commit: writes, present, last } = part;
        // Only the last part leads on: what comes before it is said again after a fall.
        commit(shared, stream, writes, last.then_some(position), present, received)
    })?;
    tracing::debug!(changed = taken.changed, told = taken.told, "directory stored");
    Ok(taken.changed)
}

#[cfg(test)]
mod tests;
