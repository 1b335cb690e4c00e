//! Reads what a report on the fleet tells, as the caller of the function.

use audit_report::{Counts, Fleet, FleetCheck, FleetFinding, FleetServer, SharedSecret};
use password_audit::CHECKS;
use pgrx::pg_sys::panic::ErrorReport;

use super::load::{optional_timestamp, place, severity, timestamp_columns};
use crate::pg::query::{one_row, query};

/// The servers, with the numbers of their findings and the last run.
const SERVERS: &str = r"
SELECT s.name, s.error, coalesce(s.findings_left_out, 0) AS left_out, {seen}, {started}, r.status,
       coalesce(n.critical, 0) AS critical, coalesce(n.warning, 0) AS warning, coalesce(n.notice, 0) AS notice,
       coalesce(n.accepted, 0) AS accepted
FROM scram.fleet_server s
LEFT JOIN (
    SELECT DISTINCT ON (k.server) k.server, k.started_at, k.status FROM scram.fleet_runs k ORDER BY k.server, k.run_id DESC
) r ON r.server = s.name
LEFT JOIN (
    SELECT f.server,
           count(*) FILTER (WHERE NOT {accepted} AND f.severity = 'critical') AS critical,
           count(*) FILTER (WHERE NOT {accepted} AND f.severity = 'warning') AS warning,
           count(*) FILTER (WHERE NOT {accepted} AND f.severity = 'notice') AS notice,
           count(*) FILTER (WHERE {accepted}) AS accepted
    FROM scram.fleet_findings f
    WHERE f.status <> 'fixed'
    GROUP BY f.server
) n ON n.server = s.name";

/// Whether a finding is accepted now, as [`super::load`] has it.
const ACCEPTED: &str =
    "(f.status = 'accepted' AND coalesce(f.accepted_until > statement_timestamp(), true))";

/// Open findings by check. Those that this version does not know are one, because a server may send any number of them.
const COUNTS: &str = r#"
SELECT c.check_id, c.severity, count(*) AS findings, count(DISTINCT c.server) AS servers
FROM (
    SELECT CASE WHEN f.check_id = ANY (ARRAY[{known}]) THEN f.check_id ELSE 'other' END AS check_id, f.severity, f.server
    FROM scram.fleet_findings f
    WHERE f.status <> 'fixed' AND NOT {accepted}
) c
GROUP BY c.check_id, c.severity
ORDER BY c.check_id = 'other', array_position(ARRAY['critical', 'warning', 'notice'], c.severity), servers DESC,
         findings DESC, c.check_id COLLATE "C"
LIMIT 1000"#;

/// The critical findings, at most as many as a page shows: the first one of each server, then the second ones, so that no
/// server keeps those of the others out.
const CRITICAL: &str = r#"
SELECT f.server, f.source, f.subject, f.check_id, f.evidence
FROM (
    SELECT f.*, row_number() OVER (PARTITION BY f.server ORDER BY f.check_id COLLATE "C", f.finding_id) AS place
    FROM scram.fleet_findings f
    WHERE f.status <> 'fixed' AND f.severity = 'critical' AND NOT {accepted}
) f
ORDER BY f.place, f.server COLLATE "C"
LIMIT 500"#;

/// A caller may be granted the other views alone.
const SEES_SHARED: &str =
    "SELECT has_table_privilege('scram.fleet_shared', 'SELECT') AS sees_shared";

/// Secrets that clusters share, those of most clusters first, with as many roles as a line has room for.
const SHARED: &str = r#"
SELECT h.kind, h.clusters, h.members[:20] AS members, cardinality(h.members)::bigint AS roles, count(*) OVER () AS secrets
FROM scram.fleet_shared h
ORDER BY h.clusters DESC, roles DESC, h.members[1] COLLATE "C"
LIMIT 100"#;

/// The report on the servers in `scram.fleet_server`.
pub(super) fn fleet() -> Result<Fleet, ErrorReport> {
    let (collector, generated_at) = place()?;
    let sees_shared = one_row(query(SEES_SHARED, &[], |row| row.value("sees_shared"))?)?;
    let (shared, shared_secrets) = if sees_shared { shared()? } else { (Vec::new(), 0) };
    Ok(Fleet {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generated_at,
        collector,
        servers: servers()?,
        checks: checks()?,
        critical: critical()?,
        shared,
        shared_secrets,
        known_checks: CHECKS,
    })
}

fn servers() -> Result<Vec<FleetServer>, ErrorReport> {
    let text = SERVERS
        .replace("{accepted}", ACCEPTED)
        .replace("{seen}", &timestamp_columns("s.last_seen", "seen"))
        .replace("{started}", &timestamp_columns("r.started_at", "started"));
    query(&text, &[], |row| {
        Ok(FleetServer {
            name: row.text("name")?,
            last_seen: optional_timestamp(row, "seen")?,
            error: row.optional_text("error")?,
            last_run: optional_timestamp(row, "started")?,
            status: row.optional_text("status")?.unwrap_or_default(),
            findings: Counts {
                critical: row.value("critical")?,
                warning: row.value("warning")?,
                notice: row.value("notice")?,
                accepted: row.value("accepted")?,
            },
            left_out: row.value("left_out")?,
        })
    })
}

fn checks() -> Result<Vec<FleetCheck>, ErrorReport> {
    let known: Vec<_> = CHECKS.iter().map(|check| format!("'{}'", check.id)).collect();
    let text = COUNTS.replace("{accepted}", ACCEPTED).replace("{known}", &known.join(", "));
    query(&text, &[], |row| {
        Ok(FleetCheck {
            check_id: row.text("check_id")?,
            severity: severity(&row.text("severity")?)?,
            findings: row.value("findings")?,
            servers: row.value("servers")?,
        })
    })
}

fn critical() -> Result<Vec<FleetFinding>, ErrorReport> {
    query(&CRITICAL.replace("{accepted}", ACCEPTED), &[], |row| {
        Ok(FleetFinding {
            server: row.text("server")?,
            source: row.text("source")?,
            subject: row.text("subject")?,
            check_id: row.text("check_id")?,
            evidence: row.text("evidence")?,
        })
    })
}

/// The first of them, and how many there are.
fn shared() -> Result<(Vec<SharedSecret>, i64), ErrorReport> {
    let rows = query(SHARED, &[], |row| {
        let secret = SharedSecret {
            kind: row.text("kind")?,
            clusters: row.value("clusters")?,
            members: row.optional_texts("members")?.unwrap_or_default(),
            roles: row.value("roles")?,
        };
        Ok((secret, row.value("secrets")?))
    })?;
    let secrets = rows.first().map_or(0, |(_, secrets)| *secrets);
    Ok((rows.into_iter().map(|(secret, _)| secret).collect(), secrets))
}
