//! Sign-in by OAuth 2.0, and the tokens that come of it.
//!
//! [`SignIns`] makes the address where consent is given and takes what comes back, through a
//! [`Listener`] on this machine or pasted by a person; [`SignIn::redeem`] makes a [`Grant`] of it.
//! An application that signs in by itself gets its grant by [`Grant::of_client`]. [`Tokens`] keeps the
//! grant of one connection alive.
//!
//! It is not for users of casbah to sign in with, and it never reads what is in a token.

mod certificate;
mod endpoint;
mod listener;
mod sign_in;
mod template;
mod tokens;

use std::fmt;
use std::time::Duration;

use casbah_model::adapter::{AdapterDescription, ClientAuthentication, Endpoint, OAuth, Pkce};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use crate::client::{Hosts, Http};
use crate::clock::Clock;
use crate::connection::Method;
use crate::error::{ConnectError, ConnectErrorKind};

use self::endpoint::TokenEndpoint;
use template::Filling;

pub use certificate::Certificate;
pub use listener::Listener;
pub use sign_in::{Redirect, SignIn, SignIns, Started};
pub use tokens::{Bearer, Tokens};
pub(crate) use tokens::{CLIENT, Keeping, Retry, TOKEN};

/// What the app gave to whoever registered casbah with it.
#[derive(Clone)]
pub struct ClientCredentials {
    /// Client id.
    pub id: String,
    /// Client secret; `None` for a public client, or one with a certificate.
    pub secret: Option<SecretString>,
    /// What an application signs with instead of giving a secret.
    pub certificate: Option<Certificate>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Zeroizing<String>>,
}

impl ClientCredentials {
    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
        encode(&StoredClient {
            format: 1,
            id: self.id.clone(),
            secret: self.secret.as_ref().map(|secret| secret.expose_secret().to_owned().into()),
            certificate: self
                .certificate
                .as_ref()
                .map(|certificate| certificate.pem().expose_secret().to_owned().into()),
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ConnectError> {
        let stored: StoredClient = decode(bytes)?;
        let secret = stored.secret.map(|secret| SecretString::from(secret.as_str()));
        let certificate = match stored.certificate {
            Some(pem) => Some(Certificate::from_pem(SecretString::from(pem.as_str()))?),
            None => None,
        };
        Ok(Self { id: stored.id, secret, certificate })
    }
}

/// The addresses and habits of an app's authorization server, for one connection.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) app: String,
    pub(crate) title: String,
    pub(crate) region: String,
    pub(crate) grant: Way,
    pub(crate) token: Url,
    pub(crate) revoke: Option<(Url, String)>,
    pub(crate) scopes: Vec<String>,
    pub(crate) pkce: Pkce,
    pub(crate) authentication: ClientAuthentication,
    pub(crate) send_redirect: bool,
    /// Whether a certificate may take the place of the secret.
    pub(crate) certificate: bool,
}

/// How a grant is obtained from a server.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Somebody consents on this page.
    Consent(Url),
    /// The client proves itself; its id is sent as this says, with `{client}` still to be filled.
    Client(String),
}

impl Server {
    /// The server for a sign-in by consent.
    pub(crate) fn consent(
        description: &AdapterDescription,
        hosts: &Hosts,
        settings: &serde_json::Value,
    ) -> Result<Self, ConnectError> {
        let title = &description.title;
        let Some(oauth) = &description.oauth else {
            return Err(configuration(format!("{title} can't be connected by consent"))
                .hint("make an access token in the app and give it with --token-file"));
        };
        let filling = Filling { title, settings, hosts };
        let Some(authorize) = &oauth.authorize else {
            return Err(configuration(format!("nobody can sign casbah in to {title} by consent"))
                .hint(format!(
                    "register an application there that may read, and connect as that: `casbah connect {} --service`",
                    description.name
                )));
        };
        Ok(Self {
            grant: Way::Consent(endpoint(&filling, authorize)?),
            scopes: oauth.scopes.clone(),
            authentication: oauth.client_authentication,
            ..Self::common(description, oauth, &filling)?
        })
    }

