//! Todos: what they hold, who changes them when, and whose they are.

use anyhow::Context;
use futures::future::try_join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::harness::{Api, Exchange, User, shared};

const TODOS: &str = "/api/v1/todos";

/// Makes a todo; answers with it and its path.
async fn make(api: &Api, user: &User, content: &Value) -> anyhow::Result<(Value, String)> {
    let todo = api.post(TODOS, content).bearer_auth(&user.access).expect(201).await?;
    let path = format!("{TODOS}/{}", todo["id"].as_str().context("an id")?);
    Ok((todo, path))
}

/// A change, with this `If-Match`.
fn change(api: &Api, user: &User, path: &str, if_match: &str) -> RequestBuilder {
    api.request(Method::PATCH, path)
        .bearer_auth(&user.access)
        .header("if-match", if_match)
        .header("content-type", "application/merge-patch+json")
}

#[tokio::test]
async fn a_todo_is_what_was_asked_for_and_defaults() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let answer = api.post(TODOS, &json!({ "title": " Buy milk " })).bearer_auth(&user.access).answer().await?;
    assert_eq!((answer.status, answer.header("etag")), (201, "\"1\""));
    let todo = answer.json()?;
    let id = todo["id"].as_str().context("an id")?;
    assert_eq!(answer.header("location"), format!("{TODOS}/{id}"));
    assert!(id.starts_with("todo_"), "{id}");
    let plain = json!({ "title": "Buy milk", "description": "", "status": "open", "priority": "normal", "dueAt": null,
        "tags": [], "version": 1, "id": id, "createdAt": todo["createdAt"], "updatedAt": todo["createdAt"] });
    assert_eq!(todo, plain);

    let full = json!({ "title": "Ship it", "description": "All of it\nat once", "status": "inProgress",
        "priority": "high", "dueAt": "2027-01-31T12:00:00+02:00", "tags": ["work", "Ünïcode", "🚢"] });
    let (made, path) = make(&api, &user, &full).await?;
    for member in ["title", "description", "status", "priority", "tags"] {
        assert_eq!(made[member], full[member], "{member}");
    }
    assert_eq!(made["dueAt"], "2027-01-31T10:00:00Z");
    let read = api.get(&path).bearer_auth(&user.access).answer().await?;
    assert_eq!((read.status, read.header("etag"), read.json()?), (200, "\"1\"", made));
    Ok(())
}

/// Bodies that break a rule, the place of the rule and its code.
fn broken() -> Vec<(Value, &'static str)> {
    let tags = |count: usize| -> Vec<String> { (0..count).map(|at| format!("tag {at}")).collect() };
    vec![
        (json!({ "title": "" }), "/title too-short"),
        (json!({ "title": "   " }), "/title too-short"),
        (json!({ "title": "x".repeat(201) }), "/title too-long"),
        (json!({ "title": "two\nlines" }), "/title invalid-character"),
        (json!({ "title": "bell\u{7}" }), "/title invalid-character"),
        (json!({ "title": 7 }), "/title wrong-type"),
        (json!({ "title": "x", "description": "x".repeat(10_001) }), "/description too-long"),
        (json!({ "title": "x", "description": "bell\u{7}" }), "/description invalid-character"),
        (json!({ "title": "x", "status": "closed" }), "/status unknown-value"),
        (json!({ "title": "x", "status": "Open" }), "/status unknown-value"),
        (json!({ "title": "x", "status": 1 }), "/status wrong-type"),
        (json!({ "title": "x", "priority": "urgent" }), "/priority unknown-value"),
        (json!({ "title": "x", "dueAt": "tomorrow" }), "/dueAt invalid-time"),
        (json!({ "title": "x", "dueAt": "2026-02-30T12:00:00Z" }), "/dueAt invalid-time"),
        (json!({ "title": "x", "dueAt": 1_769_860_800 }), "/dueAt wrong-type"),
        (json!({ "title": "x", "tags": tags(21) }), "/tags too-many"),
        (json!({ "title": "x", "tags": ["a", ""] }), "/tags/1 too-short"),
        (json!({ "title": "x", "tags": ["a", "b", "a"] }), "/tags/2 duplicate"),
        (json!({ "title": "x", "tags": ["x".repeat(51)] }), "/tags/0 too-long"),
        (json!({ "title": "x", "tags": ["a", 7] }), "/tags/1 wrong-type"),
        (json!({ "title": "x", "tags": "work" }), "/tags wrong-type"),
    ]
}

