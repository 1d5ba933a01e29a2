//! Folds the raw records of a block into what the batch beside them does not say already.
//!
//! Records of an app are alike: a few *templates* (a record with its values taken out) fit all of
//! them, and most values stand in the batch too, in a column that is the same for every record of a
//! template. So a record becomes the number of its template, and a template's value becomes "as in
//! that column" with a list of exceptions. What is left is small before it is compressed.
//!
//! Nothing is understood here and nothing may be lost: a record is taken apart as bytes and put
//! together as the same bytes, whether it is JSON or not.

use std::hash::{BuildHasher, RandomState};

use casbah_model::{Batch, Values};
use hashbrown::{HashMap, HashTable};

use crate::types::Records;
use crate::wire::{Damage, Input, put_bytes, put_number};

/// Stands for a value in a template. A record that has this byte is kept as one value.
const HOLE: u8 = 0;
/// The template of records that are kept as one value.
const WHOLE: &[u8] = &[HOLE];
const MOST_TEMPLATES: usize = 4_096;
const MOST_HOLES: usize = 200;
/// Nested rows of an activity whose texts are tried.
const MOST_NESTED: usize = 12;
/// Rows that are looked at to choose where values come from.
const SAMPLES: usize = 24;
const MEMO_SAMPLES: usize = 32;

/// Where the value of a hole is expected to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Nowhere.
    Nowhere,
    /// A text column.
    Text(usize),
    /// An integer column, in digits.
    Integer(usize),
    /// An integer column, as a time in one of the [`TimeForm`]s.
    Time(usize, TimeForm),
    /// The text of a nested row: table, column, which row.
    Nested(usize, usize, usize),
    /// Another value of the same record, before this one.
    Hole(usize),
    /// The value that this hole had when the text column was the same the last time.
    Memo(usize),
}

/// How an app writes a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeForm {
    /// `2026-11-20T10:58:24Z`.
    Seconds,
    /// `2026-11-20T10:58:24.000Z`.
    Milliseconds,
    /// `2026-11-20T10:58:24+0000`.
    Offset,
}

const TIME_FORMS: [TimeForm; 3] = [TimeForm::Seconds, TimeForm::Milliseconds, TimeForm::Offset];

impl Source {
    fn write(self, out: &mut Vec<u8>) {
        let (kind, numbers): (u8, [usize; 3]) = match self {
            Self::Nowhere => (0, [0; 3]),
            Self::Text(column) => (1, [column, 0, 0]),
            Self::Integer(column) => (2, [column, 0, 0]),
            Self::Time(column, TimeForm::Seconds) => (3, [column, 0, 0]),
            Self::Time(column, TimeForm::Milliseconds) => (4, [column, 0, 0]),
            Self::Time(column, TimeForm::Offset) => (5, [column, 0, 0]),
            Self::Nested(table, column, at) => (6, [table, column, at]),
            Self::Hole(hole) => (7, [hole, 0, 0]),
            Self::Memo(column) => (8, [column, 0, 0]),
        };
        out.push(kind);
        let count = match kind {
            0 => 0,
            6 => 3,
            _ => 1,
        };
        numbers.iter().take(count).for_each(|&number| put_number(out, number as u64));
    }

    fn read(input: &mut Input<'_>) -> Result<Self, Damage> {
        let kind = input.u8()?;
        let mut number = || Ok(usize::try_from(input.number()?).unwrap_or(usize::MAX));
        Ok(match kind {
            0 => Self::Nowhere,
            1 => Self::Text(number()?),
            2 => Self::Integer(number()?),
            3 => Self::Time(number()?, TimeForm::Seconds),
            4 => Self::Time(number()?, TimeForm::Milliseconds),
            5 => Self::Time(number()?, TimeForm::Offset),
            6 => Self::Nested(number()?, number()?, number()?),
            7 => Self::Hole(number()?),
            8 => Self::Memo(number()?),
            _ => return Err(Damage::new("a raw record's source is of unknown kind")),
        })
    }
}

