//! Finds steps that follow one another within a time, and what must not come behind them.
//!
//! Time is all that orders activities: those of the same time stand in any order. An activity stands
//! for one step only. What must not come between two steps breaks a sequence off when its time lies
//! between theirs, or is one of theirs and it is no step itself.
//!
//! It looks at all activities of a key at once, forth and back, and keeps nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::entry::{Entry, Fired, Instant};
use crate::rule::Rule;
use crate::steps::{self, Class, MOST};

/// Steps in order, and what must not come between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// How many steps there are.
    pub(crate) steps: u8,
    /// Behind which of them something must not come, one bit each; behind the last one it must not
    /// come within the span that began with the first one.
    pub(crate) nots: u8,
}

/// Activities of the same time.
struct Moment {
    time: i64,
    entries: Range<usize>,
    /// Behind which steps nothing of this moment may come.
    nots: u8,
    /// The same of those that are no step themselves.
    strangers: u8,
    /// What its activities can be; `None` where none is a step.
    able: Option<usize>,
}

/// What activities of the same time can be, together.
struct Able {
    classes: Vec<Class>,
    /// As in [`Moment`].
    strangers: u8,
    /// From how many steps done to how many they can lead, one bit for each pair.
    leads: Pairs,
    /// For every class, the pairs it can take part in.
    with: Vec<Pairs>,
}

/// All moments, and all that moments can be.
struct Moments {
    list: Vec<Moment>,
    able: Vec<Able>,
}

/// Pairs of numbers of steps, from and to, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pairs(u64);

impl Pairs {
    fn insert(&mut self, from: usize, to: usize) {
        self.0 |= 1 << (from * MOST + to - 1);
    }

    fn holds(self, from: usize, to: usize) -> bool {
        self.0 >> (from * MOST + to - 1) & 1 == 1
    }
}

/// The beginnings of sequences that can go on, by how many steps are done: the latest time at which
/// one began, and the moment in which its last step was done.
#[derive(Clone, Copy, Debug)]
struct Begun([Option<(i64, usize)>; MOST]);

/// A sequence that is complete in a moment.
#[derive(Clone, Copy, Debug)]
struct Complete {
    /// When the one that began last began.
    began: i64,
    /// Whether nothing has come behind it that must not.
    stands: bool,
}

/// The rests of sequences that can be gone into, by how many steps are done before: the earliest time
/// at which one ends, in the bucket at hand, and in the one behind it.
type Rests = [[Option<i64>; 2]; MOST];

impl Sequence {
    /// Whether it is only known after its last step whether it is complete.
    pub(crate) fn waits(&self) -> bool {
        self.steps > 0 && self.nots >> (self.steps - 1) & 1 == 1
    }

    /// All instants at which a sequence is complete as far as is known, by time, and what each adds to
    /// its bucket: the activities that are part of a sequence which is complete then, and of none
    /// that is complete earlier in the same bucket.
    pub(crate) fn instants(&self, rule: &Rule, entries: &[Entry]) -> Vec<Instant> {
        if self.steps == 1 {
            return self.alone(rule, entries);
        }
        let seen = entries.iter().fold(0, |seen, entry| seen | entry.role.steps);
        if self.steps == 0 || seen.count_ones() < u32::from(self.steps) {
            return Vec::new();
        }
        let moments = self.moments(rule, entries);
        let (begun, complete) = self.forth(rule, &moments);
        if complete.iter().all(Option::is_none) {
            return Vec::new();
        }
        let complete = self.judge(rule, &moments, complete);
        let mut fired: BTreeMap<i64, Fired> = BTreeMap::new();
        self.back(rule, &moments, &begun, &complete, |moment, class, ends| {
            for end in ends.into_iter().flatten() {
                let fired = fired.entry(end).or_default();
                for entry in entries.get(moment.entries.clone()).unwrap_or_default() {
                    if entry.role.steps == class {
                        fired.take(entry);
                    }
                }
            }
        });
        let mut instants = Vec::with_capacity(fired.len());
        for (time, mut fired) in fired {
            let Ok(place) = moments.list.binary_search_by_key(&time, |moment| moment.time) else {
                continue;
            };
            let Some(Some(done)) = complete.get(place) else { continue };
            let due = self.due(rule, time, done.began);
            fired.evidence.sort_unstable();
            fired.start = rule.bucket(time);
            fired.facts = self.example(&moments, &begun, place);
            instants.push(Instant { time, due, fired });
        }
        instants
    }

