//! The test of a connection: who am I, am I an administrator, may I read activities.
//!
//! It asks what the adapter's stream of facts asks, in order, and says in plain words what works and
//! what does not. It stores nothing and fetches no activities.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use casbah_model::adapter::{
    Adapter, Failure, HttpRequest, Next, PlanRequest, Produces, Response, class, facts,
};
use serde::Serialize;

use crate::client::{Answer, Hosts, Http};
use crate::clock::Clock;
use crate::connection::{State, Trouble};
use crate::error::{ConnectError, ConnectErrorKind};
use crate::limit::Budget;
use crate::oauth::{Bearer, Retry, Tokens};
use crate::text;
use crate::watch::{SET_UP, Warning, WarningKind};

/// Pages of facts that are asked for at most.
const MOST_PAGES: usize = 20;
/// No longer is waited for a place in the budget of requests.
const PATIENCE: Duration = Duration::from_secs(30);
/// A clock that is off by more than this is worth a word, ms.
const CLOCK: i64 = 60_000;

/// What came of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is as it should be.
    Passed,
    /// It works, but not as it should.
    Warning,
    /// It does not work.
    Failed,
    /// Something before it failed, or the app does not tell.
    Unknown,
}

/// One question of the test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// What was asked, e.g. `administrator`.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What was found, in words.
    pub detail: String,
    /// What to do about it; empty when nothing is to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// The result of a test, with its questions in order. Its `Display` form is for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CheckReport {
    /// The questions.
    pub checks: Vec<Check>,
    /// What the adapter found out; names in [`casbah_model::adapter::facts`].
    pub facts: BTreeMap<String, String>,
    /// Requests that it took.
    pub calls: u64,
    /// In which state the connection is by this test.
    #[serde(skip)]
    state: Option<State>,
}

impl CheckReport {
    /// Whether activities can be fetched: nothing failed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.outcome != Outcome::Failed)
    }

    /// What is wrong by this test, in the form that is kept and shown; `None` when it passed.
    pub(crate) fn trouble(&self, now: i64) -> Option<Trouble> {
        let failed = self.checks.iter().find(|check| check.outcome == Outcome::Failed)?;
        Some(Trouble {
            state: self.state.unwrap_or(State::Faulty),
            reason: format!("the test failed: {}", failed.detail),
            remedy: failed.remedy.clone(),
            since: now,
        })
    }

    /// Adds what has to be looked at although nothing fails. Of an app's limitations the first is what
    /// an administrator has to see to.
    pub(crate) fn warn(&mut self, warnings: &[Warning], limitations: &[String]) {
        for warning in warnings {
            let (name, remedy) = match (warning.kind, limitations.first()) {
                (WarningKind::Empty, Some(first)) => ("silence", format!("{SET_UP}. {first}")),
                (WarningKind::Empty, None) => ("silence", SET_UP.to_owned()),
                _ => ("retention", warning.remedy.clone()),
            };
            self.add(name, Outcome::Warning, warning.reason.clone(), &remedy);
        }
    }

    /// What the adapter found out under a name; empty when nothing.
    pub fn fact(&self, name: &str) -> &str {
        self.facts.get(name).map_or("", String::as_str)
    }

    fn add(&mut self, name: &str, outcome: Outcome, detail: impl Into<String>, remedy: &str) {
        self.checks.push(Check {
            name: name.to_owned(),
            outcome,
            detail: detail.into(),
            remedy: remedy.to_owned(),
        });
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, check) in self.checks.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let mark = match check.outcome {
                Outcome::Passed => "ok     ",
                Outcome::Warning => "warning",
                Outcome::Failed => "failed ",
                Outcome::Unknown => "unknown",
            };
            write!(f, "{mark}  {}: {}", check.name, check.detail)?;
            if !check.remedy.is_empty() {
                write!(f, "\n         hint: {}", check.remedy)?;
            }
        }
        Ok(())
    }
}

/// The token to test with.
pub(crate) enum Credentials {
    /// Of a grant that is not kept yet.
    Fresh(Bearer),
    /// Of the connection.
    Kept(Tokens),
}

impl Credentials {
    async fn bearer(&self) -> Result<Bearer, ConnectError> {
        match self {
            Self::Fresh(bearer) => Ok(bearer.clone()),
            Self::Kept(tokens) => tokens.bearer().await,
        }
    }

    async fn refused(&self, bearer: &Bearer) -> Result<bool, ConnectError> {
        match self {
            Self::Fresh(_) => Ok(false),
            Self::Kept(tokens) => Ok(tokens.refused(bearer).await? == Retry::Now),
        }
    }
}

/// What a test needs.
pub(crate) struct Subject {
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) hosts: Hosts,
    pub(crate) settings: String,
    pub(crate) http: Http,
    pub(crate) clock: Clock,
    pub(crate) budget: Arc<Budget>,
    pub(crate) credentials: Credentials,
}

