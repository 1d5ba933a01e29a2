//! A user's state as bytes.
//!
//! ```text
//! version, newest, days since the first, by kind and class: days, sum, squares,
//! open days: days since the one before, and
//!   settled: by kind: counts
//!   live:    by kind: sessions with their times, hours with their number; tally and whether it fired
//!            activities that may become evidence: times and sequence numbers as differences
//! ```
//!
//! Which days are live follows from the newest activity. Where activities are cut into hours or
//! sessions as well, a live day as a whole is their sum and is not written.

use casbah_model::Evidence;
use casbah_plugin::state::{Reader, Writer};
use casbah_when::duration::{DAY, HOUR};

use super::{Bucket, Model, Open, PENDING, Person, Tally, clock};
use crate::baseline::Sums;
use crate::distinct::Distinct;
use crate::policy::{Per, Rule};

/// Form of the bytes.
const VERSION: u64 = 1;
/// Newest and oldest time that a state may hold: years -200,000 to 200,000.
const TIMES: std::ops::Range<i64> = -6_400_000_000_000_000..6_400_000_000_000_000;

/// Whether a kind of bucket is the sum of another kind.
fn derived(rule: &Rule, per: Per) -> bool {
    per == Per::Day && rule.kinds.len() > 1
}

impl Person {
    /// Bytes that stand for it.
    pub(crate) fn write(&self, rule: &Rule) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.number(VERSION);
        writer.signed(self.newest);
        writer.number(rule.calendar.day(self.newest).abs_diff(self.since));
        for sums in self.models.iter().flatten() {
            writer.number(sums.days);
            writer.number(sums.sum);
            writer.number(sums.squares);
        }
        let live = self.live(rule);
        let mut before = self.closed(rule);
        writer.number(self.days.len() as u64);
        for open in &self.days {
            writer.number(open.day.abs_diff(before));
            before = open.day;
            for (per, buckets) in rule.kinds.iter().zip(&open.buckets) {
                if open.day >= live && derived(rule, *per) {
                    continue;
                }
                if *per != Per::Day {
                    writer.number(buckets.len() as u64);
                }
                if open.day < live {
                    buckets.iter().for_each(|bucket| writer.number(bucket.count()));
                } else {
                    write_live(&mut writer, rule, *per, open.day, buckets);
                }
            }
            if open.day >= live {
                write_fired(&mut writer, rule, open);
                write_pending(&mut writer, rule, open);
            }
        }
        writer.finish()
    }

    /// Reads what [`write`](Self::write) wrote under the same rule; `None` when it did not.
    pub(crate) fn read(bytes: &[u8], rule: &Rule) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.number()? != VERSION {
            return None;
        }
        let newest = reader.signed().filter(|time| TIMES.contains(time))?;
        let age = i64::try_from(reader.number()?).ok().filter(|age| *age < TIMES.end / DAY)?;
        let since = rule.calendar.day(newest) - age;
        let mut models = vec![Model::default(); rule.kinds.len()];
        for sums in models.iter_mut().flatten() {
            *sums =
                Sums { days: reader.number()?, sum: reader.number()?, squares: reader.number()? };
        }
        let mut person = Self { newest, since, models, days: Vec::new() };
        let (live, mut day) = (person.live(rule), person.closed(rule));
        let last = rule.calendar.day(newest);
        for _ in 0..reader.length(2)? {
            let step = i64::try_from(reader.number()?).ok().filter(|step| *step > 0)?;
            day = day.checked_add(step).filter(|day| (since..=last).contains(day))?;
            person.days.push(read_day(&mut reader, rule, day, day >= live)?);
        }
        reader.is_empty().then_some(person)
    }
}

fn write_live(writer: &mut Writer, rule: &Rule, per: Per, day: i64, buckets: &[Bucket]) {
    let mut before = rule.calendar.start(day);
    for bucket in buckets {
        match per {
            Per::Day => {}
            Per::Hour => writer.number(bucket.first.abs_diff(before) / HOUR.unsigned_abs()),
            Per::Session => {
                writer.number(bucket.first.abs_diff(before));
                writer.number(bucket.last.abs_diff(bucket.first));
                before = bucket.last;
            }
        }
        let fired = u64::from(bucket.fired);
        match &bucket.tally {
            Tally::Count(count) => writer.number(count.saturating_mul(2) | fired),
            Tally::Distinct(distinct) => {
                let hashes = distinct.hashes();
                writer.number((hashes.len() as u64) << 1 | fired);
                let before = std::iter::once(&0).chain(hashes);
                hashes.iter().zip(before).for_each(|(hash, before)| {
                    writer.number(u64::from(hash.abs_diff(*before)));
                });
            }
        }
    }
}

