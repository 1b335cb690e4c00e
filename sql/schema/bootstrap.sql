\echo Use "CREATE EXTENSION scram_ext" to load this file. \quit

-- Without IF NOT EXISTS: CREATE EXTENSION must fail if another role has made one of the schemas, because that role could
-- put objects of its own into it.
CREATE SCHEMA scram;
CREATE SCHEMA scram_internal;
COMMENT ON SCHEMA scram IS 'SCRAM verifiers, handshake, roles and audit (extension scram_ext)';
COMMENT ON SCHEMA scram_internal IS 'internal to extension scram_ext: no part of its interface';