/// A list of byte strings.
#[derive(Default)]
struct Strings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Strings {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..end)
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

/// What the batch says about a row, as bytes.
struct Known<'a> {
    batch: &'a Batch,
    scratch: Vec<u8>,
}

impl<'a> Known<'a> {
    fn new(batch: &'a Batch) -> Self {
        Self { batch, scratch: Vec::new() }
    }

    fn text_id(&self, column: usize, row: usize) -> Option<u32> {
        match &self.batch.columns.get(column)?.values {
            Values::Text(ids) => ids.get(row).copied(),
            _ => None,
        }
    }

    fn integer(&self, column: usize, row: usize) -> Option<i64> {
        match &self.batch.columns.get(column)?.values {
            Values::Integer(values) => values.get(row).copied(),
            _ => None,
        }
    }

    fn nested(&self, table: usize, column: usize, at: usize, row: usize) -> Option<&'a [u8]> {
        let nested = self.batch.nested.get(table)?;
        let range = nested.range(row);
        let inner = range.start.checked_add(at).filter(|inner| *inner < range.end)?;
        match &nested.columns.get(column)?.values {
            Values::Text(ids) => Some(self.batch.texts.get(*ids.get(inner)?).as_bytes()),
            _ => None,
        }
    }

    /// The value of a row by a source that needs nothing but the batch.
    fn value(&mut self, source: Source, row: usize) -> Option<&[u8]> {
        match source {
            Source::Text(column) => {
                Some(self.batch.texts.get(self.text_id(column, row)?).as_bytes())
            }
            Source::Nested(table, column, at) => self.nested(table, column, at, row),
            Source::Integer(column) => {
                let value = self.integer(column, row)?;
                self.scratch.clear();
                write_integer(&mut self.scratch, value);
                Some(&self.scratch)
            }
            Source::Time(column, form) => {
                let value = self.integer(column, row)?;
                self.scratch.clear();
                write_time(&mut self.scratch, value, form).then_some(&self.scratch)
            }
            Source::Nowhere | Source::Hole(_) | Source::Memo(_) => None,
        }
    }

    /// Every source that needs nothing but the batch and says `value` of this row.
    fn sources(&mut self, value: &[u8], row: usize) -> Vec<Source> {
        let mut found = Vec::new();
        let digits = value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
        let time = matches!(value.len(), 20 | 24) && value.get(10) == Some(&b'T');
        for (index, column) in self.batch.columns.iter().enumerate() {
            match &column.values {
                Values::Text(_) => found.push(Source::Text(index)),
                Values::Integer(_) if digits => found.push(Source::Integer(index)),
                Values::Integer(_) if time => {
                    found.extend(TIME_FORMS.iter().map(|&form| Source::Time(index, form)));
                }
                _ => {}
            }
        }
        for (table, nested) in self.batch.nested.iter().enumerate() {
            let rows = nested.range(row).len().min(MOST_NESTED);
            for (column, _) in nested.columns.iter().enumerate() {
                found.extend((0..rows).map(|at| Source::Nested(table, column, at)));
            }
        }
        found.retain(|&source| self.value(source, row) == Some(value));
        found
    }
}

fn write_integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0_u8; 20];
    let mut rest = value.unsigned_abs();
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(20 - length..).unwrap_or_default());
}

/// Writes a time; false when the form cannot say it.
fn write_time(out: &mut Vec<u8>, milliseconds: i64, form: TimeForm) -> bool {
    let seconds = milliseconds.div_euclid(1_000);
    let rest = milliseconds.rem_euclid(1_000);
    // The civil calendar, by eras of 400 years that begin in March.
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(0..=9_999).contains(&year) || (rest != 0 && form != TimeForm::Milliseconds) {
        return false;
    }
    let of_day = seconds.rem_euclid(86_400);
    let mut put = |value: i64, digits: u32, before: u8| {
        if before != 0 {
            out.push(before);
        }
        out.extend((0..digits).rev().map(|place| b'0' + (value / 10_i64.pow(place) % 10) as u8));
    };
    put(year, 4, 0);
    put(month, 2, b'-');
    put(day, 2, b'-');
    put(of_day / 3_600, 2, b'T');
    put(of_day / 60 % 60, 2, b':');
    put(of_day % 60, 2, b':');
    if form == TimeForm::Milliseconds {
        put(rest, 3, b'.');
    }
    out.extend_from_slice(if form == TimeForm::Offset { b"+0000" } else { b"Z" });
    true
}

