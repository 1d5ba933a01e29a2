//! How much people do in a day, in two worlds that no detector's model is true of at once.
//!
//! In the *steady* world counts are negative binomial around a rate that follows the week. In the
//! *bursty* world nearly a third of the days is idle, busy days are log-normal around the rate with
//! days that hang together, and work comes in a few tasks of heavy-tailed size.

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution, Gamma, LogNormal, Poisson};

/// A way in which counts come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    Steady,
    Bursty,
}

/// What the bursty world is made with: the share of idle days,
pub(crate) const IDLE: f64 = 0.3;
/// the deviation of the logarithm of a busy day's factor, and how much of the day before is carried over,
pub(crate) const SPREAD: f64 = 0.8;
const CARRIED: f64 = 0.25;
/// how many days have a heavy task, how heavy it is at most, and how fast such become rare.
pub(crate) const HEAVY: f64 = 0.01;
pub(crate) const HEAVIEST: f64 = 20.0;
pub(crate) const HEAVY_TAIL: f64 = 1.6;

impl World {
    pub(crate) const ALL: [Self; 2] = [Self::Steady, Self::Bursty];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Bursty => "bursty",
        }
    }

    /// How much of everything a person does on a working day, against the person's rate.
    ///
    /// `before` is the factor of the person's last working day.
    pub(crate) fn day(self, before: f64, random: &mut impl Rng) -> f64 {
        match self {
            Self::Steady => 1.0,
            Self::Bursty if random.random_bool(IDLE) => 0.0,
            Self::Bursty => {
                // Mean 1 over all days.
                let fresh = log_normal(-SPREAD * SPREAD / 2.0, SPREAD, random);
                fresh * self.carried(before).exp() / 0.7
            }
        }
    }

    /// What a day with this factor adds to the logarithm of the next busy day's.
    pub(crate) fn carried(self, before: f64) -> f64 {
        match self {
            Self::Bursty if before > 0.0 => CARRIED * before.ln(),
            _ => 0.0,
        }
    }

    /// How often something is done whose mean is this. `evenness` is high for people whose days are
    /// alike.
    pub(crate) fn count(self, mean: f64, evenness: f64, random: &mut impl Rng) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        let mean = match self {
            Self::Steady => gamma(evenness, mean / evenness, random),
            // Now and then a task takes many times as much.
            Self::Bursty if random.random_bool(HEAVY) => {
                mean * (1.0 - random.random::<f64>()).powf(-1.0 / HEAVY_TAIL).min(HEAVIEST)
            }
            Self::Bursty => mean,
        };
        poisson(mean, random)
    }

    /// At what parts of a working day things are done, in order.
    pub(crate) fn moments(self, count: u64, random: &mut impl Rng) -> Vec<f64> {
        let mut moments: Vec<f64> = match self {
            Self::Steady => (0..count).map(|_| random.random()).collect(),
            Self::Bursty => {
                let tasks: Vec<f64> =
                    (0..1 + random.random_range(0..4)).map(|_| random.random()).collect();
                let moment = |random: &mut _| {
                    let task = tasks.get(pick(tasks.len(), random)).copied().unwrap_or(0.5);
                    (task + exponential(0.02, random)).min(1.0)
                };
                (0..count).map(|_| moment(random)).collect()
            }
        };
        moments.sort_unstable_by(f64::total_cmp);
        moments
    }
}

/// A place in a list of this length.
pub(crate) fn pick(length: usize, random: &mut impl Rng) -> usize {
    if length == 0 { 0 } else { random.random_range(0..length) }
}

pub(crate) fn log_normal(mean: f64, deviation: f64, random: &mut impl Rng) -> f64 {
    LogNormal::new(mean, deviation).map_or(1.0, |of| of.sample(random))
}

pub(crate) fn poisson(mean: f64, random: &mut impl Rng) -> u64 {
    Poisson::new(mean).map_or(0.0, |of| of.sample(random)) as u64
}

pub(crate) fn exponential(mean: f64, random: &mut impl Rng) -> f64 {
    -mean * (1.0 - random.random::<f64>()).ln()
}

fn gamma(shape: f64, scale: f64, random: &mut impl Rng) -> f64 {
    Gamma::new(shape, scale).map_or(0.0, |of| of.sample(random))
}
