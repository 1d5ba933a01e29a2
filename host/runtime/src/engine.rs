//! The engine: how guests are compiled and run, and the clock that their deadlines are read from.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy};

use crate::cache::{Cache, CacheOptions};
use crate::error::RuntimeError;
use crate::sandbox::{self, Call};

/// Length of a tick of the clock that deadlines are counted in.
const TICK: Duration = Duration::from_millis(5);
/// Ticks without a running guest after which the clock stops, so that an idle host sleeps.
const IDLE_TICKS: u32 = 200;
/// Largest linear memory of a guest; [`crate::Limits::memory`] can only lower it.
pub(crate) const MEMORY: usize = 1 << 30;
/// Largest table of a guest.
const TABLE_ELEMENTS: usize = 20_000;
/// Native stack of a guest. Threads that call plugins need this and about 256 KiB more.
const STACK: usize = 512 << 10;
/// Bytes of a memory that are cleared in place when an instance ends, rather than unmapped. Only
/// pages that were touched are cleared, so much costs nothing; a batch of 4,096 rows needs 1 MiB.
const KEPT: usize = 8 << 20;
/// The same for tables.
const TABLE_KEPT: usize = 64 << 10;

/// How the engine is set up.
#[derive(Debug)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Where compiled code is kept between starts; `None` compiles anew each time.
    pub cache: Option<CacheOptions>,
    /// How many guests may run at the same time; further callers wait. Each reserves 4 GiB of
    /// address space, but no memory.
    pub instances: u32,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { cache: None, instances: 32 }
    }
}

impl EngineOptions {
    /// The default set-up with a cache.
    pub fn with_cache(cache: CacheOptions) -> Self {
        Self { cache: Some(cache), ..Self::default() }
    }
}

/// Compiles and runs guests. One a process; clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    wasmtime: wasmtime::Engine,
    linker: Linker<Call>,
    cache: Option<Cache>,
    places: Places,
    clock: Clock,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("cache", &self.shared.cache).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine and its clock.
    ///
    /// # Errors
    /// When the platform can't run it, or the clock's thread can't be started.
    pub fn new(options: EngineOptions) -> Result<Self, RuntimeError> {
        let instances = options.instances.max(1);
        let wasmtime = wasmtime::Engine::new(&config(Some(instances))).or_else(|error| {
            // Under a limit on address space there is no room for a pool.
            tracing::warn!("no pool of instances, so plugins start more slowly: {error:#}");
            wasmtime::Engine::new(&config(None))
        });
        let wasmtime = wasmtime.map_err(|error| {
            RuntimeError::engine(format!("the plugin engine can't start: {error:#}"))
        })?;
        let mut linker = Linker::new(&wasmtime);
        sandbox::add_log(&mut linker).map_err(|error| {
            RuntimeError::engine(format!("the plugin engine can't start: {error:#}"))
        })?;
        let cache = options.cache.map(|cache| Cache::new(cache, &wasmtime));
        let clock = Clock::start(&wasmtime)?;
        let places = Places { free: Mutex::new(instances), freed: Condvar::new() };
        Ok(Self { shared: Arc::new(Shared { wasmtime, linker, cache, places, clock }) })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.shared.wasmtime
    }

    pub(crate) fn linker(&self) -> &Linker<Call> {
        &self.shared.linker
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.shared.cache.as_ref()
    }

    /// Takes a place for a guest, waiting for one if need be.
    pub(crate) fn enter(&self) -> Place {
        self.shared.places.take();
        self.shared.clock.enter();
        Place { shared: Arc::clone(&self.shared) }
    }
}

/// The deadline of a call in ticks: the one that has begun already does not count.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_millis().div_ceil(TICK.as_millis()))
        .unwrap_or(u64::MAX - 1)
        .saturating_add(1)
}

/// A place for one running guest, given back when dropped.
pub(crate) struct Place {
    shared: Arc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.clock.leave();
        self.shared.places.give_back();
    }
}

/// Counts the places in the pool, so that callers wait instead of failing when it is full.
struct Places {
    free: Mutex<u32>,
    freed: Condvar,
}

impl Places {
    fn take(&self) {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
    }

    fn give_back(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
    }
}

/// Advances the engine's epoch while guests run.
///
/// The epoch is a clock and nothing else: it is never advanced to stop a guest, since that would
/// bring all others closer to their deadlines too.
struct Clock {
    state: Arc<ClockState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct ClockState {
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

impl Clock {
    fn start(engine: &wasmtime::Engine) -> Result<Self, RuntimeError> {
        let state = Arc::new(ClockState::default());
        let thread = thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn({
                let (state, engine) = (Arc::clone(&state), engine.weak());
                move || tick(&state, &engine)
            })
            .map_err(|error| {
                RuntimeError::engine(format!("the plugin engine's clock can't start: {error}"))
            })?;
        Ok(Self { state, thread: Some(thread) })
    }

    fn enter(&self) {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.asleep.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }

    fn leave(&self) {
        self.state.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread can't panic, and waits for nothing longer than a tick.
            let _ = thread.join();
        }
    }
}

fn tick(state: &ClockState, engine: &wasmtime::EngineWeak) {
    let mut idle = 0;
    while !state.stop.load(Ordering::SeqCst) {
        thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        drop(engine);
        idle = if state.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle >= IDLE_TICKS {
            state.asleep.store(true, Ordering::SeqCst);
            // Whoever enters from here on sees `asleep` and wakes this thread; who entered before
            // is seen here.
            while state.running.load(Ordering::SeqCst) == 0 && !state.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            state.asleep.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }
}

/// What guests are compiled to and may use.
fn config(pooled: Option<u32>) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .concurrency_support(false)
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        // The same input gives the same bytes, on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .memory_init_cow(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(16))
        // Frames are walked by their pointers; registering tables for each module costs start-up time.
        .native_unwind_info(false)
        .generate_address_map(false);
    if let Some(instances) = pooled {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
    }
    config
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // A component of one module that calls the log has three: itself and two of glue.
        .total_core_instances(instances.saturating_mul(4))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(4))
        .max_core_instances_per_component(8)
        .max_memories_per_component(2)
        .max_tables_per_component(8)
        .max_tables_per_module(4)
        .max_memories_per_module(1)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(MEMORY)
        .linear_memory_keep_resident(KEPT)
        .table_keep_resident(TABLE_KEPT)
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(instances);
    pool
}
