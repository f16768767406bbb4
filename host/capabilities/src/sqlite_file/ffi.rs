//! The calls into SQLite for which the driver has no interface. All `unsafe` of this crate is here, but for the interfaces
//! to files (`vfs`).
#![expect(unsafe_code, reason = "SQLite's authorizer, limits and statement inspection are C functions")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use libsqlite3_sys as sys;
use sqlx::sqlite::LockedSqliteHandle;

use super::fence::Fence;
use super::functions::{Answer, Argument, Call, Entry, FUNCTIONS};
use super::rules::{self, Action};

pub(crate) const AUTH: i32 = sys::SQLITE_AUTH;
pub(crate) const BUSY: i32 = sys::SQLITE_BUSY;
pub(crate) const CANTOPEN: i32 = sys::SQLITE_CANTOPEN;
pub(crate) const CONSTRAINT: i32 = sys::SQLITE_CONSTRAINT;
pub(crate) const CORRUPT: i32 = sys::SQLITE_CORRUPT;
pub(crate) const ERROR: i32 = sys::SQLITE_ERROR;
pub(crate) const FULL: i32 = sys::SQLITE_FULL;
pub(crate) const INTERRUPT: i32 = sys::SQLITE_INTERRUPT;
pub(crate) const IOERR: i32 = sys::SQLITE_IOERR;
pub(crate) const LOCKED: i32 = sys::SQLITE_LOCKED;
pub(crate) const MISMATCH: i32 = sys::SQLITE_MISMATCH;
pub(crate) const NOMEM: i32 = sys::SQLITE_NOMEM;
pub(crate) const NOTADB: i32 = sys::SQLITE_NOTADB;
pub(crate) const RANGE: i32 = sys::SQLITE_RANGE;
pub(crate) const READONLY: i32 = sys::SQLITE_READONLY;
pub(crate) const TOOBIG: i32 = sys::SQLITE_TOOBIG;

pub(crate) const CONSTRAINT_CHECK: i32 = sys::SQLITE_CONSTRAINT_CHECK;
pub(crate) const CONSTRAINT_DATATYPE: i32 = sys::SQLITE_CONSTRAINT_DATATYPE;
pub(crate) const CONSTRAINT_FOREIGNKEY: i32 = sys::SQLITE_CONSTRAINT_FOREIGNKEY;
pub(crate) const CONSTRAINT_NOTNULL: i32 = sys::SQLITE_CONSTRAINT_NOTNULL;
pub(crate) const CONSTRAINT_PRIMARYKEY: i32 = sys::SQLITE_CONSTRAINT_PRIMARYKEY;
pub(crate) const CONSTRAINT_ROWID: i32 = sys::SQLITE_CONSTRAINT_ROWID;
pub(crate) const CONSTRAINT_TRIGGER: i32 = sys::SQLITE_CONSTRAINT_TRIGGER;
pub(crate) const CONSTRAINT_UNIQUE: i32 = sys::SQLITE_CONSTRAINT_UNIQUE;

/// Bounds that SQLite itself keeps on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of one value and of one row.
    pub(crate) value_bytes: i32,
    /// Bytes of one text.
    pub(crate) text_bytes: i32,
    /// Parameters of one statement.
    pub(crate) params: i32,
    /// Instructions of one compiled statement. Those of them that follow each other without a jump are not interrupted.
    pub(crate) instructions: i32,
}

/// Columns of a table, a result, an index or a `set` list.
const COLUMNS: i32 = 512;
/// Depth of an expression.
const EXPRESSION_DEPTH: i32 = 200;
/// Terms of a compound select.
const COMPOUND_TERMS: i32 = 100;
/// Arguments of a function.
const ARGUMENTS: i32 = 100;
/// Bytes of a pattern of `like` and `glob`.
const PATTERN_BYTES: i32 = 1000;
/// Depth of triggers that set off each other.
const TRIGGER_DEPTH: i32 = 32;

