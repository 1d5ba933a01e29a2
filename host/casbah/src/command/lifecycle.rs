//! `casbah policy status | history | show --revision | rollback | enable | disable`: what is in force,
//! what was, and changing that.
//!
//! Policies are files, and stay so: whatever is changed here is changed in the folder, and comes in
//! force like any other change there, with a note of who did it and why.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use casbah_detect::history::{self, Origin, Reign};
use casbah_detect::{
    Detectors, Lists, PolicyFile, PolicySet, PolicySource, Sources, folder, format,
};
use casbah_model::time;
use serde_json::json;

use crate::cli::{Format, PolicyCommand};
use crate::command::connect::Environment;
use crate::command::in_force::{self, Wanted};
use crate::command::watch::Looked;
use crate::command::{Found, Misunderstood, Opened, origin, shadow};
use crate::output::{Output, counted};
use crate::plugins::Plugins;

/// So many Sigma rules that can't be used are told one by one.
const UNUSABLE: usize = 5;

/// Whether a command needs the data folder and is carried out here.
pub(crate) fn is_one(command: &PolicyCommand) -> bool {
    matches!(
        command,
        PolicyCommand::Status
            | PolicyCommand::History { .. }
            | PolicyCommand::Show { revision: Some(_), .. }
            | PolicyCommand::Rollback { .. }
            | PolicyCommand::Enable { .. }
            | PolicyCommand::Disable { .. }
            | PolicyCommand::Shadow(_)
    )
}

pub(crate) fn run(
    command: &PolicyCommand,
    opened: &Opened,
    plugins: &Plugins,
    environment: &Environment,
    output: &mut Output,
) -> Result<Found> {
    let by = |why: &str| Origin { who: who(environment), why: why.to_owned() };
    match command {
        PolicyCommand::Status => return status(opened, output),
        PolicyCommand::History { name, limit } => {
            list(name.as_deref(), *limit, opened, output)?;
        }
        PolicyCommand::Show { name, revision: Some(revision) } => {
            let (_, text) = history::text(opened.store.as_ref(), &opened.tenant, name, revision)?;
            output.line(text.trim_end())?;
        }
        PolicyCommand::Rollback { name, revision, why } => {
            rollback(name, revision.as_deref(), &by(why), opened, plugins, output)?;
        }
        PolicyCommand::Enable { name, why } => {
            switch(name, true, &by(why), opened, plugins, output)?;
        }
        PolicyCommand::Disable { name, why } => {
            switch(name, false, &by(why), opened, plugins, output)?;
        }
        PolicyCommand::Shadow(shadow) => {
            shadow::run(shadow, opened, plugins, environment, output)?;
        }
        _ => bail!("this is not a command about what is in force"),
    }
    Ok(Found(false))
}

/// Who types the command.
pub(crate) fn who(environment: &Environment) -> String {
    let named = ["SUDO_USER", "USER"].iter().find_map(|name| environment.get(*name));
    named.filter(|name| !name.is_empty()).cloned().unwrap_or_else(origin::this_user)
}

fn second(ms: i64) -> String {
    time::format(ms / 1000 * 1000)
}

