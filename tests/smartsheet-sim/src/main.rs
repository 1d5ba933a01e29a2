//! `smartsheet-sim`: the simulated Smartsheet as a process of its own, and its log as a file.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use casbah_sim::args::{CompanyArgs, FaultArgs, ListenArgs, PlaceArgs};
use casbah_sim::process::{Stop, create, list_faults, talk, write_json};
use casbah_sim::read_end;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;
use smartsheet_sim::{
    Config, Consent, Counting, Fault, Live, PersonalToken, Pkce, Plan, Rate, SignIn, Sim,
    WindowEnd, World,
};

const AFTER: &str = "\
Examples:
  smartsheet-sim --port-file port.txt --fault rate-limited=0.05 --fault cut-body=3x
  smartsheet-sim --live manual --release 1000        then: curl -X POST ADDRESS/control/release?count=50
  smartsheet-sim write --events 10000 --out log.jsonl.zst

The one line on stdout is JSON: the addresses, and the tokens that were made up for this run.
Secrets come from the environment: SMARTSHEET_SIM_CLIENT_SECRET, SMARTSHEET_SIM_TOKEN (a token of
an administrator) and SMARTSHEET_SIM_MEMBER_TOKEN (one of somebody else); given ones are not shown.
It stops on SIGINT and SIGTERM.";

/// A simulated Smartsheet on loopback, with a made-up company.
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
    /// Write the audit log to a file, without a server.
    Write(WriteOut),
    /// List the faults that can be switched on.
    Faults,
    /// Open an address and follow where it leads, as the browser of whoever consents would.
    Visit {
        /// The address; only loopback is visited.
        address: String,
    },
}

#[derive(Args)]
struct PlanArgs {
    #[command(flatten)]
    company: CompanyArgs,
    /// How many events, incidents included.
    #[arg(long, default_value_t = 150_000)]
    events: usize,
    /// When the history ends: a time such as 2026-11-20T12:00:00Z, `now`, or `now+30m`.
    #[arg(long, default_value = "now", value_parser = read_end)]
    end: i64,
    /// Plant no incidents.
    #[arg(long)]
    no_incidents: bool,
    /// The part of the events that is delivered late.
    #[arg(long, default_value_t = 0.002)]
    late: f64,
    /// How late at most, in minutes.
    #[arg(long, default_value_t = 90)]
    late_minutes: u32,
    /// Shuffle the stream in blocks of so many events.
    #[arg(long, default_value_t = 0)]
    disorder: usize,
    #[command(flatten)]
    places: PlaceArgs,
}

impl PlanArgs {
    fn plan(&self) -> Plan {
        Plan {
            seed: self.company.seed,
            users: self.company.users,
            days: self.company.days,
            events: self.events,
            end: self.end,
            incidents: !self.no_incidents,
            late: self.late,
            late_at_most: i64::from(self.late_minutes) * 60_000,
            disorder: self.disorder,
            offices: self.places.offices.clone(),
            homes: self.places.homes.clone(),
        }
    }
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    listen: ListenArgs,
    /// How the sign-in page answers.
    #[arg(long, value_enum, default_value_t = Consent::Ask)]
    consent: Consent,
    /// Client id of the registered app.
    #[arg(long, default_value = "casbah-test-client")]
    client_id: String,
    /// Client secret of the registered app.
    #[arg(long, env = "SMARTSHEET_SIM_CLIENT_SECRET", hide_env_values = true, hide = true)]
    client_secret: Option<String>,
    /// The registered redirect address; on loopback any port is accepted.
    #[arg(long, default_value = "http://127.0.0.1/callback")]
    redirect: String,
    /// E-mail address of who signs in [default: the first administrator].
    #[arg(long)]
    sign_in_as: Option<String>,
    /// A personal access token of an administrator.
    #[arg(long, env = "SMARTSHEET_SIM_TOKEN", hide_env_values = true, hide = true)]
    token: Option<String>,
    /// A personal access token of somebody who is no administrator.
    #[arg(long, env = "SMARTSHEET_SIM_MEMBER_TOKEN", hide_env_values = true, hide = true)]
    member_token: Option<String>,
    /// Life of access tokens in seconds.
    #[arg(long, default_value_t = 604_799)]
    token_life: u64,
    /// Life of codes in milliseconds.
    #[arg(long, default_value_t = 599_135)]
    code_life: u64,
    /// Answer `{"token": {…}}` instead of the flat form.
    #[arg(long)]
    wrapped: bool,
    /// Do as if PKCE were unknown.
    #[arg(long)]
    ignore_pkce: bool,
    /// Requests in a window; 0 for no limit.
    #[arg(long, default_value_t = 300)]
    rate_limit: u32,
    /// Length of a window in milliseconds.
    #[arg(long, default_value_t = 60_000)]
    rate_window: u64,
    /// Count in windows one after the other instead of a sliding one.
    #[arg(long)]
    rate_fixed: bool,
    /// One budget for all tokens together.
    #[arg(long)]
    rate_shared: bool,
    /// Say in refusals when to come again.
    #[arg(long)]
    retry_after: bool,
    /// The organization has not bought the audit log.
    #[arg(long)]
    no_add_on: bool,
    /// A window opened with `to` stops there for ever.
    #[arg(long)]
    window_stops: bool,
    /// When events appear: all at once, when told to, or by the clock.
    #[arg(long, value_enum, default_value_t = LiveArg::All)]
    live: LiveArg,
    /// With `--live manual`: how many events there are at the start.
    #[arg(long, default_value_t = 0)]
    release: usize,
    /// Compress nothing.
    #[arg(long)]
    no_gzip: bool,
    #[command(flatten)]
    faults: FaultArgs<Fault>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LiveArg {
    All,
    Manual,
    Clock,
}

#[derive(Args)]
struct WriteOut {
    #[command(flatten)]
    plan: PlanArgs,
    /// The file to write; `.gz` and `.zst` are compressed, `-` is stdout.
    #[arg(long)]
    out: PathBuf,
    /// Write one answer `{"data": […]}` instead of one event a line.
    #[arg(long)]
    page: bool,
    /// Write the labelled incidents to this file.
    #[arg(long)]
    incidents: Option<PathBuf>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Write(write)) => write.run(),
        Some(Command::Faults) => Ok(list_faults::<Fault>()?),
        Some(Command::Visit { address }) => visit(&address),
        None => cli.serve.run(),
    }
}

