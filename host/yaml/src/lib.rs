//! Files that people write, read strictly: YAML as a tree that knows where everything stands, typed
//! values out of it, and messages that show the line.
//!
//! Everything wrong is gathered, each thing with its place and a hint. It is not a general YAML
//! library (see [`Node`]), and it knows nothing of what the files mean.

mod fields;
mod place;
mod problem;
pub mod suggest;
#[cfg(test)]
mod tests;
mod tree;

pub use fields::{Fields, duration};
pub use problem::{Problem, show_all};
pub use tree::{Entry, MAX_BYTES, Node, Span, Value, Wording, Wrong, parse};