/// Whether the day as a whole fired, where its count is not written.
fn write_fired(writer: &mut Writer, rule: &Rule, open: &Open) {
    for (per, buckets) in rule.kinds.iter().zip(&open.buckets) {
        if derived(rule, *per) {
            writer.number(u64::from(buckets.iter().any(|bucket| bucket.fired)));
        }
    }
}

fn write_pending(writer: &mut Writer, rule: &Rule, open: &Open) {
    writer.number(open.pending.len() as u64);
    let (mut time, mut sequence) = (rule.calendar.start(open.day), 0u64);
    for evidence in &open.pending {
        writer.number(evidence.time.abs_diff(time));
        writer.signed(evidence.sequence.wrapping_sub(sequence) as i64);
        (time, sequence) = (evidence.time, evidence.sequence);
    }
}

fn read_day(reader: &mut Reader<'_>, rule: &Rule, day: i64, live: bool) -> Option<Open> {
    let start = rule.calendar.start(day);
    let mut buckets: Vec<Vec<Bucket>> = Vec::with_capacity(rule.kinds.len());
    for per in &rule.kinds {
        if live && derived(rule, *per) {
            buckets.push(Vec::new());
            continue;
        }
        let length = if *per == Per::Day { 1 } else { reader.length(1)? };
        let mut read: Vec<Bucket> = Vec::with_capacity(length);
        for _ in 0..length {
            let bucket = if live {
                read_live(reader, rule, *per, start, read.last())?
            } else {
                let count = reader.number()?;
                Bucket { tally: Tally::Count(count), ..Bucket::default() }
            };
            read.push(bucket);
        }
        buckets.push(read);
    }
    let mut open = Open { day, buckets, pending: Vec::new() };
    if live {
        derive(rule, &mut open);
        for (per, buckets) in rule.kinds.iter().zip(&mut open.buckets) {
            if derived(rule, *per) {
                let fired = flag(reader.number()?)?;
                buckets.iter_mut().for_each(|bucket| bucket.fired = fired);
            }
        }
        read_pending(reader, start, &mut open.pending)?;
    }
    Some(open)
}

/// Makes the whole day of its parts.
fn derive(rule: &Rule, open: &mut Open) {
    let Some(whole) = rule.kinds.iter().position(|per| derived(rule, *per)) else { return };
    // The parts of the next kind are the whole day, once.
    let parts = open.buckets.get(whole + 1).map(Vec::as_slice).unwrap_or_default();
    let mut tally = Tally::none(rule.distinct);
    parts.iter().for_each(|part| tally.merge(&part.tally));
    let (first, last, _) = clock(rule.calendar.start(open.day), DAY);
    if let Some(buckets) = open.buckets.get_mut(whole) {
        *buckets = vec![Bucket { first, last, tally, fired: false }];
    }
}

fn read_live(
    reader: &mut Reader<'_>,
    rule: &Rule,
    per: Per,
    start: i64,
    before: Option<&Bucket>,
) -> Option<Bucket> {
    let end = start.checked_add(DAY)?;
    let offset = |reader: &mut Reader<'_>, from: i64| {
        let time = from.checked_add_unsigned(reader.number()?)?;
        (time < end).then_some(time)
    };
    let (first, last) = match per {
        Per::Day => (start, end - 1),
        Per::Hour => {
            let hour = i64::try_from(reader.number()?).ok().filter(|hour| *hour < 24)?;
            let (first, last, _) = clock(start + hour * HOUR, HOUR);
            (first, last)
        }
        Per::Session => {
            let first = offset(reader, before.map_or(start, |before| before.last))?;
            (first, offset(reader, first)?)
        }
    };
    if before.is_some_and(|before| before.last >= first) {
        return None;
    }
    let number = reader.number()?;
    let tally = if rule.distinct {
        let mut hashes = Vec::new();
        let mut hash = 0u32;
        for _ in 0..number / 2 {
            hash = hash.checked_add(u32::try_from(reader.number()?).ok()?)?;
            hashes.push(hash);
        }
        Tally::Distinct(Distinct::of(hashes)?)
    } else {
        Tally::Count(number / 2)
    };
    Some(Bucket { first, last, tally, fired: number % 2 == 1 })
}

fn read_pending(reader: &mut Reader<'_>, start: i64, pending: &mut Vec<Evidence>) -> Option<()> {
    let length = reader.length(2).filter(|length| *length <= PENDING)?;
    let (mut time, mut sequence) = (start, 0u64);
    for _ in 0..length {
        time = time.checked_add_unsigned(reader.number()?)?;
        sequence = sequence.wrapping_add(reader.signed()? as u64);
        let evidence = Evidence { time, sequence };
        if time >= start.checked_add(DAY)? || pending.last().is_some_and(|last| *last >= evidence) {
            return None;
        }
        pending.push(evidence);
    }
    Some(())
}

fn flag(number: u64) -> Option<bool> {
    (number <= 1).then_some(number == 1)
}
