//! Sign-in: the consent page, codes, tokens, their change at every refresh, and their end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use casbah_sim::secret::letters;
use casbah_sim::{Consent, Parameters};
use sha2::{Digest, Sha256};
use url::Url;

use super::answer::Answer;
use crate::text::Members;

/// Every scope of the app.
pub(crate) const SCOPES: &[&str] = &[
    "ADMIN_SHEETS",
    "ADMIN_SIGHTS",
    "ADMIN_USERS",
    "ADMIN_WEBHOOKS",
    "ADMIN_WORKSPACES",
    "CREATE_SHEETS",
    "CREATE_SIGHTS",
    "DELETE_SHEETS",
    "DELETE_SIGHTS",
    "READ_CONTACTS",
    "READ_EVENTS",
    "READ_SHEETS",
    "READ_SIGHTS",
    "READ_USERS",
    "SHARE_SHEETS",
    "SHARE_SIGHTS",
    "WRITE_SHEETS",
];

/// Whether a PKCE challenge is looked at; of the app it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pkce {
    /// A challenge is kept and the verifier checked.
    Verify,
    /// As if it were not there.
    Ignore,
}

/// The one registered app, and how sign-in behaves.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
    /// The registered redirect address. Where it is on loopback, any port is accepted.
    pub redirect: String,
    /// How the consent page answers.
    pub consent: Consent,
    /// E-mail address of who signs in; the first administrator when absent.
    pub user: Option<String>,
    /// Life of an access token; the app says 604799 seconds.
    pub token_life: Duration,
    /// Life of a code; the app says 599135 milliseconds.
    pub code_life: Duration,
    /// `{"token": {…}}` as in old descriptions, instead of flat.
    pub wrapped: bool,
    /// What is done with PKCE.
    pub pkce: Pkce,
}

impl Default for SignIn {
    fn default() -> Self {
        Self {
            client_id: "casbah-test-client".to_owned(),
            client_secret: "casbah-test-secret".to_owned(),
            redirect: "http://127.0.0.1/callback".to_owned(),
            consent: Consent::Allow,
            user: None,
            token_life: Duration::from_secs(604_799),
            code_life: Duration::from_millis(599_135),
            wrapped: false,
            pkce: Pkce::Verify,
        }
    }
}

/// Whom an access token stands for.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) token: String,
    /// Place in the company's users.
    pub(crate) user: u32,
    pub(crate) scopes: Vec<String>,
}

#[derive(Debug)]
struct Code {
    user: u32,
    scopes: Vec<String>,
    challenge: Option<(String, String)>,
    /// The redirect address, where the request named one.
    redirect: Option<String>,
    expires: Instant,
    /// The grant that it was changed into.
    grant: Option<usize>,
}

#[derive(Debug)]
struct Grant {
    user: u32,
    scopes: Vec<String>,
    access: String,
    refresh: String,
    dead: bool,
}

#[derive(Debug)]
struct Access {
    user: u32,
    scopes: Vec<String>,
    grant: Option<usize>,
    expires: Option<Instant>,
    dead: bool,
}

/// All codes and tokens that were handed out.
#[derive(Debug, Default)]
pub(crate) struct Book {
    codes: HashMap<String, Code>,
    grants: Vec<Grant>,
    access: HashMap<String, Access>,
    /// Refresh tokens that were ever handed out, and their grants.
    refresh: HashMap<String, usize>,
}

/// Why an access token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Unknown,
    Expired,
}

/// What the token endpoint did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Exchanged,
    Refreshed,
}

impl Book {
    /// Adds a token that a user made by hand.
    pub(crate) fn add_personal(&mut self, token: String, user: u32, scopes: Vec<String>) {
        self.access.insert(token, Access { user, scopes, grant: None, expires: None, dead: false });
    }

    pub(crate) fn caller(&self, token: &str, now: Instant) -> Result<Caller, Refused> {
        let access = self.access.get(token).ok_or(Refused::Unknown)?;
        if access.dead {
            return Err(Refused::Unknown);
        }
        if access.expires.is_some_and(|expires| now >= expires) {
            return Err(Refused::Expired);
        }
        let scopes = access.scopes.clone();
        Ok(Caller { token: token.to_owned(), user: access.user, scopes })
    }

