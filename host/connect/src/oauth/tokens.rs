//! The tokens of one connection: handed out, refreshed in time by one task at a time, and kept
//! before they are used.
//!
//! An app may change the refresh token at every refresh and kill the old pair. So a refresh is never
//! dropped half-way (it runs in a task of its own), its result is durable before anybody gets it, and
//! a result that could not be stored is kept in memory until it can. It decides about tokens only;
//! what a stream does when there is none is the fetch loop's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use casbah_model::{ConnectionName, TenantName};
use casbah_store::{Commit, Store, StoreErrorKind, Table};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use super::endpoint::{Class, PATIENCE, REFRESH, TokenEndpoint};
use super::{ClientCredentials, Grant, Server};
use crate::client::Http;
use crate::clock::Clock;
use crate::connection::Method;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::vault::{Place, Vault};

/// Name of the secret that holds access and refresh token.
pub(crate) const TOKEN: &str = "token";
/// Name of the secret that holds client id and secret.
pub(crate) const CLIENT: &str = "client";
/// A token is refreshed so long before its end, or a tenth of its life if that is less.
const EARLY: Duration = Duration::from_secs(300);

/// A refresh that did not come about is tried again after this, while the token is still good.
const LATER: Duration = Duration::from_secs(30);

/// A token to be used now.
#[derive(Clone)]
pub struct Bearer {
    pub(crate) token: SecretString,
    /// Grows with every new token, so that a late refusal of an old one is known as such.
    pub(crate) generation: u64,
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearer(number {})", self.generation)
    }
}

/// What to do after the app refused a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// There is a newer token: at once.
    Now,
    /// The token was good a moment ago, and was refreshed less than a minute ago: then.
    At(Instant),
    /// A fresh token was refused, too: something else is wrong.
    Pointless,
}

/// The tokens of one connection. All tasks of a process share the same one.
#[derive(Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({}/{})", self.inner.tenant, self.inner.connection)
    }
}

struct Inner {
    tenant: TenantName,
    connection: ConnectionName,
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    http: Http,
    clock: Clock,
    server: Option<Server>,
    /// Between two refreshes that a refused token asked for.
    minute: Duration,
    patience: Duration,
    /// Newest generation that the app accepted since a token was last refused; 0 for none.
    worked: AtomicU64,
    flight: Arc<Mutex<Flight>>,
}

#[derive(Default)]
struct Flight {
    held: Option<Grant>,
    /// The stored record that `held` came from or went to.
    record: Option<Vec<u8>>,
    /// Obtained, but not stored yet; never handed out before.
    unsaved: Option<Grant>,
    generation: u64,
    /// When a refused token last asked for a refresh.
    forced: Option<Instant>,
    /// After a refresh that did not come about, while the old token is still good.
    not_before: Option<Instant>,
    dead: Option<ConnectError>,
}

pub(crate) struct Keeping {
    pub(crate) tenant: TenantName,
    pub(crate) connection: ConnectionName,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) http: Http,
    pub(crate) clock: Clock,
    /// `None` for a token that was made by hand.
    pub(crate) server: Option<Server>,
    /// Between two refreshes that a refused token asked for.
    pub(crate) minute: Duration,
}

impl Tokens {
    pub(crate) fn new(keeping: Keeping) -> Self {
        Self::with_patience(keeping, PATIENCE)
    }

