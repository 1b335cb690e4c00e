//! A change that ALTER ROLE refuses to a caller, the functions refuse too, before they read the
//! stored secret. Each case also runs the real ALTER ROLE for comparison.

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows};

/// The callers. The extension's functions are granted to all of them.
const CALLERS: &[&str] = &[
    "boss",       // superuser
    "creator",    // CREATEROLE, and ADMIN on some of the targets
    "creator_no", // CREATEROLE, ADMIN on none
    "admin_only", // ADMIN without CREATEROLE
    "stranger",
    "member",    // inherits what "creator" has, attributes apart
    "plain",     // is one of the targets
    "walsender", // is another one, with REPLICATION
];

const TARGETS: &[&str] = &["plain", "boss", "walsender", "creator", "stranger"];

const SETUP: &str = "
CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'pencil';
CREATE ROLE creator CREATEROLE LOGIN PASSWORD 'pencil';
CREATE ROLE creator_no CREATEROLE LOGIN PASSWORD 'pencil';
CREATE ROLE admin_only LOGIN PASSWORD 'pencil';
CREATE ROLE stranger LOGIN PASSWORD 'pencil';
CREATE ROLE member LOGIN PASSWORD 'pencil' IN ROLE creator;
CREATE ROLE plain LOGIN PASSWORD 'pencil';
CREATE ROLE walsender LOGIN REPLICATION PASSWORD 'pencil';
CREATE ROLE g;
GRANT plain, walsender TO creator WITH ADMIN OPTION;
GRANT plain TO admin_only WITH ADMIN OPTION;
GRANT ALL ON ALL ROUTINES IN SCHEMA scram TO PUBLIC";

