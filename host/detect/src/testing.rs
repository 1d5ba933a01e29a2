//! A store in memory, and a log to put into it, for tests.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex};

use casbah_model::{Batch, BatchBuilder, TenantName};
use casbah_store::{
    BlockInfo, CheckReport, Commit, Committed, Compacted, LogBlock, Progress, Records, Retained,
    ScanRange, Stats, Store, StoreError, StoreErrorKind, Table,
};

use crate::group::Group;
use crate::policy::{PolicySet, PolicySource};
use crate::support::NativeDetectors;

/// A store in memory for one tenant.
#[derive(Default)]
pub(crate) struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    view: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    blocks: Vec<LogBlock>,
    next: u64,
    commits: u64,
    /// So many of the next commits fail, and how.
    failing: u32,
    failure: Option<StoreErrorKind>,
    /// So many of the next reads of the view fail.
    failing_reads: u32,
}

impl Inner {
    fn append(&mut self, batch: Arc<Batch>) {
        let times = batch.integers("time").unwrap_or_default();
        let info = BlockInfo {
            first_sequence: self.next,
            rows: batch.rows,
            min_time: times.iter().copied().min().unwrap_or(0),
            max_time: times.iter().copied().max().unwrap_or(0),
            bytes: 1,
        };
        self.next += u64::from(batch.rows);
        self.blocks.push(LogBlock { info, batch });
    }
}

impl MemoryStore {
    pub(crate) fn new() -> Arc<Self> {
        let store = Self::default();
        store.inner.lock().unwrap().next = 1;
        Arc::new(store)
    }

    /// Appends a batch to the log.
    pub(crate) fn append(&self, batch: Batch) {
        self.inner.lock().unwrap().append(Arc::new(batch));
    }

    pub(crate) fn fail_commits(&self, count: u32) {
        self.inner.lock().unwrap().failing = count;
    }

    /// From now on every commit fails in this way.
    pub(crate) fn break_down(&self, kind: StoreErrorKind) {
        let mut inner = self.inner.lock().unwrap();
        inner.failing = u32::MAX;
        inner.failure = Some(kind);
    }

    pub(crate) fn fail_reads(&self, count: u32) {
        self.inner.lock().unwrap().failing_reads = count;
    }

    pub(crate) fn commits(&self) -> u64 {
        self.inner.lock().unwrap().commits
    }

    /// Takes away the oldest block.
    pub(crate) fn drop_oldest_block(&self) {
        self.inner.lock().unwrap().blocks.remove(0);
    }

    pub(crate) fn keys(&self, table: Table) -> usize {
        self.inner.lock().unwrap().view.keys().filter(|(of, _)| *of == table).count()
    }
}

impl Store for MemoryStore {
    fn commit(&self, _: &TenantName, commit: Commit) -> Result<Committed, StoreError> {
        let mut inner = self.inner.lock().unwrap();
        if inner.failing > 0 {
            inner.failing -= 1;
            let kind = inner.failure.unwrap_or(StoreErrorKind::Full);
            return Err(StoreError::new(kind, "the disk is full, says the test"));
        }
        for expect in &commit.expect {
            if inner.view.get(&(expect.table, expect.key.clone())) != expect.value.as_ref() {
                return Err(StoreError::new(StoreErrorKind::Conflict, "not as expected"));
            }
        }
        for write in commit.writes {
            match write.value {
                Some(value) => inner.view.insert((write.table, write.key), value),
                None => inner.view.remove(&(write.table, write.key)),
            };
        }
        inner.commits += 1;
        let first_sequence = inner.next;
        commit.append.into_iter().for_each(|block| inner.append(block.batch));
        Ok(Committed { first_sequence, rows: inner.next - first_sequence })
    }

