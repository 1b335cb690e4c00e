-- Who may call what. Everything is taken from PUBLIC first: a function that is added and forgotten here is closed, not
-- open. Functions that only compute on what the caller gives them are public, and so is the change of one's own
-- password; whatever else reads, changes or answers for accounts is granted by the administrator.

REVOKE ALL ON ALL ROUTINES IN SCHEMA scram FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA scram FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA scram FROM PUBLIC;

GRANT EXECUTE ON FUNCTION
    scram.audit_checks(),
    scram.change_own_password(text, text),
    scram.check_transcript(text, text, text, text, text, bytea),
    scram.explain(text),
    scram.generate(text, integer, bytea, text),
    scram.handshake(text, text, text, text, text, text, text, bytea),
    scram.identify(text),
    scram.is_verifier(text),
    scram.match_any(text, text[]),
    scram.needs_rotation(text),
    scram.parse(text),
    scram.username(text),
    scram.verify(text, text)
TO PUBLIC;

-- What run_audit(), add_audit_source(), load_wordlist(), schedule_audit() and audit_diff() call as their caller. The
-- administrator grants the procedure alone, so the steps ask for that very privilege themselves (audit_authorize); the
-- others do nothing that their caller could not.
GRANT EXECUTE ON FUNCTION
    scram.audit_begin(interval),
    scram.audit_findings_of(bigint),
    scram.audit_ready(),
    scram.audit_source_fits(oid, name, name, name),
    scram.audit_step(bigint),
    scram.builtin_words(),
    scram.schedule_check(text),
    scram.schedule_hidden_user(text),
    scram.schedule_require_safe(name, name)
TO PUBLIC;

COMMENT ON DOMAIN scram.verifier IS 'text that is a SCRAM verifier in its strict form';
COMMENT ON FUNCTION scram.check_transcript(text, text, text, text, text, bytea) IS
    'shows where a recorded SCRAM exchange goes wrong';
COMMENT ON FUNCTION scram.explain(text) IS 'explains a SCRAM message attribute by attribute';
COMMENT ON FUNCTION scram.generate(text, integer, bytea, text) IS 'makes a SCRAM verifier of a password';
COMMENT ON FUNCTION scram.handshake(text, text, text, text, text, text, text, bytea) IS
    'plays both sides of a SCRAM exchange and shows the messages';
COMMENT ON FUNCTION scram.handshake_finish(bytea, text, text, text) IS
    'second call of a server-side SCRAM exchange: checks client-final';
COMMENT ON FUNCTION scram.handshake_start(text, text, text, text, text, bytea, text) IS
    'first call of a server-side SCRAM exchange: answers client-first';
COMMENT ON FUNCTION scram.identify(text) IS 'names the kind of a stored secret';
COMMENT ON FUNCTION scram.is_verifier(text) IS 'whether a text is a SCRAM verifier in its strict form';
COMMENT ON FUNCTION scram.match_any(text, text[]) IS 'position of the first candidate that is the password of a SCRAM verifier';
COMMENT ON FUNCTION scram.needs_rotation(text) IS 'whether a SCRAM verifier is weaker than a new one would be';
COMMENT ON FUNCTION scram.parse(text) IS 'shows the parts of a SCRAM verifier';
COMMENT ON FUNCTION scram.role_handshake_finish(bytea, text) IS
    'second call of a server-side SCRAM exchange for a role of this cluster';
COMMENT ON FUNCTION scram.role_handshake_start(text, name, text, text, bytea) IS
    'first call of a server-side SCRAM exchange for a role of this cluster';
COMMENT ON FUNCTION scram.username(text) IS 'the user name in a client-first-message';
COMMENT ON FUNCTION scram.verify(text, text) IS 'whether a password made a SCRAM verifier';
