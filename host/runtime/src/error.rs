//! How loading or calling a plugin fails.

use std::fmt;

use crate::clean;

/// What went wrong with a plugin or with the engine.
///
/// Displays as `plugin `label`: message`, followed by a line `hint: …` where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeError {
    plugin: Option<String>,
    kind: RuntimeErrorKind,
    message: String,
    hint: Option<String>,
}

/// Class of a [`RuntimeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RuntimeErrorKind {
    /// The engine could not start.
    Engine,
    /// The bytes are not a WebAssembly component.
    NotAComponent,
    /// Built for a version of the interface that this host does not serve.
    Version,
    /// Something that a plugin must export is missing or has another form.
    Export,
    /// It imports what it may not.
    Import,
    /// It could not be compiled.
    Compile,
    /// Its description makes no sense.
    Description,
    /// It trapped or panicked.
    Trap,
    /// It ran too long.
    Deadline,
    /// It needed too much memory.
    Memory,
    /// It ran out of stack.
    Stack,
    /// What it returned is invalid.
    Returned,
    /// It returned more than it may.
    TooMuch,
    /// It reported an error of its own.
    Plugin,
    /// The host did not give it the state that it asked for.
    State,
}

impl RuntimeErrorKind {
    /// A short name, such as `deadline`, for logs and for codes of failures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::NotAComponent => "not-a-component",
            Self::Version => "version",
            Self::Export => "export",
            Self::Import => "import",
            Self::Compile => "compile",
            Self::Description => "description",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Returned => "returned",
            Self::TooMuch => "too-much",
            Self::Plugin => "plugin",
            Self::State => "state",
        }
    }
}

impl RuntimeError {
    pub(crate) fn new(plugin: &str, kind: RuntimeErrorKind, message: impl Into<String>) -> Self {
        Self { plugin: Some(clean::name(plugin)), kind, message: message.into(), hint: None }
    }

    pub(crate) fn engine(message: impl Into<String>) -> Self {
        Self { plugin: None, kind: RuntimeErrorKind::Engine, message: message.into(), hint: None }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Label of the plugin; empty when the engine itself failed.
    pub fn plugin(&self) -> &str {
        self.plugin.as_deref().unwrap_or_default()
    }

    /// Class of the error.
    pub fn kind(&self) -> RuntimeErrorKind {
        self.kind
    }

    /// What happened, without the name of the plugin and without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What can be done about it.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(plugin) = &self.plugin {
            write!(f, "plugin `{plugin}`: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuntimeError {}
