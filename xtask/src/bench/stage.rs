//! Applications and states for a measurement, in a folder of their own: one manifest, one user with todos, copied for
//! each process that is measured, so that all of them give the same answers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::TempDir;
use toml::Table;

use super::server::{Ask, Client, Server, command};
use crate::workspace::Workspace;

/// Todos of the one user: one page of the default size.
const TODOS: u32 = 20;
const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";
/// Minutes for which the access token is good: longer than any measurement. The host that signs somebody up is told so;
/// the others only check it.
const TOKEN_MINUTES: &str = "1440";

/// Where the user's access token is kept with a folder that is.
const TOKEN_FILE: &str = "token";

/// How instances are shared in an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// An instance serves many requests.
    Shared,
    /// `hello` and `todos` get a fresh instance for each request.
    Request,
}

/// The folder of a measurement, deleted when dropped unless it is kept.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: TempDir,
    host: PathBuf,
    baseline: PathBuf,
    /// The user's access token.
    pub(crate) token: String,
    /// The id of one of the user's todos.
    pub(crate) todo: String,
}

impl Stage {
    /// Writes the applications, starts a host, signs a user up through its front door, and stops it.
    pub(crate) fn set(workspace: &Workspace, client: &Client) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("chassis-bench-").tempdir().context("cannot make a folder")?;
        let mut stage = Self {
            folder,
            host: workspace.host_binary(),
            baseline: workspace.target_dir.join("release/chassis-baseline"),
            token: String::new(),
            todo: String::new(),
        };
        let shipped = read(&workspace.root.join("spin.toml"))?;
        stage.application(workspace, "shipped", &shipped)?;
        stage.application(workspace, "shared", &with_hello(&shipped, Isolation::Shared)?)?;
        stage.application(workspace, "request", &with_hello(&shipped, Isolation::Request)?)?;
        stage.application(workspace, "loops", LOOPS)?;
        let host = stage.host("shared", "seed")?;
        (stage.token, stage.todo) = seed(host.url("gateway")?, client)?;
        host.stop()?;
        Ok(stage)
    }

    /// Keep the folder, with the access token beside what was measured, so that every printed command can be given once more.
    pub(crate) fn keep(&mut self) -> anyhow::Result<&Path> {
        let file = self.path(TOKEN_FILE);
        std::fs::write(&file, &self.token).with_context(|| format!("cannot write {}", file.display()))?;
        self.folder.disable_cleanup(true);
        Ok(self.folder.path())
    }

    /// A request for a greeting.
    pub(crate) fn hello() -> Ask {
        Ask { path: "/hello".to_owned(), token: None }
    }

    /// A request for a page of todos.
    pub(crate) fn list(&self) -> Ask {
        Ask { path: "/api/v1/todos".to_owned(), token: Some(self.token.clone()) }
    }

    /// A request for one todo.
    pub(crate) fn read(&self) -> Ask {
        Ask { path: format!("/api/v1/todos/{}", self.todo), token: Some(self.token.clone()) }
    }

    /// A host with a manifest and a state of the stage. All of them share one cache of compiled components.
    pub(crate) fn host(&self, application: &str, state: &str) -> anyhow::Result<Server> {
        Server::start(&mut self.host_command(application, state))
    }

    fn host_command(&self, application: &str, state: &str) -> Command {
        let mut command = command(&self.host, &self.path(application));
        command.env("CHASSIS_ENGINE_CACHE_DIR", self.path("cache"));
        command.args(["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state-dir"]).arg(self.path(state));
        command
    }

    /// The native twin, with a state of the stage.
    pub(crate) fn native(&self, state: &str) -> anyhow::Result<Server> {
        let mut command = command(&self.baseline, &self.path("shared"));
        Server::start(command.arg("--state-dir").arg(self.path(state)))
    }

    /// A copy of the state that the stage was set with, in the place of what a host has left there: one that was killed
    /// leaves write-ahead logs, which belong to no other file.
    pub(crate) fn copy_state(&self, name: &str) -> anyhow::Result<()> {
        replace(&self.path("seed"), &self.path(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn application(&self, workspace: &Workspace, name: &str, manifest: &str) -> anyhow::Result<()> {
        let folder = self.path(name);
        for component in &workspace.components {
            let built = workspace.component_file(component);
            let named = component.file_below(Path::new("target"));
            if manifest.contains(&*named.to_string_lossy()) {
                let copy = folder.join(&named);
                std::fs::create_dir_all(copy.parent().unwrap_or(&folder)).context("cannot make a folder")?;
                std::fs::copy(&built, copy).with_context(|| format!("cannot copy {}", built.display()))?;
            }
        }
        std::fs::write(folder.join("spin.toml"), manifest).context("cannot write the manifest")
    }
}

/// A greeting, and a component that nobody knows yet, whose requests never end by themselves.
const LOOPS: &str = r#"
spin_manifest_version = 2
application = { name = "loops" }

[[trigger.http]]
route = "/hello"
component = "hello"

[component.hello]
source = "target/wasm32-wasip2/release/greeting.wasm"

[[trigger.http]]
route = "/spin"
component = "loops"

[component.loops]
source = "target/wasm32-wasip2/release/hello.wasm"
tool.chassis.limits = { deadline = "10m" }
"#;

/// The shipped application and the guest `greeting`.
fn with_hello(shipped: &str, isolation: Isolation) -> anyhow::Result<String> {
    let hello = r#"
        [[trigger.http]]
        route = "/hello"
        component = "hello"

        [component.hello]
        source = "target/wasm32-wasip2/release/greeting.wasm"
    "#;
    let mut manifest: Table = format!("{shipped}\n{hello}").parse().context("in spin.toml")?;
    let minutes = table(&mut manifest, &["variables", "access_token_expire_minutes"])?;
    minutes.insert("default".into(), TOKEN_MINUTES.into());
    if isolation == Isolation::Request {
        for name in ["hello", "todos"] {
            table(&mut manifest, &["component", name, "tool", "chassis"])?.insert("isolation".into(), "request".into());
        }
    }
    toml::to_string(&manifest).context("cannot write a manifest")
}

/// A table within tables, made where it is missing.
fn table<'table>(mut table: &'table mut Table, path: &[&str]) -> anyhow::Result<&'table mut Table> {
    for name in path {
        let entry = table.entry((*name).to_owned()).or_insert_with(|| Table::new().into());
        table = entry.as_table_mut().with_context(|| format!("{name} is no table"))?;
    }
    Ok(table)
}

