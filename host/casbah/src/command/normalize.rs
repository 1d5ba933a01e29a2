//! `casbah normalize`.

use anyhow::Result;
use casbah_connect::accounts::Accounts;
use casbah_detect::activities;
use casbah_enrich::Enricher;
use casbah_model::adapter::Adapter as _;
use casbah_model::table::ABSENT_INTEGER;

use crate::cli::NormalizeArgs;
use crate::command::directory;
use crate::config::Config;
use crate::output::Output;
use crate::plugins::Plugins;
use crate::saved;
use crate::secrets;

pub(crate) fn run(
    args: &NormalizeArgs,
    config: &Config,
    plugins: &Plugins,
    output: &mut Output,
) -> Result<()> {
    let enricher = Enricher::open(&config.enrich)?;
    let tenant = &config.tenant;
    let (directory, _) = directory::unkept(args.saved.directory.as_deref(), config, tenant)?;
    let app = args.saved.app();
    let adapter = plugins.adapter(app)?;
    let accounts = Accounts::new(&args.saved.domain);
    let connection = "saved".parse()?;
    let settings = secrets::merged(adapter.description(), &args.saved.settings()?, output)?;
    let unread = saved::read(adapter, &settings, &args.saved.files, &mut |mut batch| {
        // Nobody fetched it, so there is no time at which it was received.
        accounts.join(&mut batch, app, &connection, ABSENT_INTEGER);
        directory.join(&mut batch, app, &connection);
        enricher.enrich(&mut batch);
        for row in 0..batch.len() {
            output.json(&activities::to_json(&batch, row))?;
        }
        Ok(())
    })?;
    unread.say(output);
    Ok(())
}
