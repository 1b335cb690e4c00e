//! Compares `explain_login` with real logins by libpq: verdict, SQLSTATE and message.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use postgres::Client;
use scram_ext_client_tests::{Cluster, Feature, cell, until};

/// How many logins are compared. The environment variable `LOGIN_CASES` sets another number.
const CASES: usize = 240;

/// Logins with the same rules.
const CASES_PER_ROUND: usize = 20;

const PASSWORD: &str = "Xq8-secret-9";

/// Roles in all states, and what belongs to them.
const ROLES: &str = r#"
CREATE ROLE staff;
CREATE ROLE gone;
CREATE ROLE plain LOGIN PASSWORD 'Xq8-secret-9';
CREATE ROLE blank LOGIN;
CREATE ROLE expired LOGIN PASSWORD 'Xq8-secret-9' VALID UNTIL '2001-01-01';
CREATE ROLE later LOGIN PASSWORD 'Xq8-secret-9' VALID UNTIL '2101-01-01';
CREATE ROLE nologin PASSWORD 'Xq8-secret-9';
CREATE ROLE unlimited LOGIN PASSWORD 'Xq8-secret-9' CONNECTION LIMIT 5;
CREATE ROLE full_role LOGIN PASSWORD 'Xq8-secret-9' CONNECTION LIMIT 0;
CREATE ROLE root LOGIN SUPERUSER PASSWORD 'Xq8-secret-9' CONNECTION LIMIT 0;
CREATE ROLE standby LOGIN REPLICATION PASSWORD 'Xq8-secret-9';
CREATE ROLE standby_preloads LOGIN REPLICATION PASSWORD 'Xq8-secret-9';
ALTER ROLE standby_preloads SET session_preload_libraries = 'no_such_library';
CREATE ROLE member LOGIN PASSWORD 'Xq8-secret-9' IN ROLE staff;
CREATE ROLE shop LOGIN PASSWORD 'Xq8-secret-9';
CREATE ROLE "Odd ""name" LOGIN PASSWORD 'Xq8-secret-9';
CREATE ROLE "all" LOGIN PASSWORD 'Xq8-secret-9';
CREATE ROLE lax LOGIN PASSWORD 'Xq8-secret-9';
UPDATE pg_authid SET rolpassword = replace(rolpassword, '$4096:', '$ 4096:') WHERE rolname = 'lax';
CREATE ROLE broken LOGIN;
UPDATE pg_authid SET rolpassword = 'SCRAM-SHA-256$4096:broken' WHERE rolname = 'broken';
CREATE ROLE preloads LOGIN PASSWORD 'Xq8-secret-9';
ALTER ROLE preloads SET session_preload_libraries = 'no_such_library';
CREATE ROLE preloads_empty LOGIN PASSWORD 'Xq8-secret-9';
ALTER ROLE preloads_empty SET session_preload_libraries = '';
CREATE ROLE preloads_local LOGIN PASSWORD 'Xq8-secret-9';
ALTER ROLE preloads_local SET local_preload_libraries = 'no_such_library';
CREATE ROLE preloads_path LOGIN PASSWORD 'Xq8-secret-9';
ALTER ROLE preloads_path SET local_preload_libraries = '/tmp/no_such_library';
CREATE ROLE becomes LOGIN PASSWORD 'Xq8-secret-9';
ALTER ROLE becomes SET work_mem = '8MB';
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD 'Xq8-secret-9';
"#;

const NAMES: &[&str] = &[
    "plain",
    "plain",
    "member",
    "old",
    "old",
    "blank",
    "expired",
    "later",
    "nologin",
    "unlimited",
    "full_role",
    "root",
    "standby",
    "standby",
    "standby_preloads",
    "shop",
    "Odd \"name",
    "all",
    "lax",
    "broken",
    "preloads",
    "preloads_empty",
    "preloads_local",
    "preloads_path",
    "becomes",
    "missing",
    "postgres",
    "staff",
];

const DATABASES: &[&str] = &[
    "postgres",
    "postgres",
    "shop",
    "shop",
    "closed",
    "private",
    "full",
    "template1",
    "template0",
    "missing",
    "staff",
    "plain",
    "Odd db",
    "library",
    "all",
];

