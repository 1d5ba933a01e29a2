//! What goes into the store and what comes out, as plain types.

use std::sync::Arc;

use casbah_model::Batch;

/// Settings of a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// A tenant's tail of the log becomes a segment file when it has this many bytes: 4 MiB.
    pub seal_bytes: usize,
    /// A snapshot is written when the journal has grown by this many bytes: 16 MiB.
    pub snapshot_journal_bytes: u64,
    /// At least so many of a tenant's newest rows are known to [`Store::seen`](crate::Store::seen):
    /// two million.
    pub seen_rows: usize,
    /// Bytes of decoded blocks kept in memory: 32 MiB.
    pub block_cache_bytes: usize,
    /// Bytes of the view kept in memory by its engine: 16 MiB. It takes two to three times that.
    pub view_cache_bytes: u64,
    /// Level of compression of the log, 1 to 19.
    pub compression: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seal_bytes: 4 << 20,
            snapshot_journal_bytes: 16 << 20,
            seen_rows: 2_000_000,
            block_cache_bytes: 32 << 20,
            view_cache_bytes: 16 << 20,
            compression: 1,
        }
    }
}

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident = $tag:literal $word:literal,)*) => {
        /// Tables of the view. A key is unique within its tenant and table.
        ///
        /// The store gives the names no meaning: they only keep the rooms out of each other's way.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Table { $($(#[$doc])* $name = $tag,)* }

        impl Table {
            /// Every table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word for it in messages.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

tables! {
    /// Connections and their settings.
    Connection = 1 "connection",
    /// Encrypted credentials.
    Secret = 2 "secret",
    /// Where each stream of a connection stands.
    Cursor = 3 "cursor",
    /// Accounts that apps told of.
    Account = 4 "account",
    /// Keyed state of policies.
    State = 5 "state",
    /// How far each group of policies has read the log.
    Offset = 6 "offset",
    /// Alerts.
    Alert = 7 "alert",
    /// Effects that wait to be carried out.
    Outbox = 8 "outbox",
    /// Activities that a detector could not digest.
    DeadLetter = 9 "dead-letter",
    /// Counters of fetching and evaluation.
    Counter = 10 "counter",
    /// Alerts in other orders, such as by time.
    AlertIndex = 11 "alert-index",
    /// Everything else.
    Meta = 12 "meta",
    /// Behaviors by time: alert records that have not crossed the alerting line.
    BehaviorIndex = 13 "behavior-index",
    /// Alerts of candidates that run in shadow, by policy and time.
    ShadowIndex = 14 "shadow-index",
    /// Alerts beyond the limit of their policy and day, by time.
    HeldBackIndex = 15 "held-back-index",
    /// Revisions of policies: their texts, and from when to when they were in force.
    PolicyHistory = 16 "policy-history",
}

impl Table {
    pub(crate) fn tag(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|table| table.tag() == tag)
    }
}

/// One change of the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Table.
    pub table: Table,
    /// Key within the tenant and table.
    pub key: Vec<u8>,
    /// New value; `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// What must hold for a commit to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Table.
    pub table: Table,
    /// Key within the tenant and table.
    pub key: Vec<u8>,
    /// Its value; `None` means that there is none.
    pub value: Option<Vec<u8>>,
}

/// Something to be written, wholly or not at all.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// What must hold, looked at in the same instant as the writes are made.
    pub expect: Vec<Expect>,
    /// Changes of the view; of two changes of one key the later wins.
    pub writes: Vec<Write>,
    /// Blocks for the end of the log.
    pub append: Vec<NewBlock>,
}

impl Commit {
    /// Nothing, so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value to be written.
    #[must_use]
    pub fn put(mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.writes.push(Write { table, key: key.into(), value: Some(value.into()) });
        self
    }

    /// Adds a key to be deleted.
    #[must_use]
    pub fn delete(mut self, table: Table, key: impl Into<Vec<u8>>) -> Self {
        self.writes.push(Write { table, key: key.into(), value: None });
        self
    }

    /// Adds a condition.
    #[must_use]
    pub fn expect(mut self, table: Table, key: impl Into<Vec<u8>>, value: Option<Vec<u8>>) -> Self {
        self.expect.push(Expect { table, key: key.into(), value });
        self
    }

    /// Adds a block for the end of the log.
    #[must_use]
    pub fn append(mut self, block: NewBlock) -> Self {
        self.append.push(block);
        self
    }
}

/// Activities on their way into the log.
#[derive(Clone, Debug)]
pub struct NewBlock {
    /// The activities, at least one. Their sequence numbers are given by the commit; the batch
    /// itself is kept as it is.
    pub batch: Arc<Batch>,
    /// What the app sent: one record a row, or none at all.
    pub raw: Records,
    /// Keyed hashes of what makes each activity the same as another: one a row, or none at all.
    pub marks: Vec<u64>,
    /// Time of the oldest activity, in milliseconds since 1970.
    pub min_time: i64,
    /// Time of the newest activity.
    pub max_time: i64,
}

