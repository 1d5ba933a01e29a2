//! Sigma rules as casbah policies.
