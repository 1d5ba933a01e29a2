//! What a policy waits with: instants that can only be decided when nothing can come any more that
//! would change them.
//!
//! One list a policy, for all its keys, with a clock that is the newest time of all activities seen.
//! It is bounded: where more would have to wait, those that are due first are decided at once.
//!
//! ```text
//! version   1 byte, 1
//! clock     zigzag: the newest time seen
//! decided   zigzag: what is due up to here has been decided
//! next      zigzag: when the first of the list is due; the latest of all times when there is none
//! number    of instants
//! instants  due as difference to the one before; key; number and texts of the group's values;
//!           time as zigzag difference to due; start of the bucket as zigzag difference to time;
//!           severity, and 8 more where activities were dropped; number of facts, and each as zigzag difference to time; number of activities of
//!           evidence, and each as zigzag differences of time and sequence to the one before
//! ```
//!
//! It is not where instants are found: that is `rule`'s work.

use casbah_model::Evidence;
use casbah_plugin::state::{Reader, Writer};

use crate::entry::{Fired, Instant};

const VERSION: u64 = 1;
/// How many instants wait at most.
pub(crate) const MOST: usize = 4096;
/// How many bytes their keys, groups and evidence take at most; more or less what is written.
const MOST_BYTES: usize = 512 * 1024;
/// Added to the severity where activities were dropped.
const DROPPED: u8 = 8;

/// The state of a policy that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The newest time of all activities seen, ms since 1970.
    pub(crate) clock: i64,
    /// What is due up to here has been decided.
    pub(crate) decided: i64,
    /// What waits, by due, key and time.
    pub(crate) list: Vec<Due>,
}

/// An instant that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The key it belongs to.
    pub(crate) key: String,
    /// Values of the group that its alert is about.
    pub(crate) group: Vec<String>,
    /// The instant.
    pub(crate) instant: Instant,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { clock: i64::MIN, decided: i64::MIN, list: Vec::new() }
    }
}

impl Waiting {
    /// Reads the state; empty bytes are that of a policy that has seen nothing. `None` when the bytes
    /// are no such state.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut reader = Reader::new(bytes);
        let (clock, decided, _) = head(&mut reader)?;
        let length = reader.length(10)?;
        let mut list = Vec::with_capacity(length);
        let mut due = i64::MIN;
        for _ in 0..length {
            due = due.wrapping_add_unsigned(reader.number()?);
            list.push(Due::read(&mut reader, due)?);
        }
        reader.is_empty().then_some(Self { clock, decided, list })
    }

    /// Writes the state.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let next = self.list.first().map_or(i64::MAX, |first| first.instant.due);
        write_head(&mut writer, self.clock, self.decided, next);
        writer.number(self.list.len() as u64);
        let mut before = i64::MIN;
        for due in &self.list {
            writer.number(due.instant.due.wrapping_sub(before).cast_unsigned());
            before = due.instant.due;
            due.write(&mut writer);
        }
        writer.finish()
    }

    /// Moves the clock without looking at the list, where nothing of it is due by that. `None` where
    /// something is, or the bytes are no state.
    pub(crate) fn tick(bytes: &[u8], clock: i64, lateness: i64) -> Option<Vec<u8>> {
        let mut reader = Reader::new(bytes);
        let (before, decided, next) = head(&mut reader)?;
        let clock = clock.max(before);
        let settled = decided.max(clock.saturating_sub(lateness));
        if settled >= next {
            return None;
        }
        let mut writer = Writer::new();
        write_head(&mut writer, clock, settled, next);
        writer.raw(reader.rest());
        Some(writer.finish())
    }

    /// Puts what is known of keys now in the place of what was known; `keys`, in order, come with the
    /// time up to which nothing has changed. What had been decided before is left out.
    pub(crate) fn replace(&mut self, keys: &[(&str, i64)], new: impl Iterator<Item = Due>) {
        self.list.retain(|due| {
            let place = keys.binary_search_by_key(&due.key.as_str(), |(key, _)| *key);
            let changed = place.ok().and_then(|place| keys.get(place));
            changed.is_none_or(|(_, changed)| due.instant.time <= *changed)
        });
        let (decided, kept) = (self.decided, self.list.len());
        self.list.extend(new.filter(|due| due.instant.due > decided));
        if self.list.len() > kept {
            self.list.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        }
    }

    /// Moves the clock, and takes out what is decided by that: with it, how many of these had to be
    /// decided before their time.
    pub(crate) fn settle(&mut self, clock: i64, lateness: i64) -> (Vec<Due>, usize) {
        self.clock = self.clock.max(clock);
        self.decided = self.decided.max(self.clock.saturating_sub(lateness));
        let in_time = self.list.partition_point(|due| due.instant.due <= self.decided);
        let mut left: usize = self.list.iter().skip(in_time).map(Due::size).sum();
        let mut number = self.list.len() - in_time;
        for due in self.list.iter().skip(in_time) {
            if number <= MOST && left <= MOST_BYTES {
                break;
            }
            left -= due.size();
            number -= 1;
            self.decided = due.instant.due;
        }
        let end = self.list.partition_point(|due| due.instant.due <= self.decided);
        (self.list.drain(..end).collect(), end - in_time)
    }
}

