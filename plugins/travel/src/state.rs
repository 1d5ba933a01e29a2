//! What is remembered of a traveller: the places of the last days, and the habits of places.
//!
//! Activities in one place and one short span of time are one stay, with its first and last
//! activity. Spans are so short that nobody can leave a stay and return within it from far enough
//! away to matter; so stays decide exactly what all pairs of activities would. It judges nothing.

use std::borrow::Cow;

use casbah_model::Evidence;
use casbah_plugin::state::{Reader, Writer};
use casbah_when::duration::DAY;

use crate::place::{Network, Place};

/// Version of the form, the first byte of every state.
pub(crate) const VERSION: u64 = 2;
/// How many stays are remembered; the oldest go first.
pub(crate) const MOST_STAYS: usize = 96;
/// How many habits are remembered; the one not followed for longest goes for a new one.
pub(crate) const MOST_HABITS: usize = 24;
/// The most days that can make a habit.
pub(crate) const MOST_DAYS: usize = 8;
/// For how many alerts a stay remembers that it was told of.
const MOST_TOLD: usize = 16;

/// A stay: activities in one place within one span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(crate) place: Place,
    /// Number of the span since 1970.
    pub(crate) span: i64,
    pub(crate) first: Evidence,
    pub(crate) last: Evidence,
    /// Alerts that have named an activity of it: window, and what it is about; see [`Place::about`].
    pub(crate) told: Vec<(i64, u64)>,
}

impl Stay {
    /// Notes that an alert has named an activity of it.
    pub(crate) fn tell(&mut self, alert: (i64, u64)) {
        if !self.told.contains(&alert) {
            self.told.insert(0, alert);
            self.told.truncate(MOST_TOLD);
        }
    }
}

/// A place that stays are in, in words: those of its newest activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    pub(crate) place: Place,
    /// City, owner of the network, address.
    pub(crate) words: Words<'a>,
}

/// City, owner of the network, address; where they were read from a state, its own bytes.
pub(crate) type Words<'a> = [Cow<'a, str>; 3];

/// A habit: a network or region that a person uses, with the earliest days of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Habit {
    key: u32,
    /// The earliest days, sorted, and how many of these there are: at least one.
    days: [i64; MOST_DAYS],
    count: usize,
    last: i64,
}

impl Habit {
    fn days(&self) -> &[i64] {
        self.days.get(..self.count).unwrap_or_default()
    }

    /// Takes a day in, where it is among the `enough` earliest.
    fn see(&mut self, day: i64, enough: usize) {
        self.last = self.last.max(day);
        let Err(at) = self.days().binary_search(&day) else { return };
        let length = (self.count + 1).min(enough.clamp(1, MOST_DAYS));
        let Some(later) = self.days.get_mut(at..length).filter(|later| !later.is_empty()) else {
            return;
        };
        later.rotate_right(1);
        if let Some(slot) = later.first_mut() {
            *slot = day;
        }
        self.count = length;
    }
}

/// What is remembered of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traveller<'a> {
    /// The earliest and the newest time, ms since 1970; nothing as long as there is none.
    pub(crate) times: Option<(i64, i64)>,
    /// Sorted by place.
    pub(crate) places: Vec<Known<'a>>,
    /// Sorted by span and place.
    pub(crate) stays: Vec<Stay>,
    /// Sorted by key.
    habits: Vec<Habit>,
}

impl<'a> Traveller<'a> {
    /// Takes the habits of a place in, on a day; `enough` is how many days make a habit.
    pub(crate) fn learn(&mut self, place: &Place, day: i64, enough: usize) {
        for key in place.habits() {
            match self.habits.binary_search_by_key(&key, |habit| habit.key) {
                Ok(at) => {
                    if let Some(habit) = self.habits.get_mut(at) {
                        habit.see(day, enough);
                    }
                }
                Err(at) => {
                    self.habits
                        .insert(at, Habit { key, days: [day; MOST_DAYS], count: 1, last: day });
                    if self.habits.len() > MOST_HABITS {
                        let oldest = self.habits.iter().enumerate();
                        let oldest = oldest.min_by_key(|(_, habit)| (habit.last, habit.key));
                        if let Some(at) = oldest.map(|(at, _)| at) {
                            self.habits.remove(at);
                        }
                    }
                }
            }
        }
    }

