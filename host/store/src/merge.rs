//! Makes one block of many small ones, when the tail of a log becomes a segment.
//!
//! Fetching a quiet app brings a few activities at a time. Each block has its own dictionary and
//! templates, so blocks of ten rows take three times the room of the same rows in blocks of a
//! thousand. The rows and their sequence numbers stay as they are.

use std::sync::Arc;

use casbah_model::table::ABSENT_INTEGER as ABSENT;
use casbah_model::{Batch, Column, Nested, Texts, Values};
use hashbrown::HashMap;

use crate::block::{Packed, pack};
use crate::log::TailBlock;
use crate::types::{NewBlock, Records};
use crate::wire::Damage;

/// Blocks of so many rows are left as they are: merging them gains little.
const LARGE_ROWS: u32 = 500;
/// Smaller ones are gathered until they have so many rows.
const ENOUGH_ROWS: u32 = 2_000;

/// The blocks with the small ones among them merged. What cannot be merged stays as it is.
pub(crate) fn merge(blocks: &[TailBlock], level: i32) -> Vec<TailBlock> {
    let mut out: Vec<TailBlock> = Vec::new();
    let mut group: Vec<&TailBlock> = Vec::new();
    for block in blocks {
        let rows: u32 = group.iter().map(|block| block.info.rows).sum();
        let alike = group.last().is_none_or(|last| (last.marks == 0) == (block.marks == 0));
        let fits = block.info.rows < LARGE_ROWS && rows < ENOUGH_ROWS;
        if !fits || !alike {
            close(&mut group, &mut out, level);
        }
        if block.info.rows < LARGE_ROWS {
            group.push(block);
        } else {
            out.push(block.clone());
        }
    }
    close(&mut group, &mut out, level);
    out
}

fn close(group: &mut Vec<&TailBlock>, out: &mut Vec<TailBlock>, level: i32) {
    match group.as_slice() {
        [] | [_] => out.extend(group.iter().copied().cloned()),
        blocks => match merge_group(blocks, level) {
            Some(block) => out.push(block),
            None => out.extend(blocks.iter().copied().cloned()),
        },
    }
    group.clear();
}

/// One block of several; `None` when they do not go together.
fn merge_group(blocks: &[&TailBlock], level: i32) -> Option<TailBlock> {
    let mut batches = Vec::with_capacity(blocks.len());
    let mut raw = Records::new();
    let mut marks = Vec::new();
    for block in blocks {
        let (batch, records) = unpack(block).ok()?;
        if !batches.is_empty() && raw.is_empty() != records.is_empty() {
            return None;
        }
        if !records.iter().all(|record| raw.push(record)) {
            return None;
        }
        marks.extend(block.mark_list());
        batches.push(batch);
    }
    let block = NewBlock {
        batch: Arc::new(concatenate(&batches)?),
        raw,
        marks,
        min_time: blocks.iter().map(|block| block.info.min_time).min()?,
        max_time: blocks.iter().map(|block| block.info.max_time).max()?,
    };
    let bytes = pack(&block, level).ok()?;
    let first = blocks.first()?.info.first_sequence;
    TailBlock::new(first, bytes).ok()
}

fn unpack(block: &TailBlock) -> Result<(Batch, Records), Damage> {
    let packed = Packed::read(&block.bytes)?;
    Ok((packed.batch()?, packed.raw()?))
}

