//! Many rules, roles and databases: bounds of memory, and cancelling.

use std::fs;

use postgres::Client;
use postgres::error::SqlState;
use scram_ext_client_tests::{Cluster, Feature, cell};

use super::prepared;

/// The most memory of a comparison, in KiB.
const MOST: u64 = 256 * 1024;

/// The most memory that the session has had, in KiB.
fn memory(client: &mut Client) -> u64 {
    let pid = cell(client, "SELECT pg_backend_pid()").expect("a pid");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// As many rules as there may be, with names of hosts, for all of 2,000 roles and for single ones. Each of these
/// comparisons is made within the bound of memory, or refused.
#[test]
fn many_hosts_and_roles_stay_within_memory() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE mixed;
             DO $$ BEGIN FOR i IN 1..2000 LOOP EXECUTE format('CREATE ROLE r%s LOGIN IN ROLE mixed', i); END LOOP; END $$",
        )
        .expect("roles");
    let rules = |name: &str, user: &dyn Fn(usize) -> String, method: &str| {
        (0..4999).fold(String::from("local all postgres trust\n"), |rules, n| {
            // Each network has the names before it as its conditions.
            let address = match user(n).as_str() {
                "+mixed" if n.is_multiple_of(2) => format!("10.1.{}.{}/32", n / 250, n % 250),
                _ => format!("{name}{n}.example"),
            };
            rules + &format!("host all {} {address} {method}\n", user(n))
        })
    };
    let everyone = |_: usize| "all".to_owned();
    let one = |n: usize| format!("r{}", 1 + n % 2000);
    let some = |n: usize| if n.is_multiple_of(2) { one(n) } else { everyone(n) };
    let mixed = |_: usize| "+mixed".to_owned();
    let users: [(&str, &dyn Fn(usize) -> String); 4] =
        [("all", &everyone), ("one", &one), ("some", &some), ("mixed", &mixed)];
    for (whose, user) in users {
        for (name, method) in [("host", "trust"), ("other", "trust"), ("host", "password")] {
            cluster.reload_hba(&mut admin, &rules("host", user, "trust"));
            let mut session = cluster.client();
            session.batch_execute("SET statement_timeout = '60s'").expect("a setting");
            let (start, begun) = (memory(&mut session), std::time::Instant::now());
            let after = rules(name, user, method);
            let found = session.query_one("SELECT count(*) FROM scram.compare_hba($1)", &[&after]);
            let more = memory(&mut session) - start;
            let found = match found {
                Ok(row) => format!("{} rows", row.get::<_, i64>(0)),
                Err(error) => error.code().expect("an SQLSTATE").code().to_owned(),
            };
            println!(
                "{whose}, {name}, {method}: {found} in {:?}, {more} KiB more",
                begun.elapsed()
            );
            assert!(more < MOST, "{more} KiB");
            assert!(found == "54000" || found.ends_with(" rows"), "{whose}, {name}: {found}");
        }
    }
}

/// Regular expressions of a few bytes, each of which takes megabytes once it is compiled: the server reads a file with
/// all of them at the same time, and the text one after the other.
#[test]
fn patterns_are_compiled_one_by_one() {
    if !Feature::HbaPatterns.is_there() {
        return;
    }
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let pattern = |number: usize| format!("\"/(x{{0,60}}){{0,60}}q{number}\"");
    let patterns: Vec<_> = (0..20).map(pattern).collect();
    let text = format!("local all postgres trust\nlocal all {} md5\n", patterns.join(","));
    let start = memory(&mut admin);
    let sql = "SELECT count(*) FROM scram.compare_hba($1)";
    admin.query_one(sql, &[&text]).expect("a comparison");
    let more = memory(&mut admin) - start;
    let mut other = cluster.client();
    let start = memory(&mut other);
    cluster.reload_hba(&mut admin, &text);
    cell(&mut other, "SELECT count(*) FROM pg_hba_file_rules");
    let of_server = memory(&mut other) - start;
    println!("{more} KiB more for the text, {of_server} KiB more for the view");
    assert!(more < 64 * 1024 && more * 2 < of_server, "{more} KiB, {of_server} KiB");
}

