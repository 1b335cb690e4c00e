-- The steps of a stored audit that try passwords.

-- How many passwords are left to try. Internal.
CREATE FUNCTION scram_internal.candidates_left() RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH now AS MATERIALIZED (
        SELECT scram_internal.guess_version() AS version
    ), secrets AS (
        -- Before the slices are joined: a row for each of a million secrets would be joined otherwise.
        SELECT t.slice_id, t.last_word_id, count(*) AS secrets,
               coalesce(sum(t.by_name) FILTER (WHERE t.guess_version < (SELECT now.version FROM now)), 0) AS candidates
        FROM scram_internal.stored_secret t
        WHERE t.by_name > 0
        GROUP BY t.slice_id, t.last_word_id
    )
    SELECT coalesce(sum(own.candidates + own.secrets * words.words), 0)::bigint
    FROM (
        SELECT t.last_word_id, sum(t.secrets) AS secrets, sum(t.candidates) AS candidates
        FROM secrets t
        JOIN scram_internal.guessed_slices() s ON s.slice_id = t.slice_id
        GROUP BY t.last_word_id
    ) own
    CROSS JOIN LATERAL (SELECT count(*) AS words FROM scram_internal.candidate w WHERE w.word_id > own.last_word_id) words
$$;

-- The slices on whose secrets passwords are tried: of the roles, and of sources that are neither at rest nor unreadable.
-- Internal.
CREATE FUNCTION scram_internal.guessed_slices() RETURNS SETOF scram_internal.source_slice
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.*
    FROM scram_internal.source_slice s
    JOIN scram_internal.source_state t ON t.source = s.source
    LEFT JOIN scram.audit_source a ON a.name = s.source
    WHERE s.part <> 'rest' AND t.failure IS NULL AND s.failure IS NULL AND (s.source = 'role' OR a.enabled);
END;

