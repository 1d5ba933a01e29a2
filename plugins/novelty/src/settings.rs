//! Reads the settings of this detector.

use casbah_model::Problem;
use casbah_when::duration::{DAY, spoken};
use casbah_when::json::Json;
use casbah_when::line::{self, Lines, Scale};
use casbah_when::settings::{self, Settings};
use casbah_when::{Plan, Source, When};

/// Keys of this detector's settings.
const KEYS: [&str; 16] = [
    "mode",
    "after-silence",
    "by",
    "value",
    "population",
    "forget",
    "rare-below",
    "floor",
    "events",
    "together-for",
    "learn",
    "lateness",
    "sensitivity",
    "budget",
    "line",
    "behaviors-from",
];
/// The longest lengths of time, ms.
const LONGEST: i64 = 3650 * DAY;
/// The longest lateness: days that may still grow must be among those known one by one.
const LATEST: i64 = 7 * DAY;
/// How long something the population did not use before is told together: so long a few try something
/// out, as a rule, before all get it.
const TOGETHER: i64 = 14 * DAY;
/// Working days of a week: on so many days somebody can do something for the first time.
const DAYS_A_WEEK: f64 = 5.0;

/// What counts as new.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mode {
    /// A value that is new for somebody and rare in the population.
    FirstSeen {
        /// What is looked at; several columns are one value.
        value: Vec<Source>,
        /// Rare is what less than this share of the population uses,
        rare_below: f64,
        /// or fewer people than this.
        floor: u64,
        /// Somebody is judged after so many activities.
        events: u64,
        /// What the population did not use before is told together for so many days; 0 for never.
        together: i64,
    },
    /// A key that was not there before: somebody's first time, or a value new to the organization.
    FirstTime {
        /// Whether keys are values rather than people, which is only a matter of words.
        of_organization: bool,
    },
    /// A key that was silent for so many days.
    AfterSilence(i64),
}

/// A policy's settings in the form in which they are evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) when: When,
    /// What state is kept by.
    pub(crate) keys: Vec<Source>,
    /// The columns that part the population; none for the whole organization.
    pub(crate) population: Vec<Source>,
    pub(crate) group: Vec<Source>,
    /// What an alert is about where it is about a value rather than about a person.
    pub(crate) together: Vec<Source>,
    /// Length of the quiet window, ms.
    pub(crate) quiet: i64,
    pub(crate) mode: Mode,
    /// What was not used for more than so many days counts as never used.
    pub(crate) forget: i64,
    /// Days of learning, of keys and of the population.
    pub(crate) learn: i64,
    /// How late activities may come, ms.
    pub(crate) lateness: i64,
    /// Scores at or above it are alerts,
    pub(crate) line: f64,
    /// and those at or above it behaviors.
    pub(crate) behaviors_from: f64,
}

impl Policy {
    /// The first day that is not yet complete when something of a day is judged: what is older than
    /// the beginning of that day by more than the lateness has arrived.
    pub(crate) fn horizon(&self, day: i64) -> i64 {
        day.saturating_mul(DAY).saturating_sub(self.lateness).div_euclid(DAY)
    }

    /// How many days may still be asked about one by one.
    pub(crate) fn open_days(&self) -> i64 {
        2 * self.lateness.div_euclid(DAY) + 4
    }
}

/// Compiles the settings of all policies, each a JSON text.
pub(crate) fn compile(policies: &[String]) -> Result<(Plan, Vec<Policy>), Vec<Problem>> {
    settings::compile(policies, &KEYS, policy)
}

/// Whether what is judged is complete: learning must be over before what may still come.
fn learning(settings: &mut Settings<'_>, learn: i64, lateness: Option<i64>) -> bool {
    let Some(lateness) = lateness.filter(|&lateness| learn != 0 && learn < lateness) else {
        return true;
    };
    settings.problem::<()>(
        "learn",
        format!(
            "`learn` must be at least as long as `lateness`, which is {}\n\
             hint: `learn: 0s` switches learning off",
            spoken(lateness)
        ),
    );
    false
}

/// Which mode is meant, before its details are read.
#[derive(Clone, Copy, PartialEq)]
enum Word {
    FirstSeen,
    FirstTime,
    NewForOrganization,
}

fn policy(settings: &mut Settings<'_>) -> Option<Policy> {
    let when = settings.when();
    let by = settings.by("person");
    let lateness = settings.duration("lateness", 0..=LATEST, DAY);
    let learn = settings.duration("learn", 0..=LONGEST, 7 * DAY);
    let forget = settings.duration("forget", DAY..=LONGEST, 90 * DAY);
    let population = settings.fields("population", &[]);
    let quiet = settings.quiet();
    let mode = mode(settings);
    let learn = learn.filter(|&learn| learning(settings, learn, lateness));
    let (mode, value) = mode?;
    let lines = line::read(settings, &scale(&mode));
    let (by, population) = (by?, population?);
    let keys = match &mode {
        Mode::FirstTime { of_organization: true } => {
            population.iter().chain(&value).copied().collect()
        }
        _ => by.clone(),
    };
    let group = group(settings, &by, &value)?;
    let together = about_value(&group, &value, &population);
    let Lines { alerts: line, behaviors: behaviors_from } = lines?;
    Some(Policy {
        when: when?,
        keys,
        population,
        group,
        together,
        quiet: quiet?,
        mode,
        forget: forget?.div_euclid(DAY),
        learn: learn?.div_euclid(DAY),
        lateness: lateness?,
        line,
        behaviors_from,
    })
}