#[tokio::test]
async fn every_rule_is_told_by_its_place() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let (todo, path) = make(&api, &user, &json!({ "title": "As it is", "tags": ["a"] })).await?;
    for (body, expected) in broken() {
        let made = api.post(TODOS, &body).bearer_auth(&user.access).answer().await?;
        assert_eq!(made.violations(422, "validation")?, [expected], "{body}");
        let changed = change(&api, &user, &path, "*").body(body.to_string()).answer().await?;
        assert_eq!(changed.violations(422, "validation")?, [expected], "{body}");
    }
    let untitled = api.post(TODOS, &json!({ "description": "x" })).bearer_auth(&user.access).answer().await?;
    assert_eq!(untitled.violations(422, "validation")?, ["/title required"]);
    let several = json!({ "title": "", "status": "x", "dueAt": "x", "tags": ["", "ok", ""] });
    let several = api.post(TODOS, &several).bearer_auth(&user.access).answer().await?;
    let expected =
        ["/dueAt invalid-time", "/status unknown-value", "/tags/0 too-short", "/tags/2 too-short", "/title too-short"];
    assert_eq!(several.violations(422, "validation")?, expected);
    assert_eq!(api.get(&path).bearer_auth(&user.access).expect(200).await?, todo, "nothing was done by halves");
    Ok(())
}

#[tokio::test]
async fn a_merge_patch_sets_takes_away_and_leaves() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let full = json!({ "title": "Ship it", "description": "All", "status": "done", "priority": "high",
        "dueAt": "2027-01-31T12:00:00Z", "tags": ["a", "b"] });
    let (made, path) = make(&api, &user, &full).await?;
    let steps = [
        (json!({ "title": "Ship all" }), json!({ "title": "Ship all" })),
        (json!({ "tags": ["c"], "unknown": { "x": 1 } }), json!({ "tags": ["c"] })),
        (json!({ "dueAt": null, "status": null }), json!({ "dueAt": null, "status": "open" })),
        (
            json!({ "description": null, "priority": null, "tags": null }),
            json!({ "description": "", "priority": "normal", "tags": [] }),
        ),
    ];
    let mut expected = made;
    for (at, (patch, effect)) in steps.iter().enumerate() {
        let answer = change(&api, &user, &path, "*").body(patch.to_string()).answer().await?;
        assert_eq!((answer.status, answer.header("etag").to_owned()), (200, format!("\"{}\"", at + 2)));
        let todo = answer.json()?;
        for (member, value) in effect.as_object().context("an effect")? {
            expected[member] = value.clone();
        }
        expected["version"] = json!(at + 2);
        expected["updatedAt"] = todo["updatedAt"].clone();
        assert_eq!(todo, expected, "{patch}");
        assert_eq!(api.get(&path).bearer_auth(&user.access).expect(200).await?, todo);
    }
    for nothing in ["{}", "{\"title\":\"Ship all\"}"] {
        let answer = change(&api, &user, &path, "*").body(nothing).answer().await?;
        assert_eq!(
            (answer.status, answer.header("etag"), answer.json()?),
            (200, "\"5\"", expected.clone()),
            "{nothing}"
        );
    }
    let untitled = change(&api, &user, &path, "*").body("{\"title\":null}").answer().await?;
    assert_eq!(untitled.violations(422, "validation")?, ["/title required"]);
    let foreign = api.request(Method::PATCH, &path).bearer_auth(&user.access).header("if-match", "*");
    let foreign = foreign.header("content-type", "application/json-patch+json").body("[]").answer().await?;
    foreign.problem(415, "unsupported-media-type")?;
    assert!(foreign.header("accept-patch").contains("application/merge-patch+json"), "{:?}", foreign.headers);
    Ok(())
}

