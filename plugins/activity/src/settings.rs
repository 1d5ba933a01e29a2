//! Reads the settings of this detector: filter rows, and how activities are counted.

use casbah_model::Problem;
use casbah_when::duration::{DAY, spoken};
use casbah_when::json::Json;
use casbah_when::settings::{self, Settings};
use casbah_when::{Plan, Source, When};

/// Keys of `repeat`.
const REPEAT_KEYS: [&str; 5] = ["count", "within", "by", "distinct", "lateness"];
/// The highest threshold: the state of a key holds at least four times as many activities.
const HIGHEST_COUNT: i64 = 10_000;
/// The longest lengths of time, ms.
const LONGEST: i64 = 90 * DAY;

/// A policy's settings in the form in which they are evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Which activities are meant.
    pub(crate) when: When,
    /// Fields that name what an alert is about.
    pub(crate) group: Vec<Source>,
    /// Length of the quiet window, ms; 0 for none.
    pub(crate) quiet: i64,
    /// Whether and how activities are counted.
    pub(crate) repeat: Option<Repeat>,
}

/// How many activities make a finding.
#[derive(Clone, Debug)]
pub(crate) struct Repeat {
    /// At least so many.
    pub(crate) count: u32,
    /// Within so many ms.
    pub(crate) within: i64,
    /// How late an activity may come, ms.
    pub(crate) lateness: i64,
    /// Fields whose values are counted apart.
    pub(crate) by: Vec<Source>,
    /// Field whose distinct values are counted, instead of the activities.
    pub(crate) distinct: Option<Source>,
}

/// Compiles the settings of all policies, each a JSON text.
///
/// Returns everything that is wrong with any of them, in the order of the policies.
pub(crate) fn compile(policies: &[String]) -> Result<(Plan, Vec<Policy>), Vec<Problem>> {
    settings::compile(policies, &["repeat"], policy)
}

fn policy(settings: &mut Settings<'_>) -> Option<Policy> {
    let when = settings.when();
    let example = "repeat: {count: 30, within: 5m}";
    let repeat = settings.table("repeat", &REPEAT_KEYS, example, repeat);
    let counted = repeat.as_ref().and_then(Option::as_ref);
    let quiet = settings.quiet();
    if let (Some(quiet), Some(repeat)) = (quiet, counted)
        && quiet < repeat.within
    {
        let within = spoken(repeat.within);
        settings.problem::<()>(
            "quiet",
            format!(
                "the quiet time must be at least as long as `repeat.within`, which is {within}\n\
                 hint: one alert stands for all that happens within a quiet time"
            ),
        );
    }
    let group = match (settings.has("group"), counted) {
        (true, _) => settings.fields("group", &[]),
        (false, Some(repeat)) => Some(repeat.by.clone()),
        (false, None) => settings.fields("group", &["actor"]),
    };
    if let (Some(repeat), Some(group)) = (counted, &group) {
        settings.check_group(group, &repeat.by, "repeat.by");
    }
    Some(Policy { when: when?, group: group?, quiet: quiet?, repeat: repeat? })
}

fn repeat(settings: &mut Settings<'_>) -> Option<Repeat> {
    let count = count(settings);
    let within = if settings.has("within") {
        match settings.duration("within", 0..=LONGEST, DAY) {
            Some(0) => settings.problem("within", "`within` must be at least a second"),
            within => within,
        }
    } else {
        settings.problem(
            "",
            "`within` is missing: it says how close together the activities must be\nhint: `within: 5m`",
        )
    };
    let lateness = settings.duration("lateness", 0..=LONGEST, DAY);
    let by = settings.by("actor");
    let distinct = settings.field("distinct");
    Some(Repeat {
        count: count?,
        within: within?,
        lateness: lateness?,
        by: by?,
        distinct: distinct?,
    })
}

fn count(settings: &mut Settings<'_>) -> Option<u32> {
    match settings.get("count") {
        None => settings.problem(
            "",
            "`count` is missing: it says how many activities make a finding\nhint: `count: 30`",
        ),
        Some(Json::Integer(1)) => settings.problem(
            "count",
            "`count` must be at least 2\nhint: without `repeat`, every activity is a finding",
        ),
        Some(_) => settings
            .integer("count", 2..=HIGHEST_COUNT, 2)
            .and_then(|count| u32::try_from(count).ok()),
    }
}
