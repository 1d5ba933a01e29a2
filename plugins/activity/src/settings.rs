//! Reads the settings of this detector: filter rows, and what makes a window of activities a finding.

mod steps;

use casbah_model::Problem;
use casbah_when::duration::{DAY, spoken};
use casbah_when::json::Json;
use casbah_when::settings::{self, Settings};
use casbah_when::{Plan, Severities, Source, When};

use crate::parts::Lists;
#[cfg(test)]
use crate::rule::Planted;
use crate::rule::{Limit, Measure, Rule, Side};

/// What makes a window of activities a finding; a policy has one of them or none.
const WINDOWS: [&str; 3] = ["repeat", "sequence", "absence"];
/// Keys of `repeat`.
const REPEAT_KEYS: [&str; 12] = [
    "count",
    "within",
    "by",
    "distinct",
    "sum",
    "average",
    "percentile",
    "above",
    "at-least",
    "below",
    "at-most",
    "lateness",
];
/// The highest threshold: the state of a key holds at least four times as many activities.
const HIGHEST_COUNT: i64 = 10_000;
/// The longest lengths of time, ms.
const LONGEST: i64 = 90 * DAY;
/// The largest quantity to compare with: beyond it, thousandths do not fit.
const LARGEST: f64 = 9e15;

/// A policy's settings in the form in which they are evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Which activities are meant; all of them where steps say which.
    pub(crate) when: Option<When>,
    /// How severe which activities are.
    pub(crate) severities: Severities,
    /// Fields that name what an alert is about.
    pub(crate) group: Vec<Source>,
    /// Length of the quiet window, ms; 0 for none.
    pub(crate) quiet: i64,
    /// What makes a finding; every activity where there is none.
    pub(crate) window: Option<Window>,
}

/// What makes activities a finding, together.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) rule: Rule,
    /// Field whose distinct values or whose quantities are looked at.
    pub(crate) value: Option<Source>,
    /// Activities and the fields that they are told apart by; one lane, unless steps name their own.
    pub(crate) lanes: Vec<Lane>,
    /// Places of the group's fields among those that activities are told apart by.
    pub(crate) group: Vec<usize>,
    /// Words for findings.
    pub(crate) words: Words,
}

/// Activities that are told apart by the same fields.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// The fields.
    pub(crate) by: Vec<Source>,
    /// The place of their list.
    pub(crate) list: usize,
    /// Which activities, and what they stand for.
    pub(crate) parts: Vec<LanePart>,
}

/// Activities that stand for the same.
#[derive(Clone, Debug)]
pub(crate) struct LanePart {
    /// Which; the policy's own where it says nothing.
    pub(crate) when: Option<When>,
    /// Steps that they can be, as bits.
    pub(crate) steps: u8,
    /// Steps behind which they must not come, as bits.
    pub(crate) nots: u8,
}

/// What findings call things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// Activities that are counted speak for themselves.
    Repeat,
    /// Names of steps, and of what must not come, with how many steps are before it.
    Steps { steps: Vec<String>, nots: Vec<(usize, String)>, ordered: bool },
    /// What activities are, and what should have followed.
    Absence { when: String, expected: Option<String> },
}

/// Compiles the settings of all policies, each a JSON text.
///
/// Returns everything that is wrong with any of them, in the order of the policies.
pub(crate) fn compile(policies: &[String]) -> Result<(Plan, Lists, Vec<Policy>), Vec<Problem>> {
    let mut lists = Lists::default();
    let (plan, policies) =
        settings::compile(policies, &WINDOWS, |settings| policy(settings, &mut lists))?;
    Ok((plan, lists, policies))
}

/// What a table of a window says, before the whole policy is known.
struct Said {
    name: &'static str,
    measure: Measure,
    within: i64,
    lateness: i64,
    value: Option<Source>,
    by: Vec<Source>,
    /// What activities are, each with its own fields where it names some.
    parts: Vec<(Option<Vec<Source>>, LanePart)>,
    words: Words,
}

