//! Connections to other servers through libpq, none of whose calls waits.
//!
//! postgres_fdw and dblink are not used for this, because both wait for a server without a limit at some place:
//! while it connects (PostgreSQL 16 to 18), while it sets the encoding (15), or at the local COMMIT. The library is
//! the one that postgres_fdw has loaded, so that the extension links to none.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;
use std::ffi::CString;

use nix::libc;
use pgrx::pg_sys;

use super::data_limit::DataLimit;

/// `PGconn` and `PGresult`.
type Handle = *mut c_void;

/// `PQconninfoOption` of libpq-fe.h.
#[repr(C)]
struct ConnectionOption {
    keyword: *const c_char,
    others: [*const c_char; 5],
    display_size: c_int,
}

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of libpq that are used, by their names.
        #[expect(non_snake_case, reason = "names of libpq")]
        #[derive(Clone, Copy)]
        pub(crate) struct Libpq {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Libpq {
            /// The library that is in this process; `None` if there is none.
            fn find() -> Option<Self> {
                // SAFETY: looks up names in a library that is loaded. The types are those of libpq-fe.h, which have
                // not changed since PostgreSQL 9.2.
                unsafe {
                    let library = libc::dlopen(c"libpq.so.5".as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_NOW);
                    if library.is_null() {
                        return None;
                    }
                    let find = |name: &str| {
                        let name = CString::new(name).ok()?;
                        let function = libc::dlsym(library, name.as_ptr());
                        (!function.is_null()).then_some(function)
                    };
                    Some(Self {
                        $($name: core::mem::transmute::<
                            *mut c_void,
                            unsafe extern "C" fn($($argument),*) $(-> $result)?,
                        >(find(stringify!($name))?),)*
                    })
                }
            }
        }
    };
}

functions! {
    PQclear: fn(Handle);
    PQconndefaults: fn() -> *mut ConnectionOption;
    PQconnectPoll: fn(Handle) -> c_int;
    PQconnectStartParams: fn(*const *const c_char, *const *const c_char, c_int) -> Handle;
    PQconnectionUsedPassword: fn(Handle) -> c_int;
    PQconninfoFree: fn(*mut ConnectionOption);
    PQconsumeInput: fn(Handle) -> c_int;
    PQerrorMessage: fn(Handle) -> *const c_char;
    PQfinish: fn(Handle);
    PQflush: fn(Handle) -> c_int;
    PQgetResult: fn(Handle) -> Handle;
    PQgetlength: fn(Handle, c_int, c_int) -> c_int;
    PQgetvalue: fn(Handle, c_int, c_int) -> *const u8;
    PQisBusy: fn(Handle) -> c_int;
    PQnfields: fn(Handle) -> c_int;
    PQresultErrorField: fn(Handle, c_int) -> *const c_char;
    PQresultStatus: fn(Handle) -> c_int;
    PQsendQuery: fn(Handle, *const c_char) -> c_int;
    PQsetNoticeReceiver: fn(Handle, extern "C" fn(*mut c_void, *const c_void), *mut c_void) -> *mut c_void;
    PQsetSingleRowMode: fn(Handle) -> c_int;
    PQsetnonblocking: fn(Handle, c_int) -> c_int;
    PQsocket: fn(Handle) -> c_int;
}

impl Libpq {
    /// Has the server load postgres_fdw, and libpq with it.
    pub(crate) fn load() -> Option<Self> {
        // SAFETY: the library of an extension that is installed.
        unsafe { pg_sys::load_file(c"$libdir/postgres_fdw".as_ptr(), false) };
        Self::find()
    }

    /// The names of the parameters of a connection; `None` if memory is short.
    pub(crate) fn parameters(&self) -> Option<Vec<CString>> {
        let mut names = Vec::new();
        // SAFETY: an array that ends in a NULL keyword, which is freed after its last use.
        unsafe {
            let options = (self.PQconndefaults)();
            if options.is_null() {
                return None;
            }
            let mut option = options;
            while !(*option).keyword.is_null() {
                names.push(CStr::from_ptr((*option).keyword).to_owned());
                option = option.add(1);
            }
            (self.PQconninfoFree)(options);
        }
        Some(names)
    }
}

