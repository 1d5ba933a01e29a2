//! Sign-ins under way: from the address where consent is given to the code that comes back.
//!
//! A sign-in is known by its `state`, of which only a hash is kept here. It is good for one use,
//! for ten minutes, in the session that started it, at its own redirect path.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use casbah_model::adapter::{AdapterDescription, Pkce};
use oauth2::{CsrfToken, PkceCodeChallenge, PkceCodeVerifier, Scope};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::endpoint::{self, TokenEndpoint};
use super::{ClientCredentials, Grant, Server, Way};
use crate::client::{Hosts, Http, is_loopback};
use crate::clock::Clock;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::text;

/// How long consent may take, ms.
const LIFE: i64 = 10 * 60 * 1000;
/// More sign-ins than this are never under way; the oldest give way.
const MOST: usize = 64;

/// Where the browser is sent back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    url: Url,
}

impl Redirect {
    /// The address that was registered with the app.
    ///
    /// # Errors
    /// `Configuration` when it is not an absolute `https` address (or `http` on loopback), or has a
    /// fragment.
    pub fn registered(address: &str) -> Result<Self, ConnectError> {
        let unfit = |why: &str| {
            ConnectError::new(
                ConnectErrorKind::Configuration,
                format!("the redirect address `{}` {why}", text::shown(address, 120)),
            )
            .hint("give it exactly as it is registered with the app")
        };
        let url = Url::parse(address).map_err(|_| unfit("is not an address"))?;
        if url.fragment().is_some() {
            return Err(unfit("has a fragment"));
        }
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(unfit("is not `https`"));
        }
        Ok(Self { url })
    }

    pub(super) fn loopback(url: Url) -> Self {
        Self { url }
    }

    /// The address.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

/// A sign-in that was started.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where consent is given, to be opened in a browser.
    pub address: Url,
    /// Where the browser comes back to.
    pub redirect: Redirect,
}

struct Pending {
    server: Server,
    credentials: ClientCredentials,
    redirect: Redirect,
    verifier: Option<SecretString>,
    session: String,
    started: i64,
}

/// The sign-ins under way, in memory: a restart ends them, and they are started again.
pub struct SignIns {
    clock: Clock,
    pending: Mutex<HashMap<blake3::Hash, Pending>>,
}

impl fmt::Debug for SignIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignIns({} under way)", self.pending().len())
    }
}

impl SignIns {
    /// None, so far.
    pub fn new(clock: Clock) -> Self {
        Self { clock, pending: Mutex::default() }
    }

    /// Starts a sign-in; `settings` are those of the connection. `session` binds it to whoever starts it: only the same session can end it.
    ///
    /// # Errors
    /// `Configuration` when the app knows no sign-in by consent, or a setting that it needs is missing.
    pub fn start(
        &self,
        description: &AdapterDescription,
        hosts: &Hosts,
        settings: &serde_json::Value,
        credentials: ClientCredentials,
        redirect: Redirect,
        session: &str,
    ) -> Result<Started, ConnectError> {
        let server = Server::consent(description, hosts, settings)?;
        let Way::Consent(page) = &server.grant else {
            return Err(again("nobody consents to this sign-in"));
        };
        let state = SecretString::from(random());
        let verifier = match server.pkce {
            Pkce::Off => None,
            Pkce::Send | Pkce::Require => Some(SecretString::from(random())),
        };
        let client = endpoint::authorizing(&server, page, &credentials, redirect.url());
        let mut request = client
            .authorize_url(|| CsrfToken::new(state.expose_secret().to_owned()))
            .add_scopes(server.scopes.iter().cloned().map(Scope::new));
        if let Some(verifier) = &verifier {
            request = request.set_pkce_challenge(challenge(verifier));
        }
        let (address, _) = request.url();
        let now = self.clock.now();
        let pending = Pending {
            server,
            credentials,
            redirect: redirect.clone(),
            verifier,
            session: session.to_owned(),
            started: now,
        };
        let mut all = self.pending();
        all.retain(|_, pending| !is_over(pending.started, now));
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, pending)| pending.started).map(|(key, _)| *key);
            oldest.and_then(|key| all.remove(&key));
        }
        all.insert(blake3::hash(state.expose_secret().as_bytes()), pending);
        drop(all);
        Ok(Started { address, redirect })
    }

    /// Takes what came back to the path `path` with the query `query` in session `session`.
    ///
    /// # Errors
    /// `SignIn` when the state is missing, unknown, used, too old, of another session or for another
    /// path; `Denied` when the app sent an error instead of a code. Either ends the sign-in.
    pub fn receive(&self, path: &str, query: &str, session: &str) -> Result<SignIn, ConnectError> {
        let answer = Answer::parse(query);
        let Some(state) = &answer.state else {
            return Err(again("what came back has no state"));
        };
        // Taken out before anything is looked at: a state is good for one use, whatever comes of it.
        let key = blake3::hash(state.expose_secret().as_bytes());
        let pending = self.pending().remove(&key);
        let Some(pending) = pending else {
            return Err(again(
                "what came back belongs to no sign-in under way, or to one already ended",
            ));
        };
        self.accept(pending, Some(path), answer, session)
    }

    /// Takes what a person pasted: the whole address the browser came back to, its query, or the
    /// code alone.
    ///
    /// # Errors
    /// As [`SignIns::receive`]; a code alone is refused when more than one sign-in of this session is
    /// under way.
    pub fn paste(&self, pasted: &str, session: &str) -> Result<SignIn, ConnectError> {
        let pasted = pasted.trim().trim_matches(['"', '\'', '`']);
        if let Ok(url) = Url::parse(pasted)
            && let Some(query) = url.query()
        {
            return self.receive(url.path(), query, session);
        }
        if pasted.is_empty() || pasted.contains(char::is_whitespace) {
            return Err(ConnectError::new(
                ConnectErrorKind::SignIn,
                "what was pasted is neither a code nor an address with one",
            )
            .hint("paste the whole address from the browser's address bar"));
        }
        let mut answer = Answer::parse(pasted.trim_start_matches('?'));
        if answer.code.is_none() && answer.error.is_none() {
            answer = Answer { code: Some(SecretString::from(pasted)), ..Answer::default() };
        }
        let pending = match &answer.state {
            Some(state) => {
                let key = blake3::hash(state.expose_secret().as_bytes());
                self.pending().remove(&key)
            }
            None => self.only(session),
        };
        let Some(pending) = pending else {
            return Err(again(
                "what was pasted belongs to no sign-in under way, or to one already ended",
            ));
        };
        self.accept(pending, None, answer, session)
    }

    /// The one sign-in of a session that is under way.
    fn only(&self, session: &str) -> Option<Pending> {
        let mut all = self.pending();
        let mut mine = all.iter().filter(|(_, pending)| pending.session == session);
        let (key, _) = mine.next()?;
        let key = *key;
        if mine.next().is_some() {
            return None;
        }
        all.remove(&key)
    }

    fn accept(
        &self,
        pending: Pending,
        path: Option<&str>,
        answer: Answer,
        session: &str,
    ) -> Result<SignIn, ConnectError> {
        if is_over(pending.started, self.clock.now()) {
            return Err(again("the sign-in took longer than ten minutes"));
        }
        if pending.session != session {
            return Err(again("what came back belongs to a sign-in that was started elsewhere"));
        }
        // Each app and region has its own path, so an answer of one can't pass for another's.
        if path.is_some_and(|path| path != pending.redirect.url().path()) {
            return Err(again("what came back belongs to the sign-in of another app or region"));
        }
        if let Some(error) = answer.error {
            return Err(denied(&pending.server.title, &error, &answer.description));
        }
        let Some(code) = answer.code else {
            return Err(again("what came back has neither a code nor an error"));
        };
        Ok(SignIn { pending, code })
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<blake3::Hash, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sign-in that came back with a code.
pub struct SignIn {
    pending: Pending,
    code: SecretString,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignIn({}, {})", self.pending.server.app, self.pending.server.region)
    }
}