/// Conditions that only the server can test are combined with each other, and a cancel is answered meanwhile.
#[test]
fn many_conditions_can_be_cancelled() {
    let (cluster, mut admin) = prepared();
    let hosts = |name: &str, count: usize| -> String {
        (0..count).map(|n| format!("host all all {name}{n}.example md5\n")).collect()
    };
    let networks = |count: usize| -> String {
        (0..count)
            .map(|n| format!("host all all 10.1.{}.{}/32 trust\n", n / 250, n % 250))
            .collect()
    };
    cluster.reload_hba(&mut admin, &format!("local all all trust\n{}", hosts("old", 2000)));
    let text = format!("local all all trust\n{}{}", hosts("new", 2000), networks(1000));
    admin.batch_execute("SET statement_timeout = '1s'").expect("a setting");
    let begun = std::time::Instant::now();
    let error = admin
        .simple_query(&format!("SELECT count(*) FROM scram.compare_hba('{text}')"))
        .expect_err("a long comparison");
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error:?}");
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
}

/// The largest comparison that is promised: 500 rules, 2,000 roles, 50 databases. Memory is checked by the limit on
/// the server's address space.
#[test]
fn a_large_cluster_fits_into_memory() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "DO $$ BEGIN
                 FOR i IN 1..50 LOOP EXECUTE format('CREATE ROLE team%s', i); END LOOP;
                 FOR i IN 1..2000 LOOP EXECUTE format('CREATE ROLE r%s LOGIN IN ROLE team%s', i, 1 + i % 50); END LOOP;
                 UPDATE pg_authid SET rolpassword = 'md50123456789abcdef0123456789abcdef' WHERE rolname LIKE 'r%';
             END $$",
        )
        .expect("roles");
    // A database without files: nothing connects to it.
    admin
        .batch_execute(
            "INSERT INTO pg_database SELECT (t).* FROM (
                 SELECT jsonb_populate_record(d, jsonb_build_object('oid', 100000 + i, 'datname', 'db' || i)) AS t
                 FROM pg_database d, generate_series(1, 50) i WHERE d.datname = 'postgres') x",
        )
        .expect("databases");
    let rules = |method: &str| {
        let mut random = fastrand::Rng::with_seed(5);
        (0..500).fold(String::from("local all postgres trust\n"), |rules, number| {
            let user = match number % 5 {
                0 => format!("+team{}", random.u8(1..=50)),
                1 => "all".to_owned(),
                _ => (0..4)
                    .map(|_| format!("r{}", random.u16(1..=2000)))
                    .collect::<Vec<_>>()
                    .join(","),
            };
            let database =
                if number % 3 == 0 { "all".to_owned() } else { format!("db{}", random.u8(1..=50)) };
            let network = format!("10.{}.{}.0/{}", random.u8(..), random.u8(..), random.u8(9..=24));
            rules + &format!("host {database} {user} {network} {method}\n")
        })
    };
    cluster.reload_hba(&mut admin, &rules("md5"));
    let after = rules("scram-sha-256");
    let (start, begun) = (memory(&mut admin), std::time::Instant::now());
    let found = cell(&mut admin, &format!("SELECT count(*) FROM scram.compare_hba('{after}')"));
    let more = memory(&mut admin) - start;
    println!("{found:?} rows in {:?}, {more} KiB more", begun.elapsed());
    assert!(more < MOST, "{more} KiB");
    assert_ne!(found.as_deref(), Some("0"));

    admin.batch_execute("SET statement_timeout = '20ms'").expect("a timeout");
    let error = admin.simple_query(&format!("SELECT count(*) FROM scram.compare_hba('{after}')"));
    let error = error.expect_err("a timeout");
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
}
