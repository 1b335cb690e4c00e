//! Words of pg_hba.conf: keywords, the same in quotes, groups, lists and files of names. The audit
//! and real logins must agree about each role.

use std::fs;

use scram_ext_client_tests::{Cluster, Feature, cell, rows};

/// Random files, each judged by the audit and tried with every role.
const ROUNDS: usize = 65;

/// Roles and databases, most of them with the name of a keyword.
const NAMES: &[&str] = &["ann", "all", "replication", "sameuser", "+staff", "/^a"];

const DATABASES: &[&str] = &[
    "all",
    "all",
    "ann",
    r#""all""#,
    "sameuser",
    r#""sameuser""#,
    "samerole",
    r#""samerole","ann""#,
    "replication",
    r#""replication""#,
    r#""ann",sameuser"#,
    "@names",
];
const USERS: &[&str] = &[
    "all",
    "all",
    r#""all""#,
    r#""all", ann"#,
    "+staff",
    r#""+staff""#,
    r#"ann,"sameuser""#,
    r#""replication",all"#,
    "replication",
    "@names",
    r#""@names""#,
    "/^a",
    r#"a"ll""#,
    r#"""all"#,
];
/// The same addresses in one file, because the test cannot log in from others.
const ADDRESSES: &[&[&str]] = &[
    &["127.0.0.1/32", "127.0.0.1 255.255.255.255"],
    &["127.0.0.0/8", "127.0.0.0 255.0.0.0"],
    &["0.0.0.0/0", "0.0.0.0 0.0.0.0"],
];
const METHODS: &[&str] = &["scram-sha-256", "scram-sha-256", "md5", "password", "reject"];

#[test]
fn the_audit_and_psql_agree_on_words() {
    let cluster = Cluster::builder().start();
    let mut admin = cluster.client();
    admin
        .batch_execute("CREATE EXTENSION scram_ext; CREATE ROLE staff; CREATE ROLE \"samerole\"")
        .expect("the extension");
    for name in NAMES {
        let group = if *name == "sameuser" { "IN ROLE staff, samerole" } else { "" };
        let role = format!("CREATE ROLE \"{name}\" LOGIN PASSWORD 'Xq8-secret' {group}");
        admin.batch_execute(&role).expect("a role");
        if !name.starts_with('/') && !name.starts_with('+') {
            admin.batch_execute(&format!("CREATE DATABASE \"{name}\"")).expect("a database");
        }
    }
    for statement in [
        "CREATE DATABASE samerole",
        "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC",
        // A later reload must not refuse the superuser.
        "SELECT pg_reload_conf()",
    ] {
        admin.batch_execute(statement).expect(statement);
    }
    let data = cluster.dir().join("data");
    fs::write(data.join("names"), "ann # a comment\n\"all\"\n@more\n").expect("names");
    fs::write(data.join("more"), "\"sameuser\", \\\nreplication\n").expect("names");

    let seed = 20_261_128;
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut locked, mut open) = (0, 0);
    for round in 0..ROUNDS {
        let rules = random_rules(&mut random);
        cluster.reload_hba(&mut admin, &rules);
        let invalid = "SELECT string_agg(error, '; ') FROM pg_hba_file_rules";
        assert_eq!(cell(&mut admin, invalid), None, "{rules}");

        let found = rows(
            &mut admin,
            "SELECT subject FROM scram.audit() WHERE check_id = 'no_matching_hba_rule'",
        );
        for name in NAMES {
            let said = found.iter().flatten().any(|subject| subject.as_deref() == Some(*name));
            let databases = ["ann", "all", "replication", "sameuser", "samerole"];
            let gets_in = databases.iter().any(|database| {
                [None, Some("127.0.0.1")]
                    .iter()
                    .any(|host| cluster.psql_opens(*host, name, database, "Xq8-secret"))
            });
            let context = format!("seed {seed}, round {round}, role {name}:\n{rules}");
            if Feature::HbaPatterns.is_there() && rules.contains("/^a") {
                // The audit does not evaluate patterns, and takes each for one that may match.
                assert!(!said || !gets_in, "{context}");
            } else {
                assert_ne!(said, gets_in, "{context}");
            }
            if said { locked += 1 } else { open += 1 }
        }
    }
    println!("agreed on all: {locked} locked out, {open} not");
    assert!(locked > 60 && open > 60, "{locked} locked out, {open} not");
}

