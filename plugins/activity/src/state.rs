//! The bytes in which a key's activities are kept between batches.
//!
//! ```text
//! version     1 byte, 1
//! flags       1 byte: 1 = activities were dropped, 2 = entries have hashes, 4 = entries have
//!             quantities, 8 = entries have roles
//! number      of entries
//! first time  zigzag; last time as difference to it
//! last sequence
//! entries     time as difference to the one before,
//!             sequence as zigzag difference to the one before, with the two marks in its lowest bits,
//!             8 bytes of hash, zigzag quantity, or nothing,
//!             role where entries have one: severity in three bits, steps in eight, nots in eight
//! ```
//!
//! Numbers are LEB128. The same activities always give the same bytes. The head says enough for
//! most keys to be carried on without reading their entries.

use crate::entry::{Entry, Held, Role};
use crate::rule::{Measure, Rule, Values};

const VERSION: u8 = 1;
const OVERFLOWED: u8 = 1;
const HASHES: u8 = 2;
const QUANTITIES: u8 = 4;
const ROLES: u8 = 8;

/// What stands before the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    flags: u8,
    number: usize,
    first: i64,
    last: i64,
    sequence: u64,
}

/// The flags of what entries have by a rule.
fn flags(rule: &Rule) -> u8 {
    let values = match rule.values() {
        Values::None => 0,
        Values::Hashes => HASHES,
        Values::Quantities => QUANTITIES,
    };
    values | (u8::from(rule.has_roles()) * ROLES)
}

/// How many bytes an entry takes at most, as a rule.
fn most_bytes(flags: u8) -> usize {
    let of = |flag: u8, bytes: usize| if flags & flag == 0 { 0 } else { bytes };
    6 + of(HASHES, 8) + of(QUANTITIES, 4) + of(ROLES, 2)
}

/// Reads a key's state; empty bytes are the state of a key never seen, and so is a state that was
/// made by other settings (with values for a policy that has none, or the other way round).
/// Severities may have been given to a policy, or taken from it, since: a state is good for both.
///
/// Returns `None` when the bytes are no state.
pub(crate) fn read(bytes: &[u8], rule: &Rule) -> Option<Held> {
    if bytes.is_empty() {
        return Some(Held::default());
    }
    let mut input = Input(bytes);
    let head = Head::read(&mut input)?;
    let wanted = flags(rule);
    let needs_steps = matches!(rule.measure, Measure::Together(_) | Measure::Sequence(_));
    let differs = (head.flags ^ wanted) & !OVERFLOWED;
    if differs & !ROLES != 0 || (differs & ROLES != 0 && needs_steps) {
        return Some(Held::default());
    }
    // No entry is shorter than two bytes, which bounds what is set aside for them.
    let mut entries = Vec::with_capacity(head.number.min(bytes.len() / 2) + 8);
    let (mut time, mut sequence) = (head.first, 0_u64);
    for _ in 0..head.number {
        let entry = input.entry(&mut time, &mut sequence, head.flags)?;
        entries.push(match wanted & ROLES {
            0 => Entry { role: Role::default(), ..entry },
            _ => entry,
        });
    }
    input.0.is_empty().then_some(Held { entries, overflowed: head.flags & OVERFLOWED != 0 })
}

/// Writes a key's state; no entries make no bytes.
pub(crate) fn write(held: &Held, rule: &Rule) -> Vec<u8> {
    let (Some(first), Some(last)) = (held.entries.first(), held.entries.last()) else {
        return Vec::new();
    };
    let flags = (u8::from(held.overflowed) * OVERFLOWED) | flags(rule);
    let number = held.entries.len();
    let head = Head { flags, number, first: first.time, last: last.time, sequence: last.sequence };
    let mut output = Vec::with_capacity(32 + number * most_bytes(flags));
    head.write(&mut output);
    let mut before = (first.time, 0);
    for entry in &held.entries {
        write_entry(&mut output, before, entry, flags);
        before = (entry.time, entry.sequence);
    }
    output
}

/// Carries a key's state on without taking it apart, where that is all there is to do: the
/// activities come in order, and there are too few for any window to fire. What has become too old
/// is cut off in front. The bytes are those that [`read`] and [`write`] would have made.
pub(crate) fn append(bytes: &[u8], rule: &Rule, arrivals: &[Entry]) -> Option<Vec<u8>> {
    let (oldest, newest) = (arrivals.first()?, arrivals.last()?);
    let flags = flags(rule);
    let mut input = Input(bytes);
    let mut head = if bytes.is_empty() {
        Head { flags, number: 0, first: oldest.time, last: oldest.time, sequence: 0 }
    } else {
        Head::read(&mut input)?
    };
    let horizon = newest.time.saturating_sub(rule.lateness).saturating_sub(rule.within);
    if head.number + arrivals.len() >= rule.least() || head.flags != flags || oldest.time <= horizon
    {
        return None;
    }
    let mut after = (head.number > 0).then_some((head.last, head.sequence));
    for entry in arrivals {
        let here = Some((entry.time, entry.sequence));
        if here <= after {
            return None;
        }
        after = here;
    }
    let kept = if head.first <= horizon { cut_off(&mut head, &mut input, horizon)? } else { None };
    let mut before = (head.last, head.sequence);
    if head.number == 0 {
        head.first = oldest.time;
        before = (oldest.time, 0);
    }
    head.number += arrivals.len();
    (head.last, head.sequence) = (newest.time, newest.sequence);
    let mut output = Vec::with_capacity(bytes.len() + 32 + arrivals.len() * most_bytes(flags));
    head.write(&mut output);
    if let Some(kept) = kept {
        write_entry(&mut output, (kept.time, 0), &kept, flags);
    }
    output.extend_from_slice(input.0);
    for entry in arrivals {
        write_entry(&mut output, before, entry, flags);
        before = (entry.time, entry.sequence);
    }
    Some(output)
}

