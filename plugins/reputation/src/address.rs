//! What is remembered of an address: who used it first, and on which days.
//!
//! Time is cut into stretches of 64 days. For each of the last three there are the days on which the
//! address was used, and the people who used it first, as many as make it common. Both are functions
//! of *which* activities there were, not of their order: days are a set, and the first people are the
//! smallest of (first day, person). So late activities are simply added.
//!
//! It is not where activities are judged to be worth a finding: only whether the address was common.

use casbah_plugin::state::{Reader, Writer};

use crate::settings::Common;

const VERSION: u64 = 1;
/// Days of a stretch: as many as a word has bits.
const STRETCH: i64 = 64;
/// How many stretches are kept, the newest included.
const KEPT: i64 = 3;

/// What is remembered of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    /// Stretches by number.
    stretches: Vec<Stretch>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stretch {
    number: i64,
    /// A bit a day.
    days: u64,
    /// First day within the stretch and hash of the person, the first ones first.
    people: Vec<(u8, u32)>,
}

/// How widely an address was used before some day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// People, counted up to what makes an address common.
    pub(crate) people: usize,
    /// Days.
    pub(crate) days: usize,
}

impl Use {
    pub(crate) fn is_common(self, common: Common) -> bool {
        self.people >= common.users && self.days >= common.days
    }
}

impl Address {
    /// Takes in that somebody used the address on a day (since 1970).
    pub(crate) fn add(&mut self, day: i64, person: u32, common: Common) {
        let (number, within) = (day.div_euclid(STRETCH), day.rem_euclid(STRETCH) as u8);
        let oldest = self.stretches.last().map_or(i64::MIN, |newest| newest.number - KEPT + 1);
        if number < oldest {
            return;
        }
        let place = match self.stretches.binary_search_by_key(&number, |stretch| stretch.number) {
            Ok(place) => place,
            Err(place) => {
                self.stretches.insert(place, Stretch { number, ..Stretch::default() });
                place
            }
        };
        if let Some(stretch) = self.stretches.get_mut(place) {
            stretch.add(within, person, common.users);
        }
        let oldest = self.stretches.last().map_or(i64::MIN, |newest| newest.number - KEPT + 1);
        self.stretches.retain(|stretch| stretch.number >= oldest);
    }

    /// How widely it was used before a day, in that stretch of days and the one before.
    pub(crate) fn before(&self, day: i64, common: Common) -> Use {
        let newest = (day - 1).div_euclid(STRETCH);
        let mut people: Vec<u32> = Vec::new();
        let mut days = 0;
        for stretch in &self.stretches {
            if stretch.number != newest && stretch.number != newest - 1 {
                continue;
            }
            // Days of this stretch that lie before; at least one, since the day before does.
            let within = (day - stretch.number * STRETCH).clamp(0, STRETCH) as u32;
            let mask = u64::MAX.checked_shr(STRETCH as u32 - within).unwrap_or(0);
            days += (stretch.days & mask).count_ones() as usize;
            for &(first, person) in &stretch.people {
                if u32::from(first) < within && !people.contains(&person) {
                    people.push(person);
                }
            }
        }
        Use { people: people.len().min(common.users), days }
    }

    /// Reads what [`Address::write`] wrote; nothing of other bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut reader = Reader::new(bytes);
        if reader.number()? != VERSION {
            return None;
        }
        let mut stretches: Vec<Stretch> = Vec::new();
        for _ in 0..reader.length(4)? {
            let number = reader.signed()?;
            let days = reader.number()?;
            let mut people = Vec::new();
            for _ in 0..reader.length(2)? {
                let first =
                    u8::try_from(reader.number()?).ok().filter(|&day| day < STRETCH as u8)?;
                people.push((first, u32::try_from(reader.number()?).ok()?));
            }
            // Numbers that lie far out would overflow where they are reckoned with.
            let in_order = stretches.last().is_none_or(|last| last.number < number);
            if !in_order || number.abs() > i64::MAX / 1024 {
                return None;
            }
            stretches.push(Stretch { number, days, people });
        }
        reader.is_empty().then_some(Self { stretches })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.number(VERSION);
        writer.number(self.stretches.len() as u64);
        for stretch in &self.stretches {
            writer.signed(stretch.number);
            writer.number(stretch.days);
            writer.number(stretch.people.len() as u64);
            for &(first, person) in &stretch.people {
                writer.number(first.into());
                writer.number(person.into());
            }
        }
        writer.finish()
    }
}

impl Stretch {
    fn add(&mut self, day: u8, person: u32, most: usize) {
        self.days |= 1 << day;
        match self.people.iter_mut().find(|(_, known)| *known == person) {
            Some((first, _)) => *first = day.min(*first),
            None => self.people.push((day, person)),
        }
        self.people.sort_unstable();
        self.people.truncate(most);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use proptest::prelude::*;

    const COMMON: Common = Common { users: 3, days: 4 };

    /// How widely an address was used, from all that happened.
    fn oracle(uses: &[(i64, u32)], before: i64) -> Use {
        let newest = (before - 1).div_euclid(64);
        let counted = |day: i64| day < before && [newest, newest - 1].contains(&day.div_euclid(64));
        let days: BTreeSet<i64> =
            uses.iter().map(|(day, _)| *day).filter(|&day| counted(day)).collect();
        let mut first: BTreeMap<u32, i64> = BTreeMap::new();
        for (day, person) in uses.iter().filter(|(day, _)| counted(*day)) {
            let known = first.entry(*person).or_insert(*day);
            *known = (*known).min(*day);
        }
        Use { people: first.len().min(COMMON.users), days: days.len() }
    }

    proptest! {
        /// However few people are kept, the answer is that of everything that happened, in any order.
        #[test]
        fn counts_what_happened(
            uses in proptest::collection::vec((19_900i64..20_090, 0u32..8), 0..60),
            seed in any::<u64>(),
        ) {
            let mut address = Address::default();
            uses.iter().for_each(|&(day, person)| address.add(day, person, COMMON));
            let newest = uses.iter().map(|(day, _)| *day).max().unwrap_or(0);
            for before in newest - 30..newest + 3 {
                prop_assert_eq!(address.before(before, COMMON), oracle(&uses, before), "before {}", before);
            }
            let mut mixed = uses.clone();
            mixed.sort_by_key(|&(day, person)| (day as u64 ^ u64::from(person)).wrapping_mul(seed | 1));
            let mut other = Address::default();
            mixed.iter().for_each(|&(day, person)| other.add(day, person, COMMON));
            prop_assert_eq!(&address.write(), &other.write());
            prop_assert_eq!(Address::read(&address.write()), Some(address));
        }

        /// State is the host's to lose: whatever comes back is read without a panic.
        #[test]
        fn garbage_is_no_state(bytes in proptest::collection::vec(any::<u8>(), 1..60), day in -100_000i64..100_000) {
            if let Some(mut address) = Address::read(&bytes) {
                let _ = address.before(day, COMMON);
                address.add(day, 7, COMMON);
            }
        }
    }

    #[test]
    fn the_form_is_fixed_and_small() {
        let mut address = Address::default();
        for day in 20_000..20_100 {
            address.add(day, 0x1234_5678, COMMON);
        }
        let bytes = address.write();
        assert_eq!(bytes.len(), 50, "{bytes:?}");
        assert_eq!(bytes[..5], [1, 3, 0xF0, 0x04, 0x80]);
    }
}
