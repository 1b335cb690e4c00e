//! The text of a pg_hba.conf as rules, read with the server's own code.

use core::ffi::CStr;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use password_audit::HbaRule;
use password_audit::hba::{AuthToken, Quoting, first_include, has_secret, redacted, shown_error};
use pgrx::{PgMemoryContexts, pg_sys};

use super::hba::last_change;
use super::hba_line;
use super::hba_server::{self, ClientAddress, Line, Token, TokenizedLine, display, elements};
use super::interrupt;
use super::text::ServerText;
use crate::error::Error;

/// The longest text that is read, in bytes. A longer `text` argument is not copied.
const MAX_TEXT_LEN: usize = crate::limits::MAX_PASSWORD_LEN;

/// More rules are refused before they are parsed.
const MAX_RULES: usize = 5000;

/// Reads a text that is proposed in place of pg_hba.conf.
///
/// Raises 22023 for a text that the server would not load, with the first line at fault and the server's message,
/// and for one that is too long; 54000 for one with too many lines; 42501 for one that includes files, unless the
/// user who calls, or the role chosen with SET ROLE, has the privileges of pg_read_server_files.
pub(crate) fn parse_proposed(text: &ServerText) -> Result<Vec<HbaRule>, Error> {
    text.require_length("the proposed pg_hba.conf", MAX_TEXT_LEN)?;
    // ANALYZE, REINDEX and autovacuum run functions of a table's owner, and the outer user is then a superuser who
    // has not chosen the text. So such an operation includes nothing.
    // SAFETY: reads the state of the backend and its caches.
    let may_include = unsafe {
        let reader = pg_sys::Oid::from(pg_sys::ROLE_PG_READ_SERVER_FILES);
        !pg_sys::InSecurityRestrictedOperation()
            && pg_sys::has_privs_of_role(pg_sys::GetOuterUserId(), reader)
    };
    let directives = cfg!(not(feature = "pg15"));
    if !may_include && let Some(line) = first_include(text.as_bytes(), directives) {
        return Err(Error::HbaInclude { line });
    }
    let place = |line| format!("line {line}");
    let read = parse(text.as_bytes(), &Origin { may_include, looks_up: false, place: &place })?;
    match read.fault {
        Some(Fault { place, message }) => Err(Error::HbaText { place, message }),
        None if read.rules.is_empty() => Err(Error::HbaEmpty),
        None => Ok(read.rules),
    }
}

/// pg_hba.conf as it is on disk.
pub(crate) struct LoadedFile {
    pub(crate) rules: Vec<HbaRule>,
    /// When it was changed; without the files that it includes.
    pub(crate) changed: Option<SystemTime>,
}

/// Reads pg_hba.conf as it is on disk, with the files that it includes.
///
/// Raises 55000 for a file that the server would not load.
pub(crate) fn load_file() -> Result<LoadedFile, Error> {
    let fault = |message: String| Error::HbaFile { message };
    let mut text = Vec::new();
    let path = OsStr::from_bytes(hba_file().to_bytes());
    let mut changed = None;
    let file = File::open(path).and_then(|file| {
        changed = last_change(&file.metadata()?);
        let limit = u64::try_from(MAX_TEXT_LEN).unwrap_or(u64::MAX);
        file.take(limit + 1).read_to_end(&mut text)
    });
    file.map_err(|error| fault(format!("Could not open the file: {error}.")))?;
    if text.len() > MAX_TEXT_LEN {
        return Err(fault(format!("The file has more than {MAX_TEXT_LEN} bytes.")));
    }
    let name = path.to_string_lossy();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let place = |line| format!("{name}:{line}");
    let read = parse(&text, &Origin { may_include: true, looks_up: true, place: &place })?;
    match read.fault {
        Some(Fault { place, message }) => Err(fault(format!("{place}: {message}"))),
        None if read.rules.is_empty() => Err(fault("The file has no rules.".to_owned())),
        None => Ok(LoadedFile { rules: read.rules, changed }),
    }
}

/// The file's name, which the server sets when it starts.
fn hba_file() -> &'static CStr {
    // SAFETY: a C string that stays as long as the process.
    unsafe { CStr::from_ptr(pg_sys::HbaFileName) }
}

/// The rules of a text, and its first line that the server would not load.
#[derive(Default)]
struct ReadText {
    rules: Vec<HbaRule>,
    fault: Option<Fault>,
}

struct Fault {
    /// The line and, where another file holds it, that file.
    place: String,
    /// The server's words.
    message: String,
}

/// The source of a text, and what it may do.
struct Origin<'a> {
    /// Whether it may include files.
    may_include: bool,
    /// Whether the server looks up the names of RADIUS servers. The administrator chose those of the file on disk.
    looks_up: bool,
    /// Names a line of the text.
    place: &'a dyn Fn(i32) -> String,
}

