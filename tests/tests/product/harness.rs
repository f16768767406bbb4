//! Hosts that serve the shipped application, and a client that says little.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chassis_tests::{App, Host, HostOptions};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use rusqlite::OpenFlags;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Time for what happens by itself, such as a mail that arrives; generous, because nothing here is about speed.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one host, and what a test knows of the host.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    gateway: String,
    admin: String,
    admin_token: String,
    state_dir: PathBuf,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// An answer without what names this one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Essence {
    status: u16,
    headers: Vec<(String, String)>,
    body: Value,
}

/// Somebody with an account and an open session.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// Sends a request and reads the answer.
pub(crate) trait Exchange {
    /// The answer, whatever its status.
    async fn answer(self) -> anyhow::Result<Answer>;

    /// The body of an answer that is to have this status.
    async fn expect(self, status: u16) -> anyhow::Result<Value>;
}

impl Exchange for RequestBuilder {
    async fn answer(self) -> anyhow::Result<Answer> {
        let response = self.send().await.context("no answer")?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await.context("an answer was cut off")? })
    }

    async fn expect(self, status: u16) -> anyhow::Result<Value> {
        let answer = self.answer().await?;
        ensure!(answer.status == status, "{} instead of {status}: {}", answer.status, answer.text);
        if answer.text.is_empty() { Ok(Value::Null) } else { answer.json() }
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("not JSON: «{}»", self.text))
    }

    /// A header, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The document of a problem with this status and type, checked for its form.
    pub(crate) fn problem(&self, status: u16, slug: &str) -> anyhow::Result<Value> {
        ensure!(self.status == status, "{} instead of {status}: {}", self.status, self.text);
        ensure!(self.header("content-type") == "application/problem+json", "{:?}", self.headers);
        ensure!(self.header("cache-control") == "no-store", "{:?}", self.headers);
        let document = self.json()?;
        ensure!(document["type"] == format!("/problems/{slug}"), "not {slug}: {document}");
        ensure!(document["status"] == status, "{document}");
        ensure!(document["title"].as_str().is_some_and(|title| !title.is_empty()), "{document}");
        let trace_id = document["traceId"].as_str().unwrap_or_default();
        ensure!(trace_id.len() == 32 && trace_id.bytes().all(|b| b.is_ascii_hexdigit()), "{document}");
        Ok(document)
    }

    /// Which places a problem names, with the code of each: `/email invalid-email`, in the order of the alphabet.
    pub(crate) fn violations(&self, status: u16, slug: &str) -> anyhow::Result<Vec<String>> {
        let document = self.problem(status, slug)?;
        let errors = document["errors"].as_array().with_context(|| format!("no errors: {document}"))?;
        let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let place = |error: &Value| format!("{}{}", text(error, "pointer"), text(error, "parameter"));
        let mut found: Vec<String> =
            errors.iter().map(|error| format!("{} {}", place(error), text(error, "code"))).collect();
        found.sort();
        Ok(found)
    }

    /// What remains of an answer when all that may differ between two equal ones is taken away.
    pub(crate) fn essence(&self) -> anyhow::Result<Essence> {
        let differing = ["x-request-id", "date"];
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| !differing.contains(&name.as_str()))
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        headers.sort();
        let mut body = if self.text.is_empty() { Value::Null } else { self.json()? };
        if let Value::Object(members) = &mut body {
            members.retain(|name, _| name != "traceId" && name != "instance");
        }
        Ok(Essence { status: self.status, headers, body })
    }
}

impl Api {
    /// A client of this host. Each test has its own, because connections belong to the runtime that opened them.
    pub(crate) fn of(host: &Host) -> anyhow::Result<Self> {
        let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Ok(Self {
            client: builder.timeout(REQUEST_TIMEOUT).build().context("cannot make a client")?,
            gateway: host.url(""),
            admin: host.admin_url(""),
            admin_token: host.admin_token()?,
            state_dir: host.state_dir().to_path_buf(),
        })
    }

    /// Address of the gateway, for bytes.
    pub(crate) fn address(&self) -> &str {
        self.gateway.trim_start_matches("http://")
    }

