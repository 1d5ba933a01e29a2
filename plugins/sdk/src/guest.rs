//! The side of the boundary that lies in the sandbox: between generated bindings and plain types.

use std::cell::RefCell;

use casbah_model::adapter::{self as model_adapter, Failure, Next, PlanRequest};
use casbah_model::table::{Column, Nested, Texts, Values};
use casbah_model::{Batch, Outcome, Problem, Severity, StateKey};

/// Bindings of a detector.
#[allow(
    missing_docs,
    unsafe_code,
    clippy::allow_attributes,
    clippy::all,
    reason = "generated code"
)]
pub mod detector_bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "detector-plugin",
        pub_export_macro: true,
        export_macro_name: "__export_detector_component",
        default_bindings_module: "casbah_plugin::guest::detector_bindings",
    });
}

/// Bindings of an adapter.
#[allow(
    missing_docs,
    unsafe_code,
    clippy::allow_attributes,
    clippy::all,
    reason = "generated code"
)]
pub mod adapter_bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "adapter-plugin",
        pub_export_macro: true,
        export_macro_name: "__export_adapter_component",
        default_bindings_module: "casbah_plugin::guest::adapter_bindings",
        with: { "casbah:plugin/log@0.1.0": crate::guest::detector_bindings::casbah::plugin::log },
    });
}

pub use adapter_bindings::exports::casbah::plugin::adapter as adapter_wit;
pub use detector_bindings::exports::casbah::plugin::detector as detector_wit;

pub(crate) fn log(line: &str) {
    detector_bindings::casbah::plugin::log::write(line);
}

/// A panic ends the call; its message goes to the host's log first, where it becomes the error.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| log(&format!("panic: {info}"))));
}

/// Moves a table from the generated types to the model's; nothing is copied but the names' places.
macro_rules! table_conversions {
    ($wit:ident) => {
        fn batch_in(batch: $wit::Batch) -> Batch {
            Batch {
                rows: batch.rows,
                texts: Texts::from_parts(batch.texts.bytes, batch.texts.ends),
                columns: batch.columns.into_iter().map(column_in).collect(),
                nested: batch
                    .nested
                    .into_iter()
                    .map(|nested| Nested {
                        name: nested.name,
                        ends: nested.ends,
                        columns: nested.columns.into_iter().map(column_in).collect(),
                    })
                    .collect(),
            }
        }

        fn column_in(column: $wit::Column) -> Column {
            Column {
                name: column.name,
                values: match column.values {
                    $wit::Values::Text(values) => Values::Text(values),
                    $wit::Values::Integer(values) => Values::Integer(values),
                    $wit::Values::Number(values) => Values::Number(values),
                },
            }
        }
    };
}

/// A detector between `configure` and the end of its batch.
pub struct Slot<D>(RefCell<Option<D>>);

// SAFETY is not at stake: a component has one thread, and the cell checks itself.
#[allow(unsafe_code, clippy::allow_attributes, reason = "a component instance has one thread only")]
unsafe impl<D> Sync for Slot<D> {}

impl<D> Slot<D> {
    /// An empty slot.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    fn with<T>(&self, each: impl FnOnce(&mut D) -> Result<T, String>) -> Result<T, String> {
        match self.0.borrow_mut().as_mut() {
            Some(detector) => each(detector),
            None => Err("the detector was called before it was configured".to_owned()),
        }
    }
}

/// The detector's exports, in terms of the model.
pub mod detector {
    use super::*;
    use detector_bindings::casbah::plugin::table;
    use detector_wit as wit;

    table_conversions!(table);

    /// `describe`.
    pub fn describe<D: crate::Detector>() -> String {
        report_panics();
        serde_json::to_string(&D::describe()).unwrap_or_default()
    }

    /// `configure`.
    pub fn configure<D: crate::Detector>(
        slot: &Slot<D>,
        policies: Vec<String>,
    ) -> Result<(), Vec<wit::Problem>> {
        report_panics();
        match D::configure(&policies) {
            Ok(detector) => {
                slot.0.replace(Some(detector));
                Ok(())
            }
            Err(problems) => Err(problems
                .into_iter()
                .map(|Problem { policy, pointer, message }| wit::Problem {
                    policy,
                    pointer,
                    message,
                })
                .collect()),
        }
    }

