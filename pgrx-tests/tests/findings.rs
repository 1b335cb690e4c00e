//! The later life of findings: compared between runs, pruned, told to listeners.

use std::thread;

use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, NoTls};
use scram_ext_client_tests::{Cluster, Raised, Run, cell, make_role, rows, until};

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
        // A finding that was fixed in between and came back makes no difference.
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
    assert_eq!(cell(&mut client, "SELECT scram.prune_audit('20 days')").as_deref(), Some("3"));
    assert_eq!(cell(&mut client, "SELECT count(*) FROM scram.audit_run").as_deref(), Some("0"));
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
    let negative =
        ["-1 day", "-6 months", "1 day -1 month", "-1 month 30 days -1 second", "-178000000 years"];
    for keep in negative {
        let raised = Raised::by(&mut client, &format!("SELECT scram.prune_audit('{keep}')"));
        assert_eq!(raised.code, "22023", "{keep}: {raised:?}");
    }
}

/// Months are those of the calendar, and no interval is too long.
#[test]
fn runs_are_kept_for_months() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "INSERT INTO scram_internal.stored_run (started_at, status)
             SELECT clock_timestamp() - age, 'done'
             FROM unnest(ARRAY['1 year', '6 months 1 hour', '6 months -1 hour', '1 month -1 hour']::interval[]) age",
        )
        .expect("runs");
    for (keep, removed) in [
        ("178000000 years", "0"),
        ("2 years", "0"),
        ("6 months", "2"),
        ("6 mons -2 hours", "1"),
        ("P1M", "0"),
        ("0", "1"),
    ] {
        let sql = format!("SELECT scram.prune_audit('{keep}')");
        assert_eq!(cell(&mut client, &sql).as_deref(), Some(removed), "{keep}");
    }
}

#[test]
fn listeners_hear_what_is_new_and_only_how_much() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE anybody LOGIN VALID UNTIL 'infinity'").expect("a role");
    let mut listener = cluster.client_as("anybody", "postgres");
    listener.batch_execute("LISTEN scram_audit").expect("LISTEN needs no grant");

    let mut said = |client: &mut Client, statements: &str| {
        let run = after(client, statements);
        // The run sent its notifications before this one.
        client.batch_execute("NOTIFY scram_audit, 'end'").expect("an end");
        let mut heard = Vec::new();
        until("the end is heard", || {
            listener.batch_execute("SELECT").expect("a moment");
            let mut pending = listener.notifications();
            let all = pending.iter().map(|one| Ok(one.payload().to_owned())).collect::<Vec<_>>();
            heard.extend(all.expect("notifications"));
            (heard.last()? == "end").then_some(())
        });
        heard.pop();
        // The counts must equal those of the stored findings.
        let new = format!(
            "SELECT count(*) FILTER (WHERE severity = 'critical'), count(*) FILTER (WHERE severity = 'warning'),
                    count(*) FILTER (WHERE severity = 'notice'), count(*), (SELECT findings_new FROM scram.audit_run WHERE run_id = {run})
             FROM scram.audit_finding WHERE first_run = {run} AND status = 'open'"
        );
        let counts: Vec<String> = rows(client, &new).remove(0).into_iter().flatten().collect();
        assert_eq!(counts[3], counts[4], "findings_new");
        let expected = (counts[3] != "0").then(|| {
            let [critical, warning, notice] = [0, 1, 2].map(|at| counts[at].parse::<i64>().expect("a count"));
            let run: i64 = run.parse().expect("a number");
            serde_json::json!({"run_id": run, "new": {"critical": critical, "warning": warning, "notice": notice}})
        });
        let heard: Vec<serde_json::Value> =
            heard.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        assert_eq!(heard, Vec::from_iter(expected.clone()), "{statements}");
        expected.is_some()
    };

    assert!(said(&mut client, ""), "the server's own");
    assert!(!said(&mut client, ""), "nothing is new");
    assert!(said(&mut client, "CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL 'infinity'"));
    let accept = "SELECT scram.accept_finding(finding_id, now() + interval '1 day', 'for a test')
                  FROM scram.audit_finding WHERE subject = 'ann' AND check_id = 'password_is_name'";
    assert!(!said(&mut client, accept));
    let over = "UPDATE scram.audit_finding SET accepted_until = now() WHERE status = 'accepted'";
    assert!(!said(&mut client, over), "open again, but nothing new");
    assert!(!said(&mut client, "ALTER ROLE ann PASSWORD 'Zq8-unlike'"), "fixed");
    assert!(said(&mut client, "ALTER ROLE ann PASSWORD 'ann'"), "it came back");
    let stood = "SELECT string_agg(status, ' ' ORDER BY finding_id) FROM scram.audit_finding
                 WHERE subject = 'ann' AND check_id = 'password_is_name'";
    assert_eq!(cell(&mut client, stood).as_deref(), Some("fixed open"));
    assert!(!said(&mut client, "DROP ROLE ann"));
}