/// Everything in force, since when and by whom, and what is wrong. Found is trouble.
fn status(opened: &Opened, output: &mut Output) -> Result<Found> {
    let reigns = history::reigns(opened.store.as_ref(), &opened.tenant, None)?;
    let current: Vec<&Reign> = reigns.iter().filter(|reign| reign.until.is_none()).collect();
    let live = opened.live();
    let groups = live.as_ref().and_then(|live| live.evaluator()).map(|live| live.status());
    let group = |name: &str| groups.iter().flatten().find(|group| group.group == name);
    let rows: Vec<_> = current
        .iter()
        .map(|reign| {
            let began = &reign.began;
            let behind = group(&began.group).map(|group| group.lag_rows);
            let state = match group(&began.group) {
                None => "not running",
                Some(group) if group.trouble.is_some() => "in trouble",
                Some(_) if began.shadow => "in shadow",
                Some(_) => "in force",
            };
            json!({
                "policy": began.policy,
                "state": state,
                "revision": began.revision,
                "since": second(began.at),
                "from": began.from,
                "behind": behind,
                "group": began.group,
                "who": began.who,
                "why": began.why,
            })
        })
        .collect();
    output.list(
        &["POLICY", "STATE", "REVISION", "SINCE", "BEHIND", "WHO", "WHY"],
        &rows,
        |row| {
            ["policy", "state", "revision", "since", "behind", "who", "why"]
                .map(|n| cell(row, n))
                .to_vec()
        },
    )?;
    let mut troubled = false;
    for group in groups.iter().flatten() {
        if let Some(trouble) = &group.trouble {
            troubled = true;
            output.say(&format!("evaluation `{}`: {trouble}", group.group));
        }
    }
    let Some(live) = live else {
        output.say("casbah is not running: this is what ran last");
        return Ok(Found(false));
    };
    let reloads = live.reloads();
    if !reloads.off.is_empty() {
        output.say(&format!("switched off: {}", reloads.off.join(", ")));
    }
    for rule in reloads.unusable.iter().take(UNUSABLE) {
        output.say(&format!("a Sigma rule can't be used: {rule}"));
    }
    if reloads.unusable.len() > UNUSABLE {
        output.say(&format!("and {} more", reloads.unusable.len() - UNUSABLE));
    }
    match &reloads.refused {
        Some((since, why)) => {
            output.say(&format!(
                "the folder is refused since {}, and what was in force before stays so:\n{why}",
                second(*since)
            ));
            Ok(Found(true))
        }
        None => {
            output.say(&format!(
                "{} evaluated, as the folder says, since {}{}",
                counted(rows.len() as u64, "policy", "policies"),
                second(reloads.at),
                match reloads.took {
                    0 => String::new(),
                    took => format!(", taken over in {took} ms"),
                }
            ));
            Ok(Found(troubled))
        }
    }
}

fn cell(row: &serde_json::Value, name: &str) -> String {
    match row.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Null) | None => String::new(),
        Some(value) => value.to_string(),
    }
}

/// The revisions that were in force, the newest first.
fn list(name: Option<&str>, limit: usize, opened: &Opened, output: &mut Output) -> Result<()> {
    let mut reigns = history::reigns(opened.store.as_ref(), &opened.tenant, name)?;
    if let Some(name) = name
        && reigns.is_empty()
    {
        bail!(Misunderstood(format!(
            "no policy `{name}` was ever in force\nhint: `casbah policy history` shows those that were"
        )));
    }
    reigns.reverse();
    let all = reigns.len();
    if limit > 0 {
        reigns.truncate(limit);
    }
    output.list(&["FROM", "UNTIL", "POLICY", "REVISION", "WHO", "WHY"], &reigns, |reign| {
        let began = &reign.began;
        let shadow = if began.shadow { " (in shadow)" } else { "" };
        let mut why = began.why.clone();
        if let Some(ended) = &reign.ended {
            let by = [ended.who.as_str(), ended.why.as_str()];
            let by: Vec<_> = by.into_iter().filter(|text| !text.is_empty()).collect();
            why = format!("{why}; ended: {}", by.join(": "));
        }
        vec![
            second(began.at),
            reign.until.map(second).unwrap_or_default(),
            format!("{}{shadow}", began.policy),
            began.revision.clone(),
            began.who.clone(),
            why.trim_start_matches("; ").to_owned(),
        ]
    })?;
    if all > reigns.len() {
        output.say(&format!("there are {all}; --limit shows more"));
    }
    Ok(())
}

/// The folder of policies, which has to be there to be changed.
///
/// # Errors
/// When the settings name none.
pub(crate) fn folder_of(opened: &Opened) -> Result<PathBuf> {
    opened.policies.clone().context(
        "there is no folder of policies, only the built-in ones are in force\n\
         hint: name one in the settings file as `policies = \"policies\"`, and keep the built-in ones by `built-in-policies = true`",
    )
}

/// What the folder wants in force now; it must be in order to be changed here.
pub(crate) fn wanted(opened: &Opened, plugins: &Plugins) -> Result<Wanted> {
    opened.place().read(None, plugins)
}

fn named<'a>(set: &'a PolicySet, name: &str) -> Result<&'a PolicyFile> {
    set.get(name).map(AsRef::as_ref).with_context(|| {
        Misunderstood(format!(
            "there is no policy `{name}`\nhint: `casbah policy list` shows those there are"
        ))
    })
}

