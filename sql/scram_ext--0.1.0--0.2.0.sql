-- Run by ALTER EXTENSION scram_ext UPDATE.
\echo Use "ALTER EXTENSION scram_ext UPDATE TO '0.2.0'" to load this file. \quit

-- Each step of a run locks this table before all others. So the update waits for the step in progress, and the next step waits
-- for the update; otherwise each would wait for a table that the other one has locked.
LOCK TABLE scram_internal.stored_run IN ACCESS EXCLUSIVE MODE;

CREATE FUNCTION scram_internal.read_hba(hba text)
RETURNS TABLE (place text, type text, database text[], user_name text[], address text, netmask text, auth_method text)
STABLE
SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'read_hba_wrapper';
COMMENT ON FUNCTION scram_internal.read_hba(text) IS 'reads a proposed text of pg_hba.conf as the server would';

CREATE FUNCTION scram.compare_hba(hba text)
RETURNS TABLE (change text, roles text, database text, connection text, network text, before text, after text)
STABLE SECURITY DEFINER COST 100000
SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'compare_hba_wrapper';
COMMENT ON FUNCTION scram.compare_hba(text) IS
    'compares a proposed text of pg_hba.conf with the file: which logins change';

CREATE FUNCTION scram.explain_login(role name, database name DEFAULT current_database(), client inet DEFAULT NULL,
    tls boolean DEFAULT false, replication boolean DEFAULT false, hba text DEFAULT NULL)
RETURNS TABLE (step integer, check_name text, ok boolean, detail text, remedy text)
STABLE SECURITY DEFINER COST 100000 ROWS 8
SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'explain_login_wrapper';
COMMENT ON FUNCTION scram.explain_login(name, name, inet, boolean, boolean, text) IS
    'explains step by step whether a client with the right password would log in';

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

-- Reading large sources: the library hands the secrets of a slice over as arrays, new slices are read without looking each
-- secret up, and what two slices hold stays until both have lost it.
ALTER TYPE scram_internal.scan_row ADD ATTRIBUTE digests bigint[], ADD ATTRIBUTE salt_tags bigint[],
    ADD ATTRIBUTE verifier_tags bigint[], ADD ATTRIBUTE by_names smallint[];
ALTER TABLE scram_internal.source_state ADD COLUMN has_copies boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION scram_internal.read_slice(run bigint, source text, deadline timestamptz) RETURNS boolean
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

CREATE OR REPLACE FUNCTION scram_internal.remove_secrets(slice_id integer) RETURNS integer
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

CREATE OR REPLACE FUNCTION scram_internal.end_cycle(source text, rest integer, deadline timestamptz) RETURNS boolean
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

-- Sources whose clients are MongoDB's, and clear errors for wrong words in a row.

ALTER TABLE scram.audit_source DROP CONSTRAINT audit_source_client_check;
ALTER TABLE scram.audit_source ADD CONSTRAINT audit_source_client_check CHECK (client IN ('kafka', 'mongodb'));
COMMENT ON FUNCTION scram_internal.target_iterations() IS 'internal to scram.audit(): the count of answers to unknown users';
COMMENT ON COLUMN scram.audit_source.client IS 'whose clients log in: kafka, mongodb, or NULL for PostgreSQL''s';

CREATE OR REPLACE FUNCTION scram_internal.require_registration() RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_superuser CONSTANT boolean := (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user);
    -- Registered by a superuser for another role: a restore, which comes before the grants and perhaps before the role.
    -- Each reading asks for everything again.
    for_another CONSTANT boolean := NEW.registrant <> current_user;
BEGIN
    IF NEW.client NOT IN ('kafka', 'mongodb') THEN
        RAISE check_violation USING
            MESSAGE = format('invalid client of a source: "%s"', NEW.client),
            HINT = 'Clients are "kafka" and "mongodb", and NULL for those of PostgreSQL.';
    END IF;
    IF NEW.expects NOT IN ('any', 'scram') THEN
        RAISE check_violation USING
            MESSAGE = format('invalid value of "expects" of a source: "%s"', NEW.expects),
            HINT = 'A source expects "any" or "scram".';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.relation, NEW.subject_column, NEW.secret_column, NEW.registrant)
        = (OLD.relation, OLD.subject_column, OLD.secret_column, OLD.registrant)
    THEN
        NEW.registrant_oid := OLD.registrant_oid;
        NEW.subject_type := OLD.subject_type;
        NEW.secret_type := OLD.secret_type;
        RETURN NEW;
    END IF;
    IF for_another AND NOT is_superuser THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('permission denied to register a source for role "%s"', NEW.registrant),
            HINT = 'The registrant of a source is the role that registers it.';
    END IF;
    NEW.registrant_oid := (SELECT r.oid FROM pg_roles r WHERE r.rolname = NEW.registrant);
    NEW.subject_type := NULL;
    NEW.secret_type := NULL;
    -- A dump names a relation that was dropped by its OID.
    IF for_another OR is_superuser AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = NEW.relation) THEN
        SELECT a.atttypid INTO NEW.subject_type FROM pg_attribute a
        WHERE a.attrelid = NEW.relation AND a.attname = NEW.subject_column AND a.attnum > 0;
        SELECT a.atttypid INTO NEW.secret_type FROM pg_attribute a
        WHERE a.attrelid = NEW.relation AND a.attname = NEW.secret_column AND a.attnum > 0;
        RETURN NEW;
    END IF;
    SELECT f.subject_type, f.secret_type INTO NEW.subject_type, NEW.secret_type
    FROM scram_internal.require_readable_source(NEW.relation, NEW.subject_column, NEW.secret_column, NEW.registrant) f;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION scram_internal.require_policy() RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    prefix CONSTANT text := 'member of ';
    member_of text;
