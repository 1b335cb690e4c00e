-- Stored audits. What is found is decided by the checks in the library; here are the runs, the life of a finding, and
-- the procedure that commits as it goes.

CREATE TABLE scram.audit_run (
    run_id bigserial PRIMARY KEY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    status text NOT NULL CHECK (status IN ('running', 'done', 'partial', 'interrupted')),
    subjects bigint NOT NULL DEFAULT 0,
    candidates_tested bigint NOT NULL DEFAULT 0,
    candidates_left bigint NOT NULL DEFAULT 0,
    findings_new bigint NOT NULL DEFAULT 0,
    findings_fixed bigint NOT NULL DEFAULT 0,
    findings_open bigint NOT NULL DEFAULT 0
);

-- A finding stood in every run from first_run to last_run. One that comes back after it was fixed is a row of its own.
CREATE TABLE scram.audit_finding (
    finding_id bigserial PRIMARY KEY,
    source text NOT NULL,
    subject text NOT NULL,
    check_id text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'notice')),
    evidence text NOT NULL,
    first_run bigint NOT NULL,
    last_run bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'fixed', 'accepted')),
    accepted_until timestamptz,
    note text,
    -- What it said before: {"until_run", "severity", "evidence"} for each change, oldest first.
    earlier jsonb NOT NULL DEFAULT '[]'
);
CREATE UNIQUE INDEX audit_finding_current ON scram.audit_finding (source, subject, check_id) WHERE status <> 'fixed';

-- What was tried on which secret, so that it isn't tried again. tested_run NULL: still to be done. Not dumped: the
-- digests belong to this cluster.
CREATE TABLE scram.audit_tested (
    source text NOT NULL,
    subject text NOT NULL,
    check_id text NOT NULL,
    digest bytea NOT NULL,
    candidates integer NOT NULL,
    tested_run bigint,
    evidence text,
    PRIMARY KEY (source, subject, check_id)
);
CREATE INDEX audit_tested_left ON scram.audit_tested (source, subject, check_id) WHERE tested_run IS NULL;

-- Who runs: one row for ever, locked in each step. It is what keeps a second run out: an advisory lock could be taken by
-- anybody. A run whose backend is gone was interrupted.
CREATE TABLE scram.audit_progress (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    run_id bigint,
    pid integer,
    backend_start timestamptz,
    deadline timestamptz,
    scanned boolean
);
INSERT INTO scram.audit_progress DEFAULT VALUES;

-- One call in a statement: two fail with "tuple already updated by self".
SELECT pg_catalog.pg_extension_config_dump('scram.audit_run', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_run_run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_finding', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_finding_finding_id_seq', '');

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
    SET run_id = run, pid = a.pid, backend_start = a.backend_start, scanned = false,
        deadline = clock_timestamp() + coalesce(budget, current_setting('scram.audit_budget')::interval)
    FROM pg_stat_activity a
    WHERE a.pid = pg_backend_pid();
    RETURN run;
END
$$;