/// The file to be written for a policy: its own, or a new one beside the others for one that came
/// with casbah or is gone.
///
/// # Errors
/// When the policy is made of a Sigma rule: such a file is used as it is, and not written to.
pub(crate) fn file_for(folder: &Path, policy: Option<&PolicyFile>, name: &str) -> Result<PathBuf> {
    match policy {
        Some(policy) if Path::new(&policy.file).starts_with(folder.join("sigma")) => bail!(
            "policy `{name}` is made of the Sigma rule `{}`, which is used as it is\nhint: take the file out of the folder to switch it off, or change it there",
            policy.file
        ),
        Some(policy) if !in_force::is_built_in(&policy.file) => Ok(PathBuf::from(&policy.file)),
        _ => Ok(folder.join(format!("{name}.yaml"))),
    }
}

fn switch(
    name: &str,
    enabled: bool,
    by: &Origin,
    opened: &Opened,
    plugins: &Plugins,
    output: &mut Output,
) -> Result<()> {
    let folder = folder_of(opened)?;
    let wanted = wanted(opened, plugins)?;
    let policy = named(&wanted.policies, name)?;
    let word = if enabled { "enabled" } else { "disabled" };
    if policy.enabled == enabled {
        output.say(&format!("policy `{name}` is {word} already"));
        return Ok(());
    }
    let file = file_for(&folder, Some(policy), name)?;
    let text = with_enabled(&policy.source, enabled).with_context(|| {
        format!(
            "`{}` is written in a way that can't be edited here\nhint: write `enabled: {enabled}` into it yourself",
            policy.file
        )
    })?;
    let text = laid_out_like(&policy.source, text);
    let new = checked(&folder, &text, plugins)?;
    if new.enabled != enabled || new.settings_json != policy.settings_json {
        bail!(
            "`{}` can't be edited here\nhint: write `enabled: {enabled}` into it yourself",
            policy.file
        );
    }
    put_in_force(&new, &file, &text, by, opened)?
        .tell(&format!("policy `{name}` is {word}"), output);
    Ok(())
}

/// The text with its `enabled` key set, and everything else as it was. `None` when there is no line
/// to be found where it belongs.
fn with_enabled(text: &str, enabled: bool) -> Option<String> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let at = |key: &str| {
        lines.iter().position(|line| {
            line.strip_prefix(key).is_some_and(|rest| rest.trim_start_matches(' ').starts_with(':'))
        })
    };
    let written = format!("enabled: {enabled}");
    if let Some(place) = at("enabled") {
        let line = lines.get_mut(place)?;
        let comment = line
            .find(" #")
            .and_then(|start| line.get(start..))
            .unwrap_or_else(|| if line.ends_with('\n') { "\n" } else { "" });
        *line = format!("{written}{comment}");
    } else {
        let place = at("policy")?;
        let line = lines.get_mut(place)?;
        if !line.ends_with('\n') {
            line.push('\n');
        }
        lines.insert(place + 1, format!("{written}\n"));
    }
    Some(lines.concat())
}

/// The edited text laid out, when it was before: a check of the layout should not fail by a command.
fn laid_out_like(before: &str, text: String) -> String {
    let laid_out = |text: &str| format::format("the policy", text.as_bytes()).ok();
    if laid_out(before).is_some_and(|layout| layout == before) {
        return laid_out(&text).unwrap_or(text);
    }
    text
}

fn rollback(
    name: &str,
    revision: Option<&str>,
    by: &Origin,
    opened: &Opened,
    plugins: &Plugins,
    output: &mut Output,
) -> Result<()> {
    let folder = folder_of(opened)?;
    let store = opened.store.as_ref();
    let wanted = wanted(opened, plugins)?;
    let now = wanted.policies.get(name);
    let revision = match revision {
        Some(revision) => revision.to_owned(),
        None => {
            let reigns = history::reigns(store, &opened.tenant, Some(name))?;
            let current = now.map(|policy| policy.revision.as_str());
            let before = reigns.iter().rev().find(|reign| {
                !reign.began.shadow && Some(reign.began.revision.as_str()) != current
            });
            let Some(before) = before else {
                bail!(Misunderstood(format!(
                    "no other revision of policy `{name}` was ever in force\nhint: `casbah policy history {name}` shows those that were"
                )));
            };
            before.began.revision.clone()
        }
    };
    let (revision, text) = history::text(store, &opened.tenant, name, &revision)?;
    if now.is_some_and(|policy| policy.revision == revision) {
        output.say(&format!("policy `{name}` is at revision {revision} already"));
        return Ok(());
    }
    let old = checked(&folder, &text, plugins).with_context(|| {
        format!("revision {revision} of policy `{name}` can't be in force any more")
    })?;
    let file = file_for(&folder, now.map(AsRef::as_ref), name)?;
    put_in_force(&old, &file, &text, by, opened)?
        .tell(&format!("policy `{name}` is back at revision {revision}"), output);
    Ok(())
}

