//! Attacks on the audit by a role that may register sources: it must learn no data that it may not
//! read.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows, text};

/// An auditor with the grants of docs/audit.md, and a table that it may read.
fn auditor(cluster: &Cluster) -> Client {
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE auditor LOGIN;
             GRANT EXECUTE ON FUNCTION scram.add_audit_source(text, regclass, name, name),
                 scram.drop_audit_source(text) TO auditor;
             GRANT SELECT, INSERT, UPDATE, DELETE ON scram.audit_source TO auditor;
             CREATE SCHEMA app;
             CREATE TABLE app.users (name text, secret text);
             INSERT INTO app.users VALUES ('alice', 'plain');
             GRANT USAGE ON SCHEMA app TO auditor;
             GRANT SELECT ON app.users TO auditor",
        )
        .expect("an auditor");
    cluster.client_as("auditor", "postgres")
}

const ADD: &str = "SELECT scram.add_audit_source('app', 'app.users', 'name', 'secret')";

const INSERT: &str = "
    INSERT INTO scram.audit_source (name, relation, subject_column, secret_column)
    VALUES ('app', 'app.users', 'name', 'secret')";

/// A statement that takes the right to read from the auditor, one that restores it, and the reason
/// that is reported.
const REVOKED: &[(&str, &str, &str)] = &[
    (
        "REVOKE SELECT ON app.users FROM auditor",
        "GRANT SELECT ON app.users TO auditor",
        "role \"auditor\" lacks SELECT on column \"name\" of \"users\" (SQLSTATE 42501)",
    ),
    (
        "REVOKE SELECT ON app.users FROM auditor; GRANT SELECT (name) ON app.users TO auditor",
        "GRANT SELECT (secret) ON app.users TO auditor",
        "role \"auditor\" lacks SELECT on column \"secret\" of \"users\" (SQLSTATE 42501)",
    ),
    (
        "REVOKE USAGE ON SCHEMA app FROM auditor",
        "GRANT USAGE ON SCHEMA app TO auditor",
        "role \"auditor\" lacks USAGE on the schema of \"users\" (SQLSTATE 42501)",
    ),
    (
        "ALTER TABLE app.users ENABLE ROW LEVEL SECURITY",
        "ALTER ROLE auditor BYPASSRLS",
        "role \"auditor\" lacks BYPASSRLS for the row security of \"users\" (SQLSTATE 42501)",
    ),
];

#[test]
fn rights_are_asked_for_at_registration() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let mut auditor = auditor(&cluster);
    for (take, give, _) in REVOKED {
        admin.batch_execute(take).expect(take);
        for sql in [ADD, INSERT] {
            let raised = Raised::by(&mut auditor, sql);
            assert_eq!(raised.code, "42501", "{take}: {raised:?}");
        }
        admin.batch_execute(give).expect(give);
    }
    auditor.batch_execute(ADD).expect("registered with every right");
    let row = "SELECT registrant, client, enabled FROM scram.audit_source";
    assert_eq!(rows(&mut admin, row), [[text("auditor"), None, text("t")]]);
}

#[test]
fn rights_are_asked_for_at_each_reading() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let mut auditor = auditor(&cluster);
    auditor.batch_execute(ADD).expect("registered");
    let known = [["app", "alice", "password_plain_text", "open"]].map(|row| row.map(text).to_vec());
    let stored = "SELECT source, subject, check_id, status FROM scram.audit_finding
                  WHERE source = 'app' ORDER BY 2";
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    assert_eq!(rows(&mut admin, stored), known);

    for (take, give, reason) in REVOKED {
        admin.batch_execute(take).expect(take);
        admin.batch_execute("INSERT INTO app.users VALUES ('hidden', 'plain')").expect("a new row");
        admin.batch_execute("CALL scram.run_audit()").expect("a run");
        // No new finding is shown, and the earlier ones remain.
        assert_eq!(rows(&mut admin, stored), known, "{take}");
        let unreadable = "SELECT evidence FROM scram.audit_finding
                          WHERE subject = 'source app' AND check_id = 'source_unreadable'
                          AND status = 'open'";
        assert_eq!(cell(&mut admin, unreadable).as_deref(), Some(*reason));
        let now = "SELECT subject, evidence FROM scram.audit()
                   WHERE source = 'app' OR (subject = 'source app' AND check_id <> 'hash_readable')";
        assert_eq!(rows(&mut admin, now), [[text("source app"), text(reason)]]);

        admin.batch_execute("DELETE FROM app.users WHERE name = 'hidden'").expect("as before");
        admin.batch_execute(give).expect(give);
        admin.batch_execute("CALL scram.run_audit()").expect("a run");
        let left = "SELECT count(*) FROM scram.audit_finding
                    WHERE subject = 'source app' AND check_id <> 'hash_readable'
                    AND status <> 'fixed'";
        assert_eq!(cell(&mut admin, left).as_deref(), Some("0"), "{give}");
    }
}

