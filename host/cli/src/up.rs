//! `chassis up`: the story of a run.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chassis_admin::{MetricsSource, Sources, TokenStore};
use chassis_capabilities::clock::{Clock, SystemClock};
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
use crate::signals::Signals;
use crate::state_dir::{Running, StateDir};

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
    let state = StateDir::open(&plan.state_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(plan.engine.fast_threads.max(1) as usize)
        .thread_name("chassis-fast")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(serve(&plan, &state, &telemetry));
    // A guest that does not end, or a thread that blocks, must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    drop(telemetry);
    served
}

async fn serve(plan: &Plan, state: &StateDir, telemetry: &Telemetry) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let gateway_socket = bind(plan.listeners.gateway, "--listen")?;
    let admin_socket = bind(plan.listeners.admin, "--admin")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tokens = Arc::new(TokenStore::open(&plan.state_dir, clock.now()).await?);
    let lender = Arc::new(Lender::open(plan, Arc::clone(&clock)).await?);
    let compiler = std::env::current_exe().context("cannot tell where this binary is")?;
    let host = Arc::new(Host::start(plan, Options { lender: Arc::clone(&lender), compiler }).await?);

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
    let stop = CancellationToken::new();
    let stop_last = CancellationToken::new();
    let gateway = spawn_gateway(plan, gateway, Arc::clone(&host), &stop)?;
    let worker = spawn_worker(plan, &lender, &host, clock, &stop);
    let admin = spawn_admin(plan, admin, sources, &stop_last);
    state.announce(&running)?;
    announce(plan, &running);

    tokio::select! {
        () = signals.next() => {}
        () = stop.cancelled() => {}
    }
    tracing::info!("stopping: open requests may end; a second signal ends at once");
    stop.cancel();
    let drained = async {
        let ended = gateway.await.context("the gateway failed")?;
        worker.await.context("the worker failed")?;
        stop_last.cancel();
        admin.await.context("the admin side failed")??;
        host.drain(GUEST_DRAIN).await;
        lender.close().await;
        ended
    };
    tokio::select! {
        ended = drained => ended,
        () = signals.next() => {
            tracing::warn!("stopped by a second signal");
            Ok(())
        }
    }
}

fn metrics_source(telemetry: &Telemetry) -> MetricsSource {
    let metrics = telemetry.metrics();
    MetricsSource::new(move || metrics.render())
}

fn spawn_gateway(
    plan: &Plan,
    listener: TcpListener,
    host: Arc<Host>,
    stop: &CancellationToken,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let routes = plan.routes.iter().map(|route| (route.pattern.clone(), route.component.clone()));
    let routes: Router<ComponentName> =
        Router::new(routes).map_err(|duplicates| anyhow::anyhow!("duplicate routes: {duplicates:?}"))?;
    let settings = chassis_gateway::Settings { application: plan.application.clone(), policy: plan.gateway.clone() };
    let stop = stop.clone();
    Ok(tokio::spawn(async move {
        // Whoever ends the gateway ends the host.
        let _end = stop.clone().drop_guard();
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
    stop: &CancellationToken,
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
    tokio::spawn(async move {
        // What was cut off has gone back to its queue; the worker has said so.
        let _drained = chassis_worker::run(parts, settings, stop.cancelled()).await;
    })
}

fn spawn_admin(
    plan: &Plan,
    listener: TcpListener,
    sources: Sources,
    stop: &CancellationToken,
) -> JoinHandle<Result<(), chassis_admin::ServeError>> {
    let (policy, stop) = (plan.admin.clone(), stop.clone());
    tokio::spawn(async move { chassis_admin::serve(listener, &policy, sources, stop.cancelled()).await })
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

#[expect(clippy::print_stdout, reason = "scripts wait for this line")]
fn announce(plan: &Plan, running: &Running) {
    eprintln!("\n{} {} answers at {}", plan.application.name, plan.application.version, running.gateway);
    let width = plan.routes.iter().map(|route| route.pattern.to_string().len()).max().unwrap_or(0);
    for route in &plan.routes {
        eprintln!("  {:width$}  {}", route.pattern.to_string(), route.component);
    }
    eprintln!("state: {}", plan.state_dir.display());
    eprintln!("admin: {}, with the token in {}", running.admin, admin_token(&plan.state_dir).display());
    eprintln!("look in: chassis ps | mail | queue --state-dir {}", plan.state_dir.display());
    eprintln!("stop: Ctrl-C\n");
    println!("ready gateway={} admin={}", running.gateway, running.admin);
}

/// The file of the first admin token.
pub(crate) fn admin_token(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("admin-token")
}
