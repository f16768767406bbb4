//! Auth and todos under Spin: what a client sees, what is in the databases, and that the two cannot part.

use anyhow::Context;
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

use crate::host::{Databases, Grants, Running, product};

const PASSWORD: &str = "correct horse battery";
const TODOS: &str = "/api/v1/todos";

/// What a token looks like that nobody gave out: it names an algorithm and a key that could be right.
const FORGED: &str = "Bearer eyJhbGciOiJFZERTQSIsImtpZCI6IngifQ.e30.AAAA";

/// The two components on databases of their own.
struct Shop {
    databases: Databases,
    auth: Running,
    todos: Running,
}

/// What the shipped manifest gives to each.
fn grants(databases: &Databases, labels: &[&str]) -> Grants {
    let variables = [("token_issuer".to_owned(), "spin-test".to_owned())].into();
    Grants { variables, ..databases.grants(labels) }
}

impl Shop {
    async fn open() -> anyhow::Result<Self> {
        Self::open_with(&[]).await
    }

    /// The same with further variables for auth, which todos is not given.
    async fn open_with(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let databases = Databases::new(&["auth", "todos"])?;
        let mut auths = grants(&databases, &["auth"]);
        auths.variables.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let auth = Running::start(&product("auth")?, auths).await?;
        let todos = Running::start(&product("todos")?, grants(&databases, &["todos", "auth"])).await?;
        Ok(Self { databases, auth, todos })
    }

    async fn register(&self, email: &str) -> anyhow::Result<crate::host::Answer> {
        let body = json!({ "email": email, "password": PASSWORD, "firstName": "Ada", "lastName": "Lovelace" });
        self.auth.post("/api/v1/auth/register", &body).await
    }

    /// The access token of somebody new, and the header that carries it.
    async fn somebody(&self, email: &str) -> anyhow::Result<String> {
        self.register(email).await?.expect(201)?;
        let body = json!({ "email": email, "password": PASSWORD });
        let answer = self.auth.post("/api/v1/auth/login", &body).await?.expect(200)?;
        let token = answer.get("accessToken").and_then(Value::as_str).context("an access token")?;
        Ok(format!("Bearer {token}"))
    }

    async fn make(&self, user: &str, title: &str) -> anyhow::Result<crate::host::Answer> {
        let body = json!({ "title": title, "tags": ["a", "b"] });
        self.todos.send(Method::POST, TODOS, &[("authorization", user)], Some(&body)).await
    }

    fn types(&self, label: &str) -> anyhow::Result<Vec<String>> {
        let events = self.databases.events(label)?;
        Ok(events.iter().map(|event| event["event_type"].as_str().unwrap_or_default().to_owned()).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_sessions() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    let user = shop.register("ada@example.com").await?.expect(201)?["user"].clone();
    assert_eq!(user["email"], "ada@example.com");
    let login = json!({ "email": "ADA@example.com", "password": PASSWORD });
    let session = shop.auth.post("/api/v1/auth/login", &login).await?.expect(200)?;
    let bearer = format!("Bearer {}", session["accessToken"].as_str().context("a token")?);
    let me = shop.auth.send(Method::GET, "/api/v1/users/me", &[("authorization", &bearer)], None).await?.expect(200)?;
    assert_eq!(me["id"], user["id"]);
    let keys = shop.auth.send(Method::GET, "/.well-known/jwks.json", &[], None).await?.expect(200)?;
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));

    // A unique constraint, a guard that is not met, and what a wrong password leaves behind.
    shop.register("Ada@Example.com").await?.expect(409)?;
    let refresh = json!({ "refreshToken": session["refreshToken"] });
    shop.auth.post("/api/v1/auth/refresh", &refresh).await?.expect(200)?;
    shop.auth.post("/api/v1/auth/refresh", &refresh).await?.expect(401)?;
    let wrong = json!({ "email": "ada@example.com", "password": "another password" });
    shop.auth.post("/api/v1/auth/login", &wrong).await?.expect(401)?;

    let events = shop.databases.events("auth")?;
    assert_eq!(shop.types("auth")?, ["user.registered", "user.login"]);
    for event in &events {
        assert_eq!(event["source"], "/components/auth");
        assert_eq!(event["id"].as_str().map(str::len), Some(36));
        let data: Value = serde_json::from_str(event["data"].as_str().context("data")?)?;
        assert_eq!(data["userId"], user["id"]);
    }
    assert_eq!(shop.databases.count("auth", "select count(*) from users")?, 1);
    Ok(())
}

