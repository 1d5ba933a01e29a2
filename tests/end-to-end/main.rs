//! Tests of the whole program with real processes; one binary, so that they link once.

mod kill;
mod program;
mod secrets;
mod support;
