//! What `cargo xtask bench` measures components against: the same handlers, SQL statements and token check, natively,
//! in axum and sqlx. It only reads, from the databases of a host that has ended.
//!
//! Before the handlers stands the gateway of the host, as a library: request ids, traces, access log, limits,
//! compression and security headers are the same code. What is missing is what a host of components adds: wasm,
//! instances, grants, limits of SQL. `docs/benchmarks.md` says what that leaves to compare.
//!
//! - `native`: stands where the engine stands, and calls handlers directly
//! - `hello` and `todos`: the handlers of the guest `greeting` and of the component `todos`
//! - `identity`: the token check of `auth`
//! - `database`: files and connections

mod database;
mod hello;
mod identity;
mod native;
mod todos;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use axum::serve::ListenerExt as _;
use chassis_config::Options;
use chassis_config::name::ComponentName;
use chassis_config::plan::Plan;
use chassis_config::route::Router;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::native::Native;

/// The one of the host.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves `/hello` and the reading half of todos natively, for comparison with components.
///
/// Prints `ready gateway=http://... bare=http://...` when requests are answered, and ends at SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "chassis-baseline", version)]
struct Arguments {
    /// The manifest whose routes and limits are taken over.
    #[arg(long, default_value = "spin.toml", value_name = "FILE")]
    manifest: PathBuf,
    /// Listener behind the layers of the gateway; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Listener without any layer: what axum alone would do.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    bare: SocketAddr,
    /// State folder of a host that has ended, or a copy of it. Nothing is written there.
    #[arg(long, value_name = "FOLDER")]
    state_dir: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut options = Options::new(std::env::current_dir().context("cannot tell the working directory")?);
    options.manifest.clone_from(&arguments.manifest);
    options.state_dir = Some(arguments.state_dir.clone());
    let (plan, _warnings) = chassis_config::load_from_process(&options)?;
    let telemetry = chassis_telemetry::init(&plan.telemetry)?;
    // As many threads as the host gives to components in good standing.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(plan.engine.fast_threads.max(1) as usize)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(serve(&plan, &arguments));
    drop(telemetry);
    served
}

async fn serve(plan: &Plan, arguments: &Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let native = Native::new(todos::App::open(plan).await?);
    let (gateway, bare) = (listen(arguments.listen).await?, listen(arguments.bare).await?);
    announce(&gateway, &bare)?;
    let routes = plan.routes.iter().map(|route| (route.pattern.clone(), route.component.clone()));
    let routes: Router<ComponentName> =
        Router::new(routes).map_err(|duplicates| anyhow::anyhow!("duplicate routes: {duplicates:?}"))?;
    let settings = chassis_gateway::Settings { application: plan.application.clone(), policy: plan.gateway.clone() };
    let bare = axum::serve(bare.tap_io(no_delay), native.bare());
    tokio::select! {
        served = chassis_gateway::serve(gateway, settings, routes, Arc::new(native), std::future::pending()) => {
            served.map(|_drained| ()).context("the gateway failed")
        }
        served = bare => served.context("the bare listener failed"),
        _ = terminate.recv() => Ok(()),
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

fn no_delay(stream: &mut tokio::net::TcpStream) {
    // Without it an answer could be slower, never wrong.
    let _best_effort = stream.set_nodelay(true);
}

#[expect(clippy::print_stdout, reason = "whoever starts this waits for the line")]
fn announce(gateway: &TcpListener, bare: &TcpListener) -> anyhow::Result<()> {
    println!("ready gateway=http://{} bare=http://{}", gateway.local_addr()?, bare.local_addr()?);
    Ok(())
}

/// Where the host keeps the database of a component.
fn database_file(state_dir: &Path, name: &str) -> PathBuf {
    state_dir.join("sql").join(format!("{name}.db"))
}
