//! The accounts of a connection, and what activities learn from them.
//!
//! An app names who did something by number, often without an e-mail address. [`Accounts`] holds
//! what its users stream told, and [`Accounts::join`] fills in what is absent from a batch before it
//! is stored: once for every distinct id, never over what the app itself said.
//!
//! It is not the directory: it knows nothing of other connections, and of no time but now.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use casbah_model::table::{ABSENT_INTEGER, Batch, TextId, Values};
use casbah_model::{ConnectionName, TenantName};
use casbah_store::{ScanRange, Store, Table, Write};
use serde::{Deserialize, Serialize};
use siphasher::sip128::SipHasher13;

use crate::connection::{decode, encode, stream_key};
use crate::error::ConnectError;
use crate::words::{Word, Words};

/// Mail domains that anybody can have an address in. Nobody is internal by one of them.
const PUBLIC_DOMAINS: &[&str] = &[
    "aol.com",
    "fastmail.com",
    "free.fr",
    "gmail.com",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hey.com",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.de",
    "hotmail.fr",
    "icloud.com",
    "laposte.net",
    "libero.it",
    "live.com",
    "mac.com",
    "mail.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "naver.com",
    "orange.fr",
    "outlook.com",
    "outlook.de",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "rocketmail.com",
    "t-online.de",
    "tutanota.com",
    "web.de",
    "yahoo.co.jp",
    "yahoo.co.uk",
    "yahoo.com",
    "yahoo.de",
    "yahoo.fr",
    "yandex.com",
    "yandex.ru",
    "ymail.com",
    "zoho.com",
    "163.com",
    "126.com",
];

/// An account as the app told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Account {
    /// The app's id.
    pub id: String,
    /// E-mail address, as the app writes it; empty when unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Name; empty when unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `user` or `service`; empty when unknown.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub account_type: String,
    /// `active`, `pending`, `declined`, `disabled`, `leaving`, `left` or `deleted`; empty when unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Whether it is an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<bool>,
    /// Whether it is outside the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<bool>,
    /// When it was last signed in to, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<i64>,
    /// Since when it has been in that state, ms since 1970, where the app says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// When its person leaves or left, ms since 1970, where the app says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<i64>,
    /// Other e-mail addresses and sign-in names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Names of the groups it is in, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// The status of an account that the app does not name any more.
pub(crate) const DELETED: &str = "deleted";

/// What stands for an id where very many are kept: two of one account's are the same, and two
/// accounts' are not.
pub(crate) fn fingerprint(id: &str) -> u128 {
    SipHasher13::new().hash(id.as_bytes()).as_u128()
}

impl Account {
    /// The accounts of a batch from a users stream; rows without an id are left out.
    pub(crate) fn from_batch(batch: &Batch) -> Vec<Self> {
        let flag = |name: &str, row| batch.integer(name, row).map(|value| value != 0);
        (0..batch.len())
            .map(|row| Self {
                id: batch.text("id", row).to_owned(),
                email: batch.text("email", row).to_owned(),
                name: batch.text("name", row).to_owned(),
                account_type: batch.text("type", row).to_owned(),
                status: batch.text("status", row).to_owned(),
                admin: flag("admin", row),
                external: flag("external", row),
                seen: batch.integer("seen", row),
                since: batch.integer("since", row),
                leaves: batch.integer("leaves", row),
                aliases: batch
                    .text("aliases", row)
                    .split(',')
                    .map(str::trim)
                    .filter(|alias| !alias.is_empty())
                    .map(str::to_owned)
                    .collect(),
                groups: Vec::new(),
            })
            .filter(|account| !account.id.is_empty())
            .collect()
    }

