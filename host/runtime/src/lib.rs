//! Plugins as typed Rust values: compile, cache, limits.