/// For which event of its socket a connection waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wait {
    Read,
    ReadOrWrite,
    Write,
}

/// How far a connection is.
pub(crate) enum Progress {
    Done,
    Waits(Wait),
}

/// A row of a result in text form; NULL is empty.
pub(crate) type Cells = Vec<Vec<u8>>;

/// A connection, which is closed when dropped.
pub(crate) struct Connection {
    libpq: Libpq,
    handle: Handle,
    /// Given back after the connection is closed.
    _socket: CountedSocket,
}

impl Connection {
    /// Begins to connect. Looks up host names before it returns.
    pub(crate) fn start(
        libpq: Libpq,
        parameters: &[(CString, CString)],
        limit: &DataLimit,
    ) -> Result<Self, String> {
        let socket = CountedSocket::new().ok_or_else(|| "too many open files".to_owned())?;
        let with_end = |pointers: Vec<*const c_char>| [pointers, vec![ptr::null()]].concat();
        let names = with_end(parameters.iter().map(|(name, _)| name.as_ptr()).collect());
        let values = with_end(parameters.iter().map(|(_, value)| value.as_ptr()).collect());
        // SAFETY: two arrays of the same length that end in NULL; libpq copies them.
        let handle = limit.hold(|| unsafe {
            let handle = (libpq.PQconnectStartParams)(names.as_ptr(), values.as_ptr(), 0);
            if !handle.is_null() {
                (libpq.PQsetNoticeReceiver)(handle, ignore_notice, ptr::null_mut());
            }
            handle
        });
        if handle.is_null() {
            return Err("out of memory".to_owned());
        }
        let connection = Self { libpq, handle, _socket: socket };
        if connection.socket() < 0 {
            return Err(connection.error());
        }
        Ok(connection)
    }

    /// The socket; negative if there is none. It can change while the connection is made.
    pub(crate) fn socket(&self) -> c_int {
        // SAFETY: an open connection.
        unsafe { (self.libpq.PQsocket)(self.handle) }
    }

    /// Goes on connecting.
    pub(crate) fn connect(&mut self, limit: &DataLimit) -> Result<Progress, String> {
        // SAFETY: an open connection. The numbers are those of PostgresPollingStatusType.
        match limit.hold(|| unsafe { (self.libpq.PQconnectPoll)(self.handle) }) {
            1 => Ok(Progress::Waits(Wait::Read)),
            2 => Ok(Progress::Waits(Wait::Write)),
            3 => Ok(Progress::Done),
            _ => Err(self.error()),
        }
    }

    /// Whether the server asked for a password and one was sent.
    pub(crate) fn used_password(&self) -> bool {
        // SAFETY: an open connection.
        unsafe { (self.libpq.PQconnectionUsedPassword)(self.handle) != 0 }
    }

    /// Begins to send statements, whose rows come one by one.
    pub(crate) fn send(&mut self, statements: &CStr, limit: &DataLimit) -> Result<(), String> {
        // SAFETY: an open connection and a C string.
        let sent = limit.hold(|| unsafe {
            (self.libpq.PQsetnonblocking)(self.handle, 1) == 0
                && (self.libpq.PQsendQuery)(self.handle, statements.as_ptr()) == 1
                && (self.libpq.PQsetSingleRowMode)(self.handle) == 1
        });
        if sent { Ok(()) } else { Err(self.error()) }
    }

