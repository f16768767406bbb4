//! Lists of todos: pages, filters, orders.

use std::collections::HashSet;

use anyhow::Context;
use futures::stream::{self, TryStreamExt as _};
use serde_json::{Value, json};

use super::harness::{Api, Exchange, User, shared};

const TODOS: &str = "/api/v1/todos";

async fn list(api: &Api, user: &User, query: &str) -> anyhow::Result<Value> {
    let answer = api.get(&format!("{TODOS}{query}")).bearer_auth(&user.access).expect(200).await;
    answer.with_context(|| query.to_owned())
}

fn titles(page: &Value) -> Vec<&str> {
    page["items"].as_array().into_iter().flatten().filter_map(|item| item["title"].as_str()).collect()
}

async fn make(api: &Api, user: &User, content: Value) -> anyhow::Result<()> {
    api.post(TODOS, &content).bearer_auth(&user.access).expect(201).await.map(drop)
}

/// Makes so many todos, some at a time.
async fn make_many(api: &Api, user: &User, name: &str, count: usize) -> anyhow::Result<()> {
    let todo = |at: usize| {
        let due = (!at.is_multiple_of(3)).then(|| format!("2027-01-01T00:{:02}:00Z", at % 60));
        json!({ "title": format!("{name} {at}"), "dueAt": due })
    };
    stream::iter((0..count).map(|at| Ok(make(api, user, todo(at))))).try_for_each_concurrent(8, |made| made).await
}

#[tokio::test]
async fn paging_through_250_todos_loses_and_repeats_none_while_others_are_made() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    make_many(&api, &user, "todo", 250).await?;
    let known: HashSet<String> = (0..250).map(|at| format!("todo {at}")).collect();
    for (round, sort) in ["-createdAt", "createdAt", "dueAt"].into_iter().enumerate() {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = list(&api, &user, &format!("?limit=17&sort={sort}{cursor}")).await?;
            assert!(titles(&page).len() <= 17);
            seen.extend(titles(&page).into_iter().map(str::to_owned));
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            make_many(&api, &user, &format!("new {round} {}", seen.len()), 2).await?;
            assert!(seen.len() < 1000, "there is no end");
        }
        let unique: HashSet<&String> = seen.iter().collect();
        assert_eq!(unique.len(), seen.len(), "{sort}: a todo came twice");
        let missing: Vec<_> = known.iter().filter(|title| !unique.contains(title)).collect();
        assert!(missing.is_empty(), "{sort}: {missing:?}");
    }
    Ok(())
}

#[tokio::test]
async fn todos_of_one_moment_are_told_apart() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    // All are due at once, so only the id orders them.
    for at in 0..7 {
        make(&api, &user, json!({ "title": format!("todo {at}"), "dueAt": "2027-01-01T00:00:00Z" })).await?;
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=1&sort=dueAt".to_owned());
    loop {
        let page = list(&api, &user, &query).await?;
        seen.extend(titles(&page).into_iter().map(str::to_owned));
        let Some(next) = page["nextCursor"].as_str() else { break };
        query = format!("?limit=1&sort=dueAt&cursor={next}");
    }
    seen.sort();
    assert_eq!(seen, ["todo 0", "todo 1", "todo 2", "todo 3", "todo 4", "todo 5", "todo 6"]);
    Ok(())
}

#[tokio::test]
async fn a_page_is_bounded_and_names_the_next() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    make_many(&api, &user, "todo", 103).await?;
    assert_eq!(titles(&list(&api, &user, "").await?).len(), 20);
    for limit in ["101", "500", "4294967295"] {
        assert_eq!(titles(&list(&api, &user, &format!("?limit={limit}")).await?).len(), 100);
    }
    let first = api.get(&format!("{TODOS}?limit=100&sort=createdAt&status=open")).bearer_auth(&user.access);
    let first = first.answer().await?;
    let link = first.header("link");
    let next = link.strip_prefix('<').and_then(|text| text.strip_suffix(">; rel=\"next\"")).context("a link")?;
    let second = api.get(next).bearer_auth(&user.access).expect(200).await?;
    assert_eq!((titles(&second).len(), &second["nextCursor"]), (3, &Value::Null));
    let (whole, first) = (list(&api, &user, "?limit=3&skip=100&sort=createdAt").await?, first.json()?);
    assert_eq!(whole["items"], second["items"]);
    let skipped = list(&api, &user, "?limit=5&skip=40&sort=createdAt").await?;
    assert_eq!(titles(&skipped), titles(&first)[40..45]);
    assert_eq!(list(&api, &user, "?skip=103").await?, json!({ "items": [], "nextCursor": null }));
    Ok(())
}

