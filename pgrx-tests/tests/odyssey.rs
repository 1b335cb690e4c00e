//! Odyssey in front, which asks the server for verifiers and logs in by the keys of its clients.

use postgres::{Client, Config, Error, NoTls};
use scram_ext_client_tests::odyssey::Odyssey;
use scram_ext_client_tests::{Cluster, cell, until};

const POOLER: &str =
    "CREATE ROLE pooler LOGIN PASSWORD 'of the pooler'; GRANT SELECT ON pg_shadow TO pooler";

/// The order of docs/rotation.md: an idle connection holds a rotation up until Odyssey closes it, by `pool_ttl`.
#[test]
fn a_rotation_behind_odyssey() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let roles = "CREATE ROLE app; CREATE ROLE app_a LOGIN PASSWORD 'first' IN ROLE app; CREATE ROLE app_b IN ROLE app;
         SELECT scram.create_rotation('app', 'app', 'app_a', 'app_b')";
    admin.batch_execute(roles).expect("roles");
    admin.batch_execute(POOLER).expect("a role");
    let odyssey = Odyssey::with_auth_query(&cluster, "pooler", "of the pooler");
    let mut old = login(&odyssey, "app_a", "first").expect("the old role");
    assert_eq!(cell(&mut old, "SELECT current_user").as_deref(), Some("app_a"));
    assert!(login(&odyssey, "app_a", "second").is_err());

    let rotate = "SELECT password FROM scram.rotate('app')";
    let finish =
        "SELECT coalesce(retired::text, '') || sessions_left FROM scram.finish_rotation('app')";
    let password = cell(&mut admin, rotate).expect("a password");
    let mut new = login(&odyssey, "app_b", &password).expect("the new role");
    old.simple_query("SELECT 42").expect("the old role");
    drop(old);
    assert_eq!(cell(&mut admin, finish).as_deref(), Some("1"), "the idle connection");
    until("the old role is retired", || (cell(&mut admin, finish)? == "app_a0").then_some(()));
    assert_eq!(cell(&mut new, "SELECT current_user").as_deref(), Some("app_b"));

    // Back again: Odyssey has forgotten the old verifier with the connections.
    let password = cell(&mut admin, rotate).expect("a password");
    let mut newest = login(&odyssey, "app_a", &password).expect("the first role again");
    drop(new);
    until("the second role is retired", || (cell(&mut admin, finish)? == "app_b0").then_some(()));
    assert_eq!(cell(&mut newest, "SELECT current_user").as_deref(), Some("app_a"));
}

/// It keeps the answer of `auth_query` for up to 15 seconds, and then asks again.
#[test]
fn a_changed_password_comes_through() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE ROLE app LOGIN PASSWORD 'pencil'").expect("a role");
    admin.batch_execute(POOLER).expect("a role");
    let odyssey = Odyssey::with_auth_query(&cluster, "pooler", "of the pooler");
    drop(login(&odyssey, "app", "pencil").expect("a login"));

    let set = |password| format!("SELECT action FROM scram.set_role_password('app', '{password}')");
    assert_eq!(cell(&mut admin, &set("pencil")).as_deref(), Some("unchanged"));
    drop(login(&odyssey, "app", "pencil").expect("the same password"));
    assert_eq!(cell(&mut admin, &set("another")).as_deref(), Some("set"));
    until("the new password is known", || login(&odyssey, "app", "another").ok());
    until("the old one is refused", || login(&odyssey, "app", "pencil").err());
}

fn login(odyssey: &Odyssey, user: &str, password: &str) -> Result<Client, Error> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(odyssey.port()).user(user).password(password).dbname("postgres");
    let mut client = config.connect(NoTls)?;
    client.simple_query("SELECT 42")?;
    Ok(client)
}
