//! The rule of this server's `AlterRole` about the caller's rights. The extension asks before it
//! looks at anything else of the role, and the server asks again when something is changed.

use pgrx::pg_sys;

use crate::error::Error;
use crate::pg::catalog_role::CatalogRole;
use crate::pg::text::ServerText;

/// The part of a role that a caller wants to change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AlteredPart {
    /// LOGIN or VALID UNTIL, with or without the password.
    Attributes,
    /// The password alone, which every role may change for itself.
    Password,
}

/// Raises 42501 where ALTER ROLE would.
///
/// Source: `AlterRole` in src/backend/commands/user.c.
pub(crate) fn require(
    name: &ServerText,
    role: &CatalogRole,
    change: AlteredPart,
) -> Result<(), Error> {
    // SAFETY: reads the state of the backend and the catalogs.
    let (caller, is_superuser, creates_roles) = unsafe {
        let caller = pg_sys::GetUserId();
        (caller, pg_sys::superuser_arg(caller), pg_sys::has_createrole_privilege(caller))
    };
    let needs_superuser = role.is_superuser || (cfg!(feature = "pg15") && role.is_replication);
    let is_admin = creates_roles && administers(caller, role.oid);
    let is_own_password = change == AlteredPart::Password && role.oid == caller;
    let may = is_superuser || (!needs_superuser && (is_admin || is_own_password));
    if may { Ok(()) } else { Err(Error::Permission { role: name.in_message() }) }
}

/// Since PostgreSQL 16 CREATEROLE reaches only roles that one was given with the ADMIN option.
fn administers(caller: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: reads the catalogs.
    cfg!(feature = "pg15") || unsafe { pg_sys::is_admin_of_role(caller, role) }
}
