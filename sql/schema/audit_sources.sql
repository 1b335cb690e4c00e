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
    this_source text;
    state text;
    message text;
BEGIN
    FOR this_source IN
        SELECT o.source
        FROM (SELECT 1 AS place, 'server' AS source
              UNION ALL SELECT 2, 'role'
              UNION ALL SELECT 3, s.name FROM scram.audit_source s WHERE s.enabled) o
        ORDER BY o.place, o.source
    LOOP
        BEGIN
            RETURN QUERY
            WITH found AS MATERIALIZED (
                SELECT f.*, row_number() OVER () AS number
                FROM (SELECT n.source, n.subject, n.check_id, n.severity, n.evidence, n.context
                      FROM scram_internal.source_findings(this_source, true, NULL) n
                      UNION ALL
                      SELECT r.*, '' FROM scram_internal.source_readers() r WHERE this_source = 'server') f
            ), listed AS (
                SELECT array_agg(f.source ORDER BY f.number) AS sources, array_agg(f.subject ORDER BY f.number) AS subjects,
                       array_agg(f.check_id ORDER BY f.number) AS check_ids
                FROM found f
            ), decided AS MATERIALIZED (
                SELECT d.* FROM listed l, scram_internal.decide(l.sources, l.subjects, l.check_ids) d
            )
            -- A rule is named with its place, which a stored finding leaves out, because it moves.
            SELECT f.source,
                   f.subject || coalesce(', ' || CASE WHEN starts_with(f.check_id, 'hba_') THEN
                       ltrim(substring(f.context FROM '[^;]*:[0-9]+$')) END, ''),
                   f.check_id, coalesce(d.action, f.severity), f.evidence
            FROM found f
            LEFT JOIN decided d ON d.number = f.number
            JOIN scram.audit_checks() WITH ORDINALITY AS c(check_id, severity, title, remedy, place)
                ON c.check_id = f.check_id
            WHERE d.action IS DISTINCT FROM 'off'
            ORDER BY c.place, f.subject;
        EXCEPTION WHEN OTHERS THEN
            IF this_source IN ('role', 'server') THEN
                RAISE;
            END IF;
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
            RETURN QUERY SELECT u.source, u.subject, u.check_id, coalesce(d.action, u.severity), u.evidence
            FROM scram_internal.unreadable_finding(this_source, format('%s (SQLSTATE %s)', message, state)) u
            LEFT JOIN LATERAL scram_internal.decide(ARRAY[u.source], ARRAY[u.subject], ARRAY[u.check_id]) d ON true
            WHERE d.action IS DISTINCT FROM 'off';
        END;
    END LOOP;
END
$$;

-- All subjects that a check hits: a finding that counts rows names only some of them.
CREATE FUNCTION scram.audit_source_rows(source text, check_id text) RETURNS TABLE (subject text, evidence text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET debug_print_parse = off
SET debug_print_rewritten = off
SET debug_print_plan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    this_source CONSTANT text := audit_source_rows.source;
    this_check CONSTANT text := audit_source_rows.check_id;
    guess_evidence CONSTANT text := (SELECT g.evidence FROM scram_internal.guess_checks() g WHERE g.check_id = this_check);
BEGIN
    IF this_source IS NULL OR this_check IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = '"source" and "check_id" must not be null';
    END IF;
    IF NOT EXISTS (SELECT FROM scram.audit_checks() c WHERE c.check_id = this_check) THEN
        RAISE undefined_object USING
            MESSAGE = format('check "%s" does not exist', this_check),
            HINT = 'scram.audit_checks() lists the checks.';
    END IF;
    IF this_source NOT IN ('role', 'server') AND NOT EXISTS (SELECT FROM scram.audit_source s WHERE s.name = this_source) THEN
        RAISE undefined_object USING MESSAGE = format('source "%s" does not exist', this_source);
    END IF;
    IF guess_evidence IS NOT NULL THEN
        -- Passwords are not tried here: the stored runs know which secrets were hit.
        RETURN QUERY
        SELECT s.subject, guess_evidence
        FROM scram_internal.scan_source(this_source, false, NULL) s
        JOIN scram_internal.guess_hit h ON h.digest = s.digest AND h.check_id = this_check
        WHERE s.part = 'secret'
        ORDER BY s.subject;
    ELSIF this_check IN ('salt_shared', 'verifier_shared') THEN
        RETURN QUERY
        WITH tag AS MATERIALIZED (
            SELECT s.subject, s.verifier_tag, CASE this_check WHEN 'salt_shared' THEN s.salt_tag ELSE s.verifier_tag END AS tag
            FROM scram_internal.scan_source(this_source, false, NULL) s
            WHERE s.part = 'secret'
        ), shared AS (
            SELECT t.tag, count(*) AS members, dense_rank() OVER (ORDER BY min(t.subject), t.tag) AS number
            FROM tag t
            WHERE t.tag IS NOT NULL
            GROUP BY t.tag
            HAVING count(*) > 1
                AND (this_check = 'verifier_shared' OR min(t.verifier_tag) IS DISTINCT FROM max(t.verifier_tag))
        )
        SELECT t.subject, format('group %s of %s subjects', s.number, s.members)
        FROM tag t
        JOIN shared s ON s.tag = t.tag
        ORDER BY s.number, t.subject;
    ELSE
        RETURN QUERY
        SELECT s.subject, s.evidences[1]
        FROM scram_internal.scan_source(this_source, false, this_check) s
        WHERE s.part = 'row'
        ORDER BY s.subject;
    END IF;
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
COMMENT ON FUNCTION scram.audit_source_rows(text, text) IS 'all subjects of a source that a check hits';
COMMENT ON FUNCTION scram_internal.require_registration() IS 'internal: checks a registration and its registrant';
COMMENT ON FUNCTION scram_internal.require_readable_source(oid, name, name, name) IS
    'internal: raises unless the audit can read these columns for this registrant';
COMMENT ON FUNCTION scram.drop_audit_source(text) IS 'has the audit read a source no longer';
COMMENT ON FUNCTION scram.load_wordlist() IS 'adds the built-in list of common passwords to scram.wordlist';
