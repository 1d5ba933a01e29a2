//! One activity of a batch, with typed access to its cells.

use casbah_model::table::ABSENT_INTEGER;
use casbah_model::{Batch, Evidence};

/// One activity of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    batch: &'a Batch,
    index: usize,
}

impl<'a> Row<'a> {
    /// The row of that index.
    pub fn new(batch: &'a Batch, index: usize) -> Self {
        Self { batch, index }
    }

    /// All rows of a batch.
    pub fn all(batch: &'a Batch) -> impl Iterator<Item = Self> {
        (0..batch.len()).map(move |index| Self { batch, index })
    }

    /// Its place in the batch.
    pub fn index(&self) -> usize {
        self.index
    }

    /// A text; empty when absent.
    pub fn text(&self, column: &str) -> &'a str {
        self.batch.text(column, self.index)
    }

    /// An integer, when present.
    pub fn integer(&self, column: &str) -> Option<i64> {
        self.batch.integer(column, self.index)
    }

    /// A flag, when known.
    pub fn flag(&self, column: &str) -> Option<bool> {
        self.integer(column).map(|value| value != 0)
    }

    /// A float, when present.
    pub fn number(&self, column: &str) -> Option<f64> {
        self.batch.numbers(column)?.get(self.index).copied().filter(|value| !value.is_nan())
    }

    /// When it happened, ms since 1970; 0 when the app did not say.
    pub fn time(&self) -> i64 {
        self.integer("time").unwrap_or(0)
    }

    /// The activity as evidence of a finding.
    pub fn evidence(&self) -> Evidence {
        let sequence = self
            .batch
            .integers("sequence")
            .and_then(|values| values.get(self.index))
            .copied()
            .filter(|&value| value != ABSENT_INTEGER)
            .unwrap_or(0);
        Evidence { time: self.time(), sequence: sequence as u64 }
    }

    /// The texts of one column of a nested table, e.g. `nested("objects", "name")`.
    pub fn nested(&self, table: &str, column: &str) -> impl Iterator<Item = &'a str> {
        let batch = self.batch;
        let index = self.index;
        batch.nested(table).into_iter().flat_map(move |nested| {
            let ids = match nested.column(column) {
                Some(casbah_model::Values::Text(ids)) => {
                    ids.get(nested.range(index)).unwrap_or(&[])
                }
                _ => &[],
            };
            ids.iter().map(|&id| batch.texts.get(id))
        })
    }

    /// The value of an app-specific field, e.g. `field("rowsCopied")`.
    pub fn field(&self, key: &str) -> Option<&'a str> {
        self.nested("fields", "key")
            .zip(self.nested("fields", "value"))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }
}
