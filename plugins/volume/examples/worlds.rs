//! Two made-up worlds to tune the detector against: what it finds at a fixed number of false alerts,
//! beside plain baselines; which line gives which number of alerts; what an activity and a user cost.
//!
//! `cargo run --release -p casbah-volume --example worlds [SEEDS|cost]`. World A draws negative binomial
//! counts; world B draws Poisson counts of lognormal means and 30 % idle days, so that no detector's
//! model is true. 1,500 users, heavy-tailed rates, quiet weekends, 20 % joiners, bursts of honest work
//! on 0.4 % of the days, and 450 planted days: +40, ×8+15, +200, within half an hour. It is not the judge: that is made by
//! somebody else, in `tests/evaluate`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_range_loop,
    reason = "a program for developers"
)]

use std::collections::HashMap;
use std::time::Instant;

use casbah_model::detector::Detector as _;
use casbah_model::{BatchBuilder, StateKey};
use casbah_plugin::Native;
use casbah_volume::Volume;

const USERS: usize = 1500;
const DAYS: usize = 75;
const DAY: i64 = 86_400_000;
/// Monday, 5 January 2026.
const MONDAY: i64 = 1_767_571_200_000;
/// Days before this one are for learning.
const FROM: usize = 10;
const FLOOR: u32 = 10;
const LATER: &str = "later";

/// Numbers that look random and are the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.uniform() * limit as f64) as usize
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn poisson(&mut self, mean: f64) -> u32 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u32;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0);
        while product > limit {
            product *= self.uniform();
            count += 1;
        }
        count
    }

    /// By Marsaglia and Tsang.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * self.uniform().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }
}

struct World {
    counts: Vec<Vec<u32>>,
    start: Vec<usize>,
    /// Kind of attack, from 1, by user and day.
    planted: Vec<Vec<u8>>,
}

/// How a world differs from others.
#[derive(Clone, Copy)]
struct Shape {
    negative_binomial: bool,
    median: f64,
    spread: f64,
    bursts: bool,
}

fn world(shape: Shape, seed: u64) -> World {
    let mut dice = Dice(seed);
    let mut world = World {
        counts: vec![vec![0; DAYS]; USERS],
        start: vec![0; USERS],
        planted: vec![vec![0; DAYS]; USERS],
    };
    for user in 0..USERS {
        let rate = shape.median * (shape.spread * dice.normal()).exp();
        let weekend = 0.02 + 0.28 * dice.uniform();
        let steadiness = (1.5f64.ln() + 0.5 * dice.normal()).exp();
        if dice.uniform() < 0.2 {
            world.start[user] = FROM + dice.below(55);
        }
        for day in world.start[user]..DAYS {
            let mean = if day % 7 < 5 { rate } else { rate * weekend };
            let mut count = if shape.negative_binomial {
                let scale = dice.gamma(steadiness) / steadiness;
                dice.poisson(mean * scale)
            } else if dice.uniform() < 0.3 {
                0
            } else {
                let scale = (0.8 * dice.normal() - 0.32).exp();
                dice.poisson(mean * scale)
            };
            if shape.bursts && dice.uniform() < 0.004 {
                count = count * (2 + dice.below(4) as u32) + dice.below(6) as u32;
            }
            world.counts[user][day] = count;
        }
    }
    let mut planted = 0;
    while planted < 450 {
        let (user, day) = (dice.below(USERS), FROM + dice.below(DAYS - FROM));
        let start = world.start[user];
        let young = start > 0 && day < start + 14;
        // Joiners' first weeks are looked at closely, so more is planted there.
        if day <= start
            || (!young && dice.uniform() < 0.75)
            || world.planted[user].iter().any(|&kind| kind > 0)
        {
            continue;
        }
        let kind = planted % 3;
        let count = &mut world.counts[user][day];
        *count += [40, 7 * *count + 15, 200][kind];
        world.planted[user][day] = kind as u8 + 1;
        planted += 1;
    }
    world
}

type Scores = Vec<Vec<f64>>;

