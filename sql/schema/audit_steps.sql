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

-- Reads the next slice of a source and stores what the checks found in it; true when the source was read to its end. Internal.
CREATE FUNCTION scram_internal.read_slice(run bigint, source text, deadline timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    this_source CONSTANT text := read_slice.source;
    is_whole CONSTANT boolean := this_source IN ('role', 'server');
    time_left CONSTANT integer := greatest(least(1000 * extract(epoch FROM deadline - clock_timestamp()), 2147483647), 0);
    rest CONSTANT integer := scram_internal.slice_of(this_source, 'rest', NULL, NULL);
    reached scram_internal.source_state;
    this_slice integer;
    known bytea;
    ended record;
    fixed bigint;
BEGIN
    IF this_source = 'role' THEN
        fixed := scram_internal.follow_roles();
        UPDATE scram_internal.stored_run r SET findings_fixed = r.findings_fixed + fixed WHERE r.run_id = run AND fixed > 0;
    END IF;
    SELECT s.* INTO reached FROM scram_internal.source_state s WHERE s.source = this_source;
    IF reached.is_ending THEN
        RETURN scram_internal.end_cycle(this_source, rest, deadline);
    END IF;
    IF is_whole OR reached.next_relation IS NOT NULL THEN
        this_slice := scram_internal.slice_of(
            this_source, CASE WHEN is_whole THEN 'whole' ELSE 'blocks' END, reached.next_relation, reached.next_block);
        known := (SELECT s.fingerprint FROM scram_internal.source_slice s WHERE s.slice_id = this_slice);
    END IF;

    WITH scanned AS MATERIALIZED (
        SELECT s.* FROM scram_internal.scan_source(this_source, false, NULL) s
        WHERE is_whole
      UNION ALL
        SELECT s.*
        FROM scram_internal.scan_slice(this_source, reached.next_relation, reached.next_block, known, time_left) s
        WHERE NOT is_whole
    ), ended AS (
        SELECT s.part, s.rows, s.relation, s.block, s.fingerprint,
               s.part = 'slice' AND (is_whole OR s.fingerprint IS NOT NULL) AS is_new
        FROM scanned s
        WHERE s.part IN ('same', 'slice')
    ), replaced AS (
        -- Secrets that this slice had and no longer has: another slice of this cycle may have them.
        UPDATE scram_internal.stored_secret t SET slice_id = rest
        FROM ended e
        WHERE e.is_new AND t.slice_id = this_slice
            AND NOT EXISTS (SELECT FROM scanned s WHERE s.part = 'secret' AND s.digest = t.digest)
    ), secrets AS (
        INSERT INTO scram_internal.stored_secret AS t (digest, salt_tag, verifier_tag, slice_id, by_name)
        SELECT s.digest, s.salt_tag, s.verifier_tag, this_slice, s.by_name
        FROM scanned s
        WHERE s.part = 'secret'
        ON CONFLICT (digest) DO UPDATE
        SET slice_id = excluded.slice_id, by_name = excluded.by_name,
            -- A slice that this cycle has not read yet may have lost the row to this one.
            is_copied = t.is_copied OR t.slice_id <> excluded.slice_id AND EXISTS (
                SELECT FROM scram_internal.source_slice o
                WHERE o.slice_id = t.slice_id AND o.part <> 'rest' AND o.cycle = reached.cycle)
        WHERE (t.slice_id, t.by_name) <> (excluded.slice_id, excluded.by_name)
    ), forgotten AS (
        DELETE FROM scram_internal.slice_finding f
        USING ended e
        WHERE e.is_new AND f.slice_id = this_slice
            AND NOT EXISTS (SELECT FROM scanned s WHERE s.part = 'unjudged' AND s.check_id = f.check_id)
    ), findings AS (
        INSERT INTO scram_internal.slice_finding (slice_id, check_id, severity, kind, subject, rows, evidences, names, context)
        SELECT this_slice, s.check_id, s.severity, s.kind, s.subject, s.rows, coalesce(s.evidences, '{}'), s.names, s.context
        FROM scanned s
        WHERE s.part = 'finding'
    ), uncounted AS (
        DELETE FROM scram_internal.slice_kind k USING ended e WHERE e.is_new AND k.slice_id = this_slice
    ), kinds AS (
        INSERT INTO scram_internal.slice_kind (slice_id, kind, iterations, subjects)
        SELECT this_slice, s.kind, s.iterations, s.rows FROM scanned s WHERE s.part = 'kind'
    ), kept AS (
        -- A role's new secret keeps the findings of the old one until its passwords were tried too.
        UPDATE scram_internal.guess_hit h SET digest = s.digest, is_confirmed = false
        FROM scanned s
        JOIN scram_internal.role_secret r ON r.role = s.role
        WHERE s.part = 'secret' AND s.by_name > 0 AND r.digest <> s.digest AND r.subject = s.subject AND h.digest = r.digest
    ), gone AS (
        DELETE FROM scram_internal.role_secret r
        WHERE this_source = 'role' AND NOT EXISTS (SELECT FROM scanned s WHERE s.part = 'secret' AND s.role = r.role)
    ), roles AS (
        INSERT INTO scram_internal.role_secret AS r (role, subject, digest, first_seen)
        SELECT s.role, s.subject, s.digest, clock_timestamp()
        FROM scanned s
        WHERE s.part = 'secret' AND s.role IS NOT NULL
        ON CONFLICT (role) DO UPDATE
        SET subject = excluded.subject, digest = excluded.digest, first_seen = excluded.first_seen
        WHERE r.digest <> excluded.digest
    )
    SELECT e.* INTO ended FROM ended e;

    IF this_source = 'server' THEN
        INSERT INTO scram_internal.slice_finding (slice_id, check_id, severity, subject, rows, evidences)
        SELECT this_slice, r.check_id, r.severity, r.subject, 1, ARRAY[r.evidence] FROM scram_internal.source_readers() r;
    END IF;
    IF is_whole OR ended.fingerprint IS NOT NULL THEN
        UPDATE scram_internal.source_slice s
        SET cycle = reached.cycle, failure = NULL, fingerprint = ended.fingerprint, subjects = ended.rows
        WHERE s.slice_id = this_slice;
        UPDATE scram_internal.stored_run r SET subjects = r.subjects + ended.rows WHERE r.run_id = run;
        IF ended.is_new AND NOT is_whole THEN
            -- Until then each search for a slice reads all rows that were added since the last vacuum.
            PERFORM brin_summarize_new_values('scram_internal.stored_secret_slice');
        END IF;
        IF ended.is_new THEN
            PERFORM scram_internal.note_progress(this_slice);
        END IF;
    END IF;
    UPDATE scram_internal.source_state s
    SET next_relation = ended.relation, next_block = ended.block, is_changed = s.is_changed OR ended.is_new,
        is_ending = ended.relation IS NULL
    WHERE s.source = this_source;
    RETURN ended.relation IS NULL AND scram_internal.end_cycle(this_source, rest, deadline);
END
$$;

-- Goes past the slice that was to be read; false if the source as a whole cannot be read. A slice with a damaged block must not
-- keep the others from being read. What was found in it before stands. Internal.
CREATE FUNCTION scram_internal.skip_slice(source text, failure text) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reached scram_internal.source_state;
    this_slice integer;
BEGIN
    SELECT s.* INTO reached FROM scram_internal.source_state s WHERE s.source = skip_slice.source;
    IF reached.next_relation IS NULL THEN
        RETURN false;
    END IF;
    -- Asks for the first slice, which opens the relation and all that inherits from it, and reads no row.
    BEGIN
        PERFORM FROM scram_internal.scan_slice(skip_slice.source, NULL, NULL, NULL, 0);
    EXCEPTION WHEN OTHERS THEN
        RETURN false;
    END;
    -- Make the slice before the UPDATE, because an UPDATE does not see a row that it makes itself.
    this_slice := scram_internal.slice_of(skip_slice.source, 'blocks', reached.next_relation, reached.next_block);
    UPDATE scram_internal.source_slice s
    SET cycle = reached.cycle, failure = skip_slice.failure
    WHERE s.slice_id = this_slice;
    -- A slice has at most 1024 blocks; at the relation's end the library says where the next one begins. Long values end a slice
    -- early, so the next one may begin before: go on there, or what was found in it would be removed.
    UPDATE scram_internal.source_state s
    SET next_block = least((s.next_block / 1024 + 1) * 1024, (
        SELECT min(o.block) FROM scram_internal.source_slice o
        WHERE o.source = s.source AND o.part = 'blocks' AND o.relation = s.next_relation AND o.block > s.next_block))
    WHERE s.source = skip_slice.source;
    RETURN true;
END
$$;

-- The slice at this place, made if it is new. Internal.
CREATE FUNCTION scram_internal.slice_of(source text, part text, relation oid, block bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    found_id integer;
BEGIN
    SELECT s.slice_id INTO found_id FROM scram_internal.source_slice s
    WHERE s.source = source AND s.part = part
        AND s.relation IS NOT DISTINCT FROM relation AND s.block IS NOT DISTINCT FROM block;
    IF NOT FOUND THEN
        INSERT INTO scram_internal.source_slice AS s (source, part, relation, block) VALUES (source, part, relation, block)
        RETURNING s.slice_id INTO found_id;
    END IF;
    RETURN found_id;
END
$$;

-- Notes the least that was tried on any secret of a slice. Internal.
CREATE FUNCTION scram_internal.note_progress(slice_id integer) RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
BEGIN ATOMIC
    UPDATE scram_internal.source_slice s
    SET guess_version = t.guess_version, last_word_id = t.last_word_id
    FROM (
        SELECT min(t.guess_version) AS guess_version, min(t.last_word_id) AS last_word_id
        FROM scram_internal.stored_secret t
        WHERE t.slice_id = note_progress.slice_id AND t.by_name > 0
    ) t
    WHERE s.slice_id = note_progress.slice_id;
END;

COMMENT ON FUNCTION scram_internal.claim_source(bigint, timestamptz) IS
    'internal to scram.run_audit(): chooses the source that the next step reads';
COMMENT ON FUNCTION scram_internal.prepare_run(bigint) IS 'internal to scram.run_audit(): what comes before the first source';
COMMENT ON FUNCTION scram_internal.sync_candidates() IS 'internal to scram.run_audit(): numbers the words that are new';
COMMENT ON FUNCTION scram_internal.scan(bigint, text, timestamptz) IS 'internal to scram.run_audit(): reads the claimed source';
COMMENT ON FUNCTION scram_internal.read_slice(bigint, text, timestamptz) IS 'internal to scram.run_audit(): reads a part of a source';
COMMENT ON FUNCTION scram_internal.slice_of(text, text, oid, bigint) IS 'internal to scram.run_audit(): finds or makes a slice';
COMMENT ON FUNCTION scram_internal.note_progress(integer) IS 'internal to scram.run_audit(): the least that was tried in a slice';
COMMENT ON FUNCTION scram_internal.skip_slice(text, text) IS
    'internal to scram.run_audit(): goes past a slice that cannot be read';
