//! Six components that misbehave, each in its own way and sixteen requests at a time, beside accounts, todos, mail, typed
//! calls and a greeting: those do not notice. The numbers are asserted; the times are only printed, since machines differ.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chassis_tests::{App, Host, checkout, component_file};
use futures::future::join_all;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the load lasts, in seconds, where the client can send all good requests in that time. It lasts until it has.
const SECONDS: u32 = 30;
const LOAD: Duration = Duration::from_secs(SECONDS as u64);
/// How long it may last at most. What sends a third of the rate is too little of a load to show anything.
const LOAD_MAX: Duration = Duration::from_secs(3 * SECONDS as u64);
/// Time in which the host finds out who misbehaves.
const SETTLING: Duration = Duration::from_secs(2);
/// Good requests a second.
const RATE: u32 = 500;
/// All of them.
const EXPECTED: usize = (SECONDS * RATE) as usize;
/// Requests of each misdeed at a time.
const BAD_REQUESTS: usize = 16;

/// The component that misbehaves, its path, and the answer to the misdeed itself. Beside that, each may be refused (503) or
/// run out of time (504): they wait for each other in the slow lane.
const MISDEEDS: &[(&str, &str, u16)] = &[
    ("loops", "/spin", 504),
    ("hogs", "/alloc?mb=1000", 500),
    ("panics", "/panic", 500),
    ("stacks", "/stack", 500),
    ("handles", "/handles/streams", 500),
    ("floods", "/log?lines=100000000&bytes=500", 504),
];

fn bad_component(name: &str, path: &str) -> String {
    let route = path.split('?').next().unwrap_or(path);
    format!(
        "[[trigger.http]]\nroute = \"{route}\"\ncomponent = \"{name}\"\n[component.{name}]\nsource = \"hello.wasm\"\n\
         [component.{name}.tool.chassis.limits]\ndeadline = \"2s\"\n"
    )
}

/// A greeting, and one who asks a second by way of a third.
const GOOD: &str = r#"
[[trigger.http]]
route = "/hello/..."
component = "greeting"
[component.greeting]
source = "hello.wasm"
[[trigger.http]]
route = "/call/..."
component = "caller"
[component.caller]
source = "caller.wasm"
[component.caller.dependencies]
"test:calls/target@0.1.0" = { component = "provider" }
"test:calls/passage@0.1.0" = { component = "relay" }
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

/// The shipped application, those that are good, and those that misbehave.
fn application() -> anyhow::Result<App> {
    let shipped = std::fs::read_to_string(checkout().join("spin.toml"))?;
    let bad: String = MISDEEDS.iter().map(|(name, path, _)| bad_component(name, path)).collect();
    let mut app = App::verbatim(&format!("{shipped}\n{GOOD}{bad}"))?;
    for name in ["auth", "todos", "notifications"] {
        app = app.file(&format!("target/wasm32-wasip2/release/{name}.wasm"), &std::fs::read(component_file(name)?)?)?;
    }
    for name in ["hello", "caller", "relay", "provider"] {
        app = app.file(&format!("{name}.wasm"), &std::fs::read(component_file(name)?)?)?;
    }
    Ok(app)
}

/// Somebody with an account.
struct Person {
    email: String,
    token: String,
}

async fn sign_up(host: &Host, number: usize) -> anyhow::Result<Person> {
    let email = format!("person{number}@example.com");
    let password = "correct horse battery staple";
    let register = json!({ "email": email, "password": password, "firstName": "Ada", "lastName": "L" });
    let registered = host.post_json("/api/v1/auth/register", &register).await?;
    anyhow::ensure!(registered.status() == StatusCode::CREATED, "{}", registered.text().await?);
    let login = json!({ "email": email, "password": password });
    let body: Value = host.post_json("/api/v1/auth/login", &login).await?.json().await?;
    Ok(Person { token: field(&body, "accessToken").as_str().context("a token")?.to_owned(), email })
}

