//! The log for people: activities as JSON, filtered, the newest first, page by page.
//!
//! It is not how detectors see activities; see [`crate::evaluate`] for that. There is no index:
//! blocks are left out by their times, and columns of the rest are walked.

use std::collections::BTreeMap;

use casbah_model::table::ABSENT_INTEGER;
use casbah_model::vocabulary::{self, ColumnType};
use casbah_model::{Batch, Column, TenantName, Values, time};
use casbah_store::{BlockInfo, Store};
use serde_json::{Map, Value};

use crate::error::{DetectError, DetectErrorKind};
use crate::suggest::{self, shown};

#[cfg(test)]
mod tests;

/// An activity as JSON: columns by their published names, absent ones left out.
///
/// Times are RFC 3339, flags are true and false, `fields` is an object, any other nested table is
/// a list of objects.
pub fn to_json(batch: &Batch, row: usize) -> Map<String, Value> {
    let mut map = Map::new();
    for column in &batch.columns {
        if let Some(value) = cell(batch, column, row) {
            map.insert(column.name.clone(), value);
        }
    }
    for table in &batch.nested {
        let range = table.range(row);
        if range.is_empty() {
            continue;
        }
        let mut rows = range.map(|inner| {
            table
                .columns
                .iter()
                .filter_map(|column| Some((column.name.clone(), cell(batch, column, inner)?)))
                .collect::<Map<_, _>>()
        });
        let value = if table.name == "fields" {
            Value::Object(keyed(&mut rows))
        } else {
            Value::Array(rows.map(Value::Object).collect())
        };
        map.insert(table.name.clone(), value);
    }
    map
}

/// As [`to_json`], with the sequence number that the row has in the log.
pub(crate) fn to_json_at(batch: &Batch, row: usize, sequence: u64) -> Map<String, Value> {
    let mut map = to_json(batch, row);
    map.insert("sequence".to_owned(), sequence.into());
    map
}

/// The activity with a sequence number, with that number; `None` when it is not in the log any more.
///
/// # Errors
/// When the log can't be read.
pub fn at(
    store: &dyn Store,
    tenant: &TenantName,
    sequence: u64,
) -> Result<Option<Map<String, Value>>, DetectError> {
    let Some(block) = store.read(tenant, sequence)? else { return Ok(None) };
    // Retention may have taken the block; then the next one after it is returned.
    let Some(row) = sequence.checked_sub(block.info.first_sequence) else { return Ok(None) };
    Ok(Some(to_json_at(&block.batch, row as usize, sequence)))
}

/// Rows of key and value as one object; a key that occurs again makes a list of its values.
fn keyed(rows: &mut dyn Iterator<Item = Map<String, Value>>) -> Map<String, Value> {
    let mut fields: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for mut row in rows {
        let Some(Value::String(key)) = row.remove("key") else { continue };
        let value = row.remove("value").unwrap_or_else(|| Value::String(String::new()));
        fields.entry(key).or_default().push(value);
    }
    fields
        .into_iter()
        .map(|(key, mut values)| match values.len() {
            1 => (key, values.remove(0)),
            _ => (key, Value::Array(values)),
        })
        .collect()
}

fn cell(batch: &Batch, column: &Column, row: usize) -> Option<Value> {
    match &column.values {
        Values::Text(ids) => {
            ids.get(row).filter(|&&id| id != 0).map(|&id| batch.texts.get(id).into())
        }
        Values::Integer(values) => {
            let value = *values.get(row).filter(|&&value| value != ABSENT_INTEGER)?;
            Some(match vocabulary::column(&column.name).map(|entry| entry.column_type) {
                Some(ColumnType::Time) => time::format(value).into(),
                Some(ColumnType::Flag) if value == 0 || value == 1 => (value == 1).into(),
                _ => value.into(),
            })
        }
        Values::Number(values) => {
            values.get(row).filter(|value| !value.is_nan()).map(|&value| value.into())
        }
    }
}

/// A condition on a column: `column=value`, `column!=value` or `column~part`.
///
/// Columns are those of the vocabulary, `fields.NAME`, or `objects.COLUMN` (any object). Texts are
/// compared whatever the case. `!=` also holds where the column is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    place: Place,
    comparison: Comparison,
    /// In lower case.
    text: String,
    integer: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Column(String),
    Field(String),
    Nested(String, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Contains,
}

