//! Many rules, roles and databases: bounds of memory, and cancelling.

use std::fs;

use postgres::error::SqlState;
use scram_ext_client_tests::{Cluster, cell};

use super::prepared;

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
    let pid = cell(&mut admin, "SELECT pg_backend_pid()").expect("a pid");
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process");
        let line =
            status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line").to_owned();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
    };
    let (start, begun) = (memory(), std::time::Instant::now());
    let found = cell(&mut admin, &format!("SELECT count(*) FROM scram.compare_hba('{after}')"));
    println!("{found:?} rows in {:?}, {} KiB more", begun.elapsed(), memory() - start);
    assert!(memory() - start < 256 * 1024, "{} KiB", memory() - start);
    assert_ne!(found.as_deref(), Some("0"));

    admin.batch_execute("SET statement_timeout = '20ms'").expect("a timeout");
    let error = admin.simple_query(&format!("SELECT count(*) FROM scram.compare_hba('{after}')"));
    let error = error.expect_err("a timeout");
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
}
