//! A disk that fails, below SQLite: what was not synced is lost with the process, as if the power had failed, and writes
//! may find no room. It stands between SQLite and its usual interface to files (VFS), for databases, their journals and
//! write-ahead logs; the shared memory of a log is left as it is, since SQLite makes it anew from the log.
//!
//! All unsynced writes are lost together, and none of the synced ones; a file that was made or deleted stays so. A sync
//! that is interrupted by death has stored a part.
#![expect(unsafe_code, reason = "a VFS of SQLite is a table of C functions")]

mod unsynced;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use libsqlite3_sys as sys;

use self::unsynced::{Store, Unsynced as HeldBack};
use super::vfs::{self, Real, below};
use crate::failpoint::{self, Point};

/// What becomes of unsynced writes when the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsynced {
    /// They are with the system, and survive.
    Kept,
    /// They are lost.
    Lost,
}

/// For which databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// All that are opened from now on.
    ByDefault,
    /// Those that ask for [`NAME`].
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests name it"))]
    ByName,
}

/// How SQLite calls this disk.
const NAME: &CStr = c"chassis-faulty";

/// The files that are held back: those whose loss or half is what durability is about.
const DURABLE: c_int = sys::SQLITE_OPEN_MAIN_DB | sys::SQLITE_OPEN_MAIN_JOURNAL | sys::SQLITE_OPEN_WAL;

/// What is held back, by path. It outlives the connections, as the page cache would.
static HELD_BACK: OnceLock<Mutex<HashMap<Vec<u8>, Held>>> = OnceLock::new();

type Held = Arc<Mutex<HeldBack>>;

/// What is kept for an open file.
struct Faulty {
    is_database: bool,
    held: Option<Held>,
}

/// Make the disk known to SQLite. Before any database is opened; further calls change nothing.
pub(crate) fn install(unsynced: Unsynced, by: Use) -> Result<(), String> {
    static INSTALLED: OnceLock<c_int> = OnceLock::new();
    let code = *INSTALLED.get_or_init(|| register(unsynced, by));
    if code == sys::SQLITE_OK { Ok(()) } else { Err(format!("SQLite refuses the faulty disk (code {code})")) }
}

fn register(unsynced: Unsynced, by: Use) -> c_int {
    let real = real_vfs();
    if real.is_null() {
        return sys::SQLITE_ERROR;
    }
    // SAFETY: the usual VFS is there as long as the process is; the copy's functions get the copy, and those of the usual VFS look at nothing in it that differs.
    let mut vfs = unsafe { *real };
    vfs.zName = NAME.as_ptr();
    vfs.szOsFile = vfs.szOsFile.saturating_add(c_int::try_from(vfs::room::<Faulty>()).unwrap_or(c_int::MAX));
    vfs.pNext = ptr::null_mut();
    vfs.xOpen = Some(if unsynced == Unsynced::Lost { open_losing } else { open_keeping });
    vfs.xDelete = Some(delete);
    vfs.xAccess = Some(access);
    // SAFETY: the VFS is never freed, and all its functions are there.
    unsafe { sys::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), c_int::from(by == Use::ByDefault)) }
}

/// The VFS below, which SQLite registers by itself.
fn real_vfs() -> *mut sys::sqlite3_vfs {
    // SAFETY: the name ends in NUL.
    unsafe { sys::sqlite3_vfs_find(c"unix".as_ptr()) }
}

fn held_back() -> MutexGuard<'static, HashMap<Vec<u8>, Held>> {
    HELD_BACK.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock(held: &Held) -> MutexGuard<'_, HeldBack> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" fn open_losing(
    _vfs: *mut sys::sqlite3_vfs,
    name: *const c_char,
    file: *mut sys::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: passes on what SQLite gives for an open.
    unsafe { open(name, file, flags, out, Unsynced::Lost) }
}

unsafe extern "C" fn open_keeping(
    _vfs: *mut sys::sqlite3_vfs,
    name: *const c_char,
    file: *mut sys::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: passes on what SQLite gives for an open.
    unsafe { open(name, file, flags, out, Unsynced::Kept) }
}

