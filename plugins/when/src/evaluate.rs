//! Finds the rows of a batch that policies mean.
//!
//! Work is done once where it can be. A policy is looked at only if what it cannot do without occurs
//! in the batch at all (`guard`). A column is turned round (`column`), so that predicates are asked of
//! its distinct texts, and predicates on equality are answered for all policies by looking each text up
//! once (`equality`). What several policies ask is answered for all of them, and what comes late in a
//! policy, such as patterns, is asked only of the rows that are left.
//!
//! It keeps nothing from batch to batch.

mod by_row;

use casbah_model::Batch;

use crate::column::{Column, Numbers};
use crate::evaluate::by_row::Memo;
use crate::fields::{Cells, Field, OBJECTS_TABLE};
use crate::gather::Gathered;
use crate::plan::{Node, NodeId, Plan, Source, When};
use crate::predicate::{Predicate, Test};
use crate::rows::Rows;
use crate::severities::{Graded, Severities};
use crate::substrings;

/// A batch under evaluation.
pub struct Evaluation<'a> {
    plan: &'a Plan,
    batch: &'a Batch,
    /// Values by field of the plan.
    cells: Vec<Cells<'a>>,
    /// What policies name among the app's own fields.
    gathered: Gathered,
    /// Columns of text turned round, by field of the plan.
    columns: Vec<Option<Box<Column>>>,
    /// How many rows have been asked one by one, by field of the plan.
    spent: Vec<usize>,
    /// By field of the plan: predicates on equality that a text satisfies, with its place in the
    /// column; sorted, once it was needed.
    hits: Vec<Option<Hits>>,
    /// The same for predicates that ask for parts of a text.
    found: Vec<Option<Hits>>,
    /// Answers for all rows, by node of the plan.
    answers: Vec<Option<Rows>>,
    memo: Memo,
    /// Room for lower-cased texts.
    buffers: (String, String),
    numbers: Numbers,
}

/// Predicates with places of texts in a column, sorted, each pair once.
#[derive(Default)]
struct Hits(Vec<(u32, u32)>);

impl Hits {
    /// The places of a predicate.
    fn of(&self, predicate: u32) -> &[(u32, u32)] {
        let start = self.0.partition_point(|(found, _)| *found < predicate);
        let rest = self.0.get(start..).unwrap_or_default();
        let count = rest.partition_point(|(found, _)| *found == predicate);
        rest.get(..count).unwrap_or_default()
    }
}

/// Below so many rows there is no point in remembering which texts have been asked.
const FEW: usize = 16;

/// The rows that are asked: some, or all of so many.
#[derive(Clone, Copy)]
enum Among<'r> {
    All(usize),
    Some(&'r Rows),
}

impl Among<'_> {
    /// Number of rows, asked or not.
    fn of(self) -> usize {
        match self {
            Self::All(len) => len,
            Self::Some(rows) => rows.of(),
        }
    }

    /// Number of rows asked.
    fn count(self) -> usize {
        match self {
            Self::All(len) => len,
            Self::Some(rows) => rows.count(),
        }
    }

    fn rows(self) -> Rows {
        match self {
            Self::All(len) => Rows::all(len),
            Self::Some(rows) => rows.clone(),
        }
    }

    /// Those of an answer for all rows.
    fn of_answer(self, answer: &Rows) -> Rows {
        let mut rows = answer.clone();
        if let Self::Some(among) = self {
            rows.and(among);
        }
        rows
    }

    fn filter(self, holds: impl FnMut(usize) -> bool) -> Rows {
        match self {
            Self::All(len) => Rows::all(len).filter(holds),
            Self::Some(rows) => rows.filter(holds),
        }
    }
}

impl<'a> Evaluation<'a> {
    /// Looks a batch's columns up.
    pub fn new(plan: &'a Plan, batch: &'a Batch) -> Self {
        let gathered = match plan.own.is_empty() {
            true => Gathered::default(),
            false => Gathered::new(batch, &plan.own_numbers, &plan.guarding),
        };
        let mut cells: Vec<Cells<'a>> =
            plan.sources.iter().map(|field| Cells::of(field, batch)).collect();
        for (source, key) in plan.own.iter().zip(&gathered.keys) {
            if let Some(cells) = cells.get_mut(source.0) {
                *cells = cells.keyed(*key);
            }
        }
        Self {
            plan,
            batch,
            cells,
            gathered,
            columns: plan.sources.iter().map(|_| None).collect(),
            spent: vec![0; plan.sources.len()],
            hits: plan.sources.iter().map(|_| None).collect(),
            found: plan.sources.iter().map(|_| None).collect(),
            answers: plan.nodes.iter().map(|_| None).collect(),
            memo: Memo::default(),
            buffers: (String::new(), String::new()),
            numbers: Numbers::default(),
        }
    }

