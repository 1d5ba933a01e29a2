//! `/control/…`: what tests in other processes tell the simulator, and ask it.
//!
//! It is not part of the app. There is no lock on it but loopback.

use axum::http::Method;
use casbah_sim::{Parameters, When, lock};
use serde_json::{Value, json};

use super::Shared;
use super::answer::Answer;
use super::oauth::Book;

/// Answers a request below `/control/`.
pub(super) fn control(
    shared: &Shared,
    method: &Method,
    path: &str,
    given: &Parameters,
    body: &[u8],
) -> Answer {
    let get = method == Method::GET;
    let post = method == Method::POST;
    match path {
        "state" if get => state(shared),
        "counters" if get => value(&shared.counters()),
        "usage" if get => {
            let limiter = lock(&shared.limiter);
            Answer::value(&json!({"usage": limiter.usage(), "elapsedMs": limiter.elapsed_ms()}))
        }
        "incidents" if get => value(&shared.config.world.incidents()),
        "users" if get => users(shared),
        "ids" if get => ids(shared),
        "tokens" if get => value(&lock(&shared.book).live()),
        "release" if post => release(shared, given, body),
        "faults" if post => set_faults(shared, body),
        "faults" if method == Method::DELETE => {
            lock(&shared.faults).clear();
            Answer::success()
        }
        "tokens/expire" if post => tokens(shared, Book::expire_all),
        "tokens/kill" if post => tokens(shared, Book::kill_all),
        "grants/kill" if post => tokens(shared, Book::kill_grants),
        _ => Answer::error(404, 1006, "Not Found"),
    }
}

fn tokens(shared: &Shared, change: fn(&mut Book)) -> Answer {
    change(&mut lock(&shared.book));
    Answer::success()
}

fn value(of: &impl serde::Serialize) -> Answer {
    match serde_json::to_string(of) {
        Ok(text) => Answer::json(text),
        Err(error) => Answer::error(500, 4000, &error.to_string()),
    }
}

fn state(shared: &Shared) -> Answer {
    let faults: Vec<Value> = lock(&shared.faults)
        .settings()
        .map(|setting| {
            let when = match setting.when {
                When::Chance(chance) => json!({"chance": chance}),
                When::Next(count) => json!({"next": count}),
            };
            json!({"name": setting.fault.name(), "when": when, "value": setting.value})
        })
        .collect();
    let world = &shared.config.world;
    let released = shared.released();
    Answer::value(&json!({
        "released": released,
        "total": world.len(),
        "faults": faults,
        "company": world.company().name,
        "domain": world.company().domain,
        "start": world.company().start(),
        "end": world.company().plan.end,
    }))
}

/// The ids of all events that have appeared, one a line, in the order of the stream.
fn ids(shared: &Shared) -> Answer {
    let mut out = String::new();
    for at in 0..shared.released() {
        if let Some(id) = shared.config.world.event_id(at) {
            out.push_str(&id);
            out.push('\n');
        }
    }
    Answer::plain(out)
}

fn users(shared: &Shared) -> Answer {
    let users: Vec<Value> = shared
        .config
        .world
        .company()
        .users
        .iter()
        .map(|user| {
            json!({"id": user.id, "email": user.email, "role": format!("{:?}", user.role),
                "admin": user.admin(), "internal": user.internal(), "listed": user.listed,
                "status": user.status})
        })
        .collect();
    Answer::value(&Value::Array(users))
}

/// `count=N` or `count=all`, in the query or a form.
fn release(shared: &Shared, given: &Parameters, body: &[u8]) -> Answer {
    let given = given.clone().and(Parameters::read(body));
    let count = match given.get("count") {
        Some("all") => Some(usize::MAX),
        Some(text) => text.parse().ok(),
        None => None,
    };
    match count {
        Some(count) => Answer::value(&json!({"released": shared.release(count)})),
        None => Answer::error(400, 1018, "count is a number or all"),
    }
}

/// One fault a line, as on the command line.
fn set_faults(shared: &Shared, body: &[u8]) -> Answer {
    match lock(&shared.faults).set_lines(body) {
        Ok(()) => Answer::success(),
        Err(error) => Answer::error(400, 1018, &error.to_string()),
    }
}