#[tokio::test]
async fn a_change_names_the_version_that_it_was_decided_on() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let (_, path) = make(&api, &user, &json!({ "title": "One" })).await?;
    let body = |title: &str| json!({ "title": title }).to_string();
    let without = api.request(Method::PATCH, &path).bearer_auth(&user.access).json(&json!({ "title": "x" }));
    without.answer().await?.problem(428, "precondition-required")?;
    for stale in ["\"0\"", "\"2\"", "\"7\", \"8\"", "W/\"1\"", "\"\""] {
        let answer = change(&api, &user, &path, stale).body(body("x")).answer().await?;
        answer.problem(412, "precondition-failed").with_context(|| stale.to_owned())?;
    }
    for malformed in ["1", "\"1", "*, \"1\"", "W/1", "\"1\"\"2\""] {
        let answer = change(&api, &user, &path, malformed).body(body("x")).answer().await?;
        answer.problem(400, "invalid-request").with_context(|| malformed.to_owned())?;
    }
    for (at, fresh) in ["\"1\"", "\"9\", \"2\"", "*"].iter().enumerate() {
        let answer = change(&api, &user, &path, fresh).body(body(&format!("try {at}"))).answer().await?;
        assert_eq!((answer.status, answer.header("etag").to_owned()), (200, format!("\"{}\"", at + 2)), "{fresh}");
    }
    let delete = |tag: &str| api.request(Method::DELETE, &path).bearer_auth(&user.access).header("if-match", tag);
    delete("\"1\"").answer().await?.problem(412, "precondition-failed")?;
    delete("nonsense").answer().await?.problem(400, "invalid-request")?;
    delete("\"4\"").expect(204).await?;
    delete("*").answer().await?.problem(404, "not-found")?;
    change(&api, &user, &path, "*").body(body("x")).answer().await?.problem(404, "not-found")?;
    Ok(())
}

#[tokio::test]
async fn of_16_changes_of_one_version_at_once_one_is_made() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let (_, path) = make(&api, &user, &json!({ "title": "One" })).await?;
    let ask = |at: usize| change(&api, &user, &path, "\"1\"").body(json!({ "title": format!("try {at}") }).to_string());
    let answers = try_join_all((0..16).map(|at| ask(at).answer())).await?;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 15));
    for answer in lost {
        answer.problem(412, "precondition-failed")?;
    }
    let now = api.get(&path).bearer_auth(&user.access).expect(200).await?;
    assert_eq!((now.clone(), &now["version"]), (won[0].json()?, &json!(2)));
    Ok(())
}

#[tokio::test]
async fn who_has_the_present_version_is_not_sent_it_again() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let (_, path) = make(&api, &user, &json!({ "title": "One" })).await?;
    let read = |tag: &str| api.get(&path).bearer_auth(&user.access).header("if-none-match", tag).answer();
    for known in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
        let answer = read(known).await?;
        assert_eq!((answer.status, answer.text.as_str(), answer.header("etag")), (304, "", "\"1\""), "{known}");
    }
    for unknown in ["\"2\"", "1", "\"11\""] {
        assert_eq!(read(unknown).await?.status, 200, "{unknown}");
    }
    change(&api, &user, &path, "*").body("{\"title\":\"Two\"}").expect(200).await?;
    let answer = read("\"1\"").await?;
    assert_eq!((answer.status, answer.header("etag")), (200, "\"2\""));
    assert!(answer.header("cache-control").contains("private"), "{:?}", answer.headers);
    Ok(())
}

