//! Reads what a report tells, as the caller of the function.

use audit_report::{
    Cell, Change, Cluster, Counts, Finding, FixedFinding, HistoryEntry, Report, Run, Status,
    Timestamp,
};
use password_audit::{CHECKS, Severity};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::spi::{SpiHeapTupleData, SpiResult};

use crate::error::Error;
use crate::guc;
use crate::pg::query::{rows, text};

/// Runs by a condition on `r`; the last one of them.
const RUN: &str = r"
SELECT r.run_id, r.status, {started}, {finished}, r.subjects, r.candidates_tested, r.candidates_left,
       r.run_id = (SELECT max(l.run_id) FROM scram.audit_run l)
FROM scram.audit_run r
WHERE {condition}
ORDER BY r.run_id DESC
LIMIT 1";

/// Where and when.
const PLACE: &str = r"
SELECT current_setting('cluster_name'), current_database()::text, current_setting('server_version'),
       {now}";

/// Findings of run `$1` as they were then, and those of run `$2`, NULL for none, that are not among
/// them. `$3`: `$1` is the latest run. It may not be over: what it has not reached stands still.
const FINDINGS: &str = r"
WITH standing AS (
    SELECT DISTINCT ON (f.source, f.subject, f.check_id)
        f.finding_id, f.source, f.subject, f.check_id, coalesce(e.severity, f.severity) AS severity,
        coalesce(e.evidence, f.evidence) AS evidence, f.status, f.first_run, f.accepted_until, f.note
    FROM scram.audit_finding f
    LEFT JOIN LATERAL (
        SELECT x.severity, x.evidence
        FROM jsonb_to_recordset(f.earlier) AS x(until_run bigint, severity text, evidence text)
        WHERE x.until_run >= $1
        ORDER BY x.until_run
        LIMIT 1
    ) e ON f.earlier <> '[]'
    WHERE CASE WHEN $3 THEN f.status <> 'fixed' ELSE $1 BETWEEN f.first_run AND f.last_run END
    ORDER BY f.source, f.subject, f.check_id, f.finding_id DESC
), before AS (
    SELECT o.* FROM scram.audit_run p CROSS JOIN LATERAL scram.audit_findings_of(p.run_id) o
    WHERE p.run_id = $2
)
SELECT s.finding_id, source, subject, check_id, coalesce(s.severity, b.severity),
       coalesce(s.evidence, b.evidence), {accepted}, s.first_run, {seen}, {until}, s.note,
       CASE WHEN $2 IS NULL THEN NULL
            WHEN b.check_id IS NULL THEN 'new'
            WHEN (s.severity, s.evidence) IS DISTINCT FROM (b.severity, b.evidence) THEN 'changed'
       END
FROM (SELECT *, true AS here FROM standing) s
FULL JOIN before b USING (source, subject, check_id)
LEFT JOIN scram.audit_run r ON r.run_id = s.first_run
ORDER BY source, subject, check_id
LIMIT $4";

/// More findings, standing or fixed, are more than a report holds in memory at a time.
const MAX_FINDINGS: usize = 200_000;

/// Whether a finding `s` is accepted now: once its time is over the next run opens it again.
const ACCEPTED: &str =
    "s.status = 'accepted' AND coalesce(s.accepted_until > statement_timestamp(), true)";

/// How many findings stood in the finished runs before run `$1`, by severity as it was then.
const HISTORY: &str = r"
WITH run AS (
    SELECT r.run_id, r.started_at, r.status
    FROM scram.audit_run r
    WHERE r.run_id < $1 AND r.status IN ('done', 'partial')
    ORDER BY r.run_id DESC
    LIMIT $2
), span AS (
    SELECT s.first_run, s.last_run, s.severity, {accepted} AS accepted
    FROM scram.audit_finding s
    WHERE s.earlier = '[]'
  UNION ALL
    SELECT e.first_run, e.last_run, e.severity, {accepted}
    FROM scram.audit_finding s, LATERAL (
        SELECT coalesce(lag(x.until_run) OVER (ORDER BY x.until_run) + 1, s.first_run) AS first_run,
               x.until_run AS last_run, x.severity
        FROM (SELECT * FROM jsonb_to_recordset(s.earlier) AS y(until_run bigint, severity text)
              UNION ALL SELECT s.last_run, s.severity) x
    ) e
    WHERE s.earlier <> '[]'
)
SELECT r.run_id, {started}, r.status,
       count(*) FILTER (WHERE s.severity = 'critical' AND NOT s.accepted),
       count(*) FILTER (WHERE s.severity = 'warning' AND NOT s.accepted),
       count(*) FILTER (WHERE s.severity = 'notice' AND NOT s.accepted),
       count(*) FILTER (WHERE s.accepted)
