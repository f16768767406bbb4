//! The way from the command line to a running host: its admin API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use ureq::http::{Method, Request};
use ureq::{Agent, RequestExt};

use crate::state_dir::Running;
use crate::up::admin_token;

/// Time for one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which host, and by what right.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// The state folder of the running host: tells where it listens, and holds its first token.
    #[arg(long, global = true, env = "CHASSIS_STATE_DIR", default_value = ".chassis", value_name = "FOLDER")]
    state_dir: PathBuf,
    /// URL of the admin side, where it is not the one that the state folder tells.
    #[arg(long, global = true, value_name = "URL")]
    admin: Option<String>,
    /// File of the token, where it is not the first one.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A host's admin API.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
    token: String,
}

impl Target {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let url = match &self.admin {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => Running::find(&self.state_dir)?.admin,
        };
        let path = self.token_file.clone().unwrap_or_else(|| admin_token(&self.state_dir));
        let token =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read the token in {}", path.display()))?;
        let agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // The token is for the host alone: not for whatever HTTP_PROXY names, which would ask itself at this address.
            .proxy(None)
            .build();
        Ok(Client { agent: agent.into(), url, token: token.trim().to_owned() })
    }
}

impl Client {
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None)
    }

    /// Every item of a list, page after page.
    pub(crate) fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        loop {
            let mut page = self.get(&next)?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            let Some(cursor) = page.get("nextCursor").and_then(Value::as_str) else { return Ok(items) };
            next = format!("{path}{}cursor={cursor}", if path.contains('?') { '&' } else { '?' });
        }
    }

    pub(crate) fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token));
        let body = body.map(serde_json::to_vec).transpose()?;
        let unreachable = || format!("no host answers at {}", self.url);
        let mut response = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body)?;
                request.with_agent(&self.agent).run().with_context(unreachable)?
            }
            None => request.body(())?.with_agent(&self.agent).run().with_context(unreachable)?,
        };
        let status = response.status();
        let text = response.body_mut().read_to_string().with_context(unreachable)?;
        let value =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
        if !status.is_success() {
            let said = |member| value.get(member).and_then(Value::as_str).unwrap_or_default();
            bail!("the host answered {status}: {} {}", said("title"), said("detail"));
        }
        Ok(value)
    }
}