/// # Safety
/// The arguments are those that SQLite gives for an open: `file` has the room that the VFS asks for.
unsafe fn open(
    name: *const c_char,
    file: *mut sys::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
    unsynced: Unsynced,
) -> c_int {
    let vfs = real_vfs();
    // SAFETY: the VFS is there as long as the process is, and gets what SQLite gives to ours.
    let call = |file| unsafe { (*vfs).xOpen.map_or(sys::SQLITE_CANTOPEN, |open| open(vfs, name, file, flags, out)) };
    if name.is_null() || flags & DURABLE == 0 {
        // A temporary file is nobody's loss: it is opened as if we were not there.
        return call(file);
    }
    // SAFETY: by the caller's promise there is room for both parts of a file.
    let real = unsafe { vfs::real::<Faulty>(file) };
    let code = call(real.file());
    if code != sys::SQLITE_OK {
        // SAFETY: as above.
        unsafe { vfs::not_opened(file) };
        return code;
    }
    // SAFETY: SQLite's names end in NUL.
    let path = unsafe { CStr::from_ptr(name) }.to_bytes();
    let held = match unsynced {
        Unsynced::Kept => None,
        Unsynced::Lost => match hold_back(path, &real) {
            Ok(held) => Some(held),
            Err(code) => {
                let _closed = below!(real, xClose);
                // SAFETY: as above.
                unsafe { vfs::not_opened(file) };
                return code;
            }
        },
    };
    let is_database = flags & sys::SQLITE_OPEN_MAIN_DB != 0;
    // SAFETY: as above; the file below is open.
    unsafe { vfs::opened(file, &METHODS, Faulty { is_database, held }) };
    sys::SQLITE_OK
}

/// What is held back of a file; nothing yet, where nobody has opened it before.
fn hold_back(path: &[u8], real: &Real) -> Result<Held, c_int> {
    let mut all = held_back();
    if let Some(held) = all.get(path) {
        return Ok(held.clone());
    }
    let held = Arc::new(Mutex::new(HeldBack::new(real.size()?)));
    all.insert(path.to_owned(), held.clone());
    Ok(held)
}

unsafe extern "C" fn delete(_vfs: *mut sys::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite's names end in NUL.
    held_back().remove(unsafe { CStr::from_ptr(name) }.to_bytes());
    let vfs = real_vfs();
    // SAFETY: the VFS is there as long as the process is, and gets what SQLite gives to ours.
    unsafe { (*vfs).xDelete.map_or(sys::SQLITE_IOERR, |delete| delete(vfs, name, sync)) }
}

/// A file that is empty for the system may be full for its readers, and SQLite asks whether it has content.
unsafe extern "C" fn access(_vfs: *mut sys::sqlite3_vfs, name: *const c_char, flags: c_int, out: *mut c_int) -> c_int {
    // SAFETY: SQLite's names end in NUL.
    let held = held_back().get(unsafe { CStr::from_ptr(name) }.to_bytes()).cloned();
    if let Some(held) = held
        && flags == sys::SQLITE_ACCESS_EXISTS
    {
        // SAFETY: SQLite gives a place for the answer.
        unsafe { *out = c_int::from(lock(&held).size() > 0) };
        return sys::SQLITE_OK;
    }
    let vfs = real_vfs();
    // SAFETY: the VFS is there as long as the process is, and gets what SQLite gives to ours.
    unsafe { (*vfs).xAccess.map_or(sys::SQLITE_IOERR, |access| access(vfs, name, flags, out)) }
}

static METHODS: sys::sqlite3_io_methods = sys::sqlite3_io_methods {
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    ..vfs::passing_on::<Faulty>()
};

