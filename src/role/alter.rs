//! ALTER ROLE through the server's own code, without a statement that holds the secret.
//!
//! The module builds the parse node and hands it to `ProcessUtility`, where audit extensions look.
//! Permissions, `check_password_hook` and read-only transactions work as in any ALTER ROLE. All of
//! them see a redacted text as the statement.

use core::ffi::{CStr, c_char};
use core::hash::{Hash as _, Hasher as _};
use std::ffi::CString;
use std::hash::DefaultHasher;
use std::panic::AssertUnwindSafe;

use pgrx::datum::DatumWithOid;
use pgrx::fcinfo::direct_function_call_as_datum;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::prelude::*;

use super::permission::{self, AlteredPart};
use crate::error::Error;
use crate::pg::catalog_role::CatalogRole;
use crate::pg::security_context::as_owner;
use crate::pg::text::ServerText;

/// Number of collisions with concurrent ALTER ROLE statements after which the call gives up. After
/// each one it waits until the other transaction ends.
const ATTEMPTS: u32 = 20;

/// The server's errors when two sessions alter one role (`simple_heap_update`, heapam.c).
const COLLISIONS: [&str; 2] = ["tuple concurrently updated", "tuple concurrently deleted"];

/// Raises 25006 in a read-only transaction and on a standby: later there come other words for it.
pub(crate) fn require_writable() {
    // SAFETY: reads the state of the backend.
    unsafe { pg_sys::PreventCommandIfReadOnly(c"ALTER ROLE".as_ptr()) };
}

/// The error of a `check_password_hook` that takes plain text only: credcheck's with its default
/// settings.
const CREDCHECK: &str = "password type is not a plain text";

const LOCK_ROW: &str = "SELECT FROM pg_authid a WHERE a.oid = $1 FOR UPDATE";

/// Finds a role that the current user may change in this way, and keeps it from others who change it
/// through this extension until the transaction ends.
pub(crate) fn lock(name: &ServerText, change: AlteredPart) -> Result<CatalogRole, ErrorReport> {
    require_writable();
    let find = || -> Result<CatalogRole, Error> {
        let role = CatalogRole::lookup(name.as_bytes());
        let role = role.ok_or_else(|| Error::UnknownRole { role: name.in_message() })?;
        permission::require(name, &role, change)?;
        Ok(role)
    };
    let mut role = find()?;
    loop {
        // SAFETY: a lock on the role, which ALTER ROLE itself doesn't take; also reads what has
        // changed while it was waited for.
        unsafe {
            let mode = pg_sys::ShareUpdateExclusiveLock.cast_signed();
            pg_sys::LockSharedObject(pg_sys::AuthIdRelationId, role.oid, 0, mode);
        }
        // Another session may have dropped or renamed the role, or made another one with this name.
        let again = find()?;
        if again.oid == role.oid {
            return Ok(again);
        }
        role = again;
    }
}

/// The parts of a role that ALTER ROLE changes.
#[derive(Default)]
pub(crate) struct Alteration<'a> {
    pub(crate) can_login: Option<bool>,
    /// Microseconds since 2000.
    pub(crate) valid_until: Option<i64>,
    /// A verifier in its strict form.
    pub(crate) verifier: Option<&'a str>,
}

