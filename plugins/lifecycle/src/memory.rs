//! What is remembered of a person: news of the accounts, and recent activities that are judged again
//! when news come late.
//!
//! ```text
//! version       1
//! news          number, then of each: state * 2 + whether it has a time; time, zigzag; account;
//!               source, where the state can end something
//! newest        whether there was an activity, and the time of the newest, zigzag
//! activities    number; unless that is 0, of the last one: how much older than the newest it is,
//!               sequence, whether the host named a time by then, and how much older that is, zigzag;
//!               then of each: time as difference to the one before, zigzag; what the host said then,
//!               in the two lowest bits (nothing, live, live since a time, live since the time said
//!               before), with the zigzag difference of the sequence; how much older that time is,
//!               zigzag, where it is new
//! ```
//!
//! What must be remembered is the last activity of every window for as long as is asked for, and of
//! the time in which anything may come late the newest [`MOST_RECENT`]. More is forgotten when the
//! next window begins, and after every few activities. Until then an activity is only added at the
//! end: the others are not even read.

use casbah_plugin::state::{Reader, Writer};

use crate::settings::Rule;
use crate::standing::{News, Standing};

const VERSION: u64 = 1;
/// How many recent activities are remembered.
pub(crate) const MOST_RECENT: usize = 32;
/// After how many activities it is time to forget some.
const OFTEN: usize = 8;
/// How many news are.
const MOST_NEWS: usize = 16;
/// Length of a source, bytes.
const LONGEST_SOURCE: usize = 48;

/// What the host said of the person when the activity was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    /// Nothing that would count here.
    Nothing,
    /// That the account is in use; since when, where it is known.
    Live(Option<i64>),
}

/// An activity that is remembered. The order is that of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) time: i64,
    pub(crate) sequence: u64,
    pub(crate) said: Said,
}

/// The values that the next activity is written as a difference to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Last {
    time: i64,
    sequence: u64,
    /// The time that the host named last.
    since: Option<i64>,
}

/// What is remembered of a person.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory<'a> {
    /// In order.
    news: Vec<News>,
    /// Time of the newest activity.
    newest: Option<i64>,
    /// Activities that have not been read, and their number.
    packed: (&'a [u8], usize),
    /// The last of these.
    last: Last,
    /// Activities that have been read or have come since, in order.
    marks: Vec<Mark>,
}

impl<'a> Memory<'a> {
    /// News of the accounts, in order.
    pub(crate) fn news(&self) -> &[News] {
        &self.news
    }

    /// Takes news in; says whether they were new.
    pub(crate) fn learn(&mut self, mut news: News) -> bool {
        let end = news.source.char_indices().map(|(at, c)| at + c.len_utf8());
        let end = end.take_while(|&end| end <= LONGEST_SOURCE).last().unwrap_or(0);
        news.source.truncate(end);
        let same = |known: &News| {
            (known.since, known.state, known.account) == (news.since, news.state, news.account)
        };
        if self.news.iter().any(same) {
            return false;
        }
        let place = self.news.partition_point(|known| *known < news);
        self.news.insert(place, news);
        if self.news.len() > MOST_NEWS {
            self.news.remove(0);
        }
        true
    }

    /// Remembers an activity. `None` when the state can't be read.
    pub(crate) fn remember(&mut self, mark: Mark, rule: &Rule) -> Option<()> {
        let number = self.packed.1 + self.marks.len();
        let before = match self.marks.last() {
            Some(last) => Some((last.time, last.sequence)),
            None => (number > 0).then_some((self.last.time, self.last.sequence)),
        };
        let window = |time: i64| time.div_euclid(rule.window);
        let next = before.is_none_or(|before| before < (mark.time, mark.sequence));
        let same = before.is_none_or(|(time, _)| window(time) == window(mark.time));
        self.newest = self.newest.max(Some(mark.time));
        if next && same && !number.is_multiple_of(OFTEN) {
            self.marks.push(mark);
            return Some(());
        }
        self.unpack()?;
        let place = self.marks.partition_point(|known| *known < mark);
        self.marks.insert(place, mark);
        self.tidy(rule);
        Some(())
    }

