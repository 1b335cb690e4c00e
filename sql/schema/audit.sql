-- Tables of stored audits. The checks in the library decide about findings; the procedure in run.sql stores them.

CREATE TABLE scram.audit_run (
    run_id bigserial PRIMARY KEY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    status text NOT NULL CHECK (status IN ('running', 'done', 'partial', 'interrupted')),
    subjects bigint NOT NULL DEFAULT 0,
    candidates_tested bigint NOT NULL DEFAULT 0,
    candidates_left bigint NOT NULL DEFAULT 0,
    findings_new bigint NOT NULL DEFAULT 0,
    findings_fixed bigint NOT NULL DEFAULT 0,
    findings_open bigint NOT NULL DEFAULT 0
);

-- A finding stood in every run from first_run to last_run. One that comes back after it was fixed is a row of its own.
CREATE TABLE scram.audit_finding (
    finding_id bigserial PRIMARY KEY,
    source text NOT NULL,
    subject text NOT NULL,
    check_id text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'notice')),
    evidence text NOT NULL,
    first_run bigint NOT NULL,
    last_run bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'fixed', 'accepted')),
    accepted_until timestamptz,
    note text CHECK (octet_length(note) <= 8192),
    -- Earlier states of the finding: {"until_run", "severity", "evidence"} for each change, oldest first.
    earlier jsonb NOT NULL DEFAULT '[]'
);
CREATE UNIQUE INDEX audit_finding_current ON scram.audit_finding (source, subject, check_id) WHERE status <> 'fixed';

-- Relations with stored passwords of an application.
CREATE TABLE scram.audit_source (
    -- The name stands in indexed columns of findings.
    name text PRIMARY KEY CHECK (name NOT IN ('', 'role', 'server') AND octet_length(name) <= 128),
    relation regclass NOT NULL,
    subject_column name NOT NULL,
    secret_column name NOT NULL,
    -- A name and not a regrole: a dump with the name of a role that is missing must be restored without an error.
    registrant name NOT NULL DEFAULT current_user,
    -- Whose client limits apply, where it is not PostgreSQL's.
    client text CHECK (client IN ('kafka')),
    -- What the application needs; any hash will do unless it speaks SCRAM.
    expects text NOT NULL DEFAULT 'any' CHECK (expects IN ('any', 'scram')),
    enabled boolean NOT NULL DEFAULT true,
    -- A trigger sets these columns and ignores given values. The OID follows a role that is renamed; a new role with the
    -- old name is another registrant.
    registrant_oid oid,
    subject_type oid,
    secret_type oid
);

-- Own words by INSERT or COPY. The longest have room in the index.
CREATE TABLE scram.wordlist (word text PRIMARY KEY CHECK (octet_length(word) <= 1024));

-- One row for each stored secret, by a keyed digest: when an audit first saw the secret, and which passwords were tried
-- on it. pg_dump leaves the table out, because the digests belong to this cluster.
CREATE TABLE scram_internal.stored_secret (
    source text NOT NULL,
    subject text NOT NULL,
    digest bytea NOT NULL,
    first_seen timestamptz NOT NULL,
    -- Passwords that its own name suggests; 0 where nothing is tried.
    candidates integer NOT NULL,
    -- The edition of these (scram_internal.guess_version) that was tried; 0 for none.
    own_edition integer NOT NULL DEFAULT 0,
    -- The last word that was tried.
    words_through bigint NOT NULL DEFAULT 0,
    -- The checks that were hit, with their evidence.
    hits jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (source, subject, digest)
);
CREATE INDEX stored_secret_by_name ON scram_internal.stored_secret (own_edition, source) WHERE candidates > 0;
CREATE INDEX stored_secret_words ON scram_internal.stored_secret (words_through, source) WHERE candidates > 0;

-- Passwords that the audit tries on every secret: the word list, and passwords that the names of this server suggest. A
-- word that is added later has a higher number, so that one number tells which words were tried on a secret.
CREATE TABLE scram_internal.candidate (
    word_id bigserial PRIMARY KEY,
    check_id text NOT NULL,
    word bytea NOT NULL,
    UNIQUE (check_id, word)
);

-- Findings of the current step. The table is empty between two steps.
CREATE UNLOGGED TABLE scram_internal.step_finding (
    source text NOT NULL,
    subject text NOT NULL,
    check_id text NOT NULL,
    severity text NOT NULL,
    evidence text NOT NULL
);

-- The run that last began to read each source. A source that made the last run fail is thus the last one of the next run.
CREATE TABLE scram_internal.source_claim (source text PRIMARY KEY, run_id bigint NOT NULL);

-- Exactly one row: the run in progress. Each step locks it, which keeps a second run out; an advisory lock would not do,
-- because any user could take it. If the recorded backend is gone or runs another statement, the run was interrupted.
CREATE TABLE scram_internal.current_run (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    run_id bigint,
    pid integer,
    backend_start timestamptz,
    query_start timestamptz,
    deadline timestamptz,
    stage text CHECK (stage IN ('roles', 'sources', 'passwords')),
    -- To be read in the next step.
    source text,
    -- The last run that came to its end, pruned or not: what is new is new since then.
    last_finished bigint
);
INSERT INTO scram_internal.current_run DEFAULT VALUES;

-- One call in a statement: two fail with "tuple already updated by self".
SELECT pg_catalog.pg_extension_config_dump('scram.audit_run', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_run_run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_finding', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_finding_finding_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_source', '');
SELECT pg_catalog.pg_extension_config_dump('scram.wordlist', '');