impl Filter {
    /// Reads a condition as a person types it.
    ///
    /// # Errors
    /// `Filter` when it has no operator, names a column that is not published, or gives a value
    /// that the column can't have.
    pub fn parse(text: &str) -> Result<Self, DetectError> {
        let fail = |message: String| DetectError::new(DetectErrorKind::Filter, message);
        let place = text.find(['=', '~', '!']).ok_or_else(|| {
            fail(format!(
                "`{}` is not a filter\nhint: write `column=value`, `column!=value` or `column~part`, e.g. `kind=export`",
                shown(text)
            ))
        })?;
        let (name, rest) = text.split_at(place);
        let (comparison, value) = if let Some(value) = rest.strip_prefix("!=") {
            (Comparison::NotEqual, value)
        } else if let Some(value) = rest.strip_prefix('=') {
            (Comparison::Equal, value)
        } else if let Some(value) = rest.strip_prefix('~') {
            (Comparison::Contains, value)
        } else {
            return Err(fail(format!(
                "`{}` is not a filter\nhint: *not equal* is written `!=`",
                shown(text)
            )));
        };
        let name = name.trim();
        let place = Self::place(name)?;
        let value = value.trim();
        let integer = integer(&place, value).map_err(|what| {
            fail(format!("`{}` is not a value of column `{name}`\nhint: {what}", shown(value)))
        })?;
        Ok(Self { place, comparison, text: value.to_lowercase(), integer })
    }

    fn place(name: &str) -> Result<Place, DetectError> {
        if let Some(key) = name.strip_prefix("fields.").filter(|key| !key.is_empty()) {
            return Ok(Place::Field(key.to_owned()));
        }
        if vocabulary::column(name).is_some() {
            return Ok(Place::Column(name.to_owned()));
        }
        let nested: Vec<String> = vocabulary::NESTED
            .iter()
            .filter(|table| table.name != "fields")
            .flat_map(|table| table.columns.iter().map(|c| format!("{}.{}", table.name, c.name)))
            .collect();
        if let Some((table, column)) = name.split_once('.')
            && nested.iter().any(|known| known == name)
        {
            return Ok(Place::Nested(table.to_owned(), column.to_owned()));
        }
        let known =
            vocabulary::COLUMNS.iter().map(|c| c.name).chain(nested.iter().map(String::as_str));
        let hint = match suggest::nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "columns are those of the published vocabulary, `fields.NAME` and `objects.id`"
                .to_owned(),
        };
        Err(DetectError::new(
            DetectErrorKind::Filter,
            format!("there is no column `{}`\nhint: {hint}", shown(name)),
        ))
    }

    /// Whether a row fulfils it.
    fn holds(&self, batch: &Batch, row: usize, sequence: u64) -> bool {
        let equal = self.comparison != Comparison::Contains;
        let found = match &self.place {
            Place::Column(name) if name == "sequence" => self.integer_fits(sequence as i64, equal),
            Place::Column(name) => batch
                .columns
                .iter()
                .find(|column| column.name == *name)
                .is_some_and(|column| self.value_fits(batch, &column.values, row, equal)),
            Place::Field(key) => batch.nested("fields").is_some_and(|table| {
                let (Some(Values::Text(keys)), Some(values)) =
                    (table.column("key"), table.column("value"))
                else {
                    return false;
                };
                table.range(row).any(|inner| {
                    keys.get(inner).is_some_and(|&id| batch.texts.get(id) == key)
                        && self.value_fits(batch, values, inner, equal)
                })
            }),
            Place::Nested(table, column) => batch.nested(table).is_some_and(|table| {
                table.column(column).is_some_and(|values| {
                    table.range(row).any(|inner| self.value_fits(batch, values, inner, equal))
                })
            }),
        };
        found != (self.comparison == Comparison::NotEqual)
    }

    fn value_fits(&self, batch: &Batch, values: &Values, row: usize, equal: bool) -> bool {
        match values {
            Values::Text(ids) => ids.get(row).filter(|&&id| id != 0).is_some_and(|&id| {
                let text = batch.texts.get(id);
                if equal {
                    same(text, &self.text)
                } else {
                    text.to_lowercase().contains(&self.text)
                }
            }),
            Values::Integer(values) => values
                .get(row)
                .filter(|&&value| value != ABSENT_INTEGER)
                .is_some_and(|&value| self.integer_fits(value, equal)),
            Values::Number(values) => {
                values.get(row).filter(|value| !value.is_nan()).is_some_and(|value| {
                    let text = value.to_string();
                    if equal { text == self.text } else { text.contains(&self.text) }
                })
            }
        }
    }

    fn integer_fits(&self, value: i64, equal: bool) -> bool {
        match self.integer {
            Some(wanted) if equal => wanted == value,
            _ => value.to_string().contains(&self.text),
        }
    }
}

