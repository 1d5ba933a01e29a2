//! What a plugin may use and hand back.

use std::time::Duration;

/// What one call into a plugin may use and hand back.
///
/// A call that goes over a limit fails as a whole, and nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all linear memories of an instance together; at most 1 GiB.
    pub memory: usize,
    /// Elements of all tables of an instance together; at most 20,000.
    pub table_elements: usize,
    /// Time for one call of one exported function.
    pub deadline: Duration,
    /// Bytes that the host copies out of the sandbox in one call.
    pub returned_bytes: usize,
    /// Rows of a returned batch.
    pub rows: usize,
    /// Findings a batch.
    pub findings: usize,
    /// Activities named as evidence by all findings of a batch together.
    pub evidence: usize,
    /// Keyed states asked for in a batch.
    pub states: usize,
    /// Bytes of one keyed state.
    pub state_bytes: usize,
    /// Lines of log a call; further ones are dropped.
    pub log_lines: usize,
    /// Bytes of a line of log; longer ones are cut.
    pub log_line_bytes: usize,
}

impl Limits {
    /// The limits of a detector: 64 MiB, 2 s, 10,000 findings, 1 MiB a keyed state.
    pub fn detector() -> Self {
        Self {
            memory: 64 << 20,
            table_elements: 10_000,
            deadline: Duration::from_secs(2),
            returned_bytes: 64 << 20,
            rows: 100_000,
            findings: 10_000,
            evidence: 1_000_000,
            states: 100_000,
            state_bytes: 1 << 20,
            log_lines: 100,
            log_line_bytes: 1024,
        }
    }

    /// The limits of an adapter: as a detector's, but 256 MiB and 10 s, since it reads whole pages.
    pub fn adapter() -> Self {
        Self {
            memory: 256 << 20,
            deadline: Duration::from_secs(10),
            returned_bytes: 256 << 20,
            ..Self::detector()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::detector()
    }
}
