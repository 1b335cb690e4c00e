//! `scram.password_lifetime`: VALID UNTIL of a new password for which none is given.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows, text};

/// How VALID UNTIL of a role stands to the moment in 90 days, or what it is.
const UNTIL: &str = "SELECT CASE WHEN rolvaliduntil BETWEEN now() + '90 days' - interval '1 minute'
                                                  AND now() + '90 days' + interval '1 minute' THEN '90 days'
                                 ELSE coalesce(extract(year FROM rolvaliduntil)::text, 'none') END
                     FROM pg_authid WHERE rolname = ";

#[test]
fn a_new_password_lives_as_long_as_the_setting_says() {
    let cluster = cluster();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE g; CREATE ROLE a LOGIN IN ROLE g; CREATE ROLE b IN ROLE g VALID UNTIL '2020-01-01';
             SELECT scram.create_rotation('pair', 'g', 'a', 'b');
             CREATE ROLE alice LOGIN PASSWORD 'pencil'",
        )
        .expect("roles");
    let given = "valid_until => '2040-06-01Z'";
    for (role, call, expected) in [
        // The password that the role has is no new one, in a new verifier neither.
        ("alice", "set_role_password('alice', 'pencil')".to_owned(), "none"),
        ("alice", "set_role_password('alice', 'pencil', 5000)".to_owned(), "none"),
        ("alice", "set_role_password('alice', 'other')".to_owned(), "90 days"),
        ("alice", format!("set_role_password('alice', 'third', {given})"), "2040"),
        ("alice", "set_role_password('alice', 'third')".to_owned(), "2040"),
        ("alice", "rotate_role('alice')".to_owned(), "90 days"),
        ("alice", format!("rotate_role('alice', {given})"), "2040"),
        ("alice", "set_role_verifier('alice', scram.generate('fourth'))".to_owned(), "90 days"),
        ("alice", format!("set_role_verifier('alice', scram.generate('fifth'), {given})"), "2040"),
        // The idle role had expired.
        ("b", "rotate('pair')".to_owned(), "90 days"),
        ("a", "finish_rotation('pair')".to_owned(), "none"),
    ] {
        rows(&mut client, &format!("SELECT * FROM scram.{call}"));
        assert_eq!(until(&mut client, role), expected, "{call}");
    }
    // With 0, which is the default, VALID UNTIL stays.
    client.batch_execute("SET scram.password_lifetime = 0").expect("off");
    rows(&mut client, "SELECT scram.rotate_role('alice', valid_until => 'infinity')");
    rows(&mut client, "SELECT scram.rotate_role('alice')");
    assert_eq!(until(&mut client, "alice"), "Infinity");
    let range = Raised::by(&mut client, "SET scram.password_lifetime = -1");
    assert_eq!(range.code, "22023");
    // The longest time does not overflow.
    client.batch_execute("SET scram.password_lifetime = 2147483647").expect("the longest");
    rows(&mut client, "SELECT scram.rotate_role('alice')");
    assert!(until(&mut client, "alice").parse::<i32>().expect("a year") > 6000);
}

/// The server lets no plain role set its own VALID UNTIL, and the setting does not change that.
#[test]
fn a_role_does_not_move_its_own_end() {
    let cluster = cluster();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE plain LOGIN PASSWORD 'pencil' VALID UNTIL '2040-06-01';
             CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'pencil' VALID UNTIL '2040-06-01';
             GRANT EXECUTE ON FUNCTION scram.set_role_password(name, text, integer, timestamptz),
                 scram.rotate_role(name, integer, integer, timestamptz) TO plain",
        )
        .expect("roles");
    let change = "SELECT * FROM scram.change_own_password('pencil', 'another one')";
    for (role, expected) in [("plain", "2040"), ("boss", "90 days")] {
        let mut client = cluster.client_as(role, "postgres");
        assert_eq!(rows(&mut client, change), [[text("set"), text("t")]], "{role}");
        assert_eq!(until(&mut admin, role), expected, "{role}");
    }
    let mut plain = cluster.client_as("plain", "postgres");
    for call in ["set_role_password('plain', 'third')", "rotate_role('plain')"] {
        assert_eq!(rows(&mut plain, &format!("SELECT scram.{call}")).len(), 1, "{call}");
        assert_eq!(until(&mut admin, "plain"), "2040", "{call}");
    }
    // The role reads why.
    let call = "SELECT scram.rotate_role('plain')";
    let told = cluster.psql(&["-U", "plain", "-d", "postgres", "-c", call]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("VALID UNTIL of role \"plain\" stays as it is"), "{told}");
    // If it is asked for by name, it is refused as ever.
    let call = "SELECT scram.rotate_role('plain', valid_until => 'infinity')";
    assert_eq!(Raised::by(&mut plain, call).code, "42501");
}

fn cluster() -> Cluster {
    let cluster = Cluster::builder()
        .conf("session_preload_libraries = 'scram_ext'")
        .conf("scram.password_lifetime = '90 d'")
        .start();
    cluster.client().batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    cluster
}

fn until(client: &mut Client, role: &str) -> String {
    cell(client, &format!("{UNTIL} '{role}'")).expect("a role")
}
