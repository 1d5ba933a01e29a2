//! The server: one simulated Smartsheet on loopback.
//!
//! It keeps to what is known of the app, and plays what is not known as it is set. It is no
//! security boundary: whoever can reach the port can control it.

mod answer;
mod audit;
mod control;
mod directory;
mod limiter;
mod oauth;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, Response, header, request};
use casbah_sim::{
    Error, ErrorKind, Parameters, Port, Server, Wire, accepts_gzip, bearer, lock, now_ms,
};
use serde::Serialize;

use self::answer::Answer;
pub use self::audit::WindowEnd;
use self::audit::{Ask, Twist};
use self::limiter::Limiter;
pub use self::limiter::{Counting, Rate, Usage};
use self::oauth::{Book, Caller, Done, Refused, SCOPES};
pub use self::oauth::{Pkce, SignIn, hash_of};
use crate::fault::{Fault, Faults, Setting};
use crate::world::World;

/// A token that a user made by hand.
#[derive(Clone)]
pub struct PersonalToken {
    /// The token itself.
    pub token: String,
    /// E-mail address of its owner; the first administrator when absent.
    pub user: Option<String>,
    /// Its scopes; all of them when absent.
    pub scopes: Option<Vec<String>>,
}

impl std::fmt::Debug for PersonalToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PersonalToken").field("user", &self.user).finish_non_exhaustive()
    }
}

/// When events appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// All of them from the start.
    All,
    /// This many at the start, more when told to.
    Manual(usize),
    /// As their time of delivery comes, by the clock.
    Clock,
}

/// How a simulator is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// What there is to serve.
    pub world: Arc<World>,
    /// Where to listen; only loopback is accepted.
    pub listen: SocketAddr,
    /// Sign-in and tokens.
    pub sign_in: SignIn,
    /// Tokens made by hand.
    pub personal: Vec<PersonalToken>,
    /// The rate limit.
    pub rate: Rate,
    /// Whether the organization has the audit log's add-on.
    pub add_on: bool,
    /// What `to` means further on.
    pub window_end: WindowEnd,
    /// When events appear.
    pub live: Live,
    /// Whether answers are compressed for those who ask for it.
    pub gzip: bool,
    /// Faults that are on from the start.
    pub faults: Vec<Setting>,
    /// Seed of the faults.
    pub fault_seed: u64,
}

impl Config {
    /// The usual settings for a world: all events there, no faults, 300 requests a minute.
    pub fn new(world: Arc<World>) -> Self {
        Self {
            world,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            sign_in: SignIn::default(),
            personal: Vec::new(),
            rate: Rate::default(),
            add_on: true,
            window_end: WindowEnd::RunsOn,
            live: Live::All,
            gzip: true,
            faults: Vec::new(),
            fault_seed: 1,
        }
    }
}

