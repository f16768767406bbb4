//! All components of the application, and the way in for requests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chassis_capabilities::conduct::Conduct;
use chassis_capabilities::lender::{LendError, Lender};
use chassis_capabilities::lent::Caller;
use chassis_capabilities::trusted_folder::FolderError;
use chassis_config::name::ComponentName;
use chassis_config::plan::{ComponentPlan, Plan};
use http_body::Body as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::api::{Body, ComponentStatus, Dispatch, DispatchError, RequestMeta};
use crate::artifact::{Artifact, ArtifactError, Cache};
use crate::call::{self, CallBounds, Directory};
use crate::component::{Forbearance, Slot, SqlConduct, Standing};
use crate::exchange::{self, Answer, Exchange, RETRY_AFTER, Safe};
use crate::lanes::Lanes;
use crate::link::{self, LinkError, Linked};
use crate::outbound::{Exit, Reach};
use crate::pool::Means;
use crate::runtime::{self, Ticker};
use crate::version::{KINDS, Parts, Timing, Version};
use crate::{files, migrations, probe};

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The runtime of the guests cannot be made.
    #[error("the WebAssembly runtime cannot start: {0}")]
    Runtime(String),
    /// The folder of compiled components is not to be trusted.
    #[error("the cache of compiled components (engine.cache_dir) cannot be used")]
    Cache(#[from] FolderError),
    /// A component cannot be loaded.
    #[error("the component «{component}» cannot be loaded")]
    Component {
        /// Its name.
        component: ComponentName,
        /// Why.
        #[source]
        source: LoadError,
    },
}

