//! Policy files, the evaluation loop and alerts.
//!
//! A policy is a YAML file ([`policy`]) with tests of its own ([`policy_test`]). The policies of one
//! detector make a [`Group`], which reads a tenant's log from its own offset ([`evaluate`]) and turns
//! findings into alerts ([`alerts`]). The same step without a store is [`offline`]; [`activities`] is
//! the log for people.
//!
//! It is not: a detection (those are plugins, seen here only as
//! [`casbah_model::detector::Detector`]), a sandbox, a fetcher, or a place where anything outside is
//! touched: notifications and actions are carried out elsewhere.

pub mod activities;
pub mod alerts;
pub mod backtest;
mod behavior;
pub mod calibrate;
mod cores;
pub mod coverage;
mod error;
pub mod evaluate;
pub mod explain;
pub mod folder;
pub mod format;
mod group;
pub mod history;
pub mod lists;
pub mod offline;
pub mod policy;
pub mod policy_test;
pub mod schema;
pub mod shadow;
mod slice;
mod step;
mod stored;
mod suggest;
pub mod template;
mod yaml;

// Tests inside and outside of the crate share their detectors.
#[cfg(test)]
extern crate self as casbah_detect;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
#[cfg(test)]
mod testing;

pub use error::{DetectError, DetectErrorKind};
pub use evaluate::{Evaluator, EvaluatorOptions, EvaluatorStatus, Waker};
pub use group::{ConfigureError, Detectors, Group};
pub use lists::Lists;
pub use offline::Offline;
pub use policy::{PolicyErrors, PolicyFile, PolicyProblem, PolicySet, PolicySource, Sources};
pub use policy_test::{TestResult, run_all, run_tests};
