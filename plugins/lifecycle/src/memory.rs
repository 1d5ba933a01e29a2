//! What is remembered of a person: news of the accounts, and recent activities that are judged again
//! when news come late.
//!
//! ```text
//! version       1
//! newest        whether there was an activity, and the time of the newest, zigzag
//! news          number, then of each: state * 2 + whether it has a time; time as zigzag difference
//!               to the newest activity (or 1970); account; source, where the state can end something
//! activities    number, then of each: time as difference to the one before; what the host said then,
//!               in the two lowest bits (nothing, live, live since a time, live since the time said
//!               before), with the zigzag difference of the sequence; that time where it is new
//! ```
//!
//! Which activities are remembered is a function of all that came, not of where batches end: the last
//! of every window for as long as is asked for, and of the time in which anything may come late the
//! newest [`MOST_RECENT`].

use casbah_plugin::state::{Reader, Writer};

use crate::settings::Rule;
use crate::standing::{News, Standing};

const VERSION: u64 = 1;
/// How many recent activities are remembered.
pub(crate) const MOST_RECENT: usize = 32;
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

/// What is remembered of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Time of the newest activity.
    newest: Option<i64>,
    /// In order.
    news: Vec<News>,
    /// In order, each once, once [`Memory::tidy`] has been called.
    marks: Vec<Mark>,
}

impl Memory {
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

    /// Remembers an activity.
    pub(crate) fn remember(&mut self, mark: Mark) {
        self.newest = self.newest.max(Some(mark.time));
        self.marks.push(mark);
    }

    /// Takes the activities out for which `found` answers.
    pub(crate) fn take<T>(
        &mut self,
        rule: &Rule,
        found: impl Fn(&[News], &Mark) -> Option<T>,
    ) -> Vec<(Mark, T)> {
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
        taken
    }

    /// Forgets the activities that need not be remembered.
    ///
    /// Whatever is forgotten early would be forgotten later just as well: what pushes it out stays.
    fn tidy(&mut self, rule: &Rule) {
        let Some(newest) = self.newest else { return };
        self.marks.sort_unstable();
        self.marks.dedup();
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

    /// Reads what [`Memory::write`] wrote; nothing of other bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut reader = Reader::new(bytes);
        if reader.number()? != VERSION {
            return None;
        }
        let newest = match reader.number()? {
            0 => None,
            1 => Some(reader.signed()?),
            _ => return None,
        };
        let base = newest.unwrap_or(0);
        let mut news: Vec<News> = Vec::new();
        for _ in 0..reader.length(2)? {
            news.push(read_news(&mut reader, base)?);
        }
        let mut marks: Vec<Mark> = Vec::new();
        let (mut time, mut sequence, mut since) = (base, 0_u64, 0);
        for _ in 0..reader.length(2)? {
            time = time.checked_add(reader.signed()?)?;
            let packed = reader.number()?;
            sequence = sequence.wrapping_add(unzigzag(packed >> 2) as u64);
            let said = match packed & 3 {
                0 => Said::Nothing,
                1 => Said::Live(None),
                2 => {
                    since = base.checked_add(reader.signed()?)?;
                    Said::Live(Some(since))
                }
                _ => Said::Live(Some(since)),
            };
            marks.push(Mark { time, sequence, said });
        }
        let fits = newest.is_some() || marks.is_empty();
        (fits && reader.is_empty()).then_some(Self { newest, news, marks })
    }

    pub(crate) fn write(&mut self, rule: &Rule) -> Vec<u8> {
        self.tidy(rule);
        if self.news.is_empty() && self.marks.is_empty() {
            return Vec::new();
        }
        let mut writer = Writer::new();
        writer.number(VERSION);
        writer.number(self.newest.is_some().into());
        if let Some(newest) = self.newest {
            writer.signed(newest);
        }
        let base = self.newest.unwrap_or(0);
        writer.number(self.news.len() as u64);
        for news in &self.news {
            write_news(&mut writer, news, base);
        }
        writer.number(self.marks.len() as u64);
        let (mut time, mut sequence, mut since) = (base, 0_u64, None);
        for mark in &self.marks {
            writer.signed(mark.time.wrapping_sub(time));
            let difference = zigzag(mark.sequence.wrapping_sub(sequence) as i64);
            let (bits, new) = match mark.said {
                Said::Nothing => (0, None),
                Said::Live(None) => (1, None),
                Said::Live(said) if said == since => (3, None),
                Said::Live(said) => (2, said),
            };
            // Sequences of a log end long before these two bits are missed.
            writer.number(difference << 2 | bits);
            if let Some(new) = new {
                writer.signed(new.wrapping_sub(base));
                since = Some(new);
            }
            (time, sequence) = (mark.time, mark.sequence);
        }
        writer.finish()
    }
}

