//! `casbah policy backtest` and `casbah policy diff`: what policies would have raised on the stored
//! log.

mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use casbah_connect::Stop;
use casbah_detect::alerts::ListedAlert;
use casbah_detect::backtest::{self, Backtest, Difference, backtest};
use casbah_detect::{Group, PolicySet};
use casbah_model::{Alert, time};
use serde_json::json;

use crate::cli::{BacktestArgs, By, DiffArgs, Span};
use crate::command::{Found, Opened, alert, policy, when};
use crate::output::{Output, counted};
use crate::plugins::Plugins;
use crate::progress;

/// Prints the alerts that policies would have raised.
pub(crate) fn run(
    args: &BacktestArgs,
    opened: &Opened,
    plugins: &Plugins,
    stop: &Stop,
    output: &mut Output,
) -> Result<()> {
    let set = policies(&args.paths, opened, plugins)?;
    let within = Within::of(&args.span)?;
    let groups = groups(&set, plugins)?;
    let mut found = evaluate(vec![groups], opened, stop)?.pop().unwrap_or_default();
    complain(&found, output);
    let alerts = within.take(std::mem::take(&mut found.alerts));
    let behaviors = within.take(std::mem::take(&mut found.behaviors)).len();
    if let Some(file) = &args.html {
        let page = report::page(&set, &alerts, opened)?;
        std::fs::write(file, page)
            .with_context(|| format!("the report `{}` can't be written", file.display()))?;
        output.say(&format!("report: {}", file.display()));
    }
    match args.by {
        None => alert::table(&listed(&alerts), output)?,
        Some(by) => counts(&alerts, by, output)?,
    }
    let behaviors = match behaviors as u64 {
        0 => String::new(),
        number => format!(", {} below the line", counted(number, "behavior", "behaviors")),
    };
    let enabled = set.policies().iter().filter(|policy| policy.enabled).count();
    output.say(&format!(
        "{} of {} in {}{behaviors}; nothing was stored or sent",
        counted(alerts.len() as u64, "alert", "alerts"),
        counted(enabled as u64, "policy", "policies"),
        span(opened),
    ));
    Ok(())
}

/// Prints in what two versions of policies differ. Found are differences.
pub(crate) fn diff(
    args: &DiffArgs,
    opened: &Opened,
    plugins: &Plugins,
    stop: &Stop,
    output: &mut Output,
) -> Result<Found> {
    let old = policies(std::slice::from_ref(&args.old), opened, plugins)?;
    let new = policies(std::slice::from_ref(&args.new), opened, plugins)?;
    let within = Within::of(&args.span)?;
    let sets = vec![groups(&old, plugins)?, groups(&new, plugins)?];
    let mut found = evaluate(sets, opened, stop)?.into_iter();
    let mut next = |output: &mut Output| {
        let found = found.next().unwrap_or_default();
        complain(&found, output);
        within.take(found.alerts)
    };
    let (before, after) = (next(output), next(output));
    let difference = backtest::difference(&opened.tenant, before, after, &renamed(&old, &new));
    let rows = rows(&difference);
    output.list(
        &["", "ID", "SEVERITY", "WHEN", "WHO", "POLICY", "WHAT CHANGED"],
        &rows,
        |row| {
            let cell =
                |name: &str| row.get(name).and_then(|cell| cell.as_str()).unwrap_or_default();
            let short = cell("id").get(..8).unwrap_or(cell("id"));
            vec![
                cell("only").to_owned(),
                short.to_owned(),
                cell("severity").to_owned(),
                cell("first").to_owned(),
                cell("who").to_owned(),
                cell("policy").to_owned(),
                cell("changed").to_owned(),
            ]
        },
    )?;
    output.say(&format!(
        "{} only in the old, {} only in the new, {} changed, {} alike",
        difference.only_old.len(),
        difference.only_new.len(),
        difference.changed.len(),
        difference.same
    ));
    Ok(Found(!rows.is_empty()))
}

/// A single policy against another is one policy that was renamed.
fn renamed(old: &PolicySet, new: &PolicySet) -> BTreeMap<String, String> {
    match (old.policies(), new.policies()) {
        ([old], [new]) => BTreeMap::from([(old.name.clone(), new.name.clone())]),
        _ => BTreeMap::new(),
    }
}

fn rows(difference: &Difference) -> Vec<serde_json::Value> {
    let row = |only: &str, alert: &Alert, changed: String| {
        json!({
            "only": only,
            "id": alert.id,
            "severity": alert.severity,
            "first": time::format(alert.first / 1000 * 1000),
            "who": alert::who(alert),
            "policy": alert.policy,
            "title": alert.title,
            "summary": alert.summary,
            "count": alert.count,
            "changed": changed,
        })
    };
    let old = difference.only_old.iter().map(|alert| row("old", alert, String::new()));
    let new = difference.only_new.iter().map(|alert| row("new", alert, String::new()));
    let changed = difference.changed.iter().map(|(old, new)| row("", new, changes(old, new)));
    old.chain(new).chain(changed).collect()
}

