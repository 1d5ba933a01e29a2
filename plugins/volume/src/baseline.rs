//! What is usual: discounted sums of counts, and what they say of the next one.
//!
//! The sums are integers, so that they are the same wherever they are computed. What they say is a
//! negative binomial distribution: its mean is that of a Gamma-Poisson model that starts from what is
//! usual in the population, its dispersion that of the user's own counts, drawn towards what is usual
//! for such a mean.
//!
//! It knows nothing of time: whoever folds counts in says when.

use crate::tail::ln_tail;

/// The highest count that is told apart from higher ones.
pub(crate) const MOST: u64 = 1 << 24;

/// Bits behind the point of days and sums.
const POINT: u32 = 16;
/// Bits behind the point of squares: those of [`MOST`] must fit beside a year's worth of days.
const SQUARES_POINT: u32 = 8;

/// Newcomers are expected to do what is usual, with the weight of so many activities: people differ far
/// more than one and the same does from day to day.
const PRIOR_WEIGHT: f64 = 0.3;
/// A mean counts for so many days when the own dispersion is weighed against the usual one.
const DISPERSION_WEIGHT: f64 = 10.0;
/// Dispersion that is usual at a mean near 0: people do things in threes and fours.
const CLUMPS: f64 = 1.5;
/// What is not known of the mean widens the distribution so many times as much as a Gamma-Poisson model
/// has it, where people differ much (see [`Usual::spread`]).
const DOUBT: f64 = 1.5;
/// No dispersion is believed to be lower.
const LEAST_DISPERSION: f64 = 2.0;
/// One day in so many is as the other class of days: somebody works on a Saturday.
const OTHER_CLASS: f64 = 0.002;
/// One day in so many is nothing the user did before, but what anybody might do;
const ANYBODY: f64 = 0.0001;
/// and of somebody new so many more where people differ much, which fall with the square of what is
/// known.
const NEWCOMER: f64 = 0.007;
/// One day in so many is a bigger piece of the user's own work, with a tail that falls with the square:
/// a negative binomial has none, and the dispersion of few days says little about it.
const BURST: f64 = 0.001;
/// Such a piece is about so many times the mean, and so many more.
const BURST_TIMES: (f64, f64) = (2.0, 0.5);
/// People differ much in what is done so often on a median day with any; in what is rare they differ less.
const OFTEN: f64 = 4.0;
/// Counts above the mean plus so many standard deviations are learned as if they were that.
const CAP: f64 = 6.0;

/// Discounted number of buckets, sum and sum of squares of their counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) days: u64,
    pub(crate) sum: u64,
    pub(crate) squares: u64,
}

/// What a day leaves of the days before it, in 2^-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fade(u64);

impl Fade {
    /// By half after so many days.
    pub(crate) fn of(half_life: f64) -> Self {
        Self(libm::floor(libm::exp2(32.0 - 1.0 / half_life)) as u64)
    }

    /// What is left of a value.
    pub(crate) fn left(self, value: u64) -> u64 {
        ((u128::from(value) * u128::from(self.0)) >> 32) as u64
    }
}

/// What is usual in a population.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usual {
    /// Expected mean of somebody of whom nothing is known.
    pub(crate) mean: f64,
    /// Median count of buckets with any activity; where it is not known, what is assumed.
    pub(crate) median: f64,
    /// Whether the median was learned.
    pub(crate) learned: bool,
    /// By how much the dispersion grows with the mean.
    pub(crate) slope: f64,
}

impl Usual {
    /// What is assumed where nothing has been learned yet.
    pub(crate) const ASSUMED: Self = Self { mean: 1.5, median: 3.0, learned: false, slope: 1.0 };

    /// How much people differ, from 0 to 1.
    fn spread(&self) -> f64 {
        (self.median / OFTEN).min(1.0)
    }
}

/// A negative binomial distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) mean: f64,
    pub(crate) dispersion: f64,
    /// Buckets that it was learned from, discounted.
    pub(crate) known: f64,
}

