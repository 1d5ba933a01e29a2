//! The adapter for JSON records of any kind: audit logs that no adapter of ours fetches, looked
//! through where they were saved.
//!
//! Every scalar of a record is kept as a field under its dotted path; a small mapping says which
//! paths hold time, actor, address and object. `README.md` beside this crate is the reference of
//! mappings.
//!
//! It fetches nothing, and knows no app: what is in a record that the mapping does not name means
//! what the record's own app says it means.

mod cells;
mod mapping;
mod records;
mod split;

use casbah_plugin::{
    Adapter, AdapterDescription, Batch, Failure, HttpRequest, Page, PlanRequest, Response, class,
};

/// The adapter for JSON records.
pub struct Json;

casbah_plugin::export_adapter!(Json);

impl Adapter for Json {
    fn describe() -> AdapterDescription {
        AdapterDescription {
            name: "json".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            title: "JSON records".to_owned(),
            regions: Vec::new(),
            oauth: None,
            personal_token: false,
            streams: Vec::new(),
            requests_per_minute: 1,
            retention_days: 0,
            settings: mapping::schema(),
            limitations: vec![
                "It looks through saved files (casbah scan, casbah normalize) and fetches nothing."
                    .to_owned(),
            ],
            directory: false,
        }
    }

    fn plan(_request: &PlanRequest) -> Result<HttpRequest, Failure> {
        Err(nothing_to_fetch())
    }

    fn read(_response: &Response) -> Result<Page, Failure> {
        Err(nothing_to_fetch())
    }

    fn normalize(settings: &str, body: &[u8], raw: &[u32]) -> Result<Batch, Failure> {
        records::normalize(&mapping::read(settings)?, body, raw)
    }

    fn split(body: &[u8]) -> Result<Vec<u32>, Failure> {
        split::split(body)
    }
}

fn nothing_to_fetch() -> Failure {
    Failure {
        class: class::REFUSED.to_owned(),
        message: "JSON records are not fetched from anywhere".to_owned(),
        remedy: "Save them to a file, and look through it with `casbah scan --app json`."
            .to_owned(),
        ..Failure::default()
    }
}
