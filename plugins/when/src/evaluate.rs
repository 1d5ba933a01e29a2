//! Finds the rows of a batch that policies mean.
//!
//! Work is done once where it can be: a column of few distinct texts is split into a set of rows a
//! text, and predicates on it are asked of the texts, not of the rows; on any other column a
//! predicate asks each text once; what several policies ask is answered for all of them; and what
//! comes late in a policy is asked only of the rows that are left.
//!
//! It keeps nothing from batch to batch.

use casbah_model::Batch;
use casbah_model::table::{ABSENT_INTEGER, TextId};

use crate::fields::Cells;
use crate::plan::{Expression, Plan, Source, When};
use crate::predicate::Predicate;
use crate::rows::Rows;

/// A batch under evaluation.
pub struct Evaluation<'a> {
    plan: &'a Plan,
    batch: &'a Batch,
    /// Values by field of the plan.
    cells: Vec<Cells<'a>>,
    /// Rows by text, by field of the plan.
    split: Vec<Split>,
    /// Answers for all rows, by predicate of the plan.
    answers: Vec<Option<Rows>>,
    /// Room for lower-cased texts.
    buffer: String,
    /// Place in the split by text, while one is made; all 0 in between.
    places: Vec<u8>,
}

/// The rows of a column by their texts.
enum Split {
    /// Not tried yet.
    Unknown,
    /// Too many distinct texts.
    Wide,
    /// One set of rows a text, absent ones included.
    Narrow(Vec<(TextId, Rows)>),
}

/// A column with more distinct texts than this is not split.
const NARROW: usize = 64;

impl<'a> Evaluation<'a> {
    /// Looks a batch's columns up.
    pub fn new(plan: &'a Plan, batch: &'a Batch) -> Self {
        Self {
            plan,
            batch,
            cells: plan.sources.iter().map(|field| Cells::of(field, batch)).collect(),
            split: plan.sources.iter().map(|_| Split::Unknown).collect(),
            answers: plan.predicates.iter().map(|_| None).collect(),
            buffer: String::new(),
            places: Vec::new(),
        }
    }

