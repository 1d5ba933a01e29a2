//! How casbah gets at an app's data: sign-in, the token vault, the rate limit and the fetch loop.
//!
//! [`Connections`] is the door: it keeps the connections of all tenants in the store, signs them in
//! ([`oauth`]), keeps what they need secret ([`vault`]), tests them ([`check`]) and fetches for
//! them ([`fetch`]) within the app's budget ([`limit`]).
//!
//! It is not: an adapter (what to ask and how to read the answer is the plugin's), a store, or a
//! scheduler of detections. Plugins never see a token: authorization is added after planning, to
//! declared hosts only, and is taken out of everything that goes back to a plugin.

pub mod accounts;
pub mod check;
mod client;
mod clock;
pub mod connection;
mod connections;
pub mod directory;
mod error;
pub mod fetch;
pub mod limit;
pub mod oauth;
mod stop;
#[cfg(test)]
mod testing;
mod text;
pub mod vault;
mod watch;
mod words;

pub use client::{Hosts, Http, LARGEST_ANSWER};
pub use clock::Clock;
pub use connection::{Connection, ConnectionReport, State};
pub use connections::{
    Connections, Established, Kept, NewConnection, Removal, SecretReference, Switch, Unreachable,
    check_settings, secret_references,
};
pub use error::{ConnectError, ConnectErrorKind};
pub use stop::{Stop, StopHandle, stop};
pub use watch::{Lost, Warning, WarningKind};
