//! The interface of `wit/plugin.wit` as Rust types, by hand rather than by `bindgen!`.
//!
//! What goes in borrows from the host's types, so that lowering a batch is a handful of copies of
//! whole columns; what comes out is owned and moved into the host's types. The form is checked
//! against each component when it is loaded.

use casbah_model::adapter::{Next, PlanRequest, Response};
use casbah_model::{Batch, Column, Nested, Severity, Texts, Values};
use wasmtime::component::{ComponentType, Lift, Lower};

// Into the sandbox.

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct TextsIn<'a> {
    bytes: &'a str,
    ends: &'a [u32],
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(crate) enum ValuesIn<'a> {
    #[component(name = "text")]
    Text(&'a [u32]),
    #[component(name = "integer")]
    Integer(&'a [i64]),
    #[component(name = "number")]
    Number(&'a [f64]),
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct ColumnIn<'a> {
    name: &'a str,
    values: ValuesIn<'a>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct NestedIn<'a> {
    name: &'a str,
    ends: &'a [u32],
    columns: Vec<ColumnIn<'a>>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct BatchIn<'a> {
    rows: u32,
    texts: TextsIn<'a>,
    columns: Vec<ColumnIn<'a>>,
    nested: Vec<NestedIn<'a>>,
}

impl<'a> ColumnIn<'a> {
    fn new(column: &'a Column) -> Self {
        let values = match &column.values {
            Values::Text(ids) => ValuesIn::Text(ids),
            Values::Integer(values) => ValuesIn::Integer(values),
            Values::Number(values) => ValuesIn::Number(values),
        };
        Self { name: &column.name, values }
    }
}

impl<'a> BatchIn<'a> {
    /// The batch with only the named columns and nested tables; `*` stands for all of them.
    pub(crate) fn project(batch: &'a Batch, columns: &[String], nested: &[String]) -> Self {
        Self {
            rows: batch.rows,
            texts: TextsIn { bytes: batch.texts.bytes(), ends: batch.texts.ends() },
            columns: batch
                .columns
                .iter()
                .filter(|column| named(columns, &column.name))
                .map(ColumnIn::new)
                .collect(),
            nested: batch
                .nested
                .iter()
                .filter(|table| named(nested, &table.name))
                .map(|table| NestedIn {
                    name: &table.name,
                    ends: &table.ends,
                    columns: table.columns.iter().map(ColumnIn::new).collect(),
                })
                .collect(),
        }
    }
}

fn named(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known == name || known == "*")
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct BlobsIn<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) ends: &'a [u32],
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct PlanRequestIn<'a> {
    stream: &'a str,
    cursor: Option<&'a str>,
    settings: &'a str,
    now: i64,
    since: i64,
    newest: Option<i64>,
    #[component(name = "page-size")]
    page_size: u32,
    recover: bool,
}

impl<'a> PlanRequestIn<'a> {
    pub(crate) fn new(request: &'a PlanRequest) -> Self {
        Self {
            stream: &request.stream,
            cursor: request.cursor.as_deref(),
            settings: &request.settings,
            now: request.now,
            since: request.since,
            newest: request.newest,
            page_size: request.page_size,
            recover: request.recover,
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct ResponseIn<'a> {
    request: PlanRequestIn<'a>,
    status: u16,
    headers: &'a [(String, String)],
    body: &'a [u8],
}

impl<'a> ResponseIn<'a> {
    pub(crate) fn new(response: &'a Response) -> Self {
        Self {
            request: PlanRequestIn::new(&response.request),
            status: response.status,
            headers: &response.headers,
            body: &response.body,
        }
    }
}

// Out of the sandbox.

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct TextsOut {
    bytes: String,
    ends: Vec<u32>,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum ValuesOut {
    #[component(name = "text")]
    Text(Vec<u32>),
    #[component(name = "integer")]
    Integer(Vec<i64>),
    #[component(name = "number")]
    Number(Vec<f64>),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct ColumnOut {
    name: String,
    values: ValuesOut,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct NestedOut {
    name: String,
    ends: Vec<u32>,
    columns: Vec<ColumnOut>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct BatchOut {
    rows: u32,
    texts: TextsOut,
    columns: Vec<ColumnOut>,
    nested: Vec<NestedOut>,
}

impl From<ColumnOut> for Column {
    fn from(column: ColumnOut) -> Self {
        let values = match column.values {
            ValuesOut::Text(ids) => Values::Text(ids),
            ValuesOut::Integer(values) => Values::Integer(values),
            ValuesOut::Number(values) => Values::Number(values),
        };
        Self { name: column.name, values }
    }
}

/// Not checked yet: see [`crate::returned::batch`].
impl From<BatchOut> for Batch {
    fn from(batch: BatchOut) -> Self {
        Self {
            rows: batch.rows,
            texts: Texts::from_parts(batch.texts.bytes, batch.texts.ends),
            columns: batch.columns.into_iter().map(Column::from).collect(),
            nested: batch
                .nested
                .into_iter()
                .map(|table| Nested {
                    name: table.name,
                    ends: table.ends,
                    columns: table.columns.into_iter().map(Column::from).collect(),
                })
                .collect(),
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct BlobsOut {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<u32>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct ProblemOut {
    pub(crate) policy: u32,
    pub(crate) pointer: String,
    pub(crate) message: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct StateKeysOut {
    pub(crate) policies: Vec<u32>,
    pub(crate) keys: BlobsOut,
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the cases are made by lifting")]
pub(crate) enum SeverityOut {
    #[component(name = "info")]
    Info,
    #[component(name = "low")]
    Low,
    #[component(name = "medium")]
    Medium,
    #[component(name = "high")]
    High,
    #[component(name = "critical")]
    Critical,
}

impl From<SeverityOut> for Severity {
    fn from(severity: SeverityOut) -> Self {
        match severity {
            SeverityOut::Info => Self::Info,
            SeverityOut::Low => Self::Low,
            SeverityOut::Medium => Self::Medium,
            SeverityOut::High => Self::High,
            SeverityOut::Critical => Self::Critical,
        }
    }
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(record)]
pub(crate) struct EvidenceOut {
    pub(crate) time: i64,
    pub(crate) sequence: u64,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct FindingOut {
    pub(crate) policy: u32,
    pub(crate) group: Vec<(String, String)>,
    pub(crate) start: i64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) evidence: Vec<EvidenceOut>,
    pub(crate) summary: String,
    pub(crate) details: Vec<(String, String)>,
    pub(crate) severity: Option<SeverityOut>,
    pub(crate) behavior: bool,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct OutcomeOut {
    pub(crate) findings: Vec<FindingOut>,
    pub(crate) changed: Vec<u32>,
    pub(crate) values: BlobsOut,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct HttpRequestOut {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum NextOut {
    #[component(name = "more")]
    More,
    #[component(name = "caught-up")]
    CaughtUp,
    #[component(name = "wait")]
    Wait(u64),
}

impl From<NextOut> for Next {
    fn from(next: NextOut) -> Self {
        match next {
            NextOut::More => Self::More,
            NextOut::CaughtUp => Self::CaughtUp,
            NextOut::Wait(milliseconds) => Self::Wait(milliseconds),
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct PageOut {
    pub(crate) next: NextOut,
    pub(crate) cursor: String,
    pub(crate) batch: BatchOut,
    pub(crate) raw: Vec<u32>,
    pub(crate) facts: Vec<(String, String)>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct FailureOut {
    pub(crate) class: String,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) remedy: String,
    #[component(name = "retry-after")]
    pub(crate) retry_after: Option<u64>,
}
