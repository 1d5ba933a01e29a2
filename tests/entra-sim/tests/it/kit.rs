//! A simulated Entra ID, the real adapter in native code, and a real store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use casbah_connect::directory::Directory;
use casbah_connect::fetch::{Fetch, Fetched, Pace};
use casbah_connect::oauth::{ClientCredentials, Grant};
use casbah_connect::vault::{Vault, VaultKey};
use casbah_connect::{
    Clock, ConnectError, Connections, Established, Hosts, Http, NewConnection, StopHandle, Switch,
    stop,
};
use casbah_entra::Entra;
use casbah_model::adapter::Adapter;
use casbah_model::{ConnectionName, TenantName};
use casbah_plugin::NativeAdapter;
use casbah_store::{SledStore, Store};
use entra_sim::{Config, Plan, Sim, World};
use serde_json::{Value, json};

pub(crate) struct Kit {
    pub(crate) sim: Sim,
    pub(crate) store: Arc<SledStore>,
    pub(crate) connections: Connections,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) tenant: TenantName,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) settings: Value,
}

/// A small world that ends now.
pub(crate) fn plan() -> Plan {
    let end = Clock::new().now() / 1000 * 1000;
    Plan::of(smartsheet_sim::Plan { users: 260, days: 3, end, ..Default::default() })
}

pub(crate) fn config() -> Config {
    let world = World::new(&plan()).unwrap();
    // More than one page of users, and of everything else.
    Config { delta_page: Some(70), ..Config::new(Arc::new(world)) }
}

/// An activity of the log, as far as these tests look at it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Logged {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) person: String,
    pub(crate) status: String,
    pub(crate) since: Option<i64>,
    pub(crate) time: i64,
}

impl Kit {
    pub(crate) fn new(config: Config) -> Self {
        let sim = Sim::start(config).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::new();
        let (store, connections) = open(&dir, &clock);
        let adapter = Arc::new(NativeAdapter::<Entra>::new());
        let tenant = "default".parse().unwrap();
        let settings =
            json!({"tenant": sim.world().tenant(), "groups": ["Finance", "Everyone in \"Blue\""]});
        Self { sim, store, connections, adapter, tenant, dir, clock, settings }
    }

    /// As after a kill: everything in memory is gone, and the folder is opened again.
    pub(crate) fn reopened(self) -> Self {
        let Self { sim, store, connections, adapter, tenant, dir, clock, settings } = self;
        drop((store, connections));
        let (store, connections) = open(&dir, &clock);
        Self { sim, store, connections, adapter, tenant, dir, clock, settings }
    }

    /// Turns both clocks.
    pub(crate) fn advance(&self, ms: i64) {
        self.clock.advance(ms);
        self.sim.advance(ms);
    }

    fn hosts(&self) -> BTreeMap<String, String> {
        ["api", "sign-in"].map(|name| (name.to_owned(), self.sim.base_url())).into()
    }

    pub(crate) async fn grant(
        &self,
        settings: &Value,
        password: &str,
    ) -> Result<Grant, ConnectError> {
        let description = self.adapter.description();
        let hosts = Hosts::resolve(description, Some("global"), &self.hosts()).unwrap();
        let http = self.connections.http();
        Grant::of_client(description, &hosts, settings, &client(password), http, &self.clock).await
    }

    pub(crate) async fn connect(&self) -> Established {
        let grant = self.grant(&self.settings, "entra-sim-secret").await.unwrap();
        let mut new = NewConnection::new("directory-of-acme".parse().unwrap());
        new.hosts = self.hosts();
        new.settings = self.settings.clone();
        new.requests_per_minute = Some(5_000);
        let client = Some(client("entra-sim-secret"));
        let adapter = Arc::clone(&self.adapter);
        self.connections
            .establish(&self.tenant, new, grant, client, adapter, Switch::Refuse)
            .await
            .unwrap()
    }

    pub(crate) async fn fetch(&self) -> Fetched {
        let (handle, _never) = stop();
        self.fetch_until(&handle).await
    }

