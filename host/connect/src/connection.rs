//! What is kept about a connection: how it was set up, how it does, where its streams stand.
//!
//! It is not the fetch loop, which writes most of this, and it holds no secret: those are the
//! vault's.

use std::collections::BTreeMap;
use std::fmt;

use casbah_model::adapter::{AdapterDescription, Produces};
use casbah_model::{ConnectionName, TenantName};
use casbah_store::{ScanRange, Store, Table, Write};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::directory::{Source, note};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::watch::{self, Lost, Warning, WarningKind};

/// Format of the records here. A record of a higher one is refused.
const FORMAT: u32 = 1;

/// One tenant's use of an app, as it was set up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Connection {
    /// Its name.
    pub name: ConnectionName,
    /// Name of the app, which is also that of the adapter.
    pub app: String,
    /// Region of the app.
    pub region: String,
    /// Base addresses by host name that stand in for those of the region.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, String>,
    /// Settings for the adapter.
    #[serde(default)]
    pub settings: serde_json::Value,
    /// Name of the budget of requests it shares with others; its own when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// Requests a minute; what the adapter says when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Mail domains of the organization; derived from its accounts when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub internal_domains: Vec<String>,
    /// Whether it is fetched at all.
    pub enabled: bool,
    /// When it was made, ms since 1970.
    pub created: i64,
    /// When it was signed in last, ms since 1970.
    pub signed_in: i64,
    /// How it is signed in.
    pub method: Method,
    /// Who signed it in, as far as casbah was told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub connected_by: String,
    /// Scopes that were granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Scopes that were asked for and not granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_scopes: Vec<String>,
    /// The app's id of the account it acts as.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account_id: String,
    /// E-mail address of that account.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account_email: String,
    /// The app's id of the organization.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub organization_id: String,
    /// Name of the organization.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub organization_name: String,
}

/// How a connection is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// By consent of an administrator.
    OAuth,
    /// With a token that somebody made in the app.
    PersonalToken,
    /// As an application that signs in by itself.
    Service,
}

/// How a connection does, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// It works, or has not been tried yet.
    Ok,
    /// Nothing fails, but something has to be looked at.
    Check,
    /// It is switched off.
    Disabled,
    /// Something fails again and again.
    Faulty,
    /// A right is missing.
    Forbidden,
    /// An administrator has to connect again.
    ReconnectNeeded,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Check => "check",
            Self::Disabled => "disabled",
            Self::Faulty => "faulty",
            Self::Forbidden => "forbidden",
            Self::ReconnectNeeded => "reconnect-needed",
        })
    }
}

/// What is wrong with a stream of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trouble {
    /// How bad it is.
    pub state: State,
    /// What happened, in words.
    pub reason: String,
    /// What an administrator can do about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Since when, ms since 1970.
    pub since: i64,
}

/// What was counted since the connection was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Counters {
    /// Requests sent.
    pub calls: u64,
    /// Answers that said: too many requests.
    pub throttles: u64,
    /// Requests that brought no page, throttles included.
    pub failures: u64,
    /// Bytes of answers, unpacked.
    pub bytes: u64,
    /// Activities stored.
    pub activities: u64,
    /// Activities that were in the log already.
    pub duplicates: u64,
    /// Activities that came later than allowed for.
    pub late: u64,
    /// Positions that the app refused, or that did not move.
    pub recoveries: u64,
}

/// How one stream of a connection does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct StreamStatus {
    /// When a page was last stored, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<i64>,
    /// Time of the newest activity, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<i64>,
    /// Whether there was nothing more to fetch then.
    pub caught_up: bool,
    /// When there was last nothing more to fetch, ms since 1970; for streams of activities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<i64>,
    /// What the app had forgotten before it was fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// What is wrong, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

/// How a connection does: written with every page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Status {
    /// Sums since the connection was made.
    pub counters: Counters,
    /// Accounts known, those that are gone not counted.
    pub accounts: u64,
    /// Time of the newest activity, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity: Option<i64>,
    /// When a page was last stored, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<i64>,
    /// Between the newest activity and the moment in which all of them were fetched, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// By how much the app's clock is ahead of ours, ms, when it is more than a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_offset: Option<i64>,
    /// How long the app keeps activities, days; 0 when unknown, or when there are none to get lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub retention_days: u32,
    /// Whether the app is the directory of the organization: its log may stay empty.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub directory: bool,
    /// The streams by name.
    pub streams: BTreeMap<String, StreamStatus>,
}

fn is_zero(days: &u32) -> bool {
    *days == 0
}

