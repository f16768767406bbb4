//! `chassis up`: the story of a run.

use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chassis_admin::{MetricsSource, Sources, TokenStore};
use chassis_capabilities::clock::{Clock, SystemClock};
use chassis_capabilities::failpoint;
use chassis_capabilities::lender::Lender;
use chassis_config::name::ComponentName;
use chassis_config::plan::Plan;
use chassis_config::route::Router;
use chassis_engine::host::{Host, Options};
use chassis_telemetry::Telemetry;
use chassis_worker::NamedOutbox;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::arguments::Up;
use crate::parts::Parts;
use crate::signals::Signals;
use crate::state_dir::{Running, StateDir};
use crate::{print, process};

/// Connections that the system holds until they are accepted.
const BACKLOG: u32 = 1024;
/// Time that guests are given to end after the last response.
const GUEST_DRAIN: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: &Up) -> anyhow::Result<()> {
    let mut options = arguments.sources.options()?;
    options.listen = arguments.listen;
    options.admin = arguments.admin;
    options.state_dir.clone_from(&arguments.state_dir);
    let (plan, warnings) = chassis_config::load_from_process(&options)?;
    let telemetry = chassis_telemetry::init(&plan.telemetry)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    process::keep_private();
    process::raise_descriptors(&plan);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(plan.engine.fast_threads.max(1) as usize)
        .thread_name("chassis-fast")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // Locked until the last thread that may write to it has ended.
    let state = OnceCell::new();
    let served = runtime.block_on(serve(&plan, &state, &telemetry));
    // A guest that does not end, or a thread that blocks, must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    drop((state, telemetry));
    served
}

async fn serve(plan: &Plan, state: &OnceCell<StateDir>, telemetry: &Telemetry) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let doing = Cell::new("beginning");
    let mut serving = tokio::select! {
        biased;
        () = signals.next() => {
            tracing::info!(at = doing.get(), "stopped by a signal before it was ready: nothing was served");
            return Ok(());
        }
        serving = start(plan, state, telemetry, &doing) => serving?,
    };
    let by_itself = tokio::select! {
        () = signals.next() => false,
        () = serving.stop.cancelled() => true,
    };
    tracing::info!("stopping: open requests may end; a second signal ends at once");
    serving.stop.cancel();
    tokio::select! {
        ended = serving.drain() => ended?,
        () = signals.next() => tracing::warn!("stopped by a second signal"),
    }
    anyhow::ensure!(!by_itself, "a part of the host ended by itself; the log says which");
    Ok(())
}

/// A host that answers.
struct Serving {
    gateway: JoinHandle<anyhow::Result<()>>,
    worker: JoinHandle<()>,
    admin: JoinHandle<Result<(), chassis_admin::ServeError>>,
    host: Arc<Host>,
    lender: Arc<Lender>,
    stop: CancellationToken,
    stop_last: CancellationToken,
}

impl Serving {
    /// Let everything end in its order, also where a part of it has failed.
    async fn drain(&mut self) -> anyhow::Result<()> {
        let gateway = (&mut self.gateway).await;
        let worker = (&mut self.worker).await;
        self.stop_last.cancel();
        let admin = (&mut self.admin).await;
        self.host.drain(GUEST_DRAIN).await;
        self.lender.close().await;
        gateway.context("the gateway failed")??;
        worker.context("the worker failed")?;
        admin.context("the admin side failed")??;
        Ok(())
    }
}

/// Everything up to the line `ready`. It may be dropped at any point: what it does to the state is done whole or not at
/// all, and the child that compiles ends with it. `doing` tells what it is at.
async fn start(
    plan: &Plan,
    state: &OnceCell<StateDir>,
    telemetry: &Telemetry,
    doing: &Cell<&'static str>,
) -> anyhow::Result<Serving> {
    doing.set("locking the state folder");
    let opened = StateDir::open(&plan.state_dir).await?;
    let state = state.get_or_init(|| opened);
    let gateway_socket = bind(plan.listeners.gateway, "--listen")?;
    let admin_socket = bind(plan.listeners.admin, "--admin")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    doing.set("opening the state");
    let tokens = Arc::new(TokenStore::open(&plan.state_dir, clock.now()).await?);
    let lender = Arc::new(Lender::open(plan, Arc::clone(&clock)).await?);
    let compiler = std::env::current_exe().context("cannot tell where this binary is")?;
    doing.set("loading components");
    let host = Arc::new(Host::start(plan, Options { lender: Arc::clone(&lender), compiler }).await?);

    doing.set("opening the doors");
    let sources = Sources {
        engine: Arc::clone(&host) as _,
        routes: plan.routes.clone(),
        messaging: lender.messaging(),
        mailbox: lender.mailbox(),
        metrics: metrics_source(telemetry),
        tokens,
    };
    let gateway = gateway_socket.listen(BACKLOG).context("cannot listen for requests")?;
    let admin = admin_socket.listen(BACKLOG).context("cannot listen for operators")?;
    let running = Running {
        pid: std::process::id(),
        gateway: format!("http://{}", gateway.local_addr()?),
        admin: format!("http://{}", admin.local_addr()?),
    };
    let (stop, stop_last) = (CancellationToken::new(), CancellationToken::new());
    let parts = Parts::new(stop.clone());
    let serving = Serving {
        gateway: spawn_gateway(plan, gateway, Arc::clone(&host), (&parts, &stop))?,
        worker: spawn_worker(plan, &lender, &host, clock, (&parts, &stop)),
        admin: spawn_admin(plan, admin, sources, (&parts, &stop_last)),
        host,
        lender,
        stop,
        stop_last,
    };
    state.announce(&running)?;
    failpoint::arm();
    announce(plan, &running);
    Ok(serving)
}

