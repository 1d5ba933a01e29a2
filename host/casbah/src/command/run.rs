//! `casbah run`: fetches every enabled connection, evaluates the log, answers other commands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use casbah_connect::directory::Directory;
use casbah_connect::fetch::{Ended, Fetch, Fetched};
use casbah_connect::{
    ConnectError, ConnectErrorKind, Connection, ConnectionReport, Stop, StopHandle, Warning,
};
use casbah_detect::{Evaluator, EvaluatorOptions, EvaluatorStatus};
use casbah_enrich::Enricher;
use casbah_model::ConnectionName;
use casbah_model::adapter::Adapter as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch as channel;
use tokio::task::JoinHandle;

use crate::cli::RunArgs;
use crate::command::directory::Files;
use crate::command::watch::{self, Watch};
use crate::command::{Found, Missing, Opened, enrich, when};
use crate::config::Config;
use crate::control;
use crate::output::{Output, counted};
use crate::plugins::Plugins;
use crate::progress::Status;

const DAY: i64 = 86_400_000;
/// How often connections are looked at for changes.
const RECONCILE: Duration = Duration::from_secs(1);
/// How often old activities are dropped.
const RETENTION: Duration = Duration::from_secs(600);
/// How often the sources of enrichment are looked at for changes.
const RELOAD: Duration = Duration::from_secs(60);
/// How often the files of the directory are looked at, and what has come with time is told.
const LOOK: Duration = Duration::from_secs(5);
/// How often the folder of policies is looked at.
const POLICIES: Duration = Duration::from_secs(2);
/// How long the evaluation is waited for at a time, so that a signal is heard in between.
const SLICE: Duration = Duration::from_millis(250);

pub(crate) fn run(args: &RunArgs, config: &Config, output: &mut Output) -> Result<Found> {
    let enricher = Arc::new(Enricher::open(&config.enrich)?);
    enrich::warn(&enricher, output);
    let opened = Opened::open(config, Missing::Make)?;
    let plugins = Arc::new(Plugins::load(config)?);
    if opened.connections.list(&opened.tenant)?.is_empty() {
        output.say("there are no connections yet\nhint: make one with `casbah connect`");
    }
    let directory = opened.connections.directory(&opened.tenant)?;
    let mut files = Files::new(config.directory.clone());
    // Before anything is fetched, so that it can be joined.
    files.look(&directory)?;
    let (evaluator, policies) = evaluate(&opened, &plugins, &directory)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Before anybody can know that it runs: a signal that nobody hears would end it.
    let hang_up = {
        let _entered = runtime.enter();
        signal(SignalKind::hangup())?
    };
    let (handle, stop) = casbah_connect::stop();
    let served = {
        let (opened, plugins) = (opened.clone(), Arc::clone(&plugins));
        let (runtime, stop) = (runtime.handle().clone(), stop.clone());
        let served = control::serve(&config.data, move |request, console| {
            crate::answer(&request, &opened, &plugins, &runtime, &stop, console)
        });
        // A data folder with too long a path has no room for a socket; fetching needs none.
        served
            .inspect_err(|error| {
                let text = format!("other commands can't reach this casbah: {error:#}");
                output.say(&text);
            })
            .ok()
    };
    let supervisor = Supervisor {
        backfill: i64::from(args.backfill_days.unwrap_or(config.backfill_days)) * DAY,
        retention: i64::from(args.retention_days.unwrap_or(config.retention_days)) * DAY,
        once: args.once,
        opened: opened.clone(),
        plugins,
        enricher,
        directory,
        files: Arc::new(Mutex::new(files)),
        evaluator,
        policies,
        status: Status::new(),
        tasks: BTreeMap::new(),
        results: Vec::new(),
        failed: BTreeMap::new(),
        warned: BTreeMap::new(),
        keeping: None,
    };
    let ended = runtime.block_on(supervisor.run(handle, stop, hang_up));
    drop(served);
    // Tasks that still wait for an answer must not keep the program: all they hold is safe.
    runtime.shutdown_timeout(Duration::from_secs(1));
    opened.store.close()?;
    let troubled = report(&ended?, output);
    Ok(Found(args.once && troubled))
}

