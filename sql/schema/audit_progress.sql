-- Runs as users see them: which of them were interrupted, and how far the present one is.

-- Whether the backend of the run in progress still runs it. Between steps nothing holds a lock, so compare the recorded backend
-- with pg_stat_activity: after a cancel the session may still exist but run another statement. The backends of the primary are
-- not to be seen on a standby, where every run that is stored as running may be.
--
-- It runs as the owner, because other roles do not see the statements of a session.
CREATE FUNCTION scram_internal.is_running(run bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_is_in_recovery() OR EXISTS (
        SELECT FROM scram_internal.current_run p
        JOIN pg_stat_activity a ON a.pid = p.pid AND a.backend_start = p.backend_start
        WHERE p.run_id = $1 AND a.query_start IS NOT DISTINCT FROM p.query_start AND a.state IN ('active', 'disabled'))
$$;

-- A table is read with the rights of the view's owner, so that a right on the view is enough.
CREATE VIEW scram.audit_run AS
SELECT r.run_id, r.started_at, r.finished_at,
       CASE WHEN r.status = 'running' AND NOT scram_internal.is_running(r.run_id) THEN 'interrupted' ELSE r.status END AS status,
       r.subjects, r.candidates_tested, r.candidates_left, r.findings_new, r.findings_fixed, r.findings_open, r.hidden,
       r.system_identifier
FROM scram_internal.stored_run r;

-- How far the present run is: one row, or none. Passwords are counted from the moment at which all sources were read.
CREATE FUNCTION scram.audit_progress()
RETURNS TABLE (run_id bigint, stage text, source text, tried bigint, remaining bigint, rate double precision,
               nights_left double precision, deadline timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.run_id,
           CASE WHEN p.guesses_since IS NULL THEN 'reading' ELSE 'guessing' END,
           t.source,
           r.candidates_tested,
           CASE WHEN p.guesses_since IS NOT NULL THEN r.candidates_left END,
           s.rate,
           -- As many nights as the passwords take at this rate, each as long as this run.
           r.candidates_left / nullif(s.rate * extract(epoch FROM p.deadline - r.started_at)::float8, 0),
           p.deadline
    FROM scram_internal.current_run p
    JOIN scram_internal.stored_run r ON r.run_id = p.run_id
    LEFT JOIN scram_internal.source_state t
        ON t.claimed_run = r.run_id AND t.read_run IS DISTINCT FROM r.run_id AND p.guesses_since IS NULL
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.candidates_tested > 0
                    THEN r.candidates_tested / greatest(extract(epoch FROM clock_timestamp() - p.guesses_since)::float8, 0.001)
               END AS rate
    ) s
    WHERE scram_internal.is_running(r.run_id)
$$;

-- Tells an interactive session every ten seconds how far its run is. pg_cron would only write it into a log, and who gave a run
-- less than half a minute need not be told. Internal.
CREATE FUNCTION scram_internal.tell_progress(run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told record;
BEGIN
    UPDATE scram_internal.current_run p SET told_at = clock_timestamp()
    FROM scram_internal.stored_run r, pg_stat_activity a
    WHERE r.run_id = run AND p.run_id = run AND a.pid = p.pid
        AND coalesce(p.told_at, r.started_at) <= clock_timestamp() - interval '10 seconds'
        AND p.deadline - r.started_at >= interval '30 seconds'
        AND a.backend_type = 'client backend' AND a.application_name NOT LIKE 'pg_cron%';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT s.* INTO told FROM scram.audit_progress() s;
    IF NOT FOUND THEN
        -- The session's activity is not tracked any more.
        RETURN;
    END IF;
    RAISE NOTICE USING MESSAGE = CASE told.stage
        WHEN 'reading' THEN format('audit run %s: reading %s', run, coalesce('source "' || told.source || '"', 'the sources'))
        ELSE format('audit run %s: %s passwords tried, %s left; %s a second, %s more nights like this one',
                    run, told.tried, told.remaining, coalesce(round(told.rate)::text, '?'),
                    coalesce(round(told.nights_left::numeric, 1)::text, '?'))
    END;
END
$$;

COMMENT ON VIEW scram.audit_run IS 'runs of scram.run_audit()';
COMMENT ON COLUMN scram.audit_run.status IS 'running, done, partial (its time was spent), or interrupted';
COMMENT ON COLUMN scram.audit_run.subjects IS 'roles and rows of registered sources that were looked at';
COMMENT ON COLUMN scram.audit_run.candidates_tested IS 'passwords tried in this run';
COMMENT ON COLUMN scram.audit_run.candidates_left IS 'passwords that the next run goes on with';
COMMENT ON COLUMN scram.audit_run.findings_new IS 'open findings that no finished run before this one had';
COMMENT ON COLUMN scram.audit_run.findings_fixed IS 'findings that stood before this run and no longer do';
COMMENT ON COLUMN scram.audit_run.findings_open IS 'open findings when the run ended';
COMMENT ON COLUMN scram.audit_run.hidden IS 'what scram.audit_policy hid';
COMMENT ON COLUMN scram.audit_run.run_id IS 'its number';
COMMENT ON COLUMN scram.audit_run.system_identifier IS
    'the cluster that ran it, as pg_control_system() shows it; NULL where that is not known';
COMMENT ON FUNCTION scram.audit_progress() IS 'how far the present run of scram.run_audit() is; no row if none is running';
COMMENT ON FUNCTION scram_internal.is_running(bigint) IS 'internal to scram.audit_run: whether its backend still runs it';
COMMENT ON FUNCTION scram_internal.tell_progress(bigint) IS 'internal to scram.run_audit(): a NOTICE every ten seconds';
