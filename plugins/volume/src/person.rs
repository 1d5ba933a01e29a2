//! What is remembered of one user: what is usual for him, and the days that are still open.
//!
//! A day is *live* while activities of it may still come, then *settled*, which leaves its counts, and
//! then folded into the sums, once no day that can still get an activity is judged without it. All of
//! this follows from the newest activity alone, so it is the same in every order and every split.
//!
//! It does not judge: it says what there is to judge, and by what.

use casbah_model::Evidence;
use casbah_when::duration::{DAY, HOUR};

use crate::baseline::Sums;
use crate::distinct::Distinct;
use crate::policy::{Per, Rule};
use crate::population::Change;

mod bytes;
mod pending;

use pending::Pending;

/// After so many days of silence somebody is a newcomer again.
const LONGEST_SILENCE: i64 = 1000;
/// How many kinds of bucket there are.
const KINDS: usize = 3;

/// Sums of one kind of bucket, by class of days.
pub(crate) type Model = [Sums; 2];
/// By kind of bucket, in the order of the rule; the last ones may be unused.
pub(crate) type Models = [Model; KINDS];

/// What is remembered of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// Time of the newest activity, ms since 1970.
    newest: i64,
    /// Day of the first activity.
    pub(crate) since: i64,
    /// By kind of bucket: all days up to [`closed`](Self::closed).
    models: Models,
    /// Days after that with any activity, in order.
    days: Vec<Open>,
}

/// A day that is not in the sums yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    day: i64,
    /// Buckets by kind, and then in the order of time.
    buckets: Vec<Bucket>,
    /// It has been found strange: what is added is evidence at once.
    strange: bool,
    /// Activities that may become evidence.
    pending: Pending,
}

/// Activities counted together. Of a settled day, only the count is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Place of its kind.
    kind: u8,
    /// From here on, ms since 1970: the first activity of a session, else the start of the clock's.
    first: i64,
    /// To here: the last activity of a session, else the last moment of the clock's.
    last: i64,
    tally: Tally,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tally {
    Count(u64),
    Distinct(Distinct),
}

impl Default for Tally {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl Tally {
    fn none(distinct: bool) -> Self {
        if distinct { Self::Distinct(Distinct::default()) } else { Self::Count(0) }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Count(count) => *count,
            Self::Distinct(distinct) => distinct.count(),
        }
    }

    fn insert(&mut self, hash: u32) {
        match self {
            Self::Count(count) => *count = count.saturating_add(1),
            Self::Distinct(distinct) => distinct.insert(hash),
        }
    }

    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Distinct(distinct), Self::Distinct(other)) => distinct.merge(other),
            (whole, other) => *whole = Self::Count(whole.count().saturating_add(other.count())),
        }
    }
}

impl Bucket {
    pub(crate) fn count(&self) -> u64 {
        self.tally.count()
    }

    /// Time of its first and last activity, for a session.
    pub(crate) fn span(&self) -> (i64, i64) {
        (self.first, self.last)
    }
}

/// An activity that counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) evidence: Evidence,
    /// Hash of its distinct value.
    pub(crate) hash: u32,
}

/// Where an activity was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) day: i64,
    /// It is the first of its day.
    pub(crate) new_day: bool,
}

impl Person {
    /// Somebody of whom nothing is known, at his first activity.
    pub(crate) fn new(rule: &Rule, time: i64) -> Self {
        Self {
            newest: time,
            since: rule.calendar.day(time),
            models: Models::default(),
            days: Vec::new(),
        }
    }

    /// The first day of which activities may still come.
    fn live(&self, rule: &Rule) -> i64 {
        rule.calendar.day(self.newest.saturating_sub(rule.calendar.lateness))
    }

    /// The last day that is in the sums.
    fn closed(&self, rule: &Rule) -> i64 {
        rule.calendar.known(self.live(rule))
    }

    /// Whether an activity of that time is not too late to be counted. One that is newer than all
    /// before closes what can be closed.
    pub(crate) fn admit(&mut self, rule: &Rule, time: i64) -> bool {
        if time <= self.newest {
            return time >= self.newest.saturating_sub(rule.calendar.lateness);
        }
        let before = self.closed(rule);
        let silence = rule.calendar.day(time).saturating_sub(rule.calendar.day(self.newest));
        if silence > LONGEST_SILENCE {
            *self = Self::new(rule, time);
            return true;
        }
        self.newest = time;
        let after = self.closed(rule);
        for day in before.saturating_add(1).max(self.since)..=after {
            let open = self.days.first().is_some_and(|open| open.day == day);
            let open = open.then(|| self.days.remove(0));
            fold(rule, &mut self.models, day, open.as_ref());
        }
        let live = self.live(rule);
        for open in self.days.iter_mut().take_while(|open| open.day < live) {
            open.settle();
        }
        true
    }

    /// Counts an activity, and says what it changes for the population.
    pub(crate) fn count(
        &mut self,
        rule: &Rule,
        arrival: &Arrival,
        changes: &mut Vec<Change>,
    ) -> Counted {
        let time = arrival.evidence.time;
        let day = rule.calendar.day(time);
        self.since = self.since.min(day);
        let place = self.days.binary_search_by_key(&day, |open| open.day);
        let new_day = place.is_err();
        let place = place.unwrap_or_else(|place| {
            self.days.insert(place, Open::new(day));
            place
        });
        if let Some(open) = self.days.get_mut(place) {
            open.count(rule, arrival, changes);
        }
        Counted { day, new_day }
    }

