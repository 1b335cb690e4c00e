//! A fleet of clusters: what is collected, and servers that are down, old, or copies.

use std::thread;
use std::time::Duration;

use postgres::Client;
use scram_ext_client_tests::fleet::{State, add_server, audited, audited_with, collector, refresh};
use scram_ext_client_tests::{Cluster, Run, cell, rows, text};

const RUNS: &str =
    "run_id, started_at, finished_at, status, subjects, candidates_tested, candidates_left,
    findings_new, findings_fixed, findings_open, system_identifier";
const FINDINGS: &str =
    "finding_id, source, subject, check_id, severity, evidence, first_run, last_run, status,
    accepted_until, system_identifier";
const CENSUS: &str = "run_id, source, kind, iterations, subjects, system_identifier";
const LAST: &str = "WHERE run_id = (SELECT max(run_id) FROM scram.audit_run)";

#[test]
fn what_is_collected_is_what_the_clusters_have() {
    let (a, b, c) = (audited(), audited(), audited());
    b.client().batch_execute("CREATE ROLE bob LOGIN PASSWORD 'bob'").expect("a role");
    Run::call(&mut b.client());
    let collector = collector(&[&a, &b, &c]);
    let mut client = collector.client();
    assert_eq!(refresh(&mut client), ["a", "b", "c"].map(State::seen));

    for (server, name) in [(&a, "a"), (&b, "b"), (&c, "c")] {
        let mut there = server.client();
        for (columns, view, stored, last) in [
            (RUNS, "fleet_runs", "audit_run", ""),
            (FINDINGS, "fleet_findings", "audit_finding", ""),
            (CENSUS, "fleet_census", "audit_census", LAST),
        ] {
            let here = format!(
                "SELECT {columns} FROM scram.{view} WHERE server = '{name}' ORDER BY 1, 2, 3, 4"
            );
            let stored = format!("SELECT {columns} FROM scram.{stored} {last} ORDER BY 1, 2, 3, 4");
            let found = rows(&mut client, &here);
            assert!(!found.is_empty(), "{view} of {name}");
            assert_eq!(found, rows(&mut there, &stored), "{view} of {name}");
            let first = format!(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'scram.{view}'::regclass AND attnum = 1"
            );
            assert_eq!(cell(&mut client, &first), text("server"));
        }
        let known =
            format!("SELECT system_identifier FROM scram.fleet_server WHERE name = '{name}'");
        assert_eq!(cell(&mut client, &known), identifier(&mut there));
    }

    // Findings that are fixed there are no longer open here.
    b.client().batch_execute("DROP ROLE bob").expect("it goes");
    Run::call(&mut b.client());
    assert_eq!(refresh(&mut client), ["a", "b", "c"].map(State::seen));
    let bob =
        "SELECT DISTINCT status FROM scram.fleet_findings WHERE server = 'b' AND subject = 'bob'";
    assert_eq!(cell(&mut client, bob), text("fixed"));
    // Without news nothing is written again.
    const VERSIONS: &str =
        "SELECT xmin, server, finding_id FROM scram_internal.fleet_finding ORDER BY 2, 3";
    let before = rows(&mut client, VERSIONS);
    refresh(&mut client);
    assert_eq!(rows(&mut client, VERSIONS), before);
    // A server that leaves the fleet takes its rows with it.
    client.batch_execute("DELETE FROM scram.fleet_server WHERE name = 'b'").expect("it leaves");
    let left = "SELECT DISTINCT server FROM scram.fleet_findings ORDER BY 1";
    assert_eq!(rows(&mut client, left), [[text("a")], [text("c")]]);
}

#[test]
fn a_cluster_that_is_down_has_an_error_and_keeps_its_rows() {
    let (a, b, c) = (audited(), audited(), audited());
    let collector = collector(&[&a, &b, &c]);
    let mut client = collector.client();
    refresh(&mut client);
    const OF_B: &str = "SELECT * FROM scram.fleet_findings WHERE server = 'b' ORDER BY finding_id";
    const SEEN: &str = "SELECT last_seen FROM scram.fleet_server WHERE name = 'b'";
    let before = (rows(&mut client, OF_B), cell(&mut client, SEEN));
    drop(b);
    let after = refresh(&mut client);
    after[1].fails_with(&["refused"]);
    assert_eq!((&after[0], &after[2]), (&State::seen("a"), &State::seen("c")));
    assert!(!before.0.is_empty());
    assert_eq!((rows(&mut client, OF_B), cell(&mut client, SEEN)), before);
}

