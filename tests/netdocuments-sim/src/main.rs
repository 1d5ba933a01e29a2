//! `netdocuments-sim`: the simulated NetDocuments as a process of its own, and its logs as files.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use casbah_sim::args::{CompanyArgs, FaultArgs, ListenArgs, PlaceArgs};
use casbah_sim::process::{Stop, create, list_faults, talk, write_json};
use casbah_sim::read_end;
use clap::{Args, Parser, Subcommand, ValueEnum};
use netdocuments_sim::{
    Addresses, Config, Consent, Fault, Form, Live, Log, Plan, Plant, Sees, Shape, SignIn, Sim,
    What, World,
};
use serde_json::json;

const AFTER: &str = "\
Examples:
  netdocuments-sim --consent auto --port-file port.txt --fault busy-504=1:2000 --fault cut-body=3x
  netdocuments-sim write --events 10000 --log admin --format xml --out admin.xml

The one line on stdout is JSON: where it listens and the id of the repository.
The client's secret comes from the environment: NETDOCUMENTS_SIM_CLIENT_SECRET.
It stops on SIGINT and SIGTERM.";

/// A simulated NetDocuments on loopback, with the document work of a made-up company.
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
    /// Write a log to a file, without a server.
    Write(Box<WriteOut>),
    /// List the faults that can be switched on.
    Faults,
}

#[derive(Args)]
struct PlanArgs {
    #[command(flatten)]
    company: CompanyArgs,
    /// How many acts, incidents included.
    #[arg(long, default_value_t = 150_000)]
    events: usize,
    /// When the history ends: a time such as 2026-11-20T12:00:00Z, `now`, or `now+30m`.
    #[arg(long, default_value = "now", value_parser = read_end)]
    end: i64,
    /// Plant no incidents.
    #[arg(long)]
    no_incidents: bool,
    /// Address of the country where nobody works.
    #[arg(long, value_name = "ADDRESS")]
    far: Option<String>,
    /// Address of impossible travel.
    #[arg(long, value_name = "ADDRESS")]
    travel: Option<String>,
    /// Address of an anonymizer.
    #[arg(long, value_name = "ADDRESS")]
    anonymous: Option<String>,
    /// Address on a threat list.
    #[arg(long, value_name = "ADDRESS")]
    suspicious: Option<String>,
    /// E-mail address of who has left and acts nevertheless.
    #[arg(long, value_name = "EMAIL")]
    terminated: Option<String>,
    #[command(flatten)]
    places: PlaceArgs,
    /// The part of the acts that the log has late.
    #[arg(long, default_value_t = 0.01)]
    late: f64,
    /// How late at most, in minutes.
    #[arg(long, default_value_t = 10)]
    late_minutes: u32,
    /// How likely the very same act follows within the second.
    #[arg(long, default_value_t = 0.01)]
    repeats: f64,
}

