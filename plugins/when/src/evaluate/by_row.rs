//! Asks rows one by one: what differs from row to row, and what is asked of few rows.

use casbah_model::Batch;
use casbah_model::table::{ABSENT_INTEGER, Nested, TextId, Values};
use casbah_model::time;

use super::{Among, Evaluation, FEW};
use crate::fields::{Cells, FIELDS, Field, texts_of};
use crate::plan::Source;
use crate::predicate::{Predicate, Relation, Test};
use crate::rows::Rows;

impl<'a> Evaluation<'a> {
    /// Asks rows one by one.
    pub(super) fn ask(&mut self, predicate: &Predicate, among: Among<'_>) -> Rows {
        let Predicate { source, test, negated, missing } = predicate;
        let (negated, missing) = (*negated, *missing);
        if test.is_of_row() {
            return self.ask_each(*source, test, among);
        }
        if matches!(self.plan.field(*source), Some(Field::Anything)) {
            return self.ask_anything(test, among);
        }
        let (batch, cells) = (self.batch, self.cells(*source));
        let buffer = &mut self.buffers.0;
        self.memo.start(if among.count() < FEW { 0 } else { batch.texts.len() });
        let memo = &mut self.memo;
        let mut passes = |id: TextId| memo.get(id, || test.text(batch.texts.get(id), buffer));
        match cells {
            Cells::Absent if missing => among.rows(),
            Cells::Absent => Rows::none(among.of()),
            Cells::Text(ids) => among.filter(|row| match ids.get(row) {
                None | Some(0) => missing,
                Some(&id) => passes(id) != negated,
            }),
            Cells::Integer(values) => among.filter(|row| match values.get(row) {
                None | Some(&ABSENT_INTEGER) => missing,
                Some(&value) => test.integer(value) != negated,
            }),
            Cells::Number(values) => among.filter(|row| match values.get(row) {
                Some(value) if !value.is_nan() => test.number(*value) != negated,
                _ => missing,
            }),
            Cells::Nested { .. } => among.filter(|row| {
                let mut absent = true;
                for id in cells.values(batch, row) {
                    absent = false;
                    if passes(id) {
                        return !negated;
                    }
                }
                if absent { missing } else { negated }
            }),
        }
    }

    /// Asks the among a test that looks at more than the value; where something is missing that
    /// it looks at, it does not hold.
    fn ask_each(&mut self, source: Source, test: &Test, among: Among<'_>) -> Rows {
        let (batch, cells) = (self.batch, self.cells(source));
        if let Test::Other(relation, other) = test {
            return self.compare(*relation, cells, self.cells(*other), among);
        }
        let times = Cells::column(batch, "time");
        let Cells::Integer(times) = times else { return Rows::none(among.of()) };
        let age = |row: usize, value: i64| {
            let time = times.get(row).filter(|&&time| time != ABSENT_INTEGER);
            time.is_some_and(|time| test.age(time.saturating_sub(value)))
        };
        match cells {
            Cells::Integer(values) => among.filter(|row| {
                let value = values.get(row).filter(|&&value| value != ABSENT_INTEGER);
                value.is_some_and(|&value| age(row, value))
            }),
            Cells::Nested { .. } => among.filter(|row| {
                let mut times = cells.values(batch, row);
                times
                    .any(|id| time::parse(batch.texts.get(id)).is_some_and(|value| age(row, value)))
            }),
            _ => Rows::none(among.of()),
        }
    }

    /// The among whose two fields stand in a relation; of several values, any.
    fn compare(
        &mut self,
        relation: Relation,
        cells: Cells<'a>,
        other: Cells<'a>,
        among: Among<'_>,
    ) -> Rows {
        let batch = self.batch;
        if let (Cells::Integer(values), Cells::Integer(others)) = (cells, other) {
            return among.filter(|row| match (values.get(row), others.get(row)) {
                (Some(value), Some(other)) => *value != ABSENT_INTEGER && value == other,
                _ => false,
            });
        }
        let (first, second) = &mut self.buffers;
        among.filter(|row| {
            texts_in(cells, batch, row).any(|text| {
                texts_in(other, batch, row).any(|other| {
                    let (text, other) = (batch.texts.get(text), batch.texts.get(other));
                    relation.holds(text, other, (first, second))
                })
            })
        })
    }

    /// The among of which any text passes the test.
    fn ask_anything(&mut self, test: &Test, among: Among<'_>) -> Rows {
        let batch = self.batch;
        let columns: Vec<&[TextId]> = batch
            .columns
            .iter()
            .filter_map(|column| match &column.values {
                Values::Text(ids) => Some(ids.as_slice()),
                _ => None,
            })
            .collect();
        let nested: Vec<(&Nested, &[TextId])> = batch
            .nested
            .iter()
            .flat_map(|table| table.columns.iter().map(move |column| (table, column)))
            // The names of fields are no texts of the activity.
            .filter(|(table, column)| table.name != FIELDS || column.name == "value")
            .filter_map(|(table, column)| Some((table, texts_of(table, &column.name)?)))
            .collect();
        self.memo.start(batch.texts.len());
        let (memo, buffer) = (&mut self.memo, &mut self.buffers.0);
        let mut holds =
            |id: TextId| id != 0 && memo.get(id, || test.text(batch.texts.get(id), buffer));
        among.filter(|row| {
            columns.iter().any(|ids| ids.get(row).is_some_and(|&id| holds(id)))
                || nested.iter().any(|(table, ids)| {
                    table.range(row).any(|inner| ids.get(inner).is_some_and(|&id| holds(id)))
                })
        })
    }
}

/// The texts of a row, of a column or a nested field.
fn texts_in<'a>(cells: Cells<'a>, batch: &'a Batch, row: usize) -> impl Iterator<Item = TextId> {
    let one = match cells {
        Cells::Text(ids) => ids.get(row).copied().filter(|&id| id != 0),
        _ => None,
    };
    one.into_iter().chain(cells.values(batch, row))
}

/// Answers by text, each found out when first needed: two bits a text of the batch.
#[derive(Default)]
pub(super) struct Memo {
    known: Vec<u64>,
    answer: Vec<u64>,
}

impl Memo {
    /// Forgets everything, and makes room for so many texts; with none, nothing is remembered.
    fn start(&mut self, texts: usize) {
        for words in [&mut self.known, &mut self.answer] {
            words.clear();
            words.resize(texts.div_ceil(64), 0);
        }
    }

    #[inline]
    fn get(&mut self, id: TextId, ask: impl FnOnce() -> bool) -> bool {
        let (word, bit) = (id as usize / 64, 1 << (id % 64));
        let (Some(known), Some(answer)) = (self.known.get_mut(word), self.answer.get_mut(word))
        else {
            return ask();
        };
        if *known & bit == 0 {
            *known |= bit;
            if ask() {
                *answer |= bit;
            }
        }
        *answer & bit != 0
    }
}
