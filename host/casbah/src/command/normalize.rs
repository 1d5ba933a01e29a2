//! `casbah normalize`.

use anyhow::Result;
use casbah_connect::accounts::Accounts;
use casbah_detect::activities;
use casbah_model::table::ABSENT_INTEGER;

use crate::cli::NormalizeArgs;
use crate::output::Output;
use crate::plugins::Plugins;
use crate::saved;

pub(crate) fn run(args: &NormalizeArgs, plugins: &Plugins, output: &mut Output) -> Result<()> {
    let adapter = plugins.adapter(&args.saved.app)?;
    let accounts = Accounts::new(&args.saved.domain);
    let connection = "saved".parse()?;
    saved::read(adapter, &args.saved.settings, &args.saved.files, &mut |mut batch| {
        // Nobody fetched it, so there is no time at which it was received.
        accounts.join(&mut batch, &args.saved.app, &connection, ABSENT_INTEGER);
        for row in 0..batch.len() {
            output.json(&activities::to_json(&batch, row))?;
        }
        Ok(())
    })?;
    Ok(())
}