impl SignIn {
    /// Changes the code into a grant. It is not tried again: after a failure the sign-in has to be
    /// started anew.
    ///
    /// # Errors
    /// `Configuration` when the app knows client or secret not, `Reconnect` when it refuses the
    /// code, `Network`, `Busy` or `Malformed` when it does not answer properly.
    pub async fn redeem(self, http: &Http, clock: &Clock) -> Result<Grant, ConnectError> {
        let Self { pending, code } = self;
        let endpoint = TokenEndpoint {
            http: http.clone(),
            clock: clock.clone(),
            server: pending.server.clone(),
            credentials: pending.credentials,
            patience: endpoint::PATIENCE,
        };
        endpoint
            .exchange(&code, pending.verifier.as_ref(), pending.redirect.url())
            .await
            .map_err(|failure| failure.into_error(&pending.server, "sign-in"))
    }

    /// The client that the sign-in was made with, to be kept with the grant.
    pub fn credentials(&self) -> &ClientCredentials {
        &self.pending.credentials
    }
}

/// What came back, as far as it is understood; everything else is passed over.
#[derive(Default)]
struct Answer {
    state: Option<SecretString>,
    code: Option<SecretString>,
    error: Option<String>,
    description: String,
}

impl Answer {
    fn parse(query: &str) -> Self {
        let mut answer = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if value.is_empty() {
                continue;
            }
            match name.as_ref() {
                "state" => answer.state = Some(SecretString::from(value.into_owned())),
                "code" => answer.code = Some(SecretString::from(value.into_owned())),
                "error" => answer.error = Some(text::shown(&value, 60)),
                "error_description" => answer.description = text::shown(&value, 200),
                _ => {}
            }
        }
        answer
    }
}

fn is_over(started: i64, now: i64) -> bool {
    // A clock that was set back does not make a sign-in live longer.
    !(0..LIFE).contains(&(now - started))
}

fn again(what: &str) -> ConnectError {
    ConnectError::new(ConnectErrorKind::SignIn, what).hint("start the sign-in again")
}

fn denied(title: &str, error: &str, description: &str) -> ConnectError {
    let hint = match error {
        "access_denied" => "an administrator of the app has to give consent",
        "invalid_scope" | "unauthorized_client" | "unsupported_response_type" => {
            "check how casbah is registered with the app: client id, scopes, redirect address"
        }
        _ => "start the sign-in again",
    };
    let explained =
        if description.is_empty() { error.to_owned() } else { format!("{description} ({error})") };
    ConnectError::new(
        ConnectErrorKind::Denied,
        format!("{title} did not let casbah in: {explained}"),
    )
    .hint(hint)
}

/// 256 random bits, in 43 characters that need no encoding.
fn random() -> String {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut_slice());
    URL_SAFE_NO_PAD.encode(bytes.as_slice())
}

fn challenge(verifier: &SecretString) -> PkceCodeChallenge {
    PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(
        verifier.expose_secret().to_owned(),
    ))
}

#[cfg(test)]
mod tests;
