-- The steps of a stored audit that try passwords.

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
    -- First what names suggest, on every secret; then the words, on the secrets that have had the fewest.
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

    SELECT array_agg(l.subject) AS subjects, array_agg(l.digest) AS digests, array_agg(l.words_through) AS through
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
            SELECT work.subjects[a.place] AS subject, work.digests[a.place] AS digest, a.through, a.tested,
                   g.check_id, g.severity, g.evidence
            FROM scram.audit_try(this_source, work.subjects, work.digests, own, work.through, milliseconds) a
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

COMMENT ON FUNCTION scram.audit_left() IS 'internal to scram.run_audit(): how many passwords are left to try';
COMMENT ON FUNCTION scram.audit_step_try(bigint, timestamptz) IS 'internal to scram.run_audit(): its later parts';
