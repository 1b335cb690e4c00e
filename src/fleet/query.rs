//! The statements that a server of the fleet is asked.

use core::time::Duration;
use std::ffi::CString;

/// One message, in a transaction of its own that only reads. All names that are not the extension's are of pg_catalog.
///
/// Column `system_identifier` is read as a member of the row, because scram_ext 0.1.0 has no such column. Notes of
/// acceptances, digests of facts and earlier states stay where they are.
const STATEMENTS: &str = r"
BEGIN READ ONLY;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL statement_timeout = {timeout};
WITH run AS (
    SELECT r.* FROM scram.audit_run r ORDER BY r.run_id DESC LIMIT 30
), finding AS (
    SELECT f.* FROM scram.audit_finding f
    WHERE NOT f.is_off AND (f.status <> 'fixed' OR f.last_run >= (SELECT min(r.run_id) FROM run r))
)
SELECT 'server', jsonb_build_object(
    'system_identifier', (SELECT c.system_identifier FROM pg_control_system() c),
    'database', current_database(), 'cluster_name', current_setting('cluster_name'),
    'server_version', current_setting('server_version'),
    'extension_version', (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'scram_ext'),
    'started_at', pg_postmaster_start_time(),
    'findings', (SELECT count(*) FROM finding))::text
UNION ALL
SELECT 'run', jsonb_build_object(
    'run_id', r.run_id, 'started_at', r.started_at, 'finished_at', r.finished_at, 'status', r.status,
    'subjects', r.subjects, 'candidates_tested', r.candidates_tested, 'candidates_left', r.candidates_left,
    'findings_new', r.findings_new, 'findings_fixed', r.findings_fixed, 'findings_open', r.findings_open,
    'system_identifier', to_jsonb(r) -> 'system_identifier')::text
FROM run r
UNION ALL
(SELECT 'finding', jsonb_build_object(
    'finding_id', f.finding_id, 'source', left(f.source, 128), 'subject', left(f.subject, 1024),
    'check_id', f.check_id, 'severity', f.severity, 'evidence', left(f.evidence, 4096), 'first_run', f.first_run,
    'last_run', f.last_run, 'status', f.status, 'accepted_until', f.accepted_until,
    'system_identifier', to_jsonb(f) -> 'system_identifier')::text
FROM finding f
ORDER BY f.status = 'fixed', array_position(ARRAY['critical', 'warning', 'notice'], f.severity), f.finding_id
LIMIT 10000)
UNION ALL
(SELECT 'census', jsonb_build_object(
    'entry', c.entry, 'run_id', c.run_id, 'source', left(c.source, 128), 'kind', c.kind, 'iterations', c.iterations,
    'subjects', c.subjects, 'system_identifier', to_jsonb(c) -> 'system_identifier')::text
FROM scram.audit_census c
WHERE c.run_id = (SELECT max(l.run_id) FROM scram.audit_census l)
ORDER BY c.entry
LIMIT 1000)
UNION ALL
SELECT 'digests', '{}'
WHERE current_setting('scram.fleet_key_file', true) <> ''
    AND has_function_privilege(to_regprocedure('scram.fleet_digests()'), 'EXECUTE');
COMMIT;
";

/// What a server is asked that says that it makes digests: 0.1.0 does not have the function.
const DIGESTS: &str = r"
BEGIN READ ONLY;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL statement_timeout = {timeout};
SELECT 'digest', jsonb_build_object('subject', d.subject, 'kind', d.kind, 'digest', encode(d.digest, 'hex'))::text
FROM scram.fleet_digests() d
LIMIT 20000;
COMMIT;
";

/// The statements for a server.
pub(super) struct Queries {
    /// For each server.
    pub(super) first: CString,
    /// For one whose answer has a part [`Queries::HAS_DIGESTS`].
    pub(super) digests: CString,
}

impl Queries {
    pub(super) const HAS_DIGESTS: &[u8] = b"digests";
}

/// The statements for servers that are waited for so long: they give up when the collector does.
pub(super) fn queries(timeout: Duration) -> Queries {
    let within = |text: &str| {
        let text = text.replace("{timeout}", &timeout.as_millis().to_string());
        // The constants have no NUL.
        CString::new(text).unwrap_or_default()
    };
    Queries { first: within(STATEMENTS), digests: within(DIGESTS) }
}
