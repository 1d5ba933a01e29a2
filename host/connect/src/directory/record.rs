//! What the store keeps of one account of a directory, and how news change it.
//!
//! It is not what is kept in memory: that is the `book`'s, and holds only what joining needs.

use casbah_model::ConnectionName;
use casbah_model::TenantName;
use casbah_store::{Store, Table, Write};
use serde::{Deserialize, Serialize};

use super::history::{History, Spell, Standing};
use crate::accounts::Account;
use crate::connection::{decode, encode};
use crate::error::ConnectError;

/// An account of a directory, with what it was before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Record {
    /// What the directory said last.
    #[serde(flatten)]
    pub(crate) account: Account,
    /// Its states.
    pub(crate) history: History,
    /// Whose states the log was told of: the address of its person then.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) told_as: String,
}

/// How news are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// What they leave out is as it was.
    News,
    /// They are all there is to say.
    Whole,
}

impl Record {
    /// A record of an account of which nothing is known yet.
    pub(crate) fn new(id: &str) -> Self {
        Self { account: Account { id: id.to_owned(), ..Account::default() }, ..Self::default() }
    }

    /// Takes over what was said at `now`. Saying it again changes nothing.
    pub(crate) fn hear(&mut self, news: Account, word: Word, now: i64) {
        let state = Standing::parse(&news.status);
        let since = news.since;
        let leaves = match word {
            Word::News => news.leaves.or(self.account.leaves),
            Word::Whole => news.leaves,
        };
        if let Some(state) = state {
            self.history.observe(state, since, now, word == Word::Whole);
        }
        if leaves != self.account.leaves {
            self.history.leave(leaves, now);
        }
        match word {
            Word::News => self.account.merge(news),
            Word::Whole => self.account = news,
        }
    }

    /// The account was not named by a whole round.
    pub(crate) fn lose(&mut self, now: i64) {
        let gone = Account { status: crate::accounts::DELETED.to_owned(), ..Account::default() };
        self.hear(gone, Word::News, now);
    }

    /// The spells that the log is to be told of now, under this address of the person; as long as
    /// there is none, nothing could be made of them.
    pub(crate) fn tell(&mut self, address: &str, now: i64) -> Vec<Spell> {
        if address.is_empty() {
            return Vec::new();
        }
        if self.told_as != address {
            if !self.told_as.is_empty() {
                self.history.untell(now);
            }
            address.clone_into(&mut self.told_as);
        }
        self.history.tell(now)
    }

    /// All addresses and sign-in names in lower case, the main one first.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = String> {
        let own = std::iter::once(&self.account.email);
        own.chain(&self.account.aliases)
            .map(|address| address.trim().to_lowercase())
            .filter(|address| !address.is_empty())
    }

    pub(crate) fn write(&self, key: Vec<u8>) -> Result<Write, ConnectError> {
        let value = Some(encode("an account of the directory", self)?);
        Ok(Write { table: Table::Account, key, value })
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ConnectError> {
        decode("an account of the directory", bytes)
    }
}

/// Where the accounts of a directory come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The directory file.
    File,
    /// A connection whose app is a directory.
    Connection(ConnectionName),
}

/// What stands for the directory file where connections have their names. No connection can have it.
const FILE: &str = "@directory";

impl Source {
    /// Its name in the store: that of the connection.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::File => FILE,
            Self::Connection(name) => name.as_str(),
        }
    }

    pub(crate) fn parse(key: &str) -> Option<Self> {
        if key == FILE { Some(Self::File) } else { key.parse().ok().map(Self::Connection) }
    }

    /// The key of an account in the store.
    pub(crate) fn account_key(&self, id: &str) -> Vec<u8> {
        format!("{}/{id}", self.key()).into_bytes()
    }

    /// The name that activities of it carry as that of their connection.
    pub fn name(&self) -> &str {
        match self {
            Self::File => super::FILE_APP,
            Self::Connection(name) => name.as_str(),
        }
    }

    /// An account as it is stored.
    pub(crate) fn load(
        &self,
        store: &dyn Store,
        tenant: &TenantName,
        id: &str,
    ) -> Result<Option<Record>, ConnectError> {
        let bytes = store.get(tenant, Table::Account, &self.account_key(id))?;
        bytes.map(|bytes| Record::read(&bytes)).transpose()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File => f.write_str("the directory file"),
            Self::Connection(name) => write!(f, "{name}"),
        }
    }
}
