//! How many different things there were: exact while they are few, estimated when they are many.
//!
//! It keeps the 256 smallest of their hashes. As long as there are no more, their number is the
//! answer; beyond that, how densely they lie is: the error is about 6 %. Which order they came in, and
//! in how many parts, makes no difference.

/// How many hashes are kept.
const KEPT: usize = 256;
/// There are so many hashes: as many as four bytes of a state can tell apart.
const HASHES: u64 = 1 << 28;

/// The smallest hashes seen, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distinct(Vec<u32>);

/// The hash of a value, from its fingerprint.
pub(crate) fn hash(fingerprint: u64) -> u32 {
    (fingerprint % HASHES) as u32
}

impl Distinct {
    /// The hashes kept.
    pub(crate) fn hashes(&self) -> &[u32] {
        &self.0
    }

    /// Of hashes in rising order; `None` where they are not, or too many.
    pub(crate) fn of(hashes: Vec<u32>) -> Option<Self> {
        let rising = hashes.iter().zip(hashes.iter().skip(1)).all(|(a, b)| a < b);
        let known = hashes.last().is_none_or(|last| u64::from(*last) < HASHES);
        (rising && known && hashes.len() <= KEPT).then_some(Self(hashes))
    }

    /// Takes a hash in.
    pub(crate) fn insert(&mut self, hash: u32) {
        if let Err(place) = self.0.binary_search(&hash)
            && place < KEPT
        {
            self.0.insert(place, hash);
            self.0.truncate(KEPT);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|&hash| self.insert(hash));
    }

    /// How many different ones there were.
    pub(crate) fn count(&self) -> u64 {
        match self.0.last() {
            Some(&last) if self.0.len() >= KEPT => {
                // The last of them is the 256th: 255 lie below it.
                ((KEPT as u64 - 1) * HASHES / (u64::from(last) + 1)).max(KEPT as u64)
            }
            _ => self.0.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_when::keys::fingerprint_of;
    use proptest::prelude::*;

    fn hash(name: &str) -> u32 {
        super::hash(fingerprint_of(name))
    }

    #[test]
    fn many_are_estimated() {
        for many in [10, 256, 257, 1_000, 20_000] {
            let mut distinct = Distinct::default();
            for n in 0..many {
                distinct.insert(hash(&format!("file-{n}")));
                distinct.insert(hash(&format!("file-{}", n / 2)));
            }
            let error = (distinct.count() as f64 - many as f64).abs() / many as f64;
            assert!(error < if many <= 256 { 1e-9 } else { 0.15 }, "{many}: {}", distinct.count());
        }
    }

    proptest! {
        /// Any order and any parts come to the same, and the number only grows.
        #[test]
        fn order_and_parts_do_not_matter(hashes in proptest::collection::vec(0u32..1 << 28, 0..600), cut: usize) {
            let mut whole = Distinct::default();
            let mut before = 0;
            for &hash in &hashes {
                whole.insert(hash);
                prop_assert!(whole.count() >= before);
                before = whole.count();
            }
            let (first, second) = hashes.split_at(cut % (hashes.len() + 1));
            let (mut a, mut b) = (Distinct::default(), Distinct::default());
            first.iter().rev().for_each(|&hash| a.insert(hash));
            second.iter().rev().for_each(|&hash| b.insert(hash));
            b.merge(&a);
            prop_assert_eq!(&b, &whole);
            prop_assert_eq!(Distinct::of(b.hashes().to_vec()), Some(whole));
        }
    }
}