/// The auth within todos has no secret: whatever token it is asked about, it must not be the one that makes the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_where_tokens_are_signed_and_sealed_there() -> anyhow::Result<()> {
    let shop = Shop::open_with(&[("secret_key", "0123456789abcdef0123456789abcdef")]).await?;
    let keys = |which: &str| shop.databases.count("auth", &format!("select count(*) from signing_keys where {which}"));
    for token in [FORGED, "Bearer x"] {
        let answer = shop.todos.send(Method::GET, TODOS, &[("authorization", token)], None).await?;
        assert_eq!(answer.status, 401, "{token}: {}", answer.body);
        assert!(answer.headers["www-authenticate"].to_str()?.contains("invalid_token"), "{:?}", answer.headers);
    }
    assert_eq!(keys("true")?, 0);

    let ada = shop.somebody("ada@example.com").await?;
    assert_eq!((keys("is_sealed")?, keys("true")?), (1, 1));
    // At once, although todos has just seen that there is no key.
    shop.make(&ada, "first").await?.expect(201)?;
    let answer = shop.todos.send(Method::GET, TODOS, &[("authorization", FORGED)], None).await?;
    assert_eq!(answer.status, 401, "{}", answer.body);
    Ok(())
}

/// What is published may be kept by whoever fetches it, so it is not empty from the beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_where_it_is_published() -> anyhow::Result<()> {
    let shop = Shop::open_with(&[("secret_key", "0123456789abcdef0123456789abcdef")]).await?;
    let set = shop.auth.send(Method::GET, "/.well-known/jwks.json", &[], None).await?.expect(200)?;
    assert_eq!(set["keys"].as_array().map(Vec::len), Some(1), "{set}");
    assert_eq!(shop.databases.count("auth", "select count(*) from signing_keys where is_sealed")?, 1);
    let ada = shop.somebody("ada@example.com").await?;
    shop.make(&ada, "first").await?.expect(201)?;
    assert_eq!(shop.databases.count("auth", "select count(*) from signing_keys")?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn todos_of_whom_auth_vouches_for() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    let (ada, bob) = (shop.somebody("ada@example.com").await?, shop.somebody("bob@example.com").await?);
    let made = shop.make(&ada, "Translate the notes").await?;
    assert_eq!(made.headers["etag"], "\"1\"");
    let todo = made.expect(201)?;
    let path = format!("{TODOS}/{}", todo["id"].as_str().context("an id")?);
    let change = json!({ "status": "done", "tags": ["b", "c"] });
    let patch = |user: String, if_match: &'static str| {
        let (todos, path, change) = (shop.todos.clone(), path.clone(), change.clone());
        async move {
            let headers = [
                ("authorization", user.as_str()),
                ("if-match", if_match),
                ("content-type", "application/merge-patch+json"),
            ];
            todos.send(Method::PATCH, &path, &headers, Some(&change)).await
        }
    };
    let changed = patch(ada.clone(), "\"1\"").await?.expect(200)?;
    assert_eq!((&changed["status"], &changed["tags"]), (&json!("done"), &json!(["b", "c"])));
    patch(ada.clone(), "\"1\"").await?.expect(412)?;
    patch(bob.clone(), "*").await?.expect(404)?;

    let list = |user: String, query: &'static str| {
        let todos = shop.todos.clone();
        async move {
            let path = format!("{TODOS}?{query}");
            let answer = todos.send(Method::GET, &path, &[("authorization", &user)], None).await?.expect(200)?;
            let items = answer["items"].as_array().context("items")?;
            anyhow::Ok(items.iter().map(|item| item["title"].clone()).collect::<Vec<_>>())
        }
    };
    shop.make(&ada, "Write it down").await?.expect(201)?;
    assert_eq!(list(ada.clone(), "limit=5").await?, ["Write it down", "Translate the notes"]);
    assert_eq!(list(ada.clone(), "tag=c&status=done").await?, ["Translate the notes"]);
    assert_eq!(list(bob.clone(), "limit=5").await?, Vec::<Value>::new());
    shop.todos.send(Method::DELETE, &path, &[("authorization", &ada)], None).await?.expect(204)?;
    assert_eq!(shop.types("todos")?, ["todo.created", "todo.updated", "todo.created", "todo.deleted"]);

    for forged in ["", "Bearer x", &ada.replace("Bearer ey", "Bearer ex")] {
        let answer = shop.todos.send(Method::GET, TODOS, &[("authorization", forged)], None).await?;
        assert_eq!(answer.status, 401, "{forged}: {}", answer.body);
    }
    Ok(())
}

