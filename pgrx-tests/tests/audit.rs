//! The audit on a cluster with good and bad roles: its findings, the rows that a run stores, and
//! the changes that a second run makes.

use std::collections::BTreeSet;
use std::thread::{self, JoinHandle};

use postgres::Client;
use scram_ext_client_tests::{Cluster, cell, fixtures, rows, until};

/// Good roles and bad ones. Passwords of roles that should only be bad in one way are random.
const SEED: &str = r"
INSERT INTO scram.audit_policy (check_id, action) VALUES ('login_without_password', 'notice');
SELECT pg_temp.make_role('good', scram.generate(pg_temp.password()));
SELECT pg_temp.make_role('good_too', scram.generate(pg_temp.password(), 20000));

SELECT pg_temp.make_role('old_hash', 'md5' || md5('whatever' || 'old_hash'));
SELECT pg_temp.make_role('broken', 'SCRAM-SHA-256$4096:Y3V0IG9mZg==');
-- PostgreSQL reads the count with strtol: it lets this role log in.
SELECT pg_temp.make_role('lax', replace(scram.generate(pg_temp.password()), '$4096:', '$ 4096:'));

SET scram.min_iterations = 1000;
SELECT pg_temp.make_role('cheap', scram.generate(pg_temp.password(), 1000));
RESET scram.min_iterations;

SELECT pg_temp.make_role('same_salt_1', scram.generate(pg_temp.password(), 4096, '\x000102030405060708090a0b0c0d0e0f'));
SELECT pg_temp.make_role('same_salt_2', scram.generate(pg_temp.password(), 4096, '\x000102030405060708090a0b0c0d0e0f'));
SELECT pg_temp.make_role('copied_1', scram.generate(pg_temp.password()));
SELECT pg_temp.make_role('copied_2', (SELECT rolpassword FROM pg_authid WHERE rolname = 'copied_1'));

SELECT pg_temp.make_role('Jürgen', scram.generate('Jürgen'));
SELECT pg_temp.make_role('old_name', 'md5' || md5('old_name' || 'old_name'));

SELECT pg_temp.make_role('no_password', NULL);
CREATE ROLE a_group;

SELECT pg_temp.make_role('expired', scram.generate(pg_temp.password()));
ALTER ROLE expired VALID UNTIL '2020-01-01';
SELECT pg_temp.make_role('valid', scram.generate(pg_temp.password()));
ALTER ROLE valid VALID UNTIL 'infinity';
";

/// The expected findings of the checks that are named there. These checks must find nothing else.
const EXPECTED: &[(&str, &str)] = &[
    ("old_hash", "md5_hash"),
    ("old_name", "md5_hash"),
    ("broken", "scram_malformed"),
    ("lax", "scram_lax"),
    ("cheap", "iterations_below_policy"),
    ("same_salt_1", "salt_shared"),
    ("same_salt_2", "salt_shared"),
    ("copied_1", "verifier_shared"),
    ("copied_2", "verifier_shared"),
    ("Jürgen", "password_is_name"),
    ("old_name", "password_is_name"),
    ("no_password", "login_without_password"),
    ("postgres", "login_without_password"),
    ("expired", "password_expired"),
];

#[test]
fn the_bad_roles_are_found_and_the_good_ones_are_not() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute(&[fixtures::ROLES, SEED].concat()).expect("the roles");

    let found = findings(&mut client, "scram.audit()");
    assert_eq!(found, expected(&[]), "scram.audit()");
    // The severity is that of the check, and every check has a remedy.
    let odd = "SELECT a.check_id, a.severity, c.severity FROM scram.audit() a
               LEFT JOIN scram.audit_checks() c USING (check_id)
               WHERE a.severity IS DISTINCT FROM c.severity OR a.evidence = '' OR a.evidence IS NULL";
    assert_eq!(rows(&mut client, odd), Vec::<Vec<_>>::new());
    let odd = "SELECT * FROM scram.audit_checks()
               WHERE severity NOT IN ('critical', 'warning', 'notice')
                  OR check_id !~ '^[a-z0-9_]+$' OR coalesce(title, '') = '' OR coalesce(remedy, '') = ''";
    assert_eq!(rows(&mut client, odd), Vec::<Vec<_>>::new());
    // The function stores no run.
    assert_eq!(cell(&mut client, "SELECT count(*) FROM scram.audit_run").as_deref(), Some("0"));
    assert_no_secret(&mut client, "scram.audit()");
}

