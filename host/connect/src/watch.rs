//! What may be wrong although nothing fails: nothing ever comes, or what is not fetched yet is about
//! to be lost at the app.
//!
//! It looks at what is kept about a connection, at the moment in which somebody asks, so that it also
//! speaks for a connection that is switched off. It asks no app and changes nothing.

use std::collections::BTreeMap;

use casbah_model::time;
use serde::{Deserialize, Serialize};

use crate::connection::{Connection, Position, Status, StreamStatus};

const DAY: i64 = 86_400_000;
/// So long without a single activity, and something is wrong with the set-up.
const SILENCE: i64 = 7 * DAY;
/// A first fetch that got a page within this time is on its way.
const ON_ITS_WAY: i64 = DAY;
/// For so long it is told that something was lost.
const MOURNING: i64 = 30 * DAY;

/// What to do when the app answers well and sends nothing.
pub(crate) const SET_UP: &str = "see in the app that its log is switched on and holds something, and \
    that the account or application of this connection may read it";

/// Something that has to be looked at although nothing fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Warning {
    /// What kind of thing.
    pub kind: WarningKind,
    /// What was noticed, in words.
    pub reason: String,
    /// What an administrator can do about it.
    pub remedy: String,
}

/// Kind of a [`Warning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WarningKind {
    /// Activities were lost: the app did not keep them for long enough.
    Lost,
    /// Activities are about to be lost.
    Retention,
    /// The app answers well, but has never sent an activity.
    Empty,
}

/// Activities that were not fetched while the app kept them. Times are ms since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lost {
    /// Everything before was fetched.
    pub from: i64,
    /// Everything from here on was still there.
    pub until: i64,
    /// When it was noticed.
    pub noticed: i64,
}

/// What is to be looked at, worst first. `positions` holds the place of every stream by name.
pub(crate) fn warnings(
    connection: &Connection,
    status: &Status,
    positions: &BTreeMap<String, Position>,
    now: i64,
) -> Vec<Warning> {
    let mut warnings = retention(connection, status, positions, now);
    warnings.extend(empty(connection, status, positions));
    warnings.sort_by_key(|warning| warning.kind);
    warnings
}

/// What a stream lost before it goes on, if anything: between where it stands and what the app still
/// has. A stream that never got a page has nothing to lose.
pub(crate) fn lost(
    stream: &StreamStatus,
    position: &Position,
    retention_days: u32,
    now: i64,
) -> Option<Lost> {
    let from = stream.complete.max(position.newest)?;
    let until = now.saturating_sub(i64::from(retention_days) * DAY);
    (retention_days > 0 && from < until).then_some(Lost { from, until, noticed: now })
}

/// Up to when everything was fetched. Only streams of activities have a beginning.
fn reached(stream: &StreamStatus, position: &Position) -> Option<i64> {
    let since = position.since?;
    Some(since.max(stream.complete.max(position.newest).unwrap_or(since)))
}

fn retention(
    connection: &Connection,
    status: &Status,
    positions: &BTreeMap<String, Position>,
    now: i64,
) -> Vec<Warning> {
    let days = status.retention_days;
    if days == 0 {
        return Vec::new();
    }
    let keeps = i64::from(days) * DAY;
    let mut warnings = Vec::new();
    let mut known = false;
    for (name, stream) in &status.streams {
        let position = positions.get(name).cloned().unwrap_or_default();
        let Some(reached) = reached(stream, &position) else { continue };
        known = true;
        let what = format!("stream `{name}`");
        let moves = stream.last_success.is_some_and(|at| now.saturating_sub(at) < ON_ITS_WAY);
        // A first fetch that began far back is no reason to worry while it comes nearer.
        let first = moves && stream.complete.is_none();
        let late = if first { None } else { overdue(&what, reached, keeps, now) };
        let past = stream.lost.filter(|lost| now.saturating_sub(lost.noticed) < MOURNING);
        match (late, past) {
            (Some(late), Some(past)) if moves && late.kind == WarningKind::Lost => {
                warnings.push(past.warning(&what, days));
            }
            (Some(late), _) => warnings.push(late.for_connection(connection)),
            (None, Some(past)) => warnings.push(past.warning(&what, days)),
            (None, None) => {}
        }
    }
    // Nothing was ever fetched: the app forgets what was done since the connection was made.
    if !known {
        let late = overdue("the app's log", connection.created, keeps, now);
        warnings.extend(late.map(|late| late.for_connection(connection)));
    }
    warnings
}

