//! What is remembered of a key: its activities, as far as a rule looks at them.
//!
//! It knows no batches and no bytes: `state` writes it.

use casbah_model::Evidence;

/// An activity that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When it happened, ms since 1970.
    pub(crate) time: i64,
    /// Its place in the log.
    pub(crate) sequence: u64,
    /// Hash of its distinct value, or its quantity in thousandths; 0 when neither is looked at.
    pub(crate) value: u64,
    /// What it stands for.
    pub(crate) role: Role,
    /// Where it has been reported: [`OWN`], [`NEXT`], and [`FRESH`] while it is new.
    pub(crate) marks: u8,
}

/// What an activity stands for beside being there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Role {
    /// The steps that it can be, one bit each; the first step is the lowest bit.
    pub(crate) steps: u8,
    /// The steps behind which it must not come, one bit each.
    pub(crate) nots: u8,
    /// How severe a finding is that rests on it: 0 for the policy's own severity, else one more than
    /// the place of the severity in the order of severities.
    pub(crate) severity: u8,
}

/// Reported in the bucket of its own time.
pub(crate) const OWN: u8 = 1;
/// Reported in the bucket after that.
pub(crate) const NEXT: u8 = 2;
/// Came with this batch; never kept.
pub(crate) const FRESH: u8 = 4;

/// What is remembered about a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Activities by (time, sequence).
    pub(crate) entries: Vec<Entry>,
    /// Activities have been dropped because there were too many.
    pub(crate) overflowed: bool,
}

/// New evidence of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fired {
    /// Start of the bucket.
    pub(crate) start: i64,
    /// Activities not reported in this bucket before, by time.
    pub(crate) evidence: Vec<Evidence>,
    /// What was counted, the most of it; of a sequence, the times of the steps of one that ended here.
    pub(crate) facts: Vec<i64>,
    /// The highest severity of the evidence, as in [`Role`].
    pub(crate) severity: u8,
    /// Activities of the key have been dropped because there were too many.
    pub(crate) dropped: bool,
}

/// An instant at which a rule fires that can only be decided afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instant {
    /// When it is.
    pub(crate) time: i64,
    /// It is decided when nothing can come any more that is older than this.
    pub(crate) due: i64,
    /// What it adds to its bucket.
    pub(crate) fired: Fired,
}

impl Entry {
    /// The quantity, in thousandths.
    pub(crate) fn quantity(&self) -> i64 {
        self.value.cast_signed()
    }

    /// The activity as evidence.
    pub(crate) fn evidence(&self) -> Evidence {
        Evidence { time: self.time, sequence: self.sequence }
    }
}

impl Fired {
    /// Adds an activity.
    pub(crate) fn take(&mut self, entry: &Entry) {
        self.evidence.push(entry.evidence());
        self.severity = self.severity.max(entry.role.severity);
    }

    /// Joins what else was new in the same bucket, later; the first one stands for all of it.
    pub(crate) fn join(&mut self, other: Self) {
        self.evidence.extend(other.evidence);
        self.evidence.sort_unstable();
        self.severity = self.severity.max(other.severity);
        self.dropped |= other.dropped;
    }
}
