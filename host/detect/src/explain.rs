//! Why an alert came up: which conditions held on which values, and what would have had to be
//! different.
//!
//! Nothing is guessed and nothing is evaluated in a second way: every answer comes from running the
//! policy, or a variant of it, through its own detector, over the activities of the log that the
//! alert is about.
//!
//! It explains conditions, counts and lines. What a detector that learns makes of somebody's past is
//! told by the alert's own details.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use casbah_model::{Alert, TenantName, vocabulary};
use casbah_store::Store;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::activities;
use crate::error::{DetectError, DetectErrorKind};
use crate::group::Detectors;
use crate::offline::Offline;
use crate::policy::{self, DEFAULT_DETECTOR, PolicyFile};
use crate::yaml;

#[cfg(test)]
mod tests;

/// Values shown of a condition's field.
const VALUES: usize = 5;
/// How late an activity may come where a policy does not say it, ms.
const DAY: i64 = 86_400_000;
/// Variants of `within` tried at once.
const TRIED: i64 = 16;
/// Variants that are one policy less than the detector would take are never reached by hand.
const CONDITIONS: usize = 300;

/// Why an alert came up.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// The conditions of the policy, in the order of the file.
    pub conditions: Vec<Condition>,
    /// What would have had to be different, a sentence each.
    pub different: Vec<String>,
    /// Whether the activities that are still in the log give the alert again. If they don't, some are
    /// gone, or the policy needs what came before.
    pub reproduced: bool,
}

/// A condition and what it met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Condition {
    /// Line of the policy file, from 1.
    pub line: usize,
    /// How deep it stands in groups.
    pub depth: usize,
    /// As written: a row, or `any`, `all`, `not`, `object`.
    pub text: String,
    /// Of how many of the alert's activities it holds; `None` for the head of a group.
    pub held: Option<usize>,
    /// The values that its field had there, and how often, the most frequent first.
    pub values: Vec<(String, usize)>,
}

/// Explains an alert by the revision of the policy that made it.
///
/// # Errors
/// When the log can't be read, or the detector does not take the policy any more.
pub fn explain(
    store: &dyn Store,
    tenant: &TenantName,
    policy: &PolicyFile,
    alert: &Alert,
    detectors: &dyn Detectors,
) -> Result<Explanation, DetectError> {
    let run = Run::new(store, tenant, policy, alert, detectors)?;
    let conditions = run.conditions()?;
    let (reproduced, different) = run.different()?;
    Ok(Explanation { conditions, different, reproduced })
}

/// A policy, an alert of it, and the part of the log that it is about.
struct Run<'a> {
    store: &'a dyn Store,
    tenant: &'a TenantName,
    policy: &'a PolicyFile,
    alert: &'a Alert,
    detectors: &'a dyn Detectors,
    settings: Map<String, Value>,
    /// Conditions that choose the activities of the alert's group.
    group: Vec<Value>,
}

/// Settings to run instead of the policy's own.
struct Variant {
    detector: String,
    settings: Map<String, Value>,
}

impl<'a> Run<'a> {
    fn new(
        store: &'a dyn Store,
        tenant: &'a TenantName,
        policy: &'a PolicyFile,
        alert: &'a Alert,
        detectors: &'a dyn Detectors,
    ) -> Result<Self, DetectError> {
        let settings: Map<String, Value> =
            serde_json::from_str(&policy.settings_json).map_err(|error| {
                DetectError::new(
                    DetectErrorKind::Stored,
                    format!("the settings of policy `{}` are no JSON: {error}", policy.name),
                )
            })?;
        let steps = settings.get("sequence").and_then(|sequence| sequence.get("steps"));
        let mut steps = steps.and_then(Value::as_array).into_iter().flatten();
        // Where steps have keys of their own, the group stands elsewhere in each.
        let group = match steps.any(|step| step.get("by").is_some()) {
            true => Vec::new(),
            false => alert.group.iter().map(|(column, value)| equals(column, value)).collect(),
        };
        Ok(Self { store, tenant, policy, alert, detectors, settings, group })
    }

