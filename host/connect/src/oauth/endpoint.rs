//! Talking to a token end point: one POST, no redirect, a small answer, read with care.
//!
//! The `oauth2` crate makes the requests and reads the tokens; what stands between it and the wire
//! is here: limits, the shapes in which apps really answer, and what an error means.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use casbah_model::adapter::ClientAuthentication;
use oauth2::basic::{BasicClient, BasicTokenResponse, BasicTokenType};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet,
    PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope, TokenResponse as _,
    TokenUrl,
};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::{ClientCredentials, Grant, Server, is_token};
use crate::client::{BodyError, Http, read_body, retry_after};
use crate::clock::Clock;
use crate::connection::Method;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::text;

/// Largest answer of a token end point.
const LARGEST: usize = 64 << 10;
/// Long enough that a slow answer is rare: one that is not waited for may lose a rotated token.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A life longer than this is taken for this: ten years.
const LONGEST_LIFE: f64 = 10.0 * 365.0 * 86_400.0;

/// What is tried when a token is renewed, in words.
pub(super) const REFRESH: &str = "refresh of the token";

/// What an assertion is called (RFC 7523 section 2.2).
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

type Client<HasAuthUrl = EndpointNotSet> =
    BasicClient<HasAuthUrl, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// The `oauth2` client of a server.
pub(super) fn client(
    server: &Server,
    credentials: &ClientCredentials,
    redirect: Option<&Url>,
) -> Client {
    let mut client = BasicClient::new(ClientId::new(server.client_id(credentials)))
        .set_auth_type(match server.authentication {
            _ if credentials.certificate.is_some() => AuthType::RequestBody,
            ClientAuthentication::Body => AuthType::RequestBody,
            ClientAuthentication::Basic | ClientAuthentication::BasicRaw => AuthType::BasicAuth,
        })
        .set_token_uri(TokenUrl::from_url(server.token.clone()));
    if let Some(secret) = &credentials.secret {
        client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
    }
    if let Some(redirect) = redirect.filter(|_| server.send_redirect) {
        client = client.set_redirect_uri(RedirectUrl::from_url(redirect.clone()));
    }
    client
}

/// The same, to make the address where consent is given.
pub(super) fn authorizing(
    server: &Server,
    page: &Url,
    credentials: &ClientCredentials,
    redirect: &Url,
) -> Client<EndpointSet> {
    client(server, credentials, Some(redirect)).set_auth_uri(AuthUrl::from_url(page.clone()))
}

/// Asks one token end point.
#[derive(Clone)]
pub(super) struct TokenEndpoint {
    pub(super) http: Http,
    pub(super) clock: Clock,
    pub(super) server: Server,
    pub(super) credentials: ClientCredentials,
    pub(super) patience: Duration,
}

