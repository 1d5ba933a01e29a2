//! What a finding says: a sentence, and the numbers behind it.
//!
//! They are drawn from the batch at hand and the state, and decide nothing.

use casbah_model::Batch;
use casbah_model::time;
use casbah_when::{Plan, words};

use crate::calendar::WEEKDAYS;
use crate::judge::Basis;
use crate::policy::{Per, Policy};
use crate::tail::quantile;

/// The share of buckets that lie above the quantile that is told.
const BEYOND: f64 = 0.001;

/// The fullest bucket of its kind on a day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fullest {
    /// Place of the kind.
    pub(crate) kind: usize,
    pub(crate) per: Per,
    pub(crate) count: u64,
    /// Times of its first and last activity, for a session.
    pub(crate) span: (i64, i64),
}

/// A bucket that was found strange.
pub(crate) struct Strange<'a> {
    pub(crate) day: i64,
    pub(crate) fullest: Fullest,
    pub(crate) basis: &'a Basis,
    pub(crate) score: f64,
    /// First day that was learned from.
    pub(crate) since: i64,
}

/// The sentence and the details. `rows` are the rows of the batch that it rests on.
pub(crate) fn report(
    plan: &Plan,
    policy: &Policy,
    strange: &Strange<'_>,
    batch: &Batch,
    rows: &[u32],
) -> (String, Vec<(String, String)>) {
    let Strange { day, fullest: Fullest { per, count: observed, span, .. }, basis, score, since } =
        strange;
    let calendar = policy.rule.calendar;
    let most = quantile(BEYOND, basis.expected.mean, basis.expected.dispersion);
    let weekend = calendar.class(*day) == 1;
    let learned = calendar.known(*day).saturating_sub(*since).saturating_add(1).max(0);
    let what = match policy.distinct {
        Some(source) => format!("{observed} different {}s", plan.name(source)),
        None => format!("{observed} times"),
    };
    let weekday = WEEKDAYS.get(calendar.weekday(*day)).copied().unwrap_or_default();
    let date = iso(calendar.start(*day)).chars().take(10).collect::<String>();
    let when = match per {
        Per::Day => format!("on {weekday}, {date}"),
        Per::Hour => format!("within an hour on {weekday}, {date}"),
        Per::Session => {
            let (first, last) = span;
            let minutes = (last - first) / 60_000 + 1;
            format!("in a session of {minutes} min on {weekday}, {date}")
        }
    };
    let buckets = match (per, weekend) {
        (Per::Day, false) => "working days",
        (Per::Day, true) => "weekend days",
        (Per::Hour, false) => "active hours of working days",
        (Per::Hour, true) => "active hours of weekends",
        (Per::Session, false) => "sessions on working days",
        (Per::Session, true) => "sessions on weekends",
    };
    let median = if basis.usual.learned {
        format!("median of the organization {}", rounded(basis.usual.median))
    } else {
        format!("{} assumed for the organization", rounded(basis.usual.median))
    };
    let days = match learned {
        0 => "nothing learned of this user yet".to_owned(),
        1 => "learned from 1 day".to_owned(),
        days => format!("learned from {days} days"),
    };
    let expected = rounded(basis.expected.mean);
    let summary = format!(
        "{} {what} {when}, usually {expected}; 99.9 % of such {buckets} have at most {most}; {median}; {days}",
        words::capital(&words::verbs(batch, rows)),
    );
    let mut details = Vec::new();
    let mut add = |name: &str, value: String| details.push((name.to_owned(), value));
    add("observed", observed.to_string());
    add("expected", expected);
    add("quantile", most.to_string());
    add("score", format!("{score:.2}"));
    add("line", decimal(policy.line));
    add("median", rounded(basis.usual.median));
    add(
        "per",
        match per {
            Per::Day => "day".to_owned(),
            Per::Hour => "hour".to_owned(),
            Per::Session => "session".to_owned(),
        },
    );
    add("day", date);
    add("learned-days", learned.to_string());
    if learned > 0 {
        add("learned-since", iso(calendar.start(*since)));
    }
    details.extend(words::particulars(batch, rows));
    (summary, details)
}

/// A number as people say it: whole from 10 on, with one place below that.
fn rounded(number: f64) -> String {
    if number >= 9.95 { format!("{number:.0}") } else { decimal(libm::round(number * 10.0) / 10.0) }
}

/// A number without zeros that say nothing.
fn decimal(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn iso(at: i64) -> String {
    time::format(at)
}
