//! What can go wrong with a simulator itself; not the errors it plays.

use std::fmt;

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The address could not be listened on.
    Listen,
    /// The threads of the server could not be started.
    Start,
    /// A setting, such as a fault, cannot be read.
    Setting,
    /// A file, or stdout, cannot be written.
    Write,
}

/// An error of a simulator. Its message says what to do; what lies below is its source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<std::io::Error>,
}

impl Error {
    /// An error of this kind with this message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// A setting that can't be read.
    pub fn setting(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Setting, message)
    }

    /// Something that can't be written.
    pub(crate) fn write(message: impl Into<String>, source: std::io::Error) -> Self {
        Self { kind: ErrorKind::Write, message: message.into(), source: Some(source) }
    }

    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