    /// `begin`.
    pub fn begin<D: crate::Detector>(
        slot: &Slot<D>,
        batch: table::Batch,
    ) -> Result<wit::StateKeys, String> {
        let keys = slot.with(|detector| detector.begin(batch_in(batch)))?;
        let mut policies = Vec::with_capacity(keys.len());
        let mut blobs = Packer::default();
        for StateKey { policy, key } in &keys {
            policies.push(*policy);
            blobs.push(key.as_bytes());
        }
        Ok(wit::StateKeys { policies, keys: blobs.finish() })
    }

    /// `finish`.
    pub fn finish<D: crate::Detector>(
        slot: &Slot<D>,
        states: table::Blobs,
    ) -> Result<wit::Outcome, String> {
        let mut start = 0;
        let mut unpacked = Vec::with_capacity(states.ends.len());
        for &end in &states.ends {
            let end = end as usize;
            unpacked.push(states.bytes.get(start..end).unwrap_or_default().to_vec());
            start = end;
        }
        let outcome = slot.with(|detector| detector.finish(&unpacked))?;
        Ok(outcome_out(outcome))
    }

    fn outcome_out(outcome: Outcome) -> wit::Outcome {
        let mut changed = Vec::with_capacity(outcome.changes.len());
        let mut values = Packer::default();
        for (place, value) in &outcome.changes {
            changed.push(*place);
            values.push(value);
        }
        wit::Outcome {
            findings: outcome
                .findings
                .into_iter()
                .map(|finding| wit::Finding {
                    policy: finding.policy,
                    group: finding.group,
                    start: finding.start,
                    first: finding.first,
                    last: finding.last,
                    evidence: finding
                        .evidence
                        .iter()
                        .map(|one| wit::Evidence { time: one.time, sequence: one.sequence })
                        .collect(),
                    summary: finding.summary,
                    details: finding.details,
                    severity: finding.severity.map(|severity| match severity {
                        Severity::Info => wit::Severity::Info,
                        Severity::Low => wit::Severity::Low,
                        Severity::Medium => wit::Severity::Medium,
                        Severity::High => wit::Severity::High,
                        Severity::Critical => wit::Severity::Critical,
                    }),
                    behavior: finding.behavior,
                })
                .collect(),
            changed,
            values: values.finish(),
        }
    }

    #[derive(Default)]
    struct Packer {
        bytes: Vec<u8>,
        ends: Vec<u32>,
    }

    impl Packer {
        fn push(&mut self, bytes: &[u8]) {
            self.bytes.extend_from_slice(bytes);
            self.ends.push(self.bytes.len() as u32);
        }

        fn finish(self) -> table::Blobs {
            table::Blobs { bytes: self.bytes, ends: self.ends }
        }
    }
}

/// The adapter's exports, in terms of the model.
pub mod adapter {
    use super::*;
    use adapter_bindings::casbah::plugin::table;
    use adapter_wit as wit;

    fn batch_out(batch: Batch) -> table::Batch {
        let (bytes, ends) = batch.texts.into_parts();
        table::Batch {
            rows: batch.rows,
            texts: table::Texts { bytes, ends },
            columns: batch.columns.into_iter().map(column_out).collect(),
            nested: batch
                .nested
                .into_iter()
                .map(|nested| table::Nested {
                    name: nested.name,
                    ends: nested.ends,
                    columns: nested.columns.into_iter().map(column_out).collect(),
                })
                .collect(),
        }
    }

    fn column_out(column: Column) -> table::Column {
        table::Column {
            name: column.name,
            values: match column.values {
                Values::Text(values) => table::Values::Text(values),
                Values::Integer(values) => table::Values::Integer(values),
                Values::Number(values) => table::Values::Number(values),
            },
        }
    }

    fn request_in(request: wit::PlanRequest) -> PlanRequest {
        PlanRequest {
            stream: request.stream,
            cursor: request.cursor,
            settings: request.settings,
            now: request.now,
            since: request.since,
            newest: request.newest,
            page_size: request.page_size,
            recover: request.recover,
        }
    }