    /// Takes over what `news` says; what it leaves out stays as it was.
    ///
    /// That an account is gone changes no address: some apps write another one into what is deleted.
    pub(crate) fn merge(&mut self, news: Self) {
        let Self {
            id: _,
            email,
            name,
            account_type,
            status,
            admin,
            external,
            seen,
            since,
            leaves,
            aliases,
            groups: _,
        } = news;
        let gone = status == DELETED;
        if !(email.is_empty() || gone && !self.email.is_empty()) {
            self.email = email;
        }
        if !name.is_empty() {
            self.name = name;
        }
        if !account_type.is_empty() {
            self.account_type = account_type;
        }
        if !status.is_empty() {
            // The time belongs to the state: without one the old time holds for the old state only.
            self.since = if self.status == status { since.or(self.since) } else { since };
            self.status = status;
        }
        if !(aliases.is_empty() || gone && !self.aliases.is_empty()) {
            self.aliases = aliases;
        }
        self.admin = admin.or(self.admin);
        self.external = external.or(self.external);
        self.seen = seen.or(self.seen);
        self.leaves = leaves.or(self.leaves);
    }

    /// Whether it is named and not gone.
    pub(crate) fn is_present(&self) -> bool {
        self.status != DELETED && !self.is_unnamed()
    }

    /// The same account in these groups; with `whole` in no others.
    pub(crate) fn with_groups(mut self, groups: &BTreeSet<Arc<str>>, whole: bool) -> Self {
        let kept = if whole { Vec::new() } else { std::mem::take(&mut self.groups) };
        let all: BTreeSet<String> =
            kept.into_iter().chain(groups.iter().map(|group| group.to_string())).collect();
        self.groups = all.into_iter().collect();
        self
    }

    /// Whether nothing was ever said of it but the groups it is in.
    pub(crate) fn is_unnamed(&self) -> bool {
        let Self { id, groups, .. } = self;
        *self == Self { id: id.clone(), groups: groups.clone(), ..Self::default() }
    }

    pub(crate) fn write(&self, connection: &ConnectionName) -> Result<Write, ConnectError> {
        Ok(Write {
            table: Table::Account,
            key: stream_key(connection, &self.id),
            value: Some(encode("an account", self)?),
        })
    }
}

/// Groups by the ids of the accounts in them.
pub(crate) type Members = HashMap<String, BTreeSet<Arc<str>>>;

/// What becomes of what news leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It is not so any more.
    Nothing,
    /// It is as it was.
    WhatIsLeftOut,
}

/// The accounts of one connection, in memory.
#[derive(Debug, Default)]
pub struct Accounts {
    by_id: HashMap<String, Account>,
    /// Domains that the operator named; when there are none, those of accounts known as internal.
    configured: BTreeSet<String>,
    derived: HashMap<String, usize>,
}

impl Accounts {
    /// None yet. `domains` are the organization's mail domains, when the operator named them.
    pub fn new(domains: &[String]) -> Self {
        let configured = domains
            .iter()
            .map(|domain| domain.trim().trim_start_matches('@').to_lowercase())
            .filter(|domain| !domain.is_empty() && !is_public(domain))
            .collect();
        Self { configured, ..Self::default() }
    }

    /// Reads the accounts of a connection from the store.
    ///
    /// # Errors
    /// `Store` when the store fails or holds something unreadable.
    pub fn load(
        store: &dyn Store,
        tenant: &TenantName,
        connection: &ConnectionName,
        domains: &[String],
    ) -> Result<Self, ConnectError> {
        let mut accounts = Self::new(domains);
        let mut failed = None;
        let prefix = ScanRange::prefix(stream_key(connection, ""));
        store.scan(tenant, Table::Account, &prefix, false, &mut |_, bytes| {
            match decode::<Account>(&format!("an account of connection `{connection}`"), bytes) {
                Ok(account) => accounts.put(account),
                Err(error) => failed = Some(error),
            }
            failed.is_none()
        })?;
        failed.map_or(Ok(accounts), Err)
    }

