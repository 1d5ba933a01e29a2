//! One loaded component, and a fresh instance of it for every call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, ComponentType, Instance, InstancePre,
    Lift, Linker, Lower, WasmStr,
};
use wasmtime::{AsContext, ResourceLimiter, Store, StoreContextMut};

use crate::clean;
use crate::ending;
use crate::engine::{self, Engine};
use crate::error::{RuntimeError, RuntimeErrorKind as Kind};
use crate::inspect::{PluginKind, inspect};
use crate::limits::Limits;

/// How a line of log starts that holds the message of a panic; the SDK writes it.
const PANIC: &str = "panic: ";

/// What is known about a loaded plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginInfo {
    /// The name it was loaded under, which all messages bear.
    pub label: String,
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What it is.
    pub kind: PluginKind,
    /// Version of `casbah:plugin` it was built for.
    pub interface: String,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub digest: String,
    /// Bytes of it.
    pub size: usize,
    /// Whether its compiled code came from the cache.
    pub cached: bool,
    /// How long loading took, compiling and `describe` included.
    pub load_time: Duration,
}

/// A component, compiled and linked.
pub(crate) struct Sandbox {
    engine: Engine,
    label: Arc<str>,
    limits: Limits,
    ticks: u64,
    instance: InstancePre<Call>,
    interface: ComponentExportIndex,
    kind: PluginKind,
}

/// One exported function.
pub(crate) struct Function {
    name: &'static str,
    index: ComponentExportIndex,
}

impl Sandbox {
    /// Compiles a component, or takes it from the cache.
    ///
    /// The name and the version in the answer are still empty: they are in the description.
    pub(crate) fn load(
        engine: &Engine,
        label: &str,
        bytes: &[u8],
        limits: Limits,
        kind: PluginKind,
    ) -> Result<(Self, PluginInfo), RuntimeError> {
        let started = Instant::now();
        let inspection = inspect(label, bytes)?;
        let interface = inspection.export(label, kind)?.to_owned();
        inspection.check_imports(label)?;
        let digest = blake3::hash(bytes);
        let (component, cached) = compile(engine, label, bytes, &digest)?;
        let instance = engine.linker().instantiate_pre(&component).map_err(|error| {
            let message = format!("can't be linked: {}", clean::sentence(&format!("{error:#}")));
            RuntimeError::new(label, Kind::Import, message)
        })?;
        let index = component.get_export_index(None, interface.as_str()).ok_or_else(|| {
            RuntimeError::new(label, Kind::Export, format!("lacks `{interface}`"))
        })?;
        let sandbox = Self {
            engine: engine.clone(),
            label: label.into(),
            ticks: engine::ticks(limits.deadline),
            limits,
            instance,
            interface: index,
            kind,
        };
        let info = PluginInfo {
            label: clean::name(label),
            name: String::new(),
            version: String::new(),
            kind,
            interface: inspection.interface.unwrap_or_default(),
            imports: inspection.imports,
            digest: digest.to_hex().to_string(),
            size: bytes.len(),
            cached,
            load_time: started.elapsed(),
        };
        Ok((sandbox, info))
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Looks an exported function up.
    pub(crate) fn function(&self, name: &'static str) -> Result<Function, RuntimeError> {
        self.instance
            .component()
            .get_export_index(Some(&self.interface), name)
            .map(|index| Function { name, index })
            .ok_or_else(|| {
                let message = format!("does not export `{name}` in `casbah:plugin/{}`", self.kind);
                RuntimeError::new(&self.label, Kind::Export, message)
            })
    }

    /// Starts a fresh instance.
    pub(crate) fn start(&self) -> Result<Running<'_>, RuntimeError> {
        let place = self.engine.enter();
        let mut store = Store::new(self.engine.wasmtime(), Call::new(&self.label, &self.limits));
        store.limiter(|call| call);
        store.set_hostcall_fuel(self.limits.returned_bytes);
        store.set_max_component_handles(0);
        store.set_epoch_deadline(self.ticks);
        match self.instance.instantiate(&mut store) {
            Ok(instance) => Ok(Running { sandbox: self, store, instance, _place: place }),
            Err(error) => Err(ending::error(self, store.data(), ending::Place::Start, &error)),
        }
    }

    /// An error about what a function returned.
    pub(crate) fn returned(&self, function: &str, message: impl std::fmt::Display) -> RuntimeError {
        RuntimeError::new(&self.label, Kind::Returned, format!("`{function}` returned {message}"))
    }

    /// What was returned is more than is allowed.
    pub(crate) fn too_much(&self, function: &str, message: impl std::fmt::Display) -> RuntimeError {
        RuntimeError::new(&self.label, Kind::TooMuch, format!("`{function}` returned {message}"))
    }
}

