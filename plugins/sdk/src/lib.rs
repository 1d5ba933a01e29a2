//! Write a casbah plugin in Rust.
