//! The caller of a function: its rights, and whether the session's user asked for the call.

use core::ffi::CStr;

use pgrx::pg_sys;

use crate::error::Error;

/// Whether the session's user, or the role chosen with SET ROLE, runs this code. False in a SECURITY
/// DEFINER function and in a maintenance command, which run another role's code in this session.
pub(crate) fn asked_for_it() -> bool {
    // SAFETY: reads the state of the backend.
    unsafe { !pg_sys::InLocalUserIdChange() && !pg_sys::InSecurityRestrictedOperation() }
}

/// Raises 42501 unless the caller asked for it and may execute this procedure or function of the
/// extension.
///
/// For functions that PUBLIC may execute, because the administrator grants only what calls them.
pub(crate) fn require(kind: &'static str, routine: &'static CStr) -> Result<(), Error> {
    if asked_for_it() && may_execute(routine) {
        return Ok(());
    }
    Err(Error::RoutinePermission { kind, routine: routine.to_str().unwrap_or_default() })
}

/// Whether the current user may execute a routine of this name in schema `scram`.
pub(crate) fn may_execute(routine: &CStr) -> bool {
    // SAFETY: reads the catalogs; the list of routines of this name is released after its last use.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"scram".as_ptr(), true);
        let list = pg_sys::SearchSysCacheList(
            pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP.cast_signed(),
            1,
            pg_sys::Datum::from(routine.as_ptr()),
            pg_sys::Datum::null(),
            pg_sys::Datum::null(),
        );
        let members = usize::try_from((*list).n_members).unwrap_or_default();
        let may = (*list).members.as_slice(members).iter().any(|member| {
            let tuple = &raw mut (**member).tuple;
            let form = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_proc>();
            form.pronamespace == schema && may_execute_oid(form.oid)
        });
        pg_sys::ReleaseCatCacheList(list);
        may
    }
}

fn may_execute_oid(routine: pg_sys::Oid) -> bool {
    let mode = pg_sys::AclMode::from(pg_sys::ACL_EXECUTE);
    // SAFETY: reads the catalogs.
    let result = unsafe {
        let caller = pg_sys::GetUserId();
        #[cfg(feature = "pg15")]
        let result = pg_sys::pg_proc_aclcheck(routine, caller, mode);
        #[cfg(not(feature = "pg15"))]
        let result = pg_sys::object_aclcheck(pg_sys::ProcedureRelationId, routine, caller, mode);
        result
    };
    result == pg_sys::AclResult::ACLCHECK_OK
}
