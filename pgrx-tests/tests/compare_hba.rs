//! Compares `scram.compare_hba()` with real logins: before and after each change of pg_hba.conf, for members of each
//! class of connections.

#[path = "compare_hba/random.rs"]
mod random;
#[path = "compare_hba/size.rs"]
mod size;

use std::env;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;

use postgres::Client;
use postgres::error::SqlState;
use random::{changed, random_rules};
use scram_ext_client_tests::{Cluster, rows};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio_postgres::{Config, NoTls};

/// Random pairs of files; `HBA_PAIRS` sets another number.
const PAIRS: usize = 20;

/// Logins before and after each change.
const SAMPLED: usize = 40;

const PASSWORD: &str = "Xq8-secret";

/// Name, and how it is made.
const ROLES: &[(&str, &str)] = &[
    ("ann", "PASSWORD 'Xq8-secret'"),
    ("blank", ""),
    ("expired", "PASSWORD 'Xq8-secret' VALID UNTIL '2001-01-01'"),
    ("member", "PASSWORD 'Xq8-secret' IN ROLE staff"),
    ("odd name", "PASSWORD 'Xq8-secret'"),
    ("old", ""),
    ("standby", "REPLICATION PASSWORD 'Xq8-secret'"),
];
const DATABASES: &[&str] = &["ann", "postgres", "shop", "staff"];
const SOURCES: &[[u8; 4]] =
    &[[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 1, 1], [127, 64, 0, 1], [127, 200, 0, 9]];

/// A way to connect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Socket,
    Tcp(Ipv4Addr),
    Tls,
}

/// The destination of physical replication, as rows and rules name it.
const REPLICATION: &str = "replication";

/// Whether a replication connection opens: to `replication` as a standby's, to a database as a logical one.
fn replicates(cluster: &Cluster, way: Way, role: &str, database: &str) -> bool {
    let socket = cluster.dir().display().to_string();
    let (host, tls) = match way {
        Way::Socket => (&*socket, "disable"),
        Way::Tcp(_) => ("127.0.0.1", "disable"),
        Way::Tls => ("127.0.0.1", "require"),
    };
    let physical = database == REPLICATION;
    let parameters = [
        ("host", host),
        ("sslmode", tls),
        ("gssencmode", "disable"),
        ("user", role),
        ("dbname", if physical { "postgres" } else { database }),
        ("replication", if physical { "true" } else { "database" }),
    ];
    cluster.psql_connect(&parameters, Some(PASSWORD), "IDENTIFY_SYSTEM").status.success()
}

fn opens(cluster: &Cluster, runtime: &Runtime, way: Way, role: &str, database: &str) -> bool {
    if role == "standby" {
        return replicates(cluster, way, role, database);
    }
    let mut config = Config::new();
    config.user(role).dbname(database).password(PASSWORD);
    match way {
        Way::Socket => runtime.block_on(async {
            config.host_path(cluster.dir()).port(cluster.port()).connect(NoTls).await.is_ok()
        }),
        Way::Tcp(source) => runtime.block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from((source, 0))).expect("an address of the loopback network");
            let server = SocketAddr::from((Ipv4Addr::LOCALHOST, cluster.port()));
            let stream = socket.connect(server).await.expect("the server");
            config.connect_raw(stream, NoTls).await.is_ok()
        }),
        Way::Tls => {
            let conninfo = format!(
                "host=127.0.0.1 port={} user='{role}' dbname={database} password={PASSWORD} sslmode=require",
                cluster.port()
            );
            cluster
                .psql(&["-w", "-d", &conninfo, "-U", role, "-h", "127.0.0.1", "-c", "SELECT 1"])
                .status
                .success()
        }
    }
}