fn compile(
    engine: &Engine,
    label: &str,
    bytes: &[u8],
    digest: &blake3::Hash,
) -> Result<(Component, bool), RuntimeError> {
    if let Some(component) = engine.cache().and_then(|cache| cache.load(engine.wasmtime(), digest))
    {
        return Ok((component, true));
    }
    let component = Component::from_binary(engine.wasmtime(), bytes).map_err(|error| {
        let message =
            format!("can't be compiled: {}", clean::sentence(&error.root_cause().to_string()));
        RuntimeError::new(label, Kind::Compile, message)
    })?;
    if let Some(cache) = engine.cache() {
        cache.store(digest, &component);
    }
    Ok((component, false))
}

/// A size for people.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

/// A number with its noun.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// An instance, from its start until it is dropped.
pub(crate) struct Running<'a> {
    sandbox: &'a Sandbox,
    // The store goes before its place is given back.
    store: Store<Call>,
    instance: Instance,
    _place: engine::Place,
}

impl Running<'_> {
    /// Calls a function, with a deadline of its own.
    pub(crate) fn call<P, R>(
        &mut self,
        function: &Function,
        parameters: P,
    ) -> Result<R, RuntimeError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentType + Lift + 'static,
    {
        self.store.set_epoch_deadline(self.sandbox.ticks);
        let typed = self
            .instance
            .get_typed_func::<P, (R,)>(&mut self.store, &function.index)
            .map_err(|error| self.wrong_form(function, &error))?;
        match typed.call(&mut self.store, parameters) {
            Ok((result,)) => Ok(result),
            Err(error) => {
                let place = ending::Place::Function(function.name);
                Err(ending::error(self.sandbox, self.store.data(), place, &error))
            }
        }
    }

    /// Checks that a function has the form it is going to be called in.
    pub(crate) fn check<P, R>(&mut self, function: &Function) -> Result<(), RuntimeError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentType + Lift + 'static,
    {
        self.instance
            .get_typed_func::<P, (R,)>(&mut self.store, &function.index)
            .map(|_| ())
            .map_err(|error| self.wrong_form(function, &error))
    }

    fn wrong_form(&self, function: &Function, error: &wasmtime::Error) -> RuntimeError {
        let Function { name, .. } = function;
        let cause = clean::sentence(&format!("{error:#}"));
        let message = format!("exports `{name}` in another form than `casbah:plugin` has: {cause}");
        RuntimeError::new(&self.sandbox.label, Kind::Export, message)
            .hint("rebuild it with the SDK of this casbah")
    }
}

/// What a guest asked for and did not get, which is most likely why it fails.
#[derive(Clone, Copy)]
pub(crate) enum Refused {
    Memory,
    Table,
}

/// What the host keeps about one instance.
pub(crate) struct Call {
    label: Arc<str>,
    memory_limit: usize,
    table_limit: usize,
    memory: usize,
    table_elements: usize,
    refused: Option<Refused>,
    lines: usize,
    lines_limit: usize,
    line_bytes: usize,
    panic: Option<String>,
}

impl Call {
    fn new(label: &Arc<str>, limits: &Limits) -> Self {
        Self {
            label: Arc::clone(label),
            memory_limit: limits.memory,
            table_limit: limits.table_elements,
            memory: 0,
            table_elements: 0,
            refused: None,
            lines: 0,
            lines_limit: limits.log_lines,
            line_bytes: limits.log_line_bytes,
            panic: None,
        }
    }

    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// The message of a panic, if the guest logged one.
    pub(crate) fn panic(&self) -> Option<&str> {
        self.panic.as_deref()
    }

    fn log(&mut self, line: String, panic: bool) {
        self.lines = self.lines.saturating_add(1);
        if self.lines <= self.lines_limit {
            tracing::debug!(target: "casbah::plugin", plugin = &*self.label, "{line}");
        } else if self.lines == self.lines_limit.saturating_add(1) {
            tracing::debug!(target: "casbah::plugin", plugin = &*self.label, "(further lines are dropped)");
        }
        if panic {
            self.panic = Some(line);
        }
    }
}

/// Sums over all memories and tables: a component may have several of each.
impl ResourceLimiter for Call {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.memory.saturating_add(desired.saturating_sub(current));
        let fits = sum <= self.memory_limit;
        if fits {
            self.memory = sum;
        } else {
            self.refused = Some(Refused::Memory);
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.table_elements.saturating_add(desired.saturating_sub(current));
        let fits = sum <= self.table_limit;
        if fits {
            self.table_elements = sum;
        } else {
            self.refused = Some(Refused::Table);
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        16
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        4
    }
}

/// Links the one thing that a plugin may call.
pub(crate) fn add_log(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    linker.instance("casbah:plugin/log@0.1.0")?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, Call>, (line,): (WasmStr,)| {
            let bytes = store.data().line_bytes;
            let (line, panic) = {
                // The line stays in the guest's memory: only what is kept of it is copied.
                let line = line.to_str(store.as_context())?;
                let panic = line.strip_prefix(PANIC);
                (clean::cut(panic.unwrap_or(&line), bytes).0, panic.is_some())
            };
            store.data_mut().log(line, panic);
            Ok(())
        },
    )
}