    /// The instants of a single step, behind which something must not come.
    fn alone(&self, rule: &Rule, entries: &[Entry]) -> Vec<Instant> {
        let mut instants = Vec::new();
        let mut next: Option<i64> = None;
        let mut end = entries.len();
        while let Some(time) = end.checked_sub(1).and_then(|last| entries.get(last)).map(|e| e.time)
        {
            let before = entries.get(..end).unwrap_or_default();
            let start = end - before.iter().rev().take_while(|entry| entry.time == time).count();
            let moment = entries.get(start..end).unwrap_or_default();
            end = start;
            let stranger = moment.iter().any(|entry| entry.role.steps == 0);
            let comes = if stranger { Some(time) } else { next };
            if comes.is_none_or(|comes| comes.saturating_sub(time) >= rule.within) {
                let mut fired = Fired { start: rule.bucket(time), ..Fired::default() };
                moment.iter().filter(|entry| entry.role.steps != 0).for_each(|e| fired.take(e));
                if !fired.evidence.is_empty() {
                    fired.facts.push(time);
                    instants.push(Instant { time, due: self.due(rule, time, time), fired });
                }
            }
            if moment.iter().any(|entry| entry.role.nots != 0) {
                next = Some(time);
            }
        }
        instants.reverse();
        instants
    }

    /// When nothing can come any more that would change an instant whose sequence began last then.
    fn due(&self, rule: &Rule, time: i64, began: i64) -> i64 {
        #[cfg(test)]
        if rule.planted == crate::rule::Planted::Hasty {
            return time;
        }
        if self.waits() { began.saturating_add(rule.within) } else { time.saturating_add(1) }
    }

    /// Joins what happened at the same time.
    fn moments(&self, rule: &Rule, entries: &[Entry]) -> Moments {
        let mut moments = Moments { list: Vec::with_capacity(entries.len()), able: Vec::new() };
        let mut classes: Vec<Class> = Vec::new();
        let mut start = 0;
        for run in entries.chunk_by(|a, b| is_same_moment(rule, a, b)) {
            classes.clear();
            let (mut nots, mut strangers) = (0, 0);
            for entry in run {
                nots |= entry.role.nots & self.nots;
                match entry.role.steps {
                    0 => strangers |= entry.role.nots & self.nots,
                    steps => steps::add(&mut classes, steps),
                }
            }
            classes.sort_unstable();
            let known = || {
                let same = |able: &Able| able.strangers == strangers && able.classes == classes;
                moments.able.iter().position(same)
            };
            let able = match classes.is_empty() {
                true => None,
                false => Some(known().unwrap_or_else(|| {
                    moments.able.push(self.able(&classes, strangers));
                    moments.able.len() - 1
                })),
            };
            let entries = start..start + run.len();
            start += run.len();
            let time = run.first().map_or(0, |entry| entry.time);
            moments.list.push(Moment { time, entries, nots, strangers, able });
        }
        moments
    }