/// Under which a connection keeps its fence.
const FENCE: &CStr = c"chassis-fence";
/// The encoding of texts, as the calls that take a byte for it want it.
const UTF8: u8 = 1;

/// What a connection for guest SQL is and is not able to do, whatever the SQL says.
const SWITCHES: [(c_int, c_int); 9] = [
    (sys::SQLITE_DBCONFIG_DEFENSIVE, 1),
    (sys::SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0),
    (sys::SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
    (sys::SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
    (sys::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0),
    (sys::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, 0),
    (sys::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, 0),
    // `"word"` is a name and never a string, as everywhere else.
    (sys::SQLITE_DBCONFIG_DQS_DML, 0),
    (sys::SQLITE_DBCONFIG_DQS_DDL, 0),
];

/// An error code of SQLite and its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("(code: {code}) {message}")]
pub(crate) struct Refusal {
    pub(crate) code: i32,
    pub(crate) message: String,
}

/// Let a connection keep its fence, and note in it how long the write-ahead log is after each commit. SQLite's own hook,
/// which would copy the log into the database before a commit is answered, is replaced by it.
pub(crate) fn attach(handle: &mut LockedSqliteHandle<'_>, fence: &Arc<Fence>) -> Result<(), Refusal> {
    let db = handle.as_raw_handle();
    let data = Arc::into_raw(fence.clone()).cast_mut().cast::<c_void>();
    // SAFETY: the handle is locked, so the connection is open and no other thread uses it. SQLite now owns one count of
    // the Arc and gives it to `forget_fence` once, when the connection is closed, or at once if this call fails.
    let code = unsafe { sys::sqlite3_set_clientdata(db.as_ptr(), FENCE.as_ptr(), data, Some(forget_fence)) };
    check(db, code)?;
    // SAFETY: as above; `data` lives as long as the connection. What is answered is the data of the hook before.
    unsafe { sys::sqlite3_wal_hook(db.as_ptr(), Some(committed), data) };
    Ok(())
}

/// Make a connection that has a fence fit for guest SQL: authorizer, limits, switches.
pub(crate) fn confine(handle: &mut LockedSqliteHandle<'_>, limits: &Limits, fence: &Arc<Fence>) -> Result<(), Refusal> {
    let db = handle.as_raw_handle();
    let values = [
        (sys::SQLITE_LIMIT_LENGTH, limits.value_bytes),
        (sys::SQLITE_LIMIT_SQL_LENGTH, limits.text_bytes),
        (sys::SQLITE_LIMIT_VARIABLE_NUMBER, limits.params),
        (sys::SQLITE_LIMIT_COLUMN, COLUMNS),
        (sys::SQLITE_LIMIT_EXPR_DEPTH, EXPRESSION_DEPTH),
        (sys::SQLITE_LIMIT_COMPOUND_SELECT, COMPOUND_TERMS),
        (sys::SQLITE_LIMIT_VDBE_OP, limits.instructions),
        (sys::SQLITE_LIMIT_FUNCTION_ARG, ARGUMENTS),
        (sys::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES),
        (sys::SQLITE_LIMIT_TRIGGER_DEPTH, TRIGGER_DEPTH),
        (sys::SQLITE_LIMIT_ATTACHED, 0),
        (sys::SQLITE_LIMIT_WORKER_THREADS, 0),
    ];
    for (limit, value) in values {
        // SAFETY: the handle is locked, so the connection is open and no other thread uses it.
        unsafe { sys::sqlite3_limit(db.as_ptr(), limit, value) };
    }
    for (switch, state) in SWITCHES {
        // SAFETY: as above; each of these switches takes an int and a pointer to an int, which may be null.
        let code = unsafe { sys::sqlite3_db_config(db.as_ptr(), switch, state, ptr::null_mut::<c_int>()) };
        check(db, code)?;
    }
    let data = Arc::as_ptr(fence).cast_mut().cast::<c_void>();
    // SAFETY: as above; by `attach` the fence lives as long as the connection.
    let code = unsafe { sys::sqlite3_set_authorizer(db.as_ptr(), Some(authorize), data) };
    check(db, code)?;
    FUNCTIONS.iter().try_for_each(|entry| replace_function(db, entry))
}

/// Put a function in the place of SQLite's own.
fn replace_function(db: NonNull<sys::sqlite3>, entry: &'static Entry) -> Result<(), Refusal> {
    let flags = sys::SQLITE_UTF8 | sys::SQLITE_DETERMINISTIC | sys::SQLITE_INNOCUOUS;
    let data = ptr::from_ref(entry).cast_mut().cast::<c_void>();
    let name = entry.name.as_ptr();
    // SAFETY: the caller holds the connection locked; name and entry are static, and `call` only reads the entry.
    let code = unsafe {
        let (step, last, destroy) = (None, None, None);
        sys::sqlite3_create_function_v2(
            db.as_ptr(),
            name,
            entry.arguments,
            flags,
            data,
            Some(call),
            step,
            last,
            destroy,
        )
    };
    check(db, code)
}

/// SQLite calls a function of ours.
unsafe extern "C" fn call(context: *mut sys::sqlite3_context, count: c_int, values: *mut *mut sys::sqlite3_value) {
    // SAFETY: SQLite passes the entry given to `replace_function`, and as many values as it says. They live as long as
    // this call, and each is read once. The fence is that of `attach`, which lives as long as the connection.
    let (entry, fence, longest, arguments) = unsafe {
        let entry = &*sys::sqlite3_user_data(context).cast_const().cast::<Entry>();
        let db = sys::sqlite3_context_db_handle(context);
        let fence = sys::sqlite3_get_clientdata(db, FENCE.as_ptr()).cast_const().cast::<Fence>().as_ref();
        let longest = sys::sqlite3_limit(db, sys::SQLITE_LIMIT_LENGTH, -1);
        let values = std::slice::from_raw_parts(values, usize::try_from(count).unwrap_or(0));
        let arguments: Vec<_> = values.iter().map(|value| argument(*value)).collect();
        (entry, fence, longest, arguments)
    };
    let expired = || fence.is_some_and(Fence::expired);
    let answer = if expired() {
        Answer::Interrupted
    } else {
        let longest = usize::try_from(longest).unwrap_or(0);
        (entry.function)(&arguments, &Call { longest, longest_pattern: PATTERN_BYTES as usize, expired: &expired })
    };
    // SAFETY: the context is that of this call; SQLite copies the bytes before this returns.
    unsafe {
        match answer {
            Answer::Null => sys::sqlite3_result_null(context),
            Answer::Integer(number) => sys::sqlite3_result_int64(context, number),
            Answer::TooLong => sys::sqlite3_result_error_toobig(context),
            Answer::Wrong(words) => {
                let length = c_int::try_from(words.len()).unwrap_or(0);
                sys::sqlite3_result_error(context, words.as_ptr().cast::<c_char>(), length);
            }
            Answer::Interrupted => sys::sqlite3_result_error_code(context, INTERRUPT),
            Answer::Text(bytes) => {
                let (start, length) = (bytes.as_ptr().cast::<c_char>(), bytes.len() as u64);
                sys::sqlite3_result_text64(context, start, length, sys::SQLITE_TRANSIENT(), UTF8);
            }
        }
    }
}

/// # Safety
/// `value` is an argument of a function that is being called, and is not read otherwise while the answer is used.
unsafe fn argument<'a>(value: *mut sys::sqlite3_value) -> Argument<'a> {
    // SAFETY: by the caller's promise; the length is asked for after the bytes, as SQLite wants it.
    unsafe {
        let kind = sys::sqlite3_value_type(value);
        let start = match kind {
            sys::SQLITE_NULL => return Argument::Null,
            sys::SQLITE_BLOB => sys::sqlite3_value_blob(value).cast::<u8>(),
            _ => sys::sqlite3_value_text(value),
        };
        let length = usize::try_from(sys::sqlite3_value_bytes(value)).unwrap_or(0);
        let bytes = if start.is_null() { &[] } else { std::slice::from_raw_parts(start, length) };
        if kind == sys::SQLITE_BLOB { Argument::Blob(bytes) } else { Argument::Text(bytes) }
    }
}

/// Whether references are violated that must hold at the commit.
pub(crate) fn has_open_references(handle: &mut LockedSqliteHandle<'_>) -> Result<bool, Refusal> {
    let db = handle.as_raw_handle();
    let (mut open, mut high) = (0, 0);
    // SAFETY: the handle is locked, so the connection is open and no other thread uses it; both pointers are valid.
    let code = unsafe {
        sys::sqlite3_db_status(db.as_ptr(), sys::SQLITE_DBSTATUS_DEFERRED_FKS, &raw mut open, &raw mut high, 0)
    };
    check(db, code)?;
    Ok(open != 0)
}

/// What the compiler knows of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// Whether it changes nothing.
    pub(crate) read_only: bool,
    /// Whether it is an `explain`.
    pub(crate) explains: bool,
    /// Whether it reads or writes rows at all.
    pub(crate) touches_rows: bool,
    /// Functions in it, by place: what it does between two looks at the deadline grows with their number.
    pub(crate) functions: u32,
    /// Whether another statement follows it.
    pub(crate) has_more: bool,
    /// Names of the parameters, by first appearance; none for `?`.
    pub(crate) params: Vec<Option<String>>,
    /// Names of the columns.
    pub(crate) columns: Vec<String>,
}

/// Compile a text and look at it, without running it. None: it holds no statement.
///
/// Compiling takes time, bounded by the fence's deadline: not to be called on a thread of the async runtime.
pub(crate) fn inspect(
    handle: &mut LockedSqliteHandle<'_>,
    fence: &Fence,
    text: &str,
) -> Result<Option<Inspection>, Refusal> {
    let db = handle.as_raw_handle();
    fence.take_touched();
    fence.take_functions();
    let mut rest = text;
    while !rest.is_empty() {
        let (statement, tail) = prepare(db, rest)?;
        if let Some(statement) = statement {
            let mut inspection = statement.describe(fence);
            inspection.has_more = !is_blank(db, tail);
            return Ok(Some(inspection));
        }
        if tail.len() >= rest.len() {
            break;
        }
        rest = tail;
    }
    Ok(None)
}

/// Whether a text holds nothing but white space, comments and semicolons.
fn is_blank(db: NonNull<sys::sqlite3>, text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        match prepare(db, rest) {
            Ok((None, tail)) if tail.len() < rest.len() => rest = tail,
            _ => return false,
        }
    }
    true
}