impl TokenEndpoint {
    /// Changes a code into a grant. Never repeated: a code is good for one use.
    pub(super) async fn exchange(
        &self,
        code: &SecretString,
        verifier: Option<&SecretString>,
        redirect: &Url,
    ) -> Result<Grant, TokenFailure> {
        let client = client(&self.server, &self.credentials, Some(redirect));
        let secrets = [Some(code), verifier, self.credentials.secret.as_ref()];
        let secrets = secrets.into_iter().flatten().cloned().collect();
        let sent = Instant::now();
        let mut request =
            client.exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()));
        if let Some(verifier) = verifier {
            request = request
                .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()));
        }
        let transport = Transport { endpoint: self.clone(), secrets };
        let answer = request.request_async(&transport).await.map_err(flatten)?;
        self.grant(&answer, None, sent)
    }

    /// Changes a refresh token into a new grant.
    pub(super) async fn refresh(&self, held: &Grant) -> Result<Grant, TokenFailure> {
        let Some(refresh) = &held.refresh else {
            return Err(TokenFailure::new(Class::Dead, "there is no refresh token"));
        };
        let client = client(&self.server, &self.credentials, None);
        let secrets = [Some(refresh), Some(&held.access), self.credentials.secret.as_ref()];
        let secrets = secrets.into_iter().flatten().cloned().collect();
        let sent = Instant::now();
        let token = RefreshToken::new(refresh.expose_secret().to_owned());
        let transport = Transport { endpoint: self.clone(), secrets };
        let answer = client
            .exchange_refresh_token(&token)
            .request_async(&transport)
            .await
            .map_err(flatten)?;
        self.grant(&answer, Some(held), sent)
    }

    /// Gets a grant for the client itself.
    pub(super) async fn client_grant(&self) -> Result<Grant, TokenFailure> {
        let client = client(&self.server, &self.credentials, None);
        let sent = Instant::now();
        let scopes = self.server.scopes.iter().cloned().map(Scope::new);
        let mut secrets: Vec<_> = self.credentials.secret.iter().cloned().collect();
        let mut request = client.exchange_client_credentials().add_scopes(scopes);
        if let Some(certificate) = &self.credentials.certificate {
            let id = self.server.client_id(&self.credentials);
            let audience = self.server.token.as_str();
            let assertion = certificate.assertion(&id, audience, self.clock.now());
            let assertion = assertion.ok_or_else(|| {
                TokenFailure::new(Class::Configuration, "the certificate's key can't sign")
            })?;
            request = request
                .add_extra_param("client_assertion_type", ASSERTION)
                .add_extra_param("client_assertion", assertion.expose_secret().to_owned());
            secrets.push(assertion);
        }
        let transport = Transport { endpoint: self.clone(), secrets };
        let answer = request.request_async(&transport).await.map_err(flatten)?;
        // A refresh token has no business here (RFC 6749 section 4.4.3), so none is kept.
        let grant = self.grant(&answer, None, sent)?;
        Ok(Grant { method: Method::Service, refresh: None, ..grant })
    }

    fn grant(
        &self,
        answer: &BasicTokenResponse,
        before: Option<&Grant>,
        sent: Instant,
    ) -> Result<Grant, TokenFailure> {
        let malformed = |what: &str| TokenFailure::new(Class::Malformed, what);
        // The crate knows the type in lower case; `normalized` has seen to that.
        if *answer.token_type() != BasicTokenType::Bearer {
            return Err(malformed("the token is not a bearer token"));
        }
        if !is_token(answer.access_token().secret()) {
            return Err(malformed("the access token has characters that no token has"));
        }
        let refresh = match answer.refresh_token() {
            Some(refresh) if !is_token(refresh.secret()) => {
                return Err(malformed("the refresh token has characters that no token has"));
            }
            Some(refresh) => Some(SecretString::from(refresh.secret().as_str())),
            // None in the answer means that the old one goes on.
            None => before.and_then(|before| before.refresh.clone()),
        };
        let asked = before.map_or(&self.server.scopes, |before| &before.scopes);
        let granted = answer.scopes().into_iter().flatten();
        let granted = granted.flat_map(|scope| scope.split([',', ' ']));
        let granted: Vec<String> =
            granted.filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        // Nothing said means: as asked.
        let scopes = if granted.is_empty() { asked.clone() } else { granted };
        let missing_scopes =
            self.server.scopes.iter().filter(|scope| !scopes.contains(scope)).cloned().collect();
        let life = answer.expires_in();
        // Counted from when the request was sent: the answer may have taken its time.
        let now = self.clock.now() - i64::try_from(sent.elapsed().as_millis()).unwrap_or(0);
        Ok(Grant {
            method: Method::OAuth,
            access: SecretString::from(answer.access_token().secret().as_str()),
            refresh,
            expires: life.and_then(|life| now.checked_add(i64::try_from(life.as_millis()).ok()?)),
            expires_at: life.and_then(|life| sent.checked_add(life)),
            life,
            obtained: now,
            scopes,
            missing_scopes,
        })
    }

    async fn post(
        &self,
        request: oauth2::HttpRequest,
        secrets: &[SecretString],
    ) -> Result<oauth2::HttpResponse, TokenFailure> {
        let request = self.prepare(request)?;
        let sent = self.http.client().execute(request).await;
        let response = sent.map_err(|error| unclear(&error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body =
            Zeroizing::new(read_body(response, LARGEST).await.map_err(|error| match error {
                BodyError::Broken(error) => unclear(&error),
                BodyError::TooLarge(largest) => TokenFailure::new(
                    Class::Malformed,
                    format!("the answer is larger than {largest} bytes"),
                ),
            })?);
        match normalized(status, &body) {
            Ok(body) => {
                let mut response = oauth2::HttpResponse::new(body);
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok(response)
            }
            Err(failure) => {
                let secrets: Vec<_> = secrets.iter().collect();
                let mut failure = cleaned(failure, status, &body, &secrets);
                failure.retry_after = retry_after(&headers, &self.clock);
                Err(failure)
            }
        }
    }

    fn prepare(&self, request: oauth2::HttpRequest) -> Result<reqwest::Request, TokenFailure> {
        let (parts, body) = request.into_parts();
        let mut prepared = reqwest::Request::new(reqwest::Method::POST, self.server.token.clone());
        *prepared.timeout_mut() = Some(self.patience);
        for (name, value) in &parts.headers {
            let mut value = value.clone();
            value.set_sensitive(name == AUTHORIZATION);
            prepared.headers_mut().insert(name, value);
        }
        let signs = self.credentials.certificate.is_some();
        if self.server.authentication == ClientAuthentication::BasicRaw && !signs {
            prepared.headers_mut().insert(AUTHORIZATION, self.basic_raw()?);
        }
        *prepared.body_mut() = Some(body.into());
        Ok(prepared)
    }

    fn basic_raw(&self) -> Result<HeaderValue, TokenFailure> {
        let secret = self.credentials.secret.as_ref().map_or("", |secret| secret.expose_secret());
        let id = self.server.client_id(&self.credentials);
        let pair = Zeroizing::new(format!("{id}:{secret}"));
        let header = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&header).map_err(|_| {
            TokenFailure::new(Class::Configuration, "client id and secret don't fit into a header")
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Ends a grant at the app. `Ok` means that it is gone there, as far as the app tells.
    pub(super) async fn revoke(&self, grant: &Grant) -> Result<(), TokenFailure> {
        let Some((url, method)) = &self.server.revoke else { return Ok(()) };
        let request = if method == "DELETE" {
            let mut bearer =
                HeaderValue::from_str(&format!("Bearer {}", grant.access.expose_secret()))
                    .map_err(|_| TokenFailure::new(Class::Dead, "the token is not a token"))?;
            bearer.set_sensitive(true);
            self.http.client().delete(url.clone()).header(AUTHORIZATION, bearer)
        } else {
            let (token, hint) = match &grant.refresh {
                Some(refresh) => (refresh, "refresh_token"),
                None => (&grant.access, "access_token"),
            };
            let mut form = vec![("token", token.expose_secret()), ("token_type_hint", hint)];
            let request = self.http.client().post(url.clone());
            let secret = self.credentials.secret.as_ref().map(|secret| secret.expose_secret());
            match self.server.authentication {
                ClientAuthentication::Body => {
                    form.push(("client_id", &self.credentials.id));
                    form.extend(secret.map(|secret| ("client_secret", secret)));
                    request.form(&form)
                }
                ClientAuthentication::Basic => {
                    let encode = |text: &str| -> String {
                        url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
                    };
                    request.basic_auth(encode(&self.credentials.id), secret.map(encode)).form(&form)
                }
                ClientAuthentication::BasicRaw => {
                    request.header(AUTHORIZATION, self.basic_raw()?).form(&form)
                }
            }
        };
        let sent = request.header(ACCEPT, "application/json").timeout(self.patience).send().await;
        let response = sent.map_err(|error| unclear(&error))?;
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(());
        }
        let retry = retry_after(response.headers(), &self.clock);
        let body = read_body(response, LARGEST).await.unwrap_or_default();
        let secrets =
            [Some(&grant.access), grant.refresh.as_ref(), self.credentials.secret.as_ref()];
        let secrets: Vec<_> = secrets.into_iter().flatten().collect();
        let mut failure = match normalized(status, &body) {
            Err(failure) => cleaned(failure, status, &body, &secrets),
            Ok(_) => TokenFailure::new(Class::Unknown, format!("status {status}")),
        };
        failure.retry_after = retry;
        Err(failure)
    }
}

/// Stands between the `oauth2` crate and the wire.
struct Transport {
    endpoint: TokenEndpoint,
    /// What must not be repeated in messages.
    secrets: Vec<SecretString>,
}

impl<'c> oauth2::AsyncHttpClient<'c> for Transport {
    type Error = TokenFailure;
    type Future =
        Pin<Box<dyn Future<Output = Result<oauth2::HttpResponse, TokenFailure>> + Send + 'c>>;

    fn call(&'c self, request: oauth2::HttpRequest) -> Self::Future {
        Box::pin(self.endpoint.post(request, &self.secrets))
    }
}

/// What the host does about a failure of a token end point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The grant is dead: connect again.
    Dead,
    /// Client, secret or scopes are wrong: nothing helps but to correct them.
    Configuration,
    /// The server is busy and has done nothing.
    Busy,
    /// The server may have carried it out and the answer got lost.
    Unclear,
    /// The answer is no answer.
    Malformed,
    /// An error without a known meaning.
    Unknown,
}

/// A failure of a token end point.
#[derive(Clone, Debug)]
pub(super) struct TokenFailure {
    pub(super) class: Class,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl TokenFailure {
    fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None }
    }

    /// The failure as an error of this crate. `doing` says what was tried, e.g. `sign-in`.
    pub(super) fn into_error(self, server: &Server, doing: &str) -> ConnectError {
        let Self { class, message, retry_after } = self;
        let host = server.token.host_str().unwrap_or_default();
        let title = &server.title;
        let (kind, hint) = match class {
            Class::Dead => (ConnectErrorKind::Reconnect, "connect again with `casbah connect`"),
            Class::Configuration => (
                ConnectErrorKind::Configuration,
                "check client id, client secret and scopes against those registered with the app",
            ),
            Class::Busy if doing == REFRESH => {
                (ConnectErrorKind::Busy, "it is tried again by itself")
            }
            Class::Busy => (ConnectErrorKind::Busy, "try again in a while, or check the network"),
            Class::Unclear => (ConnectErrorKind::Network, "check the network to the app"),
            Class::Malformed => (
                ConnectErrorKind::Malformed,
                "check the region and the addresses: this does not look like the app's token end point",
            ),
            Class::Unknown => {
                (ConnectErrorKind::Configuration, "check the region, client id and client secret")
            }
        };
        let did = match class {
            Class::Busy | Class::Unclear => "did not carry out",
            _ => "refused",
        };
        ConnectError::new(kind, format!("{title} at `{host}` {did} the {doing}: {message}"))
            .hint(hint)
            .after(retry_after)
    }
}

