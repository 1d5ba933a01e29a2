//! A policy's settings, read strictly, and in the form in which they are evaluated.

use casbah_when::duration::{DAY, HOUR, MINUTE};
use casbah_when::json::Json;
use casbah_when::line::{self, Lines, Scale};
use casbah_when::settings::Settings;
use casbah_when::{Source, When};

use crate::baseline::Fade;
use crate::calendar::{Calendar, WEEKDAYS};

/// Settings of this detector besides those of every detector.
pub(crate) const KEYS: [&str; 14] = [
    "by",
    "population",
    "per",
    "gap",
    "count",
    "floor",
    "learn",
    "lateness",
    "sensitivity",
    "budget",
    "line",
    "behaviors-from",
    "half-life",
    "weekend",
];

/// Into what a user's activities are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Per {
    /// Days; idle ones count.
    Day,
    /// Hours of the clock with any activity.
    Hour,
    /// Activities of one day with no longer pause than the gap between them.
    Session,
}

/// How a user's activities are counted and learned from.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Each kind of bucket, without repetition and in the order of [`Per`].
    pub(crate) kinds: Vec<Per>,
    /// The longest pause within a session, ms.
    pub(crate) gap: i64,
    /// Distinct values are counted instead of activities.
    pub(crate) distinct: bool,
    pub(crate) calendar: Calendar,
    pub(crate) fade: Fade,
}

impl Rule {
    /// Whether days are counted as a whole and in parts.
    pub(crate) fn parted(&self) -> bool {
        self.kinds.len() > 1 && self.kinds.first() == Some(&Per::Day)
    }
}

/// A policy.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) when: When,
    /// What activities are counted by: `by`, and what the population is told apart by.
    pub(crate) by: Vec<Source>,
    pub(crate) population: Vec<Source>,
    pub(crate) group: Vec<Source>,
    pub(crate) quiet: i64,
    /// Whose distinct values are counted.
    pub(crate) distinct: Option<Source>,
    /// The lowest count that is ever spoken of.
    pub(crate) floor: u64,
    /// For so long after the first activity of a population nothing is said, ms.
    pub(crate) learn: i64,
    /// Score from which on something is an alert.
    pub(crate) line: f64,
    /// Score from which on something is worth keeping.
    pub(crate) behaviors_from: f64,
    pub(crate) rule: Rule,
}

/// How many alerts for every 1,000 users a week a line gives, highest line first: measured with
/// `examples/worlds.rs` on worlds that are made up, bursts of honest work included.
const LINES: [(f64, f64); 9] = [
    (0.1, 5.4),
    (0.2, 5.25),
    (0.5, 5.0),
    (1.0, 4.85),
    (2.0, 4.5),
    (5.0, 3.9),
    (10.0, 3.35),
    (20.0, 2.85),
    (50.0, 2.15),
];

/// Where days are counted in parts as well, there are more ways to be strange: the line for the same
/// budget is higher by so much, measured with the same.
const PARTED: f64 = 0.5;

/// Budgets that stand for `low`, `medium` and `high`.
const SENSITIVITIES: [f64; 3] = [0.5, 2.0, 10.0];

/// The line for a budget: between two of [`LINES`], on the scale of its logarithm.
fn line_of(budget: f64, parted: bool) -> f64 {
    let (Some(first), Some(last)) = (LINES.first(), LINES.last()) else { return f64::INFINITY };
    let budget = budget.clamp(first.0, last.0);
    let between = LINES.iter().zip(LINES.iter().skip(1)).find(|(_, next)| budget <= next.0);
    let line = between.map_or(last.1, |((low, high_line), (high, low_line))| {
        let share = libm::log(budget / low) / libm::log(high / low);
        high_line + share * (low_line - high_line)
    });
    libm::round(100.0 * (line + if parted { PARTED } else { 0.0 })) / 100.0
}

