//! How long a stream waits after a setback, and how large its pages are: plain arithmetic.

use std::time::Duration;

use casbah_model::adapter::{Failure, class};

use super::Waiting;
use crate::connection::State;

/// How long to wait for what. The default is for real apps; tests make it short.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The first wait after a failure is up to this long; every further one up to twice as long.
    pub base: Duration,
    /// No wait after a failure is longer.
    pub cap: Duration,
    /// After *too many requests* without a time to come back.
    pub throttled: Duration,
    /// Between two tries when an administrator has to put something right.
    pub slow: Duration,
    /// Once caught up; what the adapter says when `None`.
    pub interval: Option<Duration>,
    /// No wait that an app or an adapter asks for is longer.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(300),
            throttled: Duration::from_secs(60),
            slow: Duration::from_secs(600),
            interval: None,
            longest: Duration::from_secs(3600),
        }
    }
}

/// Failures in a row after which a passing failure is reported as a fault.
const FAULT: u32 = 5;
/// Answers in a row that make no sense, after which that is reported as a fault.
const NONSENSE: u32 = 3;
/// Good pages in a row after which a halved page size is doubled again.
const GROW: u32 = 10;
/// However often growing was in vain, it is tried again after so many pages.
const LONGEST_GROW: u32 = 640;

/// What to do after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) action: Action,
    /// What to report, if it is time to.
    pub(super) report: Option<State>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Wait, then plan again.
    Pause(Duration, Waiting),
    /// Wait with all streams that share the budget, then plan again.
    Close(Duration),
    /// Plan again from the newest activity, with an overlap.
    Recover,
    /// The stream ends: only an administrator can help.
    End,
}

/// What a stream remembers of its setbacks.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Pace,
    largest: u32,
    smallest: u32,
    size: u32,
    /// Failures since the last page.
    failures: u32,
    /// Pages in a row that came, but that the store refused.
    unstored: u32,
    /// Pages since the size last changed.
    good: u32,
    /// So many good pages let a halved size grow; more with every time that it did not last.
    grow: u32,
    /// Whether the size grew and no page has come since.
    grown: bool,
}

impl Pacer {
    pub(super) fn new(pace: Pace, largest: u32, smallest: u32) -> Self {
        let largest = largest.max(1);
        let smallest = smallest.clamp(1, largest);
        Self {
            pace,
            largest,
            smallest,
            size: largest,
            failures: 0,
            unstored: 0,
            good: 0,
            grow: GROW,
            grown: false,
        }
    }

    /// How many records to ask for.
    pub(super) fn page_size(&self) -> u32 {
        self.size
    }

    /// A page came. Returns the new page size when it changed.
    pub(super) fn page(&mut self) -> Option<u32> {
        self.failures = 0;
        self.good = self.good.saturating_add(1);
        self.grown = false;
        if self.size < self.largest && self.good >= self.grow {
            self.good = 0;
            self.grown = true;
            self.size = self.size.saturating_mul(2).min(self.largest);
            return Some(self.size);
        }
        None
    }

    /// A page is in the store.
    pub(super) fn stored(&mut self) {
        self.unstored = 0;
    }

    /// The store refused a page. That pages come meanwhile is no sign of getting better.
    pub(super) fn not_stored(&mut self, failure: &Failure) -> Step {
        self.failures = self.failures.max(self.unstored);
        self.unstored = self.unstored.saturating_add(1);
        self.failure(failure, false)
    }

    /// Halves the page size. Returns the new one, or `None` when it is the smallest already.
    pub(super) fn halve(&mut self) -> Option<u32> {
        self.good = 0;
        let in_vain = std::mem::take(&mut self.grown);
        if self.size <= self.smallest {
            return None;
        }
        if in_vain {
            self.grow = self.grow.saturating_mul(2).min(LONGEST_GROW);
        }
        self.size = (self.size / 2).max(self.smallest);
        Some(self.size)
    }

    /// No page came. Token failures and sizes are seen to before this is asked.
    pub(super) fn failure(&mut self, failure: &Failure, can_recover: bool) -> Step {
        self.failures = self.failures.saturating_add(1);
        let asked = failure.retry_after.map(|ms| Duration::from_millis(ms).min(self.pace.longest));
        let step = |action, report| Step { action, report };
        match failure.class.as_str() {
            class::RECONNECT => step(Action::End, Some(State::ReconnectNeeded)),
            class::FORBIDDEN => step(self.slowly(), Some(State::Forbidden)),
            class::REFUSED => step(self.slowly(), Some(State::Faulty)),
            class::RATE_LIMITED => {
                let pause = match asked {
                    // A moment more than asked for, and not all at the same moment.
                    Some(asked) => asked + self.pace.base.mul_f64(rand::random_range(0.0..0.25)),
                    None => self.pace.throttled + self.jitter(self.failures),
                };
                step(Action::Close(pause), self.faulty(FAULT))
            }
            class::STALE_CURSOR if can_recover => step(Action::Recover, None),
            class::STALE_CURSOR | class::MALFORMED | class::PLUGIN => {
                step(self.pause(asked), self.faulty(NONSENSE))
            }
            _ => step(self.pause(asked), self.faulty(FAULT)),
        }
    }

