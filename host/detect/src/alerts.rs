//! Alerts: their ids, how they are kept, and how people list and look at them.
//!
//! An alert's id is made of what it is about, never drawn: whoever computes it again gets the same.
//! An alert stands for one quiet window of one group. When the window before it has an alert too
//! that ended less than a quiet time earlier, this one *continues* it: that is found out when
//! listing, so that readers see one story, and evaluation stays independent of the order in which
//! activities arrive.
//!
//! What stays below a policy's alerting line is a *behavior*: kept and shown in the same way, but in
//! a list of its own. Crossing the line later makes an alert of it.
//!
//! Of a policy, so many alerts a day are listed, and no more: the others are *held back*, which is
//! counted and told, and listed where it is asked for. What a *candidate* in shadow makes is kept here
//! as well, and compared in [`crate::shadow`]; it is in none of these lists.
//!
//! What an alert is called and described as, by its policy's templates, is made when it is read, of
//! what it says by then.
//!
//! It is not where alerts are made (see [`crate::evaluate`]) or sent anywhere.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use casbah_model::{Alert, AlertState, Severity, TenantName};
use casbah_store::{Commit, ScanRange, Store, StoreError, Table};
use serde::{Deserialize, Serialize};

use crate::activities;
use crate::error::{DetectError, DetectErrorKind};
use crate::group::Group;
use crate::history;
use crate::policy::Templates;
use crate::stored::{decode as read, encode};
use crate::suggest::shown;

#[cfg(test)]
mod tests;

/// Form of stored alerts that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// Of a policy that says nothing about it, so many alerts a day are shown. Nobody looks at more; and
/// a policy that floods should be mended, not switched off.
pub const DAILY_LIMIT: u64 = 1000;

const DAY: i64 = 86_400_000;

/// The id of an alert: 16 hex digits of a hash over tenant, policy, group and start.
///
/// 64 bits are enough to tell alerts of one tenant apart (a million of them clash with a chance of
/// 1 in 37 million) and few enough to type; a prefix that is unique will do. Should two clash after
/// all, they are shown as one alert, and neither is lost.
pub fn id(tenant: &TenantName, policy: &str, group: &[(String, String)], start: i64) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("casbah 2026-11 alert id");
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(tenant.as_str());
    text(policy);
    for (column, value) in group {
        text(column);
        text(value);
    }
    hasher.update(&start.to_le_bytes());
    let mut hex = hasher.finalize().to_hex().to_string();
    hex.truncate(16);
    hex
}

/// An alert as kept, with what is needed to find the one it continues.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    /// The policy's quiet time in milliseconds, which is the length of the window.
    quiet: i64,
    alert: Alert,
}

fn alert_key(id: &str) -> Vec<u8> {
    format!("alert/{id}").into_bytes()
}

/// What people say is kept beside what evaluation says, so that neither overwrites the other.
fn state_key(id: &str) -> Vec<u8> {
    format!("state/{id}").into_bytes()
}

/// Where an alert is listed, and under which key: by the time of its last activity.
fn place(alert: &Alert) -> (Table, Vec<u8>) {
    let key = index_key(alert.last, &alert.id);
    if alert.shadow {
        let mut shadow = shadow_prefix(&alert.policy);
        shadow.extend_from_slice(&key);
        return (Table::ShadowIndex, shadow);
    }
    match (alert.behavior, alert.held_back) {
        (true, _) => (Table::BehaviorIndex, key),
        (false, true) => (Table::HeldBackIndex, key),
        (false, false) => (Table::AlertIndex, key),
    }
}

/// What the keys of all alerts of a candidate begin with.
pub(crate) fn shadow_prefix(policy: &str) -> Vec<u8> {
    format!("{policy}/").into_bytes()
}

/// Ordered by the time of the last activity, then by id.
fn index_key(last: i64, id: &str) -> Vec<u8> {
    // With the sign bit turned, the order of bytes is the order of numbers.
    let mut key = (last as u64 ^ (1 << 63)).to_be_bytes().to_vec();
    key.extend_from_slice(id.as_bytes());
    key
}

fn decode(id: &str, bytes: &[u8]) -> Result<Stored, DetectError> {
    let stored: Stored = serde_json::from_slice(bytes).map_err(|error| {
        DetectError::new(
            DetectErrorKind::Stored,
            format!(
                "the stored alert `{id}` can't be read: {error}\nhint: a newer casbah may have written it"
            ),
        )
    })?;
    if stored.format > FORMAT {
        return Err(DetectError::new(
            DetectErrorKind::Stored,
            format!(
                "the stored alert `{id}` is in form {}, this program reads forms up to {FORMAT}\nhint: use the newer casbah that wrote it",
                stored.format
            ),
        ));
    }
    Ok(stored)
}

