//! `scram.password_lifetime`: the VALID UNTIL of a new password for which none is given.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::permission::{self, AlteredPart};
use crate::guc;
use crate::pg::catalog_role::CatalogRole;
use crate::pg::clock;
use crate::pg::text::ServerText;

/// When a password that the role gets now expires, in microseconds since 2000. `None`: VALID UNTIL
/// stays as it is.
///
/// A role that may change its own password may not set its own VALID UNTIL. Then the password is
/// changed all the same, and a NOTICE says so. The owner of the extension could set it, but the role
/// could move a VALID UNTIL that an administrator gave it.
pub(super) fn end(name: &ServerText, role: &CatalogRole) -> Option<i64> {
    let lifetime = guc::password_lifetime()?;
    if permission::require(name, role, AlteredPart::Attributes).is_err() {
        notice(name);
        return None;
    }
    Some(clock::now().saturating_add(lifetime))
}

fn notice(name: &ServerText) {
    let message = format!("VALID UNTIL of role \"{}\" stays as it is", name.in_message());
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "")
        .set_detail(
            "A role may not set its own VALID UNTIL, so scram.password_lifetime does not apply.",
        )
        .report(PgLogLevel::NOTICE);
}