/// Reads and checks one policy, with the lists of the folder.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn checked(folder: &Path, text: &str, detectors: &dyn Detectors) -> Result<PolicyFile> {
    let lists: Lists = folder::read(folder)?.lists;
    let source = PolicySource { file: "the policy".to_owned(), bytes: text.as_bytes().to_vec() };
    let sources = Sources { policies: &[source], lists: &lists, groups: None };
    let set = PolicySet::read_with(&sources, detectors)?;
    let policy = set.policies().first().context("it holds no policy")?;
    Ok(PolicyFile::clone(policy))
}

/// What came of a change of the folder.
pub(crate) struct Done(Option<Looked>);

impl Done {
    /// Whether a running casbah does not take it.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.0, Some(Looked::Refused(_)))
    }

    /// Tells it: `what` has happened to the files.
    pub(crate) fn tell(&self, what: &str, output: &mut Output) {
        output.say(&match &self.0 {
            None => format!("{what}, from the next `casbah run` on"),
            Some(Looked::Same | Looked::Taken) => what.to_owned(),
            Some(Looked::Refused(why)) => format!(
                "{what} as far as its file goes, but the folder is refused, and what was in force before stays so:\n{why}"
            ),
        });
    }
}

/// Writes a policy's file, notes who did it and why, and lets a running casbah look at once.
///
/// # Errors
/// When the note or the file can't be written.
pub(crate) fn put_in_force(
    policy: &PolicyFile,
    file: &Path,
    text: &str,
    by: &Origin,
    opened: &Opened,
) -> Result<Done> {
    history::note(opened.store.as_ref(), &opened.tenant, &policy.name, &policy.revision, by)?;
    write(file, text)?;
    Ok(look(opened))
}

/// Lets a running casbah look at the folder at once.
pub(crate) fn look(opened: &Opened) -> Done {
    Done(opened.live().map(|live| live.look(true)))
}

/// Writes a file beside the place it belongs to, and then moves it there: nobody sees half of it.
///
/// # Errors
/// When it can't be written.
pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    let failed = || format!("the policy `{}` can't be written", file.display());
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(failed)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // A name that begins with a dot is passed over by whoever reads the folder meanwhile.
    let beside = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = std::fs::write(&beside, text).and_then(|()| {
        if let Ok(known) = std::fs::metadata(file) {
            std::fs::set_permissions(&beside, known.permissions())?;
        }
        std::fs::rename(&beside, file)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.with_context(failed)
}

/// JSON or a table, whichever is wanted.
pub(crate) fn is_json(output: &Output) -> bool {
    output.format == Format::Json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_edited_and_nothing_else() {
        let text = "# mine\npolicy: x # the name\ntitle: enabled: no\nwhen: []\n";
        let off = with_enabled(text, false).unwrap();
        assert_eq!(
            off,
            "# mine\npolicy: x # the name\nenabled: false\ntitle: enabled: no\nwhen: []\n"
        );
        assert_eq!(with_enabled(&off, true).unwrap(), off.replace("false", "true"));
        let commented = "policy: x\nenabled: true   # until Monday\n";
        assert_eq!(
            with_enabled(commented, false).unwrap(),
            "policy: x\nenabled: false # until Monday\n"
        );
        assert_eq!(with_enabled("policy: x", false).unwrap(), "policy: x\nenabled: false\n");
        assert_eq!(with_enabled("{policy: x}", false), None);
    }

    /// What `policy format --check` was content with before, it is content with afterwards.
    #[test]
    fn a_file_that_was_laid_out_stays_so() {
        let text = "policy: x\ntitle: X\nseverity: low\nwhen: [{field: app, is: a}]\n";
        let edit = |text: &str| laid_out_like(text, with_enabled(text, false).unwrap());
        assert_eq!(edit(text), text.replace("low\n", "low\nenabled: false\n"));
        let other = "severity: low\npolicy: x\ntitle: X\n";
        assert_eq!(edit(other), other.replace("x\n", "x\nenabled: false\n"));
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shadow/x.yaml");
        write(&file, "policy: x\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        write(&file, "policy: y\n").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "policy: y\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path().join("shadow")).unwrap().count(), 1);
    }
}
