//! The last passwords of a role, kept as verifiers.
//!
//! The module writes verifiers into the table without SQL, because servers and extensions log the
//! parameters of statements.

use pgrx::datum::{DatumWithOid, IntoDatum as _};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use scram_core::{Password, Verifier};

use crate::error::Error;
use crate::guc;
use crate::pg::catalog_role::CatalogRole;
use crate::pg::interrupt;
use crate::pg::security_context::{Table, TableName, as_owner};
use crate::pg::text::ServerText;
use crate::pg::{check_log, clock};

const TABLE: TableName = (c"scram_internal", c"password_history");

/// Newest first. The guard runs it under any `search_path`, so that the operator is qualified.
const READ: &str = "
SELECT h.entry, h.verifier FROM scram_internal.password_history h
WHERE h.role OPERATOR(pg_catalog.=) $1 ORDER BY h.entry DESC";

const NEXT: &str = "SELECT nextval('scram_internal.password_history_entry_seq')";

const FORGET: &str = "DELETE FROM scram_internal.password_history h WHERE h.entry = $1";

const SHORTEN: &str = "
DELETE FROM scram_internal.password_history h
WHERE h.role = $1 AND h.entry < (
    SELECT min(k.entry) FROM (
        SELECT n.entry FROM scram_internal.password_history n WHERE n.role = $1 ORDER BY n.entry DESC LIMIT $2) k)";

/// PostgreSQL fires no trigger when a role is dropped. SKIP LOCKED leaves rows that another session
/// is about to delete to that session.
const FORGET_DROPPED: &str = "
DELETE FROM scram_internal.password_history h WHERE h.entry IN (
    SELECT d.entry FROM scram_internal.password_history d
    WHERE NOT EXISTS (SELECT FROM pg_authid a WHERE a.oid = d.role)
    FOR UPDATE SKIP LOCKED)";

/// One password that a role has had.
struct Entry {
    number: i64,
    verifier: ServerText,
}

/// Raises 22023 if the password is one of the role's last. `is_current`: it is what the role has now,
/// and does not come back.
pub(crate) fn refuse(
    name: &ServerText,
    role: &CatalogRole,
    password: &Password,
    is_current: bool,
) -> Result<(), ErrorReport> {
    let Some(last) = guc::password_history().filter(|_| !is_current) else { return Ok(()) };
    if holds(role, password)? {
        check_log::log_earlier_password(name);
        return Err(Error::Reuse { role: name.in_message(), last }.into());
    }
    Ok(())
}

/// Whether the password is one of the role's last ones; false if the history is off.
pub(crate) fn holds(role: &CatalogRole, password: &Password) -> Result<bool, ErrorReport> {
    let last = guc::password_history().unwrap_or(0);
    Ok(load_entries(role)?.iter().take(last).any(|entry| {
        let verifier = entry.verifier.as_ascii().parse::<Verifier>().ok();
        // Counts above the cap were below it once.
        let verifier = verifier.filter(|v| v.iterations().get() <= guc::max_iterations());
        verifier.is_some_and(|verifier| verifier.verify(password, interrupt::check))
    }))
}

/// Whether this very verifier is one of the role's last ones.
pub(crate) fn holds_verifier(
    role: &CatalogRole,
    verifier: &ServerText,
) -> Result<bool, ErrorReport> {
    let last = guc::password_history().unwrap_or(0);
    let entries = load_entries(role)?;
    Ok(entries.iter().take(last).any(|entry| entry.verifier.as_bytes() == verifier.as_bytes()))
}

/// Whether this session's database has the extension, and the server is no standby, where the lock on the table
/// is refused.
pub(crate) fn is_readable() -> bool {
    // SAFETY: C strings; what does not exist is InvalidOid, not an error.
    unsafe {
        let (schema, table) = TABLE;
        if pg_sys::RecoveryInProgress()
            || pg_sys::get_extension_oid(c"scram_ext".as_ptr(), true) == pg_sys::InvalidOid
        {
            return false;
        }
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        schema != pg_sys::InvalidOid
            && pg_sys::get_relname_relid(table.as_ptr(), schema) != pg_sys::InvalidOid
    }
}

/// Keeps the role's new verifier, and the previous one if ALTER ROLE had set it and the history
/// lacks it. `is_same`: the new verifier is of the same password.
///
/// `role` is the role as it was before.
pub(crate) fn record(
    name: &ServerText,
    role: &CatalogRole,
    verifier: &str,
    is_same: bool,
) -> Result<(), ErrorReport> {
    let Some(last) = guc::password_history() else { return Ok(()) };
    let entries = load_entries(role)?;
    if let Some(old) = &role.secret {
        let kept = entries.iter().find(|entry| entry.verifier.as_bytes() == old.as_bytes());
        match kept {
            Some(entry) if is_same => {
                as_owner(TABLE, FORGET, &[DatumWithOid::from(entry.number)], |_| Ok(()))?;
            }
            None if !is_same && old.as_ascii().parse::<Verifier>().is_ok() => {
                insert(name, role, old.as_bytes())?
            }
            _ => {}
        }
    }
    insert(name, role, verifier.as_bytes())?;

    let limit = i64::try_from(last).unwrap_or(i64::MAX);
    let arguments = [DatumWithOid::from(role.oid), DatumWithOid::from(limit)];
    as_owner(TABLE, SHORTEN, &arguments, |_| Ok(()))?;
    as_owner(TABLE, FORGET_DROPPED, &[], |_| Ok(()))?;
    Ok(())
}

fn load_entries(role: &CatalogRole) -> Result<Vec<Entry>, ErrorReport> {
    as_owner(TABLE, READ, &[DatumWithOid::from(role.oid)], |row| {
        Ok(Entry { number: row.value("entry")?, verifier: row.value("verifier")? })
    })
}

fn insert(name: &ServerText, role: &CatalogRole, verifier: &[u8]) -> Result<(), ErrorReport> {
    let number = as_owner(TABLE, NEXT, &[], |row| row.value::<i64>("nextval"))?.pop();
    let mut name_data = [0_u8; pg_sys::NAMEDATALEN as usize];
    let len = name.as_bytes().len().min(name_data.len() - 1);
    name_data[..len].copy_from_slice(&name.as_bytes()[..len]);
    Table::open(TABLE).insert([
        number.into_datum(),
        role.oid.into_datum(),
        Some(pg_sys::Datum::from(name_data.as_ptr())),
        ServerText::from_bytes(verifier).into_datum(),
        clock::now().into_datum(),
    ]);
    Ok(())
}
