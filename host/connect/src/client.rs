//! HTTP as it is spoken with apps: to declared hosts only, without redirects, within bounds.
//!
//! Authorization is added here, last, after a plugin has planned the request, and the token is taken
//! out of everything that comes back. It knows nothing of streams, retries or budgets.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use casbah_model::adapter::{AdapterDescription, HttpRequest};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::clock::Clock;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::text;

/// Largest answer that is read unless another is set, bytes, unpacked: adapters and their memory are
/// made for this.
pub const LARGEST_ANSWER: usize = 64 << 20;
/// So much is read of an answer that says what is wrong.
const LARGEST_COMPLAINT: usize = 1 << 20;
/// Largest body that a plugin may send.
const LARGEST_REQUEST: usize = 1 << 20;
/// Only these: reading must not be able to change anything by a slip. `POST` is there for apps
/// that take their queries so.
const METHODS: &[&str] = &["GET", "HEAD", "POST"];
/// What a plugin may not set: the host sees to these, or they would lead the request elsewhere.
const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "accept-encoding",
];
/// What a plugin does not get to see.
const WITHHELD: &[&str] = &["authorization", "set-cookie", "set-cookie2", "location"];

/// How long to wait for an app.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) idle: Duration,
    pub(crate) whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            whole: Duration::from_secs(120),
        }
    }
}

/// The client for all apps. Clones share its pool of connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    largest: usize,
}

impl Http {
    /// A client that calls itself `casbah/<version>` and reads answers of up to [`LARGEST_ANSWER`].
    ///
    /// # Errors
    /// `Configuration` when TLS can't be set up, e.g. without any root certificates.
    pub fn new(version: &str) -> Result<Self, ConnectError> {
        Self::with(version, Patience::default(), LARGEST_ANSWER)
    }

    /// The same, but an answer larger than `largest` bytes is not read to its end; the page is asked for
    /// in smaller pieces then.
    #[must_use]
    pub fn with_largest_answer(mut self, largest: usize) -> Self {
        self.largest = largest;
        self
    }

    pub(crate) fn with(
        version: &str,
        patience: Patience,
        largest: usize,
    ) -> Result<Self, ConnectError> {
        let client = reqwest::Client::builder()
            .user_agent(format!("casbah/{version}"))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(patience.connect)
            .read_timeout(patience.idle)
            .timeout(patience.whole)
            .build()
            .map_err(|error| {
                ConnectError::new(
                    ConnectErrorKind::Configuration,
                    format!("the HTTP client can't be set up: {}", reasons(&error)),
                )
                .hint("install the system's root certificates (package `ca-certificates`)")
            })?;
        Ok(Self { client, largest })
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Sends what a plugin planned, with the token added.
    pub(crate) async fn send(
        &self,
        hosts: &Hosts,
        planned: &HttpRequest,
        token: &SecretString,
        clock: &Clock,
    ) -> Result<Answer, ConnectError> {
        let request = self.build(hosts, planned, token)?;
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let response =
            self.client.execute(request).await.map_err(|error| failed(&host, &error, token))?;
        let status = response.status();
        let clock_offset = clock_offset(response.headers(), clock);
        if status.is_redirection() {
            let target = response
                .headers()
                .get("location")
                .and_then(|value| value.to_str().ok())
                .and_then(|target| response.url().join(target).ok())
                .and_then(|url| url.host_str().map(str::to_owned))
                .unwrap_or_default();
            return Err(ConnectError::new(
                ConnectErrorKind::Malformed,
                format!(
                    "`{host}` answered with a redirect to `{}`, which is not followed",
                    text::shown(&target, 80)
                ),
            )
            .hint("check the region and the addresses of the connection"));
        }
        let headers = readable_headers(response.headers(), token);
        let retry_after = retry_after(response.headers(), clock);
        let body = if status.is_success() {
            read_body(response, self.largest).await
        } else {
            // What went wrong is told by the status; nobody needs all of what is said about it.
            read_start(response, LARGEST_COMPLAINT).await.map_err(BodyError::Broken)
        };
        let mut body = body.map_err(|error| error.for_host(&host, token))?;
        text::strip(&mut body, token);
        Ok(Answer { status: status.as_u16(), headers, body, retry_after, clock_offset })
    }

    fn build(
        &self,
        hosts: &Hosts,
        planned: &HttpRequest,
        token: &SecretString,
    ) -> Result<reqwest::Request, ConnectError> {
        let refused = |what: String| ConnectError::new(ConnectErrorKind::Plugin, what);
        if !METHODS.contains(&planned.method.as_str()) {
            return Err(refused(format!(
                "the adapter planned a `{}` request; only {} are allowed for reading",
                text::shown(&planned.method, 20),
                METHODS.join(", ")
            )));
        }
        if planned.body.len() > LARGEST_REQUEST {
            return Err(refused(format!(
                "the adapter planned a body of {} bytes; at most {LARGEST_REQUEST} are allowed",
                planned.body.len()
            )));
        }
        let mut url = hosts.url(&planned.host, &planned.path)?;
        if !planned.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&planned.query);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &planned.headers {
            let unfit = || {
                refused(format!(
                    "the adapter planned a header `{}` that can't be sent",
                    text::shown(name, 40)
                ))
            };
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
            if RESERVED.contains(&header.as_str()) {
                return Err(refused(format!(
                    "the adapter planned a header `{header}`, which only casbah itself may set"
                )));
            }
            headers.append(header, HeaderValue::from_str(value).map_err(|_| unfit())?);
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| {
                ConnectError::new(
                    ConnectErrorKind::Reconnect,
                    "the stored token has characters that no token has",
                )
                .hint("connect again with `casbah connect`")
            })?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        let method = reqwest::Method::from_bytes(planned.method.as_bytes())
            .map_err(|_| refused("the adapter planned a request without a method".to_owned()))?;
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers;
        if !planned.body.is_empty() {
            *request.body_mut() = Some(planned.body.clone().into());
        }
        Ok(request)
    }
}

