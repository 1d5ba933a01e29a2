//! Activity of people who have left.