/// Reads an alert together with what people made of it.
fn load(store: &dyn Store, tenant: &TenantName, id: &str) -> Result<Option<Stored>, DetectError> {
    let Some(bytes) = store.get(tenant, Table::Alert, &alert_key(id))? else { return Ok(None) };
    let mut stored = decode(id, &bytes)?;
    stored.alert.state = match store.get(tenant, Table::Alert, &state_key(id))?.as_deref() {
        Some(b"closed") => AlertState::Closed,
        _ => AlertState::Open,
    };
    Ok(Some(stored))
}

/// What a part of an alert was new as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum New {
    /// Nothing was known of it, and it is a behavior.
    Behavior,
    /// Nothing was known of it, and it is an alert.
    Alert,
    /// It was known as a behavior, and is an alert now.
    Crossed,
}

/// How many alerts of a policy there were on a day.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Day {
    shown: u64,
    held_back: u64,
}

fn day_key(policy: &str, day: i64) -> Vec<u8> {
    let mut key = format!("alerts/{policy}/").into_bytes();
    key.extend_from_slice(&(day as u64 ^ (1 << 63)).to_be_bytes());
    key
}

/// Adds parts of alerts to a commit, each joined to what is kept of it.
pub(crate) struct Writer<'a> {
    store: &'a dyn Store,
    tenant: &'a TenantName,
    days: BTreeMap<(String, i64), Day>,
}

impl<'a> Writer<'a> {
    /// For one commit.
    pub(crate) fn new(store: &'a dyn Store, tenant: &'a TenantName) -> Self {
        Self { store, tenant, days: BTreeMap::new() }
    }

    /// Adds a part of an alert of a policy with this quiet time and daily limit. Says what is new by
    /// that.
    pub(crate) fn write(
        &mut self,
        commit: &mut Commit,
        part: &Alert,
        quiet: i64,
        daily_limit: u64,
    ) -> Result<Option<New>, DetectError> {
        let before = load(self.store, self.tenant, &part.id)?;
        let was = before.as_ref().map(|before| before.alert.behavior);
        let mut alert = part.clone();
        let mut earlier = None;
        if let Some(before) = before {
            let mut joined = before.alert;
            earlier = Some(place(&joined));
            joined.revision = alert.revision.clone();
            joined.title = alert.title.clone();
            joined.respond = alert.respond.clone();
            joined.join(alert);
            alert = joined;
        }
        let new = match (was, alert.behavior) {
            (None, true) => Some(New::Behavior),
            (None, false) => Some(New::Alert),
            (Some(true), false) => Some(New::Crossed),
            (Some(_), _) => None,
        };
        if matches!(new, Some(New::Alert | New::Crossed)) && !alert.shadow {
            alert.held_back = self.is_beyond(&alert, daily_limit)?;
        }
        // What people made of it is kept under its own key.
        alert.state = AlertState::Open;
        let (table, key) = place(&alert);
        let mut taken = std::mem::take(commit);
        if let Some((table_before, key_before)) = earlier
            && (table_before, &key_before) != (table, &key)
        {
            taken = taken.delete(table_before, key_before);
        }
        let id = alert_key(&alert.id);
        let stored = encode(&Stored { format: FORMAT, quiet, alert })?;
        *commit = taken.put(Table::Alert, id, stored).put(table, key, b"");
        Ok(new)
    }

    /// Counts a new alert on the day of its first activity, and says whether that day has its share
    /// already. What was decided once is kept with the alert.
    fn is_beyond(&mut self, alert: &Alert, limit: u64) -> Result<bool, DetectError> {
        let day = alert.first.div_euclid(DAY);
        let key = (alert.policy.clone(), day);
        if !self.days.contains_key(&key) {
            let known =
                self.store.get(self.tenant, Table::Counter, &day_key(&alert.policy, day))?;
            let known = known.map(|bytes| read_day(&bytes)).transpose()?.unwrap_or_default();
            self.days.insert(key.clone(), known);
        }
        let day = self.days.entry(key).or_default();
        let beyond = day.shown >= limit;
        if beyond {
            day.held_back += 1;
        } else {
            day.shown += 1;
        }
        Ok(beyond)
    }

    /// Adds what was counted.
    pub(crate) fn finish(self, mut commit: Commit) -> Result<Commit, DetectError> {
        for ((policy, day), counted) in self.days {
            commit = commit.put(Table::Counter, day_key(&policy, day), encode(&counted)?);
        }
        Ok(commit)
    }
}