impl Serve {
    fn run(self) -> Result<()> {
        let plan = self.plan.plan();
        let world = Arc::new(World::new(&plan));
        talk(&format!(
            "{}: {} users, {} events",
            world.company().name,
            world.company().users.len(),
            world.len()
        ));
        let made_up = self.token.is_none().then(|| casbah_sim::secret::mixed(37));
        let port_file = self.listen.port_file.clone();
        let config = self.config(Arc::clone(&world), made_up.clone())?;
        // Signals are caught before anybody can learn that we are here.
        let stop = Stop::catch()?;
        let sim = Sim::start(config)?;
        let line = json!({
            "address": sim.address().to_string(),
            "apiBase": sim.api_base(),
            "signIn": sim.sign_in_url(),
            "token": made_up,
        });
        Ok(stop.wait(&line, sim.address(), port_file.as_deref())?)
    }

    fn config(self, world: Arc<World>, made_up: Option<String>) -> Result<Config> {
        let defaults = SignIn::default();
        let sign_in = SignIn {
            client_id: self.client_id,
            client_secret: self.client_secret.unwrap_or(defaults.client_secret),
            redirect: self.redirect,
            consent: self.consent,
            user: self.sign_in_as,
            token_life: Duration::from_secs(self.token_life),
            code_life: Duration::from_millis(self.code_life),
            wrapped: self.wrapped,
            pkce: if self.ignore_pkce { Pkce::Ignore } else { Pkce::Verify },
        };
        let mut personal = Vec::new();
        if let Some(token) = self.token.or(made_up) {
            personal.push(PersonalToken { token, user: None, scopes: None });
        }
        if let Some(token) = self.member_token {
            let users = &world.company().users;
            let Some(member) = users.iter().rfind(|user| user.internal() && !user.admin()) else {
                bail!("nobody is without an administrator's right");
            };
            personal.push(PersonalToken { token, user: Some(member.email.clone()), scopes: None });
        }
        let rate = Rate {
            limit: self.rate_limit,
            window: Duration::from_millis(self.rate_window),
            counting: if self.rate_fixed { Counting::Fixed } else { Counting::Sliding },
            shared: self.rate_shared,
            retry_after: self.retry_after,
        };
        Ok(Config {
            listen: self.listen.listen,
            sign_in,
            personal,
            rate,
            add_on: !self.no_add_on,
            window_end: if self.window_stops { WindowEnd::Stops } else { WindowEnd::RunsOn },
            live: match self.live {
                LiveArg::All => Live::All,
                LiveArg::Manual => Live::Manual(self.release),
                LiveArg::Clock => Live::Clock,
            },
            gzip: !self.no_gzip,
            faults: self.faults.faults,
            fault_seed: self.faults.fault_seed,
            ..Config::new(world)
        })
    }
}

fn visit(address: &str) -> Result<()> {
    let is_loopback = |url: &reqwest::Url| {
        url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127."))
    };
    let policy = reqwest::redirect::Policy::custom(move |attempt| {
        if is_loopback(attempt.url()) && attempt.previous().len() < 10 {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    let url = reqwest::Url::parse(address).with_context(|| format!("`{address}` is no address"))?;
    if !is_loopback(&url) {
        bail!("`{address}` is not on loopback");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().redirect(policy).build()?;
        client.get(url).send().await?.error_for_status()?;
        Ok(())
    })
}

impl WriteOut {
    fn run(self) -> Result<()> {
        let world = World::new(&self.plan.plan());
        let name = self.out.display().to_string();
        let mut out = create(&self.out)?;
        let failed = || format!("cannot write to `{name}`");
        if name.ends_with(".gz") {
            let mut pack = flate2::write::GzEncoder::new(out, flate2::Compression::new(6));
            self.events(&world, &mut pack).with_context(failed)?;
            out = pack.finish().with_context(failed)?;
        } else if name.ends_with(".zst") {
            let mut pack = zstd::Encoder::new(out, 3).with_context(failed)?;
            self.events(&world, &mut pack).with_context(failed)?;
            out = pack.finish().with_context(failed)?;
        } else {
            self.events(&world, &mut out).with_context(failed)?;
        }
        out.flush().with_context(failed)?;
        if let Some(path) = &self.incidents {
            write_json(path, world.incidents())?;
        }
        talk(&format!("{} events written to {name}", world.len()));
        Ok(())
    }

    fn events(&self, world: &World, out: &mut dyn Write) -> std::io::Result<()> {
        if self.page {
            out.write_all(b"{\"moreAvailable\":false,\"data\":[")?;
        }
        let mut text = String::new();
        for at in 0..world.len() {
            if self.page && at > 0 {
                text.push(',');
            }
            world.write_event(&mut text, at, false);
            if !self.page {
                text.push('\n');
            }
            if text.len() > 1 << 16 {
                out.write_all(text.as_bytes())?;
                text.clear();
            }
        }
        out.write_all(text.as_bytes())?;
        if self.page { out.write_all(b"]}\n") } else { Ok(()) }
    }
}