-- A later step: tries passwords for a time. True when nothing is left, or the time is spent. Internal.
CREATE FUNCTION scram_internal.guess_some(run bigint, deadline timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Two seconds are long compared with a commit, and a crash loses no more than them.
    longest CONSTANT interval := interval '2 seconds';
    version CONSTANT integer := scram_internal.guess_version();
    last_word CONSTANT integer := coalesce((SELECT max(w.word_id) FROM scram_internal.candidate w), 0);
    left_over CONSTANT interval := least(deadline - clock_timestamp(), longest);
    -- If reading the sources used up the budget, still try passwords for one second. Otherwise a cluster with large sources
    -- would never get that far.
    first_time CONSTANT boolean := (SELECT r.candidates_tested = 0 FROM scram_internal.stored_run r WHERE r.run_id = run);
    milliseconds CONSTANT integer :=
        ceil(1000 * extract(epoch FROM CASE WHEN first_time THEN greatest(left_over, '1 s') ELSE left_over END));
    by_name boolean;
    slice scram_internal.source_slice;
    tested bigint;
    state text;
    message text;
BEGIN
    IF milliseconds <= 0 THEN
        RETURN true;
    END IF;
    -- First the passwords that names suggest, on every secret; then the words, on the slice that has had the fewest.
    SELECT s.* INTO slice FROM scram_internal.guessed_slices() s
    WHERE s.guess_version < version
    ORDER BY s.guess_version, s.source, s.slice_id LIMIT 1;
    by_name := FOUND;
    IF NOT by_name THEN
        SELECT s.* INTO slice FROM scram_internal.guessed_slices() s
        WHERE s.last_word_id < last_word
        ORDER BY s.last_word_id, s.source, s.slice_id LIMIT 1;
        IF NOT FOUND THEN
            PERFORM scram_internal.settle(run);
            RETURN true;
        END IF;
    END IF;
    BEGIN
        tested := scram_internal.guess_slice(run, slice, by_name, version, last_word, milliseconds);
    EXCEPTION WHEN OTHERS THEN
        -- Errors on roles are ours: pass them on.
        IF slice.source = 'role' THEN
            RAISE;
        END IF;
        -- The source was readable at the start of the run and no longer is. Skip its secrets until a later run has read it
        -- again.
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
        UPDATE scram_internal.source_state t SET failure = format('%s (SQLSTATE %s)', message, state)
        WHERE t.source = slice.source;
        PERFORM scram_internal.merge_findings(run, slice.source, false);
        UPDATE scram_internal.stored_run r SET candidates_left = scram_internal.candidates_left() WHERE r.run_id = run;
        tested := 0;
    END;
    UPDATE scram_internal.stored_run r
    SET candidates_tested = r.candidates_tested + tested, candidates_left = greatest(r.candidates_left - tested, 0)
    WHERE r.run_id = run;
    RETURN clock_timestamp() >= deadline;
END
$$;

-- No password is left to try. From here on, a guessed password without a record of its hit is a finding that is fixed.
-- Internal.
CREATE FUNCTION scram_internal.settle(run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    settled text;
BEGIN
    UPDATE scram_internal.stored_run r SET candidates_left = 0 WHERE r.run_id = run;
    FOR settled IN
        UPDATE scram_internal.source_state t SET is_settled = true
        WHERE NOT t.is_settled AND t.failure IS NULL AND t.read_run = run AND t.next_relation IS NULL AND NOT t.is_ending
            -- No password was tried on a slice that cannot be read, and what was found in it stands.
            AND NOT EXISTS (
                SELECT FROM scram_internal.source_slice s WHERE s.source = t.source AND s.failure IS NOT NULL)
        RETURNING t.source
    LOOP
        PERFORM scram_internal.merge_findings(run, settled, true);
    END LOOP;
END
$$;

-- Tries passwords on secrets of one slice, and stores how far it came; returns how many it tried. Internal.
CREATE FUNCTION scram_internal.guess_slice(
    run bigint, slice scram_internal.source_slice, by_name boolean, version integer, last_word integer, milliseconds integer
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Number of secrets that a step reads: about as many as its time allows.
    at_once CONSTANT integer := CASE WHEN by_name THEN 2000 ELSE 500 END;
    listed CONSTANT integer := current_setting('scram.audit_rows_listed')::integer;
    work record;
    done record;
    settled bigint;
BEGIN
    SELECT array_agg(l.digest) AS digests, array_agg(l.last_word_id) AS last_word_ids INTO work
    FROM (
        SELECT t.digest, t.last_word_id FROM scram_internal.stored_secret t
        WHERE t.by_name > 0 AND t.slice_id = slice.slice_id
            AND CASE WHEN guess_slice.by_name THEN t.guess_version < version ELSE t.last_word_id < last_word END
        ORDER BY t.last_word_id
        LIMIT at_once
    ) l;

    WITH tried AS MATERIALIZED (
        SELECT a.* FROM scram_internal.guess(
            slice.source, slice.relation, slice.block, work.digests, guess_slice.by_name, work.last_word_ids, milliseconds) a
    ), gone AS (
        -- Changed or moved since the slice was read: the next reading sees what there is then.
        UPDATE scram_internal.stored_secret t
        SET slice_id = scram_internal.slice_of(slice.source, 'rest', NULL, NULL)
        FROM tried a
        WHERE t.digest = a.digest AND a.tested IS NULL
    ), noted AS (
        -- A secret that was hit is tried to the end of the list like any other: otherwise the numbers and the time would
        -- tell which word it was.
        UPDATE scram_internal.stored_secret t
        SET guess_version = CASE WHEN guess_slice.by_name THEN version ELSE t.guess_version END,
            last_word_id = CASE WHEN a.tested = 0 THEN last_word ELSE a.last_word_id END
        FROM tried a
        WHERE t.digest = a.digest AND a.tested IS NOT NULL
    ), hit AS (
        SELECT a.digest, c.check_id, a.subject,
               row_number() OVER (PARTITION BY c.check_id ORDER BY a.subject) AS number
        FROM tried a
        CROSS JOIN LATERAL (SELECT DISTINCT u.check_id FROM unnest(a.check_ids) AS u(check_id)) c
    ), named AS MATERIALIZED (
        SELECT k.check_id, count(*) AS hits
        FROM scram_internal.guess_hit k
        WHERE k.source = slice.source AND k.subject IS NOT NULL
        GROUP BY k.check_id
    ), stored AS (
        INSERT INTO scram_internal.guess_hit AS g (digest, check_id, source, subject)
        SELECT h.digest, h.check_id, slice.source,
               CASE WHEN slice.source = 'role' OR h.number <= listed - coalesce(k.hits, 0) THEN h.subject END
        FROM hit h
        LEFT JOIN named k ON k.check_id = h.check_id
        ON CONFLICT (digest, check_id) DO UPDATE SET is_confirmed = true
    )
    SELECT coalesce(sum(a.tested), 0)::bigint AS tested, count(*) FILTER (WHERE a.check_ids <> '{}') AS hits,
           coalesce(bool_or(a.tested IS NULL), false) AS is_stale
    INTO done
    FROM tried a;
    IF done.is_stale THEN
        -- The rows may come back as they were when the fingerprint was taken.
        UPDATE scram_internal.source_slice s SET fingerprint = NULL WHERE s.slice_id = slice.slice_id;
    END IF;

    -- A finding that was tried again to the end and no longer hits.
    DELETE FROM scram_internal.guess_hit h
    USING scram_internal.stored_secret t
    WHERE h.digest = ANY (work.digests) AND NOT h.is_confirmed AND t.digest = h.digest
        AND t.guess_version >= version AND t.last_word_id >= last_word;
    GET DIAGNOSTICS settled = ROW_COUNT;
    PERFORM scram_internal.note_progress(slice.slice_id);
    IF done.hits + settled > 0 THEN
        PERFORM scram_internal.merge_findings(run, slice.source, true);
    END IF;
    RETURN done.tested;
END
$$;

-- The findings of checks that try passwords. What a role may do is a part of the facts, because it decides how bad a known
-- password is. is_judged: whether none of them is to be tried again. Internal.
CREATE FUNCTION scram_internal.guess_findings(source text)
RETURNS TABLE (source text, subject text, check_id text, severity text, evidence text, facts text, is_judged boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH hit AS MATERIALIZED (
        SELECT h.check_id, h.subject, count(*) AS rows, bool_and(h.is_confirmed) AS is_judged,
               h.subject IS NOT NULL AND ($1 = 'role' OR row_number() OVER (PARTITION BY h.check_id ORDER BY h.subject COLLATE "C")
                   <= current_setting('scram.audit_rows_listed')::integer) AS is_listed
        FROM scram_internal.guess_hit h
        WHERE h.source = $1
        GROUP BY h.check_id, h.subject
    )
    SELECT $1, h.subject, g.check_id, g.severity,
           g.evidence || CASE WHEN h.rows > 1 THEN format(' (and %s more rows of this name)', h.rows - 1) ELSE '' END,
           concat_ws(' ', r.rolsuper, r.rolreplication, r.rolcreaterole, r.rolbypassrls, r.rolcanlogin, p.is_owner, p.member_of),
           h.is_judged
    FROM hit h
    JOIN scram_internal.guess_checks() g ON g.check_id = h.check_id
    LEFT JOIN pg_roles r ON $1 = 'role' AND r.rolname = h.subject
    CROSS JOIN LATERAL (
        SELECT r.oid IN (SELECT d.datdba FROM pg_database d) AS is_owner,
               -- Asked of members only, because the server collects the memberships of each role that is asked about.
               CASE WHEN r.oid IN (SELECT m.member FROM pg_auth_members m) AND NOT r.rolsuper
                    THEN (SELECT string_agg(o.rolname, ',' ORDER BY o.rolname) FROM pg_roles o
                          WHERE o.rolname IN ('pg_execute_server_program', 'pg_read_all_data', 'pg_read_server_files',
                                              'pg_write_all_data', 'pg_write_server_files')
                              AND pg_has_role(r.oid, o.oid, 'MEMBER'))
               END AS member_of
    ) p
    WHERE h.is_listed
  UNION ALL
    SELECT $1, 'further rows', g.check_id, g.severity,
           scram_internal.counted_evidence(sum(h.rows)::bigint, ARRAY[g.evidence], NULL), '', bool_and(h.is_judged)
    FROM hit h
    JOIN scram_internal.guess_checks() g ON g.check_id = h.check_id
    WHERE NOT h.is_listed
    GROUP BY g.check_id, g.severity, g.evidence
$$;

COMMENT ON FUNCTION scram_internal.candidates_left() IS 'internal to scram.run_audit(): how many passwords are left to try';
COMMENT ON FUNCTION scram_internal.guessed_slices() IS 'internal to scram.run_audit(): where passwords are tried';
COMMENT ON FUNCTION scram_internal.guess_some(bigint, timestamptz) IS 'internal to scram.run_audit(): its later parts';
COMMENT ON FUNCTION scram_internal.settle(bigint) IS 'internal to scram.run_audit(): when no password is left to try';
COMMENT ON FUNCTION scram_internal.guess_slice(bigint, scram_internal.source_slice, boolean, integer, integer, integer) IS
    'internal to scram.run_audit(): tries passwords on a part of a source';
COMMENT ON FUNCTION scram_internal.guess_findings(text) IS 'internal to scram.run_audit(): the checks whose passwords were hit';