#[test]
fn what_alter_role_forbids_is_forbidden() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute(SETUP).expect("roles");

    let mut wrong = Vec::new();
    let mut forbidden = 0;
    for caller in CALLERS {
        let mut client = cluster.client_as(caller, "postgres");
        for target in TARGETS {
            // The same password, another one, a verifier, a random one; then with VALID UNTIL.
            let stored = format!("(SELECT current_setting('test.{target}'))");
            let secret = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{target}'");
            let secret = cell(&mut admin, &secret).expect("a verifier");
            client.batch_execute(&format!("SET test.{target} = '{secret}'")).expect("a setting");
            for (calls, alter) in [
                (
                    [
                        format!("scram.set_role_password('{target}', 'pencil')"),
                        format!("scram.set_role_password('{target}', 'other')"),
                        format!("scram.set_role_verifier('{target}', {stored})"),
                        format!("scram.set_role_verifier('{target}', scram.generate('x'))"),
                        format!("scram.rotate_role('{target}')"),
                    ],
                    format!("ALTER ROLE {target} PASSWORD 'other'"),
                ),
                (
                    [
                        format!(
                            "scram.set_role_password('{target}', 'pencil', NULL, '2040-01-01')"
                        ),
                        format!("scram.set_role_password('{target}', 'x', NULL, '2040-01-01')"),
                        format!("scram.set_role_verifier('{target}', {stored}, '2040-01-01')"),
                        format!(
                            "scram.set_role_verifier('{target}', scram.generate('x'), '2040-01-01')"
                        ),
                        format!("scram.rotate_role('{target}', valid_until => '2040-01-01')"),
                    ],
                    format!("ALTER ROLE {target} PASSWORD 'other' VALID UNTIL '2040-01-01'"),
                ),
            ] {
                let expected = code(&mut client, &alter);
                forbidden += usize::from(expected.is_some());
                for call in calls {
                    let found = code(&mut client, &format!("SELECT {call}"));
                    if found != expected {
                        wrong.push(format!(
                            "{caller}: {call}: {found:?}, but {alter}: {expected:?}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(forbidden > 20, "only {forbidden} of the cases are forbidden");
}

#[test]
fn rotations_need_the_right_to_alter_both_roles() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute(SETUP).expect("roles");
    admin
        .batch_execute(
            "CREATE ROLE a IN ROLE g; CREATE ROLE b IN ROLE g; CREATE ROLE super_b SUPERUSER IN ROLE g;
             GRANT a, b TO creator WITH ADMIN OPTION;
             SELECT scram.create_rotation('app', 'g', 'a', 'b')",
        )
        .expect("a rotation");
    for (caller, may) in [
        ("boss", true),
        ("creator", true),
        ("admin_only", false),
        ("stranger", false),
        ("plain", false),
    ] {
        let mut client = cluster.client_as(caller, "postgres");
        for sql in [
            "SELECT scram.rotate('app')",
            "SELECT scram.finish_rotation('app')",
            "SELECT scram.drop_rotation('app')",
            "SELECT scram.drop_rotation('app'), scram.create_rotation('app2', 'g', 'a', 'b')",
        ] {
            let expected = (!may).then(|| "42501".to_owned());
            assert_eq!(code(&mut client, sql), expected, "{caller}: {sql}");
        }
        // A pair with a superuser is for superusers.
        admin.batch_execute("BEGIN; SELECT scram.drop_rotation('app'); COMMIT").expect("no pair");
        let with_superuser = "SELECT scram.create_rotation('x', 'g', 'a', 'super_b')";
        let expected = (caller != "boss").then(|| "42501".to_owned());
        assert_eq!(code(&mut client, with_superuser), expected, "{caller}");
        admin.batch_execute("SELECT scram.create_rotation('app', 'g', 'a', 'b')").expect("a pair");

        // The tables of these functions are open to their owner alone.
        if caller != "boss" {
            for sql in [
                "TABLE scram.rotation",
                "TABLE scram_internal.password_history",
                "DELETE FROM scram.rotation",
            ] {
                assert_eq!(code(&mut client, sql).as_deref(), Some("42501"), "{caller}: {sql}");
            }
        }
    }
}

/// A caller's own names and operators are not used while the functions act as the owner.
#[test]
fn the_owners_rights_serve_no_other_purpose() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute(SETUP).expect("roles");
    admin
        .batch_execute(
            "CREATE SCHEMA evil AUTHORIZATION creator;
             CREATE ROLE a IN ROLE g; CREATE ROLE b IN ROLE g; GRANT a, b TO creator WITH ADMIN OPTION;
             LOAD 'scram_ext'; ALTER DATABASE postgres SET scram.password_history = 3",
        )
        .expect("a schema");
    let mut creator = cluster.client_as("creator", "postgres");
    let hijack = "LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''hijacked as %'', current_user; END'";
    let mut traps = String::new();
    for types in ["name, name", "text, text", "oid, oid", "bigint, bigint", "bigint, integer"] {
        let (left, right) = types.split_once(", ").expect("two");
        traps += &format!("CREATE FUNCTION evil.hijack({types}) RETURNS boolean {hijack};");
        for operator in ["=", "<", "<>"] {
            traps += &format!(
                "CREATE OPERATOR evil.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = evil.hijack);"
            );
        }
    }
    traps += &format!("CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz {hijack};");
    traps += &format!("CREATE FUNCTION evil.nextval(regclass) RETURNS bigint {hijack};");
    traps +=
        "CREATE TEMP TABLE pg_authid (oid oid); CREATE TEMP TABLE pg_stat_activity (pid integer);
              SET search_path = evil, pg_catalog";
    creator.batch_execute(&traps).expect("traps");
    for sql in [
        "SELECT scram.create_rotation('app', 'g', 'a', 'b')",
        "SELECT scram.rotate('app')",
        "SELECT scram.finish_rotation('app')",
        "SELECT scram.rotate_role('plain')",
        "SELECT scram.set_role_password('plain', 'one')",
        "SELECT scram.set_role_password('plain', 'two')",
        "SELECT scram.drop_rotation('app')",
    ] {
        creator.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(cell(&mut creator, "SELECT current_user").as_deref(), Some("creator"), "{sql}");
    }
    assert_eq!(
        rows(&mut admin, "SELECT FROM scram_internal.password_history WHERE role_name = 'plain'")
            .len(),
        3
    );
}

/// The SQLSTATE of a statement that is rolled back in any case; `None` if it worked.
fn code(client: &mut Client, sql: &str) -> Option<String> {
    client.batch_execute("BEGIN").expect("BEGIN");
    let result = client.simple_query(sql);
    let code = result.err().map(|error| Raised::from_error(&error).code);
    client.batch_execute("ROLLBACK").expect("the session goes on");
    code
}
