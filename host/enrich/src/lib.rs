//! What is known of an address and of a client, filled into the columns of a batch.
//!
//! Once, before an activity is stored: the log is the truth, and a replay must find the same. Places
//! and networks come from databases in MaxMind's format, categories and overrides from the
//! organization's own `ip-ranges.yaml`, tags from lists that others keep ([`EnrichSettings`]); clients
//! are taken apart by what they say of themselves. Whatever is not known stays absent.
//!
//! It is not: a downloader (the operator decides which data, and under which licence), a detection,
//! or the place where people are known (that is the directory, in `casbah-connect`). It reads no
//! clock.

mod address;
mod agent;
mod cache;
mod columns;
mod error;
mod facts;
mod file;
mod geo;
mod list;
mod ranges;
mod releases;
mod settings;
mod sources;
mod status;
mod table;
mod words;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use casbah_model::Batch;

pub use address::{Range, parse_address};
pub use error::{EnrichErrors, EnrichProblem, EnrichProblemKind};
pub use facts::{Fact, Facts};
pub use ranges::CATEGORIES;
pub use settings::{EnrichSettings, ListSettings};
pub use status::{EnrichStatus, OLD_DAYS, SourceStatus};

use cache::Cache;
use sources::Sources;

/// Fills in what is known of addresses and clients. Shared by all who fetch.
#[derive(Debug)]
pub struct Enricher {
    settings: EnrichSettings,
    state: Mutex<State>,
}

/// What is loaded, and what was found in it so far.
#[derive(Clone, Debug)]
struct State {
    sources: Arc<Sources>,
    cache: Arc<Mutex<Cache>>,
}

impl State {
    fn new(sources: Sources) -> Self {
        Self { sources: Arc::new(sources), cache: Arc::default() }
    }
}

impl Enricher {
    /// Opens everything that the settings name, and checks all of it.
    ///
    /// # Errors
    /// Everything that is wrong with any of the files.
    pub fn open(settings: &EnrichSettings) -> Result<Self, EnrichErrors> {
        let sources = Sources::open(settings)?;
        Ok(Self { settings: settings.clone(), state: Mutex::new(State::new(sources)) })
    }

    /// One without any files: only clients are known.
    #[must_use]
    pub fn none() -> Self {
        let settings = EnrichSettings::default();
        Self { settings, state: Mutex::new(State::new(Sources::none())) }
    }

    /// Fills the columns of a batch that nobody has filled yet; what an app says itself stays, except
    /// where the organization's own ranges say otherwise.
    ///
    /// Fills `ip.category`, `ip.tags`, `ip.lists`, `country`, `region`, `city`, `latitude`,
    /// `longitude`, `accuracy`, `network.number`, `network.owner` from `ip`, and `user-agent.family`,
    /// `.kind`, `.system` and `.tags` from `user-agent` and `time`.
    pub fn enrich(&self, batch: &mut Batch) {
        let state = self.state().clone();
        let mut cache = state.cache.lock().unwrap_or_else(PoisonError::into_inner);
        columns::fill(batch, &state.sources, &mut cache);
    }

    /// What is known of an address, each fact with where it is from; `None` when it is no address.
    pub fn look_up(&self, address: &str) -> Option<Facts> {
        let address = parse_address(address)?;
        let sources = Arc::clone(&self.state().sources);
        Some(facts::address(&sources, address))
    }

    /// What is known of a client at a time (ms since 1970), each fact with where it is from.
    pub fn look_up_agent(&self, agent: &str, time: i64) -> Facts {
        let sources = Arc::clone(&self.state().sources);
        facts::agent(&sources, agent, time)
    }

    /// What is loaded, how old it is at `now` (ms since 1970), and what is wrong with it.
    pub fn status(&self, now: i64) -> EnrichStatus {
        let sources = Arc::clone(&self.state().sources);
        status::of(&sources, now)
    }

    /// Reads the files that changed, checks them, and only then lets them replace what is in use.
    /// Returns whether anything new is in use.
    ///
    /// # Errors
    /// Everything that is wrong with changed files. Those change nothing: what was read of them before
    /// stays in use, while the others are replaced. Each broken file is reported once, and shown by
    /// [`status`](Self::status) until it is whole again.
    pub fn reload_changed(&self) -> Result<bool, EnrichErrors> {
        let before = Arc::clone(&self.state().sources);
        let (next, problems) = before.refreshed(&self.settings);
        let changed = next.is_some();
        if let Some(next) = next {
            let mut state = self.state();
            // Whoever reloaded meanwhile looked at the same files.
            if Arc::ptr_eq(&state.sources, &before) {
                *state = State::new(next);
            }
        }
        match EnrichErrors::of(problems) {
            Some(errors) => Err(errors),
            None => Ok(changed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Enricher {
    fn default() -> Self {
        Self::none()
    }
}

/// Checks a file of ranges; returns how many ranges and subnets there are.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check_ranges(file: &Path) -> Result<(usize, usize), EnrichErrors> {
    ranges::Ranges::open(file).map(|ranges| ranges.len())
}
