//! Reads what a report tells, as the caller of the function.

mod metrics;

use std::cell::Cell;

use audit_report::{
    Cell as CensusCell, Change, Cluster, Counts, Finding, FixedFinding, HistoryEntry, Report, Run,
    Status, Timestamp,
};
use password_audit::{CHECKS, Severity};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::error::Error;
use crate::guc;
use crate::pg::query::{Row, query};

pub(super) use metrics::metrics;

/// Runs by a condition on `r`; the last one of them.
const RUN: &str = r"
SELECT r.run_id, r.status, {started}, {finished}, r.subjects, r.candidates_tested, r.candidates_left, r.hidden,
       r.run_id = (SELECT max(l.run_id) FROM scram.audit_run l) AS is_latest
FROM scram.audit_run r
WHERE {condition}
ORDER BY r.run_id DESC
LIMIT 1";

/// Where and when.
const PLACE: &str = r"
SELECT current_setting('cluster_name') AS cluster, current_database()::text AS database,
       current_setting('server_version') AS server_version, {now}";

/// Findings of run `$1` as they were then, and those of run `$2`, NULL for none, that are not among
/// them. `$3`: `$1` is the latest run. It may not be over: what it has not reached stands still.
const FINDINGS: &str = r"
WITH standing AS (
    SELECT DISTINCT ON (f.source, f.subject, f.check_id)
        f.finding_id, f.source, f.subject, f.check_id, coalesce(e.severity, f.severity) AS severity,
        coalesce(e.evidence, f.evidence) AS evidence,
        coalesce(e.fact, left(f.evidence, length(f.evidence) - length(f.context))) AS fact, f.status, f.first_run, f.accepted_until, f.note
    FROM scram.audit_finding f
    LEFT JOIN LATERAL (
        SELECT x.severity, x.evidence, left(x.evidence, length(x.evidence) - length(coalesce(x.context, ''))) AS fact
        FROM jsonb_to_recordset(f.earlier) AS x(until_run bigint, severity text, evidence text, context text)
        WHERE x.until_run >= $1
        ORDER BY x.until_run
        LIMIT 1
    ) e ON f.earlier <> '[]'
    WHERE CASE WHEN $3 THEN f.status <> 'fixed' AND NOT f.is_off ELSE $1 BETWEEN f.first_run AND f.last_run END
    ORDER BY f.source, f.subject, f.check_id, f.finding_id DESC
), before AS (
    SELECT o.* FROM scram.audit_run p CROSS JOIN LATERAL scram_internal.findings_of(p.run_id) o
    WHERE p.run_id = $2
)
SELECT s.finding_id, source, subject, check_id, coalesce(s.severity, b.severity) AS severity,
       coalesce(s.evidence, b.evidence) AS evidence, {accepted} AS is_accepted, s.first_run, {seen}, {until},
       s.note,
       CASE WHEN $2 IS NULL THEN NULL
            WHEN b.check_id IS NULL THEN 'new'
            WHEN (s.severity, s.fact) IS DISTINCT FROM (b.severity, b.fact) THEN 'changed'
       END AS change
FROM standing s
FULL JOIN before b USING (source, subject, check_id)
LEFT JOIN scram.audit_run r ON r.run_id = s.first_run
WHERE s.check_id IS NOT NULL OR NOT b.is_off";

/// In an order that does not depend on the database's collation: first the roles and the server.
const ORDER: &str = r#"
ORDER BY source NOT IN ('role', 'server'), source COLLATE "C", subject COLLATE "C", check_id COLLATE "C"
LIMIT $4"#;

/// More findings, standing or fixed, are more than a report holds in memory at a time.
const MAX_FINDINGS: usize = 200_000;

/// Bytes of text in the findings of a report, at most: the forms of a report are several times as long.
const MAX_FINDINGS_BYTES: usize = 64 * 1024 * 1024;

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
       count(*) FILTER (WHERE s.severity = 'critical' AND NOT s.accepted) AS critical,
       count(*) FILTER (WHERE s.severity = 'warning' AND NOT s.accepted) AS warning,
       count(*) FILTER (WHERE s.severity = 'notice' AND NOT s.accepted) AS notice,
       count(*) FILTER (WHERE s.accepted) AS accepted
FROM run r
LEFT JOIN span s ON r.run_id BETWEEN s.first_run AND s.last_run
GROUP BY r.run_id, r.started_at, r.status
ORDER BY r.run_id";

/// How many runs the history has, with the one that is reported on.
const MAX_HISTORY: i64 = 30;

/// The census of run `$1`, or of the last run before it that took one.
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
    let before = finished_before(run.run_id)?;
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
        is_latest: latest,
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
    let text = RUN
        .replace("{condition}", condition)
        .replace("{started}", &timestamp_columns("r.started_at", "started"))
        .replace("{finished}", &timestamp_columns("r.finished_at", "finished"));
    let runs = query(&text, &[run_id.into()], |row| {
        let run = Run {
            run_id: row.value("run_id")?,
            status: row.text("status")?,
            started_at: timestamp(row, "started")?,
            finished_at: optional_timestamp(row, "finished")?,
            subjects: row.value("subjects")?,
            candidates_tested: row.value("candidates_tested")?,
            candidates_left: row.value("candidates_left")?,
            hidden: row.optional_text("hidden")?,
        };
        Ok((run, row.value("is_latest")?))
    });
    Ok(runs?.pop())
}