/// The mode with its details, and the columns of the value, if there are any.
fn mode(settings: &mut Settings<'_>) -> Option<(Mode, Vec<Source>)> {
    const MODES: [(&str, Word); 3] = [
        ("first-seen", Word::FirstSeen),
        ("first-time", Word::FirstTime),
        ("new-for-organization", Word::NewForOrganization),
    ];
    if settings.has("after-silence") {
        refuse(
            settings,
            &["mode", "value", "together-for"],
            "`after-silence` looks at nothing but time",
        );
        let silence = settings.duration("after-silence", DAY..=LONGEST, 60 * DAY)?;
        return Some((Mode::AfterSilence(silence.div_euclid(DAY)), Vec::new()));
    }
    let word = settings.one_of("mode", &MODES, Word::FirstSeen)?;
    if word == Word::FirstTime {
        refuse(
            settings,
            &["value", "together-for"],
            "`mode: first-time` looks at nothing but `by`",
        );
        return Some((Mode::FirstTime { of_organization: false }, Vec::new()));
    }
    let value = value(settings)?;
    if word == Word::NewForOrganization {
        refuse(settings, &["together-for"], "alerts of this mode are about values anyway");
        return Some((Mode::FirstTime { of_organization: true }, value));
    }
    let rare_below = settings.number("rare-below", 0.0..=1.0, 0.01);
    let floor = settings.integer("floor", 1..=64, 2);
    let events = settings.integer("events", 0..=10_000, 20);
    let together = settings.duration("together-for", 0..=LONGEST, TOGETHER);
    let mode = Mode::FirstSeen {
        value: value.clone(),
        rare_below: rare_below?,
        floor: floor?.unsigned_abs(),
        events: events?.unsigned_abs(),
        // A part of a day is one.
        together: together?.saturating_add(DAY - 1).div_euclid(DAY),
    };
    Some((mode, value))
}

/// Notes settings that mean nothing beside others.
fn refuse(settings: &mut Settings<'_>, names: &[&str], why: &str) {
    for name in names {
        if settings.has(name) {
            settings.problem::<()>(
                name,
                format!("`{name}` has no meaning here: {why}\nhint: leave one of them out"),
            );
        }
    }
}

/// `value: COLUMN`, or `value: {columns: [COLUMN, …]}`.
fn value(settings: &mut Settings<'_>) -> Option<Vec<Source>> {
    if !settings.has("value") {
        return settings
            .problem("", "`value` is missing: it says what is looked at\nhint: `value: country`");
    }
    let columns = if matches!(settings.get("value"), Some(Json::Map(_))) {
        let example = "value: {columns: [app, action]}";
        settings.table("value", &["columns"], example, |inner| inner.fields("columns", &[]))??
    } else {
        settings.field("value")?.into_iter().collect()
    };
    if columns.is_empty() {
        return settings.problem("value", "`value` names no column\nhint: `value: country`");
    }
    Some(columns)
}

/// What the settings of the alerting line mean in a mode.
fn scale(mode: &Mode) -> Scale<'static> {
    let (presets, of_budget): (_, Option<&dyn Fn(f64) -> f64>) = match mode {
        // The score is the chance of such a day, as a power of ten.
        Mode::FirstSeen { .. } => {
            ([3.6, 2.9, 2.2], Some(&|budget| -libm::log10(budget / 1000.0 / DAYS_A_WEEK)))
        }
        Mode::FirstTime { .. } => ([1.5, 1.0, 0.5], None),
        Mode::AfterSilence(_) => ([1.5, 1.0, 0.75], None),
    };
    Scale { presets, budgets: 0.001..=100_000.0, of_budget, lines: -1e9..=1e9 }
}

/// What alerts are about: any of `by` and of the columns of the value; `by` unless given.
fn group(settings: &mut Settings<'_>, by: &[Source], value: &[Source]) -> Option<Vec<Source>> {
    if !settings.has("group") {
        return Some(by.to_vec());
    }
    let group = settings.fields("group", &[])?;
    let counted: Vec<Source> = by.iter().chain(value).copied().collect();
    settings.check_group(&group, &counted, "by");
    Some(group)
}

/// The group without whose habits it is about: its columns of the value and of the population, and
/// the value where it names nothing of it.
fn about_value(group: &[Source], value: &[Source], population: &[Source]) -> Vec<Source> {
    let kept = |source: &&Source| value.contains(source) || population.contains(source);
    let mut kept: Vec<Source> = group.iter().filter(kept).copied().collect();
    if !kept.iter().any(|source| value.contains(source)) {
        kept.extend(value);
    }
    kept
}