/// One batch with the rows of all; `None` when a column is of different types in two of them.
fn concatenate(batches: &[Batch]) -> Option<Batch> {
    let mut texts = Joined::default();
    let mut columns: Vec<Column> = Vec::new();
    let mut nested: Vec<Nested> = Vec::new();
    let mut rows = 0;
    for batch in batches {
        let ids = texts.add(&batch.texts)?;
        append(&mut columns, &batch.columns, &ids, rows)?;
        for from in &batch.nested {
            let index = match nested.iter().position(|to| to.name == from.name) {
                Some(index) => index,
                None => {
                    let name = from.name.clone();
                    nested.push(Nested { name, ends: Vec::new(), columns: Vec::new() });
                    nested.len() - 1
                }
            };
            let to = nested.get_mut(index)?;
            let before = to.rows() as u32;
            to.ends.resize(rows, before);
            append(&mut to.columns, &from.columns, &ids, before as usize)?;
            for &end in &from.ends {
                to.ends.push(before.checked_add(end)?);
            }
        }
        rows += batch.len();
    }
    columns.iter_mut().for_each(|column| fill(&mut column.values, rows));
    for nested in &mut nested {
        let inner = nested.rows();
        nested.ends.resize(rows, inner as u32);
        nested.columns.iter_mut().for_each(|column| fill(&mut column.values, inner));
    }
    let batch = Batch { rows: u32::try_from(rows).ok()?, texts: texts.finish(), columns, nested };
    batch.check().is_ok().then_some(batch)
}

/// Appends columns below `rows` rows, with their texts under new numbers.
fn append(to: &mut Vec<Column>, from: &[Column], ids: &[u32], rows: usize) -> Option<()> {
    for column in from {
        let index = match to.iter().position(|other| other.name == column.name) {
            Some(index) => index,
            None => {
                let values = match column.values {
                    Values::Text(_) => Values::Text(Vec::new()),
                    Values::Integer(_) => Values::Integer(Vec::new()),
                    Values::Number(_) => Values::Number(Vec::new()),
                };
                to.push(Column { name: column.name.clone(), values });
                to.len() - 1
            }
        };
        let target = to.get_mut(index)?;
        fill(&mut target.values, rows);
        match (&mut target.values, &column.values) {
            (Values::Text(to), Values::Text(from)) => {
                to.extend(from.iter().map(|&id| ids.get(id as usize).copied().unwrap_or(0)));
            }
            (Values::Integer(to), Values::Integer(from)) => to.extend_from_slice(from),
            (Values::Number(to), Values::Number(from)) => to.extend_from_slice(from),
            _ => return None,
        }
    }
    Some(())
}

/// Makes a column as long as `rows`, absent where it was never set.
fn fill(values: &mut Values, rows: usize) {
    match values {
        Values::Text(values) => values.resize(rows, 0),
        Values::Integer(values) => values.resize(rows, ABSENT),
        Values::Number(values) => values.resize(rows, f64::NAN),
    }
}

/// The distinct texts of several batches.
struct Joined {
    bytes: String,
    ends: Vec<u32>,
    by_text: HashMap<Box<str>, u32>,
}

impl Default for Joined {
    fn default() -> Self {
        Self { bytes: String::new(), ends: vec![0], by_text: HashMap::new() }
    }
}

impl Joined {
    /// The new number of every text of a batch; `None` when there is no room for them.
    fn add(&mut self, texts: &Texts) -> Option<Vec<u32>> {
        let mut ids = Vec::with_capacity(texts.len());
        for (id, text) in texts.iter() {
            if id == 0 {
                ids.push(0);
                continue;
            }
            if let Some(&known) = self.by_text.get(text) {
                ids.push(known);
                continue;
            }
            let new = u32::try_from(self.ends.len()).ok()?;
            self.bytes.push_str(text);
            self.ends.push(u32::try_from(self.bytes.len()).ok()?);
            self.by_text.insert(text.into(), new);
            ids.push(new);
        }
        Some(ids)
    }

