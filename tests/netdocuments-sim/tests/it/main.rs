//! The simulator against its own letter: sign-in, the logs, the generator, and faults over HTTP.
//!
//! The modules say `cfg(test)` so that the lints know helpers for what they are.

#[cfg(test)]
mod generator;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod program;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod support;
