//! The states of one account with the times from which they hold.
//!
//! A history answers what the state was *at the time of an activity*, however late the news of it
//! came: what a directory dates is put where it belongs, what it does not date holds from when it was
//! seen. It is bounded: the oldest spells go first.
//!
//! It is not what a directory said last about anything else: names, groups and the like have no
//! history.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most spells of an account.
pub const MOST_SPELLS: usize = 12;

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A state of an account. The order is that of how far gone its person is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Standing { $($(#[$doc])* $name,)* }

        impl Standing {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its word in the column `actor.status`.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

states! {
    /// In use.
    Active = "active",
    /// Invited, not there yet.
    Pending = "pending",
    /// Invited, and declined.
    Declined = "declined",
    /// In use, and the person is known to leave.
    Leaving = "leaving",
    /// The day has come on which the person was to leave.
    Left = "left",
    /// Switched off.
    Disabled = "disabled",
    /// Gone.
    Deleted = "deleted",
}

impl Standing {
    /// The state of a word; `None` for an empty or unknown one, which tells nothing.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.word() == word)
    }

    /// Whether it follows from a leave date rather than from the account itself.
    fn is_of_leave_date(self) -> bool {
        matches!(self, Self::Leaving | Self::Left)
    }

    /// Whether the account can't be used, so that a leave date adds nothing.
    fn is_out_of_use(self) -> bool {
        matches!(self, Self::Disabled | Self::Deleted)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A state from some time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spell {
    /// From when on, ms since 1970; `None`: for as long as anybody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// The state.
    pub state: Standing,
    /// Whether the directory gave that time; otherwise it is when casbah saw the state first.
    #[serde(default, skip_serializing_if = "is_false")]
    pub said: bool,
    /// Whether the log was told.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) told: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What holds at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The state.
    pub state: Standing,
    /// Since when, ms since 1970; `None`: for as long as anybody knows.
    pub since: Option<i64>,
}

/// What holds at `time` by spells in the order of their times.
///
/// Neighbours of one state are one: it holds since the first of them. A leave date says nothing of
/// an account that is out of use already.
pub(crate) fn at(spells: impl IntoIterator<Item = Spell>, time: i64) -> Option<Held> {
    let mut held: Option<Held> = None;
    for spell in spells {
        if spell.from.is_some_and(|from| from > time) {
            break;
        }
        match held {
            Some(before) if before.state == spell.state => {}
            Some(before) if before.state.is_out_of_use() && spell.state.is_of_leave_date() => {}
            _ => held = Some(Held { state: spell.state, since: spell.from }),
        }
    }
    held
}

/// The states of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    /// In the order of time, and of states at one time.
    spells: Vec<Spell>,
}

impl History {
    /// The spells, the oldest first.
    pub fn spells(&self) -> &[Spell] {
        &self.spells
    }

    /// What holds at a time, ms since 1970; `None` when nobody knows.
    pub fn at(&self, time: i64) -> Option<Held> {
        at(self.spells.iter().copied(), time)
    }

    /// The state of the account itself, whatever is known of leaving.
    fn account_at(&self, time: i64) -> Option<Standing> {
        let own = self.spells.iter().copied().filter(|spell| !spell.state.is_of_leave_date());
        at(own, time).map(|held| held.state)
    }

    /// The directory named a state, seen at `now`.
    ///
    /// With a time it holds from then on, until something later. Without, it holds from now on if it
    /// differs from what was known; an account that is active when it is first seen has always been.
    /// `sure` is for who states everything anew each time: what is later than its time is then over.
    pub(crate) fn observe(&mut self, state: Standing, since: Option<i64>, now: i64, sure: bool) {
        let Some(since) = since else {
            if self.account_at(now) != Some(state) {
                let first = self.account_at(i64::MAX).is_none();
                let always = first && state == Standing::Active;
                self.insert(state, (!always).then_some(now), false);
            }
            return;
        };
        self.insert(state, Some(since), true);
        if sure && self.account_at(now) != Some(state) {
            let later = |from: i64| from > since && from <= now;
            self.spells
                .retain(|spell| spell.state.is_of_leave_date() || !spell.from.is_some_and(later));
        }
    }

    /// The directory named another leave date than before, or none any more.
    pub(crate) fn leave(&mut self, date: Option<i64>, now: i64) {
        self.spells.retain(|spell| {
            spell.state != Standing::Left || spell.from.is_none_or(|from| from <= now)
        });
        let leaving = self.at(now).is_some_and(|held| held.state == Standing::Leaving);
        match date {
            Some(date) => {
                if date > now && !leaving {
                    self.insert(Standing::Leaving, Some(now), false);
                }
                self.insert(Standing::Left, Some(date), true);
            }
            None if leaving => {
                let back = self.account_at(now).unwrap_or(Standing::Active);
                self.insert(back, Some(now), false);
            }
            None => {}
        }
    }

    fn insert(&mut self, state: Standing, from: Option<i64>, said: bool) {
        let key = |spell: &Spell| (spell.from, spell.state);
        match self.spells.binary_search_by_key(&(from, state), key) {
            Ok(place) => {
                if let Some(spell) = self.spells.get_mut(place) {
                    spell.said |= said;
                }
            }
            Err(place) => self.spells.insert(place, Spell { from, state, said, told: false }),
        }
        if self.spells.len() > MOST_SPELLS {
            self.spells.remove(0);
        }
    }

    /// The spells that have begun by `now` and that the log was not told of; it is from now on.
    pub(crate) fn tell(&mut self, now: i64) -> Vec<Spell> {
        let mut news = Vec::new();
        for place in 0..self.spells.len() {
            let Some(spell) = self.spells.get(place).copied() else { break };
            if spell.told || spell.from.is_some_and(|from| from > now) {
                continue;
            }
            if let Some(spell) = self.spells.get_mut(place) {
                spell.told = true;
            }
            // What the account's own state outweighs is no news, and neither is what has no time of
            // its own and is over: told now, it would look like the latest.
            let held = self.at(spell.from.unwrap_or(now));
            if held.is_some_and(|held| held.state == spell.state) {
                news.push(spell);
            }
        }
        news
    }

    /// The log is to be told once more what holds now: of somebody else, as far as it can know.
    pub(crate) fn untell(&mut self, now: i64) {
        let Some(held) = self.at(now) else { return };
        for spell in &mut self.spells {
            if spell.state == held.state && spell.from == held.since {
                spell.told = false;
            }
        }
    }

    /// When the first spell begins that the log was not told of, if there is one.
    pub(crate) fn untold(&self) -> Option<i64> {
        let untold = self.spells.iter().find(|spell| !spell.told)?;
        Some(untold.from.unwrap_or(i64::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Active, Deleted, Disabled, Leaving, Left};
    use super::*;
    use proptest::prelude::*;

    fn held(history: &History, time: i64) -> Option<(Standing, Option<i64>)> {
        history.at(time).map(|held| (held.state, held.since))
    }

    /// Each row: what was observed (state, since, when), and what holds at which times.
    #[test]
    fn what_holds_when() {
        type Seen = (Standing, Option<i64>, i64);
        type Expected = (i64, Option<(Standing, Option<i64>)>);
        let rows: &[(&str, &[Seen], &[Expected])] = &[
            ("active has always been", &[(Active, None, 100)], &[(0, Some((Active, None)))]),
            (
                "disabled holds from when it is seen",
                &[(Disabled, None, 100)],
                &[(99, None), (100, Some((Disabled, Some(100))))],
            ),
            (
                "a date counts more than the day it is seen",
                &[(Active, None, 10), (Deleted, Some(50), 100)],
                &[(49, Some((Active, None))), (50, Some((Deleted, Some(50))))],
            ),
            (
                "a date that comes later moves the beginning",
                &[(Active, None, 10), (Deleted, None, 100), (Deleted, Some(50), 110)],
                &[(49, Some((Active, None))), (120, Some((Deleted, Some(50))))],
            ),
            (
                "restored",
                &[(Deleted, Some(5), 10), (Active, None, 20), (Active, None, 30)],
                &[(4, None), (19, Some((Deleted, Some(5)))), (25, Some((Active, Some(20))))],
            ),
            (
                "said again after it was restored, of the time before",
                &[
                    (Active, None, 1),
                    (Deleted, Some(5), 10),
                    (Active, None, 20),
                    (Deleted, Some(5), 30),
                ],
                &[(30, Some((Active, Some(20))))],
            ),
        ];
        for (name, seen, expected) in rows {
            let mut history = History::default();
            for &(state, since, now) in *seen {
                history.observe(state, since, now, false);
            }
            for &(time, what) in *expected {
                assert_eq!(held(&history, time), what, "{name}, at {time}");
            }
        }
    }

    #[test]
    fn leave_dates_come_move_and_go() {
        let mut history = History::default();
        history.observe(Active, None, 100, false);
        history.leave(Some(500), 100);
        assert_eq!(held(&history, 99), Some((Active, None)));
        assert_eq!(held(&history, 100), Some((Leaving, Some(100))));
        assert_eq!(held(&history, 500), Some((Left, Some(500))));
        // An account that is still enabled is not back.
        history.observe(Active, None, 600, false);
        assert_eq!(held(&history, 600), Some((Left, Some(500))));
        // Switched off and on again it is.
        history.observe(Disabled, None, 700, false);
        history.observe(Active, None, 800, false);
        assert_eq!(held(&history, 800), Some((Active, Some(800))));

        let mut moved = History::default();
        moved.observe(Active, None, 100, false);
        moved.leave(Some(500), 100);
        moved.leave(Some(900), 200);
        assert_eq!(held(&moved, 600), Some((Leaving, Some(100))));
        assert_eq!(held(&moved, 900), Some((Left, Some(900))));
        moved.leave(None, 300);
        assert_eq!(held(&moved, 1000), Some((Active, Some(300))));

        // What is gone does not leave.
        let mut gone = History::default();
        gone.observe(Deleted, Some(50), 100, false);
        gone.leave(Some(60), 100);
        assert_eq!(held(&gone, 70), Some((Deleted, Some(50))));
    }

    /// Whoever states everything anew is believed about now.
    #[test]
    fn a_sure_word_ends_what_is_later() {
        let mut history = History::default();
        history.observe(Disabled, Some(5), 10, true);
        history.observe(Active, None, 20, true);
        history.observe(Disabled, Some(5), 30, true);
        assert_eq!(held(&history, 30), Some((Disabled, Some(5))));
    }

    #[test]
    fn every_spell_is_told_once_and_when_it_has_come() {
        let mut history = History::default();
        history.observe(Active, None, 100, false);
        history.leave(Some(500), 100);
        let told = |history: &mut History, now| -> Vec<_> {
            history.tell(now).into_iter().map(|spell| (spell.state, spell.from)).collect()
        };
        assert_eq!(told(&mut history, 100), [(Leaving, Some(100))]);
        assert_eq!(history.untold(), Some(500));
        assert_eq!(told(&mut history, 499), []);
        assert_eq!(told(&mut history, 500), [(Left, Some(500))]);
        history.observe(Deleted, Some(300), 600, false);
        assert_eq!(told(&mut history, 600), [(Deleted, Some(300))]);
        history.observe(Deleted, None, 700, false);
        assert_eq!(told(&mut history, 700), []);
        history.untell(700);
        assert_eq!(told(&mut history, 700), [(Deleted, Some(300))]);
    }

    fn state() -> impl Strategy<Value = Standing> {
        proptest::sample::select(Standing::ALL)
    }

    proptest! {
        /// The state at any time is that of a list walked by brute force, without order or runs.
        #[test]
        fn the_state_at_a_time_agrees_with_the_oracle(
            dated in proptest::collection::vec((state(), 0i64..40), 0..10),
            time in -1i64..45,
        ) {
            let mut history = History::default();
            for &(state, since) in &dated {
                history.observe(state, Some(since), 50, false);
            }
            // Every instant is looked at, one after another.
            let mut oracle: Option<(Standing, i64)> = None;
            for instant in 0..=time {
                let mut here: Vec<Standing> = dated.iter().filter(|(_, since)| *since == instant).map(|(state, _)| *state).collect();
                here.sort();
                for state in here {
                    let out = matches!(oracle, Some((Disabled | Deleted, _)));
                    if !(out && matches!(state, Leaving | Left)) && oracle.map(|(state, _)| state) != Some(state) {
                        oracle = Some((state, instant));
                    }
                }
            }
            let expected = oracle.map(|(state, since)| (state, Some(since)));
            prop_assert_eq!(held(&history, time), expected);
        }

        /// News that carry their time give the same history in any order and any number of times.
        #[test]
        fn dated_news_commute(
            dated in proptest::collection::vec((state(), 0i64..40), 0..12),
            again in proptest::collection::vec(0usize..12, 0..12),
            seed in proptest::collection::vec(0usize..1000, 24),
        ) {
            let mut straight = History::default();
            for &(state, since) in &dated {
                straight.observe(state, Some(since), 50, false);
            }
            let mut mixed: Vec<_> = dated.clone();
            mixed.extend(again.iter().filter_map(|&n| dated.get(n).copied()));
            let mut order: Vec<usize> = (0..mixed.len()).collect();
            order.sort_by_key(|&n| seed[n % 24] * 31 % 997 + n);
            let mut other = History::default();
            for n in order {
                other.observe(mixed[n].0, Some(mixed[n].1), 50, false);
            }
            prop_assert_eq!(straight, other);
        }
    }
}