/// Reads past the entries up to the horizon, and returns the first one behind it; the differences
/// of all others stay what they are.
fn cut_off(head: &mut Head, input: &mut Input<'_>, horizon: i64) -> Option<Option<Entry>> {
    let (mut time, mut sequence) = (head.first, 0_u64);
    while head.number > 0 {
        let entry = input.entry(&mut time, &mut sequence, head.flags)?;
        if entry.time > horizon {
            head.first = entry.time;
            return Some(Some(entry));
        }
        head.number -= 1;
    }
    Some(None)
}

impl Head {
    fn read(input: &mut Input<'_>) -> Option<Self> {
        let version = input.byte()?;
        let flags = input.byte()?;
        if version != VERSION || flags & !(OVERFLOWED | HASHES | QUANTITIES | ROLES) != 0 {
            return None;
        }
        let number = usize::try_from(input.number()?).ok()?;
        let first = unzigzag(input.number()?);
        let last = first.checked_add_unsigned(input.number()?)?;
        Some(Self { flags, number, first, last, sequence: input.number()? })
    }

    fn write(&self, output: &mut Vec<u8>) {
        output.push(VERSION);
        output.push(self.flags);
        write_number(output, self.number as u64);
        write_number(output, zigzag(self.first));
        write_number(output, self.last.abs_diff(self.first));
        write_number(output, self.sequence);
    }
}

fn write_entry(output: &mut Vec<u8>, before: (i64, u64), entry: &Entry, flags: u8) {
    write_number(output, entry.time.abs_diff(before.0));
    let difference = zigzag(entry.sequence.wrapping_sub(before.1) as i64);
    // Two marks, five bits of the difference, and whether more follows.
    let more = difference >> 5;
    output
        .push((entry.marks & 3) | ((difference & 31) as u8) << 2 | if more > 0 { 0x80 } else { 0 });
    if more > 0 {
        write_number(output, more);
    }
    if flags & HASHES != 0 {
        output.extend_from_slice(&entry.value.to_le_bytes());
    }
    if flags & QUANTITIES != 0 {
        write_number(output, zigzag(entry.quantity()));
    }
    if flags & ROLES != 0 {
        let Role { steps, nots, severity } = entry.role;
        let role = u64::from(severity & 7) | u64::from(steps) << 3 | u64::from(nots) << 11;
        write_number(output, role);
    }
}

