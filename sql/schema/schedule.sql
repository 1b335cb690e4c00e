-- The audit every night, by pg_cron if it is there. SECURITY INVOKER: the job belongs to who schedules it, and pg_cron
-- runs it as him. Nothing here depends on pg_cron at install: its functions are looked up when they are called.

-- Raises 55000 with what to type unless pg_cron is in this database. Internal.
CREATE FUNCTION scram.schedule_check(command text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cron_database text;
BEGIN
    IF EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        RETURN;
    END IF;
    BEGIN
        -- Absent where pg_cron isn't preloaded; not for everybody's eyes where it is.
        cron_database := current_setting('cron.database_name', true);
    EXCEPTION WHEN insufficient_privilege THEN
        cron_database := NULL;
    END;
    RAISE object_not_in_prerequisite_state USING
        MESSAGE = 'pg_cron is not installed in this database',
        HINT = CASE
            WHEN cron_database IS NULL
            THEN 'Add pg_cron to shared_preload_libraries, restart the server and run CREATE EXTENSION pg_cron in the '
                'database that cron.database_name names. There: ' || command
            WHEN cron_database = current_database() THEN 'Run CREATE EXTENSION pg_cron. Then call this again.'
            ELSE format('pg_cron runs in database %I. There: %s', cron_database, command)
        END;
END
$$;

-- The job's id. Under a name that is taken the job is replaced.
CREATE FUNCTION scram.schedule_audit(
    schedule text DEFAULT '17 3 * * *',
    job_name text DEFAULT 'scram-audit',
    database name DEFAULT current_database()
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- One CALL and nothing else: a job of several statements is a transaction block, in which it can't commit.
    job CONSTANT text := 'CALL scram.run_audit()';
    cron_schedule CONSTANT text := coalesce(schedule, '17 3 * * *');
    cron_name CONSTANT text := coalesce(job_name, 'scram-audit');
    cron_database CONSTANT name := coalesce(database, current_database());
    job_id bigint;
BEGIN
    PERFORM scram.schedule_check(format(
        'SELECT cron.schedule_in_database(%L, %L, %L, %L)', cron_name, cron_schedule, job, cron_database));
    -- pg_cron itself would make a job that fails every night.
    IF NOT EXISTS (SELECT FROM pg_database d WHERE d.datname = cron_database) THEN
        RAISE SQLSTATE '3D000' USING MESSAGE = format('database "%s" does not exist', cron_database);
    END IF;

    -- Under a taken name pg_cron takes over schedule and command only: the job would stay in its database, and switched
    -- off if it was.
    EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job j
             WHERE j.jobname = $1 AND j.username = current_user AND (j.database <> $2 OR NOT j.active)'
        USING cron_name, cron_database;
    -- Whoever may use pg_cron may call the first; the second is to be granted.
    IF cron_database = current_database() THEN
        EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO job_id USING cron_name, cron_schedule, job;
    ELSE
        EXECUTE 'SELECT cron.schedule_in_database($1, $2, $3, $4)' INTO job_id
            USING cron_name, cron_schedule, job, cron_database::text;
    END IF;
    RETURN job_id;
END
$$;

CREATE FUNCTION scram.unschedule_audit(job_name text DEFAULT 'scram-audit') RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cron_name CONSTANT text := coalesce(job_name, 'scram-audit');
    found_job boolean;
BEGIN
    PERFORM scram.schedule_check(format('SELECT cron.unschedule(%L)', cron_name));
    -- pg_cron raises for a job that it doesn't have. Names are one for each user.
    EXECUTE 'SELECT EXISTS (SELECT FROM cron.job j WHERE j.jobname = $1 AND j.username = current_user)' INTO found_job
        USING cron_name;
    IF found_job THEN
        EXECUTE 'SELECT cron.unschedule($1)' USING cron_name;
    END IF;
    RETURN found_job;
END
$$;

COMMENT ON FUNCTION scram.schedule_audit(text, text, name) IS
    'has pg_cron call scram.run_audit(); replaces the job of that name';
COMMENT ON FUNCTION scram.schedule_check(text) IS 'internal: raises unless pg_cron is installed in this database';
COMMENT ON FUNCTION scram.unschedule_audit(text) IS 'removes the job that scram.schedule_audit() made';

REVOKE ALL ON FUNCTION scram.schedule_audit(text, text, name), scram.schedule_check(text), scram.unschedule_audit(text)
FROM PUBLIC;