/// A record's bytes between two offsets.
type Span = (u32, u32);

/// A record with its values taken out, and where the values of its rows stand.
struct Template {
    skeleton: Vec<u8>,
    holes: usize,
    rows: Vec<u32>,
    /// `holes` spans a row.
    spans: Vec<Span>,
}

impl Template {
    /// The value of a hole in the `at`-th row of this template.
    fn value<'a>(&self, records: &'a Records, at: usize, hole: usize) -> &'a [u8] {
        let row = self.rows.get(at).map_or(usize::MAX, |&row| row as usize);
        let span = self.spans.get(at * self.holes + hole).copied().unwrap_or((0, 0));
        let record = records.get(row).unwrap_or_default();
        record.get(span.0 as usize..span.1 as usize).unwrap_or_default()
    }

    fn row(&self, at: usize) -> usize {
        self.rows.get(at).map_or(usize::MAX, |&row| row as usize)
    }
}

/// Takes the values out of a record; false when it has to be kept as one value.
fn split(record: &[u8], skeleton: &mut Vec<u8>, spans: &mut Vec<Span>) -> bool {
    let byte = |at: usize| record.get(at).copied();
    let (mut at, mut copied) = (0, 0);
    let mut hole = |from: usize, to: usize, copied: &mut usize, skeleton: &mut Vec<u8>| {
        skeleton.extend_from_slice(record.get(*copied..from).unwrap_or_default());
        skeleton.push(HOLE);
        spans.push((from as u32, to as u32));
        *copied = to;
        spans.len() <= MOST_HOLES
    };
    while let Some(found) = byte(at) {
        match found {
            HOLE => return false,
            b'"' => {
                let from = at + 1;
                let mut end = from;
                loop {
                    match byte(end) {
                        Some(b'"') => break,
                        Some(b'\\') => end += 2,
                        Some(HOLE) | None => return false,
                        Some(_) => end += 1,
                    }
                }
                let mut next = end + 1;
                while matches!(byte(next), Some(b' ' | b'\t' | b'\r' | b'\n')) {
                    next += 1;
                }
                // The name of a member is part of the template.
                if byte(next) != Some(b':') && !hole(from, end, &mut copied, skeleton) {
                    return false;
                }
                at = end + 1;
            }
            b'-' | b'0'..=b'9' => {
                let number = |b: &u8| b.is_ascii_digit() || b"+-.eE".contains(b);
                let rest = record.get(at..).unwrap_or_default();
                let end = at + rest.iter().take_while(|b| number(b)).count();
                if !hole(at, end, &mut copied, skeleton) {
                    return false;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    skeleton.extend_from_slice(record.get(copied..).unwrap_or_default());
    true
}

/// Finds the templates of all records, and which record has which.
fn templates(records: &Records) -> (Vec<Template>, Vec<u32>) {
    let mut templates: Vec<Template> = Vec::new();
    let mut by_hash: HashTable<usize> = HashTable::new();
    let hasher = RandomState::new();
    let mut numbers = Vec::with_capacity(records.len());
    let (mut skeleton, mut spans) = (Vec::new(), Vec::new());
    for (row, record) in records.iter().enumerate() {
        skeleton.clear();
        spans.clear();
        let fits = split(record, &mut skeleton, &mut spans);
        let mut whole = !fits;
        loop {
            if whole {
                skeleton.clear();
                skeleton.extend_from_slice(WHOLE);
                spans.clear();
                spans.push((0, record.len() as u32));
            }
            let hash = hasher.hash_one(&skeleton);
            let same =
                |&number: &usize| templates.get(number).is_some_and(|t| t.skeleton == skeleton);
            let number = match by_hash.find(hash, same) {
                Some(&number) => number,
                None if templates.len() >= MOST_TEMPLATES && !whole => {
                    whole = true;
                    continue;
                }
                None => {
                    let number = templates.len();
                    templates.push(Template {
                        skeleton: skeleton.clone(),
                        holes: spans.len(),
                        rows: Vec::new(),
                        spans: Vec::new(),
                    });
                    let rehash = |&number: &usize| {
                        templates.get(number).map_or(0, |t| hasher.hash_one(&t.skeleton))
                    };
                    by_hash.insert_unique(hash, number, rehash);
                    number
                }
            };
            if let Some(template) = templates.get_mut(number) {
                template.rows.push(row as u32);
                template.spans.extend_from_slice(&spans);
            }
            numbers.push(number as u32);
            break;
        }
    }
    (templates, numbers)
}

/// The streams of a folded block: alike things stand together.
#[derive(Default)]
struct Streams {
    /// Templates and sources.
    head: Vec<u8>,
    /// Places of exceptions.
    places: Vec<u8>,
    /// Lengths of values that are spelt out.
    lengths: Vec<u8>,
    /// These values.
    values: Vec<u8>,
}

impl Streams {
    fn value(&mut self, value: &[u8]) {
        put_number(&mut self.lengths, value.len() as u64);
        self.values.extend_from_slice(value);
    }

    /// Places of exceptions, as distances.
    fn exceptions(&mut self, places: &[usize]) {
        put_number(&mut self.places, places.len() as u64);
        let mut next = 0;
        for &place in places {
            put_number(&mut self.places, (place - next) as u64);
            next = place + 1;
        }
    }
}

/// Folds the records of a batch. They must be as many as its rows.
pub(crate) fn fold(records: &Records, batch: &Batch) -> Vec<u8> {
    let (templates, numbers) = templates(records);
    let mut known = Known::new(batch);
    let mut streams = Streams::default();
    put_number(&mut streams.head, templates.len() as u64);
    for template in &templates {
        put_bytes(&mut streams.head, &template.skeleton);
    }
    fold_numbers(&numbers, &known, &mut streams);
    for template in &templates {
        for hole in 0..template.holes {
            let source = choose(template, hole, records, &mut known);
            source.write(&mut streams.head);
            fold_hole(template, hole, source, records, &mut known, &mut streams);
        }
    }
    let Streams { head, places, lengths, values } = streams;
    let mut out = Vec::with_capacity(head.len() + places.len() + lengths.len() + values.len() + 16);
    for stream in [head, places, lengths, values] {
        put_bytes(&mut out, &stream);
    }
    out
}

/// Writes which record has which template: as the last record of the same action, mostly.
fn fold_numbers(numbers: &[u32], known: &Known<'_>, streams: &mut Streams) {
    let columns = 0..known.batch.columns.len();
    let misses = |column: usize| {
        let mut memo: HashMap<u32, u32> = HashMap::new();
        let rows = numbers.iter().enumerate().take(256);
        rows.filter(|&(row, &number)| {
            let id = known.text_id(column, row).unwrap_or(0);
            memo.insert(id, number) != Some(number)
        })
        .count()
    };
    let texts = columns.filter(|&column| known.text_id(column, 0).is_some());
    let best = texts.map(|column| (misses(column), column)).min();
    let source = match best {
        Some((misses, column)) if misses * 2 < numbers.len().min(256) => Source::Memo(column),
        _ => Source::Nowhere,
    };
    source.write(&mut streams.head);
    let mut memo: HashMap<u32, u32> = HashMap::new();
    let (mut places, mut spelt) = (Vec::new(), Vec::new());
    for (row, &number) in numbers.iter().enumerate() {
        let expected = match source {
            Source::Memo(column) => memo.insert(known.text_id(column, row).unwrap_or(0), number),
            _ => None,
        };
        if expected != Some(number) {
            places.push(row);
            spelt.push(number);
        }
    }
    if source != Source::Nowhere {
        streams.exceptions(&places);
    }
    spelt.iter().for_each(|&number| put_number(&mut streams.places, u64::from(number)));
}

/// Chooses where the values of a hole come from, by a sample of its rows.
fn choose(template: &Template, hole: usize, records: &Records, known: &mut Known<'_>) -> Source {
    let rows = template.rows.len();
    let step = rows.div_ceil(SAMPLES).max(1);
    let samples: Vec<usize> = (0..rows).step_by(step).collect();
    let mut candidates: Vec<Source> = Vec::new();
    for &at in samples.iter().take(2) {
        let value = template.value(records, at, hole);
        let earlier = (0..hole)
            .filter(|&earlier| template.value(records, at, earlier) == value)
            .map(Source::Hole);
        for source in known.sources(value, template.row(at)).into_iter().chain(earlier) {
            if !candidates.contains(&source) {
                candidates.push(source);
            }
        }
    }
    let mut best = (0, Source::Nowhere);
    for source in candidates {
        let hits = samples
            .iter()
            .filter(|&&at| {
                let value = template.value(records, at, hole);
                match source {
                    Source::Hole(earlier) => template.value(records, at, earlier) == value,
                    source => known.value(source, template.row(at)) == Some(value),
                }
            })
            .count();
        if hits > best.0 {
            best = (hits, source);
        }
    }
    if best.0 * 10 >= samples.len() * 9 {
        return best.1;
    }
    let memo = choose_memo(template, hole, records, known);
    match memo {
        Some((hits, sampled, column)) if hits * samples.len() > best.0 * sampled => {
            Source::Memo(column)
        }
        _ if best.0 * 2 >= samples.len() => best.1,
        _ => Source::Nowhere,
    }
}

/// The text column that tells most of a hole's values: hits, of how many, and the column.
fn choose_memo(
    template: &Template,
    hole: usize,
    records: &Records,
    known: &Known<'_>,
) -> Option<(usize, usize, usize)> {
    let rows = template.rows.len().min(MEMO_SAMPLES);
    if rows < 8 {
        return None;
    }
    let mut best: Option<(usize, usize, usize)> = None;
    for column in 0..known.batch.columns.len() {
        let mut memo: Vec<(u32, &[u8])> = Vec::with_capacity(rows);
        let mut hits = 0;
        for at in 0..rows {
            let Some(id) = known.text_id(column, template.row(at)) else { break };
            let value = template.value(records, at, hole);
            match memo.iter_mut().find(|(known, _)| *known == id) {
                Some((_, before)) if *before == value => hits += 1,
                Some((_, before)) => *before = value,
                None => memo.push((id, value)),
            }
        }
        if hits * 2 > rows && best.is_none_or(|(most, _, _)| hits > most) {
            best = Some((hits, rows, column));
        }
    }
    best
}

fn fold_hole(
    template: &Template,
    hole: usize,
    source: Source,
    records: &Records,
    known: &mut Known<'_>,
    streams: &mut Streams,
) {
    let mut places = Vec::new();
    let mut memo: HashMap<u32, &[u8]> = HashMap::new();
    for at in 0..template.rows.len() {
        let value = template.value(records, at, hole);
        let row = template.row(at);
        let as_expected = match source {
            Source::Nowhere => false,
            Source::Hole(earlier) => template.value(records, at, earlier) == value,
            Source::Memo(column) => {
                let id = known.text_id(column, row).unwrap_or(0);
                memo.insert(id, value) == Some(value)
            }
            source => known.value(source, row) == Some(value),
        };
        if !as_expected {
            places.push(at);
            streams.value(value);
        }
    }
    if source != Source::Nowhere {
        streams.exceptions(&places);
    }
}

/// Reads what [`fold`] wrote.
struct Unfolding<'a> {
    head: Input<'a>,
    places: Input<'a>,
    lengths: Input<'a>,
    values: Input<'a>,
}

impl<'a> Unfolding<'a> {
    fn value(&mut self) -> Result<&'a [u8], Damage> {
        let length = usize::try_from(self.lengths.number()?).unwrap_or(usize::MAX);
        self.values.take(length)
    }

    fn place(&mut self) -> Result<usize, Damage> {
        Ok(usize::try_from(self.places.number()?).unwrap_or(usize::MAX))
    }

    /// Which of so many rows are exceptions.
    fn exceptions(&mut self, source: Source, rows: usize) -> Result<Vec<bool>, Damage> {
        if source == Source::Nowhere {
            return Ok(vec![true; rows]);
        }
        let mut exceptions = vec![false; rows];
        let mut next = 0_usize;
        for _ in 0..self.place()? {
            let at = next.saturating_add(self.place()?);
            let exception = exceptions.get_mut(at).ok_or_else(misplaced)?;
            *exception = true;
            next = at + 1;
        }
        Ok(exceptions)
    }
}

fn misplaced() -> Damage {
    Damage::new("a raw record points to what is not there")
}

/// The other way: the records of a batch.
pub(crate) fn unfold(bytes: &[u8], batch: &Batch) -> Result<Records, Damage> {
    let mut input = Input::new(bytes);
    let mut stream = || input.bytes().map(Input::new);
    let mut unfolding =
        Unfolding { head: stream()?, places: stream()?, lengths: stream()?, values: stream()? };
    let mut skeletons = Vec::new();
    for _ in 0..unfolding.head.count()? {
        skeletons.push(unfolding.head.bytes()?);
    }
    let mut known = Known::new(batch);
    let numbers = unfold_numbers(&mut unfolding, &known)?;
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); skeletons.len()];
    for (row, &number) in numbers.iter().enumerate() {
        rows.get_mut(number as usize).ok_or_else(misplaced)?.push(row);
    }
    let mut holes: Vec<Vec<Strings>> = Vec::with_capacity(skeletons.len());
    for (skeleton, rows) in skeletons.iter().zip(&rows) {
        let mut columns: Vec<Strings> = Vec::new();
        for _ in 0..skeleton.iter().filter(|&&byte| byte == HOLE).count() {
            let column = unfold_hole(&mut unfolding, rows, &columns, &mut known)?;
            columns.push(column);
        }
        holes.push(columns);
    }
    let mut records = Records::new();
    let mut next = vec![0_usize; skeletons.len()];
    let mut record = Vec::new();
    for &number in &numbers {
        let number = number as usize;
        let (Some(skeleton), Some(columns), Some(at)) =
            (skeletons.get(number), holes.get(number), next.get_mut(number))
        else {
            return Err(misplaced());
        };
        record.clear();
        let mut columns = columns.iter();
        for (index, part) in skeleton.split(|&byte| byte == HOLE).enumerate() {
            if index > 0 {
                let column = columns.next().ok_or_else(misplaced)?;
                record.extend_from_slice(column.get(*at).ok_or_else(misplaced)?);
            }
            record.extend_from_slice(part);
        }
        *at += 1;
        if !records.push(&record) {
            return Err(Damage::new("the raw records are too long"));
        }
    }
    Ok(records)
}

