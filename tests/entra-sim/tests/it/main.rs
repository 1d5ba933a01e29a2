//! The simulated Entra ID over HTTP, and casbah against it: the real adapter, the real store, an
//! application that signs in by itself.

#[cfg(test)]
mod graph;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod program;
#[cfg(test)]
mod road;
#[cfg(test)]
mod sandbox;
