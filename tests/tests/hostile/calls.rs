//! Typed calls while they are made: what a provider does wrong is felt by the request that called it, and by no other
//! in the same instance.

use std::time::Duration;

use anyhow::Context;
use chassis_tests::{App, Gate, Host, HostOptions, run_to_end};
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt, TryStreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// `caller` in one instance, which asks `provider` itself and by way of `relay`.
const MANIFEST: &str = r#"
[[trigger.http]]
route = "/..."
component = "caller"
[component.caller]
source = "caller.wasm"
[component.caller.dependencies]
"test:calls/target@0.1.0" = { component = "provider" }
"test:calls/passage@0.1.0" = { component = "relay" }
[component.caller.tool.chassis.limits]
instances = 1
instance_concurrency = 32
instance_requests = 10000
[component.relay]
source = "relay.wasm"
[component.relay.dependencies]
"test:calls/target@0.1.0" = { component = "provider" }
[component.relay.tool.chassis]
provides = ["test:calls/passage@0.1.0"]
[component.provider]
source = "provider.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*"]
[component.provider.tool.chassis]
provides = ["test:calls/target@0.1.0"]
[component.provider.tool.chassis.limits]
"#;

/// Requests that wait in the caller's instance while a call of one of their neighbours fails.
const WAITING: usize = 16;

async fn start(provider_limits: &str) -> anyhow::Result<(App, Host)> {
    let app = App::new(&format!("{MANIFEST}{provider_limits}\n"))?;
    let host = Host::start(&app).await?;
    Ok((app, host))
}

/// An answer of `caller`.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str()
    }

    fn instance(&self) -> &str {
        self.text("instance").unwrap_or_default()
    }

    /// The name of the failure that the host answered the call with.
    fn unavailable(&self) -> Option<&str> {
        (self.status == StatusCode::SERVICE_UNAVAILABLE).then(|| self.text("unavailable")).flatten()
    }
}

async fn ask(host: &Host, path: &str) -> anyhow::Result<Answer> {
    let response = host.get(path).await?;
    let status = response.status();
    let text = response.text().await?;
    let body = serde_json::from_str(&text).with_context(|| format!("GET {path}: {status}: {text}"))?;
    Ok(Answer { status, body })
}

/// Holds sixteen requests in the instance, makes `calls` beside them, and answers with what became of the calls. The
/// sixteen wait through all of it, and are then answered by the instance that made the calls.
async fn beside_waiting(host: &Host, calls: &[&str]) -> anyhow::Result<Vec<Answer>> {
    beside_waiting_all(host, async || {
        let answers = join_all(calls.iter().map(|path| ask(host, path))).await;
        answers.into_iter().collect::<anyhow::Result<Vec<_>>>()
    })
    .await
}

/// The same with calls that the test makes in a way of its own.
async fn beside_waiting_all(
    host: &Host,
    calls: impl AsyncFnOnce() -> anyhow::Result<Vec<Answer>>,
) -> anyhow::Result<Vec<Answer>> {
    let waiting = join_all((0..WAITING).map(|_| ask(host, "/hold")));
    let calling = async {
        await_held(host).await?;
        let answers = calls().await?;
        assert_eq!(held(host).await?, WAITING, "the calls are over, and the others still wait beside them");
        assert_eq!(ask(host, "/release").await?.status, StatusCode::OK);
        anyhow::Ok(answers)
    };
    let (waited, answers) = futures::join!(waiting, calling);
    let answers = answers?;
    let instance = answers.first().context("at least one call")?.instance().to_owned();
    assert_eq!(waited.len(), WAITING);
    for answer in waited {
        let answer = answer?;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.instance(), instance, "all of them share an instance");
    }
    Ok(answers)
}

async fn held(host: &Host) -> anyhow::Result<usize> {
    let answer = ask(host, "/held").await?;
    Ok(answer.body.get("held").and_then(Value::as_u64).with_context(|| format!("{answer:?}"))?.try_into()?)
}

