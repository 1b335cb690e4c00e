-- The end of a cycle: what comes after the last slice of a source. Here secrets are removed in parts, because a source can lose
-- millions of rows at once.

-- How many secrets are removed at once, which takes less than a second. Internal.
CREATE FUNCTION scram_internal.max_removed() RETURNS integer
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
RETURN 100000;

-- Removes secrets of a slice, and what was hit on them; returns how many. Another slice may have had the same row: such copies
-- stay with the source's rest until the next cycle has read every slice. Internal.
CREATE FUNCTION scram_internal.remove_secrets(slice_id integer) RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET enable_seqscan = off
AS $$
DECLARE
    slice scram_internal.source_slice;
    removed integer;
BEGIN
    SELECT s.* INTO slice FROM scram_internal.source_slice s WHERE s.slice_id = remove_secrets.slice_id;
    IF slice.part NOT IN ('dropped', 'rest') THEN
        UPDATE scram_internal.stored_secret t SET slice_id = scram_internal.slice_of(slice.source, 'rest', NULL, NULL)
        WHERE t.slice_id = slice.slice_id AND t.is_copied;
    END IF;
    WITH gone AS (
        DELETE FROM scram_internal.stored_secret t
        WHERE t.ctid = ANY (ARRAY(
            SELECT u.ctid FROM scram_internal.stored_secret u
            WHERE u.slice_id = slice.slice_id AND (slice.part = 'dropped' OR NOT u.is_copied)
            LIMIT scram_internal.max_removed()))
        RETURNING t.digest
    ), hits AS (
        DELETE FROM scram_internal.guess_hit h USING gone g WHERE h.digest = g.digest
    )
    SELECT count(*) INTO removed FROM gone g;
    RETURN removed;
END
$$;

-- Removes a part of what a dropped source has left: a slice, or some of its secrets. False if nothing is left. Internal.
CREATE FUNCTION scram_internal.remove_dropped() RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    slice CONSTANT integer := (SELECT min(s.slice_id) FROM scram_internal.source_slice s WHERE s.part = 'dropped');
BEGIN
    IF slice IS NOT NULL AND scram_internal.remove_secrets(slice) < scram_internal.max_removed() THEN
        DELETE FROM scram_internal.source_slice s WHERE s.slice_id = slice;
    END IF;
    RETURN slice IS NOT NULL;
END
$$;

-- Does a part of what comes after the last slice: removes what no slice has any more, then looks for secrets that are shared.
-- True when the cycle has ended. Internal.
CREATE FUNCTION scram_internal.end_cycle(source text, rest integer, deadline timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    this_source CONSTANT text := end_cycle.source;
    reached scram_internal.source_state;
    unseen integer;
    removed integer;
    search_time interval;
BEGIN
    SELECT s.* INTO reached FROM scram_internal.source_state s WHERE s.source = this_source;
    SELECT s.slice_id INTO unseen FROM scram_internal.source_slice s
    WHERE s.source = this_source AND s.part = 'blocks' AND s.cycle IS DISTINCT FROM reached.cycle
    LIMIT 1;
    removed := scram_internal.remove_secrets(coalesce(unseen, rest));
    IF removed > 0 THEN
        UPDATE scram_internal.source_state s SET is_changed = true WHERE s.source = this_source RETURNING s.* INTO reached;
    END IF;
    IF removed = scram_internal.max_removed() THEN
        RETURN false;
    ELSIF unseen IS NOT NULL THEN
        DELETE FROM scram_internal.source_slice s WHERE s.slice_id = unseen;
        RETURN false;
    END IF;

    -- The search cannot be divided. Where the run's time is too short for it, the run ends as partial, the next cycle tries
    -- again, and what was found last stands.
    SELECT sum(s.subjects) * interval '2.5 microseconds' INTO search_time
    FROM scram_internal.source_slice s WHERE s.source = this_source;
    IF reached.is_changed AND (this_source IN ('role', 'server') OR clock_timestamp() + search_time < deadline + interval '1 s') THEN
        DELETE FROM scram_internal.slice_finding f WHERE f.slice_id = rest;
        INSERT INTO scram_internal.slice_finding (slice_id, check_id, severity, subject, rows, evidences)
        SELECT rest, f.check_id, f.severity, f.subject, 1, ARRAY[f.evidence]
        FROM scram_internal.source_findings(this_source, false, 'secret') f;
        UPDATE scram_internal.source_state s SET is_changed = false WHERE s.source = this_source;
    END IF;
    IF EXISTS (SELECT FROM scram_internal.stored_secret t WHERE t.slice_id = rest AND t.is_copied) THEN
        -- The next cycle reads all slices again and marks copies again. What it does not find is then removed.
        UPDATE scram_internal.stored_secret t SET is_copied = false
        FROM scram_internal.source_slice s
        WHERE t.is_copied AND s.slice_id = t.slice_id AND s.source = this_source;
        UPDATE scram_internal.source_slice s SET fingerprint = NULL WHERE s.source = this_source;
    END IF;
    UPDATE scram_internal.source_state s SET cycle = s.cycle + 1, is_ending = false WHERE s.source = this_source;
    RETURN true;
END
$$;

COMMENT ON FUNCTION scram_internal.remove_dropped() IS 'internal to scram.run_audit(): removes what dropped sources have left';
COMMENT ON FUNCTION scram_internal.remove_secrets(integer) IS 'internal to scram.run_audit(): removes secrets of a slice';
COMMENT ON FUNCTION scram_internal.max_removed() IS 'internal to scram.run_audit(): how many secrets are removed at once';
COMMENT ON FUNCTION scram_internal.end_cycle(text, integer, timestamptz) IS
    'internal to scram.run_audit(): what comes after the last slice';