fn policy(settings: &mut Settings<'_>, lists: &mut Lists) -> Option<Policy> {
    let when = if settings.has("sequence") { settings.filter() } else { settings.when().map(Some) };
    let severities = settings.severities();
    let said = said(settings, when.flatten());
    let quiet = settings.quiet();
    let known = said.as_ref().and_then(Option::as_ref);
    if let (Some(quiet), Some(said)) = (quiet, known) {
        check_quiet(settings, quiet, said);
    }
    let group = match (settings.has("group"), known) {
        (true, _) => settings.fields("group", &[]),
        (false, Some(said)) => Some(said.by.clone()),
        (false, None) => settings.fields("group", &["actor"]),
    };
    if let (Some(said), Some(group)) = (known, &group) {
        settings.check_group(group, &said.by, &format!("{}.by", said.name));
    }
    let (mut when, severities, group, quiet) = (when?, severities?, group?, quiet?);
    if settings.has("absence") {
        // What is expected need not be what `when` means.
        when = None;
    }
    let graded = !severities.is_empty();
    let window = said?.map(|said| said.window(&group, quiet, graded, lists));
    Some(Policy { when, severities, group, quiet, window })
}

/// Reads whichever table of a window there is; the outer `None` has been noted.
fn said(settings: &mut Settings<'_>, when: Option<When>) -> Option<Option<Said>> {
    let there: Vec<_> = WINDOWS.iter().filter(|name| settings.has(name)).collect();
    if let [first, second, ..] = there.as_slice() {
        return settings.problem(
            second,
            format!(
                "a policy has one of `repeat`, `sequence` and `absence`, but here are `{first}` and `{second}`\n\
                 hint: make two policies of it"
            ),
        );
    }
    let repeat = settings.table("repeat", &REPEAT_KEYS, "repeat: {count: 30, within: 5m}", repeat);
    let sequence = steps::sequence(settings);
    let absence = steps::absence(settings, when);
    match (repeat?, sequence?, absence?) {
        (None, None, said) | (None, said, _) | (said, _, _) => Some(said),
    }
}

fn check_quiet(settings: &mut Settings<'_>, quiet: i64, said: &Said) {
    // What is evidence by itself is so in its own bucket only.
    let alone = matches!(&said.measure, Measure::Sequence(sequence) if sequence.steps == 1);
    if quiet >= said.within || alone {
        return;
    }
    let within = spoken(said.within);
    settings.problem::<()>(
        "quiet",
        format!(
            "the quiet time must be at least as long as `{}.within`, which is {within}\n\
             hint: one alert stands for all that happens within a quiet time",
            said.name
        ),
    );
}

impl Said {
    fn window(self, group: &[Source], quiet: i64, graded: bool, lists: &mut Lists) -> Window {
        let mut lanes: Vec<Lane> = Vec::new();
        for (by, part) in self.parts {
            let by = by.unwrap_or_else(|| self.by.clone());
            match lanes.iter_mut().find(|lane| lane.by == by) {
                Some(lane) => lane.parts.push(part),
                None => lanes.push(Lane { list: lists.place(&by), by, parts: vec![part] }),
            }
        }
        let place = |source| self.by.iter().position(|by| by == source);
        Window {
            rule: Rule {
                measure: self.measure,
                within: self.within,
                lateness: self.lateness,
                quiet,
                graded,
                #[cfg(test)]
                planted: Planted::Nothing,
            },
            value: self.value,
            lanes,
            group: group.iter().filter_map(place).collect(),
            words: self.words,
        }
    }
}

fn repeat(settings: &mut Settings<'_>) -> Option<Said> {
    let (measure, value) = measure(settings).unzip();
    let within = within(settings);
    let lateness = settings.duration("lateness", 0..=LONGEST, DAY);
    let by = settings.by("actor");
    Some(Said {
        name: "repeat",
        measure: measure?,
        within: within?,
        lateness: lateness?,
        value: value?,
        by: by?,
        parts: vec![(None, LanePart { when: None, steps: 0, nots: 0 })],
        words: Words::Repeat,
    })
}

fn within(settings: &mut Settings<'_>) -> Option<i64> {
    if settings.has("within") {
        return match settings.duration("within", 0..=LONGEST, DAY) {
            Some(0) => settings.problem("within", "`within` must be at least a second"),
            within => within,
        };
    }
    settings.problem(
        "",
        "`within` is missing: it says how close together the activities must be\nhint: `within: 5m`",
    )
}

