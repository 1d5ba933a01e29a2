//! The command line: what can be said, and the help that teaches it.
//!
//! It is not where anything happens; `command` does the work.

use std::path::PathBuf;

use casbah_model::{ConnectionName, Severity, TenantName};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::command::when;

/// Watches what people do in the cloud apps of an organization.
#[derive(Debug, Parser)]
#[command(
    name = "casbah",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 done; 1 failed, or found what it was asked to look for; 2 not understood.
Settings come from flags, then CASBAH_... in the environment, then casbah.toml, then defaults;
`casbah config check` shows what holds and where it comes from.

Try it on a saved audit log, without any set-up:
  casbah scan --app smartsheet events.json
Watch an app:
  casbah connect smartsheet --name acme
  casbah run"
)]
pub(crate) struct Cli {
    /// Settings for everything.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Settings for everything.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Settings for everything")]
pub(crate) struct Global {
    /// Settings file [default: casbah.toml in the current folder, if there is one]
    #[arg(long, global = true, env = "CASBAH_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: casbah-data]
    #[arg(long, global = true, env = "CASBAH_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Whose data [default: default]
    #[arg(long, global = true, env = "CASBAH_TENANT", value_name = "NAME")]
    pub(crate) tenant: Option<TenantName>,
    /// Policy files to use instead of the built-in ones
    #[arg(long, global = true, env = "CASBAH_POLICIES", value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
    /// How lists are printed [default: table]
    #[arg(long, global = true, env = "CASBAH_FORMAT", value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// What is logged to stderr, e.g. `debug` or `casbah_connect=trace` [default: warn]
    #[arg(long, global = true, env = "CASBAH_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// How lists are printed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Looks through saved audit logs and prints the alerts; needs no set-up and keeps nothing
    Scan(ScanArgs),
    /// Prints saved audit logs as normalized activities, one JSON object a line
    Normalize(NormalizeArgs),
    /// Connects an app: asks for consent, keeps the token encrypted, tests the connection
    Connect(Box<ConnectArgs>),
    /// Fetches and evaluates all connections until told to stop
    Run(RunArgs),
    /// Lists and manages connections
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// Shows what was done in the apps
    #[command(subcommand)]
    Activity(ActivityCommand),
    /// Shows what was noticed
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Shows what stayed below the alerting lines
    #[command(subcommand)]
    Behavior(BehaviorCommand),
    /// Shows, tests and calibrates policies
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Shows the people of the directory, and checks its files
    #[command(subcommand)]
    Directory(DirectoryCommand),
    /// Shows what is known of an address, a client or a person, and from where
    Enrich(EnrichArgs),
    /// Shows the loaded plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Checks and compacts the store
    #[command(subcommand)]
    Store(StoreCommand),
    /// Shows the settings and where they come from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints completions for a shell
    #[command(after_help = "For bash: casbah completions bash > /etc/bash_completion.d/casbah")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Arguments of `scan`.
#[derive(Debug, Args)]
#[command(after_help = "\
A file holds a page as the app answered it ({\"data\": [...]}), a JSON array of events, or one event a
line; .gz and .zst are unpacked; `-` is stdin.

  casbah scan --app smartsheet events.json
  zcat old.json.gz | casbah scan --app smartsheet -
  casbah scan --app smartsheet --policies my-policies --format json events.ndjson
  casbah scan --mapping cloudtrail --sigma sigma/rules events.ndjson.gz

--mapping reads JSON records of any kind (--app json): azure, cloudtrail, github, google-workspace,
m365, okta, or a file that says which paths hold time, actor, address and object. With --sigma the
rules take the place of the built-in policies; they are used unchanged.

Exit code 1 when there are alerts, so that scripts can ask for it.")]
pub(crate) struct ScanArgs {
    /// The saved logs.
    #[command(flatten)]
    pub(crate) saved: SavedArgs,
    /// Sigma rules to look with: files, or folders with all below them. Repeat for more
    #[arg(long, value_name = "PATH")]
    pub(crate) sigma: Vec<PathBuf>,
    /// Says which rules are not used, and why
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Arguments of `normalize`.
#[derive(Debug, Args)]
#[command(after_help = "\
Columns are named as in the published vocabulary (wit/vocabulary.md); absent ones are left out.

  casbah normalize --app smartsheet events.json | jq -r '[.time, .actor, .kind] | @tsv'")]
pub(crate) struct NormalizeArgs {
    /// The saved logs.
    #[command(flatten)]
    pub(crate) saved: SavedArgs,
}

/// Saved logs, and how to read them.
#[derive(Debug, Args)]
pub(crate) struct SavedArgs {
    /// The app that the files come from, e.g. smartsheet; `json` where --mapping is given
    #[arg(long, value_name = "APP", required_unless_present = "mapping")]
    pub(crate) app: Option<String>,
    /// For JSON of other apps: a ready-made mapping, or a file with one
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) mapping: Option<String>,
    /// Settings of the adapter as JSON, e.g. {"kinds": {"AUTHENTICATION.LOGIN": "login"}}
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) settings: String,
    /// Domains of the organization; everybody else is external. Repeat or separate by commas
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',')]
    pub(crate) domain: Vec<String>,
    /// Directory file: who the people are, and what they were when
    #[arg(long, value_name = "FILE")]
    pub(crate) directory: Option<PathBuf>,
    /// The files; `-` for stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Arguments of `connect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Secrets are never taken from the command line: they are asked for, or read from a file
(--client-secret-file, --token-file) or from the environment (CASBAH_CLIENT_ID,
CASBAH_CLIENT_SECRET, CASBAH_TOKEN).

