//! The server's own reader of pg_hba.conf (src/include/libpq/hba.h), which pgrx does not bind. The server's binary
//! exports it, and `pg_hba_file_rules` calls it in the same way.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::libc;
use pgrx::prelude::*;

use super::text::ServerText;

/// A word.
#[repr(C)]
pub(super) struct Token {
    pub(super) string: *mut c_char,
    pub(super) quoted: bool,
    #[cfg(not(feature = "pg15"))]
    regex: *mut core::ffi::c_void,
}

/// A line as words. `fields` is NIL where splitting it failed; `err_msg` says why.
#[repr(C)]
pub(super) struct TokenizedLine {
    pub(super) fields: *mut pg_sys::List,
    #[cfg(not(feature = "pg15"))]
    pub(super) file_name: *mut c_char,
    pub(super) line_num: c_int,
    pub(super) raw_line: *mut c_char,
    pub(super) err_msg: *mut c_char,
}

impl TokenizedLine {
    /// The same line with other words.
    pub(super) fn with_fields(&self, fields: *mut pg_sys::List) -> Self {
        Self {
            fields,
            #[cfg(not(feature = "pg15"))]
            file_name: self.file_name,
            line_num: self.line_num,
            raw_line: self.raw_line,
            err_msg: ptr::null_mut(),
        }
    }
}

/// The first members of a rule; those of its options follow.
#[repr(C)]
pub(super) struct Line {
    #[cfg(not(feature = "pg15"))]
    sourcefile: *mut c_char,
    linenumber: c_int,
    rawline: *mut c_char,
    pub(super) conntype: c_int,
    databases: *mut pg_sys::List,
    roles: *mut pg_sys::List,
    addr: libc::sockaddr_storage,
    addrlen: c_int,
    mask: libc::sockaddr_storage,
    masklen: c_int,
    ip_cmp_method: c_int,
    hostname: *mut c_char,
    auth_method: c_int,
}

unsafe extern "C-unwind" {
    #[cfg(feature = "pg15")]
    fn tokenize_auth_file(
        filename: *const c_char,
        file: *mut libc::FILE,
        lines: *mut *mut pg_sys::List,
        elevel: c_int,
    ) -> pg_sys::MemoryContext;

    #[cfg(not(feature = "pg15"))]
    fn tokenize_auth_file(
        filename: *const c_char,
        file: *mut libc::FILE,
        lines: *mut *mut pg_sys::List,
        elevel: c_int,
        depth: c_int,
    );

    #[cfg(not(feature = "pg15"))]
    fn open_auth_file(
        filename: *const c_char,
        elevel: c_int,
        depth: c_int,
        err_msg: *mut *mut c_char,
    ) -> *mut libc::FILE;

    #[cfg(not(feature = "pg15"))]
    fn free_auth_file(file: *mut libc::FILE, depth: c_int);

    fn parse_hba_line(line: *mut TokenizedLine, elevel: c_int) -> *mut Line;
    fn hba_authname(auth_method: c_int) -> *const c_char;
}

/// The addresses that a rule is for.
pub(super) enum ClientAddress {
    All,
    /// A host's name.
    Host(*mut c_char),
    Local,
    Masked {
        address: IpAddr,
        mask: IpAddr,
    },
    SameHost,
    SameNet,
}

impl Line {
    pub(super) fn connection(&self) -> &'static str {
        // enum ConnType
        match self.conntype {
            0 => "local",
            1 => "host",
            2 => "hostssl",
            3 => "hostnossl",
            4 => "hostgssenc",
            _ => "hostnogssenc",
        }
    }

    pub(super) fn method(&self) -> String {
        // SAFETY: the server has set the method; its name is a static C string.
        unsafe { CStr::from_ptr(hba_authname(self.auth_method)) }.to_string_lossy().into_owned()
    }

    pub(super) fn address(&self) -> ClientAddress {
        // enum IPCompareMethod
        match self.ip_cmp_method {
            _ if self.conntype == 0 => ClientAddress::Local,
            1 => ClientAddress::SameHost,
            2 => ClientAddress::SameNet,
            3 => ClientAddress::All,
            _ if !self.hostname.is_null() => ClientAddress::Host(self.hostname),
            _ => match (ip(&self.addr), ip(&self.mask)) {
                (Some(address), Some(mask)) => ClientAddress::Masked { address, mask },
                // The server reads no other family from a file.
                _ => ClientAddress::Host(ptr::null_mut()),
            },
        }
    }
}

