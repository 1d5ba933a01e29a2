//! The fetch loop of a connection: plan, wait for the budget, send, read, store, again.
//!
//! Every stream has a task of its own; all share the connection's budget, tokens and accounts. A page
//! goes into the store as one commit of *(activities, marks, position, counters)*, so a kill at any
//! moment loses nothing and doubles nothing. While a page is being stored the next is fetched; there
//! are never more than two in memory.
//!
//! It is not the evaluation: all it tells the rest of casbah is where the log ends now. It does not
//! know any app: what a failure means is the adapter's to say, what is done about it is here.

mod accounts;
mod activities;
mod books;
mod intake;
mod pace;
mod request;
mod step;

use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use casbah_enrich::Enricher;
use casbah_model::adapter::{Adapter, Produces, Stream};
use casbah_model::{ConnectionName, TenantName};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::accounts::Accounts;
use crate::connection::{
    ConnectionReport, Position, State, Status, Trouble, read_position, read_status,
};
use crate::connections::{Connections, Kept};
use crate::directory::Directory;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::stop::{Stop, StopHandle, stop};

use books::Books;
pub use pace::Pace;
pub(crate) use step::InStep;

/// What to fetch, and who wants to hear of it.
#[derive(Clone)]
pub struct Fetch {
    /// Tenant.
    pub tenant: TenantName,
    /// Connection.
    pub connection: ConnectionName,
    /// The adapter of its app.
    pub adapter: Arc<dyn Adapter>,
    /// Where a backfill starts, ms since 1970. Only the first fetch of a stream looks at it.
    pub since: i64,
    /// Whether to end when every stream has nothing more to fetch.
    pub until_caught_up: bool,
    /// An activity that is older than the newest one by more than this counts as late.
    pub lateness: Duration,
    /// Most records of a page; what the adapter says when `None`.
    pub page_size: Option<u32>,
    /// How long to wait for what.
    pub pace: Pace,
    /// Hears what happens.
    pub observer: Observer,
    /// Told where the tenant's log ends after every commit.
    pub log_end: Option<watch::Sender<u64>>,
    /// Fills in what is known of addresses and clients.
    pub enricher: Arc<Enricher>,
}

/// Hears what happens; called from the tasks of the loop, so it must return soon.
pub type Observer = Arc<dyn Fn(&ConnectionName, &Event) + Send + Sync>;

impl Fetch {
    /// Fetches from `since` on with nothing special about it.
    pub fn new(
        tenant: TenantName,
        connection: ConnectionName,
        adapter: Arc<dyn Adapter>,
        since: i64,
    ) -> Self {
        Self {
            tenant,
            connection,
            adapter,
            since,
            until_caught_up: false,
            lateness: Duration::from_secs(3600),
            page_size: None,
            pace: Pace::default(),
            observer: Arc::new(|_, _| {}),
            log_end: None,
            enricher: Arc::new(Enricher::none()),
        }
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetch({}/{} since {})", self.tenant, self.connection, self.since)
    }
}

/// Something that happened. Times are ms since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A page of activities was stored.
    Page {
        /// Stream.
        stream: String,
        /// Activities that were new.
        activities: u64,
        /// Activities that were in the log already.
        duplicates: u64,
        /// New ones that came later than allowed for.
        late: u64,
        /// Time of the newest activity so far: how far the fetch is.
        newest: Option<i64>,
        /// Whether there is nothing more to fetch for now.
        caught_up: bool,
    },
    /// A page of accounts was stored.
    Accounts {
        /// Stream.
        stream: String,
        /// Accounts named so far in this round.
        named: u64,
        /// Accounts that were new or different on this page.
        changed: u64,
        /// Whether the round is complete.
        complete: bool,
    },
    /// A stream waits.
    Waiting {
        /// Stream.
        stream: String,
        /// For what.
        why: Waiting,
        /// Until when.
        until: i64,
    },
    /// Something is wrong with a stream.
    Trouble {
        /// Stream.
        stream: String,
        /// What.
        trouble: Trouble,
    },
    /// What was wrong with a stream is over.
    Recovered {
        /// Stream.
        stream: String,
    },
    /// The app could not make so large a page, or can again.
    PageSize {
        /// Stream.
        stream: String,
        /// Most records of a page from now on.
        size: u32,
    },
    /// The app refused the position, or it did not move: the stream starts again with an overlap.
    Repositioned {
        /// Stream.
        stream: String,
        /// Why.
        reason: String,
    },
}

