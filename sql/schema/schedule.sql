-- Runs the audit every night with pg_cron. SECURITY INVOKER: pg_cron decides what the caller may schedule, and runs the job as
-- the role that owns it. Nothing here depends on pg_cron at installation: its functions are looked up when they are called.

-- Raises 55000 with what to type unless pg_cron is in this database. Internal.
CREATE FUNCTION scram_internal.require_pg_cron(command text) RETURNS void
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
        -- NULL unless pg_cron is preloaded; only some roles may read it then.
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

-- Raises 42501 for a job that would run code of another role as a superuser. pg_cron connects by the database's name and
-- calls what is named scram.run_audit there then: the owner of the database can drop it and make another one, and a role
-- that may create a schema can make that one's schema scram, where the extension is missing. Internal.
CREATE FUNCTION scram_internal.require_safe_job(database name, username name) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reason text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = username) THEN
        RAISE undefined_object USING MESSAGE = format('role "%s" does not exist', username);
    END IF;
    -- pg_cron itself would make a job that fails every night.
    IF NOT EXISTS (SELECT FROM pg_database d WHERE d.datname = database) THEN
        RAISE SQLSTATE '3D000' USING MESSAGE = format('database "%s" does not exist', database);
    END IF;
    IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = username) THEN
        RETURN;
    END IF;

    SELECT format('Role "%s" owns the database.', r.rolname) INTO reason
    FROM pg_database d
    JOIN pg_roles r ON r.oid = d.datdba
    WHERE d.datname = database AND NOT r.rolsuper;
    IF reason IS NULL THEN
        -- In this database the schema is there and cannot be made again. Another database cannot be looked into.
        SELECT CASE
                WHEN a.grantee = 0 THEN 'Every role may create schemas in the database.'
                ELSE format('Role "%s" may create schemas in the database.', a.grantee::regrole::text)
            END
        INTO reason
        FROM pg_database d
        CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE d.datname = database AND a.privilege_type = 'CREATE' AND NOT coalesce(r.rolsuper, false)
        LIMIT 1;
    END IF;
    IF reason IS NULL AND database = current_database() THEN
        SELECT CASE
                WHEN NOT o.rolsuper THEN format('Role "%s" owns the schema %s.', o.rolname, n.nspname)
                WHEN a.grantee = 0 THEN format('Every role may create functions in the schema %s.', n.nspname)
                ELSE format('Role "%s" may create functions in the schema %s.', a.grantee::regrole::text, n.nspname)
            END
        INTO reason
        FROM pg_namespace n
        JOIN pg_roles o ON o.oid = n.nspowner
        CROSS JOIN aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
        LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE n.nspname IN ('scram', 'scram_internal')
            AND (NOT o.rolsuper OR a.privilege_type = 'CREATE' AND NOT coalesce(r.rolsuper, false))
        LIMIT 1;
    END IF;
    IF reason IS NOT NULL THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('a job of superuser "%s" in database "%s" could run code of another role',
                             username, database),
            DETAIL = reason,
            HINT = 'Name an auditor role, which is no superuser, in "username".';
    END IF;
END
$$;

