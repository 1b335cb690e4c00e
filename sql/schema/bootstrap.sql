\echo Use "CREATE EXTENSION scram_ext" to load this file. \quit

-- Without IF NOT EXISTS: a schema that somebody else made first is an error, not a place to put functions into.
CREATE SCHEMA scram;
COMMENT ON SCHEMA scram IS 'SCRAM verifiers, handshake, roles and audit (extension scram_ext)';
