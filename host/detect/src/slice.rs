//! Cuts from a block of the log the rows and columns that a detector is to see.
//!
//! The cut has a dictionary of its own with only the texts it uses: ids that are long and distinct
//! in every row are most of a block's bytes, and few detectors read them.

use std::ops::Range;

use casbah_model::detector::DetectorDescription;
use casbah_model::{Batch, Column, Nested, TextId, Texts, Values};

/// The rows of `batch` that `rows` names, with the columns that the detector reads and with their
/// sequence numbers, of which `first_sequence` is that of row 0 of the batch.
pub(crate) fn slice(
    batch: &Batch,
    rows: Range<usize>,
    first_sequence: u64,
    reads: &DetectorDescription,
) -> Batch {
    let rows = rows.start.min(batch.len())..rows.end.min(batch.len());
    let wanted =
        |list: &[String], name: &str| list.iter().any(|wanted| wanted == name || wanted == "*");
    let mut cut = Cut::new(&batch.texts);
    let columns = batch
        .columns
        .iter()
        .filter(|column| column.name != "sequence" && wanted(&reads.columns, &column.name))
        .map(|column| cut.column(column, rows.clone()))
        .collect();
    let nested = batch
        .nested
        .iter()
        .filter(|table| wanted(&reads.nested, &table.name))
        .map(|table| cut.nested(table, rows.clone()))
        .collect();
    let mut out = Batch { rows: rows.len() as u32, texts: cut.finish(), columns, nested };
    let sequences = rows.map(|row| (first_sequence + row as u64) as i64).collect();
    out.set_column("sequence", Values::Integer(sequences));
    out
}

struct Cut<'a> {
    texts: &'a Texts,
    /// New index of every old text; 0 as long as it was not met.
    moved: Vec<TextId>,
    bytes: String,
    ends: Vec<u32>,
}

impl<'a> Cut<'a> {
    fn new(texts: &'a Texts) -> Self {
        Self { texts, moved: vec![0; texts.len()], bytes: String::new(), ends: vec![0] }
    }

    fn column(&mut self, column: &Column, rows: Range<usize>) -> Column {
        let values = match &column.values {
            Values::Text(ids) => Values::Text(
                ids.get(rows).unwrap_or_default().iter().map(|&id| self.text(id)).collect(),
            ),
            Values::Integer(values) => {
                Values::Integer(values.get(rows).unwrap_or_default().to_vec())
            }
            Values::Number(values) => Values::Number(values.get(rows).unwrap_or_default().to_vec()),
        };
        Column { name: column.name.clone(), values }
    }

    fn nested(&mut self, table: &Nested, rows: Range<usize>) -> Nested {
        let start = table.range(rows.start).start;
        let end = if rows.is_empty() { start } else { table.range(rows.end - 1).end };
        let ends = table.ends.get(rows).unwrap_or_default();
        Nested {
            name: table.name.clone(),
            ends: ends.iter().map(|end| end - start as u32).collect(),
            columns: table.columns.iter().map(|column| self.column(column, start..end)).collect(),
        }
    }

    #[inline]
    fn text(&mut self, id: TextId) -> TextId {
        if id == 0 {
            return 0;
        }
        let Some(moved) = self.moved.get_mut(id as usize) else { return 0 };
        if *moved == 0 {
            // Both fit: there are no more texts and bytes here than where they came from.
            *moved = self.ends.len() as u32;
            self.bytes.push_str(self.texts.get(id));
            self.ends.push(self.bytes.len() as u32);
        }
        *moved
    }

    fn finish(self) -> Texts {
        Texts::from_parts(self.bytes, self.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_model::BatchBuilder;
    use proptest::prelude::*;

    fn batch(rows: &[(u8, u8, Vec<u8>)]) -> Batch {
        let mut builder = BatchBuilder::new();
        for (actor, amount, fields) in rows {
            builder.begin_row();
            if *actor > 0 {
                builder.text("actor", &format!("actor-{actor}"));
            }
            builder.text("id", &format!("id-{actor}-{amount}"));
            builder.integer("amount", i64::from(*amount));
            for field in fields {
                builder.begin_nested("fields");
                builder.nested_text("fields", "key", &format!("key-{field}"));
            }
        }
        builder.finish()
    }

    proptest! {
        /// Every cell of the cut is the cell it was cut from; nothing else comes along.
        #[test]
        fn a_cut_holds_its_rows(
            rows in prop::collection::vec((0..4_u8, any::<u8>(), prop::collection::vec(0..3_u8, 0..3)), 1..20),
            a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(),
        ) {
            let batch = batch(&rows);
            let (a, b) = (a.index(rows.len() + 1), b.index(rows.len() + 1));
            let range = a.min(b)..a.max(b);
            let reads = DetectorDescription {
                columns: vec!["actor".into(), "amount".into()],
                nested: vec!["*".into()],
                ..Default::default()
            };
            let cut = slice(&batch, range.clone(), 100, &reads);
            prop_assert!(cut.check().is_ok());
            prop_assert_eq!(cut.len(), range.len());
            prop_assert!(cut.column("id").is_none());
            prop_assert!(!cut.texts.bytes().contains("id-"));
            for (row, from) in range.enumerate() {
                prop_assert_eq!(cut.text("actor", row), batch.text("actor", from));
                prop_assert_eq!(cut.integer("amount", row), batch.integer("amount", from));
                prop_assert_eq!(cut.integer("sequence", row), Some(100 + from as i64));
                let keys = |batch: &Batch, row: usize| -> Vec<String> {
                    let Some(table) = batch.nested("fields") else { return vec![] };
                    table.range(row).map(|inner| match table.column("key") {
                        Some(Values::Text(ids)) => batch.texts.get(ids[inner]).to_owned(),
                        _ => String::new(),
                    }).collect()
                };
                prop_assert_eq!(keys(&cut, row), keys(&batch, from));
            }
        }
    }
}
