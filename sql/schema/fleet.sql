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
