//! `casbah directory`: who is known, what of them, and the files that say so.
//!
//! [`Files`] is what `casbah run` keeps looking at.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use casbah_connect::directory::{Directory, DirectoryFile, Dossier, Entry, PeopleFile, Taken};
use casbah_model::{Batch, TenantName, time};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::{DirectoryCommand, EnrichArgs, Format};
use crate::command::{Opened, when};
use crate::config::Config;
use crate::output::{Output, counted};

/// The `[directory]` part of the settings file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct DirectorySettings {
    /// File of people and their states.
    pub(crate) file: Option<PathBuf>,
    /// File that says which account is whose.
    pub(crate) people: Option<PathBuf>,
}

impl DirectorySettings {
    /// The same with paths meant from `folder`.
    pub(crate) fn below(self, folder: &Path) -> Self {
        let from = |path: PathBuf| folder.join(path);
        Self { file: self.file.map(from), people: self.people.map(from) }
    }
}

/// What a file looked like when it was last read.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The files of the settings, read again when they change. A file with a mistake changes nothing.
#[derive(Debug, Default)]
pub(crate) struct Files {
    settings: DirectorySettings,
    file: Option<Stamp>,
    people: Option<Stamp>,
}

impl Files {
    /// Nothing is read yet.
    pub(crate) fn new(settings: DirectorySettings) -> Self {
        Self { settings, file: None, people: None }
    }

    /// Reads what is new or has changed since, and lets the directory take it over; with it what has
    /// come with time. Blocks for the disk.
    ///
    /// # Errors
    /// Everything that is wrong with the files, once for every change of them; or that the store
    /// fails.
    pub(crate) fn look(&mut self, directory: &Directory) -> Result<Taken> {
        let mut wrong = Vec::new();
        if let Some(path) = &self.settings.people {
            let now = stamp(path);
            if self.people.replace(now) != Some(now) {
                match PeopleFile::read(path) {
                    Ok(file) => directory.set_people(file.people().clone()),
                    Err(errors) => wrong.push(errors.to_string()),
                }
            }
        }
        let mut taken = directory.pass(when::now())?;
        if self.settings.file.is_none() && self.file.is_none() {
            // What a file said that the settings named before counts no more.
            directory.drop_file(when::now())?;
            self.file = Some(None);
        }
        if let Some(path) = &self.settings.file {
            let now = stamp(path);
            if self.file.replace(now) != Some(now) {
                match DirectoryFile::read(path) {
                    Ok(file) => {
                        let applied = directory.apply(&file, when::now());
                        if applied.is_err() {
                            // The file is good: it is tried again.
                            self.file = None;
                        }
                        let applied = applied?;
                        taken = Taken {
                            changed: taken.changed + applied.changed,
                            told: taken.told + applied.told,
                            log_end: taken.log_end.max(applied.log_end),
                        };
                    }
                    Err(errors) => wrong.push(errors.to_string()),
                }
            }
        }
        if wrong.is_empty() { Ok(taken) } else { bail!(wrong.join("\n\n")) }
    }
}

/// The directory for looking through saved logs, from the file that was named or else that of the
/// settings, and what the log would be told of it.
///
/// # Errors
/// Everything that is wrong with the files.
pub(crate) fn unkept(
    named: Option<&Path>,
    config: &Config,
    tenant: &TenantName,
) -> Result<(Directory, Vec<Arc<Batch>>)> {
    let directory = Directory::unkept(tenant.clone());
    if let Some(path) = &config.directory.people {
        directory.set_people(PeopleFile::read(path)?.people().clone());
    }
    let news = match named.or(config.directory.file.as_deref()) {
        Some(path) => directory.apply_unkept(&DirectoryFile::read(path)?, when::now())?,
        None => Vec::new(),
    };
    Ok((directory, news))
}

