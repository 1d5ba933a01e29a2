//! Sigma rules against an independent engine, `rsigma-eval`: on the rules and events of SigmaHQ, on
//! events of AWS CloudTrail, and on generated rules and events.
//!
//! Protects that a rule used unchanged notices what its author meant.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod activities;
mod correlations;
mod differences;
mod generated;
mod host;
mod oracle;
mod published;
mod refusals;
