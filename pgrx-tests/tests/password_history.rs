//! `scram.password_history`: the passwords that it rejects, and the verifiers that it keeps for
//! that.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows};

#[test]
fn the_last_passwords_do_not_come_back() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE alice LOGIN PASSWORD 'zero'; CREATE ROLE bob LOGIN; LOAD 'scram_ext'",
        )
        .expect("roles");

    // If it is off, no verifier is kept.
    assert_eq!(set(&mut client, "alice", "one"), Ok("set".to_owned()));
    assert_eq!(kept(&mut client), 0);

    client.batch_execute("SET scram.password_history = 3").expect("the setting");
    // The role's previous password is kept too, even if another function or user set it.
    assert_eq!(set(&mut client, "alice", "two"), Ok("set".to_owned()));
    assert_eq!(set(&mut client, "alice", "one"), Err("22023".to_owned()));
    client.batch_execute("ALTER ROLE alice PASSWORD 'three'").expect("ALTER ROLE");
    assert_eq!(set(&mut client, "alice", "four"), Ok("set".to_owned()));
    // The last three: two, three, four.
    for password in ["two", "three"] {
        assert_eq!(set(&mut client, "alice", password), Err("22023".to_owned()), "{password}");
    }
    assert_eq!(set(&mut client, "alice", "four"), Ok("unchanged".to_owned()), "no coming back");
    assert_eq!(set(&mut client, "bob", "two"), Ok("set".to_owned()), "a password of another role");
    // The fourth last may.
    assert_eq!(set(&mut client, "alice", "one"), Ok("set".to_owned()));
    assert_eq!(kept(&mut client), 4, "three of alice's, one of bob's");

    // The same password in a new verifier is not a new one, and takes no place.
    let more = "SELECT action FROM scram.set_role_password('alice', 'one', 5000)";
    assert_eq!(cell(&mut client, more).as_deref(), Some("set"));
    for password in ["three", "four"] {
        assert_eq!(set(&mut client, "alice", password), Err("22023".to_owned()), "{password}");
    }

    // Verifiers count where they can: they are kept, but not tried.
    let verifier = "SELECT scram.set_role_verifier('alice', scram.generate('three'))";
    client.batch_execute(verifier).expect("a verifier is no password");
    client.batch_execute("SELECT scram.rotate_role('alice')").expect("a random one");
    assert_eq!(set(&mut client, "alice", "three"), Err("22023".to_owned()));

    // Users who change their own password are bound by it too.
    client
        .batch_execute("ALTER DATABASE postgres SET scram.password_history = 3")
        .expect("for all");
    let mut bob = cluster.login("bob", b"two").expect("bob");
    let change = "SELECT scram.change_own_password('two', 'three'); SELECT scram.change_own_password('three', 'two')";
    assert_eq!(Raised::by(&mut bob, change).code, "22023");
    let change = "SELECT action FROM scram.change_own_password('two', 'three')";
    assert_eq!(cell(&mut bob, change).as_deref(), Some("set"));
    let raised = Raised::by(&mut bob, "SELECT scram.change_own_password('three', 'two')");
    assert_eq!(raised.code, "22023");
    assert!(raised.detail.is_some_and(|detail| detail.contains("last 3")));
}

#[test]
fn what_is_kept_is_verifiers_of_full_strength() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE alice; LOAD 'scram_ext'; SET scram.password_history = 5;
             SELECT scram.set_role_password('alice', 'a', 6000);
             SELECT scram.set_role_password('alice', 'b', 6000);
             SELECT scram.rotate_role('alice', 24, 6000)",
        )
        .expect("three passwords");
    let kept = rows(
        &mut client,
        "SELECT p.iterations, length(p.salt) >= 16, h.role = 'alice'::regrole, h.role_name
         FROM scram_internal.password_history h, scram.parse(h.verifier) p",
    );
    let expected = ["6000", "t", "t", "alice"].map(|text| Some(text.to_owned())).to_vec();
    assert_eq!(kept, vec![expected; 3]);
    let salts =
        "SELECT count(DISTINCT (scram.parse(verifier)).salt) FROM scram_internal.password_history";
    assert_eq!(cell(&mut client, salts).as_deref(), Some("3"));
    // The history follows the role's transaction: a rolled-back change leaves no row.
    client
        .batch_execute("BEGIN; SELECT scram.set_role_password('alice', 'c'); ROLLBACK")
        .expect("undone");
    assert_eq!(set(&mut client, "alice", "c"), Ok("set".to_owned()));
}

#[test]
fn a_dropped_roles_passwords_go() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    let of_alice = "SELECT count(*) FROM scram_internal.password_history WHERE role_name = 'alice'";
    client
        .batch_execute("CREATE ROLE bob; ALTER DATABASE postgres SET scram.password_history = 2")
        .expect("bob");
    let mut client2 = cluster.client();
    for (how, sql) in [
        ("the next write", "SELECT scram.rotate_role('bob')"),
        ("an audit", "CALL scram.run_audit()"),
        ("the owner", "SELECT scram_internal.prune_password_history()"),
    ] {
        client2.batch_execute("CREATE ROLE alice").expect("alice");
        assert_eq!(set(&mut client2, "alice", "one"), Ok("set".to_owned()));
        assert_eq!(set(&mut client2, "alice", "two"), Ok("set".to_owned()));
        client2.batch_execute("DROP ROLE alice").expect("no alice");
        assert_eq!(cell(&mut client, of_alice).as_deref(), Some("2"), "{how}");
        client2.batch_execute(sql).expect(how);
        assert_eq!(cell(&mut client, of_alice).as_deref(), Some("0"), "{how}");
        // A new role of this name starts with an empty history.
        client2.batch_execute("CREATE ROLE alice").expect("another alice");
        assert_eq!(set(&mut client2, "alice", "one"), Ok("set".to_owned()));
        client2
            .batch_execute("DROP ROLE alice; SELECT scram.rotate_role('bob')")
            .expect("no alice");
    }
    // A name that changes takes them along.
    client2.batch_execute("CREATE ROLE alice").expect("alice");
    assert_eq!(set(&mut client2, "alice", "one"), Ok("set".to_owned()));
    client2
        .batch_execute("SELECT scram.rotate_role('alice'); ALTER ROLE alice RENAME TO carol")
        .expect("carol");
    assert_eq!(set(&mut client2, "carol", "one"), Err("22023".to_owned()));
}

/// The action, or the SQLSTATE.
fn set(client: &mut Client, role: &str, password: &str) -> Result<String, String> {
    let set = "SELECT action FROM scram.set_role_password($1::text::name, $2)";
    match client.query_one(set, &[&role, &password]) {
        Ok(row) => Ok(row.get(0)),
        Err(error) => Err(Raised::from_error(&error).code),
    }
}

fn kept(client: &mut Client) -> i64 {
    client
        .query_one("SELECT count(*) FROM scram_internal.password_history", &[])
        .expect("a number")
        .get(0)
}
