//! The admin side through real sockets, over the real queues and the real mailbox.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends here")]

mod harness;

use std::time::Duration;

use chassis_config::plan::AdminPolicy;
use serde_json::{Value, json};

use crate::harness::{Host, POLICY};

#[tokio::test]
async fn nobody_calls_without_a_token() {
    let host = Host::start().await;
    for path in ["/v1/components", "/v1/tokens", "/v1/mailbox/1", "/metrics", "/", "/no-such-thing"] {
        for authorization in [
            None,
            Some("Bearer".to_owned()),
            Some("Bearer ".to_owned()),
            Some("Bearer chassis_wrong".to_owned()),
            Some(format!("Basic {}", host.admin)),
            Some(host.admin.clone()),
            Some(format!("Bearer {} x", host.admin)),
        ] {
            let answer = host.send("GET", path, authorization.as_deref(), "").await;
            assert_eq!((answer.status, answer.problem()), (401, "unauthorized".to_owned()), "{path} {authorization:?}");
            assert!(answer.field("www-authenticate").unwrap().starts_with("Bearer realm="));
        }
    }
    let twice = format!("Bearer {0}\r\nAuthorization: Bearer {0}", host.admin);
    assert_eq!(host.send("GET", "/v1/components", Some(&twice), "").await.status, 401);
    let lower = format!("bearer {}", host.admin);
    assert_eq!(host.send("GET", "/v1/components", Some(&lower), "").await.status, 200);
}

#[tokio::test]
async fn each_role_may_do_what_the_lesser_ones_may() {
    let host = Host::start().await;
    let (read, deploy) = (host.token("reader", "read").await, host.token("ci", "deploy").await);
    for (method, path, least) in [
        ("GET", "/v1/components", 0),
        ("GET", "/v1/routes", 0),
        ("GET", "/v1/queues", 0),
        ("GET", "/v1/dead-letters", 0),
        ("GET", "/v1/mailbox", 0),
        ("GET", "/metrics", 0),
        ("POST", "/v1/dead-letters/unknown/replay", 1),
        ("GET", "/v1/tokens", 2),
        ("POST", "/v1/tokens", 2),
        ("DELETE", "/v1/tokens/unknown", 2),
    ] {
        for (rank, token) in [&read, &deploy, &host.admin].into_iter().enumerate() {
            let answer = host.as_holder(token, method, path, "").await;
            assert_eq!(answer.status == 403, rank < least, "{method} {path} {rank}: {}", answer.status);
            assert_ne!(answer.status, 401);
            if answer.status == 403 {
                assert_eq!(answer.problem(), "forbidden");
            }
        }
    }
}

