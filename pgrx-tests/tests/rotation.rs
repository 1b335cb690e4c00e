//! Rotation: by pairs of roles without downtime, and many at once.

#[path = "rotation/load.rs"]
mod load;

use std::thread;

use postgres::Client;
use scram_ext_client_tests::foreign::{Foreign, Login};
use scram_ext_client_tests::{Cluster, Raised, cell, rows, until};

const PAIR: &str = "
CREATE ROLE app; CREATE ROLE app_a LOGIN PASSWORD 'first' IN ROLE app; CREATE ROLE app_b IN ROLE app;
SELECT scram.create_rotation('app', 'app', 'app_a', 'app_b')";

#[test]
fn a_pair_takes_turns() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute(PAIR).expect("a pair");
    assert_eq!(finish(&mut admin), (None, 0), "nothing pending");
    assert!(logs_in(&cluster, "app_a", "first"));

    let (role, lost) = rotate(&mut admin);
    assert_eq!(role, "app_b");
    assert!(logs_in(&cluster, &role, &lost));
    // If the answer was lost, the caller rotates again. The function never changes the active role.
    let (role, second) = rotate(&mut admin);
    assert_eq!(role, "app_b");
    assert!(logs_in(&cluster, "app_b", &second) && !logs_in(&cluster, "app_b", &lost));
    assert!(logs_in(&cluster, "app_a", "first"));

    // Sessions of the old role hold it up; those of the new one don't.
    let old = cluster.login("app_a", b"first").expect("a session");
    let new = cluster.login("app_b", second.as_bytes()).expect("a session");
    assert_eq!(finish(&mut admin), (None, 1));
    let pid = "SELECT pid FROM pg_stat_activity WHERE usename = 'app_a'";
    let pid = cell(&mut admin, pid).expect("a pid");
    assert!(logs_in(&cluster, "app_a", "first"), "until it is finished");
    let notice = notices(&cluster, "SELECT scram.finish_rotation('app')");
    assert!(notice.contains(&format!("1 open session(s), pid {pid}")), "{notice}");
    drop(old);
    let retired = until("the session has ended", || finish(&mut admin).0);
    assert_eq!(retired, "app_a");
    assert!(!logs_in(&cluster, "app_a", "first"));
    assert!(logs_in(&cluster, "app_b", &second));
    assert_eq!(finish(&mut admin), (None, 0), "again");
    drop(new);

    // And back.
    let (role, third) = rotate(&mut admin);
    assert_eq!(role, "app_a");
    assert!(logs_in(&cluster, "app_a", &third) && logs_in(&cluster, "app_b", &second));
    assert_eq!(until("no session is left", || finish(&mut admin).0), "app_b");

    let attributes = "SELECT rolname, rolcanlogin, rolpassword IS NOT NULL FROM pg_authid WHERE rolname ~ '^app_' ORDER BY 1";
    let before = rows(&mut admin, attributes);
    admin.batch_execute("SELECT scram.drop_rotation('app')").expect("its end");
    assert_eq!(rows(&mut admin, attributes), before, "no role is changed");
    assert_eq!(Raised::by(&mut admin, "SELECT scram.rotate('app')").code, "42704");
}

/// A transaction that waits for sessions, or has read them before, sees their present state.
#[test]
fn a_transaction_sees_sessions_come_and_go() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute(PAIR).expect("a pair");
    rotate(&mut admin);
    admin.batch_execute("BEGIN").expect("a transaction");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app_a'";
    assert_eq!(cell(&mut admin, sessions).as_deref(), Some("0"));
    let old = cluster.login("app_a", b"first").expect("a session");
    assert_eq!(finish(&mut admin), (None, 1), "it is in use");
    drop(old);
    assert_eq!(until("the session has ended", || finish(&mut admin).0), "app_a");
    admin.batch_execute("COMMIT").expect("its end");
}

/// The active role is not retired for a role that cannot log in.
#[test]
fn a_role_that_could_not_log_in_is_no_successor() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute(PAIR).expect("a pair");
    admin.batch_execute("ALTER ROLE app_b VALID UNTIL '2020-01-01'").expect("an end");
    let raised = Raised::by(&mut admin, "SELECT scram.rotate('app')");
    assert_eq!(raised.code, "55000", "{raised:?}");
    let untouched =
        "SELECT rolcanlogin OR rolpassword IS NOT NULL FROM pg_authid WHERE rolname = 'app_b'";
    assert_eq!(cell(&mut admin, untouched).as_deref(), Some("f"));

    admin.batch_execute("ALTER ROLE app_b VALID UNTIL 'infinity'").expect("no end");
    for broken in ["NOLOGIN", "PASSWORD NULL", "VALID UNTIL '2020-01-01'"] {
        rotate(&mut admin);
        admin.batch_execute(&format!("ALTER ROLE app_b {broken}")).expect(broken);
        let raised = Raised::by(&mut admin, "SELECT scram.finish_rotation('app')");
        assert_eq!(raised.code, "55000", "{broken}: {raised:?}");
        assert!(logs_in(&cluster, "app_a", "first"), "{broken}");
        admin.batch_execute("ALTER ROLE app_b VALID UNTIL 'infinity'").expect("no end");
    }
    let (_, password) = rotate(&mut admin);
    assert_eq!(until("no session is left", || finish(&mut admin).0), "app_a");
    assert!(logs_in(&cluster, "app_b", &password));
}

