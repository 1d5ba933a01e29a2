//! `casbah connect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use casbah_connect::connection::{Connection, Method};
use casbah_connect::oauth::{
    Certificate, ClientCredentials, Grant, Listener, Redirect, SignIn, SignIns,
};
use casbah_connect::{Hosts, NewConnection, Stop, Switch, check_settings, secret_references};
use casbah_model::adapter::{Adapter, AdapterDescription};
use secrecy::SecretString;

use crate::cli::{ConnectArgs, Format};
use crate::command::{Found, Misunderstood, Opened};
use crate::output::Output;
use crate::plugins::Plugins;
use crate::secrets;

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
    let description = adapter.description();
    if description.streams.is_empty() {
        bail!(Misunderstood(format!(
            "`{0}` is no app to connect: its adapter reads saved files\nhint: `casbah scan --app {0} FILE`",
            args.app
        )));
    }
    let connections = &opened.connections;
    let before = connections.list(&opened.tenant)?.into_iter().map(|report| report.connection);
    let before = before.into_iter().find(|connection| connection.name == args.name);
    if before.is_some() && !args.replace {
        bail!(
            "there is a connection `{}` already\nhint: choose another name, or sign it in anew with --replace",
            args.name
        );
    }
    let before = before.filter(|before| before.app == description.name);
    let mut new = wanted(args, before.as_ref())?;
    let references = secret_references(description, &mut new.settings)?;
    // Before anybody is sent to a consent page, or asked for a secret.
    check_settings(description, &new.settings)?;
    let hosts = Hosts::resolve(description, new.region.as_deref(), &new.hosts)
        .map_err(|error| Misunderstood(error.to_string()))?;

    new.secrets = secrets::read(references, args.folder.as_deref(), environment, output)?;
    let (grant, credentials) = match personal_token(args, adapter.as_ref(), environment, output)? {
        Some(token) => (Grant::personal(&token, connections.clock().now())?, None),
        None if is_service(args, description, before.as_ref()) => {
            let (http, clock) = (connections.http(), connections.clock());
            // What can't work for want of a setting is told before anybody is asked.
            Grant::check_client(description, &hosts, &new.settings)?;
            let credentials = client(args, environment, output)?;
            if credentials.secret.is_none() && credentials.certificate.is_none() {
                bail!(
                    "the client secret is empty: an application can't sign in by itself without one"
                );
            }
            let grant =
                Grant::of_client(description, &hosts, &new.settings, &credentials, http, clock);
            (grant.await?, Some(credentials))
        }
        None if args.certificate_file.is_some() => {
            bail!(
                "--certificate-file is for applications that sign in by themselves\nhint: add --service"
            );
        }
        None => {
            let credentials = client(args, environment, output)?;
            let sign_in = consent(
                args,
                description,
                &hosts,
                &new.settings,
                &credentials,
                opened,
                stop,
                output,
            )
            .await?;
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

/// The connection as it is wanted: what was not said stays as it was before.
fn wanted(args: &ConnectArgs, before: Option<&Connection>) -> Result<NewConnection> {
    let mut new = NewConnection::new(args.name.clone());
    let named = args.region.is_some() || args.api_base.is_some() || args.sign_in.is_some();
    new.region.clone_from(&args.region);
    for (host, address) in [("api", &args.api_base), ("sign-in", &args.sign_in)] {
        if let Some(address) = address {
            new.hosts.insert(host.to_owned(), address.trim_end_matches('/').to_owned());
        }
    }
    if let Some(settings) = &args.settings {
        // They are not repeated: somebody may have put a secret there.
        new.settings = serde_json::from_str(settings).with_context(
            || "the settings are not JSON\nhint: write them like {\"NAME\": \"VALUE\"}",
        )?;
    }
    new.budget.clone_from(&args.budget);
    new.requests_per_minute = args.requests_per_minute;
    new.internal_domains.clone_from(&args.domain);
    new.connected_by = std::env::var("USER").unwrap_or_default();
    let Some(before) = before else { return Ok(new) };
    if !named {
        new.region = Some(before.region.clone());
        new.hosts.clone_from(&before.hosts);
    }
    if args.settings.is_none() {
        new.settings.clone_from(&before.settings);
    }
    if args.domain.is_empty() {
        new.internal_domains.clone_from(&before.internal_domains);
    }
    new.budget = new.budget.or_else(|| before.budget.clone());
    new.requests_per_minute = new.requests_per_minute.or(before.requests_per_minute);
    Ok(new)
}

/// Whether an application is to sign in by itself: when that is asked for, was so before, or is the
/// only way.
fn is_service(
    args: &ConnectArgs,
    description: &AdapterDescription,
    before: Option<&Connection>,
) -> bool {
    let only = description
        .oauth
        .as_ref()
        .is_some_and(|oauth| oauth.authorize.is_none() && oauth.client_credentials.is_some());
    // Who names a way to a consent page wants that.
    let consent = args.paste || args.browser.is_some() || args.redirect.is_some();
    let before = before.is_some_and(|before| before.method == Method::Service) && !consent;
    args.service || only || before
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
        Some(id) => id.trim().to_owned(),
        None => output.ask("client id", false)?.trim().to_owned(),
    };
    if id.is_empty() {
        bail!("the client id is empty");
    }
    if let Some(path) = &args.certificate_file {
        let certificate = Certificate::from_pem(SecretString::from(read_secret(path)?))
            .with_context(|| format!("`{}`", path.display()))?;
        return Ok(ClientCredentials { id, secret: None, certificate: Some(certificate) });
    }
    let secret = match (&args.client_secret_file, environment.get("CASBAH_CLIENT_SECRET")) {
        (Some(path), _) => read_secret(path)?,
        (None, Some(secret)) => secret.clone(),
        (None, None) => output.ask("client secret", true)?,
    };
    let secret = secret.trim();
    let secret = (!secret.is_empty()).then(|| SecretString::from(secret.to_owned()));
    Ok(ClientCredentials { id, secret, certificate: None })
}

fn read_secret(path: &PathBuf) -> Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("the secret file `{}` can't be read", path.display()))
}

