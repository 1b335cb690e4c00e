//! Attacks on unknown users' challenges: if real accounts differ in a value, mocks must differ in
//! it too.

use postgres::Client;
use scram_ext_client_tests::{Cluster, cell};

const MECHANISMS: [&str; 3] = ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// The salt of a challenge, as it is sent.
fn salt(client: &mut Client, call: &str) -> String {
    let sql = format!("SELECT substring(server_first FROM ',s=([^,]*),') FROM scram.{call}");
    cell(client, &sql).expect("a salt")
}

/// Which of these are equal: the place of the first one with the same value.
fn pattern(values: &[String]) -> Vec<Option<usize>> {
    values.iter().map(|value| values.iter().position(|other| other == value)).collect()
}

/// The salts of an unknown role must differ between mechanisms, because those of a known role do.
/// In an earlier version they were the same.
#[test]
fn mechanisms_do_not_tell_roles_from_unknown_names() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE known LOGIN PASSWORD 'pencil'; CREATE ROLE second LOGIN PASSWORD 'pencil';
             CREATE ROLE bare LOGIN; CREATE ROLE locked NOLOGIN PASSWORD 'pencil';
             SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'pencil'",
        )
        .expect("roles");
    let mut salts = |role: &str| {
        MECHANISMS.map(|mechanism| {
            salt(
                &mut client,
                &format!("role_handshake_start('n,,n=,r=abc', '{role}', '{mechanism}')"),
            )
        })
    };
    let known = salts("known");
    for role in ["second", "bare", "locked", "old", "nobody", "somebody"] {
        let other = salts(role);
        assert_eq!(pattern(&other), pattern(&known), "{role}");
        assert_eq!(
            other.clone().map(|salt| salt.len()),
            known.clone().map(|salt| salt.len()),
            "{role}"
        );
        assert_eq!(salts(role), other, "{role}: the same at every try");
        // No salt of one name is a salt of another.
        assert!(other.iter().all(|salt| !known.contains(salt)), "{role}");
    }
}

#[test]
fn mechanisms_do_not_tell_accounts_from_unknown_names() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let salts = MECHANISMS.map(|mechanism| {
        salt(
            &mut client,
            &format!("handshake_start('n,,n=ghost,r=abc', NULL, NULL, '{mechanism}')"),
        )
    });
    assert_eq!(pattern(&salts), [Some(0), Some(1), Some(2)]);
    // A verifier of another mechanism is ignored, so its user gets the challenge of an unknown one.
    let other = salt(
        &mut client,
        "handshake_start('n,,n=ghost,r=abc', scram.generate('pencil'), NULL, 'SCRAM-SHA-512')",
    );
    assert_eq!(other, salts[2]);
}

/// Two tables of accounts have different salts for one name, and so have the mocks of two databases.
#[test]
fn databases_have_mocks_of_their_own() {
    let cluster = Cluster::builder().hba("local replication all trust").start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    client.batch_execute("CREATE DATABASE other").expect("a database");
    let mut other = cluster.client_as("postgres", "other");
    other.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    let ghost = "handshake_start('n,,n=ghost,r=abc', NULL)";
    let role = "role_handshake_start('n,,n=,r=abc', 'ghost', 'SCRAM-SHA-512')";
    let here = salt(&mut client, ghost);
    assert_ne!(salt(&mut other, ghost), here);
    // Roles belong to the cluster.
    assert_eq!(salt(&mut other, role), salt(&mut client, role));

    // Standbys agree with their primary, database by database.
    let standby = cluster.standby();
    assert_eq!(salt(&mut standby.client(), ghost), here);
    assert_eq!(salt(&mut standby.client(), role), salt(&mut client, role));
    let there = salt(&mut other, ghost);
    assert_eq!(salt(&mut standby.client_as("postgres", "other"), ghost), there);
}
