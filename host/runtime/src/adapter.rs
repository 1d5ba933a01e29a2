//! Adapters behind a sandbox.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use casbah_model::Batch;
use casbah_model::adapter::{
    Adapter, AdapterDescription, Endpoint, Failure, HttpRequest, Page, PlanRequest, Region,
    Response, class,
};

use crate::clean;
use crate::detector::{check_name, parse};
use crate::engine::Engine;
use crate::error::{RuntimeError, RuntimeErrorKind as Kind};
use crate::inspect::PluginKind;
use crate::limits::Limits;
use crate::returned;
use crate::sandbox::{Function, PluginInfo, Sandbox, count};
use crate::wire::{BatchOut, FailureOut, HttpRequestOut, PageOut, PlanRequestIn, ResponseIn};

/// An adapter that has been loaded. Clones are the same adapter.
#[derive(Clone)]
pub struct AdapterPlugin {
    shared: Arc<Shared>,
}

struct Shared {
    sandbox: Sandbox,
    plan: Function,
    read: Function,
    normalize: Function,
    split: Function,
    description: AdapterDescription,
    info: PluginInfo,
}

impl fmt::Debug for AdapterPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdapterPlugin").field("info", &self.shared.info).finish_non_exhaustive()
    }
}

/// What an adapter answers: that, or a failure that it classified.
type Answer<T> = Result<Result<T, Failure>, RuntimeError>;