    /// Runs variants over the activities of the alert's group, from so many ms before its first
    /// activity on. The alerts of each.
    fn run(&self, variants: Vec<Variant>, before: i64) -> Result<Vec<Vec<Alert>>, DetectError> {
        let mut results: Vec<Vec<Alert>> = variants.iter().map(|_| Vec::new()).collect();
        let mut by_detector: BTreeMap<String, Vec<Arc<PolicyFile>>> = BTreeMap::new();
        for (index, variant) in variants.into_iter().enumerate() {
            let name = format!("v{index}");
            let mut settings = variant.settings;
            settings.insert("policy".to_owned(), json!(name));
            // The window is that of one group: all others would only cost time.
            let own = settings.get("when").and_then(Value::as_array).cloned().unwrap_or_default();
            let when: Vec<Value> = self.group.iter().cloned().chain(own).collect();
            if !when.is_empty() {
                settings.insert("when".to_owned(), Value::Array(when));
            }
            let settings_json = Value::Object(settings).to_string();
            let policy = PolicyFile { name, settings_json, ..self.policy.clone() };
            by_detector.entry(variant.detector).or_default().push(Arc::new(policy));
        }
        let groups = by_detector
            .into_iter()
            .map(|(detector, policies)| policy::group(&detector, policies, self.detectors))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| DetectError::new(DetectErrorKind::Detector, error.to_string()))?;
        let mut offline = Offline::new(self.tenant.clone(), groups);
        let from = self.alert.first.saturating_sub(before);
        let ahead = self.look_ahead();
        let until = self.alert.last.saturating_add(ahead);
        // What is decided afterwards needs an activity that shows that the time has passed.
        let mut passed = ahead == 0;
        for info in self.store.blocks(self.tenant) {
            if info.max_time < from || (info.min_time > until && passed) {
                continue;
            }
            passed |= info.max_time > until;
            let Some(block) = self.store.read(self.tenant, info.first_sequence)? else { continue };
            offline.feed_at(&block.batch, block.info.first_sequence)?;
        }
        for alert in offline.alerts() {
            let index =
                alert.policy.strip_prefix('v').and_then(|index| index.parse::<usize>().ok());
            if let Some(result) = index.and_then(|index| results.get_mut(index)) {
                result.push(alert);
            }
        }
        Ok(results)
    }

    /// A variant that has every activity that fulfils some rows as an alert of its own.
    fn rows(&self, when: Vec<Value>) -> Variant {
        let mut settings = Map::new();
        settings.insert("when".to_owned(), Value::Array(when));
        settings.insert("quiet".to_owned(), json!(0));
        Variant { detector: DEFAULT_DETECTOR.to_owned(), settings }
    }

    fn conditions(&self) -> Result<Vec<Condition>, DetectError> {
        let mut found = all_conditions(&self.settings);
        found.truncate(CONDITIONS);
        let document =
            yaml::parse(self.policy.source.as_bytes()).ok().map(|(_, document)| document);
        let variants = found.iter().filter(|found| found.is_row);
        let variants = variants.map(|found| self.rows(vec![found.value.clone()])).collect();
        let mut matched = self.run(variants, 0)?.into_iter();
        let evidence: BTreeSet<u64> =
            self.alert.evidence.iter().map(|evidence| evidence.sequence).collect();
        let activities = evidence
            .iter()
            .filter_map(|&sequence| activities::at(self.store, self.tenant, sequence).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        let mut conditions = Vec::with_capacity(found.len());
        for found in found {
            let held = found.is_row.then(|| {
                let alerts = matched.next().unwrap_or_default();
                let sequences: BTreeSet<u64> = alerts
                    .iter()
                    .flat_map(|alert| alert.evidence.iter().map(|evidence| evidence.sequence))
                    .collect();
                evidence.intersection(&sequences).count()
            });
            let field = found.value.get("field").and_then(Value::as_str).unwrap_or_default();
            let span = document.as_ref().map(|document| document.find(&found.pointer));
            conditions.push(Condition {
                line: span.map_or(0, |span| span.line),
                depth: found.depth,
                text: found.text,
                held,
                values: if found.is_row { values(&activities, field) } else { Vec::new() },
            });
        }
        Ok(conditions)
    }

    /// Whether the alert comes again, and what keeps it from coming.
    fn different(&self) -> Result<(bool, Vec<String>), DetectError> {
        let before = self.look_back();
        let own =
            || Variant { detector: self.policy.detector.clone(), settings: self.settings.clone() };
        let found = self.run(vec![own()], before)?.pop().unwrap_or_default();
        let Some(again) = found.iter().find(|found| self.is_it(found)) else {
            return Ok((false, self.lines()));
        };
        let mut different = self.lines();
        different.extend(self.counted(again.count, before)?);
        different.extend(self.without_conditions(again.count, before)?);
        Ok((true, different))
    }

    fn is_it(&self, found: &Alert) -> bool {
        found.group == self.alert.group && found.start == self.alert.start && !found.behavior
    }

    /// How far back activities may count for the alert's first one.
    fn look_back(&self) -> i64 {
        let part = |name: &str| self.settings.get(name).and_then(|part| part.get("within"));
        let within = ["repeat", "sequence", "absence"].into_iter().find_map(part);
        within.and_then(length).unwrap_or(0)
    }

    /// How much longer activities may count after the alert's last one: what should have come, and
    /// what is decided only when nothing late can come any more.
    fn look_ahead(&self) -> i64 {
        let parts = ["repeat", "sequence", "absence"];
        let Some(part) = parts.iter().find_map(|name| self.settings.get(*name)) else { return 0 };
        let afterwards = self.settings.get("repeat").is_none_or(|repeat| {
            ["average", "percentile"].iter().any(|name| repeat.get(*name).is_some())
        });
        if !afterwards {
            return 0;
        }
        let lateness = part.get("lateness").and_then(length).unwrap_or(DAY);
        self.look_back().saturating_add(lateness)
    }

    /// What the alert's own numbers say of the line that it crossed.
    fn lines(&self) -> Vec<String> {
        let detail = |name: &str| {
            let (_, text) = self.alert.details.iter().find(|(other, _)| other == name)?;
            text.parse::<f64>().ok()
        };
        match (detail("score"), detail("line")) {
            (Some(score), Some(line)) => vec![format!(
                "with a line above {score} it would have stayed a behavior; the line is {line}"
            )],
            _ => Vec::new(),
        }
    }

    /// How much higher the count or how much shorter the time had to be.
    fn counted(&self, count: u64, before: i64) -> Result<Vec<String>, DetectError> {
        let Some(repeat) = self.settings.get("repeat").and_then(Value::as_object) else {
            return Ok(Vec::new());
        };
        let mut told = Vec::new();
        if let Some(needed) = repeat.get("count").and_then(Value::as_u64) {
            let most = self.highest_count(needed, count, before)?;
            told.push(format!(
                "with `count: {}` it would not have fired: the fullest window held {most}, and {needed} were enough",
                most + 1
            ));
        }
        if let Some(within) = repeat.get("within").and_then(length)
            && let Some(shortest) = self.shortest_within(within, before)?
        {
            told.push(format!(
                "with `within: {}` or less it would not have fired",
                written(shortest)
            ));
        }
        Ok(told)
    }

    fn with_repeat(&self, key: &str, value: Value) -> Variant {
        let mut settings = self.settings.clone();
        if let Some(repeat) = settings.get_mut("repeat").and_then(Value::as_object_mut) {
            repeat.insert(key.to_owned(), value);
        }
        Variant { detector: self.policy.detector.clone(), settings }
    }

    /// Which of the variants give the alert.
    fn fired(&self, variants: Vec<Variant>, before: i64) -> Result<Vec<bool>, DetectError> {
        let results = self.run(variants, before)?;
        Ok(results.iter().map(|found| found.iter().any(|found| self.is_it(found))).collect())
    }

    /// The highest threshold that the alert still reaches.
    fn highest_count(&self, needed: u64, count: u64, before: i64) -> Result<u64, DetectError> {
        // It reaches `low`, and not `high`.
        let (mut low, mut high) = (needed, count.max(needed) + 1);
        while high - low > 1 {
            let step = (high - low).div_ceil(TRIED.unsigned_abs()).max(1);
            let tried: Vec<u64> = (1..).map(|n| low + n * step).take_while(|&n| n < high).collect();
            let variants = tried.iter().map(|&count| self.with_repeat("count", json!(count)));
            let fired = self.fired(variants.collect(), before)?;
            for (&count, fired) in tried.iter().zip(fired) {
                if fired {
                    low = low.max(count);
                } else {
                    high = high.min(count);
                }
            }
        }
        Ok(low)
    }

    /// The longest time within which the alert does not come, in whole seconds; `None` when there is
    /// none.
    fn shortest_within(&self, within: i64, before: i64) -> Result<Option<i64>, DetectError> {
        // It does not come within `low`, and does within `high`, both in seconds.
        let (mut low, mut high) = (0, within / 1000);
        while high - low > 1 {
            let step = (high - low + TRIED - 1) / TRIED;
            let step = step.max(1);
            let tried: Vec<i64> = (1..).map(|n| low + n * step).take_while(|&n| n < high).collect();
            let variants = tried
                .iter()
                .map(|seconds| self.with_repeat("within", json!(format!("{seconds}s"))));
            let fired = self.fired(variants.collect(), before)?;
            for (&seconds, fired) in tried.iter().zip(fired) {
                if fired {
                    high = high.min(seconds);
                } else {
                    low = low.max(seconds);
                }
            }
        }
        Ok((low > 0).then_some(low * 1000))
    }

    /// What each condition kept out.
    fn without_conditions(&self, count: u64, before: i64) -> Result<Vec<String>, DetectError> {
        let rows = self.settings.get("when").and_then(Value::as_array).cloned().unwrap_or_default();
        if rows.len() > CONDITIONS {
            return Ok(Vec::new());
        }
        let variants = (0..rows.len()).map(|left_out| {
            let mut when = rows.clone();
            when.remove(left_out);
            self.rows(when)
        });
        let all = self.rows(rows.clone());
        let results = self.run(variants.chain([all]).collect(), before)?;
        let Some((all, without)) = results.split_last() else { return Ok(Vec::new()) };
        let from = self.alert.first.saturating_sub(before);
        let counted = |found: &[Alert]| {
            let counts = |found: &&Alert| (from..=self.alert.last).contains(&found.first);
            found.iter().filter(counts).count()
        };
        let told = rows.iter().zip(without).filter_map(|(row, found)| {
            let more = counted(found).saturating_sub(counted(all));
            (more > 0).then(|| {
                let activities = if more == 1 { "activity" } else { "activities" };
                format!(
                    "without `{}` {more} more {activities} of that time would have counted, beside {count}",
                    flow(row)
                )
            })
        });
        Ok(told.collect())
    }
}