/// One user with todos. Answers with an access token and the id of the last todo.
fn seed(gateway: &str, client: &Client) -> anyhow::Result<(String, String)> {
    let post = |path: &str, token: Option<&str>, status, body: &Value| {
        client.post(&format!("{gateway}{path}"), token, status, body)
    };
    let text = |value: &Value, name: &str| {
        let found = value.get(name).and_then(Value::as_str);
        found.map(str::to_owned).with_context(|| format!("no {name} in {value}"))
    };
    let account = json!({ "email": EMAIL, "password": PASSWORD, "firstName": "Ada", "lastName": "Lovelace" });
    post("/api/v1/auth/register", None, 201, &account)?;
    let session = post("/api/v1/auth/login", None, 200, &json!({ "email": EMAIL, "password": PASSWORD }))?;
    let token = text(&session, "accessToken")?;
    let mut last = String::new();
    for number in 0..TODOS {
        let todo = json!({
            "title": format!("Translate note {number}"),
            "description": "From the French, with remarks on the method of computing.",
            "dueAt": "2030-01-31T12:00:00Z",
            "tags": ["notes", "engine"],
        });
        last = text(&post("/api/v1/todos", Some(&token), 201, &todo)?, "id")?;
    }
    Ok((token, last))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A folder with all that is in it, and nothing else.
fn replace(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    copy(from, to)
}

/// A folder with all that is in it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = "spin_manifest_version = 2\n[component.todos.tool.chassis]\npublish = [\"todo.*\"]\n";

    #[test]
    fn only_the_measured_components_are_made_fresh() {
        let manifest: Table = with_hello(SHIPPED, Isolation::Request).unwrap().parse().unwrap();
        for name in ["hello", "todos"] {
            assert_eq!(manifest["component"][name]["tool"]["chassis"]["isolation"].as_str(), Some("request"), "{name}");
        }
        assert_eq!(manifest["component"]["todos"]["tool"]["chassis"]["publish"][0].as_str(), Some("todo.*"));
        let shared: Table = with_hello(SHIPPED, Isolation::Shared).unwrap().parse().unwrap();
        assert!(shared["component"]["hello"].get("tool").is_none());
        assert_eq!(shared["variables"]["access_token_expire_minutes"]["default"].as_str(), Some(TOKEN_MINUTES));
        assert!(shared["component"]["todos"]["tool"]["chassis"].get("isolation").is_none());
    }

    #[test]
    fn a_copy_has_everything_and_nothing_of_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::create_dir_all(from.join("sql")).unwrap();
        std::fs::write(from.join("sql/a.db"), "a").unwrap();
        for _ in 0..2 {
            replace(&from, &to).unwrap();
            assert_eq!(std::fs::read_to_string(to.join("sql/a.db")).unwrap(), "a");
            assert!(!to.join("sql/a.db-wal").exists());
            // As a host leaves it that is killed.
            std::fs::write(to.join("sql/a.db-wal"), "of another").unwrap();
        }
    }
}
