//! The wasmtime engine: one configuration for the host and for the child process that compiles.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use chassis_config::plan::EngineLimits;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// What influences the compiled code: equal in the host and in the compiling child.
fn code_config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.wasm_component_model_async(true);
    config
}

/// The engine of the compiling child: it never instantiates.
///
/// # Errors
/// Where this machine has no code generator.
pub(crate) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&code_config())
}

/// Core instances of one component at most: its own modules, and the shims that the component linker adds.
const CORE_INSTANCES: u32 = 16;
/// Linear memories of one component at most.
const MEMORIES: u32 = 2;
/// Tables of one component at most.
const TABLES: u32 = 8;
/// Elements of one table at most.
const TABLE_ELEMENTS: usize = 100_000;
/// Stacks per instance that the pool holds ready on average; one instance runs as many guest tasks as it has requests.
const STACKS: u32 = 8;
/// Memory of a slot that is zeroed by hand instead of being given back; more was measured to be slower.
const KEEP_RESIDENT: usize = 64 * 1024;
/// Slots that are given back to the system at a time.
const DECOMMIT_BATCH: usize = 16;

/// The engine that runs components, with a slot for every instance that may live.
///
/// # Errors
/// Where the address space does not hold so many slots.
pub(crate) fn running(limits: &EngineLimits) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(limits.instances)
        .total_core_instances(limits.instances.saturating_mul(CORE_INSTANCES))
        .total_memories(limits.instances.saturating_mul(MEMORIES))
        .total_tables(limits.instances.saturating_mul(TABLES))
        .total_stacks(limits.instances.saturating_mul(STACKS))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(usize::try_from(limits.memory).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .decommit_batch_size(DECOMMIT_BATCH)
        .pagemap_scan(Enabled::Auto);
    let mut config = code_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Interrupts busy guests at a steady pace until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine, tick: Duration) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, stopped) = (engine.weak(), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("chassis-ticker".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(tick);
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A ticker that panicked has nothing left to stop.
            drop(thread.join());
        }
    }
}