fn write_news(writer: &mut Writer, news: &News, base: i64) {
    writer.number(news.state.code() * 2 + u64::from(news.since.is_some()));
    if let Some(since) = news.since {
        writer.signed(since.wrapping_sub(base));
    }
    writer.number(news.account.into());
    if ends(news.state) {
        writer.text(&news.source);
    }
}

fn read_news(reader: &mut Reader<'_>, base: i64) -> Option<News> {
    let packed = reader.number()?;
    let state = Standing::of_code(packed / 2)?;
    let since = if packed % 2 == 1 { Some(base.wrapping_add(reader.signed()?)) } else { None };
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

    fn rule() -> Rule {
        Rule { causes: Vec::new(), grace: 0, remember: 1000, lateness: 100, window: 50 }
    }

    fn mark() -> impl Strategy<Value = Mark> {
        let said = prop_oneof![
            Just(Said::Nothing),
            Just(Said::Live(None)),
            (0i64..3).prop_map(|since| Said::Live(Some(since))),
        ];
        (0i64..3000, 0u64..100_000, said).prop_map(|(time, sequence, said)| Mark {
            time,
            sequence,
            said,
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

    proptest! {
        /// What is written is read again, and writing it again changes nothing.
        #[test]
        fn reads_what_it_writes(
            marks in proptest::collection::vec(mark(), 0..60),
            news in proptest::collection::vec(news(), 0..20),
        ) {
            let mut memory = Memory::default();
            marks.into_iter().for_each(|mark| memory.remember(mark));
            news.into_iter().for_each(|news| { memory.learn(news); });
            let bytes = memory.write(&rule());
            let mut read = Memory::read(&bytes).unwrap();
            if !bytes.is_empty() {
                prop_assert_eq!(&read, &memory);
            }
            prop_assert_eq!(read.write(&rule()), bytes);
        }

        /// Forgetting early or late, in whatever order things came, leaves the same.
        #[test]
        fn forgetting_does_not_depend_on_when(
            marks in proptest::collection::vec(mark(), 0..80),
            seed in any::<u64>(),
            every in 1usize..9,
        ) {
            let mut whole = Memory::default();
            marks.iter().for_each(|&mark| whole.remember(mark));
            let mut mixed = marks.clone();
            mixed.sort_by_key(|mark| (mark.sequence ^ mark.time as u64).wrapping_mul(seed | 1));
            let mut piecemeal = Memory::default();
            for (place, mark) in mixed.into_iter().enumerate() {
                piecemeal.remember(mark);
                if place % every == 0 {
                    piecemeal = Memory::read(&piecemeal.write(&rule())).unwrap();
                }
            }
            prop_assert_eq!(piecemeal.write(&rule()), whole.write(&rule()));
        }

        /// State is the host's to lose: whatever comes back is read without a panic.
        #[test]
        fn garbage_is_no_state(bytes in proptest::collection::vec(any::<u8>(), 1..80)) {
            if let Some(mut memory) = Memory::read(&bytes) {
                memory.remember(Mark { time: 5, sequence: 5, said: Said::Nothing });
                let _ = memory.write(&rule());
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
        for day in (0..14).filter(|day| day % 7 < 5) {
            for n in 0..12 {
                let time = 1_790_000_000_000 + day * 86_400_000 + n * 2_400_000 + n * 137;
                let sequence = (day * 40_000 + n * 3_000) as u64;
                memory.remember(Mark { time, sequence, said: Said::Live(None) });
            }
        }
        let bytes = memory.write(&rule).len();
        assert!(bytes <= 190, "{bytes}");
    }
}