    fn get(&self, _: &TenantName, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut inner = self.inner.lock().unwrap();
        if inner.failing_reads > 0 {
            inner.failing_reads -= 1;
            return Err(StoreError::new(
                StoreErrorKind::Io,
                "the disk can't be read, says the test",
            ));
        }
        Ok(inner.view.get(&(table, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        _: &TenantName,
        table: Table,
        range: &ScanRange,
        reverse: bool,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let start = range.start.clone().unwrap_or_default().max(range.prefix.clone());
        let found: Vec<(Vec<u8>, Vec<u8>)> = {
            let inner = self.inner.lock().unwrap();
            inner
                .view
                .range((Bound::Included((table, start)), Bound::Unbounded))
                .take_while(|((of, key), _)| {
                    *of == table
                        && key.starts_with(&range.prefix)
                        && range.end.as_ref().is_none_or(|end| key < end)
                })
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect()
        };
        let mut found: Box<dyn Iterator<Item = _>> =
            if reverse { Box::new(found.into_iter().rev()) } else { Box::new(found.into_iter()) };
        found.all(|(key, value)| each(&key, &value));
        Ok(())
    }

    fn log_range(&self, _: &TenantName) -> Range<u64> {
        let inner = self.inner.lock().unwrap();
        inner.blocks.first().map_or(inner.next, |block| block.info.first_sequence)..inner.next
    }

    fn read(&self, _: &TenantName, sequence: u64) -> Result<Option<LogBlock>, StoreError> {
        let inner = self.inner.lock().unwrap();
        Ok(inner.blocks.iter().find(|block| block.info.end_sequence() > sequence).cloned())
    }

    fn blocks(&self, _: &TenantName) -> Vec<BlockInfo> {
        self.inner.lock().unwrap().blocks.iter().map(|block| block.info).collect()
    }

    fn raw(&self, _: &TenantName, _: &BlockInfo) -> Result<Records, StoreError> {
        Ok(Records::new())
    }

    fn seen(&self, _: &TenantName, marks: &[u64]) -> Vec<bool> {
        vec![false; marks.len()]
    }

    fn mark_key(&self) -> [u8; 16] {
        [0; 16]
    }

    fn retain(&self, _: &TenantName, _: i64) -> Result<Retained, StoreError> {
        Ok(Retained::default())
    }

    fn tenants(&self) -> Vec<TenantName> {
        vec![tenant()]
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }

    fn check(&self, _: &dyn Fn(Progress)) -> Result<CheckReport, StoreError> {
        Ok(CheckReport::default())
    }

    fn compact(&self, _: &dyn Fn(Progress)) -> Result<Compacted, StoreError> {
        Ok(Compacted::default())
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

pub(crate) fn tenant() -> TenantName {
    "test".parse().unwrap()
}

/// The group of some policies, each the text of a file, with the real detector.
pub(crate) fn group(texts: &[&str]) -> Group {
    let sources: Vec<PolicySource> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| PolicySource {
            file: format!("{index}.yaml"),
            bytes: text.as_bytes().to_vec(),
        })
        .collect();
    let set = PolicySet::read(&sources, &NativeDetectors).unwrap();
    set.groups(&NativeDetectors).unwrap().remove(0)
}

/// Fires on three exports or downloads of different things within five minutes.
pub(crate) const MASS: &str = "\
policy: mass
title: Mass export
severity: high
when: [{field: app, is: smartsheet}, {field: kind, in: [export, download]}]
repeat: {count: 3, within: 5m, by: actor, distinct: object}
alert: {group: [actor], quiet: 20m}
";

/// Fires on everything that is published to everybody.
pub(crate) const PUBLISHED: &str = "\
policy: published
title: Published
severity: low
when: [{field: kind, is: publish}, {field: fields.accessibleBy, is: ALL}]
alert: {group: [actor], quiet: 1h}
";

/// An activity of a made-up log. Times are seconds after [`DAY`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) number: usize,
    pub(crate) second: i64,
    pub(crate) actor: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) object: u8,
}

/// Monday, 5 January 2026, 00:00 UTC.
pub(crate) const DAY: i64 = 1_767_571_200_000;

impl Act {
    pub(crate) fn new(second: i64, actor: &'static str, kind: &'static str, object: u8) -> Self {
        Self { number: 0, second, actor, kind, object }
    }
}

/// A batch of activities. The id of each is its number.
pub(crate) fn batch<'a>(acts: impl IntoIterator<Item = &'a Act>) -> Batch {
    let mut builder = BatchBuilder::new();
    for act in acts {
        builder.begin_row();
        builder.text("id", &act.number.to_string());
        builder.integer("time", DAY + act.second * 1000);
        builder.integer("received", DAY + act.second * 1000);
        builder.text("app", "smartsheet");
        builder.text("kind", act.kind);
        builder.text("actor", act.actor);
        builder.text("object", &format!("sheet-{}", act.object));
        builder.integer("anonymous", i64::from(act.object == 0));
        builder.begin_nested("objects");
        builder.nested_text("objects", "role", "object");
        builder.nested_text("objects", "id", &format!("sheet-{}", act.object));
        builder.begin_nested("fields");
        builder.nested_text("fields", "key", "accessibleBy");
        builder.nested_text("fields", "value", if act.object > 2 { "ALL" } else { "ORG" });
    }
    builder.finish()
}