impl fmt::Display for TokenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for TokenFailure {}

fn unclear(error: &reqwest::Error) -> TokenFailure {
    let (class, what) = if error.is_connect() {
        // Nothing was sent, so nothing can have been carried out.
        (Class::Busy, "it can't be reached")
    } else if error.is_timeout() {
        (Class::Unclear, "it did not answer in time")
    } else {
        (Class::Unclear, "the answer broke off")
    };
    TokenFailure::new(class, what)
}

fn flatten<T>(error: RequestTokenError<TokenFailure, T>) -> TokenFailure
where
    T: oauth2::ErrorResponse,
{
    match error {
        RequestTokenError::Request(failure) => failure,
        // The crate's own words might quote the answer, which holds tokens.
        RequestTokenError::Parse(..) => {
            TokenFailure::new(Class::Malformed, "the answer holds no token")
        }
        RequestTokenError::ServerResponse(_) | RequestTokenError::Other(_) => {
            TokenFailure::new(Class::Malformed, "the answer can't be read")
        }
    }
}

/// Brings an answer into the form of the RFC, or tells what is wrong with it.
fn normalized(status: u16, body: &[u8]) -> Result<Vec<u8>, TokenFailure> {
    let failure = |class, message: String| Err(TokenFailure::new(class, message));
    if (300..400).contains(&status) {
        return failure(
            Class::Malformed,
            format!("it answered with a redirect (status {status}), which is not followed"),
        );
    }
    let object = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(object)) => object,
        _ => {
            let what =
                if body.is_empty() { "an empty answer" } else { "something that is not JSON" };
            let class = match status {
                429 | 503 => Class::Busy,
                500.. => Class::Unclear,
                200..300 => Class::Malformed,
                _ => Class::Unknown,
            };
            return failure(class, format!("it sent {what} with status {status}"));
        }
    };
    if !(200..300).contains(&status) || object.contains_key("error") {
        return Err(refusal(status, &object));
    }
    let mut object = match object.get("token") {
        Some(Value::Object(inner)) if !object.contains_key("access_token") => inner.clone(),
        _ => object,
    };
    if let Some(Value::String(kind)) = object.get_mut("token_type") {
        kind.make_ascii_lowercase();
    }
    let life = object.remove("expires_in").and_then(|life| seconds(&life));
    if let Some(life) = life {
        object.insert("expires_in".to_owned(), life.into());
    }
    if object.get("refresh_token").is_some_and(|token| token.as_str() == Some("")) {
        object.remove("refresh_token");
    }
    if object.get("scope").is_some_and(|scope| !scope.is_string()) {
        object.remove("scope");
    }
    match serde_json::to_vec(&object) {
        Ok(bytes) => Ok(bytes),
        Err(_) => failure(Class::Malformed, "the answer can't be read".to_owned()),
    }
}

