//! Correlations: many activities, or several kinds of them, within a time.
//!
//! What can be said exactly in the time of the activities becomes a `repeat` or a `sequence`. What
//! can't is refused: that fewer than so many came is only known when no more can come.

use casbah_yaml::suggest::{self, shown};
use casbah_yaml::{Entry, Node, Span, Value};
use serde_json::{Map, Value as Json, json};

use crate::condition::{self, Condition};
use crate::document::{Document, Kind};
use crate::field::{Field, Holds};
use crate::refused::{No, RefusedKind, Result};
use crate::rows::Rows;
use crate::rule::{Place, Rule};

const TYPES: [&str; 7] = [
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_percentile",
    "temporal",
    "temporal_ordered",
];
const OPERATORS: [&str; 6] = ["gt", "gte", "lt", "lte", "eq", "neq"];
/// The most that can be counted.
const MOST: i64 = 10_000;
/// The largest quantity to compare with.
const LARGEST: f64 = 9e15;
/// The most steps that a sequence can have.
const MOST_STEPS: usize = 8;
/// The longest time, s.
const LONGEST: i64 = 90 * DAY;
const DAY: i64 = 86_400;

/// A correlation and the rules it is about.
#[derive(Debug)]
pub(crate) struct Correlation<'d> {
    pub(crate) document: &'d Document,
    entry: &'d Entry,
    /// References to rules.
    pub(crate) rules: Vec<(String, Span)>,
    /// Whether its rules raise alerts of their own.
    pub(crate) generate: bool,
}

fn no(span: Span, message: impl Into<String>, hint: impl Into<String>) -> No {
    No::at(RefusedKind::Correlation, span, message, hint)
}

impl<'d> Correlation<'d> {
    /// Reads which rules it is about.
    pub(crate) fn read(document: &'d Document) -> Result<Self> {
        let Some(entry) = document.node.get("correlation") else {
            return Err(no(document.node.span, "`correlation` is missing", ""));
        };
        if !matches!(entry.value.value, Value::Map(_)) {
            let message =
                format!("`correlation` must be a mapping, not {}", entry.value.value.what());
            return Err(no(entry.span, message, ""));
        }
        let rules = texts(&entry.value, "rules")?;
        if rules.is_empty() {
            let message = "`rules` is missing: it names the rules that are correlated";
            return Err(no(entry.span, message, "name them by id or name"));
        }
        let flag = |node: &Node| match node.get("generate").map(|entry| &entry.value.value) {
            Some(Value::Bool(generate)) => Some(*generate),
            _ => None,
        };
        let generate = flag(&document.node).or_else(|| flag(&entry.value)).unwrap_or(false);
        Ok(Self { document, entry, rules, generate })
    }

