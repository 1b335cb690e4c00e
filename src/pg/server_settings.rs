//! The server's values of settings. A session, role, database or function can have a value of its own; then the
//! configuration files have the server's.

use pgrx::pg_sys::{self, panic::ErrorReport};

use super::query::query;

/// A setting that this server does not have is no row. A text keeps its case, because it may be the name of a file;
/// the server takes a word of a list of values in any case.
const SETTINGS: &str = r"
SELECT s.name,
       CASE WHEN s.source IN ('default', 'environment variable', 'configuration file', 'command line', 'override')
            THEN s.setting
            ELSE coalesce(CASE s.vartype WHEN 'bool' THEN CASE WHEN f.setting::boolean THEN 'on' ELSE 'off' END
                                         WHEN 'real' THEN f.setting::float8::text
                                         WHEN 'string' THEN f.setting
                                         ELSE lower(f.setting) END, s.boot_val, '') END AS setting
FROM pg_settings s
LEFT JOIN LATERAL (SELECT f.setting FROM pg_file_settings f
                   WHERE lower(f.name) = lower(s.name) AND f.error IS NULL
                   ORDER BY f.seqno DESC LIMIT 1) f ON true
WHERE s.name = ANY ($1)";

/// Names and values.
pub(crate) fn load(names: &[&str]) -> Result<Vec<(String, String)>, ErrorReport> {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    query(SETTINGS, &[names.into()], |row| Ok((row.text("name")?, row.text("setting")?)))
}

/// Whether `pg_upgrade` has started this server, with `-b`: then no other client is connected.
pub(crate) fn is_binary_upgrade() -> bool {
    // SAFETY: the postmaster has set it before it started this process, and nothing changes it.
    unsafe { pg_sys::IsBinaryUpgrade }
}