/// The outbox refuses the event: nothing else of the batch is kept, and the client is told so.
#[tokio::test(flavor = "multi_thread")]
async fn data_and_events_cannot_part() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    let user = shop.somebody("ada@example.com").await?;
    shop.make(&user, "first").await?.expect(201)?;
    let refuse = "create trigger refuse before insert on chassis_outbox begin select raise(abort, 'no'); end";
    for label in ["auth", "todos"] {
        shop.databases.open(label)?.execute_batch(refuse)?;
    }
    assert_eq!(shop.make(&user, "second").await?.status, 500);
    assert_eq!(shop.register("bob@example.com").await?.status, 500);
    assert_eq!(shop.databases.count("todos", "select count(*) from todos")?, 1);
    assert_eq!(shop.databases.count("todos", "select count(*) from todo_tags")?, 2);
    assert_eq!(shop.databases.count("auth", "select count(*) from users")?, 1);
    for label in ["auth", "todos"] {
        shop.databases.open(label)?.execute_batch("drop trigger refuse")?;
    }
    shop.make(&user, "second").await?.expect(201)?;
    shop.register("bob@example.com").await?.expect(201)?;
    assert_eq!(shop.types("todos")?, ["todo.created", "todo.created"]);
    assert_eq!(shop.types("auth")?, ["user.registered", "user.login", "user.registered"]);
    Ok(())
}

/// Batches of one instance, of two, and of another component are in a line.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    let second = Running::start(&product("auth")?, grants(&shop.databases, &["auth"])).await?;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "firstName": "A", "lastName": "L" });
    let doors = [&shop.auth, &second];
    let answers = try_join_all((0..8).map(|at| doors[at % 2].post("/api/v1/auth/register", &body))).await?;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(shop.databases.count("auth", "select count(*) from users")?, 1);
    assert_eq!(shop.types("auth")?, ["user.registered"]);
    let login = json!({ "email": "ada@example.com", "password": PASSWORD });
    for answer in try_join_all((0..8).map(|at| doors[at % 2].post("/api/v1/auth/login", &login))).await? {
        answer.expect(200)?;
    }
    assert_eq!(
        shop.databases.count("auth", "select count(*) from signing_keys")?,
        1,
        "each has asked that there is none"
    );

    let user = shop.somebody("bob@example.com").await?;
    let titles: Vec<String> = (0..32).map(|at| format!("todo {at}")).collect();
    for answer in try_join_all(titles.iter().map(|title| shop.make(&user, title))).await? {
        answer.expect(201)?;
    }
    assert_eq!(shop.databases.count("todos", "select count(*) from todos")?, 32);
    assert_eq!(shop.types("todos")?.len(), 32);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifest_does_not_list_is_not_lent() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    let user = shop.somebody("ada@example.com").await?;
    // The auth within todos has no database without this label: nobody is vouched for, and nothing is written.
    let todos = Running::start(&product("todos")?, grants(&shop.databases, &["todos"])).await?;
    let body = json!({ "title": "x" });
    let answer = todos.send(Method::POST, TODOS, &[("authorization", &user)], Some(&body)).await?;
    assert!(answer.status.is_server_error(), "{}: {}", answer.status, answer.body);
    assert_eq!(shop.databases.count("todos", "select count(*) from todos")?, 0);
    shop.make(&user, "x").await?.expect(201)?;
    Ok(())
}

/// Spin has no private paths: a wildcard route would let them through, and the kit does not.
#[tokio::test(flavor = "multi_thread")]
async fn private_paths_are_refused() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    for token in ["", "null", "None"] {
        for (door, path) in [(&shop.auth, "/.chassis/events"), (&shop.todos, "/.chassis/health")] {
            let headers = [("chassis-delivery-token", token)];
            let answer = door.send(Method::POST, path, &headers, Some(&json!({}))).await?;
            assert_eq!(answer.status, 404, "{path} {token:?}: {}", answer.body);
        }
    }
    Ok(())
}
