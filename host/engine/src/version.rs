//! One version of one component: linked code, what it is lent, and its pools.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chassis_capabilities::lent::Lent;
use chassis_config::name::ComponentName;
use chassis_config::plan::{ComponentLimits, ComponentPlan, Isolation};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use wasmtime::component::{Component, InstancePre, ResourceTable};
use wasmtime::{Engine, Store, StoreLimitsBuilder};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_http::WasiHttpCtx;

use crate::api::Lane;
use crate::component::Standing;
use crate::guest_log::{Channel, GuestLog, LogStream};
use crate::meter::Meter;
use crate::outbound::Outbound;
use crate::pool::{Full, Job, Means, Pool, PoolLimits};
use crate::state::{StoreState, confine};

/// One version of one component.
pub(crate) struct Version {
    plan: Arc<ComponentPlan>,
    digest: String,
    component: Component,
    pre: InstancePre<StoreState>,
    lent: Arc<Lent>,
    outbound: Outbound,
    standing: Arc<Standing>,
    timing: Timing,
    fast: Arc<Pool>,
    slow: Arc<Pool>,
    calls: Arc<Pool>,
    retire: CancellationToken,
}

/// What a version is made of.
pub(crate) struct Parts {
    pub(crate) plan: Arc<ComponentPlan>,
    pub(crate) digest: String,
    pub(crate) component: Component,
    pub(crate) pre: InstancePre<StoreState>,
    pub(crate) lent: Arc<Lent>,
    pub(crate) outbound: Outbound,
    pub(crate) standing: Arc<Standing>,
    pub(crate) timing: Timing,
    pub(crate) means: Means,
}

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
        let Parts { plan, digest, component, pre, lent, outbound, standing, timing, means } = parts;
        let pool = |lane, running| Arc::new(Pool::new(lane, pool_limits(&plan, running), means.clone()));
        let fast = pool(Lane::Fast, plan.limits.concurrency);
        let slow = pool(Lane::Slow, plan.limits.slow_concurrency);
        let calls = pool(Lane::Fast, plan.limits.concurrency);
        let retire = CancellationToken::new();
        Arc::new(Self { plan, digest, component, pre, lent, outbound, standing, timing, fast, slow, calls, retire })
    }

    pub(crate) fn name(&self) -> &ComponentName {
        &self.plan.name
    }

    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn component(&self) -> &Component {
        &self.component
    }

    pub(crate) fn limits(&self) -> &ComponentLimits {
        &self.plan.limits
    }

    pub(crate) fn delivery_token(&self) -> &str {
        &self.lent.delivery_token
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

    pub(crate) fn instance_pre(&self) -> &InstancePre<StoreState> {
        &self.pre
    }

    pub(crate) fn instances(&self) -> u32 {
        [&self.fast, &self.slow, &self.calls].iter().map(|pool| pool.live()).sum()
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
        self.calls.submit(self, job)
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

    pub(crate) fn new_store(&self, meter: Arc<Meter>, start_deadline: Instant) -> Store<StoreState> {
        let limits = &self.plan.limits;
        let log = Arc::new(GuestLog::new(self.plan.name.clone(), limits.log_lines, limits.log_line_bytes));
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        let memory = usize::try_from(limits.memory).unwrap_or(usize::MAX);
        let state = StoreState {
            wasi: self.wasi(&log),
            table,
            http: WasiHttpCtx::new(),
            outbound: self.outbound.clone(),
            lent: Arc::clone(&self.lent),
            limits: StoreLimitsBuilder::new().memory_size(memory).build(),
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
        confine(&mut store);
        store
    }

    fn engine(&self) -> &Engine {
        self.component.engine()
    }

    fn wasi(&self, log: &Arc<GuestLog>) -> WasiCtx {
        let stream = |channel| LogStream { log: Arc::clone(log), channel };
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(stream(Channel::Stdout)).stderr(stream(Channel::Stderr));
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

fn pool_limits(plan: &ComponentPlan, running: u32) -> PoolLimits {
    let limits = &plan.limits;
    let shared = plan.isolation == Isolation::Shared;
    PoolLimits {
        instances: limits.instances,
        concurrency: if shared { limits.instance_concurrency } else { 1 },
        requests: if shared { limits.instance_requests } else { 1 },
        queue: running,
    }
}
