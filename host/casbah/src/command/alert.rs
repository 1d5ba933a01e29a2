//! `casbah alert`.

use anyhow::Result;
use casbah_detect::alerts::{self, AlertQuery, HeldBack, ListedAlert};
use casbah_model::{Alert, AlertState, time};

use crate::cli::{AlertCommand, AlertStateArg, Format};
use crate::command::Opened;
use crate::command::when;
use crate::output::Output;

/// Columns of a terminal from which on a list has room for evidence and policy.
const WIDE: u16 = 110;

pub(crate) fn run(command: &AlertCommand, opened: &Opened, output: &mut Output) -> Result<()> {
    match command {
        AlertCommand::List { policy, severity, state, since, held_back, limit } => {
            let query = AlertQuery {
                policy: policy.clone(),
                severity: *severity,
                state: match state.unwrap_or(AlertStateArg::Open) {
                    AlertStateArg::Open => Some(AlertState::Open),
                    AlertStateArg::Closed => Some(AlertState::Closed),
                    AlertStateArg::All => None,
                },
                from: since.as_deref().map(when::parse).transpose()?,
                held_back: *held_back,
                limit: *limit,
                ..AlertQuery::default()
            };
            let page = alerts::list(opened.store.as_ref(), &opened.tenant, &query)?;
            table(&page.alerts, output)?;
            if page.alerts.is_empty() {
                output.say("no alerts");
            } else if page.next.is_some() {
                output.say(&format!("there are more than {limit}; --limit shows more"));
            }
            if !held_back {
                tell_held_back(&query, opened, output)?;
            }
        }
        AlertCommand::Show { id } => show(id, opened, output)?,
        AlertCommand::Explain { .. } => anyhow::bail!("this needs the plugins"),
        AlertCommand::Close { id } => set(id, AlertState::Closed, opened, output)?,
        AlertCommand::Reopen { id } => set(id, AlertState::Open, opened, output)?,
    }
    Ok(())
}

/// Says how many alerts are not in the list because there were too many.
fn tell_held_back(query: &AlertQuery, opened: &Opened, output: &mut Output) -> Result<()> {
    let all = alerts::held_back(opened.store.as_ref(), &opened.tenant, query)?;
    if let Some(told) = held_back(&all) {
        output.say(&told);
    }
    Ok(())
}

/// A line for every day and policy; a flood of many days is told by its last ones.
fn held_back(all: &[HeldBack]) -> Option<String> {
    const DAYS: usize = 5;
    let were = |number: u64| if number == 1 { "was" } else { "were" };
    let mut lines: Vec<String> = all
        .iter()
        .take(DAYS)
        .map(|day| {
            let date = time::format(day.day);
            let date = date.split('T').next().unwrap_or(&date);
            let (number, were) = (day.held_back, were(day.held_back));
            format!("{number} more of {} on {date} {were} held back", day.policy)
        })
        .collect();
    let others: u64 = all.iter().skip(DAYS).map(|day| day.held_back).sum();
    if others > 0 {
        lines.push(format!("{others} more {} held back before that", were(others)));
    }
    lines.push(
        "hint: --held-back lists them; `daily-limit` of a policy says how many are shown"
            .to_owned(),
    );
    (!all.is_empty()).then(|| lines.join("\n"))
}

fn set(id: &str, state: AlertState, opened: &Opened, output: &mut Output) -> Result<()> {
    let id = alerts::set_state(opened.store.as_ref(), &opened.tenant, id, state)?;
    let state = if state == AlertState::Open { "open again" } else { "closed" };
    output.say(&format!("alert `{id}` is {state}"));
    Ok(())
}

/// Prints alerts: who, what, when, evidence and policy.
///
/// # Errors
/// When the output can't be written.
pub(crate) fn table(alerts: &[ListedAlert], output: &mut Output) -> Result<()> {
    let headings = ["ID", "SEVERITY", "WHEN", "WHO", "WHAT", "EVIDENCE", "POLICY"];
    // On a narrow terminal the last two would be a word wide and a page high; `show` has them.
    let columns = if output.width.is_some_and(|width| width < WIDE) { 5 } else { headings.len() };
    output.list(headings.get(..columns).unwrap_or(&headings), alerts, |listed| {
        let alert = &listed.alert;
        let short = alert.id.get(..8).unwrap_or(&alert.id);
        let mut row = vec![
            short.to_owned(),
            alert.severity.to_string(),
            time::format(alert.first / 1000 * 1000),
            who(alert),
            alert.title.clone(),
            evidence(alert),
            alert.policy.clone(),
        ];
        row.truncate(columns);
        row
    })
}

