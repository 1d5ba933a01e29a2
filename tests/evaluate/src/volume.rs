//! Unusual volume against plain baselines: the same days, the same attacks, the same number of false
//! alerts, so that only the method differs.

use std::collections::HashMap;

use anyhow::{Result, anyhow};
use casbah_detect::{Group, Offline};
use casbah_model::{Batch, BatchBuilder, TenantName};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use crate::company::{DAY, HOUR, START};
use crate::world::{World, log_normal, pick};

/// Sizes of attacks: so many more, or so many times the usual and 15.
pub(crate) const SIZES: [&str; 3] = ["+40", "x8+15", "+200"];
/// Days at the beginning that nobody is judged on.
const LEARNING: usize = 14;

/// Mean and deviation of the logarithm of people's rates, and the highest rate.
pub(crate) const RATES: (f64, f64) = (1.2, 1.1);
pub(crate) const BUSIEST: f64 = 80.0;
/// The same of how much their days are alike.
pub(crate) const EVENNESS: (f64, f64) = (0.5, 0.6);
/// What is left of a rate on weekends.
const WEEKEND: f64 = 0.08;
/// Share of days with a harmless task of many documents: so many times as many, from and to.
pub(crate) const TASK: f64 = 0.004;
pub(crate) const TASKS: (f64, f64) = (3.0, 10.0);

/// What is left of a rate on a day of the week.
pub(crate) fn of_week(day: usize) -> f64 {
    if matches!(day % 7, 5 | 6) { WEEKEND } else { 1.0 }
}

/// How many documents more an attack takes from somebody with this rate.
pub(crate) fn more(size: usize, rate: f64) -> u32 {
    match size {
        0 => 40,
        1 => (rate * 8.0) as u32 + 15,
        _ => 200,
    }
}

/// Downloads a day of many people, with attack days.
pub(crate) struct Days {
    pub(crate) world: World,
    pub(crate) days: usize,
    /// Documents by person and day.
    pub(crate) counts: Vec<Vec<u32>>,
    /// The factor of the day before, likewise.
    pub(crate) before: Vec<Vec<f64>>,
    /// The day that each person began.
    pub(crate) joins: Vec<usize>,
    /// Person, day and size of an attack.
    attacks: Vec<(usize, usize, usize)>,
}

impl Days {
    pub(crate) fn new(world: World, people: usize, days: usize, seed: u64) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let mut made = Self {
            world,
            days,
            counts: Vec::new(),
            before: Vec::new(),
            joins: Vec::new(),
            attacks: Vec::new(),
        };
        let mut rates = Vec::new();
        for _ in 0..people {
            let rate = log_normal(RATES.0, RATES.1, &mut random).min(BUSIEST);
            let evenness = log_normal(EVENNESS.0, EVENNESS.1, &mut random);
            let joins = if random.random_bool(0.2) { random.random_range(1..days - 5) } else { 0 };
            let mut factor = 1.0;
            let mut before = Vec::with_capacity(days);
            let count = |day: usize| {
                before.push(factor);
                if day < joins {
                    return 0;
                }
                factor = world.day(factor, &mut random);
                let task = if random.random_bool(TASK) {
                    random.random_range(TASKS.0..TASKS.1)
                } else {
                    1.0
                };
                world.count(rate * of_week(day) * factor * task, evenness, &mut random) as u32
            };
            made.counts.push((0..days).map(count).collect());
            made.before.push(before);
            made.joins.push(joins);
            rates.push(rate);
        }
        made.plant(&rates, &mut random);
        made
    }

    fn plant(&mut self, rates: &[f64], random: &mut Pcg64Mcg) {
        let mut attacked = vec![false; rates.len()];
        for number in 0..rates.len() / 5 {
            let who = pick(rates.len(), random);
            let Some((joins, rate)) = self.joins.get(who).copied().zip(rates.get(who)) else {
                continue;
            };
            let first = LEARNING.max(joins + 3);
            let taken = attacked.get(who).copied().unwrap_or(true);
            if taken || first >= self.days {
                continue;
            }
            let day = random.random_range(first..self.days);
            let size = number % SIZES.len();
            if let Some(count) = self.counts.get_mut(who).and_then(|counts| counts.get_mut(day)) {
                *count += more(size, *rate);
            }
            if let Some(slot) = attacked.get_mut(who) {
                *slot = true;
            }
            self.attacks.push((who, day, size));
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.counts.iter().flatten().map(|&count| u64::from(count)).sum()
    }

    /// The activities of a day, every one another document, within four hours.
    fn batch(&self, day: usize) -> Batch {
        let mut builder = BatchBuilder::new();
        for (who, counts) in self.counts.iter().enumerate() {
            let count = counts.get(day).copied().unwrap_or(0);
            for number in 0..count {
                let time = START
                    + day as i64 * DAY
                    + 9 * HOUR
                    + i64::from(number) * 4 * HOUR / i64::from(count);
                builder.begin_row();
                builder.text("id", &format!("{day}-{who}-{number}"));
                builder.integer("time", time);
                builder.integer("received", time + 60_000);
                builder.text("app", "netdocuments");
                builder.text("kind", "download");
                let name = email(who);
                builder.text("actor", &name);
                builder.text("person", &name);
                builder.text("object", &format!("o{}", day * 1000 + number as usize));
                builder.text("result", "success");
            }
        }
        builder.finish()
    }
}

