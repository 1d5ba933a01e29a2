//! Finds the rows of a batch that policies mean.
//!
//! Work is done once where it can be: a column of few distinct texts is split into a set of rows a
//! text, and predicates on it are asked of the texts, not of the rows; on any other column a
//! predicate asks each text once; what several policies ask is answered for all of them; and what
//! comes late in a policy is asked only of the rows that are left.
//!
//! It keeps nothing from batch to batch.

use casbah_model::Batch;
use casbah_model::table::{ABSENT_INTEGER, Nested, TextId, Values};
use casbah_model::time;

use crate::fields::{Cells, FIELDS, Field, OBJECTS_TABLE, texts_of};
use crate::plan::{Node, NodeId, Plan, Source, When};
use crate::predicate::{Predicate, Relation, Test};
use crate::rows::Rows;
use crate::severities::{Graded, Severities};

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
    /// Answers for all rows, by node of the plan.
    joined: Vec<Option<Rows>>,
    /// Room for lower-cased texts.
    buffers: (String, String),
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
            joined: plan.nodes.iter().map(|_| None).collect(),
            buffers: (String::new(), String::new()),
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
        self.among(when.0, &Rows::all(self.batch.len()))
    }

    /// Looks up which activities each severity is meant for.
    pub fn graded(&mut self, severities: &Severities) -> Graded {
        let graded = severities.0.iter().map(|(severity, when)| (*severity, self.rows(when)));
        Graded(graded.collect())
    }

    /// The candidates for which a node holds.
    fn among(&mut self, node: NodeId, candidates: &Rows) -> Rows {
        if let Some(Some(answer)) = self.joined.get(node.0 as usize) {
            let mut rows = candidates.clone();
            rows.and(answer);
            return rows;
        }
        let plan = self.plan;
        let Some(inner) = plan.nodes.get(node.0) else { return Rows::none(candidates.of()) };
        let shared = plan.uses.get(node.0 as usize).is_some_and(|&uses| uses > 1);
        if shared && !matches!(inner, Node::Row(_)) && candidates.count() * 8 >= candidates.of() {
            let answer = self.join(inner, &Rows::all(candidates.of()));
            let mut rows = candidates.clone();
            rows.and(&answer);
            if let Some(slot) = self.joined.get_mut(node.0 as usize) {
                *slot = Some(answer);
            }
            return rows;
        }
        self.join(inner, candidates)
    }

    fn join(&mut self, node: &Node, candidates: &Rows) -> Rows {
        match node {
            Node::Always { holds: true, .. } => candidates.clone(),
            Node::Always { .. } => Rows::none(candidates.of()),
            Node::Row(predicate) => self.predicate(*predicate, candidates),
            Node::All(parts) => {
                let mut left: Option<Rows> = None;
                for part in parts {
                    let rows = self.among(*part, left.as_ref().unwrap_or(candidates));
                    let done = rows.is_empty();
                    left = Some(rows);
                    if done {
                        break;
                    }
                }
                left.unwrap_or_else(|| candidates.clone())
            }
            Node::Any(parts) => {
                let mut found = Rows::none(candidates.of());
                let mut left = candidates.clone();
                for part in parts {
                    let rows = self.among(*part, &left);
                    left.and_not(&rows);
                    found.or(&rows);
                    if left.is_empty() {
                        break;
                    }
                }
                found
            }
            Node::Not(inner) => {
                let mut left = candidates.clone();
                left.and_not(&self.among(*inner, candidates));
                left
            }
            Node::Object(inner) => self.of_objects(*inner, candidates),
        }
    }

    /// The candidates for one of whose objects a node holds.
    fn of_objects(&mut self, node: NodeId, candidates: &Rows) -> Rows {
        let batch = self.batch;
        let Some(table) = batch.nested(OBJECTS_TABLE) else { return Rows::none(candidates.of()) };
        let mut objects = Rows::none(table.rows());
        for row in candidates.iter() {
            table.range(row).for_each(|object| objects.insert(object));
        }
        let objects = self.among(node, &objects);
        if objects.is_empty() {
            return Rows::none(candidates.of());
        }
        candidates.filter(|row| table.range(row).any(|object| objects.holds(object)))
    }

    fn predicate(&mut self, index: u32, candidates: &Rows) -> Rows {
        if let Some(Some(answer)) = self.answers.get(index as usize) {
            let mut rows = candidates.clone();
            rows.and(answer);
            return rows;
        }
        let plan = self.plan;
        let Some(predicate) = plan.predicates.get(index) else {
            return Rows::none(candidates.of());
        };
        // Asking all rows pays when others will ask the same, or when nearly all are left anyway.
        let (asked, all) = (candidates.count(), candidates.of());
        let shared = plan.uses.get(index as usize).is_some_and(|&uses| uses > 1);
        let widely = asked * 2 >= all || (shared && asked * 8 >= all);
        if widely || matches!(self.split.get(predicate.source.0), Some(Split::Narrow(_))) {
            let answer = self.ask(predicate, &Rows::all(all), widely);
            let mut rows = candidates.clone();
            rows.and(&answer);
            if let Some(slot) = self.answers.get_mut(index as usize) {
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
        if test.is_of_row() {
            return self.ask_each(predicate.source, test, candidates);
        }
        if matches!(self.plan.field(predicate.source), Some(Field::Anything)) {
            return self.ask_anything(test, candidates);
        }
        match self.cells(predicate.source) {
            Cells::Absent if missing => candidates.clone(),
            Cells::Absent => Rows::none(candidates.of()),
            Cells::Text(ids) => {
                if split {
                    self.split(predicate.source, ids);
                }
                if let Some(Split::Narrow(texts)) = self.split.get(predicate.source.0) {
                    let mut rows = Rows::none(candidates.of());
                    for (id, with) in texts {
                        let holds = match id {
                            0 => missing,
                            _ => {
                                test.text(self.batch.texts.get(*id), &mut self.buffers.0) != negated
                            }
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
                        _ => test.text(self.batch.texts.get(id), &mut self.buffers.0) != negated,
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
                    for id in cells.values(self.batch, row) {
                        absent = false;
                        if memo.get(id, || test.text(self.batch.texts.get(id), &mut self.buffers.0))
                        {
                            return !negated;
                        }
                    }
                    if absent { missing } else { negated }
                })
            }
        }
    }

    /// Asks the candidates a test that looks at more than the value; where something is missing that
    /// it looks at, it does not hold.
    fn ask_each(&mut self, source: Source, test: &Test, candidates: &Rows) -> Rows {
        let (batch, cells) = (self.batch, self.cells(source));
        if let Test::Other(relation, other) = test {
            return self.compare(*relation, cells, self.cells(*other), candidates);
        }
        let times = Cells::column(batch, "time");
        let Cells::Integer(times) = times else { return Rows::none(candidates.of()) };
        let age = |row: usize, value: i64| {
            let time = times.get(row).filter(|&&time| time != ABSENT_INTEGER);
            time.is_some_and(|time| test.age(time.saturating_sub(value)))
        };
        match cells {
            Cells::Integer(values) => candidates.filter(|row| {
                let value = values.get(row).filter(|&&value| value != ABSENT_INTEGER);
                value.is_some_and(|&value| age(row, value))
            }),
            Cells::Nested { .. } => candidates.filter(|row| {
                let mut times = cells.values(batch, row);
                times
                    .any(|id| time::parse(batch.texts.get(id)).is_some_and(|value| age(row, value)))
            }),
            _ => Rows::none(candidates.of()),
        }
    }

    /// The candidates whose two fields stand in a relation; of several values, any.
    fn compare(
        &mut self,
        relation: Relation,
        cells: Cells<'a>,
        other: Cells<'a>,
        candidates: &Rows,
    ) -> Rows {
        let batch = self.batch;
        if let (Cells::Integer(values), Cells::Integer(others)) = (cells, other) {
            return candidates.filter(|row| match (values.get(row), others.get(row)) {
                (Some(value), Some(other)) => *value != ABSENT_INTEGER && value == other,
                _ => false,
            });
        }
        let (first, second) = &mut self.buffers;
        candidates.filter(|row| {
            texts_in(cells, batch, row).any(|text| {
                texts_in(other, batch, row).any(|other| {
                    let (text, other) = (batch.texts.get(text), batch.texts.get(other));
                    relation.holds(text, other, (first, second))
                })
            })
        })
    }

    /// The candidates of which any text passes the test.
    fn ask_anything(&mut self, test: &Test, candidates: &Rows) -> Rows {
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
        let mut memo = Memo::new(batch.texts.len());
        let buffer = &mut self.buffers.0;
        let mut holds =
            |id: TextId| id != 0 && memo.get(id, || test.text(batch.texts.get(id), buffer));
        candidates.filter(|row| {
            columns.iter().any(|ids| ids.get(row).is_some_and(|&id| holds(id)))
                || nested.iter().any(|(table, ids)| {
                    table.range(row).any(|inner| ids.get(inner).is_some_and(|&id| holds(id)))
                })
        })
    }

    /// Splits a column into a set of rows a text, if it has few texts. Tried once a batch.
    fn split(&mut self, source: Source, ids: &[TextId]) {
        let rows = ids.len();
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
                texts.push((id, Rows::none(rows)));
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

/// The texts of a row, of a column or a nested field.
fn texts_in<'a>(cells: Cells<'a>, batch: &'a Batch, row: usize) -> impl Iterator<Item = TextId> {
    let one = match cells {
        Cells::Text(ids) => ids.get(row).copied().filter(|&id| id != 0),
        _ => None,
    };
    one.into_iter().chain(cells.values(batch, row))
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
