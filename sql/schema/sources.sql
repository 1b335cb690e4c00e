-- Registered sources, and scram.audit(), which reads them after the roles and the server.

-- Checks a registration: the table can be granted, so add_audit_source() is not the only way to write to it. The registrant
-- learns what is weak in the relation, and so must be the current user and able to read it. Internal.
CREATE FUNCTION scram_internal.require_registration() RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_superuser CONSTANT boolean := (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user);
    -- Registered by a superuser for another role: a restore, which comes before the grants and perhaps before the role.
    -- Each reading asks for everything again.
    for_another CONSTANT boolean := NEW.registrant <> current_user;
BEGIN
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

CREATE TRIGGER audit_source_check BEFORE INSERT OR UPDATE ON scram.audit_source
FOR EACH ROW EXECUTE FUNCTION scram_internal.require_registration();

CREATE FUNCTION scram.add_audit_source(name text, relation regclass, subject_column name, secret_column name)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF name IS NULL OR relation IS NULL OR subject_column IS NULL OR secret_column IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = '"name", "relation", "subject_column" and "secret_column" must not be null';
    END IF;
    IF name IN ('', 'role', 'server') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('source name "%s" is reserved', name),
            DETAIL = 'Findings of the cluster itself are under "role" and "server".';
    END IF;
    IF octet_length(name) > 128 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'source name is too long',
            DETAIL = format('The name has %s bytes; the limit is 128.', octet_length(name));
    END IF;
    -- Before the name is looked at: the relation and the rights on it come first.
    PERFORM scram_internal.require_readable_source(relation::oid, subject_column, secret_column, current_user);
    INSERT INTO scram.audit_source (name, relation, subject_column, secret_column)
    VALUES (add_audit_source.name, add_audit_source.relation, add_audit_source.subject_column, add_audit_source.secret_column)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE duplicate_object USING MESSAGE = format('source "%s" already exists', name);
    END IF;
END
$$;