fn contains(network: &str, address: Ipv4Addr) -> bool {
    if network == "all" {
        return true;
    }
    if let Some((around, others)) = network.split_once(" except ") {
        let (_, more) = others.split_once("; ").unwrap_or((others, ""));
        assert_eq!(more, "");
        return contains(around, address) && !contains(others, address);
    }
    network.split(", ").any(|network| {
        let (first, bits) = network.split_once('/').expect("a network");
        let IpAddr::V4(first) = first.parse().expect("an address") else { return false };
        let bits: u32 = bits.parse().expect("bits");
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        u32::from(first) & mask == u32::from(address) & mask
    })
}

/// Whether a row is about this member. `named` are the databases that a rule names.
fn is_about(row: &[String], role: &str, database: &str, named: bool, way: Way) -> bool {
    let [_, roles, of_database, connection, network, ..] = row else { panic!("{row:?}") };
    let types: &[&str] = match way {
        Way::Socket => &["local"],
        Way::Tcp(_) => &["host", "hostnossl", "hostnogssenc", "host (unencrypted)"],
        Way::Tls => &["host", "hostssl", "hostnogssenc"],
    };
    (roles == "all" || roles.split(", ").any(|name| name == role))
        && (if named { of_database == database } else { of_database == "all" })
        && types.contains(&&**connection)
        && match way {
            Way::Socket => network.is_empty(),
            Way::Tcp(source) => contains(network, source),
            Way::Tls => contains(network, Ipv4Addr::LOCALHOST),
        }
}

fn compared(client: &mut Client, text: &str) -> Vec<Vec<String>> {
    let text = text.replace('\'', "''");
    let sql = format!("SELECT * FROM scram.compare_hba('{text}')");
    let rows = rows(client, &sql);
    rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect()
}

