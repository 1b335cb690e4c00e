//! PgBouncer in front, which passes logins on by the very verifier that the server has: setting the
//! same password again must not take it away.

use postgres::{Client, Config, NoTls};
use scram_ext_client_tests::{Cluster, Pooler, cell, until};

/// Through the pooler; its sessions on the server end, so that it has to log in there anew.
fn asks(client: &mut Client, admin: &mut Client) -> bool {
    let mine =
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = 'app'";
    cell(admin, mine);
    // The pooler learns of it when it next uses such a session: that attempt may fail.
    let mut answers = false;
    for _ in 0..3 {
        answers = client.simple_query("SELECT 42").is_ok();
        if answers || client.is_closed() {
            break;
        }
    }
    answers
}

fn login(pooler: &Pooler) -> Client {
    let mut config = Config::new();
    config.host("127.0.0.1").port(pooler.port()).user("app").password("pencil").dbname("postgres");
    config.connect(NoTls).unwrap_or_else(|error| panic!("through the pooler: {error:?}"))
}

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
    let mut held = (0..5).map(|_| login(&pooler)).collect::<Vec<_>>();
    for client in &mut held {
        assert!(asks(client, &mut admin), "before");
    }

    let row = "SELECT xmin || rolpassword FROM pg_authid WHERE rolname = 'app'";
    let before = cell(&mut admin, row);
    for n in 0..1000 {
        let set = "SELECT action FROM scram.set_role_password('app', 'pencil')";
        assert_eq!(cell(&mut admin, set).as_deref(), Some("unchanged"), "call {n}");
    }
    assert_eq!(cell(&mut admin, row), before);
    for client in &mut held {
        assert!(asks(client, &mut admin), "after 1000 calls");
    }

    // The same password, the server's way: a new salt.
    admin.batch_execute("ALTER ROLE app PASSWORD 'pencil'").expect("ALTER ROLE");
    assert_ne!(cell(&mut admin, row), before);
    let lost = until("the held connections are lost", || {
        let lost = held.iter_mut().map(|client| !asks(client, &mut admin));
        let lost = lost.filter(|lost| *lost).count();
        (lost > 0).then_some(lost)
    });
    assert!(lost > 0);
    let log = cluster.log();
    assert!(log.contains("password authentication failed for user \"app\""), "{log}");
}
