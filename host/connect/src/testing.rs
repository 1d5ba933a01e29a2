//! A made-up app for tests: a real HTTP server that misbehaves as it is told, and its adapter.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use casbah_model::adapter::{
    Adapter, AdapterDescription, ClientAuthentication, ClientGrant, Endpoint, Failure, HttpRequest,
    Next, OAuth, Page, Pkce, PlanRequest, Produces, Region, Response as Answer, Revoke, Rounds,
    Stream, class,
};
use casbah_model::{Batch, BatchBuilder, ConnectionName, TenantName};
use casbah_store::{
    BlockInfo, CheckReport, Commit, Committed, Compacted, LogBlock, NewBlock, Progress, Records,
    Retained, ScanRange, SledStore, Stats, Store, StoreError, Table,
};
use secrecy::SecretString;
use serde_json::json;
use serde_json::value::RawValue;

use crate::fetch::{Event, Fetch, Pace};
use crate::oauth::{ClientCredentials, Grant};
use crate::vault::{Vault, VaultKey};
use crate::{Clock, Connections, Hosts, Http, NewConnection, Switch};

pub(crate) const CLIENT_SECRET: &str = "client-secret-4711";

/// What the next request meets instead of a proper answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, with these headers and this body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The page, but its position is the one that was asked for and it promises more.
    Stuck,
    /// The page, begun so many items earlier.
    Back(usize),
    /// No items, a new position, more promised.
    Empty,
    /// An answer after this long.
    Slow(Duration),
}

impl Fault {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), "{}".to_owned())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) time: i64,
    pub(crate) actor: String,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The state of the app.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) items: Vec<Item>,
    pub(crate) users: Vec<serde_json::Value>,
    /// What has changed among the people of the directory, in order.
    pub(crate) changes: Vec<serde_json::Value>,
    pub(crate) members: Vec<serde_json::Value>,
    pub(crate) leavers: Vec<serde_json::Value>,
    pub(crate) me: serde_json::Value,
    /// For requests of accounts.
    pub(crate) user_faults: VecDeque<Fault>,
    /// For other requests of data.
    pub(crate) faults: VecDeque<Fault>,
    /// For the token end point.
    pub(crate) token_faults: VecDeque<Fault>,
    pub(crate) revoke_faults: VecDeque<Fault>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) access: HashSet<String>,
    pub(crate) refresh: Option<String>,
    pub(crate) client_secret: String,
    /// Those that were used.
    pub(crate) assertions: HashSet<String>,
    pub(crate) codes: HashSet<String>,
    pub(crate) issued: u32,
    pub(crate) expires_in: serde_json::Value,
    pub(crate) wrap: bool,
    pub(crate) largest_page: usize,
    /// Tokens that are issued are refused all the same.
    pub(crate) refuse_all: bool,
    /// Instead of saying that there is nothing more, the app asks to wait.
    pub(crate) wait: bool,
}

impl World {
    pub(crate) fn issue(&mut self) -> serde_json::Value {
        self.issued += 1;
        let (access, refresh) =
            (format!("access-{:04}", self.issued), format!("refresh-{:04}", self.issued));
        self.access = HashSet::from([access.clone()]);
        self.refresh = Some(refresh.clone());
        let token = json!({
            "access_token": access, "refresh_token": refresh, "token_type": "Bearer",
            "expires_in": self.expires_in,
        });
        if self.wrap { json!({ "token": token }) } else { token }
    }
}