    /// Adds an account, or replaces the one of that id.
    pub fn put(&mut self, account: Account) {
        if let Some(domain) = internal_domain(&account) {
            *self.derived.entry(domain).or_default() += 1;
        }
        let before = self.by_id.insert(account.id.clone(), account);
        if let Some(domain) = before.as_ref().and_then(internal_domain)
            && let Some(count) = self.derived.get_mut(&domain)
        {
            *count -= 1;
            if *count == 0 {
                self.derived.remove(&domain);
            }
        }
    }

    /// An account by the app's id.
    pub fn get(&self, id: &str) -> Option<&Account> {
        self.by_id.get(id)
    }

    /// How many accounts there are, those that are gone not counted.
    pub fn present(&self) -> usize {
        self.by_id.values().filter(|account| account.is_present()).count()
    }

    /// How many there would be with these added or replaced; no id occurs twice among them.
    pub(crate) fn present_with(&self, changed: &[Account]) -> usize {
        let is_present = |account: &Account| usize::from(account.is_present());
        changed.iter().fold(self.present(), |count, account| {
            count + is_present(account) - self.get(&account.id).map_or(0, is_present)
        })
    }

    /// Those of `accounts` that are new or differ from what is known. Each is all there is to say of
    /// its account, unless what it leaves out is to be kept.
    pub(crate) fn changed(&self, accounts: Vec<Account>, keep: Keep) -> Vec<Account> {
        let mut after: HashMap<String, Account> = HashMap::new();
        for mut account in accounts {
            let known = after.get(&account.id).or_else(|| self.get(&account.id));
            if let Some(known) = known {
                if keep == Keep::WhatIsLeftOut {
                    let mut merged = known.clone();
                    merged.merge(account);
                    account = merged;
                } else {
                    account.groups.clone_from(&known.groups);
                }
            }
            // Of an account that is named twice, what was said last counts.
            after.insert(account.id.clone(), account);
        }
        let mut changed: Vec<Account> =
            after.into_values().filter(|account| self.get(&account.id) != Some(account)).collect();
        changed.sort_by(|a, b| a.id.cmp(&b.id));
        changed
    }

    /// What becomes of the accounts that a whole round did not name, by [`fingerprint`].
    pub(crate) fn gone(&self, named: &HashSet<u128>) -> Vec<Account> {
        let mut gone: Vec<Account> = self
            .by_id
            .values()
            .filter(|account| {
                account.status != DELETED && !named.contains(&fingerprint(&account.id))
            })
            .filter(|account| !account.is_unnamed())
            .map(|account| Account { status: DELETED.to_owned(), since: None, ..account.clone() })
            .collect();
        gone.sort_by(|a, b| a.id.cmp(&b.id));
        gone
    }

    /// What becomes of the groups of accounts; with a whole round, also of those it did not name.
    pub(crate) fn regrouped(&self, members: &Members, whole: bool) -> Vec<Account> {
        let mut changed: Vec<Account> = members
            .iter()
            .map(|(id, groups)| {
                let known = self.get(id).cloned();
                let known =
                    known.unwrap_or_else(|| Account { id: id.clone(), ..Account::default() });
                known.with_groups(groups, whole)
            })
            .collect();
        if whole {
            let ended = self.by_id.values().filter(|account| !members.contains_key(&account.id));
            changed
                .extend(ended.map(|account| account.clone().with_groups(&BTreeSet::new(), true)));
        }
        changed.retain(|account| self.get(&account.id) != Some(account));
        changed.sort_by(|a, b| a.id.cmp(&b.id));
        changed
    }

