-- The steps of a stored audit that try passwords.

-- How many passwords are left to try. Internal.
CREATE FUNCTION scram_internal.candidates_left() RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH now AS MATERIALIZED (
        SELECT scram_internal.guess_version() AS edition
    )
    SELECT (coalesce(sum(own.candidates), 0) + coalesce(sum(own.secrets * words.words), 0))::bigint
    FROM (
        SELECT t.words_through, count(*) AS secrets,
               sum(t.candidates) FILTER (WHERE t.own_edition < now.edition) AS candidates
        FROM scram_internal.stored_secret t
        CROSS JOIN now
        WHERE t.candidates > 0
            AND (t.source = 'role' OR t.source IN (SELECT s.name FROM scram.audit_source s WHERE s.enabled))
        GROUP BY t.words_through
    ) own
    CROSS JOIN LATERAL (SELECT count(*) AS words FROM scram_internal.candidate w WHERE w.word_id > own.words_through) words
$$;

-- A later step: tries passwords for a time. True when nothing is left, or the time is spent. Internal.
CREATE FUNCTION scram_internal.guess_some(run bigint, deadline timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    -- Two seconds are long compared with a commit, and a crash loses no more than them.
    longest CONSTANT interval := interval '2 seconds';
    -- Number of secrets that a step reads: about as many as its time allows.
    at_once integer := 500;
    edition CONSTANT integer := scram_internal.guess_version();
    last_word CONSTANT bigint := coalesce((SELECT max(w.word_id) FROM scram_internal.candidate w), 0);
    left_over CONSTANT interval := least(deadline - clock_timestamp(), longest);
    -- If reading the sources used up the budget, still try passwords for one second. Otherwise a cluster with large sources
    -- would never get that far.
    first_time CONSTANT boolean := (SELECT r.candidates_tested = 0 FROM scram.audit_run r WHERE r.run_id = run);
    milliseconds CONSTANT integer :=
        ceil(1000 * extract(epoch FROM CASE WHEN first_time THEN greatest(left_over, '1 s') ELSE left_over END));
    own boolean;
    this_source text;
    work record;
    tried record;
    hit record;
    fixed bigint;
    tested bigint := 0;
    all_fixed bigint := 0;
BEGIN
    IF milliseconds <= 0 THEN
        RETURN true;
    END IF;
    -- First what names suggest, on every secret; then the words, on the secrets that have had the fewest.
    SELECT t.source INTO this_source FROM scram_internal.stored_secret t
    WHERE t.candidates > 0 AND t.own_edition < edition
        AND (t.source = 'role' OR t.source IN (SELECT s.name FROM scram.audit_source s WHERE s.enabled))
    ORDER BY t.own_edition, t.source LIMIT 1;
    own := FOUND;
    IF own THEN
        at_once := 2000;
    ELSE
        SELECT t.source INTO this_source FROM scram_internal.stored_secret t
        WHERE t.candidates > 0 AND t.words_through < last_word
        AND (t.source = 'role' OR t.source IN (SELECT s.name FROM scram.audit_source s WHERE s.enabled))
        ORDER BY t.words_through, t.source LIMIT 1;
        IF NOT FOUND THEN
            RETURN true;
        END IF;
    END IF;

    SELECT array_agg(l.subject) AS subjects, array_agg(l.digest) AS digests, array_agg(l.words_through) AS through
    INTO work
    FROM (
        SELECT t.subject, t.digest, t.words_through FROM scram_internal.stored_secret t
        WHERE t.candidates > 0 AND t.source = this_source AND CASE
            WHEN own THEN t.own_edition < edition
            ELSE t.words_through < last_word
        END
        ORDER BY t.words_through
        LIMIT at_once
    ) l;

    BEGIN
        FOR tried IN
            SELECT work.subjects[a.place] AS subject, work.digests[a.place] AS digest, a.through, a.tested, a.check_ids
            FROM scram_internal.guess(this_source, work.subjects, work.digests, own, work.through, milliseconds) a
        LOOP
            IF tried.tested IS NULL THEN
                -- Changed or dropped meanwhile: the next run sees what there is then.
                DELETE FROM scram_internal.stored_secret t
                WHERE (t.source, t.subject, t.digest) = (this_source, tried.subject, tried.digest);
                CONTINUE;
            END IF;
            tested := tested + tried.tested;
            -- A secret that was hit is tried to the end of the list like any other: otherwise the numbers and the time would
            -- tell which word it was.
            UPDATE scram_internal.stored_secret t
            SET own_edition = CASE WHEN own THEN edition ELSE t.own_edition END,
                words_through = CASE WHEN tried.tested = 0 THEN last_word ELSE tried.through END,
                hits = t.hits || (
                    SELECT coalesce(jsonb_object_agg(g.check_id, g.evidence), '{}')
                    FROM scram_internal.guess_checks() g
                    WHERE g.check_id = ANY (tried.check_ids))
            WHERE (t.source, t.subject, t.digest) = (this_source, tried.subject, tried.digest);

            FOR hit IN SELECT g.* FROM scram_internal.guess_checks() g WHERE g.check_id = ANY (tried.check_ids) LOOP
                UPDATE scram.audit_finding f SET severity = hit.severity, evidence = hit.evidence, last_run = run
                WHERE (f.source, f.subject, f.check_id) = (this_source, tried.subject, hit.check_id)
                    AND f.status <> 'fixed';
                IF NOT FOUND THEN
                    INSERT INTO scram.audit_finding
                        (source, subject, check_id, severity, evidence, first_run, last_run, status)
                    VALUES (this_source, tried.subject, hit.check_id, hit.severity, hit.evidence, run, run, 'open');
                END IF;
            END LOOP;
            -- A guess that was tried again and no longer hits is fixed.
            UPDATE scram.audit_finding f SET status = 'fixed'
            FROM scram_internal.guess_checks() g
            WHERE (f.source, f.subject, f.check_id) = (this_source, tried.subject, g.check_id) AND f.status <> 'fixed'
                AND NOT scram_internal.is_guess_pending(f.source, f.subject, f.check_id)
                AND NOT EXISTS (
                    SELECT FROM scram_internal.stored_secret t
                    WHERE (t.source, t.subject) = (f.source, f.subject) AND t.hits ? f.check_id);
            GET DIAGNOSTICS fixed = ROW_COUNT;
            all_fixed := all_fixed + fixed;
        END LOOP;
    EXCEPTION WHEN OTHERS THEN
        -- Errors on roles are ours: pass them on.
        IF this_source = 'role' THEN
            RAISE;
        END IF;
        -- The source was readable at the start of the run and no longer is. Skip its secrets until a later run has read it
        -- again.
        UPDATE scram_internal.stored_secret t SET candidates = 0 WHERE t.source = this_source;
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

COMMENT ON FUNCTION scram_internal.candidates_left() IS 'internal to scram.run_audit(): how many passwords are left to try';
COMMENT ON FUNCTION scram_internal.guess_some(bigint, timestamptz) IS 'internal to scram.run_audit(): its later parts';