/// The value as an integer, when the column holds integers.
fn integer(place: &Place, value: &str) -> Result<Option<i64>, &'static str> {
    let Place::Column(name) = place else { return Ok(None) };
    match vocabulary::column(name).map(|entry| entry.column_type) {
        Some(ColumnType::Flag) => match value {
            "true" | "1" | "yes" => Ok(Some(1)),
            "false" | "0" | "no" => Ok(Some(0)),
            _ => Err("it is true or false"),
        },
        Some(ColumnType::Integer) => value.parse().map(Some).map_err(|_| "it is a whole number"),
        Some(ColumnType::Time) => time::parse(value)
            .or_else(|| value.parse().ok())
            .map(Some)
            .ok_or("it is a time such as 2026-01-05T10:00:00Z"),
        _ => Ok(None),
    }
}

/// Equal whatever the case; `lower` is in lower case already.
fn same(text: &str, lower: &str) -> bool {
    if text.is_ascii() { text.eq_ignore_ascii_case(lower) } else { text.to_lowercase() == lower }
}

/// Which activities to list. The default is all.
#[derive(Clone, Debug, Default)]
pub struct ActivityQuery {
    /// Only at or after this time, ms since 1970.
    pub from: Option<i64>,
    /// Only before this time, ms since 1970.
    pub to: Option<i64>,
    /// All of these must hold.
    pub filters: Vec<Filter>,
    /// At most so many; 0 means no limit.
    pub limit: usize,
    /// Only activities that come before this sequence number in the log: the cursor of a page.
    pub before: Option<u64>,
}

/// A page of activities, the newest first.
#[derive(Clone, Debug, Default)]
pub struct ActivityPage {
    /// The activities, each with its `sequence`.
    pub activities: Vec<Map<String, Value>>,
    /// [`ActivityQuery::before`] of the next page; `None` when this is the end.
    pub next: Option<u64>,
}

/// Lists activities in the order of the log, the one stored last first.
///
/// # Errors
/// When the log can't be read.
pub fn list(
    store: &dyn Store,
    tenant: &TenantName,
    query: &ActivityQuery,
) -> Result<ActivityPage, DetectError> {
    let mut page = ActivityPage::default();
    walk(store, tenant, query, &mut |batch, row, sequence| {
        if query.limit > 0 && page.activities.len() == query.limit {
            page.next = Some(sequence + 1);
            return false;
        }
        page.activities.push(to_json_at(batch, row, sequence));
        true
    })?;
    Ok(page)
}

/// Calls `each` with batch, row and sequence of every activity that fits, newest first, until it
/// returns false. [`ActivityQuery::limit`] is left to the caller.
///
/// # Errors
/// When the log can't be read.
pub fn walk(
    store: &dyn Store,
    tenant: &TenantName,
    query: &ActivityQuery,
    each: &mut dyn FnMut(&Batch, usize, u64) -> bool,
) -> Result<(), DetectError> {
    let before = query.before.unwrap_or(u64::MAX);
    let blocks = store.blocks(tenant);
    for info in blocks.iter().rev().filter(|info| info.first_sequence < before) {
        if !may_hold(query, info) {
            continue;
        }
        let Some(block) = store.read(tenant, info.first_sequence)? else { continue };
        // Retention may have taken it meanwhile; then the next block is returned, which was walked.
        if block.info.first_sequence != info.first_sequence {
            continue;
        }
        let batch = &block.batch;
        let times = batch.integers("time");
        for row in (0..batch.len()).rev() {
            let sequence = block.info.first_sequence + row as u64;
            if sequence >= before {
                continue;
            }
            let time = times
                .and_then(|times| times.get(row))
                .copied()
                .filter(|&time| time != ABSENT_INTEGER);
            if in_time(query, time)
                && query.filters.iter().all(|filter| filter.holds(batch, row, sequence))
                && !each(batch, row, sequence)
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn may_hold(query: &ActivityQuery, info: &BlockInfo) -> bool {
    query.from.is_none_or(|from| info.max_time >= from)
        && query.to.is_none_or(|to| info.min_time < to)
}

/// An activity without a time is listed only when no time was asked for.
fn in_time(query: &ActivityQuery, time: Option<i64>) -> bool {
    match time {
        Some(time) => {
            query.from.is_none_or(|from| time >= from) && query.to.is_none_or(|to| time < to)
        }
        None => query.from.is_none() && query.to.is_none(),
    }
}
