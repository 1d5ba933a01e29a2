//! Impossible travel.