/// Scores by the detector itself, and what a row and a user cost.
fn detector(
    world: &World,
    mut settings: serde_json::Value,
    seed: u64,
) -> (Scores, f64, Vec<usize>) {
    settings["when"] = serde_json::json!([{"field": "kind", "is": "download"}]);
    settings["floor"] = FLOOR.into();
    settings["quiet"] = DAY.into();
    let detector = Native::<Volume>::configure(&[settings.to_string()])
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut states: HashMap<StateKey, Vec<u8>> = HashMap::new();
    let mut scores = vec![vec![0.0f64; DAYS]; USERS];
    let mut dice = Dice(seed);
    let (mut rows, mut found, mut spent, mut sequence) = (0usize, 0usize, 0.0, 0);
    for day in 0..DAYS {
        let mut activities: Vec<(i64, usize)> = Vec::new();
        for user in 0..USERS {
            let begin = MONDAY + day as i64 * DAY + 7 * 3_600_000;
            let count = world.counts[user][day];
            let honest = match world.planted[user][day] {
                0 => count,
                1 => count - 40,
                2 => (count - 15) / 8,
                _ => count - 200,
            };
            // What is planted is done by a script, in half an hour.
            let script = dice.below(12 * 3_600_000 - 1_800_000);
            for n in 0..count {
                let at = if n < honest {
                    dice.below(12 * 3_600_000)
                } else {
                    script + dice.below(1_800_000)
                };
                activities.push((begin + at as i64, user));
            }
        }
        activities.sort_unstable();
        for chunk in activities.chunks(1024) {
            let mut builder = BatchBuilder::new();
            for (time, user) in chunk {
                builder.begin_row();
                builder.integer("sequence", sequence);
                builder.integer("time", *time);
                builder.text("person", &format!("user-{user}@example.com"));
                builder.text("app", "drive");
                builder.text("kind", "download");
                sequence += 1;
            }
            let batch = builder.finish();
            let (begun, mut loading) = (Instant::now(), 0.0);
            let (keys, outcome) = detector
                .evaluate(&batch, &mut |keys| {
                    let begun = Instant::now();
                    let loaded = keys
                        .iter()
                        .map(|key| states.get(key).cloned().unwrap_or_default())
                        .collect();
                    loading += begun.elapsed().as_secs_f64();
                    loaded
                })
                .unwrap();
            spent += begun.elapsed().as_secs_f64() - loading;
            rows += chunk.len();
            for (place, value) in outcome.changes {
                states.insert(keys[place as usize].clone(), value);
            }
            found += outcome.findings.len();
            for finding in outcome.findings {
                let user: usize =
                    finding.group[0].1["user-".len()..].split('@').next().unwrap().parse().unwrap();
                let score = finding.details.iter().find(|(name, _)| name == "score").unwrap();
                let cell = &mut scores[user][((finding.start - MONDAY) / DAY) as usize];
                *cell = cell.max(score.1.parse().unwrap());
            }
        }
    }
    let mut sizes: Vec<usize> = states
        .iter()
        .filter(|(key, _)| !key.key.starts_with('\u{1f}'))
        .map(|(_, state)| state.len())
        .collect();
    sizes.sort_unstable();
    let population: usize = states
        .iter()
        .filter(|(key, _)| key.key.starts_with('\u{1f}'))
        .map(|(_, state)| state.len())
        .sum();
    println!("    {rows} rows, {found} findings, population {population} bytes");
    (scores, 1e9 * spent / rows as f64, sizes)
}

/// Scores of a plain baseline: a fold over each user's days.
fn baseline(world: &World, mut score: impl FnMut(&mut [f64; 4], f64) -> f64) -> Scores {
    let mut scores = vec![vec![0.0; DAYS]; USERS];
    for user in 0..USERS {
        let mut memory = [0.0; 4];
        for day in world.start[user]..DAYS {
            let count = world.counts[user][day];
            let value = score(&mut memory, f64::from(count));
            scores[user][day] = if count >= FLOOR { value } else { 0.0 };
        }
    }
    scores
}

