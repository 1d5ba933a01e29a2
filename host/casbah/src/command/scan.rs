//! `casbah scan`.

use std::path::Path;

use anyhow::{Context, Error, Result, bail};
use casbah_connect::accounts::Accounts;
use casbah_detect::alerts::ListedAlert;
use casbah_detect::{Lists, Offline, PolicySet, PolicySource, Sources, folder};
use casbah_enrich::Enricher;
use casbah_model::TenantName;
use casbah_model::adapter::Adapter as _;
use casbah_model::table::ABSENT_INTEGER;
use casbah_sigma::Refused;

use crate::cli::{SavedArgs, ScanArgs};
use crate::command::policy::import;
use crate::command::policy::paths::{compile, not_used};
use crate::command::{Found, Misunderstood, alert, directory};
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
    let app = args.saved.app();
    let adapter = plugins.adapter(app)?;
    let (policies, refused) = look_with(args, config, plugins)?;
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
    let settings = secrets::merged(adapter.description(), &args.saved.settings()?, output)?;
    let unread = saved::read(adapter, &settings, &args.saved.files, &mut |mut batch| {
        activities += u64::from(batch.rows);
        // Nobody fetched it, so there is no time at which it was received.
        accounts.join(&mut batch, app, &connection, ABSENT_INTEGER);
        directory.join(&mut batch, app, &connection);
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
    unread.say(output);
    tell_refused(&refused, args.verbose, output);
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

/// The policies to look with, and the rules that are not used. Sigma rules take the place of the
/// built-in policies, and stand beside those of a folder.
fn look_with(
    args: &ScanArgs,
    config: &Config,
    plugins: &Plugins,
) -> Result<(PolicySet, Vec<Refused>)> {
    if args.sigma.is_empty() {
        let wanted = config.place().read(None, plugins)?;
        return Ok((wanted.policies, wanted.refused));
    }
    let rules: Vec<PolicySource> = import::rules(&args.sigma)?
        .into_iter()
        .map(|(file, text)| PolicySource { file, bytes: text.into_bytes() })
        .collect();
    if rules.is_empty() {
        bail!(Misunderstood(
            "there are no Sigma rules there\nhint: rules are files ending in `.yml` or `.yaml`"
                .to_owned()
        ));
    }
    let lists = match &config.policies {
        Some(folder) => folder::read_lists(folder)?,
        None => Lists::default(),
    };
    let compiled = compile(&rules, &lists);
    let sources = Sources { policies: &compiled.policies, lists: &lists, groups: None };
    let rules = PolicySet::read_with(&sources, plugins)?;
    let (mut sets, mut refused) = (vec![rules], compiled.refused);
    if config.policies.is_some() {
        let wanted = config.place().read(None, plugins)?;
        sets.push(wanted.policies);
        refused.extend(wanted.refused);
    }
    Ok((PolicySet::join(sets)?, refused))
}

fn tell_refused(refused: &[Refused], verbose: bool, output: &mut Output) {
    if verbose {
        for refused in refused {
            output.say(&format!("{}\n", not_used(refused)));
        }
    }
    if !refused.is_empty() {
        let hint = if verbose { "" } else { "; --verbose says why" };
        output.say(&format!(
            "{} not used{hint}",
            counted(refused.len() as u64, "Sigma rule is", "Sigma rules are")
        ));
    }
}

impl SavedArgs {
    /// The app that the files come from.
    pub(crate) fn app(&self) -> &str {
        self.app.as_deref().unwrap_or("json")
    }

    /// Settings of the adapter, with the mapping among them.
    ///
    /// # Errors
    /// When there is a mapping where none belongs, or the file with it can't be read.
    pub(crate) fn settings(&self) -> Result<String> {
        let Some(mapping) = &self.mapping else { return Ok(self.settings.clone()) };
        if self.app() != "json" {
            bail!(Misunderstood(format!(
                "`{}` needs no mapping\nhint: --mapping is for `--app json`",
                self.app()
            )));
        }
        let mut settings: serde_json::Value =
            serde_json::from_str(&self.settings).context("the settings are not JSON")?;
        let Some(members) = settings.as_object_mut() else {
            bail!(Misunderstood("the settings are no JSON object".to_owned()));
        };
        if members.contains_key("mapping") {
            bail!(Misunderstood(
                "there are two mappings: in the settings, and with --mapping".to_owned()
            ));
        }
        let is_file = mapping.contains(['/', '.']) || Path::new(mapping).is_file();
        let value = if is_file {
            let text = std::fs::read_to_string(mapping)
                .with_context(|| format!("the mapping `{mapping}` can't be read"))?;
            serde_json::from_str(&text)
                .with_context(|| format!("the mapping `{mapping}` is not JSON"))?
        } else {
            mapping.as_str().into()
        };
        members.insert("mapping".to_owned(), value);
        Ok(settings.to_string())
    }
}