    /// Whether a place was a habit before a day: its network or its region was used on so many days.
    pub(crate) fn is_used_to(&self, place: &Place, before: i64, enough: usize) -> bool {
        place.habits().iter().any(|key| {
            let at = self.habits.binary_search_by_key(key, |habit| habit.key);
            let habit = at.ok().and_then(|at| self.habits.get(at));
            habit.is_some_and(|habit| {
                habit.days().iter().filter(|&&day| day < before).count() >= enough
            })
        })
    }

    /// Forgets stays that can make no pair any more: older than `cut`, all but the newest of each
    /// place, and that too when it is older than `oldest`. Then places without stays, and, beyond the
    /// bound, the oldest stays.
    pub(crate) fn forget(&mut self, cut: i64, oldest: i64) {
        if self.stays.len() <= MOST_STAYS && self.stays.iter().all(|stay| stay.last.time >= cut) {
            return;
        }
        let mut newest: Vec<(Place, i64)> = Vec::new();
        for stay in &self.stays {
            match newest.iter_mut().find(|(place, _)| *place == stay.place) {
                Some((_, last)) => *last = (*last).max(stay.last.time),
                None => newest.push((stay.place, stay.last.time)),
            }
        }
        self.stays.retain(|stay| {
            stay.last.time >= cut
                || (stay.last.time >= oldest && newest.contains(&(stay.place, stay.last.time)))
        });
        while self.stays.len() > MOST_STAYS {
            self.stays.remove(0);
        }
        self.places.retain(|known| self.stays.iter().any(|stay| stay.place == known.place));
    }

