//! `casbah alert explain`.

use anyhow::{Result, bail};
use casbah_detect::explain::{Condition, Explanation, explain};
use casbah_detect::{PolicyFile, PolicySet, PolicySource, alerts, history};
use casbah_model::{Alert, time};
use serde_json::json;

use crate::cli::Format;
use crate::command::{Opened, alert, policy};
use crate::output::{Output, counted, printable};
use crate::plugins::Plugins;

/// Says why an alert came up.
pub(crate) fn run(id: &str, opened: &Opened, plugins: &Plugins, output: &mut Output) -> Result<()> {
    let shown = alerts::show(opened.store.as_ref(), &opened.tenant, id)?;
    let alert = &shown.listed.alert;
    let policy = revision(alert, opened, plugins)?;
    let explanation = explain(opened.store.as_ref(), &opened.tenant, &policy, alert, plugins)?;
    if output.format == Format::Json {
        let mut value = serde_json::to_value(&explanation)?;
        if let Some(map) = value.as_object_mut() {
            map.insert("alert".to_owned(), json!(shown));
        }
        return output.json(&value);
    }
    print(alert, &explanation, output)
}

fn print(alert: &Alert, explanation: &Explanation, output: &mut Output) -> Result<()> {
    let mut line = |text: &str| output.line(&printable(text));
    line(&format!("{}  {}: {}", alert.severity, alert.title, alert::who(alert)))?;
    if !alert.summary.is_empty() {
        line(&alert.summary)?;
    }
    line(&format!(
        "{} from {} to {}",
        counted(alert.count, "activity", "activities"),
        time::format(alert.first),
        time::format(alert.last)
    ))?;
    line("")?;
    line(&format!("conditions of `{}`, revision {}", alert.policy, alert.revision))?;
    for condition in &explanation.conditions {
        line(&shown(condition, alert.evidence.len()))?;
    }
    if explanation.conditions.is_empty() {
        line("  none: it looks at every activity")?;
    }
    line("")?;
    line("what would have had to be different")?;
    for sentence in &explanation.different {
        line(&format!("  - {sentence}"))?;
    }
    if explanation.different.is_empty() {
        line("  - any one of the conditions")?;
    }
    if !explanation.reproduced {
        output.say(
            "the activities that are still in the log do not give this alert by themselves: some are no longer kept, \
             or it rests on what was learned before",
        );
    }
    output.say(&format!(
        "the activities: casbah alert show {}",
        alert.id.get(..8).unwrap_or(&alert.id)
    ));
    Ok(())
}

fn shown(condition: &Condition, evidence: usize) -> String {
    let indent = "  ".repeat(condition.depth + 1);
    let Some(held) = condition.held else {
        return format!("{indent}{}", condition.text);
    };
    let values: Vec<String> =
        condition.values.iter().map(|(value, count)| format!("{value} ({count})")).collect();
    format!("{indent}{}  held for {held} of {evidence}: {}", condition.text, values.join(", "))
}

/// The policy as it was when it made the alert.
fn revision(alert: &Alert, opened: &Opened, plugins: &Plugins) -> Result<PolicyFile> {
    let set = policy::load(&opened.place(), plugins)?;
    if let Some(policy) = set.get(&alert.policy)
        && policy.revision == alert.revision
    {
        return Ok(policy.as_ref().clone());
    }
    let (_, text) =
        history::text(opened.store.as_ref(), &opened.tenant, &alert.policy, &alert.revision)?;
    let source = PolicySource { file: format!("{}.yaml", alert.policy), bytes: text.into_bytes() };
    let set = PolicySet::read(&[source], plugins)?;
    match set.get(&alert.policy) {
        Some(policy) => Ok(policy.as_ref().clone()),
        None => bail!("the kept text of policy `{}` has another name", alert.policy),
    }
}
