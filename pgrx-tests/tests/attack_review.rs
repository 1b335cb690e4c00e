//! Attacks that a review of the whole extension found, apart from those that have a file of their own.

use scram_ext_client_tests::{Cluster, Raised, cell, rows, text};

/// A number of ten bytes is printed in 131,072: values that hold many are not printed.
#[test]
fn short_numbers_that_are_printed_long_fill_no_memory() {
    let cluster = Cluster::builder().address_space(1024 * 1024 * 1024).start();
    let mut other = cluster.client();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE EXTENSION scram_ext;
             CREATE TABLE wide (n numeric[], p jsonpath, r nummultirange, j jsonb, s text);
             CREATE TABLE creds (name text, secret jsonb);
             INSERT INTO creds VALUES
                 ('huge', to_jsonb(array_fill('1e131071'::numeric, ARRAY[3000]))),
                 ('deep', jsonb_build_object('a', jsonb_build_array(jsonb_build_object('b', 1e5000)))),
                 ('small', jsonb_build_object('a', 12345678901234567890.5));
             SELECT scram.add_audit_source('creds', 'creds', 'name', 'secret')",
        )
        .expect("a source");
    for column in ["n", "p", "r"] {
        let add = format!("SELECT scram.add_audit_source('wide', 'wide', '{column}', 's')");
        assert_eq!(Raised::by(&mut admin, &add).code, "42804", "{column}");
    }
    admin
        .batch_execute("SELECT scram.add_audit_source('wide', 'wide', 'j', 's')")
        .expect("a jsonb may name a subject");
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    let found = "SELECT subject, evidence LIKE '%not read' FROM scram.audit_finding
                 WHERE source = 'creds' ORDER BY 1";
    let expected = [["deep", "t"], ["huge", "t"], ["small", "f"]];
    assert_eq!(rows(&mut admin, found), expected.map(|row| row.map(text).to_vec()));
    assert_eq!(cell(&mut other, "SELECT 1").as_deref(), Some("1"), "another session lives on");
}

/// An auditor may write to findings: a report takes no more text than it can hold.
#[test]
fn long_findings_fill_no_memory() {
    let cluster = Cluster::builder().address_space(2 * 1024 * 1024 * 1024).start();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE EXTENSION scram_ext;
             CREATE TABLE t AS SELECT 'u' || i AS name, 'plain' AS secret FROM generate_series(1, 200) i;
             SELECT scram.add_audit_source('t', 't', 'name', 'secret')",
        )
        .expect("a source");
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    admin
        .batch_execute(
            "UPDATE scram.audit_finding SET evidence = repeat('x', 1000000) WHERE source = 't'",
        )
        .expect("long evidence");
    let raised = Raised::by(&mut admin, "SELECT scram.audit_report('json')");
    assert_eq!(raised.code, "54000", "{raised:?}");
    let note = "SELECT scram.accept_finding(min(finding_id), NULL, repeat('x', 8193)) FROM scram.audit_finding";
    assert_eq!(Raised::by(&mut admin, note).code, "22023");
    let row = "UPDATE scram.audit_finding SET note = repeat('x', 8193)";
    assert_eq!(Raised::by(&mut admin, row).code, "23514");
}

/// A run in a transaction block could be rolled back together with the words that it tried.
#[test]
fn no_run_is_hidden_by_a_rollback() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE auditor LOGIN;
             GRANT EXECUTE ON PROCEDURE scram.run_audit(interval, bigint) TO auditor",
        )
        .expect("an auditor");
    let mut auditor = cluster.client_as("auditor", "postgres");
    for call in ["scram_internal.begin_run('1 s')", "scram_internal.step(1)"] {
        auditor.batch_execute("BEGIN").expect("a block");
        assert_eq!(Raised::by(&mut auditor, &format!("SELECT {call}")).code, "25001", "{call}");
        auditor.batch_execute("ROLLBACK").expect("its end");
    }
    auditor
        .batch_execute("DO $$ BEGIN PERFORM scram_internal.begin_run('1 s'); ROLLBACK; END $$")
        .expect("a run that is rolled back");
    assert_eq!(cell(&mut admin, "SELECT count(*) FROM scram.audit_run").as_deref(), Some("0"));
    let log = cluster.log();
    assert!(log.contains("scram.run_audit() began run 1 for \"auditor\""), "{log}");
}

/// Any user may have the plans of statements sent to the client; they hold subjects as constants.
#[test]
fn no_plan_shows_a_subject() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE TABLE customers AS
             SELECT 'secretcustomer' AS name, scram.generate('not guessed') AS secret;
             SELECT scram.add_audit_source('app', 'customers', 'name', 'secret');
             INSERT INTO scram.wordlist VALUES ('a word')",
        )
        .expect("a source");
    let output = cluster.psql(&[
        "-c",
        "SET client_min_messages = log",
        "-c",
        "SET debug_print_plan = on",
        "-c",
        "SET debug_print_parse = on",
        "-c",
        "SET debug_pretty_print = off",
        "-c",
        "CALL scram.run_audit()",
        "-c",
        "SELECT count(*) FROM scram.audit()",
    ]);
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(shown.contains("PLANNEDSTMT"), "plans are shown: {shown}");
    // "secret", byte by byte.
    assert!(!shown.contains("115 101 99 114 101 116"), "{shown}");
}

/// The name of a source stands in indexed columns of findings.
#[test]
fn no_long_name_ends_every_run() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE TABLE t (name text, secret text)").expect("a table");
    let add = "SELECT scram.add_audit_source(repeat('x', 129), 't', 'name', 'secret')";
    assert_eq!(Raised::by(&mut admin, add).code, "22023");
    let insert = "INSERT INTO scram.audit_source (name, relation, subject_column, secret_column)
                  VALUES (repeat('x', 129), 't', 'name', 'secret')";
    assert_eq!(Raised::by(&mut admin, insert).code, "23514");
    admin
        .batch_execute("SELECT scram.add_audit_source(repeat('\"', 128), 't', 'name', 'secret')")
        .expect("as long as it may be");
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
}

/// A job of a superuser stays when the extension is dropped. A role that may create schemas could then
/// put its own procedure in the place of the extension's.
#[test]
fn no_job_of_a_superuser_where_others_create_schemas() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let schedule = "SELECT scram.schedule_audit('* * * * *', 'job')";
    // Without pg_cron: the check of the database comes first.
    assert_eq!(Raised::by(&mut admin, schedule).code, "55000");
    admin
        .batch_execute("CREATE ROLE maker; GRANT CREATE ON DATABASE postgres TO maker")
        .expect("a role that creates schemas");
    assert_eq!(Raised::by(&mut admin, schedule).code, "42501");
}

/// A guess at an earlier password is logged as one that hit.
#[test]
fn a_guess_at_an_earlier_password_is_logged() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE victim; LOAD 'scram_ext'; SET scram.password_history = 5;
             SELECT scram.set_role_password('victim', 'first'); SELECT scram.set_role_password('victim', 'second');
             BEGIN",
        )
        .expect("a role with a history");
    let guess = "SELECT scram.set_role_password('victim', 'first')";
    assert_eq!(Raised::by(&mut admin, guess).code, "22023");
    admin.batch_execute("ROLLBACK").expect("the end of it");
    let log = cluster.log();
    let line = "\"postgres\" gave role \"victim\" one of its earlier passwords: refused";
    assert!(log.contains(line), "{log}");
}