    /// Makes an access token expire now; those made by hand do not.
    pub(crate) fn expire(&mut self, token: &str) {
        if let Some(access) = self.access.get_mut(token).filter(|access| access.grant.is_some()) {
            access.expires = Some(Instant::now());
        }
    }

    /// Makes an access token dead; those made by hand stay, so that a fault ends.
    pub(crate) fn kill(&mut self, token: &str) {
        if let Some(access) = self.access.get_mut(token).filter(|access| access.grant.is_some()) {
            access.dead = true;
        }
    }

    pub(crate) fn expire_all(&mut self) {
        let tokens: Vec<String> = self.access.keys().cloned().collect();
        tokens.iter().for_each(|token| self.expire(token));
    }

    pub(crate) fn kill_all(&mut self) {
        self.access.values_mut().for_each(|access| access.dead = true);
    }

    pub(crate) fn kill_grants(&mut self) {
        self.grants.iter_mut().for_each(|grant| grant.dead = true);
        self.kill_all();
    }

    /// Every access and refresh token that is good now.
    pub(crate) fn live(&self) -> Vec<String> {
        let now = Instant::now();
        let good = |access: &Access| !access.dead && access.expires.is_none_or(|at| at > now);
        let access = self.access.iter().filter(|(_, access)| good(access));
        let grants = self.grants.iter().filter(|grant| !grant.dead);
        access
            .map(|(token, _)| token.clone())
            .chain(grants.map(|grant| grant.refresh.clone()))
            .collect()
    }

    /// Ends a token; with `all`, every token of the same user and app.
    pub(crate) fn revoke(&mut self, token: &str, all: bool) {
        let Some(access) = self.access.get_mut(token) else { return };
        access.dead = true;
        let (grant, user) = (access.grant, access.user);
        for (at, entry) in self.grants.iter_mut().enumerate() {
            entry.dead |= Some(at) == grant || (all && entry.user == user);
        }
        let dead: Vec<usize> = (0..self.grants.len())
            .filter(|at| self.grants.get(*at).is_some_and(|g| g.dead))
            .collect();
        for access in self.access.values_mut() {
            access.dead |= access.grant.is_some_and(|grant| dead.contains(&grant));
        }
    }

    fn new_code(&mut self, code: Code) -> String {
        let text = letters(20);
        self.codes.insert(text.clone(), code);
        text
    }

    /// Gives a grant a new access token and, unless it keeps it, a new refresh token.
    fn renew(&mut self, at: usize, life: Duration, keep_refresh: bool) -> Option<(String, String)> {
        let grant = self.grants.get_mut(at)?;
        if let Some(old) = self.access.get_mut(&grant.access) {
            old.dead = true;
        }
        grant.access = letters(26);
        if !keep_refresh {
            grant.refresh = letters(26);
        }
        let access = Access {
            user: grant.user,
            scopes: grant.scopes.clone(),
            grant: Some(at),
            expires: Some(Instant::now() + life),
            dead: false,
        };
        self.access.insert(grant.access.clone(), access);
        self.refresh.insert(grant.refresh.clone(), at);
        Some((grant.access.clone(), grant.refresh.clone()))
    }

    /// The token endpoint.
    pub(crate) fn token(
        &mut self,
        settings: &SignIn,
        given: &Parameters,
        grant_dead: bool,
        keep_refresh: bool,
    ) -> Result<(Answer, Done), Answer> {
        let grant_type = given.get("grant_type").ok_or_else(|| missing("grant_type"))?;
        let client = given.get("client_id").ok_or_else(|| missing("client_id"))?;
        if client != settings.client_id {
            return Err(Answer::token_error(401, 1067, "Invalid client_id", "invalid_client"));
        }
        match grant_type {
            "authorization_code" => {
                let code = given.get("code").ok_or_else(|| missing("code"))?;
                proof(settings, given, code)?;
                let at = self.exchange(given, code)?;
                Ok((self.issue(settings, at, false), Done::Exchanged))
            }
            "refresh_token" => {
                let token = given.get("refresh_token").ok_or_else(|| missing("refresh_token"))?;
                proof(settings, given, token)?;
                let at = self.grant_of(token, grant_dead)?;
                Ok((self.issue(settings, at, keep_refresh), Done::Refreshed))
            }
            _ => Err(Answer::token_error(
                400,
                1068,
                "The grant_type is not one of authorization_code, refresh_token",
                "unsupported_grant_type",
            )),
        }
    }