/// A condition on its way.
struct Found {
    pointer: String,
    depth: usize,
    text: String,
    value: Value,
    /// Whether it is a row, or the head of a group.
    is_row: bool,
}

/// The conditions of a policy: those of all its activities, of each step, and of what should come.
fn all_conditions(settings: &Map<String, Value>) -> Vec<Found> {
    let mut found = Vec::new();
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned();
    if let Some(rows) = list(settings.get("when")) {
        flatten(&rows, "/when", 0, &mut found);
    }
    let mut part = |name: String, pointer: String, rows: Option<Vec<Value>>| {
        let Some(rows) = rows else { return };
        let (text, value) = (name, Value::Null);
        found.push(Found { pointer: pointer.clone(), depth: 0, text, value, is_row: false });
        flatten(&rows, &pointer, 1, &mut found);
    };
    let steps = list(settings.get("sequence").and_then(|sequence| sequence.get("steps")));
    for (index, step) in steps.iter().flatten().enumerate() {
        let name = step.get("name").and_then(Value::as_str);
        let name =
            name.map_or_else(|| format!("step {}", index + 1), |name| format!("step {name}"));
        let at = |key: &str| format!("/sequence/steps/{index}/{key}");
        part(name, at("when"), list(step.get("when")));
        part("none of these".to_owned(), at("not"), list(step.get("not")));
    }
    let expected = settings.get("absence").and_then(|absence| absence.get("expect"));
    part("expected".to_owned(), "/absence/expect".to_owned(), list(expected));
    found
}