    /// From how many steps to how many the activities of one moment lead, and which class can take
    /// part in that.
    fn able(&self, classes: &[Class], strangers: u8) -> Able {
        let (mut leads, mut with) = (Pairs::default(), vec![Pairs::default(); classes.len()]);
        let steps = usize::from(self.steps);
        for from in 0..steps {
            for to in from + 1..=steps {
                // A stranger of the same time may stand before the first step or behind any.
                let between = bits(from.max(1) - 1, to - 1);
                let wanted = bits(from, to);
                if strangers & between != 0 || !steps::covers(classes, wanted) {
                    break;
                }
                leads.insert(from, to);
                for (place, with) in with.iter_mut().enumerate() {
                    if steps::covers_with(classes, place, wanted) {
                        with.insert(from, to);
                    }
                }
            }
        }
        Able { classes: classes.to_vec(), strangers, leads, with }
    }

    /// What has begun before each moment, and what is complete in it.
    fn forth(&self, rule: &Rule, moments: &Moments) -> (Vec<Begun>, Vec<Option<Complete>>) {
        let steps = usize::from(self.steps);
        let mut before = Begun([None; MOST]);
        let mut begun = Vec::with_capacity(moments.list.len());
        let mut complete = Vec::with_capacity(moments.list.len());
        for (place, moment) in moments.list.iter().enumerate() {
            let leads = moments.leads(moment);
            begun.push(before);
            let mut new: [Option<(i64, usize)>; MOST] = [None; MOST];
            let mut done = None::<i64>;
            for from in 0..steps {
                let Some(began) = before.began(rule, moment, from) else { continue };
                for to in (from + 1..=steps).filter(|&to| leads.holds(from, to)) {
                    match new.get_mut(to) {
                        Some(slot) if to < steps => *slot = (*slot).max(Some((began, place))),
                        _ => done = done.max(Some(began)),
                    }
                }
            }
            for (step, (slot, new)) in before.0.iter_mut().zip(new).enumerate().skip(1) {
                let bit = 1 << (step - 1);
                *slot = match (moment.strangers & bit != 0, moment.nots & bit != 0) {
                    (true, _) => None,
                    (_, true) => new,
                    _ => new.filter(|new| Some(new.0) >= slot.map(|slot| slot.0)).or(*slot),
                };
            }
            complete.push(done.map(|began| Complete { began, stands: true }));
        }
        (begun, complete)
    }

    /// Looks for what comes behind complete sequences and must not.
    fn judge(
        &self,
        rule: &Rule,
        moments: &Moments,
        mut complete: Vec<Option<Complete>>,
    ) -> Vec<Option<Complete>> {
        if !self.waits() {
            return complete;
        }
        let bit = 1 << (self.steps - 1);
        let mut next: Option<i64> = None;
        for (moment, complete) in moments.list.iter().zip(&mut complete).rev() {
            let comes = if moment.strangers & bit != 0 { Some(moment.time) } else { next };
            if let (Some(complete), Some(comes)) = (complete, comes) {
                complete.stands = comes.saturating_sub(complete.began) >= rule.within;
            }
            if moment.nots & bit != 0 {
                next = Some(moment.time);
            }
        }
        complete
    }

