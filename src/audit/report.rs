//! The report on a stored run: read from the tables, written by the crate `audit-report`.

mod fleet;
mod load;

use audit_report::{FleetFormat, Format};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Error;
use crate::pg::text::{ServerText, Utf8};

/// The format that has numbers only.
const PROMETHEUS: &str = "prometheus";

/// `scram.audit_report(format text DEFAULT 'text', run_id bigint DEFAULT NULL) returns text`
///
/// One run of the audit as `text`, `json`, `html` or `prometheus`; NULL is the latest. Reads the
/// tables as its caller, who needs SELECT on `audit_run`, `audit_finding` and `audit_census`.
///
/// Raises 22023 for an unknown format, 42704 for an unknown run and, unless the format is `prometheus`,
/// where there is none.
#[pg_extern(schema = "scram", stable, cost = 100000)]
#[search_path(pg_catalog, pg_temp)]
fn audit_report(
    format: default!(Option<ServerText>, "'text'"),
    run_id: default!(Option<i64>, "NULL"),
) -> Result<Utf8, ErrorReport> {
    let format = match &format {
        Some(name) if name.as_ascii() == PROMETHEUS => return metrics(run_id),
        Some(name) => Format::from_name(name.as_ascii()).ok_or(Error::ReportFormat)?,
        None => Format::Text,
    };
    Ok(Utf8(format.render(&load::report(run_id)?)))
}

/// `scram.audit_metrics() returns text`
///
/// The latest run as `scram.audit_report('prometheus')` shows it, also before the first run. It reads
/// the tables as the extension's owner, so that a role for monitoring needs no right on a table, and
/// returns no name of a subject.
#[pg_extern(sql = "
CREATE FUNCTION scram.audit_metrics() RETURNS text
STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
COST 100000
LANGUAGE c AS 'MODULE_PATHNAME', 'audit_metrics_wrapper';
")]
fn audit_metrics() -> Result<Utf8, ErrorReport> {
    metrics(None)
}

/// `scram.fleet_report(format text DEFAULT 'text') returns text`
///
/// What `scram.fleet_refresh()` collected last, as `text`, `html` or `prometheus`. Reads the tables as its caller, who
/// needs SELECT on `fleet_server`, `fleet_runs` and `fleet_findings`.
///
/// Raises 22023 for an unknown format.
#[pg_extern(schema = "scram", stable, cost = 100000)]
#[search_path(pg_catalog, pg_temp)]
fn fleet_report(format: default!(Option<ServerText>, "'text'")) -> Result<Utf8, ErrorReport> {
    let format = match &format {
        Some(name) => FleetFormat::from_name(name.as_ascii()).ok_or(Error::FleetReportFormat)?,
        None => FleetFormat::Text,
    };
    Ok(Utf8(format.render(&fleet::fleet()?)))
}

fn metrics(run_id: Option<i64>) -> Result<Utf8, ErrorReport> {
    Ok(Utf8(audit_report::metrics(&load::metrics(run_id)?)))
}