/// Reads a text in a memory context of its own.
fn parse(text: &[u8], origin: &Origin<'_>) -> Result<ReadText, Error> {
    // The server reads the text as a C string.
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let file: CString = hba_file().to_owned();
    // SAFETY: what the server allocates is copied before the context is deleted.
    unsafe {
        PgMemoryContexts::new("scram_ext pg_hba.conf").switch_to(|_| {
            let read = |lines| read_lines(lines, &file, origin);
            let read = hba_server::tokenize(&file, text, origin.may_include, read);
            let message = || "The server could not open the text.".to_owned();
            read.ok_or_else(|| Error::HbaText { place: "text".to_owned(), message: message() })?
        })
    }
}

fn read_lines(
    lines: *mut pg_sys::List,
    file: &CStr,
    origin: &Origin<'_>,
) -> Result<ReadText, Error> {
    let mut read = ReadText::default();
    // SAFETY: a list of lines, which the server has made in a context that is still there.
    let lines = unsafe { elements::<TokenizedLine>(lines) };
    if lines.len() > MAX_RULES {
        return Err(Error::HbaRules { max: MAX_RULES });
    }
    for line in lines {
        interrupt::check();
        // SAFETY: as above.
        unsafe {
            let place = place_of(&*line, file, origin.place);
            let to_rule = |parsed: &Line| rule(parsed, &*line, place.clone());
            match hba_line::parse(line, origin.looks_up, to_rule) {
                Ok(rule) => read.rules.push(rule),
                Err(message) if read.fault.is_none() => {
                    let message = shown_error(may_hold_secret(&*line), message);
                    read.fault = Some(Fault { place, message });
                }
                Err(_) => (),
            }
        }
    }
    Ok(read)
}

/// # Safety
///
/// The line is one that the server has made.
unsafe fn place_of(line: &TokenizedLine, file: &CStr, place: &dyn Fn(i32) -> String) -> String {
    #[cfg(not(feature = "pg15"))]
    // SAFETY: as the caller vouches.
    unsafe {
        if CStr::from_ptr(line.file_name) != file {
            let name = display(line.file_name);
            let name = name.rsplit('/').next().unwrap_or_default();
            return format!("{name}:{}", line.line_num);
        }
    }
    let _ = file;
    place(line.line_num)
}

/// # Safety
///
/// The line is one that the server has made.
unsafe fn may_hold_secret(line: &TokenizedLine) -> bool {
    // SAFETY: as the caller vouches: NULL or a C string.
    unsafe { !line.raw_line.is_null() && has_secret(CStr::from_ptr(line.raw_line).to_bytes()) }
}

/// # Safety
///
/// Rule and line belong together, and are ones that the server has made.
unsafe fn rule(parsed: &Line, line: &TokenizedLine, location: String) -> HbaRule {
    // SAFETY: as the caller vouches.
    unsafe {
        let (address, netmask) = match parsed.address() {
            ClientAddress::All => (Some(AuthToken::plain("all")), None),
            ClientAddress::Host(name) if name.is_null() => (Some(quoted(String::new())), None),
            // In quotes, so that a host with the name of a keyword stays a host.
            ClientAddress::Host(name) => (Some(quoted(display(name))), None),
            ClientAddress::Local => (None, None),
            ClientAddress::Masked { address, mask } => {
                (Some(AuthToken::plain(address.to_string())), Some(mask.to_string()))
            }
            ClientAddress::SameHost => (Some(AuthToken::plain("samehost")), None),
            ClientAddress::SameNet => (Some(AuthToken::plain("samenet")), None),
        };
        // Type, databases, users, perhaps an address with or without a mask, method, options.
        let fields = elements::<pg_sys::List>(line.fields);
        let method_at = match parsed.address() {
            ClientAddress::Local => 3,
            ClientAddress::Masked { .. } if !has_slash(fields.get(3).copied()) => 5,
            _ => 4,
        };
        let words = |index: usize| fields.get(index).map_or_else(Vec::new, |field| tokens(*field));
        let options = fields.iter().skip(method_at + 1);
        HbaRule {
            location,
            method: parsed.method(),
            connection: parsed.connection().to_owned(),
            databases: words(1),
            users: words(2),
            address,
            netmask,
            options: options
                .flat_map(|field| tokens(*field))
                .map(|token| redacted(token.text))
                .collect(),
            ..HbaRule::default()
        }
    }
}

fn quoted(text: String) -> AuthToken {
    AuthToken { text, quoting: Quoting::Quoted }
}

/// Whether an address has its mask behind a slash.
///
/// # Safety
///
/// The field is one that the server has made.
unsafe fn has_slash(field: Option<*mut pg_sys::List>) -> bool {
    // SAFETY: as the caller vouches.
    let words = unsafe { field.map(|field| tokens(field)) };
    words.is_some_and(|words| words.iter().any(|word| word.text.contains('/')))
}

/// # Safety
///
/// The list is one of words, which the server has made.
unsafe fn tokens(list: *mut pg_sys::List) -> Vec<AuthToken> {
    let token = |token: &*mut Token| {
        // SAFETY: as the caller vouches.
        unsafe {
            let quoting = if (**token).quoted { Quoting::Quoted } else { Quoting::Plain };
            AuthToken { text: display((**token).string), quoting }
        }
    };
    // SAFETY: as the caller vouches.
    unsafe { elements::<Token>(list) }.iter().map(token).collect()
}
