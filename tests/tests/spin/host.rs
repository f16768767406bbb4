//! A host with Spin's interfaces: WASI, `spin:sqlite`, `spin:variables` and `wasi:keyvalue`. One instance serves all requests.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use futures::channel::oneshot;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wasmtime::component::{Accessor, AccessorTask, Component, HasSelf, Linker, ResourceTable};
use wasmtime::{AsContextMut as _, Config, Engine, OptLevel, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{Prepared, Proxy, Request, Response};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use self::bindings::spin::variables::variables;

pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: ["../wit/platform", "../adapters/spin/wit"],
        inline: "
            package chassis:spin-test@0.1.0;

            world spin {
                import spin:sqlite/sqlite@3.1.0;
                import spin:variables/variables@3.0.0;
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
            }
        ",
        world: "chassis:spin-test/spin",
        imports: { default: trappable },
        with: {
            "spin:sqlite/sqlite.connection": crate::databases::Open,
            "wasi:keyvalue/store.bucket": crate::stores::Open,
            "wasi:keyvalue/atomics.cas": crate::stores::Watched,
        },
    });
}

/// Requests that wait for the instance.
const WAITING: usize = 64;

/// What the manifest and the operator give to one component.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// Labels of `sqlite_databases`, with the files behind them.
    pub(crate) databases: BTreeMap<String, PathBuf>,
    /// Labels of `key_value_stores`.
    pub(crate) stores: Vec<String>,
    /// `[component.<name>.variables]`.
    pub(crate) variables: BTreeMap<String, String>,
}

/// Values by their store and key.
type Entries = HashMap<(String, String), Vec<u8>>;

/// What one instance works with.
pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) grants: Arc<Grants>,
    pub(crate) entries: Mutex<Entries>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoWayOut,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// No component here lists `allowed_outbound_hosts`.
struct NoWayOut;

type Sending = Box<dyn Future<Output = Result<(), HttpError>> + Send>;

impl WasiHttpHooks for NoWayOut {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _done: Sending,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Sending), HttpError>> + Send> {
        Box::new(async { Err(HttpError::HttpRequestDenied) })
    }
}

impl variables::Host for State {}

impl<T: Send> variables::HostWithStore<T> for HasSelf<State> {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, variables::Error>> {
        let found = accessor.with(|mut access| access.get().grants.variables.get(&name).cloned());
        Ok(found.ok_or_else(|| variables::Error::Undefined(format!("no variable for {name}"))))
    }
}

#[expect(clippy::expect_used, reason = "without an engine there is nothing to test")]
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    // It is compiled for each run of the tests, and hardly runs.
    config.cranelift_opt_level(OptLevel::None);
    Engine::new(&config).expect("the configuration is one of wasmtime's")
});

/// Programs by their names: each is compiled once.
static PROGRAMS: LazyLock<Mutex<HashMap<String, Component>>> = LazyLock::new(Mutex::default);

/// A component of the product, as `cargo xtask compose-spin` has composed it.
pub(crate) fn product(name: &str) -> anyhow::Result<Component> {
    let file = chassis_tests::checkout().join("target/spin").join(format!("{name}.wasm"));
    compiled(name, || {
        std::fs::read(&file).with_context(|| format!("{}: run `cargo xtask build-components`", file.display()))
    })
}

/// A guest, composed with the adapter here.
pub(crate) fn guest(name: &str) -> anyhow::Result<Component> {
    compiled(name, || {
        let mut graph = CompositionGraph::new();
        let mut add = |name: &str| {
            let wasm = std::fs::read(chassis_tests::component_file(name)?)?;
            let package = Package::from_bytes(name, None, wasm, graph.types_mut())?;
            anyhow::Ok(graph.register_package(package)?)
        };
        let (adapter, guest) = (add("spin-adapter")?, add(name)?);
        wac_graph::plug(&mut graph, vec![adapter], guest)?;
        Ok(graph.encode(EncodeOptions::default())?)
    })
}

fn compiled(name: &str, wasm: impl FnOnce() -> anyhow::Result<Vec<u8>>) -> anyhow::Result<Component> {
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = programs.get(name) {
        return Ok(known.clone());
    }
    let program = Component::new(&ENGINE, wasm()?).map_err(plain)?;
    programs.insert(name.to_owned(), program.clone());
    Ok(program)
}

