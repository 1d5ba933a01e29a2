//! The simulator against its own letter: every rule over HTTP, every fault seen to happen.
//!
//! The modules say `cfg(test)` so that the lints know helpers for what they are.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod generator;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod program;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod support;
