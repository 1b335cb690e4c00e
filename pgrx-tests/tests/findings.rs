//! What becomes of findings: compared between runs, accepted, cleared away.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows};

#[test]
fn runs_are_compared_as_they_were() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let statements = [
        "CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL 'infinity'",
        "ALTER ROLE ann PASSWORD 'quite another one';
         CREATE ROLE bob LOGIN PASSWORD 'something else' VALID UNTIL '2020-01-01'",
        "ALTER ROLE bob VALID UNTIL '2021-01-01'",
        "DROP ROLE bob; ALTER ROLE ann PASSWORD 'ann'",
    ];
    let runs: Vec<String> = statements.map(|sql| after(&mut client, sql)).into();
    let cases: &[(usize, usize, &[&str])] = &[
        (0, 1, &["fixed ann password_is_name", "new bob password_expired 2020"]),
        (1, 2, &["changed bob password_expired 2021"]),
        (0, 2, &["fixed ann password_is_name", "new bob password_expired 2021"]),
        (2, 3, &["fixed bob password_expired 2021", "new ann password_is_name"]),
        // As it was: what was fixed in between and came back is no difference.
        (0, 3, &[]),
        (3, 0, &[]),
        (2, 1, &["changed bob password_expired 2020"]),
        (1, 1, &[]),
    ];
    for (a, b, expected) in cases {
        let sql = format!(
            "SELECT concat_ws(' ', change, subject, check_id, substring(evidence from '20\\d\\d'))
             FROM scram.audit_diff({}, {})
             WHERE check_id IN ('password_is_name', 'password_expired') ORDER BY 1",
            runs[*a], runs[*b]
        );
        assert_eq!(column(&mut client, &sql), *expected, "from run {a} to {b}");
    }
    let raised = Raised::by(&mut client, "SELECT * FROM scram.audit_diff(1, 4711)");
    assert_eq!(raised.code, "42704");
}

#[test]
fn an_accepted_finding_is_not_open_until_its_time() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    after(&mut client, "CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL 'infinity'");
    let finding = "SELECT finding_id FROM scram.audit_finding
                   WHERE subject = 'ann' AND check_id = 'password_is_name'";
    let finding = cell(&mut client, finding).expect("one finding");
    let status = format!("SELECT status FROM scram.audit_finding WHERE finding_id = {finding}");
    let open = "SELECT findings_open FROM scram.audit_run ORDER BY run_id DESC LIMIT 1";
    let before: i64 = cell(&mut client, open).expect("a count").parse().expect("a number");

    let accept =
        |until: &str| format!("SELECT scram.accept_finding({finding}, {until}, 'a test of ours')");
    cell(&mut client, &accept("NULL"));
    after(&mut client, "");
    assert_eq!(cell(&mut client, &status).as_deref(), Some("accepted"));
    assert_eq!(cell(&mut client, open), Some((before - 1).to_string()));

    // Until a time that is over when the next run looks.
    cell(&mut client, &accept("clock_timestamp() + interval '1 day'"));
    client
        .batch_execute(
            "UPDATE scram.audit_finding SET accepted_until = now() WHERE note IS NOT NULL",
        )
        .expect("time passes");
    after(&mut client, "");
    assert_eq!(cell(&mut client, &status).as_deref(), Some("open"));
    assert_eq!(cell(&mut client, open), Some(before.to_string()));

    for (sql, code) in [
        (accept("'2020-01-01'"), "22023"),
        ("SELECT scram.accept_finding(4711, NULL, 'x')".to_owned(), "42704"),
        ("SELECT scram.accept_finding(NULL, NULL, 'x')".to_owned(), "22004"),
        (format!("SELECT scram.accept_finding({finding}, NULL, NULL)"), "22004"),
    ] {
        assert_eq!(Raised::by(&mut client, &sql).code, code, "{sql}");
    }
    after(&mut client, "DROP ROLE ann");
    assert_eq!(cell(&mut client, &status).as_deref(), Some("fixed"));
    assert_eq!(Raised::by(&mut client, &accept("NULL")).code, "55000");
}

#[test]
fn old_runs_go_and_open_findings_stay() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    after(&mut client, "CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL 'infinity'");
    after(&mut client, "CREATE ROLE bob LOGIN PASSWORD 'bob' VALID UNTIL 'infinity'");
    after(&mut client, "DROP ROLE ann");
    client
        .batch_execute("UPDATE scram.audit_run SET started_at = started_at - interval '30 days'")
        .expect("time passes");
    assert_eq!(cell(&mut client, "SELECT scram.prune_audit('40 days')").as_deref(), Some("0"));
    // The newest stays: the next run says what is new since then.
    assert_eq!(cell(&mut client, "SELECT scram.prune_audit('20 days')").as_deref(), Some("2"));
    assert_eq!(cell(&mut client, "SELECT count(*) FROM scram.audit_run").as_deref(), Some("1"));
    let left = "SELECT subject || ' ' || status FROM scram.audit_finding
                WHERE check_id = 'password_is_name' ORDER BY 1";
    assert_eq!(column(&mut client, left), ["bob open"]);

    after(&mut client, "");
    let new = "SELECT findings_new FROM scram.audit_run ORDER BY run_id DESC LIMIT 1";
    assert_eq!(
        cell(&mut client, new).as_deref(),
        Some("0"),
        "nothing is new for having been pruned"
    );
    assert_eq!(Raised::by(&mut client, "SELECT scram.prune_audit(NULL)").code, "22004");
    assert_eq!(Raised::by(&mut client, "SELECT scram.prune_audit('-1 day')").code, "22023");
}

/// The number of an audit after these statements.
fn after(client: &mut Client, statements: &str) -> String {
    client.batch_execute(statements).expect(statements);
    cell(client, "CALL scram.run_audit()").expect("a run")
}

fn column(client: &mut Client, sql: &str) -> Vec<String> {
    rows(client, sql).into_iter().map(|mut row| row.remove(0).unwrap_or_default()).collect()
}