/// An answer, with the token taken out.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Unpacked.
    pub(crate) body: Vec<u8>,
    pub(crate) retry_after: Option<Duration>,
    /// By how much the app's clock is ahead of ours, ms.
    pub(crate) clock_offset: Option<i64>,
}

/// Why a body did not come whole.
pub(crate) enum BodyError {
    Broken(reqwest::Error),
    TooLarge(usize),
}

impl BodyError {
    pub(crate) fn for_host(self, host: &str, token: &SecretString) -> ConnectError {
        match self {
            Self::Broken(error) => failed(host, &error, token),
            Self::TooLarge(largest) => ConnectError::new(
                ConnectErrorKind::TooLarge,
                format!("the answer of `{host}` is larger than {largest} bytes"),
            )
            .hint(
                "smaller pieces are asked for by themselves; if even the smallest is too large, raise \
                 `largest-answer-mib` in the settings file",
            ),
        }
    }
}

/// Reads a body, but never more than `largest` bytes of it.
pub(crate) async fn read_body(
    mut response: reqwest::Response,
    largest: usize,
) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(|announced| announced > largest) {
        return Err(BodyError::TooLarge(largest));
    }
    let mut body = Vec::with_capacity(announced.unwrap_or(0).min(largest).min(16 << 20));
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if body.len() + chunk.len() > largest {
            return Err(BodyError::TooLarge(largest));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads the first bytes of a body, and leaves the rest.
async fn read_start(
    mut response: reqwest::Response,
    most: usize,
) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < most
        && let Some(chunk) = response.chunk().await?
    {
        body.extend(chunk.iter().take(most - body.len()));
    }
    Ok(body)
}

/// A failure on the wire, in words, without address, query or token.
pub(crate) fn failed(host: &str, error: &reqwest::Error, token: &SecretString) -> ConnectError {
    let reasons = text::stripped(&reasons(error), [token]);
    // Who can't be reached in time has not been asked for too much.
    if error.is_timeout() && !error.is_connect() {
        return ConnectError::new(
            ConnectErrorKind::TimedOut,
            format!("`{host}` did not answer in time ({reasons})"),
        );
    }
    let (what, hint) = if error.is_connect() {
        ("can't be reached", Some("check the network, the region and the addresses"))
    } else if error.is_body() || error.is_decode() {
        ("sent an answer that broke off", None)
    } else {
        ("did not answer", None)
    };
    let failure =
        ConnectError::new(ConnectErrorKind::Network, format!("`{host}` {what}: {reasons}"));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The innermost reasons of an error; the outermost would repeat the address with its query.
fn reasons(error: &reqwest::Error) -> String {
    let mut reasons = Vec::new();
    let mut source = error.source();
    while let Some(reason) = source {
        reasons.push(reason.to_string());
        source = reason.source();
    }
    reasons.dedup();
    let text = match reasons.last() {
        Some(last) => last.clone(),
        None => "no reason given".to_owned(),
    };
    text::shown(&text, 200)
}

fn readable_headers(headers: &HeaderMap, token: &SecretString) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| !WITHHELD.contains(&name.as_str()))
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), text::stripped(value.to_str().ok()?, [token])))
        })
        .collect()
}

