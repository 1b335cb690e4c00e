//! Whether a password is a role's, and who asked.

use core::cell::Cell;
use std::time::{Duration, Instant};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use scram_core::search::Md5Hash;
use scram_core::{Mechanism, Parameters, Password, Verifier};

use crate::cluster_keys::ClusterKeys;
use crate::error::Error;
use crate::handshake;
use crate::roles::Role;
use crate::text::Text;
use crate::verifier::interrupts;
use crate::{guc, random, served};

/// Whether the stored secret is of this password, for a role or none: the cost is at least that of
/// the target's count in any case.
///
/// A secret that would take more iterations than the cap is nobody's.
pub(super) fn is_password_of(role: Option<&Role>, name: &Text, raw: &Text) -> Result<bool, Error> {
    let password = raw.password()?;
    let secret = role.and_then(|role| role.secret.as_ref());
    // Where there is nothing to read or to derive, something of nobody's is: the cost is the same.
    let nobodys = Text::from_bytes(handshake::DECOY.as_bytes());
    let verifier = stored_verifier(secret.unwrap_or(&nobodys)).filter(|_| secret.is_some());
    let md5 = secret.and_then(|secret| Md5Hash::new(secret.ascii(), name.as_bytes()));
    let decoy = ClusterKeys::of_this_cluster().role_mock_with_target(name.as_bytes())?;
    let is_real = verifier.is_some();
    let matches = verifier.unwrap_or(decoy).verify(&password, interrupts);
    let matches_md5 = md5.is_some_and(|md5| md5.is_of(raw.as_bytes()));
    // The server lets nobody in with an empty password, whatever is stored.
    Ok(((matches & is_real) | matches_md5) & !password.is_empty())
}

/// A stored secret as this server reads it, if keys may be derived for it.
pub(super) fn stored_verifier(secret: &Text) -> Option<Verifier> {
    let verifier = served::Secret::read(secret.as_bytes())?.decoded()?.verifier()?;
    (verifier.iterations().get() <= guc::max_iterations()).then_some(verifier)
}

/// A new verifier with the given count and a random salt of the set length.
pub(super) fn new_verifier(
    password: &Password,
    iterations: core::num::NonZeroU32,
) -> Result<Verifier, Error> {
    let salt = random::salt(guc::salt_length())?;
    let parameters = Parameters::new(Mechanism::ScramSha256, iterations, salt)?;
    Ok(Verifier::derive(parameters, password, interrupts))
}

/// Writes to the server's log who has had a role's password checked; never which password.
///
/// A session writes [`BURST`] lines at once and one a second on end; the rest is counted.
pub(super) fn log(function: &str, role: &Text, matches: bool) {
    let Some(unlogged) = LIMIT.with(|limit| {
        let mut state = limit.take();
        let pass = state.pass(Instant::now());
        limit.set(state);
        pass
    }) else {
        return;
    };
    let result = if matches { "it matched" } else { "it did not match" };
    let message = format!(
        "scram.{function}() checked a password of role \"{}\" for {}: {result}",
        role.in_message(),
        caller()
    );
    let report = ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "");
    let report = match unlogged {
        0 => report,
        more => report.set_detail(format!("{more} more checks of this session were not logged.")),
    };
    report.report(PgLogLevel::LOG_SERVER_ONLY);
}

/// Who is logged in, and whom he has made himself with SET ROLE.
fn caller() -> String {
    // SAFETY: reads the state of the backend; with `true` an unknown role is NULL, not an error.
    let name = |role| unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        if name.is_null() {
            return String::new();
        }
        Text::from_bytes(core::ffi::CStr::from_ptr(name).to_bytes()).in_message()
    };
    // SAFETY: reads the state of the backend.
    let (session, current) = unsafe { (pg_sys::GetSessionUserId(), pg_sys::GetOuterUserId()) };
    match name(session) {
        user if session == current => format!("\"{user}\""),
        user => format!("\"{}\" (session user \"{user}\")", name(current)),
    }
}

/// Lines that a session may write at once.
const BURST: u32 = 60;

/// A bucket that holds [`BURST`] lines and gets one a second.
#[derive(Default)]
struct Limit {
    spent: u32,
    since: Option<Instant>,
    unlogged: u64,
}

impl Limit {
    /// Whether a line may be written, and how many were not since the last one.
    fn pass(&mut self, now: Instant) -> Option<u64> {
        let since = *self.since.get_or_insert(now);
        let refill = now.saturating_duration_since(since).as_secs();
        if refill > 0 {
            self.spent = self.spent.saturating_sub(u32::try_from(refill).unwrap_or(u32::MAX));
            self.since = Some(since + Duration::from_secs(refill));
        }
        if self.spent >= BURST {
            self.unlogged += 1;
            return None;
        }
        self.spent += 1;
        Some(core::mem::take(&mut self.unlogged))
    }
}

std::thread_local! {
    static LIMIT: Cell<Limit> = const { Cell::new(Limit { spent: 0, since: None, unlogged: 0 }) };
}
