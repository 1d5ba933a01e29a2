//! Who else: small facts about a whole organization, in the state of a detector.
//!
//! A [`Crowd`] is the people seen with one value, a [`Census`] the people seen at all, each with
//! the day they were first seen on. Both are functions of what was seen, whatever the order, and
//! answer *as of a day*, so that what is judged need not depend on what has not arrived yet. One
//! person counts once, however much they do.
//!
//! They forget nobody, and they are not counters of activities.

use crate::state::{Reader, Writer};

/// A person, as far as they are told apart here: 32 bits of a hash.
pub type Person = u32;

/// The short form of a 64-bit fingerprint.
pub fn person(fingerprint: u64) -> Person {
    (fingerprint >> 32) as Person
}

/// The people who were seen with something, the earliest [`Crowd::KEPT`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    /// First day and person, sorted.
    people: Vec<(i64, Person)>,
}

impl Crowd {
    /// How many are told apart: counts are exact up to here, and never more.
    pub const KEPT: usize = 64;

    /// Somebody was seen on a day (days since 1970). Says whether anything is new by it.
    pub fn see(&mut self, person: Person, day: i64) -> bool {
        if let Some(place) = self.people.iter().position(|&(_, known)| known == person) {
            if self.people.get(place).is_none_or(|&(first, _)| first <= day) {
                return false;
            }
            self.people.remove(place);
        } else if self.people.len() >= Self::KEPT
            && self.people.last().is_some_and(|&last| last <= (day, person))
        {
            return false;
        }
        let place = self.people.partition_point(|&known| known < (day, person));
        self.people.insert(place, (day, person));
        self.people.truncate(Self::KEPT);
        true
    }

    /// The first day on which anybody was seen.
    pub fn first(&self) -> Option<i64> {
        self.people.first().map(|&(first, _)| first)
    }

    /// How many people were seen before a day, one of them left out.
    pub fn others_before(&self, day: i64, except: Person) -> usize {
        self.people.iter().filter(|&&(first, person)| first < day && person != except).count()
    }

    /// How many people were seen before a day.
    pub fn before(&self, day: i64) -> usize {
        self.people.partition_point(|&(first, _)| first < day)
    }

    /// Adds it to a state.
    pub fn write(&self, writer: &mut Writer) {
        writer.number(self.people.len() as u64);
        let mut before = 0;
        for &(day, person) in &self.people {
            writer.signed(day.wrapping_sub(before));
            writer.number(u64::from(person));
            before = day;
        }
    }

    /// Reads what [`write`](Self::write) wrote; `None` for anything else.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let length = reader.length(2).filter(|&length| length <= Self::KEPT)?;
        let mut people: Vec<(i64, Person)> = Vec::with_capacity(length);
        let mut day = 0_i64;
        for _ in 0..length {
            day = day.checked_add(reader.signed()?)?;
            let entry = (day, Person::try_from(reader.number()?).ok()?);
            if people.last().is_some_and(|last| *last >= entry)
                || people.iter().any(|known| known.1 == entry.1)
            {
                return None;
            }
            people.push(entry);
        }
        Some(Self { people })
    }
}

/// How many people there are: all of them up to [`Census::KEPT`], and an even sample beyond, those
/// with the smallest hashes. A number beyond is off by some 6 %.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The first day on which anybody was seen.
    first: Option<i64>,
    /// Person and first day, sorted.
    people: Vec<(Person, i64)>,
}

impl Census {
    /// How many are told apart.
    pub const KEPT: usize = 256;

    /// Somebody was seen on a day (days since 1970). Says whether anything is new by it.
    pub fn see(&mut self, person: Person, day: i64) -> bool {
        let earlier = self.first.is_none_or(|first| day < first);
        if earlier {
            self.first = Some(day);
        }
        match self.people.binary_search_by_key(&person, |&(known, _)| known) {
            Ok(place) => match self.people.get_mut(place) {
                Some((_, first)) if day < *first => *first = day,
                _ => return earlier,
            },
            Err(place) if place < Self::KEPT => {
                self.people.insert(place, (person, day));
                self.people.truncate(Self::KEPT);
            }
            Err(_) => return earlier,
        }
        true
    }

    /// The first day on which anybody was seen.
    pub fn first(&self) -> Option<i64> {
        self.first
    }