    pub(crate) fn with_patience(keeping: Keeping, patience: Duration) -> Self {
        let Keeping { tenant, connection, store, vault, http, clock, server, minute } = keeping;
        let inner = Inner {
            tenant,
            connection,
            store,
            vault,
            http,
            clock,
            server,
            minute,
            patience,
            worked: AtomicU64::new(0),
            flight: Arc::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A token that is good for a while yet, refreshed if need be.
    ///
    /// # Errors
    /// `Reconnect` when the grant is dead or there is none, `Busy`, `Network` or `Malformed` when a
    /// refresh did not come about, `Store` or `Secret` when tokens can't be kept or opened.
    pub async fn bearer(&self) -> Result<Bearer, ConnectError> {
        let flight = Arc::clone(&self.inner.flight).lock_owned().await;
        if let Some(bearer) = self.inner.ready(&flight)? {
            return Ok(bearer);
        }
        self.guarded(flight, false).await?.0
    }

    /// Says that the app accepted a token.
    pub(crate) fn worked(&self, bearer: &Bearer) {
        self.inner.worked.fetch_max(bearer.generation, Ordering::Relaxed);
    }

    /// Says that the app refused a token, and gets a new one if that makes sense.
    ///
    /// # Errors
    /// As [`Tokens::bearer`].
    pub(crate) async fn refused(&self, bearer: &Bearer) -> Result<Retry, ConnectError> {
        let flight = Arc::clone(&self.inner.flight).lock_owned().await;
        if let Some(dead) = &flight.dead {
            return Err(dead.clone());
        }
        if flight.generation > bearer.generation {
            return Ok(Retry::Now);
        }
        let worked = self.inner.worked.load(Ordering::Relaxed) >= bearer.generation;
        if let Some(forced) = flight.forced
            && forced.elapsed() < self.inner.minute
        {
            if worked {
                return Ok(Retry::At(forced + self.inner.minute));
            }
            if flight.held.as_ref().is_some_and(Grant::is_renewable) {
                return Ok(Retry::Pointless);
            }
        }
        let (result, retry) = self.guarded(flight, true).await?;
        result?;
        Ok(retry)
    }

    /// Runs a refresh to its end, even if whoever asked for it goes away.
    async fn guarded(
        &self,
        mut flight: OwnedMutexGuard<Flight>,
        force: bool,
    ) -> Result<(Result<Bearer, ConnectError>, Retry), ConnectError> {
        let inner = Arc::clone(&self.inner);
        let task = tokio::spawn(async move {
            let retry = if force { inner.force(&mut flight).await } else { Ok(Retry::Now) };
            match retry {
                Ok(retry) => (inner.renew(&mut flight).await, retry),
                Err(error) => (Err(error), Retry::Now),
            }
        });
        task.await.map_err(|_| {
            ConnectError::new(ConnectErrorKind::Stopped, "the refresh of a token was broken off")
        })
    }

    /// The grant as it is held or stored, for revoking it.
    pub(crate) async fn current(&self) -> Result<Option<Grant>, ConnectError> {
        let mut flight = self.inner.flight.lock().await;
        if flight.held.is_none() {
            self.inner.load(&mut flight)?;
        }
        Ok(flight.unsaved.clone().or_else(|| flight.held.clone()))
    }

    /// Ends the grant at the app, and hands out nothing any more once that is done.
    ///
    /// # Errors
    /// As the app says; `Busy` when it has to be tried again later; as [`Tokens::bearer`] where the
    /// grant is ended with a token that has to be good itself. Nothing has changed then.
    pub(crate) async fn revoke(&self) -> Result<(), ConnectError> {
        let inner = &self.inner;
        let Some(server) = inner.server.as_ref() else { return Ok(()) };
        if server.revoke.as_ref().is_some_and(|(_, method)| method == "DELETE") {
            self.bearer().await?;
        }
        let Some(grant) = self.current().await? else { return Ok(()) };
        if grant.method != Method::OAuth {
            return Ok(());
        }
        let endpoint = inner.endpoint(server, inner.credentials()?);
        let revoked = endpoint.revoke(&grant).await;
        revoked.map_err(|failure| failure.into_error(server, "revocation"))?;
        self.end().await;
        Ok(())
    }

    /// Refreshes a grant that was obtained longer ago than `age`, so that it does not die of being
    /// idle. Returns whether it was refreshed.
    ///
    /// # Errors
    /// As [`Tokens::bearer`].
    pub(crate) async fn keep_alive(&self, age: Duration) -> Result<bool, ConnectError> {
        let Some(grant) = self.current().await? else { return Ok(false) };
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let young = self.inner.clock.now().saturating_sub(grant.obtained) < age;
        if young || grant.refresh.is_none() {
            return Ok(false);
        }
        let flight = Arc::clone(&self.inner.flight).lock_owned().await;
        if let Some(dead) = &flight.dead {
            return Err(dead.clone());
        }
        let (result, _) = self.guarded(flight, true).await?;
        result.map(|_| true)
    }

    /// Forgets what is held: the tokens in the store were replaced or removed.
    pub(crate) async fn forget(&self) {
        let mut flight = self.inner.flight.lock().await;
        let generation = flight.generation;
        *flight = Flight { generation, ..Flight::default() };
    }

    /// Hands out nothing any more.
    pub(crate) async fn end(&self) {
        let mut flight = self.inner.flight.lock().await;
        flight.held = None;
        flight.unsaved = None;
        flight.dead = Some(gone(&self.inner.connection));
    }
}

impl Inner {
    /// The token at hand, when nothing has to be done for it.
    fn ready(&self, flight: &Flight) -> Result<Option<Bearer>, ConnectError> {
        if let Some(dead) = &flight.dead {
            return Err(dead.clone());
        }
        let Some(held) = flight.held.as_ref().filter(|_| flight.unsaved.is_none()) else {
            return Ok(None);
        };
        let later = flight.not_before.is_some_and(|at| Instant::now() < at);
        if self.is_due(held) && (!later || self.is_over(held)) {
            return Ok(None);
        }
        Ok(Some(Bearer { token: held.access.clone(), generation: flight.generation }))
    }

    /// Whether a token is near its end by either clock, so that a clock that was set or stood still
    /// does no harm.
    fn is_due(&self, grant: &Grant) -> bool {
        let Some(expires) = grant.expires.filter(|_| grant.is_renewable()) else { return false };
        let early = grant.life.map_or(EARLY, |life| (life / 10).min(EARLY));
        // A little jitter, so that connections made together are not refreshed together.
        let early = early.mul_f64(rand::random_range(0.9..1.0));
        let early_ms = i64::try_from(early.as_millis()).unwrap_or(0);
        self.clock.now().saturating_add(early_ms) >= expires
            || grant.expires_at.is_some_and(|at| Instant::now() + early >= at)
    }

    /// Whether a token has run out, by either clock.
    fn is_over(&self, grant: &Grant) -> bool {
        grant.expires.is_some_and(|expires| self.clock.now() >= expires)
            || grant.expires_at.is_some_and(|at| Instant::now() >= at)
    }

    /// Does what a refused token asks for: a refresh, or one more try.
    async fn force(&self, flight: &mut Flight) -> Result<Retry, ConnectError> {
        if flight.held.is_none() && flight.unsaved.is_none() {
            self.load(flight)?;
        }
        let Some(held) = &flight.held else { return Ok(Retry::Now) };
        flight.forced = Some(Instant::now());
        let worked = self.worked.swap(0, Ordering::Relaxed);
        if held.is_renewable() {
            self.refresh(flight).await?;
            return Ok(Retry::Now);
        }
        if worked >= flight.generation {
            // It was good a moment ago: one more try is due before it is given up.
            return Ok(Retry::At(Instant::now() + Duration::from_secs(1)));
        }
        let error = ConnectError::new(
            ConnectErrorKind::Reconnect,
            format!("the app does not accept the token of connection `{}`", self.connection),
        )
        .hint(format!(
            "make a new token in the app and connect again: `casbah connect APP --name {} --replace`",
            self.connection
        ));
        flight.dead = Some(error.clone());
        Err(error)
    }

    /// Loads, stores or refreshes, until there is a token to hand out.
    async fn renew(&self, flight: &mut Flight) -> Result<Bearer, ConnectError> {
        if flight.unsaved.is_some() {
            self.save(flight).await?;
        }
        if flight.held.is_none() {
            self.load(flight)?;
        }
        match &flight.held {
            None => return Err(gone(&self.connection)),
            Some(held) if self.is_due(held) => {
                let usable = !self.is_over(held);
                match self.refresh(flight).await {
                    Ok(()) => {}
                    Err(error) if usable && flight.unsaved.is_none() && passes(error.kind()) => {
                        tracing::warn!(connection = %self.connection, %error, "the token is refreshed later");
                        let wait = error.retry_after().unwrap_or(LATER);
                        flight.not_before = Some(Instant::now() + wait);
                    }
                    Err(error) => return Err(error),
                }
            }
            Some(_) => {}
        }
        let Some(held) = &flight.held else { return Err(gone(&self.connection)) };
        Ok(Bearer { token: held.access.clone(), generation: flight.generation })
    }

    fn place(&self) -> Place<'_> {
        Place { tenant: &self.tenant, connection: &self.connection, name: TOKEN }
    }

    fn load(&self, flight: &mut Flight) -> Result<(), ConnectError> {
        if let Some(opened) = self.vault.get(self.store.as_ref(), self.place())? {
            flight.held = Some(Grant::decode(opened.secret.expose_secret())?);
            flight.record = Some(opened.record);
            flight.generation += 1;
        }
        Ok(())
    }

    fn credentials(&self) -> Result<ClientCredentials, ConnectError> {
        let place = Place { name: CLIENT, ..self.place() };
        match self.vault.get(self.store.as_ref(), place)? {
            Some(opened) => ClientCredentials::decode(opened.secret.expose_secret()),
            None => Err(gone(&self.connection)),
        }
    }

    fn endpoint(&self, server: &Server, credentials: ClientCredentials) -> TokenEndpoint {
        TokenEndpoint {
            http: self.http.clone(),
            clock: self.clock.clone(),
            server: server.clone(),
            credentials,
            patience: self.patience,
        }
    }

    async fn refresh(&self, flight: &mut Flight) -> Result<(), ConnectError> {
        let (Some(held), Some(server)) = (flight.held.clone(), &self.server) else {
            return Err(gone(&self.connection));
        };
        let credentials = self.credentials()?;
        let endpoint = self.endpoint(server, credentials);
        let ask = async || match held.method {
            Method::Service => endpoint.client_grant().await,
            _ => endpoint.refresh(&held).await,
        };
        let mut result = ask().await;
        if matches!(&result, Err(failure) if failure.class == Class::Unclear) {
            // The app may have changed the tokens and the answer got lost. Some give a moment's
            // grace to the old one, so it is worth one more try, and no more than one.
            tracing::debug!(connection = %self.connection, "the refresh is tried once more");
            result = ask().await;
        }
        match result {
            Ok(grant) => {
                flight.unsaved = Some(grant);
                self.save(flight).await
            }
            Err(failure) if failure.class == Class::Dead => {
                if self.was_replaced(flight)? {
                    return Ok(());
                }
                let what = match held.method {
                    Method::Service => "does not let in the application of",
                    _ => "ended the consent for",
                };
                let error = ConnectError::new(
                    ConnectErrorKind::Reconnect,
                    format!(
                        "{} {what} connection `{}`: {}",
                        server.title, self.connection, failure.message
                    ),
                )
                .hint(format!("connect again with {}", self.anew(server)));
                flight.dead = Some(error.clone());
                Err(error)
            }
            Err(failure) => {
                let hint = match (failure.class, held.method) {
                    (Class::Configuration, Method::Service) => Some(format!(
                        "see that the application is still registered and its secret has not run out; a new \
                         secret is given with {}",
                        self.anew(server)
                    )),
                    // Not every app says in the words of the RFC that a grant is dead.
                    (Class::Unknown, Method::OAuth) => {
                        Some(format!("if this goes on, connect again with {}", self.anew(server)))
                    }
                    _ => None,
                };
                let error = failure.into_error(server, REFRESH);
                Err(match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                })
            }
        }
    }

