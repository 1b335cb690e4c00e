-- The steps of a stored audit that read sources.
--
-- The functions that compare tables run with enable_nestloop = off. Their tables can grow by a hundred thousand rows within
-- one statement, so row estimates are stale, and a nested loop planned for one row would run for hours.

-- Chooses the source that the next step reads: the server and the roles, then the source that was read least recently. False
-- if this run has read all, or if its time is over and it has read one registered source. Internal.
CREATE FUNCTION scram_internal.claim_source(run bigint, deadline timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    next_source text;
BEGIN
    IF NOT EXISTS (SELECT FROM scram_internal.source_state s WHERE s.claimed_run = run) THEN
        PERFORM scram_internal.prepare_run(run);
    END IF;
    IF clock_timestamp() < deadline AND scram_internal.remove_dropped() THEN
        RETURN true;
    END IF;
    SELECT s.source INTO next_source
    FROM scram_internal.source_state s
    LEFT JOIN scram.audit_source a ON a.name = s.source
    WHERE s.claimed_run IS DISTINCT FROM run
        AND CASE
            WHEN s.source IN ('server', 'role') THEN true
            WHEN NOT a.enabled THEN false
            ELSE clock_timestamp() < deadline OR NOT EXISTS (
                SELECT FROM scram_internal.source_state t
                WHERE t.claimed_run = run AND t.source NOT IN ('server', 'role'))
        END
    ORDER BY s.source = 'server' DESC, s.source = 'role' DESC, s.claimed_run NULLS FIRST, s.source
    LIMIT 1;
    IF NOT FOUND THEN
        -- No password was tried yet: from here on the number of those that are left goes down.
        UPDATE scram_internal.stored_run r SET candidates_left = scram_internal.candidates_left()
        WHERE r.run_id = run AND r.candidates_tested = 0;
        UPDATE scram_internal.current_run p SET guesses_since = coalesce(p.guesses_since, clock_timestamp())
        WHERE p.run_id = run;
        RETURN false;
    END IF;
    -- The caller commits the claim before the source is read. If reading it kills the session, the next run starts with the
    -- other sources.
    -- A source that was registered for another relation begins a new cycle.
    UPDATE scram_internal.source_state s
    SET claimed_run = run, relation = a.relation,
        next_relation = CASE WHEN s.relation = a.relation THEN s.next_relation END,
        is_ending = s.is_ending AND s.relation IS NOT DISTINCT FROM a.relation
    FROM (SELECT (SELECT o.relation::oid FROM scram.audit_source o WHERE o.name = next_source) AS relation) a
    WHERE s.source = next_source;
    RETURN true;
END
$$;

-- What comes before the first source: findings whose acceptance is over, the words, and the list of sources. Internal.
CREATE FUNCTION scram_internal.prepare_run(run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
DECLARE
    oldest CONSTANT bigint := (SELECT min(r.run_id) FROM scram_internal.stored_run r);
    fixed bigint;
BEGIN
    PERFORM scram_internal.prune_password_history();
    UPDATE scram.audit_finding f SET status = 'open', accepted_until = NULL
    WHERE f.status = 'accepted' AND f.accepted_until <= clock_timestamp();
    PERFORM scram_internal.sync_candidates();
    -- Remove states that belong to pruned runs, because nothing can show them, and evidence that counts days adds one each
    -- day.
    UPDATE scram.audit_finding f
    SET earlier = (
        SELECT coalesce(jsonb_agg(e.state ORDER BY e.number), '[]')
        FROM jsonb_array_elements(f.earlier) WITH ORDINALITY AS e(state, number)
        WHERE (e.state ->> 'until_run')::bigint >= oldest)
    WHERE (f.earlier -> 0 ->> 'until_run')::bigint < oldest;

    -- A role that was renamed is still the registrant.
    UPDATE scram.audit_source s SET registrant = r.rolname
    FROM pg_roles r
    WHERE r.oid = s.registrant_oid AND r.rolname <> s.registrant;

    INSERT INTO scram_internal.source_state (source)
    SELECT 'server' UNION ALL SELECT 'role' UNION ALL SELECT s.name FROM scram.audit_source s
    ON CONFLICT DO NOTHING;
    -- Remove what belongs to sources that are no longer registered. Their secrets may be millions: the next steps remove
    -- these in parts, under a name that no source has, because the source may be registered again.
    DELETE FROM scram_internal.source_state t
    WHERE t.source NOT IN ('server', 'role') AND NOT EXISTS (SELECT FROM scram.audit_source s WHERE s.name = t.source);
    DELETE FROM scram_internal.hidden_finding h
    WHERE NOT EXISTS (SELECT FROM scram_internal.source_state k WHERE k.source = h.source);
    DELETE FROM scram_internal.guess_hit h
    WHERE NOT EXISTS (SELECT FROM scram_internal.source_state k WHERE k.source = h.source);
    UPDATE scram_internal.source_slice s
    SET source = '', part = 'dropped', relation = NULL, block = s.slice_id
    WHERE s.part <> 'dropped' AND NOT EXISTS (SELECT FROM scram_internal.source_state k WHERE k.source = s.source);
    UPDATE scram.audit_finding f SET status = 'fixed'
    WHERE f.status <> 'fixed' AND NOT EXISTS (SELECT FROM scram_internal.source_state k WHERE k.source = f.decided_by);
    GET DIAGNOSTICS fixed = ROW_COUNT;
    UPDATE scram_internal.stored_run r SET findings_fixed = r.findings_fixed + fixed WHERE r.run_id = run;
END
$$;

-- Numbers new words and removes words that are gone. Internal.
CREATE FUNCTION scram_internal.sync_candidates() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
DECLARE
    again bigint[];
BEGIN
    -- One hash join: two anti joins sort a long list twice.
    WITH differing AS MATERIALIZED (
        SELECT wanted.check_id, wanted.word, n.word_id
        FROM (
            SELECT c.check_id, c.word FROM scram_internal.candidates_by_server() c
            UNION ALL
            SELECT 'password_in_wordlist', convert_to(w.word, getdatabaseencoding())
            FROM (
                SELECT l.word FROM scram.wordlist l
                UNION ALL
                -- A first run finds common passwords without a list. Most common first.
                (SELECT b.word FROM scram_internal.builtin_words() b
                 WHERE NOT EXISTS (SELECT FROM scram.wordlist)
                 LIMIT current_setting('scram.builtin_words')::bigint)
            ) w
        ) wanted
        FULL JOIN scram_internal.candidate n ON (n.check_id, n.word) = (wanted.check_id, wanted.word)
        WHERE wanted.word IS NULL OR n.word_id IS NULL
    ), gone AS (
        DELETE FROM scram_internal.candidate n
        USING differing d
        WHERE n.word_id = d.word_id
        RETURNING n.check_id
    ), unsure AS (
        -- No record says which word hit, so try again: it may have been one of the removed words.
        UPDATE scram_internal.guess_hit h SET is_confirmed = false
        WHERE h.check_id IN (SELECT gone.check_id FROM gone)
        RETURNING h.digest
    ), added AS (
        INSERT INTO scram_internal.candidate (check_id, word)
        SELECT d.check_id, d.word FROM differing d WHERE d.word_id IS NULL
    )
    SELECT array_agg(u.digest) INTO again FROM unsure u;
    IF again IS NOT NULL THEN
        WITH reset AS (
            UPDATE scram_internal.stored_secret t SET guess_version = 0, last_word_id = 0
            WHERE t.digest = ANY (again)
            RETURNING t.slice_id
        )
        UPDATE scram_internal.source_slice s SET guess_version = 0, last_word_id = 0
        WHERE s.slice_id IN (SELECT r.slice_id FROM reset r);
    END IF;
END
$$;

-- Reads the claimed source: server and roles as a whole, a registered source slice by slice for about a second. Internal.
CREATE FUNCTION scram_internal.scan(run bigint, source text, deadline timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    this_source CONSTANT text := scan.source;
    is_registered CONSTANT boolean := this_source NOT IN ('role', 'server');
    step_end CONSTANT timestamptz := least(deadline, clock_timestamp() + interval '1 second');
    is_read boolean := false;
    failed text;
    state text;
BEGIN
    LOOP
        BEGIN
            is_read := scram_internal.read_slice(run, this_source, deadline);
        EXCEPTION WHEN OTHERS THEN
            -- Errors on roles are ours: pass them on.
            IF NOT is_registered THEN
                RAISE;
            END IF;
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, failed = MESSAGE_TEXT;
            failed := format('%s (SQLSTATE %s)', failed, state);
            IF scram_internal.skip_slice(this_source, failed) THEN
                failed := NULL;
            END IF;
        END;
        EXIT WHEN is_read OR failed IS NOT NULL OR clock_timestamp() >= step_end;
    END LOOP;
    UPDATE scram_internal.source_state s
    SET failure = failed,
        read_run = CASE WHEN is_read OR failed IS NOT NULL OR clock_timestamp() >= deadline THEN run ELSE s.read_run END
    WHERE s.source = this_source;
    PERFORM scram_internal.merge_findings(run, this_source, false);
END
$$;

COMMENT ON FUNCTION scram_internal.claim_source(bigint, timestamptz) IS
    'internal to scram.run_audit(): chooses the source that the next step reads';
COMMENT ON FUNCTION scram_internal.prepare_run(bigint) IS 'internal to scram.run_audit(): what comes before the first source';
COMMENT ON FUNCTION scram_internal.sync_candidates() IS 'internal to scram.run_audit(): numbers the words that are new';
COMMENT ON FUNCTION scram_internal.scan(bigint, text, timestamptz) IS 'internal to scram.run_audit(): reads the claimed source';
