//! A simulated NetDocuments on loopback.
