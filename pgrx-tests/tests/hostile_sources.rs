//! Registered sources with hostile code behind them: none of it gets the auditor's rights.

use scram_ext_client_tests::{Cluster, cell, rows};

/// What a hostile function tries, and as whom.
const ATTACK: &str = r#"
CREATE TABLE mallory.diary (entry text);
CREATE TABLE mallory.later (x integer);
CREATE FUNCTION mallory.promote() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mallory.diary VALUES ('trigger as ' || current_user);
    ALTER ROLE mallory SUPERUSER;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER promote AFTER INSERT ON mallory.later
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mallory.promote();
CREATE FUNCTION mallory.attack(x text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    way text;
BEGIN
    INSERT INTO mallory.diary VALUES ('as ' || current_user);
    FOREACH way IN ARRAY ARRAY[
        'ALTER ROLE mallory SUPERUSER',
        'SET ROLE postgres',
        'RESET ROLE',
        'SET SESSION AUTHORIZATION postgres',
        'CREATE TEMP TABLE pg_authid (x text)',
        'PREPARE p AS SELECT 1',
        'LISTEN scram_audit',
        'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
        'SELECT scram.audit_begin(NULL)',
        'SELECT scram.audit_step(1)',
        'TABLE scram.audit_finding',
        'INSERT INTO mallory.later VALUES (1)',
        'SELECT set_config(''search_path'', ''mallory, pg_catalog'', false)',
        'SELECT set_config(''scram.max_iterations'', ''1'', false)',
        'SELECT set_config(''log_statement'', ''all'', false)'
    ] LOOP
        BEGIN
            EXECUTE way;
            INSERT INTO mallory.diary VALUES ('could ' || way);
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    RETURN x;
END $$;
-- Traps for whoever comes by with the search_path that was set.
CREATE FUNCTION mallory.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mallory.diary VALUES ('trap as ' || current_user);
    RETURN true;
END $$;
CREATE OPERATOR mallory.= (LEFTARG = text, RIGHTARG = text, FUNCTION = mallory.trap);
"#;

/// Relations of mallory's, made before and changed after they were registered.
const RELATIONS: &[(&str, &str, &str)] = &[
    ("view", "CREATE VIEW mallory.source AS SELECT mallory.attack('v')::text AS name, 'plain'::text AS secret", ""),
    (
        "secret of a view",
        "CREATE VIEW mallory.source AS SELECT 'v'::text AS name, mallory.attack('plain')::text AS secret",
        "",
    ),
    (
        "rule on a table",
        "CREATE TABLE mallory.source (name text, secret text)",
        r#"CREATE RULE "_RETURN" AS ON SELECT TO mallory.source DO INSTEAD
           SELECT mallory.attack('r')::text AS name, 'plain'::text AS secret"#,
    ),
    (
        "view replaced",
        "CREATE VIEW mallory.source AS SELECT 'v'::text AS name, 'plain'::text AS secret",
        "CREATE OR REPLACE VIEW mallory.source AS SELECT mallory.attack('v')::text AS name, 'plain'::text AS secret",
    ),
    (
        "row security",
        "CREATE TABLE mallory.source (name text, secret text);
         INSERT INTO mallory.source VALUES ('s', 'plain')",
        "ALTER TABLE mallory.source ENABLE ROW LEVEL SECURITY;
         ALTER TABLE mallory.source FORCE ROW LEVEL SECURITY;
         CREATE POLICY p ON mallory.source USING (mallory.attack(name) = name)",
    ),
    (
        "child of a table",
        "CREATE TABLE mallory.source (name text, secret text)",
        "CREATE FUNCTION mallory.check(x text) RETURNS boolean LANGUAGE sql AS
             $$SELECT mallory.attack(x) IS NOT NULL$$;
         CREATE VIEW mallory.inner_view AS SELECT mallory.attack('c')::text AS name, 'plain'::text AS secret;
         DROP TABLE mallory.source; ALTER VIEW mallory.inner_view RENAME TO source",
    ),
];

#[test]
fn code_behind_a_source_runs_as_its_owner_and_gets_nowhere() {
    for (what, before, after) in RELATIONS {
        let cluster = Cluster::with_extension();
        let mut admin = cluster.client();
        let version = cell(&mut admin, "SHOW server_version_num").expect("a version");
        if *what == "rule on a table" && version.as_str() >= "160000" {
            // Tables have no such rules any more.
            continue;
        }
        admin
            .batch_execute("CREATE ROLE mallory LOGIN; CREATE SCHEMA mallory AUTHORIZATION mallory")
            .expect("a role");
        let mut mallory = cluster.client_as("mallory", "postgres");
        mallory.batch_execute(ATTACK).expect("the attack");
        mallory.batch_execute(before).expect(what);
        admin
            .batch_execute(
                "SELECT scram.add_audit_source('theirs', 'mallory.source', 'name', 'secret')",
            )
            .expect("registered");
        mallory.batch_execute(after).expect(what);

        admin.batch_execute("SELECT count(*) FROM scram.audit()").expect(what);
        cell(&mut admin, "CALL scram.run_audit()").expect(what);

        let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'";
        assert_eq!(cell(&mut admin, superuser).as_deref(), Some("f"), "{what}");
        let diary = rows(&mut mallory, "SELECT DISTINCT entry FROM mallory.diary");
        let allowed =
            ["as mallory", "could SELECT set_config('search_path', 'mallory, pg_catalog', false)"];
        for entry in diary.iter().flatten().flatten() {
            assert!(allowed.contains(&&**entry), "{what}: {entry}");
        }
        // The last one replaces the relation: then nothing of it runs at all.
        let ran = *what != "child of a table";
        assert_eq!(diary.is_empty(), !ran, "{what}: {diary:?}");
        let found = "SELECT check_id FROM scram.audit_finding
                     WHERE 'theirs' IN (source, replace(subject, 'source ', ''))";
        let expected = if ran { "not_scram" } else { "source_unreadable" };
        assert_eq!(cell(&mut admin, found).as_deref(), Some(expected), "{what}");

        let left = "SELECT current_user || session_user || current_setting('search_path')
                    || current_setting('log_statement') || current_setting('scram.max_iterations')";
        assert_eq!(
            cell(&mut admin, left).as_deref(),
            Some(r#"postgrespostgres"$user", publicnone1000000"#),
            "{what}"
        );
    }
}
