//! The most that can be found: what somebody would find who knows how a world is made.
//!
//! The oracle is told every distribution that the days of [`Days`] are drawn from, and how busy
//! everybody was the day before. Of each person it does not know the rate, nor how much the days are
//! alike: it learns them, by Bayes' rule, from all days before. What it finds is not what a detector
//! should find, but what none can surpass; no detector knows as much.
//!
//! Its scores are of two sorts. The one, like those of the detectors, asks how unlikely so many
//! documents or more are. The other is told as well what is planted, and asks how many times likelier
//! the number is with an attack than without: by the lemma of Neyman and Pearson, nothing finds more
//! at equal numbers of false alerts.

use crate::volume::{BUSIEST, Days, EVENNESS, RATES, SIZES, Scores, TASK, TASKS, more, of_week};
use crate::world::{HEAVIEST, HEAVY, HEAVY_TAIL, IDLE, SPREAD, World};

/// Between two means that are told apart, on the scale of their logarithm.
const STEP: f64 = 0.05;
/// The lowest rate that is told apart from lower ones, in steps.
const LOWEST_RATE: i64 = -52;
/// The lowest and highest mean of a day, in steps: rates on weekends, and after days of little work.
const MEANS: std::ops::RangeInclusive<i64> = -130..=120;
/// Numbers of documents from here on are one.
const MOST: usize = 1500;
/// Fewer documents than this are not looked at, as by the detectors.
const FLOOR: u32 = 10;

/// What the oracle says of all days.
pub(crate) struct Told {
    /// How unlikely so many or more are, as `-log10`.
    pub(crate) world: Scores,
    /// How much likelier the number is with any of the attacks.
    pub(crate) attacks: Scores,
    /// The same for each size of attack.
    pub(crate) sizes: [Scores; SIZES.len()],
}

/// How likely each number of documents is, for one evenness and each mean.
struct Ladder {
    /// By number of documents, and then by mean.
    exactly: Vec<Vec<f64>>,
    or_more: Vec<Vec<f64>>,
    ln_exactly: Vec<Vec<f64>>,
}

/// What somebody may be like.
struct Kind {
    ladder: usize,
    /// Logarithm of the rate, in steps.
    rate: i64,
    ln_share: f64,
}

/// What a number of documents says.
#[derive(Clone, Copy)]
struct Said {
    world: f64,
    sizes: [f64; SIZES.len()],
}

pub(crate) fn tell(days: &Days) -> Told {
    let (ladders, kinds) = (ladders(days.world), kinds(days.world));
    let nothing = Said { world: 0.0, sizes: [0.0; SIZES.len()] };
    let mut said = vec![vec![nothing; days.days]; days.counts.len()];
    for (who, said) in said.iter_mut().enumerate() {
        person(days, who, &ladders, &kinds, said);
    }
    let scores = |score: &dyn Fn(&Said) -> f64| -> Scores {
        said.iter().map(|days| days.iter().map(score).collect()).collect()
    };
    Told {
        world: scores(&|said| said.world),
        attacks: scores(&|said| said.sizes.iter().sum()),
        sizes: std::array::from_fn(|size| {
            scores(&|said| said.sizes.get(size).copied().unwrap_or(0.0))
        }),
    }
}

/// Judges the days of one person, each by all days before it.
fn person(days: &Days, who: usize, ladders: &[Ladder], kinds: &[Kind], said: &mut [Said]) {
    let mut shares: Vec<f64> = kinds.iter().map(|kind| kind.ln_share).collect();
    let joined = days.joins.get(who).copied().unwrap_or(0);
    let its =
        days.counts.get(who).into_iter().flatten().zip(days.before.get(who).into_iter().flatten());
    for (day, (&count, &before)) in its.enumerate().skip(joined) {
        let off = ((of_week(day).ln() + days.world.carried(before)) / STEP).round() as i64;
        if let Some(slot) = said.get_mut(day).filter(|_| count >= FLOOR) {
            *slot = judge(count, off, ladders, kinds, &shares);
        }
        let number = (count as usize).min(MOST);
        for (kind, share) in kinds.iter().zip(&mut shares) {
            let ladder = ladders.get(kind.ladder);
            let row = ladder.and_then(|ladder| ladder.ln_exactly.get(number));
            *share += row.and_then(|row| row.get(rung(kind.rate + off))).copied().unwrap_or(0.0);
        }
    }
}

