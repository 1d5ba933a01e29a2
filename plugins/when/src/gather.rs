//! Finds what policies name among an activity's own fields.
//!
//! There are many of those, and policies name few of them: so they are walked over once, for what the
//! guards of policies are about, and again only for what turns out to be asked of many activities.

use casbah_model::Batch;
use casbah_model::table::{TextId, Values};
use hashbrown::HashMap;

use crate::fields::{FIELDS, texts_of};

/// Rows and values of a field, in the order of rows.
pub(crate) type Entries = Vec<(u32, TextId)>;

/// The values of the fields that any policy names.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// By number of the field, where they have been gathered.
    entries: Vec<Option<Entries>>,
    /// By number of the field: the index of its name among the texts of the batch.
    pub(crate) keys: Vec<Option<TextId>>,
    /// How many times the fields have been walked over for one of them.
    walks: u32,
}

/// After so many walks for one field, all others are gathered at once.
const WALKS: u32 = 1;

/// What is known of a text as the name of a field; a byte, so that the most used ones stay at hand.
const UNKNOWN: u8 = 0;
const PASSED_OVER: u8 = 1;
const WANTED: u8 = 2;

impl Gathered {
    /// Walks over the nested fields of a batch. `numbers` has the number of each field by its name;
    /// those that are `wanted` are gathered.
    pub(crate) fn new(batch: &Batch, numbers: &HashMap<String, u32>, wanted: &[bool]) -> Self {
        let gather = |wanted: &bool| wanted.then(Vec::new);
        let mut gathered = Self {
            entries: wanted.iter().map(gather).collect(),
            keys: vec![None; wanted.len()],
            walks: 0,
        };
        gathered.walk(batch, |gathered, key| {
            let number = *numbers.get(batch.texts.get(key))?;
            *gathered.keys.get_mut(number as usize)? = Some(key);
            Some(number)
        });
        gathered
    }

    /// Walks over the fields once. `number` says which field a name is of; those that are to be
    /// gathered have an empty list.
    fn walk(&mut self, batch: &Batch, number: impl Fn(&mut Self, TextId) -> Option<u32>) {
        let Some(table) = batch.nested(FIELDS) else { return };
        let Some(Values::Text(keys)) = table.column("key") else { return };
        let values = texts_of(table, "value").unwrap_or_default();
        let mut known = vec![UNKNOWN; batch.texts.len()];
        // By text: where its entries are collected.
        let mut places = vec![0_u32; batch.texts.len()];
        let mut collected: Vec<(u32, Entries)> = Vec::new();
        let mut start = 0;
        for (row, &end) in table.ends.iter().enumerate() {
            let end = end as usize;
            for (inner, &key) in keys.get(start..end).unwrap_or_default().iter().enumerate() {
                let Some(name) = known.get_mut(key as usize) else { continue };
                if *name == PASSED_OVER {
                    continue;
                }
                let Some(place) = places.get_mut(key as usize) else { continue };
                if *name == UNKNOWN {
                    let wanted = number(self, key).filter(|&number| {
                        matches!(self.entries.get(number as usize), Some(Some(_)))
                    });
                    let next = collected.len() as u32;
                    let Some(number) = wanted else {
                        *name = PASSED_OVER;
                        continue;
                    };
                    *name = WANTED;
                    *place = next;
                    // Nearly every activity has such a field, or hardly any has: room that is not
                    // used costs nothing.
                    collected.push((number, Vec::with_capacity(table.ends.len() - row)));
                }
                if let Some((_, entries)) = collected.get_mut(*place as usize) {
                    entries.push((row as u32, values.get(start + inner).copied().unwrap_or(0)));
                }
            }
            start = end;
        }
        for (number, entries) in collected {
            if let Some(slot) = self.entries.get_mut(number as usize) {
                *slot = Some(entries);
            }
        }
    }

    /// The values of the field of a number.
    pub(crate) fn entries(&mut self, batch: &Batch, number: usize) -> Option<&Entries> {
        if matches!(self.entries.get(number), Some(None)) {
            self.walks += 1;
            // What has been gathered is put aside, so that it is passed over.
            let aside: Vec<Option<Entries>> = self.entries.iter_mut().map(Option::take).collect();
            let all = self.walks > WALKS;
            for (place, (slot, there)) in self.entries.iter_mut().zip(&aside).enumerate() {
                if there.is_none() && (all || place == number) {
                    *slot = Some(Vec::new());
                }
            }
            let of_key: HashMap<TextId, u32> = self
                .keys
                .iter()
                .enumerate()
                .filter_map(|(number, key)| Some(((*key)?, number as u32)))
                .collect();
            self.walk(batch, |_, key| of_key.get(&key).copied());
            for (slot, there) in self.entries.iter_mut().zip(aside) {
                if there.is_some() {
                    *slot = there;
                }
            }
        }
        self.entries.get(number)?.as_ref()
    }
}