const MAKE_DATABASES: &[&str] = &[
    "CREATE DATABASE shop",
    "CREATE DATABASE closed ALLOW_CONNECTIONS false",
    "CREATE DATABASE private",
    "REVOKE CONNECT ON DATABASE private FROM PUBLIC",
    "GRANT CONNECT ON DATABASE private TO staff",
    "CREATE DATABASE \"full\" CONNECTION LIMIT 0",
    "CREATE DATABASE staff",
    "CREATE DATABASE plain",
    "CREATE DATABASE \"Odd db\"",
    "CREATE DATABASE \"all\"",
    "CREATE DATABASE library",
    "ALTER DATABASE library SET session_preload_libraries = 'no_such_library, scram_ext'",
    "ALTER ROLE becomes SET role = gone",
    "DROP ROLE gone",
];

const TYPES: &[&str] =
    &["local", "local", "host", "host", "hostssl", "hostnossl", "hostnogssenc", "hostgssenc"];
const RULE_DATABASES: &[&str] = &[
    "all",
    "all",
    "all",
    "all,replication",
    "shop",
    "shop,plain",
    "sameuser",
    "samerole",
    "replication",
    "\"all\"",
    "\"replication\"",
    "\"Odd db\"",
    "private,full,closed",
    "missing,postgres",
    "@names",
];
const RULE_USERS: &[&str] = &[
    "all",
    "all",
    "all",
    "plain",
    "+staff",
    "member,old",
    "\"Odd \"\"name\"",
    "\"all\"",
    "missing",
    "standby,standby_preloads",
    "root,postgres",
    "shop",
    "+missing",
    "+plain",
    "@names",
];
const ADDRESSES: &[&str] = &[
    "127.0.0.1/32",
    "127.0.0.1/32",
    "127.0.0.0/8",
    "127.0.0.1 255.255.255.255",
    "0.0.0.0/0",
    "::1/128",
    "::/0",
    "all",
    "samehost",
    "samenet",
    "10.0.0.0/8",
    "127.0.0.1 255.0.0.255",
    "{own}/32",
];
/// Names in rules since PostgreSQL 16.
const PATTERNS: &[&str] = &["/^s", "\"/^(plain|old|shop|postgres)$\"", "/e,missing", "/^$"];
const METHODS: &[&str] = &[
    "scram-sha-256",
    "scram-sha-256",
    "scram-sha-256",
    "md5",
    "md5",
    "password",
    "reject",
    "trust",
    "trust",
];

/// A login that is compared.
#[derive(Debug)]
struct Case {
    role: &'static str,
    database: &'static str,
    /// `None` for the socket.
    host: Option<String>,
    tls: bool,
    /// For physical replication, as a standby does.
    replication: bool,
    /// For logical replication, with a database: rules and messages are those of other connections to it.
    logical: bool,
}

#[test]
fn the_verdict_is_that_of_a_real_login() {
    let number = std::env::var("LOGIN_CASES").ok().and_then(|number| number.parse().ok());
    let number: usize = number.unwrap_or(CASES);
    let cluster = server();
    let mut admin = cluster.client();
    let hosts = hosts();
    let seed = 20_261_128;
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut accepted, mut refused, mut unknown) = (0, 0, 0);
    for round in 0..number.div_ceil(CASES_PER_ROUND) {
        let rules = random_rules(&mut random, &hosts);
        let rules = with_include(&cluster, &rules, &mut random);
        let ssl = if random.u8(..) < 220 { "on" } else { "off" };
        admin.batch_execute(&format!("ALTER SYSTEM SET ssl = {ssl}")).expect("ssl");
        reload(&cluster, &mut admin, &rules);
        let broken = "SELECT string_agg(line_number || ': ' || error, ', ') FROM pg_hba_file_rules WHERE type IS NULL";
        assert_eq!(cell(&mut admin, broken), None, "round {round}:\n{rules}");
        for _ in 0..CASES_PER_ROUND {
            let case = random_case(&mut random, &hosts);
            let place = || format!("seed {seed}, round {round}, ssl {ssl}, {case:?}:\n{rules}");
            let (ok, detail) = verdict(&mut admin, &case, None);
            let proposed = verdict(&mut admin, &case, Some(&rules));
            assert_eq!((ok, &*detail), (proposed.0, &*proposed.1), "as a text: {}", place());
            let before = cluster.log().len();
            let psql = login(&cluster, &case);
            let said = String::from_utf8_lossy(&psql.stderr).into_owned();
            let log = cluster.log().split_off(before);
            match ok {
                None => unknown += 1,
                Some(true) => {
                    assert!(psql.status.success(), "accepted: {detail}\n{said}\n{}", place());
                    accepted += 1;
                }
                Some(false) => {
                    assert!(!psql.status.success(), "refused: {detail}\n{}", place());
                    assert_eq!(detail, error(&log, &said), "{said}\n{}", place());
                    refused += 1;
                }
            }
        }
    }
    println!(
        "agreed on all: {accepted} accepted, {refused} refused; {unknown} only a login can tell"
    );
    let all = accepted + refused + unknown;
    assert!(unknown * 10 < all, "{unknown} of {all} only a login can tell");
    assert!(accepted * 10 > all && refused * 10 > all, "{accepted} accepted, {refused} refused");
}