    /// Takes the activities out for which `found` answers. `None` when the state can't be read.
    pub(crate) fn take<T>(
        &mut self,
        rule: &Rule,
        found: impl Fn(&[News], &Mark) -> Option<T>,
    ) -> Option<Vec<(Mark, T)>> {
        self.unpack()?;
        self.tidy(rule);
        let mut taken = Vec::new();
        let news = &self.news;
        self.marks.retain(|mark| match found(news, mark) {
            Some(found) => {
                taken.push((*mark, found));
                false
            }
            None => true,
        });
        Some(taken)
    }

    /// Forgets the activities that need not be remembered.
    ///
    /// Whatever is forgotten early would be forgotten later just as well: what pushes it out stays.
    fn tidy(&mut self, rule: &Rule) {
        let Some(newest) = self.newest else { return };
        let oldest = newest.saturating_sub(rule.remember.max(rule.lateness));
        let recent = newest.saturating_sub(rule.lateness);
        let first_recent = self.marks.len().saturating_sub(MOST_RECENT);
        let window = |mark: &Mark| mark.time.div_euclid(rule.window);
        let keep: Vec<bool> = self
            .marks
            .iter()
            .enumerate()
            .map(|(place, mark)| {
                let last =
                    self.marks.get(place + 1).is_none_or(|next| window(next) != window(mark));
                let late = place >= first_recent && mark.time >= recent;
                mark.time >= oldest && (last || late)
            })
            .collect();
        let mut keep = keep.into_iter();
        self.marks.retain(|_| keep.next().unwrap_or(false));
    }

    /// Reads the activities that were left packed.
    fn unpack(&mut self) -> Option<()> {
        let (bytes, number) = std::mem::take(&mut self.packed);
        if number == 0 {
            return bytes.is_empty().then_some(());
        }
        let mut reader = Reader::new(bytes);
        let mut before = Last::default();
        let mut marks = Vec::with_capacity(number + self.marks.len() + 1);
        for _ in 0..number {
            marks.push(read_mark(&mut reader, &mut before)?);
        }
        if !reader.is_empty() || before != self.last {
            return None;
        }
        marks.append(&mut self.marks);
        self.marks = marks;
        self.last = Last::default();
        Some(())
    }

    /// Reads what [`Memory::write`] wrote; nothing of other bytes. Whether all activities can be read
    /// is seen only when they are needed.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut reader = Reader::new(bytes);
        if reader.number()? != VERSION {
            return None;
        }
        let mut memory = Self::default();
        for _ in 0..reader.length(2)? {
            memory.news.push(read_news(&mut reader)?);
        }
        memory.newest = if reader.number()? == 1 { Some(reader.signed()?) } else { None };
        let number = reader.length(2)?;
        if number > 0 {
            let time = memory.newest?.checked_sub_unsigned(reader.number()?)?;
            let sequence = reader.number()?;
            let since = match reader.number()? {
                0 => None,
                _ => Some(time.wrapping_sub(reader.signed()?)),
            };
            memory.last = Last { time, sequence, since };
        }
        memory.packed = (reader.rest(), number);
        (number > 0 || memory.packed.0.is_empty()).then_some(memory)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let number = self.packed.1 + self.marks.len();
        if self.news.is_empty() && number == 0 {
            return Vec::new();
        }
        let mut last = self.last;
        let mut fresh = Writer::new();
        for mark in &self.marks {
            write_mark(&mut fresh, mark, &mut last);
        }
        let mut writer = Writer::new();
        writer.number(VERSION);
        writer.number(self.news.len() as u64);
        for news in &self.news {
            write_news(&mut writer, news);
        }
        writer.number(self.newest.is_some().into());
        if let Some(newest) = self.newest {
            writer.signed(newest);
        }
        writer.number(number as u64);
        if number > 0 {
            writer.number(self.newest.unwrap_or(last.time).wrapping_sub(last.time) as u64);
            writer.number(last.sequence);
            writer.number(last.since.is_some().into());
            if let Some(since) = last.since {
                writer.signed(last.time.wrapping_sub(since));
            }
        }
        writer.raw(self.packed.0);
        writer.raw(&fresh.finish());
        writer.finish()
    }
}

