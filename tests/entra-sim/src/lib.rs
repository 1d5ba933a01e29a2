//! A simulated Microsoft Entra ID on loopback, with the people of a made-up company.
//!
//! [`World`] is the directory of a company and its sign-in log, made from a seed, with labelled
//! incidents. The people are those of `smartsheet_sim`: the same seed and number of users give the
//! same addresses. [`Sim`] is a server that serves it as Microsoft Graph would: application tokens,
//! changes of users, deleted users, groups, sign-ins, errors, and faults that can be switched on.
//! Accounts change as planned ([`Plan::changes`]) or when told to ([`Sim::change`]). It is a test
//! tool: it is no client, knows nothing of casbah, and protects nothing.
//!
//! ```
//! use std::sync::Arc;
//! use entra_sim::{Config, Plan, Sim, World};
//!
//! let company = smartsheet_sim::Plan { users: 40, days: 2, ..Default::default() };
//! let sim = Sim::start(Config::new(Arc::new(World::new(&Plan::of(company))?)))?;
//! let ana = sim.world().company().users[30].email.clone();
//! sim.change(&format!("disable {ana}").parse()?)?;
//! # Ok::<(), entra_sim::Error>(())
//! ```

mod fault;
mod people;
mod render;
mod server;
mod sign_in;
mod world;

pub use casbah_sim::{Addresses, Error, ErrorKind, Live, When};
pub use fault::{Fault, Setting};
pub use people::{Change, Person, What, terminated};
pub use server::{Account, Config, Counters, PERMISSIONS, Sim};
pub use sign_in::{APPS, Incident};
pub use world::{Plan, World};
