//! Which marks are in the log: the newest of a tenant, in memory.
//!
//! Marks leave in log order, a generation at a time. So no mark needs a place in a queue beside its
//! place in a set, and a set never has to shrink.

use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashSet;

/// Sizes at which a hash set is exactly full: 7/8 of a power of two.
const SMALLEST: usize = 7 << 4;

/// At least the newest `rows` marks, at most about a half more.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Oldest first; the last one grows.
    generations: VecDeque<HashSet<u64, BuildHasherDefault<Mixed>>>,
    generation_rows: usize,
    most: usize,
}

impl Seen {
    pub(crate) fn new(rows: usize) -> Self {
        let mut generation_rows = SMALLEST;
        while generation_rows * 2 <= rows / 4 {
            generation_rows *= 2;
        }
        let most = rows.div_ceil(generation_rows) + 1;
        Self { generations: VecDeque::new(), generation_rows, most }
    }

    pub(crate) fn insert(&mut self, marks: &[u64]) {
        for &mark in marks {
            let full = match self.generations.back() {
                Some(newest) => newest.len() >= self.generation_rows,
                None => true,
            };
            if full {
                self.generations.push_back(HashSet::default());
                if self.generations.len() > self.most {
                    self.generations.pop_front();
                }
            }
            if let Some(newest) = self.generations.back_mut() {
                newest.insert(mark);
            }
        }
    }

    pub(crate) fn contains(&self, mark: u64) -> bool {
        // A mark that was seen was mostly seen just now.
        self.generations.iter().rev().any(|generation| generation.contains(&mark))
    }

    pub(crate) fn len(&self) -> usize {
        self.generations.iter().map(HashSet::len).sum()
    }

    /// Bytes of memory taken.
    pub(crate) fn bytes(&self) -> usize {
        self.generations.iter().map(HashSet::allocation_size).sum()
    }
}

/// Marks are hashes already, but nothing forces a caller to make good ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(byte));
        }
    }
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(value) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protects dedup: the newest `rows` marks are always known, and memory stays bounded.
    #[test]
    fn the_newest_are_known_and_the_oldest_leave() {
        for rows in [1, 100, 1_000, 10_000] {
            let mut seen = Seen::new(rows);
            let total = rows * 4 + 500;
            for mark in 0..total as u64 {
                seen.insert(&[mark]);
                let oldest = (mark + 1).saturating_sub(rows as u64);
                assert!(seen.contains(oldest) && seen.contains(mark));
                assert!(!seen.contains(mark + 1));
            }
            assert!(seen.len() <= rows + 2 * seen.generation_rows, "{rows}: {}", seen.len());
            assert!(!seen.contains(0));
        }
    }
}