/// The app, running on loopback until it is dropped.
pub(crate) struct Toy {
    pub(crate) address: SocketAddr,
    world: Arc<Mutex<World>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Toy {
    pub(crate) async fn start() -> Self {
        let world = Arc::new(Mutex::new(World {
            expires_in: json!(3600),
            largest_page: 1000,
            client_secret: CLIENT_SECRET.to_owned(),
            me: json!({"id": "1", "email": "Root@Acme.example", "admin": true, "org": "o1", "orgName": "Acme"}),
            ..World::default()
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(serve).with_state(Arc::clone(&world));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, world, server }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn hosts(&self) -> BTreeMap<String, String> {
        let base = format!("http://{}", self.address);
        BTreeMap::from([("api".to_owned(), format!("{base}/api")), ("sign-in".to_owned(), base)])
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.world().seen.iter().filter(|seen| seen.path == path).count()
    }

    pub(crate) fn add_items(&self, range: Range<usize>) {
        self.world().items.extend(range.map(|n| Item {
            id: format!("e{n}"),
            time: 1_000_000 + n as i64 * 1000,
            actor: format!("u{}", n % 3),
        }));
    }
}

async fn serve(
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    let seen = Seen {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query,
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let (fault, early) = {
        let mut world = world.lock().unwrap();
        world.seen.push(seen.clone());
        let fault = match (seen.method.as_str(), seen.path.as_str()) {
            ("DELETE", _) | (_, "/api/revoke") => world.revoke_faults.pop_front(),
            (_, "/api/token") => world.token_faults.pop_front(),
            (_, "/api/users" | "/api/people") => world.user_faults.pop_front(),
            (_, "/api/members" | "/api/leavers") => None,
            _ => world.faults.pop_front(),
        };
        let early = match &fault {
            Some(Fault::Answer(status, headers, body)) => {
                let mut response = Response::builder().status(*status);
                for (name, value) in headers {
                    response = response.header(*name, value);
                }
                Some(response.body(Body::from(body.clone())).unwrap())
            }
            _ => None,
        };
        (fault, early)
    };
    if let Some(early) = early {
        return early;
    }
    if let Some(Fault::Slow(wait)) = fault {
        tokio::time::sleep(wait).await;
    }
    let mut world = world.lock().unwrap();
    match seen.path.as_str() {
        "/api/token" => token(&mut world, &seen),
        "/api/revoke" => answer(200, &json!({})),
        path if path.starts_with("/api/") => data(&world, &seen, fault),
        _ => answer(404, &json!({})),
    }
}

fn answer(status: u16, body: &serde_json::Value) -> Response<Body> {
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn token(world: &mut World, seen: &Seen) -> Response<Body> {
    if seen.method == "DELETE" {
        world.access.clear();
        return answer(200, &json!({}));
    }
    let form = seen.form();
    let get = |name: &str| form.get(name).cloned().unwrap_or_default();
    if get("grant_type") == "client_credentials" {
        return client_token(world, seen, &get("client_secret"));
    }
    let good = match get("grant_type").as_str() {
        "authorization_code" => world.codes.remove(&get("code")),
        "refresh_token" => world.refresh.as_ref() == Some(&get("refresh_token")),
        _ => false,
    };
    if good {
        let token = world.issue();
        answer(200, &token)
    } else {
        answer(400, &json!({"error": "invalid_grant", "errorCode": "1071", "message": "expired"}))
    }
}

/// A token for the client itself, who proves itself in the form or by Basic.
fn client_token(world: &mut World, seen: &Seen, in_form: &str) -> Response<Body> {
    let basic = seen.header("authorization").strip_prefix("Basic ").unwrap_or_default();
    let basic = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
    let form = seen.form();
    // Assertions are looked at where they are made; here they only have to be new.
    let assertion = form.get("client_assertion").cloned().unwrap_or_default();
    let proven = assertion.split('.').count() == 3 && world.assertions.insert(assertion);
    if !proven
        && in_form != world.client_secret
        && !basic.ends_with(&format!(":{}", world.client_secret))
    {
        return answer(401, &json!({"error": "invalid_client", "error_description": "run out"}));
    }
    let mut token = world.issue();
    if let Some(token) = token.as_object_mut() {
        token.remove("refresh_token");
    }
    answer(200, &token)
}

fn data(world: &World, seen: &Seen, fault: Option<Fault>) -> Response<Body> {
    let bearer = seen.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    if !world.access.contains(bearer) || world.refuse_all {
        return answer(401, &json!({}));
    }
    let number = |name: &str| seen.query.get(name).and_then(|text| text.parse::<usize>().ok());
    match seen.path.as_str() {
        "/api/me" => answer(200, &world.me),
        "/api/users" => {
            let page = number("page").unwrap_or(0);
            let users: Vec<_> = world.users.iter().skip(page * 2).take(2).collect();
            let more = world.users.len() > (page + 1) * 2;
            answer(200, &json!({"items": users, "next": (page + 1).to_string(), "more": more}))
        }
        "/api/members" => {
            let page = number("page").unwrap_or(0);
            let members: Vec<_> = world.members.iter().skip(page * 2).take(2).collect();
            let more = world.members.len() > (page + 1) * 2;
            answer(200, &json!({"items": members, "next": (page + 1).to_string(), "more": more}))
        }
        "/api/leavers" => answer(200, &json!({"items": world.leavers, "next": "", "more": false})),
        "/api/people" => people(world, seen.query.get("page").map_or("", String::as_str)),
        "/api/events" => {
            let size = number("size").unwrap();
            if size > world.largest_page {
                return answer(413, &json!({}));
            }
            let mut from = number("cursor").unwrap_or(0);
            let mut next = (from + size).min(world.items.len());
            let mut more = next < world.items.len();
            let mut count = next - from;
            match fault {
                Some(Fault::Stuck) => (next, more) = (from, true),
                Some(Fault::Back(by)) => {
                    count += by.min(from);
                    from -= by.min(from);
                }
                Some(Fault::Empty) => (count, next, more) = (0, from, true),
                _ => {}
            }
            let items: Vec<_> = world.items.iter().skip(from).take(count).map(|item| {
                json!({"id": item.id, "time": item.time, "actor": item.actor, "text": "what the app said"})
            }).collect();
            answer(
                200,
                &json!({"items": items, "next": next.to_string(), "more": more, "wait": world.wait}),
            )
        }
        _ => answer(404, &json!({})),
    }
}

/// A page of the people: of all who are there, or of what has changed since.
fn people(world: &World, cursor: &str) -> Response<Body> {
    let (all, from, start) = match cursor.split('-').collect::<Vec<_>>().as_slice() {
        ["changes", from] => (&world.changes, from.parse().unwrap(), 0),
        ["all", from, start] => (&world.users, from.parse().unwrap(), start.parse().unwrap()),
        _ => (&world.users, 0, world.changes.len()),
    };
    let whole = !cursor.starts_with("changes");
    let end = (from + 2).min(all.len());
    let items: Vec<_> = all.iter().take(end).skip(from).collect();
    let more = end < all.len();
    let next = match (whole, more) {
        (true, true) => format!("all-{end}-{start}"),
        (true, false) => format!("changes-{start}"),
        (false, _) => format!("changes-{end}"),
    };
    answer(200, &json!({"items": items, "next": next, "more": more}))
}

/// The adapter of the made-up app.
pub(crate) struct ToyAdapter {
    pub(crate) description: AdapterDescription,
    /// Stands in for the planned request, to see a hostile plan refused.
    pub(crate) planned: Mutex<Option<HttpRequest>>,
    /// It asks for no more records than this, whatever the host allows.
    pub(crate) own_limit: u32,
    /// Bodies that `read` saw.
    pub(crate) bodies: Mutex<Vec<String>>,
}

impl ToyAdapter {
    pub(crate) fn new() -> Self {
        Self {
            description: description(),
            planned: Mutex::default(),
            own_limit: u32::MAX,
            bodies: Mutex::default(),
        }
    }
}

/// The same app as a directory: people by changes, memberships and leavers.
pub(crate) fn directory() -> ToyAdapter {
    let mut adapter = ToyAdapter::new();
    adapter.description.directory = true;
    adapter.description.streams = vec![
        Stream { rounds: Rounds::Delta, ..stream("people", Produces::Accounts) },
        stream("members", Produces::Memberships),
        Stream { rounds: Rounds::Some, ..stream("leavers", Produces::Accounts) },
        stream("events", Produces::Activities),
        stream("facts", Produces::Facts),
    ];
    adapter
}

fn stream(name: &str, produces: Produces) -> Stream {
    Stream {
        name: name.to_owned(),
        produces,
        interval_seconds: 60,
        page_size: 100,
        smallest_page_size: 10,
        rounds: Rounds::Whole,
    }
}

pub(crate) fn description() -> AdapterDescription {
    let endpoint =
        |host: &str, path: &str| Endpoint { host: host.to_owned(), path: path.to_owned() };
    let region = |name: &str, host: &str| Region {
        name: name.to_owned(),
        title: name.to_uppercase(),
        hosts: BTreeMap::from([
            ("api".to_owned(), format!("https://api.{host}/2.0")),
            ("sign-in".to_owned(), format!("https://app.{host}")),
        ]),
    };
    AdapterDescription {
        name: "toy".to_owned(),
        version: "1.0.0".to_owned(),
        title: "Toy".to_owned(),
        regions: vec![region("us", "toy.example"), region("eu", "toy-eu.example")],
        oauth: Some(OAuth {
            authorize: Some(endpoint("sign-in", "/b/authorize")),
            token: endpoint("api", "/token"),
            revoke: Some(Revoke {
                endpoint: endpoint("api", "/token"),
                method: "DELETE".to_owned(),
            }),
            scopes: vec!["READ_EVENTS".to_owned(), "READ_USERS".to_owned()],
            pkce: Pkce::Send,
            client_authentication: ClientAuthentication::Body,
            send_redirect: true,
            client_credentials: None,
        }),
        personal_token: true,
        streams: vec![
            stream("users", Produces::Accounts),
            stream("events", Produces::Activities),
            stream("facts", Produces::Facts),
        ],
        requests_per_minute: 60_000,
        // Its activities are of 1970.
        retention_days: 0,
        directory: false,
        settings: serde_json::Value::Null,
        limitations: Vec::new(),
    }
}

pub(crate) fn failure(class: &str) -> Failure {
    Failure {
        class: class.to_owned(),
        code: "7".to_owned(),
        message: format!("the app said {class}"),
        remedy: "ask the app".to_owned(),
        retry_after: None,
    }
}

#[derive(serde::Deserialize)]
struct ToyPage<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    next: String,
    more: bool,
    #[serde(default)]
    wait: bool,
}

impl Adapter for ToyAdapter {
    fn description(&self) -> &AdapterDescription {
        &self.description
    }

    fn plan(&self, request: &PlanRequest) -> Result<HttpRequest, Failure> {
        if let Some(planned) = self.planned.lock().unwrap().clone() {
            return Ok(planned);
        }
        let mut planned = HttpRequest {
            method: "GET".to_owned(),
            host: "api".to_owned(),
            ..HttpRequest::default()
        };
        match request.stream.as_str() {
            "users" => {
                planned.path = "/users".to_owned();
                planned.query =
                    vec![("page".to_owned(), request.cursor.clone().unwrap_or_default())];
            }
            "people" | "members" | "leavers" => {
                planned.path = format!("/{}", request.stream);
                let cursor = request.cursor.clone().unwrap_or_default();
                planned.query = vec![
                    ("page".to_owned(), cursor),
                    ("recover".to_owned(), request.recover.to_string()),
                ];
            }
            "facts" if request.cursor.as_deref() == Some("events") => {
                planned.path = "/events".to_owned();
            }
            "facts" => planned.path = "/me".to_owned(),
            _ => {
                planned.path = "/events".to_owned();
                // A recovery starts fifty items before the newest.
                let cursor = match (&request.cursor, request.recover) {
                    (_, true) => {
                        let newest = request.newest.unwrap_or(1_000_000);
                        ((newest - 1_000_000) / 1000 - 50).max(0).to_string()
                    }
                    (Some(cursor), false) => cursor.clone(),
                    (None, false) => "0".to_owned(),
                };
                planned.query = vec![
                    ("cursor".to_owned(), cursor),
                    ("size".to_owned(), request.page_size.min(self.own_limit).to_string()),
                ];
            }
        }
        Ok(planned)
    }

    fn read(&self, response: &Answer) -> Result<Page, Failure> {
        let text = std::str::from_utf8(&response.body).unwrap_or_default();
        self.bodies.lock().unwrap().push(text.to_owned());
        let class = match response.status {
            200 => None,
            400 => Some(class::REFUSED),
            401 => Some(class::TOKEN_EXPIRED),
            403 => Some(class::FORBIDDEN),
            409 => Some(class::RECONNECT),
            410 => Some(class::STALE_CURSOR),
            413 => Some(class::TOO_LARGE),
            429 => Some(class::RATE_LIMITED),
            _ => Some(class::TRANSIENT),
        };
        if let Some(class) = class {
            return Err(failure(class));
        }
        if response.request.stream == "facts" {
            let me: serde_json::Value =
                serde_json::from_str(text).map_err(|_| failure(class::MALFORMED))?;
            let word = |name: &str| {
                me.get(name).map_or(String::new(), |value| match value {
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                })
            };
            return Ok(Page {
                // A second question, where there is one.
                next: if me["more"] == true { Next::More } else { Next::CaughtUp },
                cursor: word("next"),
                batch: Batch::default(),
                raw: Vec::new(),
                facts: vec![
                    ("account.id".to_owned(), word("id")),
                    ("account.email".to_owned(), word("email")),
                    ("account.admin".to_owned(), word("admin")),
                    ("organization.id".to_owned(), word("org")),
                    ("organization.name".to_owned(), word("orgName")),
                    ("may-read-activities".to_owned(), "true".to_owned()),
                ],
            });
        }
        let page: ToyPage<'_> =
            serde_json::from_str(text).map_err(|_| failure(class::MALFORMED))?;
        let mut raw = Vec::new();
        let mut builder = BatchBuilder::new();
        for item in &page.items {
            let start = item.get().as_ptr() as usize - text.as_ptr() as usize;
            raw.extend([start as u32, (start + item.get().len()) as u32]);
            let fields: BTreeMap<String, serde_json::Value> =
                serde_json::from_str(item.get()).unwrap();
            builder.begin_row();
            let word = |name: &str| fields.get(name).and_then(|value| value.as_str()).unwrap_or("");
            if response.request.stream != "events" {
                for name in ["id", "email", "name", "status", "aliases", "group"] {
                    builder.text(name, word(name));
                }
                for name in ["since", "leaves"] {
                    if let Some(time) = fields.get(name).and_then(|value| value.as_i64()) {
                        builder.integer(name, time);
                    }
                }
                for name in ["admin", "external"] {
                    if let Some(flag) = fields.get(name).and_then(|value| value.as_bool()) {
                        builder.flag(name, flag);
                    }
                }
            } else {
                builder.text("id", word("id"));
                builder.integer("time", fields["time"].as_i64().unwrap());
                builder.text("actor", word("actor"));
                builder.text("actor.id", word("actor"));
            }
        }
        Ok(Page {
            next: match (page.more, page.wait) {
                (true, _) => Next::More,
                (false, true) => Next::Wait(5),
                (false, false) => Next::CaughtUp,
            },
            cursor: page.next,
            batch: builder.finish(),
            raw,
            facts: Vec::new(),
        })
    }

    fn normalize(&self, _: &str, _: &[u8], _: &[u32]) -> Result<Batch, Failure> {
        Err(failure(class::REFUSED))
    }

    fn split(&self, _: &[u8]) -> Result<Vec<u32>, Failure> {
        Err(failure(class::REFUSED))
    }
}

/// The real store, with commits that can be made to fail.
pub(crate) struct Flaky {
    inner: SledStore,
    pub(crate) failing: AtomicU32,
    /// What somebody else commits just before each of the next commits.
    pub(crate) meanwhile: Mutex<VecDeque<Commit>>,
}

impl Flaky {
    pub(crate) fn open(dir: &std::path::Path) -> Arc<Self> {
        let inner = casbah_store::open(dir, casbah_store::Options::default(), &|_| {}).unwrap();
        Arc::new(Self { inner, failing: AtomicU32::new(0), meanwhile: Mutex::default() })
    }
}

impl Store for Flaky {
    fn commit(&self, tenant: &TenantName, commit: Commit) -> Result<Committed, StoreError> {
        if self.failing.load(Ordering::SeqCst) > 0 {
            self.failing.fetch_sub(1, Ordering::SeqCst);
            // A block without rows is refused, and nothing is written.
            return self.inner.commit(
                tenant,
                Commit::new().append(NewBlock {
                    batch: Arc::new(Batch::default()),
                    raw: Records::new(),
                    marks: Vec::new(),
                    min_time: 0,
                    max_time: 0,
                }),
            );
        }
        let meanwhile = self.meanwhile.lock().unwrap().pop_front();
        if let Some(meanwhile) = meanwhile {
            self.inner.commit(tenant, meanwhile)?;
        }
        self.inner.commit(tenant, commit)
    }
    fn get(
        &self,
        tenant: &TenantName,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(tenant, table, key)
    }
    fn scan(
        &self,
        tenant: &TenantName,
        table: Table,
        range: &ScanRange,
        reverse: bool,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.inner.scan(tenant, table, range, reverse, each)
    }
    fn log_range(&self, tenant: &TenantName) -> Range<u64> {
        self.inner.log_range(tenant)
    }
    fn read(&self, tenant: &TenantName, sequence: u64) -> Result<Option<LogBlock>, StoreError> {
        self.inner.read(tenant, sequence)
    }
    fn blocks(&self, tenant: &TenantName) -> Vec<BlockInfo> {
        self.inner.blocks(tenant)
    }
    fn raw(&self, tenant: &TenantName, block: &BlockInfo) -> Result<Records, StoreError> {
        self.inner.raw(tenant, block)
    }
    fn seen(&self, tenant: &TenantName, marks: &[u64]) -> Vec<bool> {
        self.inner.seen(tenant, marks)
    }
    fn mark_key(&self) -> [u8; 16] {
        self.inner.mark_key()
    }
    fn retain(&self, tenant: &TenantName, before: i64) -> Result<Retained, StoreError> {
        self.inner.retain(tenant, before)
    }
    fn tenants(&self) -> Vec<TenantName> {
        self.inner.tenants()
    }
    fn stats(&self) -> Stats {
        self.inner.stats()
    }
    fn check(&self, progress: &dyn Fn(Progress)) -> Result<CheckReport, StoreError> {
        self.inner.check(progress)
    }
    fn compact(&self, progress: &dyn Fn(Progress)) -> Result<Compacted, StoreError> {
        self.inner.compact(progress)
    }
    fn checkpoint(&self) -> Result<(), StoreError> {
        self.inner.checkpoint()
    }
    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

/// An app, a store and the connections in it.
pub(crate) struct Rig {
    pub(crate) toy: Toy,
    pub(crate) store: Arc<Flaky>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) clock: Clock,
    pub(crate) connections: Connections,
    pub(crate) adapter: Arc<ToyAdapter>,
    pub(crate) tenant: TenantName,
    pub(crate) name: ConnectionName,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) _dir: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(ToyAdapter::new()).await
    }

    pub(crate) async fn with(adapter: ToyAdapter) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Flaky::open(dir.path());
        let vault = Arc::new(Vault::new(VaultKey::generate()));
        let clock = Clock::new();
        let http = Http::new("0.0.0-test").unwrap();
        let connections = Connections::new(store.clone(), vault.clone(), http, clock.clone());
        Self {
            toy: Toy::start().await,
            store,
            vault,
            clock,
            connections,
            adapter: Arc::new(adapter),
            tenant: "default".parse().unwrap(),
            name: "acme".parse().unwrap(),
            events: Arc::default(),
            _dir: dir,
        }
    }

    pub(crate) fn hosts(&self) -> Hosts {
        Hosts::resolve(&self.adapter.description, Some("us"), &self.toy.hosts()).unwrap()
    }

    pub(crate) fn credentials() -> ClientCredentials {
        ClientCredentials {
            id: "client-1".to_owned(),
            secret: Some(CLIENT_SECRET.into()),
            certificate: None,
        }
    }

    /// A connection, with a grant as the app would have given it.
    pub(crate) async fn connect(&self) {
        let issued = self.toy.world().issue();
        let issued = issued.get("token").unwrap_or(&issued).clone();
        let life = self.toy.world().expires_in.as_u64().map(Duration::from_secs);
        let now = self.clock.now();
        let grant = Grant {
            method: crate::connection::Method::OAuth,
            access: SecretString::from(issued["access_token"].as_str().unwrap()),
            refresh: Some(SecretString::from(issued["refresh_token"].as_str().unwrap())),
            expires: life.map(|life| now + life.as_millis() as i64),
            expires_at: None,
            life,
            obtained: now,
            scopes: vec!["READ_EVENTS".to_owned()],
            missing_scopes: vec!["READ_USERS".to_owned()],
        };
        let mut new = NewConnection::new(self.name.clone());
        new.hosts = self.toy.hosts();
        self.connections
            .establish(
                &self.tenant,
                new,
                grant,
                Some(Self::credentials()),
                self.adapter.clone(),
                Switch::Refuse,
            )
            .await
            .unwrap();
        self.toy.world().seen.clear();
    }

    /// The same where an application can sign in by itself, and nobody else.
    pub(crate) async fn of_application() -> Self {
        let mut adapter = ToyAdapter::new();
        let oauth = adapter.description.oauth.as_mut().unwrap();
        oauth.authorize = None;
        oauth.client_credentials = Some(ClientGrant {
            scopes: vec!["{host.api}/.default".to_owned()],
            client_authentication: ClientAuthentication::Body,
            client_id: String::new(),
            certificate: true,
        });
        adapter.description.personal_token = false;
        Self::with(adapter).await
    }

    /// A connection of an application that signed in by itself.
    pub(crate) async fn connect_application(&self) {
        self.connect_application_with(Self::credentials()).await;
    }

    pub(crate) async fn connect_application_with(&self, client: ClientCredentials) {
        let (description, clock) = (&self.adapter.description, &self.clock);
        let http = self.connections.http();
        let settings = json!({});
        let grant =
            Grant::of_client(description, &self.hosts(), &settings, &client, http, clock).await;
        let new =
            NewConnection { hosts: self.toy.hosts(), ..NewConnection::new(self.name.clone()) };
        let (grant, adapter) = (grant.unwrap(), self.adapter.clone());
        let established = self.connections.establish(
            &self.tenant,
            new,
            grant,
            Some(client),
            adapter,
            Switch::Refuse,
        );
        assert!(established.await.unwrap().check.passed());
        self.toy.world().seen.clear();
    }

    /// A fetch that is impatient, until it is caught up.
    pub(crate) fn fetch(&self) -> Fetch {
        let events = Arc::clone(&self.events);
        let mut fetch = Fetch::new(self.tenant.clone(), self.name.clone(), self.adapter.clone(), 0);
        fetch.until_caught_up = true;
        fetch.pace = Pace {
            base: Duration::from_millis(4),
            cap: Duration::from_millis(40),
            throttled: Duration::from_millis(60),
            slow: Duration::from_millis(80),
            interval: None,
            longest: Duration::from_millis(80),
        };
        fetch.observer = Arc::new(move |_, event| events.lock().unwrap().push(event.clone()));
        fetch
    }

    /// The ids of all activities in the log, in its order.
    pub(crate) fn logged(&self) -> Vec<String> {
        let range = self.store.log_range(&self.tenant);
        let mut ids = Vec::new();
        let mut next = range.start;
        while let Some(block) = self.store.read(&self.tenant, next).unwrap() {
            assert_eq!(self.store.raw(&self.tenant, &block.info).unwrap().len(), block.batch.len());
            ids.extend((0..block.batch.len()).map(|row| block.batch.text("id", row).to_owned()));
            next = block.info.end_sequence();
        }
        ids
    }

    pub(crate) fn expect_all_once(&self, count: usize) {
        let mut logged = self.logged();
        logged.sort();
        let mut expected: Vec<String> = (0..count).map(|n| format!("e{n}")).collect();
        expected.sort();
        assert_eq!(logged, expected);
    }
}
