//! A simulated NetDocuments on loopback, with the document work of a made-up company.
//!
//! [`World`] is a company and what it does with its documents, made from a seed, with labelled
//! incidents. The people are those of `smartsheet_sim`: the same seed and number of users give the
//! same addresses. [`Sim`] is a server that serves it as the app would: sign-in, the two logs, users,
//! errors, and faults that can be switched on. It is a test tool: it is no client, knows nothing of
//! casbah, and protects nothing.
//!
//! ```
//! use std::sync::Arc;
//! use netdocuments_sim::{Config, Plan, Sim, World};
//!
//! let world = World::new(&Plan::small(3_000));
//! let sim = Sim::start(Config::new(Arc::new(world)))?;
//! assert!(sim.api_base().ends_with("/us"));
//! # Ok::<(), netdocuments_sim::Error>(())
//! ```

mod activity;
mod fault;
mod firm;
mod history;
mod incident;
mod render;
mod server;
mod world;

pub use activity::Log;
pub use casbah_sim::{Addresses, Consent, Error, ErrorKind, Live, When};
pub use fault::{Fault, Setting};
pub use incident::{Incident, Plant, What};
pub use render::{Form, Shape};
pub use server::{Config, Counters, Sees, SignIn, Sim};
pub use world::{Plan, Record, World};
