//! The report on a stored run: read from the tables, written by the crate `audit-report`.

mod load;

use audit_report::Format;
use pgrx::iter::TableIterator;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Error;
use crate::pg::scram_secret;
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

/// `scram_internal.secret_kind(secret text) returns table (kind text, iterations integer)`
///
/// The kind of a stored secret, and its iteration count as the running server reads it. Internal: a
/// part of the census that `scram.run_audit` takes.
#[pg_extern(schema = "scram_internal", stable, parallel_safe)]
fn secret_kind(
    secret: ServerText,
) -> TableIterator<'static, (name!(kind, &'static str), name!(iterations, Option<i32>))> {
    let read = scram_secret::stored_secret(&secret);
    TableIterator::once((read.kind().as_str(), read.iterations()))
}
