//! Activities that a test gives: read from YAML, filled up with what an adapter would always say,
//! and made into batches.

use std::sync::Arc;

use casbah_model::vocabulary::{self, ColumnType};
use casbah_model::{Batch, BatchBuilder, time};

use super::facts::Facts;
use crate::policy::{Fields, PolicyProblemKind};
use crate::suggest::{self, shown};
use crate::yaml::{Entry, Node, Span, Value};

/// Monday, 5 January 2026, 10:00 UTC: when tests begin that say nothing else.
const BEGIN: i64 = 1_767_607_200_000;
/// Distance of activities that say nothing else.
const EVERY: i64 = 1000;
const MAX_ACTIVITIES: usize = 100_000;

/// Keys of a step that are not columns.
const STEP_KEYS: &[&str] = &["repeat", "every", "at", "after", "fields", "objects"];
const OBJECT_KEYS: &[&str] = &["role", "kind", "id", "name"];

/// An activity, as the columns that are set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Activity {
    cells: Vec<(&'static str, Cell)>,
    fields: Vec<(String, String)>,
    objects: Vec<Vec<(String, String)>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(Arc<str>),
    /// What most activities have.
    Usual(&'static str),
    Integer(i64),
    Number(f64),
    /// Said to be absent, so that no default is filled in.
    Absent,
}

/// Makes a batch, in the order given.
pub(super) fn batch(activities: &[&Activity]) -> Batch {
    let mut builder = BatchBuilder::new();
    for activity in activities {
        builder.begin_row();
        for (name, cell) in &activity.cells {
            match cell {
                Cell::Text(text) => builder.text(name, text),
                Cell::Usual(text) => builder.text(name, text),
                Cell::Integer(value) => builder.integer(name, *value),
                Cell::Number(value) => builder.number(name, *value),
                Cell::Absent => {}
            }
        }
        for object in &activity.objects {
            builder.begin_nested("objects");
            for (name, value) in object {
                builder.nested_text("objects", name, value);
            }
        }
        for (key, value) in &activity.fields {
            builder.begin_nested("fields");
            builder.nested_text("fields", "key", key);
            builder.nested_text("fields", "value", value);
        }
    }
    builder.finish()
}

/// What a test gives: its steps, not yet repeated. Policies are read at every start, and tests seldom
/// run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Given {
    app: Option<Arc<str>>,
    facts: Facts,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
struct Step {
    /// Time of the first one, ms since 1970.
    start: i64,
    every: i64,
    repeat: i64,
    cells: Vec<(&'static str, Cell)>,
    fields: Vec<(String, String)>,
    objects: Option<Vec<Object>>,
}

impl Given {
    /// All activities, in the order given.
    pub(super) fn activities(&self) -> Vec<Activity> {
        let mut activities = Vec::new();
        for step in &self.steps {
            step.repeat(self, &mut activities);
        }
        activities
    }
}

/// Reads the `given` of a test; `None` when something is wrong with it.
pub(super) fn read(test: &Node, app: Option<&str>, fields: &mut Fields) -> Option<Given> {
    let Some(entry) = test.get("given") else {
        fields.wrong_kind(
            PolicyProblemKind::Key,
            test.span,
            "`given` is missing".to_owned(),
            "add `given:` with a list of activities, such as `- {kind: export}`".to_owned(),
        );
        return None;
    };
    let Value::List(nodes) = &entry.value.value else {
        fields.wrong(
            entry.value.span,
            format!("`given` must be a list of activities, this is {}", entry.value.value.what()),
            "write `given: [{kind: export}]`".to_owned(),
        );
        return None;
    };
    let before = fields.wrongs.len();
    let facts = Facts::read(test, fields);
    let mut clock = Clock { last: None };
    let mut total = 0;
    let mut steps = Vec::new();
    for node in nodes {
        steps.extend(read_step(node, &mut clock, &mut total, fields));
    }
    let app = app.map(Arc::from);
    (fields.wrongs.len() == before).then_some(Given { app, facts, steps })
}

/// Time of the last activity given.
struct Clock {
    last: Option<i64>,
}

/// Reads a step; `total` is how many activities there are so far.
fn read_step(
    step: &Node,
    clock: &mut Clock,
    total: &mut usize,
    fields: &mut Fields,
) -> Option<Step> {
    if !fields.is_map(step, "an activity") {
        return None;
    }
    let every = fields.duration(step, "every").unwrap_or(EVERY);
    let repeat = fields.integer(step, "repeat", 1..=MAX_ACTIVITIES as i64).unwrap_or(1);
    let start = start(step, clock, every, fields);
    let cells = read_cells(step, fields);
    let given_fields = read_fields(step, fields);
    let objects = read_objects(step, fields);
    if *total + repeat as usize > MAX_ACTIVITIES {
        fields.wrong(
            step.span,
            format!("a test may give {MAX_ACTIVITIES} activities, this gives more"),
            String::new(),
        );
        return None;
    }
    *total += repeat as usize;
    clock.last = Some(start.saturating_add(every.saturating_mul(repeat - 1)));
    Some(Step { start, every, repeat, cells, fields: given_fields, objects })
}

impl Step {
    fn repeat(&self, given: &Given, out: &mut Vec<Activity>) {
        for n in 1..=self.repeat {
            let at = self.start.saturating_add(self.every.saturating_mul(n - 1));
            let number = n.to_string();
            let fill = |text: &str| text.replace("{n}", &number);
            let mut activity = Activity {
                cells: self
                    .cells
                    .iter()
                    .map(|(name, cell)| match cell {
                        Cell::Text(text) if text.contains("{n}") => {
                            (*name, Cell::Text(fill(text).into()))
                        }
                        other => (*name, other.clone()),
                    })
                    .collect(),
                fields: self.fields.iter().map(|(k, v)| (k.clone(), fill(v))).collect(),
                objects: self
                    .objects
                    .iter()
                    .flatten()
                    .map(|object| object.iter().map(|(k, v)| (k.clone(), fill(v))).collect())
                    .collect(),
            };
            complete(&mut activity, self.objects.is_some(), at, given, out.len() + 1);
            out.push(activity);
        }
    }
}

/// When the first activity of a step happens.
fn start(step: &Node, clock: &Clock, every: i64, fields: &mut Fields) -> i64 {
    if let (Some(_), Some(after)) = (step.get("at"), step.get("after")) {
        fields.wrong(
            after.span,
            "`at` and `after` exclude each other".to_owned(),
            "keep one of them".to_owned(),
        );
    }
    if let Some(entry) = step.get("at") {
        let at = match &entry.value.value {
            Value::Text(text) => time::parse(text),
            _ => None,
        };
        return at.unwrap_or_else(|| {
            fields.wrong(
                entry.value.span,
                "`at` must be a time".to_owned(),
                "write it as `2026-01-05T10:00:00Z`".to_owned(),
            );
            BEGIN
        });
    }
    match (clock.last, after(step, fields)) {
        (Some(last), Some(after)) => last.saturating_add(after),
        (Some(last), None) => last.saturating_add(every),
        (None, after) => BEGIN.saturating_add(after.unwrap_or(0)),
    }
}

/// A jump of the clock, back as well: `after: -2h` is an activity that arrives late.
fn after(step: &Node, fields: &mut Fields) -> Option<i64> {
    let entry = step.get("after")?;
    if let Value::Text(text) = &entry.value.value
        && let Some(back) = text.strip_prefix('-').and_then(casbah_yaml::duration)
    {
        return Some(-back);
    }
    fields.duration(step, "after")
}

pub(super) fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

fn read_cells(step: &Node, fields: &mut Fields) -> Vec<(&'static str, Cell)> {
    let mut cells = Vec::new();
    for entry in entries(step).iter().filter(|entry| !STEP_KEYS.contains(&entry.key.as_str())) {
        let column = vocabulary::column(&entry.key).filter(|column| column.name != "sequence");
        let Some(column) = column else {
            unknown_column(entry, fields);
            continue;
        };
        match cell(&entry.value.value, column.column_type) {
            Ok(cell) => cells.push((column.name, cell)),
            Err(wanted) => fields.wrong(
                entry.value.span,
                format!("column `{}` is {wanted}, this is {}", entry.key, entry.value.value.what()),
                match entry.value.value {
                    Value::Integer(_) | Value::Number(_) | Value::Bool(_)
                        if column.column_type == ColumnType::Text =>
                    {
                        "put it in quotes".to_owned()
                    }
                    _ => String::new(),
                },
            ),
        }
    }
    cells
}

fn unknown_column(entry: &Entry, fields: &mut Fields) {
    let known = vocabulary::COLUMNS
        .iter()
        .map(|column| column.name)
        .filter(|&name| name != "sequence")
        .chain(STEP_KEYS.iter().copied());
    let hint = match suggest::nearest(&entry.key, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "columns are those of the published vocabulary; what the app says beyond them goes into `fields: {name: value}`".to_owned(),
    };
    fields.wrong_kind(
        PolicyProblemKind::Key,
        entry.span,
        format!("there is no column `{}`", shown(&entry.key)),
        hint,
    );
}

pub(super) fn cell(value: &Value, column_type: ColumnType) -> Result<Cell, &'static str> {
    Ok(match (column_type, value) {
        (_, Value::Null) => Cell::Absent,
        (ColumnType::Text, Value::Text(text)) => Cell::Text(text.as_str().into()),
        (ColumnType::Text, _) => return Err("a text"),
        (ColumnType::Flag, Value::Bool(flag)) => Cell::Integer(i64::from(*flag)),
        (ColumnType::Flag, _) => return Err("a flag: true or false"),
        (ColumnType::Integer, Value::Integer(value)) => Cell::Integer(*value),
        (ColumnType::Integer, _) => return Err("a whole number"),
        (ColumnType::Time, Value::Text(text)) => {
            Cell::Integer(time::parse(text).ok_or("a time such as 2026-01-05T10:00:00Z")?)
        }
        (ColumnType::Time, _) => return Err("a time such as 2026-01-05T10:00:00Z"),
        (ColumnType::Number, Value::Number(value)) => Cell::Number(*value),
        (ColumnType::Number, Value::Integer(value)) => Cell::Number(*value as f64),
        (ColumnType::Number, _) => return Err("a number"),
    })
}

/// What an app says beyond the columns is text, as the adapter writes it.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

fn read_fields(step: &Node, fields: &mut Fields) -> Vec<(String, String)> {
    let Some(entry) = step.get("fields") else { return Vec::new() };
    if !fields.is_map(&entry.value, "`fields`") {
        return Vec::new();
    }
    let mut out = Vec::new();
    for field in entries(&entry.value) {
        // A key may occur several times, as the elements of a list do.
        let one = std::slice::from_ref(&field.value);
        let values = if let Value::List(items) = &field.value.value { items } else { one };
        for value in values {
            match plain(&value.value) {
                Some(value) => out.push((field.key.clone(), value)),
                None => fields.wrong(
                    value.span,
                    format!("field `{}` must be a text", shown(&field.key)),
                    "write it as the adapter does: what is not a text is JSON in quotes".to_owned(),
                ),
            }
        }
    }
    out
}

type Object = Vec<(String, String)>;

fn read_objects(step: &Node, fields: &mut Fields) -> Option<Vec<Object>> {
    let entry = step.get("objects")?;
    let Value::List(items) = &entry.value.value else {
        fields.wrong(
            entry.value.span,
            format!("`objects` must be a list, this is {}", entry.value.value.what()),
            "write `objects: [{role: object, kind: sheet, id: \"1\"}]`".to_owned(),
        );
        return None;
    };
    let mut objects = Vec::new();
    for item in items {
        if !fields.is_map(item, "an object") {
            continue;
        }
        fields.only(item, OBJECT_KEYS, "an object");
        let mut object = Vec::new();
        for part in entries(item) {
            match plain(&part.value.value) {
                Some(value) => object.push((part.key.clone(), value)),
                None => not_text(part.value.span, &part.key, fields),
            }
        }
        objects.push(object);
    }
    Some(objects)
}

fn not_text(span: Span, key: &str, fields: &mut Fields) {
    fields.wrong(span, format!("`{}` must be a text", shown(key)), String::new());
}

/// Fills up what every adapter and the host always say.
fn complete(activity: &mut Activity, objects: bool, at: i64, given: &Given, number: usize) {
    activity.fill("time", || Cell::Integer(at));
    activity.fill("received", || Cell::Integer(at));
    activity.fill("id", || Cell::Text(format!("test-{number}").into()));
    activity.fill("connection", || Cell::Usual("test"));
    activity.fill("actor", || Cell::Usual("ana@example.com"));
    activity.fill("actor.type", || Cell::Usual("user"));
    activity.fill("result", || Cell::Usual("success"));
    if let Some(app) = &given.app {
        activity.fill("app", || Cell::Text(Arc::clone(app)));
    }
    given.facts.fill(activity);
    if activity.text("actor").is_some_and(|actor| actor.contains('@')) {
        derive(activity, "actor", "actor.email");
    }
    derive(activity, "actor", "person");
    let domain = activity
        .text("recipient")
        .and_then(|recipient| recipient.rsplit_once('@'))
        .map(|(_, domain)| domain.to_lowercase());
    if let Some(domain) = domain {
        activity.fill("recipient.domain", || Cell::Text(domain.into()));
    }
    if !objects {
        let object: Object = [("kind", "object.kind"), ("id", "object"), ("name", "object.name")]
            .into_iter()
            .filter_map(|(key, column)| Some((key.to_owned(), text(activity, column)?.to_owned())))
            .collect();
        if !object.is_empty() {
            let mut row = vec![("role".to_owned(), "object".to_owned())];
            row.extend(object);
            activity.objects.push(row);
        }
    }
}

impl Activity {
    /// The text of a column.
    pub(super) fn text(&self, column: &str) -> Option<&str> {
        text(self, column)
    }

    /// When it happens, ms since 1970.
    pub(super) fn time(&self) -> Option<i64> {
        self.cells.iter().find(|(name, _)| *name == "time").and_then(|(_, cell)| match cell {
            Cell::Integer(time) => Some(*time),
            _ => None,
        })
    }

    /// Sets a column that nothing is said of yet.
    pub(super) fn fill(&mut self, column: &'static str, cell: impl FnOnce() -> Cell) {
        if !self.cells.iter().any(|(name, _)| *name == column) {
            self.cells.push((column, cell()));
        }
    }
}

fn text<'a>(activity: &'a Activity, column: &str) -> Option<&'a str> {
    activity.cells.iter().find(|(name, _)| *name == column).and_then(|(_, cell)| match cell {
        Cell::Text(text) => Some(text.as_ref()),
        Cell::Usual(text) => Some(*text),
        _ => None,
    })
}

/// Sets a column from a text in another one, unless something is said about it.
fn derive(activity: &mut Activity, from: &str, column: &'static str) {
    let cell = activity.cells.iter().find(|(name, _)| *name == from).map(|(_, cell)| cell);
    if let Some(cell @ (Cell::Text(_) | Cell::Usual(_))) = cell {
        let cell = cell.clone();
        activity.fill(column, || cell);
    }
}