/// The error of a login as the verdict names it.
fn error(log: &str, said: &str) -> String {
    let fatal = log.lines().rev().find_map(|line| line.split_once("|FATAL:  "));
    match fatal {
        Some((sqlstate, message)) => {
            assert!(said.contains(&format!("FATAL:  {message}")), "{said}\n{log}");
            format!("the server refuses the login with SQLSTATE {sqlstate}: {message}")
        }
        None => {
            let message = said.trim_end().rsplit(": ").next().unwrap_or_default();
            format!("the client cannot connect: {message}")
        }
    }
}

fn verdict(admin: &mut Client, case: &Case, rules: Option<&str>) -> (Option<bool>, String) {
    let explain = "SELECT ok, detail
         FROM scram.explain_login($1::text::name, $2::text::name, $3::text::inet, $4, $5, $6)
         WHERE check_name = 'login'";
    let Case { role, database, host, tls, replication, .. } = case;
    let row = admin
        .query_one(explain, &[role, database, &host, tls, replication, &rules])
        .unwrap_or_else(|error| panic!("{error:?}: {case:?}"));
    (row.get(0), row.get(1))
}

fn login(cluster: &Cluster, case: &Case) -> std::process::Output {
    let socket = cluster.dir().display().to_string();
    let mut parameters = vec![
        ("host", case.host.as_deref().unwrap_or(&socket)),
        ("user", case.role),
        ("dbname", case.database),
        ("sslmode", if case.tls { "require" } else { "disable" }),
        ("gssencmode", "disable"),
    ];
    let sql = if case.replication || case.logical {
        parameters.push(("replication", if case.logical { "database" } else { "true" }));
        "IDENTIFY_SYSTEM"
    } else {
        "SELECT 1"
    };
    cluster.psql_connect(&parameters, Some(PASSWORD), sql)
}

fn random_case(random: &mut fastrand::Rng, hosts: &[String]) -> Case {
    let host = random.usize(..=hosts.len());
    let role = NAMES[random.usize(..NAMES.len())];
    let replication = random.u8(..) < 30;
    let database = DATABASES[random.usize(..DATABASES.len())];
    // Only such roles may begin a session for replication. It loads no library of session_preload_libraries, and
    // versions differ in whether it counts for the limit of a database.
    let may_replicate =
        ["postgres", "root", "standby"].contains(&role) && !["full", "library"].contains(&database);
    Case {
        role,
        database,
        host: hosts.get(host).cloned(),
        tls: random.bool(),
        replication,
        logical: may_replicate && !replication && random.bool(),
    }
}

