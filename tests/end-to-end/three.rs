//! The same promise with three apps and all policies: a directory, documents and sheets are fetched and
//! evaluated together, `casbah run` is killed again and again, and what is found is what a run finds
//! that nobody disturbs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use casbah_demo::{Scale, Story, prepare};
use serde_json::Value;

use crate::support::{Casbah, Random, TOKEN, now, texts};

/// The secret of both applications.
const SECRET: &str = "canary0client0secret0000";

/// Three apps, and a company in them.
struct Apps {
    story: Files,
    sheets: smartsheet_sim::Sim,
    documents: netdocuments_sim::Sim,
    directory: entra_sim::Sim,
}

/// What an organization keeps itself, in a folder.
struct Files(tempfile::TempDir);

impl Apps {
    /// A fortnight of eighty people.
    fn start(events: usize) -> Self {
        let scale =
            Scale { people: 80, smartsheet: (15, events), netdocuments: (16, events), entra: 15 };
        let end = now() / 1000 * 1000 - 60_000;
        let story = Story::new(end, &scale).unwrap();
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), &story, now()).unwrap();
        let mut sheets = smartsheet_sim::Config::new(Arc::new(story.smartsheet));
        sheets.personal = vec![smartsheet_sim::PersonalToken {
            token: TOKEN.to_owned(),
            user: None,
            scopes: None,
        }];
        sheets.rate = smartsheet_sim::Rate { limit: 0, ..smartsheet_sim::Rate::default() };
        let mut documents = netdocuments_sim::Config::new(Arc::new(story.netdocuments));
        documents.sign_in.client_secret = SECRET.to_owned();
        let mut directory = entra_sim::Config::new(Arc::new(story.entra));
        directory.client_secret = SECRET.to_owned();
        Self {
            story: Files(folder),
            sheets: smartsheet_sim::Sim::start(sheets).unwrap(),
            documents: netdocuments_sim::Sim::start(documents).unwrap(),
            directory: entra_sim::Sim::start(directory).unwrap(),
        }
    }

    fn files(&self) -> &Path {
        self.story.0.path()
    }

    /// A casbah that is connected to all three.
    #[track_caller]
    fn connected(&self) -> Casbah {
        let casbah = Casbah::new();
        for file in std::fs::read_dir(self.files()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), casbah.folder.path().join(file.file_name())).unwrap();
        }
        let world = self.directory.world();
        let tenant = format!("{{\"tenant\": \"{}\", \"non-interactive\": true}}", world.tenant());
        let repository = self.documents.world().repository();
        let repository = format!("{{\"repository\": \"{repository}\"}}");
        let (base, api) = (self.directory.base_url(), self.documents.api_base());
        let client = entra_sim::Config::new(Arc::clone(world)).client_id;
        connect(
            &casbah,
            &["entra", "--name", "people", "--settings", &tenant],
            (&base, &base),
            &client,
        );
        connect(
            &casbah,
            &["netdocuments", "--service", "--name", "documents", "--settings", &repository],
            (&api, &api),
            "AP-CASBAH01",
        );
        casbah.connect(&self.sheets, "sheets");
        casbah
    }
}

#[track_caller]
fn connect(casbah: &Casbah, arguments: &[&str], (api, sign_in): (&str, &str), client: &str) {
    let mut all = vec!["connect"];
    all.extend(arguments);
    all.extend(["--api-base", api, "--sign-in", sign_in, "--requests-per-minute", "1000000"]);
    let output = casbah
        .command(&all)
        .env("CASBAH_CLIENT_ID", client)
        .env("CASBAH_CLIENT_SECRET", SECRET)
        .output()
        .unwrap();
    let (out, talk) = texts(&output);
    assert!(output.status.success(), "{all:?}: {out}\n{talk}");
}

/// Everything that was found, in a form that two runs can be compared by.
#[derive(Debug, PartialEq)]
struct Found {
    /// Activities of the apps by id, with how often they are there.
    activities: BTreeMap<String, u32>,
    /// What the log says of accounts: whose, and what became of it. When that was seen differs.
    accounts: BTreeSet<String>,
    /// What the log says of behaviors, by id.
    told: BTreeSet<String>,
    alerts: BTreeMap<String, Value>,
    behaviors: BTreeMap<String, Value>,
}

