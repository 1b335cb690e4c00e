//! Numbers for Prometheus, also before the first run and for a role that has no other right.

use postgres::Client;
use scram_ext_client_tests::foreign::metrics;
use scram_ext_client_tests::{Cluster, Raised, cell, rows};

#[test]
fn a_role_for_monitoring_needs_one_grant() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE ROLE monitor LOGIN").expect("a role");
    let mut monitor = cluster.client_as("monitor", "postgres");
    let ask = "SELECT scram.audit_metrics()";
    assert_eq!(Raised::by(&mut monitor, ask).code, "42501");
    admin.batch_execute("GRANT EXECUTE ON FUNCTION scram.audit_metrics() TO monitor").expect("it");

    // Before the first run, where an alert on the age of the last one has to fire.
    let before = samples(&mut monitor, ask);
    assert_eq!(value(&before, "last_run_timestamp_seconds"), Some(0.0));
    assert_eq!(value(&before, "last_success_timestamp_seconds"), Some(0.0));
    assert_eq!(value(&before, "run_id"), None);
    let report = "SELECT scram.audit_report('prometheus')";
    assert_eq!(names(&samples(&mut admin, report)), names(&before));
    assert_eq!(Raised::by(&mut admin, "SELECT scram.audit_report('prometheus', 1)").code, "42704");

    admin
        .batch_execute(
            "CREATE ROLE secret_name LOGIN PASSWORD 'secret_name' VALID UNTIL '2020-01-01';
             CREATE ROLE later LOGIN VALID UNTIL '2100-01-01'; CREATE ROLE never LOGIN VALID UNTIL 'infinity';
             CREATE ROLE without_login VALID UNTIL '2099-01-01'",
        )
        .expect("roles");
    rows(&mut admin, "CALL scram.run_audit()");
    let next = "SELECT extract(epoch FROM timestamptz '2100-01-01')::float8";
    let next: f64 = cell(&mut admin, next).expect("a time").parse().expect("a number");
    let after = samples(&mut monitor, ask);
    assert_eq!(value(&after, "next_expiry_timestamp_seconds"), Some(next));
    let left = value(&after, "next_expiry_seconds").expect("a time");
    assert!(left > 0.0 && left < next, "{left}");
    admin.batch_execute("ALTER ROLE later VALID UNTIL 'infinity'").expect("no end");
    assert_eq!(value(&samples(&mut monitor, ask), "next_expiry_seconds"), None);

    // What the caller of the report sees, but for the time that passes; and no name.
    let same = |samples: Vec<(String, String, f64)>| -> Vec<_> {
        samples.into_iter().filter(|sample| sample.0 != "scram_audit_age_seconds").collect()
    };
    assert_eq!(same(samples(&mut monitor, ask)), same(samples(&mut admin, report)));
    let text = cell(&mut monitor, ask).expect("metrics");
    for name in ["secret_name", "later", "never", "without_login"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
    // The caller's own objects and search_path do not change it.
    admin.batch_execute("GRANT CREATE ON SCHEMA public TO monitor").expect("a schema");
    monitor
        .batch_execute(
            "CREATE TABLE public.audit_run (run_id text); CREATE TEMP TABLE audit_run (run_id text);
             SET search_path = pg_temp, public, scram, pg_catalog",
        )
        .expect("a trap");
    assert_eq!(names(&samples(&mut monitor, ask)).len(), names(&after).len() - 2);
    assert_eq!(Raised::by(&mut monitor, "SELECT * FROM scram.audit_run").code, "42501");
}

/// An alert on open findings goes on where the runs that found them are gone.
#[test]
fn findings_are_counted_without_a_run() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute("CREATE ROLE ann LOGIN PASSWORD 'ann'; CREATE ROLE bob LOGIN PASSWORD 'bob'")
        .expect("roles");
    rows(&mut client, "CALL scram.run_audit()");
    let accept = "SELECT scram.accept_finding(finding_id) FROM scram.audit_finding
                  WHERE subject = 'bob' AND check_id = 'password_is_name'";
    rows(&mut client, accept);
    let ask = "SELECT scram.audit_metrics()";
    let counts = |samples: Vec<(String, String, f64)>| -> Vec<_> {
        let is_count =
            |name: &str| ["scram_audit_findings", "scram_audit_open_findings"].contains(&name);
        samples.into_iter().filter(|(name, ..)| is_count(name)).collect()
    };
    let before = counts(samples(&mut client, ask));
    let critical = before
        .iter()
        .find(|(name, labels, _)| name.ends_with("open_findings") && labels.contains("critical"));
    // That of ann, and hba_trust.
    assert_eq!(critical.expect("a sample").2, 2.0, "{before:?}");
    client.batch_execute("UPDATE scram_internal.stored_run SET started_at = started_at - interval '2 days', finished_at = finished_at - interval '2 days'").expect("long ago");
    assert_eq!(cell(&mut client, "SELECT scram.prune_audit('1 day')").as_deref(), Some("1"));
    assert_eq!(counts(samples(&mut client, ask)), before);
}

/// Numbers of new and fixed findings, and of each status, are those of the tables.
#[test]
fn the_numbers_are_those_of_the_tables() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE ann LOGIN PASSWORD 'ann'").expect("a role");
    rows(&mut client, "CALL scram.run_audit()");
    client
        .batch_execute(
            "DROP ROLE ann; CREATE ROLE bob LOGIN PASSWORD 'bob' VALID UNTIL '2020-01-01';
             SELECT scram.accept_findings('hba_trust')",
        )
        .expect("changes");
    rows(&mut client, "CALL scram.run_audit()");
    let found = samples(&mut client, "SELECT scram.audit_metrics()");
    for (metric, sql) in [
        ("new_findings", "SELECT count(*) FROM scram.audit_diff(1, 2) WHERE change = 'new'"),
        ("fixed_findings", "SELECT count(*) FROM scram.audit_diff(1, 2) WHERE change = 'fixed'"),
        ("run_id", "SELECT max(run_id) FROM scram.audit_run"),
        ("run_subjects", "SELECT subjects FROM scram.audit_run ORDER BY run_id DESC LIMIT 1"),
    ] {
        let known: f64 = cell(&mut client, sql).expect("a number").parse().expect("a number");
        assert_eq!(value(&found, metric), Some(known), "{metric}");
    }
    let counts = "SELECT count(*) FROM scram.audit_finding WHERE status <> 'fixed'";
    let known: f64 = cell(&mut client, counts).expect("a number").parse().expect("a number");
    let all = found.iter().filter(|sample| sample.0 == "scram_audit_findings");
    assert!((all.map(|sample| sample.2).sum::<f64>() - known).abs() < 0.5);
    let accepted = found.iter().filter(|sample| sample.1.contains("\"status\": \"accepted\""));
    assert!(accepted.count() > 0, "{found:#?}");
    // Of the run before.
    let first = samples(&mut client, "SELECT scram.audit_report('prometheus', 1)");
    assert_eq!(value(&first, "run_id"), Some(1.0));
    assert_eq!(value(&first, "new_findings"), None);
}

fn samples(client: &mut Client, sql: &str) -> Vec<(String, String, f64)> {
    metrics(&cell(client, sql).expect("metrics"))
}

fn names(samples: &[(String, String, f64)]) -> Vec<&str> {
    let mut names: Vec<_> = samples.iter().map(|sample| sample.0.as_str()).collect();
    names.dedup();
    names
}

fn value(samples: &[(String, String, f64)], name: &str) -> Option<f64> {
    let name = format!("scram_audit_{name}");
    samples.iter().find(|sample| sample.0 == name).map(|sample| sample.2)
}