fn read_day(bytes: &[u8]) -> Result<Day, DetectError> {
    read("the number of alerts of a day", bytes, |_: &Day| FORMAT, FORMAT)
}

/// How many alerts of a policy were held back on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldBack {
    /// Name of the policy.
    pub policy: String,
    /// Beginning of the day (UTC), ms since 1970.
    pub day: i64,
    /// Alerts that are listed.
    pub shown: u64,
    /// Alerts that are not.
    pub held_back: u64,
}

/// On which days alerts were held back, the newest day first; of the query, policy and times count.
///
/// # Errors
/// When it can't be read.
pub fn held_back(
    store: &dyn Store,
    tenant: &TenantName,
    query: &AlertQuery,
) -> Result<Vec<HeldBack>, DetectError> {
    let mut all = Vec::new();
    let mut failed = None;
    let range = ScanRange::prefix("alerts/");
    store.scan(tenant, Table::Counter, &range, false, &mut |key, bytes| {
        match read_day(bytes) {
            Ok(Day { held_back: 0, .. }) => {}
            Ok(counted) => all.extend(on_day(key, counted)),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    all.retain(|of| {
        query.policy.as_ref().is_none_or(|policy| *policy == of.policy)
            && query.from.is_none_or(|from| of.day + DAY > from)
            && query.to.is_none_or(|to| of.day < to)
    });
    all.sort_by(|a, b| (b.day, &a.policy).cmp(&(a.day, &b.policy)));
    Ok(all)
}

fn on_day(key: &[u8], counted: Day) -> Option<HeldBack> {
    let (policy, day) = key.strip_prefix(b"alerts/")?.split_last_chunk::<8>()?;
    let policy = std::str::from_utf8(policy).ok()?.strip_suffix('/')?;
    let day = (u64::from_be_bytes(*day) ^ (1 << 63)) as i64;
    Some(HeldBack {
        policy: policy.to_owned(),
        day: day * DAY,
        shown: counted.shown,
        held_back: counted.held_back,
    })
}

/// Templates by policy and revision, as far as they were asked for.
#[derive(Default)]
struct Rendering(HashMap<(String, String), Templates>);

impl Rendering {
    /// Gives an alert the title and description that the revision wants which made it.
    fn render(
        &mut self,
        store: &dyn Store,
        tenant: &TenantName,
        alert: &mut Alert,
    ) -> Result<(), DetectError> {
        let key = (alert.policy.clone(), alert.revision.clone());
        if !self.0.contains_key(&key) {
            // Revisions that ran before there was a history have no templates either.
            let text = history::whole_text(store, tenant, &alert.policy, &alert.revision)?;
            let templates = text.map(|text| Templates::of(&text)).unwrap_or_default();
            self.0.insert(key.clone(), templates);
        }
        if let Some(templates) = self.0.get(&key) {
            if let Some(title) = &templates.title {
                alert.title = title.render(alert);
            }
            if let Some(description) = &templates.description {
                alert.description = description.render(alert);
            }
        }
        Ok(())
    }
}

/// Which alerts to list. The default is all.
#[derive(Clone, Debug, Default)]
pub struct AlertQuery {
    /// Behaviors instead of alerts.
    pub behaviors: bool,
    /// Alerts that are held back instead of those that are shown.
    pub held_back: bool,
    /// Only of this policy.
    pub policy: Option<String>,
    /// Only this bad or worse.
    pub severity: Option<Severity>,
    /// Only in this state.
    pub state: Option<AlertState>,
    /// Only those whose last activity is at or after this time, ms since 1970.
    pub from: Option<i64>,
    /// Only those whose first activity is before this time, ms since 1970.
    pub to: Option<i64>,
    /// Only those with this text in a value of their group, whatever the case.
    pub about: Option<String>,
    /// At most so many; 0 means no limit.
    pub limit: usize,
    /// Go on after the page that gave this cursor.
    pub after: Option<String>,
}

/// An alert in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListedAlert {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// Id of the alert before it that tells the same story.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
}

/// A page of alerts, the newest first.
#[derive(Clone, Debug, Default)]
pub struct AlertPage {
    /// The alerts.
    pub alerts: Vec<ListedAlert>,
    /// Where to go on; `None` when this is the end.
    pub next: Option<String>,
}

/// Lists alerts by the time of their last activity, the newest first.
///
/// # Errors
/// `Filter` for a cursor that no page gave; `Store` and `Stored` when they can't be read.
pub fn list(
    store: &dyn Store,
    tenant: &TenantName,
    query: &AlertQuery,
) -> Result<AlertPage, DetectError> {
    let mut range = ScanRange::all();
    if let Some(cursor) = &query.after {
        range = range.before(cursor_key(cursor)?);
    }
    if let Some(from) = query.from {
        range = range.from(index_key(from, ""));
    }
    let mut page = AlertPage::default();
    let mut failed = None;
    let about = query.about.as_ref().map(|about| about.to_lowercase());
    let mut rendering = Rendering::default();
    let index = match (query.behaviors, query.held_back) {
        (true, _) => Table::BehaviorIndex,
        (false, true) => Table::HeldBackIndex,
        (false, false) => Table::AlertIndex,
    };
    store.scan(tenant, index, &range, true, &mut |key, _| {
        let Some(id) = key.get(8..).and_then(|id| std::str::from_utf8(id).ok()) else {
            return true;
        };
        let stored = match load(store, tenant, id) {
            Ok(Some(stored)) => stored,
            Ok(None) => return true,
            Err(error) => {
                failed = Some(error);
                return false;
            }
        };
        // Two groups that make one alert at the same time, while a policy goes over from one to the
        // other, may leave an entry behind: only the one that tells its last activity counts.
        let stale = index_key(stored.alert.last, id) != key;
        if stale || !fits(query, about.as_deref(), &stored.alert) {
            return true;
        }
        if query.limit > 0 && page.alerts.len() == query.limit {
            // There is one more: the page ends with the one before it.
            page.next = page.alerts.last().map(|last| cursor(&last.alert));
            return false;
        }
        match listed(store, tenant, stored, &mut rendering) {
            Ok(alert) => page.alerts.push(alert),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(page), Err)
}

fn fits(query: &AlertQuery, about: Option<&str>, alert: &Alert) -> bool {
    query.policy.as_ref().is_none_or(|policy| *policy == alert.policy)
        && query.severity.is_none_or(|severity| alert.severity >= severity)
        && query.state.is_none_or(|state| alert.state == state)
        && query.from.is_none_or(|from| alert.last >= from)
        && query.to.is_none_or(|to| alert.first < to)
        && about.is_none_or(|about| {
            alert.group.iter().any(|(_, value)| value.to_lowercase().contains(about))
        })
}

fn cursor(alert: &Alert) -> String {
    format!("{}.{}", alert.last, alert.id)
}

fn cursor_key(cursor: &str) -> Result<Vec<u8>, DetectError> {
    cursor
        .split_once('.')
        .and_then(|(last, id)| Some(index_key(last.parse().ok()?, id)))
        .ok_or_else(|| {
            DetectError::new(
                DetectErrorKind::Filter,
                format!(
                    "`{}` is not a place in the list of alerts\nhint: use the one that the page before gave",
                    shown(cursor)
                ),
            )
        })
}

fn listed(
    store: &dyn Store,
    tenant: &TenantName,
    stored: Stored,
    rendering: &mut Rendering,
) -> Result<ListedAlert, DetectError> {
    let Stored { quiet, mut alert, .. } = stored;
    rendering.render(store, tenant, &mut alert)?;
    let mut continues = None;
    if quiet > 0 {
        let shadow = Group::shadow_name(&alert.policy);
        let of = if alert.shadow { &shadow } else { &alert.policy };
        let before = id(tenant, of, &alert.group, alert.start.saturating_sub(quiet));
        if let Some(Stored { alert: earlier, .. }) = load(store, tenant, &before)?
            && alert.first.saturating_sub(earlier.last) <= quiet
        {
            continues = Some(before);
        }
    }
    Ok(ListedAlert { alert, continues })
}

/// An alert with the activities it rests on.
#[derive(Clone, Debug, Serialize)]
pub struct ShownAlert {
    /// The alert.
    #[serde(flatten)]
    pub listed: ListedAlert,
    /// The activities named in its evidence that are still in the log, by time.
    pub activities: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// Finds an alert by its id, or by the beginning of it, and reads its evidence back from the log.
///
/// # Errors
/// `NotFound` and `Ambiguous` for the id; `Store` and `Stored` when it can't be read.
pub fn show(
    store: &dyn Store,
    tenant: &TenantName,
    prefix: &str,
) -> Result<ShownAlert, DetectError> {
    let stored = find(store, tenant, prefix)?;
    let listed = listed(store, tenant, stored, &mut Rendering::default())?;
    let mut activities = Vec::new();
    for evidence in &listed.alert.evidence {
        if let Some(activity) = activities::at(store, tenant, evidence.sequence)? {
            activities.push(activity);
        }
    }
    Ok(ShownAlert { listed, activities })
}

fn find(store: &dyn Store, tenant: &TenantName, prefix: &str) -> Result<Stored, DetectError> {
    let mut found: Vec<String> = Vec::new();
    let more = Cell::new(false);
    let range = ScanRange::prefix(alert_key(prefix));
    store.scan(tenant, Table::Alert, &range, false, &mut |key, _| {
        if let Some(id) = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix("alert/")) {
            found.push(id.to_owned());
        }
        more.set(found.len() > 5);
        !more.get()
    })?;
    let shown = shown(prefix);
    match found.as_slice() {
        [id] if !prefix.is_empty() => load(store, tenant, id)?.ok_or_else(|| not_found(&shown)),
        [] => Err(not_found(&shown)),
        ids => {
            let dots = if more.get() { ", …" } else { "" };
            let ids: Vec<_> = ids.iter().take(5).map(|id| format!("`{id}`")).collect();
            Err(DetectError::new(
                DetectErrorKind::Ambiguous,
                format!(
                    "more than one alert or behavior begins with `{shown}`: {}{dots}\nhint: give more of the id",
                    ids.join(", ")
                ),
            ))
        }
    }
}

fn not_found(shown: &str) -> DetectError {
    DetectError::new(
        DetectErrorKind::NotFound,
        format!(
            "there is no alert or behavior `{shown}`\n\
             hint: `casbah alert list` and `casbah behavior list` show those there are"
        ),
    )
}

/// Sets what people made of an alert. Returns its id.
///
/// # Errors
/// As [`show`], and when the store can't write.
pub fn set_state(
    store: &dyn Store,
    tenant: &TenantName,
    prefix: &str,
    state: AlertState,
) -> Result<String, DetectError> {
    let id = find(store, tenant, prefix)?.alert.id;
    let commit = match state {
        AlertState::Open => Commit::new().delete(Table::Alert, state_key(&id)),
        AlertState::Closed => Commit::new().put(Table::Alert, state_key(&id), b"closed"),
    };
    store.commit(tenant, commit)?;
    Ok(id)
}

/// The alerts of a candidate that runs in shadow, by the time of their last activity, the oldest
/// first; what is below its line is not among them.
///
/// # Errors
/// When they can't be read.
pub(crate) fn of_shadow(
    store: &dyn Store,
    tenant: &TenantName,
    policy: &str,
) -> Result<Vec<Alert>, DetectError> {
    let mut alerts = Vec::new();
    let mut failed = None;
    let mut rendering = Rendering::default();
    let prefix = shadow_prefix(policy);
    let skip = prefix.len() + 8;
    let range = ScanRange::prefix(prefix);
    store.scan(tenant, Table::ShadowIndex, &range, false, &mut |key, _| {
        let Some(id) = key.get(skip..).and_then(|id| std::str::from_utf8(id).ok()) else {
            return true;
        };
        let rendered = load(store, tenant, id).and_then(|stored| {
            let Some(Stored { mut alert, .. }) = stored else { return Ok(None) };
            rendering.render(store, tenant, &mut alert)?;
            Ok(Some(alert))
        });
        match rendered {
            Ok(alert) => alerts.extend(alert.filter(|alert| !alert.behavior)),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(alerts), Err)
}

/// Deletes what a candidate made in shadow, some of it at a time.
pub(crate) fn forget_shadow(
    store: &dyn Store,
    tenant: &TenantName,
    policy: &str,
) -> Result<(), StoreError> {
    const AT_ONCE: usize = 2048;
    let prefix = shadow_prefix(policy);
    let skip = prefix.len() + 8;
    loop {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let range = ScanRange::prefix(prefix.clone());
        store.scan(tenant, Table::ShadowIndex, &range, false, &mut |key, _| {
            keys.push(key.to_vec());
            keys.len() < AT_ONCE
        })?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut commit = Commit::new();
        for key in keys {
            if let Some(id) = key.get(skip..).and_then(|id| std::str::from_utf8(id).ok()) {
                commit =
                    commit.delete(Table::Alert, alert_key(id)).delete(Table::Alert, state_key(id));
            }
            commit = commit.delete(Table::ShadowIndex, key);
        }
        store.commit(tenant, commit)?;
    }
}

/// Number of alerts that are shown.
///
/// # Errors
/// When the store can't be read.
pub fn count(store: &dyn Store, tenant: &TenantName) -> Result<u64, StoreError> {
    let mut count = 0;
    store.scan(tenant, Table::AlertIndex, &ScanRange::all(), false, &mut |_, _| {
        count += 1;
        true
    })?;
    Ok(count)
}
