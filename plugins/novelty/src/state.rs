//! What is remembered of a key: when it was active, and which values it used on which days.
//!
//! It judges nothing.

use casbah_plugin::state::{Reader, Writer};
use casbah_when::duration::DAY;

use crate::calendar::Calendar;

/// Version of the form, the first byte of every state.
pub(crate) const VERSION: u64 = 1;
/// How many values are remembered of a key; the one not used for longest goes for a new one.
pub(crate) const MOST_VALUES: usize = 64;
/// A value by which another stands for itself: texts of up to three bytes, such as countries.
const SHORT: u32 = 1 << 24;

/// Names a value within a state: a short text itself, and otherwise 32 bits of its fingerprint.
pub(crate) fn value_id(text: &str, fingerprint: u64) -> u32 {
    match *text.as_bytes() {
        [a, b] => u32::from_be_bytes([0, 0, a, b]),
        [a, b, c] => u32::from_be_bytes([0, a, b, c]),
        _ => (fingerprint >> 32) as u32 | SHORT,
    }
}

/// The text that a name stands for by itself.
pub(crate) fn value_text(id: u32) -> Option<String> {
    if id >= SHORT {
        return None;
    }
    let bytes: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect();
    String::from_utf8(bytes).ok()
}

/// What is remembered of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Habits {
    /// The newest time, ms since 1970, and the days of all activity; nothing as long as there is none.
    pub(crate) seen: Option<(i64, Calendar)>,
    /// Activities until they are enough to judge by; see [`Enough`].
    pub(crate) enough: Enough,
    /// Values with their days, by name.
    pub(crate) values: Vec<(u32, Calendar)>,
}

/// Counts activities by day until there are enough of them that late ones make no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Enough {
    /// Activities on days that are complete, at most as many as are needed.
    settled: u64,
    /// Days that may still grow, with their activities.
    open: Vec<(i64, u64)>,
}

impl Enough {
    /// Counts an activity; `open` is how many days may still grow, `newest` the newest of all.
    fn count(&mut self, day: i64, newest: i64, open: i64, needed: u64) {
        if self.settled >= needed {
            return;
        }
        match self.open.binary_search_by_key(&day, |&(known, _)| known) {
            Ok(place) => {
                if let Some((_, count)) = self.open.get_mut(place) {
                    *count = (*count + 1).min(needed);
                }
            }
            Err(place) => self.open.insert(place, (day, 1)),
        }
        let complete = self.open.partition_point(|&(day, _)| day <= newest - open);
        let done: u64 = self.open.drain(..complete).map(|(_, count)| count).sum();
        self.settled = (self.settled + done).min(needed);
        if self.settled >= needed {
            self.open.clear();
        }
    }

    /// At least how many there were before a day, up to what is needed.
    pub(crate) fn before(&self, day: i64) -> u64 {
        let open = self.open.iter().filter(|&&(known, _)| known < day).map(|&(_, count)| count);
        self.settled + open.sum::<u64>()
    }
}

impl Habits {
    /// Takes an activity in.
    pub(crate) fn learn(&mut self, time: i64, day: i64, open: i64, needed: u64) {
        let newest = match &mut self.seen {
            None => {
                self.seen = Some((time, Calendar::of(day)));
                day
            }
            Some((newest, calendar)) => {
                *newest = (*newest).max(time);
                if calendar.last() != day {
                    calendar.see(day);
                }
                calendar.last()
            }
        };
        self.enough.count(day, newest, open, needed);
    }

    /// Takes a value in.
    pub(crate) fn learn_value(&mut self, id: u32, day: i64) {
        match self.values.binary_search_by_key(&id, |&(known, _)| known) {
            Ok(place) => {
                if let Some((_, calendar)) = self.values.get_mut(place)
                    && calendar.last() != day
                {
                    calendar.see(day);
                }
            }
            Err(place) => {
                self.values.insert(place, (id, Calendar::of(day)));
                if self.values.len() > MOST_VALUES {
                    let oldest = self.values.iter().enumerate();
                    let oldest = oldest.min_by_key(|(_, (id, calendar))| (calendar.last(), *id));
                    if let Some(place) = oldest.map(|(place, _)| place) {
                        self.values.remove(place);
                    }
                }
            }
        }
    }

