//! Registered sources that are replaced while they are read, and names that are hard to show.

use std::thread;

use scram_ext_client_tests::{Cluster, Raised, cell, rows, until};

/// The owner of a schema may drop other roles' relations in it while the audit waits for a
/// relation's lock.
#[test]
fn the_owner_of_a_schema_swaps_a_relation_while_the_audit_waits_for_it() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            r"
            CREATE ROLE mallory LOGIN;
            CREATE SCHEMA app AUTHORIZATION mallory;
            CREATE TABLE app.users (name text, secret text);
            INSERT INTO app.users VALUES ('alice', scram.generate('pencil'));
            SELECT scram.add_audit_source('app', 'app.users', 'name', 'secret');
            CREATE SEQUENCE public.planned_as_superuser;
            REVOKE ALL ON SEQUENCE public.planned_as_superuser FROM PUBLIC",
        )
        .expect("a superuser's table in another role's schema");
    let mut mallory = cluster.client_as("mallory", "postgres");
    mallory
        .batch_execute(
            r"
            CREATE FUNCTION app.planned() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
            BEGIN
                -- Stands also where the query is rolled back.
                PERFORM nextval('public.planned_as_superuser');
                RETURN 'x';
            EXCEPTION WHEN insufficient_privilege THEN
                RETURN 'x';
            END $$;
            BEGIN;
            DROP TABLE app.users;
            CREATE VIEW app.users AS SELECT app.planned() AS name, 'x'::text AS secret",
        )
        .expect("a view under the same name");

    let mut auditor = cluster.client();
    let audit = thread::spawn(move || {
        rows(
            &mut auditor,
            "SELECT subject, check_id FROM scram.audit() WHERE subject = 'source app'",
        )
    });
    until("the audit waits", || {
        let waiting =
            "SELECT nullif(count(*), 0) FROM pg_stat_activity WHERE wait_event_type = 'Extension'";
        cell(&mut admin, waiting)
    });
    mallory.batch_execute("COMMIT").expect("the swap");
    let found = audit.join().expect("an audit");
    let called = "SELECT is_called FROM public.planned_as_superuser";
    assert_eq!(cell(&mut admin, called).as_deref(), Some("f"), "the function ran as a superuser");
    let unreadable = [Some("source app".to_owned()), Some("source_unreadable".to_owned())];
    assert_eq!(found, [unreadable], "what was registered is gone");
}

/// Users of an application choose their names.
#[test]
fn no_name_keeps_the_others_from_being_read() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            r"
            CREATE TABLE users (name text, secret text);
            INSERT INTO users VALUES ('alice', scram.generate('pencil'));
            -- Longer than an entry of an index can be, however it is compressed.
            INSERT INTO users SELECT string_agg(md5(i::text), ''), scram.generate('pencil')
            FROM generate_series(1, 200) i;
            INSERT INTO users SELECT string_agg(md5(i::text), ''), scram.generate('pencil')
            FROM generate_series(1, 201) i;
            INSERT INTO scram.wordlist VALUES ('pencil');
            SELECT scram.add_audit_source('app', 'users', 'name', 'secret')",
        )
        .expect("users");
    admin.batch_execute("CALL scram.run_audit()").expect("an audit");
    let guessed = "
        SELECT left(subject, 32), length(subject) < 200 FROM scram.audit_finding
        WHERE source = 'app' AND check_id = 'password_in_wordlist' ORDER BY 1 DESC, subject";
    let long = "c4ca4238a0b923820dcc509a6f75849b";
    let row = |name: &str| vec![Some(name.to_owned()), Some("t".to_owned())];
    assert_eq!(rows(&mut admin, guessed), [row(long), row(long), row("alice")]);
    let status = "SELECT status FROM scram.audit_run";
    assert_eq!(cell(&mut admin, status).as_deref(), Some("done"));
}

/// Names that the database cannot write as text, and names with characters of its encoding outside
/// ASCII.
#[test]
fn names_in_any_encoding_are_tried() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    for (encoding, name, shown) in
        [("LATIN1", r"U&'caf\00E9'", "café"), ("SQL_ASCII", r"E'caf\xe9'", r"caf\xe9")]
    {
        let create = format!(
            "CREATE DATABASE {encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        );
        admin.batch_execute(&create).expect("a database");
        let mut client = cluster.client_as("postgres", &encoding.to_lowercase());
        client
            .batch_execute(&format!(
                r#"
                CREATE EXTENSION scram_ext;
                CREATE TABLE users (name text, secret text);
                DO $$ BEGIN EXECUTE format('ALTER TABLE users RENAME name TO %I', {name}); END $$;
                DO $$ BEGIN EXECUTE format('ALTER TABLE users RENAME TO %I', {name}); END $$;
                DO $$ BEGIN EXECUTE format('INSERT INTO %I VALUES ($1, $2)', {name})
                    USING {name}, scram.generate('pencil'); END $$;
                INSERT INTO scram.wordlist VALUES ('pencil');
                SELECT scram.add_audit_source(
                    'app', (SELECT c.oid FROM pg_class c WHERE c.relname = {name}), {name}, 'secret')"#
            ))
            .expect("a source");
        client.batch_execute("CALL scram.run_audit()").expect("an audit");
        let found = "SELECT subject, check_id FROM scram.audit_finding WHERE source = 'app'";
        let expected = [Some(shown.to_owned()), Some("password_in_wordlist".to_owned())];
        assert_eq!(rows(&mut client, found), [expected], "{encoding}");
    }
}

