//! The keyed state of a group: what has changed since the last checkpoint, over a bounded copy of
//! what the store holds.

use std::collections::{HashMap, HashSet};

use casbah_model::TenantName;
use casbah_store::{Commit, Store, StoreError, Table};

use crate::group::Prefix;
use crate::step::States;

/// State that was read or written is kept in two generations: when the young one has grown to half
/// the limit it becomes the old one, and the old one goes. So what is used often stays, and
/// forgetting costs nothing a read.
pub(super) struct Cache {
    changed: HashMap<Vec<u8>, Vec<u8>>,
    young: HashMap<Vec<u8>, Vec<u8>>,
    old: HashMap<Vec<u8>, Vec<u8>>,
    young_bytes: usize,
    limit: usize,
}

/// What an entry costs beside its bytes.
const ENTRY: usize = 96;

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            changed: HashMap::new(),
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            limit,
        }
    }

    /// This state over a store.
    pub(super) fn over<'a>(&'a mut self, store: &'a dyn Store, tenant: &'a TenantName) -> Over<'a> {
        Over { cache: self, store, tenant }
    }

    /// Adds all changes to a commit. They stay changes until [`Cache::kept`].
    pub(super) fn write(&self, mut commit: Commit) -> Commit {
        for (key, value) in &self.changed {
            commit = if value.is_empty() {
                commit.delete(Table::State, key.clone())
            } else {
                commit.put(Table::State, key.clone(), value.clone())
            };
        }
        commit
    }

    /// The changes are in the store now.
    pub(super) fn kept(&mut self) {
        for (key, value) in std::mem::take(&mut self.changed) {
            self.remember(key, value);
        }
    }

    /// Forgets what is known of state that begins like this. There must be no changes.
    pub(super) fn forget(&mut self, prefixes: &HashSet<Prefix>) {
        if prefixes.is_empty() {
            return;
        }
        let stays = |key: &Vec<u8>| {
            key.first_chunk().is_none_or(|prefix: &Prefix| !prefixes.contains(prefix))
        };
        self.young.retain(|key, _| stays(key));
        self.old.retain(|key, _| stays(key));
    }

    /// Bytes of changes that wait to be written, roughly.
    pub(super) fn changed_keys(&self) -> usize {
        self.changed.len()
    }

    fn remember(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.young_bytes += key.len() + value.len() + ENTRY;
        self.young.insert(key, value);
        if self.young_bytes > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

pub(super) struct Over<'a> {
    cache: &'a mut Cache,
    store: &'a dyn Store,
    tenant: &'a TenantName,
}

impl States for Over<'_> {
    fn get(&mut self, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        if let Some(value) = self.cache.changed.get(key).or_else(|| self.cache.young.get(key)) {
            return Ok(value.clone());
        }
        let value = match self.cache.old.remove(key) {
            Some(value) => value,
            None => self.store.get(self.tenant, Table::State, key)?.unwrap_or_default(),
        };
        self.cache.remember(key.to_vec(), value.clone());
        Ok(value)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        // A stale copy in either generation is hidden by the change, and replaced when it is kept.
        self.cache.changed.insert(key, value);
    }
}
