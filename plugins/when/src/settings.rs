//! Reads policies' settings strictly, and says everything that is wrong with them: unknown keys,
//! wrong types and nonsense, each with a JSON pointer to its place and, where there is one, a hint.
//!
//! It is not where policy files are read: the host does that, and hands over JSON.

mod operand;
mod row;
mod tables;
mod unless;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use casbah_model::Problem;
use casbah_model::vocabulary::ColumnType;

use crate::duration::{self, DAY};
use crate::fields::{Field, unknown};
use crate::json::{Json, Place, shown};
use crate::plan::{Plan, Source, When};
use crate::severities::Severities;

/// Keys that the host gives, and what every detector takes.
const COMMON_KEYS: [&str; 6] = ["policy", "group", "quiet", "when", "unless", "severities"];
/// How many fields one setting may name.
const MOST_FIELDS: usize = 8;

/// The keys of a table, as read.
type Map<'j> = [(Cow<'j, str>, Json<'j>)];

/// Compiles the settings of all policies, each a JSON text; `read` reads one policy's.
///
/// `keys` are the detector's own settings, besides `policy`, `group`, `quiet`, `when`, `unless` and
/// `severities`. A policy that has one of the last two is refused if `read` does not look at it. `read`
/// gets hold of a policy's settings and returns `None` where something is wrong with them, which the
/// methods of [`Settings`] have noted.
///
/// # Errors
/// Everything that is wrong with any of the policies, in their order.
pub fn compile<P>(
    policies: &[String],
    keys: &[&str],
    mut read: impl FnMut(&mut Settings<'_>) -> Option<P>,
) -> Result<(Plan, Vec<P>), Vec<Problem>> {
    let known: Vec<&str> = COMMON_KEYS.iter().chain(keys).copied().collect();
    let mut reader = Reader::default();
    let mut compiled = Vec::with_capacity(policies.len());
    for (index, text) in policies.iter().enumerate() {
        reader.start(index as u32);
        match Json::read(text) {
            Err(error) => {
                reader.problem::<()>(Place::Root, format!("the settings are not JSON: {error}"));
            }
            Ok(Json::Map(map)) => {
                reader.check_keys(Place::Root, &map, "setting of this detector", &known);
                let mut settings = Settings { reader: &mut reader, map: &map, place: Place::Root };
                let policy = read(&mut settings);
                reader.check_read(&map);
                compiled.extend(policy);
            }
            Ok(other) => {
                let message = format!("the settings must be a table of keys, not {}", other.kind());
                reader.problem::<()>(Place::Root, message);
            }
        }
    }
    reader.plan.seal();
    match reader.problems.is_empty() && compiled.len() == policies.len() {
        true => Ok((reader.plan, compiled)),
        false => Err(reader.problems),
    }
}

/// Start of the quiet window that a time falls into; the time itself where there is none.
pub fn window(time: i64, quiet: i64) -> i64 {
    if quiet > 0 { time.div_euclid(quiet).saturating_mul(quiet) } else { time }
}

/// The settings of one policy, or a table within them.
///
/// Its methods read a key by its name. All of them return `None` where something is wrong, and have
/// noted what; a key that is not there has the default that is given.
pub struct Settings<'s> {
    reader: &'s mut Reader,
    map: &'s Map<'s>,
    place: Place<'s>,
}

