//! What is usual in a population: everybody of an app, for instance.
//!
//! Every day, each user counts once for each kind of bucket: as a count, in bins half an octave wide,
//! and as steadiness. Medians over these are what newcomers are judged by. One user is one among many
//! there, however much he does; and since a median falls on a bin, it does not move at all unless it
//! crosses the border of one.
//!
//! The counts of the last days are kept by day, so that a day is judged by the days that are complete;
//! what is older is one discounted pile.

use casbah_plugin::state::{Reader, Writer};

use crate::baseline::{Fade, Usual};

/// Bins of a histogram: half octaves up to the highest count.
const BINS: usize = 50;
/// Histograms a kind of bucket: counts on working days, counts on weekends, slopes of dispersion.
const EACH: usize = 3;
/// The first bin of slopes stands for so many half octaves below 1.
const SLOPE_ZERO: i64 = 8;
/// Bits behind the point in the pile.
const POINT: u32 = 16;
/// So many users' days must have been seen before they are believed.
const ENOUGH: u64 = 20;
/// A pile that lay so long without anything new is empty, days.
const LONGEST_SILENCE: i64 = 1000;
/// A newcomer is expected to do so much of what is done on a median day *with* activity: there are days
/// without, and people who begin do less.
const IDLE: f64 = 0.5;
/// Steadiness is taken from here: two users of three are steadier.
const STEADY: (u64, u64) = (2, 3);
/// A slope is not believed outside of these.
const SLOPES: (f64, f64) = (0.25, 2.0);

/// Counts by histogram and bin.
type Counts = Vec<u64>;

/// Something that a user's activity changes in a day's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A bucket's count went from one number to another; 0 is none.
    Count { day: i64, kind: usize, class: usize, before: u64, after: u64 },
    /// A user became active on a day; his slope of dispersion, by bin.
    Slope { day: i64, kind: usize, bin: usize },
}

/// What is known of a population.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Population {
    /// Time of the first activity, ms since 1970.
    pub(crate) first: i64,
    /// Days after this one are kept by day; it and those before are in the pile. `None` while nothing
    /// was counted.
    through: Option<i64>,
    /// How many kinds of bucket there are.
    kinds: usize,
    pile: Counts,
    days: Vec<(i64, Counts)>,
}

/// Bin of a count of 1 or more.
pub(crate) fn bin(count: u64) -> usize {
    let octave = count.max(1).ilog2();
    let upper = u128::from(count) * u128::from(count) >= 1 << (2 * octave + 1);
    ((2 * octave) as usize + usize::from(upper)).min(BINS - 1)
}

/// Bin of a slope of dispersion.
pub(crate) fn slope_bin(slope: f64) -> usize {
    let half_octaves = libm::floor(2.0 * libm::log2(slope.clamp(1e-3, 1e3))) as i64;
    (half_octaves + SLOPE_ZERO).clamp(0, BINS as i64 - 1) as usize
}

/// The middle of a bin.
fn middle(bin: i64) -> f64 {
    libm::exp2((bin as f64 + 0.5) / 2.0)
}

/// The count that stands for a bin: its middle, and 1 and 2 themselves.
fn typical(bin: usize) -> f64 {
    match bin {
        0 | 1 => 1.0,
        2 => 2.0,
        _ => middle(bin as i64),
    }
}

/// The bin in which a share of all counts is reached; `None` when there are too few.
fn quantile(counts: &[u64], (share, of): (u64, u64)) -> Option<usize> {
    let whole: u128 = counts.iter().copied().map(u128::from).sum();
    if whole < u128::from(ENOUGH << POINT) {
        return None;
    }
    let mut sum = 0u128;
    counts.iter().position(|&count| {
        sum += u128::from(count);
        sum * u128::from(of) >= whole * u128::from(share)
    })
}

/// Which buckets are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Place of their kind.
    pub(crate) kind: usize,
    /// Class of the days.
    pub(crate) class: usize,
    /// Whether they are whole days, of which idle ones are part.
    pub(crate) whole_days: bool,
}

