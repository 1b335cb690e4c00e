//! Attacks on the audit through registered sources: no code of another role runs, and no name leads
//! the audit to another relation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use scram_ext_client_tests::{Cluster, Feature, Raised, cell, rows, text};

/// A function that counts its calls, and makes its owner a superuser where it can. The sequence counts
/// also where the transaction is rolled back.
const ATTACK: &str = "
CREATE SEQUENCE mallory.calls;
GRANT USAGE ON SCHEMA mallory TO PUBLIC;
GRANT ALL ON mallory.calls TO PUBLIC;
CREATE FUNCTION mallory.attack(x text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM nextval('mallory.calls');
    IF current_setting('is_superuser') = 'on' THEN
        EXECUTE 'ALTER ROLE mallory SUPERUSER';
    END IF;
    RETURN x;
END $$;
CREATE FUNCTION mallory.fires() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mallory.attack('trigger');
    RETURN NULL;
END $$;
CREATE FUNCTION mallory.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mallory.attack('operator');
    RETURN true;
END $$;
CREATE OPERATOR mallory.= (LEFTARG = text, RIGHTARG = text, FUNCTION = mallory.equal);
CREATE FUNCTION mallory.always(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM mallory.attack('check');
    RETURN true;
END $$;
CREATE DOMAIN mallory.checked AS text CHECK (mallory.always(VALUE));
";

/// Objects that the owner of a table can attach to it before and after it is registered, and
/// whether the audit then still reads it.
const TABLES: &[(&str, &str, &str, bool)] = &[
    (
        "a rule that makes a view of the table",
        "CREATE TABLE mallory.source (name text, secret text)",
        "CREATE RULE \"_RETURN\" AS ON SELECT TO mallory.source DO INSTEAD
         SELECT mallory.attack('rule')::text AS name, 'plain'::text AS secret",
        false,
    ),
    (
        "a view in the place of the table",
        "CREATE TABLE mallory.source (name text, secret text)",
        "DROP TABLE mallory.source;
         CREATE VIEW mallory.source AS
         SELECT mallory.attack('view')::text AS name, 'plain'::text AS secret",
        false,
    ),
    (
        "row security, a domain, an index, a generated column, triggers and statistics",
        "CREATE TABLE mallory.source (
             name mallory.checked, secret mallory.checked,
             made text GENERATED ALWAYS AS (mallory.attack('generated')) STORED);
         CREATE INDEX ON mallory.source (mallory.attack(name));
         INSERT INTO mallory.source VALUES ('s', 'plain')",
        "CREATE POLICY p ON mallory.source USING (mallory.attack(name) = 's');
         ALTER TABLE mallory.source ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON mallory.source
         FOR EACH STATEMENT EXECUTE FUNCTION mallory.fires()",
        true,
    ),
    (
        "a child",
        "CREATE TABLE mallory.source (name text, secret text);
         CREATE TABLE mallory.child (extra integer, name text, secret text);
         ALTER TABLE mallory.child INHERIT mallory.source;
         INSERT INTO mallory.child VALUES (1, 's', 'plain')",
        "CREATE POLICY p ON mallory.child USING (mallory.attack(name) = 's');
         ALTER TABLE mallory.child ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        true,
    ),
];

#[test]
fn no_code_behind_a_source_runs() {
    for (what, before, after, is_read) in TABLES {
        let cluster = Cluster::with_extension();
        let mut admin = cluster.client();
        if what.starts_with("a rule") && Feature::NoRuleMakesViews.is_there() {
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
        // So far only the owner's own INSERT has called the function.
        let calls = "SELECT last_value, is_called FROM mallory.calls";
        let before = rows(&mut admin, calls);

        admin.batch_execute("SET search_path = mallory, pg_catalog").expect("a path full of traps");
        admin.batch_execute("CREATE TEMP TABLE found AS SELECT * FROM scram.audit()").expect(what);
        admin.batch_execute("CALL scram.run_audit()").expect(what);
        admin.batch_execute("RESET search_path").expect("the default");

        assert_eq!(rows(&mut admin, calls), before, "{what}: code ran");
        let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'";
        assert_eq!(cell(&mut admin, superuser).as_deref(), Some("f"), "{what}");
        let expected = if *is_read { "password_plain_text" } else { "source_unreadable" };
        for table in ["found", "scram.audit_finding"] {
            let found = format!(
                "SELECT check_id FROM {table} WHERE source = 'theirs' OR subject = 'source theirs'"
            );
            assert_eq!(cell(&mut admin, &found).as_deref(), Some(expected), "{what}");
        }
    }
}

/// The owner of a schema renames it while the audit looks for a superuser's table in it.
#[test]
fn renamed_schemas_lead_the_audit_nowhere() {
    const AUDITS: usize = 60;

    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE mallory LOGIN;
             GRANT CREATE ON DATABASE postgres TO mallory;
             CREATE SCHEMA mallory AUTHORIZATION mallory;
             CREATE SCHEMA app AUTHORIZATION mallory;
             CREATE TABLE app.users (name text, secret text);
             INSERT INTO app.users VALUES ('alice', 'plain');
             GRANT SELECT ON app.users TO mallory;
             SELECT scram.add_audit_source('app', 'app.users', 'name', 'secret')",
        )
        .expect("a superuser's table in another role's schema");
    let mut mallory = cluster.client_as("mallory", "postgres");
    mallory.batch_execute(ATTACK).expect("the attack");
    mallory
        .batch_execute(
            "CREATE SCHEMA decoy;
             CREATE VIEW decoy.users AS
             SELECT mallory.attack('x')::text AS name, 'plain'::text AS secret",
        )
        .expect("a view of the same name");

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let there = "BEGIN; ALTER SCHEMA app RENAME TO aside; ALTER SCHEMA decoy RENAME TO app;
                         ALTER SCHEMA aside RENAME TO decoy; COMMIT";
            while !done.load(Ordering::Relaxed) {
                mallory.batch_execute(there).expect("a swap");
            }
        });
        let audits = (0..AUDITS).map(|_| {
            rows(
                &mut admin,
                "SELECT subject, check_id FROM scram.audit()
                 WHERE source = 'app' OR (subject = 'source app' AND check_id <> 'hash_readable')",
            )
        });
        let audits: Vec<_> = audits.collect();
        done.store(true, Ordering::Relaxed);
        for found in audits {
            assert_eq!(found, [[text("alice"), text("password_plain_text")]]);
        }
    });
    let called = "SELECT is_called FROM mallory.calls";
    assert_eq!(cell(&mut admin, called).as_deref(), Some("f"), "the view was read");
    let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'";
    assert_eq!(cell(&mut admin, superuser).as_deref(), Some("f"));
}

