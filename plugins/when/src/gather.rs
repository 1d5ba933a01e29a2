//! Finds what policies name among an activity's own fields, in one walk over all of them.

use casbah_model::Batch;
use casbah_model::table::{TextId, Values};
use hashbrown::HashMap;

use crate::fields::{FIELDS, texts_of};

/// The values of the fields that any policy names.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// By number of the field: rows and values, in the order of rows.
    pub(crate) entries: Vec<Vec<(u32, TextId)>>,
    /// By number of the field: the index of its name among the texts of the batch.
    pub(crate) keys: Vec<Option<TextId>>,
}

/// What is known of a text as the name of a field.
const UNKNOWN: u32 = 0;
const NOT_NAMED: u32 = 1;
const FIRST: u32 = 2;

/// Walks over the nested fields of a batch once. `numbers` has the number of each field by its name;
/// there are `count` of them.
pub(crate) fn gather(batch: &Batch, numbers: &HashMap<String, u32>, count: usize) -> Gathered {
    let mut gathered = Gathered { entries: vec![Vec::new(); count], keys: vec![None; count] };
    let Some(table) = batch.nested(FIELDS) else { return gathered };
    let Some(Values::Text(keys)) = table.column("key") else { return gathered };
    let values = texts_of(table, "value").unwrap_or_default();
    let mut known = vec![UNKNOWN; batch.texts.len()];
    let mut start = 0;
    for (row, &end) in table.ends.iter().enumerate() {
        let end = end as usize;
        for (inner, &key) in keys.get(start..end).unwrap_or_default().iter().enumerate() {
            let Some(name) = known.get_mut(key as usize) else { continue };
            if *name == NOT_NAMED {
                continue;
            }
            if *name == UNKNOWN {
                let number = numbers.get(batch.texts.get(key));
                *name = number.map_or(NOT_NAMED, |number| number + FIRST);
                match number.and_then(|&number| gathered.keys.get_mut(number as usize)) {
                    Some(slot) => *slot = Some(key),
                    None => continue,
                }
            }
            if let Some(entries) = gathered.entries.get_mut((*name - FIRST) as usize) {
                entries.push((row as u32, values.get(start + inner).copied().unwrap_or(0)));
            }
        }
        start = end;
    }
    gathered
}
