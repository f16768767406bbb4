//! Logging in, going on, logging out.

use std::time::Duration;

use anyhow::Context;
use chassis_tests::App;
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::ending::half_a_login;
use super::harness::{Answer, Api, Exchange, PASSWORD, eventually, fresh_email, shared, start};

fn text(value: &Value, member: &str) -> anyhow::Result<String> {
    value[member].as_str().map(str::to_owned).with_context(|| format!("no {member}: {value}"))
}

/// Waits until an access token is refused, everywhere.
async fn refused(api: &Api, access: &str) -> anyhow::Result<()> {
    eventually("a refusal", async || Ok((api.status_with(access).await? == 401).then_some(()))).await?;
    eventually("a refusal by others", async || {
        let answer = api.get("/api/v1/todos").bearer_auth(access).answer().await?;
        Ok((answer.status == 401).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_refused_login_looks_the_same_for_known_and_unknown_addresses() -> anyhow::Result<()> {
    let api = shared()?;
    let email = fresh_email();
    api.register(&email).expect(201).await?;
    for password in ["wrong horse battery", "", &"x".repeat(129), &"x".repeat(5000)] {
        let known = api.login(&email, password).answer().await?;
        known.problem(401, "unauthorized")?;
        assert!(known.header("www-authenticate").starts_with("Bearer"), "{:?}", known.headers);
        for other in [&fresh_email(), "no address", ""] {
            let unknown = api.login(other, password).answer().await?;
            assert_eq!(known.essence()?, unknown.essence()?, "{other}");
        }
    }
    // The right password of somebody else is a wrong one.
    let other = api.login(&fresh_email(), PASSWORD).answer().await?;
    let known = api.login(&email, "wrong horse battery").answer().await?;
    assert_eq!(known.essence()?, other.essence()?);
    Ok(())
}

#[tokio::test]
async fn what_holds_a_token_is_not_to_be_kept() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let not_stored = |answer: &Answer| assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    not_stored(&api.login(&user.email, PASSWORD).answer().await?);
    not_stored(&api.login(&user.email, "wrong").answer().await?);
    not_stored(&api.register(&user.email).answer().await?);
    let next = api.refresh(&user.refresh).answer().await?;
    not_stored(&next);
    let access = text(&next.json()?, "accessToken")?;
    not_stored(&api.get("/api/v1/auth/validate").bearer_auth(&access).answer().await?);
    not_stored(&api.get("/api/v1/users/me").bearer_auth(&access).answer().await?);
    not_stored(&api.request(Method::POST, "/api/v1/auth/logout").bearer_auth(&access).answer().await?);
    not_stored(&api.refresh(&user.refresh).answer().await?);
    Ok(())
}

#[tokio::test]
async fn a_valid_token_tells_whose_it_is() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let told = api.get("/api/v1/auth/validate").bearer_auth(&user.access).expect(200).await?;
    assert_eq!((&told["valid"], &told["userId"], &told["email"]), (&json!(true), &json!(user.id), &json!(user.email)));
    assert!(text(&told, "sessionId")?.starts_with("ses_"), "{told}");
    Ok(())
}

#[tokio::test]
async fn refresh_tokens_are_exchanged_one_after_the_other() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let (mut refresh, mut access) = (user.refresh.clone(), user.access.clone());
    for _ in 0..5 {
        let next = api.refresh(&refresh).expect(200).await?;
        assert_eq!((&next["tokenType"], &next["user"]["id"]), (&json!("Bearer"), &json!(user.id)));
        assert_ne!(text(&next, "refreshToken")?, refresh);
        assert_ne!(text(&next, "accessToken")?, access);
        (refresh, access) = (text(&next, "refreshToken")?, text(&next, "accessToken")?);
        assert_eq!(api.status_with(&access).await?, 200);
    }
    // The access tokens that went before are of the same session, and count until their time is over.
    assert_eq!(api.status_with(&user.access).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_used_refresh_token_ends_its_whole_family_and_no_other() -> anyhow::Result<()> {
    let api = shared()?;
    let first = api.somebody().await?;
    let other = api.session(&first.email).await?;
    let second = api.refresh(&first.refresh).expect(200).await?;
    let third = api.refresh(&text(&second, "refreshToken")?).expect(200).await?;

    let reused = api.refresh(&first.refresh).answer().await?;
    reused.problem(401, "unauthorized")?;
    assert!(reused.header("www-authenticate").starts_with("Bearer"), "{:?}", reused.headers);
    for token in [&first.refresh, &text(&second, "refreshToken")?, &text(&third, "refreshToken")?] {
        api.refresh(token).answer().await?.problem(401, "unauthorized")?;
    }
    for access in [&first.access, &text(&second, "accessToken")?, &text(&third, "accessToken")?] {
        refused(&api, access).await?;
    }
    assert_eq!(api.status_with(&other.access).await?, 200, "another session of the same user lives on");
    api.refresh(&other.refresh).expect(200).await?;
    Ok(())
}

#[tokio::test]
async fn of_32_who_use_one_refresh_token_at_once_one_succeeds() -> anyhow::Result<()> {
    let api = shared()?;
    for _ in 0..3 {
        let user = api.somebody().await?;
        let answers = try_join_all((0..32).map(|_| api.refresh(&user.refresh).answer())).await?;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 31));
        for answer in lost {
            answer.problem(401, "unauthorized")?;
        }
        // One of two holders is a thief, so the one who won has nothing of it.
        let tokens = won[0].json()?;
        api.refresh(&text(&tokens, "refreshToken")?).answer().await?.problem(401, "unauthorized")?;
        refused(&api, &text(&tokens, "accessToken")?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let unknown = format!("rt_{}", "A".repeat(43));
    for token in ["", "rt_", "x", &unknown, &user.access, &user.refresh[3..], &user.refresh.to_lowercase()] {
        api.refresh(token).answer().await?.problem(401, "unauthorized").with_context(|| token.to_owned())?;
    }
    api.refresh(&"x".repeat(100_000)).answer().await?.problem(401, "unauthorized")?;
    let wrong = api.post("/api/v1/auth/refresh", &json!({ "refreshToken": 7 })).answer().await?;
    assert_eq!(wrong.violations(422, "validation")?, ["/refreshToken wrong-type"]);
    api.refresh(&user.refresh).expect(200).await?;
    Ok(())
}

#[tokio::test]
async fn a_logout_ends_its_session_within_a_second() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let other = api.session(&user.email).await?;
    // Both components have seen the token a moment ago, and may remember it for a second.
    assert_eq!(api.status_with(&user.access).await?, 200);
    api.get("/api/v1/todos").bearer_auth(&user.access).expect(200).await?;
    let ended = api.request(Method::POST, "/api/v1/auth/logout").bearer_auth(&user.access).answer().await?;
    assert_eq!((ended.status, ended.text.as_str()), (204, ""));

    // How long it is remembered is a matter of the clock, not of how busy the machine is.
    tokio::time::sleep(Duration::from_millis(1050)).await;
    for path in ["/api/v1/users/me", "/api/v1/auth/validate", "/api/v1/todos"] {
        let answer = api.get(path).bearer_auth(&user.access).answer().await?;
        answer.problem(401, "unauthorized").context(path)?;
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{:?}", answer.headers);
    }
    api.refresh(&user.refresh).answer().await?.problem(401, "unauthorized")?;
    let again = api.request(Method::POST, "/api/v1/auth/logout").bearer_auth(&user.access).answer().await?;
    again.problem(401, "unauthorized")?;
    assert_eq!(api.status_with(&other.access).await?, 200);
    Ok(())
}

#[tokio::test]
async fn logins_that_do_not_end_keep_nobody_from_their_todos() -> anyhow::Result<()> {
    let app = App::shipped()?;
    let folder = tempfile::tempdir()?;
    let host = start(&app, &folder.path().join("state"), &[]).await?;
    let api = Api::of(&host)?;
    let users = try_join_all((0..8).map(|_| api.somebody())).await?;
    // Many more than may hash at a time: each holds its place, and none of them ever comes to an end.
    let stuck = try_join_all((0..64).map(|_| half_a_login(host.address(), "ada@example.com"))).await?;
    for user in &users {
        // None of these tokens was seen before, so `todos` has to ask `auth`.
        api.get("/api/v1/todos").bearer_auth(&user.access).expect(200).await?;
        assert_eq!(api.status_with(&user.access).await?, 200);
        api.refresh(&user.refresh).expect(200).await?;
    }
    drop(stuck);
    // Who goes away makes room for others.
    api.login(&users[0].email, PASSWORD).expect(200).await?;
    Ok(())
}