/// The rows of a list and of the groups in it, each after the head of its group.
fn flatten(rows: &[Value], pointer: &str, depth: usize, found: &mut Vec<Found>) {
    for (index, row) in rows.iter().enumerate() {
        flatten_one(row, format!("{pointer}/{index}"), depth, found);
    }
}

fn flatten_one(row: &Value, pointer: String, depth: usize, found: &mut Vec<Found>) {
    // `not` is an operator where there is a field.
    let heads = if row.get("field").is_none() { &["any", "all", "not"][..] } else { &[] };
    let group = heads.iter().find_map(|&name| row.get(name).map(|inner| (name, inner)));
    let Some((name, inner)) = group else {
        let text = flow(row);
        found.push(Found { pointer, depth, text, value: row.clone(), is_row: true });
        return;
    };
    let below = format!("{pointer}/{name}");
    let head = Found { pointer, depth, text: name.to_owned(), value: Value::Null, is_row: false };
    found.push(head);
    match inner {
        Value::Array(rows) => flatten(rows, &below, depth + 1, found),
        one => flatten_one(one, below, depth + 1, found),
    }
}

/// A condition that an activity has a value in a column.
fn equals(column: &str, value: &str) -> Value {
    if value.is_empty() {
        return json!({"field": column, "exists": false});
    }
    let number = vocabulary::column(column)
        .filter(|column| column.column_type != vocabulary::ColumnType::Text)
        .and_then(|_| value.parse::<i64>().ok());
    match number {
        Some(number) => json!({"field": column, "is": number}),
        None => json!({"field": column, "is": value, "ignore-case": false}),
    }
}