impl<'s> Settings<'s> {
    /// Whether the key is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The value of a key as written, for what no other method reads.
    pub fn get(&self, name: &str) -> Option<&'s Json<'s>> {
        self.map.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Notes what is wrong with the value of a key; the empty name means the table as a whole. The
    /// message may end in a line `hint: …`.
    pub fn problem<T>(&mut self, name: &str, message: impl Into<String>) -> Option<T> {
        match name {
            "" => self.reader.problem(self.place, message),
            name => self.reader.problem(Place::Key(&self.place, name), message),
        }
    }

    /// Notes what is wrong with an element of the list under a key.
    pub fn problem_in<T>(
        &mut self,
        name: &str,
        index: usize,
        message: impl Into<String>,
    ) -> Option<T> {
        self.reader.problem(Place::Index(&Place::Key(&self.place, name), index), message)
    }

    /// Which activities are meant: `when`, which must be there, without what `unless` leaves out.
    pub fn when(&mut self) -> Option<When> {
        self.reader.unless_read = true;
        let unless = match self.get("unless") {
            None => Some(None),
            Some(value) => self.reader.unless(Place::Key(&self.place, "unless"), value).map(Some),
        };
        let parts = match self.get("when") {
            Some(when) => self.reader.parts(Place::Key(&self.place, "when"), when, "when"),
            None => self.reader.problem(
                self.place,
                "`when` is missing: it says which activities are meant\n\
                 hint: `when: [{field: kind, is: export}]`",
            ),
        };
        Some(self.reader.meant(parts?, unless?))
    }

    /// How severe which activities make a finding: `severities`, which says nothing where it is not
    /// there. The host makes it of a policy's `severity: {default: medium, high: [rows]}`.
    ///
    /// What a detector that reads them owes: a finding has the gravest severity whose rows hold for
    /// any of its activities, see [`Evaluation::graded`](crate::Evaluation::graded).
    pub fn severities(&mut self) -> Option<Severities> {
        self.reader.severities_read = true;
        match self.get("severities") {
            None => Some(Severities::default()),
            Some(value) => self.reader.severities(Place::Key(&self.place, "severities"), value),
        }
    }

    /// Filter rows under another key than `when`; the outer `None` has been noted.
    pub fn rows(&mut self, name: &str) -> Option<Option<When>> {
        match self.get(name) {
            None => Some(None),
            Some(rows) => self.reader.when(Place::Key(&self.place, name), rows, name).map(Some),
        }
    }

    /// Filter rows of the detector's own, written in the same language; see [`json::row`]. They share
    /// with those of policies what they ask in common.
    ///
    /// [`json::row`]: crate::json::row
    pub fn fixed(&mut self, rows: &Json<'_>) -> Option<When> {
        self.reader.when(self.place, rows, "when")
    }

    /// Length of the quiet window, ms, 0 for none: `quiet`, a day when it is not given.
    pub fn quiet(&mut self) -> Option<i64> {
        match self.get("quiet") {
            None => Some(DAY),
            Some(Json::Integer(quiet)) if *quiet >= 0 => Some(*quiet),
            Some(other) => self.problem(
                "quiet",
                format!("`quiet` must be a number of milliseconds, 0 or more, not `{other}`"),
            ),
        }
    }

    /// The fields by whose values activities are told apart: `by`, with a default.
    pub fn by(&mut self, default: &str) -> Option<Vec<Source>> {
        let by = self.fields("by", &[default])?;
        if by.is_empty() {
            return self.problem(
                "by",
                format!("`by` names no field\nhint: `by: {default}`; `by: app` takes all of an app together"),
            );
        }
        Some(by)
    }

    /// The fields that name what an alert is about: `group`, which must be part of what activities
    /// are counted by, and is that unless given.
    pub fn group(&mut self, by: &[Source]) -> Option<Vec<Source>> {
        let Some(_) = self.get("group") else { return Some(by.to_vec()) };
        let group = self.fields("group", &[])?;
        self.check_group(&group, by, "by");
        Some(group)
    }

    /// Notes every field of the group that activities are not counted by; `by` is the name of the
    /// setting that says it.
    pub fn check_group(&mut self, group: &[Source], counted: &[Source], by: &str) {
        for (index, source) in
            group.iter().enumerate().filter(|(_, source)| !counted.contains(source))
        {
            let name = self.reader.plan.name(*source);
            let names: Vec<_> = counted
                .iter()
                .map(|source| format!("`{}`", self.reader.plan.name(*source)))
                .collect();
            let message = format!(
                "alerts can't be grouped by `{name}`: activities are counted by {}\n\
                 hint: add `{name}` to `{by}`, or group by what is counted by",
                names.join(", ")
            );
            self.problem_in::<()>("group", index, message);
        }
    }

    /// One name of a field, or a list of up to 8, by whose values activities can be told apart.
    pub fn fields(&mut self, name: &str, default: &[&str]) -> Option<Vec<Source>> {
        match self.get(name) {
            None => default.iter().map(|field| self.named(field)).collect(),
            Some(value) => self.reader.sources(Place::Key(&self.place, name), value, name),
        }
    }

    /// One field by whose values activities can be told apart, if it is named; the outer `None` has
    /// been noted.
    pub fn field(&mut self, name: &str) -> Option<Option<Source>> {
        match self.get(name) {
            None => Some(None),
            Some(Json::Text(field)) => {
                self.reader.countable(Place::Key(&self.place, name), field, name).map(Some)
            }
            Some(other) => self.problem(
                name,
                format!(
                    "`{name}` must name one field, not be {}\nhint: `{name}: object`",
                    other.kind()
                ),
            ),
        }
    }

    /// A field that the detector itself wants at hand.
    pub fn named(&mut self, field: &str) -> Option<Source> {
        match self.reader.plan.source(field) {
            Ok(source) => Some(source),
            Err(message) => self.reader.problem(self.place, message),
        }
    }

    /// The type of a field's values.
    pub fn field_type(&self, source: Source) -> Option<ColumnType> {
        self.reader.plan.field(source).map(Field::column_type)
    }

    /// A length of time in ms, such as `24h`.
    pub fn duration(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
        default: i64,
    ) -> Option<i64> {
        let (least, most) = (*range.start(), *range.end());
        let length = match self.get(name) {
            None => return Some(default),
            Some(Json::Text(text)) => match duration::parse(text, most) {
                Ok(length) => length,
                Err(message) => return self.problem(name, message),
            },
            Some(other) => {
                return self.problem(
                    name,
                    format!(
                        "`{other}` is not a length of time\nhint: write a whole number with a unit: `90s`, `5m`, `24h` or `7d`"
                    ),
                );
            }
        };
        if length < least {
            let least = duration::spoken(least);
            return self.problem(name, format!("`{name}` must be at least {least}"));
        }
        Some(length)
    }

    /// A whole number.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<i64>, default: i64) -> Option<i64> {
        match self.get(name) {
            None => Some(default),
            Some(Json::Integer(value)) if range.contains(value) => Some(*value),
            Some(other) => self.problem(
                name,
                format!(
                    "`{name}` must be an integer from {} to {}, not `{other}`",
                    range.start(),
                    range.end()
                ),
            ),
        }
    }