impl Found {
    #[track_caller]
    fn by(casbah: &Casbah) -> Self {
        let mut found = Self {
            activities: BTreeMap::new(),
            accounts: BTreeSet::new(),
            told: BTreeSet::new(),
            alerts: BTreeMap::new(),
            behaviors: BTreeMap::new(),
        };
        let mut by_sequence = BTreeMap::new();
        for activity in casbah.list(&["activity", "list", "--limit", "0"]) {
            let text = |name: &str| activity[name].as_str().unwrap_or_default().to_owned();
            let id = text("id");
            by_sequence.insert(activity["sequence"].as_u64().unwrap(), id.clone());
            match activity["kind"].as_str() {
                Some("account-state") => {
                    found.accounts.insert(format!("{} {}", text("person"), text("actor.status")));
                }
                Some("behavior") => {
                    assert!(found.told.insert(id), "a behavior is told twice: {activity}");
                }
                _ => *found.activities.entry(id).or_default() += 1,
            }
        }
        found.alerts = comparable(casbah.alerts(&by_sequence));
        found.behaviors = comparable(casbah.behaviors(&by_sequence));
        found
    }
}

/// `travel` names the first activities of a stay that it hears of: which ones these are depends on the
/// order of arrival, whether there is an alert, and about what, does not. Its README says so.
fn comparable(mut alerts: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let travel = |alert: &&mut Value| alert["policy"] == "impossible-travel";
    for alert in alerts.values_mut().filter(travel) {
        for depending in ["evidence", "count", "first", "last", "continues"] {
            alert.as_object_mut().unwrap().remove(depending);
        }
    }
    alerts
}

#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &BTreeMap<String, T>,
    expected: &BTreeMap<String, T>,
) {
    let wrong: Vec<_> = expected
        .iter()
        .filter(|(id, one)| found.get(*id) != Some(one))
        .map(|(id, one)| (id, one, found.get(id)))
        .collect();
    assert!(wrong.is_empty(), "{what}: expected and found: {wrong:#?}");
    let made_up: Vec<_> = found.iter().filter(|(id, _)| !expected.contains_key(*id)).collect();
    assert!(made_up.is_empty(), "{what} that nobody expected: {made_up:#?}");
}

/// Kills `casbah run` so many times, as good as always in the middle of its work.
fn killed(kills: usize, events: usize, seed: u64) {
    let mut random = Random(seed);
    let apps = Apps::start(events);
    let undisturbed = apps.connected();
    undisturbed.ok(&["run", "--once"]);
    let expected = Found::by(&undisturbed);
    assert!(expected.activities.len() > 2 * events, "{}", expected.activities.len());
    let policies: BTreeSet<_> =
        expected.alerts.values().map(|alert| alert["policy"].as_str().unwrap()).collect();
    assert!(policies.len() >= 20, "there should be more than {policies:?}");
    assert!(!expected.behaviors.is_empty(), "there should be behaviors");

    let casbah = apps.connected();
    let mut at_work = 0;
    for kill in 0..kills {
        let mut child =
            casbah.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.between(20, 450)));
        assert!(child.try_wait().unwrap().is_none(), "life {kill} ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let stored: u64 = casbah
            .list(&["connection", "list"])
            .iter()
            .map(|report| report["counters"]["activities"].as_u64().unwrap_or(0))
            .sum();
        at_work += usize::from((stored as usize) < expected.activities.len());
    }
    assert!(3 * at_work > kills, "only {at_work} of {kills} lives had something to fetch");
    casbah.ok(&["run", "--once"]);
    let found = Found::by(&casbah);
    same("activities", &found.activities, &expected.activities);
    assert_eq!(found.accounts, expected.accounts);
    same("alerts", &found.alerts, &expected.alerts);
    same("behaviors", &found.behaviors, &expected.behaviors);
    assert_eq!(found.told, expected.told);
    casbah.ok(&["store", "check"]);
}

#[test]
fn killed_with_three_apps_and_all_policies() {
    killed(30, 12_000, 0x5eed_0003);
}

/// As above, but longer; run it by name.
#[test]
#[ignore = "takes minutes"]
fn killed_two_hundred_times_with_three_apps() {
    killed(200, 60_000, 0x5eed_0004);
}