/// Secrets are read a second time when passwords are tried on them.
#[test]
fn passwords_are_tried_only_on_what_the_registrant_may_read() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let mut auditor = auditor(&cluster);
    admin
        .batch_execute(
            "INSERT INTO app.users VALUES ('bob', scram.generate('pencil'));
             INSERT INTO scram.wordlist VALUES ('pencil')",
        )
        .expect("a weak password");
    auditor.batch_execute(ADD).expect("registered");
    // A run whose time is over still reads the source, and leaves the words to the next run.
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    let found = "SELECT count(*) FROM scram.audit_finding WHERE check_id = 'password_in_wordlist'";
    assert_eq!(cell(&mut admin, found).as_deref(), Some("1"));
    admin
        .batch_execute(
            "REVOKE SELECT ON app.users FROM auditor;
             INSERT INTO app.users VALUES ('carol', scram.generate('paper'));
             INSERT INTO scram.wordlist VALUES ('paper')",
        )
        .expect("another weak password");
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    assert_eq!(cell(&mut admin, found).as_deref(), Some("1"));
}

/// The registrant is the role that registers, and no grant on the table changes that.
#[test]
fn no_source_is_registered_for_another_role() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let mut auditor = auditor(&cluster);
    admin.batch_execute("CREATE TABLE app.hidden (name text, secret text)").expect("a table");
    let other = "
        INSERT INTO scram.audit_source (name, relation, subject_column, secret_column, registrant)
        VALUES ('app', 'app.hidden', 'name', 'secret', 'postgres')";
    assert_eq!(Raised::by(&mut auditor, other).code, "42501");
    admin
        .batch_execute("SELECT scram.add_audit_source('admin', 'app.hidden', 'name', 'secret')")
        .expect("the superuser's source");
    auditor.batch_execute(ADD).expect("registered");
    for sql in [
        "UPDATE scram.audit_source SET registrant = 'postgres' WHERE name = 'app'",
        "UPDATE scram.audit_source SET relation = 'app.hidden' WHERE name = 'app'",
        // If this were the superuser's registration, the audit would read with the superuser's
        // rights.
        "UPDATE scram.audit_source SET relation = 'app.users' WHERE name = 'admin'",
        "UPDATE scram.audit_source SET subject_column = 'secret' WHERE name = 'app'",
    ] {
        let raised = Raised::by(&mut auditor, sql);
        let code = if sql.contains("subject_column") { "22023" } else { "42501" };
        assert_eq!(raised.code, code, "{sql}: {raised:?}");
    }
    // The columns that decide whose rights are used cannot be written.
    auditor
        .batch_execute(
            "UPDATE scram.audit_source SET registrant_oid = 10 WHERE name = 'app';
             UPDATE scram.audit_source SET enabled = false WHERE name = 'admin'",
        )
        .expect("an update without effect, and one that is allowed");
    let row = "SELECT name, registrant, registrant_oid = registrant::regrole::oid, enabled
               FROM scram.audit_source ORDER BY 1";
    let expected = [["admin", "postgres", "t", "f"], ["app", "auditor", "t", "t"]];
    assert_eq!(rows(&mut admin, row), expected.map(|row| row.map(text).to_vec()));
}

