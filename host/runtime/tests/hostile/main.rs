//! Plugins that misbehave. Each ends in a message that names it, and the host serves the next batch.
//!
//! Guests in Rust are in `tests/hostile`; what no compiler would produce is written by hand in
//! `forged`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr, reason = "tests")]

mod adapters;
mod detectors;
mod forged;
mod loading;

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use casbah_model::{Batch, BatchBuilder, Outcome, StateKey};
use casbah_runtime::{
    AdapterPlugin, ConfigureError, ConfiguredDetector, DetectorPlugin, Engine, EngineOptions,
    Limits, RuntimeError,
};

/// One engine for all tests of this process, as in the program.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(EngineOptions::default()).unwrap())
}

fn guest(name: &str) -> &'static [u8] {
    casbah_plugin_bundle::HOSTILE.iter().find(|guest| guest.name == name).unwrap().bytes
}

/// A short deadline where a test waits for it, and a long one elsewhere: a busy machine is no attack.
fn deadline(attack: &str, limits: Limits) -> Limits {
    let short = attack.contains("loop");
    Limits { deadline: Duration::from_millis(if short { 100 } else { 20_000 }), ..limits }
}

/// Two activities, number 41 and 42.
fn batch() -> Batch {
    let mut builder = BatchBuilder::new();
    for (sequence, email) in [(41, "ana@example.com"), (42, "bob@example.com")] {
        builder.begin_row();
        builder.integer("sequence", sequence);
        builder.integer("time", sequence * 1000);
        builder.text("actor.email", email);
    }
    builder.finish()
}

fn nothing(keys: &[StateKey]) -> Vec<Vec<u8>> {
    vec![Vec::new(); keys.len()]
}

/// The hostile detector, with a deadline that suits the attack.
fn hostile_detector(attack: &str) -> DetectorPlugin {
    static PLUGINS: [OnceLock<DetectorPlugin>; 2] = [const { OnceLock::new() }; 2];
    let limits = deadline(attack, Limits::detector());
    PLUGINS[usize::from(limits.deadline > Duration::from_secs(1))]
        .get_or_init(|| {
            DetectorPlugin::load(engine(), "hostile", guest("detector"), limits).unwrap()
        })
        .clone()
}

/// The hostile adapter, with a deadline that suits the attack.
fn hostile_adapter(attack: &str) -> AdapterPlugin {
    static PLUGINS: [OnceLock<AdapterPlugin>; 2] = [const { OnceLock::new() }; 2];
    let limits = deadline(attack, Limits::adapter());
    PLUGINS[usize::from(limits.deadline > Duration::from_secs(1))]
        .get_or_init(|| {
            AdapterPlugin::load(engine(), "hostile-app", guest("adapter"), limits).unwrap()
        })
        .clone()
}

/// The well-behaved neighbour, and what it always answers.
fn neighbour() -> (ConfiguredDetector, (Vec<StateKey>, Outcome)) {
    static PLUGIN: OnceLock<ConfiguredDetector> = OnceLock::new();
    let load = || {
        let plugin =
            DetectorPlugin::load(engine(), "honest", guest("honest"), Limits::detector()).unwrap();
        plugin.configure(vec!["{}".to_owned(), "{}".to_owned()]).unwrap()
    };
    let honest = PLUGIN.get_or_init(load).clone();
    let answer = honest.evaluate_batch(&batch(), &mut nothing).unwrap();
    assert_eq!(answer.1.findings.len(), 4, "two policies, two actors");
    (honest, answer)
}

/// Configures the hostile detector and gives it a batch.
fn attack(place: &str, attack: &str) -> Result<(Vec<StateKey>, Outcome), ConfigureError> {
    let settings = format!(r#"{{"in": "{place}", "attack": "{attack}"}}"#);
    let detector = hostile_detector(attack).configure(vec![settings])?;
    detector.evaluate_batch(&batch(), &mut nothing).map_err(ConfigureError::Runtime)
}

/// One line of a snapshot, or two with the hint. Without what changes when a guest is edited, and
/// with the ends of what is merely long.
fn line(list: &mut String, name: &str, error: &dyn std::fmt::Display) {
    let mut text = without_places(&error.to_string());
    if text.chars().count() > 400 {
        text = format!("{} [...]", text.chars().take(150).collect::<String>());
    }
    writeln!(list, "{name}: {text}").unwrap();
}

/// Replaces `lib.rs:12:34` by `lib.rs:…`.
fn without_places(text: &str) -> String {
    let mut pieces = text.split("lib.rs:");
    let mut clean = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
        write!(clean, "lib.rs:…: {}", rest.trim_start()).unwrap();
    }
    clean
}

/// Runs an attack, checks that the message names the plugin, and then times the neighbour's next batch.
struct Watch {
    honest: ConfiguredDetector,
    expected: (Vec<StateKey>, Outcome),
    times: Vec<Duration>,
}

impl Watch {
    fn new() -> Self {
        let (honest, expected) = neighbour();
        Self { honest, expected, times: Vec::new() }
    }

    fn next_batch(&mut self) {
        let started = Instant::now();
        let answer = self.honest.evaluate_batch(&batch(), &mut nothing).unwrap();
        self.times.push(started.elapsed());
        assert_eq!(answer, self.expected, "the neighbour lost something");
    }

    /// Half of the next batches came within a millisecond, and none took long. The median, since a
    /// busy machine may stop this thread at any time.
    fn finish(mut self) {
        self.times.sort();
        let (median, most) = (self.times[self.times.len() / 2], self.times[self.times.len() - 1]);
        eprintln!(
            "next batch after {} attacks: median {median:?}, most {most:?}",
            self.times.len()
        );
        // Of a few, one that was held up by other work on the machine would decide.
        assert!(self.times.len() < 10 || median < Duration::from_millis(1), "median {median:?}");
        assert!(most < Duration::from_secs(1), "most {most:?}");
    }
}

fn names_plugin(error: &RuntimeError, label: &str) {
    assert_eq!(error.plugin(), label);
    let text = error.to_string();
    assert!(text.starts_with(&format!("plugin `{label}`: ")), "{text}");
    assert!(text.len() < 4096, "{} bytes", text.len());
    assert!(!text.replace('\n', "").contains(char::is_control), "{text:?}");
}
