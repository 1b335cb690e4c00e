-- The guard: what it would say about a password. The hook itself needs no object.
COMMENT ON FUNCTION scram.check_password(name, text) IS 'what the guard says about a password for a role, rule by rule';