    /// Where the host keeps its state.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// A request to the gateway.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.gateway))
    }

    /// `GET`.
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// `POST` of a JSON document.
    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// A request to the admin side, with the token of the first run.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.admin_url(path)).bearer_auth(&self.admin_token)
    }

    /// URL of a path of the admin side.
    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("{}{path}", self.admin)
    }

    /// A document of the admin side.
    pub(crate) async fn admin_get(&self, path: &str) -> anyhow::Result<Value> {
        self.admin(Method::GET, path).expect(200).await
    }

    /// All items of a list of the admin side.
    pub(crate) async fn admin_list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.admin_get(&format!("{path}?limit=100{cursor}")).await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }

    /// Asks for an account.
    pub(crate) fn register(&self, email: &str) -> RequestBuilder {
        self.post("/api/v1/auth/register", &registration(email))
    }

    /// Asks for a session.
    pub(crate) fn login(&self, email: &str, password: &str) -> RequestBuilder {
        self.post("/api/v1/auth/login", &json!({ "email": email, "password": password }))
    }

    /// Asks for the next tokens.
    pub(crate) fn refresh(&self, token: &str) -> RequestBuilder {
        self.post("/api/v1/auth/refresh", &json!({ "refreshToken": token }))
    }

    /// Somebody new, logged in.
    pub(crate) async fn somebody(&self) -> anyhow::Result<User> {
        let email = fresh_email();
        self.register(&email).expect(201).await?;
        self.session(&email).await
    }

    /// A further session of somebody.
    pub(crate) async fn session(&self, email: &str) -> anyhow::Result<User> {
        let tokens = self.login(email, PASSWORD).expect(200).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text is missing");
        Ok(User {
            id: text(&tokens["user"]["id"])?,
            email: email.to_owned(),
            access: text(&tokens["accessToken"])?,
            refresh: text(&tokens["refreshToken"])?,
        })
    }

    /// The status of `users/me` with this token.
    pub(crate) async fn status_with(&self, access: &str) -> anyhow::Result<u16> {
        Ok(self.get("/api/v1/users/me").bearer_auth(access).answer().await?.status)
    }

    /// Mails to an address, newest first.
    pub(crate) async fn mails_to(&self, email: &str) -> anyhow::Result<Vec<Value>> {
        let page = self.admin_get(&format!("/v1/mailbox?limit=100&to={email}")).await?;
        page["items"].as_array().cloned().context("no items")
    }

    /// The mail to an address whose subject begins so, once it is there, as a whole.
    pub(crate) async fn mail(&self, email: &str, subject: &str) -> anyhow::Result<Value> {
        let begins = |mail: &Value| mail["subject"].as_str().is_some_and(|text| text.starts_with(subject));
        let found = eventually(&format!("«{subject}» to {email}"), async || {
            Ok(self.mails_to(email).await?.into_iter().find(begins))
        })
        .await?;
        let id = found["id"].as_str().context("a mail has an id")?;
        self.admin_get(&format!("/v1/mailbox/{id}")).await
    }

    /// Waits until no event is on its way: none waits in an outbox, and no delivery in a queue.
    pub(crate) async fn quiet(&self) -> anyhow::Result<()> {
        let busy = |queue: &Value| {
            ["ready", "blocked", "delayed", "leased"].iter().any(|count| queue[count].as_u64() != Some(0))
        };
        // In the order in which an event goes: what has left an outbox is in its queue already.
        eventually("empty outboxes and queues", async || {
            let nothing = self.outboxes()? == 0 && !self.admin_list("/v1/queues").await?.iter().any(busy);
            Ok(nothing.then_some(()))
        })
        .await
    }

    /// Events in the outboxes of all databases, as the files say.
    fn outboxes(&self) -> anyhow::Result<u32> {
        let mut events = 0;
        for entry in std::fs::read_dir(self.state_dir.join("sql"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "db") {
                let database = rusqlite::Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                let count = "select count(*) from chassis_outbox";
                events += database.query_row(count, [], |row| row.get::<_, u32>(0)).context(count)?;
            }
        }
        Ok(events)
    }
}

/// What somebody types who wants an account.
pub(crate) fn registration(email: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "firstName": "Ada", "lastName": "Lovelace" })
}

/// An address that nobody has.
pub(crate) fn fresh_email() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("ada.{}@example.com", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Looks again and again until there is something.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let begin = std::time::Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if begin.elapsed() > PATIENCE {
            bail!("waited in vain for {what}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Starts a host that keeps its state here.
pub(crate) async fn start(app: &App, state_dir: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Host> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = HostOptions {
        state_dir: Some(state_dir.to_path_buf()),
        environment: environment.collect(),
        ..HostOptions::default()
    };
    Host::start_with(app, options).await
}

/// The host that most tests use together: each has users of its own. It ends with the last test that uses it.
#[derive(Debug)]
pub(crate) struct Shared {
    api: Api,
    _running: Arc<Running>,
}

impl Deref for Shared {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// A host on a runtime of its own, because it outlives the test that started it.
#[derive(Debug)]
struct Running {
    host: Option<Host>,
    runtime: Option<Runtime>,
    _app: App,
    _state: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The host is killed within its runtime, which takes note of the end.
        if let Some(runtime) = self.runtime.take() {
            let guard = runtime.enter();
            drop(self.host.take());
            drop(guard);
            runtime.shutdown_background();
        }
    }
}

/// The host that most tests use together.
pub(crate) fn shared() -> anyhow::Result<Shared> {
    static RUNNING: Mutex<Weak<Running>> = Mutex::new(Weak::new());
    let mut known = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let running = match known.upgrade() {
        Some(running) => running,
        None => {
            // On a thread of its own: a test's thread is within the test's runtime.
            let started = std::thread::spawn(start_shared).join();
            Arc::new(started.map_err(|_panic| anyhow::anyhow!("the host could not be started"))??)
        }
    };
    *known = Arc::downgrade(&running);
    let api = Api::of(running.host.as_ref().context("it runs")?)?;
    Ok(Shared { api, _running: running })
}

fn start_shared() -> anyhow::Result<Running> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let app = App::shipped()?;
    let state = tempfile::Builder::new().prefix("chassis-state-").tempdir()?;
    // Tests that make many todos get many mails; nobody's is to be forgotten for them.
    let environment = [("CHASSIS_MAIL_MAILBOX_MESSAGES", "20000")];
    let host = runtime.block_on(start(&app, &state.path().join("state"), &environment))?;
    Ok(Running { host: Some(host), runtime: Some(runtime), _app: app, _state: state })
}
