//! This crate against the simulated NetDocuments, with the real adapter and the real store.

#[cfg(test)]
mod kit;
#[cfg(test)]
mod road;
#[cfg(test)]
mod sign_in;
