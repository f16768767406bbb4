//! Bounds of statements and answers: the defaults of Chassis, since Spin has no place to set others.

use crate::bindings::sql::{Error, Statement, Value};

/// Rows of all answers of one query or batch.
pub const ROWS_MAX: u64 = 10_000;

/// Bytes of all answers of one query or batch.
pub const RESULT_BYTES_MAX: u64 = 16 << 20;

/// Steps of one batch.
pub const STEPS_MAX: usize = 128;

/// Parameters of one statement.
pub const PARAMS_MAX: usize = 500;

/// Bytes of one statement with its parameters.
pub const STATEMENT_BYTES_MAX: u64 = 1 << 20;

/// Bytes that are counted for a value beside those of its text.
const VALUE_BYTES: u64 = 8;

/// What answers may still hold.
#[derive(Debug)]
pub struct Budget {
    rows: u64,
    bytes: u64,
}

impl Budget {
    /// The budget of one query or batch.
    pub fn full() -> Self {
        Self { rows: ROWS_MAX, bytes: RESULT_BYTES_MAX }
    }

    /// Take a row, whose values hold so many bytes each.
    ///
    /// # Errors
    /// `too-large`.
    pub fn take_row(&mut self, values: impl Iterator<Item = usize>) -> Result<(), Error> {
        let too_many = || Error::TooLarge(format!("the answer has more than {ROWS_MAX} rows"));
        let too_long = || Error::TooLarge(format!("the answer has more than {RESULT_BYTES_MAX} bytes"));
        self.rows = self.rows.checked_sub(1).ok_or_else(too_many)?;
        for bytes in values {
            self.bytes = self.bytes.checked_sub((bytes as u64).saturating_add(VALUE_BYTES)).ok_or_else(too_long)?;
        }
        Ok(())
    }
}

/// What can be refused without a look at the words.
///
/// # Errors
/// `too-large` or `syntax`.
pub fn check_statement(statement: &Statement) -> Result<(), Error> {
    if statement.params.len() > PARAMS_MAX {
        return Err(Error::TooLarge(format!("a statement has at most {PARAMS_MAX} parameters")));
    }
    let bytes = statement.params.iter().map(value_bytes).fold(statement.text.len() as u64, u64::saturating_add);
    if bytes > STATEMENT_BYTES_MAX {
        return Err(Error::TooLarge(format!(
            "a statement with its parameters has at most {STATEMENT_BYTES_MAX} bytes"
        )));
    }
    if statement.text.contains('\0') {
        return Err(Error::Syntax("the text holds a NUL character".to_owned()));
    }
    let not_a_number = |value: &Value| matches!(value, Value::Real(real) if real.is_nan());
    match statement.params.iter().position(not_a_number) {
        Some(index) => Err(Error::Syntax(format!("${} is not a number, which cannot be stored", index + 1))),
        None => Ok(()),
    }
}

fn value_bytes(value: &Value) -> u64 {
    match value {
        Value::Text(text) => text.len() as u64,
        Value::Blob(blob) => blob.len() as u64,
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Real(_) => VALUE_BYTES,
    }
}
