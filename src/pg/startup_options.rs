//! Settings of the extension that a client has given at the start of its session.

use core::ffi::CStr;

use pgrx::pg_sys;

use crate::error::Error;

const PREFIX: &[u8] = b"scram.";

/// Raises 42501 if the startup packet sets one of the extension's settings without the right to.
///
/// Until the library is loaded the server accepts any value, and forgets the one of the configuration file. When
/// the setting is then defined, the server rejects the client's value with a warning and takes the built-in
/// default: a role could switch the guard off. A library in `shared_preload_libraries` has no such gap, because
/// the server itself refuses the session.
pub(crate) fn require_privilege() -> Result<(), Error> {
    // SAFETY: reads the server's list of settings, whose members have C strings as names; the role is one that
    // the server has noted.
    unsafe {
        // The postmaster loads the library without a client, and has no catalogs.
        if !pg_sys::IsTransactionState() {
            return Ok(());
        }
        let (settings, count) = all();
        for index in 0..count {
            let setting = *settings.add(index);
            let name = CStr::from_ptr((*setting).name);
            let is_ours = name
                .to_bytes()
                .get(..PREFIX.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
            if !is_ours || (*setting).reset_source != pg_sys::GucSource::PGC_S_CLIENT {
                continue;
            }
            let right = pg_sys::AclMode::from(pg_sys::ACL_SET);
            let answer =
                pg_sys::pg_parameter_aclcheck(name.as_ptr(), (*setting).reset_srole, right);
            if answer != pg_sys::AclResult::ACLCHECK_OK {
                return Err(Error::Setting { name: name.to_string_lossy().into_owned() });
            }
        }
    }
    Ok(())
}

/// The server's list of settings, and its length.
///
/// # Safety
///
/// On the backend's thread.
unsafe fn all() -> (*mut *mut pg_sys::config_generic, usize) {
    // SAFETY: as the caller vouches.
    unsafe {
        #[cfg(feature = "pg15")]
        let (settings, count) = (pg_sys::get_guc_variables(), pg_sys::GetNumConfigOptions());
        #[cfg(not(feature = "pg15"))]
        let (settings, count) = {
            let mut count = 0;
            (pg_sys::get_guc_variables(&mut count), count)
        };
        (settings, usize::try_from(count).unwrap_or(0))
    }
}