    fn slowly(&self) -> Action {
        Action::Pause(self.pace.slow, Waiting::Administrator)
    }

    fn pause(&self, asked: Option<Duration>) -> Action {
        let pause = asked.unwrap_or_default().max(self.jitter(self.failures));
        Action::Pause(pause, Waiting::Failure)
    }

    fn faulty(&self, after: u32) -> Option<State> {
        (self.failures >= after).then_some(State::Faulty)
    }

    /// Full jitter: anything up to the base doubled for every failure before, but not nothing.
    fn jitter(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let most = self.pace.base.saturating_mul(1 << doublings).min(self.pace.cap);
        most.mul_f64(rand::random_range(0.0..1.0)).max(self.pace.base / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failure(class: &str, retry_after: Option<u64>) -> Failure {
        Failure { class: class.to_owned(), retry_after, ..Failure::default() }
    }

    #[test]
    fn each_class_is_carried_out_as_documented() {
        let pacer = || Pacer::new(Pace::default(), 1000, 100);
        let slow = Action::Pause(Duration::from_secs(600), Waiting::Administrator);
        for (class, action, report) in [
            (class::RECONNECT, Action::End, Some(State::ReconnectNeeded)),
            (class::FORBIDDEN, slow.clone(), Some(State::Forbidden)),
            (class::REFUSED, slow, Some(State::Faulty)),
            (class::STALE_CURSOR, Action::Recover, None),
        ] {
            let step = pacer().failure(&failure(class, None), true);
            assert_eq!(step, Step { action, report }, "{class}");
        }
        let step = pacer().failure(&failure(class::STALE_CURSOR, None), false);
        assert!(matches!(step.action, Action::Pause(..)), "a second refusal backs off");
    }

    #[test]
    fn passing_failures_are_reported_only_when_they_go_on() {
        for (class, after) in [
            (class::TRANSIENT, FAULT),
            ("a-class-of-the-future", FAULT),
            (class::MALFORMED, NONSENSE),
            (class::PLUGIN, NONSENSE),
        ] {
            let mut pacer = Pacer::new(Pace::default(), 1000, 100);
            for count in 1..10 {
                let step = pacer.failure(&failure(class, None), true);
                assert_eq!(step.report.is_some(), count >= after, "{class} {count}");
            }
            pacer.page();
            assert_eq!(pacer.failure(&failure(class, None), true).report, None, "{class}");
        }
    }

    #[test]
    fn a_page_size_is_halved_and_grows_back() {
        let mut pacer = Pacer::new(Pace::default(), 1000, 300);
        assert_eq!(pacer.halve(), Some(500));
        assert_eq!(pacer.halve(), Some(300));
        assert_eq!(pacer.halve(), None);
        let grown: Vec<u32> = (0..30).filter_map(|_| pacer.page()).collect();
        assert_eq!(grown, [600, 1000]);
    }

    #[test]
    fn growing_in_vain_makes_it_rarer() {
        let mut pacer = Pacer::new(Pace::default(), 100, 10);
        pacer.halve();
        let mut waited = Vec::new();
        for _ in 0..8 {
            waited.push((1..).find(|_| pacer.page().is_some()).unwrap());
            assert_eq!(pacer.halve(), Some(50), "it did not last");
        }
        assert_eq!(waited, [10, 20, 40, 80, 160, 320, 640, 640]);
    }

    proptest! {
        /// Whatever fails, a wait is never nothing, never above what is allowed, and never shorter
        /// than what the app asked for.
        #[test]
        fn waits_stay_within_their_bounds(
            count in 1usize..60,
            class in proptest::sample::select(vec![class::TRANSIENT, class::RATE_LIMITED, class::MALFORMED]),
            asked in proptest::option::of(0u64..10_000_000),
        ) {
            let pace = Pace::default();
            let mut pacer = Pacer::new(pace.clone(), 1000, 100);
            let mut last = None;
            for _ in 0..count {
                last = Some(pacer.failure(&failure(class, asked), true).action);
            }
            let pause = match last {
                Some(Action::Pause(pause, _) | Action::Close(pause)) => pause,
                other => panic!("{other:?}"),
            };
            let asked = asked.map(|ms| Duration::from_millis(ms).min(pace.longest));
            prop_assert!(pause >= asked.unwrap_or(pace.base / 10).min(pace.base / 10));
            prop_assert!(pause >= asked.unwrap_or_default());
            prop_assert!(pause <= asked.unwrap_or_default().max(pace.throttled) + pace.cap);
        }
    }
}
