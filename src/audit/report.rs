//! The report on a stored run: read from the tables, written by the crate `audit-report`.

mod load;

use audit_report::Format;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Error;
use crate::pg::text::{ServerText, Utf8};

/// `scram.audit_report(format text DEFAULT 'text', run_id bigint DEFAULT NULL) returns text`
///
/// One run of the audit as `text`, `json`, `html` or `prometheus`; NULL is the latest. Reads the
/// tables as its caller, who needs SELECT on `audit_run`, `audit_finding` and `audit_census`.
///
/// Raises 22023 for an unknown format, 42704 for an unknown run and where there is none.
#[pg_extern(schema = "scram", stable, cost = 100000)]
#[search_path(pg_catalog, pg_temp)]
fn audit_report(
    format: default!(Option<ServerText>, "'text'"),
    run_id: default!(Option<i64>, "NULL"),
) -> Result<Utf8, ErrorReport> {
    let format = match format {
        Some(name) => Format::from_name(name.as_ascii()).ok_or(Error::ReportFormat)?,
        None => Format::Text,
    };
    Ok(Utf8(format.render(&load::report(run_id)?)))
}
