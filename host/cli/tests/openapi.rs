//! Is every route of the shipped components in the OpenAPI document of its component, and nothing else?
//!
//! The documents are private: only the host itself can read them. So this test is the host, and asks each component once
//! for its document, and then, as a stranger, for everything that the document says and for what it does not say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use chassis_capabilities::clock::{Clock, SystemClock};
use chassis_capabilities::lender::Lender;
use chassis_config::Options;
use chassis_config::name::ComponentName;
use chassis_config::plan::Plan;
use chassis_config::route::Router;
use chassis_engine::api::{Dispatch as _, Door, RequestMeta};
use chassis_engine::host::{self, Host};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use serde_json::Value;
use tempfile::TempDir;

/// Methods that a path item of OpenAPI may have.
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "patch", "trace"];

/// The methods of each path.
type Surface = BTreeMap<String, BTreeSet<String>>;

/// The shipped application, without listeners.
struct Application {
    host: Host,
    plan: Plan,
    _state: TempDir,
}

fn checkout() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

impl Application {
    async fn start() -> anyhow::Result<Self> {
        let state = tempfile::tempdir()?;
        let mut options = Options::new(checkout());
        options.state_dir = Some(state.path().to_path_buf());
        // Kept from run to run, because compiling is what takes the time.
        let cache = Path::new(env!("CARGO_BIN_EXE_chassis")).with_file_name("chassis-test-cache");
        let environment = [("CHASSIS_ENGINE_CACHE_DIR".to_owned(), cache.display().to_string())];
        let (plan, _warnings) = chassis_config::load(&options, environment)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let lender = Arc::new(Lender::open(&plan, clock).await?);
        let compiler = PathBuf::from(env!("CARGO_BIN_EXE_chassis"));
        let host = Host::start(&plan, host::Options { lender, compiler }).await?;
        Ok(Self { host, plan, _state: state })
    }

    async fn ask(
        &self,
        name: &ComponentName,
        method: Method,
        path: &str,
        door: Door,
    ) -> anyhow::Result<Response<Bytes>> {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = Uri::try_from(path)?;
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
        let meta = RequestMeta { request_id: "test".to_owned(), traceparent, door };
        let response = self.host.handle(name, request, meta).await.with_context(|| format!("{name}: {path}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| anyhow::anyhow!("{name}: {path}: {error}"))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    async fn document(&self, name: &ComponentName) -> anyhow::Result<Value> {
        let response = self.ask(name, Method::GET, "/.chassis/openapi.json", Door::Host).await?;
        ensure!(response.status() == StatusCode::OK, "{name}: {response:?}");
        serde_json::from_slice(response.body()).with_context(|| format!("the document of {name}"))
    }

    /// The methods that a component knows at a path, as it tells whoever uses one that it does not know.
    async fn allowed(&self, name: &ComponentName, path: &str) -> anyhow::Result<BTreeSet<String>> {
        let response = self.ask(name, Method::from_bytes(b"PROPFIND")?, path, Door::Public).await?;
        ensure!(response.status() == StatusCode::METHOD_NOT_ALLOWED, "{name}: {path}: {response:?}");
        let allow = response.headers().get(http::header::ALLOW).context("Allow")?.to_str()?;
        // What answers GET answers HEAD; no document says so.
        Ok(allow.split(',').map(|method| method.trim().to_lowercase()).filter(|method| method != "head").collect())
    }
}

/// What a document says.
fn documented(document: &Value) -> anyhow::Result<Surface> {
    let paths = document["paths"].as_object().context("paths")?;
    let methods =
        |item: &Value| METHODS.iter().filter(|method| item.get(**method).is_some()).map(ToString::to_string).collect();
    Ok(paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect())
}

/// What is written at the handlers: `#[utoipa::path(post, path = "/api/v1/auth/login", ...`.
fn written(component: &str) -> anyhow::Result<Surface> {
    let mut surface = Surface::new();
    for file in walkdir::WalkDir::new(checkout().join("components").join(component).join("src")) {
        let file = file?;
        if file.path().extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(file.path())?;
        ensure!(!text.contains(".route("), "{}: a route beside the list of `routes!`", file.path().display());
        for (method, path) in attributes(&text, file.path())? {
            surface.entry(path).or_default().insert(method);
        }
    }
    Ok(surface)
}

fn attributes(text: &str, file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let read = |attribute: &str| {
        let (method, rest) = attribute.split_once(',')?;
        let (_, rest) = rest.split_once("path = \"")?;
        let (path, _) = rest.split_once('"')?;
        Some((method.trim().to_owned(), path.to_owned()))
    };
    let attributes = text.split("#[utoipa::path(").skip(1);
    let read = |attribute| read(attribute).with_context(|| format!("{}: an attribute of another form", file.display()));
    attributes.map(read).collect()
}

/// A path with something in the place of its parameters.
fn example(path: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "x".to_owned() } else { segment.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_in_the_document_of_its_component() -> anyhow::Result<()> {
    let application = Application::start().await?;
    let routes = application.plan.routes.iter().map(|route| (route.pattern.clone(), route.component.clone()));
    let router = Router::new(routes).map_err(|duplicates| anyhow::anyhow!("{duplicates:?}"))?;
    for status in application.host.components() {
        let name = &status.name;
        let document = application.document(name).await?;
        let surface = documented(&document)?;
        assert_eq!(surface, written(name.as_str())?, "{name}: what is written at the handlers is what is documented");
        for (path, methods) in &surface {
            assert_eq!(&application.allowed(name, &example(path)).await?, methods, "{name}: {path}");
            let reached = router.find(&example(path)).map(|found| found.value.clone());
            assert_eq!(reached.as_ref(), Some(name), "{path}: the manifest leads elsewhere");
        }
        assert_eq!(document["openapi"].as_str().map(|version| version.starts_with("3.1.")), Some(true), "{name}");
        assert_eq!(document["info"]["title"], name.as_str());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_says_what_it_answers_and_whether_it_wants_a_token() -> anyhow::Result<()> {
    let application = Application::start().await?;
    for status in application.host.components() {
        let document = application.document(&status.name).await?;
        for (path, methods) in documented(&document)? {
            for method in methods {
                let operation = &document["paths"][&path][&method];
                let what = format!("{} {method} {path}", status.name);
                let answers = operation["responses"].as_object().context(what.clone())?;
                assert!(answers.keys().any(|code| code.starts_with('2')) && answers.contains_key("default"), "{what}");
                // A stranger is refused exactly where the document asks for a token.
                let wanted = Method::from_bytes(method.to_uppercase().as_bytes())?;
                let answer = application.ask(&status.name, wanted, &example(&path), Door::Public).await?;
                let is_guarded = operation["security"].as_array().is_some_and(|all| !all.is_empty());
                assert_eq!(answer.status() == StatusCode::UNAUTHORIZED, is_guarded, "{what}: {answer:?}");
            }
        }
    }
    Ok(())
}
