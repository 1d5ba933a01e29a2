//! Unusual numbers of activities, by user, against what is usual.
