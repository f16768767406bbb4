//! Bringing a database to the schema that its component knows: forward only, all or nothing.

use std::time::Duration;

use sqlx::SqliteConnection;

use super::migration::{Migration, MigrationKind};
use super::schema::Schema;
use crate::clock::Clock;
use crate::sqlite_file::FileError;
use crate::sqlite_file::connection::{Connection, ConnectionPlan, Role};
use crate::sqlite_file::fence::Mode;
use crate::sqlite_file::ffi::Limits;

/// Time for all pending migrations of one database.
const TIME: Duration = Duration::from_secs(600);
/// Bytes of one migration's text.
const TEXT_BYTES: i32 = 16 * 1024 * 1024;
/// Instructions of one statement of a migration.
const INSTRUCTIONS: i32 = 1_000_000;

/// The host's own tables in a component's database.
const HOST_TABLES: &str = "
create table if not exists chassis_migrations (
    number integer primary key,
    name text not null,
    checksum text not null,
    kind text not null,
    applied_at text not null
) strict;
create table if not exists chassis_outbox (
    sequence integer primary key autoincrement,
    id text not null unique,
    envelope text not null
) strict;
";

/// Why a database was not opened, or not migrated. What it held is as it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The SQL of a migration failed.
    #[error("{name}: {reason}")]
    Broken {
        /// The migration.
        name: String,
        /// What SQLite said.
        reason: String,
    },
    /// Another text was applied under this number.
    #[error(
        "{name}: it was applied with another text or name ({applied}): restore that, and put the change into a new migration"
    )]
    Changed {
        /// The migration.
        name: String,
        /// What was applied under its number.
        applied: String,
    },
    /// A later migration is applied and this one is not.
    #[error("{name}: it is not applied, but {later} is: a migration goes behind all that are applied")]
    OutOfOrder {
        /// The migration.
        name: String,
        /// The one that is applied.
        later: String,
    },
    /// A migration that is not known here has taken something away.
    #[error("{name}: this contract is applied to the database and is not known here: use a version that knows it")]
    UnknownContract {
        /// The applied migration.
        name: String,
    },
}

/// A migration that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Applied {
    number: u32,
    name: String,
    checksum: String,
    kind: String,
}

/// Apply what is pending, in one transaction on a connection of its own.
pub(super) async fn apply(
    plan: &ConnectionPlan,
    migrations: &[Migration],
    clock: &dyn Clock,
) -> Result<Schema, OpenError> {
    let mut plan = plan.clone();
    plan.limits = plan.limits.map(|limits| Limits { text_bytes: TEXT_BYTES, instructions: INSTRUCTIONS, ..limits });
    let mut connection = Connection::open(&plan, Role::Writer).await?;
    // An index is made by sorting a table, which may be as large as the database. Nobody else uses it now.
    plan.temporary.limit(plan.bounds.bytes);
    let schema = transact(&mut connection, migrations, clock).await;
    plan.temporary.limit(plan.bounds.temporary_bytes);
    // Whatever was not committed goes with the connection.
    connection.close().await;
    schema
}

async fn transact(
    connection: &mut Connection,
    migrations: &[Migration],
    clock: &dyn Clock,
) -> Result<Schema, OpenError> {
    // A table is rebuilt by dropping it, which would delete what refers to it. All references are checked at the end.
    host(connection, "pragma foreign_keys = off").await?;
    host(connection, "begin immediate").await?;
    host(connection, HOST_TABLES).await?;
    let applied = applied(connection.sqlx()).await.map_err(FileError::from)?;
    let pending = pending(migrations, &applied)?;
    connection.fence().limit(TIME);
    for migration in &pending {
        run(connection, migration).await?;
        record(connection.sqlx(), migration, clock).await.map_err(FileError::from)?;
    }
    connection.fence().unlimit();
    if let Some(last) = pending.last() {
        check(connection.sqlx(), last.name()).await?;
    }
    host(connection, "commit").await?;
    for migration in &pending {
        tracing::info!(migration = migration.name(), kind = migration.kind().as_str(), "migration applied");
    }
    Ok(Schema::read(connection.sqlx()).await.map_err(FileError::from)?)
}

