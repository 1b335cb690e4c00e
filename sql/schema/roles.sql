-- Tables of the functions that change roles: pairs of roles that take turns, and earlier passwords. The functions write here
-- as the tables' owner, after they have checked that the caller may alter the roles.

-- The table names roles, so that pg_dump can carry it to another cluster; it holds no secret. One of the two roles is active,
-- the other one idle. pending: the idle role has a new password and LOGIN, and the active role still has its own.
CREATE TABLE scram.rotation (
    name text PRIMARY KEY,
    member_of name NOT NULL,
    role_a name NOT NULL,
    role_b name NOT NULL,
    active_is_a boolean NOT NULL DEFAULT true,
    pending boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT rotation_roles_check CHECK (role_a <> role_b)
);
SELECT pg_catalog.pg_extension_config_dump('scram.rotation', '');

-- Verifiers, which only the table's owner may read and pg_dump leaves out. The library writes rows without SQL, so that no
-- statement holds a verifier. A change of the columns needs a change of src/history.rs.
CREATE TABLE scram_internal.password_history (
    entry bigserial PRIMARY KEY,
    role oid NOT NULL,
    role_name name NOT NULL,
    verifier text NOT NULL,
    set_at timestamptz NOT NULL
);
CREATE INDEX password_history_role ON scram_internal.password_history (role, entry);

-- Removes the entries of dropped roles, and entries beyond scram.password_history. Internal.
CREATE FUNCTION scram_internal.prune_password_history() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- 0 turns the history off, but keeps its rows.
    keep CONSTANT integer := nullif(current_setting('scram.password_history', true)::integer, 0);
BEGIN
    DELETE FROM scram_internal.password_history h
    WHERE NOT EXISTS (SELECT FROM pg_authid a WHERE a.oid = h.role)
        OR (SELECT count(*) FROM scram_internal.password_history n WHERE n.role = h.role AND n.entry > h.entry) >= keep;
END
$$;

COMMENT ON TABLE scram.rotation IS 'pairs of roles that take turns';
COMMENT ON COLUMN scram.rotation.member_of IS 'role that both are members of';
COMMENT ON COLUMN scram.rotation.active_is_a IS 'whether role_a is in use; the other one is idle, or gets its turn';
COMMENT ON COLUMN scram.rotation.pending IS 'between scram.rotate() and scram.finish_rotation()';
COMMENT ON COLUMN scram.rotation.changed_at IS 'when it was last rotated or finished';
COMMENT ON TABLE scram_internal.password_history IS 'verifiers of the passwords that roles have had, for scram.password_history';
COMMENT ON COLUMN scram_internal.password_history.entry IS 'a higher one is later';
COMMENT ON COLUMN scram_internal.password_history.role IS 'OID of the role';
COMMENT ON COLUMN scram_internal.password_history.role_name IS 'its name when the password was set';
COMMENT ON SEQUENCE scram_internal.password_history_entry_seq IS 'numbers scram_internal.password_history';
COMMENT ON FUNCTION scram.change_own_password(text, text) IS 'changes the password of the session''s user, who knows the old one';
COMMENT ON FUNCTION scram.create_rotation(text, name, name, name) IS 'lets two roles take turns, so that a password changes without downtime';
COMMENT ON FUNCTION scram.drop_rotation(text) IS 'forgets a pair of roles, and changes none';
COMMENT ON FUNCTION scram.finish_rotation(text, interval) IS
    'takes LOGIN from the old role of a pair when its sessions are gone, or idle for longer than ignore_idle';
COMMENT ON FUNCTION scram_internal.prune_password_history() IS 'internal: forgets the passwords of dropped roles, and those beyond scram.password_history';
COMMENT ON FUNCTION scram.rotate(text) IS 'gives the idle role of a pair LOGIN and a new random password, told once';
COMMENT ON FUNCTION scram.rotate_role(name, integer, integer, timestamptz) IS 'gives a role a new random password, told once';
COMMENT ON FUNCTION scram.set_role_password(name, text, integer, timestamptz) IS
    'gives a role a password, unless it has it already';
COMMENT ON FUNCTION scram.set_role_verifier(name, text, timestamptz) IS 'gives a role this very verifier';
COMMENT ON FUNCTION scram.verify_role(name, text) IS 'whether a role could log in with a password now';
