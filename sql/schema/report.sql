-- The census: how many secrets of which kind each run saw. A report needs it besides runs and findings.

-- Counts only: neither names nor secrets. Goes with its run.
CREATE TABLE scram.audit_census (
    run_id bigint NOT NULL REFERENCES scram.audit_run ON DELETE CASCADE,
    source text NOT NULL,
    kind text NOT NULL,
    iterations integer,
    subjects bigint NOT NULL CHECK (subjects > 0),
    UNIQUE NULLS NOT DISTINCT (run_id, source, kind, iterations)
);
SELECT pg_catalog.pg_extension_config_dump('scram.audit_census', '');

-- Adds to the census of a run: a source may be counted batch by batch. Internal.
CREATE FUNCTION scram_internal.count_inventory(run bigint, source text, kind text, iterations integer, subjects bigint) RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO scram.audit_census AS c (run_id, source, kind, iterations, subjects)
    VALUES (run, count_inventory.source, count_inventory.kind, count_inventory.iterations, count_inventory.subjects)
    ON CONFLICT (run_id, source, kind, iterations) DO UPDATE SET subjects = c.subjects + excluded.subjects;
END;

-- Counts what is stored for the roles. Internal.
CREATE FUNCTION scram_internal.take_inventory(run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM scram_internal.count_inventory(run, 'role', r.kind, r.iterations, r.subjects)
    FROM (
        SELECT coalesce(k.kind, 'none') AS kind, k.iterations, count(*) AS subjects
        FROM pg_authid a
        LEFT JOIN LATERAL scram_internal.secret_kind(a.rolpassword) k ON true
        GROUP BY 1, 2
    ) r;
END
$$;

COMMENT ON TABLE scram.audit_census IS 'how many subjects of what kind each run of scram.run_audit() saw';
COMMENT ON COLUMN scram.audit_census.source IS 'role, or the name of a registered source';
COMMENT ON COLUMN scram.audit_census.kind IS 'as scram.identify() names it; none where nothing is stored';
COMMENT ON COLUMN scram.audit_census.iterations IS 'iteration count as the server takes it; NULL where the kind has none';
COMMENT ON FUNCTION scram_internal.count_inventory(bigint, text, text, integer, bigint) IS
    'internal to scram.run_audit(): adds to the census of a run';
COMMENT ON FUNCTION scram_internal.secret_kind(text) IS 'internal to scram.run_audit(): kind and iteration count of a stored secret';
COMMENT ON FUNCTION scram.audit_report(text, bigint) IS
    'the report on a run of scram.run_audit(): text, json, html or prometheus';
COMMENT ON FUNCTION scram_internal.take_inventory(bigint) IS 'internal to scram.run_audit(): counts what is stored for the roles';
