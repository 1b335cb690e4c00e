//! scram.audit_policy: checks that are off, other severities, and which row decides.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows};

/// Roles with one expired password each, so that each has one finding.
const ROLES: &str = "CREATE ROLE staff; CREATE ROLE lead IN ROLE staff;
     CREATE ROLE ann LOGIN PASSWORD 'Xq8-1' VALID UNTIL '2020-01-01' IN ROLE lead;
     CREATE ROLE app_1 LOGIN PASSWORD 'Xq8-2' VALID UNTIL '2020-01-01';
     CREATE ROLE app_2 LOGIN PASSWORD 'Xq8-3' VALID UNTIL '2020-01-01' IN ROLE staff;
     CREATE ROLE bob LOGIN SUPERUSER PASSWORD 'Xq8-4' VALID UNTIL '2020-01-01'";

const LIVE: &str =
    "SELECT string_agg(subject || ' ' || severity, ', ' ORDER BY subject) FROM scram.audit()
                    WHERE check_id = 'password_expired'";
const STORED: &str =
    "SELECT string_agg(subject || ' ' || severity, ', ' ORDER BY subject) FROM scram.audit_finding
                      WHERE check_id = 'password_expired' AND status = 'open' AND NOT is_off";

/// The rows of a table of policies, the most specific first. Without a row that fits, the check decides.
#[test]
fn the_most_specific_row_decides() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute(ROLES).expect("roles");
    let all = "ann warning, app_1 warning, app_2 warning, bob critical";
    for (policies, expected) in [
        ("", all),
        ("(NULL, NULL, NULL, 'off')", ""),
        (
            "('password_expired', NULL, NULL, 'notice')",
            "ann notice, app_1 notice, app_2 notice, bob notice",
        ),
        ("('md5_hash', NULL, NULL, 'off'), (NULL, 'server', NULL, 'off')", all),
        // A name counts more than a pattern, a pattern more than a group, a group more than any subject.
        (
            r"(NULL, NULL, NULL, 'off'), (NULL, NULL, 'member of staff', 'critical'), (NULL, NULL, 'app%', 'notice'), (NULL, NULL, 'app_1', 'warning')",
            "ann critical, app_1 warning, app_2 notice",
        ),
        // Also a name with a character that LIKE knows.
        (
            r"(NULL, NULL, 'app_1', 'notice'), (NULL, NULL, 'app\_2', 'notice'), (NULL, NULL, 'app%', 'off')",
            "ann warning, app_1 notice, app_2 notice, bob critical",
        ),
        (
            "(NULL, NULL, 'bob', 'notice'), (NULL, NULL, 'b%', 'off'), ('password_expired', 'role', 'b%', 'off')",
            "ann warning, app_1 warning, app_2 warning, bob notice",
        ),
        // Members of members, and not every superuser.
        ("(NULL, NULL, 'member of staff', 'off')", "app_1 warning, bob critical"),
        // The source counts more than the check.
        (
            "('password_expired', NULL, NULL, 'off'), (NULL, 'role', NULL, 'notice')",
            "ann notice, app_1 notice, app_2 notice, bob notice",
        ),
        ("(NULL, 'role', NULL, 'notice'), ('password_expired', 'role', NULL, 'off')", ""),
        // Of equal rows the newest.
        (
            "(NULL, NULL, NULL, 'off'), (NULL, NULL, NULL, 'notice')",
            "ann notice, app_1 notice, app_2 notice, bob notice",
        ),
        (r"(NULL, NULL, 'app\_1', 'off')", "ann warning, app_2 warning, bob critical"),
    ] {
        client.batch_execute("DELETE FROM scram.audit_policy").expect("no policy");
        if !policies.is_empty() {
            let insert = format!(
                "INSERT INTO scram.audit_policy (check_id, source, subject, action) VALUES {policies}"
            );
            client.batch_execute(&insert).expect(&insert);
        }
        assert_eq!(cell(&mut client, LIVE).unwrap_or_default(), expected, "audit(): {policies}");
        client.batch_execute("CALL scram.run_audit()").expect("a run");
        assert_eq!(cell(&mut client, STORED).unwrap_or_default(), expected, "a run: {policies}");
    }
    let over = "DELETE FROM scram.audit_policy;
                INSERT INTO scram.audit_policy (action, until) VALUES ('off', now() - interval '1 second')";
    client.batch_execute(over).expect("a policy that has ended");
    assert_eq!(cell(&mut client, LIVE).as_deref(), Some(all));
}

