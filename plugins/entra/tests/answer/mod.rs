//! Answers of Graph as tests make them, and what the adapter makes of them.
#![allow(dead_code, clippy::allow_attributes, reason = "every test file uses a part of it")]

use casbah_entra::Entra;
use casbah_model::Batch;
use casbah_model::adapter::{Adapter, Failure, Page, PlanRequest, Response};
use casbah_model::table::Values;
use casbah_plugin::{NativeAdapter, Row};
use serde_json::Value;

/// 2026-01-15T12:00:00Z.
pub(crate) const NOW: i64 = 1_768_478_400_000;

/// The least that a connection needs.
pub(crate) const SETTINGS: &str = r#"{"tenant": "contoso.example"}"#;

/// The adapter as the host sees it.
pub(crate) fn adapter() -> NativeAdapter<Entra> {
    NativeAdapter::new()
}

/// The first request of a stream.
pub(crate) fn request(stream: &str) -> PlanRequest {
    PlanRequest {
        stream: stream.to_owned(),
        cursor: None,
        settings: SETTINGS.to_owned(),
        now: NOW,
        since: NOW - 7 * 86_400_000,
        newest: None,
        page_size: 1000,
        recover: false,
    }
}

/// A response of status 200.
pub(crate) fn response(request: PlanRequest, body: impl Into<Vec<u8>>) -> Response {
    Response { request, status: 200, headers: Vec::new(), body: body.into() }
}

/// What a published sample answers to a request.
pub(crate) fn sample(request: PlanRequest, name: &str) -> Response {
    let path = format!("{}/data/samples/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let sample: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let headers = sample["headers"].as_object().into_iter().flatten();
    Response {
        request,
        status: sample["status"].as_u64().unwrap_or(400) as u16,
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()))
            .collect(),
        body: sample["body"].to_string().into_bytes(),
    }
}

/// The page of an answer, checked as the host checks it.
pub(crate) fn read(response: &Response) -> Result<Page, Failure> {
    let page = adapter().read(response)?;
    page.batch.check().unwrap();
    assert_eq!(page.raw.len(), page.batch.len() * 2);
    for span in page.raw.chunks(2) {
        let record = &response.body[span[0] as usize..span[1] as usize];
        assert!(record.starts_with(b"{") && record.ends_with(b"}"));
    }
    Ok(page)
}

/// Every row of a batch of accounts or memberships: its cells in order of the alphabet.
pub(crate) fn rows(batch: &Batch) -> Vec<String> {
    (0..batch.len()).map(|row| lines(batch, row).join(", ")).collect()
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
    lines.sort();
    lines
}
