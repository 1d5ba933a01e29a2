//! Benchmarks of the hot path, as ratios within one run.
