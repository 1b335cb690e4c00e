//! Compares `no_matching_hba_rule` with real logins: psql cannot log in as a role with the finding,
//! and can log in as a role without it.

use scram_ext_client_tests::{Cluster, cell, rows};

/// Random rules, each judged by the audit and tried with every role through every door.
const ROUNDS: usize = 40;

/// Name, how it is made, and its password as far as it has one.
const ROLES: &[(&str, &str, &str)] = &[
    ("scram", "PASSWORD 'Xq8-scram'", "Xq8-scram"),
    ("old", "PASSWORD 'Xq8-old'", "Xq8-old"),
    ("blank", "", "x"),
    ("expired", "PASSWORD 'Xq8-expired' VALID UNTIL '2001-01-01'", "Xq8-expired"),
    ("member", "PASSWORD 'Xq8-member' IN ROLE staff", "Xq8-member"),
    ("Odd \"name", "PASSWORD 'Xq8-odd'", "Xq8-odd"),
];

const TYPES: &[&str] = &["local", "host", "hostnossl", "hostssl"];
const DATABASES: &[&str] =
    &["all", "all", "shop", "closed", "sameuser", "samerole", "replication", "shop,scram"];
const USERS: &[&str] = &[
    "all",
    "all",
    "scram",
    "old",
    "blank,expired",
    "+staff",
    "member",
    "\"Odd \"\"name\"",
    "nobody",
];
/// Addresses that the test itself comes from, or all addresses at once, because the test cannot log
/// in from others.
const ADDRESSES: &[&str] = &["127.0.0.1/32", "127.0.0.1/32", "::1/128"];
const METHODS: &[&str] =
    &["scram-sha-256", "scram-sha-256", "md5", "password", "reject", "reject", "trust"];

#[test]
fn the_audit_and_psql_agree() {
    let cluster = Cluster::builder().conf("listen_addresses = '127.0.0.1, ::1'").start();
    let mut admin = cluster.client();
    for statement in [
        "CREATE EXTENSION scram_ext",
        "CREATE ROLE staff",
        "CREATE DATABASE shop",
        "CREATE DATABASE scram",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed, postgres, template1 FROM PUBLIC",
    ] {
        admin.batch_execute(statement).expect(statement);
    }
    for (name, options, _) in ROLES {
        let encryption = if *name == "old" { "md5" } else { "scram-sha-256" };
        let name = name.replace('"', "\"\"");
        admin
            .batch_execute(&format!(
                "SET password_encryption = '{encryption}'; CREATE ROLE \"{name}\" LOGIN {options}"
            ))
            .expect("a role");
    }

    let seed = 20_260_115;
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut locked, mut open) = (0, 0);
    for round in 0..ROUNDS {
        let rules = random_rules(&mut random);
        cluster.reload_hba(&mut admin, &rules);
        // Half of the rounds let some roles connect to the database `closed`.
        let grant = random.bool();
        let verb = if grant {
            "GRANT CONNECT ON DATABASE closed TO"
        } else {
            "REVOKE CONNECT ON DATABASE closed FROM"
        };
        admin.batch_execute(&format!("{verb} scram, old, member")).expect("a grant");

        let found = rows(
            &mut admin,
            "SELECT subject FROM scram.audit() WHERE check_id = 'no_matching_hba_rule' AND subject <> 'postgres'",
        );
        for (name, _, password) in ROLES {
            let said = found.iter().flatten().any(|subject| subject.as_deref() == Some(*name));
            let gets_in = ["shop", "scram", "closed", "postgres"].iter().any(|database| {
                [None, Some("127.0.0.1"), Some("::1")]
                    .iter()
                    .any(|host| cluster.psql_opens(*host, name, database, password))
            });
            assert_ne!(
                said, gets_in,
                "seed {seed}, round {round}, role {name}, grant {grant}:\n{rules}"
            );
            if said { locked += 1 } else { open += 1 }
        }
    }
    println!("agreed on all: {locked} locked out, {open} not");
    // Both happen often enough to say something.
    assert!(locked > 40 && open > 40, "{locked} locked out, {open} not");
    let invalid = "SELECT count(*) FROM pg_hba_file_rules WHERE type IS NULL";
    assert_eq!(cell(&mut admin, invalid).as_deref(), Some("0"));
}

/// One to eight rules. The superuser needs none, because that session is already open.
fn random_rules(random: &mut fastrand::Rng) -> String {
    let mut rules = String::new();
    for _ in 0..random.usize(1..=8) {
        let mut pick = |from: &[&'static str]| from[random.usize(..from.len())];
        let (connection, database, user) = (pick(TYPES), pick(DATABASES), pick(USERS));
        let address = if connection == "local" { "" } else { pick(ADDRESSES) };
        let method = pick(METHODS);
        rules += &format!("{connection} {database} {user} {address} {method}\n");
    }
    rules
}
