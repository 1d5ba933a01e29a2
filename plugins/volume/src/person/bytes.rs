//! A user's state as bytes.
//!
//! ```text
//! version, newest, days since the first, by kind and class: days, sum, squares,
//! open days: days since the one before, and
//!   settled: by kind: counts
//!   live:    by kind: sessions with their times, hours with their number; tally
//!            activities that may become evidence: see `pending`; whether it is strange
//! ```
//!
//! Which days are live follows from the newest activity. Where activities are cut into hours or
//! sessions as well, a live day as a whole is their sum and is not written.

use casbah_plugin::state::{Reader, Writer};
use casbah_when::duration::{DAY, HOUR};

use super::pending::Pending;
use super::{Bucket, Models, Open, Person, Tally, clock};
use crate::baseline::Sums;
use crate::distinct::Distinct;
use crate::policy::{Per, Rule};

/// Form of the bytes.
const VERSION: u64 = 1;
/// Newest and oldest time that a state may hold: years -200,000 to 200,000.
const TIMES: std::ops::Range<i64> = -6_400_000_000_000_000..6_400_000_000_000_000;

/// Whether a kind of bucket is the sum of another kind.
fn derived(rule: &Rule, per: Per) -> bool {
    per == Per::Day && rule.parted()
}

impl Person {
    /// Bytes that stand for it.
    pub(crate) fn write(&self, rule: &Rule) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.number(VERSION);
        writer.signed(self.newest);
        writer.number(rule.calendar.day(self.newest).abs_diff(self.since));
        for sums in self.models.iter().take(rule.kinds.len()).flatten() {
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
            for (kind, per) in rule.kinds.iter().enumerate() {
                if open.day >= live && derived(rule, *per) {
                    continue;
                }
                if *per != Per::Day {
                    writer.number(open.of(kind).count() as u64);
                }
                if open.day < live {
                    open.of(kind).for_each(|bucket| writer.number(bucket.count()));
                } else {
                    write_live(&mut writer, rule, *per, open.day, open.of(kind));
                }
            }
            if open.day >= live {
                open.pending.write(&mut writer, rule.calendar.start(open.day), open.strange);
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
        let mut models = Models::default();
        for sums in models.iter_mut().take(rule.kinds.len()).flatten() {
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

fn write_live<'a>(
    writer: &mut Writer,
    rule: &Rule,
    per: Per,
    day: i64,
    buckets: impl Iterator<Item = &'a Bucket>,
) {
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
        match &bucket.tally {
            Tally::Count(count) => writer.number(*count),
            Tally::Distinct(distinct) => {
                let hashes = distinct.hashes();
                writer.number(hashes.len() as u64);
                let before = std::iter::once(&0).chain(hashes);
                hashes.iter().zip(before).for_each(|(hash, before)| {
                    writer.number(u64::from(hash.abs_diff(*before)));
                });
            }
        }
    }
}

fn read_day(reader: &mut Reader<'_>, rule: &Rule, day: i64, live: bool) -> Option<Open> {
    let start = rule.calendar.start(day);
    let mut open = Open::new(day);
    for (kind, per) in rule.kinds.iter().enumerate() {
        if live && derived(rule, *per) {
            continue;
        }
        let length = if *per == Per::Day { 1 } else { reader.length(1)? };
        open.buckets.reserve(length);
        for index in 0..length {
            let before = open.buckets.last().filter(|_| index > 0);
            let mut bucket = if live {
                read_live(reader, rule, *per, start, before)?
            } else {
                Bucket { tally: Tally::Count(reader.number()?), ..Bucket::default() }
            };
            bucket.kind = kind as u8;
            open.buckets.push(bucket);
        }
    }
    if live {
        derive(rule, &mut open);
        (open.pending, open.strange) = Pending::read(reader, start)?;
    }
    Some(open)
}

/// Makes the whole day of its parts, where it was not written: of those of the next kind.
fn derive(rule: &Rule, open: &mut Open) {
    let Some(whole) = rule.kinds.iter().position(|per| derived(rule, *per)) else { return };
    let mut tally = Tally::none(rule.distinct);
    open.of(whole + 1).for_each(|part| tally.merge(&part.tally));
    let (first, last, _) = clock(rule.calendar.start(open.day), DAY);
    let place = open.buckets.partition_point(|bucket| usize::from(bucket.kind) < whole);
    open.buckets.insert(place, Bucket { kind: whole as u8, first, last, tally });
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
        for _ in 0..number {
            hash = hash.checked_add(u32::try_from(reader.number()?).ok()?)?;
            hashes.push(hash);
        }
        Tally::Distinct(Distinct::of(hashes)?)
    } else {
        Tally::Count(number)
    };
    Some(Bucket { kind: 0, first, last, tally })
}
