//! The server: one simulated NetDocuments on loopback.
//!
//! Regions are prefixes of the path: `/us` stands for both hosts of the United States. The repository
//! is in one of them, and so are the credentials. It keeps to what is known of the app; it is no
//! security boundary: whoever can reach the port can control it.

mod answer;
mod control;
mod log;
mod oauth;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, Response, header, request};
use casbah_sim::{Clock, Error, Live, Parameters, Port, Server, Wire, accepts_gzip, bearer, lock};
use serde::Serialize;
use serde_json::{Value, json};
use smartsheet_sim::{Role, User};

use self::answer::Answer;
use self::log::{Ask, Twist};
pub use self::oauth::SignIn;
use self::oauth::{Asked, Book, Caller, Done, Who};
use crate::fault::{Fault, Faults, Setting};
use crate::firm::Firm;
use crate::history::DAY;
use crate::render::Form;
use crate::world::World;

/// The regions there are.
const REGIONS: &[&str] = &["us", "eu", "de", "au", "can", "ducot", "gov"];

/// What a caller gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// What is there.
    Everything,
    /// Users, but logs that have been empty for thirty days: they are not switched on.
    NoLogs,
    /// Every call comes back empty.
    Nothing,
}

/// How a simulator is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// What there is to serve.
    pub world: Arc<World>,
    /// Where to listen; only loopback is accepted.
    pub listen: SocketAddr,
    /// Where the repository is: us, eu, de, au, can, ducot or gov.
    pub region: String,
    /// Sign-in and tokens.
    pub sign_in: SignIn,
    /// When acts appear.
    pub live: Live,
    /// What a caller gets to see.
    pub sees: Sees,
    /// Whether logs are compressed for those who ask for it.
    pub gzip: bool,
    /// Faults that are on from the start.
    pub faults: Vec<Setting>,
    /// Seed of the faults.
    pub fault_seed: u64,
}

impl Config {
    /// The usual settings for a world: in the United States, everything there, no faults.
    pub fn new(world: Arc<World>) -> Self {
        Self {
            world,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            region: "us".to_owned(),
            sign_in: SignIn::default(),
            live: Live::All,
            sees: Sees::Everything,
            gzip: true,
            faults: Vec::new(),
            fault_seed: 1,
        }
    }
}

