//! A batch as bytes, for keeping. Small before it is fast: what is written here is compressed next.
//!
//! The form is versioned by its first byte. It is not an interchange format; plugins never see it.

use crate::table::{Batch, Column, Nested, TableError, Texts, Values};

const VERSION: u8 = 1;

/// Appends a batch to `out`.
pub fn encode(batch: &Batch, out: &mut Vec<u8>) {
    out.push(VERSION);
    put(out, u64::from(batch.rows));
    put(out, batch.texts.len() as u64 - 1);
    let mut before = 0;
    for &end in batch.texts.ends().iter().skip(1) {
        put(out, u64::from(end - before));
        before = end;
    }
    encode_columns(&batch.columns, out);
    put(out, batch.nested.len() as u64);
    for nested in &batch.nested {
        put_text(out, &nested.name);
        let mut before = 0;
        for &end in &nested.ends {
            put(out, u64::from(end - before));
            before = end;
        }
        encode_columns(&nested.columns, out);
    }
    // The texts come last: what is kept beside a batch repeats them, and finds them closer there.
    out.extend_from_slice(batch.texts.bytes().as_bytes());
}

/// Reads a batch back.
///
/// # Errors
/// When the bytes are not what [`encode`] writes. The batch returned has passed [`Batch::check`].
pub fn decode(bytes: &[u8]) -> Result<Batch, TableError> {
    let mut input = Input { bytes };
    let version = input.byte()?;
    if version != VERSION {
        return Err(TableError::new(format!(
            "the batch is in form {version}, this program reads form {VERSION}"
        )));
    }
    let rows = u32::try_from(input.number()?).map_err(|_| damaged())?;
    let texts = input.count()?;
    let mut ends = Vec::with_capacity(texts + 1);
    ends.push(0_u32);
    let mut end = 0_u32;
    for _ in 0..texts {
        let length = u32::try_from(input.number()?).map_err(|_| damaged())?;
        end = end.checked_add(length).ok_or_else(damaged)?;
        ends.push(end);
    }
    let columns = decode_columns(&mut input, rows as usize)?;
    let mut nested = Vec::new();
    for _ in 0..input.count()? {
        let name = input.text()?;
        let mut ends = Vec::with_capacity(rows as usize);
        let mut end = 0_u32;
        for _ in 0..rows {
            let length = u32::try_from(input.number()?).map_err(|_| damaged())?;
            end = end.checked_add(length).ok_or_else(damaged)?;
            ends.push(end);
        }
        let columns = decode_columns(&mut input, end as usize)?;
        nested.push(Nested { name, ends, columns });
    }
    let blob = String::from_utf8(input.bytes.to_vec()).map_err(|_| damaged())?;
    let batch = Batch { rows, texts: Texts::from_parts(blob, ends), columns, nested };
    batch.check()?;
    Ok(batch)
}

fn damaged() -> TableError {
    TableError::new("the stored batch is damaged")
}

const TEXT: u8 = 0;
const TEXT_DELTA: u8 = 1;
const INTEGER: u8 = 2;
const INTEGER_DELTA: u8 = 3;
const NUMBER: u8 = 4;

fn encode_columns(columns: &[Column], out: &mut Vec<u8>) {
    put(out, columns.len() as u64);
    for column in columns {
        put_text(out, &column.name);
        match &column.values {
            Values::Text(ids) => {
                encode_integers(ids.iter().map(|&id| i64::from(id)), TEXT, TEXT_DELTA, out);
            }
            Values::Integer(values) => {
                encode_integers(values.iter().copied(), INTEGER, INTEGER_DELTA, out);
            }
            Values::Number(values) => {
                out.push(NUMBER);
                for value in values {
                    out.extend_from_slice(&value.to_le_bytes());
                }
            }
        }
    }
}

/// Plainly, or as differences to the row before, whichever takes fewer bytes. Texts that are new in
/// every row count up by a constant, and a constant compresses to nothing: ties go to differences.
fn encode_integers(
    values: impl Iterator<Item = i64> + Clone,
    plain: u8,
    delta: u8,
    out: &mut Vec<u8>,
) {
    let size = |value: i64| (64 - zigzag(value).leading_zeros()).div_ceil(7).max(1) as usize;
    let mut before = 0_i64;
    let (mut plain_size, mut delta_size) = (0, 0);
    for value in values.clone() {
        plain_size += size(value);
        delta_size += size(value.wrapping_sub(before));
        before = value;
    }
    if plain_size < delta_size {
        out.push(plain);
        values.for_each(|value| put(out, zigzag(value)));
    } else {
        out.push(delta);
        let mut before = 0_i64;
        for value in values {
            put(out, zigzag(value.wrapping_sub(before)));
            before = value;
        }
    }
}

