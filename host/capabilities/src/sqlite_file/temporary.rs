//! Temporary files of SQLite: what sorts, `distinct`, recursion and savepoints do not hold in memory. SQLite sets them no
//! bound, and does not look at the deadline while it merges what it has sorted. Here they are counted together for each
//! database, by an interface to files (VFS) that stands before the usual one, and what is beyond the bound is refused. All
//! other files are opened as if it were not there.
#![expect(unsafe_code, reason = "a VFS of SQLite is a table of C functions")]

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use libsqlite3_sys as sys;

use super::vfs::{self, below};

/// The extended result code of a temporary file that would be too large; its primary code is that of a full disk.
pub(crate) const FULL_TEMPORARY: c_int = sys::SQLITE_FULL | (0x7f << 8);

/// The files that are counted. None of them has a name that anybody knows.
const TEMPORARY: c_int = sys::SQLITE_OPEN_TEMP_DB
    | sys::SQLITE_OPEN_TEMP_JOURNAL
    | sys::SQLITE_OPEN_TRANSIENT_DB
    | sys::SQLITE_OPEN_SUBJOURNAL;

/// One for each database file, for as long as the process is: SQLite may use one until the last connection is closed, and
/// does not say when that is.
static ALL: OnceLock<Mutex<HashMap<PathBuf, TemporaryFiles>>> = OnceLock::new();

/// The temporary files of one database.
#[derive(Debug, Clone)]
pub(crate) struct TemporaryFiles {
    vfs: Arc<str>,
    budget: Arc<Budget>,
}

/// Bytes of temporary files that are there, and that may be.
#[derive(Debug)]
struct Budget {
    used: AtomicU64,
    most: AtomicU64,
}

impl TemporaryFiles {
    /// Those of a database, bounded from now on.
    pub(crate) fn of(database: &Path, bytes: u64) -> Result<Self, String> {
        let mut all = ALL.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let files = match all.get(database) {
            Some(files) => files.clone(),
            None => {
                let files = Self::register(all.len())?;
                all.insert(database.to_owned(), files.clone());
                files
            }
        };
        files.limit(bytes);
        Ok(files)
    }

    /// Under which name SQLite knows the interface to them.
    pub(crate) fn vfs(&self) -> &str {
        &self.vfs
    }

    /// Let them not grow beyond so many bytes from now on.
    pub(crate) fn limit(&self, bytes: u64) {
        self.budget.most.store(bytes, Ordering::SeqCst);
    }

    fn register(number: usize) -> Result<Self, String> {
        let (vfs, budget) = (format!("chassis-{number}"), Arc::new(Budget { used: 0.into(), most: 0.into() }));
        let name = CString::new(vfs.as_str()).map_err(|error| error.to_string())?;
        // SAFETY: null asks for the usual VFS.
        let below = unsafe { sys::sqlite3_vfs_find(ptr::null()) };
        if below.is_null() {
            return Err("SQLite has no interface to files".to_owned());
        }
        // SAFETY: the usual VFS is there as long as the process is; the copy's functions get the copy, and those of the
        // usual VFS look at nothing in it that differs.
        let mut base = unsafe { *below };
        base.zName = name.into_raw();
        base.szOsFile = base.szOsFile.saturating_add(c_int::try_from(vfs::room::<Counted>()).unwrap_or(c_int::MAX));
        base.pNext = ptr::null_mut();
        base.xOpen = Some(open);
        let counting = Box::new(Counting { base, below, budget: Arc::clone(&budget) });
        // SAFETY: the VFS is never freed, and all its functions are there. It does not become the usual one.
        let code = unsafe { sys::sqlite3_vfs_register(Box::into_raw(counting).cast(), 0) };
        if code == sys::SQLITE_OK {
            return Ok(Self { vfs: vfs.into(), budget });
        }
        Err(format!("SQLite refuses an interface to temporary files (code {code})"))
    }
}

impl Budget {
    /// Whether there was room for so many bytes more, which now is taken.
    fn take(&self, bytes: u64) -> bool {
        let most = self.most.load(Ordering::SeqCst);
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= most);
        bytes == 0 || self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
    }
}

/// The interface as SQLite knows it: it sees the first member.
#[repr(C)]
struct Counting {
    base: sys::sqlite3_vfs,
    below: *mut sys::sqlite3_vfs,
    budget: Arc<Budget>,
}

/// What is kept for an open temporary file.
struct Counted {
    budget: Arc<Budget>,
    size: Cell<u64>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.budget.give_back(self.size.get());
    }
}

static METHODS: sys::sqlite3_io_methods =
    sys::sqlite3_io_methods { xWrite: Some(write), xTruncate: Some(truncate), ..vfs::passing_on::<Counted>() };

unsafe extern "C" fn open(
    vfs: *mut sys::sqlite3_vfs,
    name: *const c_char,
    file: *mut sys::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives the VFS that it was given by `register`, which is never freed.
    let (below, budget) = unsafe { ((*vfs.cast::<Counting>()).below, &(*vfs.cast::<Counting>()).budget) };
    // SAFETY: the VFS below is there as long as the process is, and gets what SQLite gives to ours.
    let call =
        |file| unsafe { (*below).xOpen.map_or(sys::SQLITE_CANTOPEN, |open| open(below, name, file, flags, out)) };
    if flags & TEMPORARY == 0 {
        return call(file);
    }
    // SAFETY: SQLite gives the room that the VFS asks for.
    let code = call(unsafe { vfs::real::<Counted>(file) }.file());
    // SAFETY: as above; where the code is good the file below is open.
    unsafe {
        if code == sys::SQLITE_OK {
            vfs::opened(file, &METHODS, Counted { budget: Arc::clone(budget), size: Cell::new(0) });
        } else {
            vfs::not_opened(file);
        }
    }
    code
}

unsafe extern "C" fn write(
    file: *mut sys::sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: sys::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives a file that is open.
    let (ours, real) = unsafe { vfs::parts::<Counted>(file) };
    let end = at.unsigned_abs().saturating_add(u64::from(amount.unsigned_abs()));
    let more = end.saturating_sub(ours.size.get());
    if !ours.budget.take(more) {
        return FULL_TEMPORARY;
    }
    // Also where it fails: something of it may have been written.
    ours.size.set(ours.size.get().saturating_add(more));
    below!(real, xWrite, from, amount, at)
}

unsafe extern "C" fn truncate(file: *mut sys::sqlite3_file, size: sys::sqlite3_int64) -> c_int {
    // SAFETY: SQLite gives a file that is open.
    let (ours, real) = unsafe { vfs::parts::<Counted>(file) };
    let code = below!(real, xTruncate, size);
    let less = ours.size.get().saturating_sub(size.unsigned_abs());
    if code == sys::SQLITE_OK && less > 0 {
        ours.size.set(size.unsigned_abs());
        ours.budget.give_back(less);
    }
    code
}