    /// Whether an address of this domain is outside the organization; `None` when nothing is known.
    fn is_external(&self, domain: &str) -> Option<bool> {
        if domain.is_empty() {
            return None;
        }
        if is_public(domain) {
            return Some(true);
        }
        let inside = |known: &str| {
            domain.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if self.configured.is_empty() && self.derived.is_empty() {
            return None;
        }
        let internal = if self.configured.is_empty() {
            self.derived.keys().any(|known| inside(known))
        } else {
            self.configured.iter().any(|known| inside(known))
        };
        Some(!internal)
    }

    /// Fills in what the batch leaves absent and the accounts know, and the columns that only the
    /// host knows: app, connection and when it was received (ms since 1970).
    pub fn join(&self, batch: &mut Batch, app: &str, connection: &ConnectionName, received: i64) {
        let rows = batch.len();
        let mut join = Join::new(self, batch);
        join.actor();
        join.behalf();
        join.recipient();
        join.objects();
        join.finish();
        let mut words = Words::default();
        let [app, connection] = [app, connection.as_str()].map(|word| words.want(word));
        words.settle(&mut batch.texts);
        batch.set_column("app", Values::Text(vec![words.id(app); rows]));
        batch.set_column("connection", Values::Text(vec![words.id(connection); rows]));
        batch.set_column("received", Values::Integer(vec![received; rows]));
    }
}

fn internal_domain(account: &Account) -> Option<String> {
    if account.external != Some(false) {
        return None;
    }
    let domain = domain(&account.email)?;
    (!is_public(&domain)).then_some(domain)
}

fn is_public(domain: &str) -> bool {
    PUBLIC_DOMAINS.contains(&domain)
}

/// The domain of an e-mail address, in lower case.
fn domain(email: &str) -> Option<String> {
    let (user, domain) = email.rsplit_once('@')?;
    let fits = !user.is_empty() && !domain.is_empty() && !email.contains(char::is_whitespace);
    fits.then(|| domain.trim_end_matches('.').to_lowercase())
}

/// What is known about one id of a batch.
#[derive(Clone, Copy, Default)]
struct Known<'a> {
    account: Option<&'a Account>,
    email: Word,
    lower: Word,
    name: Word,
    status: Word,
    account_type: Word,
    domain: Word,
    admin: Option<bool>,
    external: Option<bool>,
}