#[tokio::test]
async fn what_is_no_page_is_refused() -> anyhow::Result<()> {
    let api = shared()?;
    let (user, other) = (api.somebody().await?, api.somebody().await?);
    for who in [&user, &other] {
        make_many(&api, who, "todo", 3).await?;
    }
    let cursor = |page: &Value| page["nextCursor"].as_str().map(str::to_owned).context("a cursor");
    let mine = cursor(&list(&api, &user, "?limit=1").await?)?;
    let theirs = cursor(&list(&api, &other, "?limit=1").await?)?;
    let sorted = cursor(&list(&api, &user, "?limit=1&sort=createdAt").await?)?;
    let filtered = cursor(&list(&api, &user, "?limit=1&status=open").await?)?;
    let (cut, longer) = (mine.get(1..).unwrap_or_default(), format!("{mine}A"));
    let endless = "A".repeat(2000);
    for bad in ["x", "", "%00", cut, &longer, &theirs, &sorted, &filtered, &endless] {
        let answer = api.get(&format!("{TODOS}?cursor={bad}")).bearer_auth(&user.access).answer().await?;
        answer.problem(400, "invalid-cursor").with_context(|| bad.to_owned())?;
    }
    assert_eq!(titles(&list(&api, &user, &format!("?cursor={mine}")).await?).len(), 2);
    let cases = [
        ("limit=0", "limit out-of-range"),
        ("limit=-1", "limit out-of-range"),
        ("limit=x", "limit out-of-range"),
        ("limit=", "limit out-of-range"),
        ("skip=10001", "skip out-of-range"),
        ("skip=-1", "skip out-of-range"),
        (&format!("skip=1&cursor={mine}"), "skip conflict"),
        ("status=closed", "status unknown-value"),
        ("priority=1", "priority unknown-value"),
        ("sort=title", "sort unknown-value"),
        ("dueAfter=tomorrow", "dueAfter invalid-time"),
        ("dueBefore=2027", "dueBefore invalid-time"),
        (&format!("q={}", "x".repeat(101)), "q too-long"),
        (&format!("tag={}", "x".repeat(51)), "tag too-long"),
    ];
    for (query, expected) in cases {
        let answer = api.get(&format!("{TODOS}?{query}")).bearer_auth(&user.access).answer().await?;
        assert_eq!(answer.violations(400, "invalid-request").with_context(|| query.to_owned())?, [expected], "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn filters_choose_and_orders_order() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    for content in [
        json!({ "title": "Apple", "priority": "low", "tags": ["fruit", "red"], "dueAt": "2027-03-01T00:00:00Z" }),
        json!({ "title": "Bread", "status": "done", "description": "50% rye_flour" }),
        json!({ "title": "Cherry", "status": "inProgress", "tags": ["fruit"], "dueAt": "2027-01-01T00:00:00Z" }),
        json!({ "title": "Äpfel", "priority": "high", "tags": ["Fruit"], "dueAt": "2027-02-01T00:00:00Z" }),
    ] {
        make(&api, &user, content).await?;
        // So that no two have the same time of making.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let cases: [(&str, &[&str]); 20] = [
        ("", &["Äpfel", "Cherry", "Bread", "Apple"]),
        ("?sort=createdAt", &["Apple", "Bread", "Cherry", "Äpfel"]),
        ("?sort=dueAt", &["Cherry", "Äpfel", "Apple", "Bread"]),
        ("?status=done", &["Bread"]),
        ("?status=inProgress", &["Cherry"]),
        ("?status=open", &["Äpfel", "Apple"]),
        ("?priority=high", &["Äpfel"]),
        ("?priority=low&status=open", &["Apple"]),
        ("?priority=low&status=done", &[]),
        ("?tag=fruit", &["Cherry", "Apple"]),
        ("?tag=Fruit", &["Äpfel"]),
        ("?tag=red&q=app", &["Apple"]),
        ("?q=APPLE", &["Apple"]),
        ("?q=%C3%84PFEL", &["Äpfel"]),
        ("?q=50%25", &["Bread"]),
        ("?q=%25", &["Bread"]),
        ("?q=_", &["Bread"]),
        ("?q=%27%20or%201=1--", &[]),
        ("?dueAfter=2027-02-01T00:00:00Z&sort=dueAt", &["Äpfel", "Apple"]),
        ("?dueBefore=2027-02-01T00:00:00Z", &["Cherry"]),
    ];
    for (query, expected) in cases {
        assert_eq!(titles(&list(&api, &user, query).await?), expected, "{query}");
    }
    let page = list(&api, &user, "?q=Cherry").await?;
    let path = format!("{TODOS}/{}", page["items"][0]["id"].as_str().context("an id")?);
    let change = api.request(reqwest::Method::PATCH, &path).bearer_auth(&user.access).header("if-match", "*");
    change.json(&json!({ "status": "done" })).expect(200).await?;
    assert_eq!(titles(&list(&api, &user, "?sort=-updatedAt").await?), ["Cherry", "Äpfel", "Bread", "Apple"]);
    assert_eq!(titles(&list(&api, &user, "?status=done&sort=createdAt").await?), ["Bread", "Cherry"]);
    Ok(())
}
