//! casbah's words as plain types.
//!
//! A batch of activities is a packed table ([`table`]), its columns and kinds come from a published
//! vocabulary ([`vocabulary`]), detectors answer with [`finding`]s, and people look at [`alert`]s.
//! Host and plugins share this crate, so that the same code reads a batch on both sides.
//!
//! It is not: storage, network, policy files or a plugin interface. Nothing here does I/O or reads
//! a clock, and all of it compiles for `wasm32-unknown-unknown`.

pub mod adapter;
pub mod alert;
pub mod codec;
pub mod detector;
pub mod finding;
pub mod names;
pub mod table;
pub mod time;
pub mod vocabulary;

pub use alert::{Alert, AlertState, Evidence, Severity};
pub use detector::{DetectorError, Outcome, Problem};
pub use finding::{Finding, StateKey};
pub use names::{ConnectionName, NameError, TenantName};
pub use table::{Batch, BatchBuilder, Column, Nested, TableError, TextId, Texts, Values};
