-- The census: how many secrets of which kind each run saw. A report needs it besides runs and findings.

-- Counts only: neither names nor secrets. Goes with its run.
CREATE TABLE scram.audit_census (
    run_id bigint NOT NULL REFERENCES scram_internal.stored_run ON DELETE CASCADE,
    source text NOT NULL,
    kind text NOT NULL,
    iterations integer,
    subjects bigint NOT NULL CHECK (subjects > 0),
    -- Its number in the run: a publication of deletes needs a key without NULL.
    entry integer,
    -- The cluster that took it. NULL: stored before 0.2.0.
    system_identifier bigint,
    PRIMARY KEY (run_id, entry),
    UNIQUE NULLS NOT DISTINCT (run_id, source, kind, iterations)
);
SELECT pg_catalog.pg_extension_config_dump('scram.audit_census', '');

-- Adds up the slices. A slice that this run did not reach counts as it was. Internal.
CREATE FUNCTION scram_internal.take_inventory(run bigint) RETURNS void
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

COMMENT ON TABLE scram.audit_census IS 'how many subjects of what kind each run of scram.run_audit() saw';
COMMENT ON COLUMN scram.audit_census.source IS 'role, or the name of a registered source';
COMMENT ON COLUMN scram.audit_census.kind IS 'as scram.identify() names it; none where nothing is stored';
COMMENT ON COLUMN scram.audit_census.entry IS 'internal: its number in the run';
COMMENT ON COLUMN scram.audit_census.system_identifier IS
    'the cluster of the run, as pg_control_system() shows it; NULL where that is not known';
COMMENT ON COLUMN scram.audit_census.iterations IS 'iteration count as the server takes it; NULL where the kind has none';
COMMENT ON FUNCTION scram.audit_report(text, bigint) IS
    'the report on a run of scram.run_audit(): text, json, html or prometheus';
COMMENT ON FUNCTION scram.audit_metrics() IS
    'numbers of the latest run of scram.run_audit() for Prometheus, without names of subjects';
COMMENT ON FUNCTION scram_internal.take_inventory(bigint) IS 'internal to scram.run_audit(): the census of a run';
