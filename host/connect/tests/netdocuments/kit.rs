//! A simulated NetDocuments, the real adapter in native code, a real store, and both ways to sign in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use casbah_connect::fetch::{Fetch, Fetched, Pace};
use casbah_connect::oauth::{ClientCredentials, Grant, Listener, SignIns};
use casbah_connect::vault::{Vault, VaultKey};
use casbah_connect::{
    Clock, Connections, Established, Hosts, Http, NewConnection, StopHandle, Switch, stop,
};
use casbah_model::adapter::Adapter;
use casbah_model::{Batch, ConnectionName, TenantName};
use casbah_netdocuments::NetDocuments;
use casbah_plugin::NativeAdapter;
use casbah_store::{SledStore, Store};
use netdocuments_sim::{Config, Plan, Sim, World};
use serde_json::{Value, json};

const SESSION: &str = "the session of the test";

/// Time, name of the activity, actor, document: what an oracle knows of an activity that has no id.
pub(crate) type Seen = (i64, String, String, String);

pub(crate) struct Kit {
    pub(crate) sim: Sim,
    pub(crate) store: Arc<SledStore>,
    pub(crate) connections: Connections,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) tenant: TenantName,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Clock,
}

/// A small world that ends in so many milliseconds from now.
pub(crate) fn plan(events: usize, ahead: i64) -> Plan {
    let mut plan = Plan::small(events);
    plan.company.end = Clock::new().now() / 1000 * 1000 + ahead;
    plan.repeats = 0.1;
    plan
}

pub(crate) fn config(events: usize) -> Config {
    Config::new(Arc::new(World::new(&plan(events, 0))))
}

impl Kit {
    pub(crate) fn new(config: Config) -> Self {
        let sim = Sim::start(config).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::new();
        let (store, connections) = open(&dir, &clock);
        let adapter = Arc::new(NativeAdapter::<NetDocuments>::new());
        let tenant = "default".parse().unwrap();
        Self { sim, store, connections, adapter, tenant, dir, clock }
    }

    /// As after a kill: everything in memory is gone, and the folder is opened again.
    pub(crate) fn reopened(self) -> Self {
        let Self { sim, store, connections, adapter, tenant, dir, clock } = self;
        drop((store, connections));
        let (store, connections) = open(&dir, &clock);
        Self { sim, store, connections, adapter, tenant, dir, clock }
    }

    /// Turns both clocks.
    pub(crate) fn advance(&self, ms: i64) {
        self.clock.advance(ms);
        self.sim.advance(ms);
    }

    fn hosts(&self) -> BTreeMap<String, String> {
        ["api", "sign-in"].map(|name| (name.to_owned(), self.sim.api_base())).into()
    }

    pub(crate) fn settings(&self) -> Value {
        json!({"repository": self.sim.world().repository()})
    }

    fn client() -> ClientCredentials {
        ClientCredentials {
            id: "AP-CASBAH01".to_owned(),
            secret: Some("casbah-test-secret".into()),
            certificate: None,
        }
    }

    /// Signs in as an administrator would, with a browser that follows the redirects.
    pub(crate) async fn person(&self) -> Grant {
        let sign_ins = Arc::new(SignIns::new(self.clock.clone()));
        let description = self.adapter.description();
        let hosts = Hosts::resolve(description, Some("us"), &self.hosts()).unwrap();
        let mut listener =
            Listener::bind(0, "netdocuments", "us", sign_ins.clone(), SESSION).await.unwrap();
        let redirect = listener.redirect().clone();
        // The app compares to the letter, the port too.
        self.sim.set_redirect(redirect.url().as_str());
        let settings = self.settings();
        let started = sign_ins
            .start(description, &hosts, &settings, Self::client(), redirect, SESSION)
            .unwrap();
        let browsing =
            tokio::spawn(async move { reqwest::get(started.address).await.unwrap().status() });
        let (_handle, mut never) = stop();
        let sign_in = listener.wait(&mut never).await.unwrap();
        assert_eq!(browsing.await.unwrap(), 200);
        sign_in.redeem(self.connections.http(), &self.clock).await.unwrap()
    }

