//! What host and adapter say to each other: the plan of a request, its answer, a page, a failure.
//!
//! An adapter is pure. It never sees a token and never touches the network: it returns the next
//! request as data, and the host carries it out.

use serde::{Deserialize, Serialize};

use crate::table::Batch;

/// What an adapter is and what its app needs. Crosses the boundary as JSON, so that it can grow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AdapterDescription {
    /// Name of the app, e.g. `smartsheet`.
    pub name: String,
    /// Version of the adapter.
    pub version: String,
    /// Name for people, e.g. `Smartsheet`.
    pub title: String,
    /// Places where the app runs; the first is the default.
    pub regions: Vec<Region>,
    /// How an administrator signs in; `None` where only pasted tokens are taken.
    #[serde(default)]
    pub oauth: Option<OAuth>,
    /// Whether a token made by hand in the app can be used instead.
    #[serde(default)]
    pub personal_token: bool,
    /// What can be fetched, in the order in which the first fetch should be done.
    pub streams: Vec<Stream>,
    /// Requests a minute that the app allows one token.
    pub requests_per_minute: u32,
    /// How long the app keeps activities, days; 0 when unknown.
    #[serde(default)]
    pub retention_days: u32,
    /// Whether its accounts are the organization's directory: what they say of people counts for
    /// activities of all connections.
    #[serde(default)]
    pub directory: bool,
    /// JSON Schema of the connection's settings. A text at the top that is marked `"writeOnly": true`
    /// is a secret: the host seals it and shows it nowhere; one marked `"x-random": true`, too, is
    /// made at random when nobody gives it.
    #[serde(default)]
    pub settings: serde_json::Value,
    /// What this adapter or its app can't do, one sentence each.
    #[serde(default)]
    pub limitations: Vec<String>,
}

/// A place where the app runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Region {
    /// Short name, e.g. `eu`.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Base address by host name, without a slash at the end. `api` takes the data requests.
    pub hosts: std::collections::BTreeMap<String, String>,
}

/// How an administrator signs in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OAuth {
    /// Page where consent is given; `None` where nobody signs in and only the client proves itself.
    #[serde(default)]
    pub authorize: Option<Endpoint>,
    /// Where codes and refresh tokens are exchanged.
    pub token: Endpoint,
    /// How a grant is ended; `None` where there is no way.
    #[serde(default)]
    pub revoke: Option<Revoke>,
    /// Scopes to ask for: the fewest that reading needs.
    pub scopes: Vec<String>,
    /// Whether to send a PKCE challenge: `off`, `send` or `require`.
    pub pkce: Pkce,
    /// How the client proves itself at the token end point.
    pub client_authentication: ClientAuthentication,
    /// Whether the redirect address is sent along, or the registered one is relied on.
    #[serde(default)]
    pub send_redirect: bool,
    /// How the client gets tokens of its own, without anybody signing in; `None` where it can't.
    #[serde(default)]
    pub client_credentials: Option<ClientGrant>,
}

/// The client credentials grant (RFC 6749 section 4.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClientGrant {
    /// Scopes to ask for. `{host.NAME}` stands for the base address of that host of the region, and
    /// `{setting.NAME}` for that setting of the connection.
    pub scopes: Vec<String>,
    /// How the client proves itself.
    pub client_authentication: ClientAuthentication,
    /// What is sent as the client's id, with `{client}` for the id the operator gave and
    /// `{setting.NAME}` for a setting of the connection; empty for the id alone.
    #[serde(default)]
    pub client_id: String,
    /// Whether a certificate may take the place of the secret: the client signs an assertion with its
    /// key (RFC 7523).
    #[serde(default)]
    pub certificate: bool,
}

/// An address below one of the region's hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Name of the host.
    pub host: String,
    /// Path below its base address, starting with `/`. `{setting.NAME}` stands for that setting of
    /// the connection.
    pub path: String,
}

/// How a grant is ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Revoke {
    /// Where.
    pub endpoint: Endpoint,
    /// HTTP method. With `DELETE` the access token goes into the header, with `POST` RFC 7009 holds.
    pub method: String,
}

/// Whether to send a PKCE challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pkce {
    /// Never.
    Off,
    /// Always, although the server does not say that it checks it.
    Send,
    /// Always, and the server checks it.
    Require,
}

/// How the client proves itself at the token end point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuthentication {
    /// `client_id` and `client_secret` in the form.
    Body,
    /// HTTP Basic, both form-encoded first, as the RFC says.
    Basic,
    /// HTTP Basic without that encoding.
    BasicRaw,
}

/// Something that can be fetched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stream {
    /// Name, e.g. `activities`.
    pub name: String,
    /// What its pages hold.
    pub produces: Produces,
    /// How long to wait once caught up, seconds.
    pub interval_seconds: u64,
    /// How many records to ask for at most.
    pub page_size: u32,
    /// The page size is never halved below this.
    pub smallest_page_size: u32,
    /// What a round over a stream of accounts or memberships tells. Means nothing for others.
    #[serde(default)]
    pub rounds: Rounds,
}

/// What a round of pages over accounts tells about those it does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounds {
    /// It names all there are: who is not named is gone.
    #[default]
    Whole,
    /// The first one names all there are, later ones what has changed since: the cursor of a round's
    /// last page begins the next one, absent columns mean *unchanged*, and who is gone is named with
    /// the status `deleted`. A refused cursor begins anew with a whole round.
    Delta,
    /// It names some: nothing follows from not being named.
    Some,
}

