-- Tables of stored audits. The checks in the library decide about findings; the procedure in audit_run.sql stores them.

-- Runs as they are stored. scram.audit_run shows them, and which of them were interrupted.
CREATE TABLE scram_internal.stored_run (
    run_id bigserial PRIMARY KEY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    status text NOT NULL CHECK (status IN ('running', 'done', 'partial', 'interrupted')),
    subjects bigint NOT NULL DEFAULT 0,
    candidates_tested bigint NOT NULL DEFAULT 0,
    candidates_left bigint NOT NULL DEFAULT 0,
    findings_new bigint NOT NULL DEFAULT 0,
    findings_fixed bigint NOT NULL DEFAULT 0,
    findings_open bigint NOT NULL DEFAULT 0,
    -- What the policies hid, in words; NULL: nothing.
    hidden text,
    -- The cluster that ran it: pg_upgrade, a restore and a copy bring runs of another one. NULL: stored before 0.2.0.
    system_identifier bigint
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
    -- The end of the evidence that moves without a change of the finding: places of rules, and roles that they decide
    -- about.
    context text NOT NULL DEFAULT '',
    -- Digest of what was judged. An acceptance holds as long as it stays the same. NULL: not known.
    facts bytea,
    -- Earlier states of the finding: {"until_run", "severity", "evidence", "context"} for each change, oldest first.
    earlier jsonb NOT NULL DEFAULT '[]',
    -- Whether a policy switches the check off for it. It stands as it was, with the last run that judged it, and does not
    -- count as open.
    is_off boolean NOT NULL DEFAULT false,
    -- The source whose reading decides whether the finding still stands. It differs from "source" where a registered source
    -- cannot be read, because that is a finding on the server.
    decided_by text NOT NULL,
    -- The cluster of last_run. NULL: stored before 0.2.0.
    system_identifier bigint,
    -- The role that it is about, in that cluster. NULL: not about a role, or stored before 0.2.0.
    role oid
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
    -- Whose clients log in, with their limits and their way to hash, where they are not PostgreSQL's.
    client text CHECK (client IN ('kafka', 'mongodb')),
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

-- How far the audit has read each source: server, role, and the registered ones. The next step of a run follows from this
-- table, so that a run that was killed needs no other state to be resumed.
CREATE TABLE scram_internal.source_state (
    source text PRIMARY KEY,
    -- The run that last began to read it, committed before it reads. A source that made the last run fail is thus the last
    -- one of the next run.
    claimed_run bigint,
    -- The run whose turn with it last ended: everything was read, or as much as its time allowed, or it failed.
    read_run bigint,
    -- Each reading from the first slice to the last one is a cycle. A large source can take several runs for one.
    cycle bigint NOT NULL DEFAULT 1,
    -- Whether a slice has changed since secrets were last looked for that are shared.
    is_changed boolean NOT NULL DEFAULT false,
    -- The registered relation of this cycle.
    relation oid,
    -- Where the next slice begins; NULL between two cycles.
    next_relation oid,
    next_block bigint,
    -- Whether all slices of the cycle were read, and it is being ended.
    is_ending boolean NOT NULL DEFAULT false,
    -- Why it cannot be read; NULL if it can.
    failure text,
    -- Whether all passwords were tried on all its secrets once. Before, as after a restore, findings without a row in
    -- guess_hit stand.
    is_settled boolean NOT NULL DEFAULT false,
    -- Whether a slice was found to hold a secret of another one: the same name and secret twice, or a row that moved.
    has_copies boolean NOT NULL DEFAULT false
);

-- A part of a source that is read and committed at once. whole: server or role. blocks: rows of a registered source in a
-- range of blocks. dropped: of a source that is no longer registered; its secrets are to be removed. rest: findings that no single slice has, and secrets that the present cycle has not found where the cycle
-- before found them; the cycle's end removes those that it has not met in another slice.
CREATE TABLE scram_internal.source_slice (
    slice_id serial PRIMARY KEY,
    source text NOT NULL,
    part text NOT NULL CHECK (part IN ('whole', 'blocks', 'dropped', 'rest')),
    relation oid,
    block bigint,
    -- A keyed hash of its rows and of all settings that the checks look at. While it is the same, the slice need not be
    -- judged again.
    fingerprint bytea,
    -- The cycle that last read it; NULL before the first one has.
    cycle bigint,
    -- Why that cycle could not read it; NULL if it could.
    failure text,
    subjects bigint NOT NULL DEFAULT 0,
    -- The least of its secrets, to find the next work without reading all secrets; NULL if no password is tried on any.
    guess_version integer,
    last_word_id integer,
    UNIQUE NULLS NOT DISTINCT (source, part, relation, block)
);

-- What the checks found in a slice. A row with a subject names one; a row without counts the rows with secrets of one kind.
CREATE TABLE scram_internal.slice_finding (
    entry bigserial PRIMARY KEY,
    slice_id integer NOT NULL REFERENCES scram_internal.source_slice ON DELETE CASCADE,
    check_id text NOT NULL,
    severity text NOT NULL,
    kind text,
    subject text,
    rows bigint NOT NULL,
    evidences text[] NOT NULL,
    names text[],
    context text
);
CREATE INDEX slice_finding_slice ON scram_internal.slice_finding (slice_id);

-- The inventory of a slice: how many secrets of which kind.
CREATE TABLE scram_internal.slice_kind (
    entry bigserial PRIMARY KEY,
    slice_id integer NOT NULL REFERENCES scram_internal.source_slice ON DELETE CASCADE,
    kind text NOT NULL,
    iterations integer,
    subjects bigint NOT NULL
);
CREATE INDEX slice_kind_slice ON scram_internal.slice_kind (slice_id);

-- One row for each stored secret on which passwords are tried or that could be shared, by a keyed digest of source, name and
-- secret. A source of a million rows makes a million rows here, so the columns are few, and their order leaves no gaps.
-- pg_dump leaves the table out, because the digests belong to this cluster.
CREATE TABLE scram_internal.stored_secret (
    digest bigint PRIMARY KEY,
    -- Keyed hashes: equal where the salts, or the verifiers, are.
    salt_tag bigint,
    verifier_tag bigint,
    slice_id integer NOT NULL,
    -- The last word that was tried.
    last_word_id integer NOT NULL DEFAULT 0,
    -- The version (scram_internal.guess_version) of the passwords suggested by its name that were tried; 0 for none.
    guess_version integer NOT NULL DEFAULT 0,
    -- How many passwords its name suggests; 0 if none is tried.
    by_name smallint NOT NULL,
    -- Whether two slices had it, so that one that loses it does not tell whether the other one still has it.
    is_copied boolean NOT NULL DEFAULT false
);
-- The rows of a slice are written together.
CREATE INDEX stored_secret_slice ON scram_internal.stored_secret USING brin (slice_id) WITH (pages_per_range = 16);

-- The checks whose passwords were hit. No record says which word it was.
CREATE TABLE scram_internal.guess_hit (
    digest bigint NOT NULL,
    check_id text NOT NULL,
    source text NOT NULL,
    -- The name; NULL for rows of a source beyond scram.audit_rows_listed.
    subject text,
    -- False while the passwords are tried again: the finding stands until they all were.
    is_confirmed boolean NOT NULL DEFAULT true,
    PRIMARY KEY (digest, check_id)
);
CREATE INDEX guess_hit_source ON scram_internal.guess_hit (source, check_id);

-- The present secret of each role, and when an audit first saw it.
CREATE TABLE scram_internal.role_secret (
    role oid PRIMARY KEY,
    subject text NOT NULL,
    digest bigint NOT NULL,
    first_seen timestamptz NOT NULL
);

-- The roles as the last run saw them: findings follow a role that was renamed, and another role with the name of an earlier one
-- starts without findings. pg_dump leaves the table out, because another cluster has other OIDs. There the first run takes
-- the findings over by name. pg_upgrade keeps both.
CREATE TABLE scram_internal.known_role (
    role oid PRIMARY KEY,
    subject text NOT NULL
);

-- Passwords that the audit tries on every secret: the word list, and passwords that the names of this server suggest. A
-- word that is added later has a higher number, so that one number tells which words were tried on a secret.
CREATE TABLE scram_internal.candidate (
    word_id serial PRIMARY KEY,
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
    evidence text NOT NULL,
    context text NOT NULL DEFAULT '',
    -- What was judged, in words; the severity is that of the check, before a policy.
    facts text NOT NULL,
    -- False for a guess that is to be tried again: the finding stands, and this run says nothing about it yet.
    is_judged boolean NOT NULL DEFAULT true,
    PRIMARY KEY (source, subject, check_id)
);

-- Exactly one row: the run in progress. Each step locks it, which keeps a second run out; an advisory lock would not do,
-- because any user could take it. If the recorded backend is gone or runs another statement, the run was interrupted.
CREATE TABLE scram_internal.current_run (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    run_id bigint,
    pid integer,
    backend_start timestamptz,
    query_start timestamptz,
    deadline timestamptz,
    -- When the first password was tried.
    guesses_since timestamptz,
    -- When the session was last told how far the run is.
    told_at timestamptz,
    -- The last run that came to its end, pruned or not: what is new is new since then.
    last_finished bigint
);
INSERT INTO scram_internal.current_run DEFAULT VALUES;

-- One call in a statement: two fail with "tuple already updated by self".
SELECT pg_catalog.pg_extension_config_dump('scram_internal.stored_run', '');
SELECT pg_catalog.pg_extension_config_dump('scram_internal.stored_run_run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_finding', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_finding_finding_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_source', '');
SELECT pg_catalog.pg_extension_config_dump('scram.wordlist', '');

COMMENT ON TABLE scram_internal.stored_run IS 'internal: what scram.audit_run shows';
COMMENT ON SEQUENCE scram_internal.stored_run_run_id_seq IS 'numbers scram.audit_run';
COMMENT ON TABLE scram.audit_finding IS 'what the audits found, from the first run that saw it to the last';
COMMENT ON COLUMN scram.audit_finding.source IS 'role, server, or the name of a registered source';
COMMENT ON COLUMN scram.audit_finding.subject IS 'name of the role, row or setting; text of the rule of pg_hba.conf';
COMMENT ON COLUMN scram.audit_finding.check_id IS 'a check of scram.audit_checks()';
COMMENT ON COLUMN scram.audit_finding.evidence IS 'what was seen, without key material';
COMMENT ON COLUMN scram.audit_finding.first_run IS 'first run that saw it';
COMMENT ON COLUMN scram.audit_finding.last_run IS 'last run that saw it';
COMMENT ON COLUMN scram.audit_finding.status IS 'open, fixed, or accepted until accepted_until (NULL: for ever)';
COMMENT ON COLUMN scram.audit_finding.context IS 'the end of the evidence, whose change is no change of the finding';
COMMENT ON COLUMN scram.audit_finding.facts IS 'digest of what was judged: an acceptance ends when it changes';
COMMENT ON COLUMN scram.audit_finding.earlier IS 'severity and evidence that it had before, until which run each';
COMMENT ON SEQUENCE scram.audit_finding_finding_id_seq IS 'numbers scram.audit_finding';
COMMENT ON TABLE scram.audit_source IS 'relations with stored passwords that the audit reads too';
COMMENT ON COLUMN scram.audit_source.relation IS 'table, partitioned table or materialized view; read from storage';
COMMENT ON COLUMN scram.audit_source.registrant IS 'role that registered it, which must be able to read it at each audit';
COMMENT ON COLUMN scram.audit_source.registrant_oid IS 'internal: OID of the registrant';
COMMENT ON COLUMN scram.audit_source.subject_type IS 'internal: type of the subject column at registration';
COMMENT ON COLUMN scram.audit_source.secret_type IS 'internal: type of the secret column at registration';
COMMENT ON COLUMN scram.audit_source.enabled IS 'whether the audit reads it';
COMMENT ON COLUMN scram.audit_source.client IS 'whose clients log in: kafka, mongodb, or NULL for PostgreSQL''s';
COMMENT ON COLUMN scram.audit_source.expects IS 'scram: another hash is a finding; any: a good hash is none';
COMMENT ON TABLE scram.wordlist IS 'passwords that the audit tries on every secret';
COMMENT ON COLUMN scram.audit_finding.is_off IS 'whether scram.audit_policy switches its check off: it does not count';
COMMENT ON COLUMN scram.audit_finding.decided_by IS 'the source whose reading decides whether it stands';
COMMENT ON COLUMN scram.audit_finding.system_identifier IS
    'the cluster whose run last saw it, as pg_control_system() shows it; NULL where that is not known';
COMMENT ON COLUMN scram.audit_finding.role IS
    'OID of the role that it is about; a new role of an old name has another one';
COMMENT ON TABLE scram_internal.source_state IS 'internal to scram.run_audit(): how far each source was read';
COMMENT ON TABLE scram_internal.source_slice IS 'internal to scram.run_audit(): parts of sources, each read at once';
COMMENT ON SEQUENCE scram_internal.source_slice_slice_id_seq IS 'numbers scram_internal.source_slice';
COMMENT ON TABLE scram_internal.slice_finding IS 'internal to scram.run_audit(): what the checks found in a slice';
COMMENT ON SEQUENCE scram_internal.slice_finding_entry_seq IS 'numbers scram_internal.slice_finding';
COMMENT ON TABLE scram_internal.slice_kind IS 'internal to scram.run_audit(): kinds of secrets in a slice';
COMMENT ON SEQUENCE scram_internal.slice_kind_entry_seq IS 'numbers scram_internal.slice_kind';
COMMENT ON TABLE scram_internal.stored_secret IS 'internal to scram.run_audit(): secrets that were seen, and what was tried on them';
COMMENT ON TABLE scram_internal.guess_hit IS 'internal to scram.run_audit(): checks whose passwords were hit';
COMMENT ON TABLE scram_internal.role_secret IS 'internal to scram.run_audit(): the secret of each role, and since when';
COMMENT ON TABLE scram_internal.known_role IS 'internal to scram.run_audit(): names of roles, to notice renamed ones';
COMMENT ON TABLE scram_internal.candidate IS 'internal to scram.run_audit(): what is tried on every secret, numbered';
COMMENT ON SEQUENCE scram_internal.candidate_word_id_seq IS 'numbers scram_internal.candidate';
COMMENT ON TABLE scram_internal.step_finding IS 'internal to scram.run_audit(): what a step has found';
COMMENT ON TABLE scram_internal.current_run IS 'internal to scram.run_audit(): the run that is going on';
-- Without arguments there is no NULL to be strict about.
ALTER FUNCTION scram.audit_checks() CALLED ON NULL INPUT;
COMMENT ON FUNCTION scram.audit_checks() IS 'the checks that the audit knows';
COMMENT ON FUNCTION scram_internal.candidates_by_server() IS 'internal to scram.run_audit(): passwords that this server''s names suggest';
COMMENT ON FUNCTION scram_internal.guess_version() IS 'internal to scram.run_audit(): tells when what names suggest has changed';
COMMENT ON FUNCTION scram_internal.guess_checks() IS 'internal to scram.run_audit(): the checks that try passwords';
COMMENT ON FUNCTION scram_internal.scan_source(text, boolean, text) IS 'internal to scram.audit(): a whole source, judged';
COMMENT ON FUNCTION scram_internal.scan_slice(text, oid, bigint, bytea, integer) IS
    'internal to scram.run_audit(): a part of a registered source, judged';
COMMENT ON FUNCTION scram_internal.names(text, oid, bigint, bigint[]) IS 'internal to scram.run_audit(): names of rows of a slice';
COMMENT ON FUNCTION scram_internal.require_top_level() IS 'internal to scram.run_audit(): raises where it could not commit or store';
COMMENT ON FUNCTION scram_internal.guess(text, oid, bigint, bigint[], boolean, integer[], integer) IS
    'internal to scram.run_audit(): tries passwords for a time';
COMMENT ON FUNCTION scram_internal.builtin_words() IS 'internal to scram.load_wordlist(): the built-in list';