    /// The command that signs the connection in anew.
    fn anew(&self, server: &Server) -> String {
        format!("`casbah connect {} --name {} --replace`", server.app, self.connection)
    }

    /// Whether somebody else stored new tokens meanwhile; they are taken over then.
    fn was_replaced(&self, flight: &mut Flight) -> Result<bool, ConnectError> {
        let stored = self.vault.get(self.store.as_ref(), self.place())?;
        let Some(stored) = stored.filter(|stored| flight.record.as_ref() != Some(&stored.record))
        else {
            return Ok(false);
        };
        flight.held = Some(Grant::decode(stored.secret.expose_secret())?);
        flight.record = Some(stored.record);
        flight.generation += 1;
        Ok(true)
    }

    /// Makes the new pair durable; only then it is held, and can be handed out.
    async fn save(&self, flight: &mut Flight) -> Result<(), ConnectError> {
        let Some(unsaved) = &flight.unsaved else { return Ok(()) };
        let write = self.vault.put(self.place(), &unsaved.encode()?)?;
        let record = write.value.clone();
        let key = write.key.clone();
        let mut commit = Commit::new().expect(Table::Secret, key, flight.record.clone());
        commit.writes.push(write);
        let (store, tenant) = (Arc::clone(&self.store), self.tenant.clone());
        let stored = tokio::task::spawn_blocking(move || store.commit(&tenant, commit))
            .await
            .map_err(|_| ConnectError::new(ConnectErrorKind::Stopped, "storing was broken off"))?;
        match stored {
            Ok(_) => {
                flight.held = flight.unsaved.take();
                flight.record = record;
                flight.generation += 1;
                Ok(())
            }
            // Somebody connected anew meanwhile: theirs is the grant that counts.
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                flight.unsaved = None;
                flight.held = None;
                self.load(flight)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a failure of a refresh may pass by itself.
fn passes(kind: ConnectErrorKind) -> bool {
    matches!(kind, ConnectErrorKind::Busy | ConnectErrorKind::Network | ConnectErrorKind::Malformed)
}

fn gone(connection: &ConnectionName) -> ConnectError {
    ConnectError::new(
        ConnectErrorKind::Reconnect,
        format!("connection `{connection}` is not signed in"),
    )
    .hint(format!("sign it in with `casbah connect APP --name {connection} --replace`"))
}

#[cfg(test)]
mod tests;