/// Several rules for few logins each, and often one for all at the end.
fn random_rules(random: &mut fastrand::Rng, hosts: &[String]) -> String {
    let own = hosts.iter().find(|host| !host.starts_with("127") && !host.contains(':'));
    let own = own.map_or("127.0.0.1", String::as_str);
    let mut rules = String::new();
    for _ in 0..random.usize(2..=9) {
        let mut pick = |from: &[&'static str]| from[random.usize(..from.len())];
        let (connection, database, user) = (pick(TYPES), pick(RULE_DATABASES), pick(RULE_USERS));
        let has_pattern = Feature::HbaPatterns.is_there();
        let (database, user) = match pick(&["", "", "", "", "", "database", "user"]) {
            "database" if has_pattern => (pick(PATTERNS), user),
            "user" if has_pattern => (database, pick(PATTERNS)),
            _ => (database, user),
        };
        let (address, mut method) = (pick(ADDRESSES).replace("{own}", own), pick(METHODS));
        let address = match (connection, random.u8(..)) {
            ("local", _) => String::new(),
            // The server resolves the name of a host, so that only a login can tell.
            (_, ..16) => "localhost".to_owned(),
            _ => address,
        };
        match (connection, random.u8(..)) {
            ("local", ..20) => method = "peer",
            ("local", 20..40) => method = "peer map=nobody",
            ("hostssl", ..16) => method = "cert",
            _ => {}
        }
        rules += &format!("{connection}\t{database} {user} {address} {method} # a rule\n");
    }
    if random.u8(..) < 200 {
        let method = METHODS[random.usize(..METHODS.len())];
        let method = if method == "reject" { "scram-sha-256" } else { method };
        rules += &format!(
            "local all,replication all {method}\nhost all,replication all all \\\n {method}\n"
        );
    }
    rules
}

/// Moves the first rules to another file, which the text then includes.
fn with_include(cluster: &Cluster, rules: &str, random: &mut fastrand::Rng) -> String {
    if !Feature::HbaPatterns.is_there() || random.bool() {
        return rules.to_owned();
    }
    let data = cluster.dir().join("data");
    let end = rules.match_indices('\n').nth(random.usize(..2)).map_or(0, |(end, _)| end + 1);
    let (moved, rest) = rules.split_at(end);
    let (file, directive) = match random.u8(..3) {
        0 => ("part.conf", "include part.conf"),
        1 => ("part.conf", "include_if_exists no_such_file\ninclude_if_exists \"part.conf\""),
        _ => ("parts.d/1.conf", "include_dir parts.d # all of them"),
    };
    fs::create_dir_all(data.join("parts.d")).expect("a folder");
    fs::write(data.join(file), moved).expect(file);
    format!("{directive}\n{rest}")
}

/// The addresses at which the tests reach the server, each of which is the client's address too.
fn hosts() -> Vec<String> {
    let mut hosts = vec!["127.0.0.1".to_owned()];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        hosts.push("::1".to_owned());
    }
    // A datagram socket that is connected sends nothing, but has the address of its interface.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    if socket.connect("192.0.2.1:9").is_ok() {
        let own = socket.local_addr().expect("an address").ip();
        if !own.is_loopback() && !own.is_unspecified() {
            hosts.push(own.to_string());
        }
    }
    hosts
}

/// A server with TLS, the roles and the databases.
fn server() -> Cluster {
    let cluster = Cluster::builder()
        .conf("listen_addresses = '*'")
        .conf("log_line_prefix = '%e|'")
        .hba("local all postgres trust")
        .start();
    let data = cluster.dir().join("data");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let owner = fs::metadata(&data).expect("the data folder");
    for (name, text) in
        [("server.crt", made.cert.pem()), ("server.key", made.signing_key.serialize_pem())]
    {
        let file = data.join(name);
        fs::write(&file, text).expect(name);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect(name);
        chown(&file, Some(owner.uid()), Some(owner.gid())).expect(name);
    }
    fs::write(data.join("names"), "shop plain\n\"old\"\n").expect("names");
    let mut admin = cluster.client();
    admin.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    admin.batch_execute(ROLES).expect("the roles");
    for statement in MAKE_DATABASES {
        admin.batch_execute(statement).expect(statement);
    }
    cluster
}

/// Has the server load other rules, and waits until this session knows that it has.
fn reload(cluster: &Cluster, admin: &mut Client, rules: &str) {
    let loaded = "SELECT pg_conf_load_time()::text";
    let before = cell(admin, loaded);
    cluster.reload_hba(admin, rules);
    until("the session has reloaded", || (cell(admin, loaded) != before).then_some(()));
}
