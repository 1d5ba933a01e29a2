//! The durable log and the ordered view of every tenant.
//!
//! Everything that must not be lost goes through [`Store::commit`]: changes of an ordered
//! key-value *view* and blocks for the end of a *log* of activities, in one atomic and durable
//! write. `README.md` tells which files there are and what is guaranteed.
//!
//! It is not a query engine (who reads walks blocks and keys), it gives keys and values no
//! meaning, and it keeps no secrets: what must be encrypted comes encrypted.

mod block;
mod cache;
mod check;
mod engine;
mod error;
mod files;
mod fold;
mod identity;
mod journal;
mod log;
mod merge;
mod opening;
mod seen;
mod segment;
#[cfg(test)]
mod sim;
mod sled_view;
mod snapshot;
#[cfg(test)]
mod tests;
mod types;
mod view;
mod wire;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use casbah_model::TenantName;

use engine::Engine;
use files::{Files, RealFiles};
use identity::Lock;
use sled_view::SledViews;

/// The store on the files of this machine, with its view in sled.
pub use engine::Engine as SledStore;
pub use error::{StoreError, StoreErrorKind};
pub use types::{
    BlockInfo, CheckReport, Commit, Committed, Compacted, Expect, Finding, LogBlock, NewBlock,
    Options, Progress, Records, Retained, ScanRange, Stats, Table, Task, Write,
};

/// The log and the view of all tenants.
///
/// Every method may be called from any thread, and blocks the thread for as long as the disk takes.
pub trait Store: Send + Sync {
    /// Writes everything or nothing; it is durable when this returns. Commits that come at the same
    /// time share one sync of the disk.
    ///
    /// # Errors
    /// `Conflict` when an expectation does not hold, `Invalid` for a block without rows or with
    /// marks or raw records that do not fit them; `Full` and `Io` when nothing was written;
    /// `Poisoned` when it is open whether it was.
    fn commit(&self, tenant: &TenantName, commit: Commit) -> Result<Committed, StoreError>;

    /// A value of the view.
    ///
    /// # Errors
    /// When the view's engine fails.
    fn get(
        &self,
        tenant: &TenantName,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Calls `each` with key and value, in the order of keys or backwards, until it returns false.
    ///
    /// What is committed meanwhile may be visited or not.
    ///
    /// # Errors
    /// When the view's engine fails.
    fn scan(
        &self,
        tenant: &TenantName,
        table: Table,
        range: &ScanRange,
        reverse: bool,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError>;

    /// First sequence number still held, and the next to be given. Numbers start at 1.
    fn log_range(&self, tenant: &TenantName) -> Range<u64>;

    /// The block that holds `sequence`, or else the first after it; `None` at the end of the log.
    ///
    /// # Errors
    /// When a segment cannot be read or is damaged.
    fn read(&self, tenant: &TenantName, sequence: u64) -> Result<Option<LogBlock>, StoreError>;

    /// Descriptions of all blocks, oldest first.
    fn blocks(&self, tenant: &TenantName) -> Vec<BlockInfo>;

    /// The raw records of a block, one a row, or none when none were given. A block that retention
    /// took away meanwhile is `Invalid`; one that became part of a larger block is found there.
    ///
    /// # Errors
    /// When a segment cannot be read or is damaged.
    fn raw(&self, tenant: &TenantName, block: &BlockInfo) -> Result<Records, StoreError>;

    /// Which of these marks are among the newest rows of the log (see [`Options::seen_rows`]).
    fn seen(&self, tenant: &TenantName, marks: &[u64]) -> Vec<bool>;

    /// The key for making marks: random, made with the store, kept in it.
    fn mark_key(&self) -> [u8; 16];

    /// Drops whole segments of the log whose newest activity is older than `before`, in
    /// milliseconds since 1970, and gives their space back.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn retain(&self, tenant: &TenantName, before: i64) -> Result<Retained, StoreError>;

    /// All tenants that were ever written to, in the order of their names.
    fn tenants(&self) -> Vec<TenantName>;

    /// Sizes and counts.
    fn stats(&self) -> Stats;

    /// Reads every file, decodes every block, compares the view with snapshot and journal.
    ///
    /// # Errors
    /// Only when the check itself cannot be carried out: damage is in the report.
    fn check(&self, progress: &dyn Fn(Progress)) -> Result<CheckReport, StoreError>;

    /// Builds the view again from snapshot and journal, which gives back what its engine does not.
    ///
    /// # Errors
    /// When snapshot or journal are damaged, or the disk fails or is full.
    fn compact(&self, progress: &dyn Fn(Progress)) -> Result<Compacted, StoreError>;

    /// Writes a snapshot now, so that opening is quick and the journal short.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn checkpoint(&self) -> Result<(), StoreError>;

    /// Leaves everything in order; every write after it is `Closed`. A store that is dropped without
    /// loses nothing either, but may take longer to open.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn close(&self) -> Result<(), StoreError>;
}

/// Opens the store in `dir`, or makes one there, and keeps other processes out of it.
///
/// # Errors
/// `Locked` when another process has it, `NewerFormat` when a newer program wrote it, `Damaged`
/// when a file that cannot be rebuilt is not what was written.
pub fn open(
    dir: &Path,
    options: Options,
    progress: &dyn Fn(Progress),
) -> Result<SledStore, StoreError> {
    let shown = dir.display().to_string();
    files::create_private_folder(dir).map_err(|error| StoreError::io("make", &shown, error))?;
    let lock = Lock::take(dir)?;
    let files: Arc<dyn Files> = Arc::new(RealFiles::new(dir));
    let views = SledViews::new(dir, Arc::clone(&files), options.view_cache_bytes);
    let engine = Engine::open(files, Box::new(views), options, Some(lock), progress)?;
    Ok(engine)
}

/// Reads every file in `dir` and decodes every block, without the view and without changing
/// anything: for a data folder that does not open.
///
/// # Errors
/// `Locked` when another process has it; damage is in the report.
pub fn check(dir: &Path, progress: &dyn Fn(Progress)) -> Result<CheckReport, StoreError> {
    let _lock = Lock::take(dir)?;
    check::check_closed(&RealFiles::new(dir), progress)
}
