-- Registered sources, and scram.audit(), which reads them beside roles and server.

-- True if the audit can read these columns; raises what is wrong otherwise. Internal.
CREATE FUNCTION scram.audit_source_fits(relation regclass, subject_column name, secret_column name) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class;
    column_name name;
    column_type oid;
BEGIN
    SELECT c.* INTO class FROM pg_class c WHERE c.oid = relation;
    IF NOT FOUND THEN
        RAISE undefined_table USING MESSAGE = format('relation with OID %s does not exist', relation::oid);
    END IF;
    IF class.relkind NOT IN ('r', 'v', 'm', 'f', 'p') THEN
        RAISE wrong_object_type USING MESSAGE = format('"%s" is not a table or view', class.relname);
    END IF;
    IF class.relpersistence = 't' THEN
        RAISE wrong_object_type USING
            MESSAGE = format('"%s" is a temporary table', class.relname),
            DETAIL = 'No other session could read it.';
    END IF;
    -- The names of subjects are stored and shown.
    IF subject_column = secret_column THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'the subjects and their secrets can''t be in one column',
            HINT = 'Give the column that names whose secret it is: a user name, or a key.';
    END IF;
    FOREACH column_name IN ARRAY ARRAY[subject_column, secret_column] LOOP
        SELECT a.atttypid INTO column_type FROM pg_attribute a
        WHERE a.attrelid = relation AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped;
        IF NOT FOUND THEN
            RAISE undefined_column USING
                MESSAGE = format('column "%s" of relation "%s" does not exist', column_name, class.relname);
        END IF;
        IF column_type NOT IN (
            'text'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype, 'scram.verifier'::regtype)
        THEN
            RAISE datatype_mismatch USING
                MESSAGE = format('column "%s" is of type %s', column_name, format_type(column_type, NULL)),
                HINT = 'The audit reads text, varchar, json, jsonb and scram.verifier. Register a view that casts.';
        END IF;
    END LOOP;
    RETURN true;
END
$$;

-- Whoever registers a relation learns what is weak in it: so he must be able to read it. In a trigger, as the table can be
-- granted too. Internal.
CREATE FUNCTION scram.audit_source_check() RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    column_name name;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = NEW.relation)
        AND (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user)
    THEN
        -- Restored from a dump that was made when the relation was gone already.
        RETURN NEW;
    END IF;
    PERFORM scram.audit_source_fits(NEW.relation, NEW.subject_column, NEW.secret_column);
    FOREACH column_name IN ARRAY ARRAY[NEW.subject_column, NEW.secret_column] LOOP
        IF NOT has_column_privilege(current_user, NEW.relation, column_name::text, 'SELECT') THEN
            RAISE insufficient_privilege USING
                MESSAGE = format('permission denied for column "%s" of %s', column_name, NEW.relation);
        END IF;
    END LOOP;
    RETURN NEW;
END
$$;

CREATE TRIGGER audit_source_check BEFORE INSERT OR UPDATE ON scram.audit_source
FOR EACH ROW EXECUTE FUNCTION scram.audit_source_check();

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
            MESSAGE = format('a source can''t have the name "%s"', name),
            DETAIL = 'Findings of the cluster itself are under "role" and "server".';
    END IF;
    PERFORM scram.audit_source_fits(relation, subject_column, secret_column);
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

-- A registered source, judged: one row without check_id for each of its rows, and one for each thing that was found. What
-- its rows share is found here and not in the library: there is one place that can sort more than fits in memory.
-- Internal.
CREATE FUNCTION scram.audit_judge(source text)
RETURNS TABLE (
    subject text, check_id text, evidence text, digest bytea, candidates integer, kind text, iterations integer
)
LANGUAGE sql STABLE ROWS 100000
SET search_path = pg_catalog, pg_temp
AS $$
    WITH seen AS MATERIALIZED (
        SELECT r.* FROM scram.audit_read(source) r
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
    SELECT s.subject, NULL, NULL, s.digest, s.candidates, s.kind, s.iterations
    FROM seen s
    UNION ALL
    SELECT s.subject, c.check_id, c.evidence, NULL, NULL, NULL, NULL
    FROM seen s
    CROSS JOIN unnest(s.check_ids, s.evidences) AS c(check_id, evidence)
    UNION ALL
    SELECT n.subject, n.check_id,
           format('same %s as %s%s', n.what,
                  (SELECT string_agg(format('"%s"', o.subject), ', ')
                   FROM (SELECT u.subject FROM unnest(f.subjects) WITH ORDINALITY AS u(subject, number)
                         WHERE u.number <> n.number ORDER BY u.number LIMIT 3) o),
                  CASE WHEN n.members > 4 THEN format(' and %s more', n.members - 4) ELSE '' END),
           NULL, NULL, NULL, NULL
    FROM numbered n
    JOIN firsts f USING (check_id, tag)
$$;

-- What is wrong with a source that can't be read. Without the message: it is the text of somebody else's code. Internal.
CREATE FUNCTION scram.audit_unreadable(source text, state text)
RETURNS TABLE (source text, subject text, check_id text, severity text, evidence text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'server', 'source ' || quote_ident($1), c.check_id, c.severity, format('reading it fails with SQLSTATE %s', $2)
    FROM scram.audit_checks() c
    WHERE c.check_id = 'source_unreadable'
$$;

CREATE FUNCTION scram.audit()
RETURNS TABLE (source text, subject text, check_id text, severity text, evidence text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- As for scram.audit_step().
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    registered text;
    state text;
BEGIN
    RETURN QUERY SELECT n.source, n.subject, n.check_id, n.severity, n.evidence FROM scram.audit_scan(true) n;
    FOR registered IN SELECT s.name FROM scram.audit_source s WHERE s.enabled ORDER BY s.name LOOP
        BEGIN
            RETURN QUERY
            SELECT registered, j.subject, j.check_id, c.severity, j.evidence
            FROM scram.audit_judge(registered) j
            JOIN scram.audit_checks() c ON c.check_id = j.check_id;
        EXCEPTION WHEN OTHERS OR assert_failure THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
            RETURN QUERY SELECT u.* FROM scram.audit_unreadable(registered, state) u;
        END;
    END LOOP;
END
$$;

-- The built-in list, as far as it isn't there; returns how many words were new.
CREATE FUNCTION scram.load_wordlist() RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    added bigint;
BEGIN
    INSERT INTO scram.wordlist (word) SELECT b.word FROM scram.builtin_words() b ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

COMMENT ON FUNCTION scram.add_audit_source(text, regclass, name, name) IS
    'has the audit read stored passwords in a table or view';
COMMENT ON FUNCTION scram.audit() IS 'what the audit finds now, nothing stored';
COMMENT ON FUNCTION scram.audit_judge(text) IS 'internal to scram.audit(): a registered source, judged';
COMMENT ON FUNCTION scram.audit_source_check() IS 'internal: checks what is registered, and who registers it';
COMMENT ON FUNCTION scram.audit_source_fits(regclass, name, name) IS
    'internal: raises unless the audit can read these columns';
COMMENT ON FUNCTION scram.audit_unreadable(text, text) IS 'internal to scram.audit(): the finding on a source that fails';
COMMENT ON FUNCTION scram.drop_audit_source(text) IS 'has the audit read a source no longer';
COMMENT ON FUNCTION scram.load_wordlist() IS 'adds the built-in list of common passwords to scram.wordlist';
