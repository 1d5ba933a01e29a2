//! Which of many overlapping ranges hold an address: flat sorted segments, found by halving.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::address::Range;

/// Sets of owners (numbers that the caller gives to ranges) by address.
///
/// Built once; 8 bytes a segment for IPv4 and 20 for IPv6, with at most two segments a range.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    v4: Segments<u32>,
    v6: Segments<u128>,
    /// Every set that occurs, sorted; set 0 is the empty one.
    sets: Vec<Vec<u16>>,
}

/// Segment `i` reaches from `starts[i]` to the next start and has set `sets[i]`. What lies before the
/// first has none.
#[derive(Clone, Debug, Default)]
struct Segments<T> {
    starts: Vec<T>,
    sets: Vec<u32>,
}

impl<T: Ord> Segments<T> {
    fn get(&self, address: &T) -> u32 {
        let after = self.starts.partition_point(|start| start <= address);
        after.checked_sub(1).and_then(|at| self.sets.get(at)).copied().unwrap_or(0)
    }
}

/// Where ranges begin (1) and end (-1), by owner.
struct Edges<T>(Vec<(T, u16, i32)>);

impl<T: Ord + Copy> Edges<T> {
    fn flatten(mut self, sets: &mut Sets) -> Segments<T> {
        self.0.sort_unstable();
        let mut active: BTreeMap<u16, i32> = BTreeMap::new();
        let mut segments = Segments { starts: Vec::new(), sets: Vec::new() };
        let mut edges = self.0.into_iter().peekable();
        while let Some((at, owner, step)) = edges.next() {
            let count = active.entry(owner).or_insert(0);
            *count += step;
            if *count == 0 {
                active.remove(&owner);
            }
            if edges.peek().is_some_and(|next| next.0 == at) {
                continue;
            }
            let set = sets.of(&active);
            if segments.sets.last().copied().unwrap_or(0) != set {
                segments.starts.push(at);
                segments.sets.push(set);
            }
        }
        segments.starts.shrink_to_fit();
        segments.sets.shrink_to_fit();
        segments
    }
}

#[derive(Default)]
struct Sets {
    known: HashMap<Vec<u16>, u32>,
    all: Vec<Vec<u16>>,
}

impl Sets {
    fn of(&mut self, active: &BTreeMap<u16, i32>) -> u32 {
        let set: Vec<u16> = active.keys().copied().collect();
        if let Some(&known) = self.known.get(&set) {
            return known;
        }
        let id = self.all.len() as u32;
        self.known.insert(set.clone(), id);
        self.all.push(set);
        id
    }
}

impl Table {
    /// Puts ranges together, each with the number of its owner.
    pub(crate) fn new(ranges: impl Iterator<Item = (Range, u16)>) -> Self {
        let (mut v4, mut v6) = (Edges(Vec::new()), Edges(Vec::new()));
        for (range, owner) in ranges {
            match range {
                Range::V4(first, last) => {
                    v4.0.push((first, owner, 1));
                    v4.0.extend(last.checked_add(1).map(|end| (end, owner, -1)));
                }
                Range::V6(first, last) => {
                    v6.0.push((first, owner, 1));
                    v6.0.extend(last.checked_add(1).map(|end| (end, owner, -1)));
                }
            }
        }
        let mut sets = Sets::default();
        sets.of(&BTreeMap::new());
        Self { v4: v4.flatten(&mut sets), v6: v6.flatten(&mut sets), sets: sets.all }
    }

    /// The owners of the ranges that hold an address, in rising order.
    pub(crate) fn get(&self, address: IpAddr) -> &[u16] {
        let set = match address {
            IpAddr::V4(address) => self.v4.get(&address.into()),
            IpAddr::V6(address) => self.v6.get(&address.into()),
        };
        self.sets.get(set as usize).map_or(&[], Vec::as_slice)
    }

    /// Bytes that the segments take.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.v4.starts.len() * 8 + self.v6.starts.len() * 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn range() -> impl Strategy<Value = Range> {
        // Few addresses, so that ranges touch, nest and repeat; both ends of the space among them.
        let v4 = (0_u32..40, 0_u32..12, any::<bool>()).prop_map(|(first, more, high)| {
            let base = if high { u32::MAX - 51 } else { 0 };
            Range::V4(base + first, base + first + more)
        });
        let v6 = (0_u128..40, 0_u128..12, any::<bool>()).prop_map(|(first, more, high)| {
            let base = if high { u128::MAX - 51 } else { 0 };
            Range::V6(base + first, base + first + more)
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        /// The flat table answers as looking through all ranges does.
        #[test]
        fn the_table_agrees_with_looking_through_all(
            ranges in proptest::collection::vec((range(), 0_u16..5), 0..30)
        ) {
            let table = Table::new(ranges.iter().copied());
            let v4 = (0..55).chain(u32::MAX - 55..=u32::MAX).map(|n| IpAddr::from(Ipv4Addr::from(n)));
            let v6 = (0..55).chain(u128::MAX - 55..=u128::MAX).map(|n| IpAddr::from(Ipv6Addr::from(n)));
            for address in v4.chain(v6) {
                let mut owners: Vec<u16> = ranges
                    .iter()
                    .filter(|(range, _)| range.contains(address))
                    .map(|&(_, owner)| owner)
                    .collect();
                owners.sort_unstable();
                owners.dedup();
                prop_assert_eq!(table.get(address), owners.as_slice(), "{}", address);
            }
        }
    }

    /// Hundreds of thousands of prefixes stay small: two segments each at most.
    #[test]
    fn a_large_table_is_compact() {
        let ranges = (0..200_000_u32).map(|n| (Range::V4(n * 16, n * 16 + 7), 0));
        let table = Table::new(ranges);
        assert_eq!(table.bytes(), 400_000 * 8);
    }
}