/// A component that runs. It ends with this value.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    request: Request,
    reply: oneshot::Sender<wasmtime::Result<Response>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Running {
    /// Starts a program with these grants.
    pub(crate) async fn start(program: &Component, grants: Grants) -> anyhow::Result<Self> {
        let mut store = Store::new(&ENGINE, state(grants));
        let proxy = Arc::new(instantiate(program, &mut store).await.map_err(plain)?);
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING);
        tokio::spawn(async move {
            let served = store.run_concurrent(async |accessor| {
                while let Some(job) = waiting.recv().await {
                    accessor.spawn(Serving { job, proxy: Arc::clone(&proxy) })?;
                }
                wasmtime::error::Ok(())
            });
            // Where the instance traps, whoever waits is told by its channel.
            drop(served.await);
        });
        Ok(Self { jobs })
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// Sends a request with these headers.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = http::Request::builder().method(method).uri(format!("http://127.0.0.1:3000{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync())?;
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { request, reply }).await.map_err(|_closed| anyhow::anyhow!("the instance is gone"))?;
        let (parts, body) = answer.await.context("the instance is gone")?.map_err(plain)?.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_else(|_not_json| String::from_utf8_lossy(&body).into());
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

impl Answer {
    /// The body, where the status is this one.
    pub(crate) fn expect(self, status: u16) -> anyhow::Result<Value> {
        anyhow::ensure!(self.status == status, "{} in place of {status}: {}", self.status, self.body);
        Ok(self.body)
    }
}

struct Serving {
    job: Job,
    proxy: Arc<Proxy>,
}

impl AccessorTask<State> for Serving {
    async fn run(self, accessor: &Accessor<State>) -> wasmtime::Result<()> {
        let Self { job: Job { request, reply }, proxy } = self;
        let prepared =
            accessor.with(|mut access| Prepared::new(access.as_context_mut(), &proxy, request, State::http, reply))?;
        prepared.run(accessor, std::future::pending()).await.map(|_sent| ())
    }
}

async fn instantiate(program: &Component, store: &mut Store<State>) -> wasmtime::Result<Proxy> {
    let service = ServicePre::new(linker()?.instantiate_pre(program)?)?;
    Ok(Proxy::P3(service.instantiate_async(store).await?))
}

/// An error of wasmtime's, which is no `std::error::Error`.
fn plain(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}

fn linker() -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(&ENGINE);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    bindings::Spin::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

fn state(grants: Grants) -> State {
    State {
        table: ResourceTable::new(),
        grants: Arc::new(grants),
        entries: Mutex::default(),
        wasi: WasiCtx::builder().inherit_stderr().build(),
        http: WasiHttpCtx::new(),
        hooks: NoWayOut,
    }
}

/// A folder with databases that have the schema of a component each, as `spin up --sqlite @<file>:<label>` makes them.
pub(crate) struct Databases {
    folder: TempDir,
}

impl Databases {
    pub(crate) fn new(labels: &[&str]) -> anyhow::Result<Self> {
        let databases = Self { folder: tempfile::tempdir()? };
        for label in labels {
            let connection = databases.open(label)?;
            let mut files: Vec<PathBuf> = std::fs::read_dir(chassis_tests::checkout().join("migrations").join(label))
                .into_iter()
                .flatten()
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<_, _>>()?;
            files.sort();
            for file in files {
                connection.execute_batch(&std::fs::read_to_string(&file)?)?;
            }
        }
        Ok(databases)
    }

    pub(crate) fn path(&self, label: &str) -> PathBuf {
        self.folder.path().join(format!("{label}.db"))
    }

    /// A connection of the test's own.
    pub(crate) fn open(&self, label: &str) -> anyhow::Result<rusqlite::Connection> {
        Ok(rusqlite::Connection::open(self.path(label))?)
    }

    /// Grants of these databases.
    pub(crate) fn grants(&self, labels: &[&str]) -> Grants {
        let databases = labels.iter().map(|label| ((*label).to_owned(), self.path(label))).collect();
        Grants { databases, ..Grants::default() }
    }

    /// The first column of a query's only row.
    pub(crate) fn count(&self, label: &str, text: &str) -> anyhow::Result<i64> {
        Ok(self.open(label)?.query_row(text, [], |row| row.get(0))?)
    }

    /// The events in an outbox, in order.
    pub(crate) fn events(&self, label: &str) -> anyhow::Result<Vec<Value>> {
        let connection = self.open(label)?;
        let mut statement = connection.prepare("select envelope from chassis_outbox order by sequence")?;
        let texts = statement.query_map([], |row| row.get::<_, String>(0))?;
        texts.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
    }
}
