//! Older spellings of the routes: they do what the canonical ones do, and say so.

use anyhow::ensure;
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Exchange, PASSWORD, User, fresh_email, registration, shared};

fn says_so(answer: &Answer, canonical: &str) -> anyhow::Result<()> {
    let since = answer.header("deprecation").strip_prefix('@').and_then(|text| text.parse::<i64>().ok());
    ensure!(since.is_some(), "no Deprecation (RFC 9745): {:?}", answer.headers);
    let link = format!("<{canonical}>; rel=\"successor-version\"");
    ensure!(
        answer.headers.get_all("link").iter().any(|value| value == link.as_str()),
        "no {link}: {:?}",
        answer.headers
    );
    Ok(())
}

fn is_canonical(answer: &Answer) -> bool {
    !answer.headers.contains_key("deprecation") && !answer.text.is_empty()
}

#[tokio::test]
async fn each_older_spelling_of_accounts_and_sessions_works_and_says_so() -> anyhow::Result<()> {
    let api = shared()?;
    for prefix in ["/auth", "/api/auth"] {
        let email = fresh_email();
        let canonical = |name: &str| format!("/api/v1/auth/{name}");
        let made = api.post(&format!("{prefix}/register"), &registration(&email)).answer().await?;
        assert_eq!(made.status, 201, "{}", made.text);
        says_so(&made, &canonical("register"))?;
        let login = json!({ "email": email, "password": PASSWORD });
        let opened = api.post(&format!("{prefix}/login"), &login).answer().await?;
        assert_eq!(opened.status, 200, "{}", opened.text);
        says_so(&opened, &canonical("login"))?;
        let token = json!({ "refreshToken": opened.json()?["refreshToken"] });
        let next = api.post(&format!("{prefix}/refresh"), &token).answer().await?;
        assert_eq!(next.status, 200, "{}", next.text);
        says_so(&next, &canonical("refresh"))?;
        let tokens = next.json()?;
        let access = tokens["accessToken"].as_str().unwrap_or_default();
        let valid = api.get(&format!("{prefix}/validate")).bearer_auth(access).answer().await?;
        assert_eq!(valid.status, 200, "{}", valid.text);
        says_so(&valid, &canonical("validate"))?;
        let ended = api.request(Method::POST, &format!("{prefix}/logout")).bearer_auth(access).answer().await?;
        assert_eq!(ended.status, 204, "{}", ended.text);
        says_so(&ended, &canonical("logout"))?;
    }
    Ok(())
}

#[tokio::test]
async fn each_older_spelling_of_ones_own_account_works_and_says_so() -> anyhow::Result<()> {
    let api = shared()?;
    let user = api.somebody().await?;
    let account = api.get("/api/v1/users/me").bearer_auth(&user.access).answer().await?;
    assert!(account.status == 200 && is_canonical(&account), "{account:?}");
    for path in ["/auth/profile", "/api/auth/profile", "/profile", "/users/me"] {
        let answer = api.get(path).bearer_auth(&user.access).answer().await?;
        assert_eq!((answer.status, &answer.text), (200, &account.text), "{path}");
        says_so(&answer, "/api/v1/users/me")?;
        // A refusal says so too.
        let refused = api.get(path).answer().await?;
        refused.problem(401, "unauthorized")?;
        says_so(&refused, "/api/v1/users/me")?;
    }
    Ok(())
}

#[tokio::test]
async fn the_older_spelling_of_todos_works_and_says_so() -> anyhow::Result<()> {
    let api = shared()?;
    let User { access, .. } = api.somebody().await?;
    let made = api.post("/todos", &json!({ "title": "Old ways" })).bearer_auth(&access).answer().await?;
    assert_eq!(made.status, 201, "{}", made.text);
    says_so(&made, "/api/v1/todos")?;
    let todo = made.json()?;
    let id = todo["id"].as_str().unwrap_or_default();
    assert_eq!(made.header("location"), format!("/api/v1/todos/{id}"));
    let listed = api.get("/todos?limit=1").bearer_auth(&access).answer().await?;
    assert_eq!(listed.json()?["items"], json!([todo]));
    says_so(&listed, "/api/v1/todos")?;
    let one = api.get(&format!("/todos/{id}")).bearer_auth(&access).answer().await?;
    assert_eq!(one.json()?, todo);
    says_so(&one, &format!("/api/v1/todos/{id}"))?;
    let canonical = api.get(&format!("/api/v1/todos/{id}")).bearer_auth(&access).answer().await?;
    assert!(canonical.status == 200 && is_canonical(&canonical), "{canonical:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_route_is_none_in_an_older_spelling_either() -> anyhow::Result<()> {
    let api = shared()?;
    for path in ["/auth/nothing", "/api/auth/login/more", "/users/you", "/authority", "/todosx"] {
        let document: Value = api.get(path).answer().await?.problem(404, "not-found")?;
        assert_eq!(document["status"], 404, "{path}");
    }
    Ok(())
}
