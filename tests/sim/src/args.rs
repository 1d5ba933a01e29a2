//! Options that the simulators have in common, to be flattened into theirs.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::fault::{Fault, Setting};

/// Which company it is.
#[derive(Args, Clone, Debug)]
pub struct CompanyArgs {
    /// Seed of the company and its history.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How many people, service accounts and guests.
    #[arg(long, default_value_t = 400)]
    pub users: usize,
    /// How many days the history covers.
    #[arg(long, default_value_t = 7)]
    pub days: u32,
}

/// Where its people are.
#[derive(Args, Clone, Debug)]
pub struct PlaceArgs {
    /// An address at work, by time zone from west to east, round and round; may be repeated.
    #[arg(long = "office", value_name = "ADDRESS")]
    pub offices: Vec<String>,
    /// An address at home, in the same way.
    #[arg(long = "home", value_name = "ADDRESS")]
    pub homes: Vec<String>,
}

/// Where the server listens.
#[derive(Args, Clone, Debug)]
pub struct ListenArgs {
    /// Where to listen; loopback only.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Write the port to this file once it listens.
    #[arg(long)]
    pub port_file: Option<PathBuf>,
}

/// What goes wrong.
#[derive(Args, Clone, Debug)]
pub struct FaultArgs<F: Fault> {
    /// Switch a fault on: NAME=PROBABILITY or NAME=TIMESx, and :VALUE behind; see `faults`.
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<Setting<F>>,
    /// Seed of the faults.
    #[arg(long, default_value_t = 1)]
    pub fault_seed: u64,
}