    /// The server for an application that signs in by itself.
    pub(crate) fn service(
        description: &AdapterDescription,
        hosts: &Hosts,
        settings: &serde_json::Value,
    ) -> Result<Self, ConnectError> {
        let title = &description.title;
        let filling = Filling { title, settings, hosts };
        let grant = description.oauth.as_ref().and_then(|oauth| oauth.client_credentials.as_ref());
        let (Some(oauth), Some(grant)) = (&description.oauth, grant) else {
            return Err(configuration(format!(
                "{title} lets no application sign in by itself: somebody has to"
            ))
            .hint("connect without --service"));
        };
        let scopes = grant.scopes.iter().map(|scope| filling.scope(scope));
        Ok(Self {
            scopes: scopes.collect::<Result<_, _>>()?,
            authentication: grant.client_authentication,
            certificate: grant.certificate,
            grant: Way::Client(filling.client(&grant.client_id, CLIENT_PLACE)?),
            ..Self::common(description, oauth, &filling)?
        })
    }

    /// The server that a connection signed in that way needs; `None` where it needs none.
    pub(crate) fn of(
        method: Method,
        description: &AdapterDescription,
        hosts: &Hosts,
        settings: &serde_json::Value,
    ) -> Result<Option<Self>, ConnectError> {
        match method {
            Method::OAuth => Self::consent(description, hosts, settings).map(Some),
            Method::Service => Self::service(description, hosts, settings).map(Some),
            Method::PersonalToken => Ok(None),
        }
    }

    fn common(
        description: &AdapterDescription,
        oauth: &OAuth,
        filling: &Filling<'_>,
    ) -> Result<Self, ConnectError> {
        let revoke = match &oauth.revoke {
            Some(revoke) => Some((endpoint(filling, &revoke.endpoint)?, revoke.method.clone())),
            None => None,
        };
        Ok(Self {
            app: description.name.clone(),
            title: description.title.clone(),
            region: filling.hosts.region().to_owned(),
            grant: Way::Client(String::new()),
            token: endpoint(filling, &oauth.token)?,
            revoke,
            scopes: Vec::new(),
            pkce: oauth.pkce,
            authentication: oauth.client_authentication,
            send_redirect: oauth.send_redirect,
            certificate: false,
        })
    }

    /// What is sent as the client's id.
    pub(crate) fn client_id(&self, credentials: &ClientCredentials) -> String {
        match &self.grant {
            Way::Client(template) => template.replace(CLIENT_PLACE, &credentials.id),
            Way::Consent(_) => credentials.id.clone(),
        }
    }
}

/// Where the client's id stands in a filled template.
const CLIENT_PLACE: &str = "{client}";

fn endpoint(filling: &Filling<'_>, endpoint: &Endpoint) -> Result<Url, ConnectError> {
    filling.hosts.url(&endpoint.host, &filling.path(&endpoint.path)?)
}

fn configuration(message: String) -> ConnectError {
    ConnectError::new(ConnectErrorKind::Configuration, message)
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

    /// Says whether an application can sign in by itself to an app that is set up like this.
    ///
    /// # Errors
    /// `Configuration` when the app knows no such grant, or a setting that it needs is missing.
    pub fn check_client(
        description: &AdapterDescription,
        hosts: &Hosts,
        settings: &serde_json::Value,
    ) -> Result<(), ConnectError> {
        Server::service(description, hosts, settings).map(|_| ())
    }

    /// A grant of the application itself, without anybody signing in (RFC 6749 section 4.4). There is
    /// no refresh token: a new grant is asked for in the same way.
    ///
    /// # Errors
    /// `Configuration` when the app knows no such grant, a setting that it needs is missing, or client
    /// or secret are refused; `Network`, `Busy` or `Malformed` when the app does not answer properly.
    pub async fn of_client(
        description: &AdapterDescription,
        hosts: &Hosts,
        settings: &serde_json::Value,
        credentials: &ClientCredentials,
        http: &Http,
        clock: &Clock,
    ) -> Result<Self, ConnectError> {
        let server = Server::service(description, hosts, settings)?;
        if credentials.certificate.is_some() && !server.certificate {
            return Err(configuration(format!("{} takes no certificate", description.title))
                .hint("give the client secret instead"));
        }
        let endpoint = TokenEndpoint {
            http: http.clone(),
            clock: clock.clone(),
            server: server.clone(),
            credentials: credentials.clone(),
            patience: endpoint::PATIENCE,
        };
        endpoint.client_grant().await.map_err(|failure| failure.into_error(&server, "sign-in"))
    }

    /// Whether there is a way to get a new one without a person.
    pub(crate) fn is_renewable(&self) -> bool {
        self.refresh.is_some() || self.method == Method::Service
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