async fn await_held(host: &Host) -> anyhow::Result<()> {
    for _ in 0..500 {
        if held(host).await? == WAITING {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("{} requests wait in the instance, not {WAITING}", held(host).await?)
}

#[tokio::test]
async fn every_kind_of_plain_data_passes_unchanged() -> anyhow::Result<()> {
    let (_app, host) = start("").await?;
    let answer = ask(&host, "/call/echo").await?;
    assert_eq!((answer.status, &answer.body["answer"]), (StatusCode::OK, &"3 values unchanged".into()), "{answer:?}");
    let refused = ask(&host, "/call/refuse").await?;
    assert_eq!((refused.status, &refused.body["refused"]), (StatusCode::CONFLICT, &"because".into()), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_call_by_way_of_another_component_arrives() -> anyhow::Result<()> {
    let (_app, host) = start("").await?;
    let answer = ask(&host, "/call/passage?ms=3").await?;
    assert_eq!((answer.status, &answer.body["answer"]), (StatusCode::OK, &"waited 3 ms".into()), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn calls_of_many_requests_at_a_time_get_their_own_answers() -> anyhow::Result<()> {
    let (_app, host) = start("").await?;
    let (host, functions) = (&host, ["slow", "passage"]);
    let calls = (0..200_u32).map(|number| async move {
        let function = functions[(number % 2) as usize];
        (number, ask(host, &format!("/call/{function}?ms={number}")).await)
    });
    for (number, answer) in join_all(calls).await {
        let answer = answer?;
        assert_eq!(answer.body["answer"], format!("waited {number} ms"), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_line_that_a_provider_writes_belongs_to_the_request_that_called_it() -> anyhow::Result<()> {
    let (_app, host) = start("").await?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = host.request(reqwest::Method::GET, "/call/log");
    let response = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")).send().await?;
    assert_eq!(response.status(), StatusCode::OK);
    host.await_log("a line of the provider").await?;
    let log = host.log();
    let line = log.lines().find(|line| line.contains("a line of the provider")).unwrap_or_default();
    assert!(line.contains("\"provider\"") && line.contains(trace), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_provider_that_traps_fails_the_calling_request_alone() -> anyhow::Result<()> {
    let (_app, host) = start("").await?;
    let answers = beside_waiting(&host, &["/call/trap"]).await?;
    assert_eq!(answers[0].unavailable(), Some("trapped"), "{answers:?}");
    // The next call finds another instance of the provider.
    assert_eq!(ask(&host, "/call/slow?ms=1").await?.status, StatusCode::OK);
    assert_eq!(ask(&host, "/call/slow?ms=1").await?.instance(), answers[0].instance(), "the caller lost nothing");
    host.await_log("asked to panic in a call").await
}

#[tokio::test]
async fn a_provider_that_computes_for_ever_fails_the_calling_request_alone() -> anyhow::Result<()> {
    let (_app, host) = start("deadline = \"1s\"").await?;
    let answers = beside_waiting(&host, &["/call/spin"]).await?;
    assert_eq!(answers[0].unavailable(), Some("deadline"), "{answers:?}");
    assert_eq!(ask(&host, "/call/slow?ms=1").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_never_answers_fails_the_calling_request_alone() -> anyhow::Result<()> {
    let (_app, host) = start("deadline = \"1s\"").await?;
    let answers = beside_waiting(&host, &["/call/hang", "/call/slow?ms=20000"]).await?;
    for answer in &answers {
        assert_eq!(answer.unavailable(), Some("deadline"), "{answers:?}");
    }
    assert_eq!(ask(&host, "/call/slow?ms=1").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn an_overloaded_provider_fails_those_calls_alone_that_it_has_no_place_for() -> anyhow::Result<()> {
    let (_app, host) = start("concurrency = 1\nqueue = 1").await?;
    let gate = Gate::holding(1).await?;
    let path = format!("/call/fetch?url={}", gate.url());
    let answers = beside_waiting_all(&host, async || {
        let mut asked: FuturesUnordered<_> = (0..3).map(|_| ask(&host, &path)).collect();
        // One has the provider's attention until the gate opens, one waits; there is no place for the third.
        let refused = asked.next().await.context("an answer")??;
        gate.open();
        let mut answers = vec![refused];
        answers.extend(asked.try_collect::<Vec<_>>().await?);
        Ok(answers)
    })
    .await?;
    assert_eq!(answers[0].unavailable(), Some("overloaded"), "{answers:?}");
    let served = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!((answers.len(), served), (3, 2), "{answers:?}");
    Ok(())
}

#[tokio::test]
async fn all_failures_at_once_are_told_apart() -> anyhow::Result<()> {
    let (_app, host) = start("deadline = \"1s\"").await?;
    let calls = ["/call/trap", "/call/spin", "/call/hang", "/call/refuse"];
    let answers = beside_waiting(&host, &calls).await?;
    assert_eq!(answers[1].unavailable(), Some("deadline"), "{answers:?}");
    // A trap, and a loop that is ended, take along what shares their instance.
    for answer in [&answers[0], &answers[2]] {
        assert!(matches!(answer.unavailable(), Some("trapped" | "deadline")), "{answers:?}");
    }
    assert!(answers[3].status == StatusCode::CONFLICT || answers[3].unavailable().is_some(), "{answers:?}");
    Ok(())
}

#[tokio::test]
async fn a_call_has_no_more_time_than_the_request_that_makes_it() -> anyhow::Result<()> {
    let manifest = MANIFEST.replace("instances = 1\n", "instances = 1\ndeadline = \"1s\"\n");
    let app = App::new(&manifest)?;
    let host = Host::start(&app).await?;
    let response = host.get("/call/slow?ms=20000").await?;
    let status = response.status();
    // The request and its call end at the same moment; who is first gives the answer.
    assert!(matches!(status, StatusCode::GATEWAY_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE), "{status}");
    Ok(())
}

#[tokio::test]
async fn calls_are_no_deeper_than_they_may_be() -> anyhow::Result<()> {
    let app = App::new(MANIFEST)?.settings("[engine]\ncall_depth = 1\n")?;
    let host = Host::start(&app).await?;
    assert_eq!(ask(&host, "/call/slow?ms=1").await?.status, StatusCode::OK);
    let answers = beside_waiting(&host, &["/call/passage?ms=1"]).await?;
    assert_eq!(answers[0].unavailable(), Some("too-deep"), "{answers:?}");
    Ok(())
}

#[tokio::test]
async fn what_goes_wrong_in_a_call_is_logged_with_the_request() -> anyhow::Result<()> {
    let (_app, host) = start("").await?;
    let response = host.get("/call/trap").await?;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let request_id = response.headers().get("x-request-id").context("a request id")?.to_str()?;
    let line = json!({
        "level": "WARN", "message": "a call to another component failed", "request_id": request_id,
        "component": "caller", "provider": "provider", "interface": "test:calls/target@0.1.0", "function": "trap",
        "failure": "trapped",
    });
    host.await_line(&line).await?;
    // The provider's own loss carries the name of the request that led there.
    let lost = json!({ "level": "ERROR", "component": "provider", "request_id": request_id });
    let lost = host.await_line(&lost).await?;
    assert!(lost["message"].as_str().is_some_and(|text| text.contains("an instance was lost")), "{lost}");
    Ok(())
}

#[tokio::test]
async fn a_provider_that_cannot_be_loaded_stops_the_start() -> anyhow::Result<()> {
    // Nothing is served without it, so that no request can find it missing.
    for (content, words) in [(&b"no component"[..], "cannot be loaded"), (b"", "cannot be loaded")] {
        let app = App::new(MANIFEST)?.file("provider.wasm", content)?;
        let ended = run_to_end(&app, HostOptions::default()).await?;
        assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
        assert!(!ended.stdout.contains("ready "), "{}", ended.stdout);
        assert!(ended.stderr.contains("«provider»") && ended.stderr.contains(words), "{}", ended.stderr);
    }
    let app = App::new(MANIFEST)?;
    std::fs::remove_file(app.path("provider.wasm"))?;
    let ended = run_to_end(&app, HostOptions::default()).await?;
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert!(!ended.stdout.contains("ready ") && ended.stderr.contains("provider.wasm"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn providers_that_hang_are_replaced() -> anyhow::Result<()> {
    let (_app, host) = start("deadline = \"300ms\"\ninstances = 2").await?;
    // One after the other, so that each is in an instance of its own.
    for _ in 0..6 {
        assert_eq!(ask(&host, "/call/hang").await?.unavailable(), Some("deadline"));
    }
    assert_eq!(ask(&host, "/call/slow?ms=1").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn values_that_are_too_large_harm_neither_side() -> anyhow::Result<()> {
    let app = App::new(MANIFEST)?.settings("[engine]\ncall_bytes = \"1KiB\"\n")?;
    let host = Host::start(&app).await?;
    assert_eq!(ask(&host, "/call/long?bytes=100").await?.status, StatusCode::CONFLICT);
    // The parameters alone fit in the second, and what comes back around them does not.
    let answers = beside_waiting(&host, &["/call/long?bytes=2000", "/call/long?bytes=970"]).await?;
    let failures: Vec<_> = answers.iter().map(Answer::unavailable).collect();
    assert_eq!(failures, [Some("overloaded"), Some("trapped")], "{answers:?}");
    host.await_component("provider", |provider| provider["traps"] == 0).await?;
    for reason in ["the parameters are larger than engine.call_bytes", "the answer is larger than engine.call_bytes"] {
        host.await_line(&json!({ "level": "WARN", "component": "caller", "reason": reason })).await?;
    }
    Ok(())
}
