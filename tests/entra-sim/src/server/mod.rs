//! The server: one simulated Entra ID on loopback, token end point and Graph on one port.
//!
//! It keeps to what is known of the app; it is no security boundary: whoever can reach the port can
//! control it.

mod answer;
mod control;
mod graph;
mod query;
mod token;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, Response, header, request};
use casbah_sim::{Clock, Error, Live, Parameters, Port, Server, Wire, lock, page};
use serde::Serialize;

use self::answer::Answer;
use self::graph::Call;
use self::token::Book;
use crate::fault::{Fault, Faults, Setting};
use crate::people::{Change, Directory, There};
use crate::world::World;

/// Permissions that the application can have.
pub const PERMISSIONS: &[&str] = &[
    "User.Read.All",
    "GroupMember.Read.All",
    "AuditLog.Read.All",
    "Directory.Read.All",
    "User-LifeCycleInfo.Read.All",
];

/// How a simulator is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// What there is to serve.
    pub world: Arc<World>,
    /// Where to listen; only loopback is accepted.
    pub listen: SocketAddr,
    /// Client id of the registered application.
    pub client_id: String,
    /// Client secret of it.
    pub client_secret: String,
    /// Domain that names the tenant, besides its id.
    pub domain: String,
    /// Permissions of the application, out of [`PERMISSIONS`].
    pub permissions: Vec<String>,
    /// Whether the tenant has a premium licence.
    pub premium: bool,
    /// Life of tokens, seconds.
    pub token_life: i64,
    /// When changes and sign-ins appear.
    pub live: Live,
    /// Requests to the sign-in log within ten seconds; 0 for no limit.
    pub sign_ins_in_ten_seconds: u32,
    /// Users on a page of changes; a hundred when absent.
    pub delta_page: Option<usize>,
    /// Faults that are on from the start.
    pub faults: Vec<Setting>,
    /// Seed of the faults.
    pub fault_seed: u64,
}

impl Config {
    /// The usual settings for a world: everything there, all permissions, no faults, no limit.
    pub fn new(world: Arc<World>) -> Self {
        Self {
            domain: world.company().domain.to_owned(),
            world,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            client_id: "4711c0de-0000-4000-8000-000000000001".to_owned(),
            client_secret: "entra-sim-secret".to_owned(),
            permissions: PERMISSIONS.iter().map(|name| (*name).to_owned()).collect(),
            premium: true,
            token_life: 3599,
            live: Live::All,
            sign_ins_in_ten_seconds: 0,
            delta_page: None,
            faults: Vec::new(),
            fault_seed: 1,
        }
    }

    /// Whether a text names the tenant.
    pub(crate) fn names(&self, tenant: &str) -> bool {
        tenant.eq_ignore_ascii_case(self.world.tenant())
            || tenant.eq_ignore_ascii_case(&self.domain)
    }
}

/// What was asked and answered since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    /// Requests by method and path, ids left out.
    pub requests: BTreeMap<String, u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Faults that happened, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Users on pages of changes, repeats included.
    pub users: u64,
    /// Sign-ins on pages, repeats included.
    pub sign_ins: u64,
    /// Tokens given out.
    pub tokens: u64,
}

/// Somebody in the directory, and the state of the account.
#[derive(Clone, Debug, Serialize)]
pub struct Account {
    /// Object id.
    pub id: String,
    /// E-mail address in the company, in lower case.
    pub email: String,
    /// Sign-in name.
    pub principal: String,
    /// Whether it is a guest.
    pub guest: bool,
    /// What they do in the company.
    pub role: String,
    /// unborn, active, disabled, deleted or purged.
    pub state: String,
    /// Since when it is deleted, ms since 1970.
    pub since: Option<i64>,
    /// When its person leaves, ms since 1970.
    pub leaves: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// `http://127.0.0.1:PORT`.
    pub(crate) base: String,
    pub(crate) directory: Mutex<Directory>,
    book: Mutex<Book>,
    faults: Mutex<Faults>,
    counters: Mutex<Counters>,
    /// Times of the last requests to the sign-in log, ms since 1970.
    recent: Mutex<Vec<i64>>,
    generation: AtomicU64,
    clock: Clock,
}

/// A running simulator; it stops when dropped.
#[derive(Debug)]
pub struct Sim {
    server: Server,
    shared: Arc<Shared>,
}