struct Prepared(NonNull<sys::sqlite3_stmt>);

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: the statement was made by `prepare` and is finalized only here. The connection is still locked:
        // `Prepared` does not leave `inspect`.
        unsafe { sys::sqlite3_finalize(self.0.as_ptr()) };
    }
}

impl Prepared {
    fn describe(&self, fence: &Fence) -> Inspection {
        let statement = self.0.as_ptr();
        // SAFETY (all calls below): the statement is alive, and its connection locked; indexes are within the counts,
        // and SQLite answers names that are null or end in NUL and stay valid until the statement is finalized.
        let count = unsafe { sys::sqlite3_bind_parameter_count(statement) };
        let params = (1..=count)
            // SAFETY: see above.
            .map(|index| unsafe { text_at(sys::sqlite3_bind_parameter_name(statement, index)) }.map(str::to_owned))
            .collect();
        // SAFETY: see above.
        let count = unsafe { sys::sqlite3_column_count(statement) };
        let columns = (0..count)
            // SAFETY: see above.
            .map(|index| unsafe { text_at(sys::sqlite3_column_name(statement, index)) }.unwrap_or_default().to_owned())
            .collect();
        Inspection {
            // SAFETY: see above.
            read_only: unsafe { sys::sqlite3_stmt_readonly(statement) } != 0,
            // SAFETY: see above.
            explains: unsafe { sys::sqlite3_stmt_isexplain(statement) } != 0,
            touches_rows: fence.take_touched(),
            functions: fence.take_functions(),
            has_more: false,
            params,
            columns,
        }
    }
}

