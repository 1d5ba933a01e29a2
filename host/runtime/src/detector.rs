//! Detectors behind a sandbox.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use casbah_model::detector::{Detector, DetectorDescription};
use casbah_model::{Batch, DetectorError, Outcome, Problem, StateKey};

use crate::clean;
use crate::engine::Engine;
use crate::error::{RuntimeError, RuntimeErrorKind as Kind};
use crate::inspect::PluginKind;
use crate::limits::Limits;
use crate::returned::{self, Asked};
use crate::sandbox::{Function, PluginInfo, Running, Sandbox, count};
use crate::wire::{BatchIn, BlobsIn, OutcomeOut, ProblemOut, StateKeysOut};

/// Bytes of a description.
pub(crate) const DESCRIPTION: usize = 1 << 20;
/// Columns or nested tables that a description may name.
const NAMES: usize = 1000;

/// A detector that has been loaded. Clones are the same detector.
#[derive(Clone)]
pub struct DetectorPlugin {
    shared: Arc<Shared>,
}

struct Shared {
    sandbox: Sandbox,
    configure: Function,
    begin: Function,
    finish: Function,
    description: DetectorDescription,
    info: PluginInfo,
}

impl fmt::Debug for DetectorPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetectorPlugin").field("info", &self.shared.info).finish_non_exhaustive()
    }
}

