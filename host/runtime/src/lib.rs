//! Plugins as typed Rust values: compiling, caching, limits, and distrust of what comes back.
//!
//! An [`Engine`] is made once a process. [`DetectorPlugin`] and [`AdapterPlugin`] are components
//! loaded into it; they implement the traits of `casbah-model`, so the code that uses them does not
//! know whether a sandbox is behind them. Every call runs on a fresh store with a deadline and a
//! memory limit, and nothing it returns is believed before it was checked.
//!
//! It is not: the evaluation loop (what to do about a batch that fails is decided there), a place
//! where plugins are fetched or trusted, or anything that touches the network. The only file it
//! writes is the cache of compiled code.

mod adapter;
mod cache;
mod clean;
mod detector;
mod ending;
mod engine;
mod error;
mod inspect;
mod limits;
mod returned;
mod sandbox;
mod wire;

pub use adapter::AdapterPlugin;
pub use cache::CacheOptions;
pub use detector::{ConfigureError, ConfiguredDetector, DetectorPlugin};
pub use engine::{Engine, EngineOptions};
pub use error::{RuntimeError, RuntimeErrorKind};
pub use inspect::{Inspection, PluginKind, SERVED_VERSIONS, inspect};
pub use limits::Limits;
pub use sandbox::PluginInfo;