    /// The application signs in by itself.
    pub(crate) async fn service(&self) -> Grant {
        let description = self.adapter.description();
        let hosts = Hosts::resolve(description, Some("us"), &self.hosts()).unwrap();
        Grant::of_client(
            description,
            &hosts,
            &self.settings(),
            &Self::client(),
            self.connections.http(),
            &self.clock,
        )
        .await
        .unwrap()
    }

    pub(crate) async fn establish(&self, grant: Grant, settings: Value) -> Established {
        let mut new = NewConnection::new("acme".parse().unwrap());
        new.hosts = self.hosts();
        new.settings = settings;
        self.connections
            .establish(
                &self.tenant,
                new,
                grant,
                Some(Self::client()),
                self.adapter.clone(),
                Switch::Refuse,
            )
            .await
            .unwrap()
    }

    pub(crate) async fn connect(&self) -> Established {
        let grant = self.person().await;
        self.establish(grant, self.settings()).await
    }

    /// An impatient fetch of everything, until it is caught up.
    pub(crate) fn plan_fetch(&self) -> Fetch {
        let name: ConnectionName = "acme".parse().unwrap();
        let since = self.sim.world().company().start();
        let mut fetch = Fetch::new(self.tenant.clone(), name, self.adapter.clone(), since);
        fetch.until_caught_up = true;
        fetch.pace = Pace {
            base: Duration::from_millis(4),
            cap: Duration::from_millis(40),
            throttled: Duration::from_millis(60),
            slow: Duration::from_millis(80),
            interval: None,
            longest: Duration::from_millis(80),
        };
        fetch
    }

    pub(crate) async fn fetch(&self) -> Fetched {
        let (handle, _never) = stop();
        self.fetch_until(&handle).await
    }

    pub(crate) async fn fetch_until(&self, handle: &StopHandle) -> Fetched {
        let mut fetch = self.plan_fetch();
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

    /// Every block of the log with its raw records.
    pub(crate) fn each_block(&self, mut each: impl FnMut(&Batch, &casbah_store::Records)) {
        let mut next = self.store.log_range(&self.tenant).start;
        while let Some(block) = self.store.read(&self.tenant, next).unwrap() {
            block.batch.check().unwrap();
            let raw = self.store.raw(&self.tenant, &block.info).unwrap();
            each(&block.batch, &raw);
            next = block.info.end_sequence();
        }
    }

    /// What is in the log, sorted.
    pub(crate) fn logged(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        self.each_block(|batch, _| {
            seen.extend((0..batch.len()).map(|row| {
                let text = |name: &str| batch.text(name, row).to_owned();
                let time = batch.integer("time", row).unwrap();
                (time, text("action"), text("actor"), text("object"))
            }));
        });
        seen.sort();
        seen
    }

    /// What there is to be in it, sorted.
    pub(crate) fn expected(&self) -> Vec<Seen> {
        let records = self.sim.world().records();
        let mut seen: Vec<Seen> = records
            .map(|record| (record.time, record.name.to_owned(), record.actor, record.document))
            .collect();
        seen.sort();
        seen
    }

    /// That both are the same, told in a way that can be read.
    pub(crate) fn compare(&self, what: &str) {
        Self::same(self.logged(), self.expected(), what);
    }

    /// The same, whoever did it: activities that were not kept waiting for accounts that could not be
    /// had name people by their ids.
    pub(crate) fn compare_acts(&self, what: &str) {
        let acts = |seen: Vec<Seen>| {
            let mut acts: Vec<Seen> = seen
                .into_iter()
                .map(|(time, action, _, object)| (time, action, String::new(), object))
                .collect();
            acts.sort();
            acts
        };
        Self::same(acts(self.logged()), acts(self.expected()), what);
    }

    fn same(logged: Vec<Seen>, expected: Vec<Seen>, what: &str) {
        let missing = expected.iter().filter(|one| logged.binary_search(one).is_err()).count();
        let strange = logged.iter().filter(|one| expected.binary_search(one).is_err()).count();
        assert!(
            logged == expected,
            "{what}: {} of {}, {missing} missing, {strange} strange",
            logged.len(),
            expected.len()
        );
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
