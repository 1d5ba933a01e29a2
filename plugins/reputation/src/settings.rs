//! Reads the settings of this detector.

use casbah_model::{Problem, Severity};
use casbah_when::duration::DAY;
use casbah_when::json::{Json, group, negated, not, row};
use casbah_when::settings::{self, Settings};
use casbah_when::{Plan, Source, When};

/// Keys of the settings.
const KEYS: [&str; 9] = [
    "tags",
    "categories",
    "trusted-categories",
    "trusted-tags",
    "activities",
    "common",
    "by",
    "learn",
    "lateness",
];
/// Keys of `common`.
const COMMON_KEYS: [&str; 2] = ["users", "days"];
/// Categories of the organization's own ways out.
const TRUSTED_CATEGORIES: [&str; 3] = ["corporate", "administrative", "vpn"];
/// Services that hide addresses from web sites, and not people from their organization.
const TRUSTED_TAGS: [&str; 1] = ["relay"];
/// Kinds that casbah itself writes: nobody has done them.
const OWN_KINDS: [&str; 2] = ["account-state", "behavior"];

/// A policy's settings in the form in which they are evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Activities that are meant.
    pub(crate) when: When,
    /// What is done by somebody, rather than noted by casbah.
    pub(crate) done: When,
    /// Activities from addresses that are worth a finding. Asked first: hardly a batch has any.
    pub(crate) tagged: When,
    /// Those of them that count: from nothing trusted, and not failed.
    pub(crate) counted: When,
    /// Fields by which findings are told apart.
    pub(crate) by: Vec<Source>,
    /// Fields that name what an alert is about.
    pub(crate) group: Vec<Source>,
    /// Length of the quiet window, ms; 0 for none.
    pub(crate) quiet: i64,
    /// Tags with their severities.
    pub(crate) tags: Marks,
    /// Categories with their severities.
    pub(crate) categories: Marks,
    /// What makes an address common.
    pub(crate) common: Common,
    /// Length of the learning, ms.
    pub(crate) learn: i64,
    /// How late activities may come, ms.
    pub(crate) lateness: i64,
}

/// Texts with severities, where they have one of their own.
pub(crate) type Marks = Vec<(String, Option<Severity>)>;

/// What makes an address common to the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Common {
    /// So many people.
    pub(crate) users: usize,
    /// On so many days.
    pub(crate) days: usize,
}

/// Compiles the settings of all policies, each a JSON text.
///
/// Returns everything that is wrong with any of them, in the order of the policies.
pub(crate) fn compile(policies: &[String]) -> Result<(Plan, Vec<Policy>), Vec<Problem>> {
    settings::compile(policies, &KEYS, policy)
}

fn policy(settings: &mut Settings<'_>) -> Option<Policy> {
    let when = settings.when();
    let severities = Severity::ALL.map(|severity| (severity.name(), severity));
    let tags = settings.labelled("tags", &severities);
    let categories = settings.labelled("categories", &severities);
    if let (Some([]), Some([])) = (tags.as_deref(), categories.as_deref()) {
        settings.problem::<()>(
            "",
            "neither `tags` nor `categories` names anything: they say which addresses are meant\n\
             hint: `tags: [tor, anonymous-proxy]`",
        );
    }
    let commas = ["tags", "trusted-tags"].map(|name| check_commas(settings, name));
    let trusted_categories = settings.texts("trusted-categories", &TRUSTED_CATEGORIES);
    let trusted_tags = settings.texts("trusted-tags", &TRUSTED_TAGS);
    check_trusted(
        settings,
        "trusted-categories",
        trusted_categories.as_deref(),
        "categories",
        categories.as_deref(),
    );
    check_trusted(settings, "trusted-tags", trusted_tags.as_deref(), "tags", tags.as_deref());
    let logins = settings.one_of("activities", &[("any", false), ("logins", true)], false);
    let none = Common { users: 5, days: 7 };
    let common =
        settings.table("common", &COMMON_KEYS, "common: {users: 5, days: 7}", |settings| {
            let users = settings.integer("users", 2..=50, none.users as i64);
            let days = settings.integer("days", 1..=60, none.days as i64);
            Some(Common { users: users? as usize, days: days? as usize })
        });
    let by = settings.by("person");
    let group = by.as_ref().and_then(|by| settings.group(by));
    let quiet = settings.quiet();
    let lateness = settings.duration("lateness", 0..=30 * DAY, DAY);
    let learn = settings.duration("learn", 0..=90 * DAY, 7 * DAY);
    if let (Some(learn), Some(lateness)) = (learn, lateness)
        && learn > 0
        && learn < lateness
    {
        settings.problem::<()>(
            "learn",
            "`learn` must be at least as long as `lateness`, or `0s`\n\
             hint: what comes late would otherwise change whether learning is over",
        );
    }
    let (tags, categories, [Some(()), Some(())]) = (tags?, categories?, commas) else {
        return None;
    };
    let done = negated("kind", "not-in", Json::texts(&OWN_KINDS), true);
    let done = settings.fixed(&Json::List(vec![done]));
    let tagged = tagged(&tags, &categories, settings);
    let counted = counted(&trusted_categories?, &trusted_tags?, logins?, settings);
    Some(Policy {
        when: when?,
        done: done?,
        tagged: tagged?,
        counted: counted?,
        by: by?,
        group: group?,
        quiet: quiet?,
        tags,
        categories,
        common: common?.unwrap_or(none),
        learn: learn?,
        lateness: lateness?,
    })
}

