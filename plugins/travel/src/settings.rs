//! Reads the settings of this detector.

use casbah_model::Problem;
use casbah_when::duration::{DAY, HOUR, spoken};
use casbah_when::settings::{self, Settings};
use casbah_when::{Plan, Source, When};

use crate::place::Marks;

/// Keys of this detector's settings.
const KEYS: [&str; 14] = [
    "by",
    "within",
    "speed",
    "distance",
    "sensitivity",
    "common-days",
    "common-share",
    "common-people",
    "trusted",
    "ignore-categories",
    "ignore-tags",
    "together-for",
    "learn",
    "lateness",
];
/// The longest that places are remembered and activities may be late, ms.
const LONGEST: i64 = 7 * DAY;
/// How long a network that the organization did not use before is told together: so long a few try
/// something out, as a rule, before all get it.
const TOGETHER: i64 = 14 * DAY;
/// Where an address says nothing of where somebody is: categories of ranges,
const IGNORED_CATEGORIES: [&str; 2] = ["cloud-provider", "vpn"];
/// and tags.
const IGNORED_TAGS: [&str; 6] = ["vpn", "hosting", "relay", "satellite", "anonymous-proxy", "tor"];

/// What is kept quiet about, beside what always is. In order: each step keeps quiet about less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sensitivity {
    /// Places common to the person, and networks and countries common in the organization.
    Low,
    /// Places common to the person, and a network in one city that is common in the organization.
    Medium,
    /// Nothing.
    High,
}

/// A policy's settings in the form in which they are evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) when: When,
    pub(crate) by: Vec<Source>,
    pub(crate) group: Vec<Source>,
    /// Length of the quiet window, ms.
    pub(crate) quiet: i64,
    /// How far apart in time two activities may be, ms.
    pub(crate) within: i64,
    /// What nobody travels faster than, km/h.
    pub(crate) speed: f64,
    /// Nearer places are never far apart, km.
    pub(crate) distance: f64,
    pub(crate) sensitivity: Sensitivity,
    /// So many days make a habit.
    pub(crate) common_days: usize,
    /// Common in the organization is what this share of its people uses,
    pub(crate) common_share: f64,
    /// and at least so many.
    pub(crate) common_people: f64,
    pub(crate) marks: Marks,
    /// What the organization did not use before is told together for so long, ms; 0 for never.
    pub(crate) together: i64,
    /// How long somebody is known before anything is judged, ms.
    pub(crate) learn: i64,
    /// How late activities may come, ms.
    pub(crate) lateness: i64,
    /// Length of a span, ms: what is between two activities within one is at most half as far from
    /// one of them, and to go there in that time is faster than `speed`.
    pub(crate) span: i64,
}

impl Policy {
    /// Whether nobody travels so far in that time.
    pub(crate) fn is_impossible(&self, km: f64, ms: i64) -> bool {
        ms <= self.within && km >= self.distance && km * HOUR as f64 > self.speed * ms as f64
    }
}

/// Compiles the settings of all policies, each a JSON text.
pub(crate) fn compile(policies: &[String]) -> Result<(Plan, Vec<Policy>), Vec<Problem>> {
    settings::compile(policies, &KEYS, policy)
}

fn policy(settings: &mut Settings<'_>) -> Option<Policy> {
    const SENSITIVITIES: [(&str, Sensitivity); 3] =
        [("low", Sensitivity::Low), ("medium", Sensitivity::Medium), ("high", Sensitivity::High)];
    let when = settings.when();
    let by = settings.by("person");
    let group = by.as_ref().and_then(|by| settings.group(by));
    let quiet = settings.quiet();
    let within = settings.duration("within", HOUR..=LONGEST, DAY);
    let speed = settings.number("speed", 100.0..=5000.0, 900.0);
    let distance = settings.number("distance", 50.0..=20_000.0, 500.0);
    let sensitivity = settings.one_of("sensitivity", &SENSITIVITIES, Sensitivity::Medium);
    let common_days = settings.integer("common-days", 1..=8, 3);
    let common_share = settings.number("common-share", 0.0..=1.0, 0.03);
    let common_people = settings.integer("common-people", 2..=64, 5);
    let trusted = settings.texts("trusted", &["corporate"]);
    let categories = settings.texts("ignore-categories", &IGNORED_CATEGORIES);
    let tags = settings.texts("ignore-tags", &IGNORED_TAGS);
    let together = settings.duration("together-for", 0..=365 * DAY, TOGETHER);
    let learn = settings.duration("learn", 0..=365 * DAY, 7 * DAY);
    let lateness = settings.duration("lateness", 0..=LONGEST, DAY);
    let learn = learn.filter(|&learn| learning(settings, learn, lateness));
    let (speed, distance) = (speed?, distance?);
    let span = (2.0 * distance / speed * HOUR as f64) as i64 - 1;
    Some(Policy {
        when: when?,
        by: by?,
        group: group?,
        quiet: quiet?,
        within: within?,
        speed,
        distance,
        sensitivity: sensitivity?,
        common_days: usize::try_from(common_days?).ok()?,
        common_share: common_share?,
        common_people: common_people? as f64,
        marks: Marks { trusted: trusted?, ignored_categories: categories?, ignored_tags: tags? },
        together: together?,
        learn: learn?,
        lateness: lateness?,
        span: span.clamp(1000, HOUR),
    })
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