    /// A number, whole or not.
    pub fn number(&mut self, name: &str, range: RangeInclusive<f64>, default: f64) -> Option<f64> {
        let value = match self.get(name) {
            None => return Some(default),
            Some(Json::Integer(value)) => Some(*value as f64),
            Some(Json::Number(value)) => Some(*value),
            Some(_) => None,
        };
        match (value, self.get(name)) {
            (Some(value), _) if range.contains(&value) => Some(value),
            (_, Some(other)) => self.problem(
                name,
                format!(
                    "`{name}` must be a number from {} to {}, not `{other}`",
                    range.start(),
                    range.end()
                ),
            ),
            _ => None,
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str, default: bool) -> Option<bool> {
        match self.get(name) {
            None => Some(default),
            Some(Json::Flag(value)) => Some(*value),
            Some(other) => {
                self.problem(name, format!("`{name}` must be `true` or `false`, not `{other}`"))
            }
        }
    }

    /// A text that is not empty, if it is there; the outer `None` has been noted.
    pub fn text(&mut self, name: &str) -> Option<Option<&'s str>> {
        match self.get(name) {
            None => Some(None),
            Some(Json::Text(text)) if !text.is_empty() => Some(Some(text.as_ref())),
            Some(other) => self
                .problem(name, format!("`{name}` must be a text that is not empty, not `{other}`")),
        }
    }