impl AdapterPlugin {
    /// Loads an adapter. `label` names it in every message: its file, or its name in the bundle.
    ///
    /// # Errors
    /// When the bytes are not an adapter that this host serves, import what they may not, can't be
    /// compiled, or do not describe themselves.
    pub fn load(
        engine: &Engine,
        label: &str,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Self, RuntimeError> {
        let started = Instant::now();
        let (sandbox, mut info) = Sandbox::load(engine, label, bytes, limits, PluginKind::Adapter)?;
        let describe = sandbox.function("describe")?;
        let plan = sandbox.function("plan")?;
        let read = sandbox.function("read")?;
        let normalize = sandbox.function("normalize")?;
        let split = sandbox.function("split")?;
        let mut running = sandbox.start()?;
        running.check::<(PlanRequestIn<'_>,), Result<HttpRequestOut, FailureOut>>(&plan)?;
        running.check::<(ResponseIn<'_>,), Result<PageOut, FailureOut>>(&read)?;
        running.check::<(&str, &[u8], &[u32]), Result<BatchOut, FailureOut>>(&normalize)?;
        running.check::<(&[u8],), Result<Vec<u32>, FailureOut>>(&split)?;
        let text: String = running.call(&describe, ())?;
        drop(running);
        let description = describe_adapter(label, &text)?;
        info.name.clone_from(&description.name);
        info.version.clone_from(&description.version);
        info.load_time = started.elapsed();
        let shared = Shared { sandbox, plan, read, normalize, split, description, info };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What is known about the plugin.
    pub fn info(&self) -> &PluginInfo {
        &self.shared.info
    }

    fn try_plan(&self, request: &PlanRequest) -> Answer<HttpRequest> {
        let Shared { sandbox, plan, description, .. } = &*self.shared;
        let parameters = (PlanRequestIn::new(request),);
        let answer: Result<HttpRequestOut, FailureOut> = sandbox.start()?.call(plan, parameters)?;
        match answer {
            Ok(request) => {
                let knows =
                    |host: &str| description.regions.iter().any(|r| r.hosts.contains_key(host));
                returned::request(sandbox, knows, request).map(Ok)
            }
            Err(failure) => Ok(Err(returned::failure(failure))),
        }
    }

    fn try_read(&self, response: &Response) -> Answer<Page> {
        let Shared { sandbox, read, .. } = &*self.shared;
        let parameters = (ResponseIn::new(response),);
        let answer: Result<PageOut, FailureOut> = sandbox.start()?.call(read, parameters)?;
        match answer {
            Ok(page) => returned::page(sandbox, response.body.len(), page).map(Ok),
            Err(failure) => Ok(Err(returned::failure(failure))),
        }
    }

    fn try_normalize(&self, settings: &str, body: &[u8], raw: &[u32]) -> Answer<Batch> {
        let Shared { sandbox, normalize, .. } = &*self.shared;
        let answer: Result<BatchOut, FailureOut> =
            sandbox.start()?.call(normalize, (settings, body, raw))?;
        let batch = match answer {
            Ok(batch) => returned::batch(sandbox, "normalize", batch)?,
            Err(failure) => return Ok(Err(returned::failure(failure))),
        };
        if batch.len() != raw.len() / 2 {
            let (rows, records) = (batch.len(), raw.len() / 2);
            let message = format!(
                "{} for {}",
                count(rows, "row", "rows"),
                count(records, "raw record", "raw records")
            );
            return Err(sandbox.returned("normalize", message));
        }
        Ok(Ok(batch))
    }

    fn try_split(&self, body: &[u8]) -> Answer<Vec<u32>> {
        let Shared { sandbox, split, .. } = &*self.shared;
        let answer: Result<Vec<u32>, FailureOut> = sandbox.start()?.call(split, (body,))?;
        match answer {
            Ok(spans) => {
                returned::spans(sandbox, "split", body.len(), &spans)?;
                Ok(Ok(spans))
            }
            Err(failure) => Ok(Err(returned::failure(failure))),
        }
    }
}

/// The plugin's own failure, in the form of the others.
fn plugin_failure(error: &RuntimeError) -> Failure {
    Failure {
        class: class::PLUGIN.to_owned(),
        code: error.kind().name().to_owned(),
        message: format!("plugin `{}`: {}", error.plugin(), error.message()),
        remedy: error.advice().unwrap_or_default().to_owned(),
        retry_after: None,
    }
}

fn settle<T>(answer: Answer<T>) -> Result<T, Failure> {
    answer.unwrap_or_else(|error| Err(plugin_failure(&error)))
}

impl Adapter for AdapterPlugin {
    fn description(&self) -> &AdapterDescription {
        &self.shared.description
    }

    fn plan(&self, request: &PlanRequest) -> Result<HttpRequest, Failure> {
        settle(self.try_plan(request))
    }

    fn read(&self, response: &Response) -> Result<Page, Failure> {
        self.try_read(response).unwrap_or_else(|error| {
            let failure = plugin_failure(&error);
            let too_large = matches!(error.kind(), Kind::Memory | Kind::Deadline | Kind::TooMuch);
            // A smaller page may be within the limits, so it is asked for.
            Err(if too_large {
                Failure { class: class::TOO_LARGE.to_owned(), ..failure }
            } else {
                failure
            })
        })
    }

    fn normalize(&self, settings: &str, body: &[u8], raw: &[u32]) -> Result<Batch, Failure> {
        settle(self.try_normalize(settings, body, raw))
    }

    fn split(&self, body: &[u8]) -> Result<Vec<u32>, Failure> {
        settle(self.try_split(body))
    }
}

fn describe_adapter(label: &str, text: &str) -> Result<AdapterDescription, RuntimeError> {
    let description: AdapterDescription = parse(label, text)?;
    check_name(label, &description.name, &description.version, &description.title)?;
    let fault = fault_of(&description);
    match fault {
        None => Ok(description),
        Some(fault) => Err(RuntimeError::new(
            label,
            Kind::Description,
            format!("describes its app wrongly: {fault}"),
        )),
    }
}

/// The first thing that makes a description useless or dangerous to work with.
fn fault_of(description: &AdapterDescription) -> Option<String> {
    let AdapterDescription { regions, streams, oauth, .. } = description;
    // What only reads saved files asks nobody and needs no addresses.
    if streams.is_empty() {
        let asks = !regions.is_empty() || oauth.is_some() || description.personal_token;
        return asks.then(|| "it has no stream".to_owned());
    }
    if regions.is_empty() {
        return Some("it has no region".to_owned());
    }
    for (index, region) in regions.iter().enumerate() {
        if regions.iter().take(index).any(|other| other.name == region.name) {
            return Some(format!("the region `{}` occurs twice", clean::name(&region.name)));
        }
        if let Some(fault) = fault_of_region(region) {
            return Some(format!("region `{}` {fault}", clean::name(&region.name)));
        }
    }
    for (index, stream) in streams.iter().enumerate() {
        let name = clean::name(&stream.name);
        if stream.name.is_empty() || clean::cut(&stream.name, 64).1 {
            return Some(format!("a stream is called `{name}`"));
        }
        if streams.iter().take(index).any(|other| other.name == stream.name) {
            return Some(format!("the stream `{name}` occurs twice"));
        }
        if stream.smallest_page_size == 0 || stream.page_size < stream.smallest_page_size {
            return Some(format!("the stream `{name}` has no sensible page sizes"));
        }
        if stream.interval_seconds == 0 {
            return Some(format!("the stream `{name}` has an interval of 0 seconds"));
        }
    }
    if description.requests_per_minute == 0 {
        return Some("it allows no requests".to_owned());
    }
    let endpoints = oauth.iter().flat_map(|oauth| {
        [
            oauth.authorize.as_ref(),
            Some(&oauth.token),
            oauth.revoke.as_ref().map(|revoke| &revoke.endpoint),
        ]
    });
    endpoints.flatten().find_map(|endpoint| fault_of_endpoint(endpoint, regions))
}

fn fault_of_region(region: &Region) -> Option<String> {
    if region.name.is_empty() || clean::cut(&region.name, 64).1 {
        return Some("has no proper name".to_owned());
    }
    if !region.hosts.contains_key("api") {
        return Some("has no host `api`".to_owned());
    }
    region
        .hosts
        .iter()
        .find_map(|(name, address)| {
            let rest = address.strip_prefix("https://")?;
            let fits = rest.starts_with(|first: char| first.is_ascii_alphanumeric())
                && !rest.ends_with('/')
                && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\\".contains(&byte));
            (!fits).then(|| {
                format!("has the address `{}` for `{}`", clean::name(address), clean::name(name))
            })
        })
        .or_else(|| {
            let (name, address) =
                region.hosts.iter().find(|(_, address)| !address.starts_with("https://"))?;
            Some(format!(
                "has the address `{}` for `{}`; it must start with https://",
                clean::name(address),
                clean::name(name)
            ))
        })
}

fn fault_of_endpoint(endpoint: &Endpoint, regions: &[Region]) -> Option<String> {
    if !endpoint.path.starts_with('/') || clean::cut(&endpoint.path, 1024).1 {
        return Some(format!("the path `{}` of an OAuth end point", clean::name(&endpoint.path)));
    }
    let region = regions.iter().find(|region| !region.hosts.contains_key(&endpoint.host))?;
    Some(format!(
        "region `{}` has no host `{}`, which OAuth needs",
        clean::name(&region.name),
        clean::name(&endpoint.host)
    ))
}
