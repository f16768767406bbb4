//! Good requests in one instance with bad ones: a safe request is run elsewhere when its instance is lost, any other is
//! answered with 503, and nobody gets a wrong answer.

use std::collections::BTreeSet;

use anyhow::Context;
use chassis_tests::{App, Gate, Host};
use futures::future::{join, join_all};
use reqwest::{Method, StatusCode};
use serde_json::Value;

const MANIFEST: &str = r#"
[[trigger.http]]
route = "/..."
component = "hello"
[component.hello]
source = "hello.wasm"
files = [{ source = "public", destination = "/public" }]
allowed_outbound_hosts = ["http://127.0.0.1:*"]
[component.hello.tool.chassis.limits]
deadline = "10s"
instances = 1
slow_concurrency = 64
instance_concurrency = 64
instance_requests = 1000
handles = 1000
memory = "32MiB"
"#;

/// How a bad request misbehaves, and what it may be answered.
const MISDEEDS: &[(&str, &[StatusCode])] = &[
    ("/panic", &[StatusCode::INTERNAL_SERVER_ERROR]),
    ("/stack", &[StatusCode::INTERNAL_SERVER_ERROR]),
    ("/alloc?mb=1000", &[StatusCode::INTERNAL_SERVER_ERROR]),
    ("/handles/fields", &[StatusCode::INTERNAL_SERVER_ERROR]),
    ("/handles/streams", &[StatusCode::INTERNAL_SERVER_ERROR]),
    ("/handles/requests", &[StatusCode::INTERNAL_SERVER_ERROR]),
    ("/handles/files", &[StatusCode::INTERNAL_SERVER_ERROR, StatusCode::INSUFFICIENT_STORAGE]),
    ("/log?lines=100000000&bytes=200", &[StatusCode::GATEWAY_TIMEOUT]),
    ("/spin", &[StatusCode::GATEWAY_TIMEOUT]),
];

const GETS: usize = 12;
const POSTS: usize = 6;
/// Each misdeed, one after the other.
const ROUNDS: usize = 2;

/// One answer to `/wait`.
struct Waited {
    status: StatusCode,
    body: Value,
}

/// A request that waits for the gate.
async fn wait(host: &Host, gate: &Gate, method: Method, word: &str) -> anyhow::Result<Waited> {
    let request = host.request(method, &format!("/wait?until={}", gate.url()));
    // Without a body, and not only with one of no bytes: such a request may be run twice.
    let request = if word.is_empty() { request } else { request.body(word.to_owned()) };
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    Ok(Waited { status, body: serde_json::from_str(&text).with_context(|| format!("{status}: {text}"))? })
}

async fn get(host: &Host, gate: &Gate) -> anyhow::Result<Waited> {
    wait(host, gate, Method::GET, "").await
}

