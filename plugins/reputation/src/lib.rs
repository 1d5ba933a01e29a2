//! Activity from addresses that lists warn of.