    fn issue(&mut self, settings: &SignIn, at: usize, keep_refresh: bool) -> Answer {
        match self.renew(at, settings.token_life, keep_refresh) {
            Some((access, refresh)) => {
                pair(settings, &access, (!keep_refresh).then_some(refresh.as_str()))
            }
            None => Answer::error(500, 4000, "Internal Server Error"),
        }
    }

    fn exchange(&mut self, given: &Parameters, text: &str) -> Result<usize, Answer> {
        let bad = |code, message: &str| Answer::token_error(400, code, message, "invalid_grant");
        let number = self.grants.len();
        let code = self
            .codes
            .get_mut(text)
            .ok_or_else(|| bad(1071, "The authorization code is invalid"))?;
        if let Some(grant) = code.grant {
            // A code that is used twice was stolen: what it gave is taken back.
            if let Some(access) = self.grants.get(grant).map(|grant| grant.access.clone()) {
                self.revoke(&access, false);
            }
            return Err(bad(1071, "The authorization code was used before"));
        }
        if Instant::now() >= code.expires {
            return Err(bad(1069, "The authorization code has expired"));
        }
        if let (Some(asked), Some(now)) = (&code.redirect, given.get("redirect_uri"))
            && asked != now
        {
            let message = "The redirect_uri is not the one of the authorization request";
            return Err(Answer::token_error(400, 1073, message, "invalid_request"));
        }
        if let Some((challenge, method)) = &code.challenge {
            let verifier = given.get("code_verifier").unwrap_or_default();
            let found = match method.as_str() {
                "S256" => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
                _ => verifier.to_owned(),
            };
            if found != *challenge {
                return Err(bad(1071, "The code_verifier does not match the code_challenge"));
            }
        }
        code.grant = Some(number);
        let (user, scopes) = (code.user, code.scopes.clone());
        let empty = String::new();
        let grant = Grant { user, scopes, access: empty.clone(), refresh: empty, dead: false };
        self.grants.push(grant);
        Ok(number)
    }

    fn grant_of(&mut self, token: &str, dead: bool) -> Result<usize, Answer> {
        let bad = || {
            let message = "The refresh token is invalid";
            Answer::token_error(400, 1071, message, "invalid_grant")
        };
        let at = self.refresh.get(token).copied().ok_or_else(bad)?;
        let grant = self.grants.get_mut(at).ok_or_else(bad)?;
        grant.dead |= dead;
        if grant.dead || grant.refresh != token {
            return Err(bad());
        }
        Ok(at)
    }
}

fn missing(name: &str) -> Answer {
    let message = format!("A required parameter is missing from the request: {name}");
    Answer::token_error(400, 1070, &message, "invalid_request")
}

/// Checks `client_secret` or `hash`, of which there must be exactly one.
fn proof(settings: &SignIn, given: &Parameters, bound: &str) -> Result<(), Answer> {
    let refuse = |code, message: &str, error| Err(Answer::token_error(400, code, message, error));
    match (given.get("client_secret"), given.get("hash")) {
        (None, None) => refuse(1236, "Either client_secret or hash is required", "invalid_request"),
        (Some(_), Some(_)) => {
            refuse(1237, "Only one of client_secret and hash may be given", "invalid_request")
        }
        (Some(secret), None) if secret != settings.client_secret => {
            refuse(1238, "The client_secret is wrong", "invalid_client")
        }
        (None, Some(hash)) if hash != hash_of(&settings.client_secret, bound) => {
            refuse(1072, "The hash is wrong", "invalid_grant")
        }
        _ => Ok(()),
    }
}

