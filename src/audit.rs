//! Section "Audit": what is stored in this cluster, judged by the core's checks.
//!
//! Nothing here is written: the stored runs are `sql/schema/audit_*.sql`, which call the internal
//! functions below.

mod catalog;
pub(crate) mod guess;
mod hash_paths;
pub(crate) mod report;
pub(crate) mod scan;
pub(crate) mod source;

use password_audit::{CHECKS, OFF_BY_DEFAULT};
use pgrx::datum::Interval;
use pgrx::iter::TableIterator;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::guc;
use crate::pg::security_context::{TableName, as_owner};
use crate::pg::text::{ServerText, Utf8};
use crate::pg::{caller, check_log, read_only};

/// `scram.audit_checks() returns table (check_id text, severity text, title text, remedy text)`
///
/// Every check that the audit knows, in the order of its report.
#[pg_extern(schema = "scram", immutable, parallel_safe)]
fn audit_checks() -> TableIterator<
    'static,
    (
        name!(check_id, &'static str),
        name!(severity, &'static str),
        name!(title, &'static str),
        name!(remedy, Utf8),
    ),
> {
    TableIterator::new(CHECKS.iter().map(|check| {
        (check.id, check.severity.as_str(), check.title, Utf8(check.remedy.to_owned()))
    }))
}

/// `scram_internal.checks_off() returns table (check_id text)`
///
/// The checks that are off unless `scram.audit_policy` names them.
#[pg_extern(schema = "scram_internal", immutable, parallel_safe)]
fn checks_off() -> TableIterator<'static, (name!(check_id, &'static str),)> {
    TableIterator::new(OFF_BY_DEFAULT.iter().map(|id| (*id,)))
}

/// `scram_internal.target_iterations() returns integer`
///
/// The iteration count of the answers of `scram.handshake_start` to unknown users.
#[pg_extern(schema = "scram_internal", stable, parallel_safe)]
fn target_iterations() -> i32 {
    guc::mock_iterations().get().cast_signed()
}

/// `scram_internal.require_top_level() returns void`
///
/// Raises 25006 where nothing can be stored and 25001 where `scram.run_audit` could not commit.
///
/// Internal: the first statement of `scram.run_audit`. It runs no query, because a function that does has an
/// SPI context of its own and cannot see the procedure's.
#[pg_extern(schema = "scram_internal", volatile)]
fn require_top_level() -> Result<(), ErrorReport> {
    if let Some(place) = read_only::place() {
        return Err(ErrorReport::new(
            PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION,
            format!("scram.run_audit() cannot store its findings {place}"),
            "",
        )
        .set_hint("Run it on the primary. scram.audit() stores nothing and works here."));
    }
    // SAFETY: these read the state of the backend.
    let (block, commits) =
        unsafe { (pg_sys::IsTransactionBlock(), pg_sys::SPI_inside_nonatomic_context()) };
    if block || !commits {
        return Err(inside_transaction_block());
    }
    Ok(())
}

/// `scram_internal.begin_run(budget interval) returns bigint`
///
/// Starts a run; NULL if another one is at work. The work is done as the extension's owner.
///
/// Raises 42501 unless the caller may execute `scram.run_audit`, and asked for it: a SECURITY DEFINER
/// function or a maintenance command runs another role's code in the caller's session.
///
/// Internal: `scram.run_audit`.
#[pg_extern(sql = "
CREATE FUNCTION scram_internal.begin_run(budget interval) RETURNS bigint
VOLATILE SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'begin_run_wrapper';
")]
fn begin_run(budget: Option<Interval>) -> Result<Option<i64>, ErrorReport> {
    caller::require("procedure", c"run_audit")?;
    let run = "SELECT scram_internal.start_run($1)";
    require_own_transaction()?;
    let run = as_owner(OWNED, run, &[budget.into()], |row| row.optional("start_run"))?;
    let run = run.into_iter().next().flatten();
    run.into_iter().for_each(check_log::log_run);
    Ok(run)
}

/// `scram_internal.step(run bigint) returns boolean`
///
/// Does a part of a run; false when it has ended. Raises as `begin_run` does.
///
/// Internal: `scram.run_audit`.
#[pg_extern(sql = "
CREATE FUNCTION scram_internal.step(run bigint) RETURNS boolean
VOLATILE SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'step_wrapper';
")]
fn step(run: Option<i64>) -> Result<Option<bool>, ErrorReport> {
    caller::require("procedure", c"run_audit")?;
    require_own_transaction()?;
    let step = "SELECT scram_internal.run_step($1)";
    let more = as_owner(OWNED, step, &[run.into()], |row| row.optional("run_step"))?;
    Ok(more.into_iter().next().flatten())
}

/// `scram_internal.hidden_job_user(job_name text) returns text`
///
/// The user of a job of `scram.schedule_audit` that pg_cron hides from the caller; NULL where there is
/// none. Raises 42501 unless the caller may execute `scram.unschedule_audit`, and asked for it.
///
/// Internal: `scram.unschedule_audit`.
#[pg_extern(sql = "
CREATE FUNCTION scram_internal.hidden_job_user(job_name text) RETURNS text
VOLATILE SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'hidden_job_user_wrapper';
")]
fn hidden_job_user(job_name: Option<ServerText>) -> Result<Option<ServerText>, ErrorReport> {
    caller::require("function", c"unschedule_audit")?;
    let user = "SELECT scram_internal.job_user($1)";
    let user = as_owner(OWNED, user, &[job_name.into()], |row| row.optional("job_user"))?;
    Ok(user.into_iter().next().flatten())
}

/// Raises 25001 in a transaction block, whose ROLLBACK would hide a run and its word list.
fn require_own_transaction() -> Result<(), ErrorReport> {
    // SAFETY: reads the state of the backend.
    if unsafe { pg_sys::IsTransactionBlock() } {
        return Err(inside_transaction_block());
    }
    Ok(())
}

fn inside_transaction_block() -> ErrorReport {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_ACTIVE_SQL_TRANSACTION,
        "scram.run_audit() cannot run inside a transaction block",
        "",
    )
    .set_hint("It commits as it goes: send the CALL on its own, outside of BEGIN and of functions.")
}

/// A table whose owner is the extension's.
const OWNED: TableName = (c"scram_internal", c"stored_run");
