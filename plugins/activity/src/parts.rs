//! Parts the rows of policies by the values they count by.
//!
//! Many policies count by the same fields: what a row's values are is found out once for all of them.
//! It does not know what policies do with their parts.

use std::collections::HashMap;
use std::ops::Range;

use casbah_model::Batch;
use casbah_model::table::TextId;
use casbah_when::{Cell, Cells, Evaluation, Source, keys};

use crate::entry::Role;

/// A row that a policy means, and what it stands for there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) row: u32,
    pub(crate) role: Role,
    /// Its value, as in [`Entry`](crate::entry::Entry).
    pub(crate) value: u64,
}

/// Lists of fields that policies count by, each once.
#[derive(Debug, Default)]
pub(crate) struct Lists(pub(crate) Vec<Vec<Source>>);

impl Lists {
    /// The place of a list.
    pub(crate) fn place(&mut self, by: &[Source]) -> usize {
        match self.0.iter().position(|list| list == by) {
            Some(place) => place,
            None => {
                self.0.push(by.to_vec());
                self.0.len() - 1
            }
        }
    }
}

/// The rows of a batch by the values of each list of fields, as far as anybody asked.
pub(crate) struct Parting<'a> {
    batch: &'a Batch,
    lists: Vec<Values<'a>>,
    /// By number of a value: how many rows, and then where the next one goes. All 0 in between.
    slots: Vec<u32>,
    /// Numbers that have rows.
    touched: Vec<u32>,
    /// Room for the rows of one policy, with their numbers.
    numbered: Vec<(u32, Item)>,
}

/// The values of one list of fields, by number.
enum Values<'a> {
    /// One column of texts: the number is the text's.
    Texts(Cells<'a>, &'a [TextId]),
    /// Numbers are handed out by value.
    Made(Made<'a>),
}

struct Made<'a> {
    by: Vec<Cells<'a>>,
    /// By row: 0 when nobody asked yet, 1 when a value is missing, else the number and 2.
    rows: Vec<u32>,
    /// A number for every beginning of a list of values; those of whole lists are numbers of keys.
    known: HashMap<(u32, u32, Cell), u32>,
    next: u32,
    /// Keys by number, as far as anybody asked.
    keys: HashMap<u32, String>,
}

/// The longest text that is its own key.
const PLAIN: usize = 512;

impl<'a> Parting<'a> {
    pub(crate) fn new(lists: &Lists, evaluation: &Evaluation<'a>, batch: &'a Batch) -> Self {
        let lists = lists
            .0
            .iter()
            .map(|list| {
                let by: Vec<Cells<'a>> =
                    list.iter().map(|&source| evaluation.cells(source)).collect();
                match by.as_slice() {
                    [cells @ Cells::Text(ids)] => Values::Texts(*cells, ids),
                    _ => Values::Made(Made {
                        by,
                        rows: Vec::new(),
                        known: HashMap::new(),
                        next: 0,
                        keys: HashMap::new(),
                    }),
                }
            })
            .collect();
        Self { batch, lists, slots: Vec::new(), touched: Vec::new(), numbered: Vec::new() }
    }

    /// Parts rows, which come in the order of the log, adding them to `list`, and hands out where in
    /// it the rows of each part stand, with their key. Rows that lack one of the values are passed over.
    pub(crate) fn part(
        &mut self,
        by: usize,
        items: impl Iterator<Item = Item>,
        list: &mut Vec<Item>,
        mut each: impl FnMut(Range<usize>, String),
    ) {
        let Some(values) = self.lists.get_mut(by) else { return };
        self.numbered.clear();
        for item in items {
            if let Some(number) = values.number(self.batch, item.row as usize) {
                self.numbered.push((number, item));
            }
        }
        for &(number, _) in &self.numbered {
            let place = number as usize;
            if place >= self.slots.len() {
                self.slots.resize(place + 1, 0);
            }
            let Some(slot) = self.slots.get_mut(place) else { continue };
            if *slot == 0 {
                self.touched.push(number);
            }
            *slot += 1;
        }
        let start = list.len();
        let mut ends = start;
        for &number in &self.touched {
            let Some(slot) = self.slots.get_mut(number as usize) else { continue };
            let length = std::mem::replace(slot, ends as u32) as usize;
            ends += length;
        }
        list.resize(ends, Item { row: 0, role: Role::default(), value: 0 });
        for &(number, item) in &self.numbered {
            let Some(slot) = self.slots.get_mut(number as usize) else { continue };
            if let Some(place) = list.get_mut(*slot as usize) {
                *place = item;
            }
            *slot += 1;
        }
        // Every slot stands at the end of its part now, which is where the next one begins.
        let mut begin = start;
        for &number in &self.touched {
            let Some(slot) = self.slots.get_mut(number as usize) else { continue };
            let end = std::mem::take(slot) as usize;
            let row = list.get(begin).map_or(0, |item| item.row as usize);
            each(begin..end, values.key(self.batch, number, row));
            begin = end;
        }
        self.touched.clear();
    }
}

