//! What the host must know of a database's schema: read once after its migrations.

use std::collections::HashMap;

use sqlx::SqliteConnection;

/// What is asked of a schema while batches run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Schema {
    /// Whether a reference may be violated until the end of a batch.
    pub(super) has_deferred_references: bool,
    indexes: HashMap<String, Index>,
}

/// An index, by whose name SQLite reports a violation where it is one over expressions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) table: String,
    /// Its plain columns; expressions have no name.
    pub(super) columns: Vec<String>,
}

impl Schema {
    pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let deferred: bool = sqlx::query_scalar(
            "select exists(select 1 from sqlite_schema where type = 'table' and sql like '%deferr%')",
        )
        .fetch_one(&mut *connection)
        .await?;
        let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(
            "select s.name, s.tbl_name, c.name from sqlite_schema s join pragma_index_info(s.name) c \
             where s.type = 'index' order by s.name, c.seqno",
        )
        .fetch_all(connection)
        .await?;
        let mut indexes = HashMap::<String, Index>::new();
        for (name, table, column) in rows {
            let index = indexes.entry(name).or_default();
            index.table = table;
            index.columns.extend(column);
        }
        Ok(Self { has_deferred_references: deferred, indexes })
    }

    pub(super) fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.get(name)
    }
}
