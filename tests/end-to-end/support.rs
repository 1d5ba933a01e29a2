//! The built program against a simulated Smartsheet, both as they are: real processes, real HTTP,
//! real files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use smartsheet_sim::{Config, Live, PersonalToken, Plan, Rate, Sim, World};

/// A token that the simulator knows; nothing may ever print it.
pub(crate) const TOKEN: &str = "canary0personal0token0000";

/// A company and its history, served without a rate limit.
pub(crate) fn simulator(users: usize, events: usize, live: Live) -> Sim {
    let plan = Plan { users, events, end: now(), ..Plan::default() };
    simulate(&plan, live)
}

fn simulate(plan: &Plan, live: Live) -> Sim {
    let mut config = Config::new(Arc::new(World::new(plan)));
    config.personal = vec![PersonalToken { token: TOKEN.to_owned(), user: None, scopes: None }];
    config.live = live;
    config.rate = Rate { limit: 0, ..Rate::default() };
    Sim::start(config).unwrap()
}

pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as i64
}

/// A data folder and the program that works on it.
pub(crate) struct Casbah {
    pub(crate) folder: tempfile::TempDir,
}

impl Casbah {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The program with these arguments; nothing of the environment's own settings gets through.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_casbah"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CASBAH_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("CASBAH_DATA", self.data())
            .env("CASBAH_CACHE", cache())
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end and returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, expects success, and returns stdout.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, talk) = texts(&output);
        assert!(output.status.success(), "{arguments:?}: {}\n{out}\n{talk}", output.status);
        out
    }

    /// Connects with the personal token, without a rate limit worth the name.
    #[track_caller]
    pub(crate) fn connect(&self, sim: &Sim, name: &str) {
        let (base, api) = (sim.base_url(), sim.api_base());
        let output = self
            .command(&[
                "connect",
                "smartsheet",
                "--name",
                name,
                "--api-base",
                &api,
                "--sign-in",
                &base,
                "--requests-per-minute",
                "1000000",
            ])
            .env("CASBAH_TOKEN", TOKEN)
            .output()
            .unwrap();
        let (out, talk) = texts(&output);
        assert!(output.status.success(), "{out}\n{talk}");
    }

    /// Every line of a list as JSON.
    #[track_caller]
    pub(crate) fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = arguments.to_vec();
        all.extend(["--format", "json"]);
        self.ok(&all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Ids of all activities, each with how often it is there, and their ids by sequence.
    #[track_caller]
    pub(crate) fn activities(&self) -> (BTreeMap<String, u32>, BTreeMap<u64, String>) {
        let mut counts = BTreeMap::new();
        let mut by_sequence = BTreeMap::new();
        for activity in self.list(&["activity", "list", "--limit", "0"]) {
            let id = activity["id"].as_str().unwrap().to_owned();
            *counts.entry(id.clone()).or_default() += 1;
            by_sequence.insert(activity["sequence"].as_u64().unwrap(), id);
        }
        (counts, by_sequence)
    }

    /// All alerts in a form that two runs can be compared by: sequence numbers differ with the order
    /// of arrival, what they stand for does not.
    #[track_caller]
    pub(crate) fn alerts(&self, by_sequence: &BTreeMap<u64, String>) -> BTreeMap<String, Value> {
        self.found(&["alert", "list", "--state", "all", "--limit", "0"], by_sequence)
    }

    /// All behaviors in the same form.
    #[track_caller]
    pub(crate) fn behaviors(&self, by_sequence: &BTreeMap<u64, String>) -> BTreeMap<String, Value> {
        self.found(&["behavior", "list", "--limit", "0"], by_sequence)
    }

    #[track_caller]
    fn found(&self, list: &[&str], by_sequence: &BTreeMap<u64, String>) -> BTreeMap<String, Value> {
        self.list(list)
            .into_iter()
            .map(|mut alert| {
                let evidence: BTreeSet<_> = alert["evidence"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| by_sequence[&one["sequence"].as_u64().unwrap()].clone())
                    .collect();
                let whole = alert["count"].as_u64().unwrap() as usize == evidence.len();
                // Of more activities than are kept, those of the same time are chosen by sequence.
                let evidence = if whole { serde_json::json!(evidence) } else { Value::Null };
                let fields = alert.as_object_mut().unwrap();
                fields.insert("evidence".to_owned(), evidence);
                // What the last finding said of itself depends on where it ended.
                for changing in ["summary", "details"] {
                    fields.remove(changing);
                }
                (fields["id"].as_str().unwrap().to_owned(), alert)
            })
            .collect()
    }
}

/// Compiled plugins are kept between the tests, as they are between starts.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache")
}

pub(crate) fn texts(output: &Output) -> (String, String) {
    (
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

/// A small generator of its own, so that a failing run can be repeated by its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }
}

/// Waits for something to become true, and fails if it takes absurdly long.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not come to be in a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Follows an address and its redirects, as a browser would.
pub(crate) fn visit(address: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        reqwest::get(address).await.unwrap().error_for_status().unwrap();
    });
}
