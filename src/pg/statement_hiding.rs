//! Keeps the statement that called a function out of the log: its literals may be passwords.
//!
//! The server writes the running statement under every message of some weight (`STATEMENT`), and the
//! statements and parameters around it into an error's `CONTEXT`. Both are built while a message is
//! raised, by the chain `error_context_stack`: a link of ours hides the first and, as the chain's new
//! end, keeps out the second.

use core::ffi::{CStr, c_int, c_void};
use core::ptr;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

// src/include/utils/elog.h. Declared here, because the guard around pgrx's binding must not run
// inside errfinish().
unsafe extern "C-unwind" {
    fn errhidestmt(hide_stmt: bool) -> c_int;
}

/// Never written to: `previous` is NULL for good.
static mut HIDING_CALLBACK: pg_sys::ErrorContextCallback = pg_sys::ErrorContextCallback {
    previous: ptr::null_mut(),
    callback: Some(hide),
    arg: ptr::null_mut(),
};

/// Runs the body of a function that is called with passwords. Messages of this extension, the
/// server and other extensions' hooks come without the statement, its parameters and its context
/// meanwhile.
///
/// pgrx raises the error after this function has returned, so on failure the callback stays
/// installed. Every PostgreSQL error handler (PG_TRY, the main loop) restores error_context_stack,
/// which removes it.
pub(crate) fn with_hidden_statement<T>(
    body: impl FnOnce() -> Result<T, ErrorReport>,
) -> Result<T, ErrorReport> {
    hide_activity();
    // SAFETY: on the backend's only thread; the callback is a static that is never changed.
    let before = unsafe {
        let before = pg_sys::error_context_stack;
        pg_sys::error_context_stack = &raw mut HIDING_CALLBACK;
        before
    };
    let result = body()?;
    // SAFETY: what was there when this was called; nothing of ours is on the chain any more.
    unsafe { pg_sys::error_context_stack = before };
    Ok(result)
}

/// The session's statement in pg_stat_activity until its next statement.
const HIDDEN: &CStr = c"<statement with a password, hidden by scram_ext>";

/// Overwrites the text of the running statement in shared memory. Other sessions see it in
/// pg_stat_activity, and other processes print it: a deadlock report names the statements of all
/// sessions in it, and the postmaster that of a process that crashed. First of all, before a lock is
/// waited for.
fn hide_activity() {
    // SAFETY: a C string; writes the session's own entry, as the server does at each statement.
    unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, HIDDEN.as_ptr()) };
}

unsafe extern "C-unwind" fn hide(_: *mut c_void) {
    // SAFETY: called by errfinish(), as the chain's other links, while a message is being made.
    unsafe { errhidestmt(true) };
}
