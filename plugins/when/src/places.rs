//! Where activities stand in time and in the log.

use casbah_model::table::ABSENT_INTEGER;
use casbah_model::{Batch, Evidence};

use crate::duration::DAY;

/// How much later than it was fetched an activity may say it happened, ms: clocks differ, and zones
/// are mistaken.
const AHEAD: i64 = DAY;

/// Times and places in the log of a batch's activities; columns `time`, `received` and `sequence`.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    times: &'a [i64],
    received: &'a [i64],
    sequences: &'a [i64],
}

impl<'a> Places<'a> {
    /// Looks the columns up.
    pub fn of(batch: &'a Batch) -> Self {
        let column = |name: &str| batch.integers(name).unwrap_or_default();
        Self { times: column("time"), received: column("received"), sequences: column("sequence") }
    }

    /// When an activity happened, ms since 1970; when it was fetched, for one that does not say.
    #[inline]
    pub fn time(&self, row: usize) -> i64 {
        let of = |column: &[i64]| column.get(row).copied().filter(|&time| time != ABSENT_INTEGER);
        of(self.times).or_else(|| of(self.received)).unwrap_or(0)
    }

    /// Whether it says when it happened, and not that this is yet to come.
    ///
    /// One such time would be the newest of its key, and make all that happens until then too late.
    #[inline]
    pub fn has_credible_time(&self, row: usize) -> bool {
        let Some(&time) = self.times.get(row).filter(|&&time| time != ABSENT_INTEGER) else {
            return false;
        };
        let received = self.received.get(row).filter(|&&received| received != ABSENT_INTEGER);
        received.is_none_or(|received| time <= received.saturating_add(AHEAD))
    }

    /// Its place in the log; its place in the batch where the host gave none.
    #[inline]
    pub fn sequence(&self, row: usize) -> u64 {
        let given = self.sequences.get(row).and_then(|&value| u64::try_from(value).ok());
        given.unwrap_or(row as u64)
    }

    /// The activity as evidence of a finding.
    #[inline]
    pub fn evidence(&self, row: usize) -> Evidence {
        Evidence { time: self.time(row), sequence: self.sequence(row) }
    }
}
