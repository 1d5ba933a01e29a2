//! The rate limit: how many requests a budget allows, and when the next may go.
//!
//! Two rules hold together. Requests are *spread*: one every `window / budget`, with a little credit
//! for those that come late, so that an app with any kind of window is content. And the *window* is
//! exact: of the requests that the app may have counted within any `window`, there are never more
//! than the budget. The app counts a request somewhere between its sending and its answer, so a
//! request takes its place from the one to a whole window after the other; a slow network can't
//! squeeze two minutes' worth into one.
//!
//! It is not a retry policy: it knows only the budget and the pauses that the app asked for.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Share of the budget at which requests are spread; the rest is for the catching up.
const SPREAD: f64 = 0.99;
/// Requests that may follow one another at once after a pause.
const CREDIT: u32 = 4;
/// Added to every window, for clocks that run at slightly different speeds.
const MARGIN: Duration = Duration::from_millis(20);

/// A number of requests within a window of time, shared by all who hold it.
pub struct Budget {
    name: String,
    window: Duration,
    /// Held by whoever is next: tokio's mutex is fair, so nobody waits for ever.
    turn: tokio::sync::Mutex<()>,
    freed: Notify,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    requests: u32,
    /// When requests were answered that still count.
    answered: VecDeque<Instant>,
    in_flight: u32,
    /// When the next request would go if all were spread evenly; credit is taken off it.
    due: Instant,
    closed_until: Option<Instant>,
}

impl Budget {
    /// A budget of so many requests in every window. At least one.
    pub fn new(name: impl Into<String>, requests: u32, window: Duration) -> Arc<Self> {
        let mut ledger = Ledger {
            requests: requests.max(1),
            answered: VecDeque::new(),
            in_flight: 0,
            due: Instant::now(),
            closed_until: None,
        };
        // Starts without credit: what an earlier process sent in the last minute is not known.
        ledger.due += ledger.credit(window);
        Arc::new(Self {
            name: name.into(),
            window,
            turn: tokio::sync::Mutex::new(()),
            freed: Notify::new(),
            ledger: Mutex::new(ledger),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the next request could go, as far as is known now; `None` for at once.
    pub fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        match self.ledger().ready(now, self.window) {
            Ready::Now => None,
            Ready::At(at) => Some(at),
            Ready::WhenAnswered => Some(now),
        }
    }

    /// Waits for the turn and takes a place. Everybody gets theirs in the order of asking.
    ///
    /// The place must be kept until the answer has come: drop it then, and not before.
    pub async fn take(self: &Arc<Self>) -> Place {
        let _turn = self.turn.lock().await;
        loop {
            let freed = self.freed.notified();
            let ready = {
                let mut ledger = self.ledger();
                let now = Instant::now();
                let ready = ledger.ready(now, self.window);
                if matches!(ready, Ready::Now) {
                    ledger.send(now, self.window);
                }
                ready
            };
            match ready {
                Ready::Now => return Place { budget: Arc::clone(self) },
                Ready::At(at) => sleep_until(at).await,
                Ready::WhenAnswered => freed.await,
            }
        }
    }

    /// Lets nobody go before `until`: the app asked for a pause.
    pub fn close(&self, until: Instant) {
        let mut ledger = self.ledger();
        if ledger.closed_until.is_none_or(|closed| closed < until) {
            ledger.closed_until = Some(until);
            // No burst after a pause that the app asked for.
            ledger.due = ledger.due.max(until + ledger.credit(self.window));
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({}, {} in {:?})", self.name, self.ledger().requests, self.window)
    }
}

enum Ready {
    Now,
    At(Instant),
    WhenAnswered,
}

impl Ledger {
    fn gap(&self, window: Duration) -> Duration {
        window.div_f64(f64::from(self.requests) * SPREAD)
    }

    fn credit(&self, window: Duration) -> Duration {
        self.gap(window) * CREDIT.min(self.requests / 10)
    }

    fn ready(&mut self, now: Instant, window: Duration) -> Ready {
        let whole = window + MARGIN;
        while self.answered.front().is_some_and(|&at| at + whole <= now) {
            self.answered.pop_front();
        }
        let spread = self.due.checked_sub(self.credit(window)).unwrap_or(now);
        let mut at = self.closed_until.map_or(spread, |closed| closed.max(spread));
        if self.answered.len() + self.in_flight as usize >= self.requests as usize {
            match self.answered.front() {
                Some(&oldest) => at = at.max(oldest + whole),
                None => return Ready::WhenAnswered,
            }
        }
        if at <= now { Ready::Now } else { Ready::At(at) }
    }

    fn send(&mut self, now: Instant, window: Duration) {
        self.in_flight += 1;
        self.due = self.due.max(now) + self.gap(window);
        self.closed_until = None;
    }
}

/// A place in the budget, taken by one request until a window after its answer.
#[derive(Debug)]
#[must_use = "a place is given back when dropped; keep it until the answer has come"]
pub struct Place {
    budget: Arc<Budget>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut ledger = self.budget.ledger();
        ledger.in_flight = ledger.in_flight.saturating_sub(1);
        ledger.answered.push_back(Instant::now());
        drop(ledger);
        self.budget.freed.notify_waiters();
    }
}

/// The budgets in use, by name: connections that name the same one share it.
#[derive(Debug, Default)]
pub struct Budgets {
    by_name: Mutex<HashMap<String, Arc<Budget>>>,
}

impl Budgets {
    /// The budget of that name. When it is in use with another number of requests, the lower holds.
    pub fn get(&self, name: &str, requests: u32, window: Duration) -> Arc<Budget> {
        let mut budgets = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let budget =
            budgets.entry(name.to_owned()).or_insert_with(|| Budget::new(name, requests, window));
        let mut ledger = budget.ledger();
        ledger.requests = ledger.requests.min(requests.max(1));
        drop(ledger);
        Arc::clone(budget)
    }
}

#[cfg(test)]
mod tests;