/// What a stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// The next look for something new.
    News,
    /// The budget of requests.
    Budget,
    /// The pause that the app asked for.
    Throttle,
    /// A failure to pass.
    Failure,
    /// An administrator to put something right.
    Administrator,
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// There was nothing more to fetch, as far as the streams could be fetched at all.
    CaughtUp,
    /// An administrator has to connect again.
    ReconnectNeeded,
    /// The connection is switched off.
    Disabled,
}

/// What came of a fetch.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// How it ended.
    pub ended: Ended,
    /// The connection as it stands now.
    pub report: ConnectionReport,
}

/// What the streams of a connection share.
struct Shared {
    fetch: Fetch,
    connections: Connections,
    kept: Kept,
    books: Books,
    /// What the connection's own users streams told; of a directory's nothing, which is in the
    /// directory.
    accounts: RwLock<Accounts>,
    directory: Arc<Directory>,
    /// The streams of the tenant that are behind.
    in_step: Arc<InStep>,
    /// Streams of accounts whose first round is still to come.
    outstanding: watch::Sender<usize>,
    halt: StopHandle,
}

impl Shared {
    fn tell(&self, event: &Event) {
        (self.fetch.observer)(&self.fetch.connection, event);
    }

    fn now(&self) -> i64 {
        self.connections.clock().now()
    }

    /// Waits, or returns false when it is time to stop.
    async fn wait(&self, stream: &str, pause: Duration, why: Waiting, halt: &mut Stop) -> bool {
        let until = self.now().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
        self.tell(&Event::Waiting { stream: stream.to_owned(), why, until });
        tokio::select! {
            () = sleep_until(Instant::now() + pause) => !halt.is_wanted(),
            () = halt.wanted() => false,
        }
    }
}

/// How the task of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    Stopped,
    CaughtUp,
    ReconnectNeeded,
}

