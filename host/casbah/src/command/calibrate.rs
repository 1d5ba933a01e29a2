//! `casbah policy calibrate`.

use std::sync::Arc;

use anyhow::{Result, bail};
use casbah_connect::Stop;
use casbah_detect::calibrate::{self, Calibration};
use casbah_detect::{Detectors, PolicyFile, PolicySet};
use casbah_model::time;
use serde_json::json;

use crate::command::Opened;
use crate::output::Output;
use crate::plugins::Plugins;
use crate::progress;

/// Prints, for every policy and budget, the line and what it would have given.
pub(crate) fn run(
    names: &[String],
    budgets: &[f64],
    set: &PolicySet,
    opened: &Opened,
    plugins: &Plugins,
    stop: &Stop,
    output: &mut Output,
) -> Result<()> {
    if let Some(wrong) = budgets.iter().find(|budget| !(budget.is_finite() && **budget >= 0.0)) {
        bail!("`{wrong}` is no budget\nhint: give a number of alerts, e.g. `--budget 5`");
    }
    let policies = chosen(names, set, plugins)?;
    let bar = progress::of_activities("evaluating the stored log");
    let found = calibrate::calibrate(
        opened.store.as_ref(),
        &opened.tenant,
        &policies,
        plugins,
        &mut |done, total| {
            bar.step(done, total);
            !stop.is_wanted()
        },
    )?;
    bar.finish();
    if stop.is_wanted() {
        bail!("stopped before the whole log was looked at");
    }
    let mut rows = Vec::new();
    for calibration in &found {
        rows.push(row(calibration, "now", None));
        rows.extend(budgets.iter().map(|&budget| row(calibration, "", Some(budget))));
    }
    output.list(
        &["POLICY", "BUDGET", "LINE", "ALERTS", "PER 1,000 USERS A WEEK"],
        &rows,
        |row| {
            let cell = |name: &str| match row.get(name) {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(serde_json::Value::Null) | None => String::new(),
                Some(value) => value.to_string(),
            };
            ["policy", "budget", "line", "alerts", "rate"].map(cell).to_vec()
        },
    )?;
    if let Some(one) = found.first() {
        let span = format!("{} to {}", time::format(one.from), time::format(one.to));
        let days = (one.to - one.from) / 86_400_000;
        output.say(&format!("{} users, {span}", one.users));
        if found.iter().any(|calibration| calibration.scores.is_empty()) {
            output.say("policies without a line found nothing in this log to draw one from");
        }
        if days < 14 {
            output.say(&format!(
                "the log covers {days} days only, the first of which go into learning: take the lines with care"
            ));
        }
    }
    Ok(())
}

fn row(calibration: &Calibration, label: &str, budget: Option<f64>) -> serde_json::Value {
    let rounded = |value: f64| (value * 100.0).round() / 100.0;
    let (budget, line, alerts, rate) = match budget {
        None => (label.into(), json!(calibration.line), calibration.alerts, calibration.rate_now()),
        Some(budget) => {
            let line = calibration.line_for(budget);
            // Without any score in the log no line can be told from any other.
            let place = (!calibration.scores.is_empty()).then(|| rounded(line.line));
            (json!(budget), json!(place), line.alerts, line.rate)
        }
    };
    json!({
        "policy": calibration.policy,
        "budget": budget,
        "line": line,
        "alerts": alerts,
        "rate": rounded(rate),
        "users": calibration.users,
        "from": time::format(calibration.from),
        "to": time::format(calibration.to),
    })
}

fn chosen(
    names: &[String],
    set: &PolicySet,
    detectors: &dyn Detectors,
) -> Result<Vec<Arc<PolicyFile>>> {
    let mut policies = Vec::new();
    for name in names {
        let Some(policy) = set.get(name) else {
            bail!("there is no policy `{name}`\nhint: `casbah policy list` shows those there are");
        };
        if !calibrate::has_line(policy, detectors) {
            bail!(
                "policy `{name}` has no line: detector `{}` gives no scores\nhint: without a name, all policies that have one are calibrated",
                policy.detector
            );
        }
        policies.push(Arc::clone(policy));
    }
    if names.is_empty() {
        let lined =
            |policy: &&Arc<PolicyFile>| policy.enabled && calibrate::has_line(policy, detectors);
        policies.extend(set.policies().iter().filter(lined).cloned());
    }
    if policies.is_empty() {
        bail!("none of the policies in force has a line");
    }
    Ok(policies)
}
