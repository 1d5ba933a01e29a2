//! Reads policies' settings, and says everything that is wrong with them.
//!
//! It is not where policy files are read: the host does that, and hands over JSON.

mod row;

use std::borrow::Cow;

use casbah_model::Problem;
use casbah_model::vocabulary::ColumnType;

use crate::duration;
use crate::fields::{Field, unknown};
use crate::json::{Json, Place, shown};
use crate::plan::{Plan, Policy, Repeat};

/// Keys of a policy's settings.
const POLICY_KEYS: [&str; 5] = ["policy", "group", "quiet", "when", "repeat"];
/// Keys of `repeat`.
const REPEAT_KEYS: [&str; 5] = ["count", "within", "by", "distinct", "lateness"];
/// The highest threshold: the state of a key holds at least four times as many activities.
const HIGHEST_COUNT: i64 = 10_000;
/// How many fields `by` and `group` may name.
const MOST_FIELDS: usize = 8;

/// Compiles the settings of all policies, each a JSON text.
///
/// Returns everything that is wrong with any of them, in the order of the policies.
pub(crate) fn compile(policies: &[String]) -> Result<Plan, Vec<Problem>> {
    let mut plan = Plan::default();
    let mut problems = Vec::new();
    for (index, text) in policies.iter().enumerate() {
        let mut reader = Reader {
            plan: &mut plan,
            problems: &mut problems,
            policy: index as u32,
            rows: 0,
            asked: Vec::new(),
        };
        if let Some(policy) = reader.text(text) {
            plan.policies.push(policy);
        }
    }
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// Reads one policy into the plan. Whatever is wrong is noted, and reading goes on: a method that
/// returns `None` has noted why.
struct Reader<'r> {
    plan: &'r mut Plan,
    problems: &'r mut Vec<Problem>,
    policy: u32,
    /// Number of rows read.
    rows: usize,
    /// Fields that rows have asked for a value, for the `not` around them.
    asked: Sources,
}

/// Fields named in one place, as indexes of the plan.
type Sources = Vec<usize>;