/// Reads one policy; `None` where something is wrong with it, which has been noted.
pub(crate) fn read(settings: &mut Settings<'_>) -> Option<Policy> {
    let (when, by) = (settings.when(), settings.by("person"));
    let population = settings.fields("population", &["app"]);
    let quiet = settings.quiet();
    let kinds = settings.some_of(
        "per",
        &[("day", Per::Day), ("hour", Per::Hour), ("session", Per::Session)],
        &[Per::Day],
    );
    let gap = settings.duration("gap", MINUTE..=12 * HOUR, 30 * MINUTE);
    if let Some(kinds) = &kinds
        && settings.has("gap")
        && !kinds.contains(&Per::Session)
    {
        settings.problem::<()>(
            "gap",
            "`gap` is the pause that ends a session, but nothing is counted by session\n\
             hint: `per: [day, session]`",
        );
    }
    let distinct = count(settings);
    let floor = settings.integer("floor", 1..=1_000_000, 10);
    let learn = settings.duration("learn", 0..=90 * DAY, 7 * DAY);
    let lateness = settings.duration("lateness", 0..=14 * DAY, DAY);
    let half_life = settings.duration("half-life", DAY..=365 * DAY, 30 * DAY);
    let weekend = weekend(settings);
    let parted = kinds.as_ref().is_some_and(|kinds| kinds.len() > 1);
    let lines = line::read(settings, &scale(parted, &|budget| line_of(budget, parted)));
    let (by, population) = (by?, population?);
    let mut counted = by.clone();
    counted.extend(population.iter().filter(|source| !by.contains(source)));
    let group = if settings.has("group") {
        let group = settings.fields("group", &[])?;
        settings.check_group(&group, &counted, "by");
        group
    } else {
        by
    };
    let mut kinds = kinds?;
    kinds.sort_unstable_by_key(|per| *per as u8);
    let distinct = distinct?;
    let Lines { alerts: line, behaviors: behaviors_from } = lines?;
    Some(Policy {
        when: when?,
        by: counted,
        population,
        group,
        quiet: quiet?,
        distinct,
        floor: floor?.unsigned_abs(),
        learn: learn?,
        line,
        behaviors_from,
        rule: Rule {
            kinds,
            gap: gap?,
            distinct: distinct.is_some(),
            calendar: Calendar { weekend: weekend?, lateness: lateness? },
            fade: Fade::of(half_life? as f64 / DAY as f64),
        },
    })
}

/// What is counted: activities, or distinct values of a field.
fn count(settings: &mut Settings<'_>) -> Option<Option<Source>> {
    const HINT: &str = "hint: `count: activities`, or `count: {distinct: object}`";
    match settings.get("count") {
        None => Some(None),
        Some(Json::Text(text)) if text == "activities" => Some(None),
        Some(Json::Map(_)) => {
            let field =
                settings.table("count", &["distinct"], "count: {distinct: object}", |count| {
                    match count.field("distinct")? {
                        Some(field) => Some(field),
                        None => count.problem("", format!("`count` says nothing\n{HINT}")),
                    }
                })?;
            Some(field)
        }
        Some(other) => {
            settings.problem("count", format!("`{other}` is nothing that can be counted\n{HINT}"))
        }
    }
}

/// Days of the week, as bits.
fn weekend(settings: &mut Settings<'_>) -> Option<u8> {
    if let Some(Json::List(days)) = settings.get("weekend")
        && days.is_empty()
    {
        return Some(0);
    }
    let days: Vec<(&str, u8)> =
        NAMES.iter().enumerate().map(|(place, name)| (*name, 1 << place)).collect();
    let chosen = settings.some_of("weekend", &days, &[1 << 5, 1 << 6])?;
    Some(chosen.iter().fold(0, |all, day| all | day))
}

/// Names of the days as settings have them, in the order of [`WEEKDAYS`].
const NAMES: [&str; WEEKDAYS.len()] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// What the settings of the alerting line mean.
fn scale(parted: bool, of_budget: &dyn Fn(f64) -> f64) -> Scale<'_> {
    Scale {
        presets: SENSITIVITIES.map(|budget| line_of(budget, parted)),
        budgets: 0.1..=50.0,
        of_budget: Some(of_budget),
        lines: 0.0..=1e9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_budget_is_a_lower_line() {
        for (budget, line) in LINES {
            assert!((line_of(budget, false) - line).abs() < 1e-9, "{budget}");
            assert!((line_of(budget, true) - line - PARTED).abs() < 1e-9, "{budget}");
        }
        let line_of = |budget| line_of(budget, false);
        assert!(line_of(2.0) > line_of(3.0) && line_of(3.0) > line_of(5.0));
        assert_eq!((line_of(0.0), line_of(1e9)), (LINES[0].1, LINES[8].1));
    }
}