fn ip(address: &libc::sockaddr_storage) -> Option<IpAddr> {
    let address = ptr::from_ref(address);
    // SAFETY: the family tells which structure the storage holds.
    unsafe {
        match c_int::from((*address).ss_family) {
            libc::AF_INET => {
                let address = &*address.cast::<libc::sockaddr_in>();
                Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let address = &*address.cast::<libc::sockaddr_in6>();
                Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

/// Below each level that `client_min_messages` and `log_min_messages` know, so that the server reports nothing: its
/// messages may quote a password of the file. `pg_hba_file_rules` uses DEBUG3, which a client can ask for.
const ELEVEL: c_int = pg_sys::DEBUG5.cast_signed() - 1;

/// A text as a file of the C library, closed when dropped.
struct MemoryFile(*mut libc::FILE);

impl MemoryFile {
    fn open(text: &[u8]) -> Option<Self> {
        // SAFETY: opened for reading only, so that the text is not changed; the caller keeps it meanwhile.
        let file =
            unsafe { libc::fmemopen(text.as_ptr().cast_mut().cast(), text.len(), c"r".as_ptr()) };
        (!file.is_null()).then_some(Self(file))
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        // SAFETY: open since this was made.
        unsafe { libc::fclose(self.0) };
    }
}

/// Splits a text into lines of words, and calls `read` with the list of [`TokenizedLine`]s, which lives as long as
/// the call. Names of other files in it are relative to the folder of `file`. With `may_include` false the server
/// opens none of them, as far as it can be told so: since PostgreSQL 16.
///
/// Everything is allocated in the current memory context or below it. `None` if the text cannot be opened as a file.
pub(super) fn tokenize<T>(
    file: &CStr,
    text: &[u8],
    may_include: bool,
    read: impl FnOnce(*mut pg_sys::List) -> T,
) -> Option<T> {
    let text: &[u8] = if text.is_empty() { b"\n" } else { text };
    let memory = MemoryFile::open(text)?;
    let lines = tokenized(file, memory.0, may_include)?;
    let result = read(lines.list);
    lines.free();
    Some(result)
}

struct Lines {
    list: *mut pg_sys::List,
    #[cfg(not(feature = "pg15"))]
    opened: *mut libc::FILE,
}

#[cfg(feature = "pg15")]
fn tokenized(file: &CStr, text: *mut libc::FILE, _may_include: bool) -> Option<Lines> {
    let mut list = ptr::null_mut();
    // SAFETY: the file, its name and the list outlive the call, whose closure owns nothing.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            tokenize_auth_file(file.as_ptr(), text, &mut list, ELEVEL)
        });
    }
    Some(Lines { list })
}

#[cfg(not(feature = "pg15"))]
fn tokenized(file: &CStr, text: *mut libc::FILE, may_include: bool) -> Option<Lines> {
    /// `CONF_FILE_MAX_DEPTH` of src/include/utils/conffiles.h: deeper files are not opened.
    const MAX_DEPTH: c_int = 10;
    let depth = if may_include { 0 } else { MAX_DEPTH };
    let (mut list, mut error) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the file, its name and the list outlive the calls, whose closures own nothing. Opening a
    // file at depth 0, and nothing else, makes the context that the lines are allocated in.
    unsafe {
        let opened = pg_sys::ffi::pg_guard_ffi_boundary(|| {
            open_auth_file(c"/dev/null".as_ptr(), ELEVEL, 0, &mut error)
        });
        if opened.is_null() {
            return None;
        }
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            tokenize_auth_file(file.as_ptr(), text, &mut list, ELEVEL, depth);
        });
        Some(Lines { list, opened })
    }
}

impl Lines {
    /// After an error the end of the transaction does the same.
    fn free(self) {
        #[cfg(not(feature = "pg15"))]
        // SAFETY: opened at depth 0, and not freed before.
        unsafe {
            pg_sys::ffi::pg_guard_ffi_boundary(|| free_auth_file(self.opened, 0));
        }
    }
}

/// Parses a line. NULL if it is no rule; then `err_msg` of the line says why.
pub(super) fn parse(line: *mut TokenizedLine) -> *mut Line {
    // SAFETY: a line that the server has made, whose fields are not NIL; the closure owns nothing.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| parse_hba_line(line, ELEVEL)) }
}

/// The elements of a list of the server's; none of NIL.
///
/// # Safety
///
/// The list is NIL or a list of pointers to `T`.
pub(super) unsafe fn elements<T>(list: *mut pg_sys::List) -> Vec<*mut T> {
    // SAFETY: as the caller vouches.
    unsafe {
        let Some(list) = list.as_ref() else { return Vec::new() };
        let len = usize::try_from(list.length).unwrap_or_default();
        let cells = core::slice::from_raw_parts(list.elements, len);
        cells.iter().map(|cell| cell.ptr_value.cast()).collect()
    }
}

/// A text of the server's, for display.
///
/// # Safety
///
/// The text is a C string.
pub(super) unsafe fn display(text: *const c_char) -> String {
    // SAFETY: as the caller vouches.
    ServerText::from_bytes(unsafe { CStr::from_ptr(text) }.to_bytes()).to_display()
}
