//! `scram_ext`: SCRAM for SQL. This crate translates between SQL and `scram-core`, nothing else.

use core::ffi::CStr;

use pgrx::prelude::*;
use pgrx::{extension_sql_file, pg_module_magic};

mod acting;
mod audit;
mod caller;
mod check_log;
mod cluster_keys;
mod crew;
mod error;
mod guc;
mod handshake;
mod latch;
mod password;
mod random;
mod record;
mod report;
mod roles;
mod rotation;
mod rows;
mod served;
mod spi;
mod text;
mod veil;
mod verifier;

#[cfg(test)]
pub mod pg_test;
#[cfg(any(test, feature = "pg_test"))]
mod tests;

pg_module_magic!(name = c"scram_ext", version = VERSION);

/// What PostgreSQL 18 shows of a loaded library.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// Tells pgrx that the schema exists; `#[pg_extern(schema = "scram")]` needs it. The schema itself
/// is made by bootstrap.sql, which comes first.
#[pg_schema]
mod scram {}

extension_sql_file!("../sql/schema/bootstrap.sql", bootstrap);
extension_sql_file!("../sql/schema/types.sql", requires = [verifier::is_verifier]);
extension_sql_file!(
    "../sql/schema/roles.sql",
    requires = [
        "types",
        password::change_own_password,
        password::rotate_role,
        password::set_role_password,
        password::set_role_verifier,
        password::verify_role,
        rotation::create_rotation,
        rotation::drop_rotation,
        rotation::finish_rotation,
        rotation::rotate
    ]
);
extension_sql_file!(
    "../sql/schema/audit.sql",
    requires = [
        "roles",
        "types",
        audit::audit_begin,
        audit::audit_checks,
        audit::audit_ready,
        audit::audit_scan,
        audit::audit_step,
        audit::attempts::audit_common,
        audit::attempts::audit_edition,
        audit::attempts::audit_guesses,
        audit::attempts::audit_try,
        audit::attempts::builtin_words,
        audit::stream::audit_read,
        audit::stream::audit_secrets
    ]
);
extension_sql_file!(
    "../sql/schema/sources.sql",
    requires = ["audit", audit::source::audit_source_fits]
);
extension_sql_file!("../sql/schema/run.sql", requires = ["sources"]);
extension_sql_file!("../sql/schema/steps.sql", requires = ["run"]);
extension_sql_file!("../sql/schema/tries.sql", requires = ["steps"]);
extension_sql_file!("../sql/schema/findings.sql", requires = ["tries"]);
extension_sql_file!(
    "../sql/schema/report.sql",
    requires = ["audit", report::audit_kind, report::audit_report]
);
extension_sql_file!(
    "../sql/schema/schedule.sql",
    requires = ["findings", audit::schedule_hidden_user]
);
extension_sql_file!("../sql/schema/privileges.sql", finalize);

/// Called once in each backend that loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    guc::define();
}