unsafe extern "C" fn read(
    file: *mut sys::sqlite3_file,
    into: *mut c_void,
    amount: c_int,
    at: sys::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives a file that is open.
    let (ours, mut real) = unsafe { vfs::parts::<Faulty>(file) };
    let Some(held) = &ours.held else { return below!(real, xRead, into, amount, at) };
    // SAFETY: SQLite gives room for so many bytes.
    let into = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), usize::try_from(amount).unwrap_or(0)) };
    match lock(held).read(&mut real, at.unsigned_abs(), into) {
        Ok(there) if there == into.len() => sys::SQLITE_OK,
        Ok(_) => sys::SQLITE_IOERR_SHORT_READ,
        Err(code) => code,
    }
}

unsafe extern "C" fn write(
    file: *mut sys::sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: sys::sqlite3_int64,
) -> c_int {
    if failpoint::disk_is_full() {
        return sys::SQLITE_FULL;
    }
    // SAFETY: SQLite gives a file that is open.
    let (ours, mut real) = unsafe { vfs::parts::<Faulty>(file) };
    let Some(held) = &ours.held else { return below!(real, xWrite, from, amount, at) };
    // SAFETY: SQLite gives so many bytes.
    let from = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(amount).unwrap_or(0)) };
    code(lock(held).write(&mut real, at.unsigned_abs(), from))
}

unsafe extern "C" fn truncate(file: *mut sys::sqlite3_file, size: sys::sqlite3_int64) -> c_int {
    // SAFETY: SQLite gives a file that is open.
    let (ours, real) = unsafe { vfs::parts::<Faulty>(file) };
    let Some(held) = &ours.held else { return below!(real, xTruncate, size) };
    lock(held).truncate(size.unsigned_abs());
    sys::SQLITE_OK
}

/// A database in WAL mode is written, and so synced, by checkpoints alone.
unsafe extern "C" fn sync(file: *mut sys::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite gives a file that is open.
    let (ours, mut real) = unsafe { vfs::parts::<Faulty>(file) };
    let mut held = ours.held.as_ref().map(lock);
    if ours.is_database {
        if let Some(held) = &mut held {
            let half = held.len() / 2;
            if let Err(code) = held.write_back(&mut real, half) {
                return code;
            }
        }
        failpoint::pass(Point::Checkpoint);
    }
    if let Some(held) = &mut held
        && let Err(code) = held.write_back(&mut real, usize::MAX)
    {
        return code;
    }
    let code = below!(real, xSync, flags);
    if let Some(mut held) = held
        && code == sys::SQLITE_OK
    {
        held.synced();
    }
    code
}

unsafe extern "C" fn file_size(file: *mut sys::sqlite3_file, out: *mut sys::sqlite3_int64) -> c_int {
    // SAFETY: SQLite gives a file that is open.
    let (ours, real) = unsafe { vfs::parts::<Faulty>(file) };
    let Some(held) = &ours.held else { return below!(real, xFileSize, out) };
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = signed(lock(held).size()) };
    sys::SQLITE_OK
}

impl Real {
    fn size(&self) -> Result<u64, c_int> {
        let mut size = 0;
        result(below!(*self, xFileSize, &raw mut size)).map(|()| size.unsigned_abs())
    }
}

impl Store for Real {
    type Error = c_int;

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), c_int> {
        let length = amount(into.len());
        result(below!(*self, xRead, into.as_mut_ptr().cast(), length, signed(at)))
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), c_int> {
        let length = amount(bytes.len());
        result(below!(*self, xWrite, bytes.as_ptr().cast(), length, signed(at)))
    }

    fn truncate(&mut self, size: u64) -> Result<(), c_int> {
        result(below!(*self, xTruncate, signed(size)))
    }
}

const fn result(code: c_int) -> Result<(), c_int> {
    if code == sys::SQLITE_OK { Ok(()) } else { Err(code) }
}

fn code(result: Result<(), c_int>) -> c_int {
    result.err().unwrap_or(sys::SQLITE_OK)
}

fn signed(offset: u64) -> sys::sqlite3_int64 {
    sys::sqlite3_int64::try_from(offset).unwrap_or(sys::sqlite3_int64::MAX)
}

fn amount(length: usize) -> c_int {
    c_int::try_from(length).unwrap_or(c_int::MAX)
}