#[tokio::test]
async fn somebody_elses_todo_is_as_if_it_did_not_exist() -> anyhow::Result<()> {
    let api = shared()?;
    let (owner, other) = (api.somebody().await?, api.somebody().await?);
    let (todo, theirs) = make(&api, &owner, &json!({ "title": "Secret plan", "tags": ["secret"] })).await?;
    let absent = format!("{TODOS}/todo_{}", "0".repeat(32));
    for path in [absent.as_str(), &format!("{TODOS}/nonsense"), &format!("{TODOS}/{}", owner.id)] {
        for (method, body) in [
            (Method::GET, None),
            (Method::PATCH, Some(json!({ "title": "Mine" }))),
            (Method::PATCH, Some(json!({ "title": "" }))),
            (Method::DELETE, None),
        ] {
            for if_match in ["*", "\"1\"", "\"9\""] {
                let ask = |path: &str| {
                    let request = api.request(method.clone(), path).bearer_auth(&other.access);
                    let request = request.header("if-match", if_match).header("if-none-match", "\"1\"");
                    body.iter().fold(request, |request, body| request.json(body)).answer()
                };
                let (one, none) = (ask(&theirs).await?, ask(path).await?);
                one.problem(404, "not-found").with_context(|| format!("{method} {if_match}"))?;
                assert_eq!(one.essence()?, none.essence()?, "{method} {if_match} {path}");
            }
        }
    }
    for query in ["", "?tag=secret", "?q=plan", "?skip=0", "?status=open"] {
        let listed = api.get(&format!("{TODOS}{query}")).bearer_auth(&other.access).expect(200).await?;
        assert_eq!(listed, json!({ "items": [], "nextCursor": null }), "{query}");
    }
    assert_eq!(api.get(&theirs).bearer_auth(&owner.access).expect(200).await?, todo);
    Ok(())
}

#[tokio::test]
async fn of_16_equal_requests_at_once_one_makes_a_todo_and_all_are_answered_with_it() -> anyhow::Result<()> {
    let api = shared()?;
    let (user, other) = (api.somebody().await?, api.somebody().await?);
    let body = json!({ "title": "Once", "tags": ["a"] });
    let ask = |user: &User, body: &Value| {
        api.post(TODOS, body).bearer_auth(&user.access).header("idempotency-key", "\"key-1\"").answer()
    };
    let answers = try_join_all((0..16).map(|_| ask(&user, &body))).await?;
    let first = answers.first().context("16 answers")?;
    for answer in &answers {
        assert_eq!((answer.status, &answer.text), (201, &first.text));
        for header in ["location", "etag", "content-type", "cache-control"] {
            assert_eq!(answer.header(header), first.header(header), "{header}");
        }
    }
    let replayed = answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count();
    assert_eq!(replayed, 15);
    let listed = api.get(TODOS).bearer_auth(&user.access).expect(200).await?;
    assert_eq!(listed["items"], json!([first.json()?]));

    // The order of members does not make another body; another value does.
    let mut spelled = api.post(TODOS, &body).bearer_auth(&user.access).header("idempotency-key", "key-1");
    spelled = spelled.body("{ \"tags\": [\"a\"],\n \"title\": \"Once\" }");
    assert_eq!(spelled.answer().await?.text, first.text);
    ask(&user, &json!({ "title": "Twice" })).await?.problem(422, "idempotency-key-reused")?;
    // A key is its user's own, and a refused request leaves none behind.
    assert_ne!(ask(&other, &body).await?.json()?["id"], first.json()?["id"]);
    let keyed = |title: &str| {
        api.post(TODOS, &json!({ "title": title }))
            .bearer_auth(&user.access)
            .header("idempotency-key", "key-2")
            .answer()
    };
    keyed("").await?.problem(422, "validation")?;
    assert_eq!(keyed("Now").await?.status, 201);
    for bad in ["", "\"\"", "\"open", &"k".repeat(256)] {
        let answer = api.post(TODOS, &body).bearer_auth(&user.access).header("idempotency-key", bad).answer().await?;
        answer.problem(400, "invalid-request").with_context(|| bad.to_owned())?;
    }
    Ok(())
}
