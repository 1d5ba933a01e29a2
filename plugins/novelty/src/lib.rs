//! First-seen and rare values.