impl Sums {
    pub(crate) fn fade(&mut self, fade: Fade) {
        self.days = fade.left(self.days);
        self.sum = fade.left(self.sum);
        self.squares = fade.left(self.squares);
    }

    /// Takes a bucket's count in; what is far from usual only as far as it is.
    pub(crate) fn learn(&mut self, count: u64) {
        let expected = self.expected(&Usual::ASSUMED);
        let deviation = libm::sqrt(expected.mean * expected.dispersion);
        let cap = libm::ceil(expected.mean + CAP * deviation) as u64 + 5;
        let count = count.min(cap).min(MOST);
        self.days = self.days.saturating_add(1 << POINT);
        self.sum = self.sum.saturating_add(count << POINT);
        self.squares = self.squares.saturating_add(count.saturating_mul(count) << SQUARES_POINT);
    }

    /// Buckets learned from, discounted.
    pub(crate) fn days(&self) -> f64 {
        self.days as f64 / f64::from(1u32 << POINT)
    }

    fn moments(&self) -> (f64, f64, f64) {
        let squares = self.squares as f64 / f64::from(1u32 << SQUARES_POINT);
        (self.days(), self.sum as f64 / f64::from(1u32 << POINT), squares)
    }

    /// The mean with some activities' worth of what is usual.
    fn mean(&self, usual: &Usual) -> f64 {
        let (days, sum, _) = self.moments();
        (PRIOR_WEIGHT + sum) / (PRIOR_WEIGHT / usual.mean + days)
    }

    /// Variance over mean of the counts themselves; 1 where too little is known.
    fn own_dispersion(&self) -> f64 {
        let (days, sum, squares) = self.moments();
        if days <= 1.5 || sum <= 0.0 {
            return 1.0;
        }
        let mean = sum / days;
        let variance = (squares / days - mean * mean).max(0.0) * days / (days - 1.0);
        variance / mean
    }

    /// By how much the dispersion grows with the mean for this user; `None` where too little is known.
    pub(crate) fn slope(&self) -> Option<f64> {
        let mean = self.mean(&Usual::ASSUMED);
        (self.days() >= DISPERSION_WEIGHT && mean >= 1.0)
            .then(|| (self.own_dispersion() - CLUMPS).max(0.0) / mean)
    }

    /// What the next bucket is expected to hold.
    pub(crate) fn expected(&self, usual: &Usual) -> Expected {
        let days = self.days();
        let mean = self.mean(usual);
        let weight = days / (days + DISPERSION_WEIGHT);
        let usual_dispersion = CLUMPS + usual.slope * mean;
        let dispersion = (weight * self.own_dispersion() + (1.0 - weight) * usual_dispersion)
            .max(LEAST_DISPERSION);
        let doubt = DOUBT * usual.spread() / (PRIOR_WEIGHT / usual.mean + days);
        Expected { mean, dispersion: dispersion + doubt, known: days }
    }
}