/// What was asked and answered since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    /// Requests by method and path, ids left out.
    pub requests: BTreeMap<String, u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers by the app's error code.
    pub codes: BTreeMap<u32, u64>,
    /// Faults that happened, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Pages of events with at least one event.
    pub pages: u64,
    /// Events on pages, repeats included.
    pub events: u64,
    /// Bytes of bodies, after compression.
    pub bytes: u64,
    /// Codes that were changed into tokens.
    pub exchanges: u64,
    /// Refreshes that gave a new pair.
    pub refreshes: u64,
    /// The most refreshes that were under way at once.
    pub refreshes_at_once: u64,
    /// Tokens revoked by their owners.
    pub revocations: u64,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    sign_in_user: u32,
    book: Mutex<Book>,
    limiter: Mutex<Limiter>,
    faults: Mutex<Faults>,
    counters: Mutex<Counters>,
    refreshing: AtomicUsize,
    released: AtomicUsize,
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
    /// When the address is not on loopback or taken, when threads cannot be started, or when the
    /// settings name a user who does not exist.
    pub fn start(config: Config) -> Result<Self, Error> {
        let port = Port::open(config.listen)?;
        let shared = Arc::new(Shared::new(config)?);
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        Ok(Self { server: port.serve("smartsheet-sim", router)?, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The base of the API, `http://127.0.0.1:PORT/2.0`.
    pub fn api_base(&self) -> String {
        format!("{}/2.0", self.base_url())
    }

    /// The sign-in page, `http://127.0.0.1:PORT/b/authorize`.
    pub fn sign_in_url(&self) -> String {
        format!("{}/b/authorize", self.base_url())
    }

    /// What it serves.
    pub fn world(&self) -> &Arc<World> {
        &self.shared.config.world
    }

    /// What was asked and answered so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// What was used of the rate limit.
    pub fn usage(&self) -> Usage {
        lock(&self.shared.limiter).usage()
    }

    /// Milliseconds since the start, the clock of [`Usage::admitted_at_ms`].
    pub fn elapsed_ms(&self) -> u64 {
        lock(&self.shared.limiter).elapsed_ms()
    }

    /// Changes the rate limit.
    pub fn set_rate(&self, rate: Rate) {
        lock(&self.shared.limiter).set(rate);
    }

    /// Switches a fault on or changes it, as on the command line, e.g. `reset=0.1`.
    ///
    /// # Errors
    /// When the text cannot be read.
    pub fn set_fault(&self, text: &str) -> Result<(), Error> {
        let setting = text.parse()?;
        lock(&self.shared.faults).set(setting);
        Ok(())
    }

    /// Switches all faults off.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// How many events there are by now.
    pub fn released(&self) -> usize {
        self.shared.released()
    }

    /// Lets so many more events appear; returns how many there are then. Not in [`Live::Clock`].
    pub fn release(&self, count: usize) -> usize {
        self.shared.release(count)
    }

    /// Makes every access token expire now, but for those made by hand.
    pub fn expire_access_tokens(&self) {
        lock(&self.shared.book).expire_all();
    }

    /// Makes every access token dead, those made by hand too.
    pub fn kill_access_tokens(&self) {
        lock(&self.shared.book).kill_all();
    }

    /// Makes every grant dead: a refresh ends in `invalid_grant`.
    pub fn kill_grants(&self) {
        lock(&self.shared.book).kill_grants();
    }

    /// Every access and refresh token that is good now: what no file and no log may contain.
    pub fn live_tokens(&self) -> Vec<String> {
        lock(&self.shared.book).live()
    }
}

impl Shared {
    fn new(config: Config) -> Result<Self, Error> {
        let find = |email: &Option<String>| {
            let users = &config.world.company().users;
            let Some(email) = email else { return Ok(0) };
            let at = users.iter().position(|user| user.email.eq_ignore_ascii_case(email));
            at.map(|at| at as u32).ok_or_else(|| {
                let message = format!(
                    "nobody has the address `{email}`\nhint: GET /control/users lists everybody"
                );
                Error::new(ErrorKind::Setting, message)
            })
        };
        let mut book = Book::default();
        for token in &config.personal {
            let all = || SCOPES.iter().map(|scope| (*scope).to_owned()).collect();
            let scopes = token.scopes.clone().unwrap_or_else(all);
            book.add_personal(token.token.clone(), find(&token.user)?, scopes);
        }
        let released = match config.live {
            Live::Manual(count) => count.min(config.world.len()),
            Live::All | Live::Clock => config.world.len(),
        };
        Ok(Self {
            sign_in_user: find(&config.sign_in.user)?,
            book: Mutex::new(book),
            limiter: Mutex::new(Limiter::new(config.rate)),
            faults: Mutex::new(Faults::new(config.fault_seed, &config.faults)),
            counters: Mutex::new(Counters::default()),
            refreshing: AtomicUsize::new(0),
            released: AtomicUsize::new(released),
            config,
        })
    }

    fn released(&self) -> usize {
        match self.config.live {
            Live::Clock => self.config.world.delivered_by(now_ms()),
            Live::All | Live::Manual(_) => self.released.load(Ordering::SeqCst),
        }
    }

    fn release(&self, count: usize) -> usize {
        let limit = self.config.world.len();
        let add = |now: usize| Some(now.saturating_add(count).min(limit));
        // The function always gives a number, so this does not fail.
        let _ = self.released.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
        self.released()
    }

    fn counters(&self) -> Counters {
        let mut counters = lock(&self.counters).clone();
        counters.faults = lock(&self.faults).happened();
        counters
    }

    fn fault(&self, fault: Fault) -> Option<u64> {
        lock(&self.faults).draw(fault)
    }

    /// Who calls, if they may call at all now.
    fn admit(&self, headers: &HeaderMap) -> Result<Caller, Answer> {
        let Some(token) = bearer(headers) else {
            return Err(Answer::error(401, 1001, "An Access Token is required"));
        };
        let now = Instant::now();
        let caller = lock(&self.book).caller(token, now).map_err(|refused| match refused {
            Refused::Unknown => dead_token(),
            Refused::Expired => expired_token(),
        })?;
        let (admitted, rate) = {
            let mut limiter = lock(&self.limiter);
            (limiter.admit(token, now), limiter.rate())
        };
        admitted.map_err(|wait| {
            let answer = too_many();
            match rate.retry_after {
                true => with_wait(answer, wait.as_secs() + 1),
                false => answer,
            }
        })?;
        Ok(caller)
    }

    /// Faults that take the place of an answer; `None` when none happens.
    fn instead(&self, caller: &Caller, wire: &Wire) -> Option<Answer> {
        let mut faults = lock(&self.faults);
        if faults.draw(Fault::Reset).is_some() {
            wire.reset();
            return Some(Answer::error(500, 4000, "Internal Server Error"));
        }
        if faults.draw(Fault::Html200).is_some() {
            return Some(Answer::html(200, "Smartsheet is having a moment"));
        }
        if faults.draw(Fault::Html502).is_some() {
            return Some(Answer::html(502, "502 Bad Gateway"));
        }
        if faults.draw(Fault::RateLimited).is_some() {
            return Some(too_many());
        }
        if let Some(seconds) = faults.draw(Fault::RateLimitedRetryAfter) {
            return Some(with_wait(too_many(), seconds));
        }
        if faults.draw(Fault::Maintenance).is_some() {
            let message = "Smartsheet.com is currently offline for system maintenance. \
                Please check back again shortly.";
            return Some(Answer::error(503, 4001, message));
        }
        if faults.draw(Fault::Unexpected).is_some() {
            return Some(Answer::error(500, 4004, "An unexpected error has occurred."));
        }
        if faults.draw(Fault::Internal).is_some() {
            return Some(Answer::error(500, 4000, "Internal Server Error"));
        }
        if faults.draw(Fault::TokenExpired).is_some() {
            lock(&self.book).expire(&caller.token);
            return Some(expired_token());
        }
        if faults.draw(Fault::TokenDead).is_some() {
            lock(&self.book).kill(&caller.token);
            return Some(dead_token());
        }
        None
    }
}

fn dead_token() -> Answer {
    Answer::error(401, 1002, "Your Access Token is invalid.")
}

fn expired_token() -> Answer {
    Answer::error(401, 1003, "Your Access Token has expired")
}

fn too_many() -> Answer {
    Answer::error(429, 4003, "Rate limit exceeded.")
}

fn with_wait(answer: Answer, seconds: u64) -> Answer {
    answer.with(header::RETRY_AFTER, seconds.to_string())
}

fn not_authorized() -> Answer {
    Answer::error(403, 1004, "You are not authorized to perform this action.")
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let route = format!("{} {}", parts.method, route(parts.uri.path()));
    let control = parts.uri.path().starts_with("/control/");
    let mut answer = dispatch(&shared, &wire, &parts, &body).await;
    if shared.config.gzip && accepts_gzip(&parts.headers) {
        // Compressing a large page takes a while: not on the threads that serve others.
        let plain = answer;
        answer = match tokio::task::spawn_blocking(move || plain.compressed()).await {
            Ok(answer) => answer,
            Err(_) => Answer::error(500, 4000, "Internal Server Error"),
        };
    }
    if !control {
        shared.count(route, &answer);
    }
    if parts.uri.path().starts_with("/2.0/") && parts.uri.path() != "/2.0/token" {
        if let Some(over) = shared.fault(Fault::SlowBody) {
            wire.slow(answer.body.len() + 200, Duration::from_millis(over));
        }
        if shared.fault(Fault::CutBody).is_some() {
            // The head is about 150 bytes: the cut falls into the body.
            wire.cut_after(200 + answer.body.len() / 2);
        }
    }
    answer.into_response()
}

impl Shared {
    fn count(&self, route: String, answer: &Answer) {
        let mut counters = lock(&self.counters);
        *counters.requests.entry(route).or_default() += 1;
        *counters.statuses.entry(answer.status).or_default() += 1;
        if answer.code != 0 {
            *counters.codes.entry(answer.code).or_default() += 1;
        }
        counters.bytes += answer.body.len() as u64;
    }
}

/// A path with ids left out.
fn route(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .map(|part| if part.len() > 4 && part.parse::<i64>().is_ok() { "{id}" } else { part })
        .collect();
    parts.join("/")
}

async fn dispatch(
    shared: &Arc<Shared>,
    wire: &Wire,
    parts: &request::Parts,
    body: &[u8],
) -> Answer {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let given = Parameters::read(query.as_bytes());
    if path == "/b/authorize" {
        let given = given.and(Parameters::read(body));
        let (settings, user) = (&shared.config.sign_in, shared.sign_in_user);
        return oauth::authorize(&mut lock(&shared.book), settings, user, &given, query);
    }
    if path == "/2.0/token" && parts.method == Method::POST {
        return token(shared, wire, &given.and(Parameters::read(body))).await;
    }
    if let Some(rest) = path.strip_prefix("/control/") {
        return control::control(shared, &parts.method, rest, &given, body);
    }
    match path.strip_prefix("/2.0/") {
        Some(rest) => api(shared, wire, parts, rest, given).await,
        None => Answer::html(404, "Not found"),
    }
}

async fn token(shared: &Arc<Shared>, wire: &Wire, given: &Parameters) -> Answer {
    let refresh = given.get("grant_type") == Some("refresh_token");
    let guard = refresh.then(|| Refreshing::begin(shared));
    if let Some(late) = shared.fault(Fault::TokenSlow) {
        tokio::time::sleep(Duration::from_millis(late)).await;
    }
    if shared.fault(Fault::TokenBusy).is_some() {
        return Answer::html(503, "503 Service Unavailable");
    }
    if shared.fault(Fault::TokenRedirect).is_some() {
        return Answer::redirect(307, "/elsewhere".to_owned());
    }
    if shared.fault(Fault::TokenHtml).is_some() {
        return Answer::html(200, "Please sign in");
    }
    if shared.fault(Fault::TokenEmpty).is_some() {
        return Answer::json(String::new());
    }
    let dead = refresh && shared.fault(Fault::GrantDead).is_some();
    let keep = refresh && shared.fault(Fault::TokenNoRefresh).is_some();
    let done = lock(&shared.book).token(&shared.config.sign_in, given, dead, keep);
    drop(guard);
    match done {
        Ok((answer, done)) => {
            {
                let mut counters = lock(&shared.counters);
                match done {
                    Done::Exchanged => counters.exchanges += 1,
                    Done::Refreshed => counters.refreshes += 1,
                }
            }
            if shared.fault(Fault::TokenLost).is_some() {
                wire.reset();
            }
            answer
        }
        Err(answer) => answer,
    }
}

/// Counts the refreshes that are under way.
struct Refreshing<'a>(&'a Shared);

impl<'a> Refreshing<'a> {
    fn begin(shared: &'a Shared) -> Self {
        let now = shared.refreshing.fetch_add(1, Ordering::SeqCst) as u64 + 1;
        let mut counters = lock(&shared.counters);
        counters.refreshes_at_once = counters.refreshes_at_once.max(now);
        Self(shared)
    }
}

impl Drop for Refreshing<'_> {
    fn drop(&mut self) {
        self.0.refreshing.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn api(
    shared: &Arc<Shared>,
    wire: &Wire,
    parts: &request::Parts,
    path: &str,
    given: Parameters,
) -> Answer {
    let caller = match shared.admit(&parts.headers) {
        Ok(caller) => caller,
        Err(answer) => return answer,
    };
    if path == "token" && parts.method == Method::DELETE {
        lock(&shared.book).revoke(&caller.token, given.is_true("deleteAllForApiClient"));
        lock(&shared.counters).revocations += 1;
        return Answer::success();
    }
    if let Some(answer) = shared.instead(&caller, wire) {
        return answer;
    }
    if parts.method != Method::GET {
        return Answer::error(405, 1123, "HTTP method not supported.");
    }
    let company = shared.config.world.company();
    let Some(user) = company.users.get(caller.user as usize) else { return dead_token() };
    let may = |scope: &str| caller.scopes.iter().any(|given| given == scope);
    let mut segments = path.split('/');
    match (segments.next(), segments.next(), segments.next()) {
        (Some("events"), None, _) => {
            events(shared, may("READ_EVENTS") && user.admin(), given).await
        }
        (Some("users"), Some("me"), None) => directory::me(company, user, &given),
        (Some("users" | "groups"), ..) if !may("READ_USERS") => not_authorized(),
        (Some("users"), None, _) => directory::users(company, user.admin(), &given),
        (Some("users"), Some(id), None) => directory::user(company, user.admin(), id, &given),
        (Some("groups"), None, _) => directory::groups(company, &given),
        (Some("groups"), Some(id), None) => directory::group(company, id),
        _ => Answer::error(404, 1006, "Not Found"),
    }
}

async fn events(shared: &Arc<Shared>, allowed: bool, given: Parameters) -> Answer {
    if !allowed || shared.fault(Fault::AdminLost).is_some() {
        return not_authorized();
    }
    if !shared.config.add_on || shared.fault(Fault::AddOnMissing).is_some() {
        let message = "The operation you are attempting to perform is not supported by your plan.";
        return Answer::error(403, 1013, message);
    }
    let world = &shared.config.world;
    if let Some(plan) = given.get("managedPlanId")
        && plan.parse() != Ok(world.company().account_id)
    {
        return not_authorized();
    }
    let ask = match Ask::read(&given, world.company().plan.seed, now_ms()) {
        Ok(ask) => ask,
        Err(answer) => return answer,
    };
    let released = shared.released();
    if ask.beyond(released) {
        return audit::not_valid("streamPosition", "streamPosition");
    }
    let twist = {
        let mut faults = lock(&shared.faults);
        let max = ask.max() as u64;
        if faults.draw_if(Fault::PageTooBig, |limit| max > limit).is_some() {
            return Answer::error(500, 4002, "Server timeout exceeded. Request has failed.");
        }
        if ask.positioned() && faults.draw(Fault::PositionRefused).is_some() {
            return audit::not_valid(given.get("streamPosition").unwrap_or(""), "streamPosition");
        }
        Twist::draw(&mut faults)
    };
    let task = Arc::clone(shared);
    let written = tokio::task::spawn_blocking(move || {
        audit::page(&task.config.world, released, &ask, task.config.window_end, &twist)
    });
    match written.await {
        Ok((answer, count)) => {
            let mut counters = lock(&shared.counters);
            counters.pages += u64::from(count > 0);
            counters.events += count as u64;
            answer
        }
        Err(_) => Answer::error(500, 4000, "Internal Server Error"),
    }
}