    /// The fullest bucket of a kind on a day, the earliest of several.
    pub(crate) fn fullest(&self, day: i64, kind: usize) -> Option<&Bucket> {
        let mut of = self.open(day)?.of(kind);
        let first = of.next()?;
        Some(of.fold(
            first,
            |fullest, bucket| {
                if bucket.count() > fullest.count() { bucket } else { fullest }
            },
        ))
    }

    /// Whether a day has been found strange.
    pub(crate) fn is_strange(&self, day: i64) -> bool {
        self.open(day).is_some_and(|open| open.strange)
    }

    /// Remembers an activity of a day that may become evidence.
    pub(crate) fn keep(&mut self, day: i64, evidence: Evidence) {
        if let Some(open) = self.open_mut(day) {
            open.pending.insert(evidence);
        }
    }

    /// Marks a day as strange, and takes the activities that have become evidence by it.
    pub(crate) fn find_strange(&mut self, day: i64, taken: &mut Vec<Evidence>) {
        if let Some(open) = self.open_mut(day) {
            open.strange = true;
            open.pending.take(taken);
        }
    }

    fn open(&self, day: i64) -> Option<&Open> {
        self.days.iter().rev().find(|open| open.day == day)
    }

    fn open_mut(&mut self, day: i64) -> Option<&mut Open> {
        self.days.iter_mut().rev().find(|open| open.day == day)
    }

    /// The sums that judge a day: all days that are complete when it begins.
    pub(crate) fn models(&self, rule: &Rule, day: i64) -> Models {
        let mut models = self.models;
        let first = self.closed(rule).saturating_add(1).max(self.since);
        for day in first..=rule.calendar.known(day) {
            let open = self.days.iter().find(|open| open.day == day);
            fold(rule, &mut models, day, open);
        }
        models
    }
}

/// Folds a day into the sums.
fn fold(rule: &Rule, models: &mut Models, day: i64, open: Option<&Open>) {
    let class = rule.calendar.class(day);
    let buckets = open.map(|open| open.buckets.as_slice()).unwrap_or_default();
    for (place, (per, model)) in rule.kinds.iter().zip(models).enumerate() {
        model.iter_mut().for_each(|sums| sums.fade(rule.fade));
        let Some(sums) = model.get_mut(class) else { continue };
        if *per == Per::Day && buckets.is_empty() {
            sums.learn(0);
        }
        let its = buckets.iter().filter(|bucket| usize::from(bucket.kind) == place);
        its.for_each(|bucket| sums.learn(bucket.count()));
    }
}

impl Open {
    fn new(day: i64) -> Self {
        Self { day, buckets: Vec::new(), strange: false, pending: Pending::default() }
    }

    /// Leaves the counts.
    fn settle(&mut self) {
        self.strange = false;
        self.pending = Pending::default();
        for bucket in &mut self.buckets {
            let (kind, tally) = (bucket.kind, Tally::Count(bucket.count()));
            *bucket = Bucket { kind, tally, ..Bucket::default() };
        }
    }

    /// The buckets of a kind.
    fn of(&self, kind: usize) -> impl Iterator<Item = &Bucket> + Clone {
        self.buckets.iter().filter(move |bucket| usize::from(bucket.kind) == kind)
    }

    fn count(&mut self, rule: &Rule, arrival: &Arrival, changes: &mut Vec<Change>) {
        let day = self.day;
        let class = rule.calendar.class(day);
        for (kind, per) in rule.kinds.iter().enumerate() {
            let mut change = |before, after| {
                if before != after {
                    changes.push(Change::Count { day, kind, class, before, after });
                }
            };
            let place = self.find(rule, (*per, kind as u8), arrival.evidence.time, &mut change);
            let Some(bucket) = self.buckets.get_mut(place) else { continue };
            let before = bucket.count();
            bucket.tally.insert(arrival.hash);
            change(before, bucket.count());
        }
    }

    /// The place of the bucket that a time belongs to; makes it, or joins sessions, where needed.
    fn find(
        &mut self,
        rule: &Rule,
        (per, kind): (Per, u8),
        time: i64,
        change: &mut impl FnMut(u64, u64),
    ) -> usize {
        let start = rule.calendar.start(self.day);
        let (first, last, reach) = match per {
            Per::Day => clock(start, DAY),
            Per::Hour => clock(start.saturating_add(rule.calendar.hour(time) * HOUR), HOUR),
            Per::Session => (time, time, rule.gap),
        };
        let before = |bucket: &Bucket| {
            bucket.kind < kind || (bucket.kind == kind && bucket.last.saturating_add(reach) < first)
        };
        let from = self.buckets.partition_point(before);
        let behind = self.buckets.get(from..).unwrap_or_default();
        let touches =
            |bucket: &&Bucket| bucket.kind == kind && bucket.first.saturating_sub(reach) <= last;
        let touched = behind.iter().take_while(touches).count();
        if touched == 0 {
            let tally = Tally::none(rule.distinct);
            self.buckets.insert(from, Bucket { kind, first, last, tally });
            return from;
        }
        let joined: Vec<Bucket> = self.buckets.drain(from + 1..from + touched).collect();
        if let Some(bucket) = self.buckets.get_mut(from) {
            bucket.first = bucket.first.min(first);
            bucket.last = bucket.last.max(last);
            for other in joined {
                let before = bucket.count();
                change(other.count(), 0);
                bucket.tally.merge(&other.tally);
                bucket.last = bucket.last.max(other.last);
                change(before, bucket.count());
            }
        }
        from
    }
}

/// A bucket of the clock: first and last moment, and no reach beyond.
fn clock(start: i64, length: i64) -> (i64, i64, i64) {
    (start, start.saturating_add(length - 1), 0)
}

#[cfg(test)]
mod tests;
