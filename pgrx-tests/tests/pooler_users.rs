//! The list of users for poolers, read by PgBouncer itself, and by SQLite as ProxySQL's console.

use postgres::{Client, Config, NoTls};
use scram_ext_client_tests::foreign::sqlite;
use scram_ext_client_tests::{Cluster, Pooler, Raised, cell, rows, text};

/// Names with each character that a list could stumble over.
const NAMES: &[&str] = &[
    "app",
    "Zoe",
    "a b",
    "it's",
    "quo\"te",
    "\"",
    "back\\slash",
    "semi;colon",
    "new\nline",
    "tab\t",
    "äö",
    "%s$1",
];

fn make_roles(admin: &mut Client) {
    for (number, name) in NAMES.iter().enumerate() {
        let create = format!(
            "CREATE ROLE \"{}\" LOGIN PASSWORD 'password {number}'",
            name.replace('"', "\"\"")
        );
        admin.batch_execute(&create).expect("a role");
    }
}

fn list(client: &mut Client, arguments: &str) -> Vec<String> {
    let sql = format!("SELECT * FROM scram.pooler_users({arguments})");
    client.query(&sql, &[]).expect("a list").iter().map(|row| row.get(0)).collect()
}

#[test]
fn pgbouncer_reads_the_list() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    make_roles(&mut admin);
    let users = list(&mut admin, "");
    let pooler = Pooler::with_users(&cluster, &users.join("\n"));
    for (number, name) in NAMES.iter().enumerate() {
        let login = |password: &str| {
            let mut config = Config::new();
            config.host("127.0.0.1").port(pooler.port()).user(name).dbname("postgres");
            config.password(password).connect(NoTls)
        };
        let mut client = login(&format!("password {number}"))
            .unwrap_or_else(|error| panic!("{name:?} through PgBouncer: {error:?}"));
        // PgBouncer itself logs in with the keys of the exchange, so the user is the server's too.
        assert_eq!(cell(&mut client, "SELECT current_user"), text(name));
        assert!(login("wrong").is_err(), "{name:?}");
    }
}

#[test]
fn sqlite_runs_the_statements() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    make_roles(&mut admin);
    let before = list(&mut admin, "'proxysql'");
    admin.batch_execute("ALTER ROLE app PASSWORD 'another'").expect("ALTER ROLE");
    let after = list(&mut admin, "'proxysql'");
    assert_eq!(before.iter().zip(&after).filter(|(a, b)| a != b).count(), 1);

    // The columns and keys that matter of ProxySQL's table.
    let table = "CREATE TABLE pgsql_users (username VARCHAR NOT NULL, password VARCHAR,
                 default_hostgroup INT NOT NULL DEFAULT 0, backend INT NOT NULL DEFAULT 1,
                 frontend INT NOT NULL DEFAULT 1, PRIMARY KEY (username, backend), UNIQUE (username, frontend));";
    let hostgroup = "UPDATE pgsql_users SET default_hostgroup = 7;";
    let script = [&[table.to_owned()], &before[..], &[hostgroup.to_owned()], &after[..]].concat();
    let stored = sqlite(
        &script.join("\n"),
        "SELECT hex(username), password, default_hostgroup FROM pgsql_users ORDER BY username",
    );
    let expected = rows(
        &mut admin,
        "SELECT upper(encode(convert_to(rolname, 'UTF8'), 'hex')), rolpassword, 7 FROM pg_authid
         WHERE rolcanlogin AND rolpassword IS NOT NULL ORDER BY rolname::text COLLATE \"C\"",
    );
    let expected: Vec<_> = expected
        .iter()
        .map(|row| row.iter().flatten().cloned().collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(stored, expected);
}

#[test]
fn who_is_in_the_list() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE b LOGIN PASSWORD 'x'; CREATE ROLE a LOGIN PASSWORD 'x';
             CREATE ROLE \"B\" LOGIN PASSWORD 'x' VALID UNTIL 'infinity';
             CREATE ROLE expired LOGIN PASSWORD 'x' VALID UNTIL '2000-01-01';
             CREATE ROLE empty LOGIN;
             CREATE ROLE closed NOLOGIN PASSWORD 'x';
             SET password_encryption = md5;
             CREATE ROLE old LOGIN PASSWORD 'x'",
        )
        .expect("roles");
    let mut names = |arguments: &str| {
        let lines = list(&mut admin, arguments);
        lines
            .iter()
            .map(|line| line.split('"').nth(1).expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(""), ["B", "a", "b"]);
    assert_eq!(names("NULL, NULL"), ["B", "a", "b"]);
    assert_eq!(names("roles => '{b,a,NULL,a}'"), ["a", "b"]);
    assert_eq!(names("roles => '{old,expired,empty,closed}'"), [""; 0]);
    assert_eq!(names("roles => '{}'"), [""; 0]);
    let line =
        "SELECT format('\"a\" \"%s\"', rolpassword) = (SELECT scram.pooler_users(roles => '{a}'))
                FROM pg_authid WHERE rolname = 'a'";
    assert_eq!(cell(&mut admin, line).as_deref(), Some("t"));

    let raised = Raised::by(&mut admin, "SELECT scram.pooler_users('odyssey')");
    assert_eq!((raised.code.as_str(), raised.hint.is_some()), ("22023", true));
    let raised = Raised::by(&mut admin, "SELECT scram.pooler_users(roles => '{a,nobody}')");
    assert_eq!(raised.code, "42704");
    assert!(raised.message.contains("nobody"), "{raised:?}");

    // A pooler's own role needs a grant, and no right on pg_authid.
    let mut plain = cluster.client_as("a", "postgres");
    assert_eq!(Raised::by(&mut plain, "SELECT scram.pooler_users()").code, "42501");
    admin.batch_execute("GRANT EXECUTE ON FUNCTION scram.pooler_users TO a").expect("a grant");
    assert_eq!(list(&mut plain, "").len(), 3);
}
