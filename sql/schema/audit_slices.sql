-- Slices of sources: what a stored audit reads, judges and commits at once.

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
    is_unseen boolean;
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

    -- Most slices that were never read hold secrets that were never seen, and no secret need be looked up.
    is_unseen := NOT is_whole AND known IS NULL AND NOT reached.has_copies;
    LOOP
        BEGIN
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
            ), secret AS NOT MATERIALIZED (
                SELECT s.digest, s.salt_tag, s.verifier_tag, s.by_name FROM scanned s WHERE s.part = 'secret'
              UNION ALL
                SELECT unnest(s.digests), unnest(s.salt_tags), unnest(s.verifier_tags), unnest(s.by_names)
                FROM scanned s
                WHERE s.part = 'secrets'
            ), known AS MATERIALIZED (
                -- One look into the index for each secret, in its order, which takes less time than ON CONFLICT.
                SELECT s.digest, s.salt_tag, s.verifier_tag, s.by_name, t.place, t.slice_id, t.by_name AS known_by_name
                FROM secret s
                LEFT JOIN LATERAL (
                    SELECT u.ctid AS place, u.slice_id, u.by_name FROM scram_internal.stored_secret u
                    WHERE u.digest = s.digest AND NOT is_unseen
                    OFFSET 0
                ) t ON true
            ), replaced AS (
                -- Secrets that this slice had and no longer has: another slice of this cycle may have them.
                UPDATE scram_internal.stored_secret t SET slice_id = rest
                FROM ended e
                WHERE e.is_new AND t.slice_id = this_slice
                    AND NOT EXISTS (SELECT FROM known k WHERE k.digest = t.digest)
            ), secrets AS (
                INSERT INTO scram_internal.stored_secret (digest, salt_tag, verifier_tag, slice_id, by_name)
                SELECT k.digest, k.salt_tag, k.verifier_tag, this_slice, k.by_name
                FROM known k
                WHERE k.place IS NULL
            ), moved AS (
                UPDATE scram_internal.stored_secret t
                SET slice_id = this_slice, by_name = k.by_name,
                    -- A slice that this cycle has not read yet may have lost the row to this one.
                    is_copied = t.is_copied OR t.slice_id <> this_slice AND EXISTS (
                        SELECT FROM scram_internal.source_slice o
                        WHERE o.slice_id = t.slice_id AND o.part <> 'rest' AND o.cycle = reached.cycle)
                FROM known k
                WHERE t.ctid = ANY (ARRAY(SELECT c.place FROM known c WHERE (c.slice_id, c.known_by_name) <> (this_slice, c.by_name)))
                    AND k.digest = t.digest
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
            EXIT;
        EXCEPTION WHEN unique_violation THEN
            IF NOT is_unseen THEN
                RAISE;
            END IF;
            is_unseen := false;
            UPDATE scram_internal.source_state s SET has_copies = true WHERE s.source = this_source;
        END;
    END LOOP;

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

COMMENT ON FUNCTION scram_internal.read_slice(bigint, text, timestamptz) IS 'internal to scram.run_audit(): reads a part of a source';
COMMENT ON FUNCTION scram_internal.slice_of(text, text, oid, bigint) IS 'internal to scram.run_audit(): finds or makes a slice';
COMMENT ON FUNCTION scram_internal.note_progress(integer) IS 'internal to scram.run_audit(): the least that was tried in a slice';
COMMENT ON FUNCTION scram_internal.skip_slice(text, text) IS
    'internal to scram.run_audit(): goes past a slice that cannot be read';
