//! Logical replication: runs on a server that publishes every table, and on a subscriber.

use scram_ext_client_tests::{Cluster, cell, rows, until};

#[test]
fn runs_on_a_publisher_and_on_a_subscriber() {
    let publisher = Cluster::builder().conf("wal_level = logical").start();
    let mut there = publisher.client();
    there
        .batch_execute(
            "CREATE EXTENSION scram_ext;
             CREATE TABLE account (name text PRIMARY KEY, secret text);
             INSERT INTO account VALUES ('eve', 'hunter2');
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret');
             CREATE PUBLICATION every_table FOR ALL TABLES;
             CREATE PUBLICATION application FOR TABLES IN SCHEMA public;
             CREATE ROLE ann LOGIN PASSWORD 'ann'",
        )
        .expect("a publisher");
    let without_key = "SELECT c.oid::regclass::text FROM pg_class c
         JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
         WHERE c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)";
    assert_eq!(rows(&mut there, without_key), Vec::<Vec<_>>::new());
    // A run inserts, updates and deletes in all of its tables.
    for (sql, expected) in [
        (
            "INSERT INTO scram.audit_policy (check_id, action) VALUES ('md5_hash', 'off')",
            "ann open, eve open",
        ),
        (
            "ALTER ROLE ann RENAME TO anna; INSERT INTO scram.wordlist VALUES ('hunter3')",
            "anna fixed, eve open",
        ),
        (
            "DROP ROLE anna; DELETE FROM account; DELETE FROM scram.wordlist; DELETE FROM scram.audit_policy",
            "anna fixed, eve fixed",
        ),
        ("SELECT scram.drop_audit_source('app'); SELECT scram.prune_audit('0')", ""),
    ] {
        there.batch_execute(sql).expect(sql);
        there.batch_execute("CALL scram.run_audit()").expect("a run");
        let found = "SELECT string_agg(subject || ' ' || status, ', ' ORDER BY subject) FROM scram.audit_finding
                     WHERE check_id IN ('password_is_name', 'password_plain_text')";
        assert_eq!(cell(&mut there, found).unwrap_or_default(), expected, "{sql}");
    }

    there.batch_execute("INSERT INTO account VALUES ('eve', 'hunter2')").expect("a row");
    let subscriber = Cluster::builder().conf("wal_level = logical").start();
    let mut here = subscriber.client();
    let subscription = format!(
        "CREATE SUBSCRIPTION application CONNECTION 'host={} port={} user=postgres dbname=postgres' PUBLICATION application",
        publisher.dir().display(),
        publisher.port()
    );
    here.batch_execute(
        "CREATE EXTENSION scram_ext;
         CREATE TABLE account (name text PRIMARY KEY, secret text);
         SELECT scram.add_audit_source('app', 'account', 'name', 'secret')",
    )
    .expect("a subscriber");
    here.batch_execute(&subscription).expect("a subscription");
    for (name, number) in [("eve", 1), ("fay", 2)] {
        let row =
            format!("INSERT INTO account VALUES ('{name}', 'hunter2') ON CONFLICT DO NOTHING");
        there.batch_execute(&row).expect("a row");
        let arrived = format!("SELECT 1 FROM account WHERE name = '{name}'");
        until("the row is there", || (!rows(&mut here, &arrived).is_empty()).then_some(()));
        here.batch_execute("CALL scram.run_audit()").expect("a run");
        let found =
            "SELECT count(*) FROM scram.audit_finding WHERE source = 'app' AND status = 'open'";
        assert_eq!(cell(&mut here, found), Some(number.to_string()));
    }
    here.batch_execute("DROP SUBSCRIPTION application").expect("the end");
}
