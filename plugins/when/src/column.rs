//! A column of a batch, turned round: which texts occur, and in which rows each of them does.
//!
//! It knows no predicates: `evaluate` asks each text once.

use casbah_model::table::TextId;

use crate::rows::Rows;

/// The rows of a column by text.
#[derive(Debug)]
pub(crate) struct Column {
    /// The texts that occur, each once.
    pub(crate) texts: Vec<TextId>,
    /// Where in `rows` those of each text end.
    ends: Vec<u32>,
    /// Rows by text; a row that has several texts stands there several times.
    rows: Vec<u32>,
    /// The rows that have any text.
    pub(crate) present: Rows,
    /// The rows of a text as a set, once it was needed, where there are many.
    sets: Vec<Option<Rows>>,
}

/// Room to number texts in: a place a text of the batch, all 0 in between.
#[derive(Debug, Default)]
pub(crate) struct Numbers(Vec<u32>);

impl Column {
    /// Turns a column round. `entries` are rows and their texts, in the order of the rows; `len` is
    /// the number of rows, `texts` that of the batch's texts.
    pub(crate) fn new(
        entries: impl Iterator<Item = (u32, TextId)> + Clone,
        len: usize,
        texts: usize,
        numbers: &mut Numbers,
    ) -> Self {
        numbers.0.resize(texts, 0);
        let mut distinct: Vec<TextId> = Vec::new();
        let mut ends: Vec<u32> = Vec::new();
        let mut present = Rows::none(len);
        for (row, id) in entries.clone() {
            let Some(number) = numbers.0.get_mut(id as usize) else { continue };
            if *number == 0 {
                distinct.push(id);
                ends.push(0);
                *number = distinct.len() as u32;
            }
            if let Some(count) = ends.get_mut(*number as usize - 1) {
                *count += 1;
            }
            present.insert(row as usize);
        }
        // From numbers to starts; each then moves to its end as rows are put in.
        let mut sum = 0;
        for count in &mut ends {
            sum += std::mem::replace(count, sum);
        }
        let mut rows = vec![0; sum as usize];
        for (row, id) in entries {
            let number = numbers.0.get(id as usize).copied().unwrap_or(0);
            let Some(next) = (number as usize).checked_sub(1).and_then(|at| ends.get_mut(at))
            else {
                continue;
            };
            if let Some(slot) = rows.get_mut(*next as usize) {
                *slot = row;
            }
            *next += 1;
        }
        for id in &distinct {
            if let Some(number) = numbers.0.get_mut(*id as usize) {
                *number = 0;
            }
        }
        let sets = distinct.iter().map(|_| None).collect();
        Self { texts: distinct, ends, rows, present, sets }
    }

    /// Takes the rows of the text at a place into a set.
    pub(crate) fn take(&mut self, place: usize, into: &mut Rows) {
        let end = self.ends.get(place).copied().unwrap_or(0) as usize;
        let start = match place.checked_sub(1).and_then(|before| self.ends.get(before)) {
            Some(&start) => start as usize,
            None => 0,
        };
        let rows = self.rows.get(start..end).unwrap_or_default();
        // Joining sets costs a word for 64 rows of the batch, held or not.
        if rows.len() <= into.of() / 32 {
            rows.iter().for_each(|&row| into.insert(row as usize));
            return;
        }
        let Some(set) = self.sets.get_mut(place) else { return };
        let set = set.get_or_insert_with(|| {
            let mut set = Rows::none(into.of());
            rows.iter().for_each(|&row| set.insert(row as usize));
            set
        });
        into.or(set);
    }
}
