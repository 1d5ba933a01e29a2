//! Activities as tests look at them: by name, out of the batch.
#![allow(dead_code, clippy::allow_attributes, reason = "every test file uses a part of it")]

use casbah_model::Batch;
use casbah_model::adapter::{Adapter, PlanRequest, Response};
use casbah_model::table::Values;
use casbah_netdocuments::NetDocuments;
use casbah_plugin::{NativeAdapter, Row};

/// 2026-01-15T12:00:00Z, a moment after the samples.
pub(crate) const NOW: i64 = 1_768_478_400_000;

/// The least that a connection needs.
pub(crate) const SETTINGS: &str = r#"{"repository": "CA-EXAMPLE1"}"#;

/// The adapter as the host sees it.
pub(crate) fn adapter() -> NativeAdapter<NetDocuments> {
    NativeAdapter::new()
}

/// A request of a stream, with a position whose window is the day and a half before [`NOW`].
pub(crate) fn request(stream: &str) -> PlanRequest {
    PlanRequest {
        stream: stream.to_owned(),
        cursor: Some(format!(r#"{{"at":{},"window":200000}}"#, NOW - 36 * 3_600_000)),
        settings: SETTINGS.to_owned(),
        now: NOW,
        since: NOW - 7 * 86_400_000,
        newest: None,
        page_size: 604_800,
        recover: false,
    }
}

/// A response of status 200.
pub(crate) fn response(stream: &str, body: impl Into<Vec<u8>>) -> Response {
    Response { request: request(stream), status: 200, headers: Vec::new(), body: body.into() }
}

/// The activities of a saved log.
pub(crate) fn normalized(body: &str, settings: &str) -> Batch {
    let raw = adapter().split(body.as_bytes()).unwrap();
    let batch = adapter().normalize(settings, body.as_bytes(), &raw).unwrap();
    batch.check().unwrap();
    assert_eq!(raw.len(), 2 * batch.len());
    batch
}

/// Everything that a row says, a line each, in order of the alphabet.
pub(crate) fn lines(batch: &Batch, row: usize) -> Vec<String> {
    let mut lines: Vec<String> = batch
        .columns
        .iter()
        .filter_map(|column| {
            let value = match &column.values {
                Values::Text(ids) if ids[row] != 0 => batch.texts.get(ids[row]).to_owned(),
                Values::Integer(values) if values[row] != i64::MIN => values[row].to_string(),
                _ => return None,
            };
            Some(format!("{}: {value}", column.name))
        })
        .collect();
    let view = Row::new(batch, row);
    for (key, value) in view.nested("fields", "key").zip(view.nested("fields", "value")) {
        lines.push(format!("fields.{key}: {value}"));
    }
    if let Some(objects) = batch.nested("objects") {
        // By columns: one that no row fills is not there at all.
        let cell = |column: &str, at: usize| match objects.column(column) {
            Some(Values::Text(ids)) => batch.texts.get(ids[at]).to_owned(),
            _ => String::new(),
        };
        for at in objects.range(row) {
            let (role, id, name) = (cell("role", at), cell("id", at), cell("name", at));
            lines.push(format!("objects.{role}: {id} {name}"));
        }
    }
    lines.sort();
    lines
}