BEGIN
    IF NEW.action NOT IN ('off', 'critical', 'warning', 'notice') THEN
        RAISE check_violation USING
            MESSAGE = format('invalid action of a policy: "%s"', NEW.action),
            HINT = 'Actions are "off", "critical", "warning" and "notice".';
    END IF;
    IF NOT EXISTS (SELECT FROM scram.audit_checks() c WHERE c.check_id = NEW.check_id) AND NEW.check_id IS NOT NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('check "%s" does not exist', NEW.check_id),
            HINT = 'scram.audit_checks() lists the checks.';
    END IF;
    IF starts_with(NEW.subject, prefix) THEN
        member_of := substr(NEW.subject, length(prefix) + 1);
        IF octet_length(member_of) NOT BETWEEN 1 AND 63 THEN
            RAISE invalid_parameter_value USING
                MESSAGE = 'invalid name of a role in the subject of a policy',
                DETAIL = format('The name after "member of" has %s bytes.', octet_length(member_of));
        END IF;
        IF coalesce(NEW.source, 'role') <> 'role' THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('source "%s" has no members of a role', NEW.source),
                HINT = 'Leave "source" out, or set it to "role".';
        END IF;
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = member_of) THEN
            RAISE WARNING USING MESSAGE = format('role "%s" does not exist', member_of);
        END IF;
    ELSIF right(regexp_replace(NEW.subject, '\\.', '', 'g'), 1) = '\' THEN
        -- LIKE would raise where a subject is long enough, in the middle of a run.
        RAISE invalid_escape_sequence USING MESSAGE = 'the subject of a policy must not end with an escape character';
    END IF;
    RETURN NEW;
END
$$;

-- Runs, findings and the census carry the cluster that made them; the fleet.

-- Rows that were stored before have no cluster: a restore or pg_upgrade may have brought them from another one. The next run
-- gives its own to the findings that stand.
ALTER TABLE scram_internal.stored_run ADD COLUMN system_identifier bigint;
ALTER TABLE scram.audit_finding ADD COLUMN system_identifier bigint;
ALTER TABLE scram.audit_finding ADD COLUMN role oid;
ALTER TABLE scram.audit_census ADD COLUMN system_identifier bigint;
COMMENT ON COLUMN scram.audit_finding.system_identifier IS
    'the cluster whose run last saw it, as pg_control_system() shows it; NULL where that is not known';
COMMENT ON COLUMN scram.audit_finding.role IS
    'OID of the role that it is about; a new role of an old name has another one';
COMMENT ON COLUMN scram.audit_census.system_identifier IS
    'the cluster of the run, as pg_control_system() shows it; NULL where that is not known';

CREATE OR REPLACE VIEW scram.audit_run AS
SELECT r.run_id, r.started_at, r.finished_at,
       CASE WHEN r.status = 'running' AND NOT scram_internal.is_running(r.run_id) THEN 'interrupted' ELSE r.status END AS status,
       r.subjects, r.candidates_tested, r.candidates_left, r.findings_new, r.findings_fixed, r.findings_open, r.hidden,
       r.system_identifier
FROM scram_internal.stored_run r;
COMMENT ON COLUMN scram.audit_run.system_identifier IS
    'the cluster that ran it, as pg_control_system() shows it; NULL where that is not known';

CREATE OR REPLACE FUNCTION scram_internal.take_inventory(run bigint) RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO scram.audit_census (run_id, source, kind, iterations, subjects, entry, system_identifier)
    SELECT run, s.source, k.kind, k.iterations, sum(k.subjects),
           row_number() OVER (ORDER BY s.source, k.kind, k.iterations),
           (SELECT r.system_identifier FROM scram_internal.stored_run r WHERE r.run_id = run)
    FROM scram_internal.slice_kind k
    JOIN scram_internal.source_slice s ON s.slice_id = k.slice_id
    WHERE s.source = 'role' OR s.source IN (SELECT a.name FROM scram.audit_source a WHERE a.enabled)
    GROUP BY s.source, k.kind, k.iterations;