    /// Goes back from the ends, and says of every class of every moment where the first sequences end
    /// that it is part of: in its own bucket, and in the next one.
    fn back(
        &self,
        rule: &Rule,
        moments: &Moments,
        begun: &[Begun],
        complete: &[Option<Complete>],
        mut part: impl FnMut(&Moment, u8, [Option<i64>; 2]),
    ) {
        let steps = usize::from(self.steps);
        let mut rests: Rests = [[None; 2]; MOST];
        let mut bucket = None;
        let mut found: Vec<[Option<i64>; 2]> = Vec::new();
        for ((moment, begun), complete) in moments.list.iter().zip(begun).zip(complete).rev() {
            let able = moment.able.and_then(|able| moments.able.get(able));
            let leads = moments.leads(moment);
            let here = rule.bucket(moment.time);
            if bucket != Some(here) {
                let adjoins = bucket == Some(here.saturating_add(rule.quiet));
                for [own, next] in &mut rests {
                    *next = own.take().filter(|_| adjoins);
                }
                bucket = Some(here);
            }
            let stands = complete.is_some_and(|complete| complete.stands);
            let mut new: Rests = [[None; 2]; MOST];
            found.clear();
            found.resize(able.map_or(0, |able| able.classes.len()), [None; 2]);
            for from in 0..steps {
                let began = begun.began(rule, moment, from);
                for to in (from + 1..=steps).filter(|&to| leads.holds(from, to)) {
                    let ends = match rests.get(to) {
                        Some(rest) if to < steps => {
                            let broken = moment.strangers & 1 << (to - 1) != 0;
                            if broken { [None; 2] } else { *rest }
                        }
                        _ => [stands.then_some(moment.time), None],
                    };
                    if let Some(slot) = new.get_mut(from) {
                        earlier(slot, ends);
                    }
                    let Some(began) = began else { continue };
                    let ends =
                        ends.map(|end| end.filter(|end| end.saturating_sub(began) < rule.within));
                    for (found, with) in found.iter_mut().zip(able.iter().flat_map(|a| &a.with)) {
                        if with.holds(from, to) {
                            earlier(found, ends);
                        }
                    }
                }
            }
            for (step, (slot, new)) in rests.iter_mut().zip(new).enumerate().skip(1) {
                if moment.nots & 1 << (step - 1) != 0 {
                    *slot = [None; 2];
                }
                earlier(slot, new);
            }
            for (class, ends) in able.iter().flat_map(|able| &able.classes).zip(&found) {
                part(moment, class.0, *ends);
            }
        }
    }

    /// The times of the steps of the sequence that began last of those complete in a moment.
    fn example(&self, moments: &Moments, begun: &[Begun], place: usize) -> Vec<i64> {
        let mut times = Vec::with_capacity(self.steps.into());
        let (mut place, mut to) = (place, usize::from(self.steps));
        while let (Some(moment), Some(begun)) = (moments.list.get(place), begun.get(place)) {
            let leads = moments.leads(moment);
            let latest = (0..to)
                .filter(|&from| leads.holds(from, to))
                .filter_map(|from| match from {
                    0 => Some((moment.time, place, 0)),
                    _ => begun.0.get(from).copied().flatten().map(|(began, at)| (began, at, from)),
                })
                .max_by_key(|(began, ..)| *began);
            let Some((_, before, from)) = latest else { break };
            times.extend(std::iter::repeat_n(moment.time, to - from));
            (place, to) = (before, from);
            if to == 0 {
                break;
            }
        }
        times.reverse();
        times
    }
}

impl Moments {
    /// From how many steps done to how many a moment can lead.
    fn leads(&self, moment: &Moment) -> Pairs {
        let able = moment.able.and_then(|able| self.able.get(able));
        able.map_or_else(Pairs::default, |able| able.leads)
    }
}

impl Begun {
    /// When the sequence began that a moment can go on with, with so many steps done before.
    fn began(&self, rule: &Rule, moment: &Moment, from: usize) -> Option<i64> {
        if from == 0 {
            return Some(moment.time);
        }
        let (began, _) = self.0.get(from).copied().flatten()?;
        (began > rule.before(moment.time)).then_some(began)
    }
}

/// Whether nobody can say which of two activities came first.
fn is_same_moment(rule: &Rule, a: &Entry, b: &Entry) -> bool {
    #[cfg(test)]
    if rule.planted == crate::rule::Planted::Arrival {
        return false;
    }
    let _ = rule;
    a.time == b.time
}

/// Bits of the steps from one number of steps done to another.
fn bits(from: usize, to: usize) -> u8 {
    (from..to).fold(0, |bits, step| bits | 1 << step)
}

/// Keeps the earlier ones.
fn earlier(slot: &mut [Option<i64>; 2], ends: [Option<i64>; 2]) {
    for (slot, end) in slot.iter_mut().zip(ends) {
        *slot = match (*slot, end) {
            (Some(slot), Some(end)) => Some(slot.min(end)),
            (slot, end) => slot.or(end),
        };
    }
}
