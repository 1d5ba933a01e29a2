//! `entra-sim`: the simulated Entra ID as a process of its own, and its sign-in log as a file.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use casbah_sim::args::{CompanyArgs, FaultArgs, ListenArgs, PlaceArgs};
use casbah_sim::process::{Stop, create, list_faults, talk, write_json};
use casbah_sim::read_time;
use clap::{Args, Parser, Subcommand};
use entra_sim::{Addresses, Change, Config, Fault, Live, PERMISSIONS, Plan, Sim, World};
use serde_json::json;

const AFTER: &str = "\
Examples:
  entra-sim --port-file port.txt --terminated ana.silva44@northwind.example
  entra-sim --live clock --change \"disable ben.novak20@northwind.example\"
  entra-sim write --out sign-ins.json

The one line on stdout is JSON: the address of both hosts, the tenant and the client. The secret comes
from the environment, ENTRA_SIM_CLIENT_SECRET. It stops on SIGINT and SIGTERM.";

/// A simulated Microsoft Entra ID on loopback, with the people of a made-up company.
#[derive(Parser)]
#[command(version, about, after_help = AFTER, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Write the sign-in log to a file, without a server.
    Write(Box<WriteOut>),
    /// List the faults that can be switched on.
    Faults,
}

#[derive(Args)]
struct PlanArgs {
    #[command(flatten)]
    company: CompanyArgs,
    /// When the history ends: a time such as 2026-11-20T12:00:00Z, `now`, or `now+30m`.
    #[arg(long, default_value = "now", value_parser = read_time)]
    end: i64,
    /// Plant no incidents, and let nobody come and go.
    #[arg(long)]
    no_incidents: bool,
    /// Something that happens to an account: `disable EMAIL`, `disable EMAIL TIME`; also join, enable,
    /// delete, restore, purge, and `leave EMAIL DATE`; may be repeated.
    #[arg(long = "change", value_name = "CHANGE")]
    changes: Vec<Change>,
    /// E-mail address of who is dismissed half-way and goes on all the same [default: the analyst
    /// whom netdocuments-sim takes].
    #[arg(long)]
    terminated: Option<String>,
    /// When that is, in the form of `--end`.
    #[arg(long, value_parser = read_time)]
    terminated_at: Option<i64>,
    #[command(flatten)]
    places: PlaceArgs,
    /// An address in a country where nobody works.
    #[arg(long)]
    far: Option<String>,
    /// An address far from every office.
    #[arg(long)]
    travel: Option<String>,
    /// An address of an anonymizer.
    #[arg(long)]
    anonymous: Option<String>,
    /// An address on a threat list.
    #[arg(long)]
    suspicious: Option<String>,
}

impl PlanArgs {
    fn plan(&self) -> Plan {
        let company = smartsheet_sim::Plan {
            seed: self.company.seed,
            users: self.company.users,
            days: self.company.days,
            end: self.end,
            offices: self.places.offices.clone(),
            homes: self.places.homes.clone(),
            ..smartsheet_sim::Plan::default()
        };
        let usual = Addresses::default();
        let or = |given: &Option<String>, usual: String| given.clone().unwrap_or(usual);
        let addresses = Addresses {
            far: or(&self.far, usual.far),
            travel: or(&self.travel, usual.travel),
            anonymous: or(&self.anonymous, usual.anonymous),
            suspicious: or(&self.suspicious, usual.suspicious),
        };
        Plan {
            changes: self.changes.clone(),
            usual: !self.no_incidents,
            terminated: self.terminated.clone(),
            terminated_at: self.terminated_at,
            incidents: (!self.no_incidents).then_some(addresses),
            ..Plan::of(company)
        }
    }
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    listen: ListenArgs,
    /// Client id of the registered application.
    #[arg(long)]
    client_id: Option<String>,
    /// Client secret of the registered application.
    #[arg(long, env = "ENTRA_SIM_CLIENT_SECRET", hide_env_values = true, hide = true)]
    client_secret: Option<String>,
    /// A permission that the application has not; may be repeated.
    #[arg(long = "without", value_name = "PERMISSION")]
    without: Vec<String>,
    /// The tenant has no premium licence: the sign-in log can't be read.
    #[arg(long)]
    no_premium: bool,
    /// Life of tokens in seconds.
    #[arg(long, default_value_t = 3599)]
    token_life: i64,
    /// When changes and sign-ins appear: all at once, or by the clock.
    #[arg(long, value_enum, default_value_t = Live::All)]
    live: Live,
    /// Requests to the sign-in log within ten seconds; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    sign_in_limit: u32,
    #[command(flatten)]
    faults: FaultArgs<Fault>,
}