#[test]
fn some_checks_are_off_until_a_policy_names_them() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute("CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN PASSWORD 'Xq8-bob'")
        .expect("roles");
    let found =
        "SELECT string_agg(check_id || ' ' || severity, ', ' ORDER BY check_id) FROM scram.audit()
                 WHERE subject IN ('ann', 'bob')";
    for (policy, expected) in [
        ("(NULL, 'critical')", None),
        ("('password_never_expires', 'off')", None),
        ("('password_never_expires', 'notice')", Some("password_never_expires notice")),
        (
            "('login_without_password', 'critical')",
            Some("login_without_password critical, password_never_expires notice"),
        ),
        ("('password_never_expires', 'off')", Some("login_without_password critical")),
    ] {
        let insert = format!("INSERT INTO scram.audit_policy (check_id, action) VALUES {policy}");
        client.batch_execute(&insert).expect(&insert);
        assert_eq!(cell(&mut client, found).as_deref(), expected, "{policy}");
    }
}

/// What is off stands as the last run left it: neither fixed nor open, and the same finding afterwards.
#[test]
fn what_is_off_stands() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL '2020-01-01';
             CREATE TABLE account (name text, secret text);
             INSERT INTO account VALUES ('eve', 'hunter2'), ('fay', 'hunter3');
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret')",
        )
        .expect("roles");
    run(&mut client);
    let state = "SELECT string_agg(concat_ws(' ', subject, status, is_off, first_run, last_run), ', ' ORDER BY subject)
                 FROM scram.audit_finding WHERE check_id IN ('password_expired', 'password_is_name', 'password_plain_text')";
    let counts = "SELECT findings_open || ' ' || findings_new || ' ' || findings_fixed || coalesce(' ' || hidden, '')
                  FROM scram.audit_run ORDER BY run_id DESC LIMIT 1";
    let standing = "ann open f 1 1, ann open f 1 1, eve open f 1 1, fay open f 1 1";
    assert_eq!(cell(&mut client, state).as_deref(), Some(standing));
    assert_eq!(cell(&mut client, counts).as_deref(), Some("6 6 0"));

    client
        .batch_execute(
            "INSERT INTO scram.audit_policy (check_id, source, subject, action, note)
             VALUES ('password_plain_text', 'app', NULL, 'off', 'until the application is replaced'),
                    (NULL, NULL, 'ann', 'off', NULL)",
        )
        .expect("policies");
    run(&mut client);
    let off = "ann open t 1 1, ann open t 1 1, eve open t 1 1, fay open t 1 1";
    assert_eq!(cell(&mut client, state).as_deref(), Some(off));
    let hidden =
        "4 findings: 2 password_plain_text, 1 password_expired on ann, 1 password_is_name on ann";
    assert_eq!(cell(&mut client, counts), Some(format!("2 0 0 {hidden}")));
    assert_eq!(rows(&mut client, "SELECT * FROM scram.audit_diff(1, 2)").len(), 0);
    assert_eq!(rows(&mut client, "SELECT * FROM scram.audit_diff(2, 1)").len(), 0);
    let report = cell(&mut client, "SELECT scram.audit_report()").expect("a report");
    let line: String = report.replace('\n', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(line.contains(&format!("Policy hides {hidden}.")), "{report}");
    let json = "SELECT scram.audit_report('json')::jsonb -> 'run' ->> 'hidden'";
    assert_eq!(cell(&mut client, json).as_deref(), Some(hidden));
    assert!(
        cell(&mut client, "SELECT scram.audit_report('html')")
            .expect("a page")
            .contains("Policy hides 4")
    );

    // A finding that is gone meanwhile stands until the check is on again; one that is new is not stored.
    client
        .batch_execute("UPDATE account SET secret = scram.generate('Xq8') WHERE name = 'fay'; INSERT INTO account VALUES ('gus', 'hunter4')")
        .expect("changes");
    run(&mut client);
    assert_eq!(cell(&mut client, state).as_deref(), Some(off));
    client.batch_execute("DELETE FROM scram.audit_policy").expect("no policy");
    run(&mut client);
    let back = "ann open f 1 4, ann open f 1 4, eve open f 1 4, fay fixed f 1 1, gus open f 4 4";
    assert_eq!(cell(&mut client, state).as_deref(), Some(back));
    assert_eq!(cell(&mut client, counts).as_deref(), Some("6 1 1"));
}

