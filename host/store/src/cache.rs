//! Decoded blocks that were written or read lately, bounded by the bytes they take.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use casbah_model::{Batch, Column, TenantName, Values};

type Key = (TenantName, u64);

/// The blocks used last, by tenant and first sequence number.
#[derive(Debug)]
pub(crate) struct BlockCache {
    most: usize,
    bytes: usize,
    clock: u64,
    held: HashMap<Key, Held>,
    by_use: BTreeMap<u64, Key>,
}

#[derive(Debug)]
struct Held {
    batch: Arc<Batch>,
    bytes: usize,
    used: u64,
}

impl BlockCache {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, bytes: 0, clock: 0, held: HashMap::new(), by_use: BTreeMap::new() }
    }

    pub(crate) fn get(&mut self, tenant: &TenantName, first: u64) -> Option<Arc<Batch>> {
        let key = (tenant.clone(), first);
        let held = self.held.get_mut(&key)?;
        self.clock += 1;
        self.by_use.remove(&held.used);
        held.used = self.clock;
        self.by_use.insert(self.clock, key);
        Some(Arc::clone(&held.batch))
    }

    pub(crate) fn put(&mut self, tenant: &TenantName, first: u64, batch: &Arc<Batch>) {
        let bytes = size(batch);
        if bytes > self.most {
            return;
        }
        let key = (tenant.clone(), first);
        self.clock += 1;
        let held = Held { batch: Arc::clone(batch), bytes, used: self.clock };
        self.bytes += bytes;
        self.by_use.insert(self.clock, key.clone());
        if let Some(before) = self.held.insert(key, held) {
            self.by_use.remove(&before.used);
            self.bytes -= before.bytes;
        }
        while self.bytes > self.most
            && let Some((_, key)) = self.by_use.pop_first()
        {
            if let Some(gone) = self.held.remove(&key) {
                self.bytes -= gone.bytes;
            }
        }
    }
}

/// Bytes of memory a batch takes, near enough.
fn size(batch: &Batch) -> usize {
    let columns = |columns: &[Column]| -> usize {
        columns
            .iter()
            .map(|column| match &column.values {
                Values::Text(values) => values.len() * 4,
                Values::Integer(values) => values.len() * 8,
                Values::Number(values) => values.len() * 8,
            } + 64)
            .sum()
    };
    let nested: usize =
        batch.nested.iter().map(|n| n.ends.len() * 4 + columns(&n.columns) + 64).sum();
    256 + batch.texts.bytes().len() + batch.texts.len() * 4 + columns(&batch.columns) + nested
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protects memory: what was not used for longest goes first, and the bound holds.
    #[test]
    fn the_least_used_goes() {
        let tenant: TenantName = "a".parse().unwrap();
        let batch = Arc::new(Batch::default());
        let mut cache = BlockCache::new(size(&batch) * 3);
        for first in [1, 2, 3] {
            cache.put(&tenant, first, &batch);
        }
        assert!(cache.get(&tenant, 1).is_some());
        cache.put(&tenant, 4, &batch);
        cache.put(&tenant, 4, &batch);
        assert!(cache.get(&tenant, 2).is_none());
        assert!([1, 3, 4].iter().all(|&first| cache.get(&tenant, first).is_some()));
        assert_eq!((cache.held.len(), cache.by_use.len()), (3, 3));
        assert_eq!(cache.bytes, size(&batch) * 3);
    }
}