fn write_mark(writer: &mut Writer, mark: &Mark, last: &mut Last) {
    writer.signed(mark.time.wrapping_sub(last.time));
    let difference = zigzag(mark.sequence.wrapping_sub(last.sequence) as i64);
    let (bits, new) = match mark.said {
        Said::Nothing => (0, None),
        Said::Live(None) => (1, None),
        Said::Live(said) if said == last.since => (3, None),
        Said::Live(said) => (2, said),
    };
    // Sequences of a log end long before these two bits are missed.
    writer.number(difference << 2 | bits);
    if let Some(new) = new {
        writer.signed(mark.time.wrapping_sub(new));
        last.since = Some(new);
    }
    (last.time, last.sequence) = (mark.time, mark.sequence);
}

fn read_mark(reader: &mut Reader<'_>, last: &mut Last) -> Option<Mark> {
    let time = last.time.wrapping_add(reader.signed()?);
    let packed = reader.number()?;
    let sequence = last.sequence.wrapping_add(unzigzag(packed >> 2) as u64);
    let said = match packed & 3 {
        0 => Said::Nothing,
        1 => Said::Live(None),
        2 => {
            last.since = Some(time.wrapping_sub(reader.signed()?));
            Said::Live(last.since)
        }
        _ => Said::Live(last.since),
    };
    (last.time, last.sequence) = (time, sequence);
    Some(Mark { time, sequence, said })
}

fn write_news(writer: &mut Writer, news: &News) {
    writer.number(news.state.code() * 2 + u64::from(news.since.is_some()));
    if let Some(since) = news.since {
        writer.signed(since);
    }
    writer.number(news.account.into());
    if ends(news.state) {
        writer.text(&news.source);
    }
}

fn read_news(reader: &mut Reader<'_>) -> Option<News> {
    let packed = reader.number()?;
    let state = Standing::of_code(packed / 2)?;
    let since = if packed % 2 == 1 { Some(reader.signed()?) } else { None };
    let account = u32::try_from(reader.number()?).ok()?;
    let source = if ends(state) { reader.text()?.to_owned() } else { String::new() };
    Some(News { since, state, account, source })
}

/// Whether a state can end anything, so that it matters who says it.
pub(crate) fn ends(state: Standing) -> bool {
    state >= Standing::Leaving
}

fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)) as u64
}

