//! The program: command line, settings, wiring.
//!
//! It is not a library: what is worth reusing lives in the rooms below.

mod cli;
mod command;
mod config;
mod control;
mod output;
mod plugins;
mod progress;
mod saved;
mod secrets;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use casbah_connect::Stop;
use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use crate::cli::{AlertCommand, Cli, Command, DirectoryCommand, PolicyCommand, ShadowCommand};
use crate::command::connect::Environment;
use crate::command::{Found, Missing, Misunderstood, Opened};
use crate::config::Config;
use crate::output::{Console, Output, Terminal, terminal_width};
use crate::plugins::Plugins;

/// Failed, or found what it was asked to look for.
const FAILED: u8 = 1;
/// Not understood.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results and go to stdout; both print themselves there.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let config = match Config::load(&cli.global) {
        Ok(config) => config,
        Err(error) => {
            complain(&mut Terminal, &error);
            return ExitCode::from(USAGE);
        }
    };
    if let Err(error) = log(&config.log) {
        complain(&mut Terminal, &error);
        return ExitCode::from(USAGE);
    }
    let mut output = Output::new(Box::new(Terminal), config.format, terminal_width());
    match start(cli, &config, &mut output) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&mut Terminal, &error);
            ExitCode::from(code_of(&error))
        }
    }
}

fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Misunderstood>() { USAGE } else { FAILED }
}

/// Says what went wrong; the causes follow unless the message tells them already.
fn complain(console: &mut dyn Console, error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = match text.split_once("\nhint: ") {
                Some((message, hint)) => format!("{message}: {cause}\nhint: {hint}"),
                None => format!("{text}: {cause}"),
            };
        }
    }
    // A list of mistakes begins every one of them with the word.
    let word = if text.starts_with("error: ") { "" } else { "error: " };
    console.talk(&format!("{word}{}\n", output::printable(&text)));
}

/// Whoever read the results has seen enough, e.g. `head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn log(filter: &str) -> Result<()> {
    // The compiler of plugins tells every step it takes; whoever wants that asks for it by name.
    const HUSHED: &str = "cranelift_codegen=warn,cranelift_frontend=warn,regalloc2=warn,\
        wasmtime=warn,wasmtime_environ=warn,wasmtime_internal_cranelift=warn,wasmtime_internal_jit_icache_coherence=warn";
    let filter = EnvFilter::try_new(format!("{HUSHED},{filter}")).with_context(|| {
        format!("`{filter}` is not a log filter\nhint: try `info`, or `casbah_connect=debug`")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

fn start(cli: Cli, config: &Config, output: &mut Output) -> Result<u8> {
    let code = |Found(found)| if found { FAILED } else { 0 };
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "casbah", &mut script);
            output.line(String::from_utf8(script)?.trim_end())?;
            Ok(0)
        }
        Command::Config(config_command) => {
            command::config::run(config_command, config, output).map(|()| 0)
        }
        Command::Plugin(plugin) => {
            command::plugin::run(plugin, &Plugins::load(config)?, output).map(|()| 0)
        }
        Command::Policy(
            PolicyCommand::Calibrate { .. } | PolicyCommand::Backtest(_) | PolicyCommand::Diff(_),
        ) => with_store(cli, config, output),
        Command::Policy(policy) if command::lifecycle::is_one(policy) => {
            with_store(cli, config, output)
        }
        Command::Policy(policy) => {
            command::policy::run(policy, config, &Plugins::load(config)?, output).map(code)
        }
        Command::Directory(DirectoryCommand::Check { file, people }) => {
            command::directory::check(file.as_deref(), *people, config, output).map(|()| 0)
        }
        Command::Enrich(args) if command::directory::person_of(args).is_some() => {
            with_store(cli, config, output)
        }
        Command::Enrich(args) => command::enrich::run(args, config, output).map(|()| 0),
        Command::Normalize(args) => {
            command::normalize::run(args, config, &Plugins::load(config)?, output).map(|()| 0)
        }
        Command::Scan(args) => {
            let plugins = Plugins::load(config)?;
            command::scan::run(args, config, &config.tenant, &plugins, output).map(code)
        }
        Command::Run(args) => command::run::run(args, config, output).map(code),
        Command::Connect(_)
        | Command::Connection(_)
        | Command::Directory(_)
        | Command::Activity(_)
        | Command::Alert(_)
        | Command::Behavior(_)
        | Command::Store(_) => with_store(cli, config, output),
    }
}

/// Carries out a command that needs the data folder: here, or in the process that holds it.
fn with_store(cli: Cli, config: &Config, output: &mut Output) -> Result<u8> {
    let arguments = std::env::args_os().skip(1).map(|argument| {
        argument
            .into_string()
            .map_err(|argument| anyhow::anyhow!("`{}` is not UTF-8", argument.to_string_lossy()))
    });
    let request = control::Request {
        arguments: arguments.collect::<Result<_>>()?,
        folder: std::env::current_dir()?,
        tenant: config.tenant.clone(),
        format: config.format,
        width: output.width,
        environment: control::environment(named(&cli.command)),
    };
    if let Some(code) = control::forward(&config.data, &request)? {
        return Ok(code);
    }
    let missing =
        if matches!(cli.command, Command::Connect(_)) { Missing::Make } else { Missing::Refuse };
    let opened = Opened::open(config, missing)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (handle, stop) = casbah_connect::stop();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.stop();
        }
        // Dropping the handle would ask to stop as well.
        std::future::pending::<()>().await;
    });
    let loaded = OnceLock::new();
    let plugins = || load_once(&loaded, config);
    let done = carry_out(
        &cli.command,
        &opened,
        &plugins,
        &request.environment,
        runtime.handle(),
        &stop,
        output,
    );
    opened.store.close()?;
    Ok(if done?.0 { FAILED } else { 0 })
}