/// Each step is a transaction, so that the caller can repeat it after any failure.
#[test]
fn a_crash_between_two_steps_is_no_harm() {
    let mut cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute(PAIR).expect("a pair");
    let state = "SELECT active_is_a, pending FROM scram.rotation";
    for step in ["scram.rotate('app')", "scram.finish_rotation('app')"] {
        let before = rows(&mut admin, state);
        let roles =
            "SELECT string_agg(a::text, ' ' ORDER BY oid) FROM pg_authid a WHERE rolname ~ '^app'";
        let roles_before = cell(&mut admin, roles);
        // Done, not committed, and the server is gone.
        admin.batch_execute(&format!("BEGIN; SELECT {step}")).expect(step);
        assert_ne!(rows(&mut admin, state), before, "{step}");
        cluster.crash();
        admin = cluster.client();
        assert_eq!(rows(&mut admin, state), before, "{step}");
        assert_eq!(cell(&mut admin, roles), roles_before, "{step}");
        // Again, committed, and the server is gone again.
        admin.batch_execute(&format!("SELECT {step}; CHECKPOINT")).expect(step);
        cluster.crash();
        admin = cluster.client();
        assert_ne!(rows(&mut admin, state), before, "{step}");
    }
    let (role, password) = rotate(&mut admin);
    assert_eq!(role, "app_a");
    assert!(logs_in(&cluster, "app_a", &password));
}

#[test]
fn two_callers_of_one_rotation_wait_for_each_other() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute(PAIR).expect("a pair");
    admin.batch_execute("BEGIN").expect("BEGIN");
    let (_, first) = rotate(&mut admin);
    let mut other = cluster.client();
    let waiting = thread::spawn(move || rotate(&mut other));
    until_one_waits(&cluster);
    admin.batch_execute("COMMIT").expect("COMMIT");
    let (role, second) = waiting.join().expect("the second one");
    assert_eq!(role, "app_b");
    assert!(logs_in(&cluster, "app_b", &second) && !logs_in(&cluster, "app_b", &first));
}

/// Each of two calls sees no rotation of the other one, which is not committed yet.
#[test]
fn no_role_gets_into_two_rotations() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE g; CREATE ROLE a IN ROLE g; CREATE ROLE b IN ROLE g; CREATE ROLE c IN ROLE g",
        )
        .expect("roles");
    admin
        .batch_execute("BEGIN; SELECT scram.create_rotation('one', 'g', 'b', 'a')")
        .expect("a pair");
    let mut other = cluster.client();
    let waiting = thread::spawn(move || {
        let result = other.simple_query("SELECT scram.create_rotation('two', 'g', 'a', 'c')");
        result.err().map(|error| Raised::from_error(&error).code)
    });
    until_one_waits(&cluster);
    admin.batch_execute("COMMIT").expect("COMMIT");
    assert_eq!(waiting.join().expect("an answer").as_deref(), Some("42710"));
}

/// While a call waits for another session, that session may drop the role and create one of the
/// same name.
#[test]
fn the_name_is_read_again_after_waiting() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    for (happens, stays) in [
        ("DROP ROLE alice", "bob"),
        ("ALTER ROLE alice RENAME TO alice2", "alice2"),
        ("ALTER ROLE alice RENAME TO alice2; CREATE ROLE alice", "alice2"),
        ("DROP ROLE alice; CREATE ROLE alice SUPERUSER", "alice"),
    ] {
        admin
            .batch_execute(
                "DROP ROLE IF EXISTS alice, alice2, bob, creator;
                 CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE creator CREATEROLE LOGIN;
                 GRANT ALL ON ALL ROUTINES IN SCHEMA scram TO PUBLIC; GRANT alice TO creator WITH ADMIN OPTION",
            )
            .expect("roles");
        admin.batch_execute("BEGIN; SELECT scram.rotate_role('alice')").expect("a lock");
        let mut other = cluster.client_as("creator", "postgres");
        let waiting = thread::spawn(move || {
            let result = other.simple_query("SELECT scram.set_role_password('alice', 'x')");
            result.err().map(|error| Raised::from_error(&error).code)
        });
        until_one_waits(&cluster);
        let password = format!(
            "SELECT md5(coalesce(string_agg(rolpassword, ''), '')) FROM pg_authid WHERE rolname = '{stays}'"
        );
        admin.batch_execute(happens).expect(happens);
        let before = cell(&mut admin, &password);
        admin.batch_execute("COMMIT").expect("COMMIT");
        // The result must equal that of a session started now: PostgreSQL 15 lets the creator alter
        // the new role, later releases do not.
        let found = waiting.join().expect("an answer");
        let mut now = cluster.client_as("creator", "postgres");
        let alter = now.simple_query("BEGIN; ALTER ROLE alice PASSWORD 'x'; ROLLBACK");
        let expected = alter.err().map(|error| Raised::from_error(&error).code);
        assert_eq!(found, expected, "{happens}");
        assert_eq!(cell(&mut admin, &password), before, "{happens}: {stays} is another role");
    }
}

