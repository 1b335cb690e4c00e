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
    cluster CONSTANT bigint := (SELECT r.system_identifier FROM scram_internal.stored_run r WHERE r.run_id = run);
    fixed bigint;
BEGIN
    INSERT INTO scram_internal.step_finding (source, subject, check_id, severity, evidence, context, facts, is_judged)
    SELECT f.source, f.subject, f.check_id, f.severity, f.evidence, f.context, f.severity || ' ' || f.facts, true
    FROM scram_internal.source_findings(this_source, false, 'finding') f
    WHERE NOT guesses_only
  UNION ALL
    SELECT u.source, u.subject, u.check_id, u.severity, u.evidence, '', u.severity || ' ' || u.evidence, true
    FROM scram_internal.source_state s
    CROSS JOIN LATERAL scram_internal.unreadable_finding(
        s.source, coalesce(s.failure, scram_internal.failed_slices(s.source))) u
    WHERE s.source = this_source AND u.evidence IS NOT NULL AND NOT guesses_only
  UNION ALL
    SELECT g.source, g.subject, g.check_id, g.severity, g.evidence, '', g.severity || ' ' || g.facts, g.is_judged
    FROM scram_internal.guess_findings(this_source) g;
    PERFORM scram_internal.apply_policy(this_source, guesses_only);

    WITH named AS (
        -- Two roles with one name, if one of them was renamed while the names were collected, must not double a finding.
        SELECT 'role' AS source, r.subject, max(r.role) AS role
        FROM scram_internal.known_role r
        WHERE this_source = 'role'
        GROUP BY r.subject
    ), known AS (
        UPDATE scram.audit_finding f
        SET severity = found.severity, evidence = found.evidence, context = found.context, facts = found.digest,
            last_run = run, decided_by = this_source, system_identifier = cluster, role = found.role,
            status = CASE WHEN f.status = 'accepted' AND f.facts <> found.digest THEN 'open' ELSE f.status END,
            accepted_until = CASE WHEN f.facts <> found.digest THEN NULL ELSE f.accepted_until END,
            note = CASE WHEN f.status = 'accepted' AND f.facts <> found.digest
                THEN scram_internal.ended_note(f.severity, f.evidence, f.note, run) ELSE f.note END
        FROM (
            SELECT s.*, scram_internal.facts_digest(s.facts) AS digest, k.role
            FROM scram_internal.step_finding s
            LEFT JOIN named k USING (source, subject)
            WHERE s.is_judged
        ) found
        WHERE f.status <> 'fixed'
            AND (f.source, f.subject, f.check_id) = (found.source, found.subject, found.check_id)
    )
    INSERT INTO scram.audit_finding (
        source, subject, check_id, severity, evidence, context, facts, first_run, last_run, status, decided_by,
        system_identifier, role)
    SELECT found.source, found.subject, found.check_id, found.severity, found.evidence, found.context,
           scram_internal.facts_digest(found.facts), run, run, 'open', this_source, cluster, k.role
    FROM scram_internal.step_finding found
    LEFT JOIN named k USING (source, subject)
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
        WHERE f.decided_by = this_source AND f.status <> 'fixed' AND NOT f.is_off
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
    UPDATE scram_internal.stored_run r SET findings_fixed = r.findings_fixed + fixed WHERE r.run_id = run;
    DELETE FROM scram_internal.step_finding;
END
$$;

-- The digest of what was judged. Not md5(), which a server in FIPS mode refuses. Internal.
CREATE FUNCTION scram_internal.facts_digest(facts text) RETURNS bytea
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT sha256(convert_to(facts, getdatabaseencoding()));
END;

-- The note of a finding whose acceptance has ended, because other facts were judged. The earlier note stays, as far as there is
-- room for it. Internal.
CREATE FUNCTION scram_internal.ended_note(severity text, evidence text, note text, run bigint) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('accepted as %s (%s), until the facts changed in run %s%s',
                  $1, left($2, 500), $4, ': ' || CASE WHEN octet_length($3) <= 4096 THEN $3 ELSE left($3, 1000) || '...' END)