/// One to five rules, some of them continued on a second line.
fn random_rules(random: &mut fastrand::Rng) -> String {
    let addresses = ADDRESSES[random.usize(..ADDRESSES.len())];
    let mut rules = String::from("# rules\n");
    for _ in 0..random.usize(1..=5) {
        let mut pick = |from: &[&'static str]| from[random.usize(..from.len())];
        let (database, user, method) = (pick(DATABASES), pick(USERS), pick(METHODS));
        let (connection, address) = match pick(&["local", "host", "host"]) {
            "local" => ("local", ""),
            host => (host, pick(addresses)),
        };
        // A host of that name never connects here.
        let address = match method {
            "reject" if connection == "host" => pick(&[address, address, r#""all""#]),
            _ => address,
        };
        let blank = pick(&[" ", "\t", " \\\n "]);
        rules += &format!("{connection} {database}{blank}{user} {address} {method}\n");
    }
    rules
}

/// Rules are shown as the file means them, and superusers are told apart.
#[test]
fn rules_are_shown_as_they_are_meant() {
    let cluster = Cluster::builder()
        .hba("local all postgres trust")
        .hba("local \"all\" \"+staff\",ann trust")
        .hba("host all all \"all\" trust")
        .start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext; CREATE ROLE ann LOGIN").expect("a role");
    let found = rows(
        &mut client,
        "SELECT concat_ws('|', severity, subject, evidence) FROM scram.audit() WHERE check_id = 'hba_trust'
         ORDER BY substring(evidence from ':(\\d+)$')",
    );
    let found: Vec<_> = found.into_iter().flatten().flatten().collect();
    let no_role =
        "no role: no such role, earlier rules decide, or the server does not listen there";
    assert_eq!(
        found,
        [
            "warning|local all postgres trust, pg_hba.conf:1|decides about superusers only: \"postgres\"; pg_hba.conf:1",
            &format!(
                "critical|local \"all\" \"+staff\",ann trust, pg_hba.conf:2|decides about {no_role}; pg_hba.conf:2"
            ),
            // The server may find a client of that name.
            "critical|host all all \"all\" trust, pg_hba.conf:3|decides about every role that may log in; pg_hba.conf:3",
            "critical|local all all trust, pg_hba.conf:4|decides about \"ann\"; pg_hba.conf:4",
        ]
    );
}

/// A method that does not use the stored password is a way in.
#[test]
fn other_methods_are_a_way_in() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "INSERT INTO scram.audit_policy (check_id, action) VALUES ('login_without_password', 'notice');
             SET password_encryption = 'md5';
             CREATE ROLE old LOGIN PASSWORD 'Xq8-old';
             CREATE ROLE blank LOGIN",
        )
        .expect("roles");
    let found = "SELECT string_agg(subject || ' ' || check_id, ', ' ORDER BY subject, check_id)
                 FROM scram.audit()
                 WHERE subject IN ('old', 'blank')
                   AND check_id IN ('no_matching_hba_rule', 'login_without_password')";
    for (rules, expected) in [
        (
            "host all all all scram-sha-256",
            Some(
                "blank login_without_password, blank no_matching_hba_rule, old no_matching_hba_rule",
            ),
        ),
        (
            "host all all all ldap ldapserver=localhost ldapprefix=x\nlocal all all scram-sha-256",
            None,
        ),
        ("host all all all radius radiusservers=localhost radiussecrets=x", None),
        ("local all all peer", None),
        ("host all all all ident\nhost all all all scram-sha-256", None),
        ("host all all all pam", None),
        (
            "local all all reject\nhost all old all pam",
            Some("blank login_without_password, blank no_matching_hba_rule"),
        ),
    ] {
        cluster.reload_hba(&mut client, rules);
        let invalid = "SELECT string_agg(error, '; ') FROM pg_hba_file_rules";
        assert_eq!(cell(&mut client, invalid), None, "{rules}");
        assert_eq!(cell(&mut client, found).as_deref(), expected, "{rules}");
    }
}