/// Subjects are stored and shown.
#[test]
fn a_secret_is_no_subject() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE TABLE users (name text, secret text)").expect("a table");
    let add = "SELECT scram.add_audit_source('app', 'users', 'secret', 'secret')";
    assert_eq!(Raised::by(&mut admin, add).code, "22023");
    let insert = "INSERT INTO scram.audit_source VALUES ('app', 'users', 'secret', 'secret')";
    assert_eq!(Raised::by(&mut admin, insert).code, "22023");
    // Nor where the columns are mixed up.
    admin
        .batch_execute(
            "INSERT INTO users VALUES ('alice', scram.generate('pencil'));
             SELECT scram.add_audit_source('app', 'users', 'secret', 'name')",
        )
        .expect("a source");
    admin.batch_execute("CALL scram.run_audit()").expect("an audit");
    let subject = "SELECT subject ~ '^a secret' AND subject !~ 'SCRAM'
                   FROM scram.audit_finding WHERE source = 'app'";
    assert_eq!(cell(&mut admin, subject).as_deref(), Some("t"));
}

/// The findings of a step are in a table that is empty between steps, so that the planner takes it
/// for empty. A nested loop over all pairs of findings would take ten minutes for a run of this
/// size.
#[test]
fn many_findings_are_found_again_at_once() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            r"
            CREATE TABLE users (name text, secret text);
            INSERT INTO users SELECT 'user' || i, 'plain' FROM generate_series(1, 50000) i;
            SELECT scram.add_audit_source('app', 'users', 'name', 'secret')",
        )
        .expect("users");
    admin
        .batch_execute("LOAD 'scram_ext'; SET scram.audit_rows_listed = 50000")
        .expect("a setting");
    let run = "CALL scram.run_audit()";
    admin.batch_execute(run).expect("an audit");
    admin
        .batch_execute("VACUUM ANALYZE scram_internal.step_finding, scram.audit_finding")
        .expect("statistics");
    admin.batch_execute("SET statement_timeout = '2 min'").expect("a limit");
    admin.batch_execute(run).expect("another audit");
    let again = "SELECT count(*) FROM scram.audit_finding WHERE source = 'app' AND last_run = 2";
    assert_eq!(cell(&mut admin, again).as_deref(), Some("50000"));
}

/// Names of rows are chosen by an application's users, and must not end a run.
#[test]
fn no_name_is_that_of_a_finding_that_counts_rows() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE TABLE users (name text, secret text);
             INSERT INTO users SELECT n, 'plain' FROM unnest('{rows,further unknown rows,u,v,w}'::text[]) n;
             INSERT INTO users SELECT n, scram.generate(n) FROM unnest('{further rows,x,y,z}'::text[]) n;
             SELECT scram.add_audit_source('app', 'users', 'name', 'secret');
             LOAD 'scram_ext'; SET scram.audit_rows_listed = 2",
        )
        .expect("users");
    for _ in 0..2 {
        admin.batch_execute("CALL scram.run_audit()").expect("an audit");
    }
    let found =
        "SELECT subject, check_id FROM scram.audit_finding WHERE source = 'app' AND status = 'open'
                 AND check_id IN ('password_plain_text', 'password_is_name') ORDER BY 2, 1";
    let expected = [
        ["\"further rows\"", "password_is_name"],
        ["further rows", "password_is_name"],
        ["x", "password_is_name"],
        ["\"further unknown rows\"", "password_plain_text"],
        ["\"rows\"", "password_plain_text"],
        ["further unknown rows", "password_plain_text"],
    ];
    assert_eq!(
        rows(&mut admin, found),
        expected.map(|row| row.map(|cell| Some(cell.to_owned())).to_vec())
    );
}

/// What a source's registration says about its rows is judged again, although no row has changed.
#[test]
fn a_changed_registration_judges_unchanged_rows_again() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE TABLE users AS SELECT 'ann' AS name, '$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW' AS secret;
             CREATE TABLE others AS SELECT 'eve' AS name, 'plain' AS secret;
             SELECT scram.add_audit_source('app', 'users', 'name', 'secret')",
        )
        .expect("a source");
    let found =
        "SELECT min(subject) FROM scram.audit_finding WHERE source = 'app' AND status = 'open'";
    for (change, expected) in [
        ("", None),
        ("SET expects = 'scram'", Some("bcrypt rows")),
        ("SET expects = 'any'", None),
        ("SET relation = 'others'::regclass", Some("eve")),
    ] {
        if !change.is_empty() {
            admin.batch_execute(&format!("UPDATE scram.audit_source {change}")).expect("a change");
        }
        admin.batch_execute("CALL scram.run_audit()").expect("an audit");
        assert_eq!(cell(&mut admin, found).as_deref(), expected, "{change}");
    }
}
