//! What is known of people, and where from: for those who ask.
//!
//! It is not on the way of activities: it reads the store, and may take its time.

use std::collections::{BTreeMap, BTreeSet};

use casbah_model::time;
use casbah_store::{ScanRange, Table};
use serde::Serialize;

use super::history::{Held, Spell};
use super::record::{Record, Source};
use super::{Directory, FILE_APP, Person};
use crate::accounts::Account;
use crate::connection::{decode, read_all};
use crate::error::ConnectError;

/// A person in a list, as at some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ListedPerson {
    /// Main address in lower case.
    pub person: String,
    /// State; empty when unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Since when, RFC 3339; empty when unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub since: String,
    /// Whether it is an administrator of the directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<bool>,
    /// Whether it is outside the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<bool>,
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

impl ListedPerson {
    fn new(person: Person, now: i64) -> Self {
        let held = person.at(now);
        Self {
            person: person.address,
            state: held.map(|held| held.state.to_string()).unwrap_or_default(),
            since: since(held),
            admin: person.admin,
            external: person.external,
            groups: person.groups,
        }
    }
}

fn since(held: Option<Held>) -> String {
    held.and_then(|held| held.since).map(time::format).unwrap_or_default()
}

/// Everything that is known of a person, and where from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dossier {
    /// What counts for activities, all taken together.
    #[serde(flatten)]
    pub person: ListedPerson,
    /// The states by which activities are judged, in the order of time.
    pub history: Vec<Period>,
    /// Accounts that the override table gives to the person: app (empty for every app) and account.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<(String, String)>,
    /// Every account of the person, those of directories first, in the order in which they count.
    pub accounts: Vec<Entry>,
}

/// A state and when it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Period {
    /// The state.
    pub state: String,
    /// RFC 3339; empty: for as long as anybody knows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// Whether the directory gave that time, or casbah saw the state then.
    pub said: bool,
}

impl From<&Spell> for Period {
    fn from(spell: &Spell) -> Self {
        Self {
            state: spell.state.to_string(),
            from: spell.from.map(time::format).unwrap_or_default(),
            said: spell.said,
        }
    }
}

/// One account of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// The connection it is known from, or `directory` for the directory file.
    pub source: String,
    /// The app.
    pub app: String,
    /// Whether that is a directory, so that it counts for all apps.
    pub directory: bool,
    /// What was said last.
    #[serde(flatten)]
    pub account: Account,
    /// Its states; empty for accounts of apps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Period>,
}

impl Directory {
    /// All people, in the order of their addresses, as at `now`.
    pub fn list(&self, now: i64) -> Vec<ListedPerson> {
        let inside = self.read();
        let people: BTreeMap<String, ListedPerson> = inside
            .book
            .people()
            .map(|person| (person.address.clone(), ListedPerson::new(person, now)))
            .collect();
        people.into_values().collect()
    }

    /// Everything that is known of who has an address (or, failing that, a sign-in name) in any
    /// directory or app, and where from; `None` when nobody has it. Reads all accounts.
    ///
    /// # Errors
    /// `Store` when the store fails or holds something unreadable.
    pub fn dossier(&self, address: &str, now: i64) -> Result<Option<Dossier>, ConnectError> {
        let asked = address.trim().to_lowercase();
        let (person, places, overrides, apps) = {
            let inside = self.read();
            let meant = inside.people.get("", &asked).unwrap_or(&asked).to_owned();
            let person = inside.book.by_address(&meant);
            let main = person.as_ref().map_or(meant, |person| person.address.clone());
            let overrides: Vec<(String, String)> = inside
                .people
                .accounts_of(&main)
                .into_iter()
                .map(|(app, account)| (app.to_owned(), account.to_owned()))
                .collect();
            let places = inside.book.places_of(&main);
            let person = person.unwrap_or(Person { address: main, ..Person::default() });
            (person, places, overrides, inside.apps.clone())
        };
        let mut accounts = Vec::new();
        let mut addresses = BTreeSet::from([asked, person.address.clone()]);
        for (source, id) in places {
            let Some(record) = self.record(&source, &id)? else { continue };
            addresses.extend(record.addresses());
            accounts.push(Entry {
                source: source.name().to_owned(),
                app: apps.get(&source).cloned().unwrap_or_default(),
                directory: true,
                history: record.history.spells().iter().map(Period::from).collect(),
                account: record.account,
            });
        }
        self.app_accounts(&addresses, &overrides, &mut accounts)?;
        if accounts.is_empty() && overrides.is_empty() {
            return Ok(None);
        }
        let history = person.spells.iter().map(Period::from).collect();
        let person = ListedPerson::new(person, now);
        Ok(Some(Dossier { person, history, overrides, accounts }))
    }

    fn record(&self, source: &Source, id: &str) -> Result<Option<Record>, ConnectError> {
        match &self.store {
            Some(store) => source.load(store.as_ref(), &self.tenant, id),
            None => Ok(None),
        }
    }

    /// Accounts of apps that have one of these addresses, or that are given to the person.
    fn app_accounts(
        &self,
        addresses: &BTreeSet<String>,
        overrides: &[(String, String)],
        accounts: &mut Vec<Entry>,
    ) -> Result<(), ConnectError> {
        let Some(store) = &self.store else { return Ok(()) };
        let directories = self.read().apps.clone();
        for connection in read_all(store.as_ref(), &self.tenant)? {
            let source = Source::Connection(connection.name.clone());
            if directories.contains_key(&source) {
                continue;
            }
            let mut failed = None;
            let range = ScanRange::prefix(source.account_key(""));
            store.scan(&self.tenant, Table::Account, &range, false, &mut |_, bytes| {
                match decode::<Account>("an account", bytes) {
                    Ok(account) => {
                        let own = [account.id.to_lowercase(), account.email.to_lowercase()];
                        let given = overrides.iter().any(|(app, account)| {
                            (app.is_empty() || *app == connection.app) && own.contains(account)
                        });
                        let aliases = account.aliases.iter().map(|alias| alias.to_lowercase());
                        if given
                            || aliases
                                .chain(own)
                                .any(|own| !own.is_empty() && addresses.contains(&own))
                        {
                            accounts.push(Entry {
                                source: connection.name.to_string(),
                                app: connection.app.clone(),
                                directory: false,
                                account,
                                history: Vec::new(),
                            });
                        }
                    }
                    Err(error) => failed = Some(error),
                }
                failed.is_none()
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sources that the directory is fed by, with their apps and how many of their accounts are
    /// named and not gone.
    pub fn sources(&self) -> Vec<(String, String, u64)> {
        let inside = self.read();
        inside
            .apps
            .iter()
            .map(|(source, app)| {
                let app = if *source == Source::File { FILE_APP } else { app };
                (source.name().to_owned(), app.to_owned(), inside.book.present(source))
            })
            .collect()
    }
}
