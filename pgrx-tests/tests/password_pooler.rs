//! PgBouncer in front, which passes logins on by the very verifier that the server has: setting the
//! same password again must not take it away.

use postgres::{Client, Config, NoTls, SimpleQueryMessage};
use scram_ext_client_tests::cluster::SUPERUSER;
use scram_ext_client_tests::{Cluster, Pooler, cell, until};

#[test]
fn a_pooler_keeps_its_logins() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE app LOGIN PASSWORD 'pencil';
             CREATE ROLE pooler LOGIN PASSWORD 'of the pooler'; GRANT SELECT ON pg_shadow TO pooler",
        )
        .expect("roles");
    let pooler = Pooler::with_auth_query(&cluster, "pooler", "of the pooler");
    let mut console = login(&pooler, SUPERUSER, "of the pooler", "pgbouncer");
    let mut held = (0..5).map(|_| login(&pooler, "app", "pencil", "postgres")).collect::<Vec<_>>();
    for client in &mut held {
        client.simple_query("SELECT 42").expect("before");
    }

    let row = "SELECT xmin || rolpassword FROM pg_authid WHERE rolname = 'app'";
    let before = cell(&mut admin, row);
    for n in 0..1000 {
        let set = "SELECT action FROM scram.set_role_password('app', 'pencil')";
        assert_eq!(cell(&mut admin, set).as_deref(), Some("unchanged"), "call {n}");
    }
    assert_eq!(cell(&mut admin, row), before);
    for client in &mut held {
        cut(&mut admin, &mut console);
        client.simple_query("SELECT 42").expect("after 1000 calls");
    }

    // The same password, the server's way: a new salt.
    admin.batch_execute("ALTER ROLE app PASSWORD 'pencil'").expect("ALTER ROLE");
    assert_ne!(cell(&mut admin, row), before);
    cut(&mut admin, &mut console);
    assert!(held[0].simple_query("SELECT 42").is_err(), "the login is lost");
    let log = cluster.log();
    assert!(log.contains("password authentication failed for user \"app\""), "{log}");
}

/// The commands of docs/rotation.md: a pooler's idle connections hold a rotation up until it closes them.
#[test]
fn a_rotation_behind_a_pooler() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE app; CREATE ROLE app_a LOGIN PASSWORD 'first' IN ROLE app; CREATE ROLE app_b IN ROLE app;
             SELECT scram.create_rotation('app', 'app', 'app_a', 'app_b');
             CREATE ROLE pooler LOGIN PASSWORD 'of the pooler'; GRANT SELECT ON pg_shadow TO pooler",
        )
        .expect("roles");
    let pooler = Pooler::with_auth_query(&cluster, "pooler", "of the pooler");
    let mut console = login(&pooler, SUPERUSER, "of the pooler", "pgbouncer");
    let mut old = login(&pooler, "app_a", "first", "postgres");
    old.simple_query("SELECT 42").expect("the old role");
    drop(old);

    let password =
        cell(&mut admin, "SELECT password FROM scram.rotate('app')").expect("a password");
    let mut new = login(&pooler, "app_b", &password, "postgres");
    new.simple_query("SELECT 42").expect("the new role");
    let finish =
        "SELECT coalesce(retired::text, '') || sessions_left FROM scram.finish_rotation('app')";
    assert_eq!(cell(&mut admin, finish).as_deref(), Some("1"), "the pooler's idle connection");

    for command in ["RECONNECT postgres", "WAIT_CLOSE postgres"] {
        console.simple_query(command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
    // The server may notice a moment after the pooler has closed the connection.
    until("the old role is retired", || (cell(&mut admin, finish)? == "app_a0").then_some(()));
    new.simple_query("SELECT 42").expect("the new role's client notices nothing");
}

/// Ends the pooler's sessions of the role, so that it has to log in again.
fn cut(admin: &mut Client, console: &mut Client) {
    let end =
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = 'app'";
    cell(admin, end);
    until("the pooler has noticed", || {
        let servers = console.simple_query("SHOW SERVERS").expect("the pooler's servers");
        let mut users = servers.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get("user"),
            _ => None,
        });
        users.all(|user| user != "app").then_some(())
    });
}

fn login(pooler: &Pooler, user: &str, password: &str, database: &str) -> Client {
    let mut config = Config::new();
    config.host("127.0.0.1").port(pooler.port()).user(user).password(password).dbname(database);
    config.connect(NoTls).unwrap_or_else(|error| panic!("{user} through the pooler: {error:?}"))
}