#[test]
fn a_rotation_survives_dump_and_restore() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute(PAIR).expect("a pair");
    admin
        .batch_execute(
            "LOAD 'scram_ext'; SET scram.password_history = 3; SELECT scram.rotate('app');
             SELECT scram.set_role_password('app_a', 'second'); SELECT scram.set_role_password('app_a', 'third')",
        )
        .expect("a turn");
    let verifiers = rows(&mut admin, "SELECT verifier FROM scram_internal.password_history");
    assert_eq!(verifiers.len(), 4);
    let dump = cluster.copy_database("postgres", "restored", false);
    let dump = String::from_utf8_lossy(&dump);
    assert!(dump.contains("COPY scram.rotation"), "{dump}");
    for verifier in verifiers.into_iter().flatten().flatten() {
        assert!(!dump.contains(&verifier), "{dump}");
    }
    assert!(!dump.contains("SCRAM-SHA-256$"), "{dump}");
    let mut restored = cluster.client_as("postgres", "restored");
    let state = "SELECT name, member_of, role_a, role_b, active_is_a, pending FROM scram.rotation";
    assert_eq!(rows(&mut restored, state), rows(&mut admin, state));
    assert_eq!(until("no session is left", || finish(&mut restored).0), "app_a");
}

#[test]
fn a_pooler_s_idle_sessions_can_be_ignored() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute(PAIR).expect("a pair");
    let mut old = cluster.login("app_a", b"first").expect("a session");
    rotate(&mut admin);
    let finish = |admin: &mut Client, idle: &str| {
        let finish =
            format!("SELECT retired, sessions_left FROM scram.finish_rotation('app', {idle})");
        rows(admin, &finish)
            .remove(0)
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect::<Vec<_>>()
    };
    let waits = [String::new(), "1".to_owned()];
    assert_eq!(finish(&mut admin, "NULL"), waits);
    assert_eq!(finish(&mut admin, "'1 hour'"), waits, "idle for a moment only");

    // In a transaction it is at work, however long it says nothing.
    old.batch_execute("BEGIN").expect("a transaction");
    let idle_for = "SELECT clock_timestamp() - state_change > '20 ms' FROM pg_stat_activity WHERE usename = 'app_a'";
    until("20 ms", || (cell(&mut admin, idle_for)? == "t").then_some(()));
    assert_eq!(finish(&mut admin, "'10 ms'"), waits);
    old.batch_execute("COMMIT").expect("its end");
    until("20 ms", || (cell(&mut admin, idle_for)? == "t").then_some(()));
    assert_eq!(finish(&mut admin, "ignore_idle => '10 ms'"), ["app_a".to_owned(), "0".to_owned()]);
    old.batch_execute("SELECT 1").expect("the session stays");
    assert!(cluster.login("app_a", b"first").is_err(), "no new one");

    let raised = Raised::by(&mut admin, "SELECT scram.finish_rotation('app', '-1 s')");
    assert_eq!(raised.code, "22023");
}

fn rotate(client: &mut Client) -> (String, String) {
    let row = client.query_one("SELECT role::text, password FROM scram.rotate('app')", &[]);
    let row = row.unwrap_or_else(|error| panic!("{error:?}"));
    (row.get(0), row.get(1))
}

fn finish(client: &mut Client) -> (Option<String>, i32) {
    let finish = "SELECT retired::text, sessions_left FROM scram.finish_rotation('app')";
    let row = client.query_one(finish, &[]).unwrap_or_else(|error| panic!("{error:?}"));
    (row.get(0), row.get(1))
}

fn logs_in(cluster: &Cluster, role: &str, password: &str) -> bool {
    let logins = [Foreign::Psql, Foreign::Pg8000]
        .map(|client| client.login(cluster.port(), role, password, false) == Login::In);
    assert_eq!(logins[0], logins[1], "{role}");
    logins[0]
}

/// The server's messages to a client, without the results.
fn notices(cluster: &Cluster, sql: &str) -> String {
    let output = cluster.psql(&["-c", sql]);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until one session waits for a lock.
fn until_one_waits(cluster: &Cluster) {
    let mut watcher = cluster.client();
    until("a session waits for a lock", || {
        let blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        (cell(&mut watcher, blocked).as_deref() == Some("1")).then_some(())
    });
}