/// Recall by kind of attack at a number of false alerts for 1,000 days of users, overall and for users
/// younger than 14 days, and the lines for some budgets.
fn judge(name: &str, world: &World, scores: &Scores) -> [f64; 8] {
    let (mut benign, mut attacks, mut young_benign) = (Vec::new(), Vec::new(), Vec::new());
    for user in 0..USERS {
        let start = world.start[user];
        for day in start.max(FROM)..DAYS {
            let young = start > 0 && day < start + 14;
            match world.planted[user][day] {
                0 => {
                    benign.push(scores[user][day]);
                    if young {
                        young_benign.push(scores[user][day]);
                    }
                }
                kind => attacks.push((kind, young, scores[user][day])),
            }
        }
    }
    benign.sort_unstable_by(|a, b| b.total_cmp(a));
    let line = |per_thousand: f64| benign[(benign.len() as f64 / 1000.0 * per_thousand) as usize];
    let recall = |line: f64, is: &dyn Fn(u8, bool) -> bool| {
        let of: Vec<f64> = attacks
            .iter()
            .filter(|(kind, young, _)| is(*kind, *young))
            .map(|attack| attack.2)
            .collect();
        100.0 * of.iter().filter(|score| **score > line).count() as f64 / of.len() as f64
    };
    let mut row = [0.0; 8];
    for kind in 1..=3u8 {
        row[kind as usize - 1] = recall(line(1.0), &|of, _| of == kind);
        row[kind as usize + 2] = recall(line(3.0), &|of, _| of == kind);
    }
    row[6] = recall(line(1.0), &|_, young| young);
    row[7] = 1000.0 * young_benign.iter().filter(|score| **score > line(1.0)).count() as f64
        / young_benign.len() as f64;
    println!(
        "    {name:12} 1: {:3.0} /{:3.0} /{:3.0}   3: {:3.0} /{:3.0} /{:3.0}   younger than 14 days {:3.0} ({:.1} false)",
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7],
    );
    if name.starts_with("volume") {
        let lines: Vec<_> = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
            .map(|budget: f64| format!("{budget}: {:.2}", line(budget / 7.0)))
            .into();
        println!("    {LATER:12} lines by alerts for 1,000 users a week: {}", lines.join(", "));
    }
    row
}

/// What a row and a user cost with a policy's usual settings.
fn cost(world: &World, seed: u64) {
    let (_, ns, sizes) = detector(world, serde_json::json!({}), seed);
    println!(
        "    {ns:.0} ns a row; bytes a user: median {}, 90 % {}, most {}",
        sizes[sizes.len() / 2],
        sizes[sizes.len() * 9 / 10],
        sizes[sizes.len() - 1],
    );
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("cost") {
        for median in [3.0, 30.0] {
            let shape = Shape { negative_binomial: true, median, spread: 1.2, bursts: true };
            cost(&world(shape, 1), 1);
        }
        return;
    }
    let seeds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2);
    for negative_binomial in [true, false] {
        for (median, spread, bursts) in
            [(3.0, 1.2, true), (5.0, 1.0, true), (30.0, 1.3, true), (3.0, 1.2, false)]
        {
            let shape = Shape { negative_binomial, median, spread, bursts };
            println!(
                "World {}: median {median}, spread {spread}, {} bursts",
                if negative_binomial { "A" } else { "B" },
                if bursts { "with" } else { "without" },
            );
            for seed in 0..seeds {
                let world = world(shape, 1 + seed);
                for per in [serde_json::json!("day"), serde_json::json!(["day", "session"])] {
                    let all = serde_json::json!({"per": per, "line": 1e9, "behaviors-from": 0});
                    let (scores, ..) = detector(&world, all, seed);
                    judge(
                        if per.is_array() { "volume d+s" } else { "volume day" },
                        &world,
                        &scores,
                    );
                }
                cost(&world, seed);
                judge("fixed", &world, &baseline(&world, |_, count| count));
                judge(
                    "mean + k sd",
                    &world,
                    &baseline(&world, |[n, sum, squares, _], count| {
                        let mean = *sum / n.max(1.0);
                        let sd = (*squares / n.max(1.0) - mean * mean).max(0.0).sqrt();
                        (*n, *sum, *squares) = (*n + 1.0, *sum + count, *squares + count * count);
                        (count - mean) / (sd + 1.0)
                    }),
                );
                judge(
                    "EWMA",
                    &world,
                    &baseline(&world, |[mean, variance, begun, _], count| {
                        let score = (count - *mean) / (*variance + *mean + 1.0).sqrt();
                        if *begun == 0.0 {
                            (*mean, *variance, *begun) = (count, count + 1.0, 1.0);
                        } else {
                            let off = count - *mean;
                            *mean += 0.1 * off;
                            *variance = 0.9 * (*variance + 0.1 * off * off);
                        }
                        score
                    }),
                );
                judge(
                    "ratio",
                    &world,
                    &baseline(&world, |[n, sum, ..], count| {
                        let score = count / (*sum / n.max(1.0) + 1.0);
                        (*n, *sum) = (*n + 1.0, *sum + count);
                        score
                    }),
                );
            }
        }
    }
}
