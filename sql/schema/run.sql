-- The stored audit: a procedure that commits as it goes, and its steps.

-- No SET clause and no SECURITY DEFINER: with either a procedure can't commit. So everything is qualified, nothing but
-- calls and COMMIT stands here, and the work is in functions that have both.
CREATE PROCEDURE scram.run_audit(INOUT run_id bigint DEFAULT NULL, budget interval DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
    more boolean;
BEGIN
    PERFORM scram.audit_ready();
    run_id := scram.audit_begin(budget);
    COMMIT;
    more := run_id IS NOT NULL;
    WHILE more LOOP
        more := scram.audit_step(run_id);
        COMMIT;
    END LOOP;
END
$$;

-- The functions below are executable by whoever may run the audit. That can't be a grant on each of them, as the
-- administrator grants the procedure; so they ask for it themselves. A definer's current_user is its owner: the caller
-- is who is logged in, or who was chosen by SET ROLE.
CREATE FUNCTION scram.audit_authorize() RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    caller name := CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role')::name END;
BEGIN
    IF scram.audit_restricted() OR NOT has_function_privilege(caller, 'scram.run_audit(bigint, interval)', 'EXECUTE') THEN
        RAISE insufficient_privilege USING MESSAGE = 'permission denied for procedure run_audit';
    END IF;
END
$$;

-- Starts a run; NULL if another one is at work. Internal.
CREATE FUNCTION scram.audit_begin(budget interval) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Longer is no budget any more, and soon no timestamp either.
    longest CONSTANT interval := interval '100 years';
    run bigint;
    progress scram.audit_progress;
BEGIN
    PERFORM scram.audit_authorize();
    IF budget < interval '0' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the budget of an audit must not be negative';
    END IF;

    -- Locked until the commit: then somebody else is at work in a step.
    SELECT p.* INTO progress FROM scram.audit_progress p FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RAISE NOTICE 'another audit is running';
        RETURN NULL;
    END IF;
    -- Between two steps there is only the row.
    PERFORM FROM pg_stat_activity a
    WHERE a.pid = progress.pid AND a.backend_start = progress.backend_start AND a.pid <> pg_backend_pid();
    IF FOUND THEN
        RAISE NOTICE 'another audit is running'
            USING DETAIL = format('Run %s, in the server process %s.', progress.run_id, progress.pid);
        RETURN NULL;
    END IF;

    -- Cancelled, killed, or its server went down. What it committed stays.
    UPDATE scram.audit_run r SET status = 'interrupted' WHERE r.status = 'running';

    INSERT INTO scram.audit_run (started_at, status) VALUES (clock_timestamp(), 'running')
    RETURNING audit_run.run_id INTO run;
    UPDATE scram.audit_progress p
    SET run_id = run, pid = a.pid, backend_start = a.backend_start, stage = 'roles', source = NULL,
        deadline = clock_timestamp()
            + least(coalesce(budget, current_setting('scram.audit_budget')::interval), longest)
    FROM pg_stat_activity a
    WHERE a.pid = pg_backend_pid();
    RETURN run;
END
$$;

-- Does a part of a run; false when it has ended. Internal.
CREATE FUNCTION scram.audit_step(run bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- The cost of what it calls is high, but it isn't the executor's: compiling would be a tenth of a second for nothing.
SET jit = off
AS $$
DECLARE
    progress scram.audit_progress;
BEGIN
    PERFORM scram.audit_authorize();
    SELECT p.* INTO progress FROM scram.audit_progress p WHERE p.run_id = run AND p.pid = pg_backend_pid() FOR UPDATE;
    IF NOT FOUND THEN
        RAISE object_not_in_prerequisite_state
            USING MESSAGE = 'this session runs no audit', HINT = 'Use CALL scram.run_audit().';
    END IF;

    IF progress.stage = 'roles' THEN
        PERFORM scram.audit_step_roles(run);
        UPDATE scram.audit_progress SET stage = 'sources';
    ELSIF progress.stage = 'sources' THEN
        IF progress.source IS NOT NULL THEN
            PERFORM scram.audit_step_source(run, progress.source);
        END IF;
        PERFORM scram.audit_next_source(run, progress.deadline);
    ELSIF scram.audit_step_try(run, progress.deadline) THEN
        PERFORM scram.audit_finish(run);
        RETURN false;
    END IF;
    RETURN true;
END
$$;

-- First step: the words that are to be tried; roles and server, by all checks that derive no keys. Internal.
CREATE FUNCTION scram.audit_step_roles(run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fixed bigint;
BEGIN
    PERFORM scram.password_history_prune();
    -- An accepted finding whose time is over is open again.
    UPDATE scram.audit_finding f SET status = 'open', accepted_until = NULL
    WHERE f.status = 'accepted' AND f.accepted_until <= clock_timestamp();

    PERFORM scram.audit_number_words();
    PERFORM scram.audit_take_census(run);

    -- What is left of sources that are gone.
    DELETE FROM scram.audit_secret t
    WHERE t.source <> 'role' AND NOT EXISTS (SELECT FROM scram.audit_source s WHERE s.name = t.source);
    DELETE FROM scram.audit_reading r WHERE NOT EXISTS (SELECT FROM scram.audit_source s WHERE s.name = r.source);
    UPDATE scram.audit_finding f SET status = 'fixed'
    WHERE f.status <> 'fixed' AND f.source NOT IN ('role', 'server')
        AND NOT EXISTS (SELECT FROM scram.audit_source s WHERE s.enabled AND s.name = f.source);
    GET DIAGNOSTICS fixed = ROW_COUNT;
    UPDATE scram.audit_run r
    SET subjects = (SELECT count(*) FROM pg_authid), findings_fixed = r.findings_fixed + fixed
    WHERE r.run_id = run;

    WITH seen AS MATERIALIZED (
        SELECT s.* FROM scram.audit_secrets() s
    ), gone AS (
        DELETE FROM scram.audit_secret t
        WHERE t.source = 'role'
            AND NOT EXISTS (SELECT FROM seen WHERE (seen.subject, seen.digest) = (t.subject, t.digest))
    ), known AS (
        UPDATE scram.audit_secret t SET candidates = seen.candidates
        FROM seen
        WHERE (t.source, t.subject, t.digest) = ('role', seen.subject, seen.digest) AND t.candidates <> seen.candidates
    )
    INSERT INTO scram.audit_secret AS t (source, subject, digest, first_seen, candidates)
    SELECT 'role', seen.subject, seen.digest, clock_timestamp(), seen.candidates
    FROM seen
    WHERE NOT EXISTS (
        SELECT FROM scram.audit_secret t WHERE (t.source, t.subject, t.digest) = ('role', seen.subject, seen.digest));

    INSERT INTO scram.audit_found (source, subject, check_id, severity, evidence)
    SELECT s.source, s.subject, s.check_id, s.severity, s.evidence FROM scram.audit_scan(false) s;
    PERFORM scram.audit_merge(run, ARRAY['role', 'server']);
END
$$;

-- Numbers the words that are new, and forgets those that are gone. Internal.
CREATE FUNCTION scram.audit_number_words() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH wanted AS MATERIALIZED (
        SELECT c.check_id, c.word FROM scram.audit_common() c
        UNION ALL
        SELECT 'password_in_wordlist', convert_to(w.word, getdatabaseencoding()) FROM scram.wordlist w
    ), gone AS (
        DELETE FROM scram.audit_word n
        WHERE NOT EXISTS (SELECT FROM wanted WHERE (wanted.check_id, wanted.word) = (n.check_id, n.word))
        RETURNING n.check_id
    ), again AS (
        -- Nothing says which word it was that hit: it may be one that is gone.
        UPDATE scram.audit_secret t SET own_edition = 0, words_through = 0, hits = '{}'
        WHERE t.hits ?| (SELECT array_agg(gone.check_id) FROM gone)
    )
    INSERT INTO scram.audit_word (check_id, word)
    SELECT wanted.check_id, wanted.word
    FROM wanted
    WHERE NOT EXISTS (
        SELECT FROM scram.audit_word n WHERE (n.check_id, n.word) = (wanted.check_id, wanted.word));
END
$$;

-- Chooses the source that the next step reads, or goes on to the next stage. Internal.
CREATE FUNCTION scram.audit_next_source(run bigint, deadline timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    next_source text;
BEGIN
    IF clock_timestamp() < deadline THEN
        -- That it was begun is committed before it is read: one that ends the session each night doesn't keep the others
        -- from their turn.
        INSERT INTO scram.audit_reading AS r (source, run_id)
        SELECT s.name, run
        FROM scram.audit_source s
        LEFT JOIN scram.audit_reading l ON l.source = s.name
        WHERE s.enabled AND l.run_id IS DISTINCT FROM run
        ORDER BY l.run_id NULLS FIRST, s.name
        LIMIT 1
        ON CONFLICT (source) DO UPDATE SET run_id = excluded.run_id
        RETURNING r.source INTO next_source;
    END IF;
    UPDATE scram.audit_progress p
    SET source = next_source, stage = CASE WHEN next_source IS NULL THEN 'passwords' ELSE 'sources' END;
    IF next_source IS NULL THEN
        UPDATE scram.audit_run r SET candidates_left = scram.audit_left() WHERE r.run_id = run;
    END IF;
END
$$;

-- A step for each source: reads it, by all checks that derive no keys. Internal.
CREATE FUNCTION scram.audit_step_source(run bigint, source text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    this_source CONSTANT text := audit_step_source.source;
    state text;
BEGIN
    BEGIN
        WITH judged AS MATERIALIZED (
            SELECT j.* FROM scram.audit_judge(this_source) j
        ), gone AS (
            DELETE FROM scram.audit_secret t
            WHERE t.source = this_source
                AND NOT EXISTS (SELECT FROM judged j WHERE (j.subject, j.digest) = (t.subject, t.digest))
        ), known AS (
            UPDATE scram.audit_secret t SET candidates = j.candidates
            FROM judged j
            WHERE (t.source, t.subject, t.digest) = (this_source, j.subject, j.digest) AND t.candidates <> j.candidates
        ), secrets AS (
            -- Only what is new: to look at a row for a conflict writes to it.
            INSERT INTO scram.audit_secret (source, subject, digest, first_seen, candidates)
            SELECT DISTINCT ON (j.subject, j.digest) this_source, j.subject, j.digest, clock_timestamp(), j.candidates
            FROM judged j
            WHERE j.digest IS NOT NULL AND NOT EXISTS (
                SELECT FROM scram.audit_secret t
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
        INSERT INTO scram.audit_found (source, subject, check_id, severity, evidence)
        SELECT this_source, j.subject, j.check_id, c.severity, min(j.evidence)
            || CASE WHEN count(*) > 1 THEN format(' (and %s more rows of this name)', count(*) - 1) ELSE '' END
        FROM judged j
        JOIN scram.audit_checks() c ON c.check_id = j.check_id
        GROUP BY j.subject, j.check_id, c.severity;
    EXCEPTION WHEN OTHERS OR assert_failure THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
    END;
    IF state IS NULL THEN
        PERFORM scram.audit_merge(run, ARRAY[this_source]);
    ELSE
        INSERT INTO scram.audit_found (source, subject, check_id, severity, evidence)
        SELECT u.* FROM scram.audit_unreadable(this_source, state) u;
        -- What was known of it stands.
        PERFORM scram.audit_merge(run, ARRAY[]::text[]);
    END IF;
END
$$;

-- Brings the findings of these sources in line with scram.audit_found, and empties that. Internal.
CREATE FUNCTION scram.audit_merge(run bigint, sources text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fixed bigint;
BEGIN
    -- What earlier runs found by trying, on secrets that are still there.
    INSERT INTO scram.audit_found (source, subject, check_id, severity, evidence)
    SELECT DISTINCT t.source, t.subject, g.check_id, g.severity, h.value
    FROM scram.audit_secret t
    CROSS JOIN LATERAL jsonb_each_text(t.hits) h
    JOIN scram.audit_guesses() g ON g.check_id = h.key
    WHERE t.source = ANY (sources) AND t.hits <> '{}';

    WITH known AS (
        UPDATE scram.audit_finding f SET severity = found.severity, evidence = found.evidence, last_run = run
        FROM scram.audit_found found
        WHERE f.status <> 'fixed' AND (f.source, f.subject, f.check_id) = (found.source, found.subject, found.check_id)
        RETURNING f.source, f.subject, f.check_id
    )
    INSERT INTO scram.audit_finding (source, subject, check_id, severity, evidence, first_run, last_run, status)
    SELECT found.*, run, run, 'open'
    FROM scram.audit_found found
    WHERE NOT EXISTS (
        SELECT FROM known k WHERE (k.source, k.subject, k.check_id) = (found.source, found.subject, found.check_id))
    ORDER BY found.severity, found.check_id, found.source, found.subject;
    DELETE FROM scram.audit_found;

    -- The rest is fixed. What is to be tried anew stands until it was; that a source can't be read, until it was read.
    UPDATE scram.audit_finding f SET status = 'fixed'
    WHERE f.source = ANY (sources) AND f.status <> 'fixed' AND f.last_run < run
        AND f.check_id <> 'source_unreadable'
        AND NOT scram.audit_is_pending(f.source, f.subject, f.check_id);
    GET DIAGNOSTICS fixed = ROW_COUNT;
    UPDATE scram.audit_run r SET findings_fixed = r.findings_fixed + fixed WHERE r.run_id = run;
END
$$;

-- Whether a check has passwords left to try on a subject. Internal.
CREATE FUNCTION scram.audit_is_pending(source text, subject text, check_id text) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $3 IN (SELECT g.check_id FROM scram.audit_guesses() g) AND EXISTS (
        SELECT FROM scram.audit_secret t
        WHERE t.source = $1 AND t.subject = $2 AND t.candidates > 0 AND (
            t.own_edition < scram.audit_edition()
            OR EXISTS (SELECT FROM scram.audit_word w WHERE w.check_id = $3 AND w.word_id > t.words_through)))
$$;

-- How many passwords are left to try. Internal.
CREATE FUNCTION scram.audit_left() RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH now AS MATERIALIZED (
        SELECT scram.audit_edition() AS edition
    )
    SELECT (coalesce(sum(own.candidates), 0) + coalesce(sum(own.secrets * words.words), 0))::bigint
    FROM (
        SELECT t.words_through, count(*) AS secrets,
               sum(t.candidates) FILTER (WHERE t.own_edition < now.edition) AS candidates
        FROM scram.audit_secret t
        CROSS JOIN now
        WHERE t.candidates > 0
            AND (t.source = 'role' OR t.source IN (SELECT s.name FROM scram.audit_source s WHERE s.enabled))
        GROUP BY t.words_through
    ) own
    CROSS JOIN LATERAL (SELECT count(*) AS words FROM scram.audit_word w WHERE w.word_id > own.words_through) words
$$;

-- A later step: tries passwords for a time. True when nothing is left, or the time is spent. Internal.
CREATE FUNCTION scram.audit_step_try(run bigint, deadline timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    -- A commit costs little beside it, and a crash loses no more.
    longest CONSTANT interval := interval '2 seconds';
    -- So many secrets are read for a step: about as many as fit into it.
    at_once integer := 500;
    edition CONSTANT integer := scram.audit_edition();
    last_word CONSTANT bigint := coalesce((SELECT max(w.word_id) FROM scram.audit_word w), 0);
    left_over CONSTANT interval := least(deadline - clock_timestamp(), longest);
    -- Reading large sources may have taken all the time. Something is tried even so, or no night would ever try any.
    first_time CONSTANT boolean := (SELECT r.candidates_tested = 0 FROM scram.audit_run r WHERE r.run_id = run);
    milliseconds CONSTANT integer :=
        ceil(1000 * extract(epoch FROM CASE WHEN first_time THEN greatest(left_over, '1 s') ELSE left_over END));
    own boolean;
    this_source text;
    work record;
    tried record;
    fixed bigint;
    tested bigint := 0;
    all_fixed bigint := 0;
BEGIN
    IF milliseconds <= 0 THEN
        RETURN true;
    END IF;
    -- First what names suggest, on every secret; then the words, the most common ones on every secret first.
    SELECT t.source INTO this_source FROM scram.audit_secret t
    WHERE t.candidates > 0 AND t.own_edition < edition
        AND (t.source = 'role' OR t.source IN (SELECT s.name FROM scram.audit_source s WHERE s.enabled))
    ORDER BY t.own_edition, t.source LIMIT 1;
    own := FOUND;
    IF own THEN
        at_once := 2000;
    ELSE
        SELECT t.source INTO this_source FROM scram.audit_secret t
        WHERE t.candidates > 0 AND t.words_through < last_word
        AND (t.source = 'role' OR t.source IN (SELECT s.name FROM scram.audit_source s WHERE s.enabled))
        ORDER BY t.words_through, t.source LIMIT 1;
        IF NOT FOUND THEN
            RETURN true;
        END IF;
    END IF;

    SELECT array_agg(l.subject) AS subjects, array_agg(l.digest) AS digests, array_agg(own) AS own,
           array_agg(l.words_through) AS through
    INTO work
    FROM (
        SELECT t.subject, t.digest, t.words_through FROM scram.audit_secret t
        WHERE t.candidates > 0 AND t.source = this_source AND CASE
            WHEN own THEN t.own_edition < edition
            ELSE t.words_through < last_word
        END
        ORDER BY t.words_through
        LIMIT at_once
    ) l;

    BEGIN
        FOR tried IN
            SELECT work.subjects[a.place] AS subject, work.digests[a.place] AS digest, a.through, a.tested, g.check_id, g.severity, g.evidence
            FROM scram.audit_try(
                this_source, work.subjects, work.digests, work.own, work.through, milliseconds) a
            LEFT JOIN scram.audit_guesses() g ON g.check_id = a.check_id
        LOOP
            IF tried.tested IS NULL THEN
                -- Changed or dropped meanwhile: the next run sees what there is then.
                DELETE FROM scram.audit_secret t
                WHERE (t.source, t.subject, t.digest) = (this_source, tried.subject, tried.digest);
                CONTINUE;
            END IF;
            tested := tested + tried.tested;
            UPDATE scram.audit_secret t
            SET own_edition = CASE WHEN own THEN edition ELSE t.own_edition END,
                words_through = CASE
                    -- The password is known: no other word can be it.
                    WHEN tried.check_id = 'password_in_wordlist' THEN 9223372036854775807
                    WHEN tried.tested = 0 THEN last_word
                    ELSE tried.through
                END,
                hits = CASE
                    WHEN tried.check_id IS NULL THEN t.hits
                    ELSE t.hits || jsonb_build_object(tried.check_id, tried.evidence)
                END
            WHERE (t.source, t.subject, t.digest) = (this_source, tried.subject, tried.digest);

            IF tried.check_id IS NOT NULL THEN
                UPDATE scram.audit_finding f SET severity = tried.severity, evidence = tried.evidence, last_run = run
                WHERE (f.source, f.subject, f.check_id) = (this_source, tried.subject, tried.check_id)
                    AND f.status <> 'fixed';
                IF NOT FOUND THEN
                    INSERT INTO scram.audit_finding
                        (source, subject, check_id, severity, evidence, first_run, last_run, status)
                    VALUES (this_source, tried.subject, tried.check_id, tried.severity, tried.evidence, run, run,
                            'open');
                END IF;
            END IF;
            -- What was tried anew and is not so any more.
            UPDATE scram.audit_finding f SET status = 'fixed'
            FROM scram.audit_guesses() g
            WHERE (f.source, f.subject, f.check_id) = (this_source, tried.subject, g.check_id) AND f.status <> 'fixed'
                AND NOT scram.audit_is_pending(f.source, f.subject, f.check_id)
                AND NOT EXISTS (
                    SELECT FROM scram.audit_secret t
                    WHERE (t.source, t.subject) = (f.source, f.subject) AND t.hits ? f.check_id);
            GET DIAGNOSTICS fixed = ROW_COUNT;
            all_fixed := all_fixed + fixed;
        END LOOP;
    EXCEPTION WHEN OTHERS OR assert_failure THEN
        -- The roles' own errors are the caller's to know.
        IF this_source = 'role' THEN
            RAISE;
        END IF;
        -- It could be read when the run began. Nothing is tried until it can be again.
        UPDATE scram.audit_secret t SET candidates = 0 WHERE t.source = this_source;
        tested := 0;
        all_fixed := 0;
    END;

    UPDATE scram.audit_run r
    SET candidates_tested = r.candidates_tested + tested,
        candidates_left = greatest(r.candidates_left - tested, 0),
        findings_fixed = r.findings_fixed + all_fixed
    WHERE r.run_id = run;
    RETURN clock_timestamp() >= deadline;
END
$$;

-- Last step: counts, and tells listeners if there is something new. Internal.
CREATE FUNCTION scram.audit_finish(run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- New is what no finished run has shown: an interrupted one told nobody.
    last_finished CONSTANT bigint := coalesce(
        (SELECT max(r.run_id) FROM scram.audit_run r WHERE r.status IN ('done', 'partial')), 0);
    left_over CONSTANT bigint := scram.audit_left();
    unread CONSTANT boolean := EXISTS (
        SELECT FROM scram.audit_source s
        WHERE s.enabled AND NOT EXISTS (
            SELECT FROM scram.audit_reading r WHERE r.source = s.name AND r.run_id = run));
    fresh record;
BEGIN
    -- Not reached in this run: nothing says that it is fixed.
    UPDATE scram.audit_finding f SET last_run = run WHERE f.status <> 'fixed' AND f.last_run < run
        AND f.check_id <> 'source_unreadable';
    UPDATE scram.audit_finding f SET status = 'fixed' WHERE f.status <> 'fixed' AND f.last_run < run;

    SELECT count(*) AS total,
           count(*) FILTER (WHERE f.severity = 'critical') AS critical,
           count(*) FILTER (WHERE f.severity = 'warning') AS warning,
           count(*) FILTER (WHERE f.severity = 'notice') AS notice
    INTO fresh
    FROM scram.audit_finding f
    WHERE f.status = 'open' AND f.first_run > last_finished;

    UPDATE scram.audit_run r
    SET status = CASE WHEN left_over = 0 AND NOT unread THEN 'done' ELSE 'partial' END,
        finished_at = clock_timestamp(),
        candidates_left = left_over,
        findings_new = fresh.total,
        findings_open = (SELECT count(*) FROM scram.audit_finding f WHERE f.status = 'open')
    WHERE r.run_id = run;
    UPDATE scram.audit_progress p
    SET run_id = NULL, pid = NULL, backend_start = NULL, deadline = NULL, stage = NULL, source = NULL;

    IF fresh.total > 0 THEN
        -- Anybody may listen: counts, never names.
        PERFORM pg_notify('scram_audit', json_build_object(
            'run_id', run,
            'new', json_build_object('critical', fresh.critical, 'warning', fresh.warning, 'notice', fresh.notice))::text);
    END IF;
END
$$;

COMMENT ON PROCEDURE scram.run_audit(bigint, interval) IS
    'runs a whole audit and stores it, committing as it goes; send the CALL on its own';
COMMENT ON FUNCTION scram.audit_authorize() IS 'internal to scram.run_audit(): raises unless the caller may run the audit';
COMMENT ON FUNCTION scram.audit_begin(interval) IS 'internal to scram.run_audit(): starts a run';
COMMENT ON FUNCTION scram.audit_finish(bigint) IS 'internal to scram.run_audit(): ends a run';
COMMENT ON FUNCTION scram.audit_is_pending(text, text, text) IS
    'internal to scram.run_audit(): whether a check has passwords left to try on a subject';
COMMENT ON FUNCTION scram.audit_left() IS 'internal to scram.run_audit(): how many passwords are left to try';
COMMENT ON FUNCTION scram.audit_merge(bigint, text[]) IS 'internal to scram.run_audit(): stores what a step has found';
COMMENT ON FUNCTION scram.audit_next_source(bigint, timestamptz) IS
    'internal to scram.run_audit(): chooses the source that the next step reads';
COMMENT ON FUNCTION scram.audit_number_words() IS 'internal to scram.run_audit(): numbers the words that are new';
COMMENT ON FUNCTION scram.audit_step(bigint) IS 'internal to scram.run_audit(): does a part of a run';
COMMENT ON FUNCTION scram.audit_step_roles(bigint) IS 'internal to scram.run_audit(): its first part';
COMMENT ON FUNCTION scram.audit_step_source(bigint, text) IS 'internal to scram.run_audit(): its part for a source';
COMMENT ON FUNCTION scram.audit_step_try(bigint, timestamptz) IS 'internal to scram.run_audit(): its later parts';

-- A procedure is executable by everybody until it is revoked: here, in the same script that makes it.
REVOKE ALL ON PROCEDURE scram.run_audit(bigint, interval) FROM PUBLIC;
