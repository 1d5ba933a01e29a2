//! Write a casbah plugin in Rust.
//!
//! A detector is a type that implements [`Fold`] (a key for a row, and a step that folds rows into a
//! small state a key) or, for full control, [`Detector`]. An adapter implements [`Adapter`].
//! [`export_detector!`] and [`export_adapter!`] make a component of it when it is compiled for
//! `wasm32-unknown-unknown`; compiled natively, the very same code runs in `cargo test` through
//! [`native`]. `plugins/README.md` walks through a detector in ten minutes.
//!
//! It is not a way out of the sandbox: there are no files, sockets, clocks or random numbers. The
//! time is the time of the activities.

pub mod answer;
mod fold;
mod row;

pub mod body;
pub mod crowd;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
pub mod memo;
pub mod native;
pub mod record;
pub mod rows;
pub mod scan;
pub mod state;
pub mod trial;

pub use casbah_model as model;
pub use casbah_model::adapter::{
    AdapterDescription, ClientAuthentication, ClientGrant, Endpoint, Failure, HttpRequest, Next,
    OAuth, Page, Pkce, PlanRequest, Produces, Region, Response, Revoke, Rounds, Stream, class,
    facts,
};
pub use casbah_model::detector::{DetectorDescription, Outcome, Problem};
pub use casbah_model::{
    Batch, BatchBuilder, Evidence, Finding, Severity, StateKey, time, vocabulary,
};
pub use fold::{Fold, Folding, Found, Policy};
pub use native::{Native, NativeAdapter};
pub use row::Row;
pub use serde_json::json;
pub use trial::Trial;

/// A detector in its general form: it sees a batch, asks for state by key, and answers.
///
/// [`Fold`] is the shorter way for nearly everything.
pub trait Detector: Sized {
    /// What it is, what it reads, and the schema of its settings.
    fn describe() -> DetectorDescription;

    /// Takes the settings of every policy, each a JSON text.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>>;

    /// Looks at a batch and says which keyed state it needs. Starts anew: what an earlier batch left
    /// behind must not be seen.
    ///
    /// # Errors
    /// When the batch can't be evaluated; the sentence reaches the operator.
    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String>;

    /// Gets that state in the same order, empty where there is none yet.
    ///
    /// # Errors
    /// When the state can't be read; the sentence reaches the operator.
    fn finish(&mut self, states: &[Vec<u8>]) -> Result<Outcome, String>;
}

/// An adapter: it knows one app, plans requests, reads answers and normalizes what they hold.
pub trait Adapter {
    /// What it is and what its app needs.
    fn describe() -> AdapterDescription;

    /// The next request of a stream.
    ///
    /// # Errors
    /// When there is none to be made, with the class of it.
    fn plan(request: &PlanRequest) -> Result<HttpRequest, Failure>;

    /// Makes a page of a response.
    ///
    /// # Errors
    /// When the response is no page, with the class of it.
    fn read(response: &Response) -> Result<Page, Failure>;

    /// Makes activities of raw records: number `i` is `body[raw[2i]..raw[2i+1]]`.
    ///
    /// # Errors
    /// When a record can't be read at all.
    fn normalize(settings: &str, body: &[u8], raw: &[u32]) -> Result<Batch, Failure>;

    /// Finds the raw records in a saved answer: a page, an array, or JSON lines.
    ///
    /// # Errors
    /// When the body is none of these.
    fn split(body: &[u8]) -> Result<Vec<u32>, Failure>;
}

/// Writes a line to the host's log. Natively, lines are kept for [`native::logged`].
pub fn log(line: &str) {
    #[cfg(target_family = "wasm")]
    guest::log(line);
    #[cfg(not(target_family = "wasm"))]
    native::log(line);
}

/// Makes a component of a [`Detector`] or of a [`Folding`]. Does nothing on native targets.
#[macro_export]
macro_rules! export_detector {
    ($detector:ty) => {
        #[cfg(target_family = "wasm")]
        $crate::__export_detector!($detector);
    };
}

/// Makes a component of an [`Adapter`]. Does nothing on native targets.
#[macro_export]
macro_rules! export_adapter {
    ($adapter:ty) => {
        #[cfg(target_family = "wasm")]
        $crate::__export_adapter!($adapter);
    };
}