/// Compile the first statement of a text; also answers with what follows it.
fn prepare(db: NonNull<sys::sqlite3>, text: &str) -> Result<(Option<Prepared>, &str), Refusal> {
    let too_long = |_| Refusal { code: TOOBIG, message: "the text is too long".to_owned() };
    let length = c_int::try_from(text.len()).map_err(too_long)?;
    let (mut statement, mut tail) = (ptr::null_mut(), ptr::null());
    let start = text.as_ptr().cast::<c_char>();
    // SAFETY: the caller holds the connection locked; `start` is valid for `length` bytes, the out-pointers are valid.
    let code = unsafe { sys::sqlite3_prepare_v3(db.as_ptr(), start, length, 0, &raw mut statement, &raw mut tail) };
    check(db, code)?;
    let used = (tail as usize).saturating_sub(start as usize);
    let rest = text.get(used..).unwrap_or_default();
    Ok((NonNull::new(statement).map(Prepared), rest))
}

fn check(db: NonNull<sys::sqlite3>, code: c_int) -> Result<(), Refusal> {
    if code == sys::SQLITE_OK {
        return Ok(());
    }
    // SAFETY: the caller holds the connection locked; the message ends in NUL and is copied before the next call.
    let message = unsafe { text_at(sys::sqlite3_errmsg(db.as_ptr())) }.unwrap_or("no message").to_owned();
    Err(Refusal { code, message })
}

