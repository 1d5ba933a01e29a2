//! `casbah plugin`.

use anyhow::Result;
use serde_json::json;

use crate::cli::{Format, PluginCommand};
use crate::output::Output;
use crate::plugins::Plugins;

pub(crate) fn run(command: &PluginCommand, plugins: &Plugins, output: &mut Output) -> Result<()> {
    let PluginCommand::List = command;
    let infos: Vec<_> = plugins
        .infos()
        .map(|info| {
            json!({
                "name": info.name,
                "kind": info.kind.name(),
                "version": info.version,
                "interface": info.interface,
                "imports": info.imports,
                "digest": info.digest,
                "bytes": info.size,
                "cached": info.cached,
                "load-ms": info.load_time.as_secs_f64() * 1000.0,
                "source": info.label,
                "limitations": plugins.limitations(&info.name),
            })
        })
        .collect();
    output.list(
        &["NAME", "KIND", "VERSION", "INTERFACE", "DIGEST", "BYTES", "LOADED IN", "SOURCE"],
        &infos,
        |info| {
            let text = |name: &str| {
                info.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
            };
            let ms = info.get("load-ms").and_then(serde_json::Value::as_f64).unwrap_or_default();
            let cached = info.get("cached") == Some(&json!(true));
            vec![
                text("name"),
                text("kind"),
                text("version"),
                text("interface"),
                text("digest").chars().take(12).collect(),
                info.get("bytes").map(ToString::to_string).unwrap_or_default(),
                format!("{ms:.1} ms{}", if cached { ", cached" } else { "" }),
                text("source"),
            ]
        },
    )?;
    if output.format == Format::Json {
        return Ok(());
    }
    for info in plugins.infos() {
        let limitations = plugins.limitations(&info.name);
        if !limitations.is_empty() {
            output.line(&format!("\nLimitations of {}:", info.name))?;
        }
        for limitation in limitations {
            output.line(&format!("- {}", crate::output::printable(limitation)))?;
        }
    }
    Ok(())
}
