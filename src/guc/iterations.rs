//! PostgreSQL's own iteration count: the setting `scram_iterations` since PostgreSQL 16, which any role can change for
//! its sessions, and a constant before.

/// The count of a verifier that ALTER ROLE makes of a plain text in this session.
#[cfg(feature = "pg15")]
pub(crate) fn session_iterations() -> i32 {
    super::POSTGRES_ITERATIONS
}

/// The count of an answer of the server to a login as a role that does not exist.
#[cfg(feature = "pg15")]
pub(crate) fn server_iterations() -> i32 {
    super::POSTGRES_ITERATIONS
}

#[cfg(not(feature = "pg15"))]
pub(crate) use setting::{server_iterations, session_iterations};

#[cfg(not(feature = "pg15"))]
mod setting {
    use core::ffi::{CStr, c_char};
    use core::ptr::null_mut;
    use std::ffi::CString;
    use std::fs;

    use pgrx::pg_sys::{self, GucSource};

    use crate::guc::POSTGRES_ITERATIONS;

    const NAME: &CStr = c"scram_iterations";

    /// The count of a verifier that ALTER ROLE makes of a plain text in this session.
    pub(crate) fn session_iterations() -> i32 {
        // SAFETY: the setting exists, and all roles may read it.
        let value = unsafe { pg_sys::GetConfigOption(NAME.as_ptr(), true, false) };
        number(value).unwrap_or(POSTGRES_ITERATIONS)
    }

    /// The count of an answer of the server to a login as a role that does not exist: the value from before the login,
    /// which no session, role or database has set.
    pub(crate) fn server_iterations() -> i32 {
        // SAFETY: the setting exists, so that this is no error; its state is read on the backend's thread.
        let setting = unsafe { pg_sys::find_option(NAME.as_ptr(), false, true, 0).as_ref() };
        // SAFETY: set before this process runs anything. A parallel worker gets the leader's value, and not the one that
        // RESET would set there.
        let is_worker = unsafe { pg_sys::ParallelWorkerNumber } >= 0;
        let is_servers = |source| source <= GucSource::PGC_S_ARGV;
        match setting {
            Some(setting) if is_servers(setting.source) => session_iterations(),
            Some(setting) if is_servers(setting.reset_source) && !is_worker => {
                // SAFETY: as for the session's value.
                let value = unsafe { pg_sys::GetConfigOptionResetString(NAME.as_ptr()) };
                number(value).unwrap_or(POSTGRES_ITERATIONS)
            }
            // The options of a connection, of its role and of its database replace what RESET would set, so that no
            // memory has the server's value.
            _ => of_command_line().or_else(of_files).unwrap_or(POSTGRES_ITERATIONS),
        }
    }

    /// The value that the server was started with: `-c name=value` or `--name=value` in the file that it writes then.
    fn of_command_line() -> Option<i32> {
        let line = fs::read("postmaster.opts").ok()?;
        let line = String::from_utf8_lossy(&line);
        // Each argument is in quotation marks.
        let values = line.split('"').filter_map(|argument| {
            let (name, value) = argument.split_once('=')?;
            let name = name.trim_start_matches("--").trim_start_matches("-c").replace('-', "_");
            name.eq_ignore_ascii_case("scram_iterations").then(|| value.to_owned())
        });
        let value = CString::new(values.last()?).ok()?;
        number(value.as_ptr())
    }

    /// The value of the configuration files, as the server would load them now. An error in a file hides what follows it.
    fn of_files() -> Option<i32> {
        let (mut first, mut last) = (null_mut(), null_mut());
        let mut count = None;
        let _quiet = Quiet::new();
        // SAFETY: parses the files as the server does (`ProcessConfigFileInternal`, guc.c), with the level 0 for errors,
        // which is below all that are written. The list lives as long as the memory context.
        unsafe {
            let auto = c"postgresql.auto.conf".as_ptr();
            for file in [pg_sys::ConfigFileName.cast_const(), auto] {
                pg_sys::ParseConfigFile(file, true, null_mut(), 0, 0, 0, &mut first, &mut last);
            }
            let mut next = first;
            while let Some(variable) = next.as_ref() {
                let is_it = !variable.ignore
                    && !variable.name.is_null()
                    && CStr::from_ptr(variable.name)
                        .to_bytes()
                        .eq_ignore_ascii_case(NAME.to_bytes());
                if is_it {
                    count = number(variable.value).or(count);
                }
                next = variable.next;
            }
            pg_sys::FreeConfigVariables(first);
        }
        count
    }

    /// Nothing below FATAL is written until this is dropped: the parser tells which file of `include_if_exists` is missing.
    struct Quiet([i32; 2]);

    impl Quiet {
        fn new() -> Self {
            // SAFETY: settings of the backend, which nothing else reads or writes meanwhile.
            unsafe {
                let levels = [pg_sys::client_min_messages, pg_sys::log_min_messages];
                pg_sys::client_min_messages = pg_sys::FATAL.cast_signed();
                pg_sys::log_min_messages = pg_sys::FATAL.cast_signed();
                Self(levels)
            }
        }
    }

    impl Drop for Quiet {
        fn drop(&mut self) {
            // SAFETY: what was there before.
            unsafe { [pg_sys::client_min_messages, pg_sys::log_min_messages] = self.0 };
        }
    }

    /// The value as the server reads it; `None` where it refuses it.
    fn number(text: *const c_char) -> Option<i32> {
        let mut number = 0;
        // SAFETY: NULL, or a text that ends with NUL.
        let is_number =
            !text.is_null() && unsafe { pg_sys::parse_int(text, &mut number, 0, null_mut()) };
        (is_number && number >= 1).then_some(number)
    }
}
