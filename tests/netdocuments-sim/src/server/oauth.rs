//! Sign-in: the consent page, codes, tokens with their idle rule, client credentials, and the end.
//!
//! All times are by the simulator's clock, which tests can turn.

use std::collections::HashMap;

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use casbah_sim::secret::letters;
use casbah_sim::{Consent, Parameters};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::answer::Answer;

/// Every scope of the app.
const SCOPES: &[&str] =
    &["read", "edit", "organize", "lookup", "delete_doc", "delete_container", "admin", "full"];

/// The one registered application, and how sign-in behaves. Times are milliseconds.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Client id, `AP-XXXXXXXX`.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
    /// The registered redirect address, compared character for character.
    pub redirect: String,
    /// How the consent page answers.
    pub consent: Consent,
    /// E-mail address of who signs in; the first administrator when absent.
    pub user: Option<String>,
    /// Whether an administrator mapped the client to an account: without, client credentials work
    /// and every call comes back empty.
    pub mapped: bool,
    /// Life of a code.
    pub code_life: i64,
    /// An access token ends after so long without a call.
    pub idle: i64,
    /// An access token ends so long after its issue, however busy.
    pub life: i64,
    /// A refresh token ends after so long without a refresh.
    pub refresh_idle: i64,
}

impl Default for SignIn {
    fn default() -> Self {
        const MINUTE: i64 = 60_000;
        Self {
            client_id: "AP-CASBAH01".to_owned(),
            client_secret: "casbah-test-secret".to_owned(),
            redirect: "http://127.0.0.1/callback".to_owned(),
            consent: Consent::Allow,
            user: None,
            mapped: true,
            code_life: 2 * MINUTE,
            idle: 45 * MINUTE,
            life: 24 * 60 * MINUTE,
            refresh_idle: 40 * 24 * 60 * MINUTE,
        }
    }
}

/// For whom an access token was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// A user, by place.
    User(u32),
    /// The application itself.
    Client,
}

/// Whom a call is from.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) token: String,
    pub(crate) who: Who,
    pub(crate) scopes: Vec<String>,
}

#[derive(Debug)]
struct Code {
    scopes: Vec<String>,
    challenge: Option<(String, String)>,
    redirect: String,
    expires: i64,
    grant: Option<usize>,
}

#[derive(Debug)]
struct Grant {
    scopes: Vec<String>,
    refresh: String,
    used: i64,
    dead: bool,
}

#[derive(Debug)]
struct Access {
    who: Who,
    scopes: Vec<String>,
    grant: Option<usize>,
    issued: i64,
    used: i64,
    dead: bool,
}

/// What the token endpoint did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Exchanged,
    Refreshed,
    Client,
}

/// All codes and tokens that were handed out.
#[derive(Debug, Default)]
pub(crate) struct Book {
    codes: HashMap<String, Code>,
    grants: Vec<Grant>,
    access: HashMap<String, Access>,
}

/// What a call to the token endpoint is about.
pub(crate) struct Asked<'a> {
    pub(crate) settings: &'a SignIn,
    pub(crate) repository: &'a str,
    pub(crate) user: u32,
    pub(crate) now: i64,
    pub(crate) given: &'a Parameters,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) dead: bool,
    pub(crate) rotate: bool,
}

impl Access {
    fn good(&self, settings: &SignIn, now: i64) -> bool {
        !self.dead && now - self.used < settings.idle && now - self.issued < settings.life
    }
}

impl Book {
    /// Whose token it is; a good one is used by that.
    pub(crate) fn caller(&mut self, settings: &SignIn, token: &str, now: i64) -> Option<Caller> {
        let access = self.access.get_mut(token).filter(|access| access.good(settings, now))?;
        access.used = now;
        Some(Caller { token: token.to_owned(), who: access.who, scopes: access.scopes.clone() })
    }

    pub(crate) fn kill(&mut self, token: &str) {
        if let Some(access) = self.access.get_mut(token) {
            access.dead = true;
        }
    }

    pub(crate) fn kill_all(&mut self) {
        self.access.values_mut().for_each(|access| access.dead = true);
    }

    pub(crate) fn kill_grants(&mut self) {
        self.grants.iter_mut().for_each(|grant| grant.dead = true);
        self.kill_all();
    }

