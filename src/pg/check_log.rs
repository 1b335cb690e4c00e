//! The server's log of password checks: which role's password was checked, for which caller, with what
//! result; never which password. The log does not roll back.

use core::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::text::ServerText;

/// Failures on one role that a session may log at once. One a second is added.
const FAILURES_AT_ONCE: u32 = 60;

/// Roles whose failures a session counts apart, at most. The one that was checked longest ago makes
/// room for another.
const MAX_COUNTED_ROLES: usize = 10_000;

/// Logs a check. A hit is always logged; failures on a role within an allowance for each session and
/// role, and when it refills one line tells how many were left out.
///
/// `role`: `None` for a name that is no role's. All of these share one allowance, as no password opens
/// them, and as there is no end of such names.
pub(crate) fn log(function: &str, role: Option<pg_sys::Oid>, name: &ServerText, matches: bool) {
    let caller = caller();
    let name = name.quoted();
    if !matches {
        match LOG.with_borrow_mut(|log| log.allowance(role).pass(Instant::now())) {
            None => return tell_at_exit(),
            Some(0) => {}
            Some(more) => {
                let role = if role.is_some() {
                    format!("role {name}")
                } else {
                    "unknown roles".to_owned()
                };
                write(format!(
                    "{more} failed checks of a password of {role} for {caller} were not logged"
                ));
            }
        }
    }
    let result = if matches { "it matched" } else { "it did not match" };
    write(format!("scram.{function}() checked a password of role {name} for {caller}: {result}"));
}

/// Logs that a password which a caller wanted to give to a role is one of its earlier passwords.
pub(crate) fn log_earlier_password(name: &ServerText) {
    let (name, caller) = (name.quoted(), caller());
    write(format!("{caller} gave role {name} one of its earlier passwords: refused"));
}

/// Logs the start of a run. The log does not roll back, so that a caller cannot try words and hide it.
pub(crate) fn log_run(run: i64) {
    write(format!("scram.run_audit() began run {run} for {}", caller()));
}

fn write(message: String) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "")
        .report(PgLogLevel::LOG_SERVER_ONLY);
}

/// The role logged in with, and the one chosen with SET ROLE.
fn caller() -> String {
    // SAFETY: reads the state of the backend; with `true` an unknown role is NULL, not an error.
    let name = |role| unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        if name.is_null() {
            return format!("a dropped role with OID {}", role.to_u32());
        }
        ServerText::from_bytes(core::ffi::CStr::from_ptr(name).to_bytes()).quoted()
    };
    // SAFETY: reads the state of the backend.
    let (session, current) = unsafe { (pg_sys::GetSessionUserId(), pg_sys::GetOuterUserId()) };
    match name(session) {
        user if session == current => user,
        user => format!("{} (session user {user})", name(current)),
    }
}

/// The checks that this session has logged and left out.
#[derive(Default)]
struct Log {
    allowances: HashMap<Option<pg_sys::Oid>, Allowance>,
    tells_at_exit: bool,
}

impl Log {
    fn allowance(&mut self, role: Option<pg_sys::Oid>) -> &mut Allowance {
        if self.allowances.len() >= MAX_COUNTED_ROLES && !self.allowances.contains_key(&role) {
            let oldest = self.allowances.iter().min_by_key(|(_, allowance)| allowance.since);
            let oldest = oldest.map(|(role, _)| *role);
            if let Some(unlogged) = oldest.and_then(|role| self.allowances.remove(&role)) {
                self.allowances.entry(None).or_default().unlogged += unlogged.unlogged;
            }
        }
        self.allowances.entry(role).or_default()
    }
}

/// Lines that may be written: [`FAILURES_AT_ONCE`] at once, and one a second.
#[derive(Default)]
struct Allowance {
    spent: u32,
    since: Option<Instant>,
    unlogged: u64,
}

impl Allowance {
    /// Whether a line may be written, and how many were left out since the last one.
    fn pass(&mut self, now: Instant) -> Option<u64> {
        let since = *self.since.get_or_insert(now);
        let refill = now.saturating_duration_since(since).as_secs();
        if refill > 0 {
            self.spent = self.spent.saturating_sub(u32::try_from(refill).unwrap_or(u32::MAX));
            self.since = Some(since + Duration::from_secs(refill));
        }
        if self.spent >= FAILURES_AT_ONCE {
            self.unlogged += 1;
            return None;
        }
        self.spent += 1;
        Some(core::mem::take(&mut self.unlogged))
    }
}

/// Has the end of the session tell what no later line will.
fn tell_at_exit() {
    let is_registered = LOG.with_borrow_mut(|log| core::mem::replace(&mut log.tells_at_exit, true));
    if !is_registered {
        // SAFETY: a function that lives as long as the process.
        unsafe { pg_sys::on_proc_exit(Some(at_exit), pg_sys::Datum::null()) };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_exit(_code: i32, _argument: pg_sys::Datum) {
    let unlogged = LOG.try_with(|log| {
        let log = log.try_borrow().ok()?;
        Some(log.allowances.values().map(|allowance| allowance.unlogged).sum::<u64>())
    });
    if let Ok(Some(unlogged @ 1..)) = unlogged {
        // No names: the catalogs cannot be read any more.
        write(format!("{unlogged} failed checks of passwords of this session were not logged"));
    }
}

std::thread_local! {
    static LOG: RefCell<Log> = RefCell::default();
}