    /// One text or a list of them, none of them empty or twice; the list itself may be empty.
    pub fn texts(&mut self, name: &str, default: &[&str]) -> Option<Vec<String>> {
        let Some(value) = self.get(name) else {
            return Some(default.iter().map(|&text| text.to_owned()).collect());
        };
        let mut texts = Vec::new();
        self.each(name, value, |settings, place, value| match value {
            Json::Text(text) if text.is_empty() => {
                settings.reader.problem(place, "the empty text stands for nothing")
            }
            Json::Text(text) if texts.iter().any(|known: &String| known == text) => {
                settings.reader.problem(place, format!("`{}` stands here twice", shown(text)))
            }
            Json::Text(text) => {
                texts.push(text.clone().into_owned());
                Some(())
            }
            other => settings
                .reader
                .problem(place, format!("`{name}` takes texts, but `{other}` is {}", other.kind())),
        })?;
        Some(texts)
    }

    /// One of some words, each with what it stands for.
    pub fn one_of<T: Clone>(&mut self, name: &str, words: &[(&str, T)], default: T) -> Option<T> {
        match self.get(name) {
            None => Some(default),
            Some(value) => self.reader.word(Place::Key(&self.place, name), name, value, words),
        }
    }

    /// One or several of some words, none of them twice and at least one.
    pub fn some_of<T: Clone + PartialEq>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
        default: &[T],
    ) -> Option<Vec<T>> {
        let Some(value) = self.get(name) else { return Some(default.to_vec()) };
        let mut chosen = Vec::new();
        self.each(name, value, |settings, place, value| {
            let word = settings.reader.word(place, name, value, words)?;
            if chosen.contains(&word) {
                return settings.reader.problem(place, format!("`{value}` stands here twice"));
            }
            chosen.push(word);
            Some(())
        })?;
        if chosen.is_empty() {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            return self.problem(
                name,
                format!("`{name}` is empty\nhint: use some of {}", words.join(", ")),
            );
        }
        Some(chosen)
    }

    /// Texts, each perhaps with one of some words: a list of texts, or a table from text to word.
    pub fn labelled<T: Clone>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
    ) -> Option<Vec<(String, Option<T>)>> {
        let Some(Json::Map(map)) = self.get(name) else {
            let texts = self.texts(name, &[])?;
            return Some(texts.into_iter().map(|text| (text, None)).collect());
        };
        let before = self.reader.problems.len();
        let place = self.place;
        let at = Place::Key(&place, name);
        let mut labelled: Vec<(String, Option<T>)> = Vec::with_capacity(map.len());
        for (text, value) in map {
            let place = Place::Key(&at, text);
            if labelled.iter().any(|(known, _)| known == text) {
                self.reader.problem::<()>(place, format!("`{}` stands here twice", shown(text)));
            }
            let label = self.reader.word(place, name, value, words);
            labelled.push((text.clone().into_owned(), label));
        }
        (self.reader.problems.len() == before).then_some(labelled)
    }

    /// Reads each element of a list, or the one value that stands in its place.
    fn each(
        &mut self,
        name: &str,
        value: &'s Json<'s>,
        mut read: impl FnMut(&mut Self, Place<'_>, &Json<'_>) -> Option<()>,
    ) -> Option<()> {
        let (list, listed) = listed(value);
        let before = self.reader.problems.len();
        let place = self.place;
        let at = Place::Key(&place, name);
        for (index, value) in list.iter().enumerate() {
            let _noted = read(self, if listed { Place::Index(&at, index) } else { at }, value);
        }
        (self.reader.problems.len() == before).then_some(())
    }

    /// A table of keys within these settings, if it is there; the outer `None` has been noted.
    /// `example` shows one, for the message where it is something else.
    pub fn table<T>(
        &mut self,
        name: &str,
        keys: &[&str],
        example: &str,
        read: impl FnOnce(&mut Settings<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        let Some(value) = self.get(name) else { return Some(None) };
        let place = Place::Key(&self.place, name);
        let Json::Map(map) = value else {
            return self.reader.problem(
                place,
                format!(
                    "`{name}` must be a table of keys, not {}\nhint: `{example}`",
                    value.kind()
                ),
            );
        };
        self.reader.check_keys(place, map, &format!("key of `{name}`"), keys);
        read(&mut Settings { reader: self.reader, map, place }).map(Some)
    }
}

