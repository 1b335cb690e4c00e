-- After each reading and each hit of a stored audit: what the slices of a source have stored becomes findings.

-- Brings the findings that a source decides about in line with what is stored of it. With guesses_only, the findings of
-- checks that try passwords. Internal.
CREATE FUNCTION scram_internal.merge_findings(run bigint, source text, guesses_only boolean) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    this_source CONSTANT text := merge_findings.source;
    fixed bigint;
BEGIN
    INSERT INTO scram_internal.step_finding (source, subject, check_id, severity, evidence, is_judged)
    SELECT f.source, f.subject, f.check_id, f.severity, f.evidence, true
    FROM scram_internal.source_findings(this_source, false, 'finding') f
    WHERE NOT guesses_only
  UNION ALL
    SELECT u.source, u.subject, u.check_id, u.severity, u.evidence, true
    FROM scram_internal.source_state s
    CROSS JOIN LATERAL scram_internal.unreadable_finding(
        s.source, coalesce(s.failure, scram_internal.failed_slices(s.source))) u
    WHERE s.source = this_source AND u.evidence IS NOT NULL AND NOT guesses_only
  UNION ALL
    SELECT g.source, g.subject, g.check_id, g.severity, g.evidence, g.is_judged
    FROM scram_internal.guess_findings(this_source) g;

    WITH known AS (
        UPDATE scram.audit_finding f
        SET severity = found.severity, evidence = found.evidence, last_run = run, decided_by = this_source
        FROM scram_internal.step_finding found
        WHERE found.is_judged AND f.status <> 'fixed'
            AND (f.source, f.subject, f.check_id) = (found.source, found.subject, found.check_id)
    )
    INSERT INTO scram.audit_finding (source, subject, check_id, severity, evidence, first_run, last_run, status, decided_by)
    SELECT found.source, found.subject, found.check_id, found.severity, found.evidence, run, run, 'open', this_source
    FROM scram_internal.step_finding found
    -- Anti-join against audit_finding, not against the rows that the UPDATE returns. The planner estimates those from
    -- step_finding, which is empty between steps, and would pick a quadratic plan.
    WHERE found.is_judged AND NOT EXISTS (
        SELECT FROM scram.audit_finding k
        WHERE k.status <> 'fixed' AND (k.source, k.subject, k.check_id) = (found.source, found.subject, found.check_id))
    ORDER BY array_position(ARRAY['critical', 'warning', 'notice'], found.severity), found.check_id, found.source, found.subject;

    -- A finding that came and went within this run was never one: a later slice has other names to show.
    WITH gone AS (
        SELECT f.finding_id, f.first_run = run AS is_fresh
        FROM scram.audit_finding f
        WHERE f.decided_by = this_source AND f.status <> 'fixed'
            AND CASE
                WHEN f.check_id IN (SELECT g.check_id FROM scram_internal.guess_checks() g)
                THEN (SELECT s.is_settled FROM scram_internal.source_state s WHERE s.source = this_source)
                ELSE NOT guesses_only
            END
            AND NOT EXISTS (
                SELECT FROM scram_internal.step_finding k
                WHERE (k.source, k.subject, k.check_id) = (f.source, f.subject, f.check_id))
    ), removed AS (
        DELETE FROM scram.audit_finding f USING gone g WHERE f.finding_id = g.finding_id AND g.is_fresh
    )
    UPDATE scram.audit_finding f SET status = 'fixed' FROM gone g WHERE f.finding_id = g.finding_id AND NOT g.is_fresh;
    GET DIAGNOSTICS fixed = ROW_COUNT;
    UPDATE scram.audit_run r SET findings_fixed = r.findings_fixed + fixed WHERE r.run_id = run;
    DELETE FROM scram_internal.step_finding;
END
$$;

COMMENT ON FUNCTION scram_internal.merge_findings(bigint, text, boolean) IS 'internal to scram.run_audit(): stores the findings on a source';