/// Judges one number of documents.
fn judge(count: u32, off: i64, ladders: &[Ladder], kinds: &[Kind], shares: &[f64]) -> Said {
    let number = (count as usize).min(MOST);
    let most = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut all, mut exactly, mut or_more) = (0.0, 0.0, 0.0);
    let mut with = [0.0; SIZES.len()];
    for (kind, share) in kinds.iter().zip(shares) {
        let share = (share - most).exp();
        let Some(ladder) = ladders.get(kind.ladder).filter(|_| share > 1e-12) else { continue };
        let rung = rung(kind.rate + off);
        let of = |table: &[Vec<f64>], number: usize| {
            table.get(number).and_then(|row| row.get(rung)).copied().unwrap_or(0.0)
        };
        all += share;
        exactly += share * of(&ladder.exactly, number);
        or_more += share * of(&ladder.or_more, number);
        let rate = (kind.rate as f64 * STEP).exp();
        for (size, with) in with.iter_mut().enumerate() {
            let Some(honest) = number.checked_sub(more(size, rate) as usize) else { continue };
            // The last number stands for all from there on.
            let table = if number == MOST { &ladder.or_more } else { &ladder.exactly };
            *with += share * of(table, honest);
        }
    }
    Said {
        world: -(or_more / all).max(1e-300).log10(),
        sizes: with.map(|with| with / exactly.max(1e-300)),
    }
}

/// The place of a mean.
fn rung(mean: i64) -> usize {
    (mean.clamp(*MEANS.start(), *MEANS.end()) - MEANS.start()) as usize
}

/// All that people may be like, and how many are.
fn kinds(world: World) -> Vec<Kind> {
    let highest = (BUSIEST.ln() / STEP).round() as i64;
    let evennesses = evennesses(world);
    let mut kinds = Vec::new();
    for rate in LOWEST_RATE..=highest {
        let z = (rate as f64 * STEP - RATES.0) / RATES.1;
        // All above the highest rate have that rate: one person in five hundred, in so many steps.
        let above: f64 = if rate < highest { 1.0 } else { 7.4 };
        for (ladder, (_, share)) in evennesses.iter().enumerate() {
            kinds.push(Kind { ladder, rate, ln_share: -z * z / 2.0 + above.ln() + share.ln() });
        }
    }
    kinds
}

/// How much days may be alike, and for how many people; it matters in the steady world only.
fn evennesses(world: World) -> Vec<(f64, f64)> {
    let around = |z: f64| ((EVENNESS.0 + EVENNESS.1 * z).exp(), (-z * z / 2.0).exp());
    match world {
        World::Steady => (-4..=4).map(|half| around(f64::from(half) * 0.6)).collect(),
        World::Bursty => vec![(1.0, 1.0)],
    }
}

fn ladders(world: World) -> Vec<Ladder> {
    let factors = factors(world);
    let logarithms: Vec<f64> = (1..=MOST).map(|number| (number as f64).ln()).collect();
    let ladder = |(evenness, _): (f64, f64)| {
        // Logarithm of what stands before the powers in the probability of a number.
        let mut fronts = vec![0.0];
        for (before, ln) in logarithms.iter().enumerate() {
            let last = fronts.last().copied().unwrap_or(0.0);
            let grows = match world {
                World::Steady => (before as f64 + evenness).ln(),
                World::Bursty => 0.0,
            };
            fronts.push(last + grows - ln);
        }
        let width = rung(*MEANS.end()) + 1;
        let mut exactly = vec![vec![0.0; width]; MOST + 1];
        for mean in MEANS {
            for &(factor, share) in &factors {
                let mean_of_day = (mean as f64 * STEP).exp() * factor;
                let (none, power) = match world {
                    World::Steady => {
                        let whole = evenness + mean_of_day;
                        (evenness * (evenness / whole).ln(), (mean_of_day / whole).ln())
                    }
                    World::Bursty => (-mean_of_day, mean_of_day.ln()),
                };
                for (number, (row, front)) in exactly.iter_mut().zip(&fronts).enumerate() {
                    let ln = front + none + number as f64 * power;
                    if let Some(slot) = row.get_mut(rung(mean)).filter(|_| ln > -50.0) {
                        *slot += share * ln.exp();
                    }
                }
            }
        }
        finish(world, exactly)
    };
    evennesses(world).into_iter().map(ladder).collect()
}

