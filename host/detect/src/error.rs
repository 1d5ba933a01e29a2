//! What can go wrong here apart from policy files, which have [`crate::PolicyErrors`].

use std::fmt;

use casbah_model::detector::DetectorError;
use casbah_store::StoreError;

/// Kind of a [`DetectError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DetectErrorKind {
    /// The store failed.
    Store,
    /// A detector failed.
    Detector,
    /// A filter or a cursor that a person wrote can't be read.
    Filter,
    /// There is nothing of that name.
    NotFound,
    /// More than one thing fits.
    Ambiguous,
    /// What is stored was written by a newer version, or is damaged.
    Stored,
    /// A thread could not be started.
    Thread,
}

/// An error: what happened, where, and what to do.
#[derive(Clone, Debug)]
pub struct DetectError {
    kind: DetectErrorKind,
    message: String,
    source: Option<StoreError>,
}

impl DetectError {
    pub(crate) fn new(kind: DetectErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Kind of the error, to act on.
    pub fn kind(&self) -> DetectErrorKind {
        self.kind
    }
}

impl fmt::Display for DetectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DetectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

impl From<StoreError> for DetectError {
    fn from(error: StoreError) -> Self {
        Self { kind: DetectErrorKind::Store, message: error.to_string(), source: Some(error) }
    }
}

impl From<DetectorError> for DetectError {
    fn from(error: DetectorError) -> Self {
        Self::new(DetectErrorKind::Detector, error.to_string())
    }
}
