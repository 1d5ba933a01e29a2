//! Candidates: policies that run beside those in force, on the same log, and are compared with them.
//!
//! A candidate has a group of its own, so it has its own offset and state, and whatever it does nobody
//! else notices. Its alerts are kept apart, and its behaviors never become activities.
//!
//! It is not where candidates are evaluated (that is [`crate::evaluate`], like everything else), and
//! not a backtest: what a candidate has not seen since it began is not looked at.

use std::collections::HashMap;

use casbah_model::{Alert, Severity, TenantName};
use casbah_store::{Commit, ScanRange, Store, Table};
use serde::Serialize;

use crate::alerts::{self, AlertQuery};
use crate::error::{DetectError, DetectErrorKind};
use crate::evaluate::{self, Generation, generations};
use crate::group::{Group, is_shadow};
use crate::suggest::shown;

#[cfg(test)]
mod tests;

/// A candidate that has run, and maybe still does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Name of the policy.
    pub policy: String,
    /// The revision that ran last, 12 hex digits.
    pub revision: String,
    /// When this revision began, ms since 1970.
    pub since: i64,
    /// First activity that was evaluated with the settings it has.
    pub from: u64,
    /// The activity to be read next.
    pub offset: u64,
    /// Activities in the log that it has not read.
    pub lag_rows: u64,
    /// Alerts that it has made.
    pub alerts: u64,
    /// Whether it is evaluated, as far as the store tells.
    pub running: bool,
}

/// The candidates that the store knows of, by name.
///
/// # Errors
/// When they can't be read.
pub fn candidates(store: &dyn Store, tenant: &TenantName) -> Result<Vec<Candidate>, DetectError> {
    let end = store.log_range(tenant).end;
    let mut all = Vec::new();
    for group in evaluate::group_names(store, tenant)? {
        let Some(policy) = group.strip_prefix(&Group::shadow_name("")) else { continue };
        let generations = generations(store, tenant, &group)?;
        let running = generations.last().is_some_and(|last| !last.policies.is_empty());
        let Some(begun) = begun(&generations, policy) else { continue };
        let offset = evaluate::stored_offset(store, tenant, &group)?.unwrap_or(begun.from);
        all.push(Candidate {
            policy: policy.to_owned(),
            revision: begun.revision.to_owned(),
            since: begun.at,
            from: begun.from,
            offset,
            lag_rows: end.saturating_sub(offset),
            alerts: alerts::of_shadow(store, tenant, policy)?.len() as u64,
            running,
        });
    }
    Ok(all)
}

/// Since when a policy is evaluated as it is.
struct Begun<'a> {
    revision: &'a str,
    at: i64,
    from: u64,
}

/// The generations at the end of which a policy has the same state all the time: a new title is no
/// reason to begin anew.
fn begun<'a>(generations: &'a [Generation], policy: &str) -> Option<Begun<'a>> {
    let mut running = generations.iter().rev().skip_while(|g| g.policies.is_empty());
    let last = running.next()?;
    let (revision, _) = last.of_policy(policy)?;
    let mark = last.mark_of(policy);
    let first = running
        .take_while(|earlier| {
            earlier.of_policy(policy).is_some() && earlier.mark_of(policy) == mark
        })
        .last()
        .unwrap_or(last);
    Some(Begun { revision, at: last.at, from: first.from })
}

/// Lets a candidate that never ran begin at this activity of the log. One that has run goes on where
/// it is; that is false then.
///
/// # Errors
/// When the store can't be read or written.
pub fn begin(
    store: &dyn Store,
    tenant: &TenantName,
    policy: &str,
    from: u64,
) -> Result<bool, DetectError> {
    let group = Group::shadow_name(policy);
    if evaluate::stored_offset(store, tenant, &group)?.is_some() {
        return Ok(false);
    }
    store.commit(tenant, evaluate::begin_at(Commit::new(), &group, from)?)?;
    Ok(true)
}

/// The first activity of the log whose block holds anything at or after a time, ms since 1970.
pub fn sequence_at(store: &dyn Store, tenant: &TenantName, time: i64) -> u64 {
    let blocks = store.blocks(tenant);
    let first = blocks.iter().find(|block| block.max_time >= time);
    first.map_or(store.log_range(tenant).end, |block| block.first_sequence)
}

/// Forgets a candidate that is not evaluated any more: its state, its offset and its alerts. Its
/// place in the history stays.
///
/// # Errors
/// When the store can't be read or written.
pub fn forget(store: &dyn Store, tenant: &TenantName, policy: &str) -> Result<(), DetectError> {
    const AT_ONCE: usize = 4096;
    let group = Group::shadow_name(policy);
    alerts::forget_shadow(store, tenant, policy)?;
    let range = ScanRange::prefix(Group::state_prefix_of(&group));
    loop {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        store.scan(tenant, Table::State, &range, false, &mut |key, _| {
            keys.push(key.to_vec());
            keys.len() < AT_ONCE
        })?;
        if keys.is_empty() {
            break;
        }
        let delete = |commit: Commit, key| commit.delete(Table::State, key);
        store.commit(tenant, keys.into_iter().fold(Commit::new(), delete))?;
    }
    store.commit(tenant, evaluate::forget(store, tenant, Commit::new(), &group)?)?;
    Ok(())
}

/// What a policy in force and its candidate made of the activities that both have seen.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Name of the policy.
    pub policy: String,
    /// Revision in force; `None` when no policy of that name is.
    pub old: Option<String>,
    /// Revision of the candidate.
    pub new: String,
    /// First activity that both have seen as they are now.
    pub from: u64,
    /// Activity before which both have seen everything.
    pub to: u64,
    /// Alerts that only the policy in force has, by time.
    pub only_old: Vec<Alert>,
    /// Alerts that only the candidate has, by time.
    pub only_new: Vec<Alert>,
    /// Alerts of both about the same, by time.
    pub both: Vec<Pair>,
    /// Alerts that are left out because they rest on activities that only one has seen.
    pub left_out: u64,
}