    /// The values of a field of the plan.
    #[inline]
    pub fn cells(&self, source: Source) -> Cells<'a> {
        self.cells.get(source.0).copied().unwrap_or(Cells::Absent)
    }

    /// The rows that are meant.
    pub fn rows(&mut self, when: &When) -> Rows {
        self.among(&when.0, &Rows::all(self.batch.len()))
    }

    /// The candidates for which an expression holds.
    fn among(&mut self, expression: &Expression, candidates: &Rows) -> Rows {
        match expression {
            Expression::Row(predicate) => self.predicate(*predicate, candidates),
            Expression::All(parts) => {
                let mut left: Option<Rows> = None;
                for part in parts {
                    let rows = self.among(part, left.as_ref().unwrap_or(candidates));
                    let done = rows.is_empty();
                    left = Some(rows);
                    if done {
                        break;
                    }
                }
                left.unwrap_or_else(|| candidates.clone())
            }
            Expression::Any(parts) => {
                let mut found = Rows::none(self.batch.len());
                let mut left = candidates.clone();
                for part in parts {
                    let rows = self.among(part, &left);
                    left.and_not(&rows);
                    found.or(&rows);
                    if left.is_empty() {
                        break;
                    }
                }
                found
            }
            Expression::Not(inner) => {
                let mut left = candidates.clone();
                left.and_not(&self.among(inner, candidates));
                left
            }
        }
    }

    fn predicate(&mut self, index: usize, candidates: &Rows) -> Rows {
        if let Some(Some(answer)) = self.answers.get(index) {
            let mut rows = candidates.clone();
            rows.and(answer);
            return rows;
        }
        let plan = self.plan;
        let Some(predicate) = plan.predicates.get(index) else {
            return Rows::none(self.batch.len());
        };
        // Asking all rows pays when others will ask the same, or when nearly all are left anyway.
        let (asked, all) = (candidates.count(), self.batch.len());
        let shared = plan.uses.get(index).is_some_and(|&uses| uses > 1);
        let widely = asked * 2 >= all || (shared && asked * 8 >= all);
        if widely || matches!(self.split.get(predicate.source.0), Some(Split::Narrow(_))) {
            let answer = self.ask(predicate, &Rows::all(all), widely);
            let mut rows = candidates.clone();
            rows.and(&answer);
            if let Some(slot) = self.answers.get_mut(index) {
                *slot = Some(answer);
            }
            return rows;
        }
        self.ask(predicate, candidates, false)
    }

    /// Asks the candidates a predicate; `split` allows to split the column for it.
    fn ask(&mut self, predicate: &Predicate, candidates: &Rows, split: bool) -> Rows {
        let Predicate { test, negated, missing, .. } = predicate;
        let (negated, missing) = (*negated, *missing);
        match self.cells(predicate.source) {
            Cells::Absent if missing => candidates.clone(),
            Cells::Absent => Rows::none(self.batch.len()),
            Cells::Text(ids) => {
                if split {
                    self.split(predicate.source, ids);
                }
                if let Some(Split::Narrow(texts)) = self.split.get(predicate.source.0) {
                    let mut rows = Rows::none(self.batch.len());
                    for (id, with) in texts {
                        let holds = match id {
                            0 => missing,
                            _ => test.text(self.batch.texts.get(*id), &mut self.buffer) != negated,
                        };
                        if holds {
                            rows.or(with);
                        }
                    }
                    rows.and(candidates);
                    return rows;
                }
                let mut memo = Memo::new(self.batch.texts.len());
                candidates.filter(|row| {
                    let id = ids.get(row).copied().unwrap_or(0);
                    memo.get(id, || match id {
                        0 => missing,
                        _ => test.text(self.batch.texts.get(id), &mut self.buffer) != negated,
                    })
                })
            }
            Cells::Integer(values) => candidates.filter(|row| match values.get(row) {
                None | Some(&ABSENT_INTEGER) => missing,
                Some(&value) => test.integer(value) != negated,
            }),
            Cells::Number(values) => candidates.filter(|row| match values.get(row) {
                Some(value) if !value.is_nan() => test.number(*value) != negated,
                _ => missing,
            }),
            cells @ Cells::Nested { .. } => {
                let mut memo = Memo::new(self.batch.texts.len());
                candidates.filter(|row| {
                    let mut absent = true;
                    for id in cells.texts(self.batch, row) {
                        absent = false;
                        if memo.get(id, || test.text(self.batch.texts.get(id), &mut self.buffer)) {
                            return !negated;
                        }
                    }
                    if absent { missing } else { negated }
                })
            }
        }
    }

    /// Splits a column into a set of rows a text, if it has few texts. Tried once a batch.
    fn split(&mut self, source: Source, ids: &[TextId]) {
        let Some(split @ Split::Unknown) = self.split.get_mut(source.0) else { return };
        *split = Split::Wide;
        self.places.resize(self.batch.texts.len(), 0);
        let mut texts: Vec<(TextId, Rows)> = Vec::new();
        let mut narrow = true;
        for (row, &id) in ids.iter().enumerate() {
            let Some(place) = self.places.get_mut(id as usize) else { continue };
            if *place == 0 {
                if texts.len() == NARROW {
                    narrow = false;
                    break;
                }
                texts.push((id, Rows::none(self.batch.len())));
                *place = texts.len() as u8;
            }
            if let Some((_, rows)) = texts.get_mut(usize::from(*place) - 1) {
                rows.insert(row);
            }
        }
        for (id, _) in &texts {
            if let Some(place) = self.places.get_mut(*id as usize) {
                *place = 0;
            }
        }
        if narrow {
            *split = Split::Narrow(texts);
        }
    }
}

/// Answers by text, each found out when first needed: two bits a text of the batch.
struct Memo {
    known: Vec<u64>,
    answer: Vec<u64>,
}

impl Memo {
    fn new(texts: usize) -> Self {
        Self { known: vec![0; texts.div_ceil(64)], answer: vec![0; texts.div_ceil(64)] }
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