/// A severity of the site's is no fact of the finding.
#[test]
fn a_severity_keeps_the_acceptance() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute("CREATE ROLE ann LOGIN PASSWORD 'Xq8' VALID UNTIL '2020-01-01'")
        .expect("a role");
    run(&mut client);
    client
        .batch_execute(
            "SELECT scram.accept_findings('password_expired');
             INSERT INTO scram.audit_policy (check_id, action) VALUES ('password_expired', 'critical')",
        )
        .expect("a policy");
    run(&mut client);
    let found = "SELECT status || ' ' || severity FROM scram.audit_finding WHERE check_id = 'password_expired'";
    assert_eq!(cell(&mut client, found).as_deref(), Some("accepted critical"));
    assert_eq!(
        rows(&mut client, "SELECT * FROM scram.audit_diff(1, 2) WHERE change = 'changed'").len(),
        1
    );
}

/// A role that may write policies cannot make runs last for hours: the newest of rows about the same decides.
#[test]
fn many_policies_about_a_large_group_take_no_time() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE staff;
             DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE ROLE u%s IN ROLE staff', i); END LOOP; END $$;
             CREATE ROLE ann LOGIN PASSWORD 'Xq8' VALID UNTIL '2020-01-01' IN ROLE staff;
             INSERT INTO scram.audit_policy (subject, action) SELECT 'member of staff', 'off' FROM generate_series(1, 3000);
             INSERT INTO scram.audit_policy (subject, action) VALUES ('member of staff', 'critical');
             INSERT INTO scram.audit_policy (subject, action, until) VALUES ('member of staff', 'off', '2020-01-01')",
        )
        .expect("policies");
    client.batch_execute("SET statement_timeout = '20s'").expect("a setting");
    let found = "SELECT severity FROM scram.audit() WHERE subject = 'ann' AND check_id = 'password_expired'";
    assert_eq!(cell(&mut client, found).as_deref(), Some("critical"));
}

#[test]
fn a_policy_is_checked() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for (columns, values, code) in [
        ("check_id, action", "'no_such_check', 'off'", "42704"),
        ("action", "'on'", "23514"),
        ("check_id", "'md5_hash'", "23502"),
        ("subject, action", "'member of ', 'off'", "22023"),
        ("subject, action", r"'a%\', 'off'", "22025"),
        ("subject, action", "'member of ' || repeat('x', 64), 'off'", "22023"),
        ("source, subject, action", "'app', 'member of postgres', 'off'", "22023"),
        ("subject, action", "repeat('x', 1025), 'off'", "23514"),
        ("note, action", "repeat('x', 8193), 'off'", "23514"),
    ] {
        let insert = format!("INSERT INTO scram.audit_policy ({columns}) VALUES ({values})");
        assert_eq!(Raised::by(&mut client, &insert).code, code, "{insert}");
    }
    client
        .batch_execute(
            "INSERT INTO scram.audit_policy (source, subject, action) VALUES ('role', 'member of postgres', 'off');
             INSERT INTO scram.audit_policy (subject, action) VALUES ('member of a missing one', 'off')",
        )
        .expect("policies");
    client.batch_execute("CREATE ROLE ann LOGIN").expect("a role");
    let mut ann = cluster.client_as("ann", "postgres");
    assert_eq!(Raised::by(&mut ann, "TABLE scram.audit_policy").code, "42501");

    // Rows survive a dump, and so do their numbers.
    cluster.copy_database("postgres", "copy", true);
    let mut copy = cluster.client_as("postgres", "copy");
    let all = "SELECT string_agg(p::text, ' ' ORDER BY policy_id) FROM scram.audit_policy p";
    assert_eq!(cell(&mut copy, all), cell(&mut client, all));
    copy.batch_execute("INSERT INTO scram.audit_policy (action) VALUES ('off')").expect("one more");
}

fn run(client: &mut Client) {
    client.batch_execute("CALL scram.run_audit()").expect("a run");
}
