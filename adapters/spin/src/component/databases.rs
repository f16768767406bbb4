//! Connections of `spin:sqlite`.

use crate::bindings::sql::Value;
use crate::bindings::sqlite;
use crate::sql::connection::{Answer, Connection, Failure, take_row, to_spin};
use crate::sql::limits::Budget;

/// A connection, which ends with this value; what was not committed is rolled back then.
#[derive(Debug)]
pub(super) struct SpinConnection(sqlite::Connection);

impl SpinConnection {
    pub(super) fn new(connection: sqlite::Connection) -> Self {
        Self(connection)
    }
}

impl Connection for SpinConnection {
    async fn execute(&self, text: &str, params: &[Value], budget: &mut Budget) -> Result<Answer, Failure> {
        let params = params.iter().map(to_spin).collect();
        let (columns, mut stream, end) = self.0.execute_async(text.to_owned(), params).await?;
        let mut rows = Vec::new();
        while let Some(row) = stream.next().await {
            rows.push(take_row(row.values, budget)?);
        }
        // Without this the rows might be some of them only.
        end.await?;
        Ok(Answer { columns, rows })
    }

    async fn changes(&self) -> u64 {
        self.0.changes_async().await
    }
}