    fn failure_out(failure: Failure) -> wit::Failure {
        wit::Failure {
            class: failure.class,
            code: failure.code,
            message: failure.message,
            remedy: failure.remedy,
            retry_after: failure.retry_after,
        }
    }

    /// `describe`.
    pub fn describe<A: crate::Adapter>() -> String {
        report_panics();
        serde_json::to_string(&A::describe()).unwrap_or_default()
    }

    /// `plan`.
    pub fn plan<A: crate::Adapter>(
        request: wit::PlanRequest,
    ) -> Result<wit::HttpRequest, wit::Failure> {
        report_panics();
        let request = A::plan(&request_in(request)).map_err(failure_out)?;
        Ok(wit::HttpRequest {
            method: request.method,
            host: request.host,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: request.body,
        })
    }

    /// `read`.
    pub fn read<A: crate::Adapter>(response: wit::Response) -> Result<wit::Page, wit::Failure> {
        report_panics();
        let response = model_adapter::Response {
            request: request_in(response.request),
            status: response.status,
            headers: response.headers,
            body: response.body,
        };
        let page = A::read(&response).map_err(failure_out)?;
        Ok(wit::Page {
            next: match page.next {
                Next::More => wit::Next::More,
                Next::CaughtUp => wit::Next::CaughtUp,
                Next::Wait(ms) => wit::Next::Wait(ms),
            },
            cursor: page.cursor,
            batch: batch_out(page.batch),
            raw: page.raw,
            facts: page.facts,
        })
    }

    /// `normalize`.
    pub fn normalize<A: crate::Adapter>(
        settings: String,
        body: Vec<u8>,
        raw: Vec<u32>,
    ) -> Result<table::Batch, wit::Failure> {
        report_panics();
        A::normalize(&settings, &body, &raw).map(batch_out).map_err(failure_out)
    }

    /// `split`.
    pub fn split<A: crate::Adapter>(body: Vec<u8>) -> Result<Vec<u32>, wit::Failure> {
        report_panics();
        A::split(&body).map_err(failure_out)
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_detector {
    ($detector:ty) => {
        mod __casbah_export {
            use super::*;
            use $crate::guest::{Slot, detector, detector_bindings, detector_wit};

            static SLOT: Slot<$detector> = Slot::new();

            struct Component;

            impl detector_wit::Guest for Component {
                fn describe() -> String {
                    detector::describe::<$detector>()
                }
                fn configure(policies: Vec<String>) -> Result<(), Vec<detector_wit::Problem>> {
                    detector::configure(&SLOT, policies)
                }
                fn begin(
                    batch: detector_wit::Batch,
                ) -> Result<detector_wit::StateKeys, String> {
                    detector::begin(&SLOT, batch)
                }
                fn finish(
                    states: detector_wit::Blobs,
                ) -> Result<detector_wit::Outcome, String> {
                    detector::finish(&SLOT, states)
                }
            }

            $crate::guest::detector_bindings::__export_detector_component!(Component with_types_in $crate::guest::detector_bindings);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_adapter {
    ($adapter:ty) => {
        mod __casbah_export {
            use super::*;
            use $crate::guest::{adapter, adapter_bindings, adapter_wit};

            struct Component;

            impl adapter_wit::Guest for Component {
                fn describe() -> String {
                    adapter::describe::<$adapter>()
                }
                fn plan(
                    request: adapter_wit::PlanRequest,
                ) -> Result<adapter_wit::HttpRequest, adapter_wit::Failure> {
                    adapter::plan::<$adapter>(request)
                }
                fn read(
                    response: adapter_wit::Response,
                ) -> Result<adapter_wit::Page, adapter_wit::Failure> {
                    adapter::read::<$adapter>(response)
                }
                fn normalize(
                    settings: String,
                    body: Vec<u8>,
                    raw: Vec<u32>,
                ) -> Result<adapter_wit::Batch, adapter_wit::Failure> {
                    adapter::normalize::<$adapter>(settings, body, raw)
                }
                fn split(body: Vec<u8>) -> Result<Vec<u32>, adapter_wit::Failure> {
                    adapter::split::<$adapter>(body)
                }
            }

            $crate::guest::adapter_bindings::__export_adapter_component!(Component with_types_in $crate::guest::adapter_bindings);
        }
    };
}