#[test]
fn an_error_of_the_collector_is_not_the_servers() {
    let a = audited();
    let collector = collector(&[&a]);
    let mut client = collector.client();
    client
        .batch_execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no room''; END';
             CREATE TRIGGER fail BEFORE INSERT ON scram_internal.fleet_run FOR EACH ROW EXECUTE FUNCTION fail()",
        )
        .expect("a trigger");
    refresh(&mut client)[0].fails_with(&["could not store the answer: no room"]);
}

#[test]
fn a_collector_that_lacks_a_character() {
    let a = audited();
    let name = "漢é\"\\";
    a.client().batch_execute("CREATE ROLE \"漢é\"\"\\\" LOGIN PASSWORD '漢é\"\\'").expect("a role");
    Run::call(&mut a.client());
    let collector = Cluster::start();
    collector
        .client()
        .batch_execute(
            "CREATE DATABASE latin ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        )
        .expect("a database");
    let mut client = collector.client_as("postgres", "latin");
    client
        .batch_execute("CREATE EXTENSION scram_ext; CREATE EXTENSION postgres_fdw")
        .expect("both");
    add_server(&mut client, "a", a.port());
    assert_eq!(refresh(&mut client), [State::seen("a")]);
    let subjects = "SELECT subject FROM scram.fleet_findings WHERE check_id = 'password_is_name' AND subject <> 'ann'";
    let shown = name.replace('漢', r"\u{6f22}");
    assert_eq!(cell(&mut client, subjects), text(&shown));
}

/// One answer waits for a lock here, longer than a server has time.
#[test]
fn storing_does_not_count_for_other_servers() {
    let a = audited();
    let collector = collector(&[&a]);
    let mut client = collector.client();
    add_server(&mut client, "dead", 1);
    client.batch_execute("SET scram.fleet_timeout = 1").expect("a setting");
    let mut other = collector.client();
    other
        .batch_execute("BEGIN; SELECT FROM scram.fleet_server WHERE name = 'dead' FOR UPDATE")
        .expect("a lock");
    let states = thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_secs(3));
            other.batch_execute("COMMIT").expect("the lock ends");
        });
        refresh(&mut client)
    });
    assert_eq!(states[0], State::seen("a"));
    states[1].fails_with(&["refused"]);
}

#[test]
fn rows_of_another_cluster_keep_its_identifier() {
    let cluster = audited();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE bob LOGIN PASSWORD 'bob'").expect("a role");
    Run::call(&mut client);
    client.batch_execute("DROP ROLE bob").expect("it goes");
    Run::call(&mut client);
    // The state after a restore or pg_upgrade.
    client
        .batch_execute(
            "UPDATE scram_internal.stored_run SET system_identifier = 42;
             UPDATE scram.audit_finding SET system_identifier = 42;
             UPDATE scram.audit_census SET system_identifier = 42;",
        )
        .expect("another cluster's rows");
    Run::call(&mut client);
    let own = [identifier(&mut client)];
    let of = |client: &mut Client, what: &str| {
        let sql = format!("SELECT DISTINCT system_identifier FROM scram.{what}");
        rows(client, &sql).into_iter().flatten().collect::<Vec<_>>()
    };
    for table in ["audit_run", "audit_census"] {
        assert_eq!(of(&mut client, &format!("{table} WHERE run_id < 4")), [text("42")], "{table}");
        assert_eq!(of(&mut client, &format!("{table} WHERE run_id = 4")), own, "{table}");
    }
    assert_eq!(of(&mut client, "audit_finding WHERE status = 'fixed'"), [text("42")]);
    assert_eq!(of(&mut client, "audit_finding WHERE status = 'open'"), own);
}