/// Reads clock, decided, and when the first is due.
fn head(reader: &mut Reader<'_>) -> Option<(i64, i64, i64)> {
    if reader.number()? != VERSION {
        return None;
    }
    Some((reader.signed()?, reader.signed()?, reader.signed()?))
}

fn write_head(writer: &mut Writer, clock: i64, decided: i64, next: i64) {
    writer.number(VERSION);
    writer.signed(clock);
    writer.signed(decided);
    writer.signed(next);
}

impl Due {
    fn place(&self) -> (i64, &str, i64) {
        (self.instant.due, &self.key, self.instant.time)
    }

    /// About as many bytes as it takes.
    fn size(&self) -> usize {
        let texts: usize = self.group.iter().map(|text| text.len() + 2).sum();
        let Fired { evidence, facts, .. } = &self.instant.fired;
        24 + self.key.len() + texts + 6 * evidence.len() + 5 * facts.len()
    }

    fn read(reader: &mut Reader<'_>, due: i64) -> Option<Self> {
        let key = reader.text()?.to_owned();
        let group = (0..reader.length(1)?)
            .map(|_| reader.text().map(str::to_owned))
            .collect::<Option<Vec<_>>>()?;
        let time = due.wrapping_add(reader.signed()?);
        let start = time.wrapping_add(reader.signed()?);
        let grade = u8::try_from(reader.number()?).ok()?;
        let (severity, dropped) = (grade & 7, grade & DROPPED != 0);
        let facts = (0..reader.length(1)?)
            .map(|_| reader.signed().map(|fact| time.wrapping_add(fact)))
            .collect::<Option<Vec<_>>>()?;
        let length = reader.length(2)?;
        let mut evidence = Vec::with_capacity(length);
        let mut before = Evidence { time, sequence: 0 };
        for _ in 0..length {
            before.time = before.time.wrapping_add(reader.signed()?);
            before.sequence = before.sequence.wrapping_add_signed(reader.signed()?);
            evidence.push(before);
        }
        let fired = Fired { start, evidence, facts, severity, dropped };
        Some(Self { key, group, instant: Instant { time, due, fired } })
    }