impl Population {
    /// One of which nothing is known but its first activity.
    pub(crate) fn new(kinds: usize, first: i64) -> Self {
        Self { first, through: None, kinds, pile: vec![0; kinds * EACH * BINS], days: Vec::new() }
    }

    /// The last day that is in the pile when the newest is `day`: no day that may still be judged is
    /// judged by less than the pile.
    fn piled(day: i64, lag: i64) -> i64 {
        day.saturating_sub(2 * lag + 3)
    }

    /// Takes note of an activity that counts on a day.
    pub(crate) fn reach(&mut self, day: i64, lag: i64, fade: Fade) {
        let to = Self::piled(day, lag);
        let from = self.through.unwrap_or(to);
        self.through = Some(from.max(to));
        if to.saturating_sub(from) > LONGEST_SILENCE {
            self.pile.fill(0);
            self.days.clear();
            return;
        }
        for piled in from.saturating_add(1)..=to {
            self.pile.iter_mut().for_each(|count| *count = fade.left(*count));
            if self.days.first().is_some_and(|(day, _)| *day == piled) {
                let (_, counts) = self.days.remove(0);
                for (pile, count) in self.pile.iter_mut().zip(counts) {
                    *pile = pile.saturating_add(count << POINT);
                }
            }
        }
    }

    /// Takes a change in; one of a day that is in the pile already is too late.
    pub(crate) fn apply(&mut self, change: Change) {
        let (day, kind) = match change {
            Change::Count { day, kind, .. } | Change::Slope { day, kind, .. } => (day, kind),
        };
        if self.through.is_none_or(|through| day <= through) {
            return;
        }
        let size = self.pile.len();
        let place = match self.days.binary_search_by_key(&day, |(day, _)| *day) {
            Ok(place) => place,
            Err(place) => {
                self.days.insert(place, (day, vec![0; size]));
                place
            }
        };
        let Some((_, counts)) = self.days.get_mut(place) else { return };
        match change {
            Change::Count { class, before, after, .. } => {
                if before > 0
                    && let Some(count) = counts.get_mut(at(kind, class, bin(before)))
                {
                    *count = count.saturating_sub(1);
                }
                if after > 0
                    && let Some(count) = counts.get_mut(at(kind, class, bin(after)))
                {
                    *count += 1;
                }
            }
            Change::Slope { bin, .. } => {
                if let Some(count) = counts.get_mut(at(kind, EACH - 1, bin)) {
                    *count += 1;
                }
            }
        }
    }

    /// What was usual in buckets of a kind on a class of days, by all days up to `known`: as if that
    /// were the last day in the pile.
    pub(crate) fn usual(&self, scope: Scope, known: i64, fade: Fade) -> Usual {
        let Scope { kind, class, whole_days } = scope;
        let median = quantile(&self.histogram(kind, class, known, fade), (1, 2)).map(typical);
        let slope = quantile(&self.histogram(kind, EACH - 1, known, fade), STEADY)
            .map(|bin| middle(bin as i64 - SLOPE_ZERO).clamp(SLOPES.0, SLOPES.1));
        Usual {
            mean: median.map_or(Usual::ASSUMED.mean, |median| {
                if whole_days { median * IDLE } else { median }
            }),
            median: median.unwrap_or(Usual::ASSUMED.median),
            learned: median.is_some(),
            slope: slope.unwrap_or(Usual::ASSUMED.slope),
        }
    }

    fn histogram(&self, kind: usize, which: usize, known: i64, fade: Fade) -> Vec<u64> {
        let range = at(kind, which, 0)..at(kind, which, BINS);
        let mut sums = self.pile.get(range.clone()).unwrap_or_default().to_vec();
        let mut through = self.through.unwrap_or(known);
        let mut fade_to = |sums: &mut [u64], day: i64| {
            for _ in 0..day.saturating_sub(through).clamp(0, LONGEST_SILENCE) {
                sums.iter_mut().for_each(|sum| *sum = fade.left(*sum));
            }
            through = day;
        };
        for (day, counts) in self.days.iter().filter(|(day, _)| *day <= known) {
            fade_to(&mut sums, *day);
            for (sum, count) in sums.iter_mut().zip(counts.get(range.clone()).unwrap_or_default()) {
                *sum = sum.saturating_add(count << POINT);
            }
        }
        fade_to(&mut sums, known);
        sums
    }