/// The first release has no identifiers. An update leaves them unknown; the next run gives its own.
#[test]
fn a_cluster_of_the_first_release_is_collected_and_updated() {
    let old = Cluster::start();
    let mut there = old.client();
    there
        .batch_execute(
            "CREATE EXTENSION scram_ext VERSION '0.1.0';
             CREATE ROLE fleet_auditor LOGIN PASSWORD 'Xq8-fleet-auditor';
             GRANT SELECT ON scram.audit_run, scram.audit_finding, scram.audit_census TO fleet_auditor;",
        )
        .expect("the first release");
    Run::call(&mut there);
    let collector = collector(&[&old]);
    let mut client = collector.client();
    assert_eq!(refresh(&mut client), [State::seen("a")]);
    let known = "SELECT extension_version, system_identifier FROM scram.fleet_server";
    assert_eq!(rows(&mut client, known), [[text("0.1.0"), identifier(&mut there)]]);
    let unknown = "SELECT count(*) > 0 AND count(system_identifier) = 0 FROM scram.fleet_findings";
    assert_eq!(cell(&mut client, unknown), text("t"));

    there.batch_execute("ALTER EXTENSION scram_ext UPDATE").expect("the update");
    let unknown = "SELECT count(*) > 0 AND count(system_identifier) = 0 FROM scram.audit_finding";
    assert_eq!(cell(&mut there, unknown), text("t"));
    Run::call(&mut there);
    assert_eq!(refresh(&mut client), [State::seen("a")]);
    let known = "SELECT DISTINCT system_identifier FROM scram.fleet_findings WHERE status = 'open'";
    assert_eq!(cell(&mut client, known), identifier(&mut there));
    let runs = "SELECT count(system_identifier), count(*) FROM scram.fleet_runs";
    assert_eq!(rows(&mut client, runs), [[text("1"), text("2")]]);
}

#[test]
fn copies_are_told_and_databases_of_one_server_are_not() {
    let primary = audited_with(Cluster::builder().hba("local replication all trust"));
    let standby = primary.standby();
    let collector = collector(&[&primary, &standby]);
    let mut client = collector.client();
    let states = refresh(&mut client);
    for (state, other) in states.iter().zip(["b", "a"]) {
        assert!(state.is_seen, "{state:?}");
        state.fails_with(&[&format!("also that of server \"{other}\": one is a copy")]);
    }
    let report = cell(&mut client, "SELECT scram.fleet_report()").expect("a report");
    let words = report.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("one is a copy"), "{report}");

    // Without an answer, the time at which it was started may be an old one.
    drop(standby);
    let states = refresh(&mut client);
    assert_eq!(states[0], State::seen("a"));
    states[1].fails_with(&["refused"]);

    client.batch_execute("DELETE FROM scram.fleet_server WHERE name = 'b'").expect("it leaves");
    add_server(&mut client, "twice", primary.port());
    refresh(&mut client).iter().for_each(|state| state.fails_with(&["are the same database"]));

    primary.client().batch_execute("CREATE DATABASE app").expect("a database");
    primary
        .client_as("postgres", "app")
        .batch_execute(
            "CREATE EXTENSION scram_ext;
             GRANT SELECT ON scram.audit_run, scram.audit_finding, scram.audit_census TO fleet_auditor",
        )
        .expect("the extension");
    client.batch_execute("ALTER SERVER twice OPTIONS (SET dbname 'app')").expect("the other one");
    assert_eq!(refresh(&mut client), ["a", "twice"].map(State::seen));
}

/// They wait for each other at the first server, and not crosswise.
#[test]
fn refreshes_at_the_same_time() {
    let (a, b) = (audited(), audited());
    let collector = collector(&[&a, &b]);
    let refreshed = thread::scope(|scope| {
        let all = [(); 6].map(|()| scope.spawn(|| refresh(&mut collector.client())));
        all.map(|one| one.join().expect("a refresh"))
    });
    for states in refreshed {
        assert_eq!(states, ["a", "b"].map(State::seen));
    }
}

fn identifier(client: &mut Client) -> Option<String> {
    cell(client, "SELECT system_identifier FROM pg_control_system()")
}