/// A renamed role is still the registrant; another role of its name is not.
#[test]
fn the_registrant_is_a_role_and_no_name() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    auditor(&cluster).batch_execute(ADD).expect("registered");
    let now = "SELECT subject, evidence FROM scram.audit()
               WHERE source = 'app' OR (subject = 'source app' AND check_id <> 'hash_readable')";
    let plain = "no form that is known: plain text must be assumed";
    admin.batch_execute("ALTER ROLE auditor RENAME TO inspector").expect("renamed");
    assert_eq!(rows(&mut admin, now), [[text("alice"), text(plain)]]);
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    let registrant = "SELECT registrant FROM scram.audit_source";
    assert_eq!(cell(&mut admin, registrant).as_deref(), Some("inspector"));

    admin
        .batch_execute(
            "DROP OWNED BY inspector; DROP ROLE inspector; CREATE ROLE inspector;
             GRANT USAGE ON SCHEMA app TO inspector; GRANT SELECT ON app.users TO inspector",
        )
        .expect("another role of that name");
    let missing = "role \"inspector\" does not exist (SQLSTATE 42704)";
    assert_eq!(rows(&mut admin, now), [[text("source app"), text(missing)]]);
}

/// A restore finds the registrant by name, and a missing registrant is no error.
#[test]
fn a_restore_finds_the_registrant_by_name() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    auditor(&cluster).batch_execute(ADD).expect("registered");
    admin
        .batch_execute(
            "CREATE TABLE app.gone (name text, secret text);
             SELECT scram.add_audit_source('gone', 'app.gone', 'name', 'secret');
             DROP TABLE app.gone",
        )
        .expect("a source whose relation is dropped");
    let now = "SELECT subject FROM scram.audit()
               WHERE source = 'app' OR (subject ~ '^source' AND check_id <> 'hash_readable')
               ORDER BY 1";
    for (to, custom) in [("plain", false), ("custom", true)] {
        cluster.copy_database("postgres", to, custom);
        let mut copy = cluster.client_as("postgres", to);
        let row = "SELECT name, registrant, registrant_oid = registrant::regrole::oid,
                          subject_type::regtype, secret_type::regtype
                   FROM scram.audit_source ORDER BY 1";
        let app = ["app", "auditor", "t", "text", "text"].map(text);
        let gone = [text("gone"), text("postgres"), text("t"), None, None];
        assert_eq!(rows(&mut copy, row), [app, gone]);
        assert_eq!(rows(&mut copy, now), [[text("alice")], [text("source gone")]]);
    }

    // Into a cluster that has no such role.
    let dump = cluster.copy_database("postgres", "again", false);
    let elsewhere = Cluster::start();
    let script = String::from_utf8(dump).expect("text");
    let grants = script.replace("auditor", "nobody_here");
    let restored = grants
        .lines()
        .filter(|line| !line.starts_with("GRANT") && !line.starts_with("REVOKE"))
        .collect::<Vec<_>>()
        .join("\n");
    elsewhere.psql_script(&restored);
    let mut other = elsewhere.client();
    let registrant = "SELECT registrant, registrant_oid FROM scram.audit_source ORDER BY 1";
    let found = [[text("nobody_here"), None], [text("postgres"), text("10")]];
    assert_eq!(rows(&mut other, registrant), found);
    let unreadable = "SELECT subject, evidence FROM scram.audit() WHERE subject = 'source app'";
    let missing = "role \"nobody_here\" does not exist (SQLSTATE 42704)";
    assert_eq!(rows(&mut other, unreadable), [[text("source app"), text(missing)]]);
    // Made later, it is the registrant after all.
    other
        .batch_execute(
            "CREATE ROLE nobody_here; GRANT USAGE ON SCHEMA app TO nobody_here;
             GRANT SELECT ON app.users TO nobody_here",
        )
        .expect("the role");
    assert_eq!(rows(&mut other, now), [[text("alice")], [text("source gone")]]);
}
