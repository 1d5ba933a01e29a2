//! `/control/…`: what tests in other processes tell the simulator, and ask it.
//!
//! It is not part of the app. There is no lock on it but loopback.

use axum::http::Method;
use casbah_sim::{Parameters, lock};
use serde_json::{Value, json};

use super::Shared;
use super::answer::Answer;
use crate::render::Form;

/// Answers a request below `/control/`.
pub(super) fn control(
    shared: &Shared,
    method: &Method,
    path: &str,
    given: &Parameters,
    body: &[u8],
) -> Answer {
    let (get, post) = (method == Method::GET, method == Method::POST);
    let done = || Answer::value(&json!({"message": "done"}));
    match path {
        "state" if get => state(shared),
        "counters" if get => Answer::of(&shared.counters()),
        "incidents" if get => Answer::of(&shared.config.world.incidents()),
        "users" if get => users(shared),
        "tokens" if get => {
            Answer::of(&lock(&shared.book).live(&shared.config.sign_in, shared.clock.now()))
        }
        "clock" if post => match given.get("advance").and_then(|ms| ms.parse().ok()) {
            Some(ms) => {
                shared.clock.advance(ms);
                done()
            }
            None => wrong("advance is a number of milliseconds"),
        },
        "faults" if post => set_faults(shared, body),
        "faults" if method == Method::DELETE => {
            lock(&shared.faults).clear();
            done()
        }
        "tokens/kill" if post => {
            lock(&shared.book).kill_all();
            done()
        }
        "grants/kill" if post => {
            lock(&shared.book).kill_grants();
            done()
        }
        _ => Answer::html(404, "Not found"),
    }
}

fn wrong(message: &str) -> Answer {
    Answer::error(400, "BadRequest", message, Form::Json)
}

fn state(shared: &Shared) -> Answer {
    let world = &shared.config.world;
    Answer::value(&json!({
        "total": world.len(),
        "company": world.company().name,
        "domain": world.company().domain,
        "repository": world.repository(),
        "start": world.company().start(),
        "end": world.company().plan.end,
        "now": shared.clock.now(),
    }))
}

fn users(shared: &Shared) -> Answer {
    let users: Vec<Value> = shared
        .config
        .world
        .company()
        .users
        .iter()
        .map(|user| {
            json!({"email": user.email, "role": format!("{:?}", user.role), "admin": user.admin(),
                "internal": user.internal(), "status": user.status})
        })
        .collect();
    Answer::value(&Value::Array(users))
}

/// One fault a line, as on the command line.
fn set_faults(shared: &Shared, body: &[u8]) -> Answer {
    match lock(&shared.faults).set_lines(body) {
        Ok(()) => Answer::value(&json!({"message": "done"})),
        Err(error) => wrong(&error.to_string()),
    }
}