-- Returns the job's id. An audit of the same name and user is replaced; another job of that name stays.
CREATE FUNCTION scram.schedule_audit(
    schedule text DEFAULT '17 3 * * *',
    job_name text DEFAULT 'scram-audit',
    database name DEFAULT current_database(),
    username name DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- One CALL and nothing else: a job of several statements is a transaction block, in which it cannot commit.
    job CONSTANT text := 'CALL scram.run_audit()';
    cron_schedule CONSTANT text := coalesce(schedule, '17 3 * * *');
    cron_name CONSTANT text := coalesce(job_name, 'scram-audit');
    cron_database CONSTANT name := coalesce(database, current_database());
    cron_user CONSTANT name := coalesce(username, current_user);
    other_command text;
    job_id bigint;
BEGIN
    PERFORM scram_internal.require_safe_job(cron_database, cron_user);
    PERFORM scram_internal.require_pg_cron(format(
        'SELECT cron.schedule_in_database(%L, %L, %L, %L%s)', cron_name, cron_schedule, job, cron_database,
        CASE WHEN username IS NULL THEN '' ELSE format(', %L', username) END));

    EXECUTE 'SELECT j.command FROM cron.job j
             WHERE j.jobname = $1 AND j.username = $2 AND j.command NOT LIKE $3' INTO other_command
        USING cron_name, cron_user, '%scram.run_audit(%';
    IF other_command IS NOT NULL THEN
        RAISE duplicate_object USING
            MESSAGE = format('job "%s" already exists and is no audit', cron_name),
            HINT = 'Give another "job_name", or remove that job with cron.unschedule().';
    END IF;

    -- pg_cron judges the schedule only when it stores the job, so removing the old one and making the new one are one
    -- subtransaction.
    BEGIN
        -- Under a taken name pg_cron takes over schedule and command only: the job would stay in its database, and
        -- switched off if it was.
        EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job j
                 WHERE j.jobname = $1 AND j.username = $3 AND (j.database <> $2 OR NOT j.active)'
            USING cron_name, cron_database, cron_user;
        -- Each user of pg_cron may call cron.schedule; the other function has to be granted.
        IF cron_database = current_database() AND cron_user = current_user THEN
            EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO job_id USING cron_name, cron_schedule, job;
        ELSE
            EXECUTE 'SELECT cron.schedule_in_database($1, $2, $3, $4, $5)' INTO job_id
                USING cron_name, cron_schedule, job, cron_database::text, cron_user::text;
        END IF;
    EXCEPTION WHEN invalid_parameter_value THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('pg_cron does not accept the schedule "%s"', cron_schedule),
            DETAIL = 'Jobs are as they were.',
            HINT = 'Give minute, hour, day of the month, month and day of the week, such as ''17 3 * * *''.';
    END;
    RETURN job_id;
END
$$;

-- Returns the user of a job of scram.schedule_audit(), run as the owner because pg_cron hides other users' jobs; NULL where there
-- is no such job. The table is pg_cron's own and a superuser's, so that no other role can put a view in its place. Internal.
CREATE FUNCTION scram_internal.job_user(job_name text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job_user text;
BEGIN
    IF EXISTS (
        SELECT FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
        JOIN pg_roles o ON o.oid = c.relowner
        JOIN pg_roles s ON s.oid = n.nspowner
        WHERE n.nspname = 'cron' AND c.relname = 'job' AND c.relkind = 'r' AND e.extname = 'pg_cron'
            AND o.rolsuper AND s.rolsuper)
    THEN
        EXECUTE 'SELECT j.username FROM cron.job j WHERE j.jobname = $1 AND j.command = $2 LIMIT 1' INTO job_user
            USING job_name, 'CALL scram.run_audit()';
    END IF;
    RETURN job_user;
END
$$;

CREATE FUNCTION scram.unschedule_audit(job_name text DEFAULT 'scram-audit') RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cron_name CONSTANT text := coalesce(job_name, 'scram-audit');
    removed bigint;
    other_user text;
BEGIN
    PERFORM scram_internal.require_pg_cron(format('SELECT cron.unschedule(%L)', cron_name));
    -- A superuser sees the jobs of all users. A job of this name can be for something else.
    EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job j
             WHERE j.jobname = $1 AND (j.command = $2 OR j.username = current_user AND j.command LIKE $3)' INTO removed
        USING cron_name, 'CALL scram.run_audit()', '%scram.run_audit(%';
    IF removed = 0 THEN
        other_user := scram_internal.hidden_job_user(cron_name);
        IF other_user IS NOT NULL THEN
            RAISE insufficient_privilege USING
                MESSAGE = format('job "%s" belongs to role "%s"', cron_name, other_user),
                HINT = 'That role or a superuser can remove it.';
        END IF;
    END IF;
    RETURN removed > 0;
END
$$;

COMMENT ON FUNCTION scram.schedule_audit(text, text, name, name) IS
    'schedules scram.run_audit() with pg_cron; replaces the audit of that name and user';
COMMENT ON FUNCTION scram_internal.require_pg_cron(text) IS 'internal: raises unless pg_cron is installed in this database';
COMMENT ON FUNCTION scram_internal.hidden_job_user(text) IS
    'internal to scram.unschedule_audit(): user of a job that pg_cron hides from the caller';
COMMENT ON FUNCTION scram_internal.job_user(text) IS 'internal to scram.unschedule_audit(): user of a job';
COMMENT ON FUNCTION scram_internal.require_safe_job(name, name) IS
    'internal to scram.schedule_audit(): raises for a job that could run code of another role as a superuser';
COMMENT ON FUNCTION scram.unschedule_audit(text) IS 'removes the job that scram.schedule_audit() made';

REVOKE ALL ON FUNCTION scram.schedule_audit(text, text, name, name), scram_internal.require_pg_cron(text),
    scram_internal.hidden_job_user(text), scram_internal.job_user(text), scram_internal.require_safe_job(name, name), scram.unschedule_audit(text)
FROM PUBLIC;
