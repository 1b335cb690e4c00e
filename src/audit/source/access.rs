//! Whether a registrant may read what the audit is about to read.

use pgrx::pg_sys;

use super::Registrant;
use super::column::{Column, Columns};
use super::relation::Relation;
use crate::error::Error;

/// Raises 42501 unless the registrant has USAGE on the schema and SELECT on both columns and is not
/// subject to the table's row security; 42704 where there is no such role.
///
/// A right that is asked once is gone at the next REVOKE, so each reading asks again. The rights on
/// partitions and children do not count, as in a query on their parent.
pub(super) fn require(
    relation: &Relation,
    columns: &Columns,
    registrant: &Registrant,
) -> Result<(), Error> {
    let role = registrant.name.in_message();
    let oid = registrant.oid.filter(|oid| exists(*oid));
    let oid = oid.ok_or_else(|| Error::SourceRegistrant { role: role.clone() })?;
    let refused = |what: String| Error::SourcePermission { role: role.clone(), what };

    if !may_use_schema(relation.class().relnamespace, oid) {
        return Err(refused(format!("USAGE on the schema of \"{}\"", relation.name())));
    }
    for column in [&columns.subject, &columns.secret] {
        if !may_select(relation, column, oid) {
            let (column, relation) = (column.name().in_message(), relation.name());
            return Err(refused(format!("SELECT on column \"{column}\" of \"{relation}\"")));
        }
    }
    // SAFETY: reads the catalogs; with `true` nothing is raised.
    let security = unsafe { pg_sys::check_enable_rls(relation.oid(), oid, true) };
    if security == pg_sys::CheckEnableRlsResult::RLS_ENABLED.cast_signed() {
        return Err(refused(format!("BYPASSRLS for the row security of \"{}\"", relation.name())));
    }
    Ok(())
}

fn exists(role: pg_sys::Oid) -> bool {
    // SAFETY: reads the catalogs; NULL is a role that does not exist.
    unsafe { !pg_sys::GetUserNameFromId(role, true).is_null() }
}

fn may_use_schema(schema: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    let mode = pg_sys::AclMode::from(pg_sys::ACL_USAGE);
    // SAFETY: reads the catalogs.
    let result = unsafe {
        #[cfg(feature = "pg15")]
        let result = pg_sys::pg_namespace_aclcheck(schema, role, mode);
        #[cfg(not(feature = "pg15"))]
        let result = pg_sys::object_aclcheck(pg_sys::NamespaceRelationId, schema, role, mode);
        result
    };
    result == pg_sys::AclResult::ACLCHECK_OK
}

/// SELECT on the table, or on the column: the server's check of a column looks at the column alone.
fn may_select(relation: &Relation, column: &Column, role: pg_sys::Oid) -> bool {
    let mode = pg_sys::AclMode::from(pg_sys::ACL_SELECT);
    // SAFETY: reads the catalogs.
    let results = unsafe {
        [
            pg_sys::pg_class_aclcheck(relation.oid(), role, mode),
            pg_sys::pg_attribute_aclcheck(relation.oid(), column.number, role, mode),
        ]
    };
    results.contains(&pg_sys::AclResult::ACLCHECK_OK)
}