    /// An impatient fetch of everything, until it is caught up.
    pub(crate) async fn fetch_until(&self, handle: &StopHandle) -> Fetched {
        let name: ConnectionName = "directory-of-acme".parse().unwrap();
        let since = self.sim.world().company().start();
        let mut fetch = Fetch::new(self.tenant.clone(), name, Arc::clone(&self.adapter), since);
        fetch.until_caught_up = true;
        fetch.page_size = Some(500);
        fetch.pace = Pace {
            base: Duration::from_millis(4),
            cap: Duration::from_millis(40),
            throttled: Duration::from_millis(60),
            slow: Duration::from_millis(80),
            interval: None,
            longest: Duration::from_millis(80),
        };
        let last: Arc<Mutex<Vec<String>>> = Arc::default();
        let events = Arc::clone(&last);
        fetch.observer =
            Arc::new(move |_, event| events.lock().unwrap().push(format!("{event:?}")));
        let fetched = self.connections.fetch(fetch, handle.listen());
        match tokio::time::timeout(Duration::from_secs(60), fetched).await {
            Ok(fetched) => fetched.unwrap(),
            Err(_) => {
                let events = last.lock().unwrap();
                panic!("it does not end: {:#?}", events.iter().rev().take(12).collect::<Vec<_>>())
            }
        }
    }

    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.connections.directory(&self.tenant).unwrap()
    }

    /// Everything in the log, in its order.
    pub(crate) fn logged(&self) -> Vec<Logged> {
        let mut logged = Vec::new();
        let mut next = self.store.log_range(&self.tenant).start;
        while let Some(block) = self.store.read(&self.tenant, next).unwrap() {
            let batch = &block.batch;
            batch.check().unwrap();
            logged.extend((0..batch.len()).map(|row| {
                let text = |name: &str| batch.text(name, row).to_owned();
                Logged {
                    kind: text("kind"),
                    id: text("id"),
                    person: text("person"),
                    status: text("actor.status"),
                    since: batch.integer("actor.since", row),
                    time: batch.integer("time", row).unwrap(),
                }
            }));
            next = block.info.end_sequence();
        }
        logged
    }

    /// News of accounts in the log: address and state.
    pub(crate) fn told(&self) -> Vec<(String, String)> {
        let rows = self.logged().into_iter().filter(|row| row.kind == "account-state");
        rows.map(|row| (row.person, row.status)).collect()
    }

    /// That every sign-in is in the log, once, and that everybody's state is known.
    pub(crate) fn compare(&self, what: &str) {
        let logged = self.logged();
        let mut ids: Vec<String> =
            logged.into_iter().filter(|row| row.kind == "login").map(|row| row.id).collect();
        ids.sort();
        let mut expected = self.sim.world().sign_in_ids(false);
        expected.sort();
        let missing = expected.iter().filter(|id| ids.binary_search(id).is_err()).count();
        assert!(
            ids == expected,
            "{what}: {} of {} sign-ins, {missing} missing",
            ids.len(),
            expected.len()
        );
        let directory = self.directory();
        let now = self.clock.now();
        let mut wrong = BTreeSet::new();
        for account in self.sim.accounts() {
            let known = directory.person(&account.email).and_then(|person| person.at(now));
            let known = known.map(|held| (held.state.word(), held.since));
            let leaving = account.leaves.map(|date| if date <= now { "left" } else { "leaving" });
            let right = match (account.state.as_str(), leaving) {
                // Gone for good before casbah came: nobody knows.
                ("purged", _) => known.is_none_or(|(state, _)| state == "deleted"),
                ("unborn", _) => known.is_none(),
                // Restored and deleted again between two looks, it counts as deleted all along.
                ("deleted", _) => known.is_some_and(|(state, since)| {
                    state == "deleted" && since.is_some() && since <= account.since
                }),
                ("active", Some(leaving)) => known.is_some_and(|(state, _)| state == leaving),
                (state, _) => known.is_some_and(|(known, _)| known == state),
            };
            if !right {
                wrong.insert(format!("{account:?}: {known:?}"));
            }
        }
        assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    }
}

fn client(password: &str) -> ClientCredentials {
    ClientCredentials {
        id: "4711c0de-0000-4000-8000-000000000001".to_owned(),
        secret: Some(password.into()),
        certificate: None,
    }
}

fn open(dir: &tempfile::TempDir, clock: &Clock) -> (Arc<SledStore>, Connections) {
    let data = dir.path().join("data");
    let options = casbah_store::Options::default();
    let store = Arc::new(casbah_store::open(&data, options, &|_| {}).unwrap());
    let key = VaultKey::load(None, &dir.path().join("key"), store.as_ref()).unwrap();
    let connections = Connections::with_minute(
        store.clone(),
        Arc::new(Vault::new(key)),
        Http::new("0.0.0-test").unwrap(),
        clock.clone(),
        Duration::from_millis(200),
    );
    (store, connections)
}
