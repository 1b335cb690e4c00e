//! `scram_ext`: SCRAM for SQL. This crate translates between SQL and `scram-core`, nothing else.

use core::ffi::CStr;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{extension_sql_file, pg_module_magic};

mod audit;
mod cluster_keys;
mod error;
mod fleet;
mod guard;
mod guc;
mod handshake;
mod hba_change;
mod history;
mod limits;
mod login;
mod pg;
mod role;
mod verifier;
mod wordlist;

#[cfg(test)]
pub mod pg_test;
#[cfg(any(test, feature = "pg_test"))]
mod tests;

pg_module_magic!(name = c"scram_ext", version = VERSION);

/// The version that PostgreSQL 18 shows for a loaded library.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version without NUL"),
    };

/// Tells pgrx that the schema exists, because `#[pg_extern(schema = "scram")]` needs it. bootstrap.sql, which
/// comes first, makes the schema itself.
#[pg_schema]
mod scram {}

/// The schema of everything that is no part of the interface.
#[pg_schema]
mod scram_internal {}

extension_sql_file!("../sql/schema/bootstrap.sql", bootstrap);
extension_sql_file!("../sql/schema/types.sql", requires = [verifier::is_verifier]);
extension_sql_file!(
    "../sql/schema/roles.sql",
    requires = [
        "types",
        role::password::change_own_password,
        role::password::rotate_role,
        role::password::set_role_password,
        role::password::set_role_verifier,
        role::password::verify_role,
        role::rotation::create_rotation,
        role::rotation::drop_rotation,
        role::rotation::finish_rotation,
        role::rotation::rotate
    ]
);
extension_sql_file!(
    "../sql/schema/guard.sql",
    requires = ["roles", guard::check_password::check_password]
);
extension_sql_file!("../sql/schema/login.sql", requires = ["bootstrap", login::explain_login]);
extension_sql_file!("../sql/schema/poolers.sql", requires = ["bootstrap", verifier::is_verifier]);
extension_sql_file!(
    "../sql/schema/audit_tables.sql",
    requires = [
        "roles",
        "types",
        audit::begin_run,
        audit::audit_checks,
        audit::require_top_level,
        audit::step,
        audit::guess::candidates_by_server,
        audit::guess::guess_version,
        audit::guess::guess_checks,
        audit::guess::guess,
        audit::guess::builtin_words,
        audit::scan::names,
        audit::scan::scan_slice,
        audit::scan::scan_source
    ]
);
extension_sql_file!(
    "../sql/schema/audit_policy.sql",
    requires = ["audit_tables", audit::audit_checks, audit::checks_off]
);
extension_sql_file!(
    "../sql/schema/audit_evidence.sql",
    requires = ["audit_policy", audit::target_iterations]
);
extension_sql_file!(
    "../sql/schema/audit_sources.sql",
    requires = ["audit_evidence", audit::source::require_readable_source]
);
extension_sql_file!(
    "../sql/schema/audit_inventory.sql",
    requires = ["audit_sources", audit::report::audit_metrics, audit::report::audit_report]
);
extension_sql_file!("../sql/schema/audit_progress.sql", requires = ["audit_inventory"]);
extension_sql_file!("../sql/schema/audit_run.sql", requires = ["audit_progress"]);
extension_sql_file!("../sql/schema/audit_steps.sql", requires = ["audit_run"]);
extension_sql_file!("../sql/schema/audit_slices.sql", requires = ["audit_steps"]);
extension_sql_file!("../sql/schema/audit_cycle.sql", requires = ["audit_slices"]);
extension_sql_file!("../sql/schema/audit_guesses.sql", requires = ["audit_cycle"]);
extension_sql_file!("../sql/schema/audit_merge.sql", requires = ["audit_guesses"]);
extension_sql_file!(
    "../sql/schema/audit_findings.sql",
    requires = ["audit_merge", audit::audit_checks]
);
extension_sql_file!(
    "../sql/schema/schedule.sql",
    requires = ["audit_findings", audit::hidden_job_user]
);
extension_sql_file!(
    "../sql/schema/fleet.sql",
    requires = ["audit_findings", audit::report::fleet_report, fleet::fleet_refresh]
);
extension_sql_file!("../sql/schema/migration.sql", requires = ["roles"]);
extension_sql_file!("../sql/schema/privileges.sql", finalize);

/// Called once in each backend that loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    if let Err(error) = pg::startup_options::require_privilege() {
        ErrorReport::from(error).report(PgLogLevel::ERROR);
    }
    guc::define();
    guard::install();
}