    /// Goes on sending and receiving: hands each row to `take`, whose error ends it. A row of more than `max_row`
    /// bytes is an error.
    pub(crate) fn receive(
        &mut self,
        limit: &DataLimit,
        max_row: usize,
        mut take: impl FnMut(Cells) -> Result<(), String>,
    ) -> Result<Progress, String> {
        // SAFETY: an open connection.
        let unsent = limit.hold(|| unsafe {
            if (self.libpq.PQconsumeInput)(self.handle) == 0 {
                return -1;
            }
            (self.libpq.PQflush)(self.handle)
        });
        match unsent {
            0 => {}
            1 => return Ok(Progress::Waits(Wait::ReadOrWrite)),
            _ => return Err(self.error()),
        }
        loop {
            // SAFETY: as above. A result is freed when dropped, and PQgetResult() does not wait if PQisBusy() is 0.
            let result = limit.hold(|| unsafe {
                let is_busy = (self.libpq.PQisBusy)(self.handle) != 0;
                (!is_busy).then(|| (self.libpq.PQgetResult)(self.handle))
            });
            match result {
                None => return Ok(Progress::Waits(Wait::Read)),
                Some(handle) if handle.is_null() => return Ok(Progress::Done),
                Some(handle) => {
                    QueryResult { libpq: self.libpq, handle }.read(self, max_row, &mut take)?
                }
            }
        }
    }

    /// The last error, which may quote the server.
    fn error(&self) -> String {
        // SAFETY: an open connection; the message is copied.
        unsafe { text((self.libpq.PQerrorMessage)(self.handle)) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: open until now. It does not wait for the server.
        unsafe { (self.libpq.PQfinish)(self.handle) };
    }
}

/// A descriptor that the server counts, so that it closes files of its own in time.
struct CountedSocket;

impl CountedSocket {
    /// `None` if there are too many.
    fn new() -> Option<Self> {
        // SAFETY: counts, and closes files that the server can open again.
        unsafe { pg_sys::AcquireExternalFD() }.then_some(Self)
    }
}

impl Drop for CountedSocket {
    fn drop(&mut self) {
        // SAFETY: counted when this was made.
        unsafe { pg_sys::ReleaseExternalFD() };
    }
}

struct QueryResult {
    libpq: Libpq,
    handle: Handle,
}

impl QueryResult {
    fn read(
        &self,
        connection: &Connection,
        max_row: usize,
        take: &mut impl FnMut(Cells) -> Result<(), String>,
    ) -> Result<(), String> {
        const COMMAND_OK: c_int = 1;
        const TUPLES_OK: c_int = 2;
        const SINGLE_TUPLE: c_int = 9;
        const PRIMARY_MESSAGE: c_int = b'M' as c_int;
        // SAFETY: a result that is there until this is dropped; cells are copied.
        unsafe {
            match (self.libpq.PQresultStatus)(self.handle) {
                // An empty row counts as one, so that a server cannot send results without an end.
                COMMAND_OK | TUPLES_OK => take(Vec::new()),
                SINGLE_TUPLE => {
                    let columns = 0..(self.libpq.PQnfields)(self.handle);
                    let bytes =
                        columns.clone().map(|column| self.cell(column).len()).sum::<usize>();
                    if bytes > max_row {
                        return Err(format!("the server sent a row of {bytes} bytes"));
                    }
                    take(columns.map(|column| self.cell(column).to_vec()).collect())
                }
                _ => {
                    let primary = (self.libpq.PQresultErrorField)(self.handle, PRIMARY_MESSAGE);
                    let message =
                        if primary.is_null() { connection.error() } else { text(primary) };
                    Err(Some(message)
                        .filter(|message| !message.is_empty())
                        .unwrap_or_else(|| "the server sent something else than rows".to_owned()))
                }
            }
        }
    }

    fn cell(&self, column: c_int) -> &[u8] {
        // SAFETY: a column of the first row; `PQgetvalue` points to as many bytes as `PQgetlength` says.
        unsafe {
            let length = (self.libpq.PQgetlength)(self.handle, 0, column);
            let value = (self.libpq.PQgetvalue)(self.handle, 0, column);
            match usize::try_from(length) {
                Ok(length) if !value.is_null() => core::slice::from_raw_parts(value, length),
                _ => &[],
            }
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: not freed before.
        unsafe { (self.libpq.PQclear)(self.handle) };
    }
}

/// Notices of a server would go to the log of this one.
extern "C" fn ignore_notice(_: *mut c_void, _: *const c_void) {}

/// The text on one line.
///
/// # Safety
///
/// A C string, or NULL.
unsafe fn text(message: *const c_char) -> String {
    if message.is_null() {
        return String::new();
    }
    // SAFETY: as the caller vouches.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