/// The values of a field, the most frequent first.
fn values(activities: &[Map<String, Value>], field: &str) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for activity in activities {
        let found = match field.split_once('.') {
            Some(("fields", key)) => activity.get("fields").and_then(|fields| fields.get(key)),
            Some(("objects", key)) => {
                let objects = activity.get("objects").and_then(Value::as_array);
                for value in objects.into_iter().flatten().filter_map(|object| object.get(key)) {
                    *counts.entry(text(value)).or_default() += 1;
                }
                continue;
            }
            _ => activity.get(field),
        };
        let value = found.map_or_else(|| "(absent)".to_owned(), text);
        *counts.entry(value).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(VALUES);
    counts
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value as YAML writes it in one line.
fn flow(value: &Value) -> String {
    let plain = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@*".contains(c))
            && text.parse::<f64>().is_err()
            && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off")
    };
    match value {
        Value::String(text) if plain(text) => text.clone(),
        Value::Array(items) => {
            const MOST: usize = 8;
            let mut parts: Vec<_> = items.iter().take(MOST).map(flow).collect();
            if items.len() > MOST {
                parts.push(format!("… {} more", items.len() - MOST));
            }
            format!("[{}]", parts.join(", "))
        }
        Value::Object(map) => {
            // The field first, as people write it.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| (key.as_str() != "field", key.as_str() == "missing"));
            let parts: Vec<_> =
                entries.into_iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{{}}}", parts.join(", "))
        }
        other => other.to_string(),
    }
}

/// Reads a length such as `5m`, ms.
fn length(value: &Value) -> Option<i64> {
    casbah_yaml::duration(value.as_str()?)
}

/// Writes a length in the largest unit that fits.
fn written(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit = units.into_iter().find(|(unit, _)| ms % unit == 0);
    unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}
