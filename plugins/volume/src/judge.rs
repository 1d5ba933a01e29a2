//! Judges the buckets of one user while a batch is evaluated.
//!
//! What a day is judged by is looked up once a day and kind of bucket. Since a count only grows and
//! more is never less strange, one look at the highest count that a batch can lead to is enough where
//! nothing is to be found, which is nearly always.

use crate::baseline::{Expected, Sums, Usual, score};
use crate::person::{Model, Models, Person};
use crate::policy::{Per, Policy};
use crate::population::{Population, Scope};

/// What the buckets of a kind on a day are judged by.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    day: i64,
    kind: usize,
    /// Expected of the user.
    pub(crate) expected: Expected,
    /// Expected of the user on the other class of days, if there is any.
    other: Option<Expected>,
    /// Usual in the population.
    pub(crate) usual: Usual,
    /// Whether the population is known long enough before the day is over.
    learned: bool,
    /// From which count on a bucket of this kind is worth keeping.
    own: Threshold,
    /// From which count on the whole day is strange enough for a part of it to be worth keeping.
    beside: Threshold,
}

/// A part of a day, however strange by itself, is stranger than the whole day by so much at most. People
/// who do something all day long have ten small sessions on one day and a huge one on the next.
const CONCENTRATION: f64 = 1.0;

/// The lowest count with some score, looked for when it is needed.
#[derive(Clone, Copy, Debug, Default)]
struct Threshold {
    /// Counts up to this are known to be below.
    below: u64,
    /// The lowest count that is not, once known.
    from: Option<u64>,
}

impl Threshold {
    /// Whether a count is not below. `possible` is the highest that the batch can lead to; `is` says
    /// it of any count, and of all higher ones when it says it of one.
    fn reached(&mut self, count: u64, possible: u64, is: impl Fn(u64) -> bool) -> bool {
        if count <= self.below {
            return false;
        }
        if self.from.is_none() {
            let (mut low, mut high) = (self.below + 1, possible.max(count));
            if !is(high) {
                self.below = high;
                return false;
            }
            while low < high {
                let middle = low + (high - low) / 2;
                if is(middle) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            self.from = Some(low);
        }
        self.from.is_some_and(|from| count >= from)
    }
}

impl Basis {
    /// How strange a count is. `whole` is how strange the whole day is, for a part of it.
    pub(crate) fn score(&self, count: u64, whole: Option<f64>) -> f64 {
        let own = score(count, self.expected, self.other, &self.usual);
        whole.map_or(own, |whole| own.min(whole + CONCENTRATION))
    }

    fn reached(&mut self, from: f64, beside: bool, count: u64, possible: u64) -> bool {
        let (expected, other, usual) = (self.expected, self.other, self.usual);
        let threshold = if beside { &mut self.beside } else { &mut self.own };
        threshold.reached(count, possible, |count| score(count, expected, other, &usual) >= from)
    }
}

/// What was usual in a population, as far as a batch has asked.
#[derive(Debug, Default)]
pub(crate) struct Asked(Vec<(i64, Scope, Usual)>);

impl Asked {
    fn usual(
        &mut self,
        population: &Population,
        scope: Scope,
        known: i64,
        policy: &Policy,
    ) -> Usual {
        let found = self.0.iter().rev().find(|(day, of, _)| (*day, *of) == (known, scope));
        if let Some((_, _, usual)) = found {
            return *usual;
        }
        let usual = population.usual(scope, known, policy.rule.fade);
        self.0.push((known, scope, usual));
        usual
    }
}

/// What one user's days are judged by, as far as a batch has asked.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    bases: Vec<Basis>,
    models: Option<(i64, Models)>,
}

impl Judge {
    /// Looks up what a day is judged by, for each kind of bucket that is full enough to be spoken of.
    pub(crate) fn prepare(
        &mut self,
        policy: &Policy,
        population: (&Population, &mut Asked),
        person: &Person,
        day: i64,
    ) {
        let (population, asked) = population;
        for kind in 0..policy.rule.kinds.len() {
            let full = person.fullest(day, kind).is_some_and(|of| of.count() >= policy.floor);
            if full && self.known(day, kind).is_none() {
                self.look_up(policy, (population, asked), person, (day, kind));
            }
        }
    }

    /// Whether a day is worth keeping as it is now. `left` is how many more of the user's activities
    /// the batch holds. What it is judged by must have been looked up.
    pub(crate) fn is_strange(
        &mut self,
        policy: &Policy,
        person: &Person,
        day: i64,
        left: u64,
    ) -> bool {
        let from = policy.behaviors_from;
        let parted = policy.rule.parted();
        let whole = person.fullest(day, 0).map_or(0, |bucket| bucket.count());
        (0..policy.rule.kinds.len()).any(|kind| {
            let count = person.fullest(day, kind).map_or(0, |bucket| bucket.count());
            if count < policy.floor {
                return false;
            }
            let possible = count.saturating_add(left);
            let own = self
                .known_mut(day, kind)
                .is_some_and(|basis| basis.learned && basis.reached(from, false, count, possible));
            let beside = !own || kind == 0 || !parted || {
                let possible = whole.saturating_add(left);
                let basis = self.known_mut(day, 0);
                basis
                    .is_some_and(|basis| basis.reached(from - CONCENTRATION, true, whole, possible))
            };
            own && beside
        })
    }

    /// What the buckets of a kind on a day are judged by, if it was looked up.
    pub(crate) fn known(&self, day: i64, kind: usize) -> Option<&Basis> {
        self.bases.iter().find(|basis| (basis.day, basis.kind) == (day, kind))
    }

    fn known_mut(&mut self, day: i64, kind: usize) -> Option<&mut Basis> {
        self.bases.iter_mut().find(|basis| (basis.day, basis.kind) == (day, kind))
    }

    /// The sums that judge a day.
    pub(crate) fn models(&mut self, policy: &Policy, person: &Person, day: i64) -> &[Model] {
        if self.models.as_ref().is_none_or(|(of, _)| *of != day) {
            self.models = Some((day, person.models(&policy.rule, day)));
        }
        let models =
            self.models.as_ref().and_then(|(_, models)| models.get(..policy.rule.kinds.len()));
        models.unwrap_or_default()
    }

    fn look_up(
        &mut self,
        policy: &Policy,
        (population, asked): (&Population, &mut Asked),
        person: &Person,
        (day, kind): (i64, usize),
    ) {
        let calendar = policy.rule.calendar;
        let class = calendar.class(day);
        let [working, weekend] =
            self.models(policy, person, day).get(kind).copied().unwrap_or_default();
        let (own, other) = if class == 0 { (working, weekend) } else { (weekend, working) };
        let whole_days = policy.rule.kinds.get(kind) == Some(&Per::Day);
        let mut usual = |class| {
            let scope = Scope { kind, class, whole_days };
            asked.usual(population, scope, calendar.known(day), policy)
        };
        let usual_of_other = usual(1 - class);
        let usual = usual(class);
        let other = (other.days() > 0.0).then(|| Sums::expected(&other, &usual_of_other));
        self.bases.push(Basis {
            day,
            kind,
            expected: own.expected(&usual),
            other,
            usual,
            learned: calendar.start(day + 1) > population.first.saturating_add(policy.learn),
            own: Threshold::default(),
            beside: Threshold::default(),
        });
    }
}
