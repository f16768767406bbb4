//! How much one account can do: fill the database, or write to a stranger under our sender.

use std::path::Path;

use anyhow::Context;
use chassis_tests::App;
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Api, Exchange, User, eventually, start};

const TODOS: &str = "/api/v1/todos";
/// Todos of one user at most.
const TODOS_MAX: usize = 10_000;
/// Mails about todos that one user is sent within an hour.
const MAILS_MAX: usize = 20;
/// What is logged of each mail beyond.
const LEFT_OUT: &str = "a mail was left out";

async fn make(api: &Api, user: &User, title: &str) -> anyhow::Result<Value> {
    api.post(TODOS, &json!({ "title": title })).bearer_auth(&user.access).expect(201).await
}

/// Gives a user so many todos, straight into the database of a host that does not run.
fn fill(state_dir: &Path, user: &User, count: usize) -> anyhow::Result<()> {
    let database = rusqlite::Connection::open(state_dir.join("sql/todos.db"))?;
    let made = database.execute(
        "insert into todos (id, user_id, title, description, status, priority, tags, search_text, version, created_at, updated_at)
         with recursive n (i) as (select 1 union all select i + 1 from n where i < ?2)
         select 'todo_01997a5c-0f2b-7c3e-8a1b-' || printf('%012x', i), ?1, 'x', '', 'done', 'normal', '[]', 'x', 1, i, i
         from n",
        (&user.id, i64::try_from(count)?),
    )?;
    anyhow::ensure!(made == count, "{made} todos made");
    Ok(())
}

#[tokio::test]
async fn nobody_has_more_todos_than_one_may_have() -> anyhow::Result<()> {
    let app = App::shipped()?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state");
    let host = start(&app, &state, &[]).await?;
    let (ada, bob) = {
        let api = Api::of(&host)?;
        (api.somebody().await?, api.somebody().await?)
    };
    assert_eq!(host.stop().await?.code, Some(0));
    fill(&state, &ada, TODOS_MAX - 1)?;

    let host = start(&app, &state, &[]).await?;
    let api = Api::of(&host)?;
    // Of several at a time one is the last that finds room.
    let wanted = json!({ "title": "the last one" });
    let ask = || api.post(TODOS, &wanted).bearer_auth(&ada.access).answer();
    let answers = try_join_all((0..8).map(|_| ask())).await?;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (1, 7), "{answers:?}");
    for answer in refused {
        let problem = answer.problem(409, "limit-reached")?;
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("10000")), "{problem}");
    }
    // The same with a key: a refusal is not kept, so that the key is good when there is room again.
    let keyed = || api.post(TODOS, &wanted).bearer_auth(&ada.access).header("idempotency-key", "once").answer();
    keyed().await?.problem(409, "limit-reached")?;
    make(&api, &bob, "another list").await?;
    let last = made.first().context("one")?.json()?;
    let path = format!("{TODOS}/{}", last["id"].as_str().context("an id")?);
    api.request(Method::DELETE, &path).bearer_auth(&ada.access).expect(204).await?;
    assert_eq!(keyed().await?.status, 201);
    assert_eq!(keyed().await?.status, 201, "it is the answer of before");
    ask().await?.problem(409, "limit-reached")?;
    Ok(())
}

#[tokio::test]
async fn a_stranger_is_neither_flooded_nor_sent_a_link() -> anyhow::Result<()> {
    let app = App::shipped()?;
    let folder = tempfile::tempdir()?;
    let host = start(&app, &folder.path().join("state"), &[]).await?;
    let api = Api::of(&host)?;
    let victim = api.somebody().await?;
    let bait = json!({ "title": "You have won: see evil.example", "description": "Pay at https://evil.example now" });
    api.post(TODOS, &bait).bearer_auth(&victim.access).expect(201).await?;
    for number in 1..MAILS_MAX {
        make(&api, &victim, &format!("todo {number}")).await?;
    }
    // The welcome, and one for each todo.
    let mails = eventually("all mails", async || {
        let mails = api.mails_to(&victim.email).await?;
        Ok((mails.len() > MAILS_MAX).then_some(mails))
    })
    .await?;
    let subjects: Vec<&str> = mails.iter().filter_map(|mail| mail["subject"].as_str()).collect();
    assert!(subjects.contains(&"New todo") && subjects.contains(&"New todo: todo 1"), "{subjects:?}");
    for mail in &mails {
        let whole = api.admin_get(&format!("/v1/mailbox/{}", mail["id"].as_str().context("an id")?)).await?;
        assert!(!whole.to_string().contains("evil"), "{whole}");
    }

    for number in 0..3 {
        make(&api, &victim, &format!("one more {number}")).await?;
    }
    let left_out = || host.log().lines().filter(|line| line.contains(LEFT_OUT) && line.contains(&victim.id)).count();
    eventually("the mails that are left out", async || Ok((left_out() == 3).then_some(()))).await?;
    let other = api.somebody().await?;
    make(&api, &other, "of somebody else").await?;
    api.mail(&other.email, "New todo: of somebody else").await?;
    api.quiet().await?;
    assert_eq!(api.mails_to(&victim.email).await?.len(), 1 + MAILS_MAX);
    assert!(api.admin_list("/v1/dead-letters").await?.is_empty(), "a mail that is left out is no failure");
    Ok(())
}
