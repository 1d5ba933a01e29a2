//! `casbah-demo`: plays the three apps of the demo, and says whether what was planted was found.
//!
//! `tests/demo.sh` starts it, and casbah beside it: they know nothing of each other but addresses.

mod check;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::check::Comparison;
use casbah_demo::{Planted, Scale, Story, last_friday};

/// More alerts beside the planted ones than this are no handful.
const HANDFUL: usize = 10;
/// The company of casbah's demo.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the three apps on loopback until SIGINT or SIGTERM, and write what casbah needs to know.
    ///
    /// Secrets come from the environment: CASBAH_CLIENT_ID and CASBAH_CLIENT_SECRET.
    Simulate {
        /// Where to write settings, addresses and what was planted.
        folder: PathBuf,
        /// Port that casbah waits at for Smartsheet's sign-in.
        #[arg(long, default_value_t = 8765)]
        port: u16,
    },
    /// Compare alerts with what was planted; exit code 1 when something was missed.
    Check {
        /// The folder given to `simulate`.
        folder: PathBuf,
        /// What `casbah alert list --format json` printed.
        #[arg(long)]
        alerts: PathBuf,
        /// What `casbah policy list --format json` printed.
        #[arg(long)]
        policies: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Simulate { folder, port } => simulate(&folder, port),
        Command::Check { folder, alerts, policies } => check(&folder, &alerts, &policies),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // When nobody reads what we say there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn simulate(folder: &Path, port: u16) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let story = Story::new(last_friday(now), &Scale::default())?;
    let secret = |name: &str| {
        std::env::var(name).with_context(|| format!("{name} is not set in the environment"))
    };
    let (id, password) = (secret("CASBAH_CLIENT_ID")?, secret("CASBAH_CLIENT_SECRET")?);
    casbah_demo::prepare(folder, &story, now)?;
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write `{}`", path.display()))
    };
    // Signals are caught before anybody can learn that we are here.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = runtime.block_on(async { stop_signal() })?;

    let mut smartsheet = smartsheet_sim::Config::new(Arc::new(story.smartsheet));
    smartsheet.sign_in.client_id.clone_from(&id);
    smartsheet.sign_in.client_secret.clone_from(&password);
    smartsheet.sign_in.consent = smartsheet_sim::Consent::Allow;
    smartsheet.sign_in.redirect = format!("http://127.0.0.1:{port}/callback/smartsheet/us");
    let smartsheet = smartsheet_sim::Sim::start(smartsheet)?;

    let repository = story.netdocuments.repository();
    let mut netdocuments = netdocuments_sim::Config::new(Arc::new(story.netdocuments));
    netdocuments.sign_in.client_id.clone_from(&id);
    netdocuments.sign_in.client_secret.clone_from(&password);
    let netdocuments = netdocuments_sim::Sim::start(netdocuments)?;

    let tenant = story.entra.tenant().to_owned();
    let mut entra = entra_sim::Config::new(Arc::new(story.entra));
    (entra.client_id, entra.client_secret) = (id, password);
    let entra = entra_sim::Sim::start(entra)?;

    // Written aside and renamed, so that who waits for the file never reads half of it.
    let addresses = format!(
        "smartsheet={}\nnetdocuments={}\nrepository={repository}\nentra={}\ntenant={tenant}\n",
        smartsheet.base_url(),
        netdocuments.api_base(),
        entra.base_url(),
    );
    write("addresses.part", addresses.as_bytes())?;
    fs::rename(folder.join("addresses.part"), folder.join("addresses"))?;
    runtime.block_on(stop);
    Ok(())
}

/// Resolves when the process is asked to stop.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn check(folder: &Path, alerts: &Path, policies: &Path) -> Result<()> {
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
    };
    let planted: Vec<Planted> = serde_json::from_str(&read(&folder.join("planted.json"))?)?;
    let alerts = check::alerts(&read(alerts)?)?;
    let policies = read(policies)?;
    let policies: Vec<String> = policies
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line)?;
            let name = value.get("policy").and_then(Value::as_str);
            Ok(name.context("a policy has no name")?.to_owned())
        })
        .collect::<Result<_>>()?;
    let comparison = check::compare(&planted, &alerts, &policies);
    let mut out = std::io::stdout().lock();
    tell(&comparison, alerts.len(), &mut out)?;
    let missed = comparison.expected.iter().filter(|expected| expected.alert.is_none()).count();
    let mut wrong = Vec::new();
    if missed > 0 {
        wrong.push(format!("{missed} missed"));
    }
    if comparison.beside.len() > HANDFUL {
        wrong.push(format!("more than {HANDFUL} alerts beside the planted incidents"));
    }
    if !comparison.unexplained.is_empty() {
        wrong.push(format!("{} alerts are not explained", comparison.unexplained.len()));
    }
    if !comparison.idle.is_empty() {
        wrong.push(format!("nothing was planted for, or found by, {}", comparison.idle.join(", ")));
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("; "));
    }
    Ok(())
}

fn tell(comparison: &Comparison<'_>, alerts: usize, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{:13}{:26}{:40}{:36}ALERT", "PLANTED IN", "WHAT", "WHO", "POLICY")?;
    for expected in &comparison.expected {
        let planted = expected.planted;
        let found = expected.alert.map_or("MISSED", |alert| short(&alert.id));
        let who = if planted.who.is_empty() { "(anybody)" } else { planted.who.as_str() };
        let Planted { app, name, .. } = planted;
        writeln!(out, "{app:13}{name:26}{who:40}{:36}{found}", expected.policy)?;
    }
    for (what, alerts) in [
        ("beside the planted incidents", &comparison.beside),
        ("not explained", &comparison.unexplained),
    ] {
        if !alerts.is_empty() {
            writeln!(out, "\nAlerts {what}:")?;
        }
        for alert in alerts {
            writeln!(out, "  {}  {}: {}", short(&alert.id), alert.policy, alert.summary)?;
        }
    }
    for (planted, alert) in &comparison.mistaken {
        writeln!(
            out,
            "\nThe near miss `{}` of {} was taken for {}, alert {}",
            planted.name,
            planted.who,
            alert.policy,
            short(&alert.id)
        )?;
    }
    let found = comparison.expected.iter().filter(|expected| expected.alert.is_some()).count();
    writeln!(
        out,
        "\n{found} of {} found; {alerts} alerts in all, {} of them beside the planted incidents",
        comparison.expected.len(),
        comparison.beside.len()
    )?;
    Ok(())
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}
