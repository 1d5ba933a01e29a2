//! What the simulated apps have in common: serving on loopback, connections that break when told to,
//! faults, a clock that can be set forward, and being a process that tests start and stop.
//!
//! It knows no app and no company: what is answered to whom is the business of each simulator. It is a
//! test tool and protects nothing.

mod address;
pub mod args;
mod clock;
mod consent;
mod error;
mod fault;
mod http;
mod lock;
mod parameters;
pub mod process;
pub mod random;
pub mod secret;
mod server;
mod wire;

pub use address::Addresses;
pub use clock::{Clock, Live, now_ms, read_end, read_time};
pub use consent::Consent;
pub use error::{Error, ErrorKind};
pub use fault::{Fault, Faults, Setting, When, lines};
pub use http::{accepts_gzip, bearer, page, respond};
pub use lock::lock;
pub use parameters::Parameters;
pub use server::{Port, Server};
pub use wire::Wire;
