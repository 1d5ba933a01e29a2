//! `casbah connection`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use casbah_connect::connection::Method;
use casbah_connect::{ConnectionReport, Removal, Unreachable};
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
            remove(opened, name, *force, plugins, output).await?;
        }
    }
    Ok(Found(false))
}

async fn remove(
    opened: &Opened,
    name: &ConnectionName,
    force: bool,
    plugins: &dyn Fn() -> Result<Arc<Plugins>>,
    output: &mut Output,
) -> Result<()> {
    let (connections, tenant) = (&opened.connections, &opened.tenant);
    let before = connections.get(tenant, name)?.connection;
    let adapter = adapter(opened, name, plugins)?;
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
    let unreachable = if force { Unreachable::Forget } else { Unreachable::Keep };
    match connections.remove(tenant, name, adapter.description(), unreachable).await {
        Ok(Removal::Revoked) => {
            output.say(&format!("connection `{name}` is revoked and removed"));
        }
        Ok(Removal::NothingToRevoke) if before.method == Method::Service => {
            output.say(&format!(
                "connection `{name}` is removed; the application ends only in the app itself"
            ));
        }
        Ok(Removal::NothingToRevoke) => output.say(&format!(
            "connection `{name}` is removed; a token made by hand ends only in the app itself"
        )),
        Ok(Removal::NotRevoked(error)) => output.say(&format!(
            "connection `{name}` is removed, but revoking its token failed: {}\nhint: if it is not dead already, end it in the app itself",
            error.message()
        )),
        Err(error) => {
            connections.set_enabled(tenant, name, before.enabled)?;
            bail!(
                "the token of `{name}` can't be revoked, so the connection is kept: {}\nhint: --force removes it all the same; the token stays good until it is ended in the app itself",
                error.message()
            );
        }
    }
    Ok(())
}

fn adapter(
    opened: &Opened,
    name: &ConnectionName,
    plugins: &dyn Fn() -> Result<Arc<Plugins>>,
) -> Result<Arc<dyn Adapter>> {
    let report = opened.connections.get(&opened.tenant, name)?;
    Ok(Arc::new(plugins()?.adapter(&report.connection.app)?.clone()))
}

/// Columns of a terminal from which on a list has room for all its columns.
const WIDE: u16 = 126;

/// Headings, and whether they are shown on a narrow terminal, too.
const COLUMNS: [(&str, bool); 12] = [
    ("NAME", true),
    ("APP", true),
    ("REGION", false),
    ("STATE", true),
    ("LAST ACTIVITY", true),
    ("LAG", true),
    ("CALLS", false),
    ("THROTTLES", false),
    ("ACTIVITIES", true),
    ("DUPLICATES", false),
    ("LATE", false),
    ("ACCOUNTS", false),
];

fn table(reports: &[ConnectionReport], output: &mut Output) -> Result<()> {
    // On a narrow terminal the counters would break every line; JSON always has them.
    let wide = output.width.is_none_or(|width| width >= WIDE);
    let headings: Vec<_> =
        COLUMNS.iter().filter(|(_, always)| wide || *always).map(|(heading, _)| *heading).collect();
    output.list(&headings, reports, |report| {
        let counters = &report.status.counters;
        let last = report.status.last_activity.map(|at| time::format(at / 1000 * 1000));
        let cells = [
            report.connection.name.to_string(),
            report.connection.app.clone(),
            report.connection.region.clone(),
            report.state.to_string(),
            last.unwrap_or_default(),
            report.status.lag.map(span).unwrap_or_default(),
            counters.calls.to_string(),
            counters.throttles.to_string(),
            counters.activities.to_string(),
            counters.duplicates.to_string(),
            counters.late.to_string(),
            report.status.accounts.to_string(),
        ];
        let shown = cells.into_iter().zip(COLUMNS).filter(|(_, (_, always))| wide || *always);
        shown.map(|(cell, _)| cell).collect()
    })?;
    if output.format == Format::Table {
        for report in reports {
            let warnings = report.warnings.iter().map(|warning| (&warning.reason, &warning.remedy));
            let warnings = warnings.filter(|(reason, _)| **reason != report.reason);
            let all = std::iter::once((&report.reason, &report.remedy)).chain(warnings);
            for (reason, remedy) in all.filter(|(reason, _)| !reason.is_empty()) {
                output.line("")?;
                output.line(&format!("{}: {reason}", report.connection.name))?;
                if !remedy.is_empty() {
                    output.line(&format!("  {remedy}"))?;
                }
            }
        }
    }
    Ok(())
}
