//! The plugins of this process: the built-in ones and those that the settings name.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use casbah_detect::{ConfigureError, Detectors};
use casbah_model::detector::{Detector, DetectorDescription};
use casbah_plugin_bundle as bundle;
use casbah_runtime::{
    AdapterPlugin, CacheOptions, DetectorPlugin, Engine, EngineOptions, Limits, PluginInfo,
    PluginKind, inspect,
};

use crate::command::Misunderstood;
use crate::config::Config;

/// All loaded plugins, by their own names.
#[derive(Default)]
pub(crate) struct Plugins {
    adapters: BTreeMap<String, AdapterPlugin>,
    detectors: BTreeMap<String, DetectorPlugin>,
}

impl Plugins {
    /// Loads the built-in plugins and those that the settings name.
    ///
    /// # Errors
    /// When one of them can't be loaded: a program that goes on without a detector would keep silent.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        let engine = Engine::new(match cache() {
            Some(cache) => EngineOptions::with_cache(cache),
            None => EngineOptions::default(),
        })?;
        let mut plugins = Self::default();
        for plugin in bundle::ADAPTERS {
            plugins.add_adapter(&engine, plugin.name, plugin.bytes)?;
        }
        for plugin in bundle::DETECTORS {
            plugins.add_detector(&engine, plugin.name, plugin.bytes)?;
        }
        for path in &config.plugins {
            plugins.add_file(&engine, path)?;
        }
        Ok(plugins)
    }

    /// Loads only the adapter of an app, for commands that need nothing else.
    ///
    /// # Errors
    /// When there is none of that name, or it can't be loaded.
    pub(crate) fn adapter(&self, app: &str) -> Result<&AdapterPlugin> {
        self.adapters.get(app).with_context(|| {
            let known: Vec<_> = self.adapters.keys().map(|name| format!("`{name}`")).collect();
            Misunderstood(format!(
                "there is no adapter for `{app}`\nhint: there are adapters for {}",
                known.join(", ")
            ))
        })
    }

    /// What is known about every plugin.
    pub(crate) fn infos(&self) -> impl Iterator<Item = &PluginInfo> {
        let adapters = self.adapters.values().map(AdapterPlugin::info);
        adapters.chain(self.detectors.values().map(DetectorPlugin::info))
    }

    /// What an adapter says it can't do; nothing for a detector.
    pub(crate) fn limitations(&self, name: &str) -> &[String] {
        self.adapters.get(name).map_or(&[], |plugin| {
            casbah_model::adapter::Adapter::description(plugin).limitations.as_slice()
        })
    }

    fn add_adapter(&mut self, engine: &Engine, label: &str, bytes: &[u8]) -> Result<()> {
        let plugin = AdapterPlugin::load(engine, label, bytes, Limits::adapter())?;
        let name = plugin.info().name.clone();
        if self.adapters.insert(name.clone(), plugin).is_some() {
            bail!("plugin `{label}`: there is an adapter `{name}` already");
        }
        Ok(())
    }

    fn add_detector(&mut self, engine: &Engine, label: &str, bytes: &[u8]) -> Result<()> {
        let plugin = DetectorPlugin::load(engine, label, bytes, Limits::detector())?;
        let name = plugin.info().name.clone();
        if self.detectors.insert(name.clone(), plugin).is_some() {
            bail!("plugin `{label}`: there is a detector `{name}` already");
        }
        Ok(())
    }

    fn add_file(&mut self, engine: &Engine, path: &Path) -> Result<()> {
        let label = path.display().to_string();
        let bytes =
            fs::read(path).with_context(|| format!("the plugin `{label}` can't be read"))?;
        let bytes = component(&label, bytes)?;
        match inspect(&label, &bytes)?.kinds.first() {
            Some(PluginKind::Adapter) => self.add_adapter(engine, &label, &bytes),
            // Whatever is no adapter is tried as a detector, which says what is wrong with it.
            _ => self.add_detector(engine, &label, &bytes),
        }
    }
}

/// What a Rust compiler writes is a core module that carries the description of its component: the
/// last step, which needs a tool of its own otherwise, is done here.
fn component(label: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
    if !bytes.starts_with(CORE_MODULE) {
        return Ok(bytes);
    }
    wit_component::ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| anyhow::anyhow!("{error:#}"))
        .with_context(|| {
            format!(
                "plugin `{label}`: is a core module that no component can be made of\n\
                 hint: build it with the casbah-plugin SDK, or make a component of it first"
            )
        })
}

impl Detectors for Plugins {
    fn names(&self) -> Vec<String> {
        self.detectors.keys().cloned().collect()
    }

    fn describe(&self, name: &str) -> Option<DetectorDescription> {
        self.detectors.get(name).map(|plugin| plugin.description().clone())
    }

    fn configure(
        &self,
        name: &str,
        policies: &[String],
    ) -> Result<Arc<dyn Detector>, ConfigureError> {
        let plugin = self
            .detectors
            .get(name)
            .ok_or_else(|| ConfigureError::Failed(format!("there is no detector `{name}`")))?;
        match plugin.configure(policies.to_vec()) {
            Ok(configured) => Ok(Arc::new(configured)),
            Err(casbah_runtime::ConfigureError::Problems(problems)) => {
                Err(ConfigureError::Problems(problems))
            }
            Err(error) => Err(ConfigureError::Failed(error.to_string())),
        }
    }
}

/// Where compiled plugins are kept between starts, sealed with a key that only this user can read.
///
/// Without a place to keep them plugins are compiled at every start, which takes a second or two.
fn cache() -> Option<CacheOptions> {
    let folder = std::env::var_os("CASBAH_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("XDG_CACHE_HOME")?).join("casbah")))
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/casbah")))?;
    match cache_key(&folder) {
        Ok(key) => Some(CacheOptions { folder, key }),
        Err(error) => {
            tracing::warn!("compiled plugins are not kept: {error:#}");
            None
        }
    }
}

fn cache_key(folder: &Path) -> Result<[u8; 32]> {
    fs::create_dir_all(folder)
        .with_context(|| format!("the folder `{}` can't be made", folder.display()))?;
    let path = folder.join("seal.key");
    if let Ok(bytes) = fs::read(&path)
        && let Ok(key) = <[u8; 32]>::try_from(bytes)
    {
        return Ok(key);
    }
    let key: [u8; 32] = rand::random();
    let temporary = folder.join(format!("seal.{}.new", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary)?;
    std::io::Write::write_all(&mut file, &key)?;
    fs::rename(&temporary, &path)?;
    Ok(key)
}
