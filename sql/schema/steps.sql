-- The steps of a stored audit that read secrets and merge findings.
--
-- These functions run with enable_nestloop = off. Their tables can grow by a million rows within one statement, so row
-- estimates are stale, and a nested loop planned for one row would run for hours.

-- First step: the words that are to be tried; roles and server, by all checks that derive no keys. Internal.
CREATE FUNCTION scram_internal.scan_cluster(run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
DECLARE
    fixed bigint;
BEGIN
    PERFORM scram_internal.prune_password_history();
    -- Open an accepted finding again when its time is over.
    UPDATE scram.audit_finding f SET status = 'open', accepted_until = NULL
    WHERE f.status = 'accepted' AND f.accepted_until <= clock_timestamp();

    PERFORM scram_internal.sync_candidates();
    PERFORM scram_internal.take_inventory(run);

    -- A role that was renamed is still the registrant.
    UPDATE scram.audit_source s SET registrant = r.rolname
    FROM pg_roles r
    WHERE r.oid = s.registrant_oid AND r.rolname <> s.registrant;
    -- Remove the rows of sources that are no longer registered.
    DELETE FROM scram_internal.stored_secret t
    WHERE t.source <> 'role' AND NOT EXISTS (SELECT FROM scram.audit_source s WHERE s.name = t.source);
    DELETE FROM scram_internal.source_claim r WHERE NOT EXISTS (SELECT FROM scram.audit_source s WHERE s.name = r.source);
    UPDATE scram.audit_finding f SET status = 'fixed'
    WHERE f.status <> 'fixed' AND f.source NOT IN ('role', 'server')
        AND NOT EXISTS (SELECT FROM scram.audit_source s WHERE s.enabled AND s.name = f.source);
    GET DIAGNOSTICS fixed = ROW_COUNT;
    UPDATE scram.audit_run r
    SET subjects = (SELECT count(*) FROM pg_authid), findings_fixed = r.findings_fixed + fixed
    WHERE r.run_id = run;

    WITH seen AS MATERIALIZED (
        SELECT s.* FROM scram_internal.role_secrets() s
    ), gone AS (
        DELETE FROM scram_internal.stored_secret t
        WHERE t.source = 'role'
            AND NOT EXISTS (SELECT FROM seen WHERE (seen.subject, seen.digest) = (t.subject, t.digest))
    ), known AS (
        UPDATE scram_internal.stored_secret t SET candidates = seen.candidates
        FROM seen
        WHERE (t.source, t.subject, t.digest) = ('role', seen.subject, seen.digest) AND t.candidates <> seen.candidates
    )
    INSERT INTO scram_internal.stored_secret AS t (source, subject, digest, first_seen, candidates)
    SELECT 'role', seen.subject, seen.digest, clock_timestamp(), seen.candidates
    FROM seen
    WHERE NOT EXISTS (
        SELECT FROM scram_internal.stored_secret t WHERE (t.source, t.subject, t.digest) = ('role', seen.subject, seen.digest));

    INSERT INTO scram_internal.step_finding (source, subject, check_id, severity, evidence)
    SELECT s.source, s.subject, s.check_id, s.severity, s.evidence FROM scram_internal.cluster_findings(false) s
    UNION ALL
    SELECT s.source, s.subject, s.check_id, s.severity, s.evidence FROM scram_internal.source_readers() s;
    PERFORM scram_internal.merge_findings(run, ARRAY['role', 'server']);
END
$$;

-- Numbers new words and removes words that are gone. Internal.
CREATE FUNCTION scram_internal.sync_candidates() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
BEGIN
    -- One hash join: two anti joins sort a long list twice.
    WITH differing AS MATERIALIZED (
        SELECT wanted.check_id, wanted.word, n.word_id
        FROM (
            SELECT c.check_id, c.word FROM scram_internal.candidates_by_server() c
            UNION ALL
            SELECT 'password_in_wordlist', convert_to(w.word, getdatabaseencoding()) FROM scram.wordlist w
        ) wanted
        FULL JOIN scram_internal.candidate n ON (n.check_id, n.word) = (wanted.check_id, wanted.word)
        WHERE wanted.word IS NULL OR n.word_id IS NULL
    ), gone AS (
        DELETE FROM scram_internal.candidate n
        USING differing d
        WHERE n.word_id = d.word_id
        RETURNING n.check_id
    ), again AS (
        -- No record says which word hit, so try again: it may have been one of the removed words.
        UPDATE scram_internal.stored_secret t SET own_edition = 0, words_through = 0, hits = '{}'
        WHERE t.hits ?| (SELECT array_agg(gone.check_id) FROM gone)
    )
    INSERT INTO scram_internal.candidate (check_id, word)
    SELECT d.check_id, d.word FROM differing d WHERE d.word_id IS NULL;
END
$$;

-- Chooses the source that the next step reads, or goes on to the next stage. Internal.
CREATE FUNCTION scram_internal.claim_source(run bigint, deadline timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    next_source text;
BEGIN
    IF clock_timestamp() < deadline THEN
        -- Record the attempt, and commit, before the source is read. If reading it kills the session, the next run starts with
        -- the other sources.
        INSERT INTO scram_internal.source_claim AS r (source, run_id)
        SELECT s.name, run
        FROM scram.audit_source s
        LEFT JOIN scram_internal.source_claim l ON l.source = s.name
        WHERE s.enabled AND l.run_id IS DISTINCT FROM run
        ORDER BY l.run_id NULLS FIRST, s.name
        LIMIT 1
        ON CONFLICT (source) DO UPDATE SET run_id = excluded.run_id
        RETURNING r.source INTO next_source;
    END IF;
    UPDATE scram_internal.current_run p
    SET source = next_source, stage = CASE WHEN next_source IS NULL THEN 'passwords' ELSE 'sources' END;
    IF next_source IS NULL THEN
        UPDATE scram.audit_run r SET candidates_left = scram_internal.candidates_left() WHERE r.run_id = run;
    END IF;
END
$$;

-- A step for each source: reads it, by all checks that derive no keys. Internal.
CREATE FUNCTION scram_internal.scan_source(run bigint, source text, deadline timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    this_source CONSTANT text := scan_source.source;
    -- The first source of a run is read to its end: otherwise a source that takes longer than the budget would never be
    -- read.
    is_first CONSTANT boolean := NOT EXISTS (
        SELECT FROM scram_internal.source_claim r WHERE r.run_id = run AND r.source <> this_source);
    time_left CONSTANT integer := CASE
        WHEN NOT is_first
        THEN greatest(least(1000 * extract(epoch FROM deadline - clock_timestamp()), 2147483647), 0)
    END;
    state text;
    message text;
BEGIN
    BEGIN
        WITH judged AS MATERIALIZED (
            SELECT j.* FROM scram_internal.source_findings(this_source, time_left) j
        ), gone AS (
            DELETE FROM scram_internal.stored_secret t
            WHERE t.source = this_source
                AND NOT EXISTS (SELECT FROM judged j WHERE (j.subject, j.digest) = (t.subject, t.digest))
        ), known AS (
            UPDATE scram_internal.stored_secret t SET candidates = j.candidates
            FROM judged j
            WHERE (t.source, t.subject, t.digest) = (this_source, j.subject, j.digest) AND t.candidates <> j.candidates
        ), secrets AS (
            -- Insert new secrets alone, because ON CONFLICT would write to the known rows too.
            INSERT INTO scram_internal.stored_secret (source, subject, digest, first_seen, candidates)
            SELECT DISTINCT ON (j.subject, j.digest) this_source, j.subject, j.digest, clock_timestamp(), j.candidates
            FROM judged j
            WHERE j.digest IS NOT NULL AND NOT EXISTS (
                SELECT FROM scram_internal.stored_secret t
                WHERE (t.source, t.subject, t.digest) = (this_source, j.subject, j.digest))
        ), counted AS (
            UPDATE scram.audit_run r
            SET subjects = r.subjects + (SELECT count(*) FROM judged j WHERE j.check_id IS NULL)
            WHERE r.run_id = run
        ), census AS (
            -- A run reads a source once.
            INSERT INTO scram.audit_census (run_id, source, kind, iterations, subjects)
            SELECT run, this_source, coalesce(j.kind, 'none'), j.iterations, count(*)
            FROM judged j
            WHERE j.check_id IS NULL
            GROUP BY 3, 4
        )
        INSERT INTO scram_internal.step_finding (source, subject, check_id, severity, evidence)
        SELECT j.found_in, j.subject, j.check_id, c.severity, min(j.evidence)
            || CASE WHEN count(*) > 1 THEN format(' (and %s more rows of this name)', count(*) - 1) ELSE '' END
        FROM judged j
        JOIN scram.audit_checks() c ON c.check_id = j.check_id
        GROUP BY j.found_in, j.subject, j.check_id, c.severity;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
    END;
    IF state IS NULL THEN
        PERFORM scram_internal.merge_findings(run, ARRAY[this_source]);
    ELSIF state = '53400' THEN
        -- The time of the run is over. The next run begins with this source.
        UPDATE scram_internal.source_claim r SET run_id = 0 WHERE r.source = this_source;
    ELSE
        INSERT INTO scram_internal.step_finding (source, subject, check_id, severity, evidence)
        SELECT u.* FROM scram_internal.unreadable_finding(this_source, state, message) u;
        -- Earlier findings on its rows stand.
        PERFORM scram_internal.merge_findings(run, ARRAY[]::text[]);
    END IF;
END
$$;

-- Brings the findings of these sources in line with scram_internal.step_finding, and empties that. Internal.
CREATE FUNCTION scram_internal.merge_findings(run bigint, sources text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
DECLARE
    fixed bigint;
BEGIN
    -- Add the passwords that earlier runs found, on secrets that are still stored.
    INSERT INTO scram_internal.step_finding (source, subject, check_id, severity, evidence)
    SELECT DISTINCT t.source, t.subject, g.check_id, g.severity, h.value
    FROM scram_internal.stored_secret t
    CROSS JOIN LATERAL jsonb_each_text(t.hits) h
    JOIN scram_internal.guess_checks() g ON g.check_id = h.key
    WHERE t.source = ANY (sources) AND t.hits <> '{}';

    WITH known AS (
        UPDATE scram.audit_finding f SET severity = found.severity, evidence = found.evidence, last_run = run
        FROM scram_internal.step_finding found
        WHERE f.status <> 'fixed' AND (f.source, f.subject, f.check_id) = (found.source, found.subject, found.check_id)
    )
    INSERT INTO scram.audit_finding (source, subject, check_id, severity, evidence, first_run, last_run, status)
    SELECT found.*, run, run, 'open'
    FROM scram_internal.step_finding found
    -- Anti-join against audit_finding, not against the rows that the UPDATE returns. The planner estimates those from
    -- step_finding, which is empty between steps, and would pick a quadratic plan.
    WHERE NOT EXISTS (
        SELECT FROM scram.audit_finding k
        WHERE k.status <> 'fixed' AND (k.source, k.subject, k.check_id) = (found.source, found.subject, found.check_id))
    ORDER BY array_position(ARRAY['critical', 'warning', 'notice'], found.severity), found.check_id, found.source, found.subject;
    DELETE FROM scram_internal.step_finding;

    -- All other findings are fixed, except two kinds: a guess that is still to be tried again, and a source that was not read.
    UPDATE scram.audit_finding f SET status = 'fixed'
    WHERE f.source = ANY (sources) AND f.status <> 'fixed' AND f.last_run < run
        AND f.check_id <> 'source_unreadable'
        AND NOT scram_internal.is_guess_pending(f.source, f.subject, f.check_id);
    GET DIAGNOSTICS fixed = ROW_COUNT;
    UPDATE scram.audit_run r SET findings_fixed = r.findings_fixed + fixed WHERE r.run_id = run;
END
$$;

-- Whether a check has passwords left to try on a subject. Internal.
CREATE FUNCTION scram_internal.is_guess_pending(source text, subject text, check_id text) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $3 IN (SELECT g.check_id FROM scram_internal.guess_checks() g) AND EXISTS (
        SELECT FROM scram_internal.stored_secret t
        WHERE t.source = $1 AND t.subject = $2 AND t.candidates > 0 AND (
            t.own_edition < scram_internal.guess_version()
            OR EXISTS (SELECT FROM scram_internal.candidate w WHERE w.check_id = $3 AND w.word_id > t.words_through)))
$$;

COMMENT ON FUNCTION scram_internal.is_guess_pending(text, text, text) IS
    'internal to scram.run_audit(): whether a check has passwords left to try on a subject';
COMMENT ON FUNCTION scram_internal.merge_findings(bigint, text[]) IS 'internal to scram.run_audit(): stores what a step has found';
COMMENT ON FUNCTION scram_internal.claim_source(bigint, timestamptz) IS
    'internal to scram.run_audit(): chooses the source that the next step reads';
COMMENT ON FUNCTION scram_internal.sync_candidates() IS 'internal to scram.run_audit(): numbers the words that are new';
COMMENT ON FUNCTION scram_internal.scan_cluster(bigint) IS 'internal to scram.run_audit(): its first part';
COMMENT ON FUNCTION scram_internal.scan_source(bigint, text, timestamptz) IS 'internal to scram.run_audit(): its part for a source';