    /// As bytes; `length` is that of a span.
    pub(crate) fn write(&self, length: i64) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.number(VERSION);
        let Some((first, newest)) = self.times else { return writer.finish() };
        writer.signed(newest);
        writer.number(newest.abs_diff(first));
        writer.number(self.places.len() as u64);
        for Known { place, words } in &self.places {
            let [a, b] = place.country.map(u64::from);
            writer.number(a << 8 | b);
            writer.signed(place.latitude.into());
            writer.signed(place.longitude.into());
            writer.number(place.accuracy.into());
            writer.number(place.network.bits());
            let flags = [place.trusted, place.shared, place.new_to_all].map(u64::from);
            writer.number(flags.iter().rev().fold(0, |bits, flag| bits << 1 | flag));
            words.iter().for_each(|word| writer.text(word));
        }
        let near = newest.div_euclid(length.max(1));
        let mut sequence = 0_u64;
        writer.number(self.stays.len() as u64);
        for stay in &self.stays {
            let place = self.places.binary_search_by_key(&stay.place, |known| known.place);
            writer.number(place.unwrap_or(0) as u64);
            writer.signed(near.wrapping_sub(stay.span));
            let begin = stay.span.wrapping_mul(length);
            writer.number(short(stay.first.time.wrapping_sub(begin)));
            writer.number(short(stay.last.time.wrapping_sub(stay.first.time)));
            writer.signed(stay.first.sequence.wrapping_sub(sequence) as i64);
            writer.signed(stay.last.sequence.wrapping_sub(stay.first.sequence) as i64);
            sequence = stay.last.sequence;
            writer.number(stay.told.len() as u64);
            for &(start, about) in &stay.told {
                writer.signed(newest.wrapping_sub(start));
                writer.number(about);
            }
        }
        let today = newest.div_euclid(DAY);
        writer.number(self.habits.len() as u64);
        let mut before = 0;
        for habit in &self.habits {
            writer.number(u64::from(habit.key.wrapping_sub(before)));
            before = habit.key;
            writer.signed(today.wrapping_sub(habit.last));
            writer.number(habit.count as u64);
            let mut day = habit.last;
            for &next in habit.days().iter().rev() {
                writer.number(day.abs_diff(next));
                day = next;
            }
        }
        writer.finish()
    }

    /// Reads what [`write`](Self::write) wrote, or nothing at all; `None` for anything else.
    pub(crate) fn read(bytes: &'a [u8], length: i64) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut reader = Reader::new(bytes);
        if reader.number()? != VERSION {
            return None;
        }
        if reader.is_empty() {
            return Some(Self::default());
        }
        let newest = reader.signed()?;
        let first = newest.checked_sub(i64::try_from(reader.number()?).ok()?)?;
        let places = Self::read_places(&mut reader)?;
        let stays = Self::read_stays(&mut reader, &places, newest, length)?;
        let habits = Self::read_habits(&mut reader, newest.div_euclid(DAY))?;
        let whole = Self { times: Some((first, newest)), places, stays, habits };
        reader.is_empty().then_some(whole)
    }

    fn read_places(reader: &mut Reader<'a>) -> Option<Vec<Known<'a>>> {
        let length = reader.length(9).filter(|&length| length <= MOST_STAYS)?;
        let mut places: Vec<Known<'a>> = Vec::with_capacity(length);
        for _ in 0..length {
            let country = u16::try_from(reader.number()?).ok()?.to_be_bytes();
            let latitude = i16::try_from(reader.signed()?).ok()?;
            let longitude = i16::try_from(reader.signed()?).ok()?;
            let accuracy = u16::try_from(reader.number()?).ok()?;
            let network = Network::read(reader.number()?)?;
            let flags = reader.number().filter(|&flags| flags < 8)?;
            let [trusted, shared, new_to_all] = [1, 2, 4].map(|bit| flags & bit != 0);
            let place = Place {
                country,
                latitude,
                longitude,
                accuracy,
                network,
                trusted,
                shared,
                new_to_all,
            };
            let mut word = || reader.text().map(Cow::Borrowed);
            let words = [word()?, word()?, word()?];
            if places.last().is_some_and(|last| last.place >= place) {
                return None;
            }
            places.push(Known { place, words });
        }
        Some(places)
    }

    fn read_stays(
        reader: &mut Reader<'_>,
        places: &[Known<'_>],
        newest: i64,
        length: i64,
    ) -> Option<Vec<Stay>> {
        let count = reader.length(7).filter(|&count| count <= MOST_STAYS)?;
        let mut stays: Vec<Stay> = Vec::with_capacity(count);
        let near = newest.div_euclid(length.max(1));
        let mut sequence = 0_u64;
        for _ in 0..count {
            let place = places.get(usize::try_from(reader.number()?).ok()?)?.place;
            let span = near.checked_sub(reader.signed()?)?;
            let begin = span.checked_mul(length)?;
            let first = begin.checked_add(long(reader.number()?)?)?;
            let last = first.checked_add(long(reader.number()?)?)?;
            let in_span = |time: i64| time.checked_sub(begin).is_some_and(|since| since < length);
            let first_sequence = sequence.wrapping_add(reader.signed()? as u64);
            sequence = first_sequence.wrapping_add(reader.signed()? as u64);
            let told = (0..reader.length(2).filter(|&told| told <= MOST_TOLD)?)
                .map(|_| Some((newest.checked_sub(reader.signed()?)?, reader.number()?)))
                .collect::<Option<Vec<_>>>()?;
            let ordered = |before: &Stay| (before.span, before.place) < (span, place);
            if !in_span(last) || !stays.last().is_none_or(ordered) {
                return None;
            }
            stays.push(Stay {
                place,
                span,
                first: Evidence { time: first, sequence: first_sequence },
                last: Evidence { time: last, sequence },
                told,
            });
        }
        Some(stays)
    }

    fn read_habits(reader: &mut Reader<'_>, today: i64) -> Option<Vec<Habit>> {
        let count = reader.length(4).filter(|&count| count <= MOST_HABITS)?;
        let mut habits: Vec<Habit> = Vec::with_capacity(count);
        let mut key = 0_u32;
        for index in 0..count {
            let step = u32::try_from(reader.number()?).ok()?;
            if index > 0 && step == 0 {
                return None;
            }
            key = key.checked_add(step)?;
            let last = today.checked_sub(reader.signed()?)?;
            let count = reader.length(1).filter(|days| (1..=MOST_DAYS).contains(days))?;
            let (mut days, mut day) = ([last; MOST_DAYS], last);
            for (index, slot) in days.iter_mut().take(count).rev().enumerate() {
                let ago = i64::try_from(reader.number()?).ok()?;
                if index > 0 && ago == 0 {
                    return None;
                }
                day = day.checked_sub(ago)?;
                *slot = day;
            }
            habits.push(Habit { key, days, count, last });
        }
        Some(habits)
    }
}

/// A length of time, which is written in seconds where it is whole ones, as in most logs it is.
fn short(ms: i64) -> u64 {
    let ms = ms.unsigned_abs();
    if ms.is_multiple_of(1000) { ms / 1000 * 2 } else { ms * 2 + 1 }
}

fn long(number: u64) -> Option<i64> {
    let half = i64::try_from(number / 2).ok()?;
    if number.is_multiple_of(2) { half.checked_mul(1000) } else { Some(half) }
}
