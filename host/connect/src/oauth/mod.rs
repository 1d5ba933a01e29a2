//! Sign-in by OAuth 2.0, and the tokens that come of it.
//!
//! [`SignIns`] makes the address where consent is given and takes what comes back, through a
//! [`Listener`] on this machine or pasted by a person; [`SignIn::redeem`] makes a [`Grant`] of it;
//! [`Tokens`] keeps the grant of one connection alive.
//!
//! It is not for users of casbah to sign in with, and it never reads what is in a token.

mod endpoint;
mod listener;
mod sign_in;
mod tokens;

use std::fmt;
use std::time::Duration;

use casbah_model::adapter::{AdapterDescription, ClientAuthentication, OAuth, Pkce};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use crate::client::Hosts;
use crate::connection::Method;
use crate::error::{ConnectError, ConnectErrorKind};

pub use listener::Listener;
pub use sign_in::{Redirect, SignIn, SignIns, Started};
pub use tokens::{Bearer, Tokens};
pub(crate) use tokens::{CLIENT, Keeping, Retry, TOKEN};

/// What the app gave to whoever registered casbah with it.
#[derive(Clone)]
pub struct ClientCredentials {
    /// Client id.
    pub id: String,
    /// Client secret; `None` for a public client.
    pub secret: Option<SecretString>,
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCredentials({:?})", self.id)
    }
}

/// The stored form of [`ClientCredentials`].
#[derive(Serialize, Deserialize)]
struct StoredClient {
    format: u32,
    id: String,
    secret: Option<Zeroizing<String>>,
}

impl ClientCredentials {
    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
        encode(&StoredClient {
            format: 1,
            id: self.id.clone(),
            secret: self.secret.as_ref().map(|secret| secret.expose_secret().to_owned().into()),
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ConnectError> {
        let stored: StoredClient = decode(bytes)?;
        let secret = stored.secret.map(|secret| SecretString::from(secret.as_str()));
        Ok(Self { id: stored.id, secret })
    }
}

/// The addresses and habits of an app's authorization server, for one region.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) app: String,
    pub(crate) title: String,
    pub(crate) region: String,
    pub(crate) authorize: Url,
    pub(crate) token: Url,
    pub(crate) revoke: Option<(Url, String)>,
    pub(crate) scopes: Vec<String>,
    pub(crate) pkce: Pkce,
    pub(crate) authentication: ClientAuthentication,
    pub(crate) send_redirect: bool,
}

impl Server {
    pub(crate) fn resolve(
        description: &AdapterDescription,
        hosts: &Hosts,
    ) -> Result<Self, ConnectError> {
        let Some(oauth) = &description.oauth else {
            return Err(ConnectError::new(
                ConnectErrorKind::Configuration,
                format!("{} can't be connected by consent", description.title),
            )
            .hint("make an access token in the app and give that"));
        };
        let OAuth {
            authorize,
            token,
            revoke,
            scopes,
            pkce,
            client_authentication,
            send_redirect,
            client_credentials: _,
        } = oauth;
        let Some(authorize) = authorize else {
            return Err(ConnectError::new(
                ConnectErrorKind::Configuration,
                format!("{} can't be connected by consent", description.title),
            ));
        };
        let revoke = match revoke {
            Some(revoke) => Some((hosts.endpoint(&revoke.endpoint)?, revoke.method.clone())),
            None => None,
        };
        Ok(Self {
            app: description.name.clone(),
            title: description.title.clone(),
            region: hosts.region().to_owned(),
            authorize: hosts.endpoint(authorize)?,
            token: hosts.endpoint(token)?,
            revoke,
            scopes: scopes.clone(),
            pkce: *pkce,
            authentication: *client_authentication,
            send_redirect: *send_redirect,
        })
    }
}

/// What an app granted: tokens, and how long and what for. It never prints the tokens.
#[derive(Clone)]
pub struct Grant {
    pub(crate) method: Method,
    pub(crate) access: SecretString,
    pub(crate) refresh: Option<SecretString>,
    /// When the access token runs out, ms since 1970.
    pub(crate) expires: Option<i64>,
    /// The same on the monotonic clock, when it was obtained in this process.
    pub(crate) expires_at: Option<Instant>,
    pub(crate) life: Option<Duration>,
    pub(crate) obtained: i64,
    pub(crate) scopes: Vec<String>,
    pub(crate) missing_scopes: Vec<String>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({:?}, {:?})", self.method, self.scopes)
    }
}

/// The stored form of [`Grant`], before it is sealed.
#[derive(Serialize, Deserialize)]
struct StoredGrant {
    format: u32,
    method: Method,
    access: Zeroizing<String>,
    refresh: Option<Zeroizing<String>>,
    expires: Option<i64>,
    life: Option<u64>,
    obtained: i64,
    scopes: Vec<String>,
}

impl Grant {
    /// A grant of a token that somebody made in the app.
    ///
    /// # Errors
    /// `Configuration` when it can't be a token. The message does not repeat it.
    pub fn personal(token: &SecretString, now: i64) -> Result<Self, ConnectError> {
        let token = token.expose_secret().trim();
        if !is_token(token) {
            return Err(ConnectError::new(
                ConnectErrorKind::Configuration,
                "what was given is not an access token: a token is one word of printable characters",
            )
            .hint("paste the token alone, without `Bearer` and without quotes"));
        }
        Ok(Self {
            method: Method::PersonalToken,
            access: SecretString::from(token),
            refresh: None,
            expires: None,
            expires_at: None,
            life: None,
            obtained: now,
            scopes: Vec::new(),
            missing_scopes: Vec::new(),
        })
    }

    /// How it was obtained.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Scopes that were granted.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Scopes that were asked for and not granted.
    pub fn missing_scopes(&self) -> &[String] {
        &self.missing_scopes
    }

    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
        encode(&StoredGrant {
            format: 1,
            method: self.method,
            access: self.access.expose_secret().to_owned().into(),
            refresh: self.refresh.as_ref().map(|refresh| refresh.expose_secret().to_owned().into()),
            expires: self.expires,
            life: self.life.map(|life| life.as_secs()),
            obtained: self.obtained,
            scopes: self.scopes.clone(),
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ConnectError> {
        let stored: StoredGrant = decode(bytes)?;
        Ok(Self {
            method: stored.method,
            access: SecretString::from(stored.access.as_str()),
            refresh: stored.refresh.map(|refresh| SecretString::from(refresh.as_str())),
            expires: stored.expires,
            expires_at: None,
            life: stored.life.map(Duration::from_secs),
            obtained: stored.obtained,
            scopes: stored.scopes,
            missing_scopes: Vec::new(),
        })
    }
}

/// Whether a text can go into a header as a token.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn encode<T: Serialize>(stored: &T) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
    serde_json::to_vec(stored)
        .map(Zeroizing::new)
        .map_err(|_| ConnectError::new(ConnectErrorKind::Secret, "a secret can't be written"))
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ConnectError> {
    // The reason is left out: it might quote the secret.
    serde_json::from_slice(bytes).map_err(|_| {
        ConnectError::new(ConnectErrorKind::Secret, "a secret was not written by this version")
            .hint("connect again with `casbah connect`")
    })
}