/// The failure in words that hold none of the secrets. They are taken out before the words are cut to
/// length, which would leave a piece of one that can't be found any more; and after, because JSON may
/// have written them in another way.
fn cleaned(
    failure: TokenFailure,
    status: u16,
    body: &[u8],
    secrets: &[&SecretString],
) -> TokenFailure {
    let without = |text: &str| text::stripped(text, secrets.iter().copied());
    let body = Zeroizing::new(without(&String::from_utf8_lossy(body)));
    let message = match normalized(status, body.as_bytes()) {
        Err(failure) => without(&failure.message),
        Ok(_) => format!("status {status}"),
    };
    TokenFailure { message, ..failure }
}

/// Seconds of life, written as a number or as text. Nothing useful counts as not said.
fn seconds(life: &Value) -> Option<u64> {
    let seconds = match life {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        _ => return None,
    };
    // Rounded down and bounded, so the conversion can't lose anything.
    (seconds >= 1.0).then(|| seconds.min(LONGEST_LIFE) as u64)
}

fn refusal(status: u16, object: &Map<String, Value>) -> TokenFailure {
    // Some wrap what they have to say.
    if let Some(Value::Object(inner)) = object.get("error") {
        return refusal(status, inner);
    }
    let words = |name: &str| match object.get(name) {
        Some(Value::String(text)) => text::shown(text, 200),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let error = words("error");
    let code = words("errorCode");
    let class = match error.as_str() {
        "invalid_grant" => Class::Dead,
        "invalid_client"
        | "unauthorized_client"
        | "invalid_scope"
        | "invalid_request"
        | "unsupported_grant_type" => Class::Configuration,
        "temporarily_unavailable" => Class::Busy,
        _ if status == 429 || status == 503 => Class::Busy,
        _ if status >= 500 => Class::Unclear,
        _ => Class::Unknown,
    };
    let explanation = ["error_description", "message", "Message", "details"]
        .map(words)
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default();
    let mut message = match (explanation.is_empty(), error.is_empty()) {
        (false, false) => format!("{explanation} ({error})"),
        (false, true) => explanation,
        (true, false) => error,
        (true, true) => format!("status {status}"),
    };
    if !code.is_empty() {
        message.push_str(&format!(", code {code}"));
    }
    TokenFailure::new(class, message)
}

#[cfg(test)]
mod tests;
