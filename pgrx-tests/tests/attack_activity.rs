//! Attacks on the text of a running statement: it is in shared memory, where other sessions can see
//! it and other processes can print it.

use std::thread;

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, text, until};

const PASSWORD: &str = "Zq8-hunter2-unmistakable";

fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::start();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE EXTENSION scram_ext; CREATE ROLE alice LOGIN PASSWORD 'mine';
             CREATE FUNCTION set_by_function(role name, secret text) RETURNS text LANGUAGE plpgsql AS
                 'BEGIN PERFORM scram.set_role_password(role, secret); RETURN ''done''; END'",
        )
        .expect("roles");
    (cluster, admin)
}

/// Each function that is called with a secret, while it waits for the lock on a role.
fn calls() -> Vec<(&'static str, String)> {
    vec![
        ("postgres", format!("SELECT scram.set_role_password('alice', '{PASSWORD}')")),
        ("postgres", format!("SELECT set_by_function('alice', '{PASSWORD}')")),
        (
            "postgres",
            format!(
                "SELECT scram.set_role_verifier('alice', scram.generate('{PASSWORD}', salt => sha256('x')))"
            ),
        ),
        ("alice", format!("SELECT scram.change_own_password('mine', '{PASSWORD}')")),
        ("alice", format!("SELECT scram.change_own_password('{PASSWORD}', 'other')")),
    ]
}

#[test]
fn no_other_session_sees_the_statement() {
    let (cluster, mut admin) = cluster();
    let lock = "BEGIN; SELECT count(scram.set_role_password('alice', 'locked'))";
    for (user, call) in calls() {
        let mut holder = cluster.client();
        holder.batch_execute(lock).expect("a lock on the role");
        let mut session = cluster.client_as(user, "postgres");
        let pid = cell(&mut session, "SELECT pg_backend_pid()").expect("a process");
        let waiting = thread::spawn({
            let call = call.clone();
            move || {
                let _ = session.simple_query(&call);
                session
            }
        });
        let activity = format!("SELECT query FROM pg_stat_activity WHERE pid = {pid}");
        let waits = format!("{activity} AND wait_event_type = 'Lock'");
        let seen = until("it waits for the lock", || {
            let rows = scram_ext_client_tests::rows(&mut admin, &waits);
            rows.into_iter().next().map(|row| row[0].clone().expect("a text"))
        });
        assert_eq!(seen, "<statement with a password, hidden by scram_ext>", "{call}");
        holder.batch_execute("ROLLBACK").expect("unlocked");
        let mut session = waiting.join().expect("the call");
        // Afterwards, while the session is idle, too.
        let idle = until("it is idle", || {
            let idle = format!("{activity} AND state = 'idle'");
            let rows = scram_ext_client_tests::rows(&mut admin, &idle);
            rows.into_iter().next().map(|row| row[0].clone().expect("a text"))
        });
        assert!(!idle.contains(PASSWORD), "{call}: {idle}");
        // The next statement is shown as usual.
        assert_eq!(cell(&mut session, &activity), text(&activity));
        admin.batch_execute("ALTER ROLE alice PASSWORD 'mine'").expect("as before");
    }
}

/// The report of a deadlock shows the statements of all sessions in it, and one of them writes it.
#[test]
fn a_deadlock_report_holds_no_statement_with_a_secret() {
    let (cluster, mut admin) = cluster();
    admin.batch_execute("CREATE TABLE crossing ()").expect("a table");
    let mut victim = cluster.client();
    victim
        .batch_execute("BEGIN; SELECT count(scram.set_role_password('alice', 'locked'))")
        .expect("a lock on the role");
    let mut caller = cluster.client();
    caller
        .batch_execute(
            "SET log_lock_waits = on; SET deadlock_timeout = '10ms'; BEGIN; LOCK TABLE crossing",
        )
        .expect("a lock on the table");
    let waiting = thread::spawn(move || {
        let call = format!("SELECT scram.set_role_password('alice', '{PASSWORD}')");
        caller.simple_query(&call).map(drop)
    });
    // By then the caller has checked for a deadlock, and it does not check again.
    until("the caller says that it waits", || {
        cluster.log().contains("still waiting").then_some(())
    });
    let raised = Raised::by(&mut victim, "LOCK TABLE crossing");
    assert_eq!(raised.code, "40P01", "{raised:?}");
    waiting.join().expect("the call").expect("the role's lock");
    let log = cluster.log();
    assert!(log.contains(": <statement with a password, hidden by scram_ext>"), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}

/// The postmaster logs the statement that a crashed process was running.
#[test]
fn a_crash_message_holds_no_statement_with_a_secret() {
    let (cluster, mut admin) = cluster();
    let mut holder = cluster.client();
    holder
        .batch_execute("BEGIN; SELECT count(scram.set_role_password('alice', 'locked'))")
        .expect("a lock on the role");
    let mut session = cluster.client();
    let pid = cell(&mut session, "SELECT pg_backend_pid()").expect("a process");
    let call = format!("SELECT scram.set_role_password('alice', '{PASSWORD}')");
    let waiting = thread::spawn(move || session.simple_query(&call).map(drop));
    until("it waits for the lock", || {
        let waits = format!(
            "SELECT nullif(count(*), 0) FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock'"
        );
        cell(&mut admin, &waits)
    });
    assert!(cluster.kill_session(pid.parse().expect("a number")));
    assert!(waiting.join().expect("the call").is_err());
    let log = cluster.log();
    assert!(log.contains("was running: <statement with a password"), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}
