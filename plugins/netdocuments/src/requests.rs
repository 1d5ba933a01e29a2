//! Plans requests, and carries the place of every stream from one page to the next.
//!
//! A log has neither pages nor positions, so it is read in windows of time. They touch by a second;
//! once the present is reached, reading steps back a quarter of an hour, for what may have come late.
//! A window grows while little comes and shrinks when much does. The host halves its page size after
//! time-outs and huge bodies: the window shrinks in the same measure, so that the very next request
//! is for half of what was too much.

use casbah_plugin::answer::{header, http_date};
use casbah_plugin::{Batch, Failure, HttpRequest, Next, PlanRequest, Response, class, time};
use serde::{Deserialize, Serialize};

use crate::describe::RETENTION_DAYS;
use crate::failure;
use crate::settings::Settings;

/// The streams.
pub(crate) mod stream {
    pub(crate) const ACCOUNTS: &str = "accounts";
    pub(crate) const ACTIVITIES: &str = "activities";
    pub(crate) const ADMINISTRATION: &str = "administration";
    pub(crate) const FACTS: &str = "facts";
}

const SECOND: i64 = 1000;
const DAY: i64 = 86_400 * SECOND;

/// The longest window, seconds: a week.
pub(crate) const LONGEST_WINDOW: u32 = 7 * 86_400;
/// The shortest window, seconds.
pub(crate) const SHORTEST_WINDOW: u32 = 60;
/// The first window, seconds.
const FIRST_WINDOW: u32 = 3600;

/// How far reading steps back from the present.
const OVERLAP: i64 = 15 * 60 * SECOND;
/// Whether the ends of a window count is not documented.
const TOUCH: i64 = SECOND;
/// How far an answer may lie outside of its window: the app may take whole days for times, and its
/// times have no zone. Farther off, it did not heed the window.
const TOLERANCE: i64 = 36 * 3600 * SECOND;
/// Distance kept from the end of retention, which the app measures by its own clock.
const MARGIN: i64 = 3600 * SECOND;

/// Fewer activities than this, and the window grows.
const QUIET: usize = 5_000;
/// More activities than this, or more bytes, and it shrinks.
const BUSY: usize = 25_000;
const BIG: usize = 16 << 20;
/// More activities than this are refused as too many, and asked for in parts: they have to fit into
/// memory several times over, and the host takes no more than 100,000 at once.
pub(crate) const MOST: usize = 60_000;

/// So long without a single activity, and something is wrong with the connection.
const SILENCE: i64 = 7 * DAY;

/// Where a log stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct LogCursor {
    /// Start of the next window, ms since 1970.
    at: Option<i64>,
    /// Length of the next window, seconds.
    window: Option<u32>,
    /// Where reading began, ms since 1970; none once an activity was seen.
    silent_since: Option<i64>,
    /// Whether an activity was ever seen.
    seen: bool,
}

/// What is asked of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    start: i64,
    end: i64,
}

/// Which question about the connection comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Question {
    #[default]
    WhoAmI,
    Users,
    LastDay,
    LastWeek,
    LastMonth,
}

impl Question {
    /// How many days of the log are asked for.
    fn days(self) -> i64 {
        match self {
            Self::LastMonth => 30,
            Self::LastWeek => 7,
            _ => 1,
        }
    }
}

/// Whether a stream is one of the two logs.
pub(crate) fn is_log(stream: &str) -> bool {
    matches!(stream, stream::ACTIVITIES | stream::ADMINISTRATION)
}

