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
    /// Counts up to this are known to be nothing.
    nothing_up_to: u64,
    /// The lowest count that is something, once known.
    something_from: Option<u64>,
}

impl Basis {
    /// How strange a count is.
    pub(crate) fn score(&self, count: u64) -> f64 {
        score(count, self.expected, self.other, &self.usual)
    }

    /// Whether a count is worth keeping. `possible` is the highest that the batch can lead to.
    fn is_something(&mut self, policy: &Policy, count: u64, possible: u64) -> bool {
        if !self.learned || count < policy.floor || count <= self.nothing_up_to {
            return false;
        }
        if self.something_from.is_none() {
            self.look(policy, possible.max(count));
        }
        self.something_from.is_some_and(|from| count >= from)
    }

    /// Looks for the lowest count that is worth keeping, up to `possible`.
    fn look(&mut self, policy: &Policy, possible: u64) {
        let is = |count: u64| self.score(count) >= policy.behaviors_from;
        if !is(possible) {
            self.nothing_up_to = possible;
            return;
        }
        let (mut low, mut high) =
            ((self.nothing_up_to + 1).max(policy.floor).min(possible), possible);
        while low < high {
            let middle = low + (high - low) / 2;
            if is(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        self.something_from = Some(low);
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
    /// Whether the bucket of a kind in which an activity was counted is worth keeping now. `left` is
    /// how many more of the user's activities the batch holds.
    pub(crate) fn is_something(
        &mut self,
        policy: &Policy,
        population: (&Population, &mut Asked),
        person: &Person,
        (day, kind): (i64, usize),
        (count, left): (u64, u64),
    ) -> bool {
        if count < policy.floor {
            return false;
        }
        let place = self.place(policy, population, person, day, kind);
        let possible = count.saturating_add(left);
        self.bases.get_mut(place).is_some_and(|basis| basis.is_something(policy, count, possible))
    }

    /// What the buckets of a kind on a day are judged by.
    pub(crate) fn basis(
        &mut self,
        policy: &Policy,
        population: (&Population, &mut Asked),
        person: &Person,
        (day, kind): (i64, usize),
    ) -> Option<&Basis> {
        let place = self.place(policy, population, person, day, kind);
        self.bases.get(place)
    }

    /// The bases that have been asked for on a day.
    pub(crate) fn known(&self, day: i64, kind: usize) -> Option<&Basis> {
        self.bases.iter().find(|basis| (basis.day, basis.kind) == (day, kind))
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

    fn place(
        &mut self,
        policy: &Policy,
        (population, asked): (&Population, &mut Asked),
        person: &Person,
        day: i64,
        kind: usize,
    ) -> usize {
        let known = |basis: &Basis| (basis.day, basis.kind) == (day, kind);
        if let Some(place) = self.bases.iter().position(known) {
            return place;
        }
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
            nothing_up_to: 0,
            something_from: None,
        });
        self.bases.len() - 1
    }
}