fn prepared() -> (Cluster, Client) {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let mut cluster = Cluster::with_extension();
    let data = cluster.dir().join("data");
    fs::write(data.join("server.crt"), made.cert.pem()).expect("server.crt");
    let key = data.join("server.key");
    fs::write(&key, made.signing_key.serialize_pem()).expect("server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("server.key");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&data).expect("data"));
    std::os::unix::fs::chown(&key, Some(owner), None).expect("server.key");
    let mut admin = cluster.client();
    admin.batch_execute("ALTER SYSTEM SET ssl = on").expect("ssl");
    cluster.restart();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE ROLE staff").expect("a group");
    for (name, made) in ROLES {
        admin.batch_execute(&format!("CREATE ROLE \"{name}\" LOGIN {made}")).expect("a role");
    }
    admin
        .batch_execute("SET password_encryption = 'md5'; ALTER ROLE old PASSWORD 'Xq8-secret'; RESET password_encryption")
        .expect("a role");
    for name in DATABASES.iter().filter(|name| **name != "postgres") {
        admin.batch_execute(&format!("CREATE DATABASE {name}")).expect("a database");
    }
    (cluster, admin)
}

#[test]
fn compare_hba_and_logins_agree() {
    let (cluster, mut admin) = prepared();
    let runtime = Runtime::new().expect("a runtime");
    let seed = 16_205;
    let mut random = fastrand::Rng::with_seed(seed);
    let pairs = env::var("HBA_PAIRS").map_or(PAIRS, |pairs| pairs.parse().expect("a number"));
    let (mut changes, mut unknown, mut same) = (0, 0, 0);
    for pair in 0..pairs {
        let before = random_rules(&mut random);
        let after = changed(&before, &mut random);
        let mut members = Vec::new();
        for _ in 0..SAMPLED {
            let (role, _) = ROLES[random.usize(..ROLES.len())];
            let way = match random.u8(..6) {
                0 => Way::Socket,
                1 => Way::Tls,
                _ => Way::Tcp(SOURCES[random.usize(..SOURCES.len())].into()),
            };
            let database = DATABASES[random.usize(..DATABASES.len())];
            if role != "standby" {
                members.push((role, database, way));
                continue;
            }
            // The client's library chooses the address that it connects from.
            let way = if let Way::Tcp(_) = way { Way::Tcp(Ipv4Addr::LOCALHOST) } else { way };
            members.push((role, if random.bool() { REPLICATION } else { database }, way));
        }
        let logins = || -> Vec<bool> {
            members
                .iter()
                .map(|(role, database, way)| opens(&cluster, &runtime, *way, role, database))
                .collect()
        };
        cluster.reload_hba(&mut admin, &before);
        let said = compared(&mut admin, &after);
        let first = logins();
        cluster.reload_hba(&mut admin, &after);
        let second = logins();

        let both = format!("{before}{after}");
        let by_role = both.contains("sameuser") || both.contains("samerole");
        let words: Vec<&str> = both
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .flat_map(|list| list.split(','))
            .collect();
        for ((member, was), is) in members.iter().zip(first).zip(second) {
            let (role, database, way) = *member;
            let named = database == REPLICATION
                || words.contains(&database)
                || by_role && matches!(database, "ann" | "postgres" | "staff");
            let about: Vec<_> =
                said.iter().filter(|row| is_about(row, role, database, named, way)).collect();
            let context = format!(
                "seed {seed}, pair {pair}, {member:?}: {was}, then {is}\n{about:?}\nof {said:#?}\n{before}---\n{after}"
            );
            let kinds: Vec<&str> = about.iter().map(|row| &*row[0]).collect();
            if about.iter().any(|row| row[5].contains(" if ") || row[6].contains(" if ")) {
                // The server's own addresses decide. The change that happens is one of those that are named.
                let happened = if was { "locked out" } else { "let in" };
                assert!(was == is || kinds.contains(&happened), "{context}");
                unknown += 1;
                continue;
            }
            let expected: &[&str] = match (was, is) {
                (true, false) => &["locked out"],
                (false, true) => &["let in"],
                (true, true) if kinds == ["method changed"] => &["method changed"],
                _ => &[],
            };
            assert_eq!(kinds, expected, "{context}");
            if was == is { same += 1 } else { changes += 1 }
        }
    }
    println!(
        "{pairs} pairs: {changes} changed logins, {same} others, {unknown} that the text does not tell"
    );
    assert!(
        changes > pairs && same > pairs && unknown < changes + same,
        "{changes} {same} {unknown}"
    );
}

/// The rows of one change, to the word.
#[test]
fn rows_are_exact() {
    let (cluster, mut admin) = prepared();
    let mut is = |before: &str, after: &str, expected: &[&str]| {
        cluster.reload_hba(&mut admin, &format!("local all postgres trust\n{before}\n"));
        let found = compared(&mut admin, &format!("local all postgres trust\n{after}\n"));
        let found: Vec<_> = found.iter().map(|row| row.join("|")).collect();
        assert_eq!(found, expected, "{before}\n{after}");
    };
    is(
        "host all all all md5",
        "# the same\nhost all all 0.0.0.0/0 md5\nhost all all ::/0 \"md5\"",
        &[],
    );
    is(
        "host all all all md5",
        "host all all all scram-sha-256",
        &[
            "locked out|old|all|host|all|md5 (pg_hba.conf:2)|scram-sha-256 (line 2), but an MD5 hash is stored",
            "method changed|ann, member, odd name, standby|all|host|all|md5 (pg_hba.conf:2)|scram-sha-256 (line 2)",
        ],
    );
    is(
        "host shop ann all md5",
        "host shop ann 10.0.0.0/8 reject\nhost shop ann all md5",
        &["locked out|ann|shop|host|10.0.0.0/8|md5 (pg_hba.conf:2)|reject (line 2)"],
    );
    is(
        "hostssl shop +staff 10.0.0.0/8 md5",
        "hostssl shop +staff 10.1.0.0/16 md5",
        &[
            "locked out|member|shop|hostssl|10.0.0.0/8 except 10.1.0.0/16|md5 (pg_hba.conf:2)|no rule",
        ],
    );
    is(
        "local all ann reject",
        "local all ann trust",
        &["let in|ann|all|local||reject (pg_hba.conf:2)|trust (line 2)"],
    );
    is(
        "host shop ann 10.0.0.0/8 md5",
        "host shop ann example.com reject\nhost shop ann 10.0.0.0/8 md5",
        &[
            "locked out|ann|shop|host|10.0.0.0/8|md5 (pg_hba.conf:2)|reject (line 2) if the client's host name is example.com; otherwise md5 (line 3)",
        ],
    );
    is("host all blank all md5", "host all blank all scram-sha-256", &[]);
}

/// Errors of a comparison, and the privilege for it.
#[test]
fn errors_and_privileges() {
    let (cluster, mut admin) = prepared();
    admin
        .batch_execute("GRANT EXECUTE ON FUNCTION scram.compare_hba(text) TO ann")
        .expect("a grant");
    let code = |client: &mut Client, argument: &str| {
        let error = client.simple_query(&format!("SELECT * FROM scram.compare_hba({argument})"));
        error.err().map(|error| error.code().expect("an SQLSTATE").clone())
    };
    let mut ann = cluster.client_as("ann", "postgres");
    let mut member = cluster.client_as("member", "postgres");
    assert_eq!(code(&mut member, "'local all all md5'"), Some(SqlState::INSUFFICIENT_PRIVILEGE));
    assert_eq!(code(&mut ann, "'local all all md5'"), None);
    assert_eq!(code(&mut ann, "NULL"), Some(SqlState::NULL_VALUE_NOT_ALLOWED));
    assert_eq!(code(&mut ann, "'# none'"), Some(SqlState::INVALID_PARAMETER_VALUE));
    assert_eq!(code(&mut ann, "'local all all mmd5'"), Some(SqlState::INVALID_PARAMETER_VALUE));
    assert_eq!(code(&mut ann, "'local all @names md5'"), Some(SqlState::INSUFFICIENT_PRIVILEGE));
    // Objects of the caller do not stand in for those of pg_catalog.
    ann.batch_execute(
        "CREATE TEMP TABLE pg_authid (rolname name, rolcanlogin boolean);
         CREATE TEMP TABLE pg_database (datname name, datallowconn boolean)",
    )
    .expect("tables");
    let found = compared(&mut ann, "local all all reject");
    assert!(found.iter().any(|row| row[0] == "locked out" && row[1] == "all"), "{found:?}");

    fs::write(cluster.dir().join("data/pg_hba.conf"), "local all all trust\nnonsense\n")
        .expect("a file");
    let error = admin
        .simple_query("SELECT * FROM scram.compare_hba('local all all md5')")
        .expect_err("a bad file");
    let error = error.as_db_error().expect("an error of the server");
    assert_eq!(*error.code(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert!(
        error.detail().is_some_and(|detail| detail.starts_with("pg_hba.conf:2: ")),
        "{error:?}"
    );
    // The text has no error here, and stays out of the log nevertheless.
    let secret = "host all all all radius radiusservers=127.0.0.1 radiussecrets=hunter2";
    assert_eq!(
        code(&mut admin, &format!("'{secret}'")),
        Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
    );
    assert!(!cluster.log().contains("hunter"), "{}", cluster.log());
    // The server's parser quotes a password in a message that a client can ask for.
    let rule = r#"host all all all radius radiusservers=127.0.0.1 radiussecrets="""hunter2""#;
    fs::write(cluster.dir().join("data/pg_hba.conf"), rule).expect("a file");
    let shown = cluster.psql(&[
        "-c",
        "SET client_min_messages = debug5",
        "-c",
        "SELECT * FROM scram.compare_hba('local all all md5')",
    ]);
    let shown = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert!(shown.contains("an error in a line with a secret"), "{shown}");
    assert!(!shown.contains("hunter"), "{shown}");
}