/// A superuser's view over another role's view would run that role's functions as the superuser.
#[test]
fn what_is_no_storage_is_refused() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE TABLE plain (name text, secret text);
             CREATE VIEW over AS SELECT * FROM plain;
             CREATE FOREIGN DATA WRAPPER nothing;
             CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
             CREATE FOREIGN TABLE abroad (name text, secret text) SERVER nowhere;
             CREATE TABLE parted (name text, secret text) PARTITION BY LIST (name);
             CREATE TABLE parted_here PARTITION OF parted FOR VALUES IN ('here');
             CREATE FOREIGN TABLE parted_there PARTITION OF parted FOR VALUES IN ('there') SERVER nowhere;
             CREATE TEMP TABLE mine (name text, secret text);
             CREATE SEQUENCE counter;
             CREATE INDEX plain_name ON plain (name);
             CREATE TYPE pair AS (name text, secret text)",
        )
        .expect("relations");
    let toast = "SELECT reltoastrelid::regclass::text FROM pg_class WHERE relname = 'plain'";
    let toast = cell(&mut admin, toast).expect("a TOAST table");
    for relation in [
        "over",
        "abroad",
        "parted",
        "mine",
        "counter",
        "plain_name",
        "pair",
        "pg_catalog.pg_authid",
        "pg_catalog.pg_settings",
        "pg_catalog.pg_stat_activity",
        "information_schema.sql_features",
        "scram.wordlist",
        "scram.audit_finding",
        "scram.audit_source",
        "scram_internal.password_history",
        "scram_internal.stored_secret",
        &toast,
    ] {
        for sql in [
            format!("SELECT scram.add_audit_source('s', '{relation}', 'name', 'secret')"),
            format!(
                "INSERT INTO scram.audit_source (name, relation, subject_column, secret_column)
                 VALUES ('s', '{relation}', 'name', 'secret')"
            ),
        ] {
            let raised = Raised::by(&mut admin, &sql);
            assert_eq!(raised.code, "42809", "{relation}: {raised:?}");
            let hint = raised.hint.expect("a way out");
            // No copy of hashes that are a system's own.
            let is_copied = !relation.contains('.');
            assert_eq!(hint.contains("materialized view"), is_copied, "{relation}: {hint}");
        }
    }
    assert_eq!(cell(&mut admin, "SELECT count(*) FROM scram.audit_source").as_deref(), Some("0"));
}

/// Temporary children belong to one session, and other sessions must not read them.
#[test]
fn a_temporary_child_of_another_session_is_left_alone() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE TABLE parent (name text, secret text);
             INSERT INTO parent VALUES ('seen', 'plain');
             CREATE TEMP TABLE own () INHERITS (parent);
             INSERT INTO own VALUES ('own', 'plain');
             SELECT scram.add_audit_source('s', 'parent', 'name', 'secret')",
        )
        .expect("a parent");
    let mut other = cluster.client();
    other
        .batch_execute("CREATE TEMP TABLE theirs () INHERITS (parent); INSERT INTO theirs VALUES ('theirs', 'plain')")
        .expect("a temporary child");
    for session in [&mut admin, &mut other] {
        let found = rows(session, "SELECT subject FROM scram.audit() WHERE source = 's'");
        assert_eq!(found, [[text("seen")]]);
    }
}
