//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use chassis_capabilities::failpoint;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::client::Target;

/// Hosts backends made of WebAssembly components.
#[derive(Debug, Parser)]
#[command(
    name = "chassis",
    version,
    about,
    after_help = "Exit codes: 0 done; 1 refused or failed, with the reason on stderr; 2 a wrong command line.\n\
                  Begin with `chassis check`, then `chassis up`."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the application of a manifest until SIGTERM or Ctrl-C; a second one ends it at once.
    ///
    /// Prints `ready gateway=http://... admin=http://...` on stdout when requests are answered; everything else goes to stderr.
    Up(Up),
    /// Check the configuration and say what it means, without starting anything.
    Check(Sources),
    /// List the routes and who answers them.
    Routes(Routes),
    /// List the components of a running host: instances, requests, traps, health.
    Ps(Ps),
    /// List the mails in a running host's mailbox, or show one.
    Mail(Mail),
    /// List the queues of a running host; look into its dead letters and replay them.
    Queue(Queue),
    /// Make, list and revoke tokens of a running host's admin side.
    Token(Token),
}

/// Where the configuration is read.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sources {
    /// The manifest.
    #[arg(long, default_value = "spin.toml", value_name = "FILE")]
    pub(crate) manifest: PathBuf,
    /// The runtime configuration [default: runtime-config.toml beside the manifest, if there is one].
    #[arg(long, value_name = "FILE")]
    pub(crate) runtime_config: Option<PathBuf>,
    /// The settings of Chassis [default: chassis.toml beside the manifest, if there is one].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// The public listener [default: 127.0.0.1:8000]; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// The admin listener [default: 127.0.0.1:8001]; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,
    /// The folder of everything that the host keeps [default: .chassis].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Routes {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Sources {
    /// What the configuration is read with.
    pub(crate) fn options(&self) -> anyhow::Result<chassis_config::Options> {
        let working_dir = std::env::current_dir().context("cannot tell the working directory")?;
        let mut options = chassis_config::Options::new(working_dir);
        options.manifest.clone_from(&self.manifest);
        options.runtime_config.clone_from(&self.runtime_config);
        options.settings.clone_from(&self.config);
        options.reserved_variables.extend(failpoint::VARIABLE.map(str::to_owned));
        Ok(options)
    }
}

/// How lists are printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Mail {
    /// Show this mail: its head and its text; with --json the HTML too.
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false)]
pub(crate) struct Queue {
    #[command(subcommand)]
    pub(crate) command: Option<QueueCommand>,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List the dead letters: deliveries that were given up.
    Dead,
    /// Put a dead letter back into its queue, with its attempts forgotten.
    Replay {
        /// The id of the dead letter.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List the tokens, without their secrets.
    Ls,
    /// Make a token and print its secret, which is never shown again.
    Create {
        /// Its name: kebab-case.
        name: String,
        /// What it may do.
        #[arg(long, value_enum, default_value = "read")]
        role: Role,
    },
    /// Revoke a token.
    Revoke {
        /// The id of the token.
        id: String,
    },
}

/// What a token may do.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Look.
    Read,
    /// Look, and replay dead letters.
    Deploy,
    /// Everything, tokens included.
    Admin,
}