    /// The days of a value.
    pub(crate) fn value(&self, id: u32) -> Option<&Calendar> {
        let place = self.values.binary_search_by_key(&id, |&(known, _)| known).ok()?;
        self.values.get(place).map(|(_, calendar)| calendar)
    }

    /// As bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.number(VERSION);
        let Some((newest, calendar)) = &self.seen else { return writer.finish() };
        writer.signed(*newest);
        calendar.write(&mut writer, newest.div_euclid(DAY));
        writer.number(self.enough.settled);
        writer.number(self.enough.open.len() as u64);
        for &(day, count) in &self.enough.open {
            writer.signed(calendar.last().wrapping_sub(day));
            writer.number(count);
        }
        writer.number(self.values.len() as u64);
        let mut before = 0;
        for (id, days) in &self.values {
            writer.number(u64::from(id.wrapping_sub(before)));
            days.write(&mut writer, calendar.last());
            before = *id;
        }
        writer.finish()
    }

    /// Reads what [`write`](Self::write) wrote, or nothing at all; `None` for anything else.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
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
        let calendar = Calendar::read(&mut reader, newest.div_euclid(DAY))?;
        let last = calendar.last();
        let settled = reader.number().filter(|&settled| settled < 1 << 32)?;
        let mut enough = Enough { settled, open: Vec::new() };
        for _ in 0..reader.length(2)? {
            let day = last.checked_sub(reader.signed()?)?;
            if enough.open.last().is_some_and(|&(before, _)| before >= day) {
                return None;
            }
            enough.open.push((day, reader.number().filter(|&count| count < 1 << 32)?));
        }
        let length = reader.length(4).filter(|&length| length <= MOST_VALUES)?;
        let mut values = Vec::with_capacity(length);
        let mut id = 0_u32;
        for index in 0..length {
            let step = u32::try_from(reader.number()?).ok()?;
            if index > 0 && step == 0 {
                return None;
            }
            id = id.checked_add(step)?;
            values.push((id, Calendar::read(&mut reader, last)?));
        }
        reader.is_empty().then_some(Self { seen: Some((newest, calendar)), enough, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn habits(rows: &[(i64, u32)]) -> Habits {
        let mut habits = Habits::default();
        for &(time, value) in rows {
            let day = time.div_euclid(86_400_000);
            habits.learn(time, day, 4, 20);
            habits.learn_value(value, day);
        }
        habits
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(rows in prop::collection::vec((0..4_000_000_000_i64, 0..80_u32), 0..200)) {
            let habits = habits(&rows);
            let bytes = habits.write();
            prop_assert_eq!(Habits::read(&bytes), Some(habits));
        }

        /// Bytes of another making are refused, or read as something that can be written again.
        #[test]
        fn hostile_bytes_do_no_harm(
            rows in prop::collection::vec((0..4_000_000_000_i64, 0..80_u32), 0..20),
            bytes in prop::collection::vec(any::<u8>(), 0..60), place in any::<prop::sample::Index>(),
        ) {
            let mut changed = habits(&rows).write();
            let place = place.index(changed.len());
            changed.splice(place.., bytes.iter().copied());
            for bytes in [&bytes, &changed] {
                if let Some(habits) = Habits::read(bytes) {
                    let written = habits.write();
                    prop_assert_eq!(Habits::read(&written), Some(habits));
                }
            }
        }
    }

    #[test]
    fn short_texts_stand_for_themselves() {
        assert_eq!(value_text(value_id("DE", 7)).as_deref(), Some("DE"));
        assert_eq!(value_text(value_id("USA", 7)).as_deref(), Some("USA"));
        assert_eq!(value_text(value_id("Deutsche Telekom", u64::MAX)), None);
        assert_eq!(value_text(value_id("D", 7)), None);
    }

    /// The stated size of what is remembered of a common person: at most 200 bytes.
    #[test]
    fn a_common_person_takes_few_bytes() {
        let day = 86_400_000;
        let rows: Vec<_> = (20_000..20_090)
            .flat_map(|n| {
                (0..40).map(move |k| {
                    (n * day + k * 900_000, [17_477, 0x8001_0203, 9_999_999][(k % 3) as usize])
                })
            })
            .collect();
        let size = habits(&rows).write().len();
        assert!(size <= 64, "{size}");
    }
}
