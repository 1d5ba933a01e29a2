//! `casbah behavior`.

use anyhow::Result;
use casbah_detect::alerts::{self, AlertQuery};

use crate::cli::BehaviorCommand;
use crate::command::{Opened, alert, when};
use crate::output::Output;

pub(crate) fn run(command: &BehaviorCommand, opened: &Opened, output: &mut Output) -> Result<()> {
    match command {
        BehaviorCommand::List { policy, about, since, limit } => {
            let query = AlertQuery {
                behaviors: true,
                policy: policy.clone(),
                about: about.clone(),
                from: since.as_deref().map(when::parse).transpose()?,
                limit: *limit,
                ..AlertQuery::default()
            };
            let page = alerts::list(opened.store.as_ref(), &opened.tenant, &query)?;
            alert::table(&page.alerts, output)?;
            if page.alerts.is_empty() {
                output.say("no behaviors");
            } else if page.next.is_some() {
                output.say(&format!("there are more than {limit}; --limit shows more"));
            }
            Ok(())
        }
        BehaviorCommand::Show { id } => alert::show(id, opened, output),
    }
}
