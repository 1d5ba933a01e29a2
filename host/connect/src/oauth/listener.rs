//! Waits on this machine for the browser to come back.
//!
//! It listens on 127.0.0.1 alone, knows one path for each app and region, and shows no content but
//! its own. It is not a web server for anything else.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use url::Url;

use super::sign_in::{Redirect, SignIn, SignIns};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::stop::Stop;
use crate::text;

/// How long the last page is still served when the listener is dropped.
const LINGER: Duration = Duration::from_millis(1500);

/// A listener for one app and region.
#[derive(Debug)]
pub struct Listener {
    redirect: Redirect,
    results: mpsc::Receiver<Result<SignIn, ConnectError>>,
    /// Dropped with the listener, which ends the server.
    _end: oneshot::Sender<()>,
}

struct Shared {
    sign_ins: Arc<SignIns>,
    session: String,
    path: String,
    results: mpsc::Sender<Result<SignIn, ConnectError>>,
    page: Mutex<(StatusCode, String)>,
}

impl Listener {
    /// Listens on `port` of 127.0.0.1, or on any free one for 0.
    ///
    /// # Errors
    /// `SignIn` when the port is taken.
    pub async fn bind(
        port: u16,
        app: &str,
        region: &str,
        sign_ins: Arc<SignIns>,
        session: &str,
    ) -> Result<Self, ConnectError> {
        let failed = |error: std::io::Error| {
            ConnectError::new(
                ConnectErrorKind::SignIn,
                format!("can't listen on port {port} of 127.0.0.1: {error}"),
            )
            .hint("choose another port, and register its address with the app")
            .source(error)
        };
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .await
            .map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let path = format!("/callback/{app}/{region}");
        let url = Url::parse(&format!("http://127.0.0.1:{port}{path}")).map_err(|_| {
            ConnectError::new(ConnectErrorKind::SignIn, "app and region make no address")
        })?;
        let (sender, results) = mpsc::channel(4);
        let (end, ended) = oneshot::channel::<()>();
        let shared = Arc::new(Shared {
            sign_ins,
            session: session.to_owned(),
            path: path.clone(),
            results: sender,
            page: Mutex::new((StatusCode::NOT_FOUND, "Nothing is going on here.".to_owned())),
        });
        let router = Router::new()
            .route(&path, get(callback))
            .route("/done", get(done))
            .fallback(|| async { page(StatusCode::NOT_FOUND, "There is nothing here.") })
            .with_state(shared);
        tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(async move {
                // Either way the listener is gone; the browser may still be fetching the last page.
                let _ = ended.await;
                tokio::time::sleep(LINGER).await;
            });
            if let Err(error) = served.await {
                tracing::debug!(%error, "the listener for sign-ins ended");
            }
        });
        Ok(Self { redirect: Redirect::loopback(url), results, _end: end })
    }

    /// The address to be registered with the app.
    pub fn redirect(&self) -> &Redirect {
        &self.redirect
    }

    /// Waits for the browser. Answers that belong to no sign-in are told off and not returned.
    ///
    /// # Errors
    /// `Denied` or `SignIn` as the answer says, `Stopped` when it is time to stop.
    pub async fn wait(&mut self, stop: &mut Stop) -> Result<SignIn, ConnectError> {
        let stopped = || ConnectError::new(ConnectErrorKind::Stopped, "the sign-in was broken off");
        tokio::select! {
            result = self.results.recv() => result.unwrap_or_else(|| Err(stopped())),
            () = stop.wanted() => Err(stopped()),
        }
    }
}

async fn callback(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let result = shared.sign_ins.receive(&shared.path, &query, &shared.session);
    let (status, words) = match &result {
        Ok(_) => (StatusCode::OK, "casbah has the consent. You can close this page.".to_owned()),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    };
    // Anybody on this machine can knock here: what belongs to no sign-in must not end the waiting.
    let ends = match &result {
        Ok(_) => true,
        Err(error) => error.kind() == ConnectErrorKind::Denied,
    };
    *shared.page.lock().unwrap_or_else(PoisonError::into_inner) = (status, words);
    if ends && shared.results.send(result).await.is_err() {
        tracing::debug!("nobody waits for the sign-in any more");
    }
    // Away from the address with the code in it, before anything is shown.
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, "/done")]).into_response();
    harden(&mut response);
    response
}

async fn done(State(shared): State<Arc<Shared>>) -> Response {
    let (status, words) = shared.page.lock().unwrap_or_else(PoisonError::into_inner).clone();
    page(status, &words)
}

fn page(status: StatusCode, words: &str) -> Response {
    let lines: Vec<String> = words.lines().map(text::html).collect();
    let body = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>casbah</title><p>{}</p></html>\n",
        lines.join("<br>")
    );
    let mut response = (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response();
    harden(&mut response);
    response
}

fn harden(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    );
}
