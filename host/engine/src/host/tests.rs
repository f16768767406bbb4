//! A provider of typed calls that is gone while its caller serves, with the real guests `caller`, `relay` and `provider`. No
//! door of the host's leads there: what cannot be loaded stops the start. So the directory is changed from within.

use std::path::{Path, PathBuf};

use chassis_capabilities::clock::SystemClock;
use futures::future::join_all;
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty};
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::api::Door;

/// `caller` in one instance, which asks `provider` itself and by way of `relay`.
const MANIFEST: &str = r#"
spin_manifest_version = 2
application = { name = "calls" }
[[trigger.http]]
route = "/..."
component = "caller"
[component.caller]
source = "caller.wasm"
[component.caller.dependencies]
"test:calls/target@0.1.0" = { component = "provider" }
"test:calls/passage@0.1.0" = { component = "relay" }
[component.caller.tool.chassis.limits]
deadline = "10m"
instances = 1
instance_concurrency = 32
instance_requests = 100000
[component.relay]
source = "relay.wasm"
[component.relay.dependencies]
"test:calls/target@0.1.0" = { component = "provider" }
[component.relay.tool.chassis]
provides = ["test:calls/passage@0.1.0"]
[component.provider]
source = "provider.wasm"
[component.provider.tool.chassis]
provides = ["test:calls/target@0.1.0"]
"#;

/// Requests that wait in the caller's instance meanwhile.
const WAITING: u64 = 16;
/// Time for them to get there: only a hang takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Application {
    host: Host,
    _folder: TempDir,
}

/// A file below the folder that cargo builds natively to: this program runs from `<it>/deps`.
fn built(file: &str, build: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let path = program.ancestors().nth(2).unwrap().join(file);
    assert!(path.exists(), "{} is missing: run `{build}`", path.display());
    path
}

impl Application {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("spin.toml"), MANIFEST).unwrap();
        for name in ["caller", "relay", "provider"] {
            let file = format!("{name}.wasm");
            let from = built(&format!("../wasm32-wasip2/release/{file}"), "cargo xtask build-components");
            std::fs::copy(from, folder.path().join(file)).unwrap();
        }
        let compiler = built("chassis", "cargo build --release --workspace --bin chassis");
        let plan = plan(folder.path(), &compiler.with_file_name("chassis-test-cache"));
        let lender = Arc::new(Lender::open(&plan, Arc::new(SystemClock)).await.unwrap());
        let host = Host::start(&plan, Options { lender, compiler }).await.unwrap();
        Self { host, _folder: folder }
    }

    /// Take a component out of the directory. Answers with the directory as it was.
    fn take(&self, name: &str) -> BTreeMap<ComponentName, Arc<Slot>> {
        let before = BTreeMap::clone(&self.host.directory.all());
        let mut after = before.clone();
        assert!(after.remove(&ComponentName::parse(name).unwrap()).is_some(), "{name} was there");
        self.host.directory.fill(after);
        before
    }

    async fn ask(&self, path: &str) -> Answer {
        let mut request = http::Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        *request.uri_mut() = path.parse().unwrap();
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
        let meta = RequestMeta { request_id: "test".to_owned(), traceparent, door: Door::Public };
        let response = self.host.handle(&ComponentName::parse("caller").unwrap(), request, meta).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, body: serde_json::from_slice(&bytes).unwrap() }
    }

    async fn await_held(&self) {
        let begin = Instant::now();
        while self.ask("/held").await.body["held"] != WAITING {
            assert!(begin.elapsed() < PATIENCE, "{:?}", self.ask("/held").await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn plan(folder: &Path, cache: &Path) -> Plan {
    let mut options = chassis_config::Options::new(folder);
    options.state_dir = Some(folder.join("state"));
    // Kept from run to run, because compiling is what takes the time.
    let environment = [("CHASSIS_ENGINE_CACHE_DIR".to_owned(), cache.display().to_string())];
    chassis_config::load(&options, environment).unwrap().0
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Value,
}

#[tokio::test]
async fn a_provider_that_is_missing_fails_the_calling_request_alone() {
    let application = Application::start().await;
    let waiting = join_all((0..WAITING).map(|_| application.ask("/hold")));
    let calling = async {
        application.await_held().await;
        let before = application.take("provider");
        let missing = application.ask("/call/slow?ms=1").await;
        // By way of `relay`, which is there and says so.
        let by_relay = application.ask("/call/passage?ms=1").await;
        assert_eq!(application.ask("/held").await.body["held"], WAITING, "they still wait beside the calls");
        application.host.directory.fill(before);
        let found = application.ask("/call/slow?ms=1").await;
        assert_eq!(application.ask("/release").await.status, StatusCode::OK);
        (missing, by_relay, found)
    };
    let (waited, (missing, by_relay, found)) = futures::join!(waiting, calling);
    for answer in [&missing, &by_relay] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert_eq!(answer.body["unavailable"], "missing", "{answer:?}");
    }
    assert_eq!((found.status, &found.body["answer"]), (StatusCode::OK, &"waited 1 ms".into()), "{found:?}");
    for answer in waited.iter().chain([&by_relay, &found]) {
        assert_eq!(answer.body["instance"], missing.body["instance"], "all of them share an instance: {answer:?}");
    }
    assert!(waited.iter().all(|answer| answer.status == StatusCode::OK), "{waited:?}");
}
