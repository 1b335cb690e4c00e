//! Dump and restore: the rows that the audits stored come back, the rows that belong to the cluster
//! do not, and the next audit continues.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Run, cell, docs, make_role, rows};

/// Queries whose results the copy must share, by name and not by OID.
const KEPT: [&str; 6] = [
    "SELECT s.name FROM scram.fleet_server s ORDER BY name",
    "SELECT r::text FROM scram.audit_run r ORDER BY run_id",
    "SELECT f::text FROM scram.audit_finding f ORDER BY finding_id",
    "SELECT c::text FROM scram.audit_census c ORDER BY c::text",
    "SELECT name, relation, subject_column, secret_column, registrant, client, enabled
     FROM scram.audit_source ORDER BY name",
    "SELECT w::text FROM scram.wordlist w ORDER BY word COLLATE \"C\"",
];

#[test]
fn a_copy_goes_on_where_the_dump_was_made() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    seed(&mut client);

    for (copy, custom) in [("plain", false), ("custom", true)] {
        cluster.copy_database("postgres", copy, custom);
        let mut there = cluster.client_as("postgres", copy);
        for sql in KEPT {
            let kept = rows(&mut client, sql);
            assert!(kept.len() > 1, "{sql}");
            assert_eq!(rows(&mut there, sql), kept, "{copy}: {sql}");
        }
        // Without its findings a server of the fleet must not look healthy.
        let states = "SELECT s::text FROM scram.fleet_server s ORDER BY name";
        let names = [[Some("(dc1,,,,,,,,,,)".to_owned())], [Some("(dc2,,,,,,,,,,)".to_owned())]];
        assert_eq!(rows(&mut there, states), names, "{copy}");
        let metrics = cell(&mut there, "SELECT scram.fleet_report('prometheus')").expect("metrics");
        let up: Vec<_> =
            metrics.lines().filter(|line| line.starts_with("scram_audit_fleet_up{")).collect();
        assert!(up.len() == 2 && up.iter().all(|line| line.ends_with(" 0")), "{metrics}");
        // Digests of secrets and the candidates tried on them are not dumped, because they belong
        // to the original cluster.
        for relation in [
            "stored_secret",
            "candidate",
            "step_finding",
            "source_state",
            "source_slice",
            "guess_hit",
        ] {
            let count = format!("SELECT count(*) FROM scram_internal.{relation}");
            assert_eq!(number(&mut there, &count), 0, "{copy}: {relation}");
        }
        assert_eq!(number(&mut there, "SELECT count(*) FROM scram_internal.current_run"), 1);

        // The next run has a new number, tries everything again, and reports no finding as new
        // because of the restore.
        let before = Run::all(&mut there).pop().expect("the last one");
        let run = Run::call(&mut there);
        assert_eq!((run.id, &*run.status, run.new), (before.id + 1, "done", 0), "{copy}: {run:?}");
        assert!(run.tested > 0);
        let findings =
            "SELECT finding_id, source, subject, check_id, status, first_run, note, accepted_until
                        FROM scram.audit_finding ORDER BY 1";
        assert_eq!(rows(&mut there, findings), rows(&mut client, findings), "{copy}");
        let changed = format!("SELECT count(*) FROM scram.audit_diff({}, {})", before.id, run.id);
        assert_eq!(number(&mut there, &changed), 0);
        // A new finding has a new identifier.
        let newest = number(&mut there, "SELECT max(finding_id) FROM scram.audit_finding");
        there.batch_execute("INSERT INTO account VALUES ('eve', 'plain too')").expect("a row");
        assert_eq!(Run::call(&mut there).new, 1);
        let eve = "SELECT finding_id FROM scram.audit_finding WHERE subject = 'eve'";
        assert!(number(&mut there, eve) > newest);
    }
}