#[test]
fn a_run_is_stored_and_the_next_one_compared_with_it() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute(&[fixtures::ROLES, SEED].concat()).expect("the roles");

    // The value given is ignored.
    let first = cell(&mut client, "CALL scram.run_audit(NULL, -7)").expect("a run");
    assert_ne!(first, "-7");
    let run = |client: &mut Client, id: &str| {
        let columns = "status, finished_at >= started_at, subjects,
                       (SELECT count(*) FROM scram.audit_finding WHERE first_run = run_id) = findings_new,
                       (SELECT count(*) FROM scram.audit_finding WHERE status = 'open') = findings_open,
                       (SELECT count(*) FROM scram.audit_finding WHERE status = 'fixed') = findings_fixed";
        let sql = format!("SELECT {columns} FROM scram.audit_run WHERE run_id = {id}");
        let mut rows = rows(client, &sql);
        assert_eq!(rows.len(), 1, "{sql}");
        rows.remove(0).into_iter().map(|cell| cell.unwrap_or_default()).collect::<Vec<_>>()
    };
    let [status, ended, subjects, new, open, fixed] =
        <[String; 6]>::try_from(run(&mut client, &first)).expect("six columns");
    assert_eq!([&*status, &ended, &new, &open, &fixed], ["done", "t", "t", "t", "t"]);
    let roles = cell(&mut client, "SELECT count(*) FROM pg_authid WHERE rolname !~ '^pg_'");
    let (subjects, roles): (u32, u32) =
        (subjects.parse().expect("a number"), roles.unwrap_or_default().parse().expect("a number"));
    assert!(subjects >= roles, "{subjects} subjects, {roles} roles");
    assert_eq!(findings(&mut client, "scram.audit_finding"), expected(&[]));
    assert_no_secret(&mut client, "scram.audit_finding");

    // One is put right, one is new, the others stay.
    client
        .batch_execute(
            "ALTER ROLE old_hash PASSWORD 'a new and long one';
             ALTER ROLE valid VALID UNTIL '2021-01-01'",
        )
        .expect("changes");
    let second = cell(&mut client, "CALL scram.run_audit()").expect("a run");
    assert_ne!(second, first);
    let history = "SELECT subject, check_id, status, first_run, last_run FROM scram.audit_finding
                   WHERE (subject, check_id) IN (('old_hash', 'md5_hash'), ('valid', 'password_expired'),
                                                 ('cheap', 'iterations_below_policy'))
                   ORDER BY subject";
    let history: Vec<_> = rows(&mut client, history)
        .into_iter()
        .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        history,
        [
            format!("cheap iterations_below_policy open {first} {second}"),
            format!("old_hash md5_hash fixed {first} {first}"),
            format!("valid password_expired open {second} {second}"),
        ]
    );
    let [status, _, _, new, open, fixed] =
        <[String; 6]>::try_from(run(&mut client, &second)).expect("six columns");
    assert_eq!([&*status, &new, &open, &fixed], ["done", "t", "t", "t"]);
}