/// Begins to evaluate with the policies that the folder has now, and to watch it.
fn evaluate(
    opened: &Opened,
    plugins: &Arc<Plugins>,
    directory: &Arc<Directory>,
) -> Result<(Arc<Evaluator>, Arc<Watch>)> {
    let place = opened.place();
    let known = directory.groups();
    let stamp = place.stamp();
    let wanted = place.read((!known.is_empty()).then_some(&known), plugins.as_ref())?;
    let (store, tenant) = (Arc::clone(&opened.store), opened.tenant.clone());
    watch::warn(&wanted);
    let before = watch::stored_versions(store.as_ref(), &tenant, &wanted);
    let folder = place.folder.as_deref();
    let origins = Arc::new(watch::origins(store.as_ref(), &tenant, folder, &wanted, &before));
    let evaluator = Arc::new(Evaluator::start(
        Arc::clone(&store),
        tenant.clone(),
        wanted.groups(plugins.as_ref(), &origins)?,
        EvaluatorOptions::default(),
    )?);
    let (plugins, directory) = (Arc::clone(plugins), Arc::clone(directory));
    let watch =
        Arc::new(Watch::new(tenant, place, stamp, &wanted, plugins, store, directory, &evaluator));
    opened.set_watch(Arc::clone(&watch));
    Ok((evaluator, watch))
}

/// Keeps a task for every enabled connection.
struct Supervisor {
    backfill: i64,
    retention: i64,
    once: bool,
    opened: Opened,
    plugins: Arc<Plugins>,
    enricher: Arc<Enricher>,
    directory: Arc<Directory>,
    files: Arc<Mutex<Files>>,
    evaluator: Arc<Evaluator>,
    policies: Arc<Watch>,
    status: Status,
    tasks: BTreeMap<ConnectionName, Running>,
    results: Vec<Fetched>,
    /// Connections that can't be fetched at all, as they were when that was found, and why.
    failed: BTreeMap<ConnectionName, (Connection, String)>,
    /// What was told about connections in which nothing fails.
    warned: BTreeMap<ConnectionName, Vec<Warning>>,
    /// Keeps grants alive.
    keeping: Option<JoinHandle<()>>,
}

/// A connection that is being fetched, as it was when that began.
struct Running {
    connection: Connection,
    stop: StopHandle,
    task: JoinHandle<Result<Fetched, ConnectError>>,
}

/// How everything ended.
struct Finished {
    fetched: Vec<Fetched>,
    /// Connections that could not be fetched at all, and why.
    failed: Vec<(ConnectionName, String)>,
    groups: Vec<EvaluatorStatus>,
    /// Whether everything that was wanted was done.
    complete: bool,
}

