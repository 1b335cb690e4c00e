//! A line of pg_hba.conf, parsed with the server's own code under two conditions that the server does not keep: no name
//! server is asked, and the memory does not grow with the regular expressions of a line.

use core::ffi::{CStr, c_char};
use core::ptr;
use std::ffi::CString;

use pgrx::{PgMemoryContexts, pg_sys};

use super::hba_server::{self, Line, Token, TokenizedLine, elements};
use super::interrupt;

/// Takes the place of each name in `radiusservers`: the C library recognises it without a lookup.
const NUMERIC_SERVER: &str = "127.0.0.1";

/// The server's message about a line that ends behind its databases.
const ENDS_BEHIND_DATABASES: &CStr = c"end-of-line before role specification";

/// Parses a line, and passes the rule to `read`. With `looks_up` false the names of RADIUS servers are not looked up.
/// The words of the line are as before when `read` is called.
///
/// The rule has neither databases nor users: these are fields 1 and 2 of the line.
///
/// # Errors
///
/// The server's message; `None` if it has none.
///
/// # Safety
///
/// The line is one that the server has made, and its memory context is still there.
pub(super) unsafe fn parse<T>(
    line: *mut TokenizedLine,
    looks_up: bool,
    read: impl FnOnce(&Line) -> T,
) -> Result<T, Option<String>> {
    // SAFETY: as the caller vouches. What the server allocates for the line lives in a context of its own.
    unsafe {
        if (*line).fields.is_null() || !(*line).err_msg.is_null() {
            return Err(message(&*line));
        }
        check_patterns(&*line)?;
        PgMemoryContexts::new("scram_ext line of pg_hba.conf").switch_to(|_| {
            let mut replaced = Replaced::default();
            replaced.names(&*line);
            if !looks_up {
                replaced.servers(&*line);
            }
            let parsed = hba_server::parse(line);
            replaced.restore();
            parsed.as_ref().map(read).ok_or_else(|| message(&*line))
        })
    }
}

/// The server's message about a line.
///
/// # Safety
///
/// The line is one that the server has made.
unsafe fn message(line: &TokenizedLine) -> Option<String> {
    // SAFETY: as the caller vouches: NULL or a C string.
    unsafe { (!line.err_msg.is_null()).then(|| hba_server::display(line.err_msg.cast_const())) }
}

/// Has the server compile the regular expressions among databases and users, which the server does in this order and
/// before the fields that follow. Each one is compiled alone and freed, because one of a few bytes may take megabytes.
///
/// # Safety
///
/// As [`parse`].
unsafe fn check_patterns(line: &TokenizedLine) -> Result<(), Option<String>> {
    if cfg!(feature = "pg15") {
        return Ok(());
    }
    // SAFETY: as the caller vouches. The server copies the words of the line that is made here.
    unsafe {
        let fields = elements::<pg_sys::List>(line.fields);
        let names = fields.iter().skip(1).take(2).flat_map(|field| elements::<Token>(*field));
        for pattern in names.filter(|token| *(**token).string == b'/'.cast_signed()) {
            interrupt::check();
            PgMemoryContexts::new("scram_ext pattern of pg_hba.conf").switch_to(|_| {
                let pattern = pg_sys::lappend(ptr::null_mut(), pattern.cast());
                let probe = pg_sys::lappend(ptr::null_mut(), fields[0].cast());
                let mut probe = line.with_fields(pg_sys::lappend(probe, pattern.cast()));
                hba_server::parse(&raw mut probe);
                let is_compiled = !probe.err_msg.is_null()
                    && CStr::from_ptr(probe.err_msg) == ENDS_BEHIND_DATABASES;
                if is_compiled { Ok(()) } else { Err(message(&probe)) }
            })?;
        }
    }
    Ok(())
}

/// Parts of a line that have others in their places for a while.
#[derive(Default)]
struct Replaced {
    fields: Vec<(*mut pg_sys::ListCell, *mut pg_sys::List)>,
    words: Vec<(*mut Token, *mut c_char)>,
}

impl Replaced {
    /// Puts the keyword `all` in the place of databases and users.
    ///
    /// # Safety
    ///
    /// As [`parse`]; the memory context of the caller lives until [`Self::restore`].
    unsafe fn names(&mut self, line: &TokenizedLine) {
        // SAFETY: as the caller vouches: the cells of a list of lists.
        unsafe {
            let len = usize::try_from((*line.fields).length).unwrap_or_default();
            for index in 1..len.min(3) {
                let cell = (*line.fields).elements.add(index);
                self.fields.push((cell, (*cell).ptr_value.cast()));
                let all = pg_sys::palloc0(size_of::<Token>()).cast::<Token>();
                (*all).string = pg_sys::pstrdup(c"all".as_ptr());
                (*cell).ptr_value = pg_sys::lappend(ptr::null_mut(), all.cast()).cast();
            }
        }
    }

    /// Puts addresses in the place of the names of RADIUS servers: as many, because the server compares their number
    /// with those of secrets and ports. A list that the server cannot split stays, because no name of it is looked up.
    ///
    /// # Safety
    ///
    /// As [`Self::names`].
    unsafe fn servers(&mut self, line: &TokenizedLine) {
        // SAFETY: as the caller vouches: lists of words, which are C strings.
        unsafe {
            for token in radius_options(line) {
                let string = CStr::from_ptr((*token).string);
                let Some(list) = string.to_bytes().strip_prefix(b"radiusservers=") else {
                    continue;
                };
                let start = string.as_ptr().add(string.count_bytes() - list.len());
                let mut names = ptr::null_mut();
                if !pg_sys::SplitGUCList(pg_sys::pstrdup(start), b','.cast_signed(), &mut names) {
                    continue;
                }
                let count = elements::<c_char>(names).len();
                let numeric = vec![NUMERIC_SERVER; count].join(",");
                let Ok(numeric) = CString::new(format!("radiusservers={numeric}")) else {
                    continue;
                };
                self.words.push((token, (*token).string));
                (*token).string = pg_sys::pstrdup(numeric.as_ptr());
            }
        }
    }

    /// # Safety
    ///
    /// As [`Self::names`].
    unsafe fn restore(self) {
        // SAFETY: the cells and words of the line, which lives as long as the caller.
        unsafe {
            for (cell, field) in self.fields {
                (*cell).ptr_value = field.cast();
            }
            for (token, string) in self.words {
                (*token).string = string;
            }
        }
    }
}

/// The options of a rule with method `radius`; none for any other rule. The method is field 3 of a rule for sockets,
/// and otherwise field 4, or field 5 behind a netmask. If a field before it is no netmask, the server stops there.
///
/// # Safety
///
/// As [`parse`].
unsafe fn radius_options(line: &TokenizedLine) -> Vec<*mut Token> {
    // SAFETY: as the caller vouches: lists of words, which are C strings.
    unsafe {
        let is = |field: &*mut pg_sys::List, word: &CStr| matches!(elements::<Token>(*field)[..], [token] if CStr::from_ptr((*token).string) == word);
        let fields = elements::<pg_sys::List>(line.fields);
        let methods =
            if fields.first().is_some_and(|first| is(first, c"local")) { 3..4 } else { 4..6 };
        let method = methods
            .into_iter()
            .find(|index| fields.get(*index).is_some_and(|field| is(field, c"radius")));
        let Some(method) = method else { return Vec::new() };
        fields[method + 1..].iter().flat_map(|field| elements::<Token>(*field)).collect()
    }
}