#[test]
fn one_run_at_a_time_and_a_killed_one_is_not_forgotten() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let mut watcher = cluster.client();
    let text = |value: &str| Some(value.to_owned());

    // A run that waits in its middle: other sessions can see the rows that it has committed so far.
    client.batch_execute("BEGIN; LOCK scram.audit_finding").expect("a lock");
    let running = run_in_the_background(&cluster);
    until("the run waits", || {
        let waiting = "SELECT count(*) FROM scram.audit_run r, pg_locks l
                       WHERE r.status = 'running' AND NOT l.granted
                         AND l.relation = 'scram.audit_finding'::regclass";
        (cell(&mut watcher, waiting) == text("1")).then_some(())
    });
    assert_eq!(cell(&mut watcher, "CALL scram.run_audit()"), None, "a second one");
    client.batch_execute("COMMIT").expect("the lock is gone");
    assert!(running.join().expect("the thread").is_ok(), "the first one goes on");
    let runs = "SELECT status FROM scram.audit_run ORDER BY run_id";
    assert_eq!(rows(&mut watcher, runs), [[text("done")]]);

    // A run whose session is killed.
    client.batch_execute("BEGIN; LOCK scram.audit_finding").expect("a lock");
    let running = run_in_the_background(&cluster);
    until("the run could be killed", || {
        // The run's status is not asked for, because it changes with the kill.
        let kill = "SELECT count(*) FROM pg_locks l
                    WHERE NOT l.granted AND l.relation = 'scram.audit_finding'::regclass
                      AND pg_terminate_backend(l.pid)";
        (cell(&mut watcher, kill) == text("1")).then_some(())
    });
    assert!(running.join().expect("the thread").is_err(), "it was killed");
    client.batch_execute("COMMIT").expect("the lock is gone");
    until("its session is gone", || cell(&mut watcher, "CALL scram.run_audit()"));
    let expected = [[text("done")], [text("interrupted")], [text("done")]];
    assert_eq!(rows(&mut watcher, runs), expected);
}

/// A session whose run was cancelled does not block another run.
#[test]
fn a_cancelled_run_is_over_though_its_session_lives() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let mut locker = cluster.client();
    let mut session = cluster.client();
    let token = session.cancel_token();
    locker.batch_execute("BEGIN; LOCK scram.audit_finding").expect("a lock");
    let waiting = "SELECT count(*) FROM pg_locks l
                   WHERE NOT l.granted AND l.relation = 'scram.audit_finding'::regclass";
    let running = thread::spawn(move || {
        session.batch_execute("CALL scram.run_audit()").expect_err("it is cancelled");
        session
    });
    let mut watcher = cluster.client();
    until("the run waits", || (cell(&mut watcher, waiting).as_deref() == Some("1")).then_some(()));
    token.cancel_query(postgres::NoTls).expect("a cancel");
    let mut session = running.join().expect("the thread");
    locker.batch_execute("COMMIT").expect("the lock is gone");

    until("an audit runs beside an idle session", || cell(&mut client, "CALL scram.run_audit()"));
    assert_eq!(cell(&mut session, "SELECT 1").as_deref(), Some("1"), "it is still there");
    let statuses = "SELECT string_agg(status, ' ' ORDER BY run_id) FROM scram.audit_run";
    assert_eq!(cell(&mut client, statuses).as_deref(), Some("interrupted done"));
}

/// `CALL run_audit()` in a session of its own.
fn run_in_the_background(cluster: &Cluster) -> JoinHandle<Result<(), postgres::Error>> {
    let mut session = cluster.client();
    thread::spawn(move || session.batch_execute("CALL scram.run_audit()"))
}

/// The findings of the checks that [`EXPECTED`] names, about roles.
fn findings(client: &mut Client, relation: &str) -> BTreeSet<(String, String)> {
    let sql = format!(
        "SELECT subject, check_id FROM {relation} WHERE source = 'role' AND check_id IN ({})",
        EXPECTED.iter().map(|(_, check)| format!("'{check}'")).collect::<Vec<_>>().join(", ")
    );
    let mut found = BTreeSet::new();
    for row in rows(client, &sql) {
        let [Some(subject), Some(check)] = <[_; 2]>::try_from(row).expect("two columns") else {
            panic!("a NULL in a finding");
        };
        assert!(found.insert((subject.clone(), check.clone())), "twice: {subject} {check}");
    }
    // Roles that share a verifier share its salt too, and the audit may report that once or twice.
    found.retain(|(subject, check)| !(subject.starts_with("copied_") && check == "salt_shared"));
    found
}

fn expected(more: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    EXPECTED.iter().chain(more).map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// No column holds a part of a stored secret, or a salt.
fn assert_no_secret(client: &mut Client, relation: &str) {
    let sql = format!(
        r"SELECT r.subject, r.check_id FROM {relation} r, pg_authid a,
             unnest(string_to_array(translate(a.rolpassword, '$:', '  '), ' ')) part
         WHERE length(part) > 6 AND part !~ '^SCRAM-' AND strpos(r::text, part) > 0"
    );
    assert_eq!(rows(client, &sql), Vec::<Vec<_>>::new(), "{relation} shows part of a secret");
}
