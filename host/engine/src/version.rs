//! One version of one component: linked code, what it is lent, and its pools.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::lent::Lent;
use chassis_capabilities::log::LineBudget;
use chassis_config::name::ComponentName;
use chassis_config::plan::{ComponentLimits, ComponentPlan, Isolation};
use metrics::{Gauge, gauge};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_http::WasiHttpCtx;

use crate::api::Lane;
use crate::component::Standing;
use crate::guest_log::{Channel, GuestLog, LogStream};
use crate::link::Linked;
use crate::memory_limit::MemoryLimit;
use crate::meter::Meter;
use crate::outbound::{Outbound, Reach};
use crate::pool::{Full, Job, Means, Pool, PoolLimits};
use crate::state::{Company, StoreState, confine};

/// One version of one component.
pub(crate) struct Version {
    plan: Arc<ComponentPlan>,
    digest: String,
    component: Component,
    linked: Linked,
    lent: Arc<Lent>,
    reach: Reach,
    /// What its instances may write into the log.
    output: Arc<LineBudget>,
    standing: Arc<Standing>,
    timing: Timing,
    fast: Arc<Pool>,
    slow: Arc<Pool>,
    calls: Arc<Pool>,
    slow_calls: Arc<Pool>,
    /// One permit per instance that may live for a single job, of `share`.
    lone: Arc<Semaphore>,
    share: u32,
    /// The functions that it offers to other components, by interface and name.
    offered: HashMap<String, HashMap<String, ComponentExportIndex>>,
    retire: CancellationToken,
    /// Instances that live.
    instances: Gauge,
}

/// What a version is made of.
pub(crate) struct Parts {
    pub(crate) plan: Arc<ComponentPlan>,
    pub(crate) digest: String,
    pub(crate) component: Component,
    pub(crate) linked: Linked,
    pub(crate) lent: Arc<Lent>,
    pub(crate) reach: Reach,
    pub(crate) standing: Arc<Standing>,
    pub(crate) timing: Timing,
    pub(crate) means: Means,
    /// Instances of each kind at most, whatever the component's own limit is.
    pub(crate) share: u32,
}

/// Kinds of instances: for requests and for calls, in either lane, and for single requests that are run once more.
pub(crate) const KINDS: u32 = 5;