END;

CREATE OR REPLACE FUNCTION scram_internal.start_run(budget interval) RETURNS bigint
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

CREATE OR REPLACE FUNCTION scram_internal.finish_run(run bigint) RETURNS void
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

-- The history tells a role from another one that was given its name.

-- The columns of the result change.
DROP FUNCTION scram_internal.findings_of(bigint);
CREATE FUNCTION scram_internal.findings_of(run bigint)
RETURNS TABLE (
    source text, subject text, check_id text, severity text, evidence text, fact text, is_off boolean,
    system_identifier bigint, role oid)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM scram.audit_run r WHERE r.run_id = run) THEN
        RAISE undefined_object USING MESSAGE = format('run %s does not exist', run);
    END IF;
    RETURN QUERY
    -- Two roles have had one name if the second one was renamed after the first one was dropped.
    SELECT DISTINCT ON (f.source, f.subject, f.check_id, f.role)
        f.source, f.subject, f.check_id, coalesce(e.severity, f.severity), coalesce(e.evidence, f.evidence),
        coalesce(e.fact, left(f.evidence, length(f.evidence) - length(f.context))), f.is_off, f.system_identifier, f.role
    FROM scram.audit_finding f
    LEFT JOIN LATERAL (
        SELECT x.severity, x.evidence, left(x.evidence, length(x.evidence) - length(coalesce(x.context, ''))) AS fact
        FROM jsonb_to_recordset(f.earlier) AS x(until_run bigint, severity text, evidence text, context text)
        WHERE x.until_run >= run
        ORDER BY x.until_run
        LIMIT 1
    ) e ON true
    WHERE run BETWEEN f.first_run AND f.last_run
    ORDER BY f.source, f.subject, f.check_id, f.role, f.finding_id DESC;
END
$$;
COMMENT ON FUNCTION scram_internal.findings_of(bigint) IS 'internal to scram.audit_diff(): the findings of a run as they were';

