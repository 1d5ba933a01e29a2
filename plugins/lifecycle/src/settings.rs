//! Reads the settings of this detector.

use casbah_model::Problem;
use casbah_when::duration::{DAY, HOUR};
use casbah_when::json::{Json, negated, row};
use casbah_when::settings::{self, Settings};
use casbah_when::{Plan, Source, When};

use crate::standing::Standing;

/// Keys of the settings.
const KEYS: [&str; 4] = ["causes", "grace", "remember", "lateness"];
/// What casbah itself writes of accounts.
const NEWS: &str = "account-state";
/// Kinds that casbah itself writes: nobody has done them.
const OWN_KINDS: [&str; 2] = [NEWS, "behavior"];

/// States after which nobody should be active, by name.
const CAUSES: [(&str, Standing); 4] = [
    ("deleted", Standing::Deleted),
    ("disabled", Standing::Disabled),
    ("left", Standing::Left),
    ("leaving", Standing::Leaving),
];

/// A policy's settings in the form in which they are evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Activities that are meant.
    pub(crate) when: When,
    /// What is done by somebody, rather than noted by casbah.
    pub(crate) done: When,
    /// News of accounts.
    pub(crate) news: When,
    /// Fields that name what an alert is about.
    pub(crate) group: Vec<Source>,
    /// Length of the quiet window, ms; 0 for none.
    pub(crate) quiet: i64,
    /// How activities are judged.
    pub(crate) rule: Rule,
}

/// How activities are judged and remembered.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// States after which nobody should be active.
    pub(crate) causes: Vec<Standing>,
    /// How long after that activities do not count yet, ms.
    pub(crate) grace: i64,
    /// How long activities are remembered, ms.
    pub(crate) remember: i64,
    /// How long every single one is, ms.
    pub(crate) lateness: i64,
    /// Length of the windows of which one activity is remembered longer, ms.
    pub(crate) window: i64,
}

/// Compiles the settings of all policies, each a JSON text.
///
/// Returns everything that is wrong with any of them, in the order of the policies.
pub(crate) fn compile(policies: &[String]) -> Result<(Plan, Vec<Policy>), Vec<Problem>> {
    settings::compile(policies, &KEYS, policy)
}

/// Reads `group`: there is nothing but people to group by.
fn group(settings: &mut Settings<'_>, person: Source) -> Option<Vec<Source>> {
    let group = settings.fields("group", &["person"])?;
    match group.iter().all(|source| *source == person) {
        true => Some(group),
        false => settings.problem(
            "group",
            "alerts of this detector are grouped by `person`, or are all one\n\
             hint: leave `group` out",
        ),
    }
}

fn policy(settings: &mut Settings<'_>) -> Option<Policy> {
    let when = settings.when();
    let default = [Standing::Deleted, Standing::Disabled, Standing::Left];
    let causes = settings.some_of("causes", &CAUSES, &default);
    let grace = settings.duration("grace", 0..=90 * DAY, HOUR);
    let remember = settings.duration("remember", 0..=90 * DAY, 14 * DAY);
    let lateness = settings.duration("lateness", 0..=30 * DAY, DAY);
    let quiet = settings.quiet();
    let person = settings.named("person");
    let group = person.and_then(|person| group(settings, person));
    let done = negated("kind", "not-in", Json::texts(&OWN_KINDS), true);
    let done = settings.fixed(&Json::List(vec![done]));
    let news = settings.fixed(&Json::List(vec![row("kind", "is", Json::text(NEWS))]));
    let rule = Rule {
        causes: causes?,
        grace: grace?,
        remember: remember?,
        lateness: lateness?,
        // No shorter: of each the last activity is kept, and the state must stay small.
        window: if quiet? > 0 { quiet?.max(HOUR) } else { DAY },
    };
    Some(Policy { when: when?, done: done?, news: news?, group: group?, quiet: quiet?, rule })
}