#[test]
fn who_is_gone_or_called_otherwise_leaves_no_ghost() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let open = "SELECT subject || ' ' || check_id FROM scram.audit_finding
                WHERE status = 'open' AND source = 'role' AND subject <> 'postgres' ORDER BY 1";
    let remembered = "SELECT coalesce(subject, 'nobody') FROM scram_internal.stored_secret
                      LEFT JOIN scram_internal.role_secret USING (digest) ORDER BY 1";
    client
        .batch_execute("SET password_encryption = 'md5'")
        .expect("hashes that a new name makes void");
    after(
        &mut client,
        "CREATE ROLE ann LOGIN PASSWORD 'x' VALID UNTIL '2020-01-01';
         SET password_encryption = 'scram-sha-256';
         CREATE ROLE bob LOGIN PASSWORD 'bob' VALID UNTIL '2020-01-01'",
    );
    let before =
        ["ann md5_hash", "ann password_expired", "bob password_expired", "bob password_is_name"];
    assert_eq!(column(&mut client, open), before);
    assert_eq!(column(&mut client, remembered), ["ann", "bob"]);
    // With an MD5 hash a role loses its password by it.
    after(&mut client, "ALTER ROLE ann RENAME TO anna; ALTER ROLE bob RENAME TO bobby");
    assert_eq!(column(&mut client, open), ["bobby password_expired"]);
    assert_eq!(column(&mut client, remembered), ["bobby"]);
    after(&mut client, "DROP ROLE anna; DROP ROLE bobby");
    assert_eq!(column(&mut client, open), [""; 0]);
    assert_eq!(column(&mut client, remembered), [""; 0]);
    // A new role of the same name starts without findings.
    after(&mut client, "CREATE ROLE bob LOGIN PASSWORD 'Zq8-unlike' VALID UNTIL '2100-01-01'");
    assert_eq!(column(&mut client, open), [""; 0]);
}

/// An interrupted run notifies no listener of its findings, so the next run does.
#[test]
fn what_an_interrupted_run_found_is_new_in_the_next() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let first = Run::call(&mut client);
    assert!(first.new > 0);
    make_role(&mut client, "ann", "scram.generate('ann')");
    make_role(&mut client, "slow", "scram.generate('Zq8-unlike', 900000)");
    client
        .batch_execute(
            "INSERT INTO scram.wordlist SELECT 'Zq8' || i FROM generate_series(1, 9000) i",
        )
        .expect("words");
    let mut session = cluster.client();
    let canceller = session.cancel_token();
    let running = thread::spawn(move || session.batch_execute("CALL scram.run_audit()"));
    until("it has found something", || {
        let found = "SELECT subject FROM scram.audit_finding WHERE check_id = 'password_is_name'";
        (!rows(&mut client, found).is_empty()).then_some(())
    });
    canceller.cancel_query(NoTls).expect("a cancel");
    assert!(running.join().expect("the thread").is_err(), "it had more to do");
    client.batch_execute("DROP ROLE slow").expect("dropped");
    // Repeat the call, because the cancelled session reports the error a moment before it is idle.
    until("the cancelled run is over", || cell(&mut client, "CALL scram.run_audit()"));
    let next = Run::all(&mut client).pop().expect("a run");
    let runs: Vec<_> = Run::all(&mut client).into_iter().map(|run| run.status).collect();
    assert_eq!(runs, ["done", "interrupted", "done"]);
    let fresh = format!("SELECT subject FROM scram.audit_finding WHERE first_run > {}", first.id);
    let fresh = column(&mut client, &format!("{fresh} AND status = 'open'"));
    assert!(fresh.contains(&"ann".to_owned()));
    assert_eq!(next.new, i64::try_from(fresh.len()).expect("a count"));
}

/// The number of an audit after these statements.
fn after(client: &mut Client, statements: &str) -> String {
    client.batch_execute(statements).expect(statements);
    cell(client, "CALL scram.run_audit()").expect("a run")
}

fn column(client: &mut Client, sql: &str) -> Vec<String> {
    rows(client, sql).into_iter().map(|mut row| row.remove(0).unwrap_or_default()).collect()
}

/// Evidence that counts days changes with each run: what it said goes with the runs that are removed.
#[test]
fn earlier_states_go_with_their_runs() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE ann LOGIN PASSWORD 'Xq8-ann'").expect("a role");
    for (year, run) in [(2020, 1), (2021, 2), (2022, 3)] {
        if run == 3 {
            // Only the first run is older than a day.
            client
                .batch_execute("UPDATE scram_internal.stored_run SET started_at = now() - interval '2 days' WHERE run_id = 1")
                .expect("an old run");
            let removed = cell(&mut client, "SELECT scram.prune_audit('1 day')");
            assert_eq!(removed.as_deref(), Some("1"));
        }
        client
            .batch_execute(&format!("ALTER ROLE ann VALID UNTIL '{year}-01-01'"))
            .expect("another time");
        client.batch_execute("CALL scram.run_audit()").expect("a run");
    }
    let earlier = "SELECT string_agg(e ->> 'until_run', ' ')
                   FROM scram.audit_finding f, jsonb_array_elements(f.earlier) e WHERE f.check_id = 'password_expired'";
    assert_eq!(cell(&mut client, earlier).as_deref(), Some("2"));
    let changed = "SELECT change FROM scram.audit_diff(2, 3) WHERE check_id = 'password_expired'";
    assert_eq!(cell(&mut client, changed).as_deref(), Some("changed"));
}