/// How strange a count is, as `-log10` of the probability of so many or more: 3 is one bucket in a
/// thousand.
///
/// Nearly always that is the tail of what is expected of the user on such a day. With small weights,
/// three more stand beside it: the user's other class of days, a bigger piece of work than the user has
/// done yet, and what anybody in the population does. Without them, a Saturday in the office or a
/// handful of activities of somebody very regular would count as impossible, and somebody's first days
/// as well known.
pub(crate) fn score(count: u64, expected: Expected, other: Option<Expected>, usual: &Usual) -> f64 {
    let x = count.min(MOST) as f64;
    let tail = |of: Expected| libm::exp(ln_tail(x, of.mean, of.dispersion));
    let falling = |typical: f64| 1.0 / (1.0 + (x / typical) * (x / typical));
    let known = 1.0 + expected.known + other.map_or(0.0, |other| other.known);
    let new = usual.spread() / known;
    let newcomer = ANYBODY + NEWCOMER * new * new;
    let own = (1.0 - OTHER_CLASS - BURST - newcomer) * tail(expected);
    let other = other.map_or(0.0, |other| OTHER_CLASS * tail(other));
    let burst = BURST * falling(BURST_TIMES.0 * expected.mean + BURST_TIMES.1);
    let anybody = newcomer * falling(usual.median.max(1.0));
    -libm::log10(own + other + burst + anybody)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FADE: f64 = 30.0;

    fn learned(counts: &[u64]) -> Sums {
        let fade = Fade::of(FADE);
        let mut sums = Sums::default();
        for &count in counts {
            sums.fade(fade);
            sums.learn(count);
        }
        sums
    }

    /// The sums in plain floats are the oracle of the fixed-point ones.
    #[test]
    fn sums_are_discounted() {
        let counts: Vec<u64> = (0..90).map(|n| [3, 0, 7, 1, 5][n % 5]).collect();
        let sums = learned(&counts);
        let (mut days, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for &count in &counts {
            let left = 0.5_f64.powf(1.0 / FADE);
            let count = count as f64;
            (days, sum, squares) =
                (days * left + 1.0, sum * left + count, squares * left + count * count);
        }
        let (n, s, q) = sums.moments();
        assert!((n - days).abs() < 0.01 && (s - sum).abs() < 0.01 && (q - squares).abs() < 0.5);
    }

    /// Somebody who takes everything in one night must not be normal the day after.
    #[test]
    fn an_attack_does_not_teach_itself() {
        let mut counts = vec![5; 40];
        let usual = learned(&counts).expected(&Usual::ASSUMED);
        counts.push(100_000);
        let after = learned(&counts).expected(&Usual::ASSUMED);
        assert!(after.mean < usual.mean * 1.5, "{usual:?} {after:?}");
        assert!(score(500, after, None, &Usual::ASSUMED) > 5.0);
        // What goes on is learned in the end.
        counts.extend([100_000; 30]);
        let end = learned(&counts).expected(&Usual::ASSUMED);
        assert!(score(100_000, end, None, &Usual::ASSUMED) < 2.0, "{end:?}");
    }

    #[test]
    fn a_newcomer_is_expected_to_do_what_is_usual() {
        for mean in [0.5, 4.0, 60.0] {
            let usual = Usual { mean, ..Usual::ASSUMED };
            let expected = Sums::default().expected(&usual);
            assert!((expected.mean - mean).abs() < 1e-9);
            assert!(score(mean as u64 + 1, expected, None, &usual) < 1.0);
        }
    }

    #[test]
    fn a_saturday_in_the_office_is_no_attack() {
        let (working, weekend) = (learned(&[20; 40]), learned(&[0; 16]));
        let usual = Usual::ASSUMED;
        let (weekend, working) = (weekend.expected(&usual), working.expected(&usual));
        assert!(score(20, weekend, None, &usual) > 4.0);
        assert!(score(20, weekend, Some(working), &usual) < 3.2);
        assert!(score(200, weekend, Some(working), &usual) > 5.0);
    }

    proptest! {
        /// More is never less strange, whatever was learned.
        #[test]
        fn scores_rise_with_the_count(
            counts in proptest::collection::vec(0u64..300, 0..60),
            mean in 0.1f64..50.0,
            slope in 0.1f64..3.0,
            count in 0u64..5000,
        ) {
            let usual = Usual { mean, median: mean, learned: true, slope };
            let expected = learned(&counts).expected(&usual);
            let (less, more) = (score(count, expected, None, &usual), score(count + 1, expected, None, &usual));
            prop_assert!(more >= less - 1e-12, "{less} {more}");
            prop_assert!(less.is_finite() && less >= -1e-12);
        }

        /// Nothing that can be in a state makes the numbers run over.
        #[test]
        fn any_sums_are_survived(days: u64, sum: u64, squares: u64, count: u64) {
            let mut sums = Sums { days, sum, squares };
            sums.learn(count);
            sums.fade(Fade::of(30.0));
            let expected = sums.expected(&Usual::ASSUMED);
            prop_assert!(!score(count, expected, Some(expected), &Usual::ASSUMED).is_nan());
        }
    }
}