#[tokio::test]
async fn what_runs_is_told() {
    let host = Host::start().await;
    let components = host.get("/v1/components").await.json();
    assert_eq!(components["nextCursor"], Value::Null);
    assert_eq!((&components["items"][0]["name"], &components["items"][0]["lane"]), (&json!("auth"), &json!("fast")));
    let routes = host.get("/v1/routes").await.json();
    assert_eq!(routes["items"], json!([{"route": "/api/v1/auth/...", "component": "auth"}]));
    let metrics = host.get("/metrics").await;
    assert_eq!(metrics.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(metrics.body, "things_total 7\n");
}

#[tokio::test]
async fn dead_letters_are_told_page_by_page_and_replayed() {
    let host = Host::start().await;
    host.give_up(&["e1", "e2", "e3"]).await;
    let queues = host.get("/v1/queues").await.json();
    assert_eq!((&queues["items"][0]["queue"], &queues["items"][0]["dead"]), (&json!("mailer"), &json!(3)));

    let first = host.get("/v1/dead-letters?limit=2&queue=mailer").await.json();
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = host.get(&format!("/v1/dead-letters?limit=2&queue=mailer&cursor={cursor}")).await.json();
    assert_eq!(second["nextCursor"], Value::Null);
    let mut letters = first["items"].as_array().unwrap().clone();
    letters.extend(second["items"].as_array().unwrap().clone());
    let mut events: Vec<&str> = letters.iter().map(|letter| letter["event"]["id"].as_str().unwrap()).collect();
    events.sort_unstable();
    assert_eq!(events, ["e1", "e2", "e3"]);
    let letter = &letters[0];
    assert_eq!((&letter["reason"], &letter["attempts"]), (&json!("refused by the handler"), &json!(1)));
    assert_eq!(letter["event"]["type"], "user.registered");
    assert_eq!(letter["event"]["data"], json!({"userId": "usr_1"}));
    assert_eq!(host.get("/v1/dead-letters?queue=other").await.json()["items"], json!([]));

    let path = format!("/v1/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    assert_eq!(host.post(&path, "").await.status, 204);
    assert_eq!(host.post(&path, "").await.problem(), "not-found");
    let queues = host.get("/v1/queues").await.json();
    assert_eq!((&queues["items"][0]["dead"], &queues["items"][0]["ready"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn the_mailbox_is_told_page_by_page() {
    let host = Host::start().await;
    for number in 0..3 {
        host.mail(&format!("m{number}@chassis.test"), &format!("user{number}@example.org")).await;
    }
    let page = host.get("/v1/mailbox?limit=2").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    assert_eq!(page["items"][0]["messageId"], "m2@chassis.test");
    assert_eq!(page["items"][0]["to"], json!(["user2@example.org"]));
    assert_eq!(page["items"][0]["subject"], "Welcome");
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = host.get(&format!("/v1/mailbox?limit=2&cursor={cursor}")).await.json();
    assert_eq!((&rest["items"][0]["messageId"], &rest["nextCursor"]), (&json!("m0@chassis.test"), &Value::Null));
    let found = host.get("/v1/mailbox?to=USER1@example.org").await.json();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);

    let id = page["items"][0]["id"].as_str().unwrap();
    let mail = host.get(&format!("/v1/mailbox/{id}")).await.json();
    assert_eq!((&mail["text"], &mail["html"]), (&json!("Hello"), &json!("<p>Hello</p>")));
    assert_eq!(host.get("/v1/mailbox/999999").await.problem(), "not-found");
}

#[tokio::test]
async fn without_a_mailbox_the_reason_is_told() {
    let host = Host::without_mailbox().await;
    let answer = host.get("/v1/mailbox").await;
    assert_eq!((answer.status, answer.problem()), (404, "not-found".to_owned()));
    assert!(answer.json()["detail"].as_str().unwrap().contains("SMTP"));
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked() {
    let host = Host::start().await;
    let made = host.post("/v1/tokens", r#"{"name": "ci", "role": "deploy"}"#).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let secret = made["token"].as_str().unwrap();
    assert_eq!(host.as_holder(secret, "GET", "/v1/components", "").await.status, 200);

    let listed = host.get("/v1/tokens").await;
    assert!(!listed.body.contains(secret) && !listed.body.contains("sha256"), "{}", listed.body);
    let names: Vec<Value> =
        listed.json()["items"].as_array().unwrap().iter().map(|token| token["name"].clone()).collect();
    assert_eq!(names, ["admin", "ci"]);

    let path = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(host.as_holder(&host.admin, "DELETE", &path, "").await.status, 204);
    assert_eq!(host.as_holder(&host.admin, "DELETE", &path, "").await.status, 404);
    assert_eq!(host.as_holder(secret, "GET", "/v1/components", "").await.status, 401);

    let own = listed.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let last = host.as_holder(&host.admin, "DELETE", &format!("/v1/tokens/{own}"), "").await;
    assert_eq!((last.status, last.problem()), (409, "conflict".to_owned()));
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let host = Host::start().await;
    for body in [
        "",
        "{",
        "[]",
        r#"{"name": "a"}"#,
        r#"{"name": "a", "role": "root"}"#,
        r#"{"name": "A b", "role": "read"}"#,
        r#"{"name": "a", "role": "read", "x": 1}"#,
    ] {
        let answer = host.post("/v1/tokens", body).await;
        assert_eq!((answer.status, answer.problem()), (400, "invalid-request".to_owned()), "{body}");
    }
    let taken = host.post("/v1/tokens", r#"{"name": "admin", "role": "read"}"#).await;
    assert_eq!((taken.status, taken.problem()), (409, "conflict".to_owned()));
    let large = format!(r#"{{"name": "{}", "role": "read"}}"#, "a".repeat(5000));
    assert_eq!(host.post("/v1/tokens", &large).await.problem(), "body-too-large");
    for path in [
        "/v1/dead-letters?limit=0",
        "/v1/dead-letters?limit=101",
        "/v1/dead-letters?limit=x",
        "/v1/dead-letters?cursor=rubbish",
        "/v1/mailbox?limt=3",
        "/v1/mailbox?cursor=rubbish",
    ] {
        let answer = host.get(path).await;
        assert_eq!((answer.status, answer.problem()), (400, "invalid-request".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let host = Host::start().await;
    for path in ["/", "/v1", "/v1/component", "/v1/tokens/x/y", "/v2/components"] {
        assert_eq!(host.get(path).await.problem(), "not-found", "{path}");
    }
    let answer = host.post("/v1/components", "").await;
    assert_eq!((answer.status, answer.problem()), (405, "method-not-allowed".to_owned()));
    assert_eq!(answer.field("allow"), Some("GET,HEAD"));
    for answer in [answer, host.get("/v1/components").await] {
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn problem_types_resolve_without_a_token() {
    let host = Host::start().await;
    let page = host.send("GET", "/problems/unauthorized", None, "").await;
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/markdown; charset=utf-8")));
    assert!(page.body.contains("**401: Authentication needed.**"));
    assert_eq!(host.send("GET", "/problems/unheard-of", None, "").await.problem(), "not-found");
}

#[tokio::test]
async fn off_loopback_it_listens_only_where_that_is_allowed() {
    let refused = Host::listen_everywhere(POLICY).await.unwrap_err();
    assert!(refused.to_string().contains("admin.allow_remote"), "{refused}");
    Host::listen_everywhere(AdminPolicy { allow_remote: true, ..POLICY }).await.unwrap();
}

#[tokio::test]
async fn it_ends_when_it_is_told_to() {
    let mut host = Host::start().await;
    let idle = tokio::net::TcpStream::connect(host.address).await.unwrap();
    host.shut_down();
    tokio::time::timeout(Duration::from_secs(4), host.ended()).await.unwrap();
    drop(idle);
}