/// What the pages of a stream hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Produces {
    /// Activities, for the log.
    Activities,
    /// Accounts: every page adds or updates; what a whole round did not name is gone.
    Accounts,
    /// Memberships, in the columns of `vocabulary::MEMBERSHIP_COLUMNS`: what a whole round did not
    /// name has ended.
    Memberships,
    /// Facts about the connection, for its test. Fetched once on demand, page after page.
    Facts,
}

/// What to plan a request from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanRequest {
    /// Name of one of the described streams.
    pub stream: String,
    /// What the last page of this stream returned; none at the start.
    pub cursor: Option<String>,
    /// The connection's settings as JSON.
    pub settings: String,
    /// The host's clock, ms since 1970.
    pub now: i64,
    /// Where a backfill starts, ms since 1970.
    pub since: i64,
    /// Time of the newest activity stored from this stream, ms since 1970.
    pub newest: Option<i64>,
    /// How many records to ask for at most.
    pub page_size: u32,
    /// The cursor was refused: find a new place to start from `newest`, with an overlap.
    pub recover: bool,
}

/// An HTTP request relative to a described host. The host adds authorization.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// HTTP method in capitals.
    pub method: String,
    /// Name of a host of the region, e.g. `api`.
    pub host: String,
    /// Path below that host's base address, starting with `/`.
    pub path: String,
    /// Query, not yet encoded.
    pub query: Vec<(String, String)>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Body; empty for none.
    pub body: Vec<u8>,
}

/// An answer to a planned request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// What the request was planned from.
    pub request: PlanRequest,
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, already unpacked.
    pub body: Vec<u8>,
}

/// When to ask again. Closed for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once.
    More,
    /// After the stream's interval.
    CaughtUp,
    /// After so many milliseconds.
    Wait(u64),
}

/// What a response holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// When to ask again.
    pub next: Next,
    /// Kept and handed to the next plan, once the page is stored.
    pub cursor: String,
    /// Activities or accounts, as the stream's description says.
    pub batch: Batch,
    /// For every row, where in the body its raw record starts and ends.
    pub raw: Vec<u32>,
    /// What else was learned; names in [`facts`].
    pub facts: Vec<(String, String)>,
}

/// Names of facts that an adapter may report.
pub mod facts {
    /// The app's id of the account the token belongs to.
    pub const ACCOUNT_ID: &str = "account.id";
    /// Its e-mail address.
    pub const ACCOUNT_EMAIL: &str = "account.email";
    /// `true` or `false`: whether it is an administrator.
    pub const ACCOUNT_ADMIN: &str = "account.admin";
    /// The app's id of the organization.
    pub const ORGANIZATION_ID: &str = "organization.id";
    /// Its name.
    pub const ORGANIZATION_NAME: &str = "organization.name";
    /// `true` when reading activities was tried and allowed.
    pub const MAY_READ_ACTIVITIES: &str = "may-read-activities";
    /// What can't be read although nothing is wrong, for people: something was not bought, say.
    pub const LIMITATION: &str = "limitation";
}

/// Why there is no page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// One of [`class`]; an unknown one is treated as `transient`.
    pub class: String,
    /// The app's own code.
    pub code: String,
    /// What happened, for people.
    pub message: String,
    /// What the administrator can do about it; may be empty.
    pub remedy: String,
    /// The app asks to wait so many milliseconds.
    pub retry_after: Option<u64>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if !self.code.is_empty() {
            write!(f, " (code {})", self.code)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Classes of failure, and what the host does about each.
pub mod class {
    /// The access token has run out: refresh it, repeat once.
    pub const TOKEN_EXPIRED: &str = "token-expired";
    /// The grant is dead: stop, and ask the administrator to connect again.
    pub const RECONNECT: &str = "reconnect";
    /// A right is missing: report it, try again slowly.
    pub const FORBIDDEN: &str = "forbidden";
    /// Too many requests: wait as asked, repeat.
    pub const RATE_LIMITED: &str = "rate-limited";
    /// Will pass: back off, repeat.
    pub const TRANSIENT: &str = "transient";
    /// The app could not make so large a page: halve it, repeat.
    pub const TOO_LARGE: &str = "too-large";
    /// The cursor was refused: plan anew with `recover`.
    pub const STALE_CURSOR: &str = "stale-cursor";
    /// The answer makes no sense: repeat, and report it when it goes on.
    pub const MALFORMED: &str = "malformed";
    /// The request was wrong: a bug of the adapter or its settings. Report it, try again slowly.
    pub const REFUSED: &str = "refused";
    /// The plugin itself failed. Never returned by an adapter; the host makes it of a trap.
    pub const PLUGIN: &str = "plugin";
}

/// An adapter as the host sees it, in a sandbox or not.
pub trait Adapter: Send + Sync {
    /// What it is.
    fn description(&self) -> &AdapterDescription;

    /// The next request of a stream.
    ///
    /// # Errors
    /// When there is none to be made, with the class of it.
    fn plan(&self, request: &PlanRequest) -> Result<HttpRequest, Failure>;

    /// Makes a page of a response. The batch has passed [`Batch::check`].
    ///
    /// # Errors
    /// When the response is no page, with the class of it.
    fn read(&self, response: &Response) -> Result<Page, Failure>;

    /// Makes activities of raw records: number `i` is `body[raw[2i]..raw[2i+1]]`.
    ///
    /// # Errors
    /// When a record can't be read at all.
    fn normalize(&self, settings: &str, body: &[u8], raw: &[u32]) -> Result<Batch, Failure>;

    /// Finds the raw records in a saved answer: a page, an array, or JSON lines.
    ///
    /// # Errors
    /// When the body is none of these.
    fn split(&self, body: &[u8]) -> Result<Vec<u32>, Failure>;
}
