//! The directory of a tenant: who the people are across all apps, and what they were when.
//!
//! It is fed by the connections whose app is a directory (the adapter says so) and by a directory
//! file, and asked when activities are stored: [`Directory::join`] fills in whose they are and in
//! which state that person was *at the time of the activity*. What is new of somebody's state goes
//! into the log as an activity of its own, in the same write as the account, exactly once.
//!
//! It is not an adapter (it asks no app anything), and not the accounts of an app: those tell only
//! what an app's own numbers mean.

mod book;
mod dossier;
mod file;
mod history;
mod join;
mod pack;
mod people;
mod record;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use casbah_model::{Batch, ConnectionName, TenantName};
use casbah_store::{Commit, Committed, NewBlock, ScanRange, Store, Table, Write};
use tokio::sync::watch;

use crate::accounts::{Account, Members, fingerprint};
use crate::error::ConnectError;

use book::Book;
pub use book::Person;
pub use dossier::{Dossier, Entry, ListedPerson, Period};
pub use file::{DirectoryFile, FileError, FileErrorKind, FileErrors, PeopleFile};
pub use history::{Held, History, MOST_SPELLS, Spell, Standing};
pub use people::People;
use record::Record;
pub use record::Source;
pub(crate) use record::Word;
use rows::Row;

/// The app that news of the directory file are of.
pub const FILE_APP: &str = "directory";

/// Accounts that are written at once, at most, when many change.
const CHUNK: usize = 4096;

/// Where in the store it is noted that a source is a directory.
const NOTE: &str = "directory/";

/// The directory of a tenant.
pub struct Directory {
    tenant: TenantName,
    /// `None`: nothing is kept.
    store: Option<Arc<dyn Store>>,
    /// Held from reading accounts in the store until the book knows what was written.
    writing: Mutex<()>,
    inside: RwLock<Inside>,
    /// Connections whose first round is under way or still to come.
    awaited: watch::Sender<BTreeSet<ConnectionName>>,
}

#[derive(Default)]
struct Inside {
    book: Book,
    people: People,
    /// Accounts whose next spell begins at a time that lies ahead.
    ahead: BTreeSet<(i64, Source, String)>,
    /// The app of every source that the store has noted.
    apps: BTreeMap<Source, String>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({}, {} accounts)", self.tenant, self.read().book.len())
    }
}

/// What a directory said.
pub(crate) enum News<'a> {
    /// Accounts. With the fingerprints of all that a whole round named, the others are gone.
    Accounts(Vec<Account>, Word, Option<&'a HashSet<u128>>),
    /// Who is in which group. After a whole round, who was not named is in none.
    Members(&'a Members, bool),
    /// Nothing, but time has passed.
    Time,
    /// These are not told of any more.
    Forgotten(Vec<String>),
}

/// A part of what news change, on its way into the store.
pub(crate) struct Part {
    pub(crate) commit: Commit,
    /// Accounts of the source that are named and not gone, once this is written.
    pub(crate) present: u64,
    /// Whether it is the last one.
    pub(crate) last: bool,
}

/// What came of news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Accounts that are new or different.
    pub changed: u64,
    /// Activities that were added to the log.
    pub told: u64,
    /// Where the log ends now, if anything was added.
    pub log_end: Option<u64>,
}

/// Writes a part; it is durable when this returns.
pub(crate) type Commits<'a> = dyn FnMut(Part) -> Result<Committed, ConnectError> + 'a;

impl Directory {
    /// A directory that keeps nothing, for looking through saved logs.
    pub fn unkept(tenant: TenantName) -> Self {
        Self::with(tenant, None, Inside::default())
    }

