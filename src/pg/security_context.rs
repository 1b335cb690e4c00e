//! For a while as another role: the extension's owner on its tables, or the session's user.

use core::ffi::{CStr, c_int};

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::query::{Row, query, update};

/// Runs code as another user until dropped (`SetUserIdAndSecContext`). SET ROLE fails meanwhile.
pub(crate) struct SwitchedUser {
    user: pg_sys::Oid,
    context: c_int,
}

impl SwitchedUser {
    pub(crate) fn new(role: pg_sys::Oid) -> Self {
        let flag = pg_sys::SECURITY_LOCAL_USERID_CHANGE;
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: reads and sets the state of the backend; an abort sets it back as well.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            pg_sys::SetUserIdAndSecContext(role, context | flag.cast_signed());
        }
        Self { user, context }
    }
}

impl Drop for SwitchedUser {
    fn drop(&mut self) {
        // SAFETY: what was there before.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

/// Runs a statement as the owner of this table of the extension, which is the extension's owner.
///
/// Everything in the statement is qualified or of pg_catalog: the callers' search_path is pinned. It
/// holds no secret, nor do its arguments: statement loggers write both down.
pub(crate) fn as_owner<T>(
    table: TableName,
    statement: &str,
    arguments: &[DatumWithOid<'_>],
    read: impl Fn(&Row<'_>) -> Result<T, ErrorReport>,
) -> Result<Vec<T>, ErrorReport> {
    let _owner = SwitchedUser::new(Table::open(table).owner());
    update(statement, arguments, read)
}

/// The same for a query that only reads. It takes no transaction ID, so that a standby can run it.
pub(crate) fn read_as_owner<T>(
    table: TableName,
    statement: &str,
    read: impl Fn(&Row<'_>) -> Result<T, ErrorReport>,
) -> Result<Vec<T>, ErrorReport> {
    let _owner = SwitchedUser::new(Table::open(table).owner());
    query(statement, &[], read)
}

/// A table of the extension: schema and name.
pub(crate) type TableName = (&'static CStr, &'static CStr);

/// A table of the extension, open for writing; its lock stays until the transaction ends.
pub(crate) struct Table(pg_sys::Relation);

impl Table {
    pub(crate) fn open((schema, name): TableName) -> Self {
        // SAFETY: C strings; an unknown schema or table is an error of the server's.
        unsafe {
            let schema = pg_sys::get_namespace_oid(schema.as_ptr(), false);
            let table = pg_sys::get_relname_relid(name.as_ptr(), schema);
            let lock = pg_sys::RowExclusiveLock.cast_signed();
            Self(pg_sys::table_open(table, lock))
        }
    }

    /// Adds a row without SQL, so that no trigger runs and no extension logs a statement. Checks no
    /// constraint, but updates the indexes.
    pub(crate) fn insert<const N: usize>(&self, values: [Option<pg_sys::Datum>; N]) {
        let mut nulls = values.map(|value| value.is_none());
        let mut values = values.map(|value| value.unwrap_or_else(pg_sys::Datum::null));
        // SAFETY: the relation is open; the number of columns is compared before the arrays are read.
        unsafe {
            let row = (*self.0).rd_att;
            if usize::try_from((*row).natts) != Ok(N) {
                pgrx::error!("a table of the extension has other columns than this library knows");
            }
            let tuple = pg_sys::heap_form_tuple(row, values.as_mut_ptr(), nulls.as_mut_ptr());
            pg_sys::CatalogTupleInsert(self.0, tuple);
            pg_sys::heap_freetuple(tuple);
            pg_sys::CommandCounterIncrement();
        }
    }

    fn owner(&self) -> pg_sys::Oid {
        // SAFETY: the relation is open.
        unsafe { (*(*self.0).rd_rel).relowner }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: open since this was made; after an error the abort has closed it already.
        unsafe {
            if !std::thread::panicking() {
                pg_sys::table_close(self.0, pg_sys::NoLock.cast_signed());
            }
        }
    }
}
