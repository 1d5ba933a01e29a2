//! What every command needs, and the commands, one module each.

pub(crate) mod activity;
pub(crate) mod alert;
pub(crate) mod backtest;
pub(crate) mod behavior;
pub(crate) mod calibrate;
pub(crate) mod config;
pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod directory;
pub(crate) mod enrich;
pub(crate) mod explain;
pub(crate) mod in_force;
pub(crate) mod lifecycle;
pub(crate) mod normalize;
pub(crate) mod origin;
pub(crate) mod plugin;
pub(crate) mod policy;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod shadow;
pub(crate) mod store;
pub(crate) mod watch;
pub(crate) mod when;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result, bail};
use casbah_connect::vault::{Vault, VaultKey};
use casbah_connect::{Clock, Connections, Http};
use casbah_model::{ConnectionName, TenantName};
use casbah_store::{Options, SledStore, Store};

use crate::command::in_force::Place;
use crate::command::watch::Watch;
use crate::config::Config;
use crate::progress;

/// What the user typed names something that there is not; becomes exit code 2.
#[derive(Debug)]
pub(crate) struct Misunderstood(pub(crate) String);

impl std::fmt::Display for Misunderstood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misunderstood {}

/// Whether a command found what it was asked to look for; becomes exit code 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found(pub(crate) bool);

/// An opened data folder, and whose data is meant.
#[derive(Clone)]
pub(crate) struct Opened {
    /// The store.
    pub(crate) store: Arc<dyn Store>,
    /// Whose data.
    pub(crate) tenant: TenantName,
    /// The connections of all tenants.
    pub(crate) connections: Connections,
    /// Folder of the policies in force; `None` for the built-in ones.
    pub(crate) policies: Option<PathBuf>,
    /// Whether the built-in policies are in force beside that folder.
    pub(crate) built_in_policies: bool,
    /// Files of the directory.
    pub(crate) directory: directory::DirectorySettings,
    fetching: Arc<Mutex<BTreeSet<(TenantName, ConnectionName)>>>,
    /// What keeps the policies of a running casbah as its folder says.
    watch: Arc<OnceLock<Arc<Watch>>>,
}

/// Whether a data folder may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it.
    Make,
    /// Say that there is nothing yet.
    Refuse,
}

impl Opened {
    /// Opens the data folder; this process holds it from now on.
    ///
    /// # Errors
    /// When it is missing, held by another process, damaged, or of a newer version.
    pub(crate) fn open(config: &Config, missing: Missing) -> Result<Self> {
        let data = &config.data;
        if missing == Missing::Refuse && !data.is_dir() {
            bail!(
                "there is nothing in `{}` yet\nhint: `casbah connect` makes a connection, --data names another folder",
                data.display()
            );
        }
        make_private(data)?;
        let bar = progress::of_store();
        let store: Arc<SledStore> =
            Arc::new(casbah_store::open(data, Options::default(), &|step| bar.step(step))?);
        bar.finish();
        let key = std::env::var("CASBAH_KEY").ok();
        let key = VaultKey::load(key.as_deref(), &config.key_file, store.as_ref())?;
        let http = Http::new(env!("CARGO_PKG_VERSION"))?.with_largest_answer(config.largest_answer);
        let connections = Connections::new(
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::new(Vault::new(key)),
            http,
            Clock::new(),
        );
        Ok(Self {
            store,
            tenant: config.tenant.clone(),
            connections,
            policies: config.policies.clone(),
            built_in_policies: config.built_in_policies,
            directory: config.directory.clone(),
            fetching: Arc::default(),
            watch: Arc::default(),
        })
    }

    /// Connections that this process is fetching right now, by tenant.
    pub(crate) fn fetching(&self) -> MutexGuard<'_, BTreeSet<(TenantName, ConnectionName)>> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the policies come from.
    pub(crate) fn place(&self) -> Place {
        Place { folder: self.policies.clone(), built_in: self.built_in_policies }
    }

    /// The policies of this tenant are evaluated in this process from now on.
    pub(crate) fn set_watch(&self, watch: Arc<Watch>) {
        // There is one evaluation in a process.
        let _ = self.watch.set(watch);
    }

    /// What keeps the policies of this tenant, when they are evaluated in this process.
    pub(crate) fn live(&self) -> Option<Arc<Watch>> {
        self.watch.get().filter(|watch| watch.tenant == self.tenant).cloned()
    }

    /// The same for another tenant.
    #[must_use]
    pub(crate) fn for_tenant(&self, tenant: TenantName) -> Self {
        Self { tenant, ..self.clone() }
    }
}

/// Only the owner may look into the data folder.
fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("the data folder `{}` can't be made", folder.display()))
}
