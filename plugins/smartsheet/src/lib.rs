//! The Smartsheet adapter.
