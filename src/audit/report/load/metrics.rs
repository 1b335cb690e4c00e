//! Reads the numbers of a run. They are counted in SQL, because a monitoring system asks often.

use audit_report::{FindingCount, Metrics, Run, Status, Timestamp};
use pgrx::pg_sys::panic::ErrorReport;

use super::{
    census, finished_before, optional_timestamp, place, run, severity, standing_and_fixed,
    timestamp_columns,
};
use crate::error::Error;
use crate::pg::query::query;

/// The rows of the query on findings, counted.
const COUNTS: &str = r"
SELECT f.source, f.check_id, f.severity, f.finding_id IS NULL AS is_fixed, coalesce(f.is_accepted, false) AS is_accepted,
       coalesce(f.change = 'new', false) AS is_new, count(*) AS findings
FROM ({findings}) f
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 2, 3, 4, 5, 6";

/// pg_roles does not tell which role has a password.
const NEXT_EXPIRY: &str = r"
SELECT {next}
FROM (SELECT min(r.rolvaliduntil) AS moment FROM pg_roles r
      WHERE r.rolcanlogin AND r.rolvaliduntil > statement_timestamp() AND isfinite(r.rolvaliduntil)) e";

/// The numbers of this run; `None` is the latest, or none where there has been no run.
pub(in crate::audit::report) fn metrics(run_id: Option<i64>) -> Result<Metrics, ErrorReport> {
    let found = match run_id {
        Some(run_id) => {
            Some(run("r.run_id = $1", Some(run_id))?.ok_or(Error::UnknownRun { run_id })?)
        }
        None => run("$1 IS NULL", None)?,
    };
    let (cluster, generated_at) = place()?;
    let mut metrics = Metrics {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generated_at,
        cluster,
        run: None,
        last_finished: None,
        last_success: None,
        is_compared: false,
        findings: Vec::new(),
        census: Vec::new(),
        next_expiry: next_expiry()?,
    };
    if let Some((run, is_latest)) = found {
        let until = |status: &str| {
            let condition = format!("{status} AND r.run_id <= $1");
            Ok::<_, ErrorReport>(self::run(&condition, Some(run.run_id))?.map(|(run, _)| run))
        };
        let before = finished_before(run.run_id)?;
        metrics.last_finished = until("r.status IN ('done', 'partial')")?;
        metrics.last_success = until("r.status = 'done'")?;
        metrics.is_compared = before.is_some();
        metrics.findings = counts(Some(&run), before.as_ref(), is_latest)?;
        metrics.census = census(run.run_id)?;
        metrics.run = Some(run);
    } else {
        metrics.findings = counts(None, None, true)?;
    }
    Ok(metrics)
}

/// Without a run: the findings that stand, because `prune_audit` can have removed the runs that found them.
fn counts(
    run: Option<&Run>,
    before: Option<&Run>,
    is_latest: bool,
) -> Result<Vec<FindingCount>, ErrorReport> {
    let text = COUNTS.replace("{findings}", &standing_and_fixed());
    let arguments = [
        run.map(|run| run.run_id).into(),
        before.map(|before| before.run_id).into(),
        is_latest.into(),
    ];
    query(&text, &arguments, |row| {
        let status = match (row.value("is_fixed")?, row.value("is_accepted")?) {
            (true, _) => None,
            (false, true) => Some(Status::Accepted),
            (false, false) => Some(Status::Open),
        };
        Ok(FindingCount {
            source: row.text("source")?,
            check_id: row.text("check_id")?,
            severity: severity(&row.text("severity")?)?,
            status,
            is_new: row.value("is_new")?,
            count: row.value("findings")?,
        })
    })
}

fn next_expiry() -> Result<Option<Timestamp>, ErrorReport> {
    let text = NEXT_EXPIRY.replace("{next}", &timestamp_columns("e.moment", "next"));
    Ok(query(&text, &[], |row| optional_timestamp(row, "next"))?.pop().flatten())
}
