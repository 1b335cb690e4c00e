-- The plan of a migration from MD5 to SCRAM.

-- The order keeps every role able to log in: method md5 of pg_hba.conf also accepts SCRAM verifiers, and method scram-sha-256
-- accepts no MD5 hash. So passwords come before rules. Nothing secret is read except the form of a stored password.
CREATE FUNCTION scram.migration_plan()
RETURNS TABLE (step integer, done boolean, subject text, action text, reason text, command text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- The server's parser of pg_hba.conf writes debug messages, and one quotes the secret of a RADIUS server.
SET client_min_messages = warning
AS $$
-- Texts with a backslash are in dollar quotes, which mean the same with standard_conforming_strings off.
DECLARE
    hba_file text := current_setting('hba_file');
    -- The server's value: a session, role or database can have one of its own.
    encryption text;
    overrides bigint;
    hashes bigint;
    verifiers bigint;
    rules bigint;
    -- The message about it may quote a password.
    bad_line integer;
    -- Why the server cannot open the file.
    hba_error text;
    -- The server does not load a file without rules.
    is_empty boolean;
    is_readable boolean;
    is_loaded boolean;
    -- Whether the time of loading is that of the session, which is later than the server's.
    is_own_time boolean;
    steps_left bigint;
BEGIN
    SELECT CASE WHEN s.source IN ('default', 'configuration file', 'command line', 'environment variable', 'override')
                THEN s.setting
                ELSE coalesce((SELECT f.setting FROM pg_file_settings f
                               WHERE lower(f.name) = s.name AND f.error IS NULL ORDER BY f.seqno DESC LIMIT 1), s.boot_val)
           END INTO encryption
    FROM pg_settings s WHERE s.name = 'password_encryption';
    SELECT count(*) INTO overrides FROM pg_db_role_setting s, unnest(s.setconfig) c
    WHERE starts_with(lower(c), 'password_encryption=') AND lower(c) <> 'password_encryption=scram-sha-256';
    SELECT count(*) FILTER (WHERE a.rolpassword ~ '^md5[0-9a-f]{32}$'),
           count(*) FILTER (WHERE a.rolpassword LIKE 'SCRAM-SHA-256$%')
    INTO hashes, verifiers FROM pg_authid a;
    BEGIN
        SELECT count(*) FILTER (WHERE r.auth_method = 'md5'),
               min(r.line_number) FILTER (WHERE r.type IS NULL),
               count(*) = 0
        INTO rules, bad_line, is_empty FROM pg_hba_file_rules r;
        -- A file that is moved or restored keeps the time of its modification.
        SELECT coalesce(max(greatest(f.modification, f.change)), '-infinity') <= pg_conf_load_time() INTO is_loaded
        FROM (SELECT DISTINCT coalesce(to_jsonb(r) ->> 'file_name', hba_file) AS name FROM pg_hba_file_rules r) h
        CROSS JOIN LATERAL pg_stat_file(h.name) f;
    EXCEPTION
        -- A file that is missing or cannot be read. A cancel is none of these.
        WHEN OTHERS THEN
            hba_error := SQLERRM;
            rules := 0;
            is_empty := false;
            is_loaded := false;
    END;
    is_readable := hba_error IS NULL AND bad_line IS NULL AND NOT is_empty;
    SELECT pg_conf_load_time() > a.backend_start INTO is_own_time
    FROM pg_stat_get_activity(pg_backend_pid()) a;

    -- Step 1: new passwords are stored as verifiers.
    RETURN QUERY SELECT 1, encryption = 'scram-sha-256' AND overrides = 0, 'server'::text,
        'set password_encryption to scram-sha-256'::text,
        concat_ws(' ',
            format('The server stores new passwords as %s.',
                   CASE encryption WHEN 'scram-sha-256' THEN 'SCRAM verifiers' ELSE 'MD5 hashes' END),
            CASE WHEN overrides > 0 THEN format('%s settings of roles and databases differ.', overrides) END),
        CASE WHEN encryption = 'scram-sha-256' AND overrides > 0
             THEN 'SELECT setdatabase, setrole::regrole, setconfig FROM pg_db_role_setting WHERE setconfig::text ~* ''password_encryption='';'
             ELSE E'ALTER SYSTEM SET password_encryption = ''scram-sha-256'';\nSELECT pg_reload_conf();' END;
    RETURN QUERY SELECT 1, false, o.owner, 'remove a setting of its own'::text,
        format('%s takes precedence over the server''s value.', o.setting),
        format('ALTER %s RESET password_encryption;', o.altered)
    FROM (
        SELECT CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'all roles'
                    WHEN s.setrole = 0 THEN format('database %I', d.datname)
                    WHEN s.setdatabase = 0 THEN format('role %I', a.rolname)
                    ELSE format('role %I in database %I', a.rolname, d.datname) END AS owner,
               CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'ROLE ALL'
                    WHEN s.setrole = 0 THEN format('DATABASE %I', d.datname)
                    WHEN s.setdatabase = 0 THEN format('ROLE %I', a.rolname)
                    ELSE format('ROLE %I IN DATABASE %I', a.rolname, d.datname) END AS altered,
               c AS setting
        FROM pg_db_role_setting s
        CROSS JOIN unnest(s.setconfig) c
        LEFT JOIN pg_authid a ON a.oid = s.setrole
        LEFT JOIN pg_database d ON d.oid = s.setdatabase
        WHERE starts_with(lower(c), 'password_encryption=') AND lower(c) <> 'password_encryption=scram-sha-256'
    ) o
    ORDER BY o.owner COLLATE "C";

    -- Step 2: a password for each role with an MD5 hash.
    RETURN QUERY SELECT 2, hashes = 0, 'roles'::text, 'replace each MD5 hash by a SCRAM verifier'::text,
        format('%s of %s stored passwords are MD5 hashes.', hashes, hashes + verifiers),
        'SELECT rolname FROM pg_authid WHERE rolpassword LIKE ''md5%'' ORDER BY rolname;'::text;
    RETURN QUERY SELECT 2, false, a.rolname::text,
        $t$set a password: rotate_role() makes a new one; with \password in psql the role's owner can set the present one again$t$::text,
        concat_ws(' ',
            CASE WHEN NOT a.rolcanlogin THEN 'The role cannot log in now.'
                 WHEN a.rolvaliduntil < now() THEN 'The password has expired.' END,
            'Comment: ' || rtrim(shobj_description(a.oid, 'pg_authid'), '.') || '.',
            (SELECT format('Last password change that scram.password_history knows: %s.',
                           to_char(max(h.set_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD'))
             FROM scram_internal.password_history h WHERE h.role = a.oid HAVING count(*) > 0),
            CASE WHEN encryption <> 'scram-sha-256' OR overrides > 0
                 THEN $t$Wait for step 1 with \password, which could store an MD5 hash again.$t$ END,
            'Rules with method md5 let the role in before and after.'),
        format('SELECT scram.rotate_role(%L);', a.rolname)
    FROM pg_authid a
    WHERE a.rolpassword ~ '^md5[0-9a-f]{32}$'
    ORDER BY a.rolname::text COLLATE "C";

    -- Step 3: rules. The method is the last word md5 with nothing but options and a comment behind it, because a database
    -- or role may have this name. A continued line is one line.
    RETURN QUERY SELECT 3, rules = 0 AND is_readable, 'pg_hba.conf'::text,
        'change the method md5 to scram-sha-256'::text,
        CASE WHEN hba_error IS NOT NULL THEN format('The server cannot read the file: %s.', hba_error)
             WHEN bad_line IS NOT NULL THEN format('The server cannot read line %s.', bad_line)
             WHEN is_empty THEN 'The server does not load the file, because it has no rules.'
             WHEN rules = 0 THEN 'No rule has method md5.'
             WHEN hashes > 0 THEN format('%s rules have method md5. Wait for step 2: method scram-sha-256 refuses an MD5 hash.', rules)
             ELSE format('%s rules have method md5. No role needs it.', rules) END,
        CASE WHEN hba_error IS NOT NULL THEN 'SHOW hba_file;'
             ELSE 'SELECT line_number, auth_method, error FROM pg_hba_file_rules WHERE auth_method = ''md5'' OR error IS NOT NULL;' END;
    -- While roles have hashes, the command is a comment of the shell, so that one who pastes all of them locks no role out.
    IF rules > 0 THEN
        RETURN QUERY SELECT 3, false, format('%s:%s', regexp_replace(f.file, '.*/', ''), r.line_number),
            CASE WHEN hashes > 0 THEN 'wait for step 2, then change this rule' ELSE 'change this rule' END,
            concat_ws(' ', r.type, array_to_string(r.database, ','), array_to_string(r.user_name, ','), r.address, r.netmask,
                      r.auth_method),
            CASE WHEN hashes > 0 THEN format('# Wait for step 2: %s stored passwords are MD5 hashes, which this rule would refuse. Then: ', hashes)
                 ELSE '' END
            || format($t$sed -E -i '%s{:n;/\\$/{N;b n};s/^([^#]*[[:space:]])"?md5"?(([[:space:]\\]+"?[a-z_]+=[^#]*)?[[:space:]\\]*(#.*)?)$/\1scram-sha-256\2/}' %s$t$,
                   r.line_number, '''' || replace(f.file, '''', $t$'\''$t$) || '''')
        FROM pg_hba_file_rules r
        CROSS JOIN LATERAL (SELECT coalesce(to_jsonb(r) ->> 'file_name', hba_file) AS file) f
        WHERE r.auth_method = 'md5'
        ORDER BY coalesce((to_jsonb(r) ->> 'rule_number')::integer, r.line_number);
    END IF;

    -- Step 4: the server reads the rules.
    RETURN QUERY SELECT 4, rules = 0 AND is_readable AND is_loaded, 'server'::text, 'load pg_hba.conf'::text,
        CASE WHEN hba_error IS NOT NULL THEN 'The server keeps the rules that it loaded before, and would not start.'
             WHEN is_loaded AND is_own_time
             THEN 'This session has read the configuration after the last change of the file. A new session knows when the server has.'
             WHEN is_loaded THEN 'The server has loaded the file after its last change.'
             ELSE 'The file was changed after the server loaded its configuration.' END,
        'SELECT pg_reload_conf();'::text;

    steps_left := (encryption <> 'scram-sha-256')::int + overrides + hashes + rules
        + (NOT is_readable)::int + (NOT is_loaded)::int;
    -- Step 5: a check, and the end.
    RETURN QUERY SELECT 5, steps_left = 0, 'cluster'::text,
        CASE WHEN steps_left = 0 THEN 'nothing is left to do: no stored password is an MD5 hash, and no rule has method md5'
             ELSE format('%s changes are left', steps_left) END,
        'The audit names each role that no rule of pg_hba.conf lets in.'::text,
        'SELECT subject, evidence FROM scram.audit() WHERE check_id = ''no_matching_hba_rule'';'::text;
END
$$;

COMMENT ON FUNCTION scram.migration_plan() IS 'lists the steps from MD5 to SCRAM that lock no role out, and which are done';
