//! Functions that check a role's password: which logins would succeed, and which roles may change
//! their own password.

use scram_ext_client_tests::{Cluster, Raised, cell, rows, text, verify_role};

#[test]
fn verify_role_says_who_could_log_in() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE alice LOGIN PASSWORD 'pencil';
             CREATE ROLE locked PASSWORD 'pencil';
             CREATE ROLE expired LOGIN PASSWORD 'pencil' VALID UNTIL '2020-01-01';
             CREATE ROLE heavy LOGIN;
             UPDATE pg_authid SET rolpassword = scram.generate('pencil', 5000) WHERE rolname = 'heavy';
             LOAD 'scram_ext'",
        )
        .expect("roles");
    assert_eq!(verify_role(&mut client, "alice", "pencil"), Some(true));
    assert_eq!(verify_role(&mut client, "heavy", "pencil"), Some(true));
    for role in ["locked", "expired", "nobody", "ALICE", "", "alice "] {
        assert_eq!(verify_role(&mut client, role, "pencil"), Some(false), "{role:?}");
    }
    assert_eq!(verify_role(&mut client, "alice", ""), Some(false));
    client.batch_execute("SET scram.max_iterations = 4999").expect("a cap");
    assert_eq!(verify_role(&mut client, "heavy", "pencil"), Some(false), "over the cap");
    client.batch_execute("RESET scram.max_iterations").expect("no cap");

    // Each check is logged with the role and the caller, and nothing else.
    client
        .batch_execute(
            "CREATE ROLE operator LOGIN; GRANT EXECUTE ON FUNCTION scram.verify_role TO operator",
        )
        .expect("an operator");
    let mut operator = cluster.client_as("operator", "postgres");
    assert_eq!(verify_role(&mut operator, "alice", "hunter2"), Some(false));
    let log = cluster.log();
    let line = "LOG:  scram.verify_role() checked a password of role \"alice\" for \"operator\": it did not match";
    assert!(log.contains(line), "{log}");
    assert!(!log.contains("hunter2") && !log.contains("pencil'"), "{log}");

    // A loop fills no disk.
    let loops =
        "SELECT count(scram.verify_role('alice', 'x' || n)) FROM generate_series(1, 2000) n";
    assert_eq!(cell(&mut operator, loops).as_deref(), Some("2000"));
    let lines = cluster.log().matches("for \"operator\"").count();
    assert!((60..300).contains(&lines), "{lines} lines");
}

/// The time of an answer does not tell whether a role exists: an unknown role costs one derivation
/// for the target, and so does a role whose secret needs none. The target takes far longer than the
/// timeout here, so that each of these calls is cancelled.
#[test]
fn an_unknown_role_costs_the_target() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE cheap LOGIN PASSWORD 'pencil'; CREATE ROLE locked PASSWORD 'pencil';
             CREATE ROLE no_password LOGIN; CREATE ROLE over_the_cap LOGIN PASSWORD 'pencil';
             SET password_encryption = 'md5'; CREATE ROLE md5 LOGIN PASSWORD 'pencil';
             UPDATE pg_authid SET rolpassword = replace(rolpassword, '$4096:', '$2000000000:')
             WHERE rolname = 'over_the_cap';
             LOAD 'scram_ext'; SET scram.max_iterations = 1000000000;
             SET scram.default_iterations = 1000000000; SET statement_timeout = '1s'",
        )
        .expect("roles");
    for role in ["nobody", "no_password", "over_the_cap", "md5"] {
        let raised =
            Raised::by(&mut client, &format!("SELECT scram.verify_role('{role}', 'pencil')"));
        assert_eq!(raised.code, "57014", "{role}: {raised:?}");
    }
    assert_eq!(verify_role(&mut client, "cheap", "pencil"), Some(true));
    assert_eq!(verify_role(&mut client, "locked", "pencil"), Some(false));
    // With the usual target all of them answer.
    client.batch_execute("RESET scram.default_iterations").expect("the usual target");
    for (role, answer) in
        [("nobody", false), ("no_password", false), ("over_the_cap", false), ("md5", true)]
    {
        assert_eq!(verify_role(&mut client, role, "pencil"), Some(answer), "{role}");
    }
}

#[test]
fn users_change_their_own() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE alice LOGIN PASSWORD 'pencil'; CREATE ROLE other LOGIN PASSWORD 'pencil';
             CREATE ROLE group_role; GRANT group_role, other TO alice;
             CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'pencil'",
        )
        .expect("roles");
    let mut alice = cluster.login("alice", b"pencil").expect("alice");
    let wrong = Raised::by(&mut alice, "SELECT scram.change_own_password('pen', 'chalk')");
    assert_eq!(wrong.code, "28P01", "{wrong:?}");
    assert_eq!(wrong.context, None);
    let change = "SELECT * FROM scram.change_own_password('pencil', 'chalk')";
    assert_eq!(rows(&mut alice, change), [[text("set"), text("t")]]);
    assert_logs_in(&cluster, "alice", "chalk", "pencil");
    let same = "SELECT * FROM scram.change_own_password('chalk', 'chalk')";
    assert_eq!(rows(&mut alice, same), [[text("unchanged"), text("f")]]);

    // SET ROLE changes neither the role whose password is set nor the rights that are used.
    for role in ["group_role", "other"] {
        alice.batch_execute(&format!("SET ROLE {role}")).expect(role);
        let raised = Raised::by(&mut alice, "SELECT scram.change_own_password('pencil', 'x')");
        assert_eq!(raised.code, "28P01", "{role}: {raised:?}");
        let swap = "SELECT * FROM scram.change_own_password('chalk', 'slate');
                    SELECT * FROM scram.change_own_password('slate', 'chalk')";
        assert_eq!(rows(&mut alice, swap).len(), 2, "{role}");
        assert_eq!(cell(&mut alice, "SELECT current_user").as_deref(), Some(role));
    }
    assert_eq!(verify_role(&mut client, "other", "pencil"), Some(true), "untouched");
    let mut boss = cluster.login("boss", b"pencil").expect("boss");
    boss.batch_execute("SET ROLE group_role; SELECT scram.change_own_password('pencil', 'chalk')")
        .expect("the session's user is a superuser");
    assert_logs_in(&cluster, "boss", "chalk", "pencil");

    // A maintenance command runs a table owner's functions in a superuser's session.
    client
        .batch_execute(
            "CREATE ROLE mallory; CREATE SCHEMA m AUTHORIZATION mallory; SET ROLE mallory;
             CREATE TABLE m.t (n integer); INSERT INTO m.t VALUES (1);
             CREATE FUNCTION m.f(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
                 'BEGIN PERFORM scram.change_own_password(''chalk'', ''owned''); RETURN 1; END';
             RESET ROLE; SET SESSION AUTHORIZATION mallory",
        )
        .expect("a trap");
    let raised = Raised::by(&mut client, "CREATE INDEX ON m.t (m.f(n))");
    assert_eq!(raised.code, "42501", "{raised:?}");
    let lines = cluster.log();
    let line = "scram.change_own_password() checked a password of role \"alice\" for \"other\" (session user \"alice\"): it did not match";
    assert!(lines.contains(line), "{lines}");
}

fn assert_logs_in(cluster: &Cluster, role: &str, password: &str, wrong: &str) {
    assert!(cluster.login(role, password.as_bytes()).is_ok(), "{role}");
    assert!(cluster.login(role, wrong.as_bytes()).is_err(), "{role}");
}
