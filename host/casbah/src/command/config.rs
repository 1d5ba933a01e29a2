//! `casbah config`.

use anyhow::Result;
use casbah_enrich::Enricher;
use serde_json::json;

use crate::cli::ConfigCommand;
use crate::command::{directory, enrich, policy};
use crate::config::Config;
use crate::output::Output;
use crate::plugins::Plugins;

/// Shows the settings, and tries what they name: plugins and policies are loaded.
pub(crate) fn run(command: &ConfigCommand, config: &Config, output: &mut Output) -> Result<()> {
    let ConfigCommand::Check = command;
    let settings: Vec<_> = config
        .origins
        .iter()
        .map(|(name, value, origin)| {
            json!({"setting": name, "value": value, "from": origin.to_string()})
        })
        .collect();
    output.list(&["SETTING", "VALUE", "FROM"], &settings, |setting| {
        let cell = |name: &str| {
            setting.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        vec![cell("setting"), cell("value"), cell("from")]
    })?;
    enrich::warn(&Enricher::open(&config.enrich)?, output);
    directory::unkept(None, config, &config.tenant)?;
    let plugins = Plugins::load(config)?;
    let policies = policy::load(&config.place(), &plugins)?;
    policies.groups(&plugins)?;
    output.say(&format!(
        "settings, {} plugins and {} policies are well-formed",
        plugins.infos().count(),
        policies.policies().len()
    ));
    Ok(())
}
