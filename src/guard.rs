//! The guard: a `check_password_hook` that judges passwords of roles, also ready-made hashes.

pub(crate) mod check_password;
mod judge;

use core::ffi::{CStr, c_char};
use std::sync::OnceLock;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::{Error, sentence};
use crate::guc::{self, GuardMode};
use crate::pg::check_log;
use crate::pg::server_settings::is_binary_upgrade;
use crate::pg::statement_hiding::with_hidden_statement;
use crate::pg::text::ServerText;
use judge::{Password, is_earlier, judge};

/// The hook of the module that was loaded before this one.
static PREVIOUS: OnceLock<pg_sys::check_password_hook_type> = OnceLock::new();

/// Puts the guard in front of the hook that is there. A module that is loaded later does the same with this one.
pub(crate) fn install() {
    // SAFETY: on the backend's only thread; the hook lives as long as the process.
    unsafe {
        PREVIOUS.get_or_init(|| pg_sys::check_password_hook);
        pg_sys::check_password_hook = Some(check_password_hook);
    }
}

/// Called by CREATE ROLE and ALTER ROLE after the check of the caller's rights. The role need not exist.
#[pg_guard]
unsafe extern "C-unwind" fn check_password_hook(
    role: *const c_char,
    password: *const c_char,
    kind: pg_sys::PasswordType::Type,
    valid_until: pg_sys::Datum,
    valid_until_is_null: bool,
) {
    let call_previous = || {
        if let Some(Some(previous)) = PREVIOUS.get() {
            // SAFETY: the arguments of this call. Guarded, because the hook raises errors.
            unsafe {
                pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    previous(role, password, kind, valid_until, valid_until_is_null);
                });
            }
        }
    };
    // pg_upgrade makes each role with the secret that it had.
    if guc::guard_mode() == GuardMode::Off || is_binary_upgrade() {
        return call_previous();
    }
    // SAFETY: the server passes C strings.
    let (role, password) = unsafe { (text(role), text(password)) };
    // The other hook's errors come without the statement too.
    let result = with_hidden_statement(|| {
        call_previous();
        check(&role, &Password::new(password, kind))
    });
    if let Err(report) = result {
        report.report(PgLogLevel::ERROR);
    }
}

fn check(role: &ServerText, password: &Password) -> Result<(), ErrorReport> {
    if guc::is_guard_exempt(role.as_bytes()) {
        return Ok(());
    }
    let verdicts = judge(role, password)?;
    let broken: Vec<_> = verdicts.into_iter().filter(|verdict| verdict.ok == Some(false)).collect();
    if guc::guard_mode() == GuardMode::Enforce {
        if is_earlier(&broken) {
            check_log::log_earlier_password(role);
        }
        let rules: Vec<_> = broken.iter().map(|v| format!("{}: {}.", v.rule, v.detail)).collect();
        if !rules.is_empty() {
            return Err(Error::Guard { role: role.in_message(), rules: rules.join("\n") }.into());
        }
    }
    for verdict in broken {
        let message =
            format!("password of role \"{}\" breaks rule {}", role.in_message(), verdict.rule);
        ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "")
            .set_detail(sentence(&verdict.detail))
            .report(PgLogLevel::WARNING);
    }
    Ok(())
}

/// # Safety
///
/// `text` is a C string.
unsafe fn text(text: *const c_char) -> ServerText {
    // SAFETY: as the caller vouches.
    ServerText::from_bytes(unsafe { CStr::from_ptr(text) }.to_bytes())
}