/// `casbah directory check`: needs no data folder.
///
/// # Errors
/// Everything that is wrong with the files.
pub(crate) fn check(
    file: Option<&Path>,
    people: bool,
    config: &Config,
    output: &mut Output,
) -> Result<()> {
    let named = |path: Option<&Path>| path.map(Path::to_owned);
    let (file, people) = match (file, people) {
        (Some(file), false) => (Some(file.to_owned()), None),
        (Some(file), true) => (None, Some(file.to_owned())),
        (None, _) => {
            (named(config.directory.file.as_deref()), named(config.directory.people.as_deref()))
        }
    };
    if file.is_none() && people.is_none() {
        bail!(
            "the settings name no directory file\nhint: name one, here or as `file = …` under `[directory]` in casbah.toml"
        );
    }
    let mut wrong = Vec::new();
    if let Some(path) = file {
        match DirectoryFile::read(&path) {
            Ok(file) => output.say(&format!(
                "{}: {}",
                path.display(),
                counted(file.accounts().len() as u64, "person", "people")
            )),
            Err(errors) => wrong.push(errors.to_string()),
        }
    }
    if let Some(path) = people {
        match PeopleFile::read(&path) {
            Ok(file) => output.say(&format!(
                "{}: {} accounts that belong to somebody",
                path.display(),
                file.people().len()
            )),
            Err(errors) => wrong.push(errors.to_string()),
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!(wrong.join("\n\n")) }
}

/// The other commands, on an opened data folder.
///
/// # Errors
/// When the store fails, or nobody is known by that address.
pub(crate) fn run(command: &DirectoryCommand, opened: &Opened, output: &mut Output) -> Result<()> {
    match command {
        DirectoryCommand::List { state, limit } => list(state.as_deref(), *limit, opened, output),
        DirectoryCommand::Show { address } => show(address, opened, output),
        DirectoryCommand::Check { .. } => bail!("this command needs no data folder"),
    }
}

fn directory(opened: &Opened) -> Result<Arc<Directory>> {
    let directory = opened.connections.directory(&opened.tenant)?;
    if let Some(path) = &opened.directory.people {
        let file = PeopleFile::read(path)
            .context("the table that says which account is whose can't be used")?;
        directory.set_people(file.people().clone());
    }
    Ok(directory)
}

fn list(state: Option<&str>, limit: usize, opened: &Opened, output: &mut Output) -> Result<()> {
    let directory = directory(opened)?;
    let mut people = directory.list(when::now());
    let all = people.len();
    if let Some(state) = state {
        people.retain(|person| person.state == state);
    }
    let found = people.len();
    let limit = if limit == 0 { found } else { limit };
    people.truncate(limit);
    output.list(
        &["PERSON", "STATE", "SINCE", "ADMIN", "EXTERNAL", "GROUPS"],
        &people,
        |person| {
            vec![
                person.person.clone(),
                person.state.clone(),
                seconds(&person.since),
                flag(person.admin),
                flag(person.external),
                person.groups.join(", "),
            ]
        },
    )?;
    if all == 0 {
        output.say(
            "nobody is known\nhint: connect a directory (`casbah connect entra`), or name a directory file as `file = …` under `[directory]` in casbah.toml; `casbah run` takes it over",
        );
    } else if found == 0 {
        output.say("nobody is in that state");
    } else if found > limit {
        output.say(&format!("{limit} of {found} people\nhint: --limit shows more"));
    }
    Ok(())
}

fn seconds(time: &str) -> String {
    time.split('.').next().map_or_else(String::new, |head| {
        if head.len() == time.len() { time.to_owned() } else { format!("{head}Z") }
    })
}

fn flag(flag: Option<bool>) -> String {
    match flag {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    }
    .to_owned()
}

/// Shows everything that is known of a person, and where from.
///
/// # Errors
/// When the store fails, or nobody is known by that address.
pub(crate) fn show(address: &str, opened: &Opened, output: &mut Output) -> Result<()> {
    let Some(found) = directory(opened)?.dossier(address, when::now())? else {
        bail!(
            "nobody is known by the address `{address}`\nhint: `casbah directory list` shows who is known"
        );
    };
    if output.format == Format::Json {
        return output.json(&found);
    }
    let person = &found.person;
    output.line(&format!("person    {}", person.person))?;
    let state = match (person.state.as_str(), person.since.as_str()) {
        ("", _) => "unknown".to_owned(),
        (state, "") => state.to_owned(),
        (state, since) => format!("{state} since {since}"),
    };
    output.line(&format!("state     {state}"))?;
    for (name, value) in [
        ("groups", person.groups.join(", ")),
        ("admin", flag(person.admin)),
        ("external", flag(person.external)),
    ] {
        if !value.is_empty() {
            output.line(&format!("{name:<9} {value}"))?;
        }
    }
    tables(&found, output)
}

fn tables(found: &Dossier, output: &mut Output) -> Result<()> {
    if !found.history.is_empty() {
        output.line("")?;
        output.list(&["FROM", "STATE", "HOW IT IS KNOWN"], &found.history, |period| {
            let how = match (period.from.is_empty(), period.said) {
                (true, _) => "it was so when it was first seen",
                (false, true) => "the directory gave the time",
                (false, false) => "casbah saw it then",
            };
            vec![seconds(&period.from), period.state.clone(), how.to_owned()]
        })?;
    }
    let facts: Vec<_> = found.accounts.iter().flat_map(facts).collect();
    output.line("")?;
    output.list(&["FACT", "VALUE", "FROM"], &facts, |fact| {
        ["fact", "value", "from"]
            .map(|name| {
                fact.get(name).and_then(|cell| cell.as_str()).unwrap_or_default().to_owned()
            })
            .into()
    })?;
    for (app, account) in &found.overrides {
        let app = if app.is_empty() { "every app" } else { app };
        output.line(&format!("by the override table: account `{account}` of {app}"))?;
    }
    Ok(())
}

/// What one account says, fact by fact.
fn facts(entry: &Entry) -> Vec<serde_json::Value> {
    let account = &entry.account;
    let from = match (entry.source.as_str(), entry.app.as_str()) {
        (source, app) if source == app && entry.directory && app == "directory" => {
            "the directory file".to_owned()
        }
        (source, app) => format!("connection {source} ({app})"),
    };
    let at = |time: Option<i64>| time.map(time::format).unwrap_or_default();
    let facts = [
        ("id", account.id.clone()),
        ("email", account.email.clone()),
        ("name", account.name.clone()),
        ("type", account.account_type.clone()),
        ("status", account.status.clone()),
        ("since", at(account.since)),
        ("leaves", at(account.leaves)),
        ("aliases", account.aliases.join(", ")),
        ("groups", account.groups.join(", ")),
        ("admin", flag(account.admin)),
        ("external", flag(account.external)),
        ("last signed in", at(account.seen)),
    ];
    facts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(fact, value)| json!({"fact": fact, "value": value, "from": from}))
        .collect()
}