/// The next request of a stream.
///
/// # Errors
/// `refused` for a stream that is not ours, or settings without a repository.
pub(crate) fn plan(request: &PlanRequest, settings: &Settings) -> Result<HttpRequest, Failure> {
    let repository = settings.repository()?;
    match request.stream.as_str() {
        stream::ACTIVITIES => Ok(log(repository, "consolidated", window(request))),
        stream::ADMINISTRATION => Ok(log(repository, "admin", window(request))),
        stream::ACCOUNTS => Ok(users(repository)),
        stream::FACTS => Ok(match question(request) {
            Question::WhoAmI => get("/v1/User/info".to_owned(), Vec::new()),
            Question::Users => users(repository),
            days => log(
                repository,
                "consolidated",
                Window { start: request.now.saturating_sub(days.days() * DAY), end: request.now },
            ),
        }),
        other => Err(Failure {
            class: class::REFUSED.to_owned(),
            message: format!(
                "there is no stream `{}`; this adapter has accounts, activities, administration and \
                 facts",
                other.chars().take(64).collect::<String>()
            ),
            ..Failure::default()
        }),
    }
}

fn get(path: String, query: Vec<(String, String)>) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        host: "api".to_owned(),
        path,
        query,
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: Vec::new(),
    }
}

fn users(repository: &str) -> HttpRequest {
    get(format!("/v1/Repository/{repository}/users"), Vec::new())
}

fn log(repository: &str, kind: &str, window: Window) -> HttpRequest {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    get(
        format!("/v1/Repository/{repository}/log"),
        vec![
            pair("Logtype", kind.to_owned()),
            pair("format", "json".to_owned()),
            pair("start", time::format(whole(window.start))),
            pair("end", time::format(whole(window.end))),
        ],
    )
}

/// Times have no fractions on the wire.
fn whole(ms: i64) -> i64 {
    ms - ms.rem_euclid(SECOND)
}

/// Reads a cursor of ours; one that can't be read counts as none, and reading starts again.
fn cursor<T: Default + for<'de> Deserialize<'de>>(request: &PlanRequest) -> T {
    serde_json::from_str(request.cursor.as_deref().unwrap_or_default()).unwrap_or_default()
}

fn write(cursor: &impl Serialize) -> String {
    // Our cursors are plain: writing them can't fail.
    serde_json::to_string(cursor).unwrap_or_default()
}

/// Where the log stands that the request at hand belongs to, with its start known.
fn log_cursor(request: &PlanRequest) -> (LogCursor, i64) {
    let mut cursor: LogCursor = cursor(request);
    if request.recover || cursor.at.is_none() {
        cursor.at =
            request.newest.map(|newest| newest.saturating_sub(OVERLAP)).or(Some(request.since));
    }
    let wanted = whole(cursor.at.unwrap_or(request.since).min(request.now));
    (cursor, wanted)
}

/// The earliest time that may be asked for.
fn earliest(request: &PlanRequest) -> i64 {
    whole(request.now.saturating_sub(i64::from(RETENTION_DAYS) * DAY - MARGIN))
}

/// The length of the window, seconds: the cursor's, in the measure that the host's page size has to
/// the longest window.
fn seconds(cursor: &LogCursor, request: &PlanRequest) -> u32 {
    let wanted = cursor.window.unwrap_or(FIRST_WINDOW).min(LONGEST_WINDOW);
    let measured = u64::from(wanted) * u64::from(request.page_size) / u64::from(LONGEST_WINDOW);
    u32::try_from(measured).unwrap_or(LONGEST_WINDOW).clamp(SHORTEST_WINDOW, LONGEST_WINDOW)
}

/// The length that a cursor keeps for a window of so many seconds: [`seconds`] backwards.
fn kept(seconds: u32, request: &PlanRequest) -> u32 {
    let size = u64::from(request.page_size.max(1));
    let whole = (u64::from(seconds) * u64::from(LONGEST_WINDOW)).div_ceil(size);
    u32::try_from(whole).unwrap_or(LONGEST_WINDOW).clamp(SHORTEST_WINDOW, LONGEST_WINDOW)
}

/// The window of the request at hand. The same for planning it and for reading its answer.
fn window(request: &PlanRequest) -> Window {
    let (cursor, wanted) = log_cursor(request);
    // A window of no length would be an error, and none may reach into the future.
    let latest = whole(request.now).saturating_sub(i64::from(SHORTEST_WINDOW) * SECOND);
    let start = wanted.max(earliest(request)).min(latest);
    let end = start.saturating_add(i64::from(seconds(&cursor, request)) * SECOND);
    // The present second may not be over: the next window has it again.
    Window { start, end: end.min(whole(request.now)).max(start) }
}