impl Alteration<'_> {
    /// Changes a role that is locked, as the current user; visible to this transaction at once.
    /// Returns what it is now.
    pub(crate) fn apply(
        &self,
        name: &ServerText,
        role: &CatalogRole,
    ) -> Result<CatalogRole, ErrorReport> {
        for _ in 0..ATTEMPTS {
            match in_subtransaction(|| self.execute(name)) {
                // A plain ALTER ROLE … RENAME takes no lock: the name may have become another's.
                Ok(()) => match CatalogRole::lookup(name.as_bytes()) {
                    Some(now) if now.oid == role.oid => return Ok(now),
                    _ => break,
                },
                Err(error) if is_collision(&error) => wait_for_others(name)?,
                Err(CaughtError::PostgresError(error)) if error.message() == CREDCHECK => {
                    return Err(verifier_refused(error.sql_error_code()));
                }
                Err(error) => error.rethrow(),
            }
        }
        Err(Error::Contended { role: name.in_message() }.into())
    }

    fn execute(&self, name: &ServerText) {
        let source = self.redacted(name);
        let mut hasher = DefaultHasher::new();
        source.hash(&mut hasher);
        // SAFETY: nodes of the server's own kinds, in its memory; strings are NUL-terminated copies
        // there. `source` outlives the call.
        unsafe {
            let role = node::<pg_sys::RoleSpec>(pg_sys::NodeTag::T_RoleSpec);
            (*role).roletype = pg_sys::RoleSpecType::ROLESPEC_CSTRING;
            (*role).rolename = copy(name.as_bytes());
            (*role).location = -1;

            let statement = node::<pg_sys::AlterRoleStmt>(pg_sys::NodeTag::T_AlterRoleStmt);
            (*statement).role = role;
            (*statement).options = self.options();
            (*statement).action = 1;

            let planned = node::<pg_sys::PlannedStmt>(pg_sys::NodeTag::T_PlannedStmt);
            (*planned).commandType = pg_sys::CmdType::CMD_UTILITY;
            (*planned).canSetTag = false;
            (*planned).utilityStmt = statement.cast();
            (*planned).stmt_location = 0;
            (*planned).stmt_len = i32::try_from(source.count_bytes()).unwrap_or_default();
            // With 0 pg_stat_statements leaves it out; with one for all it shows the first one's text.
            (*planned).queryId = (hasher.finish() | 1) as _;

            pg_sys::ProcessUtility(
                planned,
                source.as_ptr(),
                false,
                // Run as a statement of its own, because pgaudit ignores subcommands and would take
                // a top-level statement for the caller's.
                pg_sys::ProcessUtilityContext::PROCESS_UTILITY_QUERY,
                core::ptr::null_mut(),
                core::ptr::null_mut(),
                pg_sys::None_Receiver,
                core::ptr::null_mut(),
            );
        }
    }

    /// # Safety
    ///
    /// On the backend's thread, in a memory context that lives as long as the statement.
    unsafe fn options(&self) -> *mut pg_sys::List {
        let mut options = core::ptr::null_mut();
        // SAFETY: as the caller vouches.
        unsafe {
            let mut add = |name: &CStr, value: *mut pg_sys::Node| {
                let option = pg_sys::makeDefElem(copy(name.to_bytes()), value, -1);
                options = pg_sys::lappend(options, option.cast());
            };
            if let Some(can_login) = self.can_login {
                add(c"canlogin", pg_sys::makeBoolean(can_login).cast());
            }
            if let Some(until) = self.valid_until {
                let text = copy(timestamp(until).to_bytes());
                add(c"validUntil", pg_sys::makeString(text).cast());
            }
            if let Some(verifier) = self.verifier {
                add(c"password", pg_sys::makeString(copy(verifier.as_bytes())).cast());
            }
        }
        options
    }

    /// The text that is shown as the statement. It is no SQL, so that replaying a log does not set
    /// this password.
    fn redacted(&self, name: &ServerText) -> CString {
        let name = CString::new(name.as_bytes()).unwrap_or_default();
        // SAFETY: a C string in, a C string out that lives in the current memory context.
        let quoted = unsafe { CStr::from_ptr(pg_sys::quote_identifier(name.as_ptr())) };
        let mut text = [b"ALTER ROLE ", quoted.to_bytes()].concat();
        match self.can_login {
            Some(true) => text.extend_from_slice(b" LOGIN"),
            Some(false) => text.extend_from_slice(b" NOLOGIN"),
            None => {}
        }
        if let Some(until) = self.valid_until {
            text.extend_from_slice(b" VALID UNTIL '");
            text.extend_from_slice(timestamp(until).to_bytes());
            text.push(b'\'');
        }
        if self.verifier.is_some() {
            text.extend_from_slice(b" PASSWORD <REDACTED>");
        }
        CString::new(text).unwrap_or_default()
    }
}