/// The method and the body of a request, as the component has seen them.
fn told(body: &Value) -> (&str, &str) {
    (text(body, "method"), text(body, "body"))
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Good requests wait in the instance; when all of them do, one misbehaves. Answers with the number of POSTs that were lost.
async fn round(host: &Host, misdeed: &str, allowed: &[StatusCode]) -> anyhow::Result<usize> {
    let words: Vec<String> = (0..POSTS).map(|number| format!("word-{number}")).collect();
    // What is run once more finds it open.
    let gate = Gate::holding(GETS + POSTS).await?;
    let gets = join_all((0..GETS).map(|_| get(host, &gate)));
    let posts = join_all(words.iter().map(|word| wait(host, &gate, Method::POST, word)));
    let bad = async {
        gate.arrived(GETS + POSTS).await?;
        let status = host.get(misdeed).await?.status();
        gate.open();
        anyhow::Ok(status)
    };
    let (good, bad) = join(join(gets, posts), bad).await;
    let bad = bad?;
    assert!(allowed.contains(&bad), "{misdeed}: {bad}");
    let (gets, posts) = good;
    for answer in gets {
        let Waited { status, body } = answer?;
        assert_eq!(status, StatusCode::OK, "a GET beside {misdeed}: {body}");
        assert_eq!(told(&body), ("GET", ""), "{body}");
    }
    let mut lost = 0;
    for (answer, word) in posts.into_iter().zip(&words) {
        let Waited { status, body } = answer?;
        if status == StatusCode::OK {
            assert_eq!(told(&body), ("POST", word.as_str()), "{body}");
        } else {
            let kind = text(&body, "type");
            // Beside what took all of its own time, a POST may have run out of its own first.
            let late = bad == StatusCode::GATEWAY_TIMEOUT && kind.ends_with("deadline-exceeded");
            let right = if late { bad } else { StatusCode::SERVICE_UNAVAILABLE };
            assert_eq!(status, right, "a POST beside {misdeed}: {body}");
            assert!(late || kind.ends_with("instance-lost"), "{misdeed}: {body}");
            lost += 1;
        }
    }
    Ok(lost)
}

#[tokio::test]
async fn safe_requests_are_answered_and_no_answer_is_wrong() -> anyhow::Result<()> {
    for (misdeed, allowed) in MISDEEDS {
        let app = App::new(MANIFEST)?.file("public/a.txt", b"content")?;
        let host = Host::start(&app).await?;
        let mut lost = 0;
        for _ in 0..ROUNDS {
            lost += round(&host, misdeed, allowed).await?;
        }
        eprintln!("{misdeed}: {lost} of {} POSTs beside it were lost with their instance", ROUNDS * POSTS);
        assert!(lost > 0, "{misdeed}: the requests were to share an instance with the bad one");
    }
    Ok(())
}

#[tokio::test]
async fn good_requests_share_an_instance_until_one_misbehaves() -> anyhow::Result<()> {
    let app = App::new(MANIFEST)?.file("public/a.txt", b"content")?;
    let host = Host::start(&app).await?;
    let gate = Gate::holding(GETS).await?;
    let together = async {
        gate.arrived(GETS).await?;
        gate.open();
        anyhow::Ok(())
    };
    let (answers, together) = join(join_all((0..GETS).map(|_| get(&host, &gate))), together).await;
    together?;
    let mut instances = BTreeSet::new();
    for answer in answers {
        instances.insert(answer?.body["instance"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(instances.len(), 1, "{instances:?}");
    assert_eq!(host.get("/panic").await?.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let after = get(&host, &gate).await?.body["instance"].as_str().unwrap_or_default().to_owned();
    assert!(!instances.contains(&after), "an instance that trapped serves no more");
    Ok(())
}

#[tokio::test]
async fn a_line_is_of_the_request_that_wrote_it_whoever_waits_beside_it() -> anyhow::Result<()> {
    let app = App::new(MANIFEST)?.file("public/file.txt", b"here")?.settings("[gateway]\nprobe_interval = \"1h\"\n")?;
    let host = Host::start(&app).await?;
    let gate = Gate::holding(1).await?;
    let beside = async {
        gate.arrived(1).await?;
        // One after the other, so that each gets the place in the instance's tables that the one before has left.
        let mut names = Vec::new();
        for _ in 0..4 {
            let response = host.get("/log?lines=1&bytes=20").await?;
            assert_eq!(response.status(), StatusCode::OK);
            names.push(response.headers().get("x-request-id").context("a request id")?.to_str()?.to_owned());
        }
        gate.open();
        anyhow::Ok(names)
    };
    let (held, names) = join(get(&host, &gate), beside).await;
    assert_eq!(held?.status, StatusCode::OK);
    for name in names? {
        for message in ["a line on stdout", "line 0 xxxxxxxx"] {
            let line = serde_json::json!({ "target": "chassis::guest", "request_id": name, "message": message });
            host.await_line(&line).await?;
        }
    }
    Ok(())
}