/// Where to go on after a window, and when.
///
/// # Errors
/// `malformed` when the answer is not about that window, `forbidden` when nothing ever came.
pub(crate) fn after_log(response: &Response, batch: &Batch) -> Result<(String, Next), Failure> {
    let request = &response.request;
    let window = window(request);
    check(&window, batch)?;
    let (mut cursor, wanted) = log_cursor(request);
    if wanted < window.start {
        casbah_plugin::log(&format!(
            "activities from {} to {} are lost: NetDocuments keeps them for {RETENTION_DAYS} days",
            time::format(wanted),
            time::format(window.start)
        ));
    }
    let caught_up = window.end >= whole(request.now);
    cursor.seen |= !batch.is_empty();
    let began = *cursor.silent_since.get_or_insert(window.start);
    if cursor.seen {
        cursor.silent_since = None;
    } else if caught_up
        && request.stream == stream::ACTIVITIES
        && window.end.saturating_sub(began) >= SILENCE
    {
        return Err(failure::empty(&format!(
            "its log has been empty since {}",
            time::format(began)
        )));
    }
    let asked = seconds(&cursor, request);
    let next = if batch.len() > BUSY || response.body.len() > BIG {
        asked / 2
    } else if batch.len() < QUIET && response.body.len() < BIG / 4 {
        asked.saturating_mul(2)
    } else {
        asked
    };
    cursor.window = Some(kept(next, request));
    cursor.at = Some(if caught_up {
        // By the app's clock where it is behind ours: what it has not logged yet is still to come.
        let there = header(response, "date").and_then(http_date);
        there.unwrap_or(window.end).min(window.end).saturating_sub(OVERLAP)
    } else {
        window.end.saturating_sub(TOUCH)
    });
    Ok((write(&cursor), if caught_up { Next::CaughtUp } else { Next::More }))
}

/// Whether an answer is about its window. A misspelt or ignored parameter gives the last thirty days.
fn check(window: &Window, batch: &Batch) -> Result<(), Failure> {
    let times = batch.integers("time").unwrap_or_default();
    let known = || {
        times.iter().copied().filter(|&time| time != casbah_plugin::model::table::ABSENT_INTEGER)
    };
    let (Some(first), Some(last)) = (known().min(), known().max()) else { return Ok(()) };
    if first >= window.start.saturating_sub(TOLERANCE)
        && last <= window.end.saturating_add(TOLERANCE)
    {
        return Ok(());
    }
    Err(failure::elsewhere(format!(
        "NetDocuments was asked for {} to {}, and answered with activities from {} to {}",
        time::format(window.start),
        time::format(window.end),
        time::format(first),
        time::format(last)
    )))
}

/// Which question the request at hand asks.
pub(crate) fn question(request: &PlanRequest) -> Question {
    cursor(request)
}

pub(crate) fn write_question(question: Question) -> String {
    write(&question)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_retention_is_not_asked_for() {
        let now = 1_795_170_600_000;
        let request = PlanRequest {
            stream: stream::ACTIVITIES.to_owned(),
            now,
            since: now - 200 * DAY,
            page_size: LONGEST_WINDOW,
            ..PlanRequest::default()
        };
        let window = window(&request);
        assert_eq!(window.start, now - 90 * DAY + MARGIN);
        assert_eq!(window.end - window.start, i64::from(FIRST_WINDOW) * SECOND);
    }

    #[test]
    fn a_future_position_is_brought_back() {
        let request = PlanRequest {
            cursor: Some(r#"{"at": 99999999999999}"#.to_owned()),
            now: 1_795_170_600_500,
            ..PlanRequest::default()
        };
        let window = window(&request);
        assert_eq!((window.start, window.end), (1_795_170_540_000, 1_795_170_600_000));
    }
}