fn load_once(loaded: &OnceLock<Arc<Plugins>>, config: &Config) -> Result<Arc<Plugins>> {
    if let Some(plugins) = loaded.get() {
        return Ok(Arc::clone(plugins));
    }
    let plugins = Arc::new(Plugins::load(config)?);
    Ok(Arc::clone(loaded.get_or_init(|| plugins)))
}

/// Carries out a command on an opened data folder.
fn carry_out(
    command: &Command,
    opened: &Opened,
    plugins: &dyn Fn() -> Result<Arc<Plugins>>,
    environment: &Environment,
    runtime: &tokio::runtime::Handle,
    stop: &Stop,
    output: &mut Output,
) -> Result<Found> {
    match command {
        Command::Connect(args) => {
            let plugins = plugins()?;
            let stop = stop.clone();
            runtime.block_on(command::connect::run(
                args,
                opened,
                &plugins,
                environment,
                stop,
                output,
            ))
        }
        Command::Connection(connection) => {
            runtime.block_on(command::connection::run(connection, opened, plugins, output))
        }
        Command::Activity(activity) => {
            command::activity::run(activity, opened, output).map(|()| Found(false))
        }
        Command::Alert(AlertCommand::Explain { id }) => {
            command::explain::run(id, opened, plugins()?.as_ref(), output).map(|()| Found(false))
        }
        Command::Alert(alert) => command::alert::run(alert, opened, output).map(|()| Found(false)),
        Command::Directory(directory) => {
            command::directory::run(directory, opened, output).map(|()| Found(false))
        }
        Command::Enrich(args) if let Some(address) = command::directory::person_of(args) => {
            command::directory::show(address, opened, output).map(|()| Found(false))
        }
        Command::Behavior(behavior) => {
            command::behavior::run(behavior, opened, output).map(|()| Found(false))
        }
        Command::Policy(PolicyCommand::Calibrate { names, budget }) => {
            let plugins = plugins()?;
            let set = command::policy::load(&opened.place(), plugins.as_ref())?;
            command::calibrate::run(names, budget, &set, opened, &plugins, stop, output)
                .map(|()| Found(false))
        }
        Command::Policy(PolicyCommand::Backtest(args)) => {
            let plugins = plugins()?;
            command::backtest::run(args, opened, &plugins, stop, output).map(|()| Found(false))
        }
        Command::Policy(PolicyCommand::Diff(args)) => {
            let plugins = plugins()?;
            command::backtest::diff(args, opened, &plugins, stop, output)
        }
        Command::Policy(policy) if command::lifecycle::is_one(policy) => {
            command::lifecycle::run(policy, opened, plugins()?.as_ref(), environment, output)
        }
        Command::Store(store) => command::store::run(store, opened, output).map(|()| Found(false)),
        _ => anyhow::bail!("this command is not carried out by a running casbah"),
    }
}

/// Carries out a request inside the process that holds the data folder. Returns the exit code.
pub(crate) fn answer(
    request: &control::Request,
    opened: &Opened,
    plugins: &Arc<Plugins>,
    runtime: &tokio::runtime::Handle,
    stop: &Stop,
    mut console: Box<dyn Console>,
) -> u8 {
    let arguments = std::iter::once("casbah").chain(request.arguments.iter().map(String::as_str));
    let mut cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            console.talk(&error.to_string());
            return USAGE;
        }
    };
    cli.resolve_paths(&request.folder);
    let mut opened = opened.for_tenant(request.tenant.clone());
    if let Some(policies) = &cli.global.policies {
        // Named like this, they take the place of the built-in ones, unless the settings keep both.
        opened.built_in_policies &= opened.policies.is_some();
        opened.policies = Some(request.folder.join(policies));
    }
    let mut output = Output::new(console, request.format, request.width);
    let plugins = || Ok(Arc::clone(plugins));
    let environment = &request.environment;
    match carry_out(&cli.command, &opened, &plugins, environment, runtime, stop, &mut output) {
        Ok(Found(found)) => u8::from(found) * FAILED,
        Err(error) => {
            complain(output.console(), &error);
            code_of(&error)
        }
    }
}

/// The environment variables that a command names for secret settings.
fn named(command: &Command) -> Vec<String> {
    match command {
        Command::Connect(args) => args.settings.as_deref().map(secrets::named).unwrap_or_default(),
        _ => Vec::new(),
    }
}

impl Cli {
    /// Relative paths are meant from the folder in which the command was typed.
    fn resolve_paths(&mut self, folder: &Path) {
        match &mut self.command {
            Command::Policy(PolicyCommand::Backtest(args)) => {
                let files = args.paths.iter_mut().chain(args.html.as_mut());
                files.for_each(|path| *path = folder.join(&*path));
            }
            Command::Policy(PolicyCommand::Diff(args)) => {
                let files = [&mut args.old, &mut args.new];
                files.into_iter().for_each(|path| *path = folder.join(&*path));
            }
            _ => {}
        }
        if let Command::Connect(args) = &mut self.command {
            let files =
                [&mut args.client_secret_file, &mut args.certificate_file, &mut args.token_file];
            for path in files.into_iter().flatten() {
                if path.as_os_str() != "-" {
                    *path = folder.join(&*path);
                }
            }
            args.folder = Some(folder.to_owned());
        }
        if let Command::Policy(PolicyCommand::Shadow(ShadowCommand::Add { file, .. })) =
            &mut self.command
        {
            *file = folder.join(&*file);
        }
    }
}