impl Reader<'_> {
    fn problem<T>(&mut self, place: Place<'_>, message: impl Into<String>) -> Option<T> {
        self.problems.push(Problem {
            policy: self.policy,
            pointer: place.to_string(),
            message: message.into(),
        });
        None
    }

    /// Names the keys that are not known, and the ones that stand there twice.
    fn check_keys(
        &mut self,
        place: Place<'_>,
        map: &[(Cow<'_, str>, Json<'_>)],
        what: &str,
        known: &[&str],
    ) {
        for (index, (key, _)) in map.iter().enumerate() {
            if !known.contains(&key.as_ref()) {
                let message = unknown(what, key, known.iter().copied());
                self.problem::<()>(Place::Key(&place, key), message);
            } else if map.iter().take(index).any(|(other, _)| other == key) {
                self.problem::<()>(
                    Place::Key(&place, key),
                    format!("`{}` stands here twice", shown(key)),
                );
            }
        }
    }

    fn text(&mut self, text: &str) -> Option<Policy> {
        match Json::read(text) {
            Err(error) => self.problem(Place::Root, format!("the settings are not JSON: {error}")),
            Ok(Json::Map(map)) => {
                self.check_keys(Place::Root, &map, "setting of this detector", &POLICY_KEYS);
                self.settings(&map)
            }
            Ok(other) => self.problem(
                Place::Root,
                format!("the settings must be a table of keys, not {}", other.kind()),
            ),
        }
    }

    fn settings(&mut self, map: &[(Cow<'_, str>, Json<'_>)]) -> Option<Policy> {
        let get = |name: &str| map.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let when = match get("when") {
            Some(when) => self.when(Place::Key(&Place::Root, "when"), when),
            None => self.problem(
                Place::Root,
                "`when` is missing: it says which activities are meant\n\
                 hint: `when: [{field: kind, is: export}]`",
            ),
        };
        let repeat =
            get("repeat").map(|repeat| self.repeat(Place::Key(&Place::Root, "repeat"), repeat));
        let quiet = self.quiet(get("quiet"), repeat.as_ref().and_then(Option::as_ref));
        let group = match get("group") {
            Some(group) => self.sources(Place::Key(&Place::Root, "group"), group, "group"),
            None => match &repeat {
                Some(repeat) => repeat.as_ref().map(|repeat| repeat.by.clone()),
                None => self.plan.source("actor").ok().map(|actor| vec![actor]),
            },
        };
        if let (Some(Some(repeat)), Some(group)) = (&repeat, &group) {
            self.check_group(repeat, group);
        }
        let repeat = match repeat {
            Some(repeat) => Some(repeat?),
            None => None,
        };
        Some(Policy { when: when?, group: group?, quiet: quiet?, repeat })
    }

    /// The length of the quiet window in ms: a day when it is not given.
    fn quiet(&mut self, value: Option<&Json<'_>>, repeat: Option<&Repeat>) -> Option<i64> {
        let place = Place::Key(&Place::Root, "quiet");
        let quiet = match value {
            None => duration::ONE_DAY,
            Some(Json::Integer(quiet)) if *quiet >= 0 => *quiet,
            Some(other) => {
                return self.problem(
                    place,
                    format!("`quiet` must be a number of milliseconds, 0 or more, not `{other}`"),
                );
            }
        };
        if let Some(repeat) = repeat
            && quiet < repeat.within
        {
            return self.problem(
                place,
                format!(
                    "the quiet time must be at least as long as `repeat.within`, which is {}\n\
                     hint: one alert stands for all that happens within a quiet time",
                    duration::spoken(repeat.within)
                ),
            );
        }
        Some(quiet)
    }

    fn check_group(&mut self, repeat: &Repeat, group: &[usize]) {
        for (index, source) in
            group.iter().enumerate().filter(|(_, source)| !repeat.by.contains(source))
        {
            let name = self.field_name(*source);
            let by: Vec<_> =
                repeat.by.iter().map(|source| format!("`{}`", self.field_name(*source))).collect();
            let group = Place::Key(&Place::Root, "group");
            self.problem::<()>(
                Place::Index(&group, index),
                format!(
                    "alerts can't be grouped by `{name}`: activities are counted by {}\n\
                     hint: add `{name}` to `repeat.by`, or group by what is counted by",
                    by.join(", ")
                ),
            );
        }
    }

    fn repeat(&mut self, place: Place<'_>, value: &Json<'_>) -> Option<Repeat> {
        let Json::Map(map) = value else {
            return self.problem(
                place,
                format!("`repeat` must be a table of keys, not {}\nhint: `repeat: {{count: 30, within: 5m}}`", value.kind()),
            );
        };
        self.check_keys(place, map, "key of `repeat`", &REPEAT_KEYS);
        let get = |name: &str| map.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let count = self.count(place, get("count"));
        let within = match get("within") {
            None => self.problem(
                place,
                "`within` is missing: it says how close together the activities must be\nhint: `within: 5m`",
            ),
            Some(value) => {
                let place = Place::Key(&place, "within");
                match self.duration(place, value) {
                    Some(0) => self.problem(place, "`within` must be at least a second"),
                    within => within,
                }
            }
        };
        let lateness = match get("lateness") {
            None => Some(duration::ONE_DAY),
            Some(value) => self.duration(Place::Key(&place, "lateness"), value),
        };
        let by = match get("by") {
            None => self.plan.source("actor").ok().map(|actor| vec![actor]),
            Some(value) => {
                let place = Place::Key(&place, "by");
                match self.sources(place, value, "by") {
                    Some(by) if by.is_empty() => self.problem(
                        place,
                        "`by` names no field\nhint: `by: actor` counts every actor apart; `by: app` counts all of an app together",
                    ),
                    by => by,
                }
            }
        };
        let distinct = match get("distinct") {
            None => Some(None),
            Some(Json::Text(name)) => {
                self.countable(Place::Key(&place, "distinct"), name, "distinct").map(Some)
            }
            Some(other) => self.problem(
                Place::Key(&place, "distinct"),
                format!(
                    "`distinct` must name one field, not be {}\nhint: `distinct: object`",
                    other.kind()
                ),
            ),
        };
        Some(Repeat {
            count: count?,
            within: within?,
            lateness: lateness?,
            by: by?,
            distinct: distinct?,
        })
    }

    fn count(&mut self, place: Place<'_>, value: Option<&Json<'_>>) -> Option<u32> {
        let Some(value) = value else {
            return self.problem(
                place,
                "`count` is missing: it says how many activities make a finding\nhint: `count: 30`",
            );
        };
        let place = Place::Key(&place, "count");
        match value {
            Json::Integer(count @ 2..=HIGHEST_COUNT) => u32::try_from(*count).ok(),
            Json::Integer(1) => self.problem(
                place,
                "`count` must be at least 2\nhint: without `repeat`, every activity is a finding",
            ),
            other => self.problem(
                place,
                format!("`count` must be an integer from 2 to {HIGHEST_COUNT}, not `{other}`"),
            ),
        }
    }

    fn duration(&mut self, place: Place<'_>, value: &Json<'_>) -> Option<i64> {
        match value {
            Json::Text(text) => match duration::parse(text) {
                Ok(length) => Some(length),
                Err(message) => self.problem(place, message),
            },
            other => self.problem(
                place,
                format!(
                    "`{other}` is not a length of time\nhint: write a whole number with a unit: `90s`, `5m`, `24h` or `7d`"
                ),
            ),
        }
    }

    /// Reads one name of a field, or a list of them.
    fn sources(&mut self, place: Place<'_>, value: &Json<'_>, what: &str) -> Option<Sources> {
        let (list, listed) = match value {
            Json::List(list) => (list.as_slice(), true),
            one => (std::slice::from_ref(one), false),
        };
        if list.len() > MOST_FIELDS {
            return self.problem(place, format!("`{what}` names more than {MOST_FIELDS} fields"));
        }
        let before = self.problems.len();
        let mut sources = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let at = if listed { Place::Index(&place, index) } else { place };
            let Json::Text(name) = value else {
                self.problem::<()>(
                    at,
                    format!("`{what}` must name fields, not be {}", value.kind()),
                );
                continue;
            };
            if let Some(source) = self.countable(at, name, what) {
                if sources.contains(&source) {
                    self.problem::<()>(at, format!("`{}` stands here twice", shown(name)));
                }
                sources.push(source);
            }
        }
        (self.problems.len() == before).then_some(sources)
    }

    /// A field by whose values activities can be told apart.
    fn countable(&mut self, place: Place<'_>, name: &str, what: &str) -> Option<usize> {
        let source = self.field(place, name)?;
        let refuse = match self.plan.sources.get(source) {
            Some(Field::Objects { .. }) => Some(format!(
                "an activity can have several `{name}`, so `{what}` can't use it\n\
                 hint: use `object`, `object.kind` or `object.name`"
            )),
            Some(field) if field.column_type() == ColumnType::Number => {
                Some(format!("`{name}` holds fractions, so `{what}` can't use it"))
            }
            _ => None,
        };
        match refuse {
            Some(message) => self.problem(place, message),
            None => Some(source),
        }
    }

    fn field(&mut self, place: Place<'_>, name: &str) -> Option<usize> {
        match self.plan.source(name) {
            Ok(source) => Some(source),
            Err(message) => self.problem(place, message),
        }
    }

    fn field_name(&self, source: usize) -> String {
        self.plan.sources.get(source).map(|field| field.name().to_owned()).unwrap_or_default()
    }
}
