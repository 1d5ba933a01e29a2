//! What can go wrong in the store, and what to do about it.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Kind of a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Another process holds the data folder.
    Locked,
    /// An [`Expect`](crate::Expect) did not hold; nothing was written.
    Conflict,
    /// The disk is full; nothing was written, and the store goes on.
    Full,
    /// A file operation failed; nothing was written, and the store goes on.
    Io,
    /// An earlier failure left it open what is on disk; every write fails until the store is opened
    /// again. A commit that returns this may be there or not after that, whole in either case.
    Poisoned,
    /// A file is not what was written.
    Damaged,
    /// The data was written by a newer version of the program.
    NewerFormat,
    /// The caller asked for something that makes no sense, such as marks that do not fit the rows.
    Invalid,
    /// The store was closed.
    Closed,
}

/// An error of the store: what happened, where, and what to do.
#[derive(Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<Arc<io::Error>>,
}

impl StoreError {
    /// An error of that kind, for whoever else implements [`Store`](crate::Store).
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// What happened to which file, with the system's own words.
    pub(crate) fn io(doing: &str, path: &str, error: io::Error) -> Self {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let (kind, hint) = if full {
            (StoreErrorKind::Full, "\nhint: free some space; casbah goes on where it stopped")
        } else {
            (StoreErrorKind::Io, "")
        };
        Self {
            kind,
            message: format!("cannot {doing} `{path}`: {error}{hint}"),
            source: Some(Arc::new(error)),
        }
    }

    pub(crate) fn damaged(path: &str, offset: u64, what: impl fmt::Display) -> Self {
        Self::new(
            StoreErrorKind::Damaged,
            format!(
                "`{path}` is damaged at byte {offset}: {what}\nhint: restore the data folder from a backup; a healthy disk does not cause this"
            ),
        )
    }

    /// A file that is needed is not there.
    pub(crate) fn missing(path: &str, what: impl fmt::Display) -> Self {
        Self::new(
            StoreErrorKind::Damaged,
            format!("`{path}` is missing: {what}\nhint: restore the data folder from a backup"),
        )
    }

    /// Kind of the error, to act on.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}
