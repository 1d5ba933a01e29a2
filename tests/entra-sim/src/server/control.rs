//! `/control/…`: what tests and demos in other processes tell the simulator, and ask it.
//!
//! It is not part of the app. There is no lock on it but loopback.

use std::sync::atomic::Ordering;

use axum::http::Method;
use casbah_sim::{Error, Parameters, lines, lock};
use serde_json::{Value, json};

use super::Shared;
use super::answer::Answer;
use crate::people::Change;

/// Answers a request below `/control/`.
pub(super) fn control(
    shared: &Shared,
    method: &Method,
    path: &str,
    given: &Parameters,
    body: &[u8],
) -> Answer {
    let (get, post) = (method == Method::GET, method == Method::POST);
    let world = &shared.config.world;
    match path {
        "state" if get => state(shared),
        "counters" if get => Answer::of(&shared.counters()),
        "incidents" if get => Answer::of(&world.incidents()),
        "users" if get => Answer::of(&shared.accounts()),
        "changes" if get => changes(shared),
        "changes" if post => answer(change(shared, body)),
        "ids" if get => Answer::of(&world.sign_in_ids(given.get("all").is_some())),
        "tokens" if get => Answer::of(&lock(&shared.book).live(shared.clock.now())),
        "clock" if post => match given.get("advance").and_then(|ms| ms.parse().ok()) {
            Some(ms) => {
                shared.clock.advance(ms);
                answer(Ok(()))
            }
            None => answer(Err(Error::setting("advance is a number of milliseconds"))),
        },
        "faults" if post => answer(lock(&shared.faults).set_lines(body)),
        "faults" if method == Method::DELETE => {
            lock(&shared.faults).clear();
            answer(Ok(()))
        }
        "tokens/kill" if post => {
            lock(&shared.book).kill_all();
            answer(Ok(()))
        }
        "links/expire" if post => {
            shared.generation.fetch_add(1, Ordering::SeqCst);
            answer(Ok(()))
        }
        _ => Answer::html(404, "Not found"),
    }
}

fn answer(done: Result<(), Error>) -> Answer {
    match done {
        Ok(()) => Answer::value(&json!({"message": "done"})),
        Err(error) => Answer::error(400, "BadRequest", &error.to_string()),
    }
}

fn state(shared: &Shared) -> Answer {
    let world = &shared.config.world;
    Answer::value(&json!({
        "company": world.company().name,
        "tenant": world.tenant(),
        "domain": shared.config.domain,
        "people": world.people(),
        "signIns": world.sign_ins(),
        "start": world.company().start(),
        "end": world.company().plan.end,
        "now": shared.clock.now(),
    }))
}

/// Every change, those still to come included.
fn changes(shared: &Shared) -> Answer {
    let directory = lock(&shared.directory);
    let users = &shared.config.world.company().users;
    let list = directory.changes().iter().map(|happened| {
        let person = directory.people.get(happened.person);
        let user = person.and_then(|person| users.get(person.place));
        json!({"what": happened.what.name(), "email": user.map(|user| user.email.as_str()),
            "id": person.map(|person| person.id.as_str()), "time": happened.time, "seen": happened.seen})
    });
    Answer::value(&Value::Array(list.collect()))
}

/// One change a line, as on the command line.
fn change(shared: &Shared, body: &[u8]) -> Result<(), Error> {
    lines::<Change>(body)?.iter().try_for_each(|change| shared.change(change))
}