fn write_number(output: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        output.push(value as u8 | 0x80);
        value >>= 7;
    }
    output.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    #[inline]
    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Reads an entry; time and sequence are those of the entry before, and then its own.
    #[inline]
    fn entry(&mut self, time: &mut i64, sequence: &mut u64, flags: u8) -> Option<Entry> {
        *time = time.checked_add_unsigned(self.number()?)?;
        let (marks, difference) = self.marked()?;
        *sequence = sequence.wrapping_add(unzigzag(difference) as u64);
        let value = match flags & (HASHES | QUANTITIES) {
            0 => 0,
            HASHES => self.hash()?,
            _ => unzigzag(self.number()?).cast_unsigned(),
        };
        let role = if flags & ROLES == 0 { Role::default() } else { self.role()? };
        Some(Entry { time: *time, sequence: *sequence, value, role, marks })
    }

    #[inline]
    fn marked(&mut self) -> Option<(u8, u64)> {
        let byte = self.byte()?;
        let mut difference = u64::from(byte >> 2 & 31);
        if byte & 0x80 != 0 {
            let more = self.number()?;
            difference |= more.checked_mul(32)?;
        }
        Some((byte & 3, difference))
    }

    fn role(&mut self) -> Option<Role> {
        let role = self.number()?;
        let steps = role >> 3 & 0xFF;
        let nots = u8::try_from(role >> 11).ok()?;
        Some(Role { steps: steps as u8, nots, severity: (role & 7) as u8 })
    }

    #[inline]
    fn hash(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::rule::{Limit, Planted, Side};

    fn of(measure: Measure, graded: bool) -> Rule {
        let planted = Planted::Nothing;
        Rule { measure, within: 100, lateness: 1000, quiet: 100, graded, planted }
    }

    fn rule(count: usize, distinct: bool) -> Rule {
        of(if distinct { Measure::Distinct(count) } else { Measure::Count(count) }, false)
    }

    fn rules() -> impl Strategy<Value = Rule> {
        let limit = Limit { side: Side::Above, value: 5 };
        let measure = prop_oneof![
            Just(Measure::Count(2)),
            Just(Measure::Distinct(2)),
            Just(Measure::Sum(1, limit)),
            Just(Measure::Together(3)),
        ];
        (measure, any::<bool>()).prop_map(|(measure, graded)| of(measure, graded))
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = (
            prop_oneof![any::<i64>(), -2000i64..2000],
            prop_oneof![any::<u64>(), 0u64..2000],
            any::<u64>(),
            (any::<u8>(), any::<u8>(), 0u8..6),
            0u8..4,
        )
            .prop_map(|(time, sequence, value, (steps, nots, severity), marks)| {
                let role = Role { steps, nots, severity };
                Entry { time, sequence, value, role, marks }
            });
        proptest::collection::vec(entry, 0..20).prop_map(|mut entries| {
            entries.sort_unstable_by_key(|entry| (entry.time, entry.sequence));
            entries.dedup_by_key(|entry| (entry.time, entry.sequence));
            entries
        })
    }

    proptest! {
        /// What is written is read again, at the extremes of numbers too.
        #[test]
        fn reads_what_it_writes(mut entries in entries(), rule in rules(), overflowed: bool) {
            for entry in &mut entries {
                if rule.values() == Values::None {
                    entry.value = 0;
                }
                if !rule.has_roles() {
                    entry.role = Role::default();
                }
            }
            let overflowed = overflowed && !entries.is_empty();
            let held = Held { entries, overflowed };
            let bytes = write(&held, &rule);
            prop_assert_eq!(read(&bytes, &rule), Some(held));
        }

        /// Severities come and go without an activity being forgotten.
        #[test]
        fn a_state_outlives_severities(entries in entries(), graded: bool) {
            let bytes = write(&Held { entries: entries.clone(), overflowed: false }, &of(Measure::Count(2), graded));
            let held = read(&bytes, &of(Measure::Count(2), !graded)).unwrap();
            let places = |entries: &[Entry]| entries.iter().map(Entry::evidence).collect::<Vec<_>>();
            prop_assert_eq!(places(&held.entries), places(&entries));
            prop_assert!(held.entries.iter().all(|entry| entry.role == Role::default()));
        }

        /// State is the host's to lose: whatever comes back is read without a panic.
        #[test]
        fn garbage_is_no_state(mut bytes in proptest::collection::vec(any::<u8>(), 1..60), rule in rules(), close: bool) {
            if close {
                bytes.splice(0..1, [VERSION, flags(&rule)]);
            }
            let _ = read(&bytes, &rule);
            let _ = append(&bytes, &rule, &[Entry::default()]);
        }

        /// The short cut and the long way make the same bytes.
        #[test]
        fn appending_is_reading_and_writing(
            steps in proptest::collection::vec((0i64..400, 0u64..5), 1..30),
            cut in 0usize..30,
            distinct: bool,
        ) {
            let rule = rule(25, distinct);
            let (mut time, mut sequence) = (-3000, 7);
            let all: Vec<Entry> = steps.iter().map(|(later, further)| {
                time += later;
                sequence += further;
                Entry { time, sequence, value: if distinct { sequence } else { 0 }, ..Entry::default() }
            }).collect();
            let (old, new) = all.split_at(cut.min(all.len()));
            let mut held = Held::default();
            rule.advance(&mut held, old.iter().copied());
            let before = write(&held, &rule);
            let in_order = all.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
            let short = append(&before, &rule, new);
            prop_assert!(short.is_some() || new.is_empty() || !in_order || all.len() >= 25 || time - new[0].time >= 1100);
            if let Some(short) = short {
                prop_assert!(rule.advance(&mut held, new.iter().copied()).is_empty());
                prop_assert_eq!(short, write(&held, &rule));
            }
        }
    }

    /// Guards the figure that the size of the store is planned with.
    #[test]
    fn an_activity_takes_few_bytes() {
        for (distinct, most) in [(false, 5.1), (true, 13.1)] {
            let entries = (0..1000)
                .map(|n| Entry {
                    time: 1_790_000_000_000 + n * 9_000,
                    sequence: n as u64 * 37,
                    value: n as u64,
                    ..Entry::default()
                })
                .collect();
            let bytes = write(&Held { entries, overflowed: false }, &rule(2, distinct));
            let each = bytes.len() as f64 / 1000.0;
            assert!(each < most, "{each} bytes");
        }
    }

    #[test]
    fn the_form_is_fixed() {
        let entries = vec![
            Entry { time: 1_000, sequence: 5, ..Entry::default() },
            Entry { time: 1_200, sequence: 105, marks: 3, ..Entry::default() },
        ];
        let bytes = write(&Held { entries, overflowed: false }, &rule(2, false));
        assert_eq!(
            bytes,
            [1, 0, 2, 0xD0, 0x0F, 0xC8, 0x01, 105, 0, 10 << 2, 0xC8, 0x01, 0x80 | 8 << 2 | 3, 6]
        );
    }
}
