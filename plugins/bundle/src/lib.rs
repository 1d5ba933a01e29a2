//! The built-in plugins and policies as bytes.