    /// Reads the directory of a tenant from its store.
    ///
    /// # Errors
    /// `Store` when the store fails or holds something unreadable.
    pub fn open(store: Arc<dyn Store>, tenant: TenantName) -> Result<Self, ConnectError> {
        let mut inside = Inside::default();
        store.scan(&tenant, Table::Meta, &ScanRange::prefix(NOTE), false, &mut |key, app| {
            let name = String::from_utf8_lossy(key.get(NOTE.len()..).unwrap_or_default());
            if let Some(source) = Source::parse(&name) {
                inside.apps.insert(source, String::from_utf8_lossy(app).into_owned());
            }
            true
        })?;
        let sources: Vec<Source> = inside.apps.keys().cloned().collect();
        for source in sources {
            let mut failed = None;
            let prefix = ScanRange::prefix(source.account_key(""));
            store.scan(&tenant, Table::Account, &prefix, false, &mut |_, bytes| {
                match Record::read(bytes) {
                    Ok(record) => inside.put(&source, &record),
                    Err(error) => failed = Some(error),
                }
                failed.is_none()
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(Self::with(tenant, Some(store), inside))
    }

    fn with(tenant: TenantName, store: Option<Arc<dyn Store>>, inside: Inside) -> Self {
        Self {
            tenant,
            store,
            writing: Mutex::default(),
            inside: RwLock::new(inside),
            awaited: watch::Sender::default(),
        }
    }

    /// A connection whose app is a directory is about to be fetched: activities of others wait for
    /// its first round, for a while, so that they can be joined.
    pub fn expect(&self, connection: &ConnectionName) {
        self.awaited.send_modify(|awaited| {
            awaited.insert(connection.clone());
        });
    }

    /// Nobody waits for this connection any more.
    pub(crate) fn arrived(&self, connection: &ConnectionName) {
        self.awaited.send_if_modified(|awaited| awaited.remove(connection));
    }

    /// Returns once there is no connection to wait for.
    pub(crate) async fn settled(&self) {
        let mut awaited = self.awaited.subscribe();
        // The sender lives as long as the directory.
        let _ = awaited.wait_for(BTreeSet::is_empty).await;
    }

    fn read(&self) -> RwLockReadGuard<'_, Inside> {
        self.inside.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inside> {
        self.inside.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of accounts of all directories.
    pub fn len(&self) -> usize {
        self.read().book.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of all groups that it has heard of.
    pub fn groups(&self) -> BTreeSet<String> {
        self.read().book.groups().map(str::to_owned).collect()
    }

    /// Bytes of memory that the people take, as far as it can tell.
    pub fn bytes(&self) -> usize {
        self.read().book.bytes()
    }

    /// What is known of the person that has an address, in any case.
    pub fn person(&self, address: &str) -> Option<Person> {
        let address = address.trim().to_lowercase();
        let inside = self.read();
        let said = inside.people.get("", &address).map(str::to_owned);
        inside.book.by_address(&said.unwrap_or(address))
    }

    /// The state of a person at a time, ms since 1970; `None` when nobody knows.
    pub fn state_at(&self, address: &str, time: i64) -> Option<Held> {
        self.person(address)?.at(time)
    }

    /// Replaces the override table.
    pub fn set_people(&self, people: People) {
        self.write().people = people;
    }

    /// Fills `person`, `actor.status`, `actor.since` and `actor.groups` of a batch of activities of
    /// an app, and `actor.admin` and `actor.external` where they are absent. Joining a batch twice
    /// changes nothing.
    pub fn join(&self, batch: &mut Batch, app: &str, connection: &ConnectionName) {
        let inside = self.read();
        let source = Source::Connection(connection.clone());
        join::join(&inside.book, &inside.people, batch, app, &source);
    }

    /// Takes over what a directory said at `now`. The accounts and what the log is to be told of
    /// them are written together, in parts when there are many. Blocks for the disk.
    pub(crate) fn hear(
        &self,
        source: &Source,
        app: &str,
        news: News<'_>,
        now: i64,
        commits: &mut Commits<'_>,
    ) -> Result<Taken, ConnectError> {
        let _writing = self.writing();
        let due = if matches!(news, News::Time) { self.due(source, now) } else { Vec::new() };
        let changes = self.changes(source, news, now)?;
        let mut changes = self.told(changes, source, app, now);
        let mut taken = Taken { changed: 0, ..Taken::default() };
        let mut present = self.read().book.present(source);
        loop {
            let rest = changes.split_off(changes.len().min(CHUNK));
            let chunk = std::mem::replace(&mut changes, rest);
            let last = changes.is_empty();
            for change in &chunk {
                let is = change.after.as_ref().is_some_and(|record| record.account.is_present());
                let was = change.before.as_ref().is_some_and(|record| record.account.is_present());
                present = (present + u64::from(is)).saturating_sub(u64::from(was));
            }
            let (commit, rows) = self.commit(source, app, &chunk, now)?;
            let committed = commits(Part { commit, present, last })?;
            taken.changed += chunk.len() as u64;
            taken.told += rows;
            if rows > 0 {
                taken.log_end = Some(committed.first_sequence + committed.rows);
            }
            let mut inside = self.write();
            inside.apps.insert(source.clone(), app.to_owned());
            for change in chunk {
                let ahead = change.before.as_ref().and_then(|record| record.history.untold());
                if let Some(ahead) = ahead {
                    inside.ahead.remove(&(ahead, source.clone(), change.id.clone()));
                }
                match change.after {
                    Some(record) => inside.put(source, &record),
                    None => inside.book.remove(source, &change.id),
                }
            }
            if last {
                // What turned out to be nothing does not come up again.
                for (time, id) in due {
                    inside.ahead.remove(&(time, source.clone(), id));
                }
                return Ok(taken);
            }
        }
    }

    /// Accounts of which something begins by `now`, and when it does.
    fn due(&self, source: &Source, now: i64) -> Vec<(i64, String)> {
        let inside = self.read();
        let due = inside.ahead.iter().take_while(|(time, ..)| *time <= now);
        due.filter(|(_, of, _)| of == source).map(|(time, _, id)| (*time, id.clone())).collect()
    }

    /// What news change, in the order of the ids.
    fn changes(
        &self,
        source: &Source,
        news: News<'_>,
        now: i64,
    ) -> Result<Vec<Change>, ConnectError> {
        let mut changes = Changes { directory: self, source, by_id: BTreeMap::new() };
        match news {
            News::Accounts(accounts, word, whole) => {
                for account in accounts {
                    // Only that it is still there: that counts for what the round names.
                    if word == Word::News && account.is_unnamed() {
                        continue;
                    }
                    let record = changes.get(&account.id)?;
                    record.hear(account, word, now);
                }
                if let Some(named) = whole {
                    changes.each(|record| {
                        let lost = record.account.is_present()
                            && !named.contains(&fingerprint(&record.account.id));
                        if lost {
                            record.lose(now);
                        }
                    })?;
                }
            }
            News::Members(members, whole) => {
                for (id, groups) in members {
                    let record = changes.get(id)?;
                    record.account = std::mem::take(&mut record.account).with_groups(groups, whole);
                }
                if whole {
                    changes.each(|record| {
                        if !members.contains_key(&record.account.id) {
                            record.account.groups.clear();
                        }
                    })?;
                }
            }
            News::Time => {
                for (_, id) in self.due(source, now) {
                    changes.get(&id)?;
                }
            }
            News::Forgotten(ids) => {
                for id in ids {
                    changes.get(&id)?;
                    if let Some(change) = changes.by_id.get_mut(&id) {
                        change.after = None;
                    }
                }
            }
        }
        Ok(changes.finish())
    }

    /// Adds what the log is to be told, and leaves out what is as it was.
    fn told(&self, changes: Vec<Change>, source: &Source, app: &str, now: i64) -> Vec<Change> {
        let mut inside = self.write();
        let mut kept = Vec::new();
        for mut change in changes {
            if let Some(record) = &mut change.after {
                let address = inside.address_of(source, app, record);
                let spells = record.tell(&address, now);
                change.rows =
                    spells.iter().map(|&spell| Row::new(record, &address, spell)).collect();
            }
            if change.before != change.after {
                kept.push(change);
            }
        }
        kept
    }

    /// The write of some changes. Returns how many activities it adds to the log.
    fn commit(
        &self,
        source: &Source,
        app: &str,
        changes: &[Change],
        now: i64,
    ) -> Result<(Commit, u64), ConnectError> {
        let mut commit = Commit::new();
        let mut rows = Vec::new();
        let mut marks = Vec::new();
        let key = self.store.as_ref().map_or([0; 16], |store| store.mark_key());
        for change in changes {
            let place = source.account_key(&change.id);
            commit.writes.push(match &change.after {
                Some(record) => record.write(place)?,
                None => Write { table: Table::Account, key: place, value: None },
            });
            for row in &change.rows {
                marks.push(row.mark(source, key));
                rows.push(row);
            }
        }
        if self.read().apps.get(source).map(String::as_str) != Some(app) {
            commit = commit.put(Table::Meta, note(source), app);
        }
        let seen = match &self.store {
            Some(store) => store.seen(&self.tenant, &marks),
            None => vec![false; marks.len()],
        };
        let fresh: Vec<usize> =
            (0..rows.len()).filter(|&row| !seen.get(row).copied().unwrap_or(false)).collect();
        if fresh.is_empty() {
            return Ok((commit, 0));
        }
        let marks = fresh.iter().filter_map(|&row| marks.get(row)).copied().collect();
        let rows: Vec<&Row> = fresh.iter().filter_map(|&row| rows.get(row)).copied().collect();
        let block = rows::block(&rows, marks, source, app, now);
        Ok((commit.append(block), fresh.len() as u64))
    }

    /// Forgets a connection, which is being removed: what deletes its accounts deletes the note, too.
    pub(crate) fn forget(&self, connection: &ConnectionName) {
        let source = Source::Connection(connection.clone());
        let _writing = self.writing();
        let mut inside = self.write();
        inside.book.forget(&source);
        inside.apps.remove(&source);
        inside.ahead.retain(|(_, of, _)| *of != source);
    }

    /// Tells the log of what has come with time: leave dates above all. Blocks for the disk.
    ///
    /// # Errors
    /// `Store` when the store fails.
    pub fn pass(&self, now: i64) -> Result<Taken, ConnectError> {
        let due: BTreeSet<Source> = {
            let inside = self.read();
            inside
                .ahead
                .iter()
                .take_while(|(time, ..)| *time <= now)
                .map(|(_, source, _)| source.clone())
                .collect()
        };
        let mut all = Taken::default();
        for source in due {
            let app = self.read().apps.get(&source).cloned().unwrap_or_default();
            let taken = self.hear(&source, &app, News::Time, now, &mut |part| self.keep(part))?;
            all = all.and(taken);
        }
        Ok(all)
    }

    /// Takes over the whole content of a directory file. Who is not in it any more is forgotten, not
    /// gone. Blocks for the disk.
    ///
    /// # Errors
    /// `Store` when the store fails.
    pub fn apply(&self, file: &DirectoryFile, now: i64) -> Result<Taken, ConnectError> {
        let commits: &mut Commits<'_> = &mut |part| self.keep(part);
        self.apply_with(file, now, commits)
    }

    /// Forgets what a directory file said that is not used any more. Blocks for the disk.
    ///
    /// # Errors
    /// `Store` when the store fails.
    pub fn drop_file(&self, now: i64) -> Result<Taken, ConnectError> {
        if !self.read().apps.contains_key(&Source::File) {
            return Ok(Taken::default());
        }
        self.apply(&DirectoryFile::default(), now)
    }

    /// As [`Directory::apply`], for a directory that keeps nothing: returns what the log would be
    /// told, in batches.
    ///
    /// # Errors
    /// None that could be met without a store.
    pub fn apply_unkept(
        &self,
        file: &DirectoryFile,
        now: i64,
    ) -> Result<Vec<Arc<Batch>>, ConnectError> {
        let mut batches = Vec::new();
        self.apply_with(file, now, &mut |part| {
            let rows = part.commit.append.iter().map(|block| block.batch.len() as u64).sum();
            batches.extend(part.commit.append.into_iter().map(|NewBlock { batch, .. }| batch));
            Ok(Committed { first_sequence: 1, rows })
        })?;
        Ok(batches)
    }

    fn apply_with(
        &self,
        file: &DirectoryFile,
        now: i64,
        commits: &mut Commits<'_>,
    ) -> Result<Taken, ConnectError> {
        let accounts = file.accounts().to_vec();
        let named: HashSet<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
        let mut gone = Vec::new();
        if let Some(store) = &self.store {
            let prefix = Source::File.account_key("");
            let range = ScanRange::prefix(prefix.clone());
            store.scan(&self.tenant, Table::Account, &range, false, &mut |key, _| {
                let id = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default());
                if !named.contains(id.as_ref()) {
                    gone.push(id.into_owned());
                }
                true
            })?;
        }
        let mut all = Taken::default();
        if !gone.is_empty() {
            let news = News::Forgotten(gone);
            all = all.and(self.hear(&Source::File, FILE_APP, news, now, commits)?);
        }
        let news = News::Accounts(accounts, Word::Whole, None);
        Ok(all.and(self.hear(&Source::File, FILE_APP, news, now, commits)?))
    }

    /// Writes a part by itself, unless there is nothing to write.
    fn keep(&self, part: Part) -> Result<Committed, ConnectError> {
        match &self.store {
            Some(store) if !part.commit.writes.is_empty() || !part.commit.append.is_empty() => {
                Ok(store.commit(&self.tenant, part.commit)?)
            }
            _ => Ok(Committed { first_sequence: 0, rows: 0 }),
        }
    }
}

/// The key of the note that a source is a directory.
pub(crate) fn note(source: &Source) -> Vec<u8> {
    format!("{NOTE}{}", source.key()).into_bytes()
}

impl Taken {
    fn and(self, other: Self) -> Self {
        Self {
            changed: self.changed + other.changed,
            told: self.told + other.told,
            log_end: self.log_end.max(other.log_end),
        }
    }
}

impl Inside {
    /// The person whose account it is, as activities name them; empty when there is no address.
    fn address_of(&mut self, source: &Source, app: &str, record: &Record) -> String {
        let by_id = self.people.get(app, &record.account.id);
        let said = by_id.map(str::to_owned).or_else(|| {
            record.addresses().find_map(|own| self.people.get(app, &own).map(str::to_owned))
        });
        match said {
            Some(said) => self.book.by_address(&said).map_or(said, |person| person.address),
            None => self.book.address_of(source, record),
        }
    }

    fn put(&mut self, source: &Source, record: &Record) {
        self.book.put(source, record);
        // Whatever the log was not told of yet: also what came due while casbah was not running.
        if let Some(next) = record.history.untold() {
            self.ahead.insert((next, source.clone(), record.account.id.clone()));
        }
    }
}

/// An account before and after.
struct Change {
    id: String,
    before: Option<Record>,
    /// `None`: nothing is known of it any more.
    after: Option<Record>,
    rows: Vec<Row>,
}

/// The accounts that news touch, as they are changed.
struct Changes<'a> {
    directory: &'a Directory,
    source: &'a Source,
    by_id: BTreeMap<String, Change>,
}

impl Changes<'_> {
    /// An account, from the store or new.
    fn get(&mut self, id: &str) -> Result<&mut Record, ConnectError> {
        if !self.by_id.contains_key(id) {
            let Directory { store, tenant, .. } = self.directory;
            let before = match store {
                Some(store) => self.source.load(store.as_ref(), tenant, id)?,
                None => None,
            };
            self.add(id.to_owned(), before);
        }
        let change = self.by_id.entry(id.to_owned()).or_insert_with(|| Change {
            id: id.to_owned(),
            before: None,
            after: None,
            rows: Vec::new(),
        });
        Ok(change.after.get_or_insert_with(|| Record::new(id)))
    }

    fn add(&mut self, id: String, before: Option<Record>) {
        let after = before.clone();
        self.by_id.insert(id.clone(), Change { id, before, after, rows: Vec::new() });
    }

    /// Changes every account of the source, also those that are not touched yet; these are kept only
    /// when they differ.
    fn each(&mut self, change: impl Fn(&mut Record)) -> Result<(), ConnectError> {
        for known in self.by_id.values_mut() {
            if let Some(record) = &mut known.after {
                change(record);
            }
        }
        let Directory { store: Some(store), tenant, .. } = self.directory else { return Ok(()) };
        let mut failed = None;
        let range = ScanRange::prefix(self.source.account_key(""));
        let touched: HashSet<String> = self.by_id.keys().cloned().collect();
        let mut differing = Vec::new();
        store.scan(tenant, Table::Account, &range, false, &mut |_, bytes| {
            match Record::read(bytes) {
                Ok(before) if !touched.contains(&before.account.id) => {
                    let mut after = before.clone();
                    change(&mut after);
                    if after != before {
                        differing.push((before, after));
                    }
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
            failed.is_none()
        })?;
        for (before, after) in differing {
            let id = before.account.id.clone();
            let change = Change {
                id: id.clone(),
                before: Some(before),
                after: Some(after),
                rows: Vec::new(),
            };
            self.by_id.insert(id, change);
        }
        failed.map_or(Ok(()), Err)
    }

    fn finish(self) -> Vec<Change> {
        self.by_id.into_values().collect()
    }
}