$$;

-- Follows the roles since the last run: findings on a role that was renamed get its new name, with their acceptances and their
-- history. Those on a role that is gone are fixed, so that a new role of that name starts without. Returns how many are fixed.
-- Internal.
CREATE FUNCTION scram_internal.follow_roles() RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fixed bigint;
    replaced bigint;
BEGIN
    WITH gone AS (
        DELETE FROM scram_internal.known_role k
        WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = k.role)
        RETURNING k.role, k.subject
    ), hits AS (
        DELETE FROM scram_internal.guess_hit h USING gone g WHERE h.source = 'role' AND h.subject = g.subject
    ), secrets AS (
        DELETE FROM scram_internal.role_secret s USING gone g WHERE s.role = g.role
    )
    UPDATE scram.audit_finding f SET status = 'fixed' FROM gone g
    WHERE f.source = 'role' AND f.status <> 'fixed' AND f.subject = g.subject;
    GET DIAGNOSTICS fixed = ROW_COUNT;

    -- Two roles may have exchanged their names, so that each finding has a subject of its own in between. A role's name has at
    -- most 63 bytes, so that no role can be given such a name.
    UPDATE scram.audit_finding f SET subject = repeat(' ', 64) || k.role
    FROM scram_internal.known_role k
    JOIN pg_roles r ON r.oid = k.role AND r.rolname <> k.subject
    WHERE f.source = 'role' AND f.status <> 'fixed' AND f.subject = k.subject;
    -- A finding that is still under the new name is about a role of another cluster, or was opened again by hand. It would
    -- stop the next statement, and each later run, because the name would not be unique.
    UPDATE scram.audit_finding f SET status = 'fixed'
    FROM scram_internal.known_role k
    JOIN pg_roles r ON r.oid = k.role AND r.rolname <> k.subject
    WHERE f.source = 'role' AND f.status <> 'fixed' AND f.subject = r.rolname;
    GET DIAGNOSTICS replaced = ROW_COUNT;
    UPDATE scram.audit_finding f SET subject = r.rolname
    FROM scram_internal.known_role k
    JOIN pg_roles r ON r.oid = k.role AND r.rolname <> k.subject
    WHERE f.source = 'role' AND f.status <> 'fixed' AND f.subject = repeat(' ', 64) || k.role;
    UPDATE scram_internal.guess_hit h SET subject = r.rolname
    FROM scram_internal.known_role k
    JOIN scram_internal.role_secret s ON s.role = k.role
    JOIN pg_roles r ON r.oid = k.role AND r.rolname <> k.subject
    WHERE h.source = 'role' AND h.digest = s.digest;
    UPDATE scram_internal.role_secret s SET subject = r.rolname
    FROM pg_roles r
    WHERE r.oid = s.role AND s.subject <> r.rolname;

    INSERT INTO scram_internal.known_role AS k (role, subject)
    SELECT r.oid, r.rolname FROM pg_roles r
    ON CONFLICT (role) DO UPDATE SET subject = excluded.subject WHERE k.subject <> excluded.subject;
    RETURN fixed + replaced;
END
$$;

COMMENT ON FUNCTION scram_internal.facts_digest(text) IS 'internal to scram.run_audit(): digest of what was judged';
COMMENT ON FUNCTION scram_internal.ended_note(text, text, text, bigint) IS
    'internal to scram.run_audit(): the note of a finding whose acceptance has ended';
COMMENT ON FUNCTION scram_internal.follow_roles() IS 'internal to scram.run_audit(): follows renamed and dropped roles';
COMMENT ON FUNCTION scram_internal.merge_findings(bigint, text, boolean) IS 'internal to scram.run_audit(): stores the findings on a source';