CREATE OR REPLACE FUNCTION scram.audit_diff(run_a bigint, run_b bigint)
RETURNS TABLE (change text, source text, subject text, check_id text, severity text, evidence text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF run_a IS NULL OR run_b IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = '"run_a" and "run_b" must not be null';
    END IF;
    RETURN QUERY
    SELECT d.change, d.source, d.subject, d.check_id, d.severity, d.evidence
    FROM (
        SELECT CASE WHEN a.check_id IS NULL THEN 'new' WHEN b.check_id IS NULL THEN 'fixed' ELSE 'changed' END AS change,
               coalesce(b.source, a.source) AS source, coalesce(b.subject, a.subject) AS subject,
               coalesce(b.check_id, a.check_id) AS check_id,
               coalesce(b.severity, a.severity) AS severity, coalesce(b.evidence, a.evidence) AS evidence,
               (a.severity, a.fact) IS DISTINCT FROM (b.severity, b.fact)
                   AND (a.check_id IS NOT NULL OR NOT b.is_off) AND (b.check_id IS NOT NULL OR NOT a.is_off) AS differs
        FROM scram_internal.findings_of(run_a) a
        FULL JOIN scram_internal.findings_of(run_b) b
            ON (a.source, a.subject, a.check_id) = (b.source, b.subject, b.check_id)
            -- A role that was dropped, and another one of its name, have different findings. OIDs of two clusters tell
            -- nothing.
            AND (a.role <> b.role AND a.system_identifier = b.system_identifier) IS NOT TRUE
    ) d
    WHERE d.differs
    ORDER BY d.change, array_position(ARRAY['critical', 'warning', 'notice'], d.severity), d.check_id, d.source, d.subject;
END
$$;

CREATE OR REPLACE FUNCTION scram_internal.merge_findings(run bigint, source text, guesses_only boolean) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
AS $$
#variable_conflict use_column
DECLARE
    this_source CONSTANT text := merge_findings.source;
    cluster CONSTANT bigint := (SELECT r.system_identifier FROM scram_internal.stored_run r WHERE r.run_id = run);
    fixed bigint;
BEGIN
    INSERT INTO scram_internal.step_finding (source, subject, check_id, severity, evidence, context, facts, is_judged)
    SELECT f.source, f.subject, f.check_id, f.severity, f.evidence, f.context, f.severity || ' ' || f.facts, true
    FROM scram_internal.source_findings(this_source, false, 'finding') f
    WHERE NOT guesses_only
  UNION ALL
    SELECT u.source, u.subject, u.check_id, u.severity, u.evidence, '', u.severity || ' ' || u.evidence, true
    FROM scram_internal.source_state s
    CROSS JOIN LATERAL scram_internal.unreadable_finding(
        s.source, coalesce(s.failure, scram_internal.failed_slices(s.source))) u
    WHERE s.source = this_source AND u.evidence IS NOT NULL AND NOT guesses_only
  UNION ALL
    SELECT g.source, g.subject, g.check_id, g.severity, g.evidence, '', g.severity || ' ' || g.facts, g.is_judged
    FROM scram_internal.guess_findings(this_source) g;
    PERFORM scram_internal.apply_policy(this_source, guesses_only);

    WITH named AS (
        -- Two roles with one name, if one of them was renamed while the names were collected, must not double a finding.
        SELECT 'role' AS source, r.subject, max(r.role) AS role
        FROM scram_internal.known_role r
        WHERE this_source = 'role'
        GROUP BY r.subject
    ), known AS (
        UPDATE scram.audit_finding f
        SET severity = found.severity, evidence = found.evidence, context = found.context, facts = found.digest,
            last_run = run, decided_by = this_source, system_identifier = cluster, role = found.role,
            status = CASE WHEN f.status = 'accepted' AND f.facts <> found.digest THEN 'open' ELSE f.status END,
            accepted_until = CASE WHEN f.facts <> found.digest THEN NULL ELSE f.accepted_until END,
            note = CASE WHEN f.status = 'accepted' AND f.facts <> found.digest
                THEN scram_internal.ended_note(f.severity, f.evidence, f.note, run) ELSE f.note END
        FROM (
            SELECT s.*, scram_internal.facts_digest(s.facts) AS digest, k.role
            FROM scram_internal.step_finding s
            LEFT JOIN named k USING (source, subject)
            WHERE s.is_judged
        ) found
        WHERE f.status <> 'fixed'
            AND (f.source, f.subject, f.check_id) = (found.source, found.subject, found.check_id)
    )
    INSERT INTO scram.audit_finding (
        source, subject, check_id, severity, evidence, context, facts, first_run, last_run, status, decided_by,
        system_identifier, role)
    SELECT found.source, found.subject, found.check_id, found.severity, found.evidence, found.context,
           scram_internal.facts_digest(found.facts), run, run, 'open', this_source, cluster, k.role
    FROM scram_internal.step_finding found
    LEFT JOIN named k USING (source, subject)
    -- Anti-join against audit_finding, not against the rows that the UPDATE returns. The planner estimates those from
    -- step_finding, which is empty between steps, and would pick a quadratic plan.
    WHERE found.is_judged AND NOT EXISTS (
        SELECT FROM scram.audit_finding k
        WHERE k.status <> 'fixed' AND (k.source, k.subject, k.check_id) = (found.source, found.subject, found.check_id))
    ORDER BY array_position(ARRAY['critical', 'warning', 'notice'], found.severity), found.check_id, found.source, found.subject;

    -- A finding that came and went within this run was never one: a later slice has other names to show.
    WITH gone AS (
        SELECT f.finding_id, f.first_run = run AS is_fresh
        FROM scram.audit_finding f
        WHERE f.decided_by = this_source AND f.status <> 'fixed' AND NOT f.is_off
            AND CASE
                WHEN f.check_id IN (SELECT g.check_id FROM scram_internal.guess_checks() g)
                THEN (SELECT s.is_settled FROM scram_internal.source_state s WHERE s.source = this_source)
                ELSE NOT guesses_only
            END
            AND NOT EXISTS (
                SELECT FROM scram_internal.step_finding k
                WHERE (k.source, k.subject, k.check_id) = (f.source, f.subject, f.check_id))
    ), removed AS (
        DELETE FROM scram.audit_finding f USING gone g WHERE f.finding_id = g.finding_id AND g.is_fresh
    )
    UPDATE scram.audit_finding f SET status = 'fixed' FROM gone g WHERE f.finding_id = g.finding_id AND NOT g.is_fresh;
    GET DIAGNOSTICS fixed = ROW_COUNT;
    UPDATE scram_internal.stored_run r SET findings_fixed = r.findings_fixed + fixed WHERE r.run_id = run;
    DELETE FROM scram_internal.step_finding;
END
$$;

CREATE FUNCTION scram.fleet_digests() RETURNS TABLE (subject text, kind text, digest bytea)
VOLATILE COST 10000
SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'fleet_digests_wrapper';

CREATE FUNCTION scram.fleet_refresh() RETURNS TABLE (name text, last_seen timestamptz, error text)
VOLATILE COST 100000
SET search_path = pg_catalog, pg_temp
SET debug_print_parse = off
SET debug_print_rewritten = off
SET debug_print_plan = off
LANGUAGE c AS 'MODULE_PATHNAME', 'fleet_refresh_wrapper';

CREATE FUNCTION scram.fleet_report(format text DEFAULT 'text') RETURNS text
STABLE COST 100000
SET search_path = pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'fleet_report_wrapper';

-- A fleet: what the audits of other clusters found, as scram.fleet_refresh() collects it. src/fleet.rs connects to the
-- servers; this file keeps their answers, which are the text of another cluster and are trusted in nothing.

-- Servers to ask. The administrator adds their names; scram.fleet_refresh() sets the other columns.
CREATE TABLE scram.fleet_server (
    name text PRIMARY KEY CHECK (name <> '' AND octet_length(name) <= 63),
    last_seen timestamptz,
    error text,
    tried_at timestamptz,
    system_identifier bigint,
    database text,
    cluster_name text,
    server_version text,
    extension_version text,
    -- When the server was started: two names of one server have the same time, a copy has another one.
    started_at timestamptz,
    -- Findings beyond the bound on an answer.
    findings_left_out bigint
);
SELECT pg_catalog.pg_extension_config_dump('scram.fleet_server', '');

-- A new row has a name and nothing else. pg_dump writes all columns, and without the answers of the servers a restored
-- state would look healthy; a role that may only add and remove names would write a state of its own. Internal.
CREATE FUNCTION scram_internal.forget_fleet_state() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW := jsonb_populate_record(NULL::scram.fleet_server, jsonb_build_object('name', NEW.name));
    RETURN NEW;
END
$$;

CREATE TRIGGER fleet_server_state BEFORE INSERT ON scram.fleet_server
FOR EACH ROW EXECUTE FUNCTION scram_internal.forget_fleet_state();

-- The last answers of the servers. They are not dumped, because the next refresh collects them again.
CREATE TABLE scram_internal.fleet_run (
    server text NOT NULL REFERENCES scram.fleet_server ON UPDATE CASCADE ON DELETE CASCADE,
    run_id bigint NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    status text NOT NULL CHECK (status IN ('running', 'done', 'partial', 'interrupted')),
    subjects bigint NOT NULL,
    candidates_tested bigint NOT NULL,
    candidates_left bigint NOT NULL,
    findings_new bigint NOT NULL,
    findings_fixed bigint NOT NULL,
    findings_open bigint NOT NULL,
    system_identifier bigint,
    PRIMARY KEY (server, run_id)
);

CREATE TABLE scram_internal.fleet_finding (
    server text NOT NULL REFERENCES scram.fleet_server ON UPDATE CASCADE ON DELETE CASCADE,
    finding_id bigint NOT NULL,
    source text NOT NULL,
    subject text NOT NULL,
    check_id text NOT NULL CHECK (check_id ~ '^[a-z0-9_]{1,63}$'),
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'notice')),
    evidence text NOT NULL,
    first_run bigint NOT NULL,
    last_run bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'fixed', 'accepted')),
    accepted_until timestamptz,
    system_identifier bigint,
    PRIMARY KEY (server, finding_id)
);