  casbah connect smartsheet --name acme
  casbah connect smartsheet --name acme --region eu --token-file token.txt
  casbah connect netdocuments --name docs --service --settings '{\"repository\": \"CA-1A2B3C4D\"}'

With --service nobody signs in: an application that is registered with the app, and may read there,
gets tokens of its own by client id and secret, or by a certificate (--certificate-file) where the app
takes one. Apps that know nothing else need no --service.

The consent page opens where you are signed in as an administrator; casbah waits for its answer on a
loopback address, which must be registered with the app as the redirect address. With --paste it
takes the address that the browser ended up at instead.")]
pub(crate) struct ConnectArgs {
    /// The app: smartsheet, netdocuments or entra; `casbah plugin list` shows which there are
    pub(crate) app: String,
    /// Name of the connection
    #[arg(long, value_name = "NAME")]
    pub(crate) name: ConnectionName,
    /// Where the app runs, e.g. us, eu, au; an unknown one is answered with those there are
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Base address of the app's data interface instead of the region's
    #[arg(long, value_name = "URL")]
    pub(crate) api_base: Option<String>,
    /// Base address of the app's sign-in pages instead of the region's
    #[arg(long, value_name = "URL")]
    pub(crate) sign_in: Option<String>,
    /// Client id of the app registration [otherwise CASBAH_CLIENT_ID, otherwise asked for]
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// File with the client secret
    #[arg(long, value_name = "FILE")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// File with certificate and RSA key as PEM, for --service instead of a client secret
    #[arg(long, value_name = "FILE", conflicts_with_all = ["client_secret_file", "token_file"])]
    pub(crate) certificate_file: Option<PathBuf>,
    /// File with a token made by hand in the app; `-` asks for it. No sign-in is needed then
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Sign in as an application by client id and secret, without a person
    #[arg(long, conflicts_with_all = ["token_file", "browser", "paste", "redirect"])]
    pub(crate) service: bool,
    /// Port of the loopback address that waits for the answer
    #[arg(long, default_value_t = 8765, value_name = "PORT")]
    pub(crate) port: u16,
    /// Command that opens the consent page; the address is appended [default: it is only printed]
    #[arg(long, value_name = "COMMAND")]
    pub(crate) browser: Option<String>,
    /// Ask for the address the browser ended up at, rather than wait for it
    #[arg(long)]
    pub(crate) paste: bool,
    /// The redirect address that is registered with the app, when it is not the loopback one
    #[arg(long, value_name = "URL")]
    pub(crate) redirect: Option<String>,
    /// Requests a minute at most [default: what the app allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests_per_minute: Option<u32>,
    /// Name of a budget of requests that several connections share
    #[arg(long, value_name = "NAME")]
    pub(crate) budget: Option<String>,
    /// Domains of the organization; everybody else is external [default: learned from the users]
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',')]
    pub(crate) domain: Vec<String>,
    /// Settings of the adapter as JSON; a secret one as {"env": "NAME"}, {"file": "PATH"} or "" to be asked
    #[arg(long, value_name = "JSON")]
    pub(crate) settings: Option<String>,
    /// Where relative paths are meant from, when not from here
    #[arg(skip)]
    pub(crate) folder: Option<PathBuf>,
    /// Sign an existing connection in anew; what is not said stays as it was
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Stops cleanly on Ctrl-C and SIGTERM: what is being written is finished, nothing is lost.
While it runs, the other commands talk to it.")]
pub(crate) struct RunArgs {
    /// Stop once everything is fetched and evaluated, rather than wait for more
    #[arg(long)]
    pub(crate) once: bool,
    /// How far back a new connection is fetched [default: 7]
    #[arg(long, value_name = "DAYS")]
    pub(crate) backfill_days: Option<u32>,
    /// How long activities are kept; 0 keeps them for ever [default: 180]
    #[arg(long, value_name = "DAYS")]
    pub(crate) retention_days: Option<u32>,
}

/// What to do with connections.
#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    /// Lists them with state, last activity, lag, calls, throttles and accounts, and what is wrong
    List,
    /// Asks the app who we are, whether we are an administrator and may read events
    Test {
        /// Name of the connection
        name: ConnectionName,
    },
    /// Fetches again
    Enable {
        /// Name of the connection
        name: ConnectionName,
    },
    /// Stops fetching and keeps everything
    Disable {
        /// Name of the connection
        name: ConnectionName,
    },
    /// Revokes the token at the app and forgets the connection; its activities are kept
    Remove {
        /// Name of the connection
        name: ConnectionName,
        /// Forget it even if the app can't be reached to revoke the token
        #[arg(long)]
        force: bool,
    },
}