/// What was asked and answered since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    /// Requests by method and path.
    pub requests: BTreeMap<String, u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Faults that happened, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Logs that were answered.
    pub logs: u64,
    /// Records in them, repeats included.
    pub records: u64,
    /// The most records of one answer.
    pub most: u64,
    /// Codes that were changed into tokens.
    pub exchanges: u64,
    /// Refreshes.
    pub refreshes: u64,
    /// Tokens given to the application itself.
    pub client_grants: u64,
    /// Tokens revoked.
    pub revocations: u64,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    sign_in_user: u32,
    redirect: Mutex<String>,
    book: Mutex<Book>,
    faults: Mutex<Faults>,
    counters: Mutex<Counters>,
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
    /// When the address is not on loopback or taken, when threads can't be started, or when the
    /// settings name a user or a region that does not exist.
    pub fn start(config: Config) -> Result<Self, Error> {
        let port = Port::open(config.listen)?;
        let shared = Arc::new(Shared::new(config)?);
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        Ok(Self { server: port.serve("netdocuments-sim", router)?, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What stands for both hosts of the repository's region, `http://127.0.0.1:PORT/us`.
    pub fn api_base(&self) -> String {
        format!("{}/{}", self.base_url(), self.shared.config.region)
    }

    /// What it serves.
    pub fn world(&self) -> &Arc<World> {
        &self.shared.config.world
    }

    /// What was asked and answered so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Milliseconds since 1970, by its own clock.
    pub fn now(&self) -> i64 {
        self.shared.clock.now()
    }

    /// Turns its clock forward by so many milliseconds.
    pub fn advance(&self, ms: i64) {
        self.shared.clock.advance(ms);
    }

    /// Registers another redirect address.
    pub fn set_redirect(&self, redirect: &str) {
        redirect.clone_into(&mut lock(&self.shared.redirect));
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

    /// Makes every access token dead; a refresh helps.
    pub fn kill_access_tokens(&self) {
        lock(&self.shared.book).kill_all();
    }

    /// Makes every grant dead: a refresh ends in `invalid_grant`.
    pub fn kill_grants(&self) {
        lock(&self.shared.book).kill_grants();
    }

    /// Every access and refresh token that is good now: what no file and no log may contain.
    pub fn live_tokens(&self) -> Vec<String> {
        lock(&self.shared.book).live(&self.shared.config.sign_in, self.now())
    }
}

impl Shared {
    fn new(config: Config) -> Result<Self, Error> {
        if !REGIONS.contains(&config.region.as_str()) {
            let message = format!(
                "there is no region `{}`\nhint: one of {}",
                config.region,
                REGIONS.join(", ")
            );
            return Err(Error::setting(message));
        }
        let users = &config.world.company().users;
        let sign_in_user = match &config.sign_in.user {
            None => 0,
            Some(email) => users
                .iter()
                .position(|user| user.email.eq_ignore_ascii_case(email))
                .ok_or_else(|| {
                    Error::setting(format!(
                        "nobody has the address `{email}`\nhint: GET /control/users lists everybody"
                    ))
                })? as u32,
        };
        Ok(Self {
            sign_in_user,
            redirect: Mutex::new(config.sign_in.redirect.clone()),
            book: Mutex::new(Book::default()),
            faults: Mutex::new(Faults::new(config.fault_seed, &config.faults)),
            counters: Mutex::new(Counters::default()),
            clock: Clock::default(),
            config,
        })
    }

    fn counters(&self) -> Counters {
        let mut counters = lock(&self.counters).clone();
        counters.faults = lock(&self.faults).happened();
        counters
    }

    fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut lock(&self.counters));
    }

    fn fault(&self, fault: Fault) -> Option<u64> {
        lock(&self.faults).draw(fault)
    }

    fn admit(&self, headers: &HeaderMap) -> Option<Caller> {
        let token = bearer(headers)?;
        lock(&self.book).caller(&self.config.sign_in, token, self.clock.now())
    }

    /// Faults that take the place of an answer.
    fn instead(&self, caller: &Caller, wire: &Wire) -> Option<Answer> {
        let mut faults = lock(&self.faults);
        if faults.draw(Fault::Reset).is_some() {
            wire.reset();
            return Some(Answer::html(500, "Reset"));
        }
        if faults.draw(Fault::Html200).is_some() {
            return Some(Answer::html(200, "NetDocuments is being maintained"));
        }
        if faults.draw(Fault::RateLimited).is_some() {
            return Some(too_many());
        }
        if let Some(ms) = faults.draw(Fault::RateLimitedRetryAfter) {
            let wait = format!("{}.{:03}", ms / 1000, ms % 1000);
            return Some(too_many().with(header::RETRY_AFTER, wait));
        }
        if faults.draw(Fault::Unavailable).is_some() {
            return Some(Answer::html(503, "Service Unavailable"));
        }
        if faults.draw(Fault::Internal).is_some() {
            let message = "An unexpected error has occurred.";
            return Some(Answer::error(500, "InternalServerError", message, Form::Json));
        }
        if faults.draw(Fault::TokenExpired).is_some() {
            lock(&self.book).kill(&caller.token);
            return Some(Answer::html(401, "Unauthorized"));
        }
        None
    }
}

fn too_many() -> Answer {
    Answer::error(429, "TooManyRequests", "The rate limit is exceeded.", Form::Json)
}

fn unauthorized() -> Answer {
    Answer::error(401, "Unauthorized", "The access token is not good.", Form::Json)
        .with(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"".to_owned())
}

fn forbidden(form: Form) -> Answer {
    let message = "The caller is not an administrator of this repository.";
    Answer::error(403, "Forbidden", message, form)
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let answer = dispatch(&shared, &wire, &parts, &body).await;
    if !path.starts_with("/control/") {
        shared.count(|counters| {
            *counters.requests.entry(format!("{} {path}", parts.method)).or_default() += 1;
            *counters.statuses.entry(answer.status).or_default() += 1;
        });
        let api = path.contains("/v1/") || path.contains("/v2/");
        if api && !path.ends_with("/v1/OAuth") {
            let about = answer.about();
            if let Some(over) = shared.fault(Fault::SlowBody) {
                wire.slow(about + 200, Duration::from_millis(over));
            }
            if shared.fault(Fault::CutBody).is_some() {
                wire.cut_after(200 + about / 4);
            }
        }
    }
    answer.into_response(shared.config.gzip && accepts_gzip(&parts.headers))
}

async fn dispatch(
    shared: &Arc<Shared>,
    wire: &Wire,
    parts: &request::Parts,
    body: &[u8],
) -> Answer {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let given = Parameters::read(query.as_bytes()).in_any_case();
    if let Some(rest) = path.strip_prefix("/control/") {
        return control::control(shared, &parts.method, rest, &given, body);
    }
    let mut segments = path.trim_start_matches('/').splitn(2, '/');
    let (region, rest) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    if !REGIONS.contains(&region) {
        return Answer::html(404, "Not found");
    }
    let here = region == shared.config.region;
    match rest {
        "neWeb2/OAuth.aspx" if !here => Answer::html(400, "The application is not known"),
        "neWeb2/OAuth.aspx" => {
            let given = given.and(Parameters::read(body));
            let redirect = lock(&shared.redirect).clone();
            let settings = &shared.config.sign_in;
            let now = shared.clock.now();
            oauth::authorize(&mut lock(&shared.book), settings, &redirect, now, &given, query)
        }
        "v1/OAuth" if !here => Answer::refusal(401, "invalid_client", "The client is not known."),
        "v1/OAuth" if parts.method == Method::POST => {
            token(shared, &Parameters::read(body).in_any_case(), &parts.headers)
        }
        // Credentials of one region are not valid in another.
        _ if !here => unauthorized(),
        "v2/oauth/revoke" if parts.method == Method::POST => {
            let given = given.and(Parameters::read(body));
            lock(&shared.book).revoke(given.get("token").unwrap_or_default());
            shared.count(|counters| counters.revocations += 1);
            Answer::value(&json!({}))
        }
        _ => api(shared, wire, parts, rest, given).await,
    }
}

fn token(shared: &Arc<Shared>, given: &Parameters, headers: &HeaderMap) -> Answer {
    if shared.fault(Fault::TokenBusy).is_some() {
        return Answer::html(503, "Service Unavailable");
    }
    if shared.fault(Fault::TokenHtml).is_some() {
        return Answer::html(200, "Please sign in");
    }
    let refresh = given.get("grant_type") == Some("refresh_token");
    let asked = Asked {
        settings: &shared.config.sign_in,
        repository: &shared.config.world.repository(),
        user: shared.sign_in_user,
        now: shared.clock.now(),
        given,
        headers,
        dead: refresh && shared.fault(Fault::GrantDead).is_some(),
        rotate: refresh && shared.fault(Fault::TokenRotated).is_some(),
    };
    match lock(&shared.book).token(&asked) {
        Ok((answer, done)) => {
            shared.count(|counters| match done {
                Done::Exchanged => counters.exchanges += 1,
                Done::Refreshed => counters.refreshes += 1,
                Done::Client => counters.client_grants += 1,
            });
            answer
        }
        Err(answer) => answer,
    }
}

async fn api(
    shared: &Arc<Shared>,
    wire: &Wire,
    parts: &request::Parts,
    path: &str,
    given: Parameters,
) -> Answer {
    let Some(caller) = shared.admit(&parts.headers) else { return unauthorized() };
    if let Some(answer) = shared.instead(&caller, wire) {
        return answer;
    }
    if parts.method != Method::GET {
        return Answer::error(405, "MethodNotAllowed", "", Form::Json);
    }
    let firm = shared.config.world.firm();
    // The account that a client is mapped to is the first administrator.
    let at = if let Who::User(at) = caller.who { at } else { 0 };
    let Some(user) = firm.user(at) else { return unauthorized() };
    let unmapped = caller.who == Who::Client && !shared.config.sign_in.mapped;
    let sees = if unmapped { Sees::Nothing } else { shared.config.sees };
    let may = |scope: &str| caller.scopes.iter().any(|given| given == scope || given == "full");
    let segments: Vec<&str> = path.split('/').collect();
    match segments.as_slice() {
        ["v2", "oauth", "validate"] => Answer::value(&json!({})),
        ["v1", "User", "info"] => Answer::value(&person(firm, at, user, true)),
        ["v1", "User", id, "info"] => match find(firm, id) {
            Some((at, user)) => Answer::value(&person(firm, at, user, true)),
            None => missing(),
        },
        ["v1" | "v2", "Repository" | "repository", id, ..] if *id != firm.repository() => missing(),
        ["v1", "Repository", _, "users"] => users(firm, sees, may("read")),
        ["v1", "Repository", _, "groups"] => groups(firm, sees),
        ["v1", "Repository", _, "log"] => match Ask::first(&given, shared.clock.now()) {
            // Two definitions of the vendor name different scopes; the milder one is taken.
            Ok(ask) => logs(shared, ask, sees, may("read") && user.admin()).await,
            Err(answer) => answer,
        },
        ["v2", "repository", _, "log", log] => match Ask::second(log, &given, shared.clock.now()) {
            Ok(ask) => logs(shared, ask, sees, may("admin") && user.admin()).await,
            Err(answer) => answer,
        },
        _ => missing(),
    }
}

fn missing() -> Answer {
    Answer::error(404, "NotFound", "There is nothing here.", Form::Json)
}

fn find<'a>(firm: &'a Firm, id: &str) -> Option<(u32, &'a User)> {
    (0u32..).zip(&firm.company.users).find(|(at, _)| firm.guid(*at) == id)
}

