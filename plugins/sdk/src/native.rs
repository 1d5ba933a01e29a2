//! Plugins without a sandbox: for tests, and for comparing the sandbox against plain native code.
//!
//! It is not how a host runs plugins: nothing here is limited, and a panic is a panic.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use casbah_model::adapter::{
    Adapter as HostAdapter, AdapterDescription, Failure, HttpRequest, Page, PlanRequest, Response,
};
use casbah_model::detector::{
    Detector as HostDetector, DetectorDescription, DetectorError, Outcome, Problem,
};
use casbah_model::{Batch, StateKey};

use crate::{Adapter, Detector};

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

#[cfg_attr(target_family = "wasm", expect(dead_code, reason = "the guest logs through the host"))]
pub(crate) fn log(line: &str) {
    LOGGED.with_borrow_mut(|lines| lines.push(line.to_owned()));
}

/// Takes the lines that plugins have logged on this thread.
pub fn logged() -> Vec<String> {
    LOGGED.take()
}

/// A configured detector in native code.
pub struct Native<D> {
    description: DetectorDescription,
    detector: Mutex<D>,
}

impl<D: Detector> Native<D> {
    /// Configures the detector with the settings of every policy.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let detector = Mutex::new(D::configure(policies)?);
        Ok(Self { description: D::describe().narrowed(policies), detector })
    }
}

impl<D: Detector + Send> HostDetector for Native<D> {
    fn description(&self) -> &DetectorDescription {
        &self.description
    }

    fn evaluate(
        &self,
        batch: &Batch,
        load: &mut dyn FnMut(&[StateKey]) -> Vec<Vec<u8>>,
    ) -> Result<(Vec<StateKey>, Outcome), DetectorError> {
        let error = |message| DetectorError { plugin: self.description.name.clone(), message };
        let mut detector = self.detector.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = detector.begin(batch.clone()).map_err(error)?;
        let states = if keys.is_empty() { Vec::new() } else { load(&keys) };
        let outcome = detector.finish(&states).map_err(error)?;
        Ok((keys, outcome))
    }
}

/// An adapter in native code.
pub struct NativeAdapter<A> {
    description: AdapterDescription,
    adapter: PhantomData<fn() -> A>,
}

impl<A: Adapter> NativeAdapter<A> {
    /// The adapter, with its description at hand.
    #[expect(clippy::new_without_default, reason = "making one runs the adapter's own code")]
    pub fn new() -> Self {
        Self { description: A::describe(), adapter: PhantomData }
    }
}

impl<A: Adapter> HostAdapter for NativeAdapter<A> {
    fn description(&self) -> &AdapterDescription {
        &self.description
    }

    fn plan(&self, request: &PlanRequest) -> Result<HttpRequest, Failure> {
        A::plan(request)
    }

    fn read(&self, response: &Response) -> Result<Page, Failure> {
        A::read(response)
    }

    fn normalize(&self, settings: &str, body: &[u8], raw: &[u32]) -> Result<Batch, Failure> {
        A::normalize(settings, body, raw)
    }

    fn split(&self, body: &[u8]) -> Result<Vec<u32>, Failure> {
        A::split(body)
    }
}