CREATE TABLE scram_internal.fleet_cell (
    server text NOT NULL REFERENCES scram.fleet_server ON UPDATE CASCADE ON DELETE CASCADE,
    entry integer NOT NULL,
    run_id bigint NOT NULL,
    source text NOT NULL,
    kind text NOT NULL,
    iterations integer,
    subjects bigint NOT NULL,
    system_identifier bigint,
    PRIMARY KEY (server, entry)
);

-- Keyed digests of the stored secrets of roles, where the servers have a common key.
CREATE TABLE scram_internal.fleet_digest (
    server text NOT NULL REFERENCES scram.fleet_server ON UPDATE CASCADE ON DELETE CASCADE,
    subject text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('md5', 'scram-sha-256')),
    digest bytea NOT NULL CHECK (octet_length(digest) = 16),
    PRIMARY KEY (server, subject)
);

CREATE VIEW scram.fleet_runs AS
SELECT r.server, r.run_id, r.started_at, r.finished_at, r.status, r.subjects, r.candidates_tested, r.candidates_left,
       r.findings_new, r.findings_fixed, r.findings_open, r.system_identifier
FROM scram_internal.fleet_run r;

CREATE VIEW scram.fleet_findings AS
SELECT f.server, f.finding_id, f.source, f.subject, f.check_id, f.severity, f.evidence, f.first_run, f.last_run,
       f.status, f.accepted_until, f.system_identifier
FROM scram_internal.fleet_finding f;

CREATE VIEW scram.fleet_census AS
SELECT c.server, c.run_id, c.source, c.kind, c.iterations, c.subjects, c.system_identifier
FROM scram_internal.fleet_cell c;

-- Copies of a cluster, and databases of one, have the same secrets, so that clusters count and not servers.
CREATE VIEW scram.fleet_shared AS
SELECT d.kind, count(DISTINCT s.system_identifier) AS clusters,
       array_agg(d.server || '/' || d.subject ORDER BY d.server COLLATE "C", d.subject COLLATE "C") AS members
FROM scram_internal.fleet_digest d
JOIN scram.fleet_server s ON s.name = d.server
GROUP BY d.kind, d.digest
HAVING count(DISTINCT s.system_identifier) > 1;