    /// Every access and refresh token that is good now.
    pub(crate) fn live(&self, settings: &SignIn, now: i64) -> Vec<String> {
        let access = self.access.iter().filter(|(_, access)| access.good(settings, now));
        let grants = self.grants.iter().filter(|grant| !grant.dead);
        access
            .map(|(token, _)| token.clone())
            .chain(grants.map(|grant| grant.refresh.clone()))
            .collect()
    }

    /// RFC 7009: ends an access token, or a refresh token with all that came of it.
    pub(crate) fn revoke(&mut self, token: &str) {
        let grant = match self.access.get_mut(token) {
            Some(access) => {
                access.dead = true;
                access.grant
            }
            None => self.grants.iter().position(|grant| grant.refresh == token),
        };
        let Some(at) = grant else { return };
        if let Some(grant) = self.grants.get_mut(at) {
            grant.dead = true;
        }
        for access in self.access.values_mut().filter(|access| access.grant == Some(at)) {
            access.dead = true;
        }
    }

    /// The token endpoint.
    pub(crate) fn token(&mut self, asked: &Asked<'_>) -> Result<(Answer, Done), Answer> {
        let grant = asked.given.get("grant_type").unwrap_or_default();
        let (client, secret) = proof(asked)?;
        let settings = asked.settings;
        let expected = match grant {
            // The repository is joined by a raw bar; an encoded one is another client.
            "client_credentials" => format!("{}|{}", settings.client_id, asked.repository),
            _ => settings.client_id.clone(),
        };
        if client != expected || secret != settings.client_secret {
            return Err(Answer::refusal(401, "invalid_client", "The client is not known."));
        }
        match grant {
            "authorization_code" => {
                let at = self.exchange(asked)?;
                Ok((self.issue(asked, Who::User(asked.user), Some(at), true), Done::Exchanged))
            }
            "refresh_token" => {
                let at = self.renewed(asked)?;
                let show = asked.rotate;
                Ok((self.issue(asked, Who::User(asked.user), Some(at), show), Done::Refreshed))
            }
            "client_credentials" => {
                scopes(asked.given)
                    .ok_or_else(|| Answer::refusal(400, "invalid_scope", "A scope is unknown."))?;
                Ok((self.issue(asked, Who::Client, None, false), Done::Client))
            }
            _ => Err(Answer::refusal(400, "unsupported_grant_type", "")),
        }
    }

    fn issue(&mut self, asked: &Asked<'_>, who: Who, grant: Option<usize>, show: bool) -> Answer {
        let token = letters(40);
        let kept = grant.and_then(|at| self.grants.get(at));
        let scopes = match kept {
            Some(grant) => grant.scopes.clone(),
            None => scopes(asked.given).unwrap_or_default(),
        };
        // The seconds are a text.
        let mut body = json!({"access_token": token, "token_type": "Bearer", "expires_in": "3600"});
        if let (true, Some(grant), Value::Object(members)) = (show, kept, &mut body) {
            members.insert("refresh_token".to_owned(), grant.refresh.clone().into());
        }
        let (issued, used) = (asked.now, asked.now);
        self.access.insert(token, Access { who, scopes, grant, issued, used, dead: false });
        Answer::value(&body).with(header::CACHE_CONTROL, "no-store".to_owned())
    }

    fn exchange(&mut self, asked: &Asked<'_>) -> Result<usize, Answer> {
        let bad = |what: &str| Answer::refusal(400, "invalid_grant", what);
        let text = asked.given.get("code").unwrap_or_default();
        let code = self.codes.get_mut(text).ok_or_else(|| bad("The code is not known."))?;
        if let Some(at) = code.grant {
            // A code that is used twice was stolen: what it gave is taken back.
            if let Some(refresh) = self.grants.get(at).map(|grant| grant.refresh.clone()) {
                self.revoke(&refresh);
            }
            return Err(bad("The code was used before."));
        }
        if asked.now >= code.expires {
            return Err(bad("The code has expired."));
        }
        if asked.given.get("redirect_uri") != Some(&code.redirect) {
            return Err(bad("The redirect_uri is another one."));
        }
        if let Some((challenge, method)) = &code.challenge {
            let verifier = asked.given.get("code_verifier").unwrap_or_default();
            let found = match method.as_str() {
                "S256" => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
                _ => verifier.to_owned(),
            };
            if found != *challenge {
                return Err(bad("The code_verifier does not match."));
            }
        }
        let at = self.grants.len();
        code.grant = Some(at);
        let scopes = code.scopes.clone();
        self.grants.push(Grant { scopes, refresh: letters(40), used: asked.now, dead: false });
        Ok(at)
    }

