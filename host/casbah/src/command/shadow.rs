//! `casbah policy shadow`: candidates that run beside the policies in force and are compared with
//! them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use casbah_detect::PolicyFile;
use casbah_detect::history::{self, Origin};
use casbah_detect::shadow::{self, Candidate, Comparison};
use casbah_model::{Alert, time};

use crate::cli::ShadowCommand;
use crate::command::connect::Environment;
use crate::command::lifecycle::{self, file_for, folder_of, look, wanted, who};
use crate::command::watch::GONE;
use crate::command::{Misunderstood, Opened, when};
use crate::output::{Output, counted};
use crate::plugins::Plugins;

const DAY: i64 = 86_400_000;

pub(crate) fn run(
    command: &ShadowCommand,
    opened: &Opened,
    plugins: &Plugins,
    environment: &Environment,
    output: &mut Output,
) -> Result<()> {
    let by = |why: &str| Origin { who: who(environment), why: why.to_owned() };
    match command {
        ShadowCommand::Add { file, days, why } => {
            add(file, *days, &by(why.as_deref().unwrap_or_default()), opened, plugins, output)
        }
        ShadowCommand::List => list(opened, output),
        ShadowCommand::Compare { name } => compare(name, opened, output),
        ShadowCommand::Promote { name, why } => promote(name, &by(why), opened, plugins, output),
        ShadowCommand::Drop { name, why } => {
            drop_candidate(name, &by(why.as_deref().unwrap_or_default()), opened, plugins, output)
        }
    }
}

fn add(
    file: &Path,
    days: Option<u32>,
    by: &Origin,
    opened: &Opened,
    plugins: &Plugins,
    output: &mut Output,
) -> Result<()> {
    let folder = folder_of(opened)?;
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the policy `{}` can't be read", file.display()))?;
    let candidate = lifecycle::checked(&folder, &text, plugins)
        .with_context(|| format!("`{}` can't run in shadow", file.display()))?;
    if !candidate.enabled {
        bail!(
            "`{}` is switched off\nhint: take `enabled: false` out of it: a candidate is tried by running it",
            file.display()
        );
    }
    let name = candidate.name.as_str();
    let wanted = wanted(opened, plugins)?;
    let place = match wanted.shadow.get(name) {
        Some(known) => known.file.clone().into(),
        None => folder.join("shadow").join(format!("{name}.yaml")),
    };
    if days.is_some() {
        // To begin elsewhere it has to begin anew.
        if place.exists() {
            std::fs::remove_file(&place)
                .with_context(|| format!("`{}` can't be taken away", place.display()))?;
            look(opened);
        }
        shadow::forget(opened.store.as_ref(), &opened.tenant, name)?;
    }
    let from = match days {
        Some(days) => {
            let since = when::now() - i64::from(days) * DAY;
            let from = shadow::sequence_at(opened.store.as_ref(), &opened.tenant, since);
            shadow::begin(opened.store.as_ref(), &opened.tenant, name, from)?;
            format!("what was done since {}", time::format(since / 1000 * 1000))
        }
        None => "what is done from now on".to_owned(),
    };
    let done = lifecycle::put_in_force(&candidate, &place, &text, by, opened)?;
    let beside = match wanted.policies.get(name) {
        Some(policy) if policy.enabled => "",
        _ => "; no policy of that name is in force, so everything it finds is new",
    };
    done.tell(&format!("candidate `{name}` runs in shadow on {from}{beside}"), output);
    output.say(&format!("hint: `casbah policy shadow compare {name}` shows in what it differs"));
    Ok(())
}

fn list(opened: &Opened, output: &mut Output) -> Result<()> {
    let candidates = shadow::candidates(opened.store.as_ref(), &opened.tenant)?;
    output.list(
        &["CANDIDATE", "STATE", "REVISION", "SINCE", "SEEN", "BEHIND", "ALERTS"],
        &candidates,
        |candidate: &Candidate| {
            vec![
                candidate.policy.clone(),
                if candidate.running { "in shadow" } else { "ended" }.to_owned(),
                candidate.revision.clone(),
                time::format(candidate.since / 1000 * 1000),
                candidate.offset.saturating_sub(candidate.from).to_string(),
                candidate.lag_rows.to_string(),
                candidate.alerts.to_string(),
            ]
        },
    )?;
    if candidates.is_empty() {
        output.say("nothing runs in shadow\nhint: `casbah policy shadow add FILE` begins one");
    }
    Ok(())
}

fn compare(name: &str, opened: &Opened, output: &mut Output) -> Result<()> {
    let compared = shadow::compare(opened.store.as_ref(), &opened.tenant, name)?;
    if lifecycle::is_json(output) {
        return output.json(&compared);
    }
    let rows = rows(&compared);
    output.list(&["FOUND BY", "WHEN", "WHO", "SEVERITY", "ACTIVITIES", "WHAT"], &rows, |row| {
        row.to_vec()
    })?;
    output.say(&told(&compared));
    Ok(())
}

