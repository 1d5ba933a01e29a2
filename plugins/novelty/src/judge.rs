//! Whether something is new, and how strange that is, as of what was known for sure.
//!
//! It keeps nothing and tells nothing.

use casbah_plugin::crowd::{Census, Crowd, Person};

use crate::settings::{Mode, Policy};
use crate::state::{Habits, value_text};

/// A population is taken to be at least so large: of ten people, nobody else doing something says
/// little.
const SMALLEST: u64 = 100;
/// Rarer than this is no stranger: of a large organization's values, many are used by one person only.
const RAREST: f64 = 0.003;
/// A silence is full long when it is so many times as long as usual.
const LONG: f64 = 6.0;
/// How many quiet days are assumed to have gone before the first: the chance of a first time can't
/// be told from a few days.
const ASSUMED_DAYS: f64 = 20.0;
/// How many usual values are told.
const TOLD: usize = 3;

/// What is known of everybody.
pub(crate) struct Others<'a> {
    pub(crate) census: Option<&'a Census>,
    pub(crate) crowd: Option<&'a Crowd>,
    pub(crate) person: Person,
}

/// That something is new, and by what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// More is stranger.
    pub(crate) score: f64,
    /// Whether it is new for the whole population, not only for somebody.
    pub(crate) new_to_all: bool,
    pub(crate) facts: Facts,
}

/// The numbers behind a verdict.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Facts {
    /// A value new for somebody.
    Value {
        /// Days on which somebody was active, and the first of them.
        days: u64,
        since: i64,
        /// How many values they used, and those that were used most, with their days.
        values: u64,
        usual: Vec<(String, u64)>,
        /// The day on which they used it last, longer ago than is remembered.
        last: Option<i64>,
        /// How many others used it, of how many people; a number at the limit means at least that.
        others: u64,
        people: u64,
    },
    /// A key that was not there before.
    First {
        /// How many are known, how many of them began after learning, and in how many days.
        known: u64,
        began: u64,
        days: i64,
        /// The first day of the population.
        since: i64,
        /// The day on which it was there last, longer ago than is remembered.
        last: Option<i64>,
    },
    /// A key that was silent.
    Silence {
        /// The last day before, and how many days ago that was.
        last: i64,
        days: i64,
        /// The usual time between two days of activity, days; 0 where it is not known.
        usual: f64,
    },
}

/// Judges what a key does on a day; `None` where it is nothing new, or not known well enough.
pub(crate) fn judge(
    policy: &Policy,
    habits: &Habits,
    day: i64,
    value: u32,
    others: &Others<'_>,
) -> Option<Verdict> {
    let horizon = policy.horizon(day);
    match policy.mode {
        Mode::FirstSeen { rare_below, floor, events, together, .. } => {
            let rare = (rare_below, floor, events);
            let mut verdict = first_seen(policy, habits, (day, horizon), value, others, rare)?;
            verdict.new_to_all = is_new_to_all(policy, (day, horizon), others, together);
            Some(verdict)
        }
        Mode::FirstTime { .. } => first_time(policy, habits, (day, horizon), others),
        Mode::AfterSilence(silence) => {
            let calendar = &habits.seen.as_ref()?.1;
            let last = calendar.last_before(horizon)?;
            let days = day - last;
            // Who comes every other month anyway is not back from anywhere.
            let usual = match calendar.days_before(horizon) {
                0..=2 => 0.0,
                number => (last - calendar.first()) as f64 / (number - 1) as f64,
            };
            let length = days as f64 / (usual * LONG).max(1.0);
            let score = days as f64 / silence.max(1) as f64 * length.min(1.0);
            let facts = Facts::Silence { last, days, usual };
            Some(Verdict { score, new_to_all: false, facts })
        }
    }
}

/// Whether nobody had used a value before the horizon, or somebody for the first time only so few days
/// ago. What was used while the population was being learned was there before, as far as is known.
fn is_new_to_all(
    policy: &Policy,
    (day, horizon): (i64, i64),
    others: &Others<'_>,
    together: i64,
) -> bool {
    let first = others.crowd.and_then(Crowd::first).filter(|&first| first < horizon);
    let learned = others.census.and_then(Census::first).map_or(day, |first| first + policy.learn);
    together > 0 && first.is_none_or(|first| first >= learned.max(day - together))
}

fn first_seen(
    policy: &Policy,
    habits: &Habits,
    (day, horizon): (i64, i64),
    value: u32,
    others: &Others<'_>,
    (rare_below, floor, events): (f64, u64, u64),
) -> Option<Verdict> {
    let oldest = day - policy.forget;
    let last = habits.value(value).and_then(|days| days.last_before(horizon));
    if last.is_some_and(|last| last >= oldest) {
        return None;
    }
    let active = habits.seen.as_ref().map(|(_, calendar)| calendar)?;
    let (census, crowd) = (others.census?, others.crowd?);
    let known_long_enough = |first: i64| first <= day - policy.learn;
    if !known_long_enough(active.first())
        || !census.first().is_some_and(known_long_enough)
        || habits.enough.before(horizon) < events
    {
        return None;
    }
    let people = census.before(horizon);
    let users = crowd.others_before(horizon, others.person) as u64;
    let rare = (rare_below * people as f64).clamp(floor as f64, Crowd::KEPT as f64);
    if users as f64 >= rare {
        return None;
    }
    let mut usual: Vec<(u64, u32)> = habits
        .values
        .iter()
        .filter(|(_, days)| days.last_before(horizon).is_some_and(|last| last >= oldest))
        .map(|(id, days)| (days.days_before(horizon).max(1), *id))
        .collect();
    let days = active.days_before(horizon);
    let values = usual.len() as u64;
    // On so many days something new came up: the next one is to be expected as often.
    let own = values.max(1) as f64 / (days.min(policy.forget.unsigned_abs()) as f64 + 2.0);
    let share = (users as f64 + 1.0) / (people.max(SMALLEST) as f64 + 2.0);
    let score = -libm::log10(own.min(1.0)) - libm::log10(share.clamp(RAREST, 1.0));
    usual.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let usual = usual
        .iter()
        .take(TOLD)
        .filter_map(|&(days, id)| value_text(id).map(|text| (text, days)))
        .collect();
    let since = active.first();
    Some(Verdict {
        score,
        new_to_all: false,
        facts: Facts::Value { days, since, values, usual, last, others: users, people },
    })
}

fn first_time(
    policy: &Policy,
    habits: &Habits,
    (day, horizon): (i64, i64),
    others: &Others<'_>,
) -> Option<Verdict> {
    let last = habits.seen.as_ref().and_then(|(_, calendar)| calendar.last_before(horizon));
    if last.is_some_and(|last| last >= day - policy.forget) {
        return None;
    }
    let census = others.census?;
    let since = census.first()?;
    let learned = since.saturating_add(policy.learn);
    if learned > day {
        return None;
    }
    let known = census.before(horizon);
    let began = known.saturating_sub(census.before(learned));
    let days = (horizon - learned).max(0);
    let rate = (began as f64 + 1.0) / (days as f64 + ASSUMED_DAYS);
    let score = -libm::log10(rate.min(1.0));
    let facts = Facts::First { known, began, days, since, last };
    Some(Verdict { score, new_to_all: false, facts })
}