/// Cells to be written, by column. There are only a few columns.
struct Fills<T>(Vec<(&'static str, Vec<(usize, T)>)>);

impl<T> Fills<T> {
    fn push(&mut self, column: &'static str, row: usize, value: T) {
        match self.0.iter_mut().find(|(name, _)| *name == column) {
            Some((_, cells)) => cells.push((row, value)),
            None => self.0.push((column, vec![(row, value)])),
        }
    }

    /// New columns come in a fixed order, so that the same input makes the same batch.
    fn sorted(mut self) -> Vec<(&'static str, Vec<(usize, T)>)> {
        self.0.sort_by_key(|(column, _)| *column);
        self.0
    }
}

/// One pass over a batch. Values are gathered first and written last, because the dictionary can't
/// grow while it is read.
struct Join<'a, 'b> {
    accounts: &'a Accounts,
    batch: &'b mut Batch,
    words: Words,
    /// By text id of the id.
    known: hashbrown::HashMap<TextId, Known<'a>>,
    /// By text id of an e-mail address: in lower case, its domain, whether it is outside.
    addresses: hashbrown::HashMap<TextId, (Word, Word, Option<bool>)>,
    texts: Fills<Word>,
    flags: Fills<bool>,
    names: Vec<(usize, Word)>,
}

impl<'a, 'b> Join<'a, 'b> {
    fn new(accounts: &'a Accounts, batch: &'b mut Batch) -> Self {
        Self {
            accounts,
            batch,
            words: Words::default(),
            known: hashbrown::HashMap::new(),
            addresses: hashbrown::HashMap::new(),
            texts: Fills(Vec::new()),
            flags: Fills(Vec::new()),
            names: Vec::new(),
        }
    }

    fn ids(&self, column: &str) -> Vec<TextId> {
        self.batch.text_ids(column).map_or_else(Vec::new, <[TextId]>::to_vec)
    }

    fn known(&mut self, id: TextId) -> Known<'a> {
        if id == 0 {
            return Known::default();
        }
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        let account = self.accounts.get(self.batch.texts.get(id));
        let known = account.map_or_else(Known::default, |account| {
            let domain = domain(&account.email).unwrap_or_default();
            Known {
                account: Some(account),
                email: self.words.want(&account.email),
                lower: self.words.want(&account.email.to_lowercase()),
                name: self.words.want(&account.name),
                status: self.words.want(&account.status),
                account_type: self.words.want(&account.account_type),
                domain: self.words.want(&domain),
                admin: account.admin,
                external: account.external.or_else(|| self.accounts.is_external(&domain)),
            }
        });
        self.known.insert(id, known);
        known
    }

    /// An e-mail address that stands in the batch: in lower case, its domain, whether it is outside.
    fn address(&mut self, id: TextId) -> (Word, Word, Option<bool>) {
        if let Some(address) = self.addresses.get(&id) {
            return *address;
        }
        let text = self.batch.texts.get(id);
        let address = match domain(text) {
            Some(domain) => (
                self.words.want(&text.to_lowercase()),
                self.words.want(&domain),
                self.accounts.is_external(&domain),
            ),
            None => (0, 0, None),
        };
        self.addresses.insert(id, address);
        address
    }

    fn fill(&mut self, column: &'static str, row: usize, word: Word) {
        if word != 0 {
            self.texts.push(column, row, word);
        }
    }

    fn flag(&mut self, column: &'static str, row: usize, value: Option<bool>) {
        if let Some(value) = value {
            self.flags.push(column, row, value);
        }
    }

    fn actor(&mut self) {
        let ids = self.ids("actor.id");
        let actors = self.ids("actor");
        let emails = self.ids("actor.email");
        let names = self.ids("actor.name");
        let types = self.ids("actor.type");
        let admins = Flags::of(self.batch, "actor.admin");
        let externals = Flags::of(self.batch, "actor.external");
        for row in 0..self.batch.len() {
            let id = at(&ids, row);
            let known = self.known(id);
            let email = at(&emails, row);
            let (lower, _, outside) = if email == 0 { (0, 0, None) } else { self.address(email) };
            if email == 0 {
                self.fill("actor.email", row, known.email);
            }
            self.person(
                "actor",
                row,
                at(&actors, row),
                id,
                if lower == 0 { known.lower } else { lower },
            );
            if at(&names, row) == 0 {
                self.fill("actor.name", row, known.name);
            }
            if at(&types, row) == 0 {
                self.fill("actor.type", row, known.account_type);
            }
            if admins.is_absent(row) {
                self.flag("actor.admin", row, known.admin);
            }
            if externals.is_absent(row) {
                self.flag("actor.external", row, known.external.or(outside));
            }
            self.fill("actor.status", row, known.status);
        }
    }

    /// Fills a column that names a person by e-mail address in lower case, or else by id.
    fn person(&mut self, column: &'static str, row: usize, said: TextId, id: TextId, lower: Word) {
        if said == 0 || said == id {
            self.fill(column, row, lower);
        } else {
            let (lowered, _, _) = self.address(said);
            self.fill(column, row, lowered);
        }
    }

    fn behalf(&mut self) {
        let ids = self.ids("behalf.id");
        let said = self.ids("behalf");
        if ids.is_empty() && said.is_empty() {
            return;
        }
        for row in 0..self.batch.len() {
            let id = at(&ids, row);
            let lower = self.known(id).lower;
            self.person("behalf", row, at(&said, row), id, lower);
        }
    }

    fn recipient(&mut self) {
        let ids = self.ids("recipient.id");
        let said = self.ids("recipient");
        let domains = self.ids("recipient.domain");
        if ids.is_empty() && said.is_empty() && domains.is_empty() {
            return;
        }
        let kinds = self.ids("recipient.kind");
        let externals = Flags::of(self.batch, "recipient.external");
        for row in 0..self.batch.len() {
            let kind = self.batch.texts.get(at(&kinds, row));
            // The ids of groups are numbers of their own, and may be those of users.
            let id = if matches!(kind, "" | "user") { at(&ids, row) } else { 0 };
            let known = self.known(id);
            let recipient = at(&said, row);
            self.person("recipient", row, recipient, at(&ids, row), known.lower);
            let (_, domain, outside) =
                if recipient == 0 { (0, 0, None) } else { self.address(recipient) };
            let given = at(&domains, row);
            if given == 0 {
                self.fill("recipient.domain", row, if domain == 0 { known.domain } else { domain });
            }
            if externals.is_absent(row) {
                let by_domain = if given == 0 {
                    outside
                } else {
                    self.accounts.is_external(&self.batch.texts.get(given).to_lowercase())
                };
                self.flag("recipient.external", row, known.external.or(by_domain));
            }
        }
    }

    fn objects(&mut self) {
        let Some(objects) = self.batch.nested("objects") else { return };
        let column = |name: &str| match objects.column(name) {
            Some(Values::Text(ids)) => ids.clone(),
            _ => Vec::new(),
        };
        let (kinds, ids, names) = (column("kind"), column("id"), column("name"));
        for row in 0..objects.rows() {
            let is_user = self.batch.texts.get(at(&kinds, row)) == "user";
            if is_user && at(&names, row) == 0 {
                let known = self.known(at(&ids, row));
                let word = if known.email == 0 { known.name } else { known.email };
                if known.account.is_some() && word != 0 {
                    self.names.push((row, word));
                }
            }
        }
    }

    /// Writes what was gathered.
    fn finish(self) {
        let Self { batch, mut words, texts, flags, names, .. } = self;
        words.settle(&mut batch.texts);
        let rows = batch.len();
        for (column, cells) in texts.sorted() {
            let mut values = match batch.column(column) {
                None => vec![0; rows],
                Some(Values::Text(values)) => values.clone(),
                // A plugin's column of another type is the app's word, however odd.
                Some(_) => continue,
            };
            for (row, word) in cells {
                if let Some(cell) = values.get_mut(row) {
                    *cell = words.id(word);
                }
            }
            batch.set_column(column, Values::Text(values));
        }
        for (column, cells) in flags.sorted() {
            let mut values = match batch.column(column) {
                None => vec![ABSENT_INTEGER; rows],
                Some(Values::Integer(values)) => values.clone(),
                Some(_) => continue,
            };
            for (row, value) in cells {
                if let Some(cell) = values.get_mut(row) {
                    *cell = i64::from(value);
                }
            }
            batch.set_column(column, Values::Integer(values));
        }
        if names.is_empty() {
            return;
        }
        let Some(objects) = batch.nested.iter_mut().find(|nested| nested.name == "objects") else {
            return;
        };
        let rows = objects.rows();
        if objects.column("name").is_none() {
            objects.columns.push(casbah_model::Column {
                name: "name".to_owned(),
                values: Values::Text(vec![0; rows]),
            });
        }
        let column = objects.columns.iter_mut().find(|column| column.name == "name");
        if let Some(Values::Text(values)) = column.map(|column| &mut column.values) {
            for (row, word) in names {
                if let Some(cell) = values.get_mut(row) {
                    *cell = words.id(word);
                }
            }
        }
    }
}

fn at(ids: &[TextId], row: usize) -> TextId {
    ids.get(row).copied().unwrap_or(0)
}

/// The flags of a column; all absent when there is none.
struct Flags(Vec<i64>);

impl Flags {
    fn of(batch: &Batch, column: &str) -> Self {
        Self(batch.integers(column).map_or_else(Vec::new, <[i64]>::to_vec))
    }

    fn is_absent(&self, row: usize) -> bool {
        self.0.get(row).is_none_or(|&value| value == ABSENT_INTEGER)
    }
}

#[cfg(test)]
mod tests;