fn rows(compared: &Comparison) -> Vec<[String; 6]> {
    let about = |alert: &Alert| {
        let values: Vec<_> = alert.group.iter().map(|(_, value)| value.as_str()).collect();
        values.join(", ")
    };
    let row = |by: &str, alert: &Alert, severity: String, count: String| {
        [
            by.to_owned(),
            time::format(alert.first / 1000 * 1000),
            about(alert),
            severity,
            count,
            alert.title.clone(),
        ]
    };
    let one = |by: &'static str| {
        move |alert: &Alert| row(by, alert, alert.severity.to_string(), alert.count.to_string())
    };
    // What is the same in both is only counted.
    let differing = compared.both.iter().filter(|pair| !pair.differs.is_empty()).map(|pair| {
        let arrow =
            |old: String, new: String| if old == new { old } else { format!("{old} → {new}") };
        row(
            "both",
            &pair.old,
            arrow(pair.old.severity.to_string(), pair.new.severity.to_string()),
            arrow(pair.old.count.to_string(), pair.new.count.to_string()),
        )
    });
    compared
        .only_old
        .iter()
        .map(one("only old"))
        .chain(compared.only_new.iter().map(one("only new")))
        .chain(differing)
        .collect()
}

fn told(compared: &Comparison) -> String {
    let same = compared.both.iter().filter(|pair| pair.differs.is_empty()).count();
    let other = compared.both.len() - same;
    let left_out = match compared.left_out {
        0 => String::new(),
        number => format!(
            "; left out: {} that rest on what only one of them has seen",
            counted(number, "alert", "alerts")
        ),
    };
    let seen = counted(compared.to - compared.from, "activity", "activities");
    let new = format!("new (revision {})", compared.new);
    let only_new = compared.only_new.len();
    match &compared.old {
        Some(old) => format!(
            "old (revision {old}) and {new} have both seen {seen}: {} only old, {only_new} only new, {same} the same, {other} in another form{left_out}",
            compared.only_old.len(),
        ),
        None => format!(
            "{new} has seen {seen}, and nothing of that name is in force: {only_new} only new{left_out}"
        ),
    }
}

/// The file of a candidate.
fn candidate<'a>(
    name: &str,
    wanted: &'a crate::command::in_force::Wanted,
) -> Result<&'a PolicyFile> {
    wanted.shadow.get(name).map(AsRef::as_ref).with_context(|| {
        Misunderstood(format!(
            "nothing named `{name}` runs in shadow\nhint: `casbah policy shadow list` shows what does"
        ))
    })
}

fn promote(
    name: &str,
    by: &Origin,
    opened: &Opened,
    plugins: &Plugins,
    output: &mut Output,
) -> Result<()> {
    let folder = folder_of(opened)?;
    let wanted = wanted(opened, plugins)?;
    let candidate = candidate(name, &wanted)?;
    let old = wanted.policies.get(name).map(AsRef::as_ref);
    let same = old.is_some_and(|old| {
        old.enabled
            && old.settings_digest == candidate.settings_digest
            && old.detector == candidate.detector
    });
    let place = file_for(&folder, old, name)?;
    let store = opened.store.as_ref();
    history::note(store, &opened.tenant, name, &candidate.revision, by)?;
    // One step: no moment in which there are both, or neither.
    std::fs::rename(&candidate.file, &place)
        .with_context(|| format!("`{}` can't be moved to `{}`", candidate.file, place.display()))?;
    let done = look(opened);
    let state = match (same, opened.live().is_some()) {
        (true, _) => "it goes on with what the policy before it has counted",
        (false, true) => "it goes on with what it has learned in shadow",
        (false, false) => {
            "it begins anew: only a running casbah hands over what was learned in shadow"
        }
    };
    if done.is_refused() {
        done.tell(&format!("candidate `{name}` is moved to `{}`", place.display()), output);
        return Ok(());
    }
    shadow::forget(store, &opened.tenant, name)?;
    done.tell(&format!("policy `{name}` is at revision {}; {state}", candidate.revision), output);
    Ok(())
}

fn drop_candidate(
    name: &str,
    by: &Origin,
    opened: &Opened,
    plugins: &Plugins,
    output: &mut Output,
) -> Result<()> {
    let store = opened.store.as_ref();
    let wanted = wanted(opened, plugins)?;
    let known = shadow::candidates(store, &opened.tenant)?.iter().any(|known| known.policy == name);
    match candidate(name, &wanted) {
        Ok(candidate) => {
            history::note(store, &opened.tenant, name, GONE, by)?;
            std::fs::remove_file(&candidate.file)
                .with_context(|| format!("`{}` can't be taken away", candidate.file))?;
        }
        // Its file is gone already; what it has found is not.
        Err(_) if known => {}
        Err(error) => return Err(error),
    }
    let done = look(opened);
    if !done.is_refused() {
        shadow::forget(store, &opened.tenant, name)?;
    }
    done.tell(&format!("candidate `{name}` is dropped, with everything it has found"), output);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_is_told_in_a_sentence() {
        let compared = Comparison {
            policy: "mass".to_owned(),
            old: Some("0123456789ab".to_owned()),
            new: "ba9876543210".to_owned(),
            from: 10,
            to: 1010,
            only_old: Vec::new(),
            only_new: Vec::new(),
            both: Vec::new(),
            left_out: 2,
        };
        insta::assert_snapshot!(told(&compared), @"old (revision 0123456789ab) and new (revision ba9876543210) have both seen 1000 activities: 0 only old, 0 only new, 0 the same, 0 in another form; left out: 2 alerts that rest on what only one of them has seen");
        let none = Comparison { old: None, left_out: 0, ..compared };
        insta::assert_snapshot!(told(&none), @"new (revision ba9876543210) has seen 1000 activities, and nothing of that name is in force: 0 only new");
    }
}