/// Adds idle days, and what follows from the probability of each number.
fn finish(world: World, mut exactly: Vec<Vec<f64>>) -> Ladder {
    if world == World::Bursty {
        exactly.iter_mut().flatten().for_each(|share| *share *= 1.0 - IDLE);
        exactly.iter_mut().take(1).flatten().for_each(|share| *share += IDLE);
    }
    // What the numbers told apart leave of 1 goes to the last.
    let width = exactly.first().map_or(0, Vec::len);
    let mut left = vec![1.0; width];
    let mut or_more = Vec::with_capacity(exactly.len());
    for row in &mut exactly {
        or_more.push(left.clone());
        left.iter_mut().zip(row.iter()).for_each(|(left, share)| *left = (*left - share).max(0.0));
    }
    if let (Some(last), Some(from)) = (exactly.last_mut(), or_more.last()) {
        last.clone_from(from);
    }
    let ln = |row: &Vec<f64>| row.iter().map(|share| share.max(1e-30).ln()).collect();
    let ln_exactly = exactly.iter().map(ln).collect();
    Ladder { exactly, or_more, ln_exactly }
}

/// By how much a day's mean differs from the person's, and how often: tasks, and in the bursty world
/// busy and slack days, and heavy tasks.
fn factors(world: World) -> Vec<(f64, f64)> {
    const PARTS: i32 = 24;
    let part = |number: i32| (f64::from(number) + 0.5) / f64::from(PARTS);
    let mut tasks = vec![(1.0, 1.0 - TASK)];
    let task = |number| TASKS.0 + (TASKS.1 - TASKS.0) * part(number);
    tasks.extend((0..PARTS).map(|number| (task(number), TASK / f64::from(PARTS))));
    if world == World::Steady {
        return tasks;
    }
    let mut heavy = vec![(1.0, 1.0 - HEAVY)];
    // By equal parts of the logarithm, since few are heavy; the last part is all of the heaviest.
    let share_above = |factor: f64| factor.powf(-HEAVY_TAIL);
    for number in 0..PARTS {
        let at = |number: i32| HEAVIEST.powf(f64::from(number) / f64::from(PARTS));
        let share = share_above(at(number)) - share_above(at(number + 1));
        heavy.push(((at(number) * at(number + 1)).sqrt(), HEAVY * share));
    }
    heavy.push((HEAVIEST, HEAVY * share_above(HEAVIEST)));
    // On a grid, as there are many ways to the same product.
    let mut grid = std::collections::BTreeMap::new();
    let middle = -SPREAD * SPREAD / 2.0 - 0.7_f64.ln();
    let normal: Vec<(f64, f64)> =
        (-100..=100).map(|z| f64::from(z) * 0.05).map(|z| (z, (-z * z / 2.0).exp())).collect();
    let whole: f64 = normal.iter().map(|(_, share)| share).sum();
    for (task, of_tasks) in &tasks {
        for (heavy, of_heavy) in &heavy {
            for (z, share) in &normal {
                let ln = middle + SPREAD * z + (task * heavy).ln();
                *grid.entry((ln / STEP).round() as i64).or_insert(0.0) +=
                    of_tasks * of_heavy * share / whole;
            }
        }
    }
    grid.into_iter().map(|(ln, share)| ((ln as f64 * STEP).exp(), share)).collect()
}
