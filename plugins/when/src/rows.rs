//! A set of a batch's rows, one bit each.

/// Rows of one batch. All sets that meet are over the same number of rows.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Number of rows of the batch.
    len: usize,
    /// A bit a row; none at all while no row is held, which is the most common set.
    words: Vec<u64>,
}

impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        if self.words.len() == other.words.len() {
            return self.words == other.words;
        }
        self.is_empty() && other.is_empty()
    }
}

impl Eq for Rows {}

impl Rows {
    /// No rows of a batch of `len`.
    pub fn none(len: usize) -> Self {
        Self { len, words: Vec::new() }
    }

    /// All rows of a batch of `len`.
    pub fn all(len: usize) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(64)];
        if !len.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            *last = (1 << (len % 64)) - 1;
        }
        Self { len, words }
    }

    /// Number of rows of the batch, held or not.
    pub(crate) fn of(&self) -> usize {
        self.len
    }

    /// Number of rows held.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no row is held.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Whether a row is held.
    #[inline]
    pub fn holds(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Takes a row in; one beyond the batch is passed over.
    #[inline]
    pub fn insert(&mut self, row: usize) {
        if row >= self.len {
            return;
        }
        if self.words.is_empty() {
            self.words = vec![0; self.len.div_ceil(64)];
        }
        if let Some(word) = self.words.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
    }

    /// Keeps what the other holds too.
    pub fn and(&mut self, other: &Self) {
        if other.words.is_empty() {
            self.words.clear();
        }
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// Keeps what the other does not hold.
    pub fn and_not(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// Takes in what the other holds.
    pub fn or(&mut self, other: &Self) {
        if self.words.is_empty() {
            self.words.clone_from(&other.words);
            return;
        }
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// The rows held that answer *yes*.
    #[inline]
    pub fn filter(&self, mut holds: impl FnMut(usize) -> bool) -> Self {
        let words = self
            .words
            .iter()
            .enumerate()
            .map(|(index, &word)| {
                let (mut left, mut kept) = (word, 0);
                while left != 0 {
                    let bit = left.trailing_zeros();
                    left &= left - 1;
                    kept |= u64::from(holds(index * 64 + bit as usize)) << bit;
                }
                kept
            })
            .collect();
        Self { len: self.len, words }
    }

    /// The rows held, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            std::iter::successors(Some(word), |left| Some(left & left.wrapping_sub(1)))
                .take_while(|left| *left != 0)
                .map(move |left| index * 64 + left.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(len: usize, rows: &BTreeSet<usize>) -> Rows {
        let mut set = Rows::none(len);
        rows.iter().for_each(|&row| set.insert(row));
        set
    }

    proptest! {
        /// Bits say what a plain set of numbers says, at every length.
        #[test]
        fn agrees_with_a_plain_set(
            len in 0usize..200,
            a in proptest::collection::btree_set(0usize..200, 0..60),
            b in proptest::collection::btree_set(0usize..200, 0..60),
        ) {
            let a: BTreeSet<_> = a.into_iter().filter(|&row| row < len).collect();
            let b: BTreeSet<_> = b.into_iter().filter(|&row| row < len).collect();
            let (x, y) = (set(len, &a), set(len, &b));
            prop_assert_eq!(x.iter().collect::<BTreeSet<_>>(), a.clone());
            prop_assert_eq!(x.count(), a.len());
            prop_assert_eq!(x.is_empty(), a.is_empty());
            prop_assert_eq!(Rows::all(len).iter().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
            let mut and = x.clone();
            and.and(&y);
            prop_assert_eq!(and, set(len, &a.intersection(&b).copied().collect()));
            let mut or = x.clone();
            or.or(&y);
            prop_assert_eq!(or, set(len, &a.union(&b).copied().collect()));
            let mut not = x.clone();
            not.and_not(&y);
            prop_assert_eq!(not, set(len, &a.difference(&b).copied().collect()));
            prop_assert!((0..260).all(|row| x.holds(row) == a.contains(&row)));
            let odd = x.filter(|row| row % 2 == 1);
            prop_assert_eq!(odd, set(len, &a.iter().copied().filter(|row| row % 2 == 1).collect()));
        }
    }
}