fn metrics_source(telemetry: &Telemetry) -> MetricsSource {
    let metrics = telemetry.metrics();
    MetricsSource::new(move || metrics.render())
}

fn spawn_gateway(
    plan: &Plan,
    listener: TcpListener,
    host: Arc<Host>,
    (parts, stop): (&Parts, &CancellationToken),
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let routes = plan.routes.iter().map(|route| (route.pattern.clone(), route.component.clone()));
    let routes: Router<ComponentName> =
        Router::new(routes).map_err(|duplicates| anyhow::anyhow!("duplicate routes: {duplicates:?}"))?;
    let settings = chassis_gateway::Settings { application: plan.application.clone(), policy: plan.gateway.clone() };
    let stop = stop.clone();
    Ok(parts.spawn("gateway", async move {
        let drained = chassis_gateway::serve(listener, settings, routes, host, stop.cancelled()).await?;
        if let chassis_gateway::Drained::Cut(connections) = drained {
            tracing::warn!(connections, "cut off requests that did not end by the drain deadline");
        }
        Ok(())
    }))
}

fn spawn_worker(
    plan: &Plan,
    lender: &Lender,
    host: &Arc<Host>,
    clock: Arc<dyn Clock>,
    (runner, stop): (&Parts, &CancellationToken),
) -> JoinHandle<()> {
    let outboxes = lender.outboxes().into_iter();
    let parts = chassis_worker::Parts {
        messaging: lender.messaging(),
        dispatch: Arc::clone(host) as _,
        outboxes: outboxes.map(|(label, outbox)| NamedOutbox { name: label.to_string(), outbox }).collect(),
        clock,
    };
    let settings = chassis_worker::Settings::from_plan(plan);
    let stop = stop.clone();
    runner.spawn("worker", async move {
        // What was cut off has gone back to its queue; the worker has said so.
        let _drained = chassis_worker::run(parts, settings, stop.cancelled()).await;
    })
}

fn spawn_admin(
    plan: &Plan,
    listener: TcpListener,
    sources: Sources,
    (parts, stop): (&Parts, &CancellationToken),
) -> JoinHandle<Result<(), chassis_admin::ServeError>> {
    let (policy, stop) = (plan.admin.clone(), stop.clone());
    parts.spawn("admin", async move { chassis_admin::serve(listener, &policy, sources, stop.cancelled()).await })
}

/// Take the address without answering yet: a port in use is told before anything is compiled.
fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpSocket> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok::<_, std::io::Error>(socket)
    };
    bound().with_context(|| format!("cannot listen on {address}; give another address by {option}"))
}

fn announce(plan: &Plan, running: &Running) {
    print::note(format_args!(
        "\n{} {} answers at {}",
        plan.application.name, plan.application.version, running.gateway
    ));
    let width = plan.routes.iter().map(|route| route.pattern.to_string().len()).max().unwrap_or(0);
    for route in &plan.routes {
        print::note(format_args!("  {:width$}  {}", route.pattern.to_string(), route.component));
    }
    print::note(format_args!("state: {}", plan.state_dir.display()));
    print::note(format_args!("admin: {}, with the token in {}", running.admin, admin_token(&plan.state_dir).display()));
    print::note(format_args!("look in: chassis ps | mail | queue --state-dir {}", plan.state_dir.display()));
    print::note("stop: Ctrl-C\n");
    // Scripts wait for this line. Whoever serves does not end because nobody listens to that.
    if let Err(error) = print::line(format_args!("ready gateway={} admin={}", running.gateway, running.admin)) {
        tracing::warn!("could not say that the host is ready: {error:#}");
    }
}

/// The file of the first admin token.
pub(crate) fn admin_token(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("admin-token")
}
