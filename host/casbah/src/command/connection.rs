//! `casbah connection`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use casbah_connect::{ConnectionReport, Removal};
use casbah_model::adapter::Adapter;
use casbah_model::{ConnectionName, time};

use crate::cli::{ConnectionCommand, Format};
use crate::command::{Found, Opened};
use crate::output::{Output, span};
use crate::plugins::Plugins;

/// How long a fetch may take to stop before its connection is removed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(
    command: &ConnectionCommand,
    opened: &Opened,
    plugins: &dyn Fn() -> Result<Arc<Plugins>>,
    output: &mut Output,
) -> Result<Found> {
    let connections = &opened.connections;
    let tenant = &opened.tenant;
    match command {
        ConnectionCommand::List => {
            let reports = connections.list(tenant)?;
            table(&reports, output)?;
            if reports.is_empty() {
                output.say("no connections\nhint: make one with `casbah connect`");
            }
        }
        ConnectionCommand::Test { name } => {
            let adapter = adapter(opened, name, plugins)?;
            let report = connections.check(tenant, name, adapter).await?;
            match output.format {
                Format::Json => output.json(&report)?,
                Format::Table => output.line(report.to_string().trim_end())?,
            }
            return Ok(Found(!report.passed()));
        }
        ConnectionCommand::Enable { name } => {
            connections.set_enabled(tenant, name, true)?;
            output.say(&format!("connection `{name}` is enabled"));
        }
        ConnectionCommand::Disable { name } => {
            connections.set_enabled(tenant, name, false)?;
            output.say(&format!("connection `{name}` is disabled; everything is kept"));
        }
        ConnectionCommand::Remove { name, force } => {
            let adapter = adapter(opened, name, plugins)?;
            if !force {
                // Revoking needs the app: better to be told before the token is forgotten.
                let report = connections.check(tenant, name, Arc::clone(&adapter)).await?;
                if report
                    .checks
                    .iter()
                    .all(|check| check.outcome != casbah_connect::check::Outcome::Passed)
                {
                    bail!(
                        "the app can't be reached, so the token of `{name}` can't be revoked:\n{report}\nhint: --force forgets it all the same"
                    );
                }
            }
            // A fetch that is under way would write its position back behind the removal.
            connections.set_enabled(tenant, name, false)?;
            let patience = Instant::now() + PATIENCE;
            while opened.fetching().contains(&(tenant.clone(), name.clone())) {
                if Instant::now() > patience {
                    bail!(
                        "connection `{name}` is still being fetched; it is disabled now\nhint: try again in a moment"
                    );
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            match connections.remove(tenant, name, adapter.description()).await? {
                Removal::Revoked => output.say(&format!("connection `{name}` is revoked and removed")),
                Removal::NothingToRevoke => output.say(&format!(
                    "connection `{name}` is removed; a token made by hand ends only in the app itself"
                )),
                Removal::NotRevoked(error) => output.say(&format!(
                    "connection `{name}` is removed, but its token was not revoked: {error}"
                )),
            }
        }
    }
    Ok(Found(false))
}

fn adapter(
    opened: &Opened,
    name: &ConnectionName,
    plugins: &dyn Fn() -> Result<Arc<Plugins>>,
) -> Result<Arc<dyn Adapter>> {
    let report = opened.connections.get(&opened.tenant, name)?;
    Ok(Arc::new(plugins()?.adapter(&report.connection.app)?.clone()))
}

fn table(reports: &[ConnectionReport], output: &mut Output) -> Result<()> {
    output.list(
        &[
            "NAME",
            "APP",
            "REGION",
            "STATE",
            "LAST ACTIVITY",
            "LAG",
            "CALLS",
            "THROTTLES",
            "ACTIVITIES",
            "DUPLICATES",
            "LATE",
            "ACCOUNTS",
        ],
        reports,
        |report| {
            let counters = &report.status.counters;
            vec![
                report.connection.name.to_string(),
                report.connection.app.clone(),
                report.connection.region.clone(),
                report.state.to_string(),
                report
                    .status
                    .last_activity
                    .map(|at| time::format(at / 1000 * 1000))
                    .unwrap_or_default(),
                report.status.lag.map(span).unwrap_or_default(),
                counters.calls.to_string(),
                counters.throttles.to_string(),
                counters.activities.to_string(),
                counters.duplicates.to_string(),
                counters.late.to_string(),
                report.status.accounts.to_string(),
            ]
        },
    )?;
    if output.format == Format::Table {
        for report in reports.iter().filter(|report| !report.reason.is_empty()) {
            output.line("")?;
            output.line(&format!("{}: {}", report.connection.name, report.reason))?;
            if !report.remedy.is_empty() {
                output.line(&format!("  {}", report.remedy))?;
            }
        }
    }
    Ok(())
}