/// Whether `casbah enrich` is asked for a person rather than an address of the network or a client.
pub(crate) fn person_of(args: &EnrichArgs) -> Option<&str> {
    let value = args.value.as_deref().filter(|_| args.command.is_none())?;
    let (user, domain) = value.split_once('@')?;
    let fits = !user.is_empty() && domain.contains('.') && !value.contains(['/', ' ']);
    fits.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_person_is_told_from_a_client_and_an_address() {
        for (value, is_person) in [
            ("ana@example.com", true),
            ("192.0.2.7", false),
            ("curl/8.5.0", false),
            ("bot (me@example.com)", false),
            ("@", false),
        ] {
            let args = EnrichArgs { command: None, value: Some(value.to_owned()) };
            assert_eq!(person_of(&args).is_some(), is_person, "{value}");
        }
    }

    /// A file is read when it is new or has changed; with a mistake in it nothing changes, and that
    /// is said once.
    #[test]
    fn files_are_taken_over_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            DirectorySettings { file: Some("people.csv".into()), people: Some("whose.csv".into()) };
        let settings = settings.below(folder.path());
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("people.csv", "email,state\nana@acme.example,active\n");
        write("whose.csv", "account,person\nx@old.example,ana@acme.example\n");
        let tenant: TenantName = "default".parse().unwrap();
        let store = casbah_store::open(
            &folder.path().join("data"),
            casbah_store::Options::default(),
            &|_| {},
        )
        .unwrap();
        let directory = Directory::open(Arc::new(store), tenant).unwrap();
        let mut files = Files::new(settings);
        assert_eq!(files.look(&directory).unwrap().told, 1);
        assert_eq!(directory.person("x@old.example").unwrap().address, "ana@acme.example");
        assert_eq!(files.look(&directory).unwrap(), Taken::default());
        write("people.csv", "email,state\nana@acme.example,gone\n");
        let message = files.look(&directory).unwrap_err().to_string();
        assert!(message.contains("there is no state `gone`"), "{message}");
        assert_eq!(directory.len(), 1);
        assert_eq!(files.look(&directory).unwrap(), Taken::default(), "it is said once");
        write("people.csv", "email,state\nana@acme.example,disabled\n");
        assert_eq!(files.look(&directory).unwrap().told, 1);
        std::fs::remove_file(folder.path().join("people.csv")).unwrap();
        assert!(files.look(&directory).is_err(), "a file that is gone is no empty one");
        assert_eq!(directory.len(), 1);
        Files::new(DirectorySettings::default()).look(&directory).unwrap();
        assert!(directory.is_empty(), "a file that is not named any more counts no more");
    }
}
