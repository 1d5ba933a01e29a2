//! Plans requests, and carries the place of every stream from one page to the next.
//!
//! A cursor is a small JSON text of our own; nobody else reads it.

use casbah_plugin::{Failure, HttpRequest, Next, PlanRequest, class, time};
use serde::{Deserialize, Serialize};

use crate::page::EventPage;
use crate::settings::Settings;

/// The streams.
pub(crate) mod stream {
    pub(crate) const ACCOUNTS: &str = "accounts";
    pub(crate) const ACTIVITIES: &str = "activities";
    pub(crate) const FACTS: &str = "facts";
}

const HOUR: i64 = 3_600_000;

/// `since` and `to` are resolved to the nearest hour, so up to half an hour later than asked.
const ROUNDING: i64 = HOUR;

/// How far a recovery goes back before the newest stored activity: the order of events is not
/// promised, and some come late.
const OVERLAP: i64 = 2 * HOUR;

/// How many events the app gives at most.
pub(crate) const MOST_EVENTS: u32 = 10_000;

/// How many users the app gives at most together with their last login.
pub(crate) const MOST_USERS: u32 = 100;

/// Below this page size the app has had trouble several times: the first request then also says
/// where to stop, as the vendor advises against time-outs.
const IN_TROUBLE: u32 = 1_250;

/// How long a window is that is opened so.
const WINDOW: i64 = 6 * HOUR;

/// How long to wait when the app says that there is more but does not move on, milliseconds.
const STUCK_WAIT: u64 = 60_000;

/// Where a stream of events stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct EventCursor {
    /// The app's own position; opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    /// Where to start when the app has given no position yet, ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    /// End of the window that is being read, ms since 1970; none when it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<i64>,
}

/// Where a round over the users stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AccountCursor {
    /// How many users have been read.
    pub(crate) offset: u64,
    /// How many there were when the round began.
    pub(crate) total: Option<i64>,
    /// How often the round began anew because that changed.
    pub(crate) restarts: u8,
}

/// Which question about the connection comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Question {
    #[default]
    WhoAmI,
    MayReadEvents,
}

/// The next request of a stream.
///
/// # Errors
/// `refused` for a stream or a cursor that is not ours.
pub(crate) fn plan(request: &PlanRequest, settings: &Settings) -> Result<HttpRequest, Failure> {
    match request.stream.as_str() {
        stream::ACTIVITIES => Ok(events(request, settings)),
        stream::ACCOUNTS => Ok(users(request)),
        stream::FACTS => Ok(facts(request, settings)),
        other => Err(Failure {
            class: class::REFUSED.to_owned(),
            message: format!(
                "there is no stream `{}`; this adapter has accounts, activities and facts",
                other.chars().take(64).collect::<String>()
            ),
            ..Failure::default()
        }),
    }
}

/// Whether the request that is planned from this carries a position of the app's.
pub(crate) fn has_position(request: &PlanRequest) -> bool {
    request.stream == stream::ACTIVITIES && start(request).position.is_some()
}

/// Reads a cursor of ours; one that can't be read counts as none, and reading starts again.
fn cursor<T: Default + for<'de> Deserialize<'de>>(request: &PlanRequest) -> T {
    let text = request.cursor.as_deref().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

fn write(cursor: &impl Serialize) -> String {
    // Our cursors are plain structs: writing them can't fail.
    serde_json::to_string(cursor).unwrap_or_default()
}

/// From where the request at hand reads. The same for planning it and for reading its answer.
fn start(request: &PlanRequest) -> EventCursor {
    let mut cursor: EventCursor = cursor(request);
    if request.recover {
        // A clock that runs ahead somewhere must not make us skip what lies between.
        let newest = request.newest.map(|newest| newest.min(request.now).saturating_sub(OVERLAP));
        cursor = EventCursor { since: newest, ..EventCursor::default() };
    }
    if cursor.position.is_some() {
        return cursor;
    }
    let since = cursor.since.unwrap_or(request.since.saturating_sub(ROUNDING));
    let trouble = request.page_size < IN_TROUBLE;
    let to = Some(since.saturating_add(WINDOW))
        .filter(|to| trouble && to.saturating_add(ROUNDING) < request.now);
    EventCursor { position: None, since: Some(since), to }
}

fn get(path: &str, query: Vec<(String, String)>) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        host: "api".to_owned(),
        path: path.to_owned(),
        query,
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: Vec::new(),
    }
}

