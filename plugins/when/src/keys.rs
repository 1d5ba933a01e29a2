//! Parts the rows of a policy by the values it counts by, and names the state of each part.
//!
//! It does not count: that is a detector's own work.

use std::collections::HashMap;
use std::ops::Range;

use casbah_model::Batch;
use siphasher::sip::SipHasher13;
use siphasher::sip128::SipHasher13 as SipHasher128;

use crate::fields::{Cell, Cells};
use crate::rows::Rows;

/// Length of a key, bytes.
const LONGEST: usize = 512;
/// Starts what is not a value itself: the seam between two values, this character in a value, a
/// hash in the place of a value.
const MARK: char = '\u{1f}';

/// Parts rows by the values of the fields, adding the rows to `list`, and returns where in it the
/// rows of each part stand, in the order of the log. Rows that lack one of the values, or that
/// `keep` refuses, are passed over.
#[inline]
pub fn part(
    batch: &Batch,
    rows: &Rows,
    by: &[Cells<'_>],
    keep: impl Fn(usize) -> bool,
    list: &mut Vec<u32>,
) -> Vec<Range<usize>> {
    // One number a row says which part it belongs to: the text's index where there is one column
    // of text, which is nearly always, and otherwise numbers handed out by value.
    let mut numbers: Vec<HashMap<(u32, Cell), u32>> = vec![HashMap::new(); by.len()];
    let mut pairs: Vec<u64> = Vec::with_capacity(rows.count());
    'rows: for row in rows.iter().filter(|&row| keep(row)) {
        let mut number = 0;
        for (place, (cells, numbers)) in by.iter().zip(&mut numbers).enumerate() {
            number = match cells.cell(batch, row) {
                Cell::Absent => continue 'rows,
                Cell::Text(id) if place == 0 => id,
                cell => {
                    let next = numbers.len() as u32;
                    *numbers.entry((number, cell)).or_insert(next)
                }
            };
        }
        pairs.push(u64::from(number) << 32 | row as u64);
    }
    pairs.sort_unstable();
    let mut parts = Vec::new();
    for run in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
        let start = list.len();
        list.extend(run.iter().map(|&pair| pair as u32));
        parts.push(start..list.len());
    }
    parts
}

/// The key of a row: its values, joined so that different values never make the same key.
///
/// At most 512 bytes. It never begins with U+001F and a letter other than `s`: that is room for keys
/// of the detector's own, such as those of the whole organization.
pub fn key(batch: &Batch, by: &[Cells<'_>], row: usize) -> String {
    let mut key = String::new();
    for (place, cells) in by.iter().enumerate() {
        if place > 0 {
            key.push(MARK);
            key.push(',');
        }
        match cells.cell(batch, row) {
            Cell::Text(id) => push(&mut key, batch.texts.get(id)),
            cell => key.push_str(&cell.text(batch)),
        }
    }
    bounded(key)
}

/// A key of the detector's own, such as one of the whole organization: never that of a [`key`], and
/// at most 512 bytes long. `name` is of lower-case letters other than `s` at its beginning.
pub fn own(name: &str, of: &str) -> String {
    bounded(format!("{MARK}{name}{MARK}{of}"))
}

/// The key, or a hash of it where it is too long.
fn bounded(key: String) -> String {
    if key.len() <= LONGEST {
        return key;
    }
    let hash = SipHasher128::new_with_keys(0, 0).hash(key.as_bytes()).as_u128();
    format!("{MARK}#{hash:032x}")
}

/// Adds a value to a key, so that nothing in it can be taken for a seam.
fn push(key: &mut String, value: &str) {
    if !value.as_bytes().contains(&(MARK as u8)) {
        key.push_str(value);
        return;
    }
    for (index, piece) in value.split(MARK).enumerate() {
        if index > 0 {
            key.push(MARK);
            key.push('s');
        }
        key.push_str(piece);
    }
}

/// A number that stands for a value wherever and whenever it occurs; 0 where there is none.
pub fn fingerprint(batch: &Batch, cell: Cell) -> u64 {
    match cell {
        Cell::Absent => 0,
        Cell::Text(id) => fingerprint_of(batch.texts.get(id)),
        Cell::Integer(value) => SipHasher13::new_with_keys(0, 0).hash(&value.to_le_bytes()),
    }
}

/// The fingerprint of a text.
pub fn fingerprint_of(text: &str) -> u64 {
    SipHasher13::new_with_keys(0, 0).hash(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_model::BatchBuilder;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn batch(rows: &[(String, String)]) -> Batch {
        let mut builder = BatchBuilder::new();
        for (actor, app) in rows {
            builder.begin_row();
            builder.text("actor", actor);
            builder.text("app", app);
        }
        builder.finish()
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof!["[ab,s#\u{1f}]{0,4}", "x{250,300}", "y{600,601}"]
    }

    proptest! {
        /// Rows stand in one part, and have one key, exactly when their values are the same.
        #[test]
        fn parts_and_keys_tell_values_apart(rows in proptest::collection::vec((value(), value()), 1..12)) {
            let batch = batch(&rows);
            let cells = |name: &str| batch.text_ids(name).map_or(Cells::Absent, Cells::Text);
            let by = [cells("actor"), cells("app")];
            let mut list = Vec::new();
            let parts = part(&batch, &Rows::all(rows.len()), &by, |_| true, &mut list);
            let mut expected: BTreeMap<&(String, String), Vec<u32>> = BTreeMap::new();
            for (row, values) in rows.iter().enumerate() {
                if !values.0.is_empty() && !values.1.is_empty() {
                    expected.entry(values).or_default().push(row as u32);
                }
            }
            let got: BTreeSet<Vec<u32>> = parts.iter().map(|range| list[range.clone()].to_vec()).collect();
            prop_assert_eq!(got, expected.values().cloned().collect::<BTreeSet<_>>());
            let keys: BTreeSet<String> =
                parts.iter().map(|range| key(&batch, &by, list[range.start] as usize)).collect();
            prop_assert_eq!(keys.len(), parts.len());
            prop_assert!(keys.iter().all(|key| key.len() <= 512));
        }
    }

    /// State outlives programs: neither keys nor fingerprints may ever change.
    #[test]
    fn keys_and_fingerprints_are_fixed() {
        let batch = batch(&[("ana@example.com".into(), "x".repeat(600))]);
        let cells = |name: &str| batch.text_ids(name).map_or(Cells::Absent, Cells::Text);
        assert_eq!(key(&batch, &[cells("actor")], 0), "ana@example.com");
        assert_eq!(
            key(&batch, &[cells("actor"), cells("app")], 0),
            "\u{1f}#a736cb37c6a8f18fd9790e543e25f4a8"
        );
        assert_eq!(fingerprint(&batch, cells("actor").cell(&batch, 0)), 5_192_180_523_470_882_764);
        assert_eq!(fingerprint(&batch, Cell::Integer(7)), 7_364_705_619_221_056_123);
    }
}
