//! The door of this crate: the connections of all tenants, and what can be done with them.
//!
//! One [`Connections`] serves a process. It holds what must be shared within it: budgets of
//! requests, and the tokens of each connection, which one task at a time may refresh.

mod secrets;
mod settings;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use casbah_model::adapter::{Adapter, AdapterDescription, facts};
use casbah_model::{ConnectionName, TenantName};
use casbah_store::{Commit, Expect, Store, StoreErrorKind, Table};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::accounts::Accounts;
use crate::check::{CheckReport, Credentials, Subject};
use crate::client::{Hosts, Http};
use crate::clock::Clock;
use crate::connection::{
    Connection, ConnectionReport, Method, State, Trouble, everything, read_all, read_connection,
    read_status, read_tested, write_connection, write_status, write_tested,
};
use crate::directory::Directory;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::fetch::InStep;
use crate::limit::{Budget, Budgets};
use crate::oauth::{Bearer, ClientCredentials, Grant, Server, Tokens};
use crate::text;
use crate::vault::{Place, Vault};

pub use secrets::{SecretReference, secret_references};
pub use settings::check_settings;

use secrets::Secrets;

/// What a budget of requests is counted in.
const MINUTE: Duration = Duration::from_secs(60);

/// A grant that nobody used for so long is refreshed.
const IDLE: Duration = Duration::from_secs(7 * 86_400);

/// Times that a small change is tried while others change the same record.
const TRIES: u32 = 5;

/// The connections of all tenants. Clones are the same one.
#[derive(Clone)]
pub struct Connections {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    http: Http,
    clock: Clock,
    minute: Duration,
    budgets: Budgets,
    tokens: Mutex<HashMap<(TenantName, ConnectionName), Tokens>>,
    directories: Mutex<HashMap<TenantName, Arc<Directory>>>,
    in_step: Mutex<HashMap<TenantName, Arc<InStep>>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

/// A connection that is to be made, or signed in anew.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// Its name.
    pub name: ConnectionName,
    /// Region of the app; its first when `None`.
    pub region: Option<String>,
    /// Base addresses by host name that stand in for those of the region.
    pub hosts: BTreeMap<String, String>,
    /// Settings for the adapter, a JSON object; `{"sealed": true}` in the place of a secret.
    pub settings: serde_json::Value,
    /// Secret settings by name, see [`secret_references`]. What is not given stays as it was.
    pub secrets: BTreeMap<String, SecretString>,
    /// Name of the budget of requests it shares with others; its own when `None`.
    pub budget: Option<String>,
    /// Requests a minute; what the adapter says when `None`.
    pub requests_per_minute: Option<u32>,
    /// Mail domains of the organization; derived from its accounts when empty.
    pub internal_domains: Vec<String>,
    /// Who signs it in, for the record; may be empty.
    pub connected_by: String,
}

impl NewConnection {
    /// A connection of that name in the app's first region, with nothing special about it.
    pub fn new(name: ConnectionName) -> Self {
        Self {
            name,
            region: None,
            hosts: BTreeMap::new(),
            settings: serde_json::Value::Object(serde_json::Map::new()),
            secrets: BTreeMap::new(),
            budget: None,
            requests_per_minute: None,
            internal_domains: Vec::new(),
            connected_by: String::new(),
        }
    }
}

/// Whether a connection that is signed in anew may become that of another account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Only the same organization, and the same account where it was known.
    Refuse,
    /// Any account.
    Allow,
}

/// A connection that was made or signed in anew.
#[derive(Clone, Debug)]
pub struct Established {
    /// The connection, as it is kept now.
    pub report: ConnectionReport,
    /// What its test found.
    pub check: CheckReport,
}

/// What became of a connection's grant when it was removed.
#[derive(Clone, Debug)]
pub enum Removal {
    /// The app ended it.
    Revoked,
    /// There was nothing to end: a token made by hand, an application that signs in by itself, or no
    /// way to.
    NothingToRevoke,
    /// The app refused, had ended it already, or could not be told; the connection is removed all the
    /// same.
    NotRevoked(ConnectError),
}

/// What to do with a connection whose app can't be asked to end its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// It is kept.
    Keep,
    /// It is forgotten all the same.
    Forget,
}

/// What is needed of the kept connection to test it or fetch for it.
pub struct Kept {
    pub(crate) connection: Connection,
    pub(crate) hosts: Hosts,
    pub(crate) settings: String,
    pub(crate) budget: Arc<Budget>,
    pub(crate) tokens: Tokens,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The settings may hold secrets.
        write!(f, "Kept({})", self.connection.name)
    }
}

