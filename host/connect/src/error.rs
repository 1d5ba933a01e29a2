//! What can go wrong between casbah and an app, and what to do about it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use casbah_store::StoreError;

/// Kind of a [`ConnectError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// The key for secrets is missing, malformed, or can be read by others.
    Key,
    /// A secret can't be decrypted: another key, or a row that was tampered with.
    Secret,
    /// The store failed.
    Store,
    /// There is no such connection, region or host.
    Unknown,
    /// A connection of that name exists already.
    Exists,
    /// What the operator configured can't work: addresses, client id or secret, scopes.
    Configuration,
    /// A sign-in did not come to its end.
    SignIn,
    /// The person or the app said no to a sign-in.
    Denied,
    /// The grant is dead: an administrator has to connect again.
    Reconnect,
    /// The sign-in belongs to another account than the connection.
    OtherAccount,
    /// The app asks to come back later.
    Busy,
    /// The app could not be reached, or the answer did not come whole.
    Network,
    /// The app did not answer in time.
    TimedOut,
    /// The answer is bigger than allowed.
    TooLarge,
    /// The answer makes no sense.
    Malformed,
    /// A plugin asked for something that is not allowed.
    Plugin,
    /// It was told to stop.
    Stopped,
}

/// An error of this crate: what happened, where, and what to do.
#[derive(Clone)]
pub struct ConnectError {
    kind: ConnectErrorKind,
    message: String,
    hint: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl ConnectError {
    pub(crate) fn new(kind: ConnectErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, retry_after: None, source: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    pub(crate) fn source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Kind of the error, to act on.
    pub fn kind(&self) -> ConnectErrorKind {
        self.kind
    }

    /// What happened, in one line without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn remedy(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// How long the other side asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

impl From<StoreError> for ConnectError {
    fn from(error: StoreError) -> Self {
        Self::new(ConnectErrorKind::Store, error.to_string()).source(error)
    }
}
