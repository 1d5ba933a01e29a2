//! The wall clock, with a screw to turn it in tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// The wall clock. Clones share the same adjustment.
///
/// It is for times that are stored or shown. Intervals are measured on the monotonic clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// Milliseconds since 1970 in UTC.
    pub fn now(&self) -> i64 {
        let now = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        now.saturating_add(self.offset.load(Ordering::Relaxed))
    }

    /// Moves this clock, not the system's, by so many milliseconds: for tests and replays.
    pub fn advance(&self, ms: i64) {
        self.offset.fetch_add(ms, Ordering::Relaxed);
    }
}