/// Whom an alert is about.
pub(crate) fn who(alert: &Alert) -> String {
    let values: Vec<_> = alert.group.iter().map(|(_, value)| value.as_str()).collect();
    let values = values.join(", ");
    // What is new for a whole organization is about a country or a network, and about everybody there.
    let named = alert.group.iter().any(|(column, _)| matches!(column.as_str(), "person" | "actor"));
    match alert.details.iter().find(|(name, _)| name == "people") {
        Some((_, people)) if !named => {
            let people: Vec<&str> = people.split(", ").collect();
            match people.as_slice() {
                [first, others @ ..] if others.len() > 1 => {
                    format!("{first} and {} more ({values})", others.len())
                }
                few => format!("{} ({values})", few.join(", ")),
            }
        }
        _ => values,
    }
}

/// What it rests on: the detector's sentence, the first of the things touched, where from.
fn evidence(alert: &Alert) -> String {
    let mut text = match (alert.summary.as_str(), alert.count) {
        ("", 1) => "1 activity".to_owned(),
        ("", count) => format!("{count} activities"),
        // What is usual and what was learned is for `show`.
        (summary, _) => summary.split("; ").next().unwrap_or(summary).to_owned(),
    };
    let detail = |name: &str| alert.details.iter().find(|(key, _)| key == name);
    if let Some((_, ips)) = detail("ips") {
        let first = ips.split(", ").next().unwrap_or_default();
        text = format!("{text}, from {first}");
    }
    text
}

pub(crate) fn show(id: &str, opened: &Opened, output: &mut Output) -> Result<()> {
    let shown = alerts::show(opened.store.as_ref(), &opened.tenant, id)?;
    if output.format == Format::Json {
        return output.json(&shown);
    }
    let alert = &shown.listed.alert;
    output.line(&format!("{}  {}", alert.severity, alert.title))?;
    if !alert.summary.is_empty() {
        output.line(&alert.summary)?;
    }
    if !alert.description.is_empty() {
        output.line(&alert.description)?;
    }
    output.line("")?;
    let mut fact = |name: &str, value: &str| -> Result<()> {
        output.line(&format!("{name:<12} {}", crate::output::printable(value)))
    };
    fact("id", &alert.id)?;
    let shadow = if alert.shadow { ", in shadow" } else { "" };
    fact("policy", &format!("{} (revision {}{shadow})", alert.policy, alert.revision))?;
    for (column, value) in &alert.group {
        fact(column, value)?;
    }
    fact("first", &time::format(alert.first))?;
    fact("last", &time::format(alert.last))?;
    fact("activities", &alert.count.to_string())?;
    if let Some(before) = &shown.listed.continues {
        fact("continues", before)?;
    }
    if !alert.respond.is_empty() {
        fact("responses", &alert.respond.join(", "))?;
    }
    if alert.held_back {
        fact("held back", "its policy had shown its share of that day")?;
    }
    for (name, value) in &alert.details {
        fact(name, value)?;
    }
    output.line("")?;
    super::activity::table(&shown.activities, output)?;
    let missing = alert.evidence.len() - shown.activities.len();
    if missing > 0 {
        output.say(&format!("{missing} of the activities are no longer kept"));
    }
    if alert.count > alert.evidence.len() as u64 {
        output.say(&format!(
            "the first {} of {} activities are shown",
            alert.evidence.len(),
            alert.count
        ));
    }
    output.say(&format!(
        "hint: `casbah policy show {} --revision {}` shows the policy as it was then",
        alert.policy, alert.revision
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_is_told_by_day() {
        assert_eq!(held_back(&[]), None);
        let day = |number: i64, held_back: u64| HeldBack {
            policy: "mass-x".to_owned(),
            day: 1_795_132_800_000 - number * 86_400_000,
            shown: 1000,
            held_back,
        };
        insta::assert_snapshot!(held_back(&[day(0, 12), day(1, 1)]).unwrap(), @"
        12 more of mass-x on 2026-11-20 were held back
        1 more of mass-x on 2026-11-19 was held back
        hint: --held-back lists them; `daily-limit` of a policy says how many are shown
        ");
        let many: Vec<HeldBack> = (0..9).map(|number| day(number, 2)).collect();
        let told = held_back(&many).unwrap();
        assert!(told.contains("2026-11-16") && !told.contains("2026-11-15"), "{told}");
        assert!(told.contains("8 more were held back before that"), "{told}");
    }
}
