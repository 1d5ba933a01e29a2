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
//! It is not where alerts are made (see [`crate::evaluate`]) or sent anywhere.

use std::cell::Cell;

use casbah_model::{Alert, AlertState, Severity, TenantName};
use casbah_store::{Commit, ScanRange, Store, StoreError, Table};
use serde::{Deserialize, Serialize};

use crate::activities;
use crate::error::{DetectError, DetectErrorKind};
use crate::suggest::shown;

#[cfg(test)]
mod tests;

/// Form of stored alerts that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

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

/// Where an alert is listed.
fn index(behavior: bool) -> Table {
    if behavior { Table::BehaviorIndex } else { Table::AlertIndex }
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

/// Adds to a commit what joins a part of an alert to what is kept of it. Says what is new by that.
pub(crate) fn write(
    store: &dyn Store,
    tenant: &TenantName,
    commit: &mut Commit,
    part: &Alert,
    quiet: i64,
) -> Result<Option<New>, DetectError> {
    let id = &part.id;
    let before = load(store, tenant, id)?;
    let was = before.as_ref().map(|before| before.alert.behavior);
    let mut alert = part.clone();
    let mut taken = std::mem::take(commit);
    if let Some(before) = before {
        let moves = before.alert.last != alert.last.max(before.alert.last);
        if moves || before.alert.behavior != (alert.behavior && before.alert.behavior) {
            let key = index_key(before.alert.last, id);
            taken = taken.delete(index(before.alert.behavior), key);
        }
        let mut joined = before.alert;
        joined.revision = alert.revision.clone();
        joined.title = alert.title.clone();
        joined.join(alert);
        alert = joined;
    }
    // What people made of it is kept under its own key.
    alert.state = AlertState::Open;
    let listed = index_key(alert.last, id);
    let behavior = alert.behavior;
    let stored = Stored { format: FORMAT, quiet, alert };
    let bytes = serde_json::to_vec(&stored)
        .map_err(|error| DetectError::new(DetectErrorKind::Stored, error.to_string()))?;
    *commit = taken.put(Table::Alert, alert_key(id), bytes).put(index(behavior), listed, b"");
    Ok(match (was, behavior) {
        (None, true) => Some(New::Behavior),
        (None, false) => Some(New::Alert),
        (Some(true), false) => Some(New::Crossed),
        (Some(_), _) => None,
    })
}

/// Which alerts to list. The default is all.
#[derive(Clone, Debug, Default)]
pub struct AlertQuery {
    /// Behaviors instead of alerts.
    pub behaviors: bool,
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
    store.scan(tenant, index(query.behaviors), &range, true, &mut |key, _| {
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
        if !fits(query, about.as_deref(), &stored.alert) {
            return true;
        }
        if query.limit > 0 && page.alerts.len() == query.limit {
            // There is one more: the page ends with the one before it.
            page.next = page.alerts.last().map(|last| cursor(&last.alert));
            return false;
        }
        match listed(store, tenant, stored) {
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
) -> Result<ListedAlert, DetectError> {
    let Stored { quiet, alert, .. } = stored;
    let mut continues = None;
    if quiet > 0 {
        let before = id(tenant, &alert.policy, &alert.group, alert.start.saturating_sub(quiet));
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
    let listed = listed(store, tenant, stored)?;
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

/// Number of alerts kept.
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
