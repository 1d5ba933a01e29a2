//! The durable log and the ordered view of every tenant.
