//! What stands for the engine: one component that does, at each path, what a test needs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chassis_config::name::ComponentName;
use chassis_engine::api::{Body, ComponentStatus, Dispatch, DispatchError, Door, RequestMeta};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::Semaphore;

/// A request that reached a component.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) component: String,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) meta: RequestMeta,
}

#[derive(Debug)]
pub(crate) struct Component {
    calls: Mutex<Vec<Call>>,
    pub(crate) health: Mutex<Vec<ComponentStatus>>,
    /// Requests and responses that are alive.
    pub(crate) alive: Arc<AtomicUsize>,
    /// `/stream` and `/wait` take a permit of it for each step.
    pub(crate) steps: Arc<Semaphore>,
}

impl Default for Component {
    fn default() -> Self {
        Self {
            calls: Mutex::default(),
            health: Mutex::default(),
            alive: Arc::default(),
            steps: Arc::new(Semaphore::new(0)),
        }
    }
}

struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn count(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(alive))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Component {
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The only request that reached a component.
    pub(crate) fn call(&self) -> Call {
        let calls = self.calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls[0].clone()
    }

    /// Wait until so many requests and responses are alive.
    pub(crate) async fn until_alive(&self, count: usize) {
        for _ in 0..1000 {
            if self.alive.load(Ordering::SeqCst) == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} are alive, not {count}", self.alive.load(Ordering::SeqCst));
    }

    fn chunks(&self, rest: impl Stream<Item = &'static str> + Send + 'static) -> Body {
        let alive = Alive::count(&self.alive);
        let frames = rest.map(move |text| {
            let _alive = &alive;
            Ok(Frame::data(Bytes::from_static(text.as_bytes())))
        });
        Body::new(StreamBody::new(frames))
    }
}

fn text(content: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(content.into()).map_err(|never| match never {})));
    response.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    response
}

/// `name=value` pairs of a query.
fn query<'uri>(uri: &'uri Uri, name: &str) -> Option<&'uri str> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
}

/// Text with the fields that the query names.
fn page(uri: &Uri) -> Response<Body> {
    let length = query(uri, "length").map_or(0, |length| length.parse().unwrap());
    let mut response = text("lorem ipsum ".repeat(length).into_bytes()[..length].to_vec());
    for name in
        ["content-type", "cache-control", "content-encoding", "content-security-policy", "connection", "keep-alive"]
    {
        if let Some(value) = query(uri, name) {
            response.headers_mut().insert(name, value.replace('+', " ").parse().unwrap());
        }
    }
    response.headers_mut().insert("chassis-instance", "7".parse().unwrap());
    response
}

#[async_trait]
impl Dispatch for Component {
    async fn handle(
        &self,
        component: &ComponentName,
        request: Request<Body>,
        meta: RequestMeta,
    ) -> Result<Response<Body>, DispatchError> {
        let _alive = Alive::count(&self.alive);
        assert_eq!(meta.door, Door::Public);
        let (parts, body) = request.into_parts();
        let call = Call {
            component: component.as_str().to_owned(),
            method: parts.method,
            uri: parts.uri.clone(),
            headers: parts.headers,
            meta,
        };
        self.calls.lock().unwrap().push(call);
        if component.as_str() == "gone" {
            return Err(DispatchError::UnknownComponent("gone".to_owned()));
        }
        let steps = Arc::clone(&self.steps);
        let step = move || {
            let steps = Arc::clone(&steps);
            async move { steps.acquire_owned().await.unwrap().forget() }
        };
        Ok(match parts.uri.path() {
            "/echo" => Response::new(body),
            "/count" => match body.collect().await {
                Ok(all) => text(all.to_bytes().len().to_string()),
                Err(error) => text(error.to_string()),
            },
            "/page" => page(&parts.uri),
            "/wait" => {
                step().await;
                text("done")
            }
            "/stream" => {
                let frames = ["first ", "second ", "third"];
                let mut response = Response::new(self.chunks(stream::iter(frames).then(move |text| {
                    let step = step();
                    async move {
                        step.await;
                        text
                    }
                })));
                let kind = query(&parts.uri, "type").unwrap_or("text/plain");
                response.headers_mut().insert("content-type", kind.parse().unwrap());
                response
            }
            "/stall" => Response::new(self.chunks(stream::iter(["first"]).chain(stream::pending()))),
            "/flood" => Response::new(self.chunks(stream::repeat("a flood of text that nobody reads "))),
            "/empty" => {
                let mut response = text("not sent");
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            "/informational" => {
                let mut response = text("");
                *response.status_mut() = StatusCode::EARLY_HINTS;
                response
            }
            "/overloaded" => return Err(DispatchError::Overloaded { retry_after: Duration::from_millis(1500) }),
            "/deadline" => return Err(DispatchError::DeadlineExceeded(Duration::from_secs(1))),
            "/trap" => return Err(DispatchError::Trapped("unreachable at /secret/source.rs".to_owned())),
            "/lost" => return Err(DispatchError::InstanceLost),
            "/bad" => return Err(DispatchError::BadResponse("internal-error: /secret/source.rs".to_owned())),
            "/down" => return Err(DispatchError::ShuttingDown),
            _ => text("hello"),
        })
    }

    fn components(&self) -> Vec<ComponentStatus> {
        self.health.lock().unwrap().clone()
    }
}