/// One good request, of six kinds by turns; the answer is looked at, not only its status.
async fn good(host: &Host, people: &[Person], number: usize) -> anyhow::Result<()> {
    let person = people.get(number / 6 % people.len()).context("somebody")?;
    let authorised = |method, path: &str| host.request(method, path).bearer_auth(&person.token);
    match number % 6 {
        0 => says(host.get(&format!("/hello/{number}")).await?, |text| text == format!("Hello, {number}!\n")).await,
        1 => {
            let response = authorised(Method::GET, "/api/v1/users/me").send().await?;
            says(response, |text| text.contains(&person.email)).await
        }
        2 => {
            let title = format!("{} {number}", person.email);
            let response = authorised(Method::POST, "/api/v1/todos").json(&json!({ "title": title })).send().await?;
            anyhow::ensure!(response.status() == StatusCode::CREATED, "{}", response.text().await?);
            let body = response.json::<Value>().await?;
            anyhow::ensure!(field(&body, "title") == title.as_str(), "{body}");
            Ok(())
        }
        3 => {
            let response = authorised(Method::GET, "/api/v1/todos?limit=5").send().await?;
            let (status, body) = (response.status(), response.json::<Value>().await?);
            anyhow::ensure!(status == StatusCode::OK, "{status}: {body}");
            let items = field(&body, "items").as_array().with_context(|| format!("a list: {body}"))?;
            let own =
                |item: &Value| field(item, "title").as_str().is_some_and(|title| title.starts_with(&person.email));
            anyhow::ensure!(items.iter().all(own), "somebody else's: {body}");
            Ok(())
        }
        4 => says(host.get("/call/echo").await?, |text| text.contains("3 values unchanged")).await,
        _ => says(host.get("/call/passage?ms=2").await?, |text| text.contains("waited 2 ms")).await,
    }
}

/// The answer is a success with such a text.
async fn says(response: Response, right: impl FnOnce(&str) -> bool) -> anyhow::Result<()> {
    let (status, text) = (response.status(), response.text().await?);
    anyhow::ensure!(status == StatusCode::OK && right(&text), "{status}: {text}");
    Ok(())
}

/// A good request that was answered rightly.
struct Answered {
    number: usize,
    /// After the beginning of the load.
    sent: Duration,
    took: Duration,
}

/// What became of the good requests.
struct Steady {
    answered: Vec<Answered>,
    /// Those that had no answer, or a wrong one.
    failures: Vec<String>,
    /// Those that waited for their answers at the same time, at most.
    open: usize,
}

/// Sends good requests at a steady pace, whether earlier ones have been answered or not. Each has a moment at which it is
/// due; those of a moment that has passed are sent at once. When the last is sent, it is `enough`.
async fn steady(host: &Arc<Host>, people: Vec<Person>, enough: &CancellationToken) -> anyhow::Result<Steady> {
    // Also where this fails: nobody is to misbehave for ever.
    let all_sent = enough.drop_guard_ref();
    let people = Arc::new(people);
    let begin = Instant::now();
    let mut sent = JoinSet::new();
    let mut result = Steady { answered: Vec::new(), failures: Vec::new(), open: 0 };
    for number in 0..EXPECTED {
        let due = begin + LOAD * u32::try_from(number)? / (SECONDS * RATE);
        tokio::time::sleep_until(due.into()).await;
        anyhow::ensure!(begin.elapsed() < LOAD_MAX, "this machine has sent {number} of {EXPECTED}: that is no load");
        let (host, people) = (Arc::clone(host), Arc::clone(&people));
        sent.spawn(async move {
            let asked = Instant::now();
            let answer = good(&host, &people, number).await;
            answer.with_context(|| format!("request {number}"))?;
            Ok(Answered { number, sent: asked.duration_since(begin), took: asked.elapsed() })
        });
        result.open = result.open.max(sent.len());
        while let Some(ended) = sent.try_join_next() {
            result.take(ended?);
        }
    }
    drop(all_sent);
    eprintln!("{EXPECTED} good requests were sent in {:?}", begin.elapsed());
    while let Some(ended) = sent.join_next().await {
        result.take(ended?);
    }
    Ok(result)
}

impl Steady {
    fn take(&mut self, answer: anyhow::Result<Answered>) {
        match answer {
            Ok(answered) => self.answered.push(answered),
            Err(error) => self.failures.push(format!("{error:#}")),
        }
    }