pub(super) fn place() -> Result<(Cluster, Timestamp), ErrorReport> {
    let text = PLACE.replace("{now}", &timestamp_columns("statement_timestamp()", "now"));
    let places = query(&text, &[], |row| {
        let cluster = Cluster {
            name: row.text("cluster")?,
            database: row.text("database")?,
            server_version: row.text("server_version")?,
        };
        Ok((cluster, timestamp(row, "now")?))
    });
    places?.pop().ok_or_else(|| Error::NoRun.into())
}

/// The last finished run before this one.
fn finished_before(run_id: i64) -> Result<Option<Run>, ErrorReport> {
    let finished = "r.status IN ('done', 'partial') AND r.run_id < $1";
    Ok(run(finished, Some(run_id))?.map(|(run, _)| run))
}

/// [`FINDINGS`] with its columns.
fn standing_and_fixed() -> String {
    FINDINGS
        .replace("{accepted}", ACCEPTED)
        .replace("{seen}", &timestamp_columns("r.started_at", "seen"))
        .replace("{until}", &timestamp_columns("s.accepted_until", "until"))
}

/// The standing findings in the order of the report, and the findings that are fixed since
/// `before`.
fn findings(
    run: &Run,
    before: Option<&Run>,
    latest: bool,
) -> Result<(Vec<Finding>, Vec<FixedFinding>), ErrorReport> {
    let text = format!("{}{ORDER}", standing_and_fixed());
    let limit = i64::try_from(MAX_FINDINGS + 1).unwrap_or(i64::MAX);
    let arguments: [DatumWithOid<'_>; 4] =
        [run.run_id.into(), before.map(|before| before.run_id).into(), latest.into(), limit.into()];
    let bytes = Cell::new(0);
    let rows = query(&text, &arguments, |row| {
        let fixed = FixedFinding {
            source: row.text("source")?,
            subject: row.text("subject")?,
            check_id: row.text("check_id")?,
            severity: severity(&row.text("severity")?)?,
            evidence: row.text("evidence")?,
        };
        let note = row.optional_text("note")?;
        let texts = [&fixed.source, &fixed.subject, &fixed.evidence].map(String::len);
        bytes.set(bytes.get() + texts.iter().sum::<usize>() + note.as_ref().map_or(0, String::len));
        if bytes.get() > MAX_FINDINGS_BYTES {
            return Err(Error::FindingsBytes { max: MAX_FINDINGS_BYTES }.into());
        }
        let Some(finding_id) = row.optional("finding_id")? else { return Ok(Err(fixed)) };
        Ok(Ok(Finding {
            finding_id,
            source: fixed.source,
            subject: fixed.subject,
            check_id: fixed.check_id,
            severity: fixed.severity,
            evidence: fixed.evidence,
            status: if row.value("is_accepted")? { Status::Accepted } else { Status::Open },
            first_run: row.value("first_run")?,
            first_seen: optional_timestamp(row, "seen")?,
            accepted_until: optional_timestamp(row, "until")?,
            note,
            change: match row.optional_text("change")?.as_deref() {
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
    let text = HISTORY
        .replace("{accepted}", ACCEPTED)
        .replace("{started}", &timestamp_columns("r.started_at", "started"));
    query(&text, &[run_id.into(), (MAX_HISTORY - 1).into()], |row| {
        Ok(HistoryEntry {
            run_id: row.value("run_id")?,
            started_at: timestamp(row, "started")?,
            status: row.text("status")?,
            findings: Counts {
                critical: row.value("critical")?,
                warning: row.value("warning")?,
                notice: row.value("notice")?,
                accepted: row.value("accepted")?,
            },
        })
    })
}

fn census(run_id: i64) -> Result<Vec<CensusCell>, ErrorReport> {
    query(CENSUS, &[run_id.into()], |row| {
        Ok(CensusCell {
            source: row.text("source")?,
            kind: row.text("kind")?,
            iterations: row.optional("iterations")?,
            subjects: row.value("subjects")?,
        })
    })
}

/// A label of `scram.audit_finding.severity`, whose CHECK allows no other one.
pub(super) fn severity(label: &str) -> Result<Severity, ErrorReport> {
    Severity::from_label(label).ok_or_else(|| {
        let message = format!("unknown severity \"{label}\" in scram.audit_finding");
        ErrorReport::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message, "")
    })
}

/// Two columns that [`optional_timestamp`] reads: `{name}_unix` and `{name}_utc`. An infinite time
/// is NULL.
///
/// `to_json()` prints a time in one form under all settings. `to_char()` would not do, because it
/// raises an error in a database whose encoding cannot be converted to UTF-8.
pub(super) fn timestamp_columns(time: &str, name: &str) -> String {
    format!(
        "CASE WHEN isfinite({time}) THEN extract(epoch FROM {time})::float8 END AS {name}_unix, \
         CASE WHEN isfinite({time}) \
              THEN (to_json(date_trunc('second', {time} AT TIME ZONE 'UTC')) #>> '{{}}') || 'Z' \
         END AS {name}_utc"
    )
}

pub(super) fn optional_timestamp(
    row: &Row<'_>,
    name: &str,
) -> Result<Option<Timestamp>, ErrorReport> {
    let utc = row.optional_text(&format!("{name}_utc"))?;
    let unix = row.optional(&format!("{name}_unix"))?;
    Ok(unix.zip(utc).map(|(unix, utc)| Timestamp { utc, unix }))
}

fn timestamp(row: &Row<'_>, name: &str) -> Result<Timestamp, ErrorReport> {
    let utc = row.text(&format!("{name}_utc"))?;
    Ok(Timestamp { utc, unix: row.value(&format!("{name}_unix"))? })
}