impl PlanArgs {
    fn plan(&self) -> Plan {
        let company = smartsheet_sim::Plan {
            seed: self.company.seed,
            users: self.company.users,
            days: self.company.days,
            events: self.events,
            end: self.end,
            late: self.late,
            late_at_most: i64::from(self.late_minutes) * 60_000,
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
        let mut plants = Plant::all(&addresses);
        for plant in plants.iter_mut().filter(|plant| plant.what == What::TerminatedUser) {
            plant.actor.clone_from(&self.terminated);
        }
        if self.no_incidents {
            plants.clear();
        }
        Plan { company, plants, repeats: self.repeats }
    }
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    listen: ListenArgs,
    /// Where the repository is: us, eu, de, au, can, ducot or gov.
    #[arg(long, default_value = "us")]
    region: String,
    /// How the sign-in page answers.
    #[arg(long, value_enum, default_value_t = Consent::Ask)]
    consent: Consent,
    /// Client id of the registered application.
    #[arg(long, default_value = "AP-CASBAH01")]
    client_id: String,
    /// Client secret of the registered application.
    #[arg(long, env = "NETDOCUMENTS_SIM_CLIENT_SECRET", hide_env_values = true, hide = true)]
    client_secret: Option<String>,
    /// The registered redirect address, compared character for character.
    #[arg(long, default_value = "http://127.0.0.1/callback")]
    redirect: String,
    /// E-mail address of who signs in [default: the first administrator].
    #[arg(long)]
    sign_in_as: Option<String>,
    /// The client is mapped to no account: client credentials work, and everything is empty.
    #[arg(long)]
    unmapped: bool,
    /// Minutes without a call after which an access token ends.
    #[arg(long, default_value_t = 45)]
    idle_minutes: u32,
    /// When acts appear: all at once, or by the clock.
    #[arg(long, value_enum, default_value_t = Live::All)]
    live: Live,
    /// What a caller gets to see.
    #[arg(long, value_enum, default_value_t = SeesArg::Everything)]
    sees: SeesArg,
    /// Compress nothing.
    #[arg(long)]
    no_gzip: bool,
    #[command(flatten)]
    faults: FaultArgs<Fault>,
}

#[derive(Clone, Copy, ValueEnum)]
enum SeesArg {
    /// What is there.
    Everything,
    /// Users, but logs that have been empty for thirty days.
    NoLogs,
    /// Nothing: every call comes back empty.
    Nothing,
}

#[derive(Args)]
struct WriteOut {
    #[command(flatten)]
    plan: PlanArgs,
    /// The file to write; `-` is stdout.
    #[arg(long)]
    out: PathBuf,
    /// Which log.
    #[arg(long, value_enum, default_value_t = LogArg::Consolidated)]
    log: LogArg,
    /// In which form.
    #[arg(long, value_enum, default_value_t = FormArg::Json)]
    format: FormArg,
    /// One record a line instead of one array.
    #[arg(long)]
    lines: bool,
    /// Write the labelled incidents to this file.
    #[arg(long)]
    incidents: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogArg {
    Consolidated,
    Admin,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum FormArg {
    Json,
    Xml,
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
        let world = Arc::new(World::new(&self.plan.plan()));
        talk(&format!(
            "{}: {} users, {} acts",
            world.company().name,
            world.company().users.len(),
            world.len()
        ));
        let port_file = self.listen.port_file.clone();
        let config = self.config(Arc::clone(&world));
        // Signals are caught before anybody can learn that we are here.
        let stop = Stop::catch()?;
        let sim = Sim::start(config)?;
        let line = json!({
            "address": sim.address().to_string(),
            "apiBase": sim.api_base(),
            "signIn": sim.api_base(),
            "repository": world.repository(),
        });
        Ok(stop.wait(&line, sim.address(), port_file.as_deref())?)
    }

    fn config(self, world: Arc<World>) -> Config {
        let usual = SignIn::default();
        let sign_in = SignIn {
            client_id: self.client_id,
            client_secret: self.client_secret.unwrap_or(usual.client_secret),
            redirect: self.redirect,
            consent: self.consent,
            user: self.sign_in_as,
            mapped: !self.unmapped,
            idle: i64::from(self.idle_minutes) * 60_000,
            ..usual
        };
        Config {
            listen: self.listen.listen,
            region: self.region,
            sign_in,
            live: self.live,
            sees: match self.sees {
                SeesArg::Everything => Sees::Everything,
                SeesArg::NoLogs => Sees::NoLogs,
                SeesArg::Nothing => Sees::Nothing,
            },
            gzip: !self.no_gzip,
            faults: self.faults.faults,
            fault_seed: self.faults.fault_seed,
            ..Config::new(world)
        }
    }
}

impl WriteOut {
    fn run(self) -> Result<()> {
        let world = World::new(&self.plan.plan());
        let name = self.out.display().to_string();
        let mut out = create(&self.out)?;
        let written = self.records(&world, &mut out);
        let count = written.with_context(|| format!("cannot write to `{name}`"))?;
        if let Some(path) = &self.incidents {
            write_json(path, world.incidents())?;
        }
        talk(&format!("{count} records written to {name}"));
        Ok(())
    }

    fn records(&self, world: &World, out: &mut dyn Write) -> std::io::Result<usize> {
        let log = match self.log {
            LogArg::Consolidated => Log::Consolidated,
            LogArg::Admin => Log::Admin,
        };
        let (form, before, between, behind) = match (self.format, self.lines) {
            (FormArg::Json, false) => (Form::Json, "\u{feff}[", ", ", "]"),
            (FormArg::Json, true) => (Form::Json, "", "\n", "\n"),
            (FormArg::Xml, _) => (Form::Xml, "<activities>\n", "\n", "\n</activities>\n"),
        };
        let places = world.all(log);
        let mut text = before.to_owned();
        for (n, &place) in places.iter().enumerate() {
            if n > 0 {
                text.push_str(between);
            }
            world.write(&mut text, place, form, Shape::Array);
            if text.len() > 1 << 16 {
                out.write_all(text.as_bytes())?;
                text.clear();
            }
        }
        text.push_str(behind);
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(places.len())
    }
}