fn unzigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn rule() -> Rule {
        Rule { causes: Vec::new(), grace: 0, remember: 1000, lateness: 100, window: 50 }
    }

    fn mark() -> impl Strategy<Value = Mark> {
        let said = prop_oneof![
            Just(Said::Nothing),
            Just(Said::Live(None)),
            (0i64..3).prop_map(|since| Said::Live(Some(since))),
        ];
        (0i64..2000, 0u64..100_000, said).prop_map(|(time, sequence, said)| Mark {
            time,
            sequence,
            said,
        })
    }

    /// Activities as they come: mostly in order, some late.
    fn marks() -> impl Strategy<Value = Vec<Mark>> {
        proptest::collection::vec((mark(), any::<bool>()), 0..200).prop_map(|mut marks| {
            let mut times: Vec<i64> = marks.iter().map(|(mark, _)| mark.time).collect();
            times.sort_unstable();
            for ((mark, late), time) in marks.iter_mut().zip(times) {
                mark.time = if *late { (time - mark.time % 90).max(0) } else { time };
            }
            marks.into_iter().map(|(mark, _)| mark).collect()
        })
    }

    fn news() -> impl Strategy<Value = News> {
        (proptest::option::of(-50i64..3000), 0u64..8, 0u32..4, "[a-z]{0,9}").prop_map(
            |(since, code, account, source)| {
                let state = Standing::of_code(code).unwrap();
                let source = if ends(state) { source } else { String::new() };
                News { since, state, account, source }
            },
        )
    }

    fn all(memory: &Memory<'_>) -> Vec<Mark> {
        let mut memory = memory.clone();
        memory.unpack().unwrap();
        memory.marks
    }

    proptest! {
        /// What is written is read again, whole or carried on without being read.
        #[test]
        fn reads_what_it_writes(marks in marks(), news in proptest::collection::vec(news(), 0..20)) {
            let mut memory = Memory::default();
            news.into_iter().for_each(|news| { memory.learn(news); });
            for mark in marks {
                memory.remember(mark, &rule()).unwrap();
            }
            let bytes = memory.write();
            let mut read = Memory::read(&bytes).unwrap();
            prop_assert_eq!(&read.write(), &bytes);
            prop_assert_eq!(all(&read), all(&memory));
            prop_assert_eq!(read.news(), memory.news());
            read.unpack().unwrap();
            prop_assert_eq!(read.write(), bytes);
        }

        /// Wherever batches end, the bytes are the same; and what must be remembered is.
        #[test]
        fn cuts_do_not_matter_and_nothing_needed_is_forgotten(
            marks in marks(),
            cuts in proptest::collection::vec(any::<bool>(), 200),
        ) {
            let mut whole = Memory::default();
            let mut bytes = Vec::new();
            let mut pending = Vec::new();
            for (mark, cut) in marks.iter().zip(cuts) {
                whole.remember(*mark, &rule()).unwrap();
                pending.push(*mark);
                if cut {
                    let mut memory = Memory::read(&bytes).unwrap();
                    pending.drain(..).for_each(|mark| memory.remember(mark, &rule()).unwrap());
                    let after = memory.write();
                    bytes = after;
                    prop_assert_eq!(&bytes, &whole.write());
                }
            }
            whole.tidy(&rule());
            let newest = marks.iter().map(|mark| mark.time).max().unwrap_or(0);
            let mut sorted = marks.clone();
            sorted.sort_unstable();
            let mut last = BTreeMap::new();
            for mark in sorted.iter().filter(|mark| mark.time >= newest - 1000) {
                last.insert(mark.time.div_euclid(50), *mark);
            }
            let mut needed: BTreeSet<Mark> = last.into_values().collect();
            let recent = sorted.iter().rev().take(MOST_RECENT);
            needed.extend(recent.filter(|mark| mark.time >= newest - 100));
            let kept: BTreeSet<Mark> = all(&whole).into_iter().collect();
            prop_assert_eq!(kept, needed);
        }

        /// State is the host's to lose: whatever comes back is read without a panic.
        #[test]
        fn garbage_is_no_state(bytes in proptest::collection::vec(any::<u8>(), 1..80)) {
            if let Some(mut memory) = Memory::read(&bytes) {
                let _ = memory.remember(Mark { time: 5, sequence: 5, said: Said::Nothing }, &rule());
                let _ = memory.take(&rule(), |_, _| Some(()));
                let _ = memory.write();
            }
        }

        /// So is a state of which a byte has changed.
        #[test]
        fn a_damaged_state_is_no_panic(marks in marks(), place: usize, byte: u8) {
            let mut memory = Memory::default();
            for mark in marks {
                memory.remember(mark, &rule()).unwrap();
            }
            let mut bytes = memory.write();
            let length = bytes.len().max(1);
            if let Some(at) = bytes.get_mut(place % length) {
                *at = byte;
            }
            if let Some(mut memory) = Memory::read(&bytes) {
                let _ = memory.remember(Mark { time: 5, sequence: 5, said: Said::Nothing }, &rule());
                let _ = memory.take(&rule(), |_, _| Some(()));
                let _ = memory.write();
            }
        }
    }

    /// Guards the figure that the size of the store is planned with: somebody who works eight hours
    /// on ten of fourteen days, with twelve activities a day.
    #[test]
    fn the_common_user_takes_few_bytes() {
        let rule =
            Rule { remember: 14 * 86_400_000, lateness: 86_400_000, window: 86_400_000, ..rule() };
        let mut memory = Memory::default();
        memory.learn(News {
            since: None,
            state: Standing::Active,
            account: 77,
            source: String::new(),
        });
        let known = memory.write().len();
        assert!(known <= 8, "{known}");
        for day in (0..14).filter(|day| day % 7 < 5) {
            for n in 0..12 {
                let time = 1_790_000_000_000 + day * 86_400_000 + n * 2_400_000 + n * 137;
                let sequence = (day * 40_000 + n * 3_000) as u64;
                let mark = Mark { time, sequence, said: Said::Live(None) };
                memory.remember(mark, &rule).unwrap();
            }
        }
        let bytes = memory.write().len();
        assert!(bytes <= 200, "{bytes}");
    }
}
