//! A simulated Smartsheet, the real adapter in native code, a real store, and a sign-in through
//! the real OAuth code flow.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use casbah_connect::fetch::{Fetch, Pace};
use casbah_connect::oauth::{ClientCredentials, Grant, Listener, SignIns};
use casbah_connect::vault::{Vault, VaultKey};
use casbah_connect::{Clock, Connections, Established, Hosts, Http, NewConnection, Switch, stop};
use casbah_model::adapter::Adapter;
use casbah_model::{ConnectionName, TenantName};
use casbah_plugin::NativeAdapter;
use casbah_smartsheet::Smartsheet;
use casbah_store::{SledStore, Store};
use smartsheet_sim::{Config, Sim};

pub(crate) const SESSION: &str = "the session of the test";

pub(crate) struct Kit {
    pub(crate) sim: Sim,
    pub(crate) store: Arc<SledStore>,
    pub(crate) connections: Connections,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) tenant: TenantName,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Clock,
}

impl Kit {
    /// With a short minute, so that nothing has to wait for a whole one.
    pub(crate) fn new(config: Config) -> Self {
        Self::with_minute(config, Duration::from_millis(200))
    }

    pub(crate) fn with_minute(mut config: Config, minute: Duration) -> Self {
        config.sign_in.redirect = "http://127.0.0.1/callback/smartsheet/us".to_owned();
        let sim = Sim::start(config).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(
            casbah_store::open(&data(&dir), casbah_store::Options::default(), &|_| {}).unwrap(),
        );
        let key = VaultKey::load(None, &dir.path().join("key"), store.as_ref()).unwrap();
        let clock = Clock::new();
        let connections = Connections::with_minute(
            store.clone(),
            Arc::new(Vault::new(key)),
            Http::new("0.0.0-test").unwrap(),
            clock.clone(),
            minute,
        );
        Self {
            sim,
            store,
            connections,
            adapter: Arc::new(NativeAdapter::<Smartsheet>::new()),
            tenant: "default".parse().unwrap(),
            dir,
            clock,
        }
    }

    pub(crate) fn hosts(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("api".to_owned(), self.sim.api_base()),
            ("sign-in".to_owned(), self.sim.base_url()),
        ])
    }

    /// Signs in as an administrator would, with a browser that follows the redirects.
    pub(crate) async fn grant(&self) -> (Grant, ClientCredentials) {
        let sign_ins = Arc::new(SignIns::new(self.clock.clone()));
        let description = self.adapter.description();
        let hosts = Hosts::resolve(description, Some("us"), &self.hosts()).unwrap();
        let mut listener =
            Listener::bind(0, "smartsheet", "us", sign_ins.clone(), SESSION).await.unwrap();
        let client = ClientCredentials {
            id: "casbah-test-client".to_owned(),
            secret: Some("casbah-test-secret".into()),
            certificate: None,
        };
        let redirect = listener.redirect().clone();
        let started = sign_ins
            .start(
                description,
                &hosts,
                &serde_json::Value::Null,
                client.clone(),
                redirect.clone(),
                SESSION,
            )
            .unwrap();
        // The app sends the browser to the registered address; the listener's port is put in by
        // hand, as the registration has none.
        let browser =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let consent = browser.get(started.address).send().await.unwrap();
        let location = consent.headers()["location"].to_str().unwrap();
        let mut back = url::Url::parse(location).unwrap();
        back.set_port(redirect.url().port()).unwrap();
        let browsing = tokio::spawn(async move { reqwest::get(back).await.unwrap().status() });
        let (_handle, mut never) = stop();
        let sign_in = listener.wait(&mut never).await.unwrap();
        assert_eq!(browsing.await.unwrap(), 200);
        let grant = sign_in.redeem(self.connections.http(), &self.clock).await.unwrap();
        (grant, client)
    }

    pub(crate) async fn connect(&self, name: &str, budget: Option<&str>) -> Established {
        let (grant, client) = self.grant().await;
        let mut new = NewConnection::new(name.parse().unwrap());
        new.hosts = self.hosts();
        new.budget = budget.map(str::to_owned);
        self.connections
            .establish(&self.tenant, new, grant, Some(client), self.adapter.clone(), Switch::Refuse)
            .await
            .unwrap()
    }

    /// An impatient fetch of everything, until it is caught up.
    pub(crate) fn fetch(&self, name: &str) -> Fetch {
        let name: ConnectionName = name.parse().unwrap();
        let world = self.sim.world();
        let since = (0..world.len()).filter_map(|at| world.event_time(at)).min().unwrap();
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

    /// Ids of all activities in the log of a connection, sorted.
    pub(crate) fn logged(&self, name: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut next = self.store.log_range(&self.tenant).start;
        while let Some(block) = self.store.read(&self.tenant, next).unwrap() {
            let batch = &block.batch;
            ids.extend(
                (0..batch.len())
                    .filter(|&row| batch.text("connection", row) == name)
                    .map(|row| batch.text("id", row).to_owned()),
            );
            next = block.info.end_sequence();
        }
        ids.sort();
        ids
    }

    /// Ids of all events of the simulated world, sorted.
    pub(crate) fn expected(&self) -> Vec<String> {
        let world = self.sim.world();
        let mut ids: Vec<String> = (0..world.len()).map(|at| world.event_id(at).unwrap()).collect();
        ids.sort();
        ids
    }
}

fn data(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("data")
}