/// Byte strings one after another: record `i` is `bytes[ends[i - 1]..ends[i]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Records {
    /// No records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a blob and its end offsets; `None` when they do not fit each other.
    pub fn from_parts(bytes: Vec<u8>, ends: Vec<u32>) -> Option<Self> {
        let last = ends.last().map_or(0, |&end| end as usize);
        let fits = last == bytes.len() && ends.is_sorted();
        fits.then_some(Self { bytes, ends })
    }

    /// Adds a record; `false` when the records have become 4 GiB and it was left out.
    pub fn push(&mut self, record: &[u8]) -> bool {
        let Ok(end) = u32::try_from(self.bytes.len() + record.len()) else { return false };
        self.bytes.extend_from_slice(record);
        self.ends.push(end);
        true
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A record.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)? as usize;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.bytes.get(start..end)
    }

    /// All records in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// The blob.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The end offsets.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }
}

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Sequence number of the first row appended; of the next row to come when none was.
    pub first_sequence: u64,
    /// Number of rows appended.
    pub rows: u64,
}

/// Which keys of a table a scan visits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanRange {
    /// What the keys begin with.
    pub prefix: Vec<u8>,
    /// Keys from this one on, itself included; a whole key, prefix included.
    pub start: Option<Vec<u8>>,
    /// Keys before this one; a whole key, prefix included.
    pub end: Option<Vec<u8>>,
}

impl ScanRange {
    /// The whole table.
    pub fn all() -> Self {
        Self::default()
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// Only keys from `start` on.
    #[must_use]
    pub fn from(mut self, start: impl Into<Vec<u8>>) -> Self {
        self.start = Some(start.into());
        self
    }

    /// Only keys before `end`.
    #[must_use]
    pub fn before(mut self, end: impl Into<Vec<u8>>) -> Self {
        self.end = Some(end.into());
        self
    }
}

/// Description of a block of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Sequence number of its first row; the others follow one by one.
    pub first_sequence: u64,
    /// Number of rows.
    pub rows: u32,
    /// Time of its oldest activity, in milliseconds since 1970.
    pub min_time: i64,
    /// Time of its newest activity.
    pub max_time: i64,
    /// Bytes it takes on disk.
    pub bytes: u64,
}

impl BlockInfo {
    /// Sequence number after its last row.
    pub fn end_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.rows)
    }
}

/// A block of the log, decoded.
#[derive(Clone, Debug)]
pub struct LogBlock {
    /// Its description.
    pub info: BlockInfo,
    /// The activities, as they were appended (without their sequence numbers: row `r` has
    /// `info.first_sequence + r`).
    pub batch: Arc<Batch>,
}

/// What retention took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Activities that went.
    pub activities: u64,
    /// Segment files that went.
    pub segments: u64,
    /// Bytes of the log that went.
    pub bytes: u64,
}

/// Sizes and counts of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Number of tenants.
    pub tenants: u64,
    /// Activities in the log.
    pub activities: u64,
    /// Blocks in the log.
    pub blocks: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes in segment files.
    pub segment_bytes: u64,
    /// Bytes of the log that are in the journal and in memory, not in a segment yet.
    pub tail_bytes: u64,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Bytes of the last snapshot.
    pub snapshot_bytes: u64,
    /// Bytes of the view's folder.
    pub view_bytes: u64,
    /// Marks known to [`Store::seen`](crate::Store::seen).
    pub seen_marks: u64,
    /// Bytes of memory these take.
    pub seen_bytes: u64,
    /// Commits since the store was opened.
    pub commits: u64,
    /// Syncs of the journal since then; commits that come at the same time share one.
    pub syncs: u64,
    /// Why the view was rebuilt when the store was opened, if it was.
    pub view_rebuilt: Option<String>,
}

/// A long task that tells how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Task {
    /// The view is built again from snapshot and journal.
    Rebuild,
    /// The files are checked.
    Check,
}

/// How far a long task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The task.
    pub task: Task,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Damage that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the data folder.
    pub file: String,
    /// What is wrong with it, and where.
    pub what: String,
}

/// Result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Blocks of the log that were decoded, raw records included.
    pub blocks: u64,
    /// Entries of the view that were compared with snapshot and journal.
    pub entries: u64,
    /// What is wrong; empty when all is well.
    pub findings: Vec<Finding>,
}

/// What compacting the view gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the view's folder before.
    pub before: u64,
    /// Bytes of the view's folder after.
    pub after: u64,
}
