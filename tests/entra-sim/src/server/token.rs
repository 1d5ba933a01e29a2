//! The token end point: client credentials only, and the tokens that it gave out.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use casbah_sim::Parameters;
use serde_json::json;

use super::Config;
use super::answer::Answer;

/// The tokens that were given out, with the time when each ends, ms since 1970.
#[derive(Debug, Default)]
pub(crate) struct Book {
    tokens: BTreeMap<String, i64>,
}

impl Book {
    /// Whether a token is good.
    pub(crate) fn knows(&self, token: &str, now: i64) -> bool {
        self.tokens.get(token).is_some_and(|end| *end > now)
    }

    pub(crate) fn kill(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    pub(crate) fn kill_all(&mut self) {
        self.tokens.clear();
    }

    pub(crate) fn live(&self, now: i64) -> Vec<String> {
        self.tokens.iter().filter(|(_, end)| **end > now).map(|(token, _)| token.clone()).collect()
    }

    /// Answers a request for a token of `tenant`.
    pub(crate) fn token(
        &mut self,
        config: &Config,
        base: &str,
        tenant: &str,
        given: &Parameters,
        headers: &HeaderMap,
        now: i64,
    ) -> Answer {
        if matches!(tenant, "common" | "organizations" | "consumers") {
            let words = "The grant type 'client_credentials' isn't supported over the /common or /consumers endpoints.";
            return Answer::refusal(400, "invalid_request", 9_001_023, words);
        }
        if !config.names(tenant) {
            let words = format!("Tenant '{}' not found.", shown(tenant));
            return Answer::refusal(400, "invalid_request", 90_002, &words);
        }
        let basic = basic(headers);
        let part = |name: &str, of: fn(&(String, String)) -> &String| {
            given
                .get(name)
                .map(str::to_owned)
                .or_else(|| basic.as_ref().map(|pair| of(pair).clone()))
        };
        let missing = |name: &str| {
            let words = format!("The request body must contain the following parameter: '{name}'.");
            Answer::refusal(400, "invalid_request", 900_144, &words)
        };
        let Some(grant) = given.get("grant_type") else { return missing("grant_type") };
        if grant != "client_credentials" {
            let words = "The app requested an unsupported grant type.";
            return Answer::refusal(400, "unsupported_grant_type", 70_003, words);
        }
        let Some(client) = part("client_id", |pair| &pair.0) else { return missing("client_id") };
        let Some(password) = part("client_secret", |pair| &pair.1) else {
            let words = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
            return Answer::refusal(401, "invalid_client", 7_000_218, words);
        };
        let Some(scope) = given.get("scope") else { return missing("scope") };
        if client != config.client_id {
            let words = format!(
                "Application with identifier '{}' was not found in the directory.",
                shown(&client)
            );
            return Answer::refusal(400, "unauthorized_client", 700_016, &words);
        }
        if password != config.client_secret {
            let words = "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.";
            return Answer::refusal(401, "invalid_client", 7_000_215, words);
        }
        if scope != format!("{base}/.default") && scope != "https://graph.microsoft.com/.default" {
            let words = format!(
                "The provided value for the input parameter 'scope' is not valid. The scope {} is not valid.",
                shown(scope)
            );
            return Answer::refusal(400, "invalid_scope", 70_011, &words);
        }
        let token = format!("entra-{}", casbah_sim::secret::hex(24));
        let life = config.token_life;
        self.tokens.insert(token.clone(), now.saturating_add(life.saturating_mul(1000)));
        let body = json!({"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token});
        Answer::value(&body).with(header::CACHE_CONTROL, "no-store, no-cache".to_owned())
    }
}

/// Client id and secret of the header, decoded as the RFC says.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, password) = pair.split_once(':')?;
    let decoded = |text: &str| {
        let pairs = format!("x={text}");
        url::form_urlencoded::parse(pairs.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((decoded(id)?, decoded(password)?))
}

fn shown(text: &str) -> String {
    text.chars().filter(|character| character.is_ascii_graphic()).take(80).collect()
}
