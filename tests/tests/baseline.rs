//! What `cargo xtask bench` compares is the same: the native twin and the components give the same answers to the same
//! requests, from the same data. Only then do their rates tell anything about wasm.
#![expect(clippy::indexing_slicing, reason = "a member that a document lacks reads as null, and fails the test")]

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use chassis_tests::{App, Host, HostOptions, baseline_binary};
use flate2::read::GzDecoder;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Time for the twin to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Fields that differ between two equal answers, and those that say how the body is sent: a component may send in pieces
/// what the twin sends at once, also compressed. The body itself is compared.
const DIFFERING: [&str; 4] = ["date", "x-request-id", "content-length", "transfer-encoding"];
const PASSWORD: &str = "correct horse battery";
/// Given with each request, so that the trace id in an error is the same.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const STATUS: [&str; 3] = ["open", "inProgress", "done"];
const PRIORITY: [&str; 3] = ["low", "normal", "high"];

/// The native twin. It is killed when dropped.
struct Twin {
    _child: Child,
    gateway: String,
    bare: String,
}

impl Twin {
    async fn start(app: &App, state_dir: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(baseline_binary()?)
            .current_dir(app.folder())
            .arg("--state-dir")
            .arg(state_dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the native twin")?;
        let stdout = BufReader::new(child.stdout.take().context("its stdout is a pipe")?);
        let line = tokio::time::timeout(START_TIMEOUT, stdout.lines().next_line()).await??.context("it ended")?;
        let url = |name: &str| {
            let found = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            found.map(str::to_owned).with_context(|| format!("no {name} in «{line}»"))
        };
        Ok(Self { gateway: url("gateway")?, bare: url("bare")?, _child: child })
    }
}

/// What remains of an answer when all that may differ between two equal ones is taken away.
#[derive(Debug, PartialEq, Eq)]
struct Essence {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

async fn essence(request: RequestBuilder) -> anyhow::Result<Essence> {
    let response = request.header("traceparent", TRACEPARENT).send().await.context("no answer")?;
    let status = response.status().as_u16();
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| !DIFFERING.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    headers.sort();
    let sent = response.bytes().await?;
    let mut body = String::new();
    if headers.iter().any(|(name, value)| name == "content-encoding" && value == "gzip") {
        GzDecoder::new(&*sent).read_to_string(&mut body).context("not gzip")?;
    } else {
        body.push_str(&String::from_utf8_lossy(&sent));
    }
    // A problem of the gateway names the one request that it is about.
    if let Ok(Value::Object(mut members)) = serde_json::from_str(&body)
        && members.remove("instance").is_some()
    {
        body = Value::Object(members).to_string();
    }
    Ok(Essence { status, headers, body })
}

/// The shipped application and a greeting.
fn application() -> anyhow::Result<App> {
    let greeting = "\n[[trigger.http]]\nroute = \"/hello\"\ncomponent = \"hello\"\n\n\
                    [component.hello]\nsource = \"target/wasm32-wasip2/release/greeting.wasm\"\n";
    App::shipped_with(|manifest| manifest + greeting)
}

async fn start(app: &App, state_dir: &Path) -> anyhow::Result<Host> {
    Host::start_with(app, HostOptions { state_dir: Some(state_dir.to_owned()), ..HostOptions::default() }).await
}

/// A session of somebody: the access token and the refresh token.
async fn log_in(host: &Host, email: &str) -> anyhow::Result<(String, String)> {
    let login = json!({ "email": email, "password": PASSWORD });
    let tokens: Value = host.post_json("/api/v1/auth/login", &login).await?.json().await?;
    let text = |name: &str| tokens[name].as_str().map(str::to_owned).context("a token");
    Ok((text("accessToken")?, text("refreshToken")?))
}

/// What somebody did before: todos of every kind, and a session that has ended.
struct Past {
    token: String,
    ended: String,
    stranger: String,
    todo: String,
}

async fn live(host: &Host) -> anyhow::Result<Past> {
    for email in ["ada@example.com", "eve@example.com"] {
        let account = json!({ "email": email, "password": PASSWORD, "firstName": "Ada", "lastName": "Lovelace" });
        let status = host.post_json("/api/v1/auth/register", &account).await?.status();
        ensure!(status == 201, "{status}");
    }
    let (token, _) = log_in(host, "ada@example.com").await?;
    let (stranger, _) = log_in(host, "eve@example.com").await?;
    let (ended, refresh) = log_in(host, "ada@example.com").await?;
    let mut todo = String::new();
    for number in 0..25 {
        let body = json!({
            "title": format!("Note «{number}» \u{1f4dd}"),
            "description": if number % 2 == 0 { "With \"quotes\",\nand lines" } else { "" },
            "status": STATUS[number % 3],
            "priority": PRIORITY[number % 3],
            "dueAt": (number % 4 == 0).then(|| format!("2030-01-{:02}T12:00:00.5Z", number + 1)),
            "tags": if number % 5 == 0 { vec!["engine", "Ünïcode"] } else { vec![] },
        });
        let made = host.request(Method::POST, "/api/v1/todos").bearer_auth(&token).json(&body).send().await?;
        ensure!(made.status() == 201, "{}", made.text().await?);
        let made: Value = made.json().await?;
        todo = made["id"].as_str().context("an id")?.to_owned();
    }
    let change = json!({ "description": "changed" });
    let patch = host.request(Method::PATCH, &format!("/api/v1/todos/{todo}")).bearer_auth(&token);
    let status = patch.header("if-match", "*").json(&change).send().await?.status();
    ensure!(status == 200, "{status}");
    let logout = host.request(Method::POST, "/api/v1/auth/logout").bearer_auth(&ended);
    let status = logout.json(&json!({ "refreshToken": refresh })).send().await?.status();
    ensure!(status == 204, "{status}");
    Ok(Past { token, ended, stranger, todo })
}

/// The databases of a host that has ended, for the twin alone, with what was not yet moved out of their logs.
fn copy_databases(from: &Path, to: &Path) -> anyhow::Result<()> {
    let (from, to) = (from.join("sql"), to.join("sql"));
    std::fs::create_dir_all(&to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name())).context("cannot copy a database")?;
    }
    Ok(())
}