-- Stores the answer of a server: JSON objects, and what part of the answer each is. With a failure there are none, and what
-- it sent before stays; so it does when the answer has other types than expected. Internal.
CREATE FUNCTION scram_internal.store_fleet_answer(server text, failure text, parts text[], contents text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    this_server CONSTANT text := store_fleet_answer.server;
    known record;
    stored bigint;
BEGIN
    UPDATE scram.fleet_server s SET tried_at = clock_timestamp(), error = failure WHERE s.name = this_server;
    IF NOT FOUND OR failure IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT x.* INTO STRICT known
    FROM unnest(parts, contents) AS a(part, content)
    CROSS JOIN LATERAL jsonb_to_record(a.content::jsonb) AS x(
        system_identifier bigint, database text, cluster_name text, server_version text, extension_version text,
        started_at timestamptz, findings bigint)
    WHERE a.part = 'server';

    -- Rows that are the same are not written again, so that a refresh without news leaves no dead rows.
    WITH answer AS (
        SELECT x.*
        FROM unnest(parts, contents) AS a(part, content)
        CROSS JOIN LATERAL jsonb_to_record(a.content::jsonb) AS x(
            run_id bigint, started_at timestamptz, finished_at timestamptz, status text, subjects bigint,
            candidates_tested bigint, candidates_left bigint, findings_new bigint, findings_fixed bigint,
            findings_open bigint, system_identifier bigint)
        WHERE a.part = 'run'
    ), gone AS (
        DELETE FROM scram_internal.fleet_run k
        WHERE k.server = this_server AND NOT EXISTS (SELECT FROM answer x WHERE x.run_id = k.run_id)
    )
    INSERT INTO scram_internal.fleet_run AS k SELECT this_server, x.* FROM answer x
    ON CONFLICT (server, run_id) DO UPDATE
    SET started_at = excluded.started_at, finished_at = excluded.finished_at, status = excluded.status,
        subjects = excluded.subjects, candidates_tested = excluded.candidates_tested,
        candidates_left = excluded.candidates_left, findings_new = excluded.findings_new,
        findings_fixed = excluded.findings_fixed, findings_open = excluded.findings_open,
        system_identifier = excluded.system_identifier
    WHERE k IS DISTINCT FROM excluded;

    WITH answer AS (
        SELECT x.*
        FROM unnest(parts, contents) AS a(part, content)
        CROSS JOIN LATERAL jsonb_to_record(a.content::jsonb) AS x(
            finding_id bigint, source text, subject text, check_id text, severity text, evidence text, first_run bigint,
            last_run bigint, status text, accepted_until timestamptz, system_identifier bigint)
        WHERE a.part = 'finding'
    ), gone AS (
        DELETE FROM scram_internal.fleet_finding k
        WHERE k.server = this_server AND NOT EXISTS (SELECT FROM answer x WHERE x.finding_id = k.finding_id)
    )
    INSERT INTO scram_internal.fleet_finding AS k
    SELECT this_server, x.finding_id, left(x.source, 128), left(x.subject, 1024), x.check_id, x.severity,
           left(x.evidence, 4096), x.first_run, x.last_run, x.status, x.accepted_until, x.system_identifier
    FROM answer x
    ON CONFLICT (server, finding_id) DO UPDATE
    SET source = excluded.source, subject = excluded.subject, check_id = excluded.check_id,
        severity = excluded.severity, evidence = excluded.evidence, first_run = excluded.first_run,
        last_run = excluded.last_run, status = excluded.status, accepted_until = excluded.accepted_until,
        system_identifier = excluded.system_identifier
    WHERE k IS DISTINCT FROM excluded;

    WITH answer AS (
        SELECT x.*
        FROM unnest(parts, contents) AS a(part, content)
        CROSS JOIN LATERAL jsonb_to_record(a.content::jsonb) AS x(
            entry integer, run_id bigint, source text, kind text, iterations integer, subjects bigint,
            system_identifier bigint)
        WHERE a.part = 'census'
    ), gone AS (
        DELETE FROM scram_internal.fleet_cell k
        WHERE k.server = this_server AND NOT EXISTS (SELECT FROM answer x WHERE x.entry = k.entry)
    )
    INSERT INTO scram_internal.fleet_cell AS k
    SELECT this_server, x.entry, x.run_id, left(x.source, 128), left(x.kind, 63), x.iterations, x.subjects,
           x.system_identifier
    FROM answer x
    ON CONFLICT (server, entry) DO UPDATE
    SET run_id = excluded.run_id, source = excluded.source, kind = excluded.kind, iterations = excluded.iterations,
        subjects = excluded.subjects, system_identifier = excluded.system_identifier
    WHERE k IS DISTINCT FROM excluded;

    WITH answer AS (
        SELECT left(x.subject, 63) AS subject, x.kind, decode(x.digest, 'hex') AS digest
        FROM unnest(parts, contents) AS a(part, content)
        CROSS JOIN LATERAL jsonb_to_record(a.content::jsonb) AS x(subject text, kind text, digest text)
        WHERE a.part = 'digest'
    ), gone AS (
        DELETE FROM scram_internal.fleet_digest k
        WHERE k.server = this_server AND NOT EXISTS (SELECT FROM answer x WHERE x.subject = k.subject)
    )
    INSERT INTO scram_internal.fleet_digest AS k SELECT this_server, x.* FROM answer x
    ON CONFLICT (server, subject) DO UPDATE SET kind = excluded.kind, digest = excluded.digest
    WHERE k IS DISTINCT FROM excluded;

    SELECT count(*) INTO stored FROM scram_internal.fleet_finding k WHERE k.server = this_server;
    UPDATE scram.fleet_server s
    SET last_seen = clock_timestamp(), system_identifier = known.system_identifier, database = left(known.database, 63),
        cluster_name = left(known.cluster_name, 63), server_version = left(known.server_version, 63),
        extension_version = left(known.extension_version, 63), started_at = known.started_at,
        -- A server may send any number, and a report adds those of all servers.
        findings_left_out = least(greatest(known.findings, stored) - stored, 1000000000)
    WHERE s.name = this_server;
EXCEPTION WHEN others THEN
    -- Errors of its rows: their number, types, keys, and limits such as the depth of JSON. All others are this server's.
    -- The message may quote the server, and no line of a log or a terminal is to begin with that.
    UPDATE scram.fleet_server s
    SET tried_at = clock_timestamp(),
        error = format(CASE WHEN left(sqlstate, 2) IN ('21', '22', '23', '54') OR sqlstate IN ('P0002', 'P0003')
                            THEN 'the answer is not one of scram_ext: %s'
                            ELSE 'could not store the answer: %s' END,
                       regexp_replace(left(sqlerrm, 200), '[[:cntrl:]]', ' ', 'g'))
    WHERE s.name = this_server;
END
$$;

-- Servers with one system identifier: copies of a cluster, or two names of one database. Two databases of one server are
-- neither. Those that gave no answer in this refresh are left out, because a server may have been restarted since it gave
-- its last one. Internal.
CREATE FUNCTION scram_internal.mark_fleet_copies() RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    UPDATE scram.fleet_server s
    SET error = format(CASE WHEN o.is_copy
                            THEN 'system identifier %s is also that of server "%s": one is a copy, or a standby, of the other'
                            ELSE 'system identifier %s is also that of server "%s": both are the same database' END,
                       s.system_identifier, o.name)
    FROM (
        SELECT DISTINCT ON (a.name) a.name AS this, b.name, a.started_at IS DISTINCT FROM b.started_at AS is_copy
        FROM scram.fleet_server a
        JOIN scram.fleet_server b ON b.system_identifier = a.system_identifier AND b.name <> a.name
        WHERE a.error IS NULL AND b.error IS NULL
            AND (a.started_at IS DISTINCT FROM b.started_at OR a.database IS NOT DISTINCT FROM b.database)
        ORDER BY a.name, b.name
    ) o
    WHERE o.this = s.name AND s.error IS NULL;
END;

COMMENT ON TABLE scram.fleet_server IS 'foreign servers that scram.fleet_refresh() asks, and how that went';
COMMENT ON COLUMN scram.fleet_server.name IS 'name of a foreign server of postgres_fdw';
COMMENT ON COLUMN scram.fleet_server.last_seen IS 'when it last sent an answer that was stored';
COMMENT ON COLUMN scram.fleet_server.error IS
    'why the last refresh got no answer from it, or which other server has its system identifier; NULL: all is well';
COMMENT ON COLUMN scram.fleet_server.tried_at IS 'when it was last asked';
COMMENT ON COLUMN scram.fleet_server.system_identifier IS 'its cluster, as pg_control_system() shows it there';
COMMENT ON COLUMN scram.fleet_server.database IS 'its database';
COMMENT ON COLUMN scram.fleet_server.cluster_name IS 'its setting cluster_name';
COMMENT ON COLUMN scram.fleet_server.server_version IS 'its version of PostgreSQL';
COMMENT ON COLUMN scram.fleet_server.extension_version IS 'its version of scram_ext';
COMMENT ON COLUMN scram.fleet_server.started_at IS 'when it was started';
COMMENT ON COLUMN scram.fleet_server.findings_left_out IS 'findings that it has beyond the 10,000 of an answer';
COMMENT ON TABLE scram_internal.fleet_run IS 'internal: what scram.fleet_runs shows';
COMMENT ON TABLE scram_internal.fleet_finding IS 'internal: what scram.fleet_findings shows';
COMMENT ON TABLE scram_internal.fleet_cell IS 'internal: what scram.fleet_census shows';
COMMENT ON TABLE scram_internal.fleet_digest IS 'internal: keyed digests, which scram.fleet_shared compares';
COMMENT ON VIEW scram.fleet_runs IS 'the last 30 runs of each server of the fleet';
COMMENT ON VIEW scram.fleet_findings IS 'findings of each server that stand, and those fixed within its last 30 runs';
COMMENT ON VIEW scram.fleet_census IS 'how many subjects of what kind the last run of each server saw';
COMMENT ON VIEW scram.fleet_shared IS 'stored secrets that roles of more than one cluster have';
COMMENT ON FUNCTION scram.fleet_refresh() IS
    'collects runs, findings and counts from the foreign servers in scram.fleet_server';
COMMENT ON FUNCTION scram.fleet_digests() IS
    'keyed digests of the secrets that roles store, under the key of scram.fleet_key_file';
COMMENT ON FUNCTION scram.fleet_report(text) IS
    'the report on what scram.fleet_refresh() has collected: text, html or prometheus';
COMMENT ON FUNCTION scram_internal.store_fleet_answer(text, text, text[], text[]) IS
    'internal to scram.fleet_refresh(): stores what a server has sent';
COMMENT ON FUNCTION scram_internal.forget_fleet_state() IS
    'internal: a server that is added or restored has no state';
COMMENT ON FUNCTION scram_internal.mark_fleet_copies() IS
    'internal to scram.fleet_refresh(): tells servers with one system identifier';
CREATE FUNCTION scram.search_backend() RETURNS text
VOLATILE PARALLEL RESTRICTED STRICT
LANGUAGE c AS 'MODULE_PATHNAME', 'search_backend_wrapper';
COMMENT ON FUNCTION scram.search_backend() IS 'the code that tries candidate passwords on this processor, and its speed';

-- New functions are granted to no role, whatever ALTER DEFAULT PRIVILEGES says. Functions that were there keep their grants.
DO $$
DECLARE
    new record;
BEGIN
    FOR new IN
        SELECT p.oid::regprocedure AS routine, p.proowner AS owner, g.grantee
        FROM pg_proc p
        CROSS JOIN LATERAL (
            SELECT p.proowner AS grantee
            UNION
            SELECT x.grantee FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
        ) g
        WHERE p.oid IN (
            'scram_internal.read_hba(text)'::regprocedure,
            'scram.compare_hba(text)'::regprocedure,
            'scram.explain_login(name, name, inet, boolean, boolean, text)'::regprocedure,
            'scram.migration_plan()'::regprocedure,
            'scram.fleet_digests()'::regprocedure,
            'scram.fleet_refresh()'::regprocedure,
            'scram.fleet_report(text)'::regprocedure,
            'scram_internal.store_fleet_answer(text, text, text[], text[])'::regprocedure,
            'scram_internal.forget_fleet_state()'::regprocedure,
            'scram_internal.mark_fleet_copies()'::regprocedure,
            'scram.search_backend()'::regprocedure,
            'scram_internal.findings_of(bigint)'::regprocedure)
    LOOP
        IF new.grantee = new.owner THEN
            EXECUTE format('GRANT ALL ON ROUTINE %s TO %s', new.routine, new.owner::regrole);
        ELSE
            EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s CASCADE', new.routine,
                           CASE new.grantee WHEN 0 THEN 'PUBLIC' ELSE new.grantee::regrole::text END);
        END IF;
    END LOOP;