/// Random bytes that a guest may ask for at once. They are made one by one, in a call that nothing interrupts.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Times that are the host's, not the component's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Between two interruptions of a busy guest.
    pub(crate) tick: Duration,
    /// For the body of a response, after its head.
    pub(crate) stream_timeout: Duration,
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Version").field("name", &self.plan.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Version {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { plan, digest, component, linked, lent, reach, standing, timing, means, share } = parts;
        let lone = Arc::new(Semaphore::new(share as usize));
        let pool = |lane, running| {
            Arc::new(Pool::new(lane, pool_limits(&plan, running, share), means.clone(), Arc::clone(&lone)))
        };
        let fast = pool(Lane::Fast, plan.limits.concurrency);
        let slow = pool(Lane::Slow, plan.limits.slow_concurrency);
        let calls = pool(Lane::Fast, plan.limits.concurrency);
        let slow_calls = pool(Lane::Slow, plan.limits.concurrency);
        let offered = plan.provides.iter().map(|interface| (interface.clone(), functions(&component, interface)));
        let (offered, retire) = (offered.collect(), CancellationToken::new());
        let output = Arc::new(LineBudget::new(plan.name.clone(), plan.limits.log_lines));
        let instances = gauge!("component_instances", "component" => plan.name.to_string());
        Arc::new(Self {
            plan,
            digest,
            component,
            linked,
            lent,
            reach,
            output,
            standing,
            timing,
            fast,
            slow,
            calls,
            slow_calls,
            lone,
            share,
            offered,
            retire,
            instances,
        })
    }

    /// A function that it offers to other components.
    pub(crate) fn offered(&self, interface: &str, function: &str) -> Option<&ComponentExportIndex> {
        self.offered.get(interface)?.get(function)
    }

    pub(crate) fn name(&self) -> &ComponentName {
        &self.plan.name
    }

    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn limits(&self) -> &ComponentLimits {
        &self.plan.limits
    }

    pub(crate) fn delivery_token(&self) -> &str {
        &self.lent.delivery_token
    }

    /// What it may bring into the log.
    pub(crate) fn lines(&self) -> &LineBudget {
        &self.lent.lines
    }

    pub(crate) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    pub(crate) fn tick(&self) -> Duration {
        self.timing.tick
    }

    pub(crate) fn stream_timeout(&self) -> Duration {
        self.timing.stream_timeout
    }

    /// Told of every instance that begins or ends.
    pub(crate) fn gauge(&self) -> &Gauge {
        &self.instances
    }

    pub(crate) fn linked(&self) -> &Linked {
        &self.linked
    }

    pub(crate) fn instances(&self) -> u32 {
        let lone = (self.share as usize).saturating_sub(self.lone.available_permits());
        let pools = [&self.fast, &self.slow, &self.calls, &self.slow_calls];
        pools.iter().map(|pool| pool.live()).sum::<u32>().saturating_add(u32::try_from(lone).unwrap_or(u32::MAX))
    }

    /// Hand a request to the instances of a lane.
    pub(crate) fn submit(self: &Arc<Self>, lane: Lane, job: Job) -> Result<(), Full> {
        self.pool(lane).submit(self, job)
    }

    /// Hand a request to an instance of its own.
    pub(crate) fn submit_alone(self: &Arc<Self>, lane: Lane, job: Job) {
        self.pool(lane).submit_alone(self, job);
    }

    /// Hand a typed call to the instances that are there for calls alone: requests that wait for calls cannot take them.
    pub(crate) fn submit_call(self: &Arc<Self>, job: Job) -> Result<(), Full> {
        let calls = match self.standing.lane() {
            Lane::Fast => &self.calls,
            Lane::Slow => &self.slow_calls,
        };
        calls.submit(self, job)
    }

    fn pool(&self, lane: Lane) -> &Arc<Pool> {
        match lane {
            Lane::Fast => &self.fast,
            Lane::Slow => &self.slow,
        }
    }

    /// Let idle instances end at once and busy ones when they are done.
    pub(crate) fn retire(&self) {
        self.retire.cancel();
    }

    pub(crate) fn retired(&self) -> WaitForCancellationFuture<'_> {
        self.retire.cancelled()
    }

    pub(crate) fn new_store(&self, meter: Arc<Meter>, start_deadline: Instant, company: Company) -> Store<StoreState> {
        let limits = &self.plan.limits;
        let log = Arc::new(GuestLog::new(self.plan.name.clone(), Arc::clone(&self.output), limits.log_line_bytes));
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        let memory = usize::try_from(limits.memory).unwrap_or(usize::MAX);
        let state = StoreState {
            wasi: self.wasi(&log),
            table,
            http: WasiHttpCtx::new(),
            outbound: Outbound { reach: self.reach.clone(), lent: Arc::clone(&self.lent), log: Arc::clone(&log) },
            lent: Arc::clone(&self.lent),
            memory: MemoryLimit::new(memory),
            meter,
            log,
            work: HashMap::new(),
            start_deadline,
            current: None,
        };
        let mut store = Store::new(self.engine(), state);
        // The table above holds what the host keeps for the guest; streams and futures of the guest's own making live in
        // wasmtime's tables, which are the host's memory as well.
        store.set_max_component_handles(limits.handles as usize);
        // What one call copies out of the guest: no more than the guest can hold, however often it names the same bytes.
        store.set_hostcall_fuel(memory);
        confine(&mut store, company);
        store
    }

    fn engine(&self) -> &Engine {
        self.component.engine()
    }

    fn wasi(&self, log: &Arc<GuestLog>) -> WasiCtx {
        let stream = |channel| LogStream { log: Arc::clone(log), channel };
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(stream(Channel::Stdout)).stderr(stream(Channel::Stderr)).max_random_size(RANDOM_BYTES_MAX);
        for (name, value) in &self.plan.environment {
            wasi.env(name, value);
        }
        for mount in &self.plan.files {
            let opened = wasi.preopened_dir(&mount.source, &mount.destination, FsPerms::ReadOnly);
            if let Err(error) = opened {
                tracing::error!(component = %self.plan.name, source = %mount.source.display(), "a folder of `files` cannot be opened: {error:#}");
            }
        }
        wasi.build()
    }
}

fn functions(component: &Component, interface: &str) -> HashMap<String, ComponentExportIndex> {
    let Some((ComponentItem::ComponentInstance(ty), instance)) = component.get_export(None, interface) else {
        return HashMap::new();
    };
    let names = ty.exports(component.engine()).map(|(name, _)| name.to_owned());
    names.filter_map(|name| component.get_export_index(Some(&instance), &name).map(|index| (name, index))).collect()
}

fn pool_limits(plan: &ComponentPlan, running: u32, share: u32) -> PoolLimits {
    let limits = &plan.limits;
    let shared = plan.isolation == Isolation::Shared;
    PoolLimits {
        instances: limits.instances.min(share),
        concurrency: if shared { limits.instance_concurrency } else { 1 },
        requests: if shared { limits.instance_requests } else { 1 },
        queue: running,
    }
}
