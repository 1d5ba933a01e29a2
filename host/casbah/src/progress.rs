//! Progress on stderr: lines that renew themselves on a terminal, a line now and then elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use casbah_connect::fetch::{Event, Observer, Waiting};
use casbah_detect::EvaluatorStatus;
use casbah_model::{ConnectionName, time};
use casbah_store::{Progress, Task};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::{Console, Terminal, counted, printable};

/// Without a terminal, a line at most this often.
const QUIET: Duration = Duration::from_secs(2);

/// A bar for long tasks of the store; it shows itself only on a terminal.
pub(crate) struct StoreBar(ProgressBar);

/// A bar that waits for the first step.
pub(crate) fn of_store() -> StoreBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}")
    {
        bar.set_style(style);
    }
    StoreBar(bar)
}

impl StoreBar {
    /// Shows how far the task is.
    pub(crate) fn step(&self, step: Progress) {
        self.0.set_message(match step.task {
            Task::Rebuild => "building the view again",
            Task::Check => "checking",
            _ => "working",
        });
        self.0.set_length(step.total);
        self.0.set_position(step.done);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A bar that counts activities; it shows itself only on a terminal.
pub(crate) struct ActivityBar(ProgressBar);

/// A bar for something that walks over the log.
pub(crate) fn of_activities(what: &'static str) -> ActivityBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}")
    {
        bar.set_style(style);
    }
    bar.set_message(what);
    ActivityBar(bar)
}

impl ActivityBar {
    /// Shows how far it is.
    pub(crate) fn step(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A line of status for every connection, and one for the evaluation.
#[derive(Clone)]
pub(crate) struct Status {
    shared: Arc<Mutex<Lines>>,
}

struct Lines {
    terminal: bool,
    bars: MultiProgress,
    lines: BTreeMap<String, ProgressBar>,
    activities: BTreeMap<ConnectionName, u64>,
    told: Option<Instant>,
}

impl Status {
    /// No lines yet.
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(Mutex::new(Lines {
                terminal: std::io::stderr().is_terminal(),
                bars: MultiProgress::new(),
                lines: BTreeMap::new(),
                activities: BTreeMap::new(),
                told: None,
            })),
        }
    }

    /// Hears what a fetch does.
    pub(crate) fn observer(&self) -> Observer {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |connection, event| {
            let mut lines = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let stored = lines.activities.entry(connection.clone()).or_default();
            if let Event::Page { activities, .. } = event {
                *stored += activities;
            }
            let stored = *stored;
            if let Some((text, urgent)) = describe(event, stored) {
                lines.show(connection.as_str(), &text, urgent);
            }
        })
    }

    /// Shows that a connection can't be fetched at all.
    pub(crate) fn trouble(&self, connection: &ConnectionName, text: &str) {
        let mut lines = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        lines.show(connection.as_str(), text, true);
    }

    /// Shows how the evaluation does.
    pub(crate) fn evaluation(&self, groups: &[EvaluatorStatus]) {
        let mut lines = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !lines.terminal {
            return;
        }
        for group in groups {
            let text = match (&group.trouble, group.lag_rows) {
                (Some(trouble), _) => format!("in trouble: {trouble}"),
                (None, 0) => format!("{} alerts", group.alerts),
                (None, behind) => format!("{} alerts, {behind} activities to go", group.alerts),
            };
            lines.show(&format!("policies ({})", group.group), &text, false);
        }
    }

    /// Says something beside the lines.
    pub(crate) fn say(&self, text: &str) {
        let mut lines = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !lines.terminal {
            lines.told = Some(Instant::now());
            Terminal.talk(&format!("{text}\n"));
        }
    }

    /// Takes the lines away.
    pub(crate) fn finish(&self) {
        let lines = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = lines.bars.clear();
    }
}

impl Lines {
    fn show(&mut self, name: &str, text: &str, urgent: bool) {
        let text = printable(text);
        if self.terminal {
            let bars = &self.bars;
            let line = self.lines.entry(name.to_owned()).or_insert_with(|| {
                let bar = bars.add(ProgressBar::no_length());
                if let Ok(style) = ProgressStyle::with_template("{prefix:.bold}  {wide_msg}") {
                    bar.set_style(style);
                }
                bar.set_prefix(name.to_owned());
                bar
            });
            line.set_message(text);
        } else if urgent || self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            self.told = Some(Instant::now());
            Terminal.talk(&format!("{name}: {text}\n"));
        }
    }
}

/// What an event means to whoever watches, and whether it must not be left out.
fn describe(event: &Event, stored: u64) -> Option<(String, bool)> {
    let at = |ms: i64| time::format(ms / 1000 * 1000);
    Some(match event {
        Event::Page { newest, caught_up, .. } => {
            let until = newest.map(|newest| format!(", up to {}", at(newest))).unwrap_or_default();
            let state = if *caught_up { "caught up" } else { "fetching" };
            let new = counted(stored, "new activity", "new activities");
            (format!("{state}, {new}{until}"), *caught_up && stored > 0)
        }
        Event::Accounts { named, complete, .. } => {
            let so_far = if *complete { "" } else { " so far" };
            (format!("{}{so_far}", counted(*named, "account", "accounts")), false)
        }
        Event::Waiting { why, until, .. } => match why {
            // Short pauses are the rule and nothing to tell.
            Waiting::News | Waiting::Budget => return None,
            Waiting::Throttle => (format!("the app asks to wait until {}", at(*until)), false),
            Waiting::Failure => (format!("tries again at {}", at(*until)), false),
            Waiting::Administrator => {
                (format!("waits for an administrator, tries again at {}", at(*until)), false)
            }
            _ => return None,
        },
        Event::Trouble { trouble, .. } => {
            let remedy = if trouble.remedy.is_empty() {
                String::new()
            } else {
                format!(" ({})", trouble.remedy)
            };
            (format!("{}: {}{remedy}", trouble.state, trouble.reason), true)
        }
        Event::Recovered { stream } => (format!("{stream}: works again"), true),
        Event::PageSize { size, .. } => (format!("asks for {size} records a page"), false),
        Event::Repositioned { reason, .. } => {
            (format!("starts again with an overlap: {reason}"), true)
        }
        _ => return None,
    })
}
