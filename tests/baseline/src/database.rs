//! Connections to a database that a host has made, with the settings that the host's reading connections have.

use std::path::Path;

use anyhow::Context;
use chassis_config::plan::SqlPolicy;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};

/// Rows that the driver reads ahead, as the host has it.
const ROWS_AHEAD: usize = 16;

/// A pool of as many connections, each with as many prepared statements, as the host would open.
pub(crate) async fn open(file: &Path, policy: &SqlPolicy) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(policy.timeout)
        .foreign_keys(true)
        .statement_cache_capacity(usize::try_from(policy.statements)?)
        .row_buffer_size(ROWS_AHEAD)
        .pragma("query_only", "on")
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(policy.readers)
        .min_connections(policy.readers)
        // The host does not ask a connection whether it lives before each statement either.
        .test_before_acquire(false);
    pool.connect_with(options).await.with_context(|| format!("cannot open {}", file.display()))
}
