//! Six components that misbehave, each in its own way and sixteen requests at a time, beside accounts, todos and a
//! greeting: those do not notice. The numbers are asserted; the times are only printed, since machines differ.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chassis_tests::{App, Host, checkout, component_file};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// How long the load lasts.
const LOAD: Duration = Duration::from_secs(10);
/// Time in which the host finds out who misbehaves.
const SETTLING: Duration = Duration::from_secs(2);
/// Good requests a second.
const RATE: u32 = 200;
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

/// The shipped application, a greeting, and those that misbehave.
fn application() -> anyhow::Result<App> {
    let shipped = std::fs::read_to_string(checkout().join("spin.toml"))?;
    let greeting = "[[trigger.http]]\nroute = \"/hello/...\"\ncomponent = \"greeting\"\n[component.greeting]\nsource = \"hello.wasm\"\n";
    let bad: String = MISDEEDS.iter().map(|(name, path, _)| bad_component(name, path)).collect();
    let mut app = App::verbatim(&format!("{shipped}\n{greeting}{bad}"))?;
    for name in ["auth", "todos", "notifications"] {
        app = app.file(&format!("target/wasm32-wasip2/release/{name}.wasm"), &std::fs::read(component_file(name)?)?)?;
    }
    app.file("hello.wasm", &std::fs::read(component_file("hello")?)?)
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

/// One good request, of four kinds by turns; the answer is looked at, not only its status.
async fn good(host: &Host, people: &[Person], number: usize) -> anyhow::Result<()> {
    let person = people.get(number / 4 % people.len()).context("somebody")?;
    let authorised = |method, path: &str| host.request(method, path).bearer_auth(&person.token);
    match number % 4 {
        0 => {
            let response = host.get(&format!("/hello/{number}")).await?;
            let (status, text) = (response.status(), response.text().await?);
            anyhow::ensure!(status == StatusCode::OK && text == format!("Hello, {number}!\n"), "{status}: {text}");
        }
        1 => {
            let response = authorised(Method::GET, "/api/v1/users/me").send().await?;
            let (status, body) = (response.status(), response.json::<Value>().await?);
            anyhow::ensure!(status == StatusCode::OK && body.to_string().contains(&person.email), "{status}: {body}");
        }
        2 => {
            let title = format!("{} {number}", person.email);
            let response = authorised(Method::POST, "/api/v1/todos").json(&json!({ "title": title })).send().await?;
            let (status, body) = (response.status(), response.json::<Value>().await?);
            anyhow::ensure!(
                status == StatusCode::CREATED && field(&body, "title") == title.as_str(),
                "{status}: {body}"
            );
        }
        _ => {
            let response = authorised(Method::GET, "/api/v1/todos?limit=5").send().await?;
            let (status, body) = (response.status(), response.json::<Value>().await?);
            anyhow::ensure!(status == StatusCode::OK, "{status}: {body}");
            let items = field(&body, "items").as_array().with_context(|| format!("a list: {body}"))?;
            let own =
                |item: &Value| field(item, "title").as_str().is_some_and(|title| title.starts_with(&person.email));
            anyhow::ensure!(items.iter().all(own), "somebody else's: {body}");
        }
    }
    Ok(())
}

/// Sends good requests at a steady pace, whether earlier ones have been answered or not. Answers with when each was sent
/// and how long it took.
async fn steady(host: &Arc<Host>, people: Vec<Person>) -> anyhow::Result<Vec<(Duration, Duration)>> {
    let people = Arc::new(people);
    let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
    let begin = Instant::now();
    let mut sent = Vec::new();
    while begin.elapsed() < LOAD {
        pace.tick().await;
        let (host, people, number) = (Arc::clone(host), Arc::clone(&people), sent.len());
        sent.push(tokio::spawn(async move {
            let asked = Instant::now();
            good(&host, &people, number).await.with_context(|| format!("request {number}"))?;
            anyhow::Ok((asked.duration_since(begin), asked.elapsed()))
        }));
    }
    let total = sent.len();
    let (mut times, mut failures) = (Vec::new(), Vec::new());
    for answer in sent {
        match answer.await? {
            Ok(time) => times.push(time),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    anyhow::ensure!(failures.is_empty(), "{} of {total} failed: {:#?}", failures.len(), failures.first());
    Ok(times)
}

/// Sends one kind of bad request, again as soon as it is answered, and counts the answers.
async fn misbehave(host: &Host, path: &str) -> anyhow::Result<BTreeMap<u16, usize>> {
    let begin = Instant::now();
    let each = (0..BAD_REQUESTS).map(|_| async {
        let mut seen = Vec::new();
        while begin.elapsed() < LOAD {
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
    let before = steady_state(&host, &people).await?;
    let bad = join_all(MISDEEDS.iter().map(|(_, path, _)| misbehave(&host, path)));
    let (times, bad) = futures::join!(steady(&host, people), bad);
    let times = times.with_context(|| complaints(&host))?;
    for ((name, path, own), counts) in MISDEEDS.iter().zip(bad) {
        let counts = counts?;
        eprintln!("{name}: {path}: {counts:?}");
        assert!(counts.values().sum::<usize>() >= BAD_REQUESTS, "{name}: too few to disturb anybody: {counts:?}");
        assert!(counts.keys().all(|status| [*own, 503, 504].contains(status)), "{name}: {counts:?}");
        assert!(counts.contains_key(own), "{name} did not misbehave: {counts:?}");
    }
    let (early, late): (Vec<_>, Vec<_>) = times.iter().partition(|(sent, _)| *sent < SETTLING);
    for (when, some) in [("while they settle", early), ("after that", late)] {
        let mut took: Vec<Duration> = some.into_iter().map(|(_, took)| took).collect();
        took.sort();
        let (p50, p99) = (at(&took, 50), at(&took, 99));
        eprintln!("{} good requests {when}: p50 {p50:?}, p99 {p99:?} (one by one, alone: p50 {before:?})", took.len());
    }
    let expected = usize::try_from(LOAD.as_secs())? * RATE as usize;
    assert!(times.len() >= expected * 9 / 10, "{} of {expected} good requests were sent", times.len());
    // The sinners themselves are served again.
    for path in ["/spin?ms=1", "/alloc?mb=1", "/stack?depth=1", "/handles/streams?count=1", "/log?lines=1"] {
        let response = host.get(path).await?;
        assert_eq!(response.status(), StatusCode::OK, "{path}: {}", response.text().await?);
    }
    Ok(())
}

/// The median of good requests one after the other, before anybody misbehaves.
async fn steady_state(host: &Host, people: &[Person]) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for number in 0..100 {
        let begin = Instant::now();
        good(host, people, number).await.context("before anybody misbehaved")?;
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(at(&times, 50))
}

fn field<'a>(body: &'a Value, name: &str) -> &'a Value {
    body.get(name).unwrap_or(&Value::Null)
}

fn at(times: &[Duration], percent: usize) -> Duration {
    times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

/// What the log says of the components that did nothing wrong.
fn complaints(host: &Host) -> String {
    let ours = |line: &&str| ["auth", "todos", "greeting"].iter().any(|name| line.contains(&format!("\"{name}\"")));
    let loud = |line: &&str| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
    host.log().lines().filter(loud).filter(ours).take(20).collect::<Vec<_>>().join("\n")
}