CREATE FUNCTION scram.drop_audit_source(name text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF name IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = '"name" must not be null';
    END IF;
    DELETE FROM scram.audit_source s WHERE s.name = drop_audit_source.name;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('source "%s" does not exist', name);
    END IF;
END
$$;

-- Returns one row with a NULL check_id for each row of the source, and one more for each finding; findings that the source
-- cannot be read as a whole come with found_in 'server'. Shared salts and verifiers are found here, not in Rust, because
-- PostgreSQL can sort sources that do not fit into memory. Internal.
CREATE FUNCTION scram_internal.source_findings(source text, milliseconds integer)
RETURNS TABLE (
    found_in text, subject text, check_id text, evidence text, digest bytea, candidates integer, kind text,
    iterations integer
)
LANGUAGE sql STABLE ROWS 100000
SET search_path = pg_catalog, pg_temp
AS $$
    WITH seen AS MATERIALIZED (
        SELECT r.* FROM scram_internal.read_source(source, milliseconds) r
    ), member AS (
        SELECT 'salt_shared' AS check_id, 'salt' AS what, s.subject, s.salt_tag AS tag, s.verifier_tag
        FROM seen s
        WHERE s.salt_tag IS NOT NULL
        UNION ALL
        SELECT 'verifier_shared', 'verifier', s.subject, s.verifier_tag, s.verifier_tag
        FROM seen s
        WHERE s.verifier_tag IS NOT NULL
    ), shared AS (
        -- A group that shares the whole verifier is that check's alone.
        SELECT m.check_id, m.tag, count(*) AS members
        FROM member m
        GROUP BY m.check_id, m.tag
        HAVING count(*) > 1
            AND (m.check_id = 'verifier_shared' OR min(m.verifier_tag) IS DISTINCT FROM max(m.verifier_tag))
    ), numbered AS (
        SELECT m.check_id, m.what, m.tag, m.subject, s.members,
               row_number() OVER (PARTITION BY m.check_id, m.tag ORDER BY m.subject) AS number
        FROM member m
        JOIN shared s USING (check_id, tag)
    ), firsts AS (
        SELECT n.check_id, n.tag, array_agg(n.subject ORDER BY n.number) AS subjects
        FROM numbered n
        WHERE n.number <= 4
        GROUP BY n.check_id, n.tag
    )
    SELECT source, s.subject, NULL, NULL, s.digest, s.candidates, s.kind, s.iterations
    FROM seen s
    WHERE s.subject IS NOT NULL
    UNION ALL
    SELECT source, s.subject, c.check_id, c.evidence, NULL, NULL, NULL, NULL
    FROM seen s
    CROSS JOIN unnest(s.check_ids, s.evidences) AS c(check_id, evidence)
    WHERE s.subject IS NOT NULL
    UNION ALL
    -- A row without a subject stands for a partition that is not read, named by the evidence.
    SELECT 'server', format('source %I, partition %s', source, c.evidence), c.check_id,
           format('%s is a foreign table', c.evidence), NULL, NULL, NULL, NULL
    FROM seen s
    CROSS JOIN unnest(s.check_ids, s.evidences) AS c(check_id, evidence)
    WHERE s.subject IS NULL
    UNION ALL
    SELECT source, n.subject, n.check_id,
           format('same %s as %s%s', n.what,
                  (SELECT string_agg(format('"%s"', o.subject), ', ')
                   FROM (SELECT u.subject FROM unnest(f.subjects) WITH ORDINALITY AS u(subject, number)
                         WHERE u.number <> n.number ORDER BY u.number LIMIT 3) o),
                  CASE WHEN n.members > 4 THEN format(' and %s more', n.members - 4) ELSE '' END),
           NULL, NULL, NULL, NULL
    FROM numbered n
    JOIN firsts f USING (check_id, tag)
$$;

-- The finding on a source that cannot be read. The message is the extension's own: no code of another role runs. Internal.
CREATE FUNCTION scram_internal.unreadable_finding(source text, state text, message text)
RETURNS TABLE (source text, subject text, check_id text, severity text, evidence text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'server', 'source ' || quote_ident($1), c.check_id, c.severity, format('%s (SQLSTATE %s)', $3, $2)
    FROM scram.audit_checks() c
    WHERE c.check_id = 'source_unreadable'
$$;

-- How many roles can read the stored secrets of each source: one notice a source. The owner and superusers are expected to.
-- Internal.
CREATE FUNCTION scram_internal.source_readers()
RETURNS TABLE (source text, subject text, check_id text, severity text, evidence text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'server', 'source ' || quote_ident(s.name), 'hash_readable', 'notice',
           format('%s role%s can read column "%s" of "%s"', count(*), CASE WHEN count(*) > 1 THEN 's' END, a.attname, c.relname)
    FROM scram.audit_source s
    JOIN pg_class c ON c.oid = s.relation
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = s.secret_column AND a.attnum > 0
    JOIN pg_roles r ON NOT r.rolsuper AND r.oid >= 16384 AND r.oid <> c.relowner
        AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
        AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
    GROUP BY s.name, a.attname, c.relname
$$;

CREATE FUNCTION scram.audit()
RETURNS TABLE (source text, subject text, check_id text, severity text, evidence text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Any user may have plans sent to the client, and plans hold the names of subjects as constants.
SET debug_print_parse = off
SET debug_print_rewritten = off
SET debug_print_plan = off
-- For the reason that scram_internal.run_step() gives.
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    registered text;
    state text;
    message text;
BEGIN
    RETURN QUERY SELECT n.source, n.subject, n.check_id, n.severity, n.evidence FROM scram_internal.cluster_findings(true) n;
    RETURN QUERY SELECT n.* FROM scram_internal.source_readers() n;
    FOR registered IN SELECT s.name FROM scram.audit_source s WHERE s.enabled ORDER BY s.name LOOP
        BEGIN
            RETURN QUERY
            SELECT j.found_in, j.subject, j.check_id, c.severity, j.evidence
            FROM scram_internal.source_findings(registered, NULL) j
            JOIN scram.audit_checks() c ON c.check_id = j.check_id;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
            RETURN QUERY SELECT u.* FROM scram_internal.unreadable_finding(registered, state, message) u;
        END;
    END LOOP;
END
$$;

-- Adds the words of the built-in list that scram.wordlist lacks; returns their number.
CREATE FUNCTION scram.load_wordlist() RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    added bigint;
BEGIN
    INSERT INTO scram.wordlist (word) SELECT b.word FROM scram_internal.builtin_words() b ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

COMMENT ON FUNCTION scram.add_audit_source(text, regclass, name, name) IS
    'has the audit read stored passwords in a table or materialized view';
COMMENT ON FUNCTION scram.audit() IS 'what the audit finds now, nothing stored';
COMMENT ON FUNCTION scram_internal.source_findings(text, integer) IS 'internal to scram.audit(): a registered source, judged';
COMMENT ON FUNCTION scram_internal.require_registration() IS 'internal: checks a registration and its registrant';
COMMENT ON FUNCTION scram_internal.require_readable_source(oid, name, name, name) IS
    'internal: raises unless the audit can read these columns for this registrant';
COMMENT ON FUNCTION scram_internal.source_readers() IS
    'internal to scram.audit(): how many roles can read the secrets of each source';
COMMENT ON FUNCTION scram_internal.unreadable_finding(text, text, text) IS 'internal to scram.audit(): the finding on a source that fails';
COMMENT ON FUNCTION scram.drop_audit_source(text) IS 'has the audit read a source no longer';
COMMENT ON FUNCTION scram.load_wordlist() IS 'adds the built-in list of common passwords to scram.wordlist';