/// What to do with activities.
#[derive(Debug, Subcommand)]
pub(crate) enum ActivityCommand {
    /// Lists activities, newest first
    #[command(after_help = "\
A filter is COLUMN=VALUE, COLUMN!=VALUE or COLUMN~PART; several must all hold. Columns are those of the
published vocabulary, `fields.NAME` for what only the app knows.

  casbah activity list --since 24h kind=export
  casbah activity list --since 2026-11-01 --until 2026-11-02 actor=ana@example.com object.kind=sheet")]
    List {
        /// From this time on: RFC 3339, a date, or a span back from now such as 24h or 7d
        #[arg(long, value_name = "TIME", value_parser = when::checked)]
        since: Option<String>,
        /// Up to this time
        #[arg(long, value_name = "TIME", value_parser = when::checked)]
        until: Option<String>,
        /// How many at most; 0 for all
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
        /// Go on where an earlier page ended: the `next` it printed
        #[arg(long, value_name = "SEQUENCE")]
        before: Option<u64>,
        /// Filters
        #[arg(value_name = "FILTER")]
        filters: Vec<String>,
    },
    /// Shows one activity with everything the app said
    Show {
        /// Its sequence number
        sequence: u64,
    },
}

/// What to do with alerts.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// Lists alerts, newest first
    List {
        /// Only of this policy
        #[arg(long, value_name = "NAME")]
        policy: Option<String>,
        /// Only this severity and worse
        #[arg(long, value_name = "SEVERITY")]
        severity: Option<Severity>,
        /// Only closed ones, or all [default: open ones]
        #[arg(long, value_name = "STATE")]
        state: Option<AlertStateArg>,
        /// Those instead that are held back, being more than their policy's limit for the day
        #[arg(long)]
        held_back: bool,
        /// From this time on: RFC 3339, a date, or a span back from now such as 24h or 7d
        #[arg(long, value_name = "TIME", value_parser = when::checked)]
        since: Option<String>,
        /// How many at most; 0 for all
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Shows one alert with its evidence
    Show {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Says why an alert came up: which conditions held on which values, and what would have had to be
    /// different
    #[command(after_help = "\
Every answer is computed: the policy's revision that made the alert, and variants of it, are run again
over the activities that the alert is about.

  casbah alert explain 3f2a")]
    Explain {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Marks an alert as looked at and done with
    Close {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Marks a closed alert as open again
    Reopen {
        /// Its id, or the beginning of it
        id: String,
    },
}

/// What to do with behaviors.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A policy that learns what is usual gives everything unusual a score. What reaches its line is an
alert; what is strange, but not strange enough, is a behavior: kept here, and an activity of kind
`behavior` in the log, for other policies to build on. `casbah policy calibrate` moves the line.")]
pub(crate) enum BehaviorCommand {
    /// Lists behaviors, newest first
    List {
        /// Only of this policy
        #[arg(long, value_name = "NAME")]
        policy: Option<String>,
        /// Only with this text in whom or what it is about
        #[arg(long, value_name = "TEXT")]
        about: Option<String>,
        /// From this time on: RFC 3339, a date, or a span back from now such as 24h or 7d
        #[arg(long, value_name = "TIME", value_parser = when::checked)]
        since: Option<String>,
        /// How many at most; 0 for all
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Shows one behavior with its evidence
    Show {
        /// Its id, or the beginning of it
        id: String,
    },
}

/// Which alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlertStateArg {
    /// Not looked at yet.
    Open,
    /// Done with.
    Closed,
    /// Both.
    All,
}

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Lists the policies in force
    List,
    /// Writes a new policy that passes its tests, to begin with
    #[command(after_help = "\
Templates come with tests and comments; lists that they name are written beside, with examples in them.
Every built-in policy can be a template as well.

  casbah policy new --list
  casbah policy new mass-export --output my-policies
  casbah policy new orion-wall --template netdocuments-matter-wall
  casbah policy new many-prints --detector volume")]
    New {
        /// Name of the policy: a-z, 0-9 and `-`
        name: Option<String>,
        /// Begin with this template
        #[arg(long, value_name = "NAME", conflicts_with = "detector")]
        template: Option<String>,
        /// Begin with an example for this detector [default: activity]
        #[arg(long, value_name = "DETECTOR")]
        detector: Option<String>,
        /// Folder to write it into [default: the folder of policies in the settings, or the current one]
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// List the templates instead
        #[arg(long, conflicts_with_all = ["name", "template", "detector", "output"])]
        list: bool,
    },
    /// Checks policy files and says everything that is wrong with them
    #[command(after_help = "\
Files are read with the lists beside them (lists/*.txt, lists/*.csv); a folder with its candidates
(shadow/) and its Sigma rules (sigma/) as well. Needs no store: fit for a pre-commit hook.

  casbah policy check my-policies
  casbah policy check --format json my-policies/mass-export.yaml

Exit code 1 when something is wrong.")]
    Check {
        /// Files or folders [default: the policies in force]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Runs the tests that policy files carry
    #[command(after_help = "\
With --coverage every row of `when`, `unless`, `severity` and of sequences is taken for always true and
for never true, and the tests run again: a row that none of them notices is named.

  casbah policy test my-policies
  casbah policy test --coverage my-policies/mass-export.yaml

Exit code 1 when a test fails, or a row is not noticed.")]
    Test {
        /// Files or folders [default: the policies in force]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Say which rows no test notices
        #[arg(long)]
        coverage: bool,
    },
    /// Lays policy files out in one way: order of keys, blank lines
    #[command(after_help = "\
Comments stay with the keys they stand above; how values are written is left alone. What is laid out once
is not changed again.

  casbah policy format my-policies
  casbah policy format --check my-policies      (exit code 1 when a file would change)
  casbah policy format - < mass-export.yaml")]
    Format {
        /// Files or folders; `-` for stdin, written to stdout
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
        /// Change nothing, name the files that would be
        #[arg(long)]
        check: bool,
    },
    /// Prints the JSON Schema of policy files, for editors
    #[command(after_help = "\
Put it beside your policies, and name it in the first line of each; editors with a YAML language server
complete and check then:

  casbah policy schema > policy.schema.json
  # yaml-language-server: $schema=policy.schema.json")]
    Schema {
        /// Only for policies of this detector
        #[arg(long, value_name = "DETECTOR")]
        detector: Option<String>,
    },
    /// Takes over Sigma rules and policy files that are right, and says why others are not
    #[command(after_help = "\
Sigma rules are copied unchanged into sigma/ of the folder of policies, and become policies whenever it is
read. Policies of casbah are checked and copied beside those there are.

  casbah policy import sigma/rules/cloud/aws --output my-policies
  casbah policy import --show rule.yml          (prints the policy that a rule becomes)

Exit code 1 when a rule can't be used.")]
    Import {
        /// Files or folders
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
        /// The folder of policies to copy into [default: that in the settings]
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Only print what rules become
        #[arg(long)]
        show: bool,
    },
    /// Prints a policy file
    Show {
        /// Name of the policy
        name: String,
        /// The revision it had, or the beginning of it [default: as it is now]
        #[arg(long, value_name = "REVISION")]
        revision: Option<String>,
    },
    /// Shows what is in force since when, and what is wrong with the folder
    #[command(after_help = "\
While casbah runs it looks at the folder of policies every two seconds, and at once on SIGHUP. All of it
comes in force, or none: with one mistake in it, what was in force before stays so, and this says what is
wrong. Exit code 1 when something is.")]
    Status,
    /// Lists what was in force when, who put it there, and why
    #[command(after_help = "\
Who and why come from the command that changed a policy (--why), from the git commit that did, or from the
owner of the file.

  casbah policy history mass-export
  casbah policy show mass-export --revision 3f2a
  casbah policy rollback mass-export --why 'too quiet since Monday'")]
    History {
        /// Name of the policy [default: all]
        name: Option<String>,
        /// How many at most; 0 for all
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Writes an earlier revision of a policy back into its file
    Rollback {
        /// Name of the policy
        name: String,
        /// The revision, or the beginning of it [default: the one before]
        revision: Option<String>,
        /// Why; kept in the history
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Switches a policy on, in its file
    Enable {
        /// Name of the policy
        name: String,
        /// Why; kept in the history
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Switches a policy off, in its file; its alerts are kept
    Disable {
        /// Name of the policy
        name: String,
        /// Why; kept in the history
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Runs candidates beside the policies in force, and compares what they find
    #[command(subcommand)]
    Shadow(ShadowCommand),
    /// Says what policies would have raised on the stored log; stores and sends nothing
    #[command(after_help = "\
The whole stored log is evaluated, so that windows and baselines are as full as they were; --since
and --until choose which alerts are told. Behaviors that policies feed on are those in the log.

  casbah policy backtest                              the policies in force
  casbah policy backtest my-policy.yaml --since 30d
  casbah policy backtest my-policies --by user
  casbah policy backtest my-policies --html report.html")]
    Backtest(BacktestArgs),
    /// Says in what two versions of policies differ on the stored log
    #[command(after_help = "\
A file or folder each. Alerts are the same when they are about the same policy, group and window; two
single policies are compared whatever their names.

  casbah policy diff mass-export.yaml mass-export-2.yaml --since 30d
  git worktree add ../before HEAD~1 && casbah policy diff ../before/policies policies

Exit code 1 when they differ.")]
    Diff(DiffArgs),
    /// Says where the line of a policy must be for a number of alerts, by the stored log
    #[command(after_help = "\
The stored log is evaluated with every line out of reach, and the scores are gathered. Nothing is
written: put the line you choose into the policy file, as `line: X`.

  casbah policy calibrate
  casbah policy calibrate mass-download --budget 5")]
    Calibrate {
        /// Names of policies [default: all that have a line]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Alerts for every 1,000 users a week. Repeat or separate by commas
        #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [0.5, 2.0, 10.0])]
        budget: Vec<f64>,
    },
}

/// Arguments of `policy backtest`.
#[derive(Debug, Args)]
pub(crate) struct BacktestArgs {
    /// Files or folders [default: the policies in force]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Which alerts.
    #[command(flatten)]
    pub(crate) span: Span,
    /// Numbers of alerts instead of the alerts
    #[arg(long, value_name = "WHAT")]
    pub(crate) by: Option<By>,
    /// Writes a report for the browser, with a chart and the evidence
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Arguments of `policy diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// File or folder with the old policies
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// File or folder with the new policies
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    /// Which alerts.
    #[command(flatten)]
    pub(crate) span: Span,
}

/// A span of time.
#[derive(Debug, Args)]
pub(crate) struct Span {
    /// Only alerts from this time on: RFC 3339, a date, or a span back from now such as 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = when::checked)]
    pub(crate) since: Option<String>,
    /// Only alerts that began before this time
    #[arg(long, value_name = "TIME", value_parser = when::checked)]
    pub(crate) until: Option<String>,
}

/// What alerts are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// Day of the first activity, in UTC.
    Day,
    /// Whom it is about.
    User,
    /// Policy.
    Policy,
}

/// What to do with candidates.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A candidate is a policy file of the name of the policy it is to replace, in the folder `shadow` of the
policies. It sees the same activities, and nobody sees its alerts but `compare`.

  casbah policy shadow add mass-export.yaml --days 14
  casbah policy shadow compare mass-export
  casbah policy shadow promote mass-export --why 'half the noise, nothing lost'")]
pub(crate) enum ShadowCommand {
    /// Begins to run a policy in shadow, or runs it in another form from now on
    Add {
        /// The policy file
        file: PathBuf,
        /// Begin so many days back in the stored log [default: now]
        #[arg(long, value_name = "N")]
        days: Option<u32>,
        /// Why; kept in the history
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// Lists what runs in shadow
    List,
    /// Shows what only the policy in force found, what only the candidate found, and what both did
    Compare {
        /// Name of the policy
        name: String,
    },
    /// Puts a candidate in the place of the policy in force
    Promote {
        /// Name of the policy
        name: String,
        /// Why; kept in the history
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Ends a candidate and forgets what it has found
    Drop {
        /// Name of the policy
        name: String,
        /// Why; kept in the history
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
}

/// What to do with the directory.
#[derive(Debug, Subcommand)]
pub(crate) enum DirectoryCommand {
    /// Lists the people with their states and groups
    List {
        /// Only those in this state
        #[arg(long, value_name = "STATE", value_parser = ["active", "pending", "declined", "disabled", "leaving", "left", "deleted"])]
        state: Option<String>,
        /// How many at most; 0 for all
        #[arg(long, default_value_t = 1000, value_name = "N")]
        limit: usize,
    },
    /// Shows everything that is known of a person, where from, and which state it was in when
    Show {
        /// An e-mail address or sign-in name of the person
        #[arg(value_name = "EMAIL")]
        address: String,
    },
    /// Checks a directory file and says everything that is wrong with it
    #[command(after_help = "\
A directory file is CSV with a header, a JSON array of objects, or one JSON object a line:

  email,state,since,leaves,name,groups,aliases,admin,external
  ana@example.com,disabled,2026-11-20T17:30:00Z,,Ana,Sales;Board,a.lopez@example.com,no,no

Only `email` must be there; what is empty is unknown. States are active, pending, declined, disabled,
leaving, left and deleted. It is named in the settings file, and taken over when it changes:

  [directory]
  file = \"people.csv\"
  people = \"whose.yaml\"

The second says which account is whose where addresses do not tell (also as CSV: app,account,person):

  people:
    - person: ana@example.com
      accounts: [ana@old.example, {app: netdocuments, account: DUCOT-ANA}]")]
    Check {
        /// The file [default: those that the settings name]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// It is the file that says which account is whose
        #[arg(long, requires = "file")]
        people: bool,
    },
}

/// Arguments of `enrich`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Databases, ranges and lists are named in the settings file:

  [enrich]
  geo = [\"city-ipv4.mmdb\", \"city-ipv6.mmdb\", \"asn.mmdb\"]
  ranges = \"ip-ranges.yaml\"
  lists = [{name = \"tor-exits\", file = \"tor.txt\", tags = [\"tor\"]}]

  casbah enrich 192.0.2.7
  casbah enrich 'curl/8.5.0'
  casbah enrich ana@example.com
  casbah enrich check ip-ranges.yaml"
)]
pub(crate) struct EnrichArgs {
    /// What to do instead
    #[command(subcommand)]
    pub(crate) command: Option<EnrichCommand>,
    /// An IP address, what a client says of itself, or the e-mail address of a person
    #[arg(required = true, value_name = "VALUE")]
    pub(crate) value: Option<String>,
}

/// What to do with the sources of enrichment.
#[derive(Debug, Subcommand)]
pub(crate) enum EnrichCommand {
    /// Reads every source and shows its size, age and what is wrong with it
    Check {
        /// A file of ranges to check instead [default: everything the settings name]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Lists the plugins with versions, digests and times, and what adapters can't do
    List,
}

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Reads everything and says what is damaged
    Check,
    /// Writes the ordered view anew, without the space that deleted things took
    Compact,
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Checks the settings and shows each with where it comes from
    Check,
}