    /// Bytes that stand for it.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.number(VERSION);
        writer.signed(self.first);
        let Some(through) = self.through else { return writer.finish() };
        writer.signed(through);
        sparse(&mut writer, &self.pile);
        writer.number(self.days.len() as u64);
        let mut before = through;
        for (day, counts) in &self.days {
            writer.number(day.abs_diff(before));
            sparse(&mut writer, counts);
            before = *day;
        }
        writer.finish()
    }

    /// Time of the first activity, of bytes that [`write`](Self::write) wrote.
    pub(crate) fn first(bytes: &[u8]) -> Option<i64> {
        let mut reader = Reader::new(bytes);
        (reader.number()? == VERSION).then_some(())?;
        reader.signed()
    }

    /// Reads what [`write`](Self::write) wrote; `None` when it did not.
    pub(crate) fn read(bytes: &[u8], kinds: usize) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.number()? != VERSION {
            return None;
        }
        let first = reader.signed()?;
        if reader.is_empty() {
            return Some(Self::new(kinds, first));
        }
        let through = reader.signed()?;
        let size = kinds * EACH * BINS;
        let pile = dense(&mut reader, size)?;
        let length = reader.length(2)?;
        // Days can't be more than the lateness allows, and each takes room.
        if length > MOST_DAYS {
            return None;
        }
        let mut days = Vec::with_capacity(length);
        let mut before = through;
        for _ in 0..length {
            let step = reader.number()?;
            before = (step > 0).then(|| before.checked_add_unsigned(step)).flatten()?;
            days.push((before, dense(&mut reader, size)?));
        }
        reader.is_empty().then_some(Self { first, through: Some(through), kinds, pile, days })
    }

    /// How many kinds of bucket it was made for.
    #[cfg(test)]
    pub(crate) fn kinds(&self) -> usize {
        self.kinds
    }
}

/// Form of the bytes.
const VERSION: u64 = 1;
/// Days that can be kept by day: those of the longest lateness, and of clocks that are ahead.
const MOST_DAYS: usize = 100;

/// Place of a bin.
fn at(kind: usize, which: usize, bin: usize) -> usize {
    (kind * EACH + which) * BINS + bin
}

/// Writes counts, most of which are 0, as pairs of how many places further and how much.
fn sparse(writer: &mut Writer, counts: &Counts) {
    writer.number(counts.iter().filter(|count| **count > 0).count() as u64);
    let mut next = 0;
    for (place, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        writer.number((place - next) as u64);
        writer.number(count);
        next = place + 1;
    }
}