COMMENT ON TABLE scram.audit_run IS 'runs of scram.run_audit()';
COMMENT ON COLUMN scram.audit_run.status IS 'running, done, partial (its time was spent), or interrupted';
COMMENT ON COLUMN scram.audit_run.subjects IS 'roles and rows of registered sources that were looked at';
COMMENT ON COLUMN scram.audit_run.candidates_tested IS 'passwords tried in this run';
COMMENT ON COLUMN scram.audit_run.candidates_left IS 'passwords that the next run goes on with';
COMMENT ON COLUMN scram.audit_run.findings_new IS 'open findings that no finished run before this one had';
COMMENT ON COLUMN scram.audit_run.findings_fixed IS 'findings that stood before this run and no longer do';
COMMENT ON COLUMN scram.audit_run.findings_open IS 'open findings when the run ended';
COMMENT ON SEQUENCE scram.audit_run_run_id_seq IS 'numbers scram.audit_run';
COMMENT ON TABLE scram.audit_finding IS 'what the audits found, from the first run that saw it to the last';
COMMENT ON COLUMN scram.audit_finding.source IS 'role, server, or the name of a registered source';
COMMENT ON COLUMN scram.audit_finding.subject IS 'name of the role, row, setting or rule';
COMMENT ON COLUMN scram.audit_finding.check_id IS 'a check of scram.audit_checks()';
COMMENT ON COLUMN scram.audit_finding.evidence IS 'what was seen, without key material';
COMMENT ON COLUMN scram.audit_finding.first_run IS 'first run that saw it';
COMMENT ON COLUMN scram.audit_finding.last_run IS 'last run that saw it';
COMMENT ON COLUMN scram.audit_finding.status IS 'open, fixed, or accepted until accepted_until (NULL: for ever)';
COMMENT ON COLUMN scram.audit_finding.earlier IS 'severity and evidence that it had before, until which run each';
COMMENT ON SEQUENCE scram.audit_finding_finding_id_seq IS 'numbers scram.audit_finding';
COMMENT ON TABLE scram.audit_source IS 'relations with stored passwords that the audit reads too';
COMMENT ON COLUMN scram.audit_source.relation IS 'table, partitioned table or materialized view; read from storage';
COMMENT ON COLUMN scram.audit_source.registrant IS 'role that registered it, which must be able to read it at each audit';
COMMENT ON COLUMN scram.audit_source.registrant_oid IS 'internal: OID of the registrant';
COMMENT ON COLUMN scram.audit_source.subject_type IS 'internal: type of the subject column at registration';
COMMENT ON COLUMN scram.audit_source.secret_type IS 'internal: type of the secret column at registration';
COMMENT ON COLUMN scram.audit_source.enabled IS 'whether the audit reads it';
COMMENT ON COLUMN scram.audit_source.client IS 'whose client limits apply: kafka, or NULL for PostgreSQL';
COMMENT ON COLUMN scram.audit_source.expects IS 'scram: another hash is a finding; any: a good hash is none';
COMMENT ON TABLE scram.wordlist IS 'passwords that the audit tries on every secret';
COMMENT ON TABLE scram_internal.stored_secret IS 'internal to scram.run_audit(): secrets that were seen, and what was tried on them';
COMMENT ON TABLE scram_internal.candidate IS 'internal to scram.run_audit(): what is tried on every secret, numbered';
COMMENT ON SEQUENCE scram_internal.candidate_word_id_seq IS 'numbers scram_internal.candidate';
COMMENT ON TABLE scram_internal.step_finding IS 'internal to scram.run_audit(): what a step has found';
COMMENT ON TABLE scram_internal.source_claim IS 'internal to scram.run_audit(): the run that last began to read a source';
COMMENT ON TABLE scram_internal.current_run IS 'internal to scram.run_audit(): the run that is going on';
-- Without arguments there is no NULL to be strict about.
ALTER FUNCTION scram.audit_checks() CALLED ON NULL INPUT;
COMMENT ON FUNCTION scram.audit_checks() IS 'the checks that the audit knows';
COMMENT ON FUNCTION scram_internal.candidates_by_server() IS 'internal to scram.run_audit(): passwords that this server''s names suggest';
COMMENT ON FUNCTION scram_internal.guess_version() IS 'internal to scram.run_audit(): tells when what names suggest has changed';
COMMENT ON FUNCTION scram_internal.guess_checks() IS 'internal to scram.run_audit(): the checks that try passwords';
COMMENT ON FUNCTION scram_internal.read_source(text, integer) IS 'internal to scram.audit(): the rows of a registered source, judged';
COMMENT ON FUNCTION scram_internal.require_top_level() IS 'internal to scram.run_audit(): raises where it could not commit or store';
COMMENT ON FUNCTION scram_internal.cluster_findings(boolean) IS 'internal to scram.audit(): what the checks find on roles and server';
COMMENT ON FUNCTION scram_internal.role_secrets() IS 'internal to scram.run_audit(): digests of the roles'' secrets';
COMMENT ON FUNCTION scram_internal.guess(text, text[], bytea[], boolean, bigint[], integer) IS
    'internal to scram.run_audit(): tries passwords for a time';
COMMENT ON FUNCTION scram_internal.builtin_words() IS 'internal to scram.load_wordlist(): the built-in list';