-- Does a second's work of a run; false when it has ended. Internal.
CREATE FUNCTION scram.audit_step(run bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    progress scram.audit_progress;
    finish boolean;
BEGIN
    PERFORM scram.audit_authorize();
    SELECT p.* INTO progress FROM scram.audit_progress p WHERE p.run_id = run AND p.pid = pg_backend_pid() FOR UPDATE;
    IF NOT FOUND THEN
        RAISE object_not_in_prerequisite_state
            USING MESSAGE = 'this session runs no audit', HINT = 'Use CALL scram.run_audit().';
    END IF;

    IF NOT progress.scanned THEN
        PERFORM scram.audit_step_scan(run);
        UPDATE scram.audit_progress SET scanned = true;
        RETURN true;
    END IF;
    finish := scram.audit_step_try(run, progress.deadline);
    IF finish THEN
        PERFORM scram.audit_finish(run);
    END IF;
    RETURN NOT finish;
END
$$;

-- First step: all checks that derive no keys, and the list of what the others have to do. Internal.
CREATE FUNCTION scram.audit_step_scan(run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fixed bigint;
BEGIN
    -- An accepted finding whose time is over is open again.
    UPDATE scram.audit_finding f SET status = 'open', accepted_until = NULL
    WHERE f.status = 'accepted' AND f.accepted_until <= clock_timestamp();

    -- What there is to try. A row without its counterpart is gone, renamed, or not tried any more.
    WITH w AS MATERIALIZED (
        SELECT * FROM scram.audit_workload()
    ), gone AS (
        DELETE FROM scram.audit_tested t
        WHERE NOT EXISTS (
            SELECT FROM w WHERE (w.source, w.subject, w.check_id) = (t.source, t.subject, t.check_id))
    )
    INSERT INTO scram.audit_tested AS t (source, subject, check_id, digest, candidates)
    SELECT w.source, w.subject, w.check_id, w.digest, w.candidates FROM w
    ON CONFLICT (source, subject, check_id)
    DO UPDATE SET digest = excluded.digest, candidates = excluded.candidates, tested_run = NULL, evidence = NULL
    WHERE t.digest <> excluded.digest;

    -- What the scan found, and what earlier runs found by trying and nothing has changed of.
    WITH found AS MATERIALIZED (
        SELECT s.source, s.subject, s.check_id, s.severity, s.evidence FROM scram.audit_scan() s
        UNION ALL
        SELECT t.source, t.subject, t.check_id, c.severity, t.evidence
        FROM scram.audit_tested t
        JOIN scram.audit_checks() c ON c.check_id = t.check_id
        WHERE t.evidence IS NOT NULL
    ), known AS (
        UPDATE scram.audit_finding f SET severity = found.severity, evidence = found.evidence, last_run = run
        FROM found
        WHERE f.status <> 'fixed' AND (f.source, f.subject, f.check_id) = (found.source, found.subject, found.check_id)
        RETURNING f.source, f.subject, f.check_id
    )
    INSERT INTO scram.audit_finding (source, subject, check_id, severity, evidence, first_run, last_run, status)
    SELECT found.*, run, run, 'open'
    FROM found
    WHERE (found.source, found.subject, found.check_id) NOT IN (TABLE known)
    ORDER BY found.severity, found.check_id, found.source, found.subject;

    -- The rest is fixed. What is to be tried anew stands until it was.
    UPDATE scram.audit_finding f SET status = 'fixed'
    WHERE f.status <> 'fixed' AND f.last_run < run AND NOT EXISTS (
        SELECT FROM scram.audit_tested t
        WHERE t.tested_run IS NULL AND (f.source, f.subject, f.check_id) = (t.source, t.subject, t.check_id));
    GET DIAGNOSTICS fixed = ROW_COUNT;
    UPDATE scram.audit_run r
    SET subjects = (SELECT count(*) FROM pg_authid),
        candidates_left = (SELECT coalesce(sum(t.candidates), 0) FROM scram.audit_tested t WHERE t.tested_run IS NULL),
        findings_fixed = r.findings_fixed + fixed
    WHERE r.run_id = run;
END
$$;

-- A later step: tries candidates for a second. True when nothing is left, or the time is spent. Internal.
CREATE FUNCTION scram.audit_step_try(run bigint, deadline timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step_end CONSTANT timestamptz := least(deadline, clock_timestamp() + interval '1 second');
    work record;
    tried record;
    fixed bigint;
    tested bigint := 0;
    all_fixed bigint := 0;
BEGIN
    FOR work IN
        SELECT t.source, t.subject, t.check_id, t.candidates FROM scram.audit_tested t
        WHERE t.tested_run IS NULL
        ORDER BY t.source, t.subject, t.check_id
    LOOP
        EXIT WHEN clock_timestamp() >= step_end;
        SELECT a.digest, a.evidence INTO tried FROM scram.audit_try(work.subject, work.check_id) a;
        IF NOT FOUND THEN
            -- Dropped meanwhile: the next run clears its findings.
            DELETE FROM scram.audit_tested t
            WHERE (t.source, t.subject, t.check_id) = (work.source, work.subject, work.check_id);
            CONTINUE;
        END IF;

        -- With the digest of what was tried: the password may have changed since the list was made.
        UPDATE scram.audit_tested t SET digest = tried.digest, tested_run = run, evidence = tried.evidence
        WHERE (t.source, t.subject, t.check_id) = (work.source, work.subject, work.check_id);
        IF tried.evidence IS NULL THEN
            UPDATE scram.audit_finding f SET status = 'fixed'
            WHERE (f.source, f.subject, f.check_id) = (work.source, work.subject, work.check_id)
                AND f.status <> 'fixed';
            GET DIAGNOSTICS fixed = ROW_COUNT;
            all_fixed := all_fixed + fixed;
        ELSE
            UPDATE scram.audit_finding f SET evidence = tried.evidence, last_run = run
            WHERE (f.source, f.subject, f.check_id) = (work.source, work.subject, work.check_id)
                AND f.status <> 'fixed';
            IF NOT FOUND THEN
                INSERT INTO scram.audit_finding
                    (source, subject, check_id, severity, evidence, first_run, last_run, status)
                SELECT work.source, work.subject, work.check_id, c.severity, tried.evidence, run, run, 'open'
                FROM scram.audit_checks() c
                WHERE c.check_id = work.check_id;
            END IF;
        END IF;
        tested := tested + work.candidates;
    END LOOP;

    UPDATE scram.audit_run r
    SET candidates_tested = r.candidates_tested + tested,
        findings_fixed = r.findings_fixed + all_fixed,
        candidates_left = (SELECT coalesce(sum(t.candidates), 0) FROM scram.audit_tested t WHERE t.tested_run IS NULL)
    WHERE r.run_id = run;
    RETURN clock_timestamp() >= deadline
        OR NOT EXISTS (SELECT FROM scram.audit_tested t WHERE t.tested_run IS NULL);
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
    fresh record;
BEGIN
    -- Not reached in this run: nothing says that it is fixed.
    UPDATE scram.audit_finding f SET last_run = run
    FROM scram.audit_tested t
    WHERE f.status <> 'fixed' AND t.tested_run IS NULL
        AND (f.source, f.subject, f.check_id) = (t.source, t.subject, t.check_id);

    SELECT count(*) AS total,
           count(*) FILTER (WHERE f.severity = 'critical') AS critical,
           count(*) FILTER (WHERE f.severity = 'warning') AS warning,
           count(*) FILTER (WHERE f.severity = 'notice') AS notice
    INTO fresh
    FROM scram.audit_finding f
    WHERE f.status = 'open' AND f.first_run > last_finished;

    UPDATE scram.audit_run r
    SET status = CASE r.candidates_left WHEN 0 THEN 'done' ELSE 'partial' END,
        finished_at = clock_timestamp(),
        findings_new = fresh.total,
        findings_open = (SELECT count(*) FROM scram.audit_finding f WHERE f.status = 'open')
    WHERE r.run_id = run;
    UPDATE scram.audit_progress p SET run_id = NULL, pid = NULL, backend_start = NULL, deadline = NULL, scanned = NULL;

    IF fresh.total > 0 THEN
        -- Anybody may listen: counts, never names.
        PERFORM pg_notify('scram_audit', json_build_object(
            'run_id', run,
            'new', json_build_object('critical', fresh.critical, 'warning', fresh.warning, 'notice', fresh.notice))::text);
    END IF;
END
$$;

COMMENT ON TABLE scram.audit_run IS 'runs of scram.run_audit()';
COMMENT ON COLUMN scram.audit_run.status IS 'running, done, partial (its time was spent), or interrupted';
COMMENT ON COLUMN scram.audit_run.subjects IS 'roles and rows of registered sources that were looked at';
COMMENT ON COLUMN scram.audit_run.candidates_tested IS 'passwords tried in this run';
COMMENT ON COLUMN scram.audit_run.candidates_left IS 'passwords that the next run goes on with';
COMMENT ON COLUMN scram.audit_run.findings_new IS 'open findings that no finished run before this one had';
COMMENT ON COLUMN scram.audit_run.findings_fixed IS 'findings that stood before this run and no longer do';
COMMENT ON COLUMN scram.audit_run.findings_open IS 'open findings when the run ended';
COMMENT ON SEQUENCE scram.audit_run_run_id_seq IS 'numbers scram.audit_run';
COMMENT ON TABLE scram.audit_finding IS 'what the audits found, from the first run that saw it to the last';
COMMENT ON COLUMN scram.audit_finding.source IS 'role, server, or the name of a registered source';
COMMENT ON COLUMN scram.audit_finding.subject IS 'name of the role, row, setting or rule';
COMMENT ON COLUMN scram.audit_finding.check_id IS 'a check of scram.audit_checks()';
COMMENT ON COLUMN scram.audit_finding.evidence IS 'what was seen, without key material';
COMMENT ON COLUMN scram.audit_finding.first_run IS 'first run that saw it';
COMMENT ON COLUMN scram.audit_finding.last_run IS 'last run that saw it';
COMMENT ON COLUMN scram.audit_finding.status IS 'open, fixed, or accepted until accepted_until (NULL: for ever)';
COMMENT ON COLUMN scram.audit_finding.earlier IS 'severity and evidence that it had before, until which run each';
COMMENT ON SEQUENCE scram.audit_finding_finding_id_seq IS 'numbers scram.audit_finding';
COMMENT ON TABLE scram.audit_tested IS 'internal to scram.run_audit(): passwords that were tried or are still to be';
COMMENT ON TABLE scram.audit_progress IS 'internal to scram.run_audit(): the run that is going on';
COMMENT ON PROCEDURE scram.run_audit(bigint, interval) IS
    'runs a whole audit and stores it, committing as it goes; send the CALL on its own';
COMMENT ON FUNCTION scram.audit() IS 'what the audit finds now, nothing stored';
COMMENT ON FUNCTION scram.audit_checks() IS 'the checks that the audit knows';
COMMENT ON FUNCTION scram.audit_authorize() IS 'internal to scram.run_audit(): raises unless the caller may run the audit';
COMMENT ON FUNCTION scram.audit_begin(interval) IS 'internal to scram.run_audit(): starts a run';
COMMENT ON FUNCTION scram.audit_finish(bigint) IS 'internal to scram.run_audit(): ends a run';
COMMENT ON FUNCTION scram.audit_ready() IS 'internal to scram.run_audit(): raises where it could not commit or store';
COMMENT ON FUNCTION scram.audit_restricted() IS 'internal to scram.run_audit(): whether a maintenance command runs this';
COMMENT ON FUNCTION scram.audit_scan() IS 'internal to scram.run_audit(): what the checks find that derive no keys';
COMMENT ON FUNCTION scram.audit_step(bigint) IS 'internal to scram.run_audit(): does a part of a run';
COMMENT ON FUNCTION scram.audit_step_scan(bigint) IS 'internal to scram.run_audit(): its first part';
COMMENT ON FUNCTION scram.audit_step_try(bigint, timestamptz) IS 'internal to scram.run_audit(): its later parts';
COMMENT ON FUNCTION scram.audit_try(text, text) IS 'internal to scram.run_audit(): tries passwords on one role';
COMMENT ON FUNCTION scram.audit_workload() IS 'internal to scram.run_audit(): what there is to try';

REVOKE ALL ON TABLE scram.audit_run, scram.audit_finding, scram.audit_tested, scram.audit_progress FROM PUBLIC;
REVOKE ALL ON PROCEDURE scram.run_audit(bigint, interval) FROM PUBLIC;