/// The elements of a list, or the one value in its place, and whether it is a list.
fn listed<'j>(value: &'j Json<'j>) -> (&'j [Json<'j>], bool) {
    match value {
        Json::List(list) => (list.as_slice(), true),
        one => (std::slice::from_ref(one), false),
    }
}

/// What is collected while settings are read. Whatever is wrong is noted, and reading goes on: a
/// method that returns `None` has noted why.
#[derive(Default)]
struct Reader {
    plan: Plan,
    problems: Vec<Problem>,
    /// Index of the policy that is being read.
    policy: u32,
    /// Number of rows read.
    rows: usize,
    /// Fields that rows have asked for a value, for the `not` around them.
    asked: Vec<Source>,
    /// Whether the detector has looked at `unless`.
    unless_read: bool,
    /// Whether the detector has looked at `severities`.
    severities_read: bool,
}

impl Reader {
    /// Begins to read a policy.
    fn start(&mut self, policy: u32) {
        self.policy = policy;
        self.rows = 0;
        self.asked.clear();
        self.unless_read = false;
        self.severities_read = false;
    }

    /// Names what is said in vain: a detector may know nothing of it.
    fn check_read(&mut self, map: &Map<'_>) {
        for (name, read, what) in [
            ("unless", self.unless_read, "exemptions"),
            ("severities", self.severities_read, "severities by rows"),
        ] {
            if !read && map.iter().any(|(key, _)| key == name) {
                self.problem::<()>(
                    Place::Key(&Place::Root, name),
                    format!("this detector knows no {what}"),
                );
            }
        }
    }

    fn problem<T>(&mut self, place: Place<'_>, message: impl Into<String>) -> Option<T> {
        self.problems.push(Problem {
            policy: self.policy,
            pointer: place.to_string(),
            message: message.into(),
        });
        None
    }

    /// Names the keys that are not known, and the ones that stand there twice.
    fn check_keys(&mut self, place: Place<'_>, map: &Map<'_>, what: &str, known: &[&str]) {
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

    /// Reads one of some words.
    fn word<T: Clone>(
        &mut self,
        place: Place<'_>,
        name: &str,
        value: &Json<'_>,
        words: &[(&str, T)],
    ) -> Option<T> {
        let Json::Text(text) = value else {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            return self.problem(
                place,
                format!("`{name}` must be one of {}, not `{value}`", words.join(", ")),
            );
        };
        match words.iter().find(|(word, _)| word == text) {
            Some((_, meaning)) => Some(meaning.clone()),
            None => {
                let known = words.iter().map(|(word, _)| *word);
                self.problem(place, unknown(&format!("value of `{name}`"), text, known))
            }
        }
    }

    /// Reads one name of a field, or a list of them.
    fn sources(&mut self, place: Place<'_>, value: &Json<'_>, what: &str) -> Option<Vec<Source>> {
        let (list, listed) = listed(value);
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
    fn countable(&mut self, place: Place<'_>, name: &str, what: &str) -> Option<Source> {
        let source = self.field(place, name)?;
        let refuse = match self.plan.field(source) {
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

    fn field(&mut self, place: Place<'_>, name: &str) -> Option<Source> {
        match self.plan.source(name) {
            Ok(source) => Some(source),
            Err(message) => self.problem(place, message),
        }
    }
}

#[cfg(test)]
mod tests;
