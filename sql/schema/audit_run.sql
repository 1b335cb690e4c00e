-- The stored audit: a procedure that commits after each step, and the functions that begin and end a run. The steps in
-- between are in audit_steps.sql and audit_guesses.sql.

-- No SET clause and no SECURITY DEFINER, because with either of them a procedure cannot commit. So the procedure qualifies
-- all names and holds only calls and COMMIT; the work is in functions that have a pinned search_path.
CREATE PROCEDURE scram.run_audit(budget interval DEFAULT NULL, INOUT run_id bigint DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
    more boolean;
BEGIN
    PERFORM scram_internal.require_top_level();
    run_id := scram_internal.begin_run(budget);
    COMMIT;
    more := run_id IS NOT NULL;
    WHILE more LOOP
        more := scram_internal.step(run_id);
        COMMIT;
    END LOOP;
END
$$;

-- The functions below run as the owner: scram_internal.begin_run() and scram_internal.step(), which run_audit() calls as its caller,
-- first make sure that the caller may run the audit.

-- Starts a run; NULL if another one is at work. Internal.
CREATE FUNCTION scram_internal.start_run(budget interval) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
-- Any user may have plans sent to the client, and plans hold the names of subjects as constants.
SET debug_print_parse = off
SET debug_print_rewritten = off
SET debug_print_plan = off
AS $$
DECLARE
    -- Upper limit of the budget: much more would overflow timestamptz.
    longest CONSTANT interval := interval '100 years';
    -- statement_timeout counts from the CALL on, and would end it as an error; a step takes two seconds, and may take more.
    timeout CONSTANT interval := nullif(current_setting('statement_timeout')::interval, interval '0');
    run bigint;
    progress scram_internal.current_run;
BEGIN
    IF budget < interval '0' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the budget of an audit must not be negative';
    END IF;

    -- A step of another session holds this lock until its commit.
    SELECT p.* INTO progress FROM scram_internal.current_run p FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RAISE NOTICE 'another audit is running';
        RETURN NULL;
    END IF;
    -- Within one transaction pg_stat_activity keeps its first result, so clear it first.
    PERFORM pg_stat_clear_snapshot();
    IF progress.pid <> pg_backend_pid() AND scram_internal.is_running(progress.run_id) THEN
        RAISE NOTICE 'another audit is running'
            USING DETAIL = format('Run %s, in the server process %s.', progress.run_id, progress.pid);
        RETURN NULL;
    END IF;

    -- The run was cancelled or killed, or its server went down. Its committed steps stay.
    UPDATE scram_internal.stored_run r SET status = 'interrupted' WHERE r.status = 'running';

    INSERT INTO scram_internal.stored_run (started_at, status, system_identifier)
    SELECT clock_timestamp(), 'running', s.system_identifier FROM pg_control_system() s
    RETURNING stored_run.run_id INTO run;
    UPDATE scram_internal.current_run p
    SET run_id = run, pid = a.pid, backend_start = a.backend_start, query_start = a.query_start,
        guesses_since = NULL, told_at = NULL,
        deadline = least(
            clock_timestamp() + least(coalesce(budget, current_setting('scram.audit_budget')::interval), longest),
            statement_timestamp() + timeout - least(timeout / 2, interval '4 s'))
    FROM pg_stat_activity a
    WHERE a.pid = pg_backend_pid();
    RETURN run;
END
$$;

-- Does a part of a run; false when it has ended. Internal.
CREATE FUNCTION scram_internal.run_step(run bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
-- Any user may have plans sent to the client, and plans hold the names of subjects as constants.
SET debug_print_parse = off
SET debug_print_rewritten = off
SET debug_print_plan = off
-- The functions that it calls cost much, but not in the executor: JIT compilation would only add a tenth of a second.
SET jit = off
AS $$
DECLARE
    progress scram_internal.current_run;
    claimed text;
BEGIN
    SELECT p.* INTO progress FROM scram_internal.current_run p WHERE p.run_id = run AND p.pid = pg_backend_pid() FOR UPDATE;
    IF NOT FOUND THEN
        RAISE object_not_in_prerequisite_state
            USING MESSAGE = 'this session runs no audit', HINT = 'Use CALL scram.run_audit().';
    END IF;

    -- A source that was claimed and whose turn has not ended.
    claimed := (SELECT s.source FROM scram_internal.source_state s WHERE s.claimed_run = run AND s.read_run IS DISTINCT FROM run);
    IF claimed IS NOT NULL THEN
        PERFORM scram_internal.scan(run, claimed, progress.deadline);
    ELSIF scram_internal.claim_source(run, progress.deadline) THEN
        NULL; -- The next step reads it, after the commit.
    ELSIF scram_internal.guess_some(run, progress.deadline) THEN
        PERFORM scram_internal.finish_run(run);
        RETURN false;
    END IF;
    PERFORM scram_internal.tell_progress(run);
    RETURN true;
END
$$;

-- What the policies hid, in words: the first ten of them. Internal.
CREATE FUNCTION scram_internal.hidden_by_policy() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s finding%s: %s%s', sum(h.findings), CASE WHEN sum(h.findings) > 1 THEN 's' ELSE '' END,
                  string_agg(h.words, ', ' ORDER BY h.number) FILTER (WHERE h.number <= 10),
                  CASE WHEN count(*) > 10 THEN ', ...' ELSE '' END)
    FROM (
        SELECT format('%s %s%s', sum(k.findings), k.check_id, ' on ' || left(p.subject, 63)) AS words,
               sum(k.findings) AS findings,
               row_number() OVER (ORDER BY sum(k.findings) DESC, k.check_id, k.policy_id) AS number
        FROM scram_internal.hidden_finding k
        JOIN scram.audit_policy p ON p.policy_id = k.policy_id
        GROUP BY k.policy_id, k.check_id, p.subject
    ) h
    HAVING count(*) > 0
$$;

-- Last step: counts, and tells listeners if there is something new. Internal.
CREATE FUNCTION scram_internal.finish_run(run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A finding is new if no finished run had it; interrupted runs notify no listener. current_run is not dumped, so after a
    -- restore take the newest finished run from audit_run.
    last_finished CONSTANT bigint := greatest(
        (SELECT max(r.run_id) FROM scram_internal.stored_run r WHERE r.status IN ('done', 'partial')),
        (SELECT p.last_finished FROM scram_internal.current_run p), 0);
    cluster CONSTANT bigint := (SELECT r.system_identifier FROM scram_internal.stored_run r WHERE r.run_id = run);
    left_over CONSTANT bigint := (SELECT r.candidates_left FROM scram_internal.stored_run r WHERE r.run_id = run);
    -- A source that this run did not reach, or not to its end: is_changed says that its shared secrets are still to be found.
    unread CONSTANT boolean := EXISTS (
        SELECT FROM scram.audit_source s
        LEFT JOIN scram_internal.source_state t ON t.source = s.name
        WHERE s.enabled
            AND (t.read_run IS DISTINCT FROM run OR t.failure IS NULL AND (t.next_relation IS NOT NULL OR t.is_ending OR t.is_changed)));
    fresh record;
BEGIN
    -- This run did not judge these findings, so nothing says that they are fixed.
    UPDATE scram.audit_finding f SET last_run = run, system_identifier = cluster
    WHERE f.status <> 'fixed' AND f.last_run < run AND NOT f.is_off;
    PERFORM scram_internal.take_inventory(run);

    SELECT count(*) AS total,
           count(*) FILTER (WHERE f.severity = 'critical') AS critical,
           count(*) FILTER (WHERE f.severity = 'warning') AS warning,
           count(*) FILTER (WHERE f.severity = 'notice') AS notice
    INTO fresh
    FROM scram.audit_finding f
    WHERE f.status = 'open' AND NOT f.is_off AND f.first_run > last_finished;

    UPDATE scram_internal.stored_run r
    SET status = CASE WHEN left_over = 0 AND NOT unread THEN 'done' ELSE 'partial' END,
        finished_at = clock_timestamp(),
        candidates_left = left_over,
        findings_new = fresh.total,
        findings_open = (SELECT count(*) FROM scram.audit_finding f WHERE f.status = 'open' AND NOT f.is_off),
        hidden = scram_internal.hidden_by_policy()
    WHERE r.run_id = run;
    UPDATE scram_internal.current_run p
    SET run_id = NULL, pid = NULL, backend_start = NULL, query_start = NULL, deadline = NULL,
        guesses_since = NULL, told_at = NULL, last_finished = run;

    IF fresh.total > 0 THEN
        -- Any role may LISTEN, so send counts and no names.
        PERFORM pg_notify('scram_audit', json_build_object(
            'run_id', run,
            'new', json_build_object('critical', fresh.critical, 'warning', fresh.warning, 'notice', fresh.notice))::text);
    END IF;
END
$$;

COMMENT ON PROCEDURE scram.run_audit(interval, bigint) IS
    'runs a whole audit and stores it, committing as it goes; send the CALL on its own';
COMMENT ON FUNCTION scram_internal.begin_run(interval) IS 'internal to scram.run_audit(): checks the caller, then starts a run';
COMMENT ON FUNCTION scram_internal.start_run(interval) IS 'internal to scram.run_audit(): starts a run';
COMMENT ON FUNCTION scram_internal.finish_run(bigint) IS 'internal to scram.run_audit(): ends a run';
COMMENT ON FUNCTION scram_internal.hidden_by_policy() IS 'internal to scram.run_audit(): what the policies hid, in words';
COMMENT ON FUNCTION scram_internal.run_step(bigint) IS 'internal to scram.run_audit(): does a part of a run';
COMMENT ON FUNCTION scram_internal.step(bigint) IS 'internal to scram.run_audit(): checks the caller, then does a part of a run';

-- PUBLIC may execute a new procedure until the right is revoked, so the script that makes it revokes it.
REVOKE ALL ON PROCEDURE scram.run_audit(interval, bigint) FROM PUBLIC;
