//! What interfaces to files (VFS) of our own have in common. They stand between SQLite and the one below: the memory of a
//! file begins with their part, behind which follows the file of the one below. What they do not care for is passed on.
#![expect(unsafe_code, reason = "a VFS of SQLite is a table of C functions")]

use std::ffi::{c_int, c_void};
use std::ptr;

use libsqlite3_sys as sys;

/// The alignment of what SQLite allocates.
const ALIGNMENT: usize = 8;

/// An open file. SQLite sees the first member; the real file follows behind the last one.
#[repr(C)]
struct File<T> {
    base: sys::sqlite3_file,
    own: T,
}

/// The file below, while it is open.
pub(super) struct Real(*mut sys::sqlite3_file);

/// Call a method of the file below, with the file as the first argument.
macro_rules! below {
    ($real:expr, $method:ident $(, $argument:expr)*) => {{
        let real: &$crate::sqlite_file::vfs::Real = &$real;
        // SAFETY: the file is open, so that its methods are there; the arguments are ours or passed on.
        unsafe { (*(*real.file()).pMethods).$method.map_or(libsqlite3_sys::SQLITE_IOERR, |method| method(real.file() $(, $argument)*)) }
    }};
}
pub(super) use below;

impl Real {
    pub(super) const fn file(&self) -> *mut sys::sqlite3_file {
        self.0
    }
}

/// Bytes that a file needs before the real one, where a VFS keeps a `T` for it.
pub(super) const fn room<T>() -> usize {
    size_of::<File<T>>().next_multiple_of(ALIGNMENT)
}

/// The place of the file below.
///
/// # Safety
/// `file` is memory for a file of a VFS that keeps a `T`.
pub(super) unsafe fn real<T>(file: *mut sys::sqlite3_file) -> Real {
    // SAFETY: by the caller's promise; the sum is within the memory.
    Real(unsafe { file.byte_add(room::<T>()) })
}

/// Say that a file is open, the one below being open already.
///
/// # Safety
/// As for [`real`].
pub(super) unsafe fn opened<T>(file: *mut sys::sqlite3_file, methods: &'static sys::sqlite3_io_methods, own: T) {
    // SAFETY: by the caller's promise there is room; what is overwritten is not initialised.
    unsafe { file.cast::<File<T>>().write(File { base: sys::sqlite3_file { pMethods: methods }, own }) };
}

/// Say that a file is not open: SQLite does not close one without methods.
///
/// # Safety
/// As for [`real`].
pub(super) unsafe fn not_opened(file: *mut sys::sqlite3_file) {
    // SAFETY: by the caller's promise.
    unsafe { (*file).pMethods = ptr::null() };
}

/// Both parts of a file.
///
/// # Safety
/// `file` was opened by a VFS that keeps a `T`, and is not yet closed. SQLite uses a file from one thread at a time.
pub(super) unsafe fn parts<'a, T>(file: *mut sys::sqlite3_file) -> (&'a T, Real) {
    // SAFETY: by the caller's promise.
    unsafe { (&(*file.cast::<File<T>>()).own, real::<T>(file)) }
}

/// The methods of a file that does nothing by itself. Of version 2: without mapped files, which would be written behind
/// our back.
pub(super) const fn passing_on<T>() -> sys::sqlite3_io_methods {
    sys::sqlite3_io_methods {
        iVersion: 2,
        xClose: Some(close::<T>),
        xRead: Some(read::<T>),
        xWrite: Some(write::<T>),
        xTruncate: Some(truncate::<T>),
        xSync: Some(sync::<T>),
        xFileSize: Some(file_size::<T>),
        xLock: Some(take_lock::<T>),
        xUnlock: Some(give_lock::<T>),
        xCheckReservedLock: Some(check_lock::<T>),
        xFileControl: Some(control::<T>),
        xSectorSize: Some(sector_size::<T>),
        xDeviceCharacteristics: Some(characteristics::<T>),
        xShmMap: Some(map_memory::<T>),
        xShmLock: Some(lock_memory::<T>),
        xShmBarrier: Some(memory_barrier::<T>),
        xShmUnmap: Some(unmap_memory::<T>),
        xFetch: None,
        xUnfetch: None,
    }
}

macro_rules! pass_on {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*);)*) => {
        $(unsafe extern "C" fn $name<T>(file: *mut sys::sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: SQLite gives a file that is open.
            let (_, real) = unsafe { parts::<T>(file) };
            below!(real, $method $(, $argument)*)
        })*
    };
}

pass_on! {
    read = xRead(into: *mut c_void, amount: c_int, at: sys::sqlite3_int64);
    write = xWrite(from: *const c_void, amount: c_int, at: sys::sqlite3_int64);
    truncate = xTruncate(size: sys::sqlite3_int64);
    sync = xSync(flags: c_int);
    file_size = xFileSize(out: *mut sys::sqlite3_int64);
    take_lock = xLock(level: c_int);
    give_lock = xUnlock(level: c_int);
    check_lock = xCheckReservedLock(out: *mut c_int);
    control = xFileControl(operation: c_int, argument: *mut c_void);
    sector_size = xSectorSize();
    characteristics = xDeviceCharacteristics();
    map_memory = xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void);
    lock_memory = xShmLock(offset: c_int, count: c_int, flags: c_int);
    unmap_memory = xShmUnmap(delete: c_int);
}

unsafe extern "C" fn memory_barrier<T>(file: *mut sys::sqlite3_file) {
    // SAFETY: SQLite gives a file that is open.
    let (_, real) = unsafe { parts::<T>(file) };
    // SAFETY: the file is open, so that its methods are there.
    if let Some(barrier) = unsafe { (*(*real.file()).pMethods).xShmBarrier } {
        // SAFETY: as above.
        unsafe { barrier(real.file()) };
    }
}

unsafe extern "C" fn close<T>(file: *mut sys::sqlite3_file) -> c_int {
    // SAFETY: SQLite gives a file that is open.
    let (_, real) = unsafe { parts::<T>(file) };
    let code = below!(real, xClose);
    // SAFETY: `opened` has put it there, and SQLite closes a file once.
    unsafe { ptr::drop_in_place(file.cast::<File<T>>()) };
    code
}