FROM run r
LEFT JOIN span s ON r.run_id BETWEEN s.first_run AND s.last_run
GROUP BY r.run_id, r.started_at, r.status
ORDER BY r.run_id";

/// How many runs the history has, with the one that is reported on.
const PERIODS: i64 = 30;

/// What run `$1` counted, or the last one before it that came so far.
const CENSUS: &str = r"
SELECT c.source, c.kind, c.iterations, c.subjects
FROM scram.audit_census c
WHERE c.run_id = (SELECT max(l.run_id) FROM scram.audit_census l WHERE l.run_id <= $1)
ORDER BY c.source, c.kind, c.iterations";

/// The report on this run; `None` is the latest.
pub(super) fn report(run_id: Option<i64>) -> Result<Report, ErrorReport> {
    let wanted = match run_id {
        Some(_) => "r.run_id = $1",
        None => "$1 IS NULL",
    };
    let (run, latest) = run(wanted, run_id)?.ok_or(match run_id {
        Some(run_id) => Error::UnknownRun { run_id },
        None => Error::NoRun,
    })?;
    let finished = "r.status IN ('done', 'partial') AND r.run_id";
    let before = self::run(&format!("{finished} < $1"), Some(run.run_id))?.map(|(run, _)| run);
    let last = self::run(&format!("{finished} <= $1"), Some(run.run_id))?.map(|(run, _)| run);
    let (cluster, generated_at) = place()?;
    let (findings, fixed) = findings(&run, before.as_ref(), latest)?;

    let mut report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generated_at,
        cluster,
        census: census(run.run_id)?,
        history: history(run.run_id)?,
        run,
        compared_with: before,
        last_finished: last,
        findings,
        fixed,
        checks: CHECKS,
        min_iterations: i32::try_from(guc::min_iterations()).unwrap_or(i32::MAX),
    };
    report.history.push(HistoryEntry {
        run_id: report.run.run_id,
        started_at: report.run.started_at.clone(),
        status: report.run.status.clone(),
        findings: report.counts(),
    });
    Ok(report)
}

fn run(condition: &str, run_id: Option<i64>) -> Result<Option<(Run, bool)>, ErrorReport> {
    let query = RUN
        .replace("{condition}", condition)
        .replace("{started}", &moment_of("r.started_at"))
        .replace("{finished}", &moment_of("r.finished_at"));
    let runs = rows(&query, &[run_id.into()], |row| {
        let run = Run {
            run_id: row.get(1)?.unwrap_or_default(),
            status: text(&row, 2)?.unwrap_or_default(),
            started_at: moment(&row, 3)?.unwrap_or_else(never),
            finished_at: moment(&row, 5)?,
            subjects: row.get(7)?.unwrap_or_default(),
            candidates_tested: row.get(8)?.unwrap_or_default(),
            candidates_left: row.get(9)?.unwrap_or_default(),
        };
        Ok((run, row.get(10)?.unwrap_or_default()))
    });
    Ok(runs?.pop())
}

fn place() -> Result<(Cluster, Timestamp), ErrorReport> {
    let query = PLACE.replace("{now}", &moment_of("statement_timestamp()"));
    let places = rows(&query, &[], |row| {
        let cluster = Cluster {
            name: text(&row, 1)?.unwrap_or_default(),
            database: text(&row, 2)?.unwrap_or_default(),
            server_version: text(&row, 3)?.unwrap_or_default(),
        };
        Ok((cluster, moment(&row, 4)?.unwrap_or_else(never)))
    });
    places?.pop().ok_or_else(|| Error::NoRun.into())
}

