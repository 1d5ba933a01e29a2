//! Revisions of policies and when they were in force.
