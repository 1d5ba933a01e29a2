//! Numbers for the values of rows, within one batch: equal values get equal numbers, in the order in
//! which they are met.

use std::collections::HashMap;

use casbah_model::Batch;
use casbah_when::{Cell, Cells};

/// Hands out numbers for the values of some columns, taken together.
pub(crate) struct Numbering {
    levels: Vec<HashMap<(u32, Cell), u32>>,
    /// Numbers by text where there is one column of text, which is nearly always; 0 is none yet.
    texts: Vec<u32>,
    /// The first row of each number.
    firsts: Vec<u32>,
}

impl Numbering {
    /// For so many columns of a batch.
    pub(crate) fn new(batch: &Batch, columns: usize) -> Self {
        let texts = if columns == 1 { vec![0; batch.texts.len()] } else { Vec::new() };
        Self { levels: vec![HashMap::new(); columns], texts, firsts: Vec::new() }
    }

    /// The number of a row's values; `None` where one is missing.
    #[inline]
    pub(crate) fn number(&mut self, batch: &Batch, cells: &[Cells<'_>], row: usize) -> Option<u32> {
        if let [cells] = cells
            && let Cell::Text(id) = cells.cell(batch, row)
            && let Some(slot) = self.texts.get_mut(id as usize)
        {
            if *slot == 0 {
                self.firsts.push(row as u32);
                *slot = self.firsts.len() as u32;
            }
            return Some(*slot - 1);
        }
        self.walk(batch, cells, row)
    }

    fn walk(&mut self, batch: &Batch, cells: &[Cells<'_>], row: usize) -> Option<u32> {
        let last = self.levels.len();
        let mut number = 0;
        for (place, (cells, level)) in cells.iter().zip(&mut self.levels).enumerate() {
            let cell = cells.cell(batch, row);
            if cell == Cell::Absent {
                return None;
            }
            let next = if place + 1 == last { self.firsts.len() } else { level.len() } as u32;
            number = *level.entry((number, cell)).or_insert(next);
            if place + 1 == last && number as usize == self.firsts.len() {
                self.firsts.push(row as u32);
            }
        }
        if last == 0 && self.firsts.is_empty() {
            self.firsts.push(row as u32);
        }
        Some(number)
    }

    /// The first row of every number.
    pub(crate) fn firsts(&self) -> &[u32] {
        &self.firsts
    }
}