fn changes(old: &Alert, new: &Alert) -> String {
    let mut changes = Vec::new();
    if old.severity != new.severity {
        changes.push(format!("severity {} to {}", old.severity, new.severity));
    }
    if old.count != new.count {
        changes.push(format!("{} to {} activities", old.count, new.count));
    }
    if old.summary != new.summary {
        changes.push("what is said of it".to_owned());
    }
    if changes.is_empty() {
        changes.push("which activities it rests on".to_owned());
    }
    changes.join(", ")
}

/// The policies that were named, otherwise those in force.
fn policies(paths: &[PathBuf], opened: &Opened, plugins: &Plugins) -> Result<PolicySet> {
    if paths.is_empty() {
        policy::load(&opened.place(), plugins)
    } else {
        policy::read_paths(paths, plugins)
    }
}

fn groups(set: &PolicySet, plugins: &Plugins) -> Result<Vec<Group>> {
    let groups = set.groups(plugins)?;
    if groups.is_empty() {
        bail!("none of these policies is enabled\nhint: take out `enabled: false`");
    }
    Ok(groups)
}

fn evaluate(sets: Vec<Vec<Group>>, opened: &Opened, stop: &Stop) -> Result<Vec<Backtest>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let bar = progress::of_activities("evaluating the stored log");
    let stopped = AtomicBool::new(false);
    let found = backtest(opened.store.as_ref(), &opened.tenant, sets, threads, &|done, total| {
        bar.step(done, total);
        stopped.fetch_or(stop.is_wanted(), Ordering::Relaxed);
        !stopped.load(Ordering::Relaxed)
    });
    bar.finish();
    if stopped.into_inner() {
        bail!("stopped before the whole log was looked at");
    }
    Ok(found?)
}

/// What could not be evaluated is said, and does not hide what could.
fn complain(found: &Backtest, output: &mut Output) {
    if let Some(error) = &found.failed {
        output.say(&format!(
            "{} could not be evaluated: {error}",
            counted(found.put_aside, "activity", "activities")
        ));
    }
}

/// The time that alerts are wanted of. All that was before it is evaluated even so: windows and
/// baselines are to be as full as they were.
struct Within {
    from: Option<i64>,
    to: Option<i64>,
}

impl Within {
    fn of(span: &Span) -> Result<Self> {
        let parse = |text: &Option<String>| text.as_deref().map(when::parse).transpose();
        Ok(Self { from: parse(&span.since)?, to: parse(&span.until)? })
    }

    fn take(&self, mut alerts: Vec<Alert>) -> Vec<Alert> {
        alerts.retain(|alert| {
            self.from.is_none_or(|from| alert.last >= from)
                && self.to.is_none_or(|to| alert.first < to)
        });
        alerts
    }
}

fn listed(alerts: &[Alert]) -> Vec<ListedAlert> {
    let listed = |alert: &Alert| ListedAlert { alert: alert.clone(), continues: None };
    alerts.iter().map(listed).collect()
}

/// The day of an alert's first activity, in UTC.
fn day(alert: &Alert) -> String {
    time::format(alert.first).get(..10).unwrap_or_default().to_owned()
}

fn counts(alerts: &[Alert], by: By, output: &mut Output) -> Result<()> {
    let key = |alert: &Alert| match by {
        By::Day => day(alert),
        By::User => alert::who(alert),
        By::Policy => alert.policy.clone(),
    };
    let mut counts: BTreeMap<String, (u64, BTreeSet<&str>)> = BTreeMap::new();
    for alert in alerts {
        let (count, policies) = counts.entry(key(alert)).or_default();
        *count += 1;
        policies.insert(&alert.policy);
    }
    let (name, heading) = match by {
        By::Day => ("day", "DAY"),
        By::User => ("user", "WHO"),
        By::Policy => ("policy", "POLICY"),
    };
    let mut rows: Vec<_> = counts.into_iter().collect();
    if by != By::Day {
        rows.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
    }
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(value, (count, policies))| json!({name: value, "alerts": count, "policies": policies}))
        .collect();
    let headings: &[&str] =
        if by == By::Policy { &[heading, "ALERTS"] } else { &[heading, "ALERTS", "POLICIES"] };
    output.list(headings, &rows, |row| {
        let text = |value: Option<&serde_json::Value>| match value {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        let policies = row.get("policies").and_then(|policies| policies.as_array());
        let policies: Vec<_> =
            policies.into_iter().flatten().filter_map(|policy| policy.as_str()).collect();
        let mut cells = vec![text(row.get(name)), text(row.get("alerts")), policies.join(", ")];
        cells.truncate(headings.len());
        cells
    })?;
    Ok(())
}

/// How many activities there are, and of what time.
fn span(opened: &Opened) -> String {
    let blocks = opened.store.blocks(&opened.tenant);
    let rows: u64 = blocks.iter().map(|block| u64::from(block.rows)).sum();
    let first = blocks.iter().map(|block| block.min_time).min();
    let last = blocks.iter().map(|block| block.max_time).max();
    let date = |time: i64| time::format(time).get(..10).unwrap_or_default().to_owned();
    match (first, last) {
        (Some(first), Some(last)) => format!(
            "{} of {} to {}",
            counted(rows, "activity", "activities"),
            date(first),
            date(last)
        ),
        _ => "an empty log".to_owned(),
    }
}