    fn renewed(&mut self, asked: &Asked<'_>) -> Result<usize, Answer> {
        let bad = || Answer::refusal(400, "invalid_grant", "The refresh token is not good.");
        let token = asked.given.get("refresh_token").unwrap_or_default();
        let at = self.grants.iter().position(|grant| grant.refresh == token).ok_or_else(bad)?;
        let grant = self.grants.get_mut(at).ok_or_else(bad)?;
        grant.dead |= asked.dead || asked.now - grant.used >= asked.settings.refresh_idle;
        if grant.dead {
            return Err(bad());
        }
        grant.used = asked.now;
        if asked.rotate {
            grant.refresh = letters(40);
        }
        Ok(at)
    }
}

/// Id and secret of the client: by HTTP Basic, unencoded, or in the body.
fn proof(asked: &Asked<'_>) -> Result<(String, String), Answer> {
    let basic = asked
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|encoded| STANDARD.decode(encoded.trim()).ok())
        .and_then(|decoded| String::from_utf8(decoded).ok())
        .and_then(|text| {
            text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
        });
    if let Some(pair) = basic {
        return Ok(pair);
    }
    let given = |name: &str| asked.given.get(name).map(str::to_owned);
    match (given("client_id"), given("client_secret")) {
        (Some(id), Some(secret)) => Ok((id, secret)),
        _ => Err(Answer::refusal(401, "invalid_client", "The client did not say who it is.")),
    }
}

/// The scopes that are asked for; none when one of them is unknown or there are none at all.
fn scopes(given: &Parameters) -> Option<Vec<String>> {
    let asked = given.get("scope")?;
    let scopes: Vec<String> =
        asked.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    let known = scopes.iter().all(|scope| SCOPES.contains(&scope.as_str()));
    (known && !scopes.is_empty()).then_some(scopes)
}

/// The sign-in page.
pub(crate) fn authorize(
    book: &mut Book,
    settings: &SignIn,
    redirect: &str,
    now: i64,
    given: &Parameters,
    query: &str,
) -> Answer {
    if given.get("client_id") != Some(settings.client_id.as_str()) {
        return Answer::html(400, "The application is not known");
    }
    // Character for character, the slash at the end too.
    if given.get("redirect_uri") != Some(redirect) {
        return Answer::html(400, "The redirect address is not the registered one");
    }
    let Ok(mut back) = Url::parse(redirect) else {
        return Answer::html(400, "The redirect address is none");
    };
    let mut go = |name: &str, value: &str| {
        back.query_pairs_mut().append_pair(name, value);
        if let Some(state) = given.get("state") {
            back.query_pairs_mut().append_pair("state", state);
        }
        Answer::redirect(back.to_string())
    };
    if given.get("response_type") != Some("code") {
        return go("error", "unsupported_response_type");
    }
    let Some(scopes) = scopes(given) else { return go("error", "invalid_scope") };
    let allowed = match (settings.consent, given.get("consent")) {
        (Consent::Allow, _) | (Consent::Ask, Some("allow")) => true,
        (Consent::Deny, _) | (Consent::Ask, Some(_)) => false,
        (Consent::Ask, None) => return consent_page(query),
    };
    if !allowed {
        return go("error", "access_denied");
    }
    let method = given.get("code_challenge_method").unwrap_or("plain");
    let challenge = given.get("code_challenge").map(|one| (one.to_owned(), method.to_owned()));
    let code = letters(24);
    let expires = now + settings.code_life;
    let redirect = redirect.to_owned();
    book.codes.insert(code.clone(), Code { scopes, challenge, redirect, expires, grant: None });
    go("code", &code)
}

fn consent_page(query: &str) -> Answer {
    let query = query.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    Answer::page(format!(
        "<!DOCTYPE html><html><head><title>Allow access?</title></head><body>\
         <h1>Allow access?</h1><form method=\"post\" action=\"?{query}\">\
         <button name=\"consent\" value=\"allow\">Allow</button>\
         <button name=\"consent\" value=\"deny\">Deny</button></form></body></html>\n"
    ))
}