/// The owner of a database is no superuser, and not the owner of the extension.
#[test]
fn the_databases_owner_dumps_and_restores_with_the_grants_of_the_page() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    seed(&mut client);
    client
        .batch_execute(
            "DROP MATERIALIZED VIEW brokers; DELETE FROM scram.audit_source;
             INSERT INTO scram.rotation (name, member_of, role_a, role_b) VALUES ('pair', 'ann', 'ann', 'hit');
             SET scram.password_history = 3;
             SELECT scram.set_role_password('hit', 'kept in the history');
             CREATE ROLE app_owner LOGIN;
             ALTER DATABASE postgres OWNER TO app_owner; ALTER TABLE account OWNER TO app_owner;
             RESET scram.password_history",
        )
        .expect("a database of app_owner");
    client.batch_execute("CREATE DATABASE copy OWNER app_owner").expect("a database");
    let file = cluster.dir().join("app.dump").display().to_string();
    let dump = ["-Fc", "-f", &file, "postgres"];
    let refused = cluster.run("pg_dump", "app_owner", &dump).expect_err("no grant yet");
    // pg_dump 18 reads sequences first, and has words of its own.
    let says = ["permission denied", "user may lack SELECT privilege"];
    assert!(says.iter().any(|said| refused.contains(said)), "{refused}");

    let grants = docs::block("docs/audit.md", "sql", "CREATE ROLE app_owner LOGIN;");
    let grants = grants.replace("CREATE ROLE app_owner LOGIN;", "");
    client.batch_execute(&grants).expect("the grants of docs/audit.md");
    cluster.run("pg_dump", "app_owner", &dump).expect("a dump");

    let mut there = cluster.client_as("postgres", "copy");
    let more = grants
        .replace("SELECT ON SEQUENCE", "UPDATE ON SEQUENCE")
        .replace("GRANT SELECT ON scram", "GRANT INSERT ON scram");
    assert_ne!(more, grants);
    there.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    there.batch_execute(&more).expect("the grants to restore");
    let list = cluster.run("pg_restore", "app_owner", &["-l", &file]).expect("a list");
    let kept: Vec<_> = list
        .lines()
        .filter(|line| {
            !line.contains(" COMMENT - EXTENSION scram_ext") && !line.contains(" ACL scram")
        })
        .collect();
    assert_ne!(kept.len(), list.lines().count());
    let chosen = cluster.dir().join("app.list").display().to_string();
    std::fs::write(&chosen, kept.join("\n")).expect("the list");
    let restore = ["-L", &chosen, "--exit-on-error", "-d", "copy", &file];
    cluster.run("pg_restore", "app_owner", &restore).expect("restored");

    for sql in KEPT.iter().filter(|sql| !sql.contains("audit_source")) {
        let kept = rows(&mut client, sql);
        assert!(kept.len() > 1, "{sql}");
        assert_eq!(rows(&mut there, sql), kept, "{sql}");
    }
    let pair = "SELECT name, role_a, role_b FROM scram.rotation";
    assert_eq!(rows(&mut there, pair), rows(&mut client, pair));
    let history = "SELECT count(*) FROM scram_internal.password_history";
    assert_ne!(number(&mut client, history), 0);
    assert_eq!(number(&mut there, history), 0);
    let run = Run::call(&mut there);
    assert_eq!(&*run.status, "done", "{run:?}");
}

/// A copy of a copy with a source whose table is gone: the source must be restored unchanged.
#[test]
fn a_source_without_its_table_is_restored() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    seed(&mut client);
    client.batch_execute("DROP TABLE account CASCADE").expect("dropped");
    cluster.copy_database("postgres", "copy", false);
    let mut there = cluster.client_as("postgres", "copy");
    let sources = "SELECT name FROM scram.audit_source ORDER BY 1";
    assert_eq!(rows(&mut there, sources), rows(&mut client, sources));
    assert_eq!(Run::call(&mut there).status, "done");
    let unreadable = "SELECT subject FROM scram.audit_finding WHERE check_id = 'source_unreadable'";
    assert_eq!(cell(&mut there, unreadable).as_deref(), Some("source app"));
}

/// Three runs: something open, something fixed, something accepted, something with a history.
fn seed(client: &mut Client) {
    make_role(client, "ann", "scram.generate('ann', 1)");
    make_role(client, "hit", "scram.generate('Zq8', 1)");
    client
        .batch_execute(
            "INSERT INTO scram.fleet_server (name) VALUES ('dc1'), ('dc2');
             UPDATE scram.fleet_server
             SET last_seen = now(), tried_at = now(), started_at = now(), system_identifier = 1;
             CREATE TABLE account (name text, secret text);
             CREATE MATERIALIZED VIEW brokers AS SELECT name AS \"Name\", secret FROM account;
             INSERT INTO account VALUES ('bob', 'plain'), ('cid', scram.generate('cid'));
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret');
             SELECT scram.add_audit_source('kafka', 'brokers', 'Name', 'secret');
             UPDATE scram.audit_source SET enabled = false, client = 'kafka' WHERE name = 'kafka';
             INSERT INTO scram.wordlist VALUES ('Zq8'), (E'tab\\tand\\\\backslash'), ('\\.'), (''), ('漢字')",
        )
        .expect("a seed");
    Run::call(client);
    client
        .batch_execute(
            "SELECT scram.accept_finding(finding_id, '2100-01-01', E'it''s\\nknown')
             FROM scram.audit_finding WHERE subject = 'bob';
             ALTER ROLE ann VALID UNTIL '2020-01-01'",
        )
        .expect("accepted");
    Run::call(client);
    client
        .batch_execute(
            "ALTER ROLE ann VALID UNTIL '2021-01-01'; DELETE FROM account WHERE name = 'cid'",
        )
        .expect("changes");
    Run::call(client);
    let kinds = "SELECT count(DISTINCT status), count(*) FILTER (WHERE earlier <> '[]') FROM scram.audit_finding";
    let kinds: Vec<_> = rows(client, kinds).remove(0).into_iter().flatten().collect();
    assert_eq!(kinds, ["3", "1"]);
}

fn number(client: &mut Client, sql: &str) -> i64 {
    cell(client, sql).expect("a number").parse().expect("a number")
}
