-- Why a login works or does not.
COMMENT ON FUNCTION scram.explain_login(name, name, inet, boolean, boolean, text) IS
    'explains step by step whether a client with the right password would log in';
