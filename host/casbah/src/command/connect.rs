//! `casbah connect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use casbah_connect::oauth::{ClientCredentials, Grant, Listener, Redirect, SignIn, SignIns};
use casbah_connect::{Hosts, NewConnection, Stop, Switch};
use casbah_model::adapter::Adapter;
use secrecy::SecretString;

use crate::cli::{ConnectArgs, Format};
use crate::command::{Found, Opened};
use crate::output::Output;
use crate::plugins::Plugins;

/// Secrets that were handed over by the environment of whoever typed the command.
pub(crate) type Environment = BTreeMap<String, String>;

/// How long an answer is waited for: a sign-in is good for that long.
const PATIENCE: Duration = Duration::from_secs(600);

/// A session here is one run of this command.
const SESSION: &str = "command";

pub(crate) async fn run(
    args: &ConnectArgs,
    opened: &Opened,
    plugins: &Plugins,
    environment: &Environment,
    stop: Stop,
    output: &mut Output,
) -> Result<Found> {
    let adapter = Arc::new(plugins.adapter(&args.app)?.clone());
    let connections = &opened.connections;
    let exists =
        connections.list(&opened.tenant)?.iter().any(|report| report.connection.name == args.name);
    if exists && !args.replace {
        bail!(
            "there is a connection `{}` already\nhint: choose another name, or sign it in anew with --replace",
            args.name
        );
    }
    let mut new = NewConnection::new(args.name.clone());
    new.region.clone_from(&args.region);
    for (host, address) in [("api", &args.api_base), ("sign-in", &args.sign_in)] {
        if let Some(address) = address {
            new.hosts.insert(host.to_owned(), address.trim_end_matches('/').to_owned());
        }
    }
    new.settings = serde_json::from_str(&args.settings)
        .with_context(|| format!("the settings `{}` are not JSON", args.settings))?;
    new.budget.clone_from(&args.budget);
    new.requests_per_minute = args.requests_per_minute;
    new.internal_domains.clone_from(&args.domain);
    new.connected_by = std::env::var("USER").unwrap_or_default();

    let (grant, credentials) = match personal_token(args, adapter.as_ref(), environment, output)? {
        Some(token) => (Grant::personal(&token, connections.clock().now())?, None),
        None => {
            let credentials = client(args, environment, output)?;
            let hosts = Hosts::resolve(adapter.description(), new.region.as_deref(), &new.hosts)?;
            let sign_in =
                consent(args, adapter.as_ref(), &hosts, &credentials, opened, stop, output).await?;
            let grant = sign_in.redeem(connections.http(), connections.clock()).await?;
            (grant, Some(credentials))
        }
    };
    // Position and accounts of one organization do not fit another: for that a new name is needed.
    let established = connections
        .establish(&opened.tenant, new, grant, credentials, adapter, Switch::Refuse)
        .await?;
    let check = &established.check;
    match output.format {
        Format::Json => output.json(&serde_json::json!({
            "connection": established.report,
            "test": check,
        }))?,
        Format::Table => output.line(check.to_string().trim_end())?,
    }
    if check.passed() {
        output.say(&format!("connection `{}` is ready; `casbah run` fetches it", args.name));
    } else {
        output.say(&format!(
            "connection `{}` is kept, but does not work yet; put that right and try `casbah connection test {}`",
            args.name, args.name
        ));
    }
    Ok(Found(!check.passed()))
}

/// The token made by hand, when one is to be used.
fn personal_token(
    args: &ConnectArgs,
    adapter: &dyn Adapter,
    environment: &Environment,
    output: &mut Output,
) -> Result<Option<SecretString>> {
    let token = match &args.token_file {
        Some(path) if path == Path::new("-") => output.ask("access token", true)?,
        Some(path) => read_secret(path)?,
        None => match environment.get("CASBAH_TOKEN") {
            Some(token) => token.clone(),
            None => return Ok(None),
        },
    };
    if !adapter.description().personal_token {
        bail!("`{}` takes no tokens made by hand; connect without --token-file", args.app);
    }
    Ok(Some(SecretString::from(token.trim().to_owned())))
}

fn client(
    args: &ConnectArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<ClientCredentials> {
    let id = match args.client_id.as_ref().or_else(|| environment.get("CASBAH_CLIENT_ID")) {
        Some(id) => id.clone(),
        None => output.ask("client id", false)?,
    };
    let secret = match (&args.client_secret_file, environment.get("CASBAH_CLIENT_SECRET")) {
        (Some(path), _) => read_secret(path)?,
        (None, Some(secret)) => secret.clone(),
        (None, None) => output.ask("client secret", true)?,
    };
    if id.trim().is_empty() {
        bail!("the client id is empty");
    }
    let secret = secret.trim();
    Ok(ClientCredentials {
        id: id.trim().to_owned(),
        secret: (!secret.is_empty()).then(|| SecretString::from(secret.to_owned())),
    })
}

fn read_secret(path: &PathBuf) -> Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("the secret file `{}` can't be read", path.display()))
}

/// Sends the administrator to the consent page and waits for the answer.
async fn consent(
    args: &ConnectArgs,
    adapter: &dyn Adapter,
    hosts: &Hosts,
    credentials: &ClientCredentials,
    opened: &Opened,
    mut stop: Stop,
    output: &mut Output,
) -> Result<SignIn> {
    let description = adapter.description();
    let sign_ins = Arc::new(SignIns::new(opened.connections.clock().clone()));
    let mut listener = match (&args.redirect, args.paste) {
        (Some(_), false) => {
            bail!("--redirect goes with --paste: nobody listens at another address")
        }
        (Some(_), true) => None,
        (None, _) => {
            let sign_ins = Arc::clone(&sign_ins);
            Some(Listener::bind(args.port, &args.app, hosts.region(), sign_ins, SESSION).await?)
        }
    };
    let redirect = match (&args.redirect, &listener) {
        (Some(address), _) => Redirect::registered(address)?,
        (None, Some(listener)) => listener.redirect().clone(),
        (None, None) => bail!("there is no redirect address"),
    };
    let started = sign_ins.start(description, hosts, credentials.clone(), redirect, SESSION)?;
    output.say(&format!(
        "Open this address where you are signed in to {} as an administrator:",
        description.title
    ));
    // The one thing that a script may want to pick up.
    output.line(started.address.as_str())?;
    output.say(&format!("The redirect address must be registered: {}", started.redirect.url()));
    if let Some(command) = &args.browser {
        open(command, started.address.as_str())?;
    }
    if let (Some(listener), false) = (&mut listener, args.paste) {
        output.say("Waiting for the answer; Ctrl-C gives up.");
        return match tokio::time::timeout(PATIENCE, listener.wait(&mut stop)).await {
            Ok(sign_in) => Ok(sign_in?),
            Err(_) => bail!("nobody consented within ten minutes\nhint: try again"),
        };
    }
    let pasted = output.ask("address that the browser ended up at", false)?;
    Ok(sign_ins.paste(&pasted, SESSION)?)
}

/// Starts the browser; whatever it prints is none of our results.
fn open(command: &str, address: &str) -> Result<()> {
    let mut words = command.split_whitespace();
    let program = words.next().context("the command for --browser is empty")?;
    std::process::Command::new(program)
        .args(words)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("the browser `{program}` can't be started"))?;
    Ok(())
}