/// What stands, in the order of the report, and what no longer does.
fn findings(
    run: &Run,
    before: Option<&Run>,
    latest: bool,
) -> Result<(Vec<Finding>, Vec<FixedFinding>), ErrorReport> {
    let query = FINDINGS
        .replace("{accepted}", ACCEPTED)
        .replace("{seen}", &moment_of("r.started_at"))
        .replace("{until}", &moment_of("s.accepted_until"));
    let limit = i64::try_from(MAX_FINDINGS + 1).unwrap_or(i64::MAX);
    let arguments: [DatumWithOid<'_>; 4] =
        [run.run_id.into(), before.map(|before| before.run_id).into(), latest.into(), limit.into()];
    let rows = rows(&query, &arguments, |row| {
        let fixed = FixedFinding {
            source: text(&row, 2)?.unwrap_or_default(),
            subject: text(&row, 3)?.unwrap_or_default(),
            check_id: text(&row, 4)?.unwrap_or_default(),
            severity: text(&row, 5)?
                .and_then(|name| Severity::from_label(&name))
                .unwrap_or(Severity::Notice),
            evidence: text(&row, 6)?.unwrap_or_default(),
        };
        let Some(finding_id) = row.get(1)? else { return Ok(Err(fixed)) };
        Ok(Ok(Finding {
            finding_id,
            source: fixed.source,
            subject: fixed.subject,
            check_id: fixed.check_id,
            severity: fixed.severity,
            evidence: fixed.evidence,
            status: if row.get(7)? == Some(true) { Status::Accepted } else { Status::Open },
            first_run: row.get(8)?.unwrap_or_default(),
            first_seen: moment(&row, 9)?,
            accepted_until: moment(&row, 11)?,
            note: text(&row, 13)?,
            change: match text(&row, 14)?.as_deref() {
                Some("changed") => Some(Change::Changed),
                Some("new") => Some(Change::New),
                _ => None,
            },
        }))
    })?;

    if rows.len() > MAX_FINDINGS {
        return Err(Error::Findings { max: MAX_FINDINGS }.into());
    }
    let (mut findings, mut fixed) = (Vec::new(), Vec::new());
    for row in rows {
        match row {
            Err(gone) => fixed.push(gone),
            Ok(finding) => findings.push(finding),
        }
    }
    let place = |id: &str| CHECKS.iter().position(|check| check.id == id).unwrap_or(CHECKS.len());
    findings.sort_by_cached_key(|finding| {
        (finding.severity, place(&finding.check_id), finding.check_id.clone())
    });
    fixed.sort_by_cached_key(|gone| (gone.severity, place(&gone.check_id), gone.check_id.clone()));
    Ok((findings, fixed))
}

fn history(run_id: i64) -> Result<Vec<HistoryEntry>, ErrorReport> {
    let query =
        HISTORY.replace("{accepted}", ACCEPTED).replace("{started}", &moment_of("r.started_at"));
    rows(&query, &[run_id.into(), (PERIODS - 1).into()], |row| {
        Ok(HistoryEntry {
            run_id: row.get(1)?.unwrap_or_default(),
            started_at: moment(&row, 2)?.unwrap_or_else(never),
            status: text(&row, 4)?.unwrap_or_default(),
            findings: Counts {
                critical: row.get(5)?.unwrap_or_default(),
                warning: row.get(6)?.unwrap_or_default(),
                notice: row.get(7)?.unwrap_or_default(),
                accepted: row.get(8)?.unwrap_or_default(),
            },
        })
    })
}

fn census(run_id: i64) -> Result<Vec<Cell>, ErrorReport> {
    rows(CENSUS, &[run_id.into()], |row| {
        Ok(Cell {
            source: text(&row, 1)?.unwrap_or_default(),
            kind: text(&row, 2)?.unwrap_or_default(),
            iterations: row.get(3)?,
            subjects: row.get(4)?.unwrap_or_default(),
        })
    })
}

/// Two columns that [`moment`] reads. An infinite time is none. JSON has one form of a time whatever the
/// settings; to_char() raises in databases of an encoding that UTF-8 cannot be converted to.
fn moment_of(time: &str) -> String {
    format!(
        "CASE WHEN isfinite({time}) THEN extract(epoch FROM {time})::float8 END, \
         CASE WHEN isfinite({time}) \
              THEN (to_json(date_trunc('second', {time} AT TIME ZONE 'UTC')) #>> '{{}}') || 'Z' END"
    )
}

fn moment(row: &SpiHeapTupleData<'_>, column: usize) -> SpiResult<Option<Timestamp>> {
    Ok(row.get(column)?.zip(text(row, column + 1)?).map(|(unix, utc)| Timestamp { utc, unix }))
}

/// For a time that was infinite where none can be.
fn never() -> Timestamp {
    Timestamp { utc: String::new(), unix: 0.0 }
}
