//! Severities by filter rows.
//!
//! It does not know the policy's own severity: that is what the host falls back to.

use casbah_model::Severity;

use crate::plan::When;
use crate::rows::Rows;

/// Which activities make a finding how severe, the gravest first: see
/// [`Settings::severities`](crate::settings::Settings::severities).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Severities(pub(crate) Vec<(Severity, When)>);

impl Severities {
    /// Whether the policy says nothing of the kind.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The severities and the activities that they are meant for, the gravest first.
    pub fn iter(&self) -> impl Iterator<Item = (Severity, &When)> {
        self.0.iter().map(|(severity, when)| (*severity, when))
    }
}

/// The same, looked up in a batch: see [`Evaluation::graded`](crate::Evaluation::graded).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graded(pub(crate) Vec<(Severity, Rows)>);

impl Graded {
    /// The gravest severity that is meant for any of the rows of the batch, if there is one.
    pub fn of(&self, rows: impl IntoIterator<Item = usize, IntoIter: Clone>) -> Option<Severity> {
        let rows = rows.into_iter();
        let gravest = self.0.iter().find(|(_, meant)| rows.clone().any(|row| meant.holds(row)));
        gravest.map(|(severity, _)| *severity)
    }
}