impl Status {
    /// Takes over what has to be known of the app when its adapter is not at hand.
    pub(crate) fn note(&mut self, description: &AdapterDescription) {
        let mut streams = description.streams.iter();
        let has_log = streams.any(|stream| stream.produces == Produces::Activities);
        self.retention_days = if has_log { description.retention_days } else { 0 };
        self.directory = description.directory;
    }

    /// The worst that is wrong with any stream.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.streams
            .values()
            .filter_map(|stream| stream.trouble.as_ref())
            .max_by_key(|trouble| trouble.state)
    }
}

/// A connection as it is shown: how it was set up and how it does. Its JSON form is what
/// `--format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConnectionReport {
    /// State in one word.
    pub state: State,
    /// Why, in words; empty when all is well.
    pub reason: String,
    /// What an administrator can do about it; may be empty.
    pub remedy: String,
    /// What has to be looked at although nothing fails, worst first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// How it was set up.
    #[serde(flatten)]
    pub connection: Connection,
    /// How it does.
    #[serde(flatten)]
    pub status: Status,
}

impl ConnectionReport {
    /// A connection as it is at the moment `now`.
    pub(crate) fn read(
        store: &dyn Store,
        tenant: &TenantName,
        connection: Connection,
        now: i64,
    ) -> Result<Self, ConnectError> {
        let name = &connection.name;
        let status = read_status(store, tenant, name)?;
        let tested = read_tested(store, tenant, name)?;
        let mut positions = BTreeMap::new();
        for stream in status.streams.keys() {
            positions.insert(stream.clone(), read_position(store, tenant, name, stream)?);
        }
        let warnings = watch::warnings(&connection, &status, &positions, now);
        Ok(Self::new(connection, status, tested, warnings))
    }

    fn new(
        connection: Connection,
        status: Status,
        tested: Option<Trouble>,
        mut warnings: Vec<Warning>,
    ) -> Self {
        // What a test found is over once something was fetched.
        let tested =
            tested.filter(|trouble| status.last_success.is_none_or(|at| at < trouble.since));
        let trouble =
            status.trouble().into_iter().chain(&tested).max_by_key(|trouble| trouble.state);
        // Nobody answers well who refuses.
        warnings.retain(|warning| trouble.is_none() || warning.kind != WarningKind::Empty);
        let (state, reason, remedy) = match trouble {
            _ if !connection.enabled => {
                let mut reason = "it is switched off".to_owned();
                if let Some(trouble) =
                    trouble.filter(|trouble| trouble.state == State::ReconnectNeeded)
                {
                    reason.push_str(&format!("; besides: {}", trouble.reason));
                }
                let remedy =
                    format!("switch it on with `casbah connection enable {}`", connection.name);
                (State::Disabled, reason, remedy)
            }
            Some(trouble) => (trouble.state, trouble.reason.clone(), trouble.remedy.clone()),
            None => match warnings.first() {
                None => (State::Ok, String::new(), String::new()),
                Some(worst) => (State::Check, worst.reason.clone(), worst.remedy.clone()),
            },
        };
        Self { state, reason, remedy, warnings, connection, status }
    }
}

/// Where a stream stands: written together with the page that led there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Position {
    /// What the last stored page returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
    /// Time of the newest activity stored, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) newest: Option<i64>,
    /// Where the backfill started, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    /// When a whole round was last fetched, ms since 1970; for streams of accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) round: Option<i64>,
}

/// A record with the version of its format.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    format: u32,
    #[serde(flatten)]
    record: T,
}