impl Values<'_> {
    #[inline]
    fn number(&mut self, batch: &Batch, row: usize) -> Option<u32> {
        match self {
            Self::Texts(_, ids) => ids.get(row).copied().filter(|&id| id != 0),
            Self::Made(made) => made.number(batch, row),
        }
    }

    /// The key of a row with that number; the same values have the same key in every batch.
    fn key(&mut self, batch: &Batch, number: u32, row: usize) -> String {
        match self {
            Self::Texts(cells, _) => {
                let text = batch.texts.get(number);
                // A short cut: the key of a plain text is the text.
                if text.len() <= PLAIN && !text.bytes().any(|byte| byte < b' ') {
                    return text.to_owned();
                }
                keys::key(batch, std::slice::from_ref(cells), row)
            }
            Self::Made(made) => {
                let by = &made.by;
                made.keys.entry(number).or_insert_with(|| keys::key(batch, by, row)).clone()
            }
        }
    }
}

impl Made<'_> {
    fn number(&mut self, batch: &Batch, row: usize) -> Option<u32> {
        if self.rows.is_empty() {
            self.rows = vec![0; batch.len()];
        }
        let known = self.rows.get(row).copied()?;
        if known == 0 {
            let number = self.find(batch, row);
            if let Some(slot) = self.rows.get_mut(row) {
                *slot = number.map_or(1, |number| number + 2);
            }
            return number;
        }
        known.checked_sub(2)
    }

    fn find(&mut self, batch: &Batch, row: usize) -> Option<u32> {
        let mut number = 0;
        for (place, cells) in self.by.iter().enumerate() {
            let cell = cells.cell(batch, row);
            if cell == Cell::Absent {
                return None;
            }
            let next = &mut self.next;
            number = *self.known.entry((place as u32, number, cell)).or_insert_with(|| {
                *next += 1;
                *next - 1
            });
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_model::BatchBuilder;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Rows stand together exactly when they have the same key, by one column or several, and the
        /// key is the one that every detector makes of them.
        #[test]
        fn parts_are_the_rows_of_a_key(
            rows in proptest::collection::vec(("[ab,\u{1f}]{0,2}|x{511,513}", "[ab\u{1f}]{0,2}", proptest::option::of(0i64..3)), 0..20),
            keep in any::<u32>(),
        ) {
            let mut builder = BatchBuilder::new();
            for (actor, app, amount) in &rows {
                builder.begin_row();
                builder.text("actor", actor);
                builder.text("app", app);
                if let Some(amount) = amount {
                    builder.integer("amount", *amount);
                }
            }
            let batch = builder.finish();
            let mut plan = casbah_when::Plan::default();
            let mut lists = Lists::default();
            let of = |plan: &mut casbah_when::Plan, names: &[&str]| -> Vec<Source> {
                names.iter().map(|name| plan.source(name).unwrap()).collect()
            };
            let wanted: Vec<_> = [&["actor"][..], &["actor", "app"], &["amount"], &["app", "amount"]]
                .into_iter()
                .map(|names| { let by = of(&mut plan, names); (lists.place(&by), by) })
                .collect();
            let evaluation = Evaluation::new(&plan, &batch);
            let mut parting = Parting::new(&lists, &evaluation, &batch);
            // Twice: what the first time leaves behind must not be seen.
            for _ in 0..2 {
                for (place, by) in &wanted {
                    let cells: Vec<_> = by.iter().map(|&source| evaluation.cells(source)).collect();
                    let kept = (0..rows.len()).filter(|row| keep >> row & 1 == 1);
                    let mut expected: BTreeMap<String, Vec<u32>> = BTreeMap::new();
                    for row in kept.clone() {
                        if cells.iter().all(|cells| cells.cell(&batch, row) != Cell::Absent) {
                            expected.entry(keys::key(&batch, &cells, row)).or_default().push(row as u32);
                        }
                    }
                    let items = kept.map(|row| Item { row: row as u32, role: Role::default(), value: 7 });
                    let (mut list, mut parts) = (Vec::new(), Vec::new());
                    parting.part(*place, items, &mut list, |range, key| parts.push((range, key)));
                    let number = parts.len();
                    let found: BTreeMap<String, Vec<u32>> = parts
                        .into_iter()
                        .map(|(range, key)| (key, list[range].iter().map(|item| item.row).collect()))
                        .collect();
                    prop_assert_eq!(found.len(), number, "a key comes twice");
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }
}