fn dense(reader: &mut Reader<'_>, size: usize) -> Option<Counts> {
    let mut counts = vec![0; size];
    let mut next = 0usize;
    for _ in 0..reader.length(2)? {
        let place = next.checked_add(usize::try_from(reader.number()?).ok()?)?;
        // A sum of two such piles must not run over.
        *counts.get_mut(place)? = reader.number().filter(|count| (1..1 << 47).contains(count))?;
        next = place + 1;
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAG: i64 = 1;

    fn fade() -> Fade {
        Fade::of(30.0)
    }

    #[test]
    fn bins_are_half_octaves() {
        let bins: Vec<_> = [1, 2, 3, 4, 5, 6, 8, 11, 12, 16, 1 << 24, u64::MAX].map(bin).into();
        assert_eq!(bins, [0, 2, 3, 4, 4, 5, 6, 6, 7, 8, 48, 49]);
        for count in 1..100_000u64 {
            let exact = (2.0 * (count as f64).log2() + 1e-9).floor() as usize;
            assert_eq!(bin(count), exact, "{count}");
        }
        assert_eq!(slope_bin(1.0), 8);
        assert_eq!(slope_bin(0.0), 0);
        assert_eq!(slope_bin(f64::NAN), 8, "whatever a hostile state says, it is some bin");
    }

    fn population(counts: &[(i64, u64)]) -> Population {
        let mut population = Population::new(1, 0);
        for &(day, after) in counts {
            population.reach(day, LAG, fade());
            population.apply(Change::Count { day, kind: 0, class: 0, before: 0, after });
        }
        population
    }

    fn usual(population: &Population, class: usize, known: i64) -> Usual {
        population.usual(Scope { kind: 0, class, whole_days: true }, known, fade())
    }

    #[test]
    fn medians_are_of_complete_days_only() {
        let mut counts = vec![(0, 4); 30];
        counts.extend([(1, 64); 300]);
        let population = population(&counts);
        assert!(!usual(&population, 0, -1).learned);
        let first = usual(&population, 0, 0);
        assert!(first.learned && (4.0..5.7).contains(&first.median), "{first:?}");
        assert!(usual(&population, 0, 1).median > 60.0);
        assert!(!usual(&population, 1, 1).learned, "weekends are apart");
    }

    /// The noise of one user, however loud, is one count among many.
    #[test]
    fn one_user_does_not_move_the_median() {
        let quiet: Vec<_> = (0..30).flat_map(|day| (0..9).map(move |n| (day, 4 + n % 2))).collect();
        let loud = quiet.iter().copied().chain((0..30).map(|day| (day, 1 << 20)));
        let mut loud: Vec<_> = loud.collect();
        loud.sort_unstable();
        assert_eq!(usual(&population(&quiet), 0, 28), usual(&population(&loud), 0, 28));
    }

    #[test]
    fn old_days_fade_and_silence_empties() {
        let mut population = population(&[(0, 4); 25]);
        population.reach(100, LAG, fade());
        assert!(!usual(&population, 0, 100).learned, "25 faded below 20");
        population.reach(5000, LAG, fade());
        assert!(population.pile.iter().all(|count| *count == 0) && population.days.is_empty());
    }

    proptest! {
        /// Whatever the order within the days kept, the bytes are the same, and are read again.
        #[test]
        fn order_does_not_matter(
            changes in proptest::collection::vec((0i64..4, 0usize..2, 0u64..50, 0u64..50), 0..40),
        ) {
            let apply = |population: &mut Population, &(day, kind, before, after): &(i64, usize, u64, u64)| {
                population.reach(10 + day, LAG, fade());
                // A count that goes down was there before.
                population.apply(Change::Count { day: 10 + day, kind, class: 0, before: 0, after: before });
                population.apply(Change::Count { day: 10 + day, kind, class: 0, before, after });
                population.apply(Change::Slope { day: 10 + day, kind, bin: before as usize % BINS });
            };
            let mut a = Population::new(2, 0);
            prop_assert_eq!(Population::read(&a.write(), 2), Some(a.clone()));
            let mut b = a.clone();
            a.reach(10, LAG, fade());
            b.reach(13, LAG, fade());
            changes.iter().for_each(|change| apply(&mut a, change));
            changes.iter().rev().for_each(|change| apply(&mut b, change));
            a.reach(13, LAG, fade());
            prop_assert_eq!(a.write(), b.write());
            prop_assert_eq!(Population::first(&a.write()), Some(a.first));
            prop_assert_eq!(Population::read(&a.write(), 2), Some(a));
        }

        #[test]
        fn garbage_is_no_population(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut versioned = vec![1];
            versioned.extend(&bytes);
            for bytes in [&bytes, &versioned] {
                if let Some(mut population) = Population::read(bytes, 2) {
                    population.reach(i64::MAX, LAG, fade());
                    population.apply(Change::Slope { day: i64::MAX, kind: 0, bin: 3 });
                    let _ = usual(&population, 0, i64::MAX);
                    prop_assert_eq!(population.kinds(), 2);
                }
            }
        }
    }
}
