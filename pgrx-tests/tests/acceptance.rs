//! Findings that are accepted, one or many, for a time or for ever, and opened again.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows};

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

    // Accepted until a time after the next run, and until a time before it.
    cell(&mut client, &accept("clock_timestamp() + interval '1 day'"));
    after(&mut client, "");
    assert_eq!(cell(&mut client, &status).as_deref(), Some("accepted"));
    let over = "UPDATE scram.audit_finding SET accepted_until = now() WHERE status = 'accepted'";
    after(&mut client, over);
    assert_eq!(cell(&mut client, &status).as_deref(), Some("open"));
    assert_eq!(cell(&mut client, open), Some(before.to_string()));

    for (sql, code) in [
        ("SELECT scram.accept_finding(4711, NULL, 'x')".to_owned(), "42704"),
        ("SELECT scram.accept_finding(NULL, NULL, 'x')".to_owned(), "22004"),
        (accept("clock_timestamp()"), "22023"),
        (accept("'2020-01-01'"), "22023"),
        (accept("'-infinity'"), "22023"),
    ] {
        let raised = Raised::by(&mut client, &sql);
        assert_eq!(raised.code, code, "{sql}");
        assert_eq!(raised.hint.is_some(), code == "22023", "{raised:?}");
    }
    assert_eq!(cell(&mut client, &status).as_deref(), Some("open"), "errors change nothing");
    after(&mut client, "DROP ROLE ann");
    assert_eq!(cell(&mut client, &status).as_deref(), Some("fixed"));
    assert_eq!(Raised::by(&mut client, &accept("NULL")).code, "55000");
    let reopen = format!("SELECT scram.reopen_finding({finding})");
    assert_eq!(Raised::by(&mut client, &reopen).code, "55000");
}

/// The number is enough; the note and the time are left out, or each is given.
#[test]
fn an_acceptance_ends_when_it_is_taken_back() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    after(&mut client, "CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL 'infinity'");
    let finding = "(SELECT finding_id FROM scram.audit_finding
                    WHERE subject = 'ann' AND check_id = 'password_is_name')";
    let state = format!(
        "SELECT concat_ws('|', status, accepted_until, note) FROM scram.audit_finding WHERE finding_id = {finding}"
    );
    for (sql, expected) in [
        ("reopen_finding(FINDING)", "open"),
        ("accept_finding(FINDING)", "accepted"),
        ("accept_finding(FINDING, 'infinity')", "accepted|infinity"),
        ("accept_finding(FINDING, note => 'known')", "accepted|known"),
        ("reopen_finding(FINDING)", "open|known"),
        ("reopen_finding(FINDING)", "open|known"),
    ] {
        cell(&mut client, &format!("SELECT scram.{}", sql.replace("FINDING", finding)));
        assert_eq!(cell(&mut client, &state).as_deref(), Some(expected), "{sql}");
    }
    assert_eq!(Raised::by(&mut client, "SELECT scram.reopen_finding(4711)").code, "42704");
    assert_eq!(Raised::by(&mut client, "SELECT scram.reopen_finding(NULL)").code, "22004");
}

#[test]
fn many_findings_are_accepted_at_once() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for name in ["app_1", "app_2", "apple", "ann"] {
        let role = format!("CREATE ROLE {name} LOGIN PASSWORD '{name}' VALID UNTIL '2020-01-01'");
        client.batch_execute(&role).expect("a role");
    }
    after(&mut client, "");
    let stood = "SELECT string_agg(concat_ws(' ', subject, check_id, status, note), ', ' ORDER BY subject, check_id)
                 FROM scram.audit_finding WHERE status = 'accepted'";
    let accept = |client: &mut Client, arguments: &str| {
        cell(client, &format!("SELECT scram.accept_findings({arguments})")).expect("a count")
    };
    // LIKE with its escapes, on one check only.
    assert_eq!(accept(&mut client, r"'password_expired', 'app\_%', note => 'one'"), "2");
    // An accepted finding keeps its note.
    assert_eq!(accept(&mut client, "'password_expired', 'app%', NULL, 'two'"), "1");
    let expected = "app_1 password_expired accepted one, app_2 password_expired accepted one, \
                    apple password_expired accepted two";
    assert_eq!(cell(&mut client, stood).as_deref(), Some(expected));
    // Without a pattern, and with NULL for it: all.
    assert_eq!(accept(&mut client, "'password_expired'"), "1");
    assert_eq!(accept(&mut client, "'password_is_name', NULL"), "4");
    assert_eq!(accept(&mut client, "'password_is_name'"), "0");
    // An acceptance whose time is over is open, before the next run says so.
    let over =
        "UPDATE scram.audit_finding SET accepted_until = now() WHERE check_id = 'password_is_name'";
    client.batch_execute(over).expect("time passes");
    assert_eq!(accept(&mut client, "'password_is_name', 'ann', now() + interval '1 day'"), "1");
    let kept = "SELECT scram.audit_report('json')::jsonb -> 'summary' ->> 'accepted'";
    assert_eq!(cell(&mut client, kept).as_deref(), Some("5"));

    for (arguments, code) in [
        ("NULL", "22004"),
        ("'no_such_check'", "42704"),
        ("'password_is_name', '%', '2020-01-01'", "22023"),
        ("'password_is_name', repeat('%', 1025)", "22023"),
        ("'password_is_name', '%', NULL, repeat('x', 8193)", "22023"),
    ] {
        let sql = format!("SELECT scram.accept_findings({arguments})");
        assert_eq!(Raised::by(&mut client, &sql).code, code, "{sql}");
    }
}

/// With the grants of docs/audit.md for it; without them each one is refused.
#[test]
fn an_auditor_accepts_with_the_rights_on_the_table() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    after(&mut admin, "CREATE ROLE ann LOGIN PASSWORD 'ann'; CREATE ROLE auditor LOGIN");
    let mut auditor = cluster.client_as("auditor", "postgres");
    let calls = [
        "SELECT scram.accept_findings('password_is_name')",
        "SELECT scram.reopen_finding(finding_id) FROM (SELECT 1::bigint AS finding_id) f",
        "SELECT scram.accept_finding(1)",
    ];
    for grant in [
        "EXECUTE ON FUNCTION scram.accept_finding(bigint, timestamptz, text),
            scram.accept_findings(text, text, timestamptz, text), scram.reopen_finding(bigint)",
        "SELECT ON scram.audit_finding",
        "UPDATE (status, accepted_until, note) ON scram.audit_finding",
    ] {
        for call in calls {
            assert_eq!(Raised::by(&mut auditor, call).code, "42501", "{call} before {grant}");
        }
        admin.batch_execute(&format!("GRANT {grant} TO auditor")).expect(grant);
    }
    for call in calls {
        assert_eq!(rows(&mut auditor, call).len(), 1, "{call}");
    }
}

/// The number of an audit after these statements.
fn after(client: &mut Client, statements: &str) -> String {
    client.batch_execute(statements).expect(statements);
    cell(client, "CALL scram.run_audit()").expect("a run")
}