/// Reads what is measured, and the field that it is measured of.
fn measure(settings: &mut Settings<'_>) -> Option<(Measure, Option<Source>)> {
    let there: Vec<_> = ["sum", "average", "percentile", "distinct"]
        .into_iter()
        .filter(|name| settings.has(name))
        .collect();
    if let [first, second, ..] = there.as_slice() {
        return settings.problem(
            second,
            format!(
                "`repeat` can't use both `{first}` and `{second}`\nhint: make two policies of it"
            ),
        );
    }
    let name = there.first().copied().unwrap_or_default();
    if matches!(name, "" | "distinct") {
        for limit in ["above", "at-least", "below", "at-most"] {
            if settings.has(limit) {
                settings.problem::<()>(
                    limit,
                    format!(
                        "`{limit}` needs `sum`, `average` or `percentile` beside it\n\
                         hint: `{{sum: amount, {limit}: 1000, within: 1h}}`; activities are counted by `count: 30`"
                    ),
                );
            }
        }
        let distinct = settings.field("distinct");
        let (count, distinct) = (count(settings)?, distinct?);
        return Some(match distinct {
            None => (Measure::Count(count), None),
            field => (Measure::Distinct(count), field),
        });
    }
    let least = settings
        .integer("count", 1..=HIGHEST_COUNT, 1)
        .and_then(|count| usize::try_from(count).ok());
    let percentile = if name == "percentile" { percentile(settings) } else { Some((None, 0)) };
    let field = if name == "percentile" {
        percentile.and_then(|(field, _)| field)
    } else {
        settings.quantity(name).flatten()
    };
    let limit = limit(settings, name);
    let (least, (_, of), field, limit) = (least?, percentile?, field?, limit?);
    let measure = match name {
        "sum" => Measure::Sum(least, limit),
        "average" => Measure::Average(least, limit),
        _ => Measure::Percentile(least, of, limit),
    };
    Some((measure, Some(field)))
}

/// Reads `{field: …, of: 95}`.
fn percentile(settings: &mut Settings<'_>) -> Option<(Option<Source>, u8)> {
    let example = "percentile: {field: amount, of: 95}";
    settings.table("percentile", &["field", "of"], example, |settings| {
        let field = match settings.has("field") {
            true => settings.quantity("field"),
            false => settings.problem(
                "",
                format!("`field` is missing: it says whose quantities are looked at\nhint: `{example}`"),
            ),
        };
        let of = match settings.has("of") {
            true => settings.integer("of", 1..=99, 95).and_then(|of| u8::try_from(of).ok()),
            false => settings.problem(
                "",
                format!("`of` is missing: it says how many percent of the quantities must not exceed it\nhint: `{example}`"),
            ),
        };
        Some((field?, of?))
    })?
}

fn limit(settings: &mut Settings<'_>, name: &str) -> Option<Limit> {
    let sides = [
        ("above", Side::Above),
        ("at-least", Side::AtLeast),
        ("below", Side::Below),
        ("at-most", Side::AtMost),
    ];
    let there: Vec<_> = sides.into_iter().filter(|(limit, _)| settings.has(limit)).collect();
    match there.as_slice() {
        [] => settings.problem(
            "",
            format!("`{name}` needs something to be compared with\nhint: `above: 1000`"),
        ),
        [(limit, Side::Below | Side::AtMost)] if name == "sum" => settings.problem(
            limit,
            "a sum only grows while activities come in, so it can't be compared downwards\n\
             hint: `absence` finds what does not happen",
        ),
        [(limit, side)] => {
            let value = settings.number(limit, -LARGEST..=LARGEST, 0.0)?;
            Some(Limit { side: *side, value: thousandths(value) })
        }
        [(first, _), (second, _), ..] => settings.problem(
            second,
            format!("`{name}` is compared once, but here are `{first}` and `{second}`"),
        ),
    }
}

/// A quantity in thousandths, rounded; the largest or smallest there is where it does not fit.
#[expect(clippy::cast_possible_truncation, reason = "it saturates, as is said")]
pub(crate) fn thousandths(value: f64) -> i64 {
    (value * 1000.0).round() as i64
}

fn count(settings: &mut Settings<'_>) -> Option<usize> {
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
            .and_then(|count| usize::try_from(count).ok()),
    }
}