/// Notes what looks like several tags in one text: tags are the elements of lists with commas.
fn check_commas(settings: &mut Settings<'_>, name: &str) -> Option<()> {
    let comma = match settings.get(name) {
        Some(Json::Text(text)) => text.contains(','),
        Some(Json::List(list)) => {
            list.iter().any(|one| matches!(one, Json::Text(text) if text.contains(',')))
        }
        Some(Json::Map(map)) => map.iter().any(|(text, _)| text.contains(',')),
        _ => false,
    };
    if comma {
        return settings.problem(
            name,
            format!("no tag holds a comma\nhint: write several as a list: `{name}: [tor, botnet]`"),
        );
    }
    Some(())
}

/// Notes what is both trusted and worth a finding, as far as the settings say both themselves.
fn check_trusted(
    settings: &mut Settings<'_>,
    name: &str,
    trusted: Option<&[String]>,
    other: &str,
    marks: Option<&[(String, Option<Severity>)]>,
) {
    let (Some(trusted), Some(marks)) = (trusted, marks) else { return };
    let both = trusted.iter().find(|text| marks.iter().any(|(mark, _)| mark == *text));
    if let Some(both) = both {
        let at = if settings.has(name) { name } else { other };
        settings.problem::<()>(
            at,
            format!(
                "`{both}` can't be in both `{other}` and `{name}`\n\
                 hint: `{name}: []` trusts none; unless given, it names some"
            ),
        );
    }
}

/// Filter rows for addresses that are worth a finding.
fn tagged(tags: &Marks, categories: &Marks, settings: &mut Settings<'_>) -> Option<When> {
    let names =
        |marks: &Marks| -> Vec<String> { marks.iter().map(|(name, _)| name.clone()).collect() };
    let (tags, categories) = (names(tags), names(categories));
    let mut any = Vec::new();
    if !tags.is_empty() {
        any.push(row("ip.tags", "has", Json::texts(&tags)));
    }
    if !categories.is_empty() {
        any.push(row("ip.category", "in", Json::texts(&categories)));
    }
    if any.is_empty() {
        return None;
    }
    settings.fixed(&Json::List(vec![group("any", any)]))
}

/// Filter rows for activities that can be a finding wherever they come from.
fn counted(
    trusted_categories: &[String],
    trusted_tags: &[String],
    logins: bool,
    settings: &mut Settings<'_>,
) -> Option<When> {
    let unattended =
        vec![row("kind", "is", Json::text("login")), row("interactive", "is", Json::Flag(false))];
    let mut rows = vec![
        negated("result", "not", Json::text("failure"), true),
        not(group("all", unattended), true),
    ];
    if !trusted_categories.is_empty() {
        rows.push(negated("ip.category", "not-in", Json::texts(trusted_categories), true));
    }
    if !trusted_tags.is_empty() {
        rows.push(not(row("ip.tags", "has", Json::texts(trusted_tags)), true));
    }
    if logins {
        rows.push(row("kind", "is", Json::text("login")));
    }
    settings.fixed(&Json::List(rows))
}