/// A user, as the list and the info have it.
fn person(firm: &Firm, at: u32, user: &User, info: bool) -> Value {
    let external = user.role == Role::Guest;
    let mut value = json!({
        "id": firm.guid(at),
        "displayName": Firm::name(user),
        "email": user.email,
        "external": external,
    });
    if let Value::Object(members) = &mut value {
        if info {
            members.insert("organization".to_owned(), firm.company.name.into());
            members.insert("isRepositoryMember".to_owned(), (!external).into());
            members.insert("primaryCabinet".to_owned(), firm.cabinet(0).0.into());
            members.insert("sortLookupBy".to_owned(), "key".into());
        } else {
            members.insert("registered".to_owned(), (user.status != "PENDING").into());
            let seen = firm.company.plan.end - i64::from(at) * 3_600_000;
            members.insert("lastLogin".to_owned(), format!("/Date({seen})/").into());
        }
    }
    value
}

fn users(firm: &Firm, sees: Sees, may: bool) -> Answer {
    if !may {
        return forbidden(Form::Json);
    }
    let all = (0u32..).zip(&firm.company.users).filter(|_| sees != Sees::Nothing);
    Answer::value(&Value::Array(all.map(|(at, user)| person(firm, at, user, false)).collect()))
}

fn groups(firm: &Firm, sees: Sees) -> Answer {
    let count = if sees == Sees::Nothing { 0 } else { firm.company.groups.len() as u32 };
    let all = (0..count).map(|at| firm.group(at)).map(|(id, name)| json!({"id": id, "name": name}));
    Answer::value(&Value::Array(all.collect()))
}