/// Sends the administrator to the consent page and waits for the answer.
#[expect(clippy::too_many_arguments, reason = "each is something else, and there is one caller")]
async fn consent(
    args: &ConnectArgs,
    description: &AdapterDescription,
    hosts: &Hosts,
    settings: &serde_json::Value,
    credentials: &ClientCredentials,
    opened: &Opened,
    mut stop: Stop,
    output: &mut Output,
) -> Result<SignIn> {
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
    let started =
        sign_ins.start(description, hosts, settings, credentials.clone(), redirect, SESSION)?;
    output.say(&format!(
        "Open this address where you are signed in to {} as an administrator:",
        description.title
    ));
    // The one thing that a script may want to pick up.
    output.line(started.address.as_str())?;
    output.say(&format!("The redirect address must be registered: {}", started.redirect.url()));
    let mut browser = match &args.browser {
        Some(command) => Browser::open(command, started.address.as_str(), output)?,
        None => None,
    };
    if let (Some(listener), false) = (&mut listener, args.paste) {
        output.say("Waiting for the answer; Ctrl-C gives up.");
        let mut answer = pin!(tokio::time::timeout(PATIENCE, listener.wait(&mut stop)));
        loop {
            tokio::select! {
                sign_in = &mut answer => return match sign_in {
                    Ok(sign_in) => Ok(sign_in?),
                    Err(_) => bail!("nobody consented within ten minutes\nhint: try again"),
                },
                failed = Browser::failed(&mut browser) => {
                    browser = None;
                    if let Some(failed) = failed {
                        output.say(&format!("{failed}\n{}", by_hand(started.address.as_str())));
                    }
                }
            }
        }
    }
    let pasted = output.ask("address that the browser ended up at", false)?;
    Ok(sign_ins.paste(&pasted, SESSION)?)
}

fn by_hand(address: &str) -> String {
    format!("hint: open the address by hand: {address}")
}

/// The command that opens the consent page.
struct Browser {
    command: String,
    child: tokio::process::Child,
}

impl Browser {
    /// Starts it; whatever it prints is none of our results. That it can't be started is said, and no
    /// reason to give up: the address can be opened by hand.
    fn open(command: &str, address: &str, output: &mut Output) -> Result<Option<Self>> {
        let mut words = command.split_whitespace();
        let program = words.next().context("the command for --browser is empty")?;
        let child = tokio::process::Command::new(program)
            .args(words)
            .arg(address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Ok(Some(Self { command: command.to_owned(), child })),
            Err(error) => {
                output.say(&format!(
                    "the browser `{program}` can't be started: {error}\n{}",
                    by_hand(address)
                ));
                Ok(None)
            }
        }
    }

    /// Waits until it has ended, and says so if it failed. Without one it waits for ever.
    async fn failed(browser: &mut Option<Self>) -> Option<String> {
        let Some(Self { command, child }) = browser else { return std::future::pending().await };
        match child.wait().await {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("the browser command `{command}` failed: {status}")),
            Err(error) => Some(format!("the browser command `{command}` failed: {error}")),
        }
    }
}