fn email(who: usize) -> String {
    format!("p{who}@made-up.example")
}

/// A score for every person and day; more means stranger.
pub(crate) type Scores = Vec<Vec<f64>>;

/// The scores of a detector, which must be configured with its line out of reach.
pub(crate) fn detector(days: &Days, group: Group, mut progress: impl FnMut(u64)) -> Result<Scores> {
    let tenant: TenantName = "evaluate".parse()?;
    let mut offline = Offline::new(tenant, vec![group]);
    for day in 0..days.days {
        let batch = days.batch(day);
        offline.feed(&batch).map_err(|error| anyhow!("{error}"))?;
        progress(u64::from(batch.rows));
    }
    let places: HashMap<String, usize> =
        (0..days.counts.len()).map(|who| (email(who), who)).collect();
    let mut scores = vec![vec![0.0; days.days]; days.counts.len()];
    for found in offline.behaviors().into_iter().chain(offline.alerts()) {
        let who = found.group.iter().find_map(|(_, value)| places.get(value));
        let day = (found.first - START).div_euclid(DAY) as usize;
        let score = found.details.iter().find(|(name, _)| name == "score");
        let score: f64 = score.and_then(|(_, score)| score.parse().ok()).unwrap_or(0.0);
        let slot = who.and_then(|&who| scores.get_mut(who)).and_then(|of| of.get_mut(day));
        if let Some(slot) = slot {
            *slot = f64::max(*slot, score);
        }
    }
    Ok(scores)
}

/// A plain way to score a day against the days before it.
pub(crate) type Baseline = fn(before: &[u32], today: f64) -> f64;

/// What everybody would try first.
pub(crate) const BASELINES: [(&str, Baseline); 3] = [
    ("fixed threshold", |_, today| today),
    ("mean + k sd", |before, today| {
        let window = before.get(before.len().saturating_sub(30)..).unwrap_or_default();
        let count = (window.len() as f64).max(1.0);
        let mean = window.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let square = |value: &u32| (f64::from(*value) - mean).powi(2);
        let deviation = (window.iter().map(square).sum::<f64>() / count).sqrt();
        (today - mean) / deviation.max(1.0)
    }),
    ("EWMA", |before, today| {
        let (mut mean, mut variance) = (0.0, 1.0);
        for &value in before {
            let off = f64::from(value) - mean;
            mean += 0.1 * off;
            variance = 0.9 * (variance + 0.1 * off * off);
        }
        (today - mean) / f64::max(variance, 1.0).sqrt()
    }),
];

