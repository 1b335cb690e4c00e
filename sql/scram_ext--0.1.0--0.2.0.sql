-- Run by ALTER EXTENSION scram_ext UPDATE.
\echo Use "ALTER EXTENSION scram_ext UPDATE TO '0.2.0'" to load this file. \quit

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
    -- The server does not load a file without rules.
    is_empty boolean;
    is_loaded boolean;
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
    SELECT count(*) FILTER (WHERE r.auth_method = 'md5'),
           min(r.line_number) FILTER (WHERE r.type IS NULL),
           count(*) = 0
    INTO rules, bad_line, is_empty FROM pg_hba_file_rules r;
    -- A file that is moved or restored keeps the time of its modification.
    SELECT coalesce(max(greatest(f.modification, f.change)), '-infinity') <= pg_conf_load_time() INTO is_loaded
    FROM (SELECT DISTINCT coalesce(to_jsonb(r) ->> 'file_name', hba_file) AS name FROM pg_hba_file_rules r) h
    CROSS JOIN LATERAL pg_stat_file(h.name) f;

    -- Step 1: new passwords are stored as verifiers.
    RETURN QUERY SELECT 1, encryption = 'scram-sha-256', 'server'::text,
        'set password_encryption to scram-sha-256'::text,
        format('The server stores new passwords as %s.',
               CASE encryption WHEN 'scram-sha-256' THEN 'SCRAM verifiers' ELSE 'MD5 hashes' END),
        E'ALTER SYSTEM SET password_encryption = ''scram-sha-256'';\nSELECT pg_reload_conf();'::text;
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
            'Rules with method md5 let the role in before and after.'),
        format('SELECT scram.rotate_role(%L);', a.rolname)
    FROM pg_authid a
    WHERE a.rolpassword ~ '^md5[0-9a-f]{32}$'
    ORDER BY a.rolname::text COLLATE "C";

    -- Step 3: rules. The method is the last word md5 with nothing but options and a comment behind it, because a database
    -- or role may have this name. A continued line is one line.
    RETURN QUERY SELECT 3, rules = 0 AND bad_line IS NULL AND NOT is_empty, 'pg_hba.conf'::text,
        'change the method md5 to scram-sha-256'::text,
        CASE WHEN bad_line IS NOT NULL THEN format('The server cannot read line %s.', bad_line)
             WHEN is_empty THEN 'The server does not load the file, because it has no rules.'
             WHEN rules = 0 THEN 'No rule has method md5.'
             WHEN hashes > 0 THEN format('%s rules have method md5. Wait for step 2: method scram-sha-256 refuses an MD5 hash.', rules)
             ELSE format('%s rules have method md5. No role needs it.', rules) END,
        'SELECT line_number, auth_method, error FROM pg_hba_file_rules WHERE auth_method = ''md5'' OR error IS NOT NULL;'::text;
    RETURN QUERY SELECT 3, false, format('%s:%s', regexp_replace(f.file, '.*/', ''), r.line_number),
        'change this rule'::text,
        concat_ws(' ', r.type, array_to_string(r.database, ','), array_to_string(r.user_name, ','), r.address, r.netmask,
                  r.auth_method),
        format($t$sed -E -i '%s{:n;/\\$/{N;b n};s/^([^#]*[[:space:]])"?md5"?(([[:space:]\\]+"?[a-z_]+=[^#]*)?[[:space:]\\]*(#.*)?)$/\1scram-sha-256\2/}' %s$t$,
               r.line_number, '''' || replace(f.file, '''', $t$'\''$t$) || '''')
    FROM pg_hba_file_rules r
    CROSS JOIN LATERAL (SELECT coalesce(to_jsonb(r) ->> 'file_name', hba_file) AS file) f
    WHERE r.auth_method = 'md5'
    ORDER BY coalesce((to_jsonb(r) ->> 'rule_number')::integer, r.line_number);

    -- Step 4: the server reads the rules.
    RETURN QUERY SELECT 4, rules = 0 AND bad_line IS NULL AND NOT is_empty AND is_loaded, 'server'::text, 'load pg_hba.conf'::text,
        CASE WHEN is_loaded THEN 'The server has loaded the file after its last change.'
             ELSE 'The file was changed after the server loaded its configuration.' END,
        'SELECT pg_reload_conf();'::text;

    steps_left := (encryption <> 'scram-sha-256')::int + overrides + hashes + rules
        + (bad_line IS NOT NULL)::int + is_empty::int + (NOT is_loaded)::int;
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
            'scram.migration_plan()'::regprocedure)
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