/// Which migrations are to be applied.
pub(super) fn pending<'m>(migrations: &'m [Migration], applied: &[Applied]) -> Result<Vec<&'m Migration>, OpenError> {
    let is_known = |applied: &Applied| migrations.iter().any(|migration| migration.number() == applied.number);
    let contract = |applied: &&Applied| applied.kind != MigrationKind::Expand.as_str() && !is_known(applied);
    if let Some(unknown) = applied.iter().find(contract) {
        return Err(OpenError::UnknownContract { name: unknown.name.clone() });
    }
    let mut pending = Vec::new();
    for migration in migrations {
        let name = migration.name().to_owned();
        match applied.iter().find(|applied| applied.number == migration.number()) {
            Some(same) if same.checksum == migration.checksum() && same.name == name => {}
            Some(other) => return Err(OpenError::Changed { name, applied: other.name.clone() }),
            None => match applied.iter().find(|applied| applied.number > migration.number()) {
                Some(later) => return Err(OpenError::OutOfOrder { name, later: later.name.clone() }),
                None => pending.push(migration),
            },
        }
    }
    Ok(pending)
}

pub(super) async fn applied(connection: &mut SqliteConnection) -> Result<Vec<Applied>, sqlx::Error> {
    let rows: Vec<(u32, String, String, String)> =
        sqlx::query_as("select number, name, checksum, kind from chassis_migrations order by number")
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|(number, name, checksum, kind)| Applied { number, name, checksum, kind }).collect())
}

async fn host(connection: &mut Connection, sql: &'static str) -> Result<(), FileError> {
    sqlx::raw_sql(sql).execute(connection.sqlx()).await?;
    Ok(())
}

async fn run(connection: &mut Connection, migration: &Migration) -> Result<(), OpenError> {
    connection.fence().enter(Mode::Migration);
    let sql = sqlx::AssertSqlSafe(migration.sql().to_owned());
    let done = sqlx::raw_sql(sql).execute(connection.sqlx()).await;
    connection.fence().enter(Mode::Host);
    match done {
        Ok(_) => Ok(()),
        Err(error) => Err(OpenError::Broken { name: migration.name().to_owned(), reason: error.to_string() }),
    }
}

async fn record(
    connection: &mut SqliteConnection,
    migration: &Migration,
    clock: &dyn Clock,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into chassis_migrations (number, name, checksum, kind, applied_at) values ($1, $2, $3, $4, $5)")
        .bind(migration.number())
        .bind(migration.name().to_owned())
        .bind(migration.checksum().to_owned())
        .bind(migration.kind().as_str())
        .bind(clock.now().to_string())
        .execute(connection)
        .await
        .map(drop)
}

/// After all pending migrations: every reference holds, and nothing took a name of the host's.
async fn check(connection: &mut SqliteConnection, last: &str) -> Result<(), OpenError> {
    let broken = |reason: String| OpenError::Broken { name: last.to_owned(), reason };
    let violated: Option<(String, Option<i64>, String, i64)> = sqlx::query_as("pragma foreign_key_check")
        .fetch_optional(&mut *connection)
        .await
        .map_err(|error| broken(error.to_string()))?;
    if let Some((table, _, parent, _)) = violated {
        return Err(broken(format!("afterwards rows of {table} refer to rows of {parent} that do not exist")));
    }
    let taken: Option<String> = sqlx::query_scalar(
        r"select name from sqlite_schema
          where (name like 'chassis\_%' escape '\' or (type = 'trigger' and tbl_name like 'chassis\_%' escape '\'))
            and name not in ('chassis_migrations', 'chassis_outbox') limit 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(FileError::from)?;
    match taken {
        Some(name) => Err(broken(format!("{name} has a name of the host's: chassis_"))),
        None => Ok(()),
    }
}
