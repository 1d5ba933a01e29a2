//! `casbah scan`.

use anyhow::Result;
use casbah_connect::accounts::Accounts;
use casbah_detect::Offline;
use casbah_detect::alerts::ListedAlert;
use casbah_model::TenantName;
use casbah_model::table::ABSENT_INTEGER;

use crate::cli::ScanArgs;
use crate::command::{Found, alert, policy};
use crate::config::Config;
use crate::output::Output;
use crate::plugins::Plugins;
use crate::saved;

pub(crate) fn run(
    args: &ScanArgs,
    config: &Config,
    tenant: &TenantName,
    plugins: &Plugins,
    output: &mut Output,
) -> Result<Found> {
    let adapter = plugins.adapter(&args.app)?;
    let policies = policy::load(config, plugins)?;
    let accounts = Accounts::new(&args.domain);
    let connection = "saved".parse()?;
    let mut offline = Offline::new(tenant.clone(), policies.groups(plugins)?);
    let mut activities = 0_u64;
    saved::read(adapter, &args.settings, &args.files, &mut |mut batch| {
        activities += u64::from(batch.rows);
        // Nobody fetched it, so there is no time at which it was received.
        accounts.join(&mut batch, &args.app, &connection, ABSENT_INTEGER);
        offline.feed(&batch)?;
        Ok(())
    })?;
    let alerts: Vec<_> =
        offline.alerts().into_iter().map(|alert| ListedAlert { alert, continues: None }).collect();
    alert::table(&alerts, output)?;
    output.say(&format!(
        "{activities} activities, {} policies, {} alerts",
        policies.policies().len(),
        alerts.len()
    ));
    Ok(Found(!alerts.is_empty()))
}
