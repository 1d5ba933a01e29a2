//! A simulated Smartsheet on loopback, with a made-up company.
//!
//! [`World`] is a company and its history, made from a seed, with labelled incidents. [`Sim`] is a
//! server that serves it as the app would: sign-in, audit log, users, errors, rate limit, and faults
//! that can be switched on. It is a test tool: it is not a client, knows nothing of casbah, and
//! protects nothing.
//!
//! ```
//! use std::sync::Arc;
//! use smartsheet_sim::{Config, Plan, Sim, World};
//!
//! let world = World::new(&Plan { users: 40, days: 1, events: 3_000, ..Plan::default() });
//! let sim = Sim::start(Config::new(Arc::new(world)))?;
//! assert!(sim.api_base().ends_with("/2.0"));
//! # Ok::<(), smartsheet_sim::Error>(())
//! ```

mod catalogue;
mod company;
mod event;
mod fault;
mod history;
mod incident;
mod render;
mod server;
pub mod text;
mod world;

pub use casbah_sim::{Consent, Error, ErrorKind, When};
pub use company::{Company, DOMAIN, Group, PARTNERS, Plan, Role, User};
pub use fault::{Fault, Setting};
pub use incident::Incident;
pub use server::{
    Config, Counters, Counting, Live, PersonalToken, Pkce, Rate, SignIn, Sim, Usage, WindowEnd,
    hash_of,
};
pub use world::World;
