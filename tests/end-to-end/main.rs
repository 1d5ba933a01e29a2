//! Tests of the whole program with real processes; one binary, so that they link once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed"
)]

mod directory;
mod enrich;
mod kill;
mod policies;
mod program;
mod scan;
mod secrets;
mod sign_in;
mod support;
mod three;
