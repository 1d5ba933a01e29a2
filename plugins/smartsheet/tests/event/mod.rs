//! Activities as tests look at them: by name, out of the batch.
#![allow(dead_code, clippy::allow_attributes, reason = "every test file uses a part of it")]

use std::fmt::Write;

use casbah_model::Batch;
use casbah_model::adapter::{Adapter, PlanRequest, Response};
use casbah_model::table::Values;
use casbah_plugin::NativeAdapter;
use casbah_smartsheet::Smartsheet;
use serde_json::{Value, json};

/// The adapter as the host sees it.
pub(crate) fn adapter() -> NativeAdapter<Smartsheet> {
    NativeAdapter::new()
}

/// A response of status 200 to a request of the activities stream.
pub(crate) fn response(body: impl Into<Vec<u8>>, settings: &str) -> Response {
    Response {
        request: request("activities", None, settings),
        status: 200,
        headers: Vec::new(),
        body: body.into(),
    }
}

/// A request of a stream at 2026-11-20T10:30:00Z, with a backfill of seven days.
pub(crate) fn request(stream: &str, cursor: Option<&str>, settings: &str) -> PlanRequest {
    let now = 1_795_170_600_000;
    PlanRequest {
        stream: stream.to_owned(),
        cursor: cursor.map(str::to_owned),
        settings: settings.to_owned(),
        now,
        since: now - 7 * 86_400_000,
        newest: None,
        page_size: 10_000,
        recover: false,
    }
}

/// A page of the given events.
pub(crate) fn page_of(events: &[Value]) -> Vec<u8> {
    json!({"data": events, "moreAvailable": false, "nextStreamPosition": "p1"})
        .to_string()
        .into_bytes()
}

/// The batch of the given events, checked the way the host does.
pub(crate) fn normalized(events: &[Value], settings: &str) -> Batch {
    let page = adapter().read(&response(page_of(events), settings)).unwrap();
    page.batch.check().unwrap();
    assert_eq!(page.batch.len(), events.len());
    assert_eq!(page.raw.len(), 2 * events.len());
    page.batch
}

/// The activities of the given events.
pub(crate) fn activities(events: &[Value], settings: &str) -> Vec<Activity> {
    let batch = normalized(events, settings);
    (0..batch.len()).map(|row| Activity::of(&batch, row)).collect()
}

/// The activity of one event.
pub(crate) fn activity(event: Value) -> Activity {
    activities(&[event], "").remove(0)
}

/// One row of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Activity {
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) objects: Vec<Object>,
    pub(crate) fields: Vec<(String, String)>,
}

/// One object of an activity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) role: String,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Activity {
    pub(crate) fn of(batch: &Batch, row: usize) -> Self {
        let mut columns = Vec::new();
        for column in &batch.columns {
            let value = match &column.values {
                Values::Text(ids) if ids[row] != 0 => batch.texts.get(ids[row]).to_owned(),
                Values::Integer(values) if values[row] != i64::MIN => values[row].to_string(),
                Values::Number(values) if !values[row].is_nan() => values[row].to_string(),
                _ => continue,
            };
            columns.push((column.name.clone(), value));
        }
        let nested = |table: &str, column: &str| -> Vec<String> {
            let Some(nested) = batch.nested(table) else { return Vec::new() };
            let values = nested.column(column);
            nested
                .range(row)
                .map(|inner| match values {
                    Some(Values::Text(ids)) => batch.texts.get(ids[inner]).to_owned(),
                    _ => String::new(),
                })
                .collect()
        };
        let objects = nested("objects", "role")
            .into_iter()
            .zip(nested("objects", "kind"))
            .zip(nested("objects", "id"))
            .zip(nested("objects", "name"))
            .map(|(((role, kind), id), name)| Object { role, kind, id, name })
            .collect();
        let fields = nested("fields", "key").into_iter().zip(nested("fields", "value")).collect();
        Self { columns, objects, fields }
    }

    /// A column as text; empty when absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.columns.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.text(name).parse().ok()
    }

    /// A field; empty when absent.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn object(&self, role: &str) -> Option<&Object> {
        self.objects.iter().find(|object| object.role == role)
    }

    /// Whether a text stands anywhere in the activity.
    pub(crate) fn holds(&self, text: &str) -> bool {
        self.columns.iter().chain(&self.fields).any(|(_, value)| value == text)
            || self.objects.iter().any(|object| object.id == text || object.name == text)
    }

    /// All of it, one thing a line, for snapshots.
    pub(crate) fn summary(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.columns {
            let _ = writeln!(out, "{name}={value}");
        }
        for object in &self.objects {
            let Object { role, kind, id, name } = object;
            let _ = writeln!(out, "{}", format!("  {role}: {kind} {id} {name}").trim_end());
        }
        for (key, value) in &self.fields {
            let _ = writeln!(out, "  fields.{key}: {value}");
        }
        out
    }
}
