\echo Use "CREATE EXTENSION scram_ext" to load this file. \quit

-- Without IF NOT EXISTS: CREATE EXTENSION must fail if another role has made one of the schemas, because that role could
-- put objects of its own into it.
CREATE SCHEMA scram;
CREATE SCHEMA scram_internal;
COMMENT ON SCHEMA scram IS 'SCRAM verifiers, handshake, roles and audit (extension scram_ext)';
COMMENT ON SCHEMA scram_internal IS 'internal to extension scram_ext: no part of its interface';

-- A row of what the library reports about a source. Which columns are set depends on "part":
--   finding  check_id, severity, evidences, rows, and subject and context; or kind and names where it counts rows
--   kind     kind, iterations, rows: how many subjects have such a secret
--   secret   digest, salt_tag, verifier_tag, by_name, and role or subject
--   secrets  of a slice: the four arrays, with a place for each digest, in the order of digests
--   unjudged check_id: a check without facts to judge by; its earlier findings stand
--   row      subject, evidences: a row that the asked check hits
--   same     like slice, of a slice that has not changed: no other row comes
--   slice    relation and block: where the next slice begins; fingerprint and rows: of the slice that was read
CREATE TYPE scram_internal.scan_row AS (
    part text,
    subject text,
    check_id text,
    severity text,
    kind text,
    rows bigint,
    evidences text[],
    names text[],
    context text,
    iterations integer,
    digest bigint,
    salt_tag bigint,
    verifier_tag bigint,
    by_name smallint,
    role oid,
    relation oid,
    block bigint,
    fingerprint bytea,
    digests bigint[],
    salt_tags bigint[],
    verifier_tags bigint[],
    by_names smallint[]
);
COMMENT ON TYPE scram_internal.scan_row IS 'internal to scram.run_audit(): what the library reports about a source';