impl Supervisor {
    async fn run(
        mut self,
        handle: StopHandle,
        mut stop: Stop,
        mut hang_up: Signal,
    ) -> Result<Finished> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (log_end, mut grown) = channel::channel(0_u64);
        let waker = self.evaluator.waker();
        tokio::spawn(async move {
            while grown.changed().await.is_ok() {
                waker.wake();
            }
        });
        let mut reconcile = tokio::time::interval(RECONCILE);
        let mut retention = tokio::time::interval(RETENTION);
        let mut reload = tokio::time::interval(RELOAD);
        let mut look = tokio::time::interval(LOOK);
        let mut policies = tokio::time::interval(POLICIES);
        loop {
            tokio::select! {
                _ = terminate.recv() => handle.stop(),
                _ = interrupt.recv() => handle.stop(),
                () = stop.wanted() => break,
                _ = retention.tick() => {
                    self.retain().await;
                    self.keep_alive(&stop);
                }
                _ = reload.tick() => self.reload(),
                _ = look.tick() => self.look(&log_end),
                _ = policies.tick() => self.look_at_policies(false),
                _ = hang_up.recv() => self.look_at_policies(true),
                _ = reconcile.tick() => {
                    self.reconcile(&log_end).await?;
                    self.status.evaluation(&self.evaluator.status());
                    if self.once && self.tasks.is_empty() {
                        break;
                    }
                }
                () = self.any_ended(), if self.once => {
                    self.collect().await?;
                    if self.tasks.is_empty() {
                        break;
                    }
                }
            }
        }
        let mut complete = false;
        if !stop.is_wanted() {
            self.status.say("evaluating what was fetched");
            while !stop.is_wanted() {
                tokio::select! {
                    _ = terminate.recv() => handle.stop(),
                    _ = interrupt.recv() => handle.stop(),
                    done = self.evaluated() => if let Some(done) = done? {
                        complete = done;
                        break;
                    },
                }
            }
        }
        for running in self.tasks.values() {
            running.stop.stop();
        }
        for (name, running) in std::mem::take(&mut self.tasks) {
            self.settle(&name, running).await?;
        }
        if let Some(keeping) = self.keeping.take() {
            keeping.await?;
        }
        let (evaluator, policies) = (self.evaluator, self.policies);
        let groups = tokio::task::spawn_blocking(move || {
            policies.close();
            match Arc::try_unwrap(evaluator) {
                Ok(evaluator) => evaluator.stop(),
                // Whoever still holds it only looks at it; what is not written is computed again.
                Err(evaluator) => evaluator.status(),
            }
        })
        .await?;
        self.status.finish();
        let failed = self.failed.into_iter().map(|(name, (_, why))| (name, why)).collect();
        Ok(Finished { fetched: self.results, failed, groups, complete })
    }

    /// Waits a moment for the evaluation. `Some(true)` when it has evaluated everything, `Some(false)`
    /// when it will not, `None` when it is still at it.
    async fn evaluated(&mut self) -> Result<Option<bool>> {
        let evaluator = Arc::clone(&self.evaluator);
        let caught_up =
            tokio::task::spawn_blocking(move || evaluator.wait_caught_up(SLICE)).await?;
        let groups = self.evaluator.status();
        // What evaluation itself has added to the log meanwhile is evaluated, too.
        if caught_up && groups.iter().all(|group| group.lag_rows == 0) {
            return Ok(Some(true));
        }
        let troubled = |group: &EvaluatorStatus| group.trouble.is_some();
        let stuck = |group: &EvaluatorStatus| group.lag_rows == 0 || troubled(group);
        // Without any trouble it has only not been written yet that everything is evaluated.
        Ok((groups.iter().any(troubled) && groups.iter().all(stuck)).then_some(false))
    }

    /// Returns once a task has ended.
    async fn any_ended(&self) {
        while !self.tasks.values().any(|running| running.task.is_finished()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Takes the results of tasks that have ended.
    async fn collect(&mut self) -> Result<()> {
        let ended: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, running)| running.task.is_finished())
            .map(|(name, _)| name.clone())
            .collect();
        for name in ended {
            if let Some(running) = self.tasks.remove(&name) {
                self.settle(&name, running).await?;
            }
        }
        Ok(())
    }

    /// Takes what came of a task. Only a store that does not work any more ends the program: what is
    /// wrong with one connection is no reason to stop the others.
    async fn settle(&mut self, name: &ConnectionName, running: Running) -> Result<()> {
        let result = running.task.await;
        self.opened.fetching().remove(&(self.opened.tenant.clone(), name.clone()));
        match result? {
            Ok(fetched) => {
                // Only the last result of a connection counts.
                self.results.retain(|earlier| earlier.report.connection.name != *name);
                self.results.push(fetched);
            }
            Err(error) if error.kind() == ConnectErrorKind::Store => {
                return Err(error).with_context(|| format!("connection `{name}`"));
            }
            Err(error) => {
                if self.opened.connections.get(&self.opened.tenant, name).is_ok() {
                    self.fail(running.connection, error.to_string());
                } else {
                    tracing::info!(connection = %name, "removed while it was fetched");
                }
            }
        }
        Ok(())
    }

    /// Remembers that a connection can't be fetched as it is.
    fn fail(&mut self, connection: Connection, why: String) {
        self.status.trouble(&connection.name, &why);
        self.failed.insert(connection.name.clone(), (connection, why));
    }

    /// Whether a connection should be fetched and is not.
    fn is_due(&self, connection: &Connection) -> bool {
        let name = &connection.name;
        // What ended needs an administrator, who signs in anew or switches it off and on again;
        // either is seen as a change.
        let ended = self.results.iter().any(|fetched| {
            fetched.report.connection == *connection
                && (self.once || fetched.ended == Ended::ReconnectNeeded)
        });
        let failed = self.failed.get(name).is_some_and(|(before, _)| before == connection);
        connection.enabled && !ended && !failed && !self.tasks.contains_key(name)
    }

    /// Starts what should run and does not, and stops what should not run and does.
    async fn reconcile(&mut self, log_end: &channel::Sender<u64>) -> Result<()> {
        self.collect().await?;
        let tenant = self.opened.tenant.clone();
        let wanted = self.opened.connections.list(&tenant)?;
        for (name, running) in &self.tasks {
            let same = wanted.iter().any(|report| report.connection == running.connection);
            if !same {
                tracing::info!(connection = %name, "stopped: it was changed");
                running.stop.stop();
            }
        }
        self.warn(&wanted);
        let due: Vec<Connection> = wanted
            .into_iter()
            .map(|report| report.connection)
            .filter(|connection| self.is_due(connection))
            .collect();
        for connection in &due {
            let adapter = self.plugins.adapter(&connection.app);
            // All of them before the first fetch begins, which may be that of another app.
            if adapter.is_ok_and(|adapter| adapter.description().directory) {
                self.directory.expect(&connection.name);
            }
        }
        for connection in due {
            let name = connection.name.clone();
            self.failed.remove(&name);
            let adapter = match self.plugins.adapter(&connection.app) {
                Ok(adapter) => Arc::new(adapter.clone()),
                Err(error) => {
                    self.fail(connection, error.to_string());
                    continue;
                }
            };
            let mut fetch =
                Fetch::new(tenant.clone(), name.clone(), adapter, when::now() - self.backfill);
            fetch.until_caught_up = self.once;
            fetch.log_end = Some(log_end.clone());
            fetch.enricher = Arc::clone(&self.enricher);
            fetch.observer = self.status.observer();
            let (stop, stopped) = casbah_connect::stop();
            let connections = self.opened.connections.clone();
            // Before it begins, so that a removal never takes it for one that is not fetched.
            self.opened.fetching().insert((tenant.clone(), name.clone()));
            let task = tokio::spawn(async move { connections.fetch(fetch, stopped).await });
            self.tasks.insert(name, Running { connection, stop, task });
        }
        Ok(())
    }

    /// Tells what has to be looked at although nothing fails, once for every different thing.
    fn warn(&mut self, reports: &[ConnectionReport]) {
        for report in reports {
            let name = &report.connection.name;
            let told = self.warned.get(name).map_or(&[][..], Vec::as_slice);
            if told == report.warnings {
                continue;
            }
            for warning in report.warnings.iter().filter(|warning| !told.contains(warning)) {
                tracing::warn!(connection = %name, remedy = warning.remedy, "{}", warning.reason);
            }
            self.warned.insert(name.clone(), report.warnings.clone());
        }
    }

    /// Keeps the grants of connections alive that are switched off. Only the end waits for it: the app
    /// may be slow to answer, and a refresh that is broken off may cost the grant.
    fn keep_alive(&mut self, stop: &Stop) {
        if self.once || self.keeping.as_ref().is_some_and(|keeping| !keeping.is_finished()) {
            return;
        }
        let Opened { connections, tenant, .. } = self.opened.clone();
        let (plugins, stop) = (Arc::clone(&self.plugins), stop.clone());
        self.keeping = Some(tokio::spawn(async move {
            for report in connections.list(&tenant).unwrap_or_default() {
                let name = &report.connection.name;
                let Ok(adapter) = plugins.adapter(&report.connection.app) else { continue };
                if stop.is_wanted() {
                    break;
                }
                match connections.keep_alive(&tenant, name, adapter.description()).await {
                    Ok(false) => {}
                    Ok(true) => tracing::info!(connection = %name, "its grant is kept alive"),
                    Err(error) => {
                        tracing::warn!(connection = %name, %error, "its grant can't be kept alive");
                    }
                }
            }
        }));
    }

    /// Takes new databases, ranges and lists. Nothing waits for it: a database may be large.
    fn reload(&self) {
        let enricher = Arc::clone(&self.enricher);
        tokio::task::spawn_blocking(move || match enricher.reload_changed() {
            Ok(false) => {}
            Ok(true) => tracing::info!("new sources of enrichment are in use"),
            Err(errors) => {
                tracing::warn!(
                    "what enrichment had stays in use, a newer file is refused:\n{errors}"
                );
            }
        });
    }

    /// Looks at the files of the directory. Nothing waits for it: they may be large.
    fn look(&self, log_end: &channel::Sender<u64>) {
        let (directory, files) = (Arc::clone(&self.directory), Arc::clone(&self.files));
        let log_end = log_end.clone();
        tokio::task::spawn_blocking(move || {
            // Whoever is still at it will see everything.
            let Ok(mut files) = files.try_lock() else { return };
            match files.look(&directory) {
                Ok(taken) => {
                    if taken.changed > 0 {
                        tracing::info!(
                            changed = taken.changed,
                            told = taken.told,
                            "the directory has changed"
                        );
                    }
                    if let Some(end) = taken.log_end {
                        log_end.send_modify(|known| *known = end.max(*known));
                    }
                }
                Err(error) => tracing::warn!("the directory stays as it is:\n{error:#}"),
            }
        });
    }

    /// Looks at the folder of policies. Nothing waits for it, and the evaluation least of all.
    fn look_at_policies(&self, anyway: bool) {
        let policies = Arc::clone(&self.policies);
        tokio::task::spawn_blocking(move || policies.look(anyway));
    }

    async fn retain(&self) {
        if self.retention == 0 {
            return;
        }
        // What has not been evaluated is not deleted, however old it is.
        if let Some(behind) = self.evaluator.status().iter().find(|group| group.lag_rows > 0) {
            tracing::info!(group = behind.group, "nothing is dropped while evaluation is behind");
            return;
        }
        let (store, tenant) = (Arc::clone(&self.opened.store), self.opened.tenant.clone());
        let before = when::now() - self.retention;
        let done = tokio::task::spawn_blocking(move || store.retain(&tenant, before)).await;
        match done {
            Ok(Ok(gone)) if gone.activities > 0 => {
                tracing::info!(
                    activities = gone.activities,
                    bytes = gone.bytes,
                    "dropped, too old"
                );
            }
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => tracing::warn!(%error, "old activities could not be dropped"),
        }
    }
}

/// Says how everything ended; true when something needs somebody's attention.
fn report(finished: &Finished, output: &mut Output) -> bool {
    let mut troubled = !finished.complete;
    for (name, why) in &finished.failed {
        troubled = true;
        output.say(&format!("{name}: {why}"));
    }
    for fetched in &finished.fetched {
        let report = &fetched.report;
        let counters = &report.status.counters;
        output.say(&format!(
            "{}: {}, {}, {}, {}",
            report.connection.name,
            report.state,
            counted(counters.activities, "activity", "activities"),
            counted(counters.calls, "call", "calls"),
            counted(report.status.accounts, "account", "accounts"),
        ));
        if !report.reason.is_empty() {
            troubled = true;
            output.say(&format!("  {}", report.reason));
            if !report.remedy.is_empty() {
                output.say(&format!("  hint: {}", report.remedy));
            }
        }
        for warning in report.warnings.iter().filter(|warning| warning.reason != report.reason) {
            troubled = true;
            output.say(&format!("  {}\n  hint: {}", warning.reason, warning.remedy));
        }
    }
    for group in &finished.groups {
        if let Some(trouble) = &group.trouble {
            troubled = true;
            output.say(&format!("evaluation `{}`: {trouble}", group.group));
        }
    }
    troubled
}
