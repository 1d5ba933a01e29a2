//! `casbah store`.

use anyhow::{Result, bail};
use serde_json::json;

use crate::cli::{Format, StoreCommand};
use crate::command::Opened;
use crate::output::Output;
use crate::progress;

pub(crate) fn run(command: &StoreCommand, opened: &Opened, output: &mut Output) -> Result<()> {
    match command {
        StoreCommand::Check => check(opened, output),
        StoreCommand::Compact => {
            let bar = progress::of_store();
            let done = opened.store.compact(&|step| bar.step(step))?;
            bar.finish();
            match output.format {
                Format::Json => output.json(&json!({
                    "view-bytes-before": done.before,
                    "view-bytes-after": done.after,
                })),
                Format::Table => output
                    .line(&format!("the view takes {} bytes, before {}", done.after, done.before)),
            }
        }
    }
}

fn check(opened: &Opened, output: &mut Output) -> Result<()> {
    let bar = progress::of_store();
    let report = opened.store.check(&|step| bar.step(step))?;
    bar.finish();
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| json!({"file": finding.file, "what": finding.what}))
        .collect();
    output.list(&["FILE", "WHAT"], &findings, |finding| {
        let cell = |name| finding[name].as_str().unwrap_or_default().to_owned();
        vec![cell("file"), cell("what")]
    })?;
    output.say(&format!(
        "{} files, {} bytes, {} blocks and {} entries were read",
        report.files, report.bytes, report.blocks, report.entries
    ));
    if report.findings.is_empty() {
        output.say("all is well");
        return Ok(());
    }
    bail!("{} places are damaged", report.findings.len())
}
