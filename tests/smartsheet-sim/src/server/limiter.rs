//! The rate limit that the server enforces, and what was used of it.
//!
//! It is the app's side: the client's own limiter is what it tests.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde::Serialize;

/// How requests are counted against the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Never more than the limit in any window, wherever it begins.
    Sliding,
    /// Windows one after the other, from the first request on.
    Fixed,
}

/// A rate limit.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Requests in a window; 0 is no limit.
    pub limit: u32,
    /// How long a window is.
    pub window: Duration,
    /// How they are counted.
    pub counting: Counting,
    /// One budget for all tokens together, instead of one for each.
    pub shared: bool,
    /// Whether a refusal says after how many seconds to come again.
    pub retry_after: bool,
}

impl Default for Rate {
    /// 300 a minute and access token, sliding, without a hint: as far as is known of the app.
    fn default() -> Self {
        Self {
            limit: 300,
            window: Duration::from_secs(60),
            counting: Counting::Sliding,
            shared: false,
            retry_after: false,
        }
    }
}

/// What was used of the limit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Usage {
    /// Requests in a window.
    pub limit: u32,
    /// Length of a window in milliseconds.
    pub window_ms: u64,
    /// Requests that were let through.
    pub admitted: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// The most that were let through in any window, wherever it begins.
    pub peak: u32,
    /// When each of the last 100,000 requests was let through: milliseconds since the server began.
    pub admitted_at_ms: Vec<u64>,
}

impl Usage {
    /// The part of the budget that was used between two times in milliseconds since the server
    /// began: requests let through over those that the limit allows.
    pub fn used(&self, from_ms: u64, to_ms: u64) -> f64 {
        let count = self.admitted_at_ms.iter().filter(|at| (from_ms..to_ms).contains(at)).count();
        let windows = to_ms.saturating_sub(from_ms) as f64 / self.window_ms.max(1) as f64;
        count as f64 / (f64::from(self.limit) * windows).max(f64::MIN_POSITIVE)
    }
}

#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Rate,
    began: Instant,
    /// Times of the requests of the running window, by budget.
    recent: HashMap<String, VecDeque<Instant>>,
    /// All requests of the last window, whoever sent them: for the peak.
    all: VecDeque<Instant>,
    usage: Usage,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        let usage = Usage {
            limit: rate.limit,
            window_ms: rate.window.as_millis() as u64,
            ..Usage::default()
        };
        Self { rate, began: Instant::now(), recent: HashMap::new(), all: VecDeque::new(), usage }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    pub(crate) fn set(&mut self, rate: Rate) {
        self.usage.limit = rate.limit;
        self.usage.window_ms = rate.window.as_millis() as u64;
        self.rate = rate;
        self.recent.clear();
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage.clone()
    }

    /// Lets a request through, or says how long it would have to wait.
    pub(crate) fn admit(&mut self, token: &str, now: Instant) -> Result<(), Duration> {
        let rate = self.rate;
        let budget = if rate.shared { "" } else { token };
        if !self.recent.contains_key(budget) {
            self.recent.insert(budget.to_owned(), VecDeque::new());
        }
        if rate.limit > 0
            && let Some(recent) = self.recent.get_mut(budget)
        {
            forget(recent, rate, now);
            if recent.len() >= rate.limit as usize {
                self.usage.refused += 1;
                let first = recent.front().copied().unwrap_or(now);
                return Err(rate.window.saturating_sub(now.duration_since(first)));
            }
            recent.push_back(now);
        }
        self.note(now);
        Ok(())
    }

    fn note(&mut self, now: Instant) {
        while self.all.front().is_some_and(|at| now.duration_since(*at) >= self.rate.window) {
            self.all.pop_front();
        }
        self.all.push_back(now);
        self.usage.admitted += 1;
        self.usage.peak = self.usage.peak.max(self.all.len() as u32);
        if self.usage.admitted_at_ms.len() < 100_000 {
            self.usage.admitted_at_ms.push(now.duration_since(self.began).as_millis() as u64);
        }
    }
}

/// Forgets the requests of windows that are over.
fn forget(recent: &mut VecDeque<Instant>, rate: Rate, now: Instant) {
    let over = |at: &Instant| now.duration_since(*at) >= rate.window;
    match rate.counting {
        Counting::Sliding => {
            while recent.front().is_some_and(over) {
                recent.pop_front();
            }
        }
        Counting::Fixed if recent.front().is_some_and(over) => recent.clear(),
        Counting::Fixed => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(rate: Rate, at_ms: &[u64]) -> Vec<bool> {
        let mut limiter = Limiter::new(rate);
        let began = Instant::now();
        let at = |ms: &u64| limiter.admit("t", began + Duration::from_millis(*ms)).is_ok();
        at_ms.iter().map(at).collect()
    }

    #[test]
    fn sliding_and_fixed_windows_differ_where_they_should() {
        let rate = Rate { limit: 2, window: Duration::from_secs(1), ..Rate::default() };
        let times = [0, 900, 950, 1_000, 1_100, 1_950];
        assert_eq!(admitted(rate, &times), [true, true, false, true, false, true]);
        let fixed = Rate { counting: Counting::Fixed, ..rate };
        assert_eq!(admitted(fixed, &times), [true, true, false, true, true, false]);
    }

    #[test]
    fn tokens_have_budgets_of_their_own_unless_shared() {
        let rate = Rate { limit: 1, ..Rate::default() };
        let now = Instant::now();
        let mut own = Limiter::new(rate);
        assert!(own.admit("a", now).is_ok() && own.admit("b", now).is_ok());
        let mut shared = Limiter::new(Rate { shared: true, ..rate });
        assert!(shared.admit("a", now).is_ok());
        assert_eq!(shared.admit("b", now), Err(Duration::from_secs(60)));
        assert_eq!((shared.usage().admitted, shared.usage().refused), (1, 1));
    }
}