pub(crate) fn baseline(days: &Days, score: Baseline) -> Scores {
    let person = |(counts, &joins): (&Vec<u32>, &usize)| {
        let day = |day: usize| {
            let before = counts.get(joins.min(day)..day).unwrap_or_default();
            score(before, counts.get(day).copied().map_or(0.0, f64::from))
        };
        (0..days.days).map(day).collect()
    };
    days.counts.iter().zip(&days.joins).map(person).collect()
}

/// What a way of scoring finds at a number of false alerts for every 1,000 days of a person.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Found {
    pub(crate) method: String,
    pub(crate) world: &'static str,
    pub(crate) budget: f64,
    /// In the order of [`SIZES`], 0 to 1.
    pub(crate) recall: [f64; 3],
    pub(crate) overall: Option<f64>,
    /// Of attacks on people of less than 14 days, at a threshold of their own.
    pub(crate) young: Option<f64>,
}

/// The most that can be found of each size of attack, by somebody who looks for nothing else: each by
/// scores and at a threshold of its own.
pub(crate) fn most(days: &Days, scores: &[Scores; SIZES.len()], budget: f64) -> Found {
    let of =
        |scores: &Scores, size: usize| judge(days, "", scores, budget).recall.get(size).copied();
    let mut recall = [0.0; SIZES.len()];
    for (size, (recall, scores)) in recall.iter_mut().zip(scores).enumerate() {
        *recall = of(scores, size).unwrap_or(0.0);
    }
    let (method, world) = ("the most of each size".to_owned(), days.world.name());
    Found { method, world, budget, recall, overall: None, young: None }
}

/// Judges scores at one budget.
pub(crate) fn judge(days: &Days, method: &str, scores: &Scores, budget: f64) -> Found {
    let all = Judged::new(days, scores, |_, _| true);
    let young = Judged::new(days, scores, |joined, day| joined > 0 && day < joined + 14);
    let threshold = all.threshold(budget);
    let hits = |of: &Judged, threshold: f64, size: Option<usize>| {
        let fitting: Vec<f64> = of
            .attacks
            .iter()
            .filter(|(of, _)| size.is_none_or(|size| size == *of))
            .map(|(_, score)| *score)
            .collect();
        let found = fitting.iter().filter(|&&score| score > threshold).count();
        found as f64 / (fitting.len() as f64).max(1.0)
    };
    Found {
        method: method.to_owned(),
        world: days.world.name(),
        budget,
        recall: [0, 1, 2].map(|size| hits(&all, threshold, Some(size))),
        overall: Some(hits(&all, threshold, None)),
        young: Some(hits(&young, young.threshold(budget), None)),
    }
}

struct Judged {
    /// Scores of harmless days.
    harmless: Vec<f64>,
    /// Sizes and scores of attack days.
    attacks: Vec<(usize, f64)>,
}

impl Judged {
    fn new(days: &Days, scores: &Scores, fits: impl Fn(usize, usize) -> bool) -> Self {
        let attacks: HashMap<(usize, usize), usize> =
            days.attacks.iter().map(|&(who, day, size)| ((who, day), size)).collect();
        let mut judged = Self { harmless: Vec::new(), attacks: Vec::new() };
        for (who, (scores, &joined)) in scores.iter().zip(&days.joins).enumerate() {
            let first = LEARNING.max(joined);
            for (day, &score) in scores.iter().enumerate().skip(first) {
                if !fits(joined, day) {
                    continue;
                }
                match attacks.get(&(who, day)) {
                    Some(&size) => judged.attacks.push((size, score)),
                    None => judged.harmless.push(score),
                }
            }
        }
        judged.harmless.sort_unstable_by(|a, b| b.total_cmp(a));
        judged
    }

    /// What only so many harmless days of 1,000 are above.
    fn threshold(&self, budget: f64) -> f64 {
        let allowed = (self.harmless.len() as f64 * budget / 1000.0) as usize;
        self.harmless.get(allowed).copied().unwrap_or(0.0)
    }
}
