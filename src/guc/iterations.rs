//! PostgreSQL's own iteration count: the setting `scram_iterations` since PostgreSQL 16, which any role can change for
//! its sessions, and a constant before.

/// The count of a verifier that ALTER ROLE makes of a plain text in this session.
#[cfg(feature = "pg15")]
pub(crate) fn session_iterations() -> i32 {
    POSTGRES_15
}

/// The count of an answer of the server to a login as a role that does not exist.
#[cfg(feature = "pg15")]
pub(crate) fn server_iterations() -> i32 {
    POSTGRES_15
}

#[cfg(not(feature = "pg15"))]
pub(crate) use setting::{server_iterations, session_iterations};

/// `SCRAM_DEFAULT_ITERATIONS`, `SCRAM_SHA_256_DEFAULT_ITERATIONS` since PostgreSQL 16: src/include/common/scram-common.h.
const POSTGRES_15: i32 = 4096;

#[cfg(not(feature = "pg15"))]
mod setting {
    use core::ffi::{CStr, c_char};
    use core::ptr::null_mut;

    use pgrx::pg_sys::{self, GucSource};

    use super::POSTGRES_15;

    const NAME: &CStr = c"scram_iterations";

    /// The count of a verifier that ALTER ROLE makes of a plain text in this session.
    pub(crate) fn session_iterations() -> i32 {
        // SAFETY: the setting exists, and all roles may read it.
        number(unsafe { pg_sys::GetConfigOption(NAME.as_ptr(), true, false) })
    }

    /// The count of an answer of the server to a login as a role that does not exist: the value from before the login,
    /// which no session, role or database has set.
    pub(crate) fn server_iterations() -> i32 {
        // SAFETY: the setting exists, so that this is no error; its state is read on the backend's thread.
        let setting = unsafe { pg_sys::find_option(NAME.as_ptr(), false, true, 0).as_ref() };
        let is_servers = |source| source <= GucSource::PGC_S_ARGV;
        match setting {
            Some(setting) if is_servers(setting.source) => session_iterations(),
            // What RESET would set.
            Some(setting) if is_servers(setting.reset_source) => {
                // SAFETY: as for the session's value.
                number(unsafe { pg_sys::GetConfigOptionResetString(NAME.as_ptr()) })
            }
            _ => of_files(),
        }
    }

    /// The value of the configuration files. The options of a connection, of its role and of its database replace what
    /// RESET would set, so that no memory has the server's value. (Nor have the files one of the server's command line.)
    fn of_files() -> i32 {
        let (mut first, mut last) = (null_mut(), null_mut());
        let mut count = POSTGRES_15;
        // SAFETY: parses the files as the server does (`ProcessConfigFileInternal`, guc.c), without a message: its level
        // 0 is below all that are written. The list lives as long as the memory context.
        unsafe {
            let auto = c"postgresql.auto.conf".as_ptr();
            for file in [pg_sys::ConfigFileName.cast_const(), auto] {
                pg_sys::ParseConfigFile(file, false, null_mut(), 0, 0, 0, &mut first, &mut last);
            }
            let mut next = first;
            while let Some(variable) = next.as_ref() {
                let is_it = !variable.ignore
                    && !variable.name.is_null()
                    && CStr::from_ptr(variable.name)
                        .to_bytes()
                        .eq_ignore_ascii_case(NAME.to_bytes());
                if is_it {
                    count = number(variable.value);
                }
                next = variable.next;
            }
            pg_sys::FreeConfigVariables(first);
        }
        count
    }

    fn number(text: *const c_char) -> i32 {
        if text.is_null() {
            return POSTGRES_15;
        }
        // SAFETY: a text of the server's, which is read before anything changes it.
        let text = unsafe { CStr::from_ptr(text) };
        text.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(POSTGRES_15)
    }
}