    fn finish(self) -> Texts {
        Texts::from_parts(self.bytes, self.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_model::BatchBuilder;

    use crate::sim::Random;

    fn random_batch(random: &mut Random, rows: u64) -> Batch {
        let mut builder = BatchBuilder::new();
        for _ in 0..rows {
            builder.begin_row();
            for column in ["a", "b", "c"] {
                if random.once_in(2) {
                    builder.text(column, &format!("text-{}", random.below(20)));
                }
            }
            if random.once_in(3) {
                builder.integer("n", random.next() as i64);
            }
            if random.once_in(9) {
                builder.number("x", random.below(100) as f64 / 7.0);
            }
            for table in ["objects", "fields"] {
                for _ in 0..random.below(3) {
                    builder.begin_nested(table);
                    builder.nested_text(table, "key", &format!("key-{}", random.below(9)));
                    if random.once_in(2) {
                        builder.nested_integer(table, "n", random.below(9) as i64);
                    }
                }
            }
        }
        builder.finish()
    }

    /// A row as a text: what a reader of the batch can tell of it.
    fn row(batch: &Batch, row: usize) -> String {
        let mut cells: Vec<String> = Vec::new();
        let mut tell = |prefix: &str, columns: &[Column], row: usize| {
            for column in columns {
                let value = match &column.values {
                    Values::Text(ids) if ids[row] != 0 => batch.texts.get(ids[row]).to_owned(),
                    Values::Integer(values) if values[row] != ABSENT => values[row].to_string(),
                    Values::Number(values) if !values[row].is_nan() => values[row].to_string(),
                    _ => continue,
                };
                cells.push(format!("{prefix}{}={value}", column.name));
            }
        };
        tell("", &batch.columns, row);
        for nested in &batch.nested {
            for inner in nested.range(row) {
                let at = inner - nested.range(row).start;
                tell(&format!("{}[{at}].", nested.name), &nested.columns, inner);
            }
        }
        cells.sort();
        cells.join(" ")
    }

    /// Protects what was stored: every row reads the same before and after.
    #[test]
    fn rows_stay_as_they_are() {
        let mut random = Random::new(8);
        for _ in 0..300 {
            let batches: Vec<Batch> = (0..1 + random.below(5))
                .map(|_| {
                    let rows = random.below(6);
                    random_batch(&mut random, rows)
                })
                .collect();
            let merged = concatenate(&batches).unwrap();
            let rows: Vec<String> = batches
                .iter()
                .flat_map(|batch| (0..batch.len()).map(|at| row(batch, at)).collect::<Vec<_>>())
                .collect();
            let after: Vec<String> = (0..merged.len()).map(|at| row(&merged, at)).collect();
            assert_eq!(rows, after);
        }
    }

    /// Columns of one name and two types do not go together, and are left apart.
    #[test]
    fn types_that_differ_are_left_apart() {
        let batch = |values| {
            let mut batch = Batch { rows: 1, ..Batch::default() };
            batch.set_column("a", values);
            batch
        };
        let (text, integer) = (batch(Values::Text(vec![0])), batch(Values::Integer(vec![1])));
        assert!(concatenate(&[text.clone(), text.clone()]).is_some());
        assert!(concatenate(&[text, integer]).is_none());
    }

    /// Small blocks become few, large ones are not touched, and the sequence has no gap.
    #[test]
    fn small_blocks_become_few() {
        let mut random = Random::new(2);
        let mut next = 1;
        let sizes = [3, 400, 499, 499, 499, 400, 5_000, 1, 2, 3, 500, 4];
        let blocks: Vec<TailBlock> = sizes
            .iter()
            .map(|&rows| {
                let batch = Arc::new(random_batch(&mut random, rows));
                let marks = (0..rows).map(|_| random.next()).collect();
                let raw = Records::new();
                let block = NewBlock { batch, raw, marks, min_time: next, max_time: next + 5 };
                let block = TailBlock::new(next as u64, pack(&block, 1).unwrap()).unwrap();
                next += rows as i64;
                block
            })
            .collect();
        let merged = merge(&blocks, 1);
        let rows: Vec<u32> = merged.iter().map(|block| block.info.rows).collect();
        assert_eq!(rows, [2_300, 5_000, 6, 500, 4]);
        let mut at = 1;
        for block in &merged {
            assert_eq!(block.info.first_sequence, at);
            at = block.info.end_sequence();
        }
        let marks = |blocks: &[TailBlock]| -> Vec<u64> {
            blocks.iter().flat_map(TailBlock::mark_list).collect()
        };
        assert_eq!(marks(&blocks), marks(&merged));
        assert_eq!((merged[0].info.min_time, merged[0].info.max_time), (1, 1_906));
    }
}