END
$$;

-- New tables and views are granted to no role either.
DO $$
DECLARE
    new record;
BEGIN
    FOR new IN
        SELECT c.oid::regclass AS relation, c.relowner AS owner, g.grantee
        FROM pg_class c
        CROSS JOIN LATERAL (
            SELECT c.relowner AS grantee
            UNION
            SELECT x.grantee FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x
        ) g
        WHERE c.oid IN (
            'scram.fleet_server'::regclass, 'scram.fleet_runs'::regclass, 'scram.fleet_findings'::regclass,
            'scram.fleet_census'::regclass, 'scram_internal.fleet_run'::regclass,
            'scram_internal.fleet_finding'::regclass, 'scram_internal.fleet_cell'::regclass,
            'scram_internal.fleet_digest'::regclass, 'scram.fleet_shared'::regclass)
    LOOP
        IF new.grantee = new.owner THEN
            EXECUTE format('GRANT ALL ON TABLE %s TO %s', new.relation, new.owner::regrole);
        ELSE
            EXECUTE format('REVOKE ALL ON TABLE %s FROM %s CASCADE', new.relation,
                           CASE new.grantee WHEN 0 THEN 'PUBLIC' ELSE new.grantee::regrole::text END);
        END IF;
    END LOOP;
END
$$;

-- It tells nothing but what the processor can do.
GRANT EXECUTE ON FUNCTION scram.search_backend(), scram_internal.findings_of(bigint) TO PUBLIC;