    fn write(&self, writer: &mut Writer) {
        let Instant { time, due, fired } = &self.instant;
        writer.text(&self.key);
        writer.number(self.group.len() as u64);
        self.group.iter().for_each(|text| writer.text(text));
        writer.signed(time.wrapping_sub(*due));
        writer.signed(fired.start.wrapping_sub(*time));
        writer.number((fired.severity | if fired.dropped { DROPPED } else { 0 }).into());
        writer.number(fired.facts.len() as u64);
        fired.facts.iter().for_each(|fact| writer.signed(fact.wrapping_sub(*time)));
        writer.number(fired.evidence.len() as u64);
        let mut before = Evidence { time: *time, sequence: 0 };
        for evidence in &fired.evidence {
            writer.signed(evidence.time.wrapping_sub(before.time));
            writer.signed(evidence.sequence.wrapping_sub(before.sequence).cast_signed());
            before = *evidence;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn due() -> impl Strategy<Value = Due> {
        let evidence = proptest::collection::vec((any::<i64>(), any::<u64>()), 0..5);
        let facts = proptest::collection::vec(any::<i64>(), 0..3);
        let group = proptest::collection::vec("[a-c]{0,3}", 0..3);
        let times = (0i64..1000, -1000i64..1000, any::<i64>());
        ("[a-c]{0,3}", group, times, (0u8..6, any::<bool>()), facts, evidence).prop_map(
            |(key, group, (due, time, start), (severity, dropped), facts, evidence)| {
                let evidence =
                    evidence.into_iter().map(|(time, sequence)| Evidence { time, sequence });
                let fired = Fired { start, evidence: evidence.collect(), facts, severity, dropped };
                Due { key, group, instant: Instant { time, due, fired } }
            },
        )
    }

    proptest! {
        /// What is written is read again, and is the same whatever the order it came in.
        #[test]
        fn reads_what_it_writes(list in proptest::collection::vec(due(), 0..8), clock: i64, decided in -100i64..200) {
            let mut waiting = Waiting { clock, decided, list: Vec::new() };
            waiting.replace(&[], list.iter().cloned());
            prop_assert!(waiting.list.iter().all(|due| due.instant.due > decided));
            let bytes = waiting.write();
            prop_assert_eq!(Waiting::read(&bytes), Some(waiting));
        }

        /// The short cut writes what the long way writes.
        #[test]
        fn ticking_is_settling(list in proptest::collection::vec(due(), 0..4), clock in 0i64..1500, lateness in 0i64..500) {
            let mut waiting = Waiting::default();
            waiting.replace(&[], list.into_iter());
            let short = Waiting::tick(&waiting.write(), clock, lateness);
            let (fired, forced) = waiting.settle(clock, lateness);
            prop_assert_eq!(forced, 0);
            prop_assert_eq!(short.is_some(), fired.is_empty());
            if let Some(short) = short {
                prop_assert_eq!(short, waiting.write());
            }
        }

        /// State is the host's to lose: whatever comes back is read without a panic.
        #[test]
        fn garbage_is_no_state(mut bytes in proptest::collection::vec(any::<u8>(), 1..80)) {
            bytes.splice(0..0, [1]);
            let _ = Waiting::read(&bytes);
            let _ = Waiting::tick(&bytes, 0, 0);
        }
    }

    fn at(due: i64, bytes: usize) -> Due {
        let fired = Fired::default();
        Due {
            key: format!("{due:0bytes$}"),
            group: vec![],
            instant: Instant { time: due, due, fired },
        }
    }

    /// The bound: what is due first goes first, and is not waited for again.
    #[test]
    fn too_much_is_decided_at_once_and_stays_decided() {
        let mut waiting = Waiting::default();
        waiting.replace(&[], (0..MOST as i64 + 10).map(|due| at(due, 1)));
        let (fired, forced) = waiting.settle(-100, 50);
        assert_eq!((fired.len(), forced, waiting.list.len()), (10, 10, MOST));
        assert_eq!((fired[9].instant.due, waiting.decided), (9, 9));
        waiting.replace(&[("9", -1)], [at(9, 1)].into_iter());
        assert_eq!(waiting.list.len(), MOST);
        let mut waiting = Waiting::default();
        waiting.replace(&[], (0..2000).map(|due| at(due, 500)));
        let (_, forced) = waiting.settle(-100, 50);
        assert!(forced > 500 && waiting.write().len() <= MOST_BYTES + 64, "{forced}");
    }
}