/// Why one component cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its file.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// What it imports and exports.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// What it is to be lent.
    #[error(transparent)]
    Lend(#[from] LendError),
    /// Its files.
    #[error("its files cannot be copied")]
    Files(#[source] std::io::Error),
}

/// What the engine needs beside the plan.
#[derive(Debug)]
pub struct Options {
    /// Lends capabilities.
    pub lender: Arc<Lender>,
    /// The program that compiles when it is called with [`crate::compiler::ARGUMENT`]: this binary.
    pub compiler: PathBuf,
}

/// All components, running.
#[derive(Debug)]
pub struct Host {
    directory: Arc<Directory>,
    stopping: CancellationToken,
    _ticker: Ticker,
}

struct Loader {
    engine: Engine,
    cache: Cache,
    directory: Arc<Directory>,
    means: Means,
    exit: Exit,
    timing: Timing,
    lender: Arc<Lender>,
    state_dir: PathBuf,
    forbearance: Forbearance,
    share: u32,
}

impl Host {
    /// Load every component of the plan. Guests run on the runtime that this is called on, and on one of their own.
    ///
    /// # Errors
    /// Where a component cannot be loaded: nothing is served then.
    pub async fn start(plan: &Plan, options: Options) -> Result<Self, StartError> {
        let broken = |error: &dyn std::fmt::Display| StartError::Runtime(error.to_string());
        let engine = runtime::running(&plan.engine).map_err(|error| broken(&format!("{error:#}")))?;
        let ticker = Ticker::start(&engine, plan.engine.tick).map_err(|error| broken(&error))?;
        let lanes = Arc::new(Lanes::start(&plan.engine).map_err(|error| broken(&error))?);
        let directory = Arc::new(Directory::new(CallBounds::from(&plan.engine)));
        let cache_dir = plan.engine.cache_dir.clone().unwrap_or_else(|| plan.state_dir.join("cache"));
        let loader = Loader {
            cache: Cache::open(cache_dir, options.compiler, plan.engine.clone())?,
            engine,
            directory: Arc::clone(&directory),
            means: Means { lanes, slots: Arc::new(Semaphore::new(plan.engine.instances as usize)) },
            exit: Exit::new(&plan.engine),
            timing: Timing { tick: plan.engine.tick, stream_timeout: plan.gateway.request_timeout },
            lender: options.lender,
            state_dir: plan.state_dir.clone(),
            forbearance: Forbearance::from(&plan.engine),
            share: share(plan),
        };
        let failed = |name: &ComponentName, source| StartError::Component { component: name.clone(), source };
        let mut loaded = Vec::new();
        for component in plan.components.values() {
            loaded.push(loader.link(component).await.map_err(|source| failed(&component.name, source))?);
        }
        loader.check_calls(&loaded)?;
        // Only an application whose parts fit together may change its databases.
        let mut slots = BTreeMap::new();
        for component in loaded {
            let name = component.plan.name.clone();
            let slot = loader.equip(component).await.map_err(|source| failed(&name, source))?;
            slots.insert(name, Arc::new(slot));
        }
        directory.fill(slots);
        let host = Self { directory, stopping: CancellationToken::new(), _ticker: ticker };
        probe::start(&host.directory, &plan.gateway, host.stopping.clone());
        Ok(host)
    }

    /// Take no more work and let go of idle instances. What runs may end; how long it may, the caller decides.
    pub async fn drain(&self, limit: Duration) {
        self.stopping.cancel();
        for slot in self.directory.all().values() {
            slot.version().retire();
        }
        let until = Instant::now() + limit;
        while Instant::now() < until && self.directory.all().values().any(|slot| slot.version().instances() > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Instances that each pool of each component may have, so that all of them together have slots: no component waits for the
/// slots of another. One at least: with fewer slots than pools they do wait.
fn share(plan: &Plan) -> u32 {
    let components = u32::try_from(plan.components.len()).unwrap_or(u32::MAX).max(1);
    (plan.engine.instances / components.saturating_mul(KINDS)).max(1)
}

/// A component that is compiled and linked. Nothing has been done for it yet that outlasts the process.
struct Loaded<'a> {
    plan: &'a ComponentPlan,
    digest: String,
    component: Component,
    linked: Linked,
    migrations: Option<Vec<u8>>,
    elapsed: Duration,
}

impl Loader {
    async fn link<'a>(&self, plan: &'a ComponentPlan) -> Result<Loaded<'a>, LoadError> {
        let started = Instant::now();
        let artifact = Artifact::read(&plan.source, self.cache.limits()).await?;
        let broken = |reason| ArtifactError::Malformed { path: plan.source.clone(), reason };
        let migrations = migrations::section(&artifact.bytes).map_err(broken)?.map(<[u8]>::to_vec);
        let component = self.cache.load(&self.engine, &artifact).await?;
        let linked = link::link(&self.engine, &component, plan, &self.directory)?;
        Ok(Loaded { plan, digest: artifact.digest, component, linked, migrations, elapsed: started.elapsed() })
    }

    /// Lend to a component what it is granted: its databases are migrated.
    async fn equip(&self, loaded: Loaded<'_>) -> Result<Slot, LoadError> {
        let Loaded { plan, digest, component, linked, migrations, elapsed } = loaded;
        let started = Instant::now();
        let lent = self.lender.lend(plan, migrations.as_deref()).await?;
        let plan = Arc::new(files::stage(plan, &self.state_dir).await.map_err(LoadError::Files)?);
        let standing = Arc::new(Standing::new(plan.name.clone(), self.forbearance));
        let conduct = SqlConduct { standing: Arc::clone(&standing), burst: plan.limits.burst_cpu };
        lent.watch(&(Arc::new(conduct) as Arc<dyn Conduct>));
        let reach = Reach::new(&plan, self.exit.clone());
        let version = Version::new(Parts {
            plan: Arc::clone(&plan),
            digest,
            component,
            linked,
            lent,
            reach,
            standing: Arc::clone(&standing),
            timing: self.timing,
            means: self.means.clone(),
            share: self.share,
        });
        let elapsed_ms = u64::try_from((elapsed + started.elapsed()).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(component = %plan.name, digest = version.digest(), elapsed_ms, "loaded");
        Ok(Slot::new(plan, standing, version))
    }

    /// Whether every typed import finds what it asks for at its provider.
    fn check_calls(&self, loaded: &[Loaded<'_>]) -> Result<(), StartError> {
        for caller in loaded {
            for (interface, provider) in &caller.plan.dependencies {
                let refuse = |reason: String| StartError::Component {
                    component: caller.plan.name.clone(),
                    source: LinkError::Interface { interface: interface.clone(), reason }.into(),
                };
                let Some(provider) = loaded.iter().find(|loaded| loaded.plan.name == *provider) else {
                    return Err(refuse(format!("«{provider}» is not loaded")));
                };
                self.check_call(interface, caller, provider).map_err(refuse)?;
            }
        }
        Ok(())
    }

    fn check_call(&self, interface: &str, caller: &Loaded<'_>, provider: &Loaded<'_>) -> Result<(), String> {
        let wanted = caller.component.component_type().get_import(&self.engine, interface).map(|item| item.ty);
        let offered = provider.component.component_type().get_export(&self.engine, interface).map(|item| item.ty);
        match (wanted, offered) {
            // Granted, and not used.
            (None, _) => Ok(()),
            (Some(ComponentItem::ComponentInstance(wanted)), Some(ComponentItem::ComponentInstance(offered))) => {
                call::check_fits(&self.engine, &wanted, &offered)
                    .map_err(|reason| format!("{reason} by «{}»", provider.plan.name))
            }
            _ => Err(format!("«{}» does not offer it", provider.plan.name)),
        }
    }
}

#[async_trait]
impl Dispatch for Host {
    async fn handle(
        &self,
        component: &ComponentName,
        request: http::Request<Body>,
        meta: RequestMeta,
    ) -> Result<http::Response<Body>, DispatchError> {
        if self.stopping.is_cancelled() {
            return Err(DispatchError::ShuttingDown);
        }
        let slot =
            self.directory.find(component).ok_or_else(|| DispatchError::UnknownComponent(component.to_string()))?;
        dispatch(&slot, request, &meta).await
    }

    fn components(&self) -> Vec<ComponentStatus> {
        self.directory.all().values().map(|slot| slot.status()).collect()
    }
}

/// Hand a request to a component's instances; once more, alone, where a neighbour took the first instance with it.
pub(crate) async fn dispatch(
    slot: &Slot,
    request: http::Request<Body>,
    meta: &RequestMeta,
) -> Result<http::Response<Body>, DispatchError> {
    let limit = slot.limits().deadline;
    let deadline = Instant::now() + limit;
    let lane = slot.lane(request.method(), request.uri().path());
    let overloaded = DispatchError::Overloaded { retry_after: RETRY_AFTER };
    let place = Arc::new(slot.admission(lane).enter(deadline).await.map_err(|_full| overloaded.clone())?);
    let version = slot.version();
    let request = exchange::prepare(request, meta, version.delivery_token());
    let again = (request.method().is_safe() && request.body().is_end_stream()).then(|| exchange::head_of(&request));
    let caller = Caller { request_id: meta.request_id.as_str().into(), traceparent: meta.traceparent.as_str().into() };
    let (job, exchange) = Exchange::new(request, caller.clone(), deadline, Arc::clone(&place));
    version.submit(lane, job).map_err(|_full| overloaded)?;
    let safe = if again.is_some() { Safe::Yes } else { Safe::No };
    let answer = match (exchange.answer(limit, safe).await, again) {
        (Err(DispatchError::InstanceLost), Some(head)) => {
            // It may have lost its standing meanwhile.
            let lane = slot.lane(head.method(), head.uri().path());
            let (job, exchange) = Exchange::new(head, caller, deadline, place);
            version.submit_alone(lane, job);
            exchange.answer(limit, Safe::No).await
        }
        (answer, _) => answer,
    };
    answer.map(Answer::into_response)
}

#[cfg(test)]
mod tests;
