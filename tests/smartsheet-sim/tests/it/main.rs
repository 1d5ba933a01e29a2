//! The simulator against its own letter: every rule over HTTP, every fault seen to happen.

mod audit;
mod directory;
mod faults;
mod generator;
mod limits;
mod program;
mod sign_in;
mod support;
