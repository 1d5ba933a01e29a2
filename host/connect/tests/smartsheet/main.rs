//! This crate against the simulated Smartsheet, with the real adapter and the real store.

#[cfg(test)]
mod kit;
#[cfg(test)]
mod rate;
#[cfg(test)]
mod road;
#[cfg(test)]
mod speed;