fn pair(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn events(request: &PlanRequest, settings: &Settings) -> HttpRequest {
    let start = start(request);
    let mut query = Vec::with_capacity(4);
    match start.position {
        Some(position) => query.push(pair("streamPosition", position)),
        None => {
            query.push(pair("since", time::format(start.since.unwrap_or(request.since))));
            if let Some(to) = start.to {
                query.push(pair("to", time::format(to)));
            }
        }
    }
    query.push(pair("maxCount", request.page_size.clamp(1, MOST_EVENTS)));
    managed_plan(&mut query, settings);
    get("/events", query)
}

fn managed_plan(query: &mut Vec<(String, String)>, settings: &Settings) {
    if let Some(plan) = &settings.managed_plan {
        query.push(pair("managedPlanId", plan));
    }
}

/// Where to go on after a page, and when.
pub(crate) fn after_events(request: &PlanRequest, page: &EventPage) -> (String, Next) {
    let start = start(request);
    // No event of the future, should one come, may carry the start past those of the present.
    let newest = page
        .batch
        .integers("time")
        .and_then(|times| times.iter().copied().max())
        .map(|newest| newest.min(request.now));
    let (next, when) = match &page.position {
        _ if start.to.is_some() && !page.more => after_window(&start, page, newest, request.now),
        Some(position) => {
            let moved = start.position.as_ref() != Some(position);
            let when = match page.more {
                true if moved => Next::More,
                true => Next::Wait(STUCK_WAIT),
                false => Next::CaughtUp,
            };
            (EventCursor { position: Some(position.clone()), since: None, to: start.to }, when)
        }
        // A last page may come without a position: the one we have stays good.
        None => {
            let when = if page.more { Next::Wait(STUCK_WAIT) } else { Next::CaughtUp };
            (keep(start, newest), when)
        }
    };
    (write(&next), when)
}

/// Nothing more within a window that was opened with an end.
///
/// It is not documented whether the end still holds on the pages that follow by position. So the
/// next window begins where this one ended, unless events beyond the end say that it does not hold.
fn after_window(
    start: &EventCursor,
    page: &EventPage,
    newest: Option<i64>,
    now: i64,
) -> (EventCursor, Next) {
    let to = start.to.unwrap_or(now);
    match &page.position {
        Some(position) if newest.is_some_and(|newest| newest > to.saturating_add(ROUNDING)) => (
            EventCursor { position: Some(position.clone()), ..EventCursor::default() },
            Next::CaughtUp,
        ),
        _ => (
            EventCursor { since: Some(to.saturating_sub(ROUNDING)), ..EventCursor::default() },
            Next::More,
        ),
    }
}

/// The cursor when the app has given no position: the old one, or a start that follows the events.
fn keep(start: EventCursor, newest: Option<i64>) -> EventCursor {
    if start.position.is_some() {
        return start;
    }
    let since = match (start.since, newest) {
        (Some(since), Some(newest)) => Some(since.max(newest.saturating_sub(OVERLAP))),
        (since, _) => since,
    };
    EventCursor { since, ..EventCursor::default() }
}

fn users(request: &PlanRequest) -> HttpRequest {
    let size = users_a_page(request);
    let page = (account_cursor(request).offset / u64::from(size)).saturating_add(1);
    get("/users", vec![pair("include", "lastLogin"), pair("page", page), pair("pageSize", size)])
}

/// How many users the request at hand asks for.
pub(crate) fn users_a_page(request: &PlanRequest) -> u32 {
    request.page_size.clamp(1, MOST_USERS)
}

/// Where the round stands that the request at hand belongs to.
pub(crate) fn account_cursor(request: &PlanRequest) -> AccountCursor {
    if request.recover { AccountCursor::default() } else { cursor(request) }
}

pub(crate) fn write_account_cursor(cursor: &AccountCursor) -> String {
    write(cursor)
}

/// Which question the request at hand asks.
pub(crate) fn question(request: &PlanRequest) -> Question {
    cursor(request)
}

pub(crate) fn write_question(question: Question) -> String {
    write(&question)
}

fn facts(request: &PlanRequest, settings: &Settings) -> HttpRequest {
    match question(request) {
        Question::WhoAmI => get("/users/me", Vec::new()),
        Question::MayReadEvents => {
            // One event of the last hours is enough to know whether they may be read.
            let since = time::format(request.now.saturating_sub(OVERLAP));
            let mut query = vec![pair("since", since), pair("maxCount", 1)];
            managed_plan(&mut query, settings);
            get("/events", query)
        }
    }
}