    /// The settings of its policies, each with the suffix of its name.
    pub(crate) fn settings(
        &self,
        documents: &[Document],
        rules: &[Rule<'d>],
    ) -> Result<Vec<(String, Map<String, Json>)>> {
        let rules = self.find(documents, rules)?;
        let Some(first) = rules.first() else {
            return Err(no(self.entry.span, "it names no rule", ""));
        };
        let alike = rules.iter().all(|rule| {
            rule.source.product == first.source.product
                && rule.source.service == first.source.service
                && rule.source.category == first.source.category
        });
        let mut all = Vec::new();
        let mut wrong = None;
        let suffixes = first.places.iter().map(|place| place.target.suffix.as_str());
        for suffix in suffixes.take(if alike { usize::MAX } else { 1 }) {
            let places: Vec<(&Rule<'_>, &Place)> = rules
                .iter()
                .filter_map(|rule| {
                    let mut places = rule.places.iter();
                    let place = match alike {
                        true => places.find(|place| place.target.suffix == suffix),
                        false => places.next(),
                    };
                    Some((*rule, place?))
                })
                .collect();
            if places.len() < rules.len() {
                continue;
            }
            match self.at(&places) {
                Ok(settings) => all.push((suffix.to_owned(), settings)),
                Err(no) => {
                    wrong.get_or_insert(no);
                }
            }
        }
        match (all.is_empty(), wrong) {
            (true, Some(wrong)) => Err(wrong),
            (true, None) => Err(no(
                self.entry.span,
                "its rules have no place in common where their activities come from",
                "",
            )),
            _ => Ok(all),
        }
    }

    fn find<'r>(&self, documents: &[Document], rules: &'r [Rule<'d>]) -> Result<Vec<&'r Rule<'d>>> {
        let mut found: Vec<&Rule<'_>> = Vec::new();
        for (name, span) in &self.rules {
            if let Some(rule) = rules.iter().find(|rule| rule.document.is(name)) {
                if found.iter().any(|known| std::ptr::eq(*known, rule)) {
                    return Err(no(
                        *span,
                        format!("`{}` is named twice", shown(name)),
                        "name it once",
                    ));
                }
                found.push(rule);
                continue;
            }
            let typed = shown(name);
            return Err(
                match documents.iter().find(|document| document.is(name)).map(|d| d.kind) {
                    Some(Kind::Correlation) => no(
                        *span,
                        format!(
                            "`{typed}` is itself a correlation: chains of them are not supported"
                        ),
                        "correlate the rules that it is about",
                    ),
                    Some(_) => no(
                        *span,
                        format!("the rule `{typed}` was refused, so it can't be correlated"),
                        "see what is said of that rule",
                    ),
                    None => {
                        let names = documents.iter().filter_map(|d| d.name.as_deref());
                        let hint = match suggest::nearest(name, names) {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => "a rule is named by its `id` or `name`".to_owned(),
                        };
                        no(*span, format!("there is no rule `{typed}`"), hint)
                    }
                },
            );
        }
        Ok(found)
    }

    /// The settings for activities that come from these places.
    fn at(&self, places: &[(&Rule<'_>, &Place)]) -> Result<Map<String, Json>> {
        let node = &self.entry.value;
        let Some(kind) = node.get("type") else {
            return Err(no(
                self.entry.span,
                "`type` is missing",
                format!("types are {}", TYPES.join(", ")),
            ));
        };
        let name = match &kind.value.value {
            Value::Text(name) if TYPES.contains(&name.as_str()) => name.as_str(),
            Value::Text(name) => {
                let hint = suggest::hint(name, TYPES, "types");
                return Err(no(
                    kind.value.span,
                    format!("`{}` is not a type of correlation", shown(name)),
                    hint,
                ));
            }
            other => {
                return Err(no(
                    kind.value.span,
                    format!("`type` must be a text, not {}", other.what()),
                    "",
                ));
            }
        };
        let within = self.timespan()?;
        let mut settings = match name {
            "temporal" => self.sequence(places, &within.text, false)?,
            "temporal_ordered" => self.sequence(places, &within.text, true)?,
            _ => self.repeat(name, places, &within.text)?,
        };
        if within.seconds > DAY {
            // One alert stands for all that happens within its quiet time, which can't be shorter.
            settings.insert("alert".to_owned(), json!({"quiet": within.text}));
        }
        Ok(settings)
    }

    fn timespan(&self) -> Result<Timespan> {
        let node = &self.entry.value;
        let Some(entry) = node.get("timespan").or_else(|| node.get("timeframe")) else {
            let message = "`timespan` is missing: it says how close together activities must be";
            return Err(no(self.entry.span, message, "`timespan: 5m`"));
        };
        let span = entry.value.span;
        let Value::Text(text) = &entry.value.value else {
            let message = format!("`timespan` must be a text, not {}", entry.value.value.what());
            return Err(no(span, message, "`timespan: 5m`"));
        };
        Timespan::read(text.trim(), span)
    }

    /// The fields that activities of a rule are told apart by, aliases resolved.
    fn by(&self, rule: &Rule<'_>, place: &Place) -> Result<Vec<Field>> {
        let mut fields: Vec<Field> = Vec::new();
        for (name, span) in texts(&self.entry.value, "group-by")? {
            let field = self.field(&name, span, rule, place)?;
            if !field.is_countable() {
                let message = format!("activities can't be told apart by `{}`", field.name);
                return Err(no(
                    span,
                    message,
                    "group by a field that holds texts or whole numbers",
                ));
            }
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        if fields.len() > 8 {
            return Err(no(self.entry.span, "`group-by` names more than 8 fields", "name fewer"));
        }
        Ok(fields)
    }

    /// A field by its name or alias.
    fn field(&self, name: &str, span: Span, rule: &Rule<'_>, place: &Place) -> Result<Field> {
        let alias = self.entry.value.get("aliases").and_then(|aliases| aliases.value.get(name));
        let Some(alias) = alias else { return place.target.field(name, span) };
        let Value::Map(entries) = &alias.value.value else {
            return Err(no(alias.span, "an alias is a mapping from rules to fields", ""));
        };
        match entries.iter().find(|entry| rule.document.is(&entry.key)) {
            Some(Entry { value: Node { value: Value::Text(own), span }, .. }) => {
                place.target.field(own, *span)
            }
            Some(entry) => Err(no(entry.span, "an alias names a field, which is a text", "")),
            None => {
                let title = shown(&rule.document.title);
                let message =
                    format!("the alias `{}` has no field for the rule `{title}`", shown(name));
                Err(no(alias.span, message, "rules are named by `name` in aliases"))
            }
        }
    }

    /// What all are told apart by where nothing is said: one group for everything.
    fn together(&self, places: &[(&Rule<'_>, &Place)]) -> Result<Vec<String>> {
        let mut apps = places.iter().map(|(_, place)| place.target.app());
        let first = apps.next();
        if apps.all(|app| Some(app) == first) {
            return Ok(vec!["app".to_owned()]);
        }
        Err(no(
            self.entry.span,
            "its rules are about different apps, and it has no `group-by`",
            "name a field by which their activities belong together",
        ))
    }

    fn sequence(
        &self,
        places: &[(&Rule<'_>, &Place)],
        within: &str,
        ordered: bool,
    ) -> Result<Map<String, Json>> {
        if places.len() < 2 {
            return Err(no(self.entry.span, "a temporal correlation needs two rules or more", ""));
        }
        if places.len() > MOST_STEPS {
            let message =
                format!("it is about {} rules; {MOST_STEPS} can be put in relation", places.len());
            return Err(no(self.entry.span, message, "split it"));
        }
        self.all_of_them(places)?;
        let mut steps = Vec::new();
        let mut by: Option<Vec<String>> = None;
        for (rule, place) in places {
            let names: Vec<String> =
                self.by(rule, place)?.into_iter().map(|field| field.name).collect();
            let names = if names.is_empty() { self.together(places)? } else { names };
            let when = place.rows.when(self.entry.span)?;
            let title = &rule.document.title;
            let mut step = Map::from_iter([
                ("name".to_owned(), Json::from(title.as_str())),
                ("when".to_owned(), when),
            ]);
            match &by {
                None => by = Some(names),
                Some(by) if *by == names => {}
                Some(by) if by.len() == names.len() => {
                    step.insert("by".to_owned(), names.into());
                }
                Some(_) => {
                    let message = "`group-by` comes to different numbers of fields for its rules";
                    return Err(no(self.entry.span, message, ""));
                }
            }
            steps.push(Json::Object(step));
        }
        let by = by.unwrap_or_default();
        Ok(Map::from_iter([(
            "sequence".to_owned(),
            json!({"within": within, "by": by, "ordered": ordered, "steps": steps}),
        )]))
    }

    /// All rules have to occur: a condition may say so, but nothing else.
    fn all_of_them(&self, places: &[(&Rule<'_>, &Place)]) -> Result<()> {
        let Some(entry) = self.entry.value.get("condition") else { return Ok(()) };
        let hint = "leave `condition` out: then all of its rules have to occur";
        let fail = |span| Err(no(span, "only the case that all rules occur is supported", hint));
        match &entry.value.value {
            Value::Text(text) => {
                let mut names = match condition::parse(text, entry.value.span)? {
                    Condition::And(parts) => parts,
                    other => vec![other],
                };
                for (rule, _) in places {
                    let count = names.len();
                    names.retain(
                        |name| !matches!(name, Condition::Part(name) if rule.document.is(name)),
                    );
                    if names.len() == count {
                        return fail(entry.value.span);
                    }
                }
                if names.is_empty() { Ok(()) } else { fail(entry.value.span) }
            }
            Value::Map(_) => {
                let (operator, value, span) = self.threshold(entry)?;
                let least = places.len() as f64;
                let all = match operator {
                    "gte" | "eq" => value == least,
                    "gt" => value == least - 1.0,
                    _ => false,
                };
                if all { Ok(()) } else { fail(span) }
            }
            _ => fail(entry.value.span),
        }
    }

    /// The one comparison of a condition.
    fn threshold(&self, condition: &'d Entry) -> Result<(&'d str, f64, Span)> {
        let hint = "`condition: {gte: 10}`";
        let Value::Map(entries) = &condition.value.value else {
            let what = condition.value.value.what();
            return Err(no(
                condition.span,
                format!("`condition` must be a mapping here, not {what}"),
                hint,
            ));
        };
        let mut found = None;
        for entry in entries {
            let key = entry.key.as_str();
            if ["field", "percentile"].contains(&key) {
                continue;
            }
            if !OPERATORS.contains(&key) {
                let hint = suggest::hint(key, OPERATORS, "comparisons");
                return Err(no(entry.span, format!("`{}` is not a comparison", shown(key)), hint));
            }
            let value = match &entry.value.value {
                Value::Integer(value) => *value as f64,
                Value::Number(value) => *value,
                other => {
                    return Err(no(
                        entry.value.span,
                        format!("`{key}` takes a number, not {}", other.what()),
                        "",
                    ));
                }
            };
            if found.is_some() {
                return Err(no(
                    entry.span,
                    "two comparisons make a range, and that no more came is only known when no more can come",
                    "keep the lower bound",
                ));
            }
            found = Some((key, value, entry.span));
        }
        found.ok_or_else(|| no(condition.span, "`condition` compares with nothing", hint))
    }

    fn repeat(
        &self,
        kind: &str,
        places: &[(&Rule<'_>, &Place)],
        within: &str,
    ) -> Result<Map<String, Json>> {
        let (names, counted) = self.alike(places)?;
        let Some(condition) = self.entry.value.get("condition") else {
            return Err(no(self.entry.span, "`condition` is missing", "`condition: {gte: 10}`"));
        };
        let (operator, value, span) = self.threshold(condition)?;
        let rows = Rows::any(places.iter().map(|(_, place)| place.rows.clone()));
        let mut repeat = match kind {
            "event_count" | "value_count" => {
                let count = count(operator, value, span)?;
                let mut repeat = Map::from_iter([("count".to_owned(), Json::from(count))]);
                if kind == "value_count" {
                    let field = needed(counted, condition.span)?;
                    if !field.is_countable() {
                        return Err(no(
                            condition.span,
                            format!("`{}` can't be counted", field.name),
                            "",
                        ));
                    }
                    repeat.insert("distinct".to_owned(), field.name.as_str().into());
                    if count == 1 {
                        let there = Rows::Row(json!({"field": field.name, "exists": true}));
                        return one(Rows::all([rows, there]), &names, self.entry.span);
                    }
                } else if count == 1 {
                    return one(rows, &names, self.entry.span);
                }
                repeat
            }
            _ => {
                let field = needed(counted, condition.span)?;
                if !matches!(field.holds, Holds::Said | Holds::Integer | Holds::Number) {
                    return Err(no(
                        condition.span,
                        format!("`{}` holds no numbers", field.name),
                        "",
                    ));
                }
                quantity(kind, &field, operator, value, span, condition)?
            }
        };
        repeat.insert("within".to_owned(), within.into());
        repeat.insert("by".to_owned(), names.into());
        Ok(Map::from_iter([
            ("when".to_owned(), rows.when(self.entry.span)?),
            ("repeat".to_owned(), Json::Object(repeat)),
        ]))
    }

    /// The names of what is grouped by and of the field that is counted, which must be the same for
    /// all rules.
    fn alike(&self, places: &[(&Rule<'_>, &Place)]) -> Result<(Vec<String>, Option<Field>)> {
        let condition = self.entry.value.get("condition");
        let field = condition.and_then(|condition| condition.value.get("field"));
        let mut found: Option<(Vec<Field>, Option<Field>)> = None;
        for (rule, place) in places {
            let counted = match field {
                None => None,
                Some(entry) => match &entry.value.value {
                    Value::Text(name) => Some(self.field(name, entry.value.span, rule, place)?),
                    Value::List(_) => {
                        let message = "several fields can't be counted together";
                        return Err(no(entry.value.span, message, "name one field"));
                    }
                    other => {
                        let message = format!("`field` must name a field, not be {}", other.what());
                        return Err(no(entry.value.span, message, ""));
                    }
                },
            };
            let here = (self.by(rule, place)?, counted);
            if *found.get_or_insert_with(|| here.clone()) != here {
                return Err(no(
                    self.entry.span,
                    "its rules have the fields by other names, and can't be counted together",
                    "a `temporal` correlation can put them together; or write a correlation for each",
                ));
            }
        }
        let (by, counted) = found.unwrap_or_default();
        let names: Vec<String> = by.into_iter().map(|field| field.name).collect();
        Ok((if names.is_empty() { self.together(places)? } else { names }, counted))
    }
}

fn needed(field: Option<Field>, span: Span) -> Result<Field> {
    let hint = "`condition: {field: user, gte: 10}`";
    field.ok_or_else(|| no(span, "`field` is missing: it says what is counted", hint))
}

/// Every activity is enough: no window is needed.
fn one(rows: Rows, by: &[String], span: Span) -> Result<Map<String, Json>> {
    let there = by.iter().map(|name| Rows::Row(json!({"field": name, "exists": true})));
    let rows = Rows::all(std::iter::once(rows).chain(there));
    Ok(Map::from_iter([
        ("when".to_owned(), rows.when(span)?),
        ("alert".to_owned(), json!({"group": by})),
    ]))
}

/// How many activities or values it takes.
fn count(operator: &str, value: f64, span: Span) -> Result<i64> {
    let least = match operator {
        "gte" => value.ceil(),
        "gt" => value.floor() + 1.0,
        _ => return Err(upper(operator, span)),
    };
    if !(1.0..=MOST as f64).contains(&least) {
        let message = format!("it takes {least} of them; from 1 to {MOST} can be counted");
        return Err(no(span, message, ""));
    }
    Ok(least as i64)
}

fn upper(operator: &str, span: Span) -> No {
    no(
        span,
        format!(
            "`{operator}` can't be exact: that no more came is only known when no more can come"
        ),
        "use `gt` or `gte`",
    )
}

/// A sum, average or percentile, and what it is compared with.
fn quantity(
    kind: &str,
    field: &Field,
    operator: &str,
    value: f64,
    span: Span,
    condition: &Entry,
) -> Result<Map<String, Json>> {
    let side = match operator {
        "gt" => "above",
        "gte" => "at-least",
        "lt" if kind != "value_sum" => "below",
        "lte" if kind != "value_sum" => "at-most",
        _ => return Err(upper(operator, span)),
    };
    if value.abs() > LARGEST || (value * 1_000.0).fract() != 0.0 {
        let message = format!("quantities are compared in thousandths, up to {LARGEST:e}");
        return Err(no(span, message, "round the number"));
    }
    let name = field.name.as_str();
    let (key, what) = match kind {
        "value_sum" => ("sum", Json::from(name)),
        "value_avg" => ("average", Json::from(name)),
        _ => {
            let entry = condition.value.get("percentile");
            let of = match entry.map(|entry| &entry.value.value) {
                Some(Value::Integer(of)) if (1..=99).contains(of) => *of,
                _ => {
                    let span = entry.map_or(condition.span, |entry| entry.span);
                    let message = "`percentile` is needed: a whole number from 1 to 99";
                    return Err(no(
                        span,
                        message,
                        "`condition: {field: size, percentile: 95, gt: 100}`",
                    ));
                }
            };
            ("percentile", json!({"field": name, "of": of}))
        }
    };
    Ok(Map::from_iter([(key.to_owned(), what), (side.to_owned(), Json::from(value))]))
}

/// A length of time, as policies write it.
struct Timespan {
    text: String,
    seconds: i64,
}

impl Timespan {
    fn read(text: &str, span: Span) -> Result<Self> {
        let hint = "write a whole number and a unit: `90s`, `5m`, `24h`, `7d`, up to `90d`";
        let fail = || {
            no(span, format!("`{}` is not a time that can be correlated over", shown(text)), hint)
        };
        let unit = text.chars().next_back().ok_or_else(fail)?;
        let number = text.strip_suffix(unit).ok_or_else(fail)?;
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail());
        }
        let number: i64 = number.parse().map_err(|_| fail())?;
        let (unit, number, length) = match unit {
            's' => ("s", number, 1),
            'm' => ("m", number, 60),
            'h' => ("h", number, 3_600),
            'd' => ("d", number, DAY),
            'w' => ("d", number.checked_mul(7).ok_or_else(fail)?, DAY),
            'M' | 'y' => {
                return Err(no(span, "months and years differ in length", hint));
            }
            _ => return Err(fail()),
        };
        let seconds = number.checked_mul(length).filter(|seconds| (1..=LONGEST).contains(seconds));
        let seconds = seconds.ok_or_else(fail)?;
        Ok(Self { text: format!("{number}{unit}"), seconds })
    }
}

/// One text or a list of them, each with its place; none where the key is missing.
fn texts(node: &Node, key: &str) -> Result<Vec<(String, Span)>> {
    let Some(entry) = node.get(key) else { return Ok(Vec::new()) };
    let one = |node: &Node| match &node.value {
        Value::Text(text) if !text.is_empty() => Ok((text.clone(), node.span)),
        other => {
            let message = format!("`{key}` takes texts, not {}", other.what());
            Err(no(node.span, message, ""))
        }
    };
    match &entry.value.value {
        Value::List(items) => items.iter().map(one).collect(),
        Value::Null => Ok(Vec::new()),
        _ => Ok(vec![one(&entry.value)?]),
    }
}