/// Path, token and further fields of a request, and the status that both must answer with.
type Case<'a> = (String, Option<&'a str>, Vec<(&'static str, &'a str)>, u16);

fn cases(past: &Past) -> Vec<Case<'_>> {
    let list = |query: &str| format!("/api/v1/todos{query}");
    let own = format!("/api/v1/todos/{}", past.todo);
    let token = Some(past.token.as_str());
    let mut cases = vec![
        ("/hello".to_owned(), None, vec![], 200),
        (list(""), token, vec![], 200),
        (list(""), token, vec![("accept-encoding", "gzip")], 200),
        (list(""), Some(past.stranger.as_str()), vec![], 200),
        (list(""), None, vec![], 401),
        (list(""), Some("no.token.atall"), vec![], 401),
        (list(""), Some(past.ended.as_str()), vec![], 401),
        (own.clone(), token, vec![], 200),
        (own.clone(), token, vec![("if-none-match", "\"2\"")], 304),
        (own.clone(), token, vec![("if-none-match", "\"1\"")], 200),
        (own.clone(), Some(past.stranger.as_str()), vec![], 404),
        (format!("{own}/more"), token, vec![], 404),
        (list("/todo_0"), token, vec![], 404),
        ("/todos".to_owned(), token, vec![], 200),
        ("/nowhere".to_owned(), token, vec![], 404),
        ("/api//v1/todos".to_owned(), token, vec![], 400),
    ];
    for query in [
        "?limit=5",
        "?limit=5&skip=3",
        "?sort=createdAt",
        "?sort=dueAt&limit=7",
        "?sort=-updatedAt",
        "?status=done&priority=high",
        "?tag=%C3%9Cn%C3%AFcode",
        "?q=NOTE",
        "?q=25%25",
        "?dueAfter=2030-01-05T00:00:00Z&dueBefore=2030-01-20T00:00:00%2B01:00",
    ] {
        cases.push((list(query), token, vec![], 200));
    }
    for query in ["?status=never", "?limit=0", "?cursor=x", "?dueAfter=tomorrow&sort=name", "?skip=1&cursor=a"] {
        cases.push((list(query), token, vec![], 400));
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_native_twin_answers_as_the_components_do() -> anyhow::Result<()> {
    let app = application()?;
    let folder = tempfile::tempdir()?;
    let (state, copy) = (folder.path().join("state"), folder.path().join("copy"));
    let host = start(&app, &state).await?;
    let past = live(&host).await?;
    let ended = host.stop().await?;
    ensure!(ended.code == Some(0), "{}", ended.stderr);
    copy_databases(&state, &copy)?;
    let (host, twin) = (start(&app, &state).await?, Twin::start(&app, &copy).await?);

    let client = Client::builder().no_proxy().build()?;
    let ask = |server: &str, (path, token, fields, _): &Case<'_>| {
        let mut request = client.get(format!("{server}{path}"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    for case in cases(&past) {
        let (path, _, fields, status) = &case;
        let (component, native) =
            (essence(ask(&host.url(""), &case)).await?, essence(ask(&twin.gateway, &case)).await?);
        assert_eq!(component, native, "{path} {fields:?}");
        assert_eq!(native.status, *status, "{path} {fields:?}: {}", native.body);
        // Without layers the same handlers answer; paths that the gateway refuses are another matter.
        if *status < 300 && fields.is_empty() {
            let bare = essence(ask(&twin.bare, &case)).await?;
            assert_eq!((bare.status, bare.body), (native.status, native.body), "{path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_next_page_of_one_is_the_next_page_of_the_other() -> anyhow::Result<()> {
    let app = application()?;
    let folder = tempfile::tempdir()?;
    let (state, copy) = (folder.path().join("state"), folder.path().join("copy"));
    let host = start(&app, &state).await?;
    let past = live(&host).await?;
    host.stop().await?;
    copy_databases(&state, &copy)?;
    let (host, twin) = (start(&app, &state).await?, Twin::start(&app, &copy).await?);
    let client = Client::builder().no_proxy().build()?;
    let page = async |server: &str, cursor: &str| {
        let url = format!("{server}/api/v1/todos?limit=10{cursor}");
        anyhow::Ok(client.get(url).bearer_auth(&past.token).send().await?.json::<Value>().await?)
    };
    // Each asks the other for the page behind its own.
    let (mut of_host, mut of_twin) = (page(&host.url(""), "").await?, page(&twin.gateway, "").await?);
    let mut pages = 1;
    while let Some(next) = of_host["nextCursor"].as_str().map(|cursor| format!("&cursor={cursor}")) {
        assert_eq!(of_host, of_twin);
        (of_twin, of_host) = (page(&twin.gateway, &next).await?, page(&host.url(""), &next).await?);
        pages += 1;
    }
    assert_eq!(of_host, of_twin);
    assert_eq!(pages, 3, "25 todos are three pages");
    Ok(())
}