pub(crate) fn encode<T: Serialize>(what: &str, record: &T) -> Result<Vec<u8>, ConnectError> {
    serde_json::to_vec(&Versioned { format: FORMAT, record }).map_err(|error| {
        ConnectError::new(ConnectErrorKind::Store, format!("{what} can't be written: {error}"))
            .source(error)
    })
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, ConnectError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |error: serde_json::Error| {
        ConnectError::new(ConnectErrorKind::Store, format!("{what} can't be read: {error}"))
            .hint("check the data folder with `casbah store check`")
            .source(error)
    };
    let Format { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format > FORMAT {
        return Err(ConnectError::new(
            ConnectErrorKind::Store,
            format!("{what} was written by a newer version of casbah (format {format})"),
        )
        .hint("use that version with this data folder"));
    }
    let versioned: Versioned<T> = serde_json::from_slice(bytes).map_err(damaged)?;
    Ok(versioned.record)
}

fn status_key(name: &ConnectionName) -> Vec<u8> {
    format!("connection/{name}").into_bytes()
}

pub(crate) fn stream_key(name: &ConnectionName, stream: &str) -> Vec<u8> {
    format!("{name}/{stream}").into_bytes()
}

pub(crate) fn write_connection(connection: &Connection) -> Result<Write, ConnectError> {
    Ok(Write {
        table: Table::Connection,
        key: connection.name.as_str().as_bytes().to_vec(),
        value: Some(encode("a connection", connection)?),
    })
}

pub(crate) fn write_status(name: &ConnectionName, status: &Status) -> Result<Write, ConnectError> {
    Ok(Write {
        table: Table::Counter,
        key: status_key(name),
        value: Some(encode("the state of a connection", status)?),
    })
}

fn tested_key(name: &ConnectionName) -> Vec<u8> {
    format!("test/{name}").into_bytes()
}

/// Keeps what the last test of a connection found wrong, beside the status: that belongs to the fetch,
/// which may be under way.
pub(crate) fn write_tested(
    name: &ConnectionName,
    trouble: Option<&Trouble>,
) -> Result<Write, ConnectError> {
    Ok(Write {
        table: Table::Counter,
        key: tested_key(name),
        value: trouble.map(|trouble| encode("the test of a connection", trouble)).transpose()?,
    })
}

pub(crate) fn read_tested(
    store: &dyn Store,
    tenant: &TenantName,
    name: &ConnectionName,
) -> Result<Option<Trouble>, ConnectError> {
    let bytes = store.get(tenant, Table::Counter, &tested_key(name))?;
    bytes.map(|bytes| decode(&format!("the test of connection `{name}`"), &bytes)).transpose()
}

pub(crate) fn write_position(
    name: &ConnectionName,
    stream: &str,
    position: &Position,
) -> Result<Write, ConnectError> {
    Ok(Write {
        table: Table::Cursor,
        key: stream_key(name, stream),
        value: Some(encode("the position of a stream", position)?),
    })
}

pub(crate) fn read_position(
    store: &dyn Store,
    tenant: &TenantName,
    name: &ConnectionName,
    stream: &str,
) -> Result<Position, ConnectError> {
    match store.get(tenant, Table::Cursor, &stream_key(name, stream))? {
        Some(bytes) => decode(&format!("the position of stream `{stream}` of `{name}`"), &bytes),
        None => Ok(Position::default()),
    }
}

pub(crate) fn read_status(
    store: &dyn Store,
    tenant: &TenantName,
    name: &ConnectionName,
) -> Result<Status, ConnectError> {
    match store.get(tenant, Table::Counter, &status_key(name))? {
        Some(bytes) => decode(&format!("the state of connection `{name}`"), &bytes),
        None => Ok(Status::default()),
    }
}

pub(crate) fn read_connection(
    store: &dyn Store,
    tenant: &TenantName,
    name: &ConnectionName,
) -> Result<Option<Connection>, ConnectError> {
    match store.get(tenant, Table::Connection, name.as_str().as_bytes())? {
        Some(bytes) => Ok(Some(decode(&format!("connection `{name}`"), &bytes)?)),
        None => Ok(None),
    }
}

pub(crate) fn read_all(
    store: &dyn Store,
    tenant: &TenantName,
) -> Result<Vec<Connection>, ConnectError> {
    let mut found = Vec::new();
    store.scan(tenant, Table::Connection, &ScanRange::all(), false, &mut |key, bytes| {
        found.push((String::from_utf8_lossy(key).into_owned(), bytes.to_vec()));
        true
    })?;
    found.into_iter().map(|(name, bytes)| decode(&format!("connection `{name}`"), &bytes)).collect()
}

/// Everything of a connection that is kept beside the log: the keys to delete.
pub(crate) fn everything(
    store: &dyn Store,
    tenant: &TenantName,
    name: &ConnectionName,
) -> Result<Vec<Write>, ConnectError> {
    let mut writes = vec![
        Write { table: Table::Connection, key: name.as_str().as_bytes().to_vec(), value: None },
        Write { table: Table::Counter, key: status_key(name), value: None },
        Write { table: Table::Meta, key: note(&Source::Connection(name.clone())), value: None },
        Write { table: Table::Counter, key: tested_key(name), value: None },
    ];
    for table in [Table::Secret, Table::Cursor, Table::Account] {
        let prefix = ScanRange::prefix(stream_key(name, ""));
        store.scan(tenant, table, &prefix, false, &mut |key, _| {
            writes.push(Write { table, key: key.to_vec(), value: None });
            true
        })?;
    }
    Ok(writes)
}