/// What a client may send in place of its secret: SHA-256 of `secret|code` in small hex digits.
pub fn hash_of(client_secret: &str, bound: &str) -> String {
    let digest = Sha256::digest(format!("{client_secret}|{bound}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pair(settings: &SignIn, access: &str, refresh: Option<&str>) -> Answer {
    let mut out = String::new();
    if settings.wrapped {
        out.push_str("{\"token\":");
    }
    let mut members = Members::open(&mut out, false);
    members.text("access_token", access);
    members.text("token_type", "bearer");
    if let Some(refresh) = refresh {
        members.text("refresh_token", refresh);
    }
    members.number("expires_in", settings.token_life.as_secs() as i64);
    members.close();
    if settings.wrapped {
        out.push('}');
    }
    Answer::json(out).with(axum::http::header::CACHE_CONTROL, "no-store".to_owned())
}

/// What the user said on the page with the buttons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressed {
    Allow,
    Deny,
}

/// The sign-in page.
pub(crate) fn authorize(
    book: &mut Book,
    settings: &SignIn,
    user: u32,
    given: &Parameters,
    query: &str,
) -> Answer {
    let client = given.get("client_id").unwrap_or_default();
    if client != settings.client_id {
        return Answer::error(401, 1067, "Invalid client_id");
    }
    let asked = given.get("redirect_uri");
    if asked.is_some_and(|asked| !same_redirect(asked, &settings.redirect)) {
        return Answer::error(400, 1073, "The redirect_uri is not the registered one");
    }
    let state = given.get("state");
    let Ok(mut back) = Url::parse(asked.unwrap_or(&settings.redirect)) else {
        return Answer::error(400, 1073, "The registered redirect address is no address");
    };
    let mut go = |members: &[(&str, &str)]| {
        back.query_pairs_mut().extend_pairs(members);
        if let Some(state) = state {
            back.query_pairs_mut().append_pair("state", state);
        }
        Answer::redirect(303, back.to_string())
    };
    if given.get("response_type") != Some("code") {
        return go(&[("error", "unsupported_response_type")]);
    }
    let scopes: Vec<String> = given
        .get("scope")
        .unwrap_or_default()
        .split([' ', ','])
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect();
    if scopes.is_empty() || scopes.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
        return go(&[("error", "invalid_scope")]);
    }
    let pressed = match settings.consent {
        Consent::Allow => Pressed::Allow,
        Consent::Deny => Pressed::Deny,
        Consent::Ask => match given.get("consent") {
            Some("allow") => Pressed::Allow,
            Some("deny") => Pressed::Deny,
            _ => return consent_page(query, &scopes),
        },
    };
    if pressed == Pressed::Deny {
        return go(&[("error", "access_denied")]);
    }
    let challenge = given.get("code_challenge").filter(|_| settings.pkce == Pkce::Verify);
    let method = given.get("code_challenge_method").unwrap_or("plain");
    let code = book.new_code(Code {
        user,
        scopes,
        challenge: challenge.map(|challenge| (challenge.to_owned(), method.to_owned())),
        redirect: asked.map(str::to_owned),
        expires: Instant::now() + settings.code_life,
        grant: None,
    });
    let life = settings.code_life.as_millis().to_string();
    go(&[("code", &code), ("expires_in", &life)])
}

/// Whether an address is the registered one; on loopback the port may differ, as the client is a
/// program on the user's machine.
fn same_redirect(asked: &str, registered: &str) -> bool {
    if asked == registered {
        return true;
    }
    let (Ok(mut asked), Ok(mut registered)) = (Url::parse(asked), Url::parse(registered)) else {
        return false;
    };
    let loopback = |url: &Url| {
        url.scheme() == "http"
            && matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"))
    };
    loopback(&asked)
        && loopback(&registered)
        && asked.set_port(None).is_ok()
        && registered.set_port(None).is_ok()
        && asked == registered
}

fn consent_page(query: &str, scopes: &[String]) -> Answer {
    let query = escaped(query);
    let list: String = scopes.iter().map(|scope| format!("<li>{}</li>", escaped(scope))).collect();
    Answer::page(format!(
        "<!DOCTYPE html><html><head><title>Allow access?</title></head><body>\
         <h1>Allow access?</h1><ul>{list}</ul>\
         <form method=\"post\" action=\"/b/authorize?{query}\">\
         <button name=\"consent\" value=\"allow\">Allow</button>\
         <button name=\"consent\" value=\"deny\">Deny</button></form></body></html>\n"
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