/// A warning when what follows `reached` is lost or will soon be: within the last quarter of the time
/// for which the app keeps it.
fn overdue(what: &str, reached: i64, keeps: i64, now: i64) -> Option<Warning> {
    let age = now.saturating_sub(reached);
    let since = day(reached);
    if age >= keeps {
        let until = now.saturating_sub(keeps);
        return Some(Warning {
            kind: WarningKind::Lost,
            reason: format!(
                "nothing of {what} was fetched since {since}, and the app keeps it for {} days: {} of it \
                 are lost, and more every day",
                keeps / DAY,
                span(until.saturating_sub(reached))
            ),
            remedy: String::new(),
        });
    }
    if age < keeps - keeps / 4 {
        return None;
    }
    let end = reached.saturating_add(keeps);
    Some(Warning {
        kind: WarningKind::Retention,
        reason: format!(
            "nothing of {what} was fetched since {since}, and the app keeps it for {} days: it begins \
             to be lost on {}, in {}",
            keeps / DAY,
            day(end),
            span(end.saturating_sub(now))
        ),
        remedy: String::new(),
    })
}

impl Warning {
    /// Adds what is to be done with this connection.
    fn for_connection(self, connection: &Connection) -> Self {
        let name = &connection.name;
        let remedy = if connection.enabled {
            format!(
                "keep `casbah run` running; if it is, `casbah connection test {name}` says what is wrong"
            )
        } else {
            format!(
                "switch it on with `casbah connection enable {name}`, and keep `casbah run` running"
            )
        };
        Self { remedy, ..self }
    }
}

impl Lost {
    fn warning(&self, what: &str, days: u32) -> Warning {
        Warning {
            kind: WarningKind::Lost,
            reason: format!(
                "{} of {what} are lost, from {} to {}: nothing was fetched then, and the app keeps it \
                 for {days} days",
                span(self.until.saturating_sub(self.from)),
                day(self.from),
                day(self.until)
            ),
            remedy: "nothing brings them back by way of the app's interface; what else the app \
                exports can be looked through with `casbah scan`"
                .to_owned(),
        }
    }
}

fn empty(
    connection: &Connection,
    status: &Status,
    positions: &BTreeMap<String, Position>,
) -> Option<Warning> {
    let counters = &status.counters;
    if status.directory || counters.activities > 0 || counters.duplicates > 0 {
        return None;
    }
    let (since, until) = status
        .streams
        .iter()
        .filter_map(|(name, stream)| Some((positions.get(name)?.since?, stream.complete?)))
        .max_by_key(|(since, until)| until.saturating_sub(*since))?;
    let silent = until.saturating_sub(since);
    (silent >= SILENCE).then(|| Warning {
        kind: WarningKind::Empty,
        reason: format!(
            "the app answers well, but there is not one activity since {} ({})",
            day(since),
            span(silent)
        ),
        remedy: format!(
            "{SET_UP}; `casbah connection test {}` says what the app needs",
            connection.name
        ),
    })
}

fn day(ms: i64) -> String {
    time::format(ms.div_euclid(1000) * 1000).chars().take(10).collect()
}

/// A span in whole days, or hours where it is less than two.
fn span(ms: i64) -> String {
    let hours = ms.max(0) / 3_600_000;
    match (hours, hours / 24) {
        (1, _) => "1 hour".to_owned(),
        (hours, 0 | 1) => format!("{hours} hours"),
        (_, days) => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests;