/// Why a question could not be asked to its end.
enum Broken {
    Failure(Failure),
    Error(ConnectError),
    /// There was no place in the budget of requests in time.
    Budget,
}

impl Subject {
    /// Carries the test out. Whatever goes wrong is in the report.
    pub(crate) async fn run(&self) -> CheckReport {
        let mut report = CheckReport::default();
        let description = self.adapter.description();
        let title = description.title.clone();
        let stream = description.streams.iter().find(|stream| stream.produces == Produces::Facts);
        let Some(stream) = stream else {
            report.add(
                "test",
                Outcome::Unknown,
                format!("the adapter for {title} has no test"),
                "",
            );
            return report;
        };
        let (name, page_size) = (stream.name.clone(), stream.page_size);
        let mut offset = None;
        let mut cursor = None;
        let mut broken = None;
        let mut asked = None;
        for _ in 0..MOST_PAGES {
            let page =
                self.page(&name, page_size, cursor.take(), &mut report, &mut offset, &mut asked);
            match page.await {
                Ok((Next::More, position)) => cursor = Some(position),
                Ok(_) => break,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        let of_activities = match asked.filter(|_| broken.is_some()) {
            Some(asked) => self.asks_activities(asked).await,
            None => false,
        };
        judge(&mut report, &title, broken, of_activities);
        if let Some(offset) = offset.filter(|offset: &i64| offset.abs() > CLOCK) {
            let way = if offset > 0 { "behind" } else { "ahead of" };
            let seconds = offset.abs() / 1000;
            report.add(
                "clock",
                Outcome::Warning,
                format!("this machine's clock is {seconds} s {way} that of {title}"),
                "set the clock by NTP: times of arrival and expiry of tokens depend on it",
            );
        }
        report
    }

    async fn page(
        &self,
        stream: &str,
        page_size: u32,
        cursor: Option<String>,
        report: &mut CheckReport,
        offset: &mut Option<i64>,
        sent: &mut Option<HttpRequest>,
    ) -> Result<(Next, String), Broken> {
        let now = self.clock.now();
        let plan = PlanRequest {
            stream: stream.to_owned(),
            cursor,
            settings: self.settings.clone(),
            now,
            since: now,
            newest: None,
            page_size,
            recover: false,
        };
        let mut again = true;
        loop {
            let bearer = self.credentials.bearer().await.map_err(Broken::Error)?;
            let adapter = Arc::clone(&self.adapter);
            let asked = plan.clone();
            let planned = blocking(move || adapter.plan(&asked)).await.map_err(Broken::Error)?;
            let planned = planned.map_err(Broken::Failure)?;
            *sent = Some(planned.clone());
            let place = tokio::time::timeout(PATIENCE, self.budget.take()).await;
            let place = place.map_err(|_| Broken::Budget)?;
            report.calls += 1;
            let answer = self.http.send(&self.hosts, &planned, &bearer.token, &self.clock).await;
            drop(place);
            let Answer { status, headers, body, clock_offset, .. } =
                answer.map_err(Broken::Error)?;
            *offset = clock_offset.or(*offset);
            let adapter = Arc::clone(&self.adapter);
            let response = Response { request: plan.clone(), status, headers, body };
            let read = blocking(move || adapter.read(&response)).await.map_err(Broken::Error)?;
            match read {
                Ok(page) => {
                    report.facts.extend(
                        page.facts.into_iter().map(|(name, value)| {
                            (text::shown(&name, 80), text::shown(&value, 200))
                        }),
                    );
                    return Ok((page.next, page.cursor));
                }
                Err(failure) if failure.class == class::TOKEN_EXPIRED && again => {
                    again = false;
                    if !self.credentials.refused(&bearer).await.map_err(Broken::Error)? {
                        return Err(Broken::Failure(failure));
                    }
                }
                Err(failure) => return Err(Broken::Failure(failure)),
            }
        }
    }

    /// Whether a request asks where a stream of activities begins to ask.
    async fn asks_activities(&self, asked: HttpRequest) -> bool {
        let now = self.clock.now();
        let (adapter, settings) = (Arc::clone(&self.adapter), self.settings.clone());
        let compared = blocking(move || {
            let streams = &adapter.description().streams;
            streams.iter().filter(|stream| stream.produces == Produces::Activities).any(|stream| {
                let plan = PlanRequest {
                    stream: stream.name.clone(),
                    cursor: None,
                    settings: settings.clone(),
                    now,
                    since: now,
                    newest: None,
                    page_size: stream.page_size,
                    recover: false,
                };
                adapter.plan(&plan).is_ok_and(|planned| {
                    (planned.method, planned.host, planned.path)
                        == (asked.method.clone(), asked.host.clone(), asked.path.clone())
                })
            })
        });
        compared.await.unwrap_or(false)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConnectError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ConnectError::new(ConnectErrorKind::Plugin, "the adapter panicked"))
}

/// Puts what was found, and where it broke off, into words; `of_activities` says whether that was a
/// question for activities.
fn judge(report: &mut CheckReport, title: &str, broken: Option<Broken>, of_activities: bool) {
    let email = report.fact(facts::ACCOUNT_EMAIL).to_owned();
    let id = report.fact(facts::ACCOUNT_ID).to_owned();
    let organization = report.fact(facts::ORGANIZATION_NAME).to_owned();
    let is_account = !email.is_empty() || !id.is_empty();
    // An application may be let in without an account of its own.
    let knows_me = is_account || !organization.is_empty();
    if matches!(broken, Some(Broken::Budget)) {
        report.add(
            if knows_me { "activities" } else { "sign-in" },
            Outcome::Unknown,
            format!(
                "{title} was not asked: the budget of requests was used up for {} s",
                PATIENCE.as_secs()
            ),
            "test again later: other work uses the budget, or the app asked for a pause",
        );
        return;
    }
    let (failed, message, remedy) = match broken {
        None | Some(Broken::Budget) => (None, String::new(), String::new()),
        Some(Broken::Failure(failure)) => {
            let message = text::shown(&failure.to_string(), 300);
            (Some(failure.class), message, text::shown(&failure.remedy, 400))
        }
        Some(Broken::Error(error)) => {
            let class = match error.kind() {
                ConnectErrorKind::Reconnect => class::RECONNECT,
                ConnectErrorKind::TooLarge => class::TOO_LARGE,
                _ => class::TRANSIENT,
            };
            let remedy = error.remedy().unwrap_or_default().to_owned();
            (Some(class.to_owned()), error.message().to_owned(), remedy)
        }
    };
    let signed_out = failed
        .as_deref()
        .is_some_and(|class| class == class::TOKEN_EXPIRED || class == class::RECONNECT);
    report.state = Some(match failed.as_deref() {
        _ if signed_out => State::ReconnectNeeded,
        Some(class) if class != class::FORBIDDEN => State::Faulty,
        _ => State::Forbidden,
    });
    if knows_me {
        let who = match (email.is_empty(), organization.is_empty()) {
            (true, false) if id.is_empty() => format!("an application of {organization}"),
            (false, false) => format!("{email}, of {organization}"),
            (false, true) => email,
            (true, false) => format!("account {id}, of {organization}"),
            (true, true) => format!("account {id}"),
        };
        report.add("sign-in", Outcome::Passed, format!("{title} knows casbah as {who}"), "");
    } else if signed_out {
        let remedy =
            if remedy.is_empty() { "connect again with `casbah connect`" } else { &remedy };
        report.add(
            "sign-in",
            Outcome::Failed,
            format!("{title} does not accept the token: {message}"),
            remedy,
        );
        return;
    } else if failed.is_some() {
        report.add(
            "sign-in",
            Outcome::Failed,
            format!("{title} did not say who casbah is: {message}"),
            &remedy,
        );
        return;
    }
    match report.fact(facts::ACCOUNT_ADMIN) {
        "" if knows_me && !is_account => {}
        "true" => {
            report.add("administrator", Outcome::Passed, "the account is an administrator", "")
        }
        "false" => report.add(
            "administrator",
            Outcome::Failed,
            "the account is not an administrator, and only administrators may read activities",
            "make the account an administrator in the app, or connect with another one",
        ),
        _ => report.add("administrator", Outcome::Unknown, format!("{title} does not tell"), ""),
    }
    let limitation = report.fact(facts::LIMITATION).to_owned();
    match (failed.as_deref(), report.fact(facts::MAY_READ_ACTIVITIES)) {
        (None, "true") => report.add("activities", Outcome::Passed, "activities can be read", ""),
        (None, "false") => report.add(
            "activities",
            Outcome::Failed,
            "activities can't be read",
            "check the rights of the account and the plan of the organization",
        ),
        (None, _) if !limitation.is_empty() => {
            report.add("activities", Outcome::Warning, limitation, "");
        }
        (None, _) => report.add("activities", Outcome::Unknown, "it was not tried", ""),
        // A fetch asks for smaller pieces.
        (Some(class::TOO_LARGE), _) if of_activities => report.add(
            "activities",
            Outcome::Passed,
            "activities can be read, and there are many: more came than one answer may hold",
            "",
        ),
        (Some(_), _) => report.add(
            "activities",
            Outcome::Failed,
            format!("activities can't be read: {message}"),
            &remedy,
        ),
    }
}

#[cfg(test)]
mod tests;