impl DetectorPlugin {
    /// Loads a detector. `label` names it in every message: its file, or its name in the bundle.
    ///
    /// # Errors
    /// When the bytes are not a detector that this host serves, import what they may not, can't be
    /// compiled, or do not describe themselves.
    pub fn load(
        engine: &Engine,
        label: &str,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Self, RuntimeError> {
        let started = Instant::now();
        let (sandbox, mut info) =
            Sandbox::load(engine, label, bytes, limits, PluginKind::Detector)?;
        let describe = sandbox.function("describe")?;
        let configure = sandbox.function("configure")?;
        let begin = sandbox.function("begin")?;
        let finish = sandbox.function("finish")?;
        let mut running = sandbox.start()?;
        running.check::<(&[String],), Result<(), Vec<ProblemOut>>>(&configure)?;
        running.check::<(BatchIn<'_>,), Result<StateKeysOut, String>>(&begin)?;
        running.check::<(BlobsIn<'_>,), Result<OutcomeOut, String>>(&finish)?;
        let text: String = running.call(&describe, ())?;
        drop(running);
        let description = describe_detector(label, &text)?;
        info.name.clone_from(&description.name);
        info.version.clone_from(&description.version);
        info.load_time = started.elapsed();
        let shared = Shared { sandbox, configure, begin, finish, description, info };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What is known about the plugin.
    pub fn info(&self) -> &PluginInfo {
        &self.shared.info
    }

    /// What the detector says about itself.
    pub fn description(&self) -> &DetectorDescription {
        &self.shared.description
    }

    /// Gives the detector the settings of its policies, each a JSON text.
    ///
    /// # Errors
    /// What the detector finds wrong with them, or the failure of the plugin itself.
    pub fn configure(&self, policies: Vec<String>) -> Result<ConfiguredDetector, ConfigureError> {
        let description = self.shared.description.narrowed(&policies);
        let configured = ConfiguredDetector { plugin: self.clone(), policies, description };
        let mut running = self.shared.sandbox.start().map_err(ConfigureError::Runtime)?;
        match configured.settings(&mut running).map_err(ConfigureError::Runtime)? {
            Ok(()) => Ok(configured),
            Err(problems) => {
                let policies = configured.policies.len();
                let problems = returned::problems(&self.shared.sandbox, policies, problems)
                    .map_err(ConfigureError::Runtime)?;
                Err(ConfigureError::Problems(problems))
            }
        }
    }
}

/// Why a detector could not be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigureError {
    /// The plugin failed.
    Runtime(RuntimeError),
    /// The settings of some policies are wrong; at least one problem.
    Problems(Vec<Problem>),
}

impl fmt::Display for ConfigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => error.fmt(f),
            Self::Problems(problems) => {
                for (index, problem) in problems.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "\n" };
                    write!(f, "{separator}policy {} {problem}", problem.policy)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigureError {}

/// A detector with its settings, ready for batches.
#[derive(Clone, Debug)]
pub struct ConfiguredDetector {
    plugin: DetectorPlugin,
    // Settings are given to every fresh instance. A snapshot of a configured instance would stand
    // here beside them, and `ready` would start from it.
    policies: Vec<String>,
    // As far as these policies need it.
    description: DetectorDescription,
}

impl ConfiguredDetector {
    /// The plugin behind it.
    pub fn plugin(&self) -> &DetectorPlugin {
        &self.plugin
    }

    /// As [`Detector::evaluate`], but with the kind of the error.
    ///
    /// # Errors
    /// When the plugin failed; nothing has happened then.
    pub fn evaluate_batch(
        &self,
        batch: &Batch,
        load: &mut dyn FnMut(&[StateKey]) -> Vec<Vec<u8>>,
    ) -> Result<(Vec<StateKey>, Outcome), RuntimeError> {
        let Shared { sandbox, begin, finish, .. } = &*self.plugin.shared;
        let description = &self.description;
        let policies = self.policies.len();
        let mut running = self.ready()?;
        let projected = BatchIn::project(batch, &description.columns, &description.nested);
        let keys: Result<StateKeysOut, String> = running.call(begin, (projected,))?;
        let keys = keys.map_err(|message| self.gave_up("begin", &message))?;
        let keys = returned::state_keys(sandbox, policies, keys)?;
        let states = if keys.is_empty() { Vec::new() } else { load(&keys) };
        let (bytes, ends) = self.pack(&keys, &states)?;
        let blobs = BlobsIn { bytes: &bytes, ends: &ends };
        let outcome: Result<OutcomeOut, String> = running.call(finish, (blobs,))?;
        let outcome = outcome.map_err(|message| self.gave_up("finish", &message))?;
        let asked = Asked::new(batch, policies, keys.len());
        let outcome = returned::outcome(sandbox, &asked, outcome)?;
        Ok((keys, outcome))
    }

    /// A fresh instance that has its settings.
    fn ready(&self) -> Result<Running<'_>, RuntimeError> {
        let mut running = self.plugin.shared.sandbox.start()?;
        match self.settings(&mut running)? {
            Ok(()) => Ok(running),
            Err(_) => Err(RuntimeError::new(
                self.plugin.shared.sandbox.label(),
                Kind::Plugin,
                "refuses settings that it had accepted",
            )),
        }
    }

    fn settings(
        &self,
        running: &mut Running<'_>,
    ) -> Result<Result<(), Vec<ProblemOut>>, RuntimeError> {
        running.call(&self.plugin.shared.configure, (self.policies.as_slice(),))
    }

    fn gave_up(&self, function: &str, message: &str) -> RuntimeError {
        let message = format!("gave up in `{function}`: {}", clean::sentence(message));
        RuntimeError::new(self.plugin.shared.sandbox.label(), Kind::Plugin, message)
    }

    /// The states in one piece.
    fn pack(
        &self,
        keys: &[StateKey],
        states: &[Vec<u8>],
    ) -> Result<(Vec<u8>, Vec<u32>), RuntimeError> {
        let fail = |message: String| {
            Err(RuntimeError::new(self.plugin.shared.sandbox.label(), Kind::State, message))
        };
        if states.len() != keys.len() {
            return fail(format!(
                "was given {} for {}",
                count(states.len(), "state", "states"),
                count(keys.len(), "key", "keys")
            ));
        }
        let bytes = states.concat();
        let mut end = 0_usize;
        let ends = states
            .iter()
            .map(|state| {
                end += state.len();
                u32::try_from(end).ok()
            })
            .collect::<Option<Vec<u32>>>();
        match ends {
            Some(ends) => Ok((bytes, ends)),
            None => fail("asked for more than 4 GiB of state".to_owned()),
        }
    }
}

impl Detector for ConfiguredDetector {
    fn description(&self) -> &DetectorDescription {
        &self.description
    }

    fn evaluate(
        &self,
        batch: &Batch,
        load: &mut dyn FnMut(&[StateKey]) -> Vec<Vec<u8>>,
    ) -> Result<(Vec<StateKey>, Outcome), DetectorError> {
        self.evaluate_batch(batch, load).map_err(|error| DetectorError {
            plugin: error.plugin().to_owned(),
            message: match error.advice() {
                Some(hint) => format!("{}\nhint: {hint}", error.message()),
                None => error.message().to_owned(),
            },
        })
    }
}

fn describe_detector(label: &str, text: &str) -> Result<DetectorDescription, RuntimeError> {
    let description: DetectorDescription = parse(label, text)?;
    let fail = |message: String| Err(RuntimeError::new(label, Kind::Description, message));
    check_name(label, &description.name, &description.version, &description.title)?;
    let names = description.columns.iter().chain(&description.nested);
    if names.clone().count() > NAMES {
        return fail(format!("describes itself as reading more than {NAMES} columns"));
    }
    for name in names {
        if name.is_empty() || clean::cut(name, 128).1 {
            return fail(format!("describes itself as reading the column `{}`", clean::name(name)));
        }
    }
    Ok(description)
}

/// Reads a description.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    label: &str,
    text: &str,
) -> Result<T, RuntimeError> {
    let fail = |message: String| Err(RuntimeError::new(label, Kind::Description, message));
    if text.len() > DESCRIPTION {
        return fail(format!("describes itself in {} bytes; at most 1 MiB is read", text.len()));
    }
    serde_json::from_str(text).or_else(|error| {
        fail(format!(
            "does not describe itself as JSON of the expected form: {}",
            clean::sentence(&error.to_string())
        ))
    })
}

/// Names appear in policies, file names and output: they are short and plain.
pub(crate) fn check_name(
    label: &str,
    name: &str,
    version: &str,
    title: &str,
) -> Result<(), RuntimeError> {
    let fail = |message: String| Err(RuntimeError::new(label, Kind::Description, message));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
        return fail(format!(
            "calls itself `{}`; a name is 1 to 63 of a-z, 0-9 and `-`",
            clean::name(name)
        ));
    }
    if version.is_empty() || clean::cut(version, 64).1 {
        return fail(format!(
            "has the version `{}`; use one such as `1.0.0`",
            clean::name(version)
        ));
    }
    if clean::cut(title, 1024).1 {
        return fail("has a title that is longer than 1 KiB or has control characters".to_owned());
    }
    Ok(())
}