/// An alert of the policy in force and one of its candidate that are about the same.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// That of the policy in force.
    pub old: Alert,
    /// That of the candidate.
    pub new: Alert,
    /// What is not the same in them: `severity`, `count`, `window`.
    pub differs: Vec<&'static str>,
}

impl Pair {
    fn new(old: Alert, new: Alert) -> Self {
        let mut differs = Vec::new();
        if old.severity != new.severity {
            differs.push("severity");
        }
        if old.count != new.count {
            differs.push("count");
        }
        if old.start != new.start {
            differs.push("window");
        }
        Self { old, new, differs }
    }
}

/// Compares a candidate with the policy in force of the same name: alerts are the same when they are
/// about the same group and of the same window, or of windows in which activities overlap.
///
/// # Errors
/// `NotFound` when there is no such candidate; when something can't be read.
pub fn compare(
    store: &dyn Store,
    tenant: &TenantName,
    policy: &str,
) -> Result<Comparison, DetectError> {
    let candidate = candidates(store, tenant)?
        .into_iter()
        .find(|candidate| candidate.policy == policy)
        .ok_or_else(|| not_found(policy))?;
    let (mut from, mut to) = (candidate.from, candidate.offset);
    let mut old = None;
    for group in evaluate::group_names(store, tenant)?.iter().filter(|group| !is_shadow(group)) {
        let generations = generations(store, tenant, group)?;
        if generations.last().is_none_or(|last| last.of_policy(policy).is_none()) {
            continue;
        }
        if let Some(begun) = begun(&generations, policy) {
            old = Some(begun.revision.to_owned());
            from = from.max(begun.from);
            to = to.min(evaluate::stored_offset(store, tenant, group)?.unwrap_or(from));
        }
    }
    let seen = from..to.max(from);
    let mut left_out = 0;
    let mut common = |alerts: Vec<Alert>| -> Vec<Alert> {
        let (seen, other): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| {
            alert.evidence.iter().all(|evidence| seen.contains(&evidence.sequence))
        });
        // What ended before the candidate began is not its business.
        let touches = |alert: &&Alert| alert.evidence.iter().any(|e| e.sequence >= from);
        left_out += other.iter().filter(touches).count() as u64;
        seen
    };
    let old_alerts = if old.is_some() { in_force(store, tenant, policy)? } else { Vec::new() };
    let old_alerts = common(old_alerts);
    let new_alerts = common(alerts::of_shadow(store, tenant, policy)?);
    let (both, only_old, only_new) = pair(old_alerts, new_alerts);
    Ok(Comparison {
        policy: policy.to_owned(),
        old,
        new: candidate.revision,
        from,
        to: to.max(from),
        only_old,
        only_new,
        both,
        left_out,
    })
}

/// The alerts of a policy in force, those that are held back included.
fn in_force(
    store: &dyn Store,
    tenant: &TenantName,
    policy: &str,
) -> Result<Vec<Alert>, DetectError> {
    let mut all = Vec::new();
    for held_back in [false, true] {
        let query =
            AlertQuery { policy: Some(policy.to_owned()), held_back, ..AlertQuery::default() };
        let page = alerts::list(store, tenant, &query)?;
        all.extend(page.alerts.into_iter().map(|listed| listed.alert));
    }
    Ok(all)
}

/// Pairs of alerts about the same, and those that are in no pair.
fn pair(old: Vec<Alert>, new: Vec<Alert>) -> (Vec<Pair>, Vec<Alert>, Vec<Alert>) {
    let mut by_group: HashMap<Vec<(String, String)>, Vec<Alert>> = HashMap::new();
    for alert in new {
        by_group.entry(alert.group.clone()).or_default().push(alert);
    }
    let mut both = Vec::new();
    let mut take = |old: Vec<Alert>, same: &dyn Fn(&Alert, &Alert) -> bool| -> Vec<Alert> {
        let mut alone = Vec::new();
        for alert in old {
            let others = by_group.get_mut(&alert.group);
            let place = others.as_ref().and_then(|all| all.iter().position(|b| same(&alert, b)));
            match (others, place) {
                (Some(others), Some(place)) => {
                    both.push(Pair::new(alert, others.swap_remove(place)));
                }
                _ => alone.push(alert),
            }
        }
        alone
    };
    // First those of the very same window, so that none is taken away from its like.
    let rest = take(old, &|a, b| a.start == b.start);
    let mut only_old = take(rest, &|a, b| a.first <= b.last && b.first <= a.last);
    let mut only_new: Vec<Alert> = by_group.into_values().flatten().collect();
    let time = |alert: &Alert| (alert.first, alert.id.clone());
    only_old.sort_by_key(time);
    only_new.sort_by_key(time);
    both.sort_by_key(|pair| time(&pair.old));
    (both, only_old, only_new)
}

impl Comparison {
    /// The highest severity among the alerts that only one of them has.
    pub fn worst(&self) -> Option<Severity> {
        self.only_old.iter().chain(&self.only_new).map(|alert| alert.severity).max()
    }
}

fn not_found(policy: &str) -> DetectError {
    DetectError::new(
        DetectErrorKind::NotFound,
        format!(
            "no candidate `{}` has run in shadow\nhint: `casbah policy shadow list` shows those that have, `casbah policy shadow add FILE` begins one",
            shown(policy)
        ),
    )
}