    fn print(&self, alone: Duration) {
        let (early, late): (Vec<_>, Vec<_>) = self.answered.iter().partition(|answered| answered.sent < SETTLING);
        for (when, mut some) in [("while they settle", early), ("after that", late)] {
            some.sort_by_key(|answered| answered.took);
            let at = |percent: usize| some.get(some.len().saturating_sub(1) * percent / 100);
            let took = |percent| at(percent).map(|answered| answered.took).unwrap_or_default();
            let slowest = at(100).map(|answered| (answered.number, answered.took));
            eprintln!(
                "{} good requests {when}: p50 {:?}, p99 {:?}, slowest {slowest:?}",
                some.len(),
                took(50),
                took(99)
            );
        }
        eprintln!("at most {} of them open at a time; one by one, alone: p50 {alone:?}", self.open);
    }
}

/// Sends one kind of bad request, again as soon as it is answered, until all good ones are sent, and counts the answers.
async fn misbehave(host: &Host, path: &str, enough: &CancellationToken) -> anyhow::Result<BTreeMap<u16, usize>> {
    let each = (0..BAD_REQUESTS).map(|_| async {
        let mut seen = Vec::new();
        while !enough.is_cancelled() {
            let status = host.get(path).await?.status();
            seen.push(status.as_u16());
            if status == StatusCode::SERVICE_UNAVAILABLE {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        anyhow::Ok(seen)
    });
    let mut counts = BTreeMap::new();
    for seen in join_all(each).await {
        for status in seen? {
            *counts.entry(status).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices() -> anyhow::Result<()> {
    let app = application()?;
    let host = Arc::new(Host::start(&app).await?);
    let mut people = Vec::new();
    for number in 0..4 {
        people.push(sign_up(&host, number).await?);
    }
    let alone = steady_state(&host, &people).await?;
    let enough = CancellationToken::new();
    let bad = join_all(MISDEEDS.iter().map(|(_, path, _)| misbehave(&host, path, &enough)));
    let (steady, bad) = futures::join!(steady(&host, people, &enough), bad);
    let steady = steady?;
    steady.print(alone);
    for ((name, path, own), counts) in MISDEEDS.iter().zip(bad) {
        let counts = counts?;
        eprintln!("{name}: {path}: {counts:?}");
        assert!(counts.values().sum::<usize>() >= BAD_REQUESTS, "{name}: too few to disturb anybody: {counts:?}");
        assert!(counts.keys().all(|status| [*own, 503, 504].contains(status)), "{name}: {counts:?}");
        assert!(counts.contains_key(own), "{name} did not misbehave: {counts:?}");
    }
    let (failed, first) = (steady.failures.len(), steady.failures.first());
    assert_eq!(failed, 0, "of {EXPECTED} good requests, the first being {first:?}\n{}", complaints(&host));
    assert_eq!(steady.answered.len(), EXPECTED, "each good request has its right answer");
    // The sinners themselves are served again.
    for path in ["/spin?ms=1", "/alloc?mb=1", "/stack?depth=1", "/handles/streams?count=1", "/log?lines=1"] {
        served_again(&host, path).await?;
    }
    Ok(())
}

/// A harmless request is answered, once what the component has left behind in the slow lane is gone.
async fn served_again(host: &Host, path: &str) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let response = host.get(path).await?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(());
        }
        anyhow::ensure!([503, 504].contains(&status.as_u16()), "{path}: {}", response.text().await?);
        if begin.elapsed() > 2 * LOAD {
            anyhow::bail!("{path}: still {status}: {}", host.admin_json("/v1/components").await?);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The median of good requests one after the other, before anybody misbehaves.
async fn steady_state(host: &Host, people: &[Person]) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for number in 0..120 {
        let begin = Instant::now();
        good(host, people, number).await.context("before anybody misbehaved")?;
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn field<'a>(body: &'a Value, name: &str) -> &'a Value {
    body.get(name).unwrap_or(&Value::Null)
}

/// What the log says of the components that did nothing wrong.
fn complaints(host: &Host) -> String {
    let ours = |line: &&str| {
        ["auth", "todos", "notifications", "greeting", "caller", "relay", "provider"]
            .iter()
            .any(|name| line.contains(&format!("\"{name}\"")))
    };
    let loud = |line: &&str| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
    host.log().lines().filter(loud).filter(ours).take(20).collect::<Vec<_>>().join("\n")
}
