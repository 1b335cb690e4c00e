-- Privileges. First the script revokes every right on every object from every role but the owner, so that an object that
-- this file forgets is closed. REVOKE ... FROM PUBLIC is not enough, because ALTER DEFAULT PRIVILEGES may have granted each
-- new object to any role. Functions that only compute on their arguments are public, and so is the change of a role's own
-- password. The administrator grants all functions that read, change or answer for accounts.

DO $$
DECLARE
    member record;
BEGIN
    FOR member IN
        SELECT o.kind, o.identity, o.owner, g.grantee
        FROM (
            SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, 'pg_class'::regclass AS catalog, c.oid,
                   format('%I.%I', n.nspname, c.relname) AS identity, c.relowner AS owner,
                   coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) AS acl
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'v', 'm', 'S')
            UNION ALL
            SELECT 'ROUTINE', 'pg_proc'::regclass, p.oid, p.oid::regprocedure::text, p.proowner,
                   coalesce(p.proacl, acldefault('f', p.proowner))
            FROM pg_proc p
            UNION ALL
            SELECT 'TYPE', 'pg_type'::regclass, t.oid, format('%I.%I', n.nspname, t.typname), t.typowner,
                   coalesce(t.typacl, acldefault('T', t.typowner))
            FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
            -- The row type of a table and an array have the rights of their table or element.
            WHERE t.typelem = 0 AND (t.typrelid = 0 OR (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c')
            UNION ALL
            SELECT 'SCHEMA', 'pg_namespace'::regclass, n.oid, quote_ident(n.nspname), n.nspowner,
                   coalesce(n.nspacl, acldefault('n', n.nspowner))
            FROM pg_namespace n
        ) o
        JOIN pg_depend d ON d.classid = o.catalog AND d.objid = o.oid AND d.deptype = 'e'
        JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
        -- The owner first, and once for each object: also where default privileges have taken from the owner.
        CROSS JOIN LATERAL (
            SELECT o.owner AS grantee
            UNION
            SELECT x.grantee FROM aclexplode(o.acl) x
        ) g
        WHERE e.extname = 'scram_ext'
    LOOP
        IF member.grantee = member.owner THEN
            EXECUTE format('GRANT ALL ON %s %s TO %s', member.kind, member.identity, member.owner::regrole);
        ELSE
            EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', member.kind, member.identity,
                           CASE member.grantee WHEN 0 THEN 'PUBLIC' ELSE member.grantee::regrole::text END);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA scram, scram_internal TO PUBLIC;
GRANT USAGE ON DOMAIN scram.verifier TO PUBLIC;

GRANT EXECUTE ON FUNCTION
    scram.audit_checks(),
    scram.change_own_password(text, text),
    scram.check_transcript(text, text, text, text, text, bytea),
    scram.explain(text),
    scram.export_verifier(text, text),
    scram.generate(text, integer, bytea, text, integer, text),
    scram.handshake(text, text, text, text, text, text, text, bytea),
    scram.identify(text),
    scram.import_verifier(text, text),
    scram.is_verifier(text),
    scram.match_any(text, text[]),
    scram.needs_rotation(text),
    scram.parse(text),
    scram.search_backend(),
    scram.username(text),
    scram.verify(text, text, text)
TO PUBLIC;

-- Functions that run_audit(), add_audit_source(), load_wordlist(), schedule_audit(), accept_finding() and audit_diff() call as
-- their caller.
-- The administrator grants the procedure alone, so begin_run() and step() ask for that very privilege themselves, and
-- schedule_hidden_user() for that on unschedule_audit(). The view audit_run calls is_running(), which tells whether a run
-- goes on; the others do nothing that their caller could not.
GRANT EXECUTE ON FUNCTION
    scram_internal.begin_run(interval),
    scram_internal.findings_of(bigint),
    scram_internal.is_running(bigint),
    scram_internal.lock_finding(bigint),
    scram_internal.require_acceptance(timestamptz, text),
    scram_internal.require_top_level(),
    scram_internal.require_readable_source(oid, name, name, name),
    scram_internal.step(bigint),
    scram_internal.builtin_words(),
    scram_internal.require_pg_cron(text),
    scram_internal.hidden_job_user(text),
    scram_internal.require_safe_job(name, name)
TO PUBLIC;

COMMENT ON DOMAIN scram.verifier IS 'text that is a SCRAM verifier in its strict form';
COMMENT ON FUNCTION scram.check_transcript(text, text, text, text, text, bytea) IS
    'shows where a recorded SCRAM exchange goes wrong';
COMMENT ON FUNCTION scram.compare_hba(text) IS
    'compares a proposed text of pg_hba.conf with the file: which logins change';
COMMENT ON FUNCTION scram.explain(text) IS 'explains a SCRAM message attribute by attribute';
COMMENT ON FUNCTION scram.export_verifier(text, text) IS 'writes a SCRAM verifier as another system stores it';
COMMENT ON FUNCTION scram.generate(text, integer, bytea, text, integer, text) IS 'makes a SCRAM verifier of a password';
COMMENT ON FUNCTION scram.handshake(text, text, text, text, text, text, text, bytea) IS
    'plays both sides of a SCRAM exchange and shows the messages';
COMMENT ON FUNCTION scram.handshake_finish(bytea, text, text, text) IS
    'second call of a server-side SCRAM exchange: checks client-final';
COMMENT ON FUNCTION scram.handshake_finish_passthrough(bytea, text, text, text) IS
    'like scram.handshake_finish(), with the keys to log in elsewhere as the client';
COMMENT ON FUNCTION scram.handshake_start(text, text, text, text, text, bytea, text) IS
    'first call of a server-side SCRAM exchange: answers client-first';
COMMENT ON FUNCTION scram.identify(text) IS 'names the kind of a stored secret';
COMMENT ON FUNCTION scram.import_verifier(text, text) IS 'reads a SCRAM credential that another system stores';
COMMENT ON FUNCTION scram.is_verifier(text) IS 'whether a text is a SCRAM verifier in its strict form';
COMMENT ON FUNCTION scram.match_any(text, text[]) IS 'position of the first candidate that is the password of a SCRAM verifier';
COMMENT ON FUNCTION scram.needs_rotation(text) IS 'whether a SCRAM verifier is weaker than a new one would be';
COMMENT ON FUNCTION scram.parse(text) IS 'shows the parts of a SCRAM verifier';
COMMENT ON FUNCTION scram_internal.read_hba(text) IS 'reads a proposed text of pg_hba.conf as the server would';
COMMENT ON FUNCTION scram.role_handshake_finish(bytea, text) IS
    'second call of a server-side SCRAM exchange for a role of this cluster';
COMMENT ON FUNCTION scram.role_handshake_finish_passthrough(bytea, text) IS
    'like scram.role_handshake_finish(), with the keys to log in elsewhere as the role';
COMMENT ON FUNCTION scram.role_handshake_start(text, name, text, text, bytea) IS
    'first call of a server-side SCRAM exchange for a role of this cluster';
COMMENT ON FUNCTION scram.search_backend() IS 'the code that tries candidate passwords on this processor, and its speed';
COMMENT ON FUNCTION scram.username(text) IS 'the user name in a client-first-message';
COMMENT ON FUNCTION scram.verify(text, text, text) IS 'whether a password made a SCRAM verifier';
