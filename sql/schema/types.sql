-- A domain, not a type of its own: the stored form is the very text that PostgreSQL stores, so that it can be compared
-- with pg_authid, dumped, indexed and given to every function that takes text.

CREATE DOMAIN scram.verifier AS text CONSTRAINT verifier_check CHECK (scram.is_verifier(VALUE));