#[derive(Args)]
struct WriteOut {
    #[command(flatten)]
    plan: PlanArgs,
    /// The file to write; `-` is stdout.
    #[arg(long)]
    out: PathBuf,
    /// Also what clients made for the person, in the form of the beta version.
    #[arg(long)]
    beta: bool,
    /// One sign-in a line instead of one answer.
    #[arg(long)]
    lines: bool,
    /// Write the labelled incidents to this file.
    #[arg(long)]
    incidents: Option<PathBuf>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Write(write)) => write.run(),
        Some(Command::Faults) => Ok(list_faults::<Fault>()?),
        None => cli.serve.run(),
    }
}

impl Serve {
    fn run(self) -> Result<()> {
        let world = Arc::new(World::new(&self.plan.plan())?);
        talk(&format!(
            "{}: {} people, {} sign-ins",
            world.company().name,
            world.people(),
            world.sign_ins()
        ));
        let port_file = self.listen.port_file.clone();
        let config = self.config(Arc::clone(&world))?;
        let client = config.client_id.clone();
        // Signals are caught before anybody can learn that we are here.
        let stop = Stop::catch()?;
        let sim = Sim::start(config)?;
        let line = json!({
            "address": sim.address().to_string(),
            "api": sim.base_url(),
            "signIn": sim.base_url(),
            "tenant": world.tenant(),
            "client": client,
        });
        Ok(stop.wait(&line, sim.address(), port_file.as_deref())?)
    }

    fn config(self, world: Arc<World>) -> Result<Config> {
        let usual = Config::new(world);
        if let Some(wrong) = self.without.iter().find(|name| !PERMISSIONS.contains(&name.as_str()))
        {
            bail!("there is no permission `{wrong}`\nhint: one of {}", PERMISSIONS.join(", "));
        }
        let permissions =
            usual.permissions.iter().filter(|name| !self.without.contains(name)).cloned().collect();
        Ok(Config {
            listen: self.listen.listen,
            client_id: self.client_id.unwrap_or_else(|| usual.client_id.clone()),
            client_secret: self.client_secret.unwrap_or_else(|| usual.client_secret.clone()),
            permissions,
            premium: !self.no_premium,
            token_life: self.token_life,
            live: self.live,
            sign_ins_in_ten_seconds: self.sign_in_limit,
            faults: self.faults.faults,
            fault_seed: self.faults.fault_seed,
            ..usual
        })
    }
}

impl WriteOut {
    fn run(self) -> Result<()> {
        let world = World::new(&self.plan.plan())?;
        let name = self.out.display().to_string();
        let mut out = create(&self.out)?;
        let count =
            self.records(&world, &mut out).with_context(|| format!("cannot write to `{name}`"))?;
        if let Some(path) = &self.incidents {
            write_json(path, world.incidents())?;
        }
        talk(&format!("{count} sign-ins written to {name}"));
        Ok(())
    }

    fn records(&self, world: &World, out: &mut dyn Write) -> std::io::Result<usize> {
        let (before, between, behind) =
            if self.lines { ("", "\n", "\n") } else { ("{\"value\":[", ",\n", "]}\n") };
        out.write_all(before.as_bytes())?;
        let mut count = 0;
        for at in 0..world.sign_ins() {
            let Some(value) = world.sign_in(at, self.beta) else { continue };
            if !self.beta && value.get("isInteractive") == Some(&json!(false)) {
                continue;
            }
            if count > 0 {
                out.write_all(between.as_bytes())?;
            }
            write!(out, "{value}")?;
            count += 1;
        }
        out.write_all(behind.as_bytes())?;
        out.flush()?;
        Ok(count)
    }
}