async fn logs(shared: &Arc<Shared>, ask: Ask, sees: Sees, may: bool) -> Answer {
    if !may || shared.fault(Fault::AdminLost).is_some() {
        return forbidden(ask.form);
    }
    let now = shared.clock.now();
    let known = if shared.config.live == Live::Clock { now } else { i64::MAX };
    let twist = Twist::draw(&mut lock(&shared.faults));
    let world = &shared.config.world;
    let mut places = log::places(world, &ask, &twist, now, known);
    match sees {
        Sees::Everything => {}
        Sees::Nothing => places.clear(),
        Sees::NoLogs => {
            let silent = now - 30 * DAY;
            places = world.window(ask.log, ask.from, ask.to.min(silent), known);
        }
    }
    let many = |most: u64| places.len() as u64 > most;
    let busy = {
        let mut faults = lock(&shared.faults);
        let hang = faults.draw_if(Fault::BusyHang, many).is_some();
        (faults.draw_if(Fault::Busy, many).is_some(), hang)
    };
    match busy {
        (_, true) => {
            // Longer than anybody waits.
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return Answer::html(504, "Gateway Timeout");
        }
        (true, _) => return Answer::html(504, "Gateway Timeout"),
        _ => {}
    }
    shared.count(|counters| {
        counters.logs += 1;
        counters.records += places.len() as u64;
        counters.most = counters.most.max(places.len() as u64);
    });
    log::answer(world, &ask, &twist, places)
}
