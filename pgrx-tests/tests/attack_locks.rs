//! Attacks on the time of an audit: a table that its owner keeps locked, partitions that are
//! attached and detached.

use std::thread;

use scram_ext_client_tests::{Cluster, cell, rows, text, until};

/// Ends a test that hangs; no statement here takes nearly as long.
const LIMIT: &str = "SET statement_timeout = '60 s'";

#[test]
fn a_locked_table_holds_no_run_up() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE mallory LOGIN;
             CREATE SCHEMA mallory AUTHORIZATION mallory;
             CREATE TABLE z_open (name text, secret text);
             INSERT INTO z_open VALUES ('alice', 'plain')",
        )
        .expect("a table");
    let mut mallory = cluster.client_as("mallory", "postgres");
    mallory
        .batch_execute(
            "CREATE TABLE mallory.locked (name text, secret text);
             INSERT INTO mallory.locked VALUES ('bob', 'plain');
             CREATE TABLE mallory.parent (name text, secret text) PARTITION BY LIST (name);
             CREATE TABLE mallory.child PARTITION OF mallory.parent DEFAULT;
             INSERT INTO mallory.parent VALUES ('carol', 'plain')",
        )
        .expect("tables");
    admin
        .batch_execute(
            "SELECT scram.add_audit_source('a', 'mallory.locked', 'name', 'secret'),
                    scram.add_audit_source('b', 'mallory.parent', 'name', 'secret'),
                    scram.add_audit_source('z', 'z_open', 'name', 'secret')",
        )
        .expect("sources");
    let findings = |table: &str| {
        format!(
            "SELECT source, subject, check_id, evidence FROM {table}
             WHERE source IN ('a', 'b', 'z') OR subject LIKE 'source %' ORDER BY 1, 2, 3"
        )
    };
    let row = |source: &str, subject: &str, check: &str, evidence: &str| {
        [source, subject, check, evidence].map(text).to_vec()
    };
    let plain = "no form that is known: plain text must be assumed";
    let read = [
        row("a", "bob", "password_plain_text", plain),
        row("b", "carol", "password_plain_text", plain),
        row("z", "alice", "password_plain_text", plain),
    ];
    admin.batch_execute(LIMIT).expect("a limit");
    admin.batch_execute("CALL scram.run_audit(budget => '10 s')").expect("a run");
    assert_eq!(rows(&mut admin, &findings("scram.audit_finding")), read);

    mallory
        .batch_execute(
            "BEGIN; LOCK TABLE mallory.locked IN ACCESS EXCLUSIVE MODE;
             LOCK TABLE ONLY mallory.child IN ACCESS EXCLUSIVE MODE",
        )
        .expect("locks");
    let unreadable = [
        row(
            "server",
            "source a",
            "source_unreadable",
            "could not obtain lock on relation \"locked\" (SQLSTATE 55P03)",
        ),
        row(
            "server",
            "source b",
            "source_unreadable",
            "could not obtain lock on relation \"child\" (SQLSTATE 55P03)",
        ),
    ];
    let now = [&unreadable[..], &read[2..]].concat();
    assert_eq!(rows(&mut admin, &findings("scram.audit()")), now);
    admin.batch_execute("CALL scram.run_audit(budget => '10 s')").expect("a run");
    // Earlier findings of the unreadable sources remain.
    let stored = [&read[..2], &unreadable[..], &read[2..]].concat();
    assert_eq!(rows(&mut admin, &findings("scram.audit_finding")), stored);

    mallory.batch_execute("COMMIT").expect("unlocked");
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    let status = "SELECT DISTINCT check_id, status FROM scram.audit_finding
                  WHERE source IN ('a', 'b', 'z') OR subject LIKE 'source %' ORDER BY 1";
    let expected = [["password_plain_text", "open"], ["source_unreadable", "fixed"]];
    assert_eq!(rows(&mut admin, status), expected.map(|row| row.map(text).to_vec()));
}

/// A cancel ends the wait for a lock.
#[test]
fn the_wait_for_a_lock_is_interrupted() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE TABLE locked (name text, secret text);
             SELECT scram.add_audit_source('a', 'locked', 'name', 'secret')",
        )
        .expect("a source");
    let mut holder = cluster.client();
    holder.batch_execute("BEGIN; LOCK TABLE locked").expect("a lock");
    let mut auditor = cluster.client();
    let cancel = auditor.cancel_token();
    let audit = thread::spawn(move || {
        let error = auditor.simple_query("SELECT * FROM scram.audit()").expect_err("a cancel");
        error.code().map(|code| code.code().to_owned())
    });
    until("the audit waits", || {
        let waiting = "SELECT nullif(count(*), 0) FROM pg_stat_activity
                       WHERE query LIKE '%scram.audit()' AND wait_event_type = 'Extension'";
        cell(&mut admin, waiting)
    });
    cancel.cancel_query(postgres::NoTls).expect("a cancel");
    assert_eq!(audit.join().expect("an audit").as_deref(), Some("57014"));
}

/// A foreign partition that is attached later is reported; the others are read.
#[test]
fn a_foreign_partition_is_reported_and_the_rest_is_read() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE FOREIGN DATA WRAPPER nothing;
             CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
             CREATE TABLE parted (gone integer, name text, secret text) PARTITION BY LIST (name);
             ALTER TABLE parted DROP COLUMN gone;
             CREATE TABLE here (secret text, name text);
             ALTER TABLE parted ATTACH PARTITION here FOR VALUES IN ('here');
             INSERT INTO parted VALUES ('here', 'plain');
             SELECT scram.add_audit_source('my source', 'parted', 'name', 'secret');
             CREATE FOREIGN TABLE \"There\" PARTITION OF parted FOR VALUES IN ('there') SERVER nowhere",
        )
        .expect("partitions");
    let findings = |table: &str| {
        format!(
            "SELECT source, subject, check_id, evidence FROM {table}
             WHERE source = 'my source' OR subject LIKE 'source %' ORDER BY 1, 2"
        )
    };
    let expected = [
        [
            "my source",
            "here",
            "password_plain_text",
            "no form that is known: plain text must be assumed",
        ],
        [
            "server",
            "source \"my source\", partition public.\"There\"",
            "source_unreadable",
            "public.\"There\" is a foreign table",
        ],
    ]
    .map(|row| row.map(text).to_vec());
    assert_eq!(rows(&mut admin, &findings("scram.audit()")), expected);
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    assert_eq!(rows(&mut admin, &findings("scram.audit_finding")), expected);
}