impl Connections {
    /// Fetches for a connection until it is told to stop, or until it is caught up if that is what
    /// was asked for, or until an administrator has to connect again. It ends between two commits,
    /// never within one.
    ///
    /// # Errors
    /// `Unknown` when there is no such connection, `Configuration` when it does not fit the adapter,
    /// `Store` when the store does not work any more. Failures of the app are no errors: they are
    /// in the connection's state.
    pub async fn fetch(&self, fetch: Fetch, mut stop: Stop) -> Result<Fetched, ConnectError> {
        let (tenant, name) = (fetch.tenant.clone(), fetch.connection.clone());
        let directory = self.directory(&tenant)?;
        // However this ends, nobody is to wait for it.
        let _arriving = Arriving { directory: Arc::clone(&directory), name: name.clone() };
        let kept = self.kept(&tenant, &name, fetch.adapter.description())?;
        if !kept.connection.enabled {
            return Ok(Fetched { ended: Ended::Disabled, report: self.get(&tenant, &name)? });
        }
        let store = Arc::clone(self.store());
        let streams: Vec<Stream> = fetch
            .adapter
            .description()
            .streams
            .iter()
            .filter(|stream| stream.produces != Produces::Facts)
            .cloned()
            .collect();
        let mut outstanding = 0;
        for stream in streams.iter().filter(|stream| comes_in_rounds(stream.produces)) {
            let position = read_position(store.as_ref(), &tenant, &name, &stream.name)?;
            outstanding += usize::from(position.round.is_none());
        }
        if outstanding == 0 {
            directory.arrived(&name);
        }
        let mut status = read_status(store.as_ref(), &tenant, &name)?;
        status.note(fetch.adapter.description());
        for stream in streams.iter().filter(|stream| stream.produces == Produces::Activities) {
            let position = read_position(store.as_ref(), &tenant, &name, &stream.name)?;
            note_loss(&mut status, &name, &stream.name, &position, self.clock().now());
        }
        let domains = kept.connection.internal_domains.clone();
        let (halt, _) = stop_pair();
        let shared = Arc::new(Shared {
            accounts: RwLock::new(if fetch.adapter.description().directory {
                Accounts::new(&domains)
            } else {
                Accounts::load(store.as_ref(), &tenant, &name, &domains)?
            }),
            directory,
            in_step: self.in_step(&tenant),
            books: Books::new(store.clone(), &fetch, status),
            outstanding: watch::Sender::new(outstanding),
            connections: self.clone(),
            kept,
            halt: halt.clone(),
            fetch,
        });
        let mut tasks = JoinSet::new();
        for stream in streams {
            let shared = Arc::clone(&shared);
            match stream.produces {
                produces if comes_in_rounds(produces) => {
                    tasks.spawn(accounts::Rounds::new(shared, stream)?.run())
                }
                _ => tasks.spawn(activities::Activities::new(shared, stream)?.run()),
            };
        }
        let mut ended = Ended::CaughtUp;
        let mut failed = None;
        loop {
            tokio::select! {
                joined = tasks.join_next() => match joined {
                    None => break,
                    Some(Ok(Ok(StreamEnd::CaughtUp))) => {}
                    Some(Ok(Ok(StreamEnd::Stopped))) => {
                        if ended == Ended::CaughtUp {
                            ended = Ended::Stopped;
                        }
                    }
                    Some(Ok(Ok(StreamEnd::ReconnectNeeded))) => {
                        ended = Ended::ReconnectNeeded;
                        halt.stop();
                    }
                    Some(Ok(Err(error))) => {
                        failed.get_or_insert(error);
                        halt.stop();
                    }
                    Some(Err(_)) => {
                        failed.get_or_insert(ConnectError::new(
                            ConnectErrorKind::Stopped,
                            format!("the fetch of connection `{name}` broke down"),
                        ));
                        halt.stop();
                    }
                },
                () = stop.wanted(), if !halt.listen().is_wanted() => halt.stop(),
            }
        }
        shared.books.close()?;
        match failed {
            Some(error) => Err(error),
            None => Ok(Fetched { ended, report: self.get(&tenant, &name)? }),
        }
    }
}

/// Notes what the app has forgotten since the stream was last fetched, before that can't be told any
/// more: when a fetch starts, and when a stream that brought nothing for long brings something again.
fn note_loss(
    status: &mut Status,
    name: &ConnectionName,
    stream: &str,
    position: &Position,
    now: i64,
) {
    let days = status.retention_days;
    let Some(kept) = status.streams.get_mut(stream) else { return };
    let Some(lost) = crate::watch::lost(kept, position, days, now) else { return };
    tracing::error!(
        connection = %name,
        stream,
        from = casbah_model::time::format(lost.from),
        until = casbah_model::time::format(lost.until),
        "activities are lost: the app keeps them for {days} days"
    );
    kept.lost = Some(lost);
}

/// A fetch that others may wait for.
struct Arriving {
    directory: Arc<Directory>,
    name: ConnectionName,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.directory.arrived(&self.name);
    }
}

/// Whether the pages of a stream come in rounds, and are accounts or what belongs to them.
fn comes_in_rounds(produces: Produces) -> bool {
    matches!(produces, Produces::Accounts | Produces::Memberships)
}

fn stop_pair() -> (StopHandle, Stop) {
    stop()
}

/// Runs something that takes a while (a plugin, the disk) where no other task waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConnectError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        ConnectError::new(ConnectErrorKind::Plugin, "the adapter panicked while it was called")
    })
}

/// What is wrong, in the form that is kept and shown.
fn trouble(state: State, reason: &str, remedy: &str, since: i64) -> Trouble {
    Trouble {
        state,
        reason: crate::text::shown(reason, 300),
        remedy: crate::text::shown(remedy, 400),
        since,
    }
}

#[cfg(test)]
mod tests;