/// Takes the row lock that a plain ALTER ROLE waits for. The call takes it only after a collision,
/// because audit extensions log the statement that takes it.
fn wait_for_others(name: &ServerText) -> Result<(), ErrorReport> {
    // SAFETY: reads the state of the backend.
    let sees_others = unsafe { pg_sys::XactIsoLevel } <= pg_sys::XACT_READ_COMMITTED.cast_signed();
    // A transaction with a single snapshot can no longer read the row.
    if sees_others && let Some(role) = CatalogRole::lookup(name.as_bytes()) {
        as_owner((c"scram", c"rotation"), LOCK_ROW, &[DatumWithOid::from(role.oid)], |_| Ok(()))?;
    }
    // SAFETY: reads what the others have committed.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    Ok(())
}

/// Runs this in a subtransaction, which an error ends.
fn in_subtransaction(body: impl FnOnce()) -> Result<(), CaughtError> {
    // SAFETY: as PL/pgSQL runs a block with an EXCEPTION clause (exec_stmt_block, pl_exec.c): memory
    // context and resource owner are those of before, inside and afterwards.
    unsafe {
        let memory = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(core::ptr::null());
        pg_sys::MemoryContextSwitchTo(memory);
        let body = AssertUnwindSafe(|| {
            body();
            Ok(())
        });
        let result = PgTryBuilder::new(body).catch_others(Err).execute();
        match result {
            Ok(()) => pg_sys::ReleaseCurrentSubTransaction(),
            Err(_) => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::CurrentResourceOwner = owner;
        result
    }
}

fn is_collision(error: &CaughtError) -> bool {
    matches!(error, CaughtError::PostgresError(error)
        if error.sql_error_code() == PgSqlErrorCode::ERRCODE_INTERNAL_ERROR
            && COLLISIONS.contains(&error.message()))
}

/// The hook's error, with the setting that ends it.
fn verifier_refused(code: PgSqlErrorCode) -> ErrorReport {
    ErrorReport::new(code, CREDCHECK, "")
        .set_detail("The server gets a verifier from this function, so that no statement holds the password.")
        .set_hint("A superuser can set credcheck.encrypted_password_allowed to on.")
}

/// The time as text that means the same moment under every DateStyle and time zone.
fn timestamp(until: i64) -> CString {
    // SAFETY: the style is the backend's own and is restored; with this argument the function
    // cannot fail.
    unsafe {
        let style = pg_sys::DateStyle;
        pg_sys::DateStyle = pg_sys::USE_ISO_DATES.cast_signed();
        let text = direct_function_call_as_datum(pg_sys::timestamptz_out, &[Some(until.into())]);
        pg_sys::DateStyle = style;
        text.map(|text| CStr::from_ptr(text.cast_mut_ptr::<c_char>()).to_owned())
            .unwrap_or_default()
    }
}

/// A zeroed node of the server's.
///
/// # Safety
///
/// `T` is the struct that belongs to `tag`; its first field is the tag.
unsafe fn node<T>(tag: pg_sys::NodeTag) -> *mut T {
    // SAFETY: as the caller vouches.
    unsafe {
        let node = pg_sys::palloc0(size_of::<T>());
        node.cast::<pg_sys::NodeTag>().write(tag);
        node.cast()
    }
}

/// A NUL-terminated copy in the current memory context.
fn copy(bytes: &[u8]) -> *mut c_char {
    // SAFETY: copies as many bytes as there are.
    unsafe { pg_sys::pnstrdup(bytes.as_ptr().cast(), bytes.len() as pg_sys::Size) }
}