fn unfold_numbers(unfolding: &mut Unfolding<'_>, known: &Known<'_>) -> Result<Vec<u32>, Damage> {
    let rows = known.batch.len();
    let source = Source::read(&mut unfolding.head)?;
    let exceptions = unfolding.exceptions(source, rows)?;
    let mut memo: HashMap<u32, u32> = HashMap::new();
    let mut numbers = Vec::with_capacity(rows);
    for (row, exception) in exceptions.into_iter().enumerate() {
        let id = match source {
            Source::Memo(column) => known.text_id(column, row).unwrap_or(0),
            _ => 0,
        };
        let number = if exception {
            u32::try_from(unfolding.place()?).map_err(|_| misplaced())?
        } else {
            *memo.get(&id).ok_or_else(misplaced)?
        };
        memo.insert(id, number);
        numbers.push(number);
    }
    Ok(numbers)
}

fn unfold_hole(
    unfolding: &mut Unfolding<'_>,
    rows: &[usize],
    before: &[Strings],
    known: &mut Known<'_>,
) -> Result<Strings, Damage> {
    let source = Source::read(&mut unfolding.head)?;
    let exceptions = unfolding.exceptions(source, rows.len())?;
    let mut memo: HashMap<u32, usize> = HashMap::new();
    let mut column = Strings::default();
    for (at, (exception, &row)) in exceptions.into_iter().zip(rows).enumerate() {
        let id = match source {
            Source::Memo(column) => known.text_id(column, row).unwrap_or(0),
            _ => 0,
        };
        if exception {
            column.push(unfolding.value()?);
        } else {
            match source {
                Source::Hole(hole) => {
                    let value = before.get(hole).and_then(|column| column.get(at));
                    column.push(value.ok_or_else(misplaced)?);
                }
                Source::Memo(_) => {
                    let same = memo.get(&id).and_then(|&same| column.get(same));
                    let value = same.ok_or_else(misplaced)?.to_vec();
                    column.push(&value);
                }
                source => column.push(known.value(source, row).ok_or_else(misplaced)?),
            }
        }
        if matches!(source, Source::Memo(_)) {
            memo.insert(id, column.len() - 1);
        }
    }
    Ok(column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use casbah_model::BatchBuilder;
    use casbah_model::time::format as format_rfc3339;

    use crate::sim::Random;

    fn records(texts: &[&str]) -> Records {
        let mut records = Records::new();
        texts.iter().for_each(|text| assert!(records.push(text.as_bytes())));
        records
    }

    fn batch(rows: usize, random: &mut Random) -> Batch {
        let mut builder = BatchBuilder::new();
        for row in 0..rows {
            builder.begin_row();
            builder.text("id", &format!("id-{row}"));
            builder.integer("time", 1_700_000_000_000 + row as i64 * 61_000);
            builder.text("action", ["LOAD", "UPDATE", "SHARE"][random.below(3) as usize]);
            builder.integer("amount", random.below(1_000) as i64 - 500);
            for field in 0..random.below(3) {
                builder.begin_nested("fields");
                builder.nested_text("fields", "key", &format!("key-{field}"));
                builder.nested_text("fields", "value", &format!("value-{}", random.below(9)));
            }
        }
        builder.finish()
    }

    #[track_caller]
    fn comes_back(records: &Records, batch: &Batch) -> usize {
        let folded = fold(records, batch);
        let unfolded = unfold(&folded, batch).unwrap();
        assert_eq!(&unfolded, records);
        folded.len()
    }

    /// Records that are no JSON, or odd JSON, come back byte for byte.
    #[test]
    fn odd_records_come_back() {
        let odd = [
            "",
            " ",
            "null",
            "\"",
            "\"open",
            "\"a\\",
            "\"a\\\"b\"",
            "{}",
            "{\"a\":1}",
            "{ \"a\" : -1.5e+7 , \"b\":[\"\",0,-] }",
            "{\"a\":\"b\"",
            "a\0b",
            "\0",
            "{\"a\":\"\0\"}",
            "123",
            "1-2-3",
            "\u{fc}\"\u{fc}\":\"\u{fc}\"",
            "{\"a\":\"x\"}{\"a\":\"y\"}",
        ];
        let batch = batch(odd.len(), &mut Random::new(1));
        comes_back(&records(&odd), &batch);
        for text in odd {
            let one = self::batch(1, &mut Random::new(2));
            comes_back(&records(&[text]), &one);
        }
        let many: Vec<String> =
            (0..300).map(|number| format!("[{}]", "1,".repeat(number))).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        comes_back(&records(&many), &self::batch(300, &mut Random::new(3)));
    }

    /// Whatever the records are made of, they come back; most of what the batch says is not said
    /// again.
    #[test]
    fn records_like_their_batch_become_small() {
        let mut random = Random::new(9);
        for rows in [1, 2, 7, 40, 900] {
            let batch = batch(rows, &mut random);
            let mut records = Records::new();
            let mut total = 0;
            for row in 0..rows {
                let time = format_rfc3339(batch.integer("time", row).unwrap());
                let other = random.once_in(20);
                let text = format!(
                    "{{\"eventId\":\"{}\",\"at\":\"{}\",\"object\":{{\"action\":\"{}\",\"n\":{}}},\"again\":\"{}\",\"extra\":[{}]}}",
                    if other { "another" } else { batch.text("id", row) },
                    time,
                    batch.text("action", row),
                    batch.integer("amount", row).unwrap(),
                    batch.text("id", row),
                    batch.text("action", row).to_lowercase().len(),
                );
                total += text.len();
                records.push(text.as_bytes());
            }
            let folded = comes_back(&records, &batch);
            assert!(rows < 900 || folded < total / 20, "{rows} rows: {folded} of {total} bytes");
        }
    }

    /// Random bytes, and bytes that look like JSON.
    #[test]
    fn random_records_come_back() {
        let mut random = Random::new(77);
        let alphabet = b"{}[]:,\"\\0123456789-.eE ab\x00\xc3\xa9\n";
        for _ in 0..400 {
            let rows = 1 + random.below(12) as usize;
            let batch = batch(rows, &mut random);
            let mut records = Records::new();
            for _ in 0..rows {
                let record: Vec<u8> = (0..random.below(40))
                    .map(|_| alphabet[random.below(alphabet.len() as u64) as usize])
                    .collect();
                records.push(&record);
            }
            comes_back(&records, &batch);
        }
    }

    /// Damage is an error or other records, never a panic.
    #[test]
    fn damage_does_not_panic() {
        let mut random = Random::new(5);
        let batch = batch(30, &mut random);
        let texts: Vec<String> = (0..30)
            .map(|row| {
                format!("{{\"a\":\"{}\",\"b\":{row},\"c\":\"{}\"}}", batch.text("id", row), row % 3)
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let folded = fold(&records(&texts), &batch);
        for _ in 0..3_000 {
            let mut bytes = folded.clone();
            let at = random.below(bytes.len() as u64) as usize;
            if random.once_in(3) {
                bytes.truncate(at)
            } else {
                bytes[at] = random.next() as u8
            }
            let _ = unfold(&bytes, &batch);
        }
    }

    /// Times are written as the app writes them, in every form, also before 1970 and in leap years.
    #[test]
    fn times_are_written() {
        let write = |time, form| {
            let mut out = Vec::new();
            write_time(&mut out, time, form).then(|| String::from_utf8(out).unwrap())
        };
        for time in
            [0, -1_000, 951_782_400_000, 1_709_164_800_000, 4_102_444_799_000, -62_167_219_200_000]
        {
            let expected = format_rfc3339(time);
            let whole = write(time, TimeForm::Seconds).unwrap();
            assert!(expected.starts_with(whole.trim_end_matches('Z')), "{expected} {whole}");
            let expected = format!("{}.000Z", whole.trim_end_matches('Z'));
            assert_eq!(write(time, TimeForm::Milliseconds).unwrap(), expected);
            let expected = format!("{}+0000", whole.trim_end_matches('Z'));
            assert_eq!(write(time, TimeForm::Offset).unwrap(), expected);
        }
        assert_eq!(write(1_001, TimeForm::Milliseconds).unwrap(), "1970-01-01T00:00:01.001Z");
        assert_eq!(write(1_001, TimeForm::Seconds), None);
        assert_eq!(write(i64::MAX, TimeForm::Seconds), None);
        assert_eq!(write(i64::MIN, TimeForm::Milliseconds), None);
    }
}