impl Sim {
    /// Starts a simulator on threads of its own; callable with and without an async runtime.
    ///
    /// # Errors
    /// When the address is not on loopback or taken, or when threads can't be started.
    pub fn start(config: Config) -> Result<Self, Error> {
        let port = Port::open(config.listen)?;
        let shared = Arc::new(Shared {
            base: format!("http://{}", port.address()),
            directory: Mutex::new(config.world.directory.clone()),
            book: Mutex::new(Book::default()),
            faults: Mutex::new(Faults::new(config.fault_seed, &config.faults)),
            counters: Mutex::new(Counters::default()),
            recent: Mutex::new(Vec::new()),
            generation: AtomicU64::new(0),
            clock: Clock::default(),
            config,
        });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        Ok(Self { server: port.serve("entra-sim", router)?, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Base address of both hosts, Graph and sign-in: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        self.shared.base.clone()
    }

    /// What it serves, as it was made; changes that came in later are not in it.
    pub fn world(&self) -> &Arc<World> {
        &self.shared.config.world
    }

    /// What was asked and answered so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Something happens to an account. What happened earlier than now is late news: it comes in now
    /// and has its own time.
    ///
    /// # Errors
    /// When nobody in the directory has that address.
    pub fn change(&self, change: &Change) -> Result<(), Error> {
        self.shared.change(change)
    }

    /// Everybody in the directory with the state that can be seen now.
    pub fn accounts(&self) -> Vec<Account> {
        self.shared.accounts()
    }

    /// Switches a fault on or changes it, as on the command line, e.g. `reset=0.1`.
    ///
    /// # Errors
    /// When the text can't be read.
    pub fn set_fault(&self, text: &str) -> Result<(), Error> {
        let setting = text.parse()?;
        lock(&self.shared.faults).set(setting);
        Ok(())
    }

    /// Switches all faults off.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Sets the simulator's clock forward, milliseconds.
    pub fn advance(&self, ms: i64) {
        self.shared.clock.advance(ms);
    }

    /// The simulator's clock, ms since 1970.
    pub fn now(&self) -> i64 {
        self.shared.clock.now()
    }

    /// Makes every link to a next page or round stale: 410.
    pub fn expire_links(&self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Makes every token dead.
    pub fn kill_tokens(&self) {
        lock(&self.shared.book).kill_all();
    }

    /// Every token that is good now: what no file and no log may contain.
    pub fn live_tokens(&self) -> Vec<String> {
        lock(&self.shared.book).live(self.shared.clock.now())
    }
}

impl Shared {
    /// Up to when what has happened can be seen, given a clock.
    pub(crate) fn known(&self, now: i64) -> i64 {
        match self.config.live {
            Live::All => i64::MAX,
            Live::Clock => now,
        }
    }

    /// How many changes can be seen.
    pub(crate) fn visible(&self, directory: &Directory) -> usize {
        directory.visible(self.known(self.clock.now()))
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn accounts(&self) -> Vec<Account> {
        let directory = lock(&self.directory);
        let states = directory.states(self.visible(&directory));
        let users = &self.config.world.company().users;
        directory
            .people
            .iter()
            .zip(states)
            .map(|(person, state)| {
                let user = users.get(person.place);
                let (there, since) = match state.there {
                    There::Unborn => ("unborn", None),
                    There::Present if state.enabled => ("active", None),
                    There::Present => ("disabled", None),
                    There::Deleted(since) => ("deleted", Some(since)),
                    There::Purged => ("purged", None),
                };
                Account {
                    id: person.id.clone(),
                    email: user.map(|user| user.email.to_lowercase()).unwrap_or_default(),
                    principal: person.principal.clone(),
                    guest: person.guest,
                    role: user.map(|user| format!("{:?}", user.role)).unwrap_or_default(),
                    state: there.to_owned(),
                    since,
                    leaves: state.leaves,
                }
            })
            .collect()
    }

    fn change(&self, change: &Change) -> Result<(), Error> {
        let mut directory = lock(&self.directory);
        let visible = self.visible(&directory);
        directory.change(change, self.clock.now(), visible)
    }

    fn counters(&self) -> Counters {
        let mut counters = lock(&self.counters).clone();
        counters.faults = lock(&self.faults).happened();
        counters
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut lock(&self.counters));
    }

    pub(crate) fn fault(&self, fault: Fault) -> Option<u64> {
        lock(&self.faults).draw(fault)
    }

    /// How long to wait, ms, when the sign-in log is asked too often.
    pub(crate) fn too_often(&self, now: i64) -> Option<i64> {
        const WINDOW: i64 = 10_000;
        let limit = self.config.sign_ins_in_ten_seconds as usize;
        if limit == 0 {
            return None;
        }
        let mut recent = lock(&self.recent);
        recent.retain(|time| now - time < WINDOW);
        if recent.len() >= limit {
            return recent.first().map(|first| first + WINDOW - now);
        }
        recent.push(now);
        None
    }

    /// Faults that take the place of an answer.
    fn instead(&self, token: &str, wire: &Wire) -> Option<Answer> {
        if self.fault(Fault::Reset).is_some() {
            wire.reset();
            return Some(Answer::html(500, "Reset"));
        }
        if self.fault(Fault::Html200).is_some() {
            return Some(Answer::html(200, "Please wait"));
        }
        if self.fault(Fault::Html502).is_some() {
            return Some(Answer::html(502, "502 Bad Gateway"));
        }
        if self.fault(Fault::Html403).is_some() {
            return Some(Answer::error(403, "UnknownError", &page("Access denied")));
        }
        if let Some(ms) = self.fault(Fault::Throttled) {
            return Some(graph::throttled(Some(i64::try_from(ms).unwrap_or(0))));
        }
        if self.fault(Fault::ThrottledSilent).is_some() {
            return Some(graph::throttled(None));
        }
        if let Some(seconds) = self.fault(Fault::Unavailable) {
            let answer = Answer::error(503, "serviceNotAvailable", "The service is not available.");
            return Some(answer.with(header::RETRY_AFTER, seconds.to_string()));
        }
        if self.fault(Fault::Internal).is_some() {
            return Some(Answer::odd_error(500, "generalException"));
        }
        if self.fault(Fault::TokenExpired).is_some() {
            lock(&self.book).kill(token);
            return Some(unauthorized());
        }
        if self.fault(Fault::Claims).is_some() {
            lock(&self.book).kill(token);
            let challenge = "Bearer realm=\"\", error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnt9fQ==\"";
            let answer = Answer::error(403, "accessDenied", "Continuous access evaluation.");
            return Some(answer.with(header::WWW_AUTHENTICATE, challenge.to_owned()));
        }
        self.fault(Fault::Denied).map(|_| graph::denied())
    }
}

fn unauthorized() -> Answer {
    let message = "Lifetime validation failed, the token is expired.";
    Answer::error(401, "InvalidAuthenticationToken", message)
        .with(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"".to_owned())
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let path = parts.uri.path().to_owned();
    if let Some(rest) = path.strip_prefix("/control/") {
        let given = Parameters::read(parts.uri.query().unwrap_or_default().as_bytes());
        return control::control(&shared, &parts.method, rest, &given, &body).into_response();
    }
    let answer = dispatch(&shared, &wire, &parts, &body).await;
    shared.count(|counters| {
        *counters.requests.entry(format!("{} {}", parts.method, nameless(&path))).or_default() += 1;
        *counters.statuses.entry(answer.status).or_default() += 1;
    });
    if !path.ends_with("/token") {
        let about = answer.body.len();
        if let Some(over) = shared.fault(Fault::SlowBody) {
            wire.slow(about + 200, Duration::from_millis(over));
        }
        if shared.fault(Fault::CutBody).is_some() {
            wire.cut_after(200 + about / 4);
        }
    }
    answer.into_response()
}

/// A path without ids.
fn nameless(path: &str) -> String {
    let is_id =
        |part: &str| part.contains('@') || part.bytes().filter(|byte| *byte == b'-').count() == 4;
    let parts: Vec<&str> =
        path.split('/').map(|part| if is_id(part) { "{id}" } else { part }).collect();
    parts.join("/")
}

async fn dispatch(
    shared: &Arc<Shared>,
    wire: &Wire,
    parts: &request::Parts,
    body: &[u8],
) -> Answer {
    let path = parts.uri.path().trim_start_matches('/');
    let segments: Vec<String> = path.split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let query = Parameters::read(parts.uri.query().unwrap_or_default().as_bytes());
    match segments.as_slice() {
        [tenant, "oauth2", "v2.0", "token"] if parts.method == Method::POST => {
            token(shared, parts, tenant, &Parameters::read(body)).await
        }
        [version @ ("v1.0" | "beta"), rest @ ..] => {
            let bearer =
                parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
            let now = shared.clock.now();
            if !lock(&shared.book).knows(bearer, now) {
                return unauthorized();
            }
            if let Some(answer) = shared.instead(bearer, wire) {
                return answer;
            }
            if parts.method != Method::GET {
                return Answer::error(405, "Request_BadRequest", "The method is not allowed.");
            }
            Call { shared, version, given: query, now }.answer(rest)
        }
        _ => Answer::html(404, "Not found"),
    }
}

/// A segment of a path without its escapes.
fn decoded(segment: &str) -> String {
    // A plus stands for itself in a path.
    let pairs = format!("x={}", segment.replace('+', "%2B"));
    let mut pairs = url::form_urlencoded::parse(pairs.as_bytes());
    pairs.next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

async fn token(
    shared: &Arc<Shared>,
    parts: &request::Parts,
    tenant: &str,
    given: &Parameters,
) -> Answer {
    if let Some(ms) = shared.fault(Fault::TokenSlow) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    if shared.fault(Fault::TokenBusy).is_some() {
        return Answer::refusal(
            503,
            "temporarily_unavailable",
            90_006,
            "The service is temporarily unavailable.",
        );
    }
    if shared.fault(Fault::TokenHtml).is_some() {
        return Answer::html(200, "Please sign in");
    }
    let now = shared.clock.now();
    let answer =
        lock(&shared.book).token(&shared.config, &shared.base, tenant, given, &parts.headers, now);
    if answer.status == 200 {
        shared.count(|counters| counters.tokens += 1);
    }
    answer
}
