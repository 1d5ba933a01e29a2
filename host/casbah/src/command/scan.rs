//! `casbah scan`.

use anyhow::{Error, Result};
use casbah_connect::accounts::Accounts;
use casbah_detect::Offline;
use casbah_detect::alerts::ListedAlert;
use casbah_enrich::Enricher;
use casbah_model::TenantName;
use casbah_model::adapter::Adapter as _;
use casbah_model::table::ABSENT_INTEGER;

use crate::cli::ScanArgs;
use crate::command::{Found, alert, directory, policy};
use crate::config::Config;
use crate::output::{Output, counted};
use crate::plugins::Plugins;
use crate::saved;
use crate::secrets;

pub(crate) fn run(
    args: &ScanArgs,
    config: &Config,
    tenant: &TenantName,
    plugins: &Plugins,
    output: &mut Output,
) -> Result<Found> {
    let adapter = plugins.adapter(&args.saved.app)?;
    let policies = policy::load(&config.place(), plugins)?;
    let enricher = Enricher::open(&config.enrich)?;
    let accounts = Accounts::new(&args.saved.domain);
    let connection = "saved".parse()?;
    let mut offline = Offline::new(tenant.clone(), policies.groups(plugins)?);
    let (mut activities, mut failed) = (0_u64, None);
    let (directory, news) = directory::unkept(args.saved.directory.as_deref(), config, tenant)?;
    for batch in news {
        if let Err(error) = offline.feed(&batch) {
            failed.get_or_insert(error);
        }
    }
    let settings = secrets::merged(adapter.description(), &args.saved.settings, output)?;
    saved::read(adapter, &settings, &args.saved.files, &mut |mut batch| {
        activities += u64::from(batch.rows);
        // Nobody fetched it, so there is no time at which it was received.
        accounts.join(&mut batch, &args.saved.app, &connection, ABSENT_INTEGER);
        directory.join(&mut batch, &args.saved.app, &connection);
        enricher.enrich(&mut batch);
        // What is found elsewhere is not to be lost with what a detector fails on.
        if let Err(error) = offline.feed(&batch) {
            failed.get_or_insert(error);
        }
        Ok(())
    })?;
    let alerts: Vec<_> =
        offline.alerts().into_iter().map(|alert| ListedAlert { alert, continues: None }).collect();
    alert::table(&alerts, output)?;
    output.say(&format!(
        "{}, {}, {}",
        counted(activities, "activity", "activities"),
        counted(policies.policies().len() as u64, "policy", "policies"),
        counted(alerts.len() as u64, "alert", "alerts"),
    ));
    match failed {
        None => Ok(Found(!alerts.is_empty())),
        Some(error) => Err(Error::new(error)
            .context(format!("{} activities could not be evaluated", offline.put_aside()))),
    }
}