    /// About how many people were first seen before a day; exact while it is not a sample.
    pub fn before(&self, day: i64) -> u64 {
        let count = self.people.iter().filter(|&&(_, first)| first < day).count() as u64;
        match self.people.last() {
            Some(&(last, _)) if self.people.len() >= Self::KEPT => {
                // The sample holds all hashes up to its last one: so much of all there are.
                count.saturating_mul(1 << 32) / (u64::from(last) + 1)
            }
            _ => count,
        }
    }

    /// Adds it to a state.
    pub fn write(&self, writer: &mut Writer) {
        let Some(first) = self.first else { return writer.number(0) };
        writer.number(1);
        writer.signed(first);
        writer.number(self.people.len() as u64);
        let mut before = 0;
        for &(person, day) in &self.people {
            writer.number(u64::from(person.wrapping_sub(before)));
            writer.signed(day.wrapping_sub(first));
            before = person;
        }
    }

    /// Reads what [`write`](Self::write) wrote; `None` for anything else.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.number()? {
            0 => return Some(Self::default()),
            1 => {}
            _ => return None,
        }
        let first = reader.signed()?;
        let length = reader.length(2).filter(|&length| length <= Self::KEPT)?;
        let mut people = Vec::with_capacity(length);
        let mut person: Person = 0;
        for index in 0..length {
            let step = Person::try_from(reader.number()?).ok()?;
            if index > 0 && step == 0 {
                return None;
            }
            person = person.checked_add(step)?;
            let day = first.checked_add(reader.signed()?).filter(|&day| day >= first)?;
            people.push((person, day));
        }
        Some(Self { first: Some(first), people })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cheap even hash: multiplying by an odd number is one to one.
    fn hashed(number: u32) -> Person {
        number.wrapping_mul(0x9e37_79b9)
    }

    /// Whatever the order, and however often somebody is seen, the same is known.
    #[test]
    fn order_and_repetition_change_nothing() {
        let seen: Vec<(Person, i64)> =
            (0..400).flat_map(|n| [(hashed(n), i64::from(n % 90)), (hashed(n), 50)]).collect();
        let mut forward = (Crowd::default(), Census::default());
        let mut backward = forward.clone();
        for &(person, day) in seen.iter().chain(&seen) {
            forward.0.see(person, day);
            forward.1.see(person, day);
        }
        for &(person, day) in seen.iter().rev() {
            backward.0.see(person, day);
            backward.1.see(person, day);
        }
        assert_eq!(forward, backward);
    }

    #[test]
    fn counts_are_of_people_as_of_a_day() {
        let mut crowd = Crowd::default();
        for n in 0..10 {
            crowd.see(n, i64::from(n));
        }
        assert_eq!((crowd.first(), Crowd::default().first()), (Some(0), None));
        assert_eq!(crowd.before(5), 5);
        assert_eq!(crowd.others_before(5, 3), 4);
        assert_eq!(crowd.others_before(5, 7), 5);
        assert!(!crowd.see(3, 9) && crowd.see(9, 0));
        assert_eq!(crowd.before(5), 6);
        for n in 0..1000 {
            crowd.see(hashed(n), 2);
        }
        assert_eq!(crowd.before(1_000_000), Crowd::KEPT);
    }

    /// Small numbers are exact; of a hundred thousand, the sample tells them to a fifth.
    #[test]
    fn a_census_is_exact_and_then_near() {
        let mut census = Census::default();
        for n in 0..200 {
            census.see(hashed(n), 10 + i64::from(n));
        }
        assert_eq!((census.first(), census.before(110)), (Some(10), 100));
        for n in 0..100_000 {
            census.see(hashed(n), 500);
        }
        let about = census.before(1000);
        assert!((80_000..120_000).contains(&about), "{about}");
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let (mut crowd, mut census) = (Crowd::default(), Census::default());
        for n in 0..300 {
            crowd.see(hashed(n), i64::from(n) - 100);
            census.see(hashed(n), i64::from(n) - 100);
        }
        let mut writer = Writer::new();
        crowd.write(&mut writer);
        census.write(&mut writer);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(Crowd::read(&mut reader), Some(crowd));
        assert_eq!(Census::read(&mut reader), Some(census));
        assert!(reader.is_empty());
        for end in 0..bytes.len() {
            let mut reader = Reader::new(&bytes[..end]);
            assert!(Crowd::read(&mut reader).and_then(|_| Census::read(&mut reader)).is_none());
        }
        assert_eq!(Crowd::read(&mut Reader::new(&[2, 2, 1, 0, 1])), None, "twice the same");
    }
}
