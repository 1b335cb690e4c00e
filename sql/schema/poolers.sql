-- User lists for connection poolers.

-- PgBouncer reads "" inside quotes as one quote and knows no other escape (load_auth_file in its src/loader.c); ProxySQL's
-- administration console is SQLite. Roles are sorted by bytes, so that the order is the same in every database. A role that
-- cannot log in now gets no line, because the pooler would let it in front of a server that does not.
CREATE FUNCTION scram.pooler_users(format text DEFAULT 'pgbouncer', roles name[] DEFAULT NULL) RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown name;
BEGIN
    format := coalesce(format, 'pgbouncer');
    IF format NOT IN ('pgbouncer', 'proxysql') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'unknown format of a list of users',
            HINT = 'Formats are "pgbouncer" and "proxysql".';
    END IF;
    SELECT r.name INTO unknown
    FROM unnest(roles) r(name) WHERE NOT EXISTS (SELECT FROM pg_authid a WHERE a.rolname = r.name) AND r.name IS NOT NULL
    ORDER BY 1 LIMIT 1;
    IF FOUND THEN
        RAISE undefined_object USING MESSAGE = pg_catalog.format('role "%s" does not exist', unknown);
    END IF;
    RETURN QUERY
    SELECT CASE format
        WHEN 'pgbouncer' THEN pg_catalog.format('"%s" "%s"', replace(a.rolname, '"', '""'), a.rolpassword)
        ELSE pg_catalog.format('INSERT INTO pgsql_users (username, password) VALUES (''%s'', ''%s'') '
                'ON CONFLICT DO UPDATE SET password = excluded.password;', replace(a.rolname, '''', ''''''), a.rolpassword)
    END
    FROM pg_authid a
    WHERE a.rolcanlogin
        AND scram.is_verifier(a.rolpassword)
        AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil >= clock_timestamp())
        AND (roles IS NULL OR a.rolname = ANY (roles))
    ORDER BY a.rolname::text COLLATE "C";
END
$$;

COMMENT ON FUNCTION scram.pooler_users(text, name[]) IS 'lists roles with their verifiers, as a connection pooler reads them';
