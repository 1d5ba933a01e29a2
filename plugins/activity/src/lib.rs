//! The activity detector: filter rows and repeat windows.
