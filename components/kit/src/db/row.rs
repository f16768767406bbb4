//! Rows, and how they become values.

use jiff::Timestamp;

use super::{Value, host};
use crate::values::time;

/// What a statement answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    set: host::RowSet,
}

impl Rows {
    pub(super) fn new(set: host::RowSet) -> Self {
        Self { set }
    }

    /// Rows that the statement inserted, updated or deleted.
    pub fn affected(&self) -> u64 {
        self.set.affected
    }

    /// Whether the statement returned no row.
    pub fn is_empty(&self) -> bool {
        self.set.rows.is_empty()
    }

    /// Each row as a value.
    ///
    /// # Errors
    /// A column is missing, or holds another type.
    pub fn read<T: FromRow>(&self) -> Result<Vec<T>, RowError> {
        let columns = &self.set.columns;
        self.set.rows.iter().map(|values| T::from_row(&Row { columns, values })).collect()
    }
}

/// One row.
#[derive(Debug)]
pub struct Row<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl Row<'_> {
    /// The value of a column.
    ///
    /// # Errors
    /// There is no such column, or it holds another type.
    pub fn get<T: FromValue>(&self, column: &'static str) -> Result<T, RowError> {
        let index = self.columns.iter().position(|name| name == column).ok_or(RowError::Missing(column))?;
        let value = self.values.get(index).ok_or(RowError::Missing(column))?;
        T::from_value(value).ok_or(RowError::Type { column, expected: T::NAME })
    }

    /// The value of a column, turned into another type.
    ///
    /// # Errors
    /// As [`Row::get`], or `turn` refuses it.
    pub fn try_get<T: FromValue, U, E>(
        &self,
        column: &'static str,
        turn: impl FnOnce(T) -> Result<U, E>,
    ) -> Result<U, RowError> {
        turn(self.get(column)?).map_err(|_error| RowError::Type { column, expected: std::any::type_name::<U>() })
    }
}

/// A row does not fit the type that it was read into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The statement does not return such a column.
    #[error("the answer has no column `{0}`")]
    Missing(&'static str),
    /// The column holds something else.
    #[error("the column `{column}` does not hold a value of type {expected}")]
    Type {
        /// The column.
        column: &'static str,
        /// What was expected.
        expected: &'static str,
    },
}

/// A type that is read from a row.
pub trait FromRow: Sized {
    /// Read it.
    ///
    /// # Errors
    /// A column is missing, or holds another type.
    fn from_row(row: &Row<'_>) -> Result<Self, RowError>;
}

/// A type that is read from a value.
pub trait FromValue: Sized {
    /// What is expected, for the log.
    const NAME: &'static str;

    /// Read it; none where it is something else.
    fn from_value(value: &Value) -> Option<Self>;
}

/// A type that can be a parameter.
pub trait IntoValue {
    /// Its value.
    fn into_value(self) -> Value;
}

macro_rules! value {
    ($type:ty, $name:literal, $pattern:pat => $read:expr, $this:ident => $write:expr) => {
        impl FromValue for $type {
            const NAME: &'static str = $name;

            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $pattern => $read,
                    _ => None,
                }
            }
        }

        impl IntoValue for $type {
            fn into_value(self) -> Value {
                let $this = self;
                $write
            }
        }
    };
}

value!(String, "text", Value::Text(text) => Some(text.clone()), this => Value::Text(this));
value!(i64, "integer", Value::Integer(number) => Some(*number), this => Value::Integer(this));
value!(Vec<u8>, "blob", Value::Blob(bytes) => Some(bytes.clone()), this => Value::Blob(this));
// Times are stored as milliseconds, which every backend compares and indexes alike.
value!(Timestamp, "time in milliseconds", Value::Integer(ms) => time::from_millis(*ms).ok(),
    this => Value::Integer(time::to_millis(this)));

// SQLite has no booleans: it gives back the integers 0 and 1.
impl FromValue for bool {
    const NAME: &'static str = "boolean";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Boolean(truth) => Some(*truth),
            Value::Integer(0) => Some(false),
            Value::Integer(1) => Some(true),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const NAME: &'static str = T::NAME;

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            present => T::from_value(present).map(Some),
        }
    }
}

impl IntoValue for bool {
    fn into_value(self) -> Value {
        Value::Boolean(self)
    }
}

impl IntoValue for &str {
    fn into_value(self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl IntoValue for &[u8] {
    fn into_value(self) -> Value {
        Value::Blob(self.to_vec())
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Value {
        self.map_or(Value::Null, IntoValue::into_value)
    }
}

impl FromRow for String {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        single(row)
    }
}

impl FromRow for i64 {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        single(row)
    }
}

fn single<T: FromValue>(row: &Row<'_>) -> Result<T, RowError> {
    let value = row.values.first().ok_or(RowError::Missing("(first)"))?;
    T::from_value(value).ok_or(RowError::Type { column: "(first)", expected: T::NAME })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Person {
        name: String,
        born: Option<Timestamp>,
        active: bool,
    }

    impl FromRow for Person {
        fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
            Ok(Self { name: row.get("name")?, born: row.get("born")?, active: row.get("active")? })
        }
    }

    fn rows(columns: &[&str], values: Vec<Value>) -> Rows {
        let columns = columns.iter().map(ToString::to_string).collect();
        Rows::new(host::RowSet { columns, rows: vec![values], affected: 0 })
    }

    #[test]
    fn a_row_is_read_by_column_name() {
        let set = rows(&["active", "name", "born"], vec![Value::Integer(1), Value::Text("Ada".into()), Value::Null]);
        let people: Vec<Person> = set.read().unwrap();
        assert_eq!(people, [Person { name: "Ada".into(), born: None, active: true }]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let set = rows(&["name"], vec![Value::Integer(3)]);
        assert_eq!(set.read::<Person>().unwrap_err(), RowError::Type { column: "name", expected: "text" });
        let set = rows(&["name"], vec![Value::Text("Ada".into())]);
        assert_eq!(set.read::<Person>().unwrap_err(), RowError::Missing("born"));
        let set = rows(&["n"], vec![Value::Integer(2)]);
        assert_eq!(set.read::<i64>().unwrap(), [2]);
        assert!(bool::from_value(&Value::Integer(2)).is_none());
    }

    #[test]
    fn times_are_milliseconds() {
        let time = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        assert_eq!(time.into_value(), Value::Integer(1_700_000_000_123));
        assert_eq!(Timestamp::from_value(&Value::Integer(1_700_000_000_123)), Some(time));
        assert_eq!(None::<String>.into_value(), Value::Null);
    }
}