/// How long the other side asks to wait: seconds, a fraction of them, or a date.
pub(crate) fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    /// Nobody is waited for longer than this on their word alone.
    const LONGEST: Duration = Duration::from_secs(3600);
    let value = headers.get("retry-after")?.to_str().ok()?.trim();
    let wait = match value.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST),
        Ok(_) => return None,
        Err(_) => {
            let at = httpdate::parse_http_date(value).ok()?;
            // Both dates come from the same clock when the answer is dated, so ours may be wrong.
            let now = headers
                .get("date")
                .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok())
                .or_else(|| {
                    let now = u64::try_from(clock.now()).ok()?;
                    Some(std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(now))
                })?;
            at.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST))
}

fn clock_offset(headers: &HeaderMap, clock: &Clock) -> Option<i64> {
    let date = httpdate::parse_http_date(headers.get("date")?.to_str().ok()?).ok()?;
    let theirs = date.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
    Some(i64::try_from(theirs.as_millis()).ok()? - clock.now())
}

/// The addresses of an app for one connection: those of its region, some replaced by the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    region: String,
    bases: BTreeMap<String, Url>,
}

impl Hosts {
    /// The addresses of a region (the first when `None`), with `replaced` ones put in their place.
    ///
    /// # Errors
    /// `Unknown` for a region or host that the adapter did not declare, `Configuration` for an
    /// address that is not `https`, except on loopback, or has a query, a user or a fragment.
    pub fn resolve(
        description: &AdapterDescription,
        region: Option<&str>,
        replaced: &BTreeMap<String, String>,
    ) -> Result<Self, ConnectError> {
        let names = || description.regions.iter().map(|region| region.name.as_str());
        let found = match region {
            None => description.regions.first(),
            Some(name) => description.regions.iter().find(|region| region.name == name),
        };
        let Some(found) = found else {
            let asked = text::shown(region.unwrap_or_default(), 40);
            let hint = match text::closest(&asked.to_lowercase(), names()) {
                Some(close) => {
                    format!("did you mean `{close}`? there are {}", text::names(names()))
                }
                None => format!("there are {}", text::names(names())),
            };
            return Err(ConnectError::new(
                ConnectErrorKind::Unknown,
                format!("{} has no region `{asked}`", description.title),
            )
            .hint(hint));
        };
        if let Some(unknown) = replaced.keys().find(|name| !found.hosts.contains_key(*name)) {
            return Err(ConnectError::new(
                ConnectErrorKind::Unknown,
                format!("{} has no host `{}`", description.title, text::shown(unknown, 40)),
            )
            .hint(format!(
                "addresses can be given for {}",
                text::names(found.hosts.keys().map(String::as_str))
            )));
        }
        let bases = found
            .hosts
            .iter()
            .map(|(name, address)| {
                let address = replaced.get(name).unwrap_or(address);
                Ok((name.clone(), base(name, address)?))
            })
            .collect::<Result<_, ConnectError>>()?;
        Ok(Self { region: found.name.clone(), bases })
    }

    /// Name of the region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The base address of a host.
    pub(crate) fn base(&self, host: &str) -> Option<&Url> {
        self.bases.get(host)
    }

    /// The address of a path below a host's base. Whatever the path holds, it stays below.
    pub(crate) fn url(&self, host: &str, path: &str) -> Result<Url, ConnectError> {
        let refused = |why: &str| {
            ConnectError::new(
                ConnectErrorKind::Plugin,
                format!(
                    "the adapter planned a request to `{}` of host `{}`, which {why}",
                    text::shown(path, 80),
                    text::shown(host, 40)
                ),
            )
        };
        let base = self.bases.get(host).ok_or_else(|| refused("it did not declare"))?;
        if !path.starts_with('/') || path.contains(['?', '#', '\\']) {
            return Err(refused("is not a path"));
        }
        let url = Url::parse(&format!("{}{path}", base.as_str().trim_end_matches('/')))
            .map_err(|_| refused("is not a path"))?;
        let below = url.path().strip_prefix(base.path().trim_end_matches('/'));
        if url.origin() != base.origin()
            || !url.username().is_empty()
            || url.password().is_some()
            || !below.is_some_and(|rest| rest.starts_with('/'))
        {
            return Err(refused("leads outside of it"));
        }
        Ok(url)
    }
}

fn base(name: &str, address: &str) -> Result<Url, ConnectError> {
    let shown = text::shown(address, 120);
    let unfit = |why: &str| {
        ConnectError::new(
            ConnectErrorKind::Configuration,
            format!("the address `{shown}` of host `{name}` {why}"),
        )
        .hint("give it like `https://api.example.com/2.0`")
    };
    let url = Url::parse(address).map_err(|_| unfit("is not an address"))?;
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(unfit("has a query, a user or a fragment"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(unfit("is not encrypted: only addresses of this machine may be `http`")),
        _ => Err(unfit("is not an `https` address")),
    }
}

/// Whether an address is this machine, by its number or as `localhost`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests;
