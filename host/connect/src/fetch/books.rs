//! The running account of a connection: what was counted goes into the store with every commit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use casbah_model::{ConnectionName, TenantName};
use casbah_store::{Commit, Committed, Store};
use tokio::sync::watch;

use super::Fetch;
use crate::connection::{Status, StreamStatus, Trouble, write_status};
use crate::error::ConnectError;

/// By how much the app's clock may be off before it is noted, ms.
const CLOCK: i64 = 60_000;

/// Counted since the last commit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) throttles: u64,
    pub(super) failures: u64,
    pub(super) bytes: u64,
    pub(super) recoveries: u64,
    pub(super) clock_offset: Option<i64>,
}

/// The status of a connection while it is fetched, and the only way in which it is written.
pub(super) struct Books {
    store: Arc<dyn Store>,
    tenant: TenantName,
    name: ConnectionName,
    log_end: Option<watch::Sender<u64>>,
    /// Held during a commit, so that the streams' commits don't undo each other's counters.
    status: Mutex<Status>,
    tally: Mutex<Tally>,
}

impl Books {
    pub(super) fn new(store: Arc<dyn Store>, fetch: &Fetch, status: Status) -> Self {
        Self {
            store,
            tenant: fetch.tenant.clone(),
            name: fetch.connection.clone(),
            log_end: fetch.log_end.clone(),
            status: Mutex::new(status),
            tally: Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(super) fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    pub(super) fn name(&self) -> &ConnectionName {
        &self.name
    }

    /// Counts something that goes into the store with the next commit. Never waits for the disk.
    pub(super) fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut lock(&self.tally));
    }

    /// Commits together with the status as `change` leaves it. Blocks for the disk.
    pub(super) fn commit(
        &self,
        mut commit: Commit,
        change: impl FnOnce(&mut Status),
    ) -> Result<Committed, ConnectError> {
        let mut status = lock(&self.status);
        let tally = std::mem::take(&mut *lock(&self.tally));
        let mut next = status.clone();
        settle(&mut next, &tally);
        change(&mut next);
        let written = write_status(&self.name, &next).and_then(|write| {
            commit.writes.push(write);
            Ok(self.store.commit(&self.tenant, commit)?)
        });
        let committed = match written {
            Ok(committed) => committed,
            Err(error) => {
                restore(&mut lock(&self.tally), &tally);
                return Err(error);
            }
        };
        *status = next;
        drop(status);
        if committed.rows > 0
            && let Some(log_end) = &self.log_end
        {
            let end = committed.first_sequence + committed.rows;
            log_end.send_if_modified(|known| {
                let grew = end > *known;
                *known = end.max(*known);
                grew
            });
        }
        Ok(committed)
    }

    /// Notes what is wrong with a stream for the next commit, when the store refused it.
    pub(super) fn remember(&self, stream: &str, trouble: Trouble) {
        lock(&self.status).streams.entry(stream.to_owned()).or_default().trouble = Some(trouble);
    }

    /// Commits what was counted and not committed yet, if anything.
    pub(super) fn close(&self) -> Result<(), ConnectError> {
        let Tally { calls, throttles, failures, bytes, recoveries, .. } = *lock(&self.tally);
        if calls + throttles + failures + bytes + recoveries > 0 {
            self.commit(Commit::new(), |_| {})?;
        }
        Ok(())
    }

    /// The status of a stream, as it was last committed.
    pub(super) fn stream(&self, stream: &str) -> StreamStatus {
        lock(&self.status).streams.get(stream).cloned().unwrap_or_default()
    }
}

fn settle(status: &mut Status, tally: &Tally) {
    let counters = &mut status.counters;
    counters.calls += tally.calls;
    counters.throttles += tally.throttles;
    counters.failures += tally.failures;
    counters.bytes += tally.bytes;
    counters.recoveries += tally.recoveries;
    if let Some(offset) = tally.clock_offset {
        status.clock_offset = (offset.abs() > CLOCK).then_some(offset);
    }
}

/// Takes back what a failed commit would have written.
fn restore(tally: &mut Tally, before: &Tally) {
    tally.calls += before.calls;
    tally.throttles += before.throttles;
    tally.failures += before.failures;
    tally.bytes += before.bytes;
    tally.recoveries += before.recoveries;
    tally.clock_offset = tally.clock_offset.or(before.clock_offset);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