    /// The values of a field of the plan.
    #[inline]
    pub fn cells(&self, source: Source) -> Cells<'a> {
        self.cells.get(source.0).copied().unwrap_or(Cells::Absent)
    }

    /// The rows that are meant.
    pub fn rows(&mut self, when: &When) -> Rows {
        let all = Among::All(self.batch.len());
        if let Some(Some(answer)) = self.answers.get(when.0.0 as usize) {
            return answer.clone();
        }
        let rows = match self.guarded(when.0) {
            None => self.among(when.0, all),
            Some(guarded) if guarded.is_empty() => return guarded,
            Some(guarded) => self.among(when.0, Among::Some(&guarded)),
        };
        // Beyond the guard it holds for none, so this is the answer for all rows.
        let shared = self.plan.uses.get(when.0.0 as usize).is_some_and(|&uses| uses > 1);
        if let (true, Some(slot @ None)) = (shared, self.answers.get_mut(when.0.0 as usize)) {
            *slot = Some(rows.clone());
        }
        rows
    }

    /// Looks up which activities each severity is meant for.
    pub fn graded(&mut self, severities: &Severities) -> Graded {
        let graded = severities.0.iter().map(|(severity, when)| (*severity, self.rows(when)));
        Graded(graded.collect())
    }

    /// The rows that have anything of what the node cannot do without; `None` where that can be any.
    fn guarded(&mut self, node: NodeId) -> Option<Rows> {
        let plan = self.plan;
        let len = self.batch.len();
        let mut guarded = Rows::none(len);
        for row in plan.guard(node)? {
            let Some(predicate) = plan.asked(*row) else { continue };
            if matches!(self.cells(predicate.source), Cells::Absent) {
                continue;
            }
            let of_object = matches!(plan.field(predicate.source), Some(Field::OfObject { .. }));
            if !matches!(predicate.test, Test::AnyOf(_)) {
                return None;
            }
            let Some(Node::Row(index)) = plan.nodes.get(row.0) else { continue };
            if self.hits(predicate.source, *index).is_empty() {
                continue;
            }
            if of_object {
                return None;
            }
            guarded.or(&self.among(*row, Among::All(len)));
        }
        Some(guarded)
    }

    /// The rows asked for which a node holds.
    fn among(&mut self, node: NodeId, among: Among<'_>) -> Rows {
        if let Some(Some(answer)) = self.answers.get(node.0 as usize) {
            return among.of_answer(answer);
        }
        let plan = self.plan;
        let Some(inner) = plan.nodes.get(node.0) else { return Rows::none(among.of()) };
        let shared = plan.uses.get(node.0 as usize).is_some_and(|&uses| uses > 1);
        let (answer, complete) = match inner {
            Node::Always { holds: true, .. } => return among.rows(),
            Node::Always { .. } => return Rows::none(among.of()),
            Node::Row(predicate) => match plan.predicates.get(*predicate) {
                Some(asked) => self.predicate(*predicate, asked, shared, among),
                None => return Rows::none(among.of()),
            },
            _ if shared && among.count() * 8 >= among.of() => {
                (self.join(inner, Among::All(among.of())), true)
            }
            _ => (self.join(inner, among), false),
        };
        if !complete {
            return answer;
        }
        let rows = among.of_answer(&answer);
        if let Some(slot) = self.answers.get_mut(node.0 as usize) {
            *slot = Some(answer);
        }
        rows
    }

    fn join(&mut self, node: &Node, among: Among<'_>) -> Rows {
        match node {
            Node::Always { .. } | Node::Row(_) => Rows::none(among.of()),
            Node::All(parts) if parts.iter().any(|part| self.lacks(*part)) => {
                Rows::none(among.of())
            }
            Node::All(parts) => {
                let mut left: Option<Rows> = None;
                for part in parts {
                    let rows = self.among(*part, left.as_ref().map_or(among, Among::Some));
                    let done = rows.is_empty();
                    left = Some(rows);
                    if done {
                        break;
                    }
                }
                left.unwrap_or_else(|| among.rows())
            }
            Node::Any(parts) => {
                let mut found = Rows::none(among.of());
                let mut left = among.rows();
                for part in parts {
                    let rows = self.among(*part, Among::Some(&left));
                    if rows.is_empty() {
                        continue;
                    }
                    left.and_not(&rows);
                    found.or(&rows);
                    if left.is_empty() {
                        break;
                    }
                }
                found
            }
            Node::Not(inner) => {
                let mut left = among.rows();
                left.and_not(&self.among(*inner, among));
                left
            }
            Node::Object(inner) => self.of_objects(*inner, among),
        }
    }

    /// Whether a row asks for a field that the batch does not have.
    fn lacks(&self, row: NodeId) -> bool {
        self.plan.asked(row).is_some_and(|predicate| {
            !predicate.negated
                && !predicate.missing
                && matches!(self.cells(predicate.source), Cells::Absent)
                && !matches!(self.plan.field(predicate.source), Some(Field::Anything))
        })
    }

    /// The rows asked for one of whose objects a node holds.
    fn of_objects(&mut self, node: NodeId, among: Among<'_>) -> Rows {
        let batch = self.batch;
        let Some(table) = batch.nested(OBJECTS_TABLE) else { return Rows::none(among.of()) };
        let objects = match among {
            Among::All(_) => self.among(node, Among::All(table.rows())),
            Among::Some(rows) => {
                let mut objects = Rows::none(table.rows());
                for row in rows.iter() {
                    table.range(row).for_each(|object| objects.insert(object));
                }
                self.among(node, Among::Some(&objects))
            }
        };
        if objects.is_empty() {
            return Rows::none(among.of());
        }
        among.filter(|row| table.range(row).any(|object| objects.holds(object)))
    }

    /// Answers a predicate, for the rows asked or for all; the flag says whether it was all.
    fn predicate(
        &mut self,
        index: u32,
        predicate: &Predicate,
        shared: bool,
        among: Among<'_>,
    ) -> (Rows, bool) {
        let (asked, all) = (among.count(), among.of());
        let by_row = predicate.test.is_of_row()
            || matches!(self.plan.field(predicate.source), Some(Field::Anything))
            || matches!(self.cells(predicate.source), Cells::Integer(_) | Cells::Number(_));
        if by_row {
            // Asking all rows pays when others will ask the same, or when nearly all are left anyway.
            if asked * 2 >= all || (shared && asked * 8 >= all) {
                return (self.ask(predicate, Among::All(all)), true);
            }
            return (self.ask(predicate, among), false);
        }
        if matches!(self.cells(predicate.source), Cells::Absent) {
            return (if predicate.missing { Rows::all(all) } else { Rows::none(all) }, true);
        }
        let Some(texts) = self.distinct(predicate.source, asked, all) else {
            return (self.ask(predicate, among), false);
        };
        let known = match &predicate.test {
            Test::AnyOf(_) | Test::Present => true,
            // Found out for all predicates at once, if as many have been asked one by one.
            test if substrings::fits(test) => {
                let spent = self.spent.get(predicate.source.0).copied().unwrap_or(0);
                spent >= texts && self.plan.substrings(predicate.source).is_some()
            }
            _ => false,
        };
        if known || texts <= FEW || texts <= 2 * asked || (shared && texts <= 8 * asked) {
            return (self.answer(index, predicate, all), true);
        }
        (self.ask(predicate, among), false)
    }

    /// How many distinct texts a field has, if it has been turned round, or is now: that is done when
    /// as many rows have been asked one by one as it takes to walk over all of them.
    fn distinct(&mut self, source: Source, asked: usize, all: usize) -> Option<usize> {
        let spent = self.spent.get_mut(source.0)?;
        *spent += asked;
        if let Some(Some(column)) = self.columns.get(source.0) {
            return Some(column.texts.len());
        }
        if *spent * 4 < all {
            return None;
        }
        self.column(source).map(|column| column.texts.len())
    }

    /// A column turned round; `None` where it is none of texts.
    fn column(&mut self, source: Source) -> Option<&mut Column> {
        let cells = self.cells(source);
        let slot = self.columns.get_mut(source.0)?;
        if slot.is_none() {
            let texts = self.batch.texts.len();
            let rows = self.batch.len();
            let column = match cells {
                Cells::Text(ids) => {
                    let entries = ids.iter().enumerate().filter(|(_, id)| **id != 0);
                    let entries = entries.map(|(row, id)| (row as u32, *id));
                    Column::new(entries, ids.len(), texts, &mut self.numbers)
                }
                Cells::Nested { table, values, key: None } => {
                    let entries = (0..rows).flat_map(|row| {
                        let values = values.get(table.range(row)).unwrap_or_default();
                        values.iter().filter(|id| **id != 0).map(move |id| (row as u32, *id))
                    });
                    Column::new(entries, rows, texts, &mut self.numbers)
                }
                Cells::Nested { .. } => {
                    let number = self.plan.own.iter().position(|own| *own == source)?;
                    let entries = self.gathered.entries(self.batch, number)?;
                    Column::new(entries.iter().copied(), rows, texts, &mut self.numbers)
                }
                _ => return None,
            };
            *slot = Some(Box::new(column));
        }
        slot.as_deref_mut()
    }

    /// The texts of a field that satisfy a predicate on equality, as places in its column.
    fn hits(&mut self, source: Source, index: u32) -> &[(u32, u32)] {
        if !matches!(self.hits.get(source.0), Some(Some(_))) {
            let plan = self.plan;
            let hits = plan.equality(source).map(|equality| {
                self.look_up(source, |text, buffer, found| {
                    equality.ask(&plan.predicates, text, buffer, found);
                })
            });
            if let Some(slot) = self.hits.get_mut(source.0) {
                *slot = Some(hits.unwrap_or_default());
            }
        }
        self.hits.get(source.0).and_then(Option::as_ref).map_or(&[], |hits| hits.of(index))
    }

    /// The texts of a field that satisfy a predicate on a part of them, as places in its column;
    /// `None` where there are too few such predicates to be answered together.
    fn found(&mut self, source: Source, index: u32) -> Option<&[(u32, u32)]> {
        let plan = self.plan;
        let substrings = plan.substrings(source)?;
        if !matches!(self.found.get(source.0), Some(Some(_))) {
            let found = self.look_up(source, |text, buffer, found| {
                substrings.ask(&plan.predicates, text, buffer, found);
            });
            *self.found.get_mut(source.0)? = Some(found);
        }
        self.found.get(source.0)?.as_ref().map(|hits| hits.of(index))
    }

    /// Asks each text of a field once for all predicates of a kind.
    fn look_up(
        &mut self,
        source: Source,
        ask: impl Fn(&str, &mut String, &mut dyn FnMut(u32)),
    ) -> Hits {
        let batch = self.batch;
        let mut hits = Vec::new();
        let mut buffer = std::mem::take(&mut self.buffers.0);
        if let Some(column) = self.column(source) {
            for (place, id) in column.texts.iter().enumerate() {
                ask(batch.texts.get(*id), &mut buffer, &mut |found| {
                    hits.push((found, place as u32));
                });
            }
        }
        self.buffers.0 = buffer;
        hits.sort_unstable();
        hits.dedup();
        Hits(hits)
    }

    /// Answers a predicate for all rows from the distinct texts of its field.
    fn answer(&mut self, index: u32, predicate: &Predicate, all: usize) -> Rows {
        let Predicate { source, test, negated, missing } = predicate;
        let batch = self.batch;
        let mut passed = Rows::none(all);
        let known: Option<Vec<(u32, u32)>> = match test {
            Test::Present => Some(Vec::new()),
            Test::AnyOf(_) => Some(self.hits(*source, index).to_vec()),
            test if substrings::fits(test) => self.found(*source, index).map(<[_]>::to_vec),
            _ => None,
        };
        match known {
            Some(known) => {
                if let Some(column) = self.column(*source) {
                    known.iter().for_each(|&(_, at)| column.take(at as usize, &mut passed));
                }
            }
            None => {
                let mut buffer = std::mem::take(&mut self.buffers.0);
                if let Some(column) = self.column(*source) {
                    for place in 0..column.texts.len() {
                        let id = column.texts.get(place).copied().unwrap_or(0);
                        if test.text(batch.texts.get(id), &mut buffer) {
                            column.take(place, &mut passed);
                        }
                    }
                }
                self.buffers.0 = buffer;
            }
        }
        let Some(column) = self.column(*source) else { return passed };
        if matches!(test, Test::Present) {
            passed = column.present.clone();
        }
        if *negated {
            let mut left = column.present.clone();
            left.and_not(&passed);
            passed = left;
        }
        if *missing {
            let mut absent = Rows::all(all);
            absent.and_not(&column.present);
            passed.or(&absent);
        }
        passed
    }
}