impl Connections {
    /// The connections in a store, with the vault that opens their secrets.
    pub fn new(store: Arc<dyn Store>, vault: Arc<Vault>, http: Http, clock: Clock) -> Self {
        Self::with_minute(store, vault, http, clock, MINUTE)
    }

    /// The same with another length of the minute, for tests.
    #[doc(hidden)]
    pub fn with_minute(
        store: Arc<dyn Store>,
        vault: Arc<Vault>,
        http: Http,
        clock: Clock,
        minute: Duration,
    ) -> Self {
        let inner = Inner {
            store,
            vault,
            http,
            clock,
            minute,
            budgets: Budgets::default(),
            tokens: Mutex::default(),
            directories: Mutex::default(),
            in_step: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The HTTP client for all apps.
    pub fn http(&self) -> &Http {
        &self.inner.http
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The directory of a tenant; read from the store when it is first asked for.
    ///
    /// # Errors
    /// `Store` when the store fails.
    pub fn directory(&self, tenant: &TenantName) -> Result<Arc<Directory>, ConnectError> {
        let mut directories = self.inner.directories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = directories.get(tenant) {
            return Ok(Arc::clone(directory));
        }
        let directory = Directory::open(Arc::clone(&self.inner.store), tenant.clone())?;
        let directory = Arc::new(directory);
        directories.insert(tenant.clone(), Arc::clone(&directory));
        Ok(directory)
    }

    /// What keeps the streams of a tenant in step.
    pub(crate) fn in_step(&self, tenant: &TenantName) -> Arc<InStep> {
        let mut all = self.inner.in_step.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(tenant.clone()).or_default())
    }

    /// All connections of a tenant, by name.
    ///
    /// # Errors
    /// `Store` when the store fails.
    pub fn list(&self, tenant: &TenantName) -> Result<Vec<ConnectionReport>, ConnectError> {
        let store = self.inner.store.as_ref();
        read_all(store, tenant)?
            .into_iter()
            .map(|connection| ConnectionReport::read(store, tenant, connection, self.clock().now()))
            .collect()
    }

    /// One connection.
    ///
    /// # Errors
    /// `Unknown` when there is none of that name, `Store` when the store fails.
    pub fn get(
        &self,
        tenant: &TenantName,
        name: &ConnectionName,
    ) -> Result<ConnectionReport, ConnectError> {
        let connection = self.connection(tenant, name)?;
        ConnectionReport::read(self.inner.store.as_ref(), tenant, connection, self.clock().now())
    }

    fn connection(
        &self,
        tenant: &TenantName,
        name: &ConnectionName,
    ) -> Result<Connection, ConnectError> {
        let store = self.inner.store.as_ref();
        if let Some(connection) = read_connection(store, tenant, name)? {
            return Ok(connection);
        }
        let all = read_all(store, tenant)?;
        let names = || all.iter().map(|connection| connection.name.as_str());
        let hint = match text::closest(name.as_str(), names()) {
            Some(close) => format!("did you mean `{close}`?"),
            None if all.is_empty() => "make one with `casbah connect`".to_owned(),
            None => format!("there are {}", text::names(names())),
        };
        let message = format!("there is no connection `{name}`");
        Err(ConnectError::new(ConnectErrorKind::Unknown, message).hint(hint))
    }

    /// Switches a connection on or off. A fetch that is under way is not stopped by it.
    ///
    /// # Errors
    /// As [`Connections::get`].
    pub fn set_enabled(
        &self,
        tenant: &TenantName,
        name: &ConnectionName,
        enabled: bool,
    ) -> Result<ConnectionReport, ConnectError> {
        for _ in 0..TRIES {
            let known = recorded(self.inner.store.as_ref(), tenant, name)?;
            let mut connection = self.connection(tenant, name)?;
            connection.enabled = enabled;
            let mut commit = Commit::new();
            commit.expect.push(known);
            commit.writes.push(write_connection(&connection)?);
            match self.inner.store.commit(tenant, commit) {
                Ok(_) => return self.get(tenant, name),
                // Somebody else wrote it between reading and writing.
                Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(changed(name))
    }

    /// Makes a connection with a grant, or signs an existing one in anew: tests it, and keeps
    /// connection, grant and client in one write. It is kept even if the test fails, so that what is
    /// wrong in the app can be put right there.
    ///
    /// # Errors
    /// `Exists` when a connection of that name is of another app, `OtherAccount` when an existing one
    /// would become another account's; as [`Hosts::resolve`]; `Store`, also when somebody else
    /// changed the connection while it was tested.
    pub async fn establish(
        &self,
        tenant: &TenantName,
        mut new: NewConnection,
        grant: Grant,
        credentials: Option<ClientCredentials>,
        adapter: Arc<dyn Adapter>,
        switch: Switch,
    ) -> Result<Established, ConnectError> {
        let inner = &self.inner;
        let description = adapter.description().clone();
        check_settings(&description, &new.settings)?;
        let hosts = Hosts::resolve(&description, new.region.as_deref(), &new.hosts)?;
        let known = recorded(inner.store.as_ref(), tenant, &new.name)?;
        let before = read_connection(inner.store.as_ref(), tenant, &new.name)?;
        if let Some(before) = before.as_ref().filter(|before| before.app != description.name) {
            return Err(ConnectError::new(
                ConnectErrorKind::Exists,
                format!("connection `{}` exists already, for `{}`", new.name, before.app),
            )
            .hint("choose another name, or remove that connection first"));
        }
        let sealed = match before.as_ref().map(|before| self.secrets(tenant, before)) {
            Some(Err(error)) if error.kind() == ConnectErrorKind::Secret => {
                // Signing in anew is what is to be done when the key was lost.
                tracing::warn!(connection = %new.name, "{error}: secret settings are not kept");
                Secrets::default()
            }
            Some(sealed) => sealed?,
            None => Secrets::default(),
        };
        let given = std::mem::take(&mut new.secrets);
        let secrets = Secrets::establish(&description, given, sealed, &mut new.settings)?;
        let mut connection =
            assemble(&new, &description, &hosts, &grant, before.as_ref(), inner.clock.now());
        let check = Subject {
            adapter,
            hosts,
            settings: secrets.merged(&connection.settings),
            http: inner.http.clone(),
            clock: inner.clock.clone(),
            budget: self.budget(tenant, &connection, &description),
            credentials: Credentials::Fresh(Bearer { token: grant.access.clone(), generation: 0 }),
        }
        .run()
        .await;
        remember(&mut connection, &check, before.as_ref());
        if let Some(before) = before.as_ref().filter(|_| switch == Switch::Refuse) {
            same_account(before, &connection)?;
        }
        let trouble = check.trouble(inner.clock.now());
        let kept = Keep {
            known,
            connection: &connection,
            grant: &grant,
            credentials: credentials.as_ref(),
            secrets: &secrets,
            trouble: trouble.as_ref(),
            description: &description,
        };
        self.keep(tenant, kept).await?;
        Ok(Established { report: self.get(tenant, &new.name)?, check })
    }

    /// Writes connection and secrets at once, and makes everybody use them from now on.
    async fn keep(&self, tenant: &TenantName, kept: Keep<'_>) -> Result<(), ConnectError> {
        let inner = &self.inner;
        let Keep { known, connection, grant, credentials, secrets, trouble, description } = kept;
        let place = |name| Place { tenant, connection: &connection.name, name };
        let mut commit = Commit::new();
        commit.expect.push(known);
        commit.writes.push(write_connection(connection)?);
        commit.writes.push(inner.vault.put(place(crate::oauth::TOKEN), &grant.encode()?)?);
        commit.writes.push(match credentials {
            Some(client) => inner.vault.put(place(crate::oauth::CLIENT), &client.encode()?)?,
            None => inner.vault.erase(place(crate::oauth::CLIENT)),
        });
        commit.writes.push(if secrets.is_empty() {
            inner.vault.erase(place(secrets::SETTINGS))
        } else {
            inner.vault.put(place(secrets::SETTINGS), &secrets.encode()?)?
        });
        let mut status = read_status(inner.store.as_ref(), tenant, &connection.name)?;
        status.note(description);
        for stream in status.streams.values_mut() {
            stream.trouble = None;
            stream.lost = None;
        }
        commit.writes.push(write_status(&connection.name, &status)?);
        commit.writes.push(write_tested(&connection.name, trouble)?);
        let (store, owner) = (Arc::clone(&inner.store), tenant.clone());
        let written = tokio::task::spawn_blocking(move || store.commit(&owner, commit))
            .await
            .map_err(|_| ConnectError::new(ConnectErrorKind::Stopped, "storing was broken off"))?;
        written.map_err(|error| match error.kind() {
            StoreErrorKind::Conflict => changed(&connection.name),
            _ => error.into(),
        })?;
        self.forget(tenant, &connection.name).await;
        Ok(())
    }

    /// Tests a connection, and keeps what is wrong with it for its report.
    ///
    /// # Errors
    /// As [`Connections::get`]; what the test itself finds is in the report.
    pub async fn check(
        &self,
        tenant: &TenantName,
        name: &ConnectionName,
        adapter: Arc<dyn Adapter>,
    ) -> Result<CheckReport, ConnectError> {
        let kept = self.kept(tenant, name, adapter.description())?;
        let limitations = adapter.description().limitations.clone();
        let subject = Subject {
            adapter,
            hosts: kept.hosts,
            settings: kept.settings,
            http: self.inner.http.clone(),
            clock: self.inner.clock.clone(),
            budget: kept.budget,
            credentials: Credentials::Kept(kept.tokens),
        };
        let mut report = subject.run().await;
        self.tested(tenant, name, report.trouble(self.clock().now()).as_ref())?;
        report.warn(&self.get(tenant, name)?.warnings, &limitations);
        Ok(report)
    }

    /// Keeps what a test found wrong, or that nothing is.
    fn tested(
        &self,
        tenant: &TenantName,
        name: &ConnectionName,
        trouble: Option<&Trouble>,
    ) -> Result<(), ConnectError> {
        let mut commit = Commit::new();
        commit.expect.push(recorded(self.inner.store.as_ref(), tenant, name)?);
        commit.writes.push(write_tested(name, trouble)?);
        match self.inner.store.commit(tenant, commit) {
            // It was changed or removed meanwhile, so the test says nothing about it.
            Err(error) if error.kind() == StoreErrorKind::Conflict => Ok(()),
            other => Ok(other.map(|_| ())?),
        }
    }

    /// Refreshes the grant of a connection that is not fetched, so that it does not die of being idle:
    /// some apps end a refresh token that nobody used for some weeks. Call it once in a while; it asks
    /// the app no more than once a week. Returns whether it did.
    ///
    /// # Errors
    /// As [`Connections::get`]; `Reconnect` when the grant is dead, which is kept for the report, too;
    /// as the app says when it can't be refreshed now.
    pub async fn keep_alive(
        &self,
        tenant: &TenantName,
        name: &ConnectionName,
        description: &AdapterDescription,
    ) -> Result<bool, ConnectError> {
        let kept = self.kept(tenant, name, description)?;
        if kept.connection.enabled || kept.connection.method != Method::OAuth {
            return Ok(false);
        }
        if let Some(trouble) = read_tested(self.inner.store.as_ref(), tenant, name)?
            && trouble.state == State::ReconnectNeeded
        {
            return Ok(false);
        }
        let kept_alive = kept.tokens.keep_alive(IDLE).await;
        if let Err(error) = &kept_alive
            && error.kind() == ConnectErrorKind::Reconnect
        {
            let trouble = Trouble {
                state: State::ReconnectNeeded,
                reason: text::shown(error.message(), 300),
                remedy: error.remedy().unwrap_or_default().to_owned(),
                since: self.clock().now(),
            };
            self.tested(tenant, name, Some(&trouble))?;
        }
        kept_alive
    }

    /// Ends the grant at the app, then forgets connection, secrets, positions and accounts. What is
    /// in the log stays until retention takes it. Stop its fetch before: one that is still under way
    /// would write its position again.
    ///
    /// # Errors
    /// As [`Connections::get`]; with [`Unreachable::Keep`] also `Network`, `Busy` or `Malformed` when
    /// the app could not be asked, and nothing is removed then. That the app refused to end the grant,
    /// or had ended it already, is no error, but in the result.
    pub async fn remove(
        &self,
        tenant: &TenantName,
        name: &ConnectionName,
        description: &AdapterDescription,
        unreachable: Unreachable,
    ) -> Result<Removal, ConnectError> {
        let connection = self.connection(tenant, name)?;
        let revocable = connection.method == Method::OAuth
            && description.oauth.as_ref().is_some_and(|oauth| oauth.revoke.is_some());
        let removal = if revocable {
            let revoked = match self.kept(tenant, name, description) {
                Ok(kept) => revoke(&kept.tokens).await,
                Err(error) => Err(error),
            };
            match revoked {
                Ok(()) => Removal::Revoked,
                // The token may be alive and well at the app.
                Err(error) if unreachable == Unreachable::Keep && is_unreachable(&error) => {
                    return Err(error);
                }
                Err(error) => Removal::NotRevoked(error),
            }
        } else {
            Removal::NothingToRevoke
        };
        let mut commit = Commit::new();
        commit.writes = everything(self.inner.store.as_ref(), tenant, name)?;
        self.inner.store.commit(tenant, commit)?;
        self.directory(tenant)?.forget(name);
        let key = (tenant.clone(), name.clone());
        let held = self.inner.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if let Some(tokens) = held {
            tokens.end().await;
        }
        Ok(removal)
    }

    /// The accounts of a connection as they are stored.
    ///
    /// # Errors
    /// As [`Connections::get`].
    pub fn accounts(
        &self,
        tenant: &TenantName,
        name: &ConnectionName,
    ) -> Result<Accounts, ConnectError> {
        let connection = self.connection(tenant, name)?;
        let domains = &connection.internal_domains;
        Accounts::load(self.inner.store.as_ref(), tenant, name, domains)
    }

    /// Forgets the tokens in memory; they are read from the store again when next needed, and a
    /// refused one may be refreshed at once.
    pub async fn forget(&self, tenant: &TenantName, name: &ConnectionName) {
        let key = (tenant.clone(), name.clone());
        let held = self.inner.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if let Some(tokens) = held {
            tokens.forget().await;
        }
    }

    /// Everything that is needed to speak with the app for a connection.
    pub(crate) fn kept(
        &self,
        tenant: &TenantName,
        name: &ConnectionName,
        description: &AdapterDescription,
    ) -> Result<Kept, ConnectError> {
        let connection = self.connection(tenant, name)?;
        if connection.app != description.name {
            return Err(ConnectError::new(
                ConnectErrorKind::Configuration,
                format!(
                    "connection `{name}` is for `{}`, and the adapter for `{}`",
                    connection.app, description.name
                ),
            ));
        }
        let hosts = Hosts::resolve(description, Some(&connection.region), &connection.hosts)?;
        let server = Server::of(connection.method, description, &hosts, &connection.settings)?;
        let inner = &self.inner;
        let tokens = inner
            .tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((tenant.clone(), name.clone()))
            .or_insert_with(|| {
                Tokens::new(crate::oauth::Keeping {
                    tenant: tenant.clone(),
                    connection: name.clone(),
                    store: Arc::clone(&inner.store),
                    vault: Arc::clone(&inner.vault),
                    http: inner.http.clone(),
                    clock: inner.clock.clone(),
                    server,
                    minute: inner.minute,
                })
            })
            .clone();
        let budget = self.budget(tenant, &connection, description);
        let settings = self.secrets(tenant, &connection)?.merged(&connection.settings);
        Ok(Kept { settings, hosts, budget, tokens, connection })
    }

    /// The secret settings of a connection, out of the vault.
    fn secrets(
        &self,
        tenant: &TenantName,
        connection: &Connection,
    ) -> Result<Secrets, ConnectError> {
        let place = Place { tenant, connection: &connection.name, name: secrets::SETTINGS };
        match self.inner.vault.get(self.inner.store.as_ref(), place)? {
            Some(opened) => Secrets::decode(opened.secret.expose_secret()),
            None => Ok(Secrets::default()),
        }
    }

    fn budget(
        &self,
        tenant: &TenantName,
        connection: &Connection,
        description: &AdapterDescription,
    ) -> Arc<Budget> {
        let requests = connection.requests_per_minute.unwrap_or(description.requests_per_minute);
        // A shared budget is the tenant's and the app's; a connection's own can't be named by others.
        let name = match &connection.budget {
            Some(shared) => format!("{tenant}/{}/shared/{shared}", connection.app),
            None => format!("{tenant}/{}/own/{}", connection.app, connection.name),
        };
        self.inner.budgets.get(&name, requests, self.inner.minute)
    }
}

/// What [`Connections::keep`] writes.
struct Keep<'a> {
    known: Expect,
    connection: &'a Connection,
    grant: &'a Grant,
    credentials: Option<&'a ClientCredentials>,
    secrets: &'a Secrets,
    /// What the test found wrong.
    trouble: Option<&'a Trouble>,
    description: &'a AdapterDescription,
}

/// Whether it was not the app that refused.
fn is_unreachable(error: &ConnectError) -> bool {
    matches!(
        error.kind(),
        ConnectErrorKind::Network
            | ConnectErrorKind::Busy
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Malformed
    )
}

/// Revokes a grant. When the app is busy it is asked once more after the time it names, but nobody
/// is kept waiting for longer than a few seconds.
async fn revoke(tokens: &Tokens) -> Result<(), ConnectError> {
    const PATIENCE: Duration = Duration::from_secs(5);
    match tokens.revoke().await {
        Err(error) if error.kind() == ConnectErrorKind::Busy => {
            let wait = error.retry_after().unwrap_or(Duration::from_secs(1));
            if wait > PATIENCE {
                return Err(error);
            }
            tokio::time::sleep_until(Instant::now() + wait).await;
            tokens.revoke().await
        }
        other => other,
    }
}

/// The record of a connection as it is now, for a write that must not undo somebody else's.
fn recorded(
    store: &dyn Store,
    tenant: &TenantName,
    name: &ConnectionName,
) -> Result<Expect, ConnectError> {
    let (table, key) = (Table::Connection, name.as_str().as_bytes().to_vec());
    let value = store.get(tenant, table, &key)?;
    Ok(Expect { table, key, value })
}

fn changed(name: &ConnectionName) -> ConnectError {
    let message = format!("connection `{name}` was changed by somebody else at the same time");
    ConnectError::new(ConnectErrorKind::Store, message).hint("try again")
}

fn assemble(
    new: &NewConnection,
    description: &AdapterDescription,
    hosts: &Hosts,
    grant: &Grant,
    before: Option<&Connection>,
    now: i64,
) -> Connection {
    Connection {
        name: new.name.clone(),
        app: description.name.clone(),
        region: hosts.region().to_owned(),
        hosts: new.hosts.clone(),
        settings: new.settings.clone(),
        budget: new.budget.clone(),
        requests_per_minute: new.requests_per_minute,
        internal_domains: new.internal_domains.clone(),
        enabled: true,
        created: before.map_or(now, |before| before.created),
        signed_in: now,
        method: grant.method,
        connected_by: new.connected_by.clone(),
        scopes: grant.scopes.clone(),
        missing_scopes: grant.missing_scopes.clone(),
        account_id: String::new(),
        account_email: String::new(),
        organization_id: String::new(),
        organization_name: String::new(),
    }
}

/// Takes over what the test found out. What it did not is kept from before, so that the next sign-in
/// has something to be compared with.
fn remember(connection: &mut Connection, check: &CheckReport, before: Option<&Connection>) {
    connection.account_id = check.fact(facts::ACCOUNT_ID).to_owned();
    connection.account_email = check.fact(facts::ACCOUNT_EMAIL).to_owned();
    connection.organization_id = check.fact(facts::ORGANIZATION_ID).to_owned();
    connection.organization_name = check.fact(facts::ORGANIZATION_NAME).to_owned();
    let Some(before) = before else { return };
    if connection.account_id.is_empty() && connection.account_email.is_empty() {
        connection.account_id.clone_from(&before.account_id);
        connection.account_email.clone_from(&before.account_email);
    }
    let same = connection.account_id == before.account_id;
    if same && connection.organization_id.is_empty() && connection.organization_name.is_empty() {
        connection.organization_id.clone_from(&before.organization_id);
        connection.organization_name.clone_from(&before.organization_name);
    }
}

/// A connection must not silently become that of another organization or account: its position and
/// its accounts would not fit.
fn same_account(before: &Connection, now: &Connection) -> Result<(), ConnectError> {
    let differs = |before: &str, now: &str| !before.is_empty() && !now.is_empty() && before != now;
    let named =
        |email: &str, id: &str| if email.is_empty() { id.to_owned() } else { email.to_owned() };
    let (was, is) = if differs(&before.organization_id, &now.organization_id) {
        (
            named(&before.organization_name, &before.organization_id),
            named(&now.organization_name, &now.organization_id),
        )
    } else if differs(&before.account_id, &now.account_id) {
        (
            named(&before.account_email, &before.account_id),
            named(&now.account_email, &now.account_id),
        )
    } else {
        return Ok(());
    };
    Err(ConnectError::new(
        ConnectErrorKind::OtherAccount,
        format!("connection `{}` is that of `{was}`, but the sign-in was for `{is}`", now.name),
    )
    .hint("sign in with the same account, choose another name, or allow the switch"))
}

#[cfg(test)]
mod tests;