/// A string of SQLite's; none where it is null.
///
/// # Safety
/// `text` is null, or ends in NUL and outlives the use of what is answered.
unsafe fn text_at<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: by the caller's promise.
    Some(unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("\u{fffd}"))
}

/// SQLite's compiler asks leave for an action.
unsafe extern "C" fn authorize(
    data: *mut c_void,
    code: c_int,
    first: *const c_char,
    second: *const c_char,
    _database: *const c_char,
    _cause: *const c_char,
) -> c_int {
    // SAFETY: `data` is the fence that `attach` gave to the connection, which owns a count of it.
    let fence = unsafe { &*data.cast::<Fence>() };
    // SAFETY: SQLite passes null or strings that live as long as this call.
    let (first, second) = unsafe { (text_at(first).unwrap_or_default(), text_at(second).unwrap_or_default()) };
    let action = Action { code, first, second };
    if rules::touches_rows(action) {
        fence.touch();
    }
    if code == sys::SQLITE_FUNCTION {
        fence.count_function();
    }
    if rules::permits(fence.mode(), action) { sys::SQLITE_OK } else { sys::SQLITE_DENY }
}

/// A transaction was committed.
unsafe extern "C" fn committed(
    data: *mut c_void,
    _db: *mut sys::sqlite3,
    _database: *const c_char,
    pages: c_int,
) -> c_int {
    // SAFETY: `data` is the fence that `attach` gave to the connection, which owns a count of it.
    unsafe { &*data.cast::<Fence>() }.note_log(pages.unsigned_abs());
    sys::SQLITE_OK
}

/// The connection is closed.
unsafe extern "C" fn forget_fence(data: *mut c_void) {
    // SAFETY: `data` came from `Arc::into_raw` in `attach`, and SQLite calls this once.
    drop(unsafe { Arc::from_raw(data.cast_const().cast::<Fence>()) });
}