fn decode_columns(input: &mut Input<'_>, rows: usize) -> Result<Vec<Column>, TableError> {
    let mut columns = Vec::new();
    for _ in 0..input.count()? {
        let name = input.text()?;
        let tag = input.byte()?;
        let values = match tag {
            TEXT | TEXT_DELTA => {
                let mut ids = Vec::with_capacity(rows.min(input.bytes.len()));
                input.integers(rows, tag == TEXT_DELTA, |value| {
                    ids.push(u32::try_from(value).map_err(|_| damaged())?);
                    Ok(())
                })?;
                Values::Text(ids)
            }
            INTEGER | INTEGER_DELTA => {
                let mut values = Vec::with_capacity(rows.min(input.bytes.len()));
                input.integers(rows, tag == INTEGER_DELTA, |value| {
                    values.push(value);
                    Ok(())
                })?;
                Values::Integer(values)
            }
            NUMBER => {
                let mut values = Vec::with_capacity(rows.min(input.bytes.len() / 8));
                for _ in 0..rows {
                    let bytes = input.take(8)?;
                    let bytes: [u8; 8] = bytes.try_into().map_err(|_| damaged())?;
                    values.push(f64::from_le_bytes(bytes));
                }
                Values::Number(values)
            }
            _ => return Err(damaged()),
        };
        columns.push(Column { name, values });
    }
    Ok(columns)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, TableError> {
        let (&byte, rest) = self.bytes.split_first().ok_or_else(damaged)?;
        self.bytes = rest;
        Ok(byte)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], TableError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(damaged)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    fn number(&mut self) -> Result<u64, TableError> {
        let mut value = 0_u64;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(damaged());
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                return Err(damaged());
            }
        }
    }

    /// A count of things that take at least a byte each, so that damage cannot ask for the moon.
    fn count(&mut self) -> Result<usize, TableError> {
        let count = usize::try_from(self.number()?).map_err(|_| damaged())?;
        if count > self.bytes.len() { Err(damaged()) } else { Ok(count) }
    }

    fn text(&mut self) -> Result<String, TableError> {
        let length = self.count()?;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| damaged())
    }

    fn integers(
        &mut self,
        rows: usize,
        delta: bool,
        mut each: impl FnMut(i64) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        let mut before = 0_i64;
        for _ in 0..rows {
            let number = self.number()?;
            let value = (number >> 1) as i64 ^ -((number & 1) as i64);
            let value = if delta { before.wrapping_add(value) } else { value };
            before = value;
            each(value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{ABSENT_INTEGER, BatchBuilder};
    use proptest::prelude::*;

    prop_compose! {
        fn batches()(rows in prop::collection::vec(
            (prop::option::of("[a-zé]{0,6}"), prop::option::of(any::<i64>()), prop::option::of(-1e9..1e9),
             prop::collection::vec(("[xyz]{1,2}", any::<i64>()), 0..3)), 0..30)) -> Batch {
            let mut builder = BatchBuilder::new();
            for (text, integer, number, nested) in rows {
                builder.begin_row();
                if let Some(text) = text { builder.text("kind", &text); }
                if let Some(integer) = integer { builder.integer("time", integer); }
                if let Some(number) = number { builder.number("latitude", number); }
                for (key, value) in nested {
                    builder.begin_nested("fields");
                    builder.nested_text("fields", "key", &key);
                    builder.nested_integer("fields", "number", value);
                    builder.nested_number("fields", "share", value as f64);
                }
            }
            builder.finish()
        }
    }

    /// The nested cells of a row, whatever their dictionary.
    fn fields(batch: &Batch, row: usize) -> Vec<String> {
        let Some(nested) = batch.nested("fields") else { return Vec::new() };
        nested
            .range(row)
            .map(|inner| {
                let cells = nested.columns.iter().map(|column| match &column.values {
                    Values::Text(ids) => batch.texts.get(ids[inner]).to_owned(),
                    Values::Integer(values) => values[inner].to_string(),
                    Values::Number(values) => values[inner].to_string(),
                });
                cells.collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    fn same(a: &Batch, b: &Batch) -> bool {
        // NaN is absent, and equal to itself here.
        format!("{a:?}") == format!("{b:?}")
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(batch in batches()) {
            prop_assert!(batch.check().is_ok());
            let mut bytes = Vec::new();
            encode(&batch, &mut bytes);
            prop_assert!(same(&decode(&bytes).unwrap(), &batch));
        }

        /// Damage is an error or another valid batch, never a panic or a huge allocation.
        #[test]
        fn damage_does_not_panic(batch in batches(), at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
            let mut bytes = Vec::new();
            encode(&batch, &mut bytes);
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            if let Ok(batch) = decode(&bytes) {
                prop_assert!(batch.check().is_ok());
            }
        }

        #[test]
        fn a_selection_holds_the_cells_of_its_rows(batch in batches(), picks in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            prop_assume!(!batch.is_empty());
            let picks: Vec<usize> = picks.iter().map(|pick| pick.index(batch.len())).collect();
            let selected = batch.select(&picks);
            prop_assert!(selected.check().is_ok());
            for (row, &from) in picks.iter().enumerate() {
                prop_assert_eq!(selected.text("kind", row), batch.text("kind", from));
                prop_assert_eq!(selected.integer("time", row), batch.integer("time", from));
                prop_assert_eq!(fields(&selected, row), fields(&batch, from));
            }
        }
    }

    #[test]
    fn absent_integers_survive() {
        let mut batch = Batch { rows: 2, ..Batch::default() };
        batch.set_column("time", Values::Integer(vec![ABSENT_INTEGER, i64::MAX]));
        let mut bytes = Vec::new();
        encode(&batch, &mut bytes);
        assert_eq!(decode(&bytes).unwrap(), batch);
    }
}
